//! A feed at the Gatekeeper's end.

use std::sync::Arc;

use sealock_core::policy::{Modes, Plane, PolicySet};

use super::{FeedError, Message, Policy, Snapshot};
use crate::broker::{Entry, EntryHash, Head, Revocation, RevokedCas};
use crate::gatekeeper::{Gatekeeper, Known};
use crate::token::{KeySet, SKEW};

/// A head is new for so many seconds: a broker signs one every five.
const NEW: u64 = 60;

/// One feed after another, from one broker.
#[derive(Debug, Default)]
pub struct Receiver {
    /// What the feed is at; none before its snapshot.
    log: Option<Log>,
    /// How far the list went on the feed before.
    before: Option<End>,
    /// Whose tokens the first feed was about. No other is taken after it.
    issuer: Option<String>,
}

#[derive(Debug)]
struct Log {
    keys: Arc<KeySet>,
    /// Of the keys, as they were sent.
    named: EntryHash,
    /// Of the revoked CAs, as they were sent.
    cas: EntryHash,
    /// When the snapshot was signed, or the revoked CAs after it.
    at: u64,
    end: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct End {
    number: u64,
    hash: EntryHash,
}

impl Receiver {
    /// The feed is over; the next message is the snapshot of another.
    pub fn begin_again(&mut self) {
        if let Some(log) = self.log.take() {
            self.before = Some(log.end);
        }
    }

    /// Takes a message over. It is in force when this returns. After an error the feed is over, and what was known
    /// before still decides.
    ///
    /// # Errors
    /// It does not follow, is not signed, or cannot be used.
    pub fn take(&mut self, message: Message, gatekeeper: &Gatekeeper) -> Result<(), FeedError> {
        if let Message::Snapshot(snapshot) = message {
            return self.begin(*snapshot, gatekeeper);
        }
        let issuer = self.issuer.as_deref().ok_or(FeedError::NoSnapshot)?;
        let log = self.log.as_mut().ok_or(FeedError::NoSnapshot)?;
        let known = match message {
            Message::Snapshot(_) => return Err(FeedError::NoSnapshot),
            Message::Policy { policy: text, groups } => {
                let policy = policy(&text)?;
                let groups = Arc::new(groups.into_iter().collect());
                gatekeeper.change(|known| (known.policy, known.groups) = (policy, groups))
            }
            Message::Revoked(text) => match log.next(&text, issuer)? {
                Some(revocation) => gatekeeper.revoke(&revocation),
                None => true,
            },
            Message::Cas { cas: text, head } => {
                let cas = log.renewed(&text, &head, issuer)?;
                gatekeeper.revoke_cas(&cas)
            }
            Message::Beat { head } => {
                if log.is_whole(&head, issuer, gatekeeper.now())? {
                    gatekeeper.heard();
                }
                true
            }
        };
        if known { Ok(()) } else { Err(FeedError::NoSnapshot) }
    }

    fn begin(&mut self, snapshot: Snapshot, gatekeeper: &Gatekeeper) -> Result<(), FeedError> {
        let Snapshot { issuer, keys: text, policy: rules, groups, revocations, cas, head } =
            snapshot;
        if self.issuer.as_ref().is_some_and(|known| *known != issuer) {
            return Err(FeedError::OtherIssuer);
        }
        let keys = keys(&text)?;
        if let Some(log) = &self.log {
            log.vouches_for(&head)?;
        }
        let head = opened(&head, &keys, &issuer)?;
        if head.keys != EntryHash::of(&text) {
            return Err(FeedError::OtherKeys);
        }
        let cas = named(&cas, &head)?;
        let age = gatekeeper.now().abs_diff(head.at);
        if age > NEW + SKEW {
            return Err(FeedError::Old { seconds: age });
        }
        let known = self.log.as_ref().map(|log| log.end).or(self.before);
        let (all, seen) = chained(&revocations, &head, &issuer, known)?;
        // Once it is said, it is gone on with: the broker may have been set back to an older state. What was revoked
        // stays so.
        self.before = None;
        if let Some(known) = known
            && known != seen.unwrap_or(known)
        {
            return Err(FeedError::Fork { number: known.number });
        }
        let known = Known {
            issuer: issuer.clone(),
            keys: Arc::clone(&keys),
            policy: policy(&rules)?,
            groups: Arc::new(groups.into_iter().collect()),
            revocations: Arc::new(all.iter().collect()),
            cas: Arc::new(cas),
        };
        gatekeeper.know(known);
        let end = End { number: head.number, hash: head.hash };
        self.log = Some(Log { keys, named: head.keys, cas: head.cas, at: head.at, end });
        self.issuer = Some(issuer);
        Ok(())
    }
}

impl Log {
    /// The revocation that comes next; none for one that came already.
    fn next(&mut self, text: &str, issuer: &str) -> Result<Option<Revocation>, FeedError> {
        let Entry { log, previous, revocation } = Entry::open(text, &self.keys)?;
        if log != issuer {
            return Err(FeedError::OtherIssuer);
        }
        let (number, known) = (revocation.number, self.end.number);
        let hash = EntryHash::of(text);
        if number > known.saturating_add(1) {
            return Err(FeedError::Gap { known, number });
        }
        if number <= known {
            let fits = number < known || hash == self.end.hash;
            return if fits { Ok(None) } else { Err(FeedError::Fork { number }) };
        }
        if previous != self.end.hash {
            return Err(FeedError::Fork { number });
        }
        self.end = End { number, hash };
        Ok(Some(revocation))
    }

