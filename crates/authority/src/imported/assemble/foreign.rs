//! A certificate that somebody else made: what is asked of it, read once.

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use sealock_core::{SubjectName, Timestamp};
use x509_parser::certificate::X509Certificate;
use x509_parser::der_parser::asn1_rs::Oid;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry as oids;
use x509_parser::prelude::FromDer;
use x509_parser::signature_algorithm::SignatureAlgorithm;
use x509_parser::x509::{SubjectPublicKeyInfo, X509Version};

use crate::constraints::{ConstraintError, DirectoryName, NameConstraints};
use crate::csr::{subject_name, whole_bytes};
use crate::key::PublicKeyKind;
use crate::order::Usages;
use crate::serial::Serial;

const SMALLEST_RSA: usize = 2048;
const LONGEST_TEXT: usize = 200;
/// The most names of one certificate that are looked at.
const MOST_NAMES: usize = 1000;
/// The most names of a directory among them.
const MOST_DIRECTORY_NAMES: usize = 32;

/// How a certificate is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Ecdsa(Hash),
    Ed25519,
    Pkcs1(Hash),
    Pss(Hash),
    /// Not to be relied on, or not known here.
    Refused(&'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

/// What kind of key a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyKind {
    P256,
    P384,
    P521,
    Ed25519,
    Rsa(usize),
    Unknown,
}

/// What a certificate may be used for, where it says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Purposes {
    pub(crate) usages: Usages,
    pub(crate) ocsp: bool,
}

/// A certificate, read.
#[derive(Debug, Clone)]
pub struct Foreign {
    pub(crate) der: Vec<u8>,
    pub(crate) serial: String,
    pub(crate) subject: Vec<u8>,
    pub(crate) issuer: Vec<u8>,
    pub(crate) subject_text: String,
    pub(crate) issuer_text: String,
    pub(crate) spki: Vec<u8>,
    pub(crate) subject_key: Option<Vec<u8>>,
    pub(crate) authority_key: Option<Vec<u8>>,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
    pub(crate) is_ca: bool,
    pub(crate) path_length: Option<u32>,
    /// Whether its key usage lets it sign certificates; `None` without that extension.
    pub(crate) signs_certificates: Option<bool>,
    /// Whether it lets it sign revocation lists.
    pub(crate) signs_lists: Option<bool>,
    /// A critical extension that is not known here.
    pub(crate) unknown_critical: Option<String>,
    pub(crate) purposes: Option<Purposes>,
    pub(crate) names: Vec<SubjectName>,
    /// Names of kinds or forms that are not known here.
    pub(crate) other_names: Vec<String>,
    /// Its subject, and the names of a directory among the others: what constraints on those are about.
    pub(crate) directory: Vec<DirectoryName>,
    pub(crate) constraints: Result<NameConstraints, String>,
    /// Where the issuer's certificate is said to be.
    pub(crate) issuer_url: Option<String>,
    signed: Vec<u8>,
    signature: Vec<u8>,
    scheme: Scheme,
    key: KeyKind,
    key_bytes: Vec<u8>,
}

