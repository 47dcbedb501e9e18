//! Every operation, implemented once: policy decision, then the act, then the audit record.
//!
//! State changes and their audit events are committed together by the planes; the event carries the
//! decision. A denial is an event of its own, with the question, so that `policy explain` can answer it
//! later. Reads are decided too, but only their denials are recorded.

mod acme;
mod audit;
mod authority;
mod authorize;
mod broker;
mod broker_keys;
mod budget;
mod ca;
mod calls;
mod cert;
mod choice;
mod convert;
mod enrol;
mod feed;
mod folder;
mod groups;
mod guarded;
mod hsm;
mod hsm_logins;
mod identities;
mod imported;
mod inventory;
mod issuer_requests;
mod issuers;
mod key_stores;
mod ldap;
mod lists;
mod login;
mod names;
mod passed;
mod places;
mod policy;
mod profile;
mod protect;
mod publish;
mod publish_imported;
mod publish_place;
mod published;
mod published_imported;
mod registrar;
mod request;
mod reserved;
mod revocations;
mod revoked;
mod secret_reader;
mod secret_source;
mod secrets;
mod source;
mod status;
mod to_do;
mod transfer;
mod vault;
mod whoami;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;
use sealock_acme::state::Acme;
use sealock_authority::{Authority, Published};
use sealock_core::{Clock, SecretBytes, SystemClock, TrustDomain};
use sealock_secrets::Vault;
use sealock_store::{Journal, Keyring, SqliteStore, Store};
use sealock_traffic::broker::{Broker, Devices};

pub(crate) use acme::{Download, KeyChange, Ordered, RenewalWindow, Revoker};
pub use authorize::Granted;
pub(crate) use broker::{TokenAsked, broker_error, lasting};
pub(crate) use calls::CALLS_AT_ONCE;
pub(crate) use feed::Said;
pub use folder::PolicyFolder;
#[cfg(test)]
pub(crate) use imported::tests::World as CorporateWorld;
pub(crate) use imported::{
    AcmeJob, Dropped, Enrolments, EstJob, Job, Pending, Speaks, Tried, share, upstream_error,
};
pub(crate) use lists::WhichList;
pub use policy::check_policy;
pub(crate) use published::PublishedRecord;
pub(crate) use published_imported::ImportedRecord;
pub(crate) use registrar::Seat;
pub use request::new_request_id;
pub use source::PolicySource;
pub use status::{DaemonView, Watched};

use crate::attest::Attester;
use crate::caller::{Caller, Door};
use crate::command::{Command, Reply};
use crate::config::{Config, Environment};
use crate::daemon::{Planes, Publications, Sessions};
use crate::error::{ErrorCode, ServiceError};
use crate::metrics::Metrics;
use crate::sidecar::SidecarRecords;
use crate::state::{Lock, StateFolder};

/// What a passphrase is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PassphraseFor {
    /// To open the authority's keys.
    Existing,
    /// To protect new keys: asked for twice where a person types it.
    New,
}

/// Where a passphrase comes from: a file, a systemd credential, a prompt.
pub type Passphrases =
    Arc<dyn Fn(PassphraseFor) -> Result<SecretBytes, ServiceError> + Send + Sync>;

/// What a service is opened with.
#[derive(Clone)]
pub struct Opening {
    /// The state folder.
    pub state: StateFolder,
    /// The settings.
    pub config: Config,
    /// The environment.
    pub environment: Environment,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where passphrases come from.
    pub passphrases: Passphrases,
    /// The host's name, for the default trust domain and the API's certificate.
    pub hostname: String,
    /// Which planes are there, at the doors for others. A daemon sets it.
    pub planes: Planes,
}

impl std::fmt::Debug for Opening {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Opening").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Opening {
    /// With the machine's clock and name, and no source of passphrases.
    pub fn new(state: StateFolder, config: Config, environment: Environment) -> Self {
        let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let passphrases: Passphrases = Arc::new(|_| {
            Err(ServiceError::new(ErrorCode::Usage, "a passphrase is needed")
                .hint("give --passphrase-file FILE"))
        });
        let clock = Arc::new(SystemClock);
        let planes = Planes::All;
        Self { state, config, environment, clock, passphrases, hostname, planes }
    }
}

