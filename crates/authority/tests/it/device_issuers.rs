//! Issuing CAs under a root of somebody else whose keys are in a device: one of memory only, as in `device`.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SubjectPublicKeyInfo, date_time_ymd,
};
use sealock_authority::{
    AuthorityError, ImportedIssuer, IssuerError, IssuerStanding, IssuerWishes, KeyHome, KeyWhere,
    MigrateTo, Order, Publication, Reason,
};
use sealock_core::IssuerName;
use x509_parser::prelude::{FromDer, X509CertificationRequest};

use crate::common::{actor, order};
use crate::device::{INTO, Mood, World};

/// A company, whose root is known.
pub(crate) struct Signer {
    root: KeyPair,
}

fn parameters(name: &str) -> CertificateParams {
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (parameters.not_before, parameters.not_after) =
        (date_time_ymd(2020, 1, 1), date_time_ymd(2090, 1, 1));
    parameters
}

impl Signer {
    pub(crate) fn known_to(authority: &sealock_authority::Authority) -> Self {
        let root = KeyPair::generate().unwrap();
        let der = parameters("Corp Root").self_signed(&root).unwrap();
        authority.add_anchor(der.der(), None, false, &actor()).unwrap();
        Self { root }
    }

    /// What the company makes of a CSR (PEM), under this subject; what signs it is verified.
    pub(crate) fn sign(&self, csr: &str, name: &str) -> Vec<u8> {
        self.sign_as(csr, parameters(name))
    }

    pub(crate) fn sign_for(&self, csr: &str, name: &str, days: i64) -> Vec<u8> {
        let mut parameters = parameters(name);
        let now = rcgen_now();
        parameters.not_before = now - Duration::from_secs(60);
        parameters.not_after = now + Duration::from_secs(u64::try_from(days).unwrap() * 86_400);
        self.sign_as(csr, parameters)
    }

    fn sign_as(&self, csr: &str, parameters: CertificateParams) -> Vec<u8> {
        let (_, csr) = x509_parser::pem::parse_x509_pem(csr.as_bytes()).unwrap();
        sealock_authority::parse_csr(&csr.contents).unwrap();
        let (_, read) = X509CertificationRequest::from_der(&csr.contents).unwrap();
        let public =
            SubjectPublicKeyInfo::from_der(read.certification_request_info.subject_pki.raw);
        let root = Issuer::new(self::parameters("Corp Root"), &self.root);
        parameters.signed_by(&public.unwrap(), &root).unwrap().der().to_vec()
    }
}

fn rcgen_now() -> time::OffsetDateTime {
    std::time::SystemTime::now().into()
}

pub(crate) fn corp() -> IssuerName {
    "corp".parse().unwrap()
}

fn by_corp(name: &str) -> Order {
    Order { issuer: Some(corp()), ..order(&[name]) }
}

fn wishes(home: Option<KeyHome>) -> IssuerWishes {
    IssuerWishes { subject: Some("CN=Issuing".parse().unwrap()), key_type: None, home }
}

impl World {
    fn ask(&self, home: Option<KeyHome>, replace: bool) -> Result<IssuerStanding, IssuerError> {
        let asked = self.authority.request_issuer(&corp(), &wishes(home), replace, &actor());
        asked.map(|asked| asked.standing)
    }

    fn take(&self, signer: &Signer) -> Result<ImportedIssuer, IssuerError> {
        let waiting = self.standing().waiting.unwrap();
        let signed = signer.sign(&waiting.csr, "Issuing");
        self.authority.import_issuer(&corp(), &[signed], &actor())
    }

    fn standing(&self) -> IssuerStanding {
        self.authority.issuer_standing(&corp()).unwrap()
    }
}

fn empty() -> World {
    World::new(KeyHome::Store, KeyHome::Store)
}

fn in_device(place: &KeyWhere) -> bool {
    matches!(place, KeyWhere::Device(_))
}

#[test]
fn the_key_of_an_issuing_ca_is_made_in_the_device_and_signs_there() {
    let world = empty();
    let urls = Publication {
        url: Some("http://pki.corp.example".into()),
        ocsp: true,
        ..Publication::default()
    };
    world.authority.publish(urls).unwrap();
    let signer = Signer::known_to(&world.authority);
    let asked = world.ask(Some(KeyHome::Device), false).unwrap();
    assert!(in_device(&asked.waiting.unwrap().key_where));
    assert_eq!(world.device.count(), 1);
    // What waits there stays there.
    assert_eq!(world.ask(None, false).unwrap(), world.standing());
    let other = world.ask(Some(KeyHome::Store), false).unwrap_err();
    assert!(matches!(other, IssuerError::OtherWishes(_)), "{other}");
    let world = world.reopen(true);
    world.authority.maintain(&actor()).unwrap();
    assert_eq!(world.device.count(), 1, "a key that waits for its certificate is wanted");
    let held = world.take(&signer).unwrap().standing.held.unwrap();
    assert!(in_device(&held.key_where));
    let issued = world.authority.issue(&by_corp("a.corp.example"), &actor()).unwrap();
    let world = world.reopen(true);
    world.authority.revoke(issued.serial, Reason::Superseded, &actor()).unwrap();
    assert_eq!(world.authority.crl_of(held.id).unwrap().unwrap().entries, 1);
    // The successor may have its key elsewhere, and the one after it there again.
    world.ask(Some(KeyHome::Store), false).unwrap();
    assert!(!in_device(&world.take(&signer).unwrap().standing.held.unwrap().key_where));
    assert_eq!(world.device.count(), 1, "the one before is needed for its lists");
    let next = world.ask(None, false).unwrap();
    assert!(!in_device(&next.waiting.unwrap().key_where), "where that of before is");
    world.ask(Some(KeyHome::Device), true).unwrap();
    assert_eq!(world.device.count(), 2);
    world.authority.cancel_issuer(&corp(), &actor()).unwrap();
    assert_eq!(world.device.count(), 1);
    world.place.clock.advance(Duration::from_secs(30 * 86_400));
    assert!(world.authority.maintain(&actor()).unwrap().keys_removed > 0);
    assert_eq!(world.device.count(), 0, "and then it goes");
    world.authority.issue(&by_corp("b.corp.example"), &actor()).unwrap();
}

