//! Waiting for a certificate that is delivered after the start.

use std::time::Duration;

use super::{IdentityFolder, Stops};
use crate::error::{ErrorCode, ServiceError};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);
/// Looks until it is said that we wait.
const SAID_AFTER: u32 = 50;

/// Waits until the files of an identity are there, or until we are told to stop. Files that are there and cannot be used are
/// for who reads them.
///
/// # Errors
/// Told to stop.
pub async fn identity_is_there(identity: &IdentityFolder) -> Result<(), ServiceError> {
    let mut stops = Stops::listen()?;
    let files = ["tls.crt", "tls.key", "ca.crt"].map(|name| identity.0.join(name));
    let mut looks = 0_u32;
    while !files.iter().all(|file| file.exists()) {
        looks = looks.saturating_add(1);
        if looks == SAID_AFTER {
            tracing::warn!(folder = %identity.0.display(), "waiting for the certificate");
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = stops.told() => {
                let text = format!("told to stop, before {} was there", identity.0.display());
                return Err(ServiceError::new(ErrorCode::Unavailable, text));
            }
        }
    }
    Ok(())
}
