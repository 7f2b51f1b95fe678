//! What each fuzz target checks of one input, whatever it is. The crate's own tests run the same
//! over the samples.

use std::fmt::Write;

use tare_parsers::exposition::{self, Sample};
use tare_parsers::pcap::{self, segment::segment, streams};
use tare_parsers::sse::SseDecoder;
use tare_parsers::{Event as LogEvent, FORMATS, Hop, Parsed, hop_headers};

/// Any text, line by line, by every log format: no panic, a place and a reason for every line that
/// is not understood, and no trace of an earlier line in the reused buffer.
pub fn log_line(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for format in FORMATS {
        let mut used = String::from("left \u{1b}[31m{\"message\": \"over\"}");
        for line in text.split('\n') {
            let mut fresh = String::new();
            let first = format!("{:?}", (format.parse)(line, &mut fresh));
            let again = (format.parse)(line, &mut used);
            assert_eq!(first, format!("{again:?}"));
            match &again {
                Parsed::Line(line) => {
                    assert!(line.event.ids().all(|id| !id.is_empty()));
                    if let LogEvent::Hop(hop) = &line.event {
                        assert_eq!(hop.product.name(), format.name);
                        check(hop);
                    }
                }
                Parsed::Blank => assert!(!(format.recognises)(line)),
                Parsed::Unknown(error) => {
                    assert_eq!(error.format, format.name);
                    assert!(error.column >= 1);
                    assert!(!error.expected.is_empty() && !error.to_string().is_empty());
                }
            }
        }
    }
}

/// What holds of every hop, however wrong the line: what is not known is absent, not empty.
fn check(hop: &Hop<'_>) {
    let names = [&hop.client, &hop.outgoing, &hop.path, &hop.end_reason];
    let ids = [&hop.request_id, &hop.own_id, &hop.response_id];
    assert!(ids.into_iter().chain(names).flatten().all(|text| !text.is_empty()));
    assert!(hop.trace_id.is_none_or(|id| id.len() == 32));
    assert!(hop.status.is_none_or(|status| (100..1000).contains(&status)));
    let p = hop.phases;
    let times = [p.request_head_s, p.request_received_s, p.queue_s, p.connected_s, p.upstream_sent_s];
    let later = [p.upstream_head_s, p.upstream_first_body_s, p.upstream_end_s, p.head_sent_s, p.total_s];
    let tokens = [p.first_token_in_s, p.first_token_out_s, p.last_token_in_s, p.last_token_out_s];
    assert!(times.into_iter().chain(later).chain(tokens).flatten().all(f64::is_finite));
    assert!(hop.stated.iter().all(|(_, seconds)| seconds.is_finite()));
    assert!(hop.tries.iter().all(|one| one.address.as_ref().is_none_or(|address| !address.is_empty())));
}

/// Any text as a page: every line is a sample, a remark or an error, and the samples survive being
/// printed and read again.
pub fn exposition(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let scrape = exposition::parse(&text);
    let lines = text.split_terminator('\n').count();
    assert!(scrape.samples.len() + scrape.types.len() + scrape.errors.len() <= lines);
    assert!(scrape.errors.is_sorted_by(|a, b| a.line_no < b.line_no));
    assert!(scrape.errors.iter().all(|error| (1..=lines).contains(&error.line_no)));

    let printed = print(&scrape.samples);
    let again = exposition::parse(&printed);
    assert_eq!(again.errors, []);
    assert_eq!(format!("{:?}", scrape.samples), format!("{:?}", again.samples));
}

/// The samples as a page in Prometheus's format. Names that need quotes get them.
pub fn print(samples: &[Sample<'_>]) -> String {
    let mut out = String::new();
    for sample in samples {
        let bare = is_bare(sample.name, true);
        let name = (!bare).then(|| format!("\"{}\"", sample.name));
        let labels = sample.labels.iter().map(|(name, value)| {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            if is_bare(name, false) {
                format!("{name}=\"{value}\"")
            } else {
                format!("\"{name}\"=\"{value}\"")
            }
        });
        let inside: Vec<String> = name.into_iter().chain(labels).collect();
        if bare {
            out.push_str(sample.name);
        }
        write!(out, "{{{}}} {}", inside.join(","), sample.value).unwrap();
        if let Some(at) = sample.timestamp_ms {
            write!(out, " {at}").unwrap();
        }
        out.push('\n');
    }
    out
}

fn is_bare(name: &str, colons: bool) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || (colons && byte == b':'))
}

/// Any bytes as a stream: the same events, counts and tail however they are cut. The first two
/// bytes choose the cuts and the limit.
pub fn sse(data: &[u8]) {
    let [cut, limit, stream @ ..] = data else {
        return;
    };
    let limit = match limit {
        0..128 => usize::MAX,
        small => usize::from(*small),
    };
    let size = usize::from(*cut) + 1;
    assert_eq!(decode(stream.chunks(size), limit), decode(std::iter::once(stream), limit));
}

/// Any bytes as a capture: nothing is read that is not there, and every connection's bytes are its segments'.
pub fn pcap(data: &[u8]) {
    let Ok(capture) = pcap::read(data) else { return };
    let captured: usize = capture.packets.iter().map(|packet| packet.bytes.len()).sum();
    assert!(captured + capture.torn_bytes as usize <= data.len());
    let segments: Vec<_> = capture.packets.iter().filter_map(|packet| segment(packet).ok()).collect();
    let payload: usize = segments.iter().map(|segment| segment.payload.len()).sum();
    assert!(payload <= captured);
    let n = segments.len() as u64;
    let (_, counts) = streams::connections(segments);
    assert_eq!(counts.segments, n);
}

/// Any lines `name: value` as the headers of an answer: what is kept of one is short, steers no terminal and
/// is kept whole when it is read again; every time that is told is a number.
pub fn headers(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let all: Vec<(String, &str)> = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim()))
        .collect();
    for (name, value) in &all {
        if let Some(kept) = hop_headers::kept(name, value) {
            assert!(!kept.contains(char::is_control));
            assert!(kept.chars().count() <= value.chars().count());
            assert_eq!(hop_headers::kept(name, &kept).as_deref(), Some(kept.as_str()));
        }
    }
    let (told, unread) = hop_headers::read(all.iter().map(|(name, value)| (name.as_str(), *value)));
    assert!(told.len() + unread.len() <= 16 * (all.len() + 1));
    assert!(unread.iter().all(|one| !one.expected.is_empty()));
}

/// One event, owned.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Event {
    pub name: Vec<u8>,
    pub data: Vec<u8>,
    pub wire_bytes: usize,
}

/// What a decoder says about a stream that comes in these pieces.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Decoded {
    pub events: Vec<Event>,
    pub comments: u64,
    pub oversize: u64,
    pub has_partial: bool,
}

pub fn decode<'a>(pieces: impl Iterator<Item = &'a [u8]>, limit: usize) -> Decoded {
    let mut decoder = SseDecoder::with_limit(limit);
    let mut events = Vec::new();
    for piece in pieces {
        decoder.push(piece, |event| {
            assert!(event.wire_bytes >= event.data.len() + 2);
            events.push(Event {
                name: event.name.to_vec(),
                data: event.data.to_vec(),
                wire_bytes: event.wire_bytes,
            });
        });
    }
    Decoded {
        events,
        comments: decoder.comments(),
        oversize: decoder.oversize(),
        has_partial: decoder.has_partial(),
    }
}
