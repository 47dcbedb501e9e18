//! A daemon set up with our TLS and restarted, and the gateway before it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use sealock_testkit::wait::until;
use serde_json::{Value, json};

use crate::dockerd::{Dockerd, client, folder, in_own_namespaces};
use crate::gateway::Client;
use crate::support::{Home, PATIENCE, text};

/// Docker's client at the daemon's own port, with the files of a folder.
fn direct(files: &Path, arguments: &[&str]) -> std::process::Output {
    let mut command = client(files);
    let file = |name: &str| format!("--tls{name}={}", files.join(format!("{name}.pem")).display());
    let flags = [file("cacert").replace("cacert.pem", "ca.pem"), file("cert"), file("key")];
    command.arg("--tlsverify").args(flags).args(["--host", "tcp://localhost:2376"]);
    command.args(arguments).output().unwrap()
}

/// An archive with nothing but a busybox.
fn busybox() -> Vec<u8> {
    let tar = Command::new("tar").args(["--create", "--directory=/bin", "busybox"]).output();
    let tar = tar.unwrap();
    assert!(tar.status.success(), "{}", text(&tar.stderr));
    tar.stdout
}

#[test]
fn a_daemon_that_was_set_up_is_restarted_and_serves_behind_the_gateway() {
    let name =
        "gateway_tls_engine::a_daemon_that_was_set_up_is_restarted_and_serves_behind_the_gateway";
    if !in_own_namespaces(name) {
        return;
    }
    let home = Home::initialised();
    let (folder, settings) = folder();
    let socket = format!("unix://{}", Dockerd::socket_in(folder.path()).display());
    let old = json!({ "hosts": [socket], "labels": ["kept=yes"] });
    fs::write(&settings, old.to_string()).unwrap();
    let mut daemon = Dockerd::start(folder, &settings, &[]);

    let file = settings.display().to_string();
    let place = ["--dir", "tls", "--client-dir", "client", "--daemon-json", &file];
    let setup = [&["docker", "setup", "--host", "localhost", "--apply"], &place[..]].concat();
    let said = home.json(&setup);
    let merged: Value = serde_json::from_str(&fs::read_to_string(&settings).unwrap()).unwrap();
    // Looked at before the restart: no other daemon's socket may be among them.
    assert_eq!(merged["hosts"], json!([socket, "tcp://0.0.0.0:2376"]), "{said}");
    assert_eq!((&merged["labels"], &merged["tlsverify"]), (&json!(["kept=yes"]), &json!(true)));
    assert_eq!(said["restart_needed"], true, "{said}");
    daemon.restart(&settings, &[]);

    let files = home.path("client");
    let info = ["info", "--format", "{{.Labels}}"];
    let answer = direct(&files, &info);
    assert_eq!(text(&answer.stdout), "[kept=yes]\n", "{}", text(&answer.stderr));
    home.ok(&["docker", "check", "tcp://localhost:2376", "--client-dir", "client"]);
    let again = home.json(&setup);
    assert_eq!(again["restart_needed"], false, "{again}");
    assert_eq!(again["daemon_json"]["applied"]["changed"], false, "{again}");

    let tls = ["--docker", "tcp://localhost:2376", "--docker-tls", "client"];
    let gateway = home.gateway(&tls);
    let admin = Client::admin(&home);
    assert_eq!(admin.ok(&info), "[kept=yes]\n");
    streams_and_uploads(&admin);
    files_are_taken_over(&home, &admin);
    // It comes back by itself when the daemon does.
    daemon.restart(&settings, &[]);
    admin.ok(&info);
    assert_eq!(gateway.stop(), Some(0));
}

/// What is more than a request and its answer.
fn streams_and_uploads(admin: &Client) {
    let imported = admin.fed(&["import", "-", "sealock-test:busybox"], &busybox());
    assert!(imported.status.success(), "{}", text(&imported.stderr));
    let run =
        ["run", "--rm", "--interactive", "--network=none", "sealock-test:busybox", "/busybox"];
    let large: Vec<u8> = (0..2_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let back = admin.fed(&[&run[..], &["cat"]].concat(), &large);
    let said = text(&back.stderr);
    assert!(back.stdout == large, "{} of {} bytes: {said}", back.stdout.len(), large.len());
    // The end of its input is what ends it, and its last words come after that.
    let script = "n=$(/busybox wc -c); echo heard $n; exit 7";
    let last = admin.fed(&[&run[..], &["sh", "-c", script]].concat(), b"four");
    assert_eq!((text(&last.stdout), last.status.code()), ("heard 4\n".to_owned(), Some(7)));
    let saved = admin.run(&["save", "sealock-test:busybox"]);
    assert!(saved.stdout.len() > 500_000, "{}", text(&saved.stderr));
}

/// Files that do not fit are not taken over, and those of a stranger shut us out until ours are back.
fn files_are_taken_over(home: &Home, admin: &Client) {
    let (client, kept) = (home.path("client"), home.path("kept"));
    let copy = |from: &Path, to: &Path, names: &[&str]| {
        fs::create_dir_all(to).unwrap();
        for name in names {
            let new = to.join(format!("{name}.new"));
            fs::copy(from.join(name), &new).unwrap();
            fs::rename(new, to.join(name)).unwrap();
        }
    };
    copy(&client, &kept, &["ca.pem", "cert.pem", "key.pem"]);
    let stranger = Home::initialised();
    stranger.ok(&["docker", "client", "x", "--dir", "x"]);
    let stranger = stranger.path("x");
    copy(&stranger, &client, &["cert.pem"]);
    // A certificate without its key: looked at, and left.
    until("the half of a pair to be noticed", PATIENCE, || {
        home.log().contains("are not taken over").then_some(())
    });
    admin.ok(&["info"]);
    copy(&stranger, &client, &["key.pem"]);
    until("the stranger to be shut out", PATIENCE, || {
        std::thread::sleep(Duration::from_millis(100));
        (!admin.run(&["ps"]).status.success()).then_some(())
    });
    copy(&kept, &client, &["cert.pem", "key.pem"]);
    until("ours to be let in again", PATIENCE, || {
        std::thread::sleep(Duration::from_millis(100));
        admin.run(&["ps"]).status.success().then_some(())
    });
}
