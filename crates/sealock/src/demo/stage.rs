//! What the demo stands on, and how it is cleared away again.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use sealock_engine::{Engine, EngineError, EngineUrl, ScratchContainer};
use serde::de::DeserializeOwned;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use crate::printer::{Failure, Printer};

/// Marks what the demo made; its value is the demo's process id.
const LABEL: &str = "sealock-demo";

/// How long a stopping daemon is waited for before it is killed.
const STOP_WAIT: Duration = Duration::from_secs(10);

/// Engine, scratch state, daemon, image and containers of one demo.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) engine: Engine,
    url: String,
    program: PathBuf,
    folder: PathBuf,
    daemon: Option<Child>,
    making: JoinSet<Result<Made, EngineError>>,
    image: Option<String>,
    containers: Vec<String>,
}

/// What the engine was asked to make.
#[derive(Debug)]
enum Made {
    Image(String),
    Container(String),
}

impl Stage {
    /// Connects to the engine and clears away what a killed demo left.
    pub(crate) async fn prepare(url: &EngineUrl) -> Result<Self, Failure> {
        let engine = Engine::connect(url).await.map_err(|error| {
            let hint = error.hint().unwrap_or("start the Docker engine, or name it with --docker");
            Failure::from_error(&error).hint(hint)
        })?;
        let program = std::env::current_exe()
            .map_err(|error| Failure::fault("cannot find this program").caused_by(&error))?;
        clear_leftovers(&engine).await?;
        let folder = std::env::temp_dir().join(format!("sealock-demo-{}", std::process::id()));
        // Left behind by a killed demo that had the same process id.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder)
            .map_err(|error| Failure::refused("cannot make a scratch folder").caused_by(&error))?;
        Ok(Self {
            engine,
            url: url.to_string(),
            program,
            folder,
            daemon: None,
            making: JoinSet::new(),
            image: None,
            containers: Vec::new(),
        })
    }

