//! `sealock run`: starts a program with the secrets that `secrets.yml` names; strict where Summon is lenient.
//!
//! ```text
//! flags and twins → secrets.yml, strictly → providers, all at once → variables and files → the program
//! ```
//!
//! Where nothing has to be done at its end, the program takes this process's place. Otherwise this process stays:
//! it passes signals on, masks output, looks for new values, and clears away.

mod docker;
pub(crate) mod env_file;
pub(crate) mod external;
mod options;
mod output;
mod sources;
mod vault;
mod watch;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use sealock_control::config::Environment as Variables;
use sealock_injector::child::{
    self, Child, ChildError, Ended, Escalation, Program, SearchError, Watchman, end_by,
};
use sealock_injector::environment::Environment;
use sealock_injector::format::Dialect;
use sealock_injector::inject::{FileKind, InjectError, Injected, Rules, inject, secret_values};
use sealock_injector::manifest::{self, find_upwards, substitution};
use sealock_injector::provider::{Cancel, Inherited};
use sealock_injector::resolve::{LiteralDefaults, Resolved, resolve};
use sealock_injector::scratch::{GuardianProgram, Scratch, Storage};
use sealock_injector::{Manifest, harden};

use crate::args::{ExecArg, FilesArg, Global, RunArgs};
use crate::printer::{Failure, Printer};
pub(crate) use docker::wait_and_become as gate;
use options::Options;
use output::Masked;
use sources::Sources;
use watch::Watcher;

/// Exit codes of a shell for a program that cannot be run, and that is not there.
const NOT_RUN: u8 = 126;
const NOT_FOUND: u8 = 127;

/// The guardian of files: this program again.
pub(crate) fn guardian() -> GuardianProgram {
    GuardianProgram {
        path: PathBuf::from("/proc/self/exe"),
        arguments: vec!["sealock".into(), "guard-files".into()],
    }
}

/// Starts the program.
pub(crate) fn run(
    arguments: &RunArgs,
    global: &Global,
    printer: Printer,
) -> Result<ExitCode, Failure> {
    harden::own_memory();
    harden::no_core_files();
    let variables = Variables::of_process();
    let options = Options::resolve(arguments, &variables)?;
    let manifest = read(&options)?;
    if options.as_files {
        return docker::as_files(&options, &manifest, global, printer);
    }
    docker::warn(&options.command, &manifest, printer);
    let failed = |error: &std::io::Error| Failure::fault("cannot start").caused_by(error);
    let cancel = Cancel::new().map_err(|error| failed(&error))?;
    let watchman = match leaves_something(&options, &manifest) {
        true => Watchman::begin(Escalation::Never, Some(cancel.clone()))
            .map_err(|error| failed(&error))?,
        false => Watchman::absent(Escalation::Never, None),
    };
    let sources = Sources::open(&options, &manifest, &variables, global, &cancel)?;
    // Only other programs are kept from what was left open in us, and only where there are some: in a container, where
    // there are none, descriptors cannot be taken and handed back.
    let inherited = if sources.has_external() { Inherited::take() } else { Inherited::default() };
    if !inherited.lost().is_empty() && printer.explains() {
        printer.note("note: descriptors that were open before are not handed on");
    }
    let job = Job {
        options: &options,
        manifest: &manifest,
        sources,
        inherited,
        cancel: &cancel,
        printer,
    };
    let ended = job.run(&watchman, &variables);
    if let Some(signal) = watchman.early() {
        drop(watchman);
        end_by(signal);
        return Ok(ExitCode::from(by_signal(signal)));
    }
    ended.map(ExitCode::from)
}

/// Whether a signal that ended this process at once would leave something behind: providers, files, the program. Where
/// it is the first of a container, no signal would end it at all.
fn leaves_something(options: &Options, manifest: &Manifest) -> bool {
    let stays = options.mask || options.watch.is_some() || options.exec == ExecArg::Never;
    let as_files = manifest.variables.iter().any(|variable| variable.spec.as_file);
    let env_file = options.command.iter().any(|argument| env_file::is_in(argument));
    stays
        || as_files
        || env_file
        || !manifest.files.is_empty()
        || sources::asks_programs(options, manifest)
        || rustix::process::getpid().is_init()
}

