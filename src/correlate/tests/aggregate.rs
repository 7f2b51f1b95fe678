//! Windows between snapshots, and what the reconciliation makes of them.

use super::{Run, check};
use crate::metric::Metric;
use crate::record::correlated::{Evidence, Verdict};
use crate::record::fixture::{BEGIN, request, sample, scrape, span};
use crate::record::{SampleRow, ScrapePhase, ScrapeRow, Status};

/// A page of one engine that has finished `n` requests like the fixture's.
pub(super) fn page(engine: &str, n: f64) -> Vec<SampleRow> {
    let mut out = vec![
        sample("vllm:prompt_tokens_total", engine, &[], 20.0 * n),
        sample("vllm:generation_tokens_total", engine, &[], 11.0 * n),
        sample("vllm:request_success_total", engine, &[("finished_reason", "length")], n),
        sample("vllm:request_success_total", engine, &[("finished_reason", "abort")], 0.0),
        sample("vllm:num_requests_running", engine, &[], 0.0),
        sample("vllm:num_requests_waiting", engine, &[], 0.0),
    ];
    let hists = [
        ("vllm:time_to_first_token_seconds", 0.090),
        ("vllm:e2e_request_latency_seconds", 0.190),
        ("vllm:request_queue_time_seconds", 0.020),
        ("vllm:request_prefill_time_seconds", 0.060),
        ("vllm:request_decode_time_seconds", 0.100),
    ];
    for (name, each) in hists {
        for (le, bound) in [("0.05", 0.05), ("0.25", 0.25), ("+Inf", f64::INFINITY)] {
            let below = if each <= bound { n } else { 0.0 };
            out.push(sample(&format!("{name}_bucket"), engine, &[("le", le)], below));
        }
        out.push(sample(&format!("{name}_sum"), engine, &[], each * n));
        out.push(sample(&format!("{name}_count"), engine, &[], n));
    }
    out
}

/// Snapshots around ten requests; 7 had finished before.
pub(super) fn around(engine: &str) -> Vec<ScrapeRow> {
    vec![
        scrape(ScrapePhase::Before, -1.0, page(engine, 7.0)),
        scrape(ScrapePhase::After, 15.0, page(engine, 17.0)),
    ]
}

fn ten() -> Run {
    Run { requests: (0..10).map(request).collect(), scrapes: around("0"), ..Run::default() }
}

#[test]
fn means_are_exact_and_quantiles_are_buckets() {
    let out = ten().correlate();
    let ttft = out.aggregate.of(Metric::Ttft).unwrap();
    assert_eq!(ttft.count, 10.0);
    assert!((ttft.mean.unwrap() - 0.090).abs() < 1e-12);
    assert_eq!(ttft.quantiles[0], (0.5, 0.05, Some(0.25)));
    assert_eq!(out.aggregate.of(Metric::Queue).unwrap().quantiles[0], (0.5, 0.0, Some(0.05)));
    assert_eq!(out.aggregate.generation_tokens, Some(110.0));
    let window = out.window.unwrap();
    assert_eq!(window.begin_unix_ns, BEGIN.plus_seconds(-0.99), "the moment the first page had come");
    assert_eq!(window.end_unix_ns, BEGIN.plus_seconds(15.0));
    for name in
        ["requests", "output tokens", "prompt tokens", "server idle before and after", "no foreign traffic"]
    {
        assert_eq!(check(&out, name).verdict, Verdict::Agree, "{name}: {}", check(&out, name).detail);
    }
}

#[test]
fn engines_and_endpoints_are_added_up() {
    let mut run = ten();
    let two = |n| [page("0", n), page("1", n)].concat();
    run.scrapes =
        vec![scrape(ScrapePhase::Before, -1.0, two(2.0)), scrape(ScrapePhase::After, 15.0, two(4.5))];
    let other = |mut s: ScrapeRow| {
        s.source = "http://127.0.0.1:8001/metrics".to_owned();
        s
    };
    let more: Vec<ScrapeRow> = run.scrapes.iter().cloned().map(other).collect();
    run.scrapes.extend(more);
    let out = run.correlate();
    assert_eq!(out.aggregate.endpoints, 2);
    assert_eq!(out.aggregate.of(Metric::E2e).unwrap().count, 10.0);
    assert_eq!(check(&out, "requests").verdict, Verdict::Agree);
}

