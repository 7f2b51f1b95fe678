//! The embedded server's parameters: from the file's section, from `tare serve`'s flags, and back
//! to flags, with which a run starts its child. This file must not know what they do.

use super::check::{Check, Limits, Origins};
use super::file::{self, File};
use super::{Embedded, LogFormat, Pose};
use crate::cli::{LogFormatName, PoseName, ServeArgs};
use crate::error::Failure;

/// The file's section `embedded`. It serves the model that the run asks for, unless told otherwise.
pub fn from_file(file: &File, seed: u64, check: &mut Check<'_>) -> Embedded {
    let mut given = file.embedded.clone();
    given.seed = given.seed.or(Some(seed));
    given.model = given.model.or_else(|| file.target.model.clone());
    resolve(given, check)
}

/// The flags of `tare serve`. Spans are made when there is somewhere to send them.
pub fn from_flags(flags: &ServeArgs) -> Result<Embedded, Failure> {
    let (engine, says, clock) = (&flags.engine, &flags.says, &flags.clock);
    let switch = |on: bool, off: bool| if off { Some(false) } else { on.then_some(true) };
    let given = file::Embedded {
        model: engine.model.clone(),
        pose: engine.pose.map(|name| match name {
            PoseName::Vllm => Pose::Vllm,
            PoseName::Sglang => Pose::Sglang,
            PoseName::LlamaCpp => Pose::LlamaCpp,
        }),
        seed: engine.seed,
        max_num_seqs: engine.max_num_seqs,
        max_num_batched_tokens: engine.max_num_batched_tokens,
        max_model_len: engine.max_model_len,
        num_gpu_blocks_override: engine.num_gpu_blocks_override,
        prefill_us_per_token: engine.prefill_us_per_token,
        decode_base_ms: engine.decode_base_ms,
        decode_per_seq_ms: engine.decode_per_seq_ms,
        jitter: engine.jitter,
        frontend_ms: engine.frontend_ms,
        frontend_us_per_token: engine.frontend_us_per_token,
        mean_output_tokens: engine.mean_output_tokens,
        api_server_count: engine.api_server_count,
        data_parallel_size: engine.data_parallel_size,
        log_stats_interval_s: says.log_stats_interval_s,
        enable_log_requests: switch(says.enable_log_requests, says.no_enable_log_requests),
        enable_log_outputs: Some(says.enable_log_outputs),
        enable_log_deltas: Some(!says.no_enable_log_deltas),
        enable_logging_iteration_details: Some(says.enable_logging_iteration_details),
        enable_per_request_metrics: switch(
            says.enable_per_request_metrics,
            says.no_enable_per_request_metrics,
        ),
        enable_prompt_tokens_details: Some(says.enable_prompt_tokens_details),
        log_format: says.log_format.map(|name| match name {
            LogFormatName::Default => LogFormat::Default,
            LogFormatName::Us => LogFormat::Us,
            LogFormatName::Json => LogFormat::Json,
            LogFormatName::V0_10 => LogFormat::V0_10,
        }),
        stat_log: Some(flags.stat_log.is_some()),
        spans: Some(flags.otlp_endpoint.is_some()),
        clock_offset_ms: clock.clock_offset_ms,
        clock_drift_ppm: clock.clock_drift_ppm,
        clock_step_ms: clock.clock_step_ms,
        clock_step_at_s: clock.clock_step_at_s,
        faults: Some(flags.fault.clone()),
    };
    let mut origins = Origins::new(None);
    for (field, flag) in FLAGS {
        origins.came_from(field, flag);
    }
    let mut check = Check::new(&origins);
    let embedded = resolve(given, &mut check);
    check.finish()?;
    Ok(embedded)
}

