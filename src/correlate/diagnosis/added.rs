//! What was added to a request's first and last token on the way: client − server, both durations of one
//! clock each, so that no offset is in them; or through − direct, over twins. This file must not know
//! what is concluded.

use super::{Passage, signature};
use crate::clock::UnixNs;
use crate::record::own::OwnLag;
use crate::record::{JoinedRow, RequestRow, Status};

/// What was added to one request, s.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Added {
    /// Which of the passages it is.
    pub passage: usize,
    pub first_s: f64,
    pub last_s: f64,
    /// Tokens after the first at the server, and its time from token to token.
    pub step_s: Option<f64>,
    /// Requests of this route that were under way when it was sent, itself among them.
    pub at_once: usize,
    /// When it was sent.
    pub sent: UnixNs,
}

impl Added {
    /// What the first token lost and the last did not: it was held, not late.
    pub fn held_s(&self) -> f64 {
        self.first_s - self.last_s
    }

    /// What both tokens lost alike, where the way there without a gateway costs them `without`.
    pub fn alike_s(&self, without: (f64, f64)) -> f64 {
        (self.first_s - without.0).min(self.last_s - without.1).max(0.0)
    }
}

/// Against what something was added.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Against {
    /// The server's own time to its first and last token.
    Server,
    /// The request that went straight to the server.
    Twin,
}

/// What was added to each request that ended well, in the order of the passages; what the server said of
/// enough of them counts before twins.
pub fn of(passages: &[Passage<'_>], own: Option<&OwnLag>) -> (Against, Vec<Added>) {
    let usable: Vec<(usize, &Passage<'_>)> =
        passages.iter().enumerate().filter(|(_, p)| is_usable(p, own)).collect();
    let sorted = |of: fn(&RequestRow) -> UnixNs| {
        let mut instants: Vec<UnixNs> = passages.iter().map(|p| of(&p.row.client)).collect();
        instants.sort_unstable();
        instants
    };
    let (begun, done) = (sorted(|client| client.started_unix_ns), sorted(|client| client.done_unix_ns));
    // Begun by then, less those that had ended: who ended had begun.
    let sent = |p: &Passage<'_>| p.row.client.send_begin_unix_ns.unwrap_or(p.row.client.started_unix_ns);
    let at_once = |p: &Passage<'_>| {
        let sent = sent(p);
        let by_then = |instants: &[UnixNs]| instants.partition_point(|at| *at <= sent);
        by_then(&begun).saturating_sub(by_then(&done))
    };
    let by = |of: fn(&Passage<'_>) -> Option<(f64, f64)>| -> Vec<Added> {
        let added = |(passage, p): &(usize, &Passage<'_>)| {
            let (first_s, last_s) = of(p)?;
            let (step_s, at_once, sent) = (step_s(p.row), at_once(p), sent(p));
            Some(Added { passage: *passage, first_s, last_s, step_s, at_once, sent })
        };
        usable.iter().filter_map(added).collect()
    };
    let server = by(to_server);
    let twins = by(to_twin);
    if server.len() * 2 >= twins.len() { (Against::Server, server) } else { (Against::Twin, twins) }
}

/// The server's time from token to token in one answer.
pub fn step_s(row: &JoinedRow) -> Option<f64> {
    let tokens = row.server_output_tokens.or(row.client.output_tokens).filter(|n| *n > 1)?;
    let decode = row.server_decode_s.or_else(|| Some(row.server_e2e_s? - row.server_ttft_s?))?;
    Some(decode / f64::from(tokens - 1)).filter(|step| *step > 0.0)
}

/// Streamed, whole, and this program was there for its first and last token.
fn is_usable(p: &Passage<'_>, own: Option<&OwnLag>) -> bool {
    let client = &p.row.client;
    let asleep = |at: Option<UnixNs>| {
        at.is_some_and(|at| {
            own.is_some_and(|own| own.stalls.iter().any(|s| s.begin_unix_ns <= at && at <= s.end_unix_ns()))
        })
    };
    client.streamed
        && client.status == Status::Ok
        && !asleep(client.first_token_user_unix_ns)
        && !asleep(client.last_token_unix_ns)
}

/// From sending to the first and to the last token.
fn took(client: &RequestRow) -> Option<(f64, f64)> {
    let sent = client.send_begin_unix_ns?;
    Some((client.first_token_unix_ns?.seconds_since(sent), client.last_token_unix_ns?.seconds_since(sent)))
}

fn to_server(p: &Passage<'_>) -> Option<(f64, f64)> {
    let (first, last) = took(&p.row.client)?;
    Some((first - p.row.server_ttft_s?, last - p.row.server_e2e_s?))
}

/// The twin's answer may be longer or shorter: the last token is compared at the twin's own pace only
/// where both have as many events.
fn to_twin(p: &Passage<'_>) -> Option<(f64, f64)> {
    let twin = p.twin.filter(|twin| twin.client.status == Status::Ok)?;
    if twin.client.n_events != p.row.client.n_events || p.row.client.n_events < signature::LEAST_EVENTS as u32
    {
        return None;
    }
    let ((first, last), (twin_first, twin_last)) = (took(&p.row.client)?, took(&twin.client)?);
    Some((first - twin_first, last - twin_last))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::record::fixture::request;

    #[test]
    fn those_under_way_at_once_are_begun_and_not_ended() {
        // Begun every 0.1 s, each 0.25 s long; the last fails.
        let rows: Vec<JoinedRow> = (0..6_u32)
            .map(|n| {
                let mut row = JoinedRow::of(request(u64::from(n)));
                let begun = UnixNs(1_000_000_000_000).plus_seconds(f64::from(n) * 0.1);
                (row.client.started_unix_ns, row.client.send_begin_unix_ns) = (begun, Some(begun));
                row.client.first_token_unix_ns = Some(begun.plus_seconds(0.1));
                row.client.last_token_unix_ns = Some(begun.plus_seconds(0.2));
                row.client.done_unix_ns = begun.plus_seconds(0.25);
                (row.server_ttft_s, row.server_e2e_s) = (Some(0.09), Some(0.19));
                row
            })
            .collect();
        let passage = |row| Passage { row, events: Vec::new(), hops: Vec::new(), twin: None };
        let passages: Vec<Passage<'_>> = rows.iter().map(passage).collect();
        let (against, added) = of(&passages, None);
        let at_once: Vec<usize> = added.iter().map(|a| a.at_once).collect();
        assert_eq!((against, at_once), (Against::Server, vec![1, 2, 3, 3, 3, 3]));
    }
}
