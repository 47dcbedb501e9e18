//! `cert publish`, the publications that labels ask for, and the certificates that are taken out when they are revoked.

use std::time::Duration;

use sealock_authority::{Authority, CertDetail, CertState, ListFilter, Serial};
use sealock_core::audit::{Actor, Fact};
use sealock_core::policy::Action;
use sealock_delivery::watcher::{Publisher, WantedPublication};
use sealock_directory::{BoxedError, DirectoryError, Dn, Outcome, Publication, Standing};
use sealock_store::{Change, Transaction};

use super::authorize::Asking;
use super::ldap;
use super::places::Alone;
use super::publish_place::Place;
use super::published::{PublishedRecord, place as place_of};
use super::{PolicySource, Service, convert};
use crate::caller::{Caller, Door};
use crate::command::{Publish, PublishReport, PublishedAt, Reply};
use crate::error::{ErrorCode, ServiceError};

/// Twice the time that one publication has, and a little.
const PATIENCE: Duration = Duration::from_secs(100);

impl Service {
    pub(super) fn cert_publish(
        &self,
        caller: &Caller,
        request: &str,
        publish: &Publish,
    ) -> Result<Reply, ServiceError> {
        if publish.imported {
            return self.imported_publish(caller, request, publish);
        }
        let authority = self.authority()?;
        let found = authority.show(&publish.certificate);
        let found = self.readable(caller, request, found)?;
        let here = matches!(caller.door, Door::Socket | Door::Process);
        let place = self.place(publish, &found.summary.name, here)?;
        let wanted = newest_good(&authority, &found)?;
        let resource = super::cert::resource(wanted.as_ref().unwrap_or(&found));
        let context = place.context();
        let action = Action::DirectoryPublish;
        let granted = self.authorize(caller, request, action, resource, &context)?;
        let name = &found.summary.name;
        let at = place.at();
        let _alone = self.alone_at(&at)?;
        let done = self.publish_in(&authority, &place, name, wanted.as_ref(), &granted.actor)?;
        Ok(Reply::Published(Box::new(report(at, name, done))))
    }

