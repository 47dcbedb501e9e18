//! A client of servers that are known by their identity: where one listens changes, who it is does not. And one of machines,
//! whose name in DNS is not enough: whoever has a certificate for it could be anything that runs there.

use std::io;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore,
    SignatureScheme,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use sealock_core::{Identity, IdentityKind, TrustDomain};
use webpki::EndEntityCert;

use super::{Offer, TlsError, provider, store};

/// Who a server must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerIdentity {
    /// Its certificate has this URI, letter by letter, and no other (X509-SVID §2).
    Uri(String),
    /// Its certificate is for this host.
    Host(ServerName<'static>),
    /// Its certificate is for the host that the handshake names, and that of a machine: its only URI is an identity of the
    /// kind `host`, in this trust domain where it is known.
    Machine(Option<TrustDomain>),
}

/// The certificate of a server is for its name, and is no machine's.
#[derive(Debug, thiserror::Error)]
#[error("its certificate is for that name, but is no machine's of this trust domain")]
struct NoMachine;

/// Whether a handshake has failed because the certificate was for the right name, and no machine's
/// ([`ServerIdentity::Machine`]).
pub fn is_no_machine(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    let Some(Error::InvalidCertificate(CertificateError::Other(other))) = inner else {
        return false;
    };
    other.0.is::<NoMachine>()
}

/// Whose a certificate is: the identity that is its only URI (X509-SVID §2).
pub fn identity_of(certificate: &CertificateDer<'_>) -> Option<Identity> {
    let certificate = EndEntityCert::try_from(certificate).ok()?;
    let mut names = certificate.valid_uri_names();
    let only = names.next()?;
    if names.next().is_some() { None } else { only.parse().ok() }
}

/// The public keys of certificates (SubjectPublicKeyInfo, DER), as far as they can be read: of what cannot, nobody makes a
/// chain.
pub fn public_keys(chain: &[CertificateDer<'_>]) -> Vec<Vec<u8>> {
    let key = |certificate| {
        let certificate = EndEntityCert::try_from(certificate).ok()?;
        Some(certificate.subject_public_key_info().to_vec())
    };
    chain.iter().filter_map(key).collect()
}

/// A host, or an address, as a certificate can be for it.
pub fn server_name(host: &str) -> Option<ServerName<'static>> {
    ServerName::try_from(host).ok().map(|name| name.to_owned())
}

