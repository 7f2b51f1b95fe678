//! A sweep or search: run after run, each an ordinary run in a folder of its own, and what they come to. Which one is next,
//! and what its figures say, is decided in [`crate::sweep`]; this file makes the runs, keeps `sweep.json` up to date
//! after each, and goes on where one fails.
//!
//! Each run has a seed of its own (the configured one plus the number of runs before it): repeated runs then differ in
//! their arrivals and prompts, and no run sends the prompts of the one before, which a prefix cache may know. The embedded
//! server is started anew for each run.

mod caches;
mod files;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

pub use self::files::{is_sweep, resweep};

use super::{Options, facts, saturation};
use crate::clock::UnixNs;
use crate::config::{Arrival, Config};
use crate::error::{self, Exit, Explain as _};
use crate::load;
use crate::mock::script::Script;
use crate::report::Figures;
use crate::report::sweep::{Decision, Point, PointRun, RunEnd, SCHEMA, Sweep};
use crate::store::RunFolder;
use crate::store::manifest::RunState;
use crate::sweep::asked::{Asked, Axis, Plan};
use crate::sweep::judge::{self, Judgement};
use crate::sweep::search::{self, Next, Tried, Verdict};

/// So many runs in a row without any success: the server is gone.
const IN_VAIN: usize = 3;

/// A sweep, ended, and where it is.
pub struct Swept {
    pub folder: PathBuf,
    pub exit: Exit,
    pub sweep: Sweep,
}

/// Makes the runs that `asked` asks for; `begins` is told of each before it.
pub fn sweep(
    config: &Config,
    asked: &Asked,
    options: &Options,
    begins: &mut dyn FnMut(&str),
) -> anyhow::Result<Swept> {
    check(config, asked, &options.interrupt)?;
    let path = facts::folder_of(config);
    let folder = RunFolder::create(&path, config.overwrite).map_err(super::unusable)?;
    if config.overwrite {
        files::remove_runs(&path)?;
    }
    let mut sweep = Sweep {
        tare_sweep: SCHEMA,
        name: config.name.clone(),
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        created_unix_ns: UnixNs::now(),
        state: RunState::Running,
        asked: asked.clone(),
        slo: config.slo,
        points: Vec::new(),
        decisions: Vec::new(),
        answer: None,
        notes: Vec::new(),
        config: serde_json::to_value(config)?,
    };
    let mut caches = caches::Caches::new(config, asked, &options.interrupt);
    sweep.state = runs(config, options, &path, &mut sweep, &mut caches, begins)?;
    caches.note(&mut sweep.notes);
    if !sweep.points.iter().flat_map(|p| &p.runs).any(|run| run.figures.is_some()) {
        let why = sweep.points.iter().flat_map(|p| &p.runs).find_map(|run| run.error.clone());
        if options.interrupt.is_cancelled() {
            folder.discard();
            return Err(error::interrupted("stopped before the first run had ended").into());
        }
        files::write(&path, &sweep)?;
        let why = why.unwrap_or_else(|| "no run was made".to_owned());
        return Err(error::broken(format!("no run of the sweep came to its end: {why}")).into());
    }
    files::write(&path, &sweep)?;
    files::write_report(&path, &sweep)?;
    let succeeded = sweep.points.iter().flat_map(|p| &p.runs).filter_map(|run| run.figures.as_ref());
    let exit = if options.interrupt.is_cancelled() {
        Exit::Interrupted
    } else if succeeded.map(|f| f.counts.ok).sum::<usize>() == 0 {
        Exit::Broken
    } else {
        Exit::Finished
    };
    Ok(Swept { folder: path, exit, sweep })
}

/// What would go wrong at some run goes wrong before the first.
fn check(config: &Config, asked: &Asked, interrupt: &CancellationToken) -> anyhow::Result<()> {
    if config.target.base_url.is_none() {
        Script::parse(&config.target.embedded.faults).or_usage("`embedded.faults` cannot be played")?;
    }
    if let Plan::List { levels } = &asked.plan {
        for level in levels {
            load::needs::prepare(&at_level(config, asked.axis, *level).load)?;
        }
    }
    super::workload(config, interrupt).map(drop)
}