/// Every operation. Holds the state folder's lock as long as it lives.
pub struct Service {
    opening: Opening,
    journal: Arc<Journal>,
    policy: PolicyFolder,
    authority: ArcSwapOption<Authority>,
    keyring: Arc<OnceLock<Arc<Keyring>>>,
    vault: OnceLock<Arc<Vault>>,
    broker: OnceLock<Arc<Broker>>,
    acme: OnceLock<Arc<Acme>>,
    making: parking_lot::Mutex<()>,
    published: Arc<Published>,
    sent_lists: lists::SentLists,
    denials: parking_lot::Mutex<budget::RecordBudgets>,
    passed: parking_lot::Mutex<passed::PassedCalls>,
    readings: parking_lot::Mutex<budget::Budgets>,
    issues: parking_lot::Mutex<budget::Budgets>,
    assertions: parking_lot::Mutex<budget::Budgets>,
    devices: parking_lot::Mutex<Devices>,
    daemon: ArcSwapOption<DaemonView>,
    metrics: Metrics,
    changes: tokio::sync::watch::Sender<u64>,
    sessions: Sessions,
    attester: OnceLock<Arc<Attester>>,
    sidecars: SidecarRecords,
    regrouped: AtomicU64,
    revoked: revoked::Revoked,
    registrar: registrar::Registrar,
    publications: Publications,
    places: places::Places,
    refusals: parking_lot::Mutex<imported::Refusals>,
    enrolments: Enrolments,
    hsm: OnceLock<Option<Arc<hsm::Hsm>>>,
    _lock: Lock,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Service").field("opening", &self.opening).finish_non_exhaustive()
    }
}

impl Service {
    /// Opens store, journal and policy of the state folder that `lock` is of. Blocking.
    pub fn open(opening: Opening, lock: Lock) -> Result<Arc<Self>, ServiceError> {
        let store = SqliteStore::open(&opening.state.database(), Arc::clone(&opening.clock))
            .map_err(|error| convert::store_error(&error))?;
        let store: Arc<dyn Store> = Arc::new(store);
        let journal = Journal::open(store, Arc::clone(&opening.clock))
            .map_err(|error| convert::journal_error(&error))?;
        let clock = Arc::clone(&opening.clock);
        let published = Arc::new(Published::of(Arc::clone(journal.store()), clock));
        let sidecars = SidecarRecords::load(journal.store().as_ref())?;
        let settings = &opening.config.settings;
        let folder = settings.policy.folder.clone().unwrap_or_else(|| opening.state.policy());
        let policy = PolicyFolder::open(folder, settings.policy.modes.clone(), &journal)?;
        Ok(Arc::new(Self {
            policy,
            journal,
            authority: ArcSwapOption::empty(),
            keyring: Arc::default(),
            vault: OnceLock::new(),
            broker: OnceLock::new(),
            acme: OnceLock::new(),
            making: parking_lot::Mutex::new(()),
            published,
            sent_lists: lists::SentLists::default(),
            denials: parking_lot::Mutex::new(budget::RecordBudgets::new(
                budget::DENIALS,
                opening.clock.now(),
            )),
            passed: parking_lot::Mutex::new(passed::PassedCalls::new(opening.clock.now())),
            readings: parking_lot::Mutex::new(budget::Budgets::new(budget::READINGS)),
            issues: parking_lot::Mutex::new(budget::Budgets::new(budget::TOKENS)),
            assertions: parking_lot::Mutex::new(budget::Budgets::new(budget::TOKENS)),
            devices: parking_lot::Mutex::default(),
            daemon: ArcSwapOption::empty(),
            metrics: Metrics::new(),
            changes: tokio::sync::watch::Sender::new(0),
            sessions: Sessions::default(),
            attester: OnceLock::new(),
            sidecars,
            regrouped: AtomicU64::new(0),
            revoked: revoked::Revoked::default(),
            registrar: registrar::Registrar::new(),
            publications: Publications::default(),
            places: places::Places::default(),
            refusals: parking_lot::Mutex::default(),
            enrolments: Enrolments::default(),
            hsm: OnceLock::new(),
            opening,
            _lock: lock,
        }))
    }

    /// One command of one caller.
    pub async fn handle(
        self: &Arc<Self>,
        caller: &Caller,
        command: Command,
    ) -> Result<Reply, ServiceError> {
        let request = new_request_id()?;
        let name = command.name();
        let this = Arc::clone(self);
        let caller = caller.clone();
        let id = request.clone();
        // Signing, scrypt and the disk would hold up the runtime's threads.
        let done = tokio::task::spawn_blocking(move || this.run(&caller, &id, command)).await;
        let outcome = done.unwrap_or_else(|error| {
            Err(ServiceError::new(ErrorCode::Fault, format!("{name} ended unexpectedly: {error}")))
        });
        self.metrics.command(name, outcome.as_ref().err().map(|error| error.code));
        outcome.map_err(|error| error.in_request(&request))
    }

    /// A hint about a name that the settings do not have: whoever has just written it there must know when it is read.
    fn about_settings(&self, hint: impl Into<String>) -> String {
        let hint = hint.into();
        match self.daemon.load().is_some() {
            true => format!(
                "{hint}; the daemon has read the settings when it started: after a change of them, restart `sealock up`"
            ),
            false => hint,
        }
    }

