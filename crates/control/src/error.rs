//! How an operation fails, as everybody sees it: a stable code, a public text, causes, a hint.

use std::error::Error;
use std::fmt;

use sealock_core::policy::plain;
use serde::{Deserialize, Serialize};

/// Whose fault it is; the exit code and the HTTP status follow from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorCode {
    /// Policy says no.
    Denied,
    /// The caller did not prove who it is.
    Unauthenticated,
    /// The request makes no sense.
    Usage,
    /// There is no such thing.
    NotFound,
    /// It is there already, or was changed by somebody else.
    Conflict,
    /// The authority was not made yet.
    NotInitialised,
    /// It was refused for another reason than policy, or failed outside Sealock.
    Failed,
    /// The state folder is in use, read-only, of another version or damaged.
    State,
    /// Something that is needed does not answer.
    Unavailable,
    /// Too much was asked.
    Busy,
    /// It took too long.
    Timeout,
    /// A fault of ours.
    Fault,
}

impl ErrorCode {
    /// The stable name, such as `not-found`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Unauthenticated => "unauthenticated",
            Self::Usage => "usage",
            Self::NotFound => "not-found",
            Self::Conflict => "conflict",
            Self::NotInitialised => "not-initialised",
            Self::Failed => "failed",
            Self::State => "state",
            Self::Unavailable => "unavailable",
            Self::Busy => "busy",
            Self::Timeout => "timeout",
            Self::Fault => "fault",
        }
    }

    /// 1 refused or failed, 2 a fault of ours, 64 usage.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Usage => 64,
            Self::Fault => 2,
            _ => 1,
        }
    }

    /// The HTTP status.
    pub const fn status(self) -> u16 {
        match self {
            Self::Denied => 403,
            Self::Unauthenticated => 401,
            Self::Usage => 400,
            Self::NotFound => 404,
            Self::Conflict | Self::NotInitialised => 409,
            Self::Failed => 422,
            Self::Unavailable => 503,
            Self::Busy => 429,
            Self::Timeout => 504,
            Self::State | Self::Fault => 500,
        }
    }
}

/// An operation that was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceError {
    /// Stable.
    pub code: ErrorCode,
    /// One line.
    pub message: String,
    /// What led to it, nearest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// What to do about it. A suggested Cedar rule has several lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The request id, under which audit log and `policy explain` know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
}

impl ServiceError {
    /// An error with a text.
    pub fn new(code: ErrorCode, message: impl AsRef<str>) -> Self {
        let message = plain(message.as_ref());
        Self { code, message, causes: Vec::new(), hint: None, request: None }
    }

    /// An error with the text and the causes of another.
    pub fn of(code: ErrorCode, error: &(dyn Error + 'static)) -> Self {
        let this = Self::new(code, error.to_string());
        match error.source() {
            Some(source) => this.caused_by(source),
            None => this,
        }
    }

    /// The same with an error and its causes under it.
    #[must_use]
    pub fn caused_by(mut self, error: &(dyn Error + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(cause) = next {
            let text = plain(&cause.to_string());
            if self.causes.last() != Some(&text) && self.message != text {
                self.causes.push(text);
            }
            next = cause.source();
        }
        self
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with a hint, where there is one.
    #[must_use]
    pub fn maybe_hint(mut self, hint: Option<impl Into<String>>) -> Self {
        if let Some(hint) = hint {
            self.hint = Some(hint.into());
        }
        self
    }

    /// The same with a request id.
    #[must_use]
    pub fn in_request(mut self, request: &str) -> Self {
        self.request.get_or_insert_with(|| request.to_owned());
        self
    }

    /// 1 refused or failed, 2 a fault of ours, 64 usage.
    pub fn exit_code(&self) -> u8 {
        self.code.exit_code()
    }
}

impl fmt::Display for ServiceError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl Error for ServiceError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_cannot_steer_a_terminal() {
        let inner = std::io::Error::other("\x1b[2J");
        let error = ServiceError::new(ErrorCode::Failed, "a\nb").caused_by(&inner);
        assert_eq!(error.message, "a\\u{a}b");
        assert_eq!(error.causes, ["\\u{1b}[2J"]);
    }

    #[test]
    fn codes_are_what_they_serialise_to() {
        for code in [ErrorCode::Denied, ErrorCode::NotInitialised, ErrorCode::Fault] {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
        assert_eq!(ErrorCode::Usage.exit_code(), 64);
        assert_eq!(ErrorCode::Fault.exit_code(), 2);
        assert_eq!(ErrorCode::Denied.exit_code(), 1);
    }
}
