//! From values to variables and files: what the program finds.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use sealock_core::SecretBytes;
use thiserror::Error;

use crate::environment::{Environment, EnvironmentError};
use crate::format::{Dialect, FormatError, render};
use crate::resolve::{FileValues, Missing, Resolved};
use crate::scratch::{Placement, Scratch, ScratchError, in_descriptor};
use crate::spec::{FileContent, FileEntry, Manifest, Source, Spec};

/// Why the program cannot have what was asked for. Nothing of it holds a value.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InjectError {
    /// Values that cannot be had: name and reason of each.
    #[error("{}", missing_text(.0))]
    Missing(Vec<(String, Missing)>),
    /// A value that no variable can hold.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// A file whose format cannot hold its values.
    #[error("cannot make {path}")]
    Format {
        /// As the file has it.
        path: String,
        /// Why.
        source: FormatError,
    },
    /// A file that cannot be written.
    #[error(transparent)]
    Scratch(#[from] ScratchError),
}

impl InjectError {
    /// What a person may do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing(all) => all.iter().find_map(|(_, missing)| missing.hint.clone()),
            Self::Environment(error) => Some(error.hint().to_owned()),
            Self::Format { source, .. } => source.hint().map(str::to_owned),
            Self::Scratch(error) => error.hint().map(str::to_owned),
        }
    }
}

fn missing_text(all: &[(String, Missing)]) -> String {
    match all {
        [(name, missing)] => format!("{name} cannot be had: {}", missing.reason),
        several => format!("{} secrets cannot be had", several.len()),
    }
}

/// Where a value is that a variable holds the path of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A file in memory with a name.
    Named,
    /// Memory without a name, that the program inherits.
    Descriptor,
}

/// How it is done.
pub struct Rules<'a> {
    /// Whose formats.
    pub dialect: Dialect,
    /// Whether a variable or alias is left out when its value cannot be had.
    pub ignored: &'a dyn Fn(&str) -> bool,
    /// What values in files are kept in.
    pub files: FileKind,
}

/// Who has the path of a value's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// A variable.
    Variable(String),
    /// A file of the user's choice, such as a configuration that names a key's file.
    InFile {
        /// The number of its entry.
        file: usize,
        /// The alias in it.
        alias: String,
    },
}

/// What the program finds.
#[derive(Default)]
pub struct Injected {
    /// Variables and what they hold: values, or paths of files.
    pub variables: Vec<(String, SecretBytes)>,
    /// What the program inherits; it ends with the last of these.
    pub descriptors: Vec<OwnedFd>,
    /// The files of values that are to be in one, and who has the path.
    pub held: Vec<(Holder, PathBuf)>,
    /// The files at paths of the user's choice.
    pub placed: Vec<PathBuf>,
}

impl std::fmt::Debug for Injected {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&String> = self.variables.iter().map(|(name, _)| name).collect();
        formatter
            .debug_struct("Injected")
            .field("variables", &names)
            .field("placed", &self.placed)
            .finish_non_exhaustive()
    }
}

impl Injected {
    /// Puts the variables into an environment.
    ///
    /// # Errors
    /// A value that no variable can hold.
    pub fn export(&self, environment: &mut Environment) -> Result<(), EnvironmentError> {
        self.variables.iter().try_for_each(|(name, value)| environment.set(name, value.expose()))
    }
}

impl Injected {
    /// Puts a value into a file of its own; the path stands in its place.
    fn hold(
        &mut self,
        holder: Holder,
        value: &SecretBytes,
        rules: &Rules<'_>,
        scratch: &mut Scratch,
    ) -> Result<SecretBytes, InjectError> {
        let path = match rules.files {
            FileKind::Named => scratch.hold(value.expose())?,
            FileKind::Descriptor => {
                let (descriptor, path) = in_descriptor(value.expose())?;
                self.descriptors.push(descriptor);
                path
            }
        };
        self.held.push((holder, path.clone()));
        Ok(SecretBytes::new(path.into_os_string().into_encoded_bytes()))
    }

    /// Where a value's file is.
    fn path_of(&self, wanted: &Holder) -> Option<&Path> {
        let held = self.held.iter().find(|(holder, _)| holder == wanted);
        held.map(|(_, path)| path.as_path())
    }
}

