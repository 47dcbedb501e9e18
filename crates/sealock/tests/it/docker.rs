//! `docker setup`, `client`, `context`, `env` and `check`; openssl, sh, curl and docker say whether it is right.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};

use crate::support::{Home, mode, text, tool};

const SETUP: &[&str] = &["docker", "setup", "--dir", "tls", "--client-dir", "client"];

fn setup(home: &Home, more: &[&str]) -> Value {
    home.json(&[SETUP, more].concat())
}

/// What is in a folder, whether it was written again included.
fn seen(folder: &Path) -> BTreeMap<String, (Vec<u8>, u64)> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let of = |path: &Path| (fs::read(path).unwrap(), fs::metadata(path).unwrap().ino());
    entries.map(|entry| (entry.path().display().to_string(), of(&entry.path()))).collect()
}

fn at(home: &Home, name: &str) -> String {
    home.path(name).display().to_string()
}

/// openssl's verdict on a certificate for a purpose, with more options.
fn verify(home: &Home, ca: &str, certificate: &str, more: &[&str]) -> Output {
    let (ca, certificate) = (at(home, ca), at(home, certificate));
    Command::new("openssl")
        .args(["verify", "-x509_strict", "-CAfile", &ca, "-untrusted", &certificate])
        .args(more)
        .arg(&certificate)
        .output()
        .unwrap()
}

fn certificates_of(home: &Home) -> usize {
    home.json(&["cert", "list", "--all"])["certificates"].as_array().unwrap().len()
}

#[test]
fn setup_writes_files_that_openssl_accepts_for_their_purpose_only() {
    let home = Home::initialised();
    setup(&home, &["--host", "docker.test,two.test", "--ip", "10.1.2.3", "--ip", "::1"]);
    for (name, wanted) in [
        ("tls", 0o700),
        ("client", 0o700),
        ("tls/ca.pem", 0o444),
        ("tls/server-cert.pem", 0o444),
        ("tls/server-key.pem", 0o400),
        ("client/ca.pem", 0o444),
        ("client/cert.pem", 0o444),
        ("client/key.pem", 0o400),
    ] {
        assert_eq!(mode(&home.path(name)), wanted, "{name}");
    }
    let server = |more: &[&str]| verify(&home, "tls/ca.pem", "tls/server-cert.pem", more);
    let client = |more: &[&str]| verify(&home, "client/ca.pem", "client/cert.pem", more);
    for good in [
        server(&["-purpose", "sslserver", "-verify_hostname", "docker.test"]),
        server(&["-purpose", "sslserver", "-verify_hostname", "two.test"]),
        server(&["-purpose", "sslserver", "-verify_ip", "10.1.2.3"]),
        server(&["-purpose", "sslserver", "-verify_ip", "::1"]),
        client(&["-purpose", "sslclient"]),
    ] {
        assert!(good.status.success(), "{}", text(&good.stderr));
    }
    assert!(!server(&["-purpose", "sslclient"]).status.success(), "no client's certificate");
    assert!(!client(&["-purpose", "sslserver"]).status.success(), "no server's certificate");
    let shown = tool("openssl", &["x509", "-noout", "-text", "-in", &at(&home, "client/cert.pem")]);
    assert!(shown.contains("URI:spiffe://test.sealock/human/admin"), "{shown}");
    for (key, certificate) in
        [("tls/server-key.pem", "tls/server-cert.pem"), ("client/key.pem", "client/cert.pem")]
    {
        let key = tool("openssl", &["pkey", "-pubout", "-in", &at(&home, key)]);
        let certificate = at(&home, certificate);
        assert_eq!(key, tool("openssl", &["x509", "-noout", "-pubkey", "-in", &certificate]));
    }
}

