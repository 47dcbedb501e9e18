//! Roots of others: what chains of imported certificates may end at, and what is handed out as trust bundle beside our
//! own roots.

use sealock_core::audit::{Actor, Fact};
use sealock_core::{ImportedName, IssuerName, Timestamp};
use sealock_store::{Change, Transaction};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::assemble::Foreign;
use super::own::is_own_name;
use crate::authority::Authority;
use crate::error::AuthorityError;
use crate::inventory::IssuerId;
use crate::pem;
use crate::state::Der;

pub(super) const ANCHORS: &str = "imported/anchor/";
const MOST: usize = 64;

/// A root of somebody else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// What it is called here.
    pub name: ImportedName,
    /// When it was added.
    pub added: Timestamp,
    /// Its subject, readable.
    pub subject: String,
    /// Until when it is valid.
    pub not_after: Timestamp,
    /// SHA-256 of the DER, in hex.
    pub fingerprint: String,
    /// Whether it is signed by itself; otherwise somebody has chosen an intermediate.
    pub self_signed: bool,
    pub(crate) der: Der,
}

impl Anchor {
    /// The certificate in PEM.
    pub fn pem(&self) -> String {
        pem::encode("CERTIFICATE", &self.der.0)
    }

    /// The certificate.
    pub fn der(&self) -> &[u8] {
        &self.der.0
    }

    fn place(&self) -> Vec<u8> {
        format!("{ANCHORS}{}", self.name).into_bytes()
    }
}

/// Why a root was not added or removed.
#[derive(Debug, Error)]
pub enum AnchorError {
    /// Not a certificate.
    #[error("the root cannot be read: {0}")]
    Unreadable(&'static str),
    /// A leaf.
    #[error("{0} is not the certificate of a CA")]
    NotAuthority(String),
    /// Below another CA.
    #[error("{subject} is not signed by itself, but by {issuer}")]
    NotSelfSigned {
        /// Its subject.
        subject: String,
        /// Its issuer.
        issuer: String,
    },
    /// Its self-signature does not hold.
    #[error("the signature of {0} on itself does not hold")]
    Signature(String),
    /// Too small a key.
    #[error("{subject} is too weak: {why}")]
    Weak {
        /// Its subject.
        subject: String,
        /// What is weak.
        why: String,
    },
    /// Over.
    #[error("{subject} has expired at {at}")]
    Expired {
        /// Its subject.
        subject: String,
        /// When.
        at: Timestamp,
    },
    /// One of ours, or one that could be taken for one of ours.
    #[error("{0} has the name or the key of one of this authority's own issuers")]
    Own(String),
    /// The name is another's.
    #[error("there is a root `{0}` already, and it is another one")]
    NameTaken(ImportedName),
    /// It is there under another name.
    #[error("this root is already known as `{0}`")]
    KnownAs(ImportedName),
    /// No room.
    #[error("there are {MOST} roots of others already")]
    TooMany,
    /// Nothing of that name.
    #[error("there is no root `{0}`")]
    Unknown(String),
    /// Something served ends at it.
    #[error("the certificate `{certificate}` that is served ends at the root `{anchor}`")]
    InUse {
        /// Its name.
        anchor: ImportedName,
        /// A certificate that ends at it.
        certificate: ImportedName,
    },
    /// An issuer of ours ends at it.
    #[error("the issuer `{issuer}` of this authority ends at the root `{anchor}`")]
    Above {
        /// Its name.
        anchor: ImportedName,
        /// The issuer's.
        issuer: IssuerName,
    },
    /// The state.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

impl AnchorError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotAuthority(_) => "add the root, not the certificate that it has signed".into(),
            Self::NotSelfSigned { .. } => {
                "add the root above it; or, to trust only what is below this one, say --intermediate".into()
            }
            Self::Own(_) => "our own roots are in every bundle already; a root of others needs another subject".into(),
            Self::NameTaken(_) => "give another --name, or remove that one first".into(),
            Self::KnownAs(name) => {
                format!("go on with that name, or `sealock trust remove {name}` first")
            }
            Self::Weak { .. } => {
                "nobody should rely on such a key: ask your CA for its root of today".into()
            }
            Self::Unknown(_) => "see `sealock trust list`".into(),
            Self::InUse { certificate, .. } => {
                format!("import another certificate first, or `sealock cert request {certificate} --forget`")
            }
            Self::Above { issuer, .. } => {
                format!("import another chain for `{issuer}` first, or say --force")
            }
            Self::Authority(error) => return error.hint(),
            _ => return None,
        })
    }
}

impl Authority {
    /// The roots of others, by name.
    pub fn anchors(&self) -> Vec<Anchor> {
        self.known.load().anchors.clone()
    }

    /// Whether this certificate (DER) is one of the known roots.
    pub(crate) fn is_anchor(&self, der: &[u8]) -> bool {
        self.known.load().anchors.iter().any(|anchor| anchor.der.0 == der)
    }

