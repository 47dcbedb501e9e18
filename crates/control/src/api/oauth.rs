//! The OAuth 2 endpoints of the Token Broker, at every door: a client shows a secret, a certificate, or is attested.
//!
//! Errors are those of RFC 6749 §5.2. A denial is `access_denied` with the request id, for `sealock policy explain`.

use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use hyper::header::{
    ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, WWW_AUTHENTICATE,
};
use hyper::{Method, Request, Response, StatusCode};
use sealock_core::{Identity, Timestamp};
use sealock_net::Incoming;
use sealock_traffic::broker::{AssertionFault, BrokerError, ClientName};
use sealock_traffic::oauth::{
    FORM, Grant, MAXIMUM_FORM, OauthError, OauthFault, Proof, TokenQuestion, TokenRequest, metadata,
};
use sealock_traffic::token::{Claims, Profile};
use serde::Serialize;
use zeroize::Zeroizing;

use super::body::{self, OutBody};
use super::endpoints::OauthWhat;
use super::oauth_login::polled;
use super::routes::{Routes, blocking};
use crate::caller::Caller;
use crate::error::{ErrorCode, ServiceError};
use crate::service::{Service, TokenAsked, broker_error, lasting, new_request_id};

/// How long a key set may be kept. A new key is in it for longer before it signs.
const KEEP: &str = "public, max-age=60";

/// How a client may say who it is, where it has not.
pub(super) const CHALLENGE: &str = "Basic realm=\"sealock\", charset=\"UTF-8\"";
/// Whether there is such a client, nobody learns who has not its secret.
pub(super) const NO_SUCH_CLIENT: &str = "there is no such client with this secret";

/// An answer with a token (RFC 6749 §5.1, RFC 8693 §2.2.1).
#[derive(Serialize)]
pub(super) struct TokenAnswer<'a> {
    pub(super) access_token: &'a str,
    pub(super) token_type: &'static str,
    pub(super) expires_in: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) issued_token_type: Option<&'static str>,
}

/// What a token says (RFC 7662 §2.2).
#[derive(Serialize)]
struct State {
    active: bool,
    #[serde(flatten)]
    claims: Option<Said>,
}

#[derive(Serialize)]
struct Said {
    iss: String,
    sub: String,
    aud: String,
    exp: u64,
    iat: u64,
    nbf: u64,
    jti: String,
    token_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cnf: Option<Confirmation>,
}

#[derive(Serialize)]
struct Confirmation {
    #[serde(rename = "x5t#S256")]
    certificate: String,
}

/// With an answer: who has shown in the request who it is.
#[derive(Debug, Clone)]
pub(super) struct Shown(pub(super) String);

/// Who asks, and by which client's secret.
struct Asking {
    caller: Caller,
    client: Option<ClientName>,
}

impl Asking {
    /// An answer, from which its connection learns who has asked.
    fn shown(&self, mut answer: Response<OutBody>) -> Result<Response<OutBody>, OauthError> {
        answer.extensions_mut().insert(Shown(self.caller.who.clone()));
        Ok(answer)
    }
}

impl Routes {
    /// Answers at one of the paths, each of which has one method.
    pub(super) async fn oauth(
        &self,
        what: OauthWhat,
        method: &Method,
        request: Request<Incoming>,
        caller: Result<Caller, ServiceError>,
    ) -> Response<OutBody> {
        if request.method() != method {
            let error =
                OauthError::new(OauthFault::InvalidRequest, "that method is not for this path");
            let mut response = refused(&error);
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            let allowed = if method == Method::GET { "GET" } else { "POST" };
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
            return response;
        }
        let (name, answer) = match what {
            OauthWhat::Token => ("oauth-token", self.token(request, caller).await),
            OauthWhat::Introspect => ("oauth-introspect", self.introspect(request, caller).await),
            OauthWhat::Revoke => ("oauth-revoke", self.revoke(request, caller).await),
            OauthWhat::Keys => ("oauth-jwks", self.jwks().await),
            OauthWhat::Device => ("oauth-device", self.device(request, caller).await),
            OauthWhat::Enrol => ("oauth-enroll", self.enrol(request, caller).await),
            OauthWhat::LoginPage => ("login-page", Ok(Self::login_page())),
            OauthWhat::Metadata => ("oauth-metadata", Ok(self.metadata())),
        };
        self.service.metrics().command(name, answer.as_ref().err().map(|error| code(error.fault)));
        answer.unwrap_or_else(|error| refused(&error))
    }

