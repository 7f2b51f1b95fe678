//! The chunk that is like the last one: of most answers every chunk has the same bytes but for its text and its count of
//! tokens, and reading its JSON was a large part of what the load's threads did for a token. A chunk that was read
//! in full is kept as a pattern; one that matches says the same as it, apart from the count. Whatever does not match is read
//! in full. This file must not know what is done with what a chunk says.

use std::ops::Range;

use crate::load::openai::{Chunk, Usage};

/// Keys whose value is the text of a token. In a chunk with two such texts neither is varied.
const TEXTS: [&[u8]; 4] = [b"\"content\":", b"\"text\":", b"\"reasoning\":", b"\"reasoning_content\":"];
/// Of these the first is used; the second only grows with it.
const COUNTS: [&[u8]; 2] = [b"\"completion_tokens\":", b"\"total_tokens\":"];
/// Longer numbers are no counts of tokens, or ones that are to be refused.
const MAX_DIGITS: usize = 8;
/// Chunks in a row that could be no pattern, or whose pattern nothing matched: another is not tried.
const IN_VAIN: u8 = 4;
/// Longer chunks are few.
const MAX_BYTES: usize = 4096;

/// The last chunk of an answer that was read in full, if others may be like it.
#[derive(Debug, Default)]
pub(super) struct Pattern {
    json: Vec<u8>,
    /// Its text, without the quotes; empty where there is no pattern.
    text: Range<usize>,
    /// Its counts behind the text, in their order.
    numbers: [Option<Number>; 2],
    choices: u64,
    has_content: bool,
    usage: Option<Usage>,
    cached_tokens: Option<u32>,
    was_matched: bool,
    in_vain: u8,
}

/// A count that may vary.
#[derive(Debug)]
struct Number {
    place: Range<usize>,
    is_completion: bool,
}

/// What a chunk like the pattern says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Alike {
    pub(super) choices: u64,
    pub(super) has_content: bool,
    pub(super) usage: Option<Usage>,
    pub(super) cached_tokens: Option<u32>,
}

impl Pattern {
    /// What it takes in memory, about.
    pub(super) fn bytes(&self) -> usize {
        self.json.len()
    }

    /// Makes `json`, which was read and says `chunk`, the pattern, if a chunk like it can only be one more token with text.
    pub(super) fn learn(&mut self, json: &[u8], chunk: &Chunk<'_>) {
        // All that a chunk can say, so that nothing new is forgotten here. The id is the pattern's own.
        let Chunk {
            id: _,
            has_text,
            has_content,
            choices,
            finished,
            finish_reason,
            ends,
            usage,
            cached_tokens,
            in_band,
            error,
        } = chunk;
        let ordinary = *has_text
            && *choices != 0
            && *finished == 0
            && finish_reason.is_none()
            && !ends
            && in_band.is_none()
            && error.is_none();
        if !ordinary || self.in_vain >= IN_VAIN || json.len() > MAX_BYTES {
            return;
        }
        let text = only_text(json).map(|begin| plain(json, begin));
        if text == Some(None) {
            return; // A token with an escape: the next may be like those before it.
        }
        if !self.was_matched {
            self.in_vain += 1;
        }
        let Some(text) = text.flatten() else { return };
        let Some(numbers) = numbers(json, text.end, *usage) else { return };
        self.was_matched = false;
        (self.text, self.numbers) = (text, numbers);
        (self.choices, self.has_content) = (*choices, *has_content);
        (self.usage, self.cached_tokens) = (*usage, *cached_tokens);
        self.json.clear();
        self.json.extend_from_slice(json);
    }

    /// What `json` says, if it is the pattern with another text that is not empty, and other counts.
    pub(super) fn alike(&mut self, json: &[u8]) -> Option<Alike> {
        if self.text.is_empty() {
            return None;
        }
        let rest = json.strip_prefix(self.json.get(..self.text.start)?)?;
        let (text, mut rest) = rest.split_at(rest.iter().position(|&byte| byte == b'"')?);
        // A string of JSON that stands for itself: nothing escaped, nothing that would have to be.
        let plain = !text.is_empty() && text.iter().all(|&byte| byte >= b' ' && byte != b'\\');
        if !plain || std::str::from_utf8(text).is_err() {
            return None;
        }
        let mut usage = self.usage;
        let mut done = self.text.end;
        for Number { place, is_completion } in self.numbers.iter().flatten() {
            rest = rest.strip_prefix(self.json.get(done..place.start)?)?;
            let digits;
            (digits, rest) = rest.split_at(leading_digits(rest));
            let count = count(digits)?;
            if let (true, Some(usage)) = (is_completion, usage.as_mut()) {
                usage.completion_tokens = Some(count);
            }
            done = place.end;
        }
        if rest != self.json.get(done..)? {
            return None;
        }
        (self.was_matched, self.in_vain) = (true, 0);
        let Self { choices, has_content, cached_tokens, .. } = *self;
        Some(Alike { choices, has_content, usage, cached_tokens })
    }
}