    /// Waits for whoever else is at this entry. Blocking.
    pub(super) fn alone_at(&self, at: &PublishedAt) -> Result<Alone<'_>, ServiceError> {
        self.places.enter(&place_of(at), PATIENCE).ok_or_else(|| {
            let text = format!("others are publishing in {} all the time", at.dn);
            ServiceError::new(ErrorCode::Conflict, text).hint("run it again in a while")
        })
    }

    /// Has it put there. What is revoked meanwhile does not stay. Blocking, by whoever is alone at the place.
    fn publish_in(
        &self,
        authority: &Authority,
        place: &Place<'_>,
        name: &str,
        wanted: Option<&CertDetail>,
        actor: &Actor,
    ) -> Result<Done, ServiceError> {
        let revoked = |one: &CertDetail| self.is_revoked(&one.summary.serial.to_string());
        let wanted = match wanted {
            // Since it was chosen.
            Some(wanted) if revoked(wanted)? => None,
            wanted => wanted,
        };
        let mut done = self.publish_once(authority, place, name, wanted, actor)?;
        if let Some(wanted) = wanted {
            if revoked(wanted)? {
                done.follow(self.publish_once(authority, place, name, None, actor)?);
            } else {
                done.serial = Some(wanted.summary.serial.to_string());
            }
        }
        Ok(done)
    }

    /// Writes down that it may be there, has it put there, and records what was done. Blocking.
    fn publish_once(
        &self,
        authority: &Authority,
        place: &Place<'_>,
        name: &str,
        wanted: Option<&CertDetail>,
        actor: &Actor,
    ) -> Result<Done, ServiceError> {
        let at = place.at();
        let note = || match wanted {
            Some(wanted) => self.note_published(wanted.summary.serial, &at),
            None => Ok(()),
        };
        let der = wanted.map(|wanted| wanted.der.as_slice());
        let standing = |der: &[u8]| standing(authority, name, der);
        let outcome = self.change_entry(authority, place, der, &standing, &note, actor)?;
        self.record_published(authority, name, &at, outcome, actor)
    }

    /// Has an entry changed: `wanted` (DER) in, out what is no longer good. `note` writes down that it may be there, once
    /// nothing is known to be in the way. What nobody knows the end of is recorded. Blocking.
    pub(super) fn change_entry(
        &self,
        authority: &Authority,
        place: &Place<'_>,
        wanted: Option<&[u8]>,
        standing: &(dyn Fn(&[u8]) -> Result<Standing, BoxedError> + Send + Sync),
        note: &dyn Fn() -> Result<(), ServiceError>,
        actor: &Actor,
    ) -> Result<Outcome, ServiceError> {
        let target = ldap::target(authority, &place.url, &place.how, place.local_allowed)?;
        target.check().map_err(|error| worded(&error))?;
        note()?;
        let publication = Publication {
            dn: place.dn.clone(),
            wanted: wanted.map(<[u8]>::to_vec),
            create: place.create.filter(|_| wanted.is_some()),
        };
        let runtime = tokio::runtime::Handle::try_current()
            .map_err(|error| ServiceError::of(ErrorCode::Fault, &error))?;
        let asked = sealock_directory::publish(&target, &publication, standing);
        runtime.block_on(asked).or_else(|error| {
            if error.may_have_changed() {
                self.record_doubt(actor, &place.at(), &error)?;
            }
            Err(worded(&error))
        })
    }

    fn record_published(
        &self,
        authority: &Authority,
        name: &str,
        at: &PublishedAt,
        outcome: Outcome,
        actor: &Actor,
    ) -> Result<Done, ServiceError> {
        let serials = |ders: &[Vec<u8>]| -> Result<Vec<String>, ServiceError> {
            let found =
                ders.iter().map(|der| authority.find_der(der)).collect::<Result<Vec<_>, _>>();
            let found = found.map_err(|error| convert::authority_error(&error))?;
            Ok(found.into_iter().flatten().map(|one| one.serial.to_string()).collect())
        };
        let added = serials(outcome.added.as_slice())?;
        let removed = serials(&outcome.removed)?;
        let done = Done { serial: None, added, removed, outcome };
        if !done.outcome.is_unchanged() {
            let transaction = Self::cross_out(&done.removed, at);
            self.commit_published((name, false), at, &done, transaction, actor)?;
        }
        Ok(done)
    }

    /// Writes down what was done for a name (imported or not), and in the same commit what that crosses out.
    pub(super) fn commit_published(
        &self,
        (name, imported): (&str, bool),
        at: &PublishedAt,
        done: &Done,
        crossed_out: Transaction,
        actor: &Actor,
    ) -> Result<(), ServiceError> {
        let fact = Fact::CertPublished {
            name: name.to_owned(),
            url: at.url.clone(),
            dn: at.dn.clone(),
            directory: at.directory.clone(),
            added: done.added.clone(),
            removed: done.removed.clone(),
            created: done.outcome.created,
            imported,
        };
        let event = actor.event(self.journal.clock().now(), fact);
        let recorded = self.journal.commit_blocking(Change::new(crossed_out, event));
        recorded.map(|_| ()).map_err(|error| convert::journal_error(&error))
    }

    /// Nobody knows whether the change was made: the next run finds out, and the log says that there was one.
    fn record_doubt(
        &self,
        actor: &Actor,
        at: &PublishedAt,
        error: &DirectoryError,
    ) -> Result<(), ServiceError> {
        let what = format!("publication in {} of {}", at.url, at.dn);
        let fact = Fact::Failed { what, error: error.to_string() };
        let event = actor.event(self.journal.clock().now(), fact);
        let recorded = self.journal.commit_blocking(Change::event(event));
        recorded.map(|_| ()).map_err(|error| convert::journal_error(&error))
    }

    /// Publishes what labels ask for. Blocking.
    pub(crate) fn publish_for_label(&self, wanted: &WantedPublication) -> Result<(), ServiceError> {
        if let Some(name) = &wanted.imported {
            return self.publish_imported_for_label(wanted, name);
        }
        let authority = self.authority()?;
        let serial: Serial =
            wanted.serial.parse().map_err(|error| ServiceError::of(ErrorCode::Fault, &error))?;
        let found =
            authority.show_serial(serial).map_err(|error| convert::authority_error(&error))?;
        let name = found.summary.name.clone();
        let place = self.place_of_settings(wanted.directory.as_str(), None, &name)?;
        let principal = self.container_principal(&wanted.container)?;
        let who = principal.identity.to_string();
        let request = super::new_request_id()?;
        let via = Door::Label.as_str();
        let asking = Asking { who: &who, principal: &principal, via, request: &request };
        let resource = super::cert::resource(&found);
        let action = Action::DirectoryPublish;
        let granted = self.decide(&asking, action, vec![resource], &place.context())?;
        // It may have been revoked since it was delivered.
        let good = Some(found).filter(|found| found.summary.state == CertState::Valid);
        let _alone = self.alone_at(&place.at())?;
        self.publish_in(&authority, &place, &name, good.as_ref(), &granted.actor).map(|_| ())
    }

    /// Takes a certificate out of a directory of the settings, if it is no longer good; crosses out what is no longer
    /// known. Blocking.
    pub(crate) fn unpublish(&self, record: &PublishedRecord) -> Result<(), ServiceError> {
        let authority = self.authority()?;
        let serial: Serial =
            record.serial.parse().map_err(|error| ServiceError::of(ErrorCode::Fault, &error))?;
        let serials = [record.serial.clone()];
        let name = match authority.show_serial(serial) {
            Ok(found) if found.summary.state == CertState::Revoked => found.summary.name,
            Ok(_) => return Ok(()),
            Err(sealock_authority::AuthorityError::Unknown(_)) => {
                return self.forget_published(&serials, &record.at);
            }
            Err(error) => return Err(convert::authority_error(&error)),
        };
        let Some(directory) = record.at.directory.as_deref() else { return Ok(()) };
        let dn = record.at.dn.parse();
        let dn: Dn = dn.map_err(|error| ServiceError::of(ErrorCode::Fault, &error))?;
        let place = self.place_of_settings(directory, Some(dn), &name)?;
        let actor = Actor::daemon("publish");
        // Until it is crossed out: who is putting it in has written that down already.
        let _alone = self.alone_at(&record.at)?;
        self.publish_in(&authority, &place, &name, None, &actor)?;
        // Also where somebody else has taken it out, or nothing was ever put in.
        self.forget_published(&serials, &record.at)
    }
}

