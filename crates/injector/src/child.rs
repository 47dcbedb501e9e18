//! Starts the program, and stays with it or makes way for it.
//!
//! [`replace`] puts the program in this process's place: it keeps the process id, so in a container it is PID 1
//! itself. [`Child`] is for when something has to be done at the end; signals are then passed on
//! ([`signals`]).

mod latest;
mod search;
pub mod signals;
mod stopping;
mod watchman;

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};

use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::signal::SigSet;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use rustix::process::{Pid, WaitOptions};
use thiserror::Error;

pub use search::{SearchError, find_program};
pub use watchman::{Escalation, Watchman, end_by};

use crate::environment::Environment;
use crate::provider::{self, Inherited};

/// ENOEXEC
const NO_PROGRAM: i32 = 8;

/// Why a program was not started.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ChildError {
    /// It was not found, or is nothing that can be run.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// An argument with a NUL.
    #[error("an argument has a NUL byte")]
    Argument,
    /// The kernel said no.
    #[error("cannot start {program}")]
    Start {
        /// The program's file.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It cannot be waited for.
    #[error("cannot wait for {program}")]
    Wait {
        /// The program's file.
        program: String,
        /// Why.
        source: io::Error,
    },
}

impl ChildError {
    /// What a person may do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Start { source, .. } if source.raw_os_error() == Some(7) => Some(
                "arguments and variables together are longer than the kernel takes; have long values written to files: `!var:file`",
            ),
            Self::Start { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Some("the interpreter that its first line names is not there")
            }
            _ => None,
        }
    }
}

/// A program that is to be started.
#[derive(Debug)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<CString>,
}

impl Program {
    /// Finds the program by the rules of a shell, in `search` (as `PATH`).
    ///
    /// # Errors
    /// [`ChildError::Search`], [`ChildError::Argument`].
    pub fn new(
        name: &OsStr,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
        search: Option<&OsStr>,
    ) -> Result<Self, ChildError> {
        let path = find_program(name, search)?;
        let text = |text: &OsStr| CString::new(text.as_bytes()).map_err(|_| ChildError::Argument);
        let mut all = vec![text(name)?];
        for argument in arguments {
            all.push(text(argument.as_ref())?);
        }
        Ok(Self { path, arguments: all })
    }

    /// The same as a script of the shell's: what a shell makes of a file that the kernel takes for no program
    /// (execvp(3)).
    fn by_shell(&self) -> Self {
        let file = CString::new(self.path.as_os_str().as_bytes()).unwrap_or_default();
        let rest = self.arguments.iter().skip(1).cloned();
        let arguments = [CString::from(c"/bin/sh"), file].into_iter().chain(rest).collect();
        Self { path: PathBuf::from("/bin/sh"), arguments }
    }

    fn path_text(&self) -> Result<CString, ChildError> {
        CString::new(self.path.as_os_str().as_bytes()).map_err(|_| ChildError::Argument)
    }

    fn shown(&self) -> String {
        self.path.display().to_string()
    }
}

/// Where a standard stream of the child goes; `None` is where ours goes.
#[derive(Debug, Default)]
pub struct Streams<'a> {
    /// Standard input.
    pub input: Option<BorrowedFd<'a>>,
    /// Standard output.
    pub output: Option<BorrowedFd<'a>>,
    /// Standard error.
    pub error: Option<BorrowedFd<'a>>,
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With this exit code.
    Code(u8),
    /// By this signal.
    Signal(i32),
}

/// A running child.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    program: String,
}

/// Between two looks at children that may be providers.
const PAUSE: Duration = Duration::from_millis(20);

