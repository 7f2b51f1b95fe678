//! Files and flags as people write them, and what comes of them.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod refused;
mod shapes;
mod yaml;

use std::path::Path;

use proptest::prelude::*;

use super::file::File;
use super::law::Law;
use super::*;
use crate::cli::{Cli, Command};

/// Resolves a file and flags; `CFG` is set in the environment.
fn resolved(yaml: &str, flags: &str) -> anyhow::Result<Config> {
    let flags = normalise_args(["tare", "run"].into_iter().chain(flags.split_whitespace()).map(Into::into));
    let Command::Run(flags) = Cli::try_read(flags)?.command else { panic!("not a run") };
    let path = (!yaml.is_empty()).then(|| Path::new("a.yaml"));
    let file = if yaml.is_empty() { File::default() } else { read::parse("a.yaml", yaml)? };
    let env = |name: &str| (name == "OPENAI_API_KEY").then(|| "sk-planted".to_owned());
    Ok(validate::resolve(file, path, &flags, &env)?)
}

pub(super) fn config(yaml: &str, flags: &str) -> Config {
    resolved(yaml, flags).unwrap_or_else(|error| panic!("{error:#}"))
}

/// What the user sees.
pub(super) fn refused(yaml: &str, flags: &str) -> String {
    let error = match resolved(yaml, flags) {
        Ok(config) => panic!("accepted: {config:?}"),
        Err(error) => error,
    };
    assert_eq!(crate::error::exit(&error), crate::error::Exit::Usage);
    let mut out = Vec::new();
    crate::error::print(&mut out, &error).unwrap();
    String::from_utf8(out).unwrap()
}

const MINIMAL: &str = "load: {users: 2, duration_s: 5}";

// ── what the YAML reader finds ──

#[test]
fn without_anything_it_is_what_vllm_bench_does() {
    let config = config("", "--base-url http://gpu:8000/ --model m");
    assert_eq!(config.target.base_url.as_deref(), Some("http://gpu:8000"));
    assert_eq!(config.load.arrival, Arrival::Burst);
    assert_eq!((config.load.requests, config.workload.samples), (Some(1000), Some(1000)));
    assert!(matches!(
        config.workload.dataset,
        Dataset::Random { input_len: Law::Fixed(1024.0), output_len: Law::Fixed(128.0), .. }
    ));
    assert!((config.load.grace_period_s - config.load.timeout_s).abs() < f64::EPSILON);
}

#[test]
fn laws_of_arrivals() {
    let law = |yaml: &str, flags: &str| {
        let load = config(yaml, flags).load;
        (load.arrival, load.max_concurrency)
    };
    let closed = |users, ramp_s| (Arrival::Closed { users, ramp_s }, None);
    // A limit without a rate: as many users, and the limit still told.
    let limited = |users| (Arrival::Closed { users, ramp_s: 0.0 }, Some(users));
    let file = "load: {users: 50, ramp_s: 20, duration_s: 60}";
    assert_eq!(law(file, ""), closed(50, 20.0));
    assert_eq!(law(file, "--users 10"), closed(10, 20.0));
    assert_eq!(law(file, "--max-concurrency 8"), closed(8, 20.0));
    assert_eq!(law(file, "--request-rate 5"), (Arrival::Poisson { rate_rps: 5.0 }, None));
    assert_eq!(
        law(file, "--request-rate 5 --max-concurrency 3"),
        (Arrival::Poisson { rate_rps: 5.0 }, Some(3))
    );
    assert_eq!(law(file, "--request-rate 5 --burstiness inf"), (Arrival::Constant { rate_rps: 5.0 }, None));
    assert_eq!(law(file, "--request-rate inf --max-concurrency 3"), limited(3));
    assert_eq!(law(file, "--request-rate inf --num-prompts 7"), (Arrival::Burst, None));
    assert_eq!(law("", "--max-concurrency 3 --burstiness 1.0"), limited(3));
    assert_eq!(law("", "--num-prompts 7 --request-rate inf"), (Arrival::Burst, None));
    let open = "load: {request_rate: 2.5, arrival: constant, requests: 10}";
    assert_eq!(law(open, ""), (Arrival::Constant { rate_rps: 2.5 }, None));
    assert_eq!(law(open, "--users 4"), closed(4, 0.0));
    assert_eq!(law(open, "--arrival poisson"), (Arrival::Poisson { rate_rps: 2.5 }, None));
    for infinite in ["inf", ".inf", "+.inf", "\"inf\""] {
        assert_eq!(
            law(&format!("load: {{request_rate: {infinite}, requests: 6}}"), ""),
            (Arrival::Burst, None)
        );
    }
}

