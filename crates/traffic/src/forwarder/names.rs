//! Which addresses names have had lately, by our own resolver.
//!
//! An app says in `Host` whom it means, and dials an address. Both are taken for the same only if the name has that
//! address. Resolvers give a part of what a name has, and another one each time; so what was seen is remembered for a
//! while. Names that are listed are asked for, and no others: an app cannot fill this.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::net::lookup_host;
use tokio::time::timeout;

use super::destination::Destination;

/// So long an address counts as a name's after the resolver gave it.
const KEPT: Duration = Duration::from_secs(300);
/// A name is not asked for again sooner.
const PAUSE: Duration = Duration::from_secs(1);
/// Of one name no more are kept.
const MOST: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Names(Mutex<HashMap<String, Name>>);

#[derive(Debug, Default)]
struct Name {
    /// Held by who asks the resolver; when it was asked last.
    looked: Arc<tokio::sync::Mutex<Option<Instant>>>,
    addresses: HashMap<IpAddr, Instant>,
}

impl Names {
    /// Whether this is an address of `host`, as far as is known.
    pub(super) fn has(&self, host: &Destination, address: IpAddr, now: Instant) -> bool {
        let address = address.to_canonical();
        if let Some(literal) = host.address() {
            return literal.to_canonical() == address;
        }
        let names = self.0.lock();
        let seen = names.get(host.host()).and_then(|name| name.addresses.get(&address));
        seen.is_some_and(|seen| now.saturating_duration_since(*seen) < KEPT)
    }

    /// Asks the resolver, unless it has just been asked. Whoever comes while somebody else asks waits for what comes of
    /// that. That it gives nothing is as if the address were another.
    pub(super) async fn learn(&self, host: &Destination, deadline: Duration) {
        if host.address().is_some() {
            return;
        }
        let turn = Arc::clone(&self.0.lock().entry(host.host().to_owned()).or_default().looked);
        let looking = async {
            let mut looked = turn.lock().await;
            let now = Instant::now();
            if looked.is_some_and(|looked| now.saturating_duration_since(looked) < PAUSE) {
                return;
            }
            match lookup_host((host.host(), host.port())).await {
                Ok(found) => self.saw(host, found.map(|found| found.ip()), now),
                Err(error) => tracing::debug!(%host, %error, "the name has no address"),
            }
            *looked = Some(Instant::now());
        };
        if timeout(deadline, looking).await.is_err() {
            tracing::warn!(%host, "the resolver is silent");
        }
    }

    fn saw(&self, host: &Destination, found: impl Iterator<Item = IpAddr>, now: Instant) {
        let mut names = self.0.lock();
        let Some(name) = names.get_mut(host.host()) else { return };
        name.addresses.retain(|_, seen| now.saturating_duration_since(*seen) < KEPT);
        for address in found {
            if name.addresses.len() < MOST {
                name.addresses.insert(address.to_canonical(), now);
            }
        }
    }

    /// Forgets the names of others than these.
    pub(super) fn keep(&self, is_kept: impl Fn(&str) -> bool) {
        self.0.lock().retain(|name, _| is_kept(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destination(text: &str) -> Destination {
        text.parse().unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn an_address_counts_for_a_while_after_it_was_seen() {
        let (names, localhost) = (Names::default(), destination("localhost:80"));
        assert!(!names.has(&localhost, ip("127.0.0.1"), Instant::now()), "not asked for yet");
        names.learn(&localhost, Duration::from_secs(5)).await;
        let now = Instant::now();
        assert!(names.has(&localhost, ip("127.0.0.1"), now));
        assert!(names.has(&localhost, ip("::ffff:127.0.0.1"), now));
        assert!(!names.has(&localhost, ip("127.0.0.2"), now));
        assert!(!names.has(&localhost, ip("127.0.0.1"), now + KEPT));
        names.saw(&localhost, [ip("10.0.0.1")].into_iter(), now);
        assert!(names.has(&localhost, ip("127.0.0.1"), now), "what another answer has is kept");
        names.keep(|name| name != "localhost");
        assert!(!names.has(&localhost, ip("127.0.0.1"), now));
    }

    #[tokio::test]
    async fn who_comes_while_somebody_asks_gets_the_same_answer() {
        let (names, localhost) = (Names::default(), destination("localhost:80"));
        let all = (0..50).map(|_| async {
            names.learn(&localhost, Duration::from_secs(5)).await;
            names.has(&localhost, ip("127.0.0.1"), Instant::now())
        });
        let mut all: Vec<_> = all.map(Box::pin).collect();
        // All of them begin before any of them is told.
        let known = std::future::poll_fn(|cx| {
            let polled: Vec<_> = all.iter_mut().map(|it| it.as_mut().poll(cx)).collect();
            std::task::Poll::Ready(polled)
        })
        .await;
        for (known, rest) in known.into_iter().zip(all) {
            let is_known = match known {
                std::task::Poll::Ready(is_known) => is_known,
                std::task::Poll::Pending => rest.await,
            };
            assert!(is_known);
        }
    }

    #[test]
    fn an_address_is_its_own() {
        let (names, now) = (Names::default(), Instant::now());
        assert!(names.has(&destination("10.0.0.1:80"), ip("10.0.0.1"), now));
        assert!(!names.has(&destination("10.0.0.1:80"), ip("10.0.0.2"), now));
        assert!(
            !names.has(&destination("10.1:80"), ip("10.0.0.1"), now),
            "a name, by its spelling"
        );
    }
}
