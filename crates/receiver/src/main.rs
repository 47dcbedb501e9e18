//! `sealock-receiver`: what runs inside a container for one sealed transfer.
//!
//! ```text
//! sealock-receiver stdio                         an offer on standard input, a receipt on standard output
//! sealock-receiver receive --ticket F --to DIR   what a ticket stands for
//! sealock-receiver --version
//! ```
//! Nothing secret is ever in its arguments or environment. Exit codes: 0 done, 1 refused or failed, 64 usage.

use std::error::Error;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use sealock_receiver::input::{Standard, Stop};
use sealock_receiver::{ReceiveError, receive_ticket, serve_offer};
use sealock_transfer::offer::is_placed;
use sealock_transfer::ticket::{TEXT_LIMIT, Ticket, TicketError};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use thiserror::Error as ThisError;
use zeroize::Zeroizing;

const USAGE: &str = "usage: sealock-receiver stdio\n       sealock-receiver receive --ticket FILE --to DIR\n       sealock-receiver --version\n";
const USAGE_CODE: u8 = 64;

#[derive(Debug, ThisError)]
enum MainError {
    #[error("cannot read the ticket {path}")]
    TicketFile { path: String, source: std::io::Error },
    #[error("the ticket {path} cannot be used")]
    Ticket { path: String, source: TicketError },
    #[error("nothing was received")]
    Receive(#[from] ReceiveError),
    #[error("cannot watch for signals")]
    Signals(#[source] std::io::Error),
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(|word| word.to_str().unwrap_or_default()).collect();
    let done = match words.as_slice() {
        ["stdio"] => stdio(),
        ["receive", "--ticket", ticket, "--to", to]
        | ["receive", "--to", to, "--ticket", ticket] => receive(ticket, to),
        ["--version"] => {
            return say(&format!("sealock-receiver {}\n", env!("CARGO_PKG_VERSION")));
        }
        _ => {
            let _ = std::io::stderr().write_all(USAGE.as_bytes());
            return ExitCode::from(USAGE_CODE);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            explain(&error);
            ExitCode::FAILURE
        }
    }
}

/// Where the sender has put this program into the container only for this transfer, it goes at once: a
/// program that runs needs its name no more, and so nothing is left behind however the rest ends.
fn leave_no_file() {
    if let Ok(path) = std::env::current_exe()
        && path.file_name().and_then(|name| name.to_str()).is_some_and(is_placed)
    {
        // Left behind it does no harm, and the sender looks after it too.
        let _ = std::fs::remove_file(path);
    }
}

fn stdio() -> Result<(), MainError> {
    leave_no_file();
    let stop = Stop::default();
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).map_err(MainError::Signals)?;
    }
    serve_offer(&mut Standard::new(stop))?;
    Ok(())
}

fn receive(path: &str, to: &str) -> Result<(), MainError> {
    let unreadable = |source| MainError::TicketFile { path: path.to_owned(), source };
    let mut text = Zeroizing::new(String::with_capacity(TEXT_LIMIT + 64));
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(TEXT_LIMIT as u64 + 64).read_to_string(&mut text).map_err(unreadable)?;
    let ticket = Ticket::parse(&text)
        .map_err(|source| MainError::Ticket { path: path.to_owned(), source })?;
    let landed = receive_ticket(&ticket, Path::new(to))?;
    say(&format!("{} ({} files, {} bytes)\n", landed.path, landed.files, landed.bytes));
    Ok(())
}

fn say(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// The error, its causes under it, then a hint.
fn explain(error: &MainError) {
    let mut text = format!("error: {error}\n");
    let mut cause = error.source();
    while let Some(one) = cause {
        text.push_str(&format!("  caused by: {one}\n"));
        cause = one.source();
    }
    if let MainError::Receive(error) = error
        && let Some(hint) = error.hint()
    {
        text.push_str(&format!("hint: {hint}\n"));
    }
    // Nobody may listen any more.
    let _ = std::io::stderr().write_all(text.as_bytes());
}
