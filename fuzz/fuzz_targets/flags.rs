//! `fuzz/run flags`: see the README beside this folder.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tare_fuzz::flags(data));
