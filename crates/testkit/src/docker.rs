//! Scratch images, containers and networks in the real engine, through Docker's own client.
//!
//! ```no_run
//! use sealock_testkit::docker::Image;
//! let image = Image::busybox();
//! let container = image.start(&["--tmpfs", "/run"]);
//! assert_eq!(container.output(&["echo", "hello"]), "hello\n");
//! ```
//! Each guard removes what it made, by its id, when it is dropped.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::{LABEL, run_id, unique_name};

/// A client command that has to succeed. Its standard output, without the line end.
///
/// # Panics
/// When it fails.
#[must_use]
pub fn docker(arguments: &[&str]) -> String {
    let output = try_docker(arguments);
    assert!(
        output.status.success(),
        "docker {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// A client command that may fail.
///
/// # Panics
/// When the client cannot be started.
#[must_use]
pub fn try_docker(arguments: &[&str]) -> Output {
    Command::new("docker")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("cannot start docker: {error}"))
}

/// Where the engine listens.
pub const SOCKET: &str = "/var/run/docker.sock";

/// A request to the engine's own socket as it is, with no client between: status and body of the answer.
///
/// # Panics
/// When the engine does not answer.
#[must_use]
pub fn call(method: &str, target: &str, body: &[u8]) -> (u16, String) {
    // HTTP/1.0: the answer ends with the connection and comes in one piece.
    let head = format!(
        "{method} {target} HTTP/1.0\r\nHost: docker\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    let mut answer = Vec::new();
    let asked = UnixStream::connect(SOCKET).and_then(|mut stream| {
        stream.write_all(&[head.as_bytes(), body].concat())?;
        stream.read_to_end(&mut answer)
    });
    let answer = String::from_utf8_lossy(&answer);
    let parts = answer
        .split_once("\r\n\r\n")
        .and_then(|(head, body)| Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned())));
    parts.unwrap_or_else(|| panic!("{method} {target}: {asked:?} {answer}"))
}

fn label() -> String {
    format!("{LABEL}={}", run_id())
}