/// 128 + n, as shells tell it.
fn by_signal(signal: i32) -> u8 {
    u8::try_from(128 + signal).unwrap_or(u8::MAX)
}

/// Reads what is wanted.
fn read(options: &Options) -> Result<Manifest, Failure> {
    let mut substitutions = BTreeMap::new();
    for text in &options.define {
        let (name, value) = substitution(text).map_err(|error| usage(&error, error.hint()))?;
        substitutions.insert(name, value);
    }
    let (text, shown) = match &options.yaml {
        Some(text) => (text.as_bytes().to_vec(), "--yaml".to_owned()),
        None => from_file(options)?,
    };
    let read = manifest::Options {
        dialect: manifest::Dialect::Strict,
        environment: options.environment.as_deref(),
        substitutions: &substitutions,
    };
    manifest::parse(&text, &read).map_err(|error| {
        let failure = Failure::usage(format!("cannot read {shown}")).caused_by(&error);
        error.hint().into_iter().fold(failure, Failure::hint)
    })
}

fn from_file(options: &Options) -> Result<(Vec<u8>, String), Failure> {
    use std::io::Read as _;
    let mut path = options.file.clone().unwrap_or_else(|| PathBuf::from("secrets.yml"));
    if options.up {
        let here = std::env::current_dir()
            .map_err(|error| Failure::refused("there is no working folder").caused_by(&error))?;
        path = find_upwards(&here, &path).map_err(|error| usage(&error, error.hint()))?;
    }
    let limit = u64::try_from(manifest::MAXIMUM_BYTES).unwrap_or(u64::MAX) + 1;
    let mut text = Vec::new();
    let shown = path.display().to_string();
    let opened = std::fs::File::open(&path);
    opened.and_then(|file| file.take(limit).read_to_end(&mut text)).map_err(|error| {
        Failure::usage(format!("cannot read {shown}"))
            .caused_by(&error)
            .hint("name the file with -f, or give its text with --yaml")
    })?;
    Ok((text, shown))
}

fn usage(error: &(dyn std::error::Error + 'static), hint: Option<String>) -> Failure {
    let failure = Failure::from_error(error).code(crate::printer::exit::USAGE);
    hint.into_iter().fold(failure, Failure::hint)
}

/// What is to be done, with all it takes.
struct Job<'a> {
    options: &'a Options,
    manifest: &'a Manifest,
    sources: Sources<'a>,
    inherited: Inherited,
    cancel: &'a Cancel,
    printer: Printer,
}

/// What became of one start of the program.
enum Came {
    /// To its end.
    Ended(Ended),
    /// To be started anew with these values.
    Changed(Resolved),
}

