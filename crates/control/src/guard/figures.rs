//! The figures of a Gatekeeper, in OpenMetrics text.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use sealock_traffic::gatekeeper::{Figures, Gatekeeper, Health};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Code {
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct From {
    from: &'static str,
}

/// What is known at a moment.
#[derive(Debug, Default)]
struct Now {
    figures: Figures,
    unreported: u64,
    codes: BTreeMap<&'static str, u64>,
    epoch: u64,
    revocations: u64,
    silence: Duration,
    is_ready: bool,
    is_unwell: bool,
    is_open: bool,
}

/// The figures.
#[derive(Debug)]
pub struct GuardMetrics {
    registry: Registry,
    requests: Family<Outcome, Counter>,
    refusals: Family<Code, Counter>,
    recorded: Counter,
    unreported: Counter,
    tokens: Family<From, Counter>,
    decisions: Family<From, Counter>,
    running: Gauge,
    cut: Counter,
    silence: Gauge<f64, AtomicU64>,
    revocations: Gauge,
    epoch: Gauge,
    ready: Gauge,
    failures: Counter,
    retries: Counter,
    openings: Counter,
    open: Gauge,
    unwell: Gauge,
}

impl Default for GuardMetrics {
    fn default() -> Self {
        Self::new()
    }
}

