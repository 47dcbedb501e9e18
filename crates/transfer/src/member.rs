//! Names inside a transferred tree.
//!
//! Both ends parse names into these types, so that nothing after the edge has to ask whether a name
//! leads out of the tree. An attacker who controls a name controls only which place *below* the
//! destination is written.

use std::fmt;

use thiserror::Error;

/// The longest name of one component, as Linux has it (`NAME_MAX`).
pub const COMPONENT_LIMIT: usize = 255;
/// The longest path, its end included, as Linux has it (`PATH_MAX`).
pub const PATH_LIMIT: usize = 4095;

/// Why a name cannot be that of a member.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum NameError {
    /// There is no name.
    #[error("a member has an empty name")]
    Empty,
    /// It is longer than a path can be.
    #[error("a member's path is {0} bytes long (the limit is {PATH_LIMIT})")]
    PathTooLong(usize),
    /// A component is longer than a file's name can be.
    #[error("a component of {path:?} is {length} bytes long (the limit is {COMPONENT_LIMIT})")]
    ComponentTooLong {
        /// The path, shortened.
        path: String,
        /// The component's length.
        length: usize,
    },
    /// It begins at the root.
    #[error("{0:?} is absolute")]
    Absolute(String),
    /// It holds `.`, `..`, an empty component or a NUL.
    #[error("{path:?} has a component that is {component:?}")]
    Component {
        /// The path, shortened.
        path: String,
        /// The component.
        component: &'static str,
    },
    /// The destination keeps names that begin with `..` for itself.
    #[error("{0:?} begins with `..`, which the destination keeps for itself")]
    Reserved(String),
    /// A link would lead out of the tree.
    #[error("the link {link:?} leads out of the tree (to {target:?})")]
    LeadsOut {
        /// The link.
        link: String,
        /// Where to.
        target: String,
    },
}

/// A path below the destination: relative, without `.`, `..`, empty components or NUL, within the
/// limits of Linux, and with a first component that does not begin with `..` (those names are the
/// destination's own, as in Kubernetes' volumes).
///
/// The order is that of the components, so that a folder comes before what is in it and everything in
/// it comes before the next name.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct MemberPath(Vec<u8>);

impl MemberPath {
    /// Reads a path. One trailing `/`, as tar has it for folders, is not accepted here.
    pub fn parse(bytes: &[u8]) -> Result<Self, NameError> {
        check_relative(bytes)?;
        if bytes.starts_with(b"..") {
            return Err(NameError::Reserved(shown(bytes)));
        }
        Ok(Self(bytes.to_vec()))
    }

    /// The path's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Its components, at least one.
    pub fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|byte| *byte == b'/')
    }

    /// How many components it has.
    pub fn depth(&self) -> usize {
        self.components().count()
    }

    /// The folder that it is in; `None` at the top.
    pub fn parent(&self) -> Option<Self> {
        let end = self.0.iter().rposition(|byte| *byte == b'/')?;
        self.0.get(..end).map(|parent| Self(parent.to_vec()))
    }

    /// Its last component.
    pub fn name(&self) -> &[u8] {
        self.0.rsplit(|byte| *byte == b'/').next().unwrap_or(&self.0)
    }

    /// As a path of the operating system.
    pub fn as_path(&self) -> &std::path::Path {
        std::path::Path::new(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(&self.0))
    }
}

impl Ord for MemberPath {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.components().cmp(other.components())
    }
}

impl PartialOrd for MemberPath {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for MemberPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&shown(&self.0))
    }
}

impl fmt::Debug for MemberPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", shown(&self.0))
    }
}

/// Where a symbolic link inside a tree points to: relative, and inside.
///
/// `..` is accepted only at the front, and no more often than the link is deep: a link's own folders
/// are real folders (the archive makes sure), so those steps are what they seem. A `..` after a name
/// is refused, because that name may itself be a link and then `..` is not what it seems.
#[derive(Clone, PartialEq, Eq)]
pub struct LinkTarget(Vec<u8>);

impl LinkTarget {
    /// Reads the target of the link at `link`.
    pub fn parse(link: &MemberPath, bytes: &[u8]) -> Result<Self, NameError> {
        let mut rest = bytes;
        let mut ups = 0;
        while rest == b".." || rest.starts_with(b"../") {
            ups += 1;
            rest = rest.get(3..).unwrap_or_default();
        }
        if ups >= link.depth() {
            return Err(NameError::LeadsOut { link: link.to_string(), target: shown(bytes) });
        }
        if !rest.is_empty() {
            check_relative(rest)?;
            if ups + 1 == link.depth() && rest.starts_with(b"..") {
                return Err(NameError::Reserved(shown(bytes)));
            }
        } else if ups == 0 {
            return Err(NameError::Empty);
        }
        if bytes.len() > PATH_LIMIT {
            return Err(NameError::PathTooLong(bytes.len()));
        }
        Ok(Self(bytes.to_vec()))
    }

