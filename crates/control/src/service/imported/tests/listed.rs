//! What lists and reports say of what was imported.

use std::time::Duration;

use super::{DAY, World};
use crate::command::{
    CaRequest, CertRequest, CertificateList, CertificateState, Command, InventoryReport, Issue,
    List, Names, Reply,
};
use crate::error::ServiceError;

fn list(world: &World, list: List) -> Result<CertificateList, ServiceError> {
    match world.call(Command::CertList(list))? {
        Reply::Certificates(found) => Ok(found),
        other => panic!("{other:?}"),
    }
}

/// Name, and whether it is imported.
fn rows(found: &CertificateList) -> Vec<(&str, bool)> {
    found.certificates.iter().map(|one| (one.name.as_str(), one.imported.is_some())).collect()
}

fn report(world: &World, limit: Option<usize>) -> InventoryReport {
    match world.call(Command::CertReport { limit }).unwrap() {
        Reply::Inventory(report) => *report,
        other => panic!("{other:?}"),
    }
}

fn issue(world: &World, name: &str, days: u64) {
    let names = Names { dns: vec![format!("{name}.example")], ..Names::default() };
    let ttl = Some(days * DAY);
    let wanted = Issue { name: name.to_owned(), names, ttl, ..Issue::default() };
    world.call(Command::CertIssue(wanted)).unwrap();
    world.clock.advance(Duration::from_secs(60));
}

/// Asked for, and signed for so many days.
fn import(world: &World, name: &str, days: u64) {
    let wanted = CertRequest { name: name.to_owned(), ..World::wanted() };
    let csr = world.request(wanted).unwrap().waiting.unwrap().csr;
    let leaf = world.sign(&csr, days);
    world.import_as(name, &[leaf, world.issuing.2.clone()]).unwrap();
    world.clock.advance(Duration::from_secs(60));
}

/// Ours and theirs in turn, of which two are called the same.
fn mixed() -> World {
    let world = World::new();
    world.trust_root();
    issue(&world, "a10", 10);
    import(&world, "b20", 20);
    issue(&world, "web", 30);
    import(&world, "web", 40);
    issue(&world, "c50", 50);
    world
}

const A10: (&str, bool) = ("a10", false);
const B20: (&str, bool) = ("b20", true);
const OURS: (&str, bool) = ("web", false);
const THEIRS: (&str, bool) = ("web", true);
const C50: (&str, bool) = ("c50", false);

#[test]
fn lists_have_what_was_imported_in_their_order_and_within_their_limit() {
    let world = mixed();
    let of = |wanted: List| list(&world, wanted).unwrap();
    let all = of(List::default());
    // Of the administrator's own certificate nothing is said here.
    let listed = |found: &CertificateList| -> Vec<(String, bool)> {
        let shown = rows(found).into_iter().filter(|(name, _)| *name != "sealock-admin");
        shown.map(|(name, imported)| (name.to_owned(), imported)).collect()
    };
    let same = |found: &CertificateList, wanted: &[(&str, bool)]| {
        let wanted: Vec<_> = wanted.iter().map(|(name, is)| ((*name).to_owned(), *is)).collect();
        assert_eq!(listed(found), wanted);
    };
    same(&all, &[A10, B20, OURS, THEIRS, C50]);
    assert!(!all.more);
    for limit in 1..=all.certificates.len() {
        let some = of(List { limit: Some(limit), ..List::default() });
        assert_eq!(some.certificates, all.certificates[..limit]);
        assert_eq!(some.more, limit < all.certificates.len());
    }
    same(&of(List { expiring: Some(35 * DAY), ..List::default() }), &[A10, B20, OURS]);
    same(&of(List { all: true, ..List::default() }), &[C50, THEIRS, OURS, B20, A10]);
    let named = |all| List { name: Some("web".into()), all, ..List::default() };
    same(&of(named(true)), &[THEIRS, OURS]);
    same(&of(named(false)), &[THEIRS, OURS]);
    let state = |state| List { state: Some(state), ..List::default() };
    same(&of(state(CertificateState::Revoked)), &[]);
    same(&of(state(CertificateState::Replaced)), &[]);
    same(&of(state(CertificateState::Expired)), &[]);
    // Nobody knows of a container that has it.
    same(&of(List { container: Some("web".into()), ..List::default() }), &[]);

    let theirs = all.certificates.iter().find(|one| one.name == "b20").unwrap();
    let from = theirs.imported.as_ref().unwrap();
    assert_eq!((from.issuer.as_str(), from.root.as_deref()), ("CN=Corp Issuing", Some("corp")));
    assert_eq!(theirs.common_name.as_deref(), Some("www.corp.example"));
    assert_eq!((theirs.key.as_str(), theirs.state.as_str()), ("p256", "valid"));

    world.clock.advance(Duration::from_secs(35 * DAY));
    same(&of(List::default()), &[THEIRS, C50]);
    same(&of(state(CertificateState::Expired)), &[OURS, B20, A10]);
    same(&of(List { expiring: Some(10 * DAY), ..List::default() }), &[THEIRS]);
}

