//! Age files, recipients and identities: no file that was not sealed to us opens, and no private text
//! gets into an error.
#![no_main]

use std::io;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use sealock_delivery::envelope::{AskPassphrase, Identities, Recipients, check_header, open};

/// Nothing that the fuzzer has seen was sealed to this.
const KEY: &str = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";

fuzz_target!(|bytes: &[u8]| {
    let ask: AskPassphrase = Arc::new(|_: &str| None);
    let _ = check_header(bytes);
    let ours = Identities::parse(KEY, "key", &ask).expect("an identity");
    assert!(open(&ours, bytes, io::sink()).is_err(), "it opened");
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok((recipients, ignored)) = Recipients::parse_file(text, "file") {
        assert!(!recipients.is_empty());
        assert!(recipients.len() + ignored.len() <= text.lines().count());
    }
    let _ = Recipients::parse(text);
    if let Err(error) = Identities::parse(text, "file", &ask) {
        assert!(error.to_string().len() < 200, "{error}");
    }
});
