//! Whole runs against the embedded server, checked request by request and event by event against
//! the server's own record of what really happened.

use std::collections::BTreeSet;

use tare::error::Exit;
use tare::mock::truth::TruthRow;
use tare::record::correlated::{Evidence, Verdict};
use tare::record::{Connection, Endpoint, RequestRow, Source, StampSource, Status};
use tokio_util::sync::CancellationToken;

use crate::runs::{QUICK, Run, SHORT, fate, run, run_until};
use crate::support::wait_until;

/// Every request that ended has its row of truth, and both say the same of it.
pub fn agrees_with_truth(run: &Run) {
    let truth = run.truth_by_id();
    assert!(!run.rows.is_empty(), "nothing was sent");
    for row in run.rows.iter().filter(|row| row.status != Status::InFlight) {
        let truth = truth.get(row.request_id.as_str()).unwrap_or_else(|| panic!("no truth of {row:?}"));
        ends_agree(row, truth);
        moments_are_in_order(row, truth);
        events_agree(run, row, truth);
        columns_follow_from_stamps(run, row);
    }
    let sent: BTreeSet<&str> = run.rows.iter().map(|row| row.request_id.as_str()).collect();
    assert_eq!(sent.len(), run.rows.len(), "a request has two rows");
    for id in truth.keys().filter(|id| !id.contains("-warmup-")) {
        assert!(sent.contains(id), "{id} reached the server and has no row");
    }
    let flows = &run.manifest.counts["requests"];
    assert_eq!((flows.rows_in, flows.rows_out), (run.rows.len() as u64, run.rows.len() as u64));
}

/// How it ended, over what, and how many tokens were counted.
fn ends_agree(row: &RequestRow, truth: &TruthRow) {
    assert_eq!(row.status, fate(truth), "{row:?}\n{truth:?}");
    assert_eq!(row.http_status, Some(truth.status), "{row:?}\n{truth:?}");
    assert_eq!(row.error.is_some(), row.status.is_failure(), "{row:?}");
    assert_eq!(row.endpoint.path(), truth.path);
    assert_eq!(row.local_port, Some(truth.client_port));
    assert_eq!(row.connection == Connection::Reused, truth.connection_request > 1, "{row:?}\n{truth:?}");
    let traceparent = truth.traceparent.as_deref().unwrap_or_default();
    assert_eq!(traceparent.split('-').nth(1), Some(row.trace_id.as_str()));
    if truth.status < 400 {
        assert_eq!(row.streamed, truth.stream);
    }
    if row.status == Status::Ok {
        assert_eq!(row.response_id.as_deref(), Some(truth.request_id.as_str()));
        assert_eq!(row.finish_reason.as_deref(), reason_told(row, truth), "{row:?}\n{truth:?}");
        // Null where the server did not tell, never guessed.
        let told = !truth.faults.iter().any(|fault| fault == "no_usage");
        assert_eq!(row.input_tokens, told.then_some(truth.prompt_tokens), "{row:?}\n{truth:?}");
        assert_eq!(row.output_tokens, told.then_some(truth.output_tokens), "{row:?}\n{truth:?}");
    }
}

/// The server's reason, in the words of the API that told it.
fn reason_told<'a>(row: &RequestRow, truth: &'a TruthRow) -> Option<&'a str> {
    let calls = truth.faults.iter().any(|fault| fault == "tool_call");
    match (row.endpoint, truth.finish_reason.as_deref()) {
        (Endpoint::Responses, Some("length")) => Some("max_output_tokens"),
        (Endpoint::Responses, Some(_)) => Some("completed"),
        (Endpoint::Chat, Some("stop")) if calls => Some("tool_calls"),
        (_, reason) => reason,
    }
}

/// Nothing is stamped before it can have happened, on either side.
fn moments_are_in_order(row: &RequestRow, truth: &TruthRow) {
    let told = [
        Some(row.scheduled_unix_ns),
        Some(row.started_unix_ns),
        row.connect_begin_unix_ns,
        row.connect_end_unix_ns,
        row.send_begin_unix_ns,
        Some(truth.read_unix_ns),
        truth.head_unix_ns,
        row.head_unix_ns,
        row.first_token_unix_ns,
        row.last_token_unix_ns,
        Some(row.done_unix_ns),
    ];
    let told: Vec<_> = told.into_iter().flatten().collect();
    assert!(told.is_sorted(), "{row:?}\n{truth:?}");
    assert!(row.send_begin_unix_ns <= row.sent_unix_ns);
    let stamps = if cfg!(target_os = "linux") { StampSource::Kernel } else { StampSource::User };
    assert_eq!(row.stamps, stamps, "{row:?}");
}

