//! `cargo xtask docs`: the generated reference in `docs/reference`, and whether it is up to date.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::run;

const REFERENCE: &str = "docs/reference";

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    match arguments {
        [] => write(Path::new(REFERENCE)),
        [only] if only == "--check" => check(),
        _ => bail!("`cargo xtask docs` takes nothing but --check"),
    }
}

fn write(folder: &Path) -> Result<()> {
    let out = folder.to_str().context("the folder's name is not text")?;
    run::cargo(&["run", "--quiet", "--package", "sealock", "--", "reference", "--out", out])
}

fn check() -> Result<()> {
    let fresh = run::target_folder()?.join("reference");
    if fresh.exists() {
        fs::remove_dir_all(&fresh)?;
    }
    write(&fresh)?;
    let (committed, generated) = (pages(Path::new(REFERENCE))?, pages(&fresh)?);
    let stale: Vec<&String> = committed
        .keys()
        .chain(generated.keys())
        .filter(|name| committed.get(*name) != generated.get(*name))
        .collect();
    if !stale.is_empty() {
        bail!("stale in {REFERENCE}: {stale:?}; run `cargo xtask docs` and commit what it writes");
    }
    println!("docs: {} pages of {REFERENCE} are up to date", generated.len());
    Ok(())
}

/// Every file of a folder by its name. A folder that is not there has none.
fn pages(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    if !folder.is_dir() {
        return Ok(BTreeMap::new());
    }
    fs::read_dir(folder)?
        .map(|entry| {
            let entry = entry?;
            Ok((entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path())?))
        })
        .collect()
}
