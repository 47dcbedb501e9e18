//! Where a template is wrong, and in what. Never a value.

use thiserror::Error;

/// Why a template could not be read or filled in.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TemplateError {
    /// It is no template.
    #[error("line {line}, column {column}: {reason}")]
    Form {
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
        /// What is wrong.
        reason: String,
    },
    /// It asks for what cannot be done with these secrets.
    #[error("line {line}, column {column}: {reason}")]
    Run {
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
        /// What cannot be done.
        reason: String,
    },
    /// It costs too much.
    #[error("line {line}, column {column}: the template has more than {limit}")]
    Limit {
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
        /// Which limit.
        limit: String,
    },
    /// The template itself is too long.
    #[error("the template is longer than {limit} bytes")]
    TooLong {
        /// The most bytes it may have.
        limit: usize,
    },
}

impl TemplateError {
    /// What can be done about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Form { .. } => {
                Some("the language is Go's text/template: https://pkg.go.dev/text/template")
            }
            Self::Run { .. } | Self::Limit { .. } | Self::TooLong { .. } => None,
        }
    }
}

/// What went wrong at a byte of the text; the place is worked out when it is shown.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Form(String),
    Run(String),
    Limit(String),
}

impl Fault {
    pub(super) fn form(at: usize, reason: impl Into<String>) -> Self {
        Self { at, kind: Kind::Form(reason.into()) }
    }

    pub(super) fn run(at: usize, reason: impl Into<String>) -> Self {
        Self { at, kind: Kind::Run(reason.into()) }
    }

    pub(super) fn limit(at: usize, limit: impl Into<String>) -> Self {
        Self { at, kind: Kind::Limit(limit.into()) }
    }

    pub(super) fn in_text(self, text: &str) -> TemplateError {
        let before = text.get(..self.at).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        match self.kind {
            Kind::Form(reason) => TemplateError::Form { line, column, reason },
            Kind::Run(reason) => TemplateError::Run { line, column, reason },
            Kind::Limit(limit) => TemplateError::Limit { line, column, limit },
        }
    }
}
