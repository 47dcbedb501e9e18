//! `summon`: Summon's command line, and what it does, to the exit codes and the texts that scripts look for.
//!
//! Where Summon loses or leaks a secret, what is safe is done instead; docs/guides/summon.md lists every difference.
//! Errors go to standard output, as there.

mod debug;
mod flags;
mod text;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use sealock_control::config::Environment as Variables;
use sealock_core::SecretBytes;
use sealock_injector::child::{
    Child, ChildError, Ended, Escalation, Program, Streams, Watchman, end_by, signals,
};
use sealock_injector::environment::Environment;
use sealock_injector::format::{Dialect, env_file};
use sealock_injector::harden;
use sealock_injector::inject::{FileKind, InjectError, Injected, Rules, inject};
use sealock_injector::manifest::{self, find_upwards, substitution};
use sealock_injector::provider::{
    self, Cancel, Disk, Inherited, Isolation, Lookup, Options, Safety, version_list, versions,
};
use sealock_injector::resolve::{LiteralDefaults, Providers, resolve};
use sealock_injector::scratch::{Scratch, Storage};
use sealock_injector::{FileContent, Manifest};

use super::run::env_file::{contains, replaced};
use super::run::external::External;
use super::run::guardian;
use debug::Debug;
use flags::{Flags, Parsed};

/// Of every failure of its own.
const FAILED: u8 = 127;
/// Of a command line that it cannot read.
const BAD_USAGE: u8 = 255;
/// Stands for the file with all variables.
const ENV_FILE: &[u8] = b"@SUMMONENVFILE";

/// Does what the command line says.
pub(crate) fn run(arguments: &[OsString]) -> ExitCode {
    harden::own_memory();
    match flags::parse(arguments) {
        Parsed::Help => {
            say(text::USAGE);
            ExitCode::SUCCESS
        }
        Parsed::Version => {
            say(&format!("summon version {}\n", text::VERSION));
            ExitCode::SUCCESS
        }
        Parsed::Bad { notice, error } => {
            say(&format!("{notice}{}{error}\n", text::USAGE));
            ExitCode::from(BAD_USAGE)
        }
        Parsed::Run(flags) => match perform(&flags) {
            Ok(code) => ExitCode::from(code),
            Err(error) => {
                // It may repeat names that others chose, and a terminal acts on escape sequences.
                say(&format!("{}\n", plain_lines(&error)));
                ExitCode::from(FAILED)
            }
        },
    }
}

/// To standard output, whoever reads it.
fn say(text: &str) {
    let mut output = std::io::stdout().lock();
    let _ = output.write_all(text.as_bytes()).and_then(|()| output.flush());
}

fn plain_lines(text: &str) -> String {
    let plain = |c: char| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c };
    text.chars().map(plain).collect()
}

fn perform(flags: &Flags) -> Result<u8, String> {
    let debug = Debug::new(flags.debug);
    debug.say("Debug logging enabled", &[]);
    if flags.command.is_empty() && !flags.all_provider_versions {
        return Err("Enter a subprocess to run!".to_owned());
    }
    let variables = Variables::of_process();
    let os = |name: &str| variables.get(name).map(OsStr::new);
    let binary = std::env::args_os().next().and_then(|name| located(&name));
    let lookup = Lookup {
        named: flags.provider.as_deref(),
        environment: os("SUMMON_PROVIDER"),
        folder: os("SUMMON_PROVIDER_PATH"),
        binary: binary.as_deref(),
    };
    if flags.all_provider_versions {
        let (folder, names) = lookup.all(&Disk).map_err(|error| text::provider_error(&error))?;
        let options = Options { isolation: Isolation::Inherit, ..Options::default() };
        say(&version_list(&folder, &versions(&folder, &names, &options)));
        return Ok(0);
    }
    let provider = lookup.provider(&Disk).map_err(|error| text::provider_error(&error))?;
    let manifest = manifest(flags, &debug)?;
    Run { flags, debug, variables: &variables, provider }.perform(&manifest)
}

/// The program that runs, by the name it was called by: providers may lie beside it, and a link's place counts.
fn located(name: &OsStr) -> Option<PathBuf> {
    if name.as_bytes().contains(&b'/') {
        return std::path::absolute(name).ok();
    }
    sealock_injector::child::find_program(name, std::env::var_os("PATH").as_deref()).ok()
}

