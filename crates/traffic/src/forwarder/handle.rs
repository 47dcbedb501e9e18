//! One request: from its head to where it leads.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::header::HeaderValue;
use hyper::http::request::Parts;
use hyper::{Request, StatusCode, Uri};
use sealock_net::proxy::{Answer, Cut};
use sealock_net::{Incoming, Shutdown};

use super::answer::{Body, Served};
use super::destination::Destination;
use super::elsewhere::Elsewhere;
use super::entry::{self, Asked, bad_target};
use super::intercept::Intercepted;
use super::live::To;
use super::report::Access;
use super::routes::{Outlet, Routes};
use super::taken::Taken;
use super::{Forwarder, LOOK_EVERY, cross_site};
use crate::gatekeeper::Protocol;
use crate::http::grpc;
use crate::http::ids::Ids;
use crate::http::path::Target;
use crate::http::problem::Problem;

/// The code for a request beyond those that may run.
pub(super) const TOO_MANY: &str = "too_many_requests";

/// Where requests come from.
pub(super) struct Connection {
    pub(super) peer: SocketAddr,
    pub(super) door: Door,
    /// Of the listener.
    pub(super) port: u16,
    pub(super) cut: Cut,
    pub(super) shutdown: Shutdown,
}

/// By which way a connection came, and what is known by that of where it leads.
pub(super) enum Door {
    Proxy(Elsewhere),
    /// A local port for the service of this name.
    Service(String),
    /// Meant for somebody else.
    Taken(Taken),
    /// A tunnel to this host that we end ourselves.
    Within(Destination),
}

/// Where a request leads.
pub(super) enum Way {
    Call(Plan),
    Tunnel(Destination),
    /// A tunnel that ends here.
    Intercept(Destination, Arc<Intercepted>),
}

/// A request for somebody who is listed.
pub(super) struct Plan {
    pub(super) outlet: Arc<Outlet>,
    pub(super) protocol: Protocol,
    pub(super) target: Uri,
    pub(super) host: HeaderValue,
}

