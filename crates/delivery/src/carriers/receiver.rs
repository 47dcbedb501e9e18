//! Gets `sealock-receiver` to run inside a container.
//!
//! One that the image has is taken. Else ours is put there, in the first place where it can be seen and
//! run: the root folder, or (where that is read-only) `/dev`, which is a file system of the container's
//! own and lets programs run, or a writable volume. It is put there under a name that nobody else has,
//! and removes itself when it is started, before a byte of content comes: so whatever happens later
//! leaves nothing behind. One that could not be started is removed, or at least emptied, from outside.
//!
//! The command line is fixed and says nothing: the program's path and `stdio`. Offer and secret travel
//! on its standard input.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use parking_lot::Mutex;
use sealock_engine::{
    Container, Engine, EngineError, ExecHandle, ExecInput, ExecOutput, ExecRequest, Output,
};
use sealock_receiver_image::RECEIVER;
use sealock_transfer::offer::PLACED_PREFIX;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};

use super::{Carrier, CarrierError};

/// Where images have it.
const INSTALLED: [&str; 3] =
    ["/usr/local/bin/sealock-receiver", "/usr/bin/sealock-receiver", "/sealock-receiver"];
/// How long putting it there may take.
const PLACING: Duration = Duration::from_secs(60);
/// How much of what a program says on its standard error is kept.
const SAID_LIMIT: usize = 4096;

/// A receiver that was started; whether it really runs shows with its first message.
pub(crate) struct Receiver {
    pub(crate) input: ExecInput,
    pub(crate) output: Said,
    pub(crate) handle: ExecHandle,
}

/// A way to a receiver in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Way {
    /// The image has it.
    Installed(&'static str),
    /// By the engine's own copying, which sees images and volumes.
    Copied(String),
    /// By a shell of the container, which also sees what is mounted at run time.
    Written(String),
}

/// The ways that can be tried, one after the other.
pub(crate) struct Ways<'a> {
    engine: &'a Engine,
    container: &'a Container,
    carrier: Carrier,
    left: VecDeque<Way>,
    failures: Vec<String>,
}

impl<'a> Ways<'a> {
    /// Looks what there is.
    pub(crate) async fn find(
        engine: &'a Engine,
        container: &'a Container,
        carrier: Carrier,
    ) -> Result<Self, CarrierError> {
        let mut left = VecDeque::new();
        let found = INSTALLED.map(|path| async move { engine.exists(&container.id, path).await });
        for (path, found) in INSTALLED.into_iter().zip(futures_util::future::join_all(found).await)
        {
            if found? {
                left.push_back(Way::Installed(path));
            }
        }
        if container.read_only {
            left.push_back(Way::Written("/dev".to_owned()));
            let volumes = container.mounts.iter().filter(|mount| mount.writable);
            let volumes = volumes.filter(|mount| mount.kind == "volume");
            left.extend(volumes.map(|mount| Way::Copied(mount.destination.clone())));
        } else {
            left.push_back(Way::Copied("/".to_owned()));
            left.push_back(Way::Written("/dev".to_owned()));
        }
        Ok(Self { engine, container, carrier, left, failures: Vec::new() })
    }

    /// Starts a receiver by the next way. Without one left it is [`CarrierError::Unsupported`].
    pub(crate) async fn next(&mut self) -> Result<Attempt, CarrierError> {
        while let Some(way) = self.left.pop_front() {
            match self.start(&way).await {
                Ok(attempt) => return Ok(attempt),
                Err(Obstacle::Here(reason)) => self.failed(reason),
                Err(Obstacle::Everywhere(error)) => return Err(error.into()),
            }
        }
        Err(self.exhausted())
    }

    /// Notes why the way that was tried last has not worked.
    pub(crate) fn failed(&mut self, reason: String) {
        self.failures.push(reason);
    }

    fn exhausted(&self) -> CarrierError {
        let tried = self.failures.join("; ");
        let reason = format!("no receiver can be run in the container ({tried})");
        CarrierError::Unsupported { carrier: self.carrier, reason }
    }

