//! New intermediates and new roots, with an overlap; and what has to be done now and then.
//!
//! # The overlap
//!
//! A retired intermediate signs no more leaves (an issue that was under way starts again under the new
//! one), and its list of revocations is kept up until the last leaf below it has expired. A retired root
//! stays in the trust bundle for as long. Those who got their bundle before a rotation of the root trust
//! only the old one: for them the new root is also certified by the old one (RFC 4210 §4.4, "new with
//! old"), and during the overlap that certificate stands in the chains that leaves are handed out with.
//! All roots of a trust domain have one subject, so it is self-issued and does not count against the old
//! root's path length (RFC 5280 §4.2.1.9). OpenSSL and rustls read it so. GnuTLS and Go count it all the
//! same and need the new bundle at once, as everybody does when the old root's key was not at hand to make
//! that certificate.
//!
//! When the last leaf has expired, the keys of the retired issuers are removed.

use std::time::Duration;

use rcgen::Issuer;
use sealock_core::Timestamp;
use sealock_core::audit::{Actor, Fact};
use sealock_store::{Change, Transaction};

use crate::authority::{Authority, make_homes, read_state, seal};
use crate::crl::{self, By, Crl, Revoked};
use crate::device::{KeyHome, unwanted};
use crate::error::AuthorityError;
use crate::key::AuthorityKey;
use crate::lists::made_list;
use crate::make::{self, Home, Made, NewIntermediate};
use crate::root_key::RootKeyFile;
use crate::serial::Serial;
use crate::state::{IssuerKind, IssuerRecord, KeyPlace, STATE, SignerRecord, State, key_name};

/// How long expired certificates stay in the inventory. The audit log keeps its record of them.
pub const RETENTION: Duration = Duration::from_secs(90 * 86_400);
/// How many expired certificates go in one commit.
const PRUNE_AT_ONCE: usize = 500;
/// How many commits of those one call of [`Authority::maintain`] makes.
const PRUNES: usize = 40;

/// What to make anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotate {
    /// The issuing intermediate, under the same root.
    Intermediate,
    /// Root, intermediate and audit signer.
    Root,
}

/// What a rotation has made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotated {
    /// The new intermediate's serial.
    pub intermediate: Serial,
    /// The new root's serial, if there is a new root.
    pub root: Option<Serial>,
    /// Whether the new root is certified by the old one, for those who trust only that.
    pub bridged: bool,
    /// When the last leaf of the old chain expires.
    pub overlap_until: Option<Timestamp>,
}

/// What [`Authority::maintain`] has done and found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Maintained {
    /// A new intermediate, because the old one has less than a third of its life left.
    pub rotated: Option<Rotated>,
    /// The active intermediate should be replaced, but the root key is not here: a person has to do it.
    pub rotation_needs_root_key: bool,
    /// How many revocation lists were made anew.
    pub crls: usize,
    /// How many expired certificates left the inventory.
    pub pruned: usize,
    /// How many keys of retired issuers were removed.
    pub keys_removed: usize,
}

impl Authority {
    /// Makes a new intermediate, or a new root with all below it. The root key comes from the store, or
    /// from `root_key` when it was exported; with `root_key` it is used once and not stored. A new root
    /// needs no old key, but without it there is no bridge for those who trust only the old root.
    pub fn rotate(
        &self,
        what: Rotate,
        root_key: Option<&RootKeyFile<'_>>,
        actor: &Actor,
    ) -> Result<Rotated, AuthorityError> {
        let changing = self.changing.lock();
        self.try_remove_unwanted();
        let (state, version) = read_state(self.store())?;
        let root = active(&state, state.root)?.clone();
        let issuer = match root_key {
            Some(file) => Some(file.issuer(&root)?),
            None if root.key.is_usable() => Some(self.issuer_of(&root)?),
            None => None,
        };
        let (change, mut rotated) = match what {
            Rotate::Intermediate => {
                let issuer = issuer.ok_or(AuthorityError::RootKeyAway)?;
                self.new_intermediate(state, version, &root, &issuer, actor)?
            }
            Rotate::Root => self.new_root(state, version, &root, issuer.as_ref(), actor)?,
        };
        self.commit("the rotation", change)?;
        self.reload()?;
        drop(changing);
        self.settle_retired()?;
        let state = self.loaded.load().state.clone();
        rotated.overlap_until = state.ours().rev().find_map(|issuer| issuer.last_leaf);
        Ok(rotated)
    }

