use std::io::{Cursor, Read};

use super::*;
use crate::archive::{self, Content, Kind as MemberKind, Member, Sink, Tree};
use crate::member::{LinkTarget, MemberPath};
use crate::offer::tests::sample;
use crate::plan::Shape;
use crate::stream::{OpeningReader, SealingWriter};
use crate::ticket::tests::sample as sample_ticket;
use crate::wire;

fn found(byte: u8) -> Found {
    Found {
        container: Known::Id(ContainerId::from_bytes([byte; 32])),
        evidence: Evidence { cgroup: true, ..Evidence::default() },
    }
}

fn introduction(byte: u8) -> Introduction {
    Introduction {
        container: Some(found(byte).container),
        evidence: found(byte).evidence,
        started: None,
    }
}

/// The sender's side with `offered` and the receiver's with `received`, in the container `byte`.
fn meet(offered: &Offer, received: &Offer, byte: u8) -> Result<(Sending, Receiving), SessionError> {
    let terms = Terms::of_receiver(received, &found(byte), None)?;
    let (hello, greeted) = greet(terms, &introduction(byte))?;
    let (encapsulation, sending) = answer(&Terms::of_sender(offered), &hello)?;
    Ok((sending, greeted.complete(&encapsulation)?))
}

#[test]
fn two_that_mean_the_same_have_the_same_keys() {
    let (mut sending, mut receiving) = meet(&sample(), &sample(), 3).unwrap();
    let mut frame = b"content".to_vec();
    let tag = sending.sealer.seal(&mut frame).unwrap();
    frame.extend(tag);
    assert_ne!(&frame[..7], b"content");
    assert_eq!(receiving.opener.open(&mut frame).unwrap(), b"content");
    assert_eq!(sending.receiver, introduction(3));
}

#[test]
fn another_container_is_refused_by_both_sides() {
    let refused = Terms::of_receiver(&sample(), &found(4), None).unwrap_err();
    assert!(matches!(refused, SessionError::WrongContainer { .. }));
    // A receiver that does not check, and says truly where it is.
    let mut elsewhere = sample();
    elsewhere.bound.container = ContainerId::from_bytes([4; 32]);
    let refused = meet(&sample(), &elsewhere, 4).unwrap_err();
    assert!(matches!(refused, SessionError::WrongContainer { .. }));
    // One that lies about where it is, but binds what it knows.
    let terms = Terms::of_receiver(&elsewhere, &found(4), None).unwrap();
    let (hello, _) = greet(terms, &introduction(3)).unwrap();
    let refused = answer(&Terms::of_sender(&sample()), &hello).unwrap_err();
    assert_eq!(refused, SessionError::NotAuthentic("hello"));
}

#[test]
fn each_bound_thing_matters() {
    let changes: [fn(&mut Offer); 9] = [
        |offer| offer.transfer = TransferId::from_bytes([8; 16]),
        |offer| offer.secret = OneTimeSecret::from_bytes([8; 32]),
        |offer| offer.bound.started += 1,
        |offer| offer.wanted.path = "/x".into(),
        |offer| offer.wanted.one_file = Some("x".into()),
        |offer| offer.wanted.owner = None,
        |offer| offer.wanted.mode = Some(0o444),
        |offer| offer.wanted.announced.bytes += 1,
        |offer| {
            offer.reach = crate::offer::Reach::Url(crate::offer::Address {
                url: "https://h/x".into(),
                pin: [1; 32],
            });
        },
    ];
    for (index, change) in changes.iter().enumerate() {
        let mut received = sample();
        change(&mut received);
        let refused = meet(&sample(), &received, 3).unwrap_err();
        assert_eq!(refused, SessionError::NotAuthentic("hello"), "change {index}");
    }
}

#[test]
fn a_run_that_began_at_another_time_is_refused() {
    let offer = sample();
    let started = offer.bound.started / 1_000_000;
    let at = |started| Terms::of_receiver(&offer, &found(3), Some(started)).map(drop);
    assert_eq!(at(started), Ok(()));
    assert_eq!(at(started - 5_000), Ok(()), "networks are made before the start is noted");
    assert_eq!(at(started + 2_000), Ok(()));
    assert_eq!(at(started + 4_000), Err(SessionError::OtherRun { seconds: 4 }));
    assert_eq!(at(started - 40_000), Err(SessionError::OtherRun { seconds: -40 }));
    let mut hidden = sample();
    hidden.bound.start_shows = false;
    assert!(Terms::of_receiver(&hidden, &found(3), Some(1)).is_ok());
}

