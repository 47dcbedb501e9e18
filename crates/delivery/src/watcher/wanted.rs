//! What the labels of a container come to, with what they leave open filled in.

use std::time::Duration;

use sealock_core::{DnsName, ImportedName, SecretName, SubjectName};

use super::denial::{Basis, Ground};
use super::ports::Place;
use crate::labels::{
    CertificateRequest, ContainerPath, Endpoint, Kind, LabelName, Layout, Reload, SecretRequest,
    TrustFormat, TrustRequest, USUAL_TTL,
};

/// What is wanted, and what shows whether that is still the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) what: What,
    /// Of all that makes another delivery necessary.
    pub(super) digest: String,
}

/// By kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    Certificate(Box<NamedCertificate>),
    Secret(SecretRequest),
    Trust(TrustRequest),
}

/// A certificate with its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NamedCertificate {
    pub(super) request: CertificateRequest,
    /// The subject names; never empty, unless it is imported: then it says itself which it has.
    pub(super) names: Vec<SubjectName>,
}

impl Wanted {
    /// `None` when there is no name at all.
    pub(super) fn certificate(request: CertificateRequest, own: &[DnsName]) -> Option<Self> {
        let dns = request.dns.as_deref().unwrap_or(own).iter().cloned().map(SubjectName::Dns);
        let names: Vec<SubjectName> =
            dns.chain(request.ip.iter().copied().map(SubjectName::Ip)).collect();
        if let Some(imported) = &request.imported {
            let CertificateRequest { path, owner, mode, layout, .. } = &request;
            let mut text = format!("imported {imported} {path} {owner:?} {mode:o} {layout:?}");
            text.push_str(&stores(&request));
            let what = What::Certificate(Box::new(NamedCertificate { request, names: Vec::new() }));
            return Some(Self { what, digest: digest(&text) });
        }
        if names.is_empty() {
            return None;
        }
        let mut text = format!(
            "{names:?} {:?} {:?} {} {:?} {:o} {}",
            request.usages,
            request.ttl.unwrap_or(USUAL_TTL),
            request.path,
            request.owner,
            request.mode,
            request.key_type,
        );
        // What was delivered before there were layouts is still what is wanted.
        if request.layout != Layout::Tls {
            text.push_str(&format!(" {:?}", request.layout));
        }
        if let Some(issuer) = &request.issuer {
            text.push_str(&format!(" issuer {issuer}"));
        }
        if let Some(profile) = &request.profile {
            // The profile's own life is another than the one that is usual without it.
            text.push_str(&format!(" profile {profile} {:?}", request.ttl));
        }
        text.push_str(&stores(&request));
        let what = What::Certificate(Box::new(NamedCertificate { request, names }));
        Some(Self { what, digest: digest(&text) })
    }

    pub(super) fn trust(request: TrustRequest) -> Self {
        let TrustRequest { path, owner, mode, format, password, .. } = &request;
        let mut text = format!("trust {path} {owner:?} {mode:o}");
        if *format != TrustFormat::Pem {
            text.push_str(&format!(" {format} {password:?}"));
        }
        Self { what: What::Trust(request), digest: digest(&text) }
    }

    pub(super) fn secret(request: SecretRequest) -> Self {
        let SecretRequest { secret, path, owner, mode, on_disk, .. } = &request;
        let text = format!("{secret} {path} {owner:?} {mode:o} {on_disk}");
        Self { what: What::Secret(request), digest: digest(&text) }
    }

    /// Where it is to be.
    pub(super) fn path(&self) -> &ContainerPath {
        match &self.what {
            What::Certificate(certificate) => &certificate.request.path,
            What::Secret(secret) => &secret.path,
            What::Trust(trust) => &trust.path,
        }
    }

    /// Where it is looked for.
    pub(super) fn place(&self) -> Place {
        match &self.what {
            What::Certificate(certificate) => {
                let CertificateRequest { path, layout, .. } = &certificate.request;
                Place::Certificate { path: path.clone(), layout: *layout }
            }
            What::Secret(secret) => Place::Secret { path: secret.path.clone() },
            What::Trust(trust) => Place::Trust { path: trust.path.clone() },
        }
    }

