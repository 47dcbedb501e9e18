//! Cargo's helpers at pinned versions, kept in the cache folder, one folder for each version.

use std::path::PathBuf;

use anyhow::Result;

use crate::run;

/// A tool from crates.io.
pub(crate) struct Tool {
    /// Package and program.
    pub(crate) name: &'static str,
    /// The one version that we use.
    pub(crate) version: &'static str,
}

/// Licences, bans, sources, advisories.
pub(crate) const DENY: Tool = Tool { name: "cargo-deny", version: "0.20.2" };
/// Coverage-guided fuzzing.
pub(crate) const FUZZ: Tool = Tool { name: "cargo-fuzz", version: "0.13.2" };
/// The test runner.
pub(crate) const NEXTEST: Tool = Tool { name: "cargo-nextest", version: "0.9.143" };

impl Tool {
    /// The tool at its pinned version, installed when it is not there.
    pub(crate) fn ensure(&self) -> Result<PathBuf> {
        let root = run::cache()?.join("tools").join(format!("{}-{}", self.name, self.version));
        let program = root.join("bin").join(self.name);
        if program.is_file() {
            return Ok(program);
        }
        let build = root.join("build");
        let mut command = run::cargo_command();
        // A debug build: these tools wait for others most of their time, and it compiles in half of
        // the time. A target folder of its own, because the run's may have other flags.
        command
            .args(["install", self.name, "--version", self.version, "--locked", "--debug"])
            .arg("--root")
            .arg(&root)
            .arg("--target-dir")
            .arg(&build)
            .env_remove("RUSTFLAGS");
        run::to_end(&mut command)?;
        std::fs::remove_dir_all(&build)?;
        Ok(program)
    }
}
