//! The kinds of evidence, the best first: one file each, one line in [`LEVELS`]. This module must not
//! know what is done with a level.

mod in_band;
mod log_lines;
mod metrics;
mod request_id;
mod spans;
mod stat_log;
mod usage;

pub use self::request_id::is_honoured;
pub use self::spans::NAME as SPANS;

use super::seen::Seen;
use crate::record::diagnosis::Level;

/// Every level, the best first.
pub const LEVELS: [fn(&Seen<'_>) -> Level; 7] = [
    spans::level,
    stat_log::level,
    in_band::level,
    log_lines::level,
    metrics::level,
    usage::level,
    request_id::level,
];

/// All of them, of one examination.
pub fn of(seen: &Seen<'_>) -> Vec<Level> {
    LEVELS.iter().map(|level| level(seen)).collect()
}
