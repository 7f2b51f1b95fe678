//! The head of a page of a Parquet file: how long the page is, packed and unpacked, and how many values it holds. This
//! file must not know where the page lies, nor what can be.
//!
//! <https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift>

use super::footer::STATISTICS;
use super::thrift::Is::{Bool, Number, Struct};
use super::thrift::{self, Layout, Problem, Seen};

/// What a page's head says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct PageHead {
    pub(super) kind: Kind,
    pub(super) packed_bytes: u64,
    pub(super) unpacked_bytes: u64,
}

/// What a page is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Data {
        values: u64,
        /// How values are told: by its number.
        encoding: i64,
        levels: Levels,
    },
    Dictionary {
        values: u64,
    },
    /// An index, or what no version knows: holds no values.
    Other,
}

/// Where a page of data says which values are missing, and where lists begin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Levels {
    /// In its body, each with its length before it.
    Inside,
    /// Before its body, and never packed: so long together.
    Before { bytes: u64, is_body_packed: bool },
}

const DATA: Layout = &[(1, Number), (2, Number), (3, Number), (4, Number), (5, Struct(STATISTICS))];
const DICTIONARY: Layout = &[(1, Number), (2, Number), (3, Bool)];
const DATA_V2: Layout = &[
    (1, Number),
    (2, Number),
    (3, Number),
    (4, Number),
    (5, Number),
    (6, Number),
    (7, Bool),
    (8, Struct(STATISTICS)),
];
const HEAD: Layout = &[
    (1, Number),
    (2, Number),
    (3, Number),
    (4, Number),
    (5, Struct(DATA)),
    (6, Struct(&[])),
    (7, Struct(DICTIONARY)),
    (8, Struct(DATA_V2)),
];

/// Reads the head that begins there, and says how long it is.
///
/// # Errors
/// When there is none, when it says a number below zero or above 2³¹, or says none of a length.
pub(super) fn read(bytes: &[u8]) -> Result<(PageHead, usize), Problem> {
    let mut said = Said::default();
    let length = thrift::read(bytes, HEAD, &mut |way, seen| {
        if let Seen::Number(number) = seen {
            said.take(way, number);
        }
    })?;
    let wrong = |what| Problem::Wrong { at: length, what };
    let count = |number: Option<i64>, what| {
        let number = number.and_then(|number| i32::try_from(number).ok());
        number.and_then(|number| u64::try_from(number).ok()).ok_or_else(|| wrong(what))
    };
    let kind = match count(said.kind, "no type")? {
        0 => Kind::Data {
            values: count(said.values, "no count of values")?,
            encoding: said.encoding.unwrap_or_default(),
            levels: Levels::Inside,
        },
        2 => Kind::Dictionary { values: count(said.dictionary_values, "no count of values")? },
        3 => Kind::Data {
            values: count(said.values_v2, "no count of values")?,
            encoding: said.encoding_v2.unwrap_or_default(),
            levels: Levels::Before {
                bytes: count(said.definitions_bytes, "no length of its levels")?
                    + count(said.repetitions_bytes, "no length of its levels")?,
                is_body_packed: said.is_packed.is_none_or(|is| is == 1),
            },
        },
        _ => Kind::Other,
    };
    let head = PageHead {
        kind,
        packed_bytes: count(said.packed_bytes, "no length")?,
        unpacked_bytes: count(said.unpacked_bytes, "no length")?,
    };
    Ok((head, length))
}

/// The numbers of a head that are asked for; of what is said twice, the last, as polars has it.
#[derive(Default)]
struct Said {
    kind: Option<i64>,
    unpacked_bytes: Option<i64>,
    packed_bytes: Option<i64>,
    values: Option<i64>,
    encoding: Option<i64>,
    dictionary_values: Option<i64>,
    values_v2: Option<i64>,
    encoding_v2: Option<i64>,
    definitions_bytes: Option<i64>,
    repetitions_bytes: Option<i64>,
    is_packed: Option<i64>,
}

