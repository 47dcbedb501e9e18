//! Makes the authority's own certificates, each with a new key.

use std::sync::Arc;

use rcgen::Issuer;
use sealock_core::{SecretBytes, Timestamp, TrustDomain};

use crate::authority::{BACKDATE, ROOT_LIFE};
use crate::certificate::{self, OwnKind, OwnPlan, Validity};
use crate::constraints::NameConstraints;
use crate::crl::{self, Crl};
use crate::device::{self, DeviceError, InDevice, KeyAt, KeyDevice};
use crate::error::AuthorityError;
use crate::inventory::IssuerId;
use crate::issuers::CaSigner;
use crate::key::{AuthorityKey, KeyType, NewKey};
use crate::own::OwnProfile;
use crate::publication::Urls;
use crate::serial::Serial;
use crate::state::{Der, IssuerKind, IssuerRecord, KeyPlace};

/// A certificate and its key, not yet recorded anywhere.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) record: IssuerRecord,
    pub(crate) key: MadeKey,
}

/// A new key.
#[derive(Debug)]
pub(crate) enum MadeKey {
    /// As PKCS#8; it is to be sealed.
    Here(SecretBytes),
    /// In a device already.
    InDevice { device: Arc<dyn KeyDevice>, at: KeyAt },
}

/// Where a new key is made.
#[derive(Debug, Clone, Default)]
pub(crate) enum Home {
    /// Here.
    #[default]
    Store,
    /// There.
    Device { device: Arc<dyn KeyDevice>, at: KeyAt },
}

impl Made {
    fn new(record: IssuerRecord, key: MadeKey) -> Self {
        let place = match &key {
            MadeKey::Here(_) => KeyPlace::Store,
            MadeKey::InDevice { at, .. } => KeyPlace::Device(at.clone()),
        };
        Self { record: IssuerRecord { key: place, ..record }, key }
    }

    /// Ready to sign.
    pub(crate) fn issuer(&self) -> Result<Issuer<'static, AuthorityKey>, AuthorityError> {
        let key = self.authority_key()?;
        certificate::issuer(&self.record.der.0, key)
            .map_err(|source| AuthorityError::Build { what: "the new issuer", source })
    }

    /// Its key, ready to sign.
    pub(crate) fn authority_key(&self) -> Result<AuthorityKey, AuthorityError> {
        match &self.key {
            MadeKey::Here(pkcs8) => Ok(AuthorityKey::from_pkcs8(pkcs8)?),
            MadeKey::InDevice { device, at } => {
                certificate::key_in_device(&self.record, at, Some(Arc::clone(device)))
            }
        }
    }

    /// Its first revocation list.
    pub(crate) fn first_crl(
        &self,
        delta_url: Option<&str>,
        now: Timestamp,
        next_update: Timestamp,
    ) -> Result<(crl::Stored, Crl), AuthorityError> {
        let key = self.authority_key()?;
        let by = crl::By { record: &self.record, key: &key, freshest: delta_url };
        crl::first(by, now, next_update)
    }
}

/// What a new intermediate is to be.
#[derive(Debug)]
pub(crate) struct NewIntermediate<'a> {
    pub(crate) trust_domain: &'a TrustDomain,
    pub(crate) key_type: KeyType,
    /// How long it lives, while its root does.
    pub(crate) life: std::time::Duration,
    /// Where its key is made.
    pub(crate) home: &'a Home,
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
    (key_type, home): (KeyType, &Home),
    number: u16,
    now: Timestamp,
    old: Option<(&IssuerRecord, &Issuer<'_, AuthorityKey>)>,
) -> Result<Made, AuthorityError> {
    let failed = |source| AuthorityError::build("the root certificate", source);
    let (made, key) = new_key(key_type, home, &format!("{trust_domain} root {number}"))?;
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
    Ok(Made::new(record, made))
}

