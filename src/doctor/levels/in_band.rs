//! Metrics in the answers themselves: queue, prefill and decode, without instants.

use serde_json::Value;

use crate::doctor::seen::Seen;
use crate::record::diagnosis::{Level, State};
use crate::server::InBand;

pub fn level(seen: &Seen<'_>) -> Level {
    let (n, of) = seen.share(|row| row.client.in_band_prefill_s.or(row.client.in_band_queue_s).is_some());
    let whole = ["metrics", "timings"].iter().any(|key| seen.body.get(key).is_some_and(Value::is_object))
        || seen.asked.is_some_and(|asked| asked.header("x-inference-time").is_some());
    let state = if n > 0 || whole { State::On } else { State::Off };
    let unstreamed = match (seen.asked.is_some(), whole) {
        (false, _) => "",
        (true, true) => ", and in the one that was not streamed",
        (true, false) => ", and not in the one that was not streamed",
    };
    Level {
        name: "in-band metrics",
        state,
        seen: format!("in {of} streamed answers{unstreamed}"),
        adds: match seen.kind.in_band {
            InBand::Always(tells) => tells,
            InBand::With { .. } | InBand::Never => {
                "queue, prefill and decode of each request, in its answer: also through a gateway; no instants, no TTFT"
            }
        },
        unlock: seen
            .kind
            .in_band
            .flag()
            .filter(|_| state == State::Off)
            .map(|flag| format!("start the server with `{flag}`")),
        advice: None,
        give: None,
    }
}