/// Where the one text of a chunk begins.
fn only_text(json: &[u8]) -> Option<usize> {
    let values = TEXTS.iter().flat_map(|key| places(json, key)).map(|at| behind_blanks(json, at));
    let mut texts = values.filter(|&at| json.get(at) == Some(&b'"'));
    let begin = texts.next()? + 1;
    texts.next().is_none().then_some(begin)
}

/// The text that begins there, if it is neither empty nor has anything escaped.
fn plain(json: &[u8], begin: usize) -> Option<Range<usize>> {
    let inside = json.get(begin..)?;
    let length = inside.iter().position(|&byte| byte == b'"' || byte == b'\\')?;
    (length > 0 && inside.get(length) == Some(&b'"')).then_some(begin..begin + length)
}

/// The numbers that may vary, in their order; `None` if what `usage` says cannot be found there.
fn numbers(json: &[u8], from: usize, usage: Option<Usage>) -> Option<[Option<Number>; 2]> {
    let Some(completion_tokens) = usage.and_then(|usage| usage.completion_tokens) else {
        return Some([None, None]);
    };
    let find = |key| {
        let mut found = places(json, key);
        let begin = found.next().map(|at| behind_blanks(json, at))?;
        let digits = leading_digits(json.get(begin..)?);
        let number = begin..begin + digits;
        let is_one = found.next().is_none() && begin >= from && count(json.get(number.clone())?).is_some();
        is_one.then_some(number)
    };
    let [completion, total] = COUNTS.map(find);
    let completion = Number { place: completion?, is_completion: true };
    if count(json.get(completion.place.clone())?) != Some(completion_tokens) {
        return None;
    }
    let total = total.map(|place| Number { place, is_completion: false });
    let is_first = total.as_ref().is_some_and(|total| total.place.start < completion.place.start);
    Some(if is_first { [total, Some(completion)] } else { [Some(completion), total] })
}

/// Behind each `key`. What begins with a quote and ends with a colon is a key, or the end of one, wherever it is found in
/// a JSON text.
fn places<'a>(json: &'a [u8], key: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    (0..json.len())
        .filter(move |&at| json.get(at..).is_some_and(|rest| rest.starts_with(key)))
        .map(|at| at + key.len())
}

fn behind_blanks(json: &[u8], at: usize) -> usize {
    at + json.iter().skip(at).take_while(|&&byte| byte == b' ').count()
}

