//! A model of the broker's log, and feeds that lose, repeat, reorder, change and forge.

use std::sync::Arc;
use std::time::Duration;

use sealock_core::policy::Mode;
use sealock_core::{Clock, Identity, IdentityKind, ManualClock, SystemClock, TrustDomain};
use sealock_net::proxy::{Address, Upstream, UpstreamSettings};

use super::{FeedError, Message, Policy, Receiver, Snapshot};
use crate::broker::{Entry, EntryHash, Head, Revocation, Revoked, RevokedCas};
use crate::gatekeeper::{Access, Denied, Gatekeeper, Report, Revocations, Settings};
use crate::token::{Algorithm, KeySet, PublicKey, SigningKey};

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
    gatekeeper_at(Arc::new(SystemClock))
}

fn gatekeeper_at(clock: Arc<dyn Clock>) -> Arc<Gatekeeper> {
    let nowhere = Address::Tcp("127.0.0.1:1".into());
    let app = Upstream::new(nowhere, UpstreamSettings::default());
    Gatekeeper::new(Settings::new(service("orders")), app, Arc::new(Silent), clock)
}

fn now() -> u64 {
    u64::try_from(SystemClock.now().as_secs()).unwrap()
}

fn revocation(number: u64) -> Revocation {
    let revoked = Revoked::Token(format!("token-{number}"));
    Revocation { number, issued_until: now(), revoked }
}

fn cas_of(cas: &[(u8, u64)]) -> RevokedCas {
    let all = cas.iter().map(|(key, ends)| (vec![*key], now() + ends));
    RevokedCas::new(all).unwrap()
}

const ISSUER: &str = "https://broker";

/// The broker's list, as it is signed.
struct Book {
    key: SigningKey,
    /// Keys that do not sign, or no more.
    beside: Vec<PublicKey>,
    issuer: &'static str,
    entries: Vec<String>,
    cas: RevokedCas,
    /// The sets that were told, each with one more than the one before it.
    told: Vec<EntryHash>,
}

impl Book {
    fn new(issuer: &'static str) -> Self {
        let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let cas = RevokedCas::default();
        let (beside, entries, told) = (Vec::new(), Vec::new(), Vec::new());
        Self { key, beside, issuer, entries, cas, told }
    }

    fn keys(&self) -> String {
        KeySet::from_iter(self.beside.iter().cloned().chain([self.key.public()])).to_json()
    }

    /// Another key signs from now on; the one before stays, or goes.
    fn rotate(&mut self, stays: bool) {
        let before = std::mem::replace(&mut self.key, Self::new(ISSUER).key);
        self.beside = if stays { vec![before.public()] } else { Vec::new() };
    }

    fn last(&self) -> u64 {
        self.entries.len() as u64
    }

    fn hash(&self) -> EntryHash {
        self.entries.last().map_or(EntryHash::START, |last| EntryHash::of(last))
    }

    /// The entry that would come next.
    fn next(&self, revocation: Revocation) -> String {
        let entry = Entry { log: self.issuer.into(), previous: self.hash(), revocation };
        entry.sign(&self.key).unwrap()
    }

    fn revoke(&mut self) -> Message {
        let entry = self.next(revocation(self.last() + 1));
        self.entries.push(entry.clone());
        Message::Revoked(entry)
    }

    fn head(&self, at: u64) -> String {
        let (number, hash) = (self.last(), self.hash());
        let (log, keys) = (self.issuer.into(), EntryHash::of(&self.keys()));
        let cas = EntryHash::of(&self.cas.to_text());
        Head { log, number, hash, from: 1, keys, cas, at }.sign(&self.key).unwrap()
    }

    fn beat(&self) -> Message {
        Message::Beat { head: self.head(now()) }
    }

    fn snapshot(&self) -> Snapshot {
        self.snapshot_at(now())
    }

    fn snapshot_at(&self, at: u64) -> Snapshot {
        Snapshot {
            issuer: self.issuer.into(),
            keys: self.keys(),
            policy: Policy { epoch: 1, sources: Vec::new(), mode: Mode::Enforce },
            groups: Vec::new(),
            revocations: self.entries.clone(),
            cas: self.cas.to_text(),
            head: self.head(at),
        }
    }

