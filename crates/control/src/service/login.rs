//! People who want to be let in: who waits, and who says yes.
//!
//! **What an attacker controls:** anybody may begin a login, and says who they are as they like. Nothing comes of it
//! until somebody whom policy lets (`Login::Confirm`) has named the code and, with it, who the person is. A code is good
//! for one certificate of that very person, and only with the key that the request for it was signed with.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use sealock_core::audit::{Actor, Fact};
use sealock_core::policy::{Action, Resource};
use sealock_core::span::format_span;
use sealock_core::{Identity, IdentityKind, SecretBytes, Timestamp};
use sealock_traffic::broker::{
    Approved, Begun, DeviceFault, DeviceOrigin, Polled, Program, UserCode, Waiting, enrolment_code,
};
use zeroize::Zeroizing;

use super::{Service, broker_error, convert};
use crate::caller::{ADMIN, Caller};
use crate::command::{
    LoginCode, LoginConfirm, LoginConfirmed, LoginDeny, LoginInvite, LoginInvited, LoginWaiting,
    Logins, Reply, SecretText,
};
use crate::error::{ErrorCode, ServiceError};
use crate::login_code::FirstCode;

/// A person's certificate lives so long where nothing else is said.
const LIFE: Duration = Duration::from_secs(12 * 3600);
/// And so long at most.
const LONGEST_LIFE: Duration = Duration::from_secs(7 * 86_400);
/// An invitation is good for so long where nothing else is said.
const INVITED: Duration = Duration::from_secs(15 * 60);
/// And so long at most.
const LONGEST_INVITED: Duration = Duration::from_secs(7 * 86_400);
/// What a confirmed login gives is to be used at once.
const CONFIRMED: Duration = Duration::from_secs(300);

/// A code for a certificate, and how long it is good.
type CodeFor = (Zeroizing<String>, Duration);

impl Service {
    /// Begins a login.
    pub(crate) fn login_begin(
        &self,
        client: &Program,
        wanted: Option<String>,
        origin: &DeviceOrigin,
    ) -> Result<Begun, ServiceError> {
        if !self.is_initialised()? {
            let missing = sealock_authority::AuthorityError::Missing;
            return Err(convert::authority_error(&missing));
        }
        // A name that nobody can have is not shown to who decides.
        let domain = self.trust_domain();
        let wanted =
            wanted.filter(|name| Identity::new(&domain, IdentityKind::Human, name).is_ok());
        let begun = self.devices.lock().begin(client, wanted, origin, self.journal.clock().now());
        begun.map_err(|error| broker_error(&error))?.map_err(|fault| device_error(&fault))
    }

    /// What a program is told that asks with its code; with yes, the code for the certificate, and how long it is good.
    pub(crate) fn login_poll(
        &self,
        client: &Program,
        code: &str,
    ) -> Result<(Polled, Option<CodeFor>), ServiceError> {
        let broker = self.broker()?;
        let mut devices = self.devices.lock();
        let polled = devices.poll(client, code, self.journal.clock().now());
        let Polled::Approved(approved) = &polled else { return Ok((polled, None)) };
        // One step with the lock held: whoever ends this person's logins finds the yes or the code, never neither.
        let made = broker.enrolment_make(&approved.user, approved.life, "device", CONFIRMED, None);
        drop(devices);
        let code = enrolment_code(&*made.map_err(|error| broker_error(&error))?);
        Ok((polled, Some((code, CONFIRMED))))
    }

    pub(super) fn login_list(&self, caller: &Caller, request: &str) -> Result<Reply, ServiceError> {
        self.authorize(caller, request, Action::LoginRead, Resource::Broker, &[])?;
        let waiting = self.devices.lock().waiting(self.journal.clock().now());
        let codes = self.broker()?.enrolments().map_err(|error| broker_error(&error))?;
        let codes = codes.into_iter().map(|code| LoginCode {
            user: code.user.to_string(),
            by: code.by,
            until: Timestamp::from_secs(code.until),
        });
        let waiting = waiting.iter().map(shown).collect();
        Ok(Reply::Logins(Box::new(Logins { waiting, codes: codes.collect() })))
    }

