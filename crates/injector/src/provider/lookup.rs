//! Which provider: Summon's order.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::error::ProviderError;

/// Where providers are installed.
const SYSTEM_FOLDER: &str = "/usr/local/lib/summon";

/// What the choice of a provider depends on.
///
/// A name with a slash is a path, against the working directory; one without is looked for in the folder of
/// providers ([`Lookup::folder`]). An empty name is none.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lookup<'a> {
    /// The one that was asked for (`-p`).
    pub named: Option<&'a OsStr>,
    /// SUMMON_PROVIDER, for when none was asked for.
    pub environment: Option<&'a OsStr>,
    /// SUMMON_PROVIDER_PATH: the folder of providers, there or not.
    pub folder: Option<&'a OsStr>,
    /// The running program, beside which providers may lie.
    pub binary: Option<&'a Path>,
}

/// What of the file system the choice depends on.
pub trait FileSystem {
    /// Whether something is there, a link's target included.
    ///
    /// # Errors
    ///
    /// When nothing is, or when it cannot be found out.
    fn stat(&self, path: &Path) -> io::Result<()>;

    /// The names in a folder, whatever they belong to.
    ///
    /// # Errors
    ///
    /// When the folder cannot be read.
    fn names(&self, folder: &Path) -> io::Result<Vec<OsString>>;

    /// The working directory.
    ///
    /// # Errors
    ///
    /// When it is not there any more.
    fn working_directory(&self) -> io::Result<PathBuf>;
}

/// The real one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

impl FileSystem for Disk {
    fn stat(&self, path: &Path) -> io::Result<()> {
        fs::metadata(path).map(drop)
    }

    fn names(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect()
    }

    fn working_directory(&self) -> io::Result<PathBuf> {
        std::env::current_dir()
    }
}

impl Lookup<'_> {
    /// The provider's path, absolute.
    ///
    /// # Errors
    ///
    /// When there is none, or more than one to choose from.
    pub fn provider(&self, disk: &impl FileSystem) -> Result<PathBuf, ProviderError> {
        let named = given(self.named).or(given(self.environment));
        let path = match named {
            Some(name) if is_path(name) => absolute(Path::new(name), disk)?,
            Some(name) => absolute(&self.folder(disk)?.join(name), disk)?,
            None => {
                let folder = self.folder(disk)?;
                // A folder that cannot be read is taken for an empty one.
                let names = disk.names(&folder).unwrap_or_default();
                match names.as_slice() {
                    [] => return Err(ProviderError::Unresolved),
                    [only] => absolute(&folder.join(only), disk)?,
                    _ => return Err(ProviderError::Several { folder }),
                }
            }
        };
        match disk.stat(&path) {
            Ok(()) => Ok(path),
            Err(source) => Err(ProviderError::Stat { path, source: Arc::new(source) }),
        }
    }

    /// The folder of providers: SUMMON_PROVIDER_PATH; else the first that is there of
    /// `/usr/local/lib/summon`, `Providers` beside the program and `../lib/summon` seen from there. A folder
    /// that is there ends the search, also when it is empty.
    ///
    /// # Errors
    ///
    /// When none is there.
    pub fn folder(&self, disk: &impl FileSystem) -> Result<PathBuf, ProviderError> {
        if let Some(folder) = given(self.folder) {
            return Ok(PathBuf::from(folder));
        }
        let beside = self.binary.and_then(Path::parent);
        let candidates: Vec<PathBuf> = [
            Some(PathBuf::from(SYSTEM_FOLDER)),
            beside.map(|beside| beside.join("Providers")),
            beside.and_then(Path::parent).map(|above| above.join("lib").join("summon")),
        ]
        .into_iter()
        .flatten()
        .collect();
        match candidates.iter().find(|folder| disk.stat(folder).is_ok()) {
            Some(folder) => Ok(folder.clone()),
            None => Err(ProviderError::NoFolder { searched: candidates }),
        }
    }

    /// All names in the folder of providers, sorted.
    ///
    /// # Errors
    ///
    /// When there is no such folder, or when it cannot be read.
    pub fn all(&self, disk: &impl FileSystem) -> Result<(PathBuf, Vec<OsString>), ProviderError> {
        let folder = self.folder(disk)?;
        match disk.names(&folder) {
            Ok(mut names) => {
                names.sort_unstable();
                Ok((folder, names))
            }
            Err(source) => Err(ProviderError::List { folder, source: Arc::new(source) }),
        }
    }
}

fn given(name: Option<&OsStr>) -> Option<&OsStr> {
    name.filter(|name| !name.is_empty())
}

fn is_path(name: &OsStr) -> bool {
    name.as_encoded_bytes().contains(&b'/')
}

