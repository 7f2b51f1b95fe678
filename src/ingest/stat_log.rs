//! One line about a finished request → one row: of tare's stat logger, or of what a server writes down itself;
//! everything counted, the first line that is none named. This file does no I/O; the followers in `tail` feed it lines.

use tare_parsers::{Event, LogLine, LogTime, Parsed, RequestStats, sglang, tare_stat_log, tgi};

use super::Ingested;
use super::lines::Line;
use super::log::{Freshness, LogCounts, Sign};
use super::problem::Problem;
use super::reader::{Kind, LineReader, STAT_LOG};
use crate::clock::UnixNs;
use crate::record::StatRow;

/// Turns the lines of one stat log into rows.
pub struct StatReader {
    source: String,
    line_no: u64,
    counts: LogCounts,
    /// The first line that could not be read, and why.
    first_bad: Option<String>,
    last_error: Option<String>,
    scratch: String,
}

impl StatReader {
    pub fn new(source: impl Into<String>) -> Self {
        Self {
            source: source.into(),
            line_no: 0,
            counts: LogCounts::default(),
            first_bad: None,
            last_error: None,
            scratch: String::new(),
        }
    }

    /// One line, read at `read`; blank ones and such as are none of the plugin's give no row.
    pub fn line(&mut self, line: &Line<'_>, read: UnixNs) -> Option<StatRow> {
        self.line_no += 1;
        self.counts.seen += 1;
        self.counts.lossy += u64::from(line.lossy);
        self.counts.cut += u64::from(line.cut);
        self.last_error = None;
        let mut scratch = std::mem::take(&mut self.scratch);
        let row = match parse(&line.text, &mut scratch) {
            Parsed::Line(LogLine { event: Event::RequestStats(stats), time, .. }) => {
                self.counts.parsed += 1;
                Some(self.row(&stats, time, read))
            }
            Parsed::Line(_) => {
                self.counts.other += 1;
                None
            }
            Parsed::Blank => {
                self.counts.blank += 1;
                None
            }
            Parsed::Unknown(error) => {
                self.counts.bad += 1;
                self.first_bad.get_or_insert_with(|| format!("line {}: {error}", self.line_no));
                self.last_error = Some(error.to_string());
                None
            }
        };
        self.scratch = scratch;
        row
    }

    /// Why the last line could not be read, if it could not.
    pub fn last_error(&self) -> Option<String> {
        self.last_error.clone()
    }

    fn row(&self, stats: &RequestStats<'_>, time: Option<LogTime>, read: UnixNs) -> StatRow {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        // A server that does not stamp the end writes its line then.
        let written = match time {
            Some(LogTime::Unix { unix_ns, .. }) => Some(unix_ns),
            _ => None,
        };
        StatRow {
            source: self.source.clone(),
            line_no: self.line_no,
            read_unix_ns: read,
            pid: stats.pid,
            engine: stats.engine,
            request_id: owned(stats.request_id).unwrap_or_default(),
            trace_id: owned(stats.trace_id),
            finish_reason: owned(stats.finish_reason),
            iteration_unix_ns: stats.iteration_unix_ns.or(written).map(UnixNs),
            e2e_s: stats.e2e_s,
            ttft_s: stats.ttft_s,
            queue_s: stats.queue_s,
            prefill_s: stats.prefill_s,
            inference_s: stats.inference_s,
            decode_s: stats.decode_s,
            input_tokens: stats.input_tokens,
            output_tokens: stats.output_tokens,
            cached_tokens: stats.cached_tokens,
            preemptions: stats.preemptions,
            max_tokens: stats.max_tokens,
        }
    }
}

/// Whether a line is in one of the formats that tell of finished requests.
pub fn recognises(line: &str) -> bool {
    [tare_stat_log::recognises, sglang::recognises, tgi::recognises].iter().any(|knows| knows(line))
}

/// By whichever format that tells of finished requests knows the line; tare's own, where none does.
fn parse<'a>(line: &'a str, scratch: &'a mut String) -> Parsed<'a> {
    if sglang::recognises(line) {
        sglang::parse(line, scratch)
    } else if tgi::recognises(line) {
        tgi::parse(line, scratch)
    } else {
        tare_stat_log::parse(line, scratch)
    }
}

impl LineReader for StatReader {
    fn kind(&self) -> &'static Kind {
        &STAT_LOG
    }

    fn source(&self) -> &str {
        &self.source
    }

    fn take(&mut self, line: &Line<'_>, read: UnixNs, _: Freshness) -> (Option<Ingested>, Option<Sign>) {
        (self.line(line, read).map(Ingested::Stat), None)
    }

    fn counts(&self) -> LogCounts {
        self.counts
    }

    fn verdict(&self) -> Option<Problem> {
        let first = self.first_bad.as_ref()?;
        let LogCounts { seen, parsed, bad, blank, .. } = self.counts;
        let all = seen - blank;
        Some(if parsed == 0 {
            Problem::new(format!(
                "none of the {all} lines read from the stat log {} is one of tare's stat logger; {first}",
                self.source
            ))
            .hint(STAT_LOG.wanted)
        } else {
            Problem::new(format!(
                "{bad} of {all} lines of the stat log {} could not be read; the first is {first}",
                self.source
            ))
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> (Vec<StatRow>, StatReader) {
        let mut reader = StatReader::new("stat.jsonl");
        let rows = lines
            .iter()
            .filter_map(|text| {
                reader.line(&Line { text: (*text).into(), lossy: false, cut: false }, UnixNs(7))
            })
            .collect();
        (rows, reader)
    }

    const GOOD: &str = r#"{"v":1,"pid":3,"engine":1,"request_id":"cmpl-x-0","iteration_unix_ns":1795533161950697422,"e2e_s":0.25}"#;

    #[test]
    fn good_lines_survive_bad_ones_and_both_are_counted() {
        let (rows, reader) = read(&[GOOD, "", "garbage", GOOD, "{\"v\":2}"]);
        assert_eq!((rows.len(), rows[1].line_no, rows[1].source.as_str()), (2, 4, "stat.jsonl"));
        assert_eq!(
            (rows[0].request_id.as_str(), rows[0].iteration_unix_ns, rows[0].e2e_s, rows[0].queue_s),
            ("cmpl-x-0", Some(UnixNs(1_795_533_161_950_697_422)), Some(0.25), None)
        );
        let LogCounts { seen, parsed, bad, blank, .. } = reader.counts();
        assert_eq!((seen, parsed, bad, blank), (5, 2, 2, 1));
        assert_eq!(
            reader.verdict().unwrap().what,
            "2 of 4 lines of the stat log stat.jsonl could not be read; the first is line 3: tare_stat_log: expected `{` at column 1, found \"garbage\""
        );
    }

    #[test]
    fn a_file_of_something_else_is_said() {
        let (rows, reader) = read(&["INFO 11-24 15:12:07 [x.py:1] Added request a."]);
        assert!(rows.is_empty());
        let verdict = reader.verdict().unwrap();
        assert!(
            verdict.what.starts_with("none of the 1 lines read from the stat log stat.jsonl"),
            "{verdict}"
        );
        assert!(verdict.hint.unwrap().contains("TARE_STAT_LOG"));
        assert_eq!(read(&[GOOD]).1.verdict(), None);
    }
}