    /// The state folder.
    pub(crate) fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("daemon.log")
    }

    /// This program with the demo's state and engine, and nothing of the caller's settings.
    fn sealock(&self) -> Command {
        let mut command = Command::new(&self.program);
        for variable in
            ["SEALOCK_CONFIG", "SEALOCK_API", "SEALOCK_GATEWAY", "SEALOCK_PASSPHRASE_FILE"]
        {
            command.env_remove(variable);
        }
        // Neither gets into the other's way: the containers of this host, and a daemon that runs here.
        command.env("SEALOCK_WATCH_SCOPE", scope());
        command.arg("--state").arg(self.state()).arg("--docker").arg(&self.url);
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Starts the daemon. It is in a process group of its own, so that Ctrl-C reaches the demo alone.
    pub(crate) fn start_daemon(&mut self) -> Result<(), Failure> {
        let failed =
            |error: &std::io::Error| Failure::fault("cannot start the daemon").caused_by(error);
        let log = fs::File::create(self.log()).map_err(|error| failed(&error))?;
        let both = log.try_clone().map_err(|error| failed(&error))?;
        let mut command = self.sealock();
        command
            .args(["up", "--api", "127.0.0.1:0", "--gateway", "127.0.0.1:0"])
            .process_group(0)
            .stdout(log)
            .stderr(both);
        self.daemon = Some(command.spawn().map_err(|error| failed(&error))?);
        Ok(())
    }

    /// Whether the daemon has ended, which it should not.
    pub(crate) fn daemon_ended(&mut self) -> bool {
        self.daemon.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)))
    }

    /// Runs a command of this program with `--json` and reads its answer.
    pub(crate) async fn ask<T: DeserializeOwned>(&self, arguments: &[&str]) -> Result<T, Failure> {
        let bytes = self.output(&[&["--json"], arguments].concat()).await?;
        serde_json::from_slice(&bytes).map_err(|error| {
            Failure::fault(format!("`sealock {}` answered something else", arguments.join(" ")))
                .caused_by(&error)
        })
    }

    /// Runs a command of this program and gives its output.
    pub(crate) async fn output(&self, arguments: &[&str]) -> Result<Vec<u8>, Failure> {
        let name = arguments.join(" ");
        let output = self.sealock().args(arguments).output().await.map_err(|error| {
            Failure::fault(format!("cannot run `sealock {name}`")).caused_by(&error)
        })?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(Failure::refused(format!("`sealock {name}` failed")).with_causes([said]))
    }

    /// Makes the image that holds this program and nothing else.
    pub(crate) async fn make_image(&mut self) -> Result<(), Failure> {
        let failed =
            |error: &std::io::Error| Failure::fault("cannot read this program").caused_by(error);
        let program = fs::read(&self.program).map_err(|error| failed(&error))?;
        let mut archive = tar::Builder::new(Vec::with_capacity(program.len() + 4096));
        let mut header = tar::Header::new_gnu();
        header.set_size(program.len() as u64);
        header.set_mode(0o755);
        archive
            .append_data(&mut header, "sealock", program.as_slice())
            .map_err(|error| failed(&error))?;
        let archive = archive.into_inner().map_err(|error| failed(&error))?;
        let tag = std::process::id().to_string();
        let engine = self.engine.clone();
        self.make(async move {
            // Containers inherit its labels, and those that Sealock acts on are theirs to have, not the image's.
            let marks = HashMap::from([(LABEL.to_owned(), std::process::id().to_string())]);
            let archive = Bytes::from(archive);
            engine.import_image("sealock-demo", &tag, archive, &marks).await.map(Made::Image)
        })
        .await
    }

    /// Has something made by the engine. The request goes on when nobody waits for it any more, so
    /// that an interrupted demo still learns what there is to remove.
    async fn make(
        &mut self,
        work: impl Future<Output = Result<Made, EngineError>> + Send + 'static,
    ) -> Result<(), Failure> {
        self.making.spawn(work);
        self.made().await
    }

    /// Takes note of what has been made by now.
    async fn made(&mut self) -> Result<(), Failure> {
        while let Some(ended) = self.making.join_next().await {
            match ended {
                Ok(Ok(Made::Image(id))) => self.image = Some(id),
                Ok(Ok(Made::Container(id))) => self.containers.push(id),
                Ok(Err(error)) => return Err(Failure::from_error(&error)),
                Err(error) => return Err(Failure::fault("a step ended early").caused_by(&error)),
            }
        }
        Ok(())
    }

    /// Starts a container of that image, running this program's TLS server, and gives its id.
    pub(crate) async fn start_container(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
    ) -> Result<String, Failure> {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let words = ["/sealock", "demo-server", "--certs", "/run/sealock/certs/web"];
        let wanted = ScratchContainer {
            name: name.to_owned(),
            image: self.image.clone().unwrap_or_default(),
            command: words.map(str::to_owned).to_vec(),
            labels: labels.chain(marks()).collect(),
            tmpfs: vec!["/run".to_owned()],
            network: "none".to_owned(),
            read_only: true,
            ..ScratchContainer::default()
        };
        let engine = self.engine.clone();
        self.make(async move { engine.start_scratch(&wanted).await.map(Made::Container) }).await?;
        self.containers.last().cloned().ok_or_else(|| Failure::fault("no container was made"))
    }

    /// Starts a container of that image whose entrypoint gets the secrets that `yaml` names by attestation, and then
    /// makes way for this program's TLS server. Gives its id.
    pub(crate) async fn start_with_secret(
        &mut self,
        name: &str,
        yaml: &str,
    ) -> Result<String, Failure> {
        let socket = self.state().join("run/workload");
        let words =
            ["/sealock", "run", "--yaml", yaml, "--", "/sealock", "demo-server", "--certs", "/run"];
        let wanted = ScratchContainer {
            name: name.to_owned(),
            image: self.image(),
            command: words.map(str::to_owned).to_vec(),
            labels: marks(),
            binds: vec![format!("{}:/run/sealock/workload:ro", socket.display())],
            network: "none".to_owned(),
            ..ScratchContainer::default()
        };
        let engine = self.engine.clone();
        self.make(async move { engine.start_scratch(&wanted).await.map(Made::Container) }).await?;
        self.containers.last().cloned().ok_or_else(|| Failure::fault("no container was made"))
    }

    /// Starts a container of that image with the workload socket, beside another in its network or alone in one of its
    /// own, and gives its id.
    pub(crate) async fn start_beside(
        &mut self,
        name: &str,
        other: Option<&str>,
        words: &[&str],
    ) -> Result<String, Failure> {
        let socket = self.state().join("run/workload");
        let wanted = ScratchContainer {
            name: name.to_owned(),
            image: self.image(),
            command: [&["/sealock"], words].concat().into_iter().map(str::to_owned).collect(),
            labels: marks(),
            binds: vec![format!("{}:/run/sealock/workload:ro", socket.display())],
            network: other.map_or_else(|| "none".to_owned(), |other| format!("container:{other}")),
            ..ScratchContainer::default()
        };
        let engine = self.engine.clone();
        self.make(async move { engine.start_scratch(&wanted).await.map(Made::Container) }).await?;
        self.containers.last().cloned().ok_or_else(|| Failure::fault("no container was made"))
    }

    /// The engine's socket, where it has one.
    pub(crate) fn socket(&self) -> Option<&str> {
        self.url.strip_prefix("unix://")
    }

    /// A folder for somebody's files.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The image, by its id.
    pub(crate) fn image(&self) -> String {
        self.image.clone().unwrap_or_default()
    }

    /// Removes at the end what somebody else has made of the image.
    pub(crate) async fn adopt(&mut self, container: &str) -> Result<(), Failure> {
        let found = self.engine.inspect(container).await;
        self.containers.push(found.map_err(|error| Failure::from_error(&error))?.id);
        Ok(())
    }

    /// Says how to remove what stays, and lets it stay.
    pub(crate) fn leave(mut self) -> String {
        let mut commands = Vec::new();
        if let Some(daemon) = self.daemon.take() {
            if let Some(id) = daemon.id() {
                commands.push(format!("kill {id}"));
            }
            // Dropped, it would be killed.
            std::mem::forget(daemon);
        }
        commands.push(format!("docker rm -f {}", self.containers.join(" ")));
        commands.extend(self.image.iter().map(|image| format!("docker rmi -f {image}")));
        commands.push(format!("rm -r {}", self.folder.display()));
        format!(
            "Left in place. Look around with: sealock --state {} status\nRemove it with:\n  {}",
            self.state().display(),
            commands.join("\n  ")
        )
    }

    /// Shows what the daemon said last.
    pub(crate) fn show_daemon_log(&self, printer: Printer) {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        for line in lines.iter().skip(lines.len().saturating_sub(15)) {
            printer.note(format!("  daemon: {line}"));
        }
    }

    /// Removes everything; goes on after a failure, and reports the first one.
    pub(crate) async fn clear(mut self) -> Result<(), Failure> {
        let mut first = self.made().await.err();
        for container in &self.containers {
            if let Err(error) = self.engine.remove_container(container).await {
                first.get_or_insert_with(|| Failure::from_error(&error));
            }
        }
        if let Some(image) = &self.image
            && let Err(error) = self.engine.remove_image(image).await
        {
            first.get_or_insert_with(|| Failure::from_error(&error));
        }
        if let Some(mut daemon) = self.daemon.take() {
            stop(&mut daemon).await;
        }
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            let text = format!("cannot remove {}", self.folder.display());
            first.get_or_insert_with(|| Failure::refused(text).caused_by(&error));
        }
        first.map_or(Ok(()), Err)
    }
}

