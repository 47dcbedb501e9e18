//! `sealock ca …`

use std::fmt::Write as _;
use std::path::Path;

use sealock_control::command::{
    self, CaCertificate, CaReport, Command, IssuerChange, Reply, SecretText,
};

use super::cert::revocation_reason;
use super::init::key_home;
use super::session::{Session, unexpected};
use super::{files, issuers, passphrase, protect};
use crate::args::{CaCommand, RotateWhat};
use crate::printer::{Failure, Printer};

/// Runs one of the `ca` commands.
pub(crate) fn run(command: CaCommand, session: &Session, printer: Printer) -> Result<(), Failure> {
    match command {
        CaCommand::Show { pem } => match session.call(Command::CaShow)? {
            Reply::Ca(report) => printer.either(&*report, |report| text(report, pem)),
            other => Err(unexpected(&other)),
        },
        CaCommand::Bundle { out, own: true } => match session.call(Command::CaShow)? {
            Reply::Ca(report) => {
                let own: String = report.roots.iter().map(|root| root.pem.as_str()).collect();
                hand_out(&own, out.as_deref(), printer)
            }
            other => Err(unexpected(&other)),
        },
        CaCommand::Bundle { out, own: false } => match session.call(Command::CaBundle)? {
            Reply::Bundle(pem) => hand_out(&pem, out.as_deref(), printer),
            other => Err(unexpected(&other)),
        },
        CaCommand::Crl { out } => match session.call(Command::CaCrl)? {
            Reply::Crl(report) => crl(&report.pem, out.as_deref(), printer),
            other => Err(unexpected(&other)),
        },
        CaCommand::Rotate { what, root_key, root_key_passphrase_file } => {
            let key = (root_key.as_deref(), root_key_passphrase_file.as_deref());
            rotate(what, key, session, printer)
        }
        CaCommand::Revoke { ca, reason, root_key, root_key_passphrase_file } => {
            let root_key = root_key.as_deref().map(files::read_secret_text).transpose()?;
            let passphrase =
                root_key_passphrase_file.as_deref().map(passphrase_text).transpose()?;
            let reason = revocation_reason(reason);
            let command = Command::CaRevoke { ca: ca.clone(), reason, root_key, passphrase };
            match session.call(command)? {
                Reply::Ca(report) => {
                    printer.either(&*report, |report| text(report, false))?;
                    printer.note(format!(
                        "{ca} is revoked; the root's list (sealock ca crl) says so."
                    ));
                    Ok(())
                }
                other => Err(unexpected(&other)),
            }
        }
        CaCommand::ExportRootKey { out, encrypt_with, remove } => {
            export(&out, encrypt_with.as_deref(), remove, session, printer)
        }
        CaCommand::List => issuers::list(session, printer),
        CaCommand::Request(arguments) => issuers::request(&arguments, session, printer),
        CaCommand::Import { name, files } => issuers::import(name, &files, session, printer),
        CaCommand::Disable { name } => {
            issuers::change(name, IssuerChange::Disable, session, printer)
        }
        CaCommand::Enable { name } => issuers::change(name, IssuerChange::Enable, session, printer),
        CaCommand::MigrateKey { what, issuer, to, extractable } => {
            let (what, to, of) = (what.map(rotated), key_home(to), issuer.clone());
            match session.call(Command::CaMigrateKey { what, issuer, to, extractable })? {
                Reply::Ca(report) => printer.either(&*report, |report| match &of {
                    Some(issuer) => issuers::moved(issuer, to),
                    None => text(report, false),
                }),
                other => Err(unexpected(&other)),
            }
        }
        CaCommand::Protect { key_protection, new_passphrase_file } => {
            protect::run(key_protection, new_passphrase_file.as_deref(), session, printer)
        }
        CaCommand::RetryPin => match session.call(Command::CaRetryPin)? {
            Reply::Done => printer.either(&(), |()| "The HSM takes the PIN.\n".to_owned()),
            other => Err(unexpected(&other)),
        },
    }
}

fn rotate(
    what: RotateWhat,
    (root_key, passphrase): (Option<&Path>, Option<&Path>),
    session: &Session,
    printer: Printer,
) -> Result<(), Failure> {
    let root_key = root_key.map(files::read_secret_text).transpose()?;
    let passphrase = passphrase.map(passphrase_text).transpose()?;
    match session.call(Command::CaRotate { what: rotated(what), root_key, passphrase })? {
        Reply::Ca(report) => printer.either(&*report, |report| text(report, false)),
        other => Err(unexpected(&other)),
    }
}