/// Removes, and says so if that fails; a panic here would hide the test's own.
fn remove(arguments: &[&str]) {
    let output = try_docker(arguments);
    if !output.status.success() {
        eprintln!("left behind: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// An image of our own making.
#[derive(Debug)]
pub struct Image {
    id: String,
    name: String,
}

impl Image {
    /// Debian's static busybox with its applets as links in `/bin`, a `/tmp`, and users `root` (0)
    /// and `app` (1000). Its command sleeps.
    ///
    /// # Panics
    /// When the engine does not take it.
    #[must_use]
    pub fn busybox() -> Self {
        Self::with_files(&[])
    }

    /// As [`Image::busybox`], with more files: path in the image, content, mode.
    ///
    /// # Panics
    /// When the engine does not take it.
    #[must_use]
    pub fn with_files(files: &[(&str, &[u8], u32)]) -> Self {
        let archive = archive(files).unwrap_or_else(|error| panic!("an image's archive: {error}"));
        let name = format!("{}:latest", unique_name());
        let mut child = Command::new("docker")
            .args(["import", "--change", &format!("LABEL {}", label())])
            .args(["--change", r#"CMD ["/bin/sleep", "100000"]"#, "-", &name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start docker: {error}"));
        if let Some(mut stdin) = child.stdin.take() {
            // A broken pipe shows below, with what the client says about it.
            let _ = stdin.write_all(&archive);
        }
        let output = child.wait_with_output().unwrap_or_else(|error| panic!("docker: {error}"));
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "docker import: {error}");
        Self { id: String::from_utf8_lossy(&output.stdout).trim().to_owned(), name }
    }

    /// Its id, `sha256:…`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its name and tag.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Starts a container that sleeps; `options` are those of `docker run`.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(&self, options: &[&str]) -> Container {
        self.start_command(options, &[])
    }

    /// Starts a container with a command of its own.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_command(&self, options: &[&str], command: &[&str]) -> Container {
        let (label, name) = (label(), unique_name());
        let mut arguments = vec!["run", "--detach", "--label", &label];
        // Docker takes the last `--name`, so that a test can give its own.
        arguments.extend(["--name", &name]);
        arguments.extend(options);
        arguments.push(&self.name);
        arguments.extend(command);
        Container { id: docker(&arguments) }
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        remove(&["image", "rm", "--force", &self.name]);
    }
}

/// A running container.
#[derive(Debug)]
pub struct Container {
    id: String,
}

impl Container {
    /// Its full id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What `docker inspect --format` says.
    ///
    /// # Panics
    /// When the container is gone.
    #[must_use]
    pub fn inspect(&self, format: &str) -> String {
        docker(&["inspect", "--format", format, &self.id])
    }

    /// Its main process, as the host numbers it.
    ///
    /// # Panics
    /// When the container is gone.
    #[must_use]
    pub fn pid(&self) -> u32 {
        let pid = self.inspect("{{.State.Pid}}");
        pid.parse().unwrap_or_else(|error| panic!("the process id {pid:?}: {error}"))
    }

    /// Runs a command inside; it may fail.
    ///
    /// # Panics
    /// When the client cannot be started.
    #[must_use]
    pub fn exec(&self, command: &[&str]) -> Output {
        try_docker(&[&["exec", &self.id], command].concat())
    }

    /// The output of a command inside that has to succeed.
    ///
    /// # Panics
    /// When it fails.
    #[must_use]
    pub fn output(&self, command: &[&str]) -> String {
        let output = self.exec(command);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {error}", command.join(" "));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Stops it at once; it stays, so that it can be inspected or started again.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&self) {
        let _ = docker(&["kill", &self.id]);
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        remove(&["rm", "--force", "--volumes", &self.id]);
    }
}

/// A bridge network.
#[derive(Debug)]
pub struct Network {
    name: String,
}

impl Network {
    /// Makes one; `options` are those of `docker network create`.
    ///
    /// # Panics
    /// When the engine does not make it.
    #[must_use]
    pub fn create(options: &[&str]) -> Self {
        let (label, name) = (label(), unique_name());
        let mut arguments = vec!["network", "create", "--label", &label];
        arguments.extend(options);
        arguments.push(&name);
        let _ = docker(&arguments);
        Self { name }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        remove(&["network", "rm", &self.name]);
    }
}

fn archive(files: &[(&str, &[u8], u32)]) -> std::io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut put = |path: &str, content: &[u8], mode: u32| {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(mode);
        archive.append_data(&mut header, path.trim_start_matches('/'), content)
    };
    put("bin/busybox", &std::fs::read(busybox())?, 0o755)?;
    put("etc/passwd", b"root:x:0:0:root:/:/bin/sh\napp:x:1000:1000:app:/:/bin/sh\n", 0o644)?;
    put("etc/group", b"root:x:0:\napp:x:1000:\n", 0o644)?;
    put("tmp/.keep", b"", 0o644)?;
    for (path, content, mode) in files {
        put(path, content, *mode)?;
    }
    for applet in applets()? {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        archive.append_link(&mut header, format!("bin/{applet}"), "busybox")?;
    }
    archive.into_inner()
}

fn busybox() -> &'static Path {
    Path::new("/bin/busybox")
}

fn applets() -> std::io::Result<Vec<String>> {
    let output = Command::new(busybox()).arg("--list").output()?;
    let list = String::from_utf8_lossy(&output.stdout);
    Ok(list.lines().filter(|applet| *applet != "busybox").map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::skip_without_engine;

    #[test]
    fn a_guard_removes_what_it_made_also_by_a_panic() {
        if skip_without_engine() {
            return;
        }
        let (sent, received) = std::sync::mpsc::channel();
        let test = std::thread::spawn(move || {
            let image = Image::with_files(&[("/srv/greeting", b"hello\n", 0o600)]);
            let network = Network::create(&[]);
            let container = image.start(&["--network", network.name(), "--tmpfs", "/run"]);
            assert_eq!(container.output(&["cat", "/srv/greeting"]), "hello\n");
            assert_eq!(container.inspect("{{.State.Running}}"), "true");
            assert!(container.pid() > 1);
            assert!(!container.exec(&["cat", "/nowhere"]).status.success());
            let ids = [container.id(), image.id(), network.name()].map(str::to_owned);
            sent.send(ids).unwrap();
            panic!("a test that fails");
        });
        assert!(test.join().is_err());
        for id in received.recv().expect("the scratch things were made") {
            assert!(!try_docker(&["inspect", &id]).status.success(), "{id} is still there");
        }
    }
}
