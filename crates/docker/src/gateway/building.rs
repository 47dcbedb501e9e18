//! Builds of those who may not build whatever they like: their Dockerfile is read, and written anew.
//!
//! The context streams to the engine while it comes, up to the Dockerfile in it, which is held back until policy
//! has decided on what it wants. Without it the engine has nothing to build; so where the answer is no, the context
//! breaks off there. The images that it names are looked up like any other that a request names, and put into it by
//! their ids.
//!
//! A name for the image is given when it is there, and not by the engine: a build takes minutes, and the name may be
//! somebody else's by then.

mod room;
mod stream;
mod tags;

use std::collections::BTreeMap;
use std::sync::Arc;

use http_body_util::Either;
use hyper::{Request, Response, StatusCode};
use sealock_core::policy::{Action, Resource};
use sealock_net::proxy::{RequestBody, Upstream};
use serde_json::Value;

use super::answer::{Body, Failure};
use super::content::{Content, add};
use super::lookup::Lookup;
use super::resources::Named;
use super::view::View;
use super::{Ask, Guard};
use crate::body::{Risk, is_ours};
use crate::context::DockerfilePath;
use crate::dockerfile::{BuildArguments, Dockerfile, Wanted, Wants};
use crate::filters::{IMAGE_OWNER_LABEL, OWNER_LABEL};
use crate::route::Routed;
use crate::route::image_name::ImageName;
pub(super) use room::Room;
use stream::Held;

/// A build whose context is being read.
pub(super) struct Building {
    held: Held,
    arguments: BuildArguments,
    /// What the query asks for, for policy.
    context: BTreeMap<String, Value>,
    /// Names to give when it is done.
    tags: Vec<ImageName>,
    /// Whether the engine tells nothing but the id.
    is_quiet: bool,
}

/// Takes the context of a build to read it. `None` for those who may build whatever they like.
pub(super) async fn begin<G: Guard>(
    lookup: &Lookup,
    view: &View<'_, G>,
    routed: &Routed,
    content: &mut Content,
    room: &Arc<Room>,
) -> Result<Option<Building>, Failure> {
    if routed.action() != Action::DockerImageBuild {
        return Ok(None);
    }
    let permits = |action| view.guard().permits(view.client, action, None);
    if !view.is_own() && permits(Action::DockerImageBuild) && permits(Action::DockerImageRun) {
        return Ok(None);
    }
    if !content.query_value("remote").is_empty() {
        // The engine fetches the Dockerfile, and nobody here sees it. Policy knows by the risk `build-remote`.
        return match view.is_own() {
            true => Err(Failure::denied(
                "the Dockerfile has to be in a context that you send: what the engine fetches is not read here",
            )),
            false => Ok(None),
        };
    }
    if !view.is_watched() && is_set(content.query_value("pull")) {
        return Err(Failure::bad(
            "a build uses the images that are here: leave --pull out, and `docker pull` the base image before",
        ));
    }
    let path = DockerfilePath::parse(content.query_value("dockerfile"))
        .map_err(|error| Failure::bad(error.to_string()))?;
    let arguments = content.query_value("buildargs");
    let arguments = match arguments {
        "" => BuildArguments::new(),
        given => serde_json::from_str::<Option<BuildArguments>>(given)
            .map_err(|_| Failure::bad("the build arguments cannot be read"))?
            .unwrap_or_default(),
    };
    cached(lookup, view, content).await?;
    let Some(context) = content.take_context() else { return Ok(None) };
    let room = room.enter(&view.client.who)?;
    content.set_query("dockerfile", path.as_str());
    let (held, body) = stream::read(context, path, view.is_watched(), room);
    content.set_stream(body);
    let mut tags = Vec::new();
    if view.is_own() {
        tags.extend(routed.new_images().iter().map(|name| name.clone().or_latest()));
        content.remove_query("t");
    }
    let is_quiet = is_set(content.query_value("q"));
    content.remove_query("q");
    if is_quiet {
        content.set_query("q", "1");
    }
    Ok(Some(Building { held, arguments, context: content.context(), tags, is_quiet }))
}

/// As the engine reads it.
fn is_set(value: &str) -> bool {
    let value = value.trim().to_ascii_lowercase();
    !matches!(value.as_str(), "" | "0" | "no" | "false" | "none")
}

/// Images whose layers may be used again, by their ids. As at the engine, what is not there says nothing.
async fn cached<G: Guard>(
    lookup: &Lookup,
    view: &View<'_, G>,
    content: &mut Content,
) -> Result<(), Failure> {
    const MOST: usize = 32;
    let given = content.query_value("cachefrom");
    if given.is_empty() || view.is_watched() {
        return Ok(());
    }
    let names: Option<Vec<String>> = serde_json::from_str(given)
        .map_err(|_| Failure::bad("cachefrom is a list of names of images"))?;
    let names = names.unwrap_or_default();
    if names.len() > MOST {
        return Err(Failure::bad(format!("cachefrom names no more than {MOST} images here")));
    }
    let mut ids = Vec::new();
    for name in names {
        let Ok(name) = ImageName::parse(&name) else { continue };
        if let Some((facts, id)) = lookup.image_with_id(&name.or_latest()).await? {
            let image = Resource::DockerImage(facts);
            let runs = view.guard().permits(view.client, Action::DockerImageRun, Some(&image));
            if view.shows(&image) && runs {
                ids.push(id);
            }
        }
    }
    content.set_query("cachefrom", &Value::from(ids).to_string());
    Ok(())
}

