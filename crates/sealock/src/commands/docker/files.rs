//! One set of TLS files: whether it can stay, and the certificate for a new one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Access, access};
use sealock_control::command::{self, Command, Files, Names, Reply, RevocationReason, Usages};
use sealock_core::clock::{Clock, SystemClock};
use sealock_core::span::format_span;
use sealock_core::{Identity, SubjectName, TrustDomain};
use sealock_docker::daemon::files::{
    ClientFiles, Existing, FilesError, Reason, ServerFiles, Side, Wanted,
};
use serde::Serialize;

use crate::commands::session::{Session, unexpected};
use crate::printer::Failure;

/// The last line of a certificate.
const END: &str = "-----END CERTIFICATE-----";

/// The authority that the certificates come from.
pub(super) struct Authority<'a> {
    pub(super) session: &'a Session,
    pub(super) trust_domain: TrustDomain,
    bundle: String,
}

/// A set of files as it is wanted.
pub(super) struct Set<'a> {
    pub(super) side: Side,
    pub(super) folder: &'a Path,
    pub(super) identity: Identity,
    /// DNS names and addresses.
    pub(super) names: Vec<SubjectName>,
    pub(super) life: Duration,
}

/// What is in a folder.
pub(super) enum Found {
    /// No certificate.
    Nothing,
    /// A set that has to be made anew, and why.
    Unfit(String),
    /// A set that can stay.
    Good(Box<Existing>),
}

/// What came of a set.
#[derive(Debug, Serialize)]
pub(super) struct SetReport {
    pub(super) folder: PathBuf,
    pub(super) changed: bool,
    /// Why it was made anew, where there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) serial: Option<String>,
    pub(super) names: Vec<String>,
    /// Whole days.
    pub(super) days_left: i64,
    #[serde(skip)]
    life_left: Option<Duration>,
}

impl<'a> Authority<'a> {
    pub(super) async fn of(session: &'a Session) -> Result<Self, Failure> {
        let trust_domain = match session.ask_and_keep(Command::CaShow).await? {
            Reply::Ca(report) => report.trust_domain.parse(),
            other => return Err(unexpected(&other)),
        };
        let trust_domain = trust_domain.map_err(|error| Failure::from_error(&error))?;
        match session.ask_and_keep(Command::CaBundle).await? {
            Reply::Bundle(bundle) => Ok(Self { session, trust_domain, bundle }),
            other => Err(unexpected(&other)),
        }
    }

    /// Whether the set can stay; where it cannot, its folder can be written to. Issues nothing.
    pub(super) async fn look(&self, set: &Set<'_>) -> Result<Found, Failure> {
        let existing = Existing::read(set.folder, set.side).map_err(|error| failed(&error))?;
        let names = set.all_names()?;
        let wanted = Wanted { ca_pem: &self.bundle, names: &names };
        let found = match existing.needs_renewal(&wanted, SystemClock.now()) {
            Some(Reason::Missing(_)) if existing.names().is_empty() => Found::Nothing,
            Some(reason) => Found::Unfit(reason.to_string()),
            None if self.is_revoked(set).await? => {
                Found::Unfit("the certificate is revoked".to_owned())
            }
            None => return Ok(Found::Good(Box::new(existing))),
        };
        writable(set.folder)?;
        Ok(found)
    }