    async fn start(&self, way: &Way) -> Result<Attempt, Obstacle> {
        let (path, placed) = match way {
            Way::Installed(path) => ((*path).to_owned(), None),
            Way::Copied(folder) | Way::Written(folder) => {
                let name = format!("{PLACED_PREFIX}{}", random_name()?);
                let path = format!("{}/{name}", folder.trim_end_matches('/'));
                let placed = Placed::new(self.engine, &self.container.id, folder, &name);
                match way {
                    Way::Copied(_) => placed.copy(RECEIVER, 0o755).await?,
                    _ => placed.write_by_shell().await?,
                }
                (path, Some(placed))
            }
        };
        let argv = vec![path, "stdio".to_owned()];
        let request = ExecRequest { argv, user: Some("0:0".to_owned()), stdin: true };
        match self.engine.exec(&self.container.id, &request).await {
            Ok(exec) => {
                let output = Said::new(exec.output);
                let receiver = Receiver { input: exec.input, output, handle: exec.handle };
                Ok(Attempt { receiver, placed })
            }
            Err(error) => {
                if let Some(mut placed) = placed {
                    placed.remove().await;
                }
                Err(obstacle(error))
            }
        }
    }
}

/// Why a way does not work.
enum Obstacle {
    /// Another may.
    Here(String),
    /// None will.
    Everywhere(EngineError),
}

/// A container that is gone, or an engine that is away, is so for every way.
fn obstacle(error: EngineError) -> Obstacle {
    match error {
        EngineError::Refused { .. }
        | EngineError::ReadOnly { .. }
        | EngineError::NoSuchPath { .. }
        | EngineError::NoSuchUser { .. } => Obstacle::Here(error.to_string()),
        other => Obstacle::Everywhere(other),
    }
}

fn random_name() -> Result<String, Obstacle> {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| Obstacle::Here("the system has no randomness".to_owned()))?;
    Ok(data_encoding::HEXLOWER.encode(&bytes))
}

/// A receiver that was started by one way.
pub(crate) struct Attempt {
    pub(crate) receiver: Receiver,
    pub(crate) placed: Option<Placed>,
}

impl Attempt {
    /// It has spoken, so it was started, and by then its file was gone.
    pub(crate) fn spoke(&mut self) {
        if let Some(placed) = &mut self.placed {
            placed.there = false;
        }
    }

    /// Ends it, and says why nothing came of it. Removes what was put there.
    pub(crate) async fn give_up(mut self) -> String {
        // It waits for more; the end of its input lets it go.
        let _ = self.receiver.input.shutdown().await;
        let code = self.receiver.handle.exit_code().await.ok();
        let said = self.receiver.output.error_text();
        if let Some(placed) = &mut self.placed {
            placed.remove().await;
        }
        match code {
            Some(code) if said.is_empty() => format!("it ends with code {code}"),
            Some(code) => format!("it ends with code {code}: {said}"),
            None => "it does not speak".to_owned(),
        }
    }
}

/// A receiver's file that was put into a container. Dropped while it may still be there, it is removed
/// in the background.
#[derive(Debug)]
pub(crate) struct Placed {
    engine: Engine,
    container: String,
    folder: String,
    name: String,
    there: bool,
}

impl Drop for Placed {
    fn drop(&mut self) {
        if let (true, Ok(runtime)) = (self.there, tokio::runtime::Handle::try_current()) {
            let mut twin = Self::new(&self.engine, &self.container, &self.folder, &self.name);
            runtime.spawn(async move { twin.remove().await });
        }
    }
}

impl Placed {
    fn new(engine: &Engine, container: &str, folder: &str, name: &str) -> Self {
        Self {
            engine: engine.clone(),
            container: container.to_owned(),
            folder: folder.to_owned(),
            name: name.to_owned(),
            there: true,
        }
    }

    fn path(&self) -> String {
        format!("{}/{}", self.folder.trim_end_matches('/'), self.name)
    }

