//! Writing a file in the format that somebody wants.

use sealock_core::SecretBytes;
use x509_parser::prelude::{FromDer, ParsedExtension, X509Certificate};

use crate::error::WriteError;
use crate::jks::Store;
use crate::key;
use crate::password::Password;
use crate::pem;
use crate::pkcs7;
use crate::pkcs12::{self, KeyStore};
use crate::read::is_certificate;
use crate::salt::Seed;

/// No alias is longer.
const MAXIMUM_ALIAS: usize = 128;
/// What keytool asks for at least.
const SHORTEST_PASSWORD: usize = 6;
const LONGEST_PASSWORD: usize = 256;

/// What goes into a file.
///
/// # Why the same content makes the same file
///
/// So that a file is only replaced, and what reads it only started anew, when something in it is another. Salts and
/// initialisation vectors are a hash of everything here (key, certificates, alias, kind of file), and not of the
/// password:
///
/// - a salt need not be secret, only another for each thing that is encrypted: it is, for as long as SHA-256 has no
///   collisions. A key and vector never meet two plain texts, because another plain text has another salt, and so
///   another key;
/// - the hash tells nothing of the private key to who cannot guess it, and who can has the certificate to try it on;
/// - a hash of the password would be a quick way to try passwords, past all rounds of key derivation. So it is not in it;
/// - who sees two files sees whether they are of the same content and password. A file of random salts would not tell
///   them that, but the certificate, which is public, mostly does.
#[derive(Debug, Clone, Default)]
pub struct Material {
    /// The private key, as PKCS#8 (version 1 or 2).
    pub key: Option<SecretBytes>,
    /// The certificate that it belongs to (DER).
    pub leaf: Option<Vec<u8>>,
    /// Between leaf and root, from the leaf's issuer on (DER).
    pub intermediates: Vec<Vec<u8>>,
    /// What is trusted (DER), more than one while a root is replaced.
    pub roots: Vec<Vec<u8>>,
    /// What the entry is called in a key store, or the first in a trust store.
    pub alias: String,
}

/// Where the private key stands in a file of PEM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyPlace {
    /// Nowhere.
    Absent,
    /// Before the certificates.
    First,
    /// After them.
    Last,
}

/// Which end of a chain comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainOrder {
    /// As servers want it (RFC 8446 §4.4.2).
    LeafFirst,
    /// From the root, or what is next to it, down to the leaf.
    RootFirst,
}

/// How a PKCS#12 file is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// PBES2 with PBKDF2 (HMAC-SHA-256) and AES-256; the MAC is of SHA-256.
    Modern,
    /// Triple DES, and SHA-1: for Java before 8u301, Windows before 10 (1709) and Server 2019, macOS before 15.
    Legacy,
}

/// What to write. `with_root` adds the root that the chain ends at; others of [`Material::roots`] are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// PEM.
    Pem {
        /// Where the key stands.
        key: KeyPlace,
        /// How the chain stands.
        order: ChainOrder,
        /// Whether the root is in it.
        with_root: bool,
    },
    /// The leaf by itself.
    Der,
    /// The chain as PKCS#7, in PEM.
    Pkcs7 {
        /// Whether the root is in it.
        with_root: bool,
    },
    /// Key and chain as PKCS#12.
    Pkcs12 {
        /// How it is encrypted.
        protection: Protection,
        /// Whether the root is in it.
        with_root: bool,
    },
    /// Key and chain as Java's own key store.
    Jks {
        /// Whether the root is in it.
        with_root: bool,
    },
    /// All roots as PKCS#12, as Java wants trusted certificates.
    TrustStorePkcs12,
    /// All roots as Java's own key store.
    TrustStoreJks,
}

impl Target {
    /// Whether a private key is in such a file.
    pub fn has_key(self) -> bool {
        match self {
            Self::Pem { key, .. } => key != KeyPlace::Absent,
            Self::Pkcs12 { .. } | Self::Jks { .. } => true,
            Self::Der | Self::Pkcs7 { .. } | Self::TrustStorePkcs12 | Self::TrustStoreJks => false,
        }
    }

    /// Whether such a file is under a password.
    pub fn needs_password(self) -> bool {
        !matches!(self, Self::Pem { .. } | Self::Der | Self::Pkcs7 { .. })
    }
}

