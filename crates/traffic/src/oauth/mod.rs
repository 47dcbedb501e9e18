//! What OAuth 2 says over the wire: requests read strictly, errors and metadata written. No I/O, and no decision.
//!
//! | endpoint | by | what |
//! |---|---|---|
//! | `/oauth/token` | RFC 6749 §4.4, RFC 7523, RFC 8705, RFC 8693, RFC 8707 | a token for one audience |
//! | `/oauth/introspect` | RFC 7662 | whether a token is good |
//! | `/oauth/revoke` | RFC 7009 | makes a token worth nothing |
//! | `/oauth/device_authorization` | RFC 8628 | a code for a person to be let in with |
//! | `/oauth/enroll` | ours | a person's certificate, for a code |
//! | `/oauth/jwks` | RFC 7517 | the keys by which tokens are verified |
//! | `/.well-known/oauth-authorization-server` | RFC 8414 | where all that is |
//!
//! **What an attacker controls:** everything. A request is limited before it is read; a parameter that is there twice,
//! an encoding that is not one, a secret in two places are refused, and nothing of a request stands in an error.

mod basic;
mod device;
mod error;
mod form;
mod fuzz;
mod metadata;
mod request;
#[cfg(test)]
mod tests;

pub use device::{DeviceAnswer, DeviceRequest, EnrolRequest};
pub use error::{OauthError, OauthFault};
pub use form::{FORM, Form, MAXIMUM_FORM};
pub use fuzz::fuzz;
pub use metadata::{DEVICE, ENDPOINTS, ENROL, VERIFICATION, metadata};
pub use request::{Credentials, Grant, Proof, TokenQuestion, TokenRequest};
