//! The figures on `/metrics`, in OpenMetrics text.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use sealock_core::policy::Action;

use crate::error::ErrorCode;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CommandLabels {
    command: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DecisionLabels {
    action: &'static str,
    decision: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LimitLabels {
    limit: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AlarmLabels {
    alarm: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WatchLabels {
    event: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SidecarLabels {
    role: String,
    state: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CaLabels {
    certificate: &'static str,
}

/// What is taken when the figures are asked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Moment {
    /// Whether the engine answers.
    pub engine_up: bool,
    /// Standing alarms, by kind.
    pub alarms: Vec<String>,
    /// When the active root and intermediate expire, in seconds since the epoch.
    pub ca_expiry: Vec<(&'static str, f64)>,
    /// When the next labelled certificate expires, in seconds since the epoch.
    pub next_expiry: Option<f64>,
    /// What the watcher has counted since the start.
    pub watch: Vec<(&'static str, u64)>,
    /// What labels ask for on the way of calls, by role and state.
    pub sidecars: Vec<(String, String)>,
    /// The loaded policy.
    pub policy_epoch: u64,
    /// The last audit record.
    pub audit_seq: u64,
}

/// The figures.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    commands: Family<CommandLabels, Counter>,
    decisions: Family<DecisionLabels, Counter>,
    limited: Family<LimitLabels, Counter>,
    denials_skipped: Counter,
    issued: Counter,
    renewed: Counter,
    revoked: Counter,
    delivered: Counter,
    watch: Family<WatchLabels, Counter>,
    alarms: Family<AlarmLabels, Gauge>,
    sidecars: Family<SidecarLabels, Gauge>,
    engine_up: Gauge,
    ca_expiry: Family<CaLabels, Gauge<f64, AtomicU64>>,
    next_expiry: Gauge<f64, AtomicU64>,
    policy_epoch: Gauge,
    audit_seq: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("sealock"),
            commands: Family::default(),
            decisions: Family::default(),
            limited: Family::default(),
            denials_skipped: Counter::default(),
            issued: Counter::default(),
            renewed: Counter::default(),
            revoked: Counter::default(),
            delivered: Counter::default(),
            watch: Family::default(),
            alarms: Family::default(),
            sidecars: Family::default(),
            engine_up: Gauge::default(),
            ca_expiry: Family::default(),
            next_expiry: Gauge::default(),
            policy_epoch: Gauge::default(),
            audit_seq: Gauge::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "commands",
            "Commands handled, by command and outcome (done, or the code of the error)",
            self.commands.clone(),
        );
        registry.register(
            "decisions",
            "Policy decisions, by action and decision (allow, deny)",
            self.decisions.clone(),
        );
        let limited = "Requests and connections over a limit of the gateway, by limit";
        registry.register("gateway_limited", limited, self.limited.clone());
        let skipped =
            "Denials that Gatekeepers reported and that are about no call, which were not recorded";
        registry.register("call_denials_skipped", skipped, self.denials_skipped.clone());
        registry.register("certificates_issued", "Certificates issued", self.issued.clone());
        registry.register("certificates_renewed", "Certificates renewed", self.renewed.clone());
        registry.register("certificates_revoked", "Certificates revoked", self.revoked.clone());
        registry.register(
            "deliveries",
            "Files sent into containers by command",
            self.delivered.clone(),
        );
        let watch = "What happened to labelled certificates and secrets, by event";
        registry.register("watch_events", watch, self.watch.clone());
        registry.register("alarms", "Standing alarms, by alarm", self.alarms.clone());
        let sidecars = "Gatekeepers and Forwarders that labels ask for, by role and state";
        registry.register("sidecars", sidecars, self.sidecars.clone());
        registry.register(
            "engine_up",
            "Whether the engine answers: 1 or 0",
            self.engine_up.clone(),
        );
        let expiry = "When a CA certificate expires, in seconds since the epoch, by certificate";
        registry.register("ca_not_after_seconds", expiry, self.ca_expiry.clone());
        let next = "When the next delivered certificate expires, in seconds since the epoch";
        registry.register("next_not_after_seconds", next, self.next_expiry.clone());
        registry.register("policy_epoch", "Number of the policy", self.policy_epoch.clone());
        registry.register("audit_records", "Records in the audit log", self.audit_seq.clone());
    }

    /// Name, kind and meaning of each figure, in the order of `/metrics`.
    pub fn described() -> Vec<[String; 3]> {
        // Of figures with labels nothing is said before there is one.
        let metrics = Self::new();
        metrics.command("status", None);
        metrics.decision(Action::StatusRead, true);
        metrics.limited("rate");
        let text = metrics.render(&Moment {
            alarms: vec![String::new()],
            ca_expiry: vec![("root", 0.0)],
            watch: vec![("delivered", 0)],
            sidecars: vec![(String::new(), String::new())],
            ..Moment::default()
        });
        described_in(&text)
    }

    /// A command was handled.
    pub fn command(&self, command: &'static str, error: Option<ErrorCode>) {
        let outcome = error.map_or("done", ErrorCode::as_str);
        self.commands.get_or_create(&CommandLabels { command, outcome }).inc();
    }

    /// Policy was asked.
    pub fn decision(&self, action: Action, allowed: bool) {
        let decision = if allowed { "allow" } else { "deny" };
        let labels = DecisionLabels { action: action.as_str(), decision };
        self.decisions.get_or_create(&labels).inc();
    }

    /// Somebody asked the gateway for more than this limit allows.
    pub fn limited(&self, limit: &'static str) {
        self.limited.get_or_create(&LimitLabels { limit }).inc();
    }

    /// Reported denials that are about no call.
    pub fn denials_skipped(&self, count: u64) {
        self.denials_skipped.inc_by(count);
    }

    /// A certificate was issued.
    pub fn issued(&self) {
        self.issued.inc();
    }

    /// A certificate was renewed.
    pub fn renewed(&self) {
        self.renewed.inc();
    }

    /// A certificate was revoked, unless it already was.
    pub fn revoked(&self, already: bool) {
        if !already {
            self.revoked.inc();
        }
    }

    /// Something was delivered.
    pub fn delivered(&self) {
        self.delivered.inc();
    }

    /// OpenMetrics text, with what is known now.
    pub fn render(&self, moment: &Moment) -> String {
        self.engine_up.set(i64::from(moment.engine_up));
        for (event, count) in &moment.watch {
            let counter = self.watch.get_or_create(&WatchLabels { event });
            counter.inner().store(*count, Ordering::Relaxed);
        }
        self.alarms.clear();
        for alarm in &moment.alarms {
            self.alarms.get_or_create(&AlarmLabels { alarm: alarm.clone() }).inc();
        }
        self.sidecars.clear();
        for (role, state) in &moment.sidecars {
            let labels = SidecarLabels { role: role.clone(), state: state.clone() };
            self.sidecars.get_or_create(&labels).inc();
        }
        for (certificate, expiry) in &moment.ca_expiry {
            self.ca_expiry.get_or_create(&CaLabels { certificate }).set(*expiry);
        }
        self.next_expiry.set(moment.next_expiry.unwrap_or(0.0));
        self.policy_epoch.set(i64::try_from(moment.policy_epoch).unwrap_or(i64::MAX));
        self.audit_seq.set(i64::try_from(moment.audit_seq).unwrap_or(i64::MAX));
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// Name, kind and meaning of each figure in such a text.
pub(crate) fn described_in(text: &str) -> Vec<[String; 3]> {
    let mut kinds = std::collections::BTreeMap::new();
    let mut figures = Vec::new();
    for line in text.lines() {
        let mut words = line.splitn(4, ' ').skip(1);
        let (Some(what), Some(name), Some(rest)) = (words.next(), words.next(), words.next())
        else {
            continue;
        };
        match what {
            "TYPE" => drop(kinds.insert(name.to_owned(), rest.to_owned())),
            "HELP" => figures.push((name.to_owned(), rest.trim_end_matches('.').to_owned())),
            _ => {}
        }
    }
    let described = figures.into_iter().map(|(name, meaning)| {
        let kind = kinds.get(&name).cloned().unwrap_or_default();
        let suffix = if kind == "counter" { "_total" } else { "" };
        [format!("{name}{suffix}"), kind, meaning]
    });
    described.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_every_figure() {
        let metrics = Metrics::new();
        metrics.command("cert-issue", None);
        metrics.command("cert-issue", Some(ErrorCode::Denied));
        metrics.decision(Action::CertIssue, false);
        metrics.limited("rate");
        metrics.issued();
        let alarms = vec!["not-served".to_owned(), "not-served".to_owned()];
        let watch = vec![("deliveries", 3)];
        let sidecars = vec![("gatekeeper".to_owned(), "serving".to_owned())];
        let moment = Moment { engine_up: true, alarms, watch, sidecars, ..Moment::default() };
        let text = metrics.render(&moment);
        for line in [
            "sealock_commands_total{command=\"cert-issue\",outcome=\"denied\"} 1",
            "sealock_decisions_total{action=\"Cert::Issue\",decision=\"deny\"} 1",
            "sealock_gateway_limited_total{limit=\"rate\"} 1",
            "sealock_certificates_issued_total 1",
            "sealock_alarms{alarm=\"not-served\"} 2",
            "sealock_engine_up 1",
            "sealock_watch_events_total{event=\"deliveries\"} 3",
            "sealock_sidecars{role=\"gatekeeper\",state=\"serving\"} 1",
        ] {
            assert!(text.contains(line), "{line} is missing in {text}");
        }
        let later = metrics.render(&Moment::default());
        assert!(!later.contains("not-served"), "an alarm that is over is gone");
    }
}