impl Forwarder {
    /// Answers a request.
    pub(super) async fn answer(
        self: &Arc<Self>,
        connection: &Connection,
        request: Request<Incoming>,
    ) -> Answer<Body> {
        self.metrics.request();
        let Some(ids) = Ids::of(request.headers()) else {
            let detail = "the system has no randomness";
            let problem = Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail);
            return Answer::Response(problem.answer(None, "").map(Body::own));
        };
        let (head, body) = request.into_parts();
        let is_bare = hyper::body::Body::is_end_stream(&body);
        let mut served = self.served(connection, &ids, &head, is_bare);
        if let Door::Taken(taken) = &connection.door {
            Box::pin(self.learn(taken, &head)).await;
        }
        // In boxes, for most of a connection's life there is no request on it.
        match self.admit(connection, &head, &mut served) {
            Ok(Way::Call(plan)) => Box::pin(self.call(ids, plan, head, body, served)).await,
            Ok(Way::Tunnel(to)) => Box::pin(self.connect(ids, to, served)).await,
            Ok(Way::Intercept(to, here)) => {
                Box::pin(self.intercept(&ids, to, &here, connection, served)).await
            }
            Err(problem) => self.own_answer(&ids, &problem, served),
        }
    }

    /// An answer of ours.
    pub(super) fn own_answer(
        &self,
        ids: &Ids,
        problem: &Problem,
        mut served: Box<Served>,
    ) -> Answer<Body> {
        self.metrics.own_answer(problem.status, problem.code);
        served.access.status = problem.status.as_u16();
        served.access.code = Some(problem.code);
        let answer = problem.answer(Some(ids), "");
        let answer = match served.access.protocol {
            Protocol::Grpc => grpc::of(problem, Some(ids), answer),
            _ => answer,
        };
        Answer::Response(answer.map(Body::own))
    }

    pub(super) fn served(
        &self,
        connection: &Connection,
        ids: &Ids,
        head: &Parts,
        is_bare: bool,
    ) -> Box<Served> {
        let access = Access {
            time: self.clock.now(),
            took: Duration::ZERO,
            request: ids.request().to_owned(),
            trace: ids.traceparent.to_str().unwrap_or_default().to_owned(),
            peer: connection.peer,
            service: None,
            destination: None,
            instance: None,
            method: head.method.clone(),
            path: None,
            protocol: entry::protocol(head, is_bare),
            status: 0,
            code: None,
            sent: 0,
            cut: false,
        };
        let cut = Cut::of_stream(&head.extensions).unwrap_or(&connection.cut);
        let (report, cut) = (Arc::clone(&self.report), cut.clone());
        Box::new(Served { access, began: Instant::now(), cut, report, _slot: None })
    }

    /// Where a request leads, if it may. It is put among those that run before the last look at the routes: whoever
    /// changes them afterwards finds it there.
    fn admit(
        &self,
        connection: &Connection,
        head: &Parts,
        served: &mut Served,
    ) -> Result<Way, Problem> {
        // What the kernel brought, and what came through a tunnel, was looked at before.
        let is_looked_at = matches!(connection.door, Door::Taken(_) | Door::Within(_));
        let is_here = is_looked_at || connection.peer.ip().to_canonical().is_loopback();
        if !is_here && !self.settings.dangerous_remote_callers {
            let detail = "only programs on this host are served";
            return Err(Problem::new(StatusCode::FORBIDDEN, "not_local", detail));
        }
        let routes = self.routes.load();
        let (way, to) = match &connection.door {
            Door::Taken(taken) => self.lead_taken(&routes, taken, head, &mut served.access)?,
            _ => self.lead(&routes, connection, head, &mut served.access)?,
        };
        self.enter(&to, served)?;
        Ok(way)
    }

    /// Puts something among what runs, and looks whether it may.
    pub(super) fn enter(&self, to: &To, served: &mut Served) -> Result<(), Problem> {
        let slot = self.live.enter(to.clone(), served.cut.clone(), self.settings.concurrent);
        served._slot = Some(slot.ok_or_else(|| {
            Problem::unavailable(TOO_MANY, "too many requests are running", LOOK_EVERY)
        })?);
        if self.routes.load().lead_to(to) { Ok(()) } else { Err(not_listed()) }
    }

    /// Where a request leads by these routes.
    fn lead(
        &self,
        routes: &Routes,
        connection: &Connection,
        head: &Parts,
        access: &mut Access,
    ) -> Result<(Way, To), Problem> {
        let (outlet, host, named) = match &connection.door {
            Door::Proxy(last) => {
                let (to, is_tunnel) = match entry::proxy(head)? {
                    Asked::Call(to) => (to, false),
                    Asked::Connect(to) => (to, true),
                };
                access.destination = Some(to.to_string());
                if is_tunnel {
                    return self.lead_tunnel(routes, to, access);
                }
                let outlet = match routes.outlet(&to) {
                    Some(listed) => Arc::clone(listed),
                    None => self.elsewhere(routes, &to, last)?.ok_or_else(not_listed)?,
                };
                (outlet, to.header(), Some(to))
            }
            Door::Within(to) => {
                access.destination = Some(to.to_string());
                entry::within(head, to)?;
                let here = routes.intercepted(to).ok_or_else(not_listed)?;
                let outlet = routes.service(&here.service).ok_or_else(not_listed)?;
                (Arc::clone(outlet), to.header_of_https(), None)
            }
            // Those are led where what is known of addresses is at hand.
            Door::Taken(_) => return Err(not_listed()),
            Door::Service(name) => {
                let outlet = Arc::clone(routes.service(name).ok_or_else(not_listed)?);
                let hosts = outlet.service.as_ref().map(|service| service.hosts.as_slice());
                let hosts = hosts.unwrap_or_default();
                entry::local(head, connection.port, hosts)?;
                let host = hosts.first().ok_or_else(not_listed)?.header();
                (outlet, host, None)
            }
        };
        let to = match (&outlet.service, named) {
            (Some(service), _) => To::Service(service.name.clone(), service.audience.clone()),
            (None, Some(to)) => To::Pass(to),
            (None, None) => return Err(not_listed()),
        };
        Ok((plan(outlet, &host, head, access)?, to))
    }

    fn lead_tunnel(
        &self,
        routes: &Routes,
        to: Destination,
        access: &mut Access,
    ) -> Result<(Way, To), Problem> {
        if let Some(here) = routes.intercepted(&to) {
            access.service = Some(here.service.clone());
            let way = Way::Intercept(to.clone(), Arc::clone(here));
            return Ok((way, To::Intercept(to)));
        }
        if !routes.may_tunnel(&to) {
            return Err(not_listed());
        }
        if !routes.has_tunnel(&to) {
            self.may_dial_unnamed(&to)?;
        }
        Ok((Way::Tunnel(to.clone()), To::Tunnel(to)))
    }
}

