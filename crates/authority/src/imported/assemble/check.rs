//! What a leaf and its chain must be (RFC 5280 §6), each thing with its own error.

use std::collections::HashMap;
use std::time::Duration;

use rustls_pki_types::{CertificateDer, UnixTime};
use sealock_core::{SubjectName, Timestamp};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use super::{Expected, Foreign};
use crate::imported::error::ImportError;
use crate::order::Usages;

/// `id-kp-codeSigning` and `id-kp-emailProtection` (RFC 5280 §4.2.1.12).
const CODE_SIGNING: [u8; 8] = [0x2b, 6, 1, 5, 5, 7, 3, 3];
const EMAIL_PROTECTION: [u8; 8] = [0x2b, 6, 1, 5, 5, 7, 3, 4];
/// The most names of a CA that is below constraints; leaves may have as many as they can.
const MOST_NAMES_BETWEEN: usize = 32;

/// The leaf by itself.
pub(super) fn leaf(
    leaf: &Foreign,
    expected: &Expected<'_>,
    now: Timestamp,
) -> Result<(), ImportError> {
    let subject = || leaf.subject_text.clone();
    if leaf.is_ca {
        return Err(ImportError::LeafIsAuthority { subject: subject() });
    }
    in_time(leaf, now)?;
    names(leaf, expected)?;
    usages(leaf, expected)?;
    // Nobody takes a signature on code by what does not say that it is for that.
    if expected.usages.code && leaf.purposes.is_none() {
        return Err(ImportError::Usage { subject: subject(), usage: "code" });
    }
    match leaf.weak_key().or_else(|| leaf.weak_signature()) {
        Some(why) => Err(ImportError::Weak { subject: subject(), why }),
        None => Ok(()),
    }
}

pub(super) fn in_time(one: &Foreign, now: Timestamp) -> Result<(), ImportError> {
    let subject = || one.subject_text.clone();
    if now < one.not_before {
        return Err(ImportError::NotYetValid { subject: subject(), from: one.not_before });
    }
    if now > one.not_after {
        return Err(ImportError::Expired { subject: subject(), at: one.not_after });
    }
    Ok(())
}

fn names(leaf: &Foreign, expected: &Expected<'_>) -> Result<(), ImportError> {
    let Some(asked) = expected.names else { return Ok(()) };
    let text = |names: Vec<&SubjectName>| names.into_iter().map(ToString::to_string).collect();
    let missing: Vec<_> = asked.iter().filter(|name| !leaf.names.contains(name)).collect();
    if !missing.is_empty() {
        return Err(ImportError::NamesMissing { missing: text(missing) });
    }
    if expected.any_names {
        return Ok(());
    }
    let known = |name: &SubjectName| asked.contains(name) || expected.also.contains(name);
    let mut extra: Vec<String> = text(leaf.names.iter().filter(|name| !known(name)).collect());
    extra.extend(leaf.other_names.iter().cloned());
    if extra.is_empty() { Ok(()) } else { Err(ImportError::NamesAdded { extra }) }
}

/// What is asked for must be permitted, where anything is said about it at all.
fn usages(one: &Foreign, expected: &Expected<'_>) -> Result<(), ImportError> {
    let Some(purposes) = one.purposes else { return Ok(()) };
    match expected.usages.lacking(purposes.usages) {
        Some(usage) => Err(ImportError::Usage { subject: one.subject_text.clone(), usage }),
        None => Ok(()),
    }
}

/// Everything above the leaf: `chain` begins with the leaf and ends with a known root.
pub(super) fn chain<'a>(
    chain: &[&'a Foreign],
    constraints: &mut Constraints<'a>,
    expected: &Expected<'_>,
    now: Timestamp,
) -> Result<(), ImportError> {
    let [_, above @ ..] = chain else { return Err(ImportError::Empty) };
    // Self-issued ones do not count towards the path length (RFC 5280 §4.2.1.9).
    let mut below = 0_usize;
    for (index, one) in above.iter().enumerate() {
        let is_root = index + 1 == above.len();
        issuer(one, is_root, below, now)?;
        usages(one, expected).or_else(|error| if is_root { Ok(()) } else { Err(error) })?;
        constraints.permit(one, chain.get(..=index).unwrap_or_default())?;
        below += usize::from(!one.is_self_issued());
    }
    verifier(chain, wanted(chain, expected), now)
}

pub(super) fn issuer(
    one: &Foreign,
    is_root: bool,
    below: usize,
    now: Timestamp,
) -> Result<(), ImportError> {
    let subject = || one.subject_text.clone();
    if !one.is_ca {
        return Err(ImportError::NotAuthority { subject: subject() });
    }
    if one.signs_certificates == Some(false) {
        return Err(ImportError::NoCertSign { subject: subject() });
    }
    in_time(one, now)?;
    // Nobody checks a root's own signature: it is known by itself.
    let weak = one.weak_key().or_else(|| one.weak_signature().filter(|_| !is_root));
    if let Some(why) = weak {
        return Err(ImportError::Weak { subject: subject(), why });
    }
    match one.path_length {
        Some(permitted) if usize::try_from(permitted).is_ok_and(|most| below > most) => {
            Err(ImportError::PathLength { subject: subject(), permitted, found: below })
        }
        _ => Ok(()),
    }
}

