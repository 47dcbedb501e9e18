//! `sealock token …`

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use sealock_control::client::site::Site;
use sealock_control::command::{
    Command, Reply, SecretText, TokenClaims, TokenForm, TokenKeys, TokenState, TokenWanted,
    TokensBefore, TokensRevoked,
};
use sealock_control::forward::{IdentityFolder, Link};
use sealock_core::{SecretBytes, Timestamp};
use zeroize::Zeroizing;

use super::files;
use super::session::{Session, unexpected};
use crate::args::{RevokedArgs, TokenArgs, TokenCommand, TokenRevokeArgs};
use crate::printer::{Failure, Printer, Table};

/// More is no token.
const LONGEST: u64 = 16 * 1024;

/// Runs `token` or one of its commands.
pub(crate) fn run(
    arguments: TokenArgs,
    session: &Session,
    printer: Printer,
) -> Result<(), Failure> {
    match arguments.command {
        None => issue(arguments, session, printer),
        Some(TokenCommand::Show { file }) => {
            let command = Command::TokenIntrospect { token: token(file.as_deref())? };
            match session.call(command)? {
                Reply::TokenState(state) => printer.either(&*state, shown),
                other => Err(unexpected(&other)),
            }
        }
        Some(TokenCommand::Revoke(which)) => {
            match session.call(Command::TokenRevoke(revoked(which)?))? {
                Reply::Done => {
                    printer.note("Revoked.");
                    Ok(())
                }
                other => Err(unexpected(&other)),
            }
        }
        Some(TokenCommand::Keys { jwks }) => match session.call(Command::TokenKeys)? {
            Reply::TokenKeys(keys) if jwks => printer.line(&keys.jwks),
            Reply::TokenKeys(keys) => printer.either(&*keys, table),
            other => Err(unexpected(&other)),
        },
        Some(TokenCommand::RotateKey) => match session.call(Command::TokenRotateKey)? {
            Reply::TokenKeys(keys) => printer.either(&*keys, table),
            other => Err(unexpected(&other)),
        },
    }
}

fn issue(arguments: TokenArgs, session: &Session, printer: Printer) -> Result<(), Failure> {
    let audience = arguments.audience.ok_or_else(|| {
        Failure::usage("for whom is the token to be?").hint("sealock token --audience SERVICE")
    })?;
    let wanted = TokenWanted {
        audience,
        ttl: arguments.ttl.map(|ttl| ttl.as_secs()),
        certificate: arguments.bind.as_deref().map(fingerprint).transpose()?,
        form: if arguments.jwt_svid { TokenForm::JwtSvid } else { TokenForm::AccessToken },
        ..TokenWanted::default()
    };
    let command = Command::TokenIssue(wanted);
    let reply = match arguments.identity {
        None => session.call(command)?,
        Some(folder) => {
            let address = Site(folder.clone()).address().ok_or_else(|| {
                Failure::usage(format!("{} is not the folder of a login", folder.display()))
                    .hint("sealock login --server https://HOST:8443")
            })?;
            let link = Link::Https(address, IdentityFolder(folder));
            session.wait(link.call(&command))?
        }
    };
    let made = match reply {
        Reply::Token(made) => made,
        other => return Err(unexpected(&other)),
    };
    let bytes = made.token.bytes().expose();
    match arguments.output {
        Some(path) => files::write(&path, bytes, 0o600),
        None if printer.json() => printer.value(&*made),
        None => {
            printer.data(bytes)?;
            if std::io::stdout().is_terminal() { printer.data(b"\n") } else { Ok(()) }
        }
    }
}

/// Hex SHA-256 of a certificate's DER; of the first of several.
fn fingerprint(path: &Path) -> Result<String, Failure> {
    let pem = files::read_pem_or_der(path, "CERTIFICATE")?;
    let der = files::der_blocks(&pem, "CERTIFICATE")?.into_iter().next();
    let der = der
        .ok_or_else(|| Failure::usage(format!("there is no certificate in {}", path.display())))?;
    Ok(data_encoding::HEXLOWER.encode(digest(&SHA256, &der).as_ref()))
}

fn revoked(which: TokenRevokeArgs) -> Result<TokensRevoked, Failure> {
    let TokenRevokeArgs { which, before } = which;
    let RevokedArgs { file, id, identity, client, key, all: _ } = which;
    if let Some(time) = before {
        return Ok(TokensRevoked::Before(TokensBefore { time, identity }));
    }
    Ok(match (file, id, identity, client, key) {
        (Some(file), ..) => TokensRevoked::Token(token(Some(&file))?),
        (_, Some(id), ..) => TokensRevoked::Id(id),
        (_, _, Some(identity), ..) => TokensRevoked::Identity(identity),
        (_, _, _, Some(client), _) => TokensRevoked::Client(client),
        (_, _, _, _, Some(key)) => TokensRevoked::Key(key),
        _ => TokensRevoked::All,
    })
}

/// A token from a file or from stdin, never from the command line, which others can see.
fn token(file: Option<&Path>) -> Result<SecretText, Failure> {
    let failed = |error: std::io::Error| {
        let name = file.map_or_else(|| PathBuf::from("stdin"), Path::to_path_buf);
        Failure::refused(format!("cannot read {}", name.display())).caused_by(&error)
    };
    let mut bytes = Zeroizing::new(Vec::new());
    match file.filter(|file| *file != Path::new("-")) {
        Some(path) => std::fs::File::open(path)
            .and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes)),
        None => std::io::stdin().lock().take(LONGEST + 1).read_to_end(&mut bytes),
    }
    .map_err(failed)?;
    let text = bytes.trim_ascii();
    if text.is_empty() || text.len() as u64 > LONGEST {
        return Err(Failure::usage("that is no token").hint("give it on stdin, or name a file"));
    }
    SecretText::new(SecretBytes::new(text.to_vec()))
        .ok_or_else(|| Failure::usage("that is no token"))
}

fn shown(state: &TokenState) -> String {
    let Some(TokenClaims { iss, sub, aud, exp, iat, jti, client_id, certificate, .. }) =
        &state.claims
    else {
        return "It is not good: not ours, over, revoked, or not yours to ask about.".to_owned();
    };
    let time = |seconds: u64| {
        Timestamp::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX)).to_rfc3339()
    };
    let mut table = Table::new(&["CLAIM", "VALUE"]);
    let mut row = |name: &str, value: &str| table.row([name.to_owned(), value.to_owned()]);
    row("who", sub);
    row("for", aud);
    row("issuer", iss);
    row("issued", &time(*iat));
    row("good until", &time(*exp));
    row("id", jti);
    if let Some(client) = client_id {
        row("client", client);
    }
    if let Some(certificate) = certificate {
        row("only with certificate", certificate);
    }
    table.render()
}

fn table(keys: &TokenKeys) -> String {
    let mut table = Table::new(&["KEY", "ALGORITHM", "SIGNS FROM", ""]);
    for key in &keys.keys {
        let current = if key.current { "signs now" } else { "" };
        let cells = [&key.key, &key.algorithm, &key.signs_from.to_rfc3339(), current];
        table.row(cells.map(ToOwned::to_owned));
    }
    format!("Issuer {}\n{}", keys.issuer, table.render())
}
