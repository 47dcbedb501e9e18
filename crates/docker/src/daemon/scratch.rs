//! Authorities and certificates for tests.

#![allow(dead_code, clippy::unwrap_used, reason = "only tests use it, and each only a part")]

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use sealock_core::{Clock, SecretBytes, SystemClock, Timestamp};

pub(crate) const DAY: Duration = Duration::from_secs(86_400);

/// What a certificate is for.
#[derive(Clone, Copy)]
pub(crate) enum For {
    Server,
    Client,
}

pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, PEM.
pub(crate) struct Leaf {
    pub(crate) certificate: String,
    pub(crate) key: SecretBytes,
}

impl Authority {
    pub(crate) fn named(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// Valid for `days` from `from`.
    pub(crate) fn leaf_from(
        &self,
        purpose: For,
        names: &[&str],
        from: Timestamp,
        days: u32,
    ) -> Leaf {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, "scratch");
        params.extended_key_usages = vec![match purpose {
            For::Server => ExtendedKeyUsagePurpose::ServerAuth,
            For::Client => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        params.not_before = from.to_offset();
        params.not_after = from.plus(DAY * days).to_offset();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap().pem();
        Leaf { certificate, key: SecretBytes::new(key.serialize_pem().into_bytes()) }
    }

    /// Valid since an hour, for 90 days.
    pub(crate) fn leaf(&self, purpose: For, names: &[&str]) -> Leaf {
        let from = SystemClock.now().minus(Duration::from_secs(3600));
        self.leaf_from(purpose, names, from, 90)
    }
}
