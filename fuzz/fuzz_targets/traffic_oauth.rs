//! Requests to the OAuth endpoints: a line that is the Authorization header, then the form.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| sealock_traffic::oauth::fuzz(data));
