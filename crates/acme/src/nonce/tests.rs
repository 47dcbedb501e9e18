use std::collections::{HashMap, VecDeque};

use proptest::prelude::*;

use super::*;

fn nonces() -> Nonces {
    Nonces::new().unwrap()
}

#[test]
fn a_nonce_is_good_once() {
    let nonces = nonces();
    let (one, other) = (nonces.fresh(), nonces.fresh());
    assert_ne!(one, other);
    assert_eq!(one.len(), LENGTH);
    assert_eq!(nonces.redeem(&other), Ok(()));
    assert_eq!(nonces.redeem(&other), Err(BadNonce::Used));
    assert_eq!(nonces.redeem(&one), Ok(()));
    assert_eq!(nonces.redeem(&one), Err(BadNonce::Used));
}

#[test]
fn what_was_not_given_out_is_not_known() {
    let nonces = nonces();
    let good = nonces.fresh();
    // A process that was started anew, and the next number of this one under a key of its own.
    let elsewhere = self::nonces();
    assert_eq!(elsewhere.redeem(&good), Err(BadNonce::Unknown));
    assert_eq!(nonces.redeem(&elsewhere.fresh()), Err(BadNonce::Unknown));
    let next = [&1_u64.to_be_bytes()[..], &[0; TAG]].concat();
    let bytes = BASE64URL_NOPAD.decode(good.as_bytes()).unwrap();
    let stretched = [&1_u64.to_be_bytes()[..], &bytes[NUMBER..]].concat();
    let forged = [next, stretched].map(|bytes| BASE64URL_NOPAD.encode(&bytes));
    let blanks = " ".repeat(LENGTH);
    let long = "A".repeat(LENGTH + 4);
    let others = ["", "x", &good[1..], &good[..LENGTH - 4], &blanks, &long, &forged[0], &forged[1]];
    for bad in others {
        assert_eq!(nonces.redeem(bad), Err(BadNonce::Unknown), "{bad}");
    }
    // One bit of it, at any place.
    for place in 0..bytes.len() * 8 {
        let mut bent = bytes.clone();
        bent[place / 8] ^= 1 << (place % 8);
        assert_eq!(nonces.redeem(&BASE64URL_NOPAD.encode(&bent)), Err(BadNonce::Unknown));
    }
    assert_eq!(nonces.redeem(&good), Ok(()));
    // A good authenticator of a number that comes later.
    let ahead = 5_u64.to_be_bytes();
    let tag = hmac::sign(&nonces.key, &ahead);
    let ahead = BASE64URL_NOPAD.encode(&[&ahead[..], shortened(&tag)].concat());
    assert_eq!(nonces.redeem(&ahead), Err(BadNonce::Unknown));
}

#[test]
fn only_the_newest_are_good() {
    let nonces = nonces();
    let oldest = nonces.fresh();
    let second = nonces.fresh();
    for _ in 2..WINDOW {
        nonces.fresh();
    }
    // The window is full.
    assert_eq!(nonces.redeem(&second), Ok(()));
    let newest = nonces.fresh();
    assert_eq!(nonces.redeem(&oldest), Err(BadNonce::Old));
    assert_eq!(nonces.redeem(&second), Err(BadNonce::Used));
    // It has the oldest one's place, and is not taken for used, nor for it.
    assert_eq!(nonces.redeem(&newest), Ok(()));
    assert_eq!(nonces.redeem(&newest), Err(BadNonce::Used));
    nonces.fresh();
    assert_eq!(nonces.redeem(&second), Err(BadNonce::Old));
    assert_eq!(format!("{nonces:?}"), "Nonces(redacted)");
}

#[test]
fn of_many_at_once_one_gets_it() {
    let nonces = nonces();
    let nonce = nonces.fresh();
    let got: usize = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..8).map(|_| scope.spawn(|| usize::from(nonces.redeem(&nonce).is_ok()))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(got, 1);
}

#[derive(Debug, Clone)]
enum Step {
    /// So many are given out.
    Give(u64),
    /// The one so far from the newest comes.
    Redeem(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..4_u64).prop_map(Step::Give),
        Just(Step::Give(WINDOW / 2)),
        (0..8_u64).prop_map(Step::Redeem),
        (WINDOW - 4..WINDOW + 4).prop_map(Step::Redeem),
        (0..2 * WINDOW).prop_map(Step::Redeem),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// The window says what a list of all numbers would say.
    #[test]
    fn it_is_as_if_all_were_remembered(steps in proptest::collection::vec(step(), 1..60)) {
        let nonces = nonces();
        let mut window = nonces.window.lock();
        let mut given = VecDeque::new();
        let mut redeemed: HashMap<u64, ()> = HashMap::new();
        for step in steps {
            match step {
                Step::Give(count) => given.extend((0..count).map(|_| window.give())),
                Step::Redeem(age) => {
                    let next = given.len() as u64;
                    let Some(number) = next.checked_sub(age + 1) else {
                        prop_assert_eq!(window.take(next + age), Err(BadNonce::Unknown));
                        continue;
                    };
                    prop_assert_eq!(given[usize::try_from(number).unwrap()], number);
                    let expected = if age >= WINDOW {
                        Err(BadNonce::Old)
                    } else if redeemed.insert(number, ()).is_some() {
                        Err(BadNonce::Used)
                    } else {
                        Ok(())
                    };
                    prop_assert_eq!(window.take(number), expected);
                }
            }
        }
        prop_assert_eq!(window.used.len() as u64 * 64, WINDOW);
    }
}
