//! Bindings of containers, and the accounts that are made with them.

use sealock_store::{Change, Transaction};

use super::*;
use crate::state::binding::MOST_ATTESTED;

/// A container, as the engine has its id.
const CONTAINER: &str = "4f5e6d7c8b9a0123456789abcdef0123456789abcdef0123456789abcdef0123";

#[test]
fn a_containers_binding_makes_one_account_that_is_the_containers() {
    let scratch = Scratch::new();
    let attest = |id: &str| scratch.acme.binding_attest(&identity(), id, &actor());
    let (binding, key) = attest(CONTAINER).unwrap();
    assert!(binding.name.as_str().starts_with("container-4f5e6d7c"), "{}", binding.name);
    let until = scratch.clock.now().plus(ATTESTED);
    assert_eq!((binding.until, binding.reusable), (Some(until), false));
    let name = binding.name.as_str();
    assert_eq!(scratch.acme.binding_key(name).unwrap().expose(), key.expose());
    let account = scratch.account_of(self::key(), Some(name));
    assert_eq!(account.identity, Some(identity()));
    assert_eq!(account.container.as_deref(), Some(CONTAINER));
    assert!(matches!(scratch.acme.binding_key(name), Err(StateError::Unknown(_))), "used");
    // Each container has so many until they are over; others have theirs.
    for _ in 1..16 {
        attest(CONTAINER).unwrap();
    }
    assert!(matches!(attest(CONTAINER), Err(StateError::TooMany(_))));
    let (unused, _) = attest(&CONTAINER.replace('4', "5")).unwrap();
    scratch.clock.advance(ATTESTED + Duration::from_secs(1));
    assert!(matches!(scratch.acme.binding_key(unused.name.as_str()), Err(StateError::Unknown(_))));
    attest(CONTAINER).unwrap();
    // What was never used is forgotten, as of others that nobody has vouched for.
    scratch.clock.advance(Duration::from_secs(8 * 86_400));
    assert!(matches!(scratch.acme.account(&account.id), Err(StateError::Unknown(_))));
    assert_eq!(scratch.acme.account_of_key(&account.key).unwrap(), None);
}

#[test]
fn a_containers_account_goes_on_with_another_container_of_the_same_identity_only() {
    let scratch = Scratch::new();
    let (second, third) = (CONTAINER.replace('4', "5"), CONTAINER.replace('4', "6"));
    let attest = |identity: &Identity, id: &str| {
        scratch.acme.binding_attest(identity, id, &actor()).unwrap().0.name
    };
    let account = scratch.account_of(key(), Some(attest(&identity(), CONTAINER).as_str()));
    let to_second = attest(&identity(), &second);
    let moved = scratch.acme.account_attest(&account.id, to_second.as_str(), &actor()).unwrap();
    assert_eq!(moved.container.as_ref(), Some(&second));
    // That binding is used up, whoever has it.
    let again = scratch.acme.account_attest(&account.id, to_second.as_str(), &actor());
    assert!(matches!(again, Err(StateError::Unknown(_))));
    let other: Identity = "spiffe://test.sealock/service/other".parse().unwrap();
    let of_other = attest(&other, &third);
    let refused = scratch.acme.account_attest(&account.id, of_other.as_str(), &actor());
    assert!(matches!(refused, Err(StateError::Status(_))));
    assert_eq!(scratch.acme.account(&account.id).unwrap().container, Some(second));
    // An administrator's word is not the engine's, nor the other way round.
    let name: BindingName = "container-mine".parse().unwrap();
    scratch.acme.binding_make(&name, &identity(), None, true, &actor()).unwrap();
    let refused = scratch.acme.account_attest(&account.id, "container-mine", &actor());
    assert!(matches!(refused, Err(StateError::Status(_))));
    let vouched = scratch.account_of(key(), Some("container-mine"));
    assert_eq!(vouched.container, None);
    let to_third = attest(&identity(), &third);
    for stranger in [scratch.account(), vouched] {
        let refused = scratch.acme.account_attest(&stranger.id, to_third.as_str(), &actor());
        assert!(matches!(refused, Err(StateError::Status(_))));
    }
    scratch.acme.account_attest(&account.id, to_third.as_str(), &actor()).unwrap();
}

#[test]
fn containers_that_are_made_anew_leave_room_for_others_and_for_persons() {
    let scratch = Scratch::new();
    let attest = |identity: &Identity, number: usize| {
        scratch.acme.binding_attest(identity, &format!("{number:064x}"), &actor())
    };
    // One service, whose container is another each time.
    let given = (0..).map(|number| attest(&identity(), number)).take_while(Result::is_ok).count();
    assert_eq!(given, 64);
    let other: Identity = "spiffe://test.sealock/service/other".parse().unwrap();
    let (binding, _) = attest(&other, 1000).unwrap();
    // Very many services.
    let store = scratch.journal.store();
    let row = store.get(format!("acme/binding/{}", binding.name).as_bytes()).unwrap().unwrap();
    let row = String::from_utf8(row.value).unwrap();
    let mut transaction = Transaction::new();
    for number in 0..MOST_ATTESTED - 65 {
        let (key, service) = (format!("acme/binding/container-x{number}"), format!("s{number}"));
        let value = row.replace("service/other", &format!("service/{service}"));
        transaction = transaction.put(key.into_bytes(), value.into_bytes());
    }
    scratch.journal.commit_blocking(Change { transaction, events: Vec::new() }).unwrap();
    let third: Identity = "spiffe://test.sealock/service/third".parse().unwrap();
    assert!(matches!(attest(&third, 2000), Err(StateError::TooMany(_))));
    // A person has room, whatever it is called.
    for name in ["shop", "container-shop"] {
        let name: BindingName = name.parse().unwrap();
        scratch.acme.binding_make(&name, &identity(), None, false, &actor()).unwrap();
    }
}
