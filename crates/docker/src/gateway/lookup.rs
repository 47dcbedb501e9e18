//! What the engine knows of an object that a request names.
//!
//! **Owners.** Who made something stands in a label of it. A label of a container may come from its image, and
//! whoever makes images chooses their labels; so the owner of a container whose image has such a label is
//! nobody, and images have a label of their own for it.

mod facts;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::{Method, Request, StatusCode};
use parking_lot::Mutex;
use sealock_core::policy::{ContainerFacts, ImageFacts, ObjectFacts};
use sealock_net::proxy::{RequestBody, Upstream};
use serde::de::DeserializeOwned;

use super::answer::Failure;
use crate::filters::OWNER_LABEL;
use crate::route::Reference;
use crate::route::image_name::ImageName;
use facts::{Exec, Image, Inspected};
pub(super) use facts::{ListedContainer, ListedImage, NamedObject};

/// Bytes of an inspection; a container with thousands of labels has less.
const MOST: usize = 8 << 20;
/// Images of which it is remembered whether they claim an owner.
const REMEMBERED: usize = 4096;

/// Asks the engine. Clones share what they remember.
#[derive(Debug, Clone)]
pub(super) struct Lookup {
    engine: Upstream,
    /// By image id; what an id stands for never changes.
    claims: Arc<Mutex<HashMap<String, bool>>>,
}

/// A volume, and what its driver makes of it.
#[derive(Debug)]
pub(super) struct Volume {
    pub(super) facts: ObjectFacts,
    pub(super) driver: String,
    pub(super) options: BTreeMap<String, String>,
}

/// An image, and what it brings into a build.
#[derive(Debug)]
pub(super) struct Base {
    pub(super) facts: ImageFacts,
    pub(super) id: String,
    /// Instructions that a build on it carries out first.
    pub(super) on_build: Vec<String>,
}

impl Lookup {
    pub(super) fn new(engine: Upstream) -> Self {
        Self { engine, claims: Arc::default() }
    }

    /// The container of that name, id or prefix; `None` where the engine has none.
    pub(super) async fn container(
        &self,
        reference: &Reference,
    ) -> Result<Option<ContainerFacts>, Failure> {
        let found: Option<Inspected> = self.get(&format!("/containers/{reference}/json")).await?;
        let Some(found) = found else { return Ok(None) };
        let owner = self.owner(found.labels(), &found.image).await?;
        Ok(Some(ContainerFacts { owner, ..found.facts() }))
    }

    /// The container in which an exec runs.
    pub(super) async fn container_of_exec(
        &self,
        exec: &Reference,
    ) -> Result<Option<ContainerFacts>, Failure> {
        let Some(exec) = self.get::<Exec>(&format!("/exec/{exec}/json")).await? else {
            return Ok(None);
        };
        match Reference::parse(&exec.container) {
            Ok(reference) => self.container(&reference).await,
            Err(_) => Err(unreadable()),
        }
    }

    /// Who made a container with these labels, of this image.
    pub(super) async fn owner(
        &self,
        labels: Option<&BTreeMap<String, String>>,
        image: &str,
    ) -> Result<Option<String>, Failure> {
        let owner = labels.and_then(|labels| labels.get(OWNER_LABEL));
        let Some(owner) = owner.filter(|owner| !owner.is_empty()) else { return Ok(None) };
        Ok(if self.claims_owner(image).await? { None } else { Some(owner.clone()) })
    }

    /// Whether an image has the label that says whose a *container* is. So does one that is gone, for all
    /// that anybody can tell.
    async fn claims_owner(&self, id: &str) -> Result<bool, Failure> {
        if let Some(known) = self.claims.lock().get(id) {
            return Ok(*known);
        }
        let Ok(name) = ImageName::parse(id) else { return Ok(true) };
        let Some(image) = self.get::<Image>(&format!("/images/{name}/json")).await? else {
            return Ok(true);
        };
        let claimed = image.labels().and_then(|labels| labels.get(OWNER_LABEL));
        let claims = claimed.is_some_and(|owner| !owner.is_empty());
        let mut known = self.claims.lock();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(id.to_owned(), claims);
        Ok(claims)
    }

    /// A network by name, id or prefix.
    pub(super) async fn network(
        &self,
        reference: &Reference,
    ) -> Result<Option<ObjectFacts>, Failure> {
        let found: Option<NamedObject> = self.get(&format!("/networks/{reference}")).await?;
        Ok(found.map(NamedObject::facts))
    }

    /// A volume by name.
    pub(super) async fn volume(&self, reference: &Reference) -> Result<Option<Volume>, Failure> {
        let found: Option<NamedObject> = self.get(&format!("/volumes/{reference}")).await?;
        Ok(found.map(|mut found| {
            let (driver, options) = found.take_driver();
            Volume { facts: found.volume_facts(), driver, options }
        }))
    }

