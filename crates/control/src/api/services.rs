//! The directory of services to a Forwarder, as a stream of lines: all that it may call, and all of it again when that
//! changes. Who asks has a certificate, is attested, or is a client that shows its secret.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use hyper::Response;
use hyper::header::HeaderMap;
use sealock_net::Shutdown;
use sealock_traffic::registry::{Line, Listing};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::body::{self, OutBody};
use super::by_secret::{BySecret, client_changed, still_good};
use super::feed::of_now;
use super::oauth::Shown;
use super::routes::{Routes, blocking};
use super::streams::{Kind, Open};
use crate::caller::Caller;
use crate::error::ServiceError;
use crate::service::Service;

/// Between two lines, a Forwarder hears at least that we are there.
const BEAT: Duration = Duration::from_secs(5);
/// Between two looks: who comes and goes all the time has everybody's directory made anew no more often than this.
const LEAST: Duration = Duration::from_millis(200);
/// A stream ends after so long, so that who it is for proves again who it is.
const LONGEST: Duration = Duration::from_secs(600);

struct Told {
    service: Arc<Service>,
    caller: Caller,
    /// Of a client that has no certificate.
    by_secret: Option<BySecret>,
    here: bool,
    said: Option<Listing>,
    joined: watch::Receiver<u64>,
    others: watch::Receiver<u64>,
    looked: Instant,
    beats: u64,
    ends: Instant,
    shutdown: Shutdown,
    _open: Option<Open>,
}

impl Routes {
    /// Answers with the services that the caller may call.
    pub(super) async fn services(
        &self,
        headers: &HeaderMap,
        caller: Result<Caller, ServiceError>,
    ) -> Result<Response<OutBody>, ServiceError> {
        let (caller, by_secret) = self.by_secret(headers, caller).await?;
        // Its connection learns who that is from the answer.
        let shown = by_secret.as_ref().map(|_| Shown(caller.who.clone()));
        // Watched from here on, so that nothing falls between the first line and the first change.
        let (joined, others) = (self.service.joined(), self.service.changes());
        let (service, here) = (Arc::clone(&self.service), self.here);
        let mut told = Told {
            by_secret,
            here,
            said: None,
            joined,
            others,
            looked: Instant::now(),
            beats: 0,
            ends: Instant::now() + LONGEST,
            shutdown: self.shutdown.clone(),
            _open: self.open(Kind::Directory, &caller)?,
            caller,
            service,
        };
        // The first look is a part of the answer: what keeps it from being had is said as such.
        let first = told.look().await?;
        let first = futures_util::stream::iter(first);
        let lines = futures_util::StreamExt::chain(first, told.lines());
        let mut answer = body::stream("application/jsonl", lines);
        if let Some(shown) = shown {
            answer.extensions_mut().insert(shown);
        }
        Ok(answer)
    }
}

impl Told {
    fn lines(self) -> impl Stream<Item = Bytes> + Send {
        futures_util::stream::unfold(self, |mut told| async move {
            let line = told.next().await?;
            Some((line, told))
        })
    }

    /// The next line; none at the end.
    async fn next(&mut self) -> Option<Bytes> {
        let beat = Instant::now() + BEAT;
        loop {
            let is_beat = tokio::select! {
                () = self.shutdown.triggered() => return None,
                () = sleep_until(self.ends) => return None,
                changed = changed(&mut self.joined, &mut self.others) => {
                    changed?;
                    false
                }
                changed = client_changed(self.by_secret.as_mut()) => {
                    changed?;
                    false
                }
                () = settled(&self.service, self.said.as_ref()) => false,
                () = sleep_until(beat) => true,
            };
            let said = if is_beat {
                self.beat().await
            } else {
                sleep((self.looked + LEAST).saturating_duration_since(Instant::now())).await;
                self.look().await
            };
            match said {
                Ok(Some(line)) => return Some(line),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(who = self.caller.who, %error, "a directory is not told on");
                    return None;
                }
            }
        }
    }

    /// That there is nothing new. An old secret ends by the clock, and no change tells of it.
    async fn beat(&mut self) -> Result<Option<Bytes>, ServiceError> {
        if let Some(by_secret) = &self.by_secret {
            let (service, shown) = (Arc::clone(&self.service), by_secret.shown.clone());
            blocking(move || still_good(&service, Some(&shown)).map(drop)).await?;
        }
        self.beats += 1;
        Ok(Some(Bytes::from(Line::Beat(self.beats).to_line())))
    }

    /// The line, if there is anything new.
    async fn look(&mut self) -> Result<Option<Bytes>, ServiceError> {
        self.looked = Instant::now();
        // Before what they count is read.
        self.joined.mark_unchanged();
        self.others.mark_unchanged();
        let (service, caller, here) = (Arc::clone(&self.service), self.caller.clone(), self.here);
        let shown = self.by_secret.as_ref().map(|it| it.shown.clone());
        let listing = blocking(move || {
            let client = still_good(&service, shown.as_ref())?;
            service.listing(&of_now(&service, caller)?, client, here)
        });
        let listing = listing.await?;
        if self.said.as_ref() == Some(&listing) {
            return Ok(None);
        }
        self.said = Some(listing.clone());
        Ok(Some(Bytes::from(Line::Services(listing).to_line())))
    }
}

async fn changed(
    joined: &mut watch::Receiver<u64>,
    others: &mut watch::Receiver<u64>,
) -> Option<()> {
    tokio::select! {
        joined = joined.changed() => joined.ok(),
        others = others.changed() => others.ok(),
    }
}

/// When a listing that was not whole may be; never for one that is.
async fn settled(service: &Service, said: Option<&Listing>) {
    match said {
        Some(Listing { settled: false, .. }) => sleep_until(service.whole_from()).await,
        _ => std::future::pending().await,
    }
}
