//! Requests of ACME: as they come, as header and payload that were signed, and as what may stand in them.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| sealock_acme::fuzz(data));
