//! What a server showed of itself, and the verifier that lets it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sealock_core::Timestamp;
use sealock_net::tls::provider;
use serde::Serialize;

use super::Probes;
use super::exchange::shown;
use crate::daemon::certificate::Facts;

/// What a server's certificate says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServerCertificate {
    /// Its subject.
    pub subject: String,
    /// Its issuer.
    pub issuer: String,
    /// Its subject alternative names.
    pub names: Vec<String>,
    /// Whether the name that was dialled is one of them.
    pub name_matches: bool,
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
    /// Whole days, negative after the end.
    pub days_left: i64,
    /// The subjects of the chain as it was sent, the server's own first.
    pub chain: Vec<String>,
    /// Whether each certificate of the chain was issued by the next.
    pub chain_in_order: bool,
    /// Who issued the last one of the chain, where it is not among them: a client has to know it.
    pub issuer_not_sent: Option<String>,
    /// Whether it is valid now under the given authority; `None` where none was given.
    pub verified: Option<bool>,
    /// Why it is not.
    pub verify_error: Option<String>,
    /// Whether the server proved to hold its key.
    pub key_proven: bool,
}

impl ServerCertificate {
    /// Whether a client that trusts the given authority takes it under the name that was dialled. `None`
    /// where no authority was given.
    pub fn holds(&self) -> Option<bool> {
        self.verified.map(|verified| verified && self.name_matches)
    }

    pub(super) fn read(
        shown_chain: &Witnessed,
        name: &ServerName<'_>,
        probes: &Probes,
    ) -> Option<Self> {
        let (leaf, intermediates) = shown_chain.chain.split_first()?;
        let facts = Facts::read(leaf)?;
        let above: Vec<_> = intermediates.iter().filter_map(|der| Facts::read(der)).collect();
        let all: Vec<&Facts> = std::iter::once(&facts).chain(&above).collect();
        let last = all.last()?;
        let parsed = ParsedCertificate::try_from(leaf).ok();
        let matches = |parsed| verify_server_name(parsed, name).is_ok();
        let verify_error = match &parsed {
            _ if probes.ca.is_empty() => None,
            Some(parsed) => verified(parsed, intermediates, probes).err(),
            None => Some("it cannot be read".to_owned()),
        };
        Some(Self {
            subject: shown(&facts.subject),
            issuer: shown(&facts.issuer),
            names: facts
                .names
                .iter()
                .map(ToString::to_string)
                .chain(facts.other_names.iter().cloned())
                .map(|name| shown(&name))
                .collect(),
            name_matches: parsed.as_ref().is_some_and(matches),
            not_before: facts.not_before,
            not_after: facts.not_after,
            days_left: facts.days_left(probes.now),
            chain: all.iter().map(|facts| shown(&facts.subject)).collect(),
            chain_in_order: above.len() == intermediates.len()
                && all.iter().zip(&above).all(|(own, next)| own.issuer_der == next.subject_der),
            issuer_not_sent: (!last.is_self_issued()).then(|| shown(&last.issuer)),
            verified: (!probes.ca.is_empty()).then_some(verify_error.is_none()),
            verify_error,
            key_proven: shown_chain.key_proven,
        })
    }
}

fn verified(
    leaf: &ParsedCertificate<'_>,
    intermediates: &[CertificateDer<'static>],
    probes: &Probes,
) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(probes.ca.iter().cloned());
    let now = Duration::from_secs(u64::try_from(probes.now.as_secs()).unwrap_or(0));
    verify_server_cert_signed_by_trust_anchor(
        leaf,
        &roots,
        intermediates,
        UnixTime::since_unix_epoch(now),
        provider().signature_verification_algorithms.all,
    )
    .map_err(|error| shown(&error.to_string()))
}

/// What a handshake showed.
#[derive(Debug, Clone, Default)]
pub(super) struct Witnessed {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key_proven: bool,
}

/// Takes any certificate and remembers it. For probing only: a connection under it is with anybody.
#[derive(Debug)]
pub(super) struct DangerousWitness {
    provider: Arc<CryptoProvider>,
    witnessed: Mutex<Witnessed>,
}

impl DangerousWitness {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { provider: provider(), witnessed: Mutex::default() })
    }

    pub(super) fn witnessed(&self) -> Witnessed {
        self.witnessed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A signature that does not hold is noted, and the probe goes on: what such a server lets in counts.
    fn note(
        &self,
        checked: &Result<HandshakeSignatureValid, rustls::Error>,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let mut witnessed = self.witnessed.lock().unwrap_or_else(PoisonError::into_inner);
        witnessed.key_proven = checked.is_ok();
        Ok(HandshakeSignatureValid::assertion())
    }
}

impl ServerCertVerifier for DangerousWitness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain = std::iter::once(end_entity).chain(intermediates);
        let chain = chain.map(|certificate| certificate.clone().into_owned()).collect();
        let mut witnessed = self.witnessed.lock().unwrap_or_else(PoisonError::into_inner);
        *witnessed = Witnessed { chain, key_proven: false };
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        self.note(&verify_tls12_signature(message, certificate, signature, algorithms))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        self.note(&verify_tls13_signature(message, certificate, signature, algorithms))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
