//! `sealock secret …`: the vault. A value comes from a file, from stdin or from a prompt, and never stands in an
//! argument.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::Path;

use sealock_control::command::{
    Command, NewValue, OnExisting, Reply, SecretBlob, SecretOutcome, SecretReport, SecretState,
    SecretWanted, VaultBackup, VersionReport,
};
use sealock_core::{SecretBytes, Timestamp};
use zeroize::Zeroizing;

use super::envelope::{identities, opened, recipient_texts};
use super::session::{Session, unexpected};
use super::{files, passphrase};
use crate::args::{
    OnExistingArg, SecretCommand, SecretExportArgs, SecretGetArgs, SecretImportArgs,
    SecretPurgeArgs, SecretSetArgs, SecretVersionArgs,
};
use crate::printer::{Failure, Printer, Table};

/// What the vault takes.
const LONGEST: u64 = 1 << 20;
/// How many are asked for at a time.
const PAGE: usize = 10_000;

/// Runs one of the `secret` commands.
pub(crate) fn run(
    command: SecretCommand,
    session: &Session,
    printer: Printer,
) -> Result<(), Failure> {
    match command {
        SecretCommand::Set(arguments) => set(arguments, session, printer),
        SecretCommand::Get(arguments) => get(arguments, session, printer),
        SecretCommand::List { path } => list(path, session, printer),
        SecretCommand::History { name } => history(name, session, printer),
        SecretCommand::Delete(SecretVersionArgs { name, version }) => {
            done(session.call(Command::SecretDelete { name: name.clone(), version })?)?;
            let again = version.map_or_else(String::new, |version| format!(" --version {version}"));
            printer.note(format!(
                "{name} is deleted; `sealock secret undelete {name}{again}` takes that back."
            ));
            Ok(())
        }
        SecretCommand::Undelete(SecretVersionArgs { name, version }) => {
            done(session.call(Command::SecretUndelete { name: name.clone(), version })?)?;
            printer.note(format!("{name} can be read again."));
            Ok(())
        }
        SecretCommand::Purge(arguments) => purge(arguments, session, printer),
        SecretCommand::RotateKey => match session.call(Command::VaultRotateKey)? {
            Reply::VaultKey { key, values } => {
                printer.note(format!("The vault has key {key}; {values} values are under it."));
                Ok(())
            }
            other => Err(unexpected(&other)),
        },
        SecretCommand::Export(arguments) => export(&arguments, session, printer),
        SecretCommand::Import(arguments) => import(&arguments, session, printer),
    }
}

fn done(reply: Reply) -> Result<(), Failure> {
    match reply {
        Reply::Done => Ok(()),
        other => Err(unexpected(&other)),
    }
}

fn set(arguments: SecretSetArgs, session: &Session, printer: Printer) -> Result<(), Failure> {
    let value = match arguments.generate {
        Some(length) => NewValue::Generated(length),
        None => {
            let value = given(arguments.file.as_deref(), &arguments.name, arguments.keep_newline)?;
            NewValue::Given(SecretBlob::from(value))
        }
    };
    let (name, ttl) = (arguments.name.clone(), arguments.ttl.map(|ttl| ttl.as_secs()));
    match session.call(Command::SecretSet { name: arguments.name, value, ttl })? {
        Reply::SecretWritten { version } if printer.json() => {
            printer.value(&serde_json::json!({ "name": name, "version": version }))
        }
        Reply::SecretWritten { version } => {
            printer.note(format!("{name} has version {version}."));
            Ok(())
        }
        other => Err(unexpected(&other)),
    }
}

