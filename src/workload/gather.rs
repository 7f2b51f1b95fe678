//! The prompts of a run, gathered: read or made, cut to what is wanted, drawn and counted. This file must not know
//! any format.

use std::collections::HashSet;
use std::sync::Arc;

use super::draw::Draw;
use super::jsonl::About;
use super::local::Local;
use super::synthetic::Made;
use super::tokens::{Rule, Tokens, approx_tokens};
use super::{
    Read, Skipped, Want, Workload, all_of, csv, jsonl, lengths, parquet, random, repeated, sharegpt, sonnet,
    trace,
};
use crate::config::{self, Dataset, Tokenizer};
use crate::error::usage;
use crate::record::{History, Prompt, PromptKind};

/// Streams of chance; each number is used for one thing for ever.
const SAMPLING: u64 = 1;
const SYNTHETIC: u64 = 2;
const THINKING: u64 = 3;

/// Reads or makes the prompts; counted with a tokenizer of this machine, if one is named.
pub fn load(config: &config::Workload, seed: u64) -> anyhow::Result<Workload> {
    match &config.tokenizer {
        None => load_with(config, seed, &Rule),
        Some(Tokenizer::File(path)) => load_with(config, seed, &Local::open(path)?),
        Some(Tokenizer::Server) => Err(usage("there is no server to ask for tokens")
            .hint("name a tokenizer.json with --tokenizer, or leave it out")
            .into()),
    }
}

/// The same, with whoever counts.
pub fn load_with(config: &config::Workload, seed: u64, tokens: &dyn Tokens) -> anyhow::Result<Workload> {
    let (read, source) = if config.dataset.is_made() {
        made(config, seed, tokens)?
    } else if let Dataset::Trace(trace) = &config.dataset {
        replayed(config, trace, seed, tokens)?
    } else {
        let count = counting(tokens);
        let want = Want { max_tokens: config.max_tokens, turns: config.multi_turn.is_some(), count: &count };
        let read = read_file(&config.dataset, &want)?;
        let source = source(&config.dataset, read.about.as_ref());
        (read, source)
    };
    let Read { mut prompts, entries, broken, mut pruned, not_exact, about } = read;
    let about = about.unwrap_or_default();
    let mut duplicates = 0;
    let history = conversations(&mut prompts, config, &about, &mut pruned, seed)?;
    // What is made is made to number, and a trace is sent from its begin.
    if let Some(samples) = config.samples
        && !config.dataset.is_made()
        && !matches!(config.dataset, Dataset::Trace(_))
    {
        if times_s(&prompts).is_some() {
            // A prepared trace, too.
            prompts.truncate(samples);
        } else {
            let before = prompts.len();
            prompts = distinct(prompts);
            duplicates = (before - prompts.len()) as u64;
            prompts = Draw::new(seed, SAMPLING).sample(prompts, samples);
        }
    }
    let is_counted = config.dataset.is_made() || matches!(config.dataset, Dataset::Trace(_));
    if tokens.name().is_some() && !is_counted {
        for prompt in &mut prompts {
            prompt.exact_tokens = counted(prompt, tokens)?;
            for turn in &mut prompt.turns {
                let said: Vec<&str> = turn.messages.iter().map(|m| m.content.as_str()).collect();
                turn.exact_tokens = Some(tokens.count(&said.join("\n"))?);
            }
        }
    }
    let is_counted = prompts.iter().any(|prompt| prompt.exact_tokens.is_some());
    let tokenizer = tokens.name().map(str::to_owned).or(about.tokenizer).filter(|_| is_counted);
    let times_s = times_s(&prompts);
    Ok(Workload {
        prompts: prompts.into(),
        entries,
        broken,
        pruned,
        duplicates,
        not_exact,
        source,
        licence: about.licence,
        tokenizer,
        history,
        ignore_eos: config.ignore_eos,
        seed,
        times_s,
    })
}

/// When the prompts are to be sent, if each has its time and they are in its order.
fn times_s(prompts: &[Prompt]) -> Option<Arc<[f64]>> {
    let times: Arc<[f64]> = prompts.iter().map(|prompt| prompt.at_s).collect::<Option<_>>()?;
    times.is_sorted().then_some(times)
}

