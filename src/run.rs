//! The pipeline, and the only file that sees all of its stages: workload → load and ingest (or import)
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
mod plotted;
mod progress;
pub mod ranks;
mod read_back;
mod recompute;
mod recorded;
mod replay;
mod saturation;
mod stamps;
mod sweep;
mod target;
mod tokens;
mod warm_ups;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

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

use self::ranks::{Counts, Session};
use self::warm_ups::WarmUps;
use crate::config::Config;
use crate::error::{Exit, Explain, broken, usage};
use crate::export::Exporter;
use crate::expose::Exposed;
use crate::ingest::tail::Begin;
use crate::ingest::{self, Collector};
use crate::load::{self, Live, Requests};
use crate::mock::script::Script;
use crate::net::{Following, HttpUrl, tls};
use crate::record::shard;
use crate::record::share::Share;
use crate::secrets::Secrets;
use crate::store::folder::{EMBEDDED_STAT_LOG, RESULTS_STREAM};
use crate::store::manifest::{RunState, TargetFacts};
use crate::store::{FolderError, Manifest, RunFolder, RunWriter};
use crate::watch;
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
    let short = load::needs::prepare(&load::share::own(&config.load, share_of(options)))?;
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
    let (mut exporter, mut page) = (None, None);
    let under_way = UnderWay { writer: &writer, live, halt, exporter: &mut exporter, page: &mut page };
    let mut session = None;
    let outcome = observed(config, options, workload, folder, manifest, under_way, &mut session);
    if let (Some(session), Err(error)) = (&session, &outcome) {
        session.fail(&secrets(config).clean(&format!("{error:#}")));
    }
    // Whatever became of the load: what it measured is written first.
    let ended = writer.end()?;
    exported::end(exporter, manifest);
    let sent = outcome.as_ref().ok().map(|outcome| outcome.sent);
    let broke = facts::note_written(manifest, &ended, sent);
    let outcome = outcome?;
    manifest.end(match (broke.is_some() || ended.ended_load(), outcome.interrupted) {
        (true, _) => RunState::Failed,
        (_, true) => RunState::Interrupted,
        _ => RunState::Finished,
    });
    Ok(Measured { broke, page })
}

/// A load that goes on, and where its records go.
struct UnderWay<'a> {
    writer: &'a writer::Writer,
    live: Arc<Live>,
    halt: CancellationToken,
    /// Ended when the last row is written.
    exporter: &'a mut Option<Exporter>,
    /// Fed to the last row, and served for longer than that.
    page: &'a mut Option<Exposed>,
}

