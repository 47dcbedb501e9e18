//! Where a passphrase comes from: a file, a systemd credential, or a prompt without echo. Never an
//! argument and never the environment, which other processes can read.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use sealock_control::read_secret;
use sealock_core::SecretBytes;
use zeroize::Zeroizing;

use crate::printer::Failure;

/// The name of the systemd credential that is looked for.
pub(crate) const CREDENTIAL: &str = "sealock-passphrase";

/// No passphrase is longer, so a device or a wrong file is noticed.
const LONGEST: u64 = 4096;

/// What a new passphrase must have at least.
const SHORTEST: usize = 8;

/// Reads a passphrase from a file, without its line end.
pub(crate) fn from_file(path: &Path) -> Result<SecretBytes, Failure> {
    let failed = |error: &std::io::Error| {
        Failure::refused(format!("cannot read the passphrase file {}", path.display()))
            .caused_by(error)
            .hint("name a readable file with --passphrase-file")
            .unavailable()
    };
    let file = File::open(path).map_err(|error| failed(&error))?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(256));
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    if bytes.len() as u64 > LONGEST {
        return Err(Failure::usage(format!("{} is no passphrase: over 4 KiB", path.display())));
    }
    let passphrase = SecretBytes::from(bytes).trim_line_end();
    if passphrase.is_empty() {
        return Err(Failure::usage(format!("the passphrase in {} is empty", path.display()))
            .hint("write it into the file's first line"));
    }
    Ok(passphrase)
}

/// A passphrase that exists already: from the file, else the credential, else a prompt.
pub(crate) fn existing(
    file: Option<&Path>,
    credentials: Option<&Path>,
) -> Result<SecretBytes, Failure> {
    match given(file, credentials) {
        Some(given) => given.read(),
        None => prompt("Passphrase of the CA's keys: "),
    }
}

/// A new passphrase: from the file, else the credential, else asked for twice.
pub(crate) fn new(file: Option<&Path>, credentials: Option<&Path>) -> Result<SecretBytes, Failure> {
    let passphrase = match given(file, credentials) {
        Some(given) => given.read()?,
        None => {
            let first = prompt("New passphrase for the CA's keys: ")?;
            if first != prompt("The same again: ")? {
                return Err(Failure::usage("the two passphrases differ; nothing was made"));
            }
            first
        }
    };
    if passphrase.len() < SHORTEST {
        return Err(Failure::usage(format!("a new passphrase has at least {SHORTEST} bytes")));
    }
    Ok(passphrase)
}

/// Where a passphrase is that nobody has to type.
enum Given {
    File(PathBuf),
    /// From systemd: who else may read or change it would have the keys.
    Credential(PathBuf),
}

impl Given {
    fn read(&self) -> Result<SecretBytes, Failure> {
        match self {
            Self::File(path) => from_file(path),
            Self::Credential(path) => read_secret(path, true).map_err(|why| {
                Failure::refused(format!("the credential {CREDENTIAL} cannot be used: {why}"))
                    .hint("in the unit: LoadCredential=sealock-passphrase:/path/of/the/file")
            }),
        }
    }
}

fn given(file: Option<&Path>, credentials: Option<&Path>) -> Option<Given> {
    let credential = credentials.map(|folder| folder.join(CREDENTIAL));
    let credential = credential.filter(|path| path.symlink_metadata().is_ok());
    file.map(|path| Given::File(path.to_owned())).or_else(|| credential.map(Given::Credential))
}

/// Asks for a passphrase on the terminal, without showing what is typed.
pub(crate) fn prompt(question: &str) -> Result<SecretBytes, Failure> {
    let hint = "give --passphrase-file FILE, or the systemd credential sealock-passphrase";
    prompt_for("passphrase", question, hint)
}

/// The same for something else; the hint is for whoever has no terminal.
pub(crate) fn prompt_for(what: &str, question: &str, hint: &str) -> Result<SecretBytes, Failure> {
    let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty").map_err(|error| {
        Failure::refused(format!("a {what} is needed and there is no terminal to ask on"))
            .caused_by(&error)
            .hint(hint)
            .unavailable()
    })?;
    let failed = |error: &dyn std::error::Error| {
        Failure::refused(format!("cannot ask for the {what}: {error}"))
    };
    let before = tcgetattr(&terminal).map_err(|error| failed(&error))?;
    // Keys are read one by one and Ctrl-C is one of them: a signal would end us with the echo off.
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
    tcsetattr(&terminal, OptionalActions::Flush, &silent).map_err(|error| failed(&error))?;
    let answer = ask(&terminal, question);
    tcsetattr(&terminal, OptionalActions::Flush, &before).map_err(|error| failed(&error))?;
    match answer.map_err(|error| failed(&error))? {
        Typed::Line(line) if line.is_empty() => Err(Failure::usage(format!("no {what} was typed"))),
        Typed::Line(line) => Ok(line),
        Typed::TooLong => {
            Err(Failure::usage(format!("the {what} is longer than the 4 KiB that can be typed"))
                .hint(hint))
        }
        Typed::Cancelled => Err(Failure::refused("cancelled")),
    }
}

/// What came of a question.
enum Typed {
    Line(SecretBytes),
    /// More than there is room for: part of a secret must not be taken for the whole.
    TooLong,
    /// By Ctrl-C or Ctrl-D.
    Cancelled,
}

/// Reads a line key by key.
fn ask(mut terminal: &File, question: &str) -> std::io::Result<Typed> {
    terminal.write_all(question.as_bytes())?;
    // Room for the longest line from the start, so that no copy stays behind when it grows.
    let mut line = Zeroizing::new(Vec::with_capacity(LONGEST as usize));
    let mut key = Zeroizing::new([0u8; 1]);
    let mut too_long = false;
    let answer = loop {
        if terminal.read(&mut *key)? == 0 {
            break Typed::Cancelled;
        }
        let [key] = *key;
        match key {
            b'\r' | b'\n' if too_long => break Typed::TooLong,
            b'\r' | b'\n' => break Typed::Line(SecretBytes::from(std::mem::take(&mut line))),
            0x03 | 0x04 => break Typed::Cancelled,
            0x08 | 0x7f => drop(line.pop()),
            0x15 => {
                line.clear();
                too_long = false;
            }
            other if (line.len() as u64) < LONGEST => line.push(other),
            _ => too_long = true,
        }
    };
    terminal.write_all(b"\n")?;
    Ok(answer)
}
