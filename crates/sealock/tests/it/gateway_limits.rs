//! Limits of one identity: who is over theirs is told so, and nobody else notices.

use std::process::{Command, Stdio};

use sealock_testkit::docker::Image;
use sealock_testkit::wait::until;

use crate::gateway::{Client, first_line, home, permit, skip};
use crate::raw::Connection;
use crate::support::{Home, PATIENCE, text};

const RULES: &str = "permit (principal, action in Sealock::Action::\"DockerRead\", resource);";

/// curl as this client.
fn curl(client: &Client, path: &str) -> Command {
    let mut command = Command::new("curl");
    let file = |name: &str| format!("{}/{name}", client.folder);
    command.args(["--silent", "--include", "--cacert", &file("ca.pem")]);
    command.args(["--cert", &file("cert.pem"), "--key", &file("key.pem")]);
    command.arg(format!("https://{}{path}", client.address)).stdin(Stdio::null());
    command
}

fn get(client: &Client, path: &str) -> String {
    text(&curl(client, path).output().unwrap().stdout)
}

/// A stream that is open: its head has come.
fn open(client: &Client) -> Connection {
    let mut connection = Connection::of(client);
    let head = connection.head("/events").unwrap();
    assert!(head.starts_with("http/1.1 200"), "{head}");
    connection
}

/// With these settings, the API for its metrics, and everybody may read.
fn started(home: &Home, settings: &str) -> crate::support::Daemon {
    let path = home.write("limits.toml", settings);
    let daemon = home.gateway(&["--api", "127.0.0.1:0", "--config", &path]);
    permit(home, RULES);
    daemon
}

#[test]
fn a_rate_is_held_for_one_and_others_do_not_notice() {
    if skip() || sealock_testkit::clients::skip_without(&["curl"]) {
        return;
    }
    let home = home();
    let daemon = started(&home, "[limits.\"human/slow\"]\nrate = 1\nburst = 4\n");
    let (slow, _) = Client::human(&home, "slow");
    let (other, _) = Client::human(&home, "other");
    // Requests on one connection, which takes less than a second in all.
    let mut many = curl(&slow, "/_ping");
    many.args((1..40).map(|_| format!("https://{}/_ping", slow.address)));
    let answers = text(&many.output().unwrap().stdout);
    let passed = answers.matches("HTTP/1.1 200").count();
    let refused = answers.matches("HTTP/1.1 429").count();
    assert_eq!(passed + refused, 40, "{answers}");
    assert!((4..20).contains(&passed), "{passed} were let through");
    assert!(answers.to_lowercase().contains("retry-after: 1"), "{answers}");
    let wanted = "limits.\\\"human/slow\\\".rate allows 1 in a second";
    assert!(answers.contains(wanted), "{answers}");
    until("docker to be told", PATIENCE, || {
        // What was earned back meanwhile is used up first.
        get(&slow, "/_ping");
        let said = text(&slow.run(&["ps"]).stderr);
        said.contains("too many requests: limits.\"human/slow\".rate").then_some(())
    });
    for _ in 0..10 {
        assert!(get(&other, "/_ping").starts_with("HTTP/1.1 200"));
    }
    // The bucket fills up again.
    until("a request to pass again", PATIENCE, || {
        get(&slow, "/_ping").starts_with("HTTP/1.1 200").then_some(())
    });
    let log = home.ok(&["--json", "audit", "tail", "-n", "200"]);
    let records: Vec<&str> = log.lines().filter(|line| line.contains("limit-reached")).collect();
    assert_eq!(records.len(), 1, "one record in a minute: {log}");
    let record: serde_json::Value = serde_json::from_str(records[0]).unwrap();
    assert_eq!(record["who"], "spiffe://test.sealock/human/slow");
    assert_eq!(
        (record["limit"].clone(), record["most"].clone()),
        ("limits.\"human/slow\".rate".into(), 1.into())
    );
    let api = home.json(&["status"])["api"].as_str().unwrap().to_owned();
    let figures = Client { address: api, ..Client::admin(&home) };
    let figures = get(&figures, "/metrics");
    let line = figures
        .lines()
        .find(|line| line.starts_with("sealock_gateway_limited_total{limit=\"rate\"}"));
    let counted: usize = line.unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    assert!(counted >= refused, "{counted} of {refused}: {figures}");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn open_streams_and_connections_are_counted_until_they_end() {
    if skip() || sealock_testkit::clients::skip_without(&["curl"]) {
        return;
    }
    let home = home();
    let settings = "groups.few = [\"human/alice\"]\n\
                    limits.\"group/few\".concurrent = 2\n\
                    limits.\"human/bob\".connections = 2\n";
    let daemon = started(&home, settings);
    let (alice, _) = Client::human(&home, "alice");
    let (bob, _) = Client::human(&home, "bob");
    let admin = Client::admin(&home);
    for (client, wanted) in [
        (&alice, "limits.\\\"group/few\\\".concurrent allows 2"),
        (&bob, "limits.\\\"human/bob\\\".connections allows 2"),
    ] {
        let streams = [open(client), open(client)];
        let refused = get(client, "/_ping");
        assert!(refused.starts_with("HTTP/1.1 429"), "{refused}");
        assert!(refused.contains(wanted), "{refused}");
        assert!(get(&admin, "/_ping").starts_with("HTTP/1.1 200"));
        let [first, second] = streams;
        drop(first);
        until("the place to be free", PATIENCE, || {
            get(client, "/_ping").starts_with("HTTP/1.1 200").then_some(())
        });
        drop(second);
    }
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn an_open_terminal_is_counted_until_it_ends() {
    if skip() || sealock_testkit::clients::skip_without(&["curl"]) {
        return;
    }
    let home = home();
    let daemon = started(&home, "limits.\"human/op\".concurrent = 1\n");
    permit(
        &home,
        "permit (principal == Sealock::Human::\"op\", action in Sealock::Action::\"Docker\", resource);",
    );
    let (op, _) = Client::human(&home, "op");
    let image = Image::busybox();
    let container = image.start(&[]);
    let shell = ["exec", "--interactive", container.id(), "sh", "-c", "echo begun; cat"];
    let mut command = op.command(&shell);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut terminal = command.spawn().unwrap();
    assert_eq!(first_line(&mut terminal), "begun\n");
    let refused = get(&op, "/_ping");
    assert!(refused.starts_with("HTTP/1.1 429"), "{refused}");
    drop(terminal.stdin.take());
    terminal.wait().unwrap();
    until("the place to be free", PATIENCE, || {
        get(&op, "/_ping").starts_with("HTTP/1.1 200").then_some(())
    });
    assert_eq!(daemon.stop(), Some(0));
}