#[test]
fn a_known_beginning_is_enough_only_when_it_fits() {
    let prefix = |byte| Found {
        container: Known::Prefix(ContainerPrefix::from_bytes([byte; 6])),
        evidence: Evidence { hostname: true, ..Evidence::default() },
    };
    assert!(Terms::of_receiver(&sample(), &prefix(3), None).is_ok());
    assert!(Terms::of_receiver(&sample(), &prefix(4), None).is_err());
}

#[test]
fn every_changed_byte_of_the_exchange_is_noticed() {
    let sender = Terms::of_sender(&sample());
    let terms = || Terms::of_receiver(&sample(), &found(3), None).unwrap();
    let (hello, _) = greet(terms(), &introduction(3)).unwrap();
    for position in 0..hello.len() {
        let mut changed = hello.clone();
        changed[position] ^= 0x40;
        assert!(answer(&sender, &changed).is_err(), "hello at {position}");
        assert!(answer(&sender, &hello[..position]).is_err(), "hello cut at {position}");
    }
    for position in (0..ENCAPSULATION_LENGTH).step_by(7) {
        let (hello, greeted) = greet(terms(), &introduction(3)).unwrap();
        let (mut encapsulation, _) = answer(&sender, &hello).unwrap();
        assert_eq!(encapsulation.len(), ENCAPSULATION_LENGTH);
        encapsulation[position] ^= 0x40;
        assert!(greeted.complete(&encapsulation).is_err(), "encapsulation at {position}");
    }
}

/// A MAC does not help a receiver whose X25519 key leads to a secret of zeros.
#[test]
fn a_key_of_small_order_is_refused() {
    let terms = Terms::of_receiver(&sample(), &found(3), None).unwrap();
    let (mut hello, _) = greet(terms.clone(), &introduction(3)).unwrap();
    let keys = hello.len() - 32 - ML_KEM_KEY - X25519_LENGTH;
    hello[keys..keys + X25519_LENGTH].fill(0);
    let body = hello.len() - 32;
    let tag = terms.hello_mac(&hello[..body]).unwrap();
    hello[body..].copy_from_slice(tag.as_ref());
    let refused = answer(&Terms::of_sender(&sample()), &hello).unwrap_err();
    assert_eq!(refused, SessionError::KeyRefused("X25519"));
}

#[test]
fn a_recording_does_not_open_a_second_time() {
    let terms = || Terms::of_receiver(&sample(), &found(3), None).unwrap();
    let (hello, first) = greet(terms(), &introduction(3)).unwrap();
    let (encapsulation, _) = answer(&Terms::of_sender(&sample()), &hello).unwrap();
    assert!(first.complete(&encapsulation).is_ok());
    let (_, second) = greet(terms(), &introduction(3)).unwrap();
    assert_eq!(
        second.complete(&encapsulation).unwrap_err(),
        SessionError::NotAuthentic("encapsulation")
    );
}

#[test]
fn a_ticket_makes_a_session_without_a_container() {
    let nobody = Introduction { container: None, evidence: Evidence::default(), started: None };
    let (hello, greeted) = greet(Terms::of_ticket(&sample_ticket()), &nobody).unwrap();
    let (encapsulation, _) = answer(&Terms::of_ticket(&sample_ticket()), &hello).unwrap();
    assert!(greeted.complete(&encapsulation).is_ok());
    let mut other = sample_ticket();
    other.secret = OneTimeSecret::from_bytes([77; 32]);
    let (hello, _) = greet(Terms::of_ticket(&other), &nobody).unwrap();
    assert_eq!(
        answer(&Terms::of_ticket(&sample_ticket()), &hello).unwrap_err(),
        SessionError::NotAuthentic("hello")
    );
}

#[test]
fn nothing_secret_is_shown() {
    let (sending, receiving) = meet(&sample(), &sample(), 3).unwrap();
    let terms = Terms::of_sender(&sample());
    let shown = format!("{sending:?} {receiving:?} {terms:?}");
    assert!(shown.contains("redacted") && !shown.contains("2, 2, 2"), "{shown}");
}

/// Only counts what comes.
struct Counting(u64);

