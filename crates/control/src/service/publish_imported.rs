//! Certificates of other authorities in LDAP directories: `cert publish --imported`, labels, and what the daemon keeps as it
//! should be. What is published is the name: the next import takes the place of the one before.

use std::collections::BTreeSet;

use sealock_authority::imported::{Held, RequestError};
use sealock_authority::{Authority, CertState};
use sealock_core::ImportedName;
use sealock_core::audit::Actor;
use sealock_core::policy::Action;
use sealock_delivery::watcher::WantedPublication;
use sealock_directory::{BoxedError, Dn, Outcome, Standing};

use super::authorize::Asking;
use super::imported::{parse_name, request_error, resource};
use super::publish::{Done, report};
use super::publish_place::Place;
use super::published_imported::{ImportedRecord, Over};
use super::{Service, convert};
use crate::caller::{Caller, Door};
use crate::command::{Publish, PublishReport, PublishedAt, Reply, Todo};
use crate::error::{ErrorCode, ServiceError};

/// Who has it published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Command,
    Label,
    /// Nobody new: what was published before is kept as it should be.
    Daemon,
}

impl Service {
    pub(super) fn imported_publish(
        &self,
        caller: &Caller,
        request: &str,
        publish: &Publish,
    ) -> Result<Reply, ServiceError> {
        let name = parse_name(&publish.certificate)?;
        let here = matches!(caller.door, Door::Socket | Door::Process);
        let place = self.place(publish, name.as_str(), here)?;
        let action = Action::DirectoryPublishImported;
        let granted = self.authorize(caller, request, action, resource(&name), &place.context())?;
        let authority = self.authority()?;
        let at = place.at();
        let held = held(&authority, &name);
        // What was forgotten can still be taken out of where it was published.
        if held.is_none() && self.imported_published_at(&name, &at)?.is_empty() {
            let error = match authority.standing(&name) {
                Some(_) => RequestError::Waiting(name),
                None => RequestError::Unknown(name),
            };
            return Err(request_error(&error));
        }
        let done = self.publish_name(&authority, &place, &name, By::Command, &granted.actor)?;
        let report = PublishReport { imported: true, ..report(at, name.as_str(), done) };
        Ok(Reply::Published(Box::new(report)))
    }

    /// What a label asks for. Blocking.
    pub(super) fn publish_imported_for_label(
        &self,
        wanted: &WantedPublication,
        name: &ImportedName,
    ) -> Result<(), ServiceError> {
        let authority = self.authority()?;
        let place = self.place_of_settings(wanted.directory.as_str(), None, name.as_str())?;
        let principal = self.container_principal(&wanted.container)?;
        let who = principal.identity.to_string();
        let request = super::new_request_id()?;
        let via = Door::Label.as_str();
        let asking = Asking { who: &who, principal: &principal, via, request: &request };
        let action = Action::DirectoryPublishImported;
        let granted = self.decide(&asking, action, vec![resource(name)], &place.context())?;
        self.publish_name(&authority, &place, name, By::Label, &granted.actor).map(|_| ())
    }

    /// What is in directories of the settings and should not be, or not alone: one record of each name and place. Crosses
    /// out what is too old to be remembered. Blocking.
    pub(crate) fn imported_to_mend(&self) -> Result<Vec<ImportedRecord>, ServiceError> {
        let authority = self.authority()?;
        let now = self.journal.clock().now();
        let mut seen = BTreeSet::new();
        let (mut due, mut ancient) = (Vec::new(), Vec::new());
        for record in self.all_imported_published()? {
            if record.is_ancient(now) {
                ancient.push(record);
                continue;
            }
            let over = record.over(held(&authority, &record.name).as_ref(), now);
            let waits = match over {
                None => false,
                // What follows it is for the label to say.
                Some(Over::Replaced) => !record.label,
                Some(Over::Expired | Over::Forgotten) => true,
            };
            let seat = (record.name.clone(), record.at.clone());
            if waits && record.at.directory.is_some() && seen.insert(seat) {
                due.push(record);
            }
        }
        if !ancient.is_empty() {
            self.write_published(Self::cross_out_imported(&ancient))?;
        }
        Ok(due)
    }

    /// Does it. Nobody is asked again: that this name stands in this entry was permitted, until it is forgotten. Blocking.
    pub(crate) fn mend_imported(&self, record: &ImportedRecord) -> Result<(), ServiceError> {
        let authority = self.authority()?;
        let Some(directory) = record.at.directory.as_deref() else { return Ok(()) };
        let dn: Dn =
            record.at.dn.parse().map_err(|error| ServiceError::of(ErrorCode::Fault, &error))?;
        let place = self.place_of_settings(directory, Some(dn), record.name.as_str())?;
        let actor = Actor::daemon("publish");
        self.publish_name(&authority, &place, &record.name, By::Daemon, &actor).map(|_| ())
    }

    /// What was published in a directory that only a command can reach, and is not good any more. Blocking.
    pub(super) fn published_todos(&self) -> Result<Vec<Todo>, ServiceError> {
        let authority = self.authority()?;
        let now = self.journal.clock().now();
        let todo = |record: ImportedRecord| {
            let over = record.over(held(&authority, &record.name).as_ref(), now)?;
            let PublishedAt { url, dn, directory: None } = &record.at else { return None };
            let follows =
                if over == Over::Replaced { "puts in what follows it" } else { "takes it out" };
            Some(Todo {
                kind: "publish".to_owned(),
                text: format!(
                    "{} is {}, and was published at {url}, in {dn}",
                    record.serial,
                    over.as_str()
                ),
                since: if over == Over::Expired { record.not_after } else { now },
                hint: format!(
                    "`sealock cert publish {} --imported --ldap {url} …` again {follows}",
                    record.name
                ),
                name: record.name.to_string(),
            })
        };
        Ok(self.all_imported_published()?.into_iter().filter_map(todo).collect())
    }

