//! `tare audit` with the tap as the gateway: both arms send the same, a gateway that fails is a result, and
//! the folder makes the same report again.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};
use insta::assert_snapshot;
use serde_json::Value;
use tare::record::audit::{self, Arm};
use tare::record::{Connection, RequestRow, Status};
use tare::store::{RunData, RunFolder};

use crate::program::{LookAlike, Place, files, filters};
use crate::support::{closed_port, serve};
use crate::tap::Tap;

/// As small as an audit can be.
const SMALL: &str =
    "--concurrency 1,2 --prompt-tokens 12 --output-tokens 4 --requests-per-user 2 --spread 0.01";

fn data(folder: &Path) -> RunData {
    RunData::read(&RunFolder::open(folder).unwrap()).unwrap()
}

fn summary(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("summary.json")).unwrap()).unwrap()
}

/// Both requests of each pair.
fn pairs(rows: &[RequestRow]) -> BTreeMap<u64, [&RequestRow; 2]> {
    let of = |arm| {
        let of_arm = rows.iter().filter(move |row| row.arm == Some(arm));
        of_arm.map(|row| (row.pair.unwrap(), row)).collect::<BTreeMap<u64, &RequestRow>>()
    };
    let (direct, through) = (of(Arm::Direct), of(Arm::Through));
    assert!(direct.keys().eq(through.keys()));
    direct.iter().map(|(pair, row)| (*pair, [*row, through[pair]])).collect()
}

#[test]
fn both_ways_send_the_same_and_the_report_can_be_made_again() {
    let server = LookAlike::start(&[]);
    let tap = Tap::start(&server.url);
    let place = Place::new().env("GATEWAY_KEY", "sk-planted-0c7d51b2f3a98e64");
    let said = place.tare(&format!(
        "audit --direct {} --through http://{} {SMALL} --connections warm,cold --rounds 2 --through-api-key-env GATEWAY_KEY --output run",
        server.url, tap.address
    ));
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    let folder = place.path("run");
    let data = data(&folder);
    let rows = &data.requests.rows;
    // Two rounds of (1 + 2) users by warm and cold connections, two requests each, by both ways.
    assert_eq!(rows.len(), 2 * 3 * 2 * 2 * 2);
    assert!(rows.iter().all(|row| row.status == Status::Ok), "{rows:?}");
    assert_eq!(rows.iter().map(|row| &row.request_id).collect::<HashSet<_>>().len(), rows.len());

    let plan: audit::Plan = serde_json::from_value(data.manifest.extra[audit::KEY].clone()).unwrap();
    assert_eq!((plan.cells.len(), plan.legs.len()), (4, 16));
    for [direct, through] in pairs(rows).values() {
        let same = |row: &RequestRow| (row.user, row.cell, row.round, row.prompt_index, row.prompt_chars);
        assert_eq!(same(direct), same(through));
        assert_eq!((direct.input_tokens, direct.max_tokens), (through.input_tokens, through.max_tokens));
        let cell = plan.cells[direct.cell.unwrap() as usize];
        let is_new = cell.connections == audit::Warmth::Cold;
        assert!([direct, through].iter().all(|row| (row.connection == Connection::New) == is_new));
    }
    // Legs follow each other; both orders of each cell are there.
    assert!(plan.legs.windows(2).all(|legs| legs[0].ended_unix_ns <= legs[1].begun_unix_ns));
    let firsts: HashSet<(u32, Arm)> =
        plan.legs.chunks(2).map(|round| (round[0].leg.cell, round[0].leg.arm)).collect();
    assert_eq!(firsts.len(), 8);

    // Through the tap went the one arm, and nothing of the other.
    let passed: HashSet<String> =
        tap.wait_for(rows.len() / 2).into_iter().filter_map(|row| row.request_id).collect();
    for row in rows {
        assert_eq!(passed.contains(&row.request_id), row.arm == Some(Arm::Through), "{row:?}");
    }

    let summary = summary(&folder);
    for of_one_load in ["headline", "mean_ttft_ms", "breakdown", "server_aggregate"] {
        assert!(summary.get(of_one_load).is_none(), "{of_one_load}: of both arms together");
    }
    assert_eq!(summary["audit"]["cells"][0]["too_few"], "2 rounds of 5 at least");
    assert!(folder.join("plots/audit.svg").exists() && !folder.join("plots/split_violin.svg").exists());

    let before: Vec<(std::path::PathBuf, Vec<u8>)> =
        files(&folder).into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect();
    assert_eq!(place.tare("report run -q").code, Some(0));
    for (path, bytes) in &before {
        assert!(std::fs::read(path).unwrap() == *bytes, "{} differs", path.display());
        assert!(!String::from_utf8_lossy(bytes).contains("planted"), "{}", path.display());
    }
    let _names = filters();
    assert_snapshot!(place.tare("report run --window 1..2").shown(), @"
    exit code: 2
    ----- stdout
    ----- stderr
    error: an audit has no window: the rounds of its two arms are in turn
    hint: leave `--window` out
    ");
}

/// The salt differs from leg to leg, and its length does not.
#[test]
fn salted_prompts_are_of_one_length() {
    let server = LookAlike::start(&[]);
    let tap = Tap::start(&server.url);
    let place = Place::new();
    let said = place.tare(&format!(
        "audit -q --direct {} --through http://{} {SMALL} --rounds 1 --salt --output run",
        server.url, tap.address
    ));
    assert_eq!(said.code, Some(0), "{}", said.err);
    let data = data(&place.path("run"));
    for [direct, through] in pairs(&data.requests.rows).values() {
        let length = |row: &RequestRow| (row.input_tokens, row.prompt_chars);
        assert_eq!(length(direct), length(through));
        // Six words of four letters, each with a space, before some of 12 words.
        assert!(direct.prompt_chars > 30, "{direct:?}");
    }
    assert_eq!(summary(&place.path("run"))["audit"]["salted"], true);
}

#[test]
fn a_gateway_that_fails_is_a_result() {
    let server = LookAlike::start(&[]);
    let gateway = serve(
        Router::new()
            .route("/v1/models", get(|| async { "{}" }))
            .route("/v1/chat/completions", post(|| async { (StatusCode::BAD_GATEWAY, "no upstream") })),
    );
    let place = Place::new();
    let said = place.tare(&format!(
        "audit --direct {} --through {} {SMALL} --rounds 1 --output run",
        server.url,
        gateway.url("")
    ));
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.contains("failed: 6 of 6 requests through, 0 of as many direct"), "{}", said.out);
    let cells = summary(&place.path("run"))["audit"]["cells"].clone();
    assert_eq!(cells[1]["lost"], serde_json::json!({ "through: HTTP 502": 4 }));
    assert_eq!((&cells[1]["pairs"], &cells[1]["too_few"]), (&0.into(), &"no pair".into()));
}

