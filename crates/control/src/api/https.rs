//! HTTPS with mutual TLS by our own authority.
//!
//! The handshake proves that the client has the key of a certificate under one of our roots. Who it is, the
//! inventory says: the very certificate (compared byte for byte) must be there, in force and not revoked,
//! and its identity is the caller. That is looked up for every request, so a revocation also ends
//! connections that are open.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use aws_lc_rs::digest;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::{Request, Response};
use rustix::net::sockopt::set_tcp_user_timeout;
use rustls_pki_types::CertificateDer;
use sealock_authority::{CertState, Serial};
use sealock_core::Timestamp;
use sealock_net::tls::LiveServer;
use sealock_net::{
    Incoming, Limits, Place, Places, Shares, Shutdown, accept_with, descriptors, serve_http,
};
use tokio::net::{TcpListener, TcpStream};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::body::OutBody;
use super::oauth::Shown;
use super::oauth_login::Origin;
use super::problem;
use super::routes::{Routes, blocking};
use super::streams::Streams;
use crate::acme::AcmeServer;
use crate::caller::Caller;
use crate::error::{ErrorCode, ServiceError};
use crate::service::Service;

/// How long what was sent may be without an answer from the other end's kernel, in milliseconds. A feed has a line every
/// five seconds.
const GONE_AFTER: u32 = 30_000;

/// Connections at once: a feed for each place in the directory, as many Forwarders, and those who ask for tokens.
const CONNECTIONS: usize = 20_000;

/// A bound listener.
#[derive(Debug)]
pub struct ApiListener {
    pub(super) listener: TcpListener,
    /// Where it listens; with the port that was given to it.
    pub address: SocketAddr,
}

/// Binds the address.
pub async fn bind_api(address: SocketAddr) -> Result<ApiListener, ServiceError> {
    let bound = TcpListener::bind(address).await;
    let listener = bound.map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::AddrInUse => {
                "another program has the port: name another with --api ADDRESS:PORT, or --api off"
            }
            io::ErrorKind::PermissionDenied => "ports below 1024 need root",
            _ => "name another address with --api ADDRESS:PORT, or --api off",
        };
        ServiceError::new(ErrorCode::Failed, format!("cannot listen on {address}"))
            .caused_by(&error)
            .hint(hint)
    })?;
    let address = listener.local_addr().unwrap_or(address);
    Ok(ApiListener { listener, address })
}

/// Serves until the shutdown signal, then drains.
pub async fn serve_api(
    bound: ApiListener,
    tls: Arc<LiveServer>,
    service: Arc<Service>,
    shutdown: Shutdown,
) {
    let acme = AcmeServer::of(&service, bound.address, &service.config().settings.api.names);
    let routes = routes(service, acme, &shutdown);
    serve("api", bound, tls, routes, shutdown).await;
}

/// The same for the listener where there is ACME and nothing else.
pub(crate) async fn serve_acme(
    bound: ApiListener,
    tls: Arc<LiveServer>,
    service: Arc<Service>,
    shutdown: Shutdown,
) {
    let acme = AcmeServer::of(&service, bound.address, &service.config().settings.acme.names);
    let routes = Routes { acme_alone: true, ..routes(service, acme, &shutdown) };
    serve("acme", bound, tls, routes, shutdown).await;
}

fn routes(service: Arc<Service>, acme: Option<Arc<AcmeServer>>, shutdown: &Shutdown) -> Routes {
    Routes {
        service,
        shutdown: shutdown.clone(),
        turns: None,
        acme,
        acme_alone: false,
        streams: Some(Streams::default()),
        here: false,
        takes_secrets: false,
    }
}

async fn serve(
    name: &'static str,
    bound: ApiListener,
    tls: Arc<LiveServer>,
    routes: Routes,
    shutdown: Shutdown,
) {
    let limits = Limits::default();
    let places = Places::new(shares(descriptors()));
    let (end, drain) = (shutdown.clone(), limits.drain);
    let serve = move |stream: TcpStream, peer: SocketAddr, place: Place| {
        let (mut routes, end, tls) = (routes.clone(), end.clone(), Arc::clone(&tls));
        // No other network namespace has a way to our loopback.
        routes.here = peer.ip().to_canonical().is_loopback();
        async move {
            // Who is gone without a word holds a place in the directory no longer than this.
            if let Err(error) = set_tcp_user_timeout(&stream, GONE_AFTER) {
                tracing::debug!(%error, "a connection's timeout stays as it is");
            }
            let stream = match tls.accept(stream, limits.handshake).await {
                Ok(stream) => stream,
                Err(error) => {
                    tracing::debug!(%peer, %error, "handshake failed");
                    return;
                }
            };
            let chain = stream.get_ref().1.peer_certificates();
            let leaf: Option<CertificateDer<'static>> =
                chain.and_then(|chain| chain.first()).map(|leaf| leaf.clone().into_owned());
            routes.takes_secrets = leaf.is_none();
            serve_http(stream, limits, end, |mut request| {
                request.extensions_mut().insert(Origin(peer.ip()));
                answer(&routes, &place, request, leaf.clone())
            })
            .await;
        }
    };
    accept_with(name, bound.listener, places, drain, shutdown, serve).await;
}

