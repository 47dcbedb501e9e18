//! An engine with something to be read on its host, and those who try to.

use std::fs;
use std::process::Command;
use std::time::Duration;

use sealock_testkit::docker::{Container, Image, call, docker, try_docker};
use sealock_testkit::unique_name;
use sealock_testkit::wait::until;
use serde_json::Value;

use super::corpus::Proof;
use crate::gateway::{Client, home};
use crate::support::{Daemon, Home, PATIENCE, text};

/// What every container of the corpus runs: it prints the marker from wherever it finds it.
const LOOK: &str = r#"#!/bin/sh
for f in /h/marker "/h$M" /proc/[0-9]*/root/h/marker /proc/[0-9]*/root"$M" "$M"; do
  cat "$f" 2>/dev/null && found=1
done
[ "$found" ] || echo nothing
"#;

/// What an engine made of a try.
#[derive(Debug)]
pub(super) struct Shown {
    /// What the container printed.
    pub(super) printed: String,
    /// The engine's account of it.
    pub(super) facts: Value,
}

pub(super) struct World {
    home: Home,
    daemon: Daemon,
    image: Image,
    /// Somebody else's container, mightier than a plain one.
    mighty: Container,
    volume: Volume,
    secret: String,
    pub(super) runner: Client,
    pub(super) reader: Client,
}

impl World {
    pub(super) fn new() -> Self {
        let home = home();
        let secret = format!("secret of the host {}", unique_name());
        let folder = home.path("around/folder");
        fs::create_dir_all(&folder).unwrap();
        fs::create_dir(home.path("other")).unwrap();
        std::os::unix::fs::symlink(&folder, home.path("link")).unwrap();
        fs::write(folder.join("marker"), &secret).unwrap();
        let image = Image::with_files(&[("/bin/look", LOOK.as_bytes(), 0o755)]);
        let bind = format!("{}:/h", folder.display());
        let mighty = image.start(&["--volume", &bind, "--ipc", "shareable"]);
        let volume = Volume::new(&format!("device={}", folder.display()));
        let (daemon, runner, reader) = Self::up(&home);
        Self { home, daemon, image, mighty, volume, secret, runner, reader }
    }

    /// The daemon with both presets, a runner and a reader.
    fn up(home: &Home) -> (Daemon, Client, Client) {
        let groups =
            "[groups]\ndocker-ci = [\"human/runner\"]\ndocker-readers = [\"human/reader\"]\n";
        let settings = home.write("sealock.toml", groups);
        let folder = home.state().join("policy");
        fs::create_dir_all(&folder).unwrap();
        for preset in ["ci-runner.cedar", "read-only.cedar"] {
            let presets = concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies/docker");
            fs::copy(format!("{presets}/{preset}"), folder.join(preset)).unwrap();
        }
        fs::write(home.state().join("policy/more.cedar"), super::MORE).unwrap();
        let log = fs::File::create(home.path("daemon.log")).unwrap();
        let mut command = home.command();
        command.args(["--config", &settings, "up", "--api", "off", "--gateway", "127.0.0.1:0"]);
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let daemon = Daemon::of(child);
        until("the daemon to answer", PATIENCE, || {
            let status = home.run(&["--json", "status"]);
            let status: Value = serde_json::from_slice(&status.stdout).ok()?;
            status["gateway"].is_string().then_some(())
        });
        let (runner, _) = Client::human(home, "runner");
        let (reader, _) = Client::human(home, "reader");
        (daemon, runner, reader)
    }

    /// Ends the daemon, which has to be well to the end.
    pub(super) fn ends(self) {
        let Self { home, daemon, .. } = self;
        assert_eq!(daemon.stop(), Some(0));
        drop(home);
    }

    pub(super) fn fill(&self, text: &str) -> String {
        let folder = self.home.path("around/folder").display().to_string();
        text.replace("$d", &folder)
            .replace("$e", &self.home.path("around").display().to_string())
            .replace("$o", &self.home.path("other").display().to_string())
            .replace("$b", "folder")
            .replace("$m", &format!("{folder}/marker"))
            .replace("$l", &self.home.path("link").display().to_string())
            .replace("$i", self.image.name())
            .replace("$c", self.mighty.id())
            .replace("$v", &self.volume.0)
            .replace("$n", &self.volume.plain())
    }

    /// The body of a container that looks for the marker, with these members beside the image.
    pub(super) fn body(&self, members: &str) -> String {
        let looks = r#"{"Image":"$i","Cmd":["/bin/look"],"Env":["M=$m"]"#;
        let comma = if members.is_empty() { "" } else { "," };
        self.fill(&format!("{looks}{comma}{members}}}"))
    }

    /// What this client is answered. It is asked again where too much was denied of late to be recorded.
    pub(super) fn ask(&self, client: &Client, target: &str, body: &str) -> (u16, String) {
        self.request(client, "POST", target, body)
    }

