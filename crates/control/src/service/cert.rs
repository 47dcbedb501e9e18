//! `cert …`.

use std::time::Duration;

use sealock_authority::{
    Authority, AuthorityError, CertDetail, CertState, CertSummary, Csr, KeySource, Order, Renewal,
    Serial, Usages, parse_csr,
};
use sealock_core::audit::Actor;
use sealock_core::policy::{Action, Resource};
use sealock_core::{IssuerName, IssuerNameError, SubjectName};
use serde_json::{Value, json};

use super::authorize::Asking;
use super::choice::{self, Ordering};
use super::names::{self, Ordered};
use super::profile::Terms;
use super::{Service, convert};
use crate::caller::Caller;
use crate::command::{Issue, Reply, RevocationReason, Sign};
use crate::error::{ErrorCode, ServiceError};

/// What policy is told about an order.
pub(super) struct Circumstances<'a> {
    pub(super) name: &'a str,
    pub(super) life: Duration,
    pub(super) usages: Usages,
    pub(super) profile: &'a str,
    pub(super) key_type: &'a str,
}

impl Circumstances<'_> {
    pub(super) fn context(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("name", self.name.into()),
            ("ttl", json!(i64::try_from(self.life.as_secs()).unwrap_or(i64::MAX))),
            ("usages", self.usages.names().into()),
            ("profile", self.profile.into()),
            ("keyType", self.key_type.into()),
        ]
    }

    fn of<'a>(&self, action: Action, ordered: &'a Ordered) -> Ordering<'a> {
        Ordering {
            action,
            names: &ordered.names,
            identity: ordered.identity.as_ref(),
            spare_identity: ordered.automatic,
            usages: self.usages,
            context: self.context(),
        }
    }
}

impl Service {
    pub(super) fn cert_issue(
        &self,
        caller: &Caller,
        request: &str,
        issue: &Issue,
    ) -> Result<Reply, ServiceError> {
        let authority = self.authority()?;
        let terms = self.terms(issue.profile.as_deref(), issue.usages.map(convert::usages))?;
        let usages = terms.profile.usages;
        let ordered = names::for_issue(&authority, &issue.name, &issue.names, &terms.profile)?;
        let life = self.life(issue.ttl, &terms)?;
        let kind = convert::key_type(issue.key_type);
        terms.check(ordered.identity.as_ref(), &ordered.names, kind.into())?;
        let circumstances = Circumstances {
            name: &issue.name,
            life,
            usages,
            profile: &terms.name,
            key_type: kind.as_str(),
        };
        let asking = Asking::of(caller, request);
        let named = issuer_name(issue.issuer.as_deref())?;
        let ordering = circumstances.of(Action::CertIssue, &ordered);
        let chosen = self.choose_issuer(&asking, named.as_ref(), &ordering)?;
        let (identity, names, all) = ordered.signed_by(chosen.issuer.as_ref());
        let order = Order {
            name: issue.name.clone(),
            identity,
            names,
            usages,
            profile: Some(terms.name.clone()),
            ttl: life,
            key: KeySource::Generate(kind),
            issuer: chosen.issuer,
        };
        self.sign(&authority, &order, all, &chosen.granted.actor)
    }

    pub(super) fn cert_sign(
        &self,
        caller: &Caller,
        request: &str,
        sign: &Sign,
    ) -> Result<Reply, ServiceError> {
        let authority = self.authority()?;
        let csr = parse_csr(&csr_bytes(&sign.csr)?)
            .map_err(|error| ServiceError::of(ErrorCode::Usage, &error).maybe_hint(error.hint()))?;
        let terms = self.terms(sign.profile.as_deref(), sign.usages.map(convert::usages))?;
        let wanted =
            if sign.names.is_empty() { csr.names.clone() } else { names::parse(&sign.names)? };
        let ordered = names::with_identity(wanted)?;
        let name = name_of_request(sign, &csr, &ordered)?;
        let life = self.life(sign.ttl, &terms)?;
        let kind = csr.public_key.kind();
        terms.check(ordered.identity.as_ref(), &ordered.names, kind)?;
        let usages = terms.profile.usages;
        let key_type = kind.to_string();
        let circumstances =
            Circumstances { name: &name, life, usages, profile: &terms.name, key_type: &key_type };
        let asking = Asking::of(caller, request);
        let named = issuer_name(sign.issuer.as_deref())?;
        let ordering = circumstances.of(Action::CertSign, &ordered);
        let chosen = self.choose_issuer(&asking, named.as_ref(), &ordering)?;
        let (identity, names, all) = ordered.signed_by(chosen.issuer.as_ref());
        let order = Order {
            name,
            identity,
            names,
            usages,
            profile: Some(terms.name.clone()),
            ttl: life,
            key: KeySource::PublicKey(csr.public_key),
            issuer: chosen.issuer,
        };
        self.sign(&authority, &order, all, &chosen.granted.actor)
    }

