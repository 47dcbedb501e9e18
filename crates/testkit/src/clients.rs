//! Programs of others that a test needs.
//!
//! ```no_run
//! if sealock_testkit::clients::skip_without(&["openssl", "certtool"]) {
//!     return;
//! }
//! ```
//! A skip is said on stderr and noted for `cargo xtask test`, which prints it at the end. In CI a
//! skip is a failure.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Whether the calling test has to return because a program is missing.
///
/// # Panics
/// In CI, when one is missing.
#[must_use]
pub fn skip_without(programs: &[&str]) -> bool {
    let missing: Vec<&str> =
        programs.iter().copied().filter(|program| find(program).is_none()).collect();
    !missing.is_empty() && skip(&format!("{} not installed", missing.join(", ")))
}

/// Whether the calling test has to return because no Docker engine answers, or there is no static
/// busybox to make a scratch image of.
///
/// # Panics
/// In CI, when there is none.
#[must_use]
pub fn skip_without_engine() -> bool {
    if skip_without(&["docker", "busybox"]) {
        return true;
    }
    let answers = Command::new("docker")
        .args(["version", "--format", "{{.Server.Version}}"])
        .stdin(Stdio::null())
        .output()
        .is_ok_and(|output| output.status.success());
    !answers && skip("no Docker engine answers")
}

/// Whether the calling test has to return because it does not run as root.
///
/// # Panics
/// In CI, when it does not.
#[must_use]
pub fn skip_without_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    let root = std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0);
    !root && skip("not root")
}

/// Says that the calling test is skipped, and why. Always true.
///
/// # Panics
/// In CI.
pub fn skip(reason: &str) -> bool {
    let current = std::thread::current();
    let test = current.name().unwrap_or("a test");
    assert!(
        !std::env::var("CI").is_ok_and(|value| value == "true" || value == "1"),
        "{test} was skipped ({reason}), and in CI a skip is a failure"
    );
    eprintln!("SKIPPED {test}: {reason}");
    if let Some(notes) = std::env::var_os("SEALOCK_TEST_SKIPS") {
        // One short line in append mode: tests in other processes write the same file.
        let noted = OpenOptions::new()
            .append(true)
            .open(&notes)
            .and_then(|mut file| file.write_all(format!("{test}: {reason}\n").as_bytes()));
        if let Err(error) = noted {
            panic!("cannot note the skip in {}: {error}", notes.display());
        }
    }
    true
}

/// Docker's own client as a file for an image, which has no libraries: it must be a static program.
///
/// # Panics
/// In CI, when it is not.
#[must_use]
pub fn static_docker() -> Option<Vec<u8>> {
    let program = find("docker").and_then(|path| std::fs::read(path).ok());
    let program = program.filter(|program| is_static(program));
    if program.is_none() {
        skip("docker's client is no static program");
    }
    program
}

/// Whether a 64-bit ELF program names no interpreter (`PT_INTERP`), such as `ld.so`.
fn is_static(program: &[u8]) -> bool {
    let number = |at: usize, length: usize| -> Option<usize> {
        let bytes = program.get(at..at.checked_add(length)?)?;
        Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    };
    let segments = || {
        let (table, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
        let kinds = (0..count).map(move |index| number(table + index * size, 4));
        kinds.collect::<Option<Vec<usize>>>()
    };
    const INTERPRETER: usize = 3;
    program.starts_with(b"\x7fELF\x02\x01")
        && segments().is_some_and(|kinds| !kinds.contains(&INTERPRETER))
}

/// Where `PATH` has this program.
#[must_use]
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_found() {
        assert!(find("sh").is_some());
        assert!(find("no-such-program-at-all").is_none());
        assert!(!skip_without(&["sh"]));
    }

    #[test]
    fn a_program_with_an_interpreter_is_not_static() {
        assert!(!is_static(b"#!/bin/sh\n") && !is_static(b"\x7fELF\x02\x01"));
        // Ours is static (.cargo/config.toml), the system's shell is not.
        assert!(is_static(&std::fs::read("/proc/self/exe").unwrap()));
        assert!(!is_static(&std::fs::read("/bin/sh").unwrap()));
    }
}
