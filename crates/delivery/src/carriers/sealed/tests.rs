use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::thread::{JoinHandle, spawn};

use futures_util::task::AtomicWaker;
use sealock_core::SecretBytes;
use sealock_transfer::identify::Evidence;
use sealock_transfer::landing::Landed;
use sealock_transfer::offer::{Address, OneTimeSecret, TransferId};
use sealock_transfer::session::{Introduction, greet};
use sealock_transfer::stream::OpeningReader;
use sealock_transfer::ticket::Ticket;
use tokio::io::ReadBuf;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::*;
use crate::sources::Source;

/// Flushes of a transfer whose archive fits into one frame: after the encapsulation, the frame, the last
/// frame, and one for good measure.
const FLUSHES: usize = 4;

fn load() -> Arc<Load> {
    let content = SecretBytes::new(b"content".to_vec());
    let source = Source::Content { name: "file".into(), mode: 0o600, content };
    Arc::new(Load::gather(vec![source]).unwrap())
}

fn terms(load: &Load) -> Terms {
    Terms::of_ticket(&Ticket {
        transfer: TransferId::generate().unwrap(),
        secret: OneTimeSecret::generate().unwrap(),
        address: Address { url: "https://192.0.2.1:1/x".into(), pin: [0; 32] },
        expires: u64::MAX,
        one_file: load.one_file().map(str::to_owned),
        announced: load.announced(),
    })
}

/// Whether the receipt was read, for whoever waits for it.
#[derive(Default)]
struct Heard {
    yes: AtomicBool,
    waker: AtomicWaker,
}

struct Ear(OwnedReadHalf, Arc<Heard>);

impl AsyncRead for Ear {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.0).poll_read(context, buffer))?;
        self.1.yes.store(true, Ordering::SeqCst);
        self.1.waker.wake();
        Poll::Ready(Ok(()))
    }
}

/// Takes every byte at once, but says of one flush that it is done only when the receipt was read.
struct Mouth {
    output: OwnedWriteHalf,
    heard: Arc<Heard>,
    flushes: usize,
    late: usize,
}

impl AsyncWrite for Mouth {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.output).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.flushes + 1 == self.late {
            self.heard.waker.register(context.waker());
            if !self.heard.yes.load(Ordering::SeqCst) {
                return Poll::Pending;
            }
        }
        self.flushes += 1;
        Pin::new(&mut self.output).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.output).poll_shutdown(context)
    }
}

/// A receiver that opens all and lands nothing. `eager` sends its receipt before it has read a frame.
fn receiver(mut stream: UnixStream, terms: Terms, eager: bool) -> JoinHandle<()> {
    spawn(move || {
        let transfer = terms.transfer();
        let introduction =
            Introduction { container: None, evidence: Evidence::default(), started: None };
        let (hello, greeted) = greet(terms, &introduction).unwrap();
        wire::write(&mut stream, Kind::Hello, &hello).unwrap();
        let mut encapsulation = Vec::new();
        assert_eq!(wire::read(&mut stream, &mut encapsulation).unwrap(), Kind::Encapsulation);
        let keys = greeted.complete(&encapsulation).unwrap();
        let sign = |sent: Summary| {
            let landed = Landed {
                path: "/file".into(),
                replaced: false,
                changed: true,
                version: None,
                sha256: sent.sha256,
                bytes: sent.bytes,
                files: sent.files,
            };
            let evidence = Evidence::default();
            keys.receipt.sign(&Receipt { transfer, container: None, evidence, at: 0, landed })
        };
        if eager {
            let early = sign(Summary { sha256: [0; 32], bytes: 7, files: 1 });
            wire::write(&mut stream, Kind::Receipt, &early).unwrap();
        }
        let mut archive = OpeningReader::new(keys.opener, &mut stream);
        archive.read_to_end(&mut Vec::new()).unwrap();
        let sent = archive.trailer().unwrap();
        // The sender of an eager one may be gone by now.
        let _ = wire::write(&mut stream, Kind::Receipt, &sign(sent));
        let _ = stream.flush();
    })
}

async fn transfer(late: usize, eager: bool) -> (Result<Receipt, SealedError>, usize) {
    let load = load();
    let terms = terms(&load);
    let (ours, theirs) = UnixStream::pair().unwrap();
    let receiving = receiver(theirs, terms.clone(), eager);
    ours.set_nonblocking(true).unwrap();
    let (mut input, output) = tokio::net::UnixStream::from_std(ours).unwrap().into_split();
    let met = meet(&terms, &mut input).await.unwrap();
    let heard = Arc::<Heard>::default();
    let mut mouth = Mouth { output, heard: Arc::clone(&heard), flushes: 0, late };
    let mut ear = Ear(input, heard);
    let outcome = deliver(met, &terms, &load, (&mut ear, &mut mouth), &|_| {}).await;
    let flushes = mouth.flushes;
    drop((ear, mouth));
    receiving.join().unwrap();
    (outcome, flushes)
}

#[tokio::test]
async fn a_receipt_may_come_before_the_last_write_is_noticed() {
    let (outcome, flushes) = transfer(0, false).await;
    assert!(outcome.is_ok(), "{outcome:?}");
    assert_eq!(flushes, FLUSHES);
    for late in [FLUSHES - 1, FLUSHES] {
        let (outcome, _) = transfer(late, false).await;
        assert!(outcome.is_ok(), "flush {late}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_receipt_from_before_the_content_is_for_something_else() {
    let (outcome, _) = transfer(2, true).await;
    assert!(matches!(outcome, Err(SealedError::OtherReceipt)), "{outcome:?}");
}
