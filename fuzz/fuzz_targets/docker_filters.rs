//! The `filters` parameter of lists, events and prunes.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| sealock_docker::filters::fuzz(data));
