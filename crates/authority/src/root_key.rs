//! The root key leaves the host, and comes back for a rotation.
//!
//! Removal asks for the exported file again and checks that it holds the very key, so that a mistyped
//! path or passphrase cannot lose the root.

use pkcs8::pkcs5::pbes2;
use pkcs8::{EncryptedPrivateKeyInfo, PrivateKeyInfo};
use rcgen::Issuer;
use sealock_core::SecretBytes;
use sealock_core::audit::{Actor, Fact};
use sealock_store::{Change, Transaction};
use zeroize::Zeroizing;

use crate::authority::{Authority, read_state};
use crate::certificate;
use crate::error::AuthorityError;
use crate::key::AuthorityKey;
use crate::pem;
use crate::state::{IssuerRecord, KeyPlace, STATE, key_name};

const PLAIN: &str = "PRIVATE KEY";
const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";
/// scrypt with N = 2^14, r = 8, p = 5 (OWASP's figures for 16 MiB): the most memory that OpenSSL's limit
/// of 32 MiB lets it use, so that `openssl pkey` opens the file.
const SCRYPT: (u8, u32, u32) = (14, 8, 5);

/// An exported root key.
#[derive(Debug)]
pub struct RootKeyFile<'a> {
    /// The file: one PEM block.
    pub pem: &'a SecretBytes,
    /// Its passphrase, when it is encrypted.
    pub passphrase: Option<&'a SecretBytes>,
}

impl RootKeyFile<'_> {
    fn key(&self) -> Result<AuthorityKey, AuthorityError> {
        let (kind, der) = pem::decode_one(self.pem.expose(), &[PLAIN, ENCRYPTED])
            .ok_or(AuthorityError::RootKeyFile)?;
        if kind == 0 {
            return Ok(AuthorityKey::from_pkcs8(&SecretBytes::from(der))?);
        }
        let passphrase = self.passphrase.ok_or(AuthorityError::PassphraseMissing)?;
        let sealed = EncryptedPrivateKeyInfo::try_from(der.as_slice())
            .map_err(|_| AuthorityError::RootKeyFile)?;
        let opened =
            sealed.decrypt(passphrase.expose()).map_err(|_| AuthorityError::PassphraseWrong)?;
        Ok(AuthorityKey::from_pkcs8(&SecretBytes::new(opened.as_bytes().to_vec()))?)
    }

    /// The root, ready to sign, once the key is shown to be its key.
    pub(crate) fn issuer(
        &self,
        root: &IssuerRecord,
    ) -> Result<Issuer<'static, AuthorityKey>, AuthorityError> {
        let key = self.key()?;
        if !certificate::belongs(&root.der.0, &key) {
            return Err(AuthorityError::WrongRootKey(root.serial));
        }
        certificate::issuer(&root.der.0, key)
            .map_err(|source| AuthorityError::Build { what: "the root", source })
    }
}

impl Authority {
    /// The active root's key as PKCS#8 in PEM; encrypted (PBES2: scrypt, AES-256-CBC) when there is a
    /// passphrase. The key stays here until [`Authority::remove_root_key`].
    pub fn export_root_key(
        &self,
        passphrase: Option<&SecretBytes>,
        actor: &Actor,
    ) -> Result<SecretBytes, AuthorityError> {
        let root = self.active_root()?;
        match &root.key {
            KeyPlace::Store => {}
            KeyPlace::Elsewhere => return Err(AuthorityError::RootKeyAway),
            KeyPlace::Device(_) => return Err(AuthorityError::KeyInDevice(root.title())),
        }
        let name = key_name(root.id);
        let sealed = self.store().get(name.as_bytes())?.ok_or(AuthorityError::RootKeyAway)?;
        let pkcs8 = self
            .keyring
            .open_sealed(&name, &sealed.value)
            .map_err(|source| AuthorityError::Unseal { key: "key of the root".into(), source })?;
        let text = match passphrase {
            None => pem::encode_secret(PLAIN, pkcs8.expose()),
            Some(passphrase) => encrypt(&pkcs8, passphrase)?,
        };
        let fact = Fact::RootKeyExported { removed: false };
        self.commit("the export", Change::event(actor.event(self.now(), fact)))?;
        Ok(text)
    }

    /// Removes the active root's key from the store. `exported` is the file as it can be read back from
    /// where it was written; it must hold that key. Removing it again is no error.
    pub fn remove_root_key(
        &self,
        exported: &RootKeyFile<'_>,
        actor: &Actor,
    ) -> Result<(), AuthorityError> {
        let _changing = self.changing.lock();
        let (mut state, version) = read_state(self.store())?;
        let active = state.root;
        let root = self.active_root()?;
        if let KeyPlace::Device(_) = root.key {
            return Err(AuthorityError::KeyInDevice(root.title()));
        }
        exported.issuer(&root)?;
        let current = state.issuers.iter_mut().find(|issuer| issuer.id == active);
        let Some(record) = current.filter(|issuer| issuer.key == KeyPlace::Store) else {
            return Ok(());
        };
        record.key = KeyPlace::Elsewhere;
        let transaction = Transaction::new().replace(STATE, version, serde_json::to_vec(&state)?);
        let transaction = transaction.delete(key_name(active).into_bytes());
        let fact = Fact::RootKeyExported { removed: true };
        self.commit("the removal", Change::new(transaction, actor.event(self.now(), fact)))?;
        self.reload()
    }

    fn active_root(&self) -> Result<IssuerRecord, AuthorityError> {
        let (state, _) = read_state(self.store())?;
        state
            .issuer(state.root)
            .cloned()
            .ok_or_else(|| AuthorityError::Corrupt { record: "the active root".into() })
    }
}

fn encrypt(pkcs8: &SecretBytes, passphrase: &SecretBytes) -> Result<SecretBytes, AuthorityError> {
    let failed = || AuthorityError::Encrypt;
    let (mut salt, mut iv) = ([0; 16], [0; 16]);
    aws_lc_rs::rand::fill(&mut salt).map_err(|_| AuthorityError::Random)?;
    aws_lc_rs::rand::fill(&mut iv).map_err(|_| AuthorityError::Random)?;
    let (log_n, r, p) = SCRYPT;
    let cost = pkcs8::pkcs5::scrypt::Params::new(log_n, r, p, 32).map_err(|_| failed())?;
    let parameters = pbes2::Parameters::scrypt_aes256cbc(cost, &salt, &iv).map_err(|_| failed())?;
    let info = PrivateKeyInfo::try_from(pkcs8.expose()).map_err(|_| failed())?;
    let sealed = info.encrypt_with_params(parameters, passphrase.expose()).map_err(|_| failed())?;
    let der = Zeroizing::new(sealed.as_bytes().to_vec());
    Ok(pem::encode_secret(ENCRYPTED, &der))
}
