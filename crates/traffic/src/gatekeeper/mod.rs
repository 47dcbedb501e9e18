//! The Gatekeeper: what stands before a service, and lets in who has a good token and may call.
//!
//! ```text
//! accept → (TLS) → each request: one spelling of path and host → token → revoked? → policy → is there room?
//!   → known to be running → still so? → headers cleaned, identity told → the app, and its answer as it streams
//! ```
//!
//! It asks nobody. What it decides by is [`Known`]: the broker's keys, the policy, the groups, what was revoked. Whoever
//! holds the feed puts it in, whole ([`Gatekeeper::know`]) or by a change ([`Gatekeeper::change`],
//! [`Gatekeeper::revoke`]), and says that the feed lives ([`Gatekeeper::heard`]). Before the first time, everything is
//! answered by 503.
//!
//! # Invariants
//!
//! - What was decided on is what is forwarded: method, path and host of the question are those that the app gets.
//! - No request that begins after a change has returned is decided by what was known before, and what is running and
//!   would now be refused is cut, streams and upgraded connections included. A request is put among those that run
//!   before the last look at what is known, so none falls between.
//! - What was revoked stays so until no token that it is about can be alive.
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
mod app;
mod cache;
mod call;
mod forward;
mod handle;
mod known;
mod live;
mod metrics;
mod patience;
mod report;
mod serve;
mod settings;
mod state;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use sealock_core::{Clock, Timestamp};
use sealock_net::proxy::Upstream;

pub use app::{AddressError, address};
pub use call::{Call, Protocol};
pub use known::{Groups, Known, Revocations};
use live::Live;
pub use metrics::Figures;
use metrics::Metrics;
pub use report::{Access, Denied, Report};
pub use settings::{Settings, Staleness};
use state::State;

use crate::broker::{LONGEST, Revocation};

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
    metrics: Metrics,
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
        Arc::new(Self {
            audience: settings.service.to_string(),
            settings,
            app,
            report,
            clock,
            state: ArcSwapOption::empty(),
            changing: Mutex::new(()),
            heard: AtomicI64::new(i64::MIN),
            live: Arc::default(),
            metrics: Metrics::default(),
        })
    }

    /// Replaces all that is known, but that what was revoked stays so. In force when this returns.
    pub fn know(&self, mut known: Known) {
        let guard = self.changing.lock();
        if let Some(state) = self.state.load_full() {
            let mut before = Revocations::clone(&state.known.revocations);
            before.forget(self.now());
            Arc::make_mut(&mut known.revocations).merge(&before);
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
        self.heard();
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

    /// The feed is alive, and has nothing new to say.
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

    /// The number of the policy that decides.
    pub fn epoch(&self) -> Option<u64> {
        self.state.load().as_ref().map(|state| state.known.policy.epoch())
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
        let is_stale = self.is_stale();
        // The broker forgets a revocation when the tokens have died that it is about. Whoever was deaf for as long cannot
        // know what became of those that are outlived.
        let is_deaf = self.silence().is_none_or(|silence| silence > LONGEST);
        let skew = self.settings.skew.as_secs();
        let cut = self.live.cut(|running| {
            let is_outlived = running.caller.claims.expires_at.saturating_add(skew) <= now;
            is_stale || running.ends <= now || (is_deaf && is_outlived)
        });
        self.metrics.cut(cut);
    }

    /// Whether the feed was silent for too long.
    fn is_stale(&self) -> bool {
        match self.settings.staleness {
            Staleness::GoOn => false,
            Staleness::RefuseAfter(most) => self.silence().is_some_and(|silence| silence > most),
        }
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
        let cut = self.live.weed(|running| !state.lets_go_on(&running.caller, &running.call));
        self.metrics.cut(cut);
    }
}
