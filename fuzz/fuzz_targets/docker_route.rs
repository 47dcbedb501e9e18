//! Requests to the engine's API: a byte for the method, then the target.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| sealock_docker::route::fuzz(data));
