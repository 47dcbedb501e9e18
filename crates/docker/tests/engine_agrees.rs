//! Our reading of a body against the engine's: the container that it makes of what we forward is the one
//! that we told policy of. Containers are made and looked at, never started.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a panic is how a test fails, and what is left behind is said"
)]

#[path = "engine_agrees/random.rs"]
mod random;

use std::collections::BTreeSet;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use sealock_core::policy::Action;
use sealock_docker::body::{Asked, Limits, read};
use sealock_testkit::clients::{skip, skip_without_engine};
use sealock_testkit::docker::{self, Image, Network, SOCKET};
use sealock_testkit::{scratch_folder, unique_name};
use serde_json::Value;

/// How many bodies are put together of [`FRAGMENTS`]; each costs the engine a container.
const GENERATED: usize = 60;

/// How many are made up from nothing.
const RANDOM: usize = 150;

/// Repeats a run that failed: the number that it printed.
const SEED: &str = "SEALOCK_TEST_SEED";

/// Status and body of an answer.
fn call(method: &str, path: &str, body: &[u8]) -> (u16, Value) {
    let (status, answer) = docker::call(method, &format!("/v1.41{path}"), body);
    (status, serde_json::from_str(&answer).unwrap_or(Value::Null))
}

/// A container that was made and not started.
struct Made {
    id: String,
    facts: Value,
}

impl Made {
    /// `None` where the engine does not take the body.
    fn of(body: &[u8]) -> Option<Self> {
        let (status, answer) =
            call("POST", &format!("/containers/create?name={}", unique_name()), body);
        if status != 201 {
            let message = answer["message"].as_str().unwrap_or_default();
            assert!((400..600).contains(&status), "{status}: {message}");
            return None;
        }
        let id = answer["Id"].as_str().unwrap().to_owned();
        let mut made = Self { id, facts: Value::Null };
        made.facts = call("GET", &format!("/containers/{}/json", made.id), b"").1;
        Some(made)
    }

    fn host(&self, field: &str) -> &Value {
        &self.facts["HostConfig"][field]
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        let (status, answer) = call("DELETE", &format!("/containers/{}?force=1&v=1", self.id), b"");
        if status != 204 {
            eprintln!("left behind: container {}: {answer}", self.id);
        }
    }
}

/// The places that bodies speak of.
struct World {
    image: Image,
    network: Network,
    folder: tempfile::TempDir,
    volume: String,
}

impl World {
    fn new() -> Self {
        Self {
            image: Image::busybox(),
            network: Network::create(&[]),
            folder: scratch_folder(),
            volume: unique_name(),
        }
    }

    fn fill(&self, text: &str) -> String {
        text.replace("{dir}", self.folder.path().to_str().unwrap())
            .replace("{net}", self.network.name())
            .replace("{vol}", &self.volume)
    }

