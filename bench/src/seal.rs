//! `seal` and `open` against `age`, 1 GiB from memory to memory.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::measure::{command, in_turn};
use crate::noise::{mebibytes, write_noise};
use crate::table::{Figure, Table};
use crate::{Settings, sealock};

pub(crate) fn run(settings: &Settings, table: &mut Table) -> Result<()> {
    // Memory, so that a disk does not hide the difference.
    let folder = tempfile::tempdir_in("/dev/shm").context("there is no /dev/shm")?;
    let at = |name: &str| folder.path().join(name);
    let (plain, key, public) = (at("plain"), at("key"), at("key.pub"));
    let size: u64 = if settings.quick { 16 << 20 } else { 1 << 30 };
    write_noise(&plain, size)?;
    make_key(&key, &public)?;
    let rounds = if settings.quick { 1 } else { 5 };

    let (ours, theirs) = (at("ours.age"), at("theirs.age"));
    let sealing = in_turn(
        rounds,
        [
            &mut || {
                anew(&ours)?;
                command(
                    sealock(settings, "seal")
                        .arg("-R")
                        .arg(&public)
                        .arg("-o")
                        .arg(&ours)
                        .arg(&plain),
                )
            },
            &mut || {
                anew(&theirs)?;
                command(age().arg("-R").arg(&public).arg("-o").arg(&theirs).arg(&plain))
            },
        ],
    )?;
    let (ours_open, theirs_open) = (at("ours"), at("theirs"));
    let opening = in_turn(
        rounds,
        [
            &mut || {
                // Each opens what the other has sealed.
                anew(&ours_open)?;
                command(
                    sealock(settings, "open")
                        .arg("-i")
                        .arg(&key)
                        .arg("-o")
                        .arg(&ours_open)
                        .arg(&theirs),
                )
            },
            &mut || {
                anew(&theirs_open)?;
                command(age().arg("-d").arg("-i").arg(&key).arg("-o").arg(&theirs_open).arg(&ours))
            },
        ],
    )?;
    if fs::read(&ours_open)? != fs::read(&plain)? || fs::read(&theirs_open)? != fs::read(&plain)? {
        bail!("what came out is not what went in");
    }
    for (what, [ours, theirs]) in [("seal", sealing), ("open", opening)] {
        let [ours, theirs] = [ours, theirs].map(|taken| Figure::throughput(size, taken));
        table.against(format!("{what} {}", mebibytes(size)), ours, ("age", theirs), 1.0);
    }
    Ok(())
}

/// Gives the memory of the last round's output back: else whoever writes a new file beside the old one pays
/// for memory that the machine has to find, and whoever overwrites it does not.
fn anew(output: &Path) -> Result<()> {
    match fs::remove_file(output) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

fn age() -> Command {
    Command::new("age")
}

fn make_key(key: &Path, public: &Path) -> Result<()> {
    let output = Command::new("age-keygen").output().context("cannot run age-keygen")?;
    let text = String::from_utf8(output.stdout)?;
    let line = text.lines().find_map(|line| line.strip_prefix("# public key: "));
    fs::write(public, line.context("age-keygen names no public key")?)?;
    Ok(fs::write(key, text)?)
}
