//! `send` and `offer`, as far as they are decided and recorded here; the bytes are carried by the process
//! that was called.
//!
//! A transfer that began is an entry in the store until it has ended; who knows its id may end it once. One
//! whose process was killed expires.

use std::time::Duration;

use sealock_core::audit::{Actor, Fact};
use sealock_core::policy::{Action, ContainerFacts, Resource, plain};
use sealock_store::{Change, Condition, Operation, Transaction};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Service, convert, new_request_id};
use crate::caller::{Caller, Door};
use crate::command::{self, OfferEvent, Reply, TransferBegin, TransferFinish, TransferOpened};
use crate::error::{ErrorCode, ServiceError};

/// A transfer that has not ended by then never will.
const LONGEST: Duration = Duration::from_secs(7 * 86_400);

/// What is under way.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Pending {
    /// Into a container.
    Send { who: String, container: String, path: String, carrier: String },
    /// To whoever has the ticket.
    Offer { who: String },
}

impl Pending {
    fn who(&self) -> &str {
        match self {
            Self::Send { who, .. } | Self::Offer { who } => who,
        }
    }
}

impl Service {
    pub(super) fn transfer_begin(
        &self,
        caller: &Caller,
        request: &str,
        begin: TransferBegin,
    ) -> Result<Reply, ServiceError> {
        if !begin.path.starts_with('/') {
            return Err(ServiceError::new(
                ErrorCode::Usage,
                format!("`{}` is no absolute path in a container", begin.path),
            ));
        }
        let facts = self.container_facts(caller, begin.container)?;
        let mut context = vec![
            ("path", Value::from(begin.path.as_str())),
            ("carrier", Value::from(begin.carrier.as_str())),
        ];
        if let Some(after) = &begin.after {
            context.push(("after", Value::from(after.as_str())));
        }
        let container = short(&facts);
        let resource = Resource::Container(facts);
        let granted = self.authorize(caller, request, Action::TransferSend, resource, &context)?;
        let transfer = new_request_id()?;
        let pending = Pending::Send {
            who: caller.who.clone(),
            container: container.clone(),
            path: begin.path.clone(),
            carrier: begin.carrier.clone(),
        };
        let fact = Fact::TransferStarted {
            transfer: transfer.clone(),
            container,
            path: begin.path,
            carrier: begin.carrier,
        };
        self.open_transfer(&transfer, &pending, &granted.actor, fact)?;
        Ok(Reply::Opened(TransferOpened { transfer, request: request.to_owned() }))
    }

    /// A local caller has the engine itself and could do without us; what it says of a container is
    /// taken. A remote one's word is not: facts are what our engine says.
    fn container_facts(
        &self,
        caller: &Caller,
        claimed: ContainerFacts,
    ) -> Result<ContainerFacts, ServiceError> {
        if matches!(caller.door, Door::Socket | Door::Process) {
            return Ok(claimed);
        }
        let known = self.daemon.load_full().and_then(|daemon| daemon.facts_of(&claimed.id));
        known.ok_or_else(|| {
            ServiceError::new(ErrorCode::NotFound, "there is no such container on this host")
        })
    }

    fn open_transfer(
        &self,
        transfer: &str,
        pending: &Pending,
        actor: &Actor,
        fact: Fact,
    ) -> Result<(), ServiceError> {
        let now = self.journal.clock().now();
        let value = serde_json::to_vec(pending)
            .map_err(|error| ServiceError::of(ErrorCode::Fault, &error))?;
        let put = Operation::Put { key: key(transfer), value, expires: Some(now.plus(LONGEST)) };
        let transaction = Transaction::new().when(Condition::Absent(key(transfer))).with(put);
        self.commit(Change::new(transaction, actor.event(now, fact)))
    }

    fn commit(&self, change: Change) -> Result<(), ServiceError> {
        let committed = self.journal.commit_blocking(change);
        committed.map(|_| ()).map_err(|error| convert::journal_error(&error))
    }

    /// The transfer, if this caller began it.
    fn pending(&self, caller: &Caller, transfer: &str) -> Result<Pending, ServiceError> {
        let found = self
            .journal
            .store()
            .get(&key(transfer))
            .map_err(|error| convert::store_error(&error))?;
        found
            .and_then(|entry| serde_json::from_slice::<Pending>(&entry.value).ok())
            .filter(|pending| pending.who() == caller.who)
            .ok_or_else(|| {
                ServiceError::new(
                    ErrorCode::NotFound,
                    format!("no transfer {} is under way", plain(transfer)),
                )
            })
    }

    /// Ends a transfer: its entry goes and the event comes in one commit, so it ends once.
    fn close_transfer(
        &self,
        caller: &Caller,
        request: &str,
        transfer: &str,
        fact: Fact,
    ) -> Result<Reply, ServiceError> {
        let transaction = Transaction::new()
            .when(Condition::Present(key(transfer)))
            .with(Operation::delete(key(transfer)));
        let event = actor(caller, request).event(self.journal.clock().now(), fact);
        self.commit(Change::new(transaction, event))?;
        Ok(Reply::Done)
    }

