//! The book as people and programs see it.

use super::book::{BadLabel, Book, Seat};
use super::entry::{Entry, Reason};
use super::proof::Proof;
use super::status::{CertificateStatus, DeliveryState, VerifyState};

/// Every labelled certificate and every bad label, by container and certificate.
pub(super) fn of(book: &Book) -> Vec<CertificateStatus> {
    let good = book.entries.values().map(entry);
    let bad = book.seats.values().flat_map(|seat| seat.bad.iter().map(|one| bad_label(seat, one)));
    let mut all: Vec<CertificateStatus> = good.chain(bad).collect();
    all.sort_by(|left, right| {
        (&left.container, &left.certificate, &left.label).cmp(&(
            &right.container,
            &right.certificate,
            &right.label,
        ))
    });
    all
}

fn entry(entry: &Entry) -> CertificateStatus {
    let record = entry.record.as_ref();
    let certificate = record.map(|record| &record.certificate);
    let (state, reason) = state(entry);
    CertificateStatus {
        container: entry.container.name.clone(),
        container_id: entry.key.container.clone(),
        certificate: entry.key.certificate.to_string(),
        names: entry.wanted.names.iter().map(ToString::to_string).collect(),
        path: Some(entry.wanted.path().to_string()),
        state,
        serial: certificate.map(|certificate| certificate.serial.clone()),
        delivered_at: record.map(|record| record.delivered_at),
        not_after: certificate.map(|certificate| certificate.not_after),
        renew_at: certificate.map(|certificate| certificate.renew_at),
        verify: verify(entry),
        label: entry.denied.as_ref().map(|_| entry.wanted.decided_label()),
        reason: reason.map(|reason| reason.text.clone()),
        hint: reason.and_then(|reason| reason.hint.clone()),
    }
}

fn state(entry: &Entry) -> (DeliveryState, Option<&Reason>) {
    let last = entry.trouble.last.as_ref();
    if !entry.running() {
        (DeliveryState::Stopped, None)
    } else if let Some(denied) = &entry.denied {
        (DeliveryState::Refused, Some(&denied.reason))
    } else if entry.trouble.failures > 0 {
        (DeliveryState::Retrying, last)
    } else if entry.record.is_some() && !entry.lost {
        (DeliveryState::Delivered, entry.reload_trouble.last.as_ref())
    } else {
        (DeliveryState::Waiting, None)
    }
}

fn verify(entry: &Entry) -> VerifyState {
    match &entry.proof {
        Proof::NotAsked => VerifyState::NotAsked,
        Proof::Pending { last, .. } => VerifyState::Pending { reason: last.clone() },
        Proof::Served { at } => VerifyState::Served { at: *at },
        Proof::Missing { reason, .. } => VerifyState::NotServed { reason: reason.clone() },
    }
}

fn bad_label(seat: &Seat, bad: &BadLabel) -> CertificateStatus {
    CertificateStatus {
        container: seat.container.name.clone(),
        container_id: seat.container.id.clone(),
        certificate: bad.certificate.clone(),
        names: Vec::new(),
        path: None,
        state: DeliveryState::BadLabel,
        serial: None,
        delivered_at: None,
        not_after: None,
        renew_at: None,
        verify: VerifyState::NotAsked,
        label: Some(bad.label.clone()),
        reason: Some(bad.reason.clone()),
        hint: bad.hint.clone(),
    }
}
