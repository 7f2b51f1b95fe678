//! `tare bench serve` beside the real `vllm bench serve`: the same command line, the same keys and types in the
//! result file, the same lines on the terminal. What the real one wrote: `tests/samples/vllm-bench/`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use crate::program::{LookAlike, Place};
use crate::support::closed_port;

const REAL: &str = include_str!("../samples/vllm-bench/completions.json");
const REAL_CHAT: &str = include_str!("../samples/vllm-bench/chat.json");
const REAL_BLOCK: &str = include_str!("../samples/vllm-bench/completions.txt");

/// The flags that the real one was run with, but for where the server is.
const FLAGS: &str = "--model tiny --dataset-name random --random-input-len 24 --random-output-len 12 --seed 1 --save-result \
    --save-detailed --num_prompts 20 --request-rate 10 --max-concurrency 4 --metric_percentiles 50,90,99,99.9 \
    --percentile-metrics ttft,tpot,itl,e2el,client_queue_time,e2el_including_client_queue \
    --goodput ttft:200 tpot:50 e2el:5000 --metadata tp=1 note=x --label lab --disable-tqdm";

fn server() -> LookAlike {
    LookAlike::start(&["--model", "tiny"])
}

/// The one file in a folder that was not there before.
fn only_file(place: &Place, folder: &str) -> (String, String) {
    let mut files = std::fs::read_dir(place.path(folder)).unwrap();
    let file = files.next().unwrap().unwrap();
    assert!(files.next().is_none());
    (file.file_name().into_string().unwrap(), std::fs::read_to_string(file.path()).unwrap())
}

/// What kind of value it is, and what its entries are.
fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::Number(n) => if n.is_f64() { "float" } else { "int" }.to_owned(),
        Value::String(_) => "text".to_owned(),
        Value::Array(all) => {
            let kinds: BTreeSet<String> = all.iter().map(kind).collect();
            format!("list of {}", kinds.into_iter().collect::<Vec<_>>().join(" or "))
        }
        Value::Object(_) => "object".to_owned(),
    }
}

fn kinds(json: &str) -> BTreeMap<String, String> {
    let all: BTreeMap<String, Value> = serde_json::from_str(json).unwrap();
    all.iter().map(|(key, value)| (key.clone(), kind(value))).collect()
}

/// As a dashboard reads the file: it knows nothing of tare.
#[derive(Deserialize)]
struct Dashboard {
    date: String,
    backend: String,
    endpoint_type: String,
    label: Option<String>,
    model_id: String,
    num_prompts: u64,
    request_rate: f64,
    burstiness: f64,
    max_concurrency: Option<u64>,
    duration: f64,
    completed: u64,
    failed: u64,
    total_input_tokens: u64,
    total_output_tokens: u64,
    request_throughput: f64,
    request_goodput: Option<f64>,
    output_throughput: f64,
    total_token_throughput: f64,
    max_output_tokens_per_s: f64,
    max_concurrent_requests: u64,
    mean_ttft_ms: f64,
    median_tpot_ms: f64,
    #[serde(rename = "p99.9_itl_ms")]
    p99_9_itl_ms: f64,
    mean_itl_ms: f64,
    p99_e2el_ms: f64,
    input_lens: Vec<u64>,
    output_lens: Vec<u64>,
    ttfts: Vec<f64>,
    itls: Vec<Vec<f64>>,
    latencies: Vec<f64>,
    start_times: Vec<f64>,
    queue_times: Vec<f64>,
    generated_texts: Vec<String>,
    errors: Vec<String>,
}