impl Foreign {
    /// Reads one; the error says what is wrong with it.
    pub(crate) fn read(der: &[u8]) -> Result<Self, &'static str> {
        let Ok(([], certificate)) = X509Certificate::from_der(der) else {
            return Err("it is not one X.509 certificate");
        };
        if certificate.version() != X509Version::V3 && certificate.version() != X509Version::V1 {
            return Err("its version is not 1 or 3");
        }
        let whole = "a signature or key that is not whole bytes";
        let signature = whole_bytes(&certificate.signature_value).ok_or(whole)?.to_vec();
        let info = certificate.public_key();
        let key_bytes = whole_bytes(&info.subject_public_key).ok_or(whole)?.to_vec();
        let twice = "an extension that is there twice, or cannot be read";
        let basic = certificate.basic_constraints().map_err(|_| twice)?;
        let usage = certificate.key_usage().map_err(|_| twice)?;
        let purposes = certificate.extended_key_usage().map_err(|_| twice)?;
        let (names, other_names) = alternative_names(&certificate).ok_or(twice)?;
        let directory = directory_names(&certificate).ok_or("names that are none, or too many")?;
        let (subject_key, authority_key, issuer_url) = hints(&certificate);
        let moment = |time: &x509_parser::time::ASN1Time| Timestamp::from_secs(time.timestamp());
        Ok(Self {
            serial: Serial::from_integer(certificate.raw_serial())
                .map(|serial| serial.to_string())
                .unwrap_or_else(|| data_encoding::HEXLOWER.encode(certificate.raw_serial())),
            subject: certificate.subject().as_raw().to_vec(),
            issuer: certificate.issuer().as_raw().to_vec(),
            subject_text: shown(&certificate.subject().to_string()),
            issuer_text: shown(&certificate.issuer().to_string()),
            spki: info.raw.to_vec(),
            subject_key,
            authority_key,
            not_before: moment(&certificate.validity().not_before),
            not_after: moment(&certificate.validity().not_after),
            is_ca: basic.as_ref().is_some_and(|basic| basic.value.ca),
            path_length: basic.and_then(|basic| basic.value.path_len_constraint),
            signs_certificates: usage.as_ref().map(|usage| usage.value.key_cert_sign()),
            signs_lists: usage.map(|usage| usage.value.crl_sign()),
            unknown_critical: unknown_critical(&certificate),
            purposes: purposes.map(|purposes| Purposes {
                usages: Usages {
                    server: purposes.value.server_auth,
                    client: purposes.value.client_auth,
                    code: purposes.value.code_signing,
                    email: purposes.value.email_protection,
                },
                ocsp: purposes.value.ocsp_signing,
            }),
            names,
            other_names,
            directory,
            constraints: NameConstraints::of_foreign(der).map_err(|error| match error {
                ConstraintError::Unsupported(what) | ConstraintError::Form(what) => shown(&what),
            }),
            issuer_url,
            signed: certificate.tbs_certificate.as_ref().to_vec(),
            signature,
            scheme: scheme(&certificate),
            key: key_kind(info),
            key_bytes,
            der: der.to_vec(),
        })
    }

    /// Whether nobody could tell whose it is.
    pub(crate) fn has_empty_subject(&self) -> bool {
        // SEQUENCE of nothing.
        self.subject.len() <= 2
    }

    /// Whether it names itself as its issuer.
    pub(crate) fn is_self_issued(&self) -> bool {
        self.subject == self.issuer
    }

    /// Whether it is the trust anchor that `anchor` is: the same name with the same key.
    pub(crate) fn is_same_authority(&self, anchor: &Self) -> bool {
        self.subject == anchor.subject && self.spki == anchor.spki
    }

    /// Whether `issuer` may be who has signed it: by name and, where both say it, by key.
    pub(crate) fn may_be_issued_by(&self, issuer: &Self) -> bool {
        let keys = self.authority_key.as_ref().zip(issuer.subject_key.as_ref());
        self.issuer == issuer.subject && keys.is_none_or(|(wanted, found)| wanted == found)
    }

    /// Whether the signature is the issuer's. One by a weak algorithm is nobody's: see [`Self::weak_signature`].
    pub(crate) fn is_signed_by(&self, issuer: &Self) -> bool {
        let Some(algorithm) = verification(self.scheme, issuer.key) else { return false };
        let key = UnparsedPublicKey::new(algorithm, &issuer.key_bytes);
        key.verify(&self.signed, &self.signature).is_ok()
    }

    /// What is weak about its signature.
    pub(crate) fn weak_signature(&self) -> Option<String> {
        match self.scheme {
            Scheme::Refused(name) => Some(format!("it is signed with {name}")),
            _ => None,
        }
    }

    /// What is weak about its key.
    pub(crate) fn weak_key(&self) -> Option<String> {
        match self.key {
            KeyKind::Rsa(bits) if bits < SMALLEST_RSA => {
                Some(format!("its RSA key has {bits} bits"))
            }
            KeyKind::Unknown => Some("its key is of an unknown kind".to_owned()),
            _ => None,
        }
    }

    /// What kind of key it is for, where we can make such keys.
    pub(crate) fn public_key_kind(&self) -> Option<PublicKeyKind> {
        match self.key {
            KeyKind::P256 => Some(PublicKeyKind::P256),
            KeyKind::P384 => Some(PublicKeyKind::P384),
            KeyKind::Ed25519 => Some(PublicKeyKind::Ed25519),
            KeyKind::Rsa(bits) => u32::try_from(bits).ok().map(PublicKeyKind::Rsa),
            KeyKind::P521 | KeyKind::Unknown => None,
        }
    }

    /// The identifier of its key, as our own have it.
    pub(crate) fn key_identifier(&self) -> [u8; 20] {
        crate::key::identifier(&self.key_bytes)
    }

    /// SHA-256 of the DER, in hex.
    pub(crate) fn fingerprint(&self) -> String {
        crate::query::fingerprint(&self.der)
    }
}

/// Of what a CA's certificate may have as critical, what no verifier that we know of stumbles over.
fn unknown_critical(certificate: &X509Certificate<'_>) -> Option<String> {
    let known = [
        oids::OID_X509_EXT_BASIC_CONSTRAINTS,
        oids::OID_X509_EXT_KEY_USAGE,
        oids::OID_X509_EXT_EXTENDED_KEY_USAGE,
        oids::OID_X509_EXT_SUBJECT_ALT_NAME,
        oids::OID_X509_EXT_NAME_CONSTRAINTS,
    ];
    let critical = certificate.extensions().iter().filter(|extension| extension.critical);
    let mut unknown = critical.filter(|extension| !known.contains(&extension.oid));
    unknown.next().map(|extension| shown(&extension.oid.to_id_string()))
}

