//! Lines of Shakespeare's sonnets: a task and the first lines, which all prompts share, then lines drawn
//! at random, the last one cut where the length is reached. After `vllm bench serve --dataset-name
//! sonnet`, which does without the cut. This file must not know what counts tokens.

use super::build::{self, Built};
use super::draw::Draw;
use super::synthetic::Made;
use super::tokens::Tokens;

const LINES: &str = include_str!("../../assets/sonnets.txt");
const TASK: &str = "Pick as many lines as you can from these poem lines:";

/// `n` prompts of `input` tokens, of which the first `prefix` are the same in all.
pub fn prompts(
    n: usize,
    (input, output, prefix): (u32, u32, u32),
    tokens: &dyn Tokens,
    draw: &mut Draw,
) -> anyhow::Result<Made> {
    let lines: Vec<&str> = LINES.lines().filter(|line| !line.trim().is_empty()).collect();
    let begin = if prefix == 0 {
        String::new()
    } else {
        let mut next = 0;
        let in_order = || {
            next += 1;
            lines.get((next - 1) % lines.len().max(1)).copied().unwrap_or_default()
        };
        of_words(TASK, prefix, tokens, in_order)?.text
    };
    let mut made = Made::default();
    for _ in 0..n {
        let any = || lines.get(draw.below(lines.len() as u64) as usize).copied().unwrap_or_default();
        made.add(of_words(&begin, input, tokens, any)?, input, output, tokens);
    }
    Ok(made)
}

/// The lines word by word, each line on its own; where even `base` is too long, as much of it as fits.
fn of_words<'a>(
    base: &str,
    n: u32,
    tokens: &dyn Tokens,
    mut line: impl FnMut() -> &'a str,
) -> anyhow::Result<Built> {
    let task = if base == TASK { TASK.split(' ').collect() } else { Vec::new() };
    let mut words = task.into_iter();
    let piece = || {
        if let Some(word) = words.next() {
            return format!(" {word}");
        }
        words = line().split(' ').collect::<Vec<_>>().into_iter();
        format!("\n{}", words.next().unwrap_or_default())
    };
    build::to_length(if base == TASK { "" } else { base }, n, tokens, piece)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::tokens::Rule;
    use super::*;

    #[test]
    fn prompts_share_their_beginning_and_are_lines_of_the_poems() {
        let prompts = prompts(4, (120, 9, 50), &Rule, &mut Draw::new(1, 0)).unwrap().prompts;
        let texts: Vec<String> = prompts.iter().map(|p| p.text().into_owned()).collect();
        let shared = texts[0].bytes().zip(texts[1].bytes()).take_while(|(a, b)| a == b).count();
        assert!(shared > 100 && texts.iter().all(|text| text.starts_with(&texts[0][..shared])), "{texts:?}");
        assert!(prompts.iter().all(|p| p.approx_tokens == 120 && p.max_tokens == Some(9)));
        assert!(texts[0].starts_with(&format!("{TASK}\nFrom fairest creatures we desire increase,\n")));
        let whole = texts[0].lines().skip(8).filter(|line| LINES.contains(line));
        assert!(whole.count() >= 4, "{}", texts[0]);
    }
}
