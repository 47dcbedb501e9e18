//! Bodies of requests to the engine's API: the operation by the first byte, then its body, whose first
//! line is taken for the query as well.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| sealock_docker::body::fuzz(data));
