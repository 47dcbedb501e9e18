//! `@SEALOCKENVFILE` in an argument: the path of a file with all variables, for `docker run --env-file`.
//!
//! The file is as docker's client reads it. A value that cannot stand in a line of it (one with several lines) has a
//! line with its name alone, and docker takes it from its own environment, where this program has put it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use sealock_injector::format::docker_env_file;
use sealock_injector::inject::{FileKind, Injected};
use sealock_injector::scratch::{Scratch, in_descriptor};

use crate::printer::Failure;

/// What stands for the file.
pub(super) const NAME: &str = "@SEALOCKENVFILE";
/// Summon's word for it.
const SUMMON: &str = "@SUMMONENVFILE";

/// Whether an argument is nothing but the file's name.
pub(super) fn is_named(argument: &OsStr) -> bool {
    argument == NAME || argument == SUMMON
}

/// Whether the file's name is anywhere in an argument.
pub(super) fn is_in(argument: &OsStr) -> bool {
    [NAME, SUMMON].iter().any(|name| contains(argument.as_bytes(), name.as_bytes()))
}

/// The command, with the path of the file where its name is. The file is made when it is named.
pub(super) fn placed(
    command: &[OsString],
    injected: &mut Injected,
    kind: FileKind,
    scratch: &mut Scratch,
) -> Result<Vec<OsString>, Failure> {
    if !command.iter().any(|argument| is_in(argument)) {
        return Ok(command.to_vec());
    }
    let file = docker_env_file(&injected.variables)
        .map_err(|error| Failure::refused(format!("cannot make {NAME}")).caused_by(&error))?;
    let made = match kind {
        FileKind::Named => scratch.hold(file.content.expose()),
        FileKind::Descriptor => in_descriptor(file.content.expose()).map(|(descriptor, path)| {
            injected.descriptors.push(descriptor);
            path
        }),
    };
    let path = made.map_err(|error| {
        let failure = Failure::from_error(&error);
        error.hint().into_iter().fold(failure, Failure::hint)
    })?;
    let in_place = |argument: &OsString| {
        let argument = replaced(argument, NAME.as_bytes(), &path);
        replaced(&argument, SUMMON.as_bytes(), &path)
    };
    Ok(command.iter().map(in_place).collect())
}

/// Whether `part` is in `text`.
pub(crate) fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// `argument` with `path` wherever `name` was.
pub(crate) fn replaced(argument: &OsStr, name: &[u8], path: &Path) -> OsString {
    let mut rest = argument.as_bytes();
    let place = path.as_os_str().as_bytes();
    let mut text = Vec::with_capacity(rest.len() + place.len());
    while let Some(at) = rest.windows(name.len()).position(|window| window == name) {
        text.extend_from_slice(rest.get(..at).unwrap_or_default());
        text.extend_from_slice(place);
        rest = rest.get(at + name.len()..).unwrap_or_default();
    }
    text.extend_from_slice(rest);
    OsString::from_vec(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_takes_every_place() {
        let replaced = |text: &str| replaced(OsStr::new(text), SUMMON.as_bytes(), Path::new("/x"));
        assert_eq!(replaced("@SUMMONENVFILE"), "/x");
        assert_eq!(replaced("--env-file=@SUMMONENVFILE,@SUMMONENVFILE."), "--env-file=/x,/x.");
        assert_eq!(replaced("@SUMMONENV"), "@SUMMONENV");
        assert!(!is_in(OsStr::new("@SUMMONENV")) && is_in(OsStr::new("a@SEALOCKENVFILEb")));
        assert!(is_named(OsStr::new(NAME)) && !is_named(OsStr::new("a@SEALOCKENVFILE")));
    }
}
