//! A template, filled in with a fixed set of secrets.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| sealock_injector::format::template::fuzz(data));
