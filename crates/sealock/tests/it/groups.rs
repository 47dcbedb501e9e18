//! `sealock group`: rights come with the next request, and go at once.

use std::process::Stdio;

use sealock_testkit::docker::Image;
use sealock_testkit::wait::until;

use crate::gateway::{Client, first_line, home, permit, skip};
use crate::raw::Connection;
use crate::support::{Home, PATIENCE};

const RULES: &str = r#"
permit (principal in Sealock::Group::"ops", action in Sealock::Action::"Docker", resource);
permit (principal in Sealock::Group::"readers", action in Sealock::Action::"DockerRead", resource);
"#;

#[test]
fn who_leaves_a_group_loses_its_rights_and_its_streams() {
    if skip() {
        return;
    }
    let home = home();
    let daemon = home.up();
    permit(&home, RULES);
    let image = Image::busybox();
    let container = image.start(&[]);
    let (op, _) = Client::human(&home, "op");
    let (other, _) = Client::human(&home, "other");
    let shell = ["exec", "--interactive", container.id(), "sh", "-c", "echo begun; cat"];
    let begin = |client: &Client| {
        let mut command = client.command(&shell);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        assert_eq!(first_line(&mut child), "begun\n");
        child
    };
    assert!(op.refused(&["ps"]).contains("is denied"));
    home.ok(&["group", "add", "ops", "human/op"]);
    home.ok(&["group", "add", "ops", "human/other"]);
    let (mut cut, mut kept) = (begin(&op), begin(&other));
    // Another group takes nothing away from anybody, so nothing of theirs is ended.
    home.ok(&["group", "add", "readers", "human/op"]);
    op.ok(&["ps"]);
    assert!(cut.try_wait().unwrap().is_none(), "to be put into a group ends nothing");
    home.ok(&["group", "remove", "ops", "human/op"]);
    until("the stream to be cut", PATIENCE, || cut.try_wait().unwrap());
    op.ok(&["ps"]);
    assert!(op.refused(&["kill", container.id()]).contains("is denied"));
    assert!(kept.try_wait().unwrap().is_none(), "others are not disturbed");
    drop(kept.stdin.take());
    assert!(kept.wait().unwrap().success());
    let log = home.ok(&["--json", "audit", "tail", "-n", "50"]);
    let removed = log.lines().find(|line| line.contains("\"removed\"")).unwrap();
    assert!(removed.contains("human/op") && removed.contains("Policy::Assign"), "{removed}");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn on_an_open_connection_a_new_group_counts_with_the_next_request() {
    if skip() {
        return;
    }
    let home = home();
    let daemon = home.gateway(&[]);
    permit(&home, RULES);
    let (op, _) = Client::human(&home, "op");
    let mut open = Connection::of(&op);
    assert_eq!(open.get("/version").as_deref(), Some("403"));
    home.ok(&["group", "add", "readers", "human/op"]);
    assert_eq!(open.get("/version").as_deref(), Some("200"));
    home.ok(&["group", "remove", "readers", "human/op"]);
    assert_eq!(open.get("/version"), None, "the connection was ended");
    assert_eq!(Connection::of(&op).get("/version").as_deref(), Some("403"));
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn groups_are_listed_with_where_they_come_from_and_only_commands_are_undone() {
    let home = Home::initialised();
    let config = home.write("sealock.toml", "groups.admin = [\"host/build\"]\n");
    home.ok(&["group", "add", "ci", "service/runner"]);
    home.ok(&["group", "add", "ci", "human/alice"]);
    home.ok(&["group", "add", "ci", "human/alice"]);
    let all = home.ok(&["--config", &config, "group", "list"]);
    let lines: Vec<Vec<&str>> = all.lines().map(|line| line.split_whitespace().collect()).collect();
    let wanted = [
        ["GROUP", "MEMBER", "BY"],
        ["admin", "host/build", "settings"],
        ["ci", "human/alice", "command"],
        ["ci", "service/runner", "command"],
    ];
    assert_eq!(lines, wanted);
    home.ok(&["group", "remove", "ci", "human/alice"]);
    let left = home.json(&["group", "list", "ci"]);
    let runner =
        serde_json::json!([{ "group": "ci", "member": "service/runner", "by_settings": false }]);
    assert_eq!(left, runner);
    let said = home.fails(1, &["group", "remove", "ci", "human/alice"]);
    assert!(said.contains("human/alice is not in the group ci"), "{said}");
    let said = home.fails(1, &["--config", &config, "group", "remove", "admin", "host/build"]);
    assert!(said.contains("by the settings") && said.contains("groups.admin"), "{said}");
    for wrong in ["alice", "robot/x", "human/"] {
        let output = home.run(&["group", "add", "ci", wrong]);
        assert_eq!(output.status.code(), Some(64), "{wrong}");
    }
}
