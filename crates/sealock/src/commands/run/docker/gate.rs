//! What waits in the container until its secrets are there, and then makes way for the program.
//!
//! It is this program, mounted read-only, as the container's first process. The files come into a tmpfs by the delivery
//! plane; the folder appears as a whole, so there is nothing half to be seen.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::printer::Failure;

/// Where the files are.
pub(super) const FOLDER: &str = "/run/sealock/secrets";
/// What is mounted as tmpfs.
pub(super) const MOUNT: &str = "/run/sealock";
/// The variables that the program gets, NUL-terminated, in that folder.
pub(super) const VARIABLES: &str = ".environment";
/// The longest that it waits, whatever the clocks say.
const PATIENCE: Duration = Duration::from_secs(3600);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// Waits until this moment (in seconds since 1970), and then becomes the program. Who delivers has given up before; a
/// container that is started again later has nothing to wait for.
pub(crate) fn wait_and_become(until: u64, command: &[OsString]) -> Result<Infallible, Failure> {
    let told = Arc::new(AtomicBool::new(false));
    // The first process of a container is ended by no signal that it does not listen to.
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&told))
            .map_err(|error| Failure::fault("cannot listen to signals").caused_by(&error))?;
    }
    let variables = Path::new(FOLDER).join(VARIABLES);
    let began = Instant::now();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let patience = Duration::from_secs(until).saturating_sub(now).min(PATIENCE);
    let text = loop {
        if told.load(Ordering::Relaxed) {
            return Err(Failure::refused("ended before the secrets were there").code(143));
        }
        match std::fs::read(&variables) {
            Ok(text) => break zeroize::Zeroizing::new(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(Failure::refused(format!("cannot read {}", variables.display()))
                    .caused_by(&error));
            }
        }
        if began.elapsed() >= patience {
            return Err(Failure::refused(format!("there are no secrets in {FOLDER}")).hint(
                "they were delivered into memory when `sealock run --as-files` made this container; make it anew with the same command",
            ));
        }
        std::thread::sleep(PAUSE);
    };
    let (name, rest) = command.split_first().ok_or_else(|| Failure::usage("no command"))?;
    let mut program = Command::new(name);
    program.args(rest);
    for entry in text.split(|byte| *byte == 0) {
        let mut parts = entry.splitn(2, |byte| *byte == b'=');
        if let (Some(name), Some(value)) = (parts.next(), parts.next()) {
            program.env(OsStr::from_bytes(name), OsStr::from_bytes(value));
        }
    }
    let error = program.exec();
    let code = if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 };
    Err(Failure::refused(format!("cannot start {}", name.to_string_lossy()))
        .caused_by(&error)
        .code(code))
}
