mod attested;
mod clock;
mod room;

use std::sync::Arc;
use std::time::Duration;

use sealock_core::audit::Actor;
use sealock_core::{Clock, Identity, ManualClock, Timestamp};
use sealock_store::{Journal, Keyring, NewProtection, SqliteStore, Store};
use tempfile::TempDir;

use super::*;
use crate::ari::CertificateId;
use crate::challenge::ChallengeType;
use crate::identifier::Identifier;
use crate::jwk::{Algorithm, Jwk};
use crate::problem::{AcmeProblem, ErrorKind};
use crate::testing::SigningKey;
use crate::wire::{AccountStatus, ChallengeStatus, OrderStatus};

struct Scratch {
    acme: Acme,
    clock: Arc<ManualClock>,
    journal: Arc<Journal>,
    folder: TempDir,
}

impl Scratch {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keyring = Keyring::create(&folder.path().join("keys"), &NewProtection::File).unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_700_000_000)));
        let shared: Arc<dyn Clock> = Arc::clone(&clock) as Arc<dyn Clock>;
        let store =
            SqliteStore::open(&folder.path().join("state.db"), Arc::clone(&shared)).unwrap();
        let journal = Journal::open(Arc::new(store) as Arc<dyn Store>, shared).unwrap();
        let acme = Acme::new(Arc::clone(&journal), Arc::new(keyring));
        Self { acme, clock, journal, folder }
    }

    fn account(&self) -> Account {
        self.account_of(key(), None)
    }

    fn account_of(&self, key: Jwk, binding: Option<&str>) -> Account {
        let new = NewAccount { key, contacts: Vec::new(), binding: binding.map(str::to_owned) };
        self.acme.account_make(&new, |_| actor()).unwrap().0
    }

    fn order(&self, account: &Account, names: &[&str]) -> Order {
        self.acme.order_make(&account.id, &new_order(names, false)).unwrap()
    }

    fn prove(&self, account: &Account, order: &Order) {
        for id in &order.authorizations {
            let kind = self.acme.authorization(&account.id, id).unwrap().challenges[0].kind;
            self.acme.challenge_begin(&account.id, id, kind).unwrap();
            self.acme.challenge_end(&account.id, id, kind, None, &actor()).unwrap();
        }
    }

    /// As issuing does: the end of the order in one commit with the certificate.
    fn finish(&self, account: &Account, order: &Order, serial: &str) -> Result<bool, StateError> {
        let finishing = self.acme.order_finishing(&account.id, &order.id)?;
        let ends = self.clock.now().plus(Duration::from_secs(86_400));
        let transaction = finishing.with(&Certificate { serial, ends, csr: "csr" })?;
        self.acme.commit(transaction, Vec::new())
    }
}

fn key() -> Jwk {
    SigningKey::generate(Algorithm::Es256).jwk
}

fn actor() -> Actor {
    Actor::daemon("test")
}

fn dns(name: &str) -> Identifier {
    Identifier::read("dns", name).unwrap()
}

fn new_order(names: &[&str], vouched: bool) -> NewOrder {
    NewOrder {
        wanted: names.iter().map(|name| Wanted { identifier: dns(name), vouched }).collect(),
        validity: (None, None),
        profile: "server".to_owned(),
        replaces: None,
    }
}

fn identity() -> Identity {
    "spiffe://t.sealock/service/shop".parse().unwrap()
}

