//! Where a person's identity lies: a folder for each site, replaced as a whole.
//!
//! The folder is a link to one that is complete, so whoever reads it has all of the old or all of the new; what it led
//! to before is removed.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

use aws_lc_rs::rand;
use data_encoding::HEXLOWER;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use sealock_core::Timestamp;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::link::IdentityFolder;
use super::login::{LoginFiles, renew_login};
use crate::daemon::blocking;
use crate::error::{ErrorCode, ServiceError};
use crate::state::{read_small, write_atomically};

/// The file that says which server an identity is of.
const SERVER: &str = "server";
/// An address is not longer.
const LONGEST: u64 = 1024;
const LONGEST_CERTIFICATE: u64 = 1 << 20;

/// A person's identity at one site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site(pub PathBuf);

impl Site {
    /// The folder of a server below this one.
    pub fn of(sites: &Path, address: &str) -> Self {
        let plain = |c: char| if c.is_ascii_alphanumeric() || ".-".contains(c) { c } else { '_' };
        Self(sites.join(address.chars().map(plain).collect::<String>()))
    }

    /// All below a folder, by name.
    pub fn all(sites: &Path) -> Vec<Self> {
        let Ok(entries) = fs::read_dir(sites) else { return Vec::new() };
        let is_hidden = |path: &Path| {
            path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'))
        };
        let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
        let mut all: Vec<Self> = paths
            .filter(|path| !is_hidden(path))
            .map(Self)
            .filter(|site| site.address().is_some())
            .collect();
        all.sort_by(|one, two| one.0.cmp(&two.0));
        all
    }

    /// `host:port` of its server, where it is one of a login.
    pub fn address(&self) -> Option<String> {
        let text = read_small(&self.0.join(SERVER), LONGEST).ok()?;
        let address = String::from_utf8(text).ok()?.trim().strip_prefix("https://")?.to_owned();
        let good = |c: char| c.is_ascii_alphanumeric() || ".-_:[]".contains(c);
        (!address.is_empty() && address.chars().all(good)).then_some(address)
    }

    /// The roots to trust.
    pub fn ca(&self) -> PathBuf {
        self.0.join("ca.crt")
    }

    /// Puts these files in the place of those there were.
    ///
    /// # Errors
    /// It cannot be written, or something that is no login is there.
    pub fn save(&self, files: &LoginFiles) -> Result<(), ServiceError> {
        self.put(files).map_err(|error| self.failed("write", &error))
    }

    fn put(&self, files: &LoginFiles) -> io::Result<()> {
        let (parent, name) = self.parts()?;
        DirBuilder::new().recursive(true).mode(0o700).create(&parent)?;
        let before = self.behind()?;
        let mut random = [0; 8];
        rand::fill(&mut random).map_err(|_| io::Error::other("there are no random numbers"))?;
        let own = format!(".{name}.{}", HEXLOWER.encode(&random));
        let folder = parent.join(&own);
        DirBuilder::new().mode(0o700).create(&folder)?;
        let server = format!("https://{}\n", files.address);
        let all: [(&str, &[u8], u32); 4] = [
            ("tls.key", files.key.as_bytes(), 0o600),
            ("tls.crt", files.certificate.as_bytes(), 0o644),
            ("ca.crt", files.ca.as_bytes(), 0o644),
            (SERVER, server.as_bytes(), 0o644),
        ];
        let link = parent.join(format!("{own}.link"));
        let written = all
            .into_iter()
            .try_for_each(|(file, content, mode)| {
                write_atomically(&folder.join(file), content, mode)
            })
            .and_then(|()| symlink(&own, &link))
            .and_then(|()| fs::rename(&link, &self.0));
        if let Err(error) = written {
            let _ = fs::remove_file(&link);
            let _ = fs::remove_dir_all(&folder);
            return Err(error);
        }
        fs::File::open(&parent)?.sync_all()?;
        if let Some(before) = before {
            fs::remove_dir_all(before)?;
        }
        Ok(())
    }

    /// Removes it.
    ///
    /// # Errors
    /// There is none, or it cannot be removed.
    pub fn remove(&self) -> Result<(), ServiceError> {
        let behind = self.behind().map_err(|error| self.failed("remove", &error))?;
        let Some(behind) = behind else {
            let text = format!("there is no login at {}", self.0.display());
            return Err(ServiceError::new(ErrorCode::NotFound, text));
        };
        // The key first: what is left of the rest says nothing.
        let removed = fs::remove_file(behind.join("tls.key"))
            .and_then(|()| fs::remove_file(&self.0))
            .and_then(|()| fs::remove_dir_all(behind));
        removed.map_err(|error| self.failed("remove", &error))
    }

    /// The folder that it leads to; none where there is nothing. Something else is left alone.
    fn behind(&self) -> io::Result<Option<PathBuf>> {
        let (parent, name) = self.parts()?;
        let to = match fs::read_link(&self.0) {
            Ok(to) => to,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(_) => return Err(io::Error::other("something that is no login is there")),
        };
        let own =
            to.to_str().is_some_and(|to| to.starts_with(&format!(".{name}.")) && !to.contains('/'));
        if !own {
            return Err(io::Error::other("a link to somewhere else is there"));
        }
        Ok(Some(parent.join(to)))
    }

