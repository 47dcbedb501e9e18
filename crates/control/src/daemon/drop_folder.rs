//! The drop folder: what other authorities have signed is put into it, and is imported.
//!
//! Whoever can write there can have certificates offered, no more: only one that is for a key of ours and under a root
//! that is known is taken. Still the folder must be ours alone, and nothing in it is followed: it is opened once, and
//! files are opened below it, without links, regular ones only, so many of so many bytes. A file that changes between
//! two looks is being written, and is left.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use sealock_authority::imported::MOST_IN_HEAP;
use sealock_core::Timestamp;

use crate::command::Alarm;
use crate::error::{ErrorCode, ServiceError};
use crate::service::{Dropped, Service};

/// Between two looks.
pub(super) const LOOK: Duration = Duration::from_secs(3);
const LARGEST: u64 = 1 << 20;
const MOST_FILES: usize = 256;
const LONGEST_NAME: usize = 200;
/// How long a certificate waits for the rest of its chain, and a chain for its certificate.
const PATIENCE: Duration = Duration::from_secs(60);
const IMPORTED: &str = "imported";
const REFUSED: &str = "refused";

/// By what a file that is not written to any more is known.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    inode: u64,
    size: u64,
    changed: (i128, i128),
}

/// A file that was read.
struct Found {
    name: String,
    since: Timestamp,
    certificates: Vec<Vec<u8>>,
}

/// The folder, and what was seen in it at the last look.
#[derive(Debug)]
pub(crate) struct DropFolder {
    path: PathBuf,
    seen: BTreeMap<String, Seen>,
    /// What was refused and could not be moved, as it was then: that was told, and is not told again.
    stuck: BTreeMap<String, Option<Seen>>,
}

