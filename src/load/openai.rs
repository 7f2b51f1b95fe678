//! The OpenAI API: what a request body says and what an answer's chunks mean. Pure functions over
//! bytes; this file must not know sockets, time or statistics.

use std::borrow::Cow;
use std::fmt;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};

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
    /// The request body for `prompt`. Keys of `extra_body` win over ours. `continuous_usage` asks for
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
        if self.extra_body.is_empty() {
            return serde_json::to_vec(&body);
        }
        let mut value = serde_json::to_value(&body)?;
        if let Value::Object(fields) = &mut value {
            fields.extend(self.extra_body.iter().map(|(k, v)| (k.clone(), v.clone())));
        }
        serde_json::to_vec(&value)
    }
}

/// What one chunk (or one whole answer) says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chunk<'a> {
    pub id: Option<Cow<'a, str>>,
    /// Visible text, reasoning or a tool call: something made of tokens.
    pub has_text: bool,
    /// Visible text, not reasoning.
    pub has_content: bool,
    /// Which choices (answers to one request) the chunk is about, a bit each; the closing usage chunk
    /// is about none.
    pub choices: u64,
    /// Which of them it ends.
    pub finished: u64,
    pub finish_reason: Option<String>,
    pub usage: Option<Usage>,
    pub in_band: Option<InBand>,
    pub error: Option<String>,
}

/// Token counts as the server gives them; absurd values are taken for absent.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize)]
pub struct Usage {
    #[serde(default, deserialize_with = "lenient_count")]
    pub prompt_tokens: Option<u32>,
    #[serde(default, deserialize_with = "lenient_count")]
    pub completion_tokens: Option<u32>,
}

impl Usage {
    /// What this leaves open is taken from `earlier`.
    #[must_use]
    pub fn or(self, earlier: Self) -> Self {
        Self {
            prompt_tokens: self.prompt_tokens.or(earlier.prompt_tokens),
            completion_tokens: self.completion_tokens.or(earlier.completion_tokens),
        }
    }
}

/// vLLM's per-request metrics, in milliseconds as sent. "Time to first token" is prefill here:
/// scheduled to first token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
pub struct InBand {
    pub time_to_first_token_ms: Option<f64>,
    pub generation_time_ms: Option<f64>,
    pub queue_time_ms: Option<f64>,
}

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow, default)]
    id: Text<'a>,
    #[serde(borrow, default)]
    choices: Option<Vec<Choice<'a>>>,
    #[serde(default)]
    usage: Option<Lenient<Usage>>,
    #[serde(default)]
    metrics: Option<Lenient<InBand>>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default, deserialize_with = "lenient_count")]
    index: Option<u32>,
    #[serde(default)]
    delta: Option<Delta>,
    #[serde(default)]
    message: Option<Delta>,
    #[serde(default)]
    text: Filled,
    #[serde(borrow, default)]
    finish_reason: Text<'a>,
}

#[derive(Deserialize)]
struct Delta {
    #[serde(default)]
    content: Filled,
    #[serde(default)]
    reasoning: Filled,
    #[serde(default)]
    reasoning_content: Filled,
    #[serde(default)]
    tool_calls: Filled,
}

/// Something that another server may give another shape, which is then taken for absent: it must
/// not make a good answer a bad one.
#[derive(Deserialize)]
#[serde(untagged)]
enum Lenient<T> {
    Known(T),
    Other(IgnoredAny),
}

impl<T> Lenient<T> {
    fn known(self) -> Option<T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Other(_) => None,
        }
    }
}

/// Text that is not empty, where there is some.
#[derive(Default)]
struct Text<'a>(Option<Cow<'a, str>>);

/// Whether there is anything: text, a list or an object that is not empty. What it says is never
/// looked at, so it is not copied either.
#[derive(Clone, Copy, Default)]
struct Filled(bool);

/// Takes any JSON value, for [`Text`].
struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Option<Cow<'de, str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok((!text.is_empty()).then_some(Cow::Borrowed(text)))
    }
    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok((!text.is_empty()).then(|| Cow::Owned(text.to_owned())))
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(number.to_string())))
    }
    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(number.to_string())))
    }
    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

/// Takes any JSON value, for [`Filled`].
struct FilledVisitor;