/// The settings of a client that trusts these roots and speaks with this server only, at whatever address.
/// The name that is given for a handshake is sent, and decides nothing unless the server is a machine.
pub fn peer_client_config(
    roots: &[CertificateDer<'static>],
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    server: ServerIdentity,
) -> Result<ClientConfig, TlsError> {
    if roots.is_empty() {
        return Err(TlsError::Roots("there are none".into()));
    }
    let algorithms = provider().signature_verification_algorithms;
    let verifier = Verifier { roots: store(roots)?, algorithms, server };
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Settings)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match identity {
        Some((chain, key)) => {
            builder.with_client_auth_cert(chain, key).map_err(TlsError::Certificate)?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = Offer::Http1.protocols();
    Ok(config)
}

/// The chain is verified as everywhere; only who the leaf must be is another question.
#[derive(Debug)]
struct Verifier {
    roots: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
    server: ServerIdentity,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        dialled: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = ParsedCertificate::try_from(leaf)?;
        verify_server_cert_signed_by_trust_anchor(
            &certificate,
            &self.roots,
            intermediates,
            now,
            self.algorithms.all,
        )?;
        match &self.server {
            ServerIdentity::Host(name) => verify_server_name(&certificate, name)?,
            ServerIdentity::Machine(domain) => {
                verify_server_name(&certificate, dialled)?;
                is_machine(leaf, domain.as_ref())?;
            }
            ServerIdentity::Uri(expected) => {
                let bad = |_| Error::from(CertificateError::BadEncoding);
                let certificate = EndEntityCert::try_from(leaf).map_err(bad)?;
                let mut names = certificate.valid_uri_names();
                if names.next() != Some(expected.as_str()) || names.next().is_some() {
                    return Err(CertificateError::NotValidForName.into());
                }
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn is_machine(leaf: &CertificateDer<'_>, domain: Option<&TrustDomain>) -> Result<(), Error> {
    let found = identity_of(leaf).filter(|identity| {
        identity.kind() == IdentityKind::Host
            && domain.is_none_or(|domain| identity.trust_domain() == domain)
    });
    let refused = || CertificateError::Other(OtherError(Arc::new(NoMachine))).into();
    found.map(drop).ok_or_else(refused)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::string::Ia5String;
    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa,
        KeyPair, SanType,
    };
    use tokio::io::duplex;

    use super::*;
    use crate::tls::{ClientAuth, LiveCertificate, LiveClient, LiveServer, server_config};

    const ORDERS: &str = "spiffe://t.sealock/service/orders";

    type Authority = CertifiedIssuer<'static, KeyPair>;

    fn authority() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    fn server(authority: &Authority, uris: &[&str], usage: ExtendedKeyUsagePurpose) -> LiveServer {
        let mut params = CertificateParams::new(vec!["orders.test".to_owned()]).unwrap();
        for uri in uris {
            params.subject_alt_names.push(SanType::URI(Ia5String::try_from(*uri).unwrap()));
        }
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        let chain = vec![params.signed_by(&key, authority).unwrap().der().clone()];
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let certificate = LiveCertificate::new(chain, key).unwrap();
        let config = server_config(certificate, &ClientAuth::None).unwrap();
        Arc::into_inner(LiveServer::new(config)).unwrap()
    }

    async fn dial(
        authority: &Authority,
        server: &LiveServer,
        is: ServerIdentity,
        address: &str,
    ) -> io::Result<()> {
        let config = peer_client_config(&[authority.der().clone()], None, is).unwrap();
        let (near, far) = duplex(1 << 16);
        let client = LiveClient::new(config);
        let (_, connected) =
            tokio::join!(server.accept(far, Duration::from_secs(5)), client.connect(address, near));
        connected.map(drop)
    }

    async fn shake(authority: &Authority, server: &LiveServer, is: ServerIdentity) -> bool {
        dial(authority, server, is, "10.0.0.1:443").await.is_ok()
    }

    #[tokio::test]
    async fn a_server_is_who_its_certificate_says_wherever_it_listens() {
        let (ours, other) = (authority(), authority());
        let orders = || ServerIdentity::Uri(ORDERS.to_owned());
        let host = |name: &'static str| ServerIdentity::Host(ServerName::try_from(name).unwrap());
        let usage = ExtendedKeyUsagePurpose::ServerAuth;
        let right = server(&ours, &[ORDERS], usage.clone());
        assert!(shake(&ours, &right, orders()).await);
        assert!(shake(&ours, &right, host("orders.test")).await);
        assert!(!shake(&ours, &right, host("billing.test")).await);
        assert!(!shake(&other, &right, orders()).await, "roots of somebody else");
        assert!(!shake(&other, &right, host("orders.test")).await, "roots of somebody else");
        let billing = "spiffe://t.sealock/service/billing";
        for uris in [
            &[][..],
            &[billing],
            &["spiffe://t.sealock/service/orders2"],
            &["spiffe://t.sealock/service/Orders"],
            &[ORDERS, billing],
            &[billing, ORDERS],
        ] {
            let wrong = server(&ours, uris, usage.clone());
            assert!(!shake(&ours, &wrong, orders()).await, "{uris:?}");
        }
        let client = server(&ours, &[ORDERS], ExtendedKeyUsagePurpose::ClientAuth);
        assert!(!shake(&ours, &client, orders()).await, "a certificate for clients");
    }

    #[tokio::test]
    async fn a_machine_has_the_name_that_was_dialled_and_the_identity_of_a_host() {
        let (ours, other) = (authority(), authority());
        let usage = ExtendedKeyUsagePurpose::ServerAuth;
        let known = || ServerIdentity::Machine(Some("t.sealock".parse().unwrap()));
        let host = "spiffe://t.sealock/host/h1";
        let right = server(&ours, &[host], usage.clone());
        for is in [known(), ServerIdentity::Machine(None)] {
            dial(&ours, &right, is.clone(), "orders.test:443").await.unwrap();
            let elsewhere = dial(&ours, &right, is.clone(), "billing.test:443").await.unwrap_err();
            assert!(!is_no_machine(&elsewhere), "it is another name: {elsewhere}");
            let stranger = dial(&other, &right, is, "orders.test:443").await.unwrap_err();
            assert!(!is_no_machine(&stranger), "it is under another root: {stranger}");
        }
        for uris in [
            &[][..],
            &[ORDERS],
            &["spiffe://t.sealock/human/h1"],
            &["https://t.sealock/host/h1"],
            &["spiffe://t.sealock/host/"],
            &["spiffe://t.sealock/host/h1/x"],
            &["SPIFFE://t.sealock/host/h1"],
            &[host, ORDERS],
            &[ORDERS, host],
            &[host, host],
        ] {
            let wrong = server(&ours, uris, usage.clone());
            for is in [known(), ServerIdentity::Machine(None)] {
                let error = dial(&ours, &wrong, is, "orders.test:443").await.unwrap_err();
                assert!(is_no_machine(&error), "{uris:?}: {error}");
            }
        }
        let elsewhere = server(&ours, &["spiffe://t2.sealock/host/h1"], usage);
        let refused = dial(&ours, &elsewhere, known(), "orders.test:443").await.unwrap_err();
        assert!(is_no_machine(&refused), "{refused}");
        dial(&ours, &elsewhere, ServerIdentity::Machine(None), "orders.test:443").await.unwrap();
        let client = server(&ours, &[host], ExtendedKeyUsagePurpose::ClientAuth);
        assert!(dial(&ours, &client, known(), "orders.test:443").await.is_err(), "of a client");
    }

    #[test]
    fn whose_a_certificate_is_its_only_uri_says() {
        let of = |uris: &[&str]| {
            let uris = uris.iter().map(|uri| SanType::URI(Ia5String::try_from(*uri).unwrap()));
            let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
            params.subject_alt_names.extend(uris);
            let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
            identity_of(made.der()).map(|identity| identity.to_string())
        };
        assert_eq!(of(&[ORDERS]).as_deref(), Some(ORDERS));
        assert_eq!(of(&[]), None);
        assert_eq!(of(&["https://t.sealock/"]), None);
        assert_eq!(of(&[ORDERS, "spiffe://b.sealock/human/alice"]), None);
        assert_eq!(identity_of(&CertificateDer::from(b"no certificate".to_vec())), None);
    }

    #[test]
    fn without_roots_nobody_is_trusted() {
        let server = ServerIdentity::Uri(ORDERS.to_owned());
        assert!(matches!(peer_client_config(&[], None, server), Err(TlsError::Roots(_))));
    }
}