    fn parts(&self) -> io::Result<(PathBuf, String)> {
        let name = self.0.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| io::Error::other("it is no path of a folder"))?;
        let parent = self.0.parent().filter(|parent| !parent.as_os_str().is_empty());
        Ok((parent.unwrap_or(Path::new(".")).to_owned(), name.to_owned()))
    }

    fn failed(&self, what: &str, error: &io::Error) -> ServiceError {
        ServiceError::new(ErrorCode::Failed, format!("cannot {what} {}", self.0.display()))
            .caused_by(error)
            .hint("name another folder with --out")
    }

    /// From when to when its certificate is good.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn lives(&self) -> Result<(Timestamp, Timestamp), ServiceError> {
        let path = self.0.join("tls.crt");
        let read = || {
            let pem = read_small(&path, LONGEST_CERTIFICATE).ok()?;
            let leaf = CertificateDer::pem_slice_iter(&pem).next()?.ok()?;
            let (_, leaf) = X509Certificate::from_der(&leaf).ok()?;
            let validity = leaf.validity();
            let at = |time: x509_parser::time::ASN1Time| Timestamp::from_secs(time.timestamp());
            Some((at(validity.not_before), at(validity.not_after)))
        };
        read().ok_or_else(|| {
            ServiceError::new(ErrorCode::Failed, format!("cannot use {}", path.display()))
                .hint("log in: `sealock login --server URL`")
        })
    }

    /// Renews it; until when it is good now.
    ///
    /// # Errors
    /// What [`renew_login`] says, or it cannot be written.
    pub async fn renew(&self) -> Result<LoginFiles, ServiceError> {
        let address = self.address().ok_or_else(|| {
            let text = format!("there is no login at {}", self.0.display());
            ServiceError::new(ErrorCode::NotFound, text)
                .hint("log in: `sealock login --server URL`")
        })?;
        let files = renew_login(&address, &IdentityFolder(self.0.clone())).await?;
        let own = self.clone();
        blocking(move || own.save(&files).map(|()| files)).await
    }

    /// Renews it when two thirds of its life are over; whether that was so.
    ///
    /// # Errors
    /// As [`Site::renew`].
    pub async fn renew_when_due(&self, now: Timestamp) -> Result<bool, ServiceError> {
        let own = self.clone();
        let (from, until) = blocking(move || own.lives()).await?;
        let is_due = until.since(now) < until.since(from) / 3;
        if is_due {
            self.renew().await?;
        }
        Ok(is_due)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use zeroize::Zeroizing;

    use super::*;

    fn files(key: &str) -> LoginFiles {
        LoginFiles {
            key: Zeroizing::new(key.to_owned()),
            certificate: "certificate".into(),
            ca: "roots".into(),
            identity: "spiffe://t.sealock/human/alice".into(),
            not_after: Timestamp::from_secs(0),
            address: "host.example:8443".into(),
        }
    }

    #[test]
    fn a_site_is_replaced_as_a_whole_and_leaves_nothing() {
        let scratch = tempfile::tempdir().unwrap();
        let sites = scratch.path().join("config/sites");
        let site = Site::of(&sites, "host.example:8443");
        assert!(site.0.ends_with("host.example_8443") && Site::all(&sites).is_empty());
        site.save(&files("one")).unwrap();
        let kept = site.0.canonicalize().unwrap();
        site.save(&files("two")).unwrap();
        assert!(!kept.exists());
        assert_eq!(fs::read(site.0.join("tls.key")).unwrap(), b"two");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&site.0.join("tls.key")), mode(&site.0)), (0o600, 0o700));
        assert_eq!(site.address().as_deref(), Some("host.example:8443"));
        assert_eq!(Site::all(&sites), std::slice::from_ref(&site));
        assert_eq!(fs::read_dir(&sites).unwrap().count(), 2, "the link and what it leads to");
        site.remove().unwrap();
        assert_eq!(fs::read_dir(&sites).unwrap().count(), 0);
        assert_eq!(site.remove().unwrap_err().code, ErrorCode::NotFound);
    }

    #[test]
    fn what_is_no_login_is_left_alone() {
        let scratch = tempfile::tempdir().unwrap();
        let elsewhere = scratch.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        fs::write(elsewhere.join("tls.key"), "kept").unwrap();
        let folder = Site(scratch.path().join("folder"));
        fs::create_dir(&folder.0).unwrap();
        let link = Site(scratch.path().join("link"));
        symlink("elsewhere", &link.0).unwrap();
        for site in [&folder, &link] {
            assert!(site.save(&files("x")).is_err() && site.remove().is_err());
        }
        assert_eq!(fs::read(elsewhere.join("tls.key")).unwrap(), b"kept");
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 3, "nothing is left over");
        fs::write(elsewhere.join("server"), "https://a b\n").unwrap();
        assert_eq!(Site(elsewhere).address(), None);
    }
}
