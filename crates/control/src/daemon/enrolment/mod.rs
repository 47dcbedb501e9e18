//! Asks the CAs of the settings for what waits to be signed there, and for successors in time: a few at once, each less
//! and less often while it is in vain. What is under way when this process ends is gone on with by the next.

mod windows;

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64;
use sealock_core::{ImportedName, Timestamp};
use sealock_net::Shutdown;
use sealock_upstream::UpstreamError;
use sealock_upstream::acme::{self, Account, Notes, Order, TxtRecord, Written};
use sealock_upstream::est::{Est, Outcome};
use tokio::task::JoinSet;

use super::blocking;
use crate::error::{ErrorCode, ServiceError};
use crate::service::{AcmeJob, EstJob, Job, Service, Speaks, Tried, upstream_error};

/// How often it is looked at all of it.
const EVERY: Duration = Duration::from_secs(60);
/// For a try, with all of its waits.
const DEADLINE: Duration = Duration::from_secs(480);
/// Tries at once.
const MOST_AT_ONCE: usize = 4;

/// Runs until the shutdown.
pub(super) async fn run(service: Arc<Service>, shutdown: Shutdown) {
    let (enrolling, asking) = (Arc::clone(&service), service);
    tokio::select! {
        () = always("enrolment", || enrol(Arc::clone(&enrolling))) => {}
        () = always("renewal information", || windows::keep(Arc::clone(&asking))) => {}
        () = shutdown.triggered() => {}
    }
}

