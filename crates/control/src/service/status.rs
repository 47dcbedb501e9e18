//! `status`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use sealock_authority::{CertState, ListFilter};
use sealock_core::policy::{Action, ContainerFacts, Resource};
use sealock_core::{ImportedName, Timestamp};

use super::{Service, convert};
use crate::caller::Caller;
use crate::command::{
    Alarm, CertificateReport, ContainerStatus, EngineStatus, PolicyStatus, Reply, StatusReport,
};
use crate::error::ServiceError;
use crate::metrics::Moment;

/// What `status` lists of what expires soon.
const SOON: Duration = Duration::from_secs(7 * 86_400);
const MOST_EXPIRING: usize = 20;
/// So many are looked at for that: most of what expires soon only lives for a day.
const LOOKED_AT: usize = 1000;

/// What the daemon knows besides the state folder.
pub trait Watched: Send + Sync {
    /// Containers whose labels ask for something.
    fn containers(&self) -> Vec<ContainerStatus>;
    /// What needs a person.
    fn alarms(&self) -> Vec<Alarm>;
    /// What happened since the start, by name.
    fn counts(&self) -> Vec<(&'static str, u64)>;
    /// What is known of a running container.
    fn facts_of(&self, id: &str) -> Option<ContainerFacts>;
    /// The running containers whose labels name this imported certificate.
    fn users_of(&self, name: &ImportedName) -> Vec<String>;
}

/// The running daemon as `status` sees it.
pub struct DaemonView {
    /// Since when it runs.
    pub since: Timestamp,
    /// Where the API listens.
    pub api: Option<String>,
    /// Where the ACME server listens besides.
    pub acme: Option<String>,
    /// Where the gateway listens.
    pub gateway: Option<String>,
    /// The gateway's socket for containers.
    pub gateway_socket: Option<PathBuf>,
    /// Where revocation lists and OCSP are served.
    pub revocation: Option<String>,
    /// The API's socket for containers.
    pub workload: Option<PathBuf>,
    /// The engine.
    pub engine: Option<Arc<ArcSwap<EngineStatus>>>,
    /// Labelled certificates and secrets.
    pub watched: Option<Arc<dyn Watched>>,
    /// Alarms of the daemon itself, such as an intermediate that needs the root key.
    pub alarms: Arc<ArcSwap<Vec<Alarm>>>,
    /// That the drop folder is not used.
    pub dropped: Arc<ArcSwap<Vec<Alarm>>>,
}

impl std::fmt::Debug for DaemonView {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("DaemonView").field("since", &self.since).finish_non_exhaustive()
    }
}

impl DaemonView {
    /// What is known of a running container.
    pub(super) fn facts_of(&self, id: &str) -> Option<ContainerFacts> {
        self.watched.as_ref()?.facts_of(id)
    }
}

impl Service {
    /// Called by the daemon when it runs.
    pub(crate) fn became_daemon(&self, view: DaemonView) {
        self.daemon.store(Some(Arc::new(view)));
    }

    /// Called by the daemon when it has stopped. The view holds the watcher, which holds this service: kept
    /// on, neither would ever be dropped, and the lock never given back.
    pub(crate) fn was_daemon(&self) {
        self.daemon.store(None);
    }

    /// The running containers whose labels name this imported certificate; none where no daemon sees them.
    pub(super) fn used_by(&self, name: &ImportedName) -> Vec<String> {
        let daemon = self.daemon.load();
        let watched = daemon.as_ref().and_then(|daemon| daemon.watched.as_ref());
        watched.map(|watched| watched.users_of(name)).unwrap_or_default()
    }

    pub(super) fn status(&self, caller: &Caller, request: &str) -> Result<Reply, ServiceError> {
        self.authorize(caller, request, Action::StatusRead, Resource::Status, &[])?;
        Ok(Reply::Status(Box::new(self.status_report()?)))
    }

