//! What the chunks of an answer say, read when enough of them has gathered or when the answer is over. This file must not
//! know when that is.

use super::Recording;
use super::bounds::{MAX_NAME_BYTES, name_too_long};
use super::pattern::Alike;
use crate::load::openai::{self, Usage};
use crate::record::EventRow;

/// Finish reasons of answers that the model ended itself.
const OF_ITS_OWN: [&str; 3] = ["stop", "tool_calls", "function_call"];

impl Recording {
    pub(super) fn read_gathered(&mut self) {
        let gathered = std::mem::take(&mut self.gathered);
        let data = std::mem::take(&mut self.data);
        let mut begin = 0;
        for event in &gathered {
            let json = data.get(begin..event.data_end).unwrap_or_default();
            begin = event.data_end;
            if json != b"[DONE]" && !json.is_empty() {
                if self.keeps_text {
                    // Each on one line: a break inside is white space between its values.
                    self.kept.extend(json.iter().map(|&byte| if byte == b'\n' { b' ' } else { byte }));
                    self.kept.push(b'\n');
                }
                self.read_chunk(json, event.row, event.offset);
            }
        }
        // Hand the allocations back for the next batch.
        self.gathered = gathered;
        self.gathered.clear();
        self.data = data;
        self.data.clear();
    }

    fn read_chunk(&mut self, json: &[u8], row: EventRow, offset: u64) {
        if let Some(Alike { choices, has_content, usage, cached_tokens }) = self.pattern.alike(json) {
            self.cached_tokens = cached_tokens.or(self.cached_tokens);
            let new_tokens = self.new_tokens(choices, usage);
            self.take_token(row, offset, new_tokens, has_content);
            return;
        }
        let chunk = match (openai::api(self.endpoint).parse)(json) {
            Ok(chunk) => chunk,
            Err(error) => {
                self.decode_error.get_or_insert(error);
                return;
            }
        };
        if let Some(error) = chunk.error {
            self.stream_error.get_or_insert(error);
            return;
        }
        if openai::api(self.endpoint).are_alike {
            self.pattern.learn(json, &chunk);
        }
        if self.response_id.is_none() {
            self.response_id = self.name("an id", chunk.id.map(std::borrow::Cow::into_owned));
        }
        self.cached_tokens = chunk.cached_tokens.or(self.cached_tokens);
        if chunk.finish_reason.is_some() {
            self.finish_reason = self.name("a finish reason", chunk.finish_reason);
        }
        self.choices |= chunk.choices;
        self.finished |= chunk.finished;
        self.done_seen |= chunk.ends;
        let new_tokens = self.new_tokens(chunk.choices, chunk.usage);
        if let Some(in_band) = chunk.in_band {
            self.in_band = in_band;
        }
        // A token may come as a chunk without text (half a character): then only usage tells.
        if chunk.has_text || (chunk.choices != 0 && new_tokens.is_some_and(|n| n > 0)) {
            self.take_token(row, offset, new_tokens, chunk.has_content);
        } else if chunk.finished != 0
            && new_tokens.is_none()
            && self.finish_reason.as_deref().is_some_and(|reason| OF_ITS_OWN.contains(&reason))
        {
            self.closing = Some((row, offset));
        }
    }

    /// Tokens that a chunk about these choices brought, where it tells.
    fn new_tokens(&mut self, choices: u64, usage: Option<Usage>) -> Option<u32> {
        // Of several choices, a chunk counts its own only: not the answer's tokens, and none of the
        // differences that they are made into. The closing chunk, of no choice, counts all.
        let counts_one_of_many = choices != 0 && self.choices.count_ones() > 1;
        if counts_one_of_many {
            (self.usage.completion_tokens, self.tokens_so_far) = (None, None);
        }
        usage.filter(|_| !counts_one_of_many).and_then(|usage| self.tokens_since(usage))
    }

    fn take_token(&mut self, row: EventRow, offset: u64, tokens: Option<u32>, has_content: bool) {
        if has_content {
            self.first_content.get_or_insert(self.events.len());
        }
        self.events.push(EventRow { tokens, ..row });
        if self.keeps_offsets {
            self.offsets.push(offset);
        }
        // What was said to be the end was none.
        self.closing = None;
    }

    /// A model ends its answer with a token that has no text. Where chunks do not count tokens, the event
    /// that says so bears it, if the answer has more tokens than events were seen.
    pub(super) fn read_closing(&mut self) {
        let Some((row, offset)) = self.closing.take().filter(|_| self.choices.is_power_of_two()) else {
            return;
        };
        let shown = self.events.len() as u64;
        if self.usage.completion_tokens.is_some_and(|all| u64::from(all) > shown) {
            self.events.push(row);
            if self.keeps_offsets {
                self.offsets.push(offset);
            }
        }
    }

    /// What a chunk gives as the name of something, if that can be one.
    fn name(&mut self, what: &str, said: Option<String>) -> Option<String> {
        let said = said?;
        if said.len() > MAX_NAME_BYTES {
            self.decode_error.get_or_insert_with(|| name_too_long(what, said.len()));
            return None;
        }
        Some(said)
    }

    /// Tokens since the last chunk that told; `None` when usage comes only at the end, where the
    /// difference would be the whole answer.
    fn tokens_since(&mut self, usage: Usage) -> Option<u32> {
        let told_all_along = self.events.is_empty() || self.tokens_so_far.is_some();
        let before = self.tokens_so_far.unwrap_or(0);
        self.tokens_so_far = usage.completion_tokens.or(self.tokens_so_far);
        self.usage = usage.or(self.usage);
        usage.completion_tokens.filter(|_| told_all_along).map(|now| now.saturating_sub(before))
    }

    pub(super) fn read_body(&mut self) {
        let body = std::mem::take(&mut self.body);
        match (openai::api(self.endpoint).parse)(&body) {
            Ok(chunk) => {
                self.response_id = self.name("an id", chunk.id.map(std::borrow::Cow::into_owned));
                self.stream_error = chunk.error;
                (self.choices, self.finished) = (chunk.choices, chunk.finished);
                self.done_seen |= chunk.ends;
                self.finish_reason = self.name("a finish reason", chunk.finish_reason);
                self.cached_tokens = chunk.cached_tokens;
                self.usage = chunk.usage.unwrap_or_default();
                self.in_band = chunk.in_band.unwrap_or_default();
            }
            Err(error) => self.decode_error = Some(error),
        }
        // Its text may be asked for.
        self.body = body;
    }
}
