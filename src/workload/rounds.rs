//! The prompts of an audit's rounds: each round has its own, as far as there are any; and salt, words at a
//! prompt's begin that no other has. This file must not know which arm sends them, nor when.

use std::sync::Arc;

use super::draw::Draw;
use super::synthetic::{self, Shape};
use crate::record::{Prompt, PromptKind};

/// Words of salt, all equally long: over a hundred to the sixth are enough, and all are in a prefix cache's
/// first block.
pub const SALT_WORDS: u32 = 6;

/// Streams of chance; each number is used for one thing for ever.
const PROMPTS: u64 = 0x5052_0000_0000_0000;

/// Where the prompts of rounds come from.
pub enum Rounds {
    /// Random words, made anew for each round.
    Made { output_tokens: u32, seed: u64 },
    /// Those of a dataset in turn, and again from its begin.
    Of(Arc<[Prompt]>),
}

impl Rounds {
    /// The `n` prompts of a cell's round, of about `tokens` tokens where they are made; `first` is the
    /// number of the first of them in the run.
    pub fn prompts(&self, (cell, round): (u32, u32), tokens: u32, first: u64, n: u64) -> Arc<[Prompt]> {
        match self {
            Self::Made { output_tokens, seed } => {
                let purpose = PROMPTS | u64::from(cell) << 32 | u64::from(round);
                let shape = Shape::fixed(tokens, *output_tokens);
                synthetic::prompts(n as usize, &shape, &mut Draw::new(*seed, purpose)).into()
            }
            Self::Of(all) => {
                let at = |number: u64| number.checked_rem(all.len() as u64).and_then(|i| all.get(i as usize));
                (first..first + n).filter_map(at).cloned().collect()
            }
        }
    }

    /// Prompts that there are, where they are not made.
    pub fn in_all(&self) -> Option<u64> {
        match self {
            Self::Made { .. } => None,
            Self::Of(all) => Some(all.len() as u64),
        }
    }
}

/// The same prompts, each with words of its own at its begin.
pub fn salted(prompts: &[Prompt], draw: &mut Draw) -> Arc<[Prompt]> {
    prompts.iter().map(|prompt| with(prompt, &synthetic::short_words(SALT_WORDS, draw))).collect()
}

fn with(prompt: &Prompt, salt: &str) -> Prompt {
    let mut prompt = prompt.clone();
    match &mut prompt.kind {
        PromptKind::Text(text) => *text = format!("{salt} {text}"),
        PromptKind::Chat(messages) => {
            if let Some(first) = messages.first_mut() {
                first.begin_with(salt);
            }
        }
    }
    prompt.chars += salt.chars().count() as u32 + 1;
    prompt.approx_tokens += SALT_WORDS;
    // Counted before there was salt.
    prompt.exact_tokens = None;
    prompt
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::record::Message;

    #[test]
    fn a_round_has_prompts_of_its_own_and_the_same_each_time() {
        let made = Rounds::Made { output_tokens: 9, seed: 3 };
        let of = |cell, round| made.prompts((cell, round), 12, 0, 4);
        assert_eq!(of(1, 2), of(1, 2));
        let all: HashSet<PromptKind> = (0..3)
            .flat_map(|cell| (0..3).map(move |round| (cell, round)))
            .flat_map(|(cell, round)| of(cell, round).iter().map(|p| p.kind.clone()).collect::<Vec<_>>())
            .collect();
        assert_eq!(all.len(), 36);
        assert!(of(0, 0).iter().all(|p| p.approx_tokens == 12 && p.max_tokens == Some(9)));
    }

    #[test]
    fn a_datasets_prompts_come_in_turn() {
        let made = Rounds::Made { output_tokens: 9, seed: 3 }.prompts((0, 0), 5, 0, 5);
        let rounds = Rounds::Of(Arc::clone(&made));
        let taken = rounds.prompts((7, 7), 0, 3, 4);
        assert_eq!(*taken, [3, 4, 0, 1].map(|i: usize| made[i].clone()));
    }

    #[test]
    fn salt_is_at_the_begin_and_each_prompts_own() {
        let chat = Prompt {
            kind: PromptKind::Chat(vec![Message::new("system", "be short"), Message::new("user", "hi")]),
            max_tokens: Some(1),
            chars: 10,
            approx_tokens: 3,
            ..Prompt::default()
        };
        let mut draw = Draw::new(1, 0);
        let twice = salted(&[chat.clone(), chat], &mut draw);
        let texts: Vec<String> = twice.iter().map(|p| p.text().into_owned()).collect();
        assert!(texts.iter().all(|t| t.ends_with(" be short\nhi") && t.split(' ').count() == 8), "{texts:?}");
        assert!(texts[0] != texts[1] && texts[0].len() == texts[1].len(), "{texts:?}");
        assert!(
            twice.iter().zip(&texts).all(|(p, t)| p.chars as usize == t.len() - 1 && p.approx_tokens == 9)
        );
    }
}
