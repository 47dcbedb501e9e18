//! `sealock trust install` and `uninstall`: the roots that are handed out, where the programs of a system look for them.
//!
//! # Invariants
//!
//! - What is ours says its name: `sealock-` and the SHA-256 of the root. Nothing else is replaced or removed, ever.
//! - Before anything changes, every store was read, and can be written.
//! - A store is changed as a whole: a run that fails puts back what it has begun, one that is killed is finished by the
//!   next. A run that finds all as it should be writes nothing.
//!
//! # What an attacker controls
//!
//! With `--root`, that system's links and files; they lead nowhere outside of it. Its programs run confined to it by
//! `chroot` alone: whoever names a root trusts it as much as they would by entering it.

mod anchors;
mod java;
mod root;
mod tool;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use sealock_control::command::{Command, Reply};
use sealock_core::SecretBytes;
use sealock_formats::certificate_to_pem;
use serde::Serialize;

use super::{Session, unexpected};
use crate::args::{InstallArgs, StoreArg};
use crate::commands::files;
use crate::printer::{Failure, Printer};
use anchors::{Anchors, DEBIAN, Family, RHEL};
use java::Java;
use root::Root;
use tool::Tool;

/// By which ours are told from all others.
const PREFIX: &str = "sealock-";
/// The password that Java's makers have given to all stores.
const JAVAS: &[u8] = b"changeit";

/// A root that has to be there.
struct Wanted {
    der: Vec<u8>,
    fingerprint: String,
}

impl Wanted {
    fn name(&self) -> String {
        format!("{PREFIX}{}", self.fingerprint)
    }

    fn pem(&self) -> String {
        certificate_to_pem(&self.der)
    }
}

/// The fingerprint in a name of ours.
fn fingerprint_in(name: &str) -> Option<&str> {
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    name.strip_prefix(PREFIX)
        .filter(|fingerprint| fingerprint.len() == 64 && fingerprint.bytes().all(hex))
}

/// What has to be done to a store, or was.
#[derive(Default)]
struct Change {
    /// Files or aliases.
    added: Vec<String>,
    removed: Vec<String>,
    /// Whether an earlier run was killed in it.
    unfinished: bool,
}

impl Change {
    fn is_nothing(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && !self.unfinished
    }
}

/// A store of the system.
enum Store<'a> {
    Anchors(Anchors<'a>),
    Java(Java),
}

impl Store<'_> {
    fn name(&self) -> &'static str {
        match self {
            Self::Anchors(anchors) => anchors.family.name,
            Self::Java(_) => "java",
        }
    }

    fn place(&self) -> String {
        match self {
            Self::Anchors(anchors) => anchors.place().to_owned(),
            Self::Java(java) => java.place(),
        }
    }

    fn plan(&self, task: &Task) -> Result<Change, Failure> {
        match self {
            Self::Anchors(anchors) => anchors.plan(&task.wanted),
            Self::Java(java) => java.plan(&task.wanted, &task.password),
        }
    }

    fn check_writable(&self) -> Result<(), Failure> {
        match self {
            Self::Anchors(anchors) => anchors.check_writable(),
            Self::Java(java) => java.check_writable(),
        }
    }

    fn apply(&self, task: &Task, tool: &Tool<'_>) -> Result<Change, Failure> {
        match self {
            Self::Anchors(anchors) => anchors.apply(&task.wanted, tool),
            Self::Java(java) => java.apply(&task.wanted, &task.password),
        }
    }

    fn report(&self, change: Change, dry: bool) -> Report {
        let state = match (change.is_nothing(), dry) {
            (true, _) => State::Unchanged,
            (false, true) => State::WouldChange,
            (false, false) => State::Changed,
        };
        let program = match self {
            Self::Anchors(anchors) => Some(anchors.program().to_owned()),
            Self::Java(_) => None,
        };
        let program = program.filter(|_| state != State::Unchanged);
        let Change { added, removed, .. } = change;
        Report { store: self.name(), place: self.place(), state, added, removed, program }
    }
}

/// What is to be there.
struct Task {
    wanted: Vec<Wanted>,
    password: SecretBytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    Unchanged,
    WouldChange,
    Changed,
}

/// What was done to a store, as JSON.
#[derive(Serialize)]
struct Report {
    store: &'static str,
    place: String,
    state: State,
    added: Vec<String>,
    removed: Vec<String>,
    /// What of the system's has run, or would.
    #[serde(skip_serializing_if = "Option::is_none")]
    program: Option<String>,
}

