//! When the head of the answer came: with the first token (held back), or before the server had the
//! request (somebody else answered).

use super::Told;
use crate::correlate::diagnosis::signature::{HEAD_WAIT_S, HEAD_WITH_TOKEN_S, around_head};
use crate::doctor::seen::{Seen, median};
use crate::record::diagnosis::Sure;
use crate::units;

pub fn sign(seen: &Seen<'_>, told: &mut Told) {
    let waits: Vec<(f64, f64)> = seen.ok.iter().filter_map(|s| around_head(&s.row.client)).collect();
    let (Some(before), Some(after)) = (median(waits.iter().map(|w| w.0)), median(waits.iter().map(|w| w.1)))
    else {
        return;
    };
    let early = seen.ok.iter().filter(|s| {
        let arrival = s.row.arrival_here.map(|w| w.lo_unix_ns);
        s.row.client.head_unix_ns.zip(arrival).is_some_and(|(head, arrival)| head < arrival)
    });
    let early = early.count();
    if early > 0 {
        told.gateway(
            Sure::Certain,
            format!("the head of {early} answers was here before the server had the request: something else sent it"),
        );
    } else if after < HEAD_WITH_TOKEN_S && before + after > HEAD_WAIT_S {
        let what = format!(
            "the head came with the first token, {} after sending: held back until then, so that time to the head is TTFT",
            units::seconds(before)
        );
        // vLLM sends it as soon as the request is accepted.
        if seen.is_vllm() { told.gateway(Sure::Likely, what) } else { told.either(Sure::Hint, what) }
    } else {
        told.clear(format!(
            "the head came {} after sending, {} before the first token (medians)",
            units::seconds(before),
            units::seconds(after)
        ));
    }
}
