//! The vault's scene: a program in a container starts with its secret, and it is to be seen nowhere else.

use std::time::{Duration, Instant};

use sealock_engine::ExecRequest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::scenes::{Teller, check};
use super::stage::Stage;
use crate::printer::{Failure, Printer};

/// The secret, and the variable that is to hold it.
const SECRET: &str = "demo/db/password";
const VARIABLE: &str = "DB_PASSWORD";
/// How long a container may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks.
const AGAIN: Duration = Duration::from_millis(100);

/// Plays it.
pub(super) async fn play(stage: &mut Stage, teller: &mut Teller) -> Result<(), Failure> {
    let suffix = std::process::id();
    let (ledger, thief) = (format!("ledger-{suffix}"), format!("thief-{suffix}"));
    stage.output(&["secret", "set", SECRET, "--generate"]).await?;
    let value = stage.output(&["secret", "get", SECRET]).await?;
    let rule = format!(
        "permit (principal == Sealock::Service::\"{ledger}\", action == Sealock::Action::\"Secret::Read\", resource in Sealock::Secret::\"demo/db\");"
    );
    std::fs::write(stage.state().join("policy/demo-secrets.cedar"), rule)
        .map_err(|error| Failure::refused("cannot write a rule").caused_by(&error))?;
    stage.output(&["policy", "reload"]).await?;
    teller.tell(&format!(
        "a password was made in the vault, as {SECRET}, which nobody has seen; {ledger} may read it"
    ))?;

    let id = stage.start_with_secret(&ledger, &format!("{VARIABLE}: !var {SECRET}")).await?;
    let seen = first_process(stage, &id).await?;
    check(seen == digest(&value), "the program has another value than the vault")?;
    teller.tell(&format!(
        "{ledger} runs `sealock run` as its entrypoint: the program is process 1 and has its password"
    ))?;

    let shown = inspect(stage, &id).await?;
    let value = String::from_utf8_lossy(&value).into_owned();
    check(!shown.contains(&value), "the engine shows the password")?;
    teller.tell("`docker inspect` shows no password, and nothing was planted in the image")?;

    let id = stage.start_with_secret(&thief, &format!("{VARIABLE}: !var {SECRET}")).await?;
    ended(stage, &id).await?;
    let said = String::from_utf8_lossy(&stage.output(&["audit", "tail"]).await?).into_owned();
    let denied = said.lines().find(|line| line.contains("denied") && line.contains(&thief));
    check(denied.is_some(), "the other container was not refused")?;
    teller.tell(&format!("{thief} asked for the same password and was refused: no rule names it"))
}

/// What the container's first process has in its environment, as a digest, once it is the program.
async fn first_process(stage: &Stage, id: &str) -> Result<String, Failure> {
    let request = ExecRequest {
        argv: ["/sealock", "demo-look", VARIABLE].map(str::to_owned).to_vec(),
        user: None,
        stdin: false,
    };
    let began = Instant::now();
    loop {
        let ran = stage.engine.run(id, &request, &[], PATIENCE, 1 << 16).await;
        match ran {
            Ok(ran) if ran.code == 0 => {
                return Ok(String::from_utf8_lossy(&ran.stdout).trim().to_owned());
            }
            _ if began.elapsed() < PATIENCE => tokio::time::sleep(AGAIN).await,
            Ok(ran) => {
                let said = String::from_utf8_lossy(&ran.stderr).trim().to_owned();
                return Err(Failure::refused("the program has no password").with_causes([said]));
            }
            Err(error) => return Err(Failure::from_error(&error)),
        }
    }
}

async fn ended(stage: &Stage, id: &str) -> Result<(), Failure> {
    let began = Instant::now();
    loop {
        let found = stage.engine.inspect(id).await;
        if !found.map_err(|error| Failure::from_error(&error))?.running {
            return Ok(());
        }
        check(began.elapsed() < PATIENCE, "a container without a password goes on")?;
        tokio::time::sleep(AGAIN).await;
    }
}

/// All that the engine says of a container. An engine elsewhere is not asked.
async fn inspect(stage: &Stage, id: &str) -> Result<String, Failure> {
    let Some(socket) = stage.socket() else { return Ok(String::new()) };
    let failed =
        |error: &std::io::Error| Failure::refused("cannot ask the engine").caused_by(error);
    let mut stream = UnixStream::connect(socket).await.map_err(|error| failed(&error))?;
    let request =
        format!("GET /containers/{id}/json HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(|error| failed(&error))?;
    let mut answer = Vec::new();
    let mut bounded = stream.take(1 << 20);
    bounded.read_to_end(&mut answer).await.map_err(|error| failed(&error))?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    check(answer.starts_with("HTTP/1.1 200"), "the engine does not show the container")?;
    Ok(answer)
}

fn digest(value: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, value);
    data_encoding::HEXLOWER.encode(digest.as_ref())
}

/// Inside the container: the digest of a variable of the first process, which has to be the program by now.
pub(crate) fn look(variable: &str, printer: Printer) -> Result<(), Failure> {
    let read = |name: &str| {
        std::fs::read(format!("/proc/1/{name}")).map_err(|error| {
            Failure::refused(format!("cannot read /proc/1/{name}")).caused_by(&error)
        })
    };
    let is_program = read("cmdline")?.split(|byte| *byte == 0).any(|word| word == b"demo-server");
    let is_waiting = read("cmdline")?.split(|byte| *byte == 0).any(|word| word == b"run");
    if !is_program || is_waiting {
        return Err(Failure::refused("process 1 is not the program yet"));
    }
    let environ = read("environ")?;
    let value = environ
        .split(|byte| *byte == 0)
        .find_map(|entry| entry.strip_prefix(variable.as_bytes())?.strip_prefix(b"="));
    match value {
        Some(value) => printer.line(digest(value)),
        None => Err(Failure::refused(format!("process 1 has no {variable}"))),
    }
}
