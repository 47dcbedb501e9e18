//! Groups of principals: those of the settings, and the memberships that commands have made and end.
//!
//! A membership is an entry of its own, `control/group/<kind>/<name>/<group>`, so that adding one takes
//! part in no race and the groups of one identity stand together. No part of it can hold a `/`.
//!
//! Open connections of the gateway take a new group over with the next request. When somebody leaves one,
//! theirs are ended: what streams on them was begun with the rights that are gone.
//!
//! **What an attacker controls:** names and groups in a command. Whoever may assign can make anybody an
//! administrator; policy is told group and member, and the default policy lets administrators only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use sealock_core::audit::Fact;
use sealock_core::policy::{Action, Resource, plain};
use sealock_core::{Identity, IdentityKind};
use sealock_store::{Change, Condition, KeyRange, Operation, Transaction};

use super::authorize::Granted;
use super::{Service, convert};
use crate::caller::Caller;
use crate::command::{Membership, Reply};
use crate::error::{ErrorCode, ServiceError};

/// Of every membership's key.
const PREFIX: &str = "control/group/";
/// Nobody is in more groups than this by commands.
const MOST: usize = 1000;
/// A group's name is not longer than an identity's.
const LONGEST: usize = 128;

impl Service {
    /// The groups that an identity of this installation is in.
    pub(crate) fn groups_of(&self, identity: &Identity) -> Result<Vec<String>, ServiceError> {
        let (kind, name) = (identity.kind(), identity.name());
        let mut groups = self.config().settings.groups_of(kind, name);
        let prefix = key(kind, name, "");
        let found = self
            .journal
            .store()
            .range(&KeyRange::prefix(&prefix), MOST)
            .map_err(|error| convert::store_error(&error))?;
        for (key, _) in found {
            let group = key.get(prefix.len()..).and_then(|group| std::str::from_utf8(group).ok());
            if let Some(group) = group
                && !groups.iter().any(|there| there == group)
            {
                groups.push(group.to_owned());
            }
        }
        Ok(groups)
    }

    /// Counts the changes of groups since the start.
    pub(crate) fn regrouped(&self) -> u64 {
        self.regrouped.load(Ordering::Acquire)
    }

    pub(super) fn group_add(
        &self,
        caller: &Caller,
        request: &str,
        kind: IdentityKind,
        name: &str,
        group: &str,
    ) -> Result<Reply, ServiceError> {
        let asked = Asked { kind, name, group };
        let (identity, granted) = self.may_assign(caller, request, &asked)?;
        let member = asked.member();
        let groups = self.groups_of(&identity)?;
        if groups.iter().any(|there| there == group) {
            return Ok(Reply::Done);
        }
        if groups.len() >= MOST {
            let text = format!("{member} is in {} groups, and cannot be in more", groups.len());
            return Err(ServiceError::new(ErrorCode::Failed, text));
        }
        let key = asked.key();
        let transaction = Transaction::new()
            .when(Condition::Absent(key.clone()))
            .with(Operation::put(key, Vec::new()));
        self.regroup(&granted, &asked, "added", transaction)?;
        self.sessions.regroup(&identity, || self.groups_of(&identity))?;
        Ok(Reply::Done)
    }

    pub(super) fn group_remove(
        &self,
        caller: &Caller,
        request: &str,
        kind: IdentityKind,
        name: &str,
        group: &str,
    ) -> Result<Reply, ServiceError> {
        let asked = Asked { kind, name, group };
        let (identity, granted) = self.may_assign(caller, request, &asked)?;
        let member = asked.member();
        let by_settings = self.config().settings.groups_of(kind, name);
        if by_settings.iter().any(|there| there == group) {
            let text = format!("{member} is in {group} by the settings");
            return Err(ServiceError::new(ErrorCode::Failed, text).hint(format!(
                "take it out of groups.{group} in the settings file, and start anew"
            )));
        }
        let key = asked.key();
        let store = self.journal.store();
        if store.get(&key).map_err(|error| convert::store_error(&error))?.is_none() {
            let text = format!("{member} is not in the group {group}");
            return Err(ServiceError::new(ErrorCode::NotFound, text)
                .hint("`sealock group list` shows who is in which group"));
        }
        let transaction =
            Transaction::new().when(Condition::Present(key.clone())).with(Operation::delete(key));
        self.regroup(&granted, &asked, "removed", transaction)?;
        self.sessions.cut_identity(&identity);
        Ok(Reply::Done)
    }

    /// Who is in which group; of one group only where it is named.
    pub(super) fn group_list(
        &self,
        caller: &Caller,
        request: &str,
        group: Option<&str>,
    ) -> Result<Reply, ServiceError> {
        self.authorize(caller, request, Action::PolicyRead, Resource::Policy, &[])?;
        let mut all = self.memberships()?;
        all.retain(|found| group.is_none_or(|group| found.group == group));
        all.sort();
        all.dedup_by(|next, first| {
            let same = next.group == first.group && next.member == first.member;
            first.by_settings |= same && next.by_settings;
            same
        });
        Ok(Reply::Groups(all))
    }

