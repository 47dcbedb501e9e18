//! A CA certificate that came back is taken: checked as a whole, then written in one commit.

use std::cell::RefCell;
use std::time::Duration;

use sealock_core::audit::{Actor, Fact};
use sealock_core::{IssuerName, Timestamp, TrustDomain};
use sealock_store::{Change, Transaction};

use super::error::IssuerError;
use super::record::{Line, Under};
use super::signing::CaSigner;
use super::standing::IssuerStanding;
use crate::authority::{Authority, read_state};
use crate::certificate::{self, LeafPlan, Validity};
use crate::constraints::DirectoryName;
use crate::crl;
use crate::error::AuthorityError;
use crate::imported::{AssembledAuthority, ImportError, assemble_authority};
use crate::inventory::IssuerId;
use crate::key::{AuthorityKey, KeyType, NewKey};
use crate::make::new_serial;
use crate::order::Usages;
use crate::publication::Urls;
use crate::serial::Serial;
use crate::state::{Der, IssuerKind, IssuerRecord, KeyPlace, STATE, State};

/// How often a pile is checked while others change what it is checked by.
const MOST_TRIES: usize = 5;

/// A CA certificate that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedIssuer {
    /// As it stands now.
    pub standing: IssuerStanding,
    /// The CA, those above it, and the root: their subjects, in this order.
    pub chain: Vec<String>,
    /// Whether it is another than before.
    pub new: bool,
    /// The subject that was asked for, where the certificate has another.
    pub asked: Option<String>,
}

/// What was found out about a pile, and what from.
struct Checked {
    version: u64,
    roots: Vec<Vec<u8>>,
    held: HeldKey,
    found: AssembledAuthority,
}

/// A key of ours that a certificate is for.
struct HeldKey {
    id: IssuerId,
    /// Its public half (DER of `SubjectPublicKeyInfo`).
    spki: Vec<u8>,
    kind: KeyType,
    place: KeyPlace,
}

impl Authority {
    /// Takes what came back for `name`: the CA's certificate and those above it, in any order. Refused, it changes
    /// nothing; taken before, neither.
    ///
    /// As with [`Authority::import`], the search is made without the lock, and once more where what it was made from has
    /// changed meanwhile.
    pub fn import_issuer(
        &self,
        name: &IssuerName,
        pile: &[Vec<u8>],
        actor: &Actor,
    ) -> Result<ImportedIssuer, IssuerError> {
        if name.is_own() {
            return Err(IssuerError::Own);
        }
        for _ in 0..MOST_TRIES {
            let checked = self.check_issuer(name, pile)?;
            let taken = {
                let _changing = self.changing.lock();
                let (state, version) = read_state(self.store())?;
                if version != checked.version || checked.roots != self.roots_of_others() {
                    continue;
                }
                self.take_issuer(name, state, checked, actor)?
            };
            // Of the one before, if there was one, the last leaf is known from now on.
            self.settle_retired()?;
            return Ok(taken);
        }
        Err(IssuerError::Changed(name.clone()))
    }

    fn roots_of_others(&self) -> Vec<Vec<u8>> {
        self.anchors().into_iter().map(|anchor| anchor.der().to_vec()).collect()
    }

    /// What can be found out without changing anything.
    fn check_issuer(&self, name: &IssuerName, pile: &[Vec<u8>]) -> Result<Checked, IssuerError> {
        let (state, version) = read_state(self.store())?;
        let line = state.line(name).ok_or_else(|| IssuerError::Unknown(name.clone()))?;
        let refused = |source| IssuerError::Import { name: name.clone(), source };
        let held = key_of(&state, line, pile).map_err(refused)?;
        // That it opens is found out here, where it can be told.
        self.key_of_issuer(name, &held)?;
        let now = self.now();
        let unsigned = RefCell::new(None);
        let leaf = |der: &[u8], usages| {
            let key = self.key_of_issuer(name, &held);
            let made = key.and_then(|key| probe(der, key, usages, now));
            made.map_err(|error| unsigned.replace(Some(error))).ok()
        };
        let roots = self.roots_of_others();
        let found = assemble_authority(pile, &roots, &held.spki, &state.trust_domain, &leaf, now);
        let found = match (found, unsigned.into_inner()) {
            // It is not the pile's fault.
            (Err(_), Some(away @ AuthorityError::Device(_))) => return Err(away.into()),
            (found, _) => found.map_err(refused)?,
        };
        if let Some(before) = state.issuer(held.id) {
            same_issuer(before, &found).map_err(refused)?;
        }
        Ok(Checked { version, roots, held, found })
    }

