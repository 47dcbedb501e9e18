//! One request: from its head to the engine's answer.

use std::sync::Arc;

use http_body_util::Either;
use hyper::body::Body as _;
use hyper::header::{CONTENT_TYPE, HeaderValue, UPGRADE};
use hyper::http::request::Parts;
use hyper::{Request, Response, StatusCode};
use sealock_core::policy::{Action, Resource};
use sealock_net::Incoming;
use sealock_net::proxy::{Answer, RequestBody, Tunnel, Upgrade, Upgraded, Upstream};

use super::answer::{Body, Failure};
use super::asks::asks;
use super::building::{self, Room};
use super::content::{self, Content};
use super::limits::Limiter;
use super::lookup::Lookup;
use super::made::Decided;
use super::mentions::{self, Mentions};
use super::resources::{self, About};
use super::shown::Lens;
use super::view::View;
use super::{Client, Guard, forwarded, names, prune, stamped};
use crate::route::{self, Hijack, Routed, Version};

/// The engine behind a guard.
#[derive(Debug)]
pub struct Gateway<G> {
    engine: Upstream,
    lookup: Lookup,
    guard: Arc<G>,
    newest: Version,
    limiter: Limiter,
    /// For contexts of builds that are read.
    building: Arc<Room>,
}

impl<G: Guard> Gateway<G> {
    /// `newest` is the newest version of the API that clients may speak.
    pub fn new(engine: Upstream, guard: Arc<G>, newest: Version) -> Self {
        Self {
            lookup: Lookup::new(engine.clone()),
            engine,
            guard,
            newest,
            limiter: Limiter::default(),
            building: Arc::default(),
        }
    }

    /// Who decides.
    pub fn guard(&self) -> &Arc<G> {
        &self.guard
    }

    /// Who is here, and how much they ask for; the same for all doors.
    pub(super) fn limiter(&self) -> &Limiter {
        &self.limiter
    }

    /// Answers a request of this client.
    pub(super) async fn answer(&self, client: &Client, request: Request<Incoming>) -> Answer<Body> {
        match self.handle(client, request).await {
            Ok(answer) => answer,
            Err(failure) => failure.into(),
        }
    }

    async fn handle(
        &self,
        client: &Client,
        request: Request<Incoming>,
    ) -> Result<Answer<Body>, Failure> {
        // An absolute target keeps its scheme and host here, and is refused for them.
        let target = request.uri().to_string();
        let routed = route::parse(request.method().as_str(), target.as_bytes(), self.newest)
            .map_err(|error| {
                let status = StatusCode::from_u16(error.status());
                Failure::new(status.unwrap_or(StatusCode::BAD_REQUEST), error.message())
            })?;
        let is_buildkit = is_buildkit(&routed);
        let done = self.routed(client, routed, request).await;
        done.map_err(|mut failure| {
            if is_buildkit && failure.status == StatusCode::FORBIDDEN {
                failure.message.push_str(
                    "\nBuildKit is for those who may do everything: build with DOCKER_BUILDKIT=0",
                );
            }
            failure
        })
    }

    async fn routed(
        &self,
        client: &Client,
        routed: Routed,
        request: Request<Incoming>,
    ) -> Result<Answer<Body>, Failure> {
        let (head, body) = request.into_parts();
        let view = View::new(&*self.guard, client);
        if self.is_settled(&view, &routed, &head, &body)? {
            self.guard.read_freely(routed.action());
            let request = forwarded::bare(head.method, &routed, &head.headers)?;
            return Ok(Answer::Response(self.engine.forward(request).await?.map(Either::Left)));
        }
        // In a box: what is settled does not carry about the room for all that may be to do.
        Box::pin(self.weighed(view, routed, head, body)).await
    }

