//! Builds `sealock-hsm-helper` and tells the crate where it is.

use std::error::Error;

use sealock_nested_build::Program;

fn main() -> Result<(), Box<dyn Error>> {
    Program {
        package: "sealock-hsm-helper",
        profile: "hsm-helper",
        folder: "hsm-image",
        prebuilt: "SEALOCK_HSM_HELPER_IMAGE",
        sources: &["crates/hsm-wire", "crates/hsm-helper"],
        // The one program of ours that is dynamic: it loads modules, and a static one cannot.
        rust_flags: "-C target-feature=-crt-static",
        c_flags: None,
    }
    .provide()
}
