//! One log line → one row: the format found, the line's own time resolved, everything counted, what
//! was not understood kept. This file does no I/O; the followers in `tail` feed it lines.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use tare_parsers::{Event, FORMATS, Format, LogLine, LogTime, Parsed};

use super::Ingested;
use super::lines::Line;
use super::log_event::log_event;
use super::partial::{Part, Parts};
use super::problem::{Notes, Problem, excerpt};
use super::reader::{Kind, LineReader, SERVER_LOG};
use super::zone::Zone;
use crate::clock::UnixNs;
use crate::record::{LogEvent, LogRow};
use crate::secrets::without_credentials;

/// An unparsed line is kept up to this many characters.
const MAX_UNPARSED_CHARS: usize = 2_000;
/// Lines that cannot be read are kept, so that they can be looked at; of a flood of them so many.
const MAX_UNPARSED_ROWS: u64 = 20_000;
/// The last lines, kept for the message when an attached server dies.
const RECENT_LINES: usize = 20;

/// What became of a log's lines: `seen = parsed + other + unparsed + bad + blank`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct LogCounts {
    pub seen: u64,
    /// Understood, and saying something about requests or the engine.
    pub parsed: u64,
    /// Understood, saying nothing that is used.
    pub other: u64,
    /// In no known format; kept.
    pub unparsed: u64,
    /// In a known format, but damaged; kept.
    pub bad: u64,
    pub blank: u64,
    /// Lines among these that were not UTF-8, and that were longer than is kept.
    pub lossy: u64,
    pub cut: u64,
    /// Files that were the log between two looks and were read afterwards; those that were gone by then.
    pub files_between: u64,
    pub files_lost: u64,
}

/// What a line's reading tells of when it was written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Freshness {
    /// Read as soon as it was written.
    Fresh,
    /// Out of a pipe: fresh, or replayed from long ago (as `docker logs -f` begins).
    Piped,
    /// Written any time before.
    Old,
}

/// Turns the lines of one source into rows.
pub struct LogReader {
    source: String,
    format: &'static Format,
    notes: Notes,
    line_no: u64,
    counts: LogCounts,
    zone: Zone,
    parts: Parts,
    scratch: String,
    recent: VecDeque<String>,
    /// Lines of a gateway's access log, and in which format the first of them was.
    hops: u64,
    gateway: Option<&'static str>,
}

/// What a line said about the server as a whole, for whoever started it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Sign {
    /// The URL it says it serves on.
    Serving(String),
    /// It takes requests now.
    Started,
}

impl LogReader {
    /// `format` is the name of the format expected; the first known one if `None`.
    pub fn new(source: impl Into<String>, format: Option<&str>, notes: Notes) -> Option<Self> {
        let named = format.and_then(|name| FORMATS.iter().find(|format| format.name == name));
        Some(Self {
            source: source.into(),
            format: named.or(FORMATS.first())?,
            notes,
            line_no: 0,
            counts: LogCounts::default(),
            zone: Zone::default(),
            parts: Parts::default(),
            scratch: String::new(),
            recent: VecDeque::new(),
            hops: 0,
            gateway: None,
        })
    }

