//! revokeCert (RFC 8555 §7.6).

use sealock_core::json::Value;

use super::fault::PayloadFault;
use super::order::MAXIMUM_DER;
use super::reader::Payload;

/// Why a certificate is revoked (RFC 5280 §5.3.1), as far as a client may say so of one that is no authority's.
///
/// Not among them: `cACompromise` (2) and `aACompromise` (10), which are about authorities; `certificateHold` (6) and
/// `removeFromCRL` (8), because nothing here is taken back; 7, which is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RevocationReason {
    /// 0.
    Unspecified,
    /// 1.
    KeyCompromise,
    /// 3.
    AffiliationChanged,
    /// 4.
    Superseded,
    /// 5.
    CessationOfOperation,
    /// 9.
    PrivilegeWithdrawn,
}

impl RevocationReason {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::PrivilegeWithdrawn,
    ];

    /// Its number in a CRL.
    pub const fn code(self) -> u8 {
        match self {
            Self::Unspecified => 0,
            Self::KeyCompromise => 1,
            Self::AffiliationChanged => 3,
            Self::Superseded => 4,
            Self::CessationOfOperation => 5,
            Self::PrivilegeWithdrawn => 9,
        }
    }
}

/// revokeCert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevokeCert {
    /// `certificate`: as far as it was looked at here any DER. It is to be compared with what was issued, not trusted.
    pub certificate: Vec<u8>,
    /// `reason`.
    pub reason: Option<RevocationReason>,
}

impl RevokeCert {
    /// Reads a payload.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn read(payload: &[u8]) -> Result<Self, PayloadFault> {
        let mut payload = Payload::read(payload)?;
        let certificate = payload.bytes("certificate", MAXIMUM_DER)?;
        let reason = match payload.value("reason") {
            None => None,
            Some(Value::Number(code)) => {
                let mut reasons = RevocationReason::ALL.into_iter();
                let found = reasons.find(|reason| u64::from(reason.code()) == code);
                Some(found.ok_or(PayloadFault::Reason)?)
            }
            // A number that is none of RFC 5280 says the same, whether it is whole or not.
            Some(Value::Other) => return Err(PayloadFault::Reason),
            Some(_) => return Err(PayloadFault::Form { member: "reason" }),
        };
        Ok(Self { certificate, reason })
    }
}