    /// The target's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// As a path of the operating system.
    pub fn as_path(&self) -> &std::path::Path {
        std::path::Path::new(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(&self.0))
    }
}

impl fmt::Debug for LinkTarget {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", shown(&self.0))
    }
}

/// A hostile name for an error's text: printable, and at most 120 characters.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut short: String = text.chars().take(120).flat_map(char::escape_default).collect();
    if text.chars().nth(120).is_some() {
        short.push('…');
    }
    short
}

fn check_relative(bytes: &[u8]) -> Result<(), NameError> {
    if bytes.is_empty() {
        return Err(NameError::Empty);
    }
    if bytes.len() > PATH_LIMIT {
        return Err(NameError::PathTooLong(bytes.len()));
    }
    if bytes.starts_with(b"/") {
        return Err(NameError::Absolute(shown(bytes)));
    }
    for component in bytes.split(|byte| *byte == b'/') {
        let refused = match component {
            b"" => Some("empty"),
            b"." => Some("."),
            b".." => Some(".."),
            _ if component.contains(&0) => Some("with a NUL in it"),
            _ => None,
        };
        if let Some(component) = refused {
            return Err(NameError::Component { path: shown(bytes), component });
        }
        if component.len() > COMPONENT_LIMIT {
            return Err(NameError::ComponentTooLong {
                path: shown(bytes),
                length: component.len(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Result<MemberPath, NameError> {
        MemberPath::parse(text.as_bytes())
    }

    fn link(at: &str, to: &str) -> Result<LinkTarget, NameError> {
        LinkTarget::parse(&path(at).unwrap(), to.as_bytes())
    }

    #[test]
    fn plain_names_pass() {
        for good in ["a", "a/b.c/d", ".hidden", "a/..b", "ä/ö", "...a/b".trim_start_matches("..")]
        {
            assert_eq!(path(good).unwrap().as_bytes(), good.as_bytes());
        }
        assert_eq!(path("a/b/c").unwrap().parent(), Some(path("a/b").unwrap()));
        assert_eq!(path("a").unwrap().parent(), None);
        assert_eq!(path("a/b").unwrap().name(), b"b");
    }

    #[test]
    fn names_that_lead_out_or_are_odd_are_refused() {
        assert_eq!(path(""), Err(NameError::Empty));
        assert!(matches!(path("/etc/passwd"), Err(NameError::Absolute(_))));
        for bad in ["..", "a/../b", "a/..", ".", "./a", "a//b", "a/", "a\0b"] {
            let refused = path(bad).unwrap_err();
            assert!(matches!(refused, NameError::Component { .. }), "{bad}: {refused:?}");
        }
        assert!(matches!(path("..data"), Err(NameError::Reserved(_))));
        assert!(matches!(path("..2024/x"), Err(NameError::Reserved(_))));
        assert!(matches!(path(&"a".repeat(256)), Err(NameError::ComponentTooLong { .. })));
        assert!(path(&"a".repeat(255)).is_ok());
        assert!(matches!(path(&"a/".repeat(2048)), Err(NameError::PathTooLong(4096))));
    }

    #[test]
    fn folders_come_before_their_content_and_that_before_the_next_name() {
        let mut names: Vec<_> = ["a.b", "a/b", "a", "b", "a/b/c", "a/a"]
            .iter()
            .map(|name| path(name).unwrap())
            .collect();
        names.sort();
        let sorted: Vec<_> = names.iter().map(ToString::to_string).collect();
        assert_eq!(sorted, ["a", "a/a", "a/b", "a/b/c", "a.b", "b"]);
    }

    #[test]
    fn links_stay_inside() {
        for (at, to) in
            [("a", "b"), ("d/a", "../b"), ("d/e/a", "../../b/c"), ("d/a", ".."), ("a", "b/c")]
        {
            assert!(link(at, to).is_ok(), "{at} -> {to}");
        }
        for (at, to) in [("a", ".."), ("a", "../b"), ("d/a", "../../b"), ("d/a", "../..")] {
            assert!(matches!(link(at, to), Err(NameError::LeadsOut { .. })), "{at} -> {to}");
        }
        for (at, to) in
            [("a", "b/.."), ("d/a", "b/../../../c"), ("a", "/etc"), ("a", ""), ("a", "..data")]
        {
            assert!(link(at, to).is_err(), "{at} -> {to}");
        }
    }
}