/// The value from a file, from stdin, or from a prompt where stdin is a terminal.
fn given(file: Option<&Path>, name: &str, keep_newline: bool) -> Result<SecretBytes, Failure> {
    let read = |input: &mut dyn Read, from: &str| read(input, from, keep_newline);
    match file.filter(|file| *file != Path::new("-")) {
        Some(path) => {
            let failed = |error: &io::Error| {
                Failure::refused(format!("cannot read {}", path.display())).caused_by(error)
            };
            let mut input = File::open(path).map_err(|error| failed(&error))?;
            read(&mut input, &path.display().to_string()).map_err(|error| match error {
                Ok(failure) => failure,
                Err(error) => failed(&error),
            })
        }
        None if file.is_none() && io::stdin().is_terminal() => {
            let ask = |question: &str| {
                passphrase::prompt_for(
                    "value",
                    question,
                    "give it on stdin, or name a file with --file",
                )
            };
            let first = ask(&format!("Value of {name}: "))?;
            if first != ask("The same again: ")? {
                return Err(Failure::usage("the two values differ; nothing was set"));
            }
            Ok(first)
        }
        None => read(&mut io::stdin().lock(), "stdin").map_err(|error| match error {
            Ok(failure) => failure,
            Err(error) => Failure::refused("cannot read stdin").caused_by(&error),
        }),
    }
}

/// Everything, in memory that does not grow and so leaves no copies behind.
fn read(
    input: &mut dyn Read,
    name: &str,
    keep_newline: bool,
) -> Result<SecretBytes, Result<Failure, io::Error>> {
    // With room for a line end that is left out, and for one byte that is too many.
    let most = LONGEST + 3;
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(most).unwrap_or(usize::MAX)));
    input.take(most).read_to_end(&mut bytes).map_err(Err)?;
    let value = SecretBytes::from(bytes);
    let value = if keep_newline { value } else { value.trim_line_end() };
    if value.len() as u64 > LONGEST {
        return Err(Ok(Failure::usage(format!("{name} is longer than 1 MiB"))
            .hint("keep the data elsewhere, and in the vault only the key to it")));
    }
    if value.is_empty() {
        return Err(Ok(Failure::usage(format!("{name} is empty"))
            .hint("give the value on stdin, or name a file with --file")));
    }
    Ok(value)
}

fn get(arguments: SecretGetArgs, session: &Session, printer: Printer) -> Result<(), Failure> {
    let wanted = SecretWanted { name: arguments.name, version: arguments.version };
    let reply = session.call(Command::SecretRead { secrets: vec![wanted] })?;
    let Reply::Secrets(mut answers) = reply else { return Err(unexpected(&reply)) };
    let (version, value) = match answers.pop().map(|answer| answer.outcome) {
        Some(SecretOutcome::Read { version, value }) => (version, value),
        Some(SecretOutcome::Refused(error)) => return Err(Failure::from(error)),
        None => return Err(Failure::fault("the service answered nothing")),
    };
    if let Some(path) = arguments.output {
        return files::write(&path, value.bytes().expose(), 0o600);
    }
    if printer.json() {
        return printer.value(&serde_json::json!({ "version": version, "value": value }));
    }
    let bytes = value.bytes().expose();
    printer.data(bytes)?;
    // A prompt is not to stand right behind it; a program gets the bytes alone.
    if io::stdout().is_terminal() && bytes.last() != Some(&b'\n') {
        printer.data(b"\n")?;
    }
    Ok(())
}

fn list(path: Option<String>, session: &Session, printer: Printer) -> Result<(), Failure> {
    let mut all: Vec<SecretReport> = Vec::new();
    loop {
        let after = all.last().map(|last| last.name.clone());
        let command = Command::SecretList { path: path.clone(), after, limit: PAGE };
        match session.call(command)? {
            Reply::SecretList(page) => {
                let full = page.len() == PAGE;
                all.extend(page);
                if !full {
                    break;
                }
            }
            other => return Err(unexpected(&other)),
        }
    }
    printer.either(&all, |all| table(all))
}

fn table(all: &[SecretReport]) -> String {
    if all.is_empty() {
        return "There is no secret that you may list.".to_owned();
    }
    let mut table = Table::new(&["NAME", "VERSION", "STATE", "WRITTEN", "EXPIRES"]);
    for one in all {
        table.row([
            one.name.clone(),
            one.version.to_string(),
            state(one.state).to_owned(),
            one.created.to_rfc3339(),
            moment(one.expires),
        ]);
    }
    table.render()
}

