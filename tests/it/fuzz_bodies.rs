//! What the targets of `fuzz/` check, over its corpus: so that it holds without cargo-fuzz too.

use std::path::Path;

use crate::fuzz::TARGETS;

/// What the fuzzer found worth keeping, and what broke something once: one input in hexadecimal a line, in a file
/// for each target.
#[test]
fn the_corpus() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples/fuzz");
    for (name, body) in TARGETS {
        let text = std::fs::read_to_string(folder.join(format!("{name}.hex"))).unwrap();
        assert!(text.lines().count() >= 3, "{name}");
        for (number, line) in (1..).zip(text.lines()) {
            let byte = |at: usize| u8::from_str_radix(&line[at..at + 2], 16).unwrap();
            let input: Vec<u8> = (0..line.len()).step_by(2).map(byte).collect();
            let outcome = std::panic::catch_unwind(|| body(&input));
            assert!(outcome.is_ok(), "{name}.hex, line {number}: {:?}", String::from_utf8_lossy(&input));
        }
    }
}

/// A body that nobody runs checks nothing.
#[test]
fn every_target_is_in_the_table() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    files.sort();
    assert_eq!(files, TARGETS.map(|(name, _)| name));
}