    async fn token(
        &self,
        request: Request<Incoming>,
        caller: Result<Caller, ServiceError>,
    ) -> Result<Response<OutBody>, OauthError> {
        let (headers, body) = whole_form(request).await?;
        let read = TokenRequest::read(authorization(&headers)?, &body)?;
        self.in_turn(caller, move |service, caller, id| {
            let (proof, client) = (read.proof.as_ref(), read.client.as_deref());
            if let Grant::Device { code } = &read.grant {
                return polled(service, proof, client, code, id);
            }
            let asking = asking(service, caller, proof, client)?;
            asking.shown(issue(service, &asking, id, &read)?)
        })
        .await
    }

    async fn introspect(
        &self,
        request: Request<Incoming>,
        caller: Result<Caller, ServiceError>,
    ) -> Result<Response<OutBody>, OauthError> {
        let (headers, body) = whole_form(request).await?;
        let read = TokenQuestion::read(authorization(&headers)?, &body)?;
        self.in_turn(caller, move |service, caller, id| {
            let asking = asking(service, caller, read.proof.as_ref(), read.client.as_deref())?;
            let claims = service
                .token_state(&asking.caller, id, &read.token)
                .map_err(|error| worded(&error, id))?;
            let state = State { active: claims.is_some(), claims: claims.map(said) };
            asking.shown(json(&state)?)
        })
        .await
    }

    async fn revoke(
        &self,
        request: Request<Incoming>,
        caller: Result<Caller, ServiceError>,
    ) -> Result<Response<OutBody>, OauthError> {
        let (headers, body) = whole_form(request).await?;
        let read = TokenQuestion::read(authorization(&headers)?, &body)?;
        self.in_turn(caller, move |service, caller, id| {
            let asking = asking(service, caller, read.proof.as_ref(), read.client.as_deref())?;
            service
                .revoke_token(&asking.caller, asking.client.as_ref(), id, &read.token)
                .map_err(|error| worded(&error, id))?;
            asking.shown(body::whole(StatusCode::OK, "application/json", "{}"))
        })
        .await
    }

    async fn jwks(&self) -> Result<Response<OutBody>, OauthError> {
        let service = Arc::clone(&self.service);
        let keys = blocking(move || Ok(service.broker()?.key_set().to_json())).await;
        let keys = keys.map_err(|error| worded(&error, ""))?;
        let mut response = body::whole(StatusCode::OK, "application/jwk-set+json", keys);
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(KEEP));
        Ok(response)
    }

    fn metadata(&self) -> Response<OutBody> {
        let document = metadata(&self.service.token_issuer());
        let mut response = body::whole(StatusCode::OK, "application/json", document);
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(KEEP));
        response
    }

    /// Does what takes the disk, away from the runtime's threads; containers wait for their turn.
    pub(super) async fn in_turn<W>(
        &self,
        caller: Result<Caller, ServiceError>,
        work: W,
    ) -> Result<Response<OutBody>, OauthError>
    where
        W: FnOnce(
                &Arc<Service>,
                Result<Caller, ServiceError>,
                &str,
            ) -> Result<Response<OutBody>, OauthError>
            + Send
            + 'static,
    {
        let container = caller.as_ref().ok().and_then(|caller| caller.principal.container.as_ref());
        let turn = match (&self.turns, container) {
            (Some(turns), Some(container)) => turns.take(&container.id).await,
            _ => None,
        };
        let service = Arc::clone(&self.service);
        let id = new_request_id().map_err(|error| worded(&error, ""))?;
        let work = tokio::task::spawn_blocking(move || {
            let done = work(&service, caller, &id);
            drop(turn);
            done
        });
        work.await.unwrap_or_else(|error| {
            tracing::error!(%error, "work ended unexpectedly");
            Err(OauthError::new(OauthFault::ServerError, "work ended unexpectedly"))
        })
    }
}

