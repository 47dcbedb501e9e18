//! What issuing needs, made once from the state: the issuer ready to sign, the certificates above a leaf,
//! and the constraints of each of them.

use sealock_core::{IssuerName, SubjectName, Timestamp};

use crate::certificate;
use crate::constraints::{DirectoryName, NameConstraints};
use crate::error::AuthorityError;
use crate::inventory::IssuerId;
use crate::issued::OwnCertificate;
use crate::issuers::CaSigner;
use crate::key::AuthorityKey;
use crate::order::Usages;
use crate::state::{IssuerKind, IssuerRecord, State};

/// An issuer that signs now and all above it: the active intermediate, or one under a root of somebody else.
pub(crate) struct Chain {
    pub(crate) id: IssuerId,
    /// Of one under a root of somebody else.
    pub(crate) name: Option<IssuerName>,
    pub(crate) number: u16,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
    pub(crate) issuer: CaSigner,
    /// What the chain permits below it.
    usages: Usages,
    /// Whether there is a responder for what it signs.
    pub(crate) ocsp: bool,
    intermediate: OwnCertificate,
    /// Above an issuer under a root of somebody else, that root not among them.
    above: Vec<OwnCertificate>,
    /// That root.
    foreign_root: Option<OwnCertificate>,
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
        let issuer = CaSigner::new(active, key)?;
        let constraints = [active, root]
            .into_iter()
            .map(|ca| Ok((ca.title(), NameConstraints::of_certificate(&ca.der.0)?)))
            .filter(|pair| !matches!(pair, Ok((_, constraints)) if constraints.is_empty()))
            .collect::<Result<_, AuthorityError>>()?;
        let before = state
            .of_kind(IssuerKind::Root)
            .find(|candidate| candidate.number.checked_add(1) == Some(root.number));
        let bridge = root.bridge.as_ref().zip(before);
        Ok(Self {
            id: active.id,
            name: None,
            usages: Usages::BOTH,
            ocsp: true,
            above: Vec::new(),
            foreign_root: None,
            number: active.number,
            not_before: active.not_before,
            not_after: active.not_after,
            issuer,
            intermediate: OwnCertificate::new(&active.der.0),
            bridge: bridge.map(|(der, old)| (OwnCertificate::new(&der.0), old.clone())),
            roots: roots(state),
            constraints,
            own_keys: own_keys(state),
        })
    }

    /// The chain of an issuer under a root of somebody else, whose key this is.
    pub(crate) fn under(
        state: &State,
        record: &IssuerRecord,
        key: AuthorityKey,
    ) -> Result<Self, AuthorityError> {
        let corrupt = |what: String| AuthorityError::Corrupt { record: what };
        let under = record.under.as_ref().ok_or_else(|| corrupt(record.title()))?;
        if !certificate::belongs(&record.der.0, &key) {
            return Err(corrupt(format!("{}: its key is another one", record.title())));
        }
        Ok(Self {
            id: record.id,
            name: Some(under.line.clone()),
            number: record.number,
            not_before: record.not_before,
            not_after: record.not_after,
            issuer: CaSigner::new(record, key)?,
            usages: under.usages(record),
            ocsp: under.ocsp,
            intermediate: OwnCertificate::new(&record.der.0),
            above: under.above().map(OwnCertificate::new).collect(),
            foreign_root: Some(OwnCertificate::new(&under.root.0)),
            bridge: None,
            roots: roots(state),
            constraints: under.constraints(record)?,
            own_keys: own_keys(state),
        })
    }

    /// What stands between a leaf and the root: the intermediate, and during an overlap the bridge to
    /// the root before.
    pub(crate) fn intermediates(&self, now: Timestamp) -> Vec<OwnCertificate> {
        let bridge = self.bridge.iter().filter(|(_, old)| old.in_use(now));
        let bridge = bridge.map(|(certificate, _)| certificate.clone());
        let above = self.above.iter().cloned();
        std::iter::once(self.intermediate.clone()).chain(above).chain(bridge).collect()
    }

    /// The trust bundle: the root above, where that is somebody else's; our active root; those that are still in use.
    pub(crate) fn roots(&self, now: Timestamp) -> Vec<OwnCertificate> {
        let current = self.roots.iter().filter(|(_, record)| record.in_use(now));
        let ours = current.map(|(certificate, _)| certificate.clone());
        self.foreign_root.iter().cloned().chain(ours).collect()
    }

    /// The name of an issuer under a root of somebody else, and that root (DER).
    pub(crate) fn foreign(&self) -> Option<(&IssuerName, &[u8])> {
        Some((self.name.as_ref()?, &self.foreign_root.as_ref()?.der))
    }

    /// Checks usages against the purposes of every CA that names any.
    pub(crate) fn check_usages(&self, wanted: Usages) -> Result<(), AuthorityError> {
        let Some(issuer) = &self.name else { return Ok(()) };
        match wanted.lacking(self.usages) {
            Some(usage) => Err(AuthorityError::IssuerUsage { issuer: issuer.clone(), usage }),
            None => Ok(()),
        }
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

    /// Whether a leaf whose subject is this common name is permitted by every CA's constraints. Some verifiers hold one
    /// that reads as a DNS name against the DNS constraints when the certificate has no DNS name.
    pub(crate) fn permits_subject(&self, common_name: &str) -> bool {
        let is_dns =
            SubjectName::dns(common_name).map_or(true, |name| self.check_name(&name).is_ok());
        let subject = DirectoryName::common_name(common_name);
        let permits = |subject: DirectoryName| {
            self.constraints.iter().all(|(_, it)| it.check_directory(&subject).is_ok())
        };
        is_dns && subject.is_some_and(permits)
    }

    /// Whether a key is one of the authority's own.
    pub(crate) fn is_own_key(&self, id: IssuerId) -> bool {
        self.own_keys.contains(&id)
    }
}

fn roots(state: &State) -> Vec<(OwnCertificate, IssuerRecord)> {
    let everything = Timestamp::from_millis(0);
    let with_record = |ca: &IssuerRecord| (OwnCertificate::new(&ca.der.0), ca.clone());
    state.trusted_roots(everything).map(with_record).collect()
}

/// Those that wait for a certificate among them.
fn own_keys(state: &State) -> Vec<IssuerId> {
    let waiting = state.lines.iter().filter_map(|line| Some(line.pending.as_ref()?.id));
    let there = state.issuers.iter().map(|ca| ca.id);
    there.chain([state.signer.id]).chain(waiting).collect()
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Chain").field("id", &self.id).finish_non_exhaustive()
    }
}
