//! The life of an authority and its certificates, as its users see it.

use std::sync::Arc;
use std::time::Duration;

use crate::common::{Place, Scratch, actor, options, order};
use sealock_authority::{
    Authority, AuthorityError, CertState, CreateOptions, ListFilter, Order, OrderError, Reason,
    Renewal, RootKeyFile, Rotate, Serial,
};
use sealock_core::{Clock, SecretBytes};
use sealock_store::Journal;

fn facts(journal: &Journal) -> Vec<String> {
    let records = journal.tail(0, 10_000).unwrap();
    let tag = |record: &sealock_core::audit::Record| {
        serde_json::to_value(&record.event.fact).unwrap()["event"].as_str().unwrap().to_owned()
    };
    records.iter().map(tag).filter(|fact| fact != "checkpoint").collect()
}

#[test]
fn created_twice_is_one_authority() {
    let scratch = Scratch::new();
    let before = scratch.authority.trust_bundle();
    let again =
        Authority::create(scratch.journal.clone(), scratch.place.keyring(), &options(), &actor())
            .unwrap();
    assert_eq!(again.trust_bundle(), before);
    assert_eq!(facts(&scratch.journal), ["ca-created"]);
    let other = CreateOptions::new("other.example".parse().unwrap());
    let refused =
        Authority::create(scratch.journal.clone(), scratch.place.keyring(), &other, &actor());
    assert!(matches!(refused, Err(AuthorityError::OtherTrustDomain { .. })));
    assert_eq!(scratch.reopen().authority.trust_bundle(), before);
}

#[test]
fn many_creators_at_once_make_one_authority() {
    let place = Place::new();
    let keyring = place.keyring();
    let journals: Vec<_> = (0..4).map(|_| place.journal()).collect();
    let bundles: Vec<_> = std::thread::scope(|scope| {
        let creators: Vec<_> = journals
            .iter()
            .map(|journal| {
                let keyring = Arc::clone(&keyring);
                scope.spawn(move || {
                    let authority =
                        Authority::create(journal.clone(), keyring, &options(), &actor());
                    authority.unwrap().trust_bundle()
                })
            })
            .collect();
        creators.into_iter().map(|creator| creator.join().unwrap()).collect()
    });
    assert!(bundles.iter().all(|bundle| *bundle == bundles[0]));
    let store = journals[0].store();
    let keys = store.range(&sealock_store::KeyRange::prefix(b"ca/key/"), 100).unwrap();
    assert_eq!(keys.len(), 3, "keys of creators that came too late are left");
}

#[test]
fn a_certificate_is_known_by_all_of_its_bytes_or_not_at_all() {
    let scratch = Scratch::new();
    let issued = scratch.issue(&order(&["web", "web.corp.example"])).unwrap();
    let find = |der: &[u8]| scratch.authority.find_der(der).unwrap();
    assert_eq!(find(&issued.leaf_der).unwrap().serial, issued.serial);
    // The same serial, and another signature: what somebody else has made of it.
    let mut forged = issued.leaf_der.clone();
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(find(&forged), None);
    forged.pop();
    assert_eq!(find(&forged), None);
    assert_eq!(find(&[&issued.leaf_der[..], b"x"].concat()), None);
    assert_eq!(find(b""), None);
    let another = scratch.issue(&order(&["web", "web.corp.example"])).unwrap();
    assert_eq!(find(&another.leaf_der).unwrap().serial, another.serial);
}

