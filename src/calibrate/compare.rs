//! The client's records of a level beside the embedded server's truth: requests by their id, events
//! one by one. This file must not know how a level is run or shown.
//!
//! The server stamps a write just *before* it calls the kernel (`mock::wire`), so a stamp that is
//! right never lies before it; it is late by the way through the kernel, and by the time the server
//! was interrupted between its stamp and the call.

use std::collections::HashMap;

use crate::clock::UnixNs;
use crate::mock::truth::TruthRow;
use crate::record::calibration::{ErrorRow, EventCounts, Quantity, RequestCounts, Stamp, TOLERANCE_S};
use crate::record::{RequestRow, StampSource, Status};
use crate::stats::{moments, quantile};
use crate::store::Events;

/// What the comparison of one level gives.
#[derive(Debug, Default)]
pub struct Compared {
    pub requests: RequestCounts,
    pub events: EventCounts,
    pub errors: Vec<ErrorRow>,
    /// Client's stamp and tokens of each event compared.
    pub arrivals: Vec<(i64, u32)>,
}

/// Compares every request and every event. The server's clock began `ahead_ns` ahead of this program's
/// axis: 0, unless the wall clock was set in between.
pub fn compare(rows: &[RequestRow], events: &Events, truth: &[TruthRow], ahead_ns: i64) -> Compared {
    // Of a request that was sent twice, the answer that the client kept is the last one's.
    let by_id: HashMap<&str, &TruthRow> =
        truth.iter().filter_map(|row| Some((row.x_request_id.as_deref()?, row))).collect();
    let mut found = Found { ahead_ns, ..Found::default() };
    for row in rows {
        found.take(row, events, by_id.get(row.request_id.as_str()).copied());
    }
    let errors = found.errors();
    Compared { requests: found.requests, events: found.events, errors, arrivals: found.arrivals }
}

/// Errors in seconds, as they gather.
#[derive(Default)]
struct Found {
    ahead_ns: i64,
    requests: RequestCounts,
    events: EventCounts,
    arrivals: Vec<(i64, u32)>,
    /// The kernel gave stamps, to some of them at least.
    by_kernel: bool,
    errors: HashMap<(Quantity, Stamp), Vec<f64>>,
    /// Sums of the gaps at the client by each stamp, and of the same gaps at the server.
    gaps_s: HashMap<Stamp, f64>,
    true_gaps_s: f64,
}

impl Found {
    fn take(&mut self, row: &RequestRow, events: &Events, truth: Option<&TruthRow>) {
        let here = stamps(events, &row.request_id);
        self.requests.all += 1;
        self.events.client += here.len();
        let written: Vec<Write> = truth.map(|row| writes(row, self.ahead_ns)).unwrap_or_default();
        // An answer that is no stream is one write and no events.
        let n_written = if row.streamed { written.len() } else { 0 };
        self.events.server += n_written;
        if let Err(reason) = comparable(row, here.len(), truth.is_some(), n_written) {
            *self.requests.not_compared.entry(reason).or_default() += 1;
            self.events.client_not_compared += here.len();
            self.events.server_not_compared += n_written;
            return;
        }
        self.requests.compared += 1;
        self.requests.in_flight += usize::from(row.status == Status::InFlight);
        self.events.compared += here.len();
        self.events.not_received += n_written - here.len();
        self.by_kernel |= row.stamps > StampSource::User;
        for (stamp, write) in here.iter().zip(&written) {
            self.event(stamp, write);
        }
        for (stamps, writes) in here.windows(2).zip(written.windows(2)) {
            self.gap(stamps, writes);
        }
        if let Some(truth) = truth {
            self.durations(row, here.last(), &written, truth);
        }
    }

    fn event(&mut self, stamp: &Stamps, write: &Write) {
        let error = seconds(write.at, stamp.hi);
        self.add(Quantity::Event, Stamp::Kernel, error);
        self.add(Quantity::Event, Stamp::User, seconds(write.at, stamp.user));
        if stamp.lo == stamp.hi {
            self.events.exact += 1;
            self.add(Quantity::Event, Stamp::Exact, error);
        } else if seconds(write.at, stamp.lo) > TOLERANCE_S {
            self.events.bound_after_write += 1;
        }
        self.events.stamp_before_write += usize::from(stamp.hi < write.at);
        self.arrivals.push((stamp.hi, write.tokens));
    }

    fn gap(&mut self, stamps: &[Stamps], writes: &[Write]) {
        let ([a, b], [from, to]) = (stamps, writes) else { return };
        let truth = seconds(from.at, to.at);
        self.true_gaps_s += truth;
        for (stamp, gap) in [(Stamp::Kernel, seconds(a.hi, b.hi)), (Stamp::User, seconds(a.user, b.user))] {
            self.add(Quantity::Itl, stamp, gap - truth);
            *self.gaps_s.entry(stamp).or_default() += gap;
        }
    }

