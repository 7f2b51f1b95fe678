//! `fuzz/run metrics`: see the README beside this folder.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tare_fuzz::metrics(data));
