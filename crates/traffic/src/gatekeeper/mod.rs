//! The Gatekeeper: what stands before a service, and lets in who has a good token and may call.
//!
//! ```text
//! accept → (TLS) → each request: one spelling of path and host → token → revoked? → policy → is there room?
//!   → known to be running → still so? → headers cleaned, identity told → the app, and its answer as it streams
//! ```
//!
//! It asks nobody. What it decides by is [`Known`]: the broker's keys, the policy, the groups, what was revoked. Whoever
//! holds the feed puts it in, whole ([`Gatekeeper::know`]) or by a change ([`Gatekeeper::change`],
//! [`Gatekeeper::revoke`]), and says that the feed lives ([`Gatekeeper::heard`]). A change alone does not say so: it may
//! be an old one, told again by whoever holds back what came after it. Before the first time, everything is answered by
//! 503.
//!
//! # Invariants
//!
//! - What was decided on is what is forwarded: method, path and host of the question are those that the app gets.
//! - No request that begins after a change has returned is decided by what was known before, and what is running and
//!   would now be refused is cut, streams and upgraded connections included. A request is put among those that run
//!   before the last look at what is known, so none falls between.
//! - What was revoked stays so until no token that it is about can be alive.
//! - Nobody is let in by a connection whose client has shown a certificate below a CA that is known to be revoked, whatever
//!   token comes on it.
//! - Caches change no answer. A verified token is remembered with everything that its verification looked at, until its
//!   `exp`, and forgotten with the keys; a decision with everything that policy was asked, and forgotten with the policy
//!   and the groups. Whether a token has ended or was revoked is looked at every time.
//! - `audit` and `learn` let pass what policy denies. They never let pass who has no good token: there would be nobody to
//!   ask about.
//! - The app gets no token, and no identity but the one that was verified.
//!
//! # Ends
//!
//! A request or stream that runs when its token ends is cut (within [`LOOK_EVERY`], after the skew): its caller has to
//! show again that it still gets one. [`Settings::outlive`] gives it longer; revocation, policy and the end of the key
//! reach it there as before, and it needs a feed that was heard within the life of a token. When the feed has not been heard for longer than [`Staleness`] allows, nothing
//! is let in and what is running is cut, for a revocation may have been missed.
//!
//! # What is spoken
//!
//! HTTP/1.1, and HTTP/2 with trailers: over TLS what the client chooses, in clear text what it begins with. Calls of gRPC
//! are a protocol of their own to policy, and are refused in their own words ([`grpc`](crate::http::grpc)). On a connection
//! of HTTP/2 each request is cut by itself: several callers may share it. Of upgrades, WebSocket over HTTP/1.1; any other is
//! passed over and the request forwarded without it, `h2c` above all, which would carry requests that nobody looks at.
//!
//! **What an attacker controls:** as anybody who can connect: every byte, how fast it comes and how many connections
//! there are. As a caller with a token: paths, headers, how many requests run at once. The app is trusted with what it is
//! sent, but not to be well.

mod answer;
mod breaker;
mod cache;
mod call;
mod forward;
mod handle;
mod health;
mod introspect;
mod known;
mod live;
mod mapping;
mod metrics;
mod patience;
mod quiet;
mod rate;
mod report;
mod retry;
mod serve;
mod settings;
mod sign;
mod stale;
mod state;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use sealock_core::{Clock, Timestamp};
use sealock_net::proxy::Upstream;
use sealock_net::{Places, Shares};

use breaker::Breaker;
pub use breaker::BreakerSettings;
pub use call::{Call, Protocol};
pub use health::{Health, HealthSettings};
pub use introspect::{Answer, Asked, IntrospectSettings, Introspection, Introspector};
pub use known::{Groups, Known, Revocations};
use live::Live;
pub use mapping::{IdentityPattern, PatternError};
pub use metrics::Figures;
use metrics::Metrics;
pub use rate::Rate;
use rate::Rates;
pub use report::{Access, Denied, Report};
use retry::Budget;
pub use retry::Retries;
pub use settings::{Settings, Staleness};
pub use sign::{IDENTITY_TOKEN, Signer};
pub use stale::{StaleRouteError, StaleRoutes};
use state::State;

