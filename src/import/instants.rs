//! Instants and durations as other tools write them down, and the events that follow from the moments
//! at which a client had its tokens. This file must not know any format.

use chrono::DateTime;

use crate::clock::UnixNs;
use crate::record::EventRow;

/// No request lasts longer: more than this many seconds is another unit, or no duration.
const LONGEST_S: f64 = 1e7;
/// The years 2001 to 2200, in seconds since 1970: an instant outside of them is in another unit.
const FROM_S: f64 = 1e9;
const TO_S: f64 = 7.258e9;

/// `value` times `unit_s`, if it can be a duration.
pub(super) fn duration(value: f64, unit_s: f64) -> Result<f64, String> {
    let seconds = value * unit_s;
    if seconds.is_finite() && (0.0..=LONGEST_S).contains(&seconds) {
        return Ok(seconds);
    }
    Err(format!("expected a duration, found {value}, which is {seconds} s: is it in another unit?"))
}

/// The first token comes no later than the last, both counted from the request's start.
pub(super) fn in_order(first_s: Option<f64>, last_s: Option<f64>) -> Result<(), String> {
    match (first_s, last_s) {
        (Some(first), Some(last)) if last < first => {
            Err(format!("its last token comes {:.6} s before its first", first - last))
        }
        _ => Ok(()),
    }
}

/// Seconds in a unit of time.
pub(super) fn unit_s(unit: &str) -> Result<f64, String> {
    match unit {
        "s" | "sec" | "seconds" | "second" => Ok(1.0),
        "ms" | "milliseconds" => Ok(1e-3),
        "us" | "µs" => Ok(1e-6),
        "ns" => Ok(1e-9),
        other => Err(format!("expected a unit of time (s, ms, us or ns), found `{other}`")),
    }
}

/// The instant `value` units of `unit_ns` nanoseconds after the beginning of 1970.
pub(super) fn since_1970(value: f64, unit_ns: f64) -> Result<UnixNs, String> {
    let seconds = value * unit_ns / 1e9;
    if (FROM_S..TO_S).contains(&seconds) {
        // Whole units as whole numbers: nanoseconds since 1970 have more digits than a double.
        let (whole, rest) = (value.trunc(), value.fract());
        let whole_ns = (whole as i64).saturating_mul(unit_ns as i64);
        return Ok(UnixNs(whole_ns.saturating_add((rest * unit_ns).round() as i64)));
    }
    Err(out_of_range(&value.to_string()))
}

fn out_of_range(found: &str) -> String {
    format!(
        "expected an instant since 1970, found {found}, which is not between 2001 and 2200: is it in another unit?"
    )
}

/// The same of plain decimal digits, which a double would round; `None` if it is something else.
pub(super) fn decimal(text: &str, unit_ns: f64) -> Option<Result<UnixNs, String>> {
    let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), "0"));
    let is_plain = [whole, fraction].iter().all(|part| part.bytes().all(|b| b.is_ascii_digit()));
    let whole = whole.parse::<i64>().ok().filter(|_| is_plain)?;
    let rest = format!("0.{fraction}").parse::<f64>().ok()?;
    let ns = whole.checked_mul(unit_ns as i64)?.checked_add((rest * unit_ns).round() as i64)?;
    // What is out of range is told with the number as it was written.
    Some(unix_ns(ns).map_err(|_| out_of_range(text.trim())))
}

/// Whole nanoseconds since 1970.
pub(super) fn unix_ns(value: i64) -> Result<UnixNs, String> {
    since_1970(value as f64, 1.0).map(|_| UnixNs(value))
}

/// `2026-11-26T20:15:43.123Z`, with a blank for the `T` or not; a zone must be named.
pub(super) fn iso(text: &str) -> Result<UnixNs, String> {
    let joined = text.trim().replacen(' ', "T", 1);
    let parsed = DateTime::parse_from_rfc3339(&joined)
        .or_else(|_| DateTime::parse_from_str(&joined, "%Y-%m-%dT%H:%M:%S%.f%z"));
    let found = parsed.map_err(|_| {
        format!("expected a time with its zone, such as 2026-11-26T20:15:43.123Z, found `{}`", text.trim())
    })?;
    found.timestamp_nanos_opt().map(UnixNs).ok_or_else(|| format!("`{}` is out of range", text.trim()))
}

/// The instant in a piece of text that names one and says no unit: ISO with a zone, or digits since
/// 1970, whose number tells whether they are seconds, milliseconds, microseconds or nanoseconds.
pub(super) fn in_text(text: &str) -> Option<UnixNs> {
    words(text).find_map(|word| digits(word).or_else(|| iso(word).ok())).or_else(|| compact(text))
}

/// Pieces that may be a time: what stands between blanks, brackets, quotes, and `=`.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let splits = |c: char| c.is_whitespace() || "[](){}<>\"'=,;@_".contains(c);
    text.split(splits)
        .flat_map(|word| [word, word.rsplit_once("at:").map_or(word, |(_, after)| after)])
        .filter(|word| word.len() >= 10)
}

