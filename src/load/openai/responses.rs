//! `/v1/responses`: text or messages in, typed events out. Each event says what it is; the last one says how
//! the answer ended and holds all of it once more. There is no `[DONE]`. This file must not know the other APIs.
//!
//! | event | here |
//! |---|---|
//! | any `….delta` that is not empty | bears tokens; that of `output_text` and `refusal` is visible text |
//! | `response.output_item.added` of a call that has a name | bears tokens: the model made the name |
//! | `response.completed`, `response.incomplete` | the end of a whole answer, with usage; that a length limit ended it is in `incomplete_details` (vLLM says `completed` all the same) |
//! | `response.failed`, `response.cancelled`, `error` | a failure |
//! | the others | repeat or announce what deltas say |
//!
//! How many tokens a delta holds is never said (vLLM puts several into one when its writer is late), so tokens
//! per event stay unknown.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;

use super::Api;
use super::body::{Body, Filling, Input};
use super::chunk::{Chunk, Details, InBand, Usage, no_chunk};
use super::error::{error_text, shorten};
use super::lenient::{Filled, Text, Tokens};
use crate::record::{Endpoint, Prompt, PromptKind};

pub(super) static API: Api = Api {
    endpoint: Endpoint::Responses,
    fill,
    parse,
    ends: |event| ENDS.iter().any(|end| end.as_bytes() == event.name),
    end_in_words: "`response.completed` or `response.incomplete`",
    counts_on_every_chunk: false,
    are_alike: false,
};

/// Events that end a whole answer.
const ENDS: [&str; 2] = ["response.completed", "response.incomplete"];
/// Events whose delta a reader would see.
const VISIBLE: [&str; 2] = ["response.output_text.delta", "response.refusal.delta"];

fn fill<'a>(body: &mut Body<'a>, prompt: &'a Prompt, _: Filling) {
    body.input = Some(match &prompt.kind {
        PromptKind::Text(text) => Input::Text(text),
        PromptKind::Chat(messages) => Input::Messages(messages),
    });
    body.max_output_tokens = prompt.max_tokens;
    // A server may keep each answer for as long as it lives.
    body.store = Some(false);
}

/// Reads one event of a stream, or a whole unstreamed answer.
pub(super) fn parse(data: &[u8]) -> Result<Chunk<'_>, String> {
    let event: Event<'_> = serde_json::from_slice(data).map_err(|error| no_chunk(data, &error))?;
    if event.kind.0.is_some() {
        return Ok(event.says());
    }
    let whole: Answer<'_> = serde_json::from_slice(data).map_err(|error| no_chunk(data, &error))?;
    Ok(whole.says(true))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Event<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    delta: Filled,
    #[serde(borrow)]
    response: Option<Answer<'a>>,
    #[serde(borrow)]
    item: Option<Item<'a>>,
    error: Option<Value>,
    #[serde(borrow)]
    message: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Item<'a> {
    #[serde(borrow)]
    name: Text<'a>,
}

/// The answer as a whole, as far as it has come.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    status: Text<'a>,
    #[serde(borrow)]
    incomplete_details: Option<Incomplete<'a>>,
    usage: Option<Counts>,
    error: Option<Value>,
    metrics: InBand,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Incomplete<'a> {
    #[serde(borrow)]
    reason: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Counts {
    input_tokens: Tokens,
    output_tokens: Tokens,
    input_tokens_details: Details,
}

impl<'a> Event<'a> {
    fn says(self) -> Chunk<'a> {
        let kind = self.kind.0.unwrap_or_default();
        let (kind, answer) = (kind.as_ref(), self.response.unwrap_or_default());
        if ENDS.contains(&kind) {
            return Chunk { ends: true, ..answer.says(true) };
        }
        let error = match kind {
            "response.failed" | "response.cancelled" => Some(answer.failure(kind)),
            "error" => Some(match (self.message.0, &self.error) {
                (Some(message), _) => shorten(&message),
                (None, Some(error)) => error_text(error),
                (None, None) => "the server reported an error and did not say which".to_owned(),
            }),
            _ => self.error.as_ref().map(error_text),
        };
        if error.is_some() {
            return Chunk { error, ..Chunk::default() };
        }
        if kind == "response.output_item.added" {
            let has_text = self.item.is_some_and(|item| item.name.0.is_some());
            return Chunk { has_text, ..Chunk::default() };
        }
        let has_text = self.delta.0 && kind.strip_suffix(".delta").is_some();
        Chunk { has_text, has_content: has_text && VISIBLE.contains(&kind), ..answer.says(false) }
    }
}