#[test]
fn the_result_file_has_the_keys_and_types_of_the_real_one() {
    let (server, place) = (server(), Place::new());
    let said = place.tare(&format!("bench serve {FLAGS} --base-url {} --result-dir results", server.url));
    assert_eq!(said.code, Some(0), "{}", said.shown());
    let (name, ours) = only_file(&place, "results");
    let date = name.strip_prefix("lab-10.0qps-concurrency4-tiny-").and_then(|n| n.strip_suffix(".json"));
    assert!(date.is_some_and(|date| date.len() == 15), "{name}");

    let (mut ours_by_key, real) = (kinds(&ours), kinds(REAL));
    assert_eq!(ours_by_key.remove("server_queue_times").as_deref(), Some("list of float"));
    // Only spans tell of it, and none were received.
    assert_eq!(ours_by_key.remove("server_ttfts").as_deref(), Some("list of null"));
    // No tokenizer was given, and none is looked for.
    assert_eq!(ours_by_key.insert("tokenizer_id".to_owned(), "text".to_owned()).as_deref(), Some("null"));
    assert_eq!(ours_by_key, real);
    let order = |json: &str| -> Vec<usize> {
        let keys = [
            "\"date\"",
            "\"label\"",
            "\"tp\"",
            "\"request_rate\"",
            "\"duration\"",
            "\"ttfts\"",
            "\"p99.9_ttft_ms\"",
        ];
        keys.iter().map(|key| json.find(key).unwrap()).collect()
    };
    assert!(order(&ours).is_sorted() && order(REAL).is_sorted());

    // What the real one reads of its own file is read of ours.
    let _: Dashboard = serde_json::from_str(REAL).unwrap();
    let seen: Dashboard = serde_json::from_str(&ours).unwrap();
    adds_up(&seen);
    let words =
        (seen.backend.as_str(), seen.endpoint_type.as_str(), seen.label.as_deref(), seen.model_id.as_str());
    assert_eq!(words, ("openai", "openai", Some("lab"), "tiny"));
    assert_eq!((seen.num_prompts, seen.completed, seen.failed), (20, 20, 0));
    assert_eq!((seen.request_rate, seen.burstiness, seen.max_concurrency), (10.0, 1.0, Some(4)));
    assert_eq!(Some(seen.date.as_str()), date);
    assert!(seen.generated_texts.len() == 20 && seen.generated_texts.iter().all(|text| text.len() > 12));
    assert_eq!((seen.total_output_tokens, seen.output_lens), (240, vec![12; 20]));
}

/// Every figure is what the file's own arrays make of it.
fn adds_up(seen: &Dashboard) {
    let near = |a: f64, b: f64| assert!((a - b).abs() <= 1e-9 * b.abs().max(1e-9), "{a}, not {b}");
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    near(seen.mean_ttft_ms, mean(&seen.ttfts) * 1e3);
    let gaps: Vec<f64> = seen.itls.concat();
    near(seen.mean_itl_ms, mean(&gaps) * 1e3);
    assert!(gaps.iter().all(|gap| *gap >= 0.0) && seen.p99_9_itl_ms >= seen.mean_itl_ms);
    for i in 0..seen.ttfts.len() {
        near(seen.latencies[i], seen.ttfts[i] + seen.itls[i].iter().sum::<f64>());
        assert!(seen.queue_times[i] >= 0.0 && seen.errors[i].is_empty());
    }
    let mut tpots: Vec<f64> = (0..seen.ttfts.len())
        .map(|i| (seen.latencies[i] - seen.ttfts[i]) / (seen.output_lens[i] - 1) as f64)
        .collect();
    tpots.sort_by(f64::total_cmp);
    near(seen.median_tpot_ms, mean(&tpots[9..=10]) * 1e3);
    near(seen.request_throughput, 20.0 / seen.duration);
    near(seen.output_throughput, seen.total_output_tokens as f64 / seen.duration);
    let tokens = seen.total_input_tokens + seen.total_output_tokens;
    near(seen.total_token_throughput, tokens as f64 / seen.duration);
    assert_eq!(seen.input_lens.iter().sum::<u64>(), seen.total_input_tokens);
    assert!(seen.request_goodput.is_some_and(|good| good <= seen.request_throughput));
    assert!(seen.start_times.is_sorted() && seen.p99_e2el_ms > seen.mean_ttft_ms);
    assert!(seen.max_output_tokens_per_s <= 240.0 && seen.max_concurrent_requests <= 20);
}

/// Labels, in their columns, with every number the same.
fn masked(block: &str) -> Vec<String> {
    let number = |line: &str| {
        let (label, value) = line.split_at(40.min(line.len()));
        let shape: String = value.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
        let decimals = shape.trim().split_once('.').map_or(0, |(_, decimals)| decimals.len());
        format!("{label}|{decimals} decimals|{} columns", line.len())
    };
    block.lines().map(|line| if line.contains(':') { number(line) } else { line.to_owned() }).collect()
}

#[test]
fn the_block_on_the_terminal_is_the_real_one_line_by_line() {
    let (server, place) = (server(), Place::new());
    let flags = FLAGS.replace("--save-result     --save-detailed", "");
    let said = place.tare(&format!("bench serve {flags} --base-url {} --result-filename r.json", server.url));
    assert_eq!(said.code, Some(0), "{}", said.shown());
    let begin = said.out.find("====").unwrap();
    let end = said.out.rfind("====").unwrap() + 4;
    assert_eq!(masked(&said.out[begin..end]), masked(REAL_BLOCK.trim_end()));
    // After it only where the run folder is.
    assert_eq!(said.out[end..].trim().lines().count(), 1, "{}", said.out);
}

