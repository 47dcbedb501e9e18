//! What the black-box tests share: an authority in a scratch folder with a clock that stands still.
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use sealock_authority::{
    Authority, AuthorityError, CreateOptions, Issued, KeySource, KeyType, Order, Usages,
};
use sealock_core::audit::Actor;
use sealock_core::{Clock, ManualClock, SubjectName, SystemClock};
use sealock_store::{Journal, Keyring, NewProtection, SqliteStore, Store};
use sealock_testkit::clients::skip_without;
use tempfile::TempDir;

/// A scratch state folder.
pub(crate) struct Place {
    path: PathBuf,
    /// Removes the folder at the end, where this made it.
    _folder: Option<TempDir>,
    pub(crate) clock: Arc<ManualClock>,
}

/// An open authority in it.
pub(crate) struct Scratch {
    pub(crate) place: Place,
    pub(crate) journal: Arc<Journal>,
    pub(crate) authority: Arc<Authority>,
}

impl Place {
    /// An empty folder; the clock shows the time of day, because openssl and others look at theirs.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { path: folder.path().to_owned(), _folder: Some(folder), clock: standing() }
    }

    /// A folder that somebody else keeps.
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path, _folder: None, clock: standing() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn journal(&self) -> Arc<Journal> {
        let clock: Arc<dyn Clock> = self.clock.clone();
        let store = SqliteStore::open(&self.path().join("state.db"), clock.clone()).unwrap();
        Journal::open(Arc::new(store) as Arc<dyn Store>, clock).unwrap()
    }

    pub(crate) fn keyring(&self) -> Arc<Keyring> {
        let keys = self.path().join("keys");
        Arc::new(Keyring::create(&keys, &NewProtection::File).unwrap())
    }

    pub(crate) fn create(self, options: &CreateOptions) -> Scratch {
        let journal = self.journal();
        let authority =
            Authority::create(journal.clone(), self.keyring(), options, &actor()).unwrap();
        Scratch { place: self, journal, authority }
    }
}

impl Scratch {
    /// A P-256 authority without constraints.
    pub(crate) fn new() -> Self {
        Place::new().create(&options())
    }

    /// As after a restart.
    pub(crate) fn reopen(self) -> Self {
        let Self { place, journal, authority } = self;
        drop((authority, journal));
        let journal = place.journal();
        let authority = Authority::open(journal.clone(), place.keyring()).unwrap();
        Self { place, journal, authority }
    }

    pub(crate) fn issue(&self, order: &Order) -> Result<Issued, AuthorityError> {
        self.authority.issue(order, &actor())
    }

    /// Writes a file into the folder and gives its path.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.place.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn standing() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(SystemClock.now()))
}

pub(crate) fn options() -> CreateOptions {
    CreateOptions::new("corp.example".parse().unwrap())
}

pub(crate) fn actor() -> Actor {
    Actor { who: "uid:0".into(), request: "test".into(), decision: None }
}

/// An order for DNS names; the first is its name.
pub(crate) fn order(names: &[&str]) -> Order {
    Order {
        name: names.first().copied().unwrap_or("nameless").to_owned(),
        identity: None,
        names: names.iter().map(|name| SubjectName::dns(name).unwrap()).collect(),
        usages: Usages::BOTH,
        profile: None,
        ttl: Duration::from_secs(86_400),
        key: KeySource::Generate(KeyType::P256),
        issuer: None,
    }
}

/// Whether a program is there. Where it is not, the test that needs it says so and ends; in CI that is a
/// failure.
pub(crate) fn available(program: &str) -> bool {
    !skip_without(&[program])
}

/// Runs a program.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    output.unwrap_or_else(|error| panic!("{program}: {error}"))
}

/// Standard output and error of a run as one text.
pub(crate) fn text(output: &Output) -> String {
    let both = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&both).into_owned()
}

/// Runs a program that must succeed.
pub(crate) fn succeed(program: &str, arguments: &[&str]) -> String {
    let output = run(program, arguments);
    assert!(output.status.success(), "{program} {arguments:?}: {}", text(&output));
    text(&output)
}

/// Runs a program that must not succeed.
pub(crate) fn refuse(program: &str, arguments: &[&str]) -> String {
    let output = run(program, arguments);
    assert!(!output.status.success(), "{program} {arguments:?}: {}", text(&output));
    text(&output)
}
