//! A certificate as labels ask for it.

use std::net::IpAddr;
use std::time::Duration;

use sealock_core::{DnsName, ImportedName, IssuerName};
use sealock_transfer::landing::Owner;

use super::{
    ContainerPath, Endpoint, KeyType, Kind, LabelError, LabelName, Layout, Reload, Usages, error,
    value,
};

/// The settings, as they stand in a label after the certificate's name.
pub(super) const SETTINGS: [&str; 15] = [
    "dns", "ip", "usage", "ttl", "path", "owner", "mode", "key-type", "layout", "reload", "verify",
    "publish", "imported", "issuer", "profile",
];
/// Those that say what certificate is to be issued. One that another authority has signed is as it is.
const OF_OURS: [&str; 7] = ["dns", "ip", "usage", "ttl", "key-type", "issuer", "profile"];
/// Where its folder is that has no `.path`.
const FOLDER: &str = "/run/sealock/certs";
/// How many names a certificate may have, and as many addresses.
const MAXIMUM_NAMES: usize = 100;

/// One certificate that the labels of a container ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRequest {
    /// Its name within the container.
    pub name: LabelName,
    /// The DNS names asked for; `None` stands for the container's own names.
    pub dns: Option<Vec<DnsName>>,
    /// The IP addresses asked for.
    pub ip: Vec<IpAddr>,
    /// What it is for, where no profile says that.
    pub usages: Usages,
    /// The certificate profile. What it is like is not for labels to say.
    pub profile: Option<LabelName>,
    /// How long it is to live; `None` leaves it to the profile.
    pub ttl: Option<Duration>,
    /// The folder inside the container.
    pub path: ContainerPath,
    /// Who owns the files there; `None` is the container's root.
    pub owner: Option<Owner>,
    /// The mode of the files that hold the key.
    pub mode: u32,
    /// The kind of key.
    pub key_type: KeyType,
    /// What the files are called.
    pub layout: Layout,
    /// How the service is told of new content.
    pub reload: Option<Reload>,
    /// Where the service is to be seen serving it.
    pub verify: Option<Endpoint>,
    /// In which LDAP directory of the settings it is published once it is delivered. Where that is, and under which name,
    /// is not for labels to say.
    pub publish: Option<LabelName>,
    /// The certificate of another authority that is to be delivered in place of one of ours.
    pub imported: Option<ImportedName>,
    /// Who signs it; the first of the settings that policy permits by default.
    pub issuer: Option<IssuerName>,
}

/// A certificate whose labels are still being read.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    request: Box<CertificateRequest>,
    /// The settings so far that are for certificates of ours.
    of_ours: Vec<&'static str>,
}

impl Draft {
    /// With every setting at its default.
    pub(super) fn new(name: LabelName) -> Self {
        Self { request: Box::new(CertificateRequest::with_defaults(name)), of_ours: Vec::new() }
    }

    pub(super) fn apply(&mut self, setting: &str, text: &str) -> Result<(), LabelError> {
        self.request.apply(setting, text)?;
        self.of_ours.extend(OF_OURS.iter().find(|known| **known == setting));
        Ok(())
    }

    /// What is asked for; or the setting that cannot be, and why.
    pub(super) fn finish(self) -> Result<CertificateRequest, (&'static str, LabelError)> {
        match self.of_ours.first() {
            Some(setting) if self.request.imported.is_some() => {
                Err((*setting, LabelError::NotWithImported { setting }))
            }
            _ if self.request.profile.is_some() && self.of_ours.contains(&"usage") => {
                Err(("usage", LabelError::NotWithProfile))
            }
            _ => Ok(*self.request),
        }
    }
}

impl CertificateRequest {
    /// A request with every setting at its default.
    fn with_defaults(name: LabelName) -> Self {
        let path = ContainerPath::in_folder(FOLDER, &name);
        Self {
            name,
            dns: None,
            ip: Vec::new(),
            usages: Usages { server: true, client: true },
            profile: None,
            ttl: None,
            path,
            owner: None,
            mode: 0o400,
            key_type: KeyType::P256,
            layout: Layout::Tls,
            reload: None,
            verify: None,
            publish: None,
            imported: None,
            issuer: None,
        }
    }

    fn apply(&mut self, setting: &str, text: &str) -> Result<(), LabelError> {
        match setting {
            "dns" => self.dns = Some(value::dns_names(text, MAXIMUM_NAMES)?),
            "ip" => self.ip = value::addresses(text, MAXIMUM_NAMES)?,
            "usage" => self.usages = text.parse()?,
            "ttl" => self.ttl = Some(value::ttl(text)?),
            "profile" => self.profile = Some(text.parse()?),
            "path" => self.path = text.parse()?,
            "owner" => self.owner = Some(value::owner(text)?),
            "mode" => self.mode = value::mode(text)?,
            "key-type" => self.key_type = text.parse()?,
            "layout" => self.layout = text.parse()?,
            "reload" => self.reload = Some(text.parse()?),
            "verify" => self.verify = Some(text.parse()?),
            "publish" => self.publish = Some(text.parse()?),
            "imported" if text.is_empty() => return Err(LabelError::Empty),
            "issuer" if text.is_empty() => return Err(LabelError::Empty),
            "issuer" => self.issuer = Some(text.parse()?),
            "imported" => self.imported = Some(text.parse()?),
            other => return Err(error::unknown_setting(Kind::Certificate, other)),
        }
        Ok(())
    }
}
