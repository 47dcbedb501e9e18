//! Certificates of this host itself: the administrator's and the API's, in the state folder.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sealock_authority::{Authority, CertState, Issued, KeySource, KeyType, Order, Serial, Usages};
use sealock_core::audit::Actor;
use sealock_core::{Identity, IdentityKind, SubjectName};
use sealock_store::Transaction;
use sealock_store::{Change, Operation};

use super::{Service, convert};
use crate::caller::ADMIN;
use crate::error::{ErrorCode, ServiceError};
use crate::state::{read_small, write_atomically};

/// How long they live; they are made anew with a third of that left.
const LIFE: Duration = Duration::from_secs(90 * 86_400);
/// Certificates and keys are not longer than this.
const LONGEST: u64 = 1 << 20;

/// An identity of this host with its files.
#[derive(Debug, Clone)]
pub(crate) struct HostIdentity {
    pub(crate) folder: PathBuf,
    pub(crate) identity: String,
    /// `tls.crt` and `tls.key`.
    pub(crate) chain: Vec<u8>,
    pub(crate) key: sealock_core::SecretBytes,
}

impl Service {
    /// The administrator's certificate, made anew where it is missing, revoked or near its end.
    pub(crate) fn admin_identity(
        &self,
        authority: &Authority,
        actor: &Actor,
    ) -> Result<HostIdentity, ServiceError> {
        let identity = Identity::new(&authority.trust_domain(), IdentityKind::Human, ADMIN)
            .map_err(|error| ServiceError::of(ErrorCode::Fault, &error))?;
        self.host_identity(authority, ADMIN, identity, Vec::new(), Usages::CLIENT, actor)
    }

    /// The certificate of a door, for these names.
    pub(crate) fn door_identity(
        &self,
        authority: &Authority,
        door: &str,
        names: Vec<SubjectName>,
        actor: &Actor,
    ) -> Result<HostIdentity, ServiceError> {
        let host: String = self
            .opening
            .hostname
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' })
            .take(100)
            .collect();
        let identity = Identity::new(&authority.trust_domain(), IdentityKind::Host, &host)
            .or_else(|_| Identity::new(&authority.trust_domain(), IdentityKind::Host, "localhost"))
            .map_err(|error| ServiceError::of(ErrorCode::Fault, &error))?;
        self.host_identity(authority, door, identity, names, Usages::SERVER, actor)
    }

    fn host_identity(
        &self,
        authority: &Authority,
        name: &str,
        identity: Identity,
        names: Vec<SubjectName>,
        usages: Usages,
        actor: &Actor,
    ) -> Result<HostIdentity, ServiceError> {
        let folder = self.state().identity(name);
        let mut wanted = vec![SubjectName::Uri(identity.to_string())];
        wanted.extend(names.iter().cloned());
        if let Some(found) = self.existing(authority, name, &folder, &wanted)? {
            return Ok(found);
        }
        let order = Order {
            name: format!("sealock-{name}"),
            identity: Some(identity.clone()),
            names,
            usages,
            profile: None,
            ttl: LIFE,
            key: KeySource::Generate(KeyType::P256),
            issuer: None,
        };
        let issued =
            authority.issue(&order, actor).map_err(|error| convert::authority_error(&error))?;
        self.metrics.issued();
        self.write_identity(name, &folder, &issued)?;
        Ok(HostIdentity {
            folder,
            identity: identity.to_string(),
            chain: issued.tls_crt().into_bytes(),
            key: issued.tls_key().cloned().unwrap_or_default(),
        })
    }

    /// What is in the folder, when it is whole, in force, for these names and not near its end.
    fn existing(
        &self,
        authority: &Authority,
        name: &str,
        folder: &Path,
        wanted: &[SubjectName],
    ) -> Result<Option<HostIdentity>, ServiceError> {
        let record = self
            .journal
            .store()
            .get(&record_key(name))
            .map_err(|error| convert::store_error(&error))?;
        let serial = record.and_then(|entry| String::from_utf8(entry.value).ok());
        let serial: Option<Serial> = serial.and_then(|serial| serial.parse().ok());
        let Some(detail) = serial.and_then(|serial| authority.show_serial(serial).ok()) else {
            return Ok(None);
        };
        let (Ok(chain), Ok(key)) = (
            read_small(&folder.join("tls.crt"), LONGEST),
            read_small(&folder.join("tls.key"), LONGEST),
        ) else {
            return Ok(None);
        };
        let summary = &detail.summary;
        let now = self.journal.clock().now();
        let good = summary.state == CertState::Valid
            && summary.not_after.since(now) > LIFE / 3
            && summary.names == wanted
            && chain.starts_with(detail.pem.as_bytes());
        if !good {
            return Ok(None);
        }
        // The roots change without the certificate changing.
        write_atomically(&folder.join("ca.crt"), authority.trust_bundle_pem().as_bytes(), 0o444)
            .map_err(|error| unwritable(folder, &error))?;
        Ok(Some(HostIdentity {
            folder: folder.to_owned(),
            identity: summary.identity.as_ref().map(ToString::to_string).unwrap_or_default(),
            chain,
            key: sealock_core::SecretBytes::new(key),
        }))
    }

    /// Writes the files, the key first; the record of the serial last, so that a kill in between only
    /// makes another certificate.
    fn write_identity(
        &self,
        name: &str,
        folder: &Path,
        issued: &Issued,
    ) -> Result<(), ServiceError> {
        let empty = sealock_core::SecretBytes::default();
        let bundle = issued.bundle_pem();
        let files: [(&str, &[u8], u32); 4] = [
            ("tls.key", issued.tls_key().unwrap_or(&empty).expose(), 0o400),
            ("bundle.pem", bundle.expose(), 0o400),
            ("ca.crt", &issued.ca_crt().into_bytes(), 0o444),
            ("tls.crt", &issued.tls_crt().into_bytes(), 0o444),
        ];
        for (file, content, mode) in files {
            write_atomically(&folder.join(file), content, mode)
                .map_err(|error| unwritable(folder, &error))?;
        }
        let serial = issued.serial.to_string().into_bytes();
        let transaction = Transaction::new().with(Operation::put(record_key(name), serial));
        self.journal
            .commit_blocking(Change { transaction, events: Vec::new() })
            .map_err(|error| convert::journal_error(&error))?;
        Ok(())
    }
}

fn record_key(name: &str) -> Vec<u8> {
    format!("control/identity/{name}").into_bytes()
}

fn unwritable(folder: &Path, error: &std::io::Error) -> ServiceError {
    ServiceError::new(ErrorCode::State, format!("cannot write to {}", folder.display()))
        .caused_by(error)
}
