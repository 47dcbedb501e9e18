//! A person's certificate: for a code, or in the place of the one that they show.
//!
//! **What an attacker controls:** the request and the code, and, with a stolen laptop, a certificate that is still good.
//! It is renewed as long as a code was used for that person and nobody has taken that back, whatever the rules say.

use std::time::Duration;

use sealock_authority::{KeySource, Order, Usages, parse_csr};
use sealock_core::audit::Actor;
use sealock_core::policy::{Action, Resource};
use sealock_core::{Identity, IdentityKind, Timestamp};
use serde::Serialize;

use super::login::person;
use super::{Service, broker_error, convert};
use crate::caller::{Caller, Door};
use crate::error::{ErrorCode, ServiceError};

/// A renewal counts as so many tokens: it is a record for ever, and a signature by the authority.
const RENEWAL: u32 = 100;

/// A person's certificate, as it is given out.
#[derive(Debug, Serialize)]
pub(crate) struct Enrolled {
    identity: String,
    serial: String,
    not_after: Timestamp,
    /// The leaf, then the intermediates, PEM.
    certificate: String,
    /// The roots to trust, PEM.
    ca: String,
}

impl Service {
    /// A person's certificate: for a code, or, without one, in the place of the one that the caller has shown.
    pub(crate) fn enrol(
        &self,
        code: Option<&str>,
        caller: Result<Caller, ServiceError>,
        csr: &[u8],
        request: &str,
    ) -> Result<Enrolled, ServiceError> {
        // Before a code is used up for it.
        let csr = parse_csr(csr)
            .map_err(|error| ServiceError::of(ErrorCode::Usage, &error).maybe_hint(error.hint()))?;
        let (user, life, actor) = match code {
            Some(code) => {
                let used = self.broker()?.enrolment_use(code, request);
                let used = used.map_err(|error| broker_error(&error))?.ok_or_else(|| {
                    ServiceError::new(
                        ErrorCode::Unauthenticated,
                        "the code is not good: wrong, used, or its time is over",
                    )
                })?;
                let actor = Actor {
                    who: used.user.to_string(),
                    request: request.to_owned(),
                    decision: None,
                };
                (used.user, Duration::from_secs(used.life), actor)
            }
            None => self.may_renew(&caller?, request)?,
        };
        let order = Order {
            name: format!("login-{}", user.name()),
            identity: Some(user.clone()),
            names: Vec::new(),
            usages: Usages::CLIENT,
            profile: None,
            ttl: life.min(self.config().settings.authority.longest_life),
            key: KeySource::PublicKey(csr.public_key),
            issuer: None,
        };
        let issued = self.authority()?.issue(&order, &actor);
        let issued = issued.map_err(|error| convert::authority_error(&error))?;
        self.metrics.issued();
        Ok(Enrolled {
            identity: user.to_string(),
            serial: issued.serial.to_string(),
            not_after: issued.not_after,
            certificate: issued.tls_crt(),
            ca: issued.ca_crt(),
        })
    }

    /// Whose certificate is renewed, and for how long: as long as was said when they were let in.
    fn may_renew(
        &self,
        caller: &Caller,
        request: &str,
    ) -> Result<(Identity, Duration, Actor), ServiceError> {
        let user = caller.principal.identity.clone();
        if caller.door != Door::Api || user.kind() != IdentityKind::Human {
            return Err(ServiceError::new(
                ErrorCode::Unauthenticated,
                "show a code, or the certificate of a person that is to be renewed",
            ));
        }
        let user = person(user)?;
        let now = self.journal.clock().now();
        let confirmed = self.broker()?.person_confirmed(&user);
        let Some((since, life)) = confirmed.map_err(|error| broker_error(&error))? else {
            return Err(self.not_renewed(caller, request)?);
        };
        let seconds = |span: Duration| i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
        let context =
            [("ttl", seconds(life).into()), ("confirmed", seconds(now.since(since)).into())];
        let granted =
            self.authorize(caller, request, Action::LoginRenew, Resource::Broker, &context)?;
        if !self.issues.lock().take(&caller.who, RENEWAL, now) {
            return Err(ServiceError::new(ErrorCode::Busy, "you had too many certificates lately"));
        }
        Ok((user, life, granted.actor))
    }

    /// Before policy is asked: a rule that permits everything, as that of the administrators, was not written to undo
    /// `login deny --user`.
    fn not_renewed(&self, caller: &Caller, request: &str) -> Result<ServiceError, ServiceError> {
        let reason = "nothing is renewed of who has not logged in, or whose login was ended";
        self.refused_without_policy(caller, request, reason)?;
        Ok(ServiceError::new(ErrorCode::Denied, reason).hint("log in anew"))
    }
}
