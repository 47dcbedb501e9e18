//! The CSR that the daemon makes for an issuing CA, by the clock, and what is told of it.

use std::fs;
use std::time::Duration;

use data_encoding::BASE64;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyUsagePurpose,
    SubjectPublicKeyInfo,
};
use sealock_core::Clock as _;
use sealock_core::audit::Fact;
use x509_parser::prelude::{FromDer, X509CertificationRequest};

use crate::command::{
    CaImport, CaRequest, Command, IssuerImportReport, IssuingReport, Reply, TrustAdd,
};
use crate::service::CorporateWorld as World;

const DAY: Duration = Duration::from_secs(86_400);

impl World {
    fn ca_request(&self) -> IssuingReport {
        let subject = Some("CN=Issuing,O=Corp".to_owned());
        let wanted = CaRequest { name: "corp".into(), subject, ..CaRequest::default() };
        match self.call(Command::CaRequest(wanted)).unwrap() {
            Reply::Issuer(report) => *report,
            other => panic!("{other:?}"),
        }
    }

    /// The company signs the CSR for so many days, and it is imported.
    fn ca_signed(&self, csr: &str, days: u32) -> IssuerImportReport {
        let (_, csr) = x509_parser::pem::parse_x509_pem(csr.as_bytes()).unwrap();
        let (_, csr) = X509CertificationRequest::from_der(&csr.contents).unwrap();
        let public = SubjectPublicKeyInfo::from_der(csr.certification_request_info.subject_pki.raw);
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.distinguished_name.push(DnType::CommonName, "Issuing");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        parameters.not_before = self.clock.now().to_offset();
        parameters.not_after = self.clock.now().plus(DAY * days).to_offset();
        let root = Issuer::from_params(&self.root.0, &self.root.1);
        let signed = parameters.signed_by(&public.unwrap(), &root).unwrap();
        let certificates = vec![BASE64.encode(signed.der())];
        let import = CaImport { name: "corp".into(), certificates };
        match self.call(Command::CaImport(import)).unwrap() {
            Reply::IssuerImported(report) => *report,
            other => panic!("{other:?}"),
        }
    }

    fn issuer(&self) -> IssuingReport {
        match self.call(Command::CaIssuers).unwrap() {
            Reply::Issuers(all) => all.into_iter().find(|one| one.name == "corp").unwrap(),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn when_a_third_is_left_the_csr_of_an_issuing_ca_lies_there_until_its_certificate_is_imported() {
    let mut world = World::new();
    let certificate = BASE64.encode(&world.root.2);
    let trust = TrustAdd { certificate, name: Some("corp".into()), intermediate: false };
    world.call(Command::TrustAdd(trust)).unwrap();
    let first = world.ca_request();
    world.ca_signed(&first.waiting.unwrap().csr, 90);
    let (csr, txt) =
        (world.path("s/requests/issuers/corp.csr"), world.path("s/requests/issuers/corp.txt"));
    world.clock.advance(59 * DAY);
    world.service().keep_issuers().unwrap();
    assert!(!csr.exists() && world.status().todo.is_empty());
    world.clock.advance(2 * DAY);
    world.service().keep_issuers().unwrap();
    let written = fs::read_to_string(&csr).unwrap();
    let report = world.issuer();
    assert_eq!(report.state, "in use, to be signed anew");
    let anew = report.anew.unwrap();
    assert_eq!(anew.csr, written);
    let text = fs::read_to_string(&txt).unwrap();
    assert!(text.contains(&anew.key_sha256) && text.contains("Renews"), "{text}");
    assert!(text.contains("CN=Issuing") && !text.contains("O=Corp"), "what it is called: {text}");
    let todo = world.status().todo;
    assert_eq!((todo.len(), todo[0].kind.as_str()), (1, "issuer-expiry"), "{todo:?}");
    assert!(todo[0].text.contains(&csr.display().to_string()), "{todo:?}");
    assert!(todo[0].hint.contains("sealock ca import corp"), "{todo:?}");
    // Once, whatever is killed, and what is lost in the folder is written again.
    let asked = |world: &World| {
        let facts = world.facts();
        facts.iter().filter(|it| matches!(it, Fact::IssuerRequested { .. })).count()
    };
    assert_eq!(asked(&world), 2);
    fs::remove_file(&csr).unwrap();
    fs::write(world.path("s/requests/issuers/gone.csr"), "of an issuer that is gone").unwrap();
    world.reopen();
    world.service().keep_issuers().unwrap();
    assert_eq!(fs::read_to_string(&csr).unwrap(), written);
    assert!(!world.path("s/requests/issuers/gone.csr").exists());
    assert_eq!(asked(&world), 2);
    // The folder of leaves is another, and leaves this one alone.
    world.service().keep_imported().unwrap();
    assert!(csr.exists());
    let taken = world.ca_signed(&written, 300);
    assert!(taken.new && taken.issuer.anew.is_none(), "{taken:?}");
    assert!(!csr.exists() && !txt.exists() && world.status().todo.is_empty());
}
