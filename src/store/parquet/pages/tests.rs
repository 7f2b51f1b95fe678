//! Columns of pages written by hand: how each is walked, and what is said of each that cannot be.

use std::io::Cursor;

use super::*;

/// A number as it is written.
fn number(value: u32) -> Vec<u8> {
    let mut left = u64::from(value) << 1;
    let mut bytes = Vec::new();
    while left >= 0x80 {
        bytes.push(left as u8 | 0x80);
        left >>= 7;
    }
    bytes.push(left as u8);
    bytes
}

/// A structure of numbers, in the order of their fields; fields that are `None` are left out.
fn numbers(fields: &[Option<u32>]) -> Vec<u8> {
    let (mut bytes, mut step) = (Vec::new(), 0);
    for field in fields {
        step += 1;
        if let Some(value) = field {
            bytes.push(step << 4 | 0x05);
            bytes.extend(number(*value));
            step = 0;
        }
    }
    bytes
}

fn head(kind: u32, packed: u32, unpacked: u32, field_of_kind: u8, of_kind: &[Option<u32>]) -> Vec<u8> {
    let lengths = numbers(&[Some(kind), Some(unpacked), Some(packed)]);
    [lengths, vec![(field_of_kind - 3) << 4 | 0x0c], numbers(of_kind), vec![0, 0]].concat()
}

/// A page of data, of the first version, with its body.
fn data(packed: u32, unpacked: u32, values: u32) -> Vec<u8> {
    let encodings = [Some(0), Some(3), Some(3)];
    let of_kind = [[Some(values)].as_slice(), &encodings].concat();
    [head(0, packed, unpacked, 5, &of_kind), vec![7; packed as usize]].concat()
}

/// A page of data, of the second version, without its body.
fn data_v2(packed: u32, unpacked: u32, values: u32, definitions: u32, repetitions: u32) -> Vec<u8> {
    head(3, packed, unpacked, 8, &[values, 0, values, 0, definitions, repetitions].map(Some))
}

fn dictionary(packed: u32, unpacked: u32, values: u32) -> Vec<u8> {
    [head(2, packed, unpacked, 7, &[Some(values), Some(0)]), vec![7; packed as usize]].concat()
}

/// A column of 100 values of 32 bits, 1000 bytes unpacked, that begins at byte 4 of its file.
fn chunk(packing: Compression, pages: &[u8]) -> Chunk {
    Chunk {
        column: "n".to_owned(),
        range: 4..4 + pages.len() as u64,
        packing,
        values: 100,
        unpacked_bytes: 1000,
        value_bits: 32,
        has_levels: [false, true],
    }
}

fn walked(packing: Compression, pages: &[Vec<u8>]) -> Result<Pages> {
    let bytes = pages.concat();
    let file = [b"PAR1", bytes.as_slice(), b"what follows"].concat();
    walk(&mut Cursor::new(file), &chunk(packing, &bytes))
}

fn said(packing: Compression, pages: &[Vec<u8>]) -> String {
    format!("{:#}", walked(packing, pages).unwrap_err())
}

#[test]
fn the_pages_of_a_column_are_walked() {
    let pages = [dictionary(30, 40, 10), data(20, 300, 60), data(10, 200, 40)];
    let heads = pages.iter().map(|page| page.len() as u64).sum::<u64>() - 60;
    let together = Pages { count: 3, values: 100, heads_bytes: heads, packed_bytes: 60, unpacked_bytes: 540 };
    assert_eq!(walked(Compression::Zstd, &pages).unwrap(), together);
    // What is behind the last value is nobody's.
    let and_more = [pages[0].clone(), pages[1].clone(), pages[2].clone(), vec![0xff; 9]];
    assert_eq!(walked(Compression::Zstd, &and_more).unwrap(), together);
    let index = head(1, 0, 0, 6, &[]);
    let v2 = [data_v2(40, 60, 100, 20, 20), vec![7; 40]].concat();
    assert_eq!(walked(Compression::Zstd, &[index, v2]).unwrap().count, 2);
}

