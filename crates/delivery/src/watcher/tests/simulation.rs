//! A host in miniature: the book's steps are done at once to a model of containers, and time jumps to
//! the next moment that the book names. No sleeping, no threads.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sealock_core::audit::Fact;
use sealock_core::{ImportedName, SecretBytes, SecretName, SubjectName, SystemClock, Timestamp};
use sealock_engine::Container;
use sealock_store::{SqliteStore, Store};

use super::super::book::Book;
use super::super::denial::{Basis, Ground};
use super::super::effects::Effects;
use super::super::entry::{Reason, Step, World};
use super::super::outcome::{Arrived, Goods, Holds, ReadSecret};
use super::super::ports::{
    CertificateSource, Current, Delivered, DeliveredCertificate, DeliveredSecret, Refusal,
    SecretSource, SiteError, Trust, WantedCertificate, WantedSecret, WantedTrust, WantedTrustStore,
};
use super::super::record::{EntryKey, Remembered};
use super::super::settings::WatcherSettings;
use super::super::snapshot;
use super::super::status::{Alarm, AlarmKind, CertificateStatus, SecretStatus, TrustStatus};
use super::super::wanted::What;
use super::super::work::Done;
use crate::labels::{Kind, USUAL_TTL};
use crate::verify::Seen;

/// How a service and its surroundings behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Conduct {
    /// Policy says no.
    pub(super) denied: bool,
    /// Policy says no to the reading of a secret, and to nothing else.
    pub(super) secret_denied: bool,
    /// Nothing can be delivered.
    pub(super) no_space: bool,
    /// The process ignores its signal.
    pub(super) deaf: bool,
    /// The files are on a volume, not on tmpfs.
    pub(super) keeps_files: bool,
    /// The service reads its files only when told to, not at its start.
    pub(super) starts_empty: bool,
    /// The container has no tmpfs.
    pub(super) on_disk: bool,
    /// The engine cannot pass on its signal.
    pub(super) cannot_be_told: bool,
    /// The process removes a file once it has read it.
    pub(super) removes: bool,
}

/// What the model knows of a container.
#[derive(Debug, Clone, Default)]
pub(super) struct Model {
    pub(super) conduct: Conduct,
    pub(super) files: BTreeMap<EntryKey, String>,
    pub(super) served: Option<String>,
    pub(super) signals: Vec<Timestamp>,
    pub(super) deliveries: Vec<Timestamp>,
    /// How often policy was asked, for a certificate or the reading of a secret.
    pub(super) asked: u32,
    /// How often policy was asked whether a secret may still be there.
    pub(super) questions: u32,
}

/// A vault without values.
#[derive(Debug, Default)]
pub(super) struct Vault(pub(super) BTreeMap<String, Current>);

impl Vault {
    pub(super) fn set(&mut self, secret: &str, version: u64) {
        self.0.insert(secret.to_owned(), Current::Version(version));
    }
}

impl SecretSource for Vault {
    fn read(&self, _: WantedSecret) -> BoxFuture<'_, Result<DeliveredSecret, Refusal>> {
        panic!("the simulation's steps are done by its model")
    }

    fn allowed(&self, _: WantedSecret) -> BoxFuture<'_, Result<(), Refusal>> {
        panic!("the simulation's steps are done by its model")
    }

    fn current(&self, secret: &SecretName) -> Current {
        self.0.get(secret.as_str()).copied().unwrap_or(Current::Gone)
    }
}

/// What another authority has signed.
#[derive(Debug, Default)]
pub(super) struct Foreign(pub(super) BTreeMap<String, Current>);

