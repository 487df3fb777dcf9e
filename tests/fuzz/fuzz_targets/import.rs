#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| renewald::fuzzing::import(input));