    pub(super) fn transfer_finish(
        &self,
        caller: &Caller,
        request: &str,
        finish: TransferFinish,
    ) -> Result<Reply, ServiceError> {
        let Pending::Send { container, path, carrier, .. } =
            self.pending(caller, &finish.transfer)?
        else {
            return Err(ServiceError::new(ErrorCode::Usage, "that is an offer"));
        };
        let digest = &finish.sha256;
        let good = digest == command::WITHHELD
            || (digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()));
        if !good {
            return Err(ServiceError::new(ErrorCode::Usage, "the digest is not 64 hex digits"));
        }
        self.metrics.delivered();
        let fact = Fact::TransferDone {
            transfer: finish.transfer.clone(),
            container,
            path,
            carrier: finish.carrier.unwrap_or(carrier),
            sha256: finish.sha256,
            bytes: finish.bytes,
            files: finish.files,
        };
        self.close_transfer(caller, request, &finish.transfer, fact)
    }

    pub(super) fn transfer_failed(
        &self,
        caller: &Caller,
        request: &str,
        transfer: &str,
        error: &str,
    ) -> Result<Reply, ServiceError> {
        let Pending::Send { container, path, .. } = self.pending(caller, transfer)? else {
            return Err(ServiceError::new(ErrorCode::Usage, "that is an offer"));
        };
        let error = plain(&error.chars().take(500).collect::<String>());
        let transfer_id = transfer.to_owned();
        let fact = Fact::TransferFailed { transfer: transfer_id, container, path, error };
        self.close_transfer(caller, request, transfer, fact)
    }

    pub(super) fn offer_begin(
        &self,
        caller: &Caller,
        request: &str,
        bytes: u64,
        ttl: u64,
    ) -> Result<Reply, ServiceError> {
        let number = |value: u64| json!(i64::try_from(value).unwrap_or(i64::MAX));
        let context = [("bytes", number(bytes)), ("ttl", number(ttl))];
        let granted =
            self.authorize(caller, request, Action::TransferOffer, Resource::Offer, &context)?;
        let transfer = new_request_id()?;
        let expires = self.journal.clock().now().plus(Duration::from_secs(ttl)).to_string();
        let fact = Fact::OfferMade { transfer: transfer.clone(), bytes, expires };
        let pending = Pending::Offer { who: caller.who.clone() };
        self.open_transfer(&transfer, &pending, &granted.actor, fact)?;
        Ok(Reply::Opened(TransferOpened { transfer, request: request.to_owned() }))
    }

    pub(super) fn offer_event(
        &self,
        caller: &Caller,
        request: &str,
        transfer: &str,
        event: OfferEvent,
    ) -> Result<Reply, ServiceError> {
        if !matches!(self.pending(caller, transfer)?, Pending::Offer { .. }) {
            return Err(ServiceError::new(ErrorCode::Usage, "that is no offer"));
        }
        let id = transfer.to_owned();
        let shown = |text: &str| plain(&text.chars().take(500).collect::<String>());
        match event {
            // Readers that come after the first are refused while the offer lingers, so the entry stays
            // until it ends.
            OfferEvent::Taken { peer, sha256 } => {
                let fact =
                    Fact::OfferTaken { transfer: id, peer: shown(&peer), sha256: shown(&sha256) };
                self.note(caller, request, fact)
            }
            OfferEvent::Refused { peer, reason } => {
                let fact =
                    Fact::OfferRefused { transfer: id, peer: shown(&peer), reason: shown(&reason) };
                self.note(caller, request, fact)
            }
            OfferEvent::Ended { reason } => {
                let what = format!("offer {id}");
                let fact = Fact::Failed { what, error: shown(&reason) };
                self.close_transfer(caller, request, transfer, fact)
            }
        }
    }

    fn note(&self, caller: &Caller, request: &str, fact: Fact) -> Result<Reply, ServiceError> {
        let event = actor(caller, request).event(self.journal.clock().now(), fact);
        self.commit(Change::event(event))?;
        Ok(Reply::Done)
    }
}

/// For what follows from a decision that was taken and recorded when the transfer began.
fn actor(caller: &Caller, request: &str) -> Actor {
    Actor { who: caller.who.clone(), request: request.to_owned(), decision: None }
}

fn short(facts: &ContainerFacts) -> String {
    let id: String = facts.id.chars().take(12).collect();
    format!("{} ({})", plain(&facts.name), plain(&id))
}

fn key(transfer: &str) -> Vec<u8> {
    // Ids come from callers too: bounded, so that nobody can make large keys.
    let bounded: String = transfer.chars().take(64).collect();
    format!("control/transfer/{bounded}").into_bytes()
}