    /// The answer to a request of which something has to be found out, recorded or left out.
    async fn weighed(
        &self,
        view: View<'_, G>,
        routed: Routed,
        head: Parts,
        body: Incoming,
    ) -> Result<Answer<Body>, Failure> {
        let client = view.client;
        let id = self.guard.request_id().ok_or_else(|| {
            Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "the system has no randomness")
        })?;
        if !self.guard.may_ever(client, routed.action()) {
            self.refuse_unread(client, &id, routed).await?;
            return Err(Failure::denied("no rule permits this"));
        }
        let mut content = content::read(&routed, &head.headers, body).await?;
        let lens = Lens::of(&view, &routed)?;
        let named = routed.clone();
        let (container, looked) = tokio::join!(
            names::taken_by(&self.lookup, &view, &named),
            self.look(&view, routed, lens, &mut content)
        );
        let (about, mut mentions) = looked?;
        stamped::stamp(&view, about.routed.action(), &mut content)?;
        let asks = asks(&about.routed, &about.named, &mentions, &content);
        self.guard.decide(client, &id, asks).await?;
        for named in about.named.iter().chain(mentions.all().map(|named| &*named)) {
            view.note(&id, named.hidden.as_ref().unwrap_or(&named.resource)).await;
            // To everybody else the engine says itself that something is not there.
            if !named.is_there && view.is_own() {
                return Err(named.absent());
            }
        }
        let source = about.named.first().map(|named| &named.resource);
        let name = content.name();
        names::are_free(&self.lookup, &view, &about.routed, name, source, container?).await?;
        names::bounds_are_there(&self.lookup, &view, &about.routed).await?;
        if view.is_stamped() {
            self.make_volumes(&view, &mentions).await?;
        }
        let routed = prune::narrowed(&self.lookup, &view, about.routed).await?;
        let import = stamped::import(&view, &routed)?;
        let building =
            building::begin(&self.lookup, &view, &routed, &mut content, &self.building).await?;
        let forwarded = forwarded::whole(head.method, &routed, &head.headers, content, import)?;
        let decided = Decided::of(&view, routed.action(), &mentions);
        if let Some(building) = building {
            let engine = (&self.engine, &self.lookup);
            let answer = building.run(engine, &self.guard, &view, &id, forwarded).await?;
            return Ok(Answer::Response(answer));
        }
        match routed.route().hijack {
            Hijack::Never => {
                let response = match decided {
                    None => self.engine.forward(forwarded).await?,
                    Some(decided) => {
                        let engine = (&self.engine, &self.lookup);
                        match decided.make(engine, &self.guard, client, forwarded).await? {
                            Either::Left(response) => response,
                            Either::Right(answer) => return Ok(Answer::Response(answer)),
                        }
                    }
                };
                let facts = about.named.first().map(|named| &named.resource);
                lens.show(&self.lookup, &self.guard, &view, facts, response)
                    .await
                    .map(Answer::Response)
            }
            hijack => self.hijack(forwarded, hijack, head.headers.get(UPGRADE)).await,
        }
    }

    /// Whether there is nothing to find out, nothing to record and nothing to leave out: a request without a body
    /// that reads what the client may read whatever it is about.
    fn is_settled(
        &self,
        view: &View<'_, G>,
        routed: &Routed,
        head: &Parts,
        body: &Incoming,
    ) -> Result<bool, Failure> {
        let action = routed.action();
        Ok(body.is_end_stream()
            && !head.headers.contains_key(CONTENT_TYPE)
            && !view.is_stamped()
            && self.is_free(view, routed)
            && !self.guard.records(action)
            && Lens::of(view, routed)?.is_clear())
    }

    /// Whether the client may do this whatever it is about, and by an answer like any other.
    fn is_free(&self, view: &View<'_, G>, routed: &Routed) -> bool {
        routed.route().hijack == Hijack::Never
            && self.guard.permits(view.client, routed.action(), None)
    }

    /// The denial of what no rule could permit: neither is its body read, nor the engine asked.
    async fn refuse_unread(
        &self,
        client: &Client,
        id: &str,
        routed: Routed,
    ) -> Result<(), Failure> {
        let content = Content::unread(routed.action());
        let about = resources::unasked(routed);
        let asks = asks(&about.routed, &about.named, &Mentions::default(), &content);
        Ok(self.guard.decide(client, id, asks).await?)
    }

    /// Finds out what the request is about, as far as it is there for the client.
    async fn look(
        &self,
        view: &View<'_, G>,
        routed: Routed,
        lens: Lens,
        content: &mut Content,
    ) -> Result<(About, Mentions), Failure> {
        let action = routed.action();
        let is_known = !view.is_own()
            && lens.is_clear()
            && self.is_free(view, &routed)
            && !self.guard.records(action);
        if is_known {
            return Ok((resources::unasked(routed), Mentions::default()));
        }
        let mut about = resources::about(&self.lookup, routed).await?;
        if let (Action::DockerNetworkConnect, Some(Resource::DockerNetwork(network))) =
            (action, about.named.first().map(|named| &named.resource))
            && view.is_own()
            && !network.id.is_empty()
        {
            content.pin_network(&network.name, &network.id);
        }
        let mut mentions = mentions::mentions(&self.lookup, view, action, content).await?;
        for named in about.named.iter_mut().chain(mentions.all()) {
            if named.is_there && !view.shows(&named.resource) {
                named.hide();
            }
        }
        Ok((about, mentions))
    }

    /// Volumes that the engine would make along with a container, with nobody's label.
    async fn make_volumes(&self, view: &View<'_, G>, mentions: &Mentions) -> Result<(), Failure> {
        let labels = stamped::own_labels(view);
        for name in mentions.new_volumes() {
            let made = self.lookup.make_volume(name, &labels).await?;
            // Somebody else may have been quicker.
            if made.owner.as_deref() != Some(view.me()) {
                return Err(Failure::new(
                    StatusCode::CONFLICT,
                    format!("the volume {name} belongs to somebody else; choose another name"),
                ));
            }
        }
        Ok(())
    }

    /// The engine is always asked to upgrade, which every engine of today understands; the client gets a 101
    /// if it has asked, and else the older 200 after which it just goes on.
    async fn hijack(
        &self,
        mut request: Request<RequestBody>,
        hijack: Hijack,
        asked: Option<&HeaderValue>,
    ) -> Result<Answer<Body>, Failure> {
        let protocol = match (hijack, asked) {
            (Hijack::Raw, _) => HeaderValue::from_static("tcp"),
            (_, Some(asked)) => asked.clone(),
            (_, None) => return Err(Failure::bad("this needs a connection that is upgraded")),
        };
        request.headers_mut().remove(UPGRADE);
        match self.engine.upgrade(request, protocol).await? {
            // An error, or an exec that was started to run on its own.
            Upgrade::Refused(response) => Ok(Answer::Response(response.map(Either::Left))),
            Upgrade::Switched(upgraded) => tunnel(*upgraded, asked.is_some()),
        }
    }
}

fn tunnel(upgraded: Upgraded, asked: bool) -> Result<Answer<Body>, Failure> {
    let mut head = Response::new(());
    *head.status_mut() = if asked { StatusCode::SWITCHING_PROTOCOLS } else { StatusCode::OK };
    *head.headers_mut() = upgraded.head.headers().clone();
    let tunnel = Tunnel::new(head, upgraded).map_err(|error| {
        Failure::new(StatusCode::BAD_GATEWAY, format!("the Docker engine's answer: {error}"))
    })?;
    Ok(Answer::Tunnel(Box::new(tunnel)))
}

/// What docker's client begins a build with, unless it is told otherwise.
fn is_buildkit(routed: &Routed) -> bool {
    match routed.action() {
        Action::DockerSession | Action::DockerGrpc => true,
        Action::DockerImageBuild => routed.text("version") == Some("2"),
        _ => false,
    }
}
