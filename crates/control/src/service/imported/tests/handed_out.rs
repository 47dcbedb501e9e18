//! What labels get, and the roots of others.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64;
use rcgen::{CertificateParams, KeyPair};
use sealock_core::policy::ContainerFacts;
use sealock_delivery::labels::{KeyType, Layout, Usages};
use sealock_delivery::watcher::{CertificateSource, Current, Refusal, WantedCertificate};

use super::{DAY, World};
use crate::command::{Command, Reply, TrustAdd};
use crate::error::ErrorCode;
use crate::service::PolicySource;

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
        stores: None,
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
    let first = source.imported(&name);
    assert!(matches!(first, Current::Version(_)), "{first:?}");

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
    assert_eq!(got.version.map(Current::Version), Some(first));
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

/// A count of imports would begin again, and the container would keep the key that was forgotten because it was stolen.
#[tokio::test]
async fn what_is_forgotten_and_imported_again_is_another_version() {
    let world = World::new();
    world.trust_root();
    let source = PolicySource(Arc::clone(world.service()));
    let name = "web".parse().unwrap();
    let import = |days: u64| {
        let request = world.request(World::wanted()).unwrap();
        let leaf = world.sign(&request.waiting.unwrap().csr, days);
        world.import(&[leaf, world.issuing.2.clone()]).unwrap();
        source.imported(&name)
    };
    let first = import(90);
    let forget = Command::CertRequestDrop { name: "web".into(), forget: true, force: true };
    world.call(forget).unwrap();
    assert_eq!(source.imported(&name), Current::Gone);
    let second = import(90);
    assert!(matches!(second, Current::Version(_)) && second != first, "{first:?}, {second:?}");
    assert_eq!(source.imported(&name), second, "and it stays what it is");
}