/// A new intermediate under a root.
pub(crate) fn intermediate(
    new: &NewIntermediate<'_>,
    root: &IssuerRecord,
    root_issuer: &Issuer<'_, AuthorityKey>,
    now: Timestamp,
) -> Result<Made, AuthorityError> {
    let label = format!("{} intermediate {}", new.trust_domain, new.number);
    let (made, key) = new_key(new.key_type, new.home, &label)?;
    let plan = OwnPlan {
        kind: OwnKind::Intermediate { number: new.number, constraints: new.constraints },
        trust_domain: new.trust_domain,
        serial: new_serial()?,
        validity: validity(now, new.life, Some(root.not_after)),
        // A root answers no OCSP: its key may be elsewhere. Its list lives as long as what is below it.
        urls: &Urls { ocsp: None, ..new.urls.clone() },
    };
    let der = certificate::own(&plan, &key, root_issuer)
        .map_err(|source| AuthorityError::build("the intermediate certificate", source))?;
    let id = IssuerId::of(&key.identifier());
    let kind = IssuerKind::Intermediate;
    let record = record(kind, id, root.id, new.number, new.key_type, &plan, der, None);
    Ok(Made::new(record, made))
}

/// A new audit signer under a root, for as long as the root lives. Always P-256: its signatures are
/// checked with whatever is at hand.
pub(crate) fn signer(
    trust_domain: &TrustDomain,
    root: &IssuerRecord,
    root_issuer: &Issuer<'_, AuthorityKey>,
    now: Timestamp,
) -> Result<Made, AuthorityError> {
    let (made, key) = new_key(KeyType::P256, &Home::Store, "")?;
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
    Ok(Made::new(record(kind, id, root.id, 0, KeyType::P256, &plan, der, None), made))
}

/// A new OCSP responder under an intermediate. P-256, as the audit signer, unless something else is said: everything can
/// check it.
pub(crate) fn responder(
    trust_domain: &TrustDomain,
    issuer: &IssuerRecord,
    ca: &CaSigner,
    profile: OwnProfile,
    now: Timestamp,
) -> Result<Made, AuthorityError> {
    let key_type = profile.key_type.unwrap_or(KeyType::P256);
    let (made, key) = new_key(key_type, &Home::Store, "")?;
    let plan = OwnPlan {
        kind: OwnKind::Responder,
        trust_domain,
        serial: new_serial()?,
        validity: validity(now, profile.life, Some(issuer.not_after)),
        urls: &Urls::default(),
    };
    let der = certificate::responder_below(&plan, &key, ca)?;
    let id = IssuerId::of(&key.identifier());
    let kind = IssuerKind::Intermediate;
    Ok(Made::new(record(kind, id, issuer.id, 0, key_type, &plan, der, None), made))
}

/// Where an issuer's CRL will be found.
pub(crate) fn crl_url(base: Option<&str>, issuer: IssuerId) -> Option<String> {
    base.map(|base| format!("{}/{issuer}.crl", base.trim_end_matches('/')))
}

pub(crate) fn new_serial() -> Result<Serial, AuthorityError> {
    Serial::random().map_err(|_| AuthorityError::Random)
}

/// A new key, and ready to sign.
pub(crate) fn new_key(
    kind: KeyType,
    home: &Home,
    label: &str,
) -> Result<(MadeKey, AuthorityKey), AuthorityError> {
    match home {
        Home::Store => {
            let NewKey { pkcs8, .. } = NewKey::generate(kind)?;
            let key = AuthorityKey::from_pkcs8(&pkcs8)?;
            Ok((MadeKey::Here(pkcs8), key))
        }
        Home::Device { device, at } => {
            let told = device.generate(kind, &at.id, label)?;
            let public = device::public_key(kind, &told).ok_or_else(DeviceError::public_key)?;
            let (shared, at) = (Some(Arc::clone(device)), at.clone());
            let key = InDevice { device: shared, at: at.clone(), kind, public };
            Ok((MadeKey::InDevice { device: Arc::clone(device), at }, AuthorityKey::in_device(key)))
        }
    }
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
        key: KeyPlace::Store,
        retired: None,
        last_leaf: None,
        revoked: None,
        under: None,
    }
}
