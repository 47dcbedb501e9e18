//! `sealock seal` and `sealock open`. Neither needs the service, a state folder or an async runtime.

use std::error::Error;
use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sealock_core::SecretBytes;
use sealock_delivery::envelope::{
    AskPassphrase, Encoding, Identities, Ignored, KeyError, Recipients, Replacement, open, seal,
};
use zeroize::Zeroizing;

use super::{files, passphrase};
use crate::args::{OpenArgs, SealArgs};
use crate::printer::{Failure, Printer};

/// Encrypts to recipients.
pub(crate) fn run_seal(arguments: &SealArgs, printer: Printer) -> Result<(), Failure> {
    let recipients = recipients(arguments, printer)?;
    let encoding = if arguments.armor { Encoding::Armor } else { Encoding::Binary };
    let to_terminal = arguments.output.is_none() && io::stdout().is_terminal();
    if to_terminal && encoding == Encoding::Binary {
        return Err(Failure::usage("the output is binary and would go to the terminal")
            .hint("add -o FILE, or -a for text"));
    }
    let input = Input::open(arguments.input.as_deref())?;
    deliver(arguments.output.as_deref(), |output| {
        seal(&recipients, input, output, encoding).map_err(|error| with_hint(&error, error.hint()))
    })
}

/// Decrypts with identities.
pub(crate) fn run_open(arguments: &OpenArgs, printer: Printer) -> Result<(), Failure> {
    let identities = identities(&arguments.identity, printer)?;
    let input = Input::open(arguments.input.as_deref())?;
    deliver(arguments.output.as_deref(), |output| {
        open(&identities, input, output).map_err(|error| with_hint(&error, error.hint()))
    })
}

/// Private keys from files.
pub(super) fn identities(paths: &[PathBuf], printer: Printer) -> Result<Identities, Failure> {
    let ask: AskPassphrase =
        Arc::new(|name: &str| passphrase::prompt(&format!("Passphrase of {name}: ")).ok());
    let mut identities = Identities::default();
    for path in paths {
        let bytes = files::read_limited(path)?;
        let name = path.display().to_string();
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| Failure::usage(format!("{name} is not an identity file: not text")))?;
        identities.extend(Identities::parse(text, &name, &ask).map_err(|error| key(&error))?);
    }
    if identities.uses_ssh_rsa() && printer.explains() {
        printer
            .note("note: RSA keys decrypt in a time that depends on the key (RUSTSEC-2023-0071)");
    }
    Ok(identities)
}

/// The whole of an age file, opened.
pub(super) fn opened(identities: &Identities, path: &Path) -> Result<SecretBytes, Failure> {
    let input = Input::open(Some(path))?;
    let mut plain = Zeroizing::new(Vec::new());
    open(identities, input, &mut *plain).map_err(|error| with_hint(&error, error.hint()))?;
    Ok(SecretBytes::from(plain))
}

/// Recipients as texts, from arguments and files; each is one that can be sealed to.
pub(super) fn recipient_texts(
    texts: &[String],
    paths: &[PathBuf],
    printer: Printer,
) -> Result<Vec<String>, Failure> {
    let mut all = texts.to_vec();
    for path in paths {
        let name = path.display().to_string();
        let text = recipients_file(path)?;
        let (_, ignored) = Recipients::parse_file(&text, &name).map_err(|error| key(&error))?;
        let lines = text.lines().enumerate().filter(|(number, line)| {
            let line = line.trim();
            let passed_over = ignored.iter().any(|one| one.line == number + 1);
            !line.is_empty() && !line.starts_with('#') && !passed_over
        });
        all.extend(lines.map(|(_, line)| line.trim().to_owned()));
        note_ignored(&ignored, &name, printer);
    }
    for text in &all {
        Recipients::parse(text).map_err(|error| key(&error))?;
    }
    if all.is_empty() {
        return Err(Failure::usage("nobody could open it: no recipient was named")
            .hint("name one with --to age1…, or a file of public keys with --to-file"));
    }
    Ok(all)
}

fn recipients_file(path: &Path) -> Result<String, Failure> {
    let bytes = files::read_limited(path)?;
    std::str::from_utf8(&bytes).map(str::to_owned).map_err(|_| {
        Failure::usage(format!("{} is not a recipients file: not text", path.display()))
    })
}

fn note_ignored(ignored: &[Ignored], name: &str, printer: Printer) {
    for one in ignored {
        printer.note(format!(
            "note: {name}, line {}: {} keys cannot open age files",
            one.line, one.kind
        ));
    }
}

fn recipients(arguments: &SealArgs, printer: Printer) -> Result<Recipients, Failure> {
    let mut recipients = Recipients::default();
    for text in &arguments.recipient {
        recipients.extend(Recipients::parse(text).map_err(|error| key(&error))?);
    }
    for path in &arguments.recipients_file {
        let name = path.display().to_string();
        let text = recipients_file(path)?;
        let (found, ignored) = Recipients::parse_file(&text, &name).map_err(|error| key(&error))?;
        note_ignored(&ignored, &name, printer);
        recipients.extend(found);
    }
    if recipients.is_empty() {
        return Err(Failure::usage("nobody could open it: no recipient was named")
            .hint("name one with -r age1…, or a file of public keys with -R"));
    }
    Ok(recipients)
}

fn key(error: &KeyError) -> Failure {
    with_hint(error, error.hint()).code(crate::printer::exit::USAGE)
}

fn with_hint(error: &(dyn Error + 'static), hint: Option<&str>) -> Failure {
    hint.into_iter().fold(Failure::from_error(error), Failure::hint)
}

/// Writes to a file that appears when it is complete, or to stdout as it comes.
fn deliver(
    path: Option<&Path>,
    work: impl FnOnce(&mut (dyn Write + Send)) -> Result<u64, Failure>,
) -> Result<(), Failure> {
    match path.filter(|path| *path != Path::new("-")) {
        Some(path) => {
            let mut file =
                Replacement::create(path).map_err(|error| Failure::from_error(&error))?;
            work(&mut file)?;
            file.commit().map_err(|error| Failure::from_error(&error))
        }
        None => work(&mut io::stdout()).map(drop),
    }
}

/// A file, or stdin.
enum Input {
    File(File),
    Stdin(io::Stdin),
}

impl Input {
    fn open(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path.filter(|path| *path != Path::new("-")) else {
            return Ok(Self::Stdin(io::stdin()));
        };
        File::open(path).map(Self::File).map_err(|error| {
            Failure::refused(format!("cannot read {}", path.display())).caused_by(&error)
        })
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(buffer),
            Self::Stdin(stdin) => stdin.read(buffer),
        }
    }
}
