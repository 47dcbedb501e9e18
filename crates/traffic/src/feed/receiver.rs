//! A feed at the Gatekeeper's end.

use std::sync::Arc;

use sealock_core::policy::{Modes, Plane, PolicySet};

use super::{FeedError, Message, Policy};
use crate::gatekeeper::{Gatekeeper, Known};
use crate::token::KeySet;

/// One feed, from its snapshot on.
#[derive(Debug, Default)]
pub struct Receiver {
    /// The number of the last revocation, once there was a snapshot.
    last: Option<u64>,
}

impl Receiver {
    /// Takes a message over. It is in force when this returns. After an error the feed is over, and what was known
    /// before still decides.
    ///
    /// # Errors
    /// It does not follow, or cannot be used.
    pub fn take(&mut self, message: Message, gatekeeper: &Gatekeeper) -> Result<(), FeedError> {
        let known = match (message, self.last) {
            (Message::Snapshot(snapshot), _) => {
                let known = Known {
                    issuer: snapshot.issuer,
                    keys: keys(&snapshot.keys)?,
                    policy: policy(&snapshot.policy)?,
                    groups: Arc::new(snapshot.groups.into_iter().collect()),
                    revocations: Arc::new(snapshot.revocations.iter().collect()),
                };
                gatekeeper.know(known);
                self.last = Some(snapshot.last);
                return Ok(());
            }
            (_, None) => return Err(FeedError::NoSnapshot),
            (Message::Keys(text), _) => {
                let keys = keys(&text)?;
                gatekeeper.change(|known| known.keys = keys)
            }
            (Message::Policy { policy: text, groups }, _) => {
                let policy = policy(&text)?;
                let groups = Arc::new(groups.into_iter().collect());
                gatekeeper.change(|known| (known.policy, known.groups) = (policy, groups))
            }
            (Message::Revoked(revocation), Some(known)) => {
                let number = revocation.number;
                if number > known.saturating_add(1) {
                    return Err(FeedError::Gap { known, number });
                }
                self.last = Some(known.max(number));
                gatekeeper.revoke(&revocation)
            }
            (Message::Beat { last }, Some(known)) => {
                if last > known {
                    return Err(FeedError::Gap { known, number: last });
                }
                gatekeeper.heard();
                true
            }
        };
        if known { Ok(()) } else { Err(FeedError::NoSnapshot) }
    }
}

fn keys(text: &str) -> Result<Arc<KeySet>, FeedError> {
    Ok(Arc::new(KeySet::from_json(text.as_bytes())?))
}

fn policy(policy: &Policy) -> Result<Arc<PolicySet>, FeedError> {
    let set = PolicySet::load(&policy.sources, policy.epoch)
        .map_err(|error| FeedError::Policy(error.to_string()))?;
    Ok(Arc::new(set.with_modes(Modes::default().with(Plane::Traffic, policy.mode))))
}
