#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| authledger_fuzz::entries::compact(bytes));
