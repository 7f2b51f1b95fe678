//! `tare report --window`: the same run, of some of its requests, with what was left out counted.

use std::path::Path;

use serde_json::Value;
use tare::store::folder::RESULTS_STREAM;

use crate::program::Place;
use crate::runs::QUICK;

/// Six users that come one after another, and enough requests to tell a steady state.
const RAMPED: &str = "run config.yaml --output run --users 6 --ramp-s 0.6 --num-prompts 240 --random-input-len 12 --random-output-len 8 --ignore-eos";

fn ramped() -> Place {
    let place = Place::new();
    place.file("config.yaml", QUICK);
    let said = place.tare(RAMPED);
    assert_eq!(said.code, Some(0), "{}", said.err);
    // Whether TTFTs settle depends on the machine; these have.
    let results = place.path("run").join(RESULTS_STREAM);
    let text = std::fs::read_to_string(&results).unwrap();
    let settled = text.lines().map(|line| {
        let mut row: Value = serde_json::from_str(line).unwrap();
        let index = row["index"].as_u64().unwrap();
        row["ttft_s"] = (0.010 + 0.001 * (index % 7) as f64).into();
        format!("{row}\n")
    });
    std::fs::write(&results, settled.collect::<String>()).unwrap();
    assert_eq!(place.tare("report run").code, Some(0));
    place
}

fn summary(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("summary.json")).unwrap()).unwrap()
}

/// The fact's line, as it is printed.
fn line<'a>(out: &'a str, label: &str) -> &'a str {
    out.lines().find(|line| line.starts_with(label)).unwrap_or_else(|| panic!("no {label} in {out}"))
}

#[test]
fn a_report_is_made_of_the_requests_of_a_window() {
    let place = ramped();
    let folder = place.path("run");
    let (report, all) = (std::fs::read(folder.join("report.md")).unwrap(), summary(&folder));
    let s = &all["summary"];
    assert_eq!((&s["window"]["choice"], &s["window"]["requests"]), (&Value::from("all"), &Value::from(240)));
    assert_eq!(s["window"]["left_out"], 0);
    assert!(s["client"][0]["mean"]["n_eff"].as_f64().unwrap() >= 1.0);

    let said = place.tare("report run --window steady");
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    let steady = summary(&folder)["summary"].clone();
    assert_eq!(steady["steady"], s["steady"], "the same, whatever the report is made from");
    let inside = steady["window"]["requests"].as_u64().unwrap();
    assert_eq!(steady["steady"]["requests"], inside);
    assert_eq!(inside + steady["window"]["left_out"].as_u64().unwrap(), 240);
    assert_eq!(steady["counts"]["total"], inside);
    assert!(0 < inside && inside < 240, "the ramp is left out: {inside}");
    assert!(steady["steady"]["begin_s"].as_f64().unwrap() > 0.4, "{}", steady["steady"]);
    assert!(
        line(&said.out, "window: steady, ").contains(&format!("the {inside} of 240 requests")),
        "{}",
        said.out
    );
    assert!(line(&said.out, "steady state: ").contains("all 6 users were there at "), "{}", said.out);
    let written = std::fs::read_to_string(folder.join("report.md")).unwrap();
    assert!(written.contains("- window: steady, ") && written.contains("- steady state: "), "{written}");

    // Each request is in one of two windows that meet.
    let count = |window: &str| {
        assert_eq!(place.tare(&format!("report run --window {window}")).code, Some(0));
        summary(&folder)["num_prompts"].as_u64().unwrap()
    };
    assert_eq!(count("0..0.7") + count("0.7.."), 240);

    // Nothing of it stays: the report of all is what it was.
    assert_eq!(place.tare("report run").code, Some(0));
    assert!(report == std::fs::read(folder.join("report.md")).unwrap() && all == summary(&folder));
}

#[test]
fn a_window_that_cannot_be_is_refused() {
    let place = Place::new();
    place.file("config.yaml", QUICK);
    let run =
        "run config.yaml --output run --users 2 --num-prompts 10 --random-input-len 12 --random-output-len 8";
    assert_eq!(place.tare(run).code, Some(0));
    let refused = |window: &str| {
        let said = place.tare(&format!("report run --window {window}"));
        assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{window}");
        said.err
    };
    assert_eq!(
        refused("steady"),
        "error: the run has no steady state: TTFT: 10 values are too few to tell (100 are enough)
hint: `--window A..B` chooses by hand, in seconds since the first start\n"
    );
    let beyond = refused("1000..");
    assert!(
        beyond.starts_with("error: no request started in the window `1000..`\nhint: the run lasted "),
        "{beyond}"
    );
    let typo = refused("10-60");
    assert!(typo.contains("expected all, steady, or A..B in seconds since the first start"), "{typo}");
}
