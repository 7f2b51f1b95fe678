//! Many requests in few bytes: what each has in common with others is written once, as a template, and only numbers of
//! whole microseconds are left, column by column, as differences that are mostly small or nought. `report.js` unpacks
//! them. This file must not know which requests these are.
//!
//! The numbers are unsigned varints (seven bits a byte, the least first), deflated, as base64. A signed number `v` is
//! `2 v` or `-2 v - 1`; one that may be missing is `0` where it is, else the signed number plus one.

use std::collections::BTreeMap;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use serde::Serialize;
use serde_json::{Value, json};

use crate::record::JoinedRow;
use crate::record::waterfall::Outline;

/// Requests, packed.
#[derive(Default)]
pub struct Packed {
    groups: BTreeMap<String, Group>,
    /// Outcomes and errors, each once.
    words: Vec<String>,
}

#[derive(Default)]
struct Group {
    ids: Vec<String>,
    rows: Vec<Vec<u64>>,
}

/// What requests have in common: the names and kinds of their parts and stamps.
#[derive(Serialize)]
struct Template<'a> {
    /// Name, whose, how it was found, whether it has bounds, and how many places.
    parts: Vec<(&'static str, &'static str, &'static str, bool, usize)>,
    /// What, by whom, whose, and what the bound is made of.
    stamps: Vec<(&'a str, &'static str, &'static str, &'a str)>,
}

impl Packed {
    /// Adds a request that started so long after the run.
    pub fn add(&mut self, row: &JoinedRow, start_s: f64, outline: &Outline) {
        let template = Template {
            parts: outline
                .parts
                .iter()
                .map(|p| (p.part.name(), p.part.whose().name(), p.how(), p.bounds.is_some(), p.extents.len()))
                .collect(),
            stamps: outline
                .stamps
                .iter()
                .map(|s| {
                    let note = s.note.as_deref().unwrap_or_default();
                    (s.what.as_str(), s.by.name(), s.by.whose().name(), note)
                })
                .collect(),
        };
        let Ok(key) = serde_json::to_string(&template) else { return };
        let numbers = self.numbers(row, start_s, outline);
        let group = self.groups.entry(key).or_default();
        group.ids.push(row.client.request_id.clone());
        group.rows.push(numbers);
    }

    fn numbers(&mut self, row: &JoinedRow, start_s: f64, outline: &Outline) -> Vec<u64> {
        let c = &row.client;
        let status = self.word(c.status.as_str());
        let error = c.error.as_deref().map_or(0, |error| 1 + self.word(error));
        let mut out = vec![c.index, status, error, signed(micros(start_s))];
        out.extend([c.ttft_s, c.itl_mean_s, c.tpot_s, c.e2e_s].map(maybe));
        let server = [
            row.server_ttft_s,
            row.server_queue_s,
            row.server_prefill_s,
            row.server_decode_s,
            row.server_e2e_s,
        ];
        out.extend(server.map(maybe));
        // Parts follow each other: what is written is by how much they do not.
        let (mut lo, mut hi) = (0, 0);
        for part in &outline.parts {
            out.push(maybe(part.ttft_s));
            let less = part.e2e_s.zip(part.ttft_s).map(|(e2e, ttft)| micros(e2e) - micros(ttft));
            out.push(match (part.e2e_s, less) {
                (Some(_), Some(less)) => signed(less) + 1,
                (e2e, _) => maybe(e2e),
            });
            let length = part.ttft_s.map_or(0, micros);
            if let Some(bounds) = part.bounds {
                out.extend([signed(micros(bounds.lo_s) - length), signed(micros(bounds.hi_s) - length)]);
            }
            for e in &part.extents {
                let [begin_lo, begin_hi, end_lo, end_hi] =
                    [e.begin_lo_s, e.begin_hi_s, e.end_lo_s, e.end_hi_s].map(micros);
                out.extend([begin_lo - lo, begin_hi - hi, end_lo - begin_lo - length].map(signed));
                out.push(signed(end_hi - begin_hi - (end_lo - begin_lo)));
                (lo, hi) = (end_lo, end_hi);
            }
        }
        let mut before = 0;
        for stamp in &outline.stamps {
            let (lo, hi) = (micros(stamp.lo_s), micros(stamp.hi_s));
            out.extend([signed(lo - before), signed(hi - lo)]);
            before = lo;
        }
        out
    }

