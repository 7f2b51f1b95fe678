//! What to send: prompts from a dataset or made up, in a seeded order, the same for the same seed.
//! This module must not know when they are sent, nor over what.
//!
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
pub mod histogram;
pub mod jsonl;
pub mod lengths;
pub mod local;
pub mod looks;
pub mod parquet;
pub mod plan;
pub mod random;
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
use std::fmt;
use std::io::BufRead;
use std::path::Path;
use std::sync::Arc;

use self::draw::Draw;
use self::jsonl::About;
use self::local::Local;
use self::looks::Looks;
use self::synthetic::Made;
use self::tokens::{Rule, Tokens, approx_tokens};
use crate::config::{self, Dataset, Tokenizer};
use crate::error::{Failure, usage};
use crate::record::{DatasetName, History, Message, Prompt, PromptKind};

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

/// What is wanted of a dataset that is read.
#[derive(Clone, Copy)]
pub struct Want<'a> {
    /// In place of the rows' own limits.
    pub max_tokens: Option<u32>,
    /// Conversations turn by turn.
    pub turns: bool,
    /// Tokens of a text, as well as they can be had for a whole dataset.
    pub count: &'a dyn Fn(&str) -> u32,
}

/// Entries left out: how many, and why the first few were.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Skipped {
    pub count: u64,
    /// `entry 3: conversations: …`; at most [`Skipped::SHOWN`].
    pub reasons: Vec<String>,
}

/// What a dataset reader hands over.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Read {
    pub prompts: Vec<Prompt>,
    pub entries: u64,
    pub broken: Skipped,
    pub pruned: Skipped,
    /// Of texts that are made: those that could not be built to the number of tokens drawn for them.
    pub not_exact: u64,
    pub about: Option<About>,
}

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
fn counting(tokens: &dyn Tokens) -> impl Fn(&str) -> u32 + '_ {
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