    fn new_intermediate(
        &self,
        mut state: State,
        version: u64,
        root: &IssuerRecord,
        root_issuer: &Issuer<'_, AuthorityKey>,
        actor: &Actor,
    ) -> Result<(Change, Rotated), AuthorityError> {
        let now = self.now();
        let (transaction, serial) =
            self.succeed(&mut state, root, root_issuer, now, Transaction::new())?;
        let (transaction, list) = self.root_list(&state, root, root_issuer, now, transaction)?;
        let transaction = transaction.replace(STATE, version, serde_json::to_vec(&state)?);
        let fact = Fact::CaRotated { what: "intermediate".into(), serial: serial.to_string() };
        let events = vec![actor.event(now, fact), actor.event(now, made_list(&list))];
        let rotated =
            Rotated { intermediate: serial, root: None, bridged: false, overlap_until: None };
        Ok((Change { transaction, events }, rotated))
    }

    /// Puts a new intermediate in the active one's place.
    pub(crate) fn succeed(
        &self,
        state: &mut State,
        root: &IssuerRecord,
        root_issuer: &Issuer<'_, AuthorityKey>,
        now: Timestamp,
        transaction: Transaction,
    ) -> Result<(Transaction, Serial), AuthorityError> {
        let [home] = make_homes(&self.journal, &self.device, [home_of(state, state.intermediate)])?;
        let made = self.below(state, root, root_issuer, &home, now)?;
        let serial = made.record.serial;
        let transaction = self.add_intermediate(&made, now, transaction)?;
        retire(state, IssuerKind::Intermediate, now);
        state.intermediate = made.record.id;
        state.issuers.push(made.record);
        Ok((transaction, serial))
    }

    /// The list of a root, for what is below it in `state`. It has to last as long as that: the root's key may be gone
    /// until then.
    pub(crate) fn root_list(
        &self,
        state: &State,
        root: &IssuerRecord,
        root_issuer: &Issuer<'_, AuthorityKey>,
        now: Timestamp,
        transaction: Transaction,
    ) -> Result<(Transaction, Crl), AuthorityError> {
        let previous = self.lists(root.id)?.into_previous();
        let since = previous.as_ref().map_or(now, |before| before.crl.this_update.min(now));
        let ends = state.below(root.id).map(|below| below.not_after);
        let end = ends.max().filter(|end| *end > now);
        let revoked: Vec<Revoked> = state
            .below(root.id)
            .filter(|below| below.not_after >= since)
            .filter_map(|below| below.revoked.map(|it| (below.serial, it.at, it.reason)))
            .collect();
        let by = By { record: root, key: root_issuer.key(), freshest: None };
        let number = previous.as_ref().map_or(1, |before| before.crl.number + 1);
        let (condition, put, list) = crl::next(by, number, previous.as_ref(), now, &revoked, end)?;
        Ok((transaction.when(condition).with(put), list))
    }

