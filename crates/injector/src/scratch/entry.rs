//! What stands in a ledger, and how it is undone.
//!
//! Entries are fields that end with a NUL each. A folder is its path, device and inode:
//!
//! ```text
//! held NUL folder… NUL name NUL
//! made NUL folder… NUL name NUL
//! file NUL folder… NUL name NUL aside NUL device NUL inode NUL birth NUL replaces NUL
//! ```
//!
//! The first stands for a value's file, or one that is still to get its name; the second for a folder. The third
//! stands for a file that is put at `name`. It is made as `aside`, and then gets the name `name`; where
//! something has that name and is to be replaced (`replaces` is 1), the two change names. So what is found at
//! `aside` says how far it came: our own file (by its [`Identity`]), the user's, or none. A later entry with the
//! same `name` or `aside` takes an earlier one's place; then both its file and the one before it count as ours,
//! since it is noted before the one takes the other's place.
//!
//! # What an attacker controls
//!
//! Perhaps all of it. So an entry may only have names of the ledger's own run: `held` and `aside` are
//! `PREFIX<run>-<digits>`, and `aside` is in the same folder.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::RenameFlags;

use super::folder::{Folder, Identity, Spot};

/// How the names of `sealock run`'s files begin.
pub(super) const SEALOCK: &str = ".sealock-";
/// As Summon's, whose names go on with digits only.
pub(super) const SUMMON: &str = ".summonk";
/// How the names of folders begin that are made for values, as Summon's do.
pub(super) const MADE: &str = ".tmp";
const SUFFIX: &str = ".ledger";
/// Random hex digits in a name.
pub(super) const RUN: usize = 32;

/// What could not be undone.
pub(super) type Trouble = (PathBuf, io::Error);

/// Something to undo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    /// A value's file.
    Held(Spot),
    /// A folder for values.
    Made(Spot),
    /// A file at a path of the user's choice.
    File(Placed),
}

/// A file at a path of the user's choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placed {
    /// Where.
    pub(super) spot: Spot,
    /// Where it was made, and where what was at `spot` is kept.
    pub(super) aside: Spot,
    /// The file, and the one that had its place before.
    pub(super) own: Vec<Identity>,
    /// Whether something was at `spot`, which `aside` is now.
    pub(super) replaces: bool,
}

/// How sure whoever undoes can be that nobody else has used the path meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// The run has just ended: what is at the path is the run's or its child's.
    AtOnce,
    /// Some time later: only what is known to be the run's is removed.
    Later,
}

/// The names that a run gives.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Names {
    pub(super) prefix: &'static str,
    pub(super) run: String,
}

impl Names {
    /// Of the run that a file of this name belongs to.
    pub(super) fn of(name: &[u8]) -> Option<Self> {
        let name = std::str::from_utf8(name).ok()?;
        [SEALOCK, SUMMON].into_iter().find_map(|prefix| {
            let run = name.strip_prefix(prefix)?.get(..RUN)?;
            let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            run.bytes().all(hex).then(|| Self { prefix, run: run.to_owned() })
        })
    }

    pub(super) fn ledger(&self) -> String {
        format!("{}{}{SUFFIX}", self.prefix, self.run)
    }

    pub(super) fn file(&self, number: u64) -> String {
        format!("{}{}-{number}", self.prefix, self.run)
    }

    fn has(&self, name: &[u8]) -> bool {
        let start = format!("{}{}-", self.prefix, self.run);
        name.strip_prefix(start.as_bytes())
            .is_some_and(|number| !number.is_empty() && number.iter().all(u8::is_ascii_digit))
    }
}

/// The fields of a ledger, one after the other.
struct Fields<'a, I> {
    fields: I,
    names: &'a Names,
    folders: BTreeMap<(PathBuf, u64, u64), Arc<Folder>>,
}

