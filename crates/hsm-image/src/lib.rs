//! The HSM helper's program, as bytes inside of whoever starts it.
//!
//! A crate of its own, as `sealock-receiver-image` is: its build script makes `sealock-hsm-helper` with its own profile,
//! and without `crt-static`, by a cargo of its own, in `hsm-image` below the target folder, which all profiles of the
//! workspace share. Who has a program already (packagers, builds for another machine or an older libc) names it by
//! `SEALOCK_HSM_HELPER_IMAGE`.

/// `sealock-hsm-helper` for the machine that this was built for: an ELF program that needs the host's C library.
pub static HELPER: &[u8] = include_bytes!(env!("SEALOCK_HSM_HELPER_IMAGE_FILE"));

#[cfg(test)]
mod tests {
    use super::HELPER;

    #[test]
    fn it_is_small_and_dynamic() {
        assert!(HELPER.starts_with(b"\x7fELF"));
        assert!(HELPER.len() <= 1_500_000, "{} bytes", HELPER.len());
        let asks_for_a_loader = HELPER[..4096].windows(3).any(|bytes| bytes == b"/ld");
        assert!(asks_for_a_loader, "it cannot load a module");
    }
}
