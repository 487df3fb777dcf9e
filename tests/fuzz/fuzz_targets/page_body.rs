#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| renewald::fuzzing::page_body(input));
