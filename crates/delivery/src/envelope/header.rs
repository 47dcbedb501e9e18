//! The header: written and read by the `age` crate, which keeps the file key to itself. So the key is
//! picked up on its way to a recipient, or from an identity, and the payload's key derived from it
//! here.

use std::cell::RefCell;
use std::collections::HashSet;
use std::io::{self, BufRead, Read};

use age::secrecy::ExposeSecret;
use age::{DecryptError, Decryptor, EncryptError, Encryptor};
use age_core::format::{FILE_KEY_BYTES, FileKey, Stanza};
use zeroize::Zeroizing;

use super::error::{OpenError, SealError};
use super::payload::{PayloadKey, SALT};
use super::{Identities, Recipients};

/// The longest header that is read. One of a thousand 4096-bit RSA recipients fits.
pub const HEADER_LIMIT: usize = 1024 * 1024;

const MAGIC: &[u8] = b"age-encryption.org/";
const FIRST_LINE: &[u8] = b"age-encryption.org/v1\n";

type KeptKey = RefCell<Option<Zeroizing<[u8; FILE_KEY_BYTES]>>>;

fn keep(kept: &KeptKey, key: &FileKey) {
    *kept.borrow_mut() = Some(Zeroizing::new(*key.expose_secret()));
}

/// A new header with the nonce after it, and the payload's key.
pub(super) fn make(recipients: &Recipients) -> Result<(Vec<u8>, PayloadKey), SealError> {
    let kept = KeptKey::default();
    let keepers: Vec<KeepingRecipient<'_>> =
        recipients.each().map(|inner| KeepingRecipient { inner, kept: &kept }).collect();
    if keepers.is_empty() {
        return Err(SealError::NoRecipients);
    }
    let fault = |error: EncryptError| SealError::Header(error.to_string());
    let encryptor = Encryptor::with_recipients(keepers.iter().map(|keeper| keeper as _));
    let mut head = Vec::new();
    // Dropped without being finished: only header and nonce have been written.
    drop(encryptor.map_err(fault)?.wrap_output(&mut head).map_err(SealError::Write)?);
    let key = derive(&kept, &head).ok_or(SealError::Cipher)?;
    Ok((head, key))
}

/// Reads a header and the nonce after it, and unwraps the payload's key.
pub(super) fn open(
    input: &mut impl BufRead,
    identities: &Identities,
) -> Result<PayloadKey, OpenError> {
    let head = read(input)?;
    let decryptor = Decryptor::new(head.as_slice()).map_err(|error| fault(&error))?;
    if decryptor.is_scrypt() {
        return Err(OpenError::Passphrase);
    }
    let kept = KeptKey::default();
    let keepers: Vec<KeepingIdentity<'_>> =
        identities.each().map(|inner| KeepingIdentity { inner, kept: &kept }).collect();
    // This verifies the header's authentication code under the key that was found.
    decryptor
        .decrypt(keepers.iter().map(|keeper| keeper as _))
        .map_err(|error| locked(&error, identities).unwrap_or_else(|| fault(&error)))?;
    derive(&kept, &head).ok_or(OpenError::HeaderMalformed)
}

/// Whether these bytes begin with a well-formed header: what `open` looks at before it has a key.
pub fn check_header(mut bytes: &[u8]) -> Result<(), OpenError> {
    let head = read(&mut bytes)?;
    Decryptor::new(head.as_slice()).map(|_| ()).map_err(|error| fault(&error))
}

fn derive(kept: &KeptKey, head: &[u8]) -> Option<PayloadKey> {
    let kept = kept.borrow();
    PayloadKey::derive(kept.as_ref()?, head.last_chunk::<SALT>()?).ok()
}

/// Takes exactly the header and the nonce from the input.
fn read(input: &mut impl BufRead) -> Result<Vec<u8>, OpenError> {
    let mut head = Vec::new();
    read_line(input, &mut head)?;
    if head != FIRST_LINE {
        return Err(match head.strip_prefix(MAGIC) {
            _ if !head.is_empty() && FIRST_LINE.starts_with(&head) => OpenError::Truncated,
            None => OpenError::NotAge,
            Some(version) => OpenError::UnknownVersion(
                String::from_utf8_lossy(version).trim_end().chars().take(32).collect(),
            ),
        });
    }
    loop {
        let start = head.len();
        read_line(input, &mut head)?;
        if head.get(start..).is_some_and(|line| line.starts_with(b"---")) {
            break;
        }
    }
    let mut nonce = [0; SALT];
    input.read_exact(&mut nonce).map_err(cut)?;
    head.extend_from_slice(&nonce);
    Ok(head)
}

/// Appends one line, its end included.
fn read_line(input: &mut impl BufRead, head: &mut Vec<u8>) -> Result<(), OpenError> {
    let left = HEADER_LIMIT.saturating_sub(head.len());
    let first = head.is_empty();
    // No first line is longer; something else than an age file may have no line ends at all.
    let most = if first { 2 * FIRST_LINE.len() } else { left };
    let read = input.take(most as u64).read_until(b'\n', head).map_err(OpenError::Read)?;
    match head.last() {
        Some(b'\n') if read > 0 => Ok(()),
        _ if first => Ok(()),
        _ if read == most => Err(OpenError::HeaderTooLong),
        _ => Err(OpenError::Truncated),
    }
}

fn cut(error: io::Error) -> OpenError {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        OpenError::Truncated
    } else {
        OpenError::Read(error)
    }
}

/// In our words. The crate's own texts are translated for a person and have several lines.
fn fault(error: &DecryptError) -> OpenError {
    match error {
        DecryptError::InvalidMac => OpenError::HeaderForged,
        DecryptError::NoMatchingKeys => OpenError::NoIdentityFits,
        DecryptError::ExcessiveWork { .. } => OpenError::Passphrase,
        DecryptError::KeyDecryptionFailed => OpenError::KeyLocked(String::new()),
        _ => OpenError::HeaderMalformed,
    }
}

fn locked(error: &DecryptError, identities: &Identities) -> Option<OpenError> {
    match error {
        DecryptError::KeyDecryptionFailed => identities.locked().map(OpenError::KeyLocked),
        _ => None,
    }
}

struct KeepingRecipient<'a> {
    inner: &'a dyn age::Recipient,
    kept: &'a KeptKey,
}

impl age::Recipient for KeepingRecipient<'_> {
    fn wrap_file_key(
        &self,
        file_key: &FileKey,
    ) -> Result<(Vec<Stanza>, HashSet<String>), EncryptError> {
        keep(self.kept, file_key);
        self.inner.wrap_file_key(file_key)
    }
}

struct KeepingIdentity<'a> {
    inner: &'a dyn age::Identity,
    kept: &'a KeptKey,
}

impl age::Identity for KeepingIdentity<'_> {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        let found = self.inner.unwrap_stanza(stanza)?;
        if let Ok(key) = &found {
            keep(self.kept, key);
        }
        Some(found)
    }
}
