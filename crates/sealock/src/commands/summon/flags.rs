//! The command line, read as Summon's library reads it: flags come first, with one dash or two, with their value
//! behind a space or a `=`; the first argument that is none begins the command.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// What was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Flags {
    pub(super) provider: Option<OsString>,
    pub(super) environment: Option<OsString>,
    pub(super) file: Option<OsString>,
    pub(super) up: bool,
    pub(super) define: Vec<OsString>,
    pub(super) yaml: Option<OsString>,
    pub(super) ignore: Vec<OsString>,
    pub(super) ignore_all: bool,
    pub(super) all_provider_versions: bool,
    pub(super) debug: bool,
    pub(super) command: Vec<OsString>,
}

/// What a command line comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    Run(Box<Flags>),
    Help,
    Version,
    /// What stands above the usage, and below it.
    Bad {
        notice: String,
        error: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flag {
    Provider,
    Environment,
    File,
    Up,
    Define,
    Yaml,
    Ignore,
    IgnoreAll,
    Versions,
    Debug,
    Help,
    Version,
}

/// Every flag by its names.
const FLAGS: [(&[&str], Flag, Kind); 12] = [
    (&["p", "provider"], Flag::Provider, Kind::Text),
    (&["e", "environment"], Flag::Environment, Kind::Text),
    (&["f"], Flag::File, Kind::Text),
    (&["up"], Flag::Up, Kind::Switch),
    (&["D"], Flag::Define, Kind::Texts),
    (&["yaml"], Flag::Yaml, Kind::Text),
    (&["ignore", "i"], Flag::Ignore, Kind::Texts),
    (&["ignore-all", "I"], Flag::IgnoreAll, Kind::Switch),
    (&["all-provider-versions", "V"], Flag::Versions, Kind::Switch),
    (&["debug", "d"], Flag::Debug, Kind::Switch),
    (&["help", "h"], Flag::Help, Kind::Switch),
    (&["version", "v"], Flag::Version, Kind::Switch),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Switch,
    Text,
    Texts,
}

pub(super) fn parse(arguments: &[OsString]) -> Parsed {
    match read(arguments) {
        Ok(parsed) => parsed,
        Err(Refused::Usage(error)) => {
            Parsed::Bad { notice: format!("Incorrect Usage. {error}\n\n"), error }
        }
        Err(Refused::TwoForms(error)) => Parsed::Bad { notice: format!("{error}\n"), error },
    }
}

enum Refused {
    Usage(String),
    TwoForms(String),
}

fn read(arguments: &[OsString]) -> Result<Parsed, Refused> {
    let mut flags = Flags::default();
    let (mut help, mut version) = (false, false);
    let mut seen: Vec<(Flag, &'static str)> = Vec::new();
    let mut rest = arguments.iter();
    while let Some((name, value)) = flag_of(rest.as_slice().first())? {
        rest.next();
        // Two dashes end the flags.
        let Some(name) = name else { break };
        let unknown = || Refused::Usage(format!("flag provided but not defined: -{name}"));
        let known = FLAGS.iter().find_map(|(names, flag, kind)| {
            let name = names.iter().find(|known| **known == name)?;
            Some((*name, *flag, *kind))
        });
        let (name, flag, kind) = known.ok_or_else(unknown)?;
        seen.push((flag, name));
        if kind == Kind::Switch {
            let on = match value {
                None => true,
                Some(text) => truth(&text).ok_or_else(|| {
                    let text = text.to_string_lossy();
                    Refused::Usage(format!(
                        "invalid boolean value {text:?} for -{name}: parse error"
                    ))
                })?,
            };
            match flag {
                Flag::Up => flags.up = on,
                Flag::IgnoreAll => flags.ignore_all = on,
                Flag::Versions => flags.all_provider_versions = on,
                Flag::Debug => flags.debug = on,
                Flag::Help => help = on,
                _ => version = on,
            }
            continue;
        }
        let needed = || Refused::Usage(format!("flag needs an argument: -{name}"));
        let value = value.or_else(|| rest.next().cloned()).ok_or_else(needed)?;
        match flag {
            Flag::Provider => flags.provider = Some(value),
            Flag::Environment => flags.environment = Some(value),
            Flag::File => flags.file = Some(value),
            Flag::Yaml => flags.yaml = Some(value),
            Flag::Define => flags.define.push(value),
            _ => flags.ignore.push(value),
        }
    }
    two_forms(&seen)?;
    flags.command = rest.cloned().collect();
    let first = flags.command.first().map(OsString::as_os_str);
    if help || first.is_some_and(|name| name == "help" || name == "h") {
        return Ok(Parsed::Help);
    }
    Ok(if version { Parsed::Version } else { Parsed::Run(Box::new(flags)) })
}

/// Name and value of an argument that is a flag; no name for the two dashes.
type Found<'a> = Option<(Option<&'a str>, Option<OsString>)>;

fn flag_of(argument: Option<&OsString>) -> Result<Found<'_>, Refused> {
    let Some(argument) = argument else { return Ok(None) };
    let bytes = argument.as_bytes();
    let Some(rest) = bytes.strip_prefix(b"-").filter(|rest| !rest.is_empty()) else {
        return Ok(None);
    };
    let rest = rest.strip_prefix(b"-").unwrap_or(rest);
    if rest.is_empty() {
        return Ok(Some((None, None)));
    }
    let bad = || Refused::Usage(format!("bad flag syntax: {}", argument.to_string_lossy()));
    if rest.starts_with(b"-") || rest.starts_with(b"=") {
        return Err(bad());
    }
    let end = rest.iter().position(|byte| *byte == b'=');
    let (name, value) = match end {
        Some(end) => (rest.get(..end), rest.get(end + 1..)),
        None => (Some(rest), None),
    };
    let name = name.and_then(|name| std::str::from_utf8(name).ok()).ok_or_else(bad)?;
    Ok(Some((Some(name), value.map(|value| OsString::from_vec(value.to_vec())))))
}

