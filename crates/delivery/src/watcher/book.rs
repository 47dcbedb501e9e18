//! All containers and their labelled certificates and secrets, as the watcher knows them now.
//!
//! The book does no I/O: it is told what was seen and done, and says what to do next. What must be
//! durable it collects as [`Effects`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sealock_core::audit::Fact;
use sealock_core::policy::ContainerFacts;
use sealock_core::{DnsName, Timestamp};
use sealock_engine::Container;

use super::effects::Effects;
use super::entry::{Entry, Step, World};
use super::record::{AlarmKey, EntryKey, NoticeKey, Record, Remembered};
use super::settings::SCOPE_LABEL;
use super::status::{Alarm, AlarmKind, Counters};
use super::wanted::Wanted;
use crate::labels::{self, Kind, LabelName};

/// A label that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BadLabel {
    pub(super) kind: Kind,
    /// Empty when the label names none.
    pub(super) name: String,
    pub(super) label: String,
    pub(super) reason: String,
    pub(super) hint: Option<String>,
}

/// A container that asks for something.
#[derive(Debug, Clone)]
pub(super) struct Seat {
    pub(super) container: Arc<Container>,
    pub(super) facts: ContainerFacts,
    pub(super) bad: Vec<BadLabel>,
}

/// Whether the engine answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Link {
    /// Not asked yet.
    #[default]
    Unknown,
    /// It answers.
    Up,
    /// It does not.
    Away { since: Timestamp, reason: String },
}

/// The watcher's knowledge.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) seats: BTreeMap<String, Seat>,
    pub(super) entries: BTreeMap<EntryKey, Entry>,
    pub(super) alarms: BTreeMap<AlarmKey, Alarm>,
    pub(super) link: Link,
    /// All running containers were seen at least once since the start.
    pub(super) synced: bool,
    pub(super) counters: Counters,
    pub(super) effects: Effects,
    /// Records of containers that were not seen yet since the start.
    unseen: BTreeMap<EntryKey, Record>,
    notices: BTreeMap<NoticeKey, String>,
}

impl Book {
    pub(super) fn new(remembered: Remembered) -> Self {
        let Remembered { records, alarms, notices } = remembered;
        Self { unseen: records, alarms, notices, ..Self::default() }
    }

    /// A container was inspected.
    pub(super) fn observe(&mut self, container: Container, world: &World<'_>) {
        let id = container.id.clone();
        let own = own_names(&container);
        let pairs = container.labels.iter().map(|(key, text)| (key.as_str(), text.as_str()));
        let parsed = labels::parse(pairs);
        let ours = container.labels.get(SCOPE_LABEL) == world.settings.scope.as_ref();
        if !ours || parsed.is_empty() {
            return self.forget(&id);
        }
        let container = Arc::new(container);
        let mut bad: Vec<BadLabel> = parsed.faults.iter().map(BadLabel::from).collect();
        let mut kept = BTreeSet::new();
        let key =
            |kind, name: &LabelName| EntryKey { container: id.clone(), kind, name: name.clone() };
        for request in parsed.certificates {
            let key = key(Kind::Certificate, &request.name);
            match Wanted::certificate(request, &own) {
                Some(wanted) => {
                    kept.insert(key.clone());
                    self.want(key, &container, wanted, world);
                }
                None => bad.push(BadLabel::without_names(&key)),
            }
        }
        for request in parsed.secrets {
            let key = key(Kind::Secret, &request.name);
            kept.insert(key.clone());
            self.want(key, &container, Wanted::secret(request), world);
        }
        for request in parsed.trusts {
            let key = key(Kind::Trust, &request.name);
            kept.insert(key.clone());
            self.want(key, &container, Wanted::trust(request), world);
        }
        self.entries.retain(|key, _| key.container != id || kept.contains(key));
        for one in &bad {
            self.notice(&container, &one.label, &one.reason, one.hint.as_deref(), "watcher", world);
        }
        let facts = facts(&container, &own);
        self.seats.insert(id, Seat { container, facts, bad });
    }

    fn want(
        &mut self,
        key: EntryKey,
        container: &Arc<Container>,
        wanted: Wanted,
        world: &World<'_>,
    ) {
        if let Some(entry) = self.entries.get_mut(&key) {
            if entry.wanted.digest != wanted.digest {
                entry.denied = None;
            }
            entry.follow(Arc::clone(container), world.now);
            entry.wanted = wanted;
            return;
        }
        let record = self.unseen.remove(&key);
        let mut entry = Entry::new(key.clone(), Arc::clone(container), wanted, record, world.now);
        entry.resume_alarms(&self.alarms, world);
        self.entries.insert(key, entry);
    }