#[test]
fn datasets_are_named_or_known_by_their_file() {
    let dataset = |yaml: &str, flags: &str| config(yaml, &format!("--users 1 {flags}")).workload;
    let jsonl = "workload: {dataset: jsonl, path: a.jsonl, samples: 64}";
    assert!(matches!(dataset(jsonl, "").dataset, Dataset::Jsonl { .. }));
    assert!(matches!(
        dataset(jsonl, "--dataset-name random --random-input-len 9").dataset,
        Dataset::Random { input_len: Law::Fixed(9.0), .. }
    ));
    assert!(
        matches!(dataset(jsonl, "--dataset-path b.json").dataset, Dataset::Sharegpt { path } if path == Path::new("b.json"))
    );
    assert!(matches!(
        dataset("", "--dataset-name custom --dataset-path rows.txt").dataset,
        Dataset::Jsonl { .. }
    ));
    assert_eq!(dataset(jsonl, "").samples, Some(64));
    assert_eq!(dataset(jsonl, "--num-prompts 9").samples, Some(9));
    assert_eq!(dataset(jsonl, "--num-prompts 9 --samples 3").samples, Some(3));
    assert_eq!(dataset(jsonl, "--custom-output-len 8").max_tokens, Some(8));
    assert_eq!(dataset(jsonl, "--custom-output-len 8 --output-len 6").max_tokens, Some(6));
    let random = |flags: &str| match dataset("workload: {dataset: random, random_output_len: 50}", flags) {
        Workload { dataset: Dataset::Random { input_len, output_len, .. }, max_tokens: None, .. } => {
            (input_len.mean().unwrap() as u32, output_len.mean().unwrap() as u32)
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(random(""), (1024, 50));
    assert_eq!(random("--input-len 7 --output-len 5"), (7, 5));
    assert_eq!(random("--random-input-len 7 --random-output-len 6"), (7, 6));
}

#[test]
fn the_embedded_server_gets_what_it_needs() {
    let mut got = config("seed: 7\ntarget: {model: m}\nload: {users: 1}", "");
    assert_eq!((got.target.embedded.model.as_str(), got.target.embedded.seed), ("m", 7));
    assert_eq!(got.observe.otlp.as_ref().map(|otlp| (otlp.grpc_port, otlp.http_port)), Some((0, 0)));
    got = config("observe: {otlp: false}\nload: {users: 1}", "");
    assert!(got.observe.otlp.is_none() && !got.target.embedded.spans);
    got = config("load: {users: 1}", "--base-url http://a --otlp");
    assert_eq!(
        got.observe.otlp.as_ref().map(|otlp| (otlp.host.as_str(), otlp.grpc_port, otlp.http_port)),
        Some(("127.0.0.1", 4317, 4318))
    );
    got = config(
        "load: {users: 1}\nobserve: {otlp: {host: 0.0.0.0}}",
        "--base-url http://a --otlp-http-port 9",
    );
    assert_eq!(
        got.observe.otlp.as_ref().map(|otlp| (otlp.host.as_str(), otlp.grpc_port, otlp.http_port)),
        Some(("0.0.0.0", 4317, 9))
    );
    assert!(config("load: {users: 1}", "--base-url http://a").observe.otlp.is_none());
}

#[test]
fn apis_paths_and_addresses() {
    let target = |flags: &str| config(MINIMAL, flags).target;
    assert_eq!(target("--port 9000").base_url.as_deref(), Some("http://127.0.0.1:9000"));
    assert_eq!(target("--host ::1").base_url.as_deref(), Some("http://[::1]:8000"));
    assert_eq!(target("--endpoint /v1/completions").endpoint, Endpoint::Completions);
    assert_eq!(target("--backend vllm").endpoint, Endpoint::Completions);
    assert_eq!(target("--endpoint /proxy/chat").endpoint, Endpoint::Chat);
    assert_eq!(target("--model a --served-model-name b").model.as_deref(), Some("b"));
    assert_eq!(
        config("target: {path: /v1/chat/completions}\nload: {users: 1}", "--backend openai").target.path,
        None
    );
    let metrics = |yaml: &str| {
        let observe =
            config(&format!("{MINIMAL}\ntarget: {{base_url: 'http://a'}}\nobserve: {{metrics: {yaml}}}"), "")
                .observe;
        (observe.no_metrics, observe.metrics_urls)
    };
    assert_eq!(metrics("false"), (true, vec![]));
    assert_eq!(metrics("true"), (false, vec![]));
    assert_eq!(metrics("http://a/metrics"), (false, vec!["http://a/metrics".to_owned()]));
    assert_eq!(metrics("['http://a/1', 'http://a/2']").1.len(), 2);
}

#[test]
fn empty_sections_and_files_are_allowed() {
    let config =
        config("# nothing yet\nload:\n  # users: 5\ntarget:\nworkload:\n  extra_body:\n", "--users 3");
    assert_eq!((config.load.arrival, config.name.as_str()), (Arrival::Closed { users: 3, ramp_s: 0.0 }, "a"));
}

#[test]
fn secrets_are_used_and_never_written() {
    let config = config(
        "target: {base_url: 'http://a', headers: {X-Token: tok-planted}}\nload: {users: 1}\nmetadata: {gpu: 8}",
        "--header X-Other=oth-planted --metadata tp=2 note=a=b",
    );
    assert_eq!(config.target.api_key.as_deref(), Some("sk-planted"));
    assert_eq!(config.target.api_key_env.as_deref(), Some("OPENAI_API_KEY"));
    assert_eq!(config.target.headers.len(), 2);
    assert_eq!(
        config.metadata.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>(),
        ["gpu=8", "note=a=b", "tp=2"]
    );
    let json = serde_json::to_string(&config).unwrap();
    let yaml = serde_saphyr::to_string(&config).unwrap();
    assert!(!json.contains("planted") && !yaml.contains("planted"), "{yaml}");
    assert!(json.contains(r#""headers":["X-Other","X-Token"]"#), "{json}");
    // What a run folder keeps can be read again.
    let again: Config = serde_json::from_str(&json).unwrap();
    assert_eq!(
        again.target.headers,
        [("X-Other".to_owned(), String::new()), ("X-Token".to_owned(), String::new())]
    );
}

#[test]
fn an_own_authorization_header_takes_the_place_of_a_key() {
    let config = config(MINIMAL, "--base-url http://a --header authorization=Basic_xyz");
    assert_eq!((config.target.api_key, config.target.api_key_env), (None, None));
}

#[test]
fn the_child_is_told_exactly_what_was_configured() {
    let yaml = "embedded: {model: m, seed: 5, max_num_seqs: 8, max_num_batched_tokens: 99, max_model_len: 777, prefill_us_per_token: 0.1, decode_base_ms: 3.25, decode_per_seq_ms: 0, jitter: 0.5, frontend_ms: 9, frontend_us_per_token: 1e-3, mean_output_tokens: 33, api_server_count: 3, data_parallel_size: 4, log_stats_interval_s: 2, enable_log_requests: false, enable_log_deltas: false, enable_logging_iteration_details: true, enable_per_request_metrics: false, log_format: 0.10, spans: false, clock_offset_ms: -12.5, clock_drift_ppm: -3, clock_step_ms: 1e3, clock_step_at_s: 0.5, faults: ['a b', 'c=d']}\nload: {users: 1}";
    for embedded in [config(yaml, "").target.embedded, Embedded { spans: false, ..Embedded::default() }] {
        let args = ["tare", "serve"]
            .into_iter()
            .map(str::to_owned)
            .chain(embedded_to_flags(&embedded))
            .map(Into::into);
        let Command::Serve(flags) = Cli::try_read(args).unwrap().command else { panic!("not serve") };
        assert_eq!(embedded_from_flags(&flags).unwrap(), embedded);
    }
}

#[test]
fn every_key_is_known_to_the_hints() {
    let sections = [
        ("", read::keys::<File>()),
        ("target", read::keys::<file::Target>()),
        ("embedded", read::keys::<file::Embedded>()),
        ("workload", read::keys::<file::Workload>()),
        ("load", read::keys::<file::Load>()),
        ("observe", read::keys::<file::Observe>()),
        ("observe.otlp", read::keys::<file::Otlp>()),
        ("hops", read::keys::<file::Hop>()),
        ("sweep", read::keys::<super::sweep::Sweep>()),
        ("audit", read::keys::<file::Audit>()),
    ];
    let list: Vec<String> =
        sections.iter().map(|(section, keys)| format!("{section}: {}", keys.join(" "))).collect();
    insta::assert_snapshot!(list.join("\n"), @r"
    : name seed label metadata target embedded workload load observe hops slo gates sweep audit output overwrite calibrate
    target: base_url server endpoint path model headers api_key_env ca_cert insecure ready_timeout_s
    embedded: model as seed max_num_seqs max_num_batched_tokens max_model_len num_gpu_blocks_override prefill_us_per_token decode_base_ms decode_per_seq_ms jitter frontend_ms frontend_us_per_token mean_output_tokens api_server_count log_stats_interval_s data_parallel_size enable_log_requests enable_log_outputs enable_log_deltas enable_logging_iteration_details enable_per_request_metrics enable_prompt_tokens_details log_format stat_log spans clock_offset_ms clock_drift_ppm clock_step_ms clock_step_at_s faults
    workload: dataset path samples random_input_len random_output_len range_ratio trace_start_s trace_end_s timed_trace random_input_law random_output_law random_prefix_len prefix_repetition sonnet columns multi_turn tokenizer allow_tokenizer_mismatch max_tokens temperature top_p ignore_eos stream extra_body
    load: users ramp_s ramp_down_s request_rate arrival burstiness ramp_up_strategy ramp_up_start_rps ramp_up_end_rps stages self_timed trace_speed requests duration_s grace_period_s timeout_s connect_timeout_s warmups max_concurrency stamps connections source_addresses threads affinity request_id_prefix
    observe: metrics scrape_interval_s server_log stat_log otlp listen_metrics export_spans export_spans_headers span_wait_s clock_bound_s
    observe.otlp: host grpc_port http_port
    hops: name kind log
    sweep: request_rate max_concurrency search goodput_share from least most tolerance repeats max_runs num_runs reset_prefix_cache stop_over_saturated
    audit: direct through through_model through_api_key_env concurrency prompt_tokens connections output_tokens rounds duration_s requests_per_user spread_s salt stop_at_eos
    ");
}

#[test]
fn the_shipped_configurations_resolve() {
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/configs")).unwrap() {
        let path = entry.unwrap().path();
        // Beside them lies a logging configuration of vLLM's.
        if path.extension().is_none_or(|ending| ending != "yaml") {
            continue;
        }
        let file = read::read(&path).unwrap_or_else(|error| panic!("{error}"));
        let resolved = validate::resolve(file, Some(&path), &RunArgs::default(), &|_| None);
        resolved.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

proptest! {
    #[test]
    fn any_text_is_a_configuration_or_refused(text in "\\PC{0,60}|((load|target|observe|name|users|otlp|metrics|a):? ?[\\[\\]{}\\-0-9a-z.,'\"]{0,6}\n? {0,3}){0,8}") {
        if let Ok(file) = read::parse("a.yaml", &text) {
            let _ = validate::resolve(file, None, &RunArgs::default(), &|_| None);
        }
    }

    #[test]
    fn any_number_is_taken_or_refused(users in any::<u32>(), ramp in any::<f64>(), rate in any::<f64>(), duration in any::<f64>()) {
        let mut file = File::default();
        file.load.users = users.is_multiple_of(2).then_some(users);
        file.load.ramp_s = Some(ramp);
        file.load.request_rate = (!users.is_multiple_of(2)).then_some(file::Rate(rate));
        file.load.duration_s = Some(duration);
        if let Ok(config) = validate::resolve(file, None, &RunArgs::default(), &|_| None) {
            match config.load.arrival {
                Arrival::Closed { users, ramp_s } => prop_assert!(users > 0 && ramp_s >= 0.0 && ramp_s <= duration),
                Arrival::Constant { rate_rps } | Arrival::Poisson { rate_rps } => prop_assert!(rate_rps > 0.0 && rate_rps.is_finite()),
                other => prop_assert_eq!(other, Arrival::Burst),
            }
        }
    }
}
