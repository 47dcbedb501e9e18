//! Containers at the gateway's socket.

use std::sync::Arc;

use sealock_delivery::watcher::container_facts;
use sealock_docker::gateway::{Client, Refused, Session};
use sealock_net::proxy::Cut;
use tokio::net::UnixStream;

use super::super::blocking;
use super::super::gateway::{Entered, refused};
use crate::attest::{AttestError, Attested, Socket};
use crate::service::Service;

/// A container that is connected.
struct Connected {
    entered: Entered,
    attested: Attested,
}

impl Session for Connected {
    fn client(&self) -> Arc<Client> {
        self.entered.client()
    }

    fn cut(&self) -> Cut {
        self.attested.cut()
    }
}

/// Who is at the other end of a connection to the socket.
pub(in super::super) async fn session(
    service: &Arc<Service>,
    stream: &UnixStream,
) -> Result<Box<dyn Session>, Refused> {
    let attested =
        attested(service, stream, Socket::Gateway).await.map_err(|error| turned_away(&error))?;
    let (own, facts) = (Arc::clone(service), container_facts(&attested.container));
    let regrouped = service.regrouped();
    let principal = blocking(move || own.container_principal(&facts)).await.map_err(refused)?;
    let who = principal.identity.to_string();
    tracing::debug!(identity = who, "a container connected");
    let key = format!("container/{}", attested.container.id);
    let identity = principal.identity.clone();
    let client = Client { who, principal };
    let entered = Entered::new(Arc::clone(service), key, client, &attested.cut());
    // Its groups may have been changed after they were looked up and before it was entered.
    if service.regrouped() != regrouped {
        let look = Arc::clone(service);
        let regroup = move || look.sessions().regroup(&identity, || look.groups_of(&identity));
        blocking(regroup).await.map_err(refused)?;
    }
    Ok(Box::new(Connected { entered, attested }))
}

/// Which container it is.
pub(super) async fn attested(
    service: &Service,
    stream: &UnixStream,
    socket: Socket,
) -> Result<Attested, AttestError> {
    let attester = service.attester().get().ok_or(AttestError::NoContainer)?;
    attester.attest(stream, socket).await
}

/// What the caller is told; what it does not know of this host is for the log.
fn turned_away(error: &AttestError) -> Refused {
    tracing::debug!(error = error as &dyn std::error::Error, "turned away at the workload socket");
    let text = error.to_string();
    match error {
        AttestError::NoContainer => Refused::Unknown(format!(
            "{text}: this socket is for containers; others use the gateway with a certificate"
        )),
        AttestError::NoPeer(_)
        | AttestError::Process(_)
        | AttestError::Elsewhere
        | AttestError::Stopped => Refused::Unknown(text),
        AttestError::Writable { .. } => Refused::Denied(format!(
            "{text}, and so could put another in its place; mount it read-only"
        )),
        AttestError::TooMany { .. } => Refused::Busy(text),
        AttestError::Engine(_) => Refused::Unavailable(text),
    }
}
