//! Doors of processes that may have few descriptors, and crowds that connect and say nothing.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};

use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use sealock_testkit::clients::skip_without;
use sealock_testkit::wait::until;
use serde_json::Value;

use crate::chain::free;
use crate::gateway::permit;
use crate::support::{Daemon, Home, PATIENCE};
use crate::tokens::{answer, api, curl, gets};

/// The same program, with so many descriptors and no more.
fn within(descriptors: u32, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit -n {descriptors} && exec \"$0\" \"$@\"")]);
    shell.arg(command.get_program()).args(command.get_args()).env_clear();
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(folder) = command.get_current_dir() {
        shell.current_dir(folder);
    }
    shell.stdin(Stdio::null());
    shell
}

/// Starts it, with what it says in a file of this name.
fn start(home: &Home, log: &str, descriptors: u32, arguments: &[&str]) -> Daemon {
    let log = fs::File::create(home.path(log)).unwrap();
    let mut command = home.command();
    command.args(arguments);
    let mut command = within(descriptors, &command);
    Daemon::of(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap())
}

/// A broker that needs no engine.
pub(crate) fn broker(home: &Home, descriptors: u32, listen: &str) -> Daemon {
    let settings = home.write("sealock.toml", "workload.socket = \"off\"\n");
    let nowhere = "unix:///nonexistent/docker.sock";
    let arguments = ["--config", &settings, "--docker", nowhere, "broker", "--listen", listen];
    let daemon = start(home, "daemon.log", descriptors, &arguments);
    until("the broker to answer", PATIENCE, || {
        let status: Value = serde_json::from_slice(&home.run(&["--json", "status"]).stdout).ok()?;
        (status["daemon"] == true).then_some(())
    });
    daemon
}

/// A connection from an address of this host.
fn from(source: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddr::from((source, 0))).unwrap();
    connect(&socket, &to).unwrap();
    socket.into()
}

fn is_open(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let read = (&*stream).read(&mut [0; 1]);
    stream.set_nonblocking(false).unwrap();
    read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

/// The first have lost their places to the last, which is there still: nobody had to wait for a deadline.
fn the_first_made_room(crowd: &[TcpStream]) {
    until("the first to have gone", PATIENCE, || (!is_open(crowd.first()?)).then_some(()));
    assert!(is_open(crowd.last().unwrap()), "the last has gone too");
}

#[test]
fn idle_strangers_of_one_address_keep_nobody_from_the_broker() {
    if skip_without(&["curl"]) {
        return;
    }
    let home = Home::initialised();
    let daemon = broker(&home, 1024, "127.0.0.1:0");
    home.ok(&["client", "add", "shop", "--secret-out", "shop.secret"]);
    permit(&home, &gets("shop", "orders"));
    let at: SocketAddr = api(&home).parse().unwrap();
    // More than the whole door has places for.
    let elsewhere = Ipv4Addr::new(127, 0, 0, 2);
    let crowd: Vec<TcpStream> = (0..600).map(|_| from(elsewhere, at)).collect();
    let secret = fs::read_to_string(home.path("shop.secret")).unwrap();
    let config = home.write("shop.curlrc", &format!("user = \"shop:{secret}\"\n"));
    let asked = ["--data", "grant_type=client_credentials", "--data", "audience=orders"];
    for interface in ["127.0.0.1", "127.0.0.2"] {
        let arguments = [&["--config", &config, "--interface", interface][..], &asked].concat();
        let given = answer(&curl(&home, "/oauth/token", &arguments));
        assert!(given["access_token"].is_string(), "{given}");
    }
    the_first_made_room(&crowd);
    assert_eq!(daemon.stop(), Some(0));
}

/// A GET on a connection of its own.
fn get(port: u16, path: &str, token: &str) -> String {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!(
        "GET {path} HTTP/1.1\r\nhost: orders\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// An app that says ok to whatever comes, and hangs up.
fn app() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
                head.push(byte[0]);
            }
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
        }
    });
    port
}

#[test]
fn a_gatekeeper_with_few_descriptors_serves_among_idle_strangers() {
    if skip_without(&["curl"]) {
        return;
    }
    let home = Home::initialised();
    // It comes back at the same address, by which it is known.
    let address = format!("127.0.0.1:{}", free());
    let daemon = broker(&home, 1024, &address);
    let calls = "permit (principal == Sealock::Service::\"shop\", action == Sealock::Action::\"Http::Call\", resource == Sealock::Service::\"orders\");\n";
    permit(&home, &[&gets("shop", "orders"), calls].concat());
    let uri = "spiffe://test.sealock/service/orders";
    home.ok(&["cert", "issue", "orders", "--usage", "client", "--uri", uri, "--out", "orders"]);
    home.ok(&["client", "add", "shop", "--secret-out", "shop.secret"]);
    let secret = fs::read_to_string(home.path("shop.secret")).unwrap();
    let config = home.write("shop.curlrc", &format!("user = \"shop:{secret}\"\n"));
    let asked = ["--data", "grant_type=client_credentials", "--data", "audience=orders"];
    let given =
        answer(&curl(&home, "/oauth/token", &[&["--config", &config][..], &asked].concat()));
    let token = given["access_token"].as_str().unwrap();

    let (port, metrics) = (free(), free());
    let (listen, shown) = (format!("127.0.0.1:{port}"), metrics.to_string());
    let upstream = format!("http://127.0.0.1:{}", app());
    let link = format!("https://{address}");
    let guard = start(
        &home,
        "guard.log",
        256,
        &[
            "gatekeeper",
            "--service",
            "orders",
            "--plain",
            "--identity",
            "orders",
            "--listen",
            &listen,
            "--upstream",
            &upstream,
            "--broker",
            &link,
            "--metrics",
            &shown,
            "--advertise",
            "off",
        ],
    );
    until("the Gatekeeper", PATIENCE, || {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok();
        stream.filter(|_| get(port, "/v1/a", token).starts_with("HTTP/1.1 200 ")).map(drop)
    });
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut crowd = Vec::new();
    for number in 0..300 {
        crowd.push(from(Ipv4Addr::LOCALHOST, at));
        if number % 20 == 0 {
            let served = get(port, "/v1/a", token);
            assert!(served.starts_with("HTTP/1.1 200 "), "after {number}: {served}");
        }
    }
    the_first_made_room(&crowd);
    assert!(get(metrics, "/ready", "").starts_with("HTTP/1.1 200 "));
    // A feed can be opened anew among them, too.
    assert_eq!(daemon.stop(), Some(0));
    let daemon = broker(&home, 1024, &address);
    home.ok(&["token", "revoke", "--identity", "service/shop"]);
    until("the revocation to be known", PATIENCE, || {
        get(port, "/v1/a", token).starts_with("HTTP/1.1 401 ").then_some(())
    });
    assert!(is_open(crowd.last().unwrap()), "they are not there any more");
    assert!(!fs::read_to_string(home.path("guard.log")).unwrap().contains("cannot accept"));
    assert_eq!(guard.stop(), Some(0));
    assert_eq!(daemon.stop(), Some(0));
}
