//! `sealock login`, as a person and an administrator meet it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Output, Stdio};

use sealock_testkit::wait::until;
use serde_json::Value;

use crate::gateway::{home, permit};
use crate::support::{Home, PATIENCE, mode, text};
use crate::tokens::api;

pub(crate) fn url(home: &Home) -> String {
    format!("https://localhost:{}", api(home).rsplit_once(':').unwrap().1)
}

/// The person's machine: a home of its own, and no state.
pub(crate) struct Laptop(tempfile::TempDir);

impl Laptop {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealock"));
        command.env_clear().env("HOME", self.0.path()).env("USER", "alice");
        command.current_dir(self.0.path()).args(arguments).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains("error:") && !said.contains("panicked"), "{said}");
        said
    }

    /// With this on stdin.
    pub(crate) fn fed(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    pub(crate) fn site(&self, home: &Home) -> std::path::PathBuf {
        let port = api(home).rsplit_once(':').unwrap().1.to_owned();
        self.0.path().join(format!(".config/sealock/sites/localhost_{port}"))
    }

    fn entries(&self) -> usize {
        fs::read_dir(self.0.path().join(".config/sealock/sites")).map_or(0, Iterator::count)
    }
}

const GRANTED: &str = "permit (principal == Sealock::Human::\"alice\", \
    action == Sealock::Action::\"Token::Issue\", resource == Sealock::Service::\"orders\");\n";

#[test]
fn an_invitation_makes_a_laptop_somebodys() {
    let (home, laptop) = (home(), Laptop::new());
    let daemon = home.up();
    permit(&home, GRANTED);
    let server = url(&home);
    let code = home.ok(&["login", "invite", "alice", "--group", "people"]);
    assert!(home.ok(&["group", "list"]).contains("human/alice"));
    assert!(home.ok(&["login", "list"]).contains("invite"));
    // A code is never an argument, and what is no code is not shown.
    laptop.fails(64, &["login", "--server", &server]);
    laptop.fails(64, &["login", "--code-file", "-"]);
    let wrong = laptop.fed(&["login", "--server", &server, "--code-file", "-"], "hunter2");
    assert_eq!(wrong.status.code(), Some(64));
    assert!(!text(&wrong.stderr).contains("hunter2"));
    let done = laptop.fed(&["login", "--server", &server, "--code-file", "-"], &code);
    assert!(done.status.success(), "{}", text(&done.stderr));
    let said = text(&done.stdout);
    assert!(said.contains("spiffe://test.sealock/human/alice"), "{said}");
    assert!(text(&done.stderr).contains("sealock forwarder"), "{}", text(&done.stderr));
    let site = laptop.site(&home);
    assert_eq!((mode(&site.join("tls.key")), mode(&site)), (0o600, 0o700));
    let again = laptop.fed(&["login", "--server", &server, "--code-file", "-"], &code);
    assert_eq!(again.status.code(), Some(1), "{}", text(&again.stderr));
    assert!(
        text(&again.stderr).contains("the code is not good")
            || text(&again.stderr).contains("invalid_client")
    );

    // She has tokens, bound to her certificate.
    let folder = site.display().to_string();
    let token = laptop.ok(&["token", "--identity", &folder, "--audience", "orders"]);
    let shown = crate::secrets::fed(&home, &["--json", "token", "show"], token.as_bytes());
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["claims"]["sub"], "spiffe://test.sealock/human/alice");
    assert!(shown["claims"]["certificate"].is_string(), "{shown}");
    let denied = laptop.fails(1, &["token", "--identity", &folder, "--audience", "billing"]);
    assert!(denied.contains("denied"), "{denied}");

    // Renewed: another key and another certificate, in one step.
    let before = (fs::read(site.join("tls.key")).unwrap(), fs::read(site.join("tls.crt")).unwrap());
    let renewed: Value = serde_json::from_str(&laptop.ok(&["--json", "login", "--renew"])).unwrap();
    assert_eq!(renewed["identity"], "spiffe://test.sealock/human/alice");
    let after = (fs::read(site.join("tls.key")).unwrap(), fs::read(site.join("tls.crt")).unwrap());
    assert!(before.0 != after.0 && before.1 != after.1);
    assert_eq!(laptop.entries(), 2);
    laptop.ok(&["token", "--identity", &folder, "--audience", "orders"]);
    home.ok(&["login", "deny", "--user", "alice"]);
    let ended = laptop.fails(1, &["login", "--renew"]);
    assert!(ended.contains("access_denied"), "{ended}");
    assert_eq!(fs::read(site.join("tls.key")).unwrap(), after.0, "what there is stays");
    laptop.ok(&["logout"]);
    assert_eq!(laptop.entries(), 0);
    laptop.fails(1, &["logout"]);
    let log = home.ok(&["--json", "audit", "tail", "-n", "1000"]);
    assert!(!log.contains(code.trim()));
    assert_eq!(daemon.stop(), Some(0));
    assert!(!home.log().contains(code.trim()));
}

