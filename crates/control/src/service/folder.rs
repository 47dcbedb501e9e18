//! The policy folder: read, loaded, numbered; a bad one never replaces a good one, not even over a restart.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use sealock_core::Timestamp;
use sealock_core::audit::{Actor, Fact};
use sealock_core::policy::{
    DEFAULT_POLICY, DEFAULT_POLICY_FILE, Grantee, Modes, PolicyError, PolicySet, Preset,
    is_as_written, plain,
};
use sealock_store::{Change, Journal, Operation, Transaction};
use serde::{Deserialize, Serialize};

use super::convert;
use crate::command::PolicyStatus;
use crate::error::{ErrorCode, ServiceError};
use crate::state::{private_folder, read_small, write_atomically};

/// Where the last good policy is kept, with its number.
const RECORD: &[u8] = b"policy/loaded";
/// A rule file is not longer than this, all of them together not longer than four times this.
const LONGEST: u64 = 1 << 20;

/// File names and texts, sorted by name.
type Sources = Vec<(String, String)>;
/// What tells that a folder has changed.
type Fingerprint = BTreeMap<String, (SystemTime, u64)>;

/// The last good policy.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    epoch: u64,
    sha256: String,
    sources: Sources,
}

#[derive(Debug)]
struct Loaded {
    set: Arc<PolicySet>,
    rejected: Option<Rejected>,
}

/// Why the newest content of the folder is not in force.
#[derive(Debug, Clone)]
struct Rejected {
    error: ServiceError,
    since: Timestamp,
}

/// The loaded policy and the folder that it comes from.
#[derive(Debug)]
pub struct PolicyFolder {
    folder: PathBuf,
    modes: Modes,
    loaded: ArcSwap<Loaded>,
    seen: Mutex<Option<Fingerprint>>,
    /// Held while a file is written.
    writing: Mutex<()>,
}

impl PolicyFolder {
    /// Loads the folder. Where it does not exist the default policy holds. Where it cannot be loaded the
    /// last good policy holds, and without one nothing is opened.
    pub(super) fn open(
        folder: PathBuf,
        modes: Modes,
        journal: &Journal,
    ) -> Result<Self, ServiceError> {
        let seen = fingerprint(&folder);
        let record = read_record(journal)?;
        let read = read(&folder);
        let (set, rejected) = match read.and_then(|sources| adopt(&sources, &record, journal)) {
            Ok(set) => (set, None),
            Err(error) => match &record {
                Some(record) => {
                    let last = PolicySet::load(&record.sources, record.epoch)
                        .map_err(|error| rejected(&folder, &error))?;
                    (last, Some(error))
                }
                None => return Err(error),
            },
        };
        let set = Arc::new(set.with_modes(modes.clone()));
        let since = journal.clock().now();
        let rejected = rejected.map(|error| Rejected { error, since });
        let loaded = ArcSwap::from_pointee(Loaded { set, rejected });
        Ok(Self { folder, modes, loaded, seen: Mutex::new(seen.ok()), writing: Mutex::default() })
    }

    /// The policy that decides now.
    pub fn current(&self) -> Arc<PolicySet> {
        Arc::clone(&self.loaded.load().set)
    }

    /// How it stands.
    pub fn status(&self) -> PolicyStatus {
        let loaded = self.loaded.load();
        PolicyStatus {
            epoch: loaded.set.epoch(),
            rules: loaded.set.rules(),
            sha256: loaded.set.sha256().to_owned(),
            folder: self.folder.clone(),
            rejected: loaded.rejected.as_ref().map(|rejected| rejected.error.to_string()),
        }
    }

    /// Since when the newest content of the folder is not in force.
    pub(super) fn rejected_since(&self) -> Option<Timestamp> {
        self.loaded.load().rejected.as_ref().map(|rejected| rejected.since)
    }