#[test]
fn setup_says_what_to_write_where() {
    let home = Home::initialised();
    let said = home.ok(&[SETUP, &["--host", "docker.test"]].concat());
    let (dir, client) = (at(&home, "tls"), at(&home, "client"));
    for wanted in [
        "\"tlsverify\": true",
        &format!("\"tlscacert\": \"{dir}/ca.pem\""),
        &format!("\"tlscert\": \"{dir}/server-cert.pem\""),
        &format!("\"tlskey\": \"{dir}/server-key.pem\""),
        "tcp://0.0.0.0:2376",
        "export DOCKER_HOST=tcp://docker.test:2376",
        "export DOCKER_TLS_VERIFY=1",
        &format!("export DOCKER_CERT_PATH={client}"),
        "systemctl restart docker",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
}

#[test]
fn setup_again_changes_nothing_and_other_names_change_the_servers_files_only() {
    let home = Home::initialised();
    let first = setup(&home, &["--host", "docker.test"]);
    assert_eq!(
        (&first["server"]["changed"], &first["client"]["changed"]),
        (&json!(true), &json!(true))
    );
    let (server, client) = (seen(&home.path("tls")), seen(&home.path("client")));
    let issued = certificates_of(&home);

    let again = setup(&home, &["--host", "docker.test"]);
    assert_eq!(
        (&again["server"]["changed"], &again["client"]["changed"]),
        (&json!(false), &json!(false))
    );
    assert_eq!(again["restart_needed"], false);
    assert_eq!((seen(&home.path("tls")), seen(&home.path("client"))), (server, client.clone()));
    assert_eq!(certificates_of(&home), issued);

    let other = setup(&home, &["--host", "docker.test,new.test"]);
    assert_eq!(
        (&other["server"]["changed"], &other["client"]["changed"]),
        (&json!(true), &json!(false))
    );
    assert!(other["server"]["reason"].as_str().unwrap().contains("new.test"), "{other}");
    assert_eq!(seen(&home.path("client")), client);
    let more = ["-purpose", "sslserver", "-verify_hostname", "new.test"];
    assert!(verify(&home, "tls/ca.pem", "tls/server-cert.pem", &more).status.success());
}

#[test]
fn a_certificate_near_its_end_is_renewed_and_its_folder_mates_stay_whole() {
    let home = Home::initialised();
    // Certificates begin a minute before they are issued: with so little left, a third is over.
    let old = setup(&home, &["--host", "docker.test", "--ttl", "25s"]);
    let new = setup(&home, &["--host", "docker.test"]);
    for side in ["server", "client"] {
        assert_eq!(new[side]["changed"], true, "{new}");
        assert_ne!(new[side]["serial"], old[side]["serial"]);
        let reason = new[side]["reason"].as_str().unwrap();
        assert!(reason.contains("near its end") || reason.contains("expired"), "{reason}");
    }
    let server = verify(&home, "tls/ca.pem", "tls/server-cert.pem", &["-purpose", "sslserver"]);
    assert!(server.status.success(), "{}", text(&server.stderr));
    let third = setup(&home, &["--host", "docker.test"]);
    assert_eq!(
        (&third["server"]["changed"], &third["client"]["changed"]),
        (&json!(false), &json!(false))
    );
}

#[test]
fn a_revoked_certificate_is_replaced_and_a_good_one_beside_it_stays() {
    let home = Home::initialised();
    let client = ["docker", "client", "alice", "--dir", "alice"];
    let first = home.json(&client)["client"]["serial"].as_str().unwrap().to_owned();
    home.ok(&["cert", "revoke", &first]);
    let second = home.json(&client);
    assert_eq!(second["client"]["changed"], true, "{second}");
    assert!(second["client"]["reason"].as_str().unwrap().contains("revoked"), "{second}");
    assert_ne!(second["client"]["serial"], first.as_str());
    let other = home.json(&["docker", "client", "alice", "--dir", "elsewhere"]);
    home.ok(&["cert", "revoke", other["client"]["serial"].as_str().unwrap()]);
    assert_eq!(home.json(&client)["client"]["changed"], false, "another of her certificates");
}

#[test]
fn a_new_root_reaches_daemon_and_client() {
    let home = Home::initialised();
    setup(&home, &["--host", "docker.test"]);
    home.ok(&["ca", "rotate", "root"]);
    let new = setup(&home, &["--host", "docker.test"]);
    assert!(new["server"]["reason"].as_str().unwrap().contains("authority"), "{new}");
    let bundle = home.ok(&["ca", "bundle"]);
    for folder in ["tls", "client"] {
        assert_eq!(fs::read_to_string(home.path(folder).join("ca.pem")).unwrap(), bundle);
    }
}

#[test]
fn what_cannot_be_done_is_one_error_and_nothing_is_made() {
    let home = Home::initialised();
    let issued = certificates_of(&home);
    let untouched = || {
        assert!(!home.path("tls").exists() && !home.path("client").exists());
        assert_eq!(certificates_of(&home), issued);
    };
    for (code, arguments, named) in [
        (64, &[][..], "--host"),
        (64, &["--host"], "--host"),
        (64, &["--host", "docker.test", "--ip", "10.1.2"], "10.1.2"),
        (64, &["--host", "no host"], "no host"),
        (64, &["--host", "*.test"], "wildcard"),
        (64, &["--host", "docker.test", "--ttl", "0s"], "0s"),
        (64, &["--host", "docker.test", "--ttl", "9000d"], "longest"),
        (64, &["--host", "docker.test", "--client-dir", "tls"], "same folder"),
    ] {
        let base = if arguments.contains(&"--client-dir") { &SETUP[..4] } else { SETUP };
        let said = home.fails(code, &[base, arguments].concat());
        assert!(said.contains(named), "{arguments:?}: {said}");
        assert_eq!(said.matches("error:").count(), 1, "{said}");
        assert!(said.matches("hint:").count() <= 1, "{said}");
        untouched();
    }
    let file = home.write("file", "in the way");
    let below = format!("{file}/tls");
    let said = home.fails(
        1,
        &["docker", "setup", "--host", "a.test", "--dir", &below, "--client-dir", "client"],
    );
    assert!(said.contains(&below) && said.contains("hint:"), "{said}");
    untouched();
    let said = home
        .fails(1, &["docker", "setup", "--host", "a.test", "--dir", "tls", "--client-dir", &below]);
    assert!(said.contains(&below), "{said}");
    untouched();
    let open = home.path("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    let said = home.fails(
        1,
        &["docker", "setup", "--host", "a.test", "--dir", "open", "--client-dir", "client"],
    );
    assert!(said.contains("0777") && said.contains("chmod go-w"), "{said}");
    untouched();

    let other = Home::new();
    let said = other.fails(1, &[SETUP, &["--host", "a.test"]].concat());
    assert!(said.contains("sealock init") || said.contains("sealock up"), "{said}");
}

/// The binary with a `dockerd` of our own in `PATH`, which takes any settings, or none.
fn with_dockerd(home: &Home, takes: bool, arguments: &[&str]) -> Output {
    let folder = home.path("bin");
    fs::create_dir_all(&folder).unwrap();
    let said = if takes { "exit 0" } else { "echo 'invalid settings' >&2; exit 1" };
    fs::write(folder.join("dockerd"), format!("#!/bin/sh\n{said}\n")).unwrap();
    fs::set_permissions(folder.join("dockerd"), fs::Permissions::from_mode(0o755)).unwrap();
    home.command().env("PATH", &folder).args(arguments).output().unwrap()
}

#[test]
fn apply_merges_daemon_json_once_and_keeps_the_old_one() {
    let home = Home::initialised();
    let old = "{\n  \"log-driver\": \"journald\"\n}\n";
    let path = home.write("daemon.json", old);
    let apply =
        [&["--json"], SETUP, &["--host", "a.test", "--apply", "--daemon-json", &path]].concat();
    let output = with_dockerd(&home, true, &apply);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let applied = &said["daemon_json"]["applied"];
    assert_eq!(applied["changed"], true, "{said}");
    assert!(applied["validation"].as_str().unwrap().contains("takes it"), "{said}");
    let backup = applied["backup"].as_str().unwrap();
    assert_eq!(fs::read_to_string(backup).unwrap(), old);
    let text_now = fs::read_to_string(&path).unwrap();
    let now: Value = serde_json::from_str(&text_now).unwrap();
    assert_eq!(now["log-driver"], "journald");
    assert_eq!(now["tlsverify"], true);
    assert_eq!(now["tlskey"], at(&home, "tls/server-key.pem"));
    assert_eq!(now["hosts"], json!(["unix:///var/run/docker.sock", "tcp://0.0.0.0:2376"]));

    let output = with_dockerd(&home, true, &apply);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["daemon_json"]["applied"]["changed"], false, "{said}");
    assert_eq!(said["restart_needed"], false);
    assert_eq!(fs::read_to_string(&path).unwrap(), text_now);
}

