//! Event streams on which nothing happens, as monitors have them open for days: what they cost the gateway.
//!
//! A stand-in is the engine here: thousands of streams are hard on the real one, and what is measured is
//! the gateway.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

use super::scene::Scene;
use crate::Settings;
use crate::http::{Connection, Endpoint, request};
use crate::process::{Process, descriptors};
use crate::table::{Figure, Table};

const STREAMS: u64 = 10_000;
/// Bytes, for all of them.
const BUDGET: u64 = 200_000_000;
/// Handshakes at once.
const AT_ONCE: usize = 50;
/// Descriptors that a process has for other things.
const OTHERS: u64 = 200;

pub(super) async fn run(settings: &Settings, table: &mut Table) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("engine.sock");
    let wanted = if settings.quick { 200 } else { STREAMS };
    // The gateway has two for each stream.
    let count = wanted.min((descriptors()?.saturating_sub(OTHERS)) / 2);
    let _engine = Process::of_ourselves(&["--engine-at", &socket.display().to_string()])?;
    let scene = Scene::start(settings, &socket, "")?;
    let gateway = scene.gateway();
    let before = scene.resident()?;
    let mut streams = Vec::new();
    while (streams.len() as u64) < count {
        let more = AT_ONCE.min(usize::try_from(count)? - streams.len());
        let opening = (0..more).map(|_| stream(&gateway));
        for opened in futures_util::future::join_all(opening).await {
            streams.push(opened?);
        }
    }
    let resident = scene.resident()?;
    // They are all alive, and the gateway serves others meanwhile.
    let mut other = Connection::open(&gateway).await?;
    let ping = other.ask(&request("GET", "/_ping")).await?;
    if ping.status != 200 {
        bail!("with {count} streams open, a ping is answered {}", ping.status);
    }
    let megabytes = |bytes: u64| Figure::Megabytes(bytes as f64 / 1e6);
    let what =
        format!("memory with {count} idle event streams ({:.0} MB without)", before as f64 / 1e6);
    table.budget(what, megabytes(resident), megabytes(BUDGET * count / STREAMS));
    Ok(())
}

/// A stream whose head has come.
async fn stream(gateway: &Endpoint) -> Result<Connection> {
    let mut connection = Connection::open(gateway).await?;
    connection.send(&request("GET", "/events")).await?;
    let status = connection.status().await?;
    if status != 200 {
        bail!("a stream is answered {status}");
    }
    connection.rest();
    Ok(connection)
}

/// An engine that has no events, at this socket, until it is ended.
pub(crate) fn stand_in(socket: &Path) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = UnixListener::bind(socket).context("cannot listen")?;
        writeln!(std::io::stdout(), "listening")?;
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(async move {
                // A client that hangs up is none of its concern.
                let _ = answer(stream).await;
            });
        }
    })
}

async fn answer(stream: UnixStream) -> Result<()> {
    let mut stream = BufReader::with_capacity(1024, stream);
    loop {
        let (mut target, mut line) = (String::new(), String::new());
        while line != "\r\n" {
            line.clear();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            if target.is_empty() {
                target.clone_from(&line);
            }
        }
        let events = target.contains("/events");
        let answer: &[u8] = if events {
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        } else {
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
        };
        stream.write_all(answer).await?;
    }
}
