//! Every operation of the engine's API through the gateway, before an engine that only listens: strangers are
//! denied each of them and the administrator is not.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};

use sealock_core::policy::Action;
use sealock_docker::route;
use sealock_testkit::wait::until;

use crate::support::{Daemon, Home, PATIENCE, text};

/// An engine that knows nothing and notes what it is asked: `GET /containers/web/json` is answered 404, and
/// everything else is done.
struct Listener {
    socket: PathBuf,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Listener {
    fn new(home: &Home) -> Self {
        let socket = home.path("engine.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let heard = Arc::<Mutex<Vec<String>>>::default();
        let notes = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (Ok(stream), notes) = (stream, Arc::clone(&notes)) else { return };
                std::thread::spawn(move || Self::answer(stream, &notes));
            }
        });
        Self { socket, heard }
    }

    fn answer(stream: UnixStream, notes: &Mutex<Vec<String>>) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut writer = stream;
        loop {
            let (mut head, mut length, mut chunked) = (String::new(), 0, false);
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 {
                    return;
                }
                let lower = line.to_ascii_lowercase();
                if let Some(value) = lower.strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                chunked |= lower.starts_with("transfer-encoding:");
                if line == "\r\n" {
                    break;
                }
                if head.is_empty() {
                    head = line;
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            // The tests send no body in chunks but an empty one.
            if chunked {
                let mut line = String::new();
                while line != "0\r\n" {
                    line.clear();
                    reader.read_line(&mut line).unwrap();
                }
                reader.read_line(&mut line).unwrap();
            }
            let request = head.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
            notes.lock().unwrap().push(request.clone());
            let lookup = request.starts_with("GET ") && !request.starts_with("GET /v1.");
            let status = if lookup { "404 Not Found" } else { "200 OK" };
            let content = if request.starts_with("HEAD ") { "" } else { "{}" };
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\n{content}");
            if writer.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }

    fn heard(&self) -> Vec<String> {
        std::mem::take(&mut *self.heard.lock().unwrap())
    }
}

fn daemon(home: &Home, engine: &Listener) -> Daemon {
    let log = std::fs::File::create(home.path("daemon.log")).unwrap();
    let mut command = home.command();
    command.env("SEALOCK_WATCH_ENABLED", "false");
    command.args(["--docker", &format!("unix://{}", engine.socket.display()), "up"]);
    command.args(["--api", "off", "--gateway", "127.0.0.1:0"]);
    let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
    let daemon = Daemon::of(child);
    until("the daemon to answer", PATIENCE, || {
        let status = home.run(&["--json", "status"]);
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).ok()?;
        status["gateway"].is_string().then_some(())
    });
    daemon
}

/// The body that an operation needs to be read at all.
fn body(action: Action) -> &'static str {
    match action {
        Action::DockerContainerCreate => r#"{"Image":"i"}"#,
        Action::DockerContainerExec => r#"{"Cmd":["id"]}"#,
        Action::DockerNetworkCreate | Action::DockerVolumeCreate => r#"{"Name":"n"}"#,
        Action::DockerNetworkConnect | Action::DockerNetworkDisconnect => r#"{"Container":"c"}"#,
        Action::DockerServiceCreate | Action::DockerServiceUpdate => {
            r#"{"Name":"s","TaskTemplate":{"ContainerSpec":{"Image":"i"}}}"#
        }
        Action::DockerContainerUpdate | Action::DockerVolumeUpdate => "{}",
        _ => "",
    }
}

/// The status of one request, on a connection of its own.
fn ask(folder: &str, address: &str, (method, target, action): (&str, &str, Action)) -> String {
    let url = format!("https://{address}/v1.44{target}");
    let file = |name: &str| format!("{folder}/{name}");
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--cacert", &file("ca.crt"), "--cert", &file("tls.crt")]);
    curl.args(["--key", &file("tls.key"), "--path-as-is", "--globoff", "--max-time", "20"]);
    curl.args(["--output", "/dev/null", "--write-out", "%{http_code}"]);
    match method {
        "HEAD" => curl.arg("--head"),
        _ => curl.args(["--request", method]),
    };
    if !body(action).is_empty() {
        curl.args(["--header", "Content-Type: application/json", "--data-binary", body(action)]);
    }
    if [Action::DockerContainerAttachWebsocket, Action::DockerSession, Action::DockerGrpc]
        .contains(&action)
    {
        curl.args(["--header", "Connection: Upgrade", "--header", "Upgrade: h2c"]);
    }
    text(&curl.arg(url).output().unwrap().stdout)
}

#[test]
fn every_operation_is_denied_to_strangers_and_forwarded_for_the_administrator() {
    let home = Home::new();
    home.ok(&["init", "--trust-domain", "test.sealock"]);
    let engine = Listener::new(&home);
    let daemon = daemon(&home, &engine);
    let address = home.json(&["status"])["gateway"].as_str().unwrap().to_owned();
    let out = home.path("stranger").display().to_string();
    let uri = "spiffe://test.sealock/human/stranger";
    home.ok(&["cert", "issue", "stranger", "--uri", uri, "--usage", "client", "--out", &out]);
    let admin = home.state().join("identities/admin").display().to_string();
    let samples: Vec<_> = route::samples().collect();
    assert!(samples.len() > 100, "the table of operations");

    let mut denied = 0;
    for sample in &samples {
        engine.heard();
        let status = ask(&out, &address, *sample);
        let heard = engine.heard();
        if sample.2 == Action::DockerSystemPing {
            assert_eq!(status, "200", "whoever has a certificate may ping: {sample:?}");
            continue;
        }
        // So many denials are not recorded any more, and turned away all the same.
        let expected: &[&str] = if denied < 90 { &["403"] } else { &["403", "429"] };
        assert!(expected.contains(&status.as_str()), "{sample:?} is answered {status}");
        let forwarded = heard.iter().find(|request| request.contains(" /v1.44/"));
        assert_eq!(forwarded, None, "{sample:?}");
        denied += 1;
    }
    for sample in &samples {
        engine.heard();
        let status = ask(&admin, &address, *sample);
        let heard = engine.heard();
        let forwarded: Vec<_> =
            heard.iter().filter(|request| request.contains(" /v1.44/")).collect();
        assert_eq!(status, "200", "{sample:?}, the engine heard {heard:?}");
        assert_eq!(forwarded.len(), 1, "{sample:?}: {heard:?}");
        assert!(forwarded[0].starts_with(&format!("{} ", sample.0)), "{sample:?}: {forwarded:?}");
    }
    assert_eq!(daemon.stop(), Some(0));
}
