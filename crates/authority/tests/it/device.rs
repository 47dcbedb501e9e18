//! Keys in a device: one made of nothing but this process's memory, which can be taken away and can lie.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use aws_lc_rs::digest::{Digest, SHA256};
use aws_lc_rs::encoding::{AsBigEndian, EcPrivateKeyBin};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use sealock_authority::{
    Authority, AuthorityError, CreateOptions, DeviceError, DeviceKeyId, DevicePublic, IssuerKind,
    KeyAt, KeyDevice, KeyHome, KeyParts, KeyType, KeyWhere, MigrateTo, Published, Rotate,
};
use sealock_core::SecretBytes;
use sealock_core::audit::Fact;
use sealock_store::Journal;

use crate::common::{Place, actor, options, order};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Mood {
    #[default]
    Well,
    Away,
    Lies,
}

/// Signs P-256 by digest; what it signs wrongly is of the right length.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    keys: Mutex<HashMap<Vec<u8>, (EcdsaKeyPair, bool)>>,
    mood: Mutex<Mood>,
    /// So many calls more, and it is away.
    left: Mutex<Option<usize>>,
}

impl Memory {
    pub(crate) fn be(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
        *self.left.lock().unwrap() = None;
    }

    pub(crate) fn last(&self, calls: usize) {
        *self.left.lock().unwrap() = Some(calls);
    }

    pub(crate) fn count(&self) -> usize {
        self.keys.lock().unwrap().len()
    }

    fn ready(&self) -> Result<Mood, DeviceError> {
        if let Some(left) = &mut *self.left.lock().unwrap() {
            match left.checked_sub(1) {
                Some(fewer) => *left = fewer,
                None => *self.mood.lock().unwrap() = Mood::Away,
            }
        }
        match *self.mood.lock().unwrap() {
            Mood::Away => Err(DeviceError {
                message: "the HSM does not answer".into(),
                hint: "plug it in".into(),
                may_pass: true,
            }),
            mood => Ok(mood),
        }
    }

    fn refused(why: &str) -> DeviceError {
        DeviceError { message: why.into(), hint: String::new(), may_pass: false }
    }
}

impl KeyDevice for Memory {
    fn token(&self) -> Result<String, DeviceError> {
        self.ready().map(|_| "memory".to_owned())
    }

    fn generate(
        &self,
        kind: KeyType,
        id: &DeviceKeyId,
        _: &str,
    ) -> Result<DevicePublic, DeviceError> {
        self.ready()?;
        assert_eq!(kind, KeyType::P256);
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let value = pair.public_key().as_ref().to_vec();
        self.keys.lock().unwrap().insert(id.as_bytes().to_vec(), (pair, false));
        Ok(DevicePublic { value, exponent: Vec::new() })
    }

    fn import(
        &self,
        key: &KeyParts,
        id: &DeviceKeyId,
        _: &str,
        extractable: bool,
    ) -> Result<(), DeviceError> {
        self.ready()?;
        let pair = EcdsaKeyPair::from_private_key_and_public_key(
            &ECDSA_P256_SHA256_ASN1_SIGNING,
            key.parts[0].expose(),
            key.parts[1].expose(),
        );
        self.keys.lock().unwrap().insert(id.as_bytes().to_vec(), (pair.unwrap(), extractable));
        Ok(())
    }

    fn sign(&self, key: &KeyAt, _: KeyType, data: Vec<u8>) -> Result<Vec<u8>, DeviceError> {
        let mood = self.ready()?;
        let keys = self.keys.lock().unwrap();
        let (pair, _) = keys.get(key.id.as_bytes()).ok_or_else(|| Self::refused("no such key"))?;
        let digest = Digest::import_less_safe(&data, &SHA256).unwrap();
        let mut raw = raw(pair.sign_digest(&digest).unwrap().as_ref());
        if mood == Mood::Lies {
            raw[63] ^= 1;
        }
        Ok(raw)
    }

    fn export(&self, key: &KeyAt, kind: KeyType, public: &[u8]) -> Result<KeyParts, DeviceError> {
        self.ready()?;
        let keys = self.keys.lock().unwrap();
        let (pair, extractable) = keys.get(key.id.as_bytes()).unwrap();
        if !extractable {
            return Err(Self::refused("the key does not leave the HSM"));
        }
        let value: EcPrivateKeyBin<'_> = pair.private_key().as_be_bytes().unwrap();
        let secret = |bytes: &[u8]| SecretBytes::new(bytes.to_vec());
        Ok(KeyParts { kind, parts: vec![secret(value.as_ref()), secret(public)] })
    }

    fn holds(&self, key: &KeyAt) -> Result<bool, DeviceError> {
        self.ready()?;
        Ok(self.keys.lock().unwrap().contains_key(key.id.as_bytes()))
    }