impl Child {
    /// Starts the program. Besides the three streams it gets what was inherited and `descriptors`, which no
    /// other program gets, each under its number.
    ///
    /// # Errors
    /// [`ChildError::Start`].
    pub fn start(
        program: &Program,
        environment: &Environment,
        streams: &Streams<'_>,
        inherited: &Inherited,
        descriptors: &[OwnedFd],
    ) -> Result<Self, ChildError> {
        let pid = for_child(inherited, descriptors).and_then(|mappings| {
            match spawn(program, environment, streams, &mappings) {
                Err(error) if error.raw_os_error() == Some(NO_PROGRAM) => {
                    spawn(&program.by_shell(), environment, streams, &mappings)
                }
                other => other,
            }
        });
        let pid = pid.map_err(|source| ChildError::Start { program: program.shown(), source })?;
        Ok(Self { pid, program: program.shown() })
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Waits for its end. As PID 1 of a container this process also takes leave of the orphans that end up
    /// with it meanwhile.
    ///
    /// # Errors
    /// [`ChildError::Wait`].
    pub fn wait(&self) -> Result<Ended, ChildError> {
        let first = rustix::process::getpid().as_raw_nonzero().get() == 1;
        loop {
            if first {
                self.take_leave_of_orphans()?;
            }
            match rustix::process::waitpid(Some(self.pid), WaitOptions::empty()) {
                Ok(Some((_, status))) => {
                    if let Some(code) = status.exit_status() {
                        return Ok(Ended::Code(u8::try_from(code & 0xff).unwrap_or(u8::MAX)));
                    }
                    if let Some(signal) = status.terminating_signal() {
                        return Ok(Ended::Signal(signal));
                    }
                }
                Ok(None) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(self.not_waited(error)),
            }
        }
    }

    /// Until the child itself has ended. Which of the others are providers is not known here, so while some may run,
    /// nobody is taken leave of; a dead process keeps its number as long, so none is mistaken afterwards.
    fn take_leave_of_orphans(&self) -> Result<(), ChildError> {
        let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
        loop {
            let ended = match waitid(Id::All, look) {
                Ok(status) => status.pid().and_then(|pid| Pid::from_raw(pid.as_raw())),
                Err(nix::errno::Errno::EINTR) => continue,
                Err(error) => {
                    let program = self.program.clone();
                    return Err(ChildError::Wait { program, source: error.into() });
                }
            };
            match ended {
                Some(ended) if ended == self.pid => return Ok(()),
                Some(_) if provider::is_running() => std::thread::sleep(PAUSE),
                Some(ended) => {
                    let _ = rustix::process::waitpid(Some(ended), WaitOptions::NOHANG);
                }
                None => return Ok(()),
            }
        }
    }

    fn not_waited(&self, error: rustix::io::Errno) -> ChildError {
        ChildError::Wait { program: self.program.clone(), source: error.into() }
    }
}

/// What the child has besides its streams. A copy under another number is what makes `dup2` have the child keep it.
fn for_child(inherited: &Inherited, descriptors: &[OwnedFd]) -> io::Result<Vec<FdMapping>> {
    let mut mappings = inherited.for_child()?;
    for descriptor in descriptors {
        let (parent_fd, child_fd) = (descriptor.try_clone()?, descriptor.as_raw_fd());
        mappings.push(FdMapping { parent_fd, child_fd });
    }
    Ok(mappings)
}

fn spawn(
    program: &Program,
    environment: &Environment,
    streams: &Streams<'_>,
    mappings: &[FdMapping],
) -> io::Result<Pid> {
    let mut attributes = PosixSpawnAttr::init()?;
    attributes.set_sigdefault(&signals::defaults())?;
    attributes.set_sigmask(&SigSet::empty())?;
    attributes.set_flags(
        PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF | PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK,
    )?;
    let mut actions = PosixSpawnFileActions::init()?;
    for (number, stream) in [(0, streams.input), (1, streams.output), (2, streams.error)] {
        if let Some(stream) = stream {
            actions.add_dup2(stream.as_fd().as_raw_fd(), number)?;
        }
    }
    for mapping in mappings {
        actions.add_dup2(mapping.parent_fd.as_raw_fd(), mapping.child_fd)?;
    }
    let path = program.path_text().map_err(|_| io::ErrorKind::InvalidInput)?;
    let pid = posix_spawn(
        path.as_c_str(),
        &actions,
        &attributes,
        &program.arguments,
        environment.entries(),
    )?;
    Pid::from_raw(pid.as_raw()).ok_or_else(|| io::Error::other("no process number"))
}

/// Puts the program in this process's place, with the descriptors that [`Child::start`] would hand on; comes back
/// only when that fails.
pub fn replace(
    program: &Program,
    environment: &Environment,
    inherited: &Inherited,
    descriptors: &[OwnedFd],
) -> ChildError {
    let failed = |source: io::Error| ChildError::Start { program: program.shown(), source };
    let mappings = match for_child(inherited, descriptors) {
        Ok(mappings) => mappings,
        Err(error) => return failed(error),
    };
    let mut arguments = program.arguments.iter().map(|text| OsStr::from_bytes(text.as_bytes()));
    let mut command = Command::new(&program.path);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    command.args(arguments).env_clear().envs(environment.pairs());
    if command.fd_mappings(mappings).is_err() {
        return failed(io::Error::other("two descriptors are to have one number"));
    }
    failed(command.exec())
}
