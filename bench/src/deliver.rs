//! Files into a running container, against `docker cp` and against the script that people write.

use std::fs::{self, File};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sealock_testkit::docker::{Container, Image};

use crate::Settings;
use crate::measure::{command, in_turn};
use crate::noise::{mebibytes, write_noise};
use crate::table::{Figure, Table};

/// What our commands and the peers' work on.
struct Scene<'a> {
    settings: &'a Settings,
    folder: tempfile::TempDir,
    // Before the image: fields are dropped in this order, and an image in use would stay.
    container: Container,
    image: Image,
}

pub(crate) fn run(settings: &Settings, table: &mut Table) -> Result<()> {
    let image = image()?;
    // On the default bridge, where the script's two containers meet.
    let container = image.start(&[]);
    let scene = Scene { settings, folder: tempfile::tempdir()?, container, image };
    // Without a daemon, `send` does it all itself: lock, policy, audit.
    command(crate::sealock(settings, "init").arg("--state").arg(scene.state()))?;
    small_file(&scene, table)?;
    large_file(&scene, table)?;
    many_files(&scene, table)
}

fn small_file(scene: &Scene<'_>, table: &mut Table) -> Result<()> {
    let source = scene.folder.path().join("small");
    write_noise(&source, 10 << 10)?;
    let rounds = if scene.settings.quick { 2 } else { 15 };
    let [direct, cp, script] = in_turn(
        rounds,
        [
            &mut || scene.send(&source, "/tmp/direct", "direct"),
            &mut || scene.docker_cp(&source, "/tmp/cp"),
            &mut || scene.script(&source, "/tmp/script"),
        ],
    )?;
    scene.same(&source, &["/tmp/direct", "/tmp/cp", "/tmp/script"])?;
    let (direct, what) = (Figure::time(direct), "10 KB, direct");
    table.budget(what, direct, Figure::Milliseconds(20.0));
    table.against(what, direct, ("docker cp", Figure::time(cp)), 1.0);
    table.against(what, direct, ("openssl + HTTP container", Figure::time(script)), 1.0);
    Ok(())
}

fn large_file(scene: &Scene<'_>, table: &mut Table) -> Result<()> {
    let size = if scene.settings.quick { 16 << 20 } else { 1 << 30 };
    let source = scene.folder.path().join("large");
    write_noise(&source, size)?;
    let rounds = if scene.settings.quick { 1 } else { 3 };
    let [direct, exec, cp] = in_turn(
        rounds,
        [
            &mut || scene.alone(&source, |to| scene.send(&source, to, "direct")),
            &mut || scene.alone(&source, |to| scene.send(&source, to, "exec")),
            &mut || scene.alone(&source, |to| scene.docker_cp(&source, to)),
        ],
    )?;
    for (carrier, taken, least) in [("direct", direct, 2.0), ("exec", exec, 1.0)] {
        let peer = ("docker cp", Figure::throughput(size, cp));
        let what = format!("{}, {carrier}", mebibytes(size));
        table.against(what, Figure::throughput(size, taken), peer, least);
    }
    Ok(fs::remove_file(&source)?)
}

fn many_files(scene: &Scene<'_>, table: &mut Table) -> Result<()> {
    let count = if scene.settings.quick { 200 } else { 10_000 };
    let source = scene.folder.path().join("many");
    for number in 0..count {
        let folder = source.join(format!("{:02}", number % 100));
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(format!("{number}")), format!("{number:01000}"))?;
    }
    let changed = source.join("00/0");
    let rounds = if scene.settings.quick { 1 } else { 5 };
    let [direct, cp] = in_turn(
        rounds,
        [
            &mut || {
                change(&changed)?;
                command(&mut scene.send_command(&source, "/tmp/many-direct", "direct"))
            },
            &mut || {
                change(&changed)?;
                scene.docker_cp(&source, "/tmp/many-cp")
            },
        ],
    )?;
    let figure = |taken: Duration| Figure::rate(count, taken);
    let what = format!("{count} files of 1 KB, direct");
    table.against(what, figure(direct), ("docker cp", figure(cp)), 1.0);
    Ok(())
}

impl Scene<'_> {
    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn send_command(&self, source: &Path, destination: &str, carrier: &str) -> Command {
        let mut command = crate::sealock(self.settings, "send");
        command
            .arg("--state")
            .arg(self.state())
            .args(["--carrier", carrier])
            .arg(source)
            .arg(format!("{}:{destination}", self.container.id()));
        command
    }

    /// A file that is there already with the same content would not be written again.
    fn send(&self, source: &Path, destination: &str, carrier: &str) -> Result<Duration> {
        change(source)?;
        command(&mut self.send_command(source, destination, carrier))
    }

    fn docker_cp(&self, source: &Path, destination: &str) -> Result<Duration> {
        let target = format!("{}:{destination}", self.container.id());
        command(Command::new("docker").arg("cp").arg(source).arg(target))
    }

    fn script(&self, source: &Path, destination: &str) -> Result<Duration> {
        let script = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/peers/openssl-http.sh"));
        let mut shell = Command::new(script);
        shell.args([self.image.name()]).arg(source).args([self.container.id(), destination]);
        command(&mut shell)
    }

    /// Sends a large file to a new place on a quiet disk, and removes it again: else each one pays for
    /// writing out what the one before has left in memory, and for memory that the machine has to find.
    fn alone(
        &self,
        source: &Path,
        send: impl FnOnce(&str) -> Result<Duration>,
    ) -> Result<Duration> {
        let destination = "/tmp/large";
        command(&mut Command::new("sync"))?;
        let taken = send(destination)?;
        self.same(source, &[destination])?;
        let _ = self.container.output(&["rm", destination]);
        Ok(taken)
    }

    /// The last round's source is what all have delivered, but for the bytes that were changed since.
    fn same(&self, source: &Path, destinations: &[&str]) -> Result<()> {
        let size = fs::metadata(source)?.len().to_string();
        for destination in destinations {
            let found = self.container.output(&["stat", "-c", "%s", destination]);
            if found.trim() != size {
                bail!("{destination} has {} bytes, not {size}", found.trim());
            }
        }
        Ok(())
    }
}

/// Puts a new number at the beginning of a file.
fn change(path: &Path) -> Result<()> {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let mut file = File::options().write(true).open(path)?;
    file.rewind()?;
    Ok(file.write_all(format!("{:016}", NEXT.fetch_add(1, Ordering::Relaxed)).as_bytes())?)
}

/// Busybox, and openssl with its libraries for the script's sake.
fn image() -> Result<Image> {
    let openssl = sealock_testkit::clients::find("openssl").context("openssl is not installed")?;
    let output = Command::new("ldd").arg(&openssl).output().context("cannot run ldd")?;
    let mut files: Vec<(String, Vec<u8>)> = vec![("/usr/bin/openssl".into(), fs::read(&openssl)?)];
    for word in String::from_utf8(output.stdout)?.split_whitespace() {
        if word.starts_with('/') && !files.iter().any(|(path, _)| path == word) {
            files.push((word.to_owned(), fs::read(word)?));
        }
    }
    let files: Vec<(&str, &[u8], u32)> =
        files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice(), 0o755)).collect();
    Ok(Image::with_files(&files))
}
