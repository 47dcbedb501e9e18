//! A scratch installation, and the binary run on it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use sealock_testkit::wait::until;
use serde_json::Value;

/// How long anything may take that another process has to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A state folder of its own, removed at the end, with the daemon that runs on it.
pub(crate) struct Home {
    folder: tempfile::TempDir,
    scope: String,
    settings: Vec<(&'static str, &'static str)>,
}

impl Home {
    pub(crate) fn new() -> Self {
        let scope = sealock_testkit::unique_name();
        Self { folder: tempfile::tempdir().unwrap(), scope, settings: Vec::new() }
    }

    /// Settings by the environment, for all that is started from here on.
    pub(crate) fn set(&mut self, settings: &[(&'static str, &'static str)]) {
        self.settings.extend(settings);
    }

    /// The option that makes a container this installation's, and nobody else's.
    pub(crate) fn scope_label(&self) -> String {
        format!("--label=sealock.scope={}", self.scope)
    }

    /// With an authority.
    pub(crate) fn initialised() -> Self {
        let home = Self::new();
        home.ok(&["init", "--trust-domain", "test.sealock"]);
        home
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path("state")
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// A file that is its owner's alone, as one with a secret has to be.
    pub(crate) fn write_private(&self, name: &str, text: &str) -> String {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.write(name, text);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// The binary, with this state and none of the caller's settings, standing in the scratch folder.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealock"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.folder.path());
        command.env("SEALOCK_WATCH_SCOPE", &self.scope).envs(self.settings.iter().copied());
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command.arg("--state").arg(self.state());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().unwrap()
    }

    /// A command that has to succeed; its stdout.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "sealock {arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// A command that has to succeed; its answer.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ok(&[&["--json"], arguments].concat())).unwrap()
    }

    /// A command that has to fail with this code; its stderr. It must not panic, and must not be
    /// silent.
    pub(crate) fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "sealock {arguments:?}: {said}");
        assert!(said.contains("error:") && !said.contains("panicked"), "{said}");
        said
    }

    /// Starts the daemon and waits until it answers.
    pub(crate) fn up(&self) -> Daemon {
        self.up_with(&[])
    }

    /// The same with more options, before the command.
    pub(crate) fn up_with(&self, options: &[&str]) -> Daemon {
        let daemon = self.spawn_with(options);
        until("the daemon to answer", PATIENCE, || {
            let status = self.run(&["--json", "status"]);
            let status: Value = serde_json::from_slice(&status.stdout).ok()?;
            (status["daemon"] == true && status["engine"]["up"] == true).then_some(())
        });
        daemon
    }

    /// Starts the daemon and waits for nothing.
    pub(crate) fn spawn(&self) -> Daemon {
        self.spawn_with(&[])
    }

    /// The same with more options, before the command.
    pub(crate) fn spawn_with(&self, options: &[&str]) -> Daemon {
        let log = std::fs::File::create(self.path("daemon.log")).unwrap();
        let mut command = self.command();
        command.args(options);
        command.args(["up", "--api", "127.0.0.1:0", "--gateway", "127.0.0.1:0"]);
        command.stdout(log.try_clone().unwrap()).stderr(log);
        Daemon { child: command.spawn().unwrap() }
    }

    /// Starts the gateway alone, and waits until it answers.
    pub(crate) fn gateway(&self, arguments: &[&str]) -> Daemon {
        let log = std::fs::File::create(self.path("daemon.log")).unwrap();
        let mut command = self.command();
        command.args(["gateway", "--listen", "127.0.0.1:0"]).args(arguments);
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let daemon = Daemon { child: command.spawn().unwrap() };
        until("the gateway to answer", PATIENCE, || {
            let status = self.run(&["--json", "status"]);
            let status: Value = serde_json::from_slice(&status.stdout).ok()?;
            (status["gateway"].is_string() && status["engine"]["up"] == true).then_some(())
        });
        daemon
    }

    /// What the daemon has said so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("daemon.log")).unwrap_or_default()
    }

    /// What status says of one labelled certificate.
    pub(crate) fn certificate(&self, container: &str, name: &str) -> Option<Value> {
        let status = self.json(&["status"]);
        let containers = status["containers"].as_array()?.clone();
        let container = containers.into_iter().find(|found| found["name"] == container)?;
        let certificates = container["certificates"].as_array()?.clone();
        certificates.into_iter().find(|found| found["name"] == name)
    }

    /// Waits until a labelled certificate is as wanted.
    pub(crate) fn await_certificate(
        &self,
        container: &str,
        name: &str,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let mut last = None;
        let deadline = std::time::Instant::now() + PATIENCE;
        until(
            &format!("{container}/{name} to be {what}"),
            PATIENCE + Duration::from_secs(5),
            || {
                let found = self.certificate(container, name);
                if found.as_ref().is_some_and(&wanted) {
                    return found;
                }
                assert!(
                    std::time::Instant::now() < deadline,
                    "{container}/{name} is not {what}: {last:?}\n{}",
                    std::fs::read_to_string(self.path("daemon.log")).unwrap_or_default()
                );
                last = found;
                None
            },
        )
    }
}

/// A running daemon; killed when the test ends.
pub(crate) struct Daemon {
    child: Child,
}

impl Daemon {
    pub(crate) fn of(child: Child) -> Self {
        Self { child }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Whether it has not ended.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Its exit code, when it ends by itself.
    pub(crate) fn ends(mut self) -> Option<i32> {
        until("the process to end", PATIENCE, || self.child.try_wait().unwrap()).code()
    }

    /// Asks it to stop, and gives its exit code.
    pub(crate) fn stop(self) -> Option<i32> {
        self.stop_by("TERM")
    }

    /// The same by another signal.
    pub(crate) fn stop_by(mut self, name: &str) -> Option<i32> {
        signal(self.id(), name);
        let code = until("the daemon to stop", PATIENCE, || self.child.try_wait().unwrap());
        code.code()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn signal(process: u32, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &process.to_string()]).status();
    assert!(status.unwrap().success());
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Another program that has to succeed; its stdout.
pub(crate) fn tool(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

pub(crate) fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}