    pub(super) fn request(
        &self,
        client: &Client,
        method: &str,
        target: &str,
        body: &str,
    ) -> (u16, String) {
        until("an answer that is not `too many`", PATIENCE, || {
            let (status, said) = client.request(method, target, "application/json", body);
            let status: u16 = status.parse().unwrap();
            if status == 429 {
                std::thread::sleep(Duration::from_millis(500));
            }
            (status != 429).then_some((status, said))
        })
    }

    /// A try to make a container has to be refused, to the runner with this word; where it is not, it is run
    /// to see how bad that is.
    pub(super) fn is_refused(&self, body: &str, word: &str) -> Result<(), String> {
        let target = format!("/v1.41/containers/create?name={}", unique_name());
        for (client, word) in [(&self.runner, word), (&self.reader, "")] {
            let (status, said) = self.ask(client, &target, body);
            if status == 201 {
                let made = Made::of(&said);
                let start = format!("/v1.41/containers/{}/start", made.id);
                let started = self.ask(client, &start, "");
                let printed = if started.0 == 204 { made.ends().printed } else { String::new() };
                let read = printed.contains(&self.secret);
                return Err(format!("made, started: {started:?}, the marker was read: {read}"));
            }
            self.refused(status, &said, word)?;
        }
        Ok(())
    }

    /// An answer has to be a refusal with this word.
    pub(super) fn refused(&self, status: u16, said: &str, word: &str) -> Result<(), String> {
        assert!(!said.contains(&self.secret), "the marker's content: {said}");
        let word = self.fill(word);
        let refused = [400, 403, 404, 405, 409, 413, 415].contains(&status) && said.contains(&word);
        if refused { Ok(()) } else { Err(format!("{word:?} is not named: {status} {said}")) }
    }

    /// The same request at the engine's own socket does what it is said to do.
    pub(super) fn works_without(&self, body: &str, proof: Proof) -> Result<(), String> {
        if matches!(proof, Proof::Nothing) {
            return Ok(());
        }
        let made = Made::at_the_socket(body)?;
        if matches!(proof, Proof::Reads) {
            made.start()?;
        }
        self.proves(&made.ends(), proof)
    }

    pub(super) fn proves(&self, shown: &Shown, proof: Proof) -> Result<(), String> {
        match proof {
            Proof::Reads if !shown.printed.contains(&self.secret) => {
                Err(format!("it printed {:?}", shown.printed))
            }
            Proof::Is(place, value) => {
                let found = shown.facts.pointer(place).cloned().unwrap_or_default();
                let value: Value = serde_json::from_str(value).unwrap();
                if found == value { Ok(()) } else { Err(format!("{place} is {found}")) }
            }
            Proof::Reads | Proof::Nothing => Ok(()),
        }
    }
}

/// A container of a try; removed when dropped.
pub(super) struct Made {
    pub(super) id: String,
}

impl Made {
    /// By the answer to its create.
    pub(super) fn of(answer: &str) -> Self {
        let answer: Value = serde_json::from_str(answer).unwrap();
        Self { id: answer["Id"].as_str().unwrap().to_owned() }
    }

    pub(super) fn at_the_socket(body: &str) -> Result<Self, String> {
        let target = format!("/v1.41/containers/create?name={}", unique_name());
        match call("POST", &target, body.as_bytes()) {
            (201, said) => Ok(Self::of(&said)),
            (status, said) => Err(format!("the engine says {status} {said}")),
        }
    }

    pub(super) fn start(&self) -> Result<(), String> {
        match call("POST", &format!("/v1.41/containers/{}/start", self.id), b"") {
            (204, _) => Ok(()),
            (status, said) => Err(format!("the engine does not start it: {status} {said}")),
        }
    }

    /// Waits until it does not run (any more), and tells what came of it.
    pub(super) fn ends(&self) -> Shown {
        let facts = until("the container to end", PATIENCE, || {
            let (_, facts) = call("GET", &format!("/v1.41/containers/{}/json", self.id), b"");
            let facts: Value = serde_json::from_str(&facts).unwrap();
            (facts["State"]["Running"] == false).then_some(facts)
        });
        let logs = Command::new("docker").args(["logs", &self.id]).output().unwrap();
        Shown { printed: text(&logs.stdout) + &text(&logs.stderr), facts }
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        let _ = call("DELETE", &format!("/v1.41/containers/{}?force=1&v=1", self.id), b"");
    }
}

/// A volume that is a folder of the host.
struct Volume(String);

impl Volume {
    fn new(device: &str) -> Self {
        let name = unique_name();
        let options = ["--opt", "type=none", "--opt", "o=bind", "--opt", device];
        let _ = docker(&[&["volume", "create"], &options[..], &[&name]].concat());
        Self(name)
    }

    /// Another one, which the engine makes when it is named.
    fn plain(&self) -> String {
        format!("{}-plain", self.0)
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = try_docker(&["volume", "rm", "--force", &self.0, &self.plain()]);
    }
}
