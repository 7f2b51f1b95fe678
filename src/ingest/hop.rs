//! One line of a hop's log → one row: the product found, its instants resolved, everything counted, the
//! first line that is none named. This file does no I/O; the followers in `tail` feed it lines.

use tare_parsers::{Completeness as Ended, Event, FORMATS, Format, Hop, HopTime, Parsed, Product, Try};

use super::Ingested;
use super::hops_seen::HopsSeen;
use super::lines::Line;
use super::log::{Freshness, LogCounts, Sign};
use super::partial::{Part, Parts};
use super::problem::{Notes, Problem, excerpt};
use super::reader::{HOP_LOG, Kind, LineReader};
use super::zone::Zone;
use crate::clock::UnixNs;
use crate::record::hop::Completeness;
use crate::record::{HopRow, HopTry, ToldBy};
use crate::secrets::without_credentials;

/// Turns the lines of one hop's log into rows.
pub struct HopReader {
    hop: String,
    source: String,
    /// As the user named it; else the first line that a product recognises decides.
    format: Option<&'static Format>,
    notes: Notes,
    line_no: u64,
    counts: LogCounts,
    zone: Zone,
    /// The first line that could not be read, and why; the first that no product knows.
    first_bad: Option<String>,
    first_unknown: Option<String>,
    /// The product whose line the first that could not be read looks like.
    looks_like: Option<&'static str>,
    /// Rows with a name by which they can be found, and with an instant.
    named: u64,
    dated: u64,
    turn_on: Option<&'static str>,
    seen: HopsSeen,
    parts: Parts,
    scratch: String,
}

impl HopReader {
    /// `kind` is the name of a product's format; one that is not known is found by looking.
    pub fn new(hop: impl Into<String>, kind: Option<&str>, source: impl Into<String>, notes: Notes) -> Self {
        Self {
            hop: hop.into(),
            source: source.into(),
            format: kind.and_then(|name| FORMATS.iter().find(|format| format.name == name)),
            notes,
            line_no: 0,
            counts: LogCounts::default(),
            zone: Zone::default(),
            first_bad: None,
            first_unknown: None,
            looks_like: None,
            named: 0,
            dated: 0,
            turn_on: None,
            seen: HopsSeen::default(),
            parts: Parts::default(),
            scratch: String::new(),
        }
    }

    /// Tells `seen` of each row.
    #[must_use]
    pub fn telling(self, seen: HopsSeen) -> Self {
        Self { seen, ..self }
    }

    /// One line, read at `read`.
    pub fn line(&mut self, line: &Line<'_>, read: UnixNs, freshness: Freshness) -> Option<HopRow> {
        self.line_no += 1;
        self.counts.seen += 1;
        self.counts.lossy += u64::from(line.lossy);
        self.counts.cut += u64::from(line.cut);
        if line.text.trim().is_empty() {
            self.counts.blank += 1;
            return None;
        }
        match self.parts.next(&line.text) {
            Part::Whole => self.one(&line.text, read, freshness),
            Part::Kept => {
                self.counts.other += 1;
                None
            }
            Part::Ended { line, cut, .. } => {
                self.counts.cut += u64::from(cut);
                self.one(&line, read, freshness)
            }
        }
    }

    /// A line that is whole.
    fn one(&mut self, text: &str, read: UnixNs, freshness: Freshness) -> Option<HopRow> {
        let Some(format) = self.format.or_else(|| tare_parsers::detect(std::iter::once(text))) else {
            self.counts.unparsed += 1;
            self.first_unknown.get_or_insert_with(|| {
                format!("line {}: `{}`", self.line_no, without_credentials(&excerpt(text, 80)))
            });
            return None;
        };
        self.format = Some(format);
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        let row = match (format.parse)(text, &mut scratch) {
            Parsed::Line(parsed) => {
                if let Event::Hop(hop) = &parsed.event {
                    self.counts.parsed += 1;
                    Some(self.row(hop, read, freshness))
                } else {
                    self.counts.other += 1;
                    None
                }
            }
            Parsed::Blank => {
                self.counts.blank += 1;
                None
            }
            Parsed::Unknown(error) => {
                self.counts.bad += 1;
                if self.first_bad.is_none() {
                    let other = tare_parsers::detect(std::iter::once(text));
                    self.looks_like = other.map(|other| other.name).filter(|other| *other != format.name);
                    let said = error.to_string();
                    self.first_bad = Some(format!("line {}: {}", self.line_no, without_credentials(&said)));
                }
                None
            }
        };
        self.scratch = scratch;
        row
    }

