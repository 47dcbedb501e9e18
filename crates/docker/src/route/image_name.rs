//! Names of images, read as the engine reads them and written in their long form.
//!
//! `nginx`, `docker.io/nginx` and `index.docker.io/library/nginx:latest` are one image; a policy sees
//! `docker.io/library/nginx:latest`, and that is what is forwarded.
//!
//! **What an attacker controls:** the whole text. What engines of different ages read differently is
//! refused: a registry with capitals, an IPv6 address as registry, a port with leading zeros.

use std::fmt;

use sealock_core::policy::ImageFacts;
use thiserror::Error;

/// Of registry and path together, as the engine has it.
const MAXIMUM_REPOSITORY: usize = 255;
const MAXIMUM_TAG: usize = 128;
const HUB: &str = "docker.io";
const OLD_HUB: &str = "index.docker.io";

/// Why a text names no image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ImageNameError {
    /// Nothing there.
    #[error("an image's name is empty")]
    Empty,
    /// Registry and path are too long.
    #[error("an image's name is longer than {MAXIMUM_REPOSITORY} bytes")]
    TooLong,
    /// The registry is not a host in small letters with a port at most.
    #[error("an image's registry is not a host name in small letters, with a port at most")]
    Registry,
    /// The path does not have the form that registries know.
    #[error("an image's name is not of small letters, digits and separators between them")]
    Path,
    /// The tag is malformed.
    #[error("an image's tag is malformed")]
    Tag,
    /// The digest is malformed, or not of SHA-256, SHA-384 or SHA-512.
    #[error("an image's digest is malformed")]
    Digest,
    /// An id where a name has to be.
    #[error("an id stands where an image's name has to")]
    Id,
    /// A tag or digest, and another beside it.
    #[error("an image's tag is given twice")]
    TagTwice,
    /// A digest where a tag has to be.
    #[error("a digest stands where an image's tag has to")]
    DigestedName,
}

/// An image, as a request names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageName(Name);

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Name {
    Id(String),
    Named { registry: String, path: String, tag: Option<String>, digest: Option<String> },
}

impl ImageName {
    /// Reads what names an image that the engine has: an id (`sha256:…`, or a prefix in hexadecimal digits),
    /// or a name. A name without tag and digest stays without; see [`Self::or_latest`].
    ///
    /// A name of hexadecimal digits only, such as `cafe`, counts as an id. The engine would prefer an image
    /// of that name, which therefore has to be found out by asking it, as for any id.
    pub fn parse(text: &str) -> Result<Self, ImageNameError> {
        let hex = text.strip_prefix("sha256:").unwrap_or(text);
        if (1..=64).contains(&hex.len()) && is_hex(hex) {
            return Ok(Self(Name::Id(text.to_owned())));
        }
        Self::parse_named(text)
    }

    /// Reads a name where no id can be, such as that of an image to be pulled. A name without tag and digest
    /// stays without.
    pub fn parse_named(text: &str) -> Result<Self, ImageNameError> {
        if text.is_empty() {
            return Err(ImageNameError::Empty);
        }
        if text.len() == 64 && is_hex(text) {
            return Err(ImageNameError::Id);
        }
        let (registry, rest) = split_registry(text)?;
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => (rest, Some(checked_digest(digest)?.to_owned())),
            None => (rest, None),
        };
        let (path, tag) = match rest.split_once(':') {
            Some((path, tag)) => (path, Some(checked_tag(tag)?.to_owned())),
            None => (rest, None),
        };
        if path.is_empty() || !path.split('/').all(is_path_component) {
            return Err(ImageNameError::Path);
        }
        let path = match registry == HUB && !path.contains('/') {
            true => format!("library/{path}"),
            false => path.to_owned(),
        };
        if registry.len() + 1 + path.len() > MAXIMUM_REPOSITORY {
            return Err(ImageNameError::TooLong);
        }
        Ok(Self(Name::Named { registry: registry.to_owned(), path, tag, digest }))
    }

    /// The same, with the tag `latest` if it is a name with neither tag nor digest.
    #[must_use]
    pub fn or_latest(mut self) -> Self {
        if let Name::Named { tag: tag @ None, digest: None, .. } = &mut self.0 {
            *tag = Some("latest".to_owned());
        }
        self
    }

    /// The same, with a tag or digest that was given apart from the name.
    pub fn with_tag(mut self, given: &str) -> Result<Self, ImageNameError> {
        match &mut self.0 {
            Name::Id(_) => return Err(ImageNameError::Id),
            Name::Named { tag: tag @ None, digest: digest @ None, .. } => match given.contains(':')
            {
                true => *digest = Some(checked_digest(given)?.to_owned()),
                false => *tag = Some(checked_tag(given)?.to_owned()),
            },
            // Which of them an engine takes differs from release to release.
            Name::Named { .. } => return Err(ImageNameError::TagTwice),
        }
        Ok(self)
    }

    /// The same, if it can be given to an image: not an id, and without a digest.
    pub fn without_digest(self) -> Result<Self, ImageNameError> {
        match &self.0 {
            Name::Id(_) => Err(ImageNameError::Id),
            Name::Named { digest: Some(_), .. } => Err(ImageNameError::DigestedName),
            Name::Named { .. } => Ok(self),
        }
    }

    /// The same, without the tag if there is a digest: the engine goes by the digest then.
    #[must_use]
    pub fn by_digest_alone(mut self) -> Self {
        if let Name::Named { tag, digest: Some(_), .. } = &mut self.0 {
            *tag = None;
        }
        self
    }

    /// Whether it is an id or the prefix of one.
    pub fn is_id(&self) -> bool {
        matches!(self.0, Name::Id(_))
    }

    /// Registry and path; `None` for an id.
    pub fn repository(&self) -> Option<String> {
        match &self.0 {
            Name::Id(_) => None,
            Name::Named { registry, path, .. } => Some(format!("{registry}/{path}")),
        }
    }

    /// The tag. A name with neither tag nor digest stands for all tags, where the engine has it so.
    pub fn tag(&self) -> Option<&str> {
        match &self.0 {
            Name::Id(_) => None,
            Name::Named { tag, .. } => tag.as_deref(),
        }
    }

    /// The digest of a name; `None` for an id.
    pub fn digest(&self) -> Option<&str> {
        match &self.0 {
            Name::Id(_) => None,
            Name::Named { digest, .. } => digest.as_deref(),
        }
    }

    /// What a policy is shown of it. The labels are for whoever asks the engine.
    pub fn facts(&self) -> ImageFacts {
        ImageFacts {
            reference: self.to_string(),
            repository: self.repository().unwrap_or_default(),
            tag: self.tag().map(str::to_owned),
            digest: self.digest().map(str::to_owned),
            ..ImageFacts::default()
        }
    }
}

