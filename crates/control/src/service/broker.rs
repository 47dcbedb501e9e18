//! The Token Broker behind policy: who may have a token for whom, and who may ask with a secret.

use std::sync::Arc;
use std::time::Duration;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER_PERMISSIVE};
use sealock_core::audit::Actor;
use sealock_core::policy::{Action, Resource};
use sealock_core::{Identity, IdentityKind, SecretBytes};
use sealock_traffic::broker::{
    Broker, BrokerError, ClientInfo, ClientName, KeyInfo, LONGEST, Order, SECRET_OVERLAP, Settings,
};
use sealock_traffic::token::{Claims, Profile};
use zeroize::Zeroizing;

use super::{Service, convert};
use crate::caller::{Caller, Door};
use crate::command::{
    ClientReport, ClientSecret, Reply, SecretText, TokenClaims, TokenForm, TokenKeyReport,
    TokenKeys, TokenReport, TokenState, TokenWanted,
};
use crate::error::{ErrorCode, ServiceError};

/// Longer than this, a secret that was replaced is not kept good.
const LONGEST_OVERLAP: Duration = Duration::from_secs(30 * 24 * 3600);

/// A token that is asked for, read.
#[derive(Debug, Clone)]
pub(crate) struct TokenAsked {
    pub(crate) audience: Identity,
    pub(crate) life: Duration,
    pub(crate) binding: Option<[u8; 32]>,
    pub(crate) profile: Profile,
    /// The client that has shown its secret.
    pub(crate) client: Option<ClientName>,
}

impl Service {
    /// The broker, opened now if it was not. Blocking; may ask for a passphrase.
    pub(crate) fn broker(&self) -> Result<Arc<Broker>, ServiceError> {
        if let Some(broker) = self.broker.get() {
            return Ok(Arc::clone(broker));
        }
        let _making = self.making.lock();
        if let Some(broker) = self.broker.get() {
            return Ok(Arc::clone(broker));
        }
        if !self.is_initialised()? {
            let missing = sealock_authority::AuthorityError::Missing;
            return Err(convert::authority_error(&missing));
        }
        let settings = &self.config().settings.traffic;
        let settings = Settings { issuer: self.token_issuer(), algorithm: settings.algorithm };
        let broker = Broker::open(Arc::clone(&self.journal), self.keyring()?, settings)
            .map_err(|error| broker_error(&error))?;
        Ok(Arc::clone(self.broker.get_or_init(|| broker)))
    }

    /// `iss` of every token: the address under which the broker is found, unless the settings say otherwise.
    pub(crate) fn token_issuer(&self) -> String {
        let settings = &self.config().settings;
        if let Some(issuer) = &settings.traffic.issuer {
            return issuer.clone();
        }
        let port = match settings.api.listen {
            crate::config::Listen::At(address) => address.port(),
            crate::config::Listen::Off => 8443,
        };
        format!("https://{}:{port}", self.opening.hostname)
    }

    /// Keys that have signed for long are replaced, and those that are over go.
    pub(crate) fn keep_token_keys(&self) -> Result<(), ServiceError> {
        self.broker()?.keep_keys().map_err(|error| broker_error(&error))
    }

    /// The service that a token is for: its name, or its SPIFFE ID in this trust domain.
    pub(crate) fn audience(&self, text: &str) -> Result<Identity, ServiceError> {
        let identity = self.identity_of(text, IdentityKind::Service)?;
        if identity.kind() != IdentityKind::Service {
            return Err(ServiceError::new(ErrorCode::Usage, "a token is for a service")
                .hint("name a service: `orders`, or its SPIFFE ID"));
        }
        Ok(identity)
    }

