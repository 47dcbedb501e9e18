//! A code for a person's first contact: a secret, and the fingerprint by which the server is known to be the right one.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64URL_NOPAD;
use sealock_traffic::broker::{ENROLMENT_SECRET, enrolment_code};
use zeroize::{Zeroize, Zeroizing};

const MARK: &str = "sealock_login_";
const VERSION: u8 = 1;
const LENGTH: usize = 1 + ENROLMENT_SECRET + 32;

/// A code for a person's first contact.
#[derive(Clone, PartialEq, Eq)]
pub struct FirstCode {
    secret: Zeroizing<[u8; ENROLMENT_SECRET]>,
    root: [u8; 32],
}

/// A text that is no such code. It does not show what was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("that is no code of `sealock login invite`")]
pub struct FirstCodeError;

impl fmt::Debug for FirstCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("FirstCode(redacted)")
    }
}

impl FirstCode {
    pub(crate) fn new(secret: Zeroizing<[u8; ENROLMENT_SECRET]>, root: [u8; 32]) -> Self {
        Self { secret, root }
    }

    /// SHA-256 of the DER of the authority's root.
    pub fn root(&self) -> [u8; 32] {
        self.root
    }

    /// What is shown to the server. The fingerprint is none of it.
    pub(crate) fn secret(&self) -> Zeroizing<String> {
        enrolment_code(&self.secret)
    }

    pub(crate) fn text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([0; LENGTH]);
        let mut whole = Zeroizing::new(Vec::with_capacity(LENGTH));
        whole.push(VERSION);
        whole.extend_from_slice(self.secret.as_ref());
        whole.extend_from_slice(&self.root);
        bytes.copy_from_slice(&whole);
        let mut text = Zeroizing::new(String::with_capacity(MARK.len() + 2 * LENGTH));
        text.push_str(MARK);
        BASE64URL_NOPAD.encode_append(bytes.as_ref(), &mut text);
        text
    }
}

impl FromStr for FirstCode {
    type Err = FirstCodeError;

    fn from_str(text: &str) -> Result<Self, FirstCodeError> {
        let encoded = text.trim().strip_prefix(MARK).ok_or(FirstCodeError)?;
        if encoded.len() > 2 * LENGTH {
            return Err(FirstCodeError);
        }
        let mut bytes = BASE64URL_NOPAD.decode(encoded.as_bytes()).map_err(|_| FirstCodeError)?;
        let read = || {
            let (version, rest) = bytes.split_first()?;
            let (secret, root) = rest.split_at_checked(ENROLMENT_SECRET)?;
            let secret = Zeroizing::new(secret.try_into().ok()?);
            (*version == VERSION).then_some(Self { secret, root: root.try_into().ok()? })
        };
        let code = read().ok_or(FirstCodeError);
        bytes.zeroize();
        code
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_as_it_was_written_and_shows_nothing() {
        let code = FirstCode::new(Zeroizing::new([7; ENROLMENT_SECRET]), [9; 32]);
        let text = code.text();
        assert_eq!(text.parse::<FirstCode>().as_ref(), Ok(&code));
        assert_eq!(format!("  {}\n", text.as_str()).parse::<FirstCode>().as_ref(), Ok(&code));
        assert_eq!(format!("{code:?}"), "FirstCode(redacted)");
        assert!(code.secret().starts_with("sealock_lc_") && !text.contains(code.secret().as_str()));
        for end in 0..text.len() {
            assert!(text[..end].parse::<FirstCode>().is_err());
        }
        for bad in [
            "",
            "sealock_login_",
            &text.replace("login_A", "login_B"),
            &format!("{}A", text.as_str()),
        ] {
            assert!(bad.parse::<FirstCode>().is_err(), "{bad}");
        }
    }
}
