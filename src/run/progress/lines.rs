//! What is shown of a run while it goes on: four lines on a terminal, one elsewhere. This file must not know where it is
//! shown.

use std::fmt::Write as _;

use super::history::{History, Look, Of};
use super::spark::spark;
use crate::units;

/// When the run will be over.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Goal {
    pub(super) duration_s: Option<f64>,
    pub(super) requests: Option<u64>,
}

/// Quantiles of the client's TTFT so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Quantiles {
    pub(super) p50_s: Option<f64>,
    pub(super) p99_s: Option<f64>,
}

/// For a terminal.
pub(super) fn lines(history: &History, goal: Goal, so_far: Quantiles) -> String {
    let mut out = first(history, goal);
    let row = |name: &str, client: Of, server: Of| {
        let client_row = spark(history.bars(client));
        let server_row = spark(history.bars(server));
        format!(
            "\n  {name:<4}  client {:>8}  {client_row}   server {:>8}  {server_row}",
            seconds(history.recent(client)),
            seconds(history.recent(server)),
        )
    };
    out += &row("TTFT", |look| Some(look.ttft), |look| look.server.ttft);
    out += &row("ITL", |look| Some(look.itl), |look| look.server.itl);
    let _ = write!(
        out,
        "\n  so far TTFT p50 {}, p99 {}{}",
        seconds(so_far.p50_s),
        seconds(so_far.p99_s),
        of_the_server(&history.now())
    );
    out
}

/// For a file, or a job's log.
pub(super) fn line(history: &History, goal: Goal, so_far: Quantiles) -> String {
    format!(
        "{}  TTFT p50 {}, p99 {}, last 10 s: client {}, server {}{}",
        first(history, goal),
        seconds(so_far.p50_s),
        seconds(so_far.p99_s),
        seconds(history.recent(|look| Some(look.ttft))),
        seconds(history.recent(|look| look.server.ttft)),
        of_the_server(&history.now())
    )
}

/// How far it is, what is under way, what came of it.
fn first(history: &History, goal: Goal) -> String {
    let now = history.now();
    let mut out = match (goal.duration_s, goal.requests) {
        (Some(s), _) => format!("{:.0}/{s:.0} s", now.at_s),
        (None, Some(n)) => {
            format!("{:.0} s, {}/{} requests", now.at_s, units::count(now.ended), units::count(n))
        }
        (None, None) => format!("{:.0} s", now.at_s),
    };
    if let Some(left_s) = left_s(history, goal) {
        let _ = write!(out, ", {left_s:.0} s left");
    }
    let in_flight = now.sent.saturating_sub(now.ended);
    let _ = write!(
        out,
        "  in flight {}  ok {}  failed {}",
        units::count(in_flight),
        units::count(now.ok),
        units::count(now.failed)
    );
    if now.users > 0 {
        let _ = write!(out, "  users {}", units::count(now.users));
    }
    // Tokens are counted when requests end.
    if let Some(rate) = history.rate(|look| look.output_tokens) {
        let _ = write!(out, "  {}", units::tokens_per_second(rate));
    }
    out
}

/// What the schedule leaves, or what the rate of the last seconds makes of the requests that are left: whichever ends
/// first.
fn left_s(history: &History, goal: Goal) -> Option<f64> {
    let now = history.now();
    let by_time = goal.duration_s.map(|s| (s - now.at_s).max(0.0));
    let by_count = goal.requests.and_then(|n| {
        let rate = history.rate(|look| look.ended).filter(|rate| *rate > 0.0)?;
        Some(n.saturating_sub(now.ended) as f64 / rate)
    });
    match (by_time, by_count) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

fn of_the_server(now: &Look) -> String {
    let mut out = String::new();
    if let (Some(running), Some(waiting)) = (now.server.running, now.server.waiting) {
        let _ = write!(out, "   server running {running:.0}, waiting {waiting:.0}");
    }
    if let Some(used) = now.server.kv_cache_usage {
        let _ = write!(out, ", KV cache {}", units::percent(used));
    }
    out
}

fn seconds(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), units::seconds)
}

#[cfg(test)]
mod tests {
    use super::super::history::{ServerLook, Sum};
    use super::*;

    fn history() -> History {
        let mut history = History::default();
        for second in 0..=30_u32 {
            let n = f64::from(second);
            let of = |each: f64| Sum { sum: n * each * (1.0 + n / 30.0), n };
            let server = ServerLook {
                running: Some(32.0),
                waiting: Some(18.0),
                kv_cache_usage: Some(0.421),
                ttft: Some(of(0.25)),
                itl: None,
            };
            history.take(Look {
                at_s: n,
                sent: u64::from(second) * 2 + 50,
                ended: u64::from(second) * 2,
                ok: u64::from(second) * 2,
                users: 50,
                output_tokens: u64::from(second) * 2_000,
                ttft: of(0.26),
                itl: of(0.012),
                server,
                ..Look::default()
            });
        }
        history
    }

    #[test]
    fn both_sides_with_their_last_seconds() {
        let goal = Goal { duration_s: Some(120.0), requests: None };
        let so_far = Quantiles { p50_s: Some(0.3), p99_s: Some(0.6) };
        insta::assert_snapshot!(lines(&history(), goal, so_far), @r"
        30/120 s, 90 s left  in flight 50  ok 60  failed 0  users 50  2,000 tok/s
          TTFT  client 693.3 ms       ▃▄▄▄▅▅▆▆▆▇▇▇███   server 666.7 ms       ▃▄▄▄▅▅▆▆▆▇▇▇███
          ITL   client 32.00 ms       ▃▄▄▅▅▅▆▆▆▇▇▇███   server        –                      
          so far TTFT p50 300.0 ms, p99 600.0 ms   server running 32, waiting 18, KV cache 42.1 %
        ");
        insta::assert_snapshot!(line(&history(), goal, so_far), @r"30/120 s, 90 s left  in flight 50  ok 60  failed 0  users 50  2,000 tok/s  TTFT p50 300.0 ms, p99 600.0 ms, last 10 s: client 693.3 ms, server 666.7 ms   server running 32, waiting 18, KV cache 42.1 %");
    }

    #[test]
    fn what_is_left_follows_from_the_rate_where_requests_are_counted() {
        let goal = Goal { duration_s: None, requests: Some(1_060) };
        // 1,000 of them, two a second.
        assert_eq!(left_s(&history(), goal), Some(500.0));
        assert_eq!(left_s(&history(), Goal { duration_s: Some(31.0), ..goal }), Some(1.0));
        assert_eq!(left_s(&History::default(), Goal::default()), None);
    }
}