fn leading_digits(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// A number as JSON has it: without zeros before it.
fn count(digits: &[u8]) -> Option<u32> {
    let is_number = match digits {
        [b'0'] => true,
        [b'0', ..] | [] => false,
        digits => digits.len() <= MAX_DIGITS,
    };
    is_number.then(|| digits.iter().fold(0, |value, digit| value * 10 + u32::from(digit - b'0')))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::load::openai::api;
    use crate::record::Endpoint;

    /// As vLLM 0.32 sends them, with counts on every chunk.
    const VLLM: &str = r#"{"id":"chatcmpl-r1","object":"chat.completion.chunk","created":1764229075,"model":"m","choices":[{"index":0,"delta":{"content":" a"},"logprobs":null,"finish_reason":null}],"usage":{"prompt_tokens":32,"total_tokens":45,"completion_tokens":13}}"#;
    const COMPLETIONS: &str = r#"{"id":"cmpl-r1","object":"text_completion","created":1,"model":"m","choices":[{"index":0,"text":" a","logprobs":null,"finish_reason":null,"stop_reason":null}],"usage":null}"#;
    const REASONING: &str = r#"{"id": "c", "choices": [{"index": 0, "delta": {"content": null, "reasoning": "so"}, "finish_reason": null}]}"#;

    fn parse(json: &[u8]) -> Result<Chunk<'_>, String> {
        (api(Endpoint::Chat).parse)(json)
    }

    fn learnt(json: &str) -> Pattern {
        let mut pattern = Pattern::default();
        pattern.learn(json.as_bytes(), &parse(json.as_bytes()).unwrap());
        pattern
    }

    #[test]
    fn a_chunk_that_differs_in_its_text_and_counts_is_alike() {
        let next = VLLM.replace(" a", "é…").replace("45", "146").replace(":13", ":114");
        let usage = Usage { prompt_tokens: Some(32), completion_tokens: Some(114) };
        let alike = Alike { choices: 1, has_content: true, usage: Some(usage), cached_tokens: None };
        assert_eq!(learnt(VLLM).alike(next.as_bytes()), Some(alike));
        let alike = Alike { usage: None, ..alike };
        assert_eq!(learnt(COMPLETIONS).alike(COMPLETIONS.replace(" a", "b").as_bytes()), Some(alike));
        let alike = Alike { has_content: false, ..alike };
        assert_eq!(learnt(REASONING).alike(REASONING.replace("\"so\"", "\"it\"").as_bytes()), Some(alike));
    }

    #[test]
    fn what_differs_in_anything_else_is_read_in_full() {
        let mut pattern = learnt(VLLM);
        for (from, to) in [
            (" a", ""),
            (" a", r"\n"),
            (" a", "\n"),
            (" a", r#"a","role":"b"#),
            ("\"content\":\" a\"", "\"content\":null"),
            ("finish_reason\":null", "finish_reason\":\"stop\""),
            (":13", ":13.5"),
            (":13", ":013"),
            (":13", ":-13"),
            (":13", ":123456789"),
            (":32", ":33"),
            ("chatcmpl-r1", "chatcmpl-r2"),
            ("\"index\":0", "\"index\":1"),
            ("}}", "},\"error\":{}}"),
            ("}}", "}"),
        ] {
            assert_eq!(pattern.alike(VLLM.replace(from, to).as_bytes()), None, "{from} → {to}");
        }
        assert!(pattern.alike(VLLM.as_bytes()).is_some());
        let not_utf8 = [VLLM.replace(" a", "x").as_bytes(), b""].concat();
        let not_utf8: Vec<u8> = not_utf8.iter().map(|&b| if b == b'x' { 0xff } else { b }).collect();
        assert_eq!(pattern.alike(&not_utf8), None);
    }

    #[test]
    fn chunks_that_say_more_than_a_token_are_no_pattern() {
        for json in [
            VLLM.replace("finish_reason\":null", "finish_reason\":\"stop\""),
            VLLM.replace(" a", ""),
            VLLM.replace(" a", r"\u00e9"),
            VLLM.replace("\"logprobs\":null", "\"text\":\"b\""),
            VLLM.replace("\"choices\":[", "\"choices\":[],\"x\":["),
            VLLM.replace("{\"id\"", "{\"metrics\":{\"queue_time_ms\":1.5},\"id\""),
        ] {
            assert_eq!(learnt(&json).alike(json.as_bytes()), None, "{json}");
        }
    }

    /// Whether one is matched by what was learnt of those before it.
    fn finds(pattern: &mut Pattern, json: &str) -> bool {
        let found = pattern.alike(json.as_bytes()).is_some();
        if !found {
            pattern.learn(json.as_bytes(), &parse(json.as_bytes()).unwrap());
        }
        found
    }

    #[test]
    fn a_server_whose_chunks_are_never_alike_is_not_tried_for_ever() {
        let mut pattern = Pattern::default();
        assert!((0..9).all(|id| !finds(&mut pattern, &VLLM.replace("r1", &id.to_string()))));
        assert_eq!(pattern.in_vain, IN_VAIN);
        // Nor is one whose counts come before its text.
        let early = VLLM.replace("{\"id\"", "{\"usage\":{\"completion_tokens\":13},\"id\"");
        let early = early
            .replace(",\"usage\":{\"prompt_tokens\":32,\"total_tokens\":45,\"completion_tokens\":13}", "");
        let mut pattern = Pattern::default();
        assert!((0..9).all(|_| !finds(&mut pattern, &early)));
        assert_eq!(pattern.in_vain, IN_VAIN);
    }

    /// Code and JSON are full of escapes.
    #[test]
    fn tokens_with_escapes_do_not_put_an_end_to_it() {
        let mut pattern = Pattern::default();
        let texts = ["{", r"\n", "name", r#"\":"#, " x", r"\n", r"\t", r"\t", r"\t", r"\t", "}", " y"];
        let found = texts.map(|text| finds(&mut pattern, &VLLM.replace(" a", text)));
        let plain = texts.map(|text| !text.contains('\\') && text != "{");
        assert_eq!(found, plain);
    }

    fn changed(json: &str, edits: &[(usize, u8, u8)]) -> Vec<u8> {
        let mut bytes = json.as_bytes().to_vec();
        for &(at, byte, kind) in edits {
            let at = at % bytes.len();
            match kind % 4 {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => drop(bytes.remove(at)),
                _ => bytes.insert(at, bytes[at]),
            }
        }
        bytes
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4_096, ..ProptestConfig::default() })]

        /// Whatever is done to a chunk: if it still matches, reading it in full says the same.
        #[test]
        fn what_is_alike_says_what_reading_it_says(
            json in prop::sample::select(vec![VLLM, COMPLETIONS, REASONING]),
            edits in prop::collection::vec((any::<usize>(), prop_oneof![any::<u8>(), prop::sample::select(b"\"\\{}[],:0123 en".to_vec())], any::<u8>()), 0..3),
        ) {
            let bytes = changed(json, &edits);
            if let Some(alike) = learnt(json).alike(&bytes) {
                let chunk = parse(&bytes).unwrap();
                let Chunk { choices, has_content, usage, cached_tokens, .. } = chunk;
                prop_assert_eq!(Alike { choices, has_content, usage, cached_tokens }, alike);
                let same = Chunk { usage: None, ..chunk };
                prop_assert_eq!(same, Chunk { usage: None, ..parse(json.as_bytes()).unwrap() });
            }
        }
    }
}
