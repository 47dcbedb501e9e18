//! Handshakes with rustls, whose verifier is webpki.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection,
};
use sealock_authority::{Issued, KeySource, KeyType, Order, Reason, Rotate, Usages};
use sealock_core::SubjectName;

use crate::common::{Scratch, actor, order};

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn chain(issued: &Issued) -> Vec<CertificateDer<'static>> {
    issued.chain().into_iter().map(CertificateDer::from).collect()
}

fn key(issued: &Issued) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_slice(issued.tls_key().unwrap().expose()).unwrap()
}

fn roots<'a>(ders: impl IntoIterator<Item = &'a [u8]>) -> Arc<RootCertStore> {
    let mut store = RootCertStore::empty();
    for der in ders {
        store.add(CertificateDer::from(der.to_vec())).unwrap();
    }
    Arc::new(store)
}

fn bundle(scratch: &Scratch) -> Arc<RootCertStore> {
    roots(scratch.authority.trust_bundle().iter().map(Vec::as_slice))
}

fn crls(scratch: &Scratch) -> Vec<CertificateRevocationListDer<'static>> {
    let lists = scratch.authority.crls().unwrap();
    lists.into_iter().map(|list| CertificateRevocationListDer::from(list.der)).collect()
}

/// A mutual handshake in memory; both sides check the revocation of the end entity. (webpki picks a list
/// by its issuer's name alone, and all roots of a trust domain have one name: with lists of two roots at
/// hand it can check only what is below.)
fn handshake(
    server: &Issued,
    client: &Issued,
    name: &str,
    roots: &Arc<RootCertStore>,
    crls: &[CertificateRevocationListDer<'static>],
) -> Result<(), rustls::Error> {
    let clients = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider())
        .with_crls(crls.to_vec())
        .only_check_end_entity_revocation()
        .build()
        .unwrap();
    let server = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain(server), key(server))?;
    let servers = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider())
        .with_crls(crls.to_vec())
        .only_check_end_entity_revocation()
        .build()
        .unwrap();
    let client = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_webpki_verifier(servers)
        .with_client_auth_cert(chain(client), key(client))?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = Connection::from(ClientConnection::new(Arc::new(client), name)?);
    let mut server = Connection::from(ServerConnection::new(Arc::new(server))?);
    while client.is_handshaking() || server.is_handshaking() || client.wants_write() {
        pass(&mut client, &mut server)?;
        pass(&mut server, &mut client)?;
    }
    Ok(())
}

fn pass(from: &mut Connection, to: &mut Connection) -> Result<(), rustls::Error> {
    let mut wire = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut wire).unwrap();
    }
    let mut rest = wire.as_slice();
    while !rest.is_empty() {
        to.read_tls(&mut rest).unwrap();
        to.process_new_packets()?;
    }
    Ok(())
}

fn service(kind: KeyType) -> Order {
    Order {
        identity: Some("spiffe://corp.example/service/web".parse().unwrap()),
        names: vec![
            SubjectName::dns("web").unwrap(),
            SubjectName::dns("*.corp.example").unwrap(),
            SubjectName::ip("::1").unwrap(),
            SubjectName::ip("127.0.0.1").unwrap(),
        ],
        key: KeySource::Generate(kind),
        issuer: None,
        ..order(&["web"])
    }
}

#[test]
fn every_kind_of_key_shakes_hands_both_ways() {
    let scratch = Scratch::new();
    let (roots, crls) = (bundle(&scratch), crls(&scratch));
    for kind in KeyType::ALL {
        let issued = scratch.issue(&service(kind)).unwrap();
        for name in ["web", "a.corp.example", "::1", "127.0.0.1"] {
            handshake(&issued, &issued, name, &roots, &crls).unwrap();
        }
        for name in ["other", "a.b.corp.example", "127.0.0.2"] {
            handshake(&issued, &issued, name, &roots, &crls).unwrap_err();
        }
    }
}

#[test]
fn usages_and_trust_are_held_against_it() {
    let scratch = Scratch::new();
    let (trusted, lists) = (bundle(&scratch), crls(&scratch));
    let with = |usages| scratch.issue(&Order { usages, ..service(KeyType::P256) }).unwrap();
    let (server, client) = (with(Usages::SERVER), with(Usages::CLIENT));
    handshake(&server, &client, "web", &trusted, &lists).unwrap();
    handshake(&client, &client, "web", &trusted, &lists).unwrap_err();
    handshake(&server, &server, "web", &trusted, &lists).unwrap_err();
    let stranger = bundle(&Scratch::new());
    handshake(&server, &client, "web", &stranger, &lists).unwrap_err();
}

#[test]
fn a_revoked_certificate_is_turned_away() {
    let scratch = Scratch::new();
    let trusted = bundle(&scratch);
    let good = scratch.issue(&service(KeyType::P256)).unwrap();
    let bad = scratch.issue(&service(KeyType::P256)).unwrap();
    handshake(&good, &bad, "web", &trusted, &crls(&scratch)).unwrap();
    scratch.authority.revoke(bad.serial, Reason::KeyCompromise, &actor()).unwrap();
    let refused = handshake(&good, &bad, "web", &trusted, &crls(&scratch)).unwrap_err();
    assert!(refused.to_string().contains("Revoked"), "{refused}");
}

#[test]
fn a_new_root_is_trusted_by_those_who_have_the_old_one() {
    let scratch = Scratch::new();
    let old = scratch.issue(&service(KeyType::P256)).unwrap();
    scratch.authority.rotate(Rotate::Root, None, &actor()).unwrap();
    let new = scratch.issue(&service(KeyType::P256)).unwrap();
    let lists = crls(&scratch);
    let only_old = roots([&*old.roots[0].der]);
    let only_new = roots([&*new.roots[0].der]);
    handshake(&new, &new, "web", &only_old, &lists).unwrap();
    handshake(&new, &new, "web", &only_new, &lists).unwrap();
    handshake(&old, &new, "web", &bundle(&scratch), &lists).unwrap();
    handshake(&old, &old, "web", &only_new, &lists).unwrap_err();
}
