//! What the manifest says of a run beside its configuration: host, sources, counts, and notes on
//! what was lacking. This file must not know how anything is measured.

use std::path::PathBuf;

use nix::sys::utsname::uname;

use super::writer::Ended;
use crate::config::{Config, Connections, Load};
use crate::ingest::IngestReport;
use crate::ingest::snapshot::{AfterOutcome, BeforeOutcome, Verdict};
use crate::load;
use crate::net;
use crate::record::History;
use crate::record::own::{self, OwnLag};
use crate::store::Manifest;
use crate::store::manifest::{Host, SourceFacts, StageCounts};
use crate::units;
use crate::workload::Workload;

/// The run folder: as named, or `output/<name>-<time>`.
pub(super) fn folder_of(config: &Config) -> PathBuf {
    config.output.clone().unwrap_or_else(|| {
        let now = chrono::Local::now().format("%Y%m%d-%H%M%S");
        PathBuf::from("output").join(format!("{}-{now}", config.name))
    })
}

/// The machine that the load runs on.
pub(super) fn host() -> Host {
    let names = uname().ok();
    let name = |get: fn(&nix::sys::utsname::UtsName) -> &std::ffi::OsStr| {
        names.as_ref().map(|n| get(n).to_string_lossy().into_owned())
    };
    let line = |path: &str, key: &str| {
        let text = std::fs::read_to_string(path).ok()?;
        let line = text.lines().find(|l| l.starts_with(key))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    Host {
        hostname: name(nix::sys::utsname::UtsName::nodename),
        os: name(nix::sys::utsname::UtsName::sysname),
        kernel: name(nix::sys::utsname::UtsName::release),
        cpu_model: line("/proc/cpuinfo", "model name"),
        cpus: std::thread::available_parallelism().ok().map(std::num::NonZero::get),
        memory_bytes: line("/proc/meminfo", "MemTotal")
            .and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok())
            .map(|kib| kib * 1024),
    }
}

/// What the dataset held and the run does not send, each with the first reasons; and that it holds fewer than
/// the `asked`.
pub(super) fn left_out(asked: Option<usize>, workload: &Workload) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(asked) = asked.filter(|&asked| asked > workload.prompts.len()) {
        let has = workload.prompts.len();
        notes.push(format!("{asked} different prompts were asked for, and the dataset has {has}"));
    }
    for (skipped, why) in
        [(&workload.broken, "could not be read"), (&workload.pruned, "were left out for their length")]
    {
        if skipped.count > 0 {
            let reasons = skipped.reasons.join("; ");
            notes.push(format!(
                "{} of {} entries of the dataset {why}: {reasons}",
                skipped.count, workload.entries
            ));
        }
    }
    notes
}

/// Who counted the prompts, and what conversations are carried on with.
pub(super) fn note_workload(manifest: &mut Manifest, workload: &Workload) {
    if workload.not_exact > 0 {
        manifest.warn(format!(
            "{} of {} prompts could not be built to the number of tokens asked for; they have the nearest",
            workload.not_exact,
            workload.prompts.len()
        ));
    }
    let n = workload.prompts.len() as u64;
    manifest.extra.insert(
        "workload".to_owned(),
        serde_json::json!({
            "source": workload.source, "seed": workload.seed, "prompts": n,
            "tokenizer": workload.tokenizer, "not_exact": workload.not_exact,
            "history": workload.history, "requests_of_all": workload.history.map(|_| workload.requests(n)),
        }),
    );
}

