//! The doors: `admin.sock` for this host, HTTPS for others, `workload.sock` for containers. All serve the same.
//!
//! | request | answer | who |
//! | --- | --- | --- |
//! | `POST /v1/call` | a [`Command`] as JSON gets a [`Reply`] as JSON | policy decides |
//! | `GET /v1/audit/follow?after=N` | audit records as JSON lines, as they happen | policy decides |
//! | `GET /v1/traffic/feed?service=NAME` | what its Gatekeeper decides by, and every change, as JSON lines | policy decides |
//! | `GET /v1/traffic/services` | the services that the caller may call, and every change, as JSON lines; also for a client that shows its secret by Basic | policy decides of each |
//! | `GET /metrics` | OpenMetrics text | policy decides (`Status::Read`) |
//! | `GET /healthz` | that the daemon answers | everybody |
//! | `GET /ca.crt` | the trust bundle, PEM | everybody |
//! | `GET /crl/ISSUER.crl` | an issuer's revocation list, DER; `ISSUER-delta.crl` its delta | everybody |
//! | `POST /oauth/token`, `/oauth/introspect`, `/oauth/revoke` | OAuth 2, see [`sealock_traffic::oauth`] | policy decides |
//! | `POST /oauth/device_authorization` | begins a person's login (RFC 8628) | everybody, a few at a time |
//! | `POST /oauth/enroll` | a person's certificate | who has a code, or the certificate that is renewed |
//! | `GET /login` | what to do with a login's code | everybody |
//! | `GET /oauth/jwks`, `/.well-known/…` | the keys of tokens, and where all is | everybody |
//!
//! Errors are `application/problem+json` (RFC 9457) with the fields of [`ServiceError`]. What everybody gets
//! is what stands in every certificate's chain anyway.

mod acme;
mod body;
mod by_secret;
mod endpoints;
mod feed;
mod https;
mod oauth;
mod oauth_login;
mod problem;
mod revocation;
mod routes;
mod services;
mod socket;
mod streams;

pub use endpoints::{ENDPOINTS, Endpoint, Who};
pub(crate) use https::identified;
pub(crate) use https::serve_acme;
pub use https::{ApiListener, bind_api, serve_api};
pub use problem::{error_of, problem};
pub(crate) use revocation::serve_revocation;
pub(crate) use routes::Routes;
pub use socket::{bind_socket, serve_socket};
pub(crate) use streams::Streams;

#[cfg(doc)]
use crate::{Command, Reply, ServiceError};

/// Where commands are posted to.
pub(crate) const CALL: &str = "/v1/call";
/// Where Gatekeepers hear what they decide by.
pub(crate) const FEED: &str = "/v1/traffic/feed";
/// Where Forwarders hear which services there are.
pub(crate) const SERVICES: &str = "/v1/traffic/services";
/// Where the audit log is followed.
pub(crate) const FOLLOW: &str = "/v1/audit/follow";
