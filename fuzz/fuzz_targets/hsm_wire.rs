//! Frames between Sealock and the HSM's helper: its answers are a stranger's bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| sealock_hsm_wire::fuzz(data));
