//! The lines of tare's own stat logger for vLLM, read as a run reads them. It must not know what is
//! done with the rows.

use std::path::Path;

use super::input::{Reading, first_lines};
use super::{Format, Of, Reads};
use crate::clock::UnixNs;
use crate::ingest::lines::Line;
use crate::ingest::stat_log::StatReader;

pub(super) const FORMAT: Format = Format {
    name: "tare_stat_log",
    of: Of::StatLog,
    description: "finished requests by tare's stat logger (assets/vllm_tare_logger)",
    reads: Reads::Text {
        recognises: |text| first_lines(text).any(tare_parsers::tare_stat_log::recognises),
        read,
    },
};

fn read(text: &str, reading: &mut Reading<'_>) {
    let mut reader = StatReader::new(source(reading.path));
    // Nobody noted when the lines were read: when they were written is all there is.
    reading.each_line(text, |line_no, line, rows| {
        let parsed = reader.line(&Line { text: line.into(), lossy: false, cut: false }, UnixNs(0));
        let mut row = parsed.ok_or_else(|| reader.last_error().unwrap_or_default())?;
        row.line_no = line_no;
        row.read_unix_ns = row.iteration_unix_ns.unwrap_or_default();
        rows.stats.push(row);
        Ok(())
    });
}

/// The file as rows name it.
pub(super) fn source(path: &Path) -> String {
    path.display().to_string()
}