async fn stop(daemon: &mut Child) {
    let id = daemon.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(id) = id {
        // It may have ended by itself.
        let _ = kill_process(id, Signal::TERM);
    }
    if tokio::time::timeout(STOP_WAIT, daemon.wait()).await.is_err() {
        let _ = daemon.kill().await;
    }
}

fn marks() -> HashMap<String, String> {
    HashMap::from([
        (LABEL.to_owned(), std::process::id().to_string()),
        ("sealock.scope".to_owned(), scope()),
    ])
}

/// What tells the demo's containers from those of an installation on this host.
fn scope() -> String {
    format!("demo-{}", std::process::id())
}

async fn clear_leftovers(engine: &Engine) -> Result<(), Failure> {
    let failed = |error: EngineError| Failure::from_error(&error);
    let orphaned = |labels: &HashMap<String, String>| {
        let process = labels.get(LABEL).and_then(|id| id.parse().ok()).and_then(Pid::from_raw);
        process.is_some_and(|process| test_kill_process(process).is_err())
    };
    for (id, labels) in engine.labelled_containers(LABEL).await.map_err(failed)? {
        if orphaned(&labels) {
            engine.remove_container(&id).await.map_err(failed)?;
        }
    }
    for (id, labels) in engine.labelled_images(LABEL).await.map_err(failed)? {
        if orphaned(&labels) {
            engine.remove_image(&id).await.map_err(failed)?;
        }
    }
    Ok(())
}
