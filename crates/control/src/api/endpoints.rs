//! All that there is at the doors: the router goes by this table, and so does the test that asks at each of them as
//! somebody who may not.

use hyper::Method;
use sealock_traffic::oauth::{DEVICE, ENDPOINTS as OAUTH, ENROL, VERIFICATION};

use super::{CALL, FEED, FOLLOW, SERVICES};

/// Who gets an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Everybody: what stands in every certificate's chain anyway, or where to begin.
    Everybody,
    /// Whom policy lets, once it is known who it is.
    Policy,
    /// Who it is is known, and policy decides of each thing in the answer.
    Known,
    /// Who shows a secret, a certificate or a code in the request itself.
    Proof,
}

/// What is at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Call,
    Follow,
    Feed,
    Services,
    Metrics,
    Health,
    Bundle,
    Crl,
    Acme,
    Oauth(OauthWhat),
}

/// What of OAuth is at a place; its errors have a form of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OauthWhat {
    Token,
    Introspect,
    Revoke,
    Keys,
    Metadata,
    Device,
    Enrol,
    LoginPage,
}

/// A place, and who gets an answer there.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// The one method that it has.
    pub method: Method,
    /// The path; one that ends with `/` is the beginning of several.
    pub path: &'static str,
    /// Who gets an answer.
    pub who: Who,
    pub(super) what: What,
}

const fn get(path: &'static str, who: Who, what: What) -> Endpoint {
    Endpoint { method: Method::GET, path, who, what }
}

const fn post(path: &'static str, who: Who, what: What) -> Endpoint {
    Endpoint { method: Method::POST, path, who, what }
}

const AUTHORIZATION_SERVER: &str = "/.well-known/oauth-authorization-server";
const OPENID: &str = "/.well-known/openid-configuration";

/// All of them.
pub static ENDPOINTS: [Endpoint; 18] = [
    post(CALL, Who::Policy, What::Call),
    get(FOLLOW, Who::Policy, What::Follow),
    get(FEED, Who::Policy, What::Feed),
    get(SERVICES, Who::Known, What::Services),
    get("/metrics", Who::Policy, What::Metrics),
    get("/healthz", Who::Everybody, What::Health),
    get("/ca.crt", Who::Everybody, What::Bundle),
    get("/crl/", Who::Everybody, What::Crl),
    post(super::acme::PREFIX, Who::Proof, What::Acme),
    post(OAUTH[0], Who::Proof, What::Oauth(OauthWhat::Token)),
    post(OAUTH[1], Who::Proof, What::Oauth(OauthWhat::Introspect)),
    post(OAUTH[2], Who::Proof, What::Oauth(OauthWhat::Revoke)),
    get(OAUTH[3], Who::Everybody, What::Oauth(OauthWhat::Keys)),
    get(AUTHORIZATION_SERVER, Who::Everybody, What::Oauth(OauthWhat::Metadata)),
    get(OPENID, Who::Everybody, What::Oauth(OauthWhat::Metadata)),
    post(DEVICE, Who::Everybody, What::Oauth(OauthWhat::Device)),
    post(ENROL, Who::Proof, What::Oauth(OauthWhat::Enrol)),
    get(VERIFICATION, Who::Everybody, What::Oauth(OauthWhat::LoginPage)),
];

impl Endpoint {
    /// Whether it is at the listener for ACME, too.
    pub(super) fn is_beside_acme(&self) -> bool {
        matches!(self.what, What::Acme | What::Health | What::Bundle | What::Crl)
    }

    /// What is at this path.
    pub(super) fn at(path: &str) -> Option<&'static Self> {
        ENDPOINTS
            .iter()
            .find(|it| path == it.path || it.path.ends_with('/') && path.starts_with(it.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_to_one_place() {
        for (number, endpoint) in ENDPOINTS.iter().enumerate() {
            let found = Endpoint::at(endpoint.path).map(|found| found.path);
            assert_eq!(found, Some(endpoint.path), "{number} is behind another one");
            let below = Endpoint::at(&format!("{}x/", endpoint.path));
            assert!(below.is_none_or(|it| ["/crl/", "/acme/"].contains(&it.path)));
        }
        assert_eq!(Endpoint::at("/crl/a.crl").map(|it| it.what), Some(What::Crl));
        for path in ["", "/", "/crl", "/V1/call", "/v1/call/", "//v1/call", "/v1", "*"] {
            assert!(Endpoint::at(path).is_none(), "{path}");
        }
    }
}
