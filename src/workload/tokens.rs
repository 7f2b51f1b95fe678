//! How many tokens a text has: exactly, where there is a tokenizer, else by a rule.
//!
//! The rule: one token for every 8 letters of a word or part of them, for every 3 digits of a number
//! or part of them, for every other visible character, for every character outside ASCII, and for
//! every run of line breaks. Over 1,400 prompts and answers of ShareGPT the sum is 4 % above that of
//! a tokenizer with 131,000 tokens (Mistral's Tekken), 7 % below that of one with 32,000 (Mistral
//! v3); four texts of five lie within −20 % and +18 % of either.
//!
//! What is reported as tokens never comes from here: the server counts those.

use std::sync::LazyLock;

use super::synthetic::WORDS;

/// Who counts tokens.
pub trait Tokens {
    /// Tokens of a text as the completions API counts them: special tokens that are put around it
    /// included, a chat template not.
    fn count(&self, text: &str) -> anyhow::Result<u32>;

    /// Tokens of no text: the special ones.
    fn special(&self) -> anyhow::Result<u32>;

    /// Words of letters that are one token each, as a rule, after a space.
    fn words(&self) -> &[String];

    /// Who it is; `None` for the rule, whose counts are estimates.
    fn name(&self) -> Option<&str>;

    /// Whether a whole dataset can be counted.
    fn is_quick(&self) -> bool {
        true
    }
}

/// The rule above.
#[derive(Clone, Copy, Debug)]
pub struct Rule;

/// Common words, for whoever has no vocabulary.
pub static COMMON: LazyLock<Vec<String>> =
    LazyLock::new(|| WORDS.split_ascii_whitespace().map(str::to_owned).collect());

impl Tokens for Rule {
    fn count(&self, text: &str) -> anyhow::Result<u32> {
        Ok(approx_tokens(text))
    }

    fn special(&self) -> anyhow::Result<u32> {
        Ok(0)
    }

    fn words(&self) -> &[String] {
        &COMMON
    }

    fn name(&self) -> Option<&str> {
        None
    }
}

/// Tokens by the rule above; at least 1.
pub fn approx_tokens(text: &str) -> u32 {
    let mut tokens: u64 = 0;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let mut run = |of: fn(char) -> bool| {
            let mut length: u64 = 1;
            while rest.next_if(|&c| of(c)).is_some() {
                length += 1;
            }
            length
        };
        tokens += match c {
            'a'..='z' | 'A'..='Z' => run(|c| c.is_ascii_alphabetic()).div_ceil(8),
            '0'..='9' => run(|c| c.is_ascii_digit()).div_ceil(3),
            '\n' => run(|c| c == '\n').min(1),
            c if c.is_ascii_whitespace() || c.is_ascii_control() => 0,
            _ => 1,
        };
    }
    u32::try_from(tokens.max(1)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_rule_as_stated() {
        let texts = [
            "",
            "the quick brown fox",
            "internationalisation",
            "in 2024: 1234567 items",
            "a\n\nb\n",
            "größe",
            "if (x == 1) {",
        ];
        assert_eq!(texts.map(approx_tokens), [1, 4, 3, 8, 4, 4, 8]);
    }

    proptest! {
        #[test]
        fn any_text_has_at_least_one_and_at_most_one_a_character(text in "\\PC*|[\\x00-\\x7f]*") {
            let tokens = approx_tokens(&text);
            prop_assert!(tokens >= 1 && tokens as usize <= text.chars().count().max(1));
        }

        #[test]
        fn words_of_common_length_are_one_each(words in proptest::collection::vec("[a-z]{1,8}", 1..50)) {
            prop_assert_eq!(approx_tokens(&words.join(" ")) as usize, words.len());
        }
    }
}
