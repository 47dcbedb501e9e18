//! Who signs: the issuer that an order names, or the first of the settings that policy permits.
//!
//! A certificate of another issuer than our own takes two rights: the one to the certificate, as always, and
//! `Cert::Under` for each name. So a rule about certificates, written when they all came from our own root, does not give
//! away what the company's root stands for (ADR 0051).

use sealock_authority::{Authority, IssuerId, Usages};
use sealock_core::policy::{Action, Question, Resource};
use sealock_core::{Identity, IssuerName, SubjectName};
use serde_json::Value;

use super::authorize::{Asking, Granted};
use super::{Service, convert};
use crate::error::{ErrorCode, ServiceError};

/// What is ordered, as far as it matters who signs it.
pub(super) struct Ordering<'a> {
    pub(super) action: Action,
    /// Its names, the identity not among them.
    pub(super) names: &'a [SubjectName],
    /// The identity, which our own issuer certifies only.
    pub(super) identity: Option<&'a Identity>,
    /// Whether it is left out rather than that another issuer may not be chosen.
    pub(super) spare_identity: bool,
    pub(super) usages: Usages,
    /// What policy is told, but for the issuer.
    pub(super) context: Vec<(&'static str, Value)>,
}

/// Who signs; `None` is our own.
pub(super) struct Chosen {
    pub(super) issuer: Option<IssuerName>,
    pub(super) granted: Granted,
}

impl Ordering<'_> {
    fn asked(&self, issuer: &IssuerName) -> (Vec<SubjectName>, Vec<(&'static str, Value)>) {
        let identity = self.identity.filter(|_| issuer.is_own());
        let identity = identity.map(|identity| SubjectName::Uri(identity.to_string()));
        let names = identity.into_iter().chain(self.names.iter().cloned()).collect();
        let mut context = self.context.clone();
        context.push(("issuer", issuer.as_str().into()));
        (names, context)
    }
}

impl Service {
    /// Finds out who signs, and asks policy. The refusal that is recorded is that of the issuer that is named, or of the
    /// last that could be chosen.
    pub(super) fn choose_issuer(
        &self,
        asking: &Asking<'_>,
        named: Option<&IssuerName>,
        ordering: &Ordering<'_>,
    ) -> Result<Chosen, ServiceError> {
        if let Some(named) = named {
            self.without_identity(named, ordering)?;
            return self.permitted(asking, named, ordering);
        }
        let candidates = self.candidates(ordering)?;
        let Some((last, before)) = candidates.split_last() else {
            return Err(self.none_could(asking, ordering));
        };
        let first = before.iter().find(|issuer| self.would_permit(asking, issuer, ordering));
        self.permitted(asking, first.unwrap_or(last), ordering)
    }

    /// Of the issuers in the settings, those whose chain could sign this.
    fn candidates(&self, ordering: &Ordering<'_>) -> Result<Vec<IssuerName>, ServiceError> {
        let authority = self.authority()?;
        let could = |issuer: &&IssuerName| {
            let fits = ordering.identity.is_none() || ordering.spare_identity;
            let others = || {
                fits && authority.could_issue(Some(issuer), ordering.names, ordering.usages).is_ok()
            };
            issuer.is_own() || others()
        };
        Ok(self.config().settings.authority.issuers.iter().filter(could).cloned().collect())
    }

    /// Why none of the issuers in the settings can sign this: `own` only does where the settings say so. Whoever may not
    /// have it is told that and nothing of the issuers.
    fn none_could(&self, asking: &Asking<'_>, ordering: &Ordering<'_>) -> ServiceError {
        let last = self.last_of_settings();
        let asked = match ordering.names.is_empty() {
            true => IssuerName::own(),
            false => last.clone(),
        };
        let why = || {
            self.permitted(asking, &asked, ordering)?;
            self.without_identity(&last, ordering)?;
            let could = self.authority()?.could_issue(Some(&last), ordering.names, ordering.usages);
            could.map_err(|error| convert::authority_error(&error))
        };
        match why() {
            Err(error) => error.in_request(asking.request),
            // It was put right a moment ago.
            Ok(()) => ServiceError::new(ErrorCode::Conflict, "the issuers have just been changed")
                .hint("ask again"),
        }
    }