#[test]
fn the_companys_ca_is_found_by_its_names_and_by_its_id() {
    let world = mixed();
    let by = |issuer: &str| list(&world, List { issuer: Some(issuer.into()), ..List::default() });
    let all = list(&world, List::default()).unwrap();
    let id = all.certificates.iter().find(|one| one.imported.is_some()).unwrap().issuer.clone();
    for name in ["corp", "Corp Issuing", "corp issuing", "CN=Corp Issuing", "Corp Root", &id] {
        assert_eq!(rows(&by(name).unwrap()), [B20, THEIRS], "{name}");
    }
    let own = all.certificates.iter().find(|one| one.imported.is_none()).unwrap().issuer.clone();
    for name in ["own", &own] {
        let found = by(name).unwrap();
        assert!(found.certificates.len() >= 3, "{name}");
        assert!(found.certificates.iter().all(|one| one.imported.is_none()), "{name}");
    }
    for unknown in ["corporation", "", "0011223344556677", "\u{1b}[2J"] {
        let error = by(unknown).unwrap_err();
        assert!(error.hint.as_ref().unwrap().contains("trust list"), "{error:?}");
        assert!(!error.message.contains('\u{1b}'));
    }
    // A root that nothing is below yet is known all the same.
    let empty = World::new();
    empty.trust_root();
    let wanted = List { issuer: Some("corp".into()), ..List::default() };
    assert_eq!(rows(&list(&empty, wanted).unwrap()), []);
}

#[test]
fn a_report_counts_what_was_imported_and_says_once_what_waits() {
    let world = mixed();
    world.request(CertRequest { name: "waits".into(), ..World::wanted() }).unwrap();
    let subject = Some("CN=Docker Issuing CA,O=Corp".to_owned());
    let wanted = CaRequest { name: "line".into(), subject, ..CaRequest::default() };
    world.call(Command::CaRequest(wanted)).unwrap();
    let whole = report(&world, None);
    assert_eq!((whole.totals.imported, whole.left_out), (2, 0));
    assert_eq!(whole.totals.all, whole.certificates.len() as u64);
    assert_eq!(whole.totals.valid, whole.totals.all);
    assert_eq!(whole.keys.iter().map(|key| key.certificates).sum::<u64>(), whole.totals.all);
    assert!(whole.certificates.is_sorted_by_key(|one| one.seconds_left), "soonest first");
    let theirs = whole.certificates.iter().find(|one| one.certificate.name == "b20").unwrap();
    assert_eq!((theirs.algorithm.as_str(), theirs.bits), ("ECDSA", 256));
    assert!(theirs.certificate.imported.as_ref().unwrap().subject.contains("O=Corp"));
    let of = |name: &str| whole.to_do.iter().filter(|it| it.subject == name).count();
    assert_eq!((of("waits"), of("issuer line")), (1, 1), "{:?}", whole.to_do);
    let short = report(&world, Some(2));
    assert_eq!((short.certificates.len() as u64, short.left_out), (2, whole.totals.all - 2));

    // Its end is told as an alarm and by the request, and not as one of ours that nobody has renewed.
    world.clock.advance(Duration::from_secs(38 * DAY));
    world.service().keep_imported().unwrap();
    let later = report(&world, None);
    let expired = later.certificates.iter().filter(|one| one.certificate.state == "expired");
    assert_eq!((later.totals.expired, later.totals.imported), (expired.count() as u64, 2));
    assert!(later.totals.expired >= 3 && later.left_out == 0);
    let kinds: Vec<&str> =
        later.to_do.iter().filter(|it| it.subject == "web").map(|it| it.kind.as_str()).collect();
    assert_eq!(kinds, ["imported-expiring", "renewal"]);
}
