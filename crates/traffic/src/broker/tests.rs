use std::sync::Arc;
use std::time::Duration;

use sealock_core::audit::Actor;
use sealock_core::{Clock, Identity, ManualClock, Timestamp};
use sealock_store::{Journal, Keyring, NewProtection, SqliteStore, Store};
use tempfile::TempDir;

use super::*;
use crate::token::{Refusal, SKEW};

const ISSUER: &str = "https://broker.example:8443";

pub(super) struct Scratch {
    pub(super) broker: Arc<Broker>,
    pub(super) clock: Arc<ManualClock>,
    journal: Arc<Journal>,
    folder: TempDir,
}

impl Scratch {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Keyring::create(&folder.path().join("keys"), &NewProtection::File).unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_700_000_000)));
        Self::open(folder, clock)
    }

    fn open(folder: TempDir, clock: Arc<ManualClock>) -> Self {
        let shared: Arc<dyn Clock> = Arc::clone(&clock) as Arc<dyn Clock>;
        let store =
            SqliteStore::open(&folder.path().join("state.db"), Arc::clone(&shared)).unwrap();
        let journal = Journal::open(Arc::new(store) as Arc<dyn Store>, shared).unwrap();
        let keyring = Keyring::open(&folder.path().join("keys"), None).unwrap();
        let settings = Settings { issuer: ISSUER.to_owned(), algorithm: Algorithm::Es256 };
        let broker = Broker::open(Arc::clone(&journal), Arc::new(keyring), settings).unwrap();
        Self { broker, clock, journal, folder }
    }

    /// As after a crash: what was in memory is gone.
    pub(super) fn reopen(self) -> Self {
        let Self { broker, clock, journal, folder } = self;
        drop((broker, journal));
        Self::open(folder, clock)
    }

    fn issue(&self, who: &str, audience: &str) -> Issued {
        self.broker.issue(&order(who, audience), &actor()).unwrap()
    }

    fn verify(&self, token: &Issued, audience: &str) -> Result<Claims, Refusal> {
        self.verify_by(&self.broker.key_set(), token, audience)
    }

    fn verify_by(&self, keys: &KeySet, token: &Issued, audience: &str) -> Result<Claims, Refusal> {
        let expected = Expected {
            issuer: ISSUER,
            audience: &service(audience).to_string(),
            now: seconds(self.clock.now()),
            skew: SKEW,
            longest: LONGEST.as_secs(),
            certificate: None,
        };
        token::verify(&token.token, keys, &expected)
    }

    pub(super) fn whole_store(&self) -> Vec<u8> {
        self.journal.checkpoint().ok();
        let mut all = Vec::new();
        for entry in std::fs::read_dir(self.folder.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                all.extend(std::fs::read(path).unwrap());
            }
        }
        all
    }
}

pub(super) fn actor() -> Actor {
    Actor::daemon("test")
}

pub(super) fn service(name: &str) -> Identity {
    format!("spiffe://t.sealock/service/{name}").parse().unwrap()
}

pub(super) fn name(text: &str) -> ClientName {
    text.parse().unwrap()
}

