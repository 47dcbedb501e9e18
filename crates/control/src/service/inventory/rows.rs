//! What lists and reports have rows of: certificates that are ours, and those that other authorities have signed, in one
//! order. Ours are found by indexes, however many there are; of the others there are a thousand at most, in memory.

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeMap;

use sealock_authority::imported::{Held, ImportedCertificate};
use sealock_authority::{Authority, CertState, CertSummary, IssuerId, ListFilter, PublicKeyKind};
use sealock_core::{ImportedName, Timestamp};

use crate::command::{CertificateReport, ImportedReport};
use crate::error::{ErrorCode, ServiceError};
use crate::service::{Service, convert};

/// Which containers have what was imported: of each name, by serial.
pub(super) type ServedIn = BTreeMap<(String, String), Vec<String>>;

/// One row.
#[derive(Debug, Clone)]
pub(in crate::service) enum Row {
    Ours(Box<CertSummary>),
    Imported(Box<ImportedCertificate>, CertState),
}

impl Row {
    pub(super) fn imported(one: ImportedCertificate, now: Timestamp) -> Self {
        let state = state(one.not_after, now);
        Self::Imported(Box::new(one), state)
    }

    pub(in crate::service) fn not_after(&self) -> Timestamp {
        match self {
            Self::Ours(one) => one.not_after,
            Self::Imported(one, _) => one.not_after,
        }
    }

    /// When it was issued, or came.
    fn since(&self) -> Timestamp {
        match self {
            Self::Ours(one) => one.issued,
            Self::Imported(one, _) => one.imported,
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Ours(one) => &one.name,
            Self::Imported(one, _) => one.name.as_str(),
        }
    }

    pub(in crate::service) fn state(&self) -> CertState {
        match self {
            Self::Ours(one) => one.state,
            Self::Imported(_, state) => *state,
        }
    }

    pub(in crate::service) fn key(&self) -> Option<PublicKeyKind> {
        match self {
            Self::Ours(one) => Some(one.key),
            Self::Imported(one, _) => one.key,
        }
    }

    /// Which one, for people.
    pub(in crate::service) fn title(&self) -> String {
        match self {
            Self::Ours(one) => format!("{} ({})", one.name, one.serial),
            Self::Imported(one, _) => format!("imported {} ({})", one.name, one.serial),
        }
    }

    pub(super) fn report(&self, served: &ServedIn) -> CertificateReport {
        match self {
            Self::Ours(one) => convert::certificate(one),
            Self::Imported(one, state) => imported_report(one, *state, served),
        }
    }
}

fn state(not_after: Timestamp, now: Timestamp) -> CertState {
    if now > not_after { CertState::Expired } else { CertState::Valid }
}

fn imported_report(
    one: &ImportedCertificate,
    state: CertState,
    served: &ServedIn,
) -> CertificateReport {
    let seat = (one.name.to_string(), one.serial.clone());
    CertificateReport {
        serial: one.serial.clone(),
        name: one.name.to_string(),
        identity: None,
        names: one.names.clone(),
        common_name: one.common_name.clone(),
        issuer: one.issuer.to_string(),
        usages: convert::usage_names(one.usages),
        profile: String::new(),
        key: one.key.map_or_else(|| "unknown".to_owned(), |key| key.to_string()),
        issued: one.imported,
        not_before: one.not_before,
        not_after: one.not_after,
        by: one.issuer_name.clone(),
        state: convert::state_name(state).to_owned(),
        replaces: None,
        replaced_by: None,
        revoked_at: None,
        reason: None,
        fingerprint: None,
        pem: None,
        published: Vec::new(),
        imported: Some(ImportedReport {
            subject: one.subject.clone(),
            issuer: one.issuer_name.clone(),
            root: one.root.as_ref().map(ToString::to_string),
            containers: served.get(&seat).cloned().unwrap_or_default(),
            renewal_due: one.renewal_due,
        }),
    }
}

/// Who has signed what is asked for.
#[derive(Debug, Clone)]
pub(super) enum Issuer {
    Anybody,
    /// Those of ours with these ids, newest first, and everybody else whom this text names.
    Called(Vec<IssuerId>, String),
}

impl Issuer {
    /// An id; or a name: of a line of ours, of a root of others, or a subject or common name above something imported.
    pub(super) fn find(authority: &Authority, text: Option<&str>) -> Result<Self, ServiceError> {
        let Some(text) = text else { return Ok(Self::Anybody) };
        let id: Option<IssuerId> = text.parse().ok();
        let ours = match id.filter(|id| authority.has_issuer(*id)) {
            Some(id) => vec![id],
            None => authority.issuers_called(text),
        };
        let this = Self::Called(ours, text.to_owned());
        let known = match &this {
            Self::Called(ours, _) if !ours.is_empty() => true,
            _ => {
                let is_root = |name: &ImportedName| name.as_str().eq_ignore_ascii_case(text);
                authority.anchors().iter().any(|anchor| is_root(&anchor.name))
                    || authority.imported_certificates(|_, _| true).iter().any(|it| this.has(it))
            }
        };
        let unknown = || {
            let shown: String = text.chars().take(80).flat_map(char::escape_default).collect();
            let code = if id.is_some() { ErrorCode::NotFound } else { ErrorCode::Usage };
            ServiceError::new(code, format!("no CA is known as `{shown}`")).hint(
                "`sealock ca show` has the ids of our own, `sealock ca list` the names of others of ours, and \
                 `sealock trust list` those of the company's roots",
            )
        };
        known.then_some(this).ok_or_else(unknown)
    }