    fn remove(&self, key: &KeyAt) -> Result<(), DeviceError> {
        self.ready()?;
        self.keys.lock().unwrap().remove(key.id.as_bytes());
        Ok(())
    }
}

/// `r || s` of a DER signature.
fn raw(der: &[u8]) -> Vec<u8> {
    let mut at = 2;
    let mut all = Vec::new();
    for _ in 0..2 {
        let length = usize::from(der[at + 1]);
        let number = &der[at + 2..at + 2 + length];
        let number: Vec<u8> = number.iter().copied().skip_while(|byte| *byte == 0).collect();
        all.extend(std::iter::repeat_n(0, 32 - number.len()).chain(number));
        at += 2 + length;
    }
    all
}

pub(crate) struct World {
    pub(crate) place: Place,
    pub(crate) device: Arc<Memory>,
    journal: Arc<Journal>,
    pub(crate) authority: Arc<Authority>,
}

impl World {
    pub(crate) fn new(root_key: KeyHome, intermediate_key: KeyHome) -> Self {
        let (place, device) = (Place::new(), Arc::new(Memory::default()));
        let journal = place.journal();
        let options = CreateOptions {
            root_key,
            intermediate_key,
            device: Some(Arc::clone(&device) as Arc<dyn KeyDevice>),
            ..options()
        };
        let authority =
            Authority::create(journal.clone(), place.keyring(), &options, &actor()).unwrap();
        Self { place, device, journal, authority }
    }

    /// As after a restart.
    pub(crate) fn reopen(self, with_device: bool) -> Self {
        let Self { place, device, journal, authority } = self;
        drop((journal, authority));
        let journal = place.journal();
        let given = with_device.then(|| Arc::clone(&device) as Arc<dyn KeyDevice>);
        let authority = Authority::open_with(journal.clone(), place.keyring(), given).unwrap();
        Self { place, device, journal, authority }
    }

    fn wheres(&self) -> Vec<KeyWhere> {
        let issuers = self.authority.ca_info().issuers;
        let active = issuers.into_iter().filter(|issuer| issuer.active);
        active.map(|issuer| issuer.key_where).collect()
    }

    pub(crate) fn events(&self) -> usize {
        usize::try_from(self.journal.last_seq()).unwrap()
    }

    fn moved(&self, kind: IssuerKind, to: MigrateTo) -> Result<bool, AuthorityError> {
        self.authority.migrate_key(kind, to, &actor()).map(|migrated| migrated.already)
    }
}

pub(crate) const INTO: MigrateTo = MigrateTo::Device { extractable: false };

#[test]
fn keys_in_a_device_sign_rotate_and_go_when_nobody_needs_them() {
    let world = World::new(KeyHome::Device, KeyHome::Device);
    assert!(world.wheres().iter().all(|it| matches!(it, KeyWhere::Device(_))));
    assert_eq!(world.device.count(), 2);
    let issued = world.authority.issue(&order(&["a.corp.example"]), &actor()).unwrap();
    let world = world.reopen(true);
    world.authority.issue(&order(&["b.corp.example"]), &actor()).unwrap();
    world.authority.revoke(issued.serial, sealock_authority::Reason::Superseded, &actor()).unwrap();
    world.authority.rotate(Rotate::Intermediate, None, &actor()).unwrap();
    let rotated = world.authority.rotate(Rotate::Root, None, &actor()).unwrap();
    assert!(rotated.bridged, "the old root has signed the new one");
    assert!(world.wheres().iter().all(|it| matches!(it, KeyWhere::Device(_))));
    assert_eq!(world.device.count(), 5);
    let error = world.authority.export_root_key(None, &actor()).unwrap_err();
    assert!(matches!(error, AuthorityError::KeyInDevice(_)), "{error:?}");
    // Weeks later the old leaves are gone, and so are the keys above them.
    world.place.clock.advance(std::time::Duration::from_secs(30 * 86_400));
    let done = world.authority.maintain(&actor()).unwrap();
    assert_eq!(done.keys_removed, 3);
    assert_eq!(world.device.count(), 2);
}

