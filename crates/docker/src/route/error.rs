//! Why a request has no route.

use thiserror::Error;

use super::image_name::ImageNameError;
use super::object::ObjectError;
use super::query::ParameterError;
use super::target::TargetError;
use super::version::{Version, VersionError};

/// Characters of a parameter's name in an error.
const SHOWN: usize = 64;

/// Why a request has no route. The texts are for the client, which prints them.
#[derive(Debug, Error)]
pub enum RouteError {
    /// The target's bytes.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The target's version.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// No operation has that path.
    #[error("page not found")]
    NotFound,
    /// The operation is younger than the version asked for.
    #[error("page not found: the API has this operation since version {0}")]
    NotYet(Version),
    /// No operation has that method and path, but another method does.
    #[error("method not allowed: this path is for {0}")]
    Method(String),
    /// The path is of several operations, and the parameters do not say which.
    #[error("exactly one of these query parameters is needed: {0}")]
    Which(String),
    /// A parameter of the query.
    #[error("the query parameter `{name}` is refused")]
    Parameter {
        /// Its name.
        name: String,
        /// What is wrong with it.
        #[source]
        reason: ParameterError,
    },
    /// A name or id in the path.
    #[error("the name in the path is refused")]
    Object(#[source] ObjectError),
    /// An image's name in the path. Docker's client looks for these words when it asks what a name may be of.
    #[error("invalid reference format")]
    Image(#[source] ImageNameError),
}

impl From<ObjectError> for RouteError {
    fn from(error: ObjectError) -> Self {
        match error {
            ObjectError::Image(error) => Self::Image(error),
            other => Self::Object(other),
        }
    }
}

impl RouteError {
    /// The HTTP status of it.
    pub fn status(&self) -> u16 {
        match self {
            Self::Target(TargetError::TooLong) => 414,
            // Nothing can have such a name; whoever asks for one kind of object after the other goes on.
            Self::NotFound | Self::NotYet(_) | Self::Object(_) => 404,
            Self::Method(_) => 405,
            _ => 400,
        }
    }

    /// The whole text in one line, for a client that prints one only.
    pub fn message(&self) -> String {
        let mut message = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            message.push_str(": ");
            message.push_str(&error.to_string());
            source = error.source();
        }
        message
    }

    pub(super) fn parameter(name: &str, reason: impl Into<ParameterError>) -> Self {
        let name = name.chars().take(SHOWN).collect();
        Self::Parameter { name, reason: reason.into() }
    }
}