impl CertificateSource for Foreign {
    fn request(
        &self,
        _: WantedCertificate,
    ) -> BoxFuture<'_, Result<DeliveredCertificate, Refusal>> {
        panic!("the simulation's steps are done by its model")
    }

    fn policy_epoch(&self) -> u64 {
        panic!("it is a field")
    }

    fn trust(&self) -> Arc<Trust> {
        panic!("it is a field")
    }

    fn imported(&self, name: &ImportedName) -> Current {
        self.0.get(name.as_str()).copied().unwrap_or(Current::Gone)
    }

    fn is_revoked(&self, _: &str) -> bool {
        false
    }

    fn imported_names(&self, name: &ImportedName) -> Vec<SubjectName> {
        vec![SubjectName::dns(&format!("{name}.corp.example")).unwrap()]
    }

    fn may_have_trust(&self, _: WantedTrust) -> BoxFuture<'_, Result<(), Refusal>> {
        panic!("the simulation's steps are done by its model")
    }

    fn trust_store(&self, _: WantedTrustStore) -> BoxFuture<'_, Result<SecretBytes, Refusal>> {
        panic!("the simulation's steps are done by its model")
    }

    fn store_password(&self, _: &SecretBytes) -> Result<SecretBytes, Refusal> {
        panic!("the simulation's steps are done by its model")
    }
}

pub(super) struct Simulation {
    pub(super) book: Book,
    pub(super) settings: WatcherSettings,
    pub(super) now: Timestamp,
    pub(super) policy_epoch: u64,
    pub(super) trust: String,
    pub(super) trust_changed: Timestamp,
    pub(super) vault: Vault,
    pub(super) foreign: Foreign,
    /// The last version that a secret was given by the weather.
    pub(super) version: u64,
    pub(super) containers: BTreeMap<String, Container>,
    pub(super) models: BTreeMap<String, Model>,
    pub(super) facts: Vec<Fact>,
    effects: Effects,
    serial: u64,
    store: SqliteStore,
    _folder: tempfile::TempDir,
}

/// Longer than any test needs rounds within one moment.
const ROUNDS: usize = 1000;

