//! Tokens of another authorization server: it is asked about each (RFC 7662), and the answer kept for a while.
//!
//! A token that says that it is our broker's is never asked about: it is verified here or not good. So nobody gets in by
//! the other server who would not by the broker, and the other server sees none of ours.
//!
//! - An answer is kept until the token's `exp`, at most [`IntrospectSettings::keep`]; that it is not active, or that the
//!   server takes it for no token, for [`NEGATIVE`]. One that says nothing of the token is 503, and kept for
//!   [`TRY_AGAIN`]. That there was none is not kept: it is 503, and never 401 or 403.
//! - The server is left alone for a while when it fails several times in a row: when it cannot be reached, does not answer
//!   in time, fails itself, or does not take our credentials. What it answers about a token is no failure.
//! - However many come with a token at once, one question is asked. Whoever leaves does not end it for the others.
//! - Tokens are known here by a keyed hash.
//!
//! **What an attacker controls:** anybody can send a token that nobody knows, and each is a question. Those at once have
//! a bound; whoever is over it is told to come again. No token makes the server be left alone, however the server takes
//! it: else a handful of odd ones would keep out everybody whose token is not known yet.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use hyper::header::HeaderValue;
use parking_lot::Mutex;
use sealock_core::{Clock, Identity, TrustDomain};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use zeroize::Zeroizing;

use super::breaker::{Breaker, BreakerSettings};
use super::cache::Cache;
use super::mapping::{IdentityPattern, mapped};
use super::state::Caller;
use crate::http::problem::Problem;
use crate::token::{Binding, Claims, Introspected, introspected};

/// How long it is kept that a token is not good.
const NEGATIVE: u64 = 8;
/// Answers that are kept.
const KEPT: usize = 16 * 1024;
/// Questions at once.
const AT_ONCE: usize = 64;
/// Questions in a row without an answer, before none are asked for a while.
const FAILURES: u32 = 5;
/// For whoever is to come again.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// What the other server has answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// With 200: the body.
    Body(Vec<u8>),
    /// With another status.
    Status(u16),
}

/// Asks the other server about a token. That it has not answered is an error, which is for the log and holds no token.
pub trait Introspector: Send + Sync + 'static {
    /// Asks. It is given up after [`IntrospectSettings::deadline`].
    fn ask(&self, token: Zeroizing<String>) -> Asked;
}

/// What becomes of a question.
pub type Asked =
    Pin<Box<dyn Future<Output = Result<Answer, Box<dyn std::error::Error + Send + Sync>>> + Send>>;

/// How the other server's tokens are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntrospectSettings {
    /// Its answer must name this one in `aud`; without, tokens for anybody are taken.
    pub audience: Option<String>,
    /// Its answer must have this `iss`.
    pub issuer: Option<String>,
    /// Who somebody is to policy.
    pub identities: Vec<IdentityPattern>,
    /// How long an answer is kept at most.
    pub keep: Duration,
    /// For the answer.
    pub deadline: Duration,
}

/// What is found out by asking.
pub struct Introspection(Arc<Inner>);

struct Inner {
    settings: IntrospectSettings,
    domain: TrustDomain,
    audience: String,
    introspector: Box<dyn Introspector>,
    clock: Arc<dyn Clock>,
    /// Where questions are asked: whoever wants to know may leave.
    runtime: Handle,
    pepper: hmac::Key,
    kept: Cache<Hash, Kept>,
    asking: Mutex<HashMap<Hash, watch::Receiver<Option<Outcome>>>>,
    room: Arc<Semaphore>,
    breaker: Breaker,
}

type Hash = [u8; 32];
type Outcome = Result<Arc<Caller>, Problem>;

#[derive(Debug, Clone)]
struct Kept {
    outcome: Outcome,
    until: u64,
}

impl std::fmt::Debug for Introspection {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Introspection").field(&self.0.settings).finish()
    }
}