    /// An identity of this installation: `NAME` (of this kind), `KIND/NAME` or a SPIFFE ID.
    pub(super) fn identity_of(
        &self,
        text: &str,
        kind: IdentityKind,
    ) -> Result<Identity, ServiceError> {
        let domain = self.trust_domain();
        let wrong = |error: &(dyn std::error::Error + 'static)| {
            ServiceError::new(ErrorCode::Usage, "that is no identity")
                .caused_by(error)
                .hint("name it as `orders`, `service/orders`, `human/alice` or by its SPIFFE ID")
        };
        if text.contains("://") {
            let identity: Identity = text.parse().map_err(|error| wrong(&error))?;
            if *identity.trust_domain() != domain {
                return Err(ServiceError::new(
                    ErrorCode::Usage,
                    format!("{identity} is not of the trust domain {domain}"),
                ));
            }
            return Ok(identity);
        }
        let (kind, name) = match text.split_once('/') {
            None => (kind, text),
            Some((segment, name)) => {
                let kinds = [IdentityKind::Human, IdentityKind::Service, IdentityKind::Host];
                let kind = kinds.into_iter().find(|kind| kind.segment() == segment);
                let unknown = || {
                    ServiceError::new(ErrorCode::Usage, "that is no identity")
                        .hint("the kinds are human/, service/ and host/")
                };
                (kind.ok_or_else(unknown)?, name)
            }
        };
        Identity::new(&domain, kind, name).map_err(|error| wrong(&error))
    }

    /// Decides and issues.
    pub(crate) fn issue_token(
        &self,
        caller: &Caller,
        request: &str,
        asked: TokenAsked,
    ) -> Result<TokenReport, ServiceError> {
        let life = asked.life.min(self.config().settings.traffic.longest_life).min(LONGEST);
        let resource = self.service_resource(&asked.audience)?;
        let mut context =
            vec![("ttl", life.as_secs().into()), ("bound", asked.binding.is_some().into())];
        context.extend(asked.client.as_ref().map(|name| ("client", name.as_str().into())));
        let granted = self.authorize(caller, request, Action::TokenIssue, resource, &context)?;
        let is_local = matches!(caller.door, Door::Socket | Door::Process);
        if !is_local && !self.issues.lock().take(&caller.who, 1, self.journal.clock().now()) {
            return Err(ServiceError::new(ErrorCode::Busy, "you had too many tokens lately")
                .hint("a token is good for minutes, and for every call to its service: keep it"));
        }
        let order = Order {
            subject: caller.principal.identity.clone(),
            audience: asked.audience,
            client: asked.client,
            binding: asked.binding,
            life,
            profile: asked.profile,
        };
        let issued =
            self.broker()?.issue(&order, &granted.actor).map_err(|error| broker_error(&error))?;
        Ok(TokenReport {
            token: secret(issued.token)?,
            id: issued.id,
            subject: order.subject.to_string(),
            audience: order.audience.to_string(),
            expires: issued.expires,
            life: issued.life.as_secs(),
            bound: order.binding.is_some(),
        })
    }

    pub(super) fn service_resource(&self, identity: &Identity) -> Result<Resource, ServiceError> {
        let groups = self.groups_of(identity)?;
        Ok(Resource::Service { identity: identity.clone(), groups })
    }

    pub(super) fn token_issue(
        &self,
        caller: &Caller,
        request: &str,
        wanted: &TokenWanted,
    ) -> Result<Reply, ServiceError> {
        let binding = binding(caller, wanted)?;
        let life = lasting(wanted.ttl)?;
        let profile = match wanted.form {
            TokenForm::AccessToken => Profile::AccessToken,
            TokenForm::JwtSvid => Profile::JwtSvid,
        };
        let audience = self.audience(&wanted.audience)?;
        let asked = TokenAsked { audience, life, binding, profile, client: None };
        self.issue_token(caller, request, asked).map(|token| Reply::Token(Box::new(token)))
    }

