//! A transfer, from hello to receipt.

use std::io::{Read, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use sealock_transfer::archive;
use sealock_transfer::identify::{Evidence, identify};
use sealock_transfer::landing::{Landed, Landing, LandingError, Root};
use sealock_transfer::offer::{Offer, Reach, Wanted};
use sealock_transfer::plan::Plan;
use sealock_transfer::receipt::Receipt;
use sealock_transfer::session::{Introduction, Terms, greet};
use sealock_transfer::stream::OpeningReader;
use sealock_transfer::ticket::Ticket;
use sealock_transfer::wire::{self, Kind, Refusal, WireError};
use zeroize::Zeroizing;

use crate::error::ReceiveError;
use crate::{listener, surroundings};

/// Reads an offer from `channel` and does what it says. Whatever stops it is told to the sender.
pub fn serve_offer(channel: &mut (impl Read + Write)) -> Result<Landed, ReceiveError> {
    let outcome = serve(channel);
    if let Err(error) = &outcome {
        refuse(channel, error);
    }
    outcome
}

fn serve(channel: &mut (impl Read + Write)) -> Result<Landed, ReceiveError> {
    let message = Zeroizing::new(expect(channel, Kind::Offer, "an offer")?);
    let offer = Offer::decode(&message).map_err(ReceiveError::Offer)?;
    drop(message);
    let found = identify(&surroundings::sources(), offer.bound.network_of.as_ref())
        .map_err(ReceiveError::Unidentified)?;
    let started = surroundings::started();
    let terms = Terms::of_receiver(&offer, &found, started).map_err(ReceiveError::Session)?;
    let introduction =
        Introduction { container: Some(found.container), evidence: found.evidence, started };
    match &offer.reach {
        Reach::Here => take(channel, terms, &introduction, &offer.wanted),
        Reach::Url(address) => {
            let mut connection = listener::open(address)?;
            let landed = take(&mut connection, terms, &introduction, &offer.wanted);
            close(&mut connection, landed)
        }
    }
}

/// Gets what a ticket stands for into the folder `to`.
pub fn receive_ticket(ticket: &Ticket, to: &Path) -> Result<Landed, ReceiveError> {
    let now = now_millis() / 1000;
    if now > ticket.expires {
        return Err(ReceiveError::Expired { seconds: now - ticket.expires });
    }
    let folder = absolute(to)?;
    // A single file keeps its name inside the folder.
    let path = if ticket.one_file.is_some() { format!("{folder}/") } else { folder };
    let wanted = Wanted {
        path,
        one_file: ticket.one_file.clone(),
        owner: None,
        mode: None,
        announced: ticket.announced,
        memory_only: false,
    };
    let introduction =
        Introduction { container: None, evidence: Evidence::default(), started: None };
    let mut connection = listener::open(&ticket.address)?;
    let landed = take(&mut connection, Terms::of_ticket(ticket), &introduction, &wanted);
    close(&mut connection, landed)
}

fn absolute(path: &Path) -> Result<String, ReceiveError> {
    let system = |source| ReceiveError::System { operation: "name the folder", source };
    let absolute = std::path::absolute(path).map_err(system)?;
    let text = absolute.to_str().ok_or_else(|| system(std::io::ErrorKind::InvalidInput.into()))?;
    Ok(text.trim_end_matches('/').to_owned())
}

/// Says on a connection of our own why nothing was taken, and ends it in order.
fn close(
    connection: &mut listener::Connection,
    outcome: Result<Landed, ReceiveError>,
) -> Result<Landed, ReceiveError> {
    if let Err(error) = &outcome {
        refuse(connection, error);
    }
    connection.conn.send_close_notify();
    // What was to be said has been; the other side may be gone.
    let _ = connection.flush();
    outcome
}

/// The session proper.
fn take(
    channel: &mut (impl Read + Write),
    terms: Terms,
    introduction: &Introduction,
    wanted: &Wanted,
) -> Result<Landed, ReceiveError> {
    let (transfer, container) = (terms.transfer(), terms.container());
    let (hello, greeted) = greet(terms, introduction).map_err(ReceiveError::Session)?;
    // Before anything is sent for nothing, the destination is made ready.
    let landing = begin(wanted)?;
    wire::write(channel, Kind::Hello, &hello).map_err(ReceiveError::Wire)?;
    let answer = expect(channel, Kind::Encapsulation, "an encapsulation")?;
    let keys = greeted.complete(&answer).map_err(ReceiveError::Session)?;
    let mut archive = OpeningReader::new(keys.opener, &mut *channel);
    let landed = unpack(&mut archive, landing, wanted)?;
    let receipt = Receipt {
        transfer,
        container,
        evidence: introduction.evidence,
        at: now_millis(),
        landed: landed.clone(),
    };
    wire::write(channel, Kind::Receipt, &keys.receipt.sign(&receipt))
        .map_err(ReceiveError::Wire)?;
    Ok(landed)
}

fn begin(wanted: &Wanted) -> Result<Landing, ReceiveError> {
    let failed = |source| ReceiveError::Landing { path: wanted.path.clone(), source };
    let root = Root::here().map_err(failed)?;
    let destination = root.settle(&wanted.path, wanted.one_file.as_deref()).map_err(failed)?;
    let owner = wanted.owner.as_ref().map(|owner| root.owner_ids(owner)).transpose();
    let plan = Plan {
        destination,
        owner: owner.map_err(failed)?,
        mode: wanted.mode,
        announced: wanted.announced,
        memory_only: wanted.memory_only,
    };
    Landing::begin(&root, &plan).map_err(failed)
}

fn unpack(
    archive: &mut OpeningReader<impl Read>,
    mut landing: Landing,
    wanted: &Wanted,
) -> Result<Landed, ReceiveError> {
    archive::read(archive, wanted.shape(), wanted.announced, &mut landing)
        .map_err(ReceiveError::Archive)?;
    let sent = archive.trailer().ok_or(ReceiveError::Digest)?;
    if sent.sha256 != landing.sha256() {
        return Err(ReceiveError::Digest);
    }
    let failed = |source: LandingError| ReceiveError::Landing { path: wanted.path.clone(), source };
    landing.finish().map_err(failed)
}

fn expect(
    channel: &mut impl Read,
    wanted: Kind,
    expected: &'static str,
) -> Result<Vec<u8>, ReceiveError> {
    let mut body = Vec::new();
    match wire::read(channel, &mut body).map_err(ReceiveError::Wire)? {
        found if found == wanted => Ok(body),
        Kind::Refusal => {
            let refusal = Refusal::decode(&body);
            let text =
                refusal.map_or_else(|_| "it does not say why".into(), |refusal| refusal.text);
            Err(ReceiveError::Refused(text))
        }
        found => Err(ReceiveError::Wire(WireError::Unexpected { found, expected })),
    }
}

fn refuse(channel: &mut impl Write, error: &ReceiveError) {
    // The sender may be gone: that is one of the reasons to be here.
    let _ = wire::write(channel, Kind::Refusal, &error.refusal().encode());
}

fn now_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
