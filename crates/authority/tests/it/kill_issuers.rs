//! SIGKILL at any moment of a request or import of an issuing CA: key, CSR and certificate are there together or not at all,
//! and no key stays behind.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SubjectPublicKeyInfo, date_time_ymd,
};
use sealock_authority::{Authority, IssuerWishes, Order};
use sealock_core::IssuerName;
use sealock_store::KeyRange;
use x509_parser::prelude::{FromDer, X509CertificationRequest};

use crate::common::{Place, actor, options, order};

const FOLDER: &str = "SEALOCK_TEST_KILL_ISSUERS_FOLDER";
const ROUNDS: u64 = 12;
/// So many where the machine is busy, and little was done in those.
const MOST_ROUNDS: u64 = 60;

fn name() -> IssuerName {
    "corp".parse().unwrap()
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

/// Asks, has it signed, imports and issues, again and again, until it is killed.
#[test]
#[ignore = "started by the test below"]
fn victim() {
    let place = Place::at(std::env::var_os(FOLDER).unwrap().into());
    let key = KeyPair::try_from(std::fs::read(place.path().join("root.key")).unwrap()).unwrap();
    let root = Issuer::new(parameters("Corp Root"), key);
    let authority = Authority::open(place.journal(), place.keyring()).unwrap();
    println!("\nready");
    let wishes =
        IssuerWishes { subject: Some("CN=Issuing".parse().unwrap()), ..IssuerWishes::default() };
    for number in 0_u64.. {
        let asked = authority.request_issuer(&name(), &wishes, number % 3 == 0, &actor()).unwrap();
        if number % 7 == 6 {
            authority.cancel_issuer(&name(), &actor()).unwrap();
            continue;
        }
        let csr = asked.standing.waiting.unwrap().csr;
        let (_, csr) = x509_parser::pem::parse_x509_pem(csr.as_bytes()).unwrap();
        let (_, read) = X509CertificationRequest::from_der(&csr.contents).unwrap();
        let public =
            SubjectPublicKeyInfo::from_der(read.certification_request_info.subject_pki.raw);
        let signed = parameters("Issuing").signed_by(&public.unwrap(), &root).unwrap();
        authority.import_issuer(&name(), &[signed.der().to_vec()], &actor()).unwrap();
        let wanted = Order { issuer: Some(name()), ..order(&["web.example"]) };
        authority.issue(&wanted, &actor()).unwrap();
        println!("\nimported");
    }
}

fn start(place: &Place) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["kill_issuers::victim", "--exact", "--ignored", "--nocapture"])
        .env(FOLDER, place.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn killed_at_any_moment_an_issuer_is_there_with_its_key_or_not_at_all() {
    let scratch = Place::new().create(&options());
    let key = KeyPair::generate().unwrap();
    std::fs::write(scratch.place.path().join("root.key"), key.serialize_der()).unwrap();
    let root = parameters("Corp Root").self_signed(&key).unwrap();
    scratch.authority.add_anchor(root.der(), None, false, &actor()).unwrap();
    let place = scratch.place;
    drop((scratch.authority, scratch.journal));
    let mut imported = 0;
    for round in 0..MOST_ROUNDS {
        if round >= ROUNDS && imported > 3 {
            break;
        }
        let mut victim = start(&place);
        let lines = BufReader::new(victim.stdout.take().unwrap()).lines();
        let mut heard = 0;
        for line in lines.map_while(Result::ok) {
            if line == "ready" {
                // At another moment of its work each time.
                std::thread::sleep(Duration::from_millis(3 + 11 * round));
                victim.kill().unwrap();
            }
            heard += u64::from(line == "imported");
        }
        victim.wait().unwrap();
        imported += heard;
        check(&place);
    }
    assert!(imported > 3, "{imported}");
}

/// As many keys as are named: our own, the audit signer's, and those of the issuer.
fn check(place: &Place) {
    let journal = place.journal();
    let authority = Authority::open(journal.clone(), place.keyring()).unwrap();
    let own = authority.ca_info().issuers.iter().filter(|issuer| issuer.key_here).count();
    let named = authority.issuers().iter().fold(own + 1, |count, issuer| {
        let waiting = usize::from(issuer.waiting.is_some());
        count + waiting + usize::from(issuer.held.is_some()) + issuer.retired.len()
    });
    let keys = journal.store().range(&KeyRange::prefix(b"ca/key/"), 10_000).unwrap();
    assert_eq!(keys.len(), named);
    if authority.issuers().iter().any(|issuer| issuer.held.is_some()) {
        let wanted = Order { issuer: Some(name()), ..order(&["web.example"]) };
        let issued = authority.issue(&wanted, &actor()).unwrap();
        assert!(authority.crl_of(issued.issuer).unwrap().is_some());
    }
    let good = |certificate: &str, message: &[u8], signature: &[u8]| {
        authority.check_checkpoint(certificate, message, signature)
    };
    journal.verify(&good, None).unwrap();
}