    /// The profile by which a certificate is renewed: its own, as long as that is there and for the same.
    fn terms_of(&self, old: &CertSummary) -> Result<Terms, ServiceError> {
        let again = |error: ServiceError| error.hint("issue it anew, by a profile that there is");
        let terms = self.terms(Some(&old.profile), None).map_err(again)?;
        if terms.profile.usages != old.usages {
            let text = format!(
                "the profile `{}` is not for {} any more",
                terms.name,
                old.usages.names().join(" and ")
            );
            return Err(again(ServiceError::new(ErrorCode::Usage, text)));
        }
        // The first name is the identity; what is renewed has a key of the same kind.
        terms.check(old.identity.as_ref(), &old.names, old.key).map_err(again)?;
        Ok(terms)
    }

    fn sign(
        &self,
        authority: &Authority,
        order: &Order,
        names: Vec<SubjectName>,
        actor: &Actor,
    ) -> Result<Reply, ServiceError> {
        let issued =
            authority.issue(order, actor).map_err(|error| convert::authority_error(&error))?;
        self.metrics.issued();
        Ok(Reply::Files(Box::new(convert::files(&issued, names, None, &actor.request))))
    }

    /// One certificate, once its reader may see it. To those who may not see the inventory, one that does
    /// not exist is denied like one that does.
    pub(super) fn readable(
        &self,
        caller: &Caller,
        request: &str,
        found: Result<CertDetail, AuthorityError>,
    ) -> Result<CertDetail, ServiceError> {
        let resource = found.as_ref().map_or(Resource::Authority, resource);
        self.authorize(caller, request, Action::CertRead, resource, &[])?;
        found.map_err(|error| convert::authority_error(&error))
    }

    pub(super) fn cert_show(
        &self,
        caller: &Caller,
        request: &str,
        certificate: &str,
    ) -> Result<Reply, ServiceError> {
        let found = self.authority()?.show(certificate);
        let found = self.readable(caller, request, found)?;
        Ok(Reply::Certificate(Box::new(convert::detail(&found))))
    }

    pub(super) fn cert_renew(
        &self,
        caller: &Caller,
        request: &str,
        certificate: &str,
        ttl: Option<u64>,
    ) -> Result<Reply, ServiceError> {
        let old = self.authority()?.show(certificate);
        let old = self.readable(caller, request, old)?.summary;
        let terms = self.terms_of(&old)?;
        let ttl = match ttl {
            Some(seconds) => Some(self.life(Some(seconds), &terms)?),
            // What was allowed when it was ordered may be too long by now.
            None => {
                let longest = self.config().settings.authority.longest_life;
                let longest = terms.profile.longest.map_or(longest, |it| it.min(longest));
                Some(longest).filter(|longest| *longest < old.not_after.since(old.issued))
            }
        };
        let life = ttl.unwrap_or_else(|| old.not_after.since(old.not_before));
        let kind = old.key.to_string();
        let circumstances = Circumstances {
            name: &old.name,
            life,
            usages: old.usages,
            profile: &terms.name,
            key_type: &kind,
        };
        let asking = Asking::of(caller, request);
        // Of a line of issuers the one that signs now renews what those before it have signed.
        let issuer = choice::issuer_of(&*self.authority()?, old.issuer);
        let ordering = Ordering {
            action: Action::CertRenew,
            names: &old.names,
            identity: None,
            spare_identity: false,
            usages: old.usages,
            context: circumstances.context(),
        };
        let granted = self.choose_issuer(&asking, Some(&issuer), &ordering)?.granted;
        let renewal = Renewal { ttl, ..Renewal::default() };
        let issued = self
            .authority()?
            .renew(old.serial, &renewal, &granted.actor)
            .map_err(|error| convert::authority_error(&error))?;
        self.metrics.renewed();
        let replaces = Some(old.serial.to_string());
        Ok(Reply::Files(Box::new(convert::files(&issued, old.names, replaces, request))))
    }

