//! What to send: prompts from a dataset or made up, in a seeded order, the same for the same seed.
//! This module must not know when they are sent, nor over what.
//!
//! - [`sharegpt`], [`jsonl`]: dataset readers; they keep the good entries, and count the others
//! - [`trace`]: traces of requests, with their lengths and times
//! - [`synthetic`]: random words; [`tokens`]: how long a text is, about; [`draw`]: seeded chance
//! - [`rounds`]: what an audit's rounds send
//! - [`plan`]: what a configuration and its workload will do, in words

pub mod draw;
pub mod jsonl;
pub mod plan;
pub mod rounds;
pub mod sharegpt;
pub mod synthetic;
pub mod tokens;
pub mod trace;

use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use self::draw::Draw;
use self::jsonl::About;
use crate::config::{self, Dataset};
use crate::error::{Failure, usage};
use crate::record::{Prompt, PromptKind};

/// The prompts of a run. Request i sends prompt i mod n.
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
    /// Where the prompts come from, in words.
    pub source: String,
    /// Their licence, when the dataset states it.
    pub licence: Option<String>,
    pub seed: u64,
    /// Of a trace: when each was sent, in seconds, ascending.
    pub times_s: Option<Arc<[f64]>>,
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
    pub about: Option<About>,
}

/// Streams of chance; each number is used for one thing for ever.
const SAMPLING: u64 = 1;
const SYNTHETIC: u64 = 2;

/// Reads or makes the prompts.
pub fn load(config: &config::Workload, seed: u64) -> anyhow::Result<Workload> {
    let mut times_s = None;
    let (read, source) = match &config.dataset {
        Dataset::Sharegpt { path } => {
            (sharegpt::read(path, config.max_tokens)?, format!("ShareGPT, {}", path.display()))
        }
        Dataset::Jsonl { path } => {
            let read = jsonl::read(path, config.max_tokens)?;
            let origin = read.about.as_ref().map(|about| format!(" ({})", about.source)).unwrap_or_default();
            let source = format!("JSON Lines, {}{origin}", path.display());
            (read, source)
        }
        Dataset::Random { input_len, output_len, range_ratio } => {
            let lengths =
                synthetic::Lengths { input: *input_len, output: *output_len, range_ratio: *range_ratio };
            let prompts =
                synthetic::prompts(config.samples.unwrap_or(1), lengths, &mut Draw::new(seed, SYNTHETIC));
            let entries = prompts.len() as u64;
            let source = format!("random words, about {input_len} tokens");
            (Read { prompts, entries, ..Read::default() }, source)
        }
        Dataset::Trace(trace) => {
            let (read, source, times) = replayed(config, trace, seed)?;
            times_s = Some(times);
            (read, source)
        }
    };
    let Read { mut prompts, entries, broken, pruned, about } = read;
    let licence = about.and_then(|about| about.licence);
    let mut duplicates = 0;
    // Random prompts are made to number, and a trace is sent from its begin.
    if let Some(samples) = config.samples
        && !matches!(config.dataset, Dataset::Random { .. } | Dataset::Trace(_))
    {
        let before = prompts.len();
        prompts = distinct(prompts);
        duplicates = (before - prompts.len()) as u64;
        prompts = Draw::new(seed, SAMPLING).sample(prompts, samples);
    }
    Ok(Workload {
        prompts: prompts.into(),
        entries,
        broken,
        pruned,
        duplicates,
        source,
        licence,
        seed,
        times_s,
    })
}

/// Texts of a trace's tokens are held in memory: about 2 GiB at most.
const MOST_TRACE_TOKENS: u64 = 400_000_000;

