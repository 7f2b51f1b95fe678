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
#[derive(Default)]
pub(super) struct Details(pub(super) Option<u32>);

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
mod tests;