fn issue(
    service: &Service,
    asking: &Asking,
    id: &str,
    read: &TokenRequest,
) -> Result<Response<OutBody>, OauthError> {
    let audience = service.audience(&read.audience).map_err(|_| {
        OauthError::new(
            OauthFault::InvalidTarget,
            "the audience is a service of this trust domain: its name or SPIFFE ID",
        )
    })?;
    let mut asked = TokenAsked {
        audience,
        life: lasting(None).map_err(|error| worded(&error, id))?,
        binding: asking.caller.certificate,
        profile: Profile::AccessToken,
        client: asking.client.clone(),
    };
    let exchanged = match &read.grant {
        Grant::ClientCredentials | Grant::Device { .. } => false,
        Grant::Exchange { subject } => {
            narrow(service, asking, id, subject, &mut asked)?;
            true
        }
    };
    let token =
        service.issue_token(&asking.caller, id, asked).map_err(|error| worded(&error, id))?;
    let text = std::str::from_utf8(token.token.bytes().expose()).unwrap_or_default();
    json(&TokenAnswer {
        access_token: text,
        token_type: "Bearer",
        expires_in: token.life,
        issued_token_type: exchanged.then_some("urn:ietf:params:oauth:token-type:access_token"),
    })
}

/// One's own token for another audience. It does not live longer than the one that is shown, and is bound as that is.
fn narrow(
    service: &Service,
    asking: &Asking,
    id: &str,
    subject: &Zeroizing<String>,
    asked: &mut TokenAsked,
) -> Result<(), OauthError> {
    let refused = |text: &str| OauthError::new(OauthFault::InvalidGrant, text);
    let broker = service.broker().map_err(|error| worded(&error, id))?;
    let found = broker.introspect(subject).map_err(|error| worded(&broker_error(&error), id))?;
    let claims = found.ok_or_else(|| refused("the subject token is not good"))?;
    if claims.subject != asking.caller.principal.identity {
        return Err(refused("the subject token is about somebody else"));
    }
    if claims.binding.is_some() && claims.binding != asking.caller.certificate {
        return Err(refused("the subject token is bound to another certificate"));
    }
    let now = service.journal().clock().now();
    let end = Timestamp::from_secs(i64::try_from(claims.expires_at).unwrap_or(i64::MAX));
    let left = u64::try_from(end.as_secs().saturating_sub(now.as_secs())).unwrap_or(0);
    if left == 0 {
        return Err(refused("the subject token is not good"));
    }
    asked.life = asked.life.min(Duration::from_secs(left));
    // Whoever revokes the client's tokens means those that came of them too.
    if let Some(client) = claims.client.as_deref().and_then(|client| client.parse().ok()) {
        asked.client = Some(client);
    }
    Ok(())
}

/// Who asks. A secret or an assertion that is shown counts, and nothing else then: not the certificate, not the container.
fn asking(
    service: &Service,
    caller: Result<Caller, ServiceError>,
    proof: Option<&Proof>,
    client: Option<&str>,
) -> Result<Asking, OauthError> {
    let Some(proof) = proof else {
        let caller = caller.map_err(|error| worded(&error, ""))?;
        // RFC 8705 §2: then the name has to be that of the certificate.
        let identity = &caller.principal.identity;
        let named = |name: &str| name == identity.name() || name == identity.to_string();
        return match client {
            Some(client) if !named(client) => Err(OauthError::new(
                OauthFault::InvalidClient,
                "client_id is not the name of who asks; a client's secret is missing",
            )),
            _ => Ok(Asking { caller, client: None }),
        };
    };
    let (name, identity) = authenticated(service, proof, client)?;
    let groups = service.groups_of(&identity).map_err(|error| worded(&error, ""))?;
    let mut asker = Caller::with_secret(identity, groups);
    // A certificate that is shown as well is one that the token can be bound to (RFC 8705 §3).
    asker.certificate = caller.ok().and_then(|caller| caller.certificate);
    Ok(Asking { caller: asker, client: Some(name) })
}

/// Which client this is the proof of.
pub(super) fn authenticated(
    service: &Service,
    proof: &Proof,
    client: Option<&str>,
) -> Result<(ClientName, Identity), OauthError> {
    let refused = |text: String| OauthError::new(OauthFault::InvalidClient, text);
    let broker = service.broker().map_err(|error| worded(&error, ""))?;
    let failed = |error: BrokerError| worded(&broker_error(&error), "");
    match proof {
        Proof::Secret(shown) => broker
            .authenticate(&shown.client, &shown.secret)
            .map_err(failed)?
            .ok_or_else(|| refused(NO_SUCH_CLIENT.to_owned())),
        Proof::Assertion(assertion) => broker
            .authenticate_by_assertion(assertion, client, |name| service.may_assert(name))
            .map_err(failed)?
            .map_err(|fault| match fault {
                AssertionFault::Unknown => {
                    refused("there is no such client with a key that has signed this".to_owned())
                }
                AssertionFault::Used => refused("the assertion was used before".to_owned()),
                AssertionFault::Refused(refusal) => refused(format!("of the assertion: {refusal}")),
                AssertionFault::TooMany => OauthError::new(
                    OauthFault::TemporarilyUnavailable,
                    "the client has authenticated too often lately",
                ),
            }),
    }
}