#[test]
fn a_daemon_json_that_cannot_be_merged_stops_everything_before_it_begins() {
    let home = Home::initialised();
    let issued = certificates_of(&home);
    for (old, named) in [
        ("{\"debug\": true,}", "line 1"),
        ("[]", "not an object"),
        ("{\"tlsverify\": false}", "tlsverify"),
        ("{ // mine\n}", "comment"),
    ] {
        let path = home.write("daemon.json", old);
        let apply = [SETUP, &["--host", "a.test", "--apply", "--daemon-json", &path]].concat();
        let output = with_dockerd(&home, true, &apply);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(named) && said.contains("hint:"), "{said}");
        assert_eq!(fs::read_to_string(&path).unwrap(), old);
        assert!(!home.path("tls").exists() && !home.path("client").exists());
        assert_eq!(certificates_of(&home), issued);
    }
    let path = home.write("daemon.json", "{}");
    let apply = [SETUP, &["--host", "a.test", "--apply", "--daemon-json", &path]].concat();
    let output = with_dockerd(&home, false, &apply);
    assert!(text(&output.stderr).contains("invalid settings"), "{}", text(&output.stderr));
    assert_eq!(fs::read_to_string(&path).unwrap(), "{}");
}

#[test]
fn env_is_what_a_shell_takes() {
    let home = Home::initialised();
    setup(&home, &["--host", "*.test,docker.test"]);
    let folder = at(&home, "it's mine");
    let with_host = ["docker", "env", "--host", "tcp://[::1]:7", "--client-dir", "it's mine"];
    let by_name = ["docker", "env", "--host", "other.test", "--client-dir", "it's mine"];
    let by_certificate = ["docker", "env", "--dir", "tls", "--client-dir", "it's mine"];
    for (arguments, host) in [
        (&with_host[..], "tcp://[::1]:7"),
        (&by_name, "tcp://other.test:2376"),
        (&by_certificate, "tcp://docker.test:2376"),
    ] {
        let lines = home.ok(arguments);
        let script = "eval \"$1\"; printf '%s|%s|%s' \"$DOCKER_HOST\" \"$DOCKER_TLS_VERIFY\" \"$DOCKER_CERT_PATH\"";
        let said = tool("sh", &["-c", script, "sh", &lines]);
        assert_eq!(said, format!("{host}|1|{folder}"));
        assert_eq!(home.json(arguments)["DOCKER_HOST"], host);
    }
    let said = home.fails(64, &["docker", "env", "--dir", "nowhere"]);
    assert!(said.contains("--host"), "{said}");
    let said = home.fails(64, &["docker", "env", "--host", "tcp://x"]);
    assert!(said.contains("tcp://HOST:PORT"), "{said}");
    assert!(!Home::new().state().exists(), "env needs no state");
}