/// Texts of a trace's tokens are held in memory: about 2 GiB at most.
const MOST_TRACE_TOKENS: u64 = 400_000_000;

/// The prompts of a trace, each with its time, and where they come from.
fn replayed(
    config: &config::Workload,
    trace: &config::Trace,
    seed: u64,
    tokens: &dyn Tokens,
) -> anyhow::Result<(Read, String)> {
    let path = trace.path.display();
    let trace::Rows { rows, entries, broken, pruned, outside } = trace::read(trace, config.samples)?;
    let all: u64 = rows.iter().map(|row| u64::from(row.input_tokens)).sum();
    if all > MOST_TRACE_TOKENS {
        let message = format!("the prompts of `{path}` have {all} tokens and do not fit in memory");
        return Err(usage(message).hint("`--num-prompts N` or `--trace-end SECONDS` sends its begin").into());
    }
    let Made { prompts, not_exact } =
        trace::prompts(&rows, trace.block_tokens, config.max_tokens, seed, tokens)?;
    let part = if outside > 0 { format!(", {outside} of its requests left out") } else { String::new() };
    let source = format!("the trace {path}{part}, random words");
    Ok((Read { prompts, entries, broken, pruned, not_exact, about: None }, source))
}

/// Tokens of a text, where a whole dataset is counted: an estimate, where counting takes long.
pub(super) fn counting(tokens: &dyn Tokens) -> impl Fn(&str) -> u32 + '_ {
    |text| {
        let exact = if tokens.is_quick() { tokens.count(text).ok() } else { None };
        exact.unwrap_or_else(|| approx_tokens(text))
    }
}

/// A prompt's text, counted; that of images and the like is not its text alone.
fn counted(prompt: &Prompt, tokens: &dyn Tokens) -> anyhow::Result<Option<u32>> {
    let is_text = match &prompt.kind {
        PromptKind::Text(_) => true,
        PromptKind::Chat(messages) => messages.iter().all(|message| message.whole.is_none()),
    };
    is_text.then(|| tokens.count(&prompt.text())).transpose()
}

pub(super) fn read_file(dataset: &Dataset, want: &Want<'_>) -> anyhow::Result<Read> {
    match dataset {
        Dataset::Sharegpt { path } => sharegpt::read(path, want),
        Dataset::Jsonl { path } => jsonl::read(path, want),
        Dataset::Csv { path, columns } => csv::read(path, columns, want),
        Dataset::Parquet { path, columns } => parquet::read(path, columns, want),
        _ => Ok(Read::default()),
    }
}

/// Where prompts that are read come from.
fn source(dataset: &Dataset, about: Option<&About>) -> String {
    let origin = about.map(|about| format!(" ({})", about.source)).unwrap_or_default();
    match dataset {
        Dataset::Sharegpt { path } => format!("ShareGPT, {}", path.display()),
        Dataset::Jsonl { path } => format!("JSON Lines, {}{origin}", path.display()),
        Dataset::Csv { path, .. } => format!("CSV, {}", path.display()),
        Dataset::Parquet { path, .. } => format!("Parquet, {}", path.display()),
        _ => String::new(),
    }
}

