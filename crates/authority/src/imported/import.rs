//! What came back is taken: checked as a whole, then written in one commit; and what was taken is handed out.

use sealock_core::audit::{Actor, Fact};
use sealock_core::{ImportedName, SecretBytes};
use sealock_store::{Change, Transaction};

use super::assemble::{Assembled, Expected, Foreign, Heap, MOST_CERTIFICATES, assemble};
use super::error::ImportError;
use super::operate::{RequestError, Standing, seal, write};
use super::record::{FORMAT, Held, KeyRef, Record, Wishes};
use super::renew::{EXPIRING, is_due};
use super::subject::Subject;
use crate::authority::Authority;
use crate::error::AuthorityError;
use crate::key::{AuthorityKey, KeyType, PublicKeyKind};
use crate::order::Usages;
use crate::pem;
use crate::state::Der;

/// The most certificates of a heap that are looked at.
pub const MOST_IN_HEAP: usize = 4096;
/// How often a pile is checked while others change what it is checked by.
const MOST_TRIES: usize = 5;

/// What came back.
#[derive(Debug, Clone, Default)]
pub struct Pile {
    /// Certificates (DER) in any order, those of others among them.
    pub certificates: Vec<Vec<u8>>,
    /// A private key that came along (PKCS#8): the certificate is then for this one.
    pub key: Option<SecretBytes>,
    /// Whether names that were not asked for are taken.
    pub accept_names: bool,
    /// Whether one is taken that ends earlier than what is served.
    pub accept_shorter: bool,
}

/// A certificate that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// As it stands now.
    pub standing: Standing,
    /// Leaf, intermediates and root: their subjects, in this order.
    pub chain: Vec<String>,
    /// Whether it is another than before.
    pub new: bool,
}

/// Which key the leaf must be for.
struct Key {
    reference: KeyRef,
    /// Sealed, where it came along.
    brought: Option<Vec<u8>>,
}

/// What was found out about a pile, and what from.
struct Checked {
    before: Option<(Record, u64)>,
    roots: Vec<Vec<u8>>,
    key: Key,
    assembled: Assembled,
}

impl Authority {
    /// The requests for whose keys there is a certificate in the pile.
    pub fn matching(&self, certificates: &[Vec<u8>]) -> Vec<ImportedName> {
        self.sorted(certificates).into_iter().map(|(name, _)| name).collect()
    }

    /// A heap that others may have filled, by request that waits: the certificates for its key, and all that may be in
    /// their chains. Of the rest, nothing keeps an import.
    pub fn sorted(&self, certificates: &[Vec<u8>]) -> Vec<(ImportedName, Vec<Vec<u8>>)> {
        let heap = Heap::read(certificates, MOST_IN_HEAP);
        let known = self.known.load();
        let keys = known.records.iter().filter_map(|(name, (record, _))| {
            Some((name, record.pending.as_ref()?.key.spki.0.as_slice()))
        });
        keys.filter(|(_, key)| heap.has_key(key))
            .map(|(name, key)| (name.clone(), heap.related(key)))
            .collect()
    }

    /// What is served of these certificates (DER): each with whether its leaf is among them, or only some of its chain.
    pub fn serving(&self, certificates: &[Vec<u8>]) -> Vec<(Standing, bool)> {
        let known = self.known.load();
        let served = known.records.iter().filter_map(|(name, (record, _))| {
            let held = record.held.as_ref()?;
            let has_leaf = certificates.contains(&held.leaf.0);
            let has_any = certificates.iter().any(|der| held.has(der));
            has_any.then(|| (Standing::of(name, record), has_leaf))
        });
        served.collect()
    }

    /// For what is served there is a certificate among these (DER) that is for the same key and ends no later: why that is
    /// not taken.
    pub fn worse_than_served(
        &self,
        certificates: &[Vec<u8>],
    ) -> Option<(ImportedName, ImportError)> {
        let known = self.known.load();
        let served: Vec<_> = known
            .records
            .iter()
            .filter_map(|(name, (record, _))| Some((name, record.held.as_ref()?)))
            .filter(|(_, held)| !certificates.contains(&held.leaf.0))
            .collect();
        let looked_at = certificates.iter().take(MOST_CERTIFICATES);
        looked_at.filter_map(|der| Foreign::read(der).ok()).find_map(|one| {
            let (name, held) = served.iter().find(|(_, held)| {
                held.key.spki.0 == one.spki
                    && held.leaf.0 != one.der
                    && one.not_after <= held.not_after
            })?;
            let (until, served) = (one.not_after, held.not_after);
            Some(((*name).clone(), ImportError::Shorter { until, served }))
        })
    }

