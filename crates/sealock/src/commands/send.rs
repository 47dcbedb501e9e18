//! `sealock send`

use std::path::PathBuf;
use std::time::Duration;

use indicatif::ProgressBar;
use parking_lot::Mutex;
use sealock_control::command::{self, Command, Reply, TransferFinish};
use sealock_core::SystemClock;
use sealock_core::policy::ContainerFacts;
use sealock_delivery::carriers::{Carrier, CarrierChoice, Progress};
use sealock_delivery::labels::{Reload, own_names};
use sealock_delivery::send::{Receipt, SendError, SendRequest, send};
use sealock_delivery::sources::Source;
use sealock_engine::{Container, Engine};

use super::session::{Session, unexpected};
use crate::args::{CarrierArg, SendArgs};
use crate::printer::{Failure, Printer, progress_bar};

/// Between two looks whether a container runs.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How long the state folder stays ours while something is sent: most files are there by then.
const KEPT_OPEN: Duration = Duration::from_millis(200);

/// Asks policy, sends, and records the receipt.
pub(crate) fn run(
    arguments: &SendArgs,
    session: &Session,
    printer: Printer,
) -> Result<(), Failure> {
    let (sources, container, destination) = split(&arguments.paths)?;
    let request = SendRequest {
        sources,
        container,
        destination,
        carrier: choice(arguments.carrier),
        owner: arguments.owner.as_deref().map(parse).transpose()?,
        mode: arguments.mode,
        memory_only: false,
        after: after(arguments)?,
    };
    session.prepare();
    session.wait(carry(request, session, printer))
}

async fn carry(request: SendRequest, session: &Session, printer: Printer) -> Result<(), Failure> {
    let engine = session.engine().await?;
    let container = engine.inspect_running(&request.container).await.map_err(|error| {
        let failure =
            Failure::refused(format!("cannot send to {}", request.container)).caused_by(&error);
        error.hint().into_iter().fold(failure, Failure::hint)
    })?;
    let transfer = begin(&request, &container, session).await?;
    let bar = Bar::new(printer);
    let sent = sent_or_interrupted(&engine, request, &bar, session).await;
    bar.finish();
    match sent {
        Ok(receipt) => {
            finish(&transfer, &receipt, session).await?;
            printer.either(&receipt, text)
        }
        Err(Stopped::By(SendError::After { receipt, source })) => {
            finish(&transfer, &receipt, session).await?;
            printer.either(&*receipt, text)?;
            Err(Failure::refused("the files are in place, but the container was not told")
                .caused_by(&source))
        }
        Err(Stopped::By(error)) => {
            let failure = Failure::from_error(&error);
            let failure = error.hint().into_iter().fold(failure, Failure::hint);
            fail(&transfer, &error_line(&error), session).await;
            Err(failure)
        }
        Err(Stopped::Interrupted) => {
            fail(&transfer, "interrupted", session).await;
            Err(Failure::refused("interrupted; the old content stands").code(130))
        }
    }
}

/// Delivers secrets into a container that is just being started, unless `ended` says that it is gone. Their digest is
/// not recorded: of a guessable value it would tell the value.
pub(super) async fn deliver(
    request: SendRequest,
    session: &Session,
    within: Duration,
    ended: impl FnMut() -> bool,
) -> Result<(), Failure> {
    let engine = session.engine().await?;
    let container = running(&engine, &request.container, within, ended).await?;
    let transfer = begin(&request, &container, session).await?;
    let sending = tokio::time::timeout(within, send(&engine, &SystemClock, request, &Silent));
    match sending.await {
        Ok(Ok(mut receipt)) => {
            command::WITHHELD.clone_into(&mut receipt.sha256);
            finish(&transfer, &receipt, session).await
        }
        Ok(Err(error)) => {
            fail(&transfer, &error_line(&error), session).await;
            let failure = Failure::from_error(&error);
            Err(error.hint().into_iter().fold(failure, Failure::hint))
        }
        Err(_) => {
            let text = "the secrets did not arrive in time";
            fail(&transfer, text, session).await;
            Err(Failure::refused(text).hint("--timeout gives them longer"))
        }
    }
}

