//! On a scratch state folder with a corporate CA of the test's own.

mod handed_out;
mod listed;
mod published;
mod purposes;
mod requests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use sealock_core::audit::Fact;
use sealock_core::{Clock, ManualClock, Timestamp};

use crate::caller::{Caller, Door};
use crate::command::{
    CertImport, CertRequest, Command, Files, Init, Names, Reply, RequestReport, StatusReport,
    TrustAdd,
};
use crate::config::{Config, Environment, Flags};
use crate::error::ServiceError;
use crate::service::{Opening, Service};
use crate::state::{Purpose, StateFolder};

const DAY: u64 = 86_400;

pub(crate) struct World {
    folder: tempfile::TempDir,
    pub(crate) clock: Arc<ManualClock>,
    service: Option<Arc<Service>>,
    /// The settings, as in a file.
    settings: String,
    pub(crate) root: (CertificateParams, KeyPair, Vec<u8>),
    pub(crate) issuing: (CertificateParams, KeyPair, Vec<u8>),
}

fn authority(name: &str, clock: &ManualClock) -> CertificateParams {
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters.use_authority_key_identifier_extension = true;
    parameters.not_before = clock.now().minus(Duration::from_secs(DAY)).to_offset();
    parameters.not_after = clock.now().plus(Duration::from_secs(3650 * DAY)).to_offset();
    parameters
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with("")
    }

    /// With settings.
    pub(crate) fn with(settings: &str) -> Self {
        // In whole seconds, as certificates have it.
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
        let (parameters, key) = (authority("Corp Root", &clock), KeyPair::generate().unwrap());
        let der = parameters.self_signed(&key).unwrap().der().to_vec();
        let below = (authority("Corp Issuing", &clock), KeyPair::generate().unwrap());
        let issuer = Issuer::from_params(&parameters, &key);
        let issuing = below.0.signed_by(&below.1, &issuer).unwrap().der().to_vec();
        let mut world = Self {
            folder: tempfile::tempdir().unwrap(),
            clock,
            service: None,
            settings: settings.to_owned(),
            root: (parameters, key, der),
            issuing: (below.0, below.1, issuing),
        };
        world.reopen();
        world.call(Command::Init(Init::default())).unwrap();
        world
    }

    /// As after a kill: nothing but the state folder is left.
    pub(crate) fn reopen(&mut self) {
        drop(self.service.take());
        let flags: Flags = vec![("trust_domain", "test.sealock".to_owned())];
        let environment = Environment::default();
        let file = (self.path("sealock.toml"), self.settings.clone());
        let config = Config::from_parts(Some(&file), &environment, &flags).unwrap();
        let state = StateFolder::locate(Some(&self.path("s")), &environment).unwrap();
        let lock = state.open(Purpose::Command, Duration::from_secs(20)).unwrap();
        let mut opening = Opening::new(state, config, environment);
        opening.clock = Arc::clone(&self.clock) as _;
        self.service = Some(Service::open(opening, lock).unwrap());
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn service(&self) -> &Arc<Service> {
        self.service.as_ref().unwrap()
    }

    fn admin(&self) -> Caller {
        self.service().local_caller(Door::Process).unwrap()
    }

    pub(crate) fn call(&self, command: Command) -> Result<Reply, ServiceError> {
        self.service().run(&self.admin(), "r", command)
    }

    pub(crate) fn wanted() -> CertRequest {
        CertRequest {
            name: "web".into(),
            subject: Some("CN=www.corp.example,O=Corp".into()),
            names: Names { dns: vec!["www.corp.example".into()], ..Names::default() },
            ..CertRequest::default()
        }
    }

    pub(crate) fn request(&self, wanted: CertRequest) -> Result<RequestReport, ServiceError> {
        match self.call(Command::CertRequest(wanted))? {
            Reply::Requested(report) => Ok(*report),
            other => panic!("{other:?}"),
        }
    }

    /// The company signs a CSR for so many days.
    pub(crate) fn sign(&self, csr: &str, days: u64) -> Vec<u8> {
        self.signed(CertificateSigningRequestParams::from_pem(csr).unwrap(), days)
    }

    /// The same for something else than was asked for.
    fn sign_for(&self, csr: &str, days: u64, purpose: ExtendedKeyUsagePurpose) -> Vec<u8> {
        let mut csr = CertificateSigningRequestParams::from_pem(csr).unwrap();
        csr.params.extended_key_usages = vec![purpose];
        self.signed(csr, days)
    }

    fn signed(&self, mut csr: CertificateSigningRequestParams, days: u64) -> Vec<u8> {
        let (from, life) = (self.clock.now(), Duration::from_secs(days * DAY));
        csr.params.not_before = from.to_offset();
        csr.params.not_after = from.plus(life).to_offset();
        csr.params.is_ca = IsCa::ExplicitNoCa;
        csr.params.use_authority_key_identifier_extension = true;
        csr.signed_by(&Issuer::from_params(&self.issuing.0, &self.issuing.1))
            .unwrap()
            .der()
            .to_vec()
    }

    pub(crate) fn import(&self, certificates: &[Vec<u8>]) -> Result<Reply, ServiceError> {
        self.import_as("web", certificates)
    }

    fn import_as(&self, name: &str, certificates: &[Vec<u8>]) -> Result<Reply, ServiceError> {
        let certificates = certificates.iter().map(|der| BASE64.encode(der)).collect();
        let name = Some(name.to_owned());
        self.call(Command::CertImport(CertImport { name, certificates, ..CertImport::default() }))
    }

    /// The company signs what waits, and it is imported.
    pub(crate) fn serve_the_next(&self, days: u64) {
        let leaf = self.sign(&self.standing().waiting.unwrap().csr, days);
        let certificates = [&leaf, &self.issuing.2].map(|der| BASE64.encode(der)).to_vec();
        let name = Some("web".to_owned());
        // As by protocol, where it is taken as it comes.
        let wanted =
            CertImport { name, certificates, accept_shorter: true, ..CertImport::default() };
        self.call(Command::CertImport(wanted)).unwrap();
    }

    /// The same for a CSR that is made now.
    pub(crate) fn serve_again(&self, days: u64) {
        let upstream = self.standing().enrolment.map(|enrolment| enrolment.upstream);
        self.request(CertRequest { replace: true, upstream, ..Self::wanted() }).unwrap();
        self.serve_the_next(days);
    }

    pub(crate) fn trust_root(&self) {
        let certificate = BASE64.encode(&self.root.2);
        let name = Some("corp".to_owned());
        self.call(Command::TrustAdd(TrustAdd { certificate, name, intermediate: false })).unwrap();
    }

    fn files(&self) -> Result<Files, ServiceError> {
        match self.call(Command::CertFiles { name: "web".into() })? {
            Reply::Files(files) => Ok(*files),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn standing(&self) -> RequestReport {
        match self.call(Command::CertRequests { name: Some("web".into()) }).unwrap() {
            Reply::Requests(mut found) => found.remove(0),
            other => panic!("{other:?}"),
        }
    }

    fn report(&self) -> crate::command::InventoryReport {
        let caller = self.service().local_caller(crate::Door::Process).unwrap();
        match self.service().cert_report(&caller, "r", None).unwrap() {
            Reply::Inventory(report) => *report,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn status(&self) -> StatusReport {
        self.service().status_report().unwrap()
    }

    fn csr_file(&self) -> PathBuf {
        self.path("s/requests/web.csr")
    }

    pub(crate) fn facts(&self) -> Vec<Fact> {
        let records = self.service().journal().tail(0, 100_000).unwrap();
        records.into_iter().map(|record| record.event.fact).collect()
    }
}

/// Whether the key is that of the first certificate.
fn belong(files: &Files) -> bool {
    let key = KeyPair::from_pem(
        std::str::from_utf8(files.tls_key.as_ref().unwrap().bytes().expose()).unwrap(),
    );
    let leaf =
        sealock_formats::read(files.tls_crt.as_bytes(), None).unwrap().certificates.remove(0);
    let (_, leaf) = x509_parser::parse_x509_certificate(&leaf).unwrap();
    leaf.public_key().raw == rcgen::PublicKeyData::subject_public_key_info(&key.unwrap())
}
