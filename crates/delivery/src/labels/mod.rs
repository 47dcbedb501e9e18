//! What the labels of a container ask for: `sealock.cert.<name>.<setting>`,
//! `sealock.secret.<name>.<setting>` and `sealock.trust.<name>.<setting>`.
//!
//! A strict parser without I/O. An attacker controls every byte of every key and value: whoever may
//! create a container sets its labels. So the parser bounds lengths and counts, accepts only what it
//! can name a meaning for, and grants nothing: the result is a request, which policy decides.
//!
//! Of a certificate:
//!
//! | setting | value | default |
//! |---|---|---|
//! | `dns` | DNS names, by commas | the container's own names ([`own_names`]) |
//! | `ip` | IP addresses, by commas | none |
//! | `usage` | `server`, `client`, by commas; not with `profile` | `server,client` |
//! | `profile` | the name of a certificate profile | that of the usage |
//! | `ttl` | a span, 5 s to 398 days | as the profile says, or `24h` |
//! | `path` | a folder, absolute and normalised | `/run/sealock/certs/<name>` |
//! | `owner` | `UID`, `UID:GID`, or names that the container knows | the container's root |
//! | `mode` | octal, for the files that hold the key | `0400` |
//! | `key-type` | `p256`, `p384`, `ed25519`, `rsa3072` | `p256` |
//! | `layout` | `tls` or `docker`: what the files are called | `tls` |
//! | `format` | `pem`, `pkcs12`, `pkcs12-legacy`, `jks`, `der`, `p7b`, by commas: what is there beside the files of PEM; not with the layout `docker` | none |
//! | `password` | the secret of the vault that is the password of the stores among them | one of our making, in a file beside them |
//! | `reload` | `signal:NAME` or `exec:COMMAND` (split like a shell, run without one) | none |
//! | `verify` | `tls:PORT` or `tls:PORT/SNI` | none |
//! | `imported` | the name of a certificate that another authority has signed; without `dns`, `ip`, `usage`, `profile`, `ttl`, `key-type` and `issuer` | one of ours is issued |
//! | `issuer` | who signs it: `own`, or an issuing CA under a root of somebody else | the first of the settings that policy permits |
//!
//! Of a secret:
//!
//! | setting | value | default |
//! |---|---|---|
//! | `ref` | its name in the vault | it must be there |
//! | `path` | a file, absolute and normalised | `/run/sealock/secrets/<name>` |
//! | `owner`, `mode`, `reload` | as for a certificate | |
//! | `on-disk` | `allowed`: the file may be where it reaches a disk | only memory will do |
//!
//! Of a trust bundle, the roots that Sealock hands out:
//!
//! | setting | value | default |
//! |---|---|---|
//! | `path` | a file, absolute and normalised | `/run/sealock/trust/<name>` |
//! | `mode` | as for a certificate | `0444` |
//! | `format` | `pem`, `pkcs12`, `jks` | `pem` |
//! | `password` | the secret of the vault that is its password; not with `pem` | `changeit` |
//! | `owner`, `reload` | as for a certificate | |
//!
//! A certificate or trust bundle exists by any one of its labels, a secret by its `ref`. A bad label refuses the one that
//! it belongs to; the others of the container go on.

pub mod acme;
mod after;
mod certificate;
mod clash;
mod error;
pub mod guard;
mod kind;
mod label_name;
mod layout;
mod names;
mod path;
mod secret;
mod store;
mod suggest;
#[cfg(test)]
mod tests;
mod trust;
mod value;

use std::collections::BTreeMap;

pub use after::{Endpoint, Reload, Signal};
pub use certificate::CertificateRequest;
pub use error::{LabelError, LabelFault};
pub use kind::Kind;
pub use label_name::LabelName;
pub use layout::Layout;
pub use names::own_names;
pub use path::ContainerPath;
pub use secret::SecretRequest;
pub use store::{PASSWORD_FILE, StoreFormat, TrustFormat};
pub use trust::TrustRequest;
pub use value::{KeyType, MAXIMUM_TTL, MINIMUM_TTL, USUAL_TTL, Usages};

const MAXIMUM_KEY: usize = 256;
const MAXIMUM_VALUE: usize = 4096;

