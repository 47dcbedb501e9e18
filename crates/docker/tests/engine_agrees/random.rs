//! Bodies for a create that nobody thought of: fields of the API with values of all kinds, spelled as Go would still
//! read them, doubled, `null`, and of other types.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::strategy::Union;

/// A member of an object, as text.
type Members = BoxedStrategy<String>;

const PATHS: [&str; 12] = [
    "{dir}",
    "{dir}/",
    "//{dir}/.",
    "/",
    "/etc",
    "/tmp/../etc",
    "/proc/1/root",
    "..",
    "{vol}",
    "{vol}b",
    "a b",
    "",
];
const TARGETS: [&str; 5] = ["/x", "/y/", "/z//z", "relative", "/"];
const BIND_OPTIONS: [&str; 8] = ["", ":ro", ":rw", ":ro,rprivate", ":z", ":nocopy", ":exec", ":"];
const MODES: [&str; 9] =
    ["host", "none", "bridge", "private", "shareable", "default", "container:nobody", "HOST", ""];
const CAPABILITIES: [&str; 8] =
    ["sys_admin", "CAP_CHOWN", "NET_raw", "aLL", "Cap_Sys_Ptrace", "nonsense", "ALL", "kill"];
const OPTIONS: [&str; 7] = [
    "no-new-privileges",
    "no-new-privileges=false",
    "no-new-privileges:true",
    "seccomp=unconfined",
    "apparmor:unconfined",
    "label=disable",
    "systempaths=unconfined",
];

/// The body: members beside the image, and those of `HostConfig`.
pub(super) fn bodies() -> impl Strategy<Value = (Vec<String>, Vec<String>)> {
    (vec(root(), 0..3), vec(host(), 0..5))
}

fn host() -> Members {
    let texts = |words: &'static [&'static str]| {
        vec(select(words), 0..3).prop_map(|words| list(&words)).boxed()
    };
    let mode = || select(&MODES[..]).prop_map(quoted).boxed();
    let flag = || any::<bool>().prop_map(|flag| flag.to_string()).boxed();
    let number = || {
        prop_oneof![Just(0), Just(-1), 1..4096i64, (6i64 << 20)..(1 << 30), any::<i64>()]
            .prop_map(|number| number.to_string())
            .boxed()
    };
    let fields: Vec<(&'static str, Members)> = vec![
        ("Binds", vec(bind(), 0..3).prop_map(|binds| format!("[{}]", binds.join(","))).boxed()),
        ("Mounts", vec(mount(), 0..3).prop_map(|all| format!("[{}]", all.join(","))).boxed()),
        ("Privileged", flag()),
        ("CapAdd", texts(&CAPABILITIES)),
        ("CapDrop", texts(&CAPABILITIES)),
        ("SecurityOpt", texts(&OPTIONS)),
        ("NetworkMode", prop_oneof![mode(), Just(quoted("{net}"))].boxed()),
        ("PidMode", mode()),
        ("IpcMode", mode()),
        ("UTSMode", mode()),
        ("UsernsMode", mode()),
        ("CgroupnsMode", mode()),
        ("CgroupParent", select(&["", "/x", "x", "/../y"][..]).prop_map(quoted).boxed()),
        ("Devices", vec(device(), 0..2).prop_map(|all| format!("[{}]", all.join(","))).boxed()),
        ("Memory", number()),
        ("PidsLimit", number()),
        (
            "NanoCpus",
            prop_oneof![Just("0"), Just("500000000"), Just("-1")].prop_map(str::to_owned).boxed(),
        ),
        ("OomScoreAdj", (-1000..1000i64).prop_map(|number| number.to_string()).boxed()),
        ("PublishAllPorts", flag()),
        ("PortBindings", ports()),
        ("AutoRemove", flag()),
        ("Init", flag()),
        ("ReadonlyRootfs", flag()),
        ("MaskedPaths", texts(&["/x", "/proc/keys"])),
        ("ReadonlyPaths", texts(&["/y"])),
        ("GroupAdd", texts(&["5", "audio"])),
        ("Sysctls", object(&["net.ipv4.ip_forward", "kernel/msgmax"], &["0", "1"])),
        ("Tmpfs", object(&["/t", "/u"], &["", "size=64k", "rw,noexec", "bind"])),
        ("ExtraHosts", texts(&["a:192.0.2.1", "b:192.0.2.2"])),
        ("Runtime", select(&["", "runc"][..]).prop_map(quoted).boxed()),
        ("VolumeDriver", select(&["", "local"][..]).prop_map(quoted).boxed()),
        ("VolumesFrom", texts(&["nobody", "nobody:ro"])),
        ("Links", texts(&["nobody:a"])),
        ("Dns", texts(&["192.0.2.1"])),
        ("ShmSize", number()),
        ("Brandnew", flag()),
    ];
    member(fields)
}

