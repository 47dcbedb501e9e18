//! The running watcher: its loop, its bounds, and what it does about faults. Engine, containers and
//! source are fakes; journal and store are real.

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
use sealock_core::{Clock, ManualClock, SecretBytes, Timestamp};
use sealock_engine::{Container, EngineError, EngineEvent, EventKind};
use sealock_store::{
    Journal, KeyRange, Sequence, SqliteStore, Store, StoreError, Versioned, Watch,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::super::{
    AlarmKind, CertificateSource, Contents, Delivered, DeliveredCertificate, DeliveryState, Held,
    Host, Parcel, Place, Refusal, Site, SiteError, Trust, VerifyState, WantedCertificate, Watcher,
    WatcherParts, WatcherSettings,
};
use super::fixture::{container, id, service};
use crate::labels::Reload;
use crate::verify::{Question, Seen};

/// No test waits that long unless it fails.
const PATIENCE: Duration = Duration::from_secs(30);

async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = look() {
            return answer;
        }
        assert!(Instant::now() < end, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

type Events = UnboundedSender<Result<EngineEvent, EngineError>>;

#[derive(Default)]
struct Engine {
    containers: Mutex<BTreeMap<String, Container>>,
    /// Inspecting these never answers.
    stuck: Mutex<BTreeSet<String>>,
    away: AtomicBool,
    listeners: Mutex<Vec<Events>>,
}

impl Engine {
    fn put(&self, container: Container) {
        self.containers.lock().insert(container.id.clone(), container);
    }

    fn start(&self, container: Container) {
        let id = container.id.clone();
        self.put(container);
        self.tell(EventKind::Started, id);
    }

    fn tell(&self, kind: EventKind, container: String) {
        let event = EngineEvent { kind, container, at: 1 };
        self.listeners.lock().retain(|listener| listener.send(Ok(event.clone())).is_ok());
    }

    fn go(&self) {
        self.away.store(true, Ordering::SeqCst);
        for listener in std::mem::take(&mut *self.listeners.lock()) {
            let _ = listener.send(Err(EngineError::EventsEnded));
        }
    }

    fn unreachable(&self) -> Option<EngineError> {
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
struct Inside {
    files: Mutex<BTreeMap<String, (Vec<u8>, String)>>,
    reloads: AtomicU64,
    running: AtomicUsize,
    most: AtomicUsize,
    /// Deliveries to these never end.
    stuck: Mutex<BTreeSet<String>>,
    slow: Mutex<Duration>,
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
            let Contents::Folder(files) = &parcel.contents;
            let names: Vec<(&str, u32)> = files.iter().map(|file| (file.name, file.mode)).collect();
            let expected =
                [("bundle.pem", 0o400), ("ca.crt", 0o444), ("tls.crt", 0o444), ("tls.key", 0o400)];
            assert_eq!(names, expected);
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
        _place: Place,
    ) -> BoxFuture<'_, Result<Held, SiteError>> {
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

struct Authority {
    key: KeyPair,
    serial: AtomicU64,
    clock: Arc<ManualClock>,
    epoch: AtomicU64,
    permits_bank: AtomicBool,
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
                not_after: self.clock.now().plus(wanted.ttl),
                tls_crt,
                tls_key: SecretBytes::new(b"key".to_vec()),
                // So that the fake service knows what it serves.
                ca_crt: serial.into_bytes(),
                bundle_pem: SecretBytes::new(b"bundle".to_vec()),
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
}

/// A store whose commits can be made to fail.
#[derive(Debug)]
struct Brittle {
    inner: SqliteStore,
    broken: AtomicBool,
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

struct World {
    engine: Arc<Engine>,
    inside: Arc<Inside>,
    authority: Arc<Authority>,
    store: Arc<Brittle>,
    journal: Arc<Journal>,
    clock: Arc<ManualClock>,
    settings: WatcherSettings,
    _folder: tempfile::TempDir,
}

struct Running {
    watcher: Arc<Watcher>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl World {
    fn new() -> Self {
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
        };
        let journal =
            Journal::open(Arc::<Brittle>::clone(&store), Arc::<ManualClock>::clone(&clock));
        Self {
            engine: Arc::default(),
            inside: Arc::default(),
            authority: Arc::new(authority),
            store,
            journal: journal.unwrap(),
            clock,
            settings: WatcherSettings::default(),
            _folder: folder,
        }
    }

    fn web(&self, number: u64, name: &str) -> Container {
        let mut web = container(number, name, &[], self.clock.now());
        web.labels = service("1h");
        web
    }

    fn start(&self) -> Running {
        let parts = WatcherParts {
            source: Arc::<Authority>::clone(&self.authority),
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

    fn facts(&self) -> Vec<Fact> {
        self.journal.tail(0, 10_000).unwrap().into_iter().map(|record| record.event.fact).collect()
    }
}

impl Running {
    fn state(&self, name: &str) -> Option<DeliveryState> {
        let all = self.watcher.snapshot();
        all.into_iter().find(|status| status.container == name).map(|status| status.state)
    }

    async fn delivered(&self, name: &str) {
        until(name, || (self.state(name)? == DeliveryState::Delivered).then_some(())).await;
    }

    async fn served(&self, name: &str, serial: &str) {
        until(serial, || {
            self.watcher.poke();
            let mut all = self.watcher.snapshot().into_iter();
            let status = all.find(|status| status.container == name)?;
            let served = matches!(status.verify, VerifyState::Served { .. });
            (served && status.serial.as_deref() == Some(serial)).then_some(())
        })
        .await;
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
    }
}

#[tokio::test]
async fn events_lead_to_deliveries_and_time_to_renewals() {
    let world = World::new();
    world.engine.put(world.web(1, "early"));
    let run = world.start();
    run.delivered("early").await;
    world.engine.start(world.web(2, "late"));
    run.delivered("late").await;
    world.clock.advance(Duration::from_secs(2));
    run.served("early", "1001").await;
    run.served("late", "1002").await;
    assert_eq!(world.inside.reloads.load(Ordering::SeqCst), 0);

    world.clock.advance(Duration::from_secs(2400));
    run.watcher.poke();
    until("both renewals", || (run.watcher.counters().deliveries == 4).then_some(())).await;
    until("both reloads", || (world.inside.reloads.load(Ordering::SeqCst) == 2).then_some(()))
        .await;

    world.engine.containers.lock().remove(&id(1));
    world.engine.tell(EventKind::Destroyed, id(1));
    until("the end of the first", || run.state("early").is_none().then_some(())).await;
    run.stop().await;
    let delivered =
        |fact: &&Fact| matches!(fact, Fact::CertDelivered { reload, .. } if reload == "signal:HUP");
    assert_eq!(world.facts().iter().filter(delivered).count(), 2);
}

#[tokio::test]
async fn a_policy_that_changes_is_asked_again() {
    let world = World::new();
    world.engine.put(world.web(1, "bank"));
    let run = world.start();
    until("the refusal", || (run.state("bank")? == DeliveryState::Refused).then_some(())).await;
    world.authority.permits_bank.store(true, Ordering::SeqCst);
    world.authority.epoch.store(2, Ordering::SeqCst);
    run.watcher.poke();
    run.delivered("bank").await;
    run.stop().await;
}

#[tokio::test]
async fn no_more_is_under_way_at_once_than_allowed() {
    let mut world = World::new();
    world.settings.concurrency = 5;
    *world.inside.slow.lock() = Duration::from_millis(2);
    for number in 1..=200 {
        world.engine.put(world.web(number, &format!("web{number}")));
    }
    let run = world.start();
    until("all deliveries", || (run.watcher.counters().deliveries == 200).then_some(())).await;
    assert_eq!(world.inside.most.load(Ordering::SeqCst), 5);
    run.stop().await;
}

#[tokio::test]
async fn what_hangs_holds_up_nobody_else() {
    let mut world = World::new();
    // As many certificates as there are places for deliveries, and none of them ever ends.
    let mut stuck = world.web(1, "stuck");
    for number in 0..8 {
        stuck.labels.insert(format!("sealock.cert.c{number}.ttl"), "1h".to_owned());
    }
    world.settings.deliver_deadline = Duration::from_millis(500);
    world.engine.put(stuck);
    world.engine.put(world.web(2, "dead"));
    world.engine.put(world.web(3, "boom"));
    world.engine.put(world.web(4, "well"));
    world.engine.stuck.lock().insert(id(2));
    world.inside.stuck.lock().insert("stuck".to_owned());
    let run = world.start();
    run.delivered("well").await;
    assert!(world.inside.running.load(Ordering::SeqCst) <= 2, "two places, not all");
    for (name, reason) in [
        ("stuck", "the delivery did not end in time"),
        ("boom", "the delivery ended with a fault of sealock"),
    ] {
        let status = until(name, || {
            let mut all = run.watcher.snapshot().into_iter();
            all.find(|one| one.container == name && one.state == DeliveryState::Retrying)
        })
        .await;
        assert_eq!(status.reason.as_deref(), Some(reason));
    }
    world.engine.start(world.web(5, "next"));
    run.delivered("next").await;
    run.stop().await;
}

#[tokio::test]
async fn an_engine_that_comes_back_is_caught_up_with() {
    let mut world = World::new();
    world.settings.engine_grace = Duration::ZERO;
    world.engine.put(world.web(1, "before"));
    let run = world.start();
    run.delivered("before").await;
    world.engine.go();
    let alarm = until("the alarm", || run.watcher.alarms().pop()).await;
    assert_eq!(alarm.kind, AlarmKind::EngineAway);
    assert_eq!(alarm.reason, "cannot reach the engine at unix:///nowhere: refused");
    world.engine.put(world.web(2, "meanwhile"));
    let restarted = sealock_engine::StartedAt::parse("2027-01-16T00:00:00Z");
    world.engine.containers.lock().get_mut(&id(1)).unwrap().started_at = restarted;
    world.inside.files.lock().clear();
    world.engine.away.store(false, Ordering::SeqCst);
    run.delivered("meanwhile").await;
    until("the delivery after the restart", || {
        (run.watcher.counters().deliveries == 3).then_some(())
    })
    .await;
    assert_eq!(run.watcher.alarms(), []);
    run.stop().await;
}

#[tokio::test]
async fn a_restart_that_lost_nothing_delivers_nothing() {
    let world = World::new();
    world.engine.put(world.web(1, "web"));
    let run = world.start();
    run.delivered("web").await;
    world.clock.advance(Duration::from_secs(2));
    run.served("web", "1001").await;
    let restarted = sealock_engine::StartedAt::parse("2027-01-16T00:00:00Z");
    world.engine.containers.lock().get_mut(&id(1)).unwrap().started_at = restarted;
    world.engine.tell(EventKind::Started, id(1));
    until("the second look", || {
        run.watcher.poke();
        world.clock.advance(Duration::from_secs(1));
        (run.watcher.counters().served == 2).then_some(())
    })
    .await;
    assert_eq!(run.watcher.counters().deliveries, 1);
    run.stop().await;
}

#[tokio::test]
async fn what_cannot_be_written_now_is_written_later() {
    let world = World::new();
    let run = world.start();
    until("the engine", || (run.watcher.counters().resyncs == 1).then_some(())).await;
    world.store.broken.store(true, Ordering::SeqCst);
    world.engine.start(world.web(1, "web"));
    run.delivered("web").await;
    world.store.broken.store(false, Ordering::SeqCst);
    until("the audit event", || {
        world.facts().iter().any(|fact| matches!(fact, Fact::CertDelivered { .. })).then_some(())
    })
    .await;
    run.stop().await;
    // The next watcher knows of it.
    let run = world.start();
    run.delivered("web").await;
    assert_eq!(run.watcher.counters().deliveries, 0);
    run.stop().await;
}

#[tokio::test]
async fn a_delivery_that_is_under_way_at_shutdown_is_recorded() {
    let world = World::new();
    *world.inside.slow.lock() = Duration::from_millis(200);
    world.engine.put(world.web(1, "web"));
    let run = world.start();
    until("the delivery", || (world.inside.running.load(Ordering::SeqCst) == 1).then_some(()))
        .await;
    run.stop().await;
    let run = world.start();
    run.delivered("web").await;
    assert_eq!(run.watcher.counters().deliveries, 0);
    run.stop().await;
}
