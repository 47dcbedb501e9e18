//! The watcher's loop: events and answers in, tasks and commits out.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use sealock_engine::{Container, EngineError, EngineEvent, EventKind};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::effects::Effects;
use super::entry::Step;
use super::ports::with_causes;
use super::record::EntryKey;
use super::settle::Doubt;
use super::work::{Done, Task};
use super::{Watcher, snapshot};

/// A round comes at least this often, so that a clock that was set is noticed.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
/// How long what is under way may take to end at shutdown.
const DRAIN: Duration = Duration::from_secs(5);
/// The longest wait between two tries to reach the engine.
const LONGEST_RECONNECT: Duration = Duration::from_secs(5);
/// How soon what could not be made durable is tried again.
const COMMIT_AGAIN: Duration = Duration::from_secs(1);
/// How much may be under way for one container at once.
const PLACES_OF_ONE_CONTAINER: usize = 2;
/// How many containers are inspected at once because of events.
const INSPECTIONS: usize = 8;
/// Events are asked for from this long before the list of containers was, should the clocks differ.
const OVERLAP: Duration = Duration::from_secs(2);

type Events = BoxStream<'static, Result<EngineEvent, EngineError>>;

/// An answer that came back.
enum Answer {
    Resynced(Result<Vec<String>, EngineError>),
    Inspected(Box<Result<Container, EngineError>>),
    Done(Box<Done>),
}

/// What a task was started for; known also when it panicked.
enum Slot {
    Resync,
    Inspect(String),
    Work(EntryKey),
    Look(EntryKey),
}

/// One run of the watcher.
pub(super) struct Run<'a> {
    watcher: &'a Watcher,
    jobs: JoinSet<Answer>,
    slots: HashMap<Id, Slot>,
    works: usize,
    looks: usize,
    events: Option<Events>,
    events_since: Instant,
    last_event: Option<i64>,
    asked_from: Option<i64>,
    resync_at: Option<Instant>,
    losses: u32,
    /// Under inspection; true when it must be inspected once more.
    inspecting: BTreeMap<String, bool>,
    to_inspect: BTreeSet<String>,
    /// The list of containers was read at least once.
    listed: bool,
    pending: Effects,
}

impl<'a> Run<'a> {
    pub(super) fn new(watcher: &'a Watcher) -> Self {
        Self {
            watcher,
            jobs: JoinSet::new(),
            slots: HashMap::new(),
            works: 0,
            looks: 0,
            events: None,
            events_since: Instant::now(),
            last_event: None,
            asked_from: None,
            resync_at: Some(Instant::now()),
            losses: 0,
            inspecting: BTreeMap::new(),
            to_inspect: BTreeSet::new(),
            listed: false,
            pending: Effects::default(),
        }
    }

