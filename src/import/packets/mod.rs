//! Captures of packets (`.pcap`, `.pcapng`) → a row for each request that passed a hop. A capture that
//! sees both sides of a gateway gives whole passages: the request as it came and went on, the answer's
//! head and tokens as they came and went on, all by one clock. One that sees a single side gives a point
//! on the path: what came in went on at the same instant. Only cleartext HTTP/1.1 can be read; all else
//! is counted and said. This module must not know how rows are joined.
//!
//! - `exchanges`: connections → exchanges, as the tap reads them
//! - `pairs`: which exchange with a server belongs to which with a client
//! - `row`: what becomes of a pair

mod exchanges;
mod pairs;
mod row;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use tare_parsers::pcap::segment::{NoSegment, segment};
use tare_parsers::pcap::{self, streams};

use super::input;
use crate::error::{Failure, usage};
use crate::record::HopRow;
use crate::tap::exchange::Unread;

/// What the rows call their product.
pub const PRODUCT: &str = "packets";

/// What was in a capture: `packets = segments + the sum of no_segment`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    pub packets: u64,
    /// Bytes at its end that are no whole packet.
    pub torn_bytes: u64,
    /// Packets left out, for they have no stamp or no described interface.
    pub left_out: u64,
    pub no_segment: BTreeMap<NoSegment, u64>,
    pub streams: streams::Counts,
    pub connections: u64,
    /// Bytes of connections (after a gap, or open before the capture began) passed over until the next
    /// request.
    pub skipped_bytes: u64,
    /// HTTP/1.1 exchanges.
    pub exchanges: u64,
    /// Connections, or the rest of them, that could not be read, by the reason.
    pub unread: BTreeMap<Unread, u64>,
    /// Exchanges with the client put together with those with the server: rows.
    pub passages: u64,
    /// Exchanges with the client of which none was found behind the hop: rows without the server's side.
    pub alone: u64,
    /// Exchanges of a capture that sees one side: rows.
    pub points: u64,
    /// Exchanges with the server that belong to a passage: one for each try.
    pub inner: u64,
    /// Exchanges behind those: of a second hop, seen in the same capture.
    pub deeper: u64,
    /// Exchanges with the server that could be laid to no client's: no rows.
    pub past: u64,
}

/// Reads the capture at `path`, packed with gzip or not, as told of the hop of that name.
pub fn read(path: &Path, hop: &str) -> Result<(Vec<HopRow>, Counts), Failure> {
    let bytes = input::bytes(path)?;
    let shown = path.display().to_string();
    let (rows, counts) = of_bytes(&bytes, hop, &shown).map_err(|error| {
        usage(format!("{shown}: {error}"))
            .hint("`tcpdump --time-stamp-precision=nano -s 0 -w FILE port A or port B` captures both sides of a gateway")
    })?;
    if rows.is_empty() {
        let (what, hint) = counts.why_nothing();
        return Err(usage(format!("{shown}: {what}")).hint(hint));
    }
    Ok((rows, counts))
}

/// Whether the file begins as a capture does, packed with gzip or not.
pub fn is_capture(path: &Path) -> bool {
    input::beginning(path).is_ok_and(|bytes| pcap::recognises(&bytes))
}

fn of_bytes(bytes: &[u8], hop: &str, source: &str) -> Result<(Vec<HopRow>, Counts), pcap::NoCapture> {
    let capture = pcap::read(bytes)?;
    let mut counts = Counts {
        packets: capture.packets.len() as u64,
        torn_bytes: capture.torn_bytes,
        left_out: capture.unstamped + capture.unplaced,
        ..Counts::default()
    };
    let mut segments = Vec::with_capacity(capture.packets.len());
    for packet in &capture.packets {
        match segment(packet) {
            Ok(segment) => segments.push(segment),
            Err(why) => *counts.no_segment.entry(why).or_default() += 1,
        }
    }
    let (connections, streams) = streams::connections(segments);
    counts.streams = streams;
    counts.connections = connections.len() as u64;
    let exchanges = exchanges::of(&connections, &mut counts);
    let pairs = pairs::pair(&exchanges);
    counts.passages = pairs.passages.len() as u64;
    counts.alone = pairs.alone.len() as u64;
    counts.points = pairs.points.len() as u64;
    counts.inner = pairs.passages.iter().map(|passage| passage.inner.len() as u64).sum();
    (counts.deeper, counts.past) = (pairs.deeper, pairs.past);
    let told = row::Told { hop, source, resolution_ns: capture.resolution_ns };
    Ok((row::rows(&exchanges, &pairs, told), counts))
}

