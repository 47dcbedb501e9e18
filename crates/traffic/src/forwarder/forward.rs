//! A request on its way: with a token to an instance of a service, or without one to another destination.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use hyper::body::Body as _;
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use sealock_core::Identity;
use sealock_net::Incoming;
use sealock_net::proxy::{
    Answer, RequestBody, Tunnel, Upgrade, Upgraded, Upstream, UpstreamBody, UpstreamError,
    keep_alive, strip_hop_by_hop,
};

use super::answer::{Body, Served, Watched};
use super::destination::Destination;
use super::failure::{self, Failure};
use super::handle::Plan;
use super::report::Access;
use super::routes::Outlet;
use super::tokens::NoToken;
use super::{Forwarder, Trust, dial, entry};
use crate::gatekeeper::Protocol;
use crate::http::grpc::STATUS as GRPC_STATUS;
use crate::http::headers;
use crate::http::ids::{Ids, REQUEST_ID, TRACEPARENT, TRACESTATE};
use crate::http::problem::Problem;

/// So many instances are tried for one request.
const MOST_TRIES: usize = 3;
/// When to try again where there is no token.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// What the other side says.
enum Outcome {
    Answered(Response<UpstreamBody>),
    Switched(Box<Upgraded>),
}

/// A request that can be sent more than once, as long as nothing of its body is gone.
struct Outgoing {
    request: Request<RequestBody>,
    protocol: Protocol,
    /// Pieces of its body that were taken.
    pieces: Arc<AtomicU64>,
}

impl Forwarder {
    /// Sends a request and brings the answer back.
    pub(super) async fn call(
        &self,
        ids: Ids,
        plan: Plan,
        mut head: Parts,
        body: Incoming,
        mut served: Box<Served>,
    ) -> Answer<Body> {
        let Plan { outlet, protocol, target, host } = plan;
        head.uri = target;
        let audience = outlet.service.as_ref().map(|service| &service.audience);
        if audience.is_some()
            && let Err(problem) = entry::check_credentials(&head.headers)
        {
            return self.own_answer(&ids, &problem, served);
        }
        match audience {
            Some(_) => for_service(&mut head.headers, &ids),
            None => strip_hop_by_hop(&mut head.headers),
        }
        head.headers.insert(HOST, host);
        let pieces = Arc::default();
        let body = if body.is_end_stream() {
            RequestBody::from(body)
        } else {
            RequestBody::new(Watched::new(body, &pieces))
        };
        let outgoing = Outgoing { request: Request::from_parts(head, body), protocol, pieces };
        let outcome = match audience {
            Some(audience) => {
                self.with_token(&outlet, audience, outgoing, &mut served.access).await
            }
            None => {
                self.metrics.passed();
                let mut outgoing = outgoing;
                // There is no certificate of ours to show, and none is.
                self.send(&outlet, &Arc::default(), &mut outgoing, &mut served.access).await
            }
        };
        let problem = match outcome {
            Ok(Outcome::Answered(response)) => {
                served.access.status = response.status().as_u16();
                let is_service = audience.is_some();
                let mut response = response.map(|body| Body::service(body, served));
                if is_service {
                    response.headers_mut().insert(REQUEST_ID, ids.request);
                }
                return Answer::Response(response);
            }
            Ok(Outcome::Switched(upgraded)) => match tunnel(*upgraded, &mut served) {
                Ok(tunnel) => return Answer::Tunnel(Box::new(tunnel.holding(served))),
                Err(problem) => problem,
            },
            Err(problem) => problem,
        };
        self.own_answer(&ids, &problem, served)
    }

    /// Opens a tunnel, in which we see nothing and add nothing.
    pub(super) async fn connect(
        &self,
        ids: Ids,
        to: Destination,
        mut served: Box<Served>,
    ) -> Answer<Body> {
        let reached = dial::reach(&to, &self.own, self.settings.connect).await;
        let reached = reached.and_then(|stream| {
            stream.set_nodelay(true)?;
            keep_alive(&stream)?;
            Ok((stream.peer_addr()?, stream))
        });
        match reached {
            Ok((address, stream)) => {
                self.metrics.tunnel();
                served.access.instance = Some(address.to_string());
                served.access.status = StatusCode::OK.as_u16();
                Answer::Tunnel(Box::new(Tunnel::connected(stream).holding(served)))
            }
            Err(error) => self.own_answer(&ids, &failure::unreached(&to, &error), served),
        }
    }

