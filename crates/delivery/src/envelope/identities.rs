//! Who opens a file.

use std::fmt;
use std::io::Cursor;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::OnceLock;

use age::secrecy::SecretString;
use age::{DecryptError, ssh, x25519};
use age_core::format::{FileKey, Stanza};
use data_encoding::BASE64_NOPAD;
use sealock_core::SecretBytes;

use super::error::KeyError;

/// Asks a person for the passphrase of a key; the argument says of which. None: there is nobody to
/// ask, or nothing was answered.
pub type AskPassphrase = Arc<dyn Fn(&str) -> Option<SecretBytes> + Send + Sync>;

/// Private keys.
#[derive(Default)]
pub struct Identities(Vec<Identity>);

enum Identity {
    Native(x25519::Identity),
    Ssh { key: ssh::Identity, rsa: bool },
    Locked(Locked),
}

impl Identities {
    /// An identity file: lines of `AGE-SECRET-KEY-1…` with comments, or one OpenSSH private key. `ask`
    /// is called at most once, and only when a file was sealed to just this key.
    pub fn parse(text: &str, name: &str, ask: &AskPassphrase) -> Result<Self, KeyError> {
        if text.trim_start().starts_with("-----BEGIN") {
            return parse_ssh(text.trim_start(), name, ask).map(|identity| Self(vec![identity]));
        }
        let mut identities = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let place = format!("{name}, line {number}");
            match x25519::Identity::from_str(line) {
                Ok(identity) => identities.push(Identity::Native(identity)),
                Err(_) if line.starts_with("age1") || line.starts_with("ssh-") => {
                    return Err(KeyError::Public { place });
                }
                Err(_) => return Err(KeyError::NotAnIdentity { place }),
            }
        }
        if identities.is_empty() {
            return Err(KeyError::Empty { place: name.to_owned() });
        }
        Ok(Self(identities))
    }

    /// Adds those of another.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Whether one of them is an RSA key; see RUSTSEC-2023-0071 in the module's documentation.
    #[must_use]
    pub fn uses_ssh_rsa(&self) -> bool {
        self.0.iter().any(|identity| match identity {
            Identity::Native(_) => false,
            Identity::Ssh { rsa, .. } => *rsa,
            Identity::Locked(locked) => locked.rsa,
        })
    }

    pub(super) fn each(&self) -> impl Iterator<Item = &dyn age::Identity> {
        self.0.iter().map(|identity| match identity {
            Identity::Native(key) => key as &dyn age::Identity,
            Identity::Ssh { key, .. } => key as &dyn age::Identity,
            Identity::Locked(key) => key as &dyn age::Identity,
        })
    }

    /// The name of the key that was wanted and stayed locked.
    pub(super) fn locked(&self) -> Option<String> {
        self.0.iter().find_map(|identity| match identity {
            Identity::Locked(key) if matches!(key.unlocked.get(), Some(None)) => {
                Some(key.name.clone())
            }
            _ => None,
        })
    }
}

impl fmt::Debug for Identities {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Identities({} redacted)", self.0.len())
    }
}

fn parse_ssh(text: &str, name: &str, ask: &AskPassphrase) -> Result<Identity, KeyError> {
    let place = || name.to_owned();
    let key = ssh::Identity::from_buffer(Cursor::new(text), Some(name.to_owned()))
        .map_err(|_| KeyError::NotAnIdentity { place: place() })?;
    let public = ssh::Recipient::try_from(key.clone());
    let rsa = matches!(public, Ok(ssh::Recipient::SshRsa(..)));
    match key {
        ssh::Identity::Unencrypted(_) => Ok(Identity::Ssh { key, rsa }),
        ssh::Identity::Encrypted(key) => {
            let (ssh::Recipient::SshRsa(blob, _) | ssh::Recipient::SshEd25519(blob, _)) =
                public.map_err(|_| KeyError::NotAnIdentity { place: place() })?;
            Ok(Identity::Locked(Locked {
                key,
                rsa,
                tag: tag(&blob),
                name: place(),
                ask: Arc::clone(ask),
                unlocked: OnceLock::new(),
            }))
        }
        ssh::Identity::Unsupported(kind) => Err(KeyError::Unsupported {
            place: place(),
            kind: match kind {
                ssh::UnsupportedKey::EncryptedPem => "encrypted PEM".into(),
                ssh::UnsupportedKey::EncryptedSsh(cipher) => format!("encrypted with {cipher}"),
                ssh::UnsupportedKey::Hardware(kind) | ssh::UnsupportedKey::Type(kind) => kind,
            },
        }),
    }
}

/// How a stanza names the SSH key that it is for: the first four bytes of the public key's SHA-256.
fn tag(blob: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, blob);
    BASE64_NOPAD.encode(digest.as_ref().get(..4).unwrap_or_default())
}

/// An SSH key with a passphrase. The crate's own type would ask once for each stanza, whether that is
/// for this key or not.
struct Locked {
    key: ssh::EncryptedKey,
    rsa: bool,
    tag: String,
    name: String,
    ask: AskPassphrase,
    /// Filled when it was tried; none when that failed.
    unlocked: OnceLock<Option<ssh::Identity>>,
}

impl age::Identity for Locked {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        let kind = if self.rsa { "ssh-rsa" } else { "ssh-ed25519" };
        if stanza.tag != kind || stanza.args.first() != Some(&self.tag) {
            return None;
        }
        match self.unlocked.get_or_init(|| self.unlock()) {
            Some(key) => key.unwrap_stanza(stanza),
            None => Some(Err(DecryptError::KeyDecryptionFailed)),
        }
    }
}

impl Locked {
    fn unlock(&self) -> Option<ssh::Identity> {
        let passphrase = (self.ask)(&self.name)?;
        let text = std::str::from_utf8(passphrase.expose()).ok()?;
        self.key.decrypt(SecretString::from(text)).ok().map(ssh::Identity::from)
    }
}
