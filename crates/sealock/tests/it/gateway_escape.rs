//! Ways out of a container, tried through the gateway by somebody who may only make plain ones and by somebody
//! who may only look; and at the engine's own socket, where they work.

mod corpus;
mod routes;
mod world;

use std::fs;
use std::process::Command;

use sealock_testkit::docker::{Image, call, docker};
use sealock_testkit::wait::until;

use crate::gateway::{Client, home, skip};
use crate::support::{Daemon, Home, PATIENCE, text};
use corpus::{LATER, MOUNTS, Proof, ROOTS, SETTINGS, TAILS, Try, VOLUMES};
use routes::{OTHERS, READER};
use world::{Made, World};

/// Options of docker that reach beyond the container.
const REACHING: &[&[&str]] = &[
    &["--privileged"],
    &["--volume", "/srv/ci/../../etc:/etc2"],
    &["--volume", "/var/run/docker.sock:/s"],
    &[
        "--mount",
        "type=volume,dst=/x,volume-driver=local,volume-opt=type=none,volume-opt=o=bind,volume-opt=device=/",
    ],
    &["--cap-add", "SYS_ADMIN"],
    &["--cap-add", "aLL"],
    &["--device", "/dev/vda"],
    &["--device-cgroup-rule", "b 254:0 r"],
    &["--security-opt", "seccomp=unconfined"],
    &["--security-opt", "apparmor:unconfined"],
    &["--security-opt", "systempaths=unconfined"],
    &["--pid", "host"],
    &["--ipc", "host"],
    &["--uts", "host"],
    &["--network", "host"],
    &["--userns", "host"],
    &["--cgroupns", "host"],
    &["--cgroup-parent", "/../../system.slice"],
    &["--volumes-from", "somebody"],
    &["--network", "container:somebody"],
    &["--sysctl", "net.ipv4.ip_forward=1"],
    &["--runtime", "runc"],
    &["--oom-score-adj", "-500"],
    &["--log-driver", "syslog"],
    &["--publish", "80:80"],
    &["--label", "sealock.cert.web.dns=payroll"],
];

