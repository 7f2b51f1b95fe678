//! What answers look like on the wire: the JSON of vLLM 0.32 key by key, as server-sent events in
//! one HTTP chunk each, or as one body. What is the same in all events of a request is serialised
//! once. This file must not know when anything is sent.

use std::io::Write as _;

use crate::config::Pose;

use super::body::{Api, Job};
use super::parts::{Part, Said};
use super::registry::Finished;
use super::responses::FUNCTION;
use super::teller::Piece;
use super::tokens::text_hash;

/// Writes the events of one request.
pub struct Chunks {
    /// Up to the list of choices.
    open: Vec<u8>,
    chat: bool,
    include_usage: bool,
    continuous_usage: bool,
    /// The server takes reasoning out of answers.
    reasons: bool,
    /// Of the call of a tool, which has been named.
    call_id: String,
    named: bool,
    prompt_tokens: u32,
    /// Tell cached tokens in the closing usage.
    details: bool,
    fingerprint: String,
    payload: Vec<u8>,
}

/// What every event and body of one answer says of it.
pub struct Label<'a> {
    pub response_id: &'a str,
    /// When the answer was begun, in whole seconds.
    pub created_s: i64,
    pub model: &'a str,
    pub fingerprint: &'a str,
    /// Usage tells cached tokens.
    pub details: bool,
    /// As which server it is told.
    pub pose: Pose,
}

/// The model, its context length and its ids, as `system_fingerprint` shows them.
pub fn fingerprint(model: &str, max_model_len: u32) -> String {
    format!("vllm-0.32.0-{:08x}", text_hash(&format!("{model}/{max_model_len}")) as u32)
}

impl Chunks {
    pub fn new(job: &Job, label: &Label, reasons: bool) -> Self {
        let chat = job.api == Api::Chat;
        let object = if chat { "chat.completion.chunk" } else { "text_completion" };
        let mut open = b"data: ".to_vec();
        push_label(&mut open, label, object);
        Self {
            open,
            chat,
            include_usage: job.include_usage,
            continuous_usage: job.continuous_usage,
            reasons,
            call_id: call_id(label.response_id),
            named: false,
            prompt_tokens: job.prompt.len() as u32,
            details: label.details,
            fingerprint: label.fingerprint.to_owned(),
            payload: Vec::with_capacity(512),
        }
    }

    /// The first event of a chat answer, which names the role; other answers have none.
    pub fn role(&mut self, out: &mut Vec<u8>) {
        if !self.chat {
            return;
        }
        self.begin();
        self.payload.extend_from_slice(
            b"{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,\"finish_reason\":null}]",
        );
        self.usage_so_far(0);
        self.payload.extend_from_slice(b",\"prompt_token_ids\":null,\"prompt_text\":null");
        self.end(out);
    }

    /// An event that says more of the answer.
    pub fn piece(&mut self, piece: &Piece<'_>, out: &mut Vec<u8>) {
        let called = self.named || piece.part == Part::Tool;
        let finish_reason = piece.done.map(|done| match (called, done.reason.is_stop()) {
            (true, true) => "tool_calls",
            _ => done.reason.as_str(),
        });
        self.begin();
        self.delta(piece);
        let payload = &mut self.payload;
        payload.extend_from_slice(b",\"logprobs\":null,\"finish_reason\":");
        match finish_reason {
            None => payload.extend_from_slice(b"null"),
            Some(reason) => push_json(payload, reason),
        }
        payload.extend_from_slice(match (self.chat, finish_reason) {
            (true, None) => b",\"token_ids\":null}]",
            (true, Some(_)) => b",\"stop_reason\":null,\"token_ids\":null}]",
            (false, _) => b",\"stop_reason\":null,\"prompt_token_ids\":null,\"token_ids\":null}]".as_slice(),
        });
        self.usage_so_far(piece.so_far);
        if finish_reason.is_some() && !self.include_usage {
            self.push_fingerprint();
        }
        self.end(out);
    }

