//! Sealed, through `docker exec`, to the receiver inside the container.
//!
//! Works with every engine that can be reached, also one on another machine, and with containers of
//! every kind of network or none. The engine's whole way is not trusted with the content: it carries
//! sealed frames. What it could do is to start the receiver in another container than was meant: that
//! one finds out where it is, and the session's keys bind it (see
//! [`session`](sealock_transfer::session)).
//!
//! The container is identified by its full id and by when its run began, both as they were *before* the
//! receiver was started. Whether another run has taken its place since is looked at twice: the receiver
//! compares with what its kernel shows, and this side asks the engine again once the receiver runs. Where
//! the two disagree the clock was set since the container started (as after a pause of a virtual
//! machine); the engine's word then stands, and the transfer is made anew without the comparison.

use sealock_engine::{Container, Engine, EngineError};
use sealock_transfer::container::ContainerId;
use sealock_transfer::landing::{Landed, LandingError};
use sealock_transfer::offer::{Bound, Offer, OneTimeSecret, Reach, TransferId, Wanted};
use sealock_transfer::plan::DestinationError;
use sealock_transfer::session::Terms;
use sealock_transfer::wire::{self, Kind, Reason, WireError};
use tokio::io::AsyncWriteExt;

use super::receiver::{Attempt, Ways};
use super::sealed::{self, Met, SealedError};
use super::{Carrier, CarrierError, Job};

/// Carries one job.
pub(crate) async fn carry(job: &Job<'_>) -> Result<Landed, CarrierError> {
    match carry_once(job, Clock::Compared).await {
        Err(error) if clock_was_set(job, &error).await? => carry_once(job, Clock::Set).await,
        other => other,
    }
}

/// Whether what the container's kernel says of its start can be compared with what the engine says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clock {
    /// As far as is known.
    Compared,
    /// No: it was set in between.
    Set,
}

/// Whether the receiver took the container's run for another one, and it is still the same.
pub(crate) async fn clock_was_set(
    job: &Job<'_>,
    error: &CarrierError,
) -> Result<bool, CarrierError> {
    let CarrierError::Sealed(sealed) = error else {
        return Ok(false);
    };
    let refused = matches!(&**sealed, SealedError::Refused(said) if said.reason == Reason::Run);
    if refused {
        still_running(job).await?;
    }
    Ok(refused)
}

async fn carry_once(job: &Job<'_>, clock: Clock) -> Result<Landed, CarrierError> {
    let offer = offer(job, Reach::Here, clock).await?;
    let terms = Terms::of_sender(&offer);
    let (mut attempt, met) = start(job, &offer, &terms, Carrier::Exec).await?;
    job.progress.begins(Carrier::Exec, job.load.announced().bytes, job.load.files());
    let receiver = &mut attempt.receiver;
    let streams = (&mut receiver.output, &mut receiver.input);
    let total = job.load.announced().bytes;
    let arrived = |bytes: u64| job.progress.arrived(bytes.min(total));
    let outcome = sealed::deliver(met, &terms, job.load, streams, &arrived).await;
    // The receiver has nothing more to expect; it ends by itself as well.
    let _ = receiver.input.shutdown().await;
    match outcome {
        Ok(receipt) => Ok(receipt.landed),
        Err(error) => Err(explain(job, Carrier::Exec, error).await),
    }
}

/// What is offered to the receiver in the job's container.
pub(crate) async fn offer(
    job: &Job<'_>,
    reach: Reach,
    clock: Clock,
) -> Result<Offer, CarrierError> {
    let relative = || DestinationError::Relative(job.destination.chars().take(120).collect());
    if !job.destination.starts_with('/') {
        return Err(LandingError::Destination(relative()).into());
    }
    if job.destination.chars().any(char::is_control) {
        let path = job.destination.escape_debug().take(120).collect();
        return Err(LandingError::Destination(DestinationError::NotPlain(path)).into());
    }
    let mut bound = bound(job.engine, job.container).await?;
    bound.start_shows &= clock == Clock::Compared;
    let secret = OneTimeSecret::generate().ok_or_else(no_randomness)?;
    Ok(Offer {
        transfer: TransferId::from_bytes(job.transfer),
        secret,
        bound,
        reach,
        wanted: Wanted {
            path: job.destination.to_owned(),
            one_file: job.load.one_file().map(str::to_owned),
            owner: job.owner.cloned(),
            mode: job.mode.map(|mode| mode & 0o777),
            announced: job.load.announced(),
            memory_only: job.memory_only,
        },
    })
}

