//! Checks what is said of a trace: how it is read, and whether its own times are used. The file is not
//! opened here.

use std::path::PathBuf;

use crate::config::check::{Check, Limits};
use crate::config::file::{DatasetName, File, TimedTrace, Workload};
use crate::config::{Trace, TraceFields, TraceFormat};

/// Tokens for which a hash id stands, in Mooncake's traces.
const MOONCAKE_BLOCK: u32 = 512;
/// The default of `vllm bench serve`.
const TIMED_BLOCK: u32 = 16;

/// The format of a dataset that is a trace.
pub fn format(name: DatasetName) -> Option<TraceFormat> {
    match name {
        DatasetName::Mooncake => Some(TraceFormat::Mooncake),
        DatasetName::TimedTrace => Some(TraceFormat::TimedTrace),
        DatasetName::Azure => Some(TraceFormat::Azure),
        DatasetName::Burstgpt => Some(TraceFormat::Burstgpt),
        _ => None,
    }
}

/// Whether the dataset is a trace; its name must say so, a file's ending cannot. A prepared set may have its
/// rows' times: whether it does is known when it is read.
pub fn is_one(file: &File) -> bool {
    let asked = file.load.self_timed == Some(true) && is_request_set(file);
    asked || file.workload.dataset.and_then(format).is_some()
}

/// Whether the dataset may be a request set.
fn is_request_set(file: &File) -> bool {
    let ending = file.workload.path.as_ref().and_then(|path| path.extension()?.to_str());
    let by_ending = ending.and_then(DatasetName::by_ending);
    file.workload.dataset.or(by_ending) == Some(DatasetName::Jsonl)
}

/// Whether requests are sent at a trace's own times: unless something else says when.
pub fn self_timed(file: &File, check: &mut Check<'_>) -> bool {
    let given = &file.load;
    let others = [
        ("load.users", given.users.is_some()),
        ("load.request_rate", given.request_rate.is_some()),
        ("load.ramp_up_strategy", given.ramp_up_strategy.is_some()),
        ("load.stages", given.stages.is_some()),
    ];
    let other = others.iter().find(|(_, is_given)| *is_given).map(|(field, _)| *field);
    let is_trace = is_one(file);
    if given.self_timed == Some(true) {
        if !is_trace {
            let hint = "--dataset-name mooncake, timed-trace, azure or burstgpt, or a prepared set of one";
            check.problem("load.self_timed", "only a trace has times of its own", hint);
        } else if let Some(other) = other {
            let message = format!("{} already says when requests are sent", check.name(other));
            check.problem("load.self_timed", message, "give one of them");
        }
    }
    let self_timed = is_trace && other.is_none() && given.self_timed != Some(false);
    if given.trace_speed.is_some() && !self_timed {
        let hint = "leave it out, or leave out what says otherwise when requests are sent";
        check.problem("load.trace_speed", "there are no times of a trace to speed up", hint);
    }
    self_timed
}

/// How the trace is read.
pub fn trace(given: &Workload, format: TraceFormat, path: PathBuf, check: &mut Check<'_>) -> Trace {
    let timed = &given.timed_trace;
    let start_s = check.real("workload.trace_start_s", given.trace_start_s, 0.0, FROM_THE_BEGIN);
    let end_s = check.real_or_none(
        "workload.trace_end_s",
        given.trace_end_s,
        FROM_THE_BEGIN,
        "left out, the trace is sent to its end",
    );
    if let Some(end_s) = end_s.filter(|end_s| *end_s <= start_s) {
        let message = format!("{end_s} is not after {} ({start_s})", check.name("workload.trace_start_s"));
        check.problem("workload.trace_end_s", message, "both are seconds since the trace's first request");
    }
    let usual = TraceFields::default();
    let own = |label: &Option<String>, usual: String| label.clone().unwrap_or(usual);
    let limits = Limits::above(0.0, 1e6, "seconds");
    let block = 1..=1_000_000;
    Trace {
        path,
        format,
        start_s,
        end_s,
        sec_multiplier: check.real(MULTIPLIER, timed.sec_multiplier, 1.0, limits),
        block_tokens: match format {
            TraceFormat::TimedTrace => check.whole(BLOCK, timed.chunk_hash_size, TIMED_BLOCK, block),
            _ => MOONCAKE_BLOCK,
        },
        fields: TraceFields {
            timestamp: own(&timed.label_timestamp, usual.timestamp),
            input_length: own(&timed.label_input_length, usual.input_length),
            output_length: own(&timed.label_output_length, usual.output_length),
            hash_ids: own(&timed.label_hash_ids, usual.hash_ids),
        },
    }
}

/// A trace may be long, as long as what is sent of it is not.
const FROM_THE_BEGIN: Limits = Limits::from(0.0, 1e10, "seconds since the trace's first request");
const MULTIPLIER: &str = "workload.timed_trace.sec_multiplier";
const BLOCK: &str = "workload.timed_trace.chunk_hash_size";

/// Settings of a trace where there is none, or another.
pub fn misplaced(file: &File, check: &mut Check<'_>) {
    let given = &file.workload;
    let format = given.dataset.and_then(format);
    for (field, is_given) in [
        ("workload.trace_start_s", given.trace_start_s.is_some()),
        ("workload.trace_end_s", given.trace_end_s.is_some()),
    ] {
        if is_given && format.is_none() {
            let hint = "--dataset-name mooncake, timed-trace, azure or burstgpt";
            check.problem(field, "this is for a trace, and the dataset is none", hint);
        }
    }
    if format == Some(TraceFormat::TimedTrace) {
        return;
    }
    let timed = &given.timed_trace;
    let TimedTrace { sec_multiplier, chunk_hash_size, .. } = timed;
    for (field, is_given) in [
        (MULTIPLIER, sec_multiplier.is_some()),
        (BLOCK, chunk_hash_size.is_some()),
        ("workload.timed_trace.label_timestamp", timed.label_timestamp.is_some()),
        ("workload.timed_trace.label_input_length", timed.label_input_length.is_some()),
        ("workload.timed_trace.label_output_length", timed.label_output_length.is_some()),
        ("workload.timed_trace.label_hash_ids", timed.label_hash_ids.is_some()),
    ] {
        if is_given {
            let message =
                "this is for the dataset `timed-trace`; the other formats say their units themselves";
            check.problem(field, message, "leave it out, or choose --dataset-name timed-trace");
        }
    }
}
