//! What one chunk with choices says (chat and text completions), or one whole such answer. Read in one pass
//! over the bytes, without an allocation for what every chunk has: this is the load's costliest step per token.
//! This file must not know when a chunk came.

use std::borrow::Cow;
use std::fmt;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::error::error_text;
use super::lenient::{Count, Filled, Ms, Text, Tokens, absent};

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
    /// The answer is whole, where that is said in another way than choice by choice.
    pub ends: bool,
    pub usage: Option<Usage>,
    /// Of the prompt's tokens those that were cached.
    pub cached_tokens: Option<u32>,
    pub in_band: Option<InBand>,
    pub error: Option<String>,
}

/// Token counts as the server gives them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Usage {
    pub prompt_tokens: Option<u32>,
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

/// What the answer tells of its own times, in milliseconds as sent: vLLM's per-request metrics, whose "time
/// to first token" is prefill (scheduled to first token), or llama.cpp's `timings` (`prompt_ms`,
/// `predicted_ms`), which know no queue.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct InBand {
    pub time_to_first_token_ms: Option<f64>,
    pub generation_time_ms: Option<f64>,
    pub queue_time_ms: Option<f64>,
}

/// Reads one chunk of a stream, or a whole unstreamed answer.
pub fn parse(data: &[u8]) -> Result<Chunk<'_>, String> {
    serde_json::from_slice(data).map_err(|error| no_chunk(data, &error))
}

pub(super) fn no_chunk(data: &[u8], error: &serde_json::Error) -> String {
    let start = data.get(..data.len().min(120)).unwrap_or_default();
    format!("expected a JSON chunk, found `{}` ({error})", String::from_utf8_lossy(start).escape_debug())
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Field {
    Id,
    Choices,
    Usage,
    Metrics,
    Timings,
    Error,
    #[serde(other)]
    Other,
}

struct ChunkVisitor;

impl<'de> Visitor<'de> for ChunkVisitor {
    type Value = Chunk<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Chunk<'de>, A::Error> {
        let mut chunk = Chunk::default();
        while let Some(field) = fields.next_key()? {
            match field {
                Field::Id => chunk.id = fields.next_value::<Text<'de>>()?.0,
                Field::Choices => fields.next_value::<Choices>()?.tell(&mut chunk),
                Field::Usage => {
                    (chunk.usage, chunk.cached_tokens) = fields.next_value::<UsageField>()?.into();
                }
                Field::Metrics | Field::Timings => {
                    let told = fields.next_value::<InBand>()?;
                    chunk.in_band = (told != InBand::default()).then_some(told);
                }
                Field::Error => {
                    chunk.error = fields.next_value::<Option<Value>>()?.as_ref().map(error_text);
                }
                Field::Other => drop(fields.next_value::<IgnoredAny>()?),
            }
        }
        Ok(chunk)
    }
}

/// All choices of a chunk, told together.
#[derive(Default)]
struct Choices {
    about: u64,
    finished: u64,
    has_text: bool,
    has_content: bool,
    finish_reason: Option<String>,
}

impl Choices {
    fn tell(self, chunk: &mut Chunk<'_>) {
        (chunk.choices, chunk.finished) = (self.about, self.finished);
        (chunk.has_text, chunk.has_content) = (self.has_text, self.has_content);
        chunk.finish_reason = self.finish_reason;
    }

    fn add(&mut self, choice: Choice) {
        let bit = 1 << (choice.index.unwrap_or(0) % u64::BITS);
        self.about |= bit;
        self.has_content |= choice.told.content;
        self.has_text |= choice.told.content || choice.told.other;
        if choice.finish_reason.is_some() {
            self.finished |= bit;
            self.finish_reason = choice.finish_reason;
        }
    }
}

struct ChoicesVisitor;

impl<'de> Visitor<'de> for ChoicesVisitor {
    type Value = Choices;

    absent!(Choices::default(); scalars str map);

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Choices, A::Error> {
        let mut choices = Choices::default();
        while let Some(choice) = items.next_element()? {
            choices.add(choice);
        }
        Ok(choices)
    }
}

#[derive(Default)]
struct Choice {
    index: Option<u32>,
    told: Told,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum ChoiceField {
    Index,
    Delta,
    Message,
    Text,
    FinishReason,
    #[serde(other)]
    Other,
}

struct ChoiceVisitor;

impl<'de> Visitor<'de> for ChoiceVisitor {
    type Value = Choice;

