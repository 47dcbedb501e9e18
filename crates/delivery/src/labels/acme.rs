//! What labels ask for by ACME: `sealock.acme.names`, the names that the container's own client may order without a challenge.
//!
//! | setting | value | default |
//! |---|---|---|
//! | `names` | DNS names and IP addresses, by commas | it must be there |
//!
//! As strict as its neighbours: any bad label refuses the whole. It is a request: for each of the names policy is asked.

use std::collections::BTreeMap;

use sealock_core::SubjectName;
use thiserror::Error;

use super::error::shortened;
use super::{MAXIMUM_KEY, MAXIMUM_VALUE, suggest};

/// What the labels begin with.
pub const PREFIX: &str = "sealock.acme.";
/// The only setting.
const NAMES: &str = "names";
/// Names that one container may have; an order takes as many.
pub const MOST_NAMES: usize = 100;

/// Why such a label was refused, with the label as it may be repeated.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("label `{label}`: {reason}")]
pub struct AcmeFault {
    /// Which.
    pub label: String,
    /// Why.
    pub reason: AcmeLabelError,
}

/// Why such a label was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AcmeLabelError {
    /// Another than `names`.
    #[error("the only label for ACME is `{PREFIX}{NAMES}`")]
    Unknown,
    /// Key or value.
    #[error("longer than {limit} bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// A list without end.
    #[error("more than {MOST_NAMES} names")]
    TooMany,
    /// A member that is neither a DNS name nor an address.
    #[error("`{text}` is neither a DNS name nor an IP address")]
    Name {
        /// What stood there.
        text: String,
    },
}

/// The names that the labels of a container list for ACME, each once, in their order. `None` where no label speaks of it; labels
/// of others are passed over.
///
/// # Errors
/// The first label that cannot be read, in the order of their names.
pub fn names<'a>(
    labels: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<Option<Vec<SubjectName>>, AcmeFault> {
    let ours: BTreeMap<&str, &str> = labels.into_iter().filter(|(key, _)| is_meant(key)).collect();
    let mut found = None;
    for (key, text) in ours {
        let read = one(key, text);
        found = Some(read.map_err(|reason| AcmeFault { label: shortened(key), reason })?);
    }
    Ok(found)
}

/// Whether a label is about ACME, misspelt ones included: they would otherwise be passed over in silence.
fn is_meant(key: &str) -> bool {
    let Some(rest) = key.strip_prefix("sealock.") else { return false };
    let second = rest.split('.').next().unwrap_or_default();
    second.len() <= 16 && suggest::distance(second, "acme") <= 1
}

fn one(key: &str, text: &str) -> Result<Vec<SubjectName>, AcmeLabelError> {
    for (part, limit) in [(key, MAXIMUM_KEY), (text, MAXIMUM_VALUE)] {
        if part.len() > limit {
            return Err(AcmeLabelError::TooLong { limit });
        }
    }
    if key.strip_prefix(PREFIX) != Some(NAMES) {
        return Err(AcmeLabelError::Unknown);
    }
    let mut names = Vec::new();
    for member in text.split(',').map(str::trim) {
        let read = SubjectName::ip(member).or_else(|_| SubjectName::dns(member));
        let name = read.map_err(|_| AcmeLabelError::Name { text: shortened(member) })?;
        if !names.contains(&name) {
            names.push(name);
        }
        if names.len() > MOST_NAMES {
            return Err(AcmeLabelError::TooMany);
        }
    }
    Ok(names)
}

/// What must hold of every result.
pub(super) fn fuzz(pairs: &[(&str, &str)]) {
    let read = names(pairs.iter().copied());
    if let Ok(Some(names)) = &read {
        assert!((1..=MOST_NAMES).contains(&names.len()), "no names, or too many");
        let good = |name: &SubjectName| matches!(name, SubjectName::Dns(_) | SubjectName::Ip(_));
        assert!(names.iter().all(good), "a name that is not for ACME");
    }
    let unique = pairs.iter().map(|(key, _)| key).collect::<std::collections::BTreeSet<_>>();
    let again = names(pairs.iter().rev().copied());
    assert!(unique.len() != pairs.len() || again == read, "the order of labels mattered");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(labels: &[(&str, &str)]) -> Result<Option<Vec<String>>, String> {
        let found = names(labels.iter().copied()).map_err(|fault| fault.to_string())?;
        Ok(found.map(|names| names.iter().map(ToString::to_string).collect()))
    }

    #[test]
    fn names_and_addresses_are_read_each_once() {
        let label =
            ("sealock.acme.names", "Web.corp.example, 10.0.0.5,*.corp.example,web.corp.example");
        let others = [("sealock.cert.web.dns", "x"), ("com.example", "y"), label];
        let names = ["web.corp.example", "10.0.0.5", "*.corp.example"].map(str::to_owned);
        assert_eq!(read(&others), Ok(Some(names.to_vec())));
        assert_eq!(read(&others[..2]), Ok(None));
    }

    #[test]
    fn what_cannot_be_read_refuses_the_whole() {
        let good = ("sealock.acme.names", "web.corp.example");
        let (many, long) = (vec!["a.example"; 200].join(","), "a".repeat(5000));
        assert_eq!(read(&[("sealock.acme.names", &many)]).unwrap().unwrap().len(), 1);
        let numbered: Vec<String> = (0..=100).map(|it| format!("n{it}.example")).collect();
        for (label, said) in [
            (("sealock.acme.names", ""), "neither a DNS name"),
            (("sealock.acme.names", "a.example,,b.example"), "neither a DNS name"),
            (("sealock.acme.names", "spiffe://t/service/x"), "neither a DNS name"),
            (("sealock.acme.names", "a@b.example"), "neither a DNS name"),
            (("sealock.acme.names", "a.*.example"), "neither a DNS name"),
            (("sealock.acme.names", long.as_str()), "longer than"),
            (("sealock.acme.names", &numbered.join(",")), "more than 100 names"),
            (("sealock.acme.name", "a.example"), "the only label"),
            (("sealock.acme", "a.example"), "the only label"),
            (("sealock.acmes.names", "a.example"), "the only label"),
        ] {
            let refused = read(&[label]).unwrap_err();
            assert!(refused.contains(said), "{label:?}: {refused}");
            assert!(label.0 == good.0 || read(&[good, label]).is_err(), "{label:?}");
        }
        assert_eq!(read(&[("sealock.test", "x"), ("sealock.owner", "y")]), Ok(None));
    }
}
