//! What is in a folder already, and whether it has to be made anew.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use sealock_core::{SecretBytes, SubjectName, Timestamp};
use sealock_net::tls::provider;

use super::{FilesError, Held, Side, has_staged};
use crate::daemon::certificate::{Facts, certificates};

/// What a run wants to be there.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The authority, PEM.
    pub ca_pem: &'a str,
    /// All names of the certificate.
    pub names: &'a [SubjectName],
}

/// Why a set of files has to be made anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// A file is not there.
    Missing(&'static str),
    /// A file is not what its name says.
    Damaged(&'static str),
    /// The key is another certificate's.
    KeyDoesNotFit,
    /// It is not verified by the authority beside it, or not for its purpose.
    DoesNotVerify(String),
    /// The authority is not the given one.
    OtherAuthority,
    /// It does not have exactly the names that are wanted.
    Names {
        /// Wanted and not there.
        missing: Vec<SubjectName>,
        /// There and not wanted.
        extra: Vec<SubjectName>,
    },
    /// Not valid yet: the clock was set back.
    NotYetValid,
    /// At most a third of its life is left.
    NearItsEnd {
        /// Whole days, negative after the end.
        days_left: i64,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |names: &[SubjectName]| {
            names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        };
        match self {
            Self::Missing(file) => write!(formatter, "{file} is missing"),
            Self::Damaged(file) => write!(formatter, "{file} is damaged"),
            Self::KeyDoesNotFit => write!(formatter, "the key is not the certificate's"),
            Self::DoesNotVerify(why) => {
                write!(formatter, "the certificate is not verified by the authority ({why})")
            }
            Self::OtherAuthority => write!(formatter, "the authority is another one"),
            Self::Names { missing, extra } if missing.is_empty() => {
                write!(formatter, "the certificate has more names than wanted: {}", list(extra))
            }
            Self::Names { missing, .. } => {
                write!(formatter, "the certificate lacks names: {}", list(missing))
            }
            Self::NotYetValid => write!(formatter, "the certificate is not valid yet"),
            Self::NearItsEnd { days_left } if *days_left < 0 => {
                write!(formatter, "the certificate has expired")
            }
            Self::NearItsEnd { days_left } => {
                write!(formatter, "the certificate is near its end ({days_left} days left)")
            }
        }
    }
}

/// What is in a folder.
#[derive(Debug)]
pub struct Existing {
    side: Side,
    ca: Part<Vec<CertificateDer<'static>>>,
    certificate: Part<(Vec<CertificateDer<'static>>, Facts)>,
    key: Part<PrivateKeyDer<'static>>,
}

/// One file.
#[derive(Debug)]
enum Part<T> {
    Missing,
    Damaged,
    Is(T),
}

impl<T> Part<T> {
    fn of(content: Option<&[u8]>, parse: impl FnOnce(&[u8]) -> Option<T>) -> Self {
        match content.map(parse) {
            None => Self::Missing,
            Some(None) => Self::Damaged,
            Some(Some(value)) => Self::Is(value),
        }
    }

    fn good(&self, file: &'static str) -> Result<&T, Reason> {
        match self {
            Self::Missing => Err(Reason::Missing(file)),
            Self::Damaged => Err(Reason::Damaged(file)),
            Self::Is(value) => Ok(value),
        }
    }
}

impl Existing {
    /// Reads a folder, which need not be there. What a killed run left is finished or removed first.
    pub fn read(folder: &Path, side: Side) -> Result<Self, FilesError> {
        if has_staged(folder, side) {
            Held::existing(folder)?.heal(side)?;
        }
        let [ca, certificate, key] =
            [side.ca(), side.certificate(), side.key()].map(|name| read(&folder.join(name)));
        let (ca, certificate, key) = (ca?, certificate?, key?);
        let bytes = |content: Option<SecretBytes>| content.map(|bytes| bytes.expose().to_vec());
        Ok(Self::parse(side, bytes(ca).as_deref(), bytes(certificate).as_deref(), key.as_ref()))
    }

    pub(super) fn of(side: Side, ca: &[u8], certificate: &[u8], key: &SecretBytes) -> Self {
        Self::parse(side, Some(ca), Some(certificate), Some(key))
    }

    fn parse(
        side: Side,
        ca: Option<&[u8]>,
        certificate: Option<&[u8]>,
        key: Option<&SecretBytes>,
    ) -> Self {
        Self {
            side,
            ca: Part::of(ca, certificates),
            certificate: Part::of(certificate, |pem| {
                let chain = certificates(pem)?;
                let facts = Facts::read(chain.first()?)?;
                Some((chain, facts))
            }),
            key: Part::of(key.map(SecretBytes::expose), |pem| {
                PrivateKeyDer::from_pem_slice(pem).ok()
            }),
        }
    }

    /// The certificate's names, where there is one.
    pub fn names(&self) -> &[SubjectName] {
        match &self.certificate {
            Part::Is((_, facts)) => &facts.names,
            Part::Missing | Part::Damaged => &[],
        }
    }

    /// Whole days until the certificate's end, negative after it.
    pub fn days_left(&self, now: Timestamp) -> Option<i64> {
        match &self.certificate {
            Part::Is((_, facts)) => Some(facts.days_left(now)),
            Part::Missing | Part::Damaged => None,
        }
    }

    /// Why the files must be made anew; `None` when they can stay. A certificate is renewed when at most a
    /// third of its life is left.
    pub fn needs_renewal(&self, wanted: &Wanted<'_>, now: Timestamp) -> Option<Reason> {
        self.does_not_work().or_else(|| self.is_wanted(wanted, now).err())
    }

    fn is_wanted(&self, wanted: &Wanted<'_>, now: Timestamp) -> Result<(), Reason> {
        let ca = self.ca.good(self.side.ca())?;
        if certificates(wanted.ca_pem.as_bytes()).as_ref() != Some(ca) {
            return Err(Reason::OtherAuthority);
        }
        let (_, facts) = self.certificate.good(self.side.certificate())?;
        let there: BTreeSet<_> = facts.names.iter().cloned().collect();
        let asked: BTreeSet<_> = wanted.names.iter().cloned().collect();
        if there != asked {
            return Err(Reason::Names {
                missing: asked.difference(&there).cloned().collect(),
                extra: there.difference(&asked).cloned().collect(),
            });
        }
        if now < facts.not_before {
            return Err(Reason::NotYetValid);
        }
        if facts.not_after.since(now) <= facts.not_after.since(facts.not_before) / 3 {
            return Err(Reason::NearItsEnd { days_left: facts.days_left(now) });
        }
        Ok(())
    }

    /// Why the three do not belong together, whatever the time.
    pub(super) fn does_not_work(&self) -> Option<Reason> {
        self.fits_together().err()
    }

    fn fits_together(&self) -> Result<(), Reason> {
        let ca = self.ca.good(self.side.ca())?;
        let (chain, facts) = self.certificate.good(self.side.certificate())?;
        let key = self.key.good(self.side.key())?;
        CertifiedKey::from_der(chain.clone(), key.clone_key(), &provider()).map_err(|error| {
            match error {
                rustls::Error::InconsistentKeys(_) => Reason::KeyDoesNotFit,
                _ => Reason::Damaged(self.side.key()),
            }
        })?;
        self.verifies(ca, chain, facts).map_err(|error| Reason::DoesNotVerify(error.to_string()))
    }

    fn verifies(
        &self,
        ca: &[CertificateDer<'static>],
        chain: &[CertificateDer<'static>],
        facts: &Facts,
    ) -> Result<(), rustls::Error> {
        // In the middle of its life: whether it has ended is another question.
        let life = facts.not_after.since(facts.not_before);
        let at = facts.not_before.plus(life / 2).as_secs();
        let at = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(at).unwrap_or(0)));
        let mut roots = RootCertStore::empty();
        for certificate in ca {
            roots.add(certificate.clone())?;
        }
        let Some((leaf, intermediates)) = chain.split_first() else {
            return Err(rustls::Error::NoCertificatesPresented);
        };
        match self.side {
            Side::Server => verify_server_cert_signed_by_trust_anchor(
                &ParsedCertificate::try_from(leaf)?,
                &roots,
                intermediates,
                at,
                provider().signature_verification_algorithms.all,
            ),
            Side::Client => {
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
                    .build()
                    .map_err(|error| rustls::Error::General(error.to_string()))?
                    .verify_client_cert(leaf, intermediates, at)
                    .map(|_| ())
            }
        }
    }
}

/// A file's content; `None` when there is none.
pub(super) fn read(path: &Path) -> Result<Option<SecretBytes>, FilesError> {
    match fs::read(path) {
        Ok(content) => Ok(Some(SecretBytes::new(content))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(FilesError::File { doing: "read", path: path.to_owned(), source }),
    }
}