impl<'a, I: Iterator<Item = &'a [u8]>> Fields<'a, I> {
    fn number(&mut self) -> Option<u64> {
        std::str::from_utf8(self.fields.next()?).ok()?.parse().ok()
    }

    fn folder(&mut self) -> Option<Arc<Folder>> {
        let path = PathBuf::from(OsStr::from_bytes(self.fields.next()?));
        let (device, inode) = (self.number()?, self.number()?);
        let noted = || Arc::new(Folder::noted(path.clone(), device, inode));
        let key = (path.clone(), device, inode);
        path.is_absolute().then(|| Arc::clone(self.folders.entry(key).or_insert_with(noted)))
    }

    fn spot(&mut self, good: impl Fn(&[u8]) -> bool) -> Option<Spot> {
        let folder = self.folder()?;
        let name = self.fields.next().filter(|name| good(name))?;
        Some(Spot::new(&folder, OsStr::from_bytes(name)))
    }

    fn entry(&mut self) -> Option<Entry> {
        let names = self.names;
        match self.fields.next()? {
            b"held" => self.spot(|name| names.has(name)).map(Entry::Held),
            b"made" => self.spot(is_made).map(Entry::Made),
            b"file" => {
                let spot = self.spot(is_name)?;
                let aside = self.fields.next().filter(|name| names.has(name))?;
                let aside = spot.beside(OsStr::from_bytes(aside));
                let (device, inode, born) = (self.number()?, self.number()?, self.number()?);
                let own = vec![Identity { device, inode, born }];
                let replaces = self.fields.next()? == b"1";
                Some(Entry::File(Placed { spot, aside, own, replaces }))
            }
            _ => None,
        }
    }
}

fn is_name(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..") && !name.contains(&b'/')
}

fn is_made(name: &[u8]) -> bool {
    name.strip_prefix(MADE.as_bytes())
        .is_some_and(|rest| !rest.is_empty() && rest.iter().all(u8::is_ascii_hexdigit))
}

impl Entry {
    pub(super) fn render(&self) -> Vec<u8> {
        let mut text = Vec::new();
        let mut field = |bytes: &[u8]| {
            text.extend_from_slice(bytes);
            text.push(0);
        };
        let (kind, spot): (&[u8], _) = match self {
            Self::Held(spot) => (b"held", spot),
            Self::Made(spot) => (b"made", spot),
            Self::File(placed) => (b"file", &placed.spot),
        };
        field(kind);
        field(spot.folder.path.as_os_str().as_bytes());
        field(spot.folder.device.to_string().as_bytes());
        field(spot.folder.inode.to_string().as_bytes());
        field(spot.name.as_bytes());
        if let Self::File(Placed { aside, own, replaces, .. }) = self {
            field(aside.name.as_bytes());
            let newest = own.last();
            let numbers = newest.map(|own| [own.device, own.inode, own.born]).unwrap_or_default();
            numbers.iter().for_each(|number| field(number.to_string().as_bytes()));
            field(if *replaces { b"1" } else { b"0" });
        }
        text
    }

    /// Reads entries; what is cut off at the end was never acted on.
    pub(super) fn parse(text: &[u8], names: &Names) -> Vec<Self> {
        let whole = text.iter().rposition(|byte| *byte == 0).unwrap_or(0);
        let fields = text.get(..whole).unwrap_or_default().split(|byte| *byte == 0);
        let mut fields = Fields { fields, names, folders: BTreeMap::new() };
        let mut entries = Vec::new();
        while let Some(entry) = fields.entry() {
            entry.enter(&mut entries);
        }
        entries
    }

    /// Takes the place of what it makes void.
    pub(super) fn enter(mut self, entries: &mut Vec<Self>) {
        if let Self::File(Placed { spot, aside, own, .. }) = &mut self {
            entries.retain(|earlier| match earlier {
                Self::Held(held) => held != aside,
                Self::Made(_) => true,
                Self::File(earlier) if earlier.spot == *spot => {
                    own.splice(..0, earlier.own.last().copied());
                    false
                }
                Self::File(_) => true,
            });
        }
        entries.push(self);
    }

    pub(super) fn spot(&self) -> &Spot {
        match self {
            Self::Held(spot) | Self::Made(spot) => spot,
            Self::File(placed) => &placed.spot,
        }
    }