    /// Takes what came back for `name`. Refused, it changes nothing; taken before, neither.
    ///
    /// Whoever sends it decides how long the search for a chain takes, so nobody waits for that: it is made without the
    /// lock, and once more where what it was made from has changed meanwhile.
    pub fn import(
        &self,
        name: &ImportedName,
        pile: &Pile,
        actor: &Actor,
    ) -> Result<Imported, RequestError> {
        for _ in 0..MOST_TRIES {
            let checked = self.check_pile(name, pile)?;
            let _changing = self.changing.lock();
            let version = self.known.load().records.get(name).map(|(_, version)| *version);
            let is_same = version == checked.before.as_ref().map(|(_, version)| *version)
                && checked.roots == self.distributed_bundle();
            if is_same {
                return self.take(name, checked, actor);
            }
        }
        Err(RequestError::Changed(name.clone()))
    }

    /// What can be found out without changing anything.
    fn check_pile(&self, name: &ImportedName, pile: &Pile) -> Result<Checked, RequestError> {
        let before = self.known.load().records.get(name).cloned();
        if before.is_none() && pile.key.is_none() {
            return Err(RequestError::Unknown(name.clone()));
        }
        let refused = |source| RequestError::Import { name: name.clone(), source };
        let key = self.key_of(name, pile, before.as_ref())?;
        let record = before.as_ref().map(|(record, _)| record);
        let served = record.and_then(|record| record.held.as_ref());
        let expected = Expected {
            key: &key.reference.spki.0,
            names: record.map(|record| record.wishes.names.as_slice()),
            // What was accepted once is accepted of its successor.
            also: served.map_or(&[], |held| held.names.as_slice()),
            any_names: pile.accept_names,
            usages: record.map_or(Usages::NONE, |it| it.wishes.usages),
        };
        let roots = self.distributed_bundle();
        let assembled =
            assemble(&pile.certificates, &roots, &expected, self.now()).map_err(refused)?;
        let until = assembled.leaf.not_after;
        if let Some(served) = served.filter(|held| until < held.not_after && !pile.accept_shorter) {
            let served = served.not_after;
            return Err(refused(ImportError::Shorter { until, served }));
        }
        Ok(Checked { before, roots, key, assembled })
    }

    /// Under the lock: what was checked becomes what is served.
    fn take(
        &self,
        name: &ImportedName,
        checked: Checked,
        actor: &Actor,
    ) -> Result<Imported, RequestError> {
        let Checked { before, key, assembled, .. } = checked;
        let record = before.as_ref().map(|(record, _)| record);
        let held = self.held(&assembled, &key.reference);
        let chain = chain_of(&assembled);
        let served = record.and_then(|record| record.held.as_ref());
        if let Some(record) = record
            && served.is_some_and(|old| old.ders().eq(held.ders()))
        {
            return Ok(Imported { standing: Standing::of(name, record), chain, new: false });
        }
        let after = self.after_import(record, &assembled, held);
        let transaction = transaction(name, before.as_ref(), &after, key)?;
        let mut change = Change::new(transaction, actor.event(self.now(), taken(name, &after)));
        if record.is_some_and(|record| record.alarmed) {
            let (alarm, subject) = (EXPIRING.to_owned(), name.to_string());
            change.events.push(actor.event(self.now(), Fact::AlarmCleared { alarm, subject }));
        }
        self.commit("the import", change)?;
        self.reload_imported()?;
        Ok(Imported { standing: Standing::of(name, &after), chain, new: true })
    }

