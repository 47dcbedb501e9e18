//! For build scripts: a program of ours, made by a cargo of its own with a profile of its own, whose bytes another
//! program of ours carries.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use sealock_nested_build::Program;
//!
//! Program {
//!     package: "sealock-receiver",
//!     profile: "receiver",
//!     folder: "receiver-image",
//!     prebuilt: "SEALOCK_RECEIVER_IMAGE",
//!     sources: &["crates/transfer", "crates/receiver"],
//!     rust_flags: "-C target-feature=+crt-static",
//!     c_flags: None,
//! }
//! .provide()
//! # }
//! ```

#![expect(clippy::print_stdout, reason = "that is how a build script speaks to cargo")]

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What to build, and how.
#[derive(Debug, Clone, Copy)]
pub struct Program<'a> {
    /// The package, whose one program has its name.
    pub package: &'a str,
    /// The workspace's profile for it.
    pub profile: &'a str,
    /// The folder below the outermost target folder, which all profiles of the workspace share. Being a target folder
    /// of its own, it has a lock of its own: the cargo that waits for the script holds another one.
    pub folder: &'a str,
    /// The variable that names a program that was built elsewhere. The script's crate finds the program's path in
    /// the same name with `_FILE` after it.
    pub prebuilt: &'a str,
    /// The folders of the crates that it is made of.
    pub sources: &'a [&'a str],
    /// For rustc.
    pub rust_flags: &'a str,
    /// For the C compiler, where it is to have any.
    pub c_flags: Option<&'a str>,
}

impl Program<'_> {
    /// Builds it, unless it was named, and tells cargo where it is and what would have it built anew.
    pub fn provide(&self) -> Result<(), Box<dyn Error>> {
        let prebuilt = self.prebuilt;
        println!("cargo:rerun-if-env-changed={prebuilt}");
        let program = match env::var_os(prebuilt) {
            Some(path) => PathBuf::from(path).canonicalize()?,
            None => self.build()?,
        };
        println!("cargo:rerun-if-changed={}", program.display());
        println!("cargo:rustc-env={prebuilt}_FILE={}", program.display());
        Ok(())
    }

    fn build(&self) -> Result<PathBuf, Box<dyn Error>> {
        let own = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or("no manifest folder")?);
        let workspace = own.ancestors().nth(2).ok_or("not inside the workspace")?;
        for file in ["Cargo.toml", "Cargo.lock"] {
            println!("cargo:rerun-if-changed={}", workspace.join(file).display());
        }
        for folder in self.sources.iter().map(|folder| workspace.join(folder)) {
            println!("cargo:rerun-if-changed={}", folder.join("Cargo.toml").display());
            println!("cargo:rerun-if-changed={}", folder.join("src").display());
        }
        let target = env::var("TARGET")?;
        let folder = self.shared_folder()?;
        let status = self.cargo(workspace, &folder, &target)?.status()?;
        if !status.success() {
            return Err(format!("building {} failed ({status})", self.package).into());
        }
        Ok(folder.join(&target).join(self.profile).join(self.package))
    }

    fn shared_folder(&self) -> Result<PathBuf, Box<dyn Error>> {
        let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("no output folder")?);
        let target = out.ancestors().filter(|folder| folder.join("CACHEDIR.TAG").is_file()).last();
        Ok(target.unwrap_or(&out).join(self.folder))
    }

    fn cargo(
        &self,
        workspace: &Path,
        folder: &Path,
        target: &str,
    ) -> Result<Command, Box<dyn Error>> {
        let mut cargo = Command::new(env::var_os("CARGO").ok_or("no cargo")?);
        cargo
            .args(["build", "--quiet", "--locked", "--package", self.package])
            .args(["--profile", self.profile, "--target", target])
            .arg("--manifest-path")
            .arg(workspace.join("Cargo.toml"))
            .arg("--target-dir")
            .arg(folder)
            .current_dir(workspace);
        let told = |name: &std::ffi::OsStr| name.to_str().is_some_and(is_for_the_outer_cargo);
        for (name, _) in env::vars_os().filter(|(name, _)| told(name)) {
            cargo.env_remove(name);
        }
        cargo.env("RUSTFLAGS", self.rust_flags);
        if let Some(flags) = self.c_flags {
            cargo.env(format!("CFLAGS_{}", target.replace('-', "_")), flags);
        }
        Ok(cargo)
    }
}

/// What the outer cargo was told (by clippy, coverage, fuzzing) is not meant for this program.
fn is_for_the_outer_cargo(variable: &str) -> bool {
    let names = [
        "CARGO_ENCODED_RUSTFLAGS",
        "RUSTFLAGS",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "CLIPPY_ARGS",
    ];
    let families = ["CARGO_PROFILE_", "CARGO_TARGET_", "CARGO_CFG_", "CARGO_FEATURE_", "DEP_"];
    names.contains(&variable) || families.iter().any(|family| variable.starts_with(family))
}

#[cfg(test)]
mod tests {
    use super::is_for_the_outer_cargo;

    #[test]
    fn flags_of_the_outer_build_are_kept_out_and_the_rest_is_not() {
        for variable in ["RUSTFLAGS", "CLIPPY_ARGS", "CARGO_FEATURE_STD", "CARGO_PROFILE_DEV_LTO"] {
            assert!(is_for_the_outer_cargo(variable), "{variable}");
        }
        for variable in ["PATH", "CARGO_HOME", "CC", "AWS_LC_SYS_NO_JITTER_ENTROPY"] {
            assert!(!is_for_the_outer_cargo(variable), "{variable}");
        }
    }
}
