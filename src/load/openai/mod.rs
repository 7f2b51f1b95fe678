//! The OpenAI API: what a request body says and what an answer's chunks mean. Pure functions over
//! bytes; this module must not know sockets, time or statistics.

mod answer_text;
mod chunk;
mod lenient;

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value, json};

pub use self::answer_text::answer_text;
pub use self::chunk::{Chunk, InBand, Usage, error_message, parse};
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

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<Cow<'a, [Message]>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<Cow<'a, str>>,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    ignore_eos: bool,
}

impl BodyOptions {
    /// The request body for `prompt`. Keys of `extra_body` win over ours, and ours over the prompt's own. `continuous_usage` asks for
    /// usage on every chunk, the only exact count of tokens per chunk.
    pub fn body(&self, prompt: &Prompt, continuous_usage: bool) -> serde_json::Result<Vec<u8>> {
        let (messages, text) = match self.endpoint {
            Endpoint::Chat => (Some(prompt.messages()), None),
            Endpoint::Completions => (None, Some(prompt.text())),
        };
        let stream_options = self.stream.then(|| {
            if continuous_usage {
                json!({"include_usage": true, "continuous_usage_stats": true})
            } else {
                json!({"include_usage": true})
            }
        });
        let body = Body {
            model: &self.model,
            messages,
            prompt: text,
            stream: self.stream,
            stream_options,
            max_tokens: prompt.max_tokens,
            temperature: self.temperature,
            top_p: self.top_p,
            ignore_eos: self.ignore_eos,
        };
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

    fn prompt(text: &str, max_tokens: u32) -> Prompt {
        Prompt { kind: PromptKind::Text(text.to_owned()), max_tokens: Some(max_tokens), ..Prompt::default() }
    }

    #[test]
    fn bodies_ask_for_exact_token_counts() {
        let prompt = prompt("a \"b\"", 8);
        let body = String::from_utf8(options(Endpoint::Chat).body(&prompt, true).unwrap()).unwrap();
        insta::assert_snapshot!(body, @r#"{"model":"tiny","messages":[{"role":"user","content":"a \"b\""}],"stream":true,"stream_options":{"continuous_usage_stats":true,"include_usage":true},"max_tokens":8,"temperature":0.0,"ignore_eos":true}"#);
        let body = String::from_utf8(options(Endpoint::Completions).body(&prompt, true).unwrap()).unwrap();
        assert!(body.contains(r#""prompt":"a \"b\"""#));
    }

    #[test]
    fn extra_body_wins() {
        let mut options = options(Endpoint::Chat);
        options.extra_body.insert("temperature".to_owned(), json!(0.7));
        let prompt = prompt("x", 3);
        let body: Value = serde_json::from_slice(&options.body(&prompt, true).unwrap()).unwrap();
        assert_eq!((&body["temperature"], &body["max_tokens"]), (&json!(0.7), &json!(3)));
    }
}
