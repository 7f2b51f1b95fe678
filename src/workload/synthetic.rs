//! Synthetic prompts: common short English words, drawn at random, joined by single spaces.
//!
//! The rule for their length: one word is one token. It needs no tokenizer, since each word of
//! [`WORDS`] with the space before it is one token in common vocabularies: checked for Mistral's v3
//! (32,000 tokens) and Tekken (131,000), and for a byte-level BPE of only 4,096 tokens made from
//! ShareGPT text. So a prompt of n words has n tokens in such a server, or one or two more where
//! the first word, having no space before it, is split; the chat template comes on top. What was
//! really used is in the answers' `usage`, and the report shows that.

use super::draw::Draw;
use crate::record::{Prompt, PromptKind};

/// Lengths as `vllm bench serve --dataset-name random` draws them.
#[derive(Clone, Copy, Debug)]
pub struct Lengths {
    pub input: u32,
    pub output: u32,
    /// Lengths are drawn evenly from [length × (1 − r), length × (1 + r)].
    pub range_ratio: f64,
}

/// `n` prompts; the same seed makes the same ones.
pub fn prompts(n: usize, lengths: Lengths, draw: &mut Draw) -> Vec<Prompt> {
    let words: Vec<&str> = WORDS.split_ascii_whitespace().collect();
    (0..n).map(|_| prompt(lengths, &words, draw)).collect()
}

/// `n` words of four letters: equally long in tokens and in letters.
pub fn short_words(n: u32, draw: &mut Draw) -> String {
    let words: Vec<&str> = WORDS.split_ascii_whitespace().filter(|word| word.len() == 4).collect();
    let word = |_| words.get(draw.below(words.len() as u64) as usize).copied().unwrap_or_default();
    (0..n).map(word).collect::<Vec<_>>().join(" ")
}

fn prompt(lengths: Lengths, words: &[&str], draw: &mut Draw) -> Prompt {
    let input = drawn(lengths.input, lengths.range_ratio, draw);
    let output = drawn(lengths.output, lengths.range_ratio, draw);
    let mut text = String::with_capacity(input as usize * 5);
    for i in 0..input {
        if i > 0 {
            text.push(' ');
        }
        text.push_str(words.get(draw.below(words.len() as u64) as usize).copied().unwrap_or_default());
    }
    Prompt {
        max_tokens: Some(output),
        chars: text.len() as u32,
        approx_tokens: input,
        kind: PromptKind::Text(text),
    }
}

fn drawn(length: u32, range_ratio: f64, draw: &mut Draw) -> u32 {
    let length = f64::from(length);
    let least = (length * (1.0 - range_ratio)).floor().max(1.0);
    let most = (length * (1.0 + range_ratio)).ceil();
    draw.between(least as u32, most as u32)
}

/// Lower-case words of at most 8 letters, each one token with a space before it.
const WORDS: &str = "\
    a about above across act action add after again against air all along already also always am \
    among an and another answer any anything are area around art as ask at away back base be \
    because become been before begin behind being believe below best better between big bit board \
    body book both bring build building built business but by call can car care case cause center \
    certain change check child children choice choose city class clean clear color come common \
    company complete consider contain control cost could country course create cross current cut \
    dark data day deep did direct do does done down drive during each easy edge effect else end \
    energy engine enough enter even event ever every example face fact family father feel felt few \
    field figure final find fire first follow food for form forward found four free friend from \
    front full further future game general get give go good got great ground group grow had hand \
    hard has have he head heart help her here high him himself his history hold home hope hot \
    house how human idea if in include increase industry inside instead interest into is issue it \
    its job just keep key kind knew know land language large last law lay lead learn leave left \
    less let level life light like line list little live local long look love low machine made \
    main make man many map market may me mean measure meet method might mind moment month more \
    most move much music must my name natural nature need never new news next night no not note \
    now number object of off offer often old on once one only open or order other our out outside \
    over own page part pass past pay people period person place plan play point position possible \
    power present press problem product program public purpose put question quick rate rather \
    reach read ready real reason record remain report rest result return right role room run said \
    same sat say school science second section see seen send sense sent set several she short \
    should show side simple since single sit size small so social some sort sound source space \
    special speed stand start state stay step still stop story strong student study such sure \
    system table take team tell term test than that the their them then there these they think \
    third this those thought three through time to today together too top total train travel tree \
    true try turn two type under until up us use value very view voice want was water way we week \
    well were what when where whether which while who why wide will wind window with without word \
    work world would write year you your";

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::tokens::approx_tokens;
    use super::*;

    fn made(n: usize, lengths: Lengths, seed: u64) -> Vec<Prompt> {
        prompts(n, lengths, &mut Draw::new(seed, 0))
    }

    #[test]
    fn words_are_different_and_short_enough_to_be_one_token_each() {
        let words: Vec<&str> = WORDS.split_ascii_whitespace().collect();
        assert_eq!(words.iter().collect::<BTreeSet<_>>().len(), words.len());
        assert!(words.len() > 400, "{}", words.len());
        assert!(words.iter().all(|word| word.len() <= 8 && word.bytes().all(|b| b.is_ascii_lowercase())));
    }

    #[test]
    fn without_a_range_all_lengths_are_exact() {
        let prompts = made(20, Lengths { input: 100, output: 7, range_ratio: 0.0 }, 1);
        assert!(
            prompts
                .iter()
                .all(|prompt| prompt.text().split(' ').count() == 100 && prompt.max_tokens == Some(7))
        );
        // The rule of this file and that of `tokens` agree.
        assert!(
            prompts.iter().all(|prompt| prompt.approx_tokens == 100 && approx_tokens(&prompt.text()) == 100)
        );
    }

    #[test]
    fn a_range_is_used_to_its_ends() {
        let prompts = made(2000, Lengths { input: 10, output: 3, range_ratio: 0.5 }, 1);
        let inputs: BTreeSet<usize> = prompts.iter().map(|prompt| prompt.text().split(' ').count()).collect();
        let outputs: BTreeSet<u32> = prompts.iter().filter_map(|prompt| prompt.max_tokens).collect();
        assert_eq!((*inputs.first().unwrap(), *inputs.last().unwrap()), (5, 15));
        assert_eq!((*outputs.first().unwrap(), *outputs.last().unwrap()), (1, 5));
    }

    #[test]
    fn the_seed_decides() {
        let lengths = Lengths { input: 8, output: 4, range_ratio: 0.2 };
        assert_eq!(made(5, lengths, 3), made(5, lengths, 3));
        assert_ne!(made(5, lengths, 3), made(5, lengths, 4));
    }
}