/// Each page but the last is one that could be.
#[test]
fn a_page_that_cannot_be_is_named_with_its_place() {
    use Compression::{Gzip, Lz4Raw, Snappy, Uncompressed, Zstd};
    let first = || data(9, 90, 60);
    insta::assert_snapshot!(said(Zstd, &[first(), data(9, 2_000_000_000, 40)]), @r"the file is damaged: column `n`, page 2 at byte 31: it says 2000000000 bytes unpacked, and 910 are left of those that the column says");
    insta::assert_snapshot!(said(Zstd, &[first(), head(0, 9, 90, 5, &[Some(40)])]), @r"the file is damaged: column `n`, page 2 at byte 31: it says 9 bytes, and 0 are left of the column");
    insta::assert_snapshot!(said(Zstd, &[first(), data(9, 911, 40)]), @r"the file is damaged: column `n`, page 2 at byte 31: it says 911 bytes unpacked, and 910 are left of those that the column says");
    insta::assert_snapshot!(said(Zstd, &[first(), data(9, 90, 41)]), @r"the file is damaged: column `n`, page 2 at byte 31: it says 41 values, and 40 are left of those that the column says");
    insta::assert_snapshot!(said(Zstd, &[first(), data(9, 90, 39)]), @r"the file is damaged: column `n`, which begins at byte 4: it says 100 values, and its 2 pages have 99");
    insta::assert_snapshot!(said(Uncompressed, &[data(9, 10, 100)]), @r"the file is damaged: column `n`, page 1 at byte 4: it says 10 bytes unpacked, and 9 packed, which are 9 at most (Uncompressed)");
    insta::assert_snapshot!(said(Snappy, &[data(20, 600, 100)]), @r"the file is damaged: column `n`, page 1 at byte 4: it says 600 bytes unpacked, and 20 packed, which are 504 at most (Snappy)");
    insta::assert_snapshot!(said(Gzip, &[data(0, 100, 100)]), @r"the file is damaged: column `n`, page 1 at byte 4: it says 100 bytes unpacked, and 0 packed, which are 64 at most (Gzip)");
    insta::assert_snapshot!(said(Lz4Raw, &[data(3, 900, 100)]), @r"the file is damaged: column `n`, page 1 at byte 4: it says 900 bytes unpacked, and 3 packed, which are 832 at most (Lz4Raw)");
    insta::assert_snapshot!(said(Zstd, &[dictionary(9, 90, 1_000_000_000)]), @r"the file is damaged: column `n`, page 1 at byte 4: it says 1000000000 values, and 90 bytes can hold 22");
    insta::assert_snapshot!(said(Zstd, &[[data_v2(9, 90, 100, 5, 5), vec![7; 9]].concat()]), @r"the file is damaged: column `n`, page 1 at byte 4: it says 10 bytes of levels, and 9 bytes in all");
    insta::assert_snapshot!(said(Zstd, &[first(), vec![0x15, 0x00]]), @r"the file is damaged: column `n`, page 2 at byte 31: its head does not end in the 2 bytes where it could be");
    insta::assert_snapshot!(said(Zstd, &[first(), vec![0x15, 0x00, 0x00]]), @r"the file is damaged: column `n`, page 2 at byte 31: its head: no count of values, after 3 of its bytes");
}

/// By the first byte of what is packed: 0x11 begins a window as the format has none.
#[test]
fn a_window_of_brotli_is_no_larger_than_it_may_be() {
    let packed = |page: Vec<u8>, first: u8| [page, vec![first], vec![7; 8]].concat();
    let data = |first| packed(head(0, 9, 90, 5, &[100, 0, 3, 3].map(Some)), first);
    let v2 = |level, first| {
        let page = data_v2(11, 92, 100, 2, 0);
        packed([page, vec![level; 2]].concat(), first)
    };
    for good in [data(0x0b), v2(0x11, 0x0b)] {
        assert_eq!(walked(Compression::Brotli, &[good]).unwrap().values, 100);
    }
    for damaged in [data(0x11), data(0x91), v2(0x0b, 0x11)] {
        let said = said(Compression::Brotli, &[damaged]);
        assert!(said.ends_with("it was packed with a window of more than 16 MiB"), "{said}");
    }
    assert_eq!(walked(Compression::Zstd, &[data(0x11)]).unwrap().values, 100);
    // Field 7 says that the body is not packed.
    let mut plain = [numbers(&[3, 11, 11].map(Some)), vec![0x5c]].concat();
    plain.extend(
        [numbers(&[100, 0, 100, 0, 2, 0].map(Some)), vec![0x12, 0, 0, 7, 7, 0x11], vec![7; 8]].concat(),
    );
    assert_eq!(walked(Compression::Brotli, &[plain]).unwrap().values, 100);
}

