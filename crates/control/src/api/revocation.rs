//! Revocation lists, OCSP and our own certificates for everybody, over HTTP without TLS: what is served is signed
//! or public, and whoever checks a certificate cannot be asked to check another one first (RFC 5280 §8).
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /crl/ISSUER.crl` | an issuer's revocation list, DER |
//! | `GET /crl/ISSUER-delta.crl` | what came since its base, DER |
//! | `GET /ca/ISSUER.crt` | an issuer's certificate, DER |
//! | `POST /ocsp`, `GET /ocsp/BASE64` | an OCSP response (RFC 6960 appendix A) |
//! | `GET /healthz` | that it answers |
//!
//! It is there before the authority's keys are, and while they are locked: then what is stored is served, until
//! its `nextUpdate`; but a list that lacks a revocation is not (503): its client would take what is revoked for good.
//! Nothing else of the daemon is behind this door.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use hyper::header::{
    ALLOW, CACHE_CONTROL, ETAG, EXPIRES, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH,
    LAST_MODIFIED, RETRY_AFTER,
};
use hyper::{Method, Request, Response, StatusCode};
use sealock_authority::{IssuerId, LARGEST_OCSP, OcspAnswer, OcspRequest, ocsp_from_path};
use sealock_core::Timestamp;
use sealock_net::{
    Incoming, Limits, Place, Places, Shares, Shutdown, accept_with, descriptors, serve_http,
};
use time::format_description::FormatItem;
use time::macros::format_description;
use tokio::net::TcpStream;

use super::ApiListener;
use super::body::{self, OutBody};
use super::routes::blocking;
use crate::error::{ErrorCode, ServiceError};
use crate::service::{Service, WhichList};

/// Connections at once.
const CONNECTIONS: usize = 10_000;
/// A date of HTTP (RFC 9110 §5.6.7).
const HTTP_DATE: &[FormatItem<'_>] = format_description!(
    "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
);

/// When a list that is held back may be asked for again, in seconds.
const TRY_AGAIN: u64 = 60;

const OCSP: &str = "/ocsp";
const CRL_TYPE: &str = "application/pkix-crl";
const CERTIFICATE_TYPE: &str = "application/pkix-cert";
const OCSP_TYPE: &str = "application/ocsp-response";

/// Serves until the shutdown signal, then drains.
pub(crate) async fn serve_revocation(
    bound: ApiListener,
    service: Arc<Service>,
    shutdown: Shutdown,
) {
    let limits = Limits::default();
    let shares = Shares::of((descriptors() / 8).min(CONNECTIONS));
    // Nobody ever says who it is here.
    let places = Places::new(Shares { strangers: shares.all, ..shares });
    let door = Arc::new(Door { service });
    let end = shutdown.clone();
    let serve = move |stream: TcpStream, _: SocketAddr, _: Place| {
        let (door, end) = (Arc::clone(&door), end.clone());
        async move {
            serve_http(stream, limits, end, |request| {
                let door = Arc::clone(&door);
                async move { door.answer(request).await }
            })
            .await;
        }
    };
    accept_with("revocation", bound.listener, places, limits.drain, shutdown, serve).await;
}

struct Door {
    service: Arc<Service>,
}

impl Door {
    async fn answer(&self, request: Request<Incoming>) -> Response<OutBody> {
        let path = request.uri().path();
        let (mut response, head) = if path == OCSP && request.method() == Method::POST {
            (self.posted(request).await, false)
        } else if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let status = StatusCode::METHOD_NOT_ALLOWED;
            let mut refused =
                body::whole(status, "text/plain", "that method is not for this path\n");
            let allowed = if path == OCSP { "POST" } else { "GET, HEAD" };
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
            (refused, false)
        } else {
            let head = request.method() == Method::HEAD;
            (self.got(path, request.headers()).await, head)
        };
        if head {
            *response.body_mut() = body::empty();
        }
        response
    }

    async fn got(&self, path: &str, headers: &HeaderMap) -> Response<OutBody> {
        let found = if path == "/healthz" {
            Ok(Some(body::whole(StatusCode::OK, "application/json", r#"{"status":"ok"}"#)))
        } else if let Some(request) = path.strip_prefix("/ocsp/") {
            Ok(Some(self.ocsp(ocsp_from_path(request).map(Bytes::from)).await))
        } else if let Some(name) = path.strip_prefix("/crl/") {
            self.list(name, headers).await
        } else if let Some(name) = path.strip_prefix("/ca/") {
            self.certificate(name).await
        } else {
            Ok(None)
        };
        match found {
            Ok(Some(response)) => response,
            Ok(None) => {
                body::whole(StatusCode::NOT_FOUND, "text/plain", "there is no such thing here\n")
            }
            Err(error) => {
                // Strangers ask, so it is not said for each of them; the daemon's own rounds say it.
                tracing::debug!(%error, causes = ?error.causes, "a list cannot be served");
                let held = error.code == ErrorCode::Unavailable;
                let status = match held {
                    true => StatusCode::SERVICE_UNAVAILABLE,
                    false => StatusCode::INTERNAL_SERVER_ERROR,
                };
                let mut refused = body::whole(status, "text/plain", "this cannot be served now\n");
                if held {
                    refused.headers_mut().insert(RETRY_AFTER, HeaderValue::from(TRY_AGAIN));
                }
                refused
            }
        }
    }

    async fn posted(&self, request: Request<Incoming>) -> Response<OutBody> {
        let body = body::read(request.into_body(), LARGEST_OCSP).await;
        self.ocsp(body.map_err(|_| sealock_authority::OcspError::TooLarge)).await
    }

    /// Every answer is 200: what is wrong is said in the response itself (RFC 6960 §2.3).
    async fn ocsp(
        &self,
        request: Result<Bytes, sealock_authority::OcspError>,
    ) -> Response<OutBody> {
        let request = request.and_then(|der| OcspRequest::read(&der));
        let answer = match request {
            Err(_) => OcspAnswer::malformed(),
            Ok(request) => self.said(request).await,
        };
        let mut response = body::whole(StatusCode::OK, OCSP_TYPE, Bytes::from_owner(answer.der));
        if let Some((from, until)) = answer.good {
            keep(response.headers_mut(), self.now(), from, until);
        }
        response
    }

    async fn said(&self, request: OcspRequest) -> OcspAnswer {
        if !self.service.config().settings.revocation.ocsp {
            return OcspAnswer::unauthorized();
        }
        let authority = self.service.opened_authority();
        if let Some(ready) = authority.as_ref().and_then(|it| it.ocsp_ready(&request)) {
            return ready;
        }
        let published = self.service.published();
        let work = blocking(move || {
            let said = match authority {
                Some(authority) => authority.ocsp(&request),
                None => published.ocsp(&request),
            };
            said.map_err(|error| ServiceError::of(ErrorCode::State, &error))
        });
        work.await.unwrap_or_else(|error| {
            tracing::debug!(%error, causes = ?error.causes, "OCSP cannot be answered");
            OcspAnswer::internal_error()
        })
    }

    async fn list(
        &self,
        name: &str,
        headers: &HeaderMap,
    ) -> Result<Option<Response<OutBody>>, ServiceError> {
        let Some(name) = name.strip_suffix(".crl") else { return Ok(None) };
        let (id, delta) = match name.strip_suffix("-delta") {
            Some(id) => (id, true),
            None => (name, false),
        };
        let Ok(issuer) = id.parse() else { return Ok(None) };
        let found = self.service.list_to_send(WhichList { issuer, delta }).await?;
        let Some(found) = found else { return Ok(None) };
        let tag = format!("\"{}{}\"", found.number, if delta { "d" } else { "" });
        let unchanged = headers.get(IF_NONE_MATCH).is_some_and(|known| known == tag.as_str());
        let mut response = if unchanged {
            let mut response = body::whole(StatusCode::NOT_MODIFIED, CRL_TYPE, Bytes::new());
            response.headers_mut().remove(hyper::header::CONTENT_TYPE);
            response
        } else {
            body::whole(StatusCode::OK, CRL_TYPE, found.der.clone())
        };
        let (from, until) = found.good;
        keep(response.headers_mut(), self.now(), from, until);
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            response.headers_mut().insert(ETAG, tag);
        }
        Ok(Some(response))
    }

    async fn certificate(&self, name: &str) -> Result<Option<Response<OutBody>>, ServiceError> {
        let issuer = name.strip_suffix(".crt").and_then(|id| id.parse::<IssuerId>().ok());
        let Some(issuer) = issuer else { return Ok(None) };
        let published = self.service.published();
        let work = move || {
            published
                .certificate(issuer)
                .map_err(|error| ServiceError::of(ErrorCode::State, &error))
        };
        let found = blocking(work).await?;
        Ok(found.map(|der| {
            let mut response = body::whole(StatusCode::OK, CERTIFICATE_TYPE, der);
            let day = HeaderValue::from_static("public, max-age=86400");
            response.headers_mut().insert(CACHE_CONTROL, day);
            response
        }))
    }

    fn now(&self) -> Timestamp {
        self.service.journal().clock().now()
    }
}

/// How long an answer may be kept by whoever passes it on (RFC 5019 §6.2): never beyond `nextUpdate`.
fn keep(headers: &mut HeaderMap, now: Timestamp, from: Timestamp, until: Timestamp) {
    let mut date = |name: HeaderName, moment: Timestamp| {
        let text = moment.to_offset().format(HTTP_DATE).ok();
        if let Some(value) = text.and_then(|text| HeaderValue::from_str(&text).ok()) {
            headers.insert(name, value);
        }
    };
    date(LAST_MODIFIED, from);
    date(EXPIRES, until);
    // Some minutes only: what is revoked meanwhile should be seen.
    let left = until.since(now).as_secs().min(300);
    let text = format!("max-age={left}, public, no-transform, must-revalidate");
    if let Ok(value) = HeaderValue::from_str(&text) {
        headers.insert(CACHE_CONTROL, value);
    }
}
