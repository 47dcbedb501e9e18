//! Heads of calls: paths, hosts, tokens and headers.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| sealock_traffic::http::fuzz(data));
