//! Time, at every edge: `now` 1,700,000,000, clocks that may be 30 seconds apart, and a life of at most 300 seconds.

use super::*;
use Refusal::{Expired, IssuedInFuture, NotYetValid, WrongLifetime};

/// Seconds before or after [`NOW`].
fn at(offset: i64) -> String {
    NOW.saturating_add_signed(offset).to_string()
}

#[test]
fn a_token_lives_between_its_times() {
    let keys = Keys::new();
    // iat, nbf, exp.
    let rows: [([i64; 3], Result<(), Refusal>); 26] = [
        ([0, 0, 300], Ok(())),
        ([0, 0, 1], Ok(())),
        // The longest life, and one longer.
        ([-300, -300, 1], Err(WrongLifetime)),
        ([-299, -299, 1], Ok(())),
        ([0, 0, 301], Err(WrongLifetime)),
        ([-1_000_000, 0, 300], Err(WrongLifetime)),
        ([-1_000_000, 0, i64::MAX], Err(Refusal::BadClaim { claim: "exp" })),
        // None.
        ([0, 0, 0], Err(WrongLifetime)),
        ([0, -10, 0], Err(WrongLifetime)),
        ([0, 0, -1], Err(WrongLifetime)),
        ([10, 10, 5], Err(WrongLifetime)),
        ([-10, 10, 10], Err(WrongLifetime)),
        ([-10, 20, 10], Err(WrongLifetime)),
        // Over, by as much as clocks may be apart and one more.
        ([-100, -100, 0], Ok(())),
        ([-100, -100, -29], Ok(())),
        ([-100, -100, -30], Err(Expired)),
        ([-100, -100, -31], Err(Expired)),
        ([-100_300, -100_300, -100_000], Err(Expired)),
        // To come.
        ([30, 30, 300], Ok(())),
        ([31, 0, 300], Err(IssuedInFuture)),
        ([31, 31, 300], Err(IssuedInFuture)),
        ([100_000, 100_000, 100_300], Err(IssuedInFuture)),
        ([0, 30, 300], Ok(())),
        ([0, 31, 300], Err(NotYetValid)),
        ([0, 299, 300], Err(NotYetValid)),
        // Good since before it was issued, as some backdate.
        ([0, -1_000_000, 300], Ok(())),
    ];
    for ([iat, nbf, exp], outcome) in rows {
        let claims = body().with("iat", &at(iat)).with("nbf", &at(nbf)).with("exp", &at(exp));
        assert_eq!(keys.verify_claims(&claims.json()), outcome, "iat {iat}, nbf {nbf}, exp {exp}");
    }
}

#[test]
fn a_token_becomes_good_and_ends() {
    let keys = Keys::new();
    let token = good(&keys.eddsa);
    let rows = [
        (0, 0, Err(IssuedInFuture)),
        (NOW - 1, 0, Err(IssuedInFuture)),
        (NOW, 0, Ok(())),
        (NOW + 299, 0, Ok(())),
        (NOW + 300, 0, Err(Expired)),
        (NOW - 31, 30, Err(IssuedInFuture)),
        (NOW - 30, 30, Ok(())),
        (NOW + 329, 30, Ok(())),
        (NOW + 330, 30, Err(Expired)),
        (u64::MAX, 30, Err(Expired)),
        // No sum of these is beyond what fits.
        (0, u64::MAX, Ok(())),
        (u64::MAX - 1, u64::MAX, Ok(())),
    ];
    for (now, skew, outcome) in rows {
        let expected = Expected { now, skew, ..expected() };
        assert_eq!(verify(&token, &keys.set, &expected).map(drop), outcome, "{now} ± {skew}");
    }
}

/// Skew is about clocks: it makes no life longer that is allowed.
#[test]
fn skew_makes_no_life_longer() {
    let keys = Keys::new();
    let token = sign(&keys.eddsa, &head(&keys.eddsa).json(), &body().with("exp", &at(301)).json());
    for skew in [0, 1, 1000, u64::MAX] {
        let expected = Expected { skew, ..expected() };
        assert_eq!(verify(&token, &keys.set, &expected), Err(WrongLifetime), "{skew}");
    }
}
