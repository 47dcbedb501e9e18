//! A file that appears under its name only when all of it is there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;

use super::error::ReplaceError;

/// Written beside its destination with mode 0600, renamed onto it by [`Replacement::commit`], and
/// removed when dropped before that. A link is followed first. What is no regular file (`/dev/null`, a
/// fifo) cannot be replaced and is written into.
#[derive(Debug)]
pub struct Replacement {
    destination: PathBuf,
    temporary: Option<PathBuf>,
    file: File,
}

impl Replacement {
    /// Begins one. The destination stays as it is.
    pub fn create(destination: &Path) -> Result<Self, ReplaceError> {
        let fault =
            |source| ReplaceError { path: destination.to_owned(), operation: "created", source };
        match fs::metadata(destination) {
            Ok(found) if found.is_file() => {
                Self::beside(fs::canonicalize(destination).map_err(fault)?).map_err(fault)
            }
            Ok(_) => {
                let file = OpenOptions::new().write(true).open(destination).map_err(fault)?;
                Ok(Self { destination: destination.to_owned(), temporary: None, file })
            }
            Err(_) => Self::beside(destination.to_owned()).map_err(fault),
        }
    }

    fn beside(destination: PathBuf) -> io::Result<Self> {
        let name = destination.file_name().ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "the path has no file name")
        })?;
        let mut random = [0; 8];
        aws_lc_rs::rand::fill(&mut random).map_err(io::Error::other)?;
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}", HEXLOWER.encode(&random)));
        let temporary = destination.with_file_name(hidden);
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&temporary)?;
        Ok(Self { destination, temporary: Some(temporary), file })
    }

    /// Makes it durable and puts it in place.
    pub fn commit(mut self) -> Result<(), ReplaceError> {
        if let Some(temporary) = &self.temporary {
            self.file.sync_all().map_err(|source| self.fault("written", source))?;
            fs::rename(temporary, &self.destination)
                .map_err(|source| self.fault("put in place", source))?;
        }
        self.temporary = None;
        Ok(())
    }

    fn fault(&self, operation: &'static str, source: io::Error) -> ReplaceError {
        ReplaceError { path: self.destination.clone(), operation, source }
    }
}

impl Write for Replacement {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // Nothing more can be done about a leftover that cannot be removed.
            let _ = fs::remove_file(temporary);
        }
    }
}
