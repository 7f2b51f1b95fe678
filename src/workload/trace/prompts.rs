//! Prompts for the rows of a trace, which has lengths and no texts: random words, the same for the same
//! block, so that a prefix cache finds what it found where the trace was made.

use super::Row;
use crate::record::{Prompt, PromptKind};
use crate::workload::build;
use crate::workload::draw::Draw;
use crate::workload::synthetic::{self, Shape};
use crate::workload::tokens::Tokens;

/// Streams of chance; each number is used for one thing for ever.
const BLOCKS: u64 = 0x5442_0000_0000_0000;
const ROWS: u64 = 0x5452_0000_0000_0000;
const MORE: u64 = 0x544d_0000_0000_0000;

/// A prompt for each row. Block `h` of `block_tokens` words is the same wherever it stands; a prompt's last
/// one is cut to its length, and what no block covers is the row's own.
pub fn prompts(rows: &[Row], block_tokens: u32, max_tokens: Option<u32>, seed: u64) -> Vec<Prompt> {
    rows.iter().enumerate().map(|(i, row)| prompt(i as u64, row, block_tokens, max_tokens, seed)).collect()
}

/// The same prompts, built to their lengths as `tokens` counts.
pub fn counted(prompts: Vec<Prompt>, tokens: &dyn Tokens, seed: u64) -> anyhow::Result<Vec<Prompt>> {
    prompts.into_iter().zip(0..).map(|(prompt, i)| to_length(&prompt, tokens, seed, i)).collect()
}

/// As many of the words as have its number of tokens, and more words where they have fewer.
fn to_length(prompt: &Prompt, tokens: &dyn Tokens, seed: u64, number: u64) -> anyhow::Result<Prompt> {
    let text = prompt.text().into_owned();
    let mut own = text.split(' ');
    let mut draw = Draw::new(seed, MORE ^ number);
    let words = tokens.words();
    let next = || {
        let more = || words.get(draw.below(words.len() as u64) as usize).map_or("", String::as_str);
        format!(" {}", own.next().unwrap_or_else(more))
    };
    let built = build::to_length("", prompt.approx_tokens, tokens, next)?;
    let at_s = prompt.at_s;
    Ok(Prompt { at_s, ..synthetic::prompt(built, prompt.max_tokens.unwrap_or(1), tokens) })
}

fn prompt(number: u64, row: &Row, block_tokens: u32, max_tokens: Option<u32>, seed: u64) -> Prompt {
    let mut text = String::with_capacity(row.input_tokens as usize * 6);
    let mut left = row.input_tokens;
    for id in &row.hash_ids {
        let n = left.min(block_tokens);
        add(&mut text, &words(block_tokens, seed, BLOCKS ^ id), n);
        left -= n;
    }
    if left > 0 {
        add(&mut text, &words(left, seed, ROWS ^ number), left);
    }
    Prompt {
        max_tokens: Some(max_tokens.unwrap_or(row.output_tokens)),
        chars: text.len() as u32,
        approx_tokens: row.input_tokens,
        kind: PromptKind::Text(text),
        at_s: Some(row.offset_s),
        ..Prompt::default()
    }
}

/// The first `n` of the words.
fn add(text: &mut String, words: &str, n: u32) {
    for word in words.split(' ').take(n as usize) {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(word);
    }
}

fn words(n: u32, seed: u64, purpose: u64) -> String {
    let made = synthetic::prompts(1, &Shape::fixed(n, 1), &mut Draw::new(seed, purpose)).pop();
    made.map(|prompt| prompt.text().into_owned()).unwrap_or_default()
}
