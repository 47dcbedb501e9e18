//! What a broker says to Gatekeepers and Forwarders, and what another authorization server says about a token.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| sealock_traffic::feed::fuzz(data));
