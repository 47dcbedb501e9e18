//! The scene of a call: what arrives, what does not, and what a revocation does. And the two programs that it needs
//! inside its containers: an app, and a client.

use std::convert::Infallible;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use sealock_engine::ExecRequest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::scenes::{Teller, check};
use super::stage::Stage;
use crate::printer::{Failure, Printer};

/// How long a container may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks.
const AGAIN: Duration = Duration::from_millis(50);
/// How long a call may take.
const CALL: Duration = Duration::from_secs(5);
/// The longest answer of the demo's app.
const LONGEST: u64 = 64 * 1024;
const APP: &str = "127.0.0.1:8080";
const GATEKEEPER: &str = "127.0.0.1:8000";

/// Plays it.
pub(super) async fn play(
    stage: &mut Stage,
    teller: &mut Teller,
    printer: Printer,
) -> Result<(), Failure> {
    let suffix = std::process::id();
    let name = |what: &str| format!("{what}-{suffix}");
    let (app, orders, till) = (name("app"), name("orders"), name("till"));
    let rules = format!(
        "permit (principal == Sealock::Service::\"{till}\", action == Sealock::Action::\"Token::Issue\", resource == Sealock::Service::\"{orders}\");\n\
         permit (principal == Sealock::Service::\"{till}\", action == Sealock::Action::\"Http::Call\", resource == Sealock::Service::\"{orders}\")\nwhen {{ context.method == \"GET\" && context.path like \"/v1/*\" }};\n"
    );
    std::fs::write(stage.state().join("policy/demo-calls.cedar"), rules)
        .map_err(|error| Failure::refused("cannot write a rule").caused_by(&error))?;
    stage.output(&["policy", "reload"]).await?;
    let app_id = stage.start_beside(&app, None, &["demo-app"]).await?;
    let guard = ["gatekeeper", "--service", &orders, "--plain", "--listen", GATEKEEPER];
    let guard = [&guard[..], &["--upstream", "http://127.0.0.1:8080"]].concat();
    stage.start_beside(&orders, Some(&app_id), &guard).await?;
    let till_id = stage.start_beside(&till, Some(&app_id), &["demo-app", "--idle"]).await?;
    called(stage, &till_id, "", "/", 401).await?;
    teller.tell(&format!(
        "{orders} is the Gatekeeper before {app}, which listens on loopback; without a token: 401"
    ))?;

    let token = run(stage, &till_id, &["token", "--audience", &orders], "").await?;
    let seen = called(stage, &till_id, &token, "/v1/stock", 200).await?;
    let told = seen.lines().find_map(|line| line.strip_prefix("x-sealock-identity: "));
    let is_till = told.is_some_and(|told| told.ends_with(&format!("/service/{till}")));
    check(is_till, "the app was not told who calls")?;
    check(!seen.contains(&token), "the app has got the token")?;
    teller.tell(&format!(
        "{till} got a token by who it is, and calls GET /v1/stock: 200, and {app} is told who calls"
    ))?;

    let denied = called(stage, &till_id, &token, "/admin", 403).await?;
    let number = denied.split("\"reason\":\"").nth(1).and_then(|rest| rest.split('"').next());
    let number = number.ok_or_else(|| Failure::refused("a denial without a number"))?.to_owned();
    let why = explained(stage, &number).await?;
    let rule = why.split_once("permit (").map(|(_, rule)| format!("permit ({rule}"));
    let rule = rule.ok_or_else(|| Failure::refused("a denial that no rule would allow"))?;
    teller.tell(&format!(
        "GET /admin: 403; `sealock policy explain {number}` says what would allow it:"
    ))?;
    for line in rule.trim_end().lines() {
        printer.line(format!("      {}", line.trim_end()))?;
    }

    stage.output(&["token", "revoke", "--identity", &format!("service/{till}")]).await?;
    let began = Instant::now();
    called(stage, &till_id, &token, "/v1/stock", 401).await?;
    let took = began.elapsed().as_millis();
    teller.tell(&format!("{till}'s tokens were revoked: 401, seen after {took} ms"))
}

