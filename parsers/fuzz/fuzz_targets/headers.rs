//! `cargo +nightly fuzz run headers`, seeded by the samples: see the README beside this folder.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tare_parsers_fuzz::headers(data));
