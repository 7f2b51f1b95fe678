//! Whether the ids that were sent came through: the request's and the trace's.

use super::Told;
use crate::correlate::ids::candidates;
use crate::doctor::levels::is_honoured;
use crate::doctor::seen::Seen;
use crate::record::diagnosis::Sure;

pub fn sign(seen: &Seen<'_>, told: &mut Told) {
    let (honoured, of) = seen.share(is_honoured);
    if honoured == seen.ok.len() {
        told.clear(format!("X-Request-Id came through ({of})"));
    } else if seen.is_vllm() {
        told.gateway(
            Sure::Likely,
            format!("X-Request-Id came through in {of} requests, and vLLM always makes its id of it: it was dropped or replaced on the way"),
        );
    } else {
        told.either(
            Sure::Hint,
            format!("X-Request-Id is in the id of {of} answers: replaced, or not used by this server"),
        );
    }
    if let Some(echoed) = seen.asked.and_then(|asked| asked.header("x-request-id"))
        && !echoed.contains(seen.asked_id)
    {
        told.gateway(
            Sure::Likely,
            "the header `x-request-id` of the answer is another than was sent: a gateway made its own"
                .to_owned(),
        );
    }
    let strange = seen.read.spans.iter().filter(|span| {
        let Some(id) = &span.request_id else { return false };
        seen.ok.iter().any(|s| {
            candidates(id).contains(&s.row.client.request_id.as_str())
                && span.trace_id != s.row.client.trace_id
        })
    });
    match strange.count() {
        0 => {}
        n => told.gateway(Sure::Certain, format!("{n} spans have the ids of these requests and another trace: `traceparent` was dropped or replaced on the way")),
    }
}
