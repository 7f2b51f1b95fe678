//! Whole files, as they were written and damaged: what adds up, and what is refused.

use std::fs::File;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use super::*;
use crate::record::fixture::finished;
use crate::store::columns::Columns;
use crate::store::events::Events;
use crate::store::events_parquet;
use crate::store::guard::guarded;

const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/samples/parquet");

fn samples() -> Vec<PathBuf> {
    let files = std::fs::read_dir(SAMPLES).unwrap().map(|entry| entry.unwrap().path());
    let mut samples: Vec<PathBuf> =
        files.filter(|file| file.extension().is_some_and(|e| e == "parquet")).collect();
    samples.sort();
    samples
}

fn sample() -> Vec<u8> {
    std::fs::read(Path::new(SAMPLES).join("types.parquet")).unwrap()
}

/// `events.parquet` of one whole group of rows and a part of another.
fn events_of_a_run() -> Vec<u8> {
    let mut one = finished(0);
    one.events = one.events.iter().copied().cycle().take(50_000).collect();
    let mut events = Events::default();
    for i in 0..3 {
        one.row.request_id = format!("request-{i}");
        events.push(&one);
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.parquet");
    events_parquet::write(&path, &events.into()).unwrap();
    std::fs::read(path).unwrap()
}

/// The pages of every column, beside what the file says of the column.
fn walked(bytes: Vec<u8>) -> Vec<(Pages, Chunk)> {
    let length = bytes.len() as u64;
    let mut file = ParquetFile::open(Cursor::new(bytes), length).unwrap();
    let columns: Vec<String> = file.columns().map(|(name, _)| name.to_owned()).collect();
    let pages = file.walk(&columns).unwrap();
    let chunks = file.metadata.row_groups.iter().flat_map(RowGroupMetadata::parquet_columns);
    let chunks: Vec<Chunk> = chunks.map(|chunk| described(chunk).unwrap()).collect();
    assert_eq!(pages.len(), chunks.len());
    pages.into_iter().zip(chunks).collect()
}

/// By the format's own rule: what a column says of its length is the sum of its pages, heads included.
#[test]
fn the_pages_of_every_sample_add_up_to_their_columns() {
    let files = samples();
    assert!(!files.is_empty());
    let files = files.into_iter().map(|file| std::fs::read(file).unwrap()).chain([events_of_a_run()]);
    for file in files {
        for (pages, chunk) in walked(file) {
            let column = &chunk.column;
            assert_eq!(
                pages.heads_bytes + pages.packed_bytes,
                chunk.range.end - chunk.range.start,
                "{column}"
            );
            assert_eq!(pages.heads_bytes + pages.unpacked_bytes, chunk.unpacked_bytes, "{column}");
            assert_eq!(pages.values, chunk.values, "{column}");
        }
    }
}

/// Four bytes of the head, which say 1 MiB unpacked, say 128 MiB.
#[test]
fn a_page_of_a_run_that_says_it_is_larger_is_named() {
    let mut file = events_of_a_run();
    let chunks = walked(file.clone());
    let (_, chunk) = chunks.iter().find(|(_, chunk)| chunk.column == "stamp_hi_unix_ns").unwrap();
    let at = chunk.range.start as usize;
    assert_eq!(file[at..at + 7], [0x15, 0x00, 0x15, 0x80, 0x80, 0x80, 0x01]);
    file[at + 3..at + 7].copy_from_slice(&[0xfe, 0xff, 0xff, 0x7f]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.parquet");
    std::fs::write(&path, file).unwrap();
    let said = format!("{:#}", events_parquet::read(&path).unwrap_err());
    let expected = format!(
        "the file is damaged: column `stamp_hi_unix_ns`, page 1 at byte {at}: it says 134217727 bytes unpacked, and {} \
         are left of those that the column says",
        chunk.unpacked_bytes
    );
    assert!(said.ends_with(&expected), "{said}");
}

/// A column of a type that is not read is not looked at.
#[test]
fn damage_in_a_column_that_is_not_read_costs_nothing() {
    let chunks = walked(sample());
    let (_, price) = chunks.iter().find(|(_, chunk)| chunk.column == "price").unwrap();
    let mut file = sample();
    file[price.range.start as usize..price.range.end as usize].fill(0xff);
    assert_eq!(Columns::read(file.clone()).unwrap().height(), 2);
    let (_, prompt) = chunks.iter().find(|(_, chunk)| chunk.column == "prompt").unwrap();
    file[prompt.range.start as usize] = 0x18;
    let said = format!("{:#}", Columns::read(file).err().unwrap());
    insta::assert_snapshot!(said, @r"the file is damaged: column `prompt`, page 1 at byte 4: its head: a field of another type, after 1 of its bytes");
}

/// The last eight bytes are the length of what the file says of itself, and a mark.
fn where_it_speaks_of_itself(file: &[u8]) -> Range<usize> {
    let tail = file.len() - 8;
    let length = u32::from_le_bytes(file[tail..tail + 4].try_into().unwrap()) as usize;
    tail - length..tail
}

/// The file with `bytes` in place of `instead` at each place where it speaks of itself.
fn damaged(file: &[u8], instead: usize, bytes: &'static [u8]) -> impl Iterator<Item = Vec<u8>> {
    let said = where_it_speaks_of_itself(file);
    let length = (said.len() + bytes.len() - instead) as u32;
    (said.start..said.end - instead).map(move |at| {
        let mut damaged = file.to_vec();
        damaged.splice(at..at + instead, bytes.iter().copied());
        let tail = damaged.len() - 8;
        damaged[tail..tail + 4].copy_from_slice(&length.to_le_bytes());
        damaged
    })
}

fn opened(file: Vec<u8>) -> Result<()> {
    let bytes = file.len() as u64;
    guarded(|| ParquetFile::open(Cursor::new(file), bytes).map(drop))
}

/// Numbers have seven bits a byte, and a byte above 0x7f says that there is another: five of them before a small
/// number make a large one, which is not negative if the first is even.
#[test]
fn a_file_that_says_that_it_is_larger_than_it_can_be_is_an_error() {
    assert!(opened(sample()).is_ok());
    let mut refused = 0;
    for file in damaged(&sample(), 0, &[0xfe; 5]) {
        if let Err(error) = opened(file.clone()) {
            refused += usize::from(error.to_string().contains("the file is damaged: it says"));
        }
        // Whatever it says, reading it comes back.
        drop(Columns::read(file));
    }
    assert!(refused > 0, "no count of rows was among what was changed");
}

/// A list of structures, as columns and groups of rows are, that says it has 2,147,483,647 of them: polars would ask for
/// as many times what one takes.
#[test]
fn a_list_is_no_longer_than_the_bytes_in_which_it_is() {
    let mut refused = 0;
    for file in damaged(&sample(), 1, &[0xfc, 0xff, 0xff, 0xff, 0xff, 0x07]) {
        if let Err(error) = opened(file) {
            let said = error.to_string();
            refused += usize::from(said.contains("in which it speaks of itself: it needs 21474"));
        }
    }
    assert!(refused >= 2, "the lists of columns and of groups were not among what was changed");
}

#[test]
fn columns_are_nested_so_deep_and_no_deeper() {
    // Fields 4 (a name) and 5 (one column in it), or no column.
    let group = [0x48, 0x01, b'g', 0x15, 0x02, 0x00];
    let leaf = [0x48, 0x01, b'x', 0x00];
    let nested = |times: usize| {
        let elements = [group.repeat(times), leaf.to_vec()].concat();
        let count = times as u8 + 1;
        [vec![0x29, 0xfc, count | 0x80, 0x01 & (count >> 7)], elements, vec![0x00]].concat()
    };
    assert!(footer::check(&nested(100)).is_ok());
    insta::assert_snapshot!(footer::check(&nested(101)).unwrap_err(), @r"the file is damaged: it says that columns are nested 101 times, at most 100 are read");
}

/// A file of its own, as `tare report` reads one: positioned reads, no copy of it in memory.
#[test]
fn a_file_is_walked_as_its_bytes_are() {
    let path = Path::new(SAMPLES).join("types.parquet");
    let file = File::open(&path).unwrap();
    let length = file.metadata().unwrap().len();
    let mut file = ParquetFile::open(file, length).unwrap();
    let columns = vec!["prompt".to_owned(), "output_tokens".to_owned()];
    assert_eq!(file.walk(&columns).unwrap().len(), 2);
    assert_eq!(file.read(columns).unwrap().height(), 2);
}

/// The same twelve rows, by three writers, in six ways of packing and as many encodings.
#[test]
fn however_rows_are_packed_they_are_the_same() {
    let plain = Columns::read(std::fs::read(Path::new(SAMPLES).join("snappy.parquet")).unwrap()).unwrap();
    assert_eq!(plain.height(), 12);
    let mut compared = 0;
    for path in samples() {
        let read = Columns::read(std::fs::read(&path).unwrap()).unwrap();
        if path.file_name().unwrap() == "types.parquet" {
            continue;
        }
        for name in read.names() {
            assert_eq!(read.cells(name), plain.cells(name), "{}: {name}", path.display());
            compared += 1;
        }
    }
    assert!(compared > 50, "{compared}");
}
