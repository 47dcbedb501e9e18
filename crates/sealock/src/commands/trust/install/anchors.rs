//! Stores that are a folder of certificates, of which the system's own program makes what its programs read.
//!
//! What a run has begun is seen by a mark: it is there before the first file changes, and goes when the system's program
//! has done its work. So a run that was killed is finished by the next one. A program that fails has everything put back.

use super::root::{Folder, Root};
use super::tool::Tool;
use super::{Change, Wanted, fingerprint_in};
use crate::printer::Failure;

/// Larger than any certificate.
const LARGEST: usize = 1 << 20;
/// Larger than any bundle of a system.
const LARGEST_BUNDLE: usize = 32 << 20;

/// How a family of systems has it.
pub(super) struct Family {
    /// As `--store` names it.
    pub(super) name: &'static str,
    folder: &'static str,
    /// Where its program may be, and what it is told.
    programs: &'static [&'static str],
    arguments: &'static [&'static str],
    /// What it is told besides when certificates have gone.
    after_removal: &'static [&'static str],
    /// What it makes, among other things: all roots as PEM.
    bundle: &'static str,
    /// Where the mark lies: a folder that the program does not read, or does not mind.
    mark_folder: &'static str,
    package: &'static str,
}

pub(super) const DEBIAN: Family = Family {
    name: "debian",
    folder: "/usr/local/share/ca-certificates",
    programs: &["/usr/sbin/update-ca-certificates", "/usr/bin/update-ca-certificates"],
    arguments: &[],
    // Without it, its links to what has gone stay.
    after_removal: &["--fresh"],
    bundle: "/etc/ssl/certs/ca-certificates.crt",
    mark_folder: "/usr/local/share/ca-certificates",
    package: "ca-certificates",
};

pub(super) const RHEL: Family = Family {
    name: "rhel",
    folder: "/etc/pki/ca-trust/source/anchors",
    programs: &["/usr/bin/update-ca-trust", "/usr/sbin/update-ca-trust"],
    arguments: &["extract"],
    after_removal: &[],
    bundle: "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    mark_folder: "/etc/pki/ca-trust",
    package: "ca-certificates",
};

const MARK: &str = ".sealock-unfinished";

/// A file as it was: with this in it, or not there.
struct Before {
    name: String,
    pem: Option<Vec<u8>>,
}

/// One such store of a system.
pub(super) struct Anchors<'a> {
    pub(super) family: &'static Family,
    root: &'a Root,
    folder: Folder,
    mark_folder: Folder,
    program: &'static str,
}

impl<'a> Anchors<'a> {
    /// `None` when the system has none of this family.
    pub(super) fn find(root: &'a Root, family: &'static Family) -> Result<Option<Self>, Failure> {
        let mut program = None;
        for path in family.programs {
            if program.is_none() && root.has(path)? {
                program = Some(*path);
            }
        }
        let (folder, mark) = (root.folder(family.folder)?, root.folder(family.mark_folder)?);
        let (Some(program), Some(folder), Some(mark_folder)) = (program, folder, mark) else {
            return Ok(None);
        };
        Ok(Some(Self { family, root, folder, mark_folder, program }))
    }

    /// What to say when it was asked for and is not there.
    pub(super) fn missing(root: &Root, family: &Family) -> Failure {
        let (name, folder) = (family.name, root.shown(family.folder));
        let program = family.programs.first().copied().unwrap_or_default();
        Failure::refused(format!("there is no store `{name}`: no {folder}, or no {program}"))
            .hint(format!("install the package {} there", family.package))
    }

    pub(super) fn place(&self) -> &str {
        self.folder.shown()
    }

    pub(super) fn program(&self) -> &str {
        self.program.rsplit('/').next().unwrap_or_default()
    }

    /// What has to be done.
    pub(super) fn plan(&self, wanted: &[Wanted]) -> Result<Change, Failure> {
        let mut change = Change::default();
        for name in self.folder.names()? {
            let ours = name.strip_suffix(".crt").and_then(fingerprint_in);
            let stays =
                |fingerprint: &str| wanted.iter().any(|root| root.fingerprint == fingerprint);
            if ours.is_some_and(|fingerprint| !stays(fingerprint)) {
                change.removed.push(name);
            }
        }
        for root in wanted {
            let name = format!("{}.crt", root.name());
            if self.folder.read(&name, LARGEST)?.is_none_or(|there| there != root.pem().as_bytes())
            {
                change.added.push(name);
            }
        }
        change.unfinished = self.mark_folder.stat(MARK)?.is_some();
        Ok(change)
    }

    pub(super) fn check_writable(&self) -> Result<(), Failure> {
        self.folder.check_writable()?;
        self.mark_folder.check_writable()
    }

