//! llama.cpp's server as its build 11549 was seen: heads, models, properties, metrics, events with
//! `timings`, log lines. This file must not know the engine.

use std::fmt::Write as _;

use super::{Label, json, sum};
use crate::mock::endpoints::Reply;
use crate::mock::registry::{Finished, Registry};
use crate::mock::server::Shared;

/// What `system_fingerprint` and `/props` say.
pub const BUILD: &str = "b11549-embedded";
const FORM: &str = "application/json; charset=utf-8";

pub fn reply(shared: &Shared, path: &str) -> Option<Reply> {
    let model = json(&shared.embedded.model);
    let created = shared.clock.now().0 / 1_000_000_000;
    let (status, body) = match path {
        "/health" => (200, "{\"status\":\"ok\"}".to_owned()),
        "/v1/models" => (
            200,
            format!(
                "{{\"models\":[{{\"name\":{model},\"model\":{model},\"type\":\"model\"}}],\"object\":\"list\",\
                 \"data\":[{{\"id\":{model},\"aliases\":[{model}],\"tags\":[],\"object\":\"model\",\
                 \"created\":{created},\"owned_by\":\"llamacpp\",\"meta\":{{\"n_ctx\":{}}}}}]}}",
                shared.embedded.max_model_len
            ),
        ),
        "/props" => (
            200,
            format!(
                "{{\"total_slots\":{},\"model_alias\":{model},\"endpoint_metrics\":true,\"build_info\":\"{BUILD}\"}}",
                shared.embedded.max_num_seqs
            ),
        ),
        "/version" | "/ping" => {
            let error =
                "{\"error\":{\"message\":\"File Not Found\",\"type\":\"not_found_error\",\"code\":404}}";
            (404, error.to_owned())
        }
        _ => return None,
    };
    Some(Reply { status, content_type: FORM, body: body.into_bytes(), allow: None })
}

pub fn page(engines: &[&Registry]) -> String {
    let mut page = String::new();
    let finished = |r: &Registry| r.request_generation_tokens.sum;
    let counters: [(&str, &str, f64); 7] = [
        (
            "prompt_tokens_total",
            "Number of prompt tokens processed, excluding cached tokens",
            sum(engines, |r| r.prompt_computed as f64),
        ),
        (
            "prompt_tokens_cached_total",
            "Number of prompt tokens reused from the cache",
            sum(engines, |r| r.prompt_cached as f64),
        ),
        ("prompt_seconds_total", "Total time spent processing prompts", sum(engines, |r| r.prefill.sum)),
        ("tokens_predicted_total", "Number of generation tokens processed", sum(engines, finished)),
        (
            "tokens_predicted_seconds_total",
            "Total time spent generating tokens",
            sum(engines, |r| r.decode.sum),
        ),
        (
            "n_decode_total",
            "Total number of llama_decode() calls, excluding speculative decoding and multimodal decoding",
            sum(engines, |r| r.iteration_tokens.counts.iter().sum::<u64>() as f64),
        ),
        ("n_tokens_max", "Largest observed sequence length (prompt + generation)", 0.0),
    ];
    let gauges: [(&str, &str, f64); 2] = [
        (
            "requests_processing",
            "Number of requests processing",
            sum(engines, |r| f64::from(r.scheduler.running)),
        ),
        (
            "requests_deferred",
            "Number of requests deferred",
            sum(engines, |r| f64::from(r.scheduler.waiting)),
        ),
    ];
    let kinds = [("counter", counters.as_slice()), ("gauge", gauges.as_slice())];
    for (kind, families) in kinds {
        for (name, help, value) in families {
            let _ = write!(
                page,
                "# HELP llamacpp:{name} {help}\n# TYPE llamacpp:{name} {kind}\nllamacpp:{name} {}\n",
                six_digits(*value)
            );
        }
    }
    page
}