impl Simulation {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = std::sync::Arc::new(SystemClock);
        let store = SqliteStore::open(&folder.path().join("state.db"), clock).unwrap();
        let now = Timestamp::from_secs(1_800_000_000);
        let mut simulation = Self {
            book: Book::default(),
            settings: WatcherSettings::default(),
            now,
            policy_epoch: 1,
            trust: "one".to_owned(),
            trust_changed: now,
            vault: Vault::default(),
            foreign: Foreign::default(),
            version: 0,
            containers: BTreeMap::new(),
            models: BTreeMap::new(),
            facts: Vec::new(),
            effects: Effects::default(),
            serial: 0x10,
            store,
            _folder: folder,
        };
        simulation.resync();
        simulation
    }

    pub(super) fn with<T>(&mut self, act: impl FnOnce(&mut Book, &World<'_>) -> T) -> T {
        let world = World {
            now: self.now,
            policy_epoch: self.policy_epoch,
            trust: &self.trust,
            trust_changed: self.trust_changed,
            secrets: &self.vault,
            source: &self.foreign,
            settings: &self.settings,
        };
        act(&mut self.book, &world)
    }

    /// A container starts, or starts again.
    pub(super) fn start(&mut self, container: Container) {
        let id = container.id.clone();
        let model = self.models.entry(id.clone()).or_default();
        if !model.conduct.keeps_files {
            model.files.clear();
        }
        let reads = !model.conduct.starts_empty;
        model.served = model.files.values().next().cloned().filter(|_| reads);
        self.containers.insert(id, container.clone());
        self.with(|book, world| book.observe(container, world));
    }

    pub(super) fn restart(&mut self, id: &str) {
        let mut container = self.containers[id].clone();
        let at = self.now.plus(Duration::from_millis(1)).to_rfc3339();
        container.started_at = sealock_engine::StartedAt::parse(&at);
        container.running = true;
        self.start(container);
    }

    pub(super) fn stop(&mut self, id: &str) {
        self.containers.get_mut(id).unwrap().running = false;
        self.book.stopped(id, self.now);
    }

    pub(super) fn destroy(&mut self, id: &str) {
        self.containers.remove(id);
        self.models.remove(id);
        self.book.forget(id);
    }

    /// Something happens that the watcher does not see.
    pub(super) fn keep_away(&mut self, happens: impl FnOnce(&mut Self)) {
        self.keep();
        let mut book = Book::default();
        std::mem::swap(&mut book, &mut self.book);
        happens(self);
        self.book = book;
    }

    /// The watcher is killed and started again.
    pub(super) fn restart_watcher(&mut self) {
        self.keep();
        self.store.commit(&self.effects.change().transaction).unwrap();
        self.effects = Effects::default();
        self.book = Book::new(Remembered::load(&self.store).unwrap());
        self.trust_changed = self.now;
        self.resync();
    }

    pub(super) fn store(&self) -> &SqliteStore {
        &self.store
    }

    pub(super) fn resync(&mut self) {
        let all: Vec<Container> = self.containers.values().cloned().collect();
        self.with(|book, world| {
            book.engine_up(world);
            book.synced = true;
            let mut missing = book.known();
            for container in all {
                missing.remove(&container.id);
                book.observe(container, world);
            }
            for id in missing {
                book.forget(&id);
            }
        });
        self.turn();
    }

    /// Does all that is due at this moment; the next moment that something is.
    pub(super) fn turn(&mut self) -> Option<Timestamp> {
        for _ in 0..ROUNDS {
            let (steps, next) = self.with(|book, world| book.due(world));
            for (key, step) in &steps {
                let done = self.perform(key, *step);
                self.with(|book, world| book.settle(key, done, world));
            }
            self.with(|book, world| book.review_alarms(world));
            self.keep();
            if steps.is_empty() {
                return next;
            }
        }
        panic!("the watcher does not come to rest at {}", self.now);
    }

    fn keep(&mut self) {
        let effects = std::mem::take(&mut self.book.effects);
        self.facts.extend(effects.change().events.into_iter().map(|event| event.fact));
        self.effects.append(effects);
    }

    /// Lets time pass, from one moment at which something is due to the next.
    pub(super) fn pass(&mut self, span: Duration) {
        let end = self.now.plus(span);
        loop {
            let next = self.turn();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            assert!(next > self.now, "a moment that is over was named as the next");
            self.now = next;
        }
        self.now = end;
        self.turn();
    }

    fn perform(&mut self, key: &EntryKey, step: Step) -> Done {
        let entry = &self.book.entries[key];
        let started_at = entry.started_at().to_owned();
        let basis = self.with(|book, world| book.entries[key].basis(world));
        let model = self.models.get_mut(&key.container).unwrap();
        match step {
            Step::Wait(_) => panic!("nothing to do"),
            Step::Deliver => self.deliver(key, started_at, basis),
            Step::Ask => {
                model.questions += 1;
                let (reason, hint) = ("no rule".to_owned(), Some("permit".to_owned()));
                let answer = match model.conduct.denied || model.conduct.secret_denied {
                    true => Err(Refusal::Denied { reason, hint }),
                    false => Ok(()),
                };
                Done::Asked { answer, basis, request: "r".into() }
            }
            Step::Check => {
                let held = model.files.get(key).cloned();
                let holds = held.map_or(Holds::Nothing, |held| match key.kind {
                    Kind::Certificate => Holds::Serial(held),
                    Kind::Secret | Kind::Trust => Holds::File,
                });
                Done::Checked { holds, started_at }
            }
            Step::Reload => {
                model.signals.push(self.now);
                if model.conduct.cannot_be_told {
                    let reason = "no such program".to_owned();
                    return Done::Reloaded(Err(SiteError::Failed { reason, hint: None }));
                }
                if !model.conduct.deaf {
                    model.served = model.files.get(key).cloned();
                }
                Done::Reloaded(Ok(()))
            }
            Step::Look => Done::Looked(match &model.served {
                Some(serial) => Ok(Seen {
                    serial: serial.clone(),
                    chain: Ok(()),
                    address: SocketAddr::from(([127, 0, 0, 1], 8443)),
                }),
                None => {
                    let reason = "no connection".to_owned();
                    Err(SiteError::Failed { reason, hint: None })
                }
            }),
        }
    }

    fn deliver(&mut self, key: &EntryKey, started_at: String, basis: Basis) -> Done {
        let wanted = self.book.entries[key].wanted.clone();
        let model = self.models.get_mut(&key.container).unwrap();
        model.asked += 1;
        let request = "r".to_owned();
        let denied = |text: &str, ground| {
            let reason = Reason { text: text.into(), hint: Some("permit".into()) };
            Done::Denied { reason, ground, request: "r".into() }
        };
        if model.conduct.denied {
            return denied("no rule", Ground::Policy(basis));
        }
        let mut password = None;
        if !matches!(wanted.what, What::Secret(_))
            && let Some(secret) = wanted.reads().cloned()
        {
            if model.conduct.secret_denied {
                return denied("no rule for the secret", wanted.reading(basis));
            }
            let Current::Version(version) = self.vault.current(&secret) else {
                return denied("there is no such secret", wanted.reading(basis));
            };
            password = Some(ReadSecret { secret, version, basis: basis.clone() });
        }
        let (goods, held) = match &wanted.what {
            What::Certificate(certificate) => {
                self.serial += 1;
                let (asked_at, serial) = (self.now, format!("{:x}", self.serial));
                let mut not_after = self.now.plus(certificate.request.ttl.unwrap_or(USUAL_TTL));
                let mut version = None;
                if let Some(name) = &certificate.request.imported {
                    let Current::Version(found) = self.foreign.imported(name) else {
                        return denied("there is no such certificate", Ground::Policy(basis));
                    };
                    version = Some(found);
                    not_after = self.now.plus(Duration::from_secs(90 * 86_400));
                }
                let (trust, held) = (self.trust.clone(), serial.clone());
                (Goods::Certificate { asked_at, trust, serial, not_after, version, password }, held)
            }
            What::Secret(request) => {
                let secret = request.secret.clone();
                let Current::Version(version) = self.vault.current(&secret) else {
                    return denied("there is no such secret", Ground::Policy(basis));
                };
                if model.conduct.on_disk && !request.on_disk {
                    return denied("on a disk", Ground::Place { started_at });
                }
                (Goods::Secret(ReadSecret { secret, version, basis }), version.to_string())
            }
            What::Trust(_) => {
                (Goods::Trust { bundle: self.trust.clone(), password }, self.trust.clone())
            }
        };
        if model.conduct.no_space {
            let reason = "no space is left".to_owned();
            return Done::Failed(SiteError::Failed { reason, hint: None });
        }
        let before = model.files.insert(key.clone(), held.clone());
        model.deliveries.push(self.now);
        if before.is_none() && model.served.is_none() && !model.conduct.starts_empty {
            // A service that waits for its files.
            model.served = Some(held.clone());
        }
        if model.conduct.removes {
            model.files.remove(key);
        }
        let (changed, replaced_previous) = (before.as_ref() != Some(&held), before.is_some());
        let delivered = Delivered { changed, replaced_previous };
        Done::Delivered(Arrived { started_at, wanted: wanted.digest, delivered, request, goods })
    }

    pub(super) fn model(&mut self, id: &str) -> &mut Model {
        self.models.get_mut(id).unwrap()
    }

    pub(super) fn status(&mut self) -> Vec<CertificateStatus> {
        self.with(|book, world| snapshot::certificates(book, world))
    }

    pub(super) fn secrets(&mut self) -> Vec<SecretStatus> {
        self.with(|book, world| snapshot::secrets(book, world))
    }

    pub(super) fn trusts(&mut self) -> Vec<TrustStatus> {
        self.with(|book, world| snapshot::trusts(book, world))
    }

    pub(super) fn alarms(&self) -> Vec<(AlarmKind, String)> {
        let named = |alarm: &Alarm| (alarm.kind, alarm.subject.clone());
        self.book.alarms.values().map(named).collect()
    }

    /// How many facts there are of a kind.
    pub(super) fn told(&self, wanted: impl Fn(&Fact) -> bool) -> usize {
        self.facts.iter().filter(|fact| wanted(fact)).count()
    }
}
