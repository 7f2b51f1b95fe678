//! Values of a page that are told as differences: polars asks for as much memory as their begin says that there are, and
//! as each length in them says, before it looks whether they can be. Both are held against the page here. This file must
//! not know where a page lies, nor how it was packed.
//!
//! <https://github.com/apache/parquet-format/blob/master/Encodings.md#delta-encoding-delta_binary_packed--5>

use anyhow::{Context as _, Result, ensure};

/// A way of telling values, of those that are checked here, with its number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Encoding {
    Numbers = 5,
    /// The lengths of texts, then the texts.
    Lengths = 6,
    /// How many bytes a text has in common with the one before, how many are new, then the new ones.
    Prefixes = 7,
}

/// Texts with a common begin are as many bytes as one of the page makes, at most.
const MOST_OF_A_BYTE: u64 = 4096;

impl Encoding {
    pub(super) fn of(number: i64) -> Option<Self> {
        [Self::Numbers, Self::Lengths, Self::Prefixes].into_iter().find(|of| *of as i64 == number)
    }

    /// That these bytes hold no more than so many values, none of them longer than it can be.
    ///
    /// # Errors
    /// When they do, or end too early.
    pub(super) fn check(self, bytes: &[u8], values: u64) -> Result<()> {
        match self {
            Self::Numbers | Self::Lengths => differences(bytes, values, |_| Ok(())).map(drop),
            Self::Prefixes => check_prefixes(bytes, values),
        }
    }
}

fn check_prefixes(bytes: &[u8], values: u64) -> Result<()> {
    let mut common = Vec::new();
    let rest = differences(bytes, values, |length| {
        common.push(
            u32::try_from(length).with_context(|| format!("a text begins with {length} bytes of another"))?,
        );
        Ok(())
    })?;
    let most = (bytes.len() as u64).saturating_mul(MOST_OF_A_BYTE);
    let (mut common, mut last, mut all) = (common.into_iter().map(u64::from), 0_u64, 0_u64);
    differences(rest, values, |length| {
        let new = u64::try_from(length).ok().filter(|new| *new <= bytes.len() as u64);
        let new = new.with_context(|| format!("a text of {length} bytes in a page of {}", bytes.len()))?;
        let begin = common.next().unwrap_or(0);
        ensure!(begin <= last, "a text begins with {begin} bytes of one of {last}");
        last = begin + new;
        all = all.saturating_add(last);
        ensure!(all <= most, "texts of more than {most} bytes in a page of {}", bytes.len());
        Ok(())
    })
    .map(drop)
}

/// Hands the numbers over that are told as differences, and gives what is behind them.
fn differences(bytes: &[u8], most: u64, mut each: impl FnMut(i64) -> Result<()>) -> Result<&[u8]> {
    let (block, bytes) = varint(bytes)?;
    let (parts, bytes) = varint(bytes)?;
    let (count, bytes) = varint(bytes)?;
    let (mut value, mut bytes) = zigzag(bytes)?;
    ensure!(count <= most, "its values say that they are {count}, the page says {most}");
    let part = block.checked_div(parts).filter(|part| part % 32 == 0 && *part > 0 && block % parts == 0);
    let part = part.with_context(|| format!("blocks of {block} values in {parts} parts"))?;
    if count > 0 {
        each(value)?;
    }
    let mut left = count.saturating_sub(1);
    while left > 0 {
        let (least, behind) = zigzag(bytes)?;
        let (widths, behind) = split(behind, parts)?;
        bytes = behind;
        for width in widths {
            if left == 0 {
                break;
            }
            ensure!(*width <= 64, "a number of {width} bits");
            let packed;
            (packed, bytes) = split(bytes, u64::from(*width).saturating_mul(part / 8))?;
            for at in 0..part.min(left) {
                value = value.wrapping_add(least).wrapping_add(bits(packed, at, *width).cast_signed());
                each(value)?;
            }
            left -= part.min(left);
        }
    }
    Ok(bytes)
}

/// Number `at` of those that have so many bits each, the lowest first.
fn bits(packed: &[u8], at: u64, width: u8) -> u64 {
    let first = at * u64::from(width);
    let bytes = packed.iter().skip((first / 8) as usize).take(9);
    let whole = bytes.enumerate().fold(0_u128, |whole, (i, byte)| whole | u128::from(*byte) << (8 * i));
    let mask = (1_u128 << width) - 1;
    ((whole >> (first % 8)) & mask) as u64
}

fn split(bytes: &[u8], at: u64) -> Result<(&[u8], &[u8])> {
    let at = usize::try_from(at).ok();
    at.and_then(|at| bytes.split_at_checked(at)).context("its values end too early")
}

