//! A request's body: read where it matters, passed on where it is an archive.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderMap};
use sealock_core::policy::{Action, ObjectFacts, Resource};
use sealock_net::Incoming;
use sealock_net::proxy::RequestBody;
use serde_json::Value;

use super::answer::Failure;
use crate::body::{self, Asked, BodyError, BodyKind, HostMount, Limits, Pinned, Risk, Stamp};
use crate::filters::{IMAGE_OWNER_LABEL, OWNER_LABEL};
use crate::route::{Hijack, Routed};

/// What a body asks for, and what is forwarded in its place.
#[derive(Debug)]
pub(super) struct Content {
    /// What was read, of a body or a query that matters.
    asked: Option<Asked>,
    /// The body where it is passed on as it comes.
    stream: Option<RequestBody>,
    /// The context of a build, which may be read on its way.
    context: Option<Incoming>,
    /// Labels that the new container gets from its image.
    inherited: BTreeMap<String, String>,
    /// The circumstances of a body that was not read.
    unread: BTreeMap<String, Value>,
}

/// Names in a body.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) networks: BTreeSet<String>,
    pub(super) containers: BTreeSet<String>,
    pub(super) volumes: BTreeSet<String>,
}

impl Content {
    fn new(asked: Option<Asked>, stream: Option<RequestBody>) -> Self {
        Self { asked, stream, context: None, inherited: BTreeMap::new(), unread: BTreeMap::new() }
    }

    /// The circumstances, for policy.
    pub(super) fn context(&self) -> BTreeMap<String, Value> {
        self.asked.as_ref().map_or_else(|| self.unread.clone(), |asked| asked.context.clone())
    }

    /// What is mounted of the host.
    pub(super) fn mounts(&self) -> &[HostMount] {
        self.asked.as_ref().map_or(&[], |asked| &asked.mounts)
    }

    /// What it names.
    pub(super) fn names(&self) -> Names {
        self.asked.as_ref().map_or_else(Names::default, |asked| Names {
            networks: asked.networks.clone(),
            containers: asked.containers.clone(),
            volumes: asked.volumes.clone(),
        })
    }

    /// The image that is to run, as the caller writes it.
    pub(super) fn image(&self) -> Option<&str> {
        self.asked.as_ref().and_then(|asked| asked.image.as_deref())
    }

    /// Counts mounts and risks as if they stood in the body.
    pub(super) fn also(&mut self, mounts: Vec<HostMount>, risks: Vec<Risk>) {
        let Some(asked) = &mut self.asked else { return };
        let sources = mounts.iter().map(|mount| mount.path.clone()).collect::<Vec<_>>();
        add(&mut asked.context, "bindSources", sources);
        add(&mut asked.context, "risks", risks.iter().map(|risk| risk.as_str().to_owned()));
        asked.mounts.extend(mounts);
    }

    /// The labels of its image, which the new container gets where it sets none of its own. Those that
    /// Sealock acts on count as if they stood in the body; who made the image is none of them.
    pub(super) fn inherits(&mut self, labels: &BTreeMap<String, String>) {
        let Some(asked) = &mut self.asked else { return };
        let new = labels.iter().filter(|(key, _)| !asked.labels.contains_key(*key));
        self.inherited = new.map(|(key, value)| (key.clone(), value.clone())).collect();
        let acted_on = |key: &&String| {
            body::is_ours(key) && ![OWNER_LABEL, IMAGE_OWNER_LABEL].contains(&key.as_str())
        };
        let keys: Vec<String> = self.inherited.keys().filter(acted_on).cloned().collect();
        if !keys.is_empty() {
            add(&mut asked.context, "risks", [Risk::SealockLabels.as_str().to_owned()]);
        }
        add(&mut asked.context, "labelKeys", keys);
    }

    /// Puts on it what the gateway puts on everything of this kind.
    pub(super) fn stamp(&mut self, stamp: &Stamp) -> Result<(), Failure> {
        self.asked.as_mut().map_or(Ok(()), |asked| asked.stamp(stamp)).map_err(failure)
    }

    /// The name of the network or volume that is to be made.
    pub(super) fn name(&self) -> Option<&str> {
        self.asked.as_ref()?.name.as_deref()
    }

    /// Names something by its id from here on.
    pub(super) fn pin(&mut self, field: Pinned, id: &str) {
        if let Some(asked) = &mut self.asked {
            asked.pin(field, id);
        }
    }

    /// Says by its id which network a name in the body stands for.
    pub(super) fn pin_network(&mut self, name: &str, id: &str) {
        if let Some(asked) = &mut self.asked {
            asked.pin_network(name, id);
        }
    }