    /// That the head of another snapshot on the same feed is by a key that was known before, and is no older one, whose
    /// keys may have been revoked since.
    fn vouches_for(&self, head: &str) -> Result<(), FeedError> {
        let head = Head::open(head, &self.keys).map_err(FeedError::Unvouched)?;
        match self.at.saturating_sub(head.at) {
            0 => Ok(()),
            seconds => Err(FeedError::Old { seconds }),
        }
    }

    /// The revoked CAs that are told of now, if their head is no older than what was told before.
    fn renewed(&mut self, text: &str, head: &str, issuer: &str) -> Result<RevokedCas, FeedError> {
        let head = opened(head, &self.keys, issuer)?;
        if let seconds @ 1.. = self.at.saturating_sub(head.at) {
            return Err(FeedError::Old { seconds });
        }
        if head.keys != self.named {
            return Err(FeedError::OtherKeys);
        }
        let cas = named(text, &head)?;
        (self.cas, self.at) = (head.cas, head.at);
        Ok(cas)
    }

    /// Whether nothing is missing now. A head that is older says nothing.
    fn is_whole(&self, head: &str, issuer: &str, now: u64) -> Result<bool, FeedError> {
        let head = opened(head, &self.keys, issuer)?;
        let known = self.end.number;
        if head.keys != self.named {
            return if head.at < self.at { Ok(false) } else { Err(FeedError::OtherKeys) };
        }
        if head.cas != self.cas {
            return if head.at < self.at { Ok(false) } else { Err(FeedError::OtherCas) };
        }
        if head.number > known {
            return Err(FeedError::Gap { known, number: head.number });
        }
        if head.number == known && head.hash != self.end.hash {
            return Err(FeedError::Fork { number: known });
        }
        Ok(head.number == known && now.abs_diff(head.at) <= NEW + SKEW)
    }
}

fn opened(head: &str, keys: &KeySet, issuer: &str) -> Result<Head, FeedError> {
    let head = Head::open(head, keys)?;
    if head.log == issuer { Ok(head) } else { Err(FeedError::OtherIssuer) }
}

/// The revoked CAs that a head names.
fn named(text: &str, head: &Head) -> Result<RevokedCas, FeedError> {
    if head.cas != EntryHash::of(text) {
        return Err(FeedError::OtherCas);
    }
    RevokedCas::read(text).ok_or(FeedError::Cas)
}

/// The revocations of a snapshot, each of which the next one names, and the head the last; and what stands at the place
/// that the feed before had come to, where that can be seen.
fn chained(
    texts: &[String],
    head: &Head,
    issuer: &str,
    known: Option<End>,
) -> Result<(Vec<Revocation>, Option<End>), FeedError> {
    let mut all = Vec::with_capacity(texts.len());
    let mut end = End { number: head.number, hash: head.hash };
    let mut seen = None;
    let mut look = |end: End| {
        if known.is_some_and(|known| known.number == end.number) {
            seen = Some(end);
        }
    };
    look(end);
    for text in texts.iter().rev() {
        if EntryHash::of(text) != end.hash {
            return Err(FeedError::Fork { number: end.number });
        }
        // The head is signed, and names it by its hash.
        let Entry { log, previous, revocation } = Entry::read(text)?;
        if log != issuer {
            return Err(FeedError::OtherIssuer);
        }
        if revocation.number != end.number {
            return Err(FeedError::Fork { number: end.number });
        }
        all.push(revocation);
        end = End { number: end.number.saturating_sub(1), hash: previous };
        look(end);
    }
    // From there on they matter: none may be left out at the beginning either.
    if end.number.saturating_add(1) != head.from {
        return Err(FeedError::Gap { known: head.from, number: end.number });
    }
    if let Some(known) = known
        && known.number > head.number
    {
        // It goes less far than it did.
        seen = Some(End { number: head.number, hash: head.hash });
    }
    Ok((all, seen))
}

fn keys(text: &str) -> Result<Arc<KeySet>, FeedError> {
    Ok(Arc::new(KeySet::from_json(text.as_bytes())?))
}

fn policy(policy: &Policy) -> Result<Arc<PolicySet>, FeedError> {
    let set = PolicySet::load(&policy.sources, policy.epoch)
        .map_err(|error| FeedError::Policy(error.to_string()))?;
    Ok(Arc::new(set.with_modes(Modes::default().with(Plane::Traffic, policy.mode))))
}
