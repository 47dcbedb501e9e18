//! What is remembered of logins, so that no PIN is tried again and again.

use sealock_core::SecretBytes;

use crate::error::HsmError;

/// What is remembered of logins when this process is gone, too: whoever is started again and again, and dies in each
/// login, would otherwise lock a token with a PIN that is wrong.
pub trait Logins: Send + Sync {
    /// Whether this PIN may be tried at the token with this serial number. Where it may, and was not taken there
    /// before, it is written down first that it is being tried.
    ///
    /// # Errors
    /// It was refused ([`HsmError::PinRefused`]), it was tried and nobody knows how that ended
    /// ([`HsmError::PinUnsure`]), or it cannot be written down ([`HsmError::Unwritten`]).
    fn begin(&self, token: &str, pin: &SecretBytes) -> Result<(), HsmError>;

    /// The token has taken this PIN, or has refused it.
    fn end(&self, token: &str, pin: &SecretBytes, taken: bool);
}
