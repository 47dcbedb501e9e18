//! When the servers want certificates to be renewed (RFC 9773): they are asked now and then, and heeded once a day.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sealock_core::{ImportedName, Timestamp};
use sealock_upstream::acme::{self, Account};

use super::super::blocking;
use super::EVERY;
use crate::service::Service;

/// How often a server is asked whether it wants a certificate to be renewed, whatever it says itself.
const WINDOWS: (Duration, Duration) = (Duration::from_secs(3600), Duration::from_secs(86_400));
/// Between two renewals of one certificate before its time.
const EARLY_AGAIN: Duration = Duration::from_secs(86_400);
/// And where it did not answer.
const WINDOW_AGAIN: Duration = Duration::from_secs(6 * 3600);

/// When a server wants a certificate to be renewed (RFC 9773).
struct Window {
    serial: String,
    ask: Timestamp,
    renew: Option<Timestamp>,
}

pub(super) async fn keep(service: &Arc<Service>) {
    let mut windows: BTreeMap<ImportedName, Window> = BTreeMap::new();
    let mut early: BTreeMap<ImportedName, Timestamp> = BTreeMap::new();
    loop {
        follow(service, &mut windows, &mut early).await;
        tokio::time::sleep(EVERY).await;
    }
}

/// Asks the servers whether they want certificates to be renewed before their time, and has it done.
/// `early` says when each was renewed so the last time.
async fn follow(
    service: &Arc<Service>,
    windows: &mut BTreeMap<ImportedName, Window>,
    early: &mut BTreeMap<ImportedName, Timestamp>,
) {
    let own = Arc::clone(service);
    let Ok(held) = blocking(move || own.held_by_acme()).await else { return };
    windows.retain(|name, window| {
        held.iter().any(|(it, serial)| it == name && *serial == window.serial)
    });
    let now = service.journal().clock().now();
    for (name, serial) in held {
        let known = windows.get(&name);
        if known.is_none_or(|window| window.ask <= now) {
            let asked = window(service, &name, &serial).await;
            windows.insert(name.clone(), asked);
        }
        let due = windows.get(&name).and_then(|window| window.renew).is_some_and(|at| at <= now);
        // A server that always says "now" is not heeded all day.
        let rests = early.get(&name).is_some_and(|last| now < last.plus(EARLY_AGAIN));
        if due && !rests {
            let (own, of) = (Arc::clone(service), name.clone());
            let made = blocking(move || own.renew_early(&of)).await;
            match made {
                Ok(true) => {
                    early.insert(name.clone(), now);
                    tracing::info!(certificate = %name, "its CA wants it to be renewed now");
                    service.enrolments().wake.notify_one();
                }
                Ok(false) => {}
                Err(error) => tracing::warn!(certificate = %name, %error, "no CSR was made"),
            }
        }
    }
}

async fn window(service: &Arc<Service>, name: &ImportedName, serial: &str) -> Window {
    let now = service.journal().clock().now();
    let unknown = Window { serial: serial.to_owned(), ask: now.plus(WINDOW_AGAIN), renew: None };
    let (own, of) = (Arc::clone(service), name.clone());
    let Ok(Some(asking)) = blocking(move || own.window_job(&of)).await else { return unknown };
    let account = Account { url: &asking.account_url, key: &asking.account };
    let asked = acme::renewal(&asking.client, &asking.directory, &account, &asking.leaf);
    match asked.await {
        Ok(Some(found)) => {
            let (least, most) = WINDOWS;
            let span = found.end.since(found.start);
            let renew = found.start.plus(span.mul_f64(crate::service::share(serial)));
            let serial = serial.to_owned();
            Window { serial, ask: now.plus(found.again.clamp(least, most)), renew: Some(renew) }
        }
        Ok(None) => unknown,
        Err(error) => {
            tracing::debug!(certificate = %name, %error, "no renewal information");
            unknown
        }
    }
}
