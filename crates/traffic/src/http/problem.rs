//! Answers of our own: `application/problem+json` (RFC 9457), with the challenge of RFC 6750 where a token is missing or
//! not good.
//!
//! A caller is told which rule it broke, in words of ours only: nothing of what it sent comes back but the number of its
//! call, which has a form of its own.

use std::time::Duration;

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};
use sealock_net::proxy::Refusal as Meaningless;
use serde::Serialize;

use super::bearer::BearerFault;
use super::host::HostFault;
use super::ids::{Ids, REQUEST_ID};
use super::method::MethodFault;
use super::path::PathFault;
use crate::token::Refusal;

/// What `WWW-Authenticate` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Challenge {
    /// Send a token. No error, for none was made (RFC 6750 §3.1).
    Token,
    /// The request is not of the form.
    InvalidRequest,
    /// The token is not good.
    InvalidToken,
}

/// Why a call is not answered by the app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The status.
    pub status: StatusCode,
    /// A word that never changes.
    pub code: &'static str,
    /// A sentence for a person.
    pub detail: String,
    /// The number by which a denial is found.
    pub reason: Option<String>,
    /// For whom has no good token.
    pub challenge: Option<Challenge>,
    /// When to try again.
    pub retry_after: Option<Duration>,
}

impl Problem {
    /// One with neither reason nor challenge.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { status, code, detail, reason: None, challenge: None, retry_after: None }
    }

    /// The token is not good: 401.
    pub fn token(code: &'static str, detail: impl Into<String>) -> Self {
        let challenge = Some(Challenge::InvalidToken);
        Self { challenge, ..Self::new(StatusCode::UNAUTHORIZED, code, detail) }
    }

    /// Policy says no: 403. `reason` is the number under which that is recorded.
    pub fn denied(reason: String) -> Self {
        let detail = "no rule permits this call; the reason explains why";
        Self { reason: Some(reason), ..Self::new(StatusCode::FORBIDDEN, "denied", detail) }
    }

    /// It cannot be found out now: 503.
    pub fn unavailable(code: &'static str, detail: &'static str, retry_after: Duration) -> Self {
        Self {
            retry_after: Some(retry_after),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail)
        }
    }

    /// The answer. `realm` is the identity of the service.
    pub fn answer(&self, ids: Option<&Ids>, realm: &str) -> Response<Bytes> {
        let body = Body {
            title: self.status.canonical_reason().unwrap_or_default(),
            status: self.status.as_u16(),
            code: self.code,
            detail: &self.detail,
            reason: self.reason.as_deref(),
            request_id: ids.map(Ids::request),
        };
        // Only texts and a number are in it, which always can be written.
        let mut text = serde_json::to_vec(&body).unwrap_or_default();
        text.push(b'\n');
        let mut response = Response::new(Bytes::from(text));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(ids) = ids {
            headers.insert(REQUEST_ID, ids.request.clone());
        }
        if let Some(challenge) = self.challenge {
            let error = match challenge {
                Challenge::Token => None,
                Challenge::InvalidRequest => Some("invalid_request"),
                Challenge::InvalidToken => Some("invalid_token"),
            };
            let error = error
                .map(|error| format!(", error=\"{error}\", error_description=\"{}\"", self.code));
            let text = format!("Bearer realm=\"{realm}\"{}", error.unwrap_or_default());
            if let Ok(value) = HeaderValue::from_maybe_shared(text) {
                headers.insert(WWW_AUTHENTICATE, value);
            }
        }
        if let Some(wait) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        }
        response
    }
}

/// `type` is left out: it is `about:blank` (RFC 9457 §4.2.1).
#[derive(Serialize)]
struct Body<'a> {
    title: &'a str,
    status: u16,
    code: &'a str,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