/// The answer to a call from inside a container, once it has this status.
async fn called(
    stage: &Stage,
    from: &str,
    token: &str,
    path: &str,
    status: u16,
) -> Result<String, Failure> {
    let began = Instant::now();
    loop {
        let seen = run(stage, from, &["demo-call", path], token).await;
        match seen {
            Ok(seen) if seen.starts_with(&format!("HTTP/1.1 {status} ")) => {
                return Ok(seen);
            }
            _ if began.elapsed() < PATIENCE => tokio::time::sleep(AGAIN).await,
            Ok(seen) => {
                let first = seen.lines().next().unwrap_or_default().to_owned();
                return Err(Failure::refused(format!("{path} was not answered by {status}"))
                    .with_causes([first]));
            }
            Err(failure) => return Err(failure),
        }
    }
}

/// The denial is told to the daemon in a moment.
async fn explained(stage: &Stage, number: &str) -> Result<String, Failure> {
    let began = Instant::now();
    loop {
        match stage.output(&["policy", "explain", number]).await {
            Ok(said) => return Ok(String::from_utf8_lossy(&said).into_owned()),
            Err(_) if began.elapsed() < PATIENCE => tokio::time::sleep(AGAIN).await,
            Err(failure) => return Err(failure),
        }
    }
}

/// The output of this program inside a container.
async fn run(
    stage: &Stage,
    container: &str,
    words: &[&str],
    input: &str,
) -> Result<String, Failure> {
    let argv = [&["/sealock"], words].concat().into_iter().map(str::to_owned).collect();
    let request = ExecRequest { argv, user: None, stdin: true };
    let ran = stage.engine.run(container, &request, input.as_bytes(), PATIENCE, 1 << 16).await;
    let ran = ran.map_err(|error| Failure::from_error(&error))?;
    if ran.code == 0 {
        return Ok(String::from_utf8_lossy(&ran.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&ran.stderr).trim().to_owned();
    Err(Failure::refused(format!("`sealock {}` failed in a container", words.join(" ")))
        .with_causes([said]))
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::fault("cannot start the runtime").caused_by(&error))
}

/// The demo's app: tells what it was sent. Idle, it only keeps its container.
pub(crate) fn app(idle: bool) -> Result<ExitCode, Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    runtime()?.block_on(async {
        let failed = |error: std::io::Error| Failure::refused("cannot serve").caused_by(&error);
        // The first process of a container has no default action for TERM.
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let serving = async {
            if idle {
                return std::future::pending::<Result<Infallible, std::io::Error>>().await;
            }
            let listener = TcpListener::bind(APP).await?;
            loop {
                let (stream, _) = listener.accept().await?;
                tokio::spawn(tokio::time::timeout(CALL, tell(stream)));
            }
        };
        tokio::select! {
            ended = serving => match ended.map_err(failed)? {},
            _ = terminate.recv() => Ok(ExitCode::SUCCESS),
        }
    })
}

/// One request's head, sent back.
async fn tell(mut stream: TcpStream) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && (head.len() as u64) < LONGEST {
        head.push(stream.read_u8().await?);
    }
    let answer =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", head.len());
    stream.write_all(answer.as_bytes()).await?;
    stream.write_all(&head.to_ascii_lowercase()).await?;
    stream.shutdown().await
}

/// The demo's client: one call through the Gatekeeper, with the token that stands on stdin, if one does.
pub(crate) fn call(path: &str, printer: Printer) -> Result<(), Failure> {
    use std::io::Read as _;
    let failed = |error: std::io::Error| Failure::refused("cannot call").caused_by(&error);
    let mut token = String::new();
    std::io::stdin().take(LONGEST).read_to_string(&mut token).map_err(failed)?;
    let authorization = match token.trim() {
        "" => String::new(),
        token => format!("Authorization: Bearer {token}\r\n"),
    };
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: orders\r\n{authorization}Connection: close\r\n\r\n");
    let answer = runtime()?.block_on(async {
        let calling = async {
            let mut stream = TcpStream::connect(GATEKEEPER).await?;
            stream.write_all(request.as_bytes()).await?;
            let mut answer = Vec::new();
            stream.take(LONGEST).read_to_end(&mut answer).await?;
            Ok(answer)
        };
        tokio::time::timeout(CALL, calling)
            .await
            .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
    });
    printer.data(&answer.map_err(failed)?)
}
