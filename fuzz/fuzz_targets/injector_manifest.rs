//! `secrets.yml`, in both dialects.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| sealock_injector::manifest::fuzz(data));