impl<'de> Visitor<'de> for FilledVisitor {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }
    fn visit_str<E>(self, text: &str) -> Result<bool, E> {
        Ok(!text.is_empty())
    }
    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }
    fn visit_bool<E>(self, _: bool) -> Result<bool, E> {
        Ok(false)
    }
    fn visit_i64<E>(self, _: i64) -> Result<bool, E> {
        Ok(false)
    }
    fn visit_u64<E>(self, _: u64) -> Result<bool, E> {
        Ok(false)
    }
    fn visit_f64<E>(self, _: f64) -> Result<bool, E> {
        Ok(false)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<bool, A::Error> {
        let mut filled = false;
        while items.next_element::<IgnoredAny>()?.is_some() {
            filled = true;
        }
        Ok(filled)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<bool, A::Error> {
        let mut filled = false;
        while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
            filled = true;
        }
        Ok(filled)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor).map(Text)
    }
}

impl<'de> Deserialize<'de> for Filled {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FilledVisitor).map(Filled)
    }
}

/// Reads one chunk of a stream, or a whole unstreamed answer.
pub fn parse(data: &[u8]) -> Result<Chunk<'_>, String> {
    let raw: Raw<'_> = serde_json::from_slice(data).map_err(|error| {
        let start = data.get(..data.len().min(120)).unwrap_or_default();
        format!("expected a JSON chunk, found `{}` ({error})", String::from_utf8_lossy(start).escape_debug())
    })?;
    let mut chunk = Chunk {
        id: raw.id.0,
        usage: raw.usage.and_then(Lenient::known),
        in_band: raw.metrics.and_then(Lenient::known),
        error: raw.error.as_ref().map(error_text),
        ..Chunk::default()
    };
    for choice in raw.choices.unwrap_or_default() {
        let bit = 1 << (choice.index.unwrap_or(0) % u64::BITS);
        let told = choice.delta.as_ref().or(choice.message.as_ref());
        let content = choice.text.0 || told.is_some_and(|d| d.content.0);
        let other = told.is_some_and(|d| d.reasoning.0 || d.reasoning_content.0 || d.tool_calls.0);
        chunk.choices |= bit;
        chunk.has_content |= content;
        chunk.has_text |= content || other;
        if let Some(reason) = choice.finish_reason.0 {
            chunk.finished |= bit;
            chunk.finish_reason = Some(reason.into_owned());
        }
    }
    Ok(chunk)
}

/// The message of an OpenAI error body, or its first characters.
pub fn error_message(body: &[u8]) -> String {
    match serde_json::from_slice::<Value>(body) {
        Ok(value) => match value.get("error").or_else(|| value.get("detail")) {
            Some(error) => error_text(error),
            None => error_text(&value),
        },
        Err(_) => shorten(&String::from_utf8_lossy(body)),
    }
}

fn error_text(error: &Value) -> String {
    match error.get("message").unwrap_or(error) {
        Value::String(text) => shorten(text),
        other => shorten(&other.to_string()),
    }
}

/// One line of a bearable length that does nothing to a terminal.
fn shorten(text: &str) -> String {
    const LONGEST: usize = 300;
    let line: String =
        text.split_whitespace().collect::<Vec<_>>().join(" ").replace(char::is_control, "\u{fffd}");
    if line.chars().count() <= LONGEST { line } else { line.chars().take(LONGEST).chain(['…']).collect() }
}