fn order(who: &str, audience: &str) -> Order {
    Order {
        subject: service(who),
        audience: service(audience),
        client: None,
        binding: None,
        life: LONGEST,
        profile: Profile::AccessToken,
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[test]
fn a_token_is_for_one_service_and_five_minutes() {
    let scratch = Scratch::new();
    let token = scratch.issue("shop", "orders");
    let claims = scratch.verify(&token, "orders").unwrap();
    assert_eq!((claims.subject, claims.id), (service("shop"), token.id.clone()));
    assert!(matches!(scratch.verify(&token, "billing"), Err(Refusal::WrongAudience)));
    scratch.clock.advance(LONGEST + Duration::from_secs(SKEW));
    assert!(matches!(scratch.verify(&token, "orders"), Err(Refusal::Expired)));
    let long = Order { life: Duration::from_secs(86_400), ..order("shop", "orders") };
    assert_eq!(scratch.broker.issue(&long, &actor()).unwrap().life, LONGEST);
}

#[test]
fn keys_outlive_a_restart_and_are_not_in_the_store() {
    let scratch = Scratch::new();
    let token = scratch.issue("shop", "orders");
    let keys = scratch.broker.key_set();
    let scratch = scratch.reopen();
    assert_eq!(scratch.broker.key_set().to_json(), keys.to_json());
    scratch.verify(&token, "orders").unwrap();
    assert!(!contains(&scratch.whole_store(), token.token.as_bytes()), "no token is kept");
}

#[test]
fn a_new_key_is_published_before_it_signs_and_the_old_one_stays_until_its_tokens_are_dead() {
    let scratch = Scratch::new();
    let old = scratch.broker.keys().remove(0).id;
    let new = scratch.broker.rotate_key(&actor()).unwrap().id;
    let published = scratch.broker.key_set();
    assert!(published.get(&old).is_some() && published.get(&new).is_some());
    let current = || scratch.broker.keys().into_iter().find(|key| key.current).unwrap().id;
    assert_eq!(current(), old, "the new one does not sign yet");
    scratch.clock.advance(PUBLISHED_BEFORE - Duration::from_secs(1));
    let last = scratch.issue("shop", "orders");
    scratch.clock.advance(Duration::from_secs(1));
    assert_eq!(current(), new);
    let first = scratch.issue("shop", "orders");
    scratch.verify_by(&published, &first, "orders").expect("who fetched the keys then knows it");
    scratch.clock.advance(LONGEST);
    scratch.broker.keep_keys().unwrap();
    scratch.verify(&last, "orders").expect("its last second of grace is not over");
    scratch.clock.advance(Duration::from_secs(SKEW + 1));
    scratch.broker.keep_keys().unwrap();
    assert!(scratch.broker.key_set().get(&old).is_none(), "no token of it can be alive");
    let scratch = scratch.reopen();
    assert_eq!(scratch.broker.keys().len(), 1);
}

#[test]
fn one_rotation_too_many_is_refused_before_anything_is_written() {
    let scratch = Scratch::new();
    for _ in 1..keys::MOST {
        scratch.broker.rotate_key(&actor()).unwrap();
    }
    let before = (scratch.broker.keys(), scratch.journal.tail(0, 100).unwrap().len());
    for _ in 0..3 {
        let refused = scratch.broker.rotate_key(&actor());
        assert!(matches!(refused, Err(BrokerError::TooManySigners)), "{refused:?}");
    }
    assert_eq!((scratch.broker.keys(), scratch.journal.tail(0, 100).unwrap().len()), before);
    let scratch = scratch.reopen();
    assert_eq!(scratch.broker.keys(), before.0, "and all are read again");
    // One that has to go goes all the same, and its place is taken at once.
    let token = scratch.issue("shop", "orders");
    let current = scratch.broker.keys().into_iter().find(|key| key.current).unwrap().id;
    scratch.broker.revoke_key(&current, &actor()).unwrap();
    assert!(scratch.verify(&token, "orders").is_err());
    scratch.verify(&scratch.issue("shop", "orders"), "orders").unwrap();
    assert_eq!(scratch.broker.keys().len(), keys::MOST);
    // When the newest signs and the tokens of the others have died, there is room.
    scratch.clock.advance(PUBLISHED_BEFORE + LONGEST + Duration::from_secs(SKEW + 1));
    scratch.broker.keep_keys().unwrap();
    assert_eq!(scratch.broker.keys().len(), 1);
    scratch.broker.rotate_key(&actor()).unwrap();
}

#[test]
fn a_key_is_replaced_by_itself_after_thirty_days() {
    let scratch = Scratch::new();
    scratch.broker.keep_keys().unwrap();
    assert_eq!(scratch.broker.keys().len(), 1);
    scratch.clock.advance(Duration::from_secs(31 * 24 * 3600));
    scratch.broker.keep_keys().unwrap();
    scratch.broker.keep_keys().unwrap();
    assert_eq!(scratch.broker.keys().len(), 2);
}

#[test]
fn a_revoked_key_is_gone_at_once_and_another_signs() {
    let scratch = Scratch::new();
    let token = scratch.issue("shop", "orders");
    let key = scratch.broker.keys().remove(0).id;
    scratch.broker.revoke_key(&key, &actor()).unwrap();
    assert!(matches!(scratch.verify(&token, "orders"), Err(Refusal::UnknownKey)));
    let token = scratch.issue("shop", "orders");
    scratch.verify(&token, "orders").unwrap();
    assert!(matches!(scratch.broker.revoke_key(&key, &actor()), Err(BrokerError::UnknownKey(_))));
}

#[test]
fn only_the_secret_of_a_client_is_taken_and_no_secret_is_kept() {
    let scratch = Scratch::new();
    let broker = &scratch.broker;
    let secret = broker.client_add(&name("shop"), &service("shop"), &actor()).unwrap();
    let other = broker.client_add(&name("web"), &service("web"), &actor()).unwrap();
    assert!(secret.len() >= 43 && secret.as_str() != other.as_str());
    let who = |name: &str, secret: &str| {
        broker.authenticate(name, secret).unwrap().map(|(_, identity)| identity)
    };
    assert_eq!(who("shop", &secret), Some(service("shop")));
    for (name, given) in [
        ("shop", other.as_str()),
        ("web", secret.as_str()),
        ("nobody", secret.as_str()),
        ("shop", ""),
        ("shop", &secret[..secret.len() - 1]),
        ("Shop", secret.as_str()),
        ("../client/shop", secret.as_str()),
        ("", ""),
    ] {
        assert_eq!(who(name, given), None, "{name}");
    }
    assert_eq!(who("shop", &"x".repeat(1 << 20)), None);
    assert!(matches!(
        broker.client_add(&name("shop"), &service("web"), &actor()),
        Err(BrokerError::ClientExists(_))
    ));
    assert!(!contains(&scratch.whole_store(), secret.as_bytes()));
}

#[test]
fn a_rotation_overlaps_and_ends() {
    let scratch = Scratch::new();
    let broker = &scratch.broker;
    let first = broker.client_add(&name("shop"), &service("shop"), &actor()).unwrap();
    let hour = Duration::from_secs(3600);
    let second = broker.client_rotate(&name("shop"), hour, &actor()).unwrap();
    let good = |secret: &str| broker.authenticate("shop", secret).unwrap().is_some();
    assert!(good(&first) && good(&second));
    assert!(broker.clients().unwrap()[0].old_until.is_some());
    scratch.clock.advance(hour);
    assert!(!good(&first) && good(&second));
    let third = broker.client_rotate(&name("shop"), Duration::ZERO, &actor()).unwrap();
    assert!(!good(&second) && good(&third), "no overlap where none is wanted");
    for _ in 0..10 {
        broker.client_rotate(&name("shop"), hour, &actor()).unwrap();
    }
    assert!(!good(&third), "few are good at once");
    assert!(matches!(
        broker.client_rotate(&name("web"), hour, &actor()),
        Err(BrokerError::NoClient(_))
    ));
}

#[test]
fn a_secret_that_was_shown_is_good_as_long_as_it_is_that_clients() {
    let scratch = Scratch::new();
    let broker = &scratch.broker;
    let secret = broker.client_add(&name("shop"), &service("shop"), &actor()).unwrap();
    assert!(broker.shown("shop", "another").unwrap().is_none());
    let shown = broker.shown("shop", &secret).unwrap().unwrap();
    assert_eq!((&shown.client, &shown.identity), (&name("shop"), &service("shop")));
    assert_eq!(format!("{shown:?}"), "ShownSecret { client: ClientName(\"shop\"), .. }");
    let changes = broker.client_changes(&name("shop")).unwrap();
    assert!(broker.is_good(&shown).unwrap());
    // Rotated, it is good until its end.
    let hour = Duration::from_secs(3600);
    let second = broker.client_rotate(&name("shop"), hour, &actor()).unwrap();
    assert!(changes.try_next().is_some() && broker.is_good(&shown).unwrap());
    scratch.clock.advance(hour);
    assert!(!broker.is_good(&shown).unwrap());
    // Removed, and added anew.
    let shown = broker.shown("shop", &second).unwrap().unwrap();
    broker.client_remove(&name("shop"), &actor()).unwrap();
    assert!(changes.try_next().is_some() && !broker.is_good(&shown).unwrap());
    broker.client_add(&name("shop"), &service("shop"), &actor()).unwrap();
    assert!(!broker.is_good(&shown).unwrap());
}

#[test]
fn a_removed_client_has_neither_secret_nor_tokens() {
    let scratch = Scratch::new();
    let broker = &scratch.broker;
    let secret = broker.client_add(&name("shop"), &service("shop"), &actor()).unwrap();
    let with = Order { client: Some(name("shop")), ..order("shop", "orders") };
    let token = broker.issue(&with, &actor()).unwrap();
    let by_certificate = scratch.issue("shop", "orders");
    broker.client_remove(&name("shop"), &actor()).unwrap();
    assert!(broker.authenticate("shop", &secret).unwrap().is_none());
    let late = broker.issue(&with, &actor());
    assert!(matches!(late, Err(BrokerError::NoClient(_))), "it was authenticated before: {late:?}");
    assert!(broker.introspect(&token.token).unwrap().is_none());
    assert!(broker.introspect(&by_certificate.token).unwrap().is_some());
    assert!(broker.clients().unwrap().is_empty());
    assert!(matches!(broker.client_remove(&name("shop"), &actor()), Err(BrokerError::NoClient(_))));
}

#[test]
fn a_client_goes_in_one_commit_with_its_tokens() {
    let scratch = Scratch::new();
    let version =
        |key: &str| scratch.broker.store().get(key.as_bytes()).unwrap().map(|entry| entry.version);
    let [first, second] = ["web", "shop"].map(|client| {
        scratch.broker.client_add(&name(client), &service(client), &actor()).unwrap();
        version(&format!("traffic/client/{client}")).unwrap()
    });
    let of_one_commit = second - first;
    scratch.broker.client_remove(&name("shop"), &actor()).unwrap();
    assert_eq!(version("traffic/client/shop"), None);
    assert_eq!(version("traffic/revocations"), Some(second + of_one_commit));
}

#[test]
fn no_token_of_a_removed_client_is_younger_than_its_end() {
    for _ in 0..20 {
        let scratch = Scratch::new();
        let broker = &scratch.broker;
        broker.client_add(&name("shop"), &service("shop"), &actor()).unwrap();
        let with = Order { client: Some(name("shop")), ..order("shop", "orders") };
        let tokens = std::thread::scope(|scope| {
            let clients = [0; 3].map(|_| {
                scope.spawn(|| {
                    let mut tokens = Vec::new();
                    while let Ok(token) = broker.issue(&with, &actor()) {
                        tokens.push(token);
                        scratch.clock.advance(Duration::from_secs(1));
                    }
                    tokens
                })
            });
            broker.client_remove(&name("shop"), &actor()).unwrap();
            clients.map(|client| client.join().unwrap())
        });
        for token in tokens.iter().flatten() {
            assert!(broker.introspect(&token.token).unwrap().is_none());
        }
    }
}

#[test]
fn each_kind_of_revocation_is_about_its_tokens_and_not_about_later_ones() {
    let scratch = Scratch::new();
    let broker = &scratch.broker;
    let alive = |token: &Issued| broker.introspect(&token.token).unwrap().is_some();
    let (one, two, other) = (
        scratch.issue("shop", "orders"),
        scratch.issue("shop", "orders"),
        scratch.issue("web", "orders"),
    );
    broker.revoke(&Revoked::Token(one.id.clone()), &actor()).unwrap();
    assert!(!alive(&one) && alive(&two) && alive(&other));
    broker.revoke(&Revoked::Identity(service("shop")), &actor()).unwrap();
    assert!(!alive(&two) && alive(&other));
    broker.revoke(&Revoked::Before, &actor()).unwrap();
    assert!(!alive(&other));
    scratch.clock.advance(Duration::from_secs(1));
    assert!(alive(&scratch.issue("shop", "orders")));
    let numbers = |after| {
        let all = broker.revocations(after).unwrap();
        all.iter().map(|entry| entry.revocation.number).collect::<Vec<_>>()
    };
    assert_eq!((numbers(0), numbers(2), numbers(3)), (vec![1, 2, 3], vec![3], vec![]));
    scratch.clock.advance(LONGEST * 2);
    assert_eq!((numbers(0), broker.revocation_log().unwrap().1), (vec![], 3));
    assert_eq!(broker.revoke(&Revoked::Before, &actor()).unwrap().number, 4, "no number twice");
}

#[test]
fn what_was_issued_before_a_time_is_revoked_and_nothing_else() {
    let scratch = Scratch::new();
    let broker = &scratch.broker;
    let alive = |token: &Issued| broker.introspect(&token.token).unwrap().is_some();
    let each_ten_seconds = || {
        let token = (scratch.clock.now(), scratch.issue("shop", "orders"));
        scratch.clock.advance(Duration::from_secs(10));
        token
    };
    let tokens = [each_ten_seconds(), each_ten_seconds(), each_ten_seconds()];
    let web = scratch.issue("web", "orders");
    let [(_, first), (second_at, second), (_, third)] = &tokens;
    let before = |what: &Revoked, time| broker.revoke_before(what, Some(time), &actor()).unwrap();
    before(&Revoked::Identity(service("web")), *second_at);
    assert!(alive(first) && alive(&web), "it was issued later, and the others are others'");
    before(&Revoked::Before, *second_at);
    assert!(!alive(first) && alive(second) && alive(third) && alive(&web));
    // A token knows no more than the second, so all of that counts.
    before(&Revoked::Identity(service("shop")), second_at.plus(Duration::from_millis(1)));
    assert!(!alive(second) && alive(third) && alive(&web));
    // However late the time is, what comes after the revocation is not meant.
    let last = before(&Revoked::Before, scratch.clock.now().plus(Duration::from_secs(SKEW)));
    assert!(!alive(third) && !alive(&web));
    assert_eq!(last.issued_until, seconds(scratch.clock.now()));
    scratch.clock.advance(Duration::from_secs(1));
    assert!(alive(&scratch.issue("shop", "orders")));
    // One of long ago is an entry like the others: the list goes on.
    before(&Revoked::Before, Timestamp::from_secs(0));
    let (all, number, hash) = broker.revocation_log().unwrap();
    assert_eq!((all.len(), number), (5, 5));
    assert_eq!(EntryHash::of(&all[4].signed), hash);
    let told: crate::gatekeeper::Revocations = all.iter().map(|entry| &entry.revocation).collect();
    let claims = |token: &Issued| {
        token::inspect(
            &token.token,
            &broker.key_set(),
            &Expected {
                issuer: ISSUER,
                audience: "",
                now: seconds(scratch.clock.now()),
                skew: SKEW,
                longest: LONGEST.as_secs(),
                certificate: None,
            },
        )
    };
    assert!(tokens.iter().all(|(_, token)| told.cover(&claims(token).unwrap())));
    assert!(!told.cover(&claims(&scratch.issue("shop", "orders")).unwrap()));
}

#[test]
fn revocations_at_once_have_numbers_without_gaps() {
    let scratch = Scratch::new();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..8 {
                    let what = Revoked::Identity(service("shop"));
                    while let Err(error) = scratch.broker.revoke(&what, &actor()) {
                        assert!(matches!(error, BrokerError::Busy), "{error}");
                    }
                }
            });
        }
    });
    let all = scratch.broker.revocations(0).unwrap();
    let numbers: Vec<u64> = all.iter().map(|entry| entry.revocation.number).collect();
    assert_eq!(numbers, (1..=32).collect::<Vec<_>>());
    let mut hash = EntryHash::START;
    for logged in &all {
        let entry = Entry::open(&logged.signed, &scratch.broker.key_set()).unwrap();
        assert_eq!((entry.previous, &entry.revocation), (hash, &logged.revocation));
        hash = EntryHash::of(&logged.signed);
    }
    assert_eq!(scratch.broker.revocation_log().unwrap().2, hash);
}