    async fn copy(&self, content: &[u8], mode: u32) -> Result<(), Obstacle> {
        let archive = one_file(&self.name, content, mode)
            .map_err(|error| Obstacle::Here(error.to_string()))?;
        let put = self.engine.put_archive(&self.container, &self.folder, archive, PLACING);
        put.await.map_err(obstacle)
    }

    async fn write_by_shell(&self) -> Result<(), Obstacle> {
        let script = "umask 077 && cat >\"$0\" && chmod 700 \"$0\"";
        let words = ["/bin/sh", "-c", script, &self.path()];
        let argv = words.iter().map(|word| (*word).to_owned()).collect();
        let request = ExecRequest { argv, user: Some("0:0".to_owned()), stdin: true };
        let ran = self.engine.run(&self.container, &request, RECEIVER, PLACING, SAID_LIMIT);
        match ran.await {
            Ok(ran) if ran.code == 0 => Ok(()),
            Ok(ran) => {
                let said = [ran.stderr.as_slice(), ran.stdout.as_slice()].concat();
                Err(Obstacle::Here(format!("{}: {}", self.folder, plain(&said))))
            }
            Err(error) => Err(obstacle(error)),
        }
    }

    /// Removes the file from outside, for a receiver that was never started. Where the container has
    /// no program for that, it is at least emptied.
    pub(crate) async fn remove(&mut self) {
        let argv = ["/bin/rm", "-f", &self.path()].map(str::to_owned).to_vec();
        let request = ExecRequest { argv, user: Some("0:0".to_owned()), stdin: false };
        let ran = self.engine.run(&self.container, &request, &[], PLACING, SAID_LIMIT).await;
        if !ran.is_ok_and(|ran| ran.code == 0) && self.copy(&[], 0o600).await.is_err() {
            tracing::warn!(
                container = self.container,
                path = self.path(),
                "the receiver could not be removed"
            );
        }
        self.there = false;
    }
}

fn one_file(name: &str, content: &[u8], mode: u32) -> io::Result<Bytes> {
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    let mut archive = tar::Builder::new(Vec::with_capacity(content.len() + 4096));
    archive.append_data(&mut header, name, content)?;
    Ok(archive.into_inner()?.into())
}

/// What a program in the container says, for a person: printable, one line, short.
fn plain(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said);
    let text = text.trim().replace(['\n', '\r'], " ");
    text.chars().filter(|one| !one.is_control()).take(300).collect()
}

/// The standard output of a program as a stream of bytes; the beginning of its standard error is kept.
pub(crate) struct Said {
    output: ExecOutput,
    rest: Bytes,
    error: Arc<Mutex<Vec<u8>>>,
}

impl Said {
    fn new(output: ExecOutput) -> Self {
        Self { output, rest: Bytes::new(), error: Arc::default() }
    }

    /// What it has said on its standard error, and where it said nothing there, on its output (the
    /// engine's own word that it cannot be started comes there).
    fn error_text(&self) -> String {
        plain(&self.error.lock())
    }

    fn keep(&self, bytes: &[u8]) {
        let mut error = self.error.lock();
        let room = SAID_LIMIT.saturating_sub(error.len()).min(bytes.len());
        error.extend_from_slice(bytes.get(..room).unwrap_or_default());
    }
}

impl AsyncRead for Said {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match self.output.as_mut().poll_next(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(io::Error::other(error))),
                Poll::Ready(Some(Ok(Output::Stderr(bytes)))) => self.keep(&bytes),
                Poll::Ready(Some(Ok(Output::Stdout(bytes)))) => {
                    // What is no message is the engine's word that nothing was started.
                    if !bytes.first().is_some_and(|byte| b"HRX".contains(byte)) {
                        self.keep(&bytes);
                    }
                    self.rest = bytes;
                }
            }
        }
        let count = self.rest.len().min(buffer.remaining());
        buffer.put_slice(self.rest.get(..count).unwrap_or_default());
        self.rest.advance(count);
        Poll::Ready(Ok(()))
    }
}
