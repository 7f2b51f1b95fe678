//! The compact protocol of Thrift, in which a Parquet file speaks of itself and of its pages: bytes are held against a
//! layout, and every number is told. Nothing is kept of what is read, so that no length in it can ask for memory. This
//! file must not know what a number means.
//!
//! <https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>

use std::fmt;

/// What a field is. Fields that a layout does not name are passed over.
pub(super) enum Is {
    Bool,
    Byte,
    /// Of 16, 32 or 64 bits: all are written alike.
    Number,
    Binary,
    List(&'static Is),
    Struct(Layout),
}

/// The fields of a structure, by their numbers.
pub(super) type Layout = &'static [(i16, Is)];

/// What is told of a structure while it is read, with the way to it: the numbers of the fields that lead there.
pub(super) enum Seen {
    /// Of a truth, 1 or 0.
    Number(i64),
    /// The end of the structure at the end of the way; of a list, of each of its structures.
    End,
}

/// Why bytes are no such structure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Problem {
    /// They end before it does: so many are needed, at least.
    Cut { needed: usize },
    /// What is there, counted in bytes from the begin, cannot be.
    Wrong { at: usize, what: &'static str },
}

impl fmt::Display for Problem {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut { needed } => write!(to, "it needs {needed} bytes at least, and they are not there"),
            Self::Wrong { at, what } => write!(to, "{what}, after {at} of its bytes"),
        }
    }
}

type Outcome<T> = Result<T, Problem>;

/// Structures in structures; what is known of Parquet has six.
const MAX_DEPTH: usize = 64;

const STOP: u8 = 0;
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const BYTE: u8 = 3;
const NUMBERS: std::ops::RangeInclusive<u8> = 4..=6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;

/// Reads the structure that begins there, and says how long it is.
pub(super) fn read(
    bytes: &[u8],
    layout: Layout,
    seen: &mut dyn FnMut(&[i16], Seen),
) -> Result<usize, Problem> {
    let mut reader = Reader { bytes, at: 0, way: Vec::new(), depth: 0, seen };
    reader.structure(layout)?;
    Ok(reader.at)
}

struct Reader<'a, 's> {
    bytes: &'a [u8],
    at: usize,
    way: Vec<i16>,
    depth: usize,
    seen: &'s mut dyn FnMut(&[i16], Seen),
}