#[test]
fn every_issue_and_change_is_an_event_and_none_shows_a_secret() {
    let scratch = Scratch::new();
    let broker = &scratch.broker;
    let secret = broker.client_add(&name("shop"), &service("shop"), &actor()).unwrap();
    let token = scratch.issue("shop", "orders");
    broker.revoke(&Revoked::Token(token.id.clone()), &actor()).unwrap();
    broker.rotate_key(&actor()).unwrap();
    broker.client_remove(&name("shop"), &actor()).unwrap();
    let records = scratch.journal.tail(0, 100).unwrap();
    let text = serde_json::to_string(&records).unwrap();
    for event in
        ["token-issued", "token-revoked", "token-key-made", "client-added", "client-removed"]
    {
        assert!(text.contains(event), "{event}");
    }
    assert!(!text.contains(token.token.as_str()) && !text.contains(secret.as_str()));
    assert!(!format!("{token:?} {broker:?}").contains(token.token.as_str()));
}

#[test]
fn the_list_goes_on_after_a_restart_and_after_it_has_emptied() {
    let scratch = Scratch::new();
    let revoke =
        |scratch: &Scratch| scratch.broker.revoke(&Revoked::Before, &actor()).unwrap().number;
    assert_eq!((revoke(&scratch), revoke(&scratch)), (1, 2));
    let (_, _, hash) = scratch.broker.revocation_log().unwrap();
    let scratch = scratch.reopen();
    assert_eq!(scratch.broker.revocation_log().unwrap().2, hash);
    scratch.clock.advance(LONGEST * 2);
    let (all, number, still) = scratch.broker.revocation_log().unwrap();
    assert_eq!(
        (all.len(), number, still),
        (0, 2, hash),
        "what is over is not forgotten to have been"
    );
    assert_eq!(revoke(&scratch), 3);
    let third = scratch.broker.revocations(2).unwrap().remove(0);
    let entry = Entry::open(&third.signed, &scratch.broker.key_set()).unwrap();
    assert_eq!((entry.previous, entry.log.as_str()), (hash, ISSUER));
    let keys = scratch.broker.key_set();
    let hash = EntryHash::of(&third.signed);
    let head = scratch.broker.revocation_head(3, hash, 3, &keys.to_json(), "[]").unwrap();
    let opened = Head::open(&head, &keys).unwrap();
    assert_eq!(opened.at, seconds(scratch.clock.now()));
    assert_eq!(opened.keys, EntryHash::of(&keys.to_json()));
    assert_eq!(opened.cas, EntryHash::of("[]"));
    // None of these is another, or a token.
    assert!(Head::open(&third.signed, &keys).is_err() && Entry::open(&head, &keys).is_err());
    assert!(scratch.broker.introspect(&head).unwrap().is_none());
    let token = scratch.issue("shop", "orders");
    assert!(Entry::open(&token.token, &keys).is_err());
}