    pub(super) async fn until(mut self, shutdown: impl Future<Output = ()> + Send) {
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            self.start_engine_jobs();
            let mut next = self.round();
            self.commit().await;
            if !self.pending.is_empty() {
                next = next.min(Instant::now() + COMMIT_AGAIN);
            }
            tokio::select! {
                () = &mut shutdown => break,
                Some(joined) = self.jobs.join_next_with_id() => self.joined(joined),
                event = next_event(&mut self.events) => self.event(event),
                () = self.watcher.wake.notified() => {}
                () = sleep_until(next) => {}
            }
            while let Some(joined) = self.jobs.try_join_next_with_id() {
                self.joined(joined);
            }
        }
        self.drain().await;
    }

    /// Lets deliveries and reloads come to their end; looks and questions can be asked again.
    async fn drain(&mut self) {
        let end = Instant::now() + DRAIN;
        while self.works > 0 {
            let Ok(Some(joined)) = timeout_at(end, self.jobs.join_next_with_id()).await else {
                break;
            };
            self.joined(joined);
        }
        self.pending.append(std::mem::take(&mut self.watcher.book.lock().effects));
        self.commit().await;
    }

    /// Asks the engine what is to be asked.
    fn start_engine_jobs(&mut self) {
        if self.resync_at.is_some_and(|at| at <= Instant::now()) {
            self.resync_at = None;
            let now = self.watcher.parts.clock.now().minus(OVERLAP);
            self.asked_from = Some(now.as_millis().saturating_mul(1_000_000));
            let host = Arc::clone(&self.watcher.parts.host);
            let job = async move { Answer::Resynced(host.running().await) };
            let id = self.jobs.spawn(job).id();
            self.slots.insert(id, Slot::Resync);
        }
        while self.inspecting.len() < INSPECTIONS {
            let Some(container) = self.to_inspect.pop_first() else { break };
            if let Some(again) = self.inspecting.get_mut(&container) {
                *again = true;
                continue;
            }
            self.inspecting.insert(container.clone(), false);
            let host = Arc::clone(&self.watcher.parts.host);
            let slot = Slot::Inspect(container.clone());
            let job = async move { Answer::Inspected(Box::new(host.inspect(container).await)) };
            let id = self.jobs.spawn(job).id();
            self.slots.insert(id, slot);
        }
    }

    /// Starts what is due, and says when to come back.
    fn round(&mut self) -> Instant {
        let watcher = self.watcher;
        let trust = watcher.trust_now();
        let world = watcher.world(&trust);
        let mut book = watcher.book.lock();
        let (steps, next) = book.due(&world);
        for (key, step) in steps {
            // What finds no place is due again when another has ended.
            if !self.has_place(&key, step) {
                continue;
            }
            let Some(task) = Task::new(&book, &key, step, &trust.trust, &world) else { continue };
            self.start(&key, step, task);
            if let Some(entry) = book.entries.get_mut(&key) {
                entry.busy = true;
            }
        }
        book.synced |= self.listed && self.to_inspect.is_empty() && self.inspecting.is_empty();
        book.review_alarms(&world);
        self.pending.append(std::mem::take(&mut book.effects));
        let published = snapshot::publications(&book);
        drop(book);
        watcher.parts.publisher.keep(published);
        let sleep = next.map_or(LONGEST_SLEEP, |at| at.since(world.now)).min(LONGEST_SLEEP);
        // A moment in milliseconds has been reached only when it is over.
        let next = Instant::now() + sleep + Duration::from_millis(1);
        self.resync_at.map_or(next, |at| at.min(next))
    }

    /// Looks at services have places of their own: they may take long through no fault of ours. And no
    /// container has all places, however much it asks for and however slow it is.
    fn has_place(&self, key: &EntryKey, step: Step) -> bool {
        let look = step == Step::Look;
        let mut own = 0;
        for slot in self.slots.values() {
            own += usize::from(match slot {
                Slot::Work(other) => !look && other.container == key.container,
                Slot::Look(other) => look && other.container == key.container,
                Slot::Resync | Slot::Inspect(_) => false,
            });
        }
        let running = if look { self.looks } else { self.works };
        running < self.watcher.settings.concurrency && own < PLACES_OF_ONE_CONTAINER
    }

    fn start(&mut self, key: &EntryKey, step: Step, task: Task) {
        let slot = if step == Step::Look {
            self.looks += 1;
            Slot::Look(key.clone())
        } else {
            self.works += 1;
            Slot::Work(key.clone())
        };
        let parts = self.watcher.parts.clone();
        let settings = self.watcher.settings.clone();
        let job = async move { Answer::Done(Box::new(task.perform(&parts, &settings).await)) };
        let id = self.jobs.spawn(job).id();
        self.slots.insert(id, slot);
    }

    /// Makes durable what the round left. What cannot be written now is kept for the next round.
    async fn commit(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        match self.watcher.parts.journal.commit(self.pending.change()).await {
            Ok(_) => self.pending = Effects::default(),
            Err(error) => {
                tracing::error!(error = %with_causes(&error), "delivery records not written");
            }
        }
    }

    fn joined(&mut self, joined: Result<(Id, Answer), JoinError>) {
        let (id, answer) = match joined {
            Ok((id, answer)) => (id, Some(answer)),
            Err(error) => (error.id(), None),
        };
        match self.slots.remove(&id) {
            Some(Slot::Work(key)) => {
                self.works = self.works.saturating_sub(1);
                self.done(key, answer);
            }
            Some(Slot::Look(key)) => {
                self.looks = self.looks.saturating_sub(1);
                self.done(key, answer);
            }
            Some(Slot::Inspect(container)) => {
                if self.inspecting.remove(&container).unwrap_or(false) {
                    self.to_inspect.insert(container.clone());
                }
                if let Some(Answer::Inspected(result)) = answer {
                    self.inspected(&container, *result);
                }
            }
            Some(Slot::Resync) | None => match answer {
                Some(Answer::Resynced(result)) => self.resynced(result),
                _ => self.reconnect_later(),
            },
        }
    }

    fn done(&mut self, key: EntryKey, answer: Option<Answer>) {
        let done = match answer {
            Some(Answer::Done(done)) => *done,
            // A panic is a fault of ours; it must not keep the entry busy for ever.
            _ => Done::Failed(super::SiteError::Failed {
                reason: "the delivery ended with a fault of sealock".to_owned(),
                hint: None,
            }),
        };
        let trust = self.watcher.trust_now();
        let world = self.watcher.world(&trust);
        let doubt = self.watcher.book.lock().settle(&key, done, &world);
        match doubt {
            Some(Doubt::Container) => {
                self.to_inspect.insert(key.container);
            }
            Some(Doubt::Engine) => self.resync_now(),
            None => {}
        }
    }

    fn resynced(&mut self, result: Result<Vec<String>, EngineError>) {
        let trust = self.watcher.trust_now();
        let world = self.watcher.world(&trust);
        let mut book = self.watcher.book.lock();
        match result {
            Ok(containers) => {
                book.engine_up(&world);
                book.counters.resyncs += 1;
                // Those that run, and those that are remembered and do not.
                self.to_inspect.extend(book.known());
                self.to_inspect.extend(containers);
                drop(book);
                self.listed = true;
                self.resync_at = Some(Instant::now() + self.watcher.settings.resync);
                if self.events.is_none() {
                    let from = self.last_event.max(self.asked_from);
                    self.events = Some(self.watcher.parts.host.events(from));
                    self.events_since = Instant::now();
                }
            }
            Err(error) => {
                book.engine_away(with_causes(&error), &world);
                drop(book);
                self.events = None;
                self.reconnect_later();
            }
        }
    }

    fn inspected(&mut self, container: &str, result: Result<Container, EngineError>) {
        let trust = self.watcher.trust_now();
        let world = self.watcher.world(&trust);
        match result {
            Ok(found) => self.watcher.book.lock().observe(found, &world),
            Err(EngineError::NoSuchContainer { .. }) => self.watcher.book.lock().forget(container),
            Err(error) if error.is_away() && !matches!(error, EngineError::Deadline { .. }) => {
                self.resync_now();
            }
            Err(error) => {
                tracing::warn!(container, error = %with_causes(&error), "container not inspected");
            }
        }
    }

    fn event(&mut self, event: Option<Result<EngineEvent, EngineError>>) {
        match event {
            Some(Ok(event)) => {
                self.last_event = Some(event.at);
                if matches!(event.kind, EventKind::Died | EventKind::Destroyed) {
                    let now = self.watcher.parts.clock.now();
                    self.watcher.book.lock().stopped(&event.container, now);
                }
                self.to_inspect.insert(event.container);
            }
            Some(Err(_)) | None => {
                self.events = None;
                if self.events_since.elapsed() > 2 * LONGEST_RECONNECT {
                    self.losses = 0;
                }
                self.reconnect_later();
            }
        }
    }

    fn resync_now(&mut self) {
        if self.resync_at.is_some() {
            self.resync_at = Some(Instant::now());
        }
    }

    /// The engine is gone or going: see what it says, at once at first, then less and less often.
    fn reconnect_later(&mut self) {
        let wait = Duration::from_millis(100).saturating_mul(1 << self.losses.min(10));
        self.losses = self.losses.saturating_add(1);
        self.resync_at = Some(Instant::now() + wait.min(LONGEST_RECONNECT));
    }
}

async fn next_event(events: &mut Option<Events>) -> Option<Result<EngineEvent, EngineError>> {
    match events {
        Some(stream) => stream.next().await,
        None => std::future::pending().await,
    }
}
