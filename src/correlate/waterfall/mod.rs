//! One request as a waterfall, made from its joined row and its events. This module must not know how
//! it is drawn.

mod bars;
mod decode;
mod heads;
mod stamps;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::float_cmp)]
mod tests;
mod unknown;

use crate::record::correlated::Correlated;
use crate::record::own::OwnLag;
use crate::record::waterfall::{Outline, Waterfall};
use crate::record::{EventRow, JoinedRow};

/// The waterfall of `row`, one of `run`. `events` are its own, in order; `own` is what this program saw
/// of itself.
pub fn waterfall(row: &JoinedRow, events: &[EventRow], run: &Correlated, own: Option<&OwnLag>) -> Waterfall {
    let median_s = run.stalls.as_ref().map(|stalls| stalls.median_s);
    Waterfall {
        stamps: stamps::in_time(row),
        parts: bars::of(row),
        decode: decode::of(row, events, median_s, own),
        in_head: heads::of(&row.client),
        unknown: unknown::of(row, events, &run.clocks),
        row: row.clone(),
    }
}

/// What the row alone tells of a request: for many at once.
pub fn outline(row: &JoinedRow) -> Outline {
    Outline { stamps: stamps::of(row), parts: bars::of(row) }
}