use crate::broker::{LONGEST, Revocation, RevokedCas};

/// How often it is looked for tokens that have ended, and whether the feed is alive.
pub const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The Gatekeeper of one service.
pub struct Gatekeeper {
    settings: Settings,
    /// `aud` of the tokens that are for us.
    audience: String,
    app: Upstream,
    report: Arc<dyn Report>,
    clock: Arc<dyn Clock>,
    state: ArcSwapOption<State>,
    /// Held by who changes what is known.
    changing: Mutex<()>,
    /// When the feed was last heard, in milliseconds since 1970.
    heard: AtomicI64,
    live: Arc<Live>,
    places: Places,
    rates: Option<Rates>,
    budget: Budget,
    breaker: Option<Breaker>,
    health: health::Last,
    extras: Extras,
    metrics: Metrics,
}

/// One caller may have three quarters: it may be a proxy before us, with the connections of all that it speaks for.
fn shares(connections: usize) -> Shares {
    let shares = Shares::of(connections);
    Shares { identity: (connections / 4 * 3).max(shares.known.min(16)), ..shares }
}

/// What not every Gatekeeper has.
#[derive(Debug, Default)]
pub struct Extras {
    /// Signs for the app who calls.
    pub signer: Option<Signer>,
    /// Knows tokens that are not of our broker.
    pub introspection: Option<Introspection>,
}

impl std::fmt::Debug for Gatekeeper {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Gatekeeper")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Gatekeeper {
    /// A Gatekeeper before an app, that knows nothing yet.
    pub fn new(
        settings: Settings,
        app: Upstream,
        report: Arc<dyn Report>,
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        Self::with(settings, app, report, clock, Extras::default())
    }

    /// As [`Gatekeeper::new`], with what not every Gatekeeper has.
    pub fn with(
        settings: Settings,
        app: Upstream,
        report: Arc<dyn Report>,
        clock: Arc<dyn Clock>,
        extras: Extras,
    ) -> Arc<Self> {
        Arc::new(Self {
            audience: settings.service.to_string(),
            rates: settings.rate.map(Rates::new),
            budget: Budget::default(),
            breaker: settings.breaker.map(Breaker::new),
            health: health::Last::default(),
            extras,
            live: Arc::new(Live::new(settings.running)),
            places: Places::new(shares(settings.limits.connections)),
            settings,
            app,
            report,
            clock,
            state: ArcSwapOption::empty(),
            changing: Mutex::new(()),
            heard: AtomicI64::new(i64::MIN),
            metrics: Metrics::default(),
        })
    }

    /// Replaces all that is known, but that what was revoked stays so. In force when this returns, and taken for a sign that
    /// the feed lives: whoever calls this has seen that it is new.
    pub fn know(&self, mut known: Known) {
        let guard = self.changing.lock();
        if let Some(state) = self.state.load_full() {
            let mut before = Revocations::clone(&state.known.revocations);
            before.forget(self.now());
            Arc::make_mut(&mut known.revocations).merge(&before);
            Arc::make_mut(&mut known.cas).merge(&state.known.cas, self.now());
        }
        self.put(known);
        drop(guard);
        self.heard();
        self.weed();
    }

    /// Changes what is known. In force when this returns; false if nothing was known that could be changed.
    pub fn change(&self, change: impl FnOnce(&mut Known)) -> bool {
        let guard = self.changing.lock();
        let Some(state) = self.state.load_full() else { return false };
        let mut known = state.known.clone();
        change(&mut known);
        self.put(known);
        drop(guard);
        self.weed();
        true
    }

    /// Adds a revocation. In force when this returns; false if nothing is known yet, so that the snapshot must have it.
    pub fn revoke(&self, revocation: &Revocation) -> bool {
        let now = self.now();
        self.change(|known| {
            let revocations = Arc::make_mut(&mut known.revocations);
            // Before it is added: one that comes late is still about what has outlived its token.
            revocations.forget(now);
            revocations.add(revocation);
        })
    }

