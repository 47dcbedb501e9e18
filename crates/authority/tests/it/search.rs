//! What `list` finds by any combination of questions, and how little it reads for it.

use std::time::Duration;

use sealock_authority::{
    AuthorityError, CertState, IssuerKind, ListFilter, Listed, Order, Reason, Renewal, Rotate,
    Serial,
};

use crate::common::{Scratch, actor, order};

const HOUR: Duration = Duration::from_secs(3600);

struct Stage {
    scratch: Scratch,
}

impl Stage {
    fn new() -> Self {
        Self { scratch: Scratch::new() }
    }

    fn issue(&self, name: &str, hours: u32) -> Serial {
        self.scratch.place.clock.advance(Duration::from_millis(3));
        let ttl = HOUR * hours;
        let wanted = Order { name: name.to_owned(), ttl, ..order(&["web.example"]) };
        self.scratch.issue(&wanted).unwrap().serial
    }

    fn renew(&self, serial: Serial) -> Serial {
        self.scratch.place.clock.advance(Duration::from_millis(3));
        self.scratch.authority.renew(serial, &Renewal::default(), &actor()).unwrap().serial
    }

    fn revoke(&self, serial: Serial) {
        self.scratch.authority.revoke(serial, Reason::Superseded, &actor()).unwrap();
    }

    fn search(&self, filter: &ListFilter) -> Listed {
        self.scratch.authority.search(filter).unwrap()
    }

    fn list(&self, filter: ListFilter) -> Vec<Serial> {
        serials(&self.search(&filter))
    }
}

fn serials(listed: &Listed) -> Vec<Serial> {
    listed.certificates.iter().map(|one| one.serial).collect()
}

fn any() -> ListFilter {
    ListFilter::default()
}

fn of(state: CertState) -> ListFilter {
    ListFilter { state: Some(state), ..any() }
}

fn inside(container: &str) -> ListFilter {
    ListFilter { container: Some(container.to_owned()), ..any() }
}

#[test]
fn a_container_is_neither_its_neighbour_nor_a_name() {
    let stage = Stage::new();
    let (plain, neighbour) = (stage.issue("shop", 5), stage.issue("shop2/web", 5));
    let deeper = stage.issue("a/shop/web", 5);
    let first = stage.issue("shop/web", 9);
    let (second, api) = (stage.renew(first), stage.issue("shop/api", 2));
    assert_eq!(stage.list(inside("shop")), [api, second, first]);
    let valid = ListFilter { state: Some(CertState::Valid), ..inside("shop") };
    assert_eq!(stage.list(valid.clone()), [api, second]);
    let soon = ListFilter { expiring_within: Some(HOUR * 3), ..inside("shop") };
    assert_eq!(stage.list(soon.clone()), [api]);
    // By expiry, whatever the names; and the soonest ones where not all are wanted.
    let all = ListFilter { expiring_within: Some(HOUR * 24), ..inside("shop") };
    assert_eq!(stage.list(all.clone()), [api, second]);
    assert_eq!(stage.list(ListFilter { limit: 1, ..all }), [api]);
    let named = ListFilter { name: Some("shop/web".into()), ..inside("shop") };
    assert_eq!(stage.list(named), [second, first]);
    for foreign in ["shop", "shop2/web", "a/shop/web"] {
        let named = ListFilter { name: Some(foreign.into()), ..inside("shop") };
        assert_eq!(stage.list(named), [], "{foreign}");
    }
    for nobody in ["", "sho", "shop/", "shop/web", "web", "shop\0", "\u{ff}"] {
        assert_eq!(stage.list(inside(nobody)), [], "{nobody:?}");
    }
    assert_eq!(stage.list(inside("shop2")), [neighbour]);
    // What has two slashes belongs to what is before the first, as far as names go.
    assert_eq!(stage.list(inside("a")), [deeper]);
    assert_eq!(stage.list(ListFilter { name: Some("shop".into()), ..any() }), [plain]);
}

#[test]
fn states_are_disjoint_and_complete_and_counted() {
    let stage = Stage::new();
    let clock = &stage.scratch.place.clock;
    let (expired, expired_revoked) = (stage.issue("a", 1), stage.issue("b", 1));
    let expired_replaced = stage.issue("c", 1);
    stage.renew(expired_replaced);
    stage.revoke(expired_revoked);
    clock.advance(HOUR * 2);
    let (valid, old, revoked) = (stage.issue("d", 7), stage.issue("e", 9), stage.issue("f", 8));
    let new = stage.renew(old);
    stage.revoke(revoked);
    assert_eq!(stage.list(of(CertState::Valid)), [valid, new]);
    assert_eq!(stage.list(of(CertState::Replaced)), [old]);
    // Last to expire first.
    assert_eq!(stage.list(of(CertState::Revoked)), [revoked, expired_revoked]);
    let ended = stage.list(of(CertState::Expired));
    assert!(ended.contains(&expired) && ended.contains(&expired_replaced));
    assert_eq!(ended.len(), 3);
    let tally = stage.scratch.authority.tally().unwrap();
    let counted = (tally.valid, tally.replaced, tally.revoked, tally.expired);
    assert_eq!(counted, (2, 1, 2, 3));
    assert_eq!(tally.all(), 8);
    assert_eq!(stage.list(any()).len(), 8);
    assert_eq!(tally.in_force_by.into_iter().collect::<Vec<_>>(), [(1, 4)]);
    // Every state in which something is, and every question together with it.
    for state in [CertState::Valid, CertState::Replaced, CertState::Revoked, CertState::Expired] {
        let all = stage.search(&ListFilter { limit: 100, ..any() });
        let mut wanted: Vec<Serial> = all
            .certificates
            .iter()
            .filter(|one| one.state == state)
            .map(|one| one.serial)
            .collect();
        let issuer = all.certificates[0].issuer;
        let mut by_issuer = stage.list(ListFilter { issuer: Some(issuer), ..of(state) });
        wanted.sort();
        by_issuer.sort();
        assert_eq!(by_issuer, wanted, "{state:?}");
    }
}

