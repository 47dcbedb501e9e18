//! Orders, from the names that are asked for to the certificate.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use sealock_acme::ari::CertificateId;
use sealock_acme::challenge::ChallengeType;
use sealock_acme::identifier::Identifier;
use sealock_acme::problem::{AcmeProblem, ErrorKind, Subproblem};
use sealock_acme::state::{Account, Certificate, NewOrder, Order as AcmeOrder, StateError, Wanted};
use sealock_acme::wire::OrderStatus;
use sealock_authority::{AuthorityError, Csr, Exactly, Issued, KeySource, Order, Usages};
use sealock_core::audit::DecisionNote;
use sealock_core::policy::{Action, Question, Resource};
use sealock_core::{IssuerName, SubjectName, Timestamp};
use sealock_store::BoxedError;
use serde_json::Value;

use super::super::Service;
use super::super::authorize::{Asking, Granted};
use super::super::cert::Circumstances;
use super::super::choice::{Chosen, Ordering};
use super::attested::Orderer;
use super::csr::{check_csr, read_csr};
use super::life::check_moments;
use super::refused::refused_by_authority;
use super::{ACME_NOBODY, AT_ONCE, read_id, service_problem, state_problem};
use crate::caller::Caller;
use crate::config::AcmeProfile;
use crate::error::{ErrorCode, ServiceError};

/// Somebody else brings the same order to an end, again and again.
const ATTEMPTS: usize = 4;
/// What policy is told of the key before it is known; it is asked again when it is.
pub(super) const ANY_KEY: &str = "p256";

/// What is ordered.
#[derive(Debug, Clone)]
pub(crate) struct Ordered {
    pub(crate) identifiers: Vec<Identifier>,
    pub(crate) not_before: Option<Timestamp>,
    pub(crate) not_after: Option<Timestamp>,
    pub(crate) profile: Option<String>,
    /// The certificate that it is to replace.
    pub(crate) replaces: Option<CertificateId>,
}

/// Names, and how each was proved, where it had to be.
pub(crate) type Proofs = Vec<(Identifier, Option<ChallengeType>)>;

impl Service {
    /// Makes an order, if policy would let the account have such a certificate: nobody has us ask at a name that they
    /// could not have in any case.
    pub(crate) fn acme_order_make(
        &self,
        request: &str,
        account: &Account,
        ordered: &Ordered,
    ) -> Result<AcmeOrder, AcmeProblem> {
        let acme = self.opened()?;
        let (profile, terms) = self.acme_profile(ordered.profile.as_deref())?;
        let moments = (ordered.not_before, ordered.not_after);
        check_moments(moments, self.journal.clock().now())?;
        let life = self.acme_life(&terms, moments)?;
        let replaces = match &ordered.replaces {
            Some(id) => Some(self.acme_replaced(account, id, &ordered.identifiers)?),
            None => None,
        };
        terms.bounds.check_names(None, &subject_names(&ordered.identifiers)).map_err(|error| {
            AcmeProblem::new(ErrorKind::RejectedIdentifier, format!("{profile}: {error}"))
        })?;
        let orderer = self.acme_orderer(account)?;
        let mut about = About {
            life,
            usages: terms.usages,
            profile: &profile,
            key_type: ANY_KEY,
            issuer: None,
        };
        let Chosen { issuer, granted } = self.acme_decide(
            &orderer.caller,
            request,
            &ordered.identifiers,
            &about,
            terms.issuer.as_ref(),
        )?;
        self.acme_check_names(&ordered.identifiers, issuer.as_ref(), terms.usages)?;
        about.issuer = issuer;
        let wanted = ordered.identifiers.iter().map(|identifier| Wanted {
            vouched: self.acme_is_vouched(&orderer, identifier, &about, &granted),
            identifier: identifier.clone(),
        });
        let new = NewOrder { wanted: wanted.collect(), validity: moments, profile, replaces };
        acme.order_make(&account.id, &new).map_err(|error| state_problem(&error))
    }

    pub(crate) fn acme_order(&self, account: &Account, id: &str) -> Result<AcmeOrder, AcmeProblem> {
        let found = self.opened()?.order(&account.id, &read_id(id)?);
        found.map_err(|error| state_problem(&error))
    }

    /// The orders of an account, and where to read on.
    pub(crate) fn acme_orders(
        &self,
        account: &Account,
        after: Option<&str>,
    ) -> Result<(Vec<sealock_acme::state::Id>, bool), AcmeProblem> {
        let after = after.map(read_id).transpose()?;
        let found = self.opened()?.orders(&account.id, after.as_ref());
        found.map_err(|error| state_problem(&error))
    }

