//! Datasets of prompts.

use tare::config::Columns;
use tare::workload::jsonl::About;
use tare::workload::{Want, csv, jsonl, parquet, sharegpt};

use super::says_something;
use super::scratch::with_file;

/// Any bytes as a dataset, in the format that the first byte chooses: every entry has its place in the counts, and
/// what is taken is the same when it was written as a request set and read again.
pub fn dataset(data: &[u8]) {
    let [which, file @ ..] = data else { return };
    let count = |text: &str| text.len() as u32 / 4;
    let turns = which & 8 != 0;
    let want = Want { max_tokens: (which & 4 != 0).then_some(7), turns, count: &count };
    let read = with_file(file, |path| match which & 3 {
        0 => jsonl::read(path, &want),
        1 => sharegpt::read(path, &want),
        2 => csv::read(path, &Columns::default(), &want),
        _ => parquet::read(path, &Columns::default(), &want),
    });
    let read = match read {
        Ok(read) => read,
        Err(error) => return says_something(&error),
    };
    let prompts = read.prompts;
    assert_eq!(read.entries, read.broken.count + read.pruned.count + prompts.len() as u64);
    assert_eq!(read.broken.count == 0, read.broken.reasons.is_empty());
    let again = with_file(b"", |path| {
        jsonl::write(path, &prompts, false, About::default()).unwrap();
        jsonl::read(path, &Want { max_tokens: None, turns, count: &count }).unwrap()
    });
    assert_eq!(again.broken.reasons, [""; 0]);
    assert_eq!(format!("{prompts:?}"), format!("{:?}", again.prompts));
}
