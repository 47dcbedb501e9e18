//! The entry for fuzzing: what a Gatekeeper and a Forwarder hear from whoever is at the other end of a connection.

use std::sync::Arc;

use sealock_core::{Identity, ManualClock, Timestamp};
use sealock_net::proxy::{Address as AppAddress, Upstream, UpstreamSettings};

use super::{Message, Receiver};
use crate::broker::RevokedCas;
use crate::gatekeeper::{Access, Denied, Gatekeeper, Report, Settings};
use crate::registry::{Address, Line, Listing};
use crate::token::{claimed_issuer, introspected};

/// When all of it is heard: what a seed says was signed then.
const NOW: i64 = 1_700_000_000;

struct Silent;

impl Report for Silent {
    fn denied(&self, _: &Denied) {}
    fn access(&self, _: &Access) {}
}

/// Lines of a feed, which are lines of a directory, addresses and an authorization server's answers too; checks what must
/// hold of every result.
///
/// # Panics
/// When something does not hold.
pub fn fuzz(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Some(gatekeeper) = gatekeeper() {
        feed(&text, &gatekeeper);
    }
    let mut before = None;
    for line in text.lines().take(64) {
        directory(line, &mut before);
        address(line);
        cas(line);
        answer(line.as_bytes());
        let _ = claimed_issuer(line);
    }
    answer(data);
}

/// One that knows nothing.
fn gatekeeper() -> Option<Arc<Gatekeeper>> {
    let orders: Identity = "spiffe://t.sealock/service/orders".parse().ok()?;
    let nowhere = AppAddress::Tcp("127.0.0.1:1".into());
    let app = Upstream::new(nowhere, UpstreamSettings::default());
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(NOW)));
    Some(Gatekeeper::new(Settings::new(orders), app, Arc::new(Silent), clock))
}

fn feed(text: &str, gatekeeper: &Gatekeeper) {
    let (mut receiver, mut issuer) = (Receiver::default(), None);
    for line in text.lines().take(64) {
        let Ok(message) = Message::read(line) else { continue };
        let again = String::from_utf8(message.to_line()).ok();
        let again = again.and_then(|line| Message::read(line.trim_end()).ok());
        assert_eq!(again.as_ref(), Some(&message), "written other than read");
        let (is_first, was) = (matches!(message, Message::Snapshot(_)), gatekeeper.known());
        let taken = receiver.take(message, gatekeeper).is_ok();
        let is = gatekeeper.known();
        assert!(is.is_none() || is_first || was.is_some(), "a change of nothing");
        if let (Some(was), Some(is)) = (&was, &is) {
            assert!(
                taken || was.policy.epoch() == is.policy.epoch(),
                "a refused policy is in force"
            );
            assert!(is.revocations.last() >= was.revocations.last(), "a revocation is forgotten");
            assert!(is.cas.has_all(&was.cas), "a revoked CA is forgotten");
        }
        if let Some(is) = is {
            let first = issuer.get_or_insert_with(|| is.issuer.clone());
            assert_eq!(*first, is.issuer, "another issuer is taken later");
        } else {
            assert!(!taken, "a message that is taken and not in force");
        }
        if !taken {
            receiver.begin_again();
        }
    }
}

fn cas(text: &str) {
    let Some(read) = RevokedCas::read(text) else { return };
    assert_eq!(read.to_text(), text, "two spellings");
    let mut known = RevokedCas::default();
    known.merge(&read, 0);
    assert_eq!(known, read, "what is told is not what is known");
}

fn directory(line: &str, before: &mut Option<Listing>) {
    let Some(read) = Line::read(line) else { return };
    let again = String::from_utf8(read.to_line()).ok();
    let again = again.and_then(|line| Line::read(line.trim_end()));
    assert_eq!(again.as_ref(), Some(&read), "written other than read");
    let Line::Services(listing) = read else { return };
    let known = listing.clone().after(before.as_ref());
    if listing.settled || before.is_none() {
        assert_eq!(known, listing, "what is settled is added to");
    }
    for old in before.iter().flat_map(|before| &before.services) {
        let is_there = known.services.iter().any(|new| new.service == old.service);
        assert!(is_there || listing.settled, "a service is missing while the broker settles");
    }
    for listed in known.services.iter().flat_map(|listed| &listed.addresses) {
        address(listed);
    }
    *before = Some(known);
}

fn address(text: &str) {
    let [there, here] = [false, true].map(|here| Address::read(text, here).ok());
    assert!(there.is_none() || there == here, "an address for others and not for us");
    let Some(read) = here else { return };
    let spelt = read.to_string();
    assert_eq!(Address::read(&spelt, true).ok().as_ref(), Some(&read), "not idempotent: {spelt}");
    assert!(spelt.bytes().all(|byte| byte.is_ascii_graphic()), "not printable: {spelt}");
    assert!(!spelt.contains(['/', '?', '#', '@', '\\']), "more than an address: {spelt}");
    assert!(read.is_told(true) && read.is_told(false) != read.is_loopback());
    assert!(there.is_none() || !read.is_loopback(), "others are told our loopback: {spelt}");
}

fn answer(bytes: &[u8]) {
    let Ok(Some(said)) = introspected(bytes) else { return };
    // What another reader makes of it, where that makes anything.
    if let Ok(other) = serde_json::from_slice::<serde_json::Value>(bytes) {
        let member = |name: &str| other.get(name);
        assert_eq!(member("active"), Some(&true.into()), "a token that is not active is taken");
        assert_eq!(said.expires_at, member("exp").and_then(serde_json::Value::as_u64));
        assert_eq!(said.subject.as_deref(), member("sub").and_then(serde_json::Value::as_str));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::EntryHash;

    fn seeds() -> Vec<(String, Vec<u8>)> {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/traffic_feed");
        let seed = |entry: std::io::Result<std::fs::DirEntry>| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, std::fs::read(entry.path()).unwrap())
        };
        std::fs::read_dir(corpus).unwrap().map(seed).collect()
    }

    #[test]
    fn the_fuzz_corpus_holds() {
        let seeds = seeds();
        assert!(seeds.len() >= 8, "{}", seeds.len());
        for (_, data) in seeds {
            fuzz(&data);
            // All places of what is short, and some of what is long.
            for place in (0..data.len()).step_by(1 + data.len() / 50) {
                fuzz(&data[..place]);
                let mut bent = data.clone();
                bent[place] ^= 1 << (place % 7);
                fuzz(&bent);
            }
        }
    }

    /// A fuzzer cannot sign. What is behind a signature is reached from what was signed once.
    #[test]
    fn a_seed_is_a_whole_feed_that_is_taken() {
        let (_, feed) = seeds().into_iter().find(|(name, _)| name == "feed").unwrap();
        let (gatekeeper, mut receiver) = (gatekeeper().unwrap(), Receiver::default());
        let text = String::from_utf8(feed).unwrap();
        for line in text.lines() {
            receiver.take(Message::read(line).unwrap(), &gatekeeper).unwrap();
        }
        let known = gatekeeper.known().unwrap();
        assert_eq!((known.policy.epoch(), known.revocations.last()), (2, 2));
        let two = [EntryHash::of("one"), EntryHash::of("two")];
        assert!(two.iter().all(|ca| known.cas.are_in(&[*ca])));
    }
}
