//! What a container was made of. The engine reads the names of a request once more, and a tag or a volume's name may
//! have changed hands since it was decided on. What is made then is looked at before anybody hears of it; from here
//! on it cannot change, for a container keeps its image and the engine removes no volume of a container's.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use http_body_util::{BodyExt, Either, Limited};
use hyper::header::CONTENT_LENGTH;
use hyper::{Request, Response, StatusCode};
use sealock_core::policy::{Action, Resource};
use sealock_net::proxy::{RequestBody, Upstream, UpstreamBody};
use serde::Deserialize;

use super::answer::{Body, Failure, whole};
use super::lookup::Lookup;
use super::mentions::Mentions;
use super::view::View;
use super::{Client, Guard};
use crate::route::Reference;

/// Bytes of the answer to a create: an id and warnings.
const MOST: usize = 256 << 10;

/// Between tries to remove a container.
const PAUSES: [Duration; 5] = [Duration::from_millis(200); 5];

/// What a container has to be made of.
#[derive(Debug)]
pub(super) struct Decided {
    /// The id of the image that was decided on, where the request has a name that may be given to another.
    image: Option<String>,
    volumes: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Created {
    #[serde(rename = "Id")]
    id: String,
}

/// The container, as far as it matters here.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Made {
    image: String,
}

impl Decided {
    /// None where nothing is made, or nothing that is named can change hands.
    pub(super) fn of<G: Guard>(
        view: &View<'_, G>,
        action: Action,
        mentions: &Mentions,
    ) -> Option<Self> {
        if !view.is_own() || action != Action::DockerContainerCreate {
            return None;
        }
        let volumes = mentions.volumes.iter().map(|volume| volume.said.clone()).collect();
        let this = Self { image: mentions.tagged.clone(), volumes };
        (this.image.is_some() || !this.volumes.is_empty()).then_some(this)
    }

    /// Makes the container. What is not made is answered by the engine; one that was made of something else is
    /// removed again.
    ///
    /// On a task of its own: whoever hangs up meanwhile does not keep it from being looked at.
    pub(super) async fn make<G: Guard>(
        self,
        (engine, lookup): (&Upstream, &Lookup),
        guard: &Arc<G>,
        client: &Client,
        request: Request<RequestBody>,
    ) -> Result<Either<Response<UpstreamBody>, Response<Body>>, Failure> {
        let (engine, lookup) = (engine.clone(), lookup.clone());
        let (guard, client) = (Arc::clone(guard), client.clone());
        let making = tokio::spawn(async move {
            let response = engine.forward(request).await?;
            if response.status() != StatusCode::CREATED {
                return Ok(Either::Left(response));
            }
            let view = View::new(&*guard, &client);
            self.held(&lookup, &view, response).await.map(Either::Right)
        });
        making.await.unwrap_or_else(|_| {
            Err(Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "making the container failed"))
        })
    }

    async fn held<G: Guard>(
        &self,
        lookup: &Lookup,
        view: &View<'_, G>,
        response: Response<UpstreamBody>,
    ) -> Result<Response<Body>, Failure> {
        let unreadable = || {
            Failure::new(
                StatusCode::BAD_GATEWAY,
                "the Docker engine made a container and does not say which",
            )
        };
        let (mut head, body) = response.into_parts();
        let body = Limited::new(body, MOST).collect().await.map_err(|_| unreadable())?.to_bytes();
        let made: Created = serde_json::from_slice(&body).map_err(|_| unreadable())?;
        let id = Reference::parse(&made.id).map_err(|_| unreadable())?;
        let failure = match self.are_in(lookup, view, &id).await {
            Ok(None) => {
                head.headers.remove(CONTENT_LENGTH);
                return Ok(Response::from_parts(head, whole(body)));
            }
            Ok(Some(changed)) => Failure::new(
                StatusCode::CONFLICT,
                format!("{changed} changed while the container was made of it; try again"),
            ),
            Err(failure) => failure,
        };
        remove(lookup, &id).await;
        Err(failure)
    }

    /// What is in the container that was not decided on.
    async fn are_in<G: Guard>(
        &self,
        lookup: &Lookup,
        view: &View<'_, G>,
        id: &Reference,
    ) -> Result<Option<String>, Failure> {
        if let Some(image) = &self.image {
            // Somebody may have removed it already.
            let made: Option<Made> = lookup.get(&format!("/containers/{id}/json")).await?;
            if made.is_some_and(|made| made.image != *image) {
                return Ok(Some("the image".to_owned()));
            }
        }
        let references = self.volumes.iter().filter_map(|name| Reference::parse(name).ok());
        let looks = references.map(|name| async move {
            let found = lookup.volume(&name).await?;
            Ok::<_, Failure>((name, found))
        });
        for (name, found) in try_join_all(looks).await? {
            if found.is_some_and(|found| !view.shows(&Resource::DockerVolume(found.facts))) {
                return Ok(Some(format!("the volume {name}")));
            }
        }
        Ok(None)
    }
}

/// Tries it for a while: an engine may be busy with the container.
async fn remove(lookup: &Lookup, id: &Reference) {
    for pause in PAUSES {
        match lookup.remove_container(id).await {
            Ok(()) => return,
            Err(Failure { message, .. }) => {
                tracing::error!(container = %id, message, "a container was made of something else, and cannot be removed");
            }
        }
        tokio::time::sleep(pause).await;
    }
}
