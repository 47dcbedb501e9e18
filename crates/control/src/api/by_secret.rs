//! A client at the directory that shows its secret in place of a certificate: by Basic, as at the token endpoint
//! (RFC 6749 §2.3.1). What it may do there is what tokens it could have, so the secret opens nothing that it would not
//! open at the token endpoint; at every other path of ours it counts for nothing.
//!
//! A secret counts over HTTPS only, and only where no certificate was shown: who has one is who it says. It is looked
//! at again with every line, by its digest; the secret itself is not kept.

use std::sync::Arc;

use futures_util::StreamExt;
use hyper::Response;
use hyper::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use sealock_store::Watch;
use sealock_traffic::broker::{ClientName, ShownSecret};
use sealock_traffic::oauth::{Credentials, OauthError, OauthFault};

use super::body::OutBody;
use super::oauth::{CHALLENGE, NO_SUCH_CLIENT, authorization};
use super::routes::{Routes, blocking};
use crate::caller::Caller;
use crate::error::{ErrorCode, ServiceError};
use crate::service::{Service, broker_error};

/// A client that was let in by its secret.
#[derive(Debug)]
pub(super) struct BySecret {
    pub(super) shown: ShownSecret,
    changes: Watch,
}

impl Routes {
    /// Who asks at the directory, and by which secret if by one.
    pub(super) async fn by_secret(
        &self,
        headers: &HeaderMap,
        caller: Result<Caller, ServiceError>,
    ) -> Result<(Caller, Option<BySecret>), ServiceError> {
        if !self.takes_secrets {
            return Ok((caller?, None));
        }
        let Some(credentials) = credentials(headers)? else { return Ok((caller?, None)) };
        let service = Arc::clone(&self.service);
        let found = blocking(move || let_in(&service, &credentials)).await;
        // As at the token endpoint, so that guesses are seen.
        self.service.metrics().command("directory", found.as_ref().err().map(|error| error.code));
        found.map(|(caller, by_secret)| (caller, Some(by_secret)))
    }

    /// Who may show a secret is told so with a 401 (RFC 9110 §15.5.2).
    pub(super) fn challenge(&self, response: &mut Response<OutBody>) {
        if self.takes_secrets {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE));
        }
    }
}

/// The client and its secret, if the header says any.
fn credentials(headers: &HeaderMap) -> Result<Option<Credentials>, ServiceError> {
    let worded = |error: OauthError| {
        let code = match error.fault {
            OauthFault::InvalidClient => ErrorCode::Unauthenticated,
            _ => ErrorCode::Usage,
        };
        ServiceError::new(code, error.description)
    };
    let header = authorization(headers).map_err(worded)?;
    Ok(header.map(Credentials::basic).transpose().map_err(worded)?.flatten())
}

/// Blocking.
fn let_in(
    service: &Service,
    credentials: &Credentials,
) -> Result<(Caller, BySecret), ServiceError> {
    let broker = service.broker()?;
    let failed = |error| broker_error(&error);
    let shown = broker.shown(&credentials.client, &credentials.secret).map_err(failed)?;
    let shown = shown.ok_or_else(|| no_such_client().hint(HINT))?;
    // What changes before this is seen at the first look.
    let changes = broker.client_changes(&shown.client).map_err(failed)?;
    // Its groups are found out at each look.
    let caller = Caller::with_secret(shown.identity.clone(), Vec::new());
    Ok((caller, BySecret { shown, changes }))
}

const HINT: &str = "`sealock client list` on the broker's host shows the clients, `client rotate` gives one a new secret";

fn no_such_client() -> ServiceError {
    ServiceError::new(ErrorCode::Unauthenticated, NO_SUCH_CLIENT)
}

impl BySecret {
    /// When something about the client may have changed; `None` when nothing more will be heard.
    async fn changed(&mut self) -> Option<()> {
        self.changes.next().await.map(drop)
    }
}

/// When something may have changed about a client that has shown its secret; never for who has shown none.
pub(super) async fn client_changed(by_secret: Option<&mut BySecret>) -> Option<()> {
    match by_secret {
        Some(by_secret) => by_secret.changed().await,
        None => std::future::pending().await,
    }
}

/// That a secret is still good that let somebody in, and who it is of. Blocking.
pub(super) fn still_good<'a>(
    service: &Service,
    shown: Option<&'a ShownSecret>,
) -> Result<Option<&'a ClientName>, ServiceError> {
    let Some(shown) = shown else { return Ok(None) };
    match service.broker()?.is_good(shown).map_err(|error| broker_error(&error))? {
        true => Ok(Some(&shown.client)),
        false => Err(no_such_client()),
    }
}