#[test]
fn chats_without_details_and_appended() {
    let (server, place) = (server(), Place::new());
    let run = |n: u32| {
        place.tare(&format!(
            "bench serve --backend openai-chat --endpoint /v1/chat/completions --base-url {} --max-concurrency 4 \
             --random-input-len 24 --random-output-len 12 --num-prompts {n} --append-result --result-filename all.json \
             --output run-{n}",
            server.url
        ))
    };
    for n in [3, 2] {
        let said = run(n);
        assert_eq!(said.code, Some(0), "{}", said.shown());
    }
    let text = std::fs::read_to_string(place.path("all.json")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2);
    let mut real = kinds(REAL_CHAT);
    for detail in ["input_lens", "output_lens", "start_times", "ttfts", "itls", "generated_texts", "errors"] {
        real.remove(detail);
    }
    real.insert("tokenizer_id".to_owned(), "null".to_owned());
    assert_eq!(kinds(lines[0]), real);
    let second: Value = serde_json::from_str(lines[1]).unwrap();
    assert_eq!((&second["completed"], &second["request_rate"]), (&2.into(), &"inf".into()));
    assert_eq!(second["latencies"].as_array().unwrap().len(), 2);
}

/// Without a rate, all requests wait for a place from the begin on, as they do there (sample `chat`).
#[test]
fn a_limit_without_a_rate_is_a_queue_from_the_begin() {
    let (server, place) = (server(), Place::new());
    let said = place.tare(&format!(
        "bench serve --base-url {} --max-concurrency 2 --random-input-len 8 --random-output-len 6 --num-prompts 8 --save-result \
         --save-detailed --result-filename r.json --percentile-metrics client_queue_time --output run",
        server.url
    ));
    assert_eq!(said.code, Some(0), "{}", said.shown());
    let file: Value = serde_json::from_str(&std::fs::read_to_string(place.path("r.json")).unwrap()).unwrap();
    let numbers = |key: &str| -> Vec<f64> {
        file[key].as_array().unwrap().iter().map(|n| n.as_f64().unwrap()).collect()
    };
    let (waited, starts) = (numbers("queue_times"), numbers("start_times"));
    for (i, (waited, start)) in waited.iter().zip(&starts).enumerate() {
        // Both from one begin; seconds since 1970 are doubles of a quarter of a microsecond.
        assert!(((waited - numbers("queue_times")[0]) - (start - starts[0])).abs() < 1e-6, "{i}: {waited}");
    }
    // Each but the first two waited for the end of one before it.
    let latencies = numbers("latencies");
    assert!(
        (2..8).all(|i| waited[i] >= latencies.iter().copied().fold(f64::INFINITY, f64::min)),
        "{waited:?}"
    );
    let mean = waited.iter().sum::<f64>() / 8.0 * 1e3;
    assert!((file["mean_client_queue_time_ms"].as_f64().unwrap() - mean).abs() < 1e-6);
    let told = std::fs::read_to_string(place.path("run/manifest.json")).unwrap();
    assert!(told.contains("request rate inf, at most 2 at once: closed loop of 2 users"), "{told}");
}

/// Zeros, empty lists and messages, as the real one has them.
#[test]
fn requests_that_fail_are_told_as_there() {
    let place = Place::new();
    let server = LookAlike::start(&["--model", "tiny", "--fault", "http_500 every=2"]);
    let said = place.tare(&format!(
        "bench serve --base-url {} --random-output-len 4 --random-input-len 8 --num-prompts 4 --max-concurrency 1 --save-result \
         --save-detailed --result-filename r.json",
        server.url
    ));
    assert_eq!(said.code, Some(0), "{}", said.shown());
    assert!(said.out.contains("\nFailed requests:                         2         \n"), "{}", said.out);
    assert!(
        said.out
            .starts_with("Failed requests during benchmark run detected (capping to 10):\nError 0: HTTP 500")
    );
    let result: Value =
        serde_json::from_str(&std::fs::read_to_string(place.path("r.json")).unwrap()).unwrap();
    assert_eq!((&result["completed"], &result["failed"]), (&2.into(), &2.into()));
    for (key, nothing) in [("ttfts", "0.0"), ("itls", "[]"), ("latencies", "0.0"), ("output_lens", "0")] {
        assert_eq!(result[key][1].to_string(), nothing, "{key}");
    }
    assert!(result["errors"][1].as_str().unwrap().starts_with("HTTP 500") && result["errors"][0] == "");
    assert!(result["server_ttfts"][1].is_null());
}

