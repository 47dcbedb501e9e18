//! Revocation lists in the long run: deltas, many entries, numbers.

use std::sync::Arc;
use std::time::Duration;

use sealock_authority::{AuthorityError, CreateOptions, Crl, Publication, Published, Reason};

use crate::common::{Place, Scratch, actor, available, options, order, succeed};

fn scratch() -> Scratch {
    let url = Some("http://pki.corp.example:8480".to_owned());
    let publication = Publication { url, ..Publication::default() };
    Place::new().create(&CreateOptions { publication, ..options() })
}

fn revoke(scratch: &Scratch, count: usize) {
    for number in 0..count {
        let issued = scratch.issue(&order(&[&format!("n{number}.example")])).unwrap();
        scratch.authority.revoke(issued.serial, Reason::Superseded, &actor()).unwrap();
    }
}

fn both(scratch: &Scratch) -> (Crl, Crl) {
    let issuer = scratch.authority.crl().unwrap().issuer;
    let full = scratch.authority.crl_of(issuer).unwrap().unwrap();
    (full, scratch.authority.delta_of(issuer).unwrap().unwrap())
}

#[test]
fn a_delta_has_what_came_after_its_base() {
    let scratch = scratch();
    let (full, delta) = both(&scratch);
    assert_eq!((full.number, delta.base, delta.entries), (1, Some(1), 0));
    revoke(&scratch, 3);
    let (full, delta) = both(&scratch);
    assert_eq!((full.entries, delta.entries, delta.base), (3, 3, Some(1)));
    assert_eq!(full.number, delta.number, "made at one time, so with one number");
    // A scheduled full list is the next base.
    scratch.place.clock.advance(Duration::from_secs(6 * 86_400));
    scratch.authority.maintain(&actor()).unwrap();
    let (later, delta) = both(&scratch);
    assert!(later.number > full.number);
    assert_eq!((delta.entries, delta.base), (0, Some(later.number)));
}

#[test]
fn a_delta_is_made_anew_every_half_day() {
    let scratch = scratch();
    both(&scratch);
    revoke(&scratch, 1);
    let (full, delta) = both(&scratch);
    scratch.place.clock.advance(Duration::from_secs(46_000));
    let (same, newer) = both(&scratch);
    assert_eq!(full, same);
    assert!(newer.number > delta.number && newer.next_update > delta.next_update);
    assert_eq!((newer.base, newer.entries), (delta.base, 1));
    revoke(&scratch, 1);
    let (full, delta) = both(&scratch);
    assert!(full.number > newer.number && full.number == delta.number, "numbers only grow");
}

#[test]
fn a_long_list_waits_and_its_delta_does_not() {
    let scratch = scratch();
    both(&scratch);
    revoke(&scratch, 256);
    let (full, delta) = both(&scratch);
    assert_eq!((full.entries, delta.entries), (256, 256));
    revoke(&scratch, 2);
    let (same, after) = both(&scratch);
    assert_eq!(full, same, "a long list is not written for each revocation");
    assert_eq!(after.entries, delta.entries + 2);
    scratch.place.clock.advance(Duration::from_secs(61));
    let (newer, delta) = both(&scratch);
    assert_eq!((newer.entries, delta.entries), (258, 0));
}

/// What a process gives out that has no keys.
fn locked(scratch: &Scratch) -> Published {
    Published::of(Arc::clone(scratch.journal.store()), scratch.place.clock.clone())
}

/// A long list that lacks the last revocation, and its issuer.
fn long(scratch: &Scratch) -> sealock_authority::IssuerId {
    both(scratch);
    revoke(scratch, 257);
    let (full, delta) = both(scratch);
    assert_eq!((full.entries, delta.entries), (256, 257), "the last one waits");
    full.issuer
}

#[test]
fn a_locked_authority_gives_out_no_full_list_that_lacks_a_revocation() {
    let scratch = scratch();
    let issuer = long(&scratch);
    // As after a kill, whatever time has passed.
    let scratch = scratch.reopen();
    for _ in 0..2 {
        let published = locked(&scratch);
        let error = published.crl(issuer).unwrap_err();
        assert!(matches!(error, AuthorityError::ListBehind { .. }), "{error:?}");
        assert!(error.hint().is_some());
        assert_eq!(published.held_back().unwrap(), [issuer]);
        // What is on the delta is told.
        assert_eq!(published.delta(issuer).unwrap().unwrap().entries, 257);
        scratch.place.clock.advance(Duration::from_secs(61));
    }
}

