//! Texts built to a number of tokens. A text cannot be put together from tokens and be sure to have as
//! many: encoding it again may join or part them. So it is built from words, counted whole, and words
//! are taken away or added until the count is right. This file must not know what counts.

use super::tokens::Tokens;

/// Counts of one text; a few are enough where most words are one token. Where words are many tokens, a try hits the number
/// by chance.
const TRIES: u32 = 512;

/// A text, and its tokens as counted.
#[derive(Clone, Debug, PartialEq)]
pub struct Built {
    pub text: String,
    pub tokens: u32,
}

/// A text of `n` tokens that begins with `base` and goes on with what `next` gives, each piece with the
/// space before it. Where no try hits `n`, the text that comes nearest.
pub fn to_length(
    base: &str,
    n: u32,
    tokens: &dyn Tokens,
    mut next: impl FnMut() -> String,
) -> anyhow::Result<Built> {
    let mut text = base.to_owned();
    let first = if base.is_empty() { tokens.special()? } else { tokens.count(base)? };
    let mut has = first;
    // Where the text ended before each piece.
    let mut before: Vec<usize> = Vec::new();
    let mut nearest = Built { text: text.clone(), tokens: has };
    for _ in 0..TRIES {
        if has == n {
            break;
        }
        // What a piece has on average, to come near quickly.
        let each = match before.len() {
            0 => 1.0,
            pieces => (f64::from(has.saturating_sub(first)) / pieces as f64).max(1.0),
        };
        let pieces = ((f64::from(has.abs_diff(n)) / each) as usize).max(1);
        if has < n {
            for _ in 0..pieces {
                before.push(text.len());
                let piece = next();
                text.push_str(if text.is_empty() { piece.trim_start() } else { &piece });
            }
        } else {
            let kept = before.len().saturating_sub(pieces);
            let Some(&end) = before.get(kept) else { break };
            text.truncate(end);
            before.truncate(kept);
        }
        has = if text.is_empty() { tokens.special()? } else { tokens.count(&text)? };
        if has.abs_diff(n) < nearest.tokens.abs_diff(n) || nearest.text.is_empty() {
            nearest = Built { text: text.clone(), tokens: has };
        }
    }
    Ok(nearest)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::super::draw::Draw;
    use super::super::local::Local;
    use super::super::tokens::Rule;
    use super::*;

    /// A byte-level BPE of 2,048 tokens without a word's special treatment, and the same with a token
    /// that is put before each text: made of this project's own text.
    fn tokenizer(name: &str) -> Local {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples/tokenizers");
        Local::open(&folder.join(name)).unwrap()
    }

    fn built(base: &str, n: u32, tokens: &dyn Tokens, seed: u64) -> Built {
        let mut draw = Draw::new(seed, 0);
        let words = tokens.words();
        to_length(base, n, tokens, || format!(" {}", words[draw.below(words.len() as u64) as usize])).unwrap()
    }

    fn of_pieces(base: &str, n: u32, seed: u64, tokens: &Local) -> Built {
        let mut draw = Draw::new(seed, 0);
        let pieces = [" größenordnungsmäßig", " Ж", " 北京", "\n\n", " a", "-", " x9Q", " the"];
        to_length(base, n, tokens, || pieces[draw.below(pieces.len() as u64) as usize].to_owned()).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_text_has_exactly_as_many_tokens_as_asked_for(n in 2_u32..600, seed in any::<u64>()) {
            for name in ["bpe.json", "bpe_bos.json"] {
                let tokens = tokenizer(name);
                let built = built("", n, &tokens, seed);
                prop_assert_eq!(tokens.count(&built.text).unwrap(), n, "{}: {:?}", name, built.text);
                prop_assert_eq!(built.tokens, n);
            }
        }

        /// Pieces that are several tokens each, as in texts of another language than the vocabulary's.
        #[test]
        fn also_of_pieces_that_are_many_tokens(base in "[a-z ]{0,20}", n in 60_u32..200, seed in any::<u64>()) {
            let tokens = tokenizer("bpe.json");
            let built = of_pieces(&base, n, seed, &tokens);
            prop_assert!(built.text.starts_with(&base));
            prop_assert_eq!(tokens.count(&built.text).unwrap(), built.tokens);
            prop_assert_eq!(built.tokens, n);
        }
    }

    /// This one took more than 64 tries.
    #[test]
    fn a_text_that_is_hard_to_hit_is_tried_for_longer() {
        let tokens = tokenizer("bpe.json");
        assert_eq!(of_pieces("  ya", 75, 574_121_944_889_004_995, &tokens).tokens, 75);
    }

    #[test]
    fn by_the_rule_the_first_try_is_right() {
        let tokens = built("", 40, &Rule, 1);
        assert_eq!((tokens.tokens, tokens.text.split(' ').count()), (40, 40));
    }

    #[test]
    fn what_cannot_be_is_told_by_its_count() {
        let long = "a base of far more tokens than are asked for";
        let built = built(long, 2, &Rule, 1);
        assert_eq!((built.text.as_str(), built.tokens > 2), (long, true));
        let with_begin = tokenizer("bpe_bos.json");
        assert_eq!(with_begin.special().unwrap(), 1);
    }
}
