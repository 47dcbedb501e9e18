//! Why a body is refused.

use sealock_core::policy::{Action, plain};
use thiserror::Error;

/// How much of a name that a stranger chose an error repeats.
const SHOWN: usize = 120;

/// A body, or a query that takes the place of one, that is not forwarded.
///
/// Names of fields are shown, escaped and cut; values never are: any of them may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BodyError {
    /// More than the limit; nothing of it was looked at.
    #[error("the body has more than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// Not JSON, not UTF-8, or something after the end.
    #[error("the body is not valid JSON at line {line}, column {column}")]
    Malformed {
        /// From 1; 0 where the end came too early.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// Objects and arrays within each other.
    #[error("the body nests deeper than {limit}")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// The engine would merge the two.
    #[error("the field `{key}` stands twice in one object")]
    DuplicateKey {
        /// The key.
        key: String,
    },
    /// The engine takes both for the same field.
    #[error("the fields `{first}` and `{second}` of one object differ by case only")]
    KeysCollide {
        /// The earlier one.
        first: String,
        /// The later one.
        second: String,
    },
    /// Of more than 64 bits, or a fraction that does not read the same everywhere.
    #[error("a number in the body is too large or too long")]
    Number,
    /// Text that ends early for whoever reads it in C.
    #[error("a text in the body holds a NUL")]
    Nul,
    /// The operation needs a body.
    #[error("the body is missing")]
    Missing,
    /// The operation takes none.
    #[error("{action} takes no body")]
    Unexpected {
        /// The operation.
        action: Action,
    },
    /// The operation's body is a stream, or the operation is none of the engine's.
    #[error("{action} has no body that can be read")]
    NotRead {
        /// The operation.
        action: Action,
    },
    /// The engine would take it for the field that is spelled so.
    #[error("the field `{path}` is to be spelled `{right}`")]
    Misspelt {
        /// As it stands there.
        path: String,
        /// As the API has it.
        right: &'static str,
    },
    /// Old engines honour the settings of the host outside of `HostConfig` too.
    #[error("the field `{path}` belongs into `HostConfig`")]
    Misplaced {
        /// Which field.
        path: String,
    },
    /// A field that is not in the API, in an operation about which policy could not decide on it.
    #[error("the field `{path}` is not known")]
    UnknownField {
        /// Which field.
        path: String,
    },
    /// Of another type than the API has it.
    #[error("the field `{path}` has to be {expected}")]
    Type {
        /// Which field.
        path: String,
        /// Such as "a text".
        expected: &'static str,
    },
    /// Of the right type, but nothing that could be decided on.
    #[error("the field `{path}` {problem}")]
    Value {
        /// Which field.
        path: String,
        /// What is wrong with it, such as "has to be an absolute path".
        problem: &'static str,
    },
    /// A parameter of the query.
    #[error("the parameter `{name}` {problem}")]
    Query {
        /// Which one.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The API before 1.24 lets a start carry settings of the host.
    #[error("the API version is below 1.24")]
    Version,
    /// The caller set a label that the gateway sets.
    #[error("the label `{label}` is set by the gateway")]
    LabelTaken {
        /// Which label.
        label: String,
    },
    /// What is to be stamped cannot be.
    #[error("{action} cannot carry the gateway's {what}")]
    NotStamped {
        /// The operation.
        action: Action,
        /// Such as "labels".
        what: &'static str,
    },
}

impl BodyError {
    /// A name for programs that stays the same.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "body-too-large",
            Self::Malformed { .. } => "body-malformed",
            Self::TooDeep { .. } => "body-too-deep",
            Self::DuplicateKey { .. } => "body-duplicate-field",
            Self::KeysCollide { .. } => "body-fields-collide",
            Self::Number => "body-number",
            Self::Nul => "body-nul",
            Self::Missing => "body-missing",
            Self::Unexpected { .. } => "body-unexpected",
            Self::NotRead { .. } => "body-not-read",
            Self::Misspelt { .. } => "body-misspelt-field",
            Self::Misplaced { .. } => "body-misplaced-field",
            Self::UnknownField { .. } => "body-unknown-field",
            Self::Type { .. } => "body-field-type",
            Self::Value { .. } => "body-field-value",
            Self::Query { .. } => "query-parameter",
            Self::Version => "api-version",
            Self::LabelTaken { .. } => "label-taken",
            Self::NotStamped { .. } => "not-stamped",
        }
    }

    /// The HTTP status that it is answered with.
    pub fn status(&self) -> u16 {
        match self {
            Self::TooLarge { .. } => 413,
            Self::LabelTaken { .. } | Self::NotStamped { .. } => 403,
            _ => 400,
        }
    }

    pub(super) fn wrong_type(path: &str, expected: &'static str) -> Self {
        Self::Type { path: shown(path), expected }
    }

    pub(super) fn value(path: &str, problem: &'static str) -> Self {
        Self::Value { path: shown(path), problem }
    }

    pub(super) fn query(name: &str, problem: &'static str) -> Self {
        Self::Query { name: shown(name), problem }
    }
}

/// A name that a stranger chose, fit to be shown.
pub(super) fn shown(name: &str) -> String {
    let mut start: String = name.chars().take(SHOWN).collect();
    if start.len() < name.len() {
        start.push('…');
    }
    plain(&start)
}
