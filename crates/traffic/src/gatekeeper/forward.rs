//! A request that was let in: on to the app, and its answer back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hyper::body::Body as _;
use hyper::header::{HeaderValue, UPGRADE};
use hyper::http::request::Parts;
use hyper::{Request, Response, StatusCode};
use sealock_net::Incoming;
use sealock_net::proxy::{
    Answer, RequestBody, Tunnel, Upgrade, Upgraded, UpstreamBody, UpstreamError,
};

use super::Gatekeeper;
use super::answer::{Body, Served, Watched};
use super::call::Protocol;
use super::handle::{Admitted, Connection, no_randomness};
use super::sign::IDENTITY_TOKEN;
use crate::http::headers::{self, Told};
use crate::http::ids::{Ids, REQUEST_ID};
use crate::http::problem::Problem;

impl Gatekeeper {
    /// Forwards it.
    pub(super) async fn forward(
        &self,
        connection: &Connection,
        ids: Ids,
        admitted: Admitted,
        mut served: Box<Served>,
        mut head: Parts,
        body: Incoming,
    ) -> Answer<Body> {
        let Admitted { caller, protocol, target, host } = admitted;
        let is_grpc = protocol == Protocol::Grpc;
        if let Some(target) = target {
            head.uri = target;
        }
        headers::clean(&mut head.headers);
        let told = Told {
            identity: &caller.identity,
            ids: &ids,
            host: host.as_ref(),
            peer: &connection.address,
            is_tls: connection.is_tls,
        };
        headers::tell(&mut head.headers, &told);
        if let Some(signer) = &self.extras.signer {
            let Some(signed) = signer.tell(&caller, self.now()) else {
                let problem = no_randomness();
                self.metrics.refused(problem.status, problem.code);
                return self.answered_by_us(&ids, &mut served, &problem, is_grpc);
            };
            head.headers.insert(IDENTITY_TOKEN, signed);
        }
        let attempt = match self.attempt() {
            Ok(attempt) => attempt,
            Err(problem) => {
                self.metrics.refused(problem.status, problem.code);
                return self.answered_by_us(&ids, &mut served, &problem, is_grpc);
            }
        };
        self.metrics.forwarded();
        let outcome = match protocol {
            Protocol::Http | Protocol::Grpc => {
                let pieces = served.quiet.as_ref().map(|quiet| Arc::clone(&quiet.pieces));
                self.exchange(connection, head, body, pieces).await.map(Outcome::Answered)
            }
            Protocol::WebSocket => Box::pin(self.switch(connection, head)).await,
        };
        if let Some(attempt) = attempt {
            self.settle(attempt, outcome.as_ref().err());
        }
        let problem = match outcome {
            Ok(Outcome::Answered(response)) => {
                served.access.status = response.status().as_u16();
                let mut response = response.map(|body| Body::app(body, served));
                response.headers_mut().insert(REQUEST_ID, ids.request);
                return Answer::Response(response);
            }
            Ok(Outcome::Switched(upgraded)) => match tunnel(*upgraded, &ids, &mut served) {
                Ok(tunnel) => return Answer::Tunnel(Box::new(tunnel.holding(served))),
                Err(problem) => problem,
            },
            Err(problem) => problem,
        };
        self.metrics.failed(problem.code);
        self.answered_by_us(&ids, &mut served, &problem, is_grpc)
    }

    fn answered_by_us(
        &self,
        ids: &Ids,
        served: &mut Served,
        problem: &Problem,
        is_grpc: bool,
    ) -> Answer<Body> {
        served.access.status = problem.status.as_u16();
        served.access.code = Some(problem.code);
        self.own(Some(ids), problem, is_grpc)
    }

    async fn exchange(
        &self,
        connection: &Connection,
        head: Parts,
        body: Incoming,
        mut pieces: Option<Arc<AtomicU64>>,
    ) -> Result<Response<UpstreamBody>, Problem> {
        let body = if body.is_end_stream() {
            RequestBody::from(body)
        } else {
            RequestBody::new(Watched::new(body, pieces.get_or_insert_default()))
        };
        let request = Request::from_parts(head, body);
        self.within(connection, pieces.as_deref(), self.sent(&connection.app, request)).await
    }

    async fn switch(&self, connection: &Connection, head: Parts) -> Result<Outcome, Problem> {
        let request = Request::from_parts(head, RequestBody::empty());
        let protocol = HeaderValue::from_static("websocket");
        let work = connection.app.upgrade(request, protocol);
        let upgrade = self.within(connection, None, work).await?;
        Ok(match upgrade {
            Upgrade::Switched(upgraded) => Outcome::Switched(upgraded),
            Upgrade::Refused(response) => Outcome::Answered(response),
        })
    }

    /// Waits for the app as long as allowed, from the last piece of the request on.
    async fn within<T>(
        &self,
        connection: &Connection,
        pieces: Option<&AtomicU64>,
        work: impl Future<Output = Result<T, UpstreamError>>,
    ) -> Result<T, Problem> {
        let moves = || pieces.map_or(0, |pieces| pieces.load(Ordering::Relaxed));
        let most =
            self.settings.whole.map_or(self.settings.answer, |it| it.min(self.settings.answer));
        match connection.patience.with(most, moves, work).await {
            Some(outcome) => outcome.map_err(failed),
            None => {
                let detail = "the service did not begin to answer in time";
                Err(Problem::new(StatusCode::GATEWAY_TIMEOUT, "app_silent", detail))
            }
        }
    }
}

/// What the app says.
enum Outcome {
    Answered(Response<UpstreamBody>),
    Switched(Box<Upgraded>),
}

fn tunnel(upgraded: Upgraded, ids: &Ids, served: &mut Served) -> Result<Tunnel, Problem> {
    let broken = |detail: &str| Problem::new(StatusCode::BAD_GATEWAY, "app_broke", detail);
    let mut head = upgraded.head.clone();
    let protocol = head.headers().get(UPGRADE).map(HeaderValue::as_bytes);
    if !protocol.is_some_and(|protocol| protocol.eq_ignore_ascii_case(b"websocket")) {
        return Err(broken("the service switched to another protocol than was asked for"));
    }
    head.headers_mut().insert(REQUEST_ID, ids.request.clone());
    served.access.status = head.status().as_u16();
    let tunnel =
        Tunnel::new(head, upgraded).map_err(|_| broken("the service cannot switch in this way"))?;
    Ok(match &served.quiet {
        Some(quiet) => {
            quiet.begin();
            tunnel.counting(Arc::clone(&quiet.pieces))
        }
        None => tunnel,
    })
}

/// The causes are for the log: they name sockets of this host.
fn failed(error: UpstreamError) -> Problem {
    let (status, code, detail) = match &error {
        UpstreamError::Unreachable { .. } | UpstreamError::Deadline { .. } => (
            StatusCode::SERVICE_UNAVAILABLE,
            "app_unreachable",
            "the service cannot be reached; is it running?",
        ),
        UpstreamError::Broken { .. } => {
            (StatusCode::BAD_GATEWAY, "app_broke", "the service broke the connection off")
        }
        UpstreamError::NoUpgrade { .. } => {
            let detail = "the service speaks HTTP/2 only, over which there is no WebSocket here";
            (StatusCode::NOT_IMPLEMENTED, "no_upgrade", detail)
        }
        UpstreamError::Request(_) => {
            (StatusCode::BAD_REQUEST, "body_broke_off", "the body of the request broke off")
        }
    };
    tracing::warn!(error = &error as &dyn std::error::Error, "no answer of the service");
    Problem::new(status, code, detail)
}
