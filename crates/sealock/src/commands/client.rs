//! `sealock client …`

use std::io::Write as _;
use std::path::Path;

use sealock_control::command::{ClientKeys, ClientReport, ClientSecret, Command, Reply};
use sealock_core::IdentityKind;

use super::files::PendingFile;
use super::session::{Session, unexpected};
use crate::args::{ClientAddArgs, ClientCommand, ClientKeysArgs, ClientRotateArgs};
use crate::printer::{Failure, Printer, Table};

/// Runs one of the `client` commands.
pub(crate) fn run(
    command: ClientCommand,
    session: &Session,
    printer: Printer,
) -> Result<(), Failure> {
    match command {
        ClientCommand::Add(arguments) => add(arguments, session, printer),
        ClientCommand::Rotate(ClientRotateArgs { name, overlap, secret_out, keys }) => {
            if let Some(keys) = public_keys(&keys)? {
                let keys = ClientKeys { name: name.clone(), keys, ..ClientKeys::default() };
                let client = with_keys(session, keys)?;
                printer.note(format!("{name} signs with {}.", listed(&client.keys)));
            }
            let Some(secret_out) = secret_out else { return Ok(()) };
            let overlap = overlap.map(|overlap| overlap.as_secs());
            let made =
                written(&secret_out, session, printer, Command::ClientRotate { name, overlap })?;
            let until = made
                .client
                .old_until
                .map(|until| format!(" The old one is good until {}.", until.to_rfc3339()));
            printer.note(format!(
                "{} has a new secret.{}",
                made.client.client,
                until.unwrap_or_default()
            ));
            Ok(())
        }
        ClientCommand::Remove { name } => {
            match session.call(Command::ClientRemove { name: name.clone() })? {
                Reply::Done => {
                    printer.note(format!("{name} is no longer a client; its tokens are revoked."));
                    Ok(())
                }
                other => Err(unexpected(&other)),
            }
        }
        ClientCommand::List => match session.call(Command::ClientList)? {
            Reply::Clients(clients) => printer.either(&clients, |clients| table(clients)),
            other => Err(unexpected(&other)),
        },
    }
}

fn add(arguments: ClientAddArgs, session: &Session, printer: Printer) -> Result<(), Failure> {
    let ClientAddArgs { name, identity, group: groups, secret_out, keys } = arguments;
    let (kind, member) = identity.unwrap_or_else(|| (IdentityKind::Service, name.clone()));
    let identity = Some(format!("{}/{member}", kind.segment()));
    let keys = public_keys(&keys)?;
    let mut client = None;
    if let Some(path) = &secret_out {
        let command = Command::ClientAdd { name: name.clone(), identity: identity.clone() };
        client = Some(written(path, session, printer, command)?.client);
    }
    if let Some(keys) = keys {
        let keys = ClientKeys { name, keys, add: secret_out.is_none(), identity };
        let made = with_keys(session, keys)?;
        if printer.json() && secret_out.is_none() {
            printer.value(&made)?;
        }
        printer.note(format!("It signs with {}.", listed(&made.keys)));
        client = Some(made);
    }
    for group in groups {
        let command = Command::GroupAdd { kind, name: member.clone(), group: group.clone() };
        match session.call(command)? {
            Reply::Done => {
                printer.note(format!("{}/{member} is in the group {group}.", kind.segment()))
            }
            other => return Err(unexpected(&other)),
        }
    }
    if let Some(client) = client {
        printer.note(format!("{} asks for tokens of {}.", client.client, client.identity));
    }
    Ok(())
}

/// The public keys that are named, as they stand in their file.
fn public_keys(arguments: &ClientKeysArgs) -> Result<Option<String>, Failure> {
    let Some(path) = arguments.jwks.as_ref().or(arguments.public_key.as_ref()) else {
        return Ok(None);
    };
    let bytes = super::files::read_limited(path)?;
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| Failure::usage(format!("{} is not text", path.display())))?;
    // Looked at here too, so that nobody sends a private key anywhere.
    if text.contains("PRIVATE KEY-----") {
        return Err(Failure::usage(format!("{} holds a private key", path.display()))
            .hint("the broker gets the public half only: openssl pkey -in KEY -pubout"));
    }
    Ok(Some(text.to_owned()))
}

fn with_keys(session: &Session, keys: ClientKeys) -> Result<ClientReport, Failure> {
    match session.call(Command::ClientKeys(keys))? {
        Reply::Client(client) => Ok(*client),
        other => Err(unexpected(&other)),
    }
}

fn listed(keys: &[String]) -> String {
    match keys {
        [] => "no key".to_owned(),
        [key] => format!("the key {key}"),
        keys => format!("the keys {}", keys.join(", ")),
    }
}

/// The answer's secret goes where it is to be. The file is there before the secret is made, so that one is not made
/// in vain.
fn written(
    path: &Path,
    session: &Session,
    printer: Printer,
    command: Command,
) -> Result<ClientSecret, Failure> {
    let stdout = path == Path::new("-");
    if path.is_dir() {
        return Err(Failure::usage(format!("{} is a folder", path.display()))
            .hint("name the file that the secret is to be in"));
    }
    let file = if stdout { None } else { Some(PendingFile::create(path, 0o600)?) };
    let made = match session.call(command)? {
        Reply::ClientSecret(made) => *made,
        other => return Err(unexpected(&other)),
    };
    let bytes = made.secret.bytes().expose();
    match file {
        Some(mut file) => {
            let kept = file
                .write_all(bytes)
                .map_err(|error| {
                    Failure::refused(format!("cannot write {}", path.display())).caused_by(&error)
                })
                .and_then(|()| file.keep());
            kept.map_err(|failure| {
                let name = &made.client.client;
                failure.hint(format!(
                    "the secret was made and is lost: `sealock client rotate {name} --secret-out FILE`"
                ))
            })?;
            if printer.json() {
                printer.value(&made.client)?;
            }
        }
        None if printer.json() => printer.value(&made)?,
        None => {
            printer.data(bytes)?;
            printer.data(b"\n")?;
        }
    }
    Ok(made)
}

fn table(clients: &[ClientReport]) -> String {
    let mut table = Table::new(&["CLIENT", "IDENTITY", "SECRET OF", "OLD ONE UNTIL", "KEYS"]);
    for client in clients {
        let until = client.old_until.map(sealock_core::Timestamp::to_rfc3339).unwrap_or_default();
        let secret = if client.secret { client.rotated.to_rfc3339() } else { String::new() };
        let keys = client.keys.len();
        let keys = if keys == 0 { String::new() } else { keys.to_string() };
        let cells = [&client.client, &client.identity, &secret, &until, &keys];
        table.row(cells.map(Clone::clone));
    }
    if table.is_empty() { "There are no clients.".to_owned() } else { table.render() }
}
