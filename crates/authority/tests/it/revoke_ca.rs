//! An intermediate is revoked: by the root's list, by OCSP of what is below it, in the inventory.

use std::sync::Arc;
use std::time::Duration;

use sealock_authority::{
    AuthorityError, CertState, CreateOptions, Issued, IssuerKind, ListFilter, Published, Reason,
    Renewal, RootKeyFile, Rotate,
};
use sealock_core::Clock;
use sealock_core::audit::Fact;

use crate::common::{Place, Scratch, actor, available, options, order, run, succeed, text};
use crate::ocsp::{Question, publication};

fn published(scratch: &Scratch) -> Published {
    let clock: Arc<dyn Clock> = scratch.place.clock.clone();
    Published::of(Arc::clone(scratch.journal.store()), clock)
}

fn with_ocsp() -> Scratch {
    Place::new().create(&CreateOptions { publication: publication(), ..options() })
}

/// What openssl makes of a chain by the lists of all issuers.
fn check_all(scratch: &Scratch, issued: &Issued) -> std::process::Output {
    let lists: String = scratch.authority.crls().unwrap().iter().map(|list| list.pem()).collect();
    let lists = scratch.file("lists.pem", lists);
    let trusted = scratch.file("trusted.pem", issued.ca_crt());
    let chain = scratch.file("chain.pem", issued.tls_crt());
    let checked = ["verify", "-crl_check_all", "-CRLfile", &lists, "-CAfile", &trusted];
    run("openssl", &[&checked[..], &["-untrusted", &chain, &chain]].concat())
}

fn state(scratch: &Scratch, issued: &Issued) -> CertState {
    scratch.authority.show_serial(issued.serial).unwrap().summary.state
}

#[test]
fn issuing_goes_on_under_a_new_one_and_the_roots_list_says_it() {
    if !available("openssl") {
        return;
    }
    let scratch = Scratch::new();
    let authority = &scratch.authority;
    let before = scratch.issue(&order(&["web.example"])).unwrap();
    assert!(check_all(&scratch, &before).status.success());
    let root = authority.ca_info().issuers[0].id;
    let empty = authority.crl_of(root).unwrap().unwrap();
    let id = before.issuer.to_string();
    let done = authority.revoke_ca(&id, Reason::KeyCompromise, None, &actor()).unwrap();
    assert_eq!((done.id, done.already), (before.issuer, false));

    let after = scratch.issue(&order(&["shop.example"])).unwrap();
    assert_ne!(after.issuer, before.issuer, "what is revoked signs nothing any more");
    let info = authority.ca_info();
    let gone = info.issuers.iter().find(|issuer| issuer.id == before.issuer).unwrap();
    assert_eq!(gone.revoked.map(|(_, reason)| reason), Some(Reason::CaCompromise));
    assert!(!gone.active);
    let new = info.issuers.iter().find(|issuer| issuer.id == after.issuer).unwrap();
    assert_eq!(Some(new.serial), done.successor);

    let list = authority.crl_of(root).unwrap().unwrap();
    assert!(list.number > empty.number && list.entries == 1, "{list:?}");
    assert!(list.next_update >= new.not_after, "the root's key may be gone until then");
    let refused = check_all(&scratch, &before);
    assert!(!refused.status.success() && text(&refused).contains("certificate revoked"));
    let fine = check_all(&scratch, &after);
    assert!(fine.status.success(), "{}", text(&fine));
    let file = scratch.file("root.crl", list.pem());
    let shown = succeed("openssl", &["crl", "-noout", "-text", "-in", &file]);
    assert!(shown.contains("CA Compromise"), "{shown}");

    // Done again it changes nothing, by its serial number too; and later lists say it still.
    let again = authority.revoke_ca(&done.serial.to_string(), Reason::Superseded, None, &actor());
    assert!(again.unwrap().already);
    assert_eq!(authority.crl_of(root).unwrap().unwrap().number, list.number);
    authority.rotate(Rotate::Intermediate, None, &actor()).unwrap();
    assert_eq!(authority.crl_of(root).unwrap().unwrap().entries, 1);
    assert!(!check_all(&scratch, &before).status.success());
    let scratch = scratch.reopen();
    assert_eq!(state(&scratch, &before), CertState::Revoked);
    let all = scratch.journal.tail(0, 1000).unwrap();
    let revoked = all.iter().filter(|it| matches!(&it.event.fact, Fact::CaRevoked { .. })).count();
    assert_eq!(revoked, 1);
}