    absent!(Choice::default(); scalars str seq);

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Choice, A::Error> {
        let mut choice = Choice::default();
        while let Some(field) = fields.next_key()? {
            match field {
                ChoiceField::Index => choice.index = fields.next_value::<Count>()?.0,
                ChoiceField::Delta | ChoiceField::Message => {
                    let told: Told = fields.next_value()?;
                    choice.told.content |= told.content;
                    choice.told.other |= told.other;
                }
                ChoiceField::Text => choice.told.content |= fields.next_value::<Filled>()?.0,
                ChoiceField::FinishReason => {
                    choice.finish_reason = fields.next_value::<Text<'de>>()?.0.map(Cow::into_owned);
                }
                ChoiceField::Other => drop(fields.next_value::<IgnoredAny>()?),
            }
        }
        Ok(choice)
    }
}

/// What a delta or a message holds.
#[derive(Clone, Copy, Default)]
struct Told {
    content: bool,
    other: bool,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum ToldField {
    #[serde(alias = "refusal")]
    Content,
    // vLLM since 0.11 and others write `reasoning`, older ones `reasoning_content`; the last is of old APIs.
    #[serde(alias = "reasoning_content", alias = "tool_calls", alias = "function_call")]
    Reasoning,
    #[serde(other)]
    Other,
}

struct ToldVisitor;

impl<'de> Visitor<'de> for ToldVisitor {
    type Value = Told;

