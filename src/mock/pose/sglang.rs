//! `SGLang` by the sources of its 0.5.23: models, server info, metrics, events, the JSON log of
//! `--log-requests`, the records of `--export-metrics-to-file`. This file must not know the engine.

use std::fmt::Write as _;

use super::{Label, json, sum};
use crate::clock::UnixNs;
use crate::mock::endpoints::Reply;
use crate::mock::registry::{Finished, Histogram, Registry};
use crate::mock::server::Shared;

pub const VERSION: &str = "0.5.23";

pub fn reply(shared: &Shared, path: &str) -> Option<Reply> {
    let model = json(&shared.embedded.model);
    let body = match path {
        "/v1/models" => format!(
            "{{\"object\":\"list\",\"data\":[{{\"id\":{model},\"object\":\"model\",\"created\":{},\"owned_by\":\"sglang\",\
             \"root\":{model},\"parent\":null,\"max_model_len\":{}}}]}}",
            shared.clock.now().0 / 1_000_000_000,
            shared.embedded.max_model_len
        ),
        "/server_info" | "/get_server_info" => {
            format!("{{\"model_path\":{model},\"internal_states\":[],\"version\":\"{VERSION}\"}}")
        }
        "/version" | "/ping" => {
            let body = b"{\"detail\":\"Not Found\"}".to_vec();
            return Some(Reply { status: 404, content_type: "application/json", body, allow: None });
        }
        _ => return None,
    };
    Some(Reply { status: 200, content_type: "application/json", body: body.into_bytes(), allow: None })
}

pub fn page(engines: &[&Registry], model: &str) -> String {
    let mut page = String::new();
    let labels = format!("engine_type=\"unified\",model_name={}", json(model));
    let streaming = format!("is_streaming=\"true\",{labels}");
    let gauges: [(&str, &str, f64); 3] = [
        (
            "num_running_reqs",
            "The number of running requests.",
            sum(engines, |r| f64::from(r.scheduler.running)),
        ),
        (
            "num_queue_reqs",
            "The number of requests in the waiting queue.",
            sum(engines, |r| f64::from(r.scheduler.waiting)),
        ),
        (
            "token_usage",
            "The token usage.",
            sum(engines, |r| r.scheduler.kv_usage) / engines.len().max(1) as f64,
        ),
    ];
    for (name, help, value) in gauges {
        let _ = write!(
            page,
            "# HELP sglang:{name} {help}\n# TYPE sglang:{name} gauge\nsglang:{name}{{{labels}}} {value:?}\n"
        );
    }
    // Counted when a request has finished.
    let counters: [(&str, &str, f64); 3] = [
        (
            "prompt_tokens_total",
            "Number of prefill tokens processed.",
            sum(engines, |r| r.request_prompt_tokens.sum),
        ),
        (
            "generation_tokens_total",
            "Number of generation tokens processed.",
            sum(engines, |r| r.request_generation_tokens.sum),
        ),
        (
            "num_requests_total",
            "Number of requests processed.",
            sum(engines, |r| (r.success_stop + r.success_length) as f64),
        ),
    ];
    for (name, help, value) in counters {
        let _ = write!(
            page,
            "# HELP sglang:{name} {help}\n# TYPE sglang:{name} counter\nsglang:{name}{{{streaming}}} {value:?}\n"
        );
    }
    histogram(&mut page, "time_to_first_token_seconds", &streaming, engines, |r| &r.time_to_first_token);
    histogram(&mut page, "inter_token_latency_seconds", &labels, engines, |r| &r.inter_token_latency);
    histogram(&mut page, "e2e_request_latency_seconds", &streaming, engines, |r| &r.e2e);
    histogram(&mut page, "queue_time_seconds", &labels, engines, |r| &r.queue);
    page
}

fn histogram(
    page: &mut String,
    name: &str,
    labels: &str,
    engines: &[&Registry],
    of: fn(&Registry) -> &Histogram,
) {
    let Some(first) = engines.first().map(|r| of(r)) else { return };
    let _ = write!(page, "# HELP sglang:{name} Histogram.\n# TYPE sglang:{name} histogram\n");
    let mut cumulated = 0;
    for (at, bound) in first.bounds.iter().copied().chain([f64::INFINITY]).enumerate() {
        cumulated += engines.iter().filter_map(|r| of(r).counts.get(at)).sum::<u64>();
        let le = if bound.is_finite() { format!("{bound:?}") } else { "+Inf".to_owned() };
        let _ = writeln!(page, "sglang:{name}_bucket{{le=\"{le}\",{labels}}} {cumulated}.0");
    }
    let total = sum(engines, |r| of(r).sum);
    let _ = write!(
        page,
        "sglang:{name}_count{{{labels}}} {cumulated}.0\nsglang:{name}_sum{{{labels}}} {total:?}\n"
    );
}

/// The first event of a chat.
pub fn role(label: &Label) -> String {
    event(label, &said(label, Some("assistant"), Some("")), None, 0)
}

pub fn text(label: &Label, text: &str, tokens: u32) -> String {
    event(label, &said(label, None, Some(text)), None, tokens)
}

/// The event with the reason of the end.
pub fn ending(label: &Label, done: &Finished) -> String {
    event(label, &said(label, None, label.chat.then_some("")), Some(done.reason.as_str()), done.output_tokens)
}

