//! Everything a person or a script sees: data on stdout, the rest on stderr.
//!
//! A closed pipe on stdout (`sealock cert list | head`) ends the output quietly.

mod failure;
mod progress;
mod table;

use std::io::{self, IsTerminal, Write};

pub(crate) use failure::{Failure, exit};
pub(crate) use progress::progress_bar;
pub(crate) use table::Table;

/// Where and how output goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Printer {
    json: bool,
    quiet: bool,
    verbose: bool,
}

impl Printer {
    /// A printer for text or JSON; a quiet one writes no notes, a verbose one explains.
    pub(crate) fn new(json: bool, quiet: bool, verbose: bool) -> Self {
        Self { json, quiet, verbose }
    }

    /// Whether the person wants to know how things were done.
    pub(crate) fn explains(self) -> bool {
        self.verbose
    }

    /// Whether data is to be JSON.
    pub(crate) fn json(self) -> bool {
        self.json
    }

    /// Whether a progress bar would be seen by a person.
    pub(crate) fn shows_progress(self) -> bool {
        !self.quiet && !self.json && io::stderr().is_terminal()
    }

    /// Writes data to stdout as it is.
    pub(crate) fn data(self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Failure::refused("cannot write to stdout").caused_by(&error))
            }
            _ => Ok(()),
        }
    }

    /// Writes a line of data to stdout.
    pub(crate) fn line(self, text: impl AsRef<str>) -> Result<(), Failure> {
        self.data(format!("{}\n", text.as_ref()).as_bytes())
    }

    /// Writes a value as indented JSON to stdout.
    pub(crate) fn value(self, value: &impl serde::Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|error| Failure::fault("cannot write the answer as JSON").caused_by(&error))?;
        self.line(text)
    }

    /// Writes a value as JSON, or what `text` makes of it.
    pub(crate) fn either<T: serde::Serialize>(
        self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        if self.json { self.value(value) } else { self.line(text(value).trim_end()) }
    }

    /// Writes a remark to stderr, unless quiet.
    pub(crate) fn note(self, text: impl AsRef<str>) {
        if !self.quiet {
            // Nobody is left to tell when stderr is closed.
            let _ = writeln!(io::stderr().lock(), "{}", text.as_ref());
        }
    }
}
