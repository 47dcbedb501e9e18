//! The workload socket, with docker's own client inside containers: who they are is said by kernel and engine,
//! whatever they try.

use std::fs;
use std::io::{BufRead, BufReader, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use sealock_testkit::clients::{skip_without_engine, skip_without_root, static_docker};
use sealock_testkit::docker::{Container, Image, docker};
use sealock_testkit::wait::until;

use crate::gateway::permit;
use crate::support::{Home, PATIENCE, text};

const SOCKET: &str = "/run/sealock/docker.sock";

/// An image with docker's client and this very program.
pub(crate) fn image() -> Option<Image> {
    if skip_without_engine() || skip_without_root() {
        return None;
    }
    let client = static_docker()?;
    let own = fs::read("/proc/self/exe").unwrap();
    Some(Image::with_files(&[("bin/docker", &client, 0o755), ("bin/it", &own, 0o755)]))
}

pub(crate) fn name(container: &Container) -> String {
    container.inspect("{{.Name}}").trim_start_matches('/').to_owned()
}

fn folder(home: &Home) -> String {
    home.state().join("run/docker").display().to_string()
}

/// A container that has the socket's folder, as the guide says.
fn start(home: &Home, image: &Image, options: &[&str]) -> Container {
    let mount = format!("{}:/run/sealock:ro", folder(home));
    image.start(&[&["--volume", &mount], options].concat())
}

fn client<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    [&["docker", "--host", "unix:///run/sealock/docker.sock"], arguments].concat()
}

fn ok(container: &Container, arguments: &[&str]) -> String {
    container.output(&client(arguments))
}

fn refused(container: &Container, arguments: &[&str]) -> String {
    let output = container.exec(&client(arguments));
    assert!(!output.status.success(), "docker {arguments:?}: {}", text(&output.stdout));
    text(&output.stderr)
}

/// A rule that lets the container of this name do everything.
fn all_for(name: &str) -> String {
    format!(
        "permit (principal == Sealock::Service::\"{name}\", action in Sealock::Action::\"Docker\", resource);\n"
    )
}