/// As many events as were written, with their tokens, each stamped after it was written.
fn events_agree(run: &Run, row: &RequestRow, truth: &TruthRow) {
    let seen = run.events_of(row);
    assert_eq!(seen.len(), row.n_events as usize);
    if !truth.stream {
        let written = truth.events.first().map(|event| event.0);
        assert!(seen.is_empty() && written <= row.last_token_unix_ns, "{row:?}\n{truth:?}");
        return;
    }
    let counted = row.output_tokens.is_some() && run.events.tokens[seen.clone()].iter().all(Option::is_some);
    let written: Vec<_> = truth.events.iter().filter(|(_, tokens, _)| *tokens > 0).collect();
    if counted || seen.is_empty() {
        assert_eq!(seen.len(), written.len(), "{row:?}\n{truth:?}");
        let tokens: Vec<_> = written.iter().map(|(_, tokens, _)| Some(*tokens)).collect();
        assert_eq!(run.events.tokens[seen.clone()], tokens, "{row:?}\n{truth:?}");
    } else if seen.len() != written.len() {
        // Without counts an event that has no text cannot be known for a token's.
        assert!(seen.len() < written.len());
        return;
    }
    for (i, (at, ..)) in seen.zip(written) {
        let (lo, hi, user) =
            (run.events.stamp_lo_unix_ns[i], run.events.stamp_hi_unix_ns[i], run.events.user_unix_ns[i]);
        assert!(
            at.0 <= hi && lo <= hi && hi <= user,
            "written {at:?}, stamped {lo} to {hi}, seen {user}: {row:?}"
        );
    }
}

/// Every derived column is what its definition makes of the stamps.
fn columns_follow_from_stamps(run: &Run, row: &RequestRow) {
    let events = run.events_of(row);
    let started = row.started_unix_ns.0;
    let seconds = |from: i64, to: i64| (to - from) as f64 / 1e9;
    let (his, los) =
        (&run.events.stamp_hi_unix_ns[events.clone()], &run.events.stamp_lo_unix_ns[events.clone()]);
    let users = &run.events.user_unix_ns[events];
    assert_eq!(row.first_token_unix_ns.map(|t| t.0), his.first().copied());
    assert_eq!(row.first_token_lo_unix_ns.map(|t| t.0), los.first().copied());
    assert_eq!(row.first_token_user_unix_ns.map(|t| t.0), users.first().copied());
    let exact = his.iter().zip(los).filter(|(hi, lo)| hi == lo).count();
    assert_eq!(row.n_exact_events as usize, exact);
    if row.streamed {
        assert_eq!(row.last_token_unix_ns.map(|t| t.0), his.last().copied());
    }
    let ok = row.status == Status::Ok;
    let first = his.first().copied();
    let last = row.last_token_unix_ns.map(|t| t.0);
    let gaps = row.output_tokens.filter(|n| *n > 1).map(|n| f64::from(n - 1));
    let ttft = first.map(|t| seconds(started, t));
    let e2e = last.filter(|_| ok).map(|t| seconds(started, t));
    let columns = [
        (row.ttft_s, ttft),
        (row.ttft_user_s, users.first().map(|t| seconds(started, *t))),
        (row.ttft_scheduled_s, first.map(|t| seconds(row.scheduled_unix_ns.0, t))),
        (row.ttft_content_s, row.first_content_unix_ns.map(|t| seconds(started, t.0))),
        (row.e2e_s, e2e),
        (row.itl_mean_s, (|| Some(seconds(first?, last?) / gaps.filter(|_| his.len() > 1)?))()),
        (row.tpot_s, (|| Some((e2e? - ttft?) / gaps?))()),
        (row.user_throughput_tps, (|| Some(f64::from(row.output_tokens?) / e2e?))()),
    ];
    for (i, (found, expected)) in columns.into_iter().enumerate() {
        assert_eq!(found.is_some(), expected.is_some(), "column {i} of {row:?}");
        let (found, expected) = (found.unwrap_or(0.0), expected.unwrap_or(0.0));
        assert!(
            (found - expected).abs() <= 1e-12 * expected.abs().max(1.0),
            "column {i}: {found}, not {expected}: {row:?}"
        );
    }
}

