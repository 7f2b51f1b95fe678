//! The lines of tare's stat logger inside vLLM: as spans without TTFT.

use crate::doctor::seen::Seen;
use crate::record::diagnosis::{Level, State};

/// Of servers that write such a file themselves.
fn other(seen: &Seen<'_>) -> Option<String> {
    Some(format!("start the server with `{}`", seen.kind.stat_log_flag?))
}

pub fn level(seen: &Seen<'_>) -> Level {
    let given = seen.read.manifest.sources.iter().any(|source| source.kind == "stat_log");
    let coverage = &seen.read.correlated.coverage;
    let left: usize = coverage.stat_leftovers.values().sum();
    let joined = coverage.stats.saturating_sub(left);
    let (state, said) = match (given, joined) {
        (_, n) if n > 0 => (State::On, format!("{n} lines are of these requests, of {}", coverage.stats)),
        (true, _) => (State::Off, format!("none of its {} lines is of these requests", coverage.stats)),
        (false, _) if seen.kind.stat_log_flag.is_none() => (State::Off, "this server writes none".to_owned()),
        (false, _) => (State::Unknown, "not given".to_owned()),
    };
    Level {
        name: "stat log",
        state,
        seen: said,
        adds: "arrival, queue, prefill, decode, E2E, cached tokens and preemptions of each request; no TTFT",
        unlock: seen
            .vllm("install the plugin assets/vllm_tare_logger beside vLLM and start it with TARE_STAT_LOG=FILE in its environment (0.20 or newer)")
            .filter(|_| state != State::On)
            .or_else(|| other(seen).filter(|_| state != State::On)),
        advice: None,
        give: seen.kind.stat_log_flag.map(|_| "--stat-log FILE".to_owned()),
    }
}
