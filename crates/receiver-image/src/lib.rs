//! The receiver's program, as bytes inside of whoever carries it into containers.
//!
//! A crate of its own, so that only it is built anew when the receiver is: its build script makes
//! `sealock-receiver` with its own profile (small, one static file) by a cargo of its own, in
//! `receiver-image` below the target folder, which all profiles of the workspace share. Who has a
//! program already (packagers, builds for another machine) names it by `SEALOCK_RECEIVER_IMAGE`.

/// `sealock-receiver` for the machine that this was built for: a static ELF program.
pub static RECEIVER: &[u8] = include_bytes!(env!("SEALOCK_RECEIVER_IMAGE_FILE"));

#[cfg(test)]
mod tests {
    use super::RECEIVER;

    #[test]
    fn it_is_small_and_static() {
        assert!(RECEIVER.starts_with(b"\x7fELF"));
        assert!(RECEIVER.len() <= 3_000_000, "{} bytes", RECEIVER.len());
        let first_page = &RECEIVER[..4096.min(RECEIVER.len())];
        let asks_for_a_loader = first_page.windows(6).any(|bytes| bytes == b"ld-lin");
        assert!(!asks_for_a_loader, "it needs a dynamic loader");
    }
}
