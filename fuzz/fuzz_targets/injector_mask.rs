//! Values and text, masked whole and in pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| sealock_injector::mask::fuzz(data));