    /// Whole spans of one request: from its start to its first and to its last token.
    fn durations(&mut self, row: &RequestRow, last: Option<&Stamps>, written: &[Write], truth: &TruthRow) {
        let read = UnixNs(truth.read_unix_ns.0 - self.ahead_ns);
        let since_read = |write: &Write| seconds(read.0, write.at);
        if let Some(send_begin) = row.send_begin_unix_ns {
            self.add(Quantity::WayOut, Stamp::User, read.seconds_since(send_begin));
        }
        let queued = row.started_unix_ns.seconds_since(row.scheduled_unix_ns);
        if let Some(true_ttft) = written.first().map(since_read) {
            for (stamp, ttft) in [(Stamp::Kernel, row.ttft_s), (Stamp::User, row.ttft_user_s)] {
                let Some(error) = ttft.map(|ttft| ttft - true_ttft) else { continue };
                self.add(Quantity::TtftStarted, stamp, error);
                self.add(Quantity::TtftScheduled, stamp, error + queued);
            }
        }
        if let (Some(e2e), Some(true_e2e)) = (row.e2e_s, written.last().map(since_read)) {
            self.add(Quantity::E2e, Stamp::Kernel, e2e - true_e2e);
            let of_program = last.map(|last| seconds(row.started_unix_ns.0, last.user));
            // Of an answer without events only one end is known: the program's, where the kernel gave none.
            let no_other = Some(e2e).filter(|_| row.stamps == StampSource::User);
            if let Some(user) = of_program.or(no_other) {
                self.add(Quantity::E2e, Stamp::User, user - true_e2e);
            }
        }
    }

    fn add(&mut self, quantity: Quantity, stamp: Stamp, error_s: f64) {
        self.errors.entry((quantity, stamp)).or_default().push(error_s);
    }

    /// In the order of printing. Where the kernel gave no stamp, every figure is by the program's, and none bears the
    /// kernel's name.
    fn errors(&self) -> Vec<ErrorRow> {
        let kinds: &[Stamp] =
            if self.by_kernel { &[Stamp::Exact, Stamp::Kernel, Stamp::User] } else { &[Stamp::User] };
        let all = Quantity::ALL.into_iter().flat_map(|q| kinds.iter().map(move |stamp| (q, *stamp)));
        all.filter_map(|kind| {
            let mut row = in_short(kind, self.errors.get(&kind)?)?;
            if kind.0 == Quantity::Itl && self.true_gaps_s > 0.0 {
                row.relative_mean = self.gaps_s.get(&kind.1).map(|sum| sum / self.true_gaps_s - 1.0);
            }
            Some(row)
        })
        .collect()
    }
}

/// The client's stamps of one event.
#[derive(Clone, Copy)]
struct Stamps {
    lo: i64,
    hi: i64,
    user: i64,
}

/// One token event at the server.
#[derive(Clone, Copy)]
struct Write {
    at: i64,
    tokens: u32,
}

fn stamps(events: &Events, request_id: &str) -> Vec<Stamps> {
    let rows = events.of(request_id).unwrap_or_default();
    rows.filter_map(|i| {
        Some(Stamps {
            lo: *events.stamp_lo_unix_ns.get(i)?,
            hi: *events.stamp_hi_unix_ns.get(i)?,
            user: *events.user_unix_ns.get(i)?,
        })
    })
    .collect()
}

/// The events with tokens; a role, the usage and the end mark have none.
fn writes(truth: &TruthRow, ahead_ns: i64) -> Vec<Write> {
    let with_tokens = truth.events.iter().filter(|(_, tokens, _)| *tokens > 0);
    with_tokens.map(|&(at, tokens, _)| Write { at: at.0 - ahead_ns, tokens }).collect()
}

/// Whether the n-th event here is the n-th there; if not, why that cannot be said.
fn comparable(row: &RequestRow, here: usize, known: bool, written: usize) -> Result<(), String> {
    // Of a request that was given up, the server may have written more than came.
    let given_up = matches!(row.status, Status::InFlight | Status::Timeout);
    if !known {
        Err("the server has no record of it".to_owned())
    } else if written == 0 && here == 0 && row.status.is_failure() {
        Err(format!("failed without a token ({})", row.status.as_str()))
    } else if here == written || (given_up && here < written) {
        Ok(())
    } else {
        Err("client and server differ in the number of its token events".to_owned())
    }
}

fn in_short((quantity, stamp): (Quantity, Stamp), errors_s: &[f64]) -> Option<ErrorRow> {
    let sorted = quantile::sorted(errors_s);
    Some(ErrorRow {
        quantity,
        stamp,
        n: sorted.len(),
        mean_s: moments::mean(errors_s)?,
        p50_s: quantile::quantile(&sorted, 0.5)?,
        p99_s: quantile::quantile(&sorted, 0.99)?,
        min_s: *sorted.first()?,
        max_s: *sorted.last()?,
        relative_mean: None,
    })
}

fn seconds(from_ns: i64, to_ns: i64) -> f64 {
    (to_ns - from_ns) as f64 / 1e9
}
