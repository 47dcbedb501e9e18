//! Files, settings and contexts, as the real daemon and the real client take them.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "check/dockerd.rs"]
#[expect(clippy::panic, reason = "a test fails by a panic")]
mod dockerd;
#[path = "../src/daemon/scratch.rs"]
mod scratch;

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use dockerd::{Dockerd, apart, client, folder, free_port, in_own_namespaces};
use scratch::{Authority, For};
use sealock_core::Timestamp;
use sealock_docker::daemon::context::{self, ContextError, ContextName, Written};
use sealock_docker::daemon::daemon_json::{ApplyError, Settings, Validation, apply};
use sealock_docker::daemon::files::{ClientFiles, ServerFiles};
use sealock_docker::daemon::{TcpHost, env_lines};
use sealock_testkit::clients::skip_without;
use sealock_testkit::scratch_folder;

fn now() -> Timestamp {
    Timestamp::from_rfc3339("2031-02-03T04:05:06.789Z").unwrap()
}

fn files(authority: &Authority) -> ClientFiles {
    let leaf = authority.leaf(For::Client, &["me.test"]);
    ClientFiles { ca_pem: authority.pem(), cert_pem: leaf.certificate, key_pem: leaf.key }
}

fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {error}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn backups(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let names = entries.map(|name| name.to_string_lossy().into_owned());
    names.filter(|name| name.contains("sealock")).collect()
}

/// A dockerd that answers `--validate` so.
fn pretended(folder: &Path, script: &str) -> PathBuf {
    let path = folder.join("dockerd");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    path
}

#[tokio::test]
async fn the_daemon_starts_with_the_merged_settings_and_a_context_reaches_it() {
    if !in_own_namespaces("the_daemon_starts_with_the_merged_settings_and_a_context_reaches_it") {
        return;
    }
    let (folder, settings) = folder();
    let authority = Authority::named("the test's authority");
    let server = authority.leaf(For::Server, &["localhost", "127.0.0.1"]);
    let tls = folder.path().join("tls");
    let key_pem = server.key;
    ServerFiles { ca_pem: authority.pem(), cert_pem: server.certificate, key_pem }
        .write(&tls)
        .unwrap();
    let socket = Dockerd::socket_in(folder.path()).display().to_string();
    let old = format!("{{\"hosts\": [\"unix://{socket}\"], \"labels\": [\"kept=yes\"]}}\n");
    fs::write(&settings, &old).unwrap();
    let host: TcpHost = format!("tcp://127.0.0.1:{}", free_port()).parse().unwrap();
    let wanted = Settings::new(&tls, vec![host.clone()]).unwrap();
    let applied = apply(&settings, &wanted, now(), OsStr::new("dockerd")).await.unwrap();
    let validations = [Validation::Passed, Validation::NotOffered];
    assert!(applied.changed && validations.contains(&applied.validation), "{applied:?}");
    let _daemon = Dockerd::start(folder, &settings, &[]);

    let config = scratch_folder();
    let name: ContextName = "sealed-1".parse().unwrap();
    let client_files = files(&authority);
    assert_eq!(
        context::write(config.path(), &name, &host, &client_files).unwrap(),
        Written::Created
    );
    let format = ["--format", "{{.Name}} {{.DockerEndpoint}}"];
    let list = succeeds(client(config.path()).args(["context", "ls"]).args(format));
    assert!(list.contains(&format!("sealed-1 {host}")), "{list}");
    let info = ["--context", "sealed-1", "info", "--format", "{{.Labels}}"];
    assert_eq!(succeeds(client(config.path()).args(info)), "[kept=yes]\n");

    // Another authority's certificate is refused, and the context is refreshed with a good one.
    let stranger = ClientFiles { ca_pem: authority.pem(), ..files(&Authority::named("other")) };
    assert!(context::write(config.path(), &name, &host, &stranger).is_err());
    let refreshed = context::write(config.path(), &name, &host, &files(&authority)).unwrap();
    assert_eq!(refreshed, Written::Refreshed);
    assert_eq!(succeeds(client(config.path()).args(info)), "[kept=yes]\n");

    let folder = config.path().join("with space");
    client_files.write(&folder).unwrap();
    let lines = env_lines(&host, &folder).unwrap();
    let script = format!("{lines}exec docker info --format '{{{{.Labels}}}}'");
    let mut shell = apart("sh", config.path());
    assert_eq!(succeeds(shell.args(["-c", &script])), "[kept=yes]\n");
}

