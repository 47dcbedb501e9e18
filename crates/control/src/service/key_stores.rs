//! What a label has put beside the files of PEM: key stores and trust stores, and the password that they are under.
//!
//! # The password
//!
//! A label never has it. It names a secret, which the watcher reads as any labelled secret; or it names none, and the
//! password is made here: of the container's identity and the certificate's name, under a key that lies sealed in the
//! state. So it is the same after each renewal, for programs that read it once, and another in each container. It protects
//! no more than the permissions of the file that it stands in, beside the stores and the key in PEM; it is there because
//! Java opens nothing without one. Nothing that a guess of it could be tried against is kept.

use aws_lc_rs::hmac;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use sealock_core::SecretBytes;
use sealock_delivery::labels::{PASSWORD_FILE, StoreFormat, TrustFormat};
use sealock_delivery::watcher::{
    DeliveredCertificate, StoreFile, WantedCertificate, WantedStores, WantedTrustStore,
};
use sealock_formats::{Material, Protection, Target, WriteError, check_password, write};
use sealock_store::{Change, Transaction};
use zeroize::Zeroizing;

use super::{Service, convert};
use crate::error::{ErrorCode, ServiceError};

/// The key that passwords are made under, and what it is sealed for.
const KEY: &str = "delivery/store-password-key";
const KEY_BYTES: usize = 32;
/// What passwords are made of it for. Another use of the key would say another thing.
const PURPOSE: &[u8] = b"sealock password of key stores 1\0";
/// So many bytes make 32 letters and digits.
const PASSWORD_BYTES: usize = 20;
/// What the first root is called in a trust store.
const ROOT_ALIAS: &str = "ca";
/// What the trust store of every JDK is under. There is nothing in one that is not public.
const KNOWN_PASSWORD: &[u8] = b"changeit";

impl Service {
    /// With the files that are wanted besides. Blocking: deriving keys of a password takes long by design.
    pub(super) fn with_stores(
        &self,
        wanted: &WantedCertificate,
        made: DeliveredCertificate,
    ) -> Result<DeliveredCertificate, ServiceError> {
        let Some(WantedStores { formats, password }) = &wanted.stores else { return Ok(made) };
        let mut stores = Vec::new();
        let password = match password {
            Some(password) => Some(password.clone()),
            None if formats.iter().any(|format| format.is_store()) => {
                let own = self.own_password(wanted)?;
                stores.push(file(PASSWORD_FILE, true, own.clone()));
                Some(own)
            }
            None => None,
        };
        let material = material(wanted.certificate.as_str(), &made)?;
        let roots = Material { alias: ROOT_ALIAS.to_owned(), ..of_roots(&material) };
        for format in formats {
            let (name, trusted) = format.files();
            let content = written(&material, target(*format), password.as_ref())?;
            stores.push(file(name, format.is_store(), content));
            // Two formats may have one trust store between them.
            if let Some(name) = trusted.filter(|name| stores.iter().all(|one| one.name != *name)) {
                let content = written(&roots, trust_target(*format), password.as_ref())?;
                stores.push(file(name, false, content));
            }
        }
        Ok(DeliveredCertificate { stores, ..made })
    }

    /// The password of the stores of this container's certificate, where labels name no secret.
    fn own_password(&self, wanted: &WantedCertificate) -> Result<SecretBytes, ServiceError> {
        let who = self.container_principal(&wanted.container)?.identity.to_string();
        let key = self.store_password_key()?;
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key.expose()));
        // Neither an identity nor a label's name has a zero byte.
        for part in [PURPOSE, who.as_bytes(), b"\0", wanted.certificate.as_str().as_bytes()] {
            context.update(part);
        }
        let tag = context.sign();
        let bytes = tag.as_ref().get(..PASSWORD_BYTES).unwrap_or_default();
        Ok(SecretBytes::new(data_encoding::BASE32_NOPAD.encode(bytes).into_bytes()))
    }

    /// Made when it is first needed.
    fn store_password_key(&self) -> Result<SecretBytes, ServiceError> {
        // Opens the keyring, where that was not done yet.
        self.authority()?;
        let missing = || ServiceError::new(ErrorCode::Fault, "the keyring is not open");
        let keyring = self.keyring.get().ok_or_else(missing)?;
        let found = || {
            let row = self.journal.store().get(KEY.as_bytes());
            row.map_err(|error| convert::store_error(&error))
        };
        if let Some(row) = found()? {
            let opened = keyring.open_sealed(KEY, &row.value);
            return opened.map_err(|error| convert::keyring_error(&error));
        }
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        aws_lc_rs::rand::fill(key.as_mut_slice())
            .map_err(|_| ServiceError::new(ErrorCode::Fault, "the random generator failed"))?;
        let sealed =
            keyring.seal(KEY, key.as_slice()).map_err(|error| convert::keyring_error(&error))?;
        let transaction = Transaction::new().create(KEY.as_bytes(), sealed);
        let change = Change { transaction, events: Vec::new() };
        match self.journal.commit_blocking(change) {
            Ok(_) => Ok(SecretBytes::new(key.to_vec())),
            // Another container's delivery was quicker: its key is everybody's.
            Err(error) => match found()? {
                Some(row) => keyring
                    .open_sealed(KEY, &row.value)
                    .map_err(|error| convert::keyring_error(&error)),
                None => Err(convert::journal_error(&error)),
            },
        }
    }
}