/// The container, once it runs.
async fn running(
    engine: &Engine,
    id: &str,
    within: Duration,
    mut ended: impl FnMut() -> bool,
) -> Result<Container, Failure> {
    let began = tokio::time::Instant::now();
    loop {
        let error = match engine.inspect(id).await {
            Ok(container) if container.running && container.pid.is_some() && !container.paused => {
                return Ok(container);
            }
            // It was started once and runs no more.
            Ok(container) if container.started_at.is_some() && !container.running => {
                return Err(Failure::refused("the container ended before its secrets were there")
                    .hint("see `docker logs` of it, without --rm"));
            }
            Ok(_) => None,
            Err(error) => Some(error),
        };
        if ended() || began.elapsed() >= within {
            let failure = Failure::refused("the container did not start");
            let failure = error.iter().fold(failure, |failure, error| failure.caused_by(error));
            return Err(failure.hint("is it in the engine that sealock uses (--docker)?"));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Nobody watches.
struct Silent;

impl Progress for Silent {
    fn begins(&self, _: Carrier, _: u64, _: u64) {}

    fn passed_over(&self, _: Carrier, _: &str) {}

    fn arrived(&self, _: u64) {}
}

enum Stopped {
    By(SendError),
    Interrupted,
}

/// Dropping the transfer stops it and clears its staging away. What takes longer does not keep others
/// from the state folder.
async fn sent_or_interrupted(
    engine: &Engine,
    request: SendRequest,
    bar: &Bar,
    session: &Session,
) -> Result<Receipt, Stopped> {
    let sending = send(engine, &SystemClock, request, bar);
    tokio::pin!(sending);
    tokio::select! {
        sent = &mut sending => return sent.map_err(Stopped::By),
        _ = tokio::signal::ctrl_c() => return Err(Stopped::Interrupted),
        () = tokio::time::sleep(KEPT_OPEN) => session.let_go().await,
    }
    tokio::select! {
        sent = &mut sending => sent.map_err(Stopped::By),
        _ = tokio::signal::ctrl_c() => Err(Stopped::Interrupted),
    }
}

/// The error and what led to it, on one line for the audit log.
fn error_line(error: &(dyn std::error::Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

async fn begin(
    request: &SendRequest,
    container: &Container,
    session: &Session,
) -> Result<String, Failure> {
    let wanted = command::TransferBegin {
        container: facts(container),
        path: request.destination.clone(),
        carrier: match request.carrier {
            CarrierChoice::Auto => "auto".to_owned(),
            CarrierChoice::Only(carrier) => carrier.to_string(),
        },
        after: request.after.as_ref().map(ToString::to_string),
    };
    match session.ask_and_keep(Command::TransferBegin(wanted)).await? {
        Reply::Opened(opened) => Ok(opened.transfer),
        other => Err(unexpected(&other)),
    }
}

async fn finish(transfer: &str, receipt: &Receipt, session: &Session) -> Result<(), Failure> {
    let finished = TransferFinish {
        transfer: transfer.to_owned(),
        sha256: receipt.sha256.clone(),
        bytes: receipt.bytes,
        files: receipt.files,
        carrier: Some(receipt.carrier.to_string()),
    };
    session.ask(Command::TransferFinish(finished)).await.map(drop)
}

async fn fail(transfer: &str, error: &str, session: &Session) {
    let failed = Command::TransferFailed { transfer: transfer.to_owned(), error: error.to_owned() };
    // The reason that people need is the transfer's own.
    let _ = session.ask(failed).await;
}

/// What policy can look at.
fn facts(container: &Container) -> ContainerFacts {
    let label = |name: &str| container.labels.get(name).cloned();
    let service = label("com.docker.compose.service");
    let aliases = container.networks.iter().flat_map(|network| network.aliases.iter());
    let names = [&container.name, &container.hostname];
    let names = names.into_iter().chain(&service).chain(aliases).map(String::as_str);
    ContainerFacts {
        id: container.id.clone(),
        name: container.name.clone(),
        image: container.image.clone(),
        service: service.clone(),
        project: label("com.docker.compose.project"),
        labels: container.labels.clone().into_iter().collect(),
        own_names: own_names(names).into_iter().map(|name| name.to_string()).collect(),
        ..ContainerFacts::default()
    }
}

fn split(paths: &[String]) -> Result<(Vec<Source>, String, String), Failure> {
    let (target, sources) = paths.split_last().ok_or_else(|| Failure::usage("nothing to send"))?;
    let (container, path) = target
        .split_once(':')
        .filter(|(container, path)| !container.is_empty() && path.starts_with('/'))
        .ok_or_else(|| {
            Failure::usage(format!("`{target}` is not CONTAINER:/PATH"))
                .hint("the last argument names the container and an absolute path in it")
        })?;
    let source = |text: &String| match text.as_str() {
        "-" => Source::Stream(Box::new(std::io::stdin())),
        path => Source::Path(PathBuf::from(path)),
    };
    Ok((sources.iter().map(source).collect(), container.to_owned(), path.to_owned()))
}

fn choice(carrier: CarrierArg) -> CarrierChoice {
    match carrier {
        CarrierArg::Auto => CarrierChoice::Auto,
        CarrierArg::Direct => CarrierChoice::Only(Carrier::Direct),
        CarrierArg::Exec => CarrierChoice::Only(Carrier::Exec),
        CarrierArg::Url => CarrierChoice::Only(Carrier::Url),
    }
}

fn after(arguments: &SendArgs) -> Result<Option<Reload>, Failure> {
    let signal = arguments.signal.as_ref().map(|signal| format!("signal:{signal}"));
    let command = arguments.exec.as_ref().map(|command| format!("exec:{command}"));
    signal.or(command).as_deref().map(parse).transpose()
}

fn parse<T: std::str::FromStr<Err: std::error::Error + 'static>>(text: &str) -> Result<T, Failure> {
    text.parse().map_err(|error| {
        let failure = Failure::from_error(&error);
        failure.code(crate::printer::exit::USAGE)
    })
}

fn text(receipt: &Receipt) -> String {
    let done = match (receipt.changed, receipt.replaced) {
        (false, _) => "already there, unchanged",
        (true, true) => "replaced what was there",
        (true, false) => "new",
    };
    let files = if receipt.files == 1 { "file" } else { "files" };
    format!(
        "{}:{}  {done}\n  {} {files}, {} bytes, SHA-256 {}\n  by {}, transfer {}",
        receipt.name,
        receipt.path,
        receipt.files,
        receipt.bytes,
        receipt.sha256,
        receipt.carrier,
        receipt.transfer,
    )
}

/// Progress on a terminal.
struct Bar {
    printer: Printer,
    bar: Mutex<ProgressBar>,
}

impl Bar {
    fn new(printer: Printer) -> Self {
        Self { printer, bar: Mutex::new(ProgressBar::hidden()) }
    }

    fn finish(&self) {
        self.bar.lock().finish_and_clear();
    }
}

impl Progress for Bar {
    fn begins(&self, _carrier: Carrier, bytes: u64, _files: u64) {
        *self.bar.lock() = progress_bar(self.printer, bytes);
    }

    fn passed_over(&self, carrier: Carrier, reason: &str) {
        if self.printer.explains() {
            self.printer.note(format!("not by {carrier}: {reason}"));
        }
    }

    fn arrived(&self, bytes: u64) {
        self.bar.lock().set_position(bytes);
    }
}