/// A command in a container that goes on.
fn begin(container: &Container, command: &[&str]) -> Child {
    let mut exec = Command::new("docker");
    exec.args(["exec", "--interactive", container.id()]).args(command);
    exec.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn line(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    line
}

#[test]
fn a_container_is_who_the_engine_says_and_does_what_policy_says() {
    let Some(image) = image() else { return };
    let home = crate::gateway::home();
    let daemon = home.up();
    assert_eq!(home.json(&["status"])["gateway_socket"], folder(&home) + "/docker.sock");
    let (manager, other) = (start(&home, &image, &[]), start(&home, &image, &[]));
    permit(&home, &all_for(&name(&manager)));

    assert!(ok(&manager, &["ps", "--quiet", "--no-trunc"]).contains(other.id()));
    let piped = format!(
        "echo to the end | docker --host unix://{SOCKET} exec --interactive {} cat",
        other.id()
    );
    assert_eq!(manager.output(&["sh", "-c", &piped]), "to the end\n", "streams, half-closed");
    ok(&manager, &["stop", "--time", "0", other.id()]);
    ok(&manager, &["start", other.id()]);

    let said = refused(&other, &["ps"]);
    let rule = format!("Sealock::Service::\"{}\"", name(&other));
    assert!(said.contains("Docker::ContainerList on engine is denied"), "{said}");
    assert!(said.contains(&rule), "the suggested rule names the container: {said}");
    // Everybody may connect, also who is not root; and the host's process namespace changes nobody's name.
    let app = start(&home, &image, &["--user", "app", "--pid", "host", "--cap-drop", "ALL"]);
    let said = refused(&app, &["ps"]);
    assert!(said.contains(&format!("\"{}\"", name(&app))), "{said}");

    let log = home.ok(&["--json", "audit", "tail", "-n", "50"]);
    let who = format!("spiffe://test.sealock/service/{}", name(&manager));
    let recorded = |line: &&str| line.contains(&who) && line.contains("Docker::ContainerStop");
    assert!(log.lines().find(recorded).is_some(), "{log}");
    let host = Command::new("docker")
        .args(["--host", &format!("unix://{}/docker.sock", folder(&home)), "ps"])
        .output()
        .unwrap();
    let said = text(&host.stderr);
    assert!(!host.status.success() && said.contains("is in no container of this engine"), "{said}");
    assert_eq!(daemon.stop(), Some(0));
    assert!(!Path::new(&folder(&home)).join("docker.sock").exists(), "the socket is gone with it");
}

#[test]
fn the_end_and_a_new_name_of_a_container_cut_its_connections() {
    let Some(image) = image() else { return };
    let home = crate::gateway::home();
    let daemon = home.up();
    let (renamed, kept) = (start(&home, &image, &[]), start(&home, &image, &[]));
    let old = name(&renamed);
    permit(&home, &(all_for(&old) + &all_for(&name(&kept))));
    let shell =
        client(&["exec", "--interactive", kept.id(), "sh", "-c", "echo begun; cat; echo ended"]);
    let (mut cut, mut stays) = (begin(&renamed, &shell), begin(&kept, &shell));
    assert_eq!((line(&mut cut), line(&mut stays)), ("begun\n".into(), "begun\n".into()));

    let (new, began) = (sealock_testkit::unique_name(), Instant::now());
    let _ = docker(&["rename", renamed.id(), &new]);
    until("the stream to be cut", PATIENCE, || cut.try_wait().unwrap());
    eprintln!("cut {} ms after `docker rename` began", began.elapsed().as_millis());
    assert!(stays.try_wait().unwrap().is_none(), "others are not disturbed");
    let said = refused(&renamed, &["ps"]);
    assert!(said.contains(&format!("\"{new}\"")), "it is another identity now: {said}");
    let _ = docker(&["rename", renamed.id(), &old]);
    ok(&renamed, &["ps"]);

    // A kill of the daemon leaves its socket, which the next one heals; and who has mounted the folder has
    // the new socket without being started again.
    drop(stays.stdin.take());
    assert!(stays.wait().unwrap().success(), "the end of input is passed on");
    daemon.kill();
    let daemon = home.up();
    ok(&renamed, &["ps"]);
    assert_eq!(daemon.stop(), Some(0));
}

/// Every control group that the process is in.
fn control_groups(process: u32) -> Vec<std::path::PathBuf> {
    let lines = fs::read_to_string(format!("/proc/{process}/cgroup")).unwrap();
    let folder = |line: &str| {
        let mut fields = line.splitn(3, ':');
        let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let hierarchy = match controllers.strip_prefix("name=").unwrap_or(controllers) {
            "" if Path::new("/sys/fs/cgroup/unified").is_dir() => "unified",
            other => other,
        };
        let folder = format!("/sys/fs/cgroup/{hierarchy}{path}/cgroup.procs");
        Path::new(&folder).exists().then(|| folder.into())
    };
    lines.lines().filter_map(folder).collect()
}

/// As a container could that has the rights to mount the control groups.
fn move_into(process: u32, container: &Container) {
    let groups = control_groups(container.pid());
    assert!(!groups.is_empty());
    for group in groups {
        fs::write(group, process.to_string()).unwrap();
    }
    let now = fs::read_to_string(format!("/proc/{process}/cgroup")).unwrap();
    assert!(now.contains(container.id()), "{now}");
}

#[test]
fn who_moves_into_the_control_groups_of_another_container_is_nobody() {
    let Some(image) = image() else { return };
    let home = crate::gateway::home();
    let daemon = home.up();
    let (mighty, weak) = (start(&home, &image, &[]), start(&home, &image, &[]));
    permit(&home, &all_for(&name(&mighty)));
    ok(&mighty, &["ps"]);

    let script = format!("echo ready; read go; exec docker --host unix://{SOCKET} ps");
    let mut forger = begin(&weak, &["sh", "-c", &script]);
    assert_eq!(line(&mut forger), "ready\n");
    let listed = docker(&["top", weak.id(), "-eo", "pid,args"]);
    let found = listed.lines().find(|line| line.contains("read go")).unwrap();
    move_into(found.split_whitespace().next().unwrap().parse().unwrap(), &mighty);
    forger.stdin.take().unwrap().write_all(b"go\n").unwrap();
    let output: Output = forger.wait_with_output().unwrap();
    let said = text(&output.stderr);
    assert!(!output.status.success() && said.contains("another view of the file system"), "{said}");

    // The same from the host itself.
    let mut shell = Command::new("sh");
    let host = format!("unix://{}/docker.sock", folder(&home));
    shell.args(["-c", "read go; exec docker --host \"$0\" ps", &host]);
    let shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut forger = shell.spawn().unwrap();
    move_into(forger.id(), &mighty);
    forger.stdin.take().unwrap().write_all(b"go\n").unwrap();
    let said = text(&forger.wait_with_output().unwrap().stderr);
    assert!(said.contains("another view of the file system"), "{said}");
    ok(&mighty, &["ps"]);
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_connection_that_is_handed_on_stays_its_containers_and_ends_with_it() {
    let Some(image) = image() else { return };
    let home = crate::gateway::home();
    let daemon = home.up();
    let shared = home.path("shared");
    fs::create_dir(&shared).unwrap();
    let shared = format!("{}:/shared", shared.display());
    let giver = start(&home, &image, &["--volume", &shared]);
    let taker = start(&home, &image, &["--volume", &shared]);
    let rules = "permit (principal == Sealock::Service::\"NAME\", action in Sealock::Action::\"DockerRead\", resource);";
    permit(&home, &rules.replace("NAME", &name(&giver)));

    let mut gives = begin(&giver, &["/bin/it", "--exact", "gateway_socket::gives", "--nocapture"]);
    until("the giver to wait", PATIENCE, || {
        taker.exec(&["test", "-S", "/shared/hand"]).status.success().then_some(())
    });
    let mut takes = begin(&taker, &["/bin/it", "--exact", "gateway_socket::takes", "--nocapture"]);
    let mut output = BufReader::new(takes.stdout.take().unwrap());
    let mut seen = String::new();
    while !seen.contains("TAKEN") {
        assert!(output.read_line(&mut seen).unwrap() > 0, "{seen}");
    }
    assert!(seen.contains("TAKEN HTTP/1.1 200"), "it is the giver's connection: {seen}");
    assert!(gives.wait().unwrap().success());
    let said = refused(&taker, &["ps"]);
    assert!(said.contains(&format!("\"{}\"", name(&taker))), "a new one is the taker's: {said}");

    assert!(takes.try_wait().unwrap().is_none(), "it waits for the end of the connection");
    giver.kill();
    output.read_to_string(&mut seen).unwrap();
    assert!(seen.contains("CUT"), "the giver's end cuts it: {seen}");
    assert!(takes.wait().unwrap().success());
    assert_eq!(daemon.stop(), Some(0));
}

/// Not a test of its own: in a container, connects and hands the connection to whoever asks for it.
#[test]
fn gives() {
    if !Path::new("/shared").is_dir() {
        return;
    }
    let connection = UnixStream::connect(SOCKET).unwrap();
    // It is attested before anybody else has it.
    (&connection).write_all(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"OK") {
        let mut piece = [0; 256];
        let length = (&connection).read(&mut piece).unwrap();
        assert!(length > 0, "{}", text(&answer));
        answer.extend_from_slice(&piece[..length]);
    }
    let listener = UnixListener::bind("/shared/hand").unwrap();
    let (asking, _) = listener.accept().unwrap();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let rights = [connection.as_fd()];
    assert!(control.push(SendAncillaryMessage::ScmRights(&rights)));
    sendmsg(&asking, &[IoSlice::new(b"x")], &mut control, SendFlags::empty()).unwrap();
}

/// Not a test of its own: in a container, takes a connection, uses it, and waits for its end.
#[test]
fn takes() {
    if !Path::new("/shared").is_dir() {
        return;
    }
    let asking = UnixStream::connect("/shared/hand").unwrap();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(&asking, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::empty()).unwrap();
    let taken: Option<OwnedFd> = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut rights) => rights.next(),
        _ => None,
    });
    let mut connection = UnixStream::from(taken.unwrap());
    connection.write_all(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = [0; 1024];
    let length = connection.read(&mut answer).unwrap();
    println!("TAKEN {}", text(&answer[..length]).lines().next().unwrap());
    let mut rest = Vec::new();
    let _ = connection.read_to_end(&mut rest);
    println!("CUT");
}

#[test]
fn a_container_that_could_replace_the_socket_is_told_to_mount_it_read_only() {
    let Some(image) = image() else { return };
    let home = crate::gateway::home();
    let daemon = home.up();
    for source in [folder(&home), home.state().join("run").display().to_string()] {
        let mount = format!("{source}:/run/sealock");
        let container = image.start(&["--volume", &mount]);
        permit(&home, &all_for(&name(&container)));
        let path = if source.ends_with("docker") { "" } else { "docker/" };
        let host = format!("unix:///run/sealock/{path}docker.sock");
        let output = container.exec(&["docker", "--host", &host, "ps"]);
        let said = text(&output.stderr);
        assert!(!output.status.success() && said.contains("mount it read-only"), "{said}");
    }
    assert_eq!(daemon.stop(), Some(0));
}