    /// The names of an order that is ready, and how each was proved, where it had to be; of any other nothing.
    pub(crate) fn acme_proofs(
        &self,
        account: &Account,
        id: &str,
    ) -> Result<Option<Proofs>, AcmeProblem> {
        let order = self.acme_order(account, id)?;
        if order.status != OrderStatus::Ready {
            return Ok(None);
        }
        let acme = self.opened()?;
        let proofs = order.authorizations.iter().map(|id| {
            let found = acme.authorization(&account.id, id);
            let found = found.map_err(|error| state_problem(&error))?;
            let kind = found.challenges.first().map(|challenge| challenge.kind);
            Ok((found.identifier, kind))
        });
        proofs.collect::<Result<_, _>>().map(Some)
    }

    /// Issues the certificate of an order that is ready, if it was when whoever had to be asked was asked
    /// (`may_issue`). Asked again with the same CSR, it says what came of it: whoever was
    /// cut off before the answer gets the certificate that there is, and no second one.
    pub(crate) fn acme_finalize(
        &self,
        request: &str,
        account: &Account,
        id: &str,
        csr_der: &[u8],
        may_issue: bool,
    ) -> Result<AcmeOrder, AcmeProblem> {
        let csr_digest = HEXLOWER.encode(digest(&SHA256, csr_der).as_ref());
        for _ in 0..ATTEMPTS {
            let order = self.acme_order(account, id)?;
            match order.status {
                OrderStatus::Ready if may_issue => {}
                // It has become so since, and nobody was asked about its names.
                OrderStatus::Ready => return Err(not_ready(OrderStatus::Pending)),
                OrderStatus::Valid if order.csr.as_deref() == Some(&csr_digest) => {
                    return Ok(order);
                }
                status => return Err(not_ready(status)),
            }
            let csr = read_csr(csr_der)?;
            check_csr(&csr, &order, account)?;
            match self.acme_issue(request, account, &order, &csr, &csr_digest) {
                Ok(Some(_)) => return self.acme_order(account, id),
                Ok(None) => {}
                Err(problem) => return Err(problem),
            }
        }
        Err(AcmeProblem::rate_limited("the order is being changed: try again", AT_ONCE))
    }

    /// The certificate and the end of its order, in one commit. Nothing where the order was changed in the meantime.
    fn acme_issue(
        &self,
        request: &str,
        account: &Account,
        order: &AcmeOrder,
        csr: &Csr,
        csr_digest: &str,
    ) -> Result<Option<Issued>, AcmeProblem> {
        let acme = self.opened()?;
        let (profile, terms) = self.acme_profile(Some(&order.profile))?;
        let life = self.acme_life(&terms, order.validity)?;
        let orderer = self.acme_orderer(account)?;
        let key_type = csr.public_key.kind().to_string();
        terms.bounds.check_key(csr.public_key.kind()).map_err(|error| {
            AcmeProblem::new(ErrorKind::BadPublicKey, format!("{profile}: {error}"))
        })?;
        let mut about = About {
            life,
            usages: terms.usages,
            profile: &profile,
            key_type: &key_type,
            issuer: None,
        };
        let Chosen { issuer, granted } = self.acme_decide(
            &orderer.caller,
            request,
            &order.identifiers,
            &about,
            terms.issuer.as_ref(),
        )?;
        // Settings, and the CA's own certificate, may be others than when it was ordered.
        let names = subject_names(&order.identifiers);
        terms.bounds.check_names(None, &names).map_err(|error| {
            AcmeProblem::new(ErrorKind::RejectedIdentifier, format!("{profile}: {error}"))
        })?;
        self.acme_check_names(&order.identifiers, issuer.as_ref(), terms.usages)?;
        about.issuer.clone_from(&issuer);
        self.acme_still_vouched(&orderer, order, &about, &granted)?;
        let finishing = match acme.order_finishing(&account.id, &order.id) {
            Err(StateError::Status(_)) => return Ok(None),
            finishing => finishing.map_err(|error| state_problem(&error))?,
        };
        let wanted = Order {
            name: inventory_name(&order.identifiers),
            identity: None,
            names,
            usages: terms.usages,
            profile: Some(profile.clone()),
            ttl: life,
            key: KeySource::PublicKey(csr.public_key.clone()),
            issuer,
        };
        let authority = self.authority().map_err(|error| service_problem(&error))?;
        let (not_before, not_after) = order.validity;
        let exactly = Exactly { not_before, not_after };
        let issued = authority.issue_along(&wanted, exactly, &granted.actor, |issued| {
            let (serial, ends) = (issued.serial.to_string(), issued.not_after);
            let certificate = Certificate { serial: &serial, ends, csr: csr_digest };
            finishing.with(&certificate).map_err(boxed)
        });
        match issued {
            Ok(issued) => {
                self.metrics.issued();
                Ok(Some(issued))
            }
            Err(AuthorityError::Overtaken) => Ok(None),
            Err(error @ AuthorityError::OutlivesIssuer { .. }) if not_after.is_some() => {
                Err(AcmeProblem::malformed(error.to_string()))
            }
            Err(error) => {
                let asking = Asking::of(&orderer.caller, request);
                self.acme_record_unsigned(&asking, granted.actor, order, &error);
                Err(refused_by_authority(&error))
            }
        }
    }

