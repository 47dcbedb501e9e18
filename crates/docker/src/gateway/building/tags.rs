//! The names of an image that was built, given when it is there.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::unfold;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use sealock_core::policy::Resource;
use sealock_net::proxy::{UpstreamBody, UpstreamError};
use serde::Deserialize;
use serde_json::json;

use super::super::answer::{Failure, Narrowed};
use super::super::lookup::Lookup;
use super::super::view::View;
use super::super::{Client, Guard, names};
use crate::route::image_name::ImageName;

/// Bytes of a line: the error of a step has the step in it twice, and each character may take six bytes.
const LONGEST: usize = 4 << 20;

type Piece = Result<Frame<Bytes>, UpstreamError>;

struct Tagging<G> {
    /// `None` when it is over.
    body: Option<UpstreamBody>,
    lines: Lines,
    lookup: Lookup,
    guard: Arc<G>,
    client: Client,
    tags: std::vec::IntoIter<ImageName>,
}

/// The engine's account of the build, with one of the names after it.
pub(super) fn given<G: Guard>(
    body: UpstreamBody,
    lookup: Lookup,
    guard: Arc<G>,
    client: Client,
    tags: Vec<ImageName>,
    is_quiet: bool,
) -> StreamBody<Narrowed> {
    let lines = Lines { is_quiet, ..Lines::default() };
    let tagging =
        Tagging { body: Some(body), lines, lookup, guard, client, tags: tags.into_iter() };
    StreamBody::new(Box::pin(unfold(tagging, step)))
}

async fn step<G: Guard>(mut tagging: Tagging<G>) -> Option<(Piece, Tagging<G>)> {
    if let Some(body) = &mut tagging.body {
        match body.frame().await {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    tagging.lines.take(data);
                }
                return Some((Ok(frame), tagging));
            }
            Some(Err(error)) => return Some((Err(error), tagging)),
            None => tagging.body = None,
        }
    }
    let name = tagging.tags.next()?;
    if tagging.lines.failed {
        return None;
    }
    let shown = name.to_string();
    let shown = shown.strip_prefix("docker.io/").unwrap_or(&shown);
    let shown = shown.strip_prefix("library/").unwrap_or(shown);
    let Tagging { lookup, guard, client, lines, .. } = &tagging;
    let tagged = match lines.id.clone() {
        Some(id) => tag(lookup, &**guard, client, (&id, &name)).await,
        None => Err(Failure::bad("the engine does not tell the id of the image")),
    };
    let line = match tagged {
        Ok(()) if tagging.lines.is_quiet => None,
        Ok(()) => Some(json!({ "stream": format!("Successfully tagged {shown}\n") })),
        Err(Failure { message, .. }) => {
            // What failed once is not tried with the other names.
            tagging.lines.failed = true;
            let message = format!("the image is built, and not called {shown}: {message}");
            Some(json!({ "errorDetail": { "message": message }, "error": message }))
        }
    };
    let text = line.map(|line| format!("{line}\r\n")).unwrap_or_default();
    Some((Ok(Frame::data(text.into())), tagging))
}

async fn tag<G: Guard>(
    lookup: &Lookup,
    guard: &G,
    client: &Client,
    (id, name): (&str, &ImageName),
) -> Result<(), Failure> {
    let view = View::new(guard, client);
    // What was built carries its owner. An id of anything else is not the engine's word.
    let built = ImageName::parse(id).map_err(|error| Failure::bad(error.to_string()))?;
    let built = lookup.image(&built).await?.map(Resource::DockerImage);
    if !built.is_some_and(|built| view.owns(&built)) {
        return Err(Failure::bad("it is not there any more"));
    }
    names::may_be_given(lookup, &view, name, false).await?;
    lookup.tag(id, name).await
}

/// What the engine says, line by line.
///
/// What the steps of a build print stands in `stream` as well, so an id there is only believed where nothing of them
/// is told.
#[derive(Default)]
struct Lines {
    begun: Vec<u8>,
    /// Whether the line that has begun is too long to be looked at.
    is_long: bool,
    id: Option<String>,
    is_quiet: bool,
    failed: bool,
}

#[derive(Deserialize)]
struct Line {
    stream: Option<String>,
    aux: Option<Aux>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Aux {
    #[serde(rename = "ID")]
    id: Option<String>,
}

impl Lines {
    fn take(&mut self, data: &[u8]) {
        for piece in data.split_inclusive(|byte| *byte == b'\n') {
            self.is_long = self.is_long || self.begun.len() + piece.len() > LONGEST;
            if !self.is_long {
                self.begun.extend_from_slice(piece);
            }
            if piece.ends_with(b"\n") {
                // Nobody knows whether it was an error.
                self.failed = self.failed || self.is_long;
                self.line();
                self.begun.clear();
                self.is_long = false;
            }
        }
    }

    fn line(&mut self) {
        let Ok(line) = serde_json::from_slice::<Line>(&self.begun) else { return };
        self.failed = self.failed || line.error.is_some();
        let told = line.stream.filter(|_| self.is_quiet);
        let id = line.aux.and_then(|aux| aux.id).or(told);
        if let Some(id) = id.as_deref().map(str::trim_end).filter(|id| is_id(id)) {
            self.id = Some(id.to_owned());
        }
    }
}

fn is_id(text: &str) -> bool {
    ImageName::parse(text).is_ok_and(|name| name.is_id()) && text.len() == "sha256:".len() + 64
}