#[test]
fn an_issue_is_in_inventory_and_audit_before_it_is_out() {
    let scratch = Scratch::new();
    let issued = scratch.issue(&order(&["web", "web.corp.example"])).unwrap();
    assert_eq!(facts(&scratch.journal), ["ca-created", "cert-issued"]);
    let shown = scratch.authority.show("web").unwrap();
    assert_eq!(shown.der, issued.leaf_der);
    assert_eq!(shown.summary.serial, issued.serial);
    assert_eq!(shown.summary.state, CertState::Valid);
    assert_eq!(shown.summary.by, "uid:0");
    let colons: Vec<String> =
        issued.serial.as_bytes().iter().map(|byte| format!("{byte:02X}")).collect();
    assert_eq!(scratch.authority.show(&colons.join(":")).unwrap(), shown);
    let listed = scratch.authority.list(&ListFilter::default()).unwrap();
    assert_eq!(listed, [shown.summary]);
    let scratch = scratch.reopen();
    assert_eq!(scratch.authority.show("web").unwrap().der, issued.leaf_der);
    assert!(matches!(scratch.authority.show("other"), Err(AuthorityError::Unknown(_))));
    assert!(matches!(scratch.authority.show("ff"), Err(AuthorityError::Unknown(_))));
}

#[test]
fn the_files_hold_what_they_should() {
    let scratch = Scratch::new();
    let issued = scratch.issue(&order(&["web"])).unwrap();
    let count = |text: &str| text.matches("-----BEGIN CERTIFICATE-----").count();
    assert_eq!(count(&issued.tls_crt()), 2);
    assert_eq!(count(&issued.ca_crt()), 1);
    let key = issued.tls_key().unwrap();
    assert!(key.expose().starts_with(b"-----BEGIN PRIVATE KEY-----\n"));
    let bundle = String::from_utf8(issued.bundle_pem().expose().to_vec()).unwrap();
    assert_eq!(count(&bundle), 3);
    assert!(bundle.starts_with("-----BEGIN PRIVATE KEY-----\n"));
    assert!(bundle.ends_with(&issued.ca_crt()));
    assert!(!format!("{issued:?}").contains("PRIVATE"));
    assert_eq!(issued.chain().len(), 2);
}

#[test]
fn no_private_key_reaches_the_store() {
    let scratch = Scratch::new();
    let issued = scratch.issue(&order(&["web"])).unwrap();
    let pem = String::from_utf8(issued.tls_key().unwrap().expose().to_vec()).unwrap();
    let leaf: String = pem.lines().filter(|line| !line.starts_with("--")).collect();
    let root = scratch.authority.export_root_key(None, &actor()).unwrap();
    let root: String = String::from_utf8(root.expose().to_vec())
        .unwrap()
        .lines()
        .filter(|line| !line.starts_with("--"))
        .collect();
    let everything =
        scratch.journal.store().range(&sealock_store::KeyRange::prefix(b""), 1000).unwrap();
    for encoded in [leaf, root] {
        let key = data_encoding::BASE64.decode(encoded.as_bytes()).unwrap();
        // The scalar of a P-256 key in PKCS#8.
        let secret = &key[36..68];
        for (name, entry) in &everything {
            let inside = entry.value.windows(secret.len()).any(|window| window == secret);
            assert!(!inside, "a private key is in {}", name.escape_ascii());
        }
    }
}

#[test]
fn renewing_ties_the_two_together() {
    let scratch = Scratch::new();
    let first = scratch.issue(&order(&["web", "a.example"])).unwrap();
    scratch.place.clock.advance(Duration::from_millis(60_500));
    let second = scratch.authority.renew(first.serial, &Renewal::default(), &actor()).unwrap();
    let old = scratch.authority.show(&first.serial.to_string()).unwrap().summary;
    let new = scratch.authority.show("web").unwrap().summary;
    assert_eq!((old.state, old.replaced_by), (CertState::Replaced, Some(second.serial)));
    assert_eq!((new.serial, new.replaces), (second.serial, Some(first.serial)));
    assert_eq!(new.names, old.names);
    let life = |summary: &sealock_authority::CertSummary| {
        summary.not_after.since(summary.issued).as_millis().div_ceil(1000)
    };
    assert_eq!(life(&new), life(&old));
    assert_ne!(first.tls_key(), second.tls_key());
    assert_eq!(facts(&scratch.journal), ["ca-created", "cert-issued", "cert-renewed"]);
    // What was replaced is not in the list of what expires.
    let within = Some(Duration::from_secs(7 * 86_400));
    let filter = ListFilter { expiring_within: within, ..ListFilter::default() };
    let listed = scratch.authority.list(&filter).unwrap();
    assert_eq!(listed.iter().map(|cert| cert.serial).collect::<Vec<_>>(), [second.serial]);
    let unknown: Serial = "1234".parse().unwrap();
    assert!(matches!(
        scratch.authority.renew(unknown, &Renewal::default(), &actor()),
        Err(AuthorityError::Unknown(_))
    ));
}

