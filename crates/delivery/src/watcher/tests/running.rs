//! A running watcher among fakes: engine, containers, authority and vault. Journal and store are real.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt, stream};
use parking_lot::Mutex;
use rcgen::{CertificateParams, KeyPair, SerialNumber};
use sealock_core::audit::Fact;
use sealock_core::{Clock, ImportedName, ManualClock, SecretBytes, SubjectName, Timestamp};
use sealock_engine::{Container, EngineError, EngineEvent, EventKind};
use sealock_store::{
    Journal, KeyRange, Sequence, SqliteStore, Store, StoreError, Versioned, Watch,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::super::{
    CertificateSource, Contents, Current, Delivered, DeliveredCertificate, DeliveryState, Held,
    Host, Parcel, Place, Publisher, Refusal, SecretStatus, Site, SiteError, StoreFile, Trust,
    VerifyState, WantedCertificate, WantedPublication, WantedStores, WantedTrust, WantedTrustStore,
    Watcher, WatcherParts, WatcherSettings,
};
use super::fixture::{container, service};
use super::vault::Vault;
use crate::labels::Reload;
use crate::verify::{Question, Seen};

/// No test waits that long unless it fails.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = look() {
            return answer;
        }
        assert!(Instant::now() < end, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(super) type Events = UnboundedSender<Result<EngineEvent, EngineError>>;

#[derive(Default)]
pub(super) struct Engine {
    pub(super) containers: Mutex<BTreeMap<String, Container>>,
    /// Inspecting these never answers.
    pub(super) stuck: Mutex<BTreeSet<String>>,
    pub(super) away: AtomicBool,
    pub(super) listeners: Mutex<Vec<Events>>,
}

impl Engine {
    pub(super) fn put(&self, container: Container) {
        self.containers.lock().insert(container.id.clone(), container);
    }

    pub(super) fn start(&self, container: Container) {
        let id = container.id.clone();
        self.put(container);
        self.tell(EventKind::Started, id);
    }

    pub(super) fn tell(&self, kind: EventKind, container: String) {
        let event = EngineEvent { kind, container, at: 1 };
        self.listeners.lock().retain(|listener| listener.send(Ok(event.clone())).is_ok());
    }

    pub(super) fn go(&self) {
        self.away.store(true, Ordering::SeqCst);
        for listener in std::mem::take(&mut *self.listeners.lock()) {
            let _ = listener.send(Err(EngineError::EventsEnded));
        }
    }

    pub(super) fn unreachable(&self) -> Option<EngineError> {
        let source = "refused".into();
        let url = "unix:///nowhere".to_owned();
        self.away.load(Ordering::SeqCst).then_some(EngineError::Unreachable { url, source })
    }
}

impl Host for Engine {
    fn running(&self) -> BoxFuture<'_, Result<Vec<String>, EngineError>> {
        let ids = || {
            let containers = self.containers.lock();
            containers.values().filter(|one| one.running).map(|one| one.id.clone()).collect()
        };
        async move { self.unreachable().map_or_else(|| Ok(ids()), Err) }.boxed()
    }

    fn inspect(&self, container: String) -> BoxFuture<'_, Result<Container, EngineError>> {
        async move {
            if self.stuck.lock().contains(&container) {
                std::future::pending::<()>().await;
            }
            if let Some(error) = self.unreachable() {
                return Err(error);
            }
            let found = self.containers.lock().get(&container).cloned();
            found.ok_or(EngineError::NoSuchContainer { reference: container })
        }
        .boxed()
    }

    fn events(&self, _since: Option<i64>) -> BoxStream<'static, Result<EngineEvent, EngineError>> {
        let (sender, receiver) = unbounded_channel();
        self.listeners.lock().push(sender);
        let next = |mut receiver: UnboundedReceiver<_>| async move {
            receiver.recv().await.map(|event| (event, receiver))
        };
        stream::unfold(receiver, next).boxed()
    }
}

#[derive(Default)]
pub(super) struct Inside {
    pub(super) files: Mutex<BTreeMap<String, (Vec<u8>, String)>>,
    pub(super) reloads: AtomicU64,
    pub(super) running: AtomicUsize,
    pub(super) most: AtomicUsize,
    /// The files of secrets, by container's id and path.
    pub(super) secrets: Mutex<BTreeMap<String, Vec<u8>>>,
    /// These have no tmpfs.
    pub(super) on_disk: Mutex<BTreeSet<String>>,
    /// Deliveries to these never end.
    pub(super) stuck: Mutex<BTreeSet<String>>,
    pub(super) slow: Mutex<Duration>,
}

