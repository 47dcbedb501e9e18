//! Who may open a file.

use std::str::FromStr;

use age::{ssh, x25519};

use super::error::KeyError;

/// Public keys.
#[derive(Default)]
pub struct Recipients(Vec<Recipient>);

enum Recipient {
    Native(x25519::Recipient),
    Ssh(ssh::Recipient),
}

/// A line of an authorized_keys file with a key that age files cannot have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignored {
    /// Counted from 1.
    pub line: usize,
    /// Such as `ecdsa-sha2-nistp256`.
    pub kind: String,
}

impl Recipients {
    /// One recipient: `age1…`, `ssh-ed25519 AAAA… comment` or `ssh-rsa AAAA… comment`.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        parse_one(text.trim(), &shortened(text.trim())).map(|recipient| Self(vec![recipient]))
    }

    /// A file of recipients: one on a line, empty lines and comments between. `authorized_keys` is
    /// one, with options before the keys; keys in it that cannot be used are named in the answer. A
    /// file in which nothing can be used is an error.
    pub fn parse_file(text: &str, name: &str) -> Result<(Self, Vec<Ignored>), KeyError> {
        let (mut recipients, mut ignored) = (Self::default(), Vec::new());
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match parse_one(line, &format!("{name}, line {number}")) {
                Ok(recipient) => recipients.0.push(recipient),
                Err(KeyError::Unsupported { kind, .. }) => {
                    ignored.push(Ignored { line: number, kind });
                }
                Err(error) => return Err(error),
            }
        }
        match (recipients.is_empty(), ignored.first()) {
            (false, _) => Ok((recipients, ignored)),
            (true, Some(first)) => Err(KeyError::Unsupported {
                place: format!("{name}, line {}", first.line),
                kind: first.kind.clone(),
            }),
            (true, None) => Err(KeyError::Empty { place: name.to_owned() }),
        }
    }

    /// Adds those of another.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn each(&self) -> impl Iterator<Item = &dyn age::Recipient> {
        self.0.iter().map(|recipient| match recipient {
            Recipient::Native(key) => key as &dyn age::Recipient,
            Recipient::Ssh(key) => key as &dyn age::Recipient,
        })
    }
}

fn parse_one(text: &str, place: &str) -> Result<Recipient, KeyError> {
    let place = place.to_owned();
    if text.starts_with("AGE-SECRET-KEY-") || text.starts_with("-----BEGIN") {
        return Err(KeyError::Private { place: "the recipient".into() });
    }
    if text.starts_with("age1") {
        return x25519::Recipient::from_str(text).map(Recipient::Native).map_err(|_| {
            // age1yubikey1…, age1pq1…: of a plugin, or of a later kind.
            match text.rsplit_once('1').map(|(prefix, _)| prefix) {
                Some(prefix) if prefix != "age" && text.len() < 4096 => {
                    KeyError::Unsupported { place, kind: format!("{}…", shortened(prefix)) }
                }
                _ => KeyError::NotARecipient { place },
            }
        });
    }
    let Some(key) = after_options(text) else {
        return Err(KeyError::NotARecipient { place });
    };
    ssh::Recipient::from_str(key).map(Recipient::Ssh).map_err(|error| match error {
        ssh::ParseRecipientKeyError::Unsupported(kind) => KeyError::Unsupported { place, kind },
        ssh::ParseRecipientKeyError::RsaModulusTooLarge
        | ssh::ParseRecipientKeyError::RsaModulusTooSmall => KeyError::RsaSize { place },
        _ => KeyError::NotARecipient { place },
    })
}

/// The key of an authorized_keys line: after options, which may have blanks in quotes.
fn after_options(line: &str) -> Option<&str> {
    if is_key_type(line.split(' ').next()?) {
        return Some(line);
    }
    let (mut quoted, mut escaped) = (false, false);
    for (index, character) in line.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ' ' | '\t' if !quoted => {
                let key = line.get(index..)?.trim_start();
                return is_key_type(key.split(' ').next()?).then_some(key);
            }
            _ => {}
        }
    }
    None
}

fn is_key_type(word: &str) -> bool {
    ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"].iter().any(|prefix| word.starts_with(prefix))
}

/// As much of an argument as an error needs.
fn shortened(text: &str) -> String {
    const SHOWN: usize = 24;
    match text.char_indices().nth(SHOWN) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}
