//! Tokens that we have, by audience.
//!
//! - Fetched ahead: at a share of its life that is set, and a little earlier by chance, so that many Forwarders do not
//!   come at once. Those that nobody has used since they came are left to expire.
//! - One flight for each audience, however many wait. It has a task of its own: who leaves takes it from nobody.
//! - While the source fails, what we have is used until it expires. A failure is remembered for a moment that doubles, so
//!   that a source in trouble is not asked once for each request.
//! - A token belongs to the certificate that it is bound to, and goes out beside no other. When that is renewed the next
//!   one is fetched at once; until it has come the old pair is used, as long as both of it are good.
//! - A token that a Gatekeeper has refused is dropped, but for one that has just come: another would fare no better.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::rand;
use hyper::header::HeaderValue;
use parking_lot::Mutex;
use sealock_core::{Clock, Identity, Timestamp};
use thiserror::Error;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout, timeout_at};
use zeroize::Zeroizing;

use super::metrics::Metrics;
use super::settings::TokenSettings;
use super::source::{Fresh, SourceError, TokenSource};
use super::trust::{Trust, Trusts};
use crate::token::MAXIMUM_TOKEN;

/// How long a failure is remembered, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
/// A token that is refused is not dropped before this age.
const LEAST_AGE: Duration = Duration::from_secs(5);
/// By up to this share of its life (in 1/256) a token is fetched earlier.
const JITTER: u64 = 26;

/// Why there is no token, for the one who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum NoToken {
    #[error("the broker gives no token for this service")]
    Refused,
    #[error("no token can be had now")]
    Unavailable,
}

/// A token, as it goes out.
#[derive(Clone)]
pub(super) struct Held {
    /// `Bearer …`, marked as sensitive.
    pub(super) value: HeaderValue,
    /// Which one it is of those that we had for its audience.
    pub(super) number: u64,
    /// Beside which certificate.
    pub(super) trust: Arc<Trust>,
    came: Timestamp,
    renew: Timestamp,
    expires: Timestamp,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    failed: Option<Failed>,
    flying: bool,
    /// Since it came.
    used: bool,
    last: u64,
}

impl State {
    /// What is held goes with the latest certificate where it can, and goes away where it is worth nothing any more.
    fn bring_up_to(&mut self, trust: &Arc<Trust>, now: Timestamp) {
        let Some(held) = &mut self.held else { return };
        if held.trust.goes_on_as(trust) {
            held.trust = Arc::clone(trust);
        }
        let is_replaced = !Arc::ptr_eq(&held.trust, trust);
        if held.expires <= now || (is_replaced && held.trust.has_ended(now)) {
            self.held = None;
        }
    }
}

struct Failed {
    why: NoToken,
    until: Timestamp,
    times: u32,
}

struct Entry {
    audience: Identity,
    state: Mutex<State>,
    landed: Notify,
}

enum Look {
    Held(Held),
    Failed(NoToken),
    Wait,
}

pub(super) struct Tokens {
    source: Arc<dyn TokenSource>,
    /// What tokens to come are for.
    trusts: ArcSwap<Trusts>,
    clock: Arc<dyn Clock>,
    settings: TokenSettings,
    metrics: Arc<Metrics>,
    /// As many as there are services.
    entries: Mutex<HashMap<Identity, Arc<Entry>>>,
}

impl Tokens {
    pub(super) fn new(
        source: Arc<dyn TokenSource>,
        trusts: Trusts,
        clock: Arc<dyn Clock>,
        settings: TokenSettings,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        let (trusts, entries) = (ArcSwap::from_pointee(trusts), Mutex::default());
        Arc::new(Self { source, trusts, clock, settings, metrics, entries })
    }

    /// What tokens to come are for.
    pub(super) fn trusts(&self) -> Arc<Trusts> {
        self.trusts.load_full()
    }

    /// Tokens to come are for these, and those that are used are fetched now.
    pub(super) fn renew(self: &Arc<Self>, trusts: Trusts) {
        self.trusts.store(Arc::new(trusts));
        self.look();
    }

    /// A token for this audience.
    pub(super) async fn token(self: &Arc<Self>, audience: &Identity) -> Result<Held, NoToken> {
        let entry = self.entry(audience);
        let deadline = Instant::now() + self.settings.wait;
        loop {
            // Before the look, so that no landing falls between.
            let landed = entry.landed.notified();
            match self.look_at(&entry) {
                Look::Held(held) => return Ok(held),
                Look::Failed(why) => return Err(why),
                Look::Wait => {}
            }
            timeout_at(deadline, landed).await.map_err(|_| NoToken::Unavailable)?;
        }
    }

    /// A Gatekeeper has refused this one. Says whether there may be a better one.
    pub(super) fn refused(&self, audience: &Identity, number: u64) -> bool {
        let entry = self.entry(audience);
        let now = self.clock.now();
        let mut state = entry.state.lock();
        match &state.held {
            Some(held) if held.number == number => {
                if now < held.came.plus(LEAST_AGE) {
                    return false;
                }
                state.held = None;
                true
            }
            _ => true,
        }
    }

    /// Fetches ahead what is used, also while nobody asks, and lets go of what is of no more use.
    pub(super) fn look(self: &Arc<Self>) {
        let all: Vec<Arc<Entry>> = self.entries.lock().values().cloned().collect();
        for entry in all {
            let mut state = entry.state.lock();
            state.bring_up_to(&self.trust(&entry.audience), self.clock.now());
            let used = state.used;
            drop(state);
            if used {
                self.look_at(&entry);
            }
        }
    }