fn sum(values: impl Iterator<Item = f64>) -> f64 {
    values.sum()
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * b.abs().max(1.0)
}

/// The truth of the measured requests, warm-ups left out.
fn measured(run: &Run) -> impl Iterator<Item = &TruthRow> {
    run.truth.iter().filter(|row| row.x_request_id.as_deref().is_some_and(|id| !id.contains("-warmup-")))
}

#[test]
fn both_sides_agree_about_a_clean_run() {
    let run = run(QUICK, &format!("{SHORT} --users 4 --ramp-s 1 --duration 3 --num-warmups 3"));
    agrees_with_truth(&run);
    assert_eq!(run.exit, Exit::Finished);
    assert_eq!(run.ok().count(), run.rows.len());

    // Every request joined by its span, to the very numbers that the server measured.
    let coverage = &run.correlated.coverage;
    assert_eq!((coverage.joined, coverage.by_source["span"]), (run.rows.len(), run.rows.len()));
    let truth = run.truth_by_id();
    for joined in run.joined_ok() {
        let truth = truth[joined.client.request_id.as_str()];
        assert_eq!((joined.source, joined.span_fits_client), (Source::Span, Some(true)));
        assert_eq!(joined.server_output_tokens, Some(truth.output_tokens));
        for (found, expected) in [
            (joined.server_ttft_s, truth.ttft_s),
            (joined.server_e2e_s, truth.e2e_s),
            (joined.server_queue_s, truth.queue_s),
            (joined.server_prefill_s, truth.prefill_s),
            (joined.server_decode_s, truth.decode_s),
            (joined.client.in_band_queue_s, truth.queue_s),
            (joined.client.in_band_prefill_s, truth.prefill_s),
            (joined.client.in_band_decode_s, truth.decode_s),
        ] {
            assert!(near(found.unwrap(), expected.unwrap()), "{joined:?}\n{truth:?}");
        }
        // What the server calls its TTFT lies inside the client's.
        assert!(joined.server_ttft_s <= joined.client.ttft_s, "{joined:?}");
    }

    // Reconciled: every check is there, and agrees.
    assert_eq!(run.checks(Verdict::Differ), [""; 0]);
    assert_eq!(run.checks(Verdict::NotAvailable), [""; 0]);

    // Warm-ups reached the server, and are in none of the numbers.
    let warm = run
        .truth
        .iter()
        .filter(|t| t.x_request_id.as_deref().is_some_and(|id| id.contains("-warmup-")))
        .count();
    assert_eq!((warm, measured(&run).count()), (3, run.rows.len()));
    assert_eq!(run.correlated.coverage.span_leftovers.values().sum::<usize>(), 3);
    let aggregate = &run.correlated.aggregate;
    assert_eq!(aggregate.finished_total(), Some(run.rows.len() as f64));
    assert_eq!(aggregate.generation_tokens, Some(sum(measured(&run).map(|t| f64::from(t.output_tokens)))));
    assert_eq!(aggregate.prompt_tokens, Some(sum(measured(&run).map(|t| f64::from(t.prompt_tokens)))));
    let ttft = aggregate.of(tare::metric::Metric::Ttft).unwrap();
    assert!(near(ttft.sum, sum(measured(&run).filter_map(|t| t.ttft_s))), "{ttft:?}");

    // The table is made of these numbers: tool, server, tare.
    assert_eq!(run.sources(), [Evidence::Span; 4]);
    let n = run.rows.len() as f64;
    let (tool, server) =
        (sum(run.ok().filter_map(|r| r.ttft_s)) / n, sum(measured(&run).filter_map(|t| t.ttft_s)) / n);
    let row = run.headline("ttft_s");
    assert!(near(row.tool.unwrap().value, tool) && near(row.server.unwrap().value, server), "{row:?}");
    assert!(near(row.tare.unwrap().value, tool - server), "{row:?}");
}

