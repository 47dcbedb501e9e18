//! What the labels of a container ask for: `sealock.cert.<name>.<setting>`.
//!
//! A strict parser without I/O. An attacker controls every byte of every key and value: whoever may
//! create a container sets its labels. So the parser bounds lengths and counts, accepts only what it
//! can name a meaning for, and grants nothing: the result is a request, which policy decides.
//!
//! | setting | value | default |
//! |---|---|---|
//! | `dns` | DNS names, by commas | the container's own names ([`own_names`]) |
//! | `ip` | IP addresses, by commas | none |
//! | `usage` | `server`, `client`, by commas | `server,client` |
//! | `ttl` | a span, 5 s to 398 days | `24h` |
//! | `path` | a folder, absolute and normalised | `/run/sealock/certs/<name>` |
//! | `owner` | `UID`, `UID:GID`, or names that the container knows | the container's root |
//! | `mode` | octal, for the files that hold the key | `0400` |
//! | `key-type` | `p256`, `p384`, `ed25519`, `rsa3072` | `p256` |
//! | `layout` | `tls` or `docker`: what the files are called | `tls` |
//! | `reload` | `signal:NAME` or `exec:COMMAND` (split like a shell, run without one) | none |
//! | `verify` | `tls:PORT` or `tls:PORT/SNI` | none |
//!
//! A certificate exists by any one of its labels. A bad label refuses the certificate that it belongs
//! to; the others of the container go on.

mod after;
mod certificate;
mod error;
mod label_name;
mod layout;
mod names;
mod path;
mod suggest;
#[cfg(test)]
mod tests;
mod value;

use std::collections::BTreeMap;

pub use after::{Endpoint, Reload, Signal};
pub use certificate::CertificateRequest;
pub use error::{LabelError, LabelFault};
pub use label_name::LabelName;
pub use layout::Layout;
pub use names::own_names;
pub use path::ContainerPath;
pub use value::{KeyType, MAXIMUM_TTL, MINIMUM_TTL, Usages};

/// What every label of this module begins with.
pub const PREFIX: &str = "sealock.cert.";

/// How many certificates the labels of one container may ask for.
pub const MAXIMUM_CERTIFICATES: usize = 32;
const MAXIMUM_KEY: usize = 256;
const MAXIMUM_VALUE: usize = 4096;

/// What the labels of one container come to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ParsedLabels {
    /// The certificates asked for in good form, by name.
    pub requests: Vec<CertificateRequest>,
    /// What could not be read, in the order of the labels.
    pub faults: Vec<LabelFault>,
}

/// Reads the labels of a container. Labels of others are passed over.
///
/// The order of `labels` does not matter: the result is the same for any order.
pub fn parse<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> ParsedLabels {
    let labels: BTreeMap<&str, &str> = labels.into_iter().filter(|(key, _)| is_ours(key)).collect();
    let mut faults = Vec::new();
    let mut asked: BTreeMap<LabelName, Option<CertificateRequest>> = BTreeMap::new();
    for (key, text) in labels {
        match split_key(key) {
            Err(reason) => faults.push(LabelFault::new(None, key, reason)),
            Ok((name, setting)) => {
                let request = asked
                    .entry(name.clone())
                    .or_insert_with(|| Some(CertificateRequest::with_defaults(name.clone())));
                if let Err(reason) = checked_apply(request, setting, text) {
                    faults.push(LabelFault::new(Some(name), key, reason));
                    *request = None;
                }
            }
        }
    }
    let requests = asked.into_values().flatten().collect();
    ParsedLabels { requests: without_clashes(requests, &mut faults), faults }
}

fn checked_apply(
    request: &mut Option<CertificateRequest>,
    setting: &str,
    text: &str,
) -> Result<(), LabelError> {
    if text.len() > MAXIMUM_VALUE {
        return Err(LabelError::TooLong { limit: MAXIMUM_VALUE });
    }
    match request {
        Some(request) => request.apply(setting, text),
        // Refused already; a second bad label of the same certificate is reported too.
        None => {
            let scratch = LabelName::scratch();
            CertificateRequest::with_defaults(scratch).apply(setting, text)
        }
    }
}

/// Whether a label is one of ours, misspelt prefixes included: `sealock.certs.web.dns` would otherwise
/// be passed over in silence.
fn is_ours(key: &str) -> bool {
    if key.starts_with(PREFIX) {
        return true;
    }
    let second = key.strip_prefix("sealock.").and_then(|rest| rest.split('.').next());
    second.is_some_and(|word| {
        // One slip of the hand, no more: `sealock.test` is another word.
        matches!(word, "certificate" | "certificates")
            || (word.len() <= 16 && suggest::distance(word, "cert") == 1)
    })
}

fn split_key(key: &str) -> Result<(LabelName, &str), LabelError> {
    if key.len() > MAXIMUM_KEY {
        return Err(LabelError::TooLong { limit: MAXIMUM_KEY });
    }
    let rest = key.strip_prefix(PREFIX).ok_or(LabelError::Prefix)?;
    let (name, setting) = rest.rsplit_once('.').ok_or(LabelError::NoSetting)?;
    Ok((name.parse()?, setting))
}

/// Two certificates in one folder would replace each other for ever; the first by name keeps it.
fn without_clashes(
    requests: Vec<CertificateRequest>,
    faults: &mut Vec<LabelFault>,
) -> Vec<CertificateRequest> {
    let mut kept: Vec<CertificateRequest> = Vec::new();
    for request in requests {
        let label = |setting: &str| format!("{PREFIX}{}.{setting}", request.name);
        if let Some(first) = kept.iter().find(|first| first.path == request.path) {
            let reason = LabelError::PathTaken { by: first.name.to_string() };
            faults.push(LabelFault::new(Some(request.name.clone()), &label("path"), reason));
        } else if kept.len() == MAXIMUM_CERTIFICATES {
            let reason = LabelError::TooManyCertificates { limit: MAXIMUM_CERTIFICATES };
            faults.push(LabelFault::new(Some(request.name.clone()), &label("*"), reason));
        } else {
            kept.push(request);
        }
    }
    kept
}

/// The entry for fuzzing: any bytes as `key=value` lines; checks what must hold of every result.
pub fn fuzz(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let pairs: Vec<(&str, &str)> =
        text.lines().map(|line| line.split_once('=').unwrap_or((line, ""))).collect();
    let parsed = parse(pairs.iter().copied());
    let mut names: Vec<&LabelName> = parsed.requests.iter().map(|one| &one.name).collect();
    names.dedup();
    assert_eq!(names.len(), parsed.requests.len(), "a certificate came out twice");
    assert!(parsed.requests.len() <= MAXIMUM_CERTIFICATES, "more certificates than the limit");
    for request in &parsed.requests {
        assert!(request.path.as_str().starts_with('/'), "a relative path");
        let parents = request.path.as_str().split('/').any(|part| part == ".." || part == ".");
        assert!(!parents, "a path that is not normalised");
        assert!(request.mode <= 0o777, "a mode beyond permissions");
        assert!((MINIMUM_TTL..=MAXIMUM_TTL).contains(&request.ttl), "a ttl out of range");
        let faulty = |fault: &LabelFault| fault.certificate.as_ref() == Some(&request.name);
        assert!(!parsed.faults.iter().any(faulty), "a refused certificate was asked for");
    }
    let again = parse(pairs.iter().rev().copied());
    let unique = pairs.iter().map(|(key, _)| key).collect::<std::collections::BTreeSet<_>>();
    assert!(unique.len() != pairs.len() || again == parsed, "the order of labels mattered");
    let _ = own_names(pairs.iter().map(|(_, text)| *text));
}
