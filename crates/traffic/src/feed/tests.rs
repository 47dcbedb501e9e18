//! A model of the broker's log, and feeds that lose, repeat and reorder.

use std::sync::Arc;

use sealock_core::policy::Mode;
use sealock_core::{Clock, Identity, IdentityKind, SystemClock, TrustDomain};
use sealock_net::proxy::{Address, Upstream, UpstreamSettings};

use super::{FeedError, Message, Policy, Receiver, Snapshot};
use crate::broker::{Revocation, Revoked};
use crate::gatekeeper::{Access, Denied, Gatekeeper, Report, Settings};

struct Silent;

impl Report for Silent {
    fn denied(&self, _: &Denied) {}
    fn access(&self, _: &Access) {}
}

fn service(name: &str) -> Identity {
    let domain: TrustDomain = "t.sealock".parse().unwrap();
    Identity::new(&domain, IdentityKind::Service, name).unwrap()
}

fn gatekeeper() -> Arc<Gatekeeper> {
    let nowhere = Address::Tcp("127.0.0.1:1".into());
    let app = Upstream::new(nowhere, UpstreamSettings::default());
    Gatekeeper::new(Settings::new(service("orders")), app, Arc::new(Silent), Arc::new(SystemClock))
}

fn now() -> u64 {
    u64::try_from(SystemClock.now().as_secs()).unwrap()
}

fn revocation(number: u64) -> Revocation {
    let revoked = Revoked::Token(format!("token-{number}"));
    Revocation { number, issued_until: now(), revoked }
}

fn snapshot(last: u64) -> Message {
    Message::Snapshot(Box::new(Snapshot {
        issuer: "https://broker".into(),
        keys: r#"{"keys":[]}"#.into(),
        policy: Policy { epoch: 1, sources: Vec::new(), mode: Mode::Enforce },
        groups: Vec::new(),
        revocations: (1..=last).map(revocation).collect(),
        last,
    }))
}

/// Whether all revocations up to a number are in force.
fn holds(gatekeeper: &Gatekeeper, last: u64) -> bool {
    let known = gatekeeper.known().unwrap();
    (1..=last).all(|number| {
        let one: crate::gatekeeper::Revocations = [&revocation(number)].into_iter().collect();
        let mut with = (*known.revocations).clone();
        let before = with.len();
        with.add(&revocation(number));
        with.len() == before && !one.is_empty()
    })
}

/// Small and seeded: a failure can be seen again by its seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

#[test]
fn whatever_gets_lost_a_beat_that_is_taken_means_that_nothing_is_missing() {
    for seed in 0..200 {
        let mut dice = Dice(seed);
        let gatekeeper = gatekeeper();
        let (mut log, mut receiver) = (0_u64, Receiver::default());
        let mut wire: Vec<Message> = vec![snapshot(0)];
        let (mut gaps, mut begun) = (0, false);
        for _ in 0..300 {
            match dice.roll(10) {
                0..=3 => {
                    log += 1;
                    wire.push(Message::Revoked(revocation(log)));
                }
                4..=5 => wire.push(Message::Beat { last: log }),
                6 if !wire.is_empty() => {
                    let at = usize::try_from(dice.roll(wire.len() as u64)).unwrap();
                    wire.remove(at);
                }
                7 if !wire.is_empty() => {
                    let at = usize::try_from(dice.roll(wire.len() as u64)).unwrap();
                    wire.push(wire[at].clone());
                }
                8 if wire.len() > 1 => {
                    let at = usize::try_from(dice.roll(wire.len() as u64 - 1)).unwrap();
                    wire.swap(at, at + 1);
                }
                _ => {
                    for message in wire.drain(..) {
                        let beat = match &message {
                            Message::Beat { last } => Some(*last),
                            _ => None,
                        };
                        match receiver.take(message, &gatekeeper) {
                            Ok(()) => {
                                begun = true;
                                if let Some(last) = beat {
                                    assert!(holds(&gatekeeper, last), "seed {seed}: {last}");
                                }
                            }
                            Err(FeedError::Gap { .. } | FeedError::NoSnapshot) => {
                                gaps += 1;
                                begun = false;
                                receiver = Receiver::default();
                                break;
                            }
                            Err(error) => panic!("seed {seed}: {error}"),
                        }
                    }
                    wire.clear();
                    // A feed that has ended begins anew.
                    wire.push(if begun { Message::Beat { last: log } } else { snapshot(log) });
                }
            }
        }
        receiver = Receiver::default();
        receiver.take(snapshot(log), &gatekeeper).unwrap();
        assert!(holds(&gatekeeper, log), "seed {seed}");
        assert!(gaps > 0, "seed {seed} loses nothing");
    }
}

#[test]
fn a_feed_that_cannot_be_used_changes_nothing() {
    let gatekeeper = gatekeeper();
    let mut receiver = Receiver::default();
    let beat = || Message::Beat { last: 0 };
    assert!(matches!(receiver.take(beat(), &gatekeeper), Err(FeedError::NoSnapshot)));
    assert!(gatekeeper.known().is_none());
    receiver.take(snapshot(2), &gatekeeper).unwrap();
    let bad = Policy {
        epoch: 2,
        sources: vec![("a.cedar".into(), "permit(".into())],
        mode: Mode::Enforce,
    };
    assert!(matches!(
        receiver.take(Message::Policy { policy: bad, groups: Vec::new() }, &gatekeeper),
        Err(FeedError::Policy(_))
    ));
    assert!(receiver.take(Message::Keys("{".into()), &gatekeeper).is_err());
    assert_eq!(gatekeeper.epoch(), Some(1));
    assert!(holds(&gatekeeper, 2));
    // Another one is taken over whole.
    let good = Policy { epoch: 3, sources: Vec::new(), mode: Mode::Audit };
    receiver.take(Message::Policy { policy: good, groups: Vec::new() }, &gatekeeper).unwrap();
    assert_eq!(gatekeeper.epoch(), Some(3));
}

#[test]
fn lines_are_read_strictly() {
    let line = snapshot(1).to_line();
    let text = String::from_utf8(line).unwrap();
    assert_eq!(Message::read(text.trim_end()).unwrap(), snapshot(1));
    for bad in [
        "",
        "{}",
        "null",
        r#"{"feed":"beat"}"#,
        r#"{"feed":"beat","is":{"last":-1}}"#,
        r#"{"feed":"beat","is":{"last":1,"more":1}}"#,
        r#"{"feed":"else","is":1}"#,
        r#"{"feed":"revoked","is":{"number":1,"issued_until":1}}"#,
    ] {
        assert!(matches!(Message::read(bad), Err(FeedError::Line { .. })), "{bad}");
    }
}
