//! How many streams an identity has: each holds a connection for minutes, and has work done with every change.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use sealock_core::IdentityKind;

use crate::caller::Caller;
use crate::error::{ErrorCode, ServiceError};

/// Of a service: its instances may all have one identity, the directory has 256 places for them, and while one process takes
/// over from another both are there.
const OF_SERVICE: usize = 512;
/// Of a person or host.
const OF_OTHERS: usize = 16;

/// What is streamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// To Gatekeepers.
    Feed,
    /// To Forwarders.
    Directory,
    /// To those who follow the audit log.
    Audit,
}

impl Kind {
    const fn most(self, kind: IdentityKind) -> usize {
        match (self, kind) {
            (Self::Feed | Self::Directory, IdentityKind::Service) => OF_SERVICE,
            _ => OF_OTHERS,
        }
    }

    const fn what(self) -> &'static str {
        match self {
            Self::Feed => "feeds",
            Self::Directory => "streams of the directory",
            Self::Audit => "followers of the audit log",
        }
    }
}

/// The streams of a door.
#[derive(Debug, Clone, Default)]
pub(crate) struct Streams(Arc<Mutex<HashMap<Key, usize>>>);

type Key = (Kind, String);

/// A stream that is counted as long as this is held.
#[derive(Debug)]
pub(super) struct Open {
    streams: Streams,
    key: Key,
}

impl Streams {
    /// One more.
    ///
    /// # Errors
    /// The caller has as many as it may.
    pub(super) fn open(&self, kind: Kind, caller: &Caller) -> Result<Open, ServiceError> {
        let most = kind.most(caller.principal.identity.kind());
        let key = (kind, caller.who.clone());
        let mut all = self.0.lock();
        let count = all.entry(key.clone()).or_default();
        if *count >= most {
            let text = format!("there are {most} {} of {} already", kind.what(), caller.who);
            return Err(ServiceError::new(ErrorCode::Busy, text)
                .hint("end one of them, or give each instance an identity of its own"));
        }
        *count += 1;
        drop(all);
        Ok(Open { streams: self.clone(), key })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut all = self.streams.0.lock();
        match all.get_mut(&self.key) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                all.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(identity: &str) -> Caller {
        Caller::identified(identity.parse().unwrap(), Vec::new())
    }

    #[test]
    fn each_has_so_many_of_each_kind_and_takes_none_of_others() {
        let streams = Streams::default();
        let (ada, web) = (caller("spiffe://t/human/ada"), caller("spiffe://t/service/web"));
        let mut held: Vec<Open> =
            (0..16).map(|_| streams.open(Kind::Directory, &ada).unwrap()).collect();
        let refused = streams.open(Kind::Directory, &ada).unwrap_err();
        assert_eq!(refused.code, ErrorCode::Busy);
        assert!(refused.message.contains("16") && refused.hint.is_some(), "{refused}");
        let others: Vec<Open> =
            (0..512).map(|_| streams.open(Kind::Directory, &web).unwrap()).collect();
        assert!(streams.open(Kind::Directory, &web).is_err());
        assert!(streams.open(Kind::Feed, &ada).is_ok() && streams.open(Kind::Audit, &web).is_ok());
        held.pop();
        assert!(streams.open(Kind::Directory, &ada).is_ok());
        drop((held, others));
        assert!(streams.0.lock().is_empty(), "who has none is forgotten");
    }
}