    fn body(&self, root: &[&str], host: &[&str]) -> String {
        let image = format!(r#""Image":"{}""#, self.image.name());
        let mut members = vec![image];
        members.extend(root.iter().map(|member| self.fill(member)));
        if !host.is_empty() {
            members.push(format!(r#""HostConfig":{{{}}}"#, self.fill(&host.join(","))));
        }
        format!("{{{}}}", members.join(","))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for name in [self.volume.clone(), format!("{}b", self.volume)] {
            let (status, answer) = call("DELETE", &format!("/volumes/{name}?force=1"), b"");
            if !matches!(status, 204 | 404) {
                eprintln!("left behind: volume {name}: {answer}");
            }
        }
    }
}

/// Members of `HostConfig`. Two with the same name make a body that is refused, and that is part of it.
const FRAGMENTS: &[&str] = &[
    r#""Privileged":true"#,
    r#""\u0050rivileged":true"#,
    r#""Privileged":false"#,
    r#""Privileged":null"#,
    r#""privileged":true"#,
    r#""CapAdd":["sys_ptrace","CAP_NET_RAW"]"#,
    r#""CapAdd":"aLL""#,
    r#""CapAdd":null"#,
    r#""CapDrop":["ALL"]"#,
    r#""Binds":["{dir}//.:/x:ro","{vol}:/v"]"#,
    r#""Binds":["/proc/1/root/:/y"]"#,
    r#""Binds":["/tmp/../etc:/x"]"#,
    r#""Binds":["/data"]"#,
    r#""Mounts":[{"Type":"bind","Source":"{dir}/./","Target":"/m","ReadOnly":true}]"#,
    r#""Mounts":[{"Type":"volume","Source":"{vol}b","Target":"/m","VolumeOptions":{"DriverConfig":{"Name":"local","Options":{"type":"none","o":"bind","device":"/etc/"}}}}]"#,
    r#""Mounts":[{"Type":"tmpfs","Target":"/m","TmpfsOptions":{"SizeBytes":65536}}]"#,
    r#""Mounts":[{"Target":"/m","Source":"/etc"}]"#,
    r#""NetworkMode":"host""#,
    r#""NetworkMode":"none""#,
    r#""NetworkMode":"{net}""#,
    r#""NetworkMode":"""#,
    r#""PidMode":"host""#,
    r#""IpcMode":"host""#,
    r#""IpcMode":"none""#,
    r#""UTSMode":"host""#,
    r#""UsernsMode":"host""#,
    r#""CgroupnsMode":"host""#,
    r#""CgroupParent":"/x""#,
    r#""SecurityOpt":["seccomp:unconfined"]"#,
    r#""SecurityOpt":["no-new-privileges"]"#,
    r#""MaskedPaths":[]"#,
    r#""ReadonlyPaths":[]"#,
    r#""MaskedPaths":null"#,
    r#""Devices":[{"PathOnHost":"/dev//null","PathInContainer":"/dev/n","CgroupPermissions":"r"}]"#,
    r#""DeviceCgroupRules":["c 1:3 rwm"]"#,
    r#""Sysctls":{"net.ipv4.ip_forward":"1"}"#,
    r#""Memory":67108864"#,
    r#""Memory":0,"PidsLimit":64"#,
    r#""PidsLimit":-1"#,
    r#""NanoCpus":500000000"#,
    r#""CpuQuota":50000"#,
    r#""OomScoreAdj":-500"#,
    r#""OomScoreAdj":500"#,
    r#""Ulimits":[{"Name":"nofile","Hard":2048,"Soft":1024}]"#,
    r#""PortBindings":{"80/tcp":[{"HostPort":"18080"}]}"#,
    r#""PublishAllPorts":true"#,
    r#""LogConfig":{"Type":"none","Config":{}}"#,
    r#""LogConfig":{"Type":"syslog","Config":{"syslog-address":"udp://127.0.0.1:9"}}"#,
    r#""GroupAdd":["5"]"#,
    r#""Runtime":"runc""#,
    r#""RestartPolicy":{"Name":"on-failure","MaximumRetryCount":3}"#,
    r#""Tmpfs":{"/t":"size=64k"}"#,
    r#""ExtraHosts":["a:192.0.2.1"]"#,
    r#""Dns":["192.0.2.1"]"#,
    r#""AutoRemove":true"#,
    r#""Init":true"#,
    r#""ReadonlyRootfs":true"#,
    r#""ShmSize":1048576"#,
    r#""Brandnew":1"#,
];

/// Members beside it.
const ROOT_FRAGMENTS: &[&str] = &[
    r#""User":"1000""#,
    r#""Env":["A=b"]"#,
    r#""Labels":{"a":"b","sealock.c":"d"}"#,
    r#""Cmd":"true""#,
    r#""Volumes":{"/data":{}}"#,
    r#""Binds":["/:/host"]"#,
    r#""Privileged":true"#,
    r#""Privileged":null"#,
    r#""hostconfig":{"Privileged":true}"#,
    r#""NetworkingConfig":{"EndpointsConfig":{"{net}":{"Aliases":["x"]}}}"#,
    r#""NetworkDisabled":true"#,
];

/// Fields of `HostConfig` that a container without a risk may have otherwise than one without settings.
const HARMLESS: &[&str] = &[
    "AutoRemove",
    "CapAdd",
    "CapDrop",
    "CgroupnsMode",
    "CpuQuota",
    "CpuPeriod",
    "Dns",
    "ExtraHosts",
    "Init",
    "IpcMode",
    "LogConfig",
    "Memory",
    "MemorySwap",
    "NanoCpus",
    "NetworkMode",
    "OomScoreAdj",
    "PidsLimit",
    "ReadonlyRootfs",
    "RestartPolicy",
    "SecurityOpt",
    "ShmSize",
    "Tmpfs",
    "VolumeDriver",
];

fn set(value: &Value) -> BTreeSet<String> {
    let items = value.as_array().into_iter().flatten();
    items.map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned)).collect()
}

fn keys(value: &Value) -> BTreeSet<String> {
    value.as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect()
}

fn ours(asked: &Asked, name: &str) -> Value {
    asked.context.get(name).cloned().unwrap_or_default()
}

/// The engine shows them as they were written, and normalises them when it starts the container.
fn capabilities(value: &Value) -> BTreeSet<String> {
    let upper = set(value).into_iter().map(|name| name.to_uppercase());
    upper
        .map(
            |name| {
                if name == "ALL" || name.starts_with("CAP_") { name } else { format!("CAP_{name}") }
            },
        )
        .collect()
}

/// A path as the kernel would take it, links aside.
fn tidy(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    format!("/{}", parts.join("/"))
}

/// The folders of the host that the engine would mount: binds, and what is behind its volumes.
fn sources(made: &Made) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for mount in made.facts["Mounts"].as_array().into_iter().flatten() {
        if mount["Type"] == "bind" {
            found.insert(tidy(mount["Source"].as_str().unwrap()));
        }
        if let Some(name) = mount["Name"].as_str() {
            let (_, volume) = call("GET", &format!("/volumes/{name}"), b"");
            found.extend(volume["Options"]["device"].as_str().map(tidy));
        }
    }
    found
}