/// The one Authorization header.
pub(super) fn authorization(headers: &HeaderMap) -> Result<Option<&[u8]>, OauthError> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    match (all.next(), all.next()) {
        (header, None) => Ok(header.map(HeaderValue::as_bytes)),
        _ => {
            Err(OauthError::new(OauthFault::InvalidRequest, "there are two Authorization headers"))
        }
    }
}

pub(super) async fn whole_form(
    request: Request<Incoming>,
) -> Result<(HeaderMap, Zeroizing<Vec<u8>>), OauthError> {
    let (head, body) = request.into_parts();
    let refused = |text: &str| OauthError::new(OauthFault::InvalidRequest, text);
    let kind = head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case(FORM) {
        return Err(refused("the request is to be application/x-www-form-urlencoded"));
    }
    if head.uri.query().is_some() {
        // RFC 6749 §3.2: secrets do not belong into an address.
        return Err(refused("parameters belong into the body"));
    }
    let bytes = body::read(body, MAXIMUM_FORM).await;
    let bytes = bytes.map_err(|_| refused("the request's body cannot be read"))?;
    Ok((head.headers, Zeroizing::new(bytes.to_vec())))
}

fn said(claims: Claims) -> Said {
    Said {
        iss: claims.issuer,
        sub: claims.subject.to_string(),
        aud: claims.audience,
        exp: claims.expires_at,
        iat: claims.issued_at,
        nbf: claims.not_before,
        jti: claims.id,
        token_type: "Bearer",
        client_id: claims.client,
        cnf: claims
            .binding
            .map(|digest| Confirmation { certificate: BASE64URL_NOPAD.encode(&digest) }),
    }
}

pub(super) fn json(answer: &impl Serialize) -> Result<Response<OutBody>, OauthError> {
    let body = serde_json::to_vec(answer)
        .map_err(|_| OauthError::new(OauthFault::ServerError, "the answer cannot be written"))?;
    Ok(body::whole(StatusCode::OK, "application/json", body))
}

fn refused(error: &OauthError) -> Response<OutBody> {
    let status =
        StatusCode::from_u16(error.fault.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = body::whole(status, "application/json", error.body());
    if error.fault == OauthFault::InvalidClient {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE));
    }
    response
}

/// An error of the service as OAuth has it. What is about the inside stays there.
pub(super) fn worded(error: &ServiceError, id: &str) -> OauthError {
    let request = error.request.as_deref().unwrap_or(id);
    let worded = match error.code {
        // Policy was not asked, or it was not recorded: there is nothing to explain.
        ErrorCode::Denied if error.request.is_none() => {
            OauthError::new(OauthFault::AccessDenied, error.message.clone())
        }
        ErrorCode::Denied => OauthError::new(
            OauthFault::AccessDenied,
            format!("policy denies it; `sealock policy explain {request}` says why"),
        ),
        ErrorCode::Unauthenticated => OauthError::new(
            OauthFault::InvalidClient,
            "show a client's secret, a code, or a certificate of this authority that is in force",
        ),
        ErrorCode::Usage => OauthError::new(OauthFault::InvalidRequest, error.message.clone()),
        ErrorCode::NotFound => {
            OauthError::new(OauthFault::InvalidClient, "the client is no longer there")
        }
        ErrorCode::Busy | ErrorCode::Unavailable | ErrorCode::Timeout | ErrorCode::Conflict => {
            OauthError::new(OauthFault::TemporarilyUnavailable, "try again")
        }
        _ => {
            tracing::error!(%error, causes = ?error.causes, request, "a token request failed");
            OauthError::new(OauthFault::ServerError, "the broker could not do it")
        }
    };
    if request.is_empty() { worded } else { worded.in_request(request) }
}

/// For the figures.
const fn code(fault: OauthFault) -> ErrorCode {
    match fault {
        OauthFault::InvalidClient => ErrorCode::Unauthenticated,
        OauthFault::AccessDenied => ErrorCode::Denied,
        OauthFault::TemporarilyUnavailable => ErrorCode::Unavailable,
        OauthFault::ServerError => ErrorCode::Fault,
        _ => ErrorCode::Usage,
    }
}