/// By issuer and the one below it.
type Known<'a> = HashMap<(&'a [u8], &'a [u8]), Result<(), ImportError>>;

/// What the constraints of issuers say about the names of those below, found out once for each two: they may stand in
/// many chains.
#[derive(Default)]
pub(super) struct Constraints<'a> {
    known: Known<'a>,
}

impl<'a> Constraints<'a> {
    /// Whether an issuer permits everything `below` it, what the chain begins with first. Of those between, the
    /// self-issued ones are left out (RFC 5280 §6.1.3).
    pub(super) fn permit(
        &mut self,
        issuer: &'a Foreign,
        below: &[&'a Foreign],
    ) -> Result<(), ImportError> {
        for (index, one) in below.iter().enumerate() {
            let is_end = index == 0;
            if !is_end && one.is_self_issued() {
                continue;
            }
            let permitted = || match is_end || one.names.len() <= MOST_NAMES_BETWEEN {
                true => permits(issuer, one),
                false => Err(ImportError::Constraints {
                    subject: issuer.subject_text.clone(),
                    what: format!("{} below it has too many names", one.subject_text),
                }),
            };
            self.known.entry((&issuer.der, &one.der)).or_insert_with(permitted).clone()?;
        }
        Ok(())
    }
}

fn permits(issuer: &Foreign, one: &Foreign) -> Result<(), ImportError> {
    let subject = || issuer.subject_text.clone();
    let constraints = issuer
        .constraints
        .as_ref()
        .map_err(|what| ImportError::Constraints { subject: subject(), what: what.clone() })?;
    for name in &one.names {
        constraints.check(name).map_err(|violation| ImportError::Constrained {
            name: name.to_string(),
            subject: subject(),
            violation,
        })?;
    }
    for name in &one.directory {
        constraints.check_directory(name).map_err(|violation| ImportError::Constrained {
            name: name.to_string(),
            subject: subject(),
            violation,
        })?;
    }
    Ok(())
}

/// What a chain is shown to the verifier for: as what was asked for, or else as what the leaf says that it is.
fn wanted(chain: &[&Foreign], expected: &Expected<'_>) -> Usages {
    if expected.usages != Usages::NONE {
        return expected.usages;
    }
    let says = chain.first().and_then(|leaf| leaf.purposes);
    let says = says.map_or(Usages::SERVER, |it| it.usages);
    let tls = says.and(Usages::BOTH);
    if tls == Usages::NONE { says } else { tls }
}

/// The verifier of rustls has the last word: what it refuses, nobody who uses it could connect to. Of constraints on
/// names of a directory it knows nothing and refuses all that is below them, and so it does with addresses below
/// constraints on those, which for e-mail is too much: there, what was said above counts.
pub(super) fn verifier(
    chain: &[&Foreign],
    wanted: Usages,
    now: Timestamp,
) -> Result<(), ImportError> {
    let [leaf, intermediates @ .., root] = chain else { return Err(ImportError::Empty) };
    let refused = |error: webpki::Error| ImportError::Verifier {
        subject: leaf.subject_text.clone(),
        why: error.to_string(),
    };
    let der = CertificateDer::from(leaf.der.as_slice());
    let end = EndEntityCert::try_from(&der).map_err(refused)?;
    let root = CertificateDer::from(root.der.as_slice());
    let anchors = [anchor_from_trusted_cert(&root).map_err(refused)?];
    let between: Vec<CertificateDer<'_>> =
        intermediates.iter().map(|one| CertificateDer::from(one.der.as_slice())).collect();
    let seconds = u64::try_from(now.as_secs()).unwrap_or_default();
    let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let usages = [
        (wanted.server, KeyUsage::server_auth()),
        (wanted.client, KeyUsage::client_auth()),
        (wanted.code, KeyUsage::required_if_present(&CODE_SIGNING)),
        (wanted.email, KeyUsage::required_if_present(&EMAIL_PROTECTION)),
    ];
    let beyond = |one: &&Foreign| {
        let constraints = one.constraints.as_ref();
        constraints.is_ok_and(|it| it.has_directory() || (wanted.beyond_tls() && it.has_email()))
    };
    let beyond_it = chain.iter().any(beyond);
    for (_, usage) in usages.into_iter().filter(|(wanted, _)| *wanted) {
        let algorithms = webpki::ALL_VERIFICATION_ALGS;
        match end.verify_for_usage(algorithms, &anchors, &between, time, usage, None, None) {
            Err(webpki::Error::NameConstraintViolation) if beyond_it => {}
            verified => verified.map(|_| ()).map_err(refused)?,
        }
    }
    Ok(())
}