    pub(super) fn login_confirm(
        &self,
        caller: &Caller,
        request: &str,
        wanted: &LoginConfirm,
    ) -> Result<Reply, ServiceError> {
        let code = user_code(&wanted.code)?;
        let life = span(wanted.life, LIFE, LONGEST_LIFE, "a person's certificate")?;
        let user = wanted.user.as_deref().map(|user| self.person(user)).transpose()?;
        // Whoever may not say anything about logins must not find codes by trying either.
        let actor = self.may_confirm(caller, request, "confirm", user.as_ref(), Some(life))?;
        let now = self.journal.clock().now();
        let waiting = self.devices.lock().find(&code, &caller.who, now);
        let waiting = waiting.map_err(|fault| device_error(&fault))?;
        // What they say of themselves is shown, and counts for nothing: who confirms says who it is.
        let user = user.ok_or_else(|| unnamed(&waiting))?;
        let approved = Approved { user: user.clone(), life };
        self.decided(&code, Some(approved), &actor, || Fact::LoginConfirmed {
            user: user.to_string(),
            client: waiting.client.to_string(),
            origin: waiting.origin.clone(),
        })?;
        Ok(Reply::LoginConfirmed(Box::new(LoginConfirmed {
            user: user.to_string(),
            waiting: shown(&waiting),
            life: life.as_secs(),
        })))
    }

    pub(super) fn login_deny(
        &self,
        caller: &Caller,
        request: &str,
        what: &LoginDeny,
    ) -> Result<Reply, ServiceError> {
        match what {
            LoginDeny::Code(code) => {
                let code = user_code(code)?;
                let actor = self.may_confirm(caller, request, "deny", None, None)?;
                let now = self.journal.clock().now();
                let waiting = self.devices.lock().find(&code, &caller.who, now);
                let waiting = waiting.map_err(|fault| device_error(&fault))?;
                self.decided(&code, None, &actor, || Fact::LoginDenied {
                    client: waiting.client.to_string(),
                    origin: waiting.origin.clone(),
                })?;
            }
            LoginDeny::User(user) => {
                let user = self.identity_of(user, IdentityKind::Human)?;
                let actor = self.may_confirm(caller, request, "revoke", Some(&user), None)?;
                let broker = self.broker()?;
                let mut devices = self.devices.lock();
                devices.revoke(&user);
                let revoked = broker.enrolment_revoke(&user, &actor);
                drop(devices);
                revoked.map_err(|error| broker_error(&error))?;
            }
        }
        Ok(Reply::Done)
    }

    pub(super) fn login_invite(
        &self,
        caller: &Caller,
        request: &str,
        wanted: &LoginInvite,
    ) -> Result<Reply, ServiceError> {
        let user = self.person(&wanted.user)?;
        let life = span(wanted.life, LIFE, LONGEST_LIFE, "a person's certificate")?;
        let ttl = span(wanted.ttl, INVITED, LONGEST_INVITED, "an invitation")?;
        let actor = self.may_confirm(caller, request, "invite", Some(&user), Some(life))?;
        let roots = self.authority()?.trust_bundle();
        let root = roots.first().and_then(|root| digest(&SHA256, root).as_ref().try_into().ok());
        let root: [u8; 32] =
            root.ok_or_else(|| ServiceError::new(ErrorCode::Fault, "the authority has no root"))?;
        let until = self.journal.clock().now().plus(ttl);
        let fact = Fact::LoginInvited { user: user.to_string(), expires: until.to_rfc3339() };
        let made = self.broker()?.enrolment_make(&user, life, "invite", ttl, Some((&actor, fact)));
        let made = made.map_err(|error| broker_error(&error))?;
        let mut text = FirstCode::new(made, root).text();
        let code = SecretText::new(SecretBytes::new(std::mem::take(&mut *text).into_bytes()))
            .ok_or_else(|| ServiceError::new(ErrorCode::Fault, "a code of ours is no text"))?;
        Ok(Reply::LoginInvited(Box::new(LoginInvited { user: user.to_string(), code, until })))
    }

