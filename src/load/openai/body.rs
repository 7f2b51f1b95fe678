//! Request bodies: what all of a run have in common, and what each API calls its own way. This file must
//! not know how answers look.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::api;
use crate::record::{Endpoint, Message, Prompt};

/// What every body of a run has in common.
#[derive(Clone, Debug)]
pub struct BodyOptions {
    pub endpoint: Endpoint,
    pub model: String,
    pub stream: bool,
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    pub ignore_eos: bool,
    pub extra_body: Map<String, Value>,
}

/// A body as it goes out; what is `None` is left out.
#[derive(Debug, Default, Serialize)]
pub(super) struct Body<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) messages: Option<Cow<'a, [Message]>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) prompt: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) input: Option<Input<'a>>,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stream_options: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_output_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    ignore_eos: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) store: Option<bool>,
}

/// `input` of the responses API.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Input<'a> {
    Text(&'a str),
    Messages(&'a [Message]),
}

/// How a body is asked to be answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filling {
    pub(super) stream: bool,
    /// Usage on every chunk, the only exact count of tokens per chunk.
    pub(super) continuous_usage: bool,
}

impl Filling {
    /// `stream_options`, of the APIs that have it.
    pub(super) fn stream_options(self) -> Option<Value> {
        self.stream.then(|| {
            if self.continuous_usage {
                json!({"include_usage": true, "continuous_usage_stats": true})
            } else {
                json!({"include_usage": true})
            }
        })
    }
}

impl BodyOptions {
    /// The request body for `prompt`. Keys of `extra_body` win over ours, and ours over the prompt's own.
    /// `continuous_usage` asks for usage on every chunk, of an API that has that.
    pub fn body(&self, prompt: &Prompt, continuous_usage: bool) -> serde_json::Result<Vec<u8>> {
        let mut body = Body {
            model: &self.model,
            stream: self.stream,
            temperature: self.temperature,
            top_p: self.top_p,
            ignore_eos: self.ignore_eos,
            ..Body::default()
        };
        let filling = Filling { stream: self.stream, continuous_usage };
        (api(self.endpoint).fill)(&mut body, prompt, filling);
        if self.extra_body.is_empty() && prompt.extra.is_empty() {
            return serde_json::to_vec(&body);
        }
        let mut value = serde_json::to_value(&body)?;
        if let Value::Object(fields) = &mut value {
            for (key, its) in &prompt.extra {
                fields.entry(key).or_insert_with(|| its.clone());
            }
            fields.extend(self.extra_body.iter().map(|(k, v)| (k.clone(), v.clone())));
        }
        serde_json::to_vec(&value)
    }

    /// Whether usage on every chunk can be asked for.
    pub fn can_count(&self) -> bool {
        self.stream && api(self.endpoint).counts_on_every_chunk
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::record::PromptKind;

    fn options(endpoint: Endpoint) -> BodyOptions {
        BodyOptions {
            endpoint,
            model: "tiny".to_owned(),
            stream: true,
            temperature: Some(0.0),
            top_p: None,
            ignore_eos: true,
            extra_body: Map::new(),
        }
    }

    fn prompt(kind: PromptKind) -> Prompt {
        Prompt { kind, max_tokens: Some(8), ..Prompt::default() }
    }

    fn body(endpoint: Endpoint, prompt: &Prompt) -> String {
        String::from_utf8(options(endpoint).body(prompt, true).unwrap()).unwrap()
    }

    #[test]
    fn each_api_asks_in_its_own_words() {
        let text = prompt(PromptKind::Text("a \"b\"".to_owned()));
        insta::assert_snapshot!(body(Endpoint::Chat, &text), @r#"{"model":"tiny","messages":[{"role":"user","content":"a \"b\""}],"stream":true,"stream_options":{"continuous_usage_stats":true,"include_usage":true},"max_tokens":8,"temperature":0.0,"ignore_eos":true}"#);
        insta::assert_snapshot!(body(Endpoint::Completions, &text), @r#"{"model":"tiny","prompt":"a \"b\"","stream":true,"stream_options":{"continuous_usage_stats":true,"include_usage":true},"max_tokens":8,"temperature":0.0,"ignore_eos":true}"#);
        insta::assert_snapshot!(body(Endpoint::Responses, &text), @r#"{"model":"tiny","input":"a \"b\"","stream":true,"max_output_tokens":8,"temperature":0.0,"ignore_eos":true,"store":false}"#);
        let turns = ["user", "assistant", "user"].map(|role| Message::new(role, "x"));
        let chat = prompt(PromptKind::Chat(turns.to_vec()));
        insta::assert_snapshot!(body(Endpoint::Responses, &chat), @r#"{"model":"tiny","input":[{"role":"user","content":"x"},{"role":"assistant","content":"x"},{"role":"user","content":"x"}],"stream":true,"max_output_tokens":8,"temperature":0.0,"ignore_eos":true,"store":false}"#);
    }

    #[test]
    fn extra_body_wins() {
        let mut options = options(Endpoint::Chat);
        options.extra_body.insert("temperature".to_owned(), json!(0.7));
        let prompt = prompt(PromptKind::Text("x".to_owned()));
        let body: Value = serde_json::from_slice(&options.body(&prompt, true).unwrap()).unwrap();
        assert_eq!((&body["temperature"], &body["max_tokens"]), (&json!(0.7), &json!(8)));
    }
}
