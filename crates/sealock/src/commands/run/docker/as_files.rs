//! `--as-files`: a container whose secrets are files in memory.
//!
//! ```text
//! docker create, with a tmpfs and the gate in the program's place → docker start → the gate waits
//!   → the files are delivered into the running container → the gate becomes the program
//! ```
//!
//! What docker is told has no secret in it: neither its command line, nor the container's configuration, its layers
//! or its log. The files are the delivery plane's: policy is asked (`Transfer::Send`), and the delivery is recorded,
//! without a digest, which would tell a guessable value.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use sealock_control::config::Environment as Variables;
use sealock_core::SecretBytes;
use sealock_delivery::carriers::CarrierChoice;
use sealock_delivery::send::SendRequest;
use sealock_delivery::sources::Source;
use sealock_injector::child::{Escalation, Watchman, end_by};
use sealock_injector::format::Dialect;
use sealock_injector::inject::{FileKind, Rules, render_all};
use sealock_injector::provider::Cancel;
use sealock_injector::resolve::{LiteralDefaults, resolve};
use sealock_injector::{FileContent, Manifest};

use super::super::options::Options;
use super::super::sources::Sources;
use super::super::{by_signal, cannot};
use super::arguments::DockerRun;
use super::gate::{FOLDER, MOUNT, VARIABLES};
use crate::args::Global;
use crate::commands::send::deliver;
use crate::commands::session::Session;
use crate::printer::{Failure, Printer};

/// Where the gate is in the container.
const GATE: &str = "/.sealock";
/// How long a container may take to run.
const STARTING: Duration = Duration::from_secs(60);

/// Starts the container, delivers, and stays with it unless it is detached.
pub(in super::super) fn as_files(
    options: &Options,
    manifest: &Manifest,
    global: &Global,
    printer: Printer,
) -> Result<ExitCode, Failure> {
    let run = DockerRun::parse(&options.command).map_err(|error| {
        let failure = Failure::from_error(&error).code(crate::printer::exit::USAGE);
        error.hint().into_iter().fold(failure, Failure::hint)
    })?;
    let failed = |error: &std::io::Error| Failure::fault("cannot start").caused_by(error);
    let cancel = Cancel::new().map_err(|error| failed(&error))?;
    let watchman =
        Watchman::begin(Escalation::Never, Some(cancel.clone())).map_err(|error| failed(&error))?;
    let variables = Variables::of_process();
    let sources = Sources::open(options, manifest, &variables, global, &cancel)?;
    let files = files(options, manifest, &sources, &run)?;
    let names = manifest.variables.iter().map(|variable| variable.name.as_str()).collect();
    let container = Container::create(&run, &names)?;
    let done = container.run(&run, files, global, &watchman, printer);
    if done.is_err() {
        container.remove();
    }
    match watchman.early() {
        Some(signal) => {
            container.remove();
            drop(watchman);
            end_by(signal);
            Ok(ExitCode::from(by_signal(signal)))
        }
        None => done.map(ExitCode::from),
    }
}

/// The files, with the program's variables among them.
fn files(
    options: &Options,
    manifest: &Manifest,
    sources: &Sources<'_>,
    run: &DockerRun,
) -> Result<Vec<Source>, Failure> {
    if manifest.files.iter().any(|file| matches!(file.content, FileContent::Folder { .. })) {
        return Err(Failure::usage(
            "--as-files delivers variables and files, not folders of secrets",
        )
        .hint("name the secrets one by one"));
    }
    let resolved = resolve(manifest, &sources.providers(), LiteralDefaults::Taken);
    let ignored = |name: &str| options.ignores(name);
    let rules = Rules { dialect: Dialect::Strict, ignored: &ignored, files: FileKind::Named };
    let rendered = render_all(manifest, &resolved, &rules).map_err(|error| cannot(&error))?;
    let by_value: BTreeSet<&str> = run.inherited_variables().collect();
    let mut files = Vec::new();
    let mut environment: Vec<u8> = Vec::new();
    let mut set = |name: &str, value: &[u8]| {
        environment.extend_from_slice(name.as_bytes());
        environment.push(b'=');
        environment.extend_from_slice(value);
        environment.push(0);
    };
    for (name, as_file, value) in rendered.variables {
        if name.contains('/') {
            return Err(Failure::usage(format!("{name} cannot be the name of a file")));
        }
        let path = format!("{FOLDER}/{name}");
        if as_file {
            set(&name, path.as_bytes());
        } else {
            set(&format!("{name}_FILE"), path.as_bytes());
            if by_value.contains(name.as_str()) {
                if value.expose().contains(&0) {
                    return Err(Failure::refused(format!(
                        "{name} has a NUL byte, which no variable can hold"
                    )));
                }
                set(&name, value.expose());
            }
        }
        files.push(Source::Content { name, mode: 0o400, content: value });
    }
    for (path, mode, content) in rendered.files {
        let name = path.rsplit('/').next().unwrap_or(&path).to_owned();
        files.push(Source::Content { name, mode, content });
    }
    let content = SecretBytes::new(environment);
    files.push(Source::Content { name: VARIABLES.to_owned(), mode: 0o400, content });
    Ok(files)
}