    /// A profile by its name, or the usual one.
    fn acme_profile(&self, name: Option<&str>) -> Result<(String, AcmeProfile), AcmeProblem> {
        let profiles = &self.config().settings.acme.profiles;
        let name = name.unwrap_or(&self.config().settings.acme.usual);
        let profile = profiles.get(name).ok_or_else(|| {
            let known: Vec<&str> = profiles.keys().map(String::as_str).collect();
            AcmeProblem::new(
                ErrorKind::InvalidProfile,
                format!("there is no such profile; there are {}", known.join(", ")),
            )
        })?;
        Ok((name.to_owned(), profile.clone()))
    }

    /// That the constraints of the issuer's chain let these names through.
    fn acme_check_names(
        &self,
        identifiers: &[Identifier],
        issuer: Option<&IssuerName>,
        usages: Usages,
    ) -> Result<(), AcmeProblem> {
        let authority = self.authority().map_err(|error| service_problem(&error))?;
        let refused = identifiers.iter().filter_map(|identifier| {
            let name = identifier.to_subject_name();
            let error = authority.could_issue(issuer, &[name], usages).err()?;
            Some(Subproblem {
                kind: ErrorKind::RejectedIdentifier,
                detail: error.to_string(),
                identifier: identifier.clone(),
            })
        });
        let refused: Vec<Subproblem> = refused.collect();
        if refused.is_empty() {
            return Ok(());
        }
        Err(AcmeProblem::of_identifiers("this authority certifies no such names", refused))
    }

    fn acme_decide(
        &self,
        caller: &Caller,
        request: &str,
        identifiers: &[Identifier],
        about: &About<'_>,
        named: Option<&IssuerName>,
    ) -> Result<Chosen, AcmeProblem> {
        let names = subject_names(identifiers);
        let ordering = Ordering {
            action: Action::CertIssue,
            names: &names,
            identity: None,
            spare_identity: false,
            usages: about.usages,
            context: about.context(&inventory_name(identifiers)),
        };
        let asking = Asking::of(caller, request);
        let chosen = self.choose_issuer(&asking, named, &ordering);
        let chosen = chosen.map_err(|error| match error.code {
            ErrorCode::Denied => self.acme_denied(&asking, identifiers, named, &ordering, &error),
            _ => service_problem(&error),
        })?;
        // In the modes that let everything pass, whoever can connect would pass.
        match &chosen.granted.actor.decision {
            Some(note) if !note.allowed && caller.who.starts_with(ACME_NOBODY) => {
                Err(self.acme_denied_in_every_mode(&asking, note))
            }
            _ => Ok(chosen),
        }
    }

    /// A denial, with each of the names that policy does not give under this issuer: the decision ended at the first.
    fn acme_denied(
        &self,
        asking: &Asking<'_>,
        identifiers: &[Identifier],
        named: Option<&IssuerName>,
        ordering: &Ordering<'_>,
        error: &ServiceError,
    ) -> AcmeProblem {
        let issuer = named.cloned().unwrap_or_else(|| self.last_of_settings());
        let is_denied = |identifier: &&Identifier| {
            !self.gives(asking, &issuer, ordering, &identifier.to_subject_name())
        };
        let of_one = |identifier: &Identifier| Subproblem {
            kind: ErrorKind::RejectedIdentifier,
            detail: format!("policy gives this account no certificate for {identifier}"),
            identifier: identifier.clone(),
        };
        let mut problem = denied(error);
        if identifiers.len() > 1 {
            problem.subproblems = identifiers.iter().filter(is_denied).map(of_one).collect();
        }
        problem
    }

