//! A backup of the vault, as somebody makes it who can seal to this host.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| sealock_secrets::backup::fuzz(data));
