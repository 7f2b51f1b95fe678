//! What a run can say when the server tells less: from everything, over metrics alone, to the log's
//! statistics lines and to nothing at all; and what it says when evidence is lost on the way.

use tare::error::Exit;
use tare::metric::Metric;
use tare::record::correlated::{Evidence, Verdict};
use tare::record::{LogEvent, Source};

use crate::end_to_end::agrees_with_truth;
use crate::runs::{QUICK, Run, SHORT, run};

const NOTHING: &str = "  spans: false\n  enable_per_request_metrics: false\n  enable_log_requests: false\n";

fn near(found: Option<f64>, expected: f64) -> bool {
    found.is_some_and(|found| (found - expected).abs() <= 1e-9 * expected.abs().max(1.0))
}

/// A mean over the server's own record.
fn mean(run: &Run, of: fn(&tare::mock::truth::TruthRow) -> Option<f64>) -> f64 {
    run.truth.iter().filter_map(of).sum::<f64>() / run.truth.len() as f64
}

fn server(run: &Run, column: &str) -> Option<f64> {
    run.headline(column).server.map(|estimate| estimate.value)
}

#[test]
fn metrics_alone_give_exact_means() {
    let run = run(&format!("{QUICK}{NOTHING}"), &format!("{SHORT} --users 3 --num-prompts 40"));
    agrees_with_truth(&run);
    assert_eq!(run.sources(), [Evidence::Metrics; 4]);
    assert!(near(server(&run, "ttft_s"), mean(&run, |t| t.ttft_s)));
    assert!(near(server(&run, "e2e_s"), mean(&run, |t| t.e2e_s)));
    let sum =
        |of: fn(&tare::mock::truth::TruthRow) -> Option<f64>| run.truth.iter().filter_map(of).sum::<f64>();
    let tokens = sum(|t| Some(f64::from(t.output_tokens)));
    assert!(near(server(&run, "user_throughput_tps"), tokens / sum(|t| t.e2e_s)));
    assert!(near(server(&run, "itl_mean_s"), sum(|t| t.decode_s) / (tokens - 40.0)));

    // No request is joined, each for the same reason; the table of the join is there all the same.
    let c = &run.correlated.coverage;
    assert_eq!((c.joined, c.unjoined.values().copied().collect::<Vec<_>>()), (0, vec![40]));
    assert!(c.unjoined.keys().all(|why| why.contains("tells nothing about single requests")), "{c:?}");
    assert!(run.correlated.rows.iter().all(|row| row.source == Source::None && row.server_ttft_s.is_none()));
    assert!(run.folder.join("joined.parquet").exists());
    assert_eq!(run.checks(Verdict::Differ), [""; 0]);
    assert_eq!(run.check("requests").verdict, Verdict::Agree);
    assert_eq!(run.check("output tokens").verdict, Verdict::Agree);
    // A quantile is only known to lie between the bounds of its bucket.
    let ttft = run.correlated.aggregate.of(Metric::Ttft).unwrap();
    let mut truth: Vec<f64> = run.truth.iter().filter_map(|t| t.ttft_s).collect();
    truth.sort_by(f64::total_cmp);
    for (q, lower, upper) in &ttft.quantiles {
        let at = truth[((truth.len() - 1) as f64 * q).round() as usize];
        assert!(
            *lower <= at && upper.is_none_or(|upper| at <= upper),
            "p{q} {at} is not in {lower} to {upper:?}"
        );
    }
}