    /// Writes the default policy where there is no folder yet.
    pub(crate) fn make(&self) -> Result<(), ServiceError> {
        if self.folder.exists() {
            return Ok(());
        }
        let failed = |error: &(dyn std::error::Error + 'static)| {
            ServiceError::new(ErrorCode::State, format!("cannot make {}", self.folder.display()))
                .caused_by(error)
        };
        // Made under another name first: a folder without rules would deny everything.
        let parent = self.folder.parent().unwrap_or(Path::new("/"));
        private_folder(parent).map_err(|error| failed(&error))?;
        let mut staging = self.folder.clone().into_os_string();
        staging.push(".new");
        let staging = PathBuf::from(staging);
        private_folder(&staging).map_err(|error| failed(&error))?;
        write_atomically(&staging.join(DEFAULT_POLICY_FILE), DEFAULT_POLICY.as_bytes(), 0o600)
            .and_then(|()| fs::rename(&staging, &self.folder))
            .map_err(|error| failed(&error))
    }

    /// The files as they are now.
    pub(super) fn sources(&self) -> Result<BTreeMap<String, String>, ServiceError> {
        Ok(read(&self.folder)?.into_iter().collect())
    }

    /// Puts a preset for somebody into the folder, and loads it. Nothing is written that would make the folder
    /// unloadable, and no file that somebody has changed, unless `force` says so. Gives whether it was written.
    pub(super) fn put(
        &self,
        preset: &Preset,
        grantee: &Grantee,
        force: bool,
        journal: &Journal,
        actor: &Actor,
    ) -> Result<(bool, PolicyStatus), ServiceError> {
        let _writing = self.writing.lock();
        self.make()?;
        let (file, text) = (preset.file_for(grantee), preset.written_for(grantee));
        let mut sources: BTreeMap<String, String> = read(&self.folder)?.into_iter().collect();
        let old = sources.insert(file.clone(), text.clone());
        if old.as_ref() == Some(&text) {
            return self.reload(journal, actor).map(|status| (false, status));
        }
        if old.is_some_and(|old| !is_as_written(&old)) && !force {
            let path = self.folder.join(&file);
            let message = format!("{} was changed since it was written", path.display());
            return Err(ServiceError::new(ErrorCode::Conflict, message)
                .hint("--force writes over it; under another name it stays beside the preset"));
        }
        let sources: Sources = sources.into_iter().collect();
        PolicySet::load(&sources, 0).map_err(|error| rejected(&self.folder, &error))?;
        let fact = Fact::PolicyWritten {
            file: file.clone(),
            preset: preset.name.to_owned(),
            grantee: grantee.to_string(),
        };
        journal
            .commit_blocking(Change::event(actor.event(journal.clock().now(), fact)))
            .map_err(|error| convert::journal_error(&error))?;
        let path = self.folder.join(&file);
        write_atomically(&path, text.as_bytes(), 0o600).map_err(|error| {
            ServiceError::new(ErrorCode::Failed, format!("cannot write {}", path.display()))
                .caused_by(&error)
        })?;
        self.reload(journal, actor).map(|status| (true, status))
    }

    /// Whether the folder looks different than when it was last read.
    pub fn has_changed(&self) -> bool {
        fingerprint(&self.folder).ok() != *self.seen.lock()
    }

    /// Reads the folder again. The same content keeps its number; a bad one changes nothing but the
    /// status, and is recorded once.
    pub fn reload(&self, journal: &Journal, actor: &Actor) -> Result<PolicyStatus, ServiceError> {
        let mut seen = self.seen.lock();
        *seen = fingerprint(&self.folder).ok();
        let record = read_record(journal)?;
        match read(&self.folder).and_then(|sources| adopt_by(&sources, &record, journal, actor)) {
            Ok(set) => {
                let set = Arc::new(set.with_modes(self.modes.clone()));
                self.loaded.store(Arc::new(Loaded { set, rejected: None }));
                drop(seen);
                Ok(self.status())
            }
            Err(error) => {
                let before = self.loaded.load_full();
                let standing = before.rejected.clone().filter(|rejected| rejected.error == error);
                let rejected = match standing {
                    Some(standing) => standing,
                    None => {
                        let since = journal.clock().now();
                        let fact = Fact::PolicyRejected { error: error.to_string() };
                        let change = Change::event(actor.event(since, fact));
                        let committed = journal.commit_blocking(change);
                        committed.map_err(|error| convert::journal_error(&error))?;
                        Rejected { error: error.clone(), since }
                    }
                };
                let set = Arc::clone(&before.set);
                self.loaded.store(Arc::new(Loaded { set, rejected: Some(rejected) }));
                Err(error)
            }
        }
    }
}