fn lenient_count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let value = Option::<Value>::deserialize(deserializer)?;
    Ok(value.as_ref().and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok()))
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
        Prompt {
            kind: PromptKind::Text(text.to_owned()),
            max_tokens: Some(max_tokens),
            chars: 0,
            approx_tokens: 0,
        }
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

    // The next three are chunks of vLLM 0.32, shortened at `…`.
    #[test]
    fn a_role_only_chunk_is_no_token() {
        let chunk = parse(br#"{"id":"chatcmpl-sse-chat-contusage","object":"chat.completion.chunk","created":1795533250,"model":"tiny","choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],"usage":{"prompt_tokens":28,"total_tokens":28,"completion_tokens":0,"completion_tokens_details":null},"prompt_token_ids":null,"prompt_text":null}"#).unwrap();
        assert!(!chunk.has_text);
        assert_eq!(chunk.usage.unwrap().completion_tokens, Some(0));
        assert_eq!(chunk.id.as_deref(), Some("chatcmpl-sse-chat-contusage"));
    }

    #[test]
    fn content_reasoning_text_and_tool_calls_bear_tokens() {
        let content =
            parse(br#"{"choices":[{"index":0,"delta":{"content":" app"},"finish_reason":null}]}"#).unwrap();
        assert!(content.has_text && content.has_content);
        let reasoning = parse(br#"{"choices":[{"index":0,"delta":{"reasoning_content":"hm"}}]}"#).unwrap();
        assert!(reasoning.has_text && !reasoning.has_content);
        let tool = parse(br#"{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}"#).unwrap();
        assert!(tool.has_text && !tool.has_content);
        let text = parse(br#"{"choices":[{"index":0,"text":" voice","finish_reason":"length"}]}"#).unwrap();
        assert!(text.has_content);
        assert_eq!(text.finish_reason.as_deref(), Some("length"));
    }

    #[test]
    fn the_usage_chunk_brings_the_in_band_metrics() {
        let chunk = parse(br#"{"id":"x","choices":[],"usage":{"prompt_tokens":22,"total_tokens":38,"completion_tokens":16},"metrics":{"time_to_first_token_ms":18.74,"generation_time_ms":87.74,"queue_time_ms":0.0318,"mean_itl_ms":5.8,"tokens_per_second":150.2}}"#).unwrap();
        assert_eq!(chunk.usage, Some(Usage { prompt_tokens: Some(22), completion_tokens: Some(16) }));
        assert_eq!(chunk.in_band.unwrap().queue_time_ms, Some(0.0318));
    }

    #[test]
    fn a_whole_answer_is_read_the_same_way() {
        let chunk = parse(br#"{"id":"chatcmpl-1","choices":[{"index":0,"message":{"role":"assistant","content":" a"},"finish_reason":"length"}],"usage":{"prompt_tokens":28,"completion_tokens":8}}"#).unwrap();
        assert!(chunk.has_content);
        assert_eq!(chunk.finish_reason.as_deref(), Some("length"));
    }

    #[test]
    fn other_servers_shapes_are_no_errors() {
        // A number for an id, an empty finish reason, usage and metrics of other makes, content in parts.
        let chunk = parse(br#"{"id":7,"choices":[{"index":0,"delta":{"content":[{"type":"text","text":"a"}],"tool_calls":null},"finish_reason":""}],"usage":"many","metrics":{"queue_time_ms":"soon"}}"#).unwrap();
        assert_eq!(chunk.id.as_deref(), Some("7"));
        assert!(
            chunk.has_content
                && chunk.finish_reason.is_none()
                && chunk.usage.is_none()
                && chunk.in_band.is_none()
        );
        let both = parse(br#"{"choices":[{"delta":{"content":"a\u00e9"},"message":{"content":""},"finish_reason":null}],"error":null}"#).unwrap();
        assert!(both.has_content && both.error.is_none());
    }

    #[test]
    fn choices_are_told_apart() {
        let chunk = parse(br#"{"choices":[{"index":2,"delta":{"content":""},"finish_reason":"stop"},{"index":0,"delta":{"content":"x"}}]}"#).unwrap();
        assert_eq!((chunk.choices, chunk.finished), (0b101, 0b100));
        assert_eq!(parse(br#"{"choices":[]}"#).unwrap().choices, 0);
    }

    #[test]
    fn an_error_message_cannot_steer_a_terminal() {
        assert_eq!(error_message(b"\x1b[2J\x07gone"), "\u{fffd}[2J\u{fffd}gone");
    }

    #[test]
    fn errors_are_read_and_absurd_counts_are_absent() {
        let chunk =
            parse(br#"{"error":{"message":"EngineCore died","type":"InternalServerError","code":500}}"#)
                .unwrap();
        assert_eq!(chunk.error.as_deref(), Some("EngineCore died"));
        let odd = parse(br#"{"choices":[],"usage":{"prompt_tokens":-3,"completion_tokens":1e40}}"#).unwrap();
        assert_eq!(odd.usage, Some(Usage::default()));
        assert!(parse(b"<html>").unwrap_err().starts_with("expected a JSON chunk, found `<html>`"));
        assert_eq!(
            error_message(br#"{"error":{"message":"The model `nope` does not exist."}}"#),
            "The model `nope` does not exist."
        );
        assert_eq!(error_message(b"Bad  Gateway\n"), "Bad Gateway");
    }
}
