//! Why a payload was refused.

use sealock_core::json::JsonFault;
use thiserror::Error;

use super::account::{MAXIMUM_CONTACT, MAXIMUM_CONTACTS};
use crate::identifier::IdentifiersFault;
use crate::jwk::JwkFault;
use crate::jws::JwsFault;
use crate::problem::{AcmeProblem, ErrorKind};

/// Why a payload was refused. It says which rule was broken, in words of ours only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PayloadFault {
    /// No JSON to us.
    #[error("the payload is refused: {0}")]
    Json(JsonFault),
    /// A member that must be there.
    #[error("the payload has no {member:?}")]
    Missing {
        /// The name.
        member: &'static str,
    },
    /// A member of another type or form than it must have.
    #[error("{member:?} of the payload is not of its form")]
    Form {
        /// The name.
        member: &'static str,
    },
    /// `notAfter` is not after `notBefore`.
    #[error("notAfter is not after notBefore")]
    Times,
    /// `identifiers` of an order.
    #[error("{0}")]
    Identifiers(IdentifiersFault),
    /// A contact that is no `mailto:`.
    #[error("contacts are mailto: and nothing else")]
    UnsupportedContact,
    /// A `mailto:` that is not one address.
    #[error(
        "a contact is not mailto: with one e-mail address and nothing else, in at most \
         {MAXIMUM_CONTACT} bytes"
    )]
    InvalidContact,
    /// More than [`MAXIMUM_CONTACTS`].
    #[error("there are more than {MAXIMUM_CONTACTS} contacts")]
    ManyContacts,
    /// `externalAccountBinding`.
    #[error("{0}")]
    Binding(JwsFault),
    /// `oldKey` of a change of keys.
    #[error("oldKey is refused: {0}")]
    OldKey(JwkFault),
    /// `csr` is not base64url in its one form, empty, or too long.
    #[error("csr is not base64url, in its one form without padding, of a DER of up to 64 KiB")]
    Csr,
    /// `reason` of a revocation.
    #[error("reason is not one of 0, 1, 3, 4, 5 and 9")]
    Reason,
    /// `status` of something that can only be deactivated.
    #[error("status can only be set to deactivated")]
    Status,
}

impl From<PayloadFault> for AcmeProblem {
    fn from(fault: PayloadFault) -> Self {
        let kind = match fault {
            PayloadFault::Identifiers(fault) => return fault.into(),
            PayloadFault::Binding(fault) => return fault.into(),
            PayloadFault::UnsupportedContact => ErrorKind::UnsupportedContact,
            PayloadFault::InvalidContact | PayloadFault::ManyContacts => ErrorKind::InvalidContact,
            PayloadFault::Csr => ErrorKind::BadCsr,
            PayloadFault::Reason => ErrorKind::BadRevocationReason,
            PayloadFault::Json(_)
            | PayloadFault::Missing { .. }
            | PayloadFault::Form { .. }
            | PayloadFault::Times
            | PayloadFault::OldKey(_)
            | PayloadFault::Status => ErrorKind::Malformed,
        };
        Self::new(kind, fault.to_string())
    }
}
