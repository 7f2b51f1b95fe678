//! The look-alike's tokenizer: a rule, not a vocabulary. It decides usage counts, limits, costs and
//! prefix-cache blocks, so it has to be deterministic and to give about as many tokens as English
//! does (four or five characters each); it need not agree with any model's.
//!
//! The rule: a run of letters and digits, with the one space before it, is cut into pieces of at
//! most six bytes (never inside a character); every other character is a token of its own. A
//! conversation is wrapped as chat templates do: three marker tokens and a line break per message.
//! This file must not know what tokens cost.

/// Bytes of a word that one token holds, the leading space not counted.
const PIECE_BYTES: usize = 6;
/// Ids run below this, as a small model's do.
const VOCABULARY: u64 = 32_000;
/// Ids below this mark structure and stand for no text.
const RESERVED: u64 = 4;
const BEGIN: u32 = 1;
const MESSAGE_START: u32 = 2;
const MESSAGE_END: u32 = 3;

/// Tokens per block of the prefix cache.
pub const BLOCK: usize = 16;

/// A prompt given as text.
pub fn prompt(text: &str) -> Vec<u32> {
    let mut ids = Vec::with_capacity(1 + text.len() / 4);
    ids.push(BEGIN);
    encode(text, &mut ids);
    ids
}

/// A conversation of (role, content), with the opening of the assistant's turn when asked for.
pub fn conversation<'a>(messages: impl Iterator<Item = (&'a str, &'a str)>, open_answer: bool) -> Vec<u32> {
    let mut ids = vec![BEGIN];
    for (role, content) in messages {
        open_turn(role, &mut ids);
        encode(content, &mut ids);
        ids.push(MESSAGE_END);
        encode("\n", &mut ids);
    }
    if open_answer {
        open_turn("assistant", &mut ids);
    }
    ids
}

/// One hash per full block of the prompt; equal hashes mean equal prompts up to there.
pub fn block_hashes(ids: &[u32]) -> Vec<u64> {
    let mut state = Fnv::new();
    let mut hashes = Vec::with_capacity(ids.len() / BLOCK);
    for block in ids.chunks_exact(BLOCK) {
        for id in block {
            state.write(&id.to_le_bytes());
        }
        hashes.push(state.value());
    }
    hashes
}

/// A hash of a whole prompt, so that equal prompts get equal answers.
pub fn fingerprint(ids: &[u32]) -> u64 {
    let mut state = Fnv::new();
    for id in ids {
        state.write(&id.to_le_bytes());
    }
    state.value()
}

/// A hash of a text (system fingerprint and the like).
pub fn text_hash(text: &str) -> u64 {
    let mut state = Fnv::new();
    state.write(text.as_bytes());
    state.value()
}

fn open_turn(role: &str, ids: &mut Vec<u32>) {
    ids.push(MESSAGE_START);
    encode(role, ids);
    encode("\n", ids);
}

/// Appends the tokens of `text`.
fn encode(text: &str, ids: &mut Vec<u32>) {
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let space = usize::from(first == ' ');
        let word = rest.strip_prefix(' ').unwrap_or(rest);
        let word_len = word.find(|c: char| !c.is_alphanumeric()).unwrap_or(word.len());
        if word_len == 0 {
            let (token, tail) = rest.split_at(first.len_utf8());
            ids.push(id_of(token));
            rest = tail;
            continue;
        }
        let (run, tail) = rest.split_at(space + word_len);
        let mut lead = space;
        let mut run = run;
        while run.len() > lead {
            let (piece, after) = run.split_at(piece_end(run, lead));
            ids.push(id_of(piece));
            run = after;
            lead = 0;
        }
        rest = tail;
    }
}

/// Where the next piece of `run` ends: at most `PIECE_BYTES` after the leading space, on a character
/// boundary, and at least one character long.
fn piece_end(run: &str, lead: usize) -> usize {
    let limit = lead + PIECE_BYTES;
    if run.len() <= limit {
        return run.len();
    }
    let boundary = (lead + 1..=limit).rev().find(|&at| run.is_char_boundary(at));
    boundary.unwrap_or(run.len())
}

fn id_of(piece: &str) -> u32 {
    (RESERVED + text_hash(piece) % (VOCABULARY - RESERVED)) as u32
}

/// FNV-1a, 64 bits: short, stable over versions and platforms.
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn value(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &str) -> usize {
        prompt(text).len() - 1
    }

    #[test]
    fn words_are_cut_into_pieces_and_the_rest_counts_by_character() {
        assert_eq!(count(""), 0);
        assert_eq!(count("slowly fox"), 2);
        assert_eq!(count("benchmark"), 2);
        assert_eq!(count("Hello, world!"), 4);
        assert_eq!(count("a  b"), 3, "the first of two spaces stands alone");
        assert_eq!(count("naïveté"), 2);
        assert_eq!(count("漢字漢字"), 2, "three bytes a character, two characters a piece");
        assert_eq!(count("🙂🙂"), 2);
    }

    #[test]
    fn a_conversation_adds_its_template() {
        let content = count("slowly fox the");
        let ids = conversation([("user", "slowly fox the")].into_iter(), true);
        // begin, (start user \n … end \n), (start, two pieces of "assistant", \n)
        assert_eq!(ids.len(), 1 + 3 + content + 2 + 4);
    }

    #[test]
    fn blocks_agree_exactly_as_far_as_the_prompts_do() {
        let long = "one two three four five six seven eight nine ten eleven twelve ".repeat(4);
        let a = block_hashes(&prompt(&format!("{long}left")));
        let b = block_hashes(&prompt(&format!("{long}right")));
        let other = block_hashes(&prompt(&format!("x{long}")));
        assert!(a.len() >= 3);
        assert_eq!(a[..3], b[..3]);
        assert_ne!(a[0], other[0]);
        assert_ne!(fingerprint(&prompt("a")), fingerprint(&prompt("b")));
    }

    #[test]
    fn any_text_is_tokenised_without_losing_a_character() {
        for text in ["日本語 text", "ééééééé", " \n\t ", "a\u{301}b", "mixed🙂word"] {
            assert!(count(text) >= 1, "{text:?}");
        }
    }
}