    /// Undoes it, whichever of its steps were taken. Done twice, the second time does nothing.
    pub(super) fn undo(&self, when: When) -> Result<(), Trouble> {
        let spot = self.spot();
        let done = match self {
            Self::Held(spot) => spot.remove(),
            // What somebody else has put in it keeps it.
            Self::Made(spot) => spot.remove_folder().or_else(|error| match error.kind() {
                io::ErrorKind::DirectoryNotEmpty => Ok(()),
                _ => Err(error),
            }),
            Self::File(placed) => placed.undo(when),
        };
        match done {
            // A folder that is gone took it along.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done.map_err(|error| (spot.path(), error)),
        }
    }
}

impl Placed {
    fn undo(&self, when: When) -> io::Result<()> {
        let (at_spot, at_aside) = (self.spot.identity()?, self.aside.identity()?);
        let is_own = |found: Option<Identity>| found.is_some_and(|found| self.own.contains(&found));
        if is_own(at_aside) {
            self.aside.remove()?;
            return if is_own(at_spot) { self.spot.remove() } else { Ok(()) };
        }
        let is_others = at_spot.is_some() && !is_own(at_spot) && when == When::Later;
        match (self.replaces, at_aside) {
            // What was there comes back, in one step.
            (true, Some(_)) if !is_others => {
                self.aside.rename(&self.spot.name, RenameFlags::empty())
            }
            (false, None) if !is_others => self.spot.remove(),
            // The child has removed what was there, or put it back itself. Ours goes; what is not known to be
            // ours may be what it has put back.
            _ if is_own(at_spot) => self.spot.remove(),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN_NAME: &str = "0123456789abcdef0123456789abcdef";

    fn names() -> Names {
        Names { prefix: SEALOCK, run: RUN_NAME.into() }
    }

    #[test]
    fn entries_are_read_back_and_cut_ones_left_out() {
        let folder = Arc::new(Folder::noted("/a b\nc".into(), 1, 2));
        let entries = vec![
            Entry::Held(Spot::new(&folder, names().file(1))),
            Entry::Made(Spot::new(&folder, ".tmp0123")),
            Entry::File(Placed {
                spot: Spot::new(&folder, "x y"),
                aside: Spot::new(&folder, names().file(2)),
                own: vec![Identity { device: 1, inode: 2, born: 3 }],
                replaces: true,
            }),
        ];
        let text: Vec<u8> = entries.iter().flat_map(Entry::render).collect();
        assert_eq!(Entry::parse(&text, &names()), entries);
        for cut in 0..text.len() {
            let read = Entry::parse(&text[..cut], &names());
            assert!(entries.starts_with(&read), "{cut}: {read:?}");
        }
    }

    #[test]
    fn entries_with_names_of_others_are_none() {
        let own = names().file(7);
        for bad in [
            "nonsense\0/etc\x001\x002\0passwd\0".to_owned(),
            "held\0/etc\x001\x002\0passwd\0".to_owned(),
            format!("held\0etc\x001\x002\0{own}\0"),
            format!("held\0/etc\x001\x002\0{own}/../passwd\0"),
            format!("held\0/etc\x001\x002\0{SEALOCK}{}-1\0", "f".repeat(32)),
            "made\0/etc\x001\x002\0ssh\0".to_owned(),
            "made\0/etc\x001\x002\0.tmp/../ssh\0".to_owned(),
            "file\0/etc\x001\x002\0passwd\0theirs\x001\x002\x003\x001\0".to_owned(),
            format!("file\0/etc\x001\x002\0../passwd\0{own}\x001\x002\x003\x001\0"),
            format!("file\0/etc\x001\x002\0passwd\0/tmp/{own}\x001\x002\x003\x001\0"),
        ] {
            assert!(Entry::parse(bad.as_bytes(), &names()).is_empty(), "{bad:?}");
        }
        let good = format!("file\0/etc\x001\x002\0passwd\0{own}\x001\x002\x003\x001\0");
        assert_eq!(Entry::parse(good.as_bytes(), &names()).len(), 1);
    }

    #[test]
    fn names_of_others_are_not_ours() {
        let of = |name: String| Names::of(name.as_bytes());
        assert_eq!(of(format!(".sealock-{RUN_NAME}-1")), Some(names()));
        assert!(of(format!(".summonk{RUN_NAME}.ledger")).is_some());
        for other in [".summon1234567890", ".sealock-", "x", ".summonkXYZ"] {
            assert_eq!(of(other.to_owned()), None, "{other}");
        }
    }
}
