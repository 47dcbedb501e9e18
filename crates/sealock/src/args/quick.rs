//! `run` without the rest.
//!
//! To make the tree of all commands takes longer than everything else that `run` does before the program has its
//! secrets. So a line that begins with `run` is read by a parser that knows this command alone. What that one does
//! not take is read by the whole one, which has the help and words the errors.

use std::ffi::{OsStr, OsString};

use clap::{Parser, Subcommand};

use super::{Cli, Command, Global, RunArgs};

#[derive(Debug, Parser)]
#[command(name = "sealock", version, propagate_version = true)]
struct Line {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Only,
}

#[derive(Debug, Subcommand)]
enum Only {
    Run(Box<RunArgs>),
}

/// The line as the whole parser reads it, where it is one of `run`; nothing where that is for the whole one to say.
pub(super) fn parse(line: &[OsString]) -> Option<Cli> {
    if line.get(1).map(OsString::as_os_str) != Some(OsStr::new("run")) {
        return None;
    }
    let Line { global, command: Only::Run(arguments) } = Line::try_parse_from(line).ok()?;
    Some(Cli { global, command: Command::Run(arguments) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Vec<OsString> {
        std::iter::once("sealock").chain(text.split(' ')).map(OsString::from).collect()
    }

    #[test]
    fn what_it_takes_it_takes_as_the_whole_parser_does() {
        for text in [
            "run -- true",
            "run true --help -h --version -V",
            "run -f a.yml -e prod -D a=b -Dc=d -p conjur -i X -I --up -- env -f x",
            "run --yaml x --pristine --keep A --mask --watch --exec never --files memfd true",
            "run --watch=5s --on-change=signal:HUP --timeout 1s --provider-env A* true",
            "run --state /s --config /c --docker unix:///d --passphrase-file /p --json -vv true",
            "run -q --as-files docker run -it --rm alpine",
        ] {
            let quick = parse(&line(text)).unwrap_or_else(|| panic!("not taken: {text}"));
            let whole = Cli::try_parse_from(line(text)).unwrap();
            assert_eq!(format!("{quick:?}"), format!("{whole:?}"), "{text}");
        }
    }

    #[test]
    fn everything_else_is_for_the_whole_parser() {
        for text in [
            "run",
            "run --help",
            "run -h",
            "run --version",
            "run -V",
            "run help",
            "run --nothing true",
            "run -f a.yml --yaml x true",
            "run -q -v true",
            "run --exec sometimes true",
            "help run",
            "--json run true",
            "status",
            "",
        ] {
            let whole = Cli::try_parse_from(line(text));
            match parse(&line(text)) {
                None => {}
                Some(quick) => {
                    assert_eq!(format!("{quick:?}"), format!("{:?}", whole.unwrap()), "{text}");
                }
            }
        }
        for text in ["run", "run --help", "run -h", "run --nothing true", "status", "help run"] {
            assert!(parse(&line(text)).is_none(), "{text}");
        }
        assert!(parse(&[]).is_none());
    }
}
