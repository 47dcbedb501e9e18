//! From a request to an answer, the same for both doors.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use hyper::{Request, Response, StatusCode};
use sealock_authority::IssuerId;
use sealock_core::policy::{Action, Resource};
use sealock_net::{Incoming, Shutdown};

use super::body::{self, OutBody};
use super::endpoints::{Endpoint, What};
use super::streams::{Kind, Open};
use super::{Streams, problem};
use crate::acme::AcmeServer;
use crate::caller::{Caller, Door};
use crate::command::Command;
use crate::daemon::Planes;
use crate::error::{ErrorCode, ServiceError};
use crate::service::{Service, WhichList, new_request_id};
use crate::turns::Turns;

/// An empty line says that a follower's connection is still good.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// What a door needs to answer.
#[derive(Debug, Clone)]
pub(crate) struct Routes {
    pub(crate) service: Arc<Service>,
    pub(crate) shutdown: Shutdown,
    /// Whose turn it is, at the door for containers.
    pub(crate) turns: Option<Turns>,
    /// The ACME server, at the door for others.
    pub(crate) acme: Option<Arc<AcmeServer>>,
    /// Whether nothing but that is here.
    pub(crate) acme_alone: bool,
    /// Who has which streams; they are not counted at the host's own door.
    pub(crate) streams: Option<Streams>,
    /// Whether who is at the other end is in our own network namespace, where loopback is the same for both.
    pub(crate) here: bool,
    /// Whether a client may show its secret at the directory: over HTTPS, to who has shown no certificate.
    pub(crate) takes_secrets: bool,
}

impl Routes {
    /// Answers a request. `caller` is asked only where it matters who it is.
    pub(crate) async fn answer(
        &self,
        request: Request<Incoming>,
        caller: Result<Caller, ServiceError>,
    ) -> Response<OutBody> {
        let endpoint = Endpoint::at(request.uri().path());
        let endpoint = endpoint.filter(|it| !self.acme_alone || it.is_beside_acme());
        if let Some(Endpoint { what: What::Oauth(what), method, .. }) = endpoint {
            return self.oauth(*what, method, request, caller).await;
        }
        if let Some(Endpoint { what: What::Acme, .. }) = endpoint {
            return self.acme(request).await;
        }
        let local = matches!(&caller, Ok(Caller { door: Door::Socket | Door::Process, .. }));
        match self.route(endpoint, request, caller).await {
            Ok(response) => response,
            Err(error) => {
                let mut response = problem(&error, local);
                let is_directory = endpoint.is_some_and(|it| it.what == What::Services);
                if is_directory && error.code == ErrorCode::Unauthenticated {
                    self.challenge(&mut response);
                }
                response
            }
        }
    }