/// An empty list is none, but for the paths that are hidden and written to: there it takes the default's place. A
/// port without a binding is not published.
fn nothing(field: &str, value: &Value) -> bool {
    let none = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    match value {
        Value::Object(ports) if field == "PortBindings" => ports.values().all(none),
        _ => !matches!(field, "MaskedPaths" | "ReadonlyPaths") && none(value),
    }
}

/// Everything that policy was told and the engine can be asked for.
fn agree(body: &str, asked: &Asked, made: &Made, plain: &Made) {
    let same = |what: &str, ours: &Value, theirs: &Value| {
        assert_eq!(ours, theirs, "{what} of {body}");
    };
    same("Privileged", &ours(asked, "privileged"), made.host("Privileged"));
    same("NetworkMode", &ours(asked, "networkMode"), made.host("NetworkMode"));
    // What we say nothing of is what a container without settings has.
    for (name, field) in [
        ("pidMode", "PidMode"),
        ("ipcMode", "IpcMode"),
        ("utsMode", "UTSMode"),
        ("usernsMode", "UsernsMode"),
        ("cgroupnsMode", "CgroupnsMode"),
        ("cgroupParent", "CgroupParent"),
        ("runtime", "Runtime"),
    ] {
        // A privileged container has another default for one of them.
        let default = field == "CgroupnsMode" && ours(asked, "privileged") == true;
        let said = asked.context.get(name);
        // Nor is one set where there is no HostConfig at all.
        let default = default || made.host(field).is_null();
        if !default || said.is_some() {
            same(field, said.unwrap_or(plain.host(field)), made.host(field));
        }
    }
    for (name, field) in [("memory", "Memory"), ("pidsLimit", "PidsLimit")] {
        let limit = made.host(field).as_i64().filter(|limit| *limit > 0);
        assert_eq!(ours(asked, name).as_i64(), limit, "{field} of {body}");
    }
    let sets = [
        ("capAdd", capabilities(made.host("CapAdd"))),
        ("capDrop", capabilities(made.host("CapDrop"))),
        // The kernel takes both signs, and a rule needs to know one.
        ("sysctls", keys(made.host("Sysctls")).iter().map(|key| key.replace('/', ".")).collect()),
        ("labelKeys", keys(&made.facts["Config"]["Labels"])),
    ];
    let image_labels = keys(&plain.facts["Config"]["Labels"]);
    for (name, theirs) in sets {
        let theirs: BTreeSet<String> = theirs.difference(&image_labels).cloned().collect();
        assert_eq!(set(&ours(asked, name)), theirs, "{name} of {body}");
    }
    assert_eq!(set(&ours(asked, "bindSources")), sources(made), "binds of {body}");
    let devices = made.host("Devices").as_array().into_iter().flatten();
    let devices: BTreeSet<String> =
        devices.map(|device| tidy(device["PathOnHost"].as_str().unwrap())).collect();
    assert_eq!(set(&ours(asked, "devices")), devices, "devices of {body}");
    let networks = keys(&made.facts["NetworkSettings"]["Networks"]);
    let networks: BTreeSet<String> =
        networks.into_iter().filter(|name| name != "none" && name != "host").collect();
    let mut said = set(&ours(asked, "networks"));
    said.remove("host");
    assert!(networks.is_subset(&said), "{networks:?} of {body}");
    if ours(asked, "risks").as_array().unwrap().is_empty() && asked.mounts.is_empty() {
        for (field, value) in made.facts["HostConfig"].as_object().unwrap() {
            let harmless =
                HARMLESS.contains(&field.as_str()) || matches!(&**field, "Binds" | "Mounts");
            let same = value == plain.host(field) || nothing(field, value);
            assert!(harmless || same, "{field} of {body}: {value}");
        }
    }
}

