//! What a certificate is meant to be, held against what is about to be signed: the rules of each profile.
//!
//! Whoever has a certificate built says first what is meant ([`meant`]). The key signs nothing that nobody has announced,
//! and nothing that is other than announced: purposes, serial number, life and names are read from the bytes that the
//! signature will be over, and must be those.

use std::cell::Cell;

use sealock_core::SubjectName;
use x509_parser::certificate::TbsCertificate;
use x509_parser::extensions::{ExtendedKeyUsage, KeyUsage};

use super::{Found, LintError, against, must};
use crate::certificate::Validity;
use crate::csr;
use crate::key::PublicKeyKind;
use crate::order::Usages;
use crate::serial::Serial;

/// `id-kp-documentSigning` (RFC 9336).
const DOCUMENT_SIGNING: &str = "1.3.6.1.5.5.7.3.36";
/// `id-pkix-ocsp-nocheck` (RFC 6960 §4.2.2.2.1).
const OCSP_NO_CHECK: &str = "1.3.6.1.5.5.7.48.1.5";

/// What a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It signs certificates and lists.
    Authority,
    /// It is somebody else's.
    Leaf(Usages),
    /// It shows a chain to a verifier and is handed out to nobody: for this, and without a name.
    Probe(Usages),
    /// It signs the audit log.
    Signer,
    /// It answers OCSP.
    Responder,
}

/// What is meant to be signed.
#[derive(Debug, Clone)]
pub(crate) struct Intended {
    pub(crate) purpose: Purpose,
    pub(crate) serial: Serial,
    pub(crate) validity: Validity,
    pub(crate) names: Vec<SubjectName>,
}

thread_local! {
    /// rcgen calls the key in the middle of its work and hands nothing through.
    static INTENDED: Cell<Option<Intended>> = const { Cell::new(None) };
}

/// Has one certificate signed, that must be as meant.
pub(crate) fn meant<T>(intended: Intended, sign: impl FnOnce() -> T) -> T {
    INTENDED.set(Some(intended));
    let signed = sign();
    INTENDED.set(None);
    signed
}

/// What was announced on this thread. It is good for one signature.
pub(crate) fn announced() -> Option<Intended> {
    INTENDED.take()
}

/// Whether it is what was meant.
pub(super) fn as_meant(
    certificate: &TbsCertificate<'_>,
    found: &Found<'_>,
    intended: &Intended,
) -> Result<(), LintError> {
    let serial = Serial::from_integer(certificate.raw_serial());
    let is_it = serial == Some(intended.serial);
    must(is_it, "RFC 5280 §4.1.2.2", "the serial number is not the one that was drawn")?;
    let Validity { not_before, not_after } = intended.validity;
    let validity = certificate.validity();
    let life = (validity.not_before.timestamp(), validity.not_after.timestamp());
    let within = life == (not_before.as_secs(), not_after.as_secs());
    must(within, "RFC 5280 §4.1.2.5", "it does not live as long as was ordered")?;
    let names = found.names.map(|(names, _)| names).unwrap_or_default();
    let names: Option<Vec<SubjectName>> =
        names.iter().map(|name| csr::subject_name(name).ok()?.ok()).collect();
    let ordered = names.is_some_and(|names| names == intended.names);
    must(ordered, "RFC 5280 §4.2.1.6", "its names are not those that were ordered")?;
    match intended.purpose {
        Purpose::Authority => authority(found),
        Purpose::Leaf(usages) => leaf(certificate, found, usages),
        Purpose::Probe(usages) => {
            not_an_authority(found)?;
            only(found, |it| is_for(it, usages))?;
            must(
                found.names.is_none(),
                "RFC 5280 §4.2.1.6",
                "what is shown to a verifier has a name",
            )
        }
        Purpose::Signer => {
            not_an_authority(found)?;
            only(found, |it| is_one_other(it, DOCUMENT_SIGNING))?;
            signs_only(found)
        }
        Purpose::Responder => {
            not_an_authority(found)?;
            only(found, |it| is_purposes(it, |it| it.ocsp_signing))?;
            let no_check = certificate.extensions().iter();
            let no_check = no_check.filter(|it| it.oid.to_id_string() == OCSP_NO_CHECK).count();
            must(
                no_check == 1,
                "RFC 6960 §4.2.2.2.1",
                "a responder does not say how its revocation is told",
            )?;
            signs_only(found)
        }
    }
}

fn authority(found: &Found<'_>) -> Result<(), LintError> {
    let Some((true, length, _)) = found.ca else {
        return Err(against("RFC 5280 §4.2.1.9", "an authority's certificate has no CA bit"));
    };
    must(length.is_some(), "RFC 5280 §4.2.1.9", "an authority's path length has no bound")?;
    let none = found.extended.is_none();
    must(none, "RFC 5280 §4.2.1.12", "an authority's certificate has extended purposes")
}

