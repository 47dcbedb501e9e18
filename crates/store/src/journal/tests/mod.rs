//! What the tests of the journal share: stores that fail, restart or lie, and a signer.

mod commit;
mod model;
mod verify;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use aws_lc_rs::hmac;
use sealock_core::audit::{Event, Fact};
use sealock_core::{SystemClock, Timestamp};
use tempfile::TempDir;

use super::*;
use crate::{Conflict, KeyRange, Sequence, SqliteStore, StoreError, Transaction, Versioned, Watch};

fn event(reason: &str) -> Event {
    Event {
        at: Timestamp::from_secs(1),
        who: "uid:0".into(),
        request: "r".into(),
        decision: None,
        fact: Fact::Denied { reason: reason.into() },
    }
}

fn reason(record: &sealock_core::audit::Record) -> &str {
    match &record.event.fact {
        Fact::Denied { reason } => reason,
        other => panic!("{other:?}"),
    }
}

fn creating(key: &str) -> Change {
    Change::new(Transaction::new().create(key, "x"), event(key))
}

fn sqlite(folder: &TempDir) -> Arc<dyn Store> {
    Arc::new(SqliteStore::open(&folder.path().join("state.db"), Arc::new(SystemClock)).unwrap())
}

fn open(store: &Arc<dyn Store>) -> Arc<Journal> {
    Journal::open(Arc::clone(store), Arc::new(SystemClock)).unwrap()
}

fn scratch() -> (TempDir, Arc<dyn Store>, Arc<Journal>) {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(&folder);
    let journal = open(&store);
    (folder, store, journal)
}

/// For chains that have no checkpoint.
fn no_signatures(_: &str, _: &[u8], _: &[u8]) -> Result<(), String> {
    Err("there should be none".into())
}

/// Signs with a MAC, which is signature enough for the journal.
#[derive(Debug)]
struct Mac(hmac::Key);

impl Mac {
    fn new(key: &[u8]) -> Arc<Self> {
        Arc::new(Self(hmac::Key::new(hmac::HMAC_SHA256, key)))
    }
}

impl CheckpointSigner for Mac {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        Ok(hmac::sign(&self.0, message).as_ref().to_vec())
    }

    fn certificate_pem(&self) -> String {
        "the signer".into()
    }
}

impl SignatureCheck for Mac {
    /// Does not look at the certificate, so that a change to it is left for the chain to find.
    fn check(&self, _: &str, message: &[u8], signature: &[u8]) -> Result<(), String> {
        hmac::verify(&self.0, message, signature).map_err(|_| "not of this key".into())
    }
}

/// A store whose commits can be made to fail after all was asked of them, or to begin anew.
#[derive(Debug)]
struct Moody {
    inner: Arc<dyn Store>,
    full: AtomicBool,
    restarts: AtomicUsize,
}

impl Moody {
    fn new(inner: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self { inner, full: AtomicBool::new(false), restarts: AtomicUsize::new(0) })
    }
}

/// Runs through a sequence as an optimistic engine would before it finds that it must begin anew.
fn rehearse(sequence: &mut dyn Sequence) {
    sequence.restart();
    let mut revision = 1_000_000;
    while sequence.next().is_some() {
        revision += 1;
        sequence.outcome(Ok(Revision(revision)));
    }
}

impl Store for Moody {
    fn get(&self, key: &[u8]) -> Result<Option<Versioned>, StoreError> {
        self.inner.get(key)
    }

    fn range(
        &self,
        range: &KeyRange,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Versioned)>, StoreError> {
        self.inner.range(range, limit)
    }

    fn commit_sequence(&self, sequence: &mut dyn Sequence) -> Result<(), StoreError> {
        if self.full.load(Ordering::SeqCst) {
            rehearse(sequence);
            let source = std::io::Error::from(std::io::ErrorKind::StorageFull).into();
            return Err(StoreError::Full { path: "state.db".into(), source });
        }
        for _ in 0..self.restarts.load(Ordering::SeqCst) {
            rehearse(sequence);
        }
        self.inner.commit_sequence(sequence)
    }

    fn watch(&self, prefix: &[u8]) -> Result<Watch, StoreError> {
        self.inner.watch(prefix)
    }

    fn sweep(&self) -> Result<u64, StoreError> {
        self.inner.sweep()
    }
}

/// The smallest executor: proves that the journal needs no particular one.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        thread::park();
    }
}

fn conflict<T: std::fmt::Debug>(outcome: Result<T, JournalError>) -> Conflict {
    match outcome {
        Err(JournalError::Conflict(conflict)) => conflict,
        other => panic!("{other:?}"),
    }
}