#[test]
fn a_device_that_is_away_records_nothing() {
    let world = World::new(KeyHome::Store, KeyHome::Device);
    world.authority.issue(&order(&["a.corp.example"]), &actor()).unwrap();
    world.device.be(Mood::Away);
    let before = world.events();
    for _ in 0..3 {
        let error = world.authority.issue(&order(&["b.corp.example"]), &actor()).unwrap_err();
        assert!(matches!(&error, AuthorityError::Device(it) if it.may_pass), "{error:?}");
        assert!(error.hint().is_some());
    }
    assert!(world.authority.show("b.corp.example").is_err());
    assert_eq!(world.events(), before);
    // It is opened all the same, and what needs no key of the device's is there.
    let world = world.reopen(true);
    assert!(!world.authority.trust_bundle_pem().is_empty());
    world.device.be(Mood::Well);
    world.authority.issue(&order(&["b.corp.example"]), &actor()).unwrap();
    // Without any device: another error, and no panic.
    let world = world.reopen(false);
    let error = world.authority.issue(&order(&["c.corp.example"]), &actor()).unwrap_err();
    assert!(error.to_string().contains("settings name none"), "{error}");
}

#[test]
fn nobody_is_kept_from_revoking_by_a_device_that_is_away() {
    let world = World::new(KeyHome::Store, KeyHome::Device);
    let issued = world.authority.issue(&order(&["a.corp.example"]), &actor()).unwrap();
    let list = || world.authority.crl().unwrap();
    let before = list();
    world.device.be(Mood::Away);
    let reason = sealock_authority::Reason::KeyCompromise;
    world.authority.revoke(issued.serial, reason, &actor()).unwrap();
    assert_eq!(world.authority.show_serial(issued.serial).unwrap().summary.reason, Some(reason));
    // No list says that it is good, neither this one nor that of a process without keys; as soon as one can be signed,
    // it has the revocation.
    let locked = Published::of(Arc::clone(world.journal.store()), world.place.clock.clone());
    let held = || {
        let behind = |outcome: Result<(), AuthorityError>| {
            matches!(outcome, Err(AuthorityError::ListBehind { .. }))
        };
        let (authority, issuer) = (&world.authority, before.issuer);
        let here = [authority.crl_of(issuer).map(drop), authority.delta_of(issuer).map(drop)];
        let there = [locked.crl(issuer).map(drop), locked.delta(issuer).map(drop)];
        here.into_iter().chain(there).all(behind)
    };
    assert!(held());
    assert_eq!(world.authority.held_back().unwrap(), [before.issuer]);
    world.device.be(Mood::Well);
    assert!(held(), "it is left alone for a while");
    world.place.clock.advance(std::time::Duration::from_secs(31));
    let after = list();
    assert_eq!((after.entries, after.number), (1, before.number + 1));
    assert_eq!(list(), after, "once");
    assert_eq!(locked.crl(before.issuer).unwrap(), Some(after));
    assert!(world.authority.held_back().unwrap().is_empty());
}

#[test]
fn a_device_that_lies_gets_nothing_into_the_inventory() {
    let world = World::new(KeyHome::Store, KeyHome::Device);
    world.device.be(Mood::Lies);
    let error = world.authority.issue(&order(&["a.corp.example"]), &actor()).unwrap_err();
    assert!(error.to_string().contains("wrong"), "{error}");
    assert!(world.authority.show("a.corp.example").is_err());
    // Nor does a key go into it that then signs wrongly.
    let error = world.moved(IssuerKind::Root, INTO).unwrap_err();
    assert!(error.to_string().contains("wrong"), "{error}");
    assert!(world.wheres().contains(&KeyWhere::Store));
    world.device.be(Mood::Well);
    world.authority.maintain(&actor()).unwrap();
    let left = world.authority.left_in_device().unwrap();
    assert_eq!((left.len(), left[0].what.as_str()), (1, "root 1"), "what it was given is known");
    assert_eq!(world.device.count(), 2);
    // The next move takes it over.
    assert!(!world.moved(IssuerKind::Root, INTO).unwrap());
    assert_eq!(world.device.count(), 2);
    assert!(world.authority.left_in_device().unwrap().is_empty());
}

#[test]
fn keys_go_in_and_come_back_where_they_may() {
    let world = World::new(KeyHome::Store, KeyHome::Store);
    let fingerprints = |world: &World| -> Vec<String> {
        world.authority.ca_info().issuers.into_iter().map(|it| it.fingerprint).collect()
    };
    let before = fingerprints(&world);
    assert!(world.moved(IssuerKind::Intermediate, MigrateTo::Store).unwrap());
    assert!(!world.moved(IssuerKind::Intermediate, INTO).unwrap());
    assert!(world.moved(IssuerKind::Intermediate, INTO).unwrap());
    let free = MigrateTo::Device { extractable: true };
    assert!(!world.moved(IssuerKind::Root, free).unwrap());
    assert!(world.wheres().iter().all(|it| matches!(it, KeyWhere::Device(_))));
    assert_eq!(fingerprints(&world), before, "the certificates are the same");
    let world = world.reopen(true);
    world.authority.issue(&order(&["a.corp.example"]), &actor()).unwrap();
    // One may come back, the other stays.
    assert!(!world.moved(IssuerKind::Root, MigrateTo::Store).unwrap());
    let error = world.moved(IssuerKind::Intermediate, MigrateTo::Store).unwrap_err();
    assert!(matches!(error, AuthorityError::Device(_)), "{error:?}");
    assert_eq!(world.device.count(), 1);
    let world = world.reopen(true);
    world.authority.rotate(Rotate::Intermediate, None, &actor()).unwrap();
    let records = world.journal.tail(0, 100).unwrap();
    let moved = records.iter().filter(|it| matches!(it.event.fact, Fact::CaKeyMoved { .. }));
    assert_eq!(moved.count(), 3);
}