/// A secret's value as a password: without its line end, as a file of one is read everywhere.
pub(super) fn password(value: &SecretBytes) -> Result<SecretBytes, ServiceError> {
    let password = value.trim_line_end();
    check_password(&password).map_err(|error| {
        ServiceError::of(ErrorCode::Usage, &error)
            .hint("set another value, such as by `sealock secret set NAME --generate 32`")
    })?;
    Ok(password)
}

/// The roots by themselves.
pub(super) fn trust_store(wanted: &WantedTrustStore) -> Result<SecretBytes, ServiceError> {
    let target = match wanted.format {
        TrustFormat::Pkcs12 => Target::TrustStorePkcs12,
        TrustFormat::Jks => Target::TrustStoreJks,
        TrustFormat::Pem => {
            return Err(ServiceError::new(ErrorCode::Fault, "a file of PEM is no store"));
        }
    };
    let roots = wanted.anchors.clone();
    let material = Material { roots, alias: ROOT_ALIAS.to_owned(), ..Material::default() };
    let known = || SecretBytes::new(KNOWN_PASSWORD.to_vec());
    written(&material, target, Some(&wanted.password.clone().unwrap_or_else(known)))
}

fn file(name: &'static str, private: bool, content: SecretBytes) -> StoreFile {
    StoreFile { name, private, content }
}

const fn target(format: StoreFormat) -> Target {
    // Who wants the root in the chain as well has it in the trust store.
    let with_root = false;
    match format {
        StoreFormat::Pkcs12 => Target::Pkcs12 { protection: Protection::Modern, with_root },
        StoreFormat::Pkcs12Legacy => Target::Pkcs12 { protection: Protection::Legacy, with_root },
        StoreFormat::Jks => Target::Jks { with_root },
        StoreFormat::Der => Target::Der,
        StoreFormat::Pkcs7 => Target::Pkcs7 { with_root },
    }
}

const fn trust_target(format: StoreFormat) -> Target {
    match format {
        StoreFormat::Pkcs12 => Target::TrustStorePkcs12,
        _ => Target::TrustStoreJks,
    }
}

fn written(
    material: &Material,
    target: Target,
    password: Option<&SecretBytes>,
) -> Result<SecretBytes, ServiceError> {
    write(material, target, password).map_err(|error: WriteError| {
        ServiceError::new(ErrorCode::Fault, "cannot make a store of the certificate")
            .caused_by(&error)
    })
}

/// What was delivered as PEM, apart.
fn material(alias: &str, made: &DeliveredCertificate) -> Result<Material, ServiceError> {
    let damaged = || ServiceError::new(ErrorCode::Fault, "what was issued cannot be read");
    let certificates = |pem: &[u8]| -> Result<Vec<Vec<u8>>, ServiceError> {
        let read = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
        let read = read.map_err(|_| damaged())?;
        Ok(read.into_iter().map(|one| one.as_ref().to_vec()).collect())
    };
    let mut chain = certificates(&made.tls_crt)?.into_iter();
    let keys = sealock_formats::read(made.tls_key.expose(), None).map_err(|_| damaged())?.keys;
    Ok(Material {
        key: keys.into_iter().next(),
        leaf: chain.next(),
        intermediates: chain.collect(),
        roots: certificates(&made.ca_crt)?,
        alias: alias.to_owned(),
    })
}

fn of_roots(material: &Material) -> Material {
    Material { roots: material.roots.clone(), ..Material::default() }
}