#[test]
fn revoking_is_for_good_and_idempotent() {
    let scratch = Scratch::new();
    let issued = scratch.issue(&order(&["web"])).unwrap();
    let authority = &scratch.authority;
    let before = authority.crl().unwrap();
    assert_eq!((before.number, before.entries), (1, 0));
    let done = authority.revoke(issued.serial, Reason::KeyCompromise, &actor()).unwrap();
    assert!(!done.already);
    let crl = authority.crl().unwrap();
    assert_eq!((crl.number, crl.entries), (2, 1));
    let again = authority.revoke(issued.serial, Reason::Superseded, &actor()).unwrap();
    assert!(again.already);
    assert_eq!(again.certificate.reason, Some(Reason::KeyCompromise));
    assert_eq!(authority.crl().unwrap(), crl);
    assert!(matches!(
        authority.renew(issued.serial, &Renewal::default(), &actor()),
        Err(AuthorityError::Revoked(_))
    ));
    assert_eq!(facts(&scratch.journal), ["ca-created", "cert-issued", "cert-revoked", "crl-made"]);
    let revoked = ListFilter { state: Some(CertState::Revoked), ..ListFilter::default() };
    assert_eq!(authority.list(&revoked).unwrap().len(), 1);
}

#[test]
fn expired_entries_leave_the_list_after_one_more() {
    let scratch = Scratch::new();
    let authority = &scratch.authority;
    let clock = &scratch.place.clock;
    let issued = scratch.issue(&order(&["web"])).unwrap();
    authority.revoke(issued.serial, Reason::Unspecified, &actor()).unwrap();
    clock.advance(Duration::from_secs(6 * 86_400));
    let once_more = authority.crl().unwrap();
    assert_eq!((once_more.number, once_more.entries), (3, 1));
    clock.advance(Duration::from_secs(6 * 86_400));
    let gone = authority.crl().unwrap();
    assert_eq!((gone.number, gone.entries), (4, 0));
    // Neither number nor date goes back with a clock that is set right by a little.
    clock.set(clock.now().minus(Duration::from_secs(100)));
    let other = scratch.issue(&order(&["other"])).unwrap();
    authority.revoke(other.serial, Reason::Unspecified, &actor()).unwrap();
    let later = authority.crl().unwrap();
    assert_eq!(later.number, 5);
    assert!(later.this_update >= gone.this_update);
    // By days the date does, or nobody would take a list for as long; the number never.
    clock.set(clock.now().minus(Duration::from_secs(5 * 86_400)));
    let back = authority.crl().unwrap();
    assert!(back.number > 5 && back.this_update < later.this_update);
}

#[test]
fn a_clock_that_was_set_back_is_said() {
    let scratch = Scratch::new();
    let clock = &scratch.place.clock;
    let start = clock.now();
    clock.set(start.minus(Duration::from_secs(30)));
    let early = scratch.issue(&order(&["web"])).unwrap();
    assert!(early.not_before <= clock.now());
    clock.set(start.minus(Duration::from_secs(3600)));
    let refused = scratch.issue(&order(&["web"])).unwrap_err();
    assert!(matches!(refused, AuthorityError::ClockBehind { .. }), "{refused}");
    assert!(refused.hint().unwrap().contains("clock"));
}