/// Writes a file. The same content and password make the same bytes, always ([`Material`]).
///
/// # Errors
///
/// When something is missing that the format needs, is none of what it should be, or the key is another certificate's.
pub fn write(
    material: &Material,
    target: Target,
    password: Option<&SecretBytes>,
) -> Result<SecretBytes, WriteError> {
    let checked = Checked::new(material)?;
    match target {
        Target::Pem { key, order, with_root } => checked.pem(key, order, with_root),
        Target::Der => Ok(SecretBytes::new(checked.leaf()?.to_vec())),
        Target::Pkcs7 { with_root } => {
            let der = pkcs7::write(&checked.chain(with_root)?);
            Ok(SecretBytes::new(pem_of(&[("PKCS7", &der)]).into_bytes()))
        }
        Target::Pkcs12 { protection, with_root } => {
            let (_, password) = checked.protected(password)?;
            let chain = checked.chain(with_root)?;
            let (key, alias) = (checked.key()?, material.alias.as_str());
            let kind = match protection {
                Protection::Modern => "pkcs12",
                Protection::Legacy => "pkcs12 legacy",
            };
            let seed = checked.seed(kind, &chain);
            let file = KeyStore { alias, key, chain: &chain }.write(protection, &password, &seed);
            file.map(SecretBytes::new).ok_or(WriteError::Encrypt)
        }
        Target::Jks { with_root } => {
            let (text, _) = checked.protected(password)?;
            let chain = checked.chain(with_root)?;
            let mut store = Store::new(1, text);
            store.key(&material.alias, checked.key()?, &chain, &checked.seed("jks", &chain));
            Ok(SecretBytes::from(store.end()))
        }
        Target::TrustStorePkcs12 => {
            let (_, password) = checked.protected(password)?;
            let roots = checked.roots()?;
            let certificates = roots.iter().map(|(_, der)| *der);
            let names = std::iter::once(material.alias.as_bytes());
            let seed = Seed::new("pkcs12 trust store", names.chain(certificates));
            let file = pkcs12::trust_store(&roots, &password, &seed);
            file.map(SecretBytes::new).ok_or(WriteError::Encrypt)
        }
        Target::TrustStoreJks => {
            let (text, _) = checked.protected(password)?;
            let roots = checked.roots()?;
            let mut store = Store::new(roots.len(), text);
            for (alias, der) in &roots {
                store.trusted(alias, der);
            }
            Ok(SecretBytes::from(store.end()))
        }
    }
}

/// What was looked at: each certificate is one, and the key is the leaf's.
struct Checked<'a> {
    material: &'a Material,
    key: Option<SecretBytes>,
}

impl<'a> Checked<'a> {
    fn new(material: &'a Material) -> Result<Self, WriteError> {
        let certificates = material.leaf.iter().chain(&material.intermediates);
        for (number, der) in certificates.chain(&material.roots).enumerate() {
            if !is_certificate(der) {
                return Err(WriteError::Certificate(number + 1));
            }
        }
        let key = match &material.key {
            Some(key) => {
                let key = key::from_pkcs8(key.expose()).map_err(|_| WriteError::Key)?;
                let leaf = material.leaf.as_deref().ok_or(WriteError::NoCertificate)?;
                if !key::belongs(&key, leaf) {
                    return Err(WriteError::OtherKey);
                }
                Some(key)
            }
            None => None,
        };
        Ok(Self { material, key })
    }

