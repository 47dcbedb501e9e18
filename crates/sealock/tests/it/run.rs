//! `sealock run`: strict where Summon is lenient, and what Summon does not have.

mod docker;
mod faults;
mod files;
mod hostile;
mod kills;
mod locked;
mod mask;
mod options;
mod process;
mod providers;
mod residue;
mod strict;
mod terminal;
mod watch;

use std::path::Path;
use std::process::Command;

use crate::summon::stage::{Outcome, Running, Stage, outcome};
use crate::support::Home;

/// An installation with a vault, and a folder with providers.
pub(crate) struct World {
    pub(crate) home: Home,
    pub(crate) stage: Stage,
}

impl World {
    /// Nothing is made of the installation before it is used.
    pub(crate) fn new() -> Self {
        Self { home: Home::new(), stage: Stage::new() }
    }

    /// With these secrets in its vault.
    pub(crate) fn with(secrets: &[(&str, &str)]) -> Self {
        let world = Self { home: Home::initialised(), stage: Stage::new() };
        secrets.iter().for_each(|(name, value)| world.set(name, value));
        world
    }

    pub(crate) fn set(&self, name: &str, value: &str) {
        let mut command = self.home.command();
        command.args(["secret", "set", name, "--keep-newline"]);
        let said = Running::with_input(command, value).wait();
        assert_eq!(said.code, Some(0), "{}", said.err);
    }

    /// `sealock run` with these arguments.
    pub(crate) fn run(&self, arguments: &[&str]) -> Command {
        let mut command = self.stage.command(Path::new(env!("CARGO_BIN_EXE_sealock")));
        command.arg("--state").arg(self.home.state()).arg("run").args(arguments);
        command
    }

    /// The same with this file, and a shell's script for the program.
    pub(crate) fn sh(&self, flags: &[&str], yaml: &str, script: &str) -> Command {
        self.run(&[flags, &["--yaml", yaml, "--", "sh", "-c", script]].concat())
    }

    /// What comes of that.
    pub(crate) fn says(&self, flags: &[&str], yaml: &str, script: &str) -> Outcome {
        outcome(self.sh(flags, yaml, script))
    }

    /// What it prints, when all goes well.
    pub(crate) fn prints(&self, flags: &[&str], yaml: &str, script: &str) -> String {
        let said = self.says(flags, yaml, script);
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{flags:?} {yaml}");
        said.out
    }
}

/// One error, as people see it: on standard error, with nothing on standard output. Its text.
pub(crate) fn one_error(said: &Outcome) -> &str {
    let err = &said.err;
    assert!(err.starts_with("error: ") && err.matches("error: ").count() == 1, "{said:?}");
    assert!(!err.contains("panicked") && err.len() < 4000, "{said:?}");
    assert_eq!(said.out, "");
    err
}
