//! `sealock offer` and `sealock receive`

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use sealock_control::command::{self, Command, Reply};
use sealock_core::SystemClock;
use sealock_delivery::offer::{OfferError, OfferEvent, OfferRequest, Offering, Taken};
use sealock_delivery::sources::Source;
use sealock_receiver::receive_ticket;
use sealock_transfer::ticket::Ticket;
use tokio::sync::mpsc;

use super::files;
use super::session::{Session, unexpected};
use crate::args::{OfferArgs, ReceiveArgs};
use crate::printer::{Failure, Printer};

/// Offers files until they are taken or the time is over.
pub(crate) fn run(
    arguments: OfferArgs,
    session: &Session,
    printer: Printer,
) -> Result<(), Failure> {
    session.wait(offer(arguments, session, printer))
}

async fn offer(arguments: OfferArgs, session: &Session, printer: Printer) -> Result<(), Failure> {
    let listen = match arguments.listen {
        Some(address) => address,
        None => SocketAddr::new(bridge(session).await, 0),
    };
    let request = OfferRequest {
        sources: arguments.files.into_iter().map(Source::Path).collect(),
        ttl: arguments.ttl,
        listen,
        advertise: arguments.advertise,
    };
    let offering = Offering::open(request, &SystemClock).await.map_err(|error| failure(&error))?;
    let begin = Command::OfferBegin { bytes: offering.bytes(), ttl: arguments.ttl.as_secs() };
    let transfer = match session.ask(begin).await? {
        Reply::Opened(opened) => opened.transfer,
        other => return Err(unexpected(&other)),
    };
    files::write_new(&arguments.ticket_out, offering.ticket().as_bytes(), 0o600)?;
    printer.note(format!(
        "The ticket is in {}. It is good once, until {}, for whoever holds it: no container is bound.",
        arguments.ticket_out.display(),
        offering.expires()
    ));
    let outcome = serve(offering, &transfer, arguments.no_linger, session, printer).await;
    // A ticket that is used up or over is of no use; one that could not be removed is no secret now.
    let _ = fs::remove_file(&arguments.ticket_out);
    outcome
}

/// Where containers on Docker's own bridge, image builds among them, reach this host.
async fn bridge(session: &Session) -> IpAddr {
    let found = match session.engine().await {
        Ok(engine) if engine.is_local() => engine.gateway("bridge").await.ok().flatten(),
        _ => None,
    };
    found.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

async fn serve(
    offering: Offering,
    transfer: &str,
    no_linger: bool,
    session: &Session,
    printer: Printer,
) -> Result<(), Failure> {
    let (sender, mut events) = mpsc::unbounded_channel();
    // Nobody listens any more once the offer has ended.
    let tell = move |event| drop(sender.send(event));
    let mut served = Box::pin(offering.serve(&tell));
    let mut taken = None;
    loop {
        tokio::select! {
            biased;
            Some(event) = events.recv() => {
                record(transfer, &event, session).await?;
                if let Some(report) = show(event, printer)? {
                    taken = Some(report);
                    if no_linger {
                        return Ok(());
                    }
                }
            }
            outcome = &mut served => return end(transfer, outcome, session).await,
            _ = tokio::signal::ctrl_c() => {
                return if taken.is_some() { Ok(()) } else { withdrawn(transfer, session).await };
            }
        }
    }
}

/// Tells what happened; `Some` when it was taken.
fn show(event: OfferEvent, printer: Printer) -> Result<Option<Taken>, Failure> {
    match event {
        OfferEvent::Taken(taken) => {
            let report = serde_json::json!({
                "peer": taken.peer, "path": taken.path, "sha256": taken.sha256,
                "bytes": taken.bytes, "files": taken.files,
            });
            printer.either(&report, |_| {
                format!(
                    "taken by {}, now at {} there\n  {} bytes, SHA-256 {}",
                    taken.peer, taken.path, taken.bytes, taken.sha256
                )
            })?;
            Ok(Some(taken))
        }
        OfferEvent::Refused { peer, reason } => {
            printer.note(format!("refused {peer}: {reason}"));
            Ok(None)
        }
    }
}

async fn record(transfer: &str, event: &OfferEvent, session: &Session) -> Result<(), Failure> {
    let event = match event {
        OfferEvent::Taken(taken) => command::OfferEvent::Taken {
            peer: taken.peer.to_string(),
            sha256: taken.sha256.clone(),
        },
        OfferEvent::Refused { peer, reason } => {
            command::OfferEvent::Refused { peer: peer.to_string(), reason: reason.clone() }
        }
    };
    let event = Command::OfferEvent { transfer: transfer.to_owned(), event };
    session.ask(event).await.map(drop)
}

async fn end(
    transfer: &str,
    outcome: Result<Taken, OfferError>,
    session: &Session,
) -> Result<(), Failure> {
    let Err(error) = outcome else { return Ok(()) };
    ended(transfer, &error.to_string(), session).await?;
    Err(failure(&error))
}

async fn withdrawn(transfer: &str, session: &Session) -> Result<(), Failure> {
    ended(transfer, "withdrawn", session).await?;
    Err(Failure::refused("interrupted; the offer is withdrawn").code(130))
}

async fn ended(transfer: &str, reason: &str, session: &Session) -> Result<(), Failure> {
    let event = command::OfferEvent::Ended { reason: reason.to_owned() };
    let event = Command::OfferEvent { transfer: transfer.to_owned(), event };
    session.ask(event).await.map(drop)
}

fn failure(error: &OfferError) -> Failure {
    error.hint().into_iter().fold(Failure::from_error(error), Failure::hint)
}

/// Takes what a ticket offers. Needs no service and no state: it runs in image builds.
pub(crate) fn receive(arguments: &ReceiveArgs, printer: Printer) -> Result<(), Failure> {
    let unusable = || format!("the ticket {} cannot be used", arguments.ticket.display());
    let text = files::read_limited(&arguments.ticket)?;
    let text = std::str::from_utf8(&text).map_err(|_| Failure::usage(unusable()))?;
    let ticket = Ticket::parse(text).map_err(|error| {
        Failure::usage(unusable())
            .caused_by(&error)
            .hint("it is the file that `sealock offer` wrote")
    })?;
    let landed = receive_ticket(&ticket, &arguments.to).map_err(|error| {
        let failure = Failure::refused("nothing was received").caused_by(&error);
        error.hint().into_iter().fold(failure, Failure::hint)
    })?;
    let sha256 = data_encoding::HEXLOWER.encode(&landed.sha256);
    let report = serde_json::json!({
        "path": landed.path, "sha256": sha256, "bytes": landed.bytes, "files": landed.files,
    });
    printer.either(&report, |_| {
        format!("{}  {} files, {} bytes, SHA-256 {sha256}", landed.path, landed.files, landed.bytes)
    })
}
