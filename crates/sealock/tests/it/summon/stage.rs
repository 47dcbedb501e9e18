//! A folder with providers in it, and the binary run there as `summon`.

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use sealock_testkit::wait::until;

use crate::support::{PATIENCE, signal, text};

/// Knows the legacy mode only, as most do. White space around values, a complaint and an exit code where there is none.
const LEGACY: &str = "#!/bin/sh
[ $# -eq 1 ] || { echo 'usage: legacy PATH' >&2; exit 1; }
case $1 in
  --version) printf '2.0.1\\n\\n' ;;
  none/*) echo \"no such secret $1\" >&2; exit 3 ;;
  empty) ;;
  *) printf ' \\t%s \\n\\n' \"value of $1\" ;;
esac
";

/// Knows the stream mode only. Some paths have values of their own.
const STREAM: &str = "
import base64, sys
if len(sys.argv) > 1:
    sys.exit('asked by an argument')
known = {
    'empty': b'', 'lines': b'one\\ntwo\\n', 'blanks': b'  a b ', 'bytes': bytes(range(1, 256)), 'nul': b'a\\0b',
    'shell': b'$(touch ran)`touch ran`', 'control': bytes(range(1, 32)) + b'\\x7f', 'latin': b'caf\\xe9',
}
for line in sys.stdin:
    path = line.rstrip('\\n')
    value = known.get(path, ('value of ' + path).encode())
    print(base64.b64encode(value).decode(), flush=True)
";

/// Everything that one command needs; removed at the end.
pub(crate) struct Stage(tempfile::TempDir);

impl Stage {
    pub(crate) fn new() -> Self {
        let stage = Self(tempfile::tempdir().unwrap());
        for folder in ["bin", "home", "providers", "work"] {
            fs::create_dir(stage.path(folder)).unwrap();
        }
        symlink(program(), stage.path("bin/summon")).unwrap();
        stage.provider("legacy", LEGACY);
        stage.python_provider("stream", STREAM);
        stage
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// In the folder in which commands run.
    pub(crate) fn work(&self, name: &str) -> PathBuf {
        self.path("work").join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.work(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.work(name)).unwrap_or_default()
    }

    /// A program that can be run.
    pub(crate) fn program(&self, name: &str, content: &str) -> String {
        let path = self.write(name, content);
        executable(Path::new(&path));
        path
    }

    /// A program in Python.
    pub(crate) fn python(&self, name: &str, content: &str) -> String {
        self.program(name, &in_python(content))
    }

    pub(crate) fn provider(&self, name: &str, content: &str) -> String {
        let path = self.path("providers").join(name);
        fs::write(&path, content).unwrap();
        executable(&path);
        path.display().to_string()
    }

    pub(crate) fn python_provider(&self, name: &str, content: &str) -> String {
        self.provider(name, &in_python(content))
    }

    /// As a shell starts it that finds the link; with `legacy` for provider.
    pub(crate) fn summon(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(&self.path("bin/summon"));
        command.env("SUMMON_PROVIDER", "legacy").args(arguments);
        command
    }

    /// Any program with the surroundings of all.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.path("home"));
        command.env("SUMMON_PROVIDER_PATH", self.path("providers"));
        command.current_dir(self.path("work")).stdin(Stdio::null());
        command
    }

    /// What is in the folder that commands run in, at any depth.
    pub(crate) fn listing(&self) -> Vec<String> {
        let mut all = below(&self.path("work"));
        all.sort();
        all
    }
}

fn below(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let each = |path: PathBuf| match path.is_dir() && !path.is_symlink() {
        true => below(&path),
        false => vec![path.display().to_string()],
    };
    entries.flat_map(each).collect()
}

/// The program that rows are held against.
pub(crate) fn program() -> PathBuf {
    let other = std::env::var_os("SEALOCK_TEST_SUMMON");
    other.unwrap_or_else(|| env!("CARGO_BIN_EXE_sealock").into()).into()
}

/// Whether that is ours.
pub(crate) fn is_ours() -> bool {
    std::env::var_os("SEALOCK_TEST_SUMMON").is_none()
}

fn executable(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// The system's own, where there is one: managers of versions put slow ones before it.
pub(crate) fn in_python(content: &str) -> String {
    let system = Path::new("/usr/bin/python3");
    let first = if system.exists() { "/usr/bin/python3" } else { "/usr/bin/env python3" };
    format!("#!{first}\n{content}")
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs it to its end.
pub(crate) fn outcome(command: Command) -> Outcome {
    Running::start(command).wait()
}

/// A command that runs, with its output in files: who inherits them keeps nobody waiting.
pub(crate) struct Running {
    child: Child,
    out: File,
    err: File,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let (out, err) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        command.stdout(out.try_clone().unwrap()).stderr(err.try_clone().unwrap());
        Self { child: command.spawn().unwrap(), out, err }
    }

    /// The same with something to read.
    pub(crate) fn with_input(mut command: Command, input: &str) -> Self {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(input.as_bytes()).unwrap();
        file.rewind().unwrap();
        command.stdin(file);
        Self::start(command)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(self.id(), name);
    }

    /// What it has printed so far.
    pub(crate) fn printed(&self) -> String {
        content(&self.out)
    }

    pub(crate) fn complained(&self) -> String {
        content(&self.err)
    }

    /// Waits until it has printed this.
    pub(crate) fn prints(&mut self, wanted: &str) {
        until(&format!("{wanted:?}"), PATIENCE, || {
            let printed = self.printed();
            if printed.contains(wanted) {
                return Some(());
            }
            let ended = self.child.try_wait().unwrap();
            // It may have printed it in between.
            let ended = ended.filter(|_| !self.printed().contains(wanted));
            assert!(ended.is_none(), "{ended:?}: {printed}{}", self.complained());
            None
        });
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub(crate) fn wait(mut self) -> Outcome {
        let status = until("the command to end", PATIENCE, || self.child.try_wait().unwrap());
        let (out, err) = (self.printed(), self.complained());
        Outcome { code: status.code(), signal: status.signal(), out, err }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Only a failed test leaves it running.
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Through a descriptor of its own: the writers' offset must not move.
fn content(file: &File) -> String {
    use std::os::fd::AsRawFd;
    let mut bytes = Vec::new();
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    File::open(path).unwrap().read_to_end(&mut bytes).unwrap();
    text(&bytes)
}

/// Whether this was said, with `…` for anything.
pub(crate) fn fits(pattern: &str, said: &str) -> bool {
    let mut pieces = pattern.split('…');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = said.strip_prefix(first) else { return false };
    let pieces: Vec<&str> = pieces.collect();
    let Some((last, inner)) = pieces.split_last() else { return rest.is_empty() };
    for piece in inner {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}

#[test]
fn a_pattern_fits() {
    for (pattern, said, good) in [
        ("a", "a", true),
        ("a", "ab", false),
        ("a…", "ab", true),
        ("…b", "ab", true),
        ("a…c…e", "abcde", true),
        ("a…c…e", "abde", false),
        ("a…a", "a", false),
    ] {
        assert_eq!(fits(pattern, said), good, "{pattern} {said}");
    }
}
