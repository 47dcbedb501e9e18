//! The context of a build: an archive with a Dockerfile in it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| sealock_docker::context::fuzz(data));