    /// Adds CAs that are revoked. In force when this returns, and what runs below one is cut; false if nothing is known yet.
    pub fn revoke_cas(&self, cas: &RevokedCas) -> bool {
        let now = self.now();
        self.change(|known| Arc::make_mut(&mut known.cas).merge(cas, now))
    }

    /// The feed is alive, and nothing of it is missing.
    pub fn heard(&self) {
        self.heard.store(self.clock.now().as_millis(), Ordering::Release);
    }

    /// How long ago the feed was heard; none if it never was.
    pub fn silence(&self) -> Option<Duration> {
        let heard = self.heard.load(Ordering::Acquire);
        let now = self.clock.now();
        if heard == i64::MIN {
            return None;
        }
        let heard = Timestamp::from_millis(heard);
        // A clock that was set back says nothing about how long it is, but for the little by which clocks are corrected.
        let is_lost = heard.since(now) > self.settings.skew;
        Some(if is_lost { Duration::MAX } else { now.since(heard) })
    }

    /// What decides now; nothing before the first snapshot.
    pub fn known(&self) -> Option<Known> {
        self.state.load().as_ref().map(|state| state.known.clone())
    }

    /// The figures until now.
    pub fn figures(&self) -> Figures {
        self.metrics.figures(self.live.len())
    }

    /// Ends what is running and must not go on: its token has ended, or the feed has.
    pub fn look(&self) {
        let now = self.now();
        let (silence, moment) = (self.silence(), self.clock.now());
        let is_quiet = |running: &live::Running| match (&running.quiet, self.settings.quiet) {
            (Some(quiet), Some(most)) => quiet.is_over(moment, most),
            _ => false,
        };
        // The broker forgets a revocation when the tokens have died that it is about. Whoever was deaf for as long cannot
        // know what became of those that are outlived.
        let is_deaf = silence.is_none_or(|silence| silence > LONGEST);
        let skew = self.settings.skew.as_secs();
        let cut = self.live.cut(|running| {
            let is_outlived = running.caller.claims.expires_at.saturating_add(skew) <= now;
            let is_stale = self.staleness(&running.call.path).is_over(silence);
            let is_over = is_stale || running.ends <= now || (is_deaf && is_outlived);
            is_over || is_quiet(running)
        });
        self.metrics.cut(cut);
    }

    /// How often callers were answered by us and not by the app, by the word that they were told.
    pub fn refusals(&self) -> BTreeMap<&'static str, u64> {
        self.metrics.codes()
    }

    /// Why it is not to be called now; nothing if it is ready. Parts of the paths with a word of their own for a silent
    /// feed do not count here.
    pub fn unready(&self) -> Option<&'static str> {
        match self.state.load().as_ref() {
            None => Some("not_ready"),
            Some(state) if state.known.keys.is_empty() => Some("no_keys"),
            Some(_) if self.settings.staleness.is_over(self.silence()) => Some("stale"),
            Some(_) => match (self.health.get(), &self.settings.health) {
                (Health::Unwell, _) => Some("app_unwell"),
                (Health::Unknown, Some(_)) => Some("app_unknown"),
                _ => None,
            },
        }
    }

    /// What is done with calls of this path when the feed is silent.
    fn staleness(&self, path: &str) -> Staleness {
        self.settings.stale_routes.of(path).unwrap_or(self.settings.staleness)
    }

    /// Whether the feed was silent for too long to let in who calls this path.
    fn is_stale(&self, path: &str) -> bool {
        self.staleness(path).is_over(self.silence())
    }

    /// Seconds since 1970.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.clock.now().as_secs()).unwrap_or(0)
    }

    fn put(&self, known: Known) {
        let before = self.state.load_full();
        let state = State::new(known, &self.settings.service, before.as_deref());
        self.state.store(Some(Arc::new(state)));
    }

    /// Cuts what is running and would be refused by what is known now.
    fn weed(&self) {
        let Some(state) = self.state.load_full() else { return };
        let cut = self.live.weed(|running| !state.lets_go_on(running));
        self.metrics.cut(cut);
    }
}
