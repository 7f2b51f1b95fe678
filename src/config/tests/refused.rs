//! Values and combinations that cannot be: all told at once, by the names under which they were given.

use super::{MINIMAL, refused};

#[test]
fn every_value_out_of_range_is_told_at_once() {
    let yaml = "load: {users: 0, duration_s: -1, timeout_s: 0}\nworkload: {temperature: .nan, top_p: 1.5, max_tokens: 0}\nobserve: {scrape_interval_s: 0}\nembedded: {jitter: 2}\n";
    insta::assert_snapshot!(refused(yaml, ""), @r"
    error: a.yaml: `load.duration_s`: expected a number above 0, at most 2592000 (seconds), found -1
    hint: left out, the number of requests ends the run
    error: a.yaml: `load.timeout_s`: expected a number above 0, at most 2592000 (seconds), found 0
    hint: left out, it is 3600
    error: a.yaml: `load.users`: expected a whole number from 1 to 100000, found 0
    hint: left out, the rate or --max-concurrency says how to send
    error: a.yaml: `workload.max_tokens`: expected a whole number from 1 to 4294967295, found 0
    hint: left out, the dataset says it
    error: a.yaml: `workload.temperature`: expected a number from 0 to 10, found NaN
    hint: left out, the server decides
    error: a.yaml: `workload.top_p`: expected a number above 0, at most 1, found 1.5
    hint: left out, the server decides
    error: a.yaml: `embedded.jitter`: expected a number from 0 to 1, found 2
    hint: left out, it is 0.05
    error: a.yaml: `observe.scrape_interval_s`: expected a number from 0.05 to 3600 (seconds), found 0
    hint: left out, it is 1
    ");
}

#[test]
fn the_embedded_server_is_only_told_what_it_can_do() {
    let yaml = "load: {users: 1}\nembedded: {clock_step_ms: 5, clock_drift_ppm: 1e9, enable_log_outputs: true, enable_log_requests: false, data_parallel_size: 0}\n";
    insta::assert_snapshot!(refused(yaml, ""), @r"
    error: a.yaml: `embedded.clock_step_at_s`: expected seconds after the start at which the clock is set, found nothing
    hint: say when, or leave the step out
    error: a.yaml: `embedded.enable_log_outputs`: outputs are logged only where requests are
    hint: leave `enable_log_requests` on, or this off
    error: a.yaml: `embedded.data_parallel_size`: expected a whole number from 1 to 64, found 0
    hint: left out, it is 1
    error: a.yaml: `embedded.clock_drift_ppm`: expected a number from -100000 to 100000 (millionths), found 1000000000
    hint: left out, it is 0
    ");
    let alone = refused("load: {users: 1}\nembedded: {clock_step_at_s: 5}\n", "");
    assert!(alone.contains("expected milliseconds by which the clock is set, found nothing"), "{alone}");
    let format = refused("load: {users: 1}\nembedded: {log_format: xml}\n", "");
    assert!(format.contains("`embedded.log_format`") && format.contains("found `xml`"), "{format}");
}

#[test]
fn conflicts_name_both_sides_as_they_were_given() {
    insta::assert_snapshot!(refused("load: {users: 5, request_rate: 2, requests: 9}", ""), @r"
    error: a.yaml: `load.request_rate`: a rate is for an open loop, `load.users` for a closed one
    hint: give one of them
    ");
    insta::assert_snapshot!(refused("", "--users 5 --request-rate 2"), @r"
    error: `--request-rate`: a rate is for an open loop, `--users` for a closed one
    hint: give one of them
    ");
    insta::assert_snapshot!(refused("load: {users: 5, ramp_s: 20, duration_s: 60}", "--duration 10"), @r"
    error: a.yaml: `load.ramp_s`: 20 s is longer than `--duration` (10 s)
    hint: a ramp ends before the run does
    ");
    insta::assert_snapshot!(refused("load: {users: 5, arrival: poisson}", ""), @r"
    error: a.yaml: `load.arrival`: only a rate has gaps to draw
    hint: give a rate with --request-rate, or leave it out
    ");
    insta::assert_snapshot!(refused("load: {request_rate: 2, ramp_s: 5}", ""), @r"
    error: a.yaml: `load.ramp_s`: only users are ramped
    hint: say how many with --users, or leave it out
    ");
    insta::assert_snapshot!(refused("", "--duration 10"), @r"
    error: `load.users`: missing: a duration alone does not say how to send
    hint: give --users or --request-rate
    ");
    insta::assert_snapshot!(refused("", "--num-prompts 200000"), @r"
    error: `--num-prompts`: without users or a rate all are sent at once, 100000 at most
    hint: give --users, --max-concurrency or --request-rate
    ");
    insta::assert_snapshot!(refused(MINIMAL, "--backend openai --endpoint /v1/chat/completions"), @r"
    error: `--endpoint`: this is the chat API, and `--backend` says completions
    hint: `--backend openai-chat` goes with `/v1/chat/completions`, `openai` and `vllm` with `/v1/completions`, `openai-responses` with `/v1/responses`
    ");
}

#[test]
fn a_target_that_cannot_be_is_refused() {
    insta::assert_snapshot!(refused(MINIMAL, "--base-url ftp://gpu:8000"), @"error: `--base-url`: expected `http://` or `https://`, found `ftp://`");
    insta::assert_snapshot!(refused(MINIMAL, "--base-url gpu:8000"), @r"
    error: `--base-url`: expected a URL like `http://host:port`, found `gpu:8000`
    hint: did you mean `http://gpu:8000`?
    ");
    insta::assert_snapshot!(refused(MINIMAL, "--base-url http://gpu:8000/v1"), @r"
    error: `--base-url`: expected the URL without the API's own path, found one that ends in `/v1`
    hint: did you mean `http://gpu:8000`?
    ");
    insta::assert_snapshot!(refused(MINIMAL, "--base-url http://a --api-key-env OTHER"), @r"
    error: `--api-key-env`: the environment variable `OTHER` is not set
    hint: `export OTHER=…` before the run
    ");
    insta::assert_snapshot!(refused(MINIMAL, "--base-url http://a --api-key-env sk-planted"), @r"
    error: `--api-key-env`: expected the name of an environment variable (letters, digits and `_`)
    hint: the key itself is never given here
    ");
    insta::assert_snapshot!(refused(MINIMAL, "--header Host=a X-Request-Id=b Bad(=c d"), @r"
    error: `--header`: expected KEY=VALUE, found no `=`
    hint: for example `--header X-Team=blue`
    error: `--header`: `Bad(` is not a header's name
    hint: for example `X-Team`
    error: `--header`: `Host` is set by tare itself
    hint: leave it out
    error: `--header`: `X-Request-Id` is set by tare itself
    hint: --request-id-prefix sets how the ids begin
    ");
    insta::assert_snapshot!(refused("target: {server: vlm}\nload: {users: 1}", ""), @r"
    error: a.yaml: `target.server`: expected `vllm`, `sglang`, `tgi`, `tensorrt_llm`, `llama_cpp`, `lmdeploy`, `ollama`, found `vlm`
    hint: it says whose metrics and logs to expect; left out, the server is recognised
    ");
    insta::assert_snapshot!(refused(MINIMAL, "--server-log vllm.log --server-metrics http://a/metrics"), @r"
    error: `--server-metrics`: the embedded server's metrics are found without a URL
    hint: say which server to use with --base-url, or leave it out
    error: `--server-log`: the embedded server's log is read without a path
    hint: say which server to use with --base-url, or leave it out
    ");
}

#[test]
fn a_workload_that_cannot_be_is_refused() {
    insta::assert_snapshot!(refused(MINIMAL, "--dataset-name sharegpt"), @r"
    error: a.yaml: `workload.path`: missing: this dataset is read from a file
    hint: for example `--dataset-path requests/demo.jsonl`
    ");
    insta::assert_snapshot!(refused(MINIMAL, "--dataset-path prompts.txt"), @r"
    error: `--dataset-path`: the file's ending does not say what it holds
    hint: say it with --dataset-name sharegpt, custom, csv or parquet
    ");
    insta::assert_snapshot!(refused("workload: {dataset: jsonl, path: a.jsonl}", "--random-input-len 5 --sharegpt-output-len 5"), @r"
    error: `--random-input-len`: this is for random prompts, and the dataset is a file
    hint: leave it out, or choose --dataset-name random
    error: `--sharegpt-output-len`: this is for another dataset
    hint: --output-len sets the length limit whatever the dataset
    ");
    insta::assert_snapshot!(refused(MINIMAL, r#"--extra-body {"stream":false}"#), @r"
    error: `--extra-body`: `stream` is set by tare itself
    hint: `workload.stream: false` or --no-stream asks for whole answers
    ");
    insta::assert_snapshot!(refused(MINIMAL, "--extra-body [1]"), @r#"
    error: `--extra-body`: expected a JSON object: invalid type: sequence, expected a map at line 1 column 0
    hint: for example `--extra-body '{"top_k": 20}'`
    "#);
    insta::assert_snapshot!(refused(MINIMAL, "--num-prompts 100000 --random-input-len 100000"), @r"
    error: `--num-prompts`: 100000 prompts of 100000 tokens do not fit in memory
    hint: ask for fewer distinct prompts with --samples; they are then repeated
    ");
}

// ── what is accepted ──