    /// With a token for the service. One that is not taken is dropped; the request is sent again with another one only if
    /// it has no body and may be repeated.
    async fn with_token(
        &self,
        outlet: &Outlet,
        audience: &Identity,
        mut outgoing: Outgoing,
        access: &mut Access,
    ) -> Result<Outcome, Problem> {
        let is_repeatable =
            outgoing.request.body().is_end_stream() && is_idempotent(outgoing.request.method());
        let mut held = self.tokens.token(audience).await.map_err(no_token)?;
        self.metrics.forwarded();
        let mut is_first = true;
        loop {
            outgoing.request.headers_mut().insert(AUTHORIZATION, held.value);
            let outcome = self.send(outlet, &held.trust, &mut outgoing, access).await?;
            if !is_invalid_token(&outcome) {
                return Ok(outcome);
            }
            self.metrics.refused_token();
            let may_be_better = self.tokens.refused(audience, held.number);
            if !(is_first && is_repeatable && may_be_better) {
                return Ok(outcome);
            }
            match self.tokens.token(audience).await {
                Ok(next) => held = next,
                Err(_) => return Ok(outcome),
            }
            self.metrics.retried();
            is_first = false;
        }
    }

    /// To an instance that can be reached, with the certificate that the token is bound to.
    async fn send(
        &self,
        outlet: &Outlet,
        trust: &Arc<Trust>,
        outgoing: &mut Outgoing,
        access: &mut Access,
    ) -> Result<Outcome, Problem> {
        let lane = outlet.lanes.lane(trust).map_err(|error| failure::no_lane(&error))?;
        let mut tried = Vec::new();
        let mut problem = failure::no_instance();
        while tried.len() < MOST_TRIES {
            let Some((at, instance)) = outlet.balance.next(Instant::now(), &tried) else { break };
            let Some(upstream) = lane.to(at) else { break };
            access.instance = Some(instance.name.clone());
            if !tried.is_empty() {
                self.metrics.retried();
            }
            let sent = failure::within(
                self.settings.answer,
                &outgoing.pieces,
                send_to(upstream, &mut outgoing.request, outgoing.protocol),
            );
            match sent.await {
                Ok(outcome) => {
                    instance.is_well();
                    return Ok(outcome);
                }
                Err(Failure::Upstream(error)) if error.is_unreached() => {
                    if instance.failed(Instant::now()) {
                        self.metrics.ejected();
                    }
                    problem = failure::problem(&error);
                    tried.push(at);
                }
                Err(failure) => {
                    instance.is_well();
                    return Err(failure.into());
                }
            }
        }
        Err(problem)
    }
}

async fn send_to(
    upstream: &Upstream,
    request: &mut Request<RequestBody>,
    protocol: Protocol,
) -> Result<Outcome, UpstreamError> {
    match protocol {
        Protocol::Http | Protocol::Grpc => {
            upstream.try_forward(request).await.map(Outcome::Answered)
        }
        Protocol::WebSocket => {
            let protocol = HeaderValue::from_static("websocket");
            Ok(match upstream.try_upgrade(request, protocol).await? {
                Upgrade::Switched(upgraded) => Outcome::Switched(upgraded),
                Upgrade::Refused(response) => Outcome::Answered(response),
            })
        }
    }
}

/// What a Gatekeeper would take out goes here already, all credentials of the app's own with it.
fn for_service(headers: &mut HeaderMap, ids: &Ids) {
    headers::clean(headers);
    headers.insert(REQUEST_ID, ids.request.clone());
    headers.insert(TRACEPARENT, ids.traceparent.clone());
    if !ids.is_traced {
        headers.remove(TRACESTATE);
    }
}

fn no_token(why: NoToken) -> Problem {
    match why {
        NoToken::Refused => {
            let detail = "the broker gives no token for this service";
            Problem::new(StatusCode::FORBIDDEN, "token_refused", detail)
        }
        NoToken::Unavailable => {
            Problem::unavailable("no_token", "no token can be had now", TRY_AGAIN)
        }
    }
}

/// RFC 9110 §9.2.2.
fn is_idempotent(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE)
}

/// Whether it is the token that was refused, and not its owner (RFC 6750 §3.1).
fn is_invalid_token(outcome: &Outcome) -> bool {
    let Outcome::Answered(response) = outcome else { return false };
    let is_it = |value: &HeaderValue| {
        let said = value.to_str().unwrap_or_default();
        said.split([' ', ',']).any(|part| part == "error=\"invalid_token\"")
    };
    let is_told_to_grpc = || {
        response.status() == StatusCode::OK
            && response.headers().get(GRPC_STATUS).is_some_and(|status| status == "16")
    };
    (response.status() == StatusCode::UNAUTHORIZED || is_told_to_grpc())
        && response.headers().get_all(WWW_AUTHENTICATE).iter().any(is_it)
}

fn tunnel(upgraded: Upgraded, served: &mut Served) -> Result<Tunnel, Problem> {
    let head = upgraded.head.clone();
    let protocol = head.headers().get(hyper::header::UPGRADE).map(HeaderValue::as_bytes);
    if !protocol.is_some_and(|protocol| protocol.eq_ignore_ascii_case(b"websocket")) {
        return Err(failure::other_protocol());
    }
    served.access.status = head.status().as_u16();
    Tunnel::new(head, upgraded).map_err(|_| failure::other_protocol())
}
