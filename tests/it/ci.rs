//! What CI systems are told: gates of the configuration, exit codes, `JUnit` XML, a step's summary.

use serde_json::Value;

use crate::program::{LookAlike, Place};
use crate::tap::Tap;

const LOAD: &str = "--users 1 --num-prompts 40 --random-input-len 20 --random-output-len 6 --ignore-eos --scrape-interval 60";

fn configured(gates: &str) -> Place {
    let place = Place::new();
    place.file(
        "config.yaml",
        format!("name: a<b\nembedded: {{decode_base_ms: 2, jitter: 0}}\ngates: {gates}\n")
            .replace("a<b", "nightly"),
    );
    place
}

fn text(place: &Place, name: &str) -> String {
    std::fs::read_to_string(place.path(name)).unwrap()
}

#[test]
fn gates_of_the_configuration_hold_for_run_report_and_compare() {
    let place = configured("['mean_e2el_ms > 1us', 'mean_ttft_ms > +20%', 'failed_percent > 50']");
    let run = place.tare(&format!("run config.yaml -q {LOAD} --output one --junit one.xml"));
    assert_eq!(run.code, Some(1), "{}", run.err);
    assert!(run.err.contains("gate missed: `mean_e2el_ms > 1us`: nightly has"), "{}", run.err);
    assert!(run.err.contains("note: the gate `mean_ttft_ms > +20%` is left out"), "{}", run.err);
    let report = place.tare("report one -q");
    assert_eq!(report.code, Some(1), "{}", report.err);
    // Flags take the place of the file's.
    assert_eq!(place.tare("report one -q --fail-if failed_percent>50").code, Some(0));
    // Beside itself only the absolute one is missed.
    let both = place.tare("compare one one --name B=again -q --output both");
    assert_eq!(both.code, Some(1), "{}", both.err);
    assert_eq!(both.err.matches("gate missed").count(), 1, "{}", both.err);
    let found: Value = serde_json::from_str(&text(&place, "both/compare.json")).unwrap();
    assert_eq!(found["gates"].as_array().unwrap().len(), 3);
    let junit = text(&place, "one.xml");
    assert!(
        junit.contains("<testsuite name=\"gates\" tests=\"3\" failures=\"1\" errors=\"0\" skipped=\"1\""),
        "{junit}"
    );
    assert!(
        junit.contains("<testcase name=\"nightly: mean_e2el_ms &gt; 1us\" classname=\"gates\""),
        "{junit}"
    );
    let checks = found["runs"][0]["checks"].as_array().unwrap().len();
    assert!(
        checks > 0
            && junit.contains(&format!("<testsuite name=\"reconciliation of nightly\" tests=\"{checks}\"")),
        "{junit}"
    );
}

#[test]
fn a_gate_that_is_wrong_is_refused_before_anything_is_sent() {
    for (gates, said) in [
        (
            "['p99_tfft_ms > 5']",
            "the gate `p99_tfft_ms > 5` of the configuration: there is no figure `p99_tfft_ms`",
        ),
        ("['p99_ttft_ms = 5']", "of the configuration: expected `>`"),
        ("p99_ttft_ms", "gates"),
    ] {
        let place = configured(gates);
        let refused = place.tare(&format!("run config.yaml -q {LOAD} --output one"));
        assert!(refused.code == Some(2) && refused.err.contains(said), "{}", refused.err);
        assert!(!place.path("one").exists());
    }
}

#[test]
fn a_gate_that_cannot_be_judged_is_an_error_for_ci_as_well() {
    let place = configured("[]");
    let said =
        place.tare(&format!("run config.yaml -q {LOAD} --output one --fail-if goodput<1 --junit ci.xml"));
    assert_eq!(said.code, Some(2), "{}", said.err);
    let junit = text(&place, "ci.xml");
    assert!(junit.contains("errors=\"1\"") && junit.contains("<error message="), "{junit}");
    assert!(place.path("one/report.md").exists(), "the run is reported all the same");
}

#[test]
fn a_steps_summary_is_appended_where_github_wants_it_or_where_it_is_asked_for() {
    let place = configured("['mean_e2el_ms > 1us']");
    assert_eq!(place.tare(&format!("run config.yaml -q {LOAD} --output one")).code, Some(1));
    let place = place.env("GITHUB_STEP_SUMMARY", "step.md");
    place.file("step.md", "earlier\n");
    assert_eq!(place.tare("report one -q").code, Some(1));
    let step = text(&place, "step.md");
    assert!(step.starts_with("earlier\n\n# tare: nightly\n"), "{step}");
    for part in ["## Gates", "| mean_e2el_ms > 1us | nightly | MISSED |", "## Reconciliation"] {
        assert!(step.contains(part), "{part} is not in\n{step}");
    }
    // A file of one's own takes its place; a comparison has a summary, too.
    assert_eq!(
        place.tare("compare one one --name B=again -q --output both --step-summary own.md").code,
        Some(1)
    );
    assert!(text(&place, "own.md").contains("# Side by side: one, again"));
    assert_eq!(text(&place, "step.md"), step);
}

#[test]
fn an_audit_has_gates_against_its_direct_requests() {
    let server = LookAlike::start(&[]);
    let tap = Tap::start(&server.url);
    let place = Place::new();
    let small =
        "--concurrency 2 --prompt-tokens 12 --output-tokens 4 --requests-per-user 2 --spread 0.01 --rounds 6";
    let audit = format!("audit -q --direct {} --through http://{} {small}", server.url, tap.address);
    let said = place.tare(&format!(
        "{audit} --output one --fail-if mean_ttft_ms>+10s --fail-if mean_e2el_ms>1us --junit a.xml"
    ));
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert!(said.err.contains("gate missed: `mean_e2el_ms>1us`: through, "), "{}", said.err);
    assert!(text(&place, "a.xml").contains("mean_ttft_ms&gt;+10s"));
    let again = place.tare("report one -q --fail-if mean_ttft_ms>+10s");
    assert_eq!(again.code, Some(0), "{}", again.err);
    let refused = place.tare("report one -q --fail-if p99_ttft_ms>+10ms");
    assert!(
        refused.code == Some(2) && refused.err.contains("an audit does not tell p99_ttft_ms"),
        "{}",
        refused.err
    );

    // Two audits side by side: a row each, and nothing of one against the other.
    assert_eq!(place.tare(&format!("{audit} --name two --output two")).code, Some(0));
    let both = place.tare("compare one two --name A=tap --name B=again --output both");
    assert_eq!(both.code, Some(0), "{}", both.err);
    let page = text(&place, "both/compare.md");
    assert!(
        page.contains(": what each gateway adds") && page.contains("| tap |") && page.contains("| again |"),
        "{page}"
    );
    assert!(page.contains("(24 pairs)") && page.contains("cell by cell"), "{page}");
    assert!(
        !both.out.contains("What going through adds, cell by cell") && both.out.contains("compare.md"),
        "{}",
        both.out
    );
    let found: Value = serde_json::from_str(&text(&place, "both/compare.json")).unwrap();
    assert_eq!((found["kind"].as_str(), found["audits"].as_array().unwrap().len()), (Some("audits"), 2));
    let added = &found["audits"][0]["found"]["cells"][0]["figures"][0]["added_mean"];
    assert!(added["value"].is_number(), "{added}");
    let of_it: Value = serde_json::from_str(&text(&place, "one/summary.json")).unwrap();
    assert_eq!(*added, of_it["audit"]["cells"][0]["figures"][0]["added_mean"], "as its own report has it");
}
