//! What can go wrong with the authority.

use sealock_core::{IssuerName, SubjectName, Timestamp, TrustDomain};
use sealock_store::{BoxedError, JournalError, KeyringError, StoreError};
use thiserror::Error;

use crate::constraints::{ConstraintError, Violation};
use crate::csr::CsrError;
use crate::device::{self, DeviceError};
use crate::inventory::IssuerId;
use crate::key::{KeyError, SignError};
use crate::lint::{self, LintError};
use crate::order::OrderError;
use crate::serial::Serial;

/// Why the authority did not do what it was asked.
#[derive(Debug, Error)]
pub enum AuthorityError {
    /// There is no authority in this state folder.
    #[error("there is no certificate authority here yet")]
    Missing,
    /// There is one, for another trust domain.
    #[error("there is a certificate authority already, for the trust domain {existing}")]
    OtherTrustDomain {
        /// Whose it is.
        existing: TrustDomain,
        /// What was asked for.
        asked: TrustDomain,
    },
    /// The URL under which CRLs are to be found.
    #[error("`{0}` cannot be a CRL distribution point: it must be an http or https URL")]
    CrlUrl(String),
    /// The store could not be read.
    #[error("cannot read the state of the certificate authority")]
    Read(#[from] StoreError),
    /// The journal did not take the change; nothing of it is there.
    #[error("cannot record {what}")]
    Commit {
        /// What was to be recorded.
        what: &'static str,
        /// Why not.
        source: JournalError,
    },
    /// A record could not be written as JSON.
    #[error("cannot write a record of the certificate authority")]
    Encode(#[from] serde_json::Error),
    /// A record in the store is not what was written there.
    #[error("the record of {record} is damaged")]
    Corrupt {
        /// Which.
        record: String,
    },
    /// A key did not open.
    #[error("cannot open the sealed {key}")]
    Unseal {
        /// Whose key.
        key: String,
        /// Why.
        source: KeyringError,
    },
    /// A key could not be sealed.
    #[error("cannot seal the {key}")]
    Seal {
        /// Whose key.
        key: String,
        /// Why.
        source: KeyringError,
    },
    /// A key could not be made or read.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The random generator failed.
    #[error("the system's random generator failed")]
    Random,
    /// A certificate or CRL could not be built.
    #[error("cannot build {what}")]
    Build {
        /// What was to be built.
        what: &'static str,
        /// Why not.
        source: rcgen::Error,
    },
    /// What was made breaks a rule, so it was not signed.
    #[error("{what} is not signed: it would not be good")]
    Lint {
        /// What was made.
        what: &'static str,
        /// The rule.
        source: LintError,
    },
    /// A list or an answer could not be signed.
    #[error("the signature failed")]
    Sign,
    /// A list or an answer could not be written.
    #[error("cannot be written as DER: {0}")]
    Der(String),
    /// The order itself is wrong.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// A CA certificate has constraints that cannot be checked.
    #[error(transparent)]
    Constraint(#[from] ConstraintError),
    /// The chain would make the certificate invalid.
    #[error("{name} is outside the name constraints of {authority}: {violation}")]
    NotPermitted {
        /// The name.
        name: SubjectName,
        /// The CA certificate with the constraint.
        authority: String,
        /// How it disagrees.
        violation: Violation,
    },
    /// The certificate would outlive its issuer.
    #[error("a certificate until {asked} would outlive its issuer, which ends at {issuer_ends}")]
    OutlivesIssuer {
        /// The end asked for.
        asked: Timestamp,
        /// The issuer's end.
        issuer_ends: Timestamp,
    },
    /// The certificate would begin before its issuer.
    #[error(
        "a certificate from {asked} on would begin before its issuer, which begins at {issuer_begins}"
    )]
    PredatesIssuer {
        /// The beginning asked for.
        asked: Timestamp,
        /// The issuer's beginning.
        issuer_begins: Timestamp,
    },
    /// The issuer is not valid yet: the clock was set back.
    #[error("the clock says {now}, but the issuing certificate is valid only from {not_before}")]
    ClockBehind {
        /// What the clock says.
        now: Timestamp,
        /// When the issuer begins.
        not_before: Timestamp,
    },
    /// The issuer has ended.
    #[error("the issuing certificate has expired at {0}")]
    IssuerExpired(Timestamp),
    /// A CSR was refused.
    #[error(transparent)]
    Csr(#[from] CsrError),
    /// Nothing in the inventory.
    #[error("there is no certificate `{0}` in the inventory")]
    Unknown(String),
    /// No CA certificate of this authority.
    #[error("there is no CA certificate `{0}`")]
    UnknownIssuer(IssuerId),
    /// No CA certificate of this authority has this id or serial number.
    #[error("there is no CA certificate `{0}`")]
    UnknownCa(String),
    /// A root is on no list: nobody is above it.
    #[error("the {0} cannot be revoked: nobody is above a root whose list would say so")]
    RootNotRevoked(String),
    /// A CA whose revocation is its root's to say, which is not ours.
    #[error("the issuer `{issuer}` is revoked by the CA above it, which is not ours")]
    RevokedElsewhere {
        /// The name.
        issuer: IssuerName,
    },
    /// No issuer of this name.
    #[error("there is no issuer `{issuer}`")]
    NoSuchIssuer {
        /// The name.
        issuer: IssuerName,
    },
    /// An issuer whose certificate is not here yet.
    #[error("the issuer `{issuer}` waits for its own certificate")]
    IssuerWaits {
        /// The name.
        issuer: IssuerName,
    },
    /// An issuer that is not to be chosen.
    #[error("the issuer `{issuer}` is disabled")]
    IssuerDisabled {
        /// The name.
        issuer: IssuerName,
    },
    /// An issuer whose root was taken out of the known ones.
    #[error("the root above the issuer `{issuer}` is not a known one any more")]
    IssuerRootGone {
        /// The name.
        issuer: IssuerName,
    },
    /// A usage that the extended key usage of a CA in the issuer's chain leaves out.
    #[error(
        "the chain of the issuer `{issuer}` does not permit the usage {usage}: the extended key usage of a CA in it lacks that"
    )]
    IssuerUsage {
        /// The name.
        issuer: IssuerName,
        /// `server`, `client`, `code` or `email`.
        usage: &'static str,
    },
    /// It cannot be renewed.
    #[error("the certificate {0} is revoked and cannot be renewed")]
    Revoked(Serial),
    /// Another change of the authority came in between, again and again.
    #[error("the certificate authority is being changed by another process")]
    Contended,
    /// What was to go with a certificate was changed in the meantime; there is no certificate.
    #[error("what the certificate was to go with has been changed in the meantime")]
    Overtaken,
    /// What is to go with a certificate could not be said.
    #[error("what the certificate goes with cannot be recorded")]
    Along(#[source] BoxedError),
    /// The root key is not on this host.
    #[error("the root key is not here")]
    RootKeyAway,
    /// A key file that is not this root's key.
    #[error("the key is not the key of the root certificate {0}")]
    WrongRootKey(Serial),
    /// A key file that cannot be read.
    #[error("the root key file is not one PEM block of PRIVATE KEY or ENCRYPTED PRIVATE KEY")]
    RootKeyFile,
    /// It is encrypted and no passphrase was given.
    #[error("the root key file is encrypted and no passphrase was given")]
    PassphraseMissing,
    /// It does not decrypt.
    #[error("the root key file does not open with this passphrase")]
    PassphraseWrong,
    /// It could not be encrypted.
    #[error("cannot encrypt the root key")]
    Encrypt,
    /// A list that lacks a revocation which is committed: it is given to nobody.
    #[error("the revocation list of {issuer} lacks a revocation, and its key cannot be had now")]
    ListBehind {
        /// Whose.
        issuer: IssuerId,
    },
    /// The device that has the key did not do it.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A key that is in a device cannot be handed out.
    #[error("the key of the {0} is in the HSM, which does not hand it out")]
    KeyInDevice(String),
}

impl From<SignError> for AuthorityError {
    fn from(error: SignError) -> Self {
        match error {
            SignError::Failed => Self::Sign,
            SignError::Device(error) => Self::Device(error),
        }
    }
}

impl AuthorityError {
    /// Something that could not be built, or was not signed since it breaks a rule.
    pub(crate) fn build(what: &'static str, source: rcgen::Error) -> Self {
        match lint::taken() {
            Some(source) => Self::Lint { what, source },
            None => match device::taken() {
                Some(error) => Self::Device(error),
                None => Self::Build { what, source },
            },
        }
    }

    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing => Some("make one with `sealock init`, or start `sealock up`".into()),
            Self::OtherTrustDomain { existing, .. } => Some(format!(
                "leave --trust-domain out or say {existing}; another authority needs another --state folder"
            )),
            Self::Read(error) => error.hint(),
            Self::Commit { source, .. } => source.hint(),
            Self::Unseal { source, .. } | Self::Seal { source, .. } => source.hint(),
            Self::Corrupt { .. } => Some("restore the state folder from a backup".into()),
            Self::NotPermitted { .. } => {
                Some("ask for another name; constraints change only with a new authority".into())
            }
            Self::OutlivesIssuer { .. } => Some(
                "ask for a shorter --ttl, or make a new intermediate with `sealock ca rotate`"
                    .into(),
            ),
            Self::ClockBehind { .. } => Some(
                "set the clock of this host right; if it is right now and was ahead before, make a new \
                 intermediate with `sealock ca rotate`"
                    .into(),
            ),
            Self::IssuerExpired(_) => {
                Some("make a new intermediate with `sealock ca rotate`".into())
            }
            Self::Csr(error) => error.hint(),
            Self::Unknown(_) => Some("see `sealock cert list`".into()),
            Self::RootNotRevoked(_) => Some(
                "`sealock ca rotate root` makes another; hand its bundle out and take this root out of every trust store".into(),
            ),
            Self::RevokedElsewhere { issuer } => Some(format!(
                "have the company revoke it; `sealock ca disable {issuer}` has it chosen no more"
            )),
            Self::UnknownCa(_) | Self::UnknownIssuer(_) => Some("`sealock ca show` and `sealock ca list` have the ids of those in use".into()),
            Self::Revoked(_) => Some("issue a new certificate".into()),
            Self::Contended => {
                Some("stop the other process that uses this state folder, and try again".into())
            }
            Self::ListBehind { .. } => Some(
                "another is made as soon as the passphrase is given, or the HSM answers; OCSP is answered meanwhile".into(),
            ),
            Self::Device(error) => Some(error.hint.clone()),
            Self::KeyInDevice(_) => Some(
                "`sealock ca migrate-key` takes a key out that may leave it; `sealock ca rotate` makes another".into(),
            ),
            Self::WrongRootKey(_) => Some(
                "give the file that `sealock ca export-root-key` has written for this root: `sealock ca show` has its serial"
                    .into(),
            ),
            Self::RootKeyFile => Some(
                "give the file that `sealock ca export-root-key` has written with --root-key FILE".into(),
            ),
            Self::RootKeyAway => Some("give the exported key with --root-key FILE".into()),
            Self::PassphraseMissing | Self::PassphraseWrong => {
                Some("give the passphrase that it was exported with in --passphrase-file".into())
            }
            Self::NoSuchIssuer { .. } => Some("see `sealock ca list`".into()),
            Self::IssuerWaits { issuer } => {
                Some(format!("`sealock ca import {issuer} FILE…` once it is signed"))
            }
            Self::IssuerDisabled { issuer } => Some(format!(
                "ask for another issuer; `sealock ca enable {issuer}` has it chosen again"
            )),
            Self::IssuerRootGone { issuer } => Some(format!(
                "add the root with `sealock trust add`, or have the CA signed under another and `sealock ca import {issuer} FILE…`"
            )),
            Self::IssuerUsage { .. } => {
                Some("ask for another usage or profile, or for another issuer; `sealock ca list` shows what each permits".into())
            }
            Self::Order(OrderError::IdentityElsewhere { .. }) => {
                Some("leave the identity out, or have it issued by `own`".into())
            }
            Self::Order(OrderError::ForeignIdentity { trust_domain, .. }) => {
                Some(format!("identities here begin with spiffe://{trust_domain}/"))
            }
            _ => None,
        }
    }
}
