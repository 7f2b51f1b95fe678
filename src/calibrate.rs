//! How large the tool's own error is at a load: runs it against the embedded server, which writes down
//! when it read each request and when it handed each event to its socket, and compares that truth
//! with what the client recorded, request by request and event by event. The whole client works, as
//! in any run: stamps, events, writer, scrapes. What is found is shown and never subtracted.
//!
//! - [`shape`]: the loads, as configurations; [`compare`]: both sides of one; [`cost`]: what it cost
//!
//! This module must not know how anything is printed.

mod compare;
mod cost;
mod shape;

#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use self::compare::Compared;
use self::cost::Watch;
use self::shape::{Common, Shape};
use crate::clock::{Moment, UnixNs};
use crate::config::Config;
use crate::error::{Explain, broken};
use crate::mock::truth::TruthRow;
use crate::record::calibration::{Calibration, Level};
use crate::record::{RequestRow, Status};
use crate::run::{self, Options, Recorded};
use crate::store::folder::RESULTS_STREAM;
use crate::store::{Lines, RunData};

/// The numbers of streams that are tried unless others are asked for.
pub const LADDER: [u32; 6] = [1, 10, 100, 500, 1_000, 2_000];
/// How long a level sends, unless told otherwise; after a run, at most.
pub const LEVEL_DURATION_S: f64 = 10.0;
/// Tokens per second of a stream, unless told otherwise.
pub const TOKENS_PER_SECOND: f64 = 20.0;

/// What to calibrate.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The load as configured is a level, the first.
    pub own: bool,
    /// Closed loops of so many users, in this order.
    pub streams: Vec<u32>,
    pub level_duration_s: f64,
    /// Of each stream; the configuration's own embedded engine keeps its own rate.
    pub tokens_per_second: f64,
    /// Spreads the embedded server's TTFT by so much of its mean to either side.
    pub ttft_spread: f64,
    /// Keeps each level's run folder and truth here; `None`: nowhere.
    pub keep: Option<PathBuf>,
}

/// Runs every level of `plan` and adds it to `found`; says before each which one it is: its number, of
/// how many, its name. Stopped by the user, or by an error, it leaves the levels that were complete.
pub fn calibrate(
    config: &Config,
    plan: &Plan,
    options: &Options,
    found: &mut Calibration,
    mut begins: impl FnMut(usize, usize, &str),
) -> anyhow::Result<()> {
    let shapes = shapes(config, plan);
    let place = Place::new(plan.keep.as_deref())?;
    (found.level_duration_s, found.ttft_spread) = (plan.level_duration_s, plan.ttft_spread);
    for (i, shape) in shapes.iter().enumerate() {
        begins(i + 1, shapes.len(), &shape.name);
        let level = level(shape, &place.of(&shape.name), options);
        // Half a level says nothing, nor does what became of it.
        if options.interrupt.is_cancelled() {
            break;
        }
        found.levels.push(level.with_context(|| format!("level `{}`", shape.name))?);
    }
    Ok(())
}

/// Calibrates the load of a run that has ended, on the same machine, and keeps what was found with
/// the run. A calibration that fails, or is stopped, is told and takes nothing from the run.
pub fn after_run(config: &Config, options: &Options, recorded: &mut Recorded) -> anyhow::Result<()> {
    let rows: Vec<RequestRow> = Lines::read(&recorded.folder().file(RESULTS_STREAM))?.rows;
    let Some(plan) = plan_of(config, &rows) else {
        return recorded.note("no request of the run succeeded: there is no load to calibrate at");
    };
    let mut found = Calibration::default();
    match calibrate(config, &plan, options, &mut found, |_, _, _| {}) {
        Ok(()) if found.levels.is_empty() => recorded.note("the calibration after the run was stopped"),
        Ok(()) => recorded.keep("calibration", serde_json::to_value(found)?),
        Err(error) => recorded.warn(&format!("the calibration after the run failed: {error:#}")),
    }
}

/// The load of these rows: its own shape, each stream as fast as theirs were in the mean.
fn plan_of(config: &Config, rows: &[RequestRow]) -> Option<Plan> {
    let ok: Vec<&RequestRow> = rows.iter().filter(|row| row.status == Status::Ok).collect();
    let begin = ok.iter().map(|row| row.started_unix_ns).min()?;
    let end = ok.iter().map(|row| row.done_unix_ns).max()?;
    let gaps = ok.iter().filter_map(|row| {
        let gaps = f64::from(row.output_tokens?.checked_sub(1)?);
        Some((gaps, row.last_token_unix_ns?.seconds_since(row.first_token_unix_ns?)))
    });
    let (tokens, seconds) = gaps.fold((0.0, 0.0), |(n, s), (gaps, span_s)| (n + gaps, s + span_s));
    let rate = tokens / seconds;
    let lasted_s = config.load.duration_s.unwrap_or_else(|| end.seconds_since(begin));
    Some(Plan {
        own: true,
        streams: Vec::new(),
        level_duration_s: lasted_s.min(LEVEL_DURATION_S),
        tokens_per_second: if rate.is_finite() && rate > 0.0 { rate } else { TOKENS_PER_SECOND },
        ttft_spread: 0.0,
        keep: None,
    })
}