impl Reader<'_, '_> {
    fn structure(&mut self, layout: Layout) -> Outcome<()> {
        self.deeper()?;
        let mut id = 0_i16;
        loop {
            let head = self.byte()?;
            let (step, kind) = (head >> 4, head & 0xf);
            if kind == STOP {
                break;
            }
            id = if step == 0 {
                i16::try_from(self.number()?).map_err(|_| self.wrong("a field without a number"))?
            } else {
                id.checked_add(i16::from(step)).ok_or_else(|| self.wrong("a field without a number"))?
            };
            match layout.iter().find(|(known, _)| *known == id) {
                Some((_, is)) => {
                    self.way.push(id);
                    self.known(is, kind)?;
                    self.way.pop();
                }
                // In a field, the kind of a truth is its value.
                None if matches!(kind, TRUE | FALSE) => {}
                None => self.skip(kind)?,
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn known(&mut self, is: &Is, kind: u8) -> Outcome<()> {
        match (is, kind) {
            (Is::Bool, TRUE | FALSE) => {
                (self.seen)(&self.way, Seen::Number(i64::from(kind == TRUE)));
                Ok(())
            }
            (Is::Byte, BYTE) | (Is::Binary, BINARY) => self.skip(kind),
            (Is::Number, _) if NUMBERS.contains(&kind) => {
                let number = self.number()?;
                (self.seen)(&self.way, Seen::Number(number));
                Ok(())
            }
            (Is::Struct(layout), STRUCT) => {
                self.structure(layout)?;
                (self.seen)(&self.way, Seen::End);
                Ok(())
            }
            (Is::List(of), LIST) => {
                let (kind, count) = self.list()?;
                (0..count).try_for_each(|_| self.known(of, kind))
            }
            _ => Err(self.wrong("a field of another type")),
        }
    }

    fn skip(&mut self, kind: u8) -> Outcome<()> {
        match kind {
            TRUE | FALSE | BYTE => self.byte().map(drop),
            DOUBLE => self.pass(8),
            BINARY => {
                let length = self.varint()?;
                self.pass(length)
            }
            LIST | SET => {
                let (kind, count) = self.list()?;
                self.deeper()?;
                (0..count).try_for_each(|_| self.skip(kind))?;
                self.depth -= 1;
                Ok(())
            }
            MAP => {
                let pairs = self.varint()?;
                if pairs == 0 {
                    return Ok(());
                }
                let kinds = self.byte()?;
                self.room_for(pairs)?;
                self.deeper()?;
                (0..pairs).try_for_each(|_| self.skip(kinds >> 4).and_then(|()| self.skip(kinds & 0xf)))?;
                self.depth -= 1;
                Ok(())
            }
            STRUCT => self.structure(&[]),
            _ if NUMBERS.contains(&kind) => self.number().map(drop),
            _ => Err(self.wrong("a field of no type")),
        }
    }

    /// What a list holds, and how many: no more than there are bytes.
    fn list(&mut self) -> Outcome<(u8, u64)> {
        let head = self.byte()?;
        let count = match head >> 4 {
            15 => self.varint()?,
            count => u64::from(count),
        };
        if i32::try_from(count).is_err() {
            return Err(self.wrong("a list without an end"));
        }
        self.room_for(count)?;
        Ok((head & 0xf, count))
    }

    fn deeper(&mut self) -> Outcome<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            Err(self.wrong("structures in structures without an end"))
        } else {
            Ok(())
        }
    }

    fn byte(&mut self) -> Outcome<u8> {
        let byte =
            self.bytes.get(self.at).copied().ok_or(Problem::Cut { needed: self.at.saturating_add(1) })?;
        self.at += 1;
        Ok(byte)
    }

    fn pass(&mut self, count: u64) -> Outcome<()> {
        self.at = self.room_for(count)?;
        Ok(())
    }

    /// Where so many bytes end.
    fn room_for(&self, count: u64) -> Outcome<usize> {
        let end = usize::try_from(count).unwrap_or(usize::MAX).saturating_add(self.at);
        if end > self.bytes.len() { Err(Problem::Cut { needed: end }) } else { Ok(end) }
    }

    /// Seven bits a byte, the lowest first.
    fn varint(&mut self) -> Outcome<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.wrong("a number of more than 64 bits"))
    }

    /// A number with its sign, which is in the lowest bit.
    fn number(&mut self) -> Outcome<i64> {
        let value = self.varint()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    fn wrong(&self, what: &'static str) -> Problem {
        Problem::Wrong { at: self.at, what }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LAYOUT: Layout = &[
        (1, Is::Number),
        (2, Is::List(&Is::Struct(&[(1, Is::Number), (2, Is::Binary)]))),
        (3, Is::Bool),
        (30, Is::Byte),
    ];

    fn told(bytes: &[u8]) -> Result<(usize, Vec<String>), Problem> {
        let mut told = Vec::new();
        let length = read(bytes, LAYOUT, &mut |way, seen| {
            told.push(match seen {
                Seen::Number(number) => format!("{way:?} = {number}"),
                Seen::End => format!("{way:?} ends"),
            });
        })?;
        Ok((length, told))
    }

    /// By hand, after the specification.
    #[test]
    fn a_structure_is_told_number_by_number() {
        let bytes = [
            0x16, 0x03, // field 1, 64 bits: -2
            0x19, 0x2c, // field 2, a list of two structures
            0x15, 0xd8, 0x04, 0x00, // field 1, 32 bits: 300
            0x28, 0x02, b'h', b'i', 0x00, // field 2, two bytes
            0x11, // field 3: true
            0x1b, 0x01, 0x58, 0x0e, 0x01, b'k', // field 4 is not known: a map of a number for a text
            0x1b, 0x00, // field 5: a map of nothing
            0x19, 0x21, 0x01, 0x02, // field 6: a list of two truths
            0x17, 0, 0, 0, 0, 0, 0, 0, 0, // field 7: a double
            0x1c, 0x12, 0x00, // field 8: a structure with a truth
            0x03, 0x3c, 0x05, // field 30, whose number is written out: a byte
            0x00, 0xff,
        ];
        let numbers =
            ["[1] = -2", "[2, 1] = 300", "[2] ends", "[2] ends", "[3] = 1"].map(str::to_owned).to_vec();
        assert_eq!(told(&bytes), Ok((bytes.len() - 1, numbers)));
        for end in 0..bytes.len() - 1 {
            assert!(matches!(told(&bytes[..end]), Err(Problem::Cut { needed }) if needed > end), "{end}");
        }
    }

    #[test]
    fn a_length_is_believed_as_far_as_there_are_bytes() {
        let two_gib = [0xff, 0xff, 0xff, 0xff, 0x07];
        let of = |head: &[u8]| told(&[head, &two_gib].concat());
        assert_eq!(of(&[0x98]), Err(Problem::Cut { needed: 6 + 0x7fff_ffff }));
        assert_eq!(of(&[0x29, 0xfc]), Err(Problem::Cut { needed: 7 + 0x7fff_ffff }));
        assert_eq!(of(&[0x99, 0xf8]), Err(Problem::Cut { needed: 7 + 0x7fff_ffff }));
        assert!(matches!(told(&[0x29, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x08]), Err(Problem::Wrong { .. })));
        assert!(matches!(told(&[0x9b, 0x7f, 0x55]), Err(Problem::Cut { .. })));
    }

    #[test]
    fn what_cannot_be_is_said() {
        let what = |bytes: &[u8]| told(bytes).unwrap_err().to_string();
        assert_eq!(what(&[0x18, 0x00]), "a field of another type, after 1 of its bytes");
        assert_eq!(what(&[0x29, 0x15, 0x00]), "a field of another type, after 2 of its bytes");
        assert_eq!(what(&[0x9d]), "a field of no type, after 1 of its bytes");
        assert_eq!(
            what(&[[0x16].as_slice(), &[0xff; 10]].concat()),
            "a number of more than 64 bits, after 11 of its bytes"
        );
        assert_eq!(what(&[0x05, 0xff, 0xff, 0x07, 0x00]), "a field without a number, after 4 of its bytes");
        assert_eq!(what(&[0x9c; 100]), "structures in structures without an end, after 64 of its bytes");
        assert_eq!(what(&[0x99; 100]), "structures in structures without an end, after 65 of its bytes");
        assert_eq!(what(&[]), "it needs 1 bytes at least, and they are not there");
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            match told(&bytes) {
                Ok((length, _)) => prop_assert!(length <= bytes.len()),
                Err(Problem::Cut { needed }) => prop_assert!(needed > bytes.len()),
                Err(Problem::Wrong { at, .. }) => prop_assert!(at <= bytes.len()),
            }
        }
    }
}
