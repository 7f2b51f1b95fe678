//! A log that was fetched later may be of a server in another time zone: its civil times were read as of
//! ours. The requests themselves tell: they are received after they were sent, and before their first
//! token was here. This file must not know how a line was read.

use super::clocks::Pairs;
use crate::clock::UnixNs;
use crate::record::LogRow;
use crate::record::clocks::{ClockRelation, Clocks};

/// Offsets between time zones are multiples of a quarter of an hour.
const GRID_NS: i64 = 15 * 60 * 1_000_000_000;
/// Zones are up to 26 hours apart (UTC−12 and UTC+14), but what is a day off is more likely of another day.
const WIDEST_NS: i64 = 24 * 60 * 60 * 1_000_000_000 - 1;
/// What else a log's stamps may be off by.
const SLACK_NS: i64 = 2_000_000_000;

/// How far the log's stamps are from the server's clock, if that is a whole zone. `clocks`: what better
/// sources say of that clock.
pub fn shift_ns(log: &Pairs, clocks: &Clocks) -> Option<i64> {
    let (least, most) = log.ahead_ns()?;
    let (clock_least, clock_most) = match clocks.relation {
        ClockRelation::OneClock => (0, 0),
        ClockRelation::Bounded => {
            let ns = |s: f64| (s * 1e9) as i64;
            let least = clocks.stretches.iter().map(|s| ns(s.offset_lo_s)).min()?;
            (least, clocks.stretches.iter().map(|s| ns(s.offset_hi_s)).max()?)
        }
        ClockRelation::Contradict | ClockRelation::Unknown => return None,
    };
    let (lo, hi) = (least - clock_most - SLACK_NS, most - clock_least + SLACK_NS);
    let zones = lo.div_euclid(GRID_NS) + i64::from(lo.rem_euclid(GRID_NS) > 0)..=hi.div_euclid(GRID_NS);
    // One zone and no other explains it, and it is not ours.
    let zone = *zones.start();
    (zones.count() == 1 && zone != 0 && (zone * GRID_NS).abs() <= WIDEST_NS).then_some(zone * GRID_NS)
}

/// The lines with their stamps moved back by so much.
pub fn shifted(log: &[LogRow], by_ns: i64) -> Vec<LogRow> {
    let moved = |row: &LogRow| LogRow {
        time_unix_ns: row.time_unix_ns.map(|time| UnixNs(time.0.saturating_sub(by_ns))),
        ..row.clone()
    };
    log.iter().map(moved).collect()
}
