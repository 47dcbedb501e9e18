//! Rows of the vault, as somebody leaves them who writes to the store.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| sealock_secrets::fuzz_rows(data));
