//! The frames of a client of HTTP/2.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| sealock_net::proxy::fuzz::http2(data));
