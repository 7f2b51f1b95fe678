//! `fuzz/run packets`: see the README beside this folder.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tare_fuzz::packets(data));