/// The long form, which [`ImageName::parse`] reads to the same again.
impl fmt::Display for ImageName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Name::Id(id) => formatter.write_str(id),
            Name::Named { registry, path, tag, digest } => {
                write!(formatter, "{registry}/{path}")?;
                if let Some(tag) = tag {
                    write!(formatter, ":{tag}")?;
                }
                if let Some(digest) = digest {
                    write!(formatter, "@{digest}")?;
                }
                Ok(())
            }
        }
    }
}

/// The registry and what follows it. The engine takes the first segment for a registry if it has a dot or a
/// colon or is `localhost`.
fn split_registry(text: &str) -> Result<(&str, &str), ImageNameError> {
    let Some((first, rest)) = text.split_once('/') else {
        return Ok((HUB, text));
    };
    if first == OLD_HUB {
        return Ok((HUB, rest));
    }
    let is_registry = first == "localhost" || first.contains(['.', ':']);
    if !is_registry {
        // A capital makes it a registry for newer engines and an error for older ones; as a path it is refused.
        return Ok((HUB, text));
    }
    let (host, port) = match first.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (first, None),
    };
    let is_port = |port: &str| {
        !port.starts_with('0')
            && port.bytes().all(|byte| byte.is_ascii_digit())
            && port.parse::<u16>().is_ok()
    };
    if !host.split('.').all(is_host_label) || !port.is_none_or(is_port) {
        return Err(ImageNameError::Registry);
    }
    Ok((first, rest))
}

fn is_host_label(label: &str) -> bool {
    let is_of = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !label.is_empty()
        && label.bytes().all(is_of)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// Small letters and digits; between them one dot, one or two underscores, or any number of hyphens.
fn is_path_component(component: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut separator = String::new();
    let mut begun = false;
    for byte in component.bytes() {
        if is_word(byte) {
            let allowed = matches!(separator.as_str(), "" | "." | "_" | "__")
                || separator.bytes().all(|byte| byte == b'-');
            if !allowed || (!begun && !separator.is_empty()) {
                return false;
            }
            separator.clear();
            begun = true;
        } else if matches!(byte, b'.' | b'_' | b'-') {
            separator.push(char::from(byte));
        } else {
            return false;
        }
    }
    begun && separator.is_empty()
}

fn checked_tag(tag: &str) -> Result<&str, ImageNameError> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let mut bytes = tag.bytes();
    let well_formed = tag.len() <= MAXIMUM_TAG
        && bytes.next().is_some_and(is_word)
        && bytes.all(|byte| is_word(byte) || matches!(byte, b'.' | b'-'));
    if well_formed { Ok(tag) } else { Err(ImageNameError::Tag) }
}

fn checked_digest(digest: &str) -> Result<&str, ImageNameError> {
    let (algorithm, hex) = digest.split_once(':').ok_or(ImageNameError::Digest)?;
    let length = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return Err(ImageNameError::Digest),
    };
    if hex.len() == length && is_hex(hex) { Ok(digest) } else { Err(ImageNameError::Digest) }
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests;