fn read_file(dataset: &Dataset, want: &Want<'_>) -> anyhow::Result<Read> {
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

impl Skipped {
    /// How many reasons are kept.
    pub const SHOWN: usize = 5;

    /// Counts one more.
    pub fn add(&mut self, place: impl fmt::Display, reason: impl fmt::Display) {
        self.count += 1;
        if self.reasons.len() < Self::SHOWN {
            self.reasons.push(format!("{place}: {reason}"));
        }
    }
}

impl Read {
    /// The failure when nothing is left to send.
    fn or_empty(self, file: &Path, name: DatasetName, expected: &str) -> Result<Self, Failure> {
        if !self.prompts.is_empty() {
            return Ok(self);
        }
        let path = file.display();
        let message = match self.entries {
            0 => format!("`{path}` holds no entries"),
            n => format!("none of the {n} entries of `{path}` can be sent"),
        };
        let reasons = self.broken.reasons.iter().chain(&self.pruned.reasons).take(Skipped::SHOWN);
        let message = reasons.fold(message, |message, reason| format!("{message}\n  {reason}"));
        Err(match Looks::of(file).and_then(|looks| looks.hint(name)) {
            Some(looks) => usage(message).hint(looks),
            None => usage(message).hint(expected),
        })
    }
}

/// With a hint of what the file looks like, where that is something else than what it was taken for.
fn looking_like(failure: Failure, path: &Path, name: DatasetName) -> Failure {
    match Looks::of(path).and_then(|looks| looks.hint(name)) {
        Some(looks) => failure.hint(looks),
        None => failure,
    }
}

/// All that a prompt, or a conversation, says.
fn all_of(prompt: &Prompt) -> (&PromptKind, Vec<(&Option<String>, &[Message])>) {
    (&prompt.kind, prompt.turns.iter().map(|turn| (&turn.answer, turn.messages.as_slice())).collect())
}

/// The first of each text, in order.
fn distinct(prompts: Vec<Prompt>) -> Vec<Prompt> {
    let mut seen = HashSet::new();
    let first: Vec<bool> = prompts.iter().map(|prompt| seen.insert(all_of(prompt))).collect();
    drop(seen);
    prompts.into_iter().zip(first).filter_map(|(prompt, first)| first.then_some(prompt)).collect()
}

/// A JSON value's kind in words, for "found …".
fn kind(value: &serde_json::Value) -> &'static str {
    use serde_json::Value;
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Opens a dataset behind its byte order mark, if it has one; the failure says where it was looked for.
fn open(path: &Path) -> Result<std::io::BufReader<std::fs::File>, Failure> {
    let opened = std::fs::File::open(path).and_then(|file| {
        if file.metadata()?.is_dir() {
            Err(std::io::Error::from(std::io::ErrorKind::IsADirectory))
        } else {
            Ok(file)
        }
    });
    let mut file = opened.map(std::io::BufReader::new).map_err(|error| {
        usage(format!("cannot read the dataset `{}`", path.display()))
            .caused_by(error)
            .hint("paths are relative to the current directory; requests/README.md says what ships and how to get more")
    })?;
    // What cannot be read is the reader's to tell.
    if file.fill_buf().is_ok_and(|begin| begin.starts_with(looks::BYTE_ORDER_MARK)) {
        file.consume(looks::BYTE_ORDER_MARK.len());
    }
    Ok(file)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::config::Workload as Settings;
    use crate::config::law::Law;

    fn settings(dataset: Dataset, samples: Option<usize>) -> Settings {
        Settings {
            dataset,
            samples,
            max_tokens: None,
            tokenizer: None,
            allow_tokenizer_mismatch: false,
            multi_turn: None,
            temperature: None,
            top_p: None,
            ignore_eos: false,
            stream: true,
            extra_body: serde_json::Map::new(),
        }
    }

    fn file(lines: &[&str]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(lines.join("\n").as_bytes()).unwrap();
        file
    }

    fn texts(workload: &Workload) -> Vec<String> {
        workload.prompts.iter().map(|p| p.text().into_owned()).collect()
    }

    #[test]
    fn without_samples_the_file_is_sent_in_order_and_from_the_start_again() {
        let file = file(&[r#"{"prompt":"a"}"#, r#"{"prompt":"b"}"#, r#"{"prompt":"a"}"#]);
        let workload = load(&settings(Dataset::Jsonl { path: file.path().into() }, None), 0).unwrap();
        assert_eq!(texts(&workload), ["a", "b", "a"]);
        assert_eq!(
            workload.at(4).map(|(index, prompt)| (index, prompt.text().into_owned())),
            Some((1, "b".to_owned()))
        );
        assert_eq!([0, 1, 2, 3, 10].map(|requests| workload.repeats(requests)), [0, 0, 0, 1, 8]);
    }

    #[test]
    fn a_sample_is_seeded_distinct_and_no_larger_than_the_file() {
        let lines: Vec<String> = (0..50).map(|i| format!(r#"{{"prompt":"p{}"}}"#, i % 40)).collect();
        let file = file(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        let drawn = |samples, seed| {
            load(&settings(Dataset::Jsonl { path: file.path().into() }, Some(samples)), seed).unwrap()
        };
        assert_eq!(texts(&drawn(10, 1)), texts(&drawn(10, 1)));
        assert_ne!(texts(&drawn(10, 1)), texts(&drawn(10, 2)));
        let all = drawn(500, 1);
        assert_eq!((all.prompts.len(), all.duplicates, all.repeats(40), all.repeats(41)), (40, 10, 0, 1));
    }

    /// Both begin alike and go on differently; the third is the first again.
    #[test]
    fn conversations_are_told_apart_by_all_that_is_said() {
        let talk = |then: &str| {
            format!(
                r#"{{"messages":[{{"role":"user","content":"go on"}}],"turns":[{{"messages":[{{"role":"user","content":"{then}"}}]}}]}}"#
            )
        };
        let file = file(&[&talk("a"), &talk("b"), &talk("a")]);
        let drawn = load(&settings(Dataset::Jsonl { path: file.path().into() }, Some(3)), 1).unwrap();
        assert_eq!((drawn.prompts.len(), drawn.duplicates, drawn.repeats(2)), (2, 1, 0));
    }

    /// Who counts two tokens a word has no text of an odd number of them.
    #[test]
    fn what_cannot_be_built_is_counted_whatever_the_law() {
        struct Pairs;
        impl Tokens for Pairs {
            fn count(&self, text: &str) -> anyhow::Result<u32> {
                Ok(2 * text.split_whitespace().count() as u32)
            }
            fn special(&self) -> anyhow::Result<u32> {
                Ok(0)
            }
            fn words(&self) -> &[String] {
                Rule.words()
            }
            fn name(&self) -> Option<&str> {
                Some("pairs")
            }
        }
        let odd = |input: &str| {
            let (input_len, output_len) = (input.parse().unwrap(), Law::Fixed(1.0));
            let dataset = Dataset::Random { input_len, output_len, prefix_len: 0 };
            load_with(&settings(dataset, Some(40)), 5, &Pairs).unwrap().not_exact
        };
        assert_eq!((odd("8"), odd("9")), (0, 40));
        assert!((1..40).contains(&odd("normal:60,9")), "{}", odd("normal:60,9"));
    }

    #[test]
    fn what_was_drawn_can_be_written_and_sent_again() {
        let law = |mean| Law::Around { mean, ratio: 0.5 };
        let lengths = Dataset::Random { input_len: law(12.0), output_len: law(5.0), prefix_len: 0 };
        let made = load(&settings(lengths, Some(7)), 3).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("requests.jsonl");
        made.write(&path).unwrap();
        let again = load(&settings(Dataset::Jsonl { path }, None), 0).unwrap();
        assert_eq!(again.prompts, made.prompts);
        assert!(again.source.ends_with("(random words, about ratio:12,0.5 tokens)"), "{}", again.source);
    }

    #[test]
    fn a_missing_file_and_a_folder_are_refused() {
        for path in ["/nowhere/at/all.jsonl", "/"] {
            let error = load(&settings(Dataset::Jsonl { path: path.into() }, None), 0).unwrap_err();
            assert_eq!(error.to_string(), format!("cannot read the dataset `{path}`"));
        }
    }
}