#[test]
fn a_key_has_one_account_however_many_ask_at_once() {
    let scratch = Scratch::new();
    let key = key();
    let new = NewAccount { key: key.clone(), contacts: Vec::new(), binding: None };
    let made: Vec<(Account, bool)> = std::thread::scope(|scope| {
        let ask = || scope.spawn(|| scratch.acme.account_make(&new, |_| actor()).unwrap());
        let all: Vec<_> = (0..8).map(|_| ask()).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(made.iter().filter(|(_, is_new)| *is_new).count(), 1);
    assert!(made.iter().all(|(account, _)| account.id == made[0].0.id));
    assert_eq!(scratch.acme.account_of_key(&key).unwrap().unwrap().id, made[0].0.id);
}

#[test]
fn an_account_that_ended_orders_nothing_and_changes_nothing() {
    let scratch = Scratch::new();
    let account = scratch.account();
    let ready = scratch.order(&account, &["a.example"]);
    scratch.prove(&account, &ready);
    scratch.acme.account_end(&account.id, AccountStatus::Deactivated, &actor()).unwrap();
    let is_status = |error: StateError| matches!(error, StateError::Status(_));
    let new = new_order(&["b.example"], false);
    assert!(is_status(scratch.acme.order_make(&account.id, &new).unwrap_err()));
    assert!(is_status(scratch.finish(&account, &ready, "01").unwrap_err()));
    assert!(is_status(scratch.acme.account_contacts(&account.id, &[]).unwrap_err()));
    assert!(is_status(
        scratch.acme.account_key(&account.id, &account.key, &key(), &actor()).unwrap_err()
    ));
    // The key stays its: nobody makes another account with it.
    let found = scratch.account_of(account.key.clone(), None);
    assert_eq!((found.id, found.status), (account.id, AccountStatus::Deactivated));
}

#[test]
fn a_key_is_changed_once_and_the_old_one_is_nobodys() {
    let scratch = Scratch::new();
    let (one, other) = (scratch.account(), scratch.account());
    let new = key();
    let taken = scratch.acme.account_key(&one.id, &one.key, &other.key, &actor());
    assert!(matches!(taken.unwrap_err(), StateError::KeyTaken(id) if id == other.id));
    let changed = scratch.acme.account_key(&one.id, &one.key, &new, &actor()).unwrap();
    assert_eq!((&changed.id, &changed.key), (&one.id, &new));
    assert_eq!(scratch.acme.account_of_key(&one.key).unwrap(), None);
    let again = scratch.acme.account_key(&one.id, &one.key, &key(), &actor());
    assert!(matches!(again.unwrap_err(), StateError::Status(_)));
}

#[test]
fn accounts_that_were_never_used_are_forgotten_and_others_are_kept() {
    let scratch = Scratch::new();
    let (unused, used) = (scratch.account(), scratch.account());
    let order = scratch.order(&used, &["a.example"]);
    scratch.prove(&used, &order);
    assert!(scratch.finish(&used, &order, "01").unwrap());
    let name: BindingName = "shop".parse().unwrap();
    scratch.acme.binding_make(&name, &identity(), None, false, &actor()).unwrap();
    let bound = scratch.account_of(key(), Some("shop"));
    scratch.clock.advance(Duration::from_secs(8 * 86_400));
    assert!(matches!(scratch.acme.account(&unused.id), Err(StateError::Unknown(_))));
    assert_eq!(scratch.acme.account_of_key(&unused.key).unwrap(), None);
    for kept in [&used, &bound] {
        assert_eq!(scratch.acme.account(&kept.id).unwrap().status, AccountStatus::Valid);
        assert!(scratch.acme.account_of_key(&kept.key).unwrap().is_some());
    }
}

#[test]
fn strangers_make_so_many_accounts_and_no_more() {
    let scratch = Scratch::new();
    let week = Some(scratch.clock.now().plus(Duration::from_secs(7 * 86_400)));
    let one = |number: u32| put(&format!("acme/unused/{number:022}"), &(), week).unwrap();
    let all = Transaction { operations: (0..10_000).map(one).collect(), ..Transaction::new() };
    assert!(scratch.acme.commit(all, Vec::new()).unwrap());
    let make = |scratch: &Scratch| {
        let new = NewAccount { key: key(), contacts: Vec::new(), binding: None };
        scratch.acme.account_make(&new, |_| actor()).map(|_| ())
    };
    assert!(matches!(make(&scratch), Err(StateError::TooMany(_))));
    let name: BindingName = "shop".parse().unwrap();
    scratch.acme.binding_make(&name, &identity(), None, false, &actor()).unwrap();
    scratch.account_of(key(), Some("shop"));
    scratch.clock.advance(Duration::from_secs(7 * 86_400 + 1));
    make(&scratch).unwrap();
}

#[test]
fn a_binding_vouches_once_and_its_key_is_nowhere_in_the_clear() {
    let scratch = Scratch::new();
    let name: BindingName = "shop".parse().unwrap();
    let until = Some(scratch.clock.now().plus(Duration::from_secs(3600)));
    let made = scratch.acme.binding_make(&name, &identity(), until, false, &actor()).unwrap();
    assert_eq!(scratch.acme.binding_key("shop").unwrap().expose(), made.expose());
    let again = scratch.acme.binding_make(&name, &identity(), until, false, &actor());
    assert!(matches!(again.unwrap_err(), StateError::BindingExists));
    let account = scratch.account_of(key(), Some("shop"));
    assert_eq!(account.identity, Some(identity()));
    let is_gone = |scratch: &Scratch| {
        let new = NewAccount { key: key(), contacts: Vec::new(), binding: Some("shop".to_owned()) };
        let made = scratch.acme.account_make(&new, |_| actor());
        matches!(made.unwrap_err(), StateError::Unknown(_))
            && matches!(scratch.acme.binding_key("shop"), Err(StateError::Unknown(_)))
    };
    assert!(is_gone(&scratch), "used up");
    assert_eq!(scratch.acme.bindings().unwrap()[0].account, Some(account.id));
    scratch.acme.binding_remove(&name, &actor()).unwrap();
    scratch.acme.binding_make(&name, &identity(), until, true, &actor()).unwrap();
    assert_ne!(
        scratch.account_of(key(), Some("shop")).id,
        scratch.account_of(key(), Some("shop")).id
    );
    scratch.clock.advance(Duration::from_secs(3601));
    assert!(is_gone(&scratch), "over");
    scratch.journal.checkpoint().ok();
    let shows =
        [made.expose().to_vec(), data_encoding::BASE64URL_NOPAD.encode(made.expose()).into()];
    for entry in std::fs::read_dir(scratch.folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = if path.is_file() { std::fs::read(path).unwrap() } else { Vec::new() };
        for key in &shows {
            assert!(!bytes.windows(key.len()).any(|window| window == key), "in the clear");
        }
    }
}

#[test]
fn an_order_comes_to_what_its_authorizations_come_to() {
    let scratch = Scratch::new();
    let account = scratch.account();
    let order = scratch.order(&account, &["a.example", "*.a.example"]);
    assert_eq!(order.status, OrderStatus::Pending);
    let kinds = |index: usize| -> Vec<ChallengeType> {
        let id = &order.authorizations[index];
        let found = scratch.acme.authorization(&account.id, id).unwrap();
        found.challenges.iter().map(|it| it.kind).collect()
    };
    assert_eq!(kinds(0).len(), 3);
    assert_eq!(kinds(1), [ChallengeType::Dns01], "below a name is only what the DNS says");
    assert!(matches!(scratch.finish(&account, &order, "01"), Err(StateError::Status(_))));
    scratch.prove(&account, &order);
    let status = |order: &Order| scratch.acme.order(&account.id, &order.id).unwrap().status;
    assert_eq!(status(&order), OrderStatus::Ready);
    assert!(scratch.finish(&account, &order, "01").unwrap());
    let done = scratch.acme.order(&account.id, &order.id).unwrap();
    assert_eq!((done.status, done.certificate.as_deref()), (OrderStatus::Valid, Some("01")));
    assert!(matches!(scratch.finish(&account, &order, "02"), Err(StateError::Status(_))));
    let owned = scratch.acme.certificate("01").unwrap().unwrap();
    assert_eq!((owned.account, owned.identifiers.len()), (account.id.clone(), 2));

    // What was proved is proved for the next order, and only for this account.
    assert_eq!(scratch.order(&account, &["a.example"]).status, OrderStatus::Ready);
    assert_eq!(scratch.order(&account, &["b.a.example"]).status, OrderStatus::Pending);
    assert_eq!(scratch.order(&scratch.account(), &["a.example"]).status, OrderStatus::Pending);
    scratch.clock.advance(PROVED);
    assert_eq!(scratch.order(&account, &["a.example"]).status, OrderStatus::Pending);

    // One that failed takes its order along; one that was given up too.
    let fails = scratch.order(&account, &["c.example", "d.example"]);
    let id = &fails.authorizations[0];
    let http = ChallengeType::Http01;
    scratch.acme.challenge_begin(&account.id, id, http).unwrap();
    let why = AcmeProblem::new(ErrorKind::Connection, "nobody is there");
    scratch.acme.challenge_end(&account.id, id, http, Some(why.clone()), &actor()).unwrap();
    assert_eq!(status(&fails), OrderStatus::Invalid);
    let found = scratch.acme.authorization(&account.id, id).unwrap();
    let failed = found.challenges.iter().find(|it| it.kind == http).unwrap();
    assert_eq!((failed.status, failed.error.as_ref()), (ChallengeStatus::Invalid, Some(&why)));
    // It is not met afterwards.
    scratch.acme.challenge_end(&account.id, id, http, None, &actor()).unwrap();
    assert_eq!(status(&fails), OrderStatus::Invalid);
    let given_up = scratch.order(&account, &["e.example"]);
    scratch.acme.authorization_deactivate(&account.id, &given_up.authorizations[0]).unwrap();
    assert_eq!(status(&given_up), OrderStatus::Invalid);
    // Nor does one that nobody has answered last for ever.
    let open = scratch.order(&account, &["f.example"]);
    scratch.clock.advance(OPEN);
    assert!(matches!(
        scratch.acme.order(&account.id, &open.id).map(|it| it.status),
        Err(StateError::Unknown(_)) | Ok(OrderStatus::Invalid)
    ));
}

#[test]
fn what_need_not_be_proved_is_asked_anew_for_each_order() {
    let scratch = Scratch::new();
    let account = scratch.account();
    let vouched = scratch.acme.order_make(&account.id, &new_order(&["a.example"], true)).unwrap();
    assert_eq!(vouched.status, OrderStatus::Ready);
    // The rule that vouched is gone.
    assert_eq!(scratch.order(&account, &["a.example"]).status, OrderStatus::Pending);
}

#[test]
fn nobody_sees_or_changes_what_is_anothers() {
    let scratch = Scratch::new();
    let (owner, other) = (scratch.account(), scratch.account());
    let order = scratch.order(&owner, &["a.example"]);
    let id = &order.authorizations[0];
    let unknown = |error: StateError| matches!(error, StateError::Unknown(_));
    assert!(unknown(scratch.acme.order(&other.id, &order.id).unwrap_err()));
    assert!(unknown(scratch.acme.authorization(&other.id, id).unwrap_err()));
    let http = ChallengeType::Http01;
    assert!(unknown(scratch.acme.challenge_begin(&other.id, id, http).unwrap_err()));
    assert!(unknown(scratch.acme.authorization_deactivate(&other.id, id).unwrap_err()));
    assert!(unknown(scratch.acme.order_finishing(&other.id, &order.id).unwrap_err()));
    assert_eq!(scratch.acme.orders(&other.id, None).unwrap(), (Vec::new(), false));
}

/// smallstep/certificates#341: there the list of an account's orders was one entry, and orders at once lost one another.
#[test]
fn of_many_orders_at_once_none_is_lost_and_each_has_one_certificate() {
    let scratch = Scratch::new();
    let account = scratch.account();
    let (threads, each) = (8, 60);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (scratch, account) = (&scratch, &account);
            scope.spawn(move || {
                for number in 0..each {
                    let order = scratch.order(account, &[&format!("n{number}.t{thread}.example")]);
                    scratch.prove(account, &order);
                    // The first end of an order makes the account a kept one, which others may do at the same time.
                    while !scratch
                        .finish(account, &order, &format!("{thread:02}{number:04}"))
                        .unwrap()
                    {}
                }
            });
        }
    });
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let (page, is_more) = scratch.acme.orders(&account.id, after.as_ref()).unwrap();
        after = page.last().cloned();
        all.extend(page);
        if !is_more {
            break;
        }
    }
    assert_eq!(all.len(), threads * each);
    let mut serials: Vec<String> = all
        .iter()
        .map(|id| scratch.acme.order(&account.id, id).unwrap().certificate.unwrap())
        .collect();
    serials.sort();
    serials.dedup();
    assert_eq!(serials.len(), threads * each);
}