    /// How the service is told.
    pub(super) fn reload(&self) -> Option<&Reload> {
        match &self.what {
            What::Certificate(certificate) => certificate.request.reload.as_ref(),
            What::Secret(secret) => secret.reload.as_ref(),
            What::Trust(trust) => trust.reload.as_ref(),
        }
    }

    /// Where the service is looked at. Of a secret or a bundle nobody outside the service can see what it uses.
    pub(super) fn verify(&self) -> Option<&Endpoint> {
        match &self.what {
            What::Certificate(certificate) => certificate.request.verify.as_ref(),
            What::Secret(_) | What::Trust(_) => None,
        }
    }

    /// The certificate of another authority that it is, if it is one.
    pub(super) fn imported(&self) -> Option<&ImportedName> {
        match &self.what {
            What::Certificate(certificate) => certificate.request.imported.as_ref(),
            What::Secret(_) | What::Trust(_) => None,
        }
    }

    /// The secret of the vault that it is, or that is the password of a store of it.
    pub(super) fn reads(&self) -> Option<&SecretName> {
        match &self.what {
            What::Certificate(certificate) => certificate.request.password.as_ref(),
            What::Secret(secret) => Some(&secret.secret),
            What::Trust(trust) => trust.password.as_ref(),
        }
    }

    /// What a no is about that is about reading that secret.
    pub(super) fn reading(&self, basis: Basis) -> Ground {
        match &self.what {
            What::Secret(_) => Ground::Policy(basis),
            What::Certificate(_) | What::Trust(_) => Ground::Password(basis),
        }
    }

    /// How long what is delivered lives: nothing about it waits for more than a share of that.
    pub(super) fn life(&self) -> Duration {
        match &self.what {
            What::Certificate(certificate) if certificate.request.imported.is_some() => {
                Duration::MAX
            }
            What::Certificate(certificate) => certificate.request.ttl.unwrap_or(USUAL_TTL),
            What::Secret(_) | What::Trust(_) => Duration::MAX,
        }
    }

    /// The label that policy decides on, for notices about it.
    pub(super) fn decided_label(&self) -> String {
        let (kind, name, setting) = match &self.what {
            What::Certificate(certificate) => {
                let CertificateRequest { name, dns, ip, imported, .. } = &certificate.request;
                let setting = match (dns, ip.is_empty()) {
                    _ if imported.is_some() => ".imported",
                    (Some(_), _) => ".dns",
                    (None, false) => ".ip",
                    (None, true) => "",
                };
                (Kind::Certificate, name, setting)
            }
            What::Secret(secret) => (Kind::Secret, &secret.name, ".ref"),
            What::Trust(trust) => (Kind::Trust, &trust.name, ""),
        };
        label(kind, name, setting)
    }

    /// The label that says where it is to be, for notices about the place.
    pub(super) fn path_label(&self) -> String {
        let (kind, name) = match &self.what {
            What::Certificate(certificate) => (Kind::Certificate, &certificate.request.name),
            What::Secret(secret) => (Kind::Secret, &secret.name),
            What::Trust(trust) => (Kind::Trust, &trust.name),
        };
        label(kind, name, ".path")
    }

    /// The label that names the secret.
    pub(super) fn reading_label(&self) -> String {
        match &self.what {
            What::Certificate(certificate) => {
                label(Kind::Certificate, &certificate.request.name, ".password")
            }
            What::Secret(_) => self.decided_label(),
            What::Trust(trust) => label(Kind::Trust, &trust.name, ".password"),
        }
    }

    /// The label that a denial is about.
    pub(super) fn denied_label(&self, ground: &Ground) -> String {
        match ground {
            Ground::Policy(_) => self.decided_label(),
            Ground::Password(_) => self.reading_label(),
            Ground::Place { .. } => self.path_label(),
        }
    }
}

/// What there is beside the files of PEM; nothing where there is nothing, so that what was delivered before there were
/// key stores is still what is wanted.
fn stores(request: &CertificateRequest) -> String {
    if request.formats.is_empty() {
        return String::new();
    }
    format!(" stores {:?} {:?}", request.formats, request.password)
}

fn label(kind: Kind, name: &LabelName, setting: &str) -> String {
    format!("{}{name}{setting}", kind.prefix())
}

fn digest(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    data_encoding::HEXLOWER.encode(digest.as_ref())
}