    /// The key, ready to sign. One in the device is not asked for yet.
    fn key_of_issuer(
        &self,
        name: &IssuerName,
        held: &HeldKey,
    ) -> Result<AuthorityKey, AuthorityError> {
        let title = format!("issuer {name}");
        match &held.place {
            KeyPlace::Device(at) => {
                certificate::key_at(&held.spki, held.kind, at, self.device.clone())
                    .ok_or_else(|| AuthorityError::Corrupt { record: format!("{title}: its key") })
            }
            _ => self.unseal(held.id, &title),
        }
    }

    /// Under the lock: what was checked becomes what signs.
    fn take_issuer(
        &self,
        name: &IssuerName,
        mut state: State,
        checked: Checked,
        actor: &Actor,
    ) -> Result<ImportedIssuer, IssuerError> {
        let Checked { version, held, found, .. } = checked;
        let id = held.id;
        let now = self.now();
        let mut line =
            state.line(name).cloned().ok_or_else(|| IssuerError::Unknown(name.clone()))?;
        let key = self.key_of_issuer(name, &held)?;
        let before = state.issuer(id).cloned();
        let record = record(&state, name, &held, &found, before.as_ref(), now);
        let chain = found.subjects();
        let asked = Some(line.subject.to_string())
            .filter(|_| before.is_none() && line.subject.to_der() != found.authority.subject);
        if before.as_ref().is_some_and(|before| is_same(before, &record)) {
            let standing = IssuerStanding::of(&state, &line, now);
            return Ok(ImportedIssuer { standing, chain, new: false, asked });
        }
        let mut transaction = Transaction::new();
        if before.is_none() {
            let delta = self.publication.load().delta(id);
            let by = crl::By { record: &record, key: &key, freshest: delta.as_deref() };
            let (list, _) = crl::first(by, now, now.plus(crl::LIFE))?;
            transaction = transaction.put(list.key, list.value);
            let old = line.active.replace(id);
            let old = state.issuers.iter_mut().find(|one| Some(one.id) == old);
            if let Some(old) = old {
                old.retired = Some(now);
            }
            line.pending = None;
        }
        line.anew = None;
        let fact = taken(name, &record);
        state.put_issuer(record);
        state.put_line(line.clone());
        let value = serde_json::to_vec(&state).map_err(AuthorityError::from)?;
        let transaction = transaction.replace(STATE, version, value);
        self.commit("the import", Change::new(transaction, actor.event(now, fact)))?;
        self.reload()?;
        let standing = IssuerStanding::of(&state, &line, now);
        Ok(ImportedIssuer { standing, chain, new: true, asked })
    }
}

/// The key that waits, or the one that signs, whichever a certificate is for.
fn key_of(state: &State, line: &Line, pile: &[Vec<u8>]) -> Result<HeldKey, ImportError> {
    let waits = line.pending.as_ref().map(|pending| HeldKey {
        id: pending.id,
        spki: pending.spki.0.clone(),
        kind: line.key_type,
        place: pending.place(),
    });
    let signs = line.active.and_then(|id| {
        let record = state.issuer(id)?;
        let spki = crate::imported::spki_of(&record.der.0)?;
        Some(HeldKey { id, spki, kind: record.key_type, place: record.key.clone() })
    });
    let keys = crate::imported::keys_in(pile);
    let mut both: Vec<HeldKey> = waits.into_iter().chain(signs).collect();
    let found = both.iter().position(|key| keys.contains(&key.spki)).unwrap_or(0);
    if both.is_empty() {
        return Err(ImportError::Empty);
    }
    Ok(both.swap_remove(found))
}

/// A new certificate for a key that signs already must leave what it has signed good: the same name, which stands in
/// every leaf and list, and the same identifier.
fn same_issuer(before: &IssuerRecord, found: &AssembledAuthority) -> Result<(), ImportError> {
    let old = crate::imported::Foreign::read(&before.der.0)
        .map_err(|why| ImportError::Unreadable { number: 1, why })?;
    let subject = || found.authority.subject_text.clone();
    if old.subject != found.authority.subject {
        return Err(ImportError::OtherSubject { subject: subject(), before: old.subject_text });
    }
    if old.subject_key != found.authority.subject_key {
        return Err(ImportError::OtherIdentifier { subject: subject() });
    }
    Ok(())
}