/// Prompts that are made, as many as are wanted, and what they are.
fn made(config: &config::Workload, seed: u64, tokens: &dyn Tokens) -> anyhow::Result<(Read, String)> {
    let n = config.samples.unwrap_or(1);
    let mut draw = Draw::new(seed, SYNTHETIC);
    let about = if tokens.name().is_some() { "" } else { "about " };
    let (Made { prompts, not_exact }, source) = match &config.dataset {
        Dataset::Random { input_len, output_len, prefix_len } => {
            let shape = (input_len, output_len, *prefix_len);
            let prompts = random::prompts(n, shape, config.multi_turn.as_ref(), tokens, &mut draw)?;
            let prefix = match prefix_len {
                0 => String::new(),
                n => format!(" after {n} that all share"),
            };
            (prompts, format!("random words, {about}{input_len} tokens{prefix}"))
        }
        Dataset::PrefixRepetition { prefix_len, suffix_len, num_prefixes, output_len } => {
            let shape = repeated::Shape {
                prefix: *prefix_len,
                suffix: *suffix_len,
                prefixes: *num_prefixes,
                output: *output_len,
            };
            let source = format!(
                "random words, {about}{suffix_len} tokens after one of {num_prefixes} prefixes of {prefix_len}"
            );
            (repeated::prompts(n, shape, tokens, &mut draw)?, source)
        }
        Dataset::Sonnet { input_len, output_len, prefix_len } => {
            let shape = (*input_len, *output_len, *prefix_len);
            let source =
                format!("sonnets, {about}{input_len} tokens of which the first {prefix_len} are shared");
            (sonnet::prompts(n, shape, tokens, &mut draw)?, source)
        }
        _ => (Made::default(), String::new()),
    };
    impossible(&prompts, &config.dataset, tokens)?;
    let entries = prompts.len() as u64;
    Ok((Read { prompts, entries, not_exact, ..Read::default() }, source))
}

/// Refuses lengths that no text can have, since special tokens alone are as many.
fn impossible(prompts: &[Prompt], dataset: &Dataset, tokens: &dyn Tokens) -> anyhow::Result<()> {
    let special = tokens.special()?;
    let least = match dataset {
        Dataset::Random { input_len, prefix_len, .. } => {
            input_len.most().map(|most| most + f64::from(*prefix_len))
        }
        Dataset::PrefixRepetition { prefix_len, suffix_len, .. } => {
            Some(f64::from(*prefix_len) + f64::from(*suffix_len))
        }
        Dataset::Sonnet { input_len, .. } => Some(f64::from(*input_len)),
        _ => None,
    };
    if least.is_some_and(|least| least <= f64::from(special))
        || prompts.iter().any(|prompt| prompt.text().is_empty())
    {
        return Err(usage("a prompt would have no text")
            .hint(format!("the tokenizer puts {special} special tokens around every text: ask for more"))
            .into());
    }
    Ok(())
}

/// Cuts conversations to their turns, leaves out those that are too short, and draws the times to think.
/// Whose answers they are carried on with; `None` when there are none.
fn conversations(
    prompts: &mut Vec<Prompt>,
    config: &config::Workload,
    about: &About,
    pruned: &mut Skipped,
    seed: u64,
) -> anyhow::Result<Option<History>> {
    let Some(turns) = &config.multi_turn else {
        // A set that was written with conversations is one of conversations.
        let has_turns = prompts.iter().any(|prompt| !prompt.turns.is_empty());
        return Ok((has_turns || about.history.is_some()).then(|| about.history.unwrap_or_default()));
    };
    let mut draw = Draw::new(seed, THINKING);
    let mut number: u64 = 0;
    prompts.retain_mut(|prompt| {
        number += 1;
        let has = prompt.requests();
        if has < u64::from(turns.min_turns) {
            let reason = format_args!("{has} turns, fewer than {}", turns.min_turns);
            pruned.add(format_args!("conversation {}", number - 1), reason);
            return false;
        }
        if let Some(most) = turns.max_turns {
            prompt.turns.truncate(most as usize - 1);
        }
        if let Some(law) = &turns.think_time_s {
            for turn in &mut prompt.turns {
                turn.think_s = lengths::draw_s(law, &mut draw);
            }
        }
        true
    });
    if prompts.is_empty() {
        return Err(usage(format!("no conversation has {} turns or more", turns.min_turns))
            .hint("ask for fewer with --multi-turn-min-turns")
            .into());
    }
    Ok(Some(turns.history.or(about.history).unwrap_or_default()))
}

/// The first of each text, in order.
fn distinct(prompts: Vec<Prompt>) -> Vec<Prompt> {
    let mut seen = HashSet::new();
    let first: Vec<bool> = prompts.iter().map(|prompt| seen.insert(all_of(prompt))).collect();
    drop(seen);
    prompts.into_iter().zip(first).filter_map(|(prompt, first)| first.then_some(prompt)).collect()
}