#[test]
fn of_those_who_end_one_order_at_once_one_has_the_certificate() {
    let scratch = Scratch::new();
    let account = scratch.account();
    let order = scratch.order(&account, &["a.example"]);
    scratch.prove(&account, &order);
    let won: usize = std::thread::scope(|scope| {
        let all: Vec<_> = (0..8)
            .map(|n| {
                let (scratch, account, order) = (&scratch, &account, &order);
                scope.spawn(move || {
                    usize::from(scratch.finish(account, order, &format!("0{n}")).unwrap_or(false))
                })
            })
            .collect();
        all.into_iter().map(|one| one.join().unwrap()).sum()
    });
    assert_eq!(won, 1);
}

#[test]
fn a_certificate_is_replaced_once() {
    let scratch = Scratch::new();
    let account = scratch.account();
    let first = scratch.order(&account, &["a.example"]);
    scratch.prove(&account, &first);
    assert!(scratch.finish(&account, &first, "01").unwrap());
    assert!(!scratch.acme.is_replaced("01").unwrap());
    let ends = scratch.clock.now().plus(Duration::from_secs(86_400));
    let id = CertificateId::new(&[7; 20], &[1]).unwrap();
    let replaces = Some(Replaces { id: id.clone(), serial: "01".to_owned(), ends });
    let new = NewOrder { replaces, ..new_order(&["a.example"], false) };
    let second = scratch.acme.order_make(&account.id, &new).unwrap();
    assert_eq!(second.replaces, Some(id), "said back as it was named");
    assert!(!scratch.acme.is_replaced("01").unwrap(), "an order alone replaces nothing");
    assert!(scratch.finish(&account, &second, "02").unwrap());
    assert!(scratch.acme.is_replaced("01").unwrap());
}

#[test]
fn what_is_over_is_swept() {
    let scratch = Scratch::new();
    let account = scratch.account();
    let count = || {
        let all = sealock_store::KeyRange::prefix(b"acme/");
        scratch.journal.store().range(&all, 10_000).unwrap().len()
    };
    let order = scratch.order(&account, &["a.example"]);
    scratch.prove(&account, &order);
    assert!(scratch.finish(&account, &order, "01").unwrap());
    scratch.order(&account, &["b.example"]);
    assert!(count() > 6);
    scratch.clock.advance(Duration::from_secs(30 * 86_400));
    scratch.journal.store().sweep().unwrap();
    // The account and its key.
    assert_eq!(count(), 2);
}

#[test]
fn an_id_is_one_that_was_given_out_or_none() {
    for text in
        ["", "a", "../x", &"A".repeat(23), "AAAAAAAAAAAAAAAAAAAAA=", "AAAAAAAAAAAAAAAAAAAAAB"]
    {
        assert!(text.parse::<Id>().is_err(), "{text}");
    }
    let id = Id::new().unwrap();
    assert_eq!(id.to_string().parse::<Id>().unwrap(), id);
}
