//! `sealock acme …`

use std::io::Write as _;
use std::path::Path;

use sealock_control::command::{
    AcmeAccountList, AcmeAttested, AcmeBind, AcmeBindingKey, AcmeBindingReport, Command, Reply,
};
use sealock_core::Timestamp;

use super::files::{PendingFile, is_device};
use super::session::{Session, unexpected};
use crate::args::{AcmeAccountCommand, AcmeCommand, EabAddArgs, EabCommand, EabSelfArgs};
use crate::printer::{Failure, Printer, Table};

/// Runs one of the `acme` commands.
pub(crate) fn run(
    command: AcmeCommand,
    session: &Session,
    printer: Printer,
) -> Result<(), Failure> {
    match command {
        AcmeCommand::Eab(EabCommand::Add(arguments)) => add(arguments, session, printer),
        AcmeCommand::Eab(EabCommand::Own(EabSelfArgs { out })) => {
            own(out.as_deref(), session, printer)
        }
        AcmeCommand::Eab(EabCommand::List) => match session.call(Command::AcmeBindings)? {
            Reply::AcmeBindings(all) => printer.either(&all, |all| table(all)),
            other => Err(unexpected(&other)),
        },
        AcmeCommand::Eab(EabCommand::Remove { name }) => {
            done(session.call(Command::AcmeUnbind { name: name.clone() })?)?;
            printer.note(format!("{name} vouches for no account any more."));
            Ok(())
        }
        AcmeCommand::Account(AcmeAccountCommand::List) => {
            match session.call(Command::AcmeAccounts)? {
                Reply::AcmeAccounts(found) => printer.either(&*found, accounts),
                other => Err(unexpected(&other)),
            }
        }
        AcmeCommand::Account(AcmeAccountCommand::Revoke { account }) => {
            done(session.call(Command::AcmeAccountRevoke { account })?)?;
            printer.note("The account has ended. `sealock cert revoke` ends its certificates.");
            Ok(())
        }
    }
}

fn done(reply: Reply) -> Result<(), Failure> {
    match reply {
        Reply::Done => Ok(()),
        other => Err(unexpected(&other)),
    }
}

fn add(arguments: EabAddArgs, session: &Session, printer: Printer) -> Result<(), Failure> {
    let EabAddArgs { name, identity, life, reusable, key_out } = arguments;
    if key_out.is_dir() {
        return Err(Failure::usage(format!("{} is a folder", key_out.display()))
            .hint("name the file that the key is to be in"));
    }
    let stdout = key_out == Path::new("-");
    // What is there may be another key, which exists nowhere else.
    if !stdout && key_out.exists() && !is_device(&key_out) {
        return Err(Failure::refused(format!("{} is there already", key_out.display()))
            .hint("remove it first, or name another file"));
    }
    // The file is there before the key is made, so that one is not made in vain.
    let file = if stdout { None } else { Some(PendingFile::create(&key_out, 0o600)?) };
    let bind = AcmeBind {
        name,
        identity: identity.map(|(kind, member)| format!("{}/{member}", kind.segment())),
        life: life.map(|life| life.as_secs()),
        reusable,
    };
    let made = match session.call(Command::AcmeBind(bind))? {
        Reply::AcmeBindingKey(made) => *made,
        other => return Err(unexpected(&other)),
    };
    let AcmeBindingKey { binding, key } = &made;
    match file {
        Some(mut file) => {
            let kept = file.write_all(key.bytes().expose()).map_err(|error| {
                Failure::refused(format!("cannot write {}", key_out.display())).caused_by(&error)
            });
            kept.and_then(|()| file.keep()).map_err(|failure| {
                let name = &binding.name;
                failure.hint(format!(
                    "the key was made and is lost: `sealock acme eab remove {name}`, and add it again"
                ))
            })?;
            if printer.json() {
                printer.value(binding)?;
            }
        }
        None if printer.json() => printer.value(&made)?,
        None => {
            printer.data(key.bytes().expose())?;
            printer.data(b"\n")?;
        }
    }
    let how = if binding.reusable { "Accounts" } else { "One account" };
    let until = binding.until.map(Timestamp::to_rfc3339).unwrap_or_default();
    printer.note(format!(
        "{how} can be made with it until {until}, and order{} as {}.",
        if binding.reusable { "" } else { "s" },
        binding.identity
    ));
    Ok(())
}

/// What a container's client needs, as files or as lines that a shell reads.
fn own(out: Option<&Path>, session: &Session, printer: Printer) -> Result<(), Failure> {
    // The folder is there before the key is made.
    if let Some(folder) = out {
        std::fs::create_dir_all(folder).map_err(|error| unwritable(folder, &error))?;
    }
    let made = match session.call(Command::AcmeAttest)? {
        Reply::AcmeAttested(made) => *made,
        other => return Err(unexpected(&other)),
    };
    let AcmeAttested { binding, key, names, directory, roots } = &made;
    match out {
        Some(folder) => {
            let files: [(&str, &[u8]); 4] = [
                ("hmac", key.bytes().expose()),
                ("kid", binding.name.as_bytes()),
                ("directory", directory.as_bytes()),
                ("ca.crt", roots.as_bytes()),
            ];
            for (name, content) in files {
                let path = folder.join(name);
                let mut file = PendingFile::create(&path, 0o600)?;
                file.write_all(content).map_err(|error| unwritable(&path, &error))?;
                file.keep()?;
            }
            if printer.json() {
                printer.value(binding)?;
            }
        }
        None if printer.json() => printer.value(&made)?,
        None => {
            let head = format!("ACME_DIRECTORY={directory}\nACME_EAB_KID={}\n", binding.name);
            printer.data(head.as_bytes())?;
            printer.data(b"ACME_EAB_HMAC=")?;
            printer.data(key.bytes().expose())?;
            printer.data(b"\n")?;
        }
    }
    let until = binding.until.map(Timestamp::to_rfc3339).unwrap_or_default();
    printer.note(format!(
        "One account can be made with it until {until}; it orders as {}, and {} without a challenge.",
        binding.identity,
        names.join(", ")
    ));
    Ok(())
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::refused(format!("cannot write {}", path.display())).caused_by(error)
}

fn table(all: &[AcmeBindingReport]) -> String {
    let mut table = Table::new(&["NAME", "IDENTITY", "UNTIL", "REUSABLE", "ACCOUNT"]);
    for binding in all {
        let until = binding.until.map(Timestamp::to_rfc3339).unwrap_or_default();
        let reusable = if binding.reusable { "yes" } else { "" }.to_owned();
        let account = binding.account.clone().unwrap_or_default();
        table.row([binding.name.clone(), binding.identity.clone(), until, reusable, account]);
    }
    if table.is_empty() {
        "There are no external account bindings.".to_owned()
    } else {
        table.render()
    }
}

fn accounts(found: &AcmeAccountList) -> String {
    let mut table = Table::new(&["ACCOUNT", "STATUS", "IDENTITY", "MADE", "CONTACT"]);
    for account in &found.accounts {
        table.row([
            account.id.clone(),
            account.status.clone(),
            account.identity.clone().unwrap_or_else(|| "-".to_owned()),
            account.made.to_rfc3339(),
            account.contact.join(" "),
        ]);
    }
    if table.is_empty() {
        return "There are no ACME accounts.".to_owned();
    }
    let mut text = table.render();
    if found.more {
        text.push_str("There are more; the audit log has each (`acme-account`).\n");
    }
    text
}