/// Run after run until there is none to make, the user stops, or the server is gone.
fn runs(
    config: &Config,
    options: &Options,
    folder: &Path,
    sweep: &mut Sweep,
    caches: &mut caches::Caches<'_>,
    begins: &mut dyn FnMut(&str),
) -> anyhow::Result<RunState> {
    let (mut made, mut in_vain) = (0, 0);
    loop {
        if options.interrupt.is_cancelled() {
            return Ok(RunState::Interrupted);
        }
        if in_vain >= IN_VAIN {
            sweep.notes.push(format!("ended after {IN_VAIN} runs in a row without a success"));
            return Ok(RunState::Failed);
        }
        let (level, why) = match next(sweep) {
            Next::Run { level, why } => (level, why),
            Next::Done(answer) => {
                sweep.answer = matches!(sweep.asked.plan, Plan::Knee(_) | Plan::Slo { .. }).then_some(answer);
                return Ok(RunState::Finished);
            }
        };
        let run = prepare(config, sweep, level, made);
        begins(&format!(
            "run {}{}: {}{}",
            made + 1,
            total(&sweep.asked).map(|n| format!(" of {n}")).unwrap_or_default(),
            sweep.asked.axis.words(level),
            if total(&sweep.asked).is_none() { format!(" ({why})") } else { String::new() }
        ));
        caches.before_a_run();
        let ended = one(config, &sweep.asked, options, folder, level, run);
        made += 1;
        let success = ended.figures.as_ref().is_some_and(|f| f.counts.ok > 0);
        in_vain = if success { 0 } else { in_vain + 1 };
        keep(sweep, level, ended, &why);
        files::write(folder, sweep)?;
    }
}

/// How many runs a list has.
fn total(asked: &Asked) -> Option<usize> {
    match &asked.plan {
        Plan::List { levels } => Some(levels.len() * asked.num_runs as usize),
        Plan::Knee(_) | Plan::Slo { .. } => None,
    }
}

/// The next run: of a list every level once, then again, so that what changes with time falls on all alike.
fn next(sweep: &Sweep) -> Next {
    let asked = &sweep.asked;
    let search = match &asked.plan {
        Plan::List { levels } => {
            let runs = |level: &f64| at(&sweep.points, *level).map_or(0, |point| point.runs.len());
            let fewest = levels.iter().map(&runs).min().unwrap_or(0);
            let next = levels.iter().find(|level| runs(level) == fewest).copied();
            return match next.filter(|_| fewest < asked.num_runs as usize) {
                Some(level) => Next::Run { level, why: "of the list".to_owned() },
                None => search::next_of_none(),
            };
        }
        Plan::Knee(search) | Plan::Slo { search, .. } => search,
    };
    let tried: Vec<Tried> = sweep
        .points
        .iter()
        .map(|point| Tried {
            level: point.level,
            runs: point.runs.len() as u32,
            verdict: point.judgement.as_ref().map_or(Verdict::Unclear, |j| j.verdict),
            value_passes: point.judgement.as_ref().is_some_and(|j| j.value_passes),
        })
        .collect();
    search::next(search, asked.axis == Axis::Concurrency, &tried)
}

fn at(points: &[Point], level: f64) -> Option<&Point> {
    points.iter().find(|point| point.level.to_bits() == level.to_bits())
}

/// What all points say anew, since the lowest level is what others are compared with.
fn judged(sweep: &Sweep, point: &Point) -> Option<Judgement> {
    let seen = point.seen();
    match &sweep.asked.plan {
        Plan::Slo { .. } | Plan::Knee(_) if seen.is_empty() => Some(judge::nothing_seen()),
        Plan::Slo { share, .. } => Some(judge::by_slo(&seen, *share)),
        Plan::Knee(_) => {
            let lowest = sweep.points.iter().min_by(|a, b| a.level.total_cmp(&b.level));
            let calm = lowest.and_then(|p| p.seen().iter().find_map(|seen| seen.e2e_s));
            Some(judge::keeps_up(&seen, calm))
        }
        Plan::List { .. } => None,
    }
}