#[test]
fn a_retired_one_is_revoked_alone() {
    let scratch = Scratch::new();
    let old = scratch.issue(&order(&["web.example"])).unwrap();
    scratch.authority.rotate(Rotate::Root, None, &actor()).unwrap();
    let new = scratch.issue(&order(&["shop.example"])).unwrap();
    let which = old.issuer.to_string();
    let done = scratch.authority.revoke_ca(&which, Reason::Superseded, None, &actor()).unwrap();
    assert_eq!(done.successor, None);
    assert_eq!(scratch.issue(&order(&["a.example"])).unwrap().issuer, new.issuer);
    assert_eq!(
        (state(&scratch, &old), state(&scratch, &new)),
        (CertState::Revoked, CertState::Valid)
    );
    let roots = scratch.authority.crls().unwrap().into_iter().filter(|list| list.entries == 1);
    assert_eq!(roots.count(), 1, "it stands in the list of the root above it");
}

#[test]
fn the_inventory_knows_all_below_it_as_revoked() {
    let scratch = Scratch::new();
    let authority = &scratch.authority;
    let all: Vec<Issued> =
        ["a", "b", "c"].map(|name| scratch.issue(&order(&[name])).unwrap()).into();
    authority.revoke(all[0].serial, Reason::Superseded, &actor()).unwrap();
    authority.renew(all[1].serial, &Renewal::default(), &actor()).unwrap();
    let which = all[0].issuer.to_string();
    authority.revoke_ca(&which, Reason::CaCompromise, None, &actor()).unwrap();
    let after = scratch.issue(&order(&["d"])).unwrap();
    let listed = |filter: ListFilter| {
        let mut names: Vec<String> =
            authority.list(&filter).unwrap().into_iter().map(|one| one.name).collect();
        names.sort_unstable();
        names
    };
    let only = |state| ListFilter { state: Some(state), ..ListFilter::default() };
    assert_eq!(listed(only(CertState::Revoked)), ["a", "b", "b", "c"]);
    assert_eq!(listed(only(CertState::Valid)), ["d"]);
    assert!(listed(only(CertState::Replaced)).is_empty());
    let week = Some(Duration::from_secs(7 * 86_400));
    let soon = |state| ListFilter { expiring_within: week, state, ..ListFilter::default() };
    assert_eq!(listed(soon(None)), ["d"]);
    assert_eq!(listed(soon(Some(CertState::Revoked))), ["a", "b", "b", "c"]);
    let of = ListFilter { issuer: Some(after.issuer), ..only(CertState::Revoked) };
    assert!(listed(of).is_empty());
    let of = ListFilter { issuer: Some(all[0].issuer), ..only(CertState::Revoked) };
    assert_eq!(listed(of), ["a", "b", "b", "c"]);
    let tally = authority.tally().unwrap();
    assert_eq!((tally.valid, tally.revoked, tally.replaced, tally.expired), (1, 4, 0, 0));
    // Its own reason stands; of the others it is said why.
    let shown = |issued: &Issued| authority.show_serial(issued.serial).unwrap().summary;
    assert_eq!(shown(&all[0]).reason, Some(Reason::Superseded));
    assert_eq!(shown(&all[2]).reason, Some(Reason::CaCompromise));
    assert!(shown(&all[2]).issuer_revoked && !shown(&all[0]).issuer_revoked);
    assert!(authority.find_der(&all[2].leaf_der).unwrap().unwrap().state == CertState::Revoked);
    assert!(authority.is_below_revoked(all[2].serial).unwrap());
    assert!(!authority.is_below_revoked(after.serial).unwrap());
    // What was not revoked by itself is renewed, under the new one.
    let renewed = authority.renew(all[2].serial, &Renewal::default(), &actor()).unwrap();
    assert_eq!(renewed.issuer, after.issuer);
    // Once it has all ended, it has ended.
    scratch.place.clock.advance(Duration::from_secs(2 * 86_400));
    let tally = authority.tally().unwrap();
    assert_eq!((tally.valid, tally.revoked, tally.expired), (0, 1, 5));
    assert_eq!(listed(only(CertState::Revoked)), ["a"]);
}

