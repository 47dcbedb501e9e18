//! What labels have put beside the files of PEM: under which password, and that it stays what it is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use sealock_control::Service;
use sealock_control::service::PolicySource;
use sealock_core::policy::ContainerFacts;
use sealock_core::{SecretBytes, SubjectName};
use sealock_delivery::labels::{KeyType, Layout, StoreFormat, TrustFormat, Usages};
use sealock_delivery::watcher::{
    CertificateSource, Refusal, WantedCertificate, WantedStores, WantedTrustStore,
};
use sealock_formats::{TrustStore, read};

use crate::scratch::Scratch;

fn secret(text: &str) -> SecretBytes {
    SecretBytes::new(text.into())
}

fn wanted(container: &str, formats: &[StoreFormat], password: Option<&str>) -> WantedCertificate {
    WantedCertificate {
        container: ContainerFacts {
            id: "ef".repeat(32),
            name: container.into(),
            own_names: BTreeSet::from([container.into()]),
            ..ContainerFacts::default()
        },
        certificate: "web".parse().unwrap(),
        names: vec![SubjectName::dns(container).unwrap()],
        imported: None,
        issuer: None,
        layout: Layout::Tls,
        usages: Usages { server: true, client: true },
        profile: None,
        ttl: Some(Duration::from_secs(600)),
        key_type: KeyType::P256,
        stores: Some(WantedStores {
            formats: formats.iter().copied().collect(),
            password: password.map(secret),
        }),
        replaces: None,
        request: "label-1".into(),
    }
}

type Stores = BTreeMap<&'static str, (bool, SecretBytes)>;

/// Serial, PEM of leaf and chain, and what is beside.
async fn made(service: &Arc<Service>, wanted: WantedCertificate) -> (Vec<u8>, Stores) {
    let made = PolicySource(Arc::clone(service)).request(wanted).await.unwrap();
    let stores = made.stores.into_iter().map(|one| (one.name, (one.private, one.content)));
    (made.tls_crt, stores.collect())
}

const ALL: [StoreFormat; 5] = [
    StoreFormat::Pkcs12,
    StoreFormat::Pkcs12Legacy,
    StoreFormat::Jks,
    StoreFormat::Der,
    StoreFormat::Pkcs7,
];

#[tokio::test]
async fn all_that_is_wanted_is_of_the_one_certificate_and_under_the_password() {
    let scratch = Scratch::new();
    let service = scratch.initialised().await;
    let (leaf, stores) = made(&service, wanted("shop", &ALL, Some("correct horse"))).await;
    let names: Vec<&str> = stores.keys().copied().collect();
    let expected = [
        "keystore-legacy.p12",
        "keystore.jks",
        "keystore.p12",
        "tls.der",
        "tls.p7b",
        "truststore.jks",
        "truststore.p12",
    ];
    assert_eq!(names, expected);
    let private: Vec<&str> =
        stores.iter().filter(|(_, (private, _))| *private).map(|(name, _)| *name).collect();
    assert_eq!(private, ["keystore-legacy.p12", "keystore.jks", "keystore.p12"]);
    let chain = read(&leaf, None).unwrap().certificates;
    let under = secret("correct horse");
    for name in ["keystore.p12", "keystore-legacy.p12"] {
        let store = read(stores[name].1.expose(), Some(&under)).unwrap();
        assert_eq!((store.certificates, store.keys.len()), (chain.clone(), 1), "{name}");
        assert!(read(stores[name].1.expose(), Some(&secret("another one"))).is_err());
    }
    assert_eq!(stores["tls.der"].1.expose(), chain[0]);
    assert_eq!(read(stores["tls.p7b"].1.expose(), None).unwrap().certificates, chain);
    let root = service.authority().unwrap().trust_bundle();
    for name in ["truststore.p12", "truststore.jks"] {
        let store = TrustStore::read(stores[name].1.expose(), &under).unwrap();
        assert_eq!(store.trusted(), [("ca", root[0].as_slice())], "{name}");
    }
    // Nothing that has no password gets one.
    let (_, stores) = made(&service, wanted("shop", &ALL[3..], None)).await;
    assert_eq!(stores.into_keys().collect::<Vec<_>>(), ["tls.der", "tls.p7b"]);
}

#[tokio::test]
async fn a_password_of_our_making_is_the_containers_own_and_stays() {
    let scratch = Scratch::new();
    let service = scratch.initialised().await;
    let jks = [StoreFormat::Jks];
    // All at once, when there is no key yet.
    let both = ["shop", "bank", "shop"].map(|name| made(&service, wanted(name, &jks, None)));
    let both = futures_util::future::join_all(both).await;
    let passwords: Vec<SecretBytes> =
        both.into_iter().map(|(_, stores)| stores["keystore.password"].1.clone()).collect();
    assert!(passwords[0] == passwords[2] && passwords[0] != passwords[1]);
    assert!(
        passwords[0].len() == 32 && passwords[0].expose().iter().all(u8::is_ascii_alphanumeric)
    );
    let other =
        WantedCertificate { certificate: "api".parse().unwrap(), ..wanted("shop", &jks, None) };
    assert!(made(&service, other).await.1["keystore.password"].1 != passwords[0]);
    drop(service);
    // The next start has it, and another installation has not.
    let service = scratch.service();
    let (_, stores) = made(&service, wanted("shop", &jks, None)).await;
    assert!(stores["keystore.password"].1 == passwords[0] && stores["keystore.password"].0);
    TrustStore::read(stores["truststore.jks"].1.expose(), &passwords[0]).unwrap();
    let elsewhere = Scratch::new();
    let elsewhere = elsewhere.initialised().await;
    let (_, stores) = made(&elsewhere, wanted("shop", &jks, None)).await;
    assert!(stores["keystore.password"].1 != passwords[0]);
    for file in ["state.db", "state.db-wal"] {
        let stored = std::fs::read(scratch.path().join(file)).unwrap_or_default();
        let word = passwords[0].expose();
        assert!(!stored.windows(word.len()).any(|bytes| bytes == word), "{file}");
    }
}

#[tokio::test]
async fn roots_make_the_same_store_each_time_and_bad_passwords_are_told_apart() {
    let scratch = Scratch::new();
    let service = scratch.initialised().await;
    let source = PolicySource(Arc::clone(&service));
    let anchors = source.trust().anchors.clone();
    for format in [TrustFormat::Pkcs12, TrustFormat::Jks] {
        let make = |password: Option<&str>| {
            let (anchors, password) = (anchors.clone(), password.map(secret));
            source.trust_store(WantedTrustStore { format, anchors, password })
        };
        let known = make(None).await.unwrap();
        assert!(known == make(Some("changeit")).await.unwrap(), "the same bytes");
        assert!(known != make(Some("changed")).await.unwrap());
        let store = TrustStore::read(known.expose(), &secret("changeit")).unwrap();
        assert_eq!(store.trusted(), [("ca", anchors[0].as_slice())]);
    }
    assert_eq!(source.store_password(&secret("changeit\r\n")).unwrap(), secret("changeit"));
    for bad in ["", "short", "five5\n", "with\0nul", &"x".repeat(257)] {
        let Err(Refusal::Denied { reason, hint }) = source.store_password(&secret(bad)) else {
            panic!("{bad:?} is a password")
        };
        assert!(
            reason.contains("6 to 256 characters") && (bad.is_empty() || !reason.contains(bad))
        );
        assert!(hint.unwrap().contains("secret set"));
    }
    let binary = SecretBytes::new(vec![0xff; 16]);
    assert!(matches!(source.store_password(&binary), Err(Refusal::Denied { .. })));
}
