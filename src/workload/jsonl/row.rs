//! One row of a request file: from JSON to a prompt, or the reason why not. This file must not know
//! files.

use serde_json::{Map, Value};

use super::super::kind;
use super::super::tokens::approx_tokens;
use crate::record::{Message, Prompt, PromptKind, Turn};

/// Keys of a row that are sent on in the body: those of the chat and completions APIs that change what a
/// model does with a prompt, and vLLM's own.
pub const PASSED_ON: &[&str] = &[
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "stop",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
    "logit_bias",
    "reasoning_effort",
    "chat_template_kwargs",
    "structured_outputs",
    "guided_json",
    "min_tokens",
    "ignore_eos",
];

/// Keys of a batch row's body that a run sets itself.
const SET_BY_THE_RUN: &[&str] = &[
    "model",
    "messages",
    "prompt",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "output_tokens",
];

/// Why a row is left out, without its place.
pub type Reason = String;

pub fn row(value: &Value) -> Result<Prompt, Reason> {
    let object = value.as_object().ok_or_else(|| format!("expected an object, found {}", kind(value)))?;
    let (object, inside) = match object.get("body") {
        Some(body) => (
            body.as_object().ok_or_else(|| format!("body: expected an object, found {}", kind(body)))?,
            "body.",
        ),
        None => (object, ""),
    };
    let said = match (object.get("messages"), object.get("prompt")) {
        (Some(messages), _) => {
            PromptKind::Chat(conversation(messages).map_err(|reason| format!("{inside}messages{reason}"))?)
        }
        (None, Some(prompt)) => match prompt.as_str() {
            Some(text) if !text.trim().is_empty() => PromptKind::Text(text.to_owned()),
            Some(_) => return Err(format!("{inside}prompt: expected text, found none")),
            None => {
                return Err(format!("{inside}prompt: expected text, found {}", kind(prompt)));
            }
        },
        (None, None) => {
            let keys: Vec<String> = object.keys().take(5).map(|key| format!("`{key}`")).collect();
            let found = if keys.is_empty() { "no keys".to_owned() } else { keys.join(", ") };
            return Err(format!("expected `{inside}prompt` or `{inside}messages`, found {found}"));
        }
    };
    let mut prompt = made(said, limit(object).map_err(|reason| format!("{inside}{reason}"))?);
    prompt.extra = extra(object, !inside.is_empty()).map_err(|reason| format!("{inside}{reason}"))?;
    prompt.turns = match present(object, "turns") {
        None => Vec::new(),
        Some(Value::Array(turns)) => turns
            .iter()
            .enumerate()
            .map(|(i, turn)| later_turn(turn).map_err(|reason| format!("{inside}turns[{i}]{reason}")))
            .collect::<Result<_, _>>()?,
        Some(other) => return Err(format!("{inside}turns: expected a list, found {}", kind(other))),
    };
    prompt.at_s = seconds(object, "at_s").map_err(|reason| format!("{inside}{reason}"))?;
    prompt.exact_tokens = match present(object, "input_tokens") {
        None => None,
        Some(count) => Some(whole("input_tokens", count).map_err(|reason| format!("{inside}{reason}"))?),
    };
    Ok(prompt)
}

/// What is there, and not null.
fn present<'a>(object: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    object.get(key).filter(|value| !value.is_null())
}

fn limit(object: &Map<String, Value>) -> Result<Option<u32>, Reason> {
    let limit = ["output_tokens", "max_tokens", "max_completion_tokens"]
        .into_iter()
        .find_map(|key| present(object, key).map(|limit| (key, limit)));
    limit.map(|(key, limit)| whole(key, limit)).transpose()
}

fn whole(key: &str, value: &Value) -> Result<u32, Reason> {
    match value.as_u64().and_then(|n| u32::try_from(n).ok()) {
        Some(n) if n > 0 => Ok(n),
        _ => Err(format!("{key}: expected a whole number of 1 or more, found `{value}`")),
    }
}

fn seconds(object: &Map<String, Value>, key: &str) -> Result<Option<f64>, Reason> {
    match present(object, key) {
        None => Ok(None),
        Some(value) => match value.as_f64() {
            Some(s) if s >= 0.0 && s.is_finite() => Ok(Some(s)),
            _ => Err(format!("{key}: expected seconds, 0 or more, found `{value}`")),
        },
    }
}

