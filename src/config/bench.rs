//! `tare bench serve`: the flags of `vllm bench serve` with its defaults, where they are not those of
//! `tare run`. This file must not know what a flag does.

use crate::cli::{Backend, RunArgs, StyleName};
use crate::error::{Failure, usage};
use crate::record::DatasetName;

/// Tokens of a custom dataset's answers, when nothing is said.
const CUSTOM_OUTPUT_LEN: i64 = 256;

/// The arguments with those defaults filled in.
pub fn as_vllm(args: &RunArgs) -> Result<RunArgs, Failure> {
    let mut args = args.clone();
    if args.workload.no_stream {
        return Err(usage(
            "`--no-stream` of vllm bench serve says how a dataset is fetched from a hub, and none is",
        )
        .hint("leave it out; `tare run --no-stream` asks for whole answers"));
    }
    let target = &mut args.target;
    if target.base_url.is_none() && args.config.is_none() {
        // Where nothing listens there, that is said; `tare run` starts a server of its own.
        target.host.get_or_insert_with(|| "127.0.0.1".to_owned());
        target.port.get_or_insert(8000);
    }
    if target.endpoint.is_none() {
        target.backend.get_or_insert(Backend::Openai);
    }
    let workload = &mut args.workload;
    let by_file = workload.dataset_path.is_some() || args.config.is_some();
    match workload.dataset_name {
        Some(DatasetName::Random) => workload.ignore_eos = true,
        None if !by_file => workload.ignore_eos = true,
        Some(DatasetName::Jsonl) if workload.output_len.is_none() => {
            workload.custom_output_len.get_or_insert(CUSTOM_OUTPUT_LEN);
        }
        _ => {}
    }
    args.results.style.get_or_insert(StyleName::Vllm);
    Ok(args)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::cli::{BenchCommand, Cli, Command};

    fn given(flags: &str) -> Result<RunArgs, Failure> {
        let words = format!("tare bench serve {flags}");
        let cli = Cli::try_read(words.split_whitespace().map(Into::into)).unwrap();
        let Command::Bench(bench) = cli.command else { panic!("not a bench") };
        let BenchCommand::Serve(args) = bench.command;
        as_vllm(&args)
    }

    #[test]
    fn what_is_not_said_is_as_in_vllm_bench_serve() {
        let args = given("").unwrap();
        assert_eq!((args.target.host.as_deref(), args.target.port), (Some("127.0.0.1"), Some(8000)));
        assert_eq!(args.target.backend, Some(Backend::Openai));
        assert_eq!(args.results.style, Some(StyleName::Vllm));
        assert!(args.workload.ignore_eos);
    }

    #[test]
    fn what_is_said_stays() {
        let chat = given("--base-url http://gpu:1 --backend openai-chat --style tare").unwrap();
        assert_eq!((chat.target.host, chat.target.backend), (None, Some(Backend::OpenaiChat)));
        assert_eq!(chat.results.style, Some(StyleName::Tare));
        let custom = given("--dataset-name custom --dataset-path x.jsonl").unwrap();
        assert_eq!((custom.workload.custom_output_len, custom.workload.ignore_eos), (Some(256), false));
        let whole = given("--dataset-name custom --dataset-path x.jsonl --custom-output-len -1").unwrap();
        assert_eq!(whole.workload.custom_output_len, Some(-1), "each row's own");
        let path = given("--endpoint /v1/chat/completions").unwrap();
        assert_eq!(path.target.backend, None, "the path says it");
    }

    #[test]
    fn a_flag_that_means_something_else_here_is_refused() {
        assert!(given("--no-stream").unwrap_err().to_string().contains("hub"));
    }
}