/// Bytes that end no head are read as far as a head could go, and no further.
#[test]
fn a_head_may_be_long() {
    let statistics = [vec![0x1c, 0x18], number(5000 / 2), vec![b'z'; 5000], vec![0x00]].concat();
    let of_kind = numbers(&[Some(100), Some(0), Some(3), Some(3)]);
    let lengths = numbers(&[Some(0), Some(90), Some(9)]);
    let long = [lengths, vec![0x2c], of_kind, statistics, vec![0, 0], vec![7; 9]].concat();
    let heads_bytes = long.len() as u64 - 9;
    assert_eq!(walked(Compression::Zstd, &[long]).unwrap().heads_bytes, heads_bytes);
    // The file has been cut since.
    let page = data(9, 90, 100);
    let cut = walk(
        &mut Cursor::new(page[..8].to_vec()),
        &Chunk { range: 0..1000, ..chunk(Compression::Zstd, &page) },
    );
    insta::assert_snapshot!(format!("{:#}", cut.unwrap_err()), @r"the file is damaged: column `n`, page 1 at byte 0: its head does not end in the 1000 bytes where it could be");
}

#[test]
fn a_column_without_values_has_no_pages_or_one() {
    let none = Chunk { values: 0, ..chunk(Compression::Zstd, &[]) };
    assert_eq!(walk(&mut Cursor::new(Vec::new()), &none).unwrap(), Pages::default());
    let one = dictionary(9, 90, 2);
    let none = Chunk { values: 0, range: 0..one.len() as u64, ..none };
    assert_eq!(walk(&mut Cursor::new(one), &none).unwrap().count, 1);
}

/// Two values are there, and their begin says 2^40: inside of a page of the first version, behind its levels, and of the
/// second.
#[test]
fn values_that_are_told_as_differences_are_counted() {
    let values = |count: &[u8]| [&[0x80, 0x01, 0x04], count, &[0x02, 0x02, 0, 0, 0, 0]].concat();
    let (good, endless) = (values(&[0x02]), values(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x20]));
    let page = |values: &[u8]| {
        let body = [[2, 0, 0, 0, 4, 1].as_slice(), values].concat();
        let length = body.len() as u32;
        [head(0, length, length, 5, &[2, 5, 3, 3].map(Some)), body].concat()
    };
    let page_v2 = |values: &[u8]| {
        let body = [[4, 1].as_slice(), values].concat();
        let length = body.len() as u32;
        [head(3, length, length, 8, &[2, 0, 2, 5, 2, 0].map(Some)), body].concat()
    };
    let walked = |page: Vec<u8>| {
        let chunk =
            Chunk { values: 2, range: 0..page.len() as u64, ..chunk(Compression::Uncompressed, &page) };
        walk(&mut Cursor::new(page), &chunk)
    };
    assert_eq!(walked(page(&good)).unwrap().values, 2);
    assert_eq!(walked(page_v2(&good)).unwrap().values, 2);
    for damaged in [page(&endless), page_v2(&endless)] {
        let said = format!("{:#}", walked(damaged).unwrap_err());
        assert!(said.ends_with("its values say that they are 1099511627776, the page says 2"), "{said}");
    }
    let mut damaged = page(&good);
    let levels = damaged.len() - good.len() - 6;
    damaged[levels + 1] = 0x40;
    let said = format!("{:#}", walked(damaged).unwrap_err());
    assert!(said.ends_with("its levels are longer than the page"), "{said}");
}