fn record(
    state: &State,
    name: &IssuerName,
    held: &HeldKey,
    found: &AssembledAuthority,
    before: Option<&IssuerRecord>,
    now: Timestamp,
) -> IssuerRecord {
    let AssembledAuthority { authority, between, bridges, root, purposes } = found;
    let ders =
        |all: &[crate::imported::Foreign]| all.iter().map(|it| Der(it.der.clone())).collect();
    let under = Under {
        line: name.clone(),
        serial: authority.serial.clone(),
        since: before.and_then(|it| it.under.as_ref()).map_or(now, |under| under.since),
        imported: now,
        subject: authority.subject_text.clone(),
        root_subject: root.subject_text.clone(),
        between: ders(between),
        bridges: ders(bridges),
        root: Der(root.der.clone()),
        path_length: authority.path_length,
        server: purposes.usages.server,
        client: purposes.usages.client,
        code: Some(purposes.usages.code),
        email: Some(purposes.usages.email),
        ocsp: purposes.ocsp && permits_responder(found, &state.trust_domain),
    };
    let lives = || found.chain();
    let latest = lives().map(|one| one.not_before).max();
    let earliest = lives().map(|one| one.not_after).min();
    IssuerRecord {
        id: held.id,
        kind: IssuerKind::Intermediate,
        number: before
            .map_or_else(|| state.next_number(IssuerKind::Intermediate), |before| before.number),
        parent: IssuerId::of(&root.key_identifier()),
        serial: Serial::ending(&authority.serial),
        key_type: held.kind,
        not_before: latest.unwrap_or(authority.not_before),
        not_after: earliest.unwrap_or(authority.not_after),
        der: Der(authority.der.clone()),
        bridge: None,
        key: held.place.clone(),
        retired: before.and_then(|before| before.retired),
        last_leaf: before.and_then(|before| before.last_leaf),
        revoked: None,
        under: Some(Box::new(under)),
    }
}

/// Whether the constraints of the chain let an OCSP responder of ours be called as it is.
fn permits_responder(found: &AssembledAuthority, trust_domain: &TrustDomain) -> bool {
    let subject = certificate::responder_subject(trust_domain);
    let permits = |subject: &DirectoryName| {
        let mut constraints = found.chain().filter_map(|one| one.constraints.as_ref().ok());
        constraints.all(|it| it.check_directory(subject).is_ok())
    };
    subject.as_ref().is_some_and(permits)
}

/// Whether the chain is the one that is there. What follows from its certificates a record of before need not say.
fn is_same(before: &IssuerRecord, after: &IssuerRecord) -> bool {
    let chain = |record: &IssuerRecord| {
        let under = record.under.as_deref().cloned();
        under.map(|under| Under { imported: under.since, code: None, email: None, ..under })
    };
    before.der == after.der && chain(before) == chain(after)
}

fn taken(name: &IssuerName, record: &IssuerRecord) -> Fact {
    let under = record.under.as_deref();
    Fact::IssuerImported {
        issuer: name.to_string(),
        serial: under.map(|under| under.serial.clone()).unwrap_or_default(),
        subject: under.map(|under| under.subject.clone()).unwrap_or_default(),
        root: under.map(|under| under.root_subject.clone()).unwrap_or_default(),
        not_after: record.not_after.to_rfc3339(),
    }
}

/// A leaf to show a chain to a verifier with, and never handed out: without a name, for a key that nobody keeps, over in a
/// minute.
fn probe(
    der: &[u8],
    key: AuthorityKey,
    usages: Usages,
    now: Timestamp,
) -> Result<Vec<u8>, AuthorityError> {
    let signer = CaSigner::foreign(der, key)?;
    let public = NewKey::generate(KeyType::P256)?.public;
    let whole = |moment: Timestamp| Timestamp::from_secs(moment.as_secs());
    let validity =
        Validity { not_before: whole(now), not_after: whole(now.plus(Duration::from_secs(60))) };
    let plan = LeafPlan {
        serial: new_serial()?,
        validity,
        common_name: Some("probe"),
        names: &[],
        usages,
        public: &public,
        urls: &Urls::default(),
    };
    certificate::probe_below(&plan, &signer)
}