    absent!(Told::default(); scalars str seq);

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Told, A::Error> {
        let mut told = Told::default();
        while let Some(field) = fields.next_key()? {
            match field {
                ToldField::Content => told.content |= fields.next_value::<Filled>()?.0,
                ToldField::Reasoning => told.other |= fields.next_value::<Filled>()?.0,
                ToldField::Other => drop(fields.next_value::<IgnoredAny>()?),
            }
        }
        Ok(told)
    }
}

/// Usage, where it is an object.
struct UsageField(Option<Usage>, Option<u32>);

impl From<UsageField> for (Option<Usage>, Option<u32>) {
    fn from(UsageField(usage, cached): UsageField) -> Self {
        (usage, cached)
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum UsageKey {
    PromptTokens,
    CompletionTokens,
    PromptTokensDetails,
    #[serde(other)]
    Other,
}

struct UsageVisitor;

impl<'de> Visitor<'de> for UsageVisitor {
    type Value = UsageField;

    absent!(UsageField(None, None); scalars str seq);

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<UsageField, A::Error> {
        let (mut usage, mut cached) = (Usage::default(), None);
        while let Some(key) = fields.next_key()? {
            match key {
                UsageKey::PromptTokens => usage.prompt_tokens = fields.next_value::<Tokens>()?.0,
                UsageKey::CompletionTokens => usage.completion_tokens = fields.next_value::<Tokens>()?.0,
                UsageKey::PromptTokensDetails => cached = fields.next_value::<Details>()?.0,
                UsageKey::Other => drop(fields.next_value::<IgnoredAny>()?),
            }
        }
        Ok(UsageField(Some(usage), cached))
    }
}

/// How many of a prompt's tokens were cached, where the details say that.
struct Details(Option<u32>);

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum DetailsKey {
    CachedTokens,
    #[serde(other)]
    Other,
}

struct DetailsVisitor;

impl<'de> Visitor<'de> for DetailsVisitor {
    type Value = Details;

    absent!(Details(None); scalars str seq);

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Details, A::Error> {
        let mut cached = None;
        while let Some(key) = fields.next_key()? {
            match key {
                DetailsKey::CachedTokens => cached = fields.next_value::<Tokens>()?.0,
                DetailsKey::Other => drop(fields.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Details(cached))
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum InBandKey {
    #[serde(alias = "prompt_ms")]
    TimeToFirstTokenMs,
    #[serde(alias = "predicted_ms")]
    GenerationTimeMs,
    QueueTimeMs,
    #[serde(other)]
    Other,
}

struct InBandVisitor;

impl<'de> Visitor<'de> for InBandVisitor {
    type Value = InBand;

    absent!(InBand::default(); scalars str seq);

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<InBand, A::Error> {
        let mut told = InBand::default();
        while let Some(key) = fields.next_key()? {
            match key {
                InBandKey::TimeToFirstTokenMs => told.time_to_first_token_ms = fields.next_value::<Ms>()?.0,
                InBandKey::GenerationTimeMs => told.generation_time_ms = fields.next_value::<Ms>()?.0,
                InBandKey::QueueTimeMs => told.queue_time_ms = fields.next_value::<Ms>()?.0,
                InBandKey::Other => drop(fields.next_value::<IgnoredAny>()?),
            }
        }
        Ok(told)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Chunk<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ChunkVisitor)
    }
}

/// Types that take any JSON value, through a visitor.
macro_rules! takes_anything {
    ($($type:ty: $visitor:expr,)*) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any($visitor)
            }
        }
    )*};
}

takes_anything! {
    Choices: ChoicesVisitor,
    Choice: ChoiceVisitor,
    Told: ToldVisitor,
    UsageField: UsageVisitor,
    Details: DetailsVisitor,
    InBand: InBandVisitor,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

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
        for reasoning in [
            &br#"{"choices":[{"index":0,"delta":{"reasoning_content":"hm"}}]}"#[..],
            br#"{"choices":[{"index":0,"delta":{"reasoning":"hm","reasoning_content":"hm"}}]}"#,
            br#"{"choices":[{"index":0,"delta":{"function_call":{"name":"f","arguments":""}}}]}"#,
        ] {
            let reasoning = parse(reasoning).unwrap();
            assert!(reasoning.has_text && !reasoning.has_content);
        }
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

    // The closing chunk of a llama.cpp b11549, shortened at `…`.
    #[test]
    fn the_timings_of_llama_cpp_are_prefill_and_decode() {
        let chunk = parse(br#"{"choices":[],"id":"chatcmpl-IJAH1iDM","object":"chat.completion.chunk","usage":{"completion_tokens":4,"prompt_tokens":16,"total_tokens":20,"prompt_tokens_details":{"cached_tokens":0}},"timings":{"cache_n":0,"prompt_n":16,"prompt_ms":1.597,"prompt_per_token_ms":0.0998125,"prompt_per_second":10018.785222291797,"predicted_n":4,"predicted_ms":0.961,"predicted_per_token_ms":0.3203333333333333,"predicted_per_second":3121.7481789802296}}"#).unwrap();
        let expected = InBand {
            time_to_first_token_ms: Some(1.597),
            generation_time_ms: Some(0.961),
            queue_time_ms: None,
        };
        assert_eq!(chunk.in_band, Some(expected));
        assert_eq!(chunk.cached_tokens, Some(0));
        assert_eq!(chunk.usage, Some(Usage { prompt_tokens: Some(16), completion_tokens: Some(4) }));
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
    fn errors_are_read() {
        let chunk =
            parse(br#"{"error":{"message":"EngineCore died","type":"InternalServerError","code":500}}"#)
                .unwrap();
        assert_eq!(chunk.error.as_deref(), Some("EngineCore died"));
        assert!(parse(b"<html>").unwrap_err().starts_with("expected a JSON chunk, found `<html>`"));
    }

    /// What would be made of them would be wrong without a sign of it.
    #[test]
    fn absurd_counts_and_times_are_errors() {
        for count in
            ["-5", "100000001", "9223372036854775808", "-9223372036854775808", "1e40", "-0.5", "1e400"]
        {
            for key in ["prompt_tokens", "completion_tokens"] {
                let error = parse(format!("{{\"usage\":{{\"{key}\":{count}}}}}").as_bytes()).unwrap_err();
                let expected =
                    if count == "1e400" { "number out of range" } else { "expected a count of tokens" };
                assert!(error.contains(expected), "{error}");
            }
        }
        let shapes = parse(br#"{"usage":{"prompt_tokens":null,"completion_tokens":2.5}}"#).unwrap();
        assert_eq!(shapes.usage, Some(Usage::default()), "another shape is no error");
        for ms in ["1e308", "-1e10"] {
            let error = parse(format!("{{\"metrics\":{{\"queue_time_ms\":{ms}}}}}").as_bytes()).unwrap_err();
            assert!(error.contains("at most 30 days in milliseconds"), "{error}");
        }
    }
}