    /// A container does not run any more; it may come back.
    pub(super) fn stopped(&mut self, id: &str, now: Timestamp) {
        let Some(seat) = self.seats.get_mut(id) else { return };
        let mut container = Container::clone(&seat.container);
        container.running = false;
        container.pid = None;
        seat.container = Arc::new(container);
        for entry in self.entries.values_mut().filter(|entry| entry.key.container == id) {
            entry.follow(Arc::clone(&seat.container), now);
        }
    }

    /// A container is gone, or asks for nothing any more.
    pub(super) fn forget(&mut self, id: &str) {
        self.seats.remove(id);
        let of = |key: &EntryKey| key.container == id;
        let seen = self.entries.keys().filter(|key| of(key));
        let unseen = self.unseen.keys().filter(|key| of(key));
        self.effects.write(seen.chain(unseen).map(Record::delete));
        self.entries.retain(|key, _| !of(key));
        self.unseen.retain(|key, _| !of(key));
        let notices = self.notices.keys().filter(|key| key.container == id);
        self.effects.write(notices.map(NoticeKey::delete));
        self.notices.retain(|key, _| key.container != id);
    }

    /// All containers that something is remembered of, or that were seen.
    pub(super) fn known(&self) -> BTreeSet<String> {
        let unseen = self.unseen.keys().map(|key| key.container.clone());
        let told = self.notices.keys().map(|key| key.container.clone());
        let alarmed = self.alarms.keys().map(|key| key.container.clone());
        let alarmed = alarmed.filter(|container| container != ENGINE);
        self.seats.keys().cloned().chain(unseen).chain(told).chain(alarmed).collect()
    }

    /// Writes a refusal into the audit log, unless exactly that was written before.
    pub(super) fn notice(
        &mut self,
        container: &Container,
        label: &str,
        reason: &str,
        hint: Option<&str>,
        request: &str,
        world: &World<'_>,
    ) {
        let hint = hint.unwrap_or_default();
        let key = NoticeKey { container: container.id.clone(), label: label.to_owned() };
        let text = format!("{reason}\n{hint}");
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
        let digest = data_encoding::HEXLOWER.encode(digest.as_ref());
        if self.notices.get(&key) == Some(&digest) {
            return;
        }
        tracing::warn!(container = %container.name, label, reason, hint, "label refused");
        let fact = Fact::LabelRefused {
            container: container.name.clone(),
            label: label.to_owned(),
            reason: reason.to_owned(),
            hint: hint.to_owned(),
        };
        self.counters.refusals += 1;
        self.effects.tell(world.now, request, fact);
        self.effects.write(key.put(&digest));
        self.notices.insert(key, digest);
    }

    /// What was refused is not refused any more.
    pub(super) fn withdraw(&mut self, container: &str, label: &str) {
        let key = NoticeKey { container: container.to_owned(), label: label.to_owned() };
        if self.notices.remove(&key).is_some() {
            self.effects.write([key.delete()]);
        }
    }

    /// What is to be done now, and when to ask again.
    pub(super) fn due(&self, world: &World<'_>) -> (Vec<(EntryKey, Step)>, Option<Timestamp>) {
        let mut steps = Vec::new();
        let mut earliest: Option<Timestamp> = None;
        for (key, entry) in &self.entries {
            match entry.step(world) {
                Step::Wait(None) => {}
                Step::Wait(Some(at)) => {
                    earliest = Some(earliest.map_or(at, |earliest| earliest.min(at)));
                }
                step => steps.push((key.clone(), step)),
            }
        }
        (steps, earliest)
    }

    /// Compares the alarms that should be raised with those that are.
    pub(super) fn review_alarms(&mut self, world: &World<'_>) {
        let mut wanted: BTreeMap<AlarmKey, (String, String)> = BTreeMap::new();
        for entry in self.entries.values() {
            for (kind, reason) in entry.alarms(world) {
                wanted.insert(AlarmKey::of(&entry.key, kind), (entry.subject(), reason));
            }
        }
        if let Link::Away { since, reason } = &self.link
            && world.now >= since.plus(world.settings.engine_grace)
        {
            wanted.insert(engine_away(), (ENGINE.to_owned(), reason.clone()));
        }
        // What is not known to be over stays: after a restart nothing is, before the engine answers.
        let known = |key: &AlarmKey| match key.kind {
            AlarmKind::EngineAway => self.link == Link::Up,
            _ => self.synced,
        };
        let over = self.alarms.keys().filter(|key| !wanted.contains_key(key) && known(key));
        let over: Vec<AlarmKey> = over.cloned().collect();
        for key in over {
            let Some(alarm) = self.alarms.remove(&key) else { continue };
            tracing::info!(alarm = %alarm.kind, subject = %alarm.subject, "alarm cleared");
            let fact = Fact::AlarmCleared { alarm: alarm.kind.to_string(), subject: alarm.subject };
            self.effects.tell(world.now, "watcher", fact);
            self.effects.write([key.delete()]);
        }
        for (key, (subject, reason)) in wanted {
            if !self.alarms.contains_key(&key) {
                self.raise(key, subject, reason, world);
            }
        }
    }