    async fn route(
        &self,
        endpoint: Option<&Endpoint>,
        request: Request<Incoming>,
        caller: Result<Caller, ServiceError>,
    ) -> Result<Response<OutBody>, ServiceError> {
        let nothing = || ServiceError::new(ErrorCode::NotFound, "there is nothing at this path");
        let endpoint = endpoint.ok_or_else(nothing)?;
        let is_offered = endpoint.what != What::Follow || !self.is_broker_alone(&caller);
        if *request.method() != endpoint.method || !is_offered {
            let mut response = problem(
                &ServiceError::new(ErrorCode::Usage, "that method is not for this path"),
                true,
            );
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            return Ok(response);
        }
        match endpoint.what {
            What::Call => self.call(request, &caller?).await,
            What::Follow => self.follow(&request, &caller?).await,
            What::Feed => self.feed(&request, &caller?).await,
            What::Services => self.services(request.headers(), caller).await,
            What::Metrics => self.metrics(caller?).await,
            What::Health => {
                Ok(body::whole(StatusCode::OK, "application/json", r#"{"status":"ok"}"#))
            }
            What::Bundle => self.bundle().await,
            What::Crl => self.crl(request.uri().path()).await,
            What::Oauth(_) | What::Acme => Err(nothing()),
        }
    }

    async fn call(
        &self,
        request: Request<Incoming>,
        caller: &Caller,
    ) -> Result<Response<OutBody>, ServiceError> {
        let longest = match caller.door {
            Door::Socket => body::LONGEST_LOCAL,
            Door::Workload => body::LONGEST_OF_CONTAINERS,
            _ => body::LONGEST,
        };
        let bytes = body::read(request.into_body(), longest).await?;
        let command: Command = serde_json::from_slice(&bytes).map_err(|error| {
            // serde repeats what it has read; keys and passphrases must not come back in an error.
            let place = format!("line {}, column {}", error.line(), error.column());
            ServiceError::new(ErrorCode::Usage, format!("the command cannot be read at {place}"))
        })?;
        self.offers(&command, caller)?;
        let turn = match (&self.turns, &caller.principal.container) {
            (Some(turns), Some(container)) => turns.take(&container.id).await,
            _ => None,
        };
        let (service, caller) = (Arc::clone(&self.service), caller.clone());
        // Its turn lasts as long as its work, also when nobody waits for that any more.
        let work = tokio::spawn(async move {
            let reply = service.handle(&caller, command).await?;
            // A large one takes its time, and others are not to wait for it.
            let write = move || {
                serde_json::to_vec(&reply)
                    .map_err(|error| ServiceError::of(ErrorCode::Fault, &error))
            };
            let body = blocking(write).await;
            drop(turn);
            body
        });
        let body = work.await.unwrap_or_else(|error| {
            Err(ServiceError::new(ErrorCode::Fault, format!("work ended unexpectedly: {error}")))
        })?;
        Ok(body::whole(StatusCode::OK, "application/json", body))
    }

    /// Whether there is such a thing at this door.
    fn offers(&self, command: &Command, caller: &Caller) -> Result<(), ServiceError> {
        if command.is_of_broker() || !self.is_broker_alone(&Ok(caller)) {
            return Ok(());
        }
        let text = format!("`{}` is not done here: this is a Token Broker alone", command.name());
        Err(ServiceError::new(ErrorCode::NotFound, text)
            .hint("ask the daemon of `sealock up`, or its administrator on the host"))
    }

    /// Whether there are tokens here and nothing else. The administrator at the host's own socket has everything.
    fn is_broker_alone<C: std::borrow::Borrow<Caller>>(
        &self,
        caller: &Result<C, ServiceError>,
    ) -> bool {
        let is_local = caller.as_ref().is_ok_and(|caller| caller.borrow().door == Door::Socket);
        self.service.opening().planes == Planes::Broker && !is_local
    }

    /// One more stream of this caller, where they are counted.
    pub(super) fn open(&self, kind: Kind, caller: &Caller) -> Result<Option<Open>, ServiceError> {
        self.streams.as_ref().map(|streams| streams.open(kind, caller)).transpose()
    }

    async fn follow(
        &self,
        request: &Request<Incoming>,
        caller: &Caller,
    ) -> Result<Response<OutBody>, ServiceError> {
        let query = request.uri().query().unwrap_or_default();
        let after = query.split('&').find_map(|part| part.strip_prefix("after="));
        let last = self.service.journal().last_seq();
        let after = match after.map(str::parse) {
            None => last,
            Some(Ok(after)) => after,
            Some(Err(_)) => {
                return Err(ServiceError::new(ErrorCode::Usage, "`after` is not a number"));
            }
        };
        let open = self.open(Kind::Audit, caller)?;
        let (service, who) = (Arc::clone(&self.service), caller.clone());
        blocking(move || service.may_read_audit(&who, &new_request_id()?)).await?;
        let records = self.service.journal().subscribe(after);
        let lines = records
            .take_while(|record| std::future::ready(record.is_ok()))
            .filter_map(|record| {
                std::future::ready(record.ok().and_then(|record| serde_json::to_vec(&record).ok()))
            })
            .map(|mut line| {
                line.push(b'\n');
                Bytes::from(line)
            });
        let beats = futures_util::stream::unfold((), |()| async {
            tokio::time::sleep(HEARTBEAT).await;
            Some((Bytes::from_static(b"\n"), ()))
        });
        let shutdown = self.shutdown.clone();
        let end = Box::pin(async move { shutdown.triggered().await });
        let both = futures_util::stream::select(lines, Box::pin(beats)).take_until(end);
        let counted = both.inspect(move |_| {
            let _held = &open;
        });
        Ok(body::stream("application/jsonl", counted))
    }

    async fn metrics(&self, caller: Caller) -> Result<Response<OutBody>, ServiceError> {
        if !self.service.config().settings.api.metrics {
            return Err(ServiceError::new(ErrorCode::NotFound, "metrics are switched off"));
        }
        let service = Arc::clone(&self.service);
        let text = blocking(move || {
            service.may(&caller, Action::StatusRead, Resource::Status)?;
            service.render_metrics()
        });
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        Ok(body::whole(StatusCode::OK, kind, text.await?))
    }

    async fn bundle(&self) -> Result<Response<OutBody>, ServiceError> {
        let service = Arc::clone(&self.service);
        let pem = blocking(move || Ok(service.authority()?.trust_bundle_pem())).await?;
        Ok(body::whole(StatusCode::OK, "application/pem-certificate-chain", pem))
    }

    async fn crl(&self, path: &str) -> Result<Response<OutBody>, ServiceError> {
        let unknown = || ServiceError::new(ErrorCode::NotFound, "there is no such list");
        let name = path.strip_prefix("/crl/").and_then(|name| name.strip_suffix(".crl"));
        let name = name.ok_or_else(unknown)?;
        let id = name.strip_suffix("-delta");
        let issuer: IssuerId = id.unwrap_or(name).parse().map_err(|_| unknown())?;
        let which = WhichList { issuer, delta: id.is_some() };
        let list = self.service.list_to_send(which).await?.ok_or_else(unknown)?;
        Ok(body::whole(StatusCode::OK, "application/pkix-crl", list.der.clone()))
    }
}

/// Runs what reads the disk or signs away from the runtime's threads.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ServiceError> + Send + 'static,
) -> Result<T, ServiceError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(ServiceError::new(ErrorCode::Fault, format!("work ended unexpectedly: {error}")))
    })
}
