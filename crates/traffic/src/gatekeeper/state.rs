//! What is known, with what was found out by it.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::BASE64URL_NOPAD;
use hyper::header::HeaderValue;
use sealock_core::Identity;
use sealock_core::policy::{Decision, Principal, Question, Resource};
use serde::Deserialize;

use super::cache::Cache;
use super::call::Call;
use super::known::Known;
use super::live::Running;
use super::metrics::Metrics;
use super::sign::Signed;
use crate::token::{Claims, Expected, PublicKey, Refusal, verify};

/// Verified tokens that are remembered: about half a kilobyte each.
const TOKENS: usize = 16 * 1024;
/// Decisions that are remembered.
const DECISIONS: usize = 16 * 1024;
/// A longer call is decided on anew each time, so that the memory has a bound.
const LONGEST: usize = 512;

/// Somebody with a good token.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) claims: Arc<Claims>,
    /// The subject, as the app is told.
    pub(super) identity: HeaderValue,
    /// What the token is signed by; none where another server has said who it is.
    key: Option<PublicKey>,
    /// What the app was told last, signed.
    pub(super) signed: Signed,
}

/// All that verification looks at, but time: the token by its hash, and the connection's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Shown {
    token: [u8; 32],
    certificate: Option<[u8; 32]>,
}

impl Caller {
    /// Of whom another server has said who they are.
    pub(super) fn told(claims: Claims, identity: HeaderValue) -> Self {
        Self { claims: Arc::new(claims), identity, key: None, signed: Signed::default() }
    }
}

type Tokens = Cache<Shown, Arc<Caller>>;
type Decisions = Cache<(Identity, Arc<Call>), Arc<Decision>>;

pub(super) struct State {
    pub(super) known: Known,
    /// As policy has it.
    service: Resource,
    /// By these keys and this issuer.
    tokens: Arc<Tokens>,
    /// By this policy and these groups.
    decisions: Arc<Decisions>,
}

impl State {
    /// What was found out before stays as far as nothing has changed that it depends on.
    pub(super) fn new(known: Known, service: &Identity, before: Option<&Self>) -> Self {
        let tokens = before.filter(|before| {
            before.known.issuer == known.issuer && same(&before.known.keys, &known.keys)
        });
        let decisions = before.filter(|before| {
            Arc::ptr_eq(&before.known.policy, &known.policy)
                && same(&before.known.groups, &known.groups)
        });
        Self {
            service: Resource::Service {
                identity: service.clone(),
                groups: known.groups.of(service).to_vec(),
            },
            tokens: tokens
                .map_or_else(|| Arc::new(Cache::new(TOKENS)), |it| Arc::clone(&it.tokens)),
            decisions: decisions
                .map_or_else(|| Arc::new(Cache::new(DECISIONS)), |it| Arc::clone(&it.decisions)),
            known,
        }
    }

    /// Who has this token, whether or not it was revoked.
    pub(super) fn verify(
        &self,
        token: &str,
        expected: &Expected<'_>,
        metrics: &Metrics,
    ) -> Result<Arc<Caller>, Refusal> {
        let mut shown = Shown { token: [0; 32], certificate: expected.certificate.copied() };
        for (place, byte) in shown.token.iter_mut().zip(digest(&SHA256, token.as_bytes()).as_ref())
        {
            *place = *byte;
        }
        let place = self.tokens.place(shown);
        // In the skew after its end it is verified each time.
        let is_alive = |caller: &Arc<Caller>| expected.now < caller.claims.expires_at;
        if let Some(caller) = self.tokens.find(place, |kept| *kept == shown).filter(is_alive) {
            metrics.token_was_known(true);
            return Ok(caller);
        }
        metrics.token_was_known(false);
        let claims = Arc::new(verify(token, &self.known.keys, expected)?);
        let identity = HeaderValue::from_maybe_shared(claims.subject.to_string())
            .map_err(|_| Refusal::BadSubject)?;
        let key = kid(token).and_then(|kid| self.known.keys.get(&kid).cloned());
        let key = key.ok_or(Refusal::UnknownKey)?;
        let caller =
            Arc::new(Caller { claims, identity, key: Some(key), signed: Signed::default() });
        if is_alive(&caller) {
            self.tokens.keep(place, shown, Arc::clone(&caller));
        }
        Ok(caller)
    }

    /// Whether somebody may make a call.
    pub(super) fn decide(
        &self,
        who: &Identity,
        call: &Arc<Call>,
        metrics: Option<&Metrics>,
    ) -> Arc<Decision> {
        let place = self.decisions.place((who, &**call));
        let is_it = |(by, kept): &(Identity, Arc<Call>)| by == who && *kept == *call;
        let found = self.decisions.find(place, is_it);
        if let Some(metrics) = metrics {
            metrics.decision_was_known(found.is_some());
        }
        if let Some(decision) = found {
            return decision;
        }
        let decision = Arc::new(self.known.policy.decide(&self.question(who, call)));
        if call.path.len().saturating_add(call.method.as_str().len()) <= LONGEST {
            self.decisions.keep(place, (who.clone(), Arc::clone(call)), Arc::clone(&decision));
        }
        decision
    }

    /// What policy is asked.
    pub(super) fn question(&self, who: &Identity, call: &Call) -> Question {
        let mut principal = Principal::new(who.clone());
        principal.groups = self.known.groups.of(who).to_vec();
        call.question(principal, &self.service)
    }

    /// Whether what runs may go on.
    pub(super) fn lets_go_on(&self, running: &Running) -> bool {
        let Running { caller, call, chain, .. } = running;
        let claims = &caller.claims;
        let is_signed = caller.key.as_ref().is_none_or(|key| {
            claims.issuer == self.known.issuer && self.known.keys.get(key.kid()) == Some(key)
        });
        is_signed
            && !self.known.revocations.cover(claims)
            && !self.known.cas.are_in(chain)
            && self.decide(&claims.subject, call, None).permits()
    }
}

/// Most changes leave most of it where it is.
fn same<T: PartialEq>(one: &Arc<T>, other: &Arc<T>) -> bool {
    Arc::ptr_eq(one, other) || one == other
}

/// Which key a token names. Its header was read strictly before.
fn kid(token: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Header {
        kid: String,
    }
    let (header, _) = token.split_once('.')?;
    let header = BASE64URL_NOPAD.decode(header.as_bytes()).ok()?;
    serde_json::from_slice::<Header>(&header).ok().map(|header| header.kid)
}
