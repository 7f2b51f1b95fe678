//! `tare calibrate`: the load that a configuration asks for, and a ladder of others, against the
//! embedded server; a table of the tool's own errors out. This file must not know how they are found.

use std::io::Write;
use std::ops::RangeInclusive;

use crate::calibrate::{self, LADDER, LEVEL_DURATION_S, Plan, TOKENS_PER_SECOND};
use crate::cli::{CalibrateArgs, LevelArgs, RunArgs};
use crate::error::{Exit, Explain, Failure, usage};
use crate::record::calibration::Calibration;
use crate::{config, report};

/// The word for the load that was asked for, in the list of levels.
const OWN: &str = "own";
const STREAMS: RangeInclusive<u32> = 1..=100_000;

/// Runs the verb.
pub fn calibrate(args: &CalibrateArgs, quiet: bool) -> anyhow::Result<Exit> {
    let plan = plan(args)?;
    let run = RunArgs {
        config: args.config.clone(),
        target: args.target.clone(),
        workload: args.workload.clone(),
        load: args.load.clone(),
        observe: args.observe.clone(),
        ..RunArgs::default()
    };
    let config = config::load(args.config.as_deref(), &run)?;
    // Known to be writable before an hour has passed.
    let json = args.levels.json.as_ref().map(|path| (std::fs::File::create(path), path.display()));
    let json = json.map(|(file, path)| file.or_usage(format!("cannot write {path}"))).transpose()?;
    let options = super::options(quiet)?;
    let begins = |n: usize, of: usize, name: &str| {
        if !quiet {
            // A closed stderr must not end a calibration.
            let _ = writeln!(std::io::stderr(), "level {n} of {of}: {name}");
        }
    };
    let mut found = Calibration::default();
    let ended = calibrate::calibrate(&config, &plan, &options, &mut found, begins);
    // Levels that were complete are told, whatever ended it.
    if let Some(mut file) = json {
        serde_json::to_writer_pretty(&mut file, &found)?;
        writeln!(file)?;
    }
    if !found.levels.is_empty() {
        super::unless_closed(report::print_calibration(&mut crate::plain::stdout(), &found))?;
    }
    ended?;
    Ok(if options.interrupt.is_cancelled() { Exit::Interrupted } else { Exit::Finished })
}

/// Every level asked for; what is wrong is told with its flag.
fn plan(args: &CalibrateArgs) -> Result<Plan, Failure> {
    let LevelArgs { streams, level_duration, tokens_per_second, ttft_spread, json: _, keep } = &args.levels;
    let (mut own, mut ladder, mut problems) = (false, Vec::new(), Vec::new());
    if streams.is_empty() {
        (own, ladder) = (asks_for_a_load(args), LADDER.to_vec());
    }
    for word in streams {
        match word.trim().parse() {
            _ if word.trim() == OWN => own = true,
            Ok(n) if ladder.contains(&n) => {}
            Ok(n) if STREAMS.contains(&n) => ladder.push(n),
            _ => problems.push(
                usage(format!(
                    "`--streams`: expected whole numbers from {} to {} or `{OWN}`, found `{word}`",
                    STREAMS.start(),
                    STREAMS.end()
                ))
                .hint("for example `--streams own,1,10,100`"),
            ),
        }
    }
    let mut number = |flag: &str, given: Option<f64>, usual: f64, least: f64, most: f64| {
        let value = given.unwrap_or(usual);
        if !(least..=most).contains(&value) {
            let said = format!("`{flag}`: expected a number from {least} to {most}, found {value}");
            problems.push(usage(said).hint(format!("left out, it is {usual}")));
        }
        value
    };
    let plan = Plan {
        own,
        streams: ladder,
        level_duration_s: number("--level-duration", *level_duration, LEVEL_DURATION_S, 0.1, 86_400.0),
        tokens_per_second: number(
            "--tokens-per-second",
            *tokens_per_second,
            TOKENS_PER_SECOND,
            0.1,
            10_000.0,
        ),
        ttft_spread: number("--ttft-spread", *ttft_spread, 0.0, 0.0, 0.9),
        keep: keep.clone(),
    };
    Failure::all(problems).map_or(Ok(plan), Err)
}

/// Without a file and a flag that says how to send there is no load that was asked for.
fn asks_for_a_load(args: &CalibrateArgs) -> bool {
    let load = &args.load;
    args.config.is_some()
        || load.users.is_some()
        || load.request_rate.is_some()
        || load.max_concurrency.is_some()
        || args.workload.num_prompts.is_some()
}
