//! A policy that is replaced while calls come, from the file through the daemon and the feed to a Gatekeeper that is a
//! process of its own.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use sealock_testkit::wait::until;

use crate::chain::free;
use crate::gatekeeper_alone::{World, skip};
use crate::gateway::permit;
use crate::support::PATIENCE;
use crate::tokens::gets;

/// What is promised: so long after the command has returned, nothing of before decides anywhere.
const IN_FORCE_WITHIN: Duration = Duration::from_secs(1);

/// What must hold of `/v1/shut` now. In the lowest bits of a number that is another one after each change.
const CHANGING: u64 = 0;
const SHUT: u64 = 1;
const OPEN: u64 = 2;

fn rules(paths: &[&str]) -> String {
    let paths: Vec<String> =
        paths.iter().map(|path| format!("context.path == \"{path}\"")).collect();
    gets("shop", "orders")
        + &format!(
            "permit (principal == Sealock::Service::\"shop\", action == Sealock::Action::\"Http::Call\", \
             resource == Sealock::Service::\"orders\")\nwhen {{ {} }};\n",
            paths.join(" || ")
        )
}

/// The status of a GET, and the connection if it may be used again.
fn ask(mut stream: TcpStream, path: &str, token: &str) -> Result<(u16, TcpStream), String> {
    let text = |error: std::io::Error| error.to_string();
    stream.set_read_timeout(Some(PATIENCE)).map_err(text)?;
    let head =
        format!("GET {path} HTTP/1.1\r\nhost: orders\r\nauthorization: Bearer {token}\r\n\r\n");
    stream.write_all(head.as_bytes()).map_err(text)?;
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).map_err(text)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    stream.read_exact(&mut vec![0; length.parse().unwrap()]).map_err(text)?;
    Ok((head[9..12].parse().unwrap(), stream))
}

/// How often a caller was let in, and was not, and all that must not have been.
#[derive(Default)]
struct Told {
    permitted: u64,
    denied: u64,
    wrong: Vec<String>,
}

struct Load {
    port: u16,
    token: String,
    state: Arc<AtomicU64>,
    end: Arc<AtomicBool>,
}

impl Load {
    /// One that calls a path again and again, on one connection as long as it lasts or on a new one each time.
    fn begin(&self, path: &'static str, keeps: bool) -> JoinHandle<Told> {
        let (port, token) = (self.port, self.token.clone());
        let (state, end) = (Arc::clone(&self.state), Arc::clone(&self.end));
        std::thread::spawn(move || {
            let (mut told, mut kept) = (Told::default(), None);
            while !end.load(Ordering::SeqCst) {
                let stream =
                    kept.take().unwrap_or_else(|| TcpStream::connect(("127.0.0.1", port)).unwrap());
                let before = state.load(Ordering::SeqCst);
                let outcome = ask(stream, path, &token);
                let must =
                    if before == state.load(Ordering::SeqCst) { before & 3 } else { CHANGING };
                let is_shut = path == "/v1/shut";
                match outcome {
                    Ok((code, stream)) => {
                        told.permitted += u64::from(code == 200);
                        told.denied += u64::from(code == 403);
                        let is_right = match (is_shut, must) {
                            (true, CHANGING) => [200, 403].contains(&code),
                            (true, SHUT) => code == 403,
                            _ => code == 200,
                        };
                        if !is_right {
                            told.wrong.push(format!("{path}: {code} in {must}"));
                        }
                        kept = keeps.then_some(stream);
                    }
                    // What ran when it was denied was cut.
                    Err(_) if is_shut && must == CHANGING => {}
                    Err(error) => told.wrong.push(format!("{path}: {error} in {must}")),
                }
            }
            told
        })
    }
}

#[test]
fn a_policy_that_is_reloaded_under_load_is_in_force_within_a_second_and_no_call_fails() {
    if skip() {
        return;
    }
    let world = World::start();
    let port = free();
    let guard = world
        .gatekeeper("guard.log", &["--listen", &format!("127.0.0.1:{port}"), "--no-access-log"]);
    world.until_served(port);
    let load = Load {
        port,
        token: world.token.clone(),
        state: Arc::new(AtomicU64::new(CHANGING)),
        end: Arc::new(AtomicBool::new(false)),
    };
    let (all, fewer) = (rules(&["/v1/open", "/v1/shut"]), rules(&["/v1/open"]));
    permit(&world.home, &all);
    until("the first of them", PATIENCE, || {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        ask(stream, "/v1/shut", &world.token).ok().filter(|(code, _)| *code == 200)
    });
    let callers: Vec<_> = ["/v1/open", "/v1/shut"]
        .into_iter()
        .flat_map(|path| [true, false].map(|keeps| load.begin(path, keeps)))
        .collect();
    for number in 1..=4 {
        for (rules, state) in [(&fewer, SHUT), (&all, OPEN)] {
            load.state.store(number << 3 | CHANGING, Ordering::SeqCst);
            permit(&world.home, rules);
            std::thread::sleep(IN_FORCE_WITHIN);
            load.state.store(number << 3 | state, Ordering::SeqCst);
            // For a while it is looked at.
            std::thread::sleep(IN_FORCE_WITHIN / 2);
        }
    }
    load.end.store(true, Ordering::SeqCst);
    let told: Vec<Told> = callers.into_iter().map(|caller| caller.join().unwrap()).collect();
    for (number, told) in told.iter().enumerate() {
        assert!(
            told.wrong.is_empty(),
            "{} of {}: {:?}",
            told.wrong.len(),
            told.permitted,
            told.wrong.first()
        );
        assert!(told.permitted > 50, "{number} was let in {} times", told.permitted);
        assert_eq!(told.denied > 50, number > 1, "{number} was denied {} times", told.denied);
    }
    assert_eq!(guard.stop(), Some(0));
    assert_eq!(world.daemon.stop(), Some(0));
}
