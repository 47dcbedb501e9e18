//! CSRs of issuing CAs that the daemon has made for the key that signs: `requests/issuers/NAME.csr`, and `NAME.txt` for
//! people. As beside them with those of leaves, the folder follows the state: what is lost there is written again, what
//! nobody has to sign any more is removed.

use std::fs;
use std::path::{Path, PathBuf};

use sealock_authority::IssuerStanding;
use sealock_core::IssuerName;
use sealock_core::audit::Actor;

use super::Service;
use super::issuers::{issuer_error, request_text};
use crate::error::{ErrorCode, ServiceError};
use crate::state::{private_folder, write_atomically};

#[cfg(test)]
mod tests;

const ENDINGS: [&str; 2] = ["csr", "txt"];

impl Service {
    /// Asks for the next certificates of issuing CAs that near their end, and keeps the folder of their CSRs.
    pub(crate) fn keep_issuers(&self) -> Result<(), ServiceError> {
        let (made, failed) = self.authority()?.request_issuers_anew(&Actor::daemon("renewal"));
        self.tidy_issuer_requests()?;
        if made > 0 {
            self.changed();
        }
        failed.map_or(Ok(()), |error| Err(issuer_error(&error)))
    }

    fn issuer_requests_folder(&self) -> PathBuf {
        // A certificate of others may be called as an issuer is: beside one another they would be one file.
        self.state().root().join("requests").join("issuers")
    }

    /// Where such a CSR is.
    pub(super) fn issuer_request_file(&self, name: &IssuerName, ending: &str) -> PathBuf {
        self.issuer_requests_folder().join(format!("{name}.{ending}"))
    }

    /// Makes the folder what it should be.
    pub(super) fn tidy_issuer_requests(&self) -> Result<(), ServiceError> {
        let all = self.authority()?.issuers();
        let asked: Vec<&IssuerStanding> = all.iter().filter(|one| one.anew.is_some()).collect();
        for one in &asked {
            self.write_issuer_request(one)?;
        }
        let Ok(entries) = fs::read_dir(self.issuer_requests_folder()) else { return Ok(()) };
        for path in entries.flatten().map(|entry| entry.path()) {
            let part = |part: Option<&std::ffi::OsStr>| {
                part.and_then(|part| part.to_str()).unwrap_or_default().to_owned()
            };
            let (name, ending) = (part(path.file_stem()), part(path.extension()));
            let is_asked = asked.iter().any(|one| one.name.as_str() == name);
            if ENDINGS.contains(&ending.as_str()) && !is_asked {
                fs::remove_file(&path).map_err(|error| unwritable(&path, &error))?;
            }
        }
        Ok(())
    }

    fn write_issuer_request(&self, standing: &IssuerStanding) -> Result<(), ServiceError> {
        let Some(anew) = &standing.anew else { return Ok(()) };
        let folder = self.issuer_requests_folder();
        for folder in folder.parent().into_iter().chain([folder.as_path()]) {
            private_folder(folder)
                .map_err(|error| ServiceError::of(ErrorCode::State, &error).hint(error.hint()))?;
        }
        for (ending, content) in [("csr", &anew.csr), ("txt", &request_text(standing, anew))] {
            let path = self.issuer_request_file(&standing.name, ending);
            write_atomically(&path, content.as_bytes(), 0o644)
                .map_err(|error| unwritable(&path, &error))?;
        }
        Ok(())
    }
}

fn unwritable(path: &Path, error: &std::io::Error) -> ServiceError {
    ServiceError::new(ErrorCode::State, format!("cannot write {}", path.display())).caused_by(error)
}
