//! A daemon of its own for a test, in namespaces of its own.
//!
//! A second `dockerd` in the machine's network namespace takes the bridge of the running engine away
//! (`--bridge=none` deletes `docker0`). So a test that needs one runs itself once more with a network in
//! which there is only loopback, and [`Dockerd::start`] refuses to start anywhere else. Mounts and
//! processes are in namespaces too: whatever happens to the test, nothing of the daemon stays.

#![allow(dead_code, reason = "each test program uses some of it")]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use sealock_testkit::clients::{skip_without, skip_without_root};
use sealock_testkit::{scratch_folder, wait};
use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_secs(60);
/// Set for the run in namespaces.
const INSIDE: &str = "SEALOCK_TEST_INSIDE_NAMESPACES";

/// Whether the calling test is to go on: it is, in namespaces of its own. Outside it is run there from
/// here, under its name `test`, and has to succeed; or it is skipped, where that cannot be done.
pub(crate) fn in_own_namespaces(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    if skip_without(&["dockerd", "docker", "unshare", "ip"]) || skip_without_root() {
        return false;
    }
    let output = Command::new("unshare")
        .args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"])
        .args(["sh", "-c", "ip link set lo up && exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (said, error) = (text(&output.stdout), text(&output.stderr));
    // The count, because a name that does not exist would succeed as well.
    let passed = output.status.success() && said.contains("1 passed");
    assert!(passed, "in namespaces of its own: {said}\n{error}");
    false
}

/// Whether this network has nothing but loopback, so that no bridge of others can be taken away.
fn network_is_our_own() -> bool {
    let devices = fs::read_to_string("/proc/net/dev").unwrap();
    let mut names = devices.lines().skip(2).filter_map(|line| line.split_once(':'));
    names.all(|(name, _)| name.trim() == "lo")
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A running daemon.
pub(crate) struct Dockerd {
    child: Child,
    folder: TempDir,
}

impl Dockerd {
    /// Starts one with `arguments` and these settings, and waits until it answers at its own socket.
    pub(crate) fn start(folder: TempDir, settings: &Path, arguments: &[String]) -> Self {
        let child = Self::spawn(folder.path(), settings, arguments);
        let mut daemon = Self { child, folder };
        daemon.wait();
        daemon
    }

    /// Ends it in order, and starts it anew on the same data.
    pub(crate) fn restart(&mut self, settings: &Path, arguments: &[String]) {
        self.end();
        self.child = Self::spawn(self.folder.path(), settings, arguments);
        self.wait();
    }

    fn spawn(path: &Path, settings: &Path, arguments: &[String]) -> Child {
        let log = fs::File::create(path.join("log")).unwrap();
        assert!(network_is_our_own(), "a daemon here would take the engine's bridge away");
        let mut command = Command::new("dockerd");
        command
            .arg("--config-file")
            .arg(settings)
            .arg(format!("--data-root={}", path.join("data").display()))
            .arg(format!("--exec-root={}", path.join("exec").display()))
            .arg(format!("--pidfile={}", path.join("pid").display()))
            .args(["--bridge=none", "--iptables=false", "--ip-forward=false", "--ip-masq=false"])
            .arg("--storage-driver=vfs")
            .args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command.spawn().unwrap()
    }

    fn wait(&mut self) {
        wait::until("the daemon's first answer", DEADLINE, || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("dockerd ended with {status}: {}", self.log());
            }
            self.answers().then_some(())
        });
    }

    /// Where its socket is in its folder.
    pub(crate) fn socket_in(folder: &Path) -> PathBuf {
        folder.join("docker.sock")
    }

    /// Its socket.
    pub(crate) fn socket(&self) -> PathBuf {
        Self::socket_in(self.folder.path())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn answers(&self) -> bool {
        let Ok(mut stream) = UnixStream::connect(self.socket()) else { return false };
        let _ = stream.set_read_timeout(Some(DEADLINE));
        let request = b"GET /_ping HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n";
        let mut answer = String::new();
        stream.write_all(request).is_ok()
            && stream.read_to_string(&mut answer).is_ok()
            && answer.starts_with("HTTP/1.1 200")
    }
}

impl Dockerd {
    fn end(&mut self) {
        // Asked first, so that it unmounts what it mounted and ends its own containerd.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        }
        let end = Instant::now() + DEADLINE;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < end {
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        self.end();
        // It leaves its own folder mounted on itself when it was killed, which keeps it from removal.
        let data = self.folder.path().join("data").display().to_string();
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        if mounts.lines().any(|line| line.split(' ').nth(1) == Some(&data)) {
            let _ = Command::new("umount").arg(&data).status();
        }
    }
}

/// Docker's own client with a folder of its own and nothing from the environment.
pub(crate) fn client(config: &Path) -> Command {
    apart("docker", config)
}

/// A program that starts Docker's client, or it itself.
pub(crate) fn apart(program: &str, config: &Path) -> Command {
    let mut command = Command::new(program);
    let variables =
        ["DOCKER_HOST", "DOCKER_TLS", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_CONTEXT"];
    for variable in variables {
        command.env_remove(variable);
    }
    command.env("DOCKER_CONFIG", config).env("HOME", config).stdin(Stdio::null());
    command
}

/// A folder for a daemon, with empty settings in it.
pub(crate) fn folder() -> (TempDir, PathBuf) {
    let folder = scratch_folder();
    let settings = folder.path().join("daemon.json");
    fs::write(&settings, "{}").unwrap();
    (folder, settings)
}