    /// Recorded first, and then in force: what is not in the log was not done. Nothing else is decided in between.
    fn decided(
        &self,
        code: &UserCode,
        approved: Option<Approved>,
        actor: &Actor,
        fact: impl FnOnce() -> Fact,
    ) -> Result<(), ServiceError> {
        let now = self.journal.clock().now();
        let mut devices = self.devices.lock();
        self.journal
            .commit_blocking(sealock_store::Change::event(actor.event(now, fact())))
            .map_err(|error| convert::journal_error(&error))?;
        let decided = devices.decide(code, approved, now);
        decided.map_err(|fault| device_error(&fault))
    }

    fn may_confirm(
        &self,
        caller: &Caller,
        request: &str,
        operation: &str,
        user: Option<&Identity>,
        life: Option<Duration>,
    ) -> Result<Actor, ServiceError> {
        let mut context = vec![("operation", operation.into())];
        context.extend(user.map(|user| ("user", user.to_string().into())));
        context.extend(life.map(|life| ("ttl", life.as_secs().into())));
        let resource = Resource::Broker;
        let granted = self.authorize(caller, request, Action::LoginConfirm, resource, &context)?;
        Ok(granted.actor)
    }

    /// A person who can log in.
    fn person(&self, name: &str) -> Result<Identity, ServiceError> {
        let user = self.identity_of(name, IdentityKind::Human)?;
        if user.kind() != IdentityKind::Human {
            return Err(ServiceError::new(ErrorCode::Usage, format!("{user} is no person"))
                .hint("people log in; services have certificates by label, or are clients"));
        }
        person(user)
    }
}

/// The administrator's certificate is this host's own: whoever could have it by a login would be the administrator.
pub(super) fn person(user: Identity) -> Result<Identity, ServiceError> {
    if user.name() == ADMIN {
        let text = "the administrator of this host does not log in";
        return Err(ServiceError::new(ErrorCode::Usage, text)
            .hint("give the person a name of their own, and put it into the group admin"));
    }
    Ok(user)
}

/// Who waits, for somebody who did not say who that is.
fn unnamed(waiting: &Waiting) -> ServiceError {
    let Waiting { user_code, client, wanted, origin, .. } = waiting;
    let text = match wanted {
        Some(wanted) => format!("who is it? {client} at {origin} says that it is for {wanted}"),
        None => format!("who is it? {client} at {origin} does not say for whom it is"),
    };
    let user = wanted.as_deref().unwrap_or("USER");
    ServiceError::new(ErrorCode::Usage, text).hint(format!(
        "anybody can say so; if you know that it is them: sealock login confirm {user_code} --as {user}"
    ))
}

fn user_code(text: &str) -> Result<UserCode, ServiceError> {
    text.parse().map_err(|error| ServiceError::of(ErrorCode::Usage, &error))
}

fn span(
    seconds: Option<u64>,
    usual: Duration,
    longest: Duration,
    of: &str,
) -> Result<Duration, ServiceError> {
    let span = seconds.map_or(usual, Duration::from_secs);
    if span.is_zero() || span > longest {
        let text = format!("{of} is good for {} at most", format_span(longest));
        return Err(ServiceError::new(ErrorCode::Usage, text));
    }
    Ok(span)
}

fn shown(waiting: &Waiting) -> LoginWaiting {
    LoginWaiting {
        code: waiting.user_code.to_string(),
        client: waiting.client.to_string(),
        wanted: waiting.wanted.clone(),
        origin: waiting.origin.clone(),
        since: waiting.begun,
    }
}

fn device_error(fault: &DeviceFault) -> ServiceError {
    let (code, hint) = match fault {
        DeviceFault::TooMany => (ErrorCode::Busy, "try again in ten minutes"),
        DeviceFault::NoCode => (ErrorCode::NotFound, "`sealock login list` shows who waits"),
        DeviceFault::Guessed => (ErrorCode::Busy, "`sealock login list` shows who waits"),
    };
    ServiceError::of(code, fault).hint(hint)
}
