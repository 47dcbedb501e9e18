//! A certificate authority of a few lines, in the place of policy and authority.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, SerialNumber,
};
use sealock_core::{ImportedName, SecretBytes, SubjectName, Timestamp};
use sealock_delivery::labels::USUAL_TTL;
use sealock_delivery::watcher::{
    CertificateSource, Current, DeliveredCertificate, Publisher, Refusal, Trust, WantedCertificate,
    WantedPublication, WantedTrust, WantedTrustStore,
};

/// Grants what the container's own names allow.
pub(crate) struct Source {
    issuer: Issuer<'static, KeyPair>,
    root_pem: String,
    trust: Mutex<Arc<Trust>>,
    serial: AtomicU64,
}

impl Source {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(rcgen::DnType::CommonName, "test root");
        let root = params.self_signed(&key).unwrap();
        let trust = Trust { digest: "one".to_owned(), anchors: vec![root.der().to_vec()] };
        Self {
            issuer: Issuer::new(params, key),
            root_pem: root.pem(),
            trust: Mutex::new(Arc::new(trust)),
            serial: AtomicU64::new(first_serial()),
        }
    }

    /// From now on these are the roots, with a digest of their own.
    pub(crate) fn trusts(&self, digest: &str, more: &[Vec<u8>]) {
        let mut trust = self.trust.lock().unwrap();
        let first = trust.anchors.first().cloned();
        let anchors = first.into_iter().chain(more.iter().cloned()).collect();
        *trust = Arc::new(Trust { digest: digest.to_owned(), anchors });
    }

    fn issue(&self, wanted: &WantedCertificate) -> Result<DeliveredCertificate, Refusal> {
        let own = &wanted.container.own_names;
        if let Some(other) = wanted.names.iter().find(|name| !own.contains(&name.to_string())) {
            return Err(Refusal::Denied {
                reason: format!("{other} is not a name of its own"),
                hint: Some(format!("permit … {other} …")),
            });
        }
        let ttl = wanted.ttl.unwrap_or(USUAL_TTL);
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = wanted.names.iter().map(alternative).collect();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let serial = self.serial.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        let now = SystemTime::now();
        params.not_before = (now - Duration::from_secs(60)).into();
        params.not_after = (now + ttl).into();
        let leaf = params.signed_by(&key, &self.issuer).unwrap().pem();
        let key = key.serialize_pem();
        Ok(DeliveredCertificate {
            serial: data_encoding::HEXUPPER.encode(&serial),
            not_after: Timestamp::from_offset((now + ttl).into()),
            version: None,
            tls_crt: leaf.clone().into_bytes(),
            tls_key: SecretBytes::new(key.clone().into_bytes()),
            ca_crt: self.root_pem.clone().into_bytes(),
            bundle_pem: SecretBytes::new(format!("{key}{leaf}{}", self.root_pem).into_bytes()),
            stores: Vec::new(),
        })
    }
}

/// Another process has others.
fn first_serial() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_nanos()).unwrap()
}

fn alternative(name: &SubjectName) -> SanType {
    match name {
        SubjectName::Dns(name) => SanType::DnsName(name.as_str().try_into().unwrap()),
        SubjectName::Ip(address) => SanType::IpAddress(*address),
        other => panic!("no {other} is asked for"),
    }
}

/// Nothing is published.
pub(crate) struct Nowhere;

impl Publisher for Nowhere {
    fn keep(&self, _: Vec<WantedPublication>) {}
}

impl CertificateSource for Source {
    fn request(
        &self,
        wanted: WantedCertificate,
    ) -> BoxFuture<'_, Result<DeliveredCertificate, Refusal>> {
        async move { self.issue(&wanted) }.boxed()
    }

    fn policy_epoch(&self) -> u64 {
        1
    }

    fn trust(&self) -> Arc<Trust> {
        Arc::clone(&self.trust.lock().unwrap())
    }

    fn imported(&self, _: &ImportedName) -> Current {
        Current::Gone
    }

    fn is_revoked(&self, _: &str) -> bool {
        false
    }

    fn imported_names(&self, _: &ImportedName) -> Vec<SubjectName> {
        Vec::new()
    }

    fn may_have_trust(&self, wanted: WantedTrust) -> BoxFuture<'_, Result<(), Refusal>> {
        let denied = wanted.name.as_str() == "denied";
        let reason = "no rule lets it have the bundle".to_owned();
        let hint = Some("permit …".to_owned());
        async move { if denied { Err(Refusal::Denied { reason, hint }) } else { Ok(()) } }.boxed()
    }

    fn trust_store(&self, wanted: WantedTrustStore) -> BoxFuture<'_, Result<SecretBytes, Refusal>> {
        async move { Ok(wanted.password.unwrap_or_default()) }.boxed()
    }

    fn store_password(&self, value: &SecretBytes) -> Result<SecretBytes, Refusal> {
        Ok(value.trim_line_end())
    }
}