    /// What a token says, to who may know. Of a token that is not good, and of one about which the caller may not
    /// ask, the answer is the same (RFC 7662 §2.2).
    pub(crate) fn token_state(
        &self,
        caller: &Caller,
        request: &str,
        token: &str,
    ) -> Result<Option<Claims>, ServiceError> {
        let found = self.broker()?.introspect(token).map_err(|error| broker_error(&error))?;
        let Some(claims) = found else { return Ok(None) };
        let audience = self.audience(&claims.audience)?;
        let resource = self.service_resource(&audience)?;
        match self.authorize(caller, request, Action::TokenIntrospect, resource, &[]) {
            Ok(_) => Ok(Some(claims)),
            Err(error) if error.code == ErrorCode::Denied => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn token_introspect(
        &self,
        caller: &Caller,
        request: &str,
        token: &SecretText,
    ) -> Result<Reply, ServiceError> {
        let claims = self.token_state(caller, request, text(token))?.map(|claims| shown(&claims));
        Ok(Reply::TokenState(Box::new(TokenState { active: claims.is_some(), claims })))
    }

    pub(super) fn token_keys(&self, caller: &Caller, request: &str) -> Result<Reply, ServiceError> {
        self.authorize(caller, request, Action::ClientRead, Resource::Broker, &[])?;
        let broker = self.broker()?;
        Ok(Reply::TokenKeys(Box::new(TokenKeys {
            issuer: broker.issuer().to_owned(),
            keys: broker.keys().iter().map(key_report).collect(),
            jwks: broker.key_set().to_json(),
        })))
    }

    pub(super) fn token_rotate_key(
        &self,
        caller: &Caller,
        request: &str,
    ) -> Result<Reply, ServiceError> {
        let actor = self.may_manage_clients(caller, request, "rotate-key", None)?;
        let broker = self.broker()?;
        broker.rotate_key(&actor).map_err(|error| broker_error(&error))?;
        Ok(Reply::TokenKeys(Box::new(TokenKeys {
            issuer: broker.issuer().to_owned(),
            keys: broker.keys().iter().map(key_report).collect(),
            jwks: broker.key_set().to_json(),
        })))
    }

    pub(super) fn may_manage_clients(
        &self,
        caller: &Caller,
        request: &str,
        operation: &str,
        client: Option<(&ClientName, Option<&Identity>)>,
    ) -> Result<Actor, ServiceError> {
        let mut context = vec![("operation", operation.into())];
        if let Some((name, identity)) = client {
            context.push(("client", name.as_str().into()));
            context.extend(identity.map(|identity| ("identity", identity.to_string().into())));
        }
        let resource = Resource::Broker;
        let granted = self.authorize(caller, request, Action::ClientManage, resource, &context)?;
        Ok(granted.actor)
    }

    pub(super) fn client_add(
        &self,
        caller: &Caller,
        request: &str,
        name: &str,
        identity: Option<&str>,
    ) -> Result<Reply, ServiceError> {
        let name = client_name(name)?;
        let identity =
            self.identity_of(identity.unwrap_or(name.as_str()), IdentityKind::Service)?;
        let actor =
            self.may_manage_clients(caller, request, "add", Some((&name, Some(&identity))))?;
        let broker = self.broker()?;
        let secret = broker.client_add(&name, &identity, &actor);
        client_secret(&broker, &name, secret)
    }

    pub(super) fn client_rotate(
        &self,
        caller: &Caller,
        request: &str,
        name: &str,
        overlap: Option<u64>,
    ) -> Result<Reply, ServiceError> {
        let name = client_name(name)?;
        let overlap = overlap.map_or(SECRET_OVERLAP, Duration::from_secs);
        if overlap > LONGEST_OVERLAP {
            return Err(ServiceError::new(
                ErrorCode::Usage,
                "an old secret is good for 30 days at most",
            ));
        }
        let actor = self.may_manage_clients(caller, request, "rotate", Some((&name, None)))?;
        let broker = self.broker()?;
        let secret = broker.client_rotate(&name, overlap, &actor);
        client_secret(&broker, &name, secret)
    }

    pub(super) fn client_remove(
        &self,
        caller: &Caller,
        request: &str,
        name: &str,
    ) -> Result<Reply, ServiceError> {
        let name = client_name(name)?;
        let actor = self.may_manage_clients(caller, request, "remove", Some((&name, None)))?;
        let removed = self.broker()?.client_remove(&name, &actor);
        removed.map(|()| Reply::Done).map_err(|error| broker_error(&error))
    }

    pub(super) fn client_list(
        &self,
        caller: &Caller,
        request: &str,
    ) -> Result<Reply, ServiceError> {
        self.authorize(caller, request, Action::ClientRead, Resource::Broker, &[])?;
        let clients = self.broker()?.clients().map_err(|error| broker_error(&error))?;
        Ok(Reply::Clients(clients.into_iter().map(client_report).collect()))
    }
}

/// Seconds, as they were asked for.
pub(crate) fn lasting(ttl: Option<u64>) -> Result<Duration, ServiceError> {
    match ttl {
        None => Ok(LONGEST),
        Some(seconds) if (1..=LONGEST.as_secs()).contains(&seconds) => {
            Ok(Duration::from_secs(seconds))
        }
        Some(_) => Err(ServiceError::new(
            ErrorCode::Usage,
            format!("a token lives 1 to {} seconds", LONGEST.as_secs()),
        )),
    }
}

/// The certificate that a token is to be bound to. Without a word it is the one that is shown. Whether it may be none is
/// policy's to say (`bound`).
fn binding(caller: &Caller, wanted: &TokenWanted) -> Result<Option<[u8; 32]>, ServiceError> {
    let usage = |text: &str| Err(ServiceError::new(ErrorCode::Usage, text));
    let named = wanted.certificate.as_deref().map(digest).transpose()?;
    match (wanted.unbound, named) {
        (true, Some(_)) => usage("a token is bound to a certificate, or to none"),
        (true, None) => Ok(None),
        (false, Some(_)) if caller.certificate.is_some() && named != caller.certificate => {
            usage("over HTTPS a token is bound to the certificate that is shown there")
        }
        (false, named) => Ok(named.or(caller.certificate)),
    }
}

fn digest(text: &str) -> Result<[u8; 32], ServiceError> {
    let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok();
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| {
        ServiceError::new(ErrorCode::Usage, "the certificate is named by 64 hex digits")
            .hint("the SHA-256 of its DER: openssl x509 -in tls.crt -outform der | sha256sum")
    })
}

pub(super) fn client_name(text: &str) -> Result<ClientName, ServiceError> {
    text.parse().map_err(|error| ServiceError::of(ErrorCode::Usage, &error))
}

fn secret(mut text: Zeroizing<String>) -> Result<SecretText, ServiceError> {
    let bytes = SecretBytes::new(std::mem::take(&mut *text).into_bytes());
    SecretText::new(bytes)
        .ok_or_else(|| ServiceError::new(ErrorCode::Fault, "a secret of ours is no text"))
}

pub(super) fn text(secret: &SecretText) -> &str {
    std::str::from_utf8(secret.bytes().expose()).unwrap_or_default()
}

fn client_secret(
    broker: &Broker,
    name: &ClientName,
    made: Result<Zeroizing<String>, BrokerError>,
) -> Result<Reply, ServiceError> {
    let made = made.map_err(|error| broker_error(&error))?;
    let info = broker.client_info(name).map_err(|error| broker_error(&error))?;
    let client = client_report(info);
    Ok(Reply::ClientSecret(Box::new(ClientSecret { client, secret: secret(made)? })))
}

pub(super) fn client_report(info: ClientInfo) -> ClientReport {
    ClientReport {
        client: info.name.to_string(),
        identity: info.identity.to_string(),
        made: info.made,
        rotated: info.rotated,
        old_until: info.old_until,
        secret: info.secret,
        keys: info.keys,
    }
}

fn key_report(key: &KeyInfo) -> TokenKeyReport {
    TokenKeyReport {
        key: key.id.clone(),
        algorithm: key.algorithm.to_string(),
        signs_from: key.signs_from,
        current: key.current,
    }
}

fn shown(claims: &Claims) -> TokenClaims {
    TokenClaims {
        iss: claims.issuer.clone(),
        sub: claims.subject.to_string(),
        aud: claims.audience.clone(),
        exp: claims.expires_at,
        iat: claims.issued_at,
        nbf: claims.not_before,
        jti: claims.id.clone(),
        client_id: claims.client.clone(),
        certificate: claims.binding.map(|digest| BASE64URL_NOPAD.encode(&digest)),
    }
}

pub(crate) fn broker_error(error: &BrokerError) -> ServiceError {
    use BrokerError as E;
    let code = match error {
        E::NoClient(_) | E::UnknownKey(_) => ErrorCode::NotFound,
        E::ClientExists(_) | E::Busy | E::TooManySigners => ErrorCode::Conflict,
        E::TooManyKeys => ErrorCode::Usage,
        E::Token(_) | E::Random => ErrorCode::Fault,
        E::Changed(_) | E::Keyring { .. } | E::NoKey | E::Store(_) | E::Journal(_) => {
            ErrorCode::State
        }
    };
    ServiceError::of(code, error).maybe_hint(error.hint())
}
