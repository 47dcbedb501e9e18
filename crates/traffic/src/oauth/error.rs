//! Errors of RFC 6749 §5.2, RFC 8693 §2.2.2 and RFC 8707 §2.

use serde::Serialize;
use thiserror::Error;

/// What is wrong, by its registered name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OauthFault {
    /// A parameter is missing, is there twice, or cannot be read.
    InvalidRequest,
    /// The client did not prove who it is.
    InvalidClient,
    /// The token that was to be exchanged is not good, or not the client's.
    InvalidGrant,
    /// The client may not do that.
    UnauthorizedClient,
    /// Such a grant is not known here.
    UnsupportedGrantType,
    /// There are no scopes here.
    InvalidScope,
    /// There is no such audience.
    InvalidTarget,
    /// Policy says no.
    AccessDenied,
    /// Somebody said no to a login (RFC 8628 §3.5).
    LoginDenied,
    /// Nobody has decided yet on a login.
    AuthorizationPending,
    /// A login is asked for too often.
    SlowDown,
    /// Nobody has decided in time on a login.
    ExpiredToken,
    /// Later, perhaps.
    TemporarilyUnavailable,
    /// A fault of ours.
    ServerError,
}

impl OauthFault {
    /// The value of `error`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::AccessDenied | Self::LoginDenied => "access_denied",
            Self::AuthorizationPending => "authorization_pending",
            Self::SlowDown => "slow_down",
            Self::ExpiredToken => "expired_token",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::ServerError => "server_error",
        }
    }

    /// The HTTP status that goes with it.
    pub const fn status(self) -> u16 {
        match self {
            Self::InvalidClient => 401,
            Self::AccessDenied => 403,
            Self::TemporarilyUnavailable => 503,
            Self::ServerError => 500,
            _ => 400,
        }
    }
}

/// A request that was not granted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}: {description}", fault.name())]
pub struct OauthError {
    /// What is wrong.
    pub fault: OauthFault,
    /// In words, for people. Plain ASCII without quotes (RFC 6749 §5.2), and nothing of the request.
    pub description: String,
    /// The request id, under which `policy explain` knows a denial.
    pub request: Option<String>,
}

#[derive(Serialize)]
struct Body<'a> {
    error: &'static str,
    error_description: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<&'a str>,
}

impl OauthError {
    /// An error in these words.
    pub fn new(fault: OauthFault, description: impl Into<String>) -> Self {
        let allowed = |c: char| matches!(c, ' '..='~') && c != '"' && c != '\\';
        let description = description.into().chars().filter(|c| allowed(*c)).collect();
        Self { fault, description, request: None }
    }

    /// The same with the request's id.
    #[must_use]
    pub fn in_request(mut self, request: impl Into<String>) -> Self {
        self.request = Some(request.into());
        self
    }

    pub(super) fn request(description: &str) -> Self {
        Self::new(OauthFault::InvalidRequest, description)
    }

    /// The JSON of the answer.
    pub fn body(&self) -> Vec<u8> {
        let body = Body {
            error: self.fault.name(),
            error_description: &self.description,
            request: self.request.as_deref(),
        };
        serde_json::to_vec(&body).unwrap_or_default()
    }
}