#[test]
fn a_device_that_is_away_or_lies_leaves_an_issuing_ca_as_it_was() {
    let world = empty();
    let signer = Signer::known_to(&world.authority);
    let device = |error: IssuerError| match error {
        IssuerError::Authority(AuthorityError::Device(error)) => error,
        other => panic!("{other:?}"),
    };
    for mood in [Mood::Away, Mood::Lies] {
        let before = world.events();
        world.device.be(mood);
        device(world.ask(Some(KeyHome::Device), false).unwrap_err());
        assert!(world.authority.issuers().is_empty());
        assert_eq!(world.events(), before);
        world.device.be(Mood::Well);
        world.authority.maintain(&actor()).unwrap();
        assert_eq!(world.device.count(), 0, "{mood:?}");
    }
    world.ask(Some(KeyHome::Device), false).unwrap();
    let waits = world.standing();
    for mood in [Mood::Away, Mood::Lies] {
        let before = world.events();
        world.device.be(mood);
        let error = device(world.take(&signer).unwrap_err());
        assert!(error.message.contains("HSM"), "not the pile's fault: {error:?}");
        assert_eq!((world.standing(), world.events()), (waits.clone(), before));
        world.device.be(Mood::Well);
    }
    world.take(&signer).unwrap();
    let before = world.events();
    world.device.be(Mood::Away);
    let error = world.authority.issue(&by_corp("a.corp.example"), &actor()).unwrap_err();
    assert!(matches!(&error, AuthorityError::Device(it) if it.may_pass), "{error:?}");
    assert_eq!(world.events(), before);
    world.authority.issue(&order(&["ours.corp.example"]), &actor()).unwrap();
    world.device.be(Mood::Well);
    world.authority.issue(&by_corp("a.corp.example"), &actor()).unwrap();
    // Opened without any device, all of the rest is there.
    let world = world.reopen(false);
    let error = world.authority.issue(&by_corp("b.corp.example"), &actor()).unwrap_err();
    assert!(error.to_string().contains("settings name none"), "{error}");
    world.authority.issue(&order(&["b.corp.example"]), &actor()).unwrap();
}

/// Whenever the device goes in the middle: a key in it is one that the state names, or it is gone with the next that works.
#[test]
fn what_is_cut_short_at_any_call_leaves_no_key_behind() {
    let named = |world: &World| {
        let standing = world.authority.issuer_standing(&corp());
        let waits = standing.as_ref().and_then(|it| it.waiting.as_ref()).map(|it| &it.key_where);
        let signs = standing.as_ref().and_then(|it| it.held.as_ref()).map(|it| &it.key_where);
        [waits, signs].into_iter().flatten().filter(|place| in_device(place)).count()
    };
    let healed = |world: World, calls: usize| {
        let world = world.reopen(true);
        world.device.be(Mood::Well);
        world.authority.maintain(&actor()).unwrap();
        assert_eq!(world.device.count(), named(&world), "{calls}");
        world
    };
    for calls in 0..8 {
        let world = empty();
        let signer = Signer::known_to(&world.authority);
        world.device.last(calls);
        let asked = world.ask(Some(KeyHome::Device), false);
        let world = healed(world, calls);
        assert_eq!(asked.is_ok(), named(&world) == 1);
        world.ask(Some(KeyHome::Device), false).unwrap();
        world.device.last(calls);
        let _ = world.ask(Some(KeyHome::Device), true);
        let world = healed(world, calls);
        assert_eq!(named(&world), 1, "the one before or the new one");
        world.device.last(calls);
        let taken = world.take(&signer).is_ok();
        let world = healed(world, calls);
        assert_eq!(world.standing().held.is_some(), taken);
        if taken {
            world.authority.issue(&by_corp("a.corp.example"), &actor()).unwrap();
        }
    }
}

#[test]
fn the_key_of_an_issuing_ca_moves_in_and_back() {
    let world = empty();
    let signer = Signer::known_to(&world.authority);
    let moved = |to: MigrateTo| world.authority.migrate_issuer_key(&corp(), to, &actor());
    assert!(matches!(moved(INTO), Err(AuthorityError::NoSuchIssuer { .. })));
    world.ask(None, false).unwrap();
    assert!(matches!(moved(INTO), Err(AuthorityError::IssuerWaits { .. })));
    world.take(&signer).unwrap();
    let before = world.standing().held.unwrap();
    let free = MigrateTo::Device { extractable: true };
    assert!(!moved(free).unwrap().already);
    assert!(moved(free).unwrap().already);
    let held = world.standing().held.unwrap();
    assert_eq!(held.fingerprint, before.fingerprint, "the certificate is the same");
    assert!(in_device(&held.key_where));
    world.authority.issue(&by_corp("a.corp.example"), &actor()).unwrap();
    assert!(!moved(MigrateTo::Store).unwrap().already);
    assert_eq!(world.device.count(), 0);
    world.authority.issue(&by_corp("b.corp.example"), &actor()).unwrap();
    // Our own keys have not moved.
    let own = world.authority.ca_info().issuers;
    assert!(own.iter().all(|issuer| issuer.key_where == KeyWhere::Store));
    assert!(!moved(INTO).unwrap().already);
    assert!(matches!(moved(MigrateTo::Store), Err(AuthorityError::Device(_))));
}