/// What was sent, what was not and why. What was due at the very moment at which the load was `ended_early` is no sign of
/// anything.
pub(super) fn note_load(
    manifest: &mut Manifest,
    config: &Config,
    plan: &load::Plan,
    outcome: &load::Outcome,
    ended_early: bool,
) {
    let history = plan.requests.history;
    manifest.extra.insert(
        "load".to_owned(),
        serde_json::json!({
            "begun_unix_ns": outcome.begun_unix_ns, "ended_unix_ns": outcome.ended_unix_ns,
            "sent": outcome.sent, "unsent": outcome.unsent, "interrupted": outcome.interrupted,
            "last_due_unix_ns": outcome.last_due_unix_ns,
            "turns_unsent": history.map(|_| outcome.turns_unsent),
            "ready_late_s": outcome.ready_late_s,
            "connections": outcome.connections, "threads": outcome.threads,
        }),
    );
    if outcome.unsent > 0 && !ended_early {
        let why = match config.load.max_concurrency {
            Some(_) => "the limit of concurrency held them back",
            None => "the client was too late for them",
        };
        let what = if history.is_some() { "conversations" } else { "requests" };
        manifest.warn(format!(
            "{} {what} were due and never sent: {why}, so the load was lower than asked for",
            outcome.unsent
        ));
    }
    note_turns(manifest, outcome.turns_unsent);
    if config.audit.is_none() {
        note_connections(manifest, plan, outcome);
    }
    if outcome.refused_usage > 0 {
        manifest.notes.push(format!(
            "the server refused `continuous_usage_stats`: {} requests were sent again without it, and tokens per event are unknown",
            outcome.refused_usage
        ));
    }
}

/// Later turns that were not sent.
fn note_turns(manifest: &mut Manifest, unsent: load::TurnsUnsent) {
    if unsent.after_failure > 0 {
        manifest.warn(format!(
            "{} later turns of conversations were not sent, since a turn before them failed",
            unsent.after_failure
        ));
    }
    if unsent.at_the_end > 0 {
        manifest.note(format!(
            "{} later turns of conversations were not sent, since the run ended first",
            unsent.at_the_end
        ));
    }
}

/// The snapshot before the load.
pub(super) fn note_before(manifest: &mut Manifest, before: &BeforeOutcome) {
    if !before.idle {
        manifest.warn(format!(
            "the server was not idle before the run ({} running, {} waiting): its numbers contain other requests",
            before.running.unwrap_or(0.0),
            before.waiting.unwrap_or(0.0)
        ));
    }
    if let Ok(value) = serde_json::to_value(before) {
        manifest.extra.insert("snapshot_before".to_owned(), value);
    }
}

/// The snapshot after the load. Of the `unwell` requests, those that did not end well here, some may
/// have ended well at the server: they are no traffic of others.
pub(super) fn note_after(manifest: &mut Manifest, after: &AfterOutcome, unwell: u64) {
    let more = after.finished.unwrap_or(0.0) - after.expected.unwrap_or(0.0);
    match after.verdict {
        Verdict::Agreed | Verdict::Settled => {}
        Verdict::More if more <= unwell as f64 => {}
        Verdict::Fewer | Verdict::More => manifest.warn(format!("the snapshot after the run: {after}")),
        Verdict::Unknown => manifest.notes.push(format!("the snapshot after the run: {after}")),
    }
    if let Ok(value) = serde_json::to_value(after) {
        manifest.extra.insert("snapshot_after".to_owned(), value);
    }
}

/// What the sources of the server's side gave.
pub(super) fn note_ingested(manifest: &mut Manifest, report: &IngestReport) {
    manifest.sources = report
        .sources
        .iter()
        .map(|s| SourceFacts { kind: s.kind.clone(), location: s.source.clone(), rows: s.parsed, note: None })
        .collect();
    for source in &report.sources {
        let counts = StageCounts { rows_in: source.seen, rows_out: source.parsed, bad: source.rejected };
        manifest.counts.insert(format!("{} {}", source.kind, source.source), counts);
    }
    for reset in &report.resets {
        manifest
            .warn(format!("the counters of {} were reset during the run: {}", reset.source, reset.evidence));
    }
    manifest.notes.extend(report.notes.iter().cloned());
}