#[test]
fn a_snapshot_repeated_counts_as_its_last() {
    let mut run = ten();
    run.scrapes.push(scrape(ScrapePhase::After, 14.0, page("0", 15.0)));
    let mut failed = scrape(ScrapePhase::After, 16.0, Vec::new());
    failed.error = Some("connection refused".to_owned());
    run.scrapes.push(failed);
    assert_eq!(run.correlate().aggregate.finished_total(), Some(10.0));
}

#[test]
fn a_restart_makes_it_unusable_and_is_said_even_if_it_was_overtaken() {
    let mut run = ten();
    run.scrapes.insert(1, scrape(ScrapePhase::During, 5.0, page("0", 1.0)));
    let out = run.correlate();
    let why = out.aggregate.unusable.clone().unwrap();
    assert!(why.contains("fell between two scrapes: the server was restarted"), "{why}");
    assert_eq!(check(&out, "counters without a restart").verdict, Verdict::Differ);
    assert_eq!(check(&out, "requests").verdict, Verdict::NotAvailable);
    assert_eq!(out.headline[0].source, Evidence::None, "no figure is made from it");
    assert_eq!(out.breakdown.source, Evidence::None);
}

/// Sums hide it: the other engine went on, or the new process has counted more by now.
#[test]
fn a_restart_is_seen_in_one_series_of_several_and_by_the_process() {
    let mut run = ten();
    let engines = |a, b| [page("0", a), page("1", b)].concat();
    run.scrapes = vec![
        scrape(ScrapePhase::Before, -1.0, engines(5.0, 5.0)),
        scrape(ScrapePhase::During, 5.0, engines(11.0, 1.0)),
        scrape(ScrapePhase::After, 15.0, engines(14.0, 6.0)),
    ];
    let why = run.correlate().aggregate.unusable.unwrap();
    assert!(
        why.contains(r#"`vllm:prompt_tokens_total{engine="1""#) && why.contains("fell from 100 to 20"),
        "{why}"
    );

    let process = |start: f64| SampleRow {
        name: "process_start_time_seconds".to_owned(),
        labels: Vec::new(),
        value: start,
    };
    let mut run = ten();
    run.scrapes[0].samples.push(process(1_795_533_093.01));
    run.scrapes[1].samples.push(process(1_795_533_093.01));
    assert_eq!(run.correlate().aggregate.unusable, None);
    run.scrapes[1].samples.last_mut().unwrap().value = 1_795_533_161.5;
    let why = run.correlate().aggregate.unusable.unwrap();
    let said = "`process_start_time_seconds` changed from 1795533093.01 to 1795533161.5 between two scrapes: the server was restarted";
    assert!(why.ends_with(said), "{why}");
}

#[test]
fn without_both_snapshots_nothing_is_known_and_the_requests_make_the_window() {
    let mut run = ten();
    run.scrapes.truncate(1);
    let out = run.correlate();
    assert!(out.aggregate.unusable.unwrap().ends_with("no snapshot from after the load"));
    assert_eq!(out.window.unwrap().begin_unix_ns, BEGIN);
    run.scrapes.clear();
    assert_eq!(run.correlate().aggregate.unusable.unwrap(), "no metrics endpoint was scraped");
}

#[test]
fn one_endpoint_that_fails_makes_the_sum_unusable() {
    let mut run = ten();
    let mut broken = scrape(ScrapePhase::Before, -1.0, Vec::new());
    broken.source = "http://127.0.0.1:8001/metrics".to_owned();
    broken.error = Some("404".to_owned());
    run.scrapes.push(broken);
    let why = run.correlate().aggregate.unusable.unwrap();
    assert_eq!(why, "http://127.0.0.1:8001/metrics: no snapshot from before the load");
}

#[test]
fn a_server_that_knows_more_requests_has_other_traffic() {
    let mut run = ten();
    run.requests.truncate(8);
    let out = run.correlate();
    let requests = check(&out, "requests");
    assert_eq!(
        (requests.verdict, requests.client, requests.server),
        (Verdict::Differ, Some(8.0), Some(10.0))
    );
    assert_eq!(requests.detail, "2 more finished at the server than the client sent");
    assert_eq!(check(&out, "no foreign traffic").server, Some(2.0));
    assert_eq!(check(&out, "output tokens").detail, "22 more at the server");
}

#[test]
fn a_server_that_knows_fewer_is_told() {
    let mut run = ten();
    run.requests.push(request(10));
    assert_eq!(check(&run.correlate(), "requests").detail, "1 of the client's 11 are missing at the server");
}

#[test]
fn cut_requests_make_the_clients_side_an_interval() {
    let mut run = ten();
    for i in [8, 9] {
        run.requests[i].status = Status::Cut;
        run.requests[i].output_tokens = None;
        run.requests[i].input_tokens = None;
    }
    let out = run.correlate();
    assert_eq!(check(&out, "requests").verdict, Verdict::Agree, "the server may have finished them");
    let tokens = check(&out, "output tokens");
    assert_eq!(tokens.verdict, Verdict::Agree);
    assert_eq!(tokens.detail, "22 more at the server, as 2 cut or unfinished requests may account for");
    run.requests[9].max_tokens = Some(3);
    assert_eq!(check(&run.correlate(), "output tokens").verdict, Verdict::Differ, "not so many");
}

#[test]
fn answers_without_usage_cannot_be_compared() {
    let mut run = ten();
    run.requests[0].output_tokens = None;
    let out = run.correlate();
    assert_eq!(check(&out, "output tokens").verdict, Verdict::NotAvailable);
    assert_eq!(check(&out, "output tokens").detail, "1 successful requests came without usage");
}

#[test]
fn requests_under_way_at_the_edges_are_told() {
    let mut run = ten();
    for s in &mut run.scrapes[0].samples {
        if s.name == "vllm:num_requests_running" {
            s.value = 3.0;
        }
    }
    let out = run.correlate();
    let edges = check(&out, "server idle before and after");
    assert_eq!((edges.verdict, edges.client), (Verdict::Differ, Some(3.0)));
}

#[test]
fn sums_over_spans_are_the_endpoints_or_are_not_compared() {
    let mut run = ten();
    run.spans = run.requests.iter().map(span).collect();
    let out = run.correlate();
    for name in [
        "sum of server TTFT",
        "sum of durations",
        "sum of queue times",
        "sum of prefill times",
        "sum of decode times",
    ] {
        assert_eq!(check(&out, name).verdict, Verdict::Agree, "{name}: {}", check(&out, name).detail);
    }
    run.spans[3].queue_s = Some(0.020_001);
    assert_eq!(check(&run.correlate(), "sum of queue times").verdict, Verdict::Differ);
    run.spans.pop();
    let out = run.correlate();
    let fewer = check(&out, "sum of queue times");
    assert_eq!(fewer.verdict, Verdict::NotAvailable);
    assert_eq!(fewer.detail, "9 told, 10 observed: 1 were lost on their way or are of other traffic");
}

#[test]
fn in_band_metrics_are_checked_against_spans() {
    let mut run = ten();
    run.spans = run.requests.iter().map(span).collect();
    for r in &mut run.requests {
        r.in_band_queue_s = Some(0.020);
    }
    assert_eq!(check(&run.correlate(), "spans and in-band metrics agree").verdict, Verdict::Agree);
    run.requests[2].in_band_queue_s = Some(0.021);
    let out = run.correlate();
    let differs = check(&out, "spans and in-band metrics agree");
    assert_eq!((differs.verdict, differs.detail.as_str()), (Verdict::Differ, "1 of 10 times differ"));
}
