//! The figures of a Forwarder, in OpenMetrics text.

use std::sync::atomic::Ordering;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use sealock_traffic::forwarder::Figures;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

/// The figures.
#[derive(Debug)]
pub struct ForwardMetrics {
    registry: Registry,
    requests: Family<Outcome, Counter>,
    tunnels: Counter,
    closed: Counter,
    running: Gauge,
    cut: Counter,
    fetches: Family<Outcome, Counter>,
    refused_tokens: Counter,
    retries: Counter,
    ejections: Counter,
}

impl Default for ForwardMetrics {
    fn default() -> Self {
        Self::new()
    }
}

impl ForwardMetrics {
    /// All at zero.
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("sealock_forwarder"),
            requests: Family::default(),
            tunnels: Counter::default(),
            closed: Counter::default(),
            running: Gauge::default(),
            cut: Counter::default(),
            fetches: Family::default(),
            refused_tokens: Counter::default(),
            retries: Counter::default(),
            ejections: Counter::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        let requests = "Requests, by outcome: forwarded (to a service, with a token) and passed (elsewhere, without one), of which some have failed; denied, malformed, limited; failed (no answer came, or there was no token)";
        registry.register("requests", requests, self.requests.clone());
        let tunnels = "Tunnels that were opened (CONNECT)";
        registry.register("tunnels", tunnels, self.tunnels.clone());
        let closed = "Connections that the kernel brought here and that lead nowhere, or to the Forwarder itself";
        registry.register("closed", closed, self.closed.clone());
        let running = "Requests, streams and tunnels that are running";
        registry.register("running", running, self.running.clone());
        let cut = "Requests and streams that were cut, for their destination is no longer listed";
        registry.register("cut", cut, self.cut.clone());
        let fetches = "Tokens that were asked for, by outcome (came, failed)";
        registry.register("token_fetches", fetches, self.fetches.clone());
        let refused = "Tokens that a Gatekeeper did not take";
        registry.register("refused_tokens", refused, self.refused_tokens.clone());
        let retries =
            "Requests that were sent to another instance, or to the same one with another token";
        registry.register("retries", retries, self.retries.clone());
        let ejections = "Times that an instance was left alone, for it could not be reached";
        registry.register("ejections", ejections, self.ejections.clone());
    }

    /// Name, kind and meaning of each figure, in the order of `/metrics`.
    pub fn described() -> Vec<[String; 3]> {
        crate::metrics::described_in(&Self::new().text(&Figures::default()))
    }

    /// OpenMetrics text.
    pub(super) fn text(&self, figures: &Figures) -> String {
        let set = |counter: &Counter, count: u64| counter.inner().store(count, Ordering::Relaxed);
        for (outcome, count) in [
            ("forwarded", figures.forwarded),
            ("passed", figures.passed),
            ("denied", figures.denied),
            ("malformed", figures.malformed),
            ("limited", figures.limited),
            ("failed", figures.failed),
        ] {
            set(&self.requests.get_or_create(&Outcome { outcome }), count);
        }
        for (outcome, count) in [("came", figures.fetched), ("failed", figures.unfetched)] {
            set(&self.fetches.get_or_create(&Outcome { outcome }), count);
        }
        set(&self.tunnels, figures.tunnels);
        set(&self.closed, figures.closed);
        set(&self.cut, figures.cut);
        set(&self.refused_tokens, figures.refused_tokens);
        set(&self.retries, figures.retried);
        set(&self.ejections, figures.ejected);
        self.running.set(i64::try_from(figures.running).unwrap_or(i64::MAX));
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
        let figures = Figures {
            forwarded: 5,
            denied: 3,
            fetched: 2,
            unfetched: 1,
            running: 4,
            ejected: 6,
            ..Figures::default()
        };
        let text = ForwardMetrics::new().text(&figures);
        for line in [
            "sealock_forwarder_requests_total{outcome=\"forwarded\"} 5",
            "sealock_forwarder_requests_total{outcome=\"denied\"} 3",
            "sealock_forwarder_token_fetches_total{outcome=\"came\"} 2",
            "sealock_forwarder_token_fetches_total{outcome=\"failed\"} 1",
            "sealock_forwarder_running 4",
            "sealock_forwarder_ejections_total 6",
        ] {
            assert!(text.lines().any(|have| have == line), "{line} is not in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
        let described = ForwardMetrics::described();
        assert_eq!(described.len(), 9);
        assert!(described.iter().all(|figure| figure.iter().all(|text| !text.is_empty())));
    }
}
