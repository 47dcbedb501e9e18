//! What CAs of others answer: EST, directories and problems of ACME, URLs, `Retry-After`, texts for people.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| sealock_upstream::fuzz(data));