#[test]
fn an_issuer_is_asked_for_what_it_has_signed() {
    let stage = Stage::new();
    let authority = &stage.scratch.authority;
    let first = authority
        .ca_info()
        .issuers
        .iter()
        .find(|one| one.kind == IssuerKind::Intermediate)
        .unwrap()
        .id;
    let (a, b) = (stage.issue("a", 9), stage.issue("b", 5));
    stage.scratch.place.clock.advance(HOUR);
    authority.rotate(Rotate::Intermediate, None, &actor()).unwrap();
    let second = authority
        .ca_info()
        .issuers
        .iter()
        .find(|one| one.kind == IssuerKind::Intermediate && one.active)
        .unwrap()
        .id;
    let (c, d) = (stage.issue("c", 1), stage.issue("d", 12));
    let by = |issuer| ListFilter { issuer: Some(issuer), ..any() };
    assert_eq!(stage.list(by(first)), [b, a]);
    assert_eq!(stage.list(by(second)), [d, c]);
    let soon = |issuer| ListFilter { expiring_within: Some(HOUR * 6), ..by(issuer) };
    assert_eq!((stage.list(soon(first)), stage.list(soon(second))), (vec![b], vec![c]));
    stage.revoke(b);
    let revoked = |issuer| ListFilter { state: Some(CertState::Revoked), ..by(issuer) };
    assert_eq!((stage.list(revoked(first)), stage.list(revoked(second))), (vec![b], vec![]));
    let valid = |issuer| ListFilter { state: Some(CertState::Valid), ..by(issuer) };
    assert_eq!((stage.list(valid(first)), stage.list(valid(second))), (vec![a], vec![c, d]));
    let root =
        authority.ca_info().issuers.iter().find(|one| one.kind == IssuerKind::Root).unwrap().id;
    assert_eq!(stage.list(by(root)), []);
    let unknown = authority.search(&by("00112233aabbccdd".parse().unwrap())).unwrap_err();
    assert!(matches!(unknown, AuthorityError::UnknownIssuer(_)), "{unknown}");
    assert!(unknown.hint().unwrap().contains("ca show"));
}

/// Two hundred certificates, and a few that are asked for.
#[test]
fn what_is_rare_is_found_without_reading_the_rest() {
    let stage = Stage::new();
    for number in 0..200 {
        stage.issue(&format!("service-{number}"), 200);
    }
    let (rare, gone) = (stage.issue("shop/web", 300), stage.issue("gone", 300));
    let old = stage.issue("old", 300);
    let new = stage.renew(old);
    stage.revoke(gone);
    let soon = stage.issue("soon", 2);
    let found = |filter: ListFilter, wanted: &[Serial], most: u64| {
        let listed = stage.search(&filter);
        assert_eq!(serials(&listed), wanted, "{filter:?}");
        assert!(listed.read <= most, "{} read for {filter:?}", listed.read);
        assert!(listed.rows <= most, "{} rows for {filter:?}", listed.rows);
        assert!(!listed.stopped);
    };
    found(inside("shop"), &[rare], 1);
    found(ListFilter { name: Some("old".into()), ..any() }, &[new, old], 2);
    found(of(CertState::Revoked), &[gone], 1);
    // Revoked ones are in the same part of the index.
    found(of(CertState::Replaced), &[old], 2);
    found(of(CertState::Expired), &[], 0);
    found(ListFilter { expiring_within: Some(HOUR * 3), ..any() }, &[soon], 1);
    found(ListFilter { limit: 1, ..of(CertState::Valid) }, &[soon], 1);
    found(ListFilter { limit: 2, ..any() }, &[soon, new], 2);
    // The new issuer's are found by a look at the rows of the index; no others are read.
    stage.scratch.place.clock.advance(HOUR);
    stage.scratch.authority.rotate(Rotate::Intermediate, None, &actor()).unwrap();
    let mine = stage.issue("mine", 250);
    let active = stage.search(&ListFilter { limit: 1, ..any() }).certificates[0].issuer;
    let by = ListFilter { issuer: Some(active), ..any() };
    found(by.clone(), &[mine], 1);
    let listed = stage.search(&ListFilter { state: Some(CertState::Valid), ..by });
    assert_eq!((serials(&listed), listed.read), (vec![mine], 1));
}

#[test]
fn a_search_in_vain_ends_and_says_so() {
    let stage = Stage::new();
    for number in 0..50 {
        stage.issue(&format!("shop/{number}"), 200);
    }
    let revoked = stage.issue("shop/00", 200);
    stage.revoke(revoked);
    let asked = ListFilter { state: Some(CertState::Revoked), ..inside("shop") };
    let whole = stage.search(&asked);
    assert_eq!((serials(&whole), whole.stopped), (vec![revoked], false));
    // Ten certificates may be passed over; the eleventh ends it.
    let short = stage.search(&ListFilter { effort: 160, ..asked.clone() });
    assert_eq!((short.certificates.len(), short.stopped, short.read), (0, true, 11));
    // What is found costs nothing.
    let all = stage.search(&ListFilter { effort: 0, ..inside("shop") });
    assert_eq!((all.certificates.len(), all.stopped), (51, false));
}
