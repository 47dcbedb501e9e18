//! One request: from its head to whether it is let in.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::header::{CONNECTION, HeaderMap, HeaderValue, UPGRADE};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode, Uri, Version};
use sealock_core::Identity;
use sealock_core::policy::Decision;
use sealock_net::proxy::{Answer, Cut, Refusal as Meaningless, Upstream};
use sealock_net::{Crowded, Incoming, Place};

use super::answer::{Body, Served};
use super::call::{Call, Protocol};
use super::introspect::Introspection;
use super::live::{Full, Running, Slot};
use super::patience::Patience;
use super::report::{Access, Denied};
use super::state::{Caller, State};
use super::{Gatekeeper, LOOK_EVERY};
use crate::broker::{EntryHash, LONGEST};
use crate::http::bearer;
use crate::http::grpc;
use crate::http::host::Host;
use crate::http::ids::{self, Ids};
use crate::http::method;
use crate::http::path::Target;
use crate::http::problem::Problem;
use crate::token::{Expected, Refusal, claimed_issuer};

/// What is told to whoever comes before anything is known, or when the feed is silent.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// Where requests come from.
#[derive(Debug)]
pub(super) struct Connection {
    /// Where they go.
    pub(super) app: Upstream,
    pub(super) peer: SocketAddr,
    /// The peer's address without the port, as the app is told.
    pub(super) address: HeaderValue,
    pub(super) is_tls: bool,
    /// SHA-256 of the client's certificate.
    pub(super) certificate: Option<[u8; 32]>,
    /// The public keys of all certificates that it has shown.
    pub(super) chain: Arc<[EntryHash]>,
    /// Of the whole connection. Over HTTP/2 each request has one of its own.
    pub(super) cut: Cut,
    pub(super) patience: Patience,
    /// A stranger's until somebody is let in on it.
    place: Place,
}

impl Connection {
    pub(super) fn new(app: Upstream, peer: SocketAddr, place: Place) -> Self {
        let (cut, patience) = (Cut::default(), Patience::default());
        let address = peer.ip().to_canonical().to_string();
        // An address has only characters that a header can have.
        let address = HeaderValue::from_maybe_shared(address)
            .unwrap_or_else(|_| HeaderValue::from_static("unknown"));
        let (certificate, chain) = (None, Arc::default());
        Self { app, peer, address, is_tls: false, certificate, chain, cut, patience, place }
    }

    /// It counts for whoever is let in on it first.
    fn counts_for(&self, who: &Identity) -> Result<(), Problem> {
        self.place.identify(who).map_err(|crowded| Problem {
            retry_after: Some(LOOK_EVERY),
            ..Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_connections",
                match crowded {
                    Crowded::Identity(_) => "this caller has too many connections",
                    Crowded::All => "callers have too many connections",
                },
            )
        })
    }
}

/// A request that was let in.
pub(super) struct Admitted {
    pub(super) caller: Arc<Caller>,
    pub(super) protocol: Protocol,
    /// Where the target is spelt otherwise than it came.
    pub(super) target: Option<Uri>,
    pub(super) host: Option<HeaderValue>,
}

/// What a head says, in one spelling.
struct Read {
    call: Arc<Call>,
    target: Option<Uri>,
    host: Option<HeaderValue>,
}

impl Gatekeeper {
    /// Answers a request.
    pub(super) async fn answer(
        &self,
        connection: &Connection,
        request: Request<Incoming>,
    ) -> Answer<Body> {
        self.metrics.request();
        let Some(ids) = Ids::of(request.headers()) else {
            return self.own(None, &no_randomness(), false);
        };
        let (head, body) = request.into_parts();
        let cut = Cut::of_stream(&head.extensions).unwrap_or(&connection.cut);
        let mut served = Box::new(self.begin(connection, &ids, cut, head.version));
        let is_grpc = grpc::is_call(&head);
        let told = match &self.extras.introspection {
            Some(introspection) => Box::pin(self.told(introspection, &head.headers)).await,
            None => None,
        };
        match self.admit(connection, &ids, &head, is_empty(&body), told.as_ref(), &mut served) {
            Ok(admitted) => {
                // In a box, for most of a connection's life there is no request on it.
                Box::pin(self.forward(connection, ids, admitted, served, head, body)).await
            }
            Err(problem) => {
                self.metrics.refused(problem.status, problem.code);
                served.access.status = problem.status.as_u16();
                served.access.code = Some(problem.code);
                self.own(Some(&ids), &problem, is_grpc)
            }
        }
    }

