//! The vault against a model of it: a list of versions for each name.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use sealock_core::{Clock, Timestamp};
use sealock_secrets::backup::Archive;
use sealock_secrets::{OnExisting, VaultError, VersionState};

use crate::common::{Scratch, actor, named, secret};

const NAMES: [&str; 4] = ["a", "a/b", "a-b", "c"];

#[derive(Debug, Clone)]
enum Step {
    Set {
        name: usize,
        long: bool,
        seconds: Option<u64>,
    },
    Delete(usize, Option<u64>),
    Undelete(usize, Option<u64>),
    Purge(usize, Option<u64>),
    Rotate,
    Wait(u64),
    Reopen,
    /// Exports and imports into the same vault, which changes nothing.
    Import,
}

fn step() -> impl Strategy<Value = Step> {
    let name = || 0..NAMES.len();
    let version = || proptest::option::of(0_u64..6);
    prop_oneof![
        8 => (name(), any::<bool>(), proptest::option::of(1_u64..200))
            .prop_map(|(name, long, seconds)| Step::Set { name, long, seconds }),
        2 => (name(), version()).prop_map(|(name, version)| Step::Delete(name, version)),
        2 => (name(), version()).prop_map(|(name, version)| Step::Undelete(name, version)),
        2 => (name(), version()).prop_map(|(name, version)| Step::Purge(name, version)),
        1 => Just(Step::Rotate),
        1 => (1_u64..100).prop_map(Step::Wait),
        1 => Just(Step::Reopen),
        1 => Just(Step::Import),
    ]
}

#[derive(Debug, Clone)]
struct Version {
    value: String,
    expires: Option<Timestamp>,
    state: VersionState,
}

#[derive(Debug, Default)]
struct Secret {
    /// How many versions there were before it was purged as a whole.
    before: u64,
    versions: Vec<Version>,
}

