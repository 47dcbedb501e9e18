//! Makes the authority's own certificates, each with a new key.

use rcgen::Issuer;
use sealock_core::{SecretBytes, Timestamp, TrustDomain};

use crate::authority::{BACKDATE, INTERMEDIATE_LIFE, ROOT_LIFE};
use crate::certificate::{self, OwnKind, OwnPlan, Validity};
use crate::constraints::NameConstraints;
use crate::crl::{self, Crl};
use crate::error::AuthorityError;
use crate::inventory::IssuerId;
use crate::issuers::CaSigner;
use crate::key::{AuthorityKey, KeyType, NewKey};
use crate::ocsp;
use crate::publication::Urls;
use crate::serial::Serial;
use crate::state::{Der, IssuerKind, IssuerRecord};

/// A certificate and its key, not yet recorded anywhere.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) record: IssuerRecord,
    pub(crate) pkcs8: SecretBytes,
}

impl Made {
    /// Ready to sign.
    pub(crate) fn issuer(&self) -> Result<Issuer<'static, AuthorityKey>, AuthorityError> {
        let key = AuthorityKey::from_pkcs8(&self.pkcs8)?;
        certificate::issuer(&self.record.der.0, key)
            .map_err(|source| AuthorityError::Build { what: "the new issuer", source })
    }

    /// Its first revocation list.
    pub(crate) fn first_crl(
        &self,
        delta_url: Option<&str>,
        now: Timestamp,
        next_update: Timestamp,
    ) -> Result<(crl::Stored, Crl), AuthorityError> {
        let key = AuthorityKey::from_pkcs8(&self.pkcs8)?;
        let by = crl::By { record: &self.record, key: &key, freshest: delta_url };
        crl::first(by, now, next_update)
    }
}

/// What a new intermediate is to be.
#[derive(Debug)]
pub(crate) struct NewIntermediate<'a> {
    pub(crate) trust_domain: &'a TrustDomain,
    pub(crate) key_type: KeyType,
    pub(crate) number: u16,
    pub(crate) constraints: &'a NameConstraints,
    /// Where its own revocation is found, and its root's certificate.
    pub(crate) urls: &'a Urls,
}

/// From `BACKDATE` before `now` until the earlier of `life` later and `end`, in whole seconds.
pub(crate) fn validity(
    now: Timestamp,
    life: std::time::Duration,
    end: Option<Timestamp>,
) -> Validity {
    let whole = |moment: Timestamp| Timestamp::from_secs(moment.as_secs());
    let until = now.plus(life);
    Validity {
        not_before: whole(now.minus(BACKDATE)),
        not_after: whole(end.map_or(until, |end| end.min(until))),
    }
}