/// What was seen of this program while the load ran.
pub(super) fn note_own(manifest: &mut Manifest, own: Option<OwnLag>) {
    let Some(mut own) = own else { return };
    manifest.clock.steps = std::mem::take(&mut own.clock_steps);
    if let Ok(value) = serde_json::to_value(own) {
        manifest.extra.insert(own::KEY.to_owned(), value);
    }
}

/// Connections that did not come as the configuration has them.
fn note_connections(manifest: &mut Manifest, plan: &load::Plan, outcome: &load::Outcome) {
    let counts = outcome.connections;
    if plan.load.connections == Connections::Warm && counts.new > 0 {
        manifest.note(format!(
            "{} of {} requests found no open connection and opened theirs on the clock: their TTFT contains it (`connection` is `new`)",
            counts.new, outcome.sent
        ));
    }
    if counts.retried > 0 {
        manifest.note(format!(
            "{} of {} requests were sent a second time, on a new connection, since the server closed the older one without an answer: it may have run both (`connection` is `retried`)",
            counts.retried, outcome.sent
        ));
    }
    if counts.without_port > 0 {
        let why = load::needs::outrun(&plan.load, plan.address, outcome).unwrap_or_default();
        manifest.warn(format!("{} requests found no free source port. {why}", counts.without_port).trim());
    }
}

/// What reached the disk. Gives back what did not, in words. `sent`: requests, where the load came to its end.
pub(super) fn note_written(manifest: &mut Manifest, ended: &Ended, sent: Option<u64>) -> Option<String> {
    let written = &ended.written;
    let stage = |rows_in: u64, rows_out: u64| StageCounts { rows_in, rows_out, bad: 0 };
    manifest.counts.insert("requests".to_owned(), stage(sent.unwrap_or(written.results), written.results));
    manifest.counts.insert("events".to_owned(), stage(written.events, written.events));
    let Some(trouble) = &ended.trouble else {
        if let Some(sent) = sent.filter(|sent| *sent != written.results) {
            manifest.warn(format!(
                "{sent} requests were sent and {} were recorded: the others are lost",
                written.results
            ));
        }
        return None;
    };
    let (error, lasted) = (&trouble.error, units::seconds(trouble.lasted_s));
    if trouble.ended_load {
        manifest.warn("the load was ended early: the run folder could not be written, and what can be held in memory was full");
    }
    let Some(lost) = trouble.lost else {
        manifest.note(format!(
            "the run folder could not be written for {lasted} ({error}): what came meanwhile was held in memory and written afterwards, nothing is lost"
        ));
        return None;
    };
    let broke = format!(
        "the run folder could not be written ({error}): {} requests with {} events, and {} records of the server's side, were measured and are lost",
        lost.requests, lost.events, lost.others
    );
    manifest.warn(&*broke);
    Some(broke)
}

/// Where the server's name led, if that was more than one address.
pub(super) fn note_moves(manifest: &mut Manifest, history: &net::History) {
    if history.addresses.len() > 1 || history.failed > 0 {
        manifest.extra.insert("addresses".to_owned(), serde_json::json!(history));
    }
    for moved in history.addresses.windows(2) {
        if let [from, to] = moved {
            let after = units::seconds(to.since_unix_ns.seconds_since(from.since_unix_ns));
            manifest.note(format!(
                "the server's name led to {} instead of {} after {after}: connections opened since then go there, and those that were open stayed",
                to.address, from.address
            ));
        }
    }
    if let Some(error) = &history.last_error {
        manifest.note(format!(
            "the server's name could not be looked up {} times while the load ran ({error}): the last address was kept",
            units::count(history.failed)
        ));
    }
}

/// The load that was asked for, before anything of it is sent: in words, and where it stays the same.
pub(super) fn note_asked(manifest: &mut Manifest, load: &Load, history: Option<History>) {
    let of = if history.is_some() { "conversations" } else { "requests" };
    manifest.extra.insert(
        "asked".to_owned(),
        serde_json::json!({
            "law": load.words(of),
            "is_open": load.arrival.is_open(),
            "level_spans_s": load.arrival.level_spans_s(),
        }),
    );
}