/// The flags of `tare serve` that make it serve `embedded`; where it listens, and where spans and the
/// stat log go, is for the caller to add.
pub fn to_flags(embedded: &Embedded) -> Vec<String> {
    let Embedded {
        model,
        pose,
        seed,
        max_num_seqs,
        max_num_batched_tokens,
        max_model_len,
        num_gpu_blocks_override,
        prefill_us_per_token,
        decode_base_ms,
        decode_per_seq_ms,
        jitter,
        frontend_ms,
        frontend_us_per_token,
        mean_output_tokens,
        api_server_count,
        log_stats_interval_s,
        data_parallel_size,
        enable_log_requests,
        enable_log_outputs,
        enable_log_deltas,
        enable_logging_iteration_details,
        enable_per_request_metrics,
        enable_prompt_tokens_details,
        log_format,
        stat_log: _,
        spans: _,
        clock_offset_ms,
        clock_drift_ppm,
        clock_step_ms,
        clock_step_at_s,
        faults,
    } = embedded;
    let no = |on: bool| if on { "--" } else { "--no-" };
    let mut flags = vec![
        format!("--model={model}"),
        format!("--as={}", pose.as_str()),
        format!("--seed={seed}"),
        format!("--max-num-seqs={max_num_seqs}"),
        format!("--max-num-batched-tokens={max_num_batched_tokens}"),
        format!("--max-model-len={max_model_len}"),
        format!("--prefill-us-per-token={prefill_us_per_token}"),
        format!("--decode-base-ms={decode_base_ms}"),
        format!("--decode-per-seq-ms={decode_per_seq_ms}"),
        format!("--jitter={jitter}"),
        format!("--frontend-ms={frontend_ms}"),
        format!("--frontend-us-per-token={frontend_us_per_token}"),
        format!("--mean-output-tokens={mean_output_tokens}"),
        format!("--api-server-count={api_server_count}"),
        format!("--data-parallel-size={data_parallel_size}"),
        format!("--log-stats-interval-s={log_stats_interval_s}"),
        format!("{}enable-log-requests", no(*enable_log_requests)),
        format!("{}enable-per-request-metrics", no(*enable_per_request_metrics)),
        format!("--log-format={}", log_format.as_str()),
        format!("--clock-offset-ms={clock_offset_ms}"),
        format!("--clock-drift-ppm={clock_drift_ppm}"),
    ];
    if let Some(at_s) = clock_step_at_s {
        flags.push(format!("--clock-step-ms={clock_step_ms}"));
        flags.push(format!("--clock-step-at-s={at_s}"));
    }
    flags.extend(num_gpu_blocks_override.map(|blocks| format!("--num-gpu-blocks-override={blocks}")));
    let switches = [
        (*enable_prompt_tokens_details, "--enable-prompt-tokens-details"),
        (*enable_log_outputs, "--enable-log-outputs"),
        (!*enable_log_deltas, "--no-enable-log-deltas"),
        (*enable_logging_iteration_details, "--enable-logging-iteration-details"),
    ];
    flags.extend(switches.iter().filter(|(on, _)| *on).map(|(_, flag)| (*flag).to_owned()));
    flags.extend(faults.iter().map(|fault| format!("--fault={fault}")));
    flags
}

const FLAGS: &[(&str, &str)] = &[
    ("embedded.model", "--model"),
    ("embedded.seed", "--seed"),
    ("embedded.max_num_seqs", "--max-num-seqs"),
    ("embedded.max_num_batched_tokens", "--max-num-batched-tokens"),
    ("embedded.max_model_len", "--max-model-len"),
    ("embedded.num_gpu_blocks_override", "--num-gpu-blocks-override"),
    ("embedded.prefill_us_per_token", "--prefill-us-per-token"),
    ("embedded.decode_base_ms", "--decode-base-ms"),
    ("embedded.decode_per_seq_ms", "--decode-per-seq-ms"),
    ("embedded.jitter", "--jitter"),
    ("embedded.frontend_ms", "--frontend-ms"),
    ("embedded.frontend_us_per_token", "--frontend-us-per-token"),
    ("embedded.mean_output_tokens", "--mean-output-tokens"),
    ("embedded.api_server_count", "--api-server-count"),
    ("embedded.data_parallel_size", "--data-parallel-size"),
    ("embedded.enable_log_outputs", "--enable-log-outputs"),
    ("embedded.log_stats_interval_s", "--log-stats-interval-s"),
    ("embedded.clock_offset_ms", "--clock-offset-ms"),
    ("embedded.clock_drift_ppm", "--clock-drift-ppm"),
    ("embedded.clock_step_ms", "--clock-step-ms"),
    ("embedded.clock_step_at_s", "--clock-step-at-s"),
    ("embedded.faults", "--fault"),
];

/// How far the wall clock may be off: 115 days.
const DISTANCE: Limits = Limits::from(-1e10, 1e10, "milliseconds");

