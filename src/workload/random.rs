//! The random dataset: single prompts, or conversations whose turns are made as well. This file must
//! not know how a text is built.

use std::path::Path;

use super::draw::Draw;
use super::lengths::{self, Lengths};
use super::synthetic::{Made, Shape, built, counted, misses};
use super::tokens::Tokens;
use super::{Want, read_file};
use crate::config::law::Law;
use crate::config::{Columns, Dataset, MultiTurn};
use crate::error::usage;
use crate::record::{DatasetName, Message, Turn};

/// `n` prompts, or conversations.
pub fn prompts(
    n: usize,
    (input, output, prefix): (&Law, &Law, u32),
    turns: Option<&MultiTurn>,
    tokens: &dyn Tokens,
    draw: &mut Draw,
) -> anyhow::Result<Made> {
    let mut of = Files::default();
    let shape = Shape {
        input: of.lengths(input, Which::Input, tokens)?,
        output: of.lengths(output, Which::Output, tokens)?,
        in_pairs: of.is_one_dataset(),
        prefix,
    };
    let mut made = counted(n, &shape, tokens, draw)?;
    if let Some(turns) = turns {
        let later =
            turns.turn_input_len.as_ref().map(|law| of.lengths(law, Which::Input, tokens)).transpose()?;
        let shape = Shape { input: later.unwrap_or(shape.input), in_pairs: false, ..shape };
        let (least, most) = (turns.min_turns, turns.max_turns.unwrap_or(turns.min_turns));
        for prompt in &mut made.prompts {
            let count = draw.between(least, most.max(least));
            for _ in 1..count {
                let (turn, misses) = turn(&shape, tokens, draw)?;
                prompt.turns.push(turn);
                made.not_exact += u64::from(misses);
            }
        }
    }
    Ok(made)
}

/// A turn of so many tokens by itself, the special ones around a text not counted; and whether it has another
/// number.
fn turn(shape: &Shape, tokens: &dyn Tokens, draw: &mut Draw) -> anyhow::Result<(Turn, bool)> {
    let (input, output) = (shape.input.draw(draw), shape.output.draw(draw));
    let asked = input.saturating_add(tokens.special()?);
    let said = built("", asked, tokens, draw)?;
    let misses = misses(&said, asked, tokens);
    let turn =
        Turn { messages: vec![Message::new("user", said.text)], max_tokens: Some(output), ..Turn::default() };
    Ok((turn, misses))
}

#[derive(Clone, Copy)]
enum Which {
    Input,
    Output,
}

/// The datasets that lengths were taken from.
#[derive(Default)]
struct Files(Vec<std::path::PathBuf>);

impl Files {
    fn lengths(&mut self, law: &Law, which: Which, tokens: &dyn Tokens) -> anyhow::Result<Lengths> {
        let Law::Of(path) = law else { return Ok(Lengths::Law(law.clone())) };
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        let Some(name) = DatasetName::by_ending(ending) else {
            return Ok(Lengths::Values(lengths::read(path)?));
        };
        self.0.push(path.clone());
        Ok(Lengths::Values(of_dataset(path, name, which, tokens)?))
    }

    /// Whether prompts and answers have the lengths of the same rows.
    fn is_one_dataset(&self) -> bool {
        matches!(self.0.as_slice(), [one, other] if one == other)
    }
}

fn of_dataset(path: &Path, name: DatasetName, which: Which, tokens: &dyn Tokens) -> anyhow::Result<Vec<u32>> {
    let count = super::counting(tokens);
    let dataset = match name {
        DatasetName::Sharegpt => Dataset::Sharegpt { path: path.into() },
        DatasetName::Csv => Dataset::Csv { path: path.into(), columns: Columns::default() },
        DatasetName::Parquet => Dataset::Parquet { path: path.into(), columns: Columns::default() },
        _ => Dataset::Jsonl { path: path.into() },
    };
    let read = read_file(&dataset, &Want { max_tokens: None, turns: false, count: &count })?;
    let lengths: Option<Vec<u32>> = read
        .prompts
        .iter()
        .map(|prompt| match which {
            Which::Input => Some(count(&prompt.text())),
            Which::Output => prompt.max_tokens,
        })
        .collect();
    lengths.ok_or_else(|| {
        usage(format!("`{}` does not say how long every answer is", path.display()))
            .hint("rows need `output_tokens` to be a law of answers' lengths")
            .into()
    })
}
