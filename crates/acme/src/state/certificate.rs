//! Whose a certificate is: for revocation by the account (RFC 8555 §7.6), and for what is said to replace it.

use sealock_core::Timestamp;
use sealock_store::{Condition, Operation};
use serde::{Deserialize, Serialize};

use super::{Acme, Id, StateError, put};
use crate::identifier::Identifier;

/// A certificate that was issued for an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owned {
    /// To which account.
    pub account: Id,
    /// For what.
    pub identifiers: Vec<Identifier>,
}

fn place(serial: &str) -> String {
    format!("acme/certificate/{serial}")
}

fn replaced_place(serial: &str) -> String {
    format!("acme/replaced/{serial}")
}

/// Written with the end of an order.
pub(super) fn owned(serial: &str, owned: &Owned, ends: Timestamp) -> Result<Operation, StateError> {
    put(&place(serial), owned, Some(ends))
}

/// The same, of the certificate before.
pub(super) fn replaced(serial: &str, by: &str, ends: Timestamp) -> Result<Operation, StateError> {
    put(&replaced_place(serial), &by, Some(ends))
}

/// That nothing has taken its place: of orders that end at once one replaces it.
pub(super) fn not_replaced(serial: &str) -> Condition {
    Condition::Absent(replaced_place(serial).into_bytes())
}

impl Acme {
    /// Whose a certificate is, if it was issued for an order. `serial` is in hex, as the inventory has it.
    ///
    /// # Errors
    /// What the store says.
    pub fn certificate(&self, serial: &str) -> Result<Option<Owned>, StateError> {
        Ok(self.read(&place(serial))?.map(|found| found.row))
    }

    /// Whether another certificate was issued in its place.
    ///
    /// # Errors
    /// What the store says.
    pub fn is_replaced(&self, serial: &str) -> Result<bool, StateError> {
        Ok(self.store().get(replaced_place(serial).as_bytes())?.is_some())
    }
}