impl Inside {
    fn put_secret(
        &self,
        container: &Container,
        parcel: &Parcel,
        content: &SecretBytes,
    ) -> Result<Delivered, SiteError> {
        if parcel.memory_only && self.on_disk.lock().contains(&container.name) {
            return Err(SiteError::OnDisk { reason: "it is on a disk".to_owned() });
        }
        let new = content.expose().to_vec();
        let place = format!("{}{}", container.id, parcel.path);
        let before = self.secrets.lock().insert(place, new.clone());
        let (changed, replaced_previous) = (before.as_ref() != Some(&new), before.is_some());
        Ok(Delivered { changed, replaced_previous })
    }

    /// What a container reads at a path.
    pub(super) fn secret(&self, container: &str, path: &str) -> Option<Vec<u8>> {
        self.secrets.lock().get(&format!("{container}{path}")).cloned()
    }
}

/// Counts down also when a delivery is given up.
struct Counted<'a>(&'a AtomicUsize);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Site for Inside {
    fn deliver(
        &self,
        container: Arc<Container>,
        parcel: Parcel,
    ) -> BoxFuture<'_, Result<Delivered, SiteError>> {
        async move {
            let now = self.running.fetch_add(1, Ordering::SeqCst) + 1;
            let _counted = Counted(&self.running);
            self.most.fetch_max(now, Ordering::SeqCst);
            if self.stuck.lock().contains(&container.name) {
                std::future::pending::<()>().await;
            }
            let slow = *self.slow.lock();
            tokio::time::sleep(slow).await;
            let files = match &parcel.contents {
                Contents::Folder(files) => files,
                Contents::File { mode, content } => {
                    assert_eq!(*mode, 0o400);
                    return self.put_secret(&container, &parcel, content);
                }
            };
            let names: Vec<(&str, u32)> = files.iter().map(|file| (file.name, file.mode)).collect();
            let expected =
                [("bundle.pem", 0o400), ("ca.crt", 0o444), ("tls.crt", 0o444), ("tls.key", 0o400)];
            assert_eq!(names[..4], expected);
            for store in &files[4..] {
                assert_eq!(store.mode, 0o400);
                let place = format!("{}{}/{}", container.id, parcel.path, store.name);
                self.secrets.lock().insert(place, store.content.expose().to_vec());
            }
            let crt = files[2].content.expose().to_vec();
            let serial = String::from_utf8(files[1].content.expose().to_vec()).unwrap();
            let before = self.files.lock().insert(container.id.clone(), (crt, serial));
            let replaced_previous = before.is_some();
            Ok(Delivered { changed: true, replaced_previous })
        }
        .boxed()
    }

    fn held(
        &self,
        container: Arc<Container>,
        place: Place,
    ) -> BoxFuture<'_, Result<Held, SiteError>> {
        if let Place::Secret { path } = place {
            let there = self.secret(&container.id, path.as_str()).is_some();
            return async move { Ok(if there { Held::File } else { Held::Nothing }) }.boxed();
        }
        let files = self.files.lock().get(&container.id).cloned();
        async move { Ok(files.map_or(Held::Nothing, |(crt, _)| Held::Certificate(crt))) }.boxed()
    }

    fn reload(
        &self,
        _container: Arc<Container>,
        how: Reload,
    ) -> BoxFuture<'_, Result<(), SiteError>> {
        assert_eq!(how.to_string(), "signal:HUP");
        self.reloads.fetch_add(1, Ordering::SeqCst);
        async { Ok(()) }.boxed()
    }

    fn look(
        &self,
        container: Arc<Container>,
        question: Question,
    ) -> BoxFuture<'_, Result<Seen, SiteError>> {
        assert_eq!(question.port, 8443);
        assert_eq!(question.server_name.to_str(), container.name);
        let (_, serial) = self.files.lock()[&container.id].clone();
        let address = SocketAddr::from(([127, 0, 0, 1], 8443));
        async move { Ok(Seen { serial, chain: Ok(()), address }) }.boxed()
    }
}

pub(super) struct Authority {
    pub(super) key: KeyPair,
    pub(super) serial: AtomicU64,
    pub(super) clock: Arc<ManualClock>,
    pub(super) epoch: AtomicU64,
    pub(super) permits_bank: AtomicBool,
    pub(super) revoked: Mutex<BTreeSet<String>>,
}