#[test]
fn a_leaf_does_not_outlive_its_issuer() {
    let scratch = Scratch::new();
    let mut long = order(&["web"]);
    long.ttl = Duration::from_secs(366 * 86_400);
    let refused = scratch.issue(&long).unwrap_err();
    assert!(matches!(refused, AuthorityError::OutlivesIssuer { .. }));
    assert!(refused.hint().unwrap().contains("ca rotate"));
    scratch.place.clock.advance(Duration::from_secs(366 * 86_400));
    let refused = scratch.issue(&order(&["web"])).unwrap_err();
    assert!(matches!(refused, AuthorityError::IssuerExpired(_)));
    // The root is still good: a new intermediate mends it, also by itself.
    let done = scratch.authority.maintain(&actor()).unwrap();
    assert!(done.rotated.is_some());
    scratch.issue(&order(&["web"])).unwrap();
}

#[test]
fn rotating_the_intermediate_keeps_the_root() {
    let scratch = Scratch::new();
    let authority = &scratch.authority;
    let old = scratch.issue(&order(&["old"])).unwrap();
    let bundle = authority.trust_bundle();
    let rotated = authority.rotate(Rotate::Intermediate, None, &actor()).unwrap();
    assert_eq!(rotated.overlap_until, Some(old.not_after));
    assert_eq!(authority.trust_bundle(), bundle);
    let new = scratch.issue(&order(&["new"])).unwrap();
    assert_ne!(new.issuer, old.issuer);
    // Both lists are kept up while leaves of the old one are in use, and it can still revoke.
    assert_eq!(authority.crls().unwrap().len(), 3);
    authority.revoke(old.serial, Reason::Unspecified, &actor()).unwrap();
    assert_eq!(authority.crl_of(old.issuer).unwrap().unwrap().entries, 1);
    assert_eq!(authority.crl_of(new.issuer).unwrap().unwrap().entries, 0);
    scratch.place.clock.advance(Duration::from_secs(9 * 86_400));
    assert_eq!(authority.crls().unwrap().len(), 2);
    assert_eq!(authority.maintain(&actor()).unwrap().keys_removed, 1);
    assert_eq!(authority.maintain(&actor()).unwrap().keys_removed, 0);
    scratch.reopen().issue(&order(&["again"])).unwrap();
}

#[test]
fn rotating_the_root_overlaps_until_the_last_leaf() {
    let scratch = Scratch::new();
    let authority = &scratch.authority;
    let old = scratch.issue(&order(&["old"])).unwrap();
    let before = authority.trust_bundle();
    let rotated = authority.rotate(Rotate::Root, None, &actor()).unwrap();
    assert!(rotated.bridged);
    assert_eq!(rotated.overlap_until, Some(old.not_after));
    let during = authority.trust_bundle();
    assert_eq!(during.len(), 2);
    assert_eq!(during[1], before[0]);
    let new = scratch.issue(&order(&["new"])).unwrap();
    assert_eq!((new.intermediates.len(), new.roots.len()), (2, 2));
    scratch.place.clock.advance(Duration::from_secs(2 * 86_400));
    let scratch = scratch.reopen();
    assert_eq!(scratch.authority.trust_bundle(), [during[0].clone()]);
    let later = scratch.issue(&order(&["later"])).unwrap();
    assert_eq!((later.intermediates.len(), later.roots.len()), (1, 1));
    // Nothing is left of the old root's keys in the end: root, intermediate and signer of each.
    let store = scratch.journal.store();
    let keys = || store.range(&sealock_store::KeyRange::prefix(b"ca/key/"), 100).unwrap().len();
    assert_eq!(keys(), 5);
    scratch.place.clock.advance(Duration::from_secs(9 * 86_400));
    assert_eq!(scratch.authority.maintain(&actor()).unwrap().keys_removed, 2);
    assert_eq!(keys(), 3);
}

