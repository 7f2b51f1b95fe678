//! The same run seen through a window, and users that move in lockstep.

use super::super::within;
use super::Run;
use super::aggregate::around;
use crate::record::correlated::{Correlated, Evidence};
use crate::record::fixture::{BEGIN, request, span};
use crate::record::{RequestRow, SpanRow};

/// Request n has a TTFT of (100 + n) ms at the client and 10 ms less at the server.
fn ten() -> Run {
    let requests: Vec<RequestRow> = (0..10)
        .map(|n| {
            let mut r = request(n);
            let ttft_s = 0.100 + 0.001 * n as f64;
            r.ttft_s = Some(ttft_s);
            r.first_token_unix_ns = Some(r.started_unix_ns.plus_seconds(ttft_s));
            r
        })
        .collect();
    let spans: Vec<SpanRow> =
        requests.iter().map(|r| SpanRow { ttft_s: r.ttft_s.map(|s| s - 0.010), ..span(r) }).collect();
    Run { requests, spans, scrapes: around("0"), ..Run::default() }
}

fn from_the_fifth(run: &Run) -> Correlated {
    within(run.correlate(), &[false, false, false, false, true, true, true, true, true, true], 1)
}

#[test]
fn figures_of_requests_are_cut_and_the_reconciliation_is_not() {
    let run = ten();
    let (whole, cut) = (run.correlate(), from_the_fifth(&run));
    assert_eq!(cut.rows.iter().map(|r| r.client.index).collect::<Vec<_>>(), [4, 5, 6, 7, 8, 9]);
    let ttft = &cut.headline[0];
    assert_eq!((ttft.source, ttft.title.as_str(), ttft.whole_run), (Evidence::Span, "TTFT", false));
    // The mean of 104 … 109 ms, and its server's side.
    assert!((ttft.tool.unwrap().value - 0.1065).abs() < 1e-9 && ttft.tool.unwrap().n == 6);
    assert!((ttft.server.unwrap().value - 0.0965).abs() < 1e-9);
    assert!((cut.breakdown.columns[0].total_s - 0.1065).abs() < 1e-9);
    assert_eq!(cut.coverage.requests, 10);
    let verdicts = |c: &Correlated| c.checks.iter().map(|c| (c.name, c.verdict)).collect::<Vec<_>>();
    assert_eq!(verdicts(&cut), verdicts(&whole));
}

#[test]
fn what_the_metrics_endpoint_counted_stays_that_of_the_whole_run() {
    let mut run = ten();
    run.spans.clear();
    let (whole, cut) = (run.correlate(), from_the_fifth(&run));
    let (before, ttft) = (&whole.headline[0], &cut.headline[0]);
    assert_eq!((ttft.source, ttft.title.as_str()), (Evidence::Metrics, "TTFT | whole run"));
    assert!(ttft.whole_run && !before.whole_run);
    assert_eq!((ttft.tool, ttft.server, ttft.tare), (before.tool, before.server, before.tare));
    assert_eq!(ttft.tool.unwrap().n, 10, "the tool's side, too: like with like");
    assert_eq!(cut.breakdown.source, Evidence::Metrics);
    assert!(cut.breakdown.rule.ends_with("; whole run"), "{}", cut.breakdown.rule);
    assert!((cut.breakdown.columns[0].total_s - 0.1045).abs() < 1e-9);
}

#[test]
fn rounds_of_users_in_lockstep_are_what_figures_rest_on() {
    // Eight rounds of five users; all of a round wait equally long.
    let mut run = Run::default();
    for n in 0..40 {
        let (round, user) = (n / 5, n % 5);
        let mut r = request(n);
        r.user = Some(user as u32);
        r.started_unix_ns = BEGIN.plus_seconds(round as f64 + 0.001 * user as f64);
        r.ttft_s = Some(0.1 + 0.01 * (round * 3 % 8) as f64 + 0.000_01 * user as f64);
        run.requests.push(r);
    }
    let together = run.correlate();
    assert_eq!(together.rounds.count(), Some(8));
    let ttft = together.headline[0].tool.unwrap();
    assert!(ttft.n == 40 && (7.0..=8.0).contains(&ttft.n_eff), "{ttft:?}");

    // Nobody waits for the others: each row for itself, or what is found of their dependence.
    for (r, n) in run.requests.iter_mut().zip(0..) {
        r.started_unix_ns = BEGIN.plus_seconds(0.2 * f64::from(n));
    }
    assert_eq!(run.correlate().rounds.count(), None);
}