    fn trust(&self, audience: &Identity) -> Arc<Trust> {
        Arc::clone(self.trusts.load().of(audience.trust_domain()))
    }

    /// Forgets the tokens for others than these.
    pub(super) fn keep(&self, is_kept: impl Fn(&Identity) -> bool) {
        self.entries.lock().retain(|audience, _| is_kept(audience));
    }

    fn entry(&self, audience: &Identity) -> Arc<Entry> {
        let mut entries = self.entries.lock();
        if let Some(entry) = entries.get(audience) {
            return Arc::clone(entry);
        }
        let state = Mutex::default();
        let entry = Entry { audience: audience.clone(), state, landed: Notify::new() };
        let entry = Arc::new(entry);
        entries.insert(audience.clone(), Arc::clone(&entry));
        entry
    }

    fn look_at(self: &Arc<Self>, entry: &Arc<Entry>) -> Look {
        let (now, trust) = (self.clock.now(), self.trust(&entry.audience));
        let mut state = entry.state.lock();
        state.bring_up_to(&trust, now);
        // A pause that ends later than any does is from before the clock was set back.
        let failed = state.failed.as_ref();
        let failed = failed.filter(|it| now < it.until && it.until.since(now) <= LONGEST_PAUSE);
        let failed = failed.map(|failed| failed.why);
        let may_fly = failed.is_none() && !state.flying;
        let held = state.held.clone();
        if held.is_some() {
            state.used = true;
        }
        let is_due = |held: &Held| now >= held.renew || !Arc::ptr_eq(&held.trust, &trust);
        let wanted = held.as_ref().is_none_or(is_due);
        if wanted && may_fly {
            state.flying = true;
            tokio::spawn(Flight::new(Arc::clone(self), Arc::clone(entry), trust).run());
        }
        match (held, failed) {
            (Some(held), _) => Look::Held(held),
            (None, Some(why)) => Look::Failed(why),
            (None, None) => Look::Wait,
        }
    }

    /// What came, ready for use.
    fn held(&self, fresh: &Fresh, number: u64, trust: &Arc<Trust>) -> Option<Held> {
        let now = self.clock.now();
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        let token = fresh.token.as_str();
        let is_good = !token.is_empty() && token.len() <= MAXIMUM_TOKEN;
        if !is_good || !token.bytes().all(is_token) || fresh.expires_at <= now {
            return None;
        }
        let text = Zeroizing::new(format!("Bearer {token}"));
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        let life = u64::try_from(fresh.expires_at.since(now).as_millis()).unwrap_or(u64::MAX);
        let mut chance = [0; 1];
        // Without randomness it comes at its time.
        let _ = rand::fill(&mut chance);
        let [chance] = chance;
        let ahead = (life / 256).saturating_mul(JITTER * u64::from(chance) / 256);
        let percent = u64::from(self.settings.renew_percent.min(100));
        let renew = (life / 100).saturating_mul(percent).saturating_sub(ahead);
        Some(Held {
            value,
            number,
            trust: Arc::clone(trust),
            came: now,
            renew: now.plus(Duration::from_millis(renew)),
            expires: fresh.expires_at,
        })
    }
}

/// A token on its way. However it ends, those who wait are told.
struct Flight {
    tokens: Arc<Tokens>,
    entry: Arc<Entry>,
    trust: Arc<Trust>,
    outcome: Result<Fresh, NoToken>,
}

impl Flight {
    fn new(tokens: Arc<Tokens>, entry: Arc<Entry>, trust: Arc<Trust>) -> Self {
        Self { tokens, entry, trust, outcome: Err(NoToken::Unavailable) }
    }

    async fn run(mut self) {
        let audience = &self.entry.audience;
        let asking = self.tokens.source.token(audience, &self.trust);
        self.outcome = match timeout(self.tokens.settings.fetch, asking).await {
            Ok(Ok(fresh)) => Ok(fresh),
            Ok(Err(error)) => {
                let shown = &error as &dyn std::error::Error;
                tracing::warn!(%audience, error = shown, "no token");
                Err(match error {
                    SourceError::Refused { .. } => NoToken::Refused,
                    SourceError::Unavailable(_) => NoToken::Unavailable,
                })
            }
            Err(_) => {
                tracing::warn!(%audience, "the source of tokens is silent");
                Err(NoToken::Unavailable)
            }
        };
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut state = self.entry.state.lock();
        state.flying = false;
        let number = state.last + 1;
        let outcome = self.outcome.as_ref().map_err(|why| *why).and_then(|fresh| {
            self.tokens.held(fresh, number, &self.trust).ok_or_else(|| {
                tracing::warn!(audience = %self.entry.audience, "the token cannot be used");
                NoToken::Unavailable
            })
        });
        self.tokens.metrics.fetched(outcome.is_ok());
        match outcome {
            Ok(held) => {
                (state.held, state.failed, state.used) = (Some(held), None, false);
                state.last = number;
            }
            Err(why) => {
                let times = state.failed.as_ref().map_or(0, |failed| failed.times);
                let pause = FIRST_PAUSE.saturating_mul(1 << times.min(8)).min(LONGEST_PAUSE);
                let until = self.tokens.clock.now().plus(pause);
                state.failed = Some(Failed { why, until, times: times.saturating_add(1) });
            }
        }
        drop(state);
        self.entry.landed.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
