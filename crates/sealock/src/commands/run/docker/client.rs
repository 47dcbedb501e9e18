//! Docker's client while it runs a container, and which container that is.
//!
//! The client writes the container's id to a file (`--cidfile`) before it starts it. The file is in a folder of our own,
//! unless the user has named one. A client that is ended while the engine makes the container writes nothing, and the
//! container stays behind; so it has a label by which it is found.

use std::ffi::{OsStr, OsString};
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::process::Pid;

use super::super::by_signal;
use super::as_files::command;
use crate::printer::Failure;

/// Docker's exit code for what is wrong with docker, and not with the program.
pub(super) const FAILED: u8 = 125;
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);
/// How long the engine may take to finish what it was asked for by a client that is gone.
const FINISHING: Duration = Duration::from_secs(2);
/// Between two looks for what it has made.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// The label of the container.
const LABEL: &str = "sealock-run";
/// How many names are tried for the folder.
const ATTEMPTS: u32 = 100;

/// A client that runs a container.
pub(super) struct Client {
    client: Vec<OsString>,
    child: Child,
    detached: bool,
    ended: Option<ExitStatus>,
    id_file: Option<IdFile>,
    id: Option<String>,
    label: String,
}

/// What has come of the start.
pub(super) enum Started {
    /// There is a container with this id.
    Container(String),
    /// Docker has ended, with this code.
    Ended(u8),
}

impl Client {
    /// Starts `docker run` with these words behind.
    pub(super) fn start(
        client: &[OsString],
        words: &[OsString],
        cidfile: Option<&OsStr>,
        detached: bool,
    ) -> Result<Self, Failure> {
        let id_file = IdFile::new(cidfile)?;
        let mut file = OsString::from("--cidfile=");
        file.push(&id_file.path);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let label = format!("{LABEL}={}-{}", std::process::id(), now.as_nanos());
        let own = [OsString::from("run"), file, format!("--label={label}").into()];
        let words: Vec<OsString> = own.into_iter().chain(words.iter().cloned()).collect();
        let mut command = command(client, &words)?;
        if detached {
            command.stdin(Stdio::null()).stdout(Stdio::piped());
        }
        let child = command
            .spawn()
            .map_err(|error| Failure::refused("cannot start docker").caused_by(&error))?;
        let client = client.to_vec();
        Ok(Self { client, child, detached, ended: None, id_file: Some(id_file), id: None, label })
    }

    /// The client's process.
    pub(super) fn pid(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
    }

    /// Waits until there is a container. A detached client has ended by then.
    pub(super) async fn started(&mut self, within: Duration) -> Result<Started, Failure> {
        let began = Instant::now();
        loop {
            let ended = self.has_ended();
            match self.id() {
                Some(id) if !ended && !self.detached => return Ok(Started::Container(id)),
                Some(id) if ended && self.detached && self.succeeded() => {
                    return Ok(Started::Container(id));
                }
                _ if ended => return self.wait().map(Started::Ended),
                _ if began.elapsed() > within => {
                    return Err(Failure::refused("docker did not start the container in time")
                        .hint("--timeout gives it longer"));
                }
                _ => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// The container's id, once it is known. Then the file has done its work.
    fn id(&mut self) -> Option<String> {
        if self.id.is_none() {
            self.id = self.id_file.as_ref().and_then(IdFile::id);
            if self.id.is_some() {
                self.id_file = None;
            }
        }
        self.id.clone()
    }

    /// Whether the client has ended.
    pub(super) fn has_ended(&mut self) -> bool {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
        }
        self.ended.is_some()
    }

    fn succeeded(&self) -> bool {
        self.ended.is_some_and(|status| status.success())
    }

    /// Waits for the client's end; its exit code.
    pub(super) fn wait(&mut self) -> Result<u8, Failure> {
        let ended = match self.ended {
            Some(ended) => ended,
            None => self
                .child
                .wait()
                .map_err(|error| Failure::refused("cannot wait for docker").caused_by(&error))?,
        };
        self.ended = Some(ended);
        Ok(match ended.code() {
            Some(code) => u8::try_from(code & 0xff).unwrap_or(u8::MAX),
            None => ended.signal().map_or(u8::MAX, by_signal),
        })
    }

    /// What a detached client has printed: the container's id.
    pub(super) fn printed(&mut self) -> String {
        use std::io::Read as _;
        let mut text = String::new();
        if let Some(output) = &mut self.child.stdout {
            let _ = output.take(4096).read_to_string(&mut text);
        }
        text.trim().to_owned()
    }

    /// Removes a container that did not get what it was to have, if there is one. Where the client was interrupted, the
    /// engine may still be making it.
    pub(super) fn remove(&mut self, interrupted: bool) {
        let began = Instant::now();
        let id = loop {
            match self.id().or_else(|| self.labelled()) {
                Some(id) => break id,
                None if interrupted && began.elapsed() < FINISHING => {
                    std::thread::sleep(LOOK_AGAIN)
                }
                None => {
                    // It has not come that far, and is not to go on.
                    if !self.has_ended() {
                        let _ = self.child.kill();
                    }
                    return;
                }
            }
        };
        // With --rm docker may have been faster.
        let _ = self.quiet(&["rm", "--force", "--volumes", &id]);
    }

    /// The container that has our label.
    fn labelled(&self) -> Option<String> {
        let filter = format!("label={}", self.label);
        let list = ["ps", "--all", "--quiet", "--no-trunc", "--filter", &filter];
        let text = String::from_utf8(self.quiet(&list)?).ok()?;
        text.lines().next().map(str::to_owned)
    }

    /// What another command of the client prints.
    fn quiet(&self, words: &[&str]) -> Option<Vec<u8>> {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        let mut command = command(&self.client, &words).ok()?;
        let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
        output.status.success().then_some(output.stdout)
    }
}

/// Where the client writes the id of the container.
struct IdFile {
    path: PathBuf,
    folder: Option<PathBuf>,
}

impl IdFile {
    fn new(given: Option<&OsStr>) -> Result<Self, Failure> {
        if let Some(path) = given {
            // Docker refuses one that is there already; an old id in it would be another container's.
            if Path::new(path).exists() {
                let path = path.to_string_lossy();
                return Err(Failure::refused(format!("the file {path} exists already"))
                    .hint("--cidfile names a file that is to be made")
                    .code(FAILED));
            }
            return Ok(Self { path: path.into(), folder: None });
        }
        let base = std::env::temp_dir();
        let process = std::process::id();
        let mut attempt = 0;
        loop {
            let folder = base.join(format!("sealock-run-{process}-{attempt}"));
            match DirBuilder::new().mode(0o700).create(&folder) {
                Ok(()) => return Ok(Self { path: folder.join("id"), folder: Some(folder) }),
                Err(error)
                    if error.kind() == std::io::ErrorKind::AlreadyExists && attempt < ATTEMPTS =>
                {
                    attempt += 1;
                }
                Err(error) => {
                    return Err(Failure::refused(format!(
                        "cannot make a folder in {}",
                        base.display()
                    ))
                    .caused_by(&error));
                }
            }
        }
    }

    /// The whole id, once it is there.
    fn id(&self) -> Option<String> {
        let text = std::fs::read_to_string(&self.path).ok()?;
        let whole = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        whole.then_some(text)
    }
}

impl Drop for IdFile {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            let _ = std::fs::remove_file(&self.path);
            let _ = std::fs::remove_dir(folder);
        }
    }
}
