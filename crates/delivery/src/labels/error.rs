//! Why a label was refused, with what to write instead.

use sealock_core::name::NameError;
use sealock_core::span::SpanError;
use thiserror::Error;

use super::certificate::SETTINGS;
use super::{LabelName, suggest};

/// Why a label was refused.
#[derive(Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LabelError {
    /// Nearly `sealock.cert.`.
    #[error("labels for certificates begin with `sealock.cert.`")]
    Prefix,
    /// A name without a setting.
    #[error("the label names no setting")]
    NoSetting,
    /// The name of a certificate or secret within the container.
    #[error("`{text}` is not a name that a label can give (a-z, 0-9, `-`, `_`, `.`; at most 64)")]
    LabelName {
        /// What stood there.
        text: String,
    },
    /// The last part of the key.
    #[error("`{text}` is not a setting of a certificate")]
    UnknownSetting {
        /// What stood there.
        text: String,
        /// The nearest known one.
        nearest: Option<&'static str>,
    },
    /// Key or value.
    #[error("longer than {limit} bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// Nothing where something must be.
    #[error("the value is empty")]
    Empty,
    /// A list with more members than any certificate should have.
    #[error("more than {limit} names")]
    TooManyNames {
        /// The limit.
        limit: usize,
    },
    /// More certificates than one container may ask for.
    #[error("the container asks for more than {limit} certificates")]
    TooManyCertificates {
        /// The limit.
        limit: usize,
    },
    /// A DNS name or an address.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A usage that does not exist.
    #[error("`{text}` is not a usage (`server`, `client`)")]
    Usage {
        /// What stood there.
        text: String,
    },
    /// Not a span.
    #[error(transparent)]
    Span(#[from] SpanError),
    /// A span that no certificate should have.
    #[error("a life of {text} is not between 5s and 398d")]
    TtlRange {
        /// What stood there.
        text: String,
    },
    /// Not a path.
    #[error("`{text}` is not a path inside the container: {why}")]
    Path {
        /// What stood there.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Two certificates for one folder.
    #[error("certificate `{by}` of this container has the same folder")]
    PathTaken {
        /// The one that keeps it.
        by: String,
    },
    /// Neither numbers nor names.
    #[error("`{text}` is not an owner (`UID`, `UID:GID` or names that the container knows)")]
    Owner {
        /// What stood there.
        text: String,
    },
    /// Not a mode for what others must not see.
    #[error("`{text}` is not a mode for a secret file: {why}")]
    Mode {
        /// What stood there.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Not a kind of key.
    #[error("`{text}` is not a kind of key (`p256`, `p384`, `ed25519`, `rsa3072`)")]
    KeyType {
        /// What stood there.
        text: String,
        /// The nearest known one.
        nearest: Option<&'static str>,
    },
    /// Not a layout.
    #[error("`{text}` is not a layout of the files (`tls`, `docker`)")]
    Layout {
        /// What stood there.
        text: String,
    },
    /// Neither `signal:` nor `exec:`.
    #[error("`{text}` is not a way to reload (`signal:HUP` or `exec:COMMAND`)")]
    Reload {
        /// What stood there.
        text: String,
    },
    /// Not a signal that a process can act on.
    #[error("`{text}` is not a signal that a process can act on")]
    Signal {
        /// What stood there.
        text: String,
        /// The nearest known one.
        nearest: Option<&'static str>,
    },
    /// A command that cannot be split into words.
    #[error("the command cannot be split into words: {why}")]
    Command {
        /// What is wrong with it.
        why: &'static str,
    },
    /// Not `tls:PORT` or `tls:PORT/SNI`.
    #[error("`{text}` is not an endpoint to verify (`tls:PORT` or `tls:PORT/SNI`)")]
    Verify {
        /// What stood there.
        text: String,
    },
}

impl LabelError {
    /// What to do about it, where that is not in the message already.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Prefix => Some("write sealock.cert.NAME.SETTING".to_owned()),
            Self::NoSetting => {
                Some("write sealock.cert.NAME.SETTING, such as sealock.cert.web.dns".to_owned())
            }
            Self::UnknownSetting { nearest: Some(word), .. }
            | Self::KeyType { nearest: Some(word), .. }
            | Self::Signal { nearest: Some(word), .. } => Some(format!("did you mean `{word}`?")),
            Self::UnknownSetting { .. } => {
                Some(format!("the settings are {}", SETTINGS.join(", ")))
            }
            Self::Signal { .. } => Some("such as signal:HUP or signal:USR1".to_owned()),
            Self::PathTaken { .. } => Some("give one of the two another .path".to_owned()),
            Self::Empty => Some("leave the label out to have the default".to_owned()),
            _ => None,
        }
    }
}

/// A label that was refused.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("label `{label}`: {reason}")]
pub struct LabelFault {
    /// The certificate that is not asked for because of it; `None` when the label names none.
    pub certificate: Option<LabelName>,
    /// The label's key, shortened and without control characters.
    pub label: String,
    /// Why.
    pub reason: LabelError,
}

impl LabelFault {
    pub(super) fn new(certificate: Option<LabelName>, label: &str, reason: LabelError) -> Self {
        Self { certificate, label: shortened(label), reason }
    }
}

pub(super) fn unknown_setting(text: &str) -> LabelError {
    let nearest = suggest::nearest(text, &SETTINGS);
    LabelError::UnknownSetting { text: shortened(text), nearest }
}

/// What of a hostile text is worth repeating, without control characters.
pub(super) fn shortened(text: &str) -> String {
    let escaped = |c: char| {
        if c.is_ascii_graphic() || c == ' ' {
            String::from(c)
        } else {
            c.escape_default().collect()
        }
    };
    let mut short: String = text.chars().take(80).map(escaped).collect();
    if text.chars().nth(80).is_some() {
        short.push('…');
    }
    short
}
