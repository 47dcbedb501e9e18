//! A process of this machine, pinned: whoever has its number later is not taken for it.

use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// How much of a file below `/proc/<pid>` is read.
const MOST: u64 = 256 * 1024;

/// Pinned by its pidfd. What is read of it was its own as long as it is alive *afterwards*.
#[derive(Debug)]
pub(super) struct Process {
    /// Its folder in `/proc`. Below it nothing can be read once the process is gone.
    folder: OwnedFd,
    pidfd: OwnedFd,
}

impl Process {
    /// Behind this pidfd, which the kernel has numbered so. A number that is another's by now is noticed:
    /// it only becomes another's when the process is gone.
    pub(super) fn behind(pidfd: OwnedFd, number: Pid) -> io::Result<Self> {
        let path = format!("/proc/{}", number.as_raw_nonzero());
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(path, flags, Mode::empty())?;
        let process = Self { folder, pidfd };
        process.expect_alive()?;
        Ok(process)
    }

    /// With this number now, which is only a claim about which process it is.
    pub(super) fn numbered(number: u32) -> io::Result<Self> {
        let number = Pid::from_raw(number.cast_signed()).ok_or(Errno::SRCH)?;
        Self::behind(pidfd_open(number, PidfdFlags::empty())?, number)
    }

    /// The lines of its control groups.
    pub(super) fn control_groups(&self) -> io::Result<String> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.folder, "cgroup", flags, Mode::empty())?;
        let mut text = String::new();
        std::fs::File::from(file).take(MOST).read_to_string(&mut text)?;
        Ok(text)
    }

    /// What it sees as the file system.
    pub(super) fn mount_namespace(&self) -> io::Result<Namespace> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.folder, "ns/mnt", flags, Mode::empty())?;
        let found = rustix::fs::fstat(&file)?;
        Ok(Namespace { number: (found.st_dev, found.st_ino), _file: file })
    }

    /// Whether it still runs; if not, what was read of it may be another's.
    pub(super) fn expect_alive(&self) -> io::Result<()> {
        let mut ready = [PollFd::from_borrowed_fd(self.pidfd.as_fd(), PollFlags::IN)];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        match poll(&mut ready, Some(&at_once))? {
            0 => Ok(()),
            _ => Err(Errno::SRCH.into()),
        }
    }

    /// What tells its end.
    pub(super) fn into_pidfd(self) -> OwnedFd {
        self.pidfd
    }
}

/// A namespace. As long as this is held, no other gets its number.
#[derive(Debug)]
pub(super) struct Namespace {
    number: (u64, u64),
    _file: OwnedFd,
}

impl PartialEq for Namespace {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

/// The container ids that the lines of `/proc/<pid>/cgroup` name, each once, the outermost first: as a
/// component of its own (cgroupfs) or as `docker-<id>.scope` (systemd). They are claims: whoever may make
/// control groups in a container can give them any name.
pub(super) fn named_containers(groups: &str) -> Vec<&str> {
    let mut ids = Vec::new();
    for path in groups.lines().filter_map(|line| line.splitn(3, ':').nth(2)) {
        for component in path.split('/') {
            let bare = component.strip_suffix(".scope").unwrap_or(component);
            let id = bare.rsplit('-').next().unwrap_or(bare);
            let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            if id.len() == 64 && id.bytes().all(hex) && !ids.contains(&id) {
                ids.push(id);
            }
        }
    }
    ids
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    const A: &str = "aaaaaaaabbbbbbbbccccccccddddddddeeeeeeeeffffffff0000000011111111";
    const B: &str = "1111111100000000ffffffffeeeeeeeeddddddddccccccccbbbbbbbbaaaaaaaa";

    #[test]
    fn every_driver_of_control_groups_names_the_container() {
        for one in [
            format!("12:pids:/docker/{A}\n0::/\n"),
            format!("0::/system.slice/docker-{A}.scope\n"),
            format!("1:name=systemd:/docker/{A}/init\n11:cpu:/docker/{A}\n"),
            format!("0::/../docker-{A}.scope\n"),
        ] {
            assert_eq!(named_containers(&one), [A], "{one}");
        }
        for none in ["", "0::/init.scope\n", &format!("0::/{}\n", &A[1..]), A] {
            assert!(named_containers(none).is_empty(), "{none}");
        }
        let upper = format!("0::/{}\n", A.to_ascii_uppercase());
        assert!(named_containers(&upper).is_empty());
    }

    #[test]
    fn a_container_in_a_container_names_the_outer_one_first() {
        let nested = format!("0::/docker/{A}/docker/{B}\n");
        assert_eq!(named_containers(&nested), [A, B]);
    }

    fn sleeper() -> (Child, u32) {
        let child = Command::new("sleep").arg("60").spawn().unwrap();
        let number = child.id();
        (child, number)
    }

    #[test]
    fn a_pidfd_of_one_process_and_the_number_of_another_are_not_taken_together() {
        let (mut gone, number) = sleeper();
        let pidfd = pidfd_open(Pid::from_child(&gone), PidfdFlags::empty()).unwrap();
        gone.kill().unwrap();
        gone.wait().unwrap();
        // The number was given to another process, which is alive.
        let (mut other, taken) = sleeper();
        assert_ne!(number, taken);
        let refused = Process::behind(pidfd, Pid::from_child(&other));
        assert_eq!(refused.unwrap_err().raw_os_error(), Some(Errno::SRCH.raw_os_error()));
        other.kill().unwrap();
        other.wait().unwrap();
        assert!(Process::numbered(taken).is_err());
        assert!(Process::numbered(0).is_err());
    }

    #[test]
    fn nothing_is_read_of_a_process_that_is_gone() {
        let (mut child, number) = sleeper();
        let process = Process::numbered(number).unwrap();
        assert!(process.expect_alive().is_ok());
        assert!(!process.control_groups().unwrap().is_empty());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(process.expect_alive().is_err());
        assert!(process.control_groups().is_err());
        assert!(process.mount_namespace().is_err());
    }

    #[test]
    fn another_view_of_the_file_system_is_another_namespace() {
        let (mut child, number) = sleeper();
        let own = Process::numbered(std::process::id()).unwrap().mount_namespace().unwrap();
        let same = Process::numbered(number).unwrap().mount_namespace().unwrap();
        assert!(own == same);
        child.kill().unwrap();
        child.wait().unwrap();
        if sealock_testkit::clients::skip_without_root() {
            return;
        }
        let command = ["--mount", "sleep", "60"];
        let mut apart = Command::new("unshare").args(command).spawn().unwrap();
        let other = sealock_testkit::wait::until(
            "the process to have its namespace",
            std::time::Duration::from_secs(20),
            || {
                let found = Process::numbered(apart.id()).ok()?.mount_namespace().ok()?;
                (found != own).then_some(found)
            },
        );
        assert!(other != own);
        apart.kill().unwrap();
        apart.wait().unwrap();
    }
}