/// What the labels of one container come to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ParsedLabels {
    /// The certificates asked for in good form, by name.
    pub certificates: Vec<CertificateRequest>,
    /// The secrets asked for in good form, by name.
    pub secrets: Vec<SecretRequest>,
    /// The trust bundles asked for in good form, by name.
    pub trusts: Vec<TrustRequest>,
    /// What could not be read, in the order of the labels.
    pub faults: Vec<LabelFault>,
}

impl ParsedLabels {
    /// Whether nothing is asked for, and nothing seems to be.
    pub fn is_empty(&self) -> bool {
        self.certificates.is_empty()
            && self.secrets.is_empty()
            && self.trusts.is_empty()
            && self.faults.is_empty()
    }
}

/// What is asked for by labels that are still being read.
enum Draft {
    Certificate(certificate::Draft),
    Secret(secret::Draft),
    Trust(TrustRequest),
}

impl Draft {
    fn new(kind: Kind, name: LabelName) -> Self {
        match kind {
            Kind::Certificate => Self::Certificate(certificate::Draft::new(name)),
            Kind::Secret => Self::Secret(secret::Draft::new(name)),
            Kind::Trust => Self::Trust(TrustRequest::new(name)),
        }
    }

    fn apply(&mut self, setting: &str, text: &str) -> Result<(), LabelError> {
        match self {
            Self::Certificate(draft) => draft.apply(setting, text),
            Self::Secret(draft) => draft.apply(setting, text),
            Self::Trust(draft) => draft.apply(setting, text),
        }
    }
}

/// Reads the labels of a container. Labels of others are passed over.
///
/// The order of `labels` does not matter: the result is the same for any order.
pub fn parse<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> ParsedLabels {
    let ours = |(key, text)| Some((key, (Kind::of(key)?, text)));
    let labels: BTreeMap<&str, (Kind, &str)> = labels.into_iter().filter_map(ours).collect();
    let mut parsed = ParsedLabels::default();
    let mut asked: BTreeMap<(Kind, LabelName), Option<Draft>> = BTreeMap::new();
    for (key, (kind, text)) in labels {
        match split_key(kind, key) {
            Err(reason) => parsed.faults.push(LabelFault::new(kind, None, key, reason)),
            Ok((name, setting)) => {
                let draft = asked
                    .entry((kind, name.clone()))
                    .or_insert_with(|| Some(Draft::new(kind, name.clone())));
                if let Err(reason) = checked_apply(kind, draft, setting, text) {
                    parsed.faults.push(LabelFault::new(kind, Some(name), key, reason));
                    *draft = None;
                }
            }
        }
    }
    for ((kind, name), draft) in asked {
        match draft {
            None => {}
            Some(Draft::Certificate(draft)) => match draft.finish() {
                Ok(request) => parsed.certificates.push(request),
                Err((setting, reason)) => {
                    let label = format!("{}{name}.{setting}", kind.prefix());
                    parsed.faults.push(LabelFault::new(kind, Some(name), &label, reason));
                }
            },
            Some(Draft::Secret(draft)) => match draft.finish() {
                Ok(request) => parsed.secrets.push(request),
                Err(reason) => {
                    let label = format!("{}{name}.ref", kind.prefix());
                    parsed.faults.push(LabelFault::new(kind, Some(name), &label, reason));
                }
            },
            Some(Draft::Trust(request)) => match request.finish() {
                Ok(request) => parsed.trusts.push(request),
                Err(reason) => {
                    let label = format!("{}{name}.password", kind.prefix());
                    parsed.faults.push(LabelFault::new(kind, Some(name), &label, reason));
                }
            },
        }
    }
    clash::settle(&mut parsed);
    parsed
}

fn checked_apply(
    kind: Kind,
    draft: &mut Option<Draft>,
    setting: &str,
    text: &str,
) -> Result<(), LabelError> {
    if text.len() > MAXIMUM_VALUE {
        return Err(LabelError::TooLong { limit: MAXIMUM_VALUE });
    }
    match draft {
        Some(draft) => draft.apply(setting, text),
        // Refused already; a second bad label of the same one is reported too.
        None => Draft::new(kind, LabelName::scratch()).apply(setting, text),
    }
}

