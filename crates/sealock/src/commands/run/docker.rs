//! Docker's client as the program.

mod arguments;
mod as_files;
mod client;
mod gate;

use std::ffi::OsString;

use sealock_injector::{Manifest, Source};

use super::{base_name, env_file};
use crate::printer::Printer;
use arguments::DockerRun;
pub(super) use as_files::as_files;
pub(crate) use gate::wait_and_become;

/// Says that `docker inspect` will show what is handed on as a variable.
pub(super) fn warn(command: &[OsString], manifest: &Manifest, printer: Printer) {
    let Ok(run) = DockerRun::parse(command) else { return };
    let is_secret = |source: &Source| !matches!(source, Source::Literal(_));
    let secret = manifest.variables.iter().filter(|variable| is_secret(&variable.spec.source));
    let mut secrets = secret.map(|variable| variable.name.as_str());
    let in_file = run.values("env-file").any(env_file::is_in);
    let named: Vec<&str> = run.inherited_variables().collect();
    if let Some(name) = secrets.find(|name| in_file || named.contains(name)) {
        printer.note(format!(
            "warning: `docker inspect` will show {name} to whoever may ask the engine; with --as-files nothing shows"
        ));
    }
}
