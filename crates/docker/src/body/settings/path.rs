//! Paths of the host, as text.

use super::super::error::BodyError;

/// An absolute path without `.`, doubled slashes and a slash at its end.
///
/// `..` is refused: what it leads to depends on the links before it, which are not ours to follow.
pub(in super::super) fn host_path(text: &str, field: &str) -> Result<String, BodyError> {
    if !text.starts_with('/') {
        return Err(BodyError::value(field, "has to be an absolute path"));
    }
    let mut path = String::with_capacity(text.len());
    for part in text.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            return Err(BodyError::value(field, "must not contain `..`"));
        }
        path.push('/');
        path.push_str(part);
    }
    if path.is_empty() {
        path.push('/');
    }
    Ok(path)
}