/// In a task of its own, begun anew where it ends: a fault in one of these must not end the others.
async fn always<F>(what: &str, begin: impl Fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        let mut alone = JoinSet::new();
        alone.spawn(begin());
        if let Some(Err(error)) = alone.join_next().await {
            tracing::error!(%error, "{what} ended unexpectedly, and begins anew");
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn enrol(service: Arc<Service>) {
    let service = &service;
    let mut changes = service.changes();
    let mut tries: JoinSet<ImportedName> = JoinSet::new();
    let mut busy: BTreeSet<ImportedName> = BTreeSet::new();
    loop {
        let next = match look(service, &mut busy, &mut tries).await {
            Ok(next) => next,
            Err(error) => {
                tracing::warn!(%error, causes = ?error.causes, "what is asked for by protocol cannot be looked at");
                None
            }
        };
        let now = service.journal().clock().now();
        let pause = next.map_or(EVERY, |at| at.since(now)).clamp(Duration::from_millis(200), EVERY);
        tokio::select! {
            () = service.enrolments().wake.notified() => {}
            _ = changes.changed() => {
                service.enrolments().take_again(service.journal().clock().now());
            }
            Some(done) = tries.join_next(), if !tries.is_empty() => match done {
                Ok(name) => drop(busy.remove(&name)),
                Err(error) => tracing::error!(%error, "a try ended unexpectedly"),
            },
            () = tokio::time::sleep(pause) => {}
        }
        if tries.is_empty() {
            // Also of what ended unexpectedly.
            busy.clear();
        }
    }
}

/// Makes the CSRs of successors that are due, starts what is due, and says when to look again.
async fn look(
    service: &Arc<Service>,
    busy: &mut BTreeSet<ImportedName>,
    tries: &mut JoinSet<ImportedName>,
) -> Result<Option<Timestamp>, ServiceError> {
    let own = Arc::clone(service);
    let (due, successors) = blocking(move || {
        own.keep_successors()?;
        Ok((own.enrolments_due()?, own.next_successor()?))
    })
    .await?;
    let now = service.journal().clock().now();
    // One that is due still could not be asked for: that is tried again by and by.
    let mut next = successors.filter(|at| *at > now);
    for (name, at) in due {
        if busy.contains(&name) {
            continue;
        }
        if at <= now && busy.len() < MOST_AT_ONCE {
            busy.insert(name.clone());
            tries.spawn(attempt(Arc::clone(service), name));
        } else if at > now {
            next = Some(next.map_or(at, |next| next.min(at)));
        }
    }
    Ok(next)
}

/// One try, and what has come of it.
async fn attempt(service: Arc<Service>, name: ImportedName) -> ImportedName {
    let Some(pending) = service.enrolment(&name) else { return name };
    let key = pending.key.clone();
    // Alone, so that what ends unexpectedly is written down as what it is, and waits for its turn as others do.
    let mut alone = JoinSet::new();
    let (own, of) = (Arc::clone(&service), name.clone());
    alone.spawn(async move { tried(&own, &of).await });
    let failed = |code, text| Tried::Failed(ServiceError::new(code, text), None);
    let tried = match tokio::time::timeout(DEADLINE, alone.join_next()).await {
        Ok(Some(Ok(tried))) => tried,
        Ok(ended) => {
            tracing::error!(certificate = %name, ?ended, "a try ended unexpectedly");
            let text = format!("the try at {} ended unexpectedly", pending.upstream);
            failed(ErrorCode::Fault, text)
        }
        Err(_) => failed(ErrorCode::Timeout, format!("{} took too long", pending.upstream)),
    };
    drop(alone);
    match &tried {
        Tried::Done => tracing::info!(certificate = %name, upstream = pending.upstream, "enrolled"),
        Tried::Later(_) => {
            tracing::info!(certificate = %name, upstream = pending.upstream, "awaits approval")
        }
        Tried::Failed(error, _) | Tried::Refused(error) => {
            tracing::warn!(certificate = %name, upstream = pending.upstream, %error, causes = ?error.causes, "not enrolled");
        }
    }
    let (own, of) = (Arc::clone(&service), name.clone());
    let settled = blocking(move || own.settle_enrolment(&of, &key, &tried)).await;
    if let Err(error) = settled {
        tracing::warn!(%error, causes = ?error.causes, "what has come of a try cannot be written down");
        // Not at once again: the disk may be full.
        tokio::time::sleep(EVERY).await;
    }
    name
}

async fn tried(service: &Arc<Service>, name: &ImportedName) -> Tried {
    let Some(pending) = service.enrolment(name) else { return Tried::Done };
    // Given before: it is taken before anybody is asked again.
    let given: Option<Vec<Vec<u8>>> =
        pending.given.iter().map(|text| BASE64.decode(text.as_bytes()).ok()).collect();
    if let Some(given) = given.filter(|given| !given.is_empty()) {
        return taken(service, name, pending.key, given).await;
    }
    let (own, of) = (Arc::clone(service), name.clone());
    let job = match blocking(move || own.enrolment_job(&of)).await {
        Ok(job) if job.key == pending.key => job,
        // There is another key now, with a try of its own.
        Ok(_) => return Tried::Done,
        Err(error) => return Tried::Failed(error, None),
    };
    let asked = match &job.speaks {
        Speaks::Acme(acme) => by_acme(service, &job, acme).await,
        Speaks::Est(est) => by_est(&job, est).await,
    };
    let certificates = match asked {
        Ok(Asked::Given(certificates)) => certificates,
        Ok(Asked::Later(span)) => return Tried::Later(span),
        Err(Failure::Upstream(error)) => {
            return Tried::Failed(upstream_error(&error), error.after());
        }
        Err(Failure::Here(error)) => return Tried::Failed(error, None),
    };
    let texts: Vec<String> = certificates.iter().map(|der| BASE64.encode(der)).collect();
    let noted = note(service, &job, move |pending| pending.given = texts).await;
    if let Err(error) = noted {
        return Tried::Failed(error, None);
    }
    taken(service, name, job.key, certificates).await
}

async fn taken(
    service: &Arc<Service>,
    name: &ImportedName,
    key: String,
    certificates: Vec<Vec<u8>>,
) -> Tried {
    let (own, of) = (Arc::clone(service), name.clone());
    match blocking(move || own.import_given(&of, &key, certificates)).await {
        Ok(()) => Tried::Done,
        Err(error) => Tried::Refused(error),
    }
}

enum Asked {
    Given(Vec<Vec<u8>>),
    Later(Duration),
}

enum Failure {
    Upstream(UpstreamError),
    Here(ServiceError),
}

impl From<UpstreamError> for Failure {
    fn from(error: UpstreamError) -> Self {
        Self::Upstream(error)
    }
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        Self::Here(error)
    }
}

async fn note(
    service: &Arc<Service>,
    job: &Job,
    change: impl FnOnce(&mut crate::service::Pending) + Send + 'static,
) -> Result<(), ServiceError> {
    let (own, name, key) = (Arc::clone(service), job.name.clone(), job.key.clone());
    blocking(move || own.note_enrolment(&name, &key, change)).await
}

/// What is under way, written down by the service.
struct Book<'a> {
    service: &'a Arc<Service>,
    job: &'a Job,
}

