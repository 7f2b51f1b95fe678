//! `Server-Timing` (<https://www.w3.org/TR/server-timing/>), as it is really sent: metrics with a name, and
//! perhaps a description and a duration. It must not know who sent it, nor what a name means.
//!
//! `dur` is in milliseconds, by the specification. What senders make of it, each seen of the product:
//!
//! | written | by | read as |
//! |---|---|---|
//! | `dur=47.2` | most; HAProxy's `%Tr`, Caddy's `…duration_ms` | milliseconds |
//! | `dur=0.012` | nginx's `$upstream_header_time`, Varnish's differences of times: *seconds* | milliseconds, for nothing in it says otherwise: whoever knows the client's stamps can tell |
//! | `dur=7.79ms`, `dur=42.7µs` | Caddy's `…duration`, a Go duration | that, for the unit is named |
//! | `dur=D=4335` | Apache httpd's `%D` in `Header set`, microseconds | that, for no other writes so |
//! | `dur=-`, `dur=-1`, `dur=` | nginx, HAProxy: not known yet | no duration |
//! | `dur=-3` | HAProxy's `%Ta`, which is no duration before the end | unread, counted |
//! | `dur={http…}`, `dur=12,5` | a placeholder that nobody filled; a decimal comma | the same |

use std::borrow::Cow;

use crate::hop_text::{given, ns, seconds};

/// Of a header's value: what is longer is left out, metric by metric.
pub const LONGEST_BYTES: usize = 4096;

/// One metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric<'a> {
    pub name: &'a str,
    pub description: Option<&'a str>,
    pub took_s: Option<f64>,
}

impl<'a> Metric<'a> {
    /// The name, and in brackets the description.
    pub fn label(&self) -> Cow<'a, str> {
        self.description.map_or(self.name.into(), |text| format!("{} ({text})", self.name).into())
    }
}

const NAMED: &str = "metrics such as `app;dur=47.2`";
const DURATION: &str = "milliseconds, 0 or more, at `dur`";
const POINT: &str = "a point before decimals at `dur`, not a comma: that begins another metric";

/// The metrics of one header, or what was expected of one.
pub fn metrics(value: &str) -> impl Iterator<Item = Result<Metric<'_>, &'static str>> {
    let mut pieces = split(value, b',').peekable();
    std::iter::from_fn(move || {
        loop {
            let piece = pieces.next()?;
            // `dur=12,5` is one number to its sender, and two metrics by the specification.
            if pieces.next_if(|next| is_whole(next.split(';').next().unwrap_or_default())).is_some() {
                return Some(Err(POINT));
            }
            if let Some(metric) = metric(piece) {
                return Some(metric);
            }
        }
    })
}

/// `None` of what is empty between two commas.
fn metric(piece: &str) -> Option<Result<Metric<'_>, &'static str>> {
    let mut parts = split(piece, b';').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let (mut description, mut took) = (None, None);
    // Of what is said twice the first counts.
    for (key, value) in parts.filter_map(|part| part.split_once('=')) {
        let value = value.trim().trim_matches('"');
        match &*key.trim().to_ascii_lowercase() {
            "dur" if took.is_none() => took = Some(value),
            "desc" if description.is_none() => description = given(value),
            _ => {}
        }
    }
    if name.is_empty() && took.is_none() {
        return None;
    }
    if name.is_empty() || !name.bytes().all(is_token) {
        return Some(Err(NAMED));
    }
    let took_s = took.map_or(Ok(None), duration);
    Some(took_s.map(|took_s| Metric { name, description, took_s }))
}

type Nanoseconds = fn(&str) -> Option<i64>;
/// As Go writes a duration, and how many of its digits are above a nanosecond.
const UNITS: [(&str, Nanoseconds); 6] = [
    ("ms", ns::<6>),
    ("\u{b5}s", ns::<3>),
    ("\u{3bc}s", ns::<3>),
    ("us", ns::<3>),
    ("ns", ns::<0>),
    ("s", ns::<9>),
];

/// Seconds of a `dur`; `None` of what says that it is not known.
fn duration(text: &str) -> Result<Option<f64>, &'static str> {
    if matches!(text, "" | "-" | "-1") {
        return Ok(None);
    }
    let named = || UNITS.iter().find_map(|(unit, read)| read(text.strip_suffix(unit)?));
    let micros = || ns::<3>(text.strip_prefix("D=").filter(|digits| is_whole(digits))?);
    let read = ns::<6>(text).or_else(named).or_else(micros);
    read.filter(|ns| *ns >= 0).map(|ns| Some(seconds(ns))).ok_or(DURATION)
}