fn root() -> Members {
    let fields: Vec<(&'static str, Members)> = vec![
        ("User", select(&["", "0", "1000:5", "app"][..]).prop_map(quoted).boxed()),
        ("Labels", object(&["a", "sealock.b", "SEALOCK.c"], &["", "x"])),
        (
            "Volumes",
            select(&["{}", r#"{"/data":{}}"#, r#"{"/etc:/e":{}}"#][..])
                .prop_map(str::to_owned)
                .boxed(),
        ),
        ("Binds", Just(r#"["/:/host"]"#.to_owned()).boxed()),
        ("Privileged", any::<bool>().prop_map(|flag| flag.to_string()).boxed()),
        ("NetworkDisabled", any::<bool>().prop_map(|flag| flag.to_string()).boxed()),
        ("Env", select(&["[]", r#"["A=b"]"#][..]).prop_map(str::to_owned).boxed()),
        ("Cmd", select(&[r#""true""#, r#"["true"]"#, "null"][..]).prop_map(str::to_owned).boxed()),
        (
            "NetworkingConfig",
            select(
                &[
                    r#"{"EndpointsConfig":{"{net}":{}}}"#,
                    r#"{"EndpointsConfig":{"bridge":{"Aliases":["x"]}}}"#,
                    r#"{"EndpointsConfig":{}}"#,
                ][..],
            )
            .prop_map(str::to_owned)
            .boxed(),
        ),
    ];
    member(fields)
}

/// One of the fields; seldom under a name that Go takes for it, or with a value of another type.
fn member(fields: Vec<(&'static str, Members)>) -> Members {
    let members = fields.into_iter().map(|(name, value)| {
        let value =
            prop_oneof![40 => value, 2 => Just("null".to_owned()), 1 => Just("1".to_owned())];
        let name = prop_oneof![
            40 => Just(name.to_owned()),
            1 => Just(name.to_lowercase()),
            1 => Just(name.replace('s', "ſ")),
            1 => Just(name.replace('k', "\u{212a}")),
            1 => Just(name.replacen(|_: char| true, &escaped(name), 1)),
        ];
        (name, value).prop_map(|(name, value)| format!(r#""{name}":{value}"#))
    });
    Union::new(members).boxed()
}

/// The first letter as an escape, which is the same name.
fn escaped(name: &str) -> String {
    name.chars().take(1).map(|first| format!("\\u{:04x}", u32::from(first))).collect()
}

fn bind() -> Members {
    prop_oneof![
        8 => (select(&PATHS[..]), select(&TARGETS[..]), select(&BIND_OPTIONS[..]))
            .prop_map(|(source, target, options)| quoted(&format!("{source}:{target}{options}"))),
        1 => select(&TARGETS[..]).prop_map(quoted),
    ]
    .boxed()
}

fn mount() -> Members {
    let parts: Vec<Members> = vec![
        select(&["bind", "volume", "tmpfs", "Bind", ""][..]).prop_map(|kind| format!(r#""Type":"{kind}""#)).boxed(),
        select(&PATHS[..]).prop_map(|source| format!(r#""Source":"{source}""#)).boxed(),
        select(&TARGETS[..]).prop_map(|target| format!(r#""Target":"{target}""#)).boxed(),
        any::<bool>().prop_map(|flag| format!(r#""ReadOnly":{flag}"#)).boxed(),
        select(&["", "rprivate", "rshared"][..]).prop_map(|word| format!(r#""BindOptions":{{"Propagation":"{word}"}}"#)).boxed(),
        select(&[
            r#""VolumeOptions":{"NoCopy":true}"#,
            r#""VolumeOptions":{"DriverConfig":{"Options":{"type":"none","o":"bind","device":"/etc"}}}"#,
            r#""VolumeOptions":{"DriverConfig":{"Name":"local","Options":{"type":"tmpfs","device":"tmpfs"}}}"#,
        ][..]).prop_map(str::to_owned).boxed(),
    ];
    // The first three more often than not.
    subsequence((0..parts.len()).collect::<Vec<_>>(), 2..=6)
        .prop_flat_map(move |places| {
            places.iter().filter_map(|place| parts.get(*place).cloned()).collect::<Vec<_>>()
        })
        .prop_map(|parts| format!("{{{}}}", parts.join(",")))
        .boxed()
}

fn device() -> Members {
    select(&["/dev/null", "/dev//zero", "/dev/../dev/null", "dev/null"][..])
        .prop_map(|path| {
            format!(
                r#"{{"PathOnHost":"{path}","PathInContainer":"/dev/n","CgroupPermissions":"r"}}"#
            )
        })
        .boxed()
}

fn ports() -> Members {
    select(
        &[
            "{}",
            r#"{"80/tcp":[]}"#,
            r#"{"80/tcp":null}"#,
            r#"{"80/tcp":[{"HostPort":"18080"}]}"#,
            r#"{"80/udp":[{"HostIp":"127.0.0.1","HostPort":"18080-18082"}]}"#,
            r#"{"80/tcp":[{"HostPort":"+80"}]}"#,
        ][..],
    )
    .prop_map(str::to_owned)
    .boxed()
}

fn object(keys: &'static [&'static str], values: &'static [&'static str]) -> Members {
    vec((select(keys), select(values)), 0..3)
        .prop_map(|members| {
            let members = members.iter().map(|(key, value)| format!(r#""{key}":"{value}""#));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        })
        .boxed()
}

fn list(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    format!("[{}]", words.join(","))
}

fn quoted(word: &str) -> String {
    format!("\"{word}\"")
}