/// A request as it goes out. Each that leads to a service, by whichever door, comes by here.
pub(super) fn plan(
    outlet: Arc<Outlet>,
    host: &str,
    head: &Parts,
    access: &mut Access,
) -> Result<Way, Problem> {
    access.service = outlet.service.as_ref().map(|service| service.name.clone());
    let (path, target) = target(head, outlet.service.is_some())?;
    access.path = Some(path);
    if outlet.service.is_some() {
        cross_site::check(head, access.protocol)?;
    }
    let host =
        HeaderValue::try_from(host).map_err(|_| bad_target("the host cannot be forwarded"))?;
    Ok(Way::Call(Plan { outlet, protocol: access.protocol, target, host }))
}

/// The path, and the target as it goes out. A Gatekeeper takes paths in one spelling only, so that is refused here which it
/// would refuse; for others the path is what the app says it is.
fn target(head: &Parts, is_service: bool) -> Result<(String, Uri), Problem> {
    let text = head.uri.path_and_query().map_or("/", |text| text.as_str());
    let bad = || bad_target("the target cannot be forwarded");
    if !is_service {
        return Ok((head.uri.path().to_owned(), Uri::try_from(text).map_err(|_| bad())?));
    }
    let target = Target::read(&head.method, text)?;
    let uri = Uri::try_from(target.to_string()).map_err(|_| bad())?;
    Ok((target.path().to_owned(), uri))
}

pub(super) fn not_listed() -> Problem {
    let detail = "this destination is not in the directory of services";
    Problem::new(StatusCode::FORBIDDEN, "not_listed", detail)
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use hyper::header::HOST;
    use sealock_core::{Identity, ManualClock, Timestamp};

    use super::*;
    use crate::forwarder::{Directory, Fresh, Report, Settings, SourceError, TokenSource, Trust};

    struct Nobody;

    impl Report for Nobody {
        fn access(&self, _: &Access) {}
    }

    impl TokenSource for Nobody {
        fn token<'a>(
            &'a self,
            audience: &'a Identity,
            _: &'a Trust,
        ) -> Pin<Box<dyn Future<Output = Result<Fresh, SourceError>> + Send + 'a>> {
            Box::pin(async { Err(SourceError::Refused { audience: audience.clone() }) })
        }
    }

    fn code(url: &str, peer: &str, change: impl FnOnce(&mut Settings)) -> (u16, &'static str) {
        let mut settings = Settings::default();
        change(&mut settings);
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(0)));
        let pass = ["passed".to_owned()];
        let directory = Directory::new(Vec::new(), &pass, &[]).unwrap();
        let trust = Trust::default();
        let nobody = Arc::new(Nobody);
        let forwarder =
            Forwarder::new(settings, directory, trust, nobody.clone(), nobody, clock).unwrap();
        let peer = peer.parse().unwrap();
        let cut = Cut::default();
        let shutdown = Shutdown::default();
        let connection =
            Connection { peer, door: Door::Proxy(Elsewhere::default()), port: 3128, cut, shutdown };
        let request = Request::get(url).header(HOST, url.split('/').nth(2).unwrap());
        let request = request.body(()).unwrap();
        let head = request.into_parts().0;
        let ids = Ids::of(&head.headers).unwrap();
        let mut served = forwarder.served(&connection, &ids, &head, true);
        let problem = forwarder.admit(&connection, &head, &mut served).err().unwrap();
        (problem.status.as_u16(), problem.code)
    }

    #[test]
    fn only_programs_on_this_host_are_served_unless_it_is_set() {
        let strict = |_: &mut Settings| {};
        for peer in ["10.0.0.1:1", "[2001:db8::1]:1", "[::ffff:10.0.0.1]:1", "0.0.0.0:1"] {
            assert_eq!(code("http://orders/", peer, strict), (403, "not_local"), "{peer}");
            let open =
                code("http://orders/", peer, |settings| settings.dangerous_remote_callers = true);
            assert_eq!(open, (403, "not_listed"), "{peer}");
        }
        for peer in ["127.0.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert_eq!(code("http://orders/", peer, strict), (403, "not_listed"), "{peer}");
        }
    }

    #[test]
    fn no_more_run_than_may() {
        let none = code("http://passed/", "127.0.0.1:1", |settings| settings.concurrent = 0);
        assert_eq!(none, (503, TOO_MANY));
    }
}