    fn raise(&mut self, key: AlarmKey, subject: String, reason: String, world: &World<'_>) {
        let kind = key.kind;
        tracing::error!(alarm = %kind, subject = %subject, reason = %reason, "alarm raised");
        let alarm = kind.to_string();
        let fact = Fact::AlarmRaised { alarm, subject: subject.clone(), reason: reason.clone() };
        self.effects.tell(world.now, "watcher", fact);
        let alarm = Alarm { kind, subject, reason, since: world.now };
        self.effects.write(key.put(&alarm));
        self.alarms.insert(key, alarm);
        self.counters.alarms_raised += 1;
    }

    /// The engine answers.
    pub(super) fn engine_up(&mut self, world: &World<'_>) {
        if self.link != Link::Up {
            self.link = Link::Up;
            let fact = Fact::EngineChanged { state: "connected".to_owned() };
            self.effects.tell(world.now, "watcher", fact);
        }
    }

    /// The engine does not answer.
    pub(super) fn engine_away(&mut self, reason: String, world: &World<'_>) {
        match &mut self.link {
            Link::Away { reason: known, .. } => *known = reason,
            link => {
                tracing::warn!(reason = %reason, "the engine is away");
                *link = Link::Away { since: world.now, reason };
                self.counters.engine_losses += 1;
                let fact = Fact::EngineChanged { state: "away".to_owned() };
                self.effects.tell(world.now, "watcher", fact);
            }
        }
    }
}

/// Stands for the engine where alarms have a container's id.
const ENGINE: &str = "engine";

fn engine_away() -> AlarmKey {
    let (container, item) = (ENGINE.to_owned(), String::new());
    AlarmKey { container, item, kind: AlarmKind::EngineAway }
}

impl From<&labels::LabelFault> for BadLabel {
    fn from(fault: &labels::LabelFault) -> Self {
        Self {
            kind: fault.kind,
            name: fault.name.as_ref().map(ToString::to_string).unwrap_or_default(),
            label: fault.label.clone(),
            reason: fault.reason.to_string(),
            hint: fault.reason.hint(),
        }
    }
}

impl BadLabel {
    fn without_names(key: &EntryKey) -> Self {
        Self {
            kind: key.kind,
            name: key.name.to_string(),
            label: format!("{}{}", key.kind.prefix(), key.name),
            reason: "the container has no name of its own that a certificate can hold".to_owned(),
            hint: Some(format!("name it by {}{}.dns", key.kind.prefix(), key.name)),
        }
    }
}

/// Name, compose service, host name and network aliases, in this order: the first is asked for by SNI.
fn own_names(container: &Container) -> Vec<DnsName> {
    let service = container.labels.get("com.docker.compose.service").map(String::as_str);
    let aliases = container.networks.iter().flat_map(|network| &network.aliases);
    // With the host's network the host name is the host's, not the container's.
    let hostname = Some(container.hostname.as_str()).filter(|_| container.network_mode != "host");
    let first = [Some(container.name.as_str()), service, hostname].into_iter().flatten();
    labels::own_names(first.chain(aliases.map(String::as_str)))
}

/// What policy is told about a container.
pub fn container_facts(container: &Container) -> ContainerFacts {
    facts(container, &own_names(container))
}

fn facts(container: &Container, own: &[DnsName]) -> ContainerFacts {
    let label = |key: &str| container.labels.get(key).cloned();
    ContainerFacts {
        id: container.id.clone(),
        name: container.name.clone(),
        image: container.image.clone(),
        service: label("com.docker.compose.service"),
        project: label("com.docker.compose.project"),
        labels: container.labels.clone(),
        own_names: own.iter().map(ToString::to_string).collect(),
        ..ContainerFacts::default()
    }
}
