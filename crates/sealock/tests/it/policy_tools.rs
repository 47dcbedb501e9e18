//! Presets, requests that are tried, and policies that are learnt.

use std::fs;

use sealock_testkit::docker::Image;
use sealock_testkit::wait::until;
use serde_json::Value;

use crate::gateway::{Client, home, skip};
use crate::support::{Daemon, Home, PATIENCE, text};

const CASES: &str = r#"
principal = "human/alice"

[[container]]
name = "web"
owner = "human/bob"

[[case]]
name = "she looks"
request = "GET /v1.41/containers/web/json"
expect = "allow"

[[case]]
name = "she breaks out"
request = "POST /v1.41/containers/create"
body = { Image = "busybox", HostConfig = { Privileged = true } }
expect = "deny"

[[case]]
name = "she sends a form"
request = "POST /v1.41/containers/create"
content-type = "application/x-www-form-urlencoded"
body = "fromImage=evil"
expect = "refuse"
"#;

#[test]
fn presets_are_listed_printed_and_put_into_the_policy() {
    let home = Home::initialised();
    let listed = home.json(&["policy", "presets"]);
    let names: Vec<&str> =
        listed.as_array().unwrap().iter().map(|preset| preset["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 9);
    for name in names {
        let printed = home.ok(&["policy", "presets", name]);
        assert!(home.ok(&["policy", "presets"]).contains(name));
        let file = home.write("printed.cedar", &printed);
        assert!(home.ok(&["policy", "check", &file]).contains("valid"));
    }
    for name in ["ci-runner", "diun"] {
        let said = home.ok(&["policy", "use", name, "--for", "human/alice"]);
        assert!(said.contains(&format!("{name} for human/alice is in ")), "{said}");
        let said = home.ok(&["policy", "use", name, "--for", "human/alice"]);
        assert!(said.contains("was already in "), "{said}");
    }
    assert!(home.fails(1, &["policy", "presets", "evil"]).contains("no preset `evil`"));
    assert!(home.fails(1, &["policy", "use", "evil", "--for", "a"]).contains("no preset evil"));
    home.fails(64, &["policy", "use", "diun", "--for", "../evil"]);
    let file = home.state().join("policy/docker-diun-for-human-alice.cedar");
    fs::write(&file, "// mine\n").unwrap();
    let said = home.fails(1, &["policy", "use", "diun", "--for", "human/alice"]);
    assert!(said.contains("was changed") && said.contains("--force"), "{said}");
    home.ok(&["policy", "use", "diun", "--for", "human/alice", "--force"]);
    assert!(fs::read_to_string(&file).unwrap().contains("Human::\"alice\""));
}

#[test]
fn requests_are_tried_against_the_policy_in_force_and_against_others() {
    let home = Home::initialised();
    let cases = home.write("cases.toml", CASES);
    let output = home.run(&["policy", "test", &cases]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("FAIL  cases: she looks\n      - allow\n      + "), "{said}");
    assert!(said.contains("ok    cases: she sends a form (refuse)"), "{said}");
    home.ok(&["policy", "use", "read-only", "--for", "human/alice"]);
    let said = home.ok(&["policy", "test", &cases]);
    assert_eq!(said.matches("ok    ").count(), 3, "{said}");
    let wide = home.write("wide.cedar", "permit (principal, action, resource);");
    let output = home.run(&["--json", "policy", "test", &cases, "--policy", &wide]);
    assert_eq!(output.status.code(), Some(1));
    let outcomes: Value = serde_json::from_slice(&output.stdout).unwrap();
    let passed: Vec<bool> = outcomes
        .as_array()
        .unwrap()
        .iter()
        .map(|outcome| outcome["outcome"]["passed"].as_bool().unwrap())
        .collect();
    assert_eq!(passed, [true, false, true]);
    let bad = home.write("bad.toml", "[[case]]\nname = \"x\"\nexpected = \"allow\"\n");
    let said = home.fails(1, &["policy", "test", &bad]);
    assert!(said.contains("unknown field `expected`"), "{said}");
}

#[test]
fn a_preset_works_from_the_next_request_on() {
    if skip() {
        return;
    }
    let home = home();
    let daemon = home.up();
    let (reader, _) = Client::human(&home, "reader");
    assert!(reader.refused(&["ps"]).contains("is denied"));
    home.ok(&["policy", "use", "read-only", "--for", "human/reader"]);
    reader.ok(&["ps"]);
    let said = reader.refused(&["network", "create", "sealock-not-made"]);
    let request = said.split("policy explain ").nth(1).unwrap().split('`').next().unwrap();
    let explained = home.ok(&["policy", "explain", request]);
    assert!(explained.contains("Docker::NetworkCreate"), "{explained}");
    assert_eq!(daemon.stop(), Some(0));
}

fn up(home: &Home, mode: &str) -> Daemon {
    let log = fs::File::create(home.path("daemon.log")).unwrap();
    let mut command = home.command();
    command.env("SEALOCK_POLICY_DOCKER", mode);
    command.args(["up", "--api", "off", "--gateway", "127.0.0.1:0"]);
    let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
    let daemon = Daemon::of(child);
    until("the daemon to answer", PATIENCE, || {
        let status = home.run(&["--json", "status"]);
        let status: Value = serde_json::from_slice(&status.stdout).ok()?;
        (status["gateway"].is_string() && status["engine"]["up"] == true).then_some(())
    });
    daemon
}

/// A working day of a developer: a dozen things, all undone at the end.
fn work(dev: &Client, image: &str, web: &str, folder: &str, name: &str) {
    let bind = format!("{folder}:/data:ro");
    let volume = format!("{name}-volume");
    let network = format!("{name}-network");
    let mounted = format!("{volume}:/volume");
    dev.ok(&["version"]);
    dev.ok(&["ps", "--all"]);
    dev.ok(&["logs", web]);
    assert_eq!(dev.ok(&["run", "--rm", image, "echo", "ran"]), "ran\n");
    assert_eq!(dev.ok(&["run", "--rm", "--volume", &bind, image, "cat", "/data/marker"]), "mark");
    dev.ok(&["volume", "create", &volume]);
    dev.ok(&["network", "create", &network]);
    dev.ok(&[
        "run",
        "--detach",
        "--name",
        name,
        "--network",
        &network,
        "--volume",
        &mounted,
        image,
        "sleep",
        "600",
    ]);
    assert_eq!(dev.ok(&["exec", name, "echo", "in it"]), "in it\n");
    dev.ok(&["logs", name]);
    dev.ok(&["inspect", name]);
    dev.ok(&["stop", "--time", "0", name]);
    dev.ok(&["rm", name]);
    dev.ok(&["network", "rm", &network]);
    dev.ok(&["volume", "rm", &volume]);
}

/// Removes what a failed test has left.
struct Left(String);

impl Drop for Left {
    fn drop(&mut self) {
        let name = &self.0;
        let quiet = |arguments: &[&str]| {
            let _ = std::process::Command::new("docker").args(arguments).output();
        };
        quiet(&["rm", "--force", name]);
        quiet(&["network", "rm", &format!("{name}-network")]);
        quiet(&["volume", "rm", &format!("{name}-volume")]);
    }
}

#[test]
fn what_was_learnt_lets_the_same_through_and_nothing_else() {
    if skip() {
        return;
    }
    let home = home();
    let (image, other) = (Image::busybox(), Image::busybox());
    let web = image.start(&[]);
    let folder = home.path("data");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("marker"), "mark").unwrap();
    let folder = folder.display().to_string();
    let name = sealock_testkit::unique_name();
    let _left = Left(name.clone());

    let daemon = up(&home, "learn");
    let (dev, _) = Client::human(&home, "dev");
    let (eve, _) = Client::human(&home, "eve");
    work(&dev, image.name(), web.id(), &folder, &name);
    eve.ok(&["info"]);
    assert_eq!(daemon.stop(), Some(0));

    let exported = home.path("audit.jsonl").display().to_string();
    home.ok(&["audit", "export", "--out", &exported]);
    let of_file = home.ok(&["policy", "learn", "--from", &exported, "--for", "human/dev"]);
    let rules = home.state().join("policy/dev.cedar").display().to_string();
    home.ok(&["policy", "learn", "--for", "human/dev", "--out", &rules]);
    let learnt = fs::read_to_string(&rules).unwrap();
    assert_eq!(of_file.trim_end(), learnt.trim_end());
    assert!(learnt.contains("resource.owner == principal.identity"), "{learnt}");
    for never in ["privileged", "SystemInfo", "\"eve\"", "principal,"] {
        assert!(!learnt.contains(never), "{never} is in {learnt}");
    }
    let said = home.fails(1, &["policy", "learn", "--for", "human/nobody"]);
    assert!(said.contains("nothing to learn") && said.contains("policy.docker"), "{said}");

    let daemon = up(&home, "enforce");
    let dev = dev.at(&home);
    work(&dev, image.name(), web.id(), &folder, &name);
    let image = image.name();
    let writable = format!("{folder}:/data");
    let above = format!("{}:/data:ro", home.path("").display());
    for more in [
        &["run", "--rm", "--privileged", image, "id"][..],
        &["run", "--rm", "--cap-add", "NET_ADMIN", image, "id"],
        &["run", "--rm", "--volume", &writable, image, "id"],
        &["run", "--rm", "--volume", &above, image, "id"],
        &["run", "--rm", "--volume", "/:/host:ro", image, "id"],
        &["run", "--rm", other.name(), "id"],
        &["exec", web.id(), "id"],
        &["stop", web.id()],
        &["rm", "--force", web.id()],
        &["network", "create", "--driver", "macvlan", "sealock-not-made"],
        &["images"],
        &["system", "prune", "--force"],
    ] {
        let said = dev.refused(more);
        let refused =
            ["is denied", "403", "not found", "No such"].iter().any(|word| said.contains(word));
        assert!(refused, "{more:?}: {said}");
    }
    let eve = eve.at(&home);
    assert!(eve.refused(&["ps"]).contains("is denied"));
    assert_eq!(daemon.stop(), Some(0));
}
