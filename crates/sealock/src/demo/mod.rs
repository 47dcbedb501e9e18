//! `sealock demo`: the whole thing at work on this host's engine.
//!
//! Nothing is faked: a daemon of this very program is started on a scratch state, containers are made
//! from an image that holds nothing but this program, and every step is looked at from outside before it
//! counts. Whatever was made is removed, also on Ctrl-C and after a failed step. A demo that was killed
//! is cleared away by the next one.

mod company;
mod gate;
mod scenes;
mod server;
mod stage;
mod traffic;
mod vault;

use std::process::ExitCode;

use sealock_control::config::Flags;
use sealock_control::daemon::engine_url;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{DemoArgs, Global};
use crate::commands::session::opening;
use crate::printer::{Failure, Printer};

pub(crate) use server::serve;
use stage::Stage;
pub(crate) use traffic::{app, call};
pub(crate) use vault::look;

/// Plays all scenes; exit code 0 only if every step was seen.
pub(crate) fn run(
    arguments: &DemoArgs,
    global: &Global,
    printer: Printer,
) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::fault("cannot start the runtime").caused_by(&error))?;
    runtime.block_on(perform(arguments, global, printer))
}

async fn perform(
    arguments: &DemoArgs,
    global: &Global,
    printer: Printer,
) -> Result<ExitCode, Failure> {
    let url = engine_url(&opening(global, &Flags::new())?)?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut stage = Stage::prepare(&url).await?;
    let outcome = tokio::select! {
        outcome = scenes::play(&mut stage, printer) => outcome,
        _ = interrupt.recv() => Err(Failure::refused("interrupted").code(130)),
        _ = terminate.recv() => Err(Failure::refused("terminated").code(143)),
    };
    if arguments.keep && outcome.is_ok() {
        printer.line(stage.leave())?;
        return Ok(ExitCode::SUCCESS);
    }
    if outcome.is_err() {
        stage.show_daemon_log(printer);
    }
    stage.clear().await?;
    outcome?;
    printer.line("Everything that the demo made is removed.")?;
    Ok(ExitCode::SUCCESS)
}

fn listen(kind: SignalKind) -> Result<tokio::signal::unix::Signal, Failure> {
    signal(kind).map_err(|error| Failure::fault("cannot listen for signals").caused_by(&error))
}