impl Notes for Book<'_> {
    fn order<'a>(&'a self, url: Option<&'a str>) -> Written<'a> {
        let url = url.map(str::to_owned);
        Box::pin(async move {
            note(self.service, self.job, move |pending| pending.order = url)
                .await
                .map_err(Into::into)
        })
    }

    fn presented<'a>(&'a self, records: &'a [TxtRecord]) -> Written<'a> {
        let records = records.to_vec();
        Box::pin(async move {
            note(self.service, self.job, move |pending| pending.presented = records)
                .await
                .map_err(Into::into)
        })
    }
}

async fn by_acme(service: &Arc<Service>, job: &Job, with: &AcmeJob) -> Result<Asked, Failure> {
    let directory = job.url.to_string();
    let gone = || ServiceError::new(ErrorCode::NotFound, "nobody waits for it any more");
    let pending = service.enrolment(&job.name).ok_or_else(gone)?;
    let book = Book { service, job };
    if let (Some(hook), false) = (&with.ways.dns, pending.presented.is_empty()) {
        // Of a try that was ended.
        acme::clean_up(hook, pending.presented.clone(), &book).await?;
    }
    let url = match &with.account_url {
        Some(url) => url.clone(),
        None => {
            let found = acme::directory(&job.client, &directory).await?;
            let url =
                acme::register(&job.client, &found, &with.account, &with.registration).await?;
            let (own, upstream, known) = (Arc::clone(service), job.upstream.clone(), url.clone());
            blocking(move || own.note_account(&upstream, Some(known))).await?;
            url
        }
    };
    let account = Account { url: &url, key: &with.account };
    let order = Order {
        names: &with.names,
        csr: &job.csr,
        profile: with.profile.as_deref(),
        replaces: with.replaces.as_deref(),
        under_way: pending.order.as_deref(),
    };
    let responders = &service.enrolments().responders;
    let enrolled =
        acme::enrol(&job.client, &directory, &account, &order, &with.ways, responders, &book).await;
    match enrolled {
        Ok(pem) => Ok(Asked::Given(Service::read_given(&pem)?)),
        Err(UpstreamError::AccountGone) => {
            // The next try makes it anew, by the same key.
            let (own, upstream) = (Arc::clone(service), job.upstream.clone());
            blocking(move || own.note_account(&upstream, None)).await?;
            Err(UpstreamError::AccountGone.into())
        }
        Err(error) => Err(error.into()),
    }
}

async fn by_est(job: &Job, with: &EstJob) -> Result<Asked, Failure> {
    let label = with.label.as_deref();
    let credentials = with.credentials.as_ref();
    let est = |client| Est { client, server: &job.url, label, credentials };
    let outcome = match &with.again {
        Some(again) => match est(again).enrol(&job.csr, true).await {
            // It does not take that certificate for this: then as one who is new.
            Err(
                UpstreamError::Status { status: 401 | 403 | 404 | 405, .. }
                | UpstreamError::Broken(..),
            ) => est(&job.client).enrol(&job.csr, false).await?,
            done => done?,
        },
        None => est(&job.client).enrol(&job.csr, false).await?,
    };
    let given = match outcome {
        Outcome::Later(span) => return Ok(Asked::Later(span)),
        Outcome::Issued(given) => Service::read_given(&given)?,
    };
    // What is between it and the root is there, and not with it (RFC 7030 §4.2.3). The root is not learned from there.
    let mut all = given;
    match est(&job.client).cacerts().await {
        Ok(above) => {
            for der in Service::read_given(&above)? {
                if !all.contains(&der) {
                    all.push(der);
                }
            }
        }
        // It may be complete without.
        Err(error) => tracing::debug!(%error, "no certificates of the CA"),
    }
    Ok(Asked::Given(all))
}