/// The closing event.
pub fn closing(label: &Label, done: &Finished) -> String {
    format!(
        "{{{},\"choices\":[],\"usage\":{}}}",
        common(label, true),
        usage(done.prompt_tokens, done.output_tokens)
    )
}

pub fn whole(label: &Label, text: &str, done: &Finished) -> String {
    let (reason, text) = (done.reason.as_str(), json(text));
    let told = if label.chat {
        format!(
            "\"message\":{{\"role\":\"assistant\",\"content\":{text},\"reasoning_content\":null,\"tool_calls\":null}}"
        )
    } else {
        format!("\"text\":{text}")
    };
    format!(
        "{{{},\"choices\":[{{\"index\":0,{told},\"logprobs\":null,\"finish_reason\":\"{reason}\",\"matched_stop\":null}}],\
         \"usage\":{},\"metadata\":{{\"weight_version\":\"default\"}}}}",
        common(label, false),
        usage(done.prompt_tokens, done.output_tokens)
    )
}

fn said(label: &Label, role: Option<&str>, text: Option<&str>) -> String {
    let or_null = |text: Option<&str>| text.map_or_else(|| "null".to_owned(), json);
    if label.chat {
        format!(
            "\"delta\":{{\"role\":{},\"content\":{},\"reasoning_content\":null,\"tool_calls\":null}}",
            or_null(role),
            or_null(text)
        )
    } else {
        format!("\"text\":{}", json(text.unwrap_or_default()))
    }
}

fn event(label: &Label, said: &str, reason: Option<&str>, tokens: u32) -> String {
    let reason = reason.map_or_else(|| "null".to_owned(), json);
    let usage = if label.continuous_usage { usage(label.prompt_tokens, tokens) } else { "null".to_owned() };
    format!(
        "{{{},\"choices\":[{{\"index\":0,{said},\"logprobs\":null,\"finish_reason\":{reason},\"matched_stop\":null}}],\
         \"usage\":{usage}}}",
        common(label, true)
    )
}

fn common(label: &Label, streamed: bool) -> String {
    let object = match (label.chat, streamed) {
        (true, true) => "chat.completion.chunk",
        (true, false) => "chat.completion",
        (false, _) => "text_completion",
    };
    format!(
        "\"id\":{},\"object\":\"{object}\",\"created\":{},\"model\":{}",
        label.id, label.created_s, label.model
    )
}

fn usage(prompt: u32, output: u32) -> String {
    format!(
        "{{\"prompt_tokens\":{prompt},\"total_tokens\":{},\"completion_tokens\":{output},\
         \"prompt_tokens_details\":null,\"reasoning_tokens\":0}}",
        prompt + output
    )
}

/// When things happened to a finished request, by the server's own clock.
pub struct Moments {
    pub received: UnixNs,
    pub scheduled: UnixNs,
    pub prefilled: UnixNs,
    pub ttft_s: f64,
}

/// Its record, as `--export-metrics-to-file` writes it.
pub fn record(rid: &str, at: &Moments, done: &Finished) -> String {
    format!(
        "{{\"request_parameters\": \"{{}}\", {}, \"request_finished_ts\": {}}}\n",
        meta(rid, at, done),
        seconds(at.received.plus_seconds(done.e2e_s))
    )
}

/// The log's line about it, as `--log-requests-format json` writes it.
pub fn finished_line(stamp: &str, rid: &str, at: &Moments, done: &Finished) -> String {
    let id = json(rid);
    format!(
        "{{\"timestamp\": \"{stamp}\", \"event\": \"request.finished\", \"rid\": {id}, \"obj\": {{\"rid\": {id}}}, \
         \"out\": {{\"meta_info\": {{{}}}}}}}\n",
        meta(rid, at, done)
    )
}

pub fn received_line(stamp: &str, rid: &str) -> String {
    let id = json(rid);
    format!(
        "{{\"timestamp\": \"{stamp}\", \"event\": \"request.received\", \"rid\": {id}, \"obj\": {{\"rid\": {id}}}}}\n"
    )
}

fn meta(rid: &str, at: &Moments, done: &Finished) -> String {
    let (reason, output) = (done.reason.as_str(), done.output_tokens);
    let reason = if reason == "length" {
        format!("{{\"type\": \"length\", \"length\": {output}}}")
    } else {
        format!("{{\"type\": \"{reason}\", \"matched\": 0}}")
    };
    format!(
        "\"id\": {}, \"finish_reason\": {reason}, \"prompt_tokens\": {}, \"weight_version\": \"default\", \
         \"num_retractions\": {}, \"forward_entry_time\": {}, \"prefill_finished_time\": {}, \"queue_time\": {:?}, \
         \"completion_tokens\": {output}, \"cached_tokens\": {}, \"e2e_latency\": {:?}, \"request_received_ts\": {}, \
         \"first_token_latency\": {:?}",
        json(rid),
        done.prompt_tokens,
        done.preemptions,
        seconds(at.scheduled),
        seconds(at.prefilled),
        done.queue_s,
        done.cached_tokens,
        done.e2e_s,
        seconds(at.received),
        at.ttft_s
    )
}

/// Seconds since 1970, as Python prints a double of them.
fn seconds(at: UnixNs) -> String {
    format!("{:?}", at.0 as f64 / 1e9)
}
