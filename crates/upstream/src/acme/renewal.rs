//! When the server wants a certificate to be renewed (ARI, RFC 9773).

use std::sync::Arc;
use std::time::Duration;

use instant_acme::CertificateIdentifier;
use rustls_pki_types::CertificateDer;
use sealock_core::Timestamp;

use super::enrol::{Account, opened};
use super::http::Http;
use crate::client::Client;
use crate::error::UpstreamError;

/// The window that a server suggests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewal {
    /// Its beginning.
    pub start: Timestamp,
    /// Its end.
    pub end: Timestamp,
    /// When to ask again.
    pub again: Duration,
}

/// The window for a certificate (DER); none where the server has no opinion.
///
/// # Errors
/// There is no answer, or one that is none.
pub async fn renewal(
    client: &Arc<Client>,
    directory: &str,
    account: &Account<'_>,
    leaf: &[u8],
) -> Result<Option<Renewal>, UpstreamError> {
    let http = Http::new(client);
    let leaf = CertificateDer::from(leaf.to_vec());
    let Ok(id) = CertificateIdentifier::try_from(&leaf) else { return Ok(None) };
    let account = opened(&http, directory, account).await?;
    match account.renewal_info(&id).await {
        Ok((info, again)) => {
            let (start, end) = (info.suggested_window.start, info.suggested_window.end);
            // RFC 9773 §4.2: a window that ends before it begins is none.
            let window = (start.unix_timestamp(), end.unix_timestamp());
            let at = Timestamp::from_secs;
            Ok((window.0 < window.1).then(|| Renewal {
                start: at(window.0),
                end: at(window.1),
                again,
            }))
        }
        Err(instant_acme::Error::Unsupported(_)) => Ok(None),
        Err(error) => Err(http.error(error)),
    }
}
