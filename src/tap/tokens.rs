//! Which events of a stream bear tokens, and what else their JSON says. It is read by the thread that
//! writes rows, in batches, so that no stream's tokens wait while another's are read. This file must
//! not know how events come.

use super::exchange::{Exchange, Passed};
use crate::load::openai;

/// Events put aside: when each passed, and where its data ends in `data`.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) events: Vec<(Passed, usize)>,
    pub(super) data: Vec<u8>,
}

/// What the events of one stream have said so far.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    first: Option<Passed>,
    last: Option<Passed>,
    events: u64,
    response_id: Option<String>,
    /// Choices that chunks were about, and those that were ended: a bit each.
    choices: u64,
    finished: u64,
    /// The event was seen that ends a whole answer of the responses API.
    ended: bool,
    /// Cumulative completion tokens of the last chunk that told.
    so_far: Option<u32>,
}

impl Tokens {
    pub(super) fn read(&mut self, batch: &Batch) {
        let mut begin = 0;
        for &(passed, end) in &batch.events {
            let json = batch.data.get(begin..end).unwrap_or_default();
            begin = end;
            if self.bears_token(json) {
                self.first.get_or_insert(passed);
                self.last = Some(passed);
                self.events += 1;
            }
        }
    }

    /// Whether the answer, or each choice of it, was ended.
    pub(super) fn all_finished(&self) -> bool {
        self.ended || (self.finished != 0 && self.finished == self.choices)
    }

    pub(super) fn tell(self, row: &mut Exchange) {
        (row.first_token, row.last_token, row.token_events) = (self.first, self.last, self.events);
        row.response_id = self.response_id;
    }

    /// The load's rule: text, or a chunk of a choice that counts a new token (half a character has no
    /// text yet). Of several choices a chunk counts its own only, which tells nothing.
    fn bears_token(&mut self, json: &[u8]) -> bool {
        if json.is_empty() || json == b"[DONE]" {
            return false;
        }
        let Ok(chunk) = openai::parse_any(json) else { return false };
        if chunk.error.is_some() {
            return false;
        }
        if self.response_id.is_none() {
            self.response_id = chunk.id.map(Into::into);
        }
        self.choices |= chunk.choices;
        self.finished |= chunk.finished;
        self.ended |= chunk.ends;
        let counts_one_of_many = chunk.choices != 0 && self.choices.count_ones() > 1;
        if counts_one_of_many {
            self.so_far = None;
        }
        let told = chunk.usage.filter(|_| !counts_one_of_many).and_then(|usage| usage.completion_tokens);
        let told_all_along = self.events == 0 || self.so_far.is_some();
        let new = told_all_along && told.is_some_and(|now| now > self.so_far.unwrap_or(0));
        self.so_far = told.or(self.so_far);
        chunk.has_text || (chunk.choices != 0 && new)
    }
}