fn manifest(flags: &Flags, debug: &Debug) -> Result<Manifest, String> {
    let mut substitutions = BTreeMap::new();
    for text in &flags.define {
        let (name, value) =
            substitution(&text.to_string_lossy()).map_err(|error| error.to_string())?;
        substitutions.insert(name, value);
    }
    let mut file = PathBuf::from(flags.file.clone().unwrap_or_else(|| "secrets.yml".into()));
    if flags.up {
        let here = std::env::current_dir().map_err(|error| format!("getwd: {error}"))?;
        file = find_upwards(&here, &file).map_err(|error| error.to_string())?;
    }
    let inline = flags.yaml.as_ref().filter(|text| !text.is_empty());
    let (text, place) = match inline {
        Some(text) => {
            debug.say("Loading summon configuration from inline YAML", &[]);
            (text.as_bytes().to_vec(), "inline YAML".to_owned())
        }
        None => {
            let shown = file.to_string_lossy().into_owned();
            debug.say("Loading summon configuration", &[("filename", &shown)]);
            let text = read(&file).map_err(|reason| text::unparsable(&shown, &reason))?;
            (text, shown)
        }
    };
    let environment = flags.environment.as_ref().map(|name| name.to_string_lossy());
    let options = manifest::Options {
        dialect: manifest::Dialect::Summon,
        environment: environment.as_deref(),
        substitutions: &substitutions,
    };
    manifest::parse(&text, &options).map_err(|error| text::unparsable(&place, &text::chain(&error)))
}

/// The file; what is longer than the parser takes is not read any further.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    use std::io::Read as _;
    let failed = |step: &str, error: &std::io::Error| {
        format!("{step} {}: {}", path.display(), text::reason(error))
    };
    let limit = u64::try_from(manifest::MAXIMUM_BYTES).unwrap_or(u64::MAX) + 1;
    let mut text = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| failed("open", &error))?;
    file.take(limit).read_to_end(&mut text).map_err(|error| failed("read", &error))?;
    Ok(text)
}

/// One run, once it is known what is wanted.
struct Run<'a> {
    flags: &'a Flags,
    debug: Debug,
    variables: &'a Variables,
    provider: PathBuf,
}

