//! `sdf.yml` of the original.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| sealock_traffic::sdf::fuzz(data));
