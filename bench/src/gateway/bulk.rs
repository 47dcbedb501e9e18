//! Large bodies both ways: `docker export` and `docker load`, as the API does them.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use sealock_testkit::docker::{Container, Image, docker};

use super::scene::{Nginx, Scene};
use crate::Settings;
use crate::http::{Answer, Connection, Endpoint, request};
use crate::measure::median;
use crate::noise::{mebibytes, write_noise};
use crate::table::{Figure, Table};

/// What docker's client sends at once.
const CHUNK: usize = 32 * 1024;

pub(super) async fn run(
    settings: &Settings,
    table: &mut Table,
    scene: &Scene,
    nginx: &Nginx,
) -> Result<()> {
    let size = if settings.quick { 16 << 20 } else { 1 << 30 };
    let rounds = if settings.quick { 1 } else { 3 };
    let image = Image::busybox();
    let container = image.start(&[]);
    let noise = scene.folder().join("noise");
    write_noise(&noise, size)?;
    docker_cp(&noise, &container);
    let target = format!("/containers/{}/export", container.id());
    let peers = [scene.gateway(), nginx.copied.clone(), nginx.tuned.clone()];
    let [ours, copied, tuned] =
        in_turn(&peers, rounds, async |peer| export(peer, &target, size).await).await?;
    let what = format!("`docker export` of {}", mebibytes(size));
    let figure = |taken: Duration| Figure::throughput(size, taken);
    table.against(&what, figure(ours), ("nginx, as copied", figure(copied)), 1.0);
    table.against(&what, figure(ours), ("nginx, tuned", figure(tuned)), 1.0);

    // The image is there already: what is measured is the way of its bytes, which the engine unpacks all the same.
    let size = if settings.quick { 16 << 20 } else { 256 << 20 };
    write_noise(&noise, size)?;
    docker_cp(&noise, &container);
    let committed = Committed::of(&container);
    let archive = save(&peers, &committed.0).await?;
    let [ours, copied, tuned] =
        in_turn(&peers, rounds, async |peer| load(peer, &archive).await).await?;
    let size = archive.len() as u64;
    let what = format!("`docker load` of {}", mebibytes(size));
    let figure = |taken: Duration| Figure::throughput(size, taken);
    table.against(&what, figure(ours), ("nginx, as copied", figure(copied)), 1.0);
    table.against(&what, figure(ours), ("nginx, tuned", figure(tuned)), 1.0);
    Ok(())
}

fn docker_cp(file: &std::path::Path, container: &Container) {
    let target = format!("{}:/tmp/noise", container.id());
    let _ = docker(&["cp", &file.display().to_string(), &target]);
}

/// An image of a container, removed when dropped.
struct Committed(String);

impl Committed {
    fn of(container: &Container) -> Self {
        let label = format!("LABEL {}={}", sealock_testkit::LABEL, sealock_testkit::run_id());
        let name = format!("{}:latest", sealock_testkit::unique_name());
        let _ = docker(&["commit", "--change", &label, container.id(), &name]);
        Self(name)
    }
}

impl Drop for Committed {
    fn drop(&mut self) {
        let _ = docker(&["image", "rm", "--force", &self.0]);
    }
}

/// Medians of `rounds` after one that is not counted.
async fn in_turn(
    peers: &[Endpoint; 3],
    rounds: usize,
    piece: impl AsyncFn(&Endpoint) -> Result<Duration>,
) -> Result<[Duration; 3]> {
    let mut times = [const { Vec::new() }; 3];
    for round in 0..=rounds {
        for (peer, times) in peers.iter().zip(&mut times) {
            let taken = piece(peer).await?;
            if round > 0 {
                times.push(taken);
            }
        }
    }
    Ok(times.map(median))
}

fn succeeded(answer: &Answer) -> Result<()> {
    let text = String::from_utf8_lossy(&answer.body);
    if answer.status != 200 {
        bail!("answered {}: {text}", answer.status);
    }
    Ok(())
}

async fn export(peer: &Endpoint, target: &str, least: u64) -> Result<Duration> {
    let mut connection = Connection::open(peer).await?;
    let started = Instant::now();
    let answer = connection.ask(&request("GET", target)).await?;
    let taken = started.elapsed();
    succeeded(&answer)?;
    if answer.length < least {
        bail!("an export of {} bytes", answer.length);
    }
    Ok(taken)
}

async fn save(peers: &[Endpoint], image: &str) -> Result<Vec<u8>> {
    let peer = peers.first().context("no peers")?;
    let mut connection = Connection::open(peer).await?;
    connection.keep_all();
    let answer = connection.ask(&request("GET", &format!("/images/{image}/get"))).await?;
    succeeded(&answer)?;
    Ok(answer.body)
}

async fn load(peer: &Endpoint, archive: &[u8]) -> Result<Duration> {
    let mut connection = Connection::open(peer).await?;
    let started = Instant::now();
    let head = "POST /images/load?quiet=1 HTTP/1.1\r\nHost: docker\r\n\
                Content-Type: application/x-tar\r\nTransfer-Encoding: chunked\r\n\r\n";
    connection.send(head.as_bytes()).await?;
    let mut piece = Vec::with_capacity(CHUNK + 16);
    for chunk in archive.chunks(CHUNK) {
        piece.clear();
        piece.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        piece.extend_from_slice(chunk);
        piece.extend_from_slice(b"\r\n");
        connection.send(&piece).await?;
    }
    connection.send(b"0\r\n\r\n").await?;
    let answer = connection.answer().await?;
    let taken = started.elapsed();
    succeeded(&answer)?;
    if !String::from_utf8_lossy(&answer.body).contains("Loaded image") {
        bail!("the engine said {}", String::from_utf8_lossy(&answer.body));
    }
    Ok(taken)
}
