//! What the look-alike says: pseudo words and natural lengths, a function of the server's seed, the
//! prompt and the request's own seed, so that a run can be repeated word for word.
//!
//! Some pieces are multi-byte or need escaping in JSON, and about one in a hundred has no text at
//! all, as with a real detokenizer that waits for the rest of a character: consumers that count
//! characters or chunks as tokens must be found out here. This file must not know how text is sent.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// One answer being made, piece by piece.
pub struct Answer {
    rng: ChaCha8Rng,
    tokens: u32,
    empty_first: bool,
}

impl Answer {
    /// The answer to a prompt (by its fingerprint) under the server's and the request's seed.
    pub fn new(server_seed: u64, prompt: u64, request_seed: u64, empty_first: bool) -> Self {
        let mut seed = [0_u8; 32];
        for (slot, value) in seed.chunks_exact_mut(8).zip([server_seed, prompt, request_seed]) {
            slot.copy_from_slice(&value.to_le_bytes());
        }
        Self { rng: ChaCha8Rng::from_seed(seed), tokens: 0, empty_first }
    }

    /// A natural length in tokens, the end-of-text token included: geometric with this mean, and at
    /// least one token before the end unless the mean leaves no room for it. To be drawn before the
    /// first piece.
    pub fn natural_length(&mut self, mean: f64) -> u32 {
        let spoken = mean - 1.0;
        if spoken.is_nan() || spoken <= 1.0 {
            return if mean < 2.0 { 1 } else { 2 };
        }
        let draw = 1.0 + (self.uniform().ln() / (1.0 - 1.0 / spoken).ln()).floor();
        1 + draw.clamp(1.0, f64::from(u32::MAX / 2)) as u32
    }

    /// Appends the next token's text; the end-of-text token has none.
    pub fn push_token(&mut self, end_of_text: bool, text: &mut String) {
        let draw = self.rng.next_u32();
        let first = self.tokens == 0;
        self.tokens += 1;
        let silent = if first { self.empty_first } else { draw.is_multiple_of(100) };
        if end_of_text || silent {
            return;
        }
        let piece = PIECES.get((draw / 100) as usize % PIECES.len());
        text.push_str(piece.copied().unwrap_or_default());
    }

    /// Uniform in (0, 1].
    fn uniform(&mut self) -> f64 {
        unit(self.rng.next_u64())
    }
}

/// A standard normal number, for step times that jitter.
pub fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * unit(rng.next_u64()).ln()).sqrt();
    radius * (std::f64::consts::TAU * unit(rng.next_u64())).cos()
}

/// The top 53 bits as a number in (0, 1].
fn unit(bits: u64) -> f64 {
    ((bits >> 11) + 1) as f64 / (1_u64 << 53) as f64
}

/// What tokens decode to: mostly the pieces of English, with a few that are harder to carry.
const PIECES: [&str; 104] = [
    " the", " of", " and", " to", " in", " a", " is", " that", " for", " it", " as", " was", " with", " be",
    " by", " on", " not", " he", " his", " but", " at", " are", " this", " have", " from", " or", " had",
    " an", " they", " which", " one", " you", " were", " all", " her", " she", " there", " would", " their",
    " we", " him", " been", " has", " when", " who", " will", " no", " more", " if", " out", " so", " up",
    " said", " what", " its", " about", " than", " into", " them", " can", " only", " other", " time",
    " new", " some", " could", " these", " two", " may", " first", " then", " do", " any", " like", " my",
    " now", " over", " such", " our", " man", " me", " even", " most", " made", " after", " also", "ing",
    "ed", "ly", "ation", "er", "s", ",", ".", ".\n\n", ":", " \"", "\"", " café", " naïve", " 東京", " мир",
    " 🙂", " C:\\",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn text(seed: u64, prompt: u64, tokens: u32) -> String {
        let mut answer = Answer::new(seed, prompt, 0, false);
        let mut out = String::new();
        for _ in 0..tokens {
            answer.push_token(false, &mut out);
        }
        out
    }

    #[test]
    fn the_same_seeds_and_prompt_give_the_same_answer() {
        assert_eq!(text(1, 2, 200), text(1, 2, 200));
        assert_ne!(text(1, 2, 200), text(1, 3, 200));
        assert_ne!(text(1, 2, 200), text(2, 2, 200));
    }

    #[test]
    fn answers_hold_multi_byte_text_and_a_few_silent_tokens() {
        let mut answer = Answer::new(7, 7, 7, false);
        let mut silent = 0;
        let mut multi_byte = 0;
        for _ in 0..20_000 {
            let mut piece = String::new();
            answer.push_token(false, &mut piece);
            silent += usize::from(piece.is_empty());
            multi_byte += usize::from(!piece.is_ascii());
        }
        assert!((100..300).contains(&silent), "{silent}");
        assert!(multi_byte > 200, "{multi_byte}");
    }

    #[test]
    fn natural_lengths_have_the_mean_asked_for() {
        let n = 4_000_u32;
        let total: u64 =
            (0..u64::from(n)).map(|i| u64::from(Answer::new(1, i, 0, false).natural_length(180.0))).sum();
        let mean = total as f64 / f64::from(n);
        assert!((mean - 180.0).abs() < 10.0, "{mean}");
        assert_eq!(Answer::new(1, 1, 0, false).natural_length(1.0), 1);
        assert_eq!(Answer::new(1, 1, 0, false).natural_length(2.0), 2);
        let shortest = (0..2_000).map(|i| Answer::new(1, i, 0, false).natural_length(3.0)).min();
        assert_eq!(shortest, Some(2), "something is said before the end");
    }

    #[test]
    fn the_first_token_speaks_unless_told_not_to() {
        for prompt in 0..500 {
            let mut piece = String::new();
            Answer::new(1, prompt, 0, false).push_token(false, &mut piece);
            assert!(!piece.is_empty());
            piece.clear();
            Answer::new(1, prompt, 0, true).push_token(false, &mut piece);
            assert!(piece.is_empty());
        }
    }

    #[test]
    fn normal_numbers_are_standard() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let draws: Vec<f64> = (0..20_000).map(|_| normal(&mut rng)).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / draws.len() as f64;
        assert!(mean.abs() < 0.05 && (variance - 1.0).abs() < 0.06, "{mean} {variance}");
    }
}