/// Bodies that are always tried: each hole by itself, and some that only the whole shows.
fn corpus(world: &World) -> Vec<String> {
    let mut bodies: Vec<String> = ROOT_FRAGMENTS
        .iter()
        .map(|root| world.body(&[root], &[]))
        .chain(FRAGMENTS.iter().map(|host| world.body(&[], &[host])))
        .collect();
    let raw = [
        r#"{"Image":"{image}","HostConfig":{"Privileged":true},"HostConfig":{"Binds":["/:/h"]}}"#,
        r#"{"Image":"{image}","HoſtConfig":{"Privileged":true}}"#,
        r#"{"Image":"{image}","HostConfig":{"Bindſ":["/:/h"]}}"#,
        r#"{"Image":"{image}"}{"HostConfig":{"Privileged":true}}"#,
        r#"{"Image":"{image}","HostConfig":null,"Binds":["/:/h"]}"#,
    ];
    bodies.extend(raw.iter().map(|body| body.replace("{image}", world.image.name())));
    bodies
}

fn generated(world: &World) -> Vec<String> {
    let mut runner = TestRunner::deterministic();
    let strategy = (
        proptest::sample::subsequence(ROOT_FRAGMENTS, 0..2),
        proptest::sample::subsequence(FRAGMENTS, 0..5).prop_shuffle(),
    );
    (0..GENERATED)
        .map(|_| {
            let (root, host) = strategy.new_tree(&mut runner).unwrap().current();
            world.body(&root, &host)
        })
        .collect()
}

fn without_engine() -> bool {
    skip_without_engine()
        || !std::path::Path::new(SOCKET).exists() && skip("the engine is not at its usual socket")
}

/// How many bodies we refused, how many the engine, and on how many we agreed.
#[derive(Debug, Default)]
struct Tally {
    refused: usize,
    declined: usize,
    agreed: usize,
}

/// Either we refuse a body, or what the engine makes of what we forward is what we told policy of.
fn compare(world: &World, bodies: impl IntoIterator<Item = String>) -> Tally {
    let plain = Made::of(world.body(&[r#""HostConfig":{}"#], &[]).as_bytes()).unwrap();
    let mut tally = Tally::default();
    for body in bodies {
        let action = Action::DockerContainerCreate;
        let Ok(asked) = read(action, Some((1, 41)), &[], body.as_bytes(), Limits::default()) else {
            tally.refused += 1;
            continue;
        };
        match Made::of(&asked.body()) {
            None => tally.declined += 1,
            Some(made) => {
                agree(&body, &asked, &made, &plain);
                tally.agreed += 1;
            }
        }
    }
    eprintln!("{tally:?}");
    tally
}

#[test]
fn the_engine_makes_what_policy_was_told() {
    if without_engine() {
        return;
    }
    let world = World::new();
    let bodies: Vec<String> = corpus(&world).into_iter().chain(generated(&world)).collect();
    let tally = compare(&world, bodies);
    assert!(tally.agreed > 60 && tally.refused > 10, "{tally:?}");
}

#[test]
fn of_random_bodies_too_the_engine_makes_what_policy_was_told() {
    if without_engine() {
        return;
    }
    let given = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = given.unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        u64::from(now.subsec_nanos())
    });
    eprintln!("{SEED}={seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let generator = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), generator);
    let world = World::new();
    let strategy = random::bodies();
    let bodies: Vec<String> = (0..RANDOM)
        .map(|_| {
            let (root, host) = strategy.new_tree(&mut runner).unwrap().current();
            let root: Vec<&str> = root.iter().map(String::as_str).collect();
            let host: Vec<&str> = host.iter().map(String::as_str).collect();
            world.body(&root, &host)
        })
        .collect();
    let tally = compare(&world, bodies);
    assert!(tally.agreed > 15 && tally.refused > 15, "{tally:?}");
}