impl Said {
    fn take(&mut self, way: &[i16], number: i64) {
        let slot = match way {
            [1] => &mut self.kind,
            [2] => &mut self.unpacked_bytes,
            [3] => &mut self.packed_bytes,
            [5, 1] => &mut self.values,
            [5, 2] => &mut self.encoding,
            [7, 1] => &mut self.dictionary_values,
            [8, 1] => &mut self.values_v2,
            [8, 4] => &mut self.encoding_v2,
            [8, 5] => &mut self.definitions_bytes,
            [8, 6] => &mut self.repetitions_bytes,
            [8, 7] => &mut self.is_packed,
            _ => return,
        };
        *slot = Some(number);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// By hand, after the specification: what no field before it was is the step from the last one, then the type.
    #[test]
    fn heads_written_by_hand_are_read() {
        let version_1 = [
            0x15, 0x00, // a page of data
            0x15, 0xd8, 0x04, // 300 bytes unpacked
            0x15, 0x50, // 40 packed
            0x15, 0x0d, // its check sum
            0x1c, // what a page of data says:
            0x15, 0x14, // 10 values
            0x15, 0x00, 0x15, 0x06, 0x15, 0x06, // their encodings
            0x1c, 0x36, 0x02, 0x28, 0x01, b'z', 0x18, 0x01, b'a', 0x11, 0x11,
            0x00, // the largest, the smallest
            0x00, 0x00,
        ];
        let head = PageHead {
            kind: Kind::Data { values: 10, encoding: 0, levels: Levels::Inside },
            packed_bytes: 40,
            unpacked_bytes: 300,
        };
        assert_eq!(read(&version_1), Ok((head, version_1.len())));
        let dictionary = [0x15, 0x04, 0x15, 0x0c, 0x15, 0x0e, 0x4c, 0x15, 0x06, 0x15, 0x00, 0x12, 0x00, 0x00];
        let head = PageHead { kind: Kind::Dictionary { values: 3 }, packed_bytes: 7, unpacked_bytes: 6 };
        assert_eq!(read(&dictionary), Ok((head, dictionary.len())));
        let version_2 = [
            0x15, 0x06, 0x15, 0x28, 0x15, 0x1e, // a page of data, 20 bytes unpacked, 15 packed
            0x5c, 0x15, 0x0a, 0x15, 0x02, 0x15, 0x08, // 5 values, 1 missing, 4 rows
            0x15, 0x00, 0x15, 0x04, 0x15, 0x06, 0x11, 0x00, // plain, levels of 2 and of 3 bytes, packed
            0x00,
        ];
        let head = PageHead {
            kind: Kind::Data {
                values: 5,
                encoding: 0,
                levels: Levels::Before { bytes: 5, is_body_packed: true },
            },
            packed_bytes: 15,
            unpacked_bytes: 20,
        };
        assert_eq!(read(&version_2), Ok((head, version_2.len())));
        let index = [0x15, 0x02, 0x15, 0x02, 0x15, 0x04, 0x3c, 0x00, 0x00];
        let head = PageHead { kind: Kind::Other, packed_bytes: 2, unpacked_bytes: 1 };
        assert_eq!(read(&index), Ok((head, index.len())));
    }

    #[test]
    fn what_a_head_must_say_is_missed() {
        let what = |bytes: &[u8]| read(bytes).unwrap_err().to_string();
        assert_eq!(what(&[0x00]), "no type, after 1 of its bytes");
        assert_eq!(what(&[0x15, 0x00, 0x00]), "no count of values, after 3 of its bytes");
        let no_length = [0x15, 0x00, 0x15, 0x02, 0x3c, 0x15, 0x02, 0x00, 0x00];
        assert_eq!(what(&no_length), "no length, after 9 of its bytes");
        let below_zero = [0x15, 0x00, 0x15, 0x01, 0x15, 0x02, 0x2c, 0x15, 0x02, 0x00, 0x00];
        assert_eq!(what(&below_zero), "no length, after 11 of its bytes");
        // polars would take the lowest 32 bits of it: no bytes at all.
        let beyond =
            [0x15, 0x00, 0x16, 0x80, 0x80, 0x80, 0x80, 0x20, 0x15, 0x02, 0x2c, 0x15, 0x02, 0x00, 0x00];
        assert_eq!(what(&beyond), "no length, after 15 of its bytes");
        assert_eq!(what(&[0x18, 0x00]), "a field of another type, after 1 of its bytes");
    }

    /// A number as it is written.
    fn number(value: i32) -> Vec<u8> {
        let mut left = ((value << 1) ^ (value >> 31)) as u32;
        let mut bytes = Vec::new();
        while left >= 0x80 {
            bytes.push(left as u8 | 0x80);
            left >>= 7;
        }
        bytes.push(left as u8);
        bytes
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read(packed in 0.., unpacked in 0.., values in 0.., rest in prop::collection::vec(any::<u8>(), 0..9)) {
            let mut bytes = vec![0x15, 0x00, 0x15];
            bytes.extend(number(unpacked));
            bytes.push(0x15);
            bytes.extend(number(packed));
            bytes.extend([0x2c, 0x15]);
            bytes.extend(number(values));
            bytes.extend([0x00, 0x00]);
            let length = bytes.len();
            let kind = Kind::Data { values: values as u64, encoding: 0, levels: Levels::Inside };
            let head = PageHead { kind, packed_bytes: packed as u64, unpacked_bytes: unpacked as u64 };
            for end in 0..length {
                let is_cut = matches!(read(&bytes[..end]), Err(Problem::Cut { .. }));
                prop_assert!(is_cut);
            }
            bytes.extend(rest);
            prop_assert_eq!(read(&bytes), Ok((head, length)));
        }

        #[test]
        fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Ok((head, length)) = read(&bytes) {
                prop_assert!(length <= bytes.len());
                prop_assert!(i32::try_from(head.packed_bytes).is_ok() && i32::try_from(head.unpacked_bytes).is_ok());
            }
        }
    }
}
