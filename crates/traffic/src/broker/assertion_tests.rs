//! `private_key_jwt` at the broker: whose assertion it is, and that it is good once.

use sealock_core::Clock;

use super::tests::{Scratch, actor, name, service};
use super::*;
use crate::token::{SKEW, SigningKey, sign_assertion_for_tests};

const KIND: Algorithm = Algorithm::Es256;

fn assertion(key: &SigningKey, client: &str, id: &str, now: u64) -> String {
    sign_assertion_for_tests(key, client, "https://broker.example:8443/oauth/token", id, now + 60)
}

type Outcome = Result<Identity, AssertionFault>;

fn asked(scratch: &Scratch, text: &str) -> Outcome {
    let answer = scratch.broker.authenticate_by_assertion(text, None, |_| true).unwrap();
    answer.map(|(_, identity)| identity)
}

#[test]
fn an_assertion_is_good_once_also_after_a_restart() {
    let scratch = Scratch::new();
    let [key, other] = [(); 2].map(|()| SigningKey::generate(KIND).unwrap());
    let keys = KeySet::from_iter([key.public()]);
    scratch.broker.client_add_keys(&name("shop"), &service("shop"), &keys, &actor()).unwrap();
    let now = || seconds(scratch.clock.now());
    let first = assertion(&key, "shop", "a", now());
    assert_eq!(asked(&scratch, &first), Ok(service("shop")));
    assert_eq!(asked(&scratch, &first), Err(AssertionFault::Used));
    let again = assertion(&key, "shop", "a", now() + 1);
    assert_eq!(asked(&scratch, &again), Err(AssertionFault::Used), "by its jti");
    assert!(asked(&scratch, &assertion(&key, "shop", "b", now())).is_ok());
    for unknown in [
        assertion(&other, "shop", "c", now()),
        assertion(&key, "bank", "c", now()),
        assertion(&key, "../shop", "c", now()),
    ] {
        assert_eq!(asked(&scratch, &unknown), Err(AssertionFault::Unknown));
    }
    let broker = &scratch.broker;
    let text = assertion(&key, "shop", "c", now());
    let named = broker.authenticate_by_assertion(&text, Some("bank"), |_| true).unwrap();
    assert_eq!(named, Err(AssertionFault::Unknown));
    let full = broker.authenticate_by_assertion(&text, Some("shop"), |_| false).unwrap();
    assert_eq!(full, Err(AssertionFault::TooMany));
    assert!(asked(&scratch, &text).is_ok(), "it was not used up by that");
    // It has no secret, and none is taken.
    assert!(broker.authenticate("shop", "").unwrap().is_none());
    let second = assertion(&key, "shop", "d", now());
    assert!(asked(&scratch, &second).is_ok());
    let scratch = scratch.reopen();
    assert_eq!(asked(&scratch, &second), Err(AssertionFault::Used));
    scratch.clock.advance(Duration::from_secs(60 + 2 * SKEW));
    let late = asked(&scratch, &second);
    assert!(matches!(late, Err(AssertionFault::Refused(_))), "forgotten only when it has expired");
}

#[test]
fn keys_are_replaced_and_leave_the_secret_alone() {
    let scratch = Scratch::new();
    let broker = &scratch.broker;
    let now = seconds(scratch.clock.now());
    let secret = broker.client_add(&name("shop"), &service("shop"), &actor()).unwrap();
    let [old, new] = [(); 2].map(|()| SigningKey::generate(Algorithm::EdDsa).unwrap());
    let set = |keys: &[&SigningKey]| {
        let keys = keys.iter().map(|key| key.public()).collect();
        broker.client_set_keys(&name("shop"), &keys, &actor())
    };
    let good =
        |key: &SigningKey, id: &str| asked(&scratch, &assertion(key, "shop", id, now)).is_ok();
    set(&[&old, &new]).unwrap();
    assert!(good(&old, "1") && good(&new, "2"));
    set(&[&new]).unwrap();
    assert!(!good(&old, "3") && good(&new, "4"));
    assert!(broker.authenticate("shop", &secret).unwrap().is_some());
    let info = broker.client_info(&name("shop")).unwrap();
    assert_eq!((info.secret, info.keys), (true, vec![new.kid().to_owned()]));
    let many: Vec<SigningKey> =
        (0..9).map(|_| SigningKey::generate(Algorithm::EdDsa).unwrap()).collect();
    assert!(matches!(set(&many.iter().collect::<Vec<_>>()), Err(BrokerError::TooManyKeys)));
    set(&[]).unwrap();
    assert!(!good(&new, "5"));
    let keys = KeySet::from_iter([new.public()]);
    let there = broker.client_add_keys(&name("shop"), &service("web"), &keys, &actor());
    assert!(matches!(there, Err(BrokerError::ClientExists(_))));
    let none = broker.client_set_keys(&name("bank"), &keys, &actor());
    assert!(matches!(none, Err(BrokerError::NoClient(_))));
    broker.client_remove(&name("shop"), &actor()).unwrap();
    assert_eq!(asked(&scratch, &assertion(&new, "shop", "6", now)), Err(AssertionFault::Unknown));
}

#[test]
fn a_code_is_good_for_one_certificate_and_for_a_while() {
    let scratch = Scratch::new();
    let broker = &scratch.broker;
    let alice: Identity = "spiffe://t.sealock/human/alice".parse().unwrap();
    let hour = Duration::from_secs(3600);
    let made = || {
        let secret = broker.enrolment_make(&alice, hour * 12, "invite", hour, None).unwrap();
        enrolment_code(&secret)
    };
    let code = made();
    assert_eq!(broker.person_confirmed(&alice).unwrap(), None);
    assert_eq!(broker.enrolment_use("sealock_lc_AAAA", "r").unwrap(), None);
    assert_eq!(broker.enrolment_use(&code.to_lowercase(), "r").unwrap(), None);
    let used = broker.enrolment_use(&code, "r").unwrap().unwrap();
    assert_eq!((&used.user, used.life, used.by.as_str()), (&alice, 12 * 3600, "invite"));
    assert_eq!(broker.enrolment_use(&code, "r").unwrap(), None, "once");
    assert!(broker.person_confirmed(&alice).unwrap().is_some());
    let late = made();
    assert_eq!(broker.enrolments().unwrap().len(), 1);
    scratch.clock.advance(hour);
    assert_eq!(broker.enrolment_use(&late, "r").unwrap(), None);
    let (one, two) = (made(), made());
    assert_eq!(broker.enrolment_revoke(&alice, &actor()).unwrap(), 2);
    assert!(broker.enrolments().unwrap().is_empty());
    assert_eq!(broker.person_confirmed(&alice).unwrap(), None, "nothing of theirs is renewed");
    for gone in [&one, &two] {
        assert_eq!(broker.enrolment_use(gone, "r").unwrap(), None);
    }
    let state = scratch.whole_store();
    for code in [&code, &late, &one] {
        assert!(!state.windows(code.len()).any(|part| part == code.as_bytes()));
    }
}
