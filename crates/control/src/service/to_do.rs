//! What of the inventory needs a person.

use std::collections::BTreeSet;
use std::time::Duration;

use sealock_authority::{CaInfo, CertState, CertSummary, IssuerInfo, IssuerKind, PublicKeyKind};
use sealock_core::Timestamp;
use sealock_core::span::format_span;

use super::convert;
use super::inventory::rows::Row;
use crate::command::{Alarm, ToDo, Todo};

/// Renewal is due at two thirds of a life; with less than this part of it left, nobody has seen to it.
const LATE: u32 = 4;
/// With more left than this nothing is late, however long the life.
const NOT_YET: Duration = Duration::from_secs(30 * 86_400);
/// How long before its end the root is spoken of: everybody has to get its successor.
const ROOT_ENDS: Duration = Duration::from_secs(365 * 86_400);
/// RSA keys shorter than this are thought to hold until 2030 only (NIST SP 800-57, part 1).
const SHORT_RSA: u32 = 3072;
/// Longer ones cost every handshake a lot, and some programs refuse them.
const LONG_RSA: u32 = 4096;

/// What is looked through.
pub(super) struct Gathered<'a> {
    pub(super) certificates: &'a [Row],
    pub(super) info: &'a CaInfo,
    /// The serials of what the daemon renews.
    pub(super) looked_after: &'a BTreeSet<String>,
    pub(super) alarms: &'a [Alarm],
    /// What other authorities have to sign, or have signed.
    pub(super) requests: &'a [Todo],
    pub(super) now: Timestamp,
}

/// Everything, the most urgent kind first. What else needs a person is added here.
pub(super) fn gather(from: &Gathered<'_>) -> Vec<ToDo> {
    let mut all = alarms(from);
    all.extend(requests(from));
    all.extend(authority(from));
    all.extend(late(from));
    all.extend(keys(from));
    all
}

fn alarms(from: &Gathered<'_>) -> Vec<ToDo> {
    let to_do = |alarm: &Alarm| ToDo {
        kind: alarm.alarm.clone(),
        subject: alarm.subject.clone(),
        reason: alarm.reason.clone(),
        hint: alarm.hint.clone(),
        until: None,
    };
    from.alarms.iter().map(to_do).collect()
}

fn requests(from: &Gathered<'_>) -> Vec<ToDo> {
    let to_do = |todo: &Todo| ToDo {
        kind: todo.kind.clone(),
        subject: todo.name.clone(),
        reason: todo.text.clone(),
        hint: Some(todo.hint.clone()).filter(|hint| !hint.is_empty()),
        until: None,
    };
    from.requests.iter().map(to_do).collect()
}

/// The active root and intermediate that come to their end and are not replaced by themselves.
fn authority(from: &Gathered<'_>) -> Vec<ToDo> {
    let active = |kind: IssuerKind| {
        from.info.issuers.iter().find(move |issuer| issuer.active && issuer.kind == kind)
    };
    let root = active(IssuerKind::Root);
    let ends = |kind: &str, issuer: &IssuerInfo, hint: &str| ToDo {
        kind: kind.to_owned(),
        subject: convert::issuer_subject(from.info, issuer),
        reason: ending(issuer.not_after, from.now),
        hint: Some(hint.to_owned()),
        until: Some(issuer.not_after),
    };
    let mut all = Vec::new();
    if let Some(root) = root.filter(|root| root.not_after <= from.now.plus(ROOT_ENDS)) {
        let hint = "`sealock ca rotate root` makes its successor; everybody needs the new bundle";
        all.push(ends("root-ends", root, hint));
    }
    let due = from.now >= from.info.rotation_due;
    if let Some(intermediate) = active(IssuerKind::Intermediate).filter(|_| due) {
        let hint = match root.is_some_and(|root| root.key_here) {
            true => "`sealock up` replaces it by itself; `sealock ca rotate` does it now",
            false => "`sealock ca rotate --root-key FILE` makes a new one",
        };
        all.push(ends("intermediate-ends", intermediate, hint));
    }
    all
}

/// What expires soon and should have been renewed by now.
fn late(from: &Gathered<'_>) -> Vec<ToDo> {
    let is_late = |one: &&CertSummary| {
        let left = one.not_after.since(from.now);
        one.state == CertState::Valid
            && left < NOT_YET
            && left < one.not_after.since(one.not_before) / LATE
            && !from.looked_after.contains(&one.serial.to_string())
    };
    let to_do = |one: &CertSummary| ToDo {
        kind: "expires".to_owned(),
        subject: format!("{} ({})", one.name, one.serial),
        reason: format!("{} and nobody has renewed it", ending(one.not_after, from.now)),
        hint: Some(format!(
            "`sealock cert renew {}`, or see to whoever holds its key; revoke it if nobody needs it",
            one.serial
        )),
        until: Some(one.not_after),
    };
    // Of what others have signed, the requests and alarms tell.
    let ours = from.certificates.iter().filter_map(|row| match row {
        Row::Ours(one) => Some(&**one),
        Row::Imported(..) => None,
    });
    ours.filter(is_late).map(to_do).collect()
}

/// Keys in force that are short, or of a length that nobody else uses.
fn keys(from: &Gathered<'_>) -> Vec<ToDo> {
    let in_force = |row: &&Row| matches!(row.state(), CertState::Valid | CertState::Replaced);
    let odd = |row: &Row| {
        let reason = match row.key()? {
            PublicKeyKind::Rsa(bits) if bits < SHORT_RSA => {
                format!("an RSA key of {bits} bits is thought to hold until 2030")
            }
            PublicKeyKind::Rsa(bits) if bits > LONG_RSA || bits % 1024 != 0 => {
                format!("an RSA key of {bits} bits is of an unusual length")
            }
            PublicKeyKind::Rsa(_)
            | PublicKeyKind::P256
            | PublicKeyKind::P384
            | PublicKeyKind::Ed25519 => return None,
        };
        Some(ToDo {
            kind: "key".to_owned(),
            subject: row.title(),
            reason,
            hint: Some("ask for the next one with a P-256 key".to_owned()),
            until: None,
        })
    };
    from.certificates.iter().filter(in_force).filter_map(odd).collect()
}

fn ending(not_after: Timestamp, now: Timestamp) -> String {
    match not_after < now {
        true => format!("ended {} ago", format_span(now.since(not_after))),
        false => format!("ends in {}", format_span(not_after.since(now))),
    }
}

#[cfg(test)]
mod tests;
