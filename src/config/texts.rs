//! Flags whose text is more than one value: pairs, JSON, and those that choose together with others.
//! Here alone the text of a flag, rather than its value, can be wrong.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::check::Check;
use super::export;
use super::file::File;
use super::law::Law;
use super::overlay;
use crate::cli::{self, RunArgs};
use crate::record::Endpoint;

/// Flags whose text is more than a value: pairs, JSON, and two that must agree.
pub fn lay(flags: &RunArgs, file: &mut File, check: &mut Check<'_>) {
    for pair in &flags.target.header {
        // The text is not shown: it may hold a key.
        match pair.split_once('=') {
            Some((name, value)) => {
                file.target.headers.retain(|known, _| !known.eq_ignore_ascii_case(name));
                file.target.headers.insert(name.to_owned(), value.to_owned());
            }
            None => check.problem(
                "--header",
                "expected KEY=VALUE, found no `=`",
                "for example `--header X-Team=blue`",
            ),
        }
    }
    export::lay_headers(&flags.observe.export_spans_header, &mut file.observe.export_spans_headers, check);
    for pair in &flags.output.metadata {
        match pair.split_once('=') {
            Some((key, value)) => {
                file.metadata.insert(key.to_owned(), value.to_owned());
            }
            None => check.problem(
                "--metadata",
                format!("expected KEY=VALUE, found `{pair}`"),
                "for example `--metadata gpu=h100`; a configuration file stands before the flag",
            ),
        }
    }
    endpoint(&flags.target, file, check);
    if flags.workload.extra_body.is_some() {
        file.workload.extra_body.clear();
    }
    sampling(&flags.workload.sampling, file, check);
    if let Some(json) = &flags.workload.extra_body {
        match serde_json::from_str::<Map<String, Value>>(json) {
            Ok(object) => file.workload.extra_body.extend(object),
            Err(error) => check.problem(
                "--extra-body",
                format!("expected a JSON object: {error}"),
                "for example `--extra-body '{\"top_k\": 20}'`",
            ),
        }
    }
    range_ratio(&flags.workload, file, check);
    super::slo::lay(&flags.slo, &mut file.slo, check);
    overlay::lay_texts(&flags.workload, file, check);
}

/// `--random-range-ratio` in its second spelling, one ratio for each length: a law for each.
fn range_ratio(flags: &cli::WorkloadArgs, file: &mut File, check: &mut Check<'_>) {
    #[derive(Deserialize)]
    struct Ratios {
        input: f64,
        output: f64,
    }
    let Some(text) = flags.random_range_ratio.as_ref().filter(|text| text.parse::<f64>().is_err()) else {
        return;
    };
    let Ok(Ratios { input, output }) = serde_json::from_str(text) else {
        let message = format!("expected a number or {{\"input\": R, \"output\": R}}, found `{text}`");
        check.problem("--random-range-ratio", message, "for example `--random-range-ratio 0.2`");
        return;
    };
    if ![input, output].iter().all(|ratio| (0.0..1.0).contains(ratio)) {
        let message = format!("expected ratios from 0 to below 1, found `{text}`");
        check.problem("--random-range-ratio", message, "0 makes all lengths equal");
        return;
    }
    let into = &mut file.workload;
    let input_len = into.random_input_len.take().unwrap_or(1024);
    let output_len = into.random_output_len.take().or(into.max_tokens.take()).unwrap_or(128);
    into.random_input_law = Some(Law::Around { mean: f64::from(input_len), ratio: input });
    into.random_output_law = Some(Law::Around { mean: f64::from(output_len), ratio: output });
}

/// Parameters that go into the body under vLLM's names; `--extra-body` says more than they do.
fn sampling(flags: &cli::SamplingArgs, file: &mut File, check: &mut Check<'_>) {
    let reals = [
        ("min_p", "--min-p", flags.min_p, 0.0..=1.0),
        ("frequency_penalty", "--frequency-penalty", flags.frequency_penalty, -2.0..=2.0),
        ("presence_penalty", "--presence-penalty", flags.presence_penalty, -2.0..=2.0),
        ("repetition_penalty", "--repetition-penalty", flags.repetition_penalty, 0.0..=10.0),
    ];
    let body = &mut file.workload.extra_body;
    for (key, flag, value, range) in reals {
        let Some(value) = value else { continue };
        if !range.contains(&value) {
            let message =
                format!("expected a number from {} to {}, found {value}", range.start(), range.end());
            check.problem(flag, message, "left out, the server decides");
        }
        body.insert(key.to_owned(), json!(value));
    }
    if let Some(top_k) = flags.top_k {
        if top_k < -1 {
            check.problem(
                "--top-k",
                format!("expected -1, 0 or more, found {top_k}"),
                "-1 and 0: all tokens",
            );
        }
        body.insert("top_k".to_owned(), json!(top_k));
    }
    let Some(n) = flags.logprobs else { return };
    // Each API has its own words for it.
    let words = match file.target.endpoint.unwrap_or_default() {
        Endpoint::Completions => json!({"logprobs": n}),
        Endpoint::Chat => json!({"logprobs": true, "top_logprobs": n}),
        Endpoint::Responses => json!({"include": ["message.output_text.logprobs"], "top_logprobs": n}),
    };
    if let Value::Object(words) = words {
        body.extend(words);
    }
}

/// `--backend` says the API; without it, the end of `--endpoint` does, as both do in `vllm bench`.
fn endpoint(flags: &cli::TargetArgs, file: &mut File, check: &mut Check<'_>) {
    let by_path = flags.endpoint.as_deref().and_then(Endpoint::of_path);
    let by_backend = flags.backend.map(|backend| match backend {
        cli::Backend::OpenaiChat | cli::Backend::Tgi | cli::Backend::TensorrtLlm | cli::Backend::Ollama => {
            Endpoint::Chat
        }
        cli::Backend::Openai
        | cli::Backend::Vllm
        | cli::Backend::Sglang
        | cli::Backend::Lmdeploy
        | cli::Backend::LlamaCpp => Endpoint::Completions,
        cli::Backend::OpenaiResponses => Endpoint::Responses,
    });
    if let Some(endpoint) = by_backend.or(by_path) {
        file.target.endpoint = Some(endpoint);
        // A flag that chooses the API makes the file's own path void.
        if flags.endpoint.is_none()
            && file.target.path.as_deref().and_then(Endpoint::of_path).is_some_and(|other| other != endpoint)
        {
            file.target.path = None;
        }
    }
    if let (Some(path), Some(backend)) = (by_path, by_backend)
        && path != backend
    {
        check.problem(
            "target.path",
            format!("this is the {} API, and `--backend` says {}", path.as_str(), backend.as_str()),
            "`--backend openai-chat` goes with `/v1/chat/completions`, `openai` and `vllm` with `/v1/completions`, `openai-responses` with `/v1/responses`",
        );
    }
}
