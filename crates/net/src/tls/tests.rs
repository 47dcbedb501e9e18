use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use rustls::{NamedGroup, ProtocolVersion};
use rustls_pki_types::ServerName;
use tokio::io::duplex;
use tokio_rustls::TlsConnector;

use super::*;

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn leaf(authority: &CertifiedIssuer<'static, KeyPair>, name: &str) -> Identity {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    (vec![certificate.der().clone()], key)
}

fn clone(identity: &Identity) -> Identity {
    (identity.0.clone(), identity.1.clone_key())
}

async fn shake(
    server: &LiveServer,
    client: ClientConfig,
) -> io::Result<(TlsStream<tokio::io::DuplexStream>, Option<Vec<u8>>)> {
    let (near, far) = duplex(1 << 16);
    let name = ServerName::try_from("server.test").unwrap();
    let connector = TlsConnector::from(Arc::new(client));
    let (accepted, connected) =
        tokio::join!(server.accept(far, Duration::from_secs(5)), connector.connect(name, near));
    let connected = connected?;
    let served = connected.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let served = served.map(|certificate| certificate.to_vec());
    Ok((accepted?, served))
}

#[tokio::test]
async fn the_newest_version_and_the_hybrid_exchange_are_used() {
    let authority = authority();
    let roots = vec![authority.der().clone()];
    let identity = leaf(&authority, "server.test");
    let certificate = LiveCertificate::new(identity.0, identity.1).unwrap();
    let server = LiveServer::new(server_config(certificate, &ClientAuth::None).unwrap());
    let (stream, _) = shake(&server, client_config(&roots, None).unwrap()).await.unwrap();
    let session = stream.get_ref().1;
    assert_eq!(session.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    let group = session.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, NamedGroup::X25519MLKEM768);
}

#[tokio::test]
async fn clients_need_a_certificate_under_the_roots() {
    let (ours, theirs) = (authority(), authority());
    let roots = vec![ours.der().clone()];
    let identity = leaf(&ours, "server.test");
    let certificate = LiveCertificate::new(identity.0, identity.1).unwrap();
    let required = ClientAuth::Required(roots.clone());
    let server = LiveServer::new(server_config(certificate.clone(), &required).unwrap());
    let good = leaf(&ours, "client.test");
    let bad = leaf(&theirs, "client.test");
    let client = |identity| client_config(&roots, identity).unwrap();
    let (stream, _) = shake(&server, client(Some(clone(&good)))).await.unwrap();
    assert_eq!(stream.get_ref().1.peer_certificates().unwrap()[0], good.0[0]);
    assert!(shake(&server, client(None)).await.is_err());
    assert!(shake(&server, client(Some(clone(&bad)))).await.is_err());
    // The same server, told to let clients in without one.
    let optional = ClientAuth::Optional(roots.clone());
    server.replace(server_config(certificate, &optional).unwrap());
    assert!(shake(&server, client(None)).await.is_ok());
    assert!(shake(&server, client(Some(bad))).await.is_err());
}

#[tokio::test]
async fn a_replaced_certificate_is_served_at_once() {
    let authority = authority();
    let roots = vec![authority.der().clone()];
    let (old, new) = (leaf(&authority, "server.test"), leaf(&authority, "server.test"));
    let certificate = LiveCertificate::new(old.0.clone(), old.1).unwrap();
    let server = LiveServer::new(server_config(certificate.clone(), &ClientAuth::None).unwrap());
    let client = || client_config(&roots, None).unwrap();
    assert_eq!(shake(&server, client()).await.unwrap().1.unwrap(), old.0[0].to_vec());
    certificate.replace(new.0.clone(), new.1).unwrap();
    assert_eq!(shake(&server, client()).await.unwrap().1.unwrap(), new.0[0].to_vec());
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_let_go() {
    let authority = authority();
    let identity = leaf(&authority, "server.test");
    let certificate = LiveCertificate::new(identity.0, identity.1).unwrap();
    let server = LiveServer::new(server_config(certificate, &ClientAuth::None).unwrap());
    let (_near, far) = duplex(64);
    let error = server.accept(far, Duration::from_secs(10)).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}
