//! A real llama.cpp server: recognised, loaded, and each request's `timings` joined.
//! `scripts/llamacpp-cpu/check.sh` installs and starts the server and runs this test.

use std::ffi::OsString;

use tare::cli::{Cli, Command};
use tare::config;
use tare::error::Exit;
use tare::record::correlated::{Evidence, Verdict};
use tare::record::{LogEvent, Source, Status};
use tare::run::Options;
use tare::store::{RunData, RunFolder};
use tokio_util::sync::CancellationToken;

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: scripts/llamacpp-cpu/check.sh sets it"))
}

#[test]
#[ignore = "needs scripts/llamacpp-cpu/check.sh"]
fn a_load_against_a_real_llama_cpp() {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("run");
    let (url, log) = (variable("TARE_LLAMA_CPP_URL"), variable("TARE_LLAMA_CPP_LOG"));
    let words = format!(
        "tare run --base-url {url} --server-log {log} --dataset-name random --random-input-len 40 \
         --random-output-len 24 --ignore-eos --max-concurrency 3 --num-prompts 60 --num-warmups 2 --output"
    );
    let words = words.split_whitespace().map(OsString::from).chain([output.into_os_string()]);
    let Command::Run(args) = Cli::try_read(words).unwrap().command else { panic!("not a run") };
    let config = config::load(None, &args).unwrap_or_else(|error| panic!("{error:#}"));
    let options = Options {
        exe: env!("CARGO_BIN_EXE_tare").into(),
        quiet: false,
        interrupt: CancellationToken::new(),
        truth: None,
        ranks: None,
    };
    let outcome = tare::run::run(&config, &options).unwrap_or_else(|error| panic!("{error:#}"));
    println!("{}", std::fs::read_to_string(outcome.folder.join("report.md")).unwrap());
    assert_eq!(outcome.exit, Exit::Finished);
    let data = RunData::read(&RunFolder::open(&outcome.folder).unwrap()).unwrap();
    let target = &data.manifest.target;
    assert_eq!(target.server, "llama_cpp");
    assert!(target.server_from.as_ref().unwrap().contains("owned_by: llamacpp"), "{target:?}");

    let correlated = &outcome.recomputed.correlated;
    assert_eq!(data.requests.rows.len(), 60);
    assert!(
        data.requests.rows.iter().all(|row| row.status == Status::Ok),
        "{:?}",
        outcome.recomputed.summary.errors
    );
    for joined in &correlated.rows {
        assert_eq!(joined.source, Source::InBand, "{joined:?}");
        let (prefill, decode) = (joined.server_prefill_s.unwrap(), joined.server_decode_s.unwrap());
        // What the server took lies within what the client waited for.
        assert!(prefill < joined.client.ttft_s.unwrap(), "{joined:?}");
        assert!(prefill + decode < joined.client.e2e_s.unwrap(), "{joined:?}");
    }
    assert_eq!(correlated.breakdown.source, Evidence::InBand);
    for name in ["output tokens", "prompt tokens", "in-band: sum of decode times"] {
        let check = correlated.checks.iter().find(|check| check.name == name).unwrap();
        assert_eq!(check.verdict, Verdict::Agree, "{check:?}");
    }
    // Three lines of times for each request, warm-ups too.
    let timings = data.log.rows.iter().filter(|row| matches!(row.event, LogEvent::Timing { .. })).count();
    assert!(timings >= 3 * 60, "{timings}");
}