/// Whenever the device goes in the middle, the key is where the state says, what is left over is known, and the next move
/// takes it over.
#[test]
fn a_migration_that_is_cut_short_at_any_call_heals() {
    let free = MigrateTo::Device { extractable: true };
    for calls in 0..8 {
        let world = World::new(KeyHome::Store, KeyHome::Store);
        world.device.last(calls);
        let there = world.moved(IssuerKind::Root, free).is_ok();
        // And a new start in between, whatever has happened.
        let world = world.reopen(true);
        world.device.be(Mood::Well);
        world.authority.rotate(Rotate::Intermediate, None, &actor()).unwrap();
        let left = world.authority.left_in_device().unwrap();
        assert_eq!(world.device.count(), usize::from(there) + left.len(), "{calls}");
        if !there {
            assert!(world.wheres().contains(&KeyWhere::Store), "{calls}");
            assert!(!world.moved(IssuerKind::Root, free).unwrap(), "{calls}");
        }
        assert_eq!(world.device.count(), 1, "{calls}");
        assert!(world.authority.left_in_device().unwrap().is_empty(), "{calls}");
        world.device.last(calls);
        let back = world.moved(IssuerKind::Root, MigrateTo::Store);
        let world = world.reopen(true);
        world.device.be(Mood::Well);
        world.authority.rotate(Rotate::Intermediate, None, &actor()).unwrap();
        assert_eq!(world.device.count(), usize::from(back.is_err()), "{calls}");
    }
}

/// A copy of the state that was taken within a move, and is opened beside the same device.
#[test]
fn a_copy_of_the_state_from_within_a_move_removes_no_key_that_is_in_use() {
    let mut copied = 0;
    for calls in 0..8 {
        let world = World::new(KeyHome::Store, KeyHome::Store);
        // Here it is cut short, and a copy of the state is taken …
        world.device.last(calls);
        if world.moved(IssuerKind::Intermediate, INTO).is_ok() {
            break;
        }
        let World { place, device, journal, authority } = world;
        drop((journal, authority));
        let copy = Place::new();
        for entry in std::fs::read_dir(place.path()).unwrap().flatten() {
            let to = copy.path().join(entry.file_name());
            if entry.path().is_dir() {
                std::fs::create_dir(&to).unwrap();
                for file in std::fs::read_dir(entry.path()).unwrap().flatten() {
                    std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
                }
            } else {
                std::fs::copy(entry.path(), to).unwrap();
            }
        }
        // … and here it goes on to its end.
        device.be(Mood::Well);
        let open = |place: Place| {
            let journal = place.journal();
            let shared = Some(Arc::clone(&device) as Arc<dyn KeyDevice>);
            let authority = Authority::open_with(journal.clone(), place.keyring(), shared).unwrap();
            World { place, device: Arc::clone(&device), journal, authority }
        };
        let original = open(place);
        assert!(!original.moved(IssuerKind::Intermediate, INTO).unwrap());
        let copy = open(copy);
        copy.authority.maintain(&actor()).unwrap();
        copy.authority.rotate(Rotate::Intermediate, None, &actor()).unwrap();
        original.authority.issue(&order(&["a.corp.example"]), &actor()).unwrap();
        copied += 1;
    }
    assert!(copied > 2, "{copied}");
}

#[test]
fn a_creation_that_is_cut_short_is_done_again() {
    for calls in 0..8 {
        let (place, device) = (Place::new(), Arc::new(Memory::default()));
        let journal = place.journal();
        let options = CreateOptions {
            root_key: KeyHome::Device,
            intermediate_key: KeyHome::Device,
            device: Some(Arc::clone(&device) as Arc<dyn KeyDevice>),
            ..options()
        };
        device.last(calls);
        let create = || Authority::create(journal.clone(), place.keyring(), &options, &actor());
        let first = create();
        device.be(Mood::Well);
        drop(first);
        create().unwrap();
        let authority = create().unwrap();
        authority.maintain(&actor()).unwrap();
        assert_eq!(device.count(), 2, "{calls}");
    }
}