/// Bodies that an engine takes for mighty ones.
fn reaching_bodies(name: &str) -> Vec<String> {
    let host = r#"{"Binds":["/:/host"],"Privileged":true}"#;
    vec![
        format!(r#"{{"Image":"{name}","HostConfig":{host}}}"#),
        format!(r#"{{"Image":"{name}","hostconfig":{host}}}"#),
        format!(r#"{{"Image":"{name}","Ho\u017ftConfig":{host}}}"#),
        format!(r#"{{"Image":"{name}","HostConfig":{host},"HostConfig":{{}}}}"#),
        format!(r#"{{"Image":"{name}","HostConfig":{{}},"HostConfig":{host}}}"#),
        format!(r#"{{"Image":"{name}","HostConfig":{{"\u0050rivileged":true}}}}"#),
        format!(r#"{{"Image":"{name}","Binds":["/:/host"]}}"#),
        format!(r#"{{"Image":"{name}","HostConfig":null,"Privileged":true}}"#),
        format!(r#"{{"Image":"{name}"}}{{"HostConfig":{host}}}"#),
        format!(
            r#"{{"Image":"{name}","HostConfig":{{"Mounts":[{{"Type":"bind","Source":"/","Target":"/h"}}],"Mounts":[{{"Target":"/h"}}]}}}}"#
        ),
        format!(r#"{{"Image":"{name}","HostConfig":{{"MaskedPaths":[]}}}}"#),
        format!(r#"{{"Image":"{name}","HostConfig":{{"NotYetInvented":true}}}}"#),
    ]
}

/// What the preset does not permit, so that it is not only the missing rule which holds.
const MORE: &str = r#"
permit (
  principal in Sealock::Group::"docker-ci",
  action in
    [Sealock::Action::"Docker::ImageLoad",
     Sealock::Action::"Docker::PluginPull",
     Sealock::Action::"Docker::PluginCreate",
     Sealock::Action::"Docker::SwarmInit",
     Sealock::Action::"Docker::SwarmJoin",
     Sealock::Action::"Docker::ServiceCreate",
     Sealock::Action::"Docker::SecretCreate",
     Sealock::Action::"Docker::ConfigCreate"],
  resource
);"#;

/// A service in a group, with the preset for it in the policy.
pub(crate) fn runner(home: &Home) -> (Daemon, Client) {
    let preset = concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies/docker/ci-runner.cedar");
    let settings = home.write("sealock.toml", "[groups]\ndocker-ci = [\"human/runner\"]\n");
    fs::create_dir_all(home.state().join("policy")).unwrap();
    fs::copy(preset, home.state().join("policy/ci-runner.cedar")).unwrap();
    fs::write(home.state().join("policy/more.cedar"), MORE).unwrap();
    let log = fs::File::create(home.path("daemon.log")).unwrap();
    let mut command = home.command();
    command.args(["--config", &settings, "up", "--api", "off", "--gateway", "127.0.0.1:0"]);
    let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
    let daemon = Daemon::of(child);
    until("the daemon to answer", PATIENCE, || {
        let status = home.run(&["--json", "status"]);
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).ok()?;
        status["gateway"].is_string().then_some(())
    });
    let (client, _) = Client::human(home, "runner");
    (daemon, client)
}

impl Client {
    /// The status and text of the answer to a request with this body.
    pub(crate) fn post(&self, target: &str, kind: &str, body: &str) -> (String, String) {
        self.request("POST", target, kind, body)
    }

    pub(crate) fn request(
        &self,
        method: &str,
        target: &str,
        kind: &str,
        body: &str,
    ) -> (String, String) {
        let url = format!("https://{}{target}", self.address);
        let file = |name: &str| format!("{}/{name}", self.folder);
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--cacert", &file("ca.pem"), "--cert", &file("cert.pem")])
            .args(["--key", &file("key.pem"), "--path-as-is", "--write-out", "\n%{http_code}"])
            .args(["--globoff", "--max-time", "30", "--request", method]);
        if method != "GET" || !body.is_empty() {
            curl.args(["--header", &format!("Content-Type: {kind}"), "--data-binary", body]);
        }
        let said = text(&curl.arg(&url).output().unwrap().stdout);
        let (said, status) = said.rsplit_once('\n').unwrap();
        (status.to_owned(), said.to_owned())
    }
}

#[test]
fn a_runner_runs_plain_containers_and_none_that_reach_the_host() {
    if skip() {
        return;
    }
    let home = home();
    let (daemon, runner) = runner(&home);
    let image = Image::busybox();
    let name = image.name();

    let ran = runner.run(&["run", "--rm", "--env", "A=b", "--memory", "64m", name, "echo", "ran"]);
    assert_eq!(text(&ran.stdout), "ran\n", "{}", text(&ran.stderr));
    let fed = runner.fed(&["run", "--rm", "--interactive", name, "cat"], b"fed");
    assert_eq!(text(&fed.stdout), "fed");

    let marker = home.write("marker", "of the host");
    let bind = format!("{marker}:/marker");
    let mount = format!("type=bind,src={marker},dst=/marker");
    let of_the_marker = [["--volume", bind.as_str()], ["--mount", mount.as_str()]];
    for option in REACHING.iter().copied().chain(of_the_marker.iter().map(|pair| &pair[..])) {
        let arguments = [&["create"], option, &[name, "cat", "/marker"]].concat();
        let said = runner.refused(&arguments);
        assert!(said.contains("denied") || said.contains("must not contain"), "{option:?}: {said}");
    }
    let bodies = reaching_bodies(name);
    let made = "/v1.41/containers/create?name=sealock-escaped";
    for body in &bodies {
        let (status, said) = runner.post(made, "application/json", body);
        assert!(["400", "403"].contains(&status.as_str()), "{body}: {status} {said}");
    }
    let plain = format!(r#"{{"Image":"{name}"}}"#);
    let targets = [
        "/v1.23/containers/create",
        "/containers%2Fcreate",
        "/%63ontainers/create",
        "/v1.41//containers/create",
        "/v1.41/containers/../containers/create",
        "/v1.41/containers/create?name=a&name=b",
        "/v1.41/build/../containers/create",
    ];
    for target in targets {
        let (status, said) = runner.post(target, "application/json", &plain);
        assert!(["400", "404"].contains(&status.as_str()), "{target}: {status} {said}");
    }
    let form = "application/x-www-form-urlencoded";
    let (status, said) = runner.post(made, form, &plain);
    assert_eq!(status, "415", "{said}");
    let volume = r#"{"Name":"sealock-x","DriverOpts":{"type":"none","o":"bind","device":"/"}}"#;
    let (status, said) = runner.post("/v1.41/volumes/create", "application/json", volume);
    assert_eq!(status, "403", "{said}");
    let large = format!(r#"{{"Image":"{name}","Cmd":["{}"]}}"#, "a".repeat(5 << 20));
    let body = format!("@{}", home.write("large", &large));
    let (status, said) = runner.post(made, "application/json", &body);
    assert_eq!(status, "413", "{said}");
    let left = docker(&["ps", "--all", "--quiet", "--filter", "name=sealock-escaped"]);
    assert_eq!(left, "");
    assert_eq!(daemon.stop(), Some(0));
}

/// Every try is refused through the gateway, and at least so many of them work at the socket.
fn are_refused(world: &World, tries: &[Try], members: impl Fn(&str) -> String, proven: usize) {
    let mut faults = Vec::new();
    let mut proofs = 0;
    for (fields, word, proof) in tries {
        let body = world.body(&members(fields));
        let outcome =
            world.is_refused(&body, word).and_then(|()| world.works_without(&body, *proof));
        proofs += usize::from(!matches!(proof, Proof::Nothing));
        faults.extend(outcome.err().map(|fault| format!("{fields}: {fault}")));
    }
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), tries.len(), faults.join("\n"));
    assert!(proofs >= proven, "{proofs} of {} are shown to work", tries.len());
}

#[test]
fn nothing_of_the_host_is_mounted_by_any_spelling() {
    if skip() {
        return;
    }
    let world = World::new();
    are_refused(&world, MOUNTS, |fields| format!(r#""HostConfig":{{{fields}}}"#), 50);
    world.ends();
}

#[test]
fn no_setting_of_the_host_is_made_by_any_spelling() {
    if skip() {
        return;
    }
    let world = World::new();
    are_refused(&world, SETTINGS, |fields| format!(r#""HostConfig":{{{fields}}}"#), 55);
    world.ends();
}

#[test]
fn nothing_is_read_beside_or_behind_the_settings_of_the_host() {
    if skip() {
        return;
    }
    let world = World::new();
    are_refused(&world, ROOTS, str::to_owned, 20);
    for tail in TAILS {
        let body = world.body("") + tail;
        let outcome = world.is_refused(&body, "not valid JSON");
        assert_eq!(outcome, Ok(()), "{tail}");
    }
    // The engine reads a body up to its end and no further.
    let trailing = world.body("") + TAILS[0];
    assert!(Made::at_the_socket(&trailing).is_ok());
    world.ends();
}

#[test]
fn a_volume_is_no_way_to_the_host() {
    if skip() {
        return;
    }
    let world = World::new();
    let mut faults = Vec::new();
    for (fields, word, proof) in VOLUMES {
        let name = sealock_testkit::unique_name();
        let body = world.fill(&format!(r#"{{"Name":"{name}",{fields}}}"#));
        for (client, word) in [(&world.runner, *word), (&world.reader, "")] {
            let (status, said) = world.ask(client, "/v1.41/volumes/create", &body);
            let outcome = world.refused(status, &said, word);
            faults.extend(outcome.err().map(|fault| format!("{fields}: {fault}")));
        }
        if matches!(proof, Proof::Reads) {
            let (status, said) = call("POST", "/v1.41/volumes/create", body.as_bytes());
            let mounted = world.body(&format!(r#""HostConfig":{{"Binds":["{name}:/h"]}}"#));
            let outcome = match status {
                201 => world.works_without(&mounted, *proof),
                _ => Err(format!("the engine says {status} {said}")),
            };
            faults.extend(outcome.err().map(|fault| format!("{fields}: {fault}")));
        }
        let _ = call("DELETE", &format!("/v1.41/volumes/{name}?force=1"), b"");
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    world.ends();
}

#[test]
fn a_plain_container_stays_plain() {
    if skip() {
        return;
    }
    let world = World::new();
    let create = format!("/v1.41/containers/create?name={}", sealock_testkit::unique_name());
    let (status, said) = world.ask(&world.runner, &create, &world.body(""));
    assert_eq!(status, 201, "{said}");
    let plain = Made::of(&said);
    let mut faults = Vec::new();
    for (target, body, word, proof) in LATER {
        let body = world.fill(body);
        for (client, word) in [(&world.runner, *word), (&world.reader, "")] {
            let (status, said) = world.ask(client, &target.replace("$p", &plain.id), &body);
            let outcome = world.refused(status, &said, word);
            faults.extend(outcome.err().map(|fault| format!("{target} {body}: {fault}")));
        }
        if !matches!(proof, Proof::Nothing) {
            let other = Made::at_the_socket(&world.body("")).unwrap();
            let (status, said) = call("POST", &target.replace("$p", &other.id), body.as_bytes());
            let outcome = match status {
                204 => world.proves(&other.ends(), *proof),
                _ => Err(format!("the engine says {status} {said}")),
            };
            faults.extend(outcome.err().map(|fault| format!("{target} {body}: {fault}")));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let start = format!("/v1.41/containers/{}/start", plain.id);
    assert_eq!(world.ask(&world.runner, &start, "").0, 204);
    assert_eq!(plain.ends().printed, "nothing\n", "and it can look where it will");
    world.ends();
}

#[test]
fn no_other_route_leads_out_either() {
    if skip() {
        return;
    }
    let world = World::new();
    let create = format!("/v1.41/containers/create?name={}", sealock_testkit::unique_name());
    let (status, said) = world.ask(&world.runner, &create, &world.body(""));
    assert_eq!(status, 201, "{said}");
    let plain = Made::of(&said);
    let mut faults = Vec::new();
    let runner = OTHERS.iter().map(|route| (&world.runner, route));
    let reader = READER.iter().map(|route| (&world.reader, route));
    for (client, (method, target, body, word)) in runner.chain(reader) {
        let target = world.fill(&target.replace("$p", &plain.id));
        let body = world.fill(&body.replace("$p", &plain.id));
        let (status, said) = world.request(client, method, &target, &body);
        let outcome = world.refused(status, &said, word);
        faults.extend(outcome.err().map(|fault| format!("{method} {target} {body}: {fault}")));
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    world.ends();
}
