//! `cert list` and `cert report`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sealock_authority::{
    Authority, CaInfo, CertState, CertSummary, IssuerId, IssuerInfo, IssuerKind, ListFilter,
    PublicKeyKind, Tally,
};
use sealock_core::Timestamp;
use sealock_core::policy::{Action, Question, Resource};

use super::to_do::{self, Gathered};
use super::{Service, convert};
use crate::caller::Caller;
use crate::command::{
    Alarm, CertificateList, CertificateState, InventoryReport, IssuerReport, KeyTotal, List, Reply,
    ReportedCertificate, ToDo, Totals,
};
use crate::error::{ErrorCode, ServiceError};

/// What `cert list` and `cert report` list when nothing else is asked, and at most.
const DEFAULT_LIST: usize = 1000;
const DEFAULT_REPORT: usize = 10_000;
const LONGEST_LIST: usize = 1_000_000;
/// How many rows of an index are read in vain for one list: a row takes about a microsecond.
const EFFORT: u64 = 80_000;

/// In which order the report fills up to its limit: what may need somebody comes first.
const REPORTED: [CertState; 4] =
    [CertState::Valid, CertState::Revoked, CertState::Replaced, CertState::Expired];

impl Service {
    pub(super) fn cert_list(
        &self,
        caller: &Caller,
        request: &str,
        list: &List,
    ) -> Result<Reply, ServiceError> {
        self.authorize(caller, request, Action::CertRead, Resource::Authority, &[])?;
        let limit = list.limit.unwrap_or(DEFAULT_LIST).clamp(1, LONGEST_LIST);
        let filter = ListFilter { limit: limit + 1, effort: EFFORT, ..filter(list)? };
        let found =
            self.authority()?.search(&filter).map_err(|error| convert::authority_error(&error))?;
        let more = found.certificates.len() > limit;
        let certificates =
            found.certificates.iter().take(limit).map(convert::certificate).collect();
        Ok(Reply::Certificates(CertificateList { certificates, more, stopped: found.stopped }))
    }

    pub(super) fn cert_report(
        &self,
        caller: &Caller,
        request: &str,
        limit: Option<usize>,
    ) -> Result<Reply, ServiceError> {
        self.authorize(caller, request, Action::CertRead, Resource::Authority, &[])?;
        let limit = limit.unwrap_or(DEFAULT_REPORT).clamp(1, LONGEST_LIST);
        let authority = self.authority()?;
        let failed = |error| convert::authority_error(&error);
        let (info, tally) = (authority.ca_info(), authority.tally().map_err(failed)?);
        let listed = reported(&authority, limit)?;
        let now = self.journal.clock().now();
        let mut notes = Vec::new();
        let alarms = self.visible_alarms(caller, now, &mut notes);
        let looked_after = self.looked_after();
        let requests = self.todos()?;
        let gathered = Gathered {
            certificates: &listed,
            info: &info,
            looked_after: &looked_after,
            alarms: &alarms,
            requests: &requests,
            now,
        };
        let mut to_do = to_do::gather(&gathered);
        to_do.extend(self.issuer_todos()?.into_iter().map(|todo| ToDo {
            kind: todo.kind,
            subject: todo.name,
            reason: todo.text,
            hint: Some(todo.hint),
            until: None,
        }));
        Ok(Reply::Inventory(Box::new(InventoryReport {
            format: InventoryReport::FORMAT,
            made: now,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            trust_domain: info.trust_domain.to_string(),
            totals: totals(&tally),
            keys: keys(&listed),
            issuers: issuers(&authority, &info, &tally),
            left_out: tally.all().saturating_sub(listed.len() as u64),
            certificates: listed.iter().map(|one| certificate(one, now)).collect(),
            to_do,
            notes,
        })))
    }

    /// The alarms of `status`, where the caller may see them; a right to the inventory is not one to those.
    fn visible_alarms(
        &self,
        caller: &Caller,
        now: Timestamp,
        notes: &mut Vec<String>,
    ) -> Vec<Alarm> {
        let question =
            Question::new(caller.principal.clone(), Action::StatusRead, Resource::Status)
                .with("via", caller.door.as_str());
        // Nobody asked for them, so there is no denial to record.
        if !self.policy.current().decide(&question).permits() {
            notes.push("alarms are not shown to who may not read the status".to_owned());
            return Vec::new();
        }
        let daemon = self.daemon.load_full();
        if daemon.is_none() {
            notes.push(
                "`sealock up` does not run: its alarms are not known, and nothing is renewed by label"
                    .to_owned(),
            );
        }
        self.alarms(daemon.as_deref(), &self.policy.status(), now)
    }

    /// The serials of what the daemon has delivered and renews.
    fn looked_after(&self) -> BTreeSet<String> {
        let daemon = self.daemon.load_full();
        let watched = daemon.as_ref().and_then(|daemon| daemon.watched.as_ref());
        let containers = watched.map(|watched| watched.containers()).unwrap_or_default();
        let certificates = containers.into_iter().flat_map(|container| container.certificates);
        certificates.filter(|one| one.next_renewal.is_some()).filter_map(|one| one.serial).collect()
    }
}

