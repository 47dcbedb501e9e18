//! `seal` and `open` on the command line, beside `age`.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use crate::support::{Home, text, tool};

#[test]
fn age_opens_what_we_seal_and_we_open_what_age_seals() {
    if sealock_testkit::clients::skip_without(&["age", "age-keygen"]) {
        return;
    }
    let home = Home::new();
    let key = home.path("key");
    tool("age-keygen", &["-o", key.to_str().unwrap()]);
    let recipient = tool("age-keygen", &["-y", key.to_str().unwrap()]);
    let plain = home.write("plain", &"sealed with a kiss\n".repeat(20_000));
    let sealed = home.path("sealed").display().to_string();
    home.ok(&["seal", "-r", recipient.trim(), "-o", &sealed, &plain]);
    let opened = tool("age", &["-d", "-i", key.to_str().unwrap(), &sealed]);
    assert_eq!(opened, fs::read_to_string(&plain).unwrap());

    tool("age", &["-r", recipient.trim(), "-a", "-o", &sealed, &plain]);
    assert_eq!(home.ok(&["open", "-i", key.to_str().unwrap(), &sealed]), opened);
    assert!(!home.state().exists(), "neither needs a state folder");
}

#[test]
fn a_cut_file_leaves_nothing_behind() {
    if sealock_testkit::clients::skip_without(&["age-keygen"]) {
        return;
    }
    let home = Home::new();
    let key = home.path("key");
    tool("age-keygen", &["-o", key.to_str().unwrap()]);
    let recipient = tool("age-keygen", &["-y", key.to_str().unwrap()]);
    let mut child = home
        .command()
        .args(["seal", "-r", recipient.trim(), "-o", "sealed"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&vec![7; 200_000]).unwrap();
    assert!(child.wait().unwrap().success());
    let whole = fs::read(home.path("sealed")).unwrap();
    fs::write(home.path("cut"), &whole[..whole.len() - 100]).unwrap();
    home.fails(1, &["open", "-i", key.to_str().unwrap(), "-o", "out", "cut"]);
    assert!(!home.path("out").exists());
    let wrong = home.path("other");
    tool("age-keygen", &["-o", wrong.to_str().unwrap()]);
    let output = home.run(&["open", "-i", wrong.to_str().unwrap(), "sealed"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(output.stdout.is_empty());
}