#[test]
fn metrics_in_the_answers_are_queue_and_prefill_never_ttft() {
    let faults = "  spans: false\n  faults: [metrics_404]\n";
    let run = run(&format!("{QUICK}{faults}"), &format!("{SHORT} --users 3 --num-prompts 40"));
    agrees_with_truth(&run);
    assert_eq!(run.sources(), [Evidence::InBand; 4]);
    assert_eq!(run.headline("ttft_s").title, "TTFT | queue + prefill");
    assert!(near(server(&run, "ttft_s"), mean(&run, |t| Some(t.queue_s? + t.prefill_s?))));
    assert_eq!(run.correlated.coverage.by_source["in_band"], 40);
    assert!(run.correlated.rows.iter().all(|row| row.server_ttft_s.is_none()));
    // The page is not there: a note, and what is compared with it is not available.
    assert!(run.manifest.notes.iter().any(|note| note.contains("status 404")), "{:?}", run.manifest.notes);
    assert_eq!((run.exit, run.check("requests").verdict), (Exit::Finished, Verdict::NotAvailable));
    assert_eq!(run.checks(Verdict::Differ), [""; 0]);
    let figure = run.file("plots/split_violin.svg").to_lowercase();
    assert!(figure.contains("queue + prefill"), "the figure does not say what it is of");
}

#[test]
fn of_several_kinds_of_evidence_each_row_takes_the_best() {
    let run = run(&format!("{QUICK}  spans: false\n"), &format!("{SHORT} --users 3 --num-prompts 30"));
    agrees_with_truth(&run);
    // The endpoint has the server's TTFT, throughput and duration; of single gaps the answers know more.
    assert_eq!(run.sources(), [Evidence::Metrics, Evidence::Metrics, Evidence::InBand, Evidence::Metrics]);
    assert_eq!(run.headline("ttft_s").title, "TTFT");
    assert!(near(server(&run, "ttft_s"), mean(&run, |t| t.ttft_s)));
    assert_eq!(run.checks(Verdict::Differ), [""; 0]);
}

#[test]
fn request_lines_of_the_log_join_and_say_when() {
    let faults = "  spans: false\n  enable_per_request_metrics: false\n  faults: [metrics_404]\n";
    let run = run(&format!("{QUICK}{faults}"), &format!("{SHORT} --users 3 --num-prompts 30"));
    agrees_with_truth(&run);
    assert_eq!(run.correlated.coverage.by_source["log"], 30);
    let truth = run.truth_by_id();
    for row in run.joined_ok() {
        let truth = truth[row.client.request_id.as_str()];
        let (received, added) = (row.log_received_unix_ns.unwrap(), row.log_added_unix_ns.unwrap());
        let resolution = row.log_resolution_ns.unwrap();
        // Logged between the arrival and the queue, as far as stamps of whole seconds tell.
        assert!(
            received.0 + resolution > truth.arrival_unix_ns.unwrap().0 && received <= added,
            "{row:?}\n{truth:?}"
        );
        assert!(added.0 <= truth.end_unix_ns.0, "{row:?}\n{truth:?}");
    }
    assert_eq!(run.checks(Verdict::Differ), [""; 0]);
}

#[test]
fn statistics_lines_alone_estimate_throughput_as_the_seed_did() {
    let yaml = format!("{QUICK}{NOTHING}  log_stats_interval_s: 0.3\n  faults: [metrics_404]\n");
    let run = run(&yaml, &format!("{SHORT} --users 3 --duration 3"));
    agrees_with_truth(&run);
    let lines = run.log.iter().filter(|row| matches!(row.event, LogEvent::Stats { .. })).count();
    assert!(lines > 1, "{lines}");
    assert_eq!(run.sources(), [Evidence::None, Evidence::LogStats, Evidence::LogStats, Evidence::None]);
    let row = run.headline("user_throughput_tps");
    assert!(
        server(&run, "user_throughput_tps").is_some_and(|tps| tps > 0.0) && row.tare.is_some(),
        "{row:?}"
    );
    assert!(
        row.note.as_ref().is_some_and(|note| note.starts_with("estimated from the log's stats lines")),
        "{row:?}"
    );
    assert!(run.headline("ttft_s").server.is_none() && run.headline("ttft_s").tool.is_some());
}

