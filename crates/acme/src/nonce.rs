//! Nonces: each is good for one request (RFC 8555 §6.5).
//!
//! Nothing is stored of what was given out. A nonce is a number and an authenticator of it under a random key of this
//! process; of the newest [`WINDOW`] numbers one bit each says whether it was used. So memory is the same however many
//! are asked for, and a nonce of another process, or of this one before it was started anew, is a bad one: the answer
//! to a bad nonce brings a good one, and clients try again.
//!
//! **What an attacker controls:** how many are given out, and what is redeemed. It cannot make one: it would have to
//! guess 128 bits. It can make those of others too old, by asking for [`WINDOW`] new ones between the moment when a
//! client has got its nonce and that when it uses it. The number in a nonce is not hidden: it says how many there were
//! before.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use data_encoding::BASE64URL_NOPAD;
use parking_lot::Mutex;
use thiserror::Error;

/// How many of the newest nonces are good; 16 KiB of memory.
pub const WINDOW: u64 = 1 << 17;

/// Bytes of the number.
const NUMBER: usize = size_of::<u64>();

/// Bytes of the authenticator: half of the hash, which RFC 2104 §5 allows.
const TAG: usize = 16;

/// Characters of a nonce. Bytes and characters come out even, so there are no bits left over.
const LENGTH: usize = (NUMBER + TAG) / 3 * 4;

/// Why a nonce is not good. To the client they are one: `badNonce`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadNonce {
    /// Not one of ours, or of this process before it was started anew.
    #[error("the nonce is not known")]
    Unknown,
    /// It was there before.
    #[error("the nonce was used before")]
    Used,
    /// So many were given out since that it is not known whether it was there before.
    #[error("the nonce is too old")]
    Old,
}

/// Gives out nonces, and takes each back once.
pub struct Nonces {
    key: hmac::Key,
    window: Mutex<Window>,
}

struct Window {
    /// The number of the next nonce; those in the window are below it.
    next: u64,
    /// A bit for each number in the window, at the place that is the rest of its division by [`WINDOW`].
    used: Box<[u64]>,
}

impl Nonces {
    /// Those of a new process.
    ///
    /// # Errors
    /// The random source fails.
    pub fn new() -> Result<Self, Unspecified> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())?;
        let words = usize::try_from(WINDOW / u64::from(u64::BITS)).unwrap_or(0);
        let window = Window { next: 0, used: vec![0; words].into_boxed_slice() };
        Ok(Self { key, window: Mutex::new(window) })
    }

    /// A nonce that nobody has had: 32 characters of base64url.
    pub fn fresh(&self) -> String {
        let number = self.window.lock().give().to_be_bytes();
        let tag = hmac::sign(&self.key, &number);
        BASE64URL_NOPAD.encode(&[&number[..], shortened(&tag)].concat())
    }

    /// Takes a nonce back. Of two that do so at once, one gets it.
    ///
    /// # Errors
    /// It is not good, or no longer.
    pub fn redeem(&self, nonce: &str) -> Result<(), BadNonce> {
        if nonce.len() != LENGTH {
            return Err(BadNonce::Unknown);
        }
        let bytes = BASE64URL_NOPAD.decode(nonce.as_bytes()).map_err(|_| BadNonce::Unknown)?;
        let (number, tag) = bytes.split_first_chunk::<NUMBER>().ok_or(BadNonce::Unknown)?;
        let ours = hmac::sign(&self.key, number);
        verify_slices_are_equal(shortened(&ours), tag).map_err(|_| BadNonce::Unknown)?;
        self.window.lock().take(u64::from_be_bytes(*number))
    }
}

/// What of a tag stands in a nonce. Nothing, which no nonce has, if the library's were shorter.
fn shortened(tag: &hmac::Tag) -> &[u8] {
    tag.as_ref().get(..TAG).unwrap_or_default()
}

impl std::fmt::Debug for Nonces {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Nonces(redacted)")
    }
}

impl Window {
    fn give(&mut self) -> u64 {
        let number = self.next;
        // 2^64 are not given out in the life of a machine.
        self.next = number.wrapping_add(1);
        if let Some((word, bit)) = self.place(number) {
            *word &= !bit;
        }
        number
    }

    fn take(&mut self, number: u64) -> Result<(), BadNonce> {
        let age = self.next.checked_sub(number).filter(|age| *age > 0).ok_or(BadNonce::Unknown)?;
        if age > WINDOW {
            return Err(BadNonce::Old);
        }
        let (word, bit) = self.place(number).ok_or(BadNonce::Unknown)?;
        if *word & bit != 0 {
            return Err(BadNonce::Used);
        }
        *word |= bit;
        Ok(())
    }

    /// The word in which a number's bit is, and the bit.
    fn place(&mut self, number: u64) -> Option<(&mut u64, u64)> {
        let place = number % WINDOW;
        let word = usize::try_from(place / u64::from(u64::BITS)).ok()?;
        Some((self.used.get_mut(word)?, 1 << (place % u64::from(u64::BITS))))
    }
}

#[cfg(test)]
mod tests;
