//! What is to land where, and how: said by the sender, bound into the session's keys.

use std::fmt;

use thiserror::Error;

use crate::member::{COMPONENT_LIMIT, PATH_LIMIT, shown};

/// Whether the destination is one file or a folder of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One file, replaced by a rename.
    File,
    /// A folder, with versions below it and one link that is swapped.
    Folder,
}

/// An absolute path inside the container, and what stands there.
#[derive(Clone, PartialEq, Eq)]
pub struct Destination {
    path: String,
    shape: Shape,
}

/// Why a path cannot be a destination.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum DestinationError {
    /// It does not begin at the root.
    #[error("the destination {0:?} is not an absolute path")]
    Relative(String),
    /// It is the root itself.
    #[error("the destination cannot be the container's root folder")]
    Root,
    /// It holds `..`, `.` or an empty component in its middle, or control characters.
    #[error("the destination {0:?} is not a plain path")]
    NotPlain(String),
    /// It is longer than Linux allows.
    #[error("the destination is longer than a path can be")]
    TooLong,
}

impl Destination {
    /// Reads an absolute path without `.`, `..`, doubled slashes and control characters; one slash at
    /// its end is dropped.
    pub fn parse(path: &str, shape: Shape) -> Result<Self, DestinationError> {
        if path.len() > PATH_LIMIT {
            return Err(DestinationError::TooLong);
        }
        let Some(relative) = path.strip_prefix('/') else {
            return Err(DestinationError::Relative(shown(path.as_bytes())));
        };
        let relative = relative.strip_suffix('/').unwrap_or(relative);
        if relative.is_empty() {
            return Err(DestinationError::Root);
        }
        for component in relative.split('/') {
            if matches!(component, "" | "." | "..") || component.chars().any(char::is_control) {
                return Err(DestinationError::NotPlain(shown(path.as_bytes())));
            }
            if component.len() > COMPONENT_LIMIT {
                return Err(DestinationError::TooLong);
            }
        }
        Ok(Self { path: format!("/{relative}"), shape })
    }

    /// The path; begins with `/`, does not end with it.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What stands there.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The path's last component.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({:?})", self.path, self.shape)
    }
}

/// How much there is: more than this is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Announced {
    /// The sum of all files' sizes.
    pub bytes: u64,
    /// How many members there are: files, links and folders, without the top folder itself.
    pub members: u64,
}

/// What is to land where, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Where to.
    pub destination: Destination,
    /// Who is to own it (user and group ids as the container sees them); `None` leaves it to whoever
    /// receives.
    pub owner: Option<(u32, u32)>,
    /// The permission bits of every file (at most 0o777); `None` keeps those of the source. Folders
    /// get an execute bit for every read bit.
    pub mode: Option<u32>,
    /// How much there is.
    pub announced: Announced,
    /// Whether the destination must be on a file system in memory, so that the content never reaches
    /// a disk.
    pub memory_only: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_plain_absolute_paths() {
        let parsed = Destination::parse("/run/certs/", Shape::Folder).unwrap();
        assert_eq!((parsed.path(), parsed.name()), ("/run/certs", "certs"));
        assert_eq!(Destination::parse("/", Shape::Folder), Err(DestinationError::Root));
        assert!(matches!(
            Destination::parse("etc/x", Shape::File),
            Err(DestinationError::Relative(_))
        ));
        for bad in ["/a/../b", "/a//b", "/./a", "/a\nb", "//"] {
            assert!(Destination::parse(bad, Shape::File).is_err(), "{bad}");
        }
    }
}