impl Introspection {
    /// For the service's Gatekeeper. Must be called on a runtime, where the questions are asked.
    pub fn new(
        settings: IntrospectSettings,
        service: &Identity,
        introspector: Box<dyn Introspector>,
        clock: Arc<dyn Clock>,
    ) -> Option<Self> {
        let mut pepper = [0; 32];
        aws_lc_rs::rand::fill(&mut pepper).ok()?;
        Some(Self(Arc::new(Inner {
            settings,
            domain: service.trust_domain().clone(),
            audience: service.to_string(),
            introspector,
            clock,
            runtime: Handle::try_current().ok()?,
            pepper: hmac::Key::new(hmac::HMAC_SHA256, &pepper),
            kept: Cache::new(KEPT),
            asking: Mutex::default(),
            room: Arc::new(Semaphore::new(AT_ONCE)),
            breaker: Breaker::new(BreakerSettings::after(FAILURES)),
        })))
    }

    /// Who has this token.
    pub(super) async fn caller(&self, token: &str) -> Outcome {
        let inner = &self.0;
        let hash = inner.hash(token);
        let place = inner.kept.place(hash);
        let is_alive = |kept: &Kept| inner.now() < kept.until;
        if let Some(kept) = inner.kept.find(place, |it| *it == hash).filter(is_alive) {
            return kept.outcome;
        }
        let mut answer = self.join(hash, token)?;
        match answer.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or_else(|| Err(unavailable())),
            // Whoever asked is gone without a word.
            Err(_) => Err(unavailable()),
        }
    }

    /// The question about a token, which is asked now if nobody asks it already.
    fn join(&self, hash: Hash, token: &str) -> Result<watch::Receiver<Option<Outcome>>, Problem> {
        let inner = &self.0;
        let mut asking = inner.asking.lock();
        if let Some(answer) = asking.get(&hash) {
            return Ok(answer.clone());
        }
        let room = Arc::clone(&inner.room).try_acquire_owned().map_err(|_| {
            let detail = "too many tokens are being asked about";
            Problem::unavailable("introspection_busy", detail, TRY_AGAIN)
        })?;
        let (tell, answer) = watch::channel(None);
        asking.insert(hash, answer.clone());
        drop(asking);
        let (token, inner) = (Zeroizing::new(token.to_owned()), Arc::clone(inner));
        let task = async move {
            let place = Asking { inner: &inner, hash };
            let outcome = inner.find_out(hash, token).await;
            // After it is kept, so that nobody asks between.
            drop(place);
            let _ = tell.send(Some(outcome));
            drop(room);
        };
        self.0.runtime.spawn(task);
        Ok(answer)
    }
}

/// A question that is asked, however that ends.
struct Asking<'a> {
    inner: &'a Inner,
    hash: Hash,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.inner.asking.lock().remove(&self.hash);
    }
}

impl Inner {
    fn now(&self) -> u64 {
        u64::try_from(self.clock.now().as_secs()).unwrap_or(0)
    }

    fn hash(&self, token: &str) -> Hash {
        let tag = hmac::sign(&self.pepper, token.as_bytes());
        let mut hash = [0; 32];
        hash.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
        hash
    }

    async fn find_out(&self, hash: Hash, token: Zeroizing<String>) -> Outcome {
        let attempt = self.breaker.enter(self.clock.now()).map_err(|wait| {
            let detail =
                "the server that knows this token does not answer, and is left alone for a while";
            Problem::unavailable("introspection_failed", detail, wait)
        })?;
        let asked =
            tokio::time::timeout(self.settings.deadline, self.introspector.ask(token)).await;
        let meaning = match asked {
            Ok(Ok(answer)) => Meaning::of(&answer),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("it did not answer in time".to_owned()),
        };
        let meaning = match meaning {
            Ok(meaning) => {
                attempt.succeeded();
                meaning
            }
            Err(why) => {
                attempt.failed(self.clock.now());
                tracing::warn!(why, "a token cannot be asked about");
                return Err(unavailable());
            }
        };
        let (outcome, until) = self.settled(meaning, self.now());
        self.kept.keep(self.kept.place(hash), hash, Kept { outcome: outcome.clone(), until });
        outcome
    }