    /// Does it, and all of it.
    pub(super) fn apply(&self, wanted: &[Wanted], tool: &Tool<'_>) -> Result<Change, Failure> {
        self.folder.lock()?;
        let change = self.plan(wanted)?;
        if change.is_nothing() {
            return Ok(change);
        }
        let mut staged = Vec::new();
        for root in wanted {
            let name = format!("{}.crt", root.name());
            if change.added.contains(&name) {
                staged.push(self.folder.stage(&name, root.pem().as_bytes(), None)?);
            }
        }
        let before = self.before(&change)?;
        self.mark_folder.stage(MARK, b"", None)?.keep()?;
        let fresh = change.unfinished || !change.removed.is_empty();
        let done = staged
            .into_iter()
            .try_for_each(super::root::Staged::keep)
            .and_then(|()| change.removed.iter().try_for_each(|name| self.folder.remove(name)))
            .and_then(|()| self.folder.sync())
            .and_then(|()| self.update(tool, fresh))
            .and_then(|()| self.check(wanted, &before));
        match done {
            Ok(()) => {
                self.mark_folder.remove(MARK)?;
                Ok(change)
            }
            Err(failure) => Err(self.put_back(&before, tool, failure)),
        }
    }

    /// What was there under each name that changes.
    fn before(&self, change: &Change) -> Result<Vec<Before>, Failure> {
        let names = change.added.iter().chain(&change.removed);
        names
            .map(|name| Ok(Before { name: name.clone(), pem: self.folder.read(name, LARGEST)? }))
            .collect()
    }

    fn update(&self, tool: &Tool<'_>, fresh: bool) -> Result<(), Failure> {
        let more = if fresh { self.family.after_removal } else { &[] };
        let arguments: Vec<&str> = self.family.arguments.iter().chain(more).copied().collect();
        tool.run(self.program, &arguments)
    }

    /// That the program ended well is not all: what programs read has to have each root, and none that has gone.
    fn check(&self, wanted: &[Wanted], before: &[Before]) -> Result<(), Failure> {
        let shown = self.root.shown(self.family.bundle);
        let bundle = match self.root.file(self.family.bundle)? {
            Some((folder, name)) => folder.read(&name, LARGEST_BUNDLE)?,
            None => None,
        };
        let bundle = compact(&bundle.unwrap_or_default());
        let has = |pem: &[u8]| {
            let block = compact(pem);
            !block.is_empty() && bundle.contains(&block)
        };
        let program = self.program();
        if let Some(root) = wanted.iter().find(|root| !has(root.pem().as_bytes())) {
            let fingerprint = &root.fingerprint;
            return Err(Failure::refused(format!(
                "{program} has left the root {fingerprint} out of {shown}"
            )));
        }
        let kept = |name: &str| wanted.iter().any(|root| name == format!("{}.crt", root.name()));
        for gone in before.iter().filter(|gone| !kept(&gone.name)) {
            let Some(pem) = gone.pem.as_deref() else { continue };
            // Somebody else may have put the same root there.
            if has(pem) && !self.is_anothers(pem)? {
                let name = &gone.name;
                return Err(Failure::refused(format!("{program} has left {name} in {shown}")));
            }
        }
        Ok(())
    }

    fn is_anothers(&self, pem: &[u8]) -> Result<bool, Failure> {
        let block = compact(pem);
        for name in self.folder.names()? {
            let there = self.folder.read(&name, LARGEST)?;
            if there.is_some_and(|there| compact(&there).contains(&block)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Puts the folder back as it was, and has the program see that.
    fn put_back(&self, before: &[Before], tool: &Tool<'_>, failure: Failure) -> Failure {
        let restored = before.iter().try_for_each(|was| match &was.pem {
            Some(pem) => self.folder.stage(&was.name, pem, None)?.keep(),
            None => self.folder.remove(&was.name),
        });
        match restored.and_then(|()| self.folder.sync()).and_then(|()| self.update(tool, true)) {
            Ok(()) => {
                // A mark that stays costs the next run some work.
                let _ = self.mark_folder.remove(MARK);
                failure
            }
            Err(second) => failure
                .with_causes([format!("putting it back: {}", second.one_line())])
                .hint(format!("run {} by hand, then this again", self.program)),
        }
    }
}

/// The base64 of the certificates in PEM, without anything that programs write differently.
fn compact(pem: &[u8]) -> String {
    let text = String::from_utf8_lossy(pem);
    let mut blocks = String::new();
    for block in text.split("-----BEGIN ").skip(1) {
        let body = block.split_once("-----").map_or("", |(_, body)| body);
        let body = body.split_once("-----END ").map_or("", |(body, _)| body);
        blocks.extend(body.split_whitespace());
        // No block runs into the next.
        blocks.push('.');
    }
    blocks
}