fn history(name: String, session: &Session, printer: Printer) -> Result<(), Failure> {
    match session.call(Command::SecretHistory { name })? {
        Reply::SecretHistory(versions) => printer.either(&versions, |versions| {
            let mut table = Table::new(&["VERSION", "STATE", "WRITTEN", "BY", "BYTES", "EXPIRES"]);
            for VersionReport { version, state: at, created, by, bytes, expires } in versions {
                table.row([
                    version.to_string(),
                    state(*at).to_owned(),
                    created.to_rfc3339(),
                    by.clone(),
                    bytes.to_string(),
                    moment(*expires),
                ]);
            }
            table.render()
        }),
        other => Err(unexpected(&other)),
    }
}

const fn state(state: SecretState) -> &'static str {
    match state {
        SecretState::Live => "live",
        SecretState::Deleted => "deleted",
        SecretState::Expired => "expired",
        SecretState::Purged => "purged",
        SecretState::Changed => "changed in the store",
    }
}

fn moment(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "-".to_owned(), Timestamp::to_rfc3339)
}

fn purge(arguments: SecretPurgeArgs, session: &Session, printer: Printer) -> Result<(), Failure> {
    let SecretPurgeArgs { name, version, yes } = arguments;
    let what = version.map_or_else(
        || format!("{name} with all its versions"),
        |version| format!("version {version} of {name}"),
    );
    if !yes {
        if !io::stdin().is_terminal() {
            return Err(Failure::usage(format!("{what} would be destroyed for good"))
                .hint("say --yes; `sealock secret delete` can be taken back"));
        }
        printer.note(format!("Destroy {what} for good? Type yes:"));
        let mut answer = String::new();
        let read = io::stdin().read_line(&mut answer);
        if read.is_err() || answer.trim() != "yes" {
            return Err(Failure::refused("nothing was destroyed"));
        }
    }
    done(session.call(Command::SecretPurge { name, version })?)?;
    printer.note(format!("Destroyed: {what}."));
    Ok(())
}

fn export(
    arguments: &SecretExportArgs,
    session: &Session,
    printer: Printer,
) -> Result<(), Failure> {
    let recipients = recipient_texts(&arguments.to, &arguments.to_file, printer)?;
    if arguments.output.is_none() && io::stdout().is_terminal() {
        return Err(
            Failure::usage("the backup is binary and would go to the terminal").hint("add -o FILE")
        );
    }
    match session.call(Command::VaultExport { recipients, path: arguments.path.clone() })? {
        Reply::VaultExported(backup) => {
            let VaultBackup { secrets, values, sealed } = *backup;
            match &arguments.output {
                Some(path) => files::write(path, sealed.bytes().expose(), 0o600)?,
                None => printer.data(sealed.bytes().expose())?,
            }
            printer.note(format!("{secrets} secrets with {values} values were exported."));
            Ok(())
        }
        other => Err(unexpected(&other)),
    }
}

fn import(
    arguments: &SecretImportArgs,
    session: &Session,
    printer: Printer,
) -> Result<(), Failure> {
    let identities = identities(&arguments.identity, printer)?;
    let backup = opened(&identities, &arguments.backup)?;
    let on_existing = match arguments.on_existing {
        OnExistingArg::Fail => OnExisting::Fail,
        OnExistingArg::Skip => OnExisting::Skip,
        OnExistingArg::Replace => OnExisting::Replace,
    };
    let command = Command::VaultImport { backup: SecretBlob::from(backup), on_existing };
    match session.call(command)? {
        Reply::VaultImported(taken) if printer.json() => printer.value(&taken),
        Reply::VaultImported(taken) => {
            printer.note(format!(
                "{} secrets with {} values were taken in, {} stayed as they were.",
                taken.secrets, taken.values, taken.skipped
            ));
            Ok(())
        }
        other => Err(unexpected(&other)),
    }
}