/// Makes files and collects variables. What was made before an error is in `scratch`, and goes with it.
///
/// # Errors
/// [`InjectError`]. Before anything is made, everything has to be there.
pub fn inject(
    manifest: &Manifest,
    resolved: &Resolved,
    rules: &Rules<'_>,
    scratch: &mut Scratch,
) -> Result<Injected, InjectError> {
    let missing = missing(manifest, resolved, rules);
    if !missing.is_empty() {
        return Err(InjectError::Missing(missing));
    }
    let mut injected = Injected::default();
    for (variable, outcome) in manifest.variables.iter().zip(&resolved.variables) {
        let Ok(value) = outcome else { continue };
        let held = if variable.spec.as_file {
            let holder = Holder::Variable(variable.name.clone());
            injected.hold(holder, value, rules, scratch)?
        } else {
            value.clone()
        };
        injected.variables.push((variable.name.clone(), held));
    }
    for (number, (file, values)) in manifest.files.iter().zip(&resolved.files).enumerate() {
        let contents = contents(file, values, rules, |alias, value| {
            let holder = Holder::InFile { file: number, alias: alias.to_owned() };
            injected.hold(holder, value, rules, scratch)
        })?;
        for (path, content) in contents {
            let placement = placement(file, &path, &content);
            injected.placed.push(scratch.place(&placement)?);
        }
    }
    Ok(injected)
}

/// Everything as it would be written, for whoever puts it somewhere else.
#[derive(Default)]
pub struct Rendered {
    /// Variables: name, whether the value is to be a file, value.
    pub variables: Vec<(String, bool, SecretBytes)>,
    /// Files: path, permissions, content.
    pub files: Vec<(String, u32, SecretBytes)>,
}

/// Makes everything and writes nothing. In the files, values stand as they are, also those that are to be in files of
/// their own.
///
/// # Errors
/// [`InjectError`].
pub fn render_all(
    manifest: &Manifest,
    resolved: &Resolved,
    rules: &Rules<'_>,
) -> Result<Rendered, InjectError> {
    let missing = missing(manifest, resolved, rules);
    if !missing.is_empty() {
        return Err(InjectError::Missing(missing));
    }
    let mut rendered = Rendered::default();
    for (variable, outcome) in manifest.variables.iter().zip(&resolved.variables) {
        if let Ok(value) = outcome {
            let (name, as_file) = (variable.name.clone(), variable.spec.as_file);
            rendered.variables.push((name, as_file, value.clone()));
        }
    }
    for (file, values) in manifest.files.iter().zip(&resolved.files) {
        for (path, content) in contents(file, values, rules, |_, value| Ok(value.clone()))? {
            rendered.files.push((path, file.permissions, content));
        }
    }
    Ok(rendered)
}

/// Writes the files anew, under their paths: for values that have changed while the program runs. Variables stay.
///
/// # Errors
/// [`InjectError`].
pub fn renew(
    manifest: &Manifest,
    resolved: &Resolved,
    rules: &Rules<'_>,
    injected: &Injected,
    scratch: &mut Scratch,
) -> Result<(), InjectError> {
    let missing = missing(manifest, resolved, rules);
    if !missing.is_empty() {
        return Err(InjectError::Missing(missing));
    }
    for (variable, outcome) in manifest.variables.iter().zip(&resolved.variables) {
        let held = injected.path_of(&Holder::Variable(variable.name.clone()));
        if let (Ok(value), Some(path)) = (outcome, held) {
            scratch.hold_again(path, value.expose())?;
        }
    }
    for (number, (file, values)) in manifest.files.iter().zip(&resolved.files).enumerate() {
        let contents = contents(file, values, rules, |alias, value| {
            let holder = Holder::InFile { file: number, alias: alias.to_owned() };
            let path = match injected.path_of(&holder) {
                Some(path) => {
                    scratch.hold_again(path, value.expose())?;
                    path.to_owned()
                }
                // It could not be had before.
                None => scratch.hold(value.expose())?,
            };
            Ok(SecretBytes::new(path.into_os_string().into_encoded_bytes()))
        })?;
        for (path, content) in contents {
            scratch.place_again(&placement(file, &path, &content))?;
        }
    }
    Ok(())
}

fn placement<'a>(file: &FileEntry, path: &'a str, content: &'a SecretBytes) -> Placement<'a> {
    Placement {
        path,
        content: content.expose(),
        permissions: file.permissions,
        overwrite: file.overwrite,
        owner: file.owner,
    }
}

