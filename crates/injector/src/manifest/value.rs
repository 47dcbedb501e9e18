//! What one value says: a literal or the path of a secret, with what its tag adds.

use super::entries::Entry;
use super::error::ManifestError;
use super::fault::TagFault;
use super::reader::Reader;
use super::substitution::{self, Failed};
use super::tags::{Kind, LooseTag, StrictTag};
use super::tree::{Content, Node};
use super::{MAXIMUM_ENTRIES, MAXIMUM_TEXT, shortened};
use crate::spec::{Source, Spec};

impl Reader<'_> {
    /// Reads one entry, with its substitutions.
    pub(super) fn spec(&mut self, entry: &Entry<'_>) -> Result<Spec, ManifestError> {
        self.entries += 1;
        if self.entries > MAXIMUM_ENTRIES {
            return Err(ManifestError::TooManyEntries { at: entry.key.at, limit: MAXIMUM_ENTRIES });
        }
        if self.strict() { self.strict_spec(entry) } else { self.loose_spec(entry) }
    }

    /// Strictly: what can be said about an entry without its substitutions.
    pub(super) fn check(&self, entry: &Entry<'_>) -> Result<(), ManifestError> {
        scalar(entry)?;
        strict_tag(entry.value).map(|_| ())
    }

    /// Strictly, a name has no character that a shell or a log would show as something else.
    pub(super) fn check_variable(&self, entry: &Entry<'_>) -> Result<(), ManifestError> {
        let strange = |c: char| c == '=' || c == '\0' || self.strict() && c.is_control();
        if entry.name.is_empty() || entry.name.contains(strange) {
            return Err(ManifestError::Name { at: entry.key.at, name: shortened(entry.name) });
        }
        Ok(())
    }

    /// Strictly, there are tags only on values.
    pub(super) fn refuse_tag(&self, node: &Node) -> Result<(), ManifestError> {
        let usual = match node.tag.as_ref().map(|tag| tag.as_str()) {
            None => true,
            Some(tag) => matches!(
                (tag.strip_prefix("tag:yaml.org,2002:"), &node.content),
                (Some("str"), Content::Scalar { .. })
                    | (Some("map"), Content::Mapping(_))
                    | (Some("seq"), Content::Sequence(_))
            ),
        };
        match usual || !self.strict() {
            true => Ok(()),
            false => Err(ManifestError::Tag { at: node.at, fault: TagFault::NotHere }),
        }
    }

    /// A list or a map is an empty text, and everything else is taken as it stands.
    fn loose_spec(&mut self, entry: &Entry<'_>) -> Result<Spec, ManifestError> {
        let text = match &entry.value.content {
            Content::Scalar { text, .. } => text.as_str(),
            Content::Sequence(_) | Content::Mapping(_) => "",
        };
        let tag = LooseTag::read(entry.value.tag.as_ref().map_or("", |tag| tag.as_str()));
        let text = self.substituted(text, entry.value)?;
        let source = match tag.var {
            true => Source::Secret { provider: None, path: text },
            false => Source::Literal(text),
        };
        let default =
            tag.default.filter(|default| !default.is_empty()).map(|default| default.to_string());
        Ok(Spec {
            source,
            as_file: tag.file,
            default,
            default_on_error: None,
            line: entry.key.at.line(),
        })
    }

    fn strict_spec(&mut self, entry: &Entry<'_>) -> Result<Spec, ManifestError> {
        let text = scalar(entry)?;
        let tag = strict_tag(entry.value)?;
        let mut text = self.substituted(text, entry.value)?;
        let mut default = tag.default.map(|default| default.to_string());
        let source = if tag.var {
            self.check_path(&text, entry)?;
            Source::Secret { provider: tag.provider, path: text }
        } else {
            // Whether a literal is empty is known by now.
            if let Some(default) = default.take().filter(|_| text.is_empty()) {
                text = default;
            }
            let kind = tag.kind.unwrap_or(Kind::Text);
            if !kind.accepts(&text) {
                let (at, key) = (entry.value.at, shortened(entry.name));
                return Err(ManifestError::WrongType { at, key, expected: kind.name() });
            }
            Source::Literal(text)
        };
        let default_on_error = tag.default_on_error.map(|default| default.to_string());
        Ok(Spec { source, as_file: tag.file, default, default_on_error, line: entry.key.at.line() })
    }

    /// Strictly: paths go over pipes by lines, and into logs.
    pub(super) fn check_path(&self, path: &str, entry: &Entry<'_>) -> Result<(), ManifestError> {
        if path.is_empty() || path.contains(|c: char| c.is_control()) {
            return Err(ManifestError::SecretPath {
                at: entry.value.at,
                key: shortened(entry.name),
            });
        }
        Ok(())
    }

    pub(super) fn substituted(&mut self, text: &str, node: &Node) -> Result<String, ManifestError> {
        let text = match substitution::apply(text, self.options.substitutions) {
            Ok(text) => text,
            Err(Failed::Undeclared(name)) => {
                let name = shortened(&name);
                return Err(ManifestError::Undeclared { at: self.at(node), name });
            }
            Err(Failed::TooLong) => return Err(ManifestError::TooMuchText { at: node.at }),
        };
        self.text += text.len();
        if self.text > MAXIMUM_TEXT {
            return Err(ManifestError::TooMuchText { at: node.at });
        }
        Ok(text)
    }
}

fn scalar<'n>(entry: &Entry<'n>) -> Result<&'n str, ManifestError> {
    let found = match &entry.value.content {
        Content::Scalar { text, .. } => return Ok(text),
        Content::Sequence(_) => "list",
        Content::Mapping(_) => "map",
    };
    Err(ManifestError::ValueNotScalar { at: entry.key.at, key: shortened(entry.name), found })
}

fn strict_tag(value: &Node) -> Result<StrictTag, ManifestError> {
    match &value.tag {
        None => Ok(StrictTag::default()),
        Some(tag) => {
            StrictTag::read(tag).map_err(|fault| ManifestError::Tag { at: value.at, fault })
        }
    }
}
