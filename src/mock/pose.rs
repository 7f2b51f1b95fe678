//! The look-alike as another server than vLLM: what of paths, pages, answers, ids, heads and log lines is
//! that server's. The engine behind is the same, and so is the truth. Refusals keep vLLM's words. This file
//! must not know what any one of them looks like.

pub mod llama_cpp;
pub mod sglang;

use crate::config::Pose;

use super::body::{Api, Job};
use super::chunks;
use super::endpoints::Reply;
use super::ids::{Ids, RequestIds};
use super::parts::Told;
use super::registry::{Finished, Registry};
use super::server::Shared;
use super::teller::Piece;

/// What all events and bodies of one answer have in common, as JSON.
pub struct Label {
    pub id: String,
    pub model: String,
    pub created_s: i64,
    pub chat: bool,
    pub include_usage: bool,
    pub continuous_usage: bool,
    pub prompt_tokens: u32,
}

impl Label {
    fn of(job: &Job, label: &chunks::Label<'_>) -> Self {
        Self {
            id: json(label.response_id),
            model: json(label.model),
            created_s: label.created_s,
            chat: job.api == Api::Chat,
            include_usage: job.include_usage,
            continuous_usage: job.continuous_usage,
            prompt_tokens: job.prompt.len() as u32,
        }
    }
}

/// Tells an answer in another server's events. Reasoning and calls of tools are told as text.
pub struct Posed {
    pose: Pose,
    label: Label,
}

impl Posed {
    pub fn new(job: &Job, label: &chunks::Label<'_>) -> Self {
        Self { pose: label.pose, label: Label::of(job, label) }
    }

    /// One piece; the first of a chat has the role before it, the last an event with the reason of the end
    /// after it.
    pub fn piece(&self, piece: &Piece<'_>, told: &mut Told) {
        let (l, is_llama) = (&self.label, self.pose == Pose::LlamaCpp);
        if l.chat && piece.tokens == piece.so_far {
            event(&if is_llama { llama_cpp::role(l) } else { sglang::role(l) }, 0, false, told);
        }
        let text =
            if is_llama { llama_cpp::text(l, piece.text) } else { sglang::text(l, piece.text, piece.so_far) };
        event(&text, piece.tokens, !piece.text.is_empty(), told);
        if let Some(done) = piece.done {
            event(
                &if is_llama { llama_cpp::ending(l, done) } else { sglang::ending(l, done) },
                0,
                false,
                told,
            );
        }
    }

    /// The usage, where it is asked for and not told yet, and the end.
    pub fn end(&self, done: &Finished, told: &mut Told) {
        let l = &self.label;
        let closing = match self.pose {
            // Of a text completion it is in the last event.
            Pose::LlamaCpp => l.chat.then(|| llama_cpp::closing(l, done)),
            _ => Some(sglang::closing(l, done)),
        };
        if let Some(closing) = closing.filter(|_| l.include_usage) {
            event(&closing, 0, false, told);
        }
        chunks::done(&mut told.bytes);
        told.event(0, false);
    }
}

fn event(json: &str, tokens: u32, visible: bool, told: &mut Told) {
    chunks::http_chunk(format!("data: {json}\n\n").as_bytes(), &mut told.bytes);
    told.event(tokens, visible);
}

/// An answer at once that is not vLLM's; `None`: as vLLM's.
pub fn reply(shared: &Shared, method: &str, path: &str) -> Option<Reply> {
    match (shared.embedded.pose, method) {
        (Pose::LlamaCpp, "GET") => llama_cpp::reply(shared, path),
        (Pose::Sglang, "GET") => sglang::reply(shared, path),
        _ => None,
    }
}

/// The page of metrics; `None`: vLLM's.
pub fn page(pose: Pose, engines: &[&Registry], model: &str) -> Option<String> {
    match pose {
        Pose::Vllm => None,
        Pose::LlamaCpp => Some(llama_cpp::page(engines)),
        Pose::Sglang => Some(sglang::page(engines, model)),
    }
}

/// Names for a request; `rid` is what the body gives by that name. `None`: as vLLM names it.
pub fn ids(pose: Pose, ids: &mut Ids, rid: Option<&str>) -> Option<RequestIds> {
    let one = |id: String| RequestIds { response: id.clone(), external: id.clone(), internal: id };
    match pose {
        Pose::Vllm => None,
        Pose::LlamaCpp => Some(one(format!("chatcmpl-{}", ids.hex(32)))),
        Pose::Sglang => Some(one(rid.map_or_else(|| ids.hex(32), str::to_owned))),
    }
}

/// A whole answer in one body; `None`: vLLM's.
pub fn whole(job: &Job, label: &chunks::Label<'_>, text: &str, done: &Finished) -> Option<Vec<u8>> {
    let l = Label::of(job, label);
    match label.pose {
        Pose::Vllm => None,
        Pose::LlamaCpp => Some(llama_cpp::whole(&l, text, done).into_bytes()),
        Pose::Sglang => Some(sglang::whole(&l, text, done).into_bytes()),
    }
}

/// A text as JSON.
pub fn json(text: &str) -> String {
    // Texts always serialise.
    serde_json::to_string(text).unwrap_or_default()
}

/// A counter or gauge over all engines.
pub fn sum(engines: &[&Registry], of: impl Fn(&Registry) -> f64) -> f64 {
    engines.iter().map(|registry| of(registry)).sum()
}
