//! Prompts that share prefixes: prompt i begins with prefix i mod the number of them; then they are
//! shuffled, as `vllm bench serve --dataset-name prefix_repetition` does. (That one makes a whole number
//! of prompts for each prefix, and fewer than asked for where it does not divide.) This file must not
//! know what counts tokens.

use super::draw::Draw;
use super::synthetic::{Made, built};
use super::tokens::Tokens;

/// Lengths in tokens.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub prefix: u32,
    pub suffix: u32,
    pub prefixes: u32,
    pub output: u32,
}

pub fn prompts(n: usize, shape: Shape, tokens: &dyn Tokens, draw: &mut Draw) -> anyhow::Result<Made> {
    let prefixes = (0..shape.prefixes.max(1))
        .take(n)
        .map(|_| Ok(built("", shape.prefix, tokens, draw)?.text))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let length = shape.prefix.saturating_add(shape.suffix);
    let mut made = Made::default();
    for prefix in prefixes.iter().cycle().take(n) {
        made.add(built(prefix, length, tokens, draw)?, length, shape.output, tokens);
    }
    made.prompts = draw.sample(made.prompts, n);
    Ok(made)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::tokens::Rule;
    use super::*;
    use crate::record::Prompt;

    #[test]
    fn each_prefix_begins_as_many_prompts_and_nothing_else_is_shared() {
        let shape = Shape { prefix: 20, suffix: 10, prefixes: 3, output: 4 };
        let prompts = prompts(9, shape, &Rule, &mut Draw::new(2, 0)).unwrap().prompts;
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for prompt in &prompts {
            assert_eq!((prompt.approx_tokens, prompt.max_tokens), (30, Some(4)));
            let words: Vec<String> = prompt.text().split(' ').map(str::to_owned).collect();
            *seen.entry(words[..20].join(" ")).or_default() += 1;
        }
        assert_eq!(seen.values().copied().collect::<Vec<_>>(), [3, 3, 3]);
        let texts: std::collections::HashSet<_> = prompts.iter().map(|p| p.text().into_owned()).collect();
        assert_eq!(texts.len(), 9);
        // Not in the order in which they were made.
        let first = |p: &Prompt| p.text().split(' ').next().unwrap().to_owned();
        assert!(prompts.windows(2).any(|two| first(&two[0]) == first(&two[1])));
    }
}
