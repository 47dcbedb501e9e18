//! Errors as people see them: one line, its causes under it, then one hint.

use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;

use sealock_control::{ErrorCode, ServiceError};
use serde::Serialize;

/// Exit codes (see the CLI reference).
pub(crate) mod exit {
    /// Refused or failed.
    pub(crate) const REFUSED: u8 = 1;
    /// A fault of ours.
    pub(crate) const FAULT: u8 = 2;
    /// The command line or a setting is wrong.
    pub(crate) const USAGE: u8 = 64;
}

/// Why a command did not do what it was asked.
#[derive(Debug, Serialize)]
pub(crate) struct Failure {
    error: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    causes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    /// By which the audit log knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<String>,
    code: u8,
    /// Something that is needed is not there, and may be in a moment.
    #[serde(skip)]
    unavailable: bool,
}

impl Failure {
    /// Refused, or failed for a reason outside sealock.
    pub(crate) fn refused(error: impl Into<String>) -> Self {
        Self {
            error: error.into(),
            causes: Vec::new(),
            hint: None,
            request: None,
            code: exit::REFUSED,
            unavailable: false,
        }
    }

    /// A fault of ours.
    pub(crate) fn fault(error: impl Into<String>) -> Self {
        Self { code: exit::FAULT, ..Self::refused(error) }
    }

    /// The command line or a setting is wrong.
    pub(crate) fn usage(error: impl Into<String>) -> Self {
        Self { code: exit::USAGE, ..Self::refused(error) }
    }

    /// From any error: its own text and its causes.
    pub(crate) fn from_error(error: &(dyn Error + 'static)) -> Self {
        let mut failure = Self::refused(error.to_string());
        if let Some(source) = error.source() {
            failure = failure.caused_by(source);
        }
        failure
    }

    /// What is needed is not there, and may be in a moment.
    #[must_use]
    pub(crate) fn unavailable(self) -> Self {
        Self { unavailable: true, ..self }
    }

    /// Adds an error and its causes under the first line, none twice.
    #[must_use]
    pub(crate) fn caused_by(mut self, error: &(dyn Error + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(cause) = next {
            let text = cause.to_string();
            if self.causes.last() != Some(&text) && self.error != text {
                self.causes.push(text);
            }
            next = cause.source();
        }
        self
    }

    /// Adds causes that come as text.
    #[must_use]
    pub(crate) fn with_causes(mut self, causes: impl IntoIterator<Item = String>) -> Self {
        self.causes.extend(causes);
        self
    }

    /// Says what to do about it.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says by which id the audit log knows it. That is no cause of anything.
    #[must_use]
    pub(crate) fn in_request(mut self, request: impl Into<String>) -> Self {
        self.request = Some(request.into());
        self
    }

    /// Another exit code.
    #[must_use]
    pub(crate) fn code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }

    /// The same for the service, which hands it back when it could not go on without a passphrase.
    pub(crate) fn to_service_error(&self) -> ServiceError {
        let code = match self.code {
            exit::USAGE => ErrorCode::Usage,
            _ if self.unavailable => ErrorCode::Unavailable,
            _ => ErrorCode::Failed,
        };
        let mut error = ServiceError::new(code, &self.error).maybe_hint(self.hint.clone());
        error.causes.clone_from(&self.causes);
        error
    }

    /// Error and causes on one line.
    pub(crate) fn one_line(&self) -> String {
        let mut text = self.error.clone();
        for cause in &self.causes {
            text.push_str(": ");
            text.push_str(cause);
        }
        text
    }

    /// What to do about it.
    pub(crate) fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Writes it to stderr and gives the exit code.
    pub(crate) fn print(&self, json: bool) -> u8 {
        let text = if json {
            serde_json::to_string(self).unwrap_or_else(|_| self.text())
        } else {
            self.text()
        };
        let _ = writeln!(std::io::stderr().lock(), "{}", text.trim_end());
        self.code
    }

    fn text(&self) -> String {
        let mut text = format!("error: {}\n", printable(&self.error));
        for cause in &self.causes {
            let _ = writeln!(text, "  caused by: {}", printable(cause));
        }
        if let Some(request) = &self.request {
            let _ = writeln!(text, "  request {}", printable(request));
        }
        if let Some(hint) = &self.hint {
            let _ = writeln!(text, "hint: {}", printable(hint));
        }
        text
    }
}

/// Without control characters but line ends and tabs: texts may repeat names that others chose, and a
/// terminal acts on escape sequences.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_stand_once_under_the_error() {
        let inner = std::io::Error::other("disk on fire");
        let failure = Failure::refused("cannot write").caused_by(&inner).hint("put it out");
        assert_eq!(
            failure.text(),
            "error: cannot write\n  caused by: disk on fire\nhint: put it out\n"
        );
    }

    #[test]
    fn the_id_of_a_request_is_told_and_is_no_cause() {
        let failure = Failure::refused("denied").in_request("8e2e").hint("ask");
        assert_eq!(failure.text(), "error: denied\n  request 8e2e\nhint: ask\n");
        let json = serde_json::to_value(&failure).unwrap();
        assert_eq!((&json["request"], &json["causes"]), (&"8e2e".into(), &serde_json::Value::Null));
    }

    #[test]
    fn escape_sequences_do_not_reach_the_terminal() {
        let text = Failure::refused("no container \u{1b}[2J").text();
        assert!(!text.contains('\u{1b}'));
    }
}
