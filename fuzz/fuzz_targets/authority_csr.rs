//! Certificate requests: any bytes; what is accepted proves possession and names only what parses.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealock_authority::parse_csr;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(csr) = parse_csr(bytes) {
        assert!(csr.names.iter().all(|name| !name.to_string().contains(char::is_control)));
        assert!(csr.common_name.is_none_or(|name| !name.contains(char::is_control)));
        assert!(!csr.public_key.to_spki_der().is_empty());
    }
});
