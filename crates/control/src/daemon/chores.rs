//! What has to be done again and again: certificates of our own, revocation lists, checkpoints, the policy
//! folder, expired entries. Each chore can fail; the others go on.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::StreamExt;
use sealock_core::audit::{Actor, Fact, Record};
use sealock_net::Shutdown;
use tokio::task::JoinSet;

use super::blocking;
use super::drop_folder::{self, DropFolder};
use super::tls::ApiTls;
use super::watched::WatchedContainers;
use crate::command::Alarm;
use crate::error::{ErrorCode, ServiceError};
use crate::service::Service;

/// How often the policy folder is looked at.
const POLICY: Duration = Duration::from_secs(2);
/// How often it is looked which certificates of other authorities near their end.
const IMPORTED: Duration = Duration::from_secs(60);
/// How often what has expired is removed.
const SWEEP: Duration = Duration::from_secs(600);
/// How often the HSM is asked whether it is there.
const HSM: Duration = Duration::from_secs(60);
/// How often the authority is kept up.
const AUTHORITY: Duration = Duration::from_secs(3600);

pub(super) struct Chores {
    pub(super) service: Arc<Service>,
    /// What needs a certificate of its own.
    pub(super) doors: Vec<ApiTls>,
    pub(super) watcher: Option<Arc<WatchedContainers>>,
    pub(super) alarms: Arc<ArcSwap<Vec<Alarm>>>,
    /// That the drop folder is not used.
    pub(super) dropped: Arc<ArcSwap<Vec<Alarm>>>,
}

pub(super) fn start(chores: Chores, shutdown: &Shutdown, tasks: &mut JoinSet<()>) {
    let Chores { service, doors, watcher, alarms, dropped } = chores;
    let own = Arc::clone(&service);
    every(POLICY, shutdown, tasks, move || {
        let service = Arc::clone(&own);
        async move {
            if changed(&service).await {
                reload_policy(&service).await;
            }
        }
    });
    let own = Arc::clone(&service);
    // Whatever else fails: what has expired must not pile up.
    every(SWEEP, shutdown, tasks, move || {
        let service = Arc::clone(&own);
        async move { report("sweep", blocking(move || service.sweep()).await) }
    });
    let own = Arc::clone(&service);
    let checkpoint = service.config().settings.checkpoint;
    every(checkpoint, shutdown, tasks, move || {
        let service = Arc::clone(&own);
        async move { report("checkpoint", blocking(move || service.checkpoint()).await) }
    });
    if let Some(watcher) = &watcher {
        let (service, watcher) = (Arc::clone(&service), Arc::clone(watcher));
        tasks.spawn(follow_vault(service, watcher, shutdown.clone()));
    }
    let own = Arc::clone(&service);
    every(IMPORTED, shutdown, tasks, move || {
        let service = Arc::clone(&own);
        async move {
            let own = Arc::clone(&service);
            report("imported certificates", blocking(move || own.keep_imported()).await);
            report("issuing CAs", blocking(move || service.keep_issuers()).await);
        }
    });
    if let Some(folder) = service.config().settings.authority.drop_folder.clone() {
        tasks.spawn(follow_drop_folder(Arc::clone(&service), folder, dropped, shutdown.clone()));
    }
    if service.config().settings.hsm.module.is_some() {
        let own = Arc::clone(&service);
        every(HSM, shutdown, tasks, move || {
            let service = Arc::clone(&own);
            async move { report("HSM", blocking(move || service.try_hsm()).await) }
        });
    }
    let changes = service.changes();
    tasks.spawn(keep_authority(service, doors, watcher, alarms, changes, shutdown.clone()));
}

/// Runs a chore again and again until the shutdown signal.
fn every<F, W>(pause: Duration, shutdown: &Shutdown, tasks: &mut JoinSet<()>, chore: F)
where
    F: Fn() -> W + Send + 'static,
    W: Future<Output = ()> + Send,
{
    let shutdown = shutdown.clone();
    tasks.spawn(async move {
        loop {
            tokio::select! {
                () = shutdown.triggered() => break,
                () = tokio::time::sleep(pause) => {}
            }
            chore().await;
        }
    });
}

/// Has labelled secrets looked at when the vault has changed. (What expires is seen in the watcher's own rounds.)
async fn follow_vault(service: Arc<Service>, watcher: Arc<WatchedContainers>, shutdown: Shutdown) {
    let followed = blocking(move || {
        let vault = service.vault()?;
        vault.changes().map_err(|error| ServiceError::of(ErrorCode::State, &error))
    });
    let mut changes = match followed.await {
        Ok(changes) => changes,
        Err(error) => return report("changes of the vault", Err(error)),
    };
    loop {
        tokio::select! {
            () = shutdown.triggered() => return,
            change = changes.next() => match change {
                Some(_) => watcher.poke(),
                None => return,
            },
        }
    }
}

