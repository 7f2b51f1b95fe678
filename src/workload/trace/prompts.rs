//! Prompts for the rows of a trace, which has lengths and no texts: random words, the same for the same
//! block, so that a prefix cache finds what it found where the trace was made.

use std::collections::HashMap;

use super::Row;
use crate::workload::build;
use crate::workload::draw::Draw;
use crate::workload::synthetic::{self, Made};
use crate::workload::tokens::Tokens;

/// Streams of chance; each number is used for one thing for ever.
const BLOCKS: u64 = 0x5442_0000_0000_0000;
const ROWS: u64 = 0x5452_0000_0000_0000;

/// A prompt for each row, built to its length as `tokens` counts. Block `h` of `block_tokens` tokens is the same
/// wherever it stands; a prompt's last one is cut to its length, and what no block covers is the row's own.
pub fn prompts(
    rows: &[Row],
    block_tokens: u32,
    max_tokens: Option<u32>,
    seed: u64,
    tokens: &dyn Tokens,
) -> anyhow::Result<Made> {
    let mut blocks = Blocks { block_tokens, seed, tokens, words: HashMap::new() };
    let mut made = Made::default();
    for (row, number) in rows.iter().zip(0..) {
        let text = blocks.of(row)?;
        let mut own = Draw::new(seed, ROWS ^ number);
        let mut words = text.split(' ').filter(|word| !word.is_empty());
        let next = || match words.next() {
            Some(word) => format!(" {word}"),
            None => format!(" {}", word(tokens, &mut own)),
        };
        let built = build::to_length("", row.input_tokens, tokens, next)?;
        made.add(built, row.input_tokens, max_tokens.unwrap_or(row.output_tokens), tokens);
        if let Some(last) = made.prompts.last_mut() {
            last.at_s = Some(row.offset_s);
        }
    }
    Ok(made)
}

/// The blocks of a trace: of how many words each is. The words themselves are drawn again.
struct Blocks<'a> {
    block_tokens: u32,
    seed: u64,
    tokens: &'a dyn Tokens,
    words: HashMap<u64, usize>,
}

impl Blocks<'_> {
    /// The words of all of a row's blocks.
    fn of(&mut self, row: &Row) -> anyhow::Result<String> {
        let mut text = String::with_capacity(row.input_tokens as usize * 6);
        let mut left = row.input_tokens;
        for &id in &row.hash_ids {
            if left == 0 {
                break;
            }
            for word in self.block(id)? {
                text.push(' ');
                text.push_str(&word);
            }
            left = left.saturating_sub(self.block_tokens);
        }
        Ok(text)
    }

    fn block(&mut self, id: u64) -> anyhow::Result<Vec<String>> {
        let n = if let Some(&n) = self.words.get(&id) {
            n
        } else {
            // As many words as have its tokens, with the special ones around a text beside them.
            let asked = self.block_tokens.saturating_add(self.tokens.special()?);
            let mut draw = Draw::new(self.seed, BLOCKS ^ id);
            let built = synthetic::built("", asked, self.tokens, &mut draw)?;
            *self.words.entry(id).or_insert(built.text.split(' ').count())
        };
        let mut draw = Draw::new(self.seed, BLOCKS ^ id);
        Ok((0..n).map(|_| word(self.tokens, &mut draw).to_owned()).collect())
    }
}

fn word<'a>(tokens: &'a dyn Tokens, draw: &mut Draw) -> &'a str {
    let words = tokens.words();
    words.get(draw.below(words.len() as u64) as usize).map_or("", String::as_str)
}
