//! The Forwarder: what stands behind an app, and takes its plain calls to services with a token on.
//!
//! ```text
//! accept → each request: one destination → listed? → is there room? → app's credentials out, ours in
//!   → an instance that is well → address looked at, dialled → (TLS, the right certificate) → the answer as it streams
//! ```
//!
//! Three ways in ([`Entry`]): as an HTTP proxy (`HTTP_PROXY`, `curl -x`), where the destination picks the service; a
//! local port for one service; and connections to others that the kernel brings here ([`Rules`]). What is listed is in a [`Directory`], which can be replaced at any time; how tokens are
//! got is somebody else's ([`TokenSource`]).
//!
//! # Invariants
//!
//! - What is not listed is not dialled, unless the owner has said so of such hosts, and then never with a token and never
//!   to this host's loopback. What is dialled is dialled only at an address that may be ([`address`]), looked at when it is dialled: a
//!   name that is pointed elsewhere leads nowhere.
//! - A token goes to the service that it is for and to nobody else: over TLS to a server whose certificate says that it is
//!   that service, before anything is sent. In clear text it goes to this host's loopback, or where the directory says in
//!   so many words that it may.
//! - To a service, an app's own `Authorization` is taken out with everything else by which somebody could pass for another
//!   ([`headers::clean`](crate::http::headers::clean)), and ours is put in after that, so that nobody can have it taken
//!   out by naming it in `Connection`. An app that sends credentials all the same is served, with ours instead: the
//!   Gatekeeper would not have let them through to anybody. Several `Authorization` headers are refused.
//! - Of a connection that was brought here, `Host` and the address that was dialled must agree on the service; without a
//!   token it goes on to that very address or not at all. One that was made to our own port leads nowhere.
//! - A tunnel ends here only for hosts that the owner has named for it, by an authority that is good for no other; TLS
//!   and each request in it must be for the tunnel's host.
//! - A token is used beside the certificate that it is bound to, and no other. When ours is renewed, the old one is used,
//!   with its connections and tokens, until a token for the new one has come.
//! - Nothing is sent to a Gatekeeper whose certificate is below a CA that is known to be revoked, with whichever
//!   certificate and token of ours, old or new.
//! - Nothing is sent twice that may have been acted on. An instance that cannot be reached has nothing of a request, so
//!   another one gets it; a request whose token was refused is repeated once, if it has no body and is idempotent. Beyond
//!   that only a GET or HEAD, on a kept connection that was dead.
//! - A request with two readings is refused, as at the Gatekeeper: framing, `Host` against the target, paths.
//! - What runs to a destination that is taken from the directory is cut, and nothing falls between: a request is put among
//!   those that run before the last look at the routes. Whether a caller may go on calling is the Gatekeeper's to say, and
//!   to cut.
//! - A page of another site opens no WebSocket and changes nothing at a service, whichever door it tries ([`cross_site`]).
//! - Programs on this host are served, nobody else, unless that is set.
//!
//! # What is spoken
//!
//! HTTP/1.1, and, at a local port, on a connection that was brought here and in a tunnel that ends here, HTTP/2, which
//! gRPC needs. To a Gatekeeper over TLS what it chooses, HTTP/2 with all requests on few connections if it can; in clear
//! text the version of the request. Of upgrades, WebSocket, always by HTTP/1.1. Trailers pass where both sides speak
//! HTTP/2, and are dropped elsewhere, as RFC 9110 §6.5.1 allows. In a tunnel (CONNECT) that is passed on we see nothing and
//! add no token. `Origin` and what else belongs to CORS goes on as it is, where it goes on at all.
//!
//! **What an attacker controls:** as an app: every byte of a request, and which of the listed services it calls; it acts as
//! we do, by design. As a page in a browser on this host: requests to our ports, but not their `Host`,
//! `Origin` or `Sec-Fetch-Site`. As whoever answers for a name: which address it has. Gatekeepers are trusted with tokens
//! for themselves, but not to be well.

pub mod address;
mod answer;
mod balance;
mod begun;
mod cross_site;
mod destination;
mod dial;
mod directory;
mod elsewhere;
mod entry;
mod failure;
mod forward;
mod fuzz;
mod handle;
mod intercept;
mod interception;
mod lanes;
mod live;
mod metrics;
mod names;
mod original;
mod pattern;
mod range;
mod report;
mod routes;
mod rules;
mod serve;
mod settings;
mod socket;
mod source;
mod taken;
mod tokens;
mod trust;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use sealock_core::{Clock, TrustDomain};
use sealock_net::Places;
use sealock_net::tls::TlsError;

use address::Own;
pub use destination::{Destination, NoDestination};
pub use directory::{Directory, DirectoryError, Hop, Service};
pub use fuzz::fuzz;
use live::{Live, To};
pub use metrics::Figures;
use metrics::Metrics;
use names::Names;
pub use range::{NoRange, Range};
pub use report::{Access, Report};
use routes::{Means, Routes};
pub use rules::{Exempt, Rules};
pub use serve::Entry;
pub use settings::{Settings, TokenSettings};
pub use source::{Fresh, SourceError, TokenSource};
use tokens::Tokens;
pub use trust::{Revoked, Trust, Trusts};

