//! CSV and Parquet, whose columns say what they hold.

use tare::error::Failure;
use tare::import::{Imported, Of, read};
use tare::record::RequestRow;
use tare::run::recompute;
use tare::server::vllm::VLLM;

use super::{CSV, client, correlate, sample, shown, table};
use crate::program::Place;

fn csv(text: &str) -> Result<Imported, Failure> {
    let place = Place::new();
    place.file("t.csv", text);
    read(&place.path("t.csv"), Of::Client, None, &VLLM)
}

#[test]
fn a_csv_says_by_its_columns_what_it_holds() {
    let got = csv(CSV).unwrap();
    assert_eq!((got.format.name, got.seen, got.taken), ("client_csv", 8, 2));
    insta::assert_snapshot!(table(&got, 9), @r"
    a-1 ok at 0.000 after 0.000, TTFT 250.000, E2E 1250.000, ITL 100.000, 5 → 11 tokens, 0 events
    a-2 cut at 500.500 after 0.000, TTFT –, E2E –, ITL –, 5 → – tokens, 0 events
    ");
    assert!(got.notes.iter().any(|note| note.ends_with("columns of no known meaning are left out: Weather")));
    let bad = got.notes.iter().find(|note| note.contains("could not be read")).unwrap();
    let bad = bad.split_once(": ").unwrap().1;
    insta::assert_snapshot!(bad.replace("; ", "\n"), @r"
    6 of 8 records could not be read
    line 3: its last token comes 0.100000 s before its first
    line 4: `started_unix_ms`: expected a number, found `2026-11-26`
    line 5: expected 8 fields, found 7
    ");

    let why = |row: &str| {
        let head = "started_unix_s,ttft_ms,first_token_unix_s,output_tokens,status,error,http_status";
        let said = shown(csv(&format!("{head}\n{row}\n")).map(|read| read.taken).unwrap_err());
        said.lines().next().unwrap().rsplit_once("line 2: ").unwrap().1.to_owned()
    };
    let rows = [
        "1795724145000,300,,3,ok,,",
        "1795724145,-3,,3,ok,,",
        "1795724145,3e14,,3,ok,,",
        "1795724145,300,,2.5,ok,,",
        "1795724145,300,,3,maybe,,",
        "1795724145,300,1795724145.1,3,ok,,",
        ",,,3,ok,,",
    ];
    insta::assert_snapshot!(rows.map(why).join("\n"), @r"
    `started_unix_s`: expected an instant since 1970, found 1795724145000, which is not between 2001 and 2200: is it in another unit?
    `ttft_ms`: expected a duration, found -3, which is -0.003 s: is it in another unit?
    `ttft_ms`: expected a duration, found 300000000000000, which is 300000000000 s: is it in another unit?
    `output_tokens`: expected a whole number, found 2.5
    `status`: expected ok, http_error, connect_error, timeout, cut, stream_error, decode_error, in_flight (or true, false), found `maybe`
    its instants and its `ttft` are -0.2 s apart: are units mixed up?
    it has no `started`, and nothing it follows from
    ");
    let head = "ttft_s,status,error,http_status\n";
    let rows = "1,,,\n1,,Read timeout,\n,,Connection refused,\n,,,503\n1,false,,\n,error,,\n,,,\n";
    let got = csv(&format!("{head}{rows}")).unwrap();
    let statuses: Vec<&str> = got.rows.requests.iter().map(|f| f.row.status.as_str()).collect();
    assert_eq!(statuses, ["ok", "timeout", "connect_error", "http_error", "cut", "cut", "cut"]);

    let semicolons = "request_id;started_iso;first_token_iso;last_token_iso;output_tokens\nx;2026-11-26 20:15:43Z;2026-11-26T20:15:43.250Z;2026-11-26T21:15:44+01:00;4\n";
    insta::assert_snapshot!(table(&csv(semicolons).unwrap(), 9), @"x ok at 0.000 after 0.000, TTFT 250.000, E2E 1000.000, ITL 250.000, – → 4 tokens, 0 events");
    let without_times = "ttft_s\te2e_s\toutput_tokens\n0.25\t1\t4\n";
    let got = csv(without_times).unwrap();
    assert_eq!(got.loose.map(|loose| loose.slack_s), Some(None));
    assert!(
        got.notes.iter().any(|note| note.contains("no column tells when requests started")),
        "{:?}",
        got.notes
    );
    assert!(got.notes.iter().any(|note| note.contains("not one by one")), "{:?}", got.notes);
}

#[test]
fn a_unit_in_brackets_is_a_unit() {
    let got = csv("id;TTFT (ms);Request-Latency [s];Output Tokens\na;250;1.25;11\n").unwrap();
    let row = &got.rows.requests[0].row;
    assert_eq!((row.ttft_s, row.e2e_s, row.output_tokens), (Some(0.25), Some(1.25), Some(11)));
}

/// Nothing tells which pages were before and after, so all that they saw is taken, and said.
#[test]
fn requests_without_a_time_are_held_against_all_pages() {
    let place = Place::new();
    place.file("t.csv", "ttft_ms,e2e_s,output_tokens\n20,0.2,24\n21,0.21,24\n");
    let args = format!("--client t.csv --metrics {} --overwrite", sample("scrapes").display());
    let said = correlate(&place, &args);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let recomputed = recompute(&place.path("run")).unwrap();
    let aggregate = &recomputed.correlated.aggregate;
    // AIPerf's first run: 22 first tokens between the first page and the last.
    let ttft = aggregate.histograms.iter().find(|h| h.metric == tare::metric::Metric::Ttft).unwrap();
    assert_eq!((aggregate.unusable.as_deref(), ttft.count), (None, 22.0));
    let notes = &recomputed.report().manifest.notes;
    assert!(notes.iter().any(|note| note.starts_with("nothing tells when the requests were")), "{notes:?}");
}

#[test]
fn a_csv_that_lacks_something_is_refused() {
    let fails = |text: &str| {
        let said = shown(csv(text).map(|read| read.taken).unwrap_err());
        let (_, said) = said.split_once("t.csv: ").unwrap();
        said.to_owned()
    };
    insta::assert_snapshot!(fails("request_id,started_unix_s,tokens\na,1,2\n"), @r#"
    no column tells how long requests took: expected `ttft_s`, `e2e_s`, `first_token_unix_ns` or `last_token_unix_ns` (or in another unit), found `request_id`, `started_unix_s`, `tokens`
    hint: README.md, "Columns of a table of requests", lists them
    "#);
    insta::assert_snapshot!(fails("request_id,ttft\na,1\n"), @r#"
    the column `ttft` does not say its unit: expected `ttft_s`, `ttft_ms`, `ttft_us`, `ttft_ns`
    hint: README.md, "Columns of a table of requests", lists them
    "#);
    insta::assert_snapshot!(fails("ttft_ms,ttft_s\n1,2\n"), @r#"
    two columns tell the same: `ttft_ms` and `ttft_s`
    hint: README.md, "Columns of a table of requests", lists them
    "#);
    insta::assert_snapshot!(fails("started,ttft_s\n1,2\n"), @r#"
    the column `started` does not say its unit: expected `started_unix_ns`, `started_unix_us`, `started_unix_ms`, `started_unix_s`, `started_iso`
    hint: README.md, "Columns of a table of requests", lists them
    "#);
}

#[test]
fn a_parquet_table_of_requests_is_the_same_as_its_rows() {
    let rows: Vec<RequestRow> =
        client("aiperf-0.13.jsonl.gz").rows.requests.into_iter().map(|f| f.row).collect();
    let place = Place::new();
    let file = place.path("r.parquet");
    tare::store::table::write_results(&file, &rows).unwrap();
    let got = read(&file, Of::Client, None, &VLLM).unwrap();
    assert_eq!((got.format.name, got.taken as usize), ("client_parquet", rows.len()));
    for (ours, theirs) in got.rows.requests.iter().map(|f| &f.row).zip(&rows) {
        let same = |r: &RequestRow| {
            (
                (r.request_id.clone(), r.status, r.http_status, r.error.clone(), r.local_port),
                (r.scheduled_unix_ns, r.started_unix_ns, r.sent_unix_ns, r.head_unix_ns, r.done_unix_ns),
                (r.first_token_unix_ns, r.last_token_unix_ns, r.input_tokens, r.output_tokens),
                (r.ttft_s, r.e2e_s, r.itl_mean_s, r.tpot_s, r.user_throughput_tps),
            )
        };
        assert_eq!(same(ours), same(theirs));
    }
    let whole = std::fs::read(&file).unwrap();
    place.file("cut.parquet", &whole[..whole.len() / 2]);
    let failed =
        read(&place.path("cut.parquet"), Of::Client, None, &VLLM).map(|read| read.taken).unwrap_err();
    assert!(shown(failed).contains("is it whole?"));
}
