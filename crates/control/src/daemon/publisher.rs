//! Publishes what labels ask for, and takes revoked certificates out of the directories of the settings: again and again
//! until it is done, each time after a longer pause. What is not done is an alarm; nothing else waits for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sealock_core::Timestamp;
use sealock_delivery::watcher::WantedPublication;
use sealock_net::Shutdown;
use tokio::sync::Notify;

use super::blocking;
use crate::command::Alarm;
use crate::error::{ErrorCode, ServiceError};
use crate::service::{ImportedRecord, PublishedRecord, Service};

/// After the first failure, and at most.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// How often all that was published is looked at, for what was revoked by other ways than a command.
const EVERY: Duration = Duration::from_secs(60);

/// What has to be done.
#[derive(Debug, Clone)]
enum Job {
    Publish(WantedPublication),
    Remove(PublishedRecord),
    /// What another authority has signed: out with what is over, and in with what follows it.
    Mend(ImportedRecord),
}

/// Which job: what for, and in which directory.
type JobKey = (String, String);

impl Job {
    fn directory(&self) -> String {
        match self {
            Self::Publish(wanted) => wanted.directory.to_string(),
            Self::Remove(record) => record.at.directory.clone().unwrap_or_default(),
            Self::Mend(record) => record.at.directory.clone().unwrap_or_default(),
        }
    }

    /// As alarms name it.
    fn subject(&self) -> String {
        match self {
            Self::Publish(wanted) => format!("{}/{}", wanted.container.name, wanted.certificate),
            Self::Remove(record) => format!("revoked {}", record.serial),
            Self::Mend(record) => format!("imported {}", record.name),
        }
    }

    /// With what it was done or has failed; another one is another job.
    fn serial(&self) -> &str {
        match self {
            Self::Publish(wanted) => &wanted.serial,
            Self::Remove(record) => &record.serial,
            Self::Mend(record) => &record.serial,
        }
    }

    fn key(&self) -> JobKey {
        let what = match self {
            Self::Publish(wanted) => format!("{}/{}", wanted.container.id, wanted.certificate),
            Self::Remove(record) => format!("{}\0{}", record.serial, record.at.dn),
            Self::Mend(record) => format!("{}\0imported\0{}", record.name, record.at.dn),
        };
        (self.directory(), what)
    }

    fn perform(&self, service: &Service) -> Result<(), ServiceError> {
        match self {
            Self::Publish(wanted) => service.publish_for_label(wanted),
            Self::Remove(record) => service.unpublish(record),
            Self::Mend(record) => service.mend_imported(record),
        }
    }
}

/// Where a job stands.
#[derive(Debug, Clone)]
struct Progress {
    serial: String,
    failures: u32,
    /// Not before; none when it is done.
    next: Option<Timestamp>,
    alarm: Option<Alarm>,
}

/// What is to be published, and how it stands.
#[derive(Debug, Default)]
pub(crate) struct Publications {
    wanted: Mutex<Vec<WantedPublication>>,
    progress: Mutex<BTreeMap<JobKey, Progress>>,
    wake: Notify,
}

impl Publications {
    /// All that labels ask for now.
    pub(crate) fn keep(&self, delivered: Vec<WantedPublication>) {
        let mut wanted = self.wanted.lock();
        if *wanted != delivered {
            *wanted = delivered;
            self.wake.notify_one();
        }
    }

    /// Something was revoked, or policy has changed: what has failed is tried again at once.
    pub(crate) fn poke(&self) {
        for progress in self.progress.lock().values_mut().filter(|one| one.next.is_some()) {
            progress.next = Some(Timestamp::from_millis(0));
        }
        self.wake.notify_one();
    }

    /// What is not done.
    pub(crate) fn alarms(&self) -> Vec<Alarm> {
        self.progress.lock().values().filter_map(|one| one.alarm.clone()).collect()
    }

    /// What is due, once what nobody wants any more is forgotten.
    fn due(&self, jobs: Vec<Job>, now: Timestamp) -> Vec<Job> {
        let mut progress = self.progress.lock();
        let known: BTreeSet<JobKey> = jobs.iter().map(Job::key).collect();
        progress.retain(|key, _| known.contains(key));
        let due = |job: &Job| match progress.get(&job.key()) {
            Some(before) if before.serial == job.serial() => {
                // A moment that is far ahead is of a clock that was set back.
                before.next.is_some_and(|at| at <= now || at > now.plus(LONGEST_PAUSE))
            }
            _ => true,
        };
        jobs.into_iter().filter(due).collect()
    }

    fn settle(&self, job: &Job, outcome: &Result<(), ServiceError>, now: Timestamp) {
        let mut progress = self.progress.lock();
        let before = progress.get(&job.key());
        let failures = before.map_or(0, |before| before.failures);
        let since = before.and_then(|before| before.alarm.as_ref()).map_or(now, |it| it.since);
        let settled = match outcome {
            // It is crossed out. Should it be written down again, it is to be taken out again.
            Ok(()) if matches!(job, Job::Remove(_) | Job::Mend(_)) => {
                progress.remove(&job.key());
                return;
            }
            Ok(()) => {
                Progress { serial: job.serial().to_owned(), failures: 0, next: None, alarm: None }
            }
            Err(error) => {
                let pause = FIRST_PAUSE.saturating_mul(1 << failures.min(10)).min(LONGEST_PAUSE);
                Progress {
                    serial: job.serial().to_owned(),
                    failures: failures.saturating_add(1),
                    next: Some(now.plus(pause)),
                    alarm: Some(alarm(job, error, since)),
                }
            }
        };
        progress.insert(job.key(), settled);
    }

