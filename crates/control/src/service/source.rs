//! Certificates for labels: policy, then the authority. Labels request, policy grants.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sealock_authority::{
    AuthorityError, CertState, Issued, KeySource, KeyType, Order, Renewal, Serial, Usages,
};
use sealock_core::audit::Actor;
use sealock_core::policy::{Action, ContainerFacts, Principal, Question, Resource, plain};
use sealock_core::{Identity, IdentityKind, ImportedName, IssuerName, SecretBytes, SubjectName};
use sealock_delivery::labels;
use sealock_delivery::watcher::{
    CertificateSource, Current, DeliveredCertificate, Refusal, Trust, WantedCertificate,
    WantedTrust, WantedTrustStore,
};
use serde_json::Value;

use super::authorize::Asking;
use super::cert::Circumstances;
use super::choice::{Chosen, Ordering, issuer_of};
use super::secret_source::refused;
use super::{Authority, Service, convert, key_stores};
use crate::caller::Door;
use crate::error::{ErrorCode, ServiceError};

/// Policy and authority as the watcher's source of certificates.
#[derive(Debug, Clone)]
pub struct PolicySource(pub Arc<Service>);

impl CertificateSource for PolicySource {
    fn request(
        &self,
        wanted: WantedCertificate,
    ) -> BoxFuture<'_, Result<DeliveredCertificate, Refusal>> {
        let service = Arc::clone(&self.0);
        async move {
            let work = move || {
                let made = service.certificate_for_label(&wanted)?;
                service.with_stores(&wanted, made)
            };
            match tokio::task::spawn_blocking(work).await {
                // What is not there comes with another import, which is seen.
                Ok(outcome) => outcome.map_err(|error| refused(&error)),
                Err(error) => Err(Refusal::Unavailable { reason: error.to_string(), hint: None }),
            }
        }
        .boxed()
    }

    fn policy_epoch(&self) -> u64 {
        // A refused container is asked for again when a group has changed, too.
        self.0.policy.current().epoch().wrapping_add(self.0.regrouped() << 32)
    }

    fn trust(&self) -> Arc<Trust> {
        // The daemon has opened the authority before there is a watcher.
        let Ok(authority) = self.0.authority() else { return Arc::default() };
        // What is handed out changes with the roots of others, too, and services may serve what those have signed.
        let anchors = authority.distributed_bundle();
        let mut digest = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        anchors.iter().for_each(|anchor| digest.update(anchor));
        let digest = data_encoding::HEXLOWER.encode(digest.finish().as_ref());
        Arc::new(Trust { digest, anchors })
    }

    fn is_below_revoked(&self, serial: &str) -> bool {
        let (Ok(authority), Ok(serial)) = (self.0.authority(), serial.parse()) else {
            return false;
        };
        authority.is_below_revoked(serial).unwrap_or(false)
    }

    fn imported(&self, name: &ImportedName) -> Current {
        let Ok(authority) = self.0.authority() else { return Current::Unknown };
        match authority.standing(name) {
            Some(standing) => match standing.held {
                Some(held) => Current::Version(held.version()),
                None => Current::Waiting,
            },
            None => Current::Gone,
        }
    }

    fn may_have_trust(&self, wanted: WantedTrust) -> BoxFuture<'_, Result<(), Refusal>> {
        let service = Arc::clone(&self.0);
        async move {
            match tokio::task::spawn_blocking(move || service.trust_for_label(&wanted)).await {
                Ok(outcome) => outcome.map_err(|error| refusal(&error)),
                Err(error) => Err(Refusal::Unavailable { reason: error.to_string(), hint: None }),
            }
        }
        .boxed()
    }

    fn trust_store(&self, wanted: WantedTrustStore) -> BoxFuture<'_, Result<SecretBytes, Refusal>> {
        self.apart(move |_| key_stores::trust_store(&wanted))
    }

    fn store_password(&self, value: &SecretBytes) -> Result<SecretBytes, Refusal> {
        key_stores::password(value).map_err(|error| refusal(&error))
    }

    fn is_revoked(&self, serial: &str) -> bool {
        self.0.revoked.contains(serial, |serial| {
            let serial: Serial = serial.parse().ok()?;
            let found = self.0.authority().ok()?.show_serial(serial).ok()?;
            Some(found.summary.state == CertState::Revoked)
        })
    }

    fn imported_names(&self, name: &ImportedName) -> Vec<SubjectName> {
        let standing = self.0.authority().ok().and_then(|it| it.standing(name));
        standing.and_then(|it| it.held).map(|held| held.names).unwrap_or_default()
    }
}

/// What can only change with policy, trust or labels, apart from what may be better in a moment: a clock
/// that was set right, an intermediate that was made anew.
pub(super) fn refusal(error: &ServiceError) -> Refusal {
    let causes =
        error.causes.iter().fold(error.message.clone(), |text, cause| format!("{text}: {cause}"));
    let (reason, hint) = (causes, error.hint.clone());
    match error.code {
        ErrorCode::Denied | ErrorCode::Usage => Refusal::Denied { reason, hint },
        _ => Refusal::Unavailable { reason, hint },
    }
}

