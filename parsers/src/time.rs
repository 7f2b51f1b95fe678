//! The time stamps that log lines carry, as written: an absolute instant, or a civil time whose
//! zone (and often year) the line does not tell. It must not know the clock of this machine, nor
//! guess what the line leaves out.

use nom::Parser;
use nom::character::complete::digit1;

use crate::line::{Read, byte, digits, fail};

/// When a line was written, and how finely it says so.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LogTime {
    /// An absolute instant, cut down to `resolution_ns`.
    Unix { unix_ns: i64, resolution_ns: i64 },
    /// A civil time in the server's own zone.
    Local {
        year: Option<i32>,
        month: u8,
        day: u8,
        hour: u8,
        minute: u8,
        second: u8,
        nanos: u32,
        resolution_ns: i64,
    },
}

impl LogTime {
    /// Of a stamp that others put before a line and its program's own: the program's, if it is absolute; else the
    /// others', which a civil time without a zone is not worth.
    pub fn better(outer: Option<Self>, own: Option<Self>) -> Option<Self> {
        if matches!(own, Some(Self::Unix { .. })) { own } else { outer.or(own) }
    }
}

const SECOND_NS: i64 = 1_000_000_000;

/// `11-24 15:08:56`: vLLM's own stamp.
pub(crate) fn month_day_time(input: &str) -> Read<'_, LogTime> {
    let (rest, (month, day)) = month_day(input)?;
    let (rest, ()) = byte(b' ', "a blank and the time of day").parse(rest)?;
    let (rest, (hour, minute, second)) = time_of_day(rest)?;
    let time =
        LogTime::Local { year: None, month, day, hour, minute, second, nanos: 0, resolution_ns: SECOND_NS };
    Ok((rest, time))
}

/// `1795533127.216578`: seconds since 1970 with a fraction, as Python's `%(created)f` prints them.
pub(crate) fn unix_seconds(input: &str) -> Read<'_, LogTime> {
    let (rest, seconds) =
        digit1::<&str, crate::line::Expected<'_>>(input).or_else(|_| fail(input, "seconds since 1970"))?;
    // Fewer digits are some other number; more would not fit into nanoseconds.
    if !(9..=10).contains(&seconds.len()) {
        return fail(input, "seconds since 1970");
    }
    let (rest, fraction) = fraction(rest);
    let Some((nanos, resolution_ns)) = fraction else {
        return fail(rest, "a fraction of a second");
    };
    let Some(unix_ns) = seconds
        .parse::<i64>()
        .ok()
        .and_then(|seconds| seconds.checked_mul(SECOND_NS))
        .and_then(|ns| ns.checked_add(i64::from(nanos)))
    else {
        return fail(input, "seconds since 1970");
    };
    let time = LogTime::Unix { unix_ns, resolution_ns };
    Ok((rest, time))
}

/// `2026-11-24 15:15:20,123` or `2026-11-24T15:15:20.123456789Z`: absolute if it names its offset
/// from UTC.
pub(crate) fn iso(input: &str) -> Read<'_, LogTime> {
    let (rest, year) = digits::<4>(input).or_else(|_| fail(input, "a year of four digits"))?;
    let (rest, ()) = byte(b'-', "`-` after the year").parse(rest)?;
    let (rest, (month, day)) = month_day(rest)?;
    let rest = match rest.as_bytes().first() {
        Some(b' ' | b'T') => rest.get(1..).unwrap_or_default(),
        _ => return fail(rest, "the time of day"),
    };
    let (rest, (hour, minute, second)) = time_of_day(rest)?;
    let (rest, fraction) = fraction(rest);
    let (nanos, resolution_ns) = fraction.unwrap_or((0, SECOND_NS));
    let (rest, offset_s) = utc_offset(rest)?;
    let time = match offset_s {
        None => LogTime::Local {
            year: i32::try_from(year).ok(),
            month,
            day,
            hour,
            minute,
            second,
            nanos,
            resolution_ns,
        },
        Some(offset_s) => {
            match unix_ns(i64::from(year), (month, day), (hour, minute, second), offset_s, nanos) {
                Some(unix_ns) => LogTime::Unix { unix_ns, resolution_ns },
                None => return fail(input, "a year between 1678 and 2261"),
            }
        }
    };
    Ok((rest, time))
}

fn unix_ns(
    year: i64,
    (month, day): (u8, u8),
    (hour, minute, second): (u8, u8, u8),
    offset_s: i64,
    nanos: u32,
) -> Option<i64> {
    let in_day = (i64::from(hour) * 60 + i64::from(minute)) * 60 + i64::from(second);
    let days = days_from_civil(year, i64::from(month), i64::from(day));
    (days * 86_400 + in_day - offset_s).checked_mul(SECOND_NS)?.checked_add(i64::from(nanos))
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

fn month_name(input: &str) -> Read<'_, u8> {
    let name = input.get(..3).unwrap_or_default();
    match MONTHS.iter().zip(1..).find(|(month, _)| **month == name) {
        Some((_, number)) => Ok((input.get(3..).unwrap_or_default(), number)),
        None => fail(input, "the name of a month"),
    }
}

