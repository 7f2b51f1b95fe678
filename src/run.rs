//! The pipeline; this file and those below it alone see all of its stages: workload → load and ingest (or import)
//! → run folder → correlate → report and plots. It decides order and what is said when something is
//! missing; it measures nothing itself.

mod add_log;
mod audit;
mod chosen;
mod compare;
mod embedded;
mod exported;
mod exposed;
mod facts;
mod figure;
mod forget;
mod hop_file;
mod import;
mod late;
mod named;
mod observed;
mod planned;
mod plotted;
mod progress;
pub mod ranks;
mod read_back;
mod recompute;
mod recorded;
mod replay;
mod saturation;
mod server_side;
mod stamps;
mod sweep;
mod target;
mod tokens;
mod under_way;
mod warm_ups;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

pub use self::add_log::{add_hop, add_log, add_stat_log};
pub use self::compare::{Compared, Gates, Judged, ToCompare, compare, configured_gates};
pub use self::exported::export_spans;
pub use self::figure::figure;
pub use self::import::{Import, import};
pub use self::named::named;
pub use self::ranks::Ranks;
pub use self::ranks::merge::{ToMerge, merge};
pub use self::read_back::{ReadBack, read_back};
pub use self::recompute::{Recomputed, recompute, recompute_within};
pub use self::recorded::Recorded;
pub use self::replay::completed;
pub use self::sweep::{Swept, is_sweep, resweep, sweep};
pub use self::tokens::workload;

use self::under_way::{Beside, UnderWay};
use crate::config::Config;
use crate::error::{Exit, Explain, usage};
use crate::expose::Exposed;
use crate::load::{self, Live};
use crate::mock::script::Script;
use crate::record::share::Share;
use crate::secrets::Secrets;
use crate::store::folder::RESULTS_STREAM;
use crate::store::manifest::RunState;
use crate::store::{FolderError, Manifest, RunFolder, RunWriter};
use crate::workload::Workload;

/// What a run needs beside its configuration.
#[derive(Clone, Debug)]
pub struct Options {
    /// This program, to start the embedded server with.
    pub exe: PathBuf,
    pub quiet: bool,
    /// Cancelled: stop sending and report what was measured.
    pub interrupt: CancellationToken,
    /// Where the embedded server writes what really happened; for tests and calibration.
    pub truth: Option<PathBuf>,
    /// This process is one of several that send the load together.
    pub ranks: Option<Ranks>,
}

impl Options {
    /// The part of the load that is sent here.
    fn share(&self) -> Share {
        self.ranks.as_ref().map_or(Share::WHOLE, |ranks| ranks.share)
    }
}

/// How a run ended, and its report.
pub struct Outcome {
    pub folder: PathBuf,
    pub exit: Exit,
    pub recomputed: Recomputed,
    /// What could not be written, be it a record or a file of the report.
    pub broke: Option<anyhow::Error>,
    /// The client's metrics, complete, served until this is dropped.
    pub page: Option<Exposed>,
}

impl Outcome {
    /// Itself, if all of it was written.
    pub fn whole(mut self) -> anyhow::Result<Self> {
        self.broke.take().map_or(Ok(self), Err)
    }
}

/// Runs `config` from beginning to end.
pub fn run(config: &Config, options: &Options) -> anyhow::Result<Outcome> {
    record(config, options)?.report()
}

/// The first half of a run: everything up to the last raw record.
pub fn record(config: &Config, options: &Options) -> anyhow::Result<Recorded> {
    if config.target.base_url.is_none() {
        Script::parse(&config.target.embedded.faults).or_usage("`embedded.faults` cannot be played")?;
    }
    let workload = workload(config, &options.interrupt)?;
    if config.audit.is_some() && workload.history.is_some() {
        return Err(usage("an audit sends single requests, in pairs, and the dataset holds conversations")
            .hint("`tare prepare` without --multi-turn writes single requests")
            .into());
    }
    let config = &completed(config, &workload)?;
    let short = load::needs::prepare(&load::share::own(&config.load, options.share()))?;
    let folder = RunFolder::create(&facts::folder_of(config), config.overwrite).map_err(unusable)?;
    let mut manifest = Manifest::new(&config.name, serde_json::to_value(config)?);
    manifest.host = facts::host();
    manifest.notes.extend(facts::left_out(config.workload.samples, &workload));
    manifest.warnings.extend(short);
    manifest.target.server = config.target.server.clone().unwrap_or_else(|| target::USUAL.name.to_owned());
    if let Err(error) = begin(config, &workload, &folder, &mut manifest) {
        folder.discard();
        return Err(error)
            .or_usage("the output folder cannot be written to")
            .hint("make room, or name another with --output");
    }
    let measured = measure(config, options, workload, &folder, &mut manifest);
    folder.give_room();
    let (mut broke, page) = match measured {
        Ok(written) => (written.broke, written.page),
        // Without a row there is nothing to keep, and the next try can have the folder's name.
        Err(error) if !folder.has_rows(RESULTS_STREAM) => {
            folder.discard();
            return Err(error);
        }
        Err(error) => {
            // The folder says what became of the run; rows already written stay.
            let interrupted = options.interrupt.is_cancelled();
            manifest.warnings.push(format!("the run broke: {error:#}"));
            manifest.end(if interrupted { RunState::Interrupted } else { RunState::Failed });
            let _ = save(&mut manifest, &folder, config);
            let path = folder.path().display();
            return Err(error).hint(format!("what was measured until then is kept: `tare report {path}`"));
        }
    };
    // Even then there is a report of what was measured.
    if let Err(error) = save(&mut manifest, &folder, config) {
        broke.get_or_insert(format!("the manifest could not be written: {error:#}"));
    }
    Ok(Recorded { folder, manifest, interrupt: options.interrupt.clone(), broke, page })
}

