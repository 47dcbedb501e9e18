//! The system's own program that makes of a folder of certificates what programs read.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use super::root::Root;
use crate::commands::session::Session;
use crate::printer::Failure;

/// How long it may take: Java's hook on a slow machine does.
const DEADLINE: Duration = Duration::from_secs(300);
const SEARCH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const CHROOT: [&str; 4] = ["/usr/sbin/chroot", "/usr/bin/chroot", "/sbin/chroot", "/bin/chroot"];

/// How it is run.
pub(super) struct Tool<'a> {
    pub(super) root: &'a Root,
    pub(super) session: &'a Session,
}

impl Tool<'_> {
    /// Runs a program of that system, in it, and waits until it has ended well.
    pub(super) fn run(&self, program: &str, arguments: &[&str]) -> Result<(), Failure> {
        let mut command = match self.root.elsewhere() {
            None => tokio::process::Command::new(program),
            Some(root) => {
                let chroot = CHROOT.into_iter().find(|path| Path::new(path).exists());
                let chroot = chroot.ok_or_else(|| {
                    Failure::refused("cannot run programs in another root: no chroot here")
                })?;
                let mut command = tokio::process::Command::new(chroot);
                command.arg(root).arg(program);
                command
            }
        };
        command.args(arguments).env_clear().env("PATH", SEARCH).env("LC_ALL", "C");
        command.current_dir("/").stdin(Stdio::null()).kill_on_drop(true);
        let ended = self
            .session
            .wait(async move { tokio::time::timeout(DEADLINE, command.output()).await });
        let output = ended
            .map_err(|_| {
                let seconds = DEADLINE.as_secs();
                Failure::refused(format!("{program} has not ended after {seconds} s"))
            })?
            .map_err(|error| Failure::refused(format!("cannot run {program}")).caused_by(&error))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let said: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = said.last().map(|line| line.chars().take(300).collect::<String>());
        Err(Failure::refused(format!("{program} has failed ({})", output.status)).with_causes(last))
    }
}
