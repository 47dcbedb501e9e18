//! Tells the app who calls in a form that it can check ([`IDENTITY_TOKEN`]): a JWT, signed by a key that is made at the
//! start and nowhere kept.
//!
//! One is made for each token of a caller and used again for a while, so most requests cost no signature. It is about
//! who calls, not about the call: an app must not keep it, and nobody else is to see it.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use hyper::header::{HeaderName, HeaderValue};
use sealock_core::Identity;

use super::state::Caller;
use crate::http::ids;
use crate::token::{Algorithm, KeySet, Said, SigningKey, TokenError, say};

/// The header with it.
pub const IDENTITY_TOKEN: HeaderName = HeaderName::from_static("x-sealock-identity-token");

/// How long one is good, in seconds.
const LIFE: u64 = 90;
/// How long one is used again.
const FRESH: u64 = 30;

/// The key that signs who calls.
#[derive(Debug)]
pub struct Signer {
    key: SigningKey,
    service: String,
}

/// The last one about a caller.
#[derive(Debug, Default)]
pub(super) struct Signed(ArcSwapOption<(HeaderValue, u64)>);

impl Signer {
    /// A new key, for this service.
    pub fn new(service: &Identity) -> Result<Self, TokenError> {
        let key = SigningKey::generate(Algorithm::Es256)?;
        Ok(Self { key, service: service.to_string() })
    }

    /// The public half, as a key set.
    pub fn keys(&self) -> KeySet {
        KeySet::from_iter([self.key.public()])
    }

    /// What is told about a caller; none if it cannot be signed.
    pub(super) fn tell(&self, caller: &Caller, now: u64) -> Option<HeaderValue> {
        if let Some(kept) = &*caller.signed.0.load()
            && (kept.1.saturating_sub(FRESH)..kept.1).contains(&now)
        {
            return Some(kept.0.clone());
        }
        let id = ids::unique()?;
        let said = Said {
            service: &self.service,
            caller: &caller.claims.subject,
            client: caller.claims.client.as_deref(),
            issued_at: now,
            expires_at: now.saturating_add(LIFE),
            id: &id,
        };
        let token = say(&self.key, &said).ok()?;
        let mut value = HeaderValue::from_str(&token).ok()?;
        value.set_sensitive(true);
        let kept = (value.clone(), now.saturating_add(FRESH));
        caller.signed.0.store(Some(Arc::new(kept)));
        Some(value)
    }
}