fn extra(object: &Map<String, Value>, is_body: bool) -> Result<Map<String, Value>, Reason> {
    let is_passed = |key: &str| {
        if is_body { !SET_BY_THE_RUN.contains(&key) && key != "extra_body" } else { PASSED_ON.contains(&key) }
    };
    let mut extra: Map<String, Value> = object
        .iter()
        .filter(|(key, value)| is_passed(key) && !value.is_null())
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    match present(object, "extra_body") {
        None => {}
        Some(Value::Object(more)) => extra.extend(more.clone()),
        Some(other) => return Err(format!("extra_body: expected an object, found {}", kind(other))),
    }
    Ok(extra)
}

fn later_turn(turn: &Value) -> Result<Turn, Reason> {
    let object = turn.as_object().ok_or_else(|| format!(": expected an object, found {}", kind(turn)))?;
    let messages = object.get("messages").ok_or(": expected the key `messages`")?;
    let messages = conversation(messages).map_err(|reason| format!(".messages{reason}"))?;
    let answer = match present(object, "answer") {
        None => None,
        Some(Value::String(text)) => Some(text.clone()),
        Some(other) => return Err(format!(".answer: expected text, found {}", kind(other))),
    };
    let think_s = seconds(object, "think_s").map_err(|reason| format!(".{reason}"))?.unwrap_or(0.0);
    let max_tokens = limit(object).map_err(|reason| format!(".{reason}"))?;
    Ok(Turn { answer, messages, max_tokens, think_s, ..Turn::default() })
}

/// Non-empty messages; each with a content, or with tool calls.
pub fn conversation(messages: &Value) -> Result<Vec<Message>, Reason> {
    let messages =
        messages.as_array().ok_or_else(|| format!(": expected a list, found {}", kind(messages)))?;
    if messages.is_empty() {
        return Err(": expected a message, found none".to_owned());
    }
    let message = |(i, message): (usize, &Value)| {
        let both = || format!("[{i}]: expected the keys `role` and `content`");
        let object = message.as_object().ok_or_else(both)?;
        let role = object.get("role").ok_or_else(both)?;
        let role = role.as_str().ok_or_else(|| format!("[{i}].role: expected text, found {}", kind(role)))?;
        let said = match (object.get("content"), object.get("tool_calls")) {
            (None | Some(Value::Null), Some(_)) => String::new(),
            (Some(said), _) => content(said).map_err(|reason| format!("[{i}].content: {reason}"))?,
            (None, None) => return Err(both()),
        };
        let is_plain = object.len() == 2 && object.get("content").is_some_and(Value::is_string);
        Ok(Message { whole: (!is_plain).then(|| message.clone()), ..Message::new(role, said) })
    };
    messages.iter().enumerate().map(message).collect()
}

/// The text of a content: all of it, or that of its parts.
fn content(content: &Value) -> Result<String, Reason> {
    match content {
        Value::String(text) => Ok(text.clone()),
        Value::Array(parts) if parts.iter().all(Value::is_object) => {
            Ok(parts.iter().filter_map(|part| part.get("text")?.as_str()).collect())
        }
        Value::Array(_) => Err("expected parts that are objects".to_owned()),
        other => Err(format!("expected text, found {}", kind(other))),
    }
}

/// A prompt with its sizes.
pub fn made(kind: PromptKind, max_tokens: Option<u32>) -> Prompt {
    let sizes = |text: &str| (text.chars().count() as u32, approx_tokens(text));
    let (chars, approx_tokens) = match &kind {
        PromptKind::Text(text) => sizes(text),
        PromptKind::Chat(messages) => messages
            .iter()
            .map(|message| sizes(&message.content))
            .fold((0, 0_u32), |all, one| (all.0 + one.0, all.1.saturating_add(one.1))),
    };
    Prompt { kind, max_tokens, chars, approx_tokens, ..Prompt::default() }
}

/// The reader's words without the place, which is said in front.
pub fn not_json(error: &serde_json::Error) -> Reason {
    let said = error.to_string();
    format!("not JSON: {}", said.split(" at line ").next().unwrap_or_default())
}
