//! What a provider prints in stream mode: questions, pieces, output.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| sealock_injector::provider::fuzz(data));