    /// An answer of ours.
    pub(super) fn own(&self, ids: Option<&Ids>, problem: &Problem, is_grpc: bool) -> Answer<Body> {
        let answer = problem.answer(ids, &self.audience);
        let answer = if is_grpc { grpc::of(problem, ids, answer) } else { answer };
        Answer::Response(answer.map(Body::own))
    }

    /// The answer to a request that means nothing, so that nobody has looked at what is asked.
    pub(super) fn refuse(
        &self,
        refusal: Meaningless,
        version: Version,
        peer: SocketAddr,
    ) -> Response<Bytes> {
        self.metrics.request();
        let problem = Problem::from(refusal);
        self.metrics.refused(problem.status, problem.code);
        let ids = Ids::of(&HeaderMap::new());
        if let Some(ids) = &ids {
            let (status, code) = (problem.status.as_u16(), Some(problem.code));
            self.report.access(&Access { status, code, ..self.access(ids, peer, version) });
        }
        problem.answer(ids.as_ref(), &self.audience)
    }

    fn access(&self, ids: &Ids, peer: SocketAddr, version: Version) -> Access {
        Access {
            time: self.clock.now(),
            took: Duration::ZERO,
            ids: ids.clone(),
            peer,
            caller: None,
            call: None,
            version,
            status: 0,
            code: None,
            sent: 0,
            cut: false,
            epoch: None,
        }
    }

    fn begin(&self, connection: &Connection, ids: &Ids, cut: &Cut, version: Version) -> Served {
        let access = self.access(ids, connection.peer, version);
        let (cut, report) = (cut.clone(), Arc::clone(&self.report));
        Served { access, began: Instant::now(), cut, report, slot: None, quiet: None }
    }

    /// Whether a request is let in. It is put among those that run before the last look at what is known: whoever changes
    /// that afterwards finds it there.
    fn admit(
        &self,
        connection: &Connection,
        ids: &Ids,
        head: &Parts,
        is_bare: bool,
        told: Option<&Result<Arc<Caller>, Problem>>,
        served: &mut Served,
    ) -> Result<Admitted, Problem> {
        let Read { call, target, host } = Read::of(head, is_bare)?;
        served.access.call = Some(Arc::clone(&call));
        let mut state = self.current(&call.path)?;
        loop {
            served.access.epoch = Some(state.known.policy.epoch());
            let Connection { certificate, chain, .. } = connection;
            // Whatever the token: nobody knows whose a certificate is that such a CA has signed.
            if state.known.cas.are_in(chain) {
                return Err(certificate_revoked());
            }
            let caller = self.authenticate(&state, certificate.as_ref(), &head.headers, told)?;
            let who = &caller.claims.subject;
            let before = served.access.caller.replace(Arc::clone(&caller.claims));
            // Once for each request, denied ones included.
            if before.is_none() {
                self.count(who)?;
            }
            let decision = state.decide(who, &call, Some(&self.metrics));
            if !decision.permits() {
                return Err(self.denied(&state, ids, who, &call, decision, true));
            }
            connection.counts_for(who)?;
            if served.slot.is_none() {
                served.slot = Some(self.enter(&caller, &call, chain, served)?);
            }
            let newest = self.current(&call.path)?;
            if !Arc::ptr_eq(&state, &newest) {
                state = newest;
                continue;
            }
            if !decision.allowed {
                self.metrics.recorded();
                self.denied(&state, ids, who, &call, decision, false);
            }
            return Ok(Admitted { caller, protocol: call.protocol, target, host });
        }
    }