#[test]
fn a_context_that_leads_elsewhere_is_not_overwritten() {
    if skip_without(&["docker"]) {
        return;
    }
    let config = scratch_folder();
    let made = ["context", "create", "mine", "--description", "by hand", "--docker"];
    let host: TcpHost = "tcp://10.0.0.1:2376".parse().unwrap();
    let endpoint = format!("host={host},skip-tls-verify=true");
    succeeds(client(config.path()).args(made).arg(&endpoint));
    let files = files(&Authority::named("a"));
    let name: ContextName = "mine".parse().unwrap();
    let other: TcpHost = "tcp://10.0.0.2:2376".parse().unwrap();
    let error = context::write(config.path(), &name, &other, &files).unwrap_err();
    assert!(matches!(error, ContextError::Taken { .. }), "{error}");
    // For its own host it gets certificates, and from now on checks the server; its description stays.
    context::write(config.path(), &name, &host, &files).unwrap();
    let shown = succeeds(client(config.path()).args(["context", "inspect", "mine"]));
    assert!(shown.contains("\"SkipTLSVerify\": false"), "{shown}");
    assert!(shown.contains("by hand") && shown.contains("cert.pem"), "{shown}");
    let update = ["context", "update", "mine", "--docker"];
    succeeds(client(config.path()).args(update).arg(format!("host={other}")));
    succeeds(client(config.path()).args(["context", "rm", "mine"]));
}

#[test]
fn names_that_docker_does_not_take_are_refused() {
    for name in ["", "a", "default", "-a", "a/b", "..", "a b", "ü1", "a\nb"] {
        assert!(name.parse::<ContextName>().is_err(), "{name:?}");
    }
    for name in ["ab", "A.b_c+d-1"] {
        assert!(name.parse::<ContextName>().is_ok(), "{name:?}");
    }
}

#[tokio::test]
async fn applying_twice_changes_nothing_and_makes_one_backup() {
    let scratch = scratch_folder();
    let bin = scratch_folder();
    let dockerd =
        pretended(bin.path(), "grep -q tlsverify \"$3\" && echo \"$1 $2\" > \"$0.asked\"");
    let path = scratch.path().join("daemon.json");
    let old = "{\n    \"debug\": true\n}\n";
    fs::write(&path, old).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    let settings = Settings::new(Path::new("/etc/docker/tls"), Vec::new()).unwrap();
    let first = apply(&path, &settings, now(), dockerd.as_os_str()).await.unwrap();
    assert!(first.changed);
    assert_eq!(first.validation, Validation::Passed);
    let asked = fs::read_to_string(bin.path().join("dockerd.asked")).unwrap();
    assert_eq!(asked, "--validate --config-file\n");
    assert_eq!(first.backup, Some(scratch.path().join("daemon.json.sealock-20310203T040506Z")));
    assert_eq!(fs::read_to_string(first.backup.unwrap()).unwrap(), old);
    let new = fs::read_to_string(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    let second = apply(&path, &settings, now(), dockerd.as_os_str()).await.unwrap();
    assert!(!second.changed && second.backup.is_none());
    assert_eq!(second.validation, Validation::NotNeeded);
    assert_eq!(fs::read_to_string(&path).unwrap(), new);
    assert_eq!(backups(scratch.path()).len(), 1);
    // A backup is never written over, not even in the same second.
    fs::write(&path, "{}").unwrap();
    let third = apply(&path, &settings, now(), dockerd.as_os_str()).await.unwrap();
    assert_eq!(third.backup, Some(scratch.path().join("daemon.json.sealock-20310203T040506Z-2")));
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 3);
}

#[tokio::test]
async fn what_dockerd_refuses_is_not_written() {
    let (scratch, bin) = (scratch_folder(), scratch_folder());
    let dockerd = pretended(bin.path(), "echo 'unable to configure: nonsense' >&2; exit 1");
    let path = scratch.path().join("daemon.json");
    fs::write(&path, "{\"nonsense\": 1}").unwrap();
    let settings = Settings::new(Path::new("/etc/docker/tls"), Vec::new()).unwrap();
    let error = apply(&path, &settings, now(), dockerd.as_os_str()).await.unwrap_err();
    assert!(matches!(&error, ApplyError::Refused { said } if said.contains("nonsense")), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"nonsense\": 1}");
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1, "nothing else is left");
}

#[tokio::test]
async fn without_a_dockerd_a_new_file_is_written_all_the_same() {
    let scratch = scratch_folder();
    let path = scratch.path().join("docker/daemon.json");
    let settings = Settings::new(Path::new("/etc/docker/tls"), Vec::new()).unwrap();
    let nowhere = scratch.path().join("nowhere");
    let applied = apply(&path, &settings, now(), nowhere.as_os_str()).await.unwrap();
    assert_eq!((applied.validation, applied.backup), (Validation::NoDockerd, None));
    assert_eq!(fs::read_to_string(&path).unwrap(), settings.lines());
}