/// The prompts of a trace, where they come from, and when they were sent.
fn replayed(
    config: &config::Workload,
    trace: &config::Trace,
    seed: u64,
) -> Result<(Read, String, Arc<[f64]>), Failure> {
    let path = trace.path.display();
    let trace::Rows { rows, entries, broken, pruned, outside } = trace::read(trace, config.samples)?;
    let tokens: u64 = rows.iter().map(|row| u64::from(row.input_tokens)).sum();
    if tokens > MOST_TRACE_TOKENS {
        let message = format!("the prompts of `{path}` have {tokens} tokens and do not fit in memory");
        return Err(usage(message).hint("`--num-prompts N` or `--trace-end SECONDS` sends its begin"));
    }
    let prompts = trace::prompts(&rows, trace.block_tokens, config.max_tokens, seed);
    let part = if outside > 0 { format!(", {outside} of its requests left out") } else { String::new() };
    let source = format!("the trace {path}{part}, random words");
    let times = rows.iter().map(|row| row.offset_s).collect();
    Ok((Read { prompts, entries, broken, pruned, about: None }, source, times))
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
        let texts: HashSet<&PromptKind> = self.prompts.iter().take(sent).map(|prompt| &prompt.kind).collect();
        requests - texts.len() as u64
    }

    /// Writes the prompts as a request file, which sends exactly the same again.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let about = About {
            source: self.source.clone(),
            licence: self.licence.clone(),
            seed: Some(self.seed),
            prompts: Some(self.prompts.len() as u64),
        };
        jsonl::write(path, &self.prompts, about)
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
    fn or_empty(self, path: &Path, expected: &str) -> Result<Self, Failure> {
        if !self.prompts.is_empty() {
            return Ok(self);
        }
        let path = path.display();
        let message = match self.entries {
            0 => format!("`{path}` holds no entries"),
            n => format!("none of the {n} entries of `{path}` can be sent"),
        };
        let reasons = self.broken.reasons.iter().chain(&self.pruned.reasons).take(Skipped::SHOWN);
        let message = reasons.fold(message, |message, reason| format!("{message}\n  {reason}"));
        Err(usage(message).hint(expected))
    }
}

/// The first of each text, in order.
fn distinct(prompts: Vec<Prompt>) -> Vec<Prompt> {
    let mut seen = HashSet::new();
    let first: Vec<bool> = prompts.iter().map(|prompt| seen.insert(&prompt.kind)).collect();
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

/// Opens a dataset; the failure says where it was looked for.
fn open(path: &Path) -> Result<std::io::BufReader<std::fs::File>, Failure> {
    let opened = std::fs::File::open(path).and_then(|file| {
        if file.metadata()?.is_dir() {
            Err(std::io::Error::from(std::io::ErrorKind::IsADirectory))
        } else {
            Ok(file)
        }
    });
    opened.map(std::io::BufReader::new).map_err(|error| {
        usage(format!("cannot read the dataset `{}`", path.display()))
            .caused_by(error)
            .hint("paths are relative to the current directory; requests/README.md says what ships and how to get more")
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::config::Workload as Settings;

    fn settings(dataset: Dataset, samples: Option<usize>) -> Settings {
        Settings {
            dataset,
            samples,
            max_tokens: None,
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

    #[test]
    fn what_was_drawn_can_be_written_and_sent_again() {
        let lengths = Dataset::Random { input_len: 12, output_len: 5, range_ratio: 0.5 };
        let made = load(&settings(lengths, Some(7)), 3).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("requests.jsonl");
        made.write(&path).unwrap();
        let again = load(&settings(Dataset::Jsonl { path }, None), 0).unwrap();
        assert_eq!(again.prompts, made.prompts);
        assert!(again.source.ends_with("(random words, about 12 tokens)"), "{}", again.source);
    }

    #[test]
    fn a_missing_file_and_a_folder_are_refused() {
        for path in ["/nowhere/at/all.jsonl", "/"] {
            let error = load(&settings(Dataset::Jsonl { path: path.into() }, None), 0).unwrap_err();
            assert_eq!(error.to_string(), format!("cannot read the dataset `{path}`"));
        }
    }
}
