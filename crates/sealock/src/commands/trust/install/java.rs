//! Java's stores: one file each, in which our entries are told by their alias.

use sealock_core::SecretBytes;
use sealock_formats::{MAXIMUM_STORE_BYTES, ReadError, TrustStore, WriteError};

use super::root::{Folder, Root, is_file};
use super::{Change, Wanted, fingerprint_in};
use crate::printer::Failure;

/// What the file was before us, beside it.
const BACKUP: &str = ".before-sealock";
const BELOW_A_HOME: [&str; 2] = ["lib/security/cacerts", "jre/lib/security/cacerts"];
/// Where homes lie.
const HOMES: [&str; 2] = ["/usr/lib/jvm", "/opt/java"];
const DEBIANS: &str = "/etc/ssl/certs/java/cacerts";
/// `update-ca-trust` makes this one, of the store `rhel`.
const EXTRACTED: &str = "/ca-trust/extracted/";

/// One such store of a system.
pub(super) struct Java {
    folder: Folder,
    name: String,
}

impl Java {
    /// All that the system has, each once.
    pub(super) fn find(root: &Root, home: Option<&str>) -> Result<Vec<Self>, Failure> {
        let mut homes: Vec<String> = home.map(str::to_owned).into_iter().collect();
        for folder in HOMES {
            homes.extend(root.names(folder)?.iter().map(|name| format!("{folder}/{name}")));
        }
        let below = |home: &String| BELOW_A_HOME.map(|path| format!("{home}/{path}"));
        let mut paths = vec![DEBIANS.to_owned()];
        paths.extend(homes.iter().flat_map(below));
        let (mut stores, mut known) = (Vec::new(), Vec::new());
        for path in paths {
            let Some((folder, name)) = root.file(&path)? else { continue };
            let Some(stat) = folder.stat(&name)?.filter(is_file) else { continue };
            let file = (stat.st_dev, stat.st_ino);
            if !known.contains(&file) && !folder.shown().contains(EXTRACTED.trim_end_matches('/')) {
                known.push(file);
                stores.push(Self { folder, name });
            }
        }
        Ok(stores)
    }

    /// Whether there is a store in this home. One that was named and has none is a mistake, whatever else is found.
    pub(super) fn has_home(root: &Root, home: &str) -> Result<bool, Failure> {
        for path in BELOW_A_HOME.map(|path| format!("{home}/{path}")) {
            if let Some((folder, name)) = root.file(&path)?
                && folder.stat(&name)?.filter(is_file).is_some()
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) fn no_home(root: &Root, home: &str) -> Failure {
        Failure::usage(format!("there is no Java in {}", root.shown(home)))
            .hint("--java-home is the folder that has lib/security/cacerts in it")
    }

    pub(super) fn missing(root: &Root) -> Failure {
        Failure::refused(format!("there is no store `java` in {}", root.shown("/")))
            .hint("say where Java is with --java-home")
    }

    pub(super) fn place(&self) -> String {
        format!("{}/{}", self.folder.shown(), self.name)
    }

    pub(super) fn check_writable(&self) -> Result<(), Failure> {
        self.folder.check_writable()
    }

    pub(super) fn plan(
        &self,
        wanted: &[Wanted],
        password: &SecretBytes,
    ) -> Result<Change, Failure> {
        Ok(self.planned(wanted, password)?.1)
    }

    /// The bytes that are there, what has to be done to them, and the store when that is done.
    fn planned(
        &self,
        wanted: &[Wanted],
        password: &SecretBytes,
    ) -> Result<(Vec<u8>, Change, TrustStore), Failure> {
        let bytes = self.folder.read(&self.name, MAXIMUM_STORE_BYTES)?;
        let bytes = bytes.ok_or_else(|| Failure::refused(format!("{} has gone", self.place())))?;
        let mut store =
            TrustStore::read(&bytes, password).map_err(|error| self.unreadable(&error))?;
        let ours: Vec<(String, bool)> = store
            .trusted()
            .into_iter()
            .filter(|(alias, _)| fingerprint_in(alias).is_some())
            .map(|(alias, der)| {
                let stays = wanted.iter().any(|root| root.name() == alias && root.der == der);
                (alias.to_owned(), stays)
            })
            .collect();
        let mut change = Change::default();
        for (alias, stays) in &ours {
            if !stays {
                store.remove(alias);
                change.removed.push(alias.clone());
            }
        }
        for root in wanted {
            let name = root.name();
            if !ours.iter().any(|(alias, stays)| *stays && *alias == name) {
                store.add(&name, &root.der).map_err(|error| self.unwritable(&error))?;
                change.removed.retain(|removed| *removed != name);
                change.added.push(name);
            }
        }
        Ok((bytes, change, store))
    }

    /// Does it, and all of it. Takes the copy of what was there before us away when it is that again.
    pub(super) fn apply(
        &self,
        wanted: &[Wanted],
        password: &SecretBytes,
    ) -> Result<Change, Failure> {
        self.folder.lock()?;
        let (before, change, store) = self.planned(wanted, password)?;
        if change.is_nothing() {
            return Ok(change);
        }
        let like = self.folder.stat(&self.name)?;
        let backup = format!("{}{BACKUP}", self.name);
        let written = store.write(password).map_err(|error| self.unwritable(&error))?;
        let staged = self.folder.stage(&self.name, written.expose(), like.as_ref())?;
        if !wanted.is_empty() && self.folder.stat(&backup)?.is_none() {
            self.folder.stage(&backup, &before, like.as_ref())?.keep_new()?;
        }
        if self.folder.read(&self.name, MAXIMUM_STORE_BYTES)?.as_deref() != Some(&before) {
            return Err(Failure::refused(format!("{} is changed by another", self.place()))
                .hint("try again when that has ended"));
        }
        staged.keep()?;
        let original = self.folder.read(&backup, MAXIMUM_STORE_BYTES)?;
        if wanted.is_empty() && original.as_deref() == Some(written.expose()) {
            self.folder.remove(&backup)?;
        }
        self.folder.sync()?;
        Ok(change)
    }

    fn unreadable(&self, error: &ReadError) -> Failure {
        let failure = Failure::refused(format!("cannot use {}", self.place())).caused_by(error);
        match error {
            ReadError::WrongPassword | ReadError::PasswordMissing => {
                failure.hint("name a file with its password with --java-password-file")
            }
            _ => failure.hint("leave it out with --store, or look at it with keytool -list"),
        }
    }

    fn unwritable(&self, error: &WriteError) -> Failure {
        Failure::refused(format!("cannot change {}", self.place())).caused_by(error)
    }
}