#[derive(Debug, Default)]
struct Model(BTreeMap<&'static str, Secret>);

impl Secret {
    fn last(&self) -> u64 {
        self.before + self.versions.len() as u64
    }

    fn version(&mut self, number: u64) -> Option<&mut Version> {
        let index = usize::try_from(number.checked_sub(self.before + 1)?).unwrap();
        self.versions.get_mut(index)
    }

    fn state(&self, number: u64, now: Timestamp) -> Option<VersionState> {
        if number == 0 || number > self.last() {
            return None;
        }
        let Some(index) = number.checked_sub(self.before + 1) else {
            return Some(VersionState::Purged);
        };
        let version = &self.versions[usize::try_from(index).unwrap()];
        let over = version.expires.is_some_and(|end| now >= end);
        Some(match version.state {
            VersionState::Live if over => VersionState::Expired,
            state => state,
        })
    }
}

/// Whether what was answered is what the model says; marks where it should.
fn mark(
    model: &mut Model,
    name: &'static str,
    version: Option<u64>,
    to: VersionState,
    answer: Result<u64, VaultError>,
) {
    let Some(secret) = model.0.get_mut(name).filter(|secret| !secret.versions.is_empty()) else {
        assert!(matches!(answer, Err(VaultError::NotFound(_))), "{answer:?}");
        return;
    };
    let number = version.unwrap_or(secret.last());
    match secret.state(number, Timestamp::from_secs(0)) {
        None => assert!(matches!(answer, Err(VaultError::VersionNotFound { .. })), "{answer:?}"),
        Some(VersionState::Purged) => {
            assert!(matches!(answer, Err(VaultError::Purged { .. })), "{answer:?}");
        }
        Some(_) => {
            assert_eq!(answer.unwrap(), number);
            secret.version(number).unwrap().state = to;
        }
    }
}

fn purge(
    model: &mut Model,
    name: &'static str,
    version: Option<u64>,
    answer: Result<u64, VaultError>,
) {
    if version.is_some() {
        mark(model, name, version, VersionState::Purged, answer);
    } else {
        let there = model.0.get(name).is_some_and(|secret| !secret.versions.is_empty());
        assert_eq!(answer.is_ok(), there);
    }
    let Some(secret) = model.0.get_mut(name) else { return };
    let kept = secret.versions.iter().any(|one| one.state != VersionState::Purged);
    if version.is_none() || !kept {
        secret.before = secret.last();
        secret.versions.clear();
    }
}

fn check(vault: &Scratch, model: &Model) {
    let now = vault.place.clock.now();
    let mut listed = vault.vault.list(None, None, 100).unwrap().secrets.into_iter();
    for name in NAMES.iter().collect::<std::collections::BTreeSet<_>>() {
        let there = model.0.get(name).filter(|secret| !secret.versions.is_empty());
        let Some(secret) = there else {
            assert!(matches!(vault.read(name), Err(VaultError::NotFound(_))));
            assert_eq!(vault.vault.version_of(&named(name)).unwrap(), None);
            continue;
        };
        let info = listed.next().unwrap();
        let newest = secret.last();
        let kept = secret.versions.iter().filter(|one| one.state != VersionState::Purged).count();
        let state = secret.state(newest, now).unwrap();
        assert_eq!((info.name.as_str(), info.version, info.state), (*name, newest, state));
        assert_eq!(info.versions, kept as u64);
        assert_eq!(info.expires, secret.versions.last().unwrap().expires);
        for number in 0..=newest + 1 {
            let read = vault.read_version(name, number);
            let right = match secret.state(number, now) {
                None => matches!(read, Err(VaultError::VersionNotFound { .. })),
                Some(VersionState::Live) => {
                    let index = usize::try_from(number - secret.before - 1).unwrap();
                    read.as_ref().is_ok_and(|text| *text == secret.versions[index].value)
                }
                Some(VersionState::Expired) => matches!(read, Err(VaultError::Expired { .. })),
                Some(VersionState::Deleted) => matches!(read, Err(VaultError::Deleted { .. })),
                Some(_) => matches!(read, Err(VaultError::Purged { .. })),
            };
            assert!(right, "{name} version {number}: {read:?}");
        }
        assert_eq!(vault.read(name).is_ok(), state == VersionState::Live);
        let history = vault.vault.history(&named(name)).unwrap();
        let seen: Vec<_> = history.iter().map(|one| (one.version, one.state)).collect();
        let expected: Vec<_> = (secret.before + 1..=newest)
            .map(|number| (number, secret.state(number, now).unwrap()))
            .collect();
        assert_eq!(seen, expected);
    }
    assert_eq!(listed.next(), None);
}

fn apply(vault: Scratch, model: &mut Model, step: &Step, n: usize) -> Scratch {
    match *step {
        Step::Set { name, long, seconds } => {
            let name = NAMES[name];
            let value = format!("{name} {n} ").repeat(if long { 1500 } else { 1 });
            let ttl = seconds.map(Duration::from_secs);
            let info = vault.vault.set(&named(name), &secret(&value), ttl, &actor()).unwrap();
            let secret = model.0.entry(name).or_default();
            let expires = ttl.map(|ttl| vault.place.clock.now().plus(ttl));
            secret.versions.push(Version { value, expires, state: VersionState::Live });
            assert_eq!((info.version, info.expires), (secret.last(), expires));
        }
        Step::Delete(name, version) => {
            let answer = vault.vault.delete(&named(NAMES[name]), version, &actor());
            let answer = answer.map(|info| info.version);
            mark(model, NAMES[name], version, VersionState::Deleted, answer);
        }
        Step::Undelete(name, version) => {
            let answer = vault.vault.undelete(&named(NAMES[name]), version, &actor());
            let answer = answer.map(|info| info.version);
            mark(model, NAMES[name], version, VersionState::Live, answer);
        }
        Step::Purge(name, version) => {
            let answer = vault.vault.purge(&named(NAMES[name]), version, &actor());
            purge(model, NAMES[name], version, answer.map(|()| version.unwrap_or_default()));
        }
        Step::Rotate => {
            let rotated = vault.vault.rotate_key(&actor()).unwrap();
            let kept = model.0.values().flat_map(|secret| &secret.versions);
            let kept = kept.filter(|one| one.state != VersionState::Purged).count();
            assert_eq!(rotated.values, kept as u64);
        }
        Step::Wait(seconds) => vault.place.clock.advance(Duration::from_secs(seconds)),
        Step::Reopen => {
            let now = vault.place.clock.now();
            let vault = vault.reopen();
            vault.place.clock.set(now);
            return vault;
        }
        Step::Import => {
            let mut bytes = Vec::new();
            let exported = vault.vault.export(None, &[], &actor(), &mut bytes).unwrap();
            let archive = Archive::read(&bytes).unwrap();
            let imported = vault.vault.import(&archive, OnExisting::Replace, &actor()).unwrap();
            assert_eq!((imported.values, imported.skipped), (0, exported.secrets));
        }
    }
    vault
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_vault_does_what_the_model_does(steps in vec(step(), 1..40)) {
        let (mut vault, mut model) = (Scratch::new(), Model::default());
        for (n, step) in steps.iter().enumerate() {
            vault = apply(vault, &mut model, step, n);
        }
        check(&vault, &model);
        check(&vault.reopen_at_the_same_time(), &model);
    }
}

impl Scratch {
    fn reopen_at_the_same_time(self) -> Self {
        let now = self.place.clock.now();
        let vault = self.reopen();
        vault.place.clock.set(now);
        vault
    }
}