/// A container that was made for this.
struct Container {
    client: Vec<OsString>,
    id: String,
    user: String,
}

impl Container {
    fn create(run: &DockerRun, secrets: &BTreeSet<&str>) -> Result<Self, Failure> {
        let gate = std::env::current_exe()
            .map_err(|error| Failure::fault("cannot find this program").caused_by(&error))?;
        let program = program(run)?;
        let mut mount = OsString::from("--mount=type=bind,readonly,target=");
        mount.push(GATE);
        mount.push(",source=");
        mount.push(&gate);
        let mut words: Vec<OsString> = vec!["create".into()];
        words.extend(
            run.without(&["detach", "sig-proxy", "detach-keys", "entrypoint", "quiet"], secrets),
        );
        words.push(format!("--tmpfs={MOUNT}:mode=0755,nosuid,nodev,noexec").into());
        words.push(mount);
        words.push(format!("--entrypoint={GATE}").into());
        // Whatever the image is called, it is no option.
        words.push("--".into());
        words.push(run.image.clone());
        words.extend(["gate".into(), "--".into()]);
        words.extend(program);
        let id = text(&run.client, &words)?;
        let mut container = Self { client: run.client.clone(), id, user: String::new() };
        match container.looked_at() {
            Ok(user) => container.user = user,
            Err(failure) => {
                container.remove();
                return Err(failure);
            }
        }
        Ok(container)
    }

    /// Its user, once it is certain that nothing is mounted over the place of the files: a volume there, of the image
    /// or of the command line, would keep them on the disk.
    fn looked_at(&self) -> Result<String, Failure> {
        let shown = [
            "inspect",
            "--type=container",
            "--format={{json .Config.User}} {{json .Mounts}}",
            &self.id,
        ];
        let shown = text(&self.client, &shown.map(OsString::from))?;
        let [user, mounts] = values::<serde_json::Value>(&shown)?;
        let targets = mounts
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|mount| mount.get("Destination").and_then(serde_json::Value::as_str));
        let is_in_the_way = |target: &&str| {
            Path::new(target).starts_with(MOUNT) || Path::new(MOUNT).starts_with(target)
        };
        // The engine lists a tmpfs of `--tmpfs` elsewhere, so ours is not among them.
        let mut in_the_way = targets.filter(is_in_the_way).filter(|target| *target != "/");
        match in_the_way.next() {
            Some(target) if Path::new(target).starts_with(MOUNT) => {
                Err(Failure::refused(format!("{target} is mounted where the files are to be"))
                    .hint("the image or the command line has a volume there, which is on the disk"))
            }
            _ => Ok(user.as_str().unwrap_or_default().to_owned()),
        }
    }

    fn run(
        &self,
        run: &DockerRun,
        files: Vec<Source>,
        global: &Global,
        watchman: &Watchman,
        printer: Printer,
    ) -> Result<u8, Failure> {
        let session = Session::open(global)?;
        let request =
            SendRequest {
                sources: files,
                container: self.id.clone(),
                destination: format!("{FOLDER}/"),
                carrier: CarrierChoice::Auto,
                owner: match self.user.as_str() {
                    "" => None,
                    user => Some(user.parse().map_err(
                        |error: sealock_transfer::landing::OwnerError| Failure::from_error(&error),
                    )?),
                },
                mode: None,
                memory_only: true,
                after: None,
            };
        if run.is_on("detach") {
            text(&self.client, &["start".into(), OsString::from(&self.id)])?;
            session.wait(deliver(request, &session, STARTING))?;
            printer.line(&self.id)?;
            return Ok(0);
        }
        let mut words = vec![OsString::from("start"), "--attach".into()];
        words.extend(run.only(&["sig-proxy", "detach-keys"]));
        if run.is_on("interactive") {
            words.push("--interactive".into());
        }
        words.push(OsString::from(&self.id));
        let mut client = command(&self.client, &words)?
            .spawn()
            .map_err(|error| Failure::refused("cannot start docker").caused_by(&error))?;
        watchman.child(i32::try_from(client.id()).ok().and_then(rustix::process::Pid::from_raw));
        let delivered = session.wait(deliver(request, &session, STARTING));
        if let Err(failure) = delivered {
            self.remove();
            let _ = client.wait();
            return Err(failure);
        }
        let ended = client
            .wait()
            .map_err(|error| Failure::refused("cannot wait for docker").caused_by(&error))?;
        watchman.child(None);
        let by = std::os::unix::process::ExitStatusExt::signal(&ended);
        Ok(match ended.code() {
            Some(code) => u8::try_from(code & 0xff).unwrap_or(u8::MAX),
            None => by.map_or(u8::MAX, by_signal),
        })
    }

    /// Of a container that did not get what it was to have.
    fn remove(&self) {
        let words = ["rm", "--force", "--volumes", &self.id].map(OsString::from);
        let _ = text(&self.client, &words);
    }
}

