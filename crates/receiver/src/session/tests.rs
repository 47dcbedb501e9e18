//! A receiver and a sender on two ends of a socket, the sender cut short, changed, or lying.

use std::fs;
use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use sealock_transfer::archive::{Content, Kind as MemberKind, Member, Tree};
use sealock_transfer::member::MemberPath;
use sealock_transfer::offer::{Address, OneTimeSecret, TransferId};
use sealock_transfer::plan::{Announced, Shape};
use sealock_transfer::receipt::Receipt;
use sealock_transfer::session::answer;
use sealock_transfer::stream::SealingWriter;
use sealock_transfer::ticket::Ticket;

use super::*;

fn ticket(tree: &Tree) -> Ticket {
    Ticket {
        transfer: TransferId::from_bytes([1; 16]),
        secret: OneTimeSecret::from_bytes([2; 32]),
        address: Address { url: "https://127.0.0.1:1/x".into(), pin: [0; 32] },
        expires: u64::MAX,
        one_file: (tree.shape() == Shape::File).then(|| "x".to_owned()),
        announced: tree.announced(),
    }
}

fn member(path: &str, content: &[u8]) -> Member {
    let size = content.len() as u64;
    let content = Content::from_bytes(content.to_vec());
    let kind = MemberKind::File { mode: 0o600, size, content };
    Member { path: MemberPath::parse(path.as_bytes()).unwrap(), kind }
}

fn one(content: &[u8]) -> Tree {
    Tree::new(Shape::File, vec![member("x", content)]).unwrap()
}

/// What a sender may do wrong.
#[derive(Default, Clone, Copy)]
struct Fault {
    /// Everything after so many bytes is left out.
    cut: Option<usize>,
    /// The byte at this place is changed.
    flip: Option<usize>,
    /// The trailer names another digest.
    lie: bool,
}

/// Everything that a sender writes after the hello, and the receipt when one comes.
fn send(
    mut stream: UnixStream,
    ticket: &Ticket,
    tree: &Tree,
    fault: Fault,
) -> (Vec<u8>, Option<Receipt>) {
    let mut hello = Vec::new();
    if !matches!(wire::read(&mut stream, &mut hello), Ok(Kind::Hello)) {
        return (Vec::new(), None);
    }
    let (encapsulation, sending) = answer(&Terms::of_ticket(ticket), &hello).unwrap();
    let mut bytes = wire::message(Kind::Encapsulation, &encapsulation).unwrap();
    let mut writer = SealingWriter::new(sending.sealer, |message: Vec<u8>| {
        bytes.extend(&message);
        Ok(message)
    });
    let mut summary = archive::write(tree, &mut writer, &mut |_| {}).unwrap();
    if fault.lie {
        summary.sha256 = [9; 32];
    }
    writer.finish(&summary).unwrap();
    if let Some(place) = fault.flip {
        bytes[place] ^= 1;
    }
    bytes.truncate(fault.cut.unwrap_or(bytes.len()));
    // A receiver that has left does not read all of it.
    let _ = stream.write_all(&bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    match wire::read(&mut stream, &mut answer) {
        Ok(Kind::Receipt) => (bytes, Some(sending.receipt.verify(&answer).unwrap())),
        _ => (bytes, None),
    }
}

fn receive(
    channel: &mut (impl Read + Write),
    ticket: &Ticket,
    to: &Path,
) -> Result<Landed, ReceiveError> {
    let wanted = Wanted {
        path: to.to_str().unwrap().to_owned(),
        one_file: ticket.one_file.clone(),
        owner: None,
        mode: None,
        announced: ticket.announced,
        memory_only: false,
    };
    let nobody = Introduction { container: None, evidence: Evidence::default(), started: None };
    take(channel, Terms::of_ticket(ticket), &nobody, &wanted)
}

type Outcome = (Result<Landed, ReceiveError>, Vec<u8>, Option<Receipt>);

/// One transfer to `to`. `announced` overrides what the ticket says.
fn transfer(tree: &Tree, to: &Path, fault: Fault, announced: Option<Announced>) -> Outcome {
    let mut ticket = ticket(tree);
    ticket.announced = announced.unwrap_or(ticket.announced);
    let (mut here, there) = UnixStream::pair().unwrap();
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| send(there, &ticket, tree, fault));
        let outcome = receive(&mut here, &ticket, to);
        drop(here);
        let (bytes, receipt) = sender.join().unwrap();
        (outcome, bytes, receipt)
    })
}

/// A folder with the file `x`, whose content is `old`.
fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    fs::write(&path, "old").unwrap();
    (folder, path)
}

fn expect_old(folder: &Path, case: &str) {
    let names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["x"], "{case}");
    assert_eq!(fs::read(folder.join("x")).unwrap(), b"old", "{case}");
}

