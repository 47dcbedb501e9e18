//! What a client is shown of the engine's answers: their own objects, and only those values that policy shows
//! them. Whoever is shown everything gets the answer as the engine streams it; this module does not read it.
//!
//! What is left out of a list is what a route that names it would answer with 404. The JSON is the engine's, which
//! is trusted; what it says *of* containers (names, labels, environment) was chosen by whoever made them, and is
//! only compared.

mod events;
mod lists;
mod redact;

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Either, LengthLimitError, Limited};
use hyper::header::CONTENT_LENGTH;
use hyper::{Response, StatusCode};
use sealock_core::policy::{Action, Resource};
use sealock_net::proxy::UpstreamBody;
use serde_json::Value;

use super::Guard;
use super::answer::{Body, Failure, whole};
use super::lookup::Lookup;
use super::view::View;
use crate::route::Routed;

/// Bytes of an answer of which something may have to be left out: a list of some 10,000 containers.
const MOST: usize = 64 << 20;

/// Through what an answer is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lens {
    /// It is the engine's.
    Clear,
    /// A list of objects of this kind.
    List(Kind),
    /// What there is of one object, with its environment and labels.
    Object,
    /// A network, with the containers in it.
    Network,
    /// The engine's events.
    Events,
    /// An answer that may say whose the name is that somebody wanted.
    Conflict,
}

/// What is in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Containers,
    Images,
    Networks,
    Volumes,
    /// All of them, and the build cache.
    Usage,
    /// Of a swarm, or plugins; by the kind's name.
    Others(&'static str),
}

impl Lens {
    /// The one for this client and operation. What cannot be narrowed to one's own objects is refused here.
    pub(super) fn of<G: Guard>(view: &View<'_, G>, routed: &Routed) -> Result<Self, Failure> {
        let action = routed.action();
        if is_everybodys(action) {
            view.needs_all(action)?;
        }
        let shows = |action| view.guard().permits(view.client, action, None);
        let labels = || shows(Action::DockerSeeLabels);
        if routed.has_filters() && !labels() {
            // Whoever may not see a label could guess its value by filters.
            let filters = routed.filters();
            if filters.keys().any(|key| key.starts_with("label")) {
                return Err(Failure::new(
                    StatusCode::FORBIDDEN,
                    "you are not shown labels (Docker::SeeLabels), so you cannot filter by them",
                ));
            }
        }
        let values = || labels() && shows(Action::DockerSeeEnvironment);
        let own = view.is_own();
        let lens = |applies: bool, lens: Self| if applies { lens } else { Self::Clear };
        Ok(match action {
            Action::DockerContainerList => lens(own || !labels(), Self::List(Kind::Containers)),
            Action::DockerSystemDataUsage => lens(own || !labels(), Self::List(Kind::Usage)),
            Action::DockerSystemEvents => lens(own || !values(), Self::Events),
            Action::DockerImageList => lens(own, Self::List(Kind::Images)),
            Action::DockerNetworkList => lens(own, Self::List(Kind::Networks)),
            Action::DockerVolumeList => lens(own, Self::List(Kind::Volumes)),
            Action::DockerNetworkInspect => lens(own, Self::Network),
            Action::DockerContainerCreate | Action::DockerContainerRename => {
                lens(own, Self::Conflict)
            }
            Action::DockerContainerInspect
            | Action::DockerServiceInspect
            | Action::DockerTaskInspect
            | Action::DockerPluginInspect
            | Action::DockerImageInspect
            | Action::DockerImageHistory => lens(!values(), Self::Object),
            Action::DockerServiceList => {
                lens(own || !values(), Self::List(Kind::Others("service")))
            }
            Action::DockerTaskList => lens(own || !values(), Self::List(Kind::Others("task"))),
            Action::DockerNodeList => lens(own, Self::List(Kind::Others("node"))),
            Action::DockerSecretList => lens(own, Self::List(Kind::Others("secret"))),
            Action::DockerConfigList => lens(own, Self::List(Kind::Others("config"))),
            Action::DockerPluginList => lens(own || !values(), Self::List(Kind::Others("plugin"))),
            _ => Self::Clear,
        })
    }

    pub(super) fn is_clear(self) -> bool {
        self == Self::Clear
    }

    /// The answer as this client is shown it. `about` is what the request named.
    pub(super) async fn show<G: Guard>(
        self,
        lookup: &Lookup,
        guard: &Arc<G>,
        view: &View<'_, G>,
        about: Option<&Resource>,
        response: Response<UpstreamBody>,
    ) -> Result<Response<Body>, Failure> {
        let applies = match self {
            Self::Clear => false,
            Self::Conflict => response.status() == StatusCode::CONFLICT,
            _ => response.status() == StatusCode::OK,
        };
        if !applies {
            return Ok(response.map(Either::Left));
        }
        let (mut head, body) = response.into_parts();
        head.headers.remove(CONTENT_LENGTH);
        let body = match self {
            Self::Events => {
                let narrowed = events::narrowed(body, lookup.clone(), guard, view.client.clone());
                Either::Right(Either::Right(narrowed))
            }
            Self::Conflict => whole(
                serde_json::json!({ "message": "Conflict. The container name is already in use." })
                    .to_string(),
            ),
            Self::List(kind) => {
                let mut value = read(body).await?;
                lists::narrow(lookup, view, kind, &mut value).await?;
                whole(value.to_string())
            }
            Self::Object => {
                let mut value = read(body).await?;
                redact::object(view, about, &mut value);
                whole(value.to_string())
            }
            Self::Network => {
                let mut value = read(body).await?;
                if !about.is_some_and(|network| view.owns(network)) {
                    lists::without_containers(&mut value);
                }
                whole(value.to_string())
            }
            Self::Clear => Either::Left(body),
        };
        Ok(Response::from_parts(head, body))
    }
}

/// What is about everybody's objects at once, or makes what has no owner.
fn is_everybodys(action: Action) -> bool {
    matches!(
        action,
        Action::DockerSession
            | Action::DockerGrpc
            | Action::DockerImageLoad
            | Action::DockerBuildPrune
            | Action::DockerSwarmInit
            | Action::DockerSwarmJoin
            | Action::DockerSwarmLeave
            | Action::DockerSwarmUpdate
            | Action::DockerSwarmInspect
            | Action::DockerSwarmUnlock
            | Action::DockerSwarmUnlockKey
            | Action::DockerServiceCreate
            | Action::DockerSecretCreate
            | Action::DockerConfigCreate
            | Action::DockerPluginCreate
            | Action::DockerPluginPull
    )
}

async fn read(body: UpstreamBody) -> Result<Value, Failure> {
    let bytes: Bytes = match Limited::new(body, MOST).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            return Err(Failure::new(
                StatusCode::BAD_GATEWAY,
                format!(
                    "the engine's answer is longer than {MOST} bytes, too long to be narrowed; ask for less"
                ),
            ));
        }
        Err(_) => {
            return Err(Failure::new(
                StatusCode::BAD_GATEWAY,
                "the Docker engine broke the connection off",
            ));
        }
    };
    serde_json::from_slice(&bytes).map_err(|_| unreadable())
}

fn unreadable() -> Failure {
    Failure::new(
        StatusCode::BAD_GATEWAY,
        "what the Docker engine answers cannot be read, and so not be narrowed",
    )
}
