//! The helper's answers.

use zeroize::Zeroizing;

use crate::field::{Reader, Writer};
use crate::{Kind, LONGEST_PART, LONGEST_TEXT, Parts, WireError};

/// Why the helper did not do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// The module cannot be loaded, or is none.
    Module,
    /// No such token is there.
    NoToken,
    /// More than one token is meant.
    ManyTokens,
    /// The PIN is wrong.
    PinWrong,
    /// One more wrong PIN would lock the token, so none was tried.
    PinLast,
    /// The PIN is locked.
    PinLocked,
    /// No such key is there, or more than one.
    Key,
    /// The token does not have this mechanism.
    Mechanism,
    /// The key does not leave the token.
    Stays,
    /// The token refused or failed otherwise.
    Failed,
    /// The token, or the session with it, is gone.
    Gone,
    /// It was not asked in order.
    Order,
}

impl Why {
    const ALL: [Self; 12] = [
        Self::Module,
        Self::NoToken,
        Self::ManyTokens,
        Self::PinWrong,
        Self::PinLast,
        Self::PinLocked,
        Self::Key,
        Self::Mechanism,
        Self::Stays,
        Self::Failed,
        Self::Gone,
        Self::Order,
    ];

    fn number(self) -> u8 {
        let place = Self::ALL.iter().position(|why| *why == self);
        place.and_then(|place| u8::try_from(place).ok()).unwrap_or(u8::MAX)
    }
}

/// The token that was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Token {
    /// Its label.
    pub label: String,
    /// Its serial number.
    pub serial: String,
    /// Its manufacturer.
    pub manufacturer: String,
    /// Its model.
    pub model: String,
}

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Public {
    /// Of what kind.
    pub kind: Kind,
    /// Curves: the point. RSA: the modulus.
    pub value: Vec<u8>,
    /// RSA: the exponent; otherwise nothing.
    pub exponent: Vec<u8>,
}

/// An answer.
#[derive(Clone, PartialEq, Eq)]
pub enum Reply {
    /// This token is there; nobody is logged in yet.
    Ready(Token),
    /// The key was made.
    Made(Public),
    /// It is done.
    Done,
    /// So many there are, or were removed.
    Count(u32),
    /// The signature: ECDSA as `r || s`, the others as they are.
    Signature(Vec<u8>),
    /// The key.
    Key(Parts),
    /// It was not done.
    Refused {
        /// Why.
        why: Why,
        /// In the words of the module.
        text: String,
    },
}

impl std::fmt::Debug for Reply {
    /// Only which: some have secrets.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

impl Reply {
    /// What messages call it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Ready(_) => "ready",
            Self::Made(_) => "made",
            Self::Done => "done",
            Self::Count(_) => "count",
            Self::Signature(_) => "signature",
            Self::Key(_) => "key",
            Self::Refused { .. } => "refused",
        }
    }

    /// As a frame.
    pub fn frame(&self) -> Result<Zeroizing<Vec<u8>>, WireError> {
        match self {
            Self::Ready(token) => {
                let writer =
                    Writer::new(1, 4 * LONGEST_TEXT).text(&token.label).text(&token.serial);
                writer.text(&token.manufacturer).text(&token.model).end()
            }
            Self::Made(public) => {
                let writer = Writer::new(2, 2 * LONGEST_PART).kind(public.kind);
                writer.bytes(&public.value).bytes(&public.exponent).end()
            }
            Self::Done => Writer::new(3, 0).end(),
            Self::Count(count) => Writer::new(4, 0).number(*count).end(),
            Self::Signature(bytes) => Writer::new(5, bytes.len()).bytes(bytes).end(),
            Self::Key(parts) => {
                let room: usize = parts.parts.iter().map(|part| part.len() + 4).sum();
                Writer::new(6, room).parts(parts).end()
            }
            Self::Refused { why, text } => {
                Writer::new(7, text.len()).byte(why.number()).text(text).end()
            }
        }
    }

    /// From a frame's content.
    pub fn read(content: &[u8]) -> Result<Self, WireError> {
        let mut from = Reader::new(content);
        let reply = match from.byte()? {
            1 => Self::Ready(Token {
                label: from.text("label")?,
                serial: from.text("serial")?,
                manufacturer: from.text("manufacturer")?,
                model: from.text("model")?,
            }),
            2 => Self::Made(Public {
                kind: from.kind()?,
                value: from.bytes(LONGEST_PART, "public key")?.to_vec(),
                exponent: from.bytes(LONGEST_PART, "public exponent")?.to_vec(),
            }),
            3 => Self::Done,
            4 => Self::Count(from.number()?),
            5 => Self::Signature(from.bytes(LONGEST_PART, "signature")?.to_vec()),
            6 => Self::Key(from.parts()?),
            7 => {
                let number = from.byte()?;
                let why = Why::ALL.into_iter().find(|why| why.number() == number);
                Self::Refused {
                    why: why.ok_or(WireError::Field("reason"))?,
                    text: from.text("text")?,
                }
            }
            _ => return Err(WireError::Field("answer")),
        };
        from.end()?;
        Ok(reply)
    }
}