/// Looks into the drop folder again and again. One that cannot be used is an alarm, and is looked at again.
async fn follow_drop_folder(
    service: Arc<Service>,
    path: PathBuf,
    alarms: Arc<ArcSwap<Vec<Alarm>>>,
    shutdown: Shutdown,
) {
    let mut folder = DropFolder::new(path.clone());
    loop {
        let own = Arc::clone(&service);
        let looked = blocking(move || {
            let outcome = folder.look(&own);
            Ok((folder, outcome))
        });
        let outcome = match looked.await {
            Ok((again, outcome)) => {
                folder = again;
                outcome
            }
            Err(error) => {
                folder = DropFolder::new(path.clone());
                Err(error)
            }
        };
        match outcome {
            Ok(()) => alarms.store(Arc::default()),
            Err(error) if alarms.load().is_empty() => {
                let since = service.journal().clock().now();
                tracing::warn!(%error, causes = ?error.causes, "the drop folder is not used");
                alarms.store(Arc::new(vec![drop_folder::alarm(&error, &path, since)]));
            }
            Err(_) => {}
        }
        tokio::select! {
            () = shutdown.triggered() => return,
            () = tokio::time::sleep(drop_folder::LOOK) => {}
        }
    }
}

/// Keeps intermediate, revocation lists and our own certificates fresh; at once after a rotation.
async fn keep_authority(
    service: Arc<Service>,
    doors: Vec<ApiTls>,
    watcher: Option<Arc<WatchedContainers>>,
    alarms: Arc<ArcSwap<Vec<Alarm>>>,
    mut changes: tokio::sync::watch::Receiver<u64>,
    shutdown: Shutdown,
) {
    loop {
        let own = Arc::clone(&service);
        let kept = blocking(move || own.keep_authority()).await;
        let now = service.journal().clock().now();
        let alarm = match &kept {
            Ok(alarm) => alarm.clone(),
            Err(error) => Some(Alarm {
                alarm: "authority".to_owned(),
                subject: "certificate authority".to_owned(),
                reason: error.to_string(),
                hint: error.hint.clone(),
                since: now,
            }),
        };
        let before = alarms.load();
        let same = |old: &&Alarm| alarm.as_ref().is_some_and(|new| new.alarm == old.alarm);
        let standing = before.iter().find(same).cloned().or(alarm);
        alarms.store(Arc::new(standing.into_iter().collect()));
        report("authority", kept.map(|_| ()));
        let own = Arc::clone(&service);
        report("keys of tokens", blocking(move || own.keep_token_keys()).await);
        for door in &doors {
            report("certificate of a door", door.refresh().await);
        }
        if let Some(watcher) = &watcher {
            watcher.poke();
        }
        tokio::select! {
            () = shutdown.triggered() => break,
            () = tokio::time::sleep(AUTHORITY) => {}
            _ = changes.changed() => {}
        }
    }
}

fn report(chore: &'static str, outcome: Result<(), ServiceError>) {
    if let Err(error) = outcome {
        tracing::warn!(chore, %error, causes = ?error.causes, "a chore failed");
    }
}

async fn changed(service: &Arc<Service>) -> bool {
    let service = Arc::clone(service);
    blocking(move || Ok(service.policy().has_changed())).await.unwrap_or(false)
}

/// Reads the policy folder again; a bad one is reported and changes nothing.
pub(super) async fn reload_policy(service: &Arc<Service>) {
    let own = Arc::clone(service);
    let reloaded = blocking(move || own.policy().reload(own.journal(), &Actor::daemon("policy")));
    match reloaded.await {
        Ok(status) => {
            tracing::info!(epoch = status.epoch, rules = status.rules, "policy loaded");
            service.changed();
        }
        Err(error) => {
            tracing::warn!(%error, causes = ?error.causes, "the policy folder cannot be loaded");
        }
    }
}

impl Service {
    /// A signed checkpoint of the audit log, when there is anything new to sign.
    pub(crate) fn checkpoint(&self) -> Result<(), ServiceError> {
        self.authority()?;
        let journal = self.journal();
        let state = |error| ServiceError::of(ErrorCode::State, &error);
        let last = journal.tail(journal.last_seq().saturating_sub(1), 1).map_err(state)?;
        let signed = |record: &Record| matches!(record.event.fact, Fact::Checkpoint { .. });
        if last.last().is_none_or(signed) {
            return Ok(());
        }
        journal.checkpoint().map(|_| ()).map_err(state)
    }

    /// Removes what has expired.
    pub(crate) fn sweep(&self) -> Result<(), ServiceError> {
        let swept = self.journal().store().sweep();
        swept.map(|_| ()).map_err(|error| ServiceError::of(ErrorCode::State, &error))
    }

    /// Intermediate, revocation lists, the administrator's certificate. Says what needs a person.
    pub(crate) fn keep_authority(&self) -> Result<Option<Alarm>, ServiceError> {
        let authority = self.authority()?;
        let actor = Actor::daemon("upkeep");
        let failed = |error: sealock_authority::AuthorityError| {
            ServiceError::of(ErrorCode::Failed, &error).maybe_hint(error.hint())
        };
        let done = authority.maintain(&actor).map_err(failed)?;
        self.admin_identity(&authority, &actor)?;
        Ok(done.rotation_needs_root_key.then(|| Alarm {
            alarm: "rotation-due".to_owned(),
            subject: "intermediate".to_owned(),
            reason: "the intermediate nears its end and the root key is not on this host"
                .to_owned(),
            hint: Some("`sealock ca rotate --root-key FILE` with the exported key".to_owned()),
            since: self.journal().clock().now(),
        }))
    }
}