/// `24/Nov/2026:14:50:50.356`, `24/Nov/2026:14:50:32 +0000`: access logs; absolute with an offset.
pub(crate) fn clf(input: &str) -> Read<'_, LogTime> {
    let (rest, day) = in_range(input, 1, 31, "a day of the month")?;
    let (rest, ()) = byte(b'/', "`/` after the day").parse(rest)?;
    let (rest, month) = month_name(rest)?;
    let (rest, ()) = byte(b'/', "`/` after the month").parse(rest)?;
    let (rest, year) = digits::<4>(rest).or_else(|_| fail(rest, "a year of four digits"))?;
    let (rest, ()) = byte(b':', "`:` after the year").parse(rest)?;
    let (rest, (hour, minute, second)) = time_of_day(rest)?;
    let (rest, fraction) = fraction(rest);
    let (nanos, resolution_ns) = fraction.unwrap_or((0, SECOND_NS));
    let year = i32::try_from(year).ok();
    let time = LogTime::Local { year, month, day, hour, minute, second, nanos, resolution_ns };
    match rest.strip_prefix(' ').map(utc_offset) {
        Some(Ok((rest, Some(offset_s)))) => Ok((rest, time.at_offset(offset_s))),
        _ => Ok((rest, time)),
    }
}

/// `Nov 24 14:50:49`: syslog's, without a year. The day is padded with a blank.
pub(crate) fn syslog(input: &str) -> Read<'_, LogTime> {
    let (rest, month) = month_name(input)?;
    let (rest, ()) = byte(b' ', "a blank after the month").parse(rest)?;
    let (rest, day) = match rest.strip_prefix(' ') {
        Some(rest) => digits::<1>(rest)?,
        None => digits::<2>(rest)?,
    };
    let Ok(day @ 1..=31) = u8::try_from(day) else {
        return fail(input, "a day of the month");
    };
    let (rest, ()) = byte(b' ', "a blank after the day").parse(rest)?;
    let (rest, (hour, minute, second)) = time_of_day(rest)?;
    let resolution_ns = SECOND_NS;
    let time = LogTime::Local { year: None, month, day, hour, minute, second, nanos: 0, resolution_ns };
    Ok((rest, time))
}

/// Seconds that the stamp, written as [`iso`] reads it, is ahead of UTC; none where it does not say.
pub(crate) fn offset_of(stamp: &str) -> Option<i64> {
    let from_seconds = stamp.get("2026-11-24T14:50:49".len()..)?;
    let at = from_seconds.find(['Z', '+', '-'])?;
    utc_offset(from_seconds.get(at..)?).ok()?.1
}

impl LogTime {
    /// A civil time in a zone that is so far ahead of UTC; as it was where the year is not known.
    pub(crate) fn at_offset(self, offset_s: i64) -> Self {
        match self {
            LogTime::Local { year: Some(year), month, day, hour, minute, second, nanos, resolution_ns } => {
                unix_ns(i64::from(year), (month, day), (hour, minute, second), offset_s, nanos)
                    .map_or(self, |unix_ns| LogTime::Unix { unix_ns, resolution_ns })
            }
            known => known,
        }
    }
}

fn month_day(input: &str) -> Read<'_, (u8, u8)> {
    let (rest, month) = in_range(input, 1, 12, "a month")?;
    let (rest, ()) = byte(b'-', "`-` after the month").parse(rest)?;
    let (rest, day) = in_range(rest, 1, 31, "a day of the month")?;
    Ok((rest, (month, day)))
}

fn time_of_day(input: &str) -> Read<'_, (u8, u8, u8)> {
    let (rest, hour) = in_range(input, 0, 23, "an hour")?;
    let (rest, ()) = byte(b':', "`:` after the hour").parse(rest)?;
    let (rest, minute) = in_range(rest, 0, 59, "a minute")?;
    let (rest, ()) = byte(b':', "`:` after the minute").parse(rest)?;
    // 60 is a leap second.
    let (rest, second) = in_range(rest, 0, 60, "a second")?;
    Ok((rest, (hour, minute, second)))
}

fn in_range<'a>(input: &'a str, low: u32, high: u32, what: &'static str) -> Read<'a, u8> {
    match digits::<2>(input) {
        Ok((rest, number)) if (low..=high).contains(&number) => {
            Ok((rest, u8::try_from(number).unwrap_or(u8::MAX)))
        }
        _ => fail(input, what),
    }
}

