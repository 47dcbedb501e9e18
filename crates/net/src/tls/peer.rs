//! A client of servers that are known by their identity: where one listens changes, who it is does not.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use webpki::EndEntityCert;

use super::{Offer, TlsError, provider, store};

/// Who a server must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerIdentity {
    /// Its certificate has this URI, letter by letter, and no other (X509-SVID §2).
    Uri(String),
    /// Its certificate is for this host.
    Host(ServerName<'static>),
}

/// A host, or an address, as a certificate can be for it.
pub fn server_name(host: &str) -> Option<ServerName<'static>> {
    ServerName::try_from(host).ok().map(|name| name.to_owned())
}

/// The settings of a client that trusts these roots and speaks with this server only, at whatever address.
/// The name that is given for a handshake is sent, and decides nothing.
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
        _: &ServerName<'_>,
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

    async fn shake(authority: &Authority, server: &LiveServer, is: ServerIdentity) -> bool {
        let config = peer_client_config(&[authority.der().clone()], None, is).unwrap();
        let (near, far) = duplex(1 << 16);
        let client = LiveClient::new(config);
        let (_, connected) = tokio::join!(
            server.accept(far, Duration::from_secs(5)),
            client.connect("10.0.0.1:443", near)
        );
        connected.is_ok()
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

    #[test]
    fn without_roots_nobody_is_trusted() {
        let server = ServerIdentity::Uri(ORDERS.to_owned());
        assert!(matches!(peer_client_config(&[], None, server), Err(TlsError::Roots(_))));
    }
}
