//! What the fuzz targets check, over the samples: so that the bodies run without cargo-fuzz too.

use crate::{bodies, files};

/// The samples, each whole and cut short at a few places.
fn inputs() -> Vec<Vec<u8>> {
    let mut inputs = Vec::new();
    for sample in files::of_logs().into_iter().chain(files::of("exposition")).chain(files::of("sse")) {
        for cut in [3, 50, 97] {
            inputs.push(sample.bytes[..sample.bytes.len() * cut / 100].to_vec());
        }
        inputs.push(sample.bytes);
    }
    inputs
}

#[test]
fn log_line() {
    for input in inputs() {
        bodies::log_line(&input);
    }
}

#[test]
fn exposition() {
    for input in inputs() {
        bodies::exposition(&input);
    }
}

#[test]
fn sse() {
    for input in inputs() {
        bodies::sse(&input);
    }
}

#[test]
fn pcap() {
    for input in inputs().into_iter().chain(files::of("pcap").into_iter().map(|sample| sample.bytes)) {
        bodies::pcap(&input);
    }
}

#[test]
fn headers() {
    for input in inputs() {
        bodies::headers(&input);
    }
}

/// What the fuzzer found worth keeping: inputs that reach code that no other reaches, one in hexadecimal a
/// line, in a file for each target.
#[test]
fn the_corpus() {
    type Target = (&'static str, fn(&[u8]));
    let targets: [Target; 5] = [
        ("log_line", bodies::log_line),
        ("exposition", bodies::exposition),
        ("sse", bodies::sse),
        ("pcap", bodies::pcap),
        ("headers", bodies::headers),
    ];
    for (name, body) in targets {
        let text = std::fs::read_to_string(files::folder().join(format!("fuzz/{name}.hex"))).unwrap();
        assert!(text.lines().count() > 10, "{name}");
        for line in text.lines() {
            let byte = |at: usize| u8::from_str_radix(&line[at..at + 2], 16).unwrap();
            body(&(0..line.len()).step_by(2).map(byte).collect::<Vec<u8>>());
        }
    }
}
