//! The Docker API through the gateway, with docker's own client: what an administrator, a reader and a stranger
//! see of it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};

use sealock_testkit::docker::{Container, Image};
use sealock_testkit::wait::until;

use crate::support::{Home, PATIENCE, text};

pub(crate) fn skip() -> bool {
    sealock_testkit::clients::skip_without_engine()
}

/// A client certificate in a folder, as docker's client wants it.
pub(crate) struct Client {
    pub(crate) folder: String,
    pub(crate) address: String,
}

impl Client {
    fn new(home: &Home, name: &str, certificate: &str, key: &str) -> Self {
        let status = home.json(&["status"]);
        let address = status["gateway"].as_str().unwrap().to_owned();
        let folder = home.path(&format!("client-{name}"));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("ca.pem"), home.ok(&["ca", "bundle"])).unwrap();
        fs::copy(certificate, folder.join("cert.pem")).unwrap();
        fs::copy(key, folder.join("key.pem")).unwrap();
        Self { folder: folder.display().to_string(), address }
    }

    pub(crate) fn admin(home: &Home) -> Self {
        let folder = home.state().join("identities/admin").display().to_string();
        Self::new(home, "admin", &format!("{folder}/tls.crt"), &format!("{folder}/tls.key"))
    }

    /// The same after the daemon was started again, on another port.
    pub(crate) fn at(self, home: &Home) -> Self {
        let status = home.json(&["status"]);
        let address = status["gateway"].as_str().unwrap().to_owned();
        Self { address, ..self }
    }

    /// Somebody with a certificate of ours; gives the serial too.
    pub(crate) fn human(home: &Home, name: &str) -> (Self, String) {
        let out = home.path(name).display().to_string();
        let uri = format!("spiffe://test.sealock/human/{name}");
        let options = ["--uri", &uri, "--usage", "client", "--out", &out];
        let issued = home.json(&[&["cert", "issue", name], &options[..]].concat());
        let serial = issued["serial"].as_str().unwrap().to_owned();
        let (certificate, key) = (format!("{out}/tls.crt"), format!("{out}/tls.key"));
        (Self::new(home, name, &certificate, &key), serial)
    }

    /// What clients of all kinds read it from.
    pub(crate) fn environment(&self) -> BTreeMap<String, String> {
        let host = format!("tcp://{}", self.address);
        let variables = [
            ("DOCKER_HOST", host.as_str()),
            ("DOCKER_TLS_VERIFY", "1"),
            ("DOCKER_CERT_PATH", &self.folder),
        ];
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.envs(self.environment()).args(arguments).stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "docker {arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// What docker prints of a refusal.
    pub(crate) fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(!output.status.success(), "docker {arguments:?}: {}", text(&output.stdout));
        text(&output.stderr)
    }

    /// With something on its standard input, which then ends.
    pub(crate) fn fed(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut command = self.command(arguments);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        std::thread::scope(|scope| {
            // What it says meanwhile has to be read, or neither goes on.
            scope.spawn(move || stdin.write_all(input).unwrap());
            child.wait_with_output().unwrap()
        })
    }
}

pub(crate) fn home() -> Home {
    let home = Home::new();
    home.ok(&["init", "--trust-domain", "test.sealock"]);
    home
}

/// Adds rules to the policy, which the daemon takes over.
pub(crate) fn permit(home: &Home, rules: &str) {
    fs::write(home.state().join("policy/test.cedar"), rules).unwrap();
    home.ok(&["policy", "reload"]);
}

const READER: &str = r#"
permit (
  principal == Sealock::Human::"reader",
  action in [Sealock::Action::"DockerRead", Sealock::Action::"Docker::SeeOthers"],
  resource
);"#;

