//! The ids of the `traceparent` that goes with each request: one rule for those that send them and for those that tell
//! of them later, so that no column is needed for what follows from two others. This file must not know how ids travel.

/// Ids of one request's span, which is the parent of what the server makes of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TraceIds {
    /// 32 hex digits: the run's nonce, then the request's own.
    pub trace_id: String,
    /// Never 0.
    pub span_id: u64,
}

impl TraceIds {
    /// Of the request `request_id` in the run with this nonce.
    pub fn of(nonce: u64, request_id: &str) -> Self {
        Self {
            trace_id: format!("{nonce:016x}{:016x}", mix(fold(request_id))),
            span_id: mix(nonce ^ fold(request_id)).max(1),
        }
    }

    /// Those that were sent, from what a row keeps of them; `None` if the trace id is none that tare makes: then
    /// another tool sent the request, and its span's id is not known.
    pub fn sent(trace_id: &str, request_id: &str) -> Option<Self> {
        let nonce = u64::from_str_radix(trace_id.get(..16)?, 16).ok()?;
        Some(Self::of(nonce, request_id)).filter(|ids| ids.trace_id == trace_id)
    }

    /// The span id of a part of the request: the same whenever it is told of.
    pub fn part(&self, number: u64) -> u64 {
        mix(self.span_id.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15))).max(1)
    }
}

/// FNV-1a, to make a number of an id.
fn fold(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// The finaliser of `SplitMix64`: neighbouring numbers become unlike ones.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const NONCE: u64 = 0x1234_5678_9abc_def0;

    #[test]
    fn what_was_sent_follows_from_a_row() {
        // As `load::prepare` has it in its test of a whole request.
        let ids = TraceIds::of(NONCE, "tare-9abcdef0-4");
        assert_eq!(ids.trace_id, "123456789abcdef0e9f234597a136ef4");
        assert_eq!(format!("{:016x}", ids.span_id), "c40bc69250ab0bb0");
        assert_eq!(TraceIds::sent(&ids.trace_id, "tare-9abcdef0-4"), Some(ids));
    }

    #[test]
    fn ids_of_other_tools_are_known_for_that() {
        let of_another = "0af7651916cd43dd8448eb211c80319c";
        for trace_id in [of_another, "", "é234567890123456789", "123456789abcdef0"] {
            assert_eq!(TraceIds::sent(trace_id, "tare-9abcdef0-4"), None, "{trace_id}");
        }
    }

    #[test]
    fn no_two_spans_of_a_run_share_an_id() {
        let mut seen = HashSet::new();
        for request in 0..2_000 {
            let ids = TraceIds::of(NONCE, &format!("tare-9abcdef0-{request}"));
            assert!(seen.insert(ids.span_id));
            assert!((1..6).all(|part| seen.insert(ids.part(part))));
        }
    }
}