    fn row(&mut self, hop: &Hop<'_>, read: UnixNs, freshness: Freshness) -> HopRow {
        self.turn_on = Some(hop.product.turn_on());
        let known = self.zone.minutes_ahead().is_some();
        // The end is nearest to the reading: it shows the zone.
        let end = hop.end.and_then(|time| self.instant(time, read, freshness));
        let start = hop.start.and_then(|time| self.instant(time, read, freshness));
        if let Some(minutes) = self.zone.minutes_ahead().filter(|_| !known) {
            self.notes.add(format!(
                "the log {} is stamped in another time zone than this host's ({minutes:+} minutes): its times were shifted from line {} on",
                self.source, self.line_no
            ));
        }
        let row = row(hop, start, end);
        let is_named = row.request_id.is_some()
            || row.response_id.is_some()
            || row.trace_id.is_some()
            || row.client.as_ref().is_some_and(|client| client.contains(':'));
        self.named += u64::from(is_named);
        self.dated += u64::from(start.is_some());
        HopRow {
            hop: self.hop.clone(),
            source: self.source.clone(),
            line_no: self.line_no,
            read_unix_ns: Some(read),
            ..row
        }
    }

    fn instant(&mut self, time: HopTime, read: UnixNs, freshness: Freshness) -> Option<Instant> {
        let (at, resolution_ns) = self.zone.stamp(time.time, read, freshness)?;
        Some(Instant { at, resolution_ns, slack_ns: time.slack_ns })
    }
}

/// An instant by the hop's clock, resolved.
#[derive(Clone, Copy, Debug)]
pub struct Instant {
    pub at: UnixNs,
    pub resolution_ns: i64,
    pub slack_ns: i64,
}

/// What a product's line says, without where it was read.
pub fn row(hop: &Hop<'_>, start: Option<Instant>, end: Option<Instant>) -> HopRow {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let phases = &hop.phases;
    HopRow {
        product: hop.product.name().to_owned(),
        told_by: if hop.product == Product::TareTap { ToldBy::Tap } else { ToldBy::Log },
        request_id: owned(hop.request_id.as_deref()),
        own_id: owned(hop.own_id.as_deref()),
        response_id: owned(hop.response_id.as_deref()),
        trace_id: owned(hop.trace_id),
        client: owned(hop.client.as_deref()),
        outgoing: owned(hop.outgoing.as_deref()),
        path: owned(hop.path.as_deref()),
        start_unix_ns: start.map(|i| i.at),
        start_resolution_ns: start.map(|i| i.resolution_ns),
        start_slack_ns: start.map(|i| i.slack_ns),
        end_unix_ns: end.map(|i| i.at),
        end_resolution_ns: end.map(|i| i.resolution_ns),
        end_slack_ns: end.map(|i| i.slack_ns),
        timer_resolution_ns: hop.timer_resolution_ns,
        request_head_s: phases.request_head_s,
        request_received_s: phases.request_received_s,
        queue_s: phases.queue_s,
        connected_s: phases.connected_s,
        upstream_sent_s: phases.upstream_sent_s,
        upstream_head_s: phases.upstream_head_s,
        upstream_first_body_s: phases.upstream_first_body_s,
        first_token_in_s: phases.first_token_in_s,
        first_token_out_s: phases.first_token_out_s,
        last_token_in_s: phases.last_token_in_s,
        last_token_out_s: phases.last_token_out_s,
        upstream_end_s: phases.upstream_end_s,
        head_sent_s: phases.head_sent_s,
        total_s: phases.total_s,
        stated: hop.stated.iter().map(|(name, seconds)| ((*name).to_owned(), *seconds)).collect(),
        tries: hop.tries.iter().map(one_try).collect(),
        attempts: hop.attempts,
        status: hop.status,
        completeness: match hop.completeness {
            Ended::Complete => Completeness::Complete,
            Ended::Cut => Completeness::Cut,
            Ended::Aborted => Completeness::Aborted,
            Ended::Unknown => Completeness::Unknown,
        },
        // LiteLLM's is an error's text, which may repeat a key.
        end_reason: hop.end_reason.as_deref().map(|text| without_credentials(text).into_owned()),
        received_bytes: hop.received_bytes,
        sent_bytes: hop.sent_bytes,
        ..HopRow::default()
    }
}

