//! `sealock import`

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use sealock_traffic::sdf::{Carried, MAXIMUM_BYTES, Sdf, SdfError};
use serde::Serialize;

use crate::args::ImportArgs;
use crate::printer::{Failure, Printer, exit};

/// As JSON.
#[derive(Serialize)]
struct Shown<'a> {
    settings: &'a str,
    policy: &'a str,
    compose: &'a str,
    gatekeeper: &'a Option<Vec<String>>,
    forwarder: &'a Option<Vec<String>>,
    notes: &'a [String],
}

/// Reads the file, and prints or writes what it is here.
pub(crate) fn run(arguments: &ImportArgs, printer: Printer) -> Result<(), Failure> {
    let carried = read(&arguments.file, arguments.name.as_deref())?;
    match &arguments.out {
        None if printer.json() => printer.value(&Shown {
            settings: &carried.settings,
            policy: &carried.policy,
            compose: &carried.compose,
            gatekeeper: &carried.gatekeeper,
            forwarder: &carried.forwarder,
            notes: &carried.notes,
        }),
        None => {
            let files = files(&carried).into_iter();
            let parts: Vec<String> =
                files.map(|(name, text)| format!("# ==> {name} <==\n{text}")).collect();
            printer.data(parts.join("\n").as_bytes())
        }
        Some(folder) => write(folder, &carried, printer),
    }
}

fn read(path: &Path, name: Option<&str>) -> Result<Carried, Failure> {
    let cannot = |error: &std::io::Error| {
        Failure::refused(format!("cannot read {}", path.display())).caused_by(error)
    };
    let wrong = |error: SdfError| {
        Failure::refused(format!("{} cannot be carried over", path.display()))
            .caused_by(&error)
            .hint(error.hint())
            .code(exit::USAGE)
    };
    let file = fs::File::open(path).map_err(|error| cannot(&error))?;
    let mut bytes = Vec::new();
    // One more than may be: then it is known to be longer.
    let limit = MAXIMUM_BYTES as u64 + 1;
    std::io::Read::read_to_end(&mut std::io::Read::take(file, limit), &mut bytes)
        .map_err(|error| cannot(&error))?;
    Sdf::read(&bytes).and_then(|sdf| sdf.carry(name)).map_err(wrong)
}

/// Names and texts of what is not empty.
fn files(carried: &Carried) -> Vec<(&'static str, String)> {
    let notes: String = carried.notes.iter().map(|note| format!("- {note}\n")).collect();
    let all = [
        ("sealock.toml", carried.settings.clone()),
        ("sdf.cedar", carried.policy.clone()),
        ("compose.yml", carried.compose.clone()),
        ("NOTES.md", format!("# What is left to do, and what has no counterpart\n\n{notes}")),
    ];
    all.into_iter().filter(|(_, text)| !text.is_empty()).collect()
}

/// Nothing that is there is touched, and nothing is written where one of them is there.
fn write(folder: &Path, carried: &Carried, printer: Printer) -> Result<(), Failure> {
    let failed = |path: &Path, error: &std::io::Error| {
        Failure::refused(format!("cannot write {}", path.display())).caused_by(error)
    };
    fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
    let files = files(carried);
    for (name, _) in &files {
        let path = folder.join(name);
        if path.symlink_metadata().is_ok() {
            return Err(Failure::refused(format!("{} is there already", path.display()))
                .hint("name another folder with --out DIR: nothing is overwritten"));
        }
    }
    for (name, text) in &files {
        let path = folder.join(name);
        let mut options = fs::OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o644).open(&path);
        file.and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|error| failed(&path, &error))?;
        printer.note(format!("Wrote {}.", path.display()));
    }
    printer.note(format!("Read {} first.", folder.join("NOTES.md").display()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::Cli;

    #[test]
    fn the_command_lines_that_come_out_are_ours() {
        let text = "
gatekeeper: { port: 80, service: 'unix:/run/app.sock', conjur_resource: webservice/orders }
forward:
- { id: billing, listen: 5000, service: 'https://billing.corp.example' }
- { id: stock, listen: '127.0.0.2', service: 'stock:8443' }
";
        let carried = Sdf::read(text.as_bytes()).unwrap().carry(None).unwrap();
        for (command, arguments) in
            [("gatekeeper", carried.gatekeeper), ("forwarder", carried.forwarder)]
        {
            let line = [vec!["sealock".to_owned(), command.to_owned()], arguments.unwrap()];
            assert!(Cli::try_parse_from(line.concat()).is_ok(), "{command}");
        }
    }
}
