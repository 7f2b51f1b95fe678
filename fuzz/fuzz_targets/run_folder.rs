//! `fuzz/run run_folder`: see the README beside this folder.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tare_fuzz::run_folder(data));