fn one_try(one: &Try<'_>) -> HopTry {
    HopTry {
        address: one.address.as_deref().map(str::to_owned),
        status: one.status,
        connect_s: one.connect_s,
        head_s: one.head_s,
        end_s: one.end_s,
    }
}

impl LineReader for HopReader {
    fn kind(&self) -> &'static Kind {
        &HOP_LOG
    }

    fn source(&self) -> &str {
        &self.source
    }

    fn look_at(&mut self, start: &str) {
        self.format = self.format.or_else(|| tare_parsers::detect(start.lines()));
    }

    fn take(
        &mut self,
        line: &Line<'_>,
        read: UnixNs,
        freshness: Freshness,
    ) -> (Option<Ingested>, Option<Sign>) {
        let row = self.line(line, read, freshness);
        if let Some(row) = &row {
            self.seen.note(row);
        }
        (row.map(|row| Ingested::Hop(Box::new(row))), None)
    }

    fn counts(&self) -> LogCounts {
        self.counts
    }

    fn verdict(&self) -> Option<Problem> {
        let LogCounts { seen, parsed, other, unparsed, bad, blank, .. } = self.counts;
        let (all, source, hop) = (seen - blank, &self.source, &self.hop);
        let first = self.first_bad.as_ref().or(self.first_unknown.as_ref());
        if parsed == 0 && all > 0 {
            let looks = self.format.map(|format| format.name);
            let said = first.map(|first| format!("; {first}")).unwrap_or_default();
            let what = match looks {
                Some(looks) if unparsed == 0 && other > 0 && bad == 0 => format!(
                    "the {all} lines read from the log {source} of the hop `{hop}` look like `{looks}` and tell of no request that passed"
                ),
                Some(looks) => format!(
                    "none of the {all} lines read from the log {source} of the hop `{hop}` could be read as `{looks}`{said}"
                ),
                None => format!(
                    "none of the {all} lines read from the log {source} of the hop `{hop}` is in a gateway's format that is known{said}"
                ),
            };
            let problem = Problem::new(what);
            return Some(match self.looks_like {
                Some(other) => problem.hint(format!("it looks like `{other}`: name that kind, or none")),
                None => problem.hint(HOP_LOG.wanted),
            });
        }
        if let Some(turn_on) = self.turn_on.filter(|_| self.named == 0 || self.dated == 0) {
            let lacks = if self.named == 0 { "an id or a client's port" } else { "an instant" };
            let what =
                format!("no line of the log {source} of the hop `{hop}` has {lacks}: none can be joined");
            return Some(Problem::new(what).hint(format!("wanted are {turn_on}")));
        }
        let lost = bad + unparsed;
        first.filter(|_| lost > 0).map(|first| {
            Problem::new(format!(
                "{lost} of {all} lines of the log {source} of the hop `{hop}` could not be read; the first is {first}"
            ))
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