#[test]
fn a_person_waits_with_a_code_until_an_administrator_says_yes() {
    let (home, laptop) = (home(), Laptop::new());
    let daemon = home.up();
    permit(&home, GRANTED);
    let server = url(&home);
    let ca: Value = serde_json::from_str(&home.ok(&["--json", "ca", "show"])).unwrap();
    let fingerprint = ca["roots"][0]["fingerprint"].as_str().unwrap().to_owned();
    // Whoever is at the other end must have that very root.
    let other = fingerprint.replace(|c: char| c.is_ascii_hexdigit(), "a");
    let told = laptop.fails(1, &["login", "--server", &server, "--fingerprint", &other]);
    assert!(told.contains("not the server that this is for"), "{told}");
    let elsewhere = Home::initialised();
    let roots = elsewhere.write("other.pem", &elsewhere.ok(&["ca", "bundle"]));
    laptop.fails(1, &["login", "--server", &server, "--ca-file", &roots]);
    assert!(home.ok(&["login", "list"]).contains("Nobody waits"), "it asked nobody");

    let mut command =
        laptop.command(&["login", "--server", &server, "--fingerprint", &fingerprint]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut waiting = command.spawn().unwrap();
    let mut lines = BufReader::new(waiting.stderr.take().unwrap()).lines();
    let shown = lines.next().unwrap().unwrap();
    let code = shown.rsplit(' ').next().unwrap().to_owned();
    // What the person is shown is what the administrator types.
    let next = lines.by_ref().nth(1).unwrap().unwrap();
    assert_eq!(next.trim(), format!("sealock login confirm {code} --as alice"));
    let listed = home.ok(&["login", "list"]);
    assert!(
        listed.contains(&code) && listed.contains("alice") && listed.contains("127.0.0.1"),
        "{listed}"
    );
    home.fails(1, &["login", "confirm", "BBBB-BBBB", "--as", "alice"]);
    home.fails(64, &["login", "confirm", "nonsense", "--as", "alice"]);
    let unnamed = home.fails(64, &["login", "confirm", &code]);
    let whole = format!("sealock login confirm {code} --as alice");
    assert!(unnamed.contains("at 127.0.0.1") && unnamed.contains(&whole), "{unnamed}");
    assert!(home.ok(&["login", "list"]).contains(&code), "nobody was let in by that");
    home.fails(64, &["login", "confirm", &code, "--as", "admin"]);
    let said = home.ok(&["login", "confirm", &code, "--as", "alice", "--life", "2h"]);
    assert!(said.contains("for 2h"), "{said}");
    let mut status = None;
    until("the login to be done", PATIENCE, || {
        status = waiting.try_wait().unwrap();
        status.map(drop)
    });
    assert!(status.unwrap().success());
    let folder = laptop.site(&home).display().to_string();
    laptop.ok(&["token", "--identity", &folder, "--audience", "orders"]);
    // The server is known now.
    let mut command = laptop.command(&["login", "--server", &server, "--user", "mallory"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut waiting = command.spawn().unwrap();
    let mut lines = BufReader::new(waiting.stderr.take().unwrap()).lines();
    let shown = lines.next().unwrap().unwrap();
    home.ok(&["login", "deny", shown.rsplit(' ').next().unwrap()]);
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!(waiting.wait().unwrap().code(), Some(1), "{rest:?}");
    assert!(rest.iter().any(|line| line.contains("somebody has said no")), "{rest:?}");
    laptop.ok(&["token", "--identity", &folder, "--audience", "orders"]);
    assert_eq!(daemon.stop(), Some(0));
}