    /// The one whose word counts where no issuer could be chosen.
    pub(super) fn last_of_settings(&self) -> IssuerName {
        let issuers = &self.config().settings.authority.issuers;
        issuers.last().cloned().unwrap_or_else(IssuerName::own)
    }

    fn without_identity(
        &self,
        issuer: &IssuerName,
        ordering: &Ordering<'_>,
    ) -> Result<(), ServiceError> {
        match ordering.identity.filter(|_| !issuer.is_own() && !ordering.spare_identity) {
            None => Ok(()),
            Some(identity) => {
                let refused = sealock_authority::OrderError::IdentityElsewhere {
                    identity: identity.to_string(),
                    issuer: issuer.clone(),
                };
                Err(convert::authority_error(&refused.into()))
            }
        }
    }

    /// Whether rules permit it, in whatever mode; nothing is recorded.
    fn would_permit(
        &self,
        asking: &Asking<'_>,
        issuer: &IssuerName,
        ordering: &Ordering<'_>,
    ) -> bool {
        let (names, context) = ordering.asked(issuer);
        let policy = self.policy.current();
        let may = |action: Action, name: &SubjectName| {
            let resource = Resource::Name(name.clone());
            policy.decide(&asking.about(action, resource, &context)).allowed
        };
        let reserved = self.reserved_among(&names);
        let for_that =
            |name: &SubjectName| !ordering.usages.beyond_tls() || may(Action::CertPurpose, name);
        names.iter().all(for_that)
            && reserved.iter().all(|name| may(Action::CertReserved, name))
            && names.iter().all(|name| {
                may(ordering.action, name) && (issuer.is_own() || may(Action::CertUnder, name))
            })
    }

    /// Whether rules, in the mode that there is, give one name by itself under this issuer.
    pub(super) fn gives(
        &self,
        asking: &Asking<'_>,
        issuer: &IssuerName,
        ordering: &Ordering<'_>,
        name: &SubjectName,
    ) -> bool {
        let (_, context) = ordering.asked(issuer);
        let policy = self.policy.current();
        let may = |action: Action| {
            let resource = Resource::Name(name.clone());
            policy.decide(&asking.about(action, resource, &context)).permits()
        };
        may(ordering.action) && (issuer.is_own() || may(Action::CertUnder))
    }

    fn permitted(
        &self,
        asking: &Asking<'_>,
        issuer: &IssuerName,
        ordering: &Ordering<'_>,
    ) -> Result<Chosen, ServiceError> {
        let (names, context) = ordering.asked(issuer);
        if names.is_empty() {
            return Err(ServiceError::new(ErrorCode::Usage, "the certificate would have no name")
                .hint("give names with --dns, --ip or --uri"));
        }
        let under = match issuer.is_own() {
            true => None,
            false => {
                let resources = names.iter().cloned().map(Resource::Name).collect();
                self.decide(asking, Action::CertUnder, resources, &context)?.actor.decision
            }
        };
        let mut granted = self.decide_names(asking, ordering.action, &names, &context)?;
        let decisions = granted.actor.decision.take().into_iter().chain(under);
        granted.actor.decision = decisions.reduce(sealock_core::audit::DecisionNote::and);
        Ok(Chosen { issuer: Some(issuer.clone()).filter(|it| !it.is_own()), granted })
    }
}

impl Asking<'_> {
    /// A question of policy about what somebody orders.
    fn about(
        &self,
        action: Action,
        resource: Resource,
        context: &[(&'static str, Value)],
    ) -> Question {
        let question =
            Question::new(self.principal.clone(), action, resource).with("via", self.via);
        context.iter().fold(question, |question, (key, value)| question.with(key, value.clone()))
    }
}

/// The issuer of that name whose certificate has signed this one; ours where it is none of others' roots.
pub(super) fn issuer_of(authority: &Authority, issuer: IssuerId) -> IssuerName {
    authority.issuer_name(issuer).unwrap_or_else(IssuerName::own)
}
