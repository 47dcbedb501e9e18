//! The daemon's settings, which others have written and mutual TLS is merged into.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| sealock_docker::daemon::daemon_json::fuzz(data));