    /// Adds a root of somebody else. Says whether it is new; the same one again changes nothing.
    pub fn add_anchor(
        &self,
        der: &[u8],
        name: Option<ImportedName>,
        intermediate: bool,
        actor: &Actor,
    ) -> Result<(Anchor, bool), AnchorError> {
        let _changing = self.changing.lock();
        let read = Foreign::read(der).map_err(AnchorError::Unreadable)?;
        self.check_anchor(&read, intermediate)?;
        let known = self.known.load_full();
        if let Some(same) = known.anchors.iter().find(|anchor| anchor.der.0 == der) {
            if name.is_some_and(|name| name != same.name) {
                return Err(AnchorError::KnownAs(same.name.clone()));
            }
            return Ok((same.clone(), false));
        }
        let anchor = Anchor {
            name: match name {
                Some(name) => name,
                None => default_name(&read)?,
            },
            added: self.now(),
            not_after: read.not_after,
            fingerprint: read.fingerprint(),
            self_signed: read.is_self_issued(),
            subject: read.subject_text.clone(),
            der: Der(der.to_vec()),
        };
        if known.anchors.len() >= MOST {
            return Err(AnchorError::TooMany);
        }
        if known.anchors.iter().any(|other| other.name == anchor.name) {
            return Err(AnchorError::NameTaken(anchor.name));
        }
        let value = serde_json::to_vec(&anchor).map_err(AuthorityError::from)?;
        let fact = Fact::AnchorAdded {
            anchor: anchor.name.to_string(),
            subject: anchor.subject.clone(),
            sha256: anchor.fingerprint.clone(),
        };
        let transaction = Transaction::new().create(anchor.place(), value);
        self.commit("the root", Change::new(transaction, actor.event(self.now(), fact)))?;
        self.reload_imported()?;
        Ok((anchor, true))
    }

    fn check_anchor(&self, root: &Foreign, intermediate: bool) -> Result<(), AnchorError> {
        let subject = || root.subject_text.clone();
        // Whoever reads a bundle tells what is ours by names: those of roots, and of what is between them and a leaf.
        let id = IssuerId::of(&root.key_identifier());
        let is_own_key = self.loaded.load().chain.is_own_key(id);
        if is_own_key || is_own_name(&root.subject, &self.trust_domain()) {
            return Err(AnchorError::Own(subject()));
        }
        if !root.is_ca || root.signs_certificates == Some(false) {
            return Err(AnchorError::NotAuthority(subject()));
        }
        if !root.is_self_issued() && !intermediate {
            let issuer = root.issuer_text.clone();
            return Err(AnchorError::NotSelfSigned { subject: subject(), issuer });
        }
        // Nobody relies on a root's signature on itself: an old one may be by an algorithm that is not checked any more.
        let is_checked = root.is_self_issued() && root.weak_signature().is_none();
        if is_checked && !root.is_signed_by(root) {
            return Err(AnchorError::Signature(subject()));
        }
        if let Some(why) = root.weak_key() {
            return Err(AnchorError::Weak { subject: subject(), why });
        }
        if self.now() > root.not_after {
            return Err(AnchorError::Expired { subject: subject(), at: root.not_after });
        }
        Ok(())
    }

    /// Removes a root, by its name or the SHA-256 of it. One that something served ends at stays, unless `force`.
    pub fn remove_anchor(
        &self,
        name: &str,
        force: bool,
        actor: &Actor,
    ) -> Result<Anchor, AnchorError> {
        let _changing = self.changing.lock();
        let known = self.known.load_full();
        let named = |anchor: &&Anchor| {
            anchor.name.as_str() == name || anchor.fingerprint.eq_ignore_ascii_case(name)
        };
        let anchor = known.anchors.iter().find(named).cloned().ok_or_else(|| {
            AnchorError::Unknown(name.chars().take(80).flat_map(char::escape_default).collect())
        })?;
        let user = known.records.iter().find(|(_, (record, _))| {
            record.held.as_ref().is_some_and(|held| held.root == anchor.der)
        });
        if let Some((certificate, _)) = user.filter(|_| !force) {
            let certificate = certificate.clone();
            return Err(AnchorError::InUse { anchor: anchor.name, certificate });
        }
        if let Some(issuer) = self.issuer_below(&anchor).filter(|_| !force) {
            return Err(AnchorError::Above { anchor: anchor.name, issuer });
        }
        let fact = Fact::AnchorRemoved {
            anchor: anchor.name.to_string(),
            subject: anchor.subject.clone(),
            sha256: anchor.fingerprint.clone(),
        };
        let transaction = Transaction::new().delete(anchor.place());
        self.commit("the removal", Change::new(transaction, actor.event(self.now(), fact)))?;
        self.reload_imported()?;
        Ok(anchor)
    }

    /// An issuer of ours whose chain ends at this root.
    fn issuer_below(&self, anchor: &Anchor) -> Option<IssuerName> {
        let loaded = self.loaded.load();
        let active = loaded.state.lines.iter().filter_map(|line| loaded.state.issuer(line.active?));
        let mut below = active.filter_map(|record| record.under.as_ref());
        below.find(|under| under.root == anchor.der).map(|under| under.line.clone())
    }

    /// What is handed out as trust bundle, as DER: our roots, then those of others. Never what a door of ours lets
    /// clients in by: that is [`Authority::trust_bundle`].
    pub fn distributed_bundle(&self) -> Vec<Vec<u8>> {
        let known = self.known.load();
        let others = known.anchors.iter().map(|anchor| anchor.der.0.clone());
        self.trust_bundle().into_iter().chain(others).collect()
    }

    /// The same as PEM.
    pub fn distributed_bundle_pem(&self) -> String {
        let known = self.known.load();
        let others: String = known.anchors.iter().map(Anchor::pem).collect();
        self.trust_bundle_pem() + &others
    }
}

/// The first of its fingerprint, where nobody has named it.
fn default_name(root: &Foreign) -> Result<ImportedName, AnchorError> {
    let short: String = root.fingerprint().chars().take(12).collect();
    format!("root-{short}").parse().map_err(|_| AnchorError::Unreadable("it has no name"))
}
