//! Tokens: as they come, as header and claims that were signed, and the key sets by which they are checked.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| sealock_traffic::token::fuzz(data));
