//! How results are told in the words of `vllm bench serve`: from flags, and from what was asked for. This
//! file must not know what is in such a result.

use super::check::Check;
use super::file::{ArrivalName, File, Rate};
use super::suggest::nearest;
use crate::cli::{self, ResultArgs, RunArgs};
use crate::record::Endpoint;
use crate::record::results::{Asked, METRICS, RampUp, Results, Save, Style};

/// Of a run. The file is as laid over by the flags, and nothing taken from it yet.
pub fn resolve(flags: &RunArgs, file: &File, check: &mut Check<'_>) -> Results {
    let given = Results { asked: asked(flags, file), ..Results::default() };
    laid(&flags.results, given, check)
}

/// The flags laid over what a run was asked for.
pub fn laid(flags: &ResultArgs, mut results: Results, check: &mut Check<'_>) -> Results {
    if flags.save_result || flags.append_result {
        results.save = Some(Save {
            detailed: flags.save_detailed,
            append: flags.append_result,
            dir: flags.result_dir.clone(),
            file: flags.result_filename.clone(),
        });
    }
    match flags.style {
        Some(cli::StyleName::Vllm) => results.style = Style::Vllm,
        Some(cli::StyleName::Tare) => results.style = Style::Tare,
        None => {}
    }
    if !flags.percentile_metrics.is_empty() {
        results.metrics.clone_from(&flags.percentile_metrics);
    }
    let names = METRICS.map(|(name, ..)| name);
    for name in &results.metrics {
        if !names.contains(&name.as_str()) {
            let hint = match nearest(name, names) {
                Some(word) => format!("did you mean `{word}`?"),
                None => "several are parted by commas: ttft,e2el".to_owned(),
            };
            let message = format!("expected of {}, found `{name}`", names.join(", "));
            check.problem("--percentile-metrics", message, hint);
        }
    }
    if !flags.metric_percentiles.is_empty() {
        results.percentiles.clone_from(&flags.metric_percentiles);
    }
    for percentile in &results.percentiles {
        if !(0.0..=100.0).contains(percentile) {
            let message = format!("expected percentiles from 0 to 100, found {percentile}");
            check.problem("--metric-percentiles", message, "for example `--metric-percentiles 50,90,99.9`");
        }
    }
    results
}

/// Flags that are taken and change nothing, to be said; whoever gives them should know.
pub fn idle(flags: &ResultArgs) -> Option<String> {
    let about_the_file = [
        (flags.save_detailed, "--save-detailed"),
        (flags.result_dir.is_some(), "--result-dir"),
        (flags.result_filename.is_some(), "--result-filename"),
    ];
    let named: Vec<&str> = about_the_file.iter().filter(|(given, _)| *given).map(|(_, flag)| *flag).collect();
    let is_idle = !named.is_empty() && !flags.save_result && !flags.append_result;
    is_idle.then(|| {
        format!("{} without --save-result or --append-result: no such file is written", named.join(", "))
    })
}

fn asked(flags: &RunArgs, file: &File) -> Asked {
    let load = &file.load;
    let by_flag = flags.target.backend.and_then(|backend| match backend {
        cli::Backend::OpenaiChat => Some("openai-chat"),
        cli::Backend::Openai => Some("openai"),
        cli::Backend::OpenaiResponses => Some("openai-responses"),
        named => named.server(),
    });
    let by_endpoint = match file.target.endpoint.unwrap_or_default() {
        Endpoint::Chat => "openai-chat",
        Endpoint::Completions => "openai",
        Endpoint::Responses => "openai-responses",
    };
    let rate = load.request_rate.map(|Rate(rate)| rate).filter(|rate| rate.is_finite());
    Asked {
        backend: by_flag.unwrap_or(by_endpoint).to_owned(),
        model: flags.target.model.clone().or_else(|| file.target.model.clone()),
        tokenizer: file.workload.tokenizer.clone(),
        num_prompts: load.requests,
        request_rate: rate,
        burstiness: match load.arrival {
            Some(ArrivalName::Constant) => None,
            _ => Some(load.burstiness.unwrap_or(1.0)).filter(|shape| shape.is_finite()),
        },
        max_concurrency: load.users.or(load.max_concurrency),
        ramp_up: load.ramp_up_strategy.map(|strategy| RampUp {
            strategy: strategy.as_str().to_owned(),
            start_rps: load.ramp_up_start_rps.unwrap_or_default(),
            end_rps: load.ramp_up_end_rps.unwrap_or_default(),
        }),
    }
}
