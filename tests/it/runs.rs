//! Runs made for tests, in this process: a configuration and flags in, everything that was recorded
//! out, and beside it the truth of the embedded server, which runs as a child process. This module
//! must not know what a test wants to see.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};

use tare::cli::{Cli, Command};
use tare::config::{self, Config};
use tare::error::Exit;
use tare::mock::truth::{Outcome as Fate, TruthRow};
use tare::record::correlated::{Check, Correlated, Evidence, HeadlineRow, Verdict};
use tare::record::{JoinedRow, LogRow, RequestRow, Status};
use tare::report::Summary;
use tare::run::{Options, Outcome};
use tare::store::{Events, Manifest, RunData, RunFolder};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// A server whose answers take tens of milliseconds, told by every kind of evidence.
pub const QUICK: &str = "embedded:
  decode_base_ms: 2
  decode_per_seq_ms: 0.05
  prefill_us_per_token: 20
  frontend_ms: 0.5
";

/// Short prompts, and answers of exactly so many tokens.
pub const SHORT: &str = "--dataset-name random --random-input-len 12 --random-output-len 12 --random-range-ratio 0.5 --ignore-eos";

/// One run, ended, with its truth.
pub struct Run {
    pub folder: PathBuf,
    pub exit: Exit,
    pub manifest: Manifest,
    pub correlated: Correlated,
    pub summary: Summary,
    pub rows: Vec<RequestRow>,
    pub events: Events,
    pub log: Vec<LogRow>,
    /// In the order in which the server read the requests.
    pub truth: Vec<TruthRow>,
    pub config: Config,
    _dir: TempDir,
}

/// Configuration and flags as the program would resolve them, for a run folder in `dir`.
pub fn configured(dir: &Path, yaml: &str, flags: &str) -> Config {
    let file = dir.join("config.yaml");
    std::fs::write(&file, yaml).unwrap();
    let output = dir.join("run");
    let words = ["tare", "run"].into_iter().chain(flags.split_whitespace()).map(OsString::from);
    let named = [file.clone().into_os_string(), "--output".into(), output.into_os_string()];
    let Command::Run(args) = Cli::try_read(words.chain(named)).unwrap().command else {
        panic!("not a run: {flags}")
    };
    config::load(Some(&file), &args).unwrap_or_else(|error| panic!("{error:#}"))
}

/// Makes a run against the embedded server, in this process, to its end.
pub fn run(yaml: &str, flags: &str) -> Run {
    let dir = tempfile::tempdir().unwrap();
    let config = configured(dir.path(), yaml, flags);
    let outcome =
        run_in(dir.path(), &config, CancellationToken::new()).unwrap_or_else(|error| panic!("{error:#}"));
    Run::read(dir, config, outcome)
}

/// As [`run`], without waiting: the outcome comes when `interrupt` has ended it, or by itself.
pub fn run_until(
    yaml: &str,
    flags: &str,
    interrupt: &CancellationToken,
) -> (TempDir, Config, Receiver<Outcome>) {
    let dir = tempfile::tempdir().unwrap();
    let config = configured(dir.path(), yaml, flags);
    let (sender, outcome) = channel();
    let (path, given, interrupt) = (dir.path().to_owned(), config.clone(), interrupt.clone());
    std::thread::spawn(move || {
        let _ = sender.send(run_in(&path, &given, interrupt).unwrap());
    });
    (dir, config, outcome)
}

fn run_in(dir: &Path, config: &Config, interrupt: CancellationToken) -> anyhow::Result<Outcome> {
    let options = Options {
        exe: env!("CARGO_BIN_EXE_tare").into(),
        quiet: true,
        interrupt,
        truth: Some(dir.join("truth.jsonl")),
        ranks: None,
    };
    tare::run::run(config, &options)
}

impl Run {
    /// Everything that the run left behind.
    pub fn read(dir: TempDir, config: Config, outcome: Outcome) -> Self {
        let data = RunData::read(&RunFolder::open(&outcome.folder).unwrap()).unwrap();
        assert_eq!(data.complaints(), [""; 0], "a run that ended by itself leaves whole records");
        let mut truth = truth(&dir.path().join("truth.jsonl"));
        truth.sort_by_key(|row| row.n);
        Self {
            folder: outcome.folder,
            exit: outcome.exit,
            manifest: data.manifest,
            correlated: outcome.recomputed.correlated,
            summary: outcome.recomputed.summary,
            rows: data.requests.rows,
            events: data.events.whole().unwrap(),
            log: data.log.rows,
            truth,
            config,
            _dir: dir,
        }
    }

    /// The truth of each request: of one that was sent twice, the last.
    pub fn truth_by_id(&self) -> BTreeMap<&str, &TruthRow> {
        self.truth.iter().filter_map(|row| Some((row.x_request_id.as_deref()?, row))).collect()
    }

    pub fn ok(&self) -> impl Iterator<Item = &RequestRow> {
        self.rows.iter().filter(|row| row.status == Status::Ok)
    }

    pub fn joined_ok(&self) -> impl Iterator<Item = &JoinedRow> {
        self.correlated.rows.iter().filter(|row| row.client.status == Status::Ok)
    }

    /// Which rows of the events are those of a request.
    pub fn events_of(&self, row: &RequestRow) -> Range<usize> {
        self.events.of(&row.request_id).unwrap_or_default()
    }

    pub fn headline(&self, column: &str) -> &HeadlineRow {
        let rows = &self.correlated.headline;
        rows.iter()
            .find(|row| row.metric.column() == column)
            .unwrap_or_else(|| panic!("no {column} in {rows:?}"))
    }

    pub fn sources(&self) -> Vec<Evidence> {
        self.correlated.headline.iter().map(|row| row.source).collect()
    }

    pub fn check(&self, name: &str) -> &Check {
        let checks = &self.correlated.checks;
        checks
            .iter()
            .find(|check| check.name == name)
            .unwrap_or_else(|| panic!("no check {name} in {checks:?}"))
    }

    /// Every check of this verdict, as text.
    pub fn checks(&self, verdict: Verdict) -> Vec<String> {
        let of = self.correlated.checks.iter().filter(|check| check.verdict == verdict);
        of.map(|check| format!("{}: {}", check.name, check.detail)).collect()
    }

    pub fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.join(name)).unwrap()
    }
}

/// The server's record of what really happened.
fn truth(path: &Path) -> Vec<TruthRow> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The word by which a client should call what happened to a request, by the server's own record.
pub fn fate(truth: &TruthRow) -> Status {
    match truth.outcome {
        Fate::Complete => Status::Ok,
        Fate::Rejected => Status::HttpError,
        Fate::Cut if truth.faults.iter().any(|fault| fault == "stream_error") => Status::StreamError,
        // A late server tells several tokens at once: then the cut strikes what comes after the end.
        Fate::Cut if told_whole(truth) => Status::Ok,
        Fate::Cut => Status::Cut,
        Fate::Aborted | Fate::Stopped => Status::InFlight,
    }
}

/// Whether the client got every token, and the reason why there are no more.
fn told_whole(truth: &TruthRow) -> bool {
    let told: u32 = truth.events.iter().map(|(_, tokens, _)| tokens).sum();
    truth.finish_reason.is_some() && told == truth.output_tokens
}