    /// Has what is held of this name put into an entry, and what was there before of it taken out. What is imported or
    /// forgotten meanwhile counts. Blocking.
    fn publish_name(
        &self,
        authority: &Authority,
        place: &Place<'_>,
        name: &ImportedName,
        by: By,
        actor: &Actor,
    ) -> Result<Done, ServiceError> {
        let _alone = self.alone_at(&place.at())?;
        let mut wanted = self.wanted(authority, place, name, by)?;
        let mut done = self.publish_held(authority, place, name, (wanted.as_ref(), by), actor)?;
        let now = self.wanted(authority, place, name, by)?;
        if fingerprint(now.as_ref()) != fingerprint(wanted.as_ref()) {
            wanted = now;
            let next = self.publish_held(authority, place, name, (wanted.as_ref(), by), actor)?;
            done.follow(next);
        }
        done.serial = wanted.map(|held| held.serial);
        Ok(done)
    }

    /// What should be in the entry.
    fn wanted(
        &self,
        authority: &Authority,
        place: &Place<'_>,
        name: &ImportedName,
        by: By,
    ) -> Result<Option<Held>, ServiceError> {
        let now = self.journal.clock().now();
        let Some(held) = held(authority, name).filter(|held| now <= held.not_after) else {
            return Ok(None);
        };
        if by == By::Daemon {
            let records = self.imported_published_at(name, &place.at())?;
            let stands = |record: &ImportedRecord| {
                !record.forgotten && (!record.label || record.fingerprint == held.fingerprint)
            };
            let any = records.iter().any(stands);
            return Ok(any.then_some(held));
        }
        Ok(Some(held))
    }

    fn publish_held(
        &self,
        authority: &Authority,
        place: &Place<'_>,
        name: &ImportedName,
        (wanted, by): (Option<&Held>, By),
        actor: &Actor,
    ) -> Result<Done, ServiceError> {
        let at = place.at();
        let before = self.imported_published_at(name, &at)?;
        let known: BTreeSet<&str> = before.iter().map(|it| it.fingerprint.as_str()).collect();
        let standing = |der: &[u8]| standing(authority, &known, der);
        let note = || match wanted {
            Some(held) => {
                let record = ImportedRecord::of(name, held, &at, by == By::Label);
                self.note_imported(&record)
            }
            None => Ok(()),
        };
        let der = wanted.map(Held::leaf);
        let outcome = self.change_entry(authority, place, der, &standing, &note, actor)?;
        self.record_imported(authority, name, &at, (&before, wanted), outcome, actor)
    }

    /// Records what was done, and crosses out all that is not in the entry now, whoever has taken it out.
    fn record_imported(
        &self,
        authority: &Authority,
        name: &ImportedName,
        at: &PublishedAt,
        (before, wanted): (&[ImportedRecord], Option<&Held>),
        outcome: Outcome,
        actor: &Actor,
    ) -> Result<Done, ServiceError> {
        let gone: Vec<ImportedRecord> = before
            .iter()
            .filter(|record| wanted.is_none_or(|held| held.fingerprint != record.fingerprint))
            .cloned()
            .collect();
        let (mut removed, mut ours) = (Vec::new(), Vec::new());
        for der in &outcome.removed {
            let digest = sha256(der);
            if let Some(record) = before.iter().find(|record| record.fingerprint == digest) {
                removed.push(record.serial.clone());
                continue;
            }
            let found =
                authority.find_der(der).map_err(|error| convert::authority_error(&error))?;
            ours.extend(found.map(|one| one.serial.to_string()));
        }
        removed.extend(ours.iter().cloned());
        let added: Vec<String> =
            outcome.added.iter().filter_map(|_| wanted.map(|held| held.serial.clone())).collect();
        let mut transaction = Self::cross_out_imported(&gone);
        transaction.operations.extend(Self::cross_out(&ours, at).operations);
        let done = Done { serial: None, added, removed, outcome };
        if !done.outcome.is_unchanged() {
            self.commit_published((name.as_str(), true), at, &done, transaction, actor)?;
        } else if !gone.is_empty() {
            self.write_published(transaction)?;
        }
        Ok(done)
    }
}

fn held(authority: &Authority, name: &ImportedName) -> Option<Held> {
    authority.standing(name).and_then(|standing| standing.held)
}

fn fingerprint(held: Option<&Held>) -> Option<&str> {
    held.map(|held| held.fingerprint.as_str())
}

fn sha256(der: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der);
    data_encoding::HEXLOWER.encode(digest.as_ref())
}

/// Where a certificate of the entry stands, for the ones of a name of which these were published there.
fn standing(
    authority: &Authority,
    published: &BTreeSet<&str>,
    der: &[u8],
) -> Result<Standing, BoxedError> {
    if published.contains(sha256(der).as_str()) {
        return Ok(Standing::Outdated);
    }
    Ok(match authority.find_der(der)? {
        None => Standing::Foreign,
        Some(found) if found.state == CertState::Revoked => Standing::Revoked,
        Some(_) => Standing::Kept,
    })
}
