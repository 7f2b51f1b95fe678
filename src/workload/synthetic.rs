//! Synthetic prompts: words drawn at random, joined by single spaces, to a length in tokens.
//!
//! With a tokenizer, words of its own vocabulary are put together until it counts what was asked for.
//! Without one, the rule for their length is: one word is one token. It needs no tokenizer, since each word of
//! [`WORDS`] with the space before it is one token in common vocabularies: checked for Mistral's v3
//! (32,000 tokens) and Tekken (131,000), and for a byte-level BPE of only 4,096 tokens made from
//! ShareGPT text. So a prompt of n words has n tokens in such a server, or one or two more where
//! the first word, having no space before it, is split; the chat template comes on top. What was
//! really used is in the answers' `usage`, and the report shows that.

use super::build::{self, Built};
use super::draw::Draw;
use super::lengths::Lengths;
use super::tokens::{Rule, Tokens, approx_tokens};
use crate::config::law::Law;
use crate::record::{Prompt, PromptKind};

/// How long made prompts and their answers are.
#[derive(Clone, Debug)]
pub struct Shape {
    pub input: Lengths,
    pub output: Lengths,
    /// Where both are the lengths of one dataset: an answer's limit is that of the prompt's own row.
    pub in_pairs: bool,
    /// Tokens that all prompts begin with, beside those of their own.
    pub prefix: u32,
}

impl Shape {
    /// One length for all.
    pub fn fixed(input: u32, output: u32) -> Self {
        let law = |length: u32| Lengths::Law(Law::Fixed(length.into()));
        Self { input: law(input), output: law(output), in_pairs: false, prefix: 0 }
    }

    fn draw(&self, draw: &mut Draw) -> (u32, u32) {
        if let (true, Lengths::Values(inputs), Lengths::Values(outputs)) =
            (self.in_pairs, &self.input, &self.output)
        {
            let at = draw.below(inputs.len() as u64) as usize;
            let of = |values: &[u32]| values.get(at).copied().unwrap_or(1).max(1);
            return (of(inputs), of(outputs));
        }
        (self.input.draw(draw), self.output.draw(draw))
    }
}

/// Prompts that were made.
#[derive(Clone, Debug, Default)]
pub struct Made {
    pub prompts: Vec<Prompt>,
    /// Of them those (or their later turns) that have another number of tokens than was drawn for them.
    pub not_exact: u64,
}

impl Made {
    /// Adds a text for which `asked` tokens were wanted, with its answer's limit.
    pub fn add(&mut self, built: Built, asked: u32, output: u32, tokens: &dyn Tokens) {
        self.not_exact += u64::from(misses(&built, asked, tokens));
        self.prompts.push(prompt(built, output, tokens));
    }
}

/// Whether a text has another number of tokens than it should; an estimate says nothing of that.
pub fn misses(built: &Built, asked: u32, tokens: &dyn Tokens) -> bool {
    tokens.name().is_some() && built.tokens != asked
}

/// `n` prompts whose lengths are estimates; the same seed makes the same ones.
pub fn prompts(n: usize, shape: &Shape, draw: &mut Draw) -> Vec<Prompt> {
    // The rule counts without fail.
    counted(n, shape, &Rule, draw).unwrap_or_default().prompts
}

/// `n` prompts, as `tokens` counts.
pub fn counted(n: usize, shape: &Shape, tokens: &dyn Tokens, draw: &mut Draw) -> anyhow::Result<Made> {
    let prefix = match shape.prefix {
        0 => String::new(),
        length => built("", length, tokens, draw)?.text,
    };
    let mut made = Made::default();
    for _ in 0..n {
        let (input, output) = shape.draw(draw);
        let length = shape.prefix.saturating_add(input);
        made.add(built(&prefix, length, tokens, draw)?, length, output, tokens);
    }
    Ok(made)
}

/// A text of `n` tokens: random words after `base`.
pub fn built(base: &str, n: u32, tokens: &dyn Tokens, draw: &mut Draw) -> anyhow::Result<Built> {
    let words = tokens.words();
    let word = || {
        let at = draw.below(words.len() as u64) as usize;
        format!(" {}", words.get(at).map_or("", String::as_str))
    };
    build::to_length(base, n, tokens, word)
}

