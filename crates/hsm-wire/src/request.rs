//! Questions to the helper.

use zeroize::Zeroizing;

use crate::field::{Reader, Writer};
use crate::{Kind, LARGEST, LONGEST_PIN, LONGEST_TEXT, Parts, WireError};

/// Which token is meant: each field that is given must be the token's own (RFC 7512 §2.3).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenName {
    /// Its label.
    pub label: Option<String>,
    /// Its serial number.
    pub serial: Option<String>,
    /// Its manufacturer.
    pub manufacturer: Option<String>,
    /// Its model.
    pub model: Option<String>,
}

/// A question.
#[derive(Clone, PartialEq, Eq)]
pub enum Request {
    /// Load the module, find the one token.
    Open {
        /// The module's path.
        module: String,
        /// Which token.
        token: TokenName,
    },
    /// Log in to it. A question of its own: whoever asks it can write down before that a PIN is tried.
    Login {
        /// The user's PIN.
        pin: Zeroizing<Vec<u8>>,
    },
    /// Make a key that never leaves the token.
    Generate {
        /// Of this kind.
        kind: Kind,
        /// Under this id.
        id: Vec<u8>,
        /// And this label.
        label: String,
    },
    /// Put a key into the token.
    Import {
        /// Under this id.
        id: Vec<u8>,
        /// And this label.
        label: String,
        /// Whether it may leave the token again, encrypted.
        extractable: bool,
        /// The key.
        key: Parts,
    },
    /// How often a private key with this id is there.
    Find {
        /// The id.
        id: Vec<u8>,
    },
    /// Sign.
    Sign {
        /// By the key with this id.
        id: Vec<u8>,
        /// Whose kind is this.
        kind: Kind,
        /// ECDSA: the digest. RSA: the `DigestInfo` (RFC 8017 §9.2). Ed25519: the message.
        data: Vec<u8>,
    },
    /// Take a key out of the token, if it lets it go.
    Export {
        /// The key with this id.
        id: Vec<u8>,
        /// Whose kind is this.
        kind: Kind,
        /// And whose public half is this.
        public: Vec<u8>,
    },
    /// Destroy what has this id.
    Remove {
        /// The id.
        id: Vec<u8>,
    },
}

impl std::fmt::Debug for Request {
    /// Only which: some have secrets.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

fn optional(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

impl Request {
    /// What messages call it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Open { .. } => "open",
            Self::Login { .. } => "login",
            Self::Generate { .. } => "generate",
            Self::Import { .. } => "import",
            Self::Find { .. } => "find",
            Self::Sign { .. } => "sign",
            Self::Export { .. } => "export",
            Self::Remove { .. } => "remove",
        }
    }

    /// As a frame.
    pub fn frame(&self) -> Result<Zeroizing<Vec<u8>>, WireError> {
        match self {
            Self::Open { module, token } => {
                let mut writer = Writer::new(1, 5 * LONGEST_TEXT).text(module);
                for text in [&token.label, &token.serial, &token.manufacturer, &token.model] {
                    writer = writer.text(text.as_deref().unwrap_or_default());
                }
                writer.end()
            }
            Self::Login { pin } => Writer::new(8, pin.len()).bytes(pin).end(),
            Self::Generate { kind, id, label } => {
                Writer::new(2, LONGEST_TEXT).kind(*kind).bytes(id).text(label).end()
            }
            Self::Import { id, label, extractable, key } => {
                let room: usize = key.parts.iter().map(|part| part.len() + 4).sum();
                let writer = Writer::new(3, LONGEST_TEXT + room).bytes(id).text(label);
                writer.byte(u8::from(*extractable)).parts(key).end()
            }
            Self::Find { id } => Writer::new(4, 0).bytes(id).end(),
            Self::Sign { id, kind, data } => {
                Writer::new(5, data.len()).bytes(id).kind(*kind).bytes(data).end()
            }
            Self::Export { id, kind, public } => {
                Writer::new(6, public.len()).bytes(id).kind(*kind).bytes(public).end()
            }
            Self::Remove { id } => Writer::new(7, 0).bytes(id).end(),
        }
    }

    /// From a frame's content.
    pub fn read(content: &[u8]) -> Result<Self, WireError> {
        let mut from = Reader::new(content);
        let request = match from.byte()? {
            1 => Self::Open {
                module: from.text("module")?,
                token: TokenName {
                    label: optional(from.text("label")?),
                    serial: optional(from.text("serial")?),
                    manufacturer: optional(from.text("manufacturer")?),
                    model: optional(from.text("model")?),
                },
            },
            2 => Self::Generate { kind: from.kind()?, id: from.id()?, label: from.text("label")? },
            3 => Self::Import {
                id: from.id()?,
                label: from.text("label")?,
                extractable: from.truth("extractable")?,
                key: from.parts()?,
            },
            4 => Self::Find { id: from.id()? },
            5 => Self::Sign {
                id: from.id()?,
                kind: from.kind()?,
                data: from.bytes(LARGEST, "data")?.to_vec(),
            },
            6 => Self::Export {
                id: from.id()?,
                kind: from.kind()?,
                public: from.bytes(LONGEST_TEXT * 4, "public key")?.to_vec(),
            },
            7 => Self::Remove { id: from.id()? },
            8 => Self::Login { pin: Zeroizing::new(from.bytes(LONGEST_PIN, "PIN")?.to_vec()) },
            _ => return Err(WireError::Field("question")),
        };
        from.end()?;
        Ok(request)
    }
}