fn split_key(kind: Kind, key: &str) -> Result<(LabelName, &str), LabelError> {
    if key.len() > MAXIMUM_KEY {
        return Err(LabelError::TooLong { limit: MAXIMUM_KEY });
    }
    let rest = key.strip_prefix(kind.prefix()).ok_or(LabelError::Prefix { kind })?;
    let (name, setting) = rest.rsplit_once('.').ok_or(LabelError::NoSetting { kind })?;
    Ok((name.parse()?, setting))
}

/// The entry for fuzzing: any bytes as `key=value` lines; checks what must hold of every result.
pub fn fuzz(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let pairs: Vec<(&str, &str)> =
        text.lines().map(|line| line.split_once('=').unwrap_or((line, ""))).collect();
    guard::fuzz(&pairs);
    acme::fuzz(&pairs);
    let parsed = parse(pairs.iter().copied());
    let certificates = parsed.certificates.iter().map(|one| (Kind::Certificate, &one.name));
    let secrets = parsed.secrets.iter().map(|one| (Kind::Secret, &one.name));
    let trusts = parsed.trusts.iter().map(|one| (Kind::Trust, &one.name));
    let asked: Vec<(Kind, &LabelName)> = certificates.chain(secrets).chain(trusts).collect();
    for (index, (kind, name)) in asked.iter().enumerate() {
        assert!(!asked.iter().skip(index + 1).any(|other| *other == (*kind, *name)), "asked twice");
        let faulty = |fault: &LabelFault| fault.kind == *kind && fault.name.as_ref() == Some(*name);
        assert!(!parsed.faults.iter().any(faulty), "what was refused is asked for");
    }
    assert!(parsed.certificates.len() <= Kind::Certificate.limit(), "more than the limit");
    assert!(parsed.secrets.len() <= Kind::Secret.limit(), "more than the limit");
    assert!(parsed.trusts.len() <= Kind::Trust.limit(), "more than the limit");
    let folders = parsed.certificates.iter().map(|one| (&one.path, one.mode));
    let secrets = parsed.secrets.iter().map(|one| (&one.path, one.mode));
    let trusts = parsed.trusts.iter().map(|one| (&one.path, one.mode));
    for (path, mode) in folders.chain(secrets).chain(trusts) {
        assert!(path.as_str().starts_with('/'), "a relative path");
        let parents = path.as_str().split('/').any(|part| part == ".." || part == ".");
        assert!(!parents, "a path that is not normalised");
        assert!(mode & !0o644 == 0 && mode & 0o400 != 0, "a mode that is never meant");
    }
    for request in &parsed.certificates {
        let in_range = |ttl| (MINIMUM_TTL..=MAXIMUM_TTL).contains(&ttl);
        assert!(request.ttl.is_none_or(in_range), "a ttl out of range");
        assert!(request.imported.is_none() || request.dns.is_none(), "two kinds in one");
        assert!(request.password.is_none() || request.has_store(), "a password of nothing");
        let docker = request.layout == Layout::Docker;
        assert!(!docker || request.formats.is_empty(), "stores beside files for Docker");
    }
    for trust in &parsed.trusts {
        let plain = trust.format == TrustFormat::Pem;
        assert!(trust.password.is_none() || !plain, "a password of nothing");
    }
    let secrets = parsed.secrets.iter().map(|one| &one.path);
    let files: Vec<&ContainerPath> =
        secrets.chain(parsed.trusts.iter().map(|one| &one.path)).collect();
    for (index, file) in files.iter().enumerate() {
        let later = files.iter().skip(index + 1).copied();
        for other in later.chain(parsed.certificates.iter().map(|one| &one.path)) {
            let clash = file.is_within(other) || other.is_within(file);
            assert!(!clash, "two things at one path");
        }
    }
    let again = parse(pairs.iter().rev().copied());
    let unique = pairs.iter().map(|(key, _)| key).collect::<std::collections::BTreeSet<_>>();
    assert!(unique.len() != pairs.len() || again == parsed, "the order of labels mattered");
    let _ = own_names(pairs.iter().map(|(_, text)| *text));
}
