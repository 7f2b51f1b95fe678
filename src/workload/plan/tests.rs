//! Plans as they are printed.

use super::*;
use crate::cli::{Cli, Command, RunArgs};
use crate::config;

fn resolved(flags: &RunArgs) -> Config {
    config::validate::resolve(config::file::File::default(), None, flags, &|_| None).unwrap()
}

fn given(flags: &str) -> RunArgs {
    let args = ["tare", "run"].into_iter().chain(flags.split_whitespace());
    match Cli::try_read(args.map(Into::into)).unwrap().command {
        Command::Run(flags) => *flags,
        other => panic!("{other:?}"),
    }
}

fn planned(flags: &str) -> String {
    let config = resolved(&given(flags));
    let workload = crate::workload::load(&config.workload, config.seed).unwrap();
    let text = plan_text(&config, &workload).unwrap();
    let (_, plan) = text.split_once("# the plan\n").unwrap();
    plan.to_owned()
}

#[test]
fn a_run_against_a_server_in_words() {
    let flags = "--base-url http://gpu:8000 --model m --header X-Team=planted --num-prompts 20 --samples 8 \
                 --random-input-len 30 --request-rate 4 --max-concurrency 16 --num-warmups 2 --otlp --server-log vllm.log";
    insta::assert_snapshot!(planned(flags), @r"
    server    the server at http://gpu:8000, model `m`
    request   POST /v1/chat/completions, streamed, with X-Team
    prompts   8 from random words, about 30 tokens, seed 0; about 30 tokens each
    load      open loop, 4 requests/s on average (Poisson), at most 16 at once
              until 20 requests, then at most 3600 s for those in flight; 2 warm-ups before; 12 requests at most repeat a prompt
    observe   /metrics every 1 s and exactly before and after; the log vllm.log; spans at 127.0.0.1 (gRPC on 4317, HTTP on 4318)
    output    output/run-TIME

    # lengths in tokens
    input (estimated: --tokenizer counts them): n 8, mean 30.0, min 30, quartiles 30 | 30 | 30, max 30
    output (limits of the answers): n 8, mean 128.0, min 128, quartiles 128 | 128 | 128, max 128

    # the first requests
    0: about 30 tokens, at most 128: [user] map part period your free outside time child give find data me do land his well not total so …
    1: about 30 tokens, at most 128: [user] current leave best until who could business follow people between outside sure ready thought …
    2: about 30 tokens, at most 128: [user] better record below nature help some wide energy point before ever mean increase home nature …
    ");
}

#[test]
fn a_run_against_the_embedded_server_in_words() {
    let bad = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(bad.path(), "{\"prompt\": \"a b c\"}\n{\"prompt\": 5}\n{\"prompt\": \"a b c\"}\n")
        .unwrap();
    let path = bad.path().display().to_string();
    let flags = format!(
        "--dataset-name custom --dataset-path {path} --users 3 --ramp-s 2 --duration 9 --samples 7 --output out"
    );
    insta::assert_snapshot!(planned(&flags).replace(&path, "FILE"), @r"
    server    the embedded look-alike, started on a free port, model `tare-mock`
    request   POST /v1/chat/completions, streamed
    prompts   1 from JSON Lines, FILE, seed 0; about 3 tokens each
              1 broken: line 2: prompt: expected text, found a number
              1 more have the text of another
              7 different ones were asked for; the dataset has fewer
    load      closed loop of 3 users, started evenly over 2 s
              until 9 s, then at most 30 s for those in flight; prompts repeat from request 2 on
    observe   /metrics every 1 s and exactly before and after; its log; spans at 127.0.0.1 (gRPC on a free port, HTTP on a free port)
    output    out

    # lengths in tokens
    input (estimated: --tokenizer counts them): n 1, mean 3.0, min 3, quartiles 3 | 3 | 3, max 3
    output: no limit, the server decides

    # the first requests
    0: about 3 tokens, no limit: [user] a b c
    ");
}

#[test]
fn the_configuration_printed_is_yaml_that_reads_back() {
    let config = resolved(&given("--users 2"));
    let yaml = serde_saphyr::to_string(&config).unwrap();
    let again: Config = serde_saphyr::from_str(&yaml).unwrap();
    assert_eq!(serde_json::to_value(&again).unwrap(), serde_json::to_value(&config).unwrap());
}