fn keep(sweep: &mut Sweep, level: f64, run: PointRun, why: &str) {
    let number = run.number;
    if let Some(point) = sweep.points.iter_mut().find(|point| point.level.to_bits() == level.to_bits()) {
        point.runs.push(run);
    } else {
        let number = sweep.points.len() + 1;
        sweep.points.push(Point { number, level, runs: vec![run], judgement: None });
    }
    let all: Vec<Option<Judgement>> = sweep.points.iter().map(|point| judged(sweep, point)).collect();
    for (point, judgement) in sweep.points.iter_mut().zip(all) {
        point.judgement = judgement;
    }
    if let Some(judgement) = at(&sweep.points, level).and_then(|point| point.judgement.clone()) {
        sweep.decisions.push(Decision { level, run: number, why: why.to_owned(), judgement });
    }
}

/// A run that is still to be made.
fn prepare(config: &Config, sweep: &Sweep, level: f64, made: u64) -> PointRun {
    let point = at(&sweep.points, level);
    let number = point.map_or(0, |point| point.runs.len()) + 1;
    let of_point = point.map_or(sweep.points.len() + 1, |point| point.number);
    PointRun {
        number,
        folder: format!("point-{of_point:02}-{}/run-{number}", sweep.asked.axis.slug(level)),
        seed: config.seed.wrapping_add(made),
        end: RunEnd::Broken,
        error: None,
        saturated: None,
        unsent: 0,
        figures: None,
    }
}

fn at_level(config: &Config, axis: Axis, level: f64) -> Config {
    let mut config = Config { sweep: None, overwrite: false, ..config.clone() };
    config.load.arrival = config.load.arrival.at(axis, level);
    if matches!(config.load.arrival, Arrival::Closed { .. }) {
        config.load.max_concurrency = None;
    }
    config
}

/// Makes one run, whatever becomes of it.
fn one(
    config: &Config,
    asked: &Asked,
    options: &Options,
    folder: &Path,
    level: f64,
    mut run: PointRun,
) -> PointRun {
    let output = folder.join(&run.folder);
    let name = format!("{}: {}", config.name, asked.axis.words(level));
    let config =
        Config { output: Some(output.clone()), seed: run.seed, name, ..at_level(config, asked.axis, level) };
    let made = super::record(&config, options).and_then(|recorded| {
        let extra = &recorded.manifest.extra;
        run.saturated = extra.get(saturation::KEY).and_then(|v| serde_json::from_value(v.clone()).ok());
        run.unsent = extra.get("load").and_then(|load| load.get("unsent")?.as_u64()).unwrap_or(0);
        recorded.report()?.whole()
    });
    match made.and_then(|outcome| Ok((outcome.exit, Figures::read(&outcome.folder)?))) {
        Ok((exit, figures)) => {
            run.end = match exit {
                _ if run.saturated.is_some() => RunEnd::OverSaturated,
                Exit::Interrupted => RunEnd::Interrupted,
                Exit::Broken => RunEnd::NothingSucceeded,
                _ => RunEnd::Finished,
            };
            run.figures = Some(figures);
        }
        Err(_) if options.interrupt.is_cancelled() => run.end = RunEnd::Interrupted,
        Err(error) => {
            // Nothing was written where nothing was sent.
            if let Some(point) = output.parent() {
                drop(std::fs::remove_dir(point));
            }
            run.error = Some(format!("{error:#}"));
        }
    }
    run
}

/// Reads the figures of every run again, and everything that is made of them.
fn reread(folder: &Path, sweep: &mut Sweep) -> anyhow::Result<()> {
    for run in sweep.points.iter_mut().flat_map(|point| &mut point.runs) {
        if run.figures.is_some() {
            let path = folder.join(&run.folder);
            super::recompute(&path).with_context(|| format!("in {}", path.display()))?;
            run.figures = Some(Figures::read(&path)?);
        }
    }
    let all: Vec<Option<Judgement>> = sweep.points.iter().map(|point| judged(sweep, point)).collect();
    for (point, judgement) in sweep.points.iter_mut().zip(all) {
        point.judgement = judgement;
    }
    Ok(())
}