/// A text of a certificate, fit to be shown.
fn shown(text: &str) -> String {
    let short = text.chars().take(LONGEST_TEXT);
    short
        .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
        .collect()
}

fn alternative_names(certificate: &X509Certificate<'_>) -> Option<(Vec<SubjectName>, Vec<String>)> {
    let Some(found) = certificate.subject_alternative_name().ok()? else {
        return Some((Vec::new(), Vec::new()));
    };
    let (mut names, mut others) = (Vec::new(), Vec::new());
    for name in &found.value.general_names {
        if names.len() + others.len() >= MOST_NAMES {
            return None;
        }
        match subject_name(name) {
            Ok(Ok(name)) if !names.contains(&name) => names.push(name),
            Ok(Ok(_)) => {}
            Ok(Err(kind)) => others.push(kind),
            Err(_) => others.push(shown(&name.to_string())),
        }
    }
    Some((names, others))
}

/// The subject, and the names of a directory beside it.
fn directory_names(certificate: &X509Certificate<'_>) -> Option<Vec<DirectoryName>> {
    let beside = certificate.subject_alternative_name().ok()?;
    let beside = beside.iter().flat_map(|found| &found.value.general_names);
    let beside = beside.filter_map(|name| match name {
        GeneralName::DirectoryName(name) => Some(name.as_raw()),
        _ => None,
    });
    let all = std::iter::once(certificate.subject().as_raw()).chain(beside);
    let read = all.take(MOST_DIRECTORY_NAMES + 1).map(DirectoryName::read);
    let read = read.collect::<Option<Vec<_>>>()?;
    (read.len() <= MOST_DIRECTORY_NAMES).then_some(read)
}

type Hints = (Option<Vec<u8>>, Option<Vec<u8>>, Option<String>);

fn hints(certificate: &X509Certificate<'_>) -> Hints {
    let (mut subject, mut authority, mut url) = (None, None, None);
    for extension in certificate.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(key) => subject = Some(key.0.to_vec()),
            ParsedExtension::AuthorityKeyIdentifier(key) => {
                authority = key.key_identifier.as_ref().map(|key| key.0.to_vec());
            }
            ParsedExtension::AuthorityInfoAccess(access) => {
                let issuers = access
                    .accessdescs
                    .iter()
                    .filter(|one| one.access_method == oids::OID_PKIX_ACCESS_DESCRIPTOR_CA_ISSUERS);
                url = issuers
                    .filter_map(|one| match &one.access_location {
                        GeneralName::URI(uri) => Some(shown(uri)),
                        _ => None,
                    })
                    .next();
            }
            _ => {}
        }
    }
    (subject, authority, url)
}

fn hash(oid: &Oid<'_>) -> Option<Hash> {
    [
        (oids::OID_NIST_HASH_SHA256, Hash::Sha256),
        (oids::OID_NIST_HASH_SHA384, Hash::Sha384),
        (oids::OID_NIST_HASH_SHA512, Hash::Sha512),
    ]
    .into_iter()
    .find(|(known, _)| known == oid)
    .map(|(_, hash)| hash)
}

fn scheme(certificate: &X509Certificate<'_>) -> Scheme {
    let algorithm = &certificate.signature_algorithm;
    let known = [
        (oids::OID_SIG_ECDSA_WITH_SHA256, Scheme::Ecdsa(Hash::Sha256)),
        (oids::OID_SIG_ECDSA_WITH_SHA384, Scheme::Ecdsa(Hash::Sha384)),
        (oids::OID_SIG_ECDSA_WITH_SHA512, Scheme::Ecdsa(Hash::Sha512)),
        (oids::OID_SIG_ED25519, Scheme::Ed25519),
        (oids::OID_PKCS1_SHA256WITHRSA, Scheme::Pkcs1(Hash::Sha256)),
        (oids::OID_PKCS1_SHA384WITHRSA, Scheme::Pkcs1(Hash::Sha384)),
        (oids::OID_PKCS1_SHA512WITHRSA, Scheme::Pkcs1(Hash::Sha512)),
        (oids::OID_PKCS1_SHA1WITHRSA, Scheme::Refused("RSA and SHA-1")),
        (oids::OID_PKCS1_MD5WITHRSAENC, Scheme::Refused("RSA and MD5")),
        (oids::OID_PKCS1_MD2WITHRSAENC, Scheme::Refused("RSA and MD2")),
        (oids::OID_SHA1_WITH_RSA, Scheme::Refused("RSA and SHA-1")),
        (oids::OID_SIG_DSA_WITH_SHA1, Scheme::Refused("DSA and SHA-1")),
    ];
    if let Some((_, scheme)) = known.into_iter().find(|(oid, _)| *oid == algorithm.algorithm) {
        return scheme;
    }
    if algorithm.algorithm == ECDSA_WITH_SHA1 {
        return Scheme::Refused("ECDSA and SHA-1");
    }
    match SignatureAlgorithm::try_from(algorithm) {
        Ok(SignatureAlgorithm::RSASSA_PSS(parameters)) => hash(parameters.hash_algorithm_oid())
            .map_or(Scheme::Refused("RSA-PSS and SHA-1"), Scheme::Pss),
        _ => Scheme::Refused("an algorithm that is not known"),
    }
}

