//! The environment of a child, in memory that is wiped.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use thiserror::Error;
use zeroize::Zeroize;

/// The longest `NAME=value` that the kernel takes, its NUL included (MAX_ARG_STRLEN).
pub const LONGEST: usize = 128 * 1024;

/// Why a variable cannot be set. No value is part of it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EnvironmentError {
    /// No variable can have this name.
    #[error("`{0}` cannot be the name of a variable")]
    Name(String),
    /// A NUL in the value.
    #[error("the value of {0} has a NUL byte, which no variable can hold")]
    Nul(String),
    /// Longer than the kernel takes.
    #[error(
        "the value of {name} has {bytes} bytes; a variable holds at most {LONGEST}, its name included"
    )]
    TooLong {
        /// The variable.
        name: String,
        /// The length of its value.
        bytes: usize,
    },
}

impl EnvironmentError {
    /// What a person may do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Name(_) => "a name is not empty and has no `=`, NUL or control character",
            Self::Nul(_) | Self::TooLong { .. } => "have it written to a file instead: `!var:file`",
        }
    }
}

/// `NAME=value`, wiped when dropped.
struct Entry(CString);

impl AsRef<CStr> for Entry {
    fn as_ref(&self) -> &CStr {
        &self.0
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        std::mem::take(&mut self.0).into_bytes().zeroize();
    }
}

/// Variables with their values; no name twice. Debug shows the names only.
#[derive(Default)]
pub struct Environment(Vec<Entry>);

impl Environment {
    /// Nothing.
    pub fn empty() -> Self {
        Self::default()
    }

    /// That of this process. What no program could read (an entry without a name) is left out.
    pub fn inherited() -> Self {
        Self::of(std::env::vars_os())
    }

    /// These variables; what no program could read is left out.
    pub(crate) fn of(variables: impl Iterator<Item = (OsString, OsString)>) -> Self {
        let mut all = Self::default();
        for (name, value) in variables {
            let mut value = value.into_vec();
            let _ = all.set_bytes(&name, &value);
            value.zeroize();
        }
        all
    }

    /// Sets a variable, over one of this name.
    ///
    /// # Errors
    /// [`EnvironmentError`]; nothing is changed then.
    pub fn set(&mut self, name: &str, value: &[u8]) -> Result<(), EnvironmentError> {
        if name.is_empty() || name.contains('=') || name.chars().any(char::is_control) {
            let shown = name.chars().take(80).flat_map(char::escape_default).collect();
            return Err(EnvironmentError::Name(shown));
        }
        self.set_bytes(OsStr::new(name), value)
    }

    fn set_bytes(&mut self, name: &OsStr, value: &[u8]) -> Result<(), EnvironmentError> {
        let shown = || name.to_string_lossy().into_owned();
        let length = name.len() + 1 + value.len();
        if length + 1 > LONGEST {
            return Err(EnvironmentError::TooLong { name: shown(), bytes: value.len() });
        }
        // All at once, with the NUL that `CString` adds: growing would leave copies behind.
        let mut text = Vec::with_capacity(length + 1);
        text.extend_from_slice(name.as_bytes());
        text.push(b'=');
        text.extend_from_slice(value);
        let entry = match CString::new(text) {
            Ok(text) => Entry(text),
            Err(error) => {
                error.into_vec().zeroize();
                return Err(EnvironmentError::Nul(shown()));
            }
        };
        self.remove(name);
        self.0.push(entry);
        Ok(())
    }

    /// Removes a variable, if it is there.
    pub fn remove(&mut self, name: &OsStr) {
        self.0.retain(|entry| split(entry).0 != name.as_bytes());
    }

    /// A variable's value.
    pub fn value(&self, name: &str) -> Option<&[u8]> {
        self.0
            .iter()
            .map(split)
            .find(|(known, _)| *known == name.as_bytes())
            .map(|(_, value)| value)
    }

    /// The names, in order of setting.
    pub fn names(&self) -> impl Iterator<Item = OsString> {
        self.0.iter().map(|entry| OsString::from_vec(split(entry).0.to_vec()))
    }

    /// Names and values.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        let text = OsStr::from_bytes;
        self.0.iter().map(split).map(move |(name, value)| (text(name), text(value)))
    }

    /// As the kernel takes it.
    pub(crate) fn entries(&self) -> &[impl AsRef<CStr>] {
        &self.0
    }
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_set().entries(self.names()).finish()
    }
}

/// Name and value. The first character may be a `=`, as some shells have it.
fn split(entry: &Entry) -> (&[u8], &[u8]) {
    let bytes = entry.0.as_bytes();
    let end = bytes.iter().skip(1).position(|byte| *byte == b'=').map_or(bytes.len(), |at| at + 1);
    let (name, rest) = bytes.split_at(end);
    (name, rest.get(1..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_there_once_and_values_are_not_shown() {
        let mut all = Environment::empty();
        all.set("A", b"hunter2").unwrap();
        all.set("B", b"").unwrap();
        all.set("A", b"a=b").unwrap();
        assert_eq!(all.value("A").unwrap(), b"a=b");
        assert_eq!(all.value("B").unwrap(), b"");
        assert_eq!(all.names().collect::<Vec<_>>(), ["B", "A"]);
        assert_eq!(format!("{all:?}"), r#"{"B", "A"}"#);
    }

    #[test]
    fn what_no_variable_can_hold_is_refused() {
        let mut all = Environment::empty();
        for name in ["", "A=B", "A\0", "A\n"] {
            assert!(matches!(all.set(name, b"x"), Err(EnvironmentError::Name(_))), "{name:?}");
        }
        assert_eq!(all.set("A", b"a\0b"), Err(EnvironmentError::Nul("A".into())));
        let longest = vec![b'x'; LONGEST - 3];
        all.set("A", &longest).unwrap();
        let longer = vec![b'x'; LONGEST - 2];
        let error = all.set("A", &longer).unwrap_err();
        assert!(matches!(error, EnvironmentError::TooLong { .. }));
        assert_eq!(all.value("A").unwrap().len(), longest.len());
    }
}
