//! `tare report --figure`: one figure, of the metrics asked for, beside what was asked for, and nothing else written.

use std::path::Path;

use insta::assert_snapshot;

use crate::program::{Place, Said, files};

const LOAD: &str = "--users 2 --num-prompts 24 --random-input-len 12 --random-output-len 6 --ignore-eos --scrape-interval 60";

fn run(place: &Place, name: &str) {
    place.file("config.yaml", format!("name: {name}\nembedded:\n  decode_base_ms: 2\n  spans: true\n"));
    let said = place.tare(&format!("run config.yaml -q {LOAD} --output {name}"));
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
}

fn drawn(place: &Place, args: &str) -> String {
    let said = place.tare(args);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let svg = said.out.lines().find(|line| Path::new(line).extension().is_some_and(|e| e == "svg"));
    std::fs::read_to_string(place.path(svg.unwrap_or_else(|| panic!("no SVG in {}", said.out)))).unwrap()
}

#[test]
fn a_figure_shows_what_was_asked_for_and_nothing_else_is_touched() {
    let place = Place::new();
    run(&place, "one");
    let before = files(&place.path("one"));

    let both = drawn(&place, "report one --figure violin --metric ttft,itl --by server --out figures");
    assert!(both.contains("TTFT (ms)") && both.contains("Inter-Token Latency (ms)"), "{both}");
    assert!(both.contains("server: OTLP spans") && !both.contains("Request Duration"), "{both}");
    let alone = drawn(&place, "report one --figure violin --metric ttft --out figures");
    assert!(alone.contains("measured by the client") && !alone.contains("server"), "{alone}");
    let shares = drawn(&place, "report one --figure ecdf --metric e2e --by server --out figures");
    assert!(shares.contains("Request Duration: half of the requests within"), "{shares}");
    let went = drawn(&place, "report one --figure breakdown --metric ttft --out figures");
    assert!(
        went.contains("% of the mean (") && went.contains("path back") && !went.contains("decode"),
        "{went}"
    );
    let tare = drawn(&place, "report one --figure tare --out figures");
    assert!(tare.contains("Client minus server: TTFT ") && tare.contains("E2E, client − server"), "{tare}");
    let slide = drawn(&place, "report one --figure tare --size slide --out figures");
    assert!(slide.starts_with("<svg width=\"1280\" height=\"720\""), "{slide}");

    assert_eq!(files(&place.path("one")), before);
    let said = place.tare("report one --figure tare --out wide.png");
    assert_eq!(said.out, "wide.png\n");
    assert!(std::fs::read(place.path("wide.png")).unwrap().starts_with(b"\x89PNG"));
    let said = place.tare("report one --figure ecdf");
    assert_eq!(said.out, "one/plots/ecdf.svg\none/plots/ecdf.png\n");
}

#[test]
fn runs_are_drawn_side_by_side() {
    let place = Place::new();
    run(&place, "one");
    run(&place, "two");
    let svg = drawn(&place, "report one two --figure violin --by run --metric ttft");
    assert!(svg.contains("one") && svg.contains("two") && !svg.contains("TPOT"), "{svg}");
}

#[test]
fn what_there_is_not_is_refused_in_words() {
    let place = Place::new();
    run(&place, "one");
    let ended = |args: &str| {
        let said: Said = place.tare(args);
        format!("{} {}", said.code.unwrap(), said.err)
    };
    assert_snapshot!(ended("report one --figure pie"), @r"
    2 error: invalid value 'pie' for '--figure <KIND>': expected violin, ecdf, breakdown, tare, found `pie`

    For more information, try '--help'.
    ");
    assert_snapshot!(ended("report one --figure tare --by hop"), @r"
    2 error: there is no `tare` by hop
    hint: violin and ecdf are drawn by run, violin and breakdown by hop
    ");
    assert_snapshot!(ended("report one --figure violin --by hop"), @r"
    2 error: this run has no hop that tells of its requests
    hint: `--hop [NAME=][KIND:]FILE` adds a gateway's log to a run
    ");
    assert_snapshot!(ended("report one --figure violin --by run"), @r"
    2 error: expected two run folders or more, found 1
    hint: tare compare output/a output/b
    ");
    assert_snapshot!(ended("report one one --figure violin"), @r"
    2 error: expected one run folder, found 2
    hint: several are drawn side by side with `--by run`
    ");
    assert_snapshot!(ended("report one one"), @r"
    2 error: expected one run folder, found 2
    hint: `tare compare` sets runs side by side; `--figure violin --by run` draws them
    ");
    assert_snapshot!(ended("report one --figure tare --metric itl"), @r"2 error: there is no such figure of this run: no request has a time at both sides");
    assert_snapshot!(ended("report one --figure tare --out tare.pdf"), @r"
    2 error: --out tare.pdf: expected .svg or .png, found .pdf
    hint: a folder gets both
    ");
}
