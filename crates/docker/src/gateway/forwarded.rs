//! The request that is forwarded in a client's place: written from what was decided on.

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, Request, Uri};
use sealock_core::policy::Action;
use sealock_net::proxy::RequestBody;

use super::answer::Failure;
use super::content::{self, Content};
use crate::route::Routed;

/// Headers that say something to the engine; all others end here. The type of the body is written anew.
fn passes(name: &str) -> bool {
    matches!(
        name,
        "accept"
            | "user-agent"
            | "x-registry-auth"
            | "x-registry-config"
            | "if-none-match"
            | "upgrade"
            | "sec-websocket-key"
            | "sec-websocket-version"
            | "sec-websocket-protocol"
            | "sec-websocket-extensions"
            | "origin"
            | "expect"
    ) || name.starts_with(PASSED_PREFIX)
}

/// BuildKit speaks with its client through headers of its own.
const PASSED_PREFIX: &str = "x-docker-expose-session-";

fn pass(from: &HeaderMap, to: &mut HeaderMap) {
    for (name, value) in from.iter().filter(|(name, _)| passes(name.as_str())) {
        to.append(name.clone(), value.clone());
    }
}

/// A request of which nothing has to be read but its target.
pub(super) fn bare(
    method: Method,
    routed: &Routed,
    headers: &HeaderMap,
) -> Result<Request<RequestBody>, Failure> {
    let mut request = Request::new(RequestBody::empty());
    *request.method_mut() = method;
    *request.uri_mut() = uri(routed.target())?;
    pass(headers, request.headers_mut());
    Ok(request)
}

/// What the table writes is always a target.
fn uri(target: String) -> Result<Uri, Failure> {
    Uri::from_maybe_shared(Bytes::from(target)).map_err(|_| Failure::bad("no such page"))
}

/// The request with its content.
pub(super) fn whole(
    method: Method,
    routed: &Routed,
    headers: &HeaderMap,
    content: Content,
    import: Option<Vec<(String, String)>>,
) -> Result<Request<RequestBody>, Failure> {
    // A build and a commit say in their query what they want, and are stamped there.
    let is_in_query =
        matches!(routed.action(), Action::DockerImageBuild | Action::DockerImageCommit);
    let target = match (import, content.query()) {
        (Some(query), _) => routed.target_with(&query),
        (None, Some(query)) if is_in_query => routed.target_with(query),
        _ => routed.target(),
    };
    let is_json = content.is_json();
    let mut request = Request::new(content.into_body());
    *request.method_mut() = method;
    *request.uri_mut() = uri(target)?;
    let kind = content::content_type(headers).filter(|kind| !kind.contains("form"));
    if let Some(kind) = kind.filter(|kind| !kind.is_empty()) {
        let kind = HeaderValue::from_str(&kind).map_err(|_| Failure::bad("no such type"))?;
        request.headers_mut().insert(CONTENT_TYPE, kind);
    }
    pass(headers, request.headers_mut());
    // Where the client sent nothing, which says the same as the `{}` that is sent in its place.
    if is_json && !request.headers().contains_key(CONTENT_TYPE) {
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, json);
    }
    Ok(request)
}