/// A user-space stamp would be as good as the client is fast; the kernel's is made while the server
/// still writes.
#[test]
fn most_events_are_stamped_before_the_server_writes_the_next() {
    let run = run(QUICK, &format!("{SHORT} --users 2 --num-prompts 30"));
    agrees_with_truth(&run);
    let truth = run.truth_by_id();
    let (mut before, mut all) = (0, 0);
    for row in run.ok() {
        let written: Vec<_> =
            truth[row.request_id.as_str()].events.iter().filter(|(_, tokens, _)| *tokens > 0).collect();
        for (i, next) in run.events_of(row).zip(written.iter().skip(1)) {
            all += 1;
            before += usize::from(run.events.stamp_hi_unix_ns[i] <= next.0.0);
        }
    }
    assert!(before * 2 > all, "{before} of {all}");
}

#[test]
fn every_kind_of_failure_is_called_by_its_name() {
    let faults =
        "  faults: [http_500 every=7, http_429 at_request=2, cut after=3 every=5, cut_clean after=2 every=11,
           stream_error after=4 every=13, stall at=3 for_ms=100 every=6, empty_first every=4]\n";
    let run = run(&format!("{QUICK}{faults}"), &format!("{SHORT} --users 4 --num-prompts 120"));
    agrees_with_truth(&run);
    assert_eq!((run.exit, run.rows.len()), (Exit::Finished, 120));

    let counts = &run.summary.counts;
    for status in [Status::Ok, Status::HttpError, Status::Cut, Status::StreamError] {
        let expected = run.truth.iter().filter(|truth| fate(truth) == status).count();
        assert!(expected > 0);
        assert_eq!(counts.by_status.get(status.as_str()), Some(&expected), "{status:?}");
    }
    assert_eq!((counts.total, counts.ok + counts.failed, counts.in_flight), (120, 120, 0));
    let told =
        |of: &str| run.rows.iter().any(|row| row.error.as_deref().is_some_and(|error| error.contains(of)));
    assert!(told("HTTP 429") && told("HTTP 500") && told("without `finish_reason`") && told("in the middle"));

    // A failure is never a success, and has no success's numbers.
    assert!(run.rows.iter().all(|row| row.status == Status::Ok || row.e2e_s.is_none()));
    // Every ok request has its span; the others their reason; nothing is called foreign.
    assert!(run.joined_ok().all(|joined| joined.source == Source::Span));
    let c = &run.correlated.coverage;
    assert_eq!(c.requests, c.joined + c.unjoined.values().sum::<usize>());
    assert_eq!(run.checks(Verdict::Differ), [""; 0]);
    assert_eq!(run.manifest.warnings, [""; 0]);
}

#[test]
fn whole_answers_are_measured_without_a_first_token() {
    let run = run(QUICK, &format!("{SHORT} --no-stream --users 3 --num-prompts 20"));
    agrees_with_truth(&run);
    assert_eq!(run.ok().count(), 20);
    assert!(run.rows.iter().all(|row| !row.streamed && row.ttft_s.is_none() && row.e2e_s.is_some()));
    assert!(
        run.joined_ok()
            .all(|joined| joined.source == Source::Span && joined.server_e2e_s <= joined.client.e2e_s)
    );
    assert_eq!(run.checks(Verdict::Differ), [""; 0]);
    assert!(run.headline("ttft_s").tool.is_none() && run.headline("e2e_s").tare.is_some());
}

#[test]
fn text_completions_are_measured_as_chats_are() {
    let run = run(QUICK, &format!("{SHORT} --backend openai --users 3 --num-prompts 20"));
    agrees_with_truth(&run);
    assert_eq!(run.ok().count(), 20);
    assert!(run.rows.iter().all(|row| row.endpoint == Endpoint::Completions && row.ttft_s.is_some()));
    assert!(run.joined_ok().all(|joined| joined.source == Source::Span));
    assert_eq!((run.checks(Verdict::Differ), run.checks(Verdict::NotAvailable)), (vec![], vec![]));
}

#[test]
fn without_usage_tokens_are_unknown_and_not_guessed() {
    let run = run(&format!("{QUICK}  faults: [no_usage]\n"), &format!("{SHORT} --users 3 --num-prompts 20"));
    agrees_with_truth(&run);
    assert_eq!((run.ok().count(), run.summary.totals.requests_without_usage), (20, 20));
    assert!(run.events.tokens.iter().all(Option::is_none));
    assert!(run.ok().all(|row| row.ttft_s.is_some() && row.user_throughput_tps.is_none()));
    assert_eq!(run.check("output tokens").verdict, Verdict::NotAvailable);
    assert_eq!(run.checks(Verdict::Differ), [""; 0]);
    assert!(run.file("report.md").contains("came without token counts"));
}