    /// Whether the very certificate in the folder is a revoked one. A newer one of the same name does not
    /// count: it may have been withdrawn because it could not be written.
    async fn is_revoked(&self, set: &Set<'_>) -> Result<bool, Failure> {
        let path = set.folder.join(set.side.certificate());
        let there = std::fs::read_to_string(&path).map_err(|source| {
            failed(&FilesError::File { doing: "read", path: path.clone(), source })
        })?;
        let list =
            command::List { name: Some(set.inventory_name()), all: true, ..Default::default() };
        let listed = match self.session.ask_and_keep(Command::CertList(list)).await? {
            Reply::Certificates(listed) => listed.certificates,
            other => return Err(unexpected(&other)),
        };
        for revoked in listed.into_iter().filter(|one| one.state == "revoked") {
            let show = Command::CertShow { certificate: revoked.serial };
            let pem = match self.session.ask_and_keep(show).await? {
                Reply::Certificate(report) => report.pem.unwrap_or_default(),
                other => return Err(unexpected(&other)),
            };
            let leaf = pem.split_inclusive(END).next().unwrap_or_default();
            if !leaf.is_empty() && there.starts_with(leaf) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A certificate for the set, asked of policy.
    pub(super) async fn issue(&self, set: &Set<'_>) -> Result<Box<Files>, Failure> {
        let is_server = set.side == Side::Server;
        let of = |wanted: fn(&SubjectName) -> bool| {
            set.names.iter().filter(|name| wanted(name)).map(ToString::to_string).collect()
        };
        let wanted = command::Issue {
            name: set.inventory_name(),
            names: Names {
                dns: of(|name| matches!(name, SubjectName::Dns(_))),
                ip: of(|name| matches!(name, SubjectName::Ip(_))),
                uri: vec![set.identity.to_string()],
                email: Vec::new(),
            },
            usages: Some(Usages { server: is_server, client: !is_server, ..Usages::default() }),
            profile: None,
            ttl: Some(set.life.as_secs()),
            key_type: command::KeyType::P256,
            // Who is let in at a daemon hangs on our own roots.
            issuer: Some("own".to_owned()),
        };
        match self.session.ask_and_keep(Command::CertIssue(wanted)).await? {
            Reply::Files(made) => Ok(made),
            other => Err(unexpected(&other)),
        }
    }

    /// Takes a certificate back whose key was never written anywhere.
    pub(super) async fn withdraw(&self, made: &Files) {
        let reason = RevocationReason::CessationOfOperation;
        let command = Command::CertRevoke { serial: made.serial.clone(), reason };
        // The reason that people need is why it was not written.
        let _ = self.session.ask_and_keep(command).await;
    }

    /// Writes the set.
    pub(super) async fn write(
        &self,
        set: &Set<'_>,
        made: &Files,
        reason: Option<String>,
    ) -> Result<SetReport, Failure> {
        let written = self.write_files(set, made);
        if let Err(failure) = written {
            self.withdraw(made).await;
            return Err(failure);
        }
        let left = made.not_after.since(SystemClock.now());
        Ok(SetReport {
            folder: set.folder.to_owned(),
            changed: true,
            reason,
            serial: Some(made.serial.clone()),
            names: texts(&made.names),
            days_left: i64::try_from(left.as_secs() / 86_400).unwrap_or(i64::MAX),
            life_left: Some(left),
        })
    }

    fn write_files(&self, set: &Set<'_>, made: &Files) -> Result<(), Failure> {
        let (ca_pem, cert_pem) = (self.bundle.clone(), made.tls_crt.clone());
        let key = made.tls_key.as_ref().ok_or_else(|| Failure::fault("there is no key"))?;
        let key_pem = key.bytes().clone();
        match set.side {
            Side::Server => ServerFiles { ca_pem, cert_pem, key_pem }.write(set.folder),
            Side::Client => ClientFiles { ca_pem, cert_pem, key_pem }.write(set.folder),
        }
        .map_err(|error| failed(&error))
    }
}

impl Set<'_> {
    fn all_names(&self) -> Result<Vec<SubjectName>, Failure> {
        let identity = SubjectName::uri(&self.identity.to_string());
        let identity = identity.map_err(|error| Failure::from_error(&error))?;
        Ok(std::iter::once(identity).chain(self.names.iter().cloned()).collect())
    }

    fn inventory_name(&self) -> String {
        format!("docker/{}/{}", self.identity.kind().segment(), self.identity.name())
    }
}

impl SetReport {
    /// A set that stays.
    pub(super) fn kept(set: &Set<'_>, existing: &Existing) -> Self {
        Self {
            folder: set.folder.to_owned(),
            changed: false,
            reason: None,
            serial: None,
            names: texts(existing.names()),
            days_left: existing.days_left(SystemClock.now()).unwrap_or(0),
            life_left: None,
        }
    }

    /// In a line.
    pub(super) fn line(&self, what: &str) -> String {
        let folder = self.folder.display();
        match (&self.reason, self.life_left.map(format_span)) {
            (Some(reason), Some(left)) => {
                format!("{what} in {folder}: made anew ({reason}), valid {left}")
            }
            (None, Some(left)) => format!("{what} in {folder}: made, valid {left}"),
            _ => format!("{what} in {folder}: left as they are, {} days left", self.days_left),
        }
    }
}

fn texts(names: &[SubjectName]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

/// Words an error of the files.
pub(super) fn failed(error: &FilesError) -> Failure {
    let failure = Failure::from_error(error);
    match error {
        FilesError::Folder { .. } | FilesError::File { .. } => {
            failure.hint("name a folder that you may write to, or run this as root")
        }
        FilesError::Writable { path, .. } => failure.hint(format!("chmod go-w {}", path.display())),
        FilesError::Busy { .. } => failure.hint("try again when it has ended"),
        FilesError::Unfit(_) => failure,
    }
}

/// Finds out before a certificate is issued what would keep its files from being written.
fn writable(folder: &Path) -> Result<(), Failure> {
    let nearest = folder.ancestors().find(|path| path.symlink_metadata().is_ok());
    let nearest = nearest.unwrap_or(Path::new("/"));
    let refused = |source| failed(&FilesError::Folder { path: folder.to_owned(), source });
    if !nearest.is_dir() {
        return Err(refused(std::io::ErrorKind::NotADirectory.into()));
    }
    access(nearest, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| refused(error.into()))?;
    let metadata = nearest.metadata().map_err(refused)?;
    let mode = std::os::unix::fs::MetadataExt::mode(&metadata) & 0o7777;
    if nearest == folder && mode & 0o022 != 0 {
        return Err(failed(&FilesError::Writable { path: folder.to_owned(), mode }));
    }
    Ok(())
}