fn resolve(given: file::Embedded, check: &mut Check<'_>) -> Embedded {
    let usual = Embedded::default();
    if given.model.as_ref().is_some_and(|model| model.trim().is_empty()) {
        check.problem(
            "embedded.model",
            "expected a name, found nothing",
            format!("left out, it is {}", usual.model),
        );
    }
    let step_at_s = step_at_s(&given, check);
    let num_gpu_blocks_override = blocks(&given, check);
    let enable_log_requests = given.enable_log_requests.unwrap_or(usual.enable_log_requests);
    let enable_log_outputs = given.enable_log_outputs.unwrap_or(usual.enable_log_outputs);
    if enable_log_outputs && !enable_log_requests {
        let message = "outputs are logged only where requests are";
        check.problem("embedded.enable_log_outputs", message, "leave `enable_log_requests` on, or this off");
    }
    let faults = given.faults.unwrap_or_default();
    if faults.iter().any(|fault| fault.trim().is_empty()) {
        check.problem("embedded.faults", "expected a fault, found nothing", "leave it out");
    }
    let micros = Limits::from(0.0, 60e6, "microseconds");
    let millis = Limits::from(0.0, 60e3, "milliseconds");
    let count = 1..=1_000_000;
    Embedded {
        model: given.model.unwrap_or(usual.model),
        pose: given.pose.unwrap_or_default(),
        seed: given.seed.unwrap_or(usual.seed),
        max_num_seqs: check.whole(
            "embedded.max_num_seqs",
            given.max_num_seqs,
            usual.max_num_seqs,
            count.clone(),
        ),
        max_num_batched_tokens: check.whole(
            "embedded.max_num_batched_tokens",
            given.max_num_batched_tokens,
            usual.max_num_batched_tokens,
            count,
        ),
        max_model_len: check.whole(
            "embedded.max_model_len",
            given.max_model_len,
            usual.max_model_len,
            1..=100_000_000,
        ),
        num_gpu_blocks_override,
        prefill_us_per_token: check.real(
            "embedded.prefill_us_per_token",
            given.prefill_us_per_token,
            usual.prefill_us_per_token,
            micros,
        ),
        decode_base_ms: check.real(
            "embedded.decode_base_ms",
            given.decode_base_ms,
            usual.decode_base_ms,
            Limits::above(0.0, 60e3, "milliseconds"),
        ),
        decode_per_seq_ms: check.real(
            "embedded.decode_per_seq_ms",
            given.decode_per_seq_ms,
            usual.decode_per_seq_ms,
            millis,
        ),
        jitter: check.real("embedded.jitter", given.jitter, usual.jitter, Limits::from(0.0, 1.0, "")),
        frontend_ms: check.real("embedded.frontend_ms", given.frontend_ms, usual.frontend_ms, millis),
        frontend_us_per_token: check.real(
            "embedded.frontend_us_per_token",
            given.frontend_us_per_token,
            usual.frontend_us_per_token,
            micros,
        ),
        mean_output_tokens: check.real(
            "embedded.mean_output_tokens",
            given.mean_output_tokens,
            usual.mean_output_tokens,
            Limits::from(1.0, 1e6, ""),
        ),
        api_server_count: check.whole(
            "embedded.api_server_count",
            given.api_server_count,
            usual.api_server_count,
            1..=64,
        ),
        data_parallel_size: check.whole(
            "embedded.data_parallel_size",
            given.data_parallel_size,
            usual.data_parallel_size,
            1..=64,
        ),
        log_stats_interval_s: check.real(
            "embedded.log_stats_interval_s",
            given.log_stats_interval_s,
            usual.log_stats_interval_s,
            Limits::from(0.1, 3600.0, "seconds"),
        ),
        enable_log_requests,
        enable_log_outputs,
        enable_log_deltas: given.enable_log_deltas.unwrap_or(usual.enable_log_deltas),
        enable_logging_iteration_details: given
            .enable_logging_iteration_details
            .unwrap_or(usual.enable_logging_iteration_details),
        enable_per_request_metrics: given
            .enable_per_request_metrics
            .unwrap_or(usual.enable_per_request_metrics),
        enable_prompt_tokens_details: given
            .enable_prompt_tokens_details
            .unwrap_or(usual.enable_prompt_tokens_details),
        log_format: given.log_format.unwrap_or(usual.log_format),
        stat_log: given.stat_log.unwrap_or(usual.stat_log),
        spans: given.spans.unwrap_or(usual.spans),
        clock_offset_ms: check.real(
            "embedded.clock_offset_ms",
            given.clock_offset_ms,
            usual.clock_offset_ms,
            DISTANCE,
        ),
        clock_drift_ppm: check.real(
            "embedded.clock_drift_ppm",
            given.clock_drift_ppm,
            usual.clock_drift_ppm,
            Limits::from(-1e5, 1e5, "millionths"),
        ),
        clock_step_ms: check.real(
            "embedded.clock_step_ms",
            given.clock_step_ms,
            usual.clock_step_ms,
            DISTANCE,
        ),
        clock_step_at_s: step_at_s,
        faults,
    }
}

/// Enough for one full context, or a request could never be computed; vLLM does not start with fewer.
fn blocks(given: &file::Embedded, check: &mut Check<'_>) -> Option<u64> {
    const TOKENS: u64 = 16;
    let longest = u64::from(given.max_model_len.unwrap_or(Embedded::default().max_model_len));
    let blocks = given.num_gpu_blocks_override?;
    let least = longest.div_ceil(TOKENS);
    if blocks < least {
        let message = format!("expected at least {least} blocks of {TOKENS} tokens, found {blocks}");
        let hint = format!("a request may have {longest} tokens (`max_model_len`), which must find room");
        check.problem("embedded.num_gpu_blocks_override", message, hint);
    }
    Some(blocks)
}

/// A step has a length and a moment, or there is none.
fn step_at_s(given: &file::Embedded, check: &mut Check<'_>) -> Option<f64> {
    const MOMENT: &str = "embedded.clock_step_at_s";
    match (given.clock_step_ms, given.clock_step_at_s) {
        (Some(_), None) => {
            let message = "expected seconds after the start at which the clock is set, found nothing";
            check.problem(MOMENT, message, "say when, or leave the step out");
        }
        (None, Some(_)) => {
            let message = "expected milliseconds by which the clock is set, found nothing";
            check.problem("embedded.clock_step_ms", message, "say how far, or leave the moment out");
        }
        _ => {}
    }
    check.real_or_none(
        MOMENT,
        given.clock_step_at_s,
        Limits::from(0.0, 1e6, "seconds"),
        "left out, the clock is not set",
    )
}
