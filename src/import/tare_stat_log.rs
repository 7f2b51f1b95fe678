//! The lines of tare's own stat logger for vLLM, and what servers write themselves of finished requests
//! (`SGLang`'s `--export-metrics-to-file`, Text Generation Inference's log), read as a run reads them. It
//! must not know what is done with the rows.

use std::path::Path;

use super::input::{Reading, first_lines};
use super::{Format, Of, Reads};
use crate::clock::UnixNs;
use crate::ingest::lines::Line;
use crate::ingest::stat_log::{self, StatReader};

pub(super) const FORMAT: Format = Format {
    name: "tare_stat_log",
    of: Of::StatLog,
    description: "finished requests by tare's stat logger (assets/vllm_tare_logger), SGLang's --export-metrics-to-file or TGI's log",
    reads: Reads::Text { recognises: |text| first_lines(text).any(stat_log::recognises), read },
};

fn read(text: &str, reading: &mut Reading<'_>) {
    let mut reader = StatReader::new(source(reading.path));
    // Nobody noted when the lines were read: when they were written is all there is.
    reading.each_line(text, |line_no, line, rows| {
        let parsed = reader.line(&Line { text: line.into(), lossy: false, cut: false }, UnixNs(0));
        // A line that tells of no finished request is none that could not be read.
        let Some(mut row) = parsed else { return reader.last_error().map_or(Ok(()), Err) };
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