fn leaf(
    certificate: &TbsCertificate<'_>,
    found: &Found<'_>,
    usages: Usages,
) -> Result<(), LintError> {
    not_an_authority(found)?;
    only(found, |it| is_for(it, usages))?;
    usages.check().map_err(|error| against("RFC 5280 §4.2.1.12", error.to_string()))?;
    key_usage(certificate, found, usages)?;
    names(certificate, found, usages)
}

/// Key usage as it fits the kind of key and the purposes, and nothing beyond.
fn key_usage(
    certificate: &TbsCertificate<'_>,
    found: &Found<'_>,
    usages: Usages,
) -> Result<(), LintError> {
    let Some((usage, _)) = found.usage else { return Ok(()) };
    must(usage.digital_signature(), "RFC 5280 §4.2.1.3", "its key may not sign")?;
    let key = csr::public_key(certificate.public_key());
    let kind = key.map(|key| key.kind());
    let kind = kind.map_err(|error| against("RFC 5280 §4.1.2.7", error.to_string()))?;
    let (section, enciphers, agrees) = match kind {
        // TLS 1.2 with RSA key exchange; e-mail that is sent to its holder.
        PublicKeyKind::Rsa(_) => ("RFC 4055 §1.2", usages.server || usages.email, false),
        PublicKeyKind::P256 | PublicKeyKind::P384 => ("RFC 5480 §3", false, usages.email),
        PublicKeyKind::Ed25519 => ("RFC 8410 §5", false, false),
    };
    let fits = (enciphers || !usage.key_encipherment()) && (agrees || !usage.key_agreement());
    must(fits, section, "its key usage does not fit the kind of key and what it is for")?;
    nothing_else(usage)
}

fn nothing_else(usage: &KeyUsage) -> Result<(), LintError> {
    let else_ = usage.non_repudiation()
        || usage.data_encipherment()
        || usage.encipher_only()
        || usage.decipher_only();
    must(!else_, "RFC 5280 §4.2.1.3", "its key is for more than signatures and keys")
}

fn signs_only(found: &Found<'_>) -> Result<(), LintError> {
    let Some((usage, _)) = found.usage else { return Ok(()) };
    let only = usage.digital_signature() && !usage.key_encipherment() && !usage.key_agreement();
    must(only, "RFC 5280 §4.2.1.3", "its key is for something else than signatures")?;
    nothing_else(usage)
}

/// Each purpose needs a name of its kind.
fn names(
    certificate: &TbsCertificate<'_>,
    found: &Found<'_>,
    usages: Usages,
) -> Result<(), LintError> {
    use x509_parser::extensions::GeneralName as N;
    let names = found.names.map(|(names, _)| names).unwrap_or_default();
    if usages.server {
        let reached =
            names.iter().any(|name| matches!(name, N::DNSName(_) | N::IPAddress(_) | N::URI(_)));
        must(reached, "RFC 9525 §4", "a server has no name by which it can be reached")?;
    }
    if usages.email {
        let mailbox = names.iter().any(|name| matches!(name, N::RFC822Name(_)));
        must(mailbox, "RFC 8550 §3", "a certificate for e-mail has no address")?;
    }
    if usages.code {
        let named = certificate.subject().iter_common_name().next().is_some();
        must(named, "RFC 5280 §4.1.2.6", "a certificate for code has no subject")?;
    }
    Ok(())
}

fn not_an_authority(found: &Found<'_>) -> Result<(), LintError> {
    must(!found.is_ca(), "RFC 5280 §4.2.1.9", "what is no authority has a CA bit")
}

fn only(
    found: &Found<'_>,
    is: impl FnOnce(&ExtendedKeyUsage<'_>) -> bool,
) -> Result<(), LintError> {
    let is = found.extended.is_some_and(|it| !it.any && is(it));
    must(is, "RFC 5280 §4.2.1.12", "its purposes are not just those that were ordered")
}

/// Whether these are its purposes, and there is no other.
fn is_for(it: &ExtendedKeyUsage<'_>, usages: Usages) -> bool {
    let says = Usages {
        server: it.server_auth,
        client: it.client_auth,
        code: it.code_signing,
        email: it.email_protection,
    };
    says == usages && !it.time_stamping && !it.ocsp_signing && it.other.is_empty()
}

/// Whether this is the only one of the known purposes, and there is no unknown one.
fn is_purposes(
    it: &ExtendedKeyUsage<'_>,
    wanted: impl FnOnce(&ExtendedKeyUsage<'_>) -> bool,
) -> bool {
    let known = [
        it.server_auth,
        it.client_auth,
        it.code_signing,
        it.email_protection,
        it.time_stamping,
        it.ocsp_signing,
    ];
    let count = known.into_iter().filter(|is| *is).count();
    count == 1 && it.other.is_empty() && wanted(it)
}

fn is_one_other(it: &ExtendedKeyUsage<'_>, wanted: &str) -> bool {
    let none = !it.server_auth
        && !it.client_auth
        && !it.code_signing
        && !it.email_protection
        && !it.time_stamping
        && !it.ocsp_signing;
    let [other] = it.other.as_slice() else { return false };
    none && other.to_id_string() == wanted
}