/// What the last round asked to be published.
#[derive(Default)]
pub(super) struct Published(pub(super) Mutex<Vec<WantedPublication>>);

impl Publisher for Published {
    fn keep(&self, delivered: Vec<WantedPublication>) {
        *self.0.lock() = delivered;
    }
}

fn store(wanted: WantedStores) -> StoreFile {
    let content = wanted.password.unwrap_or_else(|| SecretBytes::new(b"own".to_vec()));
    StoreFile { name: "keystore.p12", private: true, content }
}

impl CertificateSource for Authority {
    fn request(
        &self,
        wanted: WantedCertificate,
    ) -> BoxFuture<'_, Result<DeliveredCertificate, Refusal>> {
        async move {
            let name = wanted.names[0].to_string();
            assert_ne!(name, "boom", "a fault of ours");
            assert!(wanted.container.own_names.contains(&wanted.container.name));
            if name == "bank" && !self.permits_bank.load(Ordering::SeqCst) {
                let (reason, hint) = ("no rule".to_owned(), Some("permit (…);".to_owned()));
                return Err(Refusal::Denied { reason, hint });
            }
            let number = self.serial.fetch_add(1, Ordering::SeqCst);
            let mut params = CertificateParams::new(vec![name]).unwrap();
            params.serial_number = Some(SerialNumber::from(number));
            let tls_crt = params.self_signed(&self.key).unwrap().pem().into_bytes();
            let serial = format!("{number:04x}");
            Ok(DeliveredCertificate {
                serial: serial.to_uppercase(),
                not_after: self.clock.now().plus(wanted.ttl.unwrap_or(crate::labels::USUAL_TTL)),
                version: None,
                tls_crt,
                tls_key: SecretBytes::new(b"key".to_vec()),
                // So that the fake service knows what it serves.
                ca_crt: serial.into_bytes(),
                bundle_pem: SecretBytes::new(b"bundle".to_vec()),
                // So that a test sees what they are under.
                stores: wanted.stores.into_iter().map(store).collect(),
            })
        }
        .boxed()
    }

    fn policy_epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    fn trust(&self) -> Arc<Trust> {
        Arc::new(Trust { digest: "one".to_owned(), anchors: Vec::new() })
    }

    fn imported(&self, _: &ImportedName) -> Current {
        Current::Gone
    }

    fn is_revoked(&self, serial: &str) -> bool {
        self.revoked.lock().contains(serial)
    }

    fn imported_names(&self, _: &ImportedName) -> Vec<SubjectName> {
        Vec::new()
    }

    fn may_have_trust(&self, _: WantedTrust) -> BoxFuture<'_, Result<(), Refusal>> {
        async { Ok(()) }.boxed()
    }

    fn trust_store(&self, wanted: WantedTrustStore) -> BoxFuture<'_, Result<SecretBytes, Refusal>> {
        let password = wanted.password.unwrap_or_else(|| SecretBytes::new(b"changeit".to_vec()));
        async move { Ok(password) }.boxed()
    }

    fn store_password(&self, value: &SecretBytes) -> Result<SecretBytes, Refusal> {
        if value.len() < 6 {
            return Err(Refusal::Denied { reason: "too short".to_owned(), hint: None });
        }
        Ok(value.trim_line_end())
    }
}

/// A store whose commits can be made to fail.
#[derive(Debug)]
pub(super) struct Brittle {
    pub(super) inner: SqliteStore,
    pub(super) broken: AtomicBool,
}

impl Store for Brittle {
    fn get(&self, key: &[u8]) -> Result<Option<Versioned>, StoreError> {
        self.inner.get(key)
    }

    fn range(
        &self,
        range: &KeyRange,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Versioned)>, StoreError> {
        self.inner.range(range, limit)
    }

    fn commit_sequence(&self, sequence: &mut dyn Sequence) -> Result<(), StoreError> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(StoreError::NoOutcome);
        }
        self.inner.commit_sequence(sequence)
    }

    fn watch(&self, prefix: &[u8]) -> Result<Watch, StoreError> {
        self.inner.watch(prefix)
    }

    fn sweep(&self) -> Result<u64, StoreError> {
        self.inner.sweep()
    }
}

