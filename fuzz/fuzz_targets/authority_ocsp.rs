//! OCSP requests, as a body and as a path: any bytes; what is read can be written, and is the same by both ways.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| sealock_authority::fuzz_ocsp(bytes));
