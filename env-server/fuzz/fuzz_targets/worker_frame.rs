#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| env_server::fuzzing::worker_frame(bytes));