#[test]
fn a_server_that_refuses_continuous_usage_is_asked_without_it() {
    let faults = "  faults: [refuse_continuous_usage]\n";
    let run = run(&format!("{QUICK}{faults}"), &format!("{SHORT} --users 3 --num-prompts 20"));
    agrees_with_truth(&run);
    assert_eq!(run.ok().count(), 20);
    let refused = run.truth.iter().filter(|truth| truth.status == 400).count();
    assert!((1..=3).contains(&refused), "one refusal for each user at most: {refused}");
    assert_eq!(run.truth.len(), 20 + refused);
    // Totals are known at the end; tokens of single events are not, but of the last of them all.
    assert!(run.ok().all(|row| row.output_tokens.is_some()));
    assert!(run.events.tokens.iter().all(Option::is_none));
    let said = format!("refused `continuous_usage_stats`: {refused} requests were sent again");
    assert!(run.manifest.notes.iter().any(|note| note.contains(&said)), "{:?}", run.manifest.notes);
    assert_eq!(run.checks(Verdict::Differ), [""; 0]);
}

#[test]
fn comments_between_events_are_no_events() {
    let run = run(
        &format!("{QUICK}  faults: [keep_alive_comments]\n"),
        &format!("{SHORT} --users 3 --num-prompts 20"),
    );
    agrees_with_truth(&run);
    assert_eq!(run.ok().count(), 20);
    assert_eq!(run.checks(Verdict::Differ), [""; 0]);
}

#[test]
fn answers_that_end_by_themselves_are_counted_to_their_last_token() {
    let natural = format!("{QUICK}  mean_output_tokens: 8\n");
    let run = run(&natural, "--random-input-len 12 --random-output-len 64 --users 4 --num-prompts 40");
    agrees_with_truth(&run);
    let reasons: BTreeSet<_> = run.ok().filter_map(|row| row.finish_reason.as_deref()).collect();
    assert!(reasons.contains("stop"), "{reasons:?}");
    assert_eq!((run.checks(Verdict::Differ), run.checks(Verdict::NotAvailable)), (vec![], vec![]));
}

#[test]
fn what_is_in_flight_at_the_end_is_neither_ok_nor_failed() {
    let slow = "embedded:\n  decode_base_ms: 20\n  log_stats_interval_s: 1\n";
    let flags = "--random-input-len 12 --random-output-len 4000 --ignore-eos --users 3 --duration 3 --grace-period 0.2";
    let run = run(slow, flags);
    let in_flight = run.rows.iter().filter(|row| row.status == Status::InFlight).count();
    assert_eq!((in_flight, run.rows.len()), (3, 3));
    assert_eq!((run.summary.counts.in_flight, run.summary.counts.failed, run.summary.counts.ok), (3, 0, 0));
    // What they had until then is kept.
    assert!(run.rows.iter().all(|row| row.n_events > 0 && row.error.is_none() && row.e2e_s.is_none()));
    assert_eq!(run.exit, Exit::Broken);
}

/// What Ctrl-C does, with the signal left out.
#[test]
fn an_interrupted_run_reports_what_was_measured() {
    let interrupt = CancellationToken::new();
    let long = "--random-input-len 12 --random-output-len 40 --ignore-eos --users 3 --duration 600";
    let (dir, config, outcome) = run_until(QUICK, long, &interrupt);
    let results = dir.path().join("run/results.jsonl");
    wait_until("ten requests have ended", || {
        std::fs::read_to_string(&results).is_ok_and(|text| text.lines().count() >= 10)
    });
    interrupt.cancel();
    let outcome = outcome.recv().unwrap();
    assert_eq!(outcome.exit, Exit::Interrupted);
    let run = Run::read(dir, config, outcome);
    agrees_with_truth(&run);
    assert!(run.ok().count() >= 10);
    assert_eq!(run.summary.counts.failed, 0);
    assert_eq!(run.checks(Verdict::Differ), [""; 0]);
}
