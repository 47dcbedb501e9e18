//! Sealed transfers into real containers: by exec, by url, and offers with their tickets.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails")]

mod exec;
mod offer;
mod url;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sealock_core::{SecretBytes, SystemClock};
use sealock_delivery::carriers::sealed::SealedError;
use sealock_delivery::carriers::{Carrier, CarrierChoice, CarrierError, Progress, Silent};
use sealock_delivery::send::{Receipt, SendError, SendRequest, send};
use sealock_delivery::sources::Source;
use sealock_engine::{Engine, EngineUrl};
use sealock_testkit::clients::skip_without_engine;
use sealock_testkit::docker::{Container, docker, try_docker};
use sealock_testkit::unique_name;

fn skip() -> bool {
    skip_without_engine()
}

async fn engine() -> Engine {
    Engine::connect(&EngineUrl::standard()).await.unwrap()
}

fn text(content: &str) -> Source {
    Source::Stream(Box::new(std::io::Cursor::new(content.to_owned())))
}

fn content(name: &str, bytes: &[u8]) -> Source {
    Source::Content { name: name.into(), mode: 0o640, content: SecretBytes::new(bytes.to_vec()) }
}

fn request(to: &str, destination: &str, carrier: Carrier, sources: Vec<Source>) -> SendRequest {
    SendRequest {
        sources,
        container: to.to_owned(),
        destination: destination.to_owned(),
        carrier: CarrierChoice::Only(carrier),
        owner: None,
        mode: None,
        memory_only: false,
        after: None,
    }
}

async fn sent(request: SendRequest) -> Result<Receipt, SendError> {
    sent_watched(request, &Silent).await
}

async fn sent_watched(request: SendRequest, progress: &dyn Progress) -> Result<Receipt, SendError> {
    send(&engine().await, &SystemClock, request, progress).await
}

/// The error of the sealed session inside of a failed send.
fn sealed(outcome: Result<Receipt, SendError>) -> SealedError {
    match outcome {
        Err(SendError::Carrier { source: CarrierError::Sealed(error), .. }) => *error,
        other => panic!("{other:?}"),
    }
}

/// The names at the places where a receiver may be put, hidden ones included.
fn leftovers(container: &Container) -> String {
    container.output(&["sh", "-c", "ls -a / /dev | grep sealock-receiver || true"])
}

/// A file of this size that takes no space and is quick to make.
fn sparse(folder: &Path, megabytes: u64) -> PathBuf {
    let path = folder.join("large");
    fs::File::create(&path).unwrap().set_len(megabytes << 20).unwrap();
    path
}

/// An image with one static program and nothing else: no shell, no folders.
struct Bare(String);

impl Bare {
    fn new() -> Self {
        let mut header = tar::Header::new_gnu();
        let program = fs::read("/bin/busybox").unwrap();
        header.set_size(program.len() as u64);
        header.set_mode(0o755);
        let mut archive = tar::Builder::new(Vec::new());
        archive.append_data(&mut header, "sleep", program.as_slice()).unwrap();
        let name = format!("{}:latest", unique_name());
        let mut child = Command::new("docker")
            .args(["import", "-", &name])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&archive.into_inner().unwrap()).unwrap();
        assert!(child.wait().unwrap().success());
        Self(name)
    }

    /// Starts it; gives the container's id, which the caller removes.
    fn start(&self, options: &[&str]) -> String {
        let mut arguments = vec!["run", "--detach"];
        arguments.extend(options);
        arguments.extend([self.0.as_str(), "/sleep", "100000"]);
        docker(&arguments)
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = try_docker(&["image", "rm", "--force", &self.0]);
    }
}

/// Removes a container that has no guard of its own.
struct Removed(String);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = try_docker(&["rm", "--force", &self.0]);
    }
}