pub(super) struct World {
    pub(super) engine: Arc<Engine>,
    pub(super) inside: Arc<Inside>,
    pub(super) authority: Arc<Authority>,
    pub(super) vault: Arc<Vault>,
    pub(super) published: Arc<Published>,
    pub(super) store: Arc<Brittle>,
    pub(super) journal: Arc<Journal>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) settings: WatcherSettings,
    _folder: tempfile::TempDir,
}

pub(super) struct Running {
    pub(super) watcher: Arc<Watcher>,
    pub(super) stop: oneshot::Sender<()>,
    pub(super) task: JoinHandle<()>,
}

impl World {
    pub(super) fn new() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        let inner = SqliteStore::open(&path, Arc::<ManualClock>::clone(&clock)).unwrap();
        let store = Arc::new(Brittle { inner, broken: AtomicBool::new(false) });
        let authority = Authority {
            key: KeyPair::generate().unwrap(),
            serial: AtomicU64::new(0x1001),
            clock: Arc::clone(&clock),
            epoch: AtomicU64::new(1),
            permits_bank: AtomicBool::new(false),
            revoked: Mutex::default(),
        };
        let journal =
            Journal::open(Arc::<Brittle>::clone(&store), Arc::<ManualClock>::clone(&clock));
        Self {
            engine: Arc::default(),
            inside: Arc::default(),
            authority: Arc::new(authority),
            vault: Arc::default(),
            published: Arc::default(),
            store,
            journal: journal.unwrap(),
            clock,
            settings: WatcherSettings::default(),
            _folder: folder,
        }
    }

    pub(super) fn web(&self, number: u64, name: &str) -> Container {
        let mut web = container(number, name, &[], self.clock.now());
        web.labels = service("1h");
        web
    }

    pub(super) fn start(&self) -> Running {
        let parts = WatcherParts {
            source: Arc::<Authority>::clone(&self.authority),
            secrets: Arc::<Vault>::clone(&self.vault),
            publisher: Arc::<Published>::clone(&self.published),
            host: Arc::<Engine>::clone(&self.engine),
            site: Arc::<Inside>::clone(&self.inside),
            journal: Arc::clone(&self.journal),
            clock: Arc::<ManualClock>::clone(&self.clock),
        };
        let watcher = Arc::new(Watcher::new(parts, self.settings.clone()).unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let run = Arc::clone(&watcher);
        let task = tokio::spawn(async move { run.run(stopped.map(|_| ())).await });
        Running { watcher, stop, task }
    }

    /// All keys and values, one after the other.
    pub(super) fn everything_stored(&self) -> Vec<u8> {
        let all = self.store.range(&KeyRange::prefix(b"".as_slice()), 100_000).unwrap();
        all.into_iter().flat_map(|(key, entry)| [key, entry.value].concat()).collect()
    }

    pub(super) fn facts(&self) -> Vec<Fact> {
        self.journal.tail(0, 10_000).unwrap().into_iter().map(|record| record.event.fact).collect()
    }
}

impl Running {
    pub(super) fn state(&self, name: &str) -> Option<DeliveryState> {
        let all = self.watcher.snapshot();
        all.into_iter().find(|status| status.container == name).map(|status| status.state)
    }

    /// The serial that was delivered last.
    pub(super) fn serial(&self, name: &str) -> Option<String> {
        let all = self.watcher.snapshot();
        all.into_iter().find(|status| status.container == name)?.serial
    }

    pub(super) fn secret(&self, name: &str) -> Option<SecretStatus> {
        let all = self.watcher.secrets();
        all.into_iter().find(|status| status.container == name)
    }

    /// Waits until this version is delivered.
    pub(super) async fn has_version(&self, name: &str, version: u64) -> SecretStatus {
        until(name, || {
            let status = self.secret(name)?;
            let there = status.state == DeliveryState::Delivered;
            (there && status.version == Some(version)).then_some(status)
        })
        .await
    }

    pub(super) async fn delivered(&self, name: &str) {
        until(name, || (self.state(name)? == DeliveryState::Delivered).then_some(())).await;
    }

    pub(super) async fn served(&self, name: &str, serial: &str) {
        until(serial, || {
            self.watcher.poke();
            let mut all = self.watcher.snapshot().into_iter();
            let status = all.find(|status| status.container == name)?;
            let served = matches!(status.verify, VerifyState::Served { .. });
            (served && status.serial.as_deref() == Some(serial)).then_some(())
        })
        .await;
    }

    pub(super) async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
    }
}