impl GuardMetrics {
    /// All at zero.
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("sealock_gatekeeper"),
            requests: Family::default(),
            refusals: Family::default(),
            recorded: Counter::default(),
            unreported: Counter::default(),
            tokens: Family::default(),
            decisions: Family::default(),
            running: Gauge::default(),
            cut: Counter::default(),
            silence: Gauge::default(),
            revocations: Gauge::default(),
            epoch: Gauge::default(),
            ready: Gauge::default(),
            failures: Counter::default(),
            retries: Counter::default(),
            openings: Counter::default(),
            open: Gauge::default(),
            unwell: Gauge::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        let requests = "Requests, by outcome (forwarded, denied, unauthenticated, malformed, limited, unavailable)";
        registry.register("requests", requests, self.requests.clone());
        let refusals = "Requests that were answered by the Gatekeeper and not by the app, by the code that the caller was told";
        registry.register("refusals", refusals, self.refusals.clone());
        let recorded = "Requests that policy denies and its mode (audit, learn) lets pass";
        registry.register("recorded", recorded, self.recorded.clone());
        let unreported = "Denials that are in the access log only: there were too many at once to report them to the broker";
        registry.register("denials_unreported", unreported, self.unreported.clone());
        let tokens = "Good tokens, and those that were looked at for the first time, by whether they were in the cache";
        registry.register("tokens", tokens, self.tokens.clone());
        let decisions = "Decisions, by whether they were in the cache";
        registry.register("decisions", decisions, self.decisions.clone());
        let running = "Requests, streams and upgraded connections that are running";
        registry.register("running", running, self.running.clone());
        let cut =
            "Requests and streams that were cut: revoked, denied by a newer policy, or over a time";
        registry.register("cut", cut, self.cut.clone());
        let silence =
            "How long ago the broker was heard, in seconds; since the start where it never was";
        registry.register("feed_silence_seconds", silence, self.silence.clone());
        let revocations = "Number of the last revocation that is known";
        registry.register("feed_number", revocations, self.revocations.clone());
        let epoch = "Number of the policy that decides";
        registry.register("policy_epoch", epoch, self.epoch.clone());
        let ready = "Whether calls are let in as far as policy permits: 1 or 0";
        registry.register("ready", ready, self.ready.clone());
        let failures = "Requests that went to the app and got no answer";
        registry.register("app_failures", failures, self.failures.clone());
        let retries = "Requests that were sent to the app again, for it could not be reached";
        registry.register("app_retries", retries, self.retries.clone());
        let openings = "Times that the app was left alone, for it had failed too often";
        registry.register("app_circuit_openings", openings, self.openings.clone());
        let open = "Whether the app is left alone: 1 or 0";
        registry.register("app_circuit_open", open, self.open.clone());
        let unwell = "Whether the app says that it is not well, or says nothing: 1 or 0";
        registry.register("app_unwell", unwell, self.unwell.clone());
    }

    /// Name, kind and meaning of each figure, in the order of `/metrics`.
    pub fn described() -> Vec<[String; 3]> {
        // Of figures with labels nothing is said before there is one.
        let now = Now { codes: BTreeMap::from([("denied", 0)]), ..Now::default() };
        crate::metrics::described_in(&Self::new().text(&now))
    }

    /// OpenMetrics text, with what is known now. `since_start` stands for the silence of a feed that was never heard,
    /// `unreported` is how many denials the broker was not told.
    pub(super) fn render(
        &self,
        gatekeeper: &Gatekeeper,
        since_start: Duration,
        unreported: u64,
    ) -> String {
        let known = gatekeeper.known();
        self.text(&Now {
            figures: gatekeeper.figures(),
            unreported,
            codes: gatekeeper.refusals(),
            epoch: known.as_ref().map_or(0, |known| known.policy.epoch()),
            revocations: known.as_ref().map_or(0, |known| known.revocations.last()),
            silence: gatekeeper.silence().unwrap_or(since_start),
            is_ready: gatekeeper.unready().is_none(),
            is_unwell: gatekeeper.health() == Health::Unwell,
            is_open: gatekeeper.is_circuit_open(),
        })
    }

    fn text(&self, now: &Now) -> String {
        let figures = &now.figures;
        let set = |counter: &Counter, count: u64| counter.inner().store(count, Ordering::Relaxed);
        for (outcome, count) in [
            ("forwarded", figures.forwarded),
            ("denied", figures.denied),
            ("unauthenticated", figures.unauthenticated),
            ("malformed", figures.malformed),
            ("limited", figures.limited),
            ("unavailable", figures.unavailable),
        ] {
            set(&self.requests.get_or_create(&Outcome { outcome }), count);
        }
        for (code, count) in &now.codes {
            set(&self.refusals.get_or_create(&Code { code }), *count);
        }
        for (family, hits, misses) in [
            (&self.tokens, figures.token_hits, figures.token_misses),
            (&self.decisions, figures.decision_hits, figures.decision_misses),
        ] {
            set(&family.get_or_create(&From { from: "cache" }), hits);
            set(&family.get_or_create(&From { from: "new" }), misses);
        }
        set(&self.recorded, figures.recorded);
        set(&self.unreported, now.unreported);
        set(&self.cut, figures.cut);
        set(&self.failures, figures.failed);
        set(&self.retries, figures.retried);
        set(&self.openings, figures.opened);
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.running.set(number(figures.running));
        self.revocations.set(number(now.revocations));
        self.epoch.set(number(now.epoch));
        self.silence.set(now.silence.as_secs_f64());
        self.ready.set(i64::from(now.is_ready));
        self.open.set(i64::from(now.is_open));
        self.unwell.set(i64::from(now.is_unwell));
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_every_figure() {
        let now = Now {
            figures: Figures {
                requests: 9,
                forwarded: 5,
                denied: 3,
                token_hits: 4,
                ..Figures::default()
            },
            codes: BTreeMap::from([("denied", 3), ("app_silent", 1)]),
            unreported: 6,
            silence: Duration::from_millis(2500),
            revocations: 17,
            is_open: true,
            ..Now::default()
        };
        let text = GuardMetrics::new().text(&now);
        for line in [
            "sealock_gatekeeper_requests_total{outcome=\"forwarded\"} 5",
            "sealock_gatekeeper_requests_total{outcome=\"denied\"} 3",
            "sealock_gatekeeper_refusals_total{code=\"app_silent\"} 1",
            "sealock_gatekeeper_tokens_total{from=\"cache\"} 4",
            "sealock_gatekeeper_denials_unreported_total 6",
            "sealock_gatekeeper_feed_silence_seconds 2.5",
            "sealock_gatekeeper_feed_number 17",
            "sealock_gatekeeper_app_circuit_open 1",
            "sealock_gatekeeper_ready 0",
        ] {
            assert!(text.lines().any(|have| have == line), "{line} is not in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
        let described = GuardMetrics::described();
        assert_eq!(described.len(), 17);
        assert!(described.iter().all(|figure| figure.iter().all(|text| !text.is_empty())));
    }
}