    /// What would be said of a call without a body that came in clear text: who it would be let in as, or the status that
    /// it would be refused with. Nothing of it runs or is reported. For measuring what a check costs.
    pub fn judge(&self, head: &Parts) -> Result<Identity, StatusCode> {
        let judged = || -> Result<Identity, Problem> {
            let call = Read::of(head, true)?.call;
            let state = self.current(&call.path)?;
            let caller = self.authenticate(&state, None, &head.headers, None)?;
            let who = &caller.claims.subject;
            if state.decide(who, &call, Some(&self.metrics)).permits() {
                Ok(who.clone())
            } else {
                Err(Problem::denied(String::new()))
            }
        };
        judged().map_err(|problem| problem.status)
    }

    /// What is known, if that is enough to let anybody in there.
    fn current(&self, path: &str) -> Result<Arc<State>, Problem> {
        let none = |code, detail| Problem::unavailable(code, detail, TRY_AGAIN);
        if self.is_stale(path) {
            return Err(none("stale", "it is too long ago that the broker was heard"));
        }
        // Last, so that it is the newest.
        let state = self.state.load_full();
        let state =
            state.ok_or_else(|| none("not_ready", "nothing is known yet of who may call"))?;
        if state.known.keys.is_empty() {
            return Err(none("no_keys", "there are no keys to check tokens by"));
        }
        Ok(state)
    }

    fn authenticate(
        &self,
        state: &State,
        certificate: Option<&[u8; 32]>,
        headers: &HeaderMap,
        told: Option<&Result<Arc<Caller>, Problem>>,
    ) -> Result<Arc<Caller>, Problem> {
        let caller = match told {
            Some(told) => {
                let caller = told.clone()?;
                let binding = caller.claims.binding;
                if binding.is_some() && binding.as_ref() != certificate {
                    return Err(Refusal::CertificateRequired.into());
                }
                caller
            }
            None => self.verified(state, certificate, headers)?,
        };
        // To policy an identity is its name alone.
        if caller.claims.subject.trust_domain() != self.settings.service.trust_domain() {
            let detail = "the subject of the token is of another trust domain";
            return Err(Problem::token("foreign_subject", detail));
        }
        if state.known.revocations.cover(&caller.claims) {
            return Err(Problem::token("token_revoked", "the token was revoked"));
        }
        Ok(caller)
    }

    /// What another server says about the token; none if it is not to be asked, and the token is judged here.
    async fn told(
        &self,
        introspection: &Introspection,
        headers: &HeaderMap,
    ) -> Option<Result<Arc<Caller>, Problem>> {
        let token = bearer::token(headers).ok()?;
        let issuer = self.state.load_full()?.known.issuer.clone();
        // One that says that it is ours is never shown to anybody else.
        if claimed_issuer(token).is_some_and(|claimed| claimed == issuer) {
            return None;
        }
        Some(introspection.caller(token).await)
    }

    fn verified(
        &self,
        state: &State,
        certificate: Option<&[u8; 32]>,
        headers: &HeaderMap,
    ) -> Result<Arc<Caller>, Problem> {
        let token = bearer::token(headers)?;
        let expected = Expected {
            issuer: &state.known.issuer,
            audience: &self.audience,
            now: self.now(),
            skew: self.settings.skew.as_secs(),
            longest: LONGEST.as_secs(),
            certificate,
        };
        state.verify(token, &expected, &self.metrics).map_err(Problem::from)
    }