impl DropFolder {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, seen: BTreeMap::new(), stuck: BTreeMap::new() }
    }

    /// Looks once. Blocking.
    pub(crate) fn look(&mut self, service: &Service) -> Result<(), ServiceError> {
        let folder = self.open()?;
        let names = names(&folder).map_err(|error| self.failed("read", error))?;
        let mut now_seen = BTreeMap::new();
        let (mut files, mut refused) = (Vec::new(), Vec::new());
        for name in &names {
            let looked = match self.file(&folder, name, &mut now_seen) {
                Ok(looked) => looked,
                // Removed meanwhile.
                Err(Errno::NOENT) => continue,
                Err(Errno::LOOP | Errno::NXIO) => Some(Err("it is no regular file".to_owned())),
                Err(error) => Some(Err(format!("it cannot be read: {error}"))),
            };
            match looked {
                None => {}
                Some(Ok(read)) => files.push(read),
                Some(Err(reason)) => refused.push((name.clone(), reason)),
            }
        }
        self.seen = now_seen;
        self.stuck.retain(|name, _| names.contains(name));
        // What cannot be done with one file is told at the end, and keeps none of the others.
        let mut outcome = Ok(());
        for (name, reason) in refused {
            outcome = outcome.and(self.refuse(service, &folder, &name, &reason));
        }
        outcome.and(self.import(service, &folder, &files))
    }

    fn open(&self) -> Result<OwnedFd, ServiceError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = rustix::fs::open(&self.path, flags, Mode::empty())
            .map_err(|error| self.failed("open", error))?;
        let stat = rustix::fs::fstat(&folder).map_err(|error| self.failed("see", error))?;
        let own = rustix::process::geteuid().as_raw();
        if stat.st_uid != 0 && stat.st_uid != own {
            return Err(self.refused(&format!("it belongs to user {}", stat.st_uid)));
        }
        if stat.st_mode & 0o022 != 0 {
            return Err(self.refused("others may write into it"));
        }
        Ok(folder)
    }

    fn refused(&self, why: &str) -> ServiceError {
        let path = self.path.display();
        ServiceError::new(ErrorCode::Failed, format!("the drop folder {path} is not used: {why}"))
            .hint(format!("chown root {path} && chmod 0755 {path}; it may have a group that reads"))
    }

    fn failed(&self, what: &str, error: Errno) -> ServiceError {
        let message = format!("cannot {what} the drop folder {}", self.path.display());
        ServiceError::new(ErrorCode::Failed, message)
            .caused_by(&std::io::Error::from(error))
            .hint("make it, or change authority.drop_folder")
    }

    /// A file that has not changed since the last look, read; `None` while it may still be written.
    fn file(
        &self,
        folder: &OwnedFd,
        name: &str,
        seen: &mut BTreeMap<String, Seen>,
    ) -> Result<Option<Result<Found, String>>, Errno> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(folder, name, flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(Some(Err("it is no regular file".to_owned())));
        }
        let size = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
        let changed = (i128::from(stat.st_mtime), i128::from(stat.st_mtime_nsec));
        let now = Seen { inode: stat.st_ino, size, changed };
        let before = self.seen.get(name) == Some(&now);
        seen.insert(name.to_owned(), now);
        if !before {
            return Ok(None);
        }
        if size > LARGEST {
            return Ok(Some(Err("it is larger than 1 MiB".to_owned())));
        }
        let mut bytes = Vec::new();
        let mut limited = std::fs::File::from(file).take(LARGEST + 1);
        if let Err(error) = limited.read_to_end(&mut bytes) {
            return Ok(Some(Err(format!("it cannot be read: {error}"))));
        }
        let since = Timestamp::from_secs(i64::try_from(changed.0).unwrap_or_default());
        Ok(Some(certificates(&bytes).map(|certificates| Found {
            name: name.to_owned(),
            since,
            certificates,
        })))
    }

    /// All that is there, as one pile; then each file goes where it belongs.
    fn import(
        &mut self,
        service: &Service,
        folder: &OwnedFd,
        files: &[Found],
    ) -> Result<(), ServiceError> {
        if files.is_empty() {
            return Ok(());
        }
        // The rest is for the next look, when these have gone where they belong.
        let mut room = MOST_IN_HEAP;
        let fits = files.iter().take_while(|file| {
            let left = room.checked_sub(file.certificates.len());
            room = left.unwrap_or_default();
            left.is_some()
        });
        let files: Vec<&Found> = fits.collect();
        let pile: Vec<Vec<u8>> = files.iter().flat_map(|file| file.certificates.clone()).collect();
        let outcomes = service.import_dropped(&pile)?;
        let now = service.journal().clock().now();
        let mut outcome = Ok(());
        for file in files {
            outcome = outcome.and(match verdict(service, file, &outcomes, now)? {
                Verdict::Wait => Ok(()),
                Verdict::Imported(text) => self.put(folder, &file.name, IMPORTED, &text),
                Verdict::Refused(reason) => self.refuse(service, folder, &file.name, &reason),
            });
        }
        outcome
    }

    /// Moves a file away, then records that; one that cannot be moved is recorded once, as it is.
    fn refuse(
        &mut self,
        service: &Service,
        folder: &OwnedFd,
        name: &str,
        reason: &str,
    ) -> Result<(), ServiceError> {
        let seen = self.seen.get(name).cloned();
        let moved = self.put(folder, name, REFUSED, &format!("{reason}\n"));
        let is_told = self.stuck.get(name) == Some(&seen);
        if moved.is_ok() {
            self.stuck.remove(name);
        }
        if is_told {
            return moved;
        }
        tracing::warn!(file = name, reason, "a file in the drop folder is refused");
        service.drop_refused(name, reason)?;
        if moved.is_err() {
            self.stuck.insert(name.to_owned(), seen);
        }
        moved
    }

    /// Moves a file into a folder below, with a text beside it.
    fn put(
        &mut self,
        folder: &OwnedFd,
        name: &str,
        place: &str,
        text: &str,
    ) -> Result<(), ServiceError> {
        let failed = |error| self.failed("move a file in", error);
        match rustix::fs::mkdirat(folder, place, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(failed(error)),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let below = rustix::fs::openat(folder, place, flags, Mode::empty()).map_err(failed)?;
        let mut to = name.to_owned();
        let mut number = 1;
        let mut beside = format!("{to}.txt");
        let is_there =
            |name: &str| rustix::fs::statat(&below, name, AtFlags::SYMLINK_NOFOLLOW).is_ok();
        while is_there(&to) || is_there(&beside) {
            number += 1;
            to = format!("{number}-{name}");
            beside = format!("{to}.txt");
        }
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let note = rustix::fs::openat(&below, &beside, flags, Mode::from_raw_mode(0o644));
        let note = note.map_err(failed)?;
        std::io::Write::write_all(&mut std::fs::File::from(note), text.as_bytes())
            .map_err(|error| failed(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
        rustix::fs::renameat(folder, name, &below, &to).map_err(failed)?;
        self.seen.remove(name);
        Ok(())
    }
}

enum Verdict {
    Wait,
    Imported(String),
    Refused(String),
}

/// What becomes of one file, once all were tried together.
fn verdict(
    service: &Service,
    file: &Found,
    outcomes: &[Dropped],
    now: Timestamp,
) -> Result<Verdict, ServiceError> {
    let patient = now.since(file.since) < PATIENCE;
    let own = service.authority()?.matching(&file.certificates);
    // The request that it was for is done: then it waits no more, and is no match any more.
    let mut taken = Vec::new();
    for outcome in outcomes {
        match &outcome.outcome {
            Ok((held, chain)) if file.certificates.iter().any(|der| held.has(der)) => {
                taken.push(format!("{}: {}", outcome.name, chain.join(" < ")));
            }
            Ok(_) => {}
            Err((error, hint)) if own.contains(&outcome.name) => {
                if error.may_be_completed() && patient {
                    return Ok(Verdict::Wait);
                }
                let hint = if hint.is_empty() { String::new() } else { format!("\nhint: {hint}") };
                return Ok(Verdict::Refused(format!("{}: {error}{hint}", outcome.name)));
            }
            // It may be the rest of the chain of one that is not complete yet.
            Err((error, _)) if error.may_be_completed() && patient => return Ok(Verdict::Wait),
            Err(_) => {}
        }
    }
    if let Some((name, error)) = service.authority()?.worse_than_served(&file.certificates) {
        let hint = error.hint().unwrap_or_default();
        return Ok(Verdict::Refused(format!("{name}: {error}\nhint: {hint}")));
    }
    if !taken.is_empty() {
        return Ok(Verdict::Imported(format!("imported\n{}\n", taken.join("\n"))));
    }
    // Imported before, and killed before the file was moved; or by hand.
    let served = service.authority()?.serving(&file.certificates);
    let already = |leaf_only: bool| {
        let served = served.iter().filter(|(_, has_leaf)| *has_leaf || !leaf_only);
        let names: Vec<_> = served.map(|(standing, _)| standing.name.to_string()).collect();
        let text = || format!("imported already\n{}\n", names.join("\n"));
        (!names.is_empty()).then(text).map(Verdict::Imported)
    };
    if let Some(imported) = already(true) {
        return Ok(imported);
    }
    if patient {
        return Ok(Verdict::Wait);
    }
    // A chain may also have been meant for what did not come.
    if let Some(imported) = already(false) {
        return Ok(imported);
    }
    Ok(Verdict::Refused("no certificate in it is for a request that waits".to_owned()))
}

/// The names of what is there, at most so many, sorted.
fn names(folder: &OwnedFd) -> Result<Vec<String>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        let ours = [IMPORTED, REFUSED].contains(&name);
        if !ours && !name.starts_with('.') && name.len() <= LONGEST_NAME {
            names.push(name.to_owned());
        }
        if names.len() >= MOST_FILES {
            break;
        }
    }
    names.sort();
    Ok(names)
}

/// What can be taken of a file here, or why nothing.
fn certificates(bytes: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let contents = sealock_formats::read(bytes, None).map_err(|error| match error {
        sealock_formats::ReadError::PasswordMissing => {
            "it is protected by a password\nhint: sealock cert import NAME FILE --password-file FILE".to_owned()
        }
        other => other.to_string(),
    })?;
    if !contents.keys.is_empty() {
        return Err(
            "a private key is in it, and those are not taken from here\nhint: sealock cert import NAME FILE".to_owned(),
        );
    }
    Ok(contents.certificates)
}

/// What `status` says while the folder is not used.
pub(super) fn alarm(error: &ServiceError, path: &Path, since: Timestamp) -> Alarm {
    let causes =
        error.causes.iter().fold(error.message.clone(), |text, cause| format!("{text}: {cause}"));
    Alarm {
        alarm: "drop-folder".to_owned(),
        subject: path.display().to_string(),
        reason: causes,
        hint: error.hint.clone(),
        since,
    }
}

#[cfg(test)]
mod tests;