fn rotated(what: RotateWhat) -> command::RotateWhat {
    match what {
        RotateWhat::Intermediate => command::RotateWhat::Intermediate,
        RotateWhat::Root => command::RotateWhat::Root,
    }
}

/// The key is removed here only once the file has been read back and holds the very key.
fn export(
    out: &Path,
    encrypt_with: Option<&Path>,
    remove: bool,
    session: &Session,
    printer: Printer,
) -> Result<(), Failure> {
    let passphrase = encrypt_with.map(passphrase_text).transpose()?;
    match session.call(Command::CaExportRootKey { passphrase: passphrase.clone() })? {
        Reply::RootKey(key) => files::write_new(out, key.bytes().expose(), 0o400)?,
        other => return Err(unexpected(&other)),
    }
    let how = if passphrase.is_some() { "encrypted" } else { "not encrypted" };
    printer.note(format!("The root's private key is in {}, {how}.", out.display()));
    if remove {
        let exported = files::read_secret_text(out)?;
        session.call(Command::CaRemoveRootKey { exported, passphrase })?;
        printer.note("It is no longer on this host; only a new intermediate or root needs it.");
    }
    Ok(())
}

fn passphrase_text(path: &Path) -> Result<SecretText, Failure> {
    SecretText::new(passphrase::from_file(path)?)
        .ok_or_else(|| Failure::usage(format!("{} is not text", path.display())))
}

fn hand_out(pem: &str, out: Option<&Path>, printer: Printer) -> Result<(), Failure> {
    match out {
        Some(path) => files::write(path, pem.as_bytes(), 0o444),
        None => printer.data(pem.as_bytes()),
    }
}

fn crl(pem: &str, out: Option<&Path>, printer: Printer) -> Result<(), Failure> {
    let der =
        |path: &Path| path.extension().is_some_and(|ending| ending == "crl" || ending == "der");
    match out {
        Some(path) if der(path) => {
            let lists = files::der_blocks(pem, "X509 CRL")?;
            match lists.as_slice() {
                [one] => files::write(path, one, 0o444),
                _ => Err(Failure::usage(format!(
                    "there are {} lists, one for each issuer",
                    lists.len()
                ))
                .hint("DER holds one; write them as PEM, into a file that ends in .pem")),
            }
        }
        out => hand_out(pem, out, printer),
    }
}

/// The authority as text.
pub(crate) fn text(report: &CaReport, pem: bool) -> String {
    let mut text = format!("Trust domain   {}\n", report.trust_domain);
    let _ = writeln!(
        text,
        "Keys           {}; in the state folder by {}",
        report.key_type, report.protection
    );
    let root = report.roots.first().map(|root| root.key.as_str()).unwrap_or_default();
    let root_key = match (report.root_key_present, root.starts_with("hsm")) {
        (_, true) => "in the HSM",
        (true, false) => "on this host",
        (false, false) => "elsewhere",
    };
    let _ = writeln!(text, "Root key       {root_key}");
    if let Some(url) = &report.crl_url {
        let _ = writeln!(text, "CRL            {url}");
    }
    for constraint in &report.constraints {
        let _ = writeln!(text, "Constraint     {constraint}");
    }
    for (kind, certificates) in [("Root", &report.roots), ("Intermediate", &report.intermediates)] {
        for certificate in certificates {
            describe(&mut text, kind, certificate, pem);
        }
    }
    text
}

fn describe(text: &mut String, kind: &str, certificate: &CaCertificate, pem: bool) {
    let _ = writeln!(
        text,
        "{kind:<14} {}\n  id           {}\n  serial       {}\n  valid        {} to {}\n  SHA-256      {}",
        certificate.subject,
        certificate.id,
        certificate.serial,
        certificate.not_before,
        certificate.not_after,
        certificate.fingerprint,
    );
    if let (Some(at), Some(reason)) = (certificate.revoked_at, &certificate.reason) {
        let _ = writeln!(text, "  revoked      {at}: {reason}");
    }
    if !certificate.key.is_empty() {
        let _ = writeln!(text, "  key          {}", certificate.key);
    }
    if pem {
        text.push_str(&certificate.pem);
    }
}