impl Run<'_> {
    fn perform(&self, manifest: &Manifest) -> Result<u8, String> {
        let inherited = Inherited::take();
        let cancel = Cancel::new().map_err(|error| error.to_string())?;
        let watchman = Watchman::begin(Escalation::SecondKills, Some(cancel.clone()))
            .map_err(|error| error.to_string())?;
        let storage = Storage::Summon {
            home: self.variables.get("HOME").map(PathBuf::from),
            temporary: self.variables.get("TMPDIR").map_or_else(|| "/tmp".into(), PathBuf::from),
            runtime_folder: self.variables.get("XDG_RUNTIME_DIR").map(PathBuf::from),
        };
        let mut scratch = Scratch::new(storage, Some(guardian()));
        let done = self.in_order(manifest, &inherited, &cancel, &watchman, &mut scratch);
        let cleared = scratch.clear();
        if let Some(signal) = watchman.early() {
            drop(watchman);
            end_by(signal);
        }
        let code = done?;
        // What is left of a secret is worth a word, and the program's own code stays what it is.
        if let Err(error) = cleared {
            say(&format!("{}\n", text::chain(&error)));
        }
        Ok(code)
    }

    fn in_order(
        &self,
        manifest: &Manifest,
        inherited: &Inherited,
        cancel: &Cancel,
        watchman: &Watchman,
        scratch: &mut Scratch,
    ) -> Result<u8, String> {
        let injected = self.injected(manifest, cancel, scratch)?;
        let arguments = match manifest.variables.is_empty() {
            // Then there is nothing that could stand in the file, and Summon leaves the word as it is.
            true => self.flags.command.clone(),
            false => self.arguments(&injected, scratch)?,
        };
        let mut environment = Environment::inherited();
        injected.export(&mut environment).map_err(|error| error.to_string())?;
        if watchman.early().is_some() {
            return Ok(FAILED);
        }
        let (name, rest) = arguments.split_first().ok_or("Enter a subprocess to run!")?;
        let search = std::env::var_os("PATH");
        let program = Program::new(name, rest, search.as_deref())
            .map_err(|error| text::exec_error(name, &error))?;
        let (streams, descriptors) = (Streams::default(), &injected.descriptors);
        let start = || Child::start(&program, &environment, &streams, inherited, descriptors);
        let child = watchman
            .start(start, |child| Some(child.pid()))
            .map_err(|error| text::exec_error(name, &error))?;
        drop(environment);
        scratch.child_started(child.pid());
        let ended = child.wait().map_err(|error: ChildError| text::chain(&error));
        watchman.ended();
        match ended? {
            Ended::Code(code) => Ok(code),
            Ended::Signal(signal) => Err(format!("signal: {}", signals::name(signal))),
        }
    }

    fn injected(
        &self,
        manifest: &Manifest,
        cancel: &Cancel,
        scratch: &mut Scratch,
    ) -> Result<Injected, String> {
        let provider = External::new(
            self.provider.clone(),
            Options {
                deadline: provider::deadline_from(
                    self.variables.get("CONJUR_HTTP_TIMEOUT").map(OsStr::new),
                ),
                isolation: Isolation::Inherit,
                safety: Safety::Summon,
                at_terminal: provider::at_terminal(),
                cancel: Some(cancel),
                ..Options::default()
            },
        );
        let shown = self.provider.to_string_lossy().into_owned();
        let count = count(manifest).to_string();
        self.debug.say("Fetching secrets", &[("count", &count), ("provider", &shown)]);
        let providers: Providers<'_> = BTreeMap::from([(None, &provider as _)]);
        let resolved = resolve(manifest, &providers, LiteralDefaults::UnlessAllAtOnce);
        let ignored = |name: &str| {
            self.flags.ignore_all || self.flags.ignore.iter().any(|one| one.as_os_str() == name)
        };
        let rules = Rules { dialect: Dialect::Summon, ignored: &ignored, files: FileKind::Named };
        let mut injected = inject(manifest, &resolved, &rules, scratch).map_err(|error| {
            if let InjectError::Missing(all) = &error
                && let Some((name, missing)) = all.first()
            {
                let fields = [("name", name.as_str()), ("error", &missing.reason)];
                self.debug.say("Error fetching secret", &fields);
                return format!("Error fetching secret: {}", missing.reason);
            }
            text::inject_error(&error, manifest)
        })?;
        if let Some(name) = self.flags.environment.as_ref().filter(|name| !name.is_empty())
            && !manifest.variables.is_empty()
        {
            let value = SecretBytes::new(name.as_bytes().to_vec());
            injected.variables.retain(|(known, _)| known != "SUMMON_ENV");
            injected.variables.push(("SUMMON_ENV".to_owned(), value));
        }
        Ok(injected)
    }

    /// The command's arguments, with the place of the file of all variables where that is asked for.
    fn arguments(
        &self,
        injected: &Injected,
        scratch: &mut Scratch,
    ) -> Result<Vec<OsString>, String> {
        let mut path = None;
        let mut arguments = Vec::with_capacity(self.flags.command.len());
        for argument in &self.flags.command {
            if !contains(argument.as_bytes(), ENV_FILE) {
                arguments.push(argument.clone());
                continue;
            }
            if path.is_none() {
                let failed = |reason: String| format!("Error creating @SUMMONENVFILE: {reason}");
                let content =
                    env_file(&injected.variables).map_err(|error| failed(error.to_string()))?;
                let file =
                    scratch.hold(content.expose()).map_err(|error| failed(text::chain(&error)))?;
                path = Some(file);
            }
            let place = path.as_deref().unwrap_or(Path::new(""));
            arguments.push(replaced(argument, ENV_FILE, place));
        }
        Ok(arguments)
    }
}

/// How many secrets there are.
fn count(manifest: &Manifest) -> usize {
    let of_files = manifest.files.iter().map(|file| match &file.content {
        FileContent::Rendered { secrets, .. } => secrets.len(),
        FileContent::Folder { .. } => 0,
    });
    manifest.variables.len() + of_files.sum::<usize>()
}
