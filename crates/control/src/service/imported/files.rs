//! The folder with the CSRs that are out: `NAME.csr`, and `NAME.txt` for people. It follows the state: what is lost
//! there is written again, what waits no more is removed.

use std::fs;
use std::path::{Path, PathBuf};

use sealock_authority::imported::Standing;

use crate::error::{ErrorCode, ServiceError};
use crate::service::Service;
use crate::state::{private_folder, write_atomically};

const ENDINGS: [&str; 2] = ["csr", "txt"];

impl Service {
    pub(super) fn requests_folder(&self) -> PathBuf {
        self.state().root().join("requests")
    }

    /// Where a CSR is.
    pub(super) fn request_file(&self, name: &str, ending: &str) -> PathBuf {
        self.requests_folder().join(format!("{name}.{ending}"))
    }

    /// Writes the two files of one that waits.
    pub(super) fn write_request(&self, standing: &Standing) -> Result<(), ServiceError> {
        let Some(waiting) = &standing.waiting else { return Ok(()) };
        let folder = self.requests_folder();
        private_folder(&folder)
            .map_err(|error| ServiceError::of(ErrorCode::State, &error).hint(error.hint()))?;
        let name = standing.name.as_str();
        let text = self.request_text(standing);
        for (ending, content) in [("csr", &waiting.csr), ("txt", &text)] {
            let path = self.request_file(name, ending);
            write_atomically(&path, content.as_bytes(), 0o644)
                .map_err(|error| unwritable(&path, &error))?;
        }
        Ok(())
    }

    /// Makes the folder what it should be.
    pub(super) fn tidy_requests(&self) -> Result<(), ServiceError> {
        let standing = self.authority()?.requests();
        let waiting: Vec<&Standing> = standing.iter().filter(|one| one.waiting.is_some()).collect();
        for one in &waiting {
            self.write_request(one)?;
        }
        let Ok(entries) = fs::read_dir(self.requests_folder()) else { return Ok(()) };
        for entry in entries.flatten() {
            let path = entry.path();
            let ours = path
                .extension()
                .and_then(|ending| ending.to_str())
                .is_some_and(|ending| ENDINGS.contains(&ending));
            let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
            if ours && !waiting.iter().any(|one| one.name.as_str() == name) {
                fs::remove_file(&path).map_err(|error| unwritable(&path, &error))?;
            }
        }
        Ok(())
    }
}

fn unwritable(path: &Path, error: &std::io::Error) -> ServiceError {
    ServiceError::new(ErrorCode::State, format!("cannot write {}", path.display())).caused_by(error)
}
