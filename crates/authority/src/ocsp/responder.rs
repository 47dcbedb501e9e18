//! Who answers for an intermediate: a key of its own, whose certificate that intermediate has signed.

use std::sync::Arc;
use std::time::Duration;

use sealock_core::Timestamp;
use sealock_core::audit::{Actor, Fact};
use sealock_store::{Change, Condition, Transaction};
use serde::{Deserialize, Serialize};
use x509_cert::certificate::Certificate;
use x509_cert::der::Decode;
use x509_cert::der::asn1::OctetString;

use super::issuers::{Hash, Issuer};
use super::response::Signer;
use crate::asn1;
use crate::authority::{Authority, Loaded, is_ahead, seal};
use crate::error::AuthorityError;
use crate::inventory::IssuerId;
use crate::key::AuthorityKey;
use crate::make;
use crate::state::{Der, IssuerKind, IssuerRecord, key_name};

/// How long a responder's certificate lives where nothing else is said. Nobody asks whether it is revoked, so not long.
pub(crate) const LIFE: Duration = Duration::from_secs(30 * 86_400);

/// When the device is asked again that did not sign a responder's certificate.
const AGAIN: Duration = Duration::from_secs(60);

/// Where the responder of an issuer is noted.
fn place(issuer: IssuerId) -> Vec<u8> {
    format!("ca/ocsp/{issuer}").into_bytes()
}

/// What is noted of it; its key is sealed in an entry of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    id: IssuerId,
    not_before: Timestamp,
    not_after: Timestamp,
    der: Der,
}

impl Record {
    /// From when on it is replaced: a third of its life before its end.
    fn due(&self) -> Timestamp {
        self.not_after.minus(self.not_after.since(self.not_before) / 3)
    }
}

/// One responder, ready to sign.
#[derive(Debug)]
pub(crate) struct Responder {
    pub(super) issuer: Issuer,
    pub(super) not_after: Timestamp,
    begins: Timestamp,
    due: Timestamp,
    certificate: Certificate,
    key: AuthorityKey,
    key_hash: OctetString,
}

impl Responder {
    fn new(
        issuer: &IssuerRecord,
        record: &Record,
        key: AuthorityKey,
    ) -> Result<Self, AuthorityError> {
        let certificate = Certificate::from_der(&record.der.0).map_err(asn1::encode)?;
        let public = &certificate.tbs_certificate.subject_public_key_info.subject_public_key;
        let hash = Hash::Sha1.digest(public.raw_bytes());
        let key_hash = OctetString::new(hash).map_err(asn1::encode)?;
        Ok(Self {
            issuer: Issuer::of(issuer)?,
            not_after: record.not_after,
            begins: record.not_before,
            due: record.due(),
            certificate,
            key,
            key_hash,
        })
    }

    pub(super) fn signer(&self) -> Signer<'_> {
        Signer { key: &self.key, certificate: &self.certificate, key_hash: &self.key_hash }
    }
}

/// All of them, as of one state of the authority.
#[derive(Debug)]
pub(crate) struct Responders {
    version: u64,
    /// When the first of them has to be replaced.
    due: Timestamp,
    pub(super) all: Vec<Responder>,
}

impl Responders {
    pub(super) fn of(&self, issuer: IssuerId) -> Option<&Responder> {
        self.all.iter().find(|responder| responder.issuer.id == issuer)
    }

    fn good(&self, loaded: &Loaded, now: Timestamp) -> bool {
        let ahead = self.all.iter().any(|responder| is_ahead(responder.begins, now));
        self.version == loaded.version && now < self.due && !ahead
    }
}

impl Authority {
    /// Those that answer now; made or replaced first where that is due. Takes the lock of changes.
    pub(super) fn responders(&self) -> Result<Arc<Responders>, AuthorityError> {
        let good = |responders: &Arc<Responders>| responders.good(&self.loaded.load(), self.now());
        if let Some(responders) = self.answers.responders().filter(good) {
            return Ok(responders);
        }
        let _changing = self.changing.lock();
        if let Some(responders) = self.answers.responders().filter(good) {
            return Ok(responders);
        }
        let loaded = self.loaded.load_full();
        let now = self.now();
        let asked = |issuer: &&IssuerRecord| {
            let permitted = issuer.under.as_ref().is_none_or(|under| under.ocsp);
            let intermediate = issuer.kind == IssuerKind::Intermediate;
            intermediate && permitted && issuer.key.is_usable() && issuer.in_use(now)
        };
        let issuers = loaded.state.issuers.iter().filter(asked);
        let all: Vec<Responder> =
            issuers.map(|issuer| self.responder(&loaded, issuer, now)).collect::<Result<_, _>>()?;
        let ends = now.plus(LIFE);
        let due = all.iter().map(|responder| responder.due).min().unwrap_or(ends);
        let responders = Arc::new(Responders { version: loaded.version, due, all });
        self.answers.serve_by(Arc::clone(&responders));
        Ok(responders)
    }

    /// The responder of one issuer, made anew when there is none or its end is near.
    fn responder(
        &self,
        loaded: &Loaded,
        issuer: &IssuerRecord,
        now: Timestamp,
    ) -> Result<Responder, AuthorityError> {
        let corrupt =
            || AuthorityError::Corrupt { record: format!("OCSP responder of {}", issuer.title()) };
        let stored = self.store().get(&place(issuer.id))?;
        let old = match &stored {
            None => None,
            Some(stored) => {
                let record: Record =
                    serde_json::from_slice(&stored.value).map_err(|_| corrupt())?;
                Some((record, stored.version))
            }
        };
        if let Some((record, _)) = &old
            && now < record.due()
            && !is_ahead(record.not_before, now)
        {
            let key = self.unseal(record.id, "OCSP responder")?;
            if !crate::certificate::belongs(&record.der.0, &key) {
                return Err(corrupt());
            }
            return Responder::new(issuer, record, key);
        }
        let ca = self.signer_of(issuer)?;
        let domain = &loaded.state.trust_domain;
        let made = match (make::responder(domain, issuer, &ca, self.own.load().ocsp, now), &old) {
            // The one before answers on, while it may and the device that signs the next one is away.
            (Err(AuthorityError::Device(_)), Some((record, _)))
                if now < record.not_after && !is_ahead(record.not_before, now) =>
            {
                let key = self.unseal(record.id, "OCSP responder")?;
                if !crate::certificate::belongs(&record.der.0, &key) {
                    return Err(corrupt());
                }
                let responder = Responder::new(issuer, record, key)?;
                return Ok(Responder { due: now.plus(AGAIN), ..responder });
            }
            (made, _) => made?,
        };
        let record = Record {
            id: made.record.id,
            not_before: made.record.not_before,
            not_after: made.record.not_after,
            der: made.record.der.clone(),
        };
        let key = place(issuer.id);
        let condition = match &old {
            Some((_, version)) => Condition::Version { key: key.clone(), version: *version },
            None => Condition::Absent(key.clone()),
        };
        let mut transaction =
            Transaction::new().when(condition).put(key, serde_json::to_vec(&record)?);
        if let Some((record, _)) = &old {
            transaction = transaction.delete(key_name(record.id).into_bytes());
        }
        let transaction = seal(&self.keyring, &made, transaction)?;
        let serial = made.record.serial.to_string();
        let fact = Fact::CaRotated { what: "ocsp-responder".into(), serial };
        let event = Actor::daemon("ocsp").event(now, fact);
        self.commit("the OCSP responder", Change::new(transaction, event))?;
        Responder::new(issuer, &record, made.authority_key()?)
    }
}
