//! Cold start: from the start of `sealock up` on an existing state to its first answer.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::measure::in_turn;
use crate::table::{Figure, Table};
use crate::{Settings, sealock};

/// Longer is not a cold start but a hang.
const DEADLINE: Duration = Duration::from_secs(60);
/// Between two tries to connect; small against the budget.
const PAUSE: Duration = Duration::from_millis(1);

pub(crate) fn run(settings: &Settings, table: &mut Table) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let rounds = if settings.quick { 1 } else { 5 };
    // The round that is not counted makes the state.
    let [taken] = in_turn(rounds, [&mut || once(settings, folder.path())])?;
    table.budget("cold start of `up`", Figure::time(taken), Figure::Milliseconds(300.0));
    Ok(())
}

fn once(settings: &Settings, state: &Path) -> Result<Duration> {
    let mut command = sealock(settings, "up");
    command.arg("--state").arg(state).args(["--api", "off", "--gateway", "off"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let started = Instant::now();
    let mut daemon = Daemon(command.spawn().context("cannot start `sealock up`")?);
    let answered = first_answer(&mut daemon.0, &state.join("run/admin.sock"), started)?;
    daemon.stop()?;
    Ok(answered)
}

fn first_answer(daemon: &mut Child, socket: &Path, started: Instant) -> Result<Duration> {
    loop {
        match UnixStream::connect(socket) {
            Ok(stream) => return ask(stream).map(|()| started.elapsed()),
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {}
            Err(error) => return Err(error).context("cannot connect to the daemon"),
        }
        if let Some(status) = daemon.try_wait()? {
            bail!("`sealock up` ended: {status}");
        }
        if started.elapsed() > DEADLINE {
            bail!("no answer within {DEADLINE:?}");
        }
        thread::sleep(PAUSE);
    }
}

/// What `sealock status` asks.
fn ask(mut stream: UnixStream) -> Result<()> {
    let body = r#"{"command":"status"}"#;
    let head = "POST /v1/call HTTP/1.1\r\nHost: sealock\r\nContent-Type: application/json";
    let length = body.len();
    write!(stream, "{head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if !answer.starts_with("HTTP/1.1 200") {
        bail!("the daemon answered {answer:?}");
    }
    Ok(())
}

/// A daemon that does not outlive the bench, whatever happens.
struct Daemon(Child);

impl Daemon {
    fn stop(&mut self) -> Result<()> {
        let pid = self.0.id().to_string();
        Command::new("kill").arg(&pid).status().context("cannot run kill")?;
        self.0.wait().context("cannot wait for the daemon")?;
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It has ended already unless something failed, and then that is what counts.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
