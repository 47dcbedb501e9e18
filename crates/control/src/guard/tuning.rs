//! How a Gatekeeper guards, where it is not as usual.

use std::time::Duration;

use sealock_core::Identity;
use sealock_traffic::gatekeeper::{
    BreakerSettings, HealthSettings, Rate, Retries, Settings, StaleRoutes, Staleness,
};

use super::DRAIN;

/// How a Gatekeeper guards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tuning {
    /// Where something else is done when the feed is silent.
    pub stale_routes: StaleRoutes,
    /// Requests and streams of one caller at once.
    pub concurrent: usize,
    /// Requests of one caller in a second.
    pub rate: Option<Rate>,
    /// For the app to begin its answer.
    pub answer: Duration,
    /// For an answer or stream in which nothing moves.
    pub quiet: Option<Duration>,
    /// For a request altogether.
    pub whole: Option<Duration>,
    /// When the app cannot be reached.
    pub retries: Retries,
    /// When the app has failed again and again.
    pub breaker: Option<BreakerSettings>,
    /// How the app is asked how it is.
    pub health: Option<HealthSettings>,
    /// At the end, for what is under way.
    pub drain: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            stale_routes: StaleRoutes::default(),
            concurrent: 1000,
            rate: None,
            answer: Duration::from_secs(120),
            quiet: None,
            whole: None,
            retries: Retries { most: 2, percent: 20 },
            breaker: None,
            health: None,
            drain: DRAIN,
        }
    }
}

impl Tuning {
    pub(super) fn settings(&self, service: Identity, staleness: Staleness) -> Settings {
        let mut settings = Settings::new(service);
        settings.limits.drain = self.drain;
        Settings {
            staleness,
            stale_routes: self.stale_routes.clone(),
            concurrent: self.concurrent,
            rate: self.rate,
            answer: self.answer,
            quiet: self.quiet,
            whole: self.whole,
            retries: self.retries,
            breaker: self.breaker,
            health: self.health.clone(),
            ..settings
        }
    }
}
