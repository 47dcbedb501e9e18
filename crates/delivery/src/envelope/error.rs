//! What can go wrong, by operation.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// A recipient or an identity that cannot be read. Never shows the text of an identity.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// Not a kind of recipient that we know.
    #[error("{place}: not a recipient")]
    NotARecipient {
        /// The line, or the argument.
        place: String,
    },
    /// A kind of key that age files cannot have, or ours cannot.
    #[error("{place}: keys of the type {kind} cannot be used")]
    Unsupported {
        /// The line, or the file.
        place: String,
        /// Such as `ecdsa-sha2-nistp256`.
        kind: String,
    },
    /// Too weak or too large an RSA key.
    #[error("{place}: an RSA key must have from 2048 to 4096 bits")]
    RsaSize {
        /// The line, or the argument.
        place: String,
    },
    /// A private key stands where a public one belongs.
    #[error("{place}: this is a private key")]
    Private {
        /// The line, or the argument.
        place: String,
    },
    /// A public key stands where a private one belongs.
    #[error("{place}: this is a public key")]
    Public {
        /// The line.
        place: String,
    },
    /// Not an identity.
    #[error("{place}: not an identity")]
    NotAnIdentity {
        /// The line, or the file.
        place: String,
    },
    /// Nothing in it.
    #[error("{place} has no key")]
    Empty {
        /// The file.
        place: String,
    },
}

impl KeyError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotARecipient { .. } => {
                Some("a recipient is `age1…`, `ssh-ed25519 AAAA…` or `ssh-rsa AAAA…`")
            }
            Self::Unsupported { .. } => Some("use X25519 (`age-keygen`) or ssh-ed25519"),
            Self::RsaSize { .. } => Some("use X25519 or ssh-ed25519 instead"),
            Self::Private { .. } => {
                Some("give the public key; `age-keygen -y` or `ssh-keygen -y` prints it")
            }
            Self::Public { .. } | Self::NotAnIdentity { .. } => {
                Some("give an `AGE-SECRET-KEY-1…` file or an OpenSSH private key")
            }
            Self::Empty { .. } => None,
        }
    }
}

/// Why something was not sealed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SealError {
    /// Nobody could open it.
    #[error("no recipient was given")]
    NoRecipients,
    /// The header could not be made.
    #[error("the header cannot be made: {0}")]
    Header(String),
    /// The input cannot be read.
    #[error("the input cannot be read")]
    Read(#[source] io::Error),
    /// The output cannot be written.
    #[error("the output cannot be written")]
    Write(#[source] io::Error),
    /// The cipher refused, which it has no reason to.
    #[error("the cipher failed")]
    Cipher,
}

impl SealError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoRecipients => Some("name who may open it: -r RECIPIENT or -R FILE"),
            _ => None,
        }
    }
}

/// Why something was not opened, or not all of it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Something else.
    #[error("this is not an age file")]
    NotAge,
    /// Of a later format.
    #[error("this age file is of a version that is not known here: {0:?}")]
    UnknownVersion(String),
    /// The armor is broken.
    #[error("the armor is broken")]
    Armor(#[source] io::Error),
    /// The header goes on and on.
    #[error("the header is longer than {} bytes", super::HEADER_LIMIT)]
    HeaderTooLong,
    /// The header does not have the form.
    #[error("the header is malformed")]
    HeaderMalformed,
    /// The header was changed after it was made.
    #[error("the header was changed: its authentication code does not fit")]
    HeaderForged,
    /// Sealed with a passphrase.
    #[error("the file is sealed with a passphrase, not to a key")]
    Passphrase,
    /// Sealed to others.
    #[error("none of the identities can open this file")]
    NoIdentityFits,
    /// A key needs a passphrase and did not get the right one.
    #[error("the key {0} stayed locked: no passphrase, or a wrong one")]
    KeyLocked(String),
    /// A part of it does not verify.
    #[error("chunk {0} was changed: its authentication code does not fit")]
    ChunkForged(u64),
    /// The last chunk there is does not verify as the last.
    #[error("the file is cut off, or its end was changed")]
    Truncated,
    /// There is something after the end.
    #[error("there is more data after the end of the file")]
    TrailingData,
    /// The input cannot be read.
    #[error("the input cannot be read")]
    Read(#[source] io::Error),
    /// The output cannot be written.
    #[error("the output cannot be written")]
    Write(#[source] io::Error),
}

impl OpenError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotAge => Some("an age file begins with `age-encryption.org/v1`, or with armor"),
            Self::Passphrase => Some("`age --decrypt` asks for the passphrase"),
            Self::NoIdentityFits => Some("name another identity: -i FILE"),
            Self::Truncated => Some("fetch the file again; what was written is incomplete"),
            Self::ChunkForged(_) | Self::TrailingData | Self::HeaderForged => {
                Some("do not use what was written; fetch the file again from its source")
            }
            _ => None,
        }
    }

    /// Read from armored text, unreadable data is a fault of the armor.
    pub(super) fn in_armor(self) -> Self {
        match self {
            Self::Read(error) if error.kind() == io::ErrorKind::InvalidData => Self::Armor(error),
            Self::Read(error) if error.kind() == io::ErrorKind::UnexpectedEof => Self::Truncated,
            other => other,
        }
    }
}

impl From<Fault> for OpenError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Read(error) => Self::Read(error),
            Fault::Write(error) => Self::Write(error),
            Fault::Payload(PayloadFault::Forged(chunk)) => Self::ChunkForged(chunk),
            Fault::Payload(PayloadFault::Truncated) => Self::Truncated,
            Fault::Payload(PayloadFault::TrailingData) => Self::TrailingData,
        }
    }
}

/// Why a file did not come to stand under its name.
#[derive(Debug, Error)]
#[error("{} cannot be {operation}", path.display())]
pub struct ReplaceError {
    /// The file.
    pub path: PathBuf,
    /// `created`, `written`, `put in place`.
    pub operation: &'static str,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

/// What stops the pipeline.
#[derive(Debug)]
pub(super) enum Fault {
    Read(io::Error),
    Write(io::Error),
    Payload(PayloadFault),
}

/// What can be wrong with a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PayloadFault {
    /// The tag of this chunk does not fit.
    Forged(u64),
    /// The last chunk there is does not verify as the last.
    Truncated,
    /// A chunk that says that it is the last has something after it.
    TrailingData,
}