const ECDSA_WITH_SHA1: Oid<'static> = x509_parser::der_parser::oid!(1.2.840.10045.4.1);

fn key_kind(info: &SubjectPublicKeyInfo<'_>) -> KeyKind {
    let algorithm = &info.algorithm;
    if algorithm.algorithm == oids::OID_KEY_TYPE_EC_PUBLIC_KEY {
        let curve = algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok());
        return match curve {
            Some(curve) if curve == oids::OID_EC_P256 => KeyKind::P256,
            Some(curve) if curve == oids::OID_NIST_EC_P384 => KeyKind::P384,
            Some(curve) if curve == oids::OID_NIST_EC_P521 => KeyKind::P521,
            _ => KeyKind::Unknown,
        };
    }
    if algorithm.algorithm == oids::OID_SIG_ED25519 {
        return KeyKind::Ed25519;
    }
    if algorithm.algorithm != oids::OID_PKCS1_RSAENCRYPTION {
        return KeyKind::Unknown;
    }
    match info.parsed() {
        Ok(x509_parser::public_key::PublicKey::RSA(key)) => {
            let significant = key.modulus.iter().skip_while(|byte| **byte == 0);
            let bytes: Vec<u8> = significant.copied().collect();
            let zeros = bytes.first().map_or(0, |first| first.leading_zeros());
            KeyKind::Rsa((bytes.len() * 8).saturating_sub(zeros as usize))
        }
        _ => KeyKind::Unknown,
    }
}

fn verification(scheme: Scheme, key: KeyKind) -> Option<&'static dyn VerificationAlgorithm> {
    Some(match (scheme, key) {
        (Scheme::Ed25519, KeyKind::Ed25519) => &signature::ED25519,
        (Scheme::Ecdsa(Hash::Sha256), KeyKind::P256) => &signature::ECDSA_P256_SHA256_ASN1,
        (Scheme::Ecdsa(Hash::Sha384), KeyKind::P256) => &signature::ECDSA_P256_SHA384_ASN1,
        (Scheme::Ecdsa(Hash::Sha512), KeyKind::P256) => &signature::ECDSA_P256_SHA512_ASN1,
        (Scheme::Ecdsa(Hash::Sha256), KeyKind::P384) => &signature::ECDSA_P384_SHA256_ASN1,
        (Scheme::Ecdsa(Hash::Sha384), KeyKind::P384) => &signature::ECDSA_P384_SHA384_ASN1,
        (Scheme::Ecdsa(Hash::Sha512), KeyKind::P384) => &signature::ECDSA_P384_SHA512_ASN1,
        (Scheme::Ecdsa(Hash::Sha256), KeyKind::P521) => &signature::ECDSA_P521_SHA256_ASN1,
        (Scheme::Ecdsa(Hash::Sha384), KeyKind::P521) => &signature::ECDSA_P521_SHA384_ASN1,
        (Scheme::Ecdsa(Hash::Sha512), KeyKind::P521) => &signature::ECDSA_P521_SHA512_ASN1,
        (Scheme::Pkcs1(Hash::Sha256), KeyKind::Rsa(_)) => {
            &signature::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY
        }
        (Scheme::Pkcs1(Hash::Sha384), KeyKind::Rsa(_)) => &signature::RSA_PKCS1_2048_8192_SHA384,
        (Scheme::Pkcs1(Hash::Sha512), KeyKind::Rsa(_)) => {
            &signature::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY
        }
        (Scheme::Pss(Hash::Sha256), KeyKind::Rsa(_)) => &signature::RSA_PSS_2048_8192_SHA256,
        (Scheme::Pss(Hash::Sha384), KeyKind::Rsa(_)) => &signature::RSA_PSS_2048_8192_SHA384,
        (Scheme::Pss(Hash::Sha512), KeyKind::Rsa(_)) => &signature::RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}