impl Sink for Counting {
    type Error = std::io::Error;
    fn folder(&mut self, _: &MemberPath, _: u32) -> Result<(), Self::Error> {
        Ok(())
    }
    fn file(
        &mut self,
        _: &MemberPath,
        _: u32,
        _: u64,
        content: &mut dyn Read,
    ) -> Result<(), Self::Error> {
        self.0 += std::io::copy(content, &mut std::io::sink())?;
        Ok(())
    }
    fn link(&mut self, _: &MemberPath, _: &LinkTarget) -> Result<(), Self::Error> {
        Ok(())
    }
}

fn sealed(tree: &Tree) -> (Vec<u8>, Opener) {
    let (sending, receiving) = meet(&sample(), &sample(), 3).unwrap();
    let mut stream = Vec::new();
    let mut writer = SealingWriter::new(sending.sealer, |message: Vec<u8>| {
        stream.extend(&message);
        Ok(message)
    });
    let summary = archive::write(tree, &mut writer, &mut |_| {}).unwrap();
    writer.finish(&summary).unwrap();
    (stream, receiving.opener)
}

fn opened(stream: &[u8], opener: Opener, tree: &Tree) -> Result<u64, String> {
    let mut reader = OpeningReader::new(opener, Cursor::new(stream));
    let mut sink = Counting(0);
    archive::read(&mut reader, tree.shape(), tree.announced(), &mut sink)
        .map_err(|error| error.to_string())?;
    let trailer = reader.trailer().ok_or("no trailer")?;
    (trailer.bytes == sink.0).then_some(sink.0).ok_or_else(|| "other length".into())
}

fn tree(size: usize) -> Tree {
    let content = Content::from_bytes(vec![7; size]);
    let kind = MemberKind::File { mode: 0o600, size: size as u64, content };
    let member = Member { path: MemberPath::parse(b"x").unwrap(), kind };
    Tree::new(Shape::File, vec![member]).unwrap()
}

#[test]
fn an_archive_passes_through_frames_of_every_fill() {
    let head_and_end = 3 * 512;
    for size in [0, 1, 511, 512, crate::frame::FRAME - head_and_end, crate::frame::FRAME, 700_000] {
        let tree = tree(size);
        let (stream, opener) = sealed(&tree);
        assert_eq!(opened(&stream, opener, &tree), Ok(size as u64), "{size}");
    }
}

/// Splits a stream into its messages.
fn messages(mut stream: &[u8]) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    while !stream.is_empty() {
        let (_, length) = wire::parse_head(stream[..wire::HEAD].try_into().unwrap()).unwrap();
        let (message, rest) = stream.split_at(wire::HEAD + length);
        messages.push(message.to_vec());
        stream = rest;
    }
    messages
}

#[test]
fn frames_left_out_repeated_or_moved_do_not_open() {
    let tree = tree(1_000_000);
    let (stream, _) = sealed(&tree);
    let count = messages(&stream).len();
    assert_eq!(count, 5);
    let changes: [fn(&mut Vec<Vec<u8>>); 6] = [
        |frames| drop(frames.remove(1)),
        |frames| drop(frames.pop()),
        |frames| frames.insert(1, frames[1].clone()),
        |frames| frames.swap(1, 2),
        |frames| frames.swap(3, 4),
        |frames| {
            // A frame that says it is the last, and the last that says it is not.
            frames[3][0] = b'L';
            frames[4][0] = b'F';
        },
    ];
    for (index, change) in changes.iter().enumerate() {
        let (stream, opener) = sealed(&tree);
        let mut frames = messages(&stream);
        change(&mut frames);
        assert!(opened(&frames.concat(), opener, &tree).is_err(), "change {index}");
    }
}

#[test]
fn a_cut_or_changed_stream_does_not_open() {
    let tree = tree(2000);
    let length = sealed(&tree).0.len();
    for position in (0..length).step_by(29) {
        let (stream, opener) = sealed(&tree);
        assert!(opened(&stream[..position], opener, &tree).is_err(), "cut at {position}");
        let (mut stream, opener) = sealed(&tree);
        stream[position] ^= 1;
        assert!(opened(&stream, opener, &tree).is_err(), "changed at {position}");
    }
}

#[test]
fn frames_of_another_session_do_not_open() {
    let tree = tree(100);
    let (stream, _) = sealed(&tree);
    let (_, other) = sealed(&tree);
    assert!(opened(&stream, other, &tree).is_err());
}