#[test]
fn an_audit_needs_two_ways() {
    let place = Place::new();
    let _names = filters();
    assert_snapshot!(place.tare("audit").shown(), @"
    exit code: 2
    ----- stdout
    ----- stderr
    error: `audit`: expected the two ways that are compared, found neither
    hint: `tare audit --direct http://127.0.0.1:PORT --through http://127.0.0.1:PORT`: the server itself, and what stands before it
    ");
    assert_snapshot!(place.tare("audit --through http://127.0.0.1:8080").shown(), @"
    exit code: 2
    ----- stdout
    ----- stderr
    error: `audit.direct`: missing: what a gateway adds is told by the same requests without it
    hint: where the server cannot be reached itself, `tare run --base-url URL` measures through the gateway, and the server's spans or log (`--otlp`, `--server-log`) tell its part
    ");
    let both = "audit --direct http://127.0.0.1:8000 --through http://127.0.0.1:8000/";
    assert_snapshot!(place.tare(&format!("{both} --concurrency 8,0,8 --stamps packet")).shown(), @"
    exit code: 2
    ----- stdout
    ----- stderr
    error: `--stamps`: a capture is of one server, and an audit has two
    hint: `kernel` is exact for nearly all events
    error: `--concurrency`: expected numbers from 1 to 10000, found 0
    hint: for example 1,8,32
    error: `--concurrency`: a level is there twice
    hint: each makes a cell of its own once
    error: `--through`: both ways are the same
    hint: name the gateway's URL, not the server's
    ");
    let gone = closed_port();
    let server = LookAlike::start(&[]);
    let said = place.tare(&format!("audit -q --direct {} --through http://{gone} --output run", server.url));
    assert_snapshot!(said.shown(), @"
    exit code: 3
    ----- stdout
    ----- stderr
    error: no connection to 127.0.0.1:PORT, through which the audit goes
    caused by: Connection refused (os error N)
    ");
    assert!(!place.path("run").exists());
}

#[test]
fn an_audits_file_is_for_an_audit_and_a_runs_is_not() {
    let place = Place::new();
    let yaml = "audit: {direct: 'http://127.0.0.1:1', through: 'http://127.0.0.1:2', concurrency: 4, rounds: 3, connections: [warm, cold]}\n";
    place.file("audit.yaml", yaml);
    let _names = filters();
    assert_snapshot!(place.tare("run audit.yaml").shown(), @"
    exit code: 2
    ----- stdout
    ----- stderr
    error: this configuration is for an audit: it has a section `audit`
    hint: `tare audit FILE` runs it; for a usual run, leave the section out
    ");
    let planned = place.tare("audit audit.yaml --dry-run");
    let of_the_audit =
        |line: &&str| ["through ", "cells ", "rounds "].iter().any(|row| line.starts_with(row));
    let plan: Vec<&str> = planned.out.lines().filter(of_the_audit).collect();
    assert_snapshot!(plan.join("\n"), @"
    through   http://127.0.0.1:2
    cells     every combination of 4 users at once, 50 prompt tokens, warm, cold connections
    rounds    3 of each cell; in each, every user sends 3 requests by each way: 144 requests in all
    ");
    place.file("run.yaml", "load: {users: 4, requests: 9}\n");
    assert_snapshot!(place.tare("audit run.yaml --direct http://127.0.0.1:1 --through http://127.0.0.1:2").shown(), @"
    exit code: 2
    ----- stdout
    ----- stderr
    error: run.yaml: `load.users`: this is for a run, and the file is for an audit
    hint: the cells of an audit say it: `audit.concurrency`, `audit.rounds`, `audit.connections`
    error: run.yaml: `load.requests`: this is for a run, and the file is for an audit
    hint: the cells of an audit say it: `audit.concurrency`, `audit.rounds`, `audit.connections`
    ");
}