    /// These CAs are revoked, each until its certificate ends in so many seconds.
    fn revoke_cas(&mut self, cas: &[(u8, u64)]) -> Message {
        self.cas = cas_of(cas);
        self.tell_cas(now())
    }

    fn tell_cas(&self, at: u64) -> Message {
        Message::Cas { cas: self.cas.to_text(), head: self.head(at) }
    }

    fn begin(&self) -> Message {
        Message::Snapshot(Box::new(self.snapshot()))
    }
}

fn snapshot(last: u64) -> Message {
    let mut book = Book::new(ISSUER);
    for _ in 0..last {
        book.revoke();
    }
    book.begin()
}

/// Whether all revocations up to a number are in force.
fn holds(gatekeeper: &Gatekeeper, last: u64) -> bool {
    let known = gatekeeper.known().unwrap();
    (1..=last).all(|number| {
        let mut with = Revocations::clone(&known.revocations);
        let Revoked::Token(id) = revocation(number).revoked else { return false };
        with.add(&Revocation { number, issued_until: 0, revoked: Revoked::Token(id) });
        with == *known.revocations
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

/// One letter of a statement is another.
fn bent(message: &Message, dice: &mut Dice) -> Message {
    let bend = |text: &str, dice: &mut Dice| {
        let at = usize::try_from(dice.roll(text.len() as u64)).unwrap();
        let mut bytes = text.as_bytes().to_vec();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    };
    match message {
        Message::Revoked(text) => Message::Revoked(bend(text, dice)),
        Message::Beat { head } => Message::Beat { head: bend(head, dice) },
        Message::Cas { cas, head } => match dice.roll(2) {
            0 => Message::Cas { cas: bend(cas, dice), head: head.clone() },
            _ => Message::Cas { cas: cas.clone(), head: bend(head, dice) },
        },
        Message::Snapshot(whole) => {
            let mut whole = (**whole).clone();
            match (whole.revocations.pop(), dice.roll(3)) {
                (last, 0) => {
                    whole.revocations.extend(last);
                    whole.keys = Book::new(ISSUER).keys();
                }
                (Some(last), _) => whole.revocations.push(bend(&last, dice)),
                (None, _) => whole.head = bend(&whole.head, dice),
            }
            Message::Snapshot(Box::new(whole))
        }
        other => other.clone(),
    }
}

/// What may become of a wire between a broker and whoever listens; false if it is read now.
fn happens(
    dice: &mut Dice,
    wire: &mut Vec<Message>,
    [book, other, forger]: [&mut Book; 3],
) -> bool {
    match dice.roll(13) {
        0..=3 => wire.push(book.revoke()),
        4..=5 => wire.push(book.beat()),
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
        9 if !wire.is_empty() => {
            let at = usize::try_from(dice.roll(wire.len() as u64)).unwrap();
            wire[at] = bent(&wire[at], dice);
        }
        11 => {
            let count = book.told.len();
            let all: Vec<_> = (0..=u8::try_from(count).unwrap()).map(|key| (key, 1000)).collect();
            wire.push(book.revoke_cas(&all));
            book.told.push(EntryHash::of(&book.cas.to_text()));
        }
        10 => match dice.roll(8) {
            0 => wire.push(other.revoke()),
            6 => wire.push(other.revoke_cas(&[(99, 1000)])),
            7 => wire.push(forger.revoke_cas(&[(99, 1000)])),
            1 => wire.push(other.beat()),
            2 => wire.push(forger.revoke()),
            3 => wire.push(forger.beat()),
            4 => wire.push(Message::Revoked(book.head(now()))),
            _ => wire.push(Message::Beat { head: book.next(revocation(1)) }),
        },
        _ => return false,
    }
    true
}

#[test]
fn whatever_gets_lost_a_beat_that_is_taken_means_that_nothing_is_missing() {
    for seed in 0..60 {
        let mut dice = Dice(seed);
        let gatekeeper = gatekeeper();
        // Another broker's messages get onto the wire too, and one's of whom somebody has only the name.
        let (mut book, mut receiver) = (Book::new(ISSUER), Receiver::default());
        let (mut other, mut forger) = (Book::new("https://other"), Book::new(ISSUER));
        let mut wire: Vec<Message> = vec![book.begin()];
        let (mut gaps, mut forged, mut begun) = (0, 0, false);
        for _ in 0..300 {
            if happens(&mut dice, &mut wire, [&mut book, &mut other, &mut forger]) {
                continue;
            }
            for message in wire.drain(..) {
                let whole = match &message {
                    Message::Beat { head } => {
                        let keys = KeySet::from_iter([book.key.public()]);
                        let head = Head::open(head, &keys);
                        head.ok().map(|head| (head.number, head.cas))
                    }
                    _ => None,
                };
                let is_beat = matches!(message, Message::Beat { .. });
                match receiver.take(message, &gatekeeper) {
                    Ok(()) => {
                        begun = true;
                        if is_beat {
                            let (last, cas) = whole.expect("a beat by somebody else is taken");
                            assert!(holds(&gatekeeper, last), "seed {seed}: {last}");
                            let told = book.told.iter().position(|told| *told == cas);
                            let told = told.map_or(0, |at| u8::try_from(at).unwrap() + 1);
                            let all: Vec<u8> = (0..told).collect();
                            assert!(knows_cas(&gatekeeper, &all), "seed {seed}: {told}");
                        }
                    }
                    Err(FeedError::Policy(error)) => panic!("seed {seed}: {error}"),
                    Err(error) => {
                        match error {
                            FeedError::Gap { .. } | FeedError::NoSnapshot => gaps += 1,
                            _ => forged += 1,
                        }
                        begun = false;
                        receiver.begin_again();
                        break;
                    }
                }
            }
            // Nothing is revoked but by the broker.
            if let Some(known) = gatekeeper.known() {
                let all = known.revocations.last();
                assert!(all <= book.last(), "seed {seed}: {all}");
                assert_eq!(known.issuer, ISSUER);
                assert!(!knows_cas(&gatekeeper, &[99]), "seed {seed}");
            }
            wire.clear();
            // A feed that has ended begins anew.
            wire.push(if begun { book.beat() } else { book.begin() });
        }
        receiver.begin_again();
        let done = receiver.take(book.begin(), &gatekeeper);
        if matches!(done, Err(FeedError::Fork { .. })) {
            panic!("seed {seed}: the broker's own list is taken for another");
        }
        done.unwrap();
        assert!(holds(&gatekeeper, book.last()), "seed {seed}");
        assert!(gaps > 0 && forged > 0, "seed {seed} loses nothing");
    }
}

fn began(book: &Book) -> (Arc<Gatekeeper>, Receiver) {
    let (gatekeeper, mut receiver) = (gatekeeper(), Receiver::default());
    receiver.take(book.begin(), &gatekeeper).unwrap();
    (gatekeeper, receiver)
}

#[test]
fn a_revocation_is_taken_from_the_broker_only_and_in_its_place() {
    let mut book = Book::new(ISSUER);
    book.revoke();
    let mut forger = Book::new(ISSUER);
    forger.entries.clone_from(&book.entries);
    let mut other = Book::new("https://other");
    other.entries.clone_from(&book.entries);
    let stranger = Book::new("https://other");
    let take = |message: Message| {
        let (gatekeeper, mut receiver) = began(&book);
        let done = receiver.take(message, &gatekeeper);
        (done, gatekeeper.known().unwrap().revocations.last())
    };
    let next = |book: &Book, number| Message::Revoked(book.next(revocation(number)));
    let (done, count) = take(next(&book, 2));
    assert!(done.is_ok() && count == 2);
    let (done, count) = take(next(&forger, 2));
    assert!(matches!(done, Err(FeedError::Unsigned(_))) && count == 1);
    let (done, count) = take(next(&book, 3));
    assert!(matches!(done, Err(FeedError::Gap { known: 1, number: 3 })) && count == 1);
    // By our key, and another list's: of another issuer, or one that parted from it.
    other.key = SigningKey::from_pkcs8(Algorithm::EdDsa, &book.key.to_pkcs8().unwrap()).unwrap();
    let (done, count) = take(next(&other, 2));
    assert!(matches!(done, Err(FeedError::OtherIssuer)) && count == 1);
    let mut parted = Book::new(ISSUER);
    parted.key = SigningKey::from_pkcs8(Algorithm::EdDsa, &book.key.to_pkcs8().unwrap()).unwrap();
    parted.entries.push(parted.next(revocation(1)));
    parted.entries[0] = parted.next(Revocation { revoked: Revoked::Before, ..revocation(1) });
    let (done, count) = take(next(&parted, 2));
    assert!(matches!(done, Err(FeedError::Fork { number: 2 })) && count == 1);
    let (done, _) = take(Message::Revoked(parted.entries[0].clone()));
    assert!(matches!(done, Err(FeedError::Fork { number: 1 })));
    let (done, _) = take(parted.beat());
    assert!(matches!(done, Err(FeedError::Fork { number: 1 })));
    let (done, _) = take(stranger.beat());
    assert!(matches!(done, Err(FeedError::Unsigned(_))));
    let (done, count) = take(Message::Revoked(book.entries[0].clone()));
    assert!(done.is_ok() && count == 1, "once more does no harm");
}

#[test]
fn a_snapshot_has_all_of_the_list_and_nothing_else() {
    let mut book = Book::new(ISSUER);
    for _ in 0..4 {
        book.revoke();
    }
    let forger = Book::new(ISSUER);
    let take = |change: &dyn Fn(&mut Snapshot)| {
        let mut snapshot = book.snapshot();
        change(&mut snapshot);
        let gatekeeper = gatekeeper();
        let done = Receiver::default().take(Message::Snapshot(Box::new(snapshot)), &gatekeeper);
        assert_eq!(done.is_ok(), gatekeeper.known().is_some());
        done
    };
    assert!(take(&|_| {}).is_ok());
    assert!(matches!(take(&|it| drop(it.revocations.remove(0))), Err(FeedError::Gap { .. })));
    assert!(matches!(take(&|it| drop(it.revocations.remove(2))), Err(FeedError::Fork { .. })));
    assert!(matches!(take(&|it| drop(it.revocations.pop())), Err(FeedError::Fork { .. })));
    assert!(matches!(take(&|it| it.revocations.swap(1, 2)), Err(FeedError::Fork { .. })));
    assert!(matches!(take(&|it| it.revocations.clear()), Err(FeedError::Gap { .. })));
    let more = book.next(revocation(5));
    assert!(matches!(take(&|it| it.revocations.push(more.clone())), Err(FeedError::Fork { .. })));
    let head = forger.head(now());
    assert!(matches!(take(&|it| it.head = head.clone()), Err(FeedError::Unsigned(_))));
    assert!(matches!(take(&|it| it.keys = forger.keys()), Err(FeedError::Unsigned(_))));
    // With a key of somebody else's beside the broker's.
    let both = KeySet::from_iter([forger.key.public(), book.key.public()]).to_json();
    assert!(matches!(take(&|it| it.keys = both.clone()), Err(FeedError::OtherKeys)));
    assert!(matches!(take(&|it| it.issuer = "https://x".into()), Err(FeedError::OtherIssuer)));
    // What was so a while ago, said again.
    for at in [now() - 120, now() + 120] {
        let old = book.head(at);
        assert!(matches!(take(&|it| it.head = old.clone()), Err(FeedError::Old { .. })));
    }
}

#[test]
fn an_old_beat_does_not_keep_a_feed_alive() {
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let gatekeeper = gatekeeper_at(Arc::clone(&clock) as Arc<dyn Clock>);
    let book = Book::new(ISSUER);
    let mut receiver = Receiver::default();
    receiver.take(book.begin(), &gatekeeper).unwrap();
    let beat = book.beat();
    clock.advance(Duration::from_secs(50));
    receiver.take(beat.clone(), &gatekeeper).unwrap();
    assert_eq!(gatekeeper.silence(), Some(Duration::ZERO));
    clock.advance(Duration::from_secs(50));
    receiver.take(beat, &gatekeeper).unwrap();
    assert_eq!(gatekeeper.silence(), Some(Duration::from_secs(50)), "it was said before");
}

/// Whoever stands in between says again what there is to say again, whatever keeps a feed alive.
#[test]
fn a_relay_that_holds_back_is_noticed_however_much_it_says() {
    for seed in 0..20 {
        let mut dice = Dice(seed);
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        let at = || u64::try_from(clock.now().as_secs()).unwrap();
        let gatekeeper = gatekeeper_at(Arc::clone(&clock) as Arc<dyn Clock>);
        let (mut book, mut receiver) = (Book::new(ISSUER), Receiver::default());
        let begin = Message::Snapshot(Box::new(book.snapshot_at(at())));
        let mut heard = vec![begin.clone(), book.revoke(), book.revoke()];
        heard.push(Message::Beat { head: book.head(at()) });
        let policy = Policy { epoch: 2, sources: Vec::new(), mode: Mode::Enforce };
        heard.push(Message::Policy { policy, groups: Vec::new() });
        for message in heard.clone() {
            receiver.take(message, &gatekeeper).unwrap();
        }
        // This one is held back, and all that would tell of it.
        book.revoke();
        let (mut taken, mut begun) = (0, 0);
        for _ in 0..75 {
            clock.advance(Duration::from_secs(10));
            let message = heard[usize::try_from(dice.roll(heard.len() as u64)).unwrap()].clone();
            if receiver.take(message, &gatekeeper).is_ok() {
                taken += 1;
                continue;
            }
            receiver.begin_again();
            begun += usize::from(receiver.take(begin.clone(), &gatekeeper).is_ok());
        }
        assert!(!holds(&gatekeeper, 3), "seed {seed}: it was not held back");
        assert_eq!(gatekeeper.unready(), Some("stale"), "seed {seed}: {taken} {begun}");
        // The same time with the broker itself.
        receiver.begin_again();
        let mut honest = Message::Snapshot(Box::new(book.snapshot_at(at())));
        for _ in 0..75 {
            // Of a list that goes back it is said once.
            if receiver.take(honest, &gatekeeper).is_err() {
                receiver.begin_again();
                let again = Message::Snapshot(Box::new(book.snapshot_at(at())));
                receiver.take(again, &gatekeeper).unwrap();
            }
            clock.advance(Duration::from_secs(10));
            honest = Message::Beat { head: book.head(at()) };
        }
        assert_eq!(gatekeeper.unready(), None, "seed {seed}");
        assert!(holds(&gatekeeper, 3), "seed {seed}");
    }
}

#[test]
fn other_keys_are_taken_from_who_was_known_before_or_with_another_feed() {
    let mut book = Book::new(ISSUER);
    let (gatekeeper, mut receiver) = began(&book);
    let keys = || gatekeeper.known().unwrap().keys.len();
    // The next key is published, and signs later.
    book.beside.push(Book::new(ISSUER).key.public());
    assert!(matches!(receiver.take(book.beat(), &gatekeeper), Err(FeedError::OtherKeys)));
    receiver.take(book.begin(), &gatekeeper).unwrap();
    receiver.take(book.beat(), &gatekeeper).unwrap();
    assert_eq!(keys(), 2);
    // Somebody else's, with a head of the broker's.
    let forger = Book::new(ISSUER);
    let mut forged = book.snapshot();
    forged.keys = KeySet::from_iter([book.key.public(), forger.key.public()]).to_json();
    let forged = receiver.take(Message::Snapshot(Box::new(forged)), &gatekeeper);
    assert!(matches!(forged, Err(FeedError::OtherKeys)));
    let forged = receiver.take(forger.begin(), &gatekeeper);
    assert!(matches!(forged, Err(FeedError::Unvouched(_))));
    // What was so before, with a key that was taken away since.
    let before = book.snapshot_at(now() - 20);
    book.beside.clear();
    receiver.take(book.begin(), &gatekeeper).unwrap();
    let before = receiver.take(Message::Snapshot(Box::new(before)), &gatekeeper);
    assert!(matches!(before, Err(FeedError::Old { .. })), "{before:?}");
    assert_eq!(keys(), 1);
    // The only key is revoked: nothing can vouch for the one in its place.
    book.rotate(false);
    assert!(matches!(receiver.take(book.begin(), &gatekeeper), Err(FeedError::Unvouched(_))));
    receiver.begin_again();
    receiver.take(book.begin(), &gatekeeper).unwrap();
    book.rotate(true);
    assert!(matches!(receiver.take(book.begin(), &gatekeeper), Err(FeedError::Unvouched(_))));
}

/// Whether the Gatekeeper knows of these revoked CAs.
fn knows_cas(gatekeeper: &Gatekeeper, cas: &[u8]) -> bool {
    let known = gatekeeper.known().unwrap().cas;
    cas.iter().all(|key| known.are_in(&[EntryHash::of_bytes(&[*key])]))
}

#[test]
fn a_revoked_ca_is_taken_from_the_broker_only_and_none_is_left_out() {
    let mut book = Book::new(ISSUER);
    book.revoke_cas(&[(1, 1000)]);
    let (gatekeeper, mut receiver) = began(&book);
    assert!(knows_cas(&gatekeeper, &[1]) && !knows_cas(&gatekeeper, &[2]));
    let (before, told_before) = (book.tell_cas(now() - 20), book.beat());
    receiver.take(book.revoke_cas(&[(1, 1000), (2, 1000)]), &gatekeeper).unwrap();
    assert!(knows_cas(&gatekeeper, &[1, 2]));
    receiver.take(book.beat(), &gatekeeper).unwrap();
    // What was so before, and what was said before it.
    let old = receiver.take(before, &gatekeeper);
    assert!(matches!(old, Err(FeedError::Old { .. })), "{old:?}");
    let old = receiver.take(told_before, &gatekeeper);
    assert!(old.is_ok() || matches!(old, Err(FeedError::OtherCas)), "{old:?}");
    // One is held back: the next head tells of it.
    receiver.take(book.beat(), &gatekeeper).unwrap();
    let held_back = book.revoke_cas(&[(1, 1000), (2, 1000), (3, 1000)]);
    let missing = receiver.take(book.beat(), &gatekeeper);
    assert!(matches!(missing, Err(FeedError::OtherCas)), "{missing:?}");
    assert!(!knows_cas(&gatekeeper, &[3]));
    receiver.take(held_back, &gatekeeper).unwrap();
    assert!(knows_cas(&gatekeeper, &[1, 2, 3]));
    // By somebody else, about another list, and another set than the head names.
    let mut forger = Book::new(ISSUER);
    let forged = receiver.take(forger.revoke_cas(&[(9, 1000)]), &gatekeeper);
    assert!(matches!(forged, Err(FeedError::Unsigned(_))), "{forged:?}");
    let head = book.head(now());
    let swapped = |cas: &str| Message::Cas { cas: cas.to_owned(), head: head.clone() };
    let other = receiver.take(swapped(&cas_of(&[(9, 1000)]).to_text()), &gatekeeper);
    assert!(matches!(other, Err(FeedError::OtherCas)), "{other:?}");
    let spaced = format!("{} ", book.cas.to_text());
    let other = receiver.take(swapped(&spaced), &gatekeeper);
    assert!(matches!(other, Err(FeedError::OtherCas)), "{other:?}");
    assert!(!knows_cas(&gatekeeper, &[9]));
    // A broker that was set back takes none back, and neither does a feed that begins anew.
    receiver.take(book.revoke_cas(&[]), &gatekeeper).unwrap();
    receiver.begin_again();
    receiver.take(book.begin(), &gatekeeper).unwrap();
    assert!(knows_cas(&gatekeeper, &[1, 2, 3]));
    receiver.begin_again();
    assert!(matches!(receiver.take(book.tell_cas(now()), &gatekeeper), Err(FeedError::NoSnapshot)));
}

#[test]
fn a_snapshot_has_the_revoked_cas_that_its_head_names() {
    let mut book = Book::new(ISSUER);
    book.revoke_cas(&[(1, 1000), (2, 1000)]);
    let take = |change: &dyn Fn(&mut Snapshot)| {
        let mut snapshot = book.snapshot();
        change(&mut snapshot);
        Receiver::default().take(Message::Snapshot(Box::new(snapshot)), &gatekeeper())
    };
    assert!(take(&|_| {}).is_ok());
    for text in [String::new(), "[]".into(), cas_of(&[(1, 1000)]).to_text()] {
        let done = take(&|it| it.cas.clone_from(&text));
        assert!(matches!(done, Err(FeedError::OtherCas)), "{text}");
    }
    // Named as it is, and no set.
    for text in ["", "{}", "[ ]", "[{\"key\":\"AA\",\"until\":1}]"] {
        let cas = EntryHash::of(text);
        let head = Head { cas, ..Head::open(&book.head(now()), &key_set(&book)).unwrap() };
        let head = head.sign(&book.key).unwrap();
        let done = take(&|it| (it.cas, it.head) = (text.to_owned(), head.clone()));
        assert!(matches!(done, Err(FeedError::Cas)), "{text}");
    }
}

fn key_set(book: &Book) -> KeySet {
    KeySet::from_iter([book.key.public()])
}

/// Said again and again, it would hide that nothing else is said.
#[test]
fn telling_of_revoked_cas_does_not_keep_a_feed_alive() {
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let gatekeeper = gatekeeper_at(Arc::clone(&clock) as Arc<dyn Clock>);
    let (mut book, mut receiver) = (Book::new(ISSUER), Receiver::default());
    receiver.take(book.begin(), &gatekeeper).unwrap();
    clock.advance(Duration::from_secs(10));
    receiver.take(book.revoke_cas(&[(1, 1000)]), &gatekeeper).unwrap();
    assert_eq!(gatekeeper.silence(), Some(Duration::from_secs(10)));
    receiver.take(book.beat(), &gatekeeper).unwrap();
    assert_eq!(gatekeeper.silence(), Some(Duration::ZERO));
    // What is below it has ended with it, so it is forgotten with the next that is told.
    clock.advance(Duration::from_secs(2000));
    let far = RevokedCas::new([(vec![2], now() + 9000)]).unwrap();
    assert!(gatekeeper.revoke_cas(&far));
    assert!(knows_cas(&gatekeeper, &[2]) && !knows_cas(&gatekeeper, &[1]));
}

#[test]
fn another_issuer_is_not_taken_later_and_a_list_that_went_back_is_said_once() {
    let mut book = Book::new(ISSUER);
    for _ in 0..3 {
        book.revoke();
    }
    let (gatekeeper, mut receiver) = began(&book);
    receiver.begin_again();
    let other = Book::new("https://other");
    let replayed = receiver.take(other.begin(), &gatekeeper);
    assert!(matches!(replayed, Err(FeedError::OtherIssuer)));
    // A broker whose state was set back.
    book.entries.truncate(1);
    receiver.begin_again();
    let done = receiver.take(book.begin(), &gatekeeper);
    assert!(matches!(done, Err(FeedError::Fork { .. })), "{done:?}");
    receiver.begin_again();
    receiver.take(book.begin(), &gatekeeper).unwrap();
    assert!(holds(&gatekeeper, 3), "what was revoked stays so");
    // One that went another way from there on.
    book.revoke();
    receiver.begin_again();
    receiver.take(book.begin(), &gatekeeper).unwrap();
    book.entries.pop();
    let entry = book.next(Revocation { revoked: Revoked::Before, ..revocation(2) });
    book.entries.push(entry);
    receiver.begin_again();
    let done = receiver.take(book.begin(), &gatekeeper);
    assert!(matches!(done, Err(FeedError::Fork { .. })), "{done:?}");
    receiver.begin_again();
    receiver.take(book.begin(), &gatekeeper).unwrap();
}

#[test]
fn a_feed_that_cannot_be_used_changes_nothing() {
    let gatekeeper = gatekeeper();
    let mut receiver = Receiver::default();
    let early = receiver.take(Book::new(ISSUER).beat(), &gatekeeper);
    assert!(matches!(early, Err(FeedError::NoSnapshot)));
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
    let epoch = || gatekeeper.known().unwrap().policy.epoch();
    assert_eq!(epoch(), 1);
    assert!(holds(&gatekeeper, 2));
    // Another one is taken over whole.
    let good = Policy { epoch: 3, sources: Vec::new(), mode: Mode::Audit };
    receiver.take(Message::Policy { policy: good, groups: Vec::new() }, &gatekeeper).unwrap();
    assert_eq!(epoch(), 3);
}

#[test]
fn lines_are_read_strictly() {
    let whole = snapshot(1);
    let text = String::from_utf8(whole.to_line()).unwrap();
    assert_eq!(Message::read(text.trim_end()).unwrap(), whole);
    for bad in [
        "",
        "{}",
        "null",
        r#"{"feed":"beat"}"#,
        r#"{"feed":"beat","is":{"last":1}}"#,
        r#"{"feed":"beat","is":{"head":"a","more":1}}"#,
        r#"{"feed":"else","is":1}"#,
        r#"{"feed":"revoked","is":{"number":1,"issued_until":1}}"#,
        r#"{"feed":"revoked","is":7}"#,
        r#"{"feed":"cas","is":{"cas":"[]"}}"#,
        r#"{"feed":"cas","is":{"cas":[],"head":"a"}}"#,
        r#"{"feed":"cas","is":{"cas":"[]","head":"a","more":1}}"#,
    ] {
        assert!(matches!(Message::read(bad), Err(FeedError::Line { .. })), "{bad}");
    }
}
