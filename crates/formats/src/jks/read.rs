//! Reading the entries of Java's own key stores. An entry stays the bytes that it was, so that writing it changes nothing
//! in it: private keys are not opened.

use aws_lc_rs::constant_time;
use aws_lc_rs::digest::SHA1_OUTPUT_LEN;
use zeroize::Zeroizing;

use super::{MAGIC, PRIVATE_KEY, TRUSTED_CERTIFICATE, VERSION, seal, utf16};
use crate::error::ReadError;

/// How OpenJDK's other format (JCEKS) begins.
const JCEKS: [u8; 4] = [0xce; 4];

/// One entry.
pub(crate) struct Entry {
    /// As it stands in the file.
    pub(crate) alias: String,
    /// The certificate, when the entry is one to trust.
    pub(crate) trusted: Option<Vec<u8>>,
    /// All of its bytes.
    pub(crate) whole: Zeroizing<Vec<u8>>,
}

/// Whether a file begins as one in Java's own formats.
pub(crate) fn is_java(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC) || bytes.starts_with(&JCEKS)
}

/// Reads at most so many entries of a file whose hash holds under this password.
pub(crate) fn read(bytes: &[u8], password: &str, most: usize) -> Result<Vec<Entry>, ReadError> {
    if bytes.starts_with(&JCEKS) {
        return Err(ReadError::Unsupported("a key store of the kind JCEKS".to_owned()));
    }
    let content =
        bytes.len().checked_sub(SHA1_OUTPUT_LEN).and_then(|end| bytes.split_at_checked(end));
    let (content, hash) = content.ok_or(ENDS_EARLY)?;
    let right = seal(&utf16(password), content);
    if constant_time::verify_slices_are_equal(right.as_ref(), hash).is_err() {
        return Err(ReadError::WrongPassword);
    }
    entries(content, most)
}

/// Reads what is under the hash, as if that had been right.
pub(crate) fn entries(content: &[u8], most: usize) -> Result<Vec<Entry>, ReadError> {
    let mut rest = content.strip_prefix(&MAGIC).ok_or(ReadError::Unrecognised)?;
    if number(&mut rest)? != VERSION {
        return Err(ReadError::Unsupported("JKS of another version than 2".to_owned()));
    }
    let count = length(&mut rest)?;
    if count > most {
        return Err(ReadError::TooManyEntries);
    }
    let mut entries = Vec::new();
    for _ in 0..count {
        entries.push(entry(&mut rest)?);
    }
    if rest.is_empty() {
        Ok(entries)
    } else {
        Err(ReadError::Damaged("something follows after its end"))
    }
}

fn entry(rest: &mut &[u8]) -> Result<Entry, ReadError> {
    let from = *rest;
    let kind = number(rest)?;
    let alias = text(rest)?;
    // The date.
    take(rest, 8)?;
    let trusted = match kind {
        PRIVATE_KEY => {
            let key = length(rest)?;
            take(rest, key)?;
            for _ in 0..length(rest)? {
                certificate(rest)?;
            }
            None
        }
        TRUSTED_CERTIFICATE => Some(certificate(rest)?.to_vec()),
        _ => return Err(ReadError::Damaged("an entry is of an unknown kind")),
    };
    let whole = from.get(..from.len() - rest.len()).ok_or(ENDS_EARLY)?;
    Ok(Entry { alias, trusted, whole: Zeroizing::new(whole.to_vec()) })
}

const ENDS_EARLY: ReadError = ReadError::Damaged("a part is longer than what is there");

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], ReadError> {
    let (taken, after) = rest.split_at_checked(length).ok_or(ENDS_EARLY)?;
    *rest = after;
    Ok(taken)
}

fn number(rest: &mut &[u8]) -> Result<u32, ReadError> {
    let (digits, after) = rest.split_first_chunk().ok_or(ENDS_EARLY)?;
    *rest = after;
    Ok(u32::from_be_bytes(*digits))
}

fn length(rest: &mut &[u8]) -> Result<usize, ReadError> {
    usize::try_from(number(rest)?).map_err(|_| ENDS_EARLY)
}

/// The kind of certificate, then itself.
fn certificate<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], ReadError> {
    text(rest)?;
    let length = length(rest)?;
    take(rest, length)
}

/// Java's own UTF-8 (`DataInput.readUTF`).
fn text(rest: &mut &[u8]) -> Result<String, ReadError> {
    let (digits, after) = rest.split_first_chunk().ok_or(ENDS_EARLY)?;
    *rest = after;
    let mut bytes = take(rest, usize::from(u16::from_be_bytes(*digits)))?;
    let mut units = Vec::with_capacity(bytes.len());
    while !bytes.is_empty() {
        let low = |byte: u8| u16::from(byte & 0x3f);
        let (unit, after) = match bytes {
            [one @ 0..0x80, after @ ..] => (u16::from(*one), after),
            [high @ 0xc0..0xe0, a @ 0x80..0xc0, after @ ..] => {
                (u16::from(high & 0x1f) << 6 | low(*a), after)
            }
            [high @ 0xe0..0xf0, a @ 0x80..0xc0, b @ 0x80..0xc0, after @ ..] => {
                (u16::from(high & 0x0f) << 12 | low(*a) << 6 | low(*b), after)
            }
            _ => return Err(ReadError::Damaged("an alias is no text")),
        };
        units.push(unit);
        bytes = after;
    }
    Ok(String::from_utf16_lossy(&units))
}
