//! `/v1/chat/completions`: a conversation in, chunks with deltas out. This file must not know the other
//! APIs.

use super::body::{Body, Filling};
use super::{Api, chunk, is_done_marker};
use crate::record::{Endpoint, Prompt};

pub(super) static API: Api = Api {
    endpoint: Endpoint::Chat,
    fill,
    parse: chunk::parse,
    ends: is_done_marker,
    end_in_words: "`finish_reason` or `[DONE]`",
    counts_on_every_chunk: true,
    are_alike: true,
};

fn fill<'a>(body: &mut Body<'a>, prompt: &'a Prompt, filling: Filling) {
    body.messages = Some(prompt.messages());
    body.max_tokens = prompt.max_tokens;
    body.stream_options = filling.stream_options();
}