/// The folder's first files; what cannot be written now is found before anything is sent.
fn begin(
    config: &Config,
    workload: &Workload,
    folder: &RunFolder,
    manifest: &mut Manifest,
) -> anyhow::Result<()> {
    // The rounds of an audit make prompts of their own; the seed makes them again.
    if config.audit.as_ref().is_none_or(|audit| audit.prompt_tokens.is_empty()) {
        workload.write(&folder.request_set())?;
    }
    folder.keep_room()?;
    save(manifest, folder, config)
}

/// A run's raw records, written.
struct Measured {
    /// What of them could not be, if anything.
    broke: Option<String>,
    /// Every request is counted there.
    page: Option<Exposed>,
}

/// From the first connection to the last row on disk.
fn measure(
    config: &Config,
    options: &Options,
    workload: Workload,
    folder: &RunFolder,
    manifest: &mut Manifest,
) -> anyhow::Result<Measured> {
    // Ends the load: by the user's wish, or because what it measures can no longer be kept.
    let halt = options.interrupt.child_token();
    let live = Arc::new(Live::default());
    let streams =
        RunWriter::create(folder, &secrets(config)).or_usage("the output folder cannot be written to")?;
    let writer = writer::Writer::start(streams, Arc::clone(&live), halt.clone())?;
    let mut beside = Beside::default();
    let under_way =
        UnderWay { config, options, folder, manifest, writer: &writer, live, halt, beside: &mut beside };
    let outcome = observed::observed(under_way, workload);
    if let (Some(session), Err(error)) = (&beside.session, &outcome) {
        session.fail(&secrets(config).clean(&format!("{error:#}")));
    }
    // Whatever became of the load: what it measured is written first.
    let ended = writer.end()?;
    exported::end(beside.exporter, manifest);
    let sent = outcome.as_ref().ok().map(|outcome| outcome.sent);
    let broke = facts::note_written(manifest, &ended, sent);
    let outcome = outcome?;
    manifest.end(match (broke.is_some() || ended.ended_load(), outcome.interrupted) {
        (true, _) => RunState::Failed,
        (_, true) => RunState::Interrupted,
        _ => RunState::Finished,
    });
    Ok(Measured { broke, page: beside.page })
}

/// A folder that cannot be used is for the user to change: nothing was sent yet.
fn unusable(error: FolderError) -> anyhow::Error {
    let hint = error.hint();
    let failure = usage(&error);
    let failure = match error {
        FolderError::Io { source, .. } => failure.caused_by(source),
        _ => failure,
    };
    match hint {
        Some(hint) => failure.hint(hint).into(),
        None => failure.into(),
    }
}

/// Writes the manifest, which repeats what servers said, without secrets.
fn save(manifest: &mut Manifest, folder: &RunFolder, config: &Config) -> anyhow::Result<()> {
    manifest.clean(&secrets(config))?;
    manifest.write(folder)
}

/// Values that must reach no file, whoever repeats them.
fn secrets(config: &Config) -> Secrets {
    let t = &config.target;
    let through = config.audit.as_ref().and_then(|audit| audit.through_api_key.clone());
    let of_collector = config.observe.export_spans.iter().flat_map(|export| &export.headers);
    let headers = t.headers.iter().chain(of_collector).map(|(_, value)| value.clone());
    Secrets::new(t.api_key.as_deref(), headers.chain(through)).and_of(&config.workload.extra_body)
}
