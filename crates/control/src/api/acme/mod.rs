//! The ACME server (RFC 8555): from a path and a signed body to an answer.
//!
//! Every request but those for the directory, a nonce and renewal information is a JWS. It is read, its nonce used up and its
//! signature checked before anything else is looked at. URLs are made from the `Host` that was asked, which must be a name
//! of this door: a request that was signed for another server is good for nothing here (RFC 8555 §6.4).

mod account;
mod order;
mod show;

use std::sync::Arc;

use bytes::Bytes;
use hyper::header::{
    ALLOW, CONTENT_TYPE, HOST, HeaderName, HeaderValue, LINK, LOCATION, RETRY_AFTER,
};
use hyper::http::uri::Authority;
use hyper::{Method, Request, Response, StatusCode};
use sealock_acme::jwk::Jwk;
use sealock_acme::jws::{self, Signer};
use sealock_acme::problem::{self, AcmeProblem};
use sealock_acme::state::Account;
use sealock_core::SubjectName;
use sealock_net::Incoming;

use super::body::{self, OutBody};
use super::routes::Routes;
use crate::acme::AcmeServer;
use crate::service::{Service, new_request_id};

/// What all of its paths begin with.
pub(super) const PREFIX: &str = "/acme/";
const NONCE: HeaderName = HeaderName::from_static("replay-nonce");
/// A nonce is for one request.
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// An answer, before it is one.
struct Said {
    status: StatusCode,
    kind: &'static str,
    body: Vec<u8>,
    location: Option<String>,
    links: Vec<String>,
    retry_after: Option<u64>,
}

impl Said {
    fn json(status: StatusCode, document: &impl serde::Serialize) -> Self {
        Self {
            status,
            kind: "application/json",
            body: serde_json::to_vec(document).unwrap_or_default(),
            location: None,
            links: Vec::new(),
            retry_after: None,
        }
    }

    fn at(self, location: String) -> Self {
        Self { location: Some(location), ..self }
    }

    fn link(mut self, target: &str, relation: &str) -> Self {
        self.links.push(format!("<{target}>;rel=\"{relation}\""));
        self
    }

    fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }
}

/// A request that was signed, with what its signature says.
struct Asked {
    service: Arc<Service>,
    server: Arc<AcmeServer>,
    /// Of the audit log.
    id: String,
    /// What URLs begin with.
    base: String,
    /// The whole URL.
    url: String,
    payload: Vec<u8>,
    by: By,
}

/// By whom it was signed.
enum By {
    Account(Box<Account>),
    /// A key that came with it.
    Key(Jwk),
}

impl Asked {
    /// The account that has signed; most requests want one.
    fn account(&self) -> Result<&Account, AcmeProblem> {
        match &self.by {
            By::Account(account) => Ok(account),
            By::Key(_) => {
                Err(AcmeProblem::malformed("this request is signed with an account (`kid`)"))
            }
        }
    }

    /// The key that came with it.
    fn key(&self) -> Result<&Jwk, AcmeProblem> {
        match &self.by {
            By::Key(key) => Ok(key),
            By::Account(_) => {
                Err(AcmeProblem::malformed("this request is signed with a key of its own (`jwk`)"))
            }
        }
    }

    /// That an account only asks for a resource (RFC 8555 §6.3).
    fn is_post_as_get_of_account(&self) -> Result<(), AcmeProblem> {
        self.account()?;
        self.is_post_as_get()
    }

    /// That it only asks for a resource (RFC 8555 §6.3).
    fn is_post_as_get(&self) -> Result<(), AcmeProblem> {
        if self.payload.is_empty() {
            return Ok(());
        }
        Err(AcmeProblem::malformed("this resource is asked for with an empty payload"))
    }
}