/// Seven bits a byte, the lowest first.
fn varint(bytes: &[u8]) -> Result<(u64, &[u8])> {
    let mut value = 0_u64;
    for (shift, (at, byte)) in (0..64).step_by(7).zip(bytes.iter().enumerate()) {
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok((value, bytes.get(at + 1..).unwrap_or_default()));
        }
    }
    anyhow::bail!("a number that does not end")
}

fn zigzag(bytes: &[u8]) -> Result<(i64, &[u8])> {
    let (value, rest) = varint(bytes)?;
    Ok(((value >> 1).cast_signed() ^ -(value & 1).cast_signed(), rest))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn numbers(bytes: &[u8], most: u64) -> Result<(Vec<i64>, usize)> {
        let mut numbers = Vec::new();
        let rest = differences(bytes, most, |number| {
            numbers.push(number);
            Ok(())
        })?;
        Ok((numbers, rest.len()))
    }

    /// The examples of the specification: 1 to 5, and 7, 5, 3, 1, 2, 3, 4, 5, in blocks of 128 values in 4 parts.
    #[test]
    fn numbers_are_what_the_specification_says() {
        let bytes = [0x80, 0x01, 0x04, 0x05, 0x02, 0x02, 0, 0, 0, 0, 0xff];
        assert_eq!(numbers(&bytes, 5).unwrap(), (vec![1, 2, 3, 4, 5], 1));
        // Least difference -2, then 0 0 0 3 3 3 3 in two bits each.
        let packed = [0b1100_0000, 0b0011_1111, 0, 0, 0, 0, 0, 0];
        let bytes = [[0x80, 0x01, 0x04, 0x08, 0x0e, 0x03, 2, 0, 0, 0].as_slice(), &packed].concat();
        assert_eq!(numbers(&bytes, 8).unwrap(), (vec![7, 5, 3, 1, 2, 3, 4, 5], 0));
        assert_eq!(numbers(&[0x80, 0x01, 0x04, 0x00, 0x00], 0).unwrap(), (vec![], 0));
        for end in 0..bytes.len() {
            assert!(numbers(&bytes[..end], 8).is_err(), "{end}");
        }
    }

    fn said(encoding: Encoding, bytes: &[u8], values: u64) -> String {
        encoding.check(bytes, values).unwrap_err().to_string()
    }

    #[test]
    fn what_the_page_cannot_hold_is_said() {
        use Encoding::{Lengths, Numbers, Prefixes};
        // One block of 2^40 values, none of which takes a bit.
        let endless =
            [0x80, 0x80, 0x80, 0x80, 0x80, 0x20, 0x01, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20, 0x02, 0x02, 0];
        insta::assert_snapshot!(said(Numbers, &endless, 100), @r"its values say that they are 1099511627776, the page says 100");
        insta::assert_snapshot!(said(Lengths, &[0x81, 0x01, 0x04, 0x01, 0x00], 100), @r"blocks of 129 values in 4 parts");
        insta::assert_snapshot!(said(Lengths, &[0x80, 0x01, 0x00, 0x01, 0x00], 100), @r"blocks of 128 values in 0 parts");
        insta::assert_snapshot!(said(Numbers, &[0x80, 0x01, 0x04, 0x02, 0x00, 0x00, 65, 0, 0, 0], 100), @r"a number of 65 bits");
        insta::assert_snapshot!(said(Numbers, &[0xff; 20], 100), @r"a number that does not end");
        let one = |value: &[u8]| [&[0x80, 0x01, 0x04, 0x01], value].concat();
        assert!(Prefixes.check(&[one(&[0x00]), one(&[0x06]), vec![b'x'; 3]].concat(), 1).is_ok());
        insta::assert_snapshot!(said(Prefixes, &[one(&[0x06]), one(&[0x06])].concat(), 1), @r"a text begins with 3 bytes of one of 0");
        insta::assert_snapshot!(said(Prefixes, &[one(&[0x05]), one(&[0x06])].concat(), 1), @r"a text begins with -3 bytes of another");
        let far = one(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x20]);
        insta::assert_snapshot!(said(Prefixes, &[one(&[0x00]), far].concat(), 1), @r"a text of 549755813888 bytes in a page of 15");
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..200), values in 0..1000_u64) {
            for encoding in [Encoding::Numbers, Encoding::Lengths, Encoding::Prefixes] {
                drop(encoding.check(&bytes, values));
            }
            drop(encoding_of_good_begin(&bytes, values));
        }
    }

    /// Random bytes seldom begin as they should.
    fn encoding_of_good_begin(bytes: &[u8], values: u64) -> Result<()> {
        let bytes = [&[0x80, 0x01, 0x04, values as u8 & 0x7f], bytes].concat();
        Encoding::Prefixes.check(&bytes, values)
    }
}