#[test]
fn for_the_administrator_it_is_like_the_local_socket() {
    if skip() {
        return;
    }
    let home = home();
    let daemon = home.up();
    let admin = Client::admin(&home);
    let image = Image::busybox();
    let container = image.start(&[]);
    let id = container.id();

    assert!(admin.ok(&["ps", "--no-trunc", "--quiet"]).contains(id));
    let echo = admin.fed(&["exec", "--interactive", id, "cat"], b"to the end");
    assert_eq!(text(&echo.stdout), "to the end", "the end of input is passed on");
    let failed = admin.run(&["exec", id, "sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!(failed.status.code(), Some(7));
    assert_eq!((text(&failed.stdout), text(&failed.stderr)), ("out\n".into(), "err\n".into()));

    let large: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let back = admin.fed(&["exec", "--interactive", id, "cat"], &large);
    assert!(back.stdout == large, "12 MB there and back");
    let run = ["run", "--rm", "--interactive", image.name(), "sha256sum"];
    let hashed = admin.fed(&run, &large);
    let expected = container_sum(&container, &large);
    assert_eq!(text(&hashed.stdout), expected);

    let file = home.write("file", "copied");
    admin.ok(&["cp", &file, &format!("{id}:/tmp/file")]);
    assert_eq!(container.output(&["cat", "/tmp/file"]), "copied");
    assert!(admin.ok(&["logs", id]).is_empty());
    let inspected = admin.ok(&["inspect", "--format", "{{.Id}}", id]);
    assert_eq!(inspected.trim(), id);
    let missing = admin.refused(&["inspect", "--type", "container", "nobody-is-called-so"]);
    assert!(missing.contains("No such container"), "the engine's own word: {missing}");
    assert_eq!(daemon.stop(), Some(0));
}

/// What `sha256sum` of the image says.
fn container_sum(container: &Container, content: &[u8]) -> String {
    let mut child = Command::new("docker")
        .args(["exec", "--interactive", container.id(), "sha256sum"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(content).unwrap();
    text(&child.wait_with_output().unwrap().stdout)
}

#[test]
fn a_build_goes_through_and_everything_done_is_recorded() {
    if skip() {
        return;
    }
    let home = home();
    let daemon = home.up();
    let admin = Client::admin(&home);
    let image = Image::busybox();
    let tag = format!("{}:built", sealock_testkit::unique_name());
    let file = format!("FROM {}\nRUN echo built > /tmp/mark\n", image.name());
    let mut build = admin.command(&["build", "--quiet", "--tag", &tag, "-"]);
    build.env("DOCKER_BUILDKIT", "0").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = build.stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(file.as_bytes()).unwrap();
    let built = child.wait_with_output().unwrap();
    assert!(built.status.success(), "{}", text(&built.stderr));
    let mark = admin.ok(&["run", "--rm", &tag, "cat", "/tmp/mark"]);
    admin.ok(&["image", "rm", "--force", &tag]);
    assert_eq!(mark, "built\n");
    let log = home.ok(&["--json", "audit", "tail", "-n", "50"]);
    for operation in ["Docker::ImageBuild", "Docker::ContainerCreate", "Docker::ContainerStart"] {
        assert!(log.contains(operation), "{operation} is not in {log}");
    }
    assert!(home.ok(&["audit", "verify"]).contains("unbroken"));
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_reader_reads_and_does_nothing_else() {
    if skip() {
        return;
    }
    let home = home();
    let daemon = home.up();
    permit(&home, READER);
    let (reader, _) = Client::human(&home, "reader");
    let image = Image::busybox();
    let container = image.start(&[]);
    let id = container.id();

    assert!(reader.ok(&["ps", "--no-trunc", "--quiet"]).contains(id));
    reader.ok(&["inspect", id]);
    reader.ok(&["logs", id]);
    reader.ok(&["top", id]);
    let tries: &[&[&str]] = &[
        &["exec", id, "id"],
        &["attach", id],
        &["cp", &format!("{id}:/etc/passwd"), "-"],
        &["export", id],
        &["kill", id],
        &["rm", "--force", id],
        &["run", "--rm", image.name(), "id"],
        &["create", "--privileged", "--volume", "/:/host", image.name()],
        &["commit", id],
        &["save", image.name()],
        &["image", "rm", image.name()],
        &["network", "create", "sealock-not-made"],
        &["volume", "create", "sealock-not-made"],
        &["volume", "create", "--opt=type=none", "--opt=o=bind", "--opt=device=/", "sealock-x"],
        &["system", "prune", "--force"],
        &["swarm", "init"],
    ];
    for arguments in tries {
        let said = reader.refused(arguments);
        // Of an upgrade that is refused docker prints the status only.
        assert!(said.contains("is denied") || said.contains("403"), "{arguments:?}: {said}");
    }
    assert_eq!(container.output(&["echo", "alive"]), "alive\n");
    let said = reader.refused(&["kill", id]);
    let request = said.split("policy explain ").nth(1).unwrap().split('`').next().unwrap();
    let explained = home.ok(&["policy", "explain", request]);
    assert!(explained.contains("Docker::ContainerKill"), "{explained}");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn the_rule_that_a_denial_suggests_allows_just_that() {
    if skip() {
        return;
    }
    let home = home();
    let daemon = home.up();
    let (someone, _) = Client::human(&home, "someone");
    let said = someone.refused(&["ps"]);
    let rule = said.split("would allow it:").nth(1).unwrap();
    permit(&home, rule);
    someone.ok(&["ps"]);
    assert!(someone.refused(&["images"]).contains("is denied"));
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn without_a_certificate_of_ours_nothing_is_read() {
    if skip() {
        return;
    }
    let home = home();
    let daemon = home.up();
    let address = home.json(&["status"])["gateway"].as_str().unwrap().to_owned();
    let plain = Command::new("docker")
        .args(["--host", &format!("tcp://{address}"), "ps"])
        .env_remove("DOCKER_TLS_VERIFY")
        .output()
        .unwrap();
    assert!(text(&plain.stderr).contains("guarded by Sealock"), "{}", text(&plain.stderr));
    let mut stream = TcpStream::connect(&address).unwrap();
    stream.write_all(b"POST /containers/create HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("{\"message\":"), "{answer}");
    let url = format!("https://{address}/_ping");
    let bare = Command::new("curl").args(["--silent", "--insecure", &url]).output().unwrap();
    assert!(text(&bare.stdout).contains("guarded by Sealock"), "{}", text(&bare.stdout));
    let log = home.ok(&["--json", "audit", "tail", "-n", "50"]);
    assert!(!log.contains("Docker::"), "no such request reaches policy: {log}");
    let report = home.json(&["docker", "check", &format!("tcp://{address}")]);
    assert_eq!(report["mode"], "gateway", "and no stranger gets in: {report}");
    assert_eq!(daemon.stop(), Some(0));
}

/// Reads the first line that a stream brings.
pub(crate) fn first_line(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    line
}

#[test]
fn a_revocation_ends_live_streams_and_closes_the_door() {
    if skip() {
        return;
    }
    let home = home();
    let daemon = home.up();
    permit(
        &home,
        "permit (principal == Sealock::Human::\"op\", action in Sealock::Action::\"Docker\", resource);",
    );
    let (op, serial) = Client::human(&home, "op");
    let (other, _) = Client::human(&home, "other");
    let admin = Client::admin(&home);
    let image = Image::busybox();
    let container = image.start(&[]);
    let id = container.id();
    let shell = ["exec", "--interactive", id, "sh", "-c", "echo begun; cat"];
    let start = |client: &Client, arguments: &[&str]| {
        let mut command = client.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let mut tunnel = start(&op, &shell);
    let mut kept = start(&admin, &shell);
    assert_eq!(
        (first_line(&mut tunnel), first_line(&mut kept)),
        ("begun\n".into(), "begun\n".into())
    );
    let mut events = start(&op, &["events"]);
    home.ok(&["cert", "revoke", &serial, "--reason", "key-compromise"]);
    until("the tunnel to be cut", PATIENCE, || tunnel.try_wait().unwrap());
    until("the events to be cut", PATIENCE, || events.try_wait().unwrap());
    assert!(kept.try_wait().unwrap().is_none(), "others are not disturbed");
    let said = op.refused(&["ps"]);
    assert!(said.contains("revoked"), "{said}");
    assert!(other.refused(&["ps"]).contains("is denied"));
    drop(kept.stdin.take());
    assert!(kept.wait().unwrap().success());
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn without_an_engine_it_says_so_and_comes_back_with_it() {
    if skip() {
        return;
    }
    let home = home();
    let socket = home.path("engine.sock").display().to_string();
    let log = fs::File::create(home.path("daemon.log")).unwrap();
    let mut command = home.command();
    command.args(["--docker", &format!("unix://{socket}"), "up"]);
    command.args(["--api", "off", "--gateway", "127.0.0.1:0"]);
    let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
    let daemon = crate::support::Daemon::of(child);
    until("the daemon to answer", PATIENCE, || {
        let status = home.run(&["--json", "status"]);
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).ok()?;
        status["gateway"].is_string().then_some(())
    });
    let admin = Client::admin(&home);
    let said = admin.refused(&["ps"]);
    assert!(said.contains("cannot be reached"), "{said}");
    std::os::unix::fs::symlink("/var/run/docker.sock", &socket).unwrap();
    admin.ok(&["ps"]);
    fs::remove_file(&socket).unwrap();
    assert_eq!(daemon.stop(), Some(0));
}
