//! How a Gatekeeper guards.

use std::time::Duration;

use sealock_core::Identity;
use sealock_net::Limits;

use super::breaker::BreakerSettings;
use super::health::HealthSettings;
use super::rate::Rate;
use super::retry::Retries;
use super::stale::StaleRoutes;

/// What is done when the feed is silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Staleness {
    /// After so long everything is refused with 503, and what is running is cut: a revocation may have been missed.
    RefuseAfter(Duration),
    /// Tokens that are good by what is known are let in as long as they live.
    GoOn,
}

impl Staleness {
    /// Whether a feed that was silent for so long decides nothing any more.
    pub(super) fn is_over(self, silence: Option<Duration>) -> bool {
        match self {
            Self::GoOn => false,
            Self::RefuseAfter(most) => silence.is_some_and(|silence| silence > most),
        }
    }
}

/// How a Gatekeeper guards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The service behind it, for which tokens must be.
    pub service: Identity,
    /// What a peer may ask of the listener.
    pub limits: Limits,
    /// Requests and streams at once, of all callers. Each may take a connection to the app.
    pub running: usize,
    /// Requests and streams of one caller at once.
    pub concurrent: usize,
    /// Requests of one caller in a second.
    pub rate: Option<Rate>,
    /// For the app to begin its answer, while nothing of the request moves.
    pub answer: Duration,
    /// For an answer or stream in which nothing moves, either way.
    pub quiet: Option<Duration>,
    /// For a request altogether, its answer included; to the second.
    pub whole: Option<Duration>,
    /// When the app cannot be reached.
    pub retries: Retries,
    /// When the app has failed again and again. Whoever may call can make it fail, and so keep others from it; without,
    /// every request tries for itself.
    pub breaker: Option<BreakerSettings>,
    /// Whether the app is asked how it is.
    pub health: Option<HealthSettings>,
    /// When the feed is silent.
    pub staleness: Staleness,
    /// Where something else is done.
    pub stale_routes: StaleRoutes,
    /// How much longer than its token a request or stream may run.
    pub outlive: Duration,
    /// How far the broker's clock may be off.
    pub skew: Duration,
}

impl Settings {
    /// The usual settings for a service.
    pub fn new(service: Identity) -> Self {
        Self {
            service,
            // Streams stay open for hours, and callers keep connections.
            limits: Limits {
                connections: 20_000,
                head: Duration::from_secs(60),
                ..Limits::default()
            },
            running: usize::MAX,
            concurrent: 1000,
            rate: None,
            answer: Duration::from_secs(120),
            quiet: None,
            whole: None,
            retries: Retries { most: 2, percent: 20 },
            breaker: None,
            health: None,
            // Longer than any token lives: a broker that is away for a while stops nothing that has one.
            staleness: Staleness::RefuseAfter(Duration::from_secs(600)),
            stale_routes: StaleRoutes::default(),
            outlive: Duration::ZERO,
            skew: Duration::from_secs(crate::token::SKEW),
        }
    }
}