    /// Looks at the first lines of a log and expects the format that recognises most of them.
    pub fn detect<'a>(&mut self, lines: impl Iterator<Item = &'a str>) {
        if let Some(format) = tare_parsers::detect(lines) {
            self.format = format;
        }
    }

    /// One line, read at `read`, with what it says of the server as a whole. Blank lines give no row.
    pub fn line(
        &mut self,
        line: &Line<'_>,
        read: UnixNs,
        freshness: Freshness,
    ) -> (Option<LogRow>, Option<Sign>) {
        self.line_no += 1;
        self.counts.seen += 1;
        self.counts.lossy += u64::from(line.lossy);
        self.counts.cut += u64::from(line.cut);
        self.remember(&line.text);
        match self.parts.next(&line.text) {
            Part::Whole => self.one(&line.text, None, read, freshness),
            Part::Kept => {
                self.counts.other += 1;
                (None, None)
            }
            Part::Ended { line, cut, time } => {
                self.counts.cut += u64::from(cut);
                self.one(&line, time, read, freshness)
            }
        }
    }

    /// A line that is whole; `outer` is a container run-time's stamp.
    fn one(
        &mut self,
        text: &str,
        outer: Option<LogTime>,
        read: UnixNs,
        freshness: Freshness,
    ) -> (Option<LogRow>, Option<Sign>) {
        let format = format_of(text, self.format);
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        let result = match (format.parse)(text, &mut scratch) {
            Parsed::Blank => {
                self.counts.blank += 1;
                (None, None)
            }
            Parsed::Line(parsed) => {
                let parsed = LogLine { time: LogTime::better(outer, parsed.time), ..parsed };
                self.understood(&parsed, text, read, freshness)
            }
            Parsed::Unknown(error) => {
                if (format.recognises)(text) {
                    self.counts.bad += 1;
                } else {
                    self.counts.unparsed += 1;
                }
                if self.counts.bad + self.counts.unparsed > MAX_UNPARSED_ROWS {
                    self.notes.add(format!(
                        "the log {} has more than {MAX_UNPARSED_ROWS} lines that cannot be read: the first are kept, the others only counted",
                        self.source
                    ));
                    self.scratch = scratch;
                    return (None, None);
                }
                let text = without_credentials(beginning(text)).into_owned();
                let reason = without_credentials(&error.to_string()).into_owned();
                let event = LogEvent::Unparsed { text, reason };
                (Some(self.row(read, event)), None)
            }
        };
        self.scratch = scratch;
        result
    }

    fn understood(
        &mut self,
        parsed: &LogLine<'_>,
        text: &str,
        read: UnixNs,
        freshness: Freshness,
    ) -> (Option<LogRow>, Option<Sign>) {
        let event = log_event(&parsed.event);
        if let Event::Hop(hop) = &parsed.event {
            self.hops += 1;
            self.gateway.get_or_insert(hop.product.name());
        }
        if event == LogEvent::Other {
            self.counts.other += 1;
        } else {
            self.counts.parsed += 1;
        }
        let sign = match &parsed.event {
            Event::Serving { url } => Some(Sign::Serving((*url).to_owned())),
            // llama.cpp says so when it begins to wait for tasks.
            _ if ["Application startup complete", "all slots are idle"].iter().any(|s| text.contains(s)) => {
                Some(Sign::Started)
            }
            _ => None,
        };
        let time = parsed.time.and_then(|time| self.stamp(time, read, freshness));
        let row = LogRow {
            time_unix_ns: time.map(|(at, _)| at),
            time_resolution_ns: time.map(|(_, resolution)| resolution),
            process: parsed.process.map(str::to_owned),
            level: parsed.level.map(str::to_owned),
            ..self.row(read, event)
        };
        (Some(row), sign)
    }

    fn row(&self, read: UnixNs, event: LogEvent) -> LogRow {
        LogRow {
            source: self.source.clone(),
            line_no: self.line_no,
            read_unix_ns: read,
            time_unix_ns: None,
            time_resolution_ns: None,
            process: None,
            level: None,
            event,
        }
    }

    /// The line's own time; that the log is of another zone is said once.
    fn stamp(&mut self, time: LogTime, read: UnixNs, freshness: Freshness) -> Option<(UnixNs, i64)> {
        let known = self.zone.minutes_ahead().is_some();
        let stamp = self.zone.stamp(time, read, freshness)?;
        if let Some(minutes) = self.zone.minutes_ahead().filter(|_| !known) {
            self.notes.add(format!(
                "the log {} is stamped in another time zone than this host's ({minutes:+} minutes): its times were shifted from line {} on",
                self.source, self.line_no
            ));
        }
        Some(stamp)
    }

    fn remember(&mut self, text: &str) {
        if self.recent.len() == RECENT_LINES {
            self.recent.pop_front();
        }
        self.recent.push_back(beginning(text).to_owned());
    }

    /// The last lines, fit to be shown.
    fn shown(&self) -> impl Iterator<Item = String> {
        self.recent.iter().map(|text| without_credentials(text).into_owned())
    }
}

impl LineReader for LogReader {
    fn kind(&self) -> &'static Kind {
        &SERVER_LOG
    }

    fn source(&self) -> &str {
        &self.source
    }

    fn look_at(&mut self, start: &str) {
        self.detect(start.lines());
    }

    fn take(
        &mut self,
        line: &Line<'_>,
        read: UnixNs,
        freshness: Freshness,
    ) -> (Option<Ingested>, Option<Sign>) {
        let (row, sign) = self.line(line, read, freshness);
        (row.map(Ingested::Log), sign)
    }

    fn counts(&self) -> LogCounts {
        self.counts
    }

    fn verdict(&self) -> Option<Problem> {
        let LogCounts { seen, parsed, other, unparsed, bad, blank, .. } = self.counts;
        let known = || FORMATS.iter().map(|format| format.name).collect::<Vec<_>>().join(", ");
        if parsed + other == 0 && unparsed + bad > 0 {
            let example = self
                .shown()
                .find(|line| !line.trim().is_empty())
                .map_or_else(String::new, |line| excerpt(&line, 80));
            let what = format!(
                "none of the {} lines read from the log {} is in a known format, for example `{example}`",
                seen - blank,
                self.source
            );
            return Some(Problem::new(what).hint(format!("known formats: {}", known())));
        }
        if let Some(gateway) = self.gateway {
            let what = format!(
                "{} of the {} lines read from the log {} are a gateway's (`{gateway}`): they say nothing of the inference server",
                self.hops,
                seen - blank,
                self.source
            );
            return Some(Problem::new(what).hint("give the inference server's own log"));
        }
        if self.counts.lossy > 0 || self.counts.cut > 0 {
            let what = format!(
                "in the log {}, {} lines were not UTF-8 (unreadable bytes replaced) and {} were longer than 1 MiB (the rest dropped)",
                self.source, self.counts.lossy, self.counts.cut
            );
            return Some(Problem::new(what));
        }
        None
    }

    fn recent(&self) -> Vec<String> {
        self.shown().collect()
    }
}

/// As much of a line as is kept of one that is not understood.
fn beginning(line: &str) -> &str {
    let end =
        if line.len() > MAX_UNPARSED_CHARS { line.char_indices().nth(MAX_UNPARSED_CHARS) } else { None };
    end.and_then(|(end, _)| line.get(..end)).unwrap_or(line)
}

/// The expected format, unless another one recognises the line and the expected one does not:
/// servers mix (vLLM writes its web server's lines bare among its own).
fn format_of(text: &str, expected: &'static Format) -> &'static Format {
    if (expected.recognises)(text) {
        return expected;
    }
    FORMATS.iter().find(|format| (format.recognises)(text)).unwrap_or(expected)
}