    /// The key that came along, or the one that waits, or the one that is served.
    fn key_of(
        &self,
        name: &ImportedName,
        pile: &Pile,
        before: Option<&(Record, u64)>,
    ) -> Result<Key, RequestError> {
        let keys = super::keys_in(&pile.certificates);
        let has = |key: &&KeyRef| keys.contains(&key.spki.0);
        let waits = before.and_then(|(record, _)| Some(&record.pending.as_ref()?.key));
        let serves = before.and_then(|(record, _)| Some(&record.held.as_ref()?.key));
        let ours = waits.filter(has).or_else(|| serves.filter(has));
        if let Some(pkcs8) = &pile.key {
            let key = AuthorityKey::from_pkcs8(pkcs8).map_err(RequestError::Key)?;
            let reference = KeyRef::of(&rcgen::PublicKeyData::subject_public_key_info(&key));
            // A key that lay beside: what came is for the one that is here already.
            if let Some(ours) = ours.filter(|_| !has(&&reference)) {
                return Ok(Key { reference: ours.clone(), brought: None });
            }
            if !has(&&reference) && !pile.certificates.is_empty() {
                let found = super::subjects_in(&pile.certificates);
                let (name, source) = (name.clone(), ImportError::StrayKey { found });
                return Err(RequestError::Import { name, source });
            }
            let brought = if serves == Some(&reference) {
                None
            } else {
                Some(seal(&self.keyring, &reference.entry(name), pkcs8.expose())?)
            };
            return Ok(Key { reference, brought });
        }
        let first = ours.or(waits).or(serves);
        let reference = first.cloned().ok_or_else(|| RequestError::NotWaiting(name.clone()))?;
        Ok(Key { reference, brought: None })
    }

    fn held(&self, assembled: &Assembled, key: &KeyRef) -> Held {
        let Assembled { leaf, intermediates, root } = assembled;
        Held {
            imported: self.now(),
            serial: leaf.serial.clone(),
            fingerprint: leaf.fingerprint(),
            subject: leaf.subject_text.clone(),
            issuer: leaf.issuer_text.clone(),
            names: leaf.names.clone(),
            not_before: leaf.not_before,
            not_after: leaf.not_after,
            key: key.clone(),
            leaf: Der(leaf.der.clone()),
            intermediates: intermediates.iter().map(|one| Der(one.der.clone())).collect(),
            root: Der(root.der.clone()),
        }
    }

    fn after_import(&self, before: Option<&Record>, assembled: &Assembled, held: Held) -> Record {
        let fresh = !is_due(&held, self.now());
        let wishes = before.map_or_else(|| wishes_of(&assembled.leaf), |it| it.wishes.clone());
        let pending = before.and_then(|record| record.pending.clone());
        // Signed again for the key that is served: a successor is not waited for any more.
        let pending = pending.filter(|pending| pending.key != held.key).filter(|pending| {
            !(pending.renewal && fresh) && before.is_some_and(|it| it.held.is_some())
        });
        Record { format: FORMAT, wishes, pending, held: Some(held), alarmed: false }
    }

    /// The private key of what is served, with what is served. That it leaves is recorded before it does.
    pub fn imported_key(
        &self,
        name: &ImportedName,
        actor: &Actor,
    ) -> Result<(Standing, Held, SecretBytes), RequestError> {
        let known = self.known.load_full();
        let (record, _) =
            known.records.get(name).ok_or_else(|| RequestError::Unknown(name.clone()))?;
        let held = record.held.clone().ok_or_else(|| RequestError::Waiting(name.clone()))?;
        let entry = held.key.entry(name);
        let what = || format!("the key of the imported certificate {name}");
        let sealed = self
            .store()
            .get(entry.as_bytes())
            .map_err(AuthorityError::from)?
            .ok_or_else(|| AuthorityError::Corrupt { record: what() })?;
        let pkcs8 = self
            .keyring
            .open_sealed(&entry, &sealed.value)
            .map_err(|source| AuthorityError::Unseal { key: what(), source })?;
        let fact = Fact::CertTaken { name: name.to_string(), serial: held.serial.clone() };
        self.commit("that the key leaves", Change::event(actor.event(self.now(), fact)))?;
        let key = pem::encode_secret("PRIVATE KEY", pkcs8.expose());
        Ok((Standing::of(name, record), held, key))
    }
}