/// As Go reads truths.
fn truth(text: &OsStr) -> Option<bool> {
    match text.to_str()? {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// A flag is given by one of its names, not by both.
fn two_forms(seen: &[(Flag, &'static str)]) -> Result<(), Refused> {
    for (flag, name) in seen {
        let other = seen.iter().find(|(same, other)| same == flag && other != name);
        if let Some((_, other)) = other {
            let (first, second) =
                if name.len() > other.len() { (name, other) } else { (other, name) };
            return Err(Refused::TwoForms(format!(
                "Cannot use two forms of the same flag: {first} {second}"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &[&str]) -> Parsed {
        parse(&line.iter().map(OsString::from).collect::<Vec<_>>())
    }

    fn run(line: &[&str]) -> Flags {
        match parsed(line) {
            Parsed::Run(flags) => *flags,
            other => panic!("{line:?}: {other:?}"),
        }
    }

    fn bad(line: &[&str]) -> String {
        match parsed(line) {
            Parsed::Bad { error, .. } => error,
            other => panic!("{line:?}: {other:?}"),
        }
    }

    #[test]
    fn flags_come_before_the_command_in_every_spelling() {
        let flags = run(&[
            "-p",
            "a",
            "--environment=prod",
            "-f=x.yml",
            "-up",
            "-D",
            "a=b=c",
            "--D",
            "d=",
            "-i",
            "X",
            "--i",
            "Y",
            "env",
            "-p",
            "z",
        ]);
        assert_eq!(flags.provider, Some("a".into()));
        assert_eq!(flags.environment, Some("prod".into()));
        assert_eq!(flags.file, Some("x.yml".into()));
        assert!(flags.up && !flags.ignore_all && !flags.debug);
        assert_eq!(flags.define, ["a=b=c", "d="]);
        assert_eq!(flags.ignore, ["X", "Y"]);
        assert_eq!(flags.command, ["env", "-p", "z"]);
        assert_eq!(run(&["-up=false", "--", "-x"]).command, ["-x"]);
        assert_eq!(run(&["-", "x"]).command, ["-", "x"]);
        assert_eq!(run(&["-f", "a", "-f", "b", "x"]).file, Some("b".into()));
        assert_eq!(run(&["--yaml", "-x", "y"]).yaml, Some("-x".into()));
    }

    #[test]
    fn what_it_cannot_read_is_refused_as_there() {
        assert_eq!(bad(&["--bogus"]), "flag provided but not defined: -bogus");
        assert_eq!(bad(&["-u"]), "flag provided but not defined: -u");
        assert_eq!(bad(&["-p"]), "flag needs an argument: -p");
        assert_eq!(bad(&["-=x"]), "bad flag syntax: -=x");
        assert_eq!(bad(&["---x"]), "bad flag syntax: ---x");
        assert_eq!(
            bad(&["--up=maybe", "true"]),
            "invalid boolean value \"maybe\" for -up: parse error"
        );
        assert_eq!(
            bad(&["-p", "a", "--provider", "b", "true"]),
            "Cannot use two forms of the same flag: provider p"
        );
    }

    #[test]
    fn help_and_version() {
        for line in [&["-h"][..], &["--help", "x"], &["help"], &["h"], &["-d", "help"]] {
            assert_eq!(parsed(line), Parsed::Help, "{line:?}");
        }
        assert_eq!(parsed(&["-v"]), Parsed::Version);
        assert_eq!(parsed(&["--version", "x"]), Parsed::Version);
    }
}