    #[expect(clippy::too_many_lines, reason = "an arm for each command, and nothing else")]
    fn run(
        self: &Arc<Self>,
        caller: &Caller,
        request: &str,
        command: Command,
    ) -> Result<Reply, ServiceError> {
        match command {
            Command::Init(init) => self.init(caller, request, &init),
            Command::CaShow => self.ca_show(caller, request),
            Command::CaBundle => self.ca_bundle(caller, request),
            Command::CaRotate { what, root_key, passphrase } => {
                self.ca_rotate(caller, request, what, root_key, passphrase)
            }
            Command::CaRevoke { ca, reason, root_key, passphrase } => {
                let root_key = (root_key.as_ref(), passphrase.as_ref());
                self.ca_revoke(caller, request, &ca, reason, root_key)
            }
            Command::CaCrl => self.ca_crl(caller, request),
            Command::CaExportRootKey { passphrase } => {
                self.ca_export_root_key(caller, request, passphrase)
            }
            Command::CaRemoveRootKey { exported, passphrase } => {
                self.ca_remove_root_key(caller, request, exported, passphrase)
            }
            Command::CaRequest(wanted) => self.ca_request(caller, request, &wanted),
            Command::CaImport(wanted) => self.ca_import(caller, request, &wanted),
            Command::CaIssuers => self.ca_issuers(caller, request),
            Command::CaIssuerChange { name, change } => {
                self.ca_issuer_change(caller, request, &name, change)
            }
            Command::CertIssue(issue) => self.cert_issue(caller, request, &issue),
            Command::CertSign(sign) => self.cert_sign(caller, request, &sign),
            Command::CertList(list) => self.cert_list(caller, request, &list),
            Command::CertReport { limit } => self.cert_report(caller, request, limit),
            Command::CertShow { certificate } => self.cert_show(caller, request, &certificate),
            Command::CertRenew { certificate, ttl } => {
                self.cert_renew(caller, request, &certificate, ttl)
            }
            Command::CertRevoke { serial, reason } => {
                self.cert_revoke(caller, request, &serial, reason)
            }
            Command::CertPublish(publish) => self.cert_publish(caller, request, &publish),
            Command::CertRequest(wanted) => self.cert_request(caller, request, &wanted),
            Command::CertRequests { name } => self.cert_requests(caller, request, name.as_deref()),
            Command::CertRequestDrop { name, forget, force } => {
                self.cert_request_drop(caller, request, &name, forget, force)
            }
            Command::CertImport(wanted) => self.cert_import(caller, request, &wanted),
            Command::CertFiles { name } => self.cert_files(caller, request, &name),
            Command::TrustAdd(add) => self.trust_add(caller, request, &add),
            Command::TrustList => self.trust_list(caller, request),
            Command::TrustRemove { root, force } => {
                self.trust_remove(caller, request, &root, force)
            }
            Command::TransferBegin(begin) => self.transfer_begin(caller, request, begin),
            Command::TransferFinish(finish) => self.transfer_finish(caller, request, finish),
            Command::TransferFailed { transfer, error } => {
                self.transfer_failed(caller, request, &transfer, &error)
            }
            Command::OfferBegin { bytes, ttl } => self.offer_begin(caller, request, bytes, ttl),
            Command::OfferEvent { transfer, event } => {
                self.offer_event(caller, request, &transfer, event)
            }
            Command::Status => self.status(caller, request),
            Command::AuditTail { after, limit } => self.audit_tail(caller, request, after, limit),
            Command::AuditVerify => self.audit_verify(caller, request),
            Command::AuditExport { from, limit } => self.audit_export(caller, request, from, limit),
            Command::PolicyCheck { files } => self.policy_check(caller, request, files),
            Command::PolicySchema => self.policy_schema(caller, request),
            Command::PolicyExplain { request: asked } => {
                self.policy_explain(caller, request, &asked)
            }
            Command::PolicyReload => self.policy_reload(caller, request),
            Command::PolicyShow => self.policy_show(caller, request),
            Command::PolicyUse { preset, grantee, force } => {
                self.policy_use(caller, request, &preset, &grantee, force)
            }
            Command::GroupAdd { kind, name, group } => {
                self.group_add(caller, request, kind, &name, &group)
            }
            Command::GroupRemove { kind, name, group } => {
                self.group_remove(caller, request, kind, &name, &group)
            }
            Command::GroupList { group } => self.group_list(caller, request, group.as_deref()),
            Command::ConfigCheck => self.config_check(caller, request),
            Command::Whoami => Ok(whoami::whoami(caller, self.daemon.load().as_deref())),
            Command::SecretSet { name, value, ttl } => {
                self.secret_set(caller, request, &name, value, ttl)
            }
            Command::SecretRead { secrets } => self.secret_read(caller, request, secrets),
            Command::SecretReadBelow { path } => self.secret_read_below(caller, request, &path),
            Command::SecretVersions { secrets } => self.secret_versions(caller, request, &secrets),
            Command::SecretList { path, after, limit } => {
                self.secret_list(caller, request, path.as_deref(), after.as_deref(), limit)
            }
            Command::SecretHistory { name } => self.secret_history(caller, request, &name),
            Command::SecretDelete { name, version } => {
                self.secret_delete(caller, request, &name, version)
            }
            Command::SecretUndelete { name, version } => {
                self.secret_undelete(caller, request, &name, version)
            }
            Command::SecretPurge { name, version } => {
                self.secret_purge(caller, request, &name, version)
            }
            Command::VaultRotateKey => self.vault_rotate_key(caller, request),
            Command::VaultExport { recipients, path } => {
                self.vault_export(caller, request, &recipients, path.as_deref())
            }
            Command::VaultImport { backup, on_existing } => {
                self.vault_import(caller, request, backup, on_existing)
            }
            Command::TokenIssue(wanted) => self.token_issue(caller, request, &wanted),
            Command::TokenIntrospect { token } => self.token_introspect(caller, request, &token),
            Command::TokenRevoke(what) => self.token_revoke(caller, request, &what),
            Command::TokenKeys => self.token_keys(caller, request),
            Command::TokenRotateKey => self.token_rotate_key(caller, request),
            Command::ClientAdd { name, identity } => {
                self.client_add(caller, request, &name, identity.as_deref())
            }
            Command::ClientList => self.client_list(caller, request),
            Command::ClientRotate { name, overlap } => {
                self.client_rotate(caller, request, &name, overlap)
            }
            Command::ClientRemove { name } => self.client_remove(caller, request, &name),
            Command::LoginList => self.login_list(caller, request),
            Command::LoginConfirm(wanted) => self.login_confirm(caller, request, &wanted),
            Command::LoginDeny(what) => self.login_deny(caller, request, &what),
            Command::LoginInvite(wanted) => self.login_invite(caller, request, &wanted),
            Command::ClientKeys(keys) => self.client_keys(caller, request, &keys),
            Command::CallsDenied { service, denials } => {
                self.calls_denied(caller, request, &service, &denials)
            }
            Command::ServiceList => self.service_list(caller, request),
            Command::AcmeBind(bind) => self.acme_bind(caller, request, &bind),
            Command::AcmeBindings => self.acme_bindings(caller, request),
            Command::AcmeUnbind { name } => self.acme_unbind(caller, request, &name),
            Command::AcmeAccounts => self.acme_accounts(caller, request),
            Command::AcmeAccountRevoke { account } => {
                self.acme_account_revoke(caller, request, &account)
            }
            Command::AcmeAttest => self.acme_attest(caller, request),
            Command::Upstreams { name, ask } => {
                self.upstreams(caller, request, name.as_deref(), ask)
            }
            Command::CaMigrateKey { what, issuer, to, extractable } => {
                let whose = (what, issuer.as_deref());
                self.ca_migrate_key(caller, request, whose, to, extractable)
            }
            Command::CaRetryPin => self.ca_retry_pin(caller, request),
            Command::CaProtect { key_protection, passphrase, new_passphrase } => {
                let passphrases = (passphrase.as_ref(), new_passphrase.as_ref());
                self.ca_protect(caller, request, key_protection, passphrases)
            }
        }
    }

