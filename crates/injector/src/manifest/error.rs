//! Why a `secrets.yml` was refused, and what to write instead.
//!
//! What stands in the file as a value may be a secret, so no message repeats one: they name keys, words of tags,
//! names of substitutions, and places.

use std::fmt;
use std::io;

use thiserror::Error;

use super::fault::{FileFault, TagFault};

/// A place in the file. In front of a message it is written as `line 3, column 5: `.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    line: usize,
    column: usize,
    /// Summon names no place in messages that scripts match.
    quiet: bool,
}

impl Position {
    pub(super) fn new(line: usize, column: usize) -> Self {
        Self { line, column, quiet: false }
    }

    pub(super) fn quiet(self) -> Self {
        Self { quiet: true, ..self }
    }

    /// From 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// From 1, in characters.
    pub fn column(&self) -> usize {
        self.column
    }
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.quiet {
            return Ok(());
        }
        write!(formatter, "line {}, column {}: ", self.line, self.column)
    }
}

/// What has sections: the file, or the secrets of one file that is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The whole of `secrets.yml`.
    SecretsFile,
    /// `secrets` of an entry in `summon.files`.
    FileConfig,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::SecretsFile => "secrets file",
            Self::FileConfig => "file config",
        })
    }
}

/// Why a `secrets.yml` was refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// More than any file of references should have.
    #[error("the file has more than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// Something is nested too deeply, aliases included.
    #[error("{at}nested deeper than {limit} levels")]
    TooDeep {
        /// Where.
        at: Position,
        /// The limit.
        limit: usize,
    },
    /// More keys and values than any file should have.
    #[error("{at}more than {limit} keys and values")]
    TooManyNodes {
        /// Where.
        at: Position,
        /// The limit.
        limit: usize,
    },
    /// More variables and secrets than any command should get.
    #[error("{at}more than {limit} variables and secrets")]
    TooManyEntries {
        /// Where.
        at: Position,
        /// The limit.
        limit: usize,
    },
    /// Merge keys that come to more and more of the same.
    #[error("{at}the merge keys come to more than {limit} entries")]
    TooManyMerges {
        /// Where.
        at: Position,
        /// The limit.
        limit: usize,
    },
    /// One value, or all together, after substitution.
    #[error("{at}the values are too long after substitution")]
    TooMuchText {
        /// Where.
        at: Position,
    },
    /// The YAML parser has to be helped over a tag or a tab too often.
    #[error("too many tags with special characters or tabs behind colons for the size of the file")]
    TooManyRepairs,
    /// Bytes of another encoding.
    #[error("{at}the text is not UTF-8")]
    NotUnicode {
        /// Where.
        at: Position,
    },
    /// What YAML allows only as an escape.
    #[error("{at}control characters are not allowed")]
    ControlCharacter {
        /// Where.
        at: Position,
    },
    /// Not YAML.
    #[error("{at}{problem}")]
    Syntax {
        /// Where.
        at: Position,
        /// What the YAML parser says; it names rules, never text of the file.
        problem: String,
    },
    /// A list or a single value at the top.
    #[error("{at}invalid YAML structure: expected mapping")]
    NotAMapping {
        /// Where.
        at: Position,
    },
    /// A list or a map as a key.
    #[error("{at}a key is not a single text")]
    KeyNotScalar {
        /// Where.
        at: Position,
    },
    /// The same key again.
    #[error("{at}mapping key {key:?} already defined at line {line}")]
    DuplicateKey {
        /// Where.
        at: Position,
        /// The key.
        key: String,
        /// Where it stood first.
        line: usize,
    },
    /// An alias inside of what it stands for.
    #[error("{at}an anchor's value contains itself")]
    RecursiveAnchor {
        /// Where.
        at: Position,
    },
    /// `<<: text`
    #[error("{at}map merge requires map or sequence of maps as the value")]
    MergeNeedsMapping {
        /// Where.
        at: Position,
    },
    /// A name that no environment can hold.
    #[error("{at}{name:?} cannot be the name of an environment variable")]
    Name {
        /// Where.
        at: Position,
        /// The name.
        name: String,
    },
    /// A substitution without a value.
    #[error("{at}variable {name} not declared")]
    Undeclared {
        /// Where.
        at: Position,
        /// Its name.
        name: String,
    },
    /// There is no such section, or something beside the sections.
    #[error("{at}No such environment '{environment}' found in {place}")]
    NoSuchEnvironment {
        /// Where.
        at: Position,
        /// What was asked for.
        environment: String,
        /// In what.
        place: Place,
    },
    /// Sections, and none asked for.
    #[error("{at}environment sections exist in {place} but no environment specified")]
    NoEnvironment {
        /// Where.
        at: Position,
        /// In what.
        place: Place,
    },
    /// Something that is not a section beside sections.
    #[error(
        "{at}{key:?} is no section of the {place}, and environment '{environment}' is asked for"
    )]
    NotASection {
        /// Where.
        at: Position,
        /// Its key.
        key: String,
        /// What was asked for.
        environment: String,
        /// In what.
        place: Place,
    },
    /// Summon would pass over one of them in silence.
    #[error("{at}the {place} has both `common` and `default`")]
    CommonAndDefault {
        /// Where the second is.
        at: Position,
        /// In what.
        place: Place,
    },
    /// A list or a map where a value is due.
    #[error("{at}the value of {key:?} is a {found}, not a single value")]
    ValueNotScalar {
        /// Where.
        at: Position,
        /// Its key.
        key: String,
        /// What it is.
        found: &'static str,
    },
    /// Anchors, aliases and merge keys.
    #[error("{at}anchors, aliases and merge keys are not allowed")]
    Anchor {
        /// Where.
        at: Position,
    },
    /// Only one is read.
    #[error("{at}the file holds more than one YAML document")]
    SecondDocument {
        /// Where.
        at: Position,
    },
    /// A tag that is not one of ours.
    #[error("{at}{fault}")]
    Tag {
        /// Where.
        at: Position,
        /// What is wrong with it.
        fault: TagFault,
    },
    /// `!int`, `!bool` or `!float` before something else.
    #[error("{at}the value of {key:?} is not {expected}")]
    WrongType {
        /// Where.
        at: Position,
        /// Its key.
        key: String,
        /// What its tag says.
        expected: &'static str,
    },
    /// `!var` with nothing to ask for, or with what no provider can be asked for.
    #[error("{at}the path of {key:?} is empty or has control characters")]
    SecretPath {
        /// Where.
        at: Position,
        /// Its key.
        key: String,
    },
    /// Something in `summon.files` or `sealock.files`.
    #[error("{at}{fault}")]
    File {
        /// Where.
        at: Position,
        /// What is wrong with it.
        fault: FileFault,
    },
    /// What Summon puts before everything that it finds in `summon.files`.
    #[error("failed to process file config")]
    InFile(#[source] Box<ManifestError>),
    /// `-D` without a value.
    #[error("invalid substitution format: {text:?} (expected key=value)")]
    SubstitutionFormat {
        /// What stood there.
        text: String,
    },
    /// `--up` with a place already.
    #[error("file specified ({file}) is an absolute path: will not recurse up")]
    AbsolutePath {
        /// The file.
        file: String,
    },
    /// In no folder up to the root.
    #[error("unable to locate file specified ({file}): reached root of file system")]
    NotFoundUpwards {
        /// The file.
        file: String,
    },
    /// A folder that cannot be looked into.
    #[error("unable to locate file specified ({file})")]
    Locate {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl ManifestError {
    /// What to do about it, where a person can do something.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::TooLarge { .. } => "a file has references to secrets, not large texts",
            Self::TooDeep { .. } | Self::TooManyNodes { .. } | Self::TooManyEntries { .. } => {
                "divide it into several files"
            }
            Self::Syntax { .. } => {
                "write NAME: value, indented by spaces; a value with special characters in quotes"
            }
            Self::NotAMapping { .. } => "write NAME: value, one on a line",
            Self::KeyNotScalar { .. } => "write one text before the colon",
            Self::DuplicateKey { .. } => "remove one of the two",
            Self::Name { .. } => "a name is not empty and has no `=` and no control characters",
            Self::Undeclared { name, .. } => {
                return Some(format!("declare it with -D {name}=VALUE, or write $$ for a $"));
            }
            Self::NoSuchEnvironment { .. } => {
                "every entry at the top must be a section, and one must have that name"
            }
            Self::NoEnvironment { .. } => "name a section with -e",
            Self::NotASection { .. } => "move it into a section, such as `common`, or leave out -e",
            Self::CommonAndDefault { .. } => "both mean the same; put their entries under `common`",
            Self::ValueNotScalar { found: "map", .. } => "a section is named with -e",
            Self::ValueNotScalar { .. } => "write one text, in quotes if it has special characters",
            Self::Anchor { .. } => {
                "write the entries out, or put shared ones into the section `common`"
            }
            Self::SecondDocument { .. } => "use sections and -e instead of documents",
            Self::WrongType { .. } => "correct the value, or write !str before it",
            Self::SecretPath { .. } => {
                "write the path of the secret behind the tag, on the same line"
            }
            Self::NotUnicode { .. } => "save the file as UTF-8",
            Self::ControlCharacter { .. } => {
                "write it as an escape in double quotes, such as \"\\x1b\""
            }
            Self::AbsolutePath { .. } => "leave out --up, or name the file without its folder",
            Self::Tag { fault, .. } => return fault.hint(),
            Self::File { fault, .. } => return fault.hint(),
            Self::InFile(inner) => return inner.hint(),
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
