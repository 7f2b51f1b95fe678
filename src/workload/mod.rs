//! What to send: prompts from a dataset or made up, in a seeded order, the same for the same seed.
//! This module must not know when they are sent, nor over what.
//!
//! - `gather`: all of it put together; `read`: what the readers share
//! - [`sharegpt`], [`jsonl`], [`csv`], [`parquet`]: dataset readers; they keep the good entries, and count
//!   the others. [`table`]: what the last two share; [`looks`]: what a wrong file is
//! - [`trace`]: traces of requests, with their lengths and times
//! - [`random`], [`repeated`], [`sonnet`]: datasets that are made; [`synthetic`]: texts of random words,
//!   [`build`]: texts of so many tokens; [`lengths`]: lengths by their laws; [`draw`]: seeded chance
//! - [`turns`] has the conversations
//! - [`tokens`]: how long a text is; [`local`]: exactly, with a tokenizer of this machine
//! - [`rounds`]: what an audit's rounds send
//! - [`plan`], [`histogram`]: what a configuration and its workload will do, in words

pub mod build;
pub mod csv;
pub mod draw;
mod gather;
pub mod histogram;
pub mod jsonl;
pub mod lengths;
pub mod local;
pub mod looks;
pub mod parquet;
pub mod plan;
pub mod random;
mod read;
pub mod repeated;
pub mod rounds;
pub mod sharegpt;
pub mod sonnet;
pub mod synthetic;
pub mod table;
pub mod tokens;
pub mod trace;
pub mod turns;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use self::gather::{counting, read_file};
pub use self::gather::{load, load_with};
use self::jsonl::About;
pub use self::read::{Read, Skipped, Want};
use self::read::{kind, looking_like, open};
use self::tokens::approx_tokens;
use crate::record::{History, Message, Prompt, PromptKind};

/// The prompts of a run. Request i sends prompt i mod n; of conversations, conversation i does.
#[derive(Clone, Debug)]
pub struct Workload {
    /// In sending order; never empty.
    pub prompts: Arc<[Prompt]>,
    /// Entries that the dataset has, good or not.
    pub entries: u64,
    /// Entries that could not be read.
    pub broken: Skipped,
    /// Entries left out for their length, as `vllm bench serve` does with ShareGPT.
    pub pruned: Skipped,
    /// Entries left out of the draw since another has the same text.
    pub duplicates: u64,
    /// Prompts that could not be built to the number of tokens drawn for them; they have the nearest.
    pub not_exact: u64,
    /// Where the prompts come from, in words.
    pub source: String,
    /// Their licence, when the dataset states it.
    pub licence: Option<String>,
    /// Who counted their tokens; `None`: they are estimates.
    pub tokenizer: Option<String>,
    /// Of conversations: whose answers they are carried on with. `None`: single requests.
    pub history: Option<History>,
    /// Whether answers are asked to go on to their limits; a set that is written asks for it row by row.
    pub ignore_eos: bool,
    pub seed: u64,
    /// Of a trace, and of a request set made from one: when each is to be sent, in seconds, ascending.
    pub times_s: Option<Arc<[f64]>>,
}

impl Workload {
    /// The prompt of request `i` and its index.
    pub fn at(&self, i: u64) -> Option<(u32, &Prompt)> {
        let index = i.checked_rem(self.prompts.len() as u64)?;
        Some((index as u32, self.prompts.get(index as usize)?))
    }

    /// How many of the first `requests` requests send a text that was sent before: a server with a
    /// prefix cache answers those faster.
    pub fn repeats(&self, requests: u64) -> u64 {
        let sent = usize::try_from(requests).unwrap_or(usize::MAX);
        let texts: HashSet<_> = self.prompts.iter().take(sent).map(all_of).collect();
        requests - texts.len() as u64
    }

    /// Requests that so many of them come to: of conversations, every turn is one.
    pub fn requests(&self, n: u64) -> u64 {
        let all: u64 = self.prompts.iter().map(Prompt::requests).sum();
        let rounds = n / self.prompts.len().max(1) as u64;
        let rest = (n % self.prompts.len().max(1) as u64) as usize;
        rounds * all + self.prompts.iter().take(rest).map(Prompt::requests).sum::<u64>()
    }

    /// Leaves out later turns with which a conversation could outgrow `limit` tokens: all that is said and
    /// all answers at their limits, by the best counts there are, and a tenth more for what a chat template
    /// adds. How many are left out.
    pub fn cut_turns(&mut self, limit: u32) -> u64 {
        let mut cut = 0;
        let mut prompts = self.prompts.to_vec();
        for prompt in &mut prompts {
            let mut has = f64::from(prompt.tokens()) + f64::from(prompt.max_tokens.unwrap_or(0));
            let fits = prompt.turns.iter().take_while(|turn| {
                let estimate = || turn.messages.iter().map(|m| approx_tokens(&m.content)).sum();
                let said: u32 = turn.exact_tokens.unwrap_or_else(estimate);
                has += f64::from(said) + f64::from(turn.max_tokens.unwrap_or(0));
                has * 1.1 + 16.0 <= f64::from(limit)
            });
            let fits = fits.count();
            cut += (prompt.turns.len() - fits) as u64;
            prompt.turns.truncate(fits);
        }
        if cut > 0 {
            self.prompts = prompts.into();
        }
        cut
    }

    /// Writes the prompts as a request file, which sends exactly the same again.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let about = About {
            source: self.source.clone(),
            licence: self.licence.clone(),
            seed: Some(self.seed),
            prompts: Some(self.prompts.len() as u64),
            tokenizer: self.tokenizer.clone(),
            history: self.history,
        };
        jsonl::write(path, &self.prompts, self.ignore_eos, about)
    }
}

/// A later turn's words: the dataset's answer before it, and what is said then.
type Said<'a> = (&'a Option<String>, &'a [Message]);

/// All that a prompt, or a conversation, says.
fn all_of(prompt: &Prompt) -> (&PromptKind, Vec<Said<'_>>) {
    (&prompt.kind, prompt.turns.iter().map(|turn| (&turn.answer, turn.messages.as_slice())).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests;