/// `.123` or `,123`: nanoseconds and the resolution that so many digits give. Digits after the
/// ninth are dropped.
fn fraction(input: &str) -> (&str, Option<(u32, i64)>) {
    if !matches!(input.as_bytes().first(), Some(b'.' | b',')) {
        return (input, None);
    }
    let rest = input.get(1..).unwrap_or_default();
    let count = rest.bytes().take_while(u8::is_ascii_digit).count();
    if count == 0 {
        return (input, None);
    }
    let mut nanos = 0;
    let mut resolution_ns = SECOND_NS;
    for digit in rest.bytes().take(count.min(9)) {
        nanos = nanos * 10 + u32::from(digit - b'0');
        resolution_ns /= 10;
    }
    for _ in count..9 {
        nanos *= 10;
    }
    let rest = rest.get(count..).unwrap_or_default();
    (rest, Some((nanos, resolution_ns)))
}

/// `Z`, `+02:00`, `+0200`: seconds to subtract for UTC; nothing where no offset is written.
fn utc_offset(input: &str) -> Read<'_, Option<i64>> {
    let (sign, rest) = match input.as_bytes().first() {
        Some(b'Z') => return Ok((input.get(1..).unwrap_or_default(), Some(0))),
        Some(b'+') => (1, input.get(1..).unwrap_or_default()),
        Some(b'-') => (-1, input.get(1..).unwrap_or_default()),
        _ => return Ok((input, None)),
    };
    let (rest, hours) = in_range(rest, 0, 23, "the hours of a UTC offset")?;
    let rest = rest.strip_prefix(':').unwrap_or(rest);
    let (rest, minutes) = in_range(rest, 0, 59, "the minutes of a UTC offset")?;
    Ok((rest, Some(sign * (i64::from(hours) * 3600 + i64::from(minutes) * 60))))
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar (Howard Hinnant, "chrono-compatible
/// low-level date algorithms"): years are counted from March, so that the leap day comes last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn unix(input: &str) -> (i64, i64) {
        match iso(input).unwrap() {
            ("", LogTime::Unix { unix_ns, resolution_ns }) => (unix_ns, resolution_ns),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn civil_days_agree_with_known_instants() {
        assert_eq!(days_from_civil(1970, 1, 1), 0);
        assert_eq!(days_from_civil(2000, 2, 29), 11_016);
        assert_eq!(days_from_civil(2000, 3, 1), 11_017);
        assert_eq!(days_from_civil(1969, 12, 31), -1);
        // One line of a real log carries both spellings of this instant.
        assert_eq!(unix("2026-11-24T15:12:07Z"), (1_795_533_127_000_000_000, SECOND_NS));
    }

    #[test]
    fn offsets_and_fractions_are_taken_as_written() {
        let utc = 1_795_533_127_216_578_000;
        assert_eq!(unix("2026-11-24T15:12:07.216578Z"), (utc, 1000));
        assert_eq!(unix("2026-11-24T17:12:07.216578+02:00"), (utc, 1000));
        assert_eq!(unix("2026-11-24 10:12:07,216578000-0500"), (utc, 1));
        assert_eq!(
            unix_seconds("1795533127.216578 INFO").unwrap(),
            (" INFO", LogTime::Unix { unix_ns: utc, resolution_ns: 1000 })
        );
    }

    #[test]
    fn access_logs_and_syslog_have_stamps_of_their_own() {
        let (rest, time) = clf("24/Nov/2026:15:12:07.216] x").unwrap();
        assert_eq!(rest, "] x");
        let at = |offset_s| time.at_offset(offset_s);
        assert_eq!(at(0), LogTime::Unix { unix_ns: 1_795_533_127_216_000_000, resolution_ns: 1_000_000 });
        assert_eq!(at(7200), LogTime::Unix { unix_ns: 1_795_525_927_216_000_000, resolution_ns: 1_000_000 });
        assert_eq!(
            clf("24/Nov/2026:17:12:07 +0200]").unwrap(),
            ("]", iso("2026-11-24T15:12:07Z").unwrap().1)
        );
        assert!(matches!(syslog("Nov  4 14:50:49 x"), Ok((" x", LogTime::Local { year: None, day: 4, .. }))));
        assert!(syslog("Nov 32 14:50:49").is_err() && clf("24/Foo/2026:17:12:07").is_err());
        assert_eq!(offset_of("2026-11-24T14:50:49.592962-05:30"), Some(-19_800));
        assert_eq!(offset_of("2026-11-24T14:50:49.592962"), None);
    }

    #[test]
    fn what_is_no_time_is_refused_where_it_stops_being_one() {
        for (input, what, at) in [
            ("13-24 15:08:56", "a month", "13-24 15:08:56"),
            ("11-24 15:08:6", "a second", "6"),
            ("11-24 15:0", "a minute", "0"),
            ("11-2415:08:56", "a blank and the time of day", "15:08:56"),
        ] {
            let error = crate::line::expected_of(month_day_time(input).unwrap_err());
            assert_eq!((error.what, error.at), (what, at), "{input}");
        }
        assert!(unix_seconds("1795533127216.5 INFO").is_err());
        assert!(unix_seconds("1795533127 INFO").is_err());
        assert!(iso("9999-11-24T15:12:07Z").is_err());
    }
}