/// A text as a prompt.
fn prompt(built: Built, output: u32, tokens: &dyn Tokens) -> Prompt {
    let is_exact = tokens.name().is_some();
    Prompt {
        max_tokens: Some(output),
        chars: built.text.chars().count() as u32,
        approx_tokens: if is_exact { approx_tokens(&built.text) } else { built.tokens },
        exact_tokens: is_exact.then_some(built.tokens),
        kind: PromptKind::Text(built.text),
        ..Prompt::default()
    }
}

/// `n` words of four letters: equally long in tokens and in letters.
pub fn short_words(n: u32, draw: &mut Draw) -> String {
    let words: Vec<&str> = WORDS.split_ascii_whitespace().filter(|word| word.len() == 4).collect();
    let word = |_| words.get(draw.below(words.len() as u64) as usize).copied().unwrap_or_default();
    (0..n).map(word).collect::<Vec<_>>().join(" ")
}

/// Lower-case words of at most 8 letters, each one token with a space before it.
pub const WORDS: &str = "\
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

    use super::*;

    fn made(n: usize, input: &str, output: &str, seed: u64) -> Vec<Prompt> {
        let law = |text: &str| Lengths::Law(text.parse().unwrap());
        let shape = Shape { input: law(input), output: law(output), ..Shape::fixed(1, 1) };
        prompts(n, &shape, &mut Draw::new(seed, 0))
    }

    /// The lengths and words of the first version; sets made then are made again.
    #[test]
    fn a_seed_makes_the_same_for_ever() {
        let prompts = made(3, "ratio:6,0.5", "ratio:3,0.5", 7);
        let seen: Vec<_> = prompts.iter().map(|p| (p.text().into_owned(), p.max_tokens)).collect();
        insta::assert_debug_snapshot!(seen, @r#"
        [
            (
                "area method quick ready most side pass next",
                Some(
                    5,
                ),
            ),
            (
                "us language best step without",
                Some(
                    1,
                ),
            ),
            (
                "pass instead about above back friend made across she",
                Some(
                    1,
                ),
            ),
        ]
        "#);
    }

    #[test]
    fn a_prefix_is_shared_and_comes_on_top() {
        let shape = Shape { prefix: 5, ..Shape::fixed(7, 2) };
        let prompts = prompts(3, &shape, &mut Draw::new(1, 0));
        let begin = |p: &Prompt| p.text().split(' ').take(5).map(str::to_owned).collect::<Vec<_>>();
        assert!(prompts.iter().all(|p| p.approx_tokens == 12 && begin(p) == begin(&prompts[0])));
        assert_ne!(prompts[0].text(), prompts[1].text());
    }

    #[test]
    fn lengths_of_one_dataset_come_in_pairs() {
        let shape = Shape {
            input: Lengths::Values(vec![5, 9]),
            output: Lengths::Values(vec![50, 90]),
            in_pairs: true,
            prefix: 0,
        };
        let prompts = prompts(50, &shape, &mut Draw::new(1, 0));
        assert!(prompts.iter().all(|p| p.max_tokens == Some(10 * p.approx_tokens)));
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
        let prompts = made(20, "100", "7", 1);
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
        let prompts = made(2000, "ratio:10,0.5", "ratio:3,0.5", 1);
        let inputs: BTreeSet<usize> = prompts.iter().map(|prompt| prompt.text().split(' ').count()).collect();
        let outputs: BTreeSet<u32> = prompts.iter().filter_map(|prompt| prompt.max_tokens).collect();
        assert_eq!((*inputs.first().unwrap(), *inputs.last().unwrap()), (5, 15));
        assert_eq!((*outputs.first().unwrap(), *outputs.last().unwrap()), (1, 5));
    }

    #[test]
    fn the_seed_decides() {
        let made = |seed| made(5, "ratio:8,0.2", "ratio:4,0.2", seed);
        assert_eq!(made(3), made(3));
        assert_ne!(made(3), made(4));
    }
}