impl Building {
    /// Sends the build on, decides on its Dockerfile when it comes, and gives the image its names.
    pub(super) async fn run<G: Guard>(
        mut self,
        (engine, lookup): (&Upstream, &Lookup),
        guard: &Arc<G>,
        view: &View<'_, G>,
        id: &str,
        request: Request<RequestBody>,
    ) -> Result<Response<Body>, Failure> {
        let answer = engine.forward(request);
        tokio::pin!(answer);
        let response = tokio::select! {
            // An engine that refuses the build says so before it has the context.
            response = &mut answer => Some(response),
            held = self.held.dockerfile() => {
                if let Some(dockerfile) = held {
                    let written = self.decided(lookup, view, id, dockerfile).await?;
                    self.held.answer(written);
                }
                None
            }
        };
        let response = match response {
            Some(response) => response,
            None => answer.await,
        };
        let response = response.map_err(|error| match self.held.fault() {
            Some(fault) => Failure::bad(fault),
            None => error.into(),
        })?;
        if self.tags.is_empty() || response.status() != StatusCode::OK {
            return Ok(response.map(Either::Left));
        }
        let (client, lookup) = (view.client.clone(), lookup.clone());
        Ok(response.map(|body| {
            let tagged =
                tags::given(body, lookup, Arc::clone(guard), client, self.tags, self.is_quiet);
            Either::Right(Either::Right(tagged))
        }))
    }

    /// The Dockerfile as it is built from, if policy permits what it wants.
    async fn decided<G: Guard>(
        &self,
        lookup: &Lookup,
        view: &View<'_, G>,
        id: &str,
        bytes: Vec<u8>,
    ) -> Result<Vec<u8>, Failure> {
        let read = self.read(lookup, view, &bytes).await;
        let (dockerfile, asks, named) = match read {
            Ok(read) => read,
            // Where nothing is refused, the engine has the last word on what cannot be read here.
            Err(error) if view.is_watched() => {
                tracing::info!(error = error.message, "a Dockerfile of somebody who is watched");
                return Ok(bytes);
            }
            Err(error) => return Err(error),
        };
        if !asks.is_empty() {
            view.guard().decide(view.client, id, asks).await?;
        }
        for image in &named {
            view.note(id, image.hidden.as_ref().unwrap_or(&image.resource)).await;
            if !image.is_there && !view.is_watched() {
                let Failure { status, message } = image.absent();
                let hint = "a build uses the images that are here: `docker pull` it before";
                return Err(Failure::new(status, format!("{message}; {hint}")));
            }
        }
        match view.is_watched() {
            true => Ok(bytes),
            false => Ok(dockerfile.emit().into_bytes()),
        }
    }

    /// With the ids of its images in it, what is to be asked, and the images.
    async fn read<G: Guard>(
        &self,
        lookup: &Lookup,
        view: &View<'_, G>,
        bytes: &[u8],
    ) -> Result<(Dockerfile, Vec<Ask>, Vec<Named>), Failure> {
        let refused = |error: crate::dockerfile::DockerfileError| Failure::bad(error.to_string());
        let mut dockerfile = Dockerfile::parse(bytes).map_err(refused)?;
        let mut wants = dockerfile.wants(&self.arguments).map_err(refused)?;
        let mut asks = Vec::new();
        let mut named = Vec::new();
        for wanted in std::mem::take(&mut wants.images) {
            let image = self.image(lookup, view, &wanted, &mut wants, &mut dockerfile).await?;
            asks.push(Ask {
                action: Action::DockerImageRun,
                resource: image.resource.clone(),
                context: BTreeMap::new(),
            });
            named.push(image);
        }
        if !wants.risks.is_empty() || !wants.label_keys.is_empty() {
            let mut context = self.context.clone();
            add(&mut context, "risks", wants.risks.iter().map(|risk| risk.as_str().to_owned()));
            add(&mut context, "labelKeys", wants.label_keys);
            let resource = Resource::DockerEngine;
            asks.insert(0, Ask { action: Action::DockerImageBuild, resource, context });
        }
        Ok((dockerfile, asks, named))
    }

    /// Looks one up, and takes what comes with it for part of the Dockerfile.
    async fn image<G: Guard>(
        &self,
        lookup: &Lookup,
        view: &View<'_, G>,
        wanted: &Wanted,
        wants: &mut Wants,
        dockerfile: &mut Dockerfile,
    ) -> Result<Named, Failure> {
        let line = wanted.line;
        let name = ImageName::parse(&wanted.name)
            .map_err(|error| Failure::bad(format!("Dockerfile line {line}: {error}")))?
            .or_latest();
        let unknown = Resource::DockerImage(name.facts());
        let Some(base) = lookup.base(&name).await? else {
            return Ok(Named::new(None, unknown, name.to_string()));
        };
        let labels = base.facts.labels.clone();
        let mut named =
            Named::new(Some(Resource::DockerImage(base.facts)), unknown, name.to_string());
        if !view.shows(&named.resource) {
            named.hide();
            return Ok(named);
        }
        dockerfile.pin(wanted, &base.id);
        if wanted.is_base {
            let kept = [OWNER_LABEL, IMAGE_OWNER_LABEL];
            let ours =
                labels.into_keys().filter(|key| is_ours(key) && !kept.contains(&key.as_str()));
            let before = wants.label_keys.len();
            wants.label_keys.extend(ours);
            if wants.label_keys.len() > before {
                wants.risks.insert(Risk::SealockLabels);
            }
            let triggered = Dockerfile::triggered(&base.on_build).map_err(|error| {
                let fault = error.fault;
                Failure::bad(format!("Dockerfile line {line}: {name}: {fault}"))
            })?;
            wants.risks.extend(triggered.risks);
            wants.label_keys.extend(triggered.label_keys);
        }
        Ok(named)
    }
}
