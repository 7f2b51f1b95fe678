//! Captures of packets.

use super::scratch::with_file;
use super::{says_something, survives};

/// Any bytes as a capture: an error that says why there is nothing in it, or rows that can be written and read.
pub fn packets(data: &[u8]) {
    match with_file(data, |path| tare::import::packets::read(path, "hop")) {
        Ok((rows, counts)) => {
            assert!(!rows.is_empty());
            assert_eq!(rows.len() as u64, counts.passages + counts.alone + counts.points);
            rows.iter().for_each(survives);
        }
        Err(failure) => says_something(&failure.into()),
    }
}