    /// What becomes of an answer, and until when that is kept.
    fn settled(&self, meaning: Meaning, now: u64) -> (Outcome, u64) {
        let outcome = match meaning {
            Meaning::Said(said) => self.judge(*said, now),
            Meaning::NoToken => {
                let detail = "the server that it is from takes it for no token";
                Err(Problem::token("token_inactive", detail))
            }
            Meaning::Nothing(why) => {
                tracing::warn!(why, "an answer says nothing about the token");
                return (Err(unavailable()), now.saturating_add(TRY_AGAIN.as_secs()));
            }
        };
        let until = match &outcome {
            Ok(caller) => caller.claims.expires_at,
            Err(_) => now.saturating_add(NEGATIVE),
        };
        (outcome, until)
    }

    fn judge(&self, said: Option<Introspected>, now: u64) -> Outcome {
        let refused = |code, detail: &str| Err(Problem::token(code, detail));
        let Some(said) = said else {
            return refused(
                "token_inactive",
                "the server that it is from says that the token is not good",
            );
        };
        if said.expires_at.is_some_and(|end| end <= now) {
            return refused("token_expired", "the token has expired");
        }
        if said.not_before.is_some_and(|begin| begin > now.saturating_add(crate::token::SKEW)) {
            return refused("token_not_yet_valid", "the token is not good yet");
        }
        let wanted = self.settings.issuer.as_ref();
        if wanted.is_some_and(|issuer| said.issuer.as_ref() != Some(issuer)) {
            return refused("wrong_issuer", "the token is from somebody else");
        }
        let wanted = self.settings.audience.as_ref();
        if wanted.is_some_and(|audience| !said.audiences.contains(audience)) {
            return refused("wrong_audience", "the token is for somebody else");
        }
        let binding = match said.binding {
            Binding::None => None,
            Binding::Certificate(hash) => Some(hash),
            Binding::Unknown => {
                return refused(
                    "confirmation_unknown",
                    "the token is bound to something that is not known here",
                );
            }
        };
        let Some(subject) = mapped(&self.settings.identities, &self.domain, &said) else {
            return refused("subject_unmapped", "whoever the token is about has no identity here");
        };
        let keep = now.saturating_add(self.settings.keep.as_secs());
        let identity = HeaderValue::from_maybe_shared(subject.to_string())
            .map_err(|_| Problem::token("subject_unmapped", "its identity cannot be told"))?;
        let claims = Claims {
            issuer: said.issuer.unwrap_or_default(),
            subject,
            audience: self.audience.clone(),
            // One of unknown age is as old as can be: a revocation of its identity is about it, too.
            issued_at: said.issued_at.unwrap_or(0),
            not_before: said.not_before.unwrap_or(0),
            // What is known of it is good until then; a stream is cut, and its caller shows the token again.
            expires_at: said.expires_at.map_or(keep, |end| end.min(keep)),
            id: said.id.unwrap_or_default(),
            client: None,
            binding,
        };
        Ok(Arc::new(Caller::told(claims, identity)))
    }
}

/// What an answer means.
enum Meaning {
    /// It is about the token; none when that is not active.
    Said(Box<Option<Introspected>>),
    /// This is no token.
    NoToken,
    /// Nothing about the token, though the server is well: it is asked too much, or at the wrong place, or it says what
    /// cannot be read.
    Nothing(String),
}

impl Meaning {
    /// An error is a failure of the server's, or we are nobody to it.
    fn of(answer: &Answer) -> Result<Self, String> {
        Ok(match answer {
            Answer::Body(body) => match introspected(body) {
                Ok(said) => Self::Said(Box::new(said)),
                Err(fault) => Self::Nothing(fault.to_string()),
            },
            // Malformed, or longer than it takes.
            Answer::Status(400 | 413 | 414 | 422 | 431) => Self::NoToken,
            Answer::Status(status @ (401 | 403 | 500..=599)) => {
                return Err(format!("it answered {status}"));
            }
            Answer::Status(status) => Self::Nothing(format!("it answered {status}")),
        })
    }
}

fn unavailable() -> Problem {
    let detail = "the server that knows this token gives no answer";
    Problem::unavailable("introspection_failed", detail, TRY_AGAIN)
}