impl Service {
    fn certificate_for_label(
        &self,
        wanted: &WantedCertificate,
    ) -> Result<DeliveredCertificate, ServiceError> {
        if let Some(name) = &wanted.imported {
            return self.imported_for_label(wanted, name);
        }
        let authority = self.authority()?;
        let principal = self.container_principal(&wanted.container)?;
        let who = principal.identity.to_string();
        let asking = Asking {
            who: &who,
            principal: &principal,
            via: Door::Label.as_str(),
            request: &wanted.request,
        };
        let key_type = key_type(wanted.key_type);
        let asked =
            Usages { server: wanted.usages.server, client: wanted.usages.client, ..Usages::NONE };
        let named = wanted.profile.as_ref().map(labels::LabelName::as_str);
        let terms = self.terms(named, named.is_none().then_some(asked))?;
        let usages = terms.profile.usages;
        let ttl = self.life(wanted.ttl.map(|ttl| ttl.as_secs()), &terms)?;
        let circumstances = Circumstances {
            name: wanted.certificate.as_str(),
            life: ttl,
            usages,
            profile: &terms.name,
            key_type: key_type.as_str(),
        };
        terms.check(None, &wanted.names, key_type.into())?;
        let context = circumstances.context();
        let action = if wanted.replaces.is_some() { Action::CertRenew } else { Action::CertIssue };
        let ordering = Ordering {
            action,
            names: &wanted.names,
            identity: None,
            spare_identity: true,
            usages,
            context: context.clone(),
        };
        let issuer = self.issuer_for(&authority, wanted)?;
        let Chosen { issuer, granted } = self.choose_issuer(&asking, issuer.as_ref(), &ordering)?;
        // Other issuers than our own certify none.
        let identity = match &issuer {
            None => self.own_identity(&authority, &principal, action, &context),
            Some(_) => None,
        };
        let identity = identity.filter(|identity| {
            let signs = || self.may_sign_as(&principal, identity, &context);
            terms.profile.has_identity() && (!usages.beyond_tls() || signs())
        });
        let order = Order {
            name: format!("{}/{}", wanted.container.name, wanted.certificate.as_str()),
            identity,
            names: wanted.names.clone(),
            usages,
            profile: Some(terms.name),
            ttl,
            key: KeySource::Generate(key_type),
            issuer,
        };
        let issued = self.renew_or_issue(&authority, wanted, &order, &granted.actor)?;
        let roots = match &order.issuer {
            None => self.bundle_for(wanted)?,
            Some(_) => with_root(&issued, &self.bundle_for(wanted)?),
        };
        delivered(&issued, roots)
    }

    /// The issuer that a label names; of a renewal without one, the issuer that it had. By what a container shows there its
    /// clients are let in, and a sidecar is a door of ours: for both there are certificates of our own only.
    fn issuer_for(
        &self,
        authority: &Authority,
        wanted: &WantedCertificate,
    ) -> Result<Option<IssuerName>, ServiceError> {
        let ours_only = wanted.layout == labels::Layout::Docker
            || self.sidecars.get(&wanted.container.id).is_some();
        if let Some(named) = wanted.issuer.as_ref().filter(|issuer| ours_only && !issuer.is_own()) {
            return Err(ServiceError::new(
                ErrorCode::Usage,
                format!("here are certificates of our own issuer only, not of `{named}`"),
            )
            .hint("leave the label `issuer` out, or take the layout `tls`"));
        }
        if ours_only {
            return Ok(Some(IssuerName::own()));
        }
        let before = || -> Option<IssuerName> {
            let serial: Serial = wanted.replaces.as_ref()?.parse().ok()?;
            let old = authority.show_serial(serial).ok()?.summary;
            // Where it is the CA that was revoked, its successor is of the same name.
            let by_itself = old.state == CertState::Revoked && !old.issuer_revoked;
            (!by_itself).then(|| issuer_of(authority, old.issuer))
        };
        Ok(wanted.issuer.clone().or_else(before))
    }

    /// Whether the container may have the roots put into it. They are no secret, but writing into a container is an act.
    fn trust_for_label(&self, wanted: &WantedTrust) -> Result<(), ServiceError> {
        let principal = self.container_principal(&wanted.container)?;
        let who = principal.identity.to_string();
        let asking = Asking {
            who: &who,
            principal: &principal,
            via: Door::Label.as_str(),
            request: &wanted.request,
        };
        let context = [
            ("name", Value::from(wanted.name.as_str())),
            ("path", Value::from(wanted.path.to_string())),
        ];
        self.decide(&asking, Action::TrustDeliver, vec![Resource::Authority], &context).map(|_| ())
    }