/// Absolute and without `.`, `..` and double slashes, by the text alone, as Go's `filepath.Abs` has it.
fn absolute(path: &Path, disk: &impl FileSystem) -> Result<PathBuf, ProviderError> {
    let base = if path.is_absolute() { Ok(PathBuf::new()) } else { disk.working_directory() };
    let base =
        base.map_err(|source| ProviderError::WorkingDirectory { source: Arc::new(source) })?;
    let mut clean = PathBuf::from("/");
    for component in base.join(path).components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => drop(clean.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Ok(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files by their paths; what ends in a slash is an empty folder.
    struct Fake(&'static [&'static str]);

    impl FileSystem for Fake {
        fn stat(&self, path: &Path) -> io::Result<()> {
            let there = self.0.iter().any(|one| Path::new(one).starts_with(path));
            if there { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
        }

        fn names(&self, folder: &Path) -> io::Result<Vec<OsString>> {
            self.stat(folder)?;
            let below = self.0.iter().filter_map(|one| Path::new(one).strip_prefix(folder).ok());
            Ok(below.filter_map(|rest| Some(rest.iter().next()?.to_owned())).collect())
        }

        fn working_directory(&self) -> io::Result<PathBuf> {
            Ok(PathBuf::from("/work/here"))
        }
    }

    /// `-p`, SUMMON_PROVIDER, SUMMON_PROVIDER_PATH; the program is `/opt/bin/summon`.
    type Given = [&'static str; 3];

    fn find([named, environment, folder]: Given, files: &'static [&'static str]) -> String {
        let some = |text: &'static str| Some(OsStr::new(text));
        let lookup = Lookup {
            named: some(named),
            environment: some(environment),
            folder: some(folder),
            binary: Some(Path::new("/opt/bin/summon")),
        };
        match lookup.provider(&Fake(files)) {
            Ok(path) => path.display().to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn names_come_before_the_environment_and_that_before_the_folder() {
        const FILES: &[&str] = &["/p/a", "/p/b", "/p/c"];
        assert_eq!(find(["a", "b", "/p"], FILES), "/p/a");
        assert_eq!(find(["", "b", "/p"], FILES), "/p/b");
        assert_eq!(find(["", "", "/p"], &["/p/c"]), "/p/c");
        assert_eq!(
            find(["", "", "/p"], FILES),
            "More than one provider found in /p, please specify one"
        );
        assert_eq!(find(["", "", "/p"], &["/p/"]), "Could not resolve a provider!");
        // Given, so that no other is looked for; it is not there, which is as good as empty.
        assert_eq!(
            find(["", "", "/none"], &["/usr/local/lib/summon/x"]),
            "Could not resolve a provider!"
        );
    }

    #[test]
    fn a_slash_makes_a_path() {
        const FILES: &[&str] = &["/work/here/x", "/work/x", "/p/x", "/p/sub/y", "/usr/bin/z"];
        let cases = [
            ("x", "/p/x"),
            ("./x", "/work/here/x"),
            ("../x", "/work/x"),
            ("nothing/../x", "/work/here/x"),
            ("/usr/bin/z", "/usr/bin/z"),
            ("/usr//bin/./z", "/usr/bin/z"),
            ("sub/y", "stat /work/here/sub/y"),
            ("y", "stat /p/y"),
            ("/none", "stat /none"),
        ];
        for (name, found) in cases {
            assert_eq!(find([name, "", "/p"], FILES), found, "-p {name}");
            assert_eq!(find(["", name, "/p"], FILES), found, "SUMMON_PROVIDER={name}");
        }
        // A folder given relatively counts from the working directory, never from PATH.
        assert_eq!(find(["x", "", "."], FILES), "/work/here/x");
        assert_eq!(find(["x", "", ".."], FILES), "/work/x");
    }

    #[test]
    fn the_first_folder_that_is_there_counts() {
        const NEITHER: &str = "No provider directory found. Please set the environment variable \
            SUMMON_PROVIDER_PATH to the directory containing providers.\nProvider paths searched: \n\
            \t/usr/local/lib/summon\n\t/opt/bin/Providers\n\t/opt/lib/summon";
        let none = ["", "", ""];
        let three: &[&str] =
            &["/usr/local/lib/summon/a", "/opt/bin/Providers/b", "/opt/lib/summon/c"];
        assert_eq!(find(none, three), "/usr/local/lib/summon/a");
        assert_eq!(
            find(none, &["/opt/bin/Providers/b", "/opt/lib/summon/c"]),
            "/opt/bin/Providers/b"
        );
        assert_eq!(find(none, &["/opt/lib/summon/c"]), "/opt/lib/summon/c");
        assert_eq!(
            find(none, &["/usr/local/lib/summon/", "/opt/bin/Providers/b"]),
            "Could not resolve a provider!"
        );
        assert_eq!(find(none, &["/elsewhere/x"]), NEITHER);
        assert_eq!(find(["x", "", ""], &["/elsewhere/x"]), NEITHER);
        // A path needs no folder.
        assert_eq!(find(["/elsewhere/x", "", ""], &["/elsewhere/x"]), "/elsewhere/x");
        assert_eq!(find(["", "", "/p"], &["/p/x", "/usr/local/lib/summon/a"]), "/p/x");
    }

    #[test]
    fn all_providers_are_listed_by_name() {
        let lookup = Lookup { folder: Some(OsStr::new("/p")), ..Lookup::default() };
        let (folder, names) = lookup.all(&Fake(&["/p/z", "/p/a"])).unwrap();
        assert_eq!((folder.as_path(), names), (Path::new("/p"), vec!["a".into(), "z".into()]));
        let error = lookup.all(&Fake(&["/q/a"])).unwrap_err();
        assert_eq!(error.to_string(), "open /p");
    }
}