/// The load with everything around it.
fn observed(
    config: &Config,
    options: &Options,
    mut workload: Workload,
    folder: &RunFolder,
    manifest: &mut Manifest,
    under_way: UnderWay<'_>,
    session: &mut Option<Session>,
) -> anyhow::Result<load::Outcome> {
    let UnderWay { writer, live, halt, exporter, page } = under_way;
    let given = config.target.base_url.as_deref().map(HttpUrl::parse).transpose()?;
    let tls = given
        .as_ref()
        .filter(|url| url.tls)
        .map(|url| tls::Client::new(&url.host, config.target.ca_cert.as_deref(), config.target.insecure));
    let tls = tls.transpose()?;
    let bound = config.observe.listen_metrics.map(exposed::bind).transpose()?;
    // A server that is there is asked before anything is listened for: which one it is says to what.
    let probed = given.map(|url| target::ask_server(config, &url, &options.interrupt)).transpose()?;
    let (kind, kind_from) = target::kind(config, probed.as_ref())?;
    manifest.notes.extend(target::contradiction(kind, probed.as_ref()));
    let observes = options.ranks.as_ref().is_none_or(Ranks::observes);
    let mut observe = ranks::observed_by(config, observes);
    if config.target.base_url.is_none() && config.target.embedded.stat_log {
        let path = folder.file(EMBEDDED_STAT_LOG);
        // There before it is looked for: that it is still empty is no finding.
        std::fs::File::create(&path).or_broken("the run folder could not be written")?;
        observe.stat_log = Some(path.to_string_lossy().into_owned());
    }
    let plan = ingest::Plan {
        server: kind,
        observe,
        hops: if observes { config.hops.clone() } else { Vec::new() },
        base_url: config.target.base_url.clone(),
        trust: target::trust(config),
        log_begin: Begin::End,
    };
    let mut collector = Collector::start(plan, writer.ingested()).map_err(|problem| {
        let (what, hint) = (broken(&problem), problem.hint);
        anyhow::Error::from(match hint {
            Some(hint) => what.hint(hint),
            None => what,
        })
    })?;
    let mut child = None;
    let base_url = if let Some(url) = &config.target.base_url {
        url.clone()
    } else {
        let (server, url) = embedded::start(config, options, folder, &mut collector)?;
        child = Some(server);
        url
    };
    let target = HttpUrl::parse(&base_url)?;
    collector.set_base_url(&target.to_string());
    if target.tls && config.target.insecure {
        manifest.warn("the server's certificate was taken unchecked (--insecure): who answered is not known");
    }
    let probe = match probed {
        Some(probe) => probe,
        None => target::ask_server(config, &target, &options.interrupt)?,
    };
    let model = target::choose_model(config, &probe)?;
    manifest.target = TargetFacts {
        base_url: Some(target.to_string()),
        server: kind.name.to_owned(),
        server_version: probe.version.clone(),
        server_from: Some(kind_from),
        model: Some(model.clone()),
        embedded: child.is_some(),
        same_host: target.is_this_host(),
    };
    if config.audit.is_none() {
        facts::note_asked(manifest, &config.load, workload.history);
    }
    // Written before the first request: a report after a kill needs to know the server's kind and
    // whose clock it reads.
    save(manifest, folder, config)?;

    if config.audit.is_none() {
        tokens::check(config, kind, &target, &model, manifest)?;
        tokens::fit(config, &probe, &model, &mut workload, manifest)?;
        workload.write(&folder.request_set())?;
    }
    facts::note_workload(manifest, &workload);
    let history = workload.history;
    let share = share_of(options);
    let own_load = load::share::own(&config.load, share);
    let planned = own_load.requests.map(|n| if history.is_some() { workload.requests(n) } else { n });

    let address = target
        .reachable(Duration::from_secs_f64(config.load.connect_timeout_s))
        .or_broken(format!("no connection to {}", target.authority()))?;
    let following = Following::begin(&target, address);
    let stamps = stamps::Chosen::new(config.load.stamps, address, options.quiet)?;
    if let Some(ranks) = &options.ranks {
        // Only now: the others wait for who cannot go on.
        *session = Some(Session::meet(ranks, config, &workload, &options.interrupt)?);
    }
    let mut requests = target::requests(config, kind, workload.prompts, target, model.clone());
    if let Some(session) = session.as_ref() {
        requests.nonce = session.nonce();
        note_shard(manifest, session)?;
        manifest.note(ranks::who_observes(observes));
        save(manifest, folder, config)?;
    }
    let mut plan = load::Plan {
        address,
        moves: Some(Arc::clone(following.whereabouts())),
        tls,
        stamps: stamps.source(),
        requests: Arc::new(Requests { history, ..requests }),
        load: config.load.clone(),
        seed: config.seed,
        leg: None,
        share,
        start: None,
    };
    let through = config.audit.as_ref().map(|a| audit::through(config, a, kind, &plan)).transpose()?;
    for short in load::needs::reach(&own_load, plan.address)? {
        manifest.warn(short);
    }
    if config.reset_prefix_cache {
        if let Err(why) = forget::forget(config, &halt) {
            manifest.warn(format!("the server's prefix cache was not reset before the run: {why}"));
        } else {
            manifest.note("the server's prefix cache was reset before the run");
        }
    }
    *exporter = exported::begin(config, manifest, folder, writer, &collector)?;
    let warm_ups = WarmUps::send(&plan, through.as_ref(), &halt)?;
    warm_ups.tell(manifest, &secrets(config), exporter.as_ref());
    if let Some(session) = session.as_mut() {
        session.ready(&halt)?;
    }
    if let Some(before) = collector.snapshot_before() {
        facts::note_before(manifest, &before);
    }
    collector.start_grid();

    if let Some(session) = session.as_mut() {
        plan.start = Some(session.start(&halt)?);
        note_shard(manifest, session)?;
        save(manifest, folder, config)?;
    }
    *page = bound.map(|bound| exposed::serve(bound, &model, &live, writer, options.quiet)).transpose()?;
    let over = CancellationToken::new();
    let shown = progress::Progress {
        load: Arc::clone(&live),
        server: collector.live(),
        duration_s: config.load.duration_s,
        requests: planned,
        quiet: options.quiet || !observes,
    }
    .start(over.clone());
    let (sink, stamping) = stamps.begin(writer.requests())?;
    let (seen, own) = std::sync::mpsc::channel();
    let moves = Arc::clone(following.whereabouts());
    let watch = |runtime: &tokio::runtime::Handle| watch::begin(runtime, move || moves.current(), seen);
    let guard = saturation::Guard::start(config, &live, &halt)?;
    let outcome = match config.audit.as_ref().zip(through) {
        None => load::run_watched(&plan, sink, Arc::clone(&live), &guard.ends(), watch),
        Some((audit, through)) => {
            let mut legs = audit::Legs::new(config, audit, &plan, through);
            legs.note(config, manifest);
            save(manifest, folder, config)?;
            let next = &mut |last| legs.next(last);
            let outcome = load::run_legs(&plan.load, next, sink, Arc::clone(&live), &halt, watch);
            legs.note(config, manifest);
            outcome
        }
    };
    over.cancel();
    if let Some(shown) = shown {
        shown.thread().unpark();
        let _ = shown.join();
    }
    let mut outcome = outcome?;
    // Ended for its load, it was not stopped by anyone.
    outcome.interrupted = halt.is_cancelled();
    let ended_early = guard.note(manifest);
    stamping.end(manifest);
    facts::note_own(manifest, own.try_recv().ok());
    facts::note_moves(manifest, &following.whereabouts().history());
    facts::note_load(manifest, config, &plan, &outcome, ended_early);
    let [mut ok, mut ok_by_hops, mut ended_by_hops] = [&live.ok, &live.ok_by_hops, &live.ended_by_hops]
        .map(|count| count.load(std::sync::atomic::Ordering::Relaxed));
    let (mut sent, mut warm) = (outcome.sent, warm_ups.ok());
    let mut counts_all = true;
    if let Some(session) = session.as_mut() {
        session.was_ready(outcome.ready_late_s);
        note_shard(manifest, session)?;
        let own = Counts { sent, ok, warmed: warm, ended_by_hops, ok_by_hops };
        let (all, without_end) = session.ended(own, &options.interrupt);
        (sent, ok, warm, ended_by_hops, ok_by_hops) =
            (all.sent, all.ok, all.warmed, all.ended_by_hops, all.ok_by_hops);
        counts_all = session.counts_all() && without_end.is_empty();
        for who in without_end {
            manifest.warn(format!("{who}: what the server's side has of it may be cut off"));
        }
    }
    let after = collector
        .snapshot_after(counts_all.then_some(ok as f64))
        .filter(|_| observes && !config.observe.no_metrics);
    if let Some(after) = after {
        facts::note_after(manifest, &after, sent.saturating_sub(ok));
    }
    late::spans(config, &plan, ok + warm, &collector);
    let [warm_ok, warm_sent] = warm_ups.by_hops();
    late::hops(config, &plan, [ok_by_hops + warm_ok, ended_by_hops + warm_sent], &collector);
    if let Some(last_words) = child.as_mut().and_then(embedded::Server::stop) {
        manifest.warn(last_words);
    }
    let ingested = collector.stop();
    facts::note_ingested(manifest, &ingested);
    Ok(outcome)
}

/// The part of the load that is sent here.
fn share_of(options: &Options) -> Share {
    options.ranks.as_ref().map_or(Share::WHOLE, |ranks| ranks.share)
}

/// Which part of which run this is, for the report and for the merging of all parts.
fn note_shard(manifest: &mut Manifest, session: &Session) -> anyhow::Result<()> {
    manifest.extra.insert(shard::SHARD.to_owned(), serde_json::to_value(session.shard())?);
    Ok(())
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
