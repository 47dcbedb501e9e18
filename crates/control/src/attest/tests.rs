//! Who is let in as nobody. (That containers are let in as themselves is tested with the real engine, in
//! `crates/sealock/tests/it/gateway_socket.rs`.)

use std::path::PathBuf;
use std::process::{Child, Command};

use sealock_engine::EngineUrl;
use tokio::net::UnixListener;

use super::*;

/// Where the other process of a test connects to.
const SOCKET: &str = "SEALOCK_TEST_CONNECT";

struct Scratch {
    folder: tempfile::TempDir,
    listener: UnixListener,
}

impl Scratch {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
        Self { folder, listener }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// On an engine that nobody needs.
    fn attester(&self) -> Attester {
        let url = EngineUrl::Unix(self.folder.path().join("no-engine"));
        Attester::new(Engine::without_connecting(&url).unwrap(), &[self.folder.path()])
    }

    /// A process of its own that connects and ends; gives its number when it is gone.
    fn connect_and_end(&self) -> u32 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "attest::tests::connects_when_told_to", "--nocapture"])
            .env(SOCKET, self.socket())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let number = child.id();
        assert!(child.wait().unwrap().success());
        number
    }

    async fn accepted(&self) -> UnixStream {
        self.listener.accept().await.unwrap().0
    }
}

/// Not a test of its own: what [`Scratch::connect_and_end`] runs.
#[test]
fn connects_when_told_to() {
    if let Some(socket) = std::env::var_os(SOCKET) {
        std::os::unix::net::UnixStream::connect(socket).unwrap();
    }
}

#[tokio::test]
async fn a_process_of_the_host_is_in_no_container() {
    assert!(is_supported());
    let scratch = Scratch::new();
    let _own = UnixStream::connect(scratch.socket()).await.unwrap();
    let refused = scratch.attester().attest(&scratch.accepted().await, Socket::Gateway).await;
    assert!(matches!(refused, Err(AttestError::NoContainer)), "{refused:?}");
}

#[tokio::test]
async fn who_is_gone_before_being_looked_at_is_nobody() {
    let scratch = Scratch::new();
    scratch.connect_and_end();
    let refused = scratch.attester().attest(&scratch.accepted().await, Socket::Gateway).await;
    assert!(matches!(refused, Err(AttestError::Process(_))), "{refused:?}");
}

/// Makes the number of a process that is gone that of another one.
fn use_again(number: u32) -> Option<Child> {
    for _ in 0..500 {
        std::fs::write("/proc/sys/kernel/ns_last_pid", (number - 1).to_string()).ok()?;
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        if child.id() == number {
            return Some(child);
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    None
}

/// A connection waits in the queue, its process ends, and its number becomes that of another's.
#[tokio::test]
async fn a_number_that_was_used_again_is_not_the_one_that_connected() {
    if sealock_testkit::clients::skip_without_root() {
        return;
    }
    let scratch = Scratch::new();
    let (number, mut other) = (0..20)
        .find_map(|_| {
            let number = scratch.connect_and_end();
            Some((number, use_again(number)?))
        })
        .expect("a number that is used again");
    let mut refused = None;
    // The attempts before it are in the queue too.
    while let Ok(accepted) =
        tokio::time::timeout(Duration::from_millis(200), scratch.accepted()).await
    {
        let by_number = accepted.peer_cred().unwrap().pid().unwrap().cast_unsigned();
        let found = peer(&accepted);
        if by_number == number {
            // By its number alone, the wrong process would be looked at.
            assert!(Process::numbered(by_number).is_ok());
            refused = Some(found);
        }
    }
    assert!(matches!(refused, Some(Err(AttestError::Process(_)))), "{refused:?}");
    other.kill().unwrap();
    other.wait().unwrap();
}

#[test]
fn a_folder_is_writable_wherever_above_it_the_mount_begins() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("run/docker");
    std::fs::create_dir_all(&folder).unwrap();
    let url = EngineUrl::Unix(scratch.path().join("no-engine"));
    let attester = Attester::new(Engine::without_connecting(&url).unwrap(), &[&folder]);
    let link = scratch.path().join("link");
    std::os::unix::fs::symlink(scratch.path().join("run"), &link).unwrap();
    let with = |source: &Path, writable: bool, kind: &str| {
        let mount = sealock_engine::Mount {
            kind: kind.to_owned(),
            source: source.display().to_string(),
            destination: "/x".to_owned(),
            writable,
        };
        attester.is_writable_in(&container(vec![mount]))
    };
    for above in [folder.as_path(), &scratch.path().join("run"), Path::new("/"), &link] {
        assert!(with(above, true, "bind"), "{above:?}");
        assert!(!with(above, false, "bind"), "{above:?}");
    }
    for other in [folder.join("docker.sock"), scratch.path().join("ru"), "/nowhere".into()] {
        assert!(!with(&other, true, "bind"), "{other:?}");
    }
    assert!(!with(Path::new(""), true, "tmpfs"));
}

fn container(mounts: Vec<sealock_engine::Mount>) -> Container {
    Container {
        id: "0".repeat(64),
        name: "one".to_owned(),
        image: String::new(),
        image_id: String::new(),
        running: true,
        paused: false,
        pid: None,
        started_at: None,
        labels: std::collections::BTreeMap::new(),
        hostname: String::new(),
        user: String::new(),
        pid_mode: String::new(),
        network_mode: String::new(),
        userns_mode: String::new(),
        read_only: false,
        privileged: false,
        networks: Vec::new(),
        mounts,
    }
}
