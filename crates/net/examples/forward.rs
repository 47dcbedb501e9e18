//! Forwards plain HTTP from a loopback port to a unix socket, for profiling:
//!
//! ```text
//! cargo run --release -p sealock-net --example forward -- 8080 /var/run/docker.sock
//! ```
//!
//! Or opens quiet streams through such a forwarder, and says what each of them takes there. The forwarder
//! and the server behind it are processes of their own, so that only the forwarder is measured:
//!
//! ```text
//! cargo run --release -p sealock-net --example forward -- --idle 9000
//! ```

#![expect(clippy::print_stdout, reason = "it reports to whoever runs it")]

use std::env::{args, current_exe, temp_dir};
use std::error::Error;
use std::fs::{read_to_string, remove_file};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use http_body_util::{Either, Empty};
use hyper::{Response, StatusCode};
use sealock_net::proxy::{
    Address, Answer, RequestBody, Terms, Upstream, UpstreamBody, UpstreamSettings, serve,
};
use sealock_net::{Limits, accept_loop};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream, UnixListener};

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--idle", count] => idle(count.parse()?).await,
        ["--quiet", socket] => quiet(socket).await,
        [port, socket] => {
            let listener = TcpListener::bind(("127.0.0.1", port.parse()?)).await?;
            println!("{} {socket}", listener.local_addr()?);
            forward(listener, Address::Unix(socket.into())).await;
            Ok(())
        }
        _ => Err("usage: forward PORT SOCKET | forward --idle COUNT".into()),
    }
}

async fn forward(listener: TcpListener, address: Address) {
    let upstream = Upstream::new(address, UpstreamSettings::default());
    let limits = Limits { connections: 20_000, ..Limits::default() };
    let terms = Terms { limits, ..Terms::default() };
    let shutdown = terms.shutdown.clone();
    accept_loop("forward", listener, limits, shutdown, move |stream: TcpStream, _: SocketAddr| {
        let (upstream, terms) = (upstream.clone(), terms.clone());
        async move {
            serve(stream, terms, |request| {
                let upstream = upstream.clone();
                async move { answer(&upstream, request.map(RequestBody::from)).await }
            })
            .await;
        }
    })
    .await;
}

async fn answer(
    upstream: &Upstream,
    request: hyper::Request<RequestBody>,
) -> Answer<Either<UpstreamBody, Empty<Bytes>>> {
    match upstream.forward(request).await {
        Ok(response) => Answer::Response(response.map(Either::Left)),
        Err(error) => {
            println!("{error}");
            let mut response = Response::new(Either::Right(Empty::new()));
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            Answer::Response(response)
        }
    }
}

/// A server whose streams say one thing and then nothing.
async fn quiet(socket: &str) -> Result<(), Failure> {
    let listener = UnixListener::bind(socket)?;
    println!("ready");
    loop {
        let (mut stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\n{}\n\r\n";
            let mut buffer = [0; 1024];
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(head).await;
            // Until the forwarder hangs up.
            while matches!(stream.read(&mut buffer).await, Ok(1..)) {}
        });
    }
}

/// Ends with its owner.
struct Role(Child);

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Role {
    /// Starts this program in another role, and gives the first word that it says.
    async fn start(arguments: &[&str]) -> Result<(Self, String), Failure> {
        let mut command = Command::new(current_exe()?);
        let mut role = Self(command.args(arguments).stdout(Stdio::piped()).spawn()?);
        let output = role.0.stdout.take().ok_or("no output")?;
        let output = tokio::process::ChildStdout::from_std(output)?;
        let line = BufReader::new(output).lines().next_line().await?.ok_or("it ended")?;
        let word = line.split(' ').next().unwrap_or_default().to_owned();
        Ok((role, word))
    }

    /// Resident memory in KiB.
    fn memory(&self) -> Result<u64, Failure> {
        let status = read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next()).ok_or("no VmRSS")?;
        Ok(number.parse()?)
    }
}

async fn idle(count: u64) -> Result<(), Failure> {
    let socket = temp_dir().join(format!("forward-{}.sock", std::process::id()));
    let path = socket.to_str().ok_or("the path is not text")?;
    let (_server, _) = Role::start(&["--quiet", path]).await?;
    let (forwarder, address) = Role::start(&["0", path]).await?;
    let before = forwarder.memory()?;
    let mut streams = Vec::new();
    for _ in 0..count {
        let mut stream = BufReader::with_capacity(512, TcpStream::connect(&address).await?);
        stream.write_all(b"GET /events HTTP/1.1\r\nhost: docker\r\n\r\n").await?;
        // The first event has come, so the stream is all there.
        let mut line = String::new();
        while line != "{}\n" {
            line.clear();
            if stream.read_line(&mut line).await? == 0 {
                return Err("a stream ended".into());
            }
        }
        streams.push(stream);
    }
    let after = forwarder.memory()?;
    println!(
        "{count} quiet streams: {} MiB in all, {:.1} KiB each",
        after / 1024,
        (after - before) as f64 / count as f64
    );
    remove_file(&socket)?;
    Ok(())
}