    /// Names by its id a container that the new one shares something with.
    pub(super) fn pin_joined(&mut self, name: &str, id: &str) {
        if let Some(asked) = &mut self.asked {
            asked.pin_joined(name, id);
        }
    }

    /// A number at the root of the body.
    pub(super) fn number(&self, key: &str) -> Option<i64> {
        self.asked.as_ref()?.number(key)
    }

    /// Sets a parameter of a query that is read with the body.
    pub(super) fn set_query(&mut self, name: &str, value: &str) {
        if let Some(asked) = &mut self.asked {
            asked.set_query(name, value);
        }
    }

    /// A parameter of a query that is read with the body; empty where it is not there.
    pub(super) fn query_value(&self, name: &str) -> &str {
        let pairs = self.asked.as_ref().map_or(&[][..], Asked::query);
        pairs.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// Takes a parameter out of such a query.
    pub(super) fn remove_query(&mut self, name: &str) {
        if let Some(asked) = &mut self.asked {
            asked.remove_query(name);
        }
    }

    /// The context of a build, as it comes. Something has to take its place.
    pub(super) fn take_context(&mut self) -> Option<Incoming> {
        self.context.take()
    }

    pub(super) fn set_stream(&mut self, stream: RequestBody) {
        self.stream = Some(stream);
    }

    /// A body that was not read: what is asked then is whether anything of the kind could be permitted.
    pub(super) fn unread(action: Action) -> Self {
        let empty =
            [("risks", Value::Array(Vec::new())), ("unknownFields", Value::Array(Vec::new()))];
        let context = match body::kind(action) {
            Some(BodyKind::Settings) => empty.map(|(key, value)| (key.to_owned(), value)).into(),
            _ if action == Action::DockerImageBuild => {
                empty.map(|(key, value)| (key.to_owned(), value)).into()
            }
            _ => BTreeMap::new(),
        };
        Self { unread: context, ..Self::new(None, None) }
    }

    /// A limit that the body asks for.
    pub(super) fn limit(&self, name: &str) -> Option<i64> {
        self.asked.as_ref()?.context.get(name)?.as_i64()
    }

    /// The resource, with what the body says of one that is to be made.
    pub(super) fn named(&self, resource: Resource) -> Resource {
        match resource {
            Resource::Container(mut facts) if facts.id.is_empty() => {
                if let Some(image) = self.image() {
                    image.clone_into(&mut facts.image);
                }
                facts.labels.extend(self.inherited.clone());
                facts.labels.extend(self.labels());
                // Not one that only its image claims.
                facts.owner = self.labels().get(OWNER_LABEL).cloned();
                Resource::Container(facts)
            }
            Resource::DockerNetwork(facts) if facts.id.is_empty() => {
                Resource::DockerNetwork(self.filled(facts))
            }
            Resource::DockerVolume(facts) if facts.id.is_empty() => {
                Resource::DockerVolume(self.filled(facts))
            }
            other => other,
        }
    }

    fn filled(&self, mut facts: ObjectFacts) -> ObjectFacts {
        if let Some(name) = self.asked.as_ref().and_then(|asked| asked.name.as_ref()) {
            facts.name.clone_from(name);
        }
        facts.labels.extend(self.labels());
        facts.owner = facts.labels.get(OWNER_LABEL).cloned();
        facts
    }

    fn labels(&self) -> BTreeMap<String, String> {
        self.asked.as_ref().map(|asked| asked.labels.clone()).unwrap_or_default()
    }

    /// The query that is forwarded, where it was read with the body.
    pub(super) fn query(&self) -> Option<&[(String, String)]> {
        self.asked.as_ref().map(Asked::query)
    }

    /// Whether the body that is forwarded was written by us.
    pub(super) fn is_json(&self) -> bool {
        self.stream.is_none()
            && self.context.is_none()
            && self.asked.as_ref().is_some_and(|asked| !asked.body().is_empty())
    }

    /// The body that is forwarded.
    pub(super) fn into_body(self) -> RequestBody {
        match (self.stream.or(self.context.map(RequestBody::from)), self.asked) {
            (Some(stream), _) => stream,
            (None, Some(asked)) => RequestBody::from(Bytes::from(asked.body())),
            (None, None) => RequestBody::empty(),
        }
    }
}

/// Adds texts to a set of the context, where the operation has that set.
pub(super) fn add(
    context: &mut BTreeMap<String, Value>,
    set: &str,
    texts: impl IntoIterator<Item = String>,
) {
    let mut texts = texts.into_iter().peekable();
    if texts.peek().is_none() {
        return;
    }
    let there = context.entry(set.to_owned()).or_insert_with(|| Value::Array(Vec::new()));
    if let Value::Array(items) = there {
        let mut all: BTreeSet<String> =
            items.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        all.extend(texts);
        *items = all.into_iter().map(Value::String).collect();
    }
}

/// Reads the body as its operation has it.
pub(super) async fn read(
    routed: &Routed,
    headers: &HeaderMap,
    body: Incoming,
) -> Result<Content, Failure> {
    let limits = Limits::default();
    match body::kind(routed.action()) {
        // The bytes after such a request are the stream, and no body.
        Some(BodyKind::Stream) if routed.route().hijack != Hijack::Never => {
            if !gather(body, limits).await?.is_empty() {
                return Err(Failure::bad("this request takes no body"));
            }
            Ok(Content::new(None, Some(RequestBody::empty())))
        }
        Some(BodyKind::Stream) if routed.action() == Action::DockerImageBuild => {
            refuse_forms(headers, true)?;
            let asked = asked(routed, &[], limits)?;
            Ok(Content { context: Some(body), ..Content::new(Some(asked), None) })
        }
        Some(BodyKind::Stream) => {
            refuse_forms(headers, true)?;
            Ok(Content::new(None, Some(RequestBody::from(body))))
        }
        Some(_) => {
            refuse_forms(headers, false)?;
            let bytes = gather(body, limits).await?;
            Ok(Content::new(Some(asked(routed, &bytes, limits)?), None))
        }
        None => Err(Failure::bad("this is no operation of the engine")),
    }
}

fn asked(routed: &Routed, bytes: &[u8], limits: Limits) -> Result<Asked, Failure> {
    body::read(routed.action(), None, &routed.pairs(), bytes, limits).map_err(failure)
}

fn failure(error: BodyError) -> Failure {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
    Failure::new(status, error.to_string())
}

/// The type of a body, in small letters and without its parameters: the engine reads even one whose parameters it
/// cannot read. Of several it takes the first; here a form among them counts. `None` where one cannot be read.
pub(super) fn content_type(headers: &HeaderMap) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/+.-".contains(&byte);
    let mut first = None;
    for kind in headers.get_all(CONTENT_TYPE) {
        let kind = kind.to_str().ok()?;
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if !kind.bytes().all(plain) {
            return None;
        }
        if kind.contains("form") {
            return Some(kind);
        }
        first.get_or_insert(kind);
    }
    Some(first.unwrap_or_default())
}