#[test]
fn a_clock_that_was_set_back_leaves_no_gap_in_the_list() {
    let scratch = Scratch::new();
    scratch.broker.revoke(&Revoked::Token("a".into()), &actor()).unwrap();
    scratch.clock.set(Timestamp::from_secs(1_700_000_000 - 120));
    scratch.broker.revoke(&Revoked::Token("b".into()), &actor()).unwrap();
    for second in 0..600 {
        let (all, number, hash) = scratch.broker.revocation_log().unwrap();
        assert_eq!(number, 2, "after {second} s");
        assert!(all.last().is_none_or(|last| EntryHash::of(&last.signed) == hash));
        scratch.clock.advance(Duration::from_secs(1));
    }
    assert!(scratch.broker.revocations(0).unwrap().is_empty());
}

#[test]
fn what_an_earlier_version_has_left_is_signed() {
    let scratch = Scratch::new();
    let place = |number: u64| format!("traffic/revoked/{number:020}");
    let until = seconds(scratch.clock.now());
    let row = |number: u64| {
        format!(
            r#"{{"number":{number},"issued_until":{until},"what":"identity","subject":"{}"}}"#,
            service("shop")
        )
    };
    let token = scratch.issue("shop", "orders");
    let transaction = Transaction::new()
        .with(sealock_store::Operation::put(place(6), row(6)))
        .with(sealock_store::Operation::put(place(7), row(7)))
        .with(sealock_store::Operation::put("traffic/revocations", "7"));
    scratch.journal.commit_blocking(Change { transaction, events: Vec::new() }).unwrap();
    let scratch = scratch.reopen();
    let (all, number, _) = scratch.broker.revocation_log().unwrap();
    assert_eq!((all.len(), number), (2, 7));
    for logged in &all {
        Entry::open(&logged.signed, &scratch.broker.key_set()).unwrap();
    }
    assert!(scratch.broker.introspect(&token.token).unwrap().is_none());
    assert_eq!(scratch.broker.revoke(&Revoked::Before, &actor()).unwrap().number, 8);
    let scratch = scratch.reopen();
    assert_eq!(scratch.broker.revocation_log().unwrap().1, 8);
}
