//! Where tokens come from.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use sealock_core::{Identity, Timestamp};
use thiserror::Error;
use zeroize::Zeroizing;

use super::trust::Trust;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Whoever gets tokens for us: by a shared secret, a certificate, or attestation. Asked seldom: what it gives is used
/// until it is about to expire.
pub trait TokenSource: Send + Sync + 'static {
    /// A token for `audience`, which is shown beside the certificate of `trust`: where it is bound to one, it is bound to
    /// that. Dropped when it takes too long.
    fn token<'a>(
        &'a self,
        audience: &'a Identity,
        trust: &'a Trust,
    ) -> Pin<Box<dyn Future<Output = Result<Fresh, SourceError>> + Send + 'a>>;
}

/// A token.
pub struct Fresh {
    /// As it stands behind `Bearer`.
    pub token: Zeroizing<String>,
    /// From then on it is worth nothing.
    pub expires_at: Timestamp,
}

impl fmt::Debug for Fresh {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Fresh");
        shown.field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// Why there is no token.
#[derive(Debug, Error)]
pub enum SourceError {
    /// The broker says no: 403.
    #[error("the broker gives no token for {audience}")]
    Refused {
        /// For whom.
        audience: Identity,
    },
    /// It cannot be asked, or gives no answer: 503.
    #[error("the broker cannot be asked")]
    Unavailable(#[source] BoxError),
}