impl Counts {
    /// What the reader of a report should know of the capture, in sentences.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let mut note = |n: u64, text: String| {
            if n > 0 {
                notes.push(text);
            }
        };
        let Self { streams, .. } = self;
        note(self.torn_bytes, format!("its last {} bytes are no whole packet: it was cut", self.torn_bytes));
        note(
            self.left_out,
            format!("{} packets have no stamp or interface, and were left out", self.left_out),
        );
        for (why, n) in &self.no_segment {
            match why {
                NoSegment::Link(link) => {
                    note(*n, format!("{n} packets have link type {link}, which is not read"));
                }
                NoSegment::Fragment => {
                    note(*n, format!("{n} packets are fragments of IP, which are not read"));
                }
                NoSegment::Headers => note(*n, format!("{n} packets have damaged or cut headers")),
                NoSegment::Other => {}
            }
        }
        note(
            streams.cut_short,
            format!("{} packets were cut by the capture: `-s 0` takes them whole", streams.cut_short),
        );
        note(
            streams.gaps,
            format!(
                "{} bytes are missing in {} places: what was under way there is unknown",
                streams.missing_bytes, streams.gaps
            ),
        );
        for (why, n) in &self.unread {
            note(*n, format!("{n} connections could not be read: {}", words(*why)));
        }
        note(
            self.deeper,
            format!("{} exchanges lie behind a second hop: the rows are of the first", self.deeper),
        );
        note(
            self.past,
            format!(
                "{} exchanges with the server share no id with a client's: they tell of no passage",
                self.past
            ),
        );
        notes
    }

    /// Why there are no rows, and what to do about it.
    fn why_nothing(&self) -> (String, &'static str) {
        let unread = |why| self.unread.get(&why).copied().unwrap_or(0);
        let links: Vec<String> = self
            .no_segment
            .keys()
            .filter_map(|why| if let NoSegment::Link(link) = why { Some(link.to_string()) } else { None })
            .collect();
        if self.packets == 0 {
            ("the capture holds no packet".to_owned(), "was there traffic while it was made?")
        } else if self.streams.segments == 0 && !links.is_empty() {
            (
                format!("no packet can be read: link type {}", links.join(", ")),
                "Ethernet, Linux cooked, loopback and raw IP are read: capture with `tcpdump -i any`",
            )
        } else if self.streams.segments == 0 {
            (
                format!("none of the {} packets is a TCP segment", self.packets),
                "capture the gateway's ports: `tcpdump -s 0 -w FILE port A or port B`",
            )
        } else if unread(Unread::Tls) > 0 {
            (
                "its connections are under TLS".to_owned(),
                "capture where the traffic is plain: between a gateway that ends TLS and its server",
            )
        } else if unread(Unread::Http2) > 0 {
            ("its connections are HTTP/2".to_owned(), "only HTTP/1.1 is read")
        } else if self.streams.cut_short > 0 {
            (
                format!("{} packets were cut to their beginnings", self.streams.cut_short),
                "`tcpdump -s 0` takes packets whole",
            )
        } else {
            (
                format!("none of its {} connections holds an HTTP/1.1 request", self.connections),
                "capture the gateway's ports: `tcpdump -s 0 -w FILE port A or port B`",
            )
        }
    }
}

fn words(why: Unread) -> &'static str {
    match why {
        Unread::Tls => "TLS",
        Unread::Http2 => "HTTP/2",
        Unread::Request => "what the client sent is no HTTP/1.1",
        Unread::Response => "what the server sent is no HTTP/1.1",
        Unread::Unasked => "the server sent what no request asked for",
    }
}
