//! How a Gatekeeper guards.

use std::time::Duration;

use sealock_core::Identity;
use sealock_net::Limits;

/// What is done when the feed is silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Staleness {
    /// After so long everything is refused with 503, and what is running is cut: a revocation may have been missed.
    RefuseAfter(Duration),
    /// Tokens that are good by what is known are let in as long as they live.
    GoOn,
}

/// How a Gatekeeper guards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The service behind it, for which tokens must be.
    pub service: Identity,
    /// What a peer may ask of the listener.
    pub limits: Limits,
    /// Requests and streams of one caller at once.
    pub concurrent: usize,
    /// For the app to begin its answer, while nothing of the request moves.
    pub answer: Duration,
    /// When the feed is silent.
    pub staleness: Staleness,
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
            concurrent: 1000,
            answer: Duration::from_secs(120),
            // Longer than any token lives: a broker that is away for a while stops nothing that has one.
            staleness: Staleness::RefuseAfter(Duration::from_secs(600)),
            outlive: Duration::ZERO,
            skew: Duration::from_secs(crate::token::SKEW),
        }
    }
}