fn filter(list: &List) -> Result<ListFilter, ServiceError> {
    let refused = |message: &str| ServiceError::new(ErrorCode::Usage, message);
    let container = list.container.clone();
    let unusable = |name: &String| name.is_empty() || name.contains(|c: char| c.is_control());
    if container.as_ref().is_some_and(unusable) {
        return Err(refused("that is not the name of a container"));
    }
    if list.all && list.state.is_some() {
        return Err(refused("either all states, or one of them"));
    }
    let issuer: Option<IssuerId> =
        list.issuer.as_ref().map(|id| id.parse()).transpose().map_err(|error| {
            ServiceError::of(ErrorCode::Usage, &error)
                .hint("`sealock ca show` and `sealock ca list` have the ids of those in use")
        })?;
    let state = list.state.unwrap_or(CertificateState::Valid);
    Ok(ListFilter {
        expiring_within: list.expiring.map(Duration::from_secs),
        name: list.name.clone(),
        container,
        issuer,
        state: (!list.all).then(|| convert::state(state)),
        ..ListFilter::default()
    })
}

fn reported(authority: &Authority, limit: usize) -> Result<Vec<CertSummary>, ServiceError> {
    let mut listed: Vec<CertSummary> = Vec::new();
    for state in REPORTED {
        let filter =
            ListFilter { state: Some(state), limit: limit - listed.len(), ..ListFilter::default() };
        let found = authority.list(&filter).map_err(|error| convert::authority_error(&error))?;
        listed.extend(found);
        if listed.len() >= limit {
            break;
        }
    }
    Ok(listed)
}

fn totals(tally: &Tally) -> Totals {
    let Tally { valid, replaced, revoked, expired, .. } = *tally;
    Totals { all: tally.all(), valid, replaced, revoked, expired }
}

/// Algorithm and length.
fn described(key: PublicKeyKind) -> (&'static str, u32) {
    match key {
        PublicKeyKind::P256 => ("ECDSA", 256),
        PublicKeyKind::P384 => ("ECDSA", 384),
        PublicKeyKind::Ed25519 => ("Ed25519", 256),
        PublicKeyKind::Rsa(bits) => ("RSA", bits),
    }
}

fn keys(listed: &[CertSummary]) -> Vec<KeyTotal> {
    let mut totals: BTreeMap<String, KeyTotal> = BTreeMap::new();
    for one in listed {
        let (algorithm, bits) = described(one.key);
        let total = totals.entry(one.key.to_string()).or_insert_with_key(|key| KeyTotal {
            key: key.clone(),
            algorithm: algorithm.to_owned(),
            bits,
            certificates: 0,
        });
        total.certificates += 1;
    }
    totals.into_values().collect()
}

/// Our own, then those under roots of others that sign now.
fn issuers(authority: &Authority, info: &CaInfo, tally: &Tally) -> Vec<IssuerReport> {
    let others = authority.issuers().into_iter().filter_map(|standing| {
        let held = standing.held?;
        Some(IssuerReport {
            id: held.id.to_string(),
            kind: convert::issuer_kind(IssuerKind::Intermediate).to_owned(),
            subject: format!("{} ({})", standing.name, held.subject),
            key: held.key_type.to_string(),
            not_before: held.not_before,
            not_after: held.not_after,
            active: !standing.disabled,
            key_here: true,
            in_force: tally.in_force_by.get(&held.number).copied().unwrap_or(0),
        })
    });
    info.issuers.iter().map(|one| issuer(info, one, tally)).chain(others).collect()
}

fn issuer(info: &CaInfo, one: &IssuerInfo, tally: &Tally) -> IssuerReport {
    let signs = one.kind == IssuerKind::Intermediate;
    let in_force = tally.in_force_by.get(&one.number).filter(|_| signs);
    IssuerReport {
        id: one.id.to_string(),
        kind: convert::issuer_kind(one.kind).to_owned(),
        subject: convert::issuer_subject(info, one),
        key: one.key_type.to_string(),
        not_before: one.not_before,
        not_after: one.not_after,
        active: one.active,
        key_here: one.key_here,
        in_force: in_force.copied().unwrap_or(0),
    }
}

fn certificate(one: &CertSummary, now: Timestamp) -> ReportedCertificate {
    let (algorithm, bits) = described(one.key);
    let container = one.name.split_once('/').map(|(container, _)| container.to_owned());
    ReportedCertificate {
        certificate: convert::certificate(one),
        algorithm: algorithm.to_owned(),
        bits,
        seconds_left: one.not_after.as_millis().saturating_sub(now.as_millis()).div_euclid(1000),
        // `docker/KIND/NAME` is what `docker setup` and `docker client` call theirs.
        container: container.filter(|_| one.name.matches('/').count() == 1),
    }
}