#[test]
fn without_any_evidence_the_clients_side_is_reported() {
    let yaml = format!("{QUICK}{NOTHING}  faults: [metrics_html]\n");
    let run = run(&yaml, &format!("{SHORT} --users 3 --num-prompts 10"));
    agrees_with_truth(&run);
    assert_eq!((run.exit, run.sources()), (Exit::Finished, vec![Evidence::None; 4]));
    assert!(run.correlated.headline.iter().all(|row| row.tool.is_some() && row.tare.is_none()));
    assert!(
        run.manifest.notes.iter().any(|note| note.contains("Prometheus text format, found")),
        "{:?}",
        run.manifest.notes
    );
    assert_eq!(run.checks(Verdict::Differ), [""; 0]);
}

#[test]
fn lost_spans_leave_the_rest_paired() {
    let yaml = format!("{QUICK}  faults: [span_loss every=20]\nobserve:\n  span_wait_s: 0.2\n");
    let run = run(&yaml, &format!("{SHORT} --users 3 --num-prompts 40"));
    agrees_with_truth(&run);
    let c = &run.correlated.coverage;
    assert_eq!((c.by_source["span"], c.by_source["in_band"], c.joined), (38, 2, 40));
    let row = run.headline("ttft_s");
    assert_eq!((row.source, row.tool.unwrap().n, row.server.unwrap().n), (Evidence::Span, 38, 38));
    assert_eq!(
        row.note.as_deref(),
        Some("2 of 40 requests lack the server's figure and are left out of both")
    );
    // Sums of 38 spans are not compared with those of forty requests.
    assert_eq!(run.check("sum of durations").verdict, Verdict::NotAvailable);
    assert_eq!(run.checks(Verdict::Differ), [""; 0]);
}

#[test]
fn spans_that_come_late_are_waited_for() {
    let yaml = format!("{QUICK}  faults: [span_delay_ms=1500]\nobserve:\n  span_wait_s: 60\n");
    let run = run(&yaml, &format!("{SHORT} --users 3 --num-prompts 20 --num-warmups 1"));
    agrees_with_truth(&run);
    assert_eq!(run.correlated.coverage.by_source.get("span"), Some(&20));
    assert_eq!((run.checks(Verdict::Differ), run.checks(Verdict::NotAvailable)), (vec![], vec![]));
}

#[test]
fn a_restart_of_the_counters_is_seen_and_its_sums_are_not_used() {
    let yaml = format!("{QUICK}  faults: [reset at_request=60]\n");
    let run = run(&yaml, &format!("{SHORT} --users 3 --num-prompts 120 --scrape-interval 0.1"));
    agrees_with_truth(&run);
    assert!(
        run.manifest.warnings.iter().any(|warning| warning.contains("were reset during the run")),
        "{:?}",
        run.manifest.warnings
    );
    assert!(run.correlated.aggregate.unusable.is_some());
    assert_eq!(run.check("counters without a restart").verdict, Verdict::Differ);
    assert_eq!(run.check("requests").verdict, Verdict::NotAvailable);
    assert_eq!(run.sources(), [Evidence::Span; 4], "spans do not mind");
}

#[test]
fn metrics_can_be_left_out() {
    let run =
        run(&format!("{QUICK}{NOTHING}"), &format!("{SHORT} --no-server-metrics --users 2 --num-prompts 6"));
    agrees_with_truth(&run);
    assert_eq!(run.sources(), [Evidence::None; 4]);
    assert_eq!(run.file("scrapes.jsonl"), "");
    assert_eq!(run.manifest.warnings, [""; 0]);
}

#[test]
fn garbage_in_the_log_is_kept_and_counted() {
    let yaml = format!("{QUICK}  faults: [garbage_log every=3]\n");
    let run = run(&yaml, &format!("{SHORT} --users 2 --num-prompts 12"));
    agrees_with_truth(&run);
    let unparsed = run.log.iter().filter(|row| matches!(row.event, LogEvent::Unparsed { .. })).count();
    assert!(unparsed >= 8, "{unparsed}");
    let counts = &run.manifest.counts["log embedded"];
    assert_eq!(counts.rows_in, counts.rows_out + counts.bad);
    assert!(counts.bad >= 8, "{counts:?}");
    assert_eq!(run.checks(Verdict::Differ), [""; 0]);
}