/// One commit: the record, the key that came along, and away with the keys that no record names any more.
fn transaction(
    name: &ImportedName,
    before: Option<&(Record, u64)>,
    after: &Record,
    key: Key,
) -> Result<Transaction, AuthorityError> {
    let mut transaction = write(name, before, after)?;
    let old = before.map(|(record, _)| record);
    let waited = old.and_then(|record| Some(&record.pending.as_ref()?.key));
    let served = old.and_then(|record| Some(&record.held.as_ref()?.key));
    let waits = after.pending.as_ref().map(|pending| &pending.key);
    for unused in waited.into_iter().chain(served) {
        if *unused != key.reference && Some(unused) != waits {
            transaction = transaction.delete(unused.entry(name).into_bytes());
        }
    }
    if let Some(sealed) = key.brought {
        transaction = transaction.put(key.reference.entry(name).into_bytes(), sealed);
    }
    Ok(transaction)
}

fn taken(name: &ImportedName, after: &Record) -> Fact {
    let held = after.held.as_ref();
    Fact::CertImported {
        name: name.to_string(),
        serial: held.map(|held| held.serial.clone()).unwrap_or_default(),
        issuer: held.map(|held| held.issuer.clone()).unwrap_or_default(),
        names: held.iter().flat_map(|held| &held.names).map(ToString::to_string).collect(),
        not_after: held.map(|held| held.not_after.to_rfc3339()).unwrap_or_default(),
    }
}

fn chain_of(assembled: &Assembled) -> Vec<String> {
    let Assembled { leaf, intermediates, root } = assembled;
    let all = std::iter::once(leaf).chain(intermediates).chain([root]);
    all.map(|one| one.subject_text.clone()).collect()
}

/// What to ask for next time, where the certificate came with its key and nobody asked for it here.
fn wishes_of(leaf: &Foreign) -> Wishes {
    let usages = leaf.purposes.map_or(Usages::BOTH, |it| it.usages);
    // A mixture that is not asked for here is asked for as far as it is for TLS.
    let usages = match usages.check() {
        Ok(()) => usages,
        Err(_) => usages.and(Usages::BOTH),
    };
    let subject = Subject::usual(&leaf.names, usages);
    let key_type = match leaf.public_key_kind() {
        Some(PublicKeyKind::P384) => KeyType::P384,
        Some(PublicKeyKind::Ed25519) => KeyType::Ed25519,
        Some(PublicKeyKind::Rsa(_)) => KeyType::Rsa3072,
        _ => KeyType::P256,
    };
    Wishes { subject, names: leaf.names.clone(), usages, key_type, upstream: None }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sealock_core::{Clock, SubjectName, SystemClock};
    use sealock_store::{Journal, Keyring, NewProtection, SqliteStore};

    use super::*;
    use crate::CreateOptions;
    use crate::imported::testing::root;

    #[test]
    fn nobody_waits_for_the_search_through_a_pile() {
        let folder = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let store = SqliteStore::open(&folder.path().join("state.db"), Arc::clone(&clock)).unwrap();
        let journal = Journal::open(Arc::new(store) as _, clock).unwrap();
        let keyring = Keyring::create(&folder.path().join("keys"), &NewProtection::File).unwrap();
        let actor = Actor { who: "uid:0".into(), request: "test".into(), decision: None };
        let options = CreateOptions::new("corp.example".parse().unwrap());
        let authority = Authority::create(journal, Arc::new(keyring), &options, &actor).unwrap();
        let name: ImportedName = "web".parse().unwrap();
        let wishes = Wishes {
            subject: Subject::common_name("www.corp.example"),
            names: vec![SubjectName::dns("www.corp.example").unwrap()],
            usages: Usages::SERVER,
            key_type: KeyType::P256,
            upstream: None,
        };
        authority.request(&name, &wishes, false, &actor).unwrap();
        // Somebody else is changing something, for as long as it takes: what is refused is refused without the lock.
        let _changing = authority.changing.lock();
        let pile = Pile { certificates: vec![root("Corp").der], ..Pile::default() };
        let error = authority.import(&name, &pile, &actor).unwrap_err();
        let RequestError::Import { source, .. } = &error else { panic!("{error}") };
        assert!(matches!(source, ImportError::OtherKey { .. }), "{error}");
    }
}