    fn next(&self) -> Option<Timestamp> {
        self.progress.lock().values().filter_map(|one| one.next).min()
    }
}

fn alarm(job: &Job, error: &ServiceError, since: Timestamp) -> Alarm {
    let reason =
        error.causes.iter().fold(error.message.clone(), |text, cause| format!("{text}: {cause}"));
    Alarm {
        alarm: "publish-failed".to_owned(),
        subject: format!("{} in {}", job.subject(), job.directory()),
        reason,
        hint: error.hint.clone(),
        since,
    }
}

/// Runs until the shutdown.
pub(super) async fn run(service: Arc<Service>, shutdown: Shutdown) {
    let mut changes = service.changes();
    loop {
        round(&service).await;
        let now = service.journal().clock().now();
        let pause = service.publications().next().map_or(EVERY, |at| at.since(now)).min(EVERY);
        tokio::select! {
            () = shutdown.triggered() => return,
            () = service.publications().wake.notified() => {}
            _ = changes.changed() => service.publications().poke(),
            () = tokio::time::sleep(pause.max(Duration::from_millis(100))) => {}
        }
    }
}

async fn round(service: &Arc<Service>) {
    let publications = service.publications();
    let own = Arc::clone(service);
    let revoked = blocking(move || revoked(&own)).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "what was published cannot be looked at");
        Vec::new()
    });
    let own = Arc::clone(service);
    let over = blocking(move || own.imported_to_mend()).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "what was published of other authorities cannot be looked at");
        Vec::new()
    });
    let wanted = publications.wanted.lock().clone();
    let jobs = wanted.into_iter().map(Job::Publish).chain(revoked.into_iter().map(Job::Remove));
    let jobs = jobs.chain(over.into_iter().map(Job::Mend));
    // A directory that does not answer is asked once in a round, not for each certificate.
    let mut away: BTreeMap<String, ServiceError> = BTreeMap::new();
    for job in publications.due(jobs.collect(), service.journal().clock().now()) {
        let outcome = match away.get(&job.directory()) {
            Some(error) => Err(error.clone()),
            None => {
                let (own, task) = (Arc::clone(service), job.clone());
                blocking(move || task.perform(&own)).await
            }
        };
        if let Err(error) = &outcome {
            tracing::warn!(subject = job.subject(), directory = job.directory(), %error, "not published");
            if matches!(error.code, ErrorCode::Unavailable | ErrorCode::Timeout) {
                away.insert(job.directory(), error.clone());
            }
        }
        publications.settle(&job, &outcome, service.journal().clock().now());
    }
}

/// What is in a directory of the settings, as far as we know, and should not be. Blocking.
fn revoked(service: &Service) -> Result<Vec<PublishedRecord>, ServiceError> {
    let mut found = Vec::new();
    for record in service.all_published()? {
        match service.is_revoked(&record.serial) {
            Ok(true) if record.at.directory.is_some() => found.push(record),
            Ok(_) => {}
            // It is so old that the inventory has forgotten it, and so need we.
            Err(error) if error.code == ErrorCode::NotFound => service.unpublish(&record)?,
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use sealock_core::policy::ContainerFacts;

    use super::*;
    use crate::command::PublishedAt;

    fn wanted(serial: &str) -> WantedPublication {
        WantedPublication {
            container: ContainerFacts {
                id: "ab".repeat(32),
                name: "web".into(),
                ..Default::default()
            },
            certificate: "tls".parse().unwrap(),
            serial: serial.to_owned(),
            imported: None,
            directory: "corp".parse().unwrap(),
        }
    }

    #[test]
    fn failures_are_tried_again_less_and_less_often_and_are_alarms() {
        let publications = Publications::default();
        let job = Job::Publish(wanted("01"));
        let mut now = Timestamp::from_secs(1_000_000);
        let failed = Err(ServiceError::new(ErrorCode::Failed, "no").hint("do it"));
        let mut pauses = Vec::new();
        for _ in 0..12 {
            assert_eq!(publications.due(vec![job.clone()], now).len(), 1);
            publications.settle(&job, &failed, now);
            assert!(publications.due(vec![job.clone()], now).is_empty());
            let next = publications.next().unwrap();
            pauses.push(next.since(now));
            now = next;
        }
        assert_eq!(pauses[..3], [2, 4, 8].map(Duration::from_secs));
        assert_eq!(pauses[11], LONGEST_PAUSE);
        let [alarm] = &publications.alarms()[..] else { panic!("one alarm") };
        assert_eq!(
            (alarm.subject.as_str(), alarm.since),
            ("web/tls in corp", Timestamp::from_secs(1_000_000))
        );
        assert_eq!(alarm.hint.as_deref(), Some("do it"));
        // At once after a change, and done once it is done.
        publications.settle(&job, &failed, now);
        publications.poke();
        assert_eq!(publications.due(vec![job.clone()], now).len(), 1);
        publications.settle(&job, &Ok(()), now);
        assert!(publications.alarms().is_empty());
        publications.poke();
        assert!(publications.due(vec![job], now).is_empty());
        // What is taken out is done with, and if it comes again it is to be done again.
        let at = PublishedAt { url: String::new(), dn: "cn=web".into(), directory: None };
        let remove = Job::Remove(PublishedRecord { serial: "01".into(), at });
        publications.settle(&remove, &Ok(()), now);
        assert_eq!(publications.due(vec![remove], now).len(), 1);
        // The next serial is another job, and what nobody wants is forgotten.
        assert_eq!(publications.due(vec![Job::Publish(wanted("02"))], now).len(), 1);
        assert!(publications.due(Vec::new(), now).is_empty());
        assert!(publications.progress.lock().is_empty());
    }
}
