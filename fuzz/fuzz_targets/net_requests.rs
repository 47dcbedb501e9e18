//! The bytes of a client's connection to the gateway.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| sealock_net::proxy::fuzz::requests(data));