fn missing(manifest: &Manifest, resolved: &Resolved, rules: &Rules<'_>) -> Vec<(String, Missing)> {
    let mut all: Vec<(&str, &Missing)> = Vec::new();
    for (variable, outcome) in manifest.variables.iter().zip(&resolved.variables) {
        all.extend(outcome.as_ref().err().map(|reason| (variable.name.as_str(), reason)));
    }
    for (file, values) in manifest.files.iter().zip(&resolved.files) {
        match values {
            FileValues::Aliases(values) => all.extend(
                values
                    .iter()
                    .filter_map(|(alias, one)| Some((alias.as_str(), one.as_ref().err()?))),
            ),
            // A folder has no name that could be ignored but its own.
            FileValues::Folder(values) => {
                all.extend(values.as_ref().err().map(|reason| (file.path.as_str(), reason)));
            }
        }
    }
    all.retain(|(name, _)| !(rules.ignored)(name));
    all.into_iter().map(|(name, reason)| (name.to_owned(), reason.clone())).collect()
}

/// Each file that an entry stands for, and what is in it. `hold` puts a value into a file of its own, and says what
/// stands in its place.
fn contents(
    file: &FileEntry,
    values: &FileValues,
    rules: &Rules<'_>,
    mut hold: impl FnMut(&str, &SecretBytes) -> Result<SecretBytes, InjectError>,
) -> Result<Vec<(String, SecretBytes)>, InjectError> {
    match (&file.content, values) {
        (FileContent::Rendered { format, template, secrets }, FileValues::Aliases(all)) => {
            let mut there = Vec::with_capacity(all.len());
            for ((alias, one), (_, spec)) in all.iter().zip(secrets) {
                let Ok(value) = one else { continue };
                let stands = if spec.as_file { hold(alias, value)? } else { value.clone() };
                there.push((alias.clone(), stands));
            }
            let content = render(*format, template.as_deref(), &there, rules.dialect)
                .map_err(|source| InjectError::Format { path: file.path.clone(), source })?;
            Ok(vec![(file.path.clone(), content)])
        }
        (FileContent::Folder { .. }, FileValues::Folder(Ok(all))) => {
            let base = file.path.trim_end_matches('/');
            Ok(all.iter().map(|(name, value)| (format!("{base}/{name}"), value.clone())).collect())
        }
        _ => Ok(Vec::new()),
    }
}

/// The values that came from somebody who has secrets: what is to be masked. A literal stands in the file anyway, and
/// may be a word that the program prints all the time.
pub fn secret_values(manifest: &Manifest, resolved: &Resolved) -> Vec<SecretBytes> {
    let is_secret = |spec: &Spec| matches!(spec.source, Source::Secret { .. });
    let mut all = Vec::new();
    for (variable, outcome) in manifest.variables.iter().zip(&resolved.variables) {
        if is_secret(&variable.spec) {
            all.extend(outcome.iter().cloned());
        }
    }
    for (file, values) in manifest.files.iter().zip(&resolved.files) {
        match (&file.content, values) {
            (FileContent::Rendered { secrets, .. }, FileValues::Aliases(values)) => {
                let secret = secrets.iter().zip(values).filter(|((_, spec), _)| is_secret(spec));
                all.extend(secret.flat_map(|(_, (_, outcome))| outcome.iter().cloned()));
            }
            (_, FileValues::Folder(values)) => {
                all.extend(values.iter().flatten().map(|(_, value)| value.clone()));
            }
            _ => {}
        }
    }
    all
}

/// Every value that could be had, in the order of the manifest: for whoever masks them, or looks for changes.
pub fn values(resolved: &Resolved) -> Vec<SecretBytes> {
    let of_file = |file: &FileValues| -> Vec<SecretBytes> {
        match file {
            FileValues::Aliases(all) => {
                all.iter().filter_map(|(_, one)| one.clone().ok()).collect()
            }
            FileValues::Folder(all) => {
                all.iter().flatten().map(|(_, value)| value.clone()).collect()
            }
        }
    };
    let of_variables = resolved.variables.iter().filter_map(|one| one.clone().ok());
    of_variables.chain(resolved.files.iter().flat_map(of_file)).collect()
}