/// A new root; certified by `old`, too, where there is one.
pub(crate) fn root(
    trust_domain: &TrustDomain,
    key_type: KeyType,
    number: u16,
    now: Timestamp,
    old: Option<(&IssuerRecord, &Issuer<'_, AuthorityKey>)>,
) -> Result<Made, AuthorityError> {
    let failed = |source| AuthorityError::build("the root certificate", source);
    let (pkcs8, key) = new_key(key_type)?;
    let validity_ = validity(now, ROOT_LIFE, None);
    let plan = OwnPlan {
        kind: OwnKind::Root,
        trust_domain,
        serial: new_serial()?,
        validity: validity_,
        urls: &Urls::default(),
    };
    let der = certificate::root(&plan, &key).map_err(failed)?;
    let bridge = old
        .map(|(record, issuer)| {
            let validity = validity(now, ROOT_LIFE, Some(record.not_after));
            let plan = OwnPlan { serial: new_serial()?, validity, ..plan };
            certificate::own(&plan, &key, issuer).map(Der).map_err(failed)
        })
        .transpose()?;
    let id = IssuerId::of(&key.identifier());
    let record = record(IssuerKind::Root, id, id, number, key_type, &plan, der, bridge);
    Ok(Made { record, pkcs8 })
}

/// A new intermediate under a root.
pub(crate) fn intermediate(
    new: &NewIntermediate<'_>,
    root: &IssuerRecord,
    root_issuer: &Issuer<'_, AuthorityKey>,
    now: Timestamp,
) -> Result<Made, AuthorityError> {
    let (pkcs8, key) = new_key(new.key_type)?;
    let plan = OwnPlan {
        kind: OwnKind::Intermediate { number: new.number, constraints: new.constraints },
        trust_domain: new.trust_domain,
        serial: new_serial()?,
        validity: validity(now, INTERMEDIATE_LIFE, Some(root.not_after)),
        // A root answers no OCSP: its key may be elsewhere. Its list lives as long as what is below it.
        urls: &Urls { ocsp: None, ..new.urls.clone() },
    };
    let der = certificate::own(&plan, &key, root_issuer)
        .map_err(|source| AuthorityError::build("the intermediate certificate", source))?;
    let id = IssuerId::of(&key.identifier());
    let kind = IssuerKind::Intermediate;
    let record = record(kind, id, root.id, new.number, new.key_type, &plan, der, None);
    Ok(Made { record, pkcs8 })
}

/// A new audit signer under a root, for as long as the root lives. Always P-256: its signatures are
/// checked with whatever is at hand.
pub(crate) fn signer(
    trust_domain: &TrustDomain,
    root: &IssuerRecord,
    root_issuer: &Issuer<'_, AuthorityKey>,
    now: Timestamp,
) -> Result<Made, AuthorityError> {
    let (pkcs8, key) = new_key(KeyType::P256)?;
    let plan = OwnPlan {
        kind: OwnKind::Signer,
        trust_domain,
        serial: new_serial()?,
        validity: validity(now, ROOT_LIFE, Some(root.not_after)),
        urls: &Urls::default(),
    };
    let der = certificate::own(&plan, &key, root_issuer)
        .map_err(|source| AuthorityError::build("the audit signer's certificate", source))?;
    let id = IssuerId::of(&key.identifier());
    let kind = IssuerKind::Intermediate;
    Ok(Made { record: record(kind, id, root.id, 0, KeyType::P256, &plan, der, None), pkcs8 })
}

/// A new OCSP responder under an intermediate. P-256, as the audit signer: everything can check it.
pub(crate) fn responder(
    trust_domain: &TrustDomain,
    issuer: &IssuerRecord,
    ca: &CaSigner,
    now: Timestamp,
) -> Result<Made, AuthorityError> {
    let (pkcs8, key) = new_key(KeyType::P256)?;
    let plan = OwnPlan {
        kind: OwnKind::Responder,
        trust_domain,
        serial: new_serial()?,
        validity: validity(now, ocsp::RESPONDER_LIFE, Some(issuer.not_after)),
        urls: &Urls::default(),
    };
    let der = certificate::responder_below(&plan, &key, ca)?;
    let id = IssuerId::of(&key.identifier());
    let kind = IssuerKind::Intermediate;
    Ok(Made { record: record(kind, id, issuer.id, 0, KeyType::P256, &plan, der, None), pkcs8 })
}

/// Where an issuer's CRL will be found.
pub(crate) fn crl_url(base: Option<&str>, issuer: IssuerId) -> Option<String> {
    base.map(|base| format!("{}/{issuer}.crl", base.trim_end_matches('/')))
}

pub(crate) fn new_serial() -> Result<Serial, AuthorityError> {
    Serial::random().map_err(|_| AuthorityError::Random)
}

fn new_key(key_type: KeyType) -> Result<(SecretBytes, AuthorityKey), AuthorityError> {
    let NewKey { pkcs8, .. } = NewKey::generate(key_type)?;
    let key = AuthorityKey::from_pkcs8(&pkcs8)?;
    Ok((pkcs8, key))
}

#[expect(clippy::too_many_arguments, reason = "the fields of one record, named at each call")]
fn record(
    kind: IssuerKind,
    id: IssuerId,
    parent: IssuerId,
    number: u16,
    key_type: KeyType,
    plan: &OwnPlan<'_>,
    der: Vec<u8>,
    bridge: Option<Der>,
) -> IssuerRecord {
    IssuerRecord {
        id,
        kind,
        number,
        parent,
        serial: plan.serial,
        key_type,
        not_before: plan.validity.not_before,
        not_after: plan.validity.not_after,
        der: Der(der),
        bridge,
        key_here: true,
        retired: None,
        last_leaf: None,
        under: None,
    }
}
