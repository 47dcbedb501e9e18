//! `seal` and `open`: age v1 files.
//!
//! The header (who can open the file) is written and read by the `age` crate. The payload is ours:
//! the same STREAM of ChaCha20-Poly1305 chunks of 64 KiB that the format prescribes
//! (<https://age-encryption.org/v1>), on all cores, in bounded memory, in order.
//!
//! - [`Recipients`] and [`Identities`] parse keys: X25519, ssh-ed25519, ssh-rsa;
//! - [`seal`] and [`open`] stream from a reader to a writer;
//! - [`Replacement`] is a file that appears under its name only when all of it is there.
//!
//! **What an attacker controls.** All of a sealed file: its header is parsed within a limit, and no
//! byte of a chunk leaves [`open`] before its tag was verified. Cuts, additions, and chunks that were
//! swapped or repeated are errors. What came before the fault has then already been written, so the
//! caller must not take it for the whole: use a [`Replacement`], or a pipe whose reader heeds the
//! exit code.
//!
//! **ssh-rsa.** age has it, and many servers have no other key. The `rsa` crate's decryption is not
//! constant-time (RUSTSEC-2023-0071, "Marvin"). Who can have very many files opened and time each
//! could recover the key; a person who runs a command is no such oracle, an unattended service that
//! opens files for strangers is. Sealing is not affected. [`Identities::uses_ssh_rsa`] tells the
//! caller, who says so to the user.

mod error;
mod header;
mod identities;
mod output;
mod payload;
mod pipeline;
mod recipients;
#[cfg(test)]
mod tests;

use std::io::{BufRead, BufReader, Read, Write};

use age::armor::{ArmoredReader, ArmoredWriter, Format};

pub use error::{KeyError, OpenError, ReplaceError, SealError};
pub use header::{HEADER_LIMIT, check_header};
pub use identities::{AskPassphrase, Identities};
pub use output::Replacement;
pub use recipients::{Ignored, Recipients};

use error::Fault;

/// How a sealed file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Bytes, as `age` does.
    Binary,
    /// PEM-like text, as `age --armor` does.
    Armor,
}

/// Encrypts everything that `input` has to all of `recipients`. Returns how many bytes that were.
pub fn seal(
    recipients: &Recipients,
    input: impl Read + Send,
    output: impl Write + Send,
    encoding: Encoding,
) -> Result<u64, SealError> {
    let format = match encoding {
        Encoding::Binary => Format::Binary,
        Encoding::Armor => Format::AsciiArmor,
    };
    let mut output = ArmoredWriter::wrap_output(output, format).map_err(SealError::Write)?;
    let (head, key) = header::make(recipients)?;
    output.write_all(&head).map_err(SealError::Write)?;
    let bytes = pipeline::run(&payload::Sealing { key }, input, &mut output)?;
    output.finish().and_then(|mut output| output.flush()).map_err(SealError::Write)?;
    Ok(bytes)
}

/// Decrypts an age file, armored or not, with the first of `identities` that fits. Returns how many
/// bytes were in it.
///
/// On an error, what has been written is a verified beginning and nothing more.
pub fn open(
    identities: &Identities,
    input: impl Read + Send,
    output: impl Write + Send,
) -> Result<u64, OpenError> {
    let mut input = BufReader::new(input);
    let first = input.fill_buf().map_err(OpenError::Read)?.first();
    // Armor may have blanks before it; a binary file begins with a letter.
    let armored = first.is_some_and(|byte| *byte == b'-' || byte.is_ascii_whitespace());
    let opened = if armored {
        open_binary(identities, ArmoredReader::new(input), output)
    } else {
        open_binary(identities, input, output)
    };
    opened.map_err(|error| if armored { error.in_armor() } else { error })
}

fn open_binary(
    identities: &Identities,
    mut input: impl BufRead + Send,
    mut output: impl Write + Send,
) -> Result<u64, OpenError> {
    let key = header::open(&mut input, identities)?;
    let bytes = pipeline::run(&payload::Opening { key }, input, &mut output)?;
    output.flush().map_err(OpenError::Write)?;
    Ok(bytes)
}

impl From<Fault> for SealError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Read(error) => Self::Read(error),
            Fault::Write(error) => Self::Write(error),
            Fault::Payload(_) => Self::Cipher,
        }
    }
}
