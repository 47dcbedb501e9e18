//! `up`: its doors, two of them at once, what it leaves behind.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use sealock_control::command::Init;
use sealock_control::config::Listen;
use sealock_control::daemon::up;
use sealock_control::{Client, Command, ErrorCode, Reply};

use crate::scratch::{Scratch, issue};

fn changes(scratch: &Scratch) -> Vec<(String, String)> {
    let mut seen = Vec::new();
    for folder in ["policy", "identities/admin", "identities/api", "keys"] {
        for entry in fs::read_dir(scratch.path().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::metadata(&path).unwrap();
            seen.push((path.display().to_string(), format!("{:?}", metadata.modified().unwrap())));
        }
    }
    seen.sort();
    seen
}

#[tokio::test]
async fn makes_what_is_missing_and_changes_nothing_the_second_time() {
    let scratch = Scratch::new();
    let daemon = up(scratch.opening()).await.unwrap();
    let started = daemon.started().clone();
    assert!(started.init.created);
    assert!(!started.engine.up);
    assert!(started.api.is_some());
    let mode = fs::metadata(&started.socket).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let client = Client::new(scratch.opening());
    assert!(client.daemon_runs().await);
    let Reply::Status(status) = client.call(Command::Status).await.unwrap() else {
        panic!("no status")
    };
    assert!(status.daemon);
    assert_eq!(status.pid, std::process::id());
    assert_eq!(status.ca.unwrap().trust_domain, "test.sealock");
    assert_eq!(status.policy.rules, 9);
    daemon.shutdown().trigger();
    daemon.run().await.unwrap();
    assert!(!started.socket.exists(), "the socket is gone");

    let before = changes(&scratch);
    let daemon = up(scratch.opening()).await.unwrap();
    assert!(!daemon.started().init.created);
    daemon.shutdown().trigger();
    daemon.run().await.unwrap();
    assert_eq!(changes(&scratch), before);
}

#[tokio::test]
async fn two_exclude_one_another() {
    let scratch = Scratch::new();
    let daemon = up(scratch.opening()).await.unwrap();
    let error = up(scratch.opening()).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Conflict);
    assert!(error.message.contains(&std::process::id().to_string()), "{error}");
    assert!(Client::new(scratch.opening()).daemon_runs().await, "the first one is not disturbed");
    daemon.shutdown().trigger();
    daemon.run().await.unwrap();
}

#[tokio::test]
async fn a_port_that_is_taken_is_one_clear_error() {
    let scratch = Scratch::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut opening = scratch.opening();
    opening.config.settings.api.listen = Listen::At(taken.local_addr().unwrap());
    let error = up(opening).await.unwrap_err();
    assert!(error.message.starts_with("cannot listen on 127.0.0.1:"), "{error}");
    assert!(error.hint.unwrap().contains("--api off"));
    let mut opening = scratch.opening();
    opening.config.settings.api.listen = Listen::Off;
    let daemon = up(opening).await.unwrap();
    assert_eq!(daemon.started().api, None);
    daemon.shutdown().trigger();
    daemon.run().await.unwrap();
}

#[tokio::test]
async fn commands_work_without_a_daemon_and_beside_a_dead_ones_socket() {
    let scratch = Scratch::new();
    let client = Client::new(scratch.opening());
    let error = client.call(Command::CaShow).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::NotInitialised);
    assert!(!scratch.path().exists(), "asking makes nothing");
    client.call(Command::PolicySchema).await.unwrap();
    client.call(Command::Init(Init::default())).await.unwrap();
    let opening = scratch.opening();
    fs::create_dir_all(opening.state.run()).unwrap();
    drop(UnixListener::bind(opening.state.socket()).unwrap());
    assert!(opening.state.socket().exists());
    client.call(issue("web")).await.unwrap();
    let Reply::Status(status) = client.call(Command::Status).await.unwrap() else {
        panic!("no status")
    };
    assert!(!status.daemon);
    assert_eq!(client.follow(0).await.unwrap_err().code, ErrorCode::Unavailable);
    // The next daemon takes the place of the dead one's socket.
    let daemon = up(scratch.opening()).await.unwrap();
    assert!(client.daemon_runs().await);
    daemon.shutdown().trigger();
    daemon.run().await.unwrap();
}

#[tokio::test]
async fn followers_see_events_as_they_happen_and_end_with_the_daemon() {
    let scratch = Scratch::new();
    let daemon = up(scratch.opening()).await.unwrap();
    let client = Client::new(scratch.opening());
    let last = daemon.service().journal().last_seq();
    let mut follower = client.follow(last).await.unwrap();
    let Reply::Files(files) = client.call(issue("web")).await.unwrap() else { panic!("no files") };
    loop {
        let line = follower.next().await.unwrap().unwrap();
        if line.contains("cert-issued") && line.contains(&files.serial) {
            break;
        }
    }
    let shutdown = daemon.shutdown();
    let ending = async {
        shutdown.trigger();
        daemon.run().await.unwrap();
    };
    let rest = async { while follower.next().await.is_some_and(|line| line.is_ok()) {} };
    tokio::time::timeout(std::time::Duration::from_secs(10), async { tokio::join!(ending, rest) })
        .await
        .expect("a follower does not hold up the end");
}

#[tokio::test]
async fn a_changed_policy_folder_is_read_by_itself() {
    let scratch = Scratch::new();
    let daemon = up(scratch.opening()).await.unwrap();
    fs::write(scratch.rule_file("more.cedar"), "// nothing more\n").unwrap();
    let wait = async {
        while daemon.service().policy().status().epoch < 2 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), wait).await.unwrap();
    daemon.shutdown().trigger();
    daemon.run().await.unwrap();
}

#[tokio::test]
async fn damaged_or_newer_state_is_one_clear_error() {
    let scratch = Scratch::new();
    let daemon = up(scratch.opening()).await.unwrap();
    daemon.shutdown().trigger();
    daemon.run().await.unwrap();
    fs::write(scratch.path().join("VERSION"), "99\n").unwrap();
    let error = up(scratch.opening()).await.unwrap_err();
    assert!(error.message.contains("version 99"), "{error}");
    assert_eq!(error.code, ErrorCode::State);
    fs::write(scratch.path().join("VERSION"), "1\n").unwrap();
    fs::write(scratch.path().join("state.db"), vec![7; 8192]).unwrap();
    for suffix in ["state.db-wal", "state.db-shm"] {
        let _ = fs::remove_file(scratch.path().join(suffix));
    }
    let error = up(scratch.opening()).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::State, "{error:?}");
    assert!(error.hint.is_some(), "{error:?}");
}

#[tokio::test]
async fn systemd_is_told() {
    use std::collections::BTreeMap;
    use std::os::unix::net::UnixDatagram;

    let scratch = Scratch::new();
    let path = scratch.folder.path().join("notify.sock");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
    let mut opening = scratch.opening();
    let variables = BTreeMap::from([("NOTIFY_SOCKET".to_owned(), path.display().to_string())]);
    opening.environment = variables.into();
    let daemon = up(opening).await.unwrap();
    let heard = || {
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    assert!(heard().starts_with("READY=1"));
    daemon.shutdown().trigger();
    daemon.run().await.unwrap();
    assert_eq!(heard(), "STOPPING=1");
}
