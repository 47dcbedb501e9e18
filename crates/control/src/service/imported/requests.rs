//! `cert request` and `cert requests`.

use sealock_authority::imported::{Subject, Wishes};
use sealock_core::ImportedName;
use sealock_core::audit::DecisionNote;
use sealock_core::policy::{Action, Resource};
use serde_json::Value;

use super::{parse_name, request_error, resource};
use crate::caller::Caller;
use crate::command::{CertRequest, Reply};
use crate::error::{ErrorCode, ServiceError};
use crate::service::authorize::Asking;
use crate::service::{Service, convert, names};

impl Service {
    pub(in crate::service) fn cert_request(
        &self,
        caller: &Caller,
        request: &str,
        wanted: &CertRequest,
    ) -> Result<Reply, ServiceError> {
        let name = parse_name(&wanted.name)?;
        let wishes = wishes(wanted)?;
        let texts: Vec<String> = wishes.names.iter().map(ToString::to_string).collect();
        let mut context = vec![
            ("names", Value::from(texts)),
            ("usages", convert::usage_names(wishes.usages).into()),
            ("keyType", wishes.key_type.as_str().into()),
        ];
        if let Some(upstream) = &wishes.upstream {
            context.push(("upstream", upstream.as_str().into()));
        }
        let mut granted =
            self.authorize(caller, request, Action::CertRequest, resource(&name), &context)?;
        let purpose = self.may_be_for(&Asking::of(caller, request), &name, &wishes)?;
        let decisions = granted.actor.decision.take().into_iter().chain(purpose);
        granted.actor.decision = decisions.reduce(DecisionNote::and);
        self.can_be_asked(&wishes)?;
        let authority = self.authority()?;
        let made = authority
            .request(&name, &wishes, wanted.replace, &granted.actor)
            .map_err(|error| request_error(&error))?;
        self.write_request(&made.standing)?;
        if made.new {
            // What was refused was for another key.
            self.refusals.lock().remove(&name);
            self.changed();
        }
        self.enrol_now(&made.standing)?;
        Ok(Reply::Requested(Box::new(self.request_report(&made.standing))))
    }

    pub(in crate::service) fn cert_requests(
        &self,
        caller: &Caller,
        request: &str,
        name: Option<&str>,
    ) -> Result<Reply, ServiceError> {
        self.authorize(caller, request, Action::CertRead, Resource::Authority, &[])?;
        let authority = self.authority()?;
        let found = match name {
            None => authority.requests(),
            Some(name) => {
                let name = parse_name(name)?;
                let unknown = sealock_authority::imported::RequestError::Unknown(name.clone());
                vec![authority.standing(&name).ok_or_else(|| request_error(&unknown))?]
            }
        };
        let reports = found.iter().map(|standing| self.request_report(standing)).collect();
        Ok(Reply::Requests(reports))
    }

    pub(in crate::service) fn cert_request_drop(
        &self,
        caller: &Caller,
        request: &str,
        name: &str,
        forget: bool,
        force: bool,
    ) -> Result<Reply, ServiceError> {
        let name = parse_name(name)?;
        let operation = if forget { "forget" } else { "cancel" };
        let context = [("operation", operation.into())];
        let granted =
            self.authorize(caller, request, Action::CertRequest, resource(&name), &context)?;
        if forget && !force {
            self.must_be_unused(&name)?;
        }
        let authority = self.authority()?;
        let actor = &granted.actor;
        let dropped = if forget {
            authority.forget_imported(&name, actor)
        } else {
            authority.cancel_request(&name, actor)
        };
        dropped.map_err(|error| request_error(&error))?;
        if forget {
            self.mark_forgotten(&name)?;
        }
        self.refusals.lock().remove(&name);
        self.tidy_requests()?;
        self.changed();
        Ok(Reply::Done)
    }

    /// By whomever a certificate is signed: to sign code or e-mail in a name takes the right to that, as for one of our own
    /// (ADR 0055).
    fn may_be_for(
        &self,
        asking: &Asking<'_>,
        name: &ImportedName,
        wishes: &Wishes,
    ) -> Result<Option<DecisionNote>, ServiceError> {
        let context = [
            ("name", Value::from(name.as_str())),
            ("usages", convert::usage_names(wishes.usages).into()),
            ("profile", wishes.usages.usual_profile().into()),
            ("keyType", wishes.key_type.as_str().into()),
        ];
        self.decide_purpose(asking, &wishes.names, &context)
    }

    /// No running container has it by a label, as far as the daemon sees any.
    fn must_be_unused(&self, name: &ImportedName) -> Result<(), ServiceError> {
        let Some(container) = self.used_by(name).into_iter().next() else { return Ok(()) };
        let text =
            format!("the running container `{container}` has the certificate `{name}` by a label");
        Err(ServiceError::new(ErrorCode::Conflict, text)
            .hint("remove the label or the container first, or say --force: it keeps what it has until that ends"))
    }
}

fn wishes(wanted: &CertRequest) -> Result<Wishes, ServiceError> {
    let names = names::parse(&wanted.names)?;
    let usages = convert::usages(wanted.usages);
    let subject = match &wanted.subject {
        Some(text) => text
            .parse::<Subject>()
            .map_err(|error| ServiceError::of(ErrorCode::Usage, &error).maybe_hint(error.hint()))?,
        None => Subject::usual(&names, usages),
    };
    let key_type = convert::key_type(wanted.key_type);
    Ok(Wishes { subject, names, usages, key_type, upstream: wanted.upstream.clone() })
}