#[test]
fn ocsp_says_revoked_of_all_below_it() {
    if !available("openssl") {
        return;
    }
    let scratch = with_ocsp();
    let issued = scratch.issue(&order(&["web.example"])).unwrap();
    let question = Question::about(&scratch, &issued);
    let request = question.request(&["-no_nonce"]);
    scratch.authority.presign().unwrap();
    let good = scratch.authority.ocsp(&request).unwrap();
    assert!(question.read(&good).contains("leaf.pem: good"));
    assert!(scratch.authority.ocsp_ready(&request).is_some(), "it is in memory");
    let which = issued.issuer.to_string();
    scratch.authority.revoke_ca(&which, Reason::KeyCompromise, None, &actor()).unwrap();
    // Neither what is in memory nor what is in store says otherwise, nor while the keys are locked.
    assert_eq!(scratch.authority.ocsp_ready(&request), None);
    let locked = published(&scratch).ocsp(&request).unwrap();
    assert_eq!(locked, sealock_authority::OcspAnswer::try_later());
    let said = question.read(&scratch.authority.ocsp(&request).unwrap());
    assert!(said.contains("leaf.pem: revoked") && said.contains("cACompromise"), "{said}");
    assert_eq!(scratch.authority.presign().unwrap(), 1);
    let said = question.read(&published(&scratch).ocsp(&request).unwrap());
    assert!(said.contains("leaf.pem: revoked"), "{said}");
    // Of what its successor signs it is good.
    let after = scratch.issue(&order(&["shop.example"])).unwrap();
    let question = Question::about(&scratch, &after);
    let answer = scratch.authority.ocsp(&question.request(&["-no_nonce"])).unwrap();
    assert!(question.read(&answer).contains("leaf.pem: good"));
}

#[test]
fn it_needs_the_roots_key() {
    let scratch = Scratch::new();
    let authority = &scratch.authority;
    let issued = scratch.issue(&order(&["web.example"])).unwrap();
    let which = issued.issuer.to_string();
    let pem = authority.export_root_key(None, &actor()).unwrap();
    let file = RootKeyFile { pem: &pem, passphrase: None };
    authority.remove_root_key(&file, &actor()).unwrap();
    let error = authority.revoke_ca(&which, Reason::KeyCompromise, None, &actor()).unwrap_err();
    assert!(matches!(error, AuthorityError::RootKeyAway), "{error:?}");
    assert!(error.hint().unwrap().contains("--root-key"));
    assert_eq!(state(&scratch, &issued), CertState::Valid, "a refusal changes nothing");
    authority.revoke_ca(&which, Reason::KeyCompromise, Some(&file), &actor()).unwrap();
    assert_eq!(state(&scratch, &issued), CertState::Revoked);
    let info = authority.ca_info();
    assert!(info.issuers.iter().all(|it| it.kind != IssuerKind::Root || !it.key_here));
}

#[test]
fn roots_and_what_is_not_there_are_refused() {
    let scratch = Scratch::new();
    let revoke = |which: &str| {
        scratch.authority.revoke_ca(which, Reason::Unspecified, None, &actor()).unwrap_err()
    };
    let root = scratch.authority.ca_info().issuers[0].id.to_string();
    let error = revoke(&root);
    assert!(error.hint().unwrap().contains("`sealock ca rotate root`"), "{error}");
    let leaf = scratch.issue(&order(&["web.example"])).unwrap();
    for which in ["", "0123456789abcdef", "xyz", "own", &leaf.serial.to_string()] {
        assert!(matches!(revoke(which), AuthorityError::UnknownCa(_)), "{which}");
    }
    assert!(scratch.authority.ca_info().issuers.iter().all(|issuer| issuer.revoked.is_none()));
}

#[test]
fn a_locked_authority_gives_out_no_list_that_has_ended() {
    let scratch = with_ocsp();
    let issuer = scratch.authority.crl().unwrap().issuer;
    let published = published(&scratch);
    assert!(published.crl(issuer).unwrap().is_some() && published.delta(issuer).unwrap().is_some());
    scratch.place.clock.advance(Duration::from_secs(2 * 86_400));
    assert!(published.crl(issuer).unwrap().is_some());
    assert_eq!(published.delta(issuer).unwrap(), None, "the delta lives a day");
    scratch.place.clock.advance(Duration::from_secs(6 * 86_400));
    assert_eq!(published.crl(issuer).unwrap(), None);
    let root = scratch.authority.ca_info().issuers[0].id;
    assert!(published.crl(root).unwrap().is_some(), "a root's lives as long as what is below it");
}
