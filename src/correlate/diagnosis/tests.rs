//! The rules on streams made by hand: each mechanism once, and what looks like it and is none. Captures of
//! real gateways are held against them in `tests/it/verdicts.rs`.

mod bursts;
mod explained;
mod healthy;
mod kong;
mod lateness;
mod records;

use super::signature::{self, Released, released};
use super::{Route, diagnose};
use crate::clock::UnixNs;
use crate::record::fixture::{BEGIN, finished};
use crate::record::own::{LoadThreads, OwnLag, Stall, Stalled};
use crate::record::verdicts::{Kind, Sure, VerdictRow};
use crate::record::{
    Connection, EventRow, Finished, HopRow, HopTry, JoinedRow, LogEvent, LogRow, Source, SpanRow, Status,
};
use crate::server::vllm::VLLM;
use crate::store::{Events, RunEvents};

/// A route of requests made by hand: TTFT 60 ms at the server, then a token every `step_s`, 200 bytes each.
struct Made {
    step_s: f64,
    tokens: usize,
    requests: u64,
    /// From the making of each token to its coming here: request, number, seconds since the first.
    late: fn(u64, usize, f64) -> f64,
    /// Requests start so far apart.
    every_s: f64,
}

impl Default for Made {
    fn default() -> Self {
        Self { step_s: 0.010, tokens: 60, requests: 20, late: |_, _, _| 0.0002, every_s: 1.0 }
    }
}

const TTFT_S: f64 = 0.060;

impl Made {
    fn one(&self, n: u64) -> Finished {
        let mut row = finished(n).row;
        let sent = BEGIN.plus_seconds(n as f64 * self.every_s);
        let stamp = |k: usize| {
            let made = self.step_s * k as f64;
            sent.plus_seconds(TTFT_S + made + (self.late)(n, k, made))
        };
        let events: Vec<EventRow> = (0..self.tokens)
            .map(|k| EventRow {
                stamp_lo_unix_ns: if k == 0 { sent } else { stamp(k - 1) },
                stamp_hi_unix_ns: stamp(k),
                user_unix_ns: stamp(k).plus_seconds(0.000_05),
                events_in_read: 1,
                tokens: Some(1),
                bytes: 200,
            })
            .collect();
        row.started_unix_ns = sent;
        row.send_begin_unix_ns = Some(sent);
        row.head_unix_ns = Some(sent.plus_seconds(0.002));
        row.first_token_unix_ns = Some(stamp(0));
        row.last_token_unix_ns = Some(stamp(self.tokens - 1));
        row.done_unix_ns = stamp(self.tokens - 1).plus_seconds(0.000_1);
        row.first_token_user_unix_ns = row.first_token_unix_ns;
        row.output_tokens = Some(self.tokens as u32);
        row.n_events = self.tokens as u32;
        row.connection = Connection::Reused;
        Finished { row, events, place: None }
    }

    fn run(&self) -> (Vec<JoinedRow>, RunEvents) {
        let mut events = Events::default();
        let rows = (0..self.requests).map(|n| {
            let one = self.one(n);
            events.push(&one);
            let mut row = joined(one);
            row.server_ttft_s = Some(TTFT_S);
            row.server_e2e_s = Some(TTFT_S + self.step_s * (self.tokens - 1) as f64);
            row.server_output_tokens = Some(self.tokens as u32);
            row
        });
        (rows.collect::<Vec<_>>(), events.into())
    }

    fn verdicts(&self) -> Vec<VerdictRow> {
        let (rows, events) = self.run();
        diagnose(&Route { same_host: true, ..Route::new("made", &rows, &events, &VLLM).unwrap() })
    }
}

/// The request with a server's side of which nothing is known.
fn joined(one: Finished) -> JoinedRow {
    let inputs = super::super::Inputs {
        hop_names: &[],
        scrapes: &[],
        log: &[],
        spans: &[],
        stat_log: &[],
        hops: &[],
        events: &Events::default().into(),
        own: None,
        server: &VLLM,
        same_host: true,
        ranks_beside_server: &[],
        clock_bound_s: None,
        seed: 1,
    };
    super::super::correlate(vec![one.row], &inputs).unwrap().rows.remove(0)
}

/// Each hop row beside the request whose id it has.
fn with_hops<'a>(mut route: Route<'a>, hops: &'a [HopRow]) -> Route<'a> {
    for hop in hops {
        let of_hop = |p: &&mut super::Passage<'_>| hop.request_id.as_ref() == Some(&p.row.client.request_id);
        if let Some(passage) = route.passages.iter_mut().find(of_hop) {
            passage.hops.push(hop);
        }
    }
    route
}

fn names(verdicts: &[VerdictRow]) -> Vec<&str> {
    verdicts.iter().map(|v| v.rule).collect()
}

/// Kept until the next multiple of `timer_s`.
fn until_multiple(made_s: f64, timer_s: f64) -> f64 {
    (made_s / timer_s).floor().mul_add(timer_s, timer_s) - made_s
}

/// Kept until `k` are there, or the answer is whole.
fn until_full(k: usize, tokens: usize, n: usize, step_s: f64) -> f64 {
    ((n / k + 1) * k - 1).min(tokens - 1).saturating_sub(n) as f64 * step_s
}

fn hop(row: &JoinedRow, with: impl Fn(&mut HopRow)) -> HopRow {
    let mut hop = HopRow {
        hop: "edge".to_owned(),
        product: "nginx".to_owned(),
        request_id: Some(row.client.request_id.clone()),
        status: Some(200),
        ..HopRow::default()
    };
    with(&mut hop);
    hop
}