    fn acme_denied_in_every_mode(&self, asking: &Asking<'_>, note: &DecisionNote) -> AcmeProblem {
        let reason = "no rule permits it, and accounts that nobody vouches for have in every mode what rules permit";
        if let Some(unrecorded) = self.room_for_denial(asking) {
            let denied = format!("denied: {reason}");
            let recorded = self.record_denial(asking, Some(note.clone()), denied, unrecorded);
            if let Err(error) = recorded {
                return service_problem(&error);
            }
        }
        AcmeProblem::new(ErrorKind::RejectedIdentifier, reason)
    }

    /// Whether the account need not prove this name: the container that it is of lists it, and a rule gives it; or a rule says
    /// so. In no mode but by a rule.
    fn acme_is_vouched(
        &self,
        orderer: &Orderer,
        identifier: &Identifier,
        about: &About<'_>,
        granted: &Granted,
    ) -> bool {
        let by_rule = granted.actor.decision.as_ref().is_some_and(|note| note.allowed);
        if by_rule && orderer.attests(identifier) {
            return true;
        }
        let caller = &orderer.caller;
        let resource = Resource::Name(identifier.to_subject_name());
        let mut question = Question::new(caller.principal.clone(), Action::CertUnproved, resource)
            .with("via", caller.door.as_str());
        let issuer = about.issuer.clone().unwrap_or_else(IssuerName::own).to_string();
        let context = about.context(&identifier.to_string()).into_iter();
        for (name, value) in context.chain([("issuer", Value::from(issuer))]) {
            question = question.with(name, value);
        }
        self.policy.current().decide(&question).allowed
    }

    /// That what was not proved need not be proved now either: rules, and containers, may have gone since it was ordered.
    fn acme_still_vouched(
        &self,
        orderer: &Orderer,
        order: &AcmeOrder,
        about: &About<'_>,
        granted: &Granted,
    ) -> Result<(), AcmeProblem> {
        let acme = self.opened()?;
        for id in &order.authorizations {
            let found = acme.authorization(&order.account, id);
            let found = found.map_err(|error| state_problem(&error))?;
            let is_proved = !found.challenges.is_empty();
            if !is_proved && !self.acme_is_vouched(orderer, &found.identifier, about, granted) {
                return Err(AcmeProblem::unauthorized(format!(
                    "{} was not proved when it was ordered, and has to be now: make a new order",
                    found.identifier
                )));
            }
        }
        Ok(())
    }
}

/// What policy is told about an order.
pub(super) struct About<'a> {
    pub(super) life: Duration,
    pub(super) usages: Usages,
    pub(super) profile: &'a str,
    pub(super) key_type: &'a str,
    /// Who will sign, once that is known.
    pub(super) issuer: Option<IssuerName>,
}

impl About<'_> {
    pub(super) fn context(&self, name: &str) -> Vec<(&'static str, Value)> {
        let Self { life, usages, profile, key_type, .. } = *self;
        Circumstances { name, life, usages, profile, key_type }.context()
    }
}

fn boxed(error: StateError) -> BoxedError {
    let boxed: Box<dyn std::error::Error + Send + Sync> = Box::new(error);
    boxed.into()
}

fn subject_names(identifiers: &[Identifier]) -> Vec<SubjectName> {
    identifiers.iter().map(Identifier::to_subject_name).collect()
}

/// What the inventory calls it.
fn inventory_name(identifiers: &[Identifier]) -> String {
    identifiers.first().map(ToString::to_string).unwrap_or_default()
}

fn denied(error: &ServiceError) -> AcmeProblem {
    let request = error.request.as_deref().unwrap_or_default();
    let text = match request.is_empty() {
        true => format!("{error}"),
        false => format!(
            "{error}; on the server, `sealock policy explain {request}` says which rule would allow it"
        ),
    };
    AcmeProblem::new(ErrorKind::RejectedIdentifier, text)
}

fn not_ready(status: OrderStatus) -> AcmeProblem {
    let text = match status {
        OrderStatus::Pending => "the order is pending: its authorizations are not all valid",
        OrderStatus::Valid => "the order is valid: its certificate was issued for another CSR",
        OrderStatus::Invalid => "the order is invalid: make a new one",
        OrderStatus::Ready | OrderStatus::Processing => "the order is being changed: try again",
    };
    AcmeProblem::new(ErrorKind::OrderNotReady, text)
}