    /// What the piece says, up to its `logprobs`.
    fn delta(&mut self, piece: &Piece<'_>) {
        let payload = &mut self.payload;
        if !self.chat {
            payload.extend_from_slice(b"{\"index\":0,\"text\":");
            return push_json(payload, piece.text);
        }
        payload.extend_from_slice(b"{\"index\":0,\"delta\":{");
        match piece.part {
            Part::Text => payload.extend_from_slice(b"\"content\":"),
            Part::Reasoning => payload.extend_from_slice(b"\"reasoning\":"),
            Part::Tool if self.named => {
                payload.extend_from_slice(
                    b"\"content\":null,\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":",
                );
            }
            Part::Tool => {
                // The first tokens of a call are its name.
                self.named = true;
                let id = &self.call_id;
                push(
                    payload,
                    format_args!(
                        "\"content\":null,\"tool_calls\":[{{\"id\":\"{id}\",\"type\":\"function\",\"index\":0,\"function\":{{\"name\":\"{FUNCTION}\"}}}}]}}"
                    ),
                );
                return;
            }
        }
        push_json(payload, piece.text);
        payload.extend_from_slice(if piece.part == Part::Tool { b"}}]}".as_slice() } else { b"}" });
    }

    /// The usage event before the end, if it was asked for; with metrics when the server gives them.
    pub fn usage(&mut self, done: &Finished, in_band: bool, out: &mut Vec<u8>) {
        if !self.include_usage {
            return;
        }
        self.begin();
        let tokens = done.output_tokens;
        let (prompt, total) = (self.prompt_tokens, self.prompt_tokens + tokens);
        let details = if self.reasons { REASONED } else { "" };
        // vLLM leaves a zero out.
        let cached = match done.cached_tokens {
            cached @ 1.. if self.details => {
                format!(",\"prompt_tokens_details\":{{\"cached_tokens\":{cached}}}")
            }
            _ => String::new(),
        };
        push(
            &mut self.payload,
            format_args!(
                "],\"usage\":{{\"prompt_tokens\":{prompt},\"total_tokens\":{total},\"completion_tokens\":{tokens}{cached}{details}}}"
            ),
        );
        self.push_fingerprint();
        if in_band {
            self.payload.extend_from_slice(b",\"metrics\":");
            push_metrics(&mut self.payload, done, false);
        }
        self.end(out);
    }

    fn begin(&mut self) {
        self.payload.clear();
        self.payload.extend_from_slice(&self.open);
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.payload.extend_from_slice(b"}\n\n");
        http_chunk(&self.payload, out);
    }

    fn usage_so_far(&mut self, tokens: u32) {
        if !self.continuous_usage {
            return;
        }
        let (prompt, total) = (self.prompt_tokens, self.prompt_tokens + tokens);
        let details = match (self.chat, self.reasons) {
            (true, true) => REASONED,
            (true, false) => ",\"completion_tokens_details\":null",
            (false, _) => "",
        };
        push(
            &mut self.payload,
            format_args!(
                ",\"usage\":{{\"prompt_tokens\":{prompt},\"total_tokens\":{total},\"completion_tokens\":{tokens}{details}}}"
            ),
        );
    }

    fn push_fingerprint(&mut self) {
        push(&mut self.payload, format_args!(",\"system_fingerprint\":\"{}\"", self.fingerprint));
    }
}

/// The event that ends every stream.
pub fn done(out: &mut Vec<u8>) {
    http_chunk(b"data: [DONE]\n\n", out);
}

/// An error in the middle of a stream, as Python's `json.dumps` writes it.
pub fn stream_error(out: &mut Vec<u8>) {
    let data = "data: {\"error\": {\"message\": \"Internal server error\", \"type\": \"InternalServerError\", \
                \"param\": null, \"code\": 500}}\n\n";
    http_chunk(data.as_bytes(), out);
}

/// A comment line, which every reader of events must skip.
pub fn keep_alive(out: &mut Vec<u8>) {
    http_chunk(b": keep-alive\n\n", out);
}

/// What usage says of reasoning where the server takes it out: vLLM 0.32 counts none of it.
const REASONED: &str = ",\"completion_tokens_details\":{\"reasoning_tokens\":0}";

fn call_id(response_id: &str) -> String {
    format!("chatcmpl-tool-{:016x}", text_hash(response_id))
}

