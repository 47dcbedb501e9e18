//! `@defaults("…")` on a rule: what is put on every container that it lets somebody make.

use std::collections::BTreeMap;
use std::str::FromStr;

use thiserror::Error;

/// Labels, and limits for containers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Defaults {
    /// On containers, networks, volumes, builds and commits. Whoever sets one of them to something else is
    /// refused.
    pub labels: BTreeMap<String, String>,
    /// Whether a container has to run with `no-new-privileges`.
    pub no_new_privileges: bool,
    /// The most memory of a container, in bytes.
    pub memory: Option<i64>,
    /// The most processes of a container.
    pub pids: Option<i64>,
    /// The most processor time of a container, in 10⁻⁹ processors.
    pub nano_cpus: Option<i64>,
}

/// Why `@defaults` is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DefaultsError {
    /// A word that is none of those there are.
    #[error(
        "@defaults is a list of no-new-privileges, memory=SIZE, pids=NUMBER, cpus=NUMBER and label:KEY=VALUE"
    )]
    Unknown,
    /// Something comes twice.
    #[error("@defaults has `{0}` twice")]
    Twice(&'static str),
    /// A number that is none, or not above 0.
    #[error(
        "@defaults: `{0}` is a number above 0 (memory with k, m or g; cpus with up to 9 decimals)"
    )]
    Number(&'static str),
    /// A label that cannot be set in this way.
    #[error(
        "@defaults: a label is KEY=VALUE, of letters, digits and `_.:/@-`, and none of Sealock's own"
    )]
    Label,
}

impl Defaults {
    /// Both: the smaller limit of each kind. Of two values for one label the first stays.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        for (key, value) in &other.labels {
            self.labels.entry(key.clone()).or_insert_with(|| value.clone());
        }
        let smaller = |one: Option<i64>, two: Option<i64>| one.into_iter().chain(two).min();
        Self {
            labels: self.labels,
            no_new_privileges: self.no_new_privileges || other.no_new_privileges,
            memory: smaller(self.memory, other.memory),
            pids: smaller(self.pids, other.pids),
            nano_cpus: smaller(self.nano_cpus, other.nano_cpus),
        }
    }
}

impl FromStr for Defaults {
    type Err = DefaultsError;

    fn from_str(text: &str) -> Result<Self, DefaultsError> {
        let mut all = Self::default();
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            if let Some(label) = word.strip_prefix("label:") {
                let (key, value) = label.split_once('=').ok_or(DefaultsError::Label)?;
                if !is_plain(key) || !is_plain(value) || key.starts_with("sealock.") {
                    return Err(DefaultsError::Label);
                }
                if all.labels.insert(key.to_owned(), value.to_owned()).is_some() {
                    return Err(DefaultsError::Twice("label"));
                }
                continue;
            }
            match word.split_once('=') {
                None if word == "no-new-privileges" => all.no_new_privileges = true,
                Some(("memory", size)) => once(&mut all.memory, "memory", bytes(size))?,
                Some(("pids", number)) => once(&mut all.pids, "pids", number.parse().ok())?,
                Some(("cpus", number)) => once(&mut all.nano_cpus, "cpus", nano(number))?,
                _ => return Err(DefaultsError::Unknown),
            }
        }
        Ok(all)
    }
}

fn once(
    place: &mut Option<i64>,
    name: &'static str,
    number: Option<i64>,
) -> Result<(), DefaultsError> {
    let number = number.filter(|number| *number > 0).ok_or(DefaultsError::Number(name))?;
    match place.replace(number) {
        None => Ok(()),
        Some(_) => Err(DefaultsError::Twice(name)),
    }
}

fn bytes(text: &str) -> Option<i64> {
    let (digits, unit) = match text.char_indices().next_back()? {
        (at, 'k') => (text.get(..at)?, 1 << 10),
        (at, 'm') => (text.get(..at)?, 1 << 20),
        (at, 'g') => (text.get(..at)?, 1 << 30),
        _ => (text, 1),
    };
    digits.parse::<i64>().ok()?.checked_mul(unit)
}

/// A decimal number in 10⁻⁹.
fn nano(text: &str) -> Option<i64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || part.len() > 9 || !is_digits(whole) || !is_digits(part) {
        return None;
    }
    let part: i64 = format!("{part:0<9}").parse().ok()?;
    whole.parse::<i64>().ok()?.checked_mul(1_000_000_000)?.checked_add(part)
}

/// What stands unquoted in a Dockerfile, as a commit has to write it.
fn is_plain(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/@".contains(c);
    !text.is_empty() && text.len() <= 256 && text.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_and_two_make_the_stricter() {
        let one: Defaults =
            "no-new-privileges, memory=2g, cpus=1.5, label:team=ci".parse().unwrap();
        assert_eq!(
            (one.memory, one.nano_cpus, one.pids),
            (Some(2 << 30), Some(1_500_000_000), None)
        );
        let two: Defaults = "memory=512m,pids=100,label:team=other,label:a=b".parse().unwrap();
        let both = one.and(&two);
        assert!(both.no_new_privileges);
        assert_eq!((both.memory, both.pids), (Some(512 << 20), Some(100)));
        assert_eq!(both.labels.get("team").map(String::as_str), Some("ci"));
        assert_eq!(both.labels.len(), 2);
    }

    #[test]
    fn what_is_malformed_is_refused() {
        for bad in [
            "privileged",
            "memory",
            "memory=0",
            "memory=-1",
            "memory=2t",
            "memory=9999999999g",
            "memory=1,memory=2",
            "pids=x",
            "cpus=.5",
            "cpus=1.2345678901",
            "label:a",
            "label:a=b c",
            "label:sealock.owner=x",
            "label:a=1,label:a=1",
        ] {
            assert!(bad.parse::<Defaults>().is_err(), "{bad}");
        }
        assert_eq!("".parse(), Ok(Defaults::default()));
    }
}