    /// The image of a name; `None` where it is not there.
    pub(super) async fn image(&self, name: &ImageName) -> Result<Option<ImageFacts>, Failure> {
        Ok(self.image_with_id(name).await?.map(|(facts, _)| facts))
    }

    /// The same, with its whole id.
    pub(super) async fn image_with_id(
        &self,
        name: &ImageName,
    ) -> Result<Option<(ImageFacts, String)>, Failure> {
        let found: Option<Image> = self.get(&format!("/images/{name}/json")).await?;
        Ok(found.map(|mut image| {
            let id = image.take_id();
            (image.facts(name), id)
        }))
    }

    /// An image that a build is based on.
    pub(super) async fn base(&self, name: &ImageName) -> Result<Option<Base>, Failure> {
        let found: Option<Image> = self.get(&format!("/images/{name}/json")).await?;
        Ok(found.map(|mut image| {
            let (id, on_build) = (image.take_id(), image.take_on_build());
            Base { facts: image.facts(name), id, on_build }
        }))
    }

    /// Gives an image a name.
    pub(super) async fn tag(&self, id: &str, name: &ImageName) -> Result<(), Failure> {
        let (Some(repository), Some(tag)) = (name.repository(), name.tag()) else {
            return Err(Failure::bad("an image is called by a name and a tag"));
        };
        let target = format!("/images/{id}/tag?repo={repository}&tag={tag}");
        let mut request = Request::new(RequestBody::empty());
        *request.method_mut() = Method::POST;
        *request.uri_mut() =
            target.parse().map_err(|_| Failure::bad("the name cannot be asked for"))?;
        let response = self.engine.forward(request).await?;
        if response.status() == StatusCode::CREATED {
            return Ok(());
        }
        let status = response.status();
        Err(Failure::new(StatusCode::BAD_GATEWAY, format!("the Docker engine answers {status}")))
    }

    /// Makes a volume of the local driver; one of that name that is there already stays as it is. Gives
    /// what is there then.
    pub(super) async fn make_volume(
        &self,
        name: &str,
        labels: &BTreeMap<String, String>,
    ) -> Result<ObjectFacts, Failure> {
        let body = serde_json::json!({ "Name": name, "Labels": labels }).to_string();
        let mut request = Request::new(RequestBody::from(Bytes::from(body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = hyper::Uri::from_static("/volumes/create");
        let json = hyper::header::HeaderValue::from_static("application/json");
        request.headers_mut().insert(hyper::header::CONTENT_TYPE, json);
        let made: Option<NamedObject> = self.read(request, StatusCode::CREATED).await?;
        made.map(NamedObject::volume_facts).ok_or_else(unreadable)
    }

    /// Removes a container that was only just made, and what it alone has.
    pub(super) async fn remove_container(&self, id: &Reference) -> Result<(), Failure> {
        let mut request = Request::new(RequestBody::empty());
        *request.method_mut() = Method::DELETE;
        *request.uri_mut() = format!("/containers/{id}?force=1&v=1")
            .parse()
            .map_err(|_| Failure::bad("the name cannot be asked for"))?;
        let status = self.engine.forward(request).await?.status();
        if status.is_success() || status == StatusCode::NOT_FOUND {
            return Ok(());
        }
        Err(Failure::new(StatusCode::BAD_GATEWAY, format!("the Docker engine answers {status}")))
    }

    /// What the engine has at a target of ours.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        target: &str,
    ) -> Result<Option<T>, Failure> {
        let mut request = Request::new(RequestBody::empty());
        *request.method_mut() = Method::GET;
        *request.uri_mut() =
            target.parse().map_err(|_| Failure::bad("the name cannot be asked for"))?;
        self.read(request, StatusCode::OK).await
    }

    /// The content of a small answer; `None` for 404.
    async fn read<T: DeserializeOwned>(
        &self,
        request: Request<RequestBody>,
        wanted: StatusCode,
    ) -> Result<Option<T>, Failure> {
        let response = self.engine.forward(request).await?;
        match response.status() {
            status if status == wanted => {}
            // An id prefix that is not unique names nothing either.
            StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST => {
                // Read to its end, the connection can be used again.
                let _ = Limited::new(response.into_body(), MOST).collect().await;
                return Ok(None);
            }
            status => {
                return Err(Failure::new(
                    StatusCode::BAD_GATEWAY,
                    format!(
                        "the Docker engine answers {status} when asked what the request is about"
                    ),
                ));
            }
        }
        match Limited::new(response.into_body(), MOST).collect().await {
            Ok(body) => {
                serde_json::from_slice(&body.to_bytes()).map(Some).map_err(|_| unreadable())
            }
            Err(_) => Err(unreadable()),
        }
    }
}

fn unreadable() -> Failure {
    Failure::new(
        StatusCode::BAD_GATEWAY,
        "what the Docker engine says of the object cannot be read",
    )
}