#[test]
fn what_the_process_before_has_left_is_on_the_list_before_it_is_given_out() {
    let scratch = scratch();
    let issuer = long(&scratch);
    // With the keys, and within the minute.
    let scratch = scratch.reopen();
    assert_eq!(scratch.authority.crl_of(issuer).unwrap().unwrap().entries, 257);
    assert_eq!(locked(&scratch).crl(issuer).unwrap().unwrap().entries, 257);
    assert!(locked(&scratch).held_back().unwrap().is_empty());
    // That was once: of many, the others wait again.
    revoke(&scratch, 2);
    assert_eq!(both(&scratch).0.entries, 257);
    // Or with the next revocation, if that comes first.
    let scratch = scratch.reopen();
    revoke(&scratch, 1);
    assert_eq!(locked(&scratch).crl(issuer).unwrap().unwrap().entries, 260);
    revoke(&scratch, 1);
    assert_eq!(both(&scratch).0.entries, 260);
}

#[test]
fn a_revocation_that_comes_by_itself_is_on_a_long_list_at_once() {
    let scratch = scratch();
    let issuer = long(&scratch);
    scratch.place.clock.advance(Duration::from_secs(61));
    revoke(&scratch, 1);
    assert_eq!(locked(&scratch).crl(issuer).unwrap().unwrap().entries, 258);
    let (full, delta) = both(&scratch);
    assert_eq!((full.entries, delta.number), (258, full.number));
}

#[test]
fn who_ends_leaves_no_list_behind() {
    let scratch = scratch();
    let issuer = long(&scratch);
    assert!(scratch.authority.held_back().unwrap().is_empty(), "it can be made at any time");
    scratch.authority.catch_up().unwrap();
    let list = locked(&scratch).crl(issuer).unwrap().unwrap();
    assert_eq!(list.entries, 257);
    scratch.authority.catch_up().unwrap();
    assert_eq!(locked(&scratch).crl(issuer).unwrap(), Some(list), "once");
}

#[test]
fn openssl_applies_a_delta() {
    if !available("openssl") {
        return;
    }
    let scratch = scratch();
    let base = scratch.authority.crl().unwrap();
    let (bad, good) = (
        scratch.issue(&order(&["bad.example"])).unwrap(),
        scratch.issue(&order(&["a.example"])).unwrap(),
    );
    scratch.authority.revoke(bad.serial, Reason::KeyCompromise, &actor()).unwrap();
    let (_, delta) = both(&scratch);
    let text = {
        let file = scratch.file("delta.pem", delta.pem());
        succeed("openssl", &["crl", "-noout", "-text", "-in", &file])
    };
    assert!(text.contains("X509v3 Delta CRL Indicator: critical"), "{text}");
    let file = scratch.file("base.pem", base.pem());
    let text = succeed("openssl", &["crl", "-noout", "-text", "-in", &file]);
    let url = format!("URI:http://pki.corp.example:8480/crl/{}-delta.crl", base.issuer);
    assert!(text.contains("X509v3 Freshest CRL") && text.contains(&url), "{text}");
    // The old full list does not know it yet; with the delta it is seen.
    let trusted = scratch.file("trusted.pem", good.ca_crt());
    let lists = scratch.file("lists.pem", base.pem() + &delta.pem());
    let verify = |issued: &sealock_authority::Issued| {
        let chain = scratch.file("chain.pem", issued.tls_crt());
        let arguments = [
            "verify",
            "-CAfile",
            &trusted,
            "-untrusted",
            &chain,
            "-crl_check",
            "-extended_crl",
            "-use_deltas",
            "-CRLfile",
            &lists,
            &chain,
        ];
        crate::common::run("openssl", &arguments)
    };
    assert!(verify(&good).status.success());
    let refused = verify(&bad);
    assert!(!refused.status.success());
    assert!(crate::common::text(&refused).contains("certificate revoked"));
}
