//! What is in a request, once its signature has held, and what is answered (RFC 8555 §7.1; RFC 9773; the profiles of
//! draft-ietf-acme-profiles).
//!
//! Payloads are read by the strict reader of JSON. Members that we do not know are passed over, as §7.1 wants it, and
//! so is what a client may not change; those that we know are of their type or the request is refused. `null` is no way
//! to leave something out.
//!
//! **What an attacker controls:** every byte of a payload, within the limits of a request; here it is somebody who has
//! a key, which everybody can have.

mod account;
mod directory;
mod fault;
mod order;
mod reader;
mod resource;
mod revocation;
mod status;
#[cfg(test)]
mod tests;

pub use account::{
    AccountUpdate, Contact, KeyChangeOrder, MAXIMUM_CONTACT, MAXIMUM_CONTACTS, NewAccount,
};
pub use directory::{Directory, Meta, path};
pub use fault::PayloadFault;
pub use order::{
    AuthorizationUpdate, ChallengeResponse, Finalize, MAXIMUM_DER, MAXIMUM_PROFILE, NewOrder,
};
pub use resource::{
    AccountResource, AuthorizationResource, ChallengeResource, OrderResource, OrdersResource,
    RenewalInfo, SuggestedWindow,
};
pub use revocation::{RevocationReason, RevokeCert};
pub use status::{AccountStatus, AuthorizationStatus, ChallengeStatus, OrderStatus};