#[test]
fn a_context_is_one_for_docker() {
    if sealock_testkit::clients::skip_without(&["docker"]) {
        return;
    }
    let home = Home::initialised();
    setup(&home, &["--host", "docker.test"]);
    let make = |host: &str| {
        ["docker", "context", "far", "--host", host, "--client-dir", "client"].map(str::to_owned)
    };
    let made = make("tcp://docker.test:2376");
    let made: Vec<&str> = made.iter().map(String::as_str).collect();
    home.ok(&made);
    let config = at(&home, ".docker");
    let shown = tool("docker", &["--config", &config, "context", "inspect", "far"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown[0]["Endpoints"]["docker"]["Host"], "tcp://docker.test:2376");
    assert_eq!(shown[0]["TLSMaterial"]["docker"], json!(["ca.pem", "cert.pem", "key.pem"]));
    home.ok(&made);
    let other = make("tcp://other.test:2376");
    let other: Vec<&str> = other.iter().map(String::as_str).collect();
    let said = home.fails(1, &other);
    assert!(said.contains("docker.test") && said.contains("docker context rm far"), "{said}");
    home.fails(64, &["docker", "context", "a b", "--host", "tcp://x:1", "--client-dir", "client"]);
    let said =
        home.fails(1, &["docker", "context", "new", "--host", "tcp://x:1", "--client-dir", "no"]);
    assert!(said.contains("sealock docker setup"), "{said}");
}

/// openssl as a server with the files of `docker setup`, on a port of its own; ended with the test.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start(home: &Home, more: &[&str]) -> Self {
        let mut child = Command::new("openssl")
            .args(["s_server", "-accept", "127.0.0.1:0", "-www"])
            .args([
                "-cert",
                &at(home, "tls/server-cert.pem"),
                "-key",
                &at(home, "tls/server-key.pem"),
            ])
            .args(["-cert_chain", &at(home, "tls/server-cert.pem")])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.map_while(Result::ok).find(|line| line.starts_with("ACCEPT")).unwrap();
        let url = format!("tcp://{}", line.split_whitespace().nth(1).unwrap());
        Self { child, url }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn checked(home: &Home, arguments: &[&str]) -> (Option<i32>, Value) {
    let output = home.run(&[&["--json", "docker", "check"], arguments].concat());
    assert!(!output.stdout.is_empty(), "{arguments:?}: {}", text(&output.stderr));
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn check_tells_who_gets_in() {
    let home = Home::initialised();
    setup(&home, &["--host", "localhost", "--ip", "127.0.0.1"]);
    let ca = at(&home, "tls/ca.pem");
    let open = Server::start(&home, &[]);
    let (code, report) = checked(&home, &[&open.url, "--client-dir", "client"]);
    assert_eq!((code, &report["mode"]), (Some(1), &json!("tls")), "{report}");
    assert_eq!(report["stranger_gets_in"], true, "{report}");
    assert_eq!(report["server"]["verified"], true, "{report}");

    let guarded = Server::start(&home, &["-Verify", "3", "-verify_return_error", "-CAfile", &ca]);
    let (code, report) = checked(&home, &[&guarded.url, "--client-dir", "client"]);
    assert_eq!((code, &report["mode"]), (Some(0), &json!("tlsverify")), "{report}");
    assert_eq!(report["stranger_gets_in"], false, "{report}");
    let valid = report["probes"].as_array().unwrap().iter().find(|one| one["probe"] == "tls-valid");
    assert_eq!(valid.unwrap()["outcome"], "accepted", "{report}");
    let said = home.ok(&["docker", "check", &guarded.url, "--ca", &ca]);
    assert!(said.contains("no stranger gets in") && said.contains("localhost"), "{said}");

    // The client's files, taken as a revoked client's, get in where nobody looks at a list.
    let (code, report) = checked(&home, &[&guarded.url, "--ca", &ca, "--revoked", "client"]);
    assert_eq!((code, &report["former_gets_in"]), (Some(1), &json!(true)), "{report}");
}

#[test]
fn check_names_what_is_wrong_with_what_it_is_given() {
    let home = Home::new();
    let said = home.fails(64, &["docker", "check", "ftp://x"]);
    assert!(said.contains("unix://"), "{said}");
    let said = home.fails(1, &["docker", "check", "unix:///nowhere/docker.sock"]);
    assert!(said.contains("/nowhere/docker.sock"), "{said}");
    let junk = home.write("junk.pem", "junk");
    let said = home.fails(1, &["docker", "check", "tcp://127.0.0.1:9", "--ca", &junk]);
    assert!(said.contains("junk.pem"), "{said}");
    let said = home.fails(1, &["docker", "check", "tcp://127.0.0.1:9", "--client-dir", "no"]);
    assert!(said.contains("sealock docker setup"), "{said}");
    assert!(!home.state().exists(), "check needs no state");
}

#[test]
fn check_tells_what_the_engines_socket_is() {
    if sealock_testkit::clients::skip_without_engine() {
        return;
    }
    let home = Home::new();
    let output = home.run(&["--json", "docker", "check", "unix:///var/run/docker.sock"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["mode"], "unix", "{report}");
    assert_eq!(report["probes"][0]["outcome"], "accepted", "{report}");
    let others = fs::metadata("/var/run/docker.sock").unwrap().mode() & 0o002 != 0;
    assert_eq!(report["stranger_gets_in"], others, "{report}");
    assert_eq!(output.status.code(), Some(i32::from(others)));
}

#[test]
fn a_client_has_a_certificate_of_its_kind_and_again_it_stays() {
    let home = Home::initialised();
    for (kind, name) in [("human", "alice"), ("host", "build-7"), ("service", "ci")] {
        let client = ["docker", "client", name, "--kind", kind, "--dir", name];
        let made = home.json(&client);
        assert_eq!(made["identity"], format!("spiffe://test.sealock/{kind}/{name}"));
        assert_eq!(made["client"]["changed"], true);
        let certificate = format!("{name}/cert.pem");
        let verified =
            verify(&home, &format!("{name}/ca.pem"), &certificate, &["-purpose", "sslclient"]);
        assert!(verified.status.success(), "{}", text(&verified.stderr));
        let before = seen(&home.path(name));
        assert_eq!(home.json(&client)["client"]["changed"], false);
        assert_eq!(seen(&home.path(name)), before);
    }
    let issued = certificates_of(&home);
    for bad in ["a/b", "..", "", "a b", "ä"] {
        let said = home.fails(64, &["docker", "client", bad, "--dir", "bad"]);
        assert!(said.contains("hint:"), "{bad}: {said}");
    }
    let said = home.fails(64, &["docker", "client", "bob", "--dir", "bad", "--group", "no group"]);
    assert!(said.contains("no group") && said.contains("hint:"), "{said}");
    assert!(!home.path("bad").exists(), "nothing is written for nobody");
    let list = home.json(&["cert", "list"]);
    let bob = |one: &&Value| one["name"] == "docker/human/bob";
    assert_eq!(list["certificates"].as_array().unwrap().iter().filter(bob).count(), 0, "{list}");
    assert!(certificates_of(&home) <= issued + 1);
}

#[test]
fn a_clients_group_gives_it_rights_at_the_api() {
    if sealock_testkit::clients::skip_without_engine()
        || sealock_testkit::clients::skip_without(&["curl"])
    {
        return;
    }
    let home = Home::initialised();
    let rule = "permit (principal in Sealock::Group::\"readers\", action == Sealock::Action::\"Status::Read\", resource);\n";
    fs::write(home.state().join("policy/readers.cedar"), rule).unwrap();
    home.ok(&["docker", "client", "alice", "--group", "readers", "--dir", "alice"]);
    home.ok(&["docker", "client", "bob", "--dir", "bob"]);
    let _daemon = home.up();
    let api = home.json(&["status"])["api"].as_str().unwrap().to_owned();
    let api = api.trim_start_matches("https://").to_owned();
    let ask = |who: &str| {
        let file = |name: &str| at(&home, &format!("{who}/{name}"));
        let code = tool(
            "curl",
            &[
                "-sS",
                "-o",
                "/dev/null",
                "-w",
                "%{http_code}",
                "--cacert",
                &file("ca.pem"),
                "--cert",
                &file("cert.pem"),
                "--key",
                &file("key.pem"),
                "-d",
                "{\"command\":\"status\"}",
                &format!("https://{api}/v1/call"),
            ],
        );
        code.parse::<u16>().unwrap()
    };
    assert_eq!(ask("alice"), 200);
    assert_eq!(ask("bob"), 403, "who is in no group has no right");
    home.ok(&["docker", "client", "bob", "--group", "readers", "--dir", "bob"]);
    assert_eq!(ask("bob"), 200, "at once, with the certificate that was there");
    let log = home.ok(&["audit", "export"]);
    assert!(log.contains("\"group-changed\"") && log.contains("human/bob"), "{log}");
}
