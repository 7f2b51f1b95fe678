//! How many megabytes a second the parsers read on one core: log lines of every sample of every log
//! format, mixed; a whole page of a real vLLM's metrics; a stream of events. Prints the median of
//! many passes. `cargo bench -p tare-parsers`
#![allow(clippy::expect_used, clippy::unwrap_used)]

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use tare_parsers::pcap::{self, segment::segment, streams::connections};
use tare_parsers::sse::SseDecoder;
use tare_parsers::{Event, FORMATS, Parsed, exposition, uvicorn, vllm};

fn main() {
    let logs: Vec<String> = ["vllm", "uvicorn"].into_iter().flat_map(samples).collect();
    let all: String = logs.concat();
    report("log lines, every sample mixed", &mixed(&all), read_log);
    for kind in ["plain", "microseconds", "json", "coloured-two", "v0"] {
        let name = format!("vllm/{kind}");
        let text = one(&name);
        report(&format!("log lines, {name}"), &text.repeat(1 + (1 << 20) / text.len()), read_log);
    }
    let gateways = ["nginx", "haproxy", "envoy", "caddy", "traefik", "litellm", "sglang_router", "tare_tap"];
    for format in FORMATS.iter().filter(|format| gateways.contains(&format.name)) {
        let hops: String = samples(format.name)
            .concat()
            .lines()
            .filter(|line| is_hop(format.parse, line))
            .fold(String::new(), |text, line| text + line + "\n");
        report(&format!("access log lines, {}", format.name), &mixed(&hops), |text| {
            let mut scratch = String::new();
            lines(text, |line| matches!(black_box((format.parse)(line, &mut scratch)), Parsed::Line(_)))
        });
    }
    let access: String = all
        .lines()
        .filter(|line| line.contains("HTTP/1.1\" "))
        .fold(String::new(), |text, line| text + line + "\n");
    report("log lines, access lines only", &access.repeat(500), read_access);
    report("prometheus text, one vLLM page", &one("exposition/vllm-0.32.prom"), |page| {
        exposition::parse(page).samples.len()
    });
    captures();
    let stream = one("sse/vllm-chat-usage").repeat(400);
    report("server-sent events, reads of 4 KiB", &stream, |stream| {
        let mut decoder = SseDecoder::new();
        let mut bytes = 0;
        for read in stream.as_bytes().chunks(4096) {
            decoder.push(read, |event| bytes += black_box(event).data.len());
        }
        bytes
    });
}

/// A capture of many requests: the sample's packets over and over, a second and a port apart.
fn captures() {
    let sample = fs::read(folder("pcap").join("haproxy-2.6.pcap")).unwrap();
    let (header, packets) = sample.split_at(24);
    let read = pcap::read(&sample).unwrap();
    let mut file = header.to_vec();
    for again in 0..400_u32 {
        let mut rest = packets;
        for packet in &read.packets {
            let (record, after) = rest.split_at(16 + packet.bytes.len());
            rest = after;
            let at = file.len();
            file.extend(record);
            let s = u32::from_le_bytes(file[at..at + 4].try_into().unwrap()) + again;
            file[at..at + 4].copy_from_slice(&s.to_le_bytes());
            // The second bytes of both addresses: other connections.
            for byte in [16 + 14 + 14, 16 + 14 + 18] {
                file[at + byte..at + byte + 2].copy_from_slice(&(again as u16).to_be_bytes());
            }
        }
    }
    report_bytes("packets of a capture", &file, |file| pcap::read(file).unwrap().packets.len());
    report_bytes("TCP streams of a capture", &file, |file| {
        let capture = pcap::read(file).unwrap();
        connections(capture.packets.iter().filter_map(|packet| segment(packet).ok()).collect()).0.len()
    });
}

fn is_hop(parse: for<'a> fn(&'a str, &'a mut String) -> Parsed<'a>, line: &str) -> bool {
    matches!(parse(line, &mut String::new()), Parsed::Line(line) if matches!(line.event, Event::Hop(_)))
}

fn read_log(text: &str) -> usize {
    let mut scratch = String::new();
    lines(text, |line| matches!(black_box(vllm::parse(line, &mut scratch)), tare_parsers::Parsed::Line(_)))
}

fn read_access(text: &str) -> usize {
    let mut scratch = String::new();
    lines(text, |line| matches!(black_box(uvicorn::parse(line, &mut scratch)), tare_parsers::Parsed::Line(_)))
}

/// Splitting into lines is part of the work: a tailer does it too.
fn lines(text: &str, mut read: impl FnMut(&str) -> bool) -> usize {
    let mut from = 0;
    let mut count = 0;
    for end in memchr::memchr_iter(b'\n', text.as_bytes()) {
        count += usize::from(read(&text[from..end]));
        from = end + 1;
    }
    count
}

/// The lines of all samples shuffled, always in the same way, and repeated to a few megabytes: as
/// they are, a run of equal lines would be learnt by the branch predictor.
fn mixed(text: &str) -> String {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut out = String::new();
    while out.len() < 4 << 20 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.push_str(lines[state as usize % lines.len()]);
    }
    out
}

fn report(what: &str, text: &str, mut pass: impl FnMut(&str) -> usize) {
    report_bytes(what, text.as_bytes(), |_| pass(black_box(text)));
}

fn report_bytes(what: &str, text: &[u8], mut pass: impl FnMut(&[u8]) -> usize) {
    let began = Instant::now();
    let mut times = Vec::new();
    let mut found = 0;
    while times.len() < 20 || began.elapsed() < Duration::from_secs(1) {
        let start = Instant::now();
        found = black_box(pass(black_box(text)));
        times.push(start.elapsed());
    }
    times.sort_unstable();
    let median = times[times.len() / 2];
    let rate = text.len() as f64 / median.as_secs_f64() / 1e6;
    println!("{what:40} {rate:7.0} MB/s  ({} bytes, {found} found, {} passes)", text.len(), times.len());
}

fn folder(format: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples").join(format)
}

fn samples(format: &str) -> Vec<String> {
    let mut paths: Vec<_> =
        fs::read_dir(folder(format)).expect(format).map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| fs::read_to_string(path).unwrap()).collect()
}

/// The sample whose path begins so.
fn one(beginning: &str) -> String {
    let (format, name) = beginning.split_once('/').unwrap();
    let path = fs::read_dir(folder(format))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(name))
        .min()
        .expect(beginning);
    fs::read_to_string(path).unwrap()
}
