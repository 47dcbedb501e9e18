//! What comes back from another authority: subjects, and piles of certificates of which a chain is made.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| sealock_authority::imported::fuzz(data));