    fn new_root(
        &self,
        mut state: State,
        version: u64,
        old: &IssuerRecord,
        old_issuer: Option<&Issuer<'_, AuthorityKey>>,
        actor: &Actor,
    ) -> Result<(Change, Rotated), AuthorityError> {
        let now = self.now();
        let number = state.next_number(IssuerKind::Root);
        let bridge = old_issuer.map(|issuer| (old, issuer));
        let homes = [home_of(&state, state.root), home_of(&state, state.intermediate)];
        let [root_home, home] = make_homes(&self.journal, &self.device, homes)?;
        let key = (state.key_type, &root_home);
        let root = make::root(&state.trust_domain, key, number, now, bridge)?;
        let root_issuer = root.issuer()?;
        let made = self.below(&state, &root.record, &root_issuer, &home, now)?;
        let signer = make::signer(&state.trust_domain, &root.record, &root_issuer, now)?;
        let end = made.record.not_after;
        let (root_crl, _) = root.first_crl(None, now, end)?;
        let mut transaction = Transaction::new().put(root_crl.key, root_crl.value);
        for new in [&root, &signer] {
            transaction = seal(&self.keyring, new, transaction)?;
        }
        let transaction = self.add_intermediate(&made, now, transaction)?;
        let rotated = Rotated {
            intermediate: made.record.serial,
            root: Some(root.record.serial),
            bridged: root.record.bridge.is_some(),
            overlap_until: None,
        };
        let fact = |what: &str, serial: Serial| Fact::CaRotated {
            what: what.into(),
            serial: serial.to_string(),
        };
        let events = vec![
            actor.event(now, fact("root", root.record.serial)),
            actor.event(now, fact("intermediate", made.record.serial)),
        ];
        retire(&mut state, IssuerKind::Intermediate, now);
        retire(&mut state, IssuerKind::Root, now);
        let transaction = transaction.delete(key_name(state.signer.id).into_bytes());
        state.root = root.record.id;
        state.intermediate = made.record.id;
        state.signer = SignerRecord { id: signer.record.id, der: signer.record.der };
        state.issuers.extend([root.record, made.record]);
        let transaction = transaction.replace(STATE, version, serde_json::to_vec(&state)?);
        Ok((Change { transaction, events }, rotated))
    }

    fn below(
        &self,
        state: &State,
        root: &IssuerRecord,
        root_issuer: &Issuer<'_, AuthorityKey>,
        home: &Home,
        now: Timestamp,
    ) -> Result<Made, AuthorityError> {
        if now < root.not_before {
            return Err(AuthorityError::ClockBehind { now, not_before: root.not_before });
        }
        if now > root.not_after {
            return Err(AuthorityError::IssuerExpired(root.not_after));
        }
        let profile = self.own.load().intermediate;
        let new = NewIntermediate {
            trust_domain: &state.trust_domain,
            key_type: profile.key_type.unwrap_or(state.key_type),
            life: profile.life,
            home,
            number: state.next_number(IssuerKind::Intermediate),
            constraints: &state.name_constraints,
            urls: &self.publication.load().urls(root.id, state.crl_url.as_deref()),
        };
        make::intermediate(&new, root, root_issuer, now)
    }

    /// Adds a new intermediate's key and first revocation list.
    fn add_intermediate(
        &self,
        made: &Made,
        now: Timestamp,
        transaction: Transaction,
    ) -> Result<Transaction, AuthorityError> {
        let delta = self.publication.load().delta(made.record.id);
        let (list, _) = made.first_crl(delta.as_deref(), now, now.plus(crl::LIFE))?;
        Ok(seal(&self.keyring, made, transaction)?.put(list.key, list.value))
    }

    /// Finds out when the last leaf of each retired issuer expires, once it can no longer change. Done
    /// after a rotation, and at opening in case that rotation was cut short.
    pub(crate) fn settle_retired(&self) -> Result<(), AuthorityError> {
        let _changing = self.changing.lock();
        let (mut state, version) = read_state(self.store())?;
        let open = |issuer: &IssuerRecord| issuer.retired.is_some() && issuer.last_leaf.is_none();
        if !state.issuers.iter().any(open) {
            return Ok(());
        }
        for kind in [IssuerKind::Intermediate, IssuerKind::Root] {
            let before = state.issuers.clone();
            for issuer in
                state.issuers.iter_mut().filter(|issuer| issuer.kind == kind && open(issuer))
            {
                let last = match kind {
                    IssuerKind::Intermediate => self.inventory.last_expiry(issuer.number)?,
                    IssuerKind::Root => before
                        .iter()
                        .filter(|below| below.parent == issuer.id && below.id != issuer.id)
                        .filter_map(|below| below.last_leaf)
                        .max(),
                };
                issuer.last_leaf = last.max(issuer.retired);
            }
        }
        let value = serde_json::to_vec(&state)?;
        let transaction = Transaction::new().replace(STATE, version, value);
        self.commit("the end of the overlap", Change { transaction, events: Vec::new() })?;
        self.reload()
    }

