//! How much may be open.

use super::*;

/// Entries as so many open orders of one name each leave them.
pub(super) fn fill(scratch: &Scratch, kind: &str, account: &Id, names: usize) {
    let until = scratch.clock.now().plus(OPEN);
    let one = |number: usize| {
        let place = format!("acme/open/{kind}/{account}/{number:022}");
        put(&place, &(1, until.as_millis()), Some(until)).unwrap()
    };
    for from in (0..names).step_by(10_000) {
        let operations = (from..names.min(from + 10_000)).map(one).collect();
        let some = Transaction { operations, ..Transaction::new() };
        assert!(scratch.acme.commit(some, Vec::new()).unwrap());
    }
}

fn make(scratch: &Scratch, account: &Account, names: &[&str]) -> Result<Order, StateError> {
    scratch.acme.order_make(&account.id, &new_order(names, false))
}

fn is_full(made: Result<Order, StateError>) -> bool {
    matches!(made, Err(StateError::NoRoom(_)))
}

#[test]
fn an_account_has_so_many_names_open_and_an_end_makes_room() {
    let scratch = Scratch::new();
    let (account, other) = (scratch.account(), scratch.account());
    fill(&scratch, "strangers", &account.id, 4_997);
    let last = make(&scratch, &account, &["a.example", "b.example"]).unwrap();
    assert!(is_full(make(&scratch, &account, &["c.example", "d.example"])), "names are counted");
    make(&scratch, &account, &["c.example"]).unwrap();
    assert!(is_full(make(&scratch, &account, &["d.example"])));
    // Others have theirs.
    make(&scratch, &other, &["d.example"]).unwrap();
    // An order that ends makes room, as soon as it is counted anew.
    scratch.prove(&account, &last);
    assert!(scratch.finish(&account, &last, "01").unwrap());
    scratch.clock.advance(Duration::from_secs(2));
    make(&scratch, &account, &["d.example", "e.example"]).unwrap();
    assert!(is_full(make(&scratch, &account, &["f.example"])));
    // So do those that are over.
    scratch.clock.advance(OPEN + Duration::from_secs(1));
    make(&scratch, &account, &["f.example"]).unwrap();
}

#[test]
fn strangers_keep_nobody_out_that_somebody_vouches_for() {
    let scratch = Scratch::new();
    let name: BindingName = "shop".parse().unwrap();
    scratch.acme.binding_make(&name, &identity(), None, false, &actor()).unwrap();
    let known = scratch.account_of(key(), Some("shop"));
    for _ in 0..10 {
        fill(&scratch, "strangers", &Id::new().unwrap(), 5_000);
    }
    let stranger = scratch.account();
    assert!(is_full(make(&scratch, &stranger, &["a.example"])), "all of them together");
    // Ten thousand at once, and as many again.
    fill(&scratch, "vouched", &known.id, 19_999);
    make(&scratch, &known, &["a.example"]).unwrap();
    assert!(is_full(make(&scratch, &known, &["b.example"])));
}

#[test]
fn of_two_orders_that_replace_one_certificate_one_does() {
    let scratch = Scratch::new();
    let account = scratch.account();
    let first = scratch.order(&account, &["a.example"]);
    scratch.prove(&account, &first);
    assert!(scratch.finish(&account, &first, "01").unwrap());
    let ends = scratch.clock.now().plus(Duration::from_secs(86_400));
    let id = CertificateId::new(&[7; 20], &[1]).unwrap();
    let replaces = || Some(Replaces { id: id.clone(), serial: "01".to_owned(), ends });
    let order = || {
        let new = NewOrder { replaces: replaces(), ..new_order(&["a.example"], false) };
        scratch.acme.order_make(&account.id, &new).unwrap()
    };
    let (second, third) = (order(), order());
    // Both are about to end.
    let finishing = scratch.acme.order_finishing(&account.id, &second.id).unwrap();
    let certificate = |serial| Certificate { serial, ends, csr: "csr" };
    let late = finishing.with(&certificate("02")).unwrap();
    assert!(scratch.finish(&account, &third, "03").unwrap());
    assert!(!scratch.acme.commit(late, Vec::new()).unwrap(), "in the same transaction");
    let again = scratch.acme.order_finishing(&account.id, &second.id);
    assert!(matches!(again, Err(StateError::Replaced)));
    assert_eq!(scratch.acme.certificate("02").unwrap(), None);
}
