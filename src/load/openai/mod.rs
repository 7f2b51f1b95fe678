//! The `OpenAI` API: what a request body says and what an answer's chunks mean. What differs between its
//! endpoints is a table, a file each. Pure functions over bytes; this module must not know sockets, time or
//! statistics.

mod answer_text;
mod body;
mod chat;
mod chunk;
mod completions;
mod error;
mod lenient;
mod responses;

use tare_parsers::sse::SseEvent;

pub use self::answer_text::answer_text;
pub use self::body::BodyOptions;
use self::body::{Body, Filling};
pub use self::chunk::{Chunk, InBand, Usage};
pub use self::error::error_message;
use crate::record::{Endpoint, Prompt};

/// One endpoint, described.
pub struct Api {
    pub endpoint: Endpoint,
    /// Puts into a body what this API has a name of its own for.
    fill: for<'a> fn(&mut Body<'a>, &'a Prompt, Filling),
    /// What the data of one event says, or one whole answer.
    pub parse: for<'a> fn(&'a [u8]) -> Result<Chunk<'a>, String>,
    /// Whether this event is the last one of a whole answer; its JSON is not read for that.
    pub ends: fn(&SseEvent<'_>) -> bool,
    /// What a whole answer ends with, in words.
    pub end_in_words: &'static str,
    /// Whether token counts can be asked for on every chunk (where the server understands it).
    pub counts_on_every_chunk: bool,
    /// Whether an answer's chunks can be alike but for a token's text and counts of tokens, of which nothing else is read.
    pub are_alike: bool,
}

/// Every endpoint that requests can be sent to.
pub static APIS: [&Api; 3] = [&chat::API, &completions::API, &responses::API];

/// The endpoint's row of the table.
pub fn api(endpoint: Endpoint) -> &'static Api {
    match endpoint {
        Endpoint::Chat => &chat::API,
        Endpoint::Completions => &completions::API,
        Endpoint::Responses => &responses::API,
    }
}

/// What the data of one event says, by whichever API it is: for those who do not know what was asked.
pub fn parse_any(data: &[u8]) -> Result<Chunk<'_>, String> {
    // Inside a text these quotes would be escaped.
    let is_response = [&b"\"type\":\"response."[..], b"\"type\": \"response.", b"\"object\":\"response\""]
        .iter()
        .any(|sign| data.windows(sign.len()).any(|at| at == *sign));
    if is_response { responses::parse(data) } else { chunk::parse(data) }
}

fn is_done_marker(event: &SseEvent<'_>) -> bool {
    event.data == b"[DONE]"
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_row_for_each_endpoint() {
        for (row, endpoint) in APIS.iter().zip(Endpoint::ALL) {
            assert_eq!(row.endpoint, endpoint);
            assert_eq!(api(endpoint).endpoint, endpoint);
            assert_eq!(Endpoint::of_path(endpoint.path()), Some(endpoint));
        }
        assert_eq!(Endpoint::of_path("/proxy/v1/chat/completions/"), Some(Endpoint::Chat));
        assert_eq!(Endpoint::of_path("/v1/embeddings"), None);
    }

    #[test]
    fn an_event_is_read_by_the_api_that_it_is_of() {
        let token = parse_any(br#"{"type": "response.output_text.delta", "delta": "a"}"#).unwrap();
        assert!(token.has_content);
        let quoted = r#"{"choices":[{"index":0,"delta":{"content":"\"type\":\"response.failed\""}}]}"#;
        assert!(parse_any(quoted.as_bytes()).unwrap().has_content);
    }
}
