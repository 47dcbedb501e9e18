//! Labels of containers, as lines of `key=value`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| sealock_delivery::labels::fuzz(data));
