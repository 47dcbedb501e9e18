//! Errors on the wire: problem+json (RFC 9457), and back.

use hyper::header::{HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde::{Deserialize, Serialize};

use super::body::{OutBody, whole};
use crate::error::{ErrorCode, ServiceError};

/// When whoever asks too much, or for what is away, may ask again, in seconds.
const TRY_AGAIN: u64 = 5;

/// A problem document.
#[derive(Debug, Serialize, Deserialize)]
struct Problem {
    #[serde(rename = "type")]
    kind: String,
    title: String,
    status: u16,
    detail: String,
    code: ErrorCode,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    causes: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request: Option<String>,
}

/// An error as an answer. The causes of a fault of ours stay here: they speak of the inside.
pub fn problem(error: &ServiceError, local: bool) -> Response<OutBody> {
    let inside = matches!(error.code, ErrorCode::Fault | ErrorCode::State) && !local;
    if inside {
        tracing::error!(%error, causes = ?error.causes, request = ?error.request, "request failed");
    }
    let problem = Problem {
        kind: format!("urn:sealock:error:{}", error.code.as_str()),
        title: error.code.as_str().to_owned(),
        status: error.code.status(),
        detail: if inside {
            "the daemon could not do it".to_owned()
        } else {
            error.message.clone()
        },
        code: error.code,
        causes: if inside { Vec::new() } else { error.causes.clone() },
        hint: if inside { Some("see the daemon's log".to_owned()) } else { error.hint.clone() },
        request: error.request.clone(),
    };
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    let mut response = whole(status, "application/problem+json", body);
    if matches!(error.code, ErrorCode::Busy | ErrorCode::Unavailable) {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(TRY_AGAIN));
    }
    response
}

/// The error that a problem document tells of.
pub fn error_of(status: u16, body: &[u8]) -> ServiceError {
    match serde_json::from_slice::<Problem>(body) {
        Ok(problem) => ServiceError {
            code: problem.code,
            message: sealock_core::policy::plain(&problem.detail),
            causes: problem.causes.iter().map(|cause| sealock_core::policy::plain(cause)).collect(),
            hint: problem.hint,
            request: problem.request,
        },
        Err(_) => ServiceError::new(
            ErrorCode::Fault,
            format!("the daemon answered {status} without saying why"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn errors_travel_whole_and_faults_only_on_this_host() {
        let mut error = ServiceError::new(ErrorCode::Denied, "no").hint("ask").in_request("r1");
        error.causes.push("because".to_owned());
        let response = problem(&error, false);
        assert_eq!(response.status(), 403);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(error_of(403, &body), error);

        let mut fault = ServiceError::new(ErrorCode::Fault, "/var/lib/sealock is odd");
        fault.causes.push("inside".to_owned());
        let body = problem(&fault, false).into_body().collect().await.unwrap().to_bytes();
        assert!(!String::from_utf8_lossy(&body).contains("inside"));
        assert!(!String::from_utf8_lossy(&body).contains("/var/lib"));
        let body = problem(&fault, true).into_body().collect().await.unwrap().to_bytes();
        assert_eq!(error_of(500, &body), fault);
        assert_eq!(error_of(502, b"<html>").code, ErrorCode::Fault);
    }
}
