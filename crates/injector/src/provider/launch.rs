//! How a provider's processes are started: by `posix_spawn`, with all that they have in common made once.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::signal::SigSet;
use nix::unistd::Pid as RawPid;
use rustix::fs::{Mode, OFlags, open};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Pid;

use super::process::Running;
use crate::child::signals;
use crate::environment::Environment;

/// A file that is being written cannot be executed; whoever installs a provider has finished by then.
const BUSY: Duration = Duration::from_millis(500);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(5);

/// What all processes of a provider have in common.
pub(super) struct Launch {
    program: CString,
    environment: Environment,
    /// They stay in our process group.
    at_terminal: bool,
    /// The input of those that are asked nothing.
    nothing: OwnedFd,
}

/// The ends of the three streams that are ours.
pub(super) struct Streams {
    pub(super) stdin: Option<OwnedFd>,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
}

impl Launch {
    pub(super) fn new(
        program: &Path,
        environment: Environment,
        at_terminal: bool,
    ) -> io::Result<Self> {
        signals::keep_exit_codes()?;
        let nothing = open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { program: text(program.as_os_str())?, environment, at_terminal, nothing })
    }

    /// Starts one. `asked`: we write to its standard input, which is empty otherwise.
    pub(super) fn start(&self, argument: Option<&OsStr>, asked: bool) -> io::Result<Running> {
        let argument = argument.map(text).transpose()?;
        let arguments: Vec<&CString> =
            std::iter::once(&self.program).chain(argument.as_ref()).collect();
        let pipe = || pipe_with(PipeFlags::CLOEXEC);
        let (stdout, child_stdout) = pipe()?;
        let (stderr, child_stderr) = pipe()?;
        let (child_stdin, stdin) = match asked {
            true => pipe().map(|(from, to)| (Some(from), Some(to)))?,
            false => (None, None),
        };
        for ours in [Some(&stdout), Some(&stderr), stdin.as_ref()].into_iter().flatten() {
            // Ours only: the other end of a pipe has flags of its own.
            rustix::io::ioctl_fionbio(ours, true)?;
        }
        let mut actions = PosixSpawnFileActions::init()?;
        let input = child_stdin.as_ref().unwrap_or(&self.nothing);
        for (number, stream) in [(0, input), (1, &child_stdout), (2, &child_stderr)] {
            actions.add_dup2(stream.as_raw_fd(), number)?;
        }
        let pid = self.spawn(&actions, &arguments)?;
        let streams = Streams { stdin, stdout, stderr };
        Ok(Running::new(pid, streams, !self.at_terminal))
    }

    fn spawn(&self, actions: &PosixSpawnFileActions, arguments: &[&CString]) -> io::Result<Pid> {
        let attributes = self.attributes()?;
        let entries = self.environment.entries();
        let program = self.program.as_c_str();
        let until = Instant::now() + BUSY;
        loop {
            match posix_spawn(program, actions, &attributes, arguments, entries) {
                Ok(pid) => {
                    return Pid::from_raw(pid.as_raw())
                        .ok_or_else(|| io::Error::other("no process number"));
                }
                Err(Errno::ETXTBSY) if Instant::now() < until => thread::sleep(PAUSE),
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Signals as a program expects them.
    fn attributes(&self) -> io::Result<PosixSpawnAttr> {
        let mut attributes = PosixSpawnAttr::init()?;
        attributes.set_sigdefault(&signals::defaults())?;
        attributes.set_sigmask(&SigSet::empty())?;
        let mut flags =
            PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF | PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK;
        if !self.at_terminal {
            attributes.set_pgroup(RawPid::from_raw(0))?;
            flags |= PosixSpawnFlags::POSIX_SPAWN_SETPGROUP;
        }
        attributes.set_flags(flags)?;
        Ok(attributes)
    }
}

fn text(text: &OsStr) -> io::Result<CString> {
    CString::new(text.as_bytes()).map_err(|_| io::ErrorKind::InvalidInput.into())
}