#[test]
fn a_transfer_replaces_the_old_content_and_is_receipted() {
    let (_folder, path) = place();
    let (landed, _, receipt) = transfer(&one(b"new"), &path, Fault::default(), None);
    assert_eq!(fs::read(&path).unwrap(), b"new");
    let receipt = receipt.unwrap();
    assert_eq!(receipt.landed, landed.unwrap());
    assert_eq!(receipt.transfer, TransferId::from_bytes([1; 16]));
    assert!(receipt.landed.replaced && receipt.landed.changed);
}

#[test]
fn a_cut_or_change_at_any_byte_leaves_the_old_content() {
    let (folder, path) = place();
    let tree = one(&[5; 3000]);
    let (_, bytes, _) = transfer(&tree, &path, Fault::default(), None);
    fs::write(&path, "old").unwrap();
    let places = (0..bytes.len()).filter(|place| place % 97 == 0 || place + 40 > bytes.len());
    for place in places {
        let cut = Fault { cut: Some(place), ..Fault::default() };
        let (outcome, _, receipt) = transfer(&tree, &path, cut, None);
        assert!(outcome.is_err() && receipt.is_none(), "cut at {place}");
        expect_old(folder.path(), &format!("cut at {place}"));
        let flip = Fault { flip: Some(place), ..Fault::default() };
        let (outcome, _, receipt) = transfer(&tree, &path, flip, None);
        assert!(outcome.is_err() && receipt.is_none(), "changed at {place}");
        expect_old(folder.path(), &format!("changed at {place}"));
    }
}

#[test]
fn a_sender_that_sends_other_than_it_says_is_refused() {
    let (folder, path) = place();
    let tree = one(b"new content");
    let lie = Fault { lie: true, ..Fault::default() };
    let (outcome, _, _) = transfer(&tree, &path, lie, None);
    assert!(matches!(outcome, Err(ReceiveError::Digest)), "{outcome:?}");
    expect_old(folder.path(), "another digest");
    for bytes in [3, 100] {
        let announced = Announced { bytes, members: 1 };
        let (outcome, _, _) = transfer(&tree, &path, Fault::default(), Some(announced));
        assert!(outcome.is_err(), "announced {bytes}: {outcome:?}");
        expect_old(folder.path(), "another length");
    }
}

/// Somebody has recorded what a sender wrote, and plays it to the next receiver.
#[test]
fn a_recording_opens_nothing() {
    let (folder, path) = place();
    let tree = one(b"new");
    let (outcome, recording, _) = transfer(&tree, &path, Fault::default(), None);
    outcome.unwrap();
    fs::write(&path, "old").unwrap();
    let (mut here, mut there) = UnixStream::pair().unwrap();
    there.write_all(&recording).unwrap();
    there.shutdown(Shutdown::Write).unwrap();
    let refused = receive(&mut here, &ticket(&tree), &path).unwrap_err();
    assert!(matches!(refused, ReceiveError::Session(_)), "{refused:?}");
    expect_old(folder.path(), "a recording");
}

#[test]
fn what_is_no_offer_is_refused_in_words() {
    for bytes in [b"GET / HTTP/1.1\r\n\r\n".as_slice(), b"", b"O\0\0\0\x02\x01\x02"] {
        let (mut here, mut there) = UnixStream::pair().unwrap();
        there.write_all(bytes).unwrap();
        there.shutdown(Shutdown::Write).unwrap();
        assert!(serve_offer(&mut here).is_err());
        drop(here);
        let mut body = Vec::new();
        assert_eq!(wire::read(&mut there, &mut body).unwrap(), Kind::Refusal);
        assert!(!Refusal::decode(&body).unwrap().text.is_empty());
    }
}

/// What a stream fails with is not taken for an error of the file system.
#[test]
fn a_stream_that_fails_is_told_apart() {
    struct Failing(UnixStream, usize);
    impl Read for Failing {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.1 == 0 {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let count = buffer.len().min(self.1);
            let count = self.0.read(&mut buffer[..count])?;
            self.1 -= count;
            Ok(count)
        }
    }
    impl Write for Failing {
        fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
            self.0.write(buffer)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (folder, path) = place();
    let tree = one(&[1; 600_000]);
    let ticket = ticket(&tree);
    let (here, there) = UnixStream::pair().unwrap();
    let refused = std::thread::scope(|scope| {
        scope.spawn(|| send(there, &ticket, &tree, Fault::default()));
        receive(&mut Failing(here, 300_000), &ticket, &path).unwrap_err()
    });
    assert_eq!(refused.refusal().reason, sealock_transfer::wire::Reason::Stream, "{refused:?}");
    expect_old(folder.path(), "a failing stream");
}
