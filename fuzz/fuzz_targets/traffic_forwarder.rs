//! What an app asks of a Forwarder, and destinations.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| sealock_traffic::forwarder::fuzz(data));