fn adopt(
    sources: &Sources,
    record: &Option<Record>,
    journal: &Journal,
) -> Result<PolicySet, ServiceError> {
    adopt_by(sources, record, journal, &Actor::daemon("policy"))
}

/// Loads the sources under their number: the old one when they are what was loaded last, else the next,
/// which is recorded together with its event.
fn adopt_by(
    sources: &Sources,
    record: &Option<Record>,
    journal: &Journal,
    actor: &Actor,
) -> Result<PolicySet, ServiceError> {
    let digest = PolicySet::digest(sources);
    let same = record.as_ref().filter(|record| record.sha256 == digest);
    let next = record.as_ref().map_or(1, |record| record.epoch + 1);
    let epoch = same.map_or(next, |record| record.epoch);
    let folder = Path::new("the policy");
    let set = PolicySet::load(sources, epoch).map_err(|error| rejected(folder, &error))?;
    if same.is_some() {
        return Ok(set);
    }
    let (sha256, rules) = (set.sha256().to_owned(), set.rules() as u64);
    let new = Record { epoch, sha256: sha256.clone(), sources: sources.clone() };
    let value =
        serde_json::to_vec(&new).map_err(|error| ServiceError::of(ErrorCode::Fault, &error))?;
    let event = actor.event(journal.clock().now(), Fact::PolicyLoaded { epoch, rules, sha256 });
    let transaction = Transaction::new().with(Operation::put(RECORD, value));
    journal
        .commit_blocking(Change::new(transaction, event))
        .map_err(|error| convert::journal_error(&error))?;
    Ok(set)
}

fn read_record(journal: &Journal) -> Result<Option<Record>, ServiceError> {
    let found = journal.store().get(RECORD).map_err(|error| convert::store_error(&error))?;
    let parsed = found.map(|entry| serde_json::from_slice(&entry.value)).transpose();
    parsed.map_err(|error| {
        ServiceError::new(ErrorCode::State, "the record of the loaded policy is damaged")
            .caused_by(&error)
            .hint("restore the state folder from a backup")
    })
}

/// The error of a policy that cannot be loaded, with every problem as a cause.
fn rejected(folder: &Path, error: &PolicyError) -> ServiceError {
    let mut this = match error.problems().first() {
        Some(first) => ServiceError::new(ErrorCode::Failed, first.to_string()),
        None => ServiceError::new(
            ErrorCode::Fault,
            format!("cannot load {}: {error}", folder.display()),
        ),
    };
    this.causes.extend(error.problems().iter().skip(1).map(ToString::to_string));
    this.hint("the policy before it stands; `sealock policy check FILE` shows the place")
}

fn is_rule_file(path: &Path) -> bool {
    let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    !hidden && path.extension().is_some_and(|ending| ending == "cedar")
}

fn rule_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if is_rule_file(&path) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn fingerprint(folder: &Path) -> io::Result<Fingerprint> {
    let mut seen = Fingerprint::new();
    for path in rule_files(folder)? {
        let metadata = fs::metadata(&path)?;
        let name = path.display().to_string();
        seen.insert(name, (metadata.modified()?, metadata.len()));
    }
    Ok(seen)
}

fn read(folder: &Path) -> Result<Sources, ServiceError> {
    let failed = |path: &Path, error: &io::Error| {
        ServiceError::new(ErrorCode::Failed, format!("cannot read {}", path.display()))
            .caused_by(error)
            .hint("the policy is *.cedar files in UTF-8, at most 1 MiB each")
    };
    let files = match rule_files(folder) {
        Ok(files) => files,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(vec![(DEFAULT_POLICY_FILE.to_owned(), DEFAULT_POLICY.to_owned())]);
        }
        Err(error) => return Err(failed(folder, &error)),
    };
    let mut sources = Sources::new();
    let mut total = 0;
    for path in files {
        let bytes = read_small(&path, LONGEST).map_err(|error| failed(&path, &error))?;
        total += bytes.len() as u64;
        let text = String::from_utf8(bytes)
            .map_err(|_| failed(&path, &io::Error::other("it is not UTF-8")))?;
        if total > 4 * LONGEST {
            return Err(failed(folder, &io::Error::other("more than 4 MiB of rules")));
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        sources.push((plain(&name), text));
    }
    Ok(sources)
}
