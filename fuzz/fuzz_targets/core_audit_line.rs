//! A line of an exported audit log, as `audit verify` reads it: any bytes, no panic; and what it
//! reads out of them can be written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealock_core::audit::Chain;

fuzz_target!(|line: &[u8]| {
    if let Ok(record) = Chain::default().check(line) {
        let written = Chain::default().append(record.event.clone()).expect("it was read");
        assert_eq!(Chain::default().check(&written), Ok(record));
    }
});
