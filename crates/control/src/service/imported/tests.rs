//! State, refusals, kills and the clock, on a scratch state folder with a corporate CA of the test's own.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use sealock_core::audit::Fact;
use sealock_core::policy::ContainerFacts;
use sealock_core::{Clock, ManualClock, Timestamp};
use sealock_delivery::labels::{KeyType, Layout, Usages};
use sealock_delivery::watcher::{CertificateSource, Current, Refusal, WantedCertificate};

use crate::caller::{Caller, Door};
use crate::command::{
    CertImport, CertRequest, Command, Files, Init, Names, Reply, RequestReport, StatusReport,
    TrustAdd,
};
use crate::config::{Config, Environment, Flags};
use crate::error::{ErrorCode, ServiceError};
use crate::service::{Opening, PolicySource, Service};
use crate::state::{Purpose, StateFolder};

const DAY: u64 = 86_400;

pub(crate) struct World {
    folder: tempfile::TempDir,
    pub(crate) clock: Arc<ManualClock>,
    service: Option<Arc<Service>>,
    root: (CertificateParams, KeyPair, Vec<u8>),
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
            root: (parameters, key, der),
            issuing: (below.0, below.1, issuing),
        };
        world.reopen();
        world.call(Command::Init(Init::default())).unwrap();
        world
    }

    /// As after a kill: nothing but the state folder is left.
    fn reopen(&mut self) {
        drop(self.service.take());
        let flags: Flags = vec![("trust_domain", "test.sealock".to_owned())];
        let environment = Environment::default();
        let config = Config::from_parts(None, &environment, &flags).unwrap();
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
        let mut csr = CertificateSigningRequestParams::from_pem(csr).unwrap();
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

    fn import(&self, certificates: &[Vec<u8>]) -> Result<Reply, ServiceError> {
        let certificates = certificates.iter().map(|der| BASE64.encode(der)).collect();
        let name = Some("web".to_owned());
        self.call(Command::CertImport(CertImport { name, certificates, ..CertImport::default() }))
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

#[test]
fn the_same_request_is_the_same_csr_and_another_one_takes_replace() {
    let mut world = World::new();
    let first = world.request(World::wanted()).unwrap();
    let waiting = first.waiting.as_ref().unwrap();
    assert_eq!(first.state, "waiting for signature");
    assert_eq!(fs::read_to_string(world.csr_file()).unwrap(), waiting.csr);
    let text = fs::read_to_string(world.path("s/requests/web.txt")).unwrap();
    assert!(text.contains(&waiting.key_sha256) && text.contains("dns:www.corp.example"), "{text}");
    let facts = world.facts().len();
    assert_eq!(world.request(World::wanted()).unwrap(), first);
    assert_eq!(world.facts().len(), facts, "nothing has happened");

    let other = || CertRequest {
        names: Names { dns: vec!["shop.corp.example".into()], ..Names::default() },
        ..World::wanted()
    };
    let error = world.request(other()).unwrap_err();
    assert_eq!(error.code, ErrorCode::Conflict);
    assert!(error.hint.unwrap().contains("--replace"));
    assert_eq!(world.standing(), first);

    // Killed after the commit, before the files were written: the next start writes the same.
    fs::remove_dir_all(world.path("s/requests")).unwrap();
    world.reopen();
    world.service().keep_imported().unwrap();
    assert_eq!(fs::read_to_string(world.csr_file()).unwrap(), waiting.csr);
    assert_eq!(world.standing(), first);

    let replaced = world.request(CertRequest { replace: true, ..other() }).unwrap();
    let new = replaced.waiting.unwrap();
    assert_ne!(new.key_sha256, waiting.key_sha256);
    assert_eq!(fs::read_to_string(world.csr_file()).unwrap(), new.csr);
    world
        .call(Command::CertRequestDrop { name: "web".into(), forget: false, force: false })
        .unwrap();
    assert!(!world.csr_file().exists());
    let error = world.call(Command::CertRequests { name: Some("web".into()) }).unwrap_err();
    assert_eq!(error.code, ErrorCode::NotFound);
    let keys = sealock_store::KeyRange::prefix(b"imported/");
    let left = world.service().journal().store().range(&keys, 10).unwrap();
    assert!(left.is_empty(), "a dropped request leaves no key: {left:?}");
}

#[test]
fn what_comes_back_is_taken_as_a_whole_and_a_refusal_changes_nothing() {
    let mut world = World::new();
    let request = world.request(World::wanted()).unwrap();
    let leaf = world.sign(&request.waiting.unwrap().csr, 90);
    let issuing = world.issuing.2.clone();
    let waits = world.files().unwrap_err();
    assert!(waits.message.contains("waits for the signature"), "{waits:?}");

    let (before, facts) = (world.standing(), world.facts().len());
    let unknown = world.import(&[leaf.clone(), issuing.clone(), world.root.2.clone()]).unwrap_err();
    assert!(unknown.causes[0].contains("Corp Root"), "{unknown:?}");
    assert!(unknown.hint.unwrap().contains("sealock trust add"));
    world.trust_root();
    let missing = world.import(std::slice::from_ref(&leaf)).unwrap_err();
    assert!(missing.causes[0].contains("Corp Issuing"), "{missing:?}");
    assert_eq!(world.standing(), before);
    assert_eq!(world.facts().len(), facts + 1, "only the root was added");
    let todo = world.status().todo;
    assert_eq!(todo.iter().map(|it| it.kind.as_str()).collect::<Vec<_>>(), ["signature", "chain"]);
    let report = world.report();
    let kinds: Vec<&str> = report.to_do.iter().map(|it| it.kind.as_str()).collect();
    assert_eq!(kinds, ["signature", "chain"], "the report says it, too");

    let Reply::CertificatesImported(reports) =
        world.import(&[issuing.clone(), leaf.clone()]).unwrap()
    else {
        panic!("nothing was imported")
    };
    assert_eq!(reports[0].chain.len(), 3);
    assert_eq!(reports[0].request.state, "in use");
    assert!(!world.csr_file().exists() && world.status().todo.is_empty());
    let files = world.files().unwrap();
    assert!(belong(&files));
    // Ours, then those of others.
    assert_eq!(files.ca_crt.matches("BEGIN CERTIFICATE").count(), 2);

    world.reopen();
    assert_eq!(world.files().unwrap().tls_crt, files.tls_crt);
    let facts = world.facts().len();
    let Reply::CertificatesImported(again) = world.import(&[leaf, issuing]).unwrap() else {
        panic!("nothing was imported")
    };
    assert!(!again[0].new);
    let same = world.request(World::wanted()).unwrap();
    assert_eq!((same.state.as_str(), same.waiting), ("in use", None), "asked for and here");
    assert_eq!(world.facts().len(), facts, "the same again is no event");
    let told = |wanted: fn(&Fact) -> bool| world.facts().iter().filter(|fact| wanted(fact)).count();
    assert_eq!(told(|fact| matches!(fact, Fact::CertImported { .. })), 1);
    assert_eq!(told(|fact| matches!(fact, Fact::CertTaken { .. })), 2, "each time the key leaves");
}

#[test]
fn at_two_thirds_the_next_csr_is_made_and_the_old_certificate_stays() {
    let mut world = World::new();
    world.trust_root();
    let request = world.request(World::wanted()).unwrap();
    let leaf = world.sign(&request.waiting.unwrap().csr, 90);
    world.import(&[leaf, world.issuing.2.clone()]).unwrap();
    let first = world.files().unwrap();

    world.clock.advance(Duration::from_secs(59 * DAY));
    world.service().keep_imported().unwrap();
    assert_eq!(world.standing().state, "in use");
    world.clock.advance(Duration::from_secs(DAY));
    world.service().keep_imported().unwrap();
    let standing = world.standing();
    assert_eq!(standing.state, "waiting for signature (renewal)");
    let csr = standing.waiting.as_ref().unwrap().csr.clone();
    assert_eq!(fs::read_to_string(world.csr_file()).unwrap(), csr);
    // Again, and after a kill: the same one.
    world.service().keep_imported().unwrap();
    world.reopen();
    world.service().keep_imported().unwrap();
    assert_eq!(world.standing(), standing);
    assert_eq!(world.files().unwrap().tls_crt, first.tls_crt);
    let status = world.status();
    assert_eq!(status.todo[0].kind, "renewal");
    assert!(status.todo[0].text.contains("30d") && status.todo[0].text.contains("web.csr"));
    assert!(status.alarms.is_empty());

    world.clock.advance(Duration::from_secs(16 * DAY));
    for _ in 0..2 {
        world.service().keep_imported().unwrap();
        world.reopen();
    }
    assert_eq!(world.status().alarms[0].alarm, "imported-expiring");
    let raised = |fact: &Fact| matches!(fact, Fact::AlarmRaised { alarm, .. } if alarm == "imported-expiring");
    assert_eq!(world.facts().iter().filter(|fact| raised(fact)).count(), 1, "told once");

    let next = world.sign(&csr, 90);
    world.import(&[next, world.issuing.2.clone()]).unwrap();
    let second = world.files().unwrap();
    assert!(belong(&second) && second.serial != first.serial);
    assert!(world.status().alarms.is_empty() && world.status().todo.is_empty());
    assert!(world.facts().iter().any(|fact| matches!(fact, Fact::AlarmCleared { .. })));
    let keys = sealock_store::KeyRange::prefix(b"imported/key/");
    assert_eq!(world.service().journal().store().range(&keys, 10).unwrap().len(), 1);
}

fn labelled(layout: Layout) -> WantedCertificate {
    WantedCertificate {
        container: ContainerFacts {
            id: "ef".repeat(32),
            name: "shop".into(),
            own_names: BTreeSet::from(["shop".into()]),
            ..ContainerFacts::default()
        },
        certificate: "tls".parse().unwrap(),
        names: Vec::new(),
        issuer: None,
        imported: Some("web".parse().unwrap()),
        layout,
        usages: Usages { server: true, client: true },
        profile: None,
        ttl: Some(Duration::from_secs(DAY)),
        key_type: KeyType::P256,
        replaces: None,
        request: "label-1".into(),
    }
}

#[tokio::test]
async fn a_container_gets_it_by_a_rule_only_and_corporate_roots_let_nobody_in() {
    let world = World::new();
    world.trust_root();
    let source = PolicySource(Arc::clone(world.service()));
    let name = "web".parse().unwrap();
    assert_eq!(source.imported(&name), Current::Gone);
    let request = world.request(World::wanted()).unwrap();
    assert_eq!(source.imported(&name), Current::Waiting);
    let leaf = world.sign(&request.waiting.unwrap().csr, 90);
    world.import(&[leaf, world.issuing.2.clone()]).unwrap();
    assert_eq!(source.imported(&name), Current::Version(1));

    let Err(Refusal::Denied { hint: Some(hint), .. }) = source.request(labelled(Layout::Tls)).await
    else {
        panic!("without a rule it is denied")
    };
    assert!(hint.contains(r#"resource == Sealock::ImportedCertificate::"web""#), "{hint}");
    // A rule about all certificates of ours is none about those of others.
    let rules = world.path("s/policy/shop.cedar");
    fs::write(&rules, r#"permit(principal, action in Sealock::Action::"Cert", resource);"#)
        .unwrap();
    world.call(Command::PolicyReload).unwrap();
    assert!(matches!(source.request(labelled(Layout::Tls)).await, Err(Refusal::Denied { .. })));
    let rule = hint.split_once("allow it:\n").unwrap().1;
    fs::write(&rules, rule).unwrap();
    world.call(Command::PolicyReload).unwrap();
    let got = source.request(labelled(Layout::Tls)).await.unwrap();
    let roots = |pem: &[u8]| sealock_formats::read(pem, None).unwrap().certificates;
    assert_eq!(roots(&got.ca_crt).len(), 2);
    assert_eq!(got.version, Some(1));
    // What a Docker daemon lets clients in by has ours only, and so has every door of ours.
    let docker = source.request(labelled(Layout::Docker)).await.unwrap();
    let own = world.service().authority().unwrap().trust_bundle();
    assert_eq!(roots(&docker.ca_crt), own);
    assert!(!own.contains(&world.root.2));
    assert_eq!(source.trust().anchors.len(), 2);
}

#[test]
fn roots_of_others_are_checked_kept_and_not_taken_for_ours() {
    let mut world = World::new();
    let add = |world: &World, der: &[u8], intermediate: bool| {
        let certificate = BASE64.encode(der);
        world.call(Command::TrustAdd(TrustAdd { certificate, name: None, intermediate }))
    };
    let own = world.service().authority().unwrap().trust_bundle().remove(0);
    assert!(add(&world, &own, false).unwrap_err().message.contains("own issuers"));
    let issuing = world.issuing.2.clone();
    assert!(add(&world, &issuing, false).unwrap_err().hint.unwrap().contains("--intermediate"));
    assert!(add(&world, &issuing, true).is_ok());
    let leaf = CertificateParams::new(vec!["x.example".to_owned()]).unwrap();
    let leaf = leaf.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec();
    assert!(add(&world, &leaf, false).unwrap_err().message.contains("not the certificate of a CA"));
    world.trust_root();
    world.reopen();
    let Reply::Anchors(anchors) = world.call(Command::TrustList).unwrap() else { panic!() };
    assert_eq!(anchors.len(), 2);
    let request = world.request(World::wanted()).unwrap();
    world
        .call(Command::TrustRemove { root: anchors[1].fingerprint.clone(), force: false })
        .unwrap();
    let leaf = world.sign(&request.waiting.unwrap().csr, 90);
    world.import(&[leaf, world.issuing.2.clone()]).unwrap();
    let remove = |force| Command::TrustRemove { root: "corp".into(), force };
    let error = world.call(remove(false)).unwrap_err();
    assert_eq!(error.code, ErrorCode::Conflict, "{error:?}");
    world.call(remove(true)).unwrap();
}