impl Routes {
    /// Answers at one of the paths.
    pub(super) async fn acme(&self, request: Request<Incoming>) -> Response<OutBody> {
        let is_on = self.service.config().settings.acme.enabled;
        let Some(server) = self.acme.clone().filter(|_| is_on) else {
            return refused(&AcmeProblem::not_found());
        };
        let outcome = self.acme_answer(&server, request).await;
        let code = outcome.as_ref().err().map(|_| crate::error::ErrorCode::Failed);
        self.service.metrics().command("acme", code);
        let mut response = match outcome {
            Ok((said, base)) => answer(said, &base),
            Err(problem) => refused(&problem),
        };
        if let Ok(nonce) = HeaderValue::try_from(server.nonces.fresh()) {
            response.headers_mut().insert(NONCE, nonce);
        }
        response
    }

    async fn acme_answer(
        &self,
        server: &Arc<AcmeServer>,
        request: Request<Incoming>,
    ) -> Result<(Said, String), AcmeProblem> {
        let base = base(server, &request)?;
        let path = request.uri().path().to_owned();
        let rest = path.strip_prefix(PREFIX).unwrap_or_default().to_owned();
        let method = request.method().clone();
        let is_read = method == Method::GET || method == Method::HEAD;
        match rest.as_str() {
            "directory" if is_read => {
                let settings = &self.service.config().settings.acme;
                let said = Said::json(StatusCode::OK, &show::directory(&base, settings));
                return Ok((said, base));
            }
            "new-nonce" if is_read => {
                let status =
                    if method == Method::HEAD { StatusCode::OK } else { StatusCode::NO_CONTENT };
                let said = Said { body: Vec::new(), ..Said::json(status, &()) };
                return Ok((said, base));
            }
            _ => {}
        }
        if let Some(id) = rest.strip_prefix("renewal-info/").filter(|_| is_read) {
            let (service, id) = (Arc::clone(&self.service), id.to_owned());
            let said = off_runtime(move || order::renewal_info(&service, &id)).await?;
            return Ok((said, base));
        }
        if method != Method::POST {
            return Err(AcmeProblem::malformed("that method is not for this path").with_status(405));
        }
        let is_jose = |value: &HeaderValue| value.as_bytes() == jws::CONTENT_TYPE.as_bytes();
        if !request.headers().get(CONTENT_TYPE).is_some_and(is_jose) {
            let text = format!("a request's body is {}", jws::CONTENT_TYPE);
            return Err(AcmeProblem::malformed(text).with_status(415));
        }
        let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
        let url = format!("{base}{path}{query}");
        let bytes = body::read(request.into_body(), jws::MAXIMUM_REQUEST + 1)
            .await
            .map_err(|error| AcmeProblem::malformed(error.message))?;
        let (service, server) = (Arc::clone(&self.service), Arc::clone(server));
        let own = base.clone();
        // A look at a challenge begins on the runtime.
        let runtime = tokio::runtime::Handle::current();
        let said = off_runtime(move || {
            let _entered = runtime.enter();
            let asked = verified(service, server, own, url, &bytes)?;
            lead(&asked, &rest, &query)
        });
        Ok((said.await?, base))
    }
}

/// Away from the runtime's threads: signatures are checked, and the disk is waited for.
async fn off_runtime<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AcmeProblem> + Send + 'static,
) -> Result<T, AcmeProblem> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        tracing::error!(%error, "work ended unexpectedly");
        Err(AcmeProblem::server_internal())
    })
}

/// What was signed, and by whom. The nonce goes first: what was sent before costs nothing.
fn verified(
    service: Arc<Service>,
    server: Arc<AcmeServer>,
    base: String,
    url: String,
    bytes: &Bytes,
) -> Result<Asked, AcmeProblem> {
    let read = jws::Request::read(bytes)?;
    read.expect_url(&url)?;
    server.nonces.redeem(read.nonce())?;
    let by = match read.signer() {
        Signer::Jwk(key) => {
            read.verify(key)?;
            By::Key(key.clone())
        }
        Signer::Kid(kid) => {
            let prefix = format!("{base}{PREFIX}account/");
            let id = kid.strip_prefix(prefix.as_str()).ok_or_else(|| {
                AcmeProblem::new(
                    problem::ErrorKind::AccountDoesNotExist,
                    "`kid` is not the URL of an account here",
                )
            })?;
            let account = service.acme_account(id)?;
            read.verify(&account.key)?;
            By::Account(Box::new(account))
        }
    };
    let payload = read.payload().to_vec();
    let id = new_request_id().map_err(|_| AcmeProblem::server_internal())?;
    Ok(Asked { service, server, id, base, url, payload, by })
}

