//! `sealock ca protect`

use std::path::Path;

use sealock_control::PassphraseFor;
use sealock_control::command::{self, Command, Reply, SecretText};
use sealock_core::SecretBytes;

use super::session::{Session, unexpected};
use super::{ca, passphrase};
use crate::args::KeyProtection;
use crate::printer::{Failure, Printer};

/// Asks for the passphrases that are needed, and has the service change the protection.
pub(super) fn run(
    wanted: KeyProtection,
    new_file: Option<&Path>,
    session: &Session,
    printer: Printer,
) -> Result<(), Failure> {
    if wanted == KeyProtection::File && new_file.is_some() {
        return Err(Failure::usage("--new-passphrase-file goes with --key-protection passphrase"));
    }
    let sealed = match session.call(Command::Status)? {
        Reply::Status(status) => {
            status.locked || status.ca.is_some_and(|ca| ca.protection == "passphrase")
        }
        other => return Err(unexpected(&other)),
    };
    let old = match sealed {
        true => Some(text(session.passphrase(PassphraseFor::Existing)?)?),
        false => None,
    };
    let new = match (wanted, new_file) {
        (KeyProtection::File, _) => None,
        // As at `init`, where there was none before.
        (KeyProtection::Passphrase, None) if !sealed => {
            Some(text(session.passphrase(PassphraseFor::New)?)?)
        }
        (KeyProtection::Passphrase, file) => Some(text(passphrase::new(file, None)?)?),
    };
    let key_protection = match wanted {
        KeyProtection::File => command::KeyProtection::File,
        KeyProtection::Passphrase => command::KeyProtection::Passphrase,
    };
    let command = Command::CaProtect { key_protection, passphrase: old, new_passphrase: new };
    match session.call(command)? {
        Reply::Ca(report) => {
            printer.either(&*report, |report| ca::text(report, false))?;
            printer.note(match wanted {
                KeyProtection::File => {
                    "From the next start on no passphrase is asked for. Copies from before open as they did."
                }
                KeyProtection::Passphrase => {
                    "From the next start on the new passphrase is asked for. Copies from before open as they did."
                }
            });
            Ok(())
        }
        other => Err(unexpected(&other)),
    }
}

fn text(passphrase: SecretBytes) -> Result<SecretText, Failure> {
    SecretText::new(passphrase).ok_or_else(|| Failure::usage("the passphrase is not UTF-8 text"))
}
