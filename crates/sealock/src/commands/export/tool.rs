//! `--export-with`: programs of others make what we do not, from files that only they see.
//!
//! The key and what goes with it lie in memory, readable by this user alone, and are in the ledger of temporary files
//! (`sealock_injector::scratch`): they go when the program has ended, when it fails, when we are told to stop, and by the
//! guardian when we are killed. What the program makes lies in a folder of its own beside the place where it goes.

mod child;
mod words;

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use sealock_core::SecretBytes;
use sealock_formats::{ChainOrder, KeyPlace, Material, Protection, Target, write};
use sealock_injector::scratch::{Scratch, ScratchError, Storage};

use super::{place, wrong};
use crate::args::ExportArgs;
use crate::commands::run::guardian;
use crate::printer::Failure;
use child::Child;
use words::{Placeholder, Words};

/// Runs them, and moves what they have made to its place. Whether it is another than what was there.
pub(super) fn run(arguments: &ExportArgs, password: Option<SecretBytes>) -> Result<bool, Failure> {
    let commands: Vec<Words> =
        arguments.export_with.iter().map(|text| Words::parse(text)).collect::<Result<_, _>>()?;
    if !commands.iter().any(|command| command.names(Placeholder::Out)) {
        return Err(Failure::usage(
            "no command of --export-with names {out}, which it has to write",
        ));
    }
    // From here on a signal does not end us, but what we wait for.
    let signals = child::Signals::catch()?;
    let deadline = Instant::now() + arguments.deadline;
    let folder = OutFolder::beside(&arguments.out)?;
    let runtime_folder = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let mut scratch = Scratch::new(Storage::Memory { runtime_folder }, Some(guardian()));
    let made = make(arguments, password, &commands, &folder, &mut scratch, |child, scratch| {
        child.run(&signals, deadline, scratch)
    });
    let cleared = scratch.clear().map_err(|error| with_hint(&error));
    made.and(cleared)?;
    place::moved(&folder.out(), &arguments.out)
}

fn with_hint(error: &ScratchError) -> Failure {
    error.hint().into_iter().fold(Failure::from_error(error), Failure::hint)
}

/// Lays out what the commands name, and runs one after the other.
fn make(
    arguments: &ExportArgs,
    password: Option<SecretBytes>,
    commands: &[Words],
    folder: &OutFolder,
    scratch: &mut Scratch,
    run: impl Fn(Child<'_>, &mut Scratch) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let inputs = Inputs { arguments, password, material: all(arguments)? };
    let mut paths: Vec<(Placeholder, PathBuf)> = vec![(Placeholder::Out, folder.out())];
    for wanted in Placeholder::INPUTS {
        if commands.iter().any(|command| command.names(wanted)) {
            let content = inputs.content(wanted)?;
            let path = scratch.hold(content.expose()).map_err(|error| with_hint(&error))?;
            paths.push((wanted, path));
        }
    }
    for command in commands {
        run(Child { words: &command.filled(&paths)?, folder: &folder.0 }, scratch)?;
    }
    Ok(())
}

/// Key, chain and roots.
fn all(arguments: &ExportArgs) -> Result<Material, Failure> {
    let with_root = arguments.with_root;
    super::material(arguments, Target::Pkcs12 { protection: Protection::Modern, with_root })
}

/// What commands may name.
struct Inputs<'a> {
    arguments: &'a ExportArgs,
    password: Option<SecretBytes>,
    material: Material,
}

impl Inputs<'_> {
    fn content(&self, wanted: Placeholder) -> Result<SecretBytes, Failure> {
        let order = ChainOrder::LeafFirst;
        let chain = |key, with_root| Target::Pem { key, order, with_root };
        let with_root = self.arguments.with_root;
        match wanted {
            Placeholder::Key => self.key_alone(),
            Placeholder::Certificate => {
                let leaf = Material { intermediates: Vec::new(), ..self.material.clone() };
                self.write(&leaf, chain(KeyPlace::Absent, false))
            }
            Placeholder::Chain => self.write(&self.material, chain(KeyPlace::Absent, with_root)),
            Placeholder::Bundle => self.write(&self.material, chain(KeyPlace::First, true)),
            Placeholder::Roots => self.roots(),
            Placeholder::Pkcs12 => {
                let protection = Protection::Modern;
                self.write(&self.material, Target::Pkcs12 { protection, with_root })
            }
            Placeholder::PasswordFile | Placeholder::Out => {
                self.password.clone().ok_or_else(|| {
                    Failure::usage("{pkcs12} and {password-file} need a password")
                        .hint("name a file that holds it with --password-file")
                })
            }
        }
    }

    fn write(&self, material: &Material, target: Target) -> Result<SecretBytes, Failure> {
        write(material, target, self.password.as_ref())
            .map_err(|error| wrong(self.arguments, &error))
    }

    /// The key without certificates, once it is known to be the leaf's.
    fn key_alone(&self) -> Result<SecretBytes, Failure> {
        self.write(&self.material, Target::Der)?;
        let key = self.material.key.clone().unwrap_or_default();
        Ok(sealock_formats::key_to_pem(&key))
    }

    fn roots(&self) -> Result<SecretBytes, Failure> {
        let pem: Vec<String> = self
            .material
            .roots
            .iter()
            .map(|der| sealock_formats::certificate_to_pem(der))
            .collect();
        Ok(SecretBytes::new(pem.concat().into_bytes()))
    }
}

/// Where the programs work and write. It goes with all that is in it.
struct OutFolder(PathBuf);

impl OutFolder {
    /// Beside the place where it goes, so that moving it there is one step.
    fn beside(place: &Path) -> Result<Self, Failure> {
        let name = place
            .file_name()
            .ok_or_else(|| Failure::usage(format!("{} names no file", place.display())))?;
        let name = format!(".{}.{}.export", name.to_string_lossy(), std::process::id());
        let parent = place.parent().filter(|parent| !parent.as_os_str().is_empty());
        let cannot = |error: &std::io::Error| {
            Failure::refused(format!("cannot write beside {}", place.display())).caused_by(error)
        };
        // Programs run in it: a path that holds from anywhere.
        let parent = parent.unwrap_or(Path::new(".")).canonicalize();
        let path = parent.map_err(|error| cannot(&error))?.join(name);
        // Of a run of the same number that was killed.
        let _ = fs::remove_dir_all(&path);
        fs::DirBuilder::new().mode(0o700).create(&path).map_err(|error| cannot(&error))?;
        Ok(Self(path))
    }

    fn out(&self) -> PathBuf {
        self.0.join("out")
    }
}

impl Drop for OutFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