    /// One more request of this caller.
    fn count(&self, who: &Identity) -> Result<(), Problem> {
        let Some(rates) = &self.rates else { return Ok(()) };
        rates.take(who, self.clock.now()).map_err(|wait| Problem {
            retry_after: Some(wait),
            ..Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "rate_limited",
                "this caller asks more often than it may",
            )
        })
    }

    fn enter(
        &self,
        caller: &Arc<Caller>,
        call: &Arc<Call>,
        chain: &Arc<[EntryHash]>,
        served: &mut Served,
    ) -> Result<Slot, Problem> {
        let longer = self.settings.skew.saturating_add(self.settings.outlive).as_secs();
        let mut ends = caller.claims.expires_at.saturating_add(longer);
        if let Some(whole) = self.settings.whole {
            ends = ends.min(self.now().saturating_add(whole.as_secs().max(1)));
        }
        served.quiet = self.settings.quiet.map(|_| Arc::default());
        let running = Running {
            caller: Arc::clone(caller),
            call: Arc::clone(call),
            chain: Arc::clone(chain),
            ends,
            cut: served.cut.clone(),
            quiet: served.quiet.clone(),
        };
        self.live.enter(running, self.settings.concurrent).map_err(|full| match full {
            Full::Caller => Problem {
                retry_after: Some(LOOK_EVERY),
                ..Problem::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    "too_many_requests",
                    "too many requests of this caller are running",
                )
            },
            Full::All => Problem::unavailable(
                "too_many_requests",
                "too many requests are running",
                LOOK_EVERY,
            ),
        })
    }

    /// Reports a denial, and says what its caller is told if it is enforced.
    fn denied(
        &self,
        state: &State,
        ids: &Ids,
        who: &Identity,
        call: &Call,
        decision: Arc<Decision>,
        enforced: bool,
    ) -> Problem {
        let Some(reason) = ids::unique() else { return no_randomness() };
        self.report.denied(&Denied {
            reason: reason.clone(),
            request: ids.request().to_owned(),
            question: state.question(who, call),
            decision,
            enforced,
        });
        Problem::denied(reason)
    }
}

impl Read {
    fn of(head: &Parts, is_bare: bool) -> Result<Self, Problem> {
        method::check(&head.method)?;
        let target = Target::of(&head.method, &head.uri)?;
        let host = Host::of(&head.headers)?;
        let call = Call {
            method: head.method.clone(),
            path: target.path().to_owned(),
            host: host.as_ref().map(|host| host.name().to_owned()),
            protocol: match () {
                () if is_bare && asks_for_websocket(head) => Protocol::WebSocket,
                () if grpc::is_call(head) => Protocol::Grpc,
                () => Protocol::Http,
            },
        };
        let target = match target.is_as_it_came() {
            true => None,
            false => Some(Uri::try_from(target.to_string()).map_err(|_| bad_target())?),
        };
        let host = host.and_then(|host| HeaderValue::try_from(host.as_str()).ok());
        Ok(Self { call: Arc::new(call), target, host })
    }
}

/// As in RFC 6455 §4.1, and nothing else beside it: another protocol would carry what nobody looks at.
fn asks_for_websocket(head: &Parts) -> bool {
    let mut asked = head.headers.get_all(UPGRADE).into_iter();
    let is_one = match (asked.next(), asked.next()) {
        (Some(asked), None) => asked.as_bytes().eq_ignore_ascii_case(b"websocket"),
        _ => false,
    };
    let is_meant = head.headers.get_all(CONNECTION).into_iter().any(|value| {
        let mut options = value.as_bytes().split(|byte| *byte == b',');
        options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
    });
    is_one && is_meant && head.method == Method::GET && head.version == Version::HTTP_11
}

fn is_empty(body: &Incoming) -> bool {
    hyper::body::Body::is_end_stream(body)
}

fn certificate_revoked() -> Problem {
    let detail = "the client's certificate is below a CA that is revoked";
    Problem::token("certificate_revoked", detail)
}

fn bad_target() -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad_target", "the target cannot be forwarded")
}

pub(super) fn no_randomness() -> Problem {
    let detail = "the system has no randomness";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
}
