//! A Dockerfile.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| sealock_docker::dockerfile::fuzz(data));
