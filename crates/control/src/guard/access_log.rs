//! The access log: a line of JSON on stdout for each call.

use std::io::Write as _;
use std::sync::mpsc::{SyncSender, sync_channel};

/// Lines that wait to be written. A reader that does not read keeps no call waiting; its lines are lost.
const LINES: usize = 16 * 1024;

/// Where lines go, if there is a log.
pub(crate) struct AccessLog(Option<SyncSender<String>>);

impl AccessLog {
    /// Begins one, if it is wanted.
    pub(crate) fn start(wanted: bool) -> Self {
        Self(wanted.then(|| {
            let (lines, waiting) = sync_channel::<String>(LINES);
            let write = move || {
                let mut out = std::io::stdout();
                for line in waiting {
                    // Whoever has closed stdout wants no log.
                    if writeln!(out, "{line}").is_err() {
                        return;
                    }
                }
            };
            // Without the thread there is no log, as the missing lines show.
            let _ = std::thread::Builder::new().name("access log".to_owned()).spawn(write);
            lines
        }))
    }

    /// A line, made if anybody reads it.
    pub(crate) fn line(&self, make: impl FnOnce() -> String) {
        if let Some(lines) = &self.0 {
            let _ = lines.try_send(make());
        }
    }
}