    /// The journal.
    pub fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    /// The state folder.
    pub fn state(&self) -> &StateFolder {
        &self.opening.state
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.opening.config
    }

    /// What this service was opened with.
    pub fn opening(&self) -> &Opening {
        &self.opening
    }

    /// The gateway's open connections.
    pub(crate) fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Who tells containers apart, once there is a workload socket.
    pub(crate) fn attester(&self) -> &OnceLock<Arc<Attester>> {
        &self.attester
    }

    /// As whom the sidecars act that labels have asked for.
    pub(crate) fn sidecars(&self) -> &SidecarRecords {
        &self.sidecars
    }

    /// What labels want published.
    pub(crate) fn publications(&self) -> &Publications {
        &self.publications
    }

    /// What is asked for by protocol, and how it stands.
    pub(crate) fn enrolments(&self) -> &Enrolments {
        &self.enrolments
    }

    /// The figures.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The loaded policy and its folder.
    pub fn policy(&self) -> &PolicyFolder {
        &self.policy
    }

    /// The local caller of this process.
    pub fn local_caller(&self, door: Door) -> Result<Caller, ServiceError> {
        let uid = rustix::process::geteuid().as_raw();
        Caller::local(uid, door, &self.trust_domain())
            .ok_or_else(|| ServiceError::new(ErrorCode::Fault, "the administrator has no identity"))
    }
}
