//! `--as-files`: a container whose secrets are files in memory.
//!
//! ```text
//! docker run, with a tmpfs and the gate in the program's place → the gate waits
//!   → the files are delivered into the running container → the gate becomes the program
//! ```
//!
//! What docker is told has no secret in it: neither its command line, nor the container's configuration, its layers
//! or its log. The files are the delivery plane's: policy is asked (`Transfer::Send`), and the delivery is recorded,
//! without a digest, which would tell a guessable value. It is docker's own `run` that runs, so its output, its exit
//! codes and its signals are docker's.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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

use super::super::env_file;
use super::super::options::Options;
use super::super::sources::Sources;
use super::super::{by_signal, cannot};
use super::arguments::DockerRun;
use super::client::{Client, Started};
use super::gate::{FOLDER, MOUNT, VARIABLES};
use crate::args::Global;
use crate::commands::send::deliver;
use crate::commands::session::Session;
use crate::printer::{Failure, Printer};

/// Where the gate is in the container.
const GATE: &str = "/.sealock";
/// Options that are not handed on: ours takes their place, or has been done already.
const OWN: [&str; 5] = ["cidfile", "entrypoint", "env-file", "env", "pull"];

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
    let wanted = Wanted::of(&run, manifest)?;
    let failed = |error: &std::io::Error| Failure::fault("cannot start").caused_by(error);
    let cancel = Cancel::new().map_err(|error| failed(&error))?;
    let watchman =
        Watchman::begin(Escalation::Never, Some(cancel.clone())).map_err(|error| failed(&error))?;
    let variables = Variables::of_process();
    let sources = Sources::open(options, manifest, &variables, global, &cancel)?;
    let files = files(options, manifest, &sources, &wanted)?;
    let done = match watchman.early() {
        Some(_) => Ok(0),
        None => Job { options, run: &run, wanted: &wanted, global, printer }.run(files, &watchman),
    };
    match watchman.early() {
        Some(signal) => {
            drop(watchman);
            end_by(signal);
            Ok(ExitCode::from(by_signal(signal)))
        }
        None => done.map(ExitCode::from),
    }
}

/// Which variables the program is to have by value, and with which words docker is told of the rest.
struct Wanted {
    by_value: BTreeSet<String>,
    words: Vec<OsString>,
}

impl Wanted {
    /// A variable of the file that is named with `-e NAME` is a secret, which docker is not to see: neither the
    /// vault's value nor one of the same name in this very environment.
    fn of(run: &DockerRun, manifest: &Manifest) -> Result<Self, Failure> {
        let of_file: BTreeSet<&str> =
            manifest.variables.iter().map(|variable| variable.name.as_str()).collect();
        let inherited = run.inherited_variables();
        let mut by_value: BTreeSet<String> =
            inherited.filter(|name| of_file.contains(name)).map(str::to_owned).collect();
        let mut words = run.without(&OWN);
        for given in run.options.iter().filter(|given| ["env", "env-file"].contains(&&*given.name))
        {
            match given.value.as_deref() {
                Some(value) if given.name == "env-file" && env_file::is_named(value) => {
                    by_value.extend(of_file.iter().map(|name| (*name).to_owned()));
                }
                Some(value) if value.to_str().is_some_and(|name| by_value.contains(name)) => {}
                _ => words.push(given.word()),
            }
        }
        if words.iter().chain(&run.arguments).any(|word| env_file::is_in(word)) {
            return Err(Failure::usage(format!(
                "with --as-files, {} stands for itself: --env-file {}",
                env_file::NAME,
                env_file::NAME
            )));
        }
        Ok(Self { by_value, words })
    }
}

/// The files, with the program's variables among them.
fn files(
    options: &Options,
    manifest: &Manifest,
    sources: &Sources<'_>,
    wanted: &Wanted,
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
            if wanted.by_value.contains(&name) {
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

/// One container.
struct Job<'a> {
    options: &'a Options,
    run: &'a DockerRun,
    wanted: &'a Wanted,
    global: &'a Global,
    printer: Printer,
}

impl Job<'_> {
    fn run(&self, files: Vec<Source>, watchman: &Watchman) -> Result<u8, Failure> {
        let session = Session::open(self.global)?;
        let image = Image::of(self.run)?;
        let owner = match self.run.last("user").and_then(OsStr::to_str).unwrap_or(&image.user) {
            "" => None,
            user => {
                Some(user.parse().map_err(|error: sealock_transfer::landing::OwnerError| {
                    Failure::from_error(&error)
                })?)
            }
        };
        let detached = self.run.is_on("detach");
        let cidfile = self.run.last("cidfile");
        let words = self.words(image.program(self.run)?)?;
        let start = || Client::start(&self.run.client, &words, cidfile, detached);
        let mut client = watchman.start(start, Client::pid)?;
        let delivered = session.wait(async {
            let id = match client.started(self.options.timeout).await? {
                Started::Ended(code) => return Ok(Some(code)),
                Started::Container(id) => id,
            };
            if detached {
                watchman.ended();
            }
            let request = SendRequest {
                sources: files,
                container: id,
                destination: format!("{FOLDER}/"),
                carrier: CarrierChoice::Auto,
                owner,
                mode: None,
                // A volume of the image's or of the command line's over the place of the files would keep them.
                memory_only: true,
                after: None,
            };
            deliver(request, &session, self.options.timeout, || client.has_ended()).await?;
            Ok::<_, Failure>(None)
        });
        let had_ended = client.has_ended();
        if had_ended {
            // Its number may soon be another's.
            watchman.ended();
        }
        let interrupted = watchman.asked_to_end();
        let ended = match (delivered, interrupted) {
            (Ok(None), None) if detached => {
                self.printer.line(client.printed())?;
                Ok(0)
            }
            (Ok(None), _) if !detached => client.wait(),
            (delivered, interrupted) => {
                client.remove(interrupted.is_some());
                let code = client.wait()?;
                match (delivered, interrupted) {
                    (_, Some(signal)) if detached => Ok(by_signal(signal)),
                    (Err(failure), None) if detached || !had_ended => Err(failure),
                    // What there is to say then, docker has said.
                    _ => Ok(code),
                }
            }
        };
        watchman.ended();
        ended
    }

    /// What docker is told, from `run` on.
    fn words(&self, program: Vec<OsString>) -> Result<Vec<OsString>, Failure> {
        let gate = std::env::current_exe()
            .map_err(|error| Failure::fault("cannot find this program").caused_by(&error))?;
        let mut mount = OsString::from("--mount=type=bind,readonly,target=");
        mount.push(GATE);
        mount.push(",source=");
        mount.push(&gate);
        let mut words = self.wanted.words.clone();
        words.push(format!("--tmpfs={MOUNT}:mode=0755,nosuid,nodev,noexec").into());
        words.push(mount);
        words.push(format!("--entrypoint={GATE}").into());
        // Whatever the image is called, it is no option.
        words.push("--".into());
        words.push(self.run.image.clone());
        // When it gives up: as long as there may be something to wait for. After a restart that is over.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let until = (now + 2 * self.options.timeout + Duration::from_secs(1)).as_secs();
        words.extend(["gate".into(), format!("--until={until}").into(), "--".into()]);
        words.extend(program);
        Ok(words)
    }
}