    /// The successor of what it replaces, where that can still be renewed; else a new certificate.
    fn renew_or_issue(
        &self,
        authority: &Authority,
        wanted: &WantedCertificate,
        order: &Order,
        actor: &Actor,
    ) -> Result<Issued, ServiceError> {
        let replaces: Option<Serial> = wanted.replaces.as_ref().and_then(|text| text.parse().ok());
        if let Some(serial) = replaces {
            let renewal = Renewal {
                ttl: Some(order.ttl),
                key: Some(order.key.clone()),
                names: Some(order.names.clone()),
                issuer: Some(order.issuer.clone().unwrap_or_else(IssuerName::own)),
                identity: order.identity.clone(),
                usages: Some(order.usages),
                profile: order.profile.clone(),
            };
            match authority.renew(serial, &renewal, actor) {
                Ok(issued) => {
                    self.metrics.renewed();
                    return Ok(issued);
                }
                Err(AuthorityError::Unknown(_) | AuthorityError::Revoked(_)) => {}
                Err(error) => return Err(convert::authority_error(&error)),
            }
        }
        let issued =
            authority.issue(order, actor).map_err(|error| convert::authority_error(&error))?;
        self.metrics.issued();
        Ok(issued)
    }

    /// A container is the service of its name, which the engine keeps unique. Its compose service is a
    /// label: whoever may set one must not thereby choose an identity. A sidecar that we have started acts for the
    /// container beside which it stands, and is known by its id.
    pub(crate) fn container_principal(
        &self,
        facts: &ContainerFacts,
    ) -> Result<Principal, ServiceError> {
        if let Some(sidecar) = self.sidecars.get(&facts.id) {
            let mut principal =
                Principal::new(sidecar.identity.clone()).of_container(sidecar.beside);
            principal.groups = self.groups_of(&sidecar.identity)?;
            return Ok(principal);
        }
        let short: String = facts.id.chars().take(12).collect();
        let identity = Identity::new(&self.trust_domain(), IdentityKind::Service, &facts.name)
            .or_else(|_| Identity::new(&self.trust_domain(), IdentityKind::Service, &short))
            .map_err(|error| ServiceError::of(ErrorCode::Fault, &error))?;
        let mut principal = Principal::new(identity.clone()).of_container(facts.clone());
        principal.groups = self.groups_of(&identity)?;
        Ok(principal)
    }

    /// The container's identity, for its certificate: there where policy and constraints let it be. It was
    /// not asked for, so its absence is no refusal.
    fn own_identity(
        &self,
        authority: &Authority,
        principal: &Principal,
        action: Action,
        context: &[(&'static str, Value)],
    ) -> Option<Identity> {
        let name = SubjectName::Uri(principal.identity.to_string());
        let question = about_identity(principal, action, &name, context);
        let allowed = self.policy.current().decide(&question).allowed;
        let possible = allowed && authority.check_name(&name).is_ok();
        possible.then(|| principal.identity.clone())
    }

    /// Whether a certificate for code or e-mail may have this identity; like its other names, that is asked apart.
    fn may_sign_as(
        &self,
        principal: &Principal,
        identity: &Identity,
        context: &[(&'static str, Value)],
    ) -> bool {
        let name = SubjectName::Uri(identity.to_string());
        let question = about_identity(principal, Action::CertPurpose, &name, context);
        self.policy.current().decide(&question).allowed
    }
}

/// What is asked about the identity of a labelled certificate: with all that is told about its other names, for rules that
/// forbid look at that. Our own issuer only certifies identities.
fn about_identity(
    principal: &Principal,
    action: Action,
    name: &SubjectName,
    context: &[(&'static str, Value)],
) -> Question {
    let question = Question::new(principal.clone(), action, Resource::Name(name.clone()))
        .with("via", Door::Label.as_str())
        .with("issuer", IssuerName::own().as_str());
    context.iter().fold(question, |question, (name, value)| question.with(name, value.clone()))
}

/// The root above what was issued, then the others: programs that read one root only read that one.
fn with_root(issued: &Issued, bundle: &str) -> String {
    let Some(root) = issued.roots.first() else { return bundle.to_owned() };
    format!("{}{}", root.pem, bundle.replace(&*root.pem, ""))
}

fn delivered(issued: &Issued, roots: String) -> Result<DeliveredCertificate, ServiceError> {
    let tls_key = issued.tls_key().cloned().ok_or_else(|| {
        ServiceError::new(ErrorCode::Fault, format!("{} has no key", plain(&issued.name)))
    })?;
    Ok(DeliveredCertificate {
        serial: issued.serial.to_string(),
        not_after: issued.not_after,
        version: None,
        tls_crt: issued.tls_crt().into_bytes(),
        tls_key,
        ca_crt: roots.into_bytes(),
        bundle_pem: issued.bundle_pem(),
        stores: Vec::new(),
    })
}

const fn key_type(kind: labels::KeyType) -> KeyType {
    match kind {
        labels::KeyType::P256 => KeyType::P256,
        labels::KeyType::P384 => KeyType::P384,
        labels::KeyType::Ed25519 => KeyType::Ed25519,
        labels::KeyType::Rsa3072 => KeyType::Rsa3072,
    }
}