/// What the engine refuses before anybody has looked at what is asked.
impl From<Meaningless> for Problem {
    fn from(refusal: Meaningless) -> Self {
        let code = match refusal.status() {
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => "head_too_large",
            _ => "bad_request",
        };
        Self::new(refusal.status(), code, refusal.to_string())
    }
}

impl From<PathFault> for Problem {
    fn from(fault: PathFault) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_target", fault.to_string())
    }
}

impl From<MethodFault> for Problem {
    fn from(fault: MethodFault) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_method", fault.to_string())
    }
}

impl From<HostFault> for Problem {
    fn from(fault: HostFault) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_host", fault.to_string())
    }
}

impl From<BearerFault> for Problem {
    fn from(fault: BearerFault) -> Self {
        let (status, code, challenge) = match fault {
            BearerFault::Missing => (StatusCode::UNAUTHORIZED, "token_missing", Challenge::Token),
            BearerFault::OtherScheme => {
                (StatusCode::UNAUTHORIZED, "scheme_unsupported", Challenge::Token)
            }
            BearerFault::Many => {
                (StatusCode::BAD_REQUEST, "many_credentials", Challenge::InvalidRequest)
            }
            BearerFault::Malformed => {
                (StatusCode::BAD_REQUEST, "bad_credentials", Challenge::InvalidRequest)
            }
            BearerFault::TooLong => {
                (StatusCode::BAD_REQUEST, "token_too_long", Challenge::InvalidRequest)
            }
        };
        Self { challenge: Some(challenge), ..Self::new(status, code, fault.to_string()) }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self::token(refusal.code(), refusal.to_string())
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderMap;
    use serde_json::{Value, json};

    use super::*;

    fn answer(problem: &Problem) -> (Response<Bytes>, Value) {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, "call-1".parse().unwrap());
        let ids = Ids::of(&headers).unwrap();
        let response = problem.answer(Some(&ids), "spiffe://t.sealock/service/orders");
        let body = serde_json::from_slice(response.body()).unwrap();
        (response, body)
    }

    #[test]
    fn a_problem_is_told_to_programs_and_people() {
        let (response, body) = answer(&Problem::denied("abc".to_owned()));
        assert_eq!(response.status(), 403);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(response.headers()["x-request-id"], "call-1");
        assert!(!response.headers().contains_key("www-authenticate"));
        assert_eq!(
            body,
            json!({
                "title": "Forbidden", "status": 403, "code": "denied", "reason": "abc",
                "detail": "no rule permits this call; the reason explains why",
                "request_id": "call-1",
            })
        );
        let wait = Duration::from_millis(200);
        let (response, body) = answer(&Problem::unavailable("no_keys", "not now", wait));
        assert_eq!((response.status().as_u16(), &body["code"]), (503, &json!("no_keys")));
        assert_eq!(response.headers()["retry-after"], "1");
    }

    #[test]
    fn who_has_no_good_token_is_challenged() {
        let challenge = |problem: Problem| {
            let (response, _) = answer(&problem);
            let value = response.headers()["www-authenticate"].to_str().unwrap();
            (response.status().as_u16(), value.to_owned())
        };
        let realm = "Bearer realm=\"spiffe://t.sealock/service/orders\"";
        assert_eq!(challenge(BearerFault::Missing.into()), (401, realm.to_owned()));
        assert_eq!(challenge(BearerFault::OtherScheme.into()), (401, realm.to_owned()));
        let error = ", error=\"invalid_request\", error_description=\"many_credentials\"";
        assert_eq!(challenge(BearerFault::Many.into()), (400, format!("{realm}{error}")));
        let error = ", error=\"invalid_token\", error_description=\"token_expired\"";
        assert_eq!(challenge(Refusal::Expired.into()), (401, format!("{realm}{error}")));
        // A text with quotes in it must not end the parameter.
        let (_, value) = challenge(Refusal::MissingClaim { claim: "iss" }.into());
        assert!(value.ends_with("error_description=\"claim_missing\""), "{value}");
    }
}