    fn has(&self, one: &ImportedCertificate) -> bool {
        match self {
            Self::Anybody => true,
            Self::Called(_, text) => one.issuer.to_string() == *text || one.is_under(text),
        }
    }
}

/// What is found, and whether that is all.
pub(super) struct Found {
    pub(super) rows: Vec<Row>,
    pub(super) stopped: bool,
}

/// The certificates that a filter lets through, at most as many as it says, in the order that belongs to it. Who has signed
/// them says `issuer`; what the filter says of that does not matter.
pub(super) fn find(
    authority: &Authority,
    filter: &ListFilter,
    issuer: &Issuer,
    served: &ServedIn,
    now: Timestamp,
) -> Result<Found, ServiceError> {
    let mut found = Found { rows: Vec::new(), stopped: false };
    let lines: Vec<Option<IssuerId>> = match issuer {
        Issuer::Anybody => vec![None],
        Issuer::Called(ours, _) => ours.iter().copied().map(Some).collect(),
    };
    // All of them together may pass over as much as one.
    let effort = filter.effort / (lines.len() as u64).max(1);
    for issuer in &lines {
        let filter = ListFilter { issuer: *issuer, effort, ..filter.clone() };
        let ours = authority.search(&filter).map_err(|error| convert::authority_error(&error))?;
        found.stopped |= ours.stopped;
        found.rows.extend(ours.certificates.into_iter().map(|one| Row::Ours(Box::new(one))));
    }
    let imported = imported(authority, filter, issuer, served, now);
    // What came from one index is in order already.
    if lines.len() > 1 || !imported.is_empty() {
        found.rows.extend(imported.into_iter().map(|one| Row::imported(one, now)));
        Order::of(filter).sort(&mut found.rows);
    }
    found.rows.truncate(filter.limit);
    Ok(found)
}

fn imported(
    authority: &Authority,
    filter: &ListFilter,
    issuer: &Issuer,
    served: &ServedIn,
    now: Timestamp,
) -> Vec<ImportedCertificate> {
    let inside = |name: &ImportedName, held: &Held, container: &String| {
        let seat = (name.to_string(), held.serial.clone());
        served.get(&seat).is_some_and(|containers| containers.contains(container))
    };
    let soon = |held: &Held| {
        let until = filter.expiring_within.map(|within| now.plus(within));
        until.is_none_or(|until| held.not_after >= now && held.not_after <= until)
    };
    let fits = |name: &ImportedName, held: &Held| {
        filter.name.as_ref().is_none_or(|wanted| wanted == name.as_str())
            && filter.state.is_none_or(|wanted| wanted == state(held.not_after, now))
            && soon(held)
            && filter.container.as_ref().is_none_or(|container| inside(name, held, container))
    };
    let mut found = authority.imported_certificates(fits);
    found.retain(|one| issuer.has(one));
    found
}

/// In which order, as [`ListFilter`] has it for our own.
#[derive(Debug, Clone, Copy)]
enum Order {
    Soonest,
    Newest,
    ByName,
    /// What was replaced after that, in the same order.
    LastExpired,
    /// By issuer, the newest first.
    AsFound,
}

impl Order {
    fn of(filter: &ListFilter) -> Self {
        let by_name = filter.name.is_some() || filter.container.is_some();
        match filter.state {
            _ if filter.expiring_within.is_some() => Self::Soonest,
            _ if filter.container.is_some() => Self::ByName,
            _ if by_name => Self::Newest,
            Some(CertState::Valid | CertState::Replaced) => Self::Soonest,
            Some(CertState::Expired) => Self::LastExpired,
            Some(CertState::Revoked) => Self::AsFound,
            None => Self::Newest,
        }
    }

    /// Stable: ours are in this order already.
    fn sort(self, rows: &mut [Row]) {
        let replaced = |row: &Row| matches!(row, Row::Ours(one) if one.replaced_by.is_some());
        let newest = |row: &Row| Reverse(row.since());
        rows.sort_by(|one, other| match self {
            Self::Soonest => one.not_after().cmp(&other.not_after()),
            Self::Newest => newest(one).cmp(&newest(other)),
            Self::ByName => {
                one.name().cmp(other.name()).then_with(|| newest(one).cmp(&newest(other)))
            }
            Self::LastExpired => {
                let key = |row: &Row| (replaced(row), Reverse(row.not_after()));
                key(one).cmp(&key(other))
            }
            Self::AsFound => Ordering::Equal,
        });
    }
}

impl Service {
    /// Which containers have what was imported, as far as the daemon knows.
    pub(super) fn served_in(&self) -> ServedIn {
        let daemon = self.daemon.load_full();
        let watched = daemon.as_ref().and_then(|daemon| daemon.watched.as_ref());
        let mut served = ServedIn::new();
        for container in watched.map(|watched| watched.containers()).unwrap_or_default() {
            for one in container.certificates {
                let Some(seat) = one.imported.zip(one.serial) else { continue };
                let containers = served.entry(seat).or_default();
                if !containers.contains(&container.name) {
                    containers.push(container.name.clone());
                }
            }
        }
        served
    }
}