/// What an image says of its program.
struct Image {
    user: String,
    entrypoint: Vec<OsString>,
    usual: Vec<OsString>,
}

impl Image {
    fn of(run: &DockerRun) -> Result<Self, Failure> {
        let inspect = [
            OsString::from("image"),
            "inspect".into(),
            "--format={{json .Config.User}}\n{{json .Config.Entrypoint}}\n{{json .Config.Cmd}}"
                .into(),
            "--".into(),
            run.image.clone(),
        ];
        let pull = run.last("pull").and_then(OsStr::to_str).unwrap_or("missing");
        let there = match pull {
            "always" => None,
            _ => said(&run.client, &inspect)?,
        };
        let found = match there {
            Some(found) => Some(found),
            None if pull == "never" => None,
            None => {
                // Docker's own way of getting it, with its own output and errors.
                let mut words = vec![OsString::from("pull")];
                words.extend(run.only(&["platform", "quiet", "disable-content-trust"]));
                words.extend(["--".into(), run.image.clone()]);
                let pulled = command(&run.client, &words)?
                    .stdin(Stdio::null())
                    .stdout(Stdio::from(std::io::stderr()))
                    .status();
                match pulled.is_ok_and(|status| status.success()) {
                    true => said(&run.client, &inspect)?,
                    false => None,
                }
            }
        };
        let found = found.ok_or_else(|| {
            let image = run.image.to_string_lossy();
            Failure::refused(format!("there is no image {image}")).code(super::client::FAILED)
        })?;
        let mut lines = found.lines();
        // What cannot be read must not be passed over: an entrypoint may be what takes rights away.
        let user: Option<String> = value(lines.next())?;
        let (entrypoint, usual) = (list(value(lines.next())?), list(value(lines.next())?));
        Ok(Self { user: user.unwrap_or_default(), entrypoint, usual })
    }

    /// What the container would have run.
    fn program(self, run: &DockerRun) -> Result<Vec<OsString>, Failure> {
        let given = run.arguments.clone();
        let program: Vec<OsString> = match run.last("entrypoint") {
            Some(entrypoint) => {
                let first = Some(entrypoint.to_owned()).filter(|name| !name.is_empty());
                first.into_iter().chain(given).collect()
            }
            None => {
                let rest = if given.is_empty() { self.usual } else { given };
                self.entrypoint.into_iter().chain(rest).collect()
            }
        };
        if program.is_empty() {
            let text = "neither the image nor the command line names a program";
            return Err(Failure::usage(text).hint("name one behind the image"));
        }
        Ok(program)
    }
}

fn value<T: serde::de::DeserializeOwned>(line: Option<&str>) -> Result<T, Failure> {
    serde_json::from_str(line.unwrap_or_default())
        .map_err(|error| Failure::refused("docker's answer cannot be read").caused_by(&error))
}

fn list(words: Option<Vec<String>>) -> Vec<OsString> {
    words.unwrap_or_default().into_iter().map(OsString::from).collect()
}

/// Docker's client with these words.
pub(super) fn command(client: &[OsString], words: &[OsString]) -> Result<Command, Failure> {
    let (program, own) = client.split_first().ok_or_else(|| Failure::usage("no command"))?;
    let mut command = Command::new(OsStr::new(program));
    command.args(own).args(words);
    Ok(command)
}

/// What docker prints, if it succeeds.
fn said(client: &[OsString], words: &[OsString]) -> Result<Option<String>, Failure> {
    let output = command(client, words)?.stdin(Stdio::null()).stderr(Stdio::null()).output();
    let output =
        output.map_err(|error| Failure::refused("cannot start docker").caused_by(&error))?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok(output.status.success().then_some(text))
}
