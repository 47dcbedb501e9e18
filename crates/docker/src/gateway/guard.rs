//! What the gateway needs of the rest: who somebody is, and whether they may.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use sealock_core::policy::{Action, Defaults, Principal, Resource};
use sealock_net::proxy::Cut;
use serde_json::Value;
use tokio::net::UnixStream;

use super::{Allowance, Over, Sight};

/// Who is at the other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Who, as the audit log has it.
    pub who: String,
    /// Who, as policy has it.
    pub principal: Principal,
}

/// A connection of a client. As long as it is held, [`Guard`] knows of it and can cut it.
pub trait Session: Send + Sync + 'static {
    /// Whose it is, as it is known now: asked for each request.
    fn client(&self) -> Arc<Client>;

    /// Ends it at once.
    fn cut(&self) -> Cut;
}

impl<S: Session + ?Sized> Session for Box<S> {
    fn client(&self) -> Arc<Client> {
        (**self).client()
    }

    fn cut(&self) -> Cut {
        (**self).cut()
    }
}

/// One thing that a request wants to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// What.
    pub action: Action,
    /// To what.
    pub resource: Resource,
    /// The circumstances, as the schema has them for the action.
    pub context: BTreeMap<String, Value>,
}

/// Why somebody gets nothing. The texts are for the client, which prints them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// Who they are is not known, or no longer: 401.
    Unknown(String),
    /// Policy says no: 403.
    Denied(String),
    /// They ask too often: 429.
    Busy(String),
    /// It cannot be found out, or not be recorded: 503.
    Unavailable(String),
}

/// Identity, policy and audit, as the gateway sees them.
pub trait Guard: Send + Sync + 'static {
    /// A connection that was let in.
    type Session: Session;

    /// Who has this certificate; the handshake has proved that they have its key. Asked once for each
    /// connection.
    fn identify(
        &self,
        leaf: CertificateDer<'static>,
    ) -> impl Future<Output = Result<Self::Session, Refused>> + Send;

    /// Who is at the other end of this connection to the workload socket, as the kernel says. Asked once for
    /// each connection.
    fn attest(
        &self,
        stream: &UnixStream,
    ) -> impl Future<Output = Result<Self::Session, Refused>> + Send {
        let _ = stream;
        std::future::ready(Err(Refused::Unknown("there is no workload socket here".to_owned())))
    }

    /// Whether the client may do *all* of this. What is permitted and changes something is recorded before
    /// this returns, and so is every denial. `request` is the number by which both can be found.
    fn decide(
        &self,
        client: &Client,
        request: &str,
        asks: Vec<Ask>,
    ) -> impl Future<Output = Result<(), Refused>> + Send;

    /// Whether policy lets this pass, without a record: for what is shown or left out. Without a resource:
    /// on everything, whatever the circumstances.
    fn permits(&self, client: &Client, action: Action, resource: Option<&Resource>) -> bool;

    /// Whether any rule could let the client do this, on whatever and under whichever circumstances.
    fn may_ever(&self, client: &Client, action: Action) -> bool;

    /// Whether an operation is recorded also where it is permitted.
    fn records(&self, action: Action) -> bool;

    /// Something was read that [`Guard::permits`] on everything and that is not recorded: for the figures.
    fn read_freely(&self, action: Action);

    /// How much of the engine there is for the client.
    fn sight(&self, client: &Client) -> Sight;

    /// Records that the client has named an object of others, if policy does not show them that.
    fn note_others(
        &self,
        client: &Client,
        request: &str,
        resource: Resource,
    ) -> impl Future<Output = ()> + Send;

    /// What is put on everything that the client makes by this.
    fn defaults(&self, client: &Client, action: Action) -> Defaults;

    /// How much the client may ask for, asked once for each connection.
    fn allowance(&self, client: &Client) -> Allowance;

    /// The client asked for more, and was turned away: for the figures, and now and then for the audit log.
    fn over(&self, client: &Client, over: &Over) -> impl Future<Output = ()> + Send;

    /// A number for a request.
    fn request_id(&self) -> Option<String>;
}
