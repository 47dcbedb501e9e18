//! What the watcher knows, as `status` shows it.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use sealock_core::policy::ContainerFacts;
use sealock_core::{ImportedName, Timestamp};
use sealock_delivery::watcher::{
    AlarmKind, CertificateStatus, DeliveryState, SecretStatus, TrustStatus, VerifyState, Watcher,
    container_facts,
};
use sealock_engine::Engine;

use crate::command::{
    Alarm, ContainerStatus, DeliveredSecretStatus, DeliveredStatus, DeliveredTrustStatus,
    EngineStatus,
};
use crate::error::ServiceError;
use crate::service::Watched;
use crate::sidecar::Shown;

/// Watcher and engine, once there are any.
pub(super) struct WatchedContainers {
    running: OnceLock<(Arc<Watcher>, Engine)>,
    failed: OnceLock<String>,
    engine: Arc<ArcSwap<EngineStatus>>,
    sidecars: Arc<ArcSwap<Shown>>,
    since: Timestamp,
}

impl WatchedContainers {
    /// Not watching yet, since this time.
    pub(super) fn new(engine: Arc<ArcSwap<EngineStatus>>, since: Timestamp) -> Self {
        let sidecars = Arc::default();
        Self { running: OnceLock::new(), failed: OnceLock::new(), engine, sidecars, since }
    }

    /// Watching from now on.
    pub(super) fn begin(&self, watcher: Arc<Watcher>, engine: Engine) {
        let _ = self.running.set((watcher, engine));
    }

    /// Where the sidecars are shown.
    pub(super) fn sidecars(&self) -> Arc<ArcSwap<Shown>> {
        Arc::clone(&self.sidecars)
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
        let mut containers = BTreeMap::new();
        for status in watcher.snapshot() {
            let container = container(&mut containers, &status.container, &status.container_id);
            container.certificates.push(delivered(status));
        }
        for status in watcher.secrets() {
            let container = container(&mut containers, &status.container, &status.container_id);
            container.secrets.push(delivered_secret(status));
        }
        for status in watcher.trusts() {
            let container = container(&mut containers, &status.container, &status.container_id);
            container.trusts.push(delivered_trust(status));
        }
        for ((name, id), status) in &self.sidecars.load().sidecars {
            container(&mut containers, name, id).sidecars.push(status.clone());
        }
        containers.into_values().collect()
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
        let sidecars = self.sidecars.load();
        watcher.alarms().into_iter().map(of).chain(sidecars.alarms.iter().cloned()).collect()
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

    fn users_of(&self, name: &ImportedName) -> Vec<String> {
        self.running.get().map(|(watcher, _)| watcher.users_of(name)).unwrap_or_default()
    }

    /// Blocking: called from a thread that may wait.
    fn facts_of(&self, id: &str) -> Option<ContainerFacts> {
        let (_, engine) = self.running.get()?;
        let runtime = tokio::runtime::Handle::try_current().ok()?;
        let container = runtime.block_on(engine.inspect(id)).ok()?;
        Some(container_facts(&container))
    }
}

type Containers = BTreeMap<(String, String), ContainerStatus>;

/// The container's place in the list, made when it is the first of it. By name, then by id.
fn container<'a>(all: &'a mut Containers, name: &str, id: &str) -> &'a mut ContainerStatus {
    let (name, id) = (name.to_owned(), id.to_owned());
    all.entry((name.clone(), id.clone())).or_insert_with(|| ContainerStatus {
        id,
        name,
        certificates: Vec::new(),
        secrets: Vec::new(),
        sidecars: Vec::new(),
        trusts: Vec::new(),
    })
}

const fn hint(kind: AlarmKind) -> Option<&'static str> {
    match kind {
        AlarmKind::NotServed => Some(
            "does the service read its files again? set sealock.cert.NAME.reload, or restart it",
        ),
        AlarmKind::DeliveryFailed | AlarmKind::Expiring => {
            Some("`sealock status` names the reason at the certificate or secret")
        }
        AlarmKind::ReloadFailed => Some("check its label .reload"),
        AlarmKind::Stale => Some(
            "permit, set or import it again, or restart the container: its tmpfs is empty then",
        ),
        AlarmKind::EngineAway => Some("is the engine running? name another with --docker"),
    }
}

/// A state whose service is not looked at, in a word.
const fn word(state: DeliveryState) -> &'static str {
    match state {
        DeliveryState::Delivered => "delivered",
        DeliveryState::Waiting => "waiting",
        DeliveryState::Retrying => "retrying",
        DeliveryState::Refused => "refused",
        DeliveryState::BadLabel => "bad label",
        DeliveryState::Stopped => "stopped",
        DeliveryState::Stale => "stale",
    }
}

fn with_label(label: Option<String>, reason: Option<String>) -> Option<String> {
    match (label, reason) {
        (Some(label), Some(reason)) => Some(format!("{label}: {reason}")),
        (_, reason) => reason,
    }
}

fn delivered_secret(status: SecretStatus) -> DeliveredSecretStatus {
    DeliveredSecretStatus {
        name: status.name,
        secret: status.secret,
        path: status.path.unwrap_or_default(),
        state: word(status.state).to_owned(),
        version: status.version,
        delivered_at: status.delivered_at,
        reason: with_label(status.label, status.reason),
        hint: status.hint,
    }
}

fn delivered_trust(status: TrustStatus) -> DeliveredTrustStatus {
    DeliveredTrustStatus {
        name: status.name,
        path: status.path.unwrap_or_default(),
        state: word(status.state).to_owned(),
        bundle: status.bundle,
        delivered_at: status.delivered_at,
        reason: with_label(status.label, status.reason),
        hint: status.hint,
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
        (state, _) => word(state),
    };
    let reason = with_label(status.label, not_served.or(status.reason));
    DeliveredStatus {
        name: status.certificate,
        imported: status.imported.map(|name| name.to_string()),
        path: status.path.unwrap_or_default(),
        state: state.to_owned(),
        serial: status.serial,
        not_after: status.not_after,
        next_renewal: status.renew_at,
        reason,
        hint: status.hint,
    }
}
