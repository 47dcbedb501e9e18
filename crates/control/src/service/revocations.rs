//! What is revoked: a token, those of somebody, those of a key, or all, until now or before a time.

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use sealock_core::audit::Actor;
use sealock_core::policy::{Action, Resource};
use sealock_core::{IdentityKind, Timestamp};
use sealock_traffic::broker::{ClientName, Revoked};
use sealock_traffic::token::SKEW;

use super::broker::{client_name, text};
use super::{Service, broker_error};
use crate::caller::Caller;
use crate::command::{Reply, TokensBefore, TokensRevoked};
use crate::error::{ErrorCode, ServiceError};

impl Service {
    /// Revokes a token by itself. Who has it, or has asked for it, may always do that; who is not good already is as
    /// good as revoked (RFC 7009 §2.2).
    pub(crate) fn revoke_token(
        &self,
        caller: &Caller,
        client: Option<&ClientName>,
        request: &str,
        token: &str,
    ) -> Result<(), ServiceError> {
        let broker = self.broker()?;
        let found = broker.introspect(token).map_err(|error| broker_error(&error))?;
        let Some(claims) = found else { return Ok(()) };
        let own = claims.subject == caller.principal.identity
            || client.is_some_and(|client| claims.client.as_deref() == Some(client.as_str()));
        let actor = if own {
            Actor { who: caller.who.clone(), request: request.to_owned(), decision: None }
        } else {
            self.may_revoke(caller, request, "token")?
        };
        let revoked = broker.revoke(&Revoked::Token(claims.id), &actor);
        revoked.map(|_| ()).map_err(|error| broker_error(&error))
    }

    pub(super) fn token_revoke(
        &self,
        caller: &Caller,
        request: &str,
        what: &TokensRevoked,
    ) -> Result<Reply, ServiceError> {
        let mut before = None;
        let revoked = match what {
            TokensRevoked::Token(token) => {
                self.revoke_token(caller, None, request, text(token))?;
                return Ok(Reply::Done);
            }
            TokensRevoked::Key(key) => {
                let actor = self.may_revoke(caller, request, "key")?;
                let revoked = self.broker()?.revoke_key(key, &actor);
                revoked.map_err(|error| broker_error(&error))?;
                return Ok(Reply::Done);
            }
            TokensRevoked::Id(id) => Revoked::Token(token_id(id)?),
            TokensRevoked::Identity(who) => {
                Revoked::Identity(self.identity_of(who, IdentityKind::Service)?)
            }
            TokensRevoked::Client(name) => Revoked::Client(client_name(name)?),
            TokensRevoked::All => Revoked::Before,
            TokensRevoked::Before(TokensBefore { time, identity }) => {
                before = Some(self.past(*time)?);
                match identity {
                    Some(who) => Revoked::Identity(self.identity_of(who, IdentityKind::Service)?),
                    None => Revoked::Before,
                }
            }
        };
        let actor = self.may_revoke(caller, request, revoked.word())?;
        let done = self.broker()?.revoke_before(&revoked, before, &actor);
        done.map(|_| Reply::Done).map_err(|error| broker_error(&error))
    }

    /// A time that is not to come, unless the clock of who asks is a little ahead.
    fn past(&self, time: Timestamp) -> Result<Timestamp, ServiceError> {
        let now = self.journal.clock().now();
        if time > now.plus(Duration::from_secs(SKEW)) {
            let text = format!("{time} is in the future: it is {now} here");
            return Err(ServiceError::new(ErrorCode::Usage, text)
                .hint("without --before all are meant that were issued until now"));
        }
        Ok(time)
    }

    fn may_revoke(
        &self,
        caller: &Caller,
        request: &str,
        what: &str,
    ) -> Result<Actor, ServiceError> {
        let context = [("what", what.into())];
        let granted =
            self.authorize(caller, request, Action::TokenRevoke, Resource::Broker, &context)?;
        Ok(granted.actor)
    }
}

/// Ids are ours: 16 bytes in base64url.
fn token_id(text: &str) -> Result<String, ServiceError> {
    match BASE64URL_NOPAD.decode(text.as_bytes()) {
        Ok(bytes) if bytes.len() == 16 => Ok(text.to_owned()),
        _ => Err(ServiceError::new(ErrorCode::Usage, "that is no id of a token")
            .hint("it is the claim `jti`, and stands in the audit log")),
    }
}