    /// What there is, what is due, what is wrong.
    pub(crate) fn status_report(&self) -> Result<StatusReport, ServiceError> {
        let daemon = self.daemon.load_full();
        let daemon = daemon.as_deref();
        // Without a daemon the authority is only opened when that needs no passphrase.
        let locked = self.authority.load().is_none() && self.needs_passphrase()?;
        let initialised = self.is_initialised()?;
        let open = initialised && !locked;
        let (ca, expiring) = if open {
            let authority = self.authority()?;
            (Some(convert::ca_report(&authority.ca_info())), self.expiring()?)
        } else {
            (None, Vec::new())
        };
        let watched = daemon.and_then(|daemon| daemon.watched.as_ref());
        let policy = self.policy.status();
        let now = self.journal.clock().now();
        let alarms = self.alarms(daemon, &policy, now);
        Ok(StatusReport {
            daemon: daemon.is_some(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            since: daemon.map(|daemon| daemon.since),
            now,
            state: self.state().root().to_owned(),
            api: daemon.and_then(|daemon| daemon.api.clone()),
            gateway: daemon.and_then(|daemon| daemon.gateway.clone()),
            gateway_socket: daemon.and_then(|daemon| daemon.gateway_socket.clone()),
            revocation: daemon.and_then(|daemon| daemon.revocation.clone()),
            workload: daemon.and_then(|daemon| daemon.workload.clone()),
            ca,
            locked: initialised && locked,
            engine: daemon
                .and_then(|daemon| Some(EngineStatus::clone(&*daemon.engine.as_ref()?.load()))),
            containers: watched.map(|watched| watched.containers()).unwrap_or_default(),
            expiring,
            alarms,
            todo: if open { self.todos()? } else { Vec::new() },
            policy,
            audit_seq: self.journal.last_seq(),
        })
    }

    /// What needs a person.
    pub(super) fn alarms(
        &self,
        daemon: Option<&DaemonView>,
        policy: &PolicyStatus,
        now: Timestamp,
    ) -> Vec<Alarm> {
        let watched = daemon.and_then(|daemon| daemon.watched.as_ref());
        let mut alarms = watched.map(|watched| watched.alarms()).unwrap_or_default();
        if let Some(daemon) = daemon {
            alarms.extend(daemon.alarms.load().iter().cloned());
            alarms.extend(daemon.dropped.load().iter().cloned());
        }
        if self.opened_authority().is_some() {
            alarms.extend(self.imported_alarms().unwrap_or_default());
        }
        alarms.extend(self.hsm_alarm());
        alarms.extend(self.list_alarms(now));
        alarms.extend(self.publications().alarms());
        alarms.extend(policy.rejected.iter().map(|reason| Alarm {
            alarm: "policy-rejected".to_owned(),
            subject: policy.folder.display().to_string(),
            reason: reason.clone(),
            hint: Some("correct the file; the policy before it is in force".to_owned()),
            since: self.policy.rejected_since().unwrap_or(now),
        }));
        alarms
    }

    /// The figures of now as OpenMetrics text.
    pub(crate) fn render_metrics(&self) -> Result<String, ServiceError> {
        let report = self.status_report()?;
        let seconds = |moment: Timestamp| moment.as_millis() as f64 / 1000.0;
        let first = |list: &[crate::command::CaCertificate]| {
            list.first().map(|certificate| seconds(certificate.not_after))
        };
        let ca = report.ca.as_ref();
        let root = ca.and_then(|ca| first(&ca.roots)).map(|expiry| ("root", expiry));
        let intermediate = ca.and_then(|ca| first(&ca.intermediates));
        let delivered = report.containers.iter().flat_map(|container| &container.certificates);
        let sidecars = report.containers.iter().flat_map(|container| &container.sidecars);
        let sidecars = sidecars.map(|it| (it.role.clone(), it.state.clone())).collect();
        let moment = Moment {
            sidecars,
            engine_up: report.engine.is_some_and(|engine| engine.up),
            alarms: report.alarms.into_iter().map(|alarm| alarm.alarm).collect(),
            ca_expiry: root
                .into_iter()
                .chain(intermediate.map(|expiry| ("intermediate", expiry)))
                .collect(),
            next_expiry: delivered.filter_map(|one| one.not_after).min().map(seconds),
            watch: self
                .daemon
                .load()
                .as_ref()
                .and_then(|daemon| Some(daemon.watched.as_ref()?.counts()))
                .unwrap_or_default(),
            policy_epoch: report.policy.epoch,
            audit_seq: report.audit_seq,
        };
        Ok(self.metrics.render(&moment))
    }

    fn expiring(&self) -> Result<Vec<CertificateReport>, ServiceError> {
        let filter = ListFilter {
            expiring_within: Some(SOON),
            state: Some(CertState::Valid),
            limit: LOOKED_AT,
            ..ListFilter::default()
        };
        let found =
            self.authority()?.list(&filter).map_err(|error| convert::authority_error(&error))?;
        let now = self.journal.clock().now();
        let late = found.iter().filter(|one| {
            let life = one.not_after.since(one.not_before);
            one.not_after.since(now) < life / 4
        });
        Ok(late.take(MOST_EXPIRING).map(convert::certificate).collect())
    }
}
