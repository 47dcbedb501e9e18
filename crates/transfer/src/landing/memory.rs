//! Whether what is written into a folder stays in memory.
//!
//! Asked of the open folder that everything is written into and renamed in, so no mount and no link that
//! is changed at that moment can make the answer be that of another place.

use std::os::fd::AsFd;

use rustix::fs::FsWord;

use super::LandingError;

/// As `statfs(2)` numbers them.
const TMPFS: FsWord = 0x0102_1994;
const RAMFS: FsWord = 0x8584_58f6;

/// Refuses a folder on anything but tmpfs or ramfs. An overlay is on a disk also where its upper layer
/// happens to be on a tmpfs: images are made of that layer.
pub(crate) fn expect_memory(folder: impl AsFd, path: &str) -> Result<(), LandingError> {
    let file_system =
        rustix::fs::fstatfs(folder).map_err(|error| LandingError::at("look at", path, error))?;
    if matches!(file_system.f_type, TMPFS | RAMFS) {
        return Ok(());
    }
    Err(LandingError::OnDisk { path: path.to_owned() })
}
