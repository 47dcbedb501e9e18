//! `sealock seal` and `sealock open`. Neither needs the service, a state folder or an async runtime.

use std::error::Error;
use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;
use std::sync::Arc;

use sealock_delivery::envelope::{
    AskPassphrase, Encoding, Identities, KeyError, Recipients, Replacement, open, seal,
};

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
    let ask: AskPassphrase =
        Arc::new(|name: &str| passphrase::prompt(&format!("Passphrase of {name}: ")).ok());
    let mut identities = Identities::default();
    for path in &arguments.identity {
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
    let input = Input::open(arguments.input.as_deref())?;
    deliver(arguments.output.as_deref(), |output| {
        open(&identities, input, output).map_err(|error| with_hint(&error, error.hint()))
    })
}

fn recipients(arguments: &SealArgs, printer: Printer) -> Result<Recipients, Failure> {
    let mut recipients = Recipients::default();
    for text in &arguments.recipient {
        recipients.extend(Recipients::parse(text).map_err(|error| key(&error))?);
    }
    for path in &arguments.recipients_file {
        let name = path.display().to_string();
        let bytes = files::read_limited(path)?;
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| Failure::usage(format!("{name} is not a recipients file: not text")))?;
        let (found, ignored) = Recipients::parse_file(text, &name).map_err(|error| key(&error))?;
        for one in ignored {
            printer.note(format!(
                "note: {name}, line {}: {} keys cannot open age files",
                one.line, one.kind
            ));
        }
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
