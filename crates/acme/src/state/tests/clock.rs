//! A clock that is set, back and forward.

use super::*;

const YEAR: Duration = Duration::from_secs(365 * 86_400);

#[test]
fn what_was_proved_in_the_future_is_not_proved() {
    let scratch = Scratch::new();
    let now = scratch.clock.now();
    scratch.clock.set(now.plus(YEAR));
    let account = scratch.account();
    let order = |name: &str| scratch.order(&account, &[name]);
    let status = |of: &Order| scratch.acme.order(&account.id, &of.id).unwrap().status;
    let name = sealock_core::SubjectName::dns("a.example").unwrap();
    let (proved, pending) = (order("a.example"), order("b.example"));
    scratch.prove(&account, &proved);
    assert_eq!((status(&proved), status(&pending)), (OrderStatus::Ready, OrderStatus::Pending));
    // A little is no fault: nobody has to begin anew because of it.
    scratch.clock.set(now.plus(YEAR).minus(Duration::from_secs(300)));
    assert_eq!((status(&proved), status(&pending)), (OrderStatus::Ready, OrderStatus::Pending));
    assert_eq!(order("a.example").status, OrderStatus::Ready);
    scratch.clock.set(now);
    assert_eq!((status(&proved), status(&pending)), (OrderStatus::Invalid, OrderStatus::Invalid));
    let shown = scratch.acme.authorization(&account.id, &proved.authorizations[0]).unwrap();
    assert_eq!(shown.status, crate::wire::AuthorizationStatus::Expired);
    assert!(!scratch.acme.has_proved(&account.id, &name).unwrap());
    assert!(scratch.finish(&account, &proved, "01").is_err());
    // It is proved anew, and counts for its time by the clock that is right.
    let again = order("a.example");
    assert_eq!(again.status, OrderStatus::Pending);
    scratch.prove(&account, &again);
    assert_eq!(order("a.example").status, OrderStatus::Ready);
    assert!(scratch.finish(&account, &again, "01").unwrap());
    scratch.clock.advance(PROVED);
    assert_eq!(order("a.example").status, OrderStatus::Pending);
}

#[test]
fn a_jump_ends_what_is_open_and_nothing_comes_back_longer_than_it_lives() {
    let scratch = Scratch::new();
    let account = scratch.account();
    let now = scratch.clock.now();
    let order = scratch.order(&account, &["a.example"]);
    scratch.prove(&account, &order);
    let status = || scratch.acme.order(&account.id, &order.id).map(|it| it.status).ok();
    scratch.clock.set(now.plus(YEAR));
    assert!(status().is_none_or(|it| it == OrderStatus::Invalid));
    // Nothing was swept: it is as it was, and ends when it would have.
    scratch.clock.set(now.plus(Duration::from_secs(3600)));
    assert_eq!(status(), Some(OrderStatus::Ready));
    scratch.clock.set(now.plus(PROVED));
    assert_eq!(status(), Some(OrderStatus::Invalid));
}

#[test]
fn accounts_and_bindings_of_the_future_take_no_room_and_vouch_for_nobody() {
    let scratch = Scratch::new();
    let now = scratch.clock.now();
    let make = || {
        let new = NewAccount { key: key(), contacts: Vec::new(), binding: None };
        scratch.acme.account_make(&new, |_| actor()).map(|_| ())
    };
    scratch.clock.set(now.plus(YEAR));
    let until = scratch.clock.now().plus(Duration::from_secs(7 * 86_400));
    let value = Some(until.as_millis());
    let one = |number: u32| put(&format!("acme/unused/{number:022}"), &value, Some(until)).unwrap();
    let all = Transaction { operations: (0..10_000).map(one).collect(), ..Transaction::new() };
    assert!(scratch.acme.commit(all, Vec::new()).unwrap());
    let name: BindingName = "shop".parse().unwrap();
    let week = Some(scratch.clock.now().plus(Duration::from_secs(7 * 86_400)));
    scratch.acme.binding_make(&name, &identity(), week, true, &actor()).unwrap();
    assert!(matches!(make(), Err(StateError::TooMany(_))), "counted");
    // What was counted is not believed until the clock comes there again.
    scratch.clock.set(now);
    make().unwrap();
    assert!(matches!(scratch.acme.binding_key("shop"), Err(StateError::Unknown(_))));
}

#[test]
fn open_orders_of_the_future_take_no_room() {
    let scratch = Scratch::new();
    let now = scratch.clock.now();
    scratch.clock.set(now.plus(YEAR));
    let account = scratch.account();
    super::room::fill(&scratch, "strangers", &account.id, 5_000);
    let make = || scratch.acme.order_make(&account.id, &new_order(&["a.example"], false));
    assert!(matches!(make(), Err(StateError::NoRoom(_))));
    scratch.clock.set(now);
    make().unwrap();
}

/// They know no time: they are good as long as there are not too many newer ones.
#[test]
fn nonces_do_not_look_at_the_clock() {
    let nonces = crate::nonce::Nonces::new().unwrap();
    let nonce = nonces.fresh();
    let scratch = Scratch::new();
    scratch.clock.set(scratch.clock.now().minus(YEAR));
    assert!(nonces.redeem(&nonce).is_ok());
    assert!(nonces.redeem(&nonce).is_err());
}
