//! What a receiver says it has written, under a key that only the session's two ends have.

use aws_lc_rs::hmac;
use thiserror::Error;

use crate::codec::{CodecError, Decoder, Encoder};
use crate::container::ContainerId;
use crate::identify::Evidence;
use crate::landing::Landed;
use crate::member::PATH_LIMIT;
use crate::offer::{TransferId, VERSION};

/// What stands where, since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Which transfer.
    pub transfer: TransferId,
    /// In which container; `None` when the transfer was bound to none.
    pub container: Option<ContainerId>,
    /// By which sources the receiver knew its container.
    pub evidence: Evidence,
    /// When it was written, by the receiver's clock: milliseconds since 1970.
    pub at: u64,
    /// What was written where.
    pub landed: Landed,
}

/// Why a receipt is not accepted.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum ReceiptError {
    /// It was not made with the session's key.
    #[error("the receipt is not authentic")]
    NotAuthentic,
    /// It is not as the format has it.
    #[error("the receipt cannot be read")]
    Unreadable(#[from] CodecError),
}

/// The key of a session's one receipt.
pub struct ReceiptKey(hmac::Key);

impl std::fmt::Debug for ReceiptKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("ReceiptKey(redacted)")
    }
}

impl ReceiptKey {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The receipt as an authenticated message.
    pub fn sign(&self, receipt: &Receipt) -> Vec<u8> {
        let mut encoder = Encoder::new();
        encoder.byte(VERSION).fixed(receipt.transfer.as_bytes());
        encoder.flag(receipt.container.is_some());
        if let Some(container) = &receipt.container {
            encoder.fixed(container.as_bytes());
        }
        let landed = &receipt.landed;
        encoder.byte(receipt.evidence.to_byte()).number(receipt.at).text(&landed.path);
        encoder.flag(landed.replaced).flag(landed.changed).flag(landed.version.is_some());
        if let Some(version) = &landed.version {
            encoder.text(version);
        }
        encoder.fixed(&landed.sha256).number(landed.bytes).number(landed.files);
        let mut message = encoder.finish().to_vec();
        let tag = hmac::sign(&self.0, &message);
        message.extend_from_slice(tag.as_ref());
        message
    }

    /// Checks and reads the message.
    pub fn verify(&self, message: &[u8]) -> Result<Receipt, ReceiptError> {
        let split = message.len().checked_sub(32).ok_or(ReceiptError::NotAuthentic)?;
        let (body, tag) = message.split_at_checked(split).ok_or(ReceiptError::NotAuthentic)?;
        hmac::verify(&self.0, body, tag).map_err(|_| ReceiptError::NotAuthentic)?;
        Ok(decode(body)?)
    }
}

fn decode(body: &[u8]) -> Result<Receipt, CodecError> {
    let mut decoder = Decoder::new(body);
    match decoder.byte()? {
        VERSION => {}
        other => return Err(CodecError::Version(other)),
    }
    let transfer = TransferId::from_bytes(decoder.array()?);
    let container =
        decoder.optional("container", |decoder| decoder.array().map(ContainerId::from_bytes))?;
    let evidence = Evidence::from_byte(decoder.byte()?).ok_or(CodecError::Field("evidence"))?;
    let at = decoder.number()?;
    let landed = Landed {
        path: decoder.text(PATH_LIMIT, "path")?.to_owned(),
        replaced: decoder.flag("replaced")?,
        changed: decoder.flag("changed")?,
        version: decoder
            .optional("version", |decoder| decoder.text(255, "version").map(str::to_owned))?,
        sha256: decoder.array()?,
        bytes: decoder.number()?,
        files: decoder.number()?,
    };
    decoder.finish()?;
    Ok(Receipt { transfer, container, evidence, at, landed })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Receipt {
        Receipt {
            transfer: TransferId::from_bytes([1; 16]),
            container: Some(ContainerId::from_bytes([2; 32])),
            evidence: Evidence { cgroup: true, mountinfo: true, hostname: false },
            at: 1_700_000_000_000,
            landed: Landed {
                path: "/run/x".into(),
                replaced: true,
                changed: false,
                version: Some("..2024".into()),
                sha256: [7; 32],
                bytes: 1,
                files: 1,
            },
        }
    }

    #[test]
    fn a_receipt_is_read_only_with_its_key_and_unchanged() {
        let key = ReceiptKey::new(&[5; 32]);
        let message = key.sign(&sample());
        assert_eq!(key.verify(&message), Ok(sample()));
        assert_eq!(ReceiptKey::new(&[6; 32]).verify(&message), Err(ReceiptError::NotAuthentic));
        for position in 0..message.len() {
            let mut changed = message.clone();
            changed[position] ^= 1;
            assert_eq!(key.verify(&changed), Err(ReceiptError::NotAuthentic));
            assert_eq!(key.verify(&message[..position]), Err(ReceiptError::NotAuthentic));
        }
    }
}