fn no_randomness() -> CarrierError {
    CarrierError::System {
        operation: "find a secret for the transfer",
        source: std::io::Error::other("no random bytes"),
    }
}

/// For whom: as the engine names it.
async fn bound(engine: &Engine, container: &Container) -> Result<Bound, CarrierError> {
    let not_named = || CarrierError::System {
        operation: "read what the engine says of the container",
        source: std::io::ErrorKind::InvalidData.into(),
    };
    let started = container.started_at.as_ref().map(|started| started.unix_nanoseconds());
    let started = started.and_then(|nanoseconds| u64::try_from(nanoseconds).ok());
    let network_of = match container.network_mode.strip_prefix("container:") {
        None => None,
        Some(other) => match ContainerId::parse(other) {
            Some(id) => Some(id),
            None => ContainerId::parse(&engine.inspect(other).await?.id),
        },
    };
    Ok(Bound {
        container: ContainerId::parse(&container.id).ok_or_else(not_named)?,
        started: started.ok_or_else(not_named)?,
        start_shows: container.pid_mode.is_empty() || container.pid_mode == "private",
        network_of,
    })
}

/// Starts a receiver, by the first way on which one says hello to the offer.
async fn start(
    job: &Job<'_>,
    offer: &Offer,
    terms: &Terms,
    carrier: Carrier,
) -> Result<(Attempt, Met), CarrierError> {
    let mut ways = Ways::find(job.engine, job.container, carrier).await?;
    loop {
        let mut attempt = ways.next().await?;
        match greet(&mut attempt, offer, terms).await {
            Ok(met) => {
                attempt.spoke();
                // The run that it was started in is the one that the keys are bound to.
                still_running(job).await?;
                return Ok((attempt, met));
            }
            Err(error) if speaks_otherwise(&error) => {
                let reason = attempt.give_up().await;
                // The container may have stopped, and then no way leads anywhere.
                still_running(job).await?;
                ways.failed(reason);
            }
            Err(error) => {
                let said = explain(job, carrier, error).await;
                attempt.give_up().await;
                return Err(said);
            }
        }
    }
}

async fn greet(attempt: &mut Attempt, offer: &Offer, terms: &Terms) -> Result<Met, SealedError> {
    write_offer(attempt, offer).await?;
    sealed::meet(terms, &mut attempt.receiver.output).await
}

/// Gives the offer, and with it the secret, to the receiver's standard input.
pub(crate) async fn write_offer(attempt: &mut Attempt, offer: &Offer) -> Result<(), SealedError> {
    let message = wire::message(Kind::Offer, &offer.encode()).map_err(SealedError::Stream)?;
    let message = zeroize::Zeroizing::new(message);
    match sealed::write(&mut attempt.receiver.input, &message).await {
        // A program that was not started does not read; what it says comes on its output.
        Err(error) if error.is_loss() => Ok(()),
        other => other,
    }
}

/// What is there is no receiver that speaks our protocol, or it did not start: another may.
pub(crate) fn speaks_otherwise(error: &SealedError) -> bool {
    match error {
        SealedError::Stream(WireError::Ended | WireError::Foreign | WireError::Stream(_)) => true,
        SealedError::Refused(refusal) => refusal.reason == Reason::Version,
        _ => false,
    }
}

pub(crate) async fn still_running(job: &Job<'_>) -> Result<(), CarrierError> {
    let stopped = || CarrierError::Stopped { container: job.container.name.clone() };
    match job.engine.inspect_running(&job.container.id).await {
        Ok(now) if now.started_at == job.container.started_at => Ok(()),
        Ok(_) | Err(EngineError::NotRunning { .. } | EngineError::NoSuchContainer { .. }) => {
            Err(stopped())
        }
        Err(error) => Err(error.into()),
    }
}

/// Says why a transfer failed: that the container stopped, that this carrier cannot work here, or what
/// the two ends have said.
pub(crate) async fn explain(job: &Job<'_>, carrier: Carrier, error: SealedError) -> CarrierError {
    if error.is_loss()
        && let Err(stopped) = still_running(job).await
    {
        return stopped;
    }
    match error {
        SealedError::Refused(refusal)
            if matches!(refusal.reason, Reason::Unidentified | Reason::Listener) =>
        {
            CarrierError::Unsupported { carrier, reason: refusal.text }
        }
        other => other.into(),
    }
}
