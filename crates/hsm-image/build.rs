//! Builds `sealock-hsm-helper` and tells the crate where it is.

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Names a program that was built elsewhere.
const PREBUILT: &str = "SEALOCK_HSM_HELPER_IMAGE";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-env-changed={PREBUILT}");
    let program = match env::var_os(PREBUILT) {
        Some(path) => PathBuf::from(path).canonicalize()?,
        None => build()?,
    };
    println!("cargo:rerun-if-changed={}", program.display());
    println!("cargo:rustc-env=SEALOCK_HSM_HELPER_IMAGE_FILE={}", program.display());
    Ok(())
}

fn build() -> Result<PathBuf, Box<dyn Error>> {
    let own = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or("no manifest folder")?);
    let workspace = own.ancestors().nth(2).ok_or("not inside the workspace")?;
    for part in [
        "Cargo.toml",
        "Cargo.lock",
        "crates/hsm-wire/Cargo.toml",
        "crates/hsm-wire/src",
        "crates/hsm-helper/Cargo.toml",
        "crates/hsm-helper/src",
    ] {
        println!("cargo:rerun-if-changed={}", workspace.join(part).display());
    }
    let target = env::var("TARGET")?;
    let folder = shared_folder()?;
    let status = cargo(workspace, &folder, &target)?.status()?;
    if !status.success() {
        return Err(format!("building sealock-hsm-helper failed ({status})").into());
    }
    Ok(folder.join(&target).join("hsm-helper").join("sealock-hsm-helper"))
}

/// `hsm-image` in the outermost target folder. Being a target folder of its own, it has a lock of its own: the cargo
/// that waits for this script holds another one.
fn shared_folder() -> Result<PathBuf, Box<dyn Error>> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("no output folder")?);
    let target = out.ancestors().filter(|folder| folder.join("CACHEDIR.TAG").is_file()).last();
    Ok(target.unwrap_or(&out).join("hsm-image"))
}

fn cargo(workspace: &Path, folder: &Path, target: &str) -> Result<Command, Box<dyn Error>> {
    let mut cargo = Command::new(env::var_os("CARGO").ok_or("no cargo")?);
    cargo
        .args(["build", "--quiet", "--locked", "--package", "sealock-hsm-helper"])
        .args(["--profile", "hsm-helper", "--target", target])
        .arg("--manifest-path")
        .arg(workspace.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(folder)
        .current_dir(workspace);
    // What the outer cargo was told (by clippy, coverage, fuzzing) is not meant for this program.
    for (name, _) in env::vars_os() {
        let foreign = name.to_str().is_some_and(|name| {
            let told = ["CARGO_ENCODED_RUSTFLAGS", "RUSTFLAGS", "RUSTC_WRAPPER"];
            told.contains(&name)
                || name == "RUSTC_WORKSPACE_WRAPPER"
                || name == "CLIPPY_ARGS"
                || name.starts_with("CARGO_PROFILE_")
                || name.starts_with("CARGO_TARGET_")
                || name.starts_with("CARGO_CFG_")
                || name.starts_with("CARGO_FEATURE_")
                || name.starts_with("DEP_")
        });
        if foreign {
            cargo.env_remove(name);
        }
    }
    // The one program of ours that is dynamic: it loads modules, and a static one cannot.
    cargo.env("RUSTFLAGS", "-C target-feature=-crt-static");
    Ok(cargo)
}