    /// From when on the active intermediate should be replaced: a third of its life before its end.
    pub(crate) fn rotation_due(&self) -> Timestamp {
        let loaded = self.loaded.load();
        let (begin, end) = (loaded.chain.not_before, loaded.chain.not_after);
        end.minus(end.since(begin) / 3)
    }

    /// What has to be done now and then (daily is enough; more often costs nothing): a new intermediate
    /// when the active one has less than a third of its life left and the root key is here, revocation
    /// lists that are about to run out, keys that nobody needs any more, certificates that expired
    /// [`RETENTION`] ago.
    pub fn maintain(&self, actor: &Actor) -> Result<Maintained, AuthorityError> {
        let mut done = Maintained::default();
        if self.now() >= self.rotation_due() {
            match self.rotate(Rotate::Intermediate, None, actor) {
                Ok(rotated) => done.rotated = Some(rotated),
                Err(AuthorityError::RootKeyAway) => done.rotation_needs_root_key = true,
                Err(error) => return Err(error),
            }
        }
        done.keys_removed = self.remove_unneeded_keys()?;
        let now = self.now();
        let state = self.loaded.load().state.clone();
        for issuer in state.issuers.iter().filter(|issuer| issuer.in_use(now)) {
            done.crls += usize::from(self.refresh_crl(issuer.id, actor)?.is_some());
        }
        for _ in 0..PRUNES {
            let before = now.minus(RETENTION);
            let Some((transaction, count)) = self.inventory.prune(before, PRUNE_AT_ONCE)? else {
                break;
            };
            self.commit("the pruning", Change { transaction, events: Vec::new() })?;
            done.pruned += count;
        }
        Ok(done)
    }

    fn remove_unneeded_keys(&self) -> Result<usize, AuthorityError> {
        let _changing = self.changing.lock();
        let (mut state, version) = read_state(self.store())?;
        let now = self.now();
        let mut transaction = Transaction::new();
        let mut count = 0;
        for issuer in &mut state.issuers {
            // A while longer than its leaves, for a list that is asked for late.
            if issuer.key.is_usable() && !issuer.in_use(now.minus(crl::LIFE)) {
                let place = std::mem::replace(&mut issuer.key, KeyPlace::Elsewhere);
                transaction = unwanted::give_up(transaction, &place, issuer.id)?;
                count += 1;
            }
        }
        if count > 0 {
            let transaction = transaction.replace(STATE, version, serde_json::to_vec(&state)?);
            self.commit("the removal of old keys", Change { transaction, events: Vec::new() })?;
            self.reload()?;
        }
        self.try_remove_unwanted();
        Ok(count)
    }
}

fn active(state: &State, id: crate::inventory::IssuerId) -> Result<&IssuerRecord, AuthorityError> {
    state.issuer(id).ok_or_else(|| AuthorityError::Corrupt { record: "the active root".into() })
}

/// Where the successor's key is made: where this one's is. One that has left this host is followed by one that is here.
fn home_of(state: &State, id: crate::inventory::IssuerId) -> KeyHome {
    match state.issuer(id).map(|issuer| &issuer.key) {
        Some(KeyPlace::Device(_)) => KeyHome::Device,
        _ => KeyHome::Store,
    }
}

fn retire(state: &mut State, kind: IssuerKind, now: Timestamp) {
    let ours = state.issuers.iter_mut().filter(|issuer| issuer.under.is_none());
    let current = ours.filter(|issuer| issuer.kind == kind);
    for issuer in current.filter(|issuer| issuer.retired.is_none()) {
        issuer.retired = Some(now);
    }
}
