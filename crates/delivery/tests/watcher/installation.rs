//! A watcher with a scope of its own on the shared engine.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sealock_core::SystemClock;
use sealock_core::audit::Fact;
use sealock_delivery::watcher::{
    Alarm, CertificateStatus, DeliveryState, EngineSite, SCOPE_LABEL, VerifyState, Watcher,
    WatcherParts, WatcherSettings,
};
use sealock_engine::{Engine, EngineUrl};
use sealock_store::{Journal, SqliteStore};
use sealock_testkit::docker::{Container, Image};
use sealock_testkit::{unique_name, wait};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::source::{Nowhere, Source};
use super::vault::Vault;

/// Long enough for a machine that builds something else meanwhile.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// How long a service may take here.
pub(crate) const GRACE: Duration = Duration::from_secs(6);

pub(crate) struct Installation {
    pub(crate) runtime: Runtime,
    pub(crate) source: Arc<Source>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) folder: PathBuf,
    scratch: Option<tempfile::TempDir>,
    scope: String,
    engine: PathBuf,
    running: Option<(Arc<Watcher>, oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Installation {
    pub(crate) fn new() -> Self {
        Self::with_engine(|_| PathBuf::from("/var/run/docker.sock"))
    }

    pub(crate) fn with_engine(engine: impl FnOnce(&Path) -> PathBuf) -> Self {
        let folder = sealock_testkit::scratch_folder();
        let mut installation = Self::reopen(folder.path(), unique_name(), engine);
        installation.scratch = Some(folder);
        installation
    }

    /// An installation whose state may be there already.
    pub(crate) fn reopen(
        folder: &Path,
        scope: String,
        engine: impl FnOnce(&Path) -> PathBuf,
    ) -> Self {
        let clock = Arc::new(SystemClock);
        let database = folder.join("state.db");
        let store = SqliteStore::open(&database, Arc::<SystemClock>::clone(&clock)).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        Self {
            runtime,
            source: Arc::new(Source::new()),
            vault: Arc::new(Vault::new()),
            journal: Journal::open(Arc::new(store), clock).unwrap(),
            engine: engine(folder),
            folder: folder.to_owned(),
            scratch: None,
            scope,
            running: None,
        }
    }

    /// Starts a watcher on what is remembered.
    pub(crate) fn start(&mut self) {
        let url = EngineUrl::Unix(self.engine.clone());
        let clock = Arc::new(SystemClock);
        let engine = Engine::without_connecting(&url).unwrap();
        let site = Arc::new(EngineSite::new(
            engine,
            Arc::<SystemClock>::clone(&clock),
            Duration::from_secs(10),
        ));
        let parts = WatcherParts {
            source: Arc::<Source>::clone(&self.source),
            secrets: Arc::<Vault>::clone(&self.vault),
            publisher: Arc::new(Nowhere),
            host: Arc::<EngineSite>::clone(&site),
            site,
            journal: Arc::clone(&self.journal),
            clock,
        };
        let settings = WatcherSettings {
            scope: Some(self.scope.clone()),
            grace: GRACE,
            engine_grace: Duration::from_secs(1),
            look_again: Duration::from_secs(2),
            retry_first: Duration::from_millis(300),
            // Events have to do it.
            resync: Duration::from_secs(3600),
            ..WatcherSettings::default()
        };
        let watcher = Arc::new(Watcher::new(parts, settings).unwrap());
        let (stop, stopped) = oneshot::channel();
        let run = Arc::clone(&watcher);
        let task = self.runtime.spawn(async move {
            run.run(async {
                let _ = stopped.await;
            })
            .await;
        });
        self.running = Some((watcher, stop, task));
    }

    /// Stops it in order.
    pub(crate) fn stop(&mut self) {
        let (_, stop, task) = self.running.take().unwrap();
        stop.send(()).unwrap();
        self.runtime.block_on(task).unwrap();
    }

    /// Ends it as a SIGKILL would: in the middle of whatever it does.
    pub(crate) fn kill(&mut self) {
        let (_, _stop, task) = self.running.take().unwrap();
        task.abort();
        assert!(self.runtime.block_on(task).unwrap_err().is_cancelled());
    }

    pub(crate) fn watcher(&self) -> &Watcher {
        &self.running.as_ref().unwrap().0
    }

    /// Runs a container of this installation's scope.
    pub(crate) fn run(&self, image: &Image, options: &[&str], command: &[&str]) -> Container {
        run_in(&self.scope, image, options, command)
    }

    pub(crate) fn status_of(
        &self,
        container: &Container,
        certificate: &str,
    ) -> Option<CertificateStatus> {
        self.watcher().snapshot().into_iter().find(|status| {
            status.container_id == container.id() && status.certificate == certificate
        })
    }

    /// Waits until a certificate is delivered, with another serial than `before`.
    pub(crate) fn delivered(
        &self,
        container: &Container,
        before: Option<&str>,
    ) -> CertificateStatus {
        wait::until("the delivery", PATIENCE, || {
            let status = self.status_of(container, "web")?;
            let new = status.serial.is_some() && status.serial.as_deref() != before;
            (new && status.state == DeliveryState::Delivered).then_some(status)
        })
    }

    /// Waits until a certificate with another serial than `before` is seen to be served.
    pub(crate) fn served(&self, container: &Container, before: Option<&str>) -> CertificateStatus {
        wait::until("the served certificate", PATIENCE, || {
            let status = self.status_of(container, "web")?;
            let new = status.serial.as_deref() != before;
            (new && matches!(status.verify, VerifyState::Served { .. })).then_some(status)
        })
    }

    /// Waits for an alarm.
    pub(crate) fn alarm(&self) -> Alarm {
        wait::until("an alarm", PATIENCE, || self.watcher().alarms().pop())
    }

    /// The audit log.
    pub(crate) fn facts(&self) -> Vec<Fact> {
        let records = self.journal.tail(0, 10_000).unwrap();
        records.into_iter().map(|record| record.event.fact).collect()
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        if self.running.is_some() {
            self.kill();
        }
    }
}

/// Runs a container of a scope.
pub(crate) fn run_in(scope: &str, image: &Image, options: &[&str], command: &[&str]) -> Container {
    let scope = format!("{SCOPE_LABEL}={scope}");
    let options = [&["--label", scope.as_str()], options].concat();
    image.start_command(&options, command)
}

/// An image with busybox and the reloading service.
pub(crate) fn service_image() -> Image {
    let own = std::env::current_exe().unwrap();
    let program = own.ancestors().nth(2).unwrap().join("examples/reloading_service");
    let content = std::fs::read(&program).unwrap_or_else(|error| {
        panic!("{}: {error}; `cargo build -p sealock-delivery --examples`", program.display())
    });
    Image::with_files(&[("/reloading_service", &content, 0o755)])
}
