//! `tare doctor URL`: a handful of requests, and what they show of the server.

use std::io::{self, Write};

use crate::cli::{DatasetName, DoctorArgs, LoadArgs, ObserveArgs, RunArgs, TargetArgs, WorkloadArgs};
use crate::error::Exit;
use crate::{config, doctor, report};

/// Spans come within their exporter's delay, 5 s by default.
const SPAN_WAIT_S: f64 = 7.0;
/// One request may take this long.
const TIMEOUT_S: f64 = 120.0;

/// Runs the verb.
pub fn doctor(args: &DoctorArgs) -> anyhow::Result<Exit> {
    let config = config::load(None, &run_args(args))?;
    let options = super::options(true)?;
    let diagnosis = doctor::examine(&config, &options)?;
    let mut out = crate::plain::stdout();
    if args.json {
        super::unless_closed(serde_json::to_writer_pretty(&mut out, &diagnosis).map_err(io::Error::from))?;
        super::unless_closed(writeln!(out))?;
    } else {
        super::unless_closed(report::print_diagnosis(&mut out, &diagnosis))?;
    }
    Ok(if options.interrupt.is_cancelled() { Exit::Interrupted } else { Exit::Finished })
}

/// The requests, as flags of a run.
fn run_args(args: &DoctorArgs) -> RunArgs {
    let base_url = args.url.clone().or_else(|| args.target.base_url.clone());
    RunArgs {
        target: TargetArgs { base_url, ..args.target.clone() },
        workload: WorkloadArgs {
            dataset_name: Some(DatasetName::Random),
            num_prompts: Some(doctor::STREAMS),
            random_input_len: Some(16),
            random_output_len: Some(doctor::STREAM_TOKENS),
            ..WorkloadArgs::default()
        },
        load: LoadArgs { users: Some(1), timeout: Some(TIMEOUT_S), ..LoadArgs::default() },
        observe: ObserveArgs {
            span_wait: args.observe.span_wait.or(Some(SPAN_WAIT_S)),
            ..args.observe.clone()
        },
        ..RunArgs::default()
    }
}
