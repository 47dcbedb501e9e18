//! Files into a place, all or nothing.
//!
//! A landing writes beside its destination, on the same file system, under a name nobody can guess,
//! and makes it the destination by one rename when everything is there and has its owner and mode (and
//! is on the disk, unless it is bulk). Whatever cuts it short before that rename leaves the old content; what it leaves
//! behind is removed on the way out, or by the next landing at the same place when it was killed.
//!
//! - A [`Shape::File`] destination is replaced by the rename (a link there is replaced, never
//!   followed).
//! - A [`Shape::Folder`] destination gets the layout of Kubernetes' volumes: the content in
//!   `..<time>.<random>/`, the link `..data` to it, which the rename swaps, and for each name at the
//!   top a link `name -> ..data/name`. Readers that open a file through the link see the old or the
//!   new version of all files. Entries of others are left alone; where one has a name that is needed,
//!   the landing is refused.
//!
//! A destination that only memory will do for is refused before anything is made or written when it is
//! anywhere else.
//!
//! When what arrives is what already stands there (content, owner, mode), nothing is changed.
//!
//! **What an attacker controls:** the container's files, at any moment, including links swapped
//! between two steps; see [`root`](Root) for why that cannot lead outside. Member names come as
//! [`MemberPath`], so they cannot lead outside either. The amount is bounded by [`Announced`].
//!
//! [`Announced`]: crate::plan::Announced

mod accounts;
mod copy;
mod durability;
mod error;
mod file;
mod folder;
mod lock;
mod memory;
mod root;
mod same;
mod tree;
mod version;

use std::io::Read;
use std::sync::Arc;

pub use accounts::{Account, Owner, OwnerError, find_group, find_user};
pub use copy::Watch;
pub use error::LandingError;
pub use root::Root;

use crate::manifest::Manifest;
use crate::member::{LinkTarget, MemberPath};
use crate::plan::{Announced, Plan, Shape};
use copy::Copier;

/// Permission bits that are kept of a source: never set-user-id, set-group-id or sticky.
const PERMISSIONS: u32 = 0o777;

/// What a landing has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Landed {
    /// The destination, as the container sees it.
    pub path: String,
    /// Whether something stood there before.
    pub replaced: bool,
    /// Whether anything was written: false when the same content stood there already.
    pub changed: bool,
    /// The name of a folder destination's version.
    pub version: Option<String>,
    /// The digest of what stands there now: of the content for a file, of the tree for a folder
    /// (see [`Manifest`]).
    pub sha256: [u8; 32],
    /// How many bytes.
    pub bytes: u64,
    /// How many files.
    pub files: u64,
}

/// A landing under way. Dropping it leaves the destination as it was.
#[derive(Debug)]
pub struct Landing {
    place: Place,
    manifest: Manifest,
    counter: Counter,
    copier: Copier,
    plan: Plan,
}

#[derive(Debug)]
enum Place {
    File(file::FilePlace),
    Folder(folder::FolderPlace),
}

impl Landing {
    /// Makes ready: folders above the destination are made where they are missing (0755), the
    /// destination is locked against other landings, what a killed one left is removed, and what
    /// cannot be replaced is refused before anything is written.
    ///
    /// # Errors
    /// [`LandingError::Busy`] while another landing is under way there, and all that can stand in
    /// the way of writing.
    pub fn begin(root: &Root, plan: &Plan) -> Result<Self, LandingError> {
        Self::begin_watched(root, plan, Arc::new(Watch::default()))
    }

    /// As [`Landing::begin`], with a watch that the caller has already.
    ///
    /// # Errors
    /// As [`Landing::begin`].
    pub fn begin_watched(
        root: &Root,
        plan: &Plan,
        watch: Arc<Watch>,
    ) -> Result<Self, LandingError> {
        let place = match plan.destination.shape() {
            Shape::File => Place::File(file::FilePlace::begin(root, plan)?),
            Shape::Folder => Place::Folder(folder::FolderPlace::begin(root, plan)?),
        };
        Ok(Self {
            place,
            manifest: Manifest::default(),
            counter: Counter::new(plan.announced),
            copier: Copier::new(watch),
            plan: plan.clone(),
        })
    }

    /// Where progress can be read and a stop be asked for.
    pub fn watch(&self) -> Arc<Watch> {
        Arc::clone(self.copier.watch())
    }

    /// A folder. Its own folder has to have come before.
    ///
    /// # Errors
    /// As all that writes; [`LandingError::NotOneFile`] for a file destination.
    pub fn folder(&mut self, member: &MemberPath, mode: u32) -> Result<(), LandingError> {
        self.counter.member()?;
        let Place::Folder(place) = &mut self.place else {
            return Err(self.not_one_file());
        };
        self.manifest.folder(member, mode & PERMISSIONS)?;
        place.folder(member)
    }

