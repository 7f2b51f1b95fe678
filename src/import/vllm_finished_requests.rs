//! vLLM's `FinishedRequestStats` as JSON Lines, under vLLM's own names, by whatever stat logger wrote
//! them: `request_id`, `e2e_latency`, `queued_time`, …, with `it_ts`, the step's
//! `iteration_timestamp`, and `eng`, the engine. Lines about steps (`"k": "iter"`) are left out. It
//! must not know what is done with the rows.

use serde::Deserialize;
use serde_json::Value;

use super::input::{Reading, first_lines, json};
use super::tare_stat_log::source;
use super::{Format, Of, Reads, instants};
use crate::record::StatRow;

pub(super) const FORMAT: Format = Format {
    name: "vllm_finished_requests",
    of: Of::StatLog,
    description: "vLLM's FinishedRequestStats as JSON Lines under vLLM's own names",
    reads: Reads::Text {
        recognises: |text| {
            first_lines(text).any(|line| line.contains("\"e2e_latency\"") || line.contains("\"k\": \"iter\""))
        },
        read,
    },
};

#[derive(Deserialize)]
struct Given {
    request_id: Option<String>,
    it_ts: Option<f64>,
    eng: Option<u32>,
    finish_reason: Option<String>,
    e2e_latency: f64,
    queued_time: Option<f64>,
    prefill_time: Option<f64>,
    inference_time: Option<f64>,
    decode_time: Option<f64>,
    num_prompt_tokens: Option<u32>,
    num_generation_tokens: Option<u32>,
    /// vLLM writes −1 where it does not know.
    num_cached_tokens: Option<i64>,
    num_preemptions: Option<u32>,
    max_tokens_param: Option<u32>,
}

fn read(text: &str, reading: &mut Reading<'_>) {
    let source = source(reading.path);
    let mut steps = 0_u64;
    reading.each_line(text, |line_no, line, rows| {
        let value: Value = json(line)?;
        if value.get("k").is_some_and(|kind| kind == "iter") {
            steps += 1;
            return Ok(());
        }
        let g = Given::deserialize(value).map_err(|error| error.to_string())?;
        let ended = g.it_ts.map(|at| instants::since_1970(at, 1e9)).transpose();
        let iteration_unix_ns = ended.map_err(|error| format!("`it_ts`: {error}"))?;
        instants::duration(g.e2e_latency, 1.0).map_err(|error| format!("`e2e_latency`: {error}"))?;
        rows.stats.push(StatRow {
            source: source.clone(),
            line_no,
            read_unix_ns: iteration_unix_ns.unwrap_or_default(),
            pid: None,
            engine: g.eng,
            request_id: g.request_id.unwrap_or_default(),
            trace_id: None,
            finish_reason: g.finish_reason,
            iteration_unix_ns,
            e2e_s: Some(g.e2e_latency),
            ttft_s: None,
            queue_s: g.queued_time,
            prefill_s: g.prefill_time,
            inference_s: g.inference_time,
            decode_s: g.decode_time,
            input_tokens: g.num_prompt_tokens,
            output_tokens: g.num_generation_tokens,
            cached_tokens: g.num_cached_tokens.and_then(|n| u32::try_from(n).ok()),
            preemptions: g.num_preemptions,
            max_tokens: g.max_tokens_param,
        });
        Ok(())
    });
    if steps > 0 {
        reading.notes.push(format!("{source}: {steps} lines about engine steps were left out"));
    }
}