/// To what is at a path.
fn lead(asked: &Asked, rest: &str, query: &str) -> Result<Said, AcmeProblem> {
    let parts: Vec<&str> = rest.split('/').collect();
    match parts.as_slice() {
        // They can be asked for without an account, and with one (RFC 8555 §6.3).
        ["directory"] => {
            asked.is_post_as_get_of_account()?;
            let settings = &asked.service.config().settings.acme;
            Ok(Said::json(StatusCode::OK, &show::directory(&asked.base, settings)))
        }
        ["new-nonce"] => {
            asked.is_post_as_get_of_account()?;
            Ok(Said { body: Vec::new(), ..Said::json(StatusCode::NO_CONTENT, &()) })
        }
        ["new-account"] => account::make(asked),
        ["key-change"] => account::change_key(asked),
        ["account", id] => account::update(asked, id),
        ["account", id, "orders"] => order::list(asked, id, query),
        ["new-order"] => order::make(asked),
        ["order", id] => order::show(asked, id),
        ["order", id, "finalize"] => order::finalize(asked, id),
        ["authorization", id] => order::authorization(asked, id),
        ["challenge", id, kind] => order::challenge(asked, id, kind),
        ["certificate", serial] => order::certificate(asked, serial),
        ["revoke-cert"] => order::revoke(asked),
        _ => Err(AcmeProblem::not_found()),
    }
}

/// What URLs begin with: the name by which this door was asked, which must be one of its own.
fn base(server: &AcmeServer, request: &Request<Incoming>) -> Result<String, AcmeProblem> {
    let header = || request.headers().get(HOST)?.to_str().ok()?.parse().ok();
    let asked: Option<Authority> = request.uri().authority().cloned().or_else(header);
    let asked = asked.filter(|asked| !asked.as_str().contains('@'));
    let name = asked.as_ref().and_then(|asked| {
        let host = asked.host().trim_start_matches('[').trim_end_matches(']');
        SubjectName::ip(host).or_else(|_| SubjectName::dns(host)).ok()
    });
    match asked.filter(|_| name.is_some_and(|name| server.names.contains(&name))) {
        Some(asked) => Ok(format!("https://{}", asked.as_str().to_ascii_lowercase())),
        None => {
            let text = "`Host` is not a name of this server; `api.names` (or `acme.names`) in its settings adds some";
            Err(AcmeProblem::malformed(text).with_status(421))
        }
    }
}

fn answer(said: Said, base: &str) -> Response<OutBody> {
    let Said { status, kind, body, location, links, retry_after } = said;
    let mut response = body::whole(status, kind, body);
    let headers = response.headers_mut();
    headers.insert(hyper::header::CACHE_CONTROL, NO_STORE);
    if let Some(location) = location.and_then(|it| HeaderValue::try_from(it).ok()) {
        headers.insert(LOCATION, location);
    }
    let index = format!("<{base}{PREFIX}directory>;rel=\"index\"");
    for link in links.into_iter().chain([index]) {
        if let Ok(link) = HeaderValue::try_from(link) {
            headers.append(LINK, link);
        }
    }
    if let Some(seconds) = retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn refused(problem: &AcmeProblem) -> Response<OutBody> {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = body::whole(status, problem::CONTENT_TYPE, problem.to_json());
    let headers = response.headers_mut();
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("POST"));
    }
    if let Some(after) = problem.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
    }
    response
}
