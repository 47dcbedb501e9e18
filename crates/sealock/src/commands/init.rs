//! `sealock init`

use sealock_control::command::{self, Command, InitReport, Reply};

use super::session::{Session, unexpected};
use crate::args::{InitArgs, KeyHome, KeyProtection, KeyType};
use crate::printer::{Failure, Printer};

/// Makes the authority, or says that it is there.
pub(crate) fn run(arguments: InitArgs, session: &Session, printer: Printer) -> Result<(), Failure> {
    let wanted = command::Init {
        trust_domain: arguments.trust_domain,
        key_type: key_type(arguments.key_type),
        key_protection: match arguments.key_protection {
            KeyProtection::File => command::KeyProtection::File,
            KeyProtection::Passphrase => command::KeyProtection::Passphrase,
        },
        permit: arguments.permit,
        exclude: arguments.exclude,
        crl_url: arguments.crl_url,
        root_key: arguments.root_key.map(key_home),
        intermediate_key: arguments.intermediate_key.map(key_home),
    };
    match session.call(Command::Init(wanted))? {
        Reply::Init(report) => printer.either(&*report, text),
        other => Err(unexpected(&other)),
    }
}

/// The place in the service's words.
pub(crate) fn key_home(home: KeyHome) -> command::KeyHome {
    match home {
        KeyHome::Store => command::KeyHome::Store,
        KeyHome::Hsm => command::KeyHome::Hsm,
    }
}

/// The algorithm in the service's words.
pub(crate) fn key_type(key: KeyType) -> command::KeyType {
    match key {
        KeyType::P256 => command::KeyType::P256,
        KeyType::P384 => command::KeyType::P384,
        KeyType::Ed25519 => command::KeyType::Ed25519,
        KeyType::Rsa3072 => command::KeyType::Rsa3072,
    }
}

fn text(report: &InitReport) -> String {
    let made = if report.created { "made" } else { "already there; nothing was changed" };
    let key = |certificates: &[command::CaCertificate]| {
        certificates.first().is_some_and(|certificate| certificate.key.starts_with("hsm"))
    };
    let in_hsm = (key(&report.ca.roots), key(&report.ca.intermediates));
    let kept = match (in_hsm, report.ca.protection.as_str()) {
        ((true, true), _) => "in the HSM",
        ((true, false), _) => "the root's in the HSM, the intermediate's in the state folder",
        ((false, true), _) => "the intermediate's in the HSM, the root's in the state folder",
        (_, "file") => {
            "encrypted under a key file: whoever copies the whole state folder has the authority"
        }
        _ => "encrypted under your passphrase",
    };
    format!(
        "Certificate authority of {}: {made}\n  state      {}\n  keys       {kept}\n  \
         admin      {} in {}\nNext: sealock up",
        report.ca.trust_domain,
        report.state.display(),
        report.admin_identity,
        report.admin.display(),
    )
}
