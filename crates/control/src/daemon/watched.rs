//! What the watcher knows, as `status` shows it.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use sealock_core::Timestamp;
use sealock_core::policy::ContainerFacts;
use sealock_delivery::watcher::{
    AlarmKind, CertificateStatus, DeliveryState, VerifyState, Watcher, container_facts,
};
use sealock_engine::Engine;

use crate::command::{Alarm, ContainerStatus, DeliveredStatus, EngineStatus};
use crate::error::ServiceError;
use crate::service::Watched;

/// Watcher and engine, once there are any.
pub(super) struct WatchedContainers {
    running: OnceLock<(Arc<Watcher>, Engine)>,
    failed: OnceLock<String>,
    engine: Arc<ArcSwap<EngineStatus>>,
    since: Timestamp,
}

impl WatchedContainers {
    /// Not watching yet, since this time.
    pub(super) fn new(engine: Arc<ArcSwap<EngineStatus>>, since: Timestamp) -> Self {
        Self { running: OnceLock::new(), failed: OnceLock::new(), engine, since }
    }

    /// Watching from now on.
    pub(super) fn begin(&self, watcher: Arc<Watcher>, engine: Engine) {
        let _ = self.running.set((watcher, engine));
    }

    /// Labels cannot be watched.
    pub(super) fn fail(&self, error: &ServiceError) {
        let _ = self.failed.set(error.to_string());
    }

    /// Something changed that the watcher should look at.
    pub(super) fn poke(&self) {
        if let Some((watcher, _)) = self.running.get() {
            watcher.poke();
        }
    }

    fn alarm(&self, kind: &str, subject: &str, reason: String, hint: Option<&str>) -> Alarm {
        Alarm {
            alarm: kind.to_owned(),
            subject: subject.to_owned(),
            reason,
            hint: hint.map(str::to_owned),
            since: self.since,
        }
    }
}

impl Watched for WatchedContainers {
    fn containers(&self) -> Vec<ContainerStatus> {
        let Some((watcher, _)) = self.running.get() else { return Vec::new() };
        let mut containers: BTreeMap<(String, String), Vec<DeliveredStatus>> = BTreeMap::new();
        for status in watcher.snapshot() {
            let key = (status.container.clone(), status.container_id.clone());
            containers.entry(key).or_default().push(delivered(status));
        }
        let of = |((name, id), certificates)| ContainerStatus { id, name, certificates };
        containers.into_iter().map(of).collect()
    }

    fn alarms(&self) -> Vec<Alarm> {
        if let Some(reason) = self.failed.get() {
            return vec![self.alarm("not-watching", "labels", reason.clone(), None)];
        }
        let Some((watcher, _)) = self.running.get() else {
            // The watcher raises this alarm once there is a client to watch with.
            let reason = self.engine.load().error.clone().unwrap_or_default();
            let kind = AlarmKind::EngineAway;
            return vec![self.alarm(kind.as_str(), "engine", reason, hint(kind))];
        };
        let of = |alarm: sealock_delivery::watcher::Alarm| Alarm {
            alarm: alarm.kind.to_string(),
            subject: alarm.subject,
            reason: alarm.reason,
            hint: hint(alarm.kind).map(str::to_owned),
            since: alarm.since,
        };
        watcher.alarms().into_iter().map(of).collect()
    }

    fn counts(&self) -> Vec<(&'static str, u64)> {
        let Some((watcher, _)) = self.running.get() else { return Vec::new() };
        let counters = watcher.counters();
        vec![
            ("deliveries", counters.deliveries),
            ("delivery_failures", counters.delivery_failures),
            ("refusals", counters.refusals),
            ("reloads", counters.reloads),
            ("reload_failures", counters.reload_failures),
            ("looks", counters.looks),
            ("served", counters.served),
            ("alarms_raised", counters.alarms_raised),
            ("engine_losses", counters.engine_losses),
        ]
    }

    /// Blocking: called from a thread that may wait.
    fn facts_of(&self, id: &str) -> Option<ContainerFacts> {
        let (_, engine) = self.running.get()?;
        let runtime = tokio::runtime::Handle::try_current().ok()?;
        let container = runtime.block_on(engine.inspect(id)).ok()?;
        Some(container_facts(&container))
    }
}

const fn hint(kind: AlarmKind) -> Option<&'static str> {
    match kind {
        AlarmKind::NotServed => Some(
            "does the service read its files again? set sealock.cert.NAME.reload, or restart it",
        ),
        AlarmKind::DeliveryFailed | AlarmKind::Expiring => {
            Some("`sealock status` names the reason at the certificate")
        }
        AlarmKind::ReloadFailed => Some("check the label sealock.cert.NAME.reload"),
        AlarmKind::EngineAway => Some("is the engine running? name another with --docker"),
    }
}

fn delivered(status: CertificateStatus) -> DeliveredStatus {
    let not_served = match &status.verify {
        VerifyState::NotServed { reason } => Some(reason.clone()),
        _ => None,
    };
    let state = match (status.state, &status.verify) {
        (DeliveryState::Delivered, VerifyState::Served { .. }) => "served",
        (DeliveryState::Delivered, VerifyState::NotServed { .. }) => "not served",
        (DeliveryState::Delivered, VerifyState::Pending { .. }) => "delivered, not seen yet",
        (DeliveryState::Delivered, VerifyState::NotAsked) => "delivered",
        (DeliveryState::Waiting, _) => "waiting",
        (DeliveryState::Retrying, _) => "retrying",
        (DeliveryState::Refused, _) => "refused",
        (DeliveryState::BadLabel, _) => "bad label",
        (DeliveryState::Stopped, _) => "stopped",
    };
    let label = status.label;
    let reason = not_served.or(status.reason);
    let reason = match (label, reason) {
        (Some(label), Some(reason)) => Some(format!("{label}: {reason}")),
        (_, reason) => reason,
    };
    DeliveredStatus {
        name: status.certificate,
        path: status.path.unwrap_or_default(),
        state: state.to_owned(),
        serial: status.serial,
        not_after: status.not_after,
        next_renewal: status.renew_at,
        reason,
        hint: status.hint,
    }
}