impl<'a> Answer<'a> {
    /// `over`: nothing of it is still to come.
    fn says(self, over: bool) -> Chunk<'a> {
        let status = self.status.0.as_deref().unwrap_or_default();
        let failed = matches!(status, "failed" | "cancelled");
        if over && (failed || self.error.is_some()) {
            return Chunk { error: Some(self.failure(status)), ..Chunk::default() };
        }
        let reason = self.incomplete_details.and_then(|details| details.reason.0);
        let finish_reason = over.then(|| reason.or(self.status.0.clone()).map(Cow::into_owned)).flatten();
        let cached_tokens = self.usage.as_ref().and_then(|usage| usage.input_tokens_details.0);
        let usage = self.usage.map(|usage| Usage {
            prompt_tokens: usage.input_tokens.0,
            completion_tokens: usage.output_tokens.0,
        });
        Chunk {
            ends: over && matches!(status, "completed" | "incomplete"),
            id: self.id.0,
            finish_reason,
            usage,
            cached_tokens,
            in_band: (self.metrics != InBand::default()).then_some(self.metrics),
            ..Chunk::default()
        }
    }

    fn failure(&self, how: &str) -> String {
        match &self.error {
            Some(error) => error_text(error),
            None => format!("the answer ended with `{how}`"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn deltas_bear_tokens_and_announcements_do_not() {
        let says = |data: &str| {
            let chunk = parse(data.as_bytes()).unwrap();
            (chunk.has_text, chunk.has_content)
        };
        let cases = [
            (r#"{"type":"response.output_text.delta","delta":"a"}"#, (true, true)),
            (r#"{"type":"response.refusal.delta","delta":"No"}"#, (true, true)),
            (r#"{"type":"response.output_text.delta","delta":""}"#, (false, false)),
            (r#"{"type":"response.reasoning_text.delta","delta":"hm"}"#, (true, false)),
            (r#"{"type":"response.reasoning_summary_text.delta","delta":"hm"}"#, (true, false)),
            (r#"{"type":"response.function_call_arguments.delta","delta":"{\""}"#, (true, false)),
            (
                r#"{"type":"response.output_item.added","item":{"type":"function_call","name":"f"}}"#,
                (true, false),
            ),
            (r#"{"type":"response.output_item.added","item":{"type":"message"}}"#, (false, false)),
            (r#"{"type":"response.output_text.done","text":"all of it"}"#, (false, false)),
            (
                r#"{"type":"response.in_progress","response":{"id":"r","status":"in_progress"}}"#,
                (false, false),
            ),
        ];
        for (data, expected) in cases {
            assert_eq!(says(data), expected, "{data}");
        }
    }

    #[test]
    fn the_last_event_says_how_it_ended_and_what_it_cost() {
        let limit = parse(br#"{"type":"response.completed","response":{"id":"resp_1","status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"usage":{"input_tokens":14,"input_tokens_details":{"cached_tokens":8,"cache_write_tokens":0},"output_tokens":6}}}"#).unwrap();
        assert!(limit.ends && !limit.has_text && limit.choices == 0);
        assert_eq!(limit.finish_reason.as_deref(), Some("max_output_tokens"));
        assert_eq!(limit.usage, Some(Usage { prompt_tokens: Some(14), completion_tokens: Some(6) }));
        assert_eq!(limit.cached_tokens, Some(8));
        let own_end = parse(br#"{"type":"response.completed","response":{"status":"completed","incomplete_details":null,"usage":null}}"#).unwrap();
        assert_eq!((own_end.finish_reason.as_deref(), own_end.usage), (Some("completed"), None));
        assert!(parse(br#"{"type":"response.incomplete"}"#).unwrap().ends);
    }

    #[test]
    fn failures_are_told_in_the_servers_words() {
        let error = |data: &str| parse(data.as_bytes()).unwrap().error.unwrap();
        assert_eq!(
            error(
                r#"{"type":"response.failed","response":{"status":"failed","error":{"code":"server_error","message":"gone"}}}"#
            ),
            "gone"
        );
        assert_eq!(error(r#"{"type":"response.failed"}"#), "the answer ended with `response.failed`");
        assert_eq!(error(r#"{"type":"error","code":"x","message":"too much","param":null}"#), "too much");
        assert_eq!(error(r#"{"error":{"message":"no such model"}}"#), "no such model");
        assert_eq!(error(r#"{"id":"r","status":"cancelled"}"#), "the answer ended with `cancelled`");
        assert!(
            parse(
                br#"{"type":"response.completed","response":{"status":"failed","error":{"message":"no"}}}"#
            )
            .unwrap()
            .error
            .is_some()
        );
    }

    #[test]
    fn other_shapes_are_no_errors() {
        let odd = parse(
            br#"{"type":"response.audio.delta","delta":{"a":1},"item":null,"response":null,"error":null}"#,
        )
        .unwrap();
        assert!(odd.has_text && odd.error.is_none());
        assert_eq!(parse(b"{}").unwrap(), Chunk::default());
        assert!(parse(b"[DONE]").is_err());
    }
}
