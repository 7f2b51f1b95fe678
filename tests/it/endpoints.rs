//! Each API, with answers that think and call tools, against the embedded server's own truth.

use tare::record::correlated::Verdict;
use tare::record::{Endpoint, RequestRow, Source, Status};

use crate::end_to_end::agrees_with_truth;
use crate::program::Place;
use crate::runs::{QUICK, Run, SHORT, run};
use crate::stamps::https;
use crate::support::closed_port;

/// Each request's first visible text is stamped after the server wrote it, and no other is taken for it.
fn first_visible_agrees(run: &Run) {
    let truth = run.truth_by_id();
    for row in run.ok() {
        let written = truth[row.request_id.as_str()].first_visible_unix_ns;
        assert_eq!(row.first_content_unix_ns.is_some(), written.is_some(), "{row:?}");
        if let (Some(seen), Some(written)) = (row.first_content_unix_ns, written) {
            assert!(written <= seen, "{row:?}");
            // What came before it, in order: the first token; after it, the last one.
            assert!(row.first_token_unix_ns <= Some(seen) && Some(seen) <= row.last_token_unix_ns, "{row:?}");
        }
    }
}

fn all(run: &Run, is_so: impl Fn(&RequestRow) -> bool) -> bool {
    run.ok().count() == 20 && run.ok().all(is_so)
}

#[test]
fn responses_are_measured_as_chats_are() {
    let run = run(QUICK, &format!("{SHORT} --backend openai-responses --users 3 --num-prompts 20"));
    agrees_with_truth(&run);
    first_visible_agrees(&run);
    assert!(all(&run, |row| row.endpoint == Endpoint::Responses && row.ttft_s == row.ttft_content_s));
    assert!(all(&run, |row| row.response_id.as_deref().is_some_and(|id| id.starts_with("resp_"))));
    // The server does not take the id it is given; what joins is the one that it gave.
    assert!(run.joined_ok().all(|joined| joined.source == Source::Span));
    assert_eq!((run.checks(Verdict::Differ), run.checks(Verdict::NotAvailable)), (vec![], vec![]));
    assert!(run.events.tokens.iter().all(Option::is_none), "nobody told what an event holds");
}

#[test]
fn whole_responses_are_measured() {
    let run = run(QUICK, &format!("{SHORT} --endpoint /v1/responses --no-stream --users 3 --num-prompts 20"));
    agrees_with_truth(&run);
    assert!(all(&run, |row| row.ttft_s.is_none() && row.e2e_s.is_some()));
    assert!(all(&run, |row| row.finish_reason.as_deref() == Some("max_output_tokens")));
}

#[test]
fn a_response_is_whole_only_with_its_last_event() {
    let faults = "  faults: [\"cut_clean after=4 every=4\", \"stream_error after=2 at_request=3\"]\n";
    let flags = format!("{SHORT} --backend openai-responses --users 1 --num-prompts 20");
    let run = run(&format!("{QUICK}{faults}"), &flags);
    agrees_with_truth(&run);
    let cut: Vec<&RequestRow> = run.rows.iter().filter(|row| row.status == Status::Cut).collect();
    assert_eq!(cut.len(), 5);
    assert!(cut.iter().all(|row| row.error.as_deref().is_some_and(|e| e.contains("response.completed"))));
    let error = run.rows.iter().find(|row| row.status == Status::StreamError).unwrap();
    assert_eq!(error.error.as_deref(), Some("Internal server error"));
}

#[test]
fn reasoning_is_tokens_and_the_first_visible_text_is_told_apart() {
    for backend in ["openai-chat", "openai-responses"] {
        let yaml = format!("{QUICK}  faults: [reasoning tokens=5]\n");
        let run = run(&yaml, &format!("{SHORT} --backend {backend} --users 3 --num-prompts 20"));
        agrees_with_truth(&run);
        first_visible_agrees(&run);
        // Five tokens of a server that takes 2 ms for each.
        assert!(all(&run, |row| row.ttft_content_s > row.ttft_s), "{backend}");
        assert_eq!(run.checks(Verdict::Differ), [""; 0], "{backend}");
        assert!(run.file("report.md").contains("| TTFT, first visible text |"), "{backend}");
    }
}

#[test]
fn a_call_of_a_tool_is_tokens_and_no_visible_text() {
    for backend in ["openai-chat", "openai-responses"] {
        let yaml = format!("{QUICK}  faults: [\"tool_call after=0\"]\n");
        let run = run(&yaml, &format!("{SHORT} --backend {backend} --users 3 --num-prompts 20"));
        agrees_with_truth(&run);
        first_visible_agrees(&run);
        assert!(all(&run, |row| row.ttft_s.is_some() && row.ttft_content_s.is_none()), "{backend}");
        assert!(all(&run, |row| row.itl_mean_s.is_some()), "{backend}");
    }
}

#[test]
fn text_alone_has_one_first_token() {
    let run = run(QUICK, &format!("{SHORT} --users 3 --num-prompts 20"));
    first_visible_agrees(&run);
    let report = run.file("report.md");
    assert!(report.contains("| TTFT |") && !report.contains("| TTFT, first visible text |"), "{report}");
}

#[test]
fn a_certificate_that_nobody_checked_is_said_aloud() {
    let (_server, _terminator, url) = https();
    let place = Place::new();
    let said = place
        .tare(&format!("run --base-url {url} --insecure --output run --users 2 --num-prompts 4 {SHORT}"));
    assert_eq!(said.code, Some(0), "{}", said.err);
    let warning = "the server's certificate was taken unchecked (--insecure): who answered is not known";
    assert!(said.out.contains(&format!("warning: {warning}\n")), "{}", said.out);
    let report = std::fs::read_to_string(place.path("run/report.md")).unwrap();
    assert!(report.contains(warning), "{report}");
}

/// A proxy that the environment names is not in the way of anything: not of requests, not of questions.
#[test]
fn proxies_of_the_environment_are_not_used() {
    let nobody = format!("http://{}", closed_port());
    let mut place = Place::new();
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY"] {
        place = place.env(name, &nobody);
    }
    let said = place.tare(&format!("run --output run --users 2 --num-prompts 4 {SHORT}"));
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.contains("Successful Requests: 4"), "{}", said.out);
    assert!(!said.out.contains("metrics: "), "the page of metrics was reached: {}", said.out);
}
