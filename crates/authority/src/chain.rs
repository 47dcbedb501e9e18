//! What issuing needs, made once from the state: the issuer ready to sign, the certificates above a leaf,
//! and the constraints of each of them.

use rcgen::Issuer;
use sealock_core::{SubjectName, Timestamp};

use crate::certificate;
use crate::constraints::NameConstraints;
use crate::error::AuthorityError;
use crate::inventory::IssuerId;
use crate::issued::OwnCertificate;
use crate::key::AuthorityKey;
use crate::state::{IssuerKind, IssuerRecord, State};

/// The active intermediate and all above it.
pub(crate) struct Chain {
    pub(crate) id: IssuerId,
    pub(crate) number: u16,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
    pub(crate) issuer: Issuer<'static, AuthorityKey>,
    intermediate: OwnCertificate,
    /// The active root certified by the one before, while leaves of that one are in use.
    bridge: Option<(OwnCertificate, IssuerRecord)>,
    roots: Vec<(OwnCertificate, IssuerRecord)>,
    constraints: Vec<(String, NameConstraints)>,
    own_keys: Vec<IssuerId>,
}

impl Chain {
    /// The chain of the active intermediate, whose key this is.
    pub(crate) fn new(state: &State, key: AuthorityKey) -> Result<Self, AuthorityError> {
        let corrupt = |what: &str| AuthorityError::Corrupt { record: what.to_owned() };
        let active =
            state.issuer(state.intermediate).ok_or_else(|| corrupt("the active intermediate"))?;
        let root = state.issuer(state.root).ok_or_else(|| corrupt("the active root"))?;
        if !certificate::belongs(&active.der.0, &key) {
            return Err(corrupt("the intermediate: its key is another one"));
        }
        let issuer = certificate::issuer(&active.der.0, key)
            .map_err(|source| AuthorityError::Build { what: "the issuer", source })?;
        let constraints = [active, root]
            .into_iter()
            .map(|ca| Ok((ca.title(), NameConstraints::of_certificate(&ca.der.0)?)))
            .filter(|pair| !matches!(pair, Ok((_, constraints)) if constraints.is_empty()))
            .collect::<Result<_, AuthorityError>>()?;
        let before = state
            .of_kind(IssuerKind::Root)
            .find(|candidate| candidate.number.checked_add(1) == Some(root.number));
        let bridge = root.bridge.as_ref().zip(before);
        let with_record =
            |ca: &IssuerRecord| (OwnCertificate::new(&ca.der.0), IssuerRecord::clone(ca));
        let everything = Timestamp::from_millis(0);
        Ok(Self {
            id: active.id,
            number: active.number,
            not_before: active.not_before,
            not_after: active.not_after,
            issuer,
            intermediate: OwnCertificate::new(&active.der.0),
            bridge: bridge.map(|(der, old)| (OwnCertificate::new(&der.0), old.clone())),
            roots: state.trusted_roots(everything).map(with_record).collect(),
            constraints,
            own_keys: state.issuers.iter().map(|ca| ca.id).chain([state.signer.id]).collect(),
        })
    }

    /// What stands between a leaf and the root: the intermediate, and during an overlap the bridge to
    /// the root before.
    pub(crate) fn intermediates(&self, now: Timestamp) -> Vec<OwnCertificate> {
        let bridge = self.bridge.iter().filter(|(_, old)| old.in_use(now));
        let bridge = bridge.map(|(certificate, _)| certificate.clone());
        std::iter::once(self.intermediate.clone()).chain(bridge).collect()
    }

    /// The trust bundle: the active root, then those that are still in use.
    pub(crate) fn roots(&self, now: Timestamp) -> Vec<OwnCertificate> {
        let current = self.roots.iter().filter(|(_, record)| record.in_use(now));
        current.map(|(certificate, _)| certificate.clone()).collect()
    }

    /// Checks a name against every CA's constraints.
    pub(crate) fn check_name(&self, name: &SubjectName) -> Result<(), AuthorityError> {
        for (authority, constraints) in &self.constraints {
            constraints.check(name).map_err(|violation| AuthorityError::NotPermitted {
                name: name.clone(),
                authority: authority.clone(),
                violation,
            })?;
        }
        Ok(())
    }

    /// Whether a key is one of the authority's own.
    pub(crate) fn is_own_key(&self, id: IssuerId) -> bool {
        self.own_keys.contains(&id)
    }
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Chain").field("id", &self.id).finish_non_exhaustive()
    }
}
