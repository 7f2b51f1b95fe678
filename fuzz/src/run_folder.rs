//! The lines of a run folder's streams, and its manifest.

use serde::Serialize;
use serde::de::DeserializeOwned;
use tare::record::begun::Begun;
use tare::record::{HopRow, LogRow, RequestRow, ScrapeRow, SpanRow, StatRow};
use tare::store::{Lines, Manifest};

use super::survives;

/// Any bytes as the file that the first byte chooses: every line is a row, blank, bad or the torn last one, and a row
/// is written as it was read.
pub fn run_folder(data: &[u8]) {
    let [which, file @ ..] = data else { return };
    match which & 7 {
        0 => stream::<RequestRow>(file),
        1 => stream::<Begun>(file),
        2 => stream::<ScrapeRow>(file),
        3 => stream::<LogRow>(file),
        4 => stream::<SpanRow>(file),
        5 => stream::<StatRow>(file),
        6 => stream::<HopRow>(file),
        _ => {
            if let Ok(manifest) = serde_json::from_slice::<Manifest>(file) {
                survives(&manifest);
            }
        }
    }
}

fn stream<T: Serialize + DeserializeOwned>(file: &[u8]) {
    let lines = Lines::<T>::parse(file);
    let filled = file.split(|byte| *byte == b'\n').filter(|line| !line.iter().all(u8::is_ascii_whitespace));
    assert_eq!(lines.rows.len() as u64 + lines.bad + u64::from(lines.torn), filled.count() as u64);
    assert_eq!(lines.bad == 0, lines.bad_lines.is_empty());
    assert_eq!(lines.bad == 0 && !lines.torn, lines.complaint("x").is_none());
    lines.rows.iter().for_each(survives);
}