#[test]
fn the_root_key_can_leave_and_come_back() {
    let scratch = Scratch::new();
    let authority = &scratch.authority;
    let passphrase = SecretBytes::new(b"correct horse".to_vec());
    let wrong = SecretBytes::new(b"wrong".to_vec());
    let exported = authority.export_root_key(Some(&passphrase), &actor()).unwrap();
    let file = RootKeyFile { pem: &exported, passphrase: Some(&passphrase) };
    let refused = |file: &RootKeyFile<'_>| authority.remove_root_key(file, &actor()).unwrap_err();
    let with = |passphrase| RootKeyFile { pem: &exported, passphrase };
    assert!(matches!(refused(&with(None)), AuthorityError::PassphraseMissing));
    assert!(matches!(refused(&with(Some(&wrong))), AuthorityError::PassphraseWrong));
    let other = Scratch::new().authority.export_root_key(None, &actor()).unwrap();
    let foreign = RootKeyFile { pem: &other, passphrase: None };
    assert!(matches!(refused(&foreign), AuthorityError::WrongRootKey(_)));

    authority.remove_root_key(&file, &actor()).unwrap();
    authority.remove_root_key(&file, &actor()).unwrap();
    assert!(matches!(authority.export_root_key(None, &actor()), Err(AuthorityError::RootKeyAway)));
    assert!(
        !authority
            .ca_info()
            .issuers
            .iter()
            .any(|ca| ca.key_here && ca.kind == sealock_authority::IssuerKind::Root)
    );

    // Everything but a new intermediate works without it, also after a restart.
    let scratch = scratch.reopen();
    let authority = &scratch.authority;
    let issued = scratch.issue(&order(&["web"])).unwrap();
    authority.renew(issued.serial, &Renewal::default(), &actor()).unwrap();
    authority.revoke(issued.serial, Reason::Unspecified, &actor()).unwrap();
    assert_eq!(authority.crls().unwrap().len(), 2);
    assert!(matches!(
        authority.rotate(Rotate::Intermediate, None, &actor()),
        Err(AuthorityError::RootKeyAway)
    ));
    scratch.place.clock.advance(Duration::from_secs(300 * 86_400));
    assert!(authority.maintain(&actor()).unwrap().rotation_needs_root_key);
    let root_list = || authority.crl_of(authority.ca_info().issuers[0].id).unwrap().unwrap();
    let before = root_list();
    authority.rotate(Rotate::Intermediate, Some(&file), &actor()).unwrap();
    scratch.issue(&order(&["web"])).unwrap();
    // The root's list lasts until its key is needed again.
    let after = root_list();
    assert_eq!((before.number, after.number), (1, 2));
    assert_eq!(after.next_update, authority.ca_info().issuers[1].not_after);
}

#[test]
fn a_rotation_cut_short_is_finished_at_the_next_start() {
    let scratch = Scratch::new();
    let old = scratch.issue(&order(&["old"])).unwrap();
    let rotated = scratch.authority.rotate(Rotate::Root, None, &actor()).unwrap();
    let store = scratch.journal.store().clone();
    let state = || -> serde_json::Value {
        serde_json::from_slice(&store.get(b"ca/state").unwrap().unwrap().value).unwrap()
    };
    let finished = state();
    // As it is between the two commits of a rotation.
    let mut cut = finished.clone();
    for issuer in cut["issuers"].as_array_mut().unwrap() {
        issuer.as_object_mut().unwrap().remove("last_leaf");
    }
    assert_ne!(cut, finished);
    let put = sealock_store::Transaction::new().put("ca/state", cut.to_string());
    store.commit(&put).unwrap();
    let scratch = scratch.reopen();
    assert_eq!(state(), finished);
    assert_eq!(rotated.overlap_until, Some(old.not_after));
    assert_eq!(scratch.authority.trust_bundle().len(), 2);
}