/// As C++ streams print a double: six significant digits.
fn six_digits(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let magnitude = value.abs().log10().floor() as i32;
    if !(-5..6).contains(&magnitude) {
        let text = format!("{value:.5e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let exponent: i32 = exponent.parse().unwrap_or_default();
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", trimmed(mantissa), exponent.abs());
    }
    let places = usize::try_from(5 - magnitude).unwrap_or_default();
    trimmed(&format!("{value:.places$}")).to_owned()
}

fn trimmed(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// The first event of a chat.
pub fn role(label: &Label) -> String {
    event(label, "\"delta\":{\"role\":\"assistant\",\"content\":null}", None, "")
}

pub fn text(label: &Label, text: &str) -> String {
    event(label, &said(label, text), None, "")
}

/// The event with the reason of the end; of a text completion, and where usage is not asked for, the last.
pub fn ending(label: &Label, done: &Finished) -> String {
    let said = if label.chat { "\"delta\":{}".to_owned() } else { said(label, "") };
    let told = match (label.chat, label.include_usage) {
        (true, true) => String::new(),
        (_, false) => format!(",\"timings\":{}", timings(done)),
        (false, true) => format!(",\"usage\":{},\"timings\":{}", usage(done), timings(done)),
    };
    event(label, &said, Some(done.reason.as_str()), &told)
}

/// The closing event of a chat.
pub fn closing(label: &Label, done: &Finished) -> String {
    format!(
        "{{\"choices\":[],{},\"usage\":{},\"timings\":{}}}",
        common(label, "chat.completion.chunk"),
        usage(done),
        timings(done)
    )
}

pub fn whole(label: &Label, text: &str, done: &Finished) -> String {
    let reason = done.reason.as_str();
    let (choice, object) = if label.chat {
        let message = format!("\"message\":{{\"role\":\"assistant\",\"content\":{}}}", json(text));
        (format!("{{\"finish_reason\":\"{reason}\",\"index\":0,{message}}}"), "chat.completion")
    } else {
        let text = json(text);
        let choice =
            format!("{{\"text\":{text},\"index\":0,\"logprobs\":null,\"finish_reason\":\"{reason}\"}}");
        (choice, "text_completion")
    };
    format!(
        "{{\"choices\":[{choice}],{},\"usage\":{},\"timings\":{}}}",
        common(label, object),
        usage(done),
        timings(done)
    )
}

fn said(label: &Label, text: &str) -> String {
    if label.chat {
        format!("\"delta\":{{\"content\":{}}}", json(text))
    } else {
        format!("\"text\":{},\"logprobs\":null", json(text))
    }
}

fn event(label: &Label, said: &str, reason: Option<&str>, more: &str) -> String {
    let reason = reason.map_or_else(|| "null".to_owned(), json);
    let object = if label.chat { "chat.completion.chunk" } else { "text_completion" };
    format!(
        "{{\"choices\":[{{\"finish_reason\":{reason},\"index\":0,{said}}}],{}{more}}}",
        common(label, object)
    )
}

fn common(label: &Label, object: &str) -> String {
    format!(
        "\"created\":{},\"id\":{},\"model\":{},\"system_fingerprint\":\"{BUILD}\",\"object\":\"{object}\"",
        label.created_s, label.id, label.model
    )
}

fn usage(done: &Finished) -> String {
    let (prompt, output) = (done.prompt_tokens, done.output_tokens);
    format!(
        "{{\"completion_tokens\":{output},\"prompt_tokens\":{prompt},\"total_tokens\":{},\
         \"prompt_tokens_details\":{{\"cached_tokens\":{}}}}}",
        prompt + output,
        done.cached_tokens
    )
}

fn timings(done: &Finished) -> String {
    let (prompt_ms, predicted_ms) = (milliseconds(done.prefill_s), milliseconds(done.decode_s));
    let computed = done.prompt_tokens - done.cached_tokens;
    let steps = done.output_tokens.saturating_sub(1);
    let per = |ms: f64, n: u32| if n > 0 { ms / f64::from(n) } else { 0.0 };
    let rate = |ms: f64, n: u32| if ms > 0.0 { 1e3 / ms * f64::from(n) } else { 0.0 };
    format!(
        "{{\"cache_n\":{},\"prompt_n\":{computed},\"prompt_ms\":{prompt_ms:?},\"prompt_per_token_ms\":{:?},\
         \"prompt_per_second\":{:?},\"predicted_n\":{},\"predicted_ms\":{predicted_ms:?},\
         \"predicted_per_token_ms\":{:?},\"predicted_per_second\":{:?}}}",
        done.cached_tokens,
        per(prompt_ms, computed),
        rate(prompt_ms, computed),
        done.output_tokens,
        per(predicted_ms, steps),
        rate(predicted_ms, steps)
    )
}

/// It counts whole microseconds.
fn milliseconds(seconds: f64) -> f64 {
    (seconds * 1e6).round() / 1e3
}

/// The lines about a finished task, without their stamps.
pub fn finished(task: u64, done: &Finished) -> [String; 4] {
    let slot = format!("slot print_timing: id  0 | task {task} | ");
    let (prompt_ms, predicted_ms) = (milliseconds(done.prefill_s), milliseconds(done.decode_s));
    let computed = done.prompt_tokens - done.cached_tokens;
    let line = |words: &str, ms: f64, tokens: u32, steps: u32| {
        let (per, rate) = (ms / f64::from(steps.max(1)), 1e3 / ms.max(1e-3) * f64::from(steps));
        format!(
            "{slot}{words} = {ms:10.2} ms / {tokens:5} tokens ({per:8.2} ms per token, {rate:8.2} tokens per second)"
        )
    };
    [
        line("prompt eval time", prompt_ms, computed, computed),
        line("       eval time", predicted_ms, done.output_tokens, done.output_tokens.saturating_sub(1)),
        format!(
            "{slot}      total time = {:10.2} ms / {:5} tokens",
            prompt_ms + predicted_ms,
            computed + done.output_tokens
        ),
        format!(
            "slot      release: id  0 | task {task} | stop processing: n_tokens = {}, truncated = 0",
            done.prompt_tokens + done.output_tokens.saturating_sub(1)
        ),
    ]
}

/// A line with its stamp: minutes, seconds, milliseconds and microseconds since the start.
pub fn stamped(since_start_us: i64, message: &str) -> Vec<u8> {
    let us = since_start_us.max(0);
    let stamp =
        format!("{}.{:02}.{:03}.{:03}", us / 60_000_000, us / 1_000_000 % 60, us / 1_000 % 1_000, us % 1_000);
    format!("{stamp} I {message}\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_printed_as_cpp_prints_them() {
        let cases = [
            (0.0, "0"),
            (38.0, "38"),
            (0.002_246, "0.002246"),
            (10_240.427_4, "10240.4"),
            (1_234_567.0, "1.23457e+06"),
            (0.000_001_2, "1.2e-06"),
            (123_456.0, "123456"),
        ];
        for (value, text) in cases {
            assert_eq!(six_digits(value), text);
        }
    }

    #[test]
    fn a_line_counts_from_the_start() {
        assert_eq!(stamped(75_603_562, "srv  x"), b"1.15.603.562 I srv  x\n");
    }
}
