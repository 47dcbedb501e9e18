//! Values that somebody is not shown: of the environment unless a rule shows them, of labels where a rule forbids it;
//! and volumes that bring a folder of the host with them.

use std::fs;

use sealock_testkit::docker::{Image, docker};

use crate::gateway::{Client, home, skip};
use crate::support::Home;

const RULES: &str = r#"
permit (principal, action in [Sealock::Action::"DockerRead", Sealock::Action::"Docker::SeeOthers"], resource);
forbid (
  principal == Sealock::Human::"blind",
  action == Sealock::Action::"Docker::SeeLabels",
  resource
);
permit (
  principal == Sealock::Human::"open",
  action == Sealock::Action::"Docker::SeeEnvironment",
  resource is Sealock::Container
)
when { resource.hasTag("open") };
permit (
  principal == Sealock::Human::"maker",
  action in
    [Sealock::Action::"Docker::ContainerCreate",
     Sealock::Action::"Docker::VolumeCreate",
     Sealock::Action::"Docker::ImageRun"],
  resource
);
permit (
  principal == Sealock::Human::"maker",
  action == Sealock::Action::"Docker::Mount",
  resource in Sealock::HostPath::"/srv/ci"
);"#;

fn with_rules() -> Home {
    let home = home();
    fs::create_dir_all(home.state().join("policy")).unwrap();
    fs::write(home.state().join("policy/test.cedar"), RULES).unwrap();
    home
}

#[test]
fn values_are_shown_only_as_rules_say() {
    if skip() {
        return;
    }
    let home = with_rules();
    let daemon = home.up();
    let image = Image::busybox();
    let secret = ["--env", "PASSWORD=hunter2", "--label", "note=hunter3"];
    let closed = image.start(&secret);
    let open = image.start(&[&secret[..], &["--label", "open=1"]].concat());
    let [reader, blind, opened] =
        ["reader", "blind", "open"].map(|name| Client::human(&home, name).0);

    let seen = reader.ok(&["inspect", closed.id()]);
    assert!(seen.contains("PASSWORD=(redacted)") && seen.contains("hunter3"), "{seen}");
    assert!(!seen.contains("hunter2"), "{seen}");
    assert!(opened.ok(&["inspect", open.id()]).contains("PASSWORD=hunter2"));
    assert!(!opened.ok(&["inspect", closed.id()]).contains("hunter2"));

    let since = docker(&["info", "--format", "{{.SystemTime}}"]);
    let since = format!("{}Z", since.split('.').next().unwrap().trim_end_matches('Z'));
    let _ = docker(&["kill", open.id()]);
    for words in [
        vec!["inspect", closed.id()],
        vec!["ps", "--all", "--format", "{{.ID}} {{.Labels}}", "--no-trunc"],
        vec!["events", "--since", &since, "--until", "-1s"],
    ] {
        let seen = blind.ok(&words);
        assert!(seen.contains(open.id()) || seen.contains(closed.id()), "{words:?}: {seen}");
        assert!(!seen.contains("hunter"), "{words:?}: {seen}");
        assert!(reader.ok(&words).contains("hunter3"), "{words:?}");
    }
    let said = blind.refused(&["ps", "--filter", "label=note=hunter3"]);
    assert!(said.contains("cannot filter by them"), "{said}");
    assert_eq!(daemon.stop(), Some(0));
}

/// Images have environments too, and so have the words of a command that an event tells.
#[test]
fn values_of_images_and_commands_are_shown_only_as_rules_say() {
    if skip() {
        return;
    }
    let home = with_rules();
    let daemon = home.up();
    let image = Image::busybox();
    let box_ = image.start(&["--label", "open=1"]);
    let tag = format!("{}:secret", sealock_testkit::unique_name());
    let _ = docker(&["commit", "--change", "ENV PASSWORD=hunter2", box_.id(), &tag]);
    let _removed = RemovedImage(tag.clone());
    let built = format!("{}:built", sealock_testkit::unique_name());
    let file = format!("FROM {}\nENV PASSWORD=hunter2\nARG TOKEN=hunter3\n", image.name());
    let mut build = std::process::Command::new("docker");
    build.args(["build", "--quiet", "--tag", &built, "-"]).env("DOCKER_BUILDKIT", "0");
    build.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null());
    let mut child = build.stderr(std::process::Stdio::null()).spawn().unwrap();
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), file.as_bytes()).unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
    let _removed_too = RemovedImage(built.clone());
    let [reader, open] = ["reader", "open"].map(|name| Client::human(&home, name).0);

    for words in [
        vec!["image", "inspect", &tag],
        vec!["image", "inspect", &built],
        vec!["history", "--no-trunc", &built],
    ] {
        let seen = reader.ok(&words);
        assert!(seen.contains("(redacted)") && !seen.contains("hunter"), "{words:?}: {seen}");
        assert!(docker(&words).contains("hunter"), "{words:?}: there is something to hide");
    }
    let since = docker(&["info", "--format", "{{.SystemTime}}"]);
    let since = format!("{}Z", since.split('.').next().unwrap().trim_end_matches('Z'));
    let _ = docker(&["exec", box_.id(), "sh", "-c", "true hunter2"]);
    // Events are kept by the second.
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let filter = format!("container={}", box_.id());
    let words = ["events", "--since", &since, "--until", "0s", "--filter", &filter];
    let seen = reader.ok(&words);
    assert!(seen.contains("exec_start") && !seen.contains("hunter2"), "{seen}");
    let seen = open.ok(&words);
    assert!(seen.contains("exec_start: sh -c true hunter2"), "{seen}");
    assert_eq!(daemon.stop(), Some(0));
}

/// An image that goes with the test.
struct RemovedImage(String);

impl Drop for RemovedImage {
    fn drop(&mut self) {
        let _ = sealock_testkit::docker::try_docker(&["image", "rm", "--force", &self.0]);
    }
}

#[test]
fn a_volume_gives_only_what_could_be_mounted_without_it() {
    if skip() {
        return;
    }
    let home = with_rules();
    let daemon = home.up();
    let image = Image::busybox();
    let (maker, _) = Client::human(&home, "maker");
    let volume = |device: &str| {
        let name = sealock_testkit::unique_name();
        let device = format!("device={device}");
        let _ =
            docker(&["volume", "create", "-o", "type=none", "-o", "o=bind", "-o", &device, &name]);
        Removed(name)
    };
    let (root, etc) = (volume("/"), volume("/etc"));
    for (volume, path) in [(&root, "/"), (&etc, "/etc")] {
        let mount = format!("{}:/x", volume.0);
        let said = maker.refused(&["create", "--volume", &mount, image.name()]);
        assert!(said.contains(&format!("Docker::Mount on host path {path} ")), "{said}");
        let mount = format!("type=volume,src={},dst=/x,readonly", volume.0);
        let said = maker.refused(&["create", "--mount", &mount, image.name()]);
        assert!(said.contains("Docker::Mount on host path"), "{said}");
    }
    let dots = volume("/srv/ci/../../etc");
    let said = maker.refused(&["create", "--volume", &format!("{}:/x", dots.0), image.name()]);
    assert!(said.contains("must not contain `..`"), "{said}");
    let cache = volume("/srv/ci/cache");
    let made = maker.ok(&["create", "--volume", &format!("{}:/x", cache.0), image.name()]);
    let _ = docker(&["rm", made.trim()]);
    assert_eq!(daemon.stop(), Some(0));
}

/// A volume that goes with the test.
struct Removed(String);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = sealock_testkit::docker::try_docker(&["volume", "rm", "--force", &self.0]);
    }
}
