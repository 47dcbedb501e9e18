//! For tests only: a real engine's scratch images, containers and networks, the programs of others,
//! and waiting for what another process does.
//!
//! - [`clients`]: programs that a test needs, and how a test says that it was skipped;
//! - [`docker`]: what is made in the engine is removed when its guard is dropped, also by a panic;
//! - [`names`]: a DNS server of the test's own;
//! - [`slapd`]: an LDAP server of the test's own;
//! - [`softhsm`]: a PKCS#11 token of the test's own, and one that misbehaves;
//! - [`wait`]: poll with a deadline, never a bare sleep.
//!
//! Everything made in the engine carries the label `sealock-test=<run>`, so that a run which was
//! killed can be tidied up after without touching what others made.
//!
//! It panics where a test would: whoever calls it is a test.

#![expect(
    clippy::panic,
    clippy::print_stderr,
    reason = "only tests call it, and a panic is how they fail"
)]

pub mod clients;
pub mod docker;
pub mod names;
pub mod slapd;
pub mod softhsm;
pub mod wait;

use std::sync::atomic::{AtomicU32, Ordering};

/// The label on everything that tests make in an engine.
pub const LABEL: &str = "sealock-test";

/// The value of [`LABEL`] in this run.
#[must_use]
pub fn run_id() -> String {
    std::env::var("SEALOCK_TEST_RUN").unwrap_or_else(|_| std::process::id().to_string())
}

/// A name that nobody else on this engine has: `sealock-test-<process>-<number>`.
#[must_use]
pub fn unique_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("sealock-test-{}-{number}", std::process::id())
}

/// A folder of its own, removed when dropped.
#[must_use]
pub fn scratch_folder() -> tempfile::TempDir {
    tempfile::Builder::new()
        .prefix("sealock-test-")
        .tempdir()
        .unwrap_or_else(|error| panic!("no scratch folder: {error}"))
}
