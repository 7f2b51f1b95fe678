//! A log line's own time → an instant. Most servers log civil time without a year or a zone; it is
//! resolved here to the instant nearest to when the line was read. This file does no I/O and must
//! not know formats: a [`LogTime`] is all it sees.

use chrono::{DateTime, Datelike, LocalResult, NaiveDate, NaiveDateTime, TimeZone, Utc};
use tare_parsers::LogTime;

use crate::clock::UnixNs;

const MINUTE_NS: i64 = 60_000_000_000;
/// Offsets between time zones are multiples of this.
const ZONE_GRID_NS: i64 = 15 * MINUTE_NS;
/// The widest pair of zones in use, UTC−12 and UTC+14.
const MAX_ZONE_NS: i64 = 26 * 60 * MINUTE_NS;
/// A fresh line is read at most so long after it was stamped, and a second may be cut off it.
const FRESH_NS: i64 = MINUTE_NS;
const EARLY_NS: i64 = 2_000_000_000;

/// When a line was written: [`at`, `at` + resolution).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Stamp {
    pub at: UnixNs,
    pub resolution_ns: i64,
    /// The line named a civil time, without its zone.
    pub civil: bool,
}

/// The instant of `time` nearest to `near`, civil times taken as of `zone`. `None` if there is no
/// such date, or if the zone's clocks skipped that hour (the log is of another zone then).
pub fn resolve<Tz: TimeZone>(time: LogTime, near: UnixNs, zone: &Tz) -> Option<Stamp> {
    match time {
        LogTime::Unix { unix_ns, resolution_ns } => {
            Some(Stamp { at: UnixNs(unix_ns), resolution_ns: resolution_ns.max(1), civil: false })
        }
        LogTime::Local { year, month, day, hour, minute, second, nanos, resolution_ns } => {
            let civil = |year: i32| -> Option<NaiveDateTime> {
                NaiveDate::from_ymd_opt(year, month.into(), day.into())?
                    // A leap second has no number of its own among civil times.
                    .and_hms_nano_opt(hour.into(), minute.into(), u32::from(second).min(59), nanos)
            };
            let resolution_ns = resolution_ns.max(1);
            let years = year.map_or_else(|| near_years(near), |year| vec![year]);
            let stamps =
                years.into_iter().filter_map(civil).filter_map(|civil| in_zone(civil, resolution_ns, zone));
            stamps.min_by_key(|stamp| stamp.at.0.abs_diff(near.0))
        }
    }
}

/// The server's zone against ours, as an offset to add to its civil times (0: the same zone): for a
/// line that was read as soon as it was written, the rest of the difference must be small.
/// Containers commonly log in UTC. `None`: no whole zone explains the difference.
pub fn zone_shift_ns(stamp: Stamp, read: UnixNs) -> Option<i64> {
    // A line may name any year.
    let late = read.0.checked_sub(stamp.at.0)?;
    let shift = late.checked_add(EARLY_NS)?.div_euclid(ZONE_GRID_NS) * ZONE_GRID_NS;
    let rest = late - shift;
    (stamp.civil && shift.abs() <= MAX_ZONE_NS && rest <= FRESH_NS).then_some(shift)
}

fn near_years(near: UnixNs) -> Vec<i32> {
    let year = DateTime::<Utc>::from_timestamp_nanos(near.0).year();
    vec![year - 1, year, year + 1]
}

