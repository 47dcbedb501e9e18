//! The binary `sealock`: reads the command line, runs one command, prints what came of it.

mod args;
mod commands;
mod demo;
mod printer;

use std::process::ExitCode;

use clap::error::ErrorKind;

use crate::printer::{Printer, exit};

/// The name under which this program is Summon.
const SUMMON: &str = "summon";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let called = arguments.next().unwrap_or_default();
    if std::path::Path::new(&called).file_name().is_some_and(|name| name == SUMMON) {
        return commands::summon(&arguments.collect::<Vec<_>>());
    }
    let cli = match args::parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody is left to tell when the terminal is gone.
            let _ = error.print();
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
                _ => ExitCode::from(exit::USAGE),
            };
        }
    };
    let printer = Printer::new(cli.global.json, cli.global.quiet, cli.global.verbose > 0);
    match commands::run(cli.global, cli.command, printer) {
        Ok(code) => code,
        Err(failure) => ExitCode::from(failure.print(printer.json())),
    }
}
