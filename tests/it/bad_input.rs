//! What the program says and how it ends when something is wrong with what it was given: each
//! mistake as a snapshot of exit code, stdout and stderr; and that no measured row is lost by it.

use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use insta::assert_snapshot;

use crate::program::{LookAlike, Place, filters};
use crate::support::{closed_port, serve};

/// A few short requests, one after the other.
const FEW: &str = "--users 1 --num-prompts 6 --random-input-len 5 --random-output-len 4 --ignore-eos --scrape-interval 60 --output run";

fn embedded(faults: &str) -> String {
    format!("embedded:\n  decode_base_ms: 2\n  faults: [{faults}]\n")
}

/// A run against the embedded server with these faults.
fn run_with(faults: &str) -> (Place, String) {
    let place = Place::new();
    place.file("config.yaml", embedded(faults));
    let said = place.tare(&format!("run config.yaml {FEW}"));
    let short = said.in_short();
    (place, short)
}

fn lines(place: &Place, name: &str) -> usize {
    std::fs::read_to_string(place.path(name)).unwrap().lines().count()
}

#[test]
fn no_server_there() {
    let _names = filters();
    let place = Place::new();
    let said = place.tare(&format!("run --base-url http://{} {FEW}", closed_port()));
    assert_snapshot!(said.shown(), @r"
    exit code: 3
    ----- stdout
    ----- stderr
    error: no server answers at http://127.0.0.1:PORT: Connection refused (os error N)
    hint: start the server first, or say where it is (--base-url, or --host and --port); --ready-check-timeout-sec waits for it, and `tare run` without a URL starts an embedded one
    ");
    assert!(!place.path("run").exists(), "the next try can have the folder's name");
}

#[test]
fn a_model_that_is_not_served() {
    let _names = filters();
    let place = Place::new();
    place.file("config.yaml", "embedded:\n  model: small\n");
    assert_snapshot!(place.tare(&format!("run config.yaml --model large {FEW}")).shown(), @r"
    exit code: 2
    ----- stdout
    ----- stderr
    error: the server does not serve a model `large`
    hint: it serves `small`
    ");
}

#[test]
fn a_server_that_is_something_else() {
    let _names = filters();
    let place = Place::new();
    let page = "<html>\n<body>Welcome to nginx!</body>\n</html>\n";
    let server = serve(Router::new().route("/v1/models", get(move || async move { page })));
    let said = place.tare(&format!("run --base-url {} {FEW}", server.url("")));
    assert_snapshot!(said.shown(), @r"
    exit code: 3
    ----- stdout
    ----- stderr
    error: http://127.0.0.1:PORT/v1/models answered with something else than a list of models: <html> <body>Welcome to nginx!</body> </html>
    hint: the base URL is the part before /v1, for example http://127.0.0.1:PORT
    ");
    let said = place.tare(&format!("run --base-url {} --output other", server.url("/v1")));
    assert_snapshot!(said.shown(), @r"
    exit code: 2
    ----- stdout
    ----- stderr
    error: `--base-url`: expected the URL without the API's own path, found one that ends in `/v1`
    hint: did you mean `http://127.0.0.1:PORT`?
    ");
}

#[test]
fn no_metrics_endpoint() {
    let _names = filters();
    assert_snapshot!(run_with("metrics_404").1, @r#"
    exit code: 0
    ----- stdout
    Total Requests: 6
    Successful Requests: 6
    Failed Requests: 0
    note: the snapshot after the run: there is nothing to compare: no count of finished requests from both before and after
    note: no metrics from http://127.0.0.1:PORT/metrics: expected a page in Prometheus text format, found status 404 with `{"error":{"message":"Not Found","type":"Not Found","param":null,"code":404}}` (application/json) (hint: gateways often do not pass /metrics on; name the server's own endpoint with `--server-metrics`)
    run
    ----- stderr
    "#);
}

#[test]
fn a_web_page_in_place_of_metrics() {
    let _names = filters();
    assert_snapshot!(run_with("metrics_html").1, @r"
    exit code: 0
    ----- stdout
    Total Requests: 6
    Successful Requests: 6
    Failed Requests: 0
    note: the snapshot after the run: there is nothing to compare: no count of finished requests from both before and after
    note: no metrics from http://127.0.0.1:PORT/metrics: expected a page in Prometheus text format, found `<!DOCTYPE html> <html><head><title>Login</title></head><body>Please log in.</bod…` (text/html; charset=utf-8) (hint: gateways often do not pass /metrics on; name the server's own endpoint with `--server-metrics`)
    run
    ----- stderr
    ");
}

#[test]
fn a_log_that_is_not_there() {
    let _names = filters();
    let (place, server) = (Place::new(), LookAlike::start(&[]));
    let said = place.tare(&format!("run --base-url {} --server-log vllm.log {FEW}", server.url));
    assert_snapshot!(said.in_short(), @r"
    exit code: 0
    ----- stdout
    Total Requests: 6
    Successful Requests: 6
    Failed Requests: 0
    note: the server log vllm.log was not there when the run began; it is read from its start once it appears (hint: check the path given with `--server-log`; `-` reads standard input)
    run
    ----- stderr
    ");
}

/// A log that grows while the run goes on, by the same line again and again; and how many rows are
/// kept of it.
fn run_with_log(line: &'static [u8]) -> (String, usize) {
    let (place, server) = (Place::new(), LookAlike::start(&[]));
    place.file("server.log", "");
    let path = place.path("server.log");
    let writing = std::thread::spawn(move || {
        use std::io::Write;
        while let Ok(mut log) = std::fs::File::options().append(true).open(&path) {
            let _ = log.write_all(line);
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let said = place.tare(&format!("run --base-url {} --server-log server.log {FEW}", server.url));
    let kept = lines(&place, "run/server_log.jsonl");
    drop(place);
    writing.join().unwrap();
    (said.in_short(), kept)
}

#[test]
fn a_log_of_another_format() {
    let _names = filters();
    let (said, kept) = run_with_log(b"2026/11/24 18:00:00 [notice] 1#1: start worker processes\n");
    assert_snapshot!(said, @r"
    exit code: 0
    ----- stdout
    Total Requests: 6
    Successful Requests: 6
    Failed Requests: 0
    note: none of the SOME lines read from the log server.log is in a known format, for example `2026/11/24 18:00:00 [notice] 1#1: start worker processes` (hint: known formats: vllm, uvicorn, tare_stat_log, sglang, tgi, llama_cpp, nginx, haproxy, envoy, caddy, traefik, litellm, sglang_router, tare_tap)
    run
    ----- stderr
    ");
    assert!(kept > 0, "lines that nobody understands are kept");
}

#[test]
fn a_binary_log() {
    let _names = filters();
    assert_snapshot!(run_with_log(b"\x7fELF\x02\x01\x01\0\0\0\xff\xfe\0\n").0, @r"
    exit code: 0
    ----- stdout
    Total Requests: 6
    Successful Requests: 6
    Failed Requests: 0
    note: the server log server.log is no text log: it begins with binary data (hint: give the text that the server writes to its standard output)
    run
    ----- stderr
    ");
}

#[test]
fn a_dataset_with_broken_entries() {
    let _names = filters();
    let place = Place::new();
    place.file("config.yaml", embedded(""));
    place.file(
        "prompts.jsonl",
        "{\"prompt\": \"one\"}\n{\"prompt\": 2}\nthree\n{\"messages\": []}\n{\"prompt\": \"five\"}\n",
    );
    let said = place.tare(
        "run config.yaml --dataset-path prompts.jsonl --users 1 --num-prompts 4 --output-len 4 --output run",
    );
    assert_snapshot!(said.in_short(), @r"
    exit code: 0
    ----- stdout
    Total Requests: 4
    Successful Requests: 4
    Failed Requests: 0
    note: 4 different prompts were asked for, and the dataset has 2
    note: 3 of 5 entries of the dataset could not be read: line 2: prompt: expected text, found a number; line 3, column 2: not JSON: expected ident; line 4: messages: expected a message, found none
    run
    ----- stderr
    ");
    assert_eq!(lines(&place, "run/results.jsonl"), 4);
}

#[test]
fn a_dataset_without_a_good_entry() {
    let _names = filters();
    let place = Place::new();
    place.file("prompts.jsonl", "{\"prompt\": 2}\nthree\n");
    assert_snapshot!(place.tare("run --dataset-path prompts.jsonl --output run").shown(), @r"
    exit code: 2
    ----- stdout
    ----- stderr
    error: none of the 2 entries of `prompts.jsonl` can be sent
      line 1: prompt: expected text, found a number
      line 2, column 2: not JSON: expected ident
    hint: each line is a JSON object with `prompt` or `messages`, and optionally `output_tokens`
    ");
    place.file("empty.jsonl", "");
    assert_snapshot!(place.tare("run --dataset-path empty.jsonl --output run").shown(), @r"
    exit code: 2
    ----- stdout
    ----- stderr
    error: `empty.jsonl` holds no entries
    hint: each line is a JSON object with `prompt` or `messages`, and optionally `output_tokens`
    ");
    place.file("cut.json", "[{\"conversations\": [{\"from\": \"human\", \"value\": \"Tell me of a long");
    assert_snapshot!(place.tare("run --dataset-path cut.json --output run").shown(), @r#"
    exit code: 2
    ----- stdout
    ----- stderr
    error: none of the 1 entries of `cut.json` can be sent
      line 1, column 65: EOF while parsing a string; nothing after this was read
    hint: expected a JSON list of `{"conversations": [{"from": "human", "value": text}, …]}`
    "#);
    assert!(!place.path("run").exists(), "nothing is made for a run that cannot be");
}

#[test]
fn a_dataset_that_is_not_there() {
    let _names = filters();
    assert_snapshot!(Place::new().tare("run --dataset-path sharegpt.json --output run").shown(), @r"
    exit code: 2
    ----- stdout
    ----- stderr
    error: cannot read the dataset `sharegpt.json`
    caused by: No such file or directory (os error N)
    hint: paths are relative to the current directory; requests/README.md says what ships and how to get more
    ");
}

#[test]
fn an_output_that_cannot_be_written() {
    let _names = filters();
    let place = Place::new();
    place.file("taken", "a file");
    assert_snapshot!(place.tare("run --num-prompts 1 --output taken").shown(), @r"
    exit code: 2
    ----- stdout
    ----- stderr
    error: the output path taken is a file, not a folder
    hint: name a folder with --output
    ");
    assert_snapshot!(place.tare("run --num-prompts 1 --output taken/run").shown(), @r"
    exit code: 2
    ----- stdout
    ----- stderr
    error: cannot create the output folder taken/run
    caused by: Not a directory (os error N)
    hint: name another folder with --output
    ");
}

#[test]
fn an_output_folder_that_holds_something() {
    let _names = filters();
    let place = Place::new();
    place.file("config.yaml", embedded(""));
    std::fs::create_dir(place.path("run")).unwrap();
    place.file("run/notes.txt", "mine");
    place.file("run/report.md", "an older report");
    assert_snapshot!(place.tare(&format!("run config.yaml {FEW}")).shown(), @r"
    exit code: 2
    ----- stdout
    ----- stderr
    error: the output folder run is not empty (it holds notes.txt, report.md)
    hint: name another folder with --output, or give --overwrite to replace the run in it
    ");
    let said = place.tare(&format!("run config.yaml --overwrite {FEW}"));
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(std::fs::read_to_string(place.path("run/notes.txt")).unwrap(), "mine");
    assert!(std::fs::read_to_string(place.path("run/report.md")).unwrap().contains("Successful Requests: 6"));
}

#[test]
fn mistakes_in_the_configuration() {
    let _names = filters();
    let place = Place::new();
    place.file("typo.yaml", "name: mine\nload:\n  users: 3\n  duratoin_s: 5\n");
    assert_snapshot!(place.tare("run typo.yaml").shown(), @r"
    exit code: 2
    ----- stdout
    ----- stderr
    error: unknown key `duratoin_s` in `load`
     --> typo.yaml:4:3
      |
    4 |   duratoin_s: 5
      |   ^^^^^^^^^^
    hint: did you mean `duration_s`?
    ");
    place.file("kind.yaml", "load:\n  users: many\n");
    assert_snapshot!(place.tare("run kind.yaml").shown(), @r"
    exit code: 2
    ----- stdout
    ----- stderr
    error: `load.users`: expected a whole number from 0 to 4294967295, found `many`
     --> kind.yaml:2:10
      |
    2 |   users: many
      |          ^^^^
    hint: numbers stand without a unit; the key's ending says it (`_s`: seconds)
    ");
    place.file("broken.yaml", "load:\n  users: [3\nname: x\n");
    assert_snapshot!(place.tare("run broken.yaml").shown(), @r"
    exit code: 2
    ----- stdout
    ----- stderr
    error: `load.users`: expected one value, found `[3`
     --> broken.yaml:2:10
      |
    2 |   users: [3
      |          ^^
    hint: `configs/` holds examples
    ");
    // All that is wrong is said at once.
    place.file("values.yaml", "load:\n  users: 0\n  ramp_s: -1\nembedded:\n  jitter: 7\n");
    assert_snapshot!(place.tare("run values.yaml --temperature 99").shown(), @r"
    exit code: 2
    ----- stdout
    ----- stderr
    error: values.yaml: `load.users`: expected a whole number from 1 to 100000, found 0
    hint: left out, the rate or --max-concurrency says how to send
    error: values.yaml: `load.ramp_s`: expected a number from 0 to 2592000 (seconds), found -1
    hint: left out, it is 0
    error: `--temperature`: expected a number from 0 to 10, found 99
    hint: left out, the server decides
    error: values.yaml: `embedded.jitter`: expected a number from 0 to 1, found 7
    hint: left out, it is 0.05
    ");
    assert_snapshot!(place.tare("run missing.yaml").shown(), @r"
    exit code: 2
    ----- stdout
    ----- stderr
    error: cannot read the configuration `missing.yaml`
    caused by: No such file or directory (os error N)
    hint: paths are relative to the current directory; `configs/` holds examples
    ");
}

#[test]
fn a_fault_that_does_not_exist() {
    let _names = filters();
    let place = Place::new();
    place.file("config.yaml", embedded("cutt after=3"));
    assert_snapshot!(place.tare(&format!("run config.yaml {FEW}")).shown(), @r"
    exit code: 2
    ----- stdout
    ----- stderr
    error: `embedded.faults` cannot be played
    caused by: fault `cutt after=3`
    caused by: unknown fault `cutt`; known are: http_NNN, cut, cut_clean, stall, late_first, stream_error, empty_first, reasoning, tool_call, keep_alive_comments, no_usage, refuse_continuous_usage, reset, die, garbage_log, span_loss, log_loss, span_delay_ms, span_queue, metrics_404, metrics_html
    ");
    assert_snapshot!(place.tare("serve --port 0 --fault cut").shown(), @r"
    exit code: 2
    ----- stdout
    ----- stderr
    error: `--fault` cannot be played
    caused by: fault `cut`
    caused by: it needs `after=N`
    ");
}

#[test]
fn mistakes_on_the_command_line() {
    let _names = filters();
    let place = Place::new();
    assert_snapshot!(place.tare("run --base-url grpc://gpu:8000").shown(), @r"
    exit code: 2
    ----- stdout
    ----- stderr
    error: `--base-url`: expected `http://` or `https://`, found `grpc://`
    ");
    assert_snapshot!(place.tare("run --num-promts 5").shown(), @r"
    exit code: 2
    ----- stdout
    ----- stderr
    error: unexpected argument '--num-promts' found

      tip: a similar argument exists: '--num-prompts'

    Usage: tare run --num-prompts <N> [CONFIG]

    For more information, try '--help'.
    ");
    assert_snapshot!(place.tare("run --users 3 --request-rate 2 --duration 5").shown(), @r"
    exit code: 2
    ----- stdout
    ----- stderr
    error: `--request-rate`: a rate is for an open loop, `--users` for a closed one
    hint: give one of them
    ");
    assert_snapshot!(place.tare("run --users few").shown(), @r"
    exit code: 2
    ----- stdout
    ----- stderr
    error: invalid value 'few' for '--users <N>': invalid digit found in string

    For more information, try '--help'.
    ");
    assert_snapshot!(place.tare("walk").shown(), @r"
    exit code: 2
    ----- stdout
    ----- stderr
    error: unrecognized subcommand 'walk'

    Usage: tare [OPTIONS] <COMMAND>

    For more information, try '--help'.
    ");
}

#[test]
fn a_server_that_dies_in_the_middle() {
    let _names = filters();
    let (place, short) = run_with("die at_request=4");
    assert_snapshot!(short, @r"
    exit code: 0
    ----- stdout
    warning: the embedded server ended by itself (signal: 9 (SIGKILL))
    Total Requests: 6
    Successful Requests: 3
    Failed Requests: 3
    note: the snapshot after the run: there is nothing to compare: no count of finished requests from both before and after
    note: no metrics from http://127.0.0.1:PORT/metrics: no connection: Connection refused (os error N) (hint: is the server up, and are its metrics on that port? `--server-metrics` names another, `--no-server-metrics` leaves them out)
    run
    ----- stderr
    ");
    // The three that were answered are there with all their events.
    assert_eq!(lines(&place, "run/results.jsonl"), 6);
    let report = std::fs::read_to_string(place.path("run/report.md")).unwrap();
    assert!(report.contains("connect_error"), "{report}");
}

#[test]
fn another_servers_end_is_noticed() {
    let _names = filters();
    let (place, server) = (Place::new(), LookAlike::start(&["--fault", "die at_request=4"]));
    let said = place.tare(&format!("run --base-url {} {FEW}", server.url));
    assert_snapshot!(said.in_short(), @r"
    exit code: 0
    ----- stdout
    Total Requests: 6
    Successful Requests: 3
    Failed Requests: 3
    note: the snapshot after the run: there is nothing to compare: no count of finished requests from both before and after
    note: no metrics from http://127.0.0.1:PORT/metrics: no connection: Connection refused (os error N) (hint: is the server up, and are its metrics on that port? `--server-metrics` names another, `--no-server-metrics` leaves them out)
    run
    ----- stderr
    ");
    assert_eq!(lines(&place, "run/results.jsonl"), 6);
}

#[test]
fn every_request_fails() {
    let _names = filters();
    assert_snapshot!(run_with("http_503").1, @r"
    exit code: 3
    ----- stdout
    Total Requests: 6
    Successful Requests: 0
    Failed Requests: 6
    run
    ----- stderr
    error: none of 6 requests succeeded (6 times: HTTP 503: Service Unavailable)
    hint: run/report.md has every error
    ");
}

#[test]
fn a_server_that_never_answers() {
    let _names = filters();
    let place = Place::new();
    let models = || async { "{\"data\":[{\"id\":\"m\"}]}" };
    let silence = || async { std::future::pending::<()>().await };
    let router = Router::new().route("/v1/models", get(models)).route("/v1/chat/completions", post(silence));
    let server = serve(router);
    let said =
        place.tare(&format!("run --base-url {} --no-server-metrics --timeout 0.3 {FEW}", server.url("")));
    assert_snapshot!(said.in_short(), @r"
    exit code: 3
    ----- stdout
    Total Requests: 6
    Successful Requests: 0
    Failed Requests: 6
    run
    ----- stderr
    error: none of 6 requests succeeded (6 times: no response head within the time limit)
    hint: run/report.md has every error
    ");
}

#[test]
fn a_dry_run_shows_what_would_be_done() {
    let _names = filters();
    let place = Place::new().env("PLANTED", "sk-planted");
    place.file("config.yaml", "name: dry\nload:\n  users: 5\n  ramp_s: 2\n  duration_s: 10\n");
    let said = place.tare(
        "run config.yaml --base-url http://gpu:8000 --api-key-env PLANTED --header X-Team=planted --dry-run",
    );
    assert_snapshot!(said.shown(), @r"
    exit code: 0
    ----- stdout
    # the resolved configuration
    name: dry
    target:
      base_url: http://gpu:8000
      server: null
      endpoint: chat
      path: null
      model: null
      headers:
      - X-Team
      api_key_env: PLANTED
      ca_cert: null
      insecure: false
      ready_timeout_s: 0.0
      embedded:
        model: tare-mock
        as: vllm
        seed: 0
        max_num_seqs: 256
        max_num_batched_tokens: 2048
        max_model_len: 8192
        num_gpu_blocks_override: null
        prefill_us_per_token: 60.0
        decode_base_ms: 8.0
        decode_per_seq_ms: 0.15
        jitter: 0.05
        frontend_ms: 1.5
        frontend_us_per_token: 4.0
        mean_output_tokens: 180.0
        api_server_count: 1
        log_stats_interval_s: 10.0
        data_parallel_size: 1
        enable_log_requests: true
        enable_log_outputs: false
        enable_log_deltas: true
        enable_logging_iteration_details: false
        enable_per_request_metrics: true
        enable_prompt_tokens_details: false
        log_format: default
        stat_log: false
        spans: false
        clock_offset_ms: 0.0
        clock_drift_ppm: 0.0
        clock_step_ms: 0.0
        clock_step_at_s: null
        faults: []
    workload:
      dataset:
        name: random
        input_len: 1024
        output_len: 128
        prefix_len: 0
      samples: 1000
      max_tokens: null
      temperature: null
      top_p: null
      ignore_eos: false
      stream: true
      extra_body: {}
    load:
      arrival:
        kind: closed
        users: 5
        ramp_s: 2.0
      requests: null
      duration_s: 10.0
      grace_period_s: 30.0
      timeout_s: 3600.0
      connect_timeout_s: 30.0
      warmups: 0
      max_concurrency: null
      stamps: auto
      connections: warm
      source_addresses: []
      threads: null
      affinity: null
      request_id_prefix: tare-
    observe:
      metrics_urls: []
      no_metrics: false
      scrape_interval_s: 1.0
      server_log: null
      stat_log: null
      otlp: null
      span_wait_s: 10.0
      clock_bound_s: null
    hops: []
    results:
      style: tare
      metrics:
      - ttft
      - tpot
      - itl
      percentiles:
      - 99.0
      asked:
        backend: openai-chat
        burstiness: 1.0
        max_concurrency: 5
    seed: 0
    metadata: {}
    label: null
    output: null
    overwrite: false
    calibrate: false
    stop_over_saturated: false

    # the plan
    server    the server at http://gpu:8000, the first model it lists
    request   POST /v1/chat/completions, streamed, key from PLANTED, with X-Team
    prompts   1,000 from random words, about 1024 tokens, seed 0; about 1024 tokens each
    load      closed loop of 5 users, started evenly over 2 s
              until 10 s, then at most 30 s for those in flight; prompts repeat from request 1,001 on
    observe   /metrics every 1 s and exactly before and after
    output    output/dry-TIME

    # lengths in tokens
    input (estimated: --tokenizer counts them): n 1,000, mean 1024.0, min 1024, quartiles 1024 | 1024 | 1024, max 1024
    output (limits of the answers): n 1,000, mean 128.0, min 128, quartiles 128 | 128 | 128, max 128

    # the first requests
    0: about 1024 tokens, at most 128: [user] map part period your free outside time child give find data me do land his well not total so …
    1: about 1024 tokens, at most 128: [user] ask stand same down water art next is open knew clear it ask tree power follow inside work la…
    2: about 1024 tokens, at most 128: [user] four how grow now world part take may mind food the language true possible live done without …
    ----- stderr
    ");
    assert_eq!(std::fs::read_dir(place.path("")).unwrap().count(), 1, "nothing is made");
}

#[test]
fn a_port_for_spans_that_is_taken() {
    let _names = filters();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let place = Place::new();
    place.file("config.yaml", embedded(""));
    let port = taken.local_addr().unwrap().port();
    let said = place.tare(&format!("run config.yaml --otlp --otlp-http-port {port} {FEW}"));
    assert_snapshot!(said.shown().replace(&port.to_string(), "PORT"), @r"
    exit code: 3
    ----- stdout
    ----- stderr
    error: cannot receive spans (OTLP over HTTP) at 127.0.0.1:PORT: Address already in use (os error N)
    hint: something else listens there, another collector or another run; `--otlp-http-port` takes another port, 0 any free one
    ");
    let said = place.tare(&format!("serve --port {port}"));
    assert_snapshot!(said.shown().replace(&port.to_string(), "PORT"), @r"
    exit code: 3
    ----- stdout
    ----- stderr
    error: cannot listen on 127.0.0.1:PORT; is the port taken? (port 0 takes any free one)
    caused by: Address already in use (os error N)
    ");
}

#[test]
fn a_report_of_no_run() {
    let _names = filters();
    let place = Place::new();
    std::fs::create_dir(place.path("run")).unwrap();
    assert_snapshot!(place.tare("report run").shown(), @r"
    exit code: 2
    ----- stdout
    ----- stderr
    error: run is no run folder: it holds no manifest.json
    hint: name a folder that `tare run` wrote
    ");
    assert_snapshot!(place.tare("report nowhere").shown(), @r"
    exit code: 2
    ----- stdout
    ----- stderr
    error: nowhere is no run folder: it holds no manifest.json
    hint: name a folder that `tare run` wrote
    ");
    place.file("run/manifest.json", "{\"schema_version\": 1,");
    assert_snapshot!(place.tare("report run").shown(), @r"
    exit code: 3
    ----- stdout
    ----- stderr
    error: run/manifest.json is not a manifest that this version can read
    caused by: EOF while parsing a value at line 1 column 21
    ");
}

#[test]
fn a_run_of_a_newer_version() {
    let _names = filters();
    let place = Place::new();
    place.file("config.yaml", embedded(""));
    assert_eq!(place.tare(&format!("run config.yaml {FEW}")).code, Some(0));
    let manifest = std::fs::read_to_string(place.path("run/manifest.json")).unwrap();
    place.file("run/manifest.json", manifest.replacen("\"schema_version\": 1", "\"schema_version\": 99", 1));
    assert_snapshot!(place.tare("report run").shown(), @r"
    exit code: 3
    ----- stdout
    ----- stderr
    error: run/manifest.json has schema version 99; this tare reads up to 1: use tare 0.1.0 or newer
    ");
}
