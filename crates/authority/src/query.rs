//! Questions to the authority.

use sealock_core::{IssuerName, Timestamp, TrustDomain};
use sealock_store::Protection;
use serde::Serialize;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use crate::authority::Authority;
use crate::constraints::NameConstraints;
use crate::device::KeyAt;
use crate::error::AuthorityError;
use crate::inventory::{
    CertDetail, CertSummary, Entry, Found, Issued, IssuerId, ListFilter, Listed, Reason, Tally,
    summarise,
};
use crate::key::KeyType;
use crate::pem;
use crate::serial::Serial;
use crate::state::{IssuerKind, IssuerRecord, KeyPlace, State};

/// One CA certificate of the authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IssuerInfo {
    /// Its id.
    pub id: IssuerId,
    /// Root or intermediate.
    pub kind: IssuerKind,
    /// 1 for the first of its kind.
    pub number: u16,
    /// Serial number.
    pub serial: Serial,
    /// The kind of its key.
    pub key_type: KeyType,
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
    /// SHA-256 of the DER, in hex.
    pub fingerprint: String,
    /// Whether it is the one that is used now.
    pub active: bool,
    /// Whether its key is on this host.
    pub key_here: bool,
    /// Where its key is.
    pub key_where: KeyWhere,
    /// Since when it signs no more.
    pub retired: Option<Timestamp>,
    /// When the last leaf below it expires, once it has retired.
    pub last_leaf: Option<Timestamp>,
    /// When and why it was revoked, if it was.
    pub revoked: Option<(Timestamp, Reason)>,
    /// The certificate.
    pub pem: String,
}

/// Where the key of a CA is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyWhere {
    /// Sealed in the store.
    Store,
    /// Not on this host.
    Elsewhere,
    /// In a device.
    Device(KeyAt),
}

impl From<&KeyPlace> for KeyWhere {
    fn from(place: &KeyPlace) -> Self {
        match place {
            KeyPlace::Store => Self::Store,
            KeyPlace::Elsewhere => Self::Elsewhere,
            KeyPlace::Device(at) => Self::Device(at.clone()),
        }
    }
}

/// The authority as `ca show` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CaInfo {
    /// The name under which all identities live.
    pub trust_domain: TrustDomain,
    /// When it was made.
    pub created: Timestamp,
    /// `file` or `passphrase`.
    #[serde(serialize_with = "as_text")]
    pub key_protection: Protection,
    /// Where CRLs are to be found, if anywhere.
    pub crl_url: Option<String>,
    /// What its intermediates may certify.
    pub name_constraints: NameConstraints,
    /// Our own CA certificates that may still be in use: the active ones first. Those under roots of others are
    /// [`Authority::issuers`].
    pub issuers: Vec<IssuerInfo>,
    /// From when on the active intermediate should be replaced ([`Authority::maintain`] does it while
    /// the root key is here).
    pub rotation_due: Timestamp,
    /// The audit signer's certificate.
    pub audit_signer_pem: String,
}

fn as_text<S: serde::Serializer>(kind: &Protection, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(kind)
}

impl Authority {
    /// The authority as it stands.
    pub fn ca_info(&self) -> CaInfo {
        let loaded = self.loaded.load();
        let state = &loaded.state;
        let now = self.now();
        let mut issuers: Vec<IssuerInfo> = state
            .ours()
            .rev()
            .filter(|record| {
                // Of a revoked one it is worth knowing for as long as somebody could use it.
                record.in_use(now) || (record.revoked.is_some() && now <= record.not_after)
            })
            .map(|record| issuer_info(state, record))
            .collect();
        issuers.sort_by_key(|issuer| (!issuer.active, issuer.kind == IssuerKind::Intermediate));
        CaInfo {
            trust_domain: state.trust_domain.clone(),
            created: state.created,
            key_protection: self.keyring.protection(),
            crl_url: state.crl_url.clone(),
            name_constraints: state.name_constraints.clone(),
            issuers,
            rotation_due: self.rotation_due(),
            audit_signer_pem: pem::encode("CERTIFICATE", &state.signer.der.0),
        }
    }

    /// The certificates of our own CAs that are revoked and have not ended (DER), and when they do.
    pub fn revoked_cas(&self) -> Vec<(Vec<u8>, Timestamp)> {
        let now = self.now();
        let loaded = self.loaded.load();
        let revoked = loaded
            .state
            .ours()
            .filter(|record| record.revoked.is_some() && now <= record.not_after);
        revoked.map(|record| (record.der.0.clone(), record.not_after)).collect()
    }

    /// The certificates that a filter lets through.
    pub fn list(&self, filter: &ListFilter) -> Result<Vec<CertSummary>, AuthorityError> {
        self.search(filter).map(|listed| listed.certificates)
    }

    /// The certificates that a filter lets through, and what it took to find them.
    pub fn search(&self, filter: &ListFilter) -> Result<Listed, AuthorityError> {
        let loaded = self.loaded.load();
        let issuers = &loaded.state.issuers;
        let known = |id: IssuerId| issuers.iter().any(|issuer| issuer.id == id);
        if let Some(unknown) = filter.issuer.filter(|id| !known(*id)) {
            return Err(AuthorityError::UnknownIssuer(unknown));
        }
        self.inventory.search(filter, &issued(&loaded.state), self.now())
    }

