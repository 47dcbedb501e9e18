//! Docker's client as the program.

mod arguments;
mod as_files;
mod gate;

use std::ffi::OsString;

use sealock_injector::{Manifest, Source};

use super::base_name;
use crate::printer::Printer;
use arguments::DockerRun;
pub(super) use as_files::as_files;
pub(crate) use gate::wait_and_become;

/// Says that `docker inspect` will show what is handed on as a variable.
pub(super) fn warn(command: &[OsString], manifest: &Manifest, printer: Printer) {
    let Ok(run) = DockerRun::parse(command) else { return };
    let secret = |name: &&str| {
        manifest.variables.iter().any(|variable| {
            variable.name == *name && !matches!(variable.spec.source, Source::Literal(_))
        })
    };
    if let Some(name) = run.inherited_variables().find(secret) {
        printer.note(format!(
            "warning: `docker inspect` will show {name} to whoever may ask the engine; with --as-files nothing shows"
        ));
    }
}
