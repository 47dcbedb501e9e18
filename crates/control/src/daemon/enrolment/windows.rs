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

impl Window {
    /// A moment that is far ahead is of a clock that was set back.
    fn is_to_be_asked_for(&self, now: Timestamp) -> bool {
        self.ask <= now || self.ask.since(now) > WINDOWS.1
    }
}

/// When each was renewed before its time the last time. A server that always says "now" is not heeded all day.
#[derive(Default)]
struct Early(BTreeMap<ImportedName, Timestamp>);

impl Early {
    fn rests(&self, name: &ImportedName, now: Timestamp) -> bool {
        self.0.get(name).is_some_and(|last| *last <= now && now < last.plus(EARLY_AGAIN))
    }
}

pub(super) async fn keep(service: Arc<Service>) {
    let mut windows: BTreeMap<ImportedName, Window> = BTreeMap::new();
    let mut early = Early::default();
    loop {
        follow(&service, &mut windows, &mut early).await;
        tokio::time::sleep(EVERY).await;
    }
}

/// Asks the servers whether they want certificates to be renewed before their time, and has it done.
async fn follow(
    service: &Arc<Service>,
    windows: &mut BTreeMap<ImportedName, Window>,
    early: &mut Early,
) {
    let own = Arc::clone(service);
    let Ok(held) = blocking(move || own.held_by_acme()).await else { return };
    windows.retain(|name, window| {
        held.iter().any(|(it, serial)| it == name && *serial == window.serial)
    });
    let now = service.journal().clock().now();
    for (name, serial) in held {
        let known = windows.get(&name);
        if known.is_none_or(|window| window.is_to_be_asked_for(now)) {
            let asked = window(service, &name, &serial).await;
            windows.insert(name.clone(), asked);
        }
        let due = windows.get(&name).and_then(|window| window.renew).is_some_and(|at| at <= now);
        if due && !early.rests(&name, now) {
            let (own, of) = (Arc::clone(service), name.clone());
            let made = blocking(move || own.renew_early(&of)).await;
            match made {
                Ok(true) => {
                    early.0.insert(name.clone(), now);
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

#[cfg(test)]
mod tests {
    use sealock_core::Clock as _;

    use super::*;
    use crate::service::CorporateWorld;

    const DAY: Duration = Duration::from_secs(86_400);

    /// A server that always says that the certificate is to be renewed now.
    async fn told_now(world: &CorporateWorld, early: &mut Early) -> bool {
        let held = world.standing().held.unwrap();
        let window = Window {
            serial: held.serial,
            ask: world.clock.now().plus(DAY),
            renew: Some(world.clock.now()),
        };
        let mut windows = BTreeMap::from([("web".parse().unwrap(), window)]);
        follow(world.service(), &mut windows, early).await;
        world.standing().waiting.is_some()
    }

    #[tokio::test]
    async fn a_server_that_always_wants_a_renewal_is_heeded_once_a_day() {
        let world = CorporateWorld::with(
            "[upstream.corp]\nkind = \"acme\"\nurl = \"https://127.0.0.1:1/dir\"\n",
        );
        world.trust_root();
        let wanted = CorporateWorld::wanted();
        let upstream = Some("corp".to_owned());
        world.request(crate::command::CertRequest { upstream, ..wanted }).unwrap();
        world.serve_the_next(90);
        let mut early = Early::default();
        assert!(told_now(&world, &mut early).await, "the first time");
        world.serve_the_next(90);
        for _ in 0..23 {
            world.clock.advance(Duration::from_secs(3600));
            assert!(!told_now(&world, &mut early).await, "not all day");
        }
        world.clock.advance(Duration::from_secs(3600));
        assert!(told_now(&world, &mut early).await, "on the next day");
        // Nor does a clock that was years ahead for a while keep it from being heeded.
        world.clock.advance(900 * DAY);
        world.serve_again(90);
        assert!(told_now(&world, &mut early).await, "years ahead");
        world.clock.set(world.clock.now().minus(900 * DAY));
        world.serve_again(90);
        assert!(told_now(&world, &mut early).await, "and back");
        let window =
            Window { serial: String::new(), ask: world.clock.now().plus(900 * DAY), renew: None };
        assert!(window.is_to_be_asked_for(world.clock.now()));
    }
}
