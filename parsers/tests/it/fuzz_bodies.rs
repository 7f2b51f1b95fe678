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
