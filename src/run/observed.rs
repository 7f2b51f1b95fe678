//! The load with everything around it, in order: the server, the plan, what comes before the first request, the load,
//! and what is waited for after the last. This file must not know how any of these is done.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};

use tokio_util::sync::CancellationToken;

use super::planned::Planned;
use super::ranks::Counts;
use super::server_side::ServerSide;
use super::under_way::UnderWay;
use super::warm_ups::WarmUps;
use super::{audit, exported, exposed, facts, forget, late, progress, saturation};
use crate::load;
use crate::watch;
use crate::workload::Workload;

/// From the first question to the server to the last it has to say.
pub(super) fn observed(mut run: UnderWay<'_>, workload: Workload) -> anyhow::Result<load::Outcome> {
    // A port that is taken is said before anybody is asked anything.
    let page = run.config.observe.listen_metrics.map(exposed::bind).transpose()?;
    if run.config.audit.is_none() {
        facts::note_asked(run.manifest, &run.config.load, workload.history);
    }
    let mut server = ServerSide::begin(&mut run)?;
    let mut planned = Planned::make(&mut run, &server, workload)?;
    let warm_ups = make_ready(&mut run, &mut server, &mut planned)?;
    let serve = |bound| exposed::serve(bound, &server.model, &run.live, run.writer, run.options.quiet);
    run.beside.page = page.map(serve).transpose()?;
    let (plan, outcome) = send(&mut run, &server, planned)?;
    settle(&mut run, server, &plan, &warm_ups, &outcome)?;
    Ok(outcome)
}

/// Everything that is asked of the server before the load; all processes then begin at one instant.
fn make_ready(
    run: &mut UnderWay<'_>,
    server: &mut ServerSide,
    planned: &mut Planned,
) -> anyhow::Result<WarmUps> {
    let config = run.config;
    if config.reset_prefix_cache {
        if let Err(why) = forget::forget(config, &run.halt) {
            run.manifest.warn(format!("the server's prefix cache was not reset before the run: {why}"));
        } else {
            run.manifest.note("the server's prefix cache was reset before the run");
        }
    }
    run.beside.exporter = exported::begin(config, run.manifest, run.folder, run.writer, &server.collector)?;
    let warm_ups = WarmUps::send(&planned.plan, planned.through.as_ref(), &run.halt)?;
    warm_ups.tell(run.manifest, &run.secrets(), run.beside.exporter.as_ref());
    if let Some(session) = run.beside.session.as_mut() {
        session.ready(&run.halt)?;
    }
    if let Some(before) = server.collector.snapshot_before() {
        facts::note_before(run.manifest, &before);
    }
    server.collector.start_grid();
    if let Some(session) = run.beside.session.as_mut() {
        planned.plan.start = Some(session.start(&run.halt)?);
        run.save_shard()?;
    }
    Ok(warm_ups)
}

/// Sends the load, and notes how that went. Returns what was sent, too.
fn send(
    run: &mut UnderWay<'_>,
    server: &ServerSide,
    planned: Planned,
) -> anyhow::Result<(load::Plan, load::Outcome)> {
    let config = run.config;
    let Planned { plan, through, stamps, following, count } = planned;
    let over = CancellationToken::new();
    let shown = progress::Progress {
        load: Arc::clone(&run.live),
        server: server.collector.live(),
        duration_s: config.load.duration_s,
        requests: count,
        quiet: run.options.quiet || !run.observes(),
    }
    .start(over.clone());
    let (sink, stamping) = stamps.begin(run.writer.requests())?;
    let (seen, own) = mpsc::channel();
    let moves = Arc::clone(following.whereabouts());
    let watch = |runtime: &tokio::runtime::Handle| watch::begin(runtime, move || moves.current(), seen);
    let guard = saturation::Guard::start(config, &run.live, &run.halt)?;
    let live = Arc::clone(&run.live);
    let outcome = match config.audit.as_ref().zip(through) {
        None => load::run_watched(&plan, sink, live, &guard.ends(), watch),
        Some((audit, through)) => {
            let mut legs = audit::Legs::new(config, audit, &plan, through);
            legs.note(config, run.manifest);
            run.save()?;
            let next = &mut |last| legs.next(last);
            let outcome = load::run_legs(&plan.load, next, sink, live, &run.halt, watch);
            legs.note(config, run.manifest);
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
    outcome.interrupted = run.halt.is_cancelled();
    let ended_early = guard.note(run.manifest);
    stamping.end(run.manifest);
    facts::note_own(run.manifest, own.try_recv().ok());
    facts::note_moves(run.manifest, &following.whereabouts().history());
    facts::note_load(run.manifest, config, &plan, &outcome, ended_early);
    Ok((plan, outcome))
}

/// Waits for what the server's side still has to say of what was sent, here and by the other processes.
fn settle(
    run: &mut UnderWay<'_>,
    mut server: ServerSide,
    plan: &load::Plan,
    warm_ups: &WarmUps,
    outcome: &load::Outcome,
) -> anyhow::Result<()> {
    let counted = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let own = Counts {
        sent: outcome.sent,
        ok: counted(&run.live.ok),
        warmed: warm_ups.ok(),
        ended_by_hops: counted(&run.live.ended_by_hops),
        ok_by_hops: counted(&run.live.ok_by_hops),
    };
    let (mut all, mut counts_all) = (own, true);
    if let Some(session) = run.beside.session.as_mut() {
        session.was_ready(outcome.ready_late_s);
        let without_end;
        (all, without_end) = session.ended(own, &run.options.interrupt);
        counts_all = session.counts_all() && without_end.is_empty();
        for who in without_end {
            run.manifest.warn(format!("{who}: what the server's side has of it may be cut off"));
        }
        run.note_shard()?;
    }
    let after = server
        .collector
        .snapshot_after(counts_all.then_some(all.ok as f64))
        .filter(|_| run.observes() && !run.config.observe.no_metrics);
    if let Some(after) = after {
        facts::note_after(run.manifest, &after, all.sent.saturating_sub(all.ok));
    }
    late::spans(run.config, plan, all.ok + all.warmed, &server.collector);
    let [warm_ok, warm_sent] = warm_ups.by_hops();
    let by_hops = [all.ok_by_hops + warm_ok, all.ended_by_hops + warm_sent];
    late::hops(run.config, plan, by_hops, &server.collector);
    server.end(run.manifest);
    Ok(())
}