fn in_zone<Tz: TimeZone>(civil: NaiveDateTime, resolution_ns: i64, zone: &Tz) -> Option<Stamp> {
    let nanos = |time: DateTime<Tz>| time.timestamp_nanos_opt();
    match zone.from_local_datetime(&civil) {
        LocalResult::Single(time) => Some(Stamp { at: UnixNs(nanos(time)?), resolution_ns, civil: true }),
        // Clocks set back: the hour happened twice, and the line may be of either.
        LocalResult::Ambiguous(one, other) => {
            let (one, other) = (nanos(one)?, nanos(other)?);
            Some(Stamp {
                at: UnixNs(one.min(other)),
                resolution_ns: (one - other).abs() + resolution_ns,
                civil: true,
            })
        }
        LocalResult::None => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use chrono::{FixedOffset, MappedLocalTime, Offset};

    const SECOND: i64 = 1_000_000_000;

    fn local(year: Option<i32>, month: u8, day: u8, hour: u8) -> LogTime {
        LogTime::Local { year, month, day, hour, minute: 30, second: 0, nanos: 0, resolution_ns: SECOND }
    }

    fn utc(text: &str) -> UnixNs {
        UnixNs(text.parse::<DateTime<Utc>>().unwrap().timestamp_nanos_opt().unwrap())
    }

    #[test]
    fn the_year_is_the_one_nearest_to_the_reading() {
        let at = |month, day, near| resolve(local(None, month, day, 23), utc(near), &Utc).unwrap().at;
        assert_eq!(at(11, 24, "2026-11-24T23:31:00Z"), utc("2026-11-24T23:30:00Z"));
        assert_eq!(at(12, 31, "2027-01-01T00:00:01Z"), utc("2026-12-31T23:30:00Z"));
        assert_eq!(at(1, 1, "2026-12-31T23:59:59Z"), utc("2027-01-01T23:30:00Z"));
        assert_eq!(
            at(2, 29, "2027-03-01T00:00:00Z"),
            utc("2028-02-29T23:30:00Z"),
            "only one of the years has that day"
        );
        assert_eq!(resolve(local(None, 2, 30, 1), utc("2026-03-01T00:00:00Z"), &Utc), None);
    }

    #[test]
    fn a_line_of_another_age_shows_no_zone() {
        let stamp = |ns: i64| Stamp { at: UnixNs(ns), resolution_ns: SECOND, civil: true };
        let now = utc("2026-11-24T23:31:00Z");
        assert_eq!(zone_shift_ns(stamp(i64::MIN), now), None);
        assert_eq!(zone_shift_ns(stamp(i64::MAX), now), None);
        assert_eq!(zone_shift_ns(stamp(-7_445_000_000_000_000_000), now), None);
    }

    #[test]
    fn a_year_that_is_written_is_taken() {
        assert_eq!(
            resolve(local(Some(2019), 5, 6, 7), utc("2026-01-01T00:00:00Z"), &Utc).unwrap().at,
            utc("2019-05-06T07:30:00Z")
        );
    }

    #[test]
    fn an_absolute_instant_needs_no_zone() {
        let stamp = resolve(LogTime::Unix { unix_ns: 5, resolution_ns: 0 }, UnixNs(9), &Utc).unwrap();
        assert_eq!(stamp, Stamp { at: UnixNs(5), resolution_ns: 1, civil: false });
    }

    /// Central Europe as far as these tests go: one hour repeated in autumn, one skipped in spring.
    #[derive(Clone, Debug)]
    struct Europe;

    impl TimeZone for Europe {
        type Offset = FixedOffset;
        fn from_offset(_: &FixedOffset) -> Self {
            Self
        }
        fn offset_from_local_date(&self, _: &NaiveDate) -> MappedLocalTime<FixedOffset> {
            MappedLocalTime::None
        }
        fn offset_from_local_datetime(&self, local: &NaiveDateTime) -> MappedLocalTime<FixedOffset> {
            let (winter, summer) =
                (FixedOffset::east_opt(3600).unwrap(), FixedOffset::east_opt(7200).unwrap());
            let text = local.format("%m-%d %H").to_string();
            match text.as_str() {
                "10-25 02" => MappedLocalTime::Ambiguous(summer, winter),
                "03-29 02" => MappedLocalTime::None,
                other if ("03-29 03".."10-25 02").contains(&other) => MappedLocalTime::Single(summer),
                _ => MappedLocalTime::Single(winter),
            }
        }
        fn offset_from_utc_date(&self, _: &NaiveDate) -> FixedOffset {
            Utc.fix()
        }
        fn offset_from_utc_datetime(&self, _: &NaiveDateTime) -> FixedOffset {
            Utc.fix()
        }
    }

    #[test]
    fn an_hour_that_happened_twice_widens_the_resolution() {
        let stamp = resolve(local(None, 10, 25, 2), utc("2026-10-25T01:00:00Z"), &Europe).unwrap();
        assert_eq!(stamp.at, utc("2026-10-25T00:30:00Z"));
        assert_eq!(stamp.resolution_ns, 3600 * SECOND + SECOND);
        assert_eq!(resolve(local(Some(2026), 3, 29, 2), utc("2026-03-29T01:00:00Z"), &Europe), None);
        assert_eq!(
            resolve(local(None, 7, 1, 12), utc("2026-07-01T10:30:00Z"), &Europe).unwrap().at,
            utc("2026-07-01T10:30:00Z")
        );
    }

    #[test]
    fn another_zone_is_recognised_by_whole_quarters_of_an_hour() {
        let read = utc("2026-11-24T15:00:10Z");
        let shift = |stamp: &str| {
            zone_shift_ns(Stamp { at: utc(stamp), resolution_ns: SECOND, civil: true }, read)
                .map(|ns| ns / MINUTE_NS)
        };
        assert_eq!(shift("2026-11-24T15:00:09Z"), Some(0), "the same zone");
        assert_eq!(
            shift("2026-11-24T15:00:11Z"),
            Some(0),
            "stamped after it was read: clocks differ a little"
        );
        assert_eq!(shift("2026-11-24T13:00:10Z"), Some(120), "the server's clock shows two hours less");
        assert_eq!(shift("2026-11-24T20:30:09Z"), Some(-330), "five and a half hours more");
        assert_eq!(shift("2026-11-24T14:52:00Z"), None, "an old line, not another zone");
        let absolute = Stamp { at: utc("2026-11-24T13:00:10Z"), resolution_ns: 1, civil: false };
        assert_eq!(zone_shift_ns(absolute, read), None);
    }
}
