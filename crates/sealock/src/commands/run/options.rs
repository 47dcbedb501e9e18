//! What `sealock run` is to do: flags, else their environment twins, else defaults.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use sealock_control::config::Environment;
use sealock_core::span::parse_span;

use crate::args::{ExecArg, FilesArg, RunArgs};
use crate::printer::Failure;

/// How long providers may take when nobody says otherwise.
const PATIENCE: Duration = Duration::from_secs(60);
/// The shortest pause between two looks for new values.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
/// The name of the vault among the providers.
pub(super) const VAULT: &str = "sealock";

/// What is done when a value has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnChange {
    /// The program is ended and started anew.
    Restart,
    /// Files are written anew, and the program is sent this.
    Signal(i32),
}

/// Looking for new values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Watch {
    pub(super) every: Duration,
    pub(super) on_change: OnChange,
}

/// Everything that was asked for.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) file: Option<PathBuf>,
    pub(super) yaml: Option<String>,
    pub(super) up: bool,
    pub(super) environment: Option<String>,
    pub(super) define: Vec<String>,
    pub(super) provider: String,
    pub(super) ignore: Vec<String>,
    pub(super) ignore_all: bool,
    pub(super) timeout: Duration,
    pub(super) provider_env: Vec<String>,
    pub(super) pristine: bool,
    pub(super) keep: Vec<String>,
    pub(super) mask: bool,
    pub(super) watch: Option<Watch>,
    pub(super) exec: ExecArg,
    pub(super) files: FilesArg,
    pub(super) as_files: bool,
    pub(super) command: Vec<OsString>,
}

impl Options {
    pub(super) fn resolve(arguments: &RunArgs, environment: &Environment) -> Result<Self, Failure> {
        let twins = Twins(environment);
        let timeout = twins.text(&arguments.timeout, "TIMEOUT");
        let timeout = timeout.map(|text| span("--timeout", &text)).transpose()?;
        let yaml = twins.text(&arguments.yaml, "YAML").filter(|_| arguments.file.is_none());
        let options = Self {
            file: twins.path(&arguments.file, "FILE").filter(|_| yaml.is_none()),
            yaml,
            up: twins.switch(arguments.up, "UP")?,
            environment: twins.text(&arguments.environment, "ENVIRONMENT"),
            define: twins.texts(&arguments.define, "DEFINE"),
            provider: twins
                .text(&arguments.provider, "PROVIDER")
                .unwrap_or_else(|| VAULT.to_owned()),
            ignore: twins.texts(&arguments.ignore, "IGNORE"),
            ignore_all: twins.switch(arguments.ignore_all, "IGNORE_ALL")?,
            timeout: timeout.unwrap_or(PATIENCE),
            provider_env: twins.texts(&arguments.provider_env, "PROVIDER_ENV"),
            pristine: twins.switch(arguments.pristine, "PRISTINE")?,
            keep: twins.texts(&arguments.keep, "KEEP"),
            mask: twins.switch(arguments.mask, "MASK")?,
            watch: watch(arguments, &twins)?,
            exec: twins.choice(arguments.exec, "EXEC")?.unwrap_or(ExecArg::Auto),
            files: twins.choice(arguments.files, "FILES")?.unwrap_or(FilesArg::Tmpfs),
            as_files: twins.switch(arguments.as_files, "AS_FILES")?,
            command: arguments.command.clone(),
        };
        options.checked()
    }

    /// Nothing that contradicts itself.
    fn checked(self) -> Result<Self, Failure> {
        let against =
            |what: &str, why: &str| Err(Failure::usage(format!("{what} cannot be had with {why}")));
        if !self.keep.is_empty() && !self.pristine {
            return Err(Failure::usage("--keep is for --pristine, which was not asked for"));
        }
        if self.as_files {
            if self.watch.is_some() {
                return against("--watch", "--as-files");
            }
            if self.mask {
                return against("--mask", "--as-files");
            }
        }
        let by_signal = |watch: Watch| watch.on_change != OnChange::Restart;
        if self.mask && self.watch.is_some_and(by_signal) {
            return against(
                "--on-change signal",
                "--mask, which knows the values of the start only",
            );
        }
        if self.exec == ExecArg::Always {
            if self.mask {
                return against("--exec always", "--mask, which has to stay in between");
            }
            if self.watch.is_some() {
                return against("--exec always", "--watch, which has to stay beside the program");
            }
        }
        Ok(self)
    }

    pub(super) fn ignores(&self, name: &str) -> bool {
        self.ignore_all || self.ignore.iter().any(|one| one == name)
    }
}

fn watch(arguments: &RunArgs, twins: &Twins<'_>) -> Result<Option<Watch>, Failure> {
    let on_change = twins.text(&arguments.on_change, "ON_CHANGE");
    let Some(every) = twins.text(&arguments.watch, "WATCH") else {
        return match on_change {
            Some(_) => Err(Failure::usage("--on-change is for --watch, which was not asked for")),
            None => Ok(None),
        };
    };
    let every = span("--watch", &every)?;
    if every < SHORTEST_PAUSE {
        return Err(Failure::usage("--watch looks at most once in a second"));
    }
    let on_change = match on_change.as_deref() {
        None | Some("restart") => OnChange::Restart,
        Some(text) => {
            let number = text.strip_prefix("signal:").and_then(signal_number);
            OnChange::Signal(number.ok_or_else(|| {
                Failure::usage(format!("`{text}` is nothing to do when a value has changed"))
                    .hint("give restart, or signal:NAME such as signal:HUP")
            })?)
        }
    };
    Ok(Some(Watch { every, on_change }))
}