    /// Who is in which groups, by identity.
    pub(crate) fn all_groups(&self) -> Result<Vec<(Identity, Vec<String>)>, ServiceError> {
        let domain = self.trust_domain();
        let mut all: BTreeMap<String, (Identity, BTreeSet<String>)> = BTreeMap::new();
        for found in self.memberships()? {
            let Some((segment, name)) = found.member.split_once('/') else { continue };
            let kinds = [IdentityKind::Human, IdentityKind::Service, IdentityKind::Host];
            let Some(kind) = kinds.into_iter().find(|kind| kind.segment() == segment) else {
                continue;
            };
            // The settings may name who can have no identity; they are in no group then.
            let Ok(identity) = Identity::new(&domain, kind, name) else { continue };
            let entry = all.entry(found.member).or_insert_with(|| (identity, BTreeSet::new()));
            entry.1.insert(found.group);
        }
        let listed = all.into_values().map(|(who, groups)| (who, groups.into_iter().collect()));
        Ok(listed.collect())
    }

    fn memberships(&self) -> Result<Vec<Membership>, ServiceError> {
        let mut all = Vec::new();
        for (group, members) in &self.config().settings.groups {
            all.extend(members.iter().map(|member| Membership {
                group: group.clone(),
                member: member.clone(),
                by_settings: true,
            }));
        }
        let mut range = KeyRange::prefix(PREFIX.as_bytes());
        loop {
            let page = self.journal.store().range(&range, MOST);
            let page = page.map_err(|error| convert::store_error(&error))?;
            all.extend(page.iter().filter_map(|(key, _)| membership(key)));
            match page.last() {
                Some((last, _)) if page.len() == MOST => range = range.after(last),
                _ => break,
            }
        }
        Ok(all)
    }

    /// Whether the caller may change this membership.
    fn may_assign(
        &self,
        caller: &Caller,
        request: &str,
        asked: &Asked<'_>,
    ) -> Result<(Identity, Granted), ServiceError> {
        let identity = Identity::new(&self.trust_domain(), asked.kind, asked.name)
            .map_err(|error| ServiceError::of(ErrorCode::Usage, &error))?;
        check(asked.group)?;
        let context = [("group", asked.group.into()), ("member", asked.member().into())];
        let granted =
            self.authorize(caller, request, Action::PolicyAssign, Resource::Policy, &context)?;
        Ok((identity, granted))
    }

    /// Commits a change and tells those who keep something by groups.
    fn regroup(
        &self,
        granted: &Granted,
        asked: &Asked<'_>,
        change: &str,
        transaction: Transaction,
    ) -> Result<(), ServiceError> {
        let (group, member) = (asked.group.to_owned(), asked.member());
        let fact = Fact::GroupChanged { group, member, change: change.to_owned() };
        let event = granted.actor.event(self.journal.clock().now(), fact);
        self.journal
            .commit_blocking(Change::new(transaction, event))
            .map_err(|error| convert::journal_error(&error))?;
        self.regrouped.fetch_add(1, Ordering::AcqRel);
        self.changed();
        Ok(())
    }
}

/// A membership that is to begin or to end.
struct Asked<'a> {
    kind: IdentityKind,
    name: &'a str,
    group: &'a str,
}

impl Asked<'_> {
    fn member(&self) -> String {
        format!("{}/{}", self.kind.segment(), self.name)
    }

    fn key(&self) -> Vec<u8> {
        key(self.kind, self.name, self.group)
    }
}

/// The membership that an entry stands for.
fn membership(key: &[u8]) -> Option<Membership> {
    let path = std::str::from_utf8(key).ok()?.strip_prefix(PREFIX)?;
    let (member, group) = path.rsplit_once('/')?;
    Some(Membership { group: group.to_owned(), member: member.to_owned(), by_settings: false })
}

fn key(kind: IdentityKind, name: &str, group: &str) -> Vec<u8> {
    format!("{PREFIX}{}/{name}/{group}", kind.segment()).into_bytes()
}

/// The characters of identity names: a group is named in rules, keys and command lines.
fn check(group: &str) -> Result<(), ServiceError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    if !group.is_empty() && group.len() <= LONGEST && group.chars().all(allowed) {
        return Ok(());
    }
    let shown: String = group.chars().take(80).collect();
    Err(ServiceError::new(ErrorCode::Usage, format!("`{}` cannot name a group", plain(&shown)))
        .hint("a group's name is letters, digits, `.`, `-`, `_`; at most 128"))
}
