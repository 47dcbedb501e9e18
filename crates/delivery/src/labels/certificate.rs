//! A certificate as labels ask for it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use sealock_core::{DnsName, ImportedName, IssuerName, SecretName};
use sealock_transfer::landing::Owner;

use super::{
    ContainerPath, Endpoint, KeyType, Kind, LabelError, LabelName, Layout, Reload, StoreFormat,
    Usages, error, store, value,
};

/// The settings, as they stand in a label after the certificate's name.
pub(super) const SETTINGS: [&str; 17] = [
    "dns", "ip", "usage", "ttl", "path", "owner", "mode", "key-type", "layout", "reload", "verify",
    "publish", "imported", "issuer", "profile", "format", "password",
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
    /// The files that are there beside those of PEM.
    pub formats: BTreeSet<StoreFormat>,
    /// The secret that is the password of the stores among them; one of our making where none is named.
    pub password: Option<SecretName>,
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
            _ if !self.request.formats.is_empty() && self.request.layout == Layout::Docker => {
                Err(("format", LabelError::FormatWithDocker))
            }
            _ if self.request.password.is_some() && !self.request.has_store() => {
                Err(("password", LabelError::PasswordWithoutStore))
            }
            _ => Ok(*self.request),
        }
    }
}

impl CertificateRequest {
    /// Whether there is a store among its files, which is under a password.
    pub fn has_store(&self) -> bool {
        self.formats.iter().any(|format| format.is_store())
    }

    /// The names of all files in its folder.
    pub(super) fn files(&self) -> Vec<&'static str> {
        let own_password = self.has_store() && self.password.is_none();
        let stores = self.formats.iter().flat_map(|format| {
            let (store, roots) = format.files();
            std::iter::once(store).chain(roots)
        });
        let files = self.layout.files().iter().copied().chain(stores);
        files.chain(own_password.then_some(store::PASSWORD_FILE)).collect()
    }

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
            formats: BTreeSet::new(),
            password: None,
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
            "format" => self.formats = StoreFormat::list(text)?,
            "password" => self.password = Some(value::password(text)?),
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