    pub(super) fn cert_revoke(
        &self,
        caller: &Caller,
        request: &str,
        serial: &str,
        reason: RevocationReason,
    ) -> Result<Reply, ServiceError> {
        let serial: Serial = serial.parse().map_err(|error| {
            ServiceError::of(ErrorCode::Usage, &error).hint(
                "certificates are revoked by their number, not by name: `sealock cert list` has it",
            )
        })?;
        // By number alone: what policy is asked about must be what is revoked.
        let found = self.authority()?.show_serial(serial);
        let found = self.readable(caller, request, found)?;
        let reason = convert::reason(reason);
        let context = [("reason", Value::from(reason.as_str()))];
        let granted =
            self.authorize(caller, request, Action::CertRevoke, resource(&found), &context)?;
        self.revoke_bound(&found, &granted.actor);
        let outcome = self
            .authority()?
            .revoke(serial, reason, &granted.actor)
            .map_err(|error| convert::authority_error(&error))?;
        if self.daemon.load().is_none() {
            self.catch_up_lists();
        }
        // Before they begin to lose it.
        let published = self.published_at(serial);
        self.after_revocation(&outcome.certificate.serial.to_string(), outcome.already);
        let mut report = convert::certificate(&outcome.certificate);
        report.published = published?;
        Ok(Reply::Certificate(Box::new(report)))
    }
}

impl Service {
    /// Whether a certificate, by its serial in hex, is revoked.
    pub(crate) fn is_revoked(&self, serial: &str) -> Result<bool, ServiceError> {
        let serial: Serial =
            serial.parse().map_err(|error| ServiceError::of(ErrorCode::Fault, &error))?;
        let found = self.authority()?.show_serial(serial);
        let found = found.map_err(|error| convert::authority_error(&error))?;
        Ok(found.summary.state == CertState::Revoked)
    }
}

pub(super) fn resource(found: &CertDetail) -> Resource {
    Resource::Certificate {
        serial: found.summary.serial.to_string(),
        name: found.summary.name.clone(),
    }
}

/// The issuer that a command names, if it names one.
fn issuer_name(text: Option<&str>) -> Result<Option<IssuerName>, ServiceError> {
    let parsed = text.map(str::parse).transpose();
    parsed.map_err(|error: IssuerNameError| ServiceError::of(ErrorCode::Usage, &error))
}

/// What the inventory calls the certificate of a CSR.
fn name_of_request(sign: &Sign, csr: &Csr, ordered: &Ordered) -> Result<String, ServiceError> {
    let first_dns = ordered.names.iter().find(|name| matches!(name, SubjectName::Dns(_)));
    let own = csr.common_name.clone().filter(|name| !name.contains(char::is_whitespace));
    let identity = || ordered.identity.as_ref().map(|identity| identity.name().to_owned());
    let first_email = || {
        let email = ordered.names.iter().find(|name| matches!(name, SubjectName::Email(_)));
        email.map(ToString::to_string)
    };
    let name = sign.name.clone().or(own).or_else(|| first_dns.map(ToString::to_string));
    name.or_else(identity).or_else(first_email).ok_or_else(|| {
        ServiceError::new(ErrorCode::Usage, "the request names nobody")
            .hint("give a NAME, and names with --dns, --ip, --uri or --email")
    })
}

/// A CSR in PEM, or in base64 of its DER.
fn csr_bytes(text: &str) -> Result<Vec<u8>, ServiceError> {
    if text.contains("-----BEGIN") {
        return Ok(text.as_bytes().to_vec());
    }
    let compact: String = text.split_whitespace().collect();
    data_encoding::BASE64.decode(compact.as_bytes()).map_err(|_| {
        ServiceError::new(ErrorCode::Usage, "the request is neither PEM nor base64")
            .hint("give it as `openssl req -new` writes it")
    })
}
