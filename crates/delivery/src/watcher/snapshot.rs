//! The book as people and programs see it.

use super::book::{BadLabel, Book, Seat};
use super::entry::{Entry, Reason, World};
use super::ports::WantedPublication;
use super::proof::Proof;
use super::status::{CertificateStatus, DeliveryState, SecretStatus, TrustStatus, VerifyState};
use super::wanted::What;
use crate::labels::Kind;

/// Every labelled certificate and every bad label about one, by container and certificate.
pub(super) fn certificates(book: &Book, world: &World<'_>) -> Vec<CertificateStatus> {
    let good = book.entries.values().filter_map(|entry| certificate(entry, world));
    let bad = bad_labels(book, Kind::Certificate).map(|(seat, bad)| bad_certificate(seat, bad));
    let mut all: Vec<CertificateStatus> = good.chain(bad).collect();
    let place = |one: &CertificateStatus| {
        (one.container.clone(), one.certificate.clone(), one.label.clone())
    };
    all.sort_by_cached_key(place);
    all
}

/// Every labelled secret and every bad label about one, by container and name.
pub(super) fn secrets(book: &Book, world: &World<'_>) -> Vec<SecretStatus> {
    let good = book.entries.values().filter_map(|entry| secret(entry, world));
    let bad = bad_labels(book, Kind::Secret).map(|(seat, bad)| bad_secret(seat, bad));
    let mut all: Vec<SecretStatus> = good.chain(bad).collect();
    all.sort_by_cached_key(|one| (one.container.clone(), one.name.clone(), one.label.clone()));
    all
}

/// Every labelled trust bundle and every bad label about one, by container and name.
pub(super) fn trusts(book: &Book, world: &World<'_>) -> Vec<TrustStatus> {
    let good = book.entries.values().filter_map(|entry| trust(entry, world));
    let bad = bad_labels(book, Kind::Trust).map(|(seat, bad)| bad_trust(seat, bad));
    let mut all: Vec<TrustStatus> = good.chain(bad).collect();
    all.sort_by_cached_key(|one| (one.container.clone(), one.name.clone(), one.label.clone()));
    all
}

/// Every delivered certificate whose labels ask that it be published.
pub(super) fn publications(book: &Book) -> Vec<WantedPublication> {
    let of = |entry: &Entry| {
        let What::Certificate(wanted) = &entry.wanted.what else { return None };
        let directory = wanted.request.publish.clone()?;
        let serial = entry.record.as_ref()?.certificate()?.serial.clone();
        let container = book.seats.get(&entry.key.container)?.facts.clone();
        Some(WantedPublication {
            container,
            certificate: entry.key.name.clone(),
            serial,
            imported: wanted.request.imported.clone(),
            directory,
        })
    };
    book.entries.values().filter_map(of).collect()
}

fn bad_labels(book: &Book, kind: Kind) -> impl Iterator<Item = (&Seat, &BadLabel)> {
    let all = book.seats.values().flat_map(|seat| seat.bad.iter().map(move |bad| (seat, bad)));
    all.filter(move |(_, bad)| bad.kind == kind)
}

fn certificate(entry: &Entry, world: &World<'_>) -> Option<CertificateStatus> {
    let What::Certificate(wanted) = &entry.wanted.what else { return None };
    let record = entry.record.as_ref();
    let held = record.and_then(|record| record.certificate());
    let (state, reason) = state(entry, world);
    let denied = entry.denied.as_ref().filter(|_| state != DeliveryState::Waiting);
    let imported = wanted.request.imported.as_ref();
    let names = imported.map(|name| world.source.imported_names(name));
    let names = names.as_ref().unwrap_or(&wanted.names);
    Some(CertificateStatus {
        container: entry.container.name.clone(),
        container_id: entry.key.container.clone(),
        certificate: entry.key.name.to_string(),
        imported: imported.cloned(),
        names: names.iter().map(ToString::to_string).collect(),
        path: Some(entry.wanted.path().to_string()),
        state,
        serial: held.map(|held| held.serial.clone()),
        delivered_at: record.map(|record| record.delivered_at),
        not_after: held.map(|held| held.not_after),
        renew_at: held.filter(|held| held.version.is_none()).map(|held| held.renew_at),
        verify: verify(entry),
        label: denied.map(|denied| denied.label.clone()),
        reason: reason.as_ref().map(|reason| reason.text.clone()),
        hint: reason.and_then(|reason| reason.hint),
    })
}

