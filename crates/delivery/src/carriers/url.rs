//! Sealed, by one request of the receiver over a network that the container is attached to.
//!
//! The receiver is started as by [`exec`](super::exec) and gets the offer on its standard input, but
//! fetches the frames itself, from a [`listener`](super::listener) on the gateway of one of the
//! container's networks (with the host's network: on the loopback address). That takes the engine's
//! stream out of the way for bulk. The listener serves this one transfer and is gone right after.
//!
//! Everything that is bound in an `exec` transfer is bound here too, and the listener's address and
//! certificate as well.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use sealock_engine::Container;
use sealock_transfer::landing::Landed;
use sealock_transfer::offer::{Offer, Reach};
use sealock_transfer::session::Terms;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::exec::{
    Clock, clock_was_set, explain, offer, speaks_otherwise, still_running, write_offer,
};
use super::listener::{Bound, Door, ListenError, Visitor};
use super::receiver::{Attempt, Ways};
use super::sealed::{self, SealedError};
use super::{Carrier, CarrierError, Job};

/// How long the receiver may take to come.
const COMING: Duration = Duration::from_secs(30);

/// Carries one job.
pub(crate) async fn carry(job: &Job<'_>) -> Result<Landed, CarrierError> {
    if !job.engine.is_local() {
        return Err(unsupported("the engine is not on this machine"));
    }
    match carry_once(job, Clock::Compared).await {
        Err(error) if clock_was_set(job, &error).await? => carry_once(job, Clock::Set).await,
        other => other,
    }
}

async fn carry_once(job: &Job<'_>, clock: Clock) -> Result<Landed, CarrierError> {
    let bound = bind(job).await?;
    let offer = offer(job, Reach::Url(bound.address.clone()), clock).await?;
    let terms = Terms::of_sender(&offer);
    let mut door = bound.open(terms.clone());
    let (mut attempt, visitor) = start(job, &offer, &mut door).await?;
    // Nobody else has any business here.
    drop(door);
    job.progress.begins(Carrier::Url, job.load.announced().bytes, job.load.files());
    let total = job.load.announced().bytes;
    let arrived = |bytes: u64| job.progress.arrived(bytes.min(total));
    let Visitor { stream, met, .. } = *visitor;
    let (mut input, mut output) = tokio::io::split(stream);
    let streams = (&mut input, &mut output);
    let outcome = sealed::deliver(met, &terms, job.load, streams, &arrived).await;
    // The receiver ends by itself; these only let it know early.
    let _ = output.shutdown().await;
    let _ = attempt.receiver.input.shutdown().await;
    match outcome {
        Ok(receipt) => Ok(receipt.landed),
        Err(error) => Err(explain(job, Carrier::Url, error).await),
    }
}

/// Starts a receiver, by the first way on which one comes to the door.
async fn start(
    job: &Job<'_>,
    offer: &Offer,
    door: &mut Door,
) -> Result<(Attempt, Box<Visitor>), CarrierError> {
    let mut ways = Ways::find(job.engine, job.container, Carrier::Url).await?;
    loop {
        let mut attempt = ways.next().await?;
        let came = async {
            write_offer(&mut attempt, offer).await?;
            wait(&mut attempt, door).await
        };
        match came.await {
            Ok(visitor) => {
                attempt.spoke();
                still_running(job).await?;
                return Ok((attempt, visitor));
            }
            Err(error) if speaks_otherwise(&error) => {
                let reason = attempt.give_up().await;
                still_running(job).await?;
                ways.failed(reason);
            }
            Err(error) => {
                let said = explain(job, Carrier::Url, error).await;
                attempt.give_up().await;
                return Err(said);
            }
        }
    }
}

/// Waits for the receiver at the door, while it may say on its own output that it does not come.
async fn wait(attempt: &mut Attempt, door: &mut Door) -> Result<Box<Visitor>, SealedError> {
    let coming = async {
        loop {
            match door.next().await {
                Ok(visitor) => return visitor,
                Err(turned) => {
                    tracing::warn!(peer = %turned.peer, reason = turned.reason, "a stranger at a transfer's listener");
                }
            }
        }
    };
    tokio::select! {
        visitor = timeout(COMING, coming) => {
            visitor.map_err(|_| SealedError::Stalled { step: "come to the listener", deadline: COMING })
        }
        error = sealed::refusal(&mut attempt.receiver.output) => Err(error),
    }
}

/// Listens on the first address that the container can reach and that is this machine's.
async fn bind(job: &Job<'_>) -> Result<Bound, CarrierError> {
    let mut reasons = Vec::new();
    for address in addresses(job).await? {
        match Bound::new(SocketAddr::new(address, 0), None).await {
            Ok(bound) => return Ok(bound),
            Err(ListenError::Bind { address, source }) => {
                reasons.push(format!("{}: {source}", address.ip()));
            }
            Err(error) => {
                let source = std::io::Error::other(error);
                return Err(CarrierError::System { operation: "make a listener", source });
            }
        }
    }
    if reasons.is_empty() {
        return Err(unsupported("the container is attached to no network with a gateway"));
    }
    Err(unsupported(&format!("no address to listen on ({})", reasons.join("; "))))
}

async fn addresses(job: &Job<'_>) -> Result<Vec<IpAddr>, CarrierError> {
    let container = job.container;
    if let Some(other) = container.network_mode.strip_prefix("container:") {
        let other = job.engine.inspect(other).await?;
        return Ok(of_networks(&other));
    }
    Ok(of_networks(container))
}

fn of_networks(container: &Container) -> Vec<IpAddr> {
    match container.network_mode.as_str() {
        "host" => vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        "none" => Vec::new(),
        _ => container.networks.iter().filter_map(|network| network.gateway).collect(),
    }
}

fn unsupported(reason: &str) -> CarrierError {
    CarrierError::Unsupported { carrier: Carrier::Url, reason: reason.to_owned() }
}
