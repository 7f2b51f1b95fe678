//! Protocol-buffer messages taken apart by the wire format alone, field numbers as the OpenTelemetry definitions have
//! them: what is sent is read here without the library that wrote it.
//! <https://protobuf.dev/programming-guides/encoding/>

/// One message: its fields in order.
pub struct Message<'a>(Vec<(u64, Field<'a>)>);

#[derive(Clone, Copy, Debug)]
pub enum Field<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

impl<'a> Message<'a> {
    pub fn read(mut bytes: &'a [u8]) -> Self {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let tag = varint(&mut bytes);
            let field = match tag & 7 {
                0 => Field::Varint(varint(&mut bytes)),
                1 => Field::Fixed64(u64::from_le_bytes(take(&mut bytes, 8).try_into().unwrap())),
                2 => {
                    let length = varint(&mut bytes) as usize;
                    Field::Bytes(take(&mut bytes, length))
                }
                5 => Field::Fixed32(u32::from_le_bytes(take(&mut bytes, 4).try_into().unwrap())),
                other => panic!("wire type {other}"),
            };
            fields.push((tag >> 3, field));
        }
        Self(fields)
    }

    pub fn all(&self, number: u64) -> impl Iterator<Item = Field<'a>> {
        self.0.iter().filter(move |(n, _)| *n == number).map(|(_, field)| *field)
    }

    pub fn bytes(&self, number: u64) -> &'a [u8] {
        self.all(number)
            .map(|field| match field {
                Field::Bytes(bytes) => bytes,
                other => panic!("{other:?}"),
            })
            .last()
            .unwrap_or_default()
    }

    pub fn text(&self, number: u64) -> String {
        String::from_utf8(self.bytes(number).to_vec()).unwrap()
    }

    pub fn messages(&self, number: u64) -> Vec<Message<'a>> {
        self.all(number)
            .map(|field| match field {
                Field::Bytes(bytes) => Message::read(bytes),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    pub fn number(&self, number: u64) -> u64 {
        self.all(number)
            .map(|field| match field {
                Field::Varint(n) | Field::Fixed64(n) => n,
                Field::Fixed32(n) => n.into(),
                Field::Bytes(_) => panic!("field {number} is no number"),
            })
            .last()
            .unwrap_or_default()
    }
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(bytes, 1)[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return value;
        }
    }
    panic!("a varint of more than ten bytes");
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(length);
    *bytes = rest;
    taken
}
