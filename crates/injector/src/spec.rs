//! What is to be put where, as `secrets.yml` says.
//!
//! A literal or a default may be a secret, however unwise that is: `Debug` shows neither.

use std::fmt;

/// Everything that one section (or the whole) of a `secrets.yml` asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    /// In the order of the file; no name twice.
    pub variables: Vec<Variable>,
    /// Files to be made, in the order of the file.
    pub files: Vec<FileEntry>,
}

/// One environment variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub spec: Spec,
}

/// Where a value comes from, and what becomes of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Spec {
    /// Where from.
    pub source: Source,
    /// The value goes to a temporary file, and its path is what the variable holds.
    pub as_file: bool,
    /// Stands in for an empty value.
    pub default: Option<String>,
    /// Stands in when the value cannot be had (ours; Summon has no such tag).
    pub default_on_error: Option<String>,
    /// The line of the file that says so, from 1; 0 where it is not known.
    pub line: usize,
}

impl fmt::Debug for Spec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let redacted = |default: &Option<String>| default.as_ref().map(|_| Redacted);
        formatter
            .debug_struct("Spec")
            .field("source", &self.source)
            .field("as_file", &self.as_file)
            .field("default", &redacted(&self.default))
            .field("default_on_error", &redacted(&self.default_on_error))
            .field("line", &self.line)
            .finish()
    }
}

/// Where a value comes from.
#[derive(Clone, PartialEq, Eq)]
pub enum Source {
    /// It stands in the file, after substitution.
    Literal(String),
    /// A provider has it.
    Secret {
        /// Which provider, where the tag names one (ours: `!var:provider=NAME`).
        provider: Option<String>,
        /// Under which path, after substitution.
        path: String,
    },
}

impl fmt::Debug for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(_) => formatter.debug_tuple("Literal").field(&Redacted).finish(),
            Self::Secret { provider, path } => formatter
                .debug_struct("Secret")
                .field("provider", provider)
                .field("path", path)
                .finish(),
        }
    }
}

/// In place of a value.
struct Redacted;

impl fmt::Debug for Redacted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("redacted")
    }
}

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// `"key": "value"` lines.
    #[default]
    Yaml,
    /// One object.
    Json,
    /// `KEY=value` lines.
    Dotenv,
    /// Java properties.
    Properties,
    /// `export KEY=…` lines.
    Bash,
    /// A Go text/template.
    Template,
    /// The bytes of the only secret, as they are (ours).
    Raw,
}

/// One file to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Where; relative to the working directory.
    pub path: String,
    /// What is in it.
    pub content: FileContent,
    /// Its permissions.
    pub permissions: u32,
    /// Whether something that is there already is replaced (and, ours, put back at the end).
    pub overwrite: bool,
    /// `UID` or `UID:GID` (ours).
    pub owner: Option<(u32, Option<u32>)>,
    /// The line of the file that says so, from 1; 0 where it is not known.
    pub line: usize,
}

/// What is in a file that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileContent {
    /// Secrets by their aliases, in one format.
    Rendered {
        /// The format.
        format: Format,
        /// The template, for [`Format::Template`].
        template: Option<String>,
        /// In the order of the file; no alias twice.
        secrets: Vec<(String, Spec)>,
    },
    /// A folder with one file for each secret below this path (ours).
    Folder {
        /// Which provider, where one is named.
        provider: Option<String>,
        /// The path.
        prefix: String,
    },
}
