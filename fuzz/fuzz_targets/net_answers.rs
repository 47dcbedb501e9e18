//! What a server answers to a forwarded request: a byte for the method, then the answer.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| sealock_net::proxy::fuzz::answers(data));
