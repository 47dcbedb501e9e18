//! Descriptors that somebody else has left open in us.
//!
//! All of our own are closed in a child by the kernel. What the caller had open beyond the first three (a
//! jobserver's pipe, a log) would reach every program that we start. It is meant for the last of them, the
//! command, so it is kept from providers and handed on to that one alone.

use std::fs;
use std::io;
use std::os::fd::{OwnedFd, RawFd};

use command_fds::FdMapping;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

/// What was left open in us, for a child that is meant to have it.
#[derive(Debug, Default)]
pub struct Inherited {
    copies: Vec<(RawFd, OwnedFd)>,
    lost: Vec<RawFd>,
}

impl Inherited {
    /// Takes what is there, so that no child gets it unasked. To be called before [`fetch`](super::fetch),
    /// which closes to its providers whatever is open, and so to all children after them.
    pub fn take() -> Self {
        let mut inherited = Self::default();
        let numbers = inheritable();
        if !numbers.is_empty() {
            // Nothing but the number is known of them, and only the kernel can make a descriptor of a number.
            let us = pidfd_open(getpid(), PidfdFlags::empty());
            for number in numbers {
                let flags = PidfdGetfdFlags::empty();
                match us.as_ref().ok().and_then(|us| pidfd_getfd(us, number, flags).ok()) {
                    Some(copy) => inherited.copies.push((number, copy)),
                    None => inherited.lost.push(number),
                }
            }
        }
        withhold();
        inherited
    }

    /// The numbers that could not be taken, so that no child will have them: on old kernels, and in containers
    /// that may not trace.
    pub fn lost(&self) -> &[RawFd] {
        &self.lost
    }

    /// For a child to have them under their numbers.
    ///
    /// # Errors
    ///
    /// When the process may have no more descriptors.
    pub fn for_child(&self) -> io::Result<Vec<FdMapping>> {
        let mapping = |(number, copy): &(RawFd, OwnedFd)| {
            Ok(FdMapping { parent_fd: copy.try_clone()?, child_fd: *number })
        };
        self.copies.iter().map(mapping).collect()
    }
}

/// Closes every descriptor beyond the first three to the children that are started from now on.
pub(super) fn withhold() {
    close_fds::set_fds_cloexec_threadsafe(3, &[]);
}

/// Those that a child would get, by what /proc says of their flags.
pub(crate) fn inheritable() -> Vec<RawFd> {
    let Ok(entries) = fs::read_dir("/proc/self/fdinfo") else { return Vec::new() };
    let mut numbers: Vec<RawFd> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|number| *number > 2)
        .filter(|number| {
            let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}"));
            info.is_ok_and(|info| is_inheritable(&info))
        })
        .collect();
    numbers.sort_unstable();
    numbers
}

fn is_inheritable(info: &str) -> bool {
    const CLOSE_ON_EXEC: u32 = 0o2_000_000;
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    flags.is_some_and(|flags| flags & CLOSE_ON_EXEC == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_tell_who_is_inherited() {
        assert!(is_inheritable("pos:\t0\nflags:\t0100002\nmnt_id:\t15\n"));
        assert!(!is_inheritable("pos:\t0\nflags:\t02100002\nmnt_id:\t15\n"));
        assert!(!is_inheritable(""));
        assert!(!is_inheritable("flags:\tx"));
    }
}
