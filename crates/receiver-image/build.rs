//! Builds `sealock-receiver` and tells the crate where it is.

use std::env;
use std::error::Error;

use sealock_nested_build::Program;

fn main() -> Result<(), Box<dyn Error>> {
    // Tables for unwinding are a tenth of the program, which ends at a panic anyway.
    let rust_flags = if env::var("TARGET")?.ends_with("-gnu") {
        "-C target-feature=+crt-static -C force-unwind-tables=no"
    } else {
        "-C force-unwind-tables=no"
    };
    Program {
        package: "sealock-receiver",
        profile: "receiver",
        folder: "receiver-image",
        prebuilt: "SEALOCK_RECEIVER_IMAGE",
        sources: &["crates/transfer", "crates/receiver"],
        rust_flags,
        c_flags: Some("-fno-asynchronous-unwind-tables"),
    }
    .provide()
}