fn signal_number(name: &str) -> Option<i32> {
    let name = name.strip_prefix("SIG").unwrap_or(name);
    let known = [
        ("HUP", 1),
        ("INT", 2),
        ("QUIT", 3),
        ("USR1", 10),
        ("USR2", 12),
        ("TERM", 15),
        ("WINCH", 28),
    ];
    known.into_iter().find(|(known, _)| *known == name).map(|(_, number)| number)
}

fn span(flag: &str, text: &str) -> Result<Duration, Failure> {
    parse_span(text).map_err(|error| Failure::usage(format!("{flag} must be a span: {error}")))
}

/// The environment twins of flags: `SEALOCK_RUN_` and the flag's name.
struct Twins<'a>(&'a Environment);

impl Twins<'_> {
    fn value(&self, name: &str) -> Option<&str> {
        self.0.get(&format!("SEALOCK_RUN_{name}"))
    }

    fn text(&self, flag: &Option<String>, name: &str) -> Option<String> {
        flag.clone().or_else(|| self.value(name).map(str::to_owned))
    }

    fn path(&self, flag: &Option<PathBuf>, name: &str) -> Option<PathBuf> {
        flag.clone().or_else(|| self.value(name).map(PathBuf::from))
    }

    /// One a line.
    fn texts(&self, flag: &[String], name: &str) -> Vec<String> {
        match self.value(name) {
            Some(text) if flag.is_empty() => {
                text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
            }
            _ => flag.to_vec(),
        }
    }

    fn switch(&self, flag: bool, name: &str) -> Result<bool, Failure> {
        match self.value(name) {
            _ if flag => Ok(true),
            None | Some("false" | "0" | "no") => Ok(false),
            Some("true" | "1" | "yes") => Ok(true),
            Some(_) => Err(Failure::usage(format!("SEALOCK_RUN_{name} must be true or false"))),
        }
    }

    fn choice<T: ValueEnum>(&self, flag: Option<T>, name: &str) -> Result<Option<T>, Failure> {
        match self.value(name) {
            Some(text) if flag.is_none() => T::from_str(text, true).map(Some).map_err(|_| {
                let known: Vec<String> = T::value_variants()
                    .iter()
                    .filter_map(|one| Some(one.to_possible_value()?.get_name().to_owned()))
                    .collect();
                Failure::usage(format!("SEALOCK_RUN_{name} must be one of {}", known.join(", ")))
            }),
            _ => Ok(flag),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    fn resolved(flags: &[&str], variables: &[(&str, &str)]) -> Result<Options, Failure> {
        let line = ["sealock", "run"].iter().chain(flags).chain(&["--", "true"]);
        let Command::Run(arguments) = Cli::try_parse_from(line).unwrap().command else {
            panic!("not run");
        };
        let variables: BTreeMap<String, String> = variables
            .iter()
            .map(|(name, value)| (format!("SEALOCK_RUN_{name}"), (*value).to_owned()))
            .collect();
        Options::resolve(&arguments, &Environment::from(variables))
    }

    #[test]
    fn every_flag_has_a_twin_and_goes_before_it() {
        let twins = [
            ("FILE", "a.yml"),
            ("UP", "true"),
            ("ENVIRONMENT", "prod"),
            ("DEFINE", "a=1\nb=2"),
            ("PROVIDER", "conjur"),
            ("IGNORE", "X\nY"),
            ("IGNORE_ALL", "yes"),
            ("TIMEOUT", "5s"),
            ("PROVIDER_ENV", "CONJUR_*"),
            ("PRISTINE", "1"),
            ("KEEP", "PATH"),
            ("MASK", "true"),
            ("WATCH", "30s"),
            ("ON_CHANGE", "restart"),
            ("EXEC", "never"),
            ("FILES", "memfd"),
        ];
        let by_twins = resolved(&[], &twins).unwrap();
        let flags = [
            "--file=a.yml",
            "--up",
            "--environment=prod",
            "-Da=1",
            "-Db=2",
            "--provider=conjur",
            "-iX",
            "-iY",
            "-I",
            "--timeout=5s",
            "--provider-env=CONJUR_*",
            "--pristine",
            "--keep=PATH",
            "--mask",
            "--watch=30s",
            "--on-change=restart",
            "--exec=never",
            "--files=memfd",
        ];
        let by_flags = resolved(&flags, &[]).unwrap();
        assert_eq!(format!("{by_twins:?}"), format!("{by_flags:?}"));
        assert_eq!(by_flags.define, ["a=1", "b=2"]);
        let both = resolved(&["--file=b.yml", "-Dc=3"], &twins).unwrap();
        assert_eq!((both.file, both.define), (Some("b.yml".into()), vec!["c=3".to_owned()]));
        // A file named by hand goes before a text from the environment, and the other way round.
        assert_eq!(resolved(&["--file=b.yml"], &[("YAML", "A: 1")]).unwrap().yaml, None);
        assert_eq!(resolved(&["--yaml=A: 1"], &[("FILE", "a.yml")]).unwrap().file, None);
        let watch = resolved(&["--watch"], &[]).unwrap().watch.unwrap();
        assert_eq!((watch.every, watch.on_change), (Duration::from_secs(10), OnChange::Restart));
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for bad in [
            &["--keep=PATH"][..],
            &["--on-change=restart"],
            &["--watch=1ms"],
            &["--watch=x"],
            &["--watch", "--on-change=signal:KILL"],
            &["--timeout=never"],
            &["--exec=always", "--mask"],
            &["--exec=always", "--watch"],
            &["--as-files", "--mask"],
            &["--mask", "--watch", "--on-change=signal:HUP"],
        ] {
            assert!(resolved(bad, &[]).is_err(), "{bad:?}");
        }
        assert!(resolved(&[], &[("MASK", "perhaps")]).is_err());
        assert!(resolved(&[], &[("EXEC", "perhaps")]).is_err());
    }
}
