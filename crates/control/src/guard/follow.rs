//! Holds the feed: begins it again whenever it ends.

use std::sync::Arc;
use std::time::Duration;

use sealock_core::Identity;
use sealock_net::Shutdown;
use sealock_traffic::feed::{Message, Receiver};
use sealock_traffic::gatekeeper::Gatekeeper;

use super::{Advertise, Link};
use crate::error::{ErrorCode, ServiceError};

/// A broker says something every five seconds; one that is silent for longer is not there.
const SILENCE: Duration = Duration::from_secs(15);
/// Before the first try again, and the most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

pub(super) async fn follow(
    gatekeeper: Arc<Gatekeeper>,
    broker: Link,
    service: Identity,
    advertise: Advertise,
    shutdown: Shutdown,
) {
    let mut pause = PAUSES.0;
    // What one feed has said, the next one is held against.
    let mut receiver = Receiver::default();
    loop {
        let mut taken = 0_u64;
        let ended = tokio::select! {
            () = shutdown.triggered() => return,
            ended = once(&gatekeeper, &broker, &service, &advertise, &mut receiver, &mut taken) => ended,
        };
        match ended {
            // Feeds end in order now and then; that is nothing to speak of.
            Ok(()) => tracing::debug!("the feed has ended"),
            Err(error) => {
                tracing::warn!(%error, causes = ?error.causes, hint = error.hint, "no feed from the broker");
            }
        }
        pause = if taken > 0 { PAUSES.0 } else { (pause * 2).min(PAUSES.1) };
        tokio::select! {
            () = shutdown.triggered() => return,
            () = tokio::time::sleep(spread(pause)) => {}
        }
    }
}

/// Half of it to all of it: those who lost the broker together do not come back together.
pub(crate) fn spread(pause: Duration) -> Duration {
    let mut byte = [0];
    // Without randomness all come together, and nothing worse.
    let _ = aws_lc_rs::rand::fill(&mut byte);
    pause / 2 + pause.mul_f32(f32::from(byte[0]) / 512.0)
}

async fn once(
    gatekeeper: &Arc<Gatekeeper>,
    broker: &Link,
    service: &Identity,
    advertise: &Advertise,
    receiver: &mut Receiver,
    taken: &mut u64,
) -> Result<(), ServiceError> {
    let silent = |_| ServiceError::new(ErrorCode::Timeout, "the broker has fallen silent");
    // Who answers with what a stolen CA has signed is not listened to.
    let revoked = gatekeeper.known().map(|known| known.cas).unwrap_or_default();
    // One that takes the question and says nothing at all is not there either.
    let asked = tokio::time::timeout(SILENCE, broker.feed(service.name(), advertise, &revoked));
    let mut lines = asked.await.map_err(silent)??;
    receiver.begin_again();
    loop {
        let line = tokio::time::timeout(SILENCE, lines.next()).await.map_err(silent)?;
        let Some(line) = line else { return Ok(()) };
        let line = line?;
        let gatekeeper = Arc::clone(gatekeeper);
        let mut own = std::mem::take(receiver);
        // To load a policy takes a while, in which others are not to wait.
        let work = tokio::task::spawn_blocking(move || {
            let done = Message::read(&line).and_then(|message| own.take(message, &gatekeeper));
            (done, own)
        });
        let (done, back) = work.await.map_err(|error| {
            ServiceError::new(ErrorCode::Fault, format!("work ended unexpectedly: {error}"))
        })?;
        *receiver = back;
        done.map_err(|error| ServiceError::of(ErrorCode::Failed, &error))?;
        *taken += 1;
    }
}