    fn word(&mut self, word: &str) -> u64 {
        /// An error of more characters is cut: the page has room for its beginning.
        const LONGEST: usize = 300;
        let word: String = word.chars().take(LONGEST).collect();
        let known = self.words.iter().position(|known| *known == word);
        known.unwrap_or_else(|| {
            self.words.push(word);
            self.words.len() - 1
        }) as u64
    }

    /// For the page's island.
    pub fn island(&self) -> anyhow::Result<Value> {
        let ids: Vec<&str> = self.groups.values().flat_map(|g| &g.ids).map(String::as_str).collect();
        let prefix = common_prefix(&ids);
        let mut numbers = Vec::new();
        let mut templates = Vec::new();
        for (template, group) in &self.groups {
            templates.push(json!([group.rows.len(), serde_json::from_str::<Value>(template)?]));
            let columns = group.rows.first().map_or(0, Vec::len);
            for column in 0..columns {
                group.rows.iter().filter_map(|row| row.get(column)).for_each(|n| varint(&mut numbers, *n));
            }
        }
        let rests: Vec<&str> = ids.iter().filter_map(|id| id.get(prefix.len()..)).collect();
        Ok(json!({
            "words": self.words,
            "templates": templates,
            "numbers": base64(&deflated(&numbers)?),
            "prefix": prefix,
            "ids": base64(&deflated(rests.join("\n").as_bytes())?),
        }))
    }
}

/// Whole microseconds; what is not finite is nothing.
fn micros(seconds: f64) -> i64 {
    if seconds.is_finite() { (seconds * 1e6).round() as i64 } else { 0 }
}

fn signed(v: i64) -> u64 {
    ((v << 1) ^ (v >> 63)) as u64
}

fn maybe(seconds: Option<f64>) -> u64 {
    seconds.filter(|s| s.is_finite()).map_or(0, |s| signed(micros(s)) + 1)
}

fn varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push((n & 0x7f) as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn deflated(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    encoder.finish()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let bits = (0..3).fold(0_u32, |bits, i| bits << 8 | u32::from(three.get(i).copied().unwrap_or(0)));
        for i in 0..4 {
            let digit = DIGITS.get((bits >> (18 - 6 * i)) as usize & 63).copied().unwrap_or(b'=');
            out.push(if i > three.len() as u32 { '=' } else { char::from(digit) });
        }
    }
    out
}

/// What all of them begin with; ends where a character does.
fn common_prefix<'a>(ids: &[&'a str]) -> &'a str {
    let Some(first) = ids.first() else { return "" };
    let mut end = first.len();
    for id in ids {
        end = end.min(first.bytes().zip(id.bytes()).take_while(|(a, b)| a == b).count());
    }
    while !first.is_char_boundary(end) {
        end -= 1;
    }
    first.get(..end).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn base64_is_the_standards() {
        // RFC 4648, section 10.
        let known = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("fooba", "Zm9vYmE=")];
        for (text, coded) in known {
            assert_eq!(base64(text.as_bytes()), coded);
        }
        assert_eq!(base64(&[0xff, 0xfe, 0xfd]), "//79");
    }

    #[test]
    fn ids_lose_what_all_of_them_begin_with() {
        assert_eq!(common_prefix(&["tare-ab-1", "tare-ab-22"]), "tare-ab-");
        assert_eq!(common_prefix(&["é1", "è1"]), "", "never half a character");
        assert_eq!(common_prefix(&[]), "");
    }

    proptest! {
        #[test]
        fn numbers_come_back(values in prop::collection::vec(any::<i32>(), 0..50)) {
            let mut bytes = Vec::new();
            for v in &values {
                varint(&mut bytes, signed(i64::from(*v)));
            }
            let mut read = Vec::new();
            let (mut n, mut shift) = (0_u64, 0);
            for byte in bytes {
                n |= u64::from(byte & 0x7f) << shift;
                shift += 7;
                if byte < 0x80 {
                    read.push((n >> 1).cast_signed() ^ -(n & 1).cast_signed());
                    (n, shift) = (0, 0);
                }
            }
            prop_assert_eq!(read, values.into_iter().map(i64::from).collect::<Vec<_>>());
        }
    }
}