/// Half of what this process may have open is for this door. One identity has an eighth of it: a service with as many
/// instances as the directory takes, each with its feed, its Forwarder and a call now and then.
fn shares(descriptors: usize) -> Shares {
    let shares = Shares::of((descriptors / 2).min(CONNECTIONS));
    Shares { identity: (shares.all / 8).max(shares.known.min(16)), ..shares }
}

/// Answers a request, and has its connection count for who it is.
async fn answer(
    routes: &Routes,
    place: &Place,
    request: Request<Incoming>,
    leaf: Option<CertificateDer<'static>>,
) -> Response<OutBody> {
    let caller = caller(&routes.service, leaf).await;
    let identified = caller.as_ref().map_or(Ok(()), |caller| place.identify(&caller.who));
    if let Err(crowded) = identified {
        let crowded = ServiceError::of(ErrorCode::Busy, &crowded);
        let crowded = crowded.hint("end some of them, or try again later");
        let mut answer = problem(&crowded, false);
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        return answer;
    }
    let answer = routes.answer(request, caller).await;
    if let Some(Shown(who)) = answer.extensions().get() {
        // One that has too many is a stranger still, and was answered.
        let _ = place.identify(who);
    }
    answer
}

async fn caller(
    service: &Arc<Service>,
    leaf: Option<CertificateDer<'static>>,
) -> Result<Caller, ServiceError> {
    let service = Arc::clone(service);
    blocking(move || identified(&service, leaf).map(|found| found.caller)).await
}

/// Who has a certificate, and until when.
pub(crate) struct Identified {
    pub(crate) caller: Caller,
    /// Hex.
    pub(crate) serial: String,
    pub(crate) not_after: Timestamp,
}

/// Who has this certificate, by the inventory. Blocking.
pub(crate) fn identified(
    service: &Service,
    leaf: Option<CertificateDer<'static>>,
) -> Result<Identified, ServiceError> {
    let refused = |reason: &str| ServiceError::new(ErrorCode::Unauthenticated, reason);
    let leaf = leaf.ok_or_else(|| {
        refused("this needs a client certificate")
            .hint("the administrator's is in identities/admin of the state folder")
    })?;
    let unknown = || refused("the client certificate is not known here");
    let (_, parsed) = X509Certificate::from_der(&leaf).map_err(|_| unknown())?;
    let serial = Serial::from_integer(parsed.raw_serial()).ok_or_else(unknown)?;
    let authority = service.authority()?;
    let found = authority.show_serial(serial).map_err(|_| unknown())?;
    if found.der != leaf.as_ref() {
        return Err(unknown());
    }
    match found.summary.state {
        CertState::Valid | CertState::Replaced => {}
        CertState::Revoked => return Err(refused("the client certificate is revoked")),
        CertState::Expired => return Err(refused("the client certificate has expired")),
    }
    let identity =
        found.summary.identity.ok_or_else(|| refused("the client certificate has no identity"))?;
    if *identity.trust_domain() != authority.trust_domain() {
        return Err(unknown());
    }
    let groups = service.groups_of(&identity)?;
    let mut caller = Caller::identified(identity, groups);
    caller.certificate = digest::digest(&digest::SHA256, &leaf).as_ref().try_into().ok();
    Ok(Identified { caller, serial: serial.to_string(), not_after: found.summary.not_after })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_places_fit_the_directory_and_what_the_process_may_have_open() {
        let usual = shares(524_288);
        assert_eq!((usual.all, usual.identity), (CONNECTIONS, 2500));
        assert!(usual.known >= 2 * 8192, "a feed and a Forwarder for each place");
        for descriptors in [64, 256, 1024, 4096, 20_000] {
            let Shares { all, strangers, origin, known, identity } = shares(descriptors);
            assert!(all <= descriptors / 2 && known < all && (16..=known).contains(&identity));
            assert!(origin <= strangers && origin >= 16, "{descriptors}");
        }
    }
}