/// The value as far as its metrics are whole within [`LONGEST_BYTES`]: a number that is cut is another.
pub fn cut(value: &str) -> &str {
    if value.len() <= LONGEST_BYTES {
        return value;
    }
    let mut end = 0;
    for piece in split(value, b',') {
        let next = end + usize::from(end > 0) + piece.len();
        if next > LONGEST_BYTES {
            break;
        }
        end = next;
    }
    value.get(..end).unwrap_or_default()
}

fn is_whole(text: &str) -> bool {
    let text = text.trim_end();
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A token's bytes (RFC 9110, 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The pieces between `separator`s that stand outside of quotes.
fn split(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let from = rest?;
        let (mut quoted, mut escaped) = (false, false);
        let end = from.bytes().position(|byte| {
            let ends = byte == separator && !quoted;
            quoted ^= byte == b'"' && !escaped;
            escaped = byte == b'\\' && quoted && !escaped;
            ends
        });
        let (piece, after) = match end {
            Some(at) => (from.get(..at), from.get(at + 1..)),
            None => (Some(from), None),
        };
        rest = after;
        piece
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// What is stated, and how much could not be read.
    fn read(value: &str) -> (Vec<(String, f64)>, usize) {
        let stated = metrics(value).flatten().filter_map(|m| Some((m.label().into_owned(), m.took_s?)));
        (stated.collect(), metrics(value).filter(Result::is_err).count())
    }

    fn stated(all: &[(&str, f64)]) -> Vec<(String, f64)> {
        all.iter().map(|(name, s)| ((*name).to_owned(), *s)).collect()
    }

    #[test]
    fn the_examples_of_the_specification_and_what_is_wrong_in_one_way_each() {
        assert_eq!(read("miss, db;dur=53, app;dur=47.2"), (stated(&[("db", 0.053), ("app", 0.0472)]), 0));
        assert_eq!(
            read("cache;desc=\"Cache, a; b\";dur=23.2"),
            (stated(&[("cache (Cache, a; b)", 0.0232)]), 0)
        );
        assert_eq!(read("dc;desc=atl ; DUR = 1 ;dur=9"), (stated(&[("dc (atl)", 0.001)]), 0));
        assert_eq!(read("a;dur=x, b;dur=-2, c;dur=2"), (stated(&[("c", 0.002)]), 2));
        assert_eq!(read(";dur=1, a b;dur=1, , "), (vec![], 2));
        assert_eq!(read("9=0.012;Varnish"), (vec![], 1));
    }

    #[test]
    fn a_unit_that_is_named_is_believed_and_a_decimal_comma_is_told() {
        assert_eq!(
            read("a;dur=7.796677ms, b;dur=42.7\u{b5}s"),
            (stated(&[("a", 0.007_796_677), ("b", 0.000_042_7)]), 0)
        );
        assert_eq!(
            read("a;dur=1.5s, b;dur=812ns, c;dur=3us"),
            (stated(&[("a", 1.5), ("b", 812e-9), ("c", 3e-6)]), 0)
        );
        assert_eq!(read("a;dur=1m2.5s"), (vec![], 1));
        assert_eq!(read("apache;dur=D=4335"), (stated(&[("apache", 0.004_335)]), 0));
        assert_eq!(read("total;dur=12,5, db;dur=3"), (stated(&[("db", 0.003)]), 1));
        assert_eq!(read("total;dur=\"12,5\", db;dur=3"), (stated(&[("db", 0.003)]), 1));
        assert_eq!(read("a;dur=-, b;dur=-1, c;dur=, d;dur={http.request.duration}"), (vec![], 1));
    }

    #[test]
    fn what_is_too_long_ends_with_a_whole_metric() {
        // Cut at any byte, the last number would be another.
        let long = format!("cfL4;desc=\"{}\", app;dur=47.2, db;dur=53", "x, ".repeat(1355));
        assert!((LONGEST_BYTES..LONGEST_BYTES + 16).contains(&long.len()), "{}", long.len());
        assert_eq!(read(cut(&long)), (stated(&[("app", 0.0472)]), 0));
        assert_eq!(cut(&"x".repeat(5000)), "");
        assert_eq!(cut("a;dur=1"), "a;dur=1");
    }
}
