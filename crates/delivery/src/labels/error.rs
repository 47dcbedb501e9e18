//! Why a label was refused, with what to write instead.

use sealock_core::name::NameError;
use sealock_core::span::SpanError;
use sealock_core::{ImportedNameError, IssuerNameError, SecretNameError};
use thiserror::Error;

use super::{Kind, LabelName, suggest};

/// Why a label was refused.
#[derive(Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LabelError {
    /// Nearly `sealock.cert.`, `sealock.secret.` or `sealock.trust.`.
    #[error("labels for {kind}s begin with `{}`", kind.prefix())]
    Prefix {
        /// What it seems to ask for.
        kind: Kind,
    },
    /// A name without a setting.
    #[error("the label names no setting")]
    NoSetting {
        /// What it asks for.
        kind: Kind,
    },
    /// The name of a certificate or secret within the container.
    #[error("`{text}` is not a name that a label can give (a-z, 0-9, `-`, `_`, `.`; at most 64)")]
    LabelName {
        /// What stood there.
        text: String,
    },
    /// The last part of the key.
    #[error("`{text}` is not a setting of a {kind}")]
    UnknownSetting {
        /// What it asks for.
        kind: Kind,
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
    /// More than one container may ask for.
    #[error("the container asks for more than {} {kind}s", kind.limit())]
    TooMany {
        /// Of what.
        kind: Kind,
    },
    /// A secret without `.ref`.
    #[error("no label says which secret of the vault it is")]
    NoRef,
    /// Not the name of a secret.
    #[error(transparent)]
    SecretName(#[from] SecretNameError),
    /// Not the name of an imported certificate.
    #[error(transparent)]
    ImportedName(#[from] ImportedNameError),
    /// The name of an issuer.
    #[error(transparent)]
    IssuerName(#[from] IssuerNameError),
    /// A setting of certificates that are issued, of one that was imported.
    #[error(
        "`{setting}` is for certificates that are issued here; an imported one is as it was signed"
    )]
    NotWithImported {
        /// Which.
        setting: &'static str,
    },
    /// A usage beside a profile.
    #[error("a profile says itself what its certificates are for")]
    NotWithProfile,
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
    /// Two things for one path, or for paths of which one is below the other.
    #[error("{kind} `{by}` of this container goes to `{path}`")]
    PathTaken {
        /// What keeps it.
        kind: Kind,
        /// The one that keeps it.
        by: String,
        /// The path that it keeps.
        path: String,
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
    /// Neither absent nor `allowed`.
    #[error("`{text}` does not say whether a disk is allowed")]
    OnDisk {
        /// What stood there.
        text: String,
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
    /// Not a format.
    #[error("`{text}` is not a format of a {kind} ({})", known.join(", "))]
    Format {
        /// Of what.
        kind: Kind,
        /// What stood there.
        text: String,
        /// The known ones.
        known: &'static [&'static str],
        /// The nearest of them.
        nearest: Option<&'static str>,
    },
    /// A password of nothing.
    #[error("there is no key store or trust store that the password is for")]
    PasswordWithoutStore,
    /// Not a secret's name, so perhaps a password: it is not repeated.
    #[error("what stands there is no name of a secret (it never is the password itself)")]
    PasswordName,
    /// Key stores in the folder of a Docker client or daemon, which reads none.
    #[error("the layout `docker` has its own files and no key stores")]
    FormatWithDocker,
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
            Self::Prefix { kind } => Some(format!("write {}NAME.SETTING", kind.prefix())),
            Self::NoSetting { kind } => {
                Some(format!("write {}NAME.SETTING, such as {}", kind.prefix(), kind.example()))
            }
            Self::NoRef => Some("such as sealock.secret.NAME.ref=prod/db/password".to_owned()),
            Self::OnDisk { .. } => Some("write `allowed`, or leave the label out".to_owned()),
            Self::UnknownSetting { nearest: Some(word), .. }
            | Self::KeyType { nearest: Some(word), .. }
            | Self::Format { nearest: Some(word), .. }
            | Self::Signal { nearest: Some(word), .. } => Some(format!("did you mean `{word}`?")),
            Self::UnknownSetting { kind, .. } => {
                Some(format!("the settings are {}", kind.settings().join(", ")))
            }
            Self::Signal { .. } => Some("such as signal:HUP or signal:USR1".to_owned()),
            Self::NotWithImported { .. } => Some("leave this label out, or .imported".to_owned()),
            Self::PasswordWithoutStore => {
                Some("add .format=pkcs12 or .format=jks, or leave this label out".to_owned())
            }
            Self::PasswordName => {
                Some("put it into the vault, and write its name, such as shop/keystore".to_owned())
            }
            Self::FormatWithDocker => Some("leave this label out, or .layout".to_owned()),
            Self::NotWithProfile => Some("leave this label out, or .profile".to_owned()),
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
    /// What the label asks for, or seems to.
    pub kind: Kind,
    /// The one that is not asked for because of it; `None` when the label names none.
    pub name: Option<LabelName>,
    /// The label's key, shortened and without control characters.
    pub label: String,
    /// Why.
    pub reason: LabelError,
}

impl LabelFault {
    pub(super) fn new(
        kind: Kind,
        name: Option<LabelName>,
        label: &str,
        reason: LabelError,
    ) -> Self {
        Self { kind, name, label: shortened(label), reason }
    }
}

pub(super) fn unknown_setting(kind: Kind, text: &str) -> LabelError {
    let nearest = suggest::nearest(text, kind.settings());
    LabelError::UnknownSetting { kind, text: shortened(text), nearest }
}

pub(super) fn not_a_format(kind: Kind, text: &str, known: &'static [&'static str]) -> LabelError {
    let nearest = suggest::nearest(text, known);
    LabelError::Format { kind, text: shortened(text), known, nearest }
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
