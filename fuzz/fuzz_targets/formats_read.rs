//! Files of certificates and private keys in any format, under a fixed password; and what is in a PKCS#12 file, as if
//! its MAC had been right.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| sealock_formats::fuzz(data));