    fn leaf(&self) -> Result<&'a [u8], WriteError> {
        self.material.leaf.as_deref().ok_or(WriteError::NoCertificate)
    }

    fn key(&self) -> Result<&[u8], WriteError> {
        self.key.as_ref().map(SecretBytes::expose).ok_or(WriteError::NoKey)
    }

    /// From the leaf on.
    fn chain(&self, with_root: bool) -> Result<Vec<&'a [u8]>, WriteError> {
        let mut chain = vec![self.leaf()?];
        chain.extend(self.material.intermediates.iter().map(Vec::as_slice));
        if with_root {
            let last = chain.last().copied().unwrap_or_default();
            chain.push(issuer(last, &self.material.roots).ok_or(WriteError::NoRoot)?);
        }
        Ok(chain)
    }

    /// All roots, each with an alias: the first has that which was given, the others a number behind it.
    fn roots(&self) -> Result<Vec<(String, &'a [u8])>, WriteError> {
        let alias = |number: usize| match number {
            0 => self.material.alias.clone(),
            more => format!("{}-{}", self.material.alias, more + 1),
        };
        let roots = self.material.roots.iter().enumerate();
        let roots: Vec<_> = roots.map(|(number, der)| (alias(number), der.as_slice())).collect();
        if roots.is_empty() { Err(WriteError::NoRoot) } else { Ok(roots) }
    }

    /// What a file under a password needs: the password as text and as keys are derived from it, and an alias.
    fn protected<'p>(
        &self,
        password: Option<&'p SecretBytes>,
    ) -> Result<(&'p str, Password), WriteError> {
        let alias = &self.material.alias;
        let length = alias.chars().count();
        if !(1..=MAXIMUM_ALIAS).contains(&length) || alias.chars().any(char::is_control) {
            return Err(WriteError::Alias);
        }
        let secret = password.ok_or(WriteError::PasswordMissing)?;
        let text = password_text(secret)?;
        Ok((text, Password::new(secret).ok_or(WriteError::Password)?))
    }

    fn seed(&self, kind: &str, chain: &[&[u8]]) -> Seed {
        let key = self.key.as_ref().map_or(&[][..], SecretBytes::expose);
        let parts = [self.material.alias.as_bytes(), key];
        Seed::new(kind, parts.into_iter().chain(chain.iter().copied()))
    }

    fn pem(
        &self,
        place: KeyPlace,
        order: ChainOrder,
        with_root: bool,
    ) -> Result<SecretBytes, WriteError> {
        let mut chain = self.chain(with_root)?;
        if order == ChainOrder::RootFirst {
            chain.reverse();
        }
        let mut blocks: Vec<(&str, &[u8])> =
            chain.into_iter().map(|der| ("CERTIFICATE", der)).collect();
        match place {
            KeyPlace::Absent => {}
            KeyPlace::First => blocks.insert(0, ("PRIVATE KEY", self.key()?)),
            KeyPlace::Last => blocks.push(("PRIVATE KEY", self.key()?)),
        }
        Ok(SecretBytes::new(pem_of(&blocks).into_bytes()))
    }
}

/// Whether a password is one that keytool and others take, for who asks before there is anything to write.
///
/// # Errors
///
/// When it is none.
pub fn check_password(secret: &SecretBytes) -> Result<(), WriteError> {
    password_text(secret).map(|_| ())
}

/// A password that keytool and others take.
pub(crate) fn password_text(secret: &SecretBytes) -> Result<&str, WriteError> {
    let text = std::str::from_utf8(secret.expose()).map_err(|_| WriteError::Password)?;
    let length = text.chars().count();
    if !(SHORTEST_PASSWORD..=LONGEST_PASSWORD).contains(&length) || text.contains('\0') {
        return Err(WriteError::Password);
    }
    Ok(text)
}

/// A private key (PKCS#8) by itself, as PEM.
pub fn key_to_pem(pkcs8: &SecretBytes) -> SecretBytes {
    SecretBytes::new(pem_of(&[("PRIVATE KEY", pkcs8.expose())]).into_bytes())
}

/// A certificate (DER) by itself, as PEM.
pub fn certificate_to_pem(der: &[u8]) -> String {
    pem_of(&[("CERTIFICATE", der)])
}

fn pem_of(blocks: &[(&str, &[u8])]) -> String {
    // Enough for all of it: what grows leaves its bytes where it was.
    let length: usize = blocks.iter().map(|(_, der)| der.len() * 3 / 2 + 128).sum();
    let mut text = String::with_capacity(length);
    for (label, der) in blocks {
        pem::write(label, der, &mut text);
    }
    text
}

/// The root that has issued a certificate: of its issuer's name, and where several have that, of its issuer's key.
fn issuer<'a>(certificate: &[u8], roots: &'a [Vec<u8>]) -> Option<&'a [u8]> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let wanted = certificate.extensions().iter().find_map(|extension| {
        let ParsedExtension::AuthorityKeyIdentifier(found) = extension.parsed_extension() else {
            return None;
        };
        found.key_identifier.as_ref().map(|id| id.0)
    });
    let mut by_name = None;
    for root in roots {
        let (_, parsed) = X509Certificate::from_der(root).ok()?;
        if parsed.subject().as_raw() != certificate.issuer().as_raw() {
            continue;
        }
        let own = parsed.extensions().iter().find_map(|extension| {
            let ParsedExtension::SubjectKeyIdentifier(id) = extension.parsed_extension() else {
                return None;
            };
            Some(id.0)
        });
        if wanted.is_some() && wanted == own {
            return Some(root);
        }
        if wanted.is_none() || own.is_none() {
            by_name = by_name.or(Some(root.as_slice()));
        }
    }
    by_name
}

#[cfg(test)]
mod tests;
