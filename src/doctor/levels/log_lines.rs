//! The server's log lines about single requests, and how fine their stamps are.

use std::fmt::Write as _;

use crate::doctor::seen::Seen;
use crate::record::diagnosis::{Level, State};
use crate::record::{JoinedRow, LogSays};

/// Coarser stamps than this bound a part worse than a part is long.
const FINE_NS: i64 = 1_000_000;
const ADVICE: &str = "`--enable-log-outputs` adds when each answer's first output and end came; \
     VLLM_LOGGING_CONFIG_PATH=configs/vllm-logging-us.json gives stamps of a microsecond, not of a second";
const FINER: &str = "VLLM_LOGGING_CONFIG_PATH=configs/vllm-logging-us.json gives stamps of a microsecond";

pub fn level(seen: &Seen<'_>) -> Level {
    let has = |row: &JoinedRow, says: LogSays| row.log_lines.iter().any(|line| line.says == says);
    let (received, of) = seen.share(|row| has(row, LogSays::Received) || has(row, LogSays::Added));
    let (outputs, of_outputs) = seen.share(|row| has(row, LogSays::FirstOutput));
    let (_, of_access) =
        seen.share(|row| row.log_lines.iter().any(|line| matches!(line.says, LogSays::Access(_))));
    let resolution =
        seen.ok.iter().flat_map(|s| &s.row.log_lines).filter_map(|line| line.resolution_ns).max();
    let lines = seen.read.log.len();
    let mut said = match (&seen.config.observe.server_log, lines) {
        (None, _) => "no log was given".to_owned(),
        (Some(_), 0) => "nothing was written into the log meanwhile".to_owned(),
        (Some(_), lines) => {
            format!("{lines} lines came: request lines of {of} requests, access lines of {of_access}")
        }
    };
    if outputs > 0 {
        let _ = write!(said, ", outputs of {of_outputs}");
    }
    let fine = resolution.is_some_and(|ns| ns <= FINE_NS);
    if let Some(ns) = resolution {
        let _ = write!(said, "; stamps of {}", in_words(ns));
    }
    let state = match (&seen.config.observe.server_log, received) {
        (None, _) => State::Unknown,
        (Some(_), 0) => State::Off,
        (Some(_), _) => State::On,
    };
    let unlock = match state {
        State::On if fine => None,
        State::On => seen.vllm(FINER),
        State::Off | State::Unknown => seen.vllm("start the server with `--enable-log-requests`"),
    };
    Level {
        name: "request log lines",
        state,
        seen: said,
        adds: "when each request was received and added: an instant as fine as the log's stamps; refusals and aborts",
        advice: unlock.as_ref().filter(|_| state != State::On).map(|_| ADVICE),
        unlock,
        give: Some("--server-log FILE".to_owned()),
    }
}

fn in_words(ns: i64) -> String {
    match ns {
        0 => "no stated resolution".to_owned(),
        1_000_000_000 => "whole seconds".to_owned(),
        1_000_000 => "a millisecond".to_owned(),
        1_000 => "a microsecond".to_owned(),
        ns => format!("{ns} ns"),
    }
}
