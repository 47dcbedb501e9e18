//! Why an `sdf.yml` is not carried over.

use thiserror::Error;

/// Why an `sdf.yml` is not carried over.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SdfError {
    /// Longer than any such file.
    #[error("the file is longer than {} bytes", super::MAXIMUM_BYTES)]
    Long,
    /// Not UTF-8.
    #[error("the file is not UTF-8")]
    Text,
    /// Not YAML.
    #[error("line {line}: {problem}")]
    Syntax {
        /// Where.
        line: usize,
        /// What the parser says.
        problem: String,
    },
    /// YAML that such a file has no use for.
    #[error("line {line}: {what} cannot be in this file")]
    Refused {
        /// Where.
        line: usize,
        /// What is there.
        what: &'static str,
    },
    /// A key twice.
    #[error("line {line}: `{key}` stands there twice")]
    Twice {
        /// Where, the second time.
        line: usize,
        /// Which.
        key: String,
    },
    /// Another kind of thing is there.
    #[error("line {line}: `{key}` must be {wanted}")]
    Wrong {
        /// Where.
        line: usize,
        /// Which.
        key: String,
        /// What it must be.
        wanted: &'static str,
    },
    /// It is missing.
    #[error("line {line}: `{key}` is missing")]
    Missing {
        /// Of what, where that begins.
        line: usize,
        /// Which.
        key: String,
    },
    /// Neither gatekeeper nor forwards.
    #[error("there is neither a gatekeeper nor a forward in the file")]
    Empty,
    /// Whose forwards they are is not said.
    #[error("the file does not say whose forwards these are")]
    NoName,
    /// Nothing can be called so.
    #[error("`{0}` cannot be the name of a service")]
    Name(String),
}

impl SdfError {
    /// What to do about it.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::NoName => "name the service that calls: --name shop",
            Self::Name(_) => "a name has lower-case letters, digits, `-` and dots: --name shop",
            Self::Refused { .. } | Self::Twice { .. } => {
                "anchors, tags, further documents and keys that are there twice have no meaning here"
            }
            _ => "it has the sections global, gatekeeper and forward, as sdf-gen reads them",
        }
    }
}