impl Report {
    fn text(&self) -> String {
        let (added, removed) = (self.added.len(), self.removed.len());
        let what = match self.state {
            State::Unchanged => "unchanged".to_owned(),
            State::WouldChange => format!("{added} to add, {removed} to remove"),
            State::Changed => format!("{added} added, {removed} removed"),
        };
        let ran = if self.state == State::Changed { "has run" } else { "would run" };
        let program = self.program.iter().map(|program| format!("; {program} {ran}"));
        format!("{:<6}  {}  {what}{}", self.store, self.place, program.collect::<String>())
    }
}

/// Puts the roots in.
pub(super) fn run(
    arguments: &InstallArgs,
    session: &Session,
    printer: Printer,
) -> Result<(), Failure> {
    let pem = match session.call(Command::CaBundle)? {
        Reply::Bundle(pem) => pem,
        other => return Err(unexpected(&other)),
    };
    let mut wanted: Vec<Wanted> = Vec::new();
    for der in files::der_blocks(&pem, "CERTIFICATE")? {
        let fingerprint = HEXLOWER.encode(digest(&SHA256, &der).as_ref());
        if !wanted.iter().any(|root| root.fingerprint == fingerprint) {
            wanted.push(Wanted { der, fingerprint });
        }
    }
    if wanted.is_empty() {
        return Err(Failure::fault("the service has handed out no root"));
    }
    settle(wanted, arguments, session, printer)
}

/// Takes all of ours out.
pub(super) fn undo(
    arguments: &InstallArgs,
    session: &Session,
    printer: Printer,
) -> Result<(), Failure> {
    settle(Vec::new(), arguments, session, printer)
}

fn settle(
    wanted: Vec<Wanted>,
    arguments: &InstallArgs,
    session: &Session,
    printer: Printer,
) -> Result<(), Failure> {
    let password = match &arguments.java_password_file {
        Some(path) => SecretBytes::from(files::read_limited(path)?).trim_line_end(),
        None => SecretBytes::new(JAVAS.to_vec()),
    };
    let task = Task { wanted, password };
    let root = Root::open(&arguments.root)?;
    let stores = find(&root, arguments)?;
    let mut reports = Vec::new();
    // All is looked at before anything is done.
    for store in &stores {
        let change = store.plan(&task)?;
        if !change.is_nothing() && !arguments.dry_run {
            store.check_writable()?;
        }
        reports.push(store.report(change, true));
    }
    if !arguments.dry_run {
        let tool = Tool { root: &root, session };
        reports.clear();
        for store in &stores {
            // Again, because the one before may have changed this one: Debian's program has a hook for Java.
            let change = store.apply(&task, &tool).map_err(|failure| after(failure, &reports))?;
            reports.push(store.report(change, false));
        }
    }
    printer
        .either(&reports, |reports| reports.iter().map(Report::text).collect::<Vec<_>>().join("\n"))
}

/// A failure says what was done before it.
fn after(failure: Failure, done: &[Report]) -> Failure {
    let changed = done.iter().filter(|report| report.state == State::Changed);
    failure.with_causes(changed.map(|report| format!("done before: {}", report.text())))
}

fn find<'a>(root: &'a Root, arguments: &InstallArgs) -> Result<Vec<Store<'a>>, Failure> {
    let all = arguments.store.contains(&StoreArg::All);
    let mut stores = Vec::new();
    let families: [(StoreArg, &'static Family); 2] =
        [(StoreArg::Debian, &DEBIAN), (StoreArg::Rhel, &RHEL)];
    for (argument, family) in families {
        let named = arguments.store.contains(&argument);
        if !named && !all {
            continue;
        }
        match Anchors::find(root, family)? {
            Some(found) => stores.push(Store::Anchors(found)),
            None if named => return Err(Anchors::missing(root, family)),
            None => {}
        }
    }
    let named = arguments.store.contains(&StoreArg::Java);
    if named || all {
        let home = arguments.java_home.as_ref().map(|home| home.to_string_lossy());
        if let Some(home) = home.as_deref()
            && !Java::has_home(root, home)?
        {
            return Err(Java::no_home(root, home));
        }
        let found = Java::find(root, home.as_deref())?;
        if found.is_empty() && named {
            return Err(Java::missing(root));
        }
        stores.extend(found.into_iter().map(Store::Java));
    }
    if stores.is_empty() {
        return Err(Failure::refused(format!("there is no trust store in {}", root.shown("/")))
            .hint(
                "install the package ca-certificates there, or say where Java is with --java-home",
            ));
    }
    Ok(stores)
}

#[cfg(test)]
mod tests;
