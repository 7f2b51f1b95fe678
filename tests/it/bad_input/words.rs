//! Configurations, flags and what a dry run says.

use insta::assert_snapshot;

use super::{FEW, embedded};
use crate::program::{Place, filters};

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
