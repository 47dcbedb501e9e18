//! Every hole that the API is known to have: a risk, a mount or a refusal for each.

use sealock_core::policy::{Action, PolicySet, Principal, Question, Resource};

use super::super::settings::Risk;
use super::{CREATE, asked, refused, risks, set};

/// A `HostConfig` and the only risk that it is to have.
const HOST_RISKS: &[(&str, &str)] = &[
    (r#""Privileged":true"#, "privileged"),
    (r#""CapAdd":["SYS_ADMIN"]"#, "cap-add"),
    (r#""CapAdd":["cap_sys_ptrace"]"#, "cap-add"),
    (r#""CapAdd":["aLL"]"#, "cap-add"),
    (r#""CapAdd":"SYS_ADMIN""#, "cap-add"),
    (r#""SecurityOpt":["seccomp=unconfined"]"#, "security-opt"),
    (r#""SecurityOpt":["seccomp:unconfined"]"#, "security-opt"),
    (r#""SecurityOpt":["apparmor=unconfined"]"#, "security-opt"),
    (r#""SecurityOpt":["label:disable"]"#, "security-opt"),
    (r#""SecurityOpt":["disable"]"#, "security-opt"),
    (r#""SecurityOpt":["systempaths=unconfined"]"#, "security-opt"),
    (r#""SecurityOpt":["no-new-privileges=false"]"#, "security-opt"),
    (r#""SecurityOpt":["no-new-privileges:0"]"#, "security-opt"),
    (r#""MaskedPaths":[]"#, "masked-paths"),
    (r#""ReadonlyPaths":[]"#, "masked-paths"),
    (r#""VolumesFrom":["other"]"#, "volumes-from"),
    (r#""VolumeDriver":"sshfs""#, "volume-driver"),
    (r#""Binds":["/srv:/srv:Z"]"#, "relabel"),
    (r#""Binds":["/srv:/srv:ro,rshared"]"#, "mount-propagation"),
    (
        r#""Mounts":[{"Type":"bind","Source":"/srv","Target":"/t","BindOptions":{"Propagation":"shared"}}]"#,
        "mount-propagation",
    ),
    (r#""Mounts":[{"Type":"npipe","Source":"x","Target":"/t"}]"#, "mount-type"),
    (r#""Mounts":[{"Type":"image","Source":"x","Target":"/t"}]"#, "mount-type"),
    (r#""Mounts":[{"Source":"/etc","Target":"/t"}]"#, "mount-type"),
    (r#""Mounts":[{"Type":"Bind","Source":"/etc","Target":"/t"}]"#, "mount-type"),
    (
        r#""Mounts":[{"Type":"volume","Target":"/t","VolumeOptions":{"DriverConfig":{"Name":"nfs"}}}]"#,
        "volume-driver",
    ),
    (
        r#""Mounts":[{"Type":"volume","Target":"/t","VolumeOptions":{"Labels":{"sealock.x":""}}}]"#,
        "sealock-labels",
    ),
    (r#""Devices":[{"PathOnHost":"/dev","PathInContainer":"/dev/x"}]"#, "devices"),
    (r#""DeviceCgroupRules":["b *:* rwm"]"#, "device-cgroup-rules"),
    (r#""DeviceRequests":[{"Driver":"nvidia","Count":-1}]"#, "device-requests"),
    (r#""PidMode":"host""#, "pid-mode"),
    (r#""PidMode":"container:a""#, "pid-mode"),
    (r#""PidMode":"HOST""#, "pid-mode"),
    (r#""IpcMode":"host""#, "ipc-mode"),
    (r#""IpcMode":"container:a""#, "ipc-mode"),
    (r#""UTSMode":"host""#, "uts-mode"),
    (r#""UsernsMode":"host""#, "userns-mode"),
    (r#""CgroupnsMode":"host""#, "cgroupns-mode"),
    (r#""NetworkMode":"host""#, "network-mode"),
    (r#""NetworkMode":"container:a""#, "network-mode"),
    (r#""NetworkMode":"container:""#, "network-mode"),
    (r#""Cgroup":"container:a""#, "cgroup"),
    (r#""CgroupParent":"/../../system.slice""#, "cgroup-parent"),
    (r#""OomScoreAdj":-1000"#, "oom-score"),
    (r#""OomKillDisable":true"#, "oom-kill-disable"),
    (r#""Ulimits":[{"Name":"nofile","Hard":1048576,"Soft":1048576}]"#, "ulimits"),
    (r#""MemorySwap":-1"#, "limits-lifted"),
    (r#""CpuRealtimeRuntime":950000"#, "cpu-realtime"),
    (r#""Sysctls":{"kernel.msgmax":"1"}"#, "sysctls"),
    (r#""Runtime":"runc""#, "runtime"),
    (r#""Annotations":{"io.x":"1"}"#, "annotations"),
    (
        r#""LogConfig":{"Type":"syslog","Config":{"syslog-address":"tcp://192.0.2.1"}}"#,
        "log-config",
    ),
    (r#""LogConfig":{"Type":"json-file","Config":{"path":"/etc/x"}}"#, "log-config"),
    (r#""LogConfig":{"Type":"","Config":{"gelf-address":"udp://192.0.2.1"}}"#, "log-config"),
    (r#""StorageOpt":{"size":"1T"}"#, "storage-opt"),
    (r#""GroupAdd":["docker"]"#, "group-add"),
    (r#""PublishAllPorts":true"#, "published-ports"),
    (r#""PortBindings":{"80/tcp":[{"HostPort":"80"}]}"#, "published-ports"),
    (r#""PortBindings":{"80/tcp":[{}]}"#, "published-ports"),
    (r#""Links":["db:db"]"#, "links"),
    (r#""Isolation":"process""#, "isolation"),
    (r#""ContainerIDFile":"/etc/cron.d/x""#, "container-id-file"),
    (r#""InitPath":"/bin/sh""#, "init-path"),
    (r#""Tmpfs":{"/t":"bind"}"#, "tmpfs-options"),
    (
        r#""Mounts":[{"Type":"tmpfs","Target":"/t","TmpfsOptions":{"Options":[["remount"]]}}]"#,
        "tmpfs-options",
    ),
    (r#""Capabilities":["ALL"]"#, "unknown-field"),
    (r#""Mounts":[{"Type":"volume","Target":"/t","Evil":1}]"#, "unknown-field"),
];

#[test]
fn each_field_that_reaches_out_is_its_one_risk() {
    for (fields, risk) in HOST_RISKS {
        let asked = asked(CREATE, &format!(r#"{{"Image":"a","HostConfig":{{{fields}}}}}"#));
        assert_eq!(risks(&asked), [*risk], "{fields}");
    }
}

/// What no rule has to speak of: a container as it is run every day.
#[test]
fn a_plain_container_has_no_risk() {
    for body in [
        r#"{"Image":"a"}"#,
        r#"{"Image":"a","HostConfig":null}"#,
        r#"{"Image":"a","Privileged":null,"Binds":null,"HostConfig":{}}"#,
        r#"{"Image":"a","Env":["A=b"],"Labels":{"app":"web"},"Volumes":{"/data":{}},"HostConfig":{
            "NetworkMode":"bridge","IpcMode":"private","CgroupnsMode":"private","CapDrop":["ALL"],
            "CapAdd":["NET_BIND_SERVICE","cap_chown"],"SecurityOpt":["no-new-privileges"],
            "MaskedPaths":null,"PortBindings":{},"Dns":["192.0.2.1"],"ExtraHosts":["a:host-gateway"],
            "LogConfig":{"Type":"json-file","Config":{"max-size":"1m"}},"OomScoreAdj":500,
            "Tmpfs":{"/run":"rw,noexec,size=64k"},"Memory":1048576,"MemorySwappiness":-1,
            "Mounts":[{"Type":"volume","Source":"v","Target":"/v"},{"Type":"tmpfs","Target":"/t"}],
            "RestartPolicy":{"Name":"always"},"ConsoleSize":[0,0],"Init":true,"Isolation":"default"}}"#,
    ] {
        let asked = asked(CREATE, body);
        assert_eq!(risks(&asked), [""; 0], "{body}");
        assert_eq!(asked.mounts, []);
    }
}

/// A `HostConfig` and the paths of the host that it mounts.
const MOUNTS: &[(&str, &[&str])] = &[
    (r#""Binds":["/:/host"]"#, &["/"]),
    (r#""Binds":["//etc/.//ssl/:/x:ro"]"#, &["/etc/ssl"]),
    (r#""Binds":["/proc/1/root:/x"]"#, &["/proc/1/root"]),
    (r#""Binds":["/var/run/docker.sock:/s","/etc:/e"]"#, &["/var/run/docker.sock", "/etc"]),
    (r#""Binds":["/a:/b:"]"#, &["/a"]),
    (r#""Binds":["/data","vol:/data"]"#, &[]),
    (r#""Mounts":[{"Type":"bind","Source":"/etc/","Target":"/x"}]"#, &["/etc"]),
    (
        r#""Mounts":[{"Type":"volume","Target":"/x","VolumeOptions":{"DriverConfig":{"Name":"local","Options":{"type":"none","o":"bind","device":"/etc"}}}}]"#,
        &["/etc"],
    ),
    (
        r#""Mounts":[{"Type":"volume","Target":"/x","VolumeOptions":{"DriverConfig":{"Options":{"o":"rbind,ro","device":"//root"}}}}]"#,
        &["/root"],
    ),
    (
        r#""Mounts":[{"Type":"tmpfs","Target":"/x","VolumeOptions":{"DriverConfig":{"Options":{"o":"bind","device":"/etc"}}}}]"#,
        &["/etc"],
    ),
];

#[test]
fn each_folder_of_the_host_is_asked_for_by_its_normal_path() {
    for (fields, paths) in MOUNTS {
        let asked = asked(CREATE, &format!(r#"{{"Image":"a","HostConfig":{{{fields}}}}}"#));
        let found: Vec<&str> = asked.mounts.iter().map(|mount| mount.path.as_str()).collect();
        assert_eq!(&found, paths, "{fields}");
        let mut sources = set(&asked, "bindSources");
        sources.sort_by_key(|source| paths.iter().position(|path| path == source));
        assert_eq!(&sources, paths, "{fields}");
    }
    // What the engine opens is the path that was decided on.
    let asked = asked(CREATE, r#"{"HostConfig":{"Binds":["/srv//a/:/b:ro"]}}"#);
    assert_eq!(asked.body(), br#"{"HostConfig":{"Binds":["/srv/a:/b:ro"]}}"#);
    assert!(asked.mounts.iter().all(|mount| mount.read_only));
}

/// The driver options of a volume, whether they are a risk, and what they mount.
const VOLUMES: &[(&str, &[&str], &[&str])] = &[
    (r#"{}"#, &[], &[]),
    (r#"{"type":"tmpfs","device":"tmpfs","o":"size=1m,uid=1000"}"#, &[], &[]),
    (r#"{"type":"none","o":"bind","device":"/etc"}"#, &["volume-options"], &["/etc"]),
    (r#"{"type":"bind","o":"rbind","device":"/"}"#, &["volume-options"], &["/"]),
    (r#"{"type":"ext4","device":"/dev/sda1"}"#, &["volume-options"], &["/dev/sda1"]),
    (r#"{"type":"tmpfs","device":"/etc","o":"bind"}"#, &["volume-options"], &["/etc"]),
    (
        r#"{"type":"overlay","device":"x","o":"lowerdir=/:/etc,upperdir=/tmp/u,workdir=/tmp/w"}"#,
        &["volume-options"],
        &["/", "/etc", "/tmp/u", "/tmp/w"],
    ),
    (r#"{"type":"nfs","o":"addr=192.0.2.1,rw","device":":/x"}"#, &["volume-options"], &[]),
    (r#"{"type":"cifs","o":"username=u","device":"//192.0.2.1/x"}"#, &["volume-options"], &[]),
    (r#"{"size":"1G"}"#, &["volume-options"], &[]),
    (
        r#"{"o":"bind,rshared","device":"/srv"}"#,
        &["mount-propagation", "volume-options"],
        &["/srv"],
    ),
];

#[test]
fn options_of_the_local_volume_driver_are_mounts() {
    for (options, expected, paths) in VOLUMES {
        for driver in ["", r#""Driver":"local","#] {
            let body = format!(r#"{{{driver}"Name":"v","DriverOpts":{options}}}"#);
            let asked = asked(Action::DockerVolumeCreate, &body);
            assert_eq!(&risks(&asked), expected, "{options}");
            let found: Vec<&str> = asked.mounts.iter().map(|mount| mount.path.as_str()).collect();
            assert_eq!(&found, paths, "{options}");
        }
    }
}

/// What is refused whatever policy says, with the code.
const REFUSED: &[(&str, &str)] = &[
    // Without a HostConfig the engine honours these at the root.
    (r#"{"Binds":["/:/host"]}"#, "body-misplaced-field"),
    (r#"{"Privileged":true,"HostConfig":null}"#, "body-misplaced-field"),
    (r#"{"Privileged":true,"HostConfig":{}}"#, "body-misplaced-field"),
    (r#"{"pidmode":"host"}"#, "body-misplaced-field"),
    (r#"{"bindſ":["/:/host"]}"#, "body-misplaced-field"),
    (r#"{"Cpuset":"0"}"#, "body-misplaced-field"),
    // Go folds these.
    (r#"{"hostconfig":{"Privileged":true}}"#, "body-misspelt-field"),
    (r#"{"HoſtConfig":{"Privileged":true}}"#, "body-misspelt-field"),
    (r#"{"HostConfig":{"privileged":true}}"#, "body-misspelt-field"),
    (r#"{"HostConfig":{"Bindſ":["/:/h"]}}"#, "body-misspelt-field"),
    ("{\"HostConfig\":{\"Networ\u{212a}Mode\":\"host\"}}", "body-misspelt-field"),
    (
        r#"{"HostConfig":{"Mounts":[{"type":"bind","Source":"/","Target":"/x"}]}}"#,
        "body-misspelt-field",
    ),
    // Go merges these, and keeps what was in the first.
    (r#"{"HostConfig":{"Privileged":true},"HostConfig":{}}"#, "body-duplicate-field"),
    (
        r#"{"HostConfig":{"Mounts":[{"Type":"bind"}],"Mounts":[{"Target":"/x"}]}}"#,
        "body-duplicate-field",
    ),
    (r#"{"HostConfig":{},"\u0048ostConfig":{"Privileged":true}}"#, "body-duplicate-field"),
    (r#"{"HostConfig":{},"HOSTCONFIG":{"Privileged":true}}"#, "body-fields-collide"),
    (r#"{"HostConfig":{"Binds":[],"Bindſ":["/:/h"]}}"#, "body-fields-collide"),
    (r#"{"HostConfig":{}}{"HostConfig":{"Privileged":true}}"#, "body-malformed"),
    (r#"{"HostConfig":{}} x"#, "body-malformed"),
    // Paths that lead elsewhere than they say.
    (r#"{"HostConfig":{"Binds":["/tmp/../etc:/x"]}}"#, "body-field-value"),
    (r#"{"HostConfig":{"Binds":["../etc:/x"]}}"#, "body-field-value"),
    (r#"{"HostConfig":{"Binds":["a/b:/x"]}}"#, "body-field-value"),
    (r#"{"HostConfig":{"Binds":["/a:/b:evil"]}}"#, "body-field-value"),
    (r#"{"HostConfig":{"Binds":["/a:/b:ro:/c"]}}"#, "body-field-value"),
    (
        r#"{"HostConfig":{"Mounts":[{"Type":"bind","Source":"etc","Target":"/x"}]}}"#,
        "body-field-value",
    ),
    (
        r#"{"HostConfig":{"Mounts":[{"Type":"bind","Source":"/a/..","Target":"/x"}]}}"#,
        "body-field-value",
    ),
    (r#"{"HostConfig":{"Devices":[{"PathOnHost":"/dev/../etc"}]}}"#, "body-field-value"),
    (r#"{"Volumes":{"/etc:/x":{}}}"#, "body-field-value"),
    (r#"{"HostConfig":{"CapAdd":["ſYS_ADMIN"]}}"#, "body-field-value"),
    (r#"{"HostConfig":{"PortBindings":{"80/tcp":[{"HostPort":"+80"}]}}}"#, "body-field-value"),
    // Of another type than it is read as.
    (r#"{"HostConfig":{"Privileged":"true"}}"#, "body-field-type"),
    (r#"{"HostConfig":{"Binds":"/:/host"}}"#, "body-field-type"),
    (r#"{"HostConfig":{"Memory":1.0}}"#, "body-field-type"),
    (r#"{"HostConfig":{"Memory":18446744073709551615}}"#, "body-field-type"),
    (r#"{"HostConfig":[]}"#, "body-field-type"),
    (r#"[]"#, "body-field-type"),
    ("", "body-missing"),
    ("null", "body-missing"),
];

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    for (body, code) in REFUSED {
        let error = refused(CREATE, body);
        assert_eq!(error.code(), *code, "{body}: {error}");
        assert_eq!(error.status(), 400);
    }
    let error = refused(CREATE, r#"{"HostConfig":{"Bindſ":["/:/h"]}}"#).to_string();
    assert_eq!(error, "the field `HostConfig.Bindſ` is to be spelled `Binds`");
    let relative = r#"{"Name":"v","DriverOpts":{"type":"none","o":"bind","device":"etc"}}"#;
    assert_eq!(refused(Action::DockerVolumeCreate, relative).code(), "body-field-value");
    let up = r#"{"DriverOpts":{"type":"overlay","o":"lowerdir=/srv/../etc"}}"#;
    assert_eq!(refused(Action::DockerVolumeCreate, up).code(), "body-field-value");
}

#[test]
fn an_escape_in_a_name_is_the_name() {
    let asked = asked(CREATE, r#"{"HostConfig":{"\u0050rivileged":true}}"#);
    assert_eq!(risks(&asked), ["privileged"]);
    assert_eq!(asked.body(), br#"{"HostConfig":{"Privileged":true}}"#);
}

#[test]
fn unknown_fields_are_named_with_their_place() {
    let asked = asked(
        CREATE,
        r#"{"New":1,"HostConfig":{"Newer":{},"Mounts":[{"Type":"tmpfs","Target":"/t","Newest":0}],"Gone":null}}"#,
    );
    let expected = ["HostConfig.Mounts[0].Newest", "HostConfig.Newer", "New"];
    assert_eq!(set(&asked, "unknownFields"), expected);
}

#[test]
fn a_start_with_settings_is_refused() {
    for body in ["", "{}", "null", " { } "] {
        assert_eq!(asked(Action::DockerContainerStart, body).body(), b"");
    }
    for body in [r#"{"Privileged":true}"#, r#"{"x":null}"#, "[]", "0"] {
        let error = refused(Action::DockerContainerStart, body);
        assert_eq!(error.code(), "body-unexpected", "{body}");
    }
    let old = super::super::read(
        Action::DockerContainerStart,
        Some((1, 23)),
        &[],
        b"",
        super::Limits::default(),
    );
    assert_eq!(old.unwrap_err().code(), "api-version");
}

/// A body of another operation and its risks.
const OTHERS: &[(Action, &str, &[&str])] = &[
    (Action::DockerContainerUpdate, r#"{"Memory":1048576}"#, &[]),
    (Action::DockerContainerUpdate, r#"{"PidsLimit":0}"#, &["limits-lifted"]),
    (Action::DockerContainerUpdate, r#"{"Devices":[{"PathOnHost":"/dev/sda"}]}"#, &["devices"]),
    (Action::DockerContainerUpdate, r#"{"Privileged":true}"#, &["unknown-field"]),
    (Action::DockerContainerUpdate, r#"{"HostConfig":{"Privileged":true}}"#, &["unknown-field"]),
    (Action::DockerContainerExec, r#"{"Cmd":["id"]}"#, &[]),
    (Action::DockerContainerExec, r#"{"Cmd":["id"],"detachKeys":"ctrl-x"}"#, &[]),
    (Action::DockerContainerExec, r#"{"Cmd":["id"],"Privileged":true}"#, &["privileged"]),
    (
        Action::DockerNetworkCreate,
        r#"{"Name":"n","CheckDuplicate":true,"Driver":"bridge","IPAM":{"Driver":"default","Config":[{}]}}"#,
        &[],
    ),
    (
        Action::DockerNetworkCreate,
        r#"{"Name":"n","Driver":"macvlan","Options":{"parent":"eth0"}}"#,
        &["network-driver", "network-options"],
    ),
    (Action::DockerNetworkCreate, r#"{"Name":"n","Driver":"ipvlan"}"#, &["network-driver"]),
    (Action::DockerNetworkCreate, r#"{"Name":"n","Driver":"host"}"#, &["network-driver"]),
    (
        Action::DockerNetworkCreate,
        r#"{"Name":"n","Options":{"com.docker.network.bridge.name":"br0"}}"#,
        &["network-options"],
    ),
    (
        Action::DockerNetworkCreate,
        r#"{"Name":"n","IPAM":{"Config":[{"Subnet":"169.254.169.0/24"}]}}"#,
        &["network-subnet"],
    ),
    (
        Action::DockerNetworkCreate,
        r#"{"Name":"n","Labels":{"SEALOCK.owner":"me"}}"#,
        &["sealock-labels"],
    ),
    (Action::DockerNetworkConnect, r#"{"Container":"c","EndpointConfig":{"Aliases":["a"]}}"#, &[]),
    (
        Action::DockerNetworkConnect,
        r#"{"Container":"c","EndpointConfig":{"Links":["db"]}}"#,
        &["links"],
    ),
    (
        Action::DockerNetworkConnect,
        r#"{"Container":"c","EndpointConfig":{"DriverOpts":{"com.docker.network.endpoint.sysctls":"x"}}}"#,
        &["endpoint-options"],
    ),
    (Action::DockerVolumeCreate, r#"{"Name":"v","Driver":"rexray"}"#, &["volume-driver"]),
    (Action::DockerVolumeCreate, r#"{"ClusterVolumeSpec":{}}"#, &["cluster-volume"]),
    (Action::DockerVolumeUpdate, r#"{"Spec":{"Availability":"drain"}}"#, &["cluster-volume"]),
    (Action::DockerImageCommit, "", &[]),
    (Action::DockerImageCommit, r#"{"Labels":{"sealock.x":"1"}}"#, &["sealock-labels"]),
    (
        Action::DockerServiceCreate,
        r#"{"Name":"s","TaskTemplate":{"ContainerSpec":{"Image":"a"}},"UpdateConfig":{"MaxFailureRatio":0.25}}"#,
        &[],
    ),
    (
        Action::DockerServiceCreate,
        r#"{"TaskTemplate":{"ContainerSpec":{"CapabilityAdd":["CAP_SYS_ADMIN"]}}}"#,
        &["cap-add"],
    ),
    (
        Action::DockerServiceCreate,
        r#"{"TaskTemplate":{"ContainerSpec":{"Privileges":{"Seccomp":{"Mode":"unconfined"}}}}}"#,
        &["security-opt"],
    ),
    (
        Action::DockerServiceCreate,
        r#"{"TaskTemplate":{"ContainerSpec":{"Sysctls":{"net.core.somaxconn":"1"}}}}"#,
        &["sysctls"],
    ),
    (
        Action::DockerServiceCreate,
        r#"{"TaskTemplate":{"ContainerSpec":{"Secrets":[{"SecretName":"x"}]}}}"#,
        &["swarm-secrets"],
    ),
    (
        Action::DockerServiceCreate,
        r#"{"TaskTemplate":{"Runtime":"plugin","PluginSpec":{"Remote":"evil"}}}"#,
        &["service-runtime"],
    ),
    (
        Action::DockerServiceCreate,
        r#"{"TaskTemplate":{"Networks":[{"Target":"host"}]}}"#,
        &["network-mode"],
    ),
    (
        Action::DockerServiceCreate,
        r#"{"EndpointSpec":{"Ports":[{"TargetPort":80,"PublishedPort":80}]}}"#,
        &["published-ports"],
    ),
    (
        Action::DockerServiceUpdate,
        r#"{"TaskTemplate":{"LogDriver":{"Name":"gelf"}}}"#,
        &["log-config"],
    ),
];

#[test]
fn the_other_operations_are_held_to_the_same() {
    for (action, body, expected) in OTHERS {
        assert_eq!(&risks(&asked(*action, body)), expected, "{action} {body}");
    }
    let body = r#"{"TaskTemplate":{"ContainerSpec":{"Mounts":[{"Type":"bind","Source":"/etc/","Target":"/x","ReadOnly":true}]}}}"#;
    let service = asked(Action::DockerServiceCreate, body);
    let mount = service.mounts.first().unwrap();
    assert_eq!((mount.path.as_str(), mount.read_only), ("/etc", true));
    for name in ["privileged", "binds"] {
        let body = format!(r#"{{"Tty":true,"{name}":true}}"#);
        let error = refused(Action::DockerExecStart, &body);
        assert_eq!(error.code(), "body-unknown-field");
    }
}

#[test]
fn what_is_named_in_a_body_is_handed_out() {
    let asked = asked(
        CREATE,
        r#"{"Image":"registry.example/a:1","User":"1000","Labels":{"b":"2"},"HostConfig":{
            "NetworkMode":"back","VolumesFrom":["one:ro"],"PidMode":"container:two","Links":["three:db"],
            "Binds":["data:/data"],"CapAdd":["net_raw"],"CpuQuota":50000,"Memory":0,"PidsLimit":-1,
            "PortBindings":{"80/tcp":[{"HostIp":"127.0.0.1","HostPort":"8080-8081"}]}},
            "NetworkingConfig":{"EndpointsConfig":{"back":{},"front":null}}}"#,
    );
    assert_eq!(asked.image.as_deref(), Some("registry.example/a:1"));
    assert!(asked.containers.iter().eq(["one", "three", "two"]));
    assert!(asked.networks.iter().eq(["back", "front"]));
    assert!(asked.volumes.iter().eq(["data"]));
    assert!(asked.labels.keys().eq(["b"]));
    assert_eq!(set(&asked, "capAdd"), ["CAP_NET_RAW"]);
    assert_eq!(set(&asked, "networks"), ["back", "front"]);
    assert_eq!(set(&asked, "publishedPorts"), ["8080", "8081"]);
    assert_eq!(set(&asked, "publishedAddresses"), ["127.0.0.1"]);
    assert_eq!(asked.context.get("nanoCpus"), Some(&500_000_000.into()));
    // Nought and less are no limit, so a rule that wants one finds none.
    assert!(!asked.context.contains_key("memory") && !asked.context.contains_key("pidsLimit"));
    assert_eq!(asked.context.get("apiVersion"), Some(&"1.41".into()));
}

/// A context that does not fit the schema would be a fault, and a fault denies.
#[test]
fn every_context_fits_the_schema() {
    let rule = r"permit(principal, action, resource) when {
        context has risks && context.risks.isEmpty() };";
    let policy = PolicySet::load(&[("a.cedar".to_owned(), rule.to_owned())], 1);
    let policy = policy.unwrap_or_else(|error| panic!("{}", error.render()));
    let who = || Principal::new("spiffe://t.sealock/human/jo".parse().unwrap());
    let create = HOST_RISKS.iter().map(|(fields, _)| {
        (CREATE, format!(r#"{{"Image":"a","HostConfig":{{{fields}}}}}"#), false)
    });
    let others =
        OTHERS.iter().map(|(action, body, risks)| (*action, (*body).to_owned(), risks.is_empty()));
    for (action, body, plain) in create.chain(others) {
        let resource = match action {
            Action::DockerNetworkCreate | Action::DockerNetworkConnect => {
                Resource::DockerNetwork(Default::default())
            }
            Action::DockerVolumeCreate | Action::DockerVolumeUpdate => {
                Resource::DockerVolume(Default::default())
            }
            Action::DockerServiceCreate | Action::DockerServiceUpdate => {
                Resource::DockerObject { kind: "service".into(), name: "s".into() }
            }
            _ => Resource::Container(Default::default()),
        };
        let mut question = Question::new(who(), action, resource);
        question.context = asked(action, &body).context;
        let decision = policy.decide(&question);
        assert_eq!(decision.fault, None, "{body}");
        assert_eq!(decision.allowed, plain, "{body}");
    }
}

/// The table is the reference: it has to have every risk and no other.
#[test]
fn the_documentation_has_every_risk() {
    let rows = crate::body::settings::RISKS.lines().filter_map(|line| line.strip_prefix("| `"));
    let documented: Vec<&str> = rows.filter_map(|row| row.split('`').next()).collect();
    let mut all: Vec<&str> = Risk::ALL.iter().map(|risk| risk.as_str()).collect();
    all.sort_unstable();
    assert_eq!(documented, all);
}