/// dockerd lets the fields of a form take the place of the query's.
fn refuse_forms(headers: &HeaderMap, is_archive: bool) -> Result<(), Failure> {
    let Some(kind) = content_type(headers) else {
        return Err(Failure::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the type of the body (Content-Type) cannot be read",
        ));
    };
    match kind.as_str() {
        "" | "application/json" | "text/plain" => Ok(()),
        other if is_archive && !other.contains("form") => Ok(()),
        other => Err(Failure::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("a body of the type {other:?} is not taken here; send application/json"),
        )),
    }
}

/// What is longer than is read is refused, never passed on unread.
async fn gather(body: Incoming, limits: Limits) -> Result<Bytes, Failure> {
    match Limited::new(body, limits.bytes).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Failure::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("a body of more than {} bytes is not read, and so not passed on", limits.bytes),
        )),
        Err(_) => Err(Failure::bad("the body of the request broke off")),
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn a_form_is_one_however_it_is_written() {
        let read = |values: &[&[u8]]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CONTENT_TYPE, HeaderValue::from_bytes(value).unwrap());
            }
            let refused = refuse_forms(&headers, true).is_err();
            (content_type(&headers), refused)
        };
        let form = "application/x-www-form-urlencoded";
        let is = |text: &str, refused| (Some(text.to_owned()), refused);
        assert_eq!(read(&[]), is("", false));
        assert_eq!(read(&[b"Application/X-Tar; a=b"]), is("application/x-tar", false));
        // As bollard sends them with an import.
        let two: [&[u8]; 2] = [b"application/json", b"application/x-tar"];
        assert_eq!(read(&two), is("application/json", false));
        assert_eq!(read(&[b"application/x-www-form-urlencoded"]), is(form, true));
        assert_eq!(
            read(&[b"application/json", b"Application/X-WWW-Form-Urlencoded"]),
            is(form, true)
        );
        assert_eq!(read(&[b"application/x-www-form-urlencoded; a=\xff"]), (None, true));
        assert_eq!(read(&[b"application/x-tar", b"\xff"]), (None, true));
        assert_eq!(read(&[b"application/x www-form"]), (None, true));
    }
}
