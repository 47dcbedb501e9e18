//! LDAP: names and templates of names, URLs, and what a directory answers.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| sealock_directory::fuzz(data));