impl Job<'_> {
    fn run(&self, watchman: &Watchman, variables: &Variables) -> Result<u8, Failure> {
        let mut watcher = Watcher::begin(self)?;
        let mut resolved = self.resolved();
        loop {
            let mut scratch = Scratch::new(
                Storage::Memory {
                    runtime_folder: variables.get("XDG_RUNTIME_DIR").map(PathBuf::from),
                },
                Some(guardian()),
            );
            let came = self.start(&resolved, watchman, &mut watcher, &mut scratch);
            let cleared = scratch.clear();
            if let Err(error) = cleared {
                self.printer.note(format!("warning: {error}"));
            }
            match came? {
                Came::Ended(Ended::Code(code)) => return Ok(code),
                Came::Ended(Ended::Signal(signal)) => return Ok(by_signal(signal)),
                Came::Changed(next) if !watchman.is_ending() => resolved = next,
                Came::Changed(_) => return Ok(by_signal(15)),
            }
        }
    }

    fn resolved(&self) -> Resolved {
        resolve(self.manifest, &self.sources.providers(), LiteralDefaults::Taken)
    }

    fn with_rules<T>(&self, work: impl FnOnce(&Rules<'_>) -> T) -> T {
        let ignored = |name: &str| self.options.ignores(name);
        let files = self.file_kind();
        work(&Rules { dialect: Dialect::Strict, ignored: &ignored, files })
    }

    fn file_kind(&self) -> FileKind {
        match self.options.files {
            FilesArg::Tmpfs => FileKind::Named,
            FilesArg::Memfd => FileKind::Descriptor,
        }
    }

    fn start(
        &self,
        resolved: &Resolved,
        watchman: &Watchman,
        watcher: &mut Watcher<'_>,
        scratch: &mut Scratch,
    ) -> Result<Came, Failure> {
        let mut injected = self
            .with_rules(|rules| inject(self.manifest, resolved, rules, scratch))
            .map_err(|error| cannot(&error))?;
        let command =
            env_file::placed(&self.options.command, &mut injected, self.file_kind(), scratch)?;
        let environment = self.environment(&injected)?;
        let search = std::env::var_os("PATH");
        let program = program(&command, search.as_deref())?;
        if watchman.early().is_some() {
            return Ok(Came::Ended(Ended::Code(NOT_RUN)));
        }
        if self.makes_way(scratch)? {
            return Err(not_started(&child::replace(
                &program,
                &environment,
                &self.inherited,
                &injected.descriptors,
            )));
        }
        let masked = self
            .options
            .mask
            .then(|| Masked::begin(&secret_values(self.manifest, resolved)))
            .transpose()?;
        let streams = masked.as_ref().map(Masked::streams).unwrap_or_default();
        let (inherited, descriptors) = (&self.inherited, &injected.descriptors);
        let start = || Child::start(&program, &environment, &streams, inherited, descriptors);
        let child = watchman
            .start(start, |child| Some(child.pid()))
            .map_err(|error| not_started(&error))?;
        drop(environment);
        let masked = masked.map(Masked::started);
        scratch.child_started(child.pid());
        let came = watcher.beside(&child, (resolved, &injected), watchman, scratch);
        watchman.ended();
        if let Some(masked) = masked {
            masked.finish();
        }
        came
    }

    fn environment(&self, injected: &Injected) -> Result<Environment, Failure> {
        let mut environment = Environment::inherited();
        if self.options.pristine {
            let keep: Vec<&OsStr> = self.options.keep.iter().map(OsStr::new).collect();
            let names: Vec<_> = environment.names().collect();
            for name in names.iter().filter(|name| !keep.contains(&name.as_os_str())) {
                environment.remove(name);
            }
        }
        injected
            .export(&mut environment)
            .map_err(|error| Failure::refused(error.to_string()).hint(error.hint()))?;
        Ok(environment)
    }

    /// Whether the program is to take this process's place.
    fn makes_way(&self, scratch: &Scratch) -> Result<bool, Failure> {
        let must_stay = scratch.is_used() || self.options.mask || self.options.watch.is_some();
        match self.options.exec {
            ExecArg::Never => Ok(false),
            ExecArg::Auto => Ok(!must_stay),
            ExecArg::Always if must_stay => Err(Failure::usage(
                "--exec always: there are files that have to be removed at the program's end",
            )
            .hint("--files memfd keeps values in memory without a name")),
            ExecArg::Always => Ok(true),
        }
    }
}

fn program(command: &[OsString], search: Option<&OsStr>) -> Result<Program, Failure> {
    let (name, rest) = command.split_first().ok_or_else(|| Failure::usage("no command"))?;
    Program::new(name, rest, search).map_err(|error| not_started(&error))
}

/// What cannot be had, all of it.
fn cannot(error: &InjectError) -> Failure {
    let mut failure = Failure::from_error(error);
    if let InjectError::Missing(all) = error
        && all.len() > 1
    {
        let each = all.iter().map(|(name, missing)| format!("{name}: {}", missing.reason));
        failure = failure.with_causes(each);
    }
    error.hint().into_iter().fold(failure, Failure::hint)
}

fn not_started(error: &ChildError) -> Failure {
    let code = match error {
        ChildError::Search(SearchError::NotInPath(_) | SearchError::Missing(_)) => NOT_FOUND,
        _ => NOT_RUN,
    };
    let failure = Failure::from_error(error).code(code);
    error.hint().into_iter().fold(failure, Failure::hint)
}

/// The name of a program without its folders.
fn base_name(name: &OsStr) -> Option<&str> {
    Path::new(name).file_name()?.to_str()
}