    /// Whether this is the id of a CA certificate of ours, of whatever kind.
    pub fn has_issuer(&self, id: IssuerId) -> bool {
        self.loaded.load().state.issuer(id).is_some()
    }

    /// The intermediates that are called so, newest first: all of a line under a root of somebody else, or the one with this
    /// subject there; all under our own roots for `own`. Case does not count in subjects.
    pub fn issuers_called(&self, name: &str) -> Vec<IssuerId> {
        let loaded = self.loaded.load();
        let own = name.parse().is_ok_and(|name: IssuerName| name.is_own());
        let called = |record: &&IssuerRecord| match &record.under {
            Some(under) => {
                under.line.as_str() == name || under.subject.to_lowercase() == name.to_lowercase()
            }
            None => own,
        };
        let issuers = loaded.state.issuers.iter().rev();
        let intermediates = issuers.filter(|issuer| issuer.kind == IssuerKind::Intermediate);
        intermediates.filter(called).map(|issuer| issuer.id).collect()
    }

    /// How many certificates there are of each state, counted in the indexes.
    pub fn tally(&self) -> Result<Tally, AuthorityError> {
        self.inventory.tally(&issued(&self.loaded.load().state), self.now())
    }

    /// The newest certificate with this name, or the one with this serial number.
    pub fn show(&self, name_or_serial: &str) -> Result<CertDetail, AuthorityError> {
        let unknown = || {
            let shown = name_or_serial.chars().take(80).flat_map(char::escape_default).collect();
            AuthorityError::Unknown(shown)
        };
        let found = match self.inventory.by_name(name_or_serial)? {
            Some(found) => found,
            None => {
                let serial: Serial = name_or_serial.parse().map_err(|_| unknown())?;
                self.inventory.by_serial(serial)?.ok_or_else(unknown)?
            }
        };
        Ok(self.detail(found))
    }

    /// The certificate with this serial number, and no other: a certificate may be *named* like the
    /// serial number of another, which [`Authority::show`] would find first.
    pub fn show_serial(&self, serial: Serial) -> Result<CertDetail, AuthorityError> {
        let found = self.inventory.by_serial(serial)?;
        let found = found.ok_or_else(|| AuthorityError::Unknown(serial.to_string()))?;
        Ok(self.detail(found))
    }

    /// The certificate that is this DER byte for byte; `None` for what the inventory does not have, whatever it is.
    pub fn find_der(&self, der: &[u8]) -> Result<Option<CertSummary>, AuthorityError> {
        let Ok((_, certificate)) = X509Certificate::from_der(der) else { return Ok(None) };
        let Some(serial) = Serial::from_integer(certificate.raw_serial()) else { return Ok(None) };
        let found = self.inventory.by_serial(serial)?.filter(|found| found.der == der);
        Ok(found.map(|found| self.judged(found.entry)))
    }

    /// A certificate as it stands now.
    pub(crate) fn judged(&self, entry: Entry) -> CertSummary {
        self.loaded.load().state.judged(summarise(entry, self.now()))
    }

    /// Whether the CA that has signed a certificate of the inventory is revoked. Costs nothing while none is.
    pub fn is_below_revoked(&self, serial: Serial) -> Result<bool, AuthorityError> {
        let loaded = self.loaded.load();
        if loaded.state.issuers.iter().all(|issuer| issuer.revoked.is_none()) {
            return Ok(false);
        }
        let found = self.inventory.by_serial(serial)?;
        Ok(found.is_some_and(|found| loaded.state.revocation_of(found.entry.issuer).is_some()))
    }

    fn detail(&self, found: Found) -> CertDetail {
        let loaded = self.loaded.load();
        let issuer = loaded.state.issuer(found.entry.issuer);
        let above = issuer.iter().flat_map(|ca| {
            let above = ca.under.iter().flat_map(|under| under.above());
            std::iter::once(ca.der.0.as_slice()).chain(above)
        });
        let chain_pem = above.map(|der| pem::encode("CERTIFICATE", der)).collect();
        CertDetail {
            summary: loaded.state.judged(summarise(found.entry, self.now())),
            fingerprint: fingerprint(&found.der),
            pem: pem::encode("CERTIFICATE", &found.der),
            chain_pem,
            der: found.der,
        }
    }
}

fn issuer_info(state: &State, record: &IssuerRecord) -> IssuerInfo {
    IssuerInfo {
        id: record.id,
        kind: record.kind,
        number: record.number,
        serial: record.serial,
        key_type: record.key_type,
        not_before: record.not_before,
        not_after: record.not_after,
        fingerprint: fingerprint(&record.der.0),
        active: record.id == state.root || record.id == state.intermediate,
        key_here: record.key.is_usable(),
        key_where: KeyWhere::from(&record.key),
        retired: record.retired,
        last_leaf: record.last_leaf,
        revoked: record.revoked.map(|it| (it.at, it.reason)),
        pem: pem::encode("CERTIFICATE", &record.der.0),
    }
}

/// All that sign leaves, newest first.
fn issued(state: &State) -> Vec<Issued> {
    let all = state.issuers.iter().rev();
    all.filter(|issuer| issuer.kind == IssuerKind::Intermediate).map(Issued::by).collect()
}

pub(crate) fn fingerprint(der: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der);
    data_encoding::HEXLOWER.encode(digest.as_ref())
}