#[test]
fn a_run_that_has_ended_can_be_told_again() {
    let place = Place::new();
    let run =
        "run --num-prompts 6 --users 2 --random-input-len 8 --random-output-len 4 --output done --label x";
    assert_eq!(place.tare(run).code, Some(0));
    let said = place.tare(
        "report done --style vllm --save-result --result-filename again.json --percentile-metrics e2el",
    );
    assert_eq!(said.code, Some(0), "{}", said.shown());
    assert!(said.out.contains("Mean E2EL (ms):") && !said.out.contains("TTFT"), "{}", said.out);
    let result = kinds(&std::fs::read_to_string(place.path("again.json")).unwrap());
    assert!(result.contains_key("p99_e2el_ms") && !result.contains_key("mean_ttft_ms"));
}

#[test]
fn what_has_no_meaning_here_is_refused_with_the_nearest_that_has() {
    let place = Place::new();
    insta::assert_snapshot!(place.tare("bench serve --profile").shown(), @"
    exit code: 2
    ----- stdout
    ----- stderr
    error: `--profile` of vllm bench serve is not taken: a profiler changes what is measured
    hint: instead: `curl -X POST URL/start_profile` before the run and `/stop_profile` after it
    ");
    insta::assert_snapshot!(place.tare("bench serve --plot_timeline").shown(), @"
    exit code: 2
    ----- stdout
    ----- stderr
    error: `--plot-timeline` of vllm bench serve is not taken: it draws a page with a line for each token
    hint: instead: every run has `plots/`, and `tare explain FOLDER --slowest 5` shows single requests
    ");
    insta::assert_snapshot!(place.tare("bench serve --dataset-name hf").shown(), @"
    exit code: 2
    ----- stdout
    ----- stderr
    error: `--dataset-name hf` of vllm bench serve is not taken: datasets are not fetched from a hub: a run must not depend on what it holds today
    hint: instead: fetch it once, write its prompts as JSON Lines, and give `--dataset-name custom --dataset-path FILE`
    ");
    insta::assert_snapshot!(place.tare("run --backend openai-embeddings").shown(), @"
    exit code: 2
    ----- stdout
    ----- stderr
    error: `--backend openai-embeddings` of vllm bench serve is not taken: it asks for no generated text, so there is no TTFT to measure
    hint: instead: `--backend openai-chat`, `openai`, `vllm` or `openai-responses`
    ");
    insta::assert_snapshot!(place.tare("bench serve --no-stream").shown(), @"
    exit code: 2
    ----- stdout
    ----- stderr
    error: `--no-stream` of vllm bench serve says how a dataset is fetched from a hub, and none is
    hint: leave it out; `tare run --no-stream` asks for whole answers
    ");
    insta::assert_snapshot!(place.tare("run --percentile-metrics ttft,e2e --metric-percentiles 50,101").shown(), @"
    exit code: 2
    ----- stdout
    ----- stderr
    error: `--percentile-metrics`: expected of ttft, tpot, itl, e2el, client_queue_time, e2el_including_client_queue, found `e2e`
    hint: did you mean `e2el`?
    error: `--metric-percentiles`: expected percentiles from 0 to 100, found 101
    hint: for example `--metric-percentiles 50,90,99.9`
    ");
    // What is a slip of the pen is clap's to tell.
    let slip = place.tare("bench serve --num-prompt 3");
    assert!(slip.code == Some(2) && slip.err.contains("--num-prompts"), "{}", slip.err);
}

#[test]
fn without_a_server_there_is_none_started() {
    let place = Place::new();
    let port = closed_port().port();
    let said = place.tare(&format!("bench serve --port {port} --num-prompts 1 --save-detailed"));
    assert_eq!(said.code, Some(3), "{}", said.shown());
    assert!(said.err.contains(&format!("no server answers at http://127.0.0.1:{port}")), "{}", said.err);
    assert!(said.err.contains("or say where it is (--base-url, or --host and --port)"), "{}", said.err);
    assert!(said.err.contains("note: --save-detailed without --save-result"), "{}", said.err);
}