impl Publisher for PolicySource {
    fn keep(&self, delivered: Vec<WantedPublication>) {
        self.0.publications().keep(delivered);
    }
}

/// What was done, by serials.
pub(super) struct Done {
    /// What is there now.
    pub(super) serial: Option<String>,
    pub(super) added: Vec<String>,
    pub(super) removed: Vec<String>,
    pub(super) outcome: Outcome,
}

impl Done {
    /// And then this was done.
    pub(super) fn follow(&mut self, next: Self) {
        self.serial = next.serial;
        self.added.extend(next.added);
        self.removed.extend(next.removed);
        self.outcome.created |= next.outcome.created;
        self.outcome.added = self.outcome.added.take().or(next.outcome.added);
        self.outcome.removed.extend(next.outcome.removed);
        self.outcome.others = next.outcome.others;
    }
}

pub(super) fn report(at: PublishedAt, name: &str, done: Done) -> PublishReport {
    let PublishedAt { url, dn, directory } = at;
    PublishReport {
        name: name.to_owned(),
        imported: false,
        serial: done.serial,
        url,
        directory,
        dn,
        created: done.outcome.created,
        unchanged: done.outcome.is_unchanged(),
        added: done.added,
        removed: done.removed,
        others: done.outcome.others,
    }
}

/// The certificate itself where it is good, else the newest good one of its name.
fn newest_good(
    authority: &Authority,
    found: &CertDetail,
) -> Result<Option<CertDetail>, ServiceError> {
    if found.summary.state == CertState::Valid {
        return Ok(Some(found.clone()));
    }
    let failed = |error| convert::authority_error(&error);
    let (name, state) = (Some(found.summary.name.clone()), Some(CertState::Valid));
    let filter = ListFilter { name, state, limit: 1, ..ListFilter::default() };
    let newest = authority.list(&filter).map_err(failed)?.pop();
    newest.map(|newest| authority.show_serial(newest.serial)).transpose().map_err(failed)
}

/// Where a certificate of the entry stands, for the ones of this name.
fn standing(authority: &Authority, name: &str, der: &[u8]) -> Result<Standing, BoxedError> {
    let Some(found) = authority.find_der(der)? else { return Ok(Standing::Foreign) };
    Ok(match found.state {
        CertState::Revoked => Standing::Revoked,
        CertState::Replaced | CertState::Expired if found.name == name => Standing::Outdated,
        _ => Standing::Kept,
    })
}

pub(super) fn worded(error: &DirectoryError) -> ServiceError {
    use DirectoryError as E;
    let code = match error {
        E::Plain(_) | E::Local(_) | E::StartTls(_) | E::EmptyPassword(_) => ErrorCode::Usage,
        E::CertificateWithoutTls(_) | E::Shape { .. } | E::Tls { .. } => ErrorCode::Usage,
        E::Connect { .. } | E::Broken { .. } | E::Disconnects { .. } => ErrorCode::Unavailable,
        E::Late { .. } => ErrorCode::Timeout,
        E::NoEntry(_) => ErrorCode::NotFound,
        E::Contended(_) => ErrorCode::Conflict,
        E::Inventory(_) => ErrorCode::State,
        _ => ErrorCode::Failed,
    };
    ServiceError::of(code, error).maybe_hint(error.hint())
}