/// `1795724143`, `1795724143.354`, `1795724143354` and so on; `metrics-1795724143` too.
fn digits(word: &str) -> Option<UnixNs> {
    let starts = word.find(|c: char| c.is_ascii_digit())?;
    let word = word.get(starts..)?;
    let ends = word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len());
    let (whole, rest) = word.split_at_checked(ends)?;
    let unit_ns: i64 = match whole.len() {
        10 => 1_000_000_000,
        13 => 1_000_000,
        16 => 1_000,
        19 => 1,
        _ => return None,
    };
    // `1795724143ab` is a name.
    if rest.starts_with(char::is_alphanumeric) {
        return None;
    }
    let whole = whole.parse::<i64>().ok()?.checked_mul(unit_ns)?;
    let fraction: String = rest
        .strip_prefix('.')
        .filter(|_| unit_ns == 1_000_000_000)
        .map(|rest| rest.chars().take_while(char::is_ascii_digit).take(9).collect())
        .unwrap_or_default();
    let nanos = format!("{fraction:0<9}").parse::<i64>().ok()?;
    unix_ns(whole.checked_add(nanos)?).ok()
}

/// `20261126T201543Z`, as names of files have it.
fn compact(text: &str) -> Option<UnixNs> {
    let at = text.char_indices().map(|(at, _)| at);
    at.filter_map(|at| text.get(at..at.checked_add(16)?)).find_map(|piece| {
        let parsed = chrono::NaiveDateTime::parse_from_str(piece, "%Y%m%dT%H%M%SZ").ok()?;
        parsed.and_utc().timestamp_nanos_opt().and_then(|ns| unix_ns(ns).ok())
    })
}

/// One event a stamp, in their order, the first not before `begin`. An event lies between the moment
/// before its own and its own; of two at one moment a program cannot tell more than of one.
pub(super) fn events(begin: UnixNs, stamps: &[UnixNs]) -> Vec<EventRow> {
    let mut rows = Vec::with_capacity(stamps.len());
    let mut before = begin;
    for of_read in stamps.chunk_by(|a, b| a == b) {
        let Some(&at) = of_read.first() else { continue };
        rows.extend(of_read.iter().map(|_| EventRow {
            stamp_lo_unix_ns: before.min(UnixNs(at.0.saturating_sub(1))),
            stamp_hi_unix_ns: at,
            user_unix_ns: at,
            events_in_read: 1,
            tokens: None,
            bytes: 0,
        }));
        before = at;
    }
    rows
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_found_in_names_and_comments() {
        let at = UnixNs(1_795_724_143_354_000_000);
        for text in [
            "metrics-1795724143.354.prom",
            " scraped at 1795724143354",
            " time=2026-11-26T20:15:43.354Z",
            " 2026-11-26T21:15:43.354+01:00 scrape",
            "vllm_1795724143354000.txt",
            "1795724143354000000",
        ] {
            assert_eq!(in_text(text), Some(at), "{text}");
        }
        assert_eq!(in_text("metrics-20261126T201543Z.prom"), Some(UnixNs(1_795_724_143_000_000_000)));
        for text in [
            "",
            "metrics-12.prom",
            " HELP vllm:num_requests_running",
            "2026-11-26T20:15:43",
            "99999999999",
            "cmpl-1795724143ab7",
        ] {
            assert_eq!(in_text(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_in_another_unit_is_refused() {
        assert_eq!(duration(250.0, 1e-3), Ok(0.25));
        assert!(duration(1.7e18, 1e-3).unwrap_err().contains("another unit"));
        assert!(duration(-0.1, 1.0).is_err() && duration(f64::NAN, 1.0).is_err());
        assert_eq!(since_1970(1_795_724_143_354.0, 1e6), Ok(UnixNs(1_795_724_143_354_000_000)));
        assert!(since_1970(1_795_724_143_354.0, 1e9).unwrap_err().contains("another unit"));
        assert_eq!(decimal(" 1795724143.1 ", 1e9), Some(Ok(UnixNs(1_795_724_143_100_000_000))));
        assert_eq!(decimal("1795724143354000001", 1.0), Some(Ok(UnixNs(1_795_724_143_354_000_001))));
        assert!(decimal("1795724143354", 1e6).is_some_and(|at| at.is_ok()));
        assert!(decimal("1795724143", 1e6).is_some_and(|at| at.is_err()));
        assert_eq!((decimal("1.7e9", 1e9), decimal("-5", 1e9), decimal("", 1e9)), (None, None, None));
    }

    #[test]
    fn events_at_one_moment_share_their_interval() {
        let at = |ns| UnixNs(ns);
        let rows = events(at(10), &[at(20), at(20), at(30)]);
        let bounds: Vec<_> = rows.iter().map(|e| (e.stamp_lo_unix_ns.0, e.stamp_hi_unix_ns.0)).collect();
        assert_eq!(bounds, [(10, 20), (10, 20), (20, 30)]);
        assert_eq!(events(at(20), &[at(20)]).first().map(|e| e.stamp_lo_unix_ns), Some(at(19)));
    }
}
