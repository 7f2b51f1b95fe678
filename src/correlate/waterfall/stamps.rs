//! Every stamp of one request, on the client's axis. What cannot be placed there is not here but under
//! what is unknown.

use crate::clock::UnixNs;
use crate::record::correlated::Within;
use crate::record::hops::Passage;
use crate::record::waterfall::{By, Stamp};
use crate::record::{Connection, JoinedRow, LogLine, LogSays, Source, StampSource};

/// The stamps, by their lower bounds.
pub fn in_time(row: &JoinedRow) -> Vec<Stamp> {
    let mut found = of(row);
    found.sort_by(|a, b| a.lo_s.total_cmp(&b.lo_s).then(a.hi_s.total_cmp(&b.hi_s)));
    found
}

/// The stamps, source by source.
pub fn of(row: &JoinedRow) -> Vec<Stamp> {
    let c = &row.client;
    let mut all = Stamps { begin: c.started_unix_ns, found: Vec::new() };
    let read_by = match c.stamps {
        StampSource::User => By::User,
        StampSource::Kernel => By::Kernel,
        StampSource::Packet => By::Packet,
    };
    all.point("scheduled", By::Schedule, Some(c.scheduled_unix_ns));
    all.point("started", By::User, Some(c.started_unix_ns));
    all.point("connect begins", By::User, c.connect_begin_unix_ns);
    all.point("connected", By::User, c.connect_end_unix_ns);
    all.point("TLS handshake done", By::User, c.tls_end_unix_ns);
    all.point("send begins", By::User, c.send_begin_unix_ns);
    all.point("sent", By::User, c.sent_unix_ns);
    if c.connection == Connection::Retried {
        all.note("sent a second time, on a new connection: the stamps are of that");
    }
    // Read by read also where tokens are dated by packets.
    let per_read = if read_by == By::Packet { By::Kernel } else { read_by };
    all.point("head of the answer", per_read, c.head_unix_ns);
    all.between("first token", read_by, c.first_token_lo_unix_ns, c.first_token_unix_ns, READ);
    all.point("first token in hand", By::User, c.first_token_user_unix_ns);
    if c.first_content_unix_ns != c.first_token_unix_ns {
        all.point("first visible text", read_by, c.first_content_unix_ns);
    }
    let last = if c.n_events > 0 { "last token" } else { "whole answer" };
    if c.n_events != 1 {
        all.between(last, read_by, c.last_token_lo_unix_ns, c.last_token_unix_ns, READ);
    }
    all.point("done", By::User, Some(c.done_unix_ns));

    let by = |source: Option<Source>| if source == Some(Source::StatLog) { By::StatLog } else { By::Span };
    all.within("arrival at the front end", by(row.arrival_source), row.arrival_here);
    all.within("first token at the front end", by(row.ttft_source), row.first_here);
    all.within("last token at the front end", by(row.e2e_source), row.last_here);
    row.log_lines.iter().for_each(|line| all.line(line));
    row.hops.iter().flatten().for_each(|passage| all.passage(passage));
    all.found
}

const READ: &str = "since the read before";
const CLOCKS: &str = "two clocks";

struct Stamps {
    begin: UnixNs,
    found: Vec<Stamp>,
}

impl Stamps {
    fn point(&mut self, what: &str, by: By, at: Option<UnixNs>) {
        self.between(what, by, at, at, "");
    }

    /// An interval; `None` for the lower bound makes it a point.
    fn between(&mut self, what: &str, by: By, lo: Option<UnixNs>, hi: Option<UnixNs>, why: &str) {
        let Some(hi) = hi else { return };
        let lo = lo.unwrap_or(hi);
        self.found.push(Stamp {
            what: what.to_owned(),
            by,
            lo_s: lo.seconds_since(self.begin),
            hi_s: hi.seconds_since(self.begin),
            note: (lo != hi).then(|| why.to_owned()),
        });
    }

    fn within(&mut self, what: &str, by: By, at: Option<Within>) {
        self.between(what, by, at.map(|w| w.lo_unix_ns), at.map(|w| w.hi_unix_ns), CLOCKS);
    }

    fn note(&mut self, note: &str) {
        if let Some(last) = self.found.last_mut() {
            last.note = Some(note.to_owned());
        }
    }

    /// What a hop on the way saw, by its own clock and as finely as it says.
    fn passage(&mut self, passage: &Passage) {
        let first = if passage.first_is_body { "the answer's body begins" } else { "first token came in" };
        let seen = [
            ("the request came", passage.start),
            ("the request was sent on", passage.sent_on),
            (first, passage.first_in),
            ("first token went on", passage.first_out),
            ("last token came in", passage.last_in),
            ("last token went on", passage.last_out),
        ];
        for (what, at) in seen {
            let why = "its stamps' resolution and slack, or two clocks";
            let what = format!("{}: {what}", passage.row.hop);
            self.between(&what, By::Hop, at.map(|w| w.lo_unix_ns), at.map(|w| w.hi_unix_ns), why);
        }
    }

    fn line(&mut self, line: &LogLine) {
        let (what, by) = match line.says {
            LogSays::Received => ("log: received".to_owned(), By::LogLine),
            LogSays::Added => ("log: added to the engine".to_owned(), By::LogLine),
            LogSays::FirstOutput => ("log: first output".to_owned(), By::LogLine),
            LogSays::Complete => ("log: answer complete".to_owned(), By::LogLine),
            LogSays::Aborted => ("log: aborted".to_owned(), By::LogLine),
            LogSays::Access(status) => (format!("log: answered {status}"), By::AccessLine),
        };
        if line.here.is_none() {
            return;
        }
        self.within(&what, by, line.here);
        let written = match line.resolution_ns {
            None => "no stamp: read by then".to_owned(),
            Some(0) => "a stamp without a stated resolution".to_owned(),
            Some(ns) => format!("stamps of {}", resolution(ns)),
        };
        self.note(&if line.contradicts {
            format!("{written}; lies outside the request: late stamp, or a clock that differs")
        } else {
            written
        });
    }
}

fn resolution(ns: i64) -> String {
    match ns {
        1_000_000_000 => "1 s".to_owned(),
        1_000_000 => "1 ms".to_owned(),
        1_000 => "1 µs".to_owned(),
        ns => format!("{ns} ns"),
    }
}
