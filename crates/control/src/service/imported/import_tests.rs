//! Which of several certificates is taken, stray keys, and what a running container has.

use std::sync::Arc;

use data_encoding::BASE64;
use rcgen::KeyPair;
use sealock_core::policy::ContainerFacts;
use sealock_core::{ImportedName, SecretBytes, Timestamp};

use super::tests::World;
use crate::command::{Alarm, CertImport, Command, ContainerStatus, Reply, TrustAdd};
use crate::error::{ErrorCode, ServiceError};
use crate::service::{DaemonView, Watched};

fn import(world: &World, certificates: &[&Vec<u8>]) -> CertImport {
    let chain = certificates.iter().copied().chain([&world.issuing.2]);
    CertImport {
        name: Some("web".to_owned()),
        certificates: chain.map(|der| BASE64.encode(der)).collect(),
        ..CertImport::default()
    }
}

fn serve(world: &World, wanted: CertImport) -> Result<(Timestamp, bool), ServiceError> {
    match world.call(Command::CertImport(wanted))? {
        Reply::CertificatesImported(mut reports) => {
            let report = reports.remove(0);
            Ok((report.request.held.unwrap().not_after, report.new))
        }
        other => panic!("{other:?}"),
    }
}

fn asked() -> (World, String) {
    let world = World::new();
    world.trust_root();
    let request = world.request(World::wanted()).unwrap();
    let csr = request.waiting.unwrap().csr;
    (world, csr)
}

#[test]
fn the_one_that_ends_last_is_taken_and_a_shorter_one_not_behind_anybodys_back() {
    for backwards in [false, true] {
        let (world, csr) = asked();
        let (short, long) = (world.sign(&csr, 5), world.sign(&csr, 90));
        let mut both = vec![&short, &long];
        if backwards {
            both.reverse();
        }
        let (until, new) = serve(&world, import(&world, &both)).unwrap();
        assert!(new);

        let error = serve(&world, import(&world, &[&short])).unwrap_err();
        assert_eq!(error.code, ErrorCode::Failed, "{error:?}");
        assert!(error.causes[0].contains(&until.to_string()), "{error:?}");
        assert!(error.hint.unwrap().contains("--accept-shorter"));
        assert_eq!(world.standing().held.unwrap().not_after, until, "served as before");
        // Both again: what is served is the better one, and was imported before.
        assert_eq!(serve(&world, import(&world, &both)).unwrap(), (until, false));

        let meant = CertImport { accept_shorter: true, ..import(&world, &[&short]) };
        assert!(serve(&world, meant).unwrap().0 < until);
    }
}

#[test]
fn a_stray_key_is_passed_over_where_ours_has_its_certificate_and_else_named() {
    let (world, csr) = asked();
    let leaf = world.sign(&csr, 90);
    let stray = || Some(SecretBytes::new(KeyPair::generate().unwrap().serialize_der()).into());
    let with_key = CertImport { key: stray(), ..import(&world, &[&leaf]) };
    assert!(serve(&world, with_key).unwrap().1);
    let other = CertImport { key: stray(), ..import(&world, &[]) };
    let error = serve(&world, other).unwrap_err();
    assert!(error.causes[0].contains("the private key that came along"), "{error:?}");
    assert!(error.hint.unwrap().contains("leave the key out"));
}

#[test]
fn a_certificate_for_another_key_names_the_request_in_its_hint() {
    let (world, _) = asked();
    let error = serve(&world, import(&world, &[])).unwrap_err();
    assert!(error.hint.unwrap().contains("`sealock cert request web --show`"));
}

#[test]
fn a_known_root_is_not_known_under_two_names() {
    let world = World::new();
    world.trust_root();
    let Reply::Anchors(known) = world.call(Command::TrustList).unwrap() else { panic!() };
    let contents = sealock_formats::read(known[0].pem.as_bytes(), None).unwrap();
    let certificate = BASE64.encode(&contents.certificates[0]);
    let add = |name: Option<&str>| TrustAdd {
        certificate: certificate.clone(),
        name: name.map(ToOwned::to_owned),
        intermediate: false,
    };
    let error = world.call(Command::TrustAdd(add(Some("corp2")))).unwrap_err();
    assert!(error.message.contains("already known as `corp`"), "{error:?}");
    for same in [None, Some("corp")] {
        world.call(Command::TrustAdd(add(same))).unwrap();
    }
}

/// A daemon that sees one container.
struct OneContainer(&'static str);

impl Watched for OneContainer {
    fn containers(&self) -> Vec<ContainerStatus> {
        Vec::new()
    }

    fn alarms(&self) -> Vec<Alarm> {
        Vec::new()
    }

    fn counts(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }

    fn facts_of(&self, _: &str) -> Option<ContainerFacts> {
        None
    }

    fn users_of(&self, name: &ImportedName) -> Vec<String> {
        let uses = name.as_str() == self.0;
        uses.then(|| "shop-1".to_owned()).into_iter().collect()
    }
}

fn watching(name: &'static str) -> DaemonView {
    DaemonView {
        since: Timestamp::from_secs(0),
        api: None,
        acme: None,
        gateway: None,
        gateway_socket: None,
        revocation: None,
        workload: None,
        engine: None,
        watched: Some(Arc::new(OneContainer(name))),
        alarms: Arc::default(),
        dropped: Arc::default(),
    }
}

#[test]
fn what_a_running_container_has_is_forgotten_by_force_only() {
    let (world, _) = asked();
    let drop = |forget, force| Command::CertRequestDrop { name: "web".into(), forget, force };
    world.service().became_daemon(watching("web"));
    let error = world.call(drop(true, false)).unwrap_err();
    assert_eq!(error.code, ErrorCode::Conflict, "{error:?}");
    assert!(error.message.contains("`shop-1`") && error.hint.unwrap().contains("--force"));
    world.standing();
    world.call(drop(true, true)).unwrap();
    assert!(world.call(Command::CertRequests { name: Some("web".into()) }).is_err());

    world.request(World::wanted()).unwrap();
    world.service().became_daemon(watching("other"));
    world.call(drop(true, false)).unwrap();
    world.service().was_daemon();
}

#[test]
fn a_name_that_the_settings_lack_may_be_newer_than_the_daemon() {
    let world = World::new();
    let ask = || {
        let upstream = Some("corp".to_owned());
        let wanted = crate::command::CertRequest { upstream, ..World::wanted() };
        world.request(wanted).unwrap_err().hint.unwrap()
    };
    let alone = ask();
    assert!(alone.contains("[upstream.corp]") && !alone.contains("restart"), "{alone}");
    world.service().became_daemon(watching("web"));
    assert!(ask().contains("restart `sealock up`"));
    world.service().was_daemon();
}