use crate::broker::RevokedCas;

/// How often it is looked for tokens that have to be fetched ahead.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A Forwarder.
pub struct Forwarder {
    settings: Settings,
    own: Arc<Own>,
    routes: ArcSwap<Routes>,
    names: Names,
    /// Held by who changes routes or certificates.
    changing: Mutex<()>,
    tokens: Arc<Tokens>,
    report: Arc<dyn Report>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    live: Arc<Live>,
    /// Those of all its listeners together.
    places: Places,
}

impl std::fmt::Debug for Forwarder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = formatter.debug_struct("Forwarder");
        shown.field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Forwarder {
    /// A Forwarder to those in `directory`. Fails where there is a service over TLS and `trust` cannot be used.
    pub fn new(
        settings: Settings,
        directory: Directory,
        trust: impl Into<Trusts>,
        source: Arc<dyn TokenSource>,
        report: Arc<dyn Report>,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, TlsError> {
        let metrics = Arc::new(Metrics::default());
        let trust = trust.into();
        let own = Arc::new(Own::new(settings.own.clone(), settings.mark));
        let now = clock.now();
        let means = Means { settings: &settings, trust: &trust, own: &own, now };
        let routes = Routes::new(directory, &means, &Routes::default())?;
        let (clocked, counted) = (Arc::clone(&clock), Arc::clone(&metrics));
        let tokens = Tokens::new(source, trust, clocked, settings.tokens, counted);
        Ok(Arc::new(Self {
            places: Places::first_come(settings.limits.connections),
            settings,
            own,
            routes: ArcSwap::from_pointee(routes),
            names: Names::default(),
            changing: Mutex::default(),
            tokens,
            report,
            clock,
            metrics,
            live: Arc::default(),
        }))
    }

    /// Replaces the directory. In force when this returns: requests that come from now on are led by it, and what runs to a
    /// destination that is no longer listed is cut, streams and tunnels included. If it cannot be used, everything stays as
    /// it is.
    pub fn replace(&self, directory: Directory) -> Result<(), TlsError> {
        let changing = self.changing.lock();
        let (now, trust) = (self.clock.now(), self.tokens.trusts());
        let means = Means { settings: &self.settings, trust: &trust, own: &self.own, now };
        let routes = Routes::new(directory, &means, &self.routes.load())?;
        self.tokens.keep(|audience| routes.services().any(|it| it.audience == *audience));
        self.names.keep(|name| routes.has_name(name));
        let routes = Arc::new(routes);
        self.routes.store(Arc::clone(&routes));
        self.metrics.cut(self.live.cut(|to| !routes.lead_to(to)));
        drop(changing);
        Ok(())
    }

    /// Replaces roots and our certificate. If they cannot be used, everything stays as it is. Otherwise tokens for the new
    /// certificate are fetched at once, and until one has come for a service it is called with the old one and its token:
    /// nobody waits, and a broker that is away is no trouble before the old token, or the old certificate, ends. On a
    /// runtime.
    pub fn renew(&self, trust: impl Into<Trusts>) -> Result<(), TlsError> {
        let changing = self.changing.lock();
        let trusts = trust.into().after(&self.tokens.trusts());
        self.routes.load().renew(&trusts)?;
        self.tokens.renew(trusts);
        drop(changing);
        Ok(())
    }

    /// CAs of a trust domain that are revoked, as its broker says; what was told before stays. In force when this returns:
    /// nobody below one is spoken to from then on. When one of them is new, what runs to services of that domain over TLS is
    /// cut, whoever it runs to, and can begin again at once with those who have another certificate.
    pub fn revoke_cas(&self, domain: &TrustDomain, cas: &RevokedCas) {
        let changing = self.changing.lock();
        let now = u64::try_from(self.clock.now().as_secs()).unwrap_or(0);
        if self.tokens.trusts().revoke(domain, cas, now) {
            let routes = self.routes.load();
            routes.clear(domain);
            let is_theirs = |to: &To| match to {
                To::Service(name, _) => routes.is_secured_in(domain, name),
                _ => false,
            };
            self.metrics.cut(self.live.cut(is_theirs));
        }
        drop(changing);
    }

    /// The CAs of a trust domain that are known to be revoked.
    pub fn revoked_cas(&self, domain: &TrustDomain) -> Arc<RevokedCas> {
        self.tokens.trusts().of(domain).revoked.now()
    }

    /// Addresses that are not dialled from now on, whatever is listed, beside those of the settings and our own listeners.
    /// What was said before is forgotten. One that is unspecified means every address of this host.
    pub fn never_dial(&self, addresses: Vec<SocketAddr>) {
        self.own.find(addresses);
    }

    /// The figures until now.
    pub fn figures(&self) -> Figures {
        self.metrics.figures(self.live.len())
    }
}