fn secret(entry: &Entry, world: &World<'_>) -> Option<SecretStatus> {
    let What::Secret(wanted) = &entry.wanted.what else { return None };
    let record = entry.record.as_ref();
    let (state, reason) = state(entry, world);
    Some(SecretStatus {
        container: entry.container.name.clone(),
        container_id: entry.key.container.clone(),
        name: entry.key.name.to_string(),
        secret: Some(wanted.secret.to_string()),
        path: Some(wanted.path.to_string()),
        state,
        version: record.and_then(|record| Some(record.secret()?.version)),
        delivered_at: record.map(|record| record.delivered_at),
        label: entry.denied.as_ref().map(|denied| denied.label.clone()),
        reason: reason.as_ref().map(|reason| reason.text.clone()),
        hint: reason.and_then(|reason| reason.hint),
    })
}

fn trust(entry: &Entry, world: &World<'_>) -> Option<TrustStatus> {
    let What::Trust(wanted) = &entry.wanted.what else { return None };
    let record = entry.record.as_ref();
    let (state, reason) = state(entry, world);
    Some(TrustStatus {
        container: entry.container.name.clone(),
        container_id: entry.key.container.clone(),
        name: entry.key.name.to_string(),
        path: Some(wanted.path.to_string()),
        state,
        bundle: record.and_then(|record| Some(record.trust()?.bundle.clone())),
        delivered_at: record.map(|record| record.delivered_at),
        label: entry.denied.as_ref().map(|denied| denied.label.clone()),
        reason: reason.as_ref().map(|reason| reason.text.clone()),
        hint: reason.and_then(|reason| reason.hint),
    })
}

fn state(entry: &Entry, world: &World<'_>) -> (DeliveryState, Option<Reason>) {
    let last = entry.trouble.last.clone();
    if !entry.running() {
        (DeliveryState::Stopped, None)
    } else if let Some(reason) = entry.stale(world) {
        (DeliveryState::Stale, Some(reason))
    } else if entry.awaits_signature(world) {
        let text = "waits for the signature".to_owned();
        let name = entry.wanted.imported().map(ToString::to_string).unwrap_or_default();
        let hint = Some(format!("`sealock cert import {name} FILE…` once it is signed"));
        (DeliveryState::Waiting, Some(Reason { text, hint }))
    } else if let Some(denied) = &entry.denied {
        (DeliveryState::Refused, Some(denied.reason.clone()))
    } else if entry.trouble.failures > 0 {
        (DeliveryState::Retrying, last)
    } else if entry.record.is_some() && !entry.lost {
        (DeliveryState::Delivered, entry.reload_trouble.last.clone())
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

fn bad_certificate(seat: &Seat, bad: &BadLabel) -> CertificateStatus {
    CertificateStatus {
        container: seat.container.name.clone(),
        container_id: seat.container.id.clone(),
        certificate: bad.name.clone(),
        imported: None,
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

fn bad_secret(seat: &Seat, bad: &BadLabel) -> SecretStatus {
    SecretStatus {
        container: seat.container.name.clone(),
        container_id: seat.container.id.clone(),
        name: bad.name.clone(),
        secret: None,
        path: None,
        state: DeliveryState::BadLabel,
        version: None,
        delivered_at: None,
        label: Some(bad.label.clone()),
        reason: Some(bad.reason.clone()),
        hint: bad.hint.clone(),
    }
}

fn bad_trust(seat: &Seat, bad: &BadLabel) -> TrustStatus {
    TrustStatus {
        container: seat.container.name.clone(),
        container_id: seat.container.id.clone(),
        name: bad.name.clone(),
        path: None,
        state: DeliveryState::BadLabel,
        bundle: None,
        delivered_at: None,
        label: Some(bad.label.clone()),
        reason: Some(bad.reason.clone()),
        hint: bad.hint.clone(),
    }
}
