//! Java's trust stores under a fixed password, read, changed and written; and what is in one of Java's own format, as if
//! its hash had been right.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| sealock_formats::fuzz_trust_store(data));
