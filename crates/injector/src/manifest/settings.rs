//! The settings of one entry of `summon.files` or `sealock.files`, by name and kind.

use super::entries::Entry;
use super::error::{ManifestError, Position};
use super::fault::FileFault;
use super::shortened;
use super::tags::Kind;
use super::tree::{Content, Node};

/// For the owner alone.
const PERMISSIONS: u32 = 0o600;

/// One entry, each name once.
pub(super) struct Settings<'n> {
    pub(super) entries: Vec<Entry<'n>>,
    pub(super) strict: bool,
    /// Where the entry begins.
    pub(super) at: Position,
}

impl<'n> Settings<'n> {
    pub(super) fn entry(&self, name: &str) -> Option<Entry<'n>> {
        self.entries.iter().find(|entry| entry.name == name).copied()
    }

    /// Strictly: no others than these.
    pub(super) fn only(&self, known: &'static [&'static str]) -> Result<(), ManifestError> {
        match self.entries.iter().find(|entry| !known.contains(&entry.name)) {
            None => Ok(()),
            Some(entry) => {
                let fault = FileFault::UnknownSetting { key: shortened(entry.name), known };
                Err(ManifestError::File { at: entry.key.at, fault })
            }
        }
    }

    pub(super) fn none_beside(
        &self,
        first: &'static str,
        others: [&'static str; 3],
    ) -> Result<(), ManifestError> {
        for second in others {
            if let Some(entry) = self.entry(second) {
                let fault = FileFault::Conflict { first, second };
                return Err(ManifestError::File { at: entry.key.at, fault });
            }
        }
        Ok(())
    }

    pub(super) fn fault(&self, setting: &'static str, expected: &'static str) -> ManifestError {
        let at = self.entry(setting).map_or(self.at, |entry| entry.value.at);
        ManifestError::File { at, fault: FileFault::Setting { setting, expected } }
    }

    /// A text; nothing at all (`path:`) is none, but strictly an error.
    pub(super) fn text(&self, setting: &'static str) -> Result<Option<&'n str>, ManifestError> {
        let Some(entry) = self.entry(setting) else { return Ok(None) };
        match (&entry.value.content, is_null(entry.value)) {
            (_, true) if !self.strict => Ok(None),
            (Content::Scalar { text, .. }, false) => Ok(Some(text)),
            _ => Err(self.fault(setting, "a text")),
        }
    }

    pub(super) fn overwrite(&self) -> Result<bool, ManifestError> {
        let Some(entry) = self.entry("overwrite") else { return Ok(false) };
        let fault = || self.fault("overwrite", "true or false");
        let Content::Scalar { text, plain } = &entry.value.content else { return Err(fault()) };
        match text.as_str() {
            "true" | "True" | "TRUE" if *plain => Ok(true),
            text if *plain && Kind::Boolean.accepts(text) => Ok(false),
            _ if self.strict => Err(fault()),
            // Booleans of YAML 1.1, with or without quotes.
            "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Ok(true),
            "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Ok(false),
            _ if is_null(entry.value) => Ok(false),
            _ => Err(fault()),
        }
    }

    /// Octal: `0600`, `0o600`. A `600` would be decimal, and the file would get a mode that nobody meant.
    pub(super) fn permissions(&self) -> Result<u32, ManifestError> {
        let Some(entry) = self.entry("permissions") else { return Ok(PERMISSIONS) };
        let fault = || self.fault("permissions", "octal, from 0001 to 0777");
        let Content::Scalar { text, plain } = &entry.value.content else { return Err(fault()) };
        let digits = text.strip_prefix("0o").or(text.strip_prefix('0'));
        let octal =
            digits.filter(|digits| !digits.is_empty() && digits.chars().all(|c| c.is_digit(8)));
        let octal = octal.and_then(|digits| u32::from_str_radix(digits, 8).ok());
        match octal {
            Some(mode @ 1..=0o777) if self.strict || *plain => return Ok(mode),
            _ if !text.starts_with('0')
                && text.parse::<u32>().is_ok()
                && is_octal_looking(text) =>
            {
                let fault = FileFault::DecimalPermissions;
                return Err(ManifestError::File { at: entry.value.at, fault });
            }
            _ if self.strict => return Err(fault()),
            _ if is_null(entry.value) => return Ok(PERMISSIONS),
            _ => {}
        }
        match integer(text).filter(|_| *plain) {
            Some(0) => Ok(PERMISSIONS),
            // Summon gives the rest to a call that looks at no other bits.
            Some(mode) => Ok(mode & 0o777),
            None => Err(fault()),
        }
    }

    /// `UID` or `UID:GID`.
    pub(super) fn owner(&self) -> Result<Option<(u32, Option<u32>)>, ManifestError> {
        let Some(text) = self.text("owner")? else { return Ok(None) };
        let fault = || self.fault("owner", "UID or UID:GID, in digits");
        // `-1` and its like mean "leave it" to the kernel, and are no owner.
        let number = |text: &str| {
            let digits = text.chars().all(|c| c.is_ascii_digit());
            text.parse::<u32>()
                .ok()
                .filter(|number| digits && *number != u32::MAX)
                .ok_or_else(fault)
        };
        match text.split_once(':') {
            Some((user, group)) => Ok(Some((number(user)?, Some(number(group)?)))),
            None => Ok(Some((number(text)?, None))),
        }
    }
}

/// Whether a decimal number could be meant as octal, and would then be another.
fn is_octal_looking(text: &str) -> bool {
    text.len() > 1 && text.chars().all(|c| c.is_digit(8))
}

/// Nothing, or one of the words for it.
fn is_null(node: &Node) -> bool {
    let tag = node.tag.as_ref().map(|tag| tag.as_str());
    let word = matches!(&node.content, Content::Scalar { text, plain: true }
        if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"));
    word && matches!(tag, None | Some("tag:yaml.org,2002:null"))
}

/// An integer as Go reads one in a YAML file, where a leading 0 makes it octal.
fn integer(text: &str) -> Option<u32> {
    let digits = text.strip_prefix('+').unwrap_or(text).replace('_', "");
    let lower = digits.to_ascii_lowercase();
    let (digits, radix) = match lower.as_bytes() {
        [b'0', b'x', ..] => (lower.get(2..)?, 16),
        [b'0', b'b', ..] => (lower.get(2..)?, 2),
        [b'0', b'o', ..] => (lower.get(2..)?, 8),
        [b'0', _, ..] => (lower.get(1..)?, 8),
        _ => (lower.as_str(), 10),
    };
    let all = digits.chars().all(|c| c.is_digit(radix));
    all.then(|| u32::from_str_radix(digits, radix).ok())?
}
