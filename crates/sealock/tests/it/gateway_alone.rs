//! `sealock gateway`: the gateway without the rest of `up`, on the same state.

use std::process::Stdio;

use sealock_testkit::docker::Image;
use sealock_testkit::wait::until;

use crate::gateway::{Client, first_line, home, permit, skip};
use crate::support::{PATIENCE, text};

#[test]
fn the_gateway_alone_guards_and_hears_what_is_done_elsewhere() {
    if skip() {
        return;
    }
    let home = home();
    let daemon = home.gateway(&[]);
    assert!(home.log().contains("The gateway is up"), "{}", home.log());
    let status = home.json(&["status"]);
    assert_eq!((status["daemon"].clone(), status["api"].clone()), (true.into(), ().into()));
    let image = Image::busybox();
    let container = image.start(&[&home.scope_label(), "--label=sealock.cert.web.ttl=1h"]);
    let admin = Client::admin(&home);
    assert_eq!(admin.ok(&["exec", container.id(), "echo", "hello"]), "hello\n");

    // From another terminal: a certificate, a rule, and a revocation.
    let (op, serial) = Client::human(&home, "op");
    assert!(op.refused(&["ps"]).contains("is denied"));
    permit(
        &home,
        "permit (principal == Sealock::Human::\"op\", action in Sealock::Action::\"Docker\", resource);",
    );
    let shell = ["exec", "--interactive", container.id(), "sh", "-c", "echo begun; cat"];
    let mut command = op.command(&shell);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut tunnel = command.spawn().unwrap();
    assert_eq!(first_line(&mut tunnel), "begun\n");
    home.ok(&["cert", "revoke", &serial]);
    until("the tunnel to be cut", PATIENCE, || tunnel.try_wait().unwrap());
    assert!(op.refused(&["ps"]).contains("revoked"));

    // One writer: a daemon on this state is refused, with what to do about it.
    for second in [&["up"][..], &["gateway", "--listen", "127.0.0.1:0"]] {
        let said = home.fails(1, second);
        assert!(said.contains("(gateway)") && said.contains("hint:"), "{said}");
        assert!(said.contains(&daemon.id().to_string()), "{said}");
    }
    // Labels are not looked after.
    assert!(home.json(&["status"])["containers"].as_array().unwrap().is_empty());
    assert!(!home.ok(&["cert", "list"]).contains("web"), "nothing is issued for a label");
    assert_eq!(daemon.stop_by("INT"), Some(0));
    assert!(home.ok(&["audit", "verify"]).contains("unbroken"));
    let log = home.ok(&["--json", "audit", "tail", "-n", "50"]);
    for wanted in ["daemon-started", "Docker::ExecStart", "cert-revoked", "daemon-stopped"] {
        assert!(log.contains(wanted), "{wanted} is not in {log}");
    }
}

#[test]
fn beside_up_it_is_refused_and_with_the_api_it_has_one() {
    if skip() {
        return;
    }
    let home = home();
    let daemon = home.up();
    let said = home.fails(1, &["gateway", "--listen", "127.0.0.1:0"]);
    assert!(said.contains("(up)") && said.contains("sealock status"), "{said}");
    assert_eq!(daemon.stop(), Some(0));
    let daemon = home.gateway(&["--api", "127.0.0.1:0"]);
    assert!(home.json(&["status"])["api"].is_string());
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn what_it_cannot_do_is_one_error_with_a_hint() {
    let home = crate::support::Home::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let port = crate::dockerd::free_port();
    let (ours, free) = (format!("tcp://localhost:{port}"), format!("127.0.0.1:{port}"));
    let any = format!("0.0.0.0:{port}");
    let missing = home.path("missing").display().to_string();
    let tls = ["--docker", "tcp://127.0.0.1:1", "gateway", "--listen", "127.0.0.1:0"];
    for (code, arguments, wanted) in [
        (64, &["gateway", "--listen", "nowhere"][..], "ADDRESS:PORT"),
        (64, &["gateway", "--listen", "off"], "--listen ADDRESS:PORT"),
        (64, &["--docker", "ftp://x", "gateway"], "unix://"),
        (64, &["--docker", "https://x", "gateway"], "https needs TLS files"),
        (64, &[&tls[..], &["--docker-tls", &missing]].concat(), "ca.pem"),
        (1, &["gateway", "--listen", &taken], "cannot listen"),
        // As where DOCKER_HOST was set for the gateway's clients.
        (64, &["--docker", &ours, "gateway", "--listen", &free], "the gateway's own address"),
        (64, &["--docker", &ours, "gateway", "--listen", &any], "the gateway's own address"),
    ] {
        let said = home.fails(code, arguments);
        assert!(said.contains(wanted), "{arguments:?}: {said}");
        assert!(said.contains("hint:"), "{arguments:?}: {said}");
        assert_eq!(said.matches("error:").count(), 1, "{said}");
    }
}

#[test]
fn an_engine_without_tls_is_warned_about_and_served() {
    if skip() {
        return;
    }
    let home = home();
    // The engine's socket at a port of loopback.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        while let Ok((client, _)) = listener.accept() {
            std::thread::spawn(move || joined(client));
        }
    });
    let log = std::fs::File::create(home.path("daemon.log")).unwrap();
    let mut command = home.command();
    command.args(["--docker", &format!("tcp://{address}"), "gateway", "--listen", "127.0.0.1:0"]);
    command.stdout(log.try_clone().unwrap()).stderr(log);
    let daemon = crate::support::Daemon::of(command.spawn().unwrap());
    until("the gateway to answer", PATIENCE, || {
        let status = home.run(&["--json", "status"]);
        text(&status.stdout).contains("\"gateway\": \"127").then_some(())
    });
    let admin = Client::admin(&home);
    admin.ok(&["ps"]);
    assert!(home.log().contains("without TLS"), "{}", home.log());
    assert_eq!(daemon.stop(), Some(0));
}

/// Carries bytes between a client and the engine's socket, both ways.
fn joined(client: std::net::TcpStream) {
    let Ok(engine) = std::os::unix::net::UnixStream::connect("/var/run/docker.sock") else {
        return;
    };
    let (mut from, mut to) = (client.try_clone().unwrap(), engine.try_clone().unwrap());
    let up = std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
    let (mut from, mut to) = (engine, client);
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(std::net::Shutdown::Write);
    let _ = up.join();
}
