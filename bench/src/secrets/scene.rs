//! A daemon with a vault, providers, and files that say what is wanted of them.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::Settings;
use crate::measure::command;
use crate::process::{Process, until};

/// Variables of the larger starts.
pub(super) const MANY: usize = 100;
/// A shell is the slowest provider that people write, and the most common.
const SHELL: &str = "#!/bin/sh\n[ $# = 1 ] || exit 2\nsleep 0.001\necho \"$1\"\n";

/// A folder with everything.
pub(super) struct Scene<'a> {
    pub(super) settings: &'a Settings,
    // Before the folder: fields are dropped in this order.
    daemon: Option<Process>,
    folder: tempfile::TempDir,
}

/// Who is asked for values.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// Nobody: they stand in the file.
    Literal,
    /// The daemon's vault.
    Vault,
    /// A program, by its name in the folder.
    Provider(&'static str),
}

/// Who starts the program.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Starter {
    /// Nobody stands between.
    Plain,
    /// `sealock run`
    Run,
    /// This program under the name of `summon`.
    Summon,
    /// Summon itself.
    Peer,
}

impl<'a> Scene<'a> {
    pub(super) fn start(settings: &'a Settings) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        build(folder.path())?;
        let shell = folder.path().join("shell");
        fs::write(&shell, SHELL)?;
        fs::set_permissions(&shell, fs::Permissions::from_mode(0o755))?;
        symlink(fs::canonicalize(&settings.sealock)?, folder.path().join("summon"))?;
        for (name, count) in [("one", 1), ("many", MANY)] {
            let line = |number| format!("V{number:05}: !var {}\n", secret(number));
            let text: String = (0..count).map(line).collect();
            fs::write(folder.path().join(name), text)?;
        }
        fs::write(folder.path().join("literal"), "V00000: value\n")?;
        let mut scene = Self { settings, daemon: None, folder };
        scene.start_daemon()?;
        Ok(scene)
    }

    fn start_daemon(&mut self) -> Result<()> {
        command(crate::sealock(self.settings, "init").arg("--state").arg(self.state()))?;
        let mut up = crate::sealock(self.settings, "up");
        up.arg("--state").arg(self.state()).args(["--api", "off", "--gateway", "off"]);
        up.env("SEALOCK_WATCH_ENABLED", "false");
        let log = fs::File::create(self.folder.path().join("daemon.log"))?;
        up.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.daemon = Some(Process::new(up.spawn().context("cannot start `sealock up`")?));
        until("the daemon to listen", || {
            std::os::unix::net::UnixStream::connect(self.socket()).ok()
        })?;
        Ok(())
    }

    pub(super) fn stop_daemon(&mut self) {
        self.daemon = None;
    }

    pub(super) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.state().join("run/admin.sock")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// One of the programs that were built.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.path(name)
    }

    /// Starts `program` with so many variables.
    pub(super) fn command(
        &self,
        starter: Starter,
        (source, count): (Source, usize),
        program: &Path,
    ) -> Result<Command> {
        let mut command = match starter {
            Starter::Plain => return Ok(Command::new(program)),
            Starter::Run => {
                let mut run = crate::sealock(self.settings, "run");
                run.arg("--state").arg(self.state());
                run
            }
            Starter::Summon => Command::new(self.path("summon")),
            Starter::Peer => {
                Command::new(self.settings.summon.as_ref().context("there is no Summon here")?)
            }
        };
        let file = match (source, count) {
            (Source::Literal, _) => "literal",
            (_, 1) => "one",
            _ => "many",
        };
        command.arg("-f").arg(self.path(file));
        match source {
            Source::Provider(name) => drop(command.arg("-p").arg(self.program(name))),
            // Summon wants a provider and asks it, also for nothing; one that waits for a question is waited for.
            Source::Literal if starter != Starter::Run => {
                command.arg("-p").arg(self.program("legacy"));
            }
            Source::Literal | Source::Vault => {}
        }
        if starter == Starter::Run {
            command.arg("--");
        }
        command.arg(program);
        Ok(command)
    }

    /// That the program has the variables is what makes the times mean anything.
    pub(super) fn check(&self, starter: Starter, wanted: (Source, usize)) -> Result<()> {
        let env = sealock_testkit::clients::find("env").context("there is no env")?;
        let mut command = self.command(starter, wanted, &env)?;
        let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let right = |number: usize| {
            let (own, fixed) = (secret(number), "value".to_owned());
            let line = |value: &str| format!("V{number:05}={value}");
            text.lines().any(|found| found == line(&own) || found == line(&fixed))
        };
        if !output.status.success() || !(0..wanted.1).all(right) {
            bail!("{command:?}: {}{text}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }
}

/// The name of a secret.
pub(super) fn secret(number: usize) -> String {
    format!("bench/{number:05}")
}

/// Programs of a few kilobytes, of which starting takes least.
fn build(folder: &Path) -> Result<()> {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/provider.c");
    let programs: [(&str, &[&str]); 4] = [
        ("nothing", &["-nostdlib"]),
        ("legacy", &["-nostdlib", "-DLEGACY"]),
        ("legacy-libc", &["-DLIBC", "-DLEGACY"]),
        ("stream", &["-nostdlib", "-DSTREAM"]),
    ];
    for (name, options) in programs {
        let mut compile = Command::new("gcc");
        compile.args(["-Os", "-static", "-o"]).arg(folder.join(name)).args(options).arg(source);
        command(&mut compile).context("the providers are written in C: is gcc installed?")?;
    }
    Ok(())
}
