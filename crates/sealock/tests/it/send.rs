//! `send` as a user types it.

use std::fs;

use sealock_testkit::docker::Image;

use crate::support::Home;

#[test]
fn a_file_arrives_with_its_owner_and_the_receipt_is_audited() {
    if sealock_testkit::clients::skip_without_engine()
        || sealock_testkit::clients::skip_without_root()
    {
        return;
    }
    let home = Home::initialised();
    let image = Image::busybox();
    let container = image.start(&["--tmpfs", "/data", "--read-only"]);
    let file = home.write("secret.txt", "only for you\n");
    for carrier in ["direct", "exec", "auto"] {
        let target = format!("{}:/data/{carrier}/secret.txt", container.id());
        let receipt = home.json(&[
            "send",
            &file,
            &target,
            "--carrier",
            carrier,
            "--owner",
            "app",
            "--mode",
            "0440",
        ]);
        if carrier != "auto" {
            assert_eq!(receipt["carrier"], carrier);
        }
        let path = format!("/data/{carrier}/secret.txt");
        assert_eq!(container.output(&["cat", &path]).trim(), "only for you");
        assert_eq!(container.output(&["stat", "-c", "%u %a", &path]).trim(), "1000 440");
        let log = home.ok(&["--json", "audit", "tail", "-n", "1"]);
        assert!(
            log.contains("transfer-done") && log.contains(receipt["sha256"].as_str().unwrap()),
            "{log}"
        );
    }
    let left = container.output(&["find", "/", "-xdev", "-name", "*sealock*"]);
    assert_eq!(left.trim(), "", "the receiver and its staging are gone");
}

#[test]
fn a_folder_arrives_as_one_version_and_stdin_as_a_file() {
    if sealock_testkit::clients::skip_without_engine()
        || sealock_testkit::clients::skip_without_root()
    {
        return;
    }
    let home = Home::initialised();
    let image = Image::busybox();
    let container = image.start(&[]);
    fs::create_dir_all(home.path("conf/sub")).unwrap();
    fs::write(home.path("conf/a"), "1").unwrap();
    fs::write(home.path("conf/sub/b"), "2").unwrap();
    let conf = home.path("conf").display().to_string();
    home.ok(&["send", &conf, &format!("{}:/etc/conf", container.id())]);
    assert_eq!(container.output(&["cat", "/etc/conf/a", "/etc/conf/sub/b"]), "12");
    let before = container.output(&["readlink", "/etc/conf/..data"]);
    let again = home.json(&["send", &conf, &format!("{}:/etc/conf", container.id())]);
    assert_eq!(again["changed"], false);
    assert_eq!(container.output(&["readlink", "/etc/conf/..data"]), before);

    let mut child = home
        .command()
        .args(["send", "-", &format!("{}:/tmp/in", container.id())])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"piped").unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(container.output(&["cat", "/tmp/in"]), "piped");
}

#[test]
fn what_cannot_be_sent_is_one_clear_error() {
    if sealock_testkit::clients::skip_without_engine()
        || sealock_testkit::clients::skip_without_root()
    {
        return;
    }
    let home = Home::initialised();
    let file = home.write("f", &"x".repeat(200_000));
    let said = home.fails(1, &["send", &file, "no-such-container:/x"]);
    assert!(said.contains("no-such-container"), "{said}");
    let image = Image::busybox();
    let container = image.start(&["--read-only", "--tmpfs", "/small:size=64k"]);
    let to = |path: &str| format!("{}:{path}", container.id());
    for (path, options, word) in [
        ("/etc/f", &[][..], "read-only"),
        ("/small/f", &[], "space"),
        ("/small/g", &["--owner", "nobody-of-that-name"], "nobody-of-that-name"),
    ] {
        let target = to(path);
        let said = home.fails(1, &[&["send", &file, &target][..], options].concat());
        assert!(said.contains(word), "{path}: {said}");
        assert!(!container.exec(&["ls", path]).status.success(), "{path} is there");
    }
    assert_eq!(container.output(&["ls", "-A", "/small"]), "");
    container.kill();
    let said = home.fails(1, &["send", &file, &to("/small/f")]);
    assert!(said.contains("not running"), "{said}");
    let log = home.ok(&["--json", "audit", "export"]);
    assert!(log.contains("transfer-failed"), "{log}");
}
