//! The feed to a Gatekeeper, as a stream of lines.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use hyper::{Request, Response};
use sealock_core::Identity;
use sealock_core::policy::ADMIN_GROUP;
use sealock_net::{Incoming, Shutdown};
use sealock_store::Watch;
use sealock_traffic::feed::Message;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::body::{self, OutBody};
use super::routes::{Routes, blocking};
use super::streams::{Kind, Open};
use crate::caller::Caller;
use crate::error::{ErrorCode, ServiceError};
use crate::service::{Said, Seat, Service, new_request_id};

/// Between two lines, a Gatekeeper hears at least that we are there.
const BEAT: Duration = Duration::from_secs(5);
/// A feed ends after so long, so that who it is for proves again who it is: its certificate may have been revoked.
const LONGEST: Duration = Duration::from_secs(600);

struct Feed {
    service: Arc<Service>,
    caller: Caller,
    of: Identity,
    said: Option<Said>,
    tokens: Watch,
    others: watch::Receiver<u64>,
    ready: VecDeque<Bytes>,
    ends: Instant,
    shutdown: Shutdown,
    /// Its Gatekeeper's place in the directory, as long as it lasts.
    _seat: Option<Seat>,
    _open: Option<Open>,
}

impl Routes {
    /// Answers with the feed for the service that is named.
    pub(super) async fn feed(
        &self,
        request: &Request<Incoming>,
        caller: &Caller,
    ) -> Result<Response<OutBody>, ServiceError> {
        let query = request.uri().query().unwrap_or_default();
        let asked = |name| query.split('&').find_map(|part| part.strip_prefix(name));
        let name = asked("service=").map(str::to_owned).ok_or_else(|| {
            ServiceError::new(ErrorCode::Usage, "`service` is missing: whose Gatekeeper is it?")
        })?;
        let open = self.open(Kind::Feed, caller)?;
        let (advertised, here) = (asked("advertise=").map(str::to_owned), self.here);
        let (service, who) = (Arc::clone(&self.service), caller.clone());
        // Watched from here on, so that nothing falls between the snapshot and the first change.
        let others = self.service.changes();
        let (of, tokens, seat) = blocking(move || {
            let of = service.audience(&name)?;
            let id = new_request_id()?;
            service.may_guard(&who, &id, &of)?;
            let seat = match &advertised {
                Some(address) => service.join(&who, &id, &of, address, here)?,
                None => None,
            };
            Ok((of, service.token_changes()?, seat))
        })
        .await?;
        let feed = Feed {
            service: Arc::clone(&self.service),
            caller: caller.clone(),
            of,
            said: None,
            tokens,
            others,
            ready: VecDeque::new(),
            ends: Instant::now() + LONGEST,
            shutdown: self.shutdown.clone(),
            _seat: seat,
            _open: open,
        };
        Ok(body::stream("application/jsonl", feed.lines()))
    }
}

impl Feed {
    fn lines(self) -> impl Stream<Item = Bytes> + Send {
        futures_util::stream::unfold(self, |mut feed| async move {
            let line = feed.next().await?;
            Some((line, feed))
        })
    }

    /// The next line; none at the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Some(line);
            }
            if self.said.is_some() && !self.wait().await {
                return None;
            }
            if let Err(error) = self.look().await {
                tracing::warn!(service = %self.of, %error, "a feed ends");
                return None;
            }
        }
    }

    /// Until there may be something to say, or it is time to say that there is not. False at the end.
    async fn wait(&mut self) -> bool {
        let beat = Instant::now() + BEAT;
        tokio::select! {
            () = self.shutdown.triggered() => false,
            () = sleep_until(self.ends) => false,
            token = self.tokens.next() => token.is_some(),
            other = self.others.changed() => other.is_ok(),
            _ = timeout_at(beat, std::future::pending::<()>()) => true,
        }
    }

    /// Whether the caller still may, and what is new.
    async fn look(&mut self) -> Result<(), ServiceError> {
        let (service, caller, of) =
            (Arc::clone(&self.service), self.caller.clone(), self.of.clone());
        let mut said = self.said.take();
        let (said, news) = blocking(move || {
            let caller = of_now(&service, caller)?;
            service.may_guard(&caller, &new_request_id()?, &of)?;
            let mut news = service.feed(&of, &mut said)?;
            // After what is new as well: where there is always something new, the Gatekeeper must hear that it is all. A
            // snapshot says so itself.
            let is_whole = matches!(news.last(), Some(Message::Snapshot(_)));
            if let (Some(said), false) = (&said, is_whole) {
                news.push(service.beat(said)?);
            }
            Ok((said, news))
        })
        .await?;
        self.ready.extend(news.iter().map(|message| Bytes::from(message.to_line())));
        self.said = said;
        Ok(())
    }
}

/// Who it is, with the groups that they are in now. Blocking.
pub(super) fn of_now(service: &Service, mut caller: Caller) -> Result<Caller, ServiceError> {
    // The administrator's own group is by who it is, and stays.
    let mut groups = service.groups_of(&caller.principal.identity)?;
    let admin = |group: &String| group == ADMIN_GROUP;
    if caller.principal.groups.iter().any(admin) && !groups.iter().any(admin) {
        groups.push(ADMIN_GROUP.to_owned());
    }
    caller.principal.groups = groups;
    Ok(caller)
}
