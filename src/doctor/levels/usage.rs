//! Token counts in the answers: of the whole, and of each event.

use crate::doctor::seen::Seen;
use crate::record::diagnosis::{Level, State};

pub fn level(seen: &Seen<'_>) -> Level {
    let (told, of) = seen.share(|row| row.client.output_tokens.is_some());
    let continuous = seen
        .ok
        .iter()
        .filter(|s| !s.events.is_empty() && s.events.iter().all(|e| e.tokens.is_some()))
        .count();
    let state = if told == 0 { State::Off } else { State::On };
    let each = match (told, continuous) {
        (0, _) => String::new(),
        (_, 0) => ", not with each event (continuous usage): tokens of an event are unknown".to_owned(),
        (_, n) => format!(", and with each event of {n}"),
    };
    Level {
        name: "usage",
        state,
        seen: format!("tokens counted in {of} streamed answers{each}"),
        adds: "tokens of each answer, for ITL, TPOT and throughput; with each event, how many tokens came in it",
        unlock: seen
            .vllm("vLLM sends it when asked, as tare does: something between drops `stream_options`; `--enable-force-include-usage` sends it unasked")
            .filter(|_| state == State::Off),
        advice: None,
        give: None,
    }
}