#[test]
fn many_threads_issue_while_the_intermediate_rotates() {
    let scratch = Scratch::new();
    let issued: Vec<_> = std::thread::scope(|scope| {
        let issuers: Vec<_> = (0..8)
            .map(|thread| {
                let scratch = &scratch;
                scope.spawn(move || {
                    (0..25)
                        .map(|n| scratch.issue(&order(&[&format!("t{thread}-{n}")])).unwrap())
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        for _ in 0..3 {
            scratch.authority.rotate(Rotate::Intermediate, None, &actor()).unwrap();
        }
        issuers.into_iter().flat_map(|issuer| issuer.join().unwrap()).collect()
    });
    assert_eq!(issued.len(), 200);
    let mut serials: Vec<_> = issued.iter().map(|issued| issued.serial).collect();
    serials.sort();
    serials.dedup();
    assert_eq!(serials.len(), 200);
    assert_eq!(scratch.authority.list(&ListFilter::default()).unwrap().len(), 200);
    scratch.journal.checkpoint().unwrap();
}

#[test]
fn what_expired_long_ago_is_pruned() {
    let scratch = Scratch::new();
    let old = scratch.issue(&order(&["old"])).unwrap();
    let bad = scratch.issue(&order(&["bad"])).unwrap();
    scratch.authority.revoke(bad.serial, Reason::Unspecified, &actor()).unwrap();
    scratch.place.clock.advance(Duration::from_secs(80 * 86_400));
    scratch.issue(&order(&["new"])).unwrap();
    assert_eq!(scratch.authority.maintain(&actor()).unwrap().pruned, 0);
    scratch.place.clock.advance(Duration::from_secs(20 * 86_400));
    assert_eq!(scratch.authority.maintain(&actor()).unwrap().pruned, 2);
    assert_eq!(scratch.authority.list(&ListFilter::default()).unwrap().len(), 1);
    assert!(scratch.authority.show(&old.serial.to_string()).is_err());
    let left = scratch.journal.store().range(&sealock_store::KeyRange::prefix(b"cert/"), 100);
    assert_eq!(left.unwrap().len(), 4);
}

#[test]
fn the_audit_chain_verifies_with_signers_old_and_new() {
    let scratch = Scratch::new();
    scratch.issue(&order(&["web"])).unwrap();
    scratch.journal.checkpoint().unwrap();
    scratch.authority.rotate(Rotate::Root, None, &actor()).unwrap();
    scratch.issue(&order(&["web"])).unwrap();
    scratch.journal.checkpoint().unwrap();
    let check = |certificate: &str, message: &[u8], signature: &[u8]| {
        scratch.authority.check_checkpoint(certificate, message, signature)
    };
    let report = scratch.journal.verify(&check, None).unwrap();
    assert_eq!((report.checkpoints, report.signed_through), (2, report.records - 1));
    let stranger = Scratch::new();
    let check = |certificate: &str, message: &[u8], signature: &[u8]| {
        stranger.authority.check_checkpoint(certificate, message, signature)
    };
    assert!(scratch.journal.verify(&check, None).is_err());
}

#[test]
fn lists_are_by_expiry_by_name_and_by_age() {
    let scratch = Scratch::new();
    let authority = &scratch.authority;
    let clock = &scratch.place.clock;
    let with = |name: &str, hours: u64| {
        clock.advance(Duration::from_millis(7));
        let ttl = Duration::from_secs(hours * 3600);
        scratch.issue(&Order { ttl, ..order(&[name]) }).unwrap().serial
    };
    let (a1, b, a2) = (with("a", 5), with("b", 3), with("a", 4));
    let gone = with("gone", 1);
    clock.advance(Duration::from_secs(2 * 3600));
    let list = |filter: ListFilter| -> Vec<Serial> {
        authority.list(&filter).unwrap().iter().map(|found| found.serial).collect()
    };
    let within = |hours: u64| ListFilter {
        expiring_within: Some(Duration::from_secs(hours * 3600)),
        ..ListFilter::default()
    };
    assert_eq!(list(ListFilter::default()), [gone, a2, b, a1]);
    assert_eq!(list(ListFilter { limit: 2, ..ListFilter::default() }), [gone, a2]);
    assert_eq!(list(within(24)), [b, a2, a1]);
    assert_eq!(list(within(2)), [b, a2]);
    assert_eq!(list(ListFilter { limit: 1, ..within(24) }), [b]);
    let named = |name: &str| Some(name.to_owned());
    assert_eq!(list(ListFilter { name: named("a"), ..within(24) }), [a2, a1]);
    assert_eq!(list(ListFilter { name: named("a"), ..ListFilter::default() }), [a2, a1]);
    assert_eq!(list(ListFilter { name: named("c"), ..ListFilter::default() }), []);
    let state = |state| ListFilter { state: Some(state), ..ListFilter::default() };
    assert_eq!(list(state(CertState::Expired)), [gone]);
    assert_eq!(list(state(CertState::Valid)), [b, a2, a1]);
    authority.revoke(b, Reason::Superseded, &actor()).unwrap();
    authority.renew(a2, &Renewal::default(), &actor()).unwrap();
    assert_eq!(list(state(CertState::Revoked)), [b]);
    assert_eq!(list(state(CertState::Replaced)), [a2]);
    let replaced = ListFilter { state: Some(CertState::Replaced), ..within(24) };
    assert_eq!(list(replaced), [a2]);
    let revoked = ListFilter { state: Some(CertState::Revoked), ..within(24) };
    assert_eq!(list(revoked), [b]);
}

#[test]
fn damage_is_said_and_not_worked_around() {
    let scratch = Scratch::new();
    let issued = scratch.issue(&order(&["web"])).unwrap();
    let store = scratch.journal.store().clone();
    let put = |key: &[u8], value: &[u8]| {
        store.commit(&sealock_store::Transaction::new().put(key, value)).unwrap();
    };
    let open = || Authority::open(scratch.journal.clone(), scratch.place.keyring());
    let under = |prefix: &[u8]| store.range(&sealock_store::KeyRange::prefix(prefix), 100).unwrap();

    let main = under(b"cert/main/");
    let mut cut = main[0].1.value.clone();
    cut.truncate(100);
    put(&main[0].0, &cut);
    let refused = scratch.authority.show(&issued.serial.to_string()).unwrap_err();
    assert!(matches!(refused, AuthorityError::Corrupt { .. }), "{refused}");

    // Two sealed keys that were swapped do not open: the seal binds the name.
    let keys = under(b"ca/key/");
    put(&keys[0].0, &keys[1].1.value);
    put(&keys[1].0, &keys[2].1.value);
    put(&keys[2].0, &keys[0].1.value);
    assert!(matches!(open(), Err(AuthorityError::Unseal { .. })));
    for (key, entry) in &keys {
        put(key, &entry.value);
    }
    open().unwrap();

    let state = under(b"ca/state");
    put(&state[0].0, b"{}");
    assert!(matches!(open(), Err(AuthorityError::Corrupt { .. })));
    let newer = String::from_utf8(state[0].1.value.clone()).unwrap();
    put(&state[0].0, newer.replace("\"format\":1", "\"format\":2").as_bytes());
    assert!(matches!(open(), Err(AuthorityError::Corrupt { .. })));
    let empty = Place::new();
    let nothing = Authority::open(empty.journal(), empty.keyring());
    assert!(matches!(nothing, Err(AuthorityError::Missing)));
}

#[tokio::test]
async fn many_orders_wait_for_the_disk_together() {
    let scratch = Scratch::new();
    let authority = &scratch.authority;
    let orders: Vec<_> = (0..50).map(|number| order(&[&format!("n{number}.example")])).collect();
    let actor = actor();
    let issues = orders.iter().map(|order| authority.issue_async(order, &actor));
    let issued = futures_util::future::join_all(issues).await;
    assert!(issued.iter().all(Result::is_ok));
    assert_eq!(authority.list(&ListFilter::default()).unwrap().len(), 50);
}

#[test]
fn names_and_keys_that_must_not_be_are_refused() {
    let scratch = Scratch::new();
    let issued = scratch.issue(&order(&["web"])).unwrap();
    let refused = |order: &Order| match scratch.issue(order) {
        Err(AuthorityError::Order(error)) => error,
        other => panic!("{other:?}"),
    };
    let foreign = Some("spiffe://other.example/service/web".parse().unwrap());
    let error = refused(&Order { identity: foreign, ..order(&["web"]) });
    assert!(matches!(error, OrderError::ForeignIdentity { .. }));
    assert_eq!(scratch.authority.list(&ListFilter::default()).unwrap().len(), 1);
    assert_eq!(facts(&scratch.journal), ["ca-created", "cert-issued"]);
    assert!(scratch.authority.show("web").unwrap().der == issued.leaf_der);
}