    /// A file of exactly `size` bytes from a reader.
    ///
    /// # Errors
    /// As all that writes; [`LandingError::SourceChanged`] when the reader ends early.
    pub fn file(
        &mut self,
        member: &MemberPath,
        mode: u32,
        size: u64,
        source: &mut dyn Read,
    ) -> Result<(), LandingError> {
        self.counter.member()?;
        self.counter.bytes(size)?;
        let sent = mode & PERMISSIONS;
        self.manifest.expect_new(member)?;
        let mode = self.plan.mode.map_or(sent, |mode| mode & PERMISSIONS);
        let sha256 = match &mut self.place {
            Place::File(place) => place.file(&mut self.copier, member, mode, size, source)?,
            Place::Folder(place) => place.file(&mut self.copier, member, mode, size, source)?,
        };
        self.manifest.file(member, sent, size, sha256)
    }

    /// A file of exactly `size` bytes from a reader that must end there.
    ///
    /// # Errors
    /// As [`Landing::file`]; [`LandingError::SourceChanged`] also when it is longer.
    pub fn whole_file(
        &mut self,
        member: &MemberPath,
        mode: u32,
        size: u64,
        source: &mut dyn Read,
    ) -> Result<(), LandingError> {
        self.file(member, mode, size, source)?;
        loop {
            return match source.read(&mut [0]) {
                Ok(0) => Ok(()),
                Ok(_) => Err(LandingError::SourceChanged(member.clone())),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(source) => Err(LandingError::Source { member: member.clone(), source }),
            };
        }
    }

    /// A symbolic link that stays inside.
    ///
    /// # Errors
    /// As all that writes; [`LandingError::Name`] when it leads out.
    pub fn symlink(&mut self, member: &MemberPath, target: &[u8]) -> Result<(), LandingError> {
        self.counter.member()?;
        let target = LinkTarget::parse(member, target)?;
        let Place::Folder(place) = &mut self.place else {
            return Err(self.not_one_file());
        };
        self.manifest.link(member, &target)?;
        place.symlink(member, &target)
    }

    /// The digest of all that has come so far, to be compared before [`Landing::finish`].
    pub fn sha256(&self) -> [u8; 32] {
        match &self.place {
            Place::File(place) => place.sha256().unwrap_or_else(|| self.manifest.sha256()),
            Place::Folder(_) => self.manifest.sha256(),
        }
    }

    /// Makes what has come the destination.
    ///
    /// # Errors
    /// [`LandingError::LessThanAnnounced`], and as all that writes. After an error the old content
    /// stands.
    pub fn finish(self) -> Result<Landed, LandingError> {
        self.counter.complete()?;
        let watch = self.watch();
        watch.check(self.plan.destination.path())?;
        let sha256 = self.sha256();
        let (bytes, files) = (self.manifest.bytes(), self.manifest.files());
        let outcome = match self.place {
            Place::File(place) => place.finish(&self.plan)?,
            Place::Folder(place) => place.finish(&self.plan, &self.manifest, &watch)?,
        };
        Ok(Landed {
            path: self.plan.destination.path().to_owned(),
            replaced: outcome.replaced,
            changed: outcome.changed,
            version: outcome.version,
            sha256,
            bytes,
            files,
        })
    }

    fn not_one_file(&self) -> LandingError {
        LandingError::NotOneFile { path: self.plan.destination.path().to_owned() }
    }
}

/// What a place has done in the end.
struct Outcome {
    replaced: bool,
    changed: bool,
    version: Option<String>,
}

/// Holds what arrives against what was announced.
#[derive(Debug)]
struct Counter {
    announced: Announced,
    left: Announced,
}

impl Counter {
    fn new(announced: Announced) -> Self {
        Self { announced, left: announced }
    }

    fn member(&mut self) -> Result<(), LandingError> {
        let announced = self.announced.members;
        self.left.members = self
            .left
            .members
            .checked_sub(1)
            .ok_or(LandingError::MoreThanAnnounced { what: "members", announced })?;
        Ok(())
    }

    fn bytes(&mut self, size: u64) -> Result<(), LandingError> {
        let announced = self.announced.bytes;
        self.left.bytes = self
            .left
            .bytes
            .checked_sub(size)
            .ok_or(LandingError::MoreThanAnnounced { what: "bytes", announced })?;
        Ok(())
    }

    fn complete(&self) -> Result<(), LandingError> {
        let (what, announced) = match self.left {
            Announced { bytes: 0, members: 0 } => return Ok(()),
            Announced { members: 0, .. } => ("bytes", self.announced.bytes),
            Announced { .. } => ("members", self.announced.members),
        };
        Err(LandingError::LessThanAnnounced { what, announced })
    }
}

/// Thirty-two hexadecimal digits that nobody can guess.
fn unguessable() -> Result<String, LandingError> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| LandingError::Io {
        operation: "find a name for",
        path: "a staging place".to_owned(),
        source: std::io::Error::other("no random bytes"),
    })?;
    Ok(data_encoding::HEXLOWER.encode(&bytes))
}

#[cfg(test)]
mod tests;