/// What the container would have run.
fn program(run: &DockerRun) -> Result<Vec<OsString>, Failure> {
    let given = run.arguments.clone();
    if let Some(entrypoint) = run.last("entrypoint") {
        let first = Some(entrypoint.to_owned()).filter(|name| !name.is_empty());
        return Ok(first.into_iter().chain(given).collect());
    }
    let image = run.image.to_string_lossy().into_owned();
    let inspect = || {
        let words = [
            "image",
            "inspect",
            "--format={{json .Config.Entrypoint}} {{json .Config.Cmd}}",
            "--",
            &image,
        ];
        text(&run.client, &words.map(OsString::from))
    };
    let always = run.last("pull").is_some_and(|when| when == "always");
    let found = match inspect() {
        Ok(found) if !always => found,
        _ => {
            // Docker's own way of getting it, with its own output and errors.
            let words = ["pull", "--", &image].map(OsString::from);
            let pulled =
                command(&run.client, &words)?.stdout(Stdio::from(std::io::stderr())).status();
            if !pulled.is_ok_and(|status| status.success()) {
                return Err(Failure::refused(format!("there is no image {image}")));
            }
            inspect()?
        }
    };
    let [entrypoint, usual] = values::<Option<Vec<String>>>(&found)?;
    let words =
        |list: Option<Vec<String>>| list.unwrap_or_default().into_iter().map(OsString::from);
    let mut program: Vec<OsString> = words(entrypoint).collect();
    if given.is_empty() {
        program.extend(words(usual));
    } else {
        program.extend(given);
    }
    if program.is_empty() {
        return Err(Failure::usage("the image has no program of its own; name one behind it"));
    }
    Ok(program)
}

/// Two values of JSON, one behind the other.
fn values<T: serde::de::DeserializeOwned>(text: &str) -> Result<[T; 2], Failure> {
    let read: Result<Vec<T>, _> = serde_json::Deserializer::from_str(text).into_iter().collect();
    let unreadable = || Failure::refused("docker's answer cannot be read");
    let read = read.map_err(|error| unreadable().caused_by(&error))?;
    read.try_into().map_err(|_| unreadable())
}

fn command(client: &[OsString], words: &[OsString]) -> Result<Command, Failure> {
    let (program, own) = client.split_first().ok_or_else(|| Failure::usage("no command"))?;
    let mut command = Command::new(OsStr::new(program));
    command.args(own).args(words);
    Ok(command)
}

/// What docker prints.
fn text(client: &[OsString], words: &[OsString]) -> Result<String, Failure> {
    let output = command(client, words)?
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Failure::refused("cannot start docker").caused_by(&error))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let step =
            words.first().map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
        return Err(Failure::refused(format!("docker {step} failed"))
            .with_causes(said.lines().take(5).map(str::to_owned)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
