//! One request as a waterfall, made from its joined row and its events. This module must not know how
//! it is drawn.

mod bars;
mod decode;
mod stamps;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::float_cmp)]
mod tests;
mod unknown;

use crate::record::clocks::Clocks;
use crate::record::own::OwnLag;
use crate::record::waterfall::Waterfall;
use crate::record::{EventRow, JoinedRow};

/// The waterfall of `row`. `events` are its own, in order; `own` is what this program saw of itself.
pub fn waterfall(row: &JoinedRow, events: &[EventRow], clocks: &Clocks, own: Option<&OwnLag>) -> Waterfall {
    Waterfall {
        stamps: stamps::of(row),
        parts: bars::of(row),
        decode: decode::of(row, events, own),
        unknown: unknown::of(row, events, clocks),
        row: row.clone(),
    }
}