fn shapes(config: &Config, plan: &Plan) -> Vec<Shape> {
    let common = Common {
        duration_s: plan.level_duration_s,
        tokens_per_second: plan.tokens_per_second,
        ttft_spread: plan.ttft_spread,
    };
    let own = plan.own.then(|| shape::own(config, common));
    own.into_iter().chain(plan.streams.iter().map(|&n| shape::of_streams(config, n, common))).collect()
}

/// Runs one level in `folder` and compares both of its sides.
fn level(shape: &Shape, folder: &Path, options: &Options) -> anyhow::Result<Level> {
    let (run_folder, truth) = (folder.join("run"), folder.join("truth.jsonl"));
    fs::create_dir_all(folder).or_usage(format!("cannot make the folder {}", folder.display())).hint(
        "--keep names the folder to keep levels in; without it the system's temporary folder is used",
    )?;
    let config = Config { output: Some(run_folder), ..shape.config.clone() };
    let watch = Watch::start()?;
    // The server's clock begins where the wall clock is by then.
    let ahead_ns = Moment::now().ahead_ns;
    let recorded = run::record(&config, &Options { truth: Some(truth.clone()), ..options.clone() })?;
    let cost = watch.end(recorded.events());
    let data = RunData::read(recorded.folder())?;
    let truth: Lines<TruthRow> = Lines::read(&truth)?;
    let warnings = data.manifest.warnings.clone();
    if truth.rows.is_empty() {
        let said = warnings.join("; ");
        return Err(broken(format!("the embedded server left no truth to compare with: {said}")).into());
    }
    let found = compare::compare(&data.requests.rows, &data.events.whole()?, &truth.rows, ahead_ns);
    if found.errors.is_empty() {
        let reasons: Vec<String> =
            found.requests.not_compared.iter().map(|(why, n)| format!("{n} {why}")).collect();
        let said = if reasons.is_empty() { "none was sent".to_owned() } else { reasons.join(", ") };
        return Err(broken(format!("none of {} requests can be compared: {said}", found.requests.all))
            .hint("a level must be long enough for a first token; --level-duration says how long it sends")
            .into());
    }
    let begun = data.manifest.extra.get("load").and_then(|load| load.get("begun_unix_ns")?.as_i64());
    Ok(Level {
        name: shape.name.clone(),
        load: shape.load.clone(),
        streams: shape.streams,
        tokens_per_second: shape.tokens_per_second,
        offered_tps: shape.streams.zip(shape.tokens_per_second).map(|(n, tps)| f64::from(n) * tps),
        attained_tps: begun.and_then(|begun| attained(&found, UnixNs(begun), shape)),
        cost,
        requests: found.requests,
        events: found.events,
        errors: found.errors,
        warnings,
    })
}

/// Tokens per second that came while the load was full: from the end of the ramp until sending ended,
/// or until the last token, if the requests ended before the time did.
fn attained(found: &Compared, begun: UnixNs, shape: &Shape) -> Option<f64> {
    let last = found.arrivals.iter().map(|(at, _)| UnixNs(*at)).max()?;
    let from = begun.plus_seconds(shape.ramp_s);
    let until = begun.plus_seconds(shape.config.load.duration_s?).min(last);
    let in_window = found.arrivals.iter().filter(|(at, _)| (from.0..until.0).contains(at));
    let tokens: u64 = in_window.map(|(_, tokens)| u64::from(*tokens)).sum();
    let seconds = until.seconds_since(from);
    (seconds > 0.0).then(|| tokens as f64 / seconds)
}

/// Where the levels' folders are made.
struct Place {
    path: PathBuf,
    /// Removed at the end.
    passing: bool,
}

impl Place {
    fn new(keep: Option<&Path>) -> anyhow::Result<Self> {
        let Some(keep) = keep else {
            let name = format!("tare-calibrate-{}-{}", std::process::id(), UnixNs::now().0);
            return Ok(Self { path: std::env::temp_dir().join(name), passing: true });
        };
        let taken = keep.is_file() || fs::read_dir(keep).is_ok_and(|mut entries| entries.next().is_some());
        if taken {
            return Err(crate::error::usage(format!("the folder {} is not empty", keep.display()))
                .hint("name another folder with --keep")
                .into());
        }
        Ok(Self { path: keep.to_owned(), passing: false })
    }

    /// The folder of a level, by its name.
    fn of(&self, level: &str) -> PathBuf {
        self.path.join(level.replace(',', "").replace(' ', "-"))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.passing {
            // What cannot be removed is in the system's temporary folder.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}