/// What ends a chunked body.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// A whole answer in one body.
pub fn whole(job: &Job, label: &Label, said: &Said, done: &Finished, in_band: bool) -> Vec<u8> {
    let (chat, text) = (job.api == Api::Chat, &said.text);
    let mut out = Vec::with_capacity(1024 + text.len());
    push_label(&mut out, label, if chat { "chat.completion" } else { "text_completion" });
    out.extend_from_slice(b"{\"index\":0,");
    out.extend_from_slice(if chat {
        b"\"message\":{\"role\":\"assistant\",\"content\":"
    } else {
        b"\"text\":"
    });
    push_json(&mut out, text);
    if chat {
        out.extend_from_slice(
            b",\"refusal\":null,\"annotations\":null,\"audio\":null,\"function_call\":null",
        );
        if let Some(arguments) = &said.tool {
            let id = call_id(label.response_id);
            push(
                &mut out,
                format_args!(
                    ",\"tool_calls\":[{{\"id\":\"{id}\",\"type\":\"function\",\"function\":{{\"name\":\"{FUNCTION}\",\"arguments\":"
                ),
            );
            push_json(&mut out, arguments);
            out.extend_from_slice(b"}}]");
        }
        out.extend_from_slice(b",\"reasoning\":");
        push_json(&mut out, &Some(&said.reasoning).filter(|text| !text.is_empty()));
        out.push(b'}');
    }
    let reason = match (&said.tool, done.reason.is_stop()) {
        (Some(_), true) => "tool_calls",
        _ => done.reason.as_str(),
    };
    push(
        &mut out,
        format_args!(
            ",\"logprobs\":null,\"finish_reason\":\"{reason}\",\"stop_reason\":null,\"token_ids\":null"
        ),
    );
    out.extend_from_slice(if chat { b"" } else { b",\"prompt_logprobs\":null,\"prompt_token_ids\":null" });
    let (prompt, output) = (done.prompt_tokens, done.output_tokens);
    let total = prompt + output;
    let cached = match done.cached_tokens {
        cached @ 1.. if label.details => format!("{{\"cached_tokens\":{cached}}}"),
        _ => "null".to_owned(),
    };
    push(
        &mut out,
        format_args!(
            ",\"routed_experts\":null}}],\"service_tier\":null,\"system_fingerprint\":\"{}\",\
             \"usage\":{{\"prompt_tokens\":{prompt},\"total_tokens\":{total},\"completion_tokens\":{output},\
             \"prompt_tokens_details\":{cached},\"completion_tokens_details\":null}}",
            label.fingerprint
        ),
    );
    if chat {
        out.extend_from_slice(b",\"prompt_logprobs\":null,\"prompt_token_ids\":null,\"prompt_text\":null");
    }
    out.extend_from_slice(b",\"kv_transfer_params\":null,\"ec_transfer_params\":null,\"metrics\":");
    if in_band {
        push_metrics(&mut out, done, true);
    } else {
        out.extend_from_slice(b"null");
    }
    out.push(b'}');
    out
}

/// The beginning of every object, up to its choices.
fn push_label(out: &mut Vec<u8>, label: &Label, object: &str) {
    out.extend_from_slice(b"{\"id\":");
    push_json(out, label.response_id);
    push(out, format_args!(",\"object\":\"{object}\",\"created\":{},\"model\":", label.created_s));
    push_json(out, label.model);
    out.extend_from_slice(b",\"choices\":[");
}

/// Wraps a payload in the framing of a chunked body.
pub fn http_chunk(payload: &[u8], out: &mut Vec<u8>) {
    push(out, format_args!("{:x}\r\n", payload.len()));
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}

/// Per-request metrics in milliseconds; what does not exist is left out of a stream, null in a body.
pub fn push_metrics(out: &mut Vec<u8>, done: &Finished, body: bool) {
    let mut values = vec![
        ("time_to_first_token_ms", Some(done.prefill_s * 1000.0)),
        ("generation_time_ms", Some(done.decode_s * 1000.0)),
        ("queue_time_ms", Some(done.queue_s * 1000.0)),
        ("mean_itl_ms", (done.output_tokens > 1).then(|| done.time_per_output_token_s() * 1000.0)),
    ];
    let inference_ms = done.inference_s * 1000.0;
    values.push((
        "tokens_per_second",
        (inference_ms > 0.0).then(|| f64::from(done.output_tokens) / inference_ms * 1000.0),
    ));
    if body {
        values.push(("speculative_decoding", None));
    } else {
        values.retain(|(_, value)| value.is_some());
    }
    for (i, (name, value)) in values.iter().enumerate() {
        push(out, format_args!("{}\"{name}\":", if i == 0 { '{' } else { ',' }));
        match value {
            Some(value) => push_json(out, value),
            None => out.extend_from_slice(b"null"),
        }
    }
    out.push(b'}');
}

pub fn push(out: &mut Vec<u8>, text: std::fmt::Arguments) {
    // Writing to memory does not fail.
    let _ = out.write_fmt(text);
}

pub fn push_json<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    // Texts and numbers always serialise.
    let _ = serde_json::to_writer(out, value);
}
