//! `/v1/completions`: one text in, chunks with text out. This file must not know the other APIs.

use super::body::{Body, Filling};
use super::{Api, chunk, is_done_marker};
use crate::record::{Endpoint, Prompt};

pub(super) static API: Api = Api {
    endpoint: Endpoint::Completions,
    fill,
    parse: chunk::parse,
    ends: is_done_marker,
    end_in_words: "`finish_reason` or `[DONE]`",
    counts_on_every_chunk: true,
    are_alike: true,
};

fn fill<'a>(body: &mut Body<'a>, prompt: &'a Prompt, filling: Filling) {
    body.prompt = Some(prompt.text());
    body.max_tokens = prompt.max_tokens;
    body.stream_options = filling.stream_options();
}
