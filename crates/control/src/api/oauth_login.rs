//! People at the door: RFC 8628, and the certificate that comes of it.

use std::net::IpAddr;

use hyper::header::{CONTENT_SECURITY_POLICY, HeaderValue};
use hyper::{Request, Response, StatusCode};
use sealock_net::Incoming;
use sealock_traffic::broker::{
    ClientName, DEVICE_INTERVAL, DEVICE_LIFE, DeviceOrigin, Polled, Program,
};
use sealock_traffic::oauth::{
    DeviceAnswer, DeviceRequest, EnrolRequest, OauthError, OauthFault, Proof, VERIFICATION,
};

use super::body::{self, OutBody};
use super::oauth::{TokenAnswer, authenticated, authorization, json, whole_form, worded};
use super::routes::Routes;
use crate::caller::Caller;
use crate::error::ServiceError;
use crate::service::Service;

/// Where a request came from, as the listener saw it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin(pub(super) IpAddr);

const PAGE: &str = "<!doctype html><meta charset=\"utf-8\"><title>Sealock</title>\
<style>body{font:1rem/1.5 sans-serif;max-width:36rem;margin:4rem auto;padding:0 1rem}</style>\
<h1>Log in</h1><p>Your program shows a code of eight letters. Tell it to an administrator of this host, together with \
who you are and in a way by which they know you. They let you in with</p><pre>sealock login confirm CODE --as NAME</pre>\
<p>Nothing is typed on this page. Whoever asks you for the code, or sends you one, wants to be let in as you.</p>";

impl Routes {
    pub(super) async fn device(
        &self,
        request: Request<Incoming>,
        caller: Result<Caller, ServiceError>,
    ) -> Result<Response<OutBody>, OauthError> {
        let origin = match (request.extensions().get::<Origin>(), &caller) {
            (Some(Origin(address)), _) => DeviceOrigin::at(*address),
            (None, Ok(caller)) => DeviceOrigin::named(caller.who.clone()),
            (None, Err(_)) => DeviceOrigin::named("this host"),
        };
        let (headers, body) = whole_form(request).await?;
        let read = DeviceRequest::read(authorization(&headers)?, &body)?;
        self.in_turn(caller, move |service, _, id| {
            let client = program(service, read.proof.as_ref(), &read.client)?;
            let begun = service.login_begin(&client, read.wanted, &origin);
            let begun = begun.map_err(|error| worded(&error, id))?;
            let issuer = service.token_issuer();
            json(&DeviceAnswer {
                device_code: &begun.device_code,
                user_code: begun.user_code.to_string(),
                verification_uri: format!("{}{VERIFICATION}", issuer.trim_end_matches('/')),
                expires_in: DEVICE_LIFE.as_secs(),
                interval: DEVICE_INTERVAL.as_secs(),
            })
        })
        .await
    }

    pub(super) async fn enrol(
        &self,
        request: Request<Incoming>,
        caller: Result<Caller, ServiceError>,
    ) -> Result<Response<OutBody>, OauthError> {
        let (headers, body) = whole_form(request).await?;
        let read = EnrolRequest::read(authorization(&headers)?, &body)?;
        self.in_turn(caller, move |service, caller, id| {
            let code = read.code.as_ref().map(|code| code.as_str());
            let enrolled = service.enrol(code, caller, &read.csr, id);
            json(&enrolled.map_err(|error| worded(&error, id))?)
        })
        .await
    }

    pub(super) fn login_page() -> Response<OutBody> {
        let mut page = body::whole(StatusCode::OK, "text/html; charset=utf-8", PAGE);
        let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
        page.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
        page
    }
}

/// What a program is that waits, or asks. Whether there is a client of the name that it has is told to nobody who does
/// not prove to be that one: it goes on as a program that has proved nothing.
fn program(service: &Service, proof: Option<&Proof>, client: &str) -> Result<Program, OauthError> {
    let refused = |text: &str| OauthError::new(OauthFault::InvalidClient, text);
    let Some(proof) = proof else {
        let name = client.parse::<ClientName>().map(|name| name.to_string());
        let name = name.map_err(|_| refused("there can be no client of this name"))?;
        return Ok(Program { name, proved: false });
    };
    let (name, _) = authenticated(service, proof, Some(client))?;
    if name.as_str() != client {
        return Err(refused("two clients are named"));
    }
    Ok(Program { name: name.to_string(), proved: true })
}

/// The answer to a program that asks whether somebody was let in.
pub(super) fn polled(
    service: &Service,
    proof: Option<&Proof>,
    client: Option<&str>,
    code: &str,
    id: &str,
) -> Result<Response<OutBody>, OauthError> {
    let named = match (client, proof) {
        (Some(client), _) => client,
        (None, Some(Proof::Secret(shown))) => &shown.client,
        (None, _) => {
            return Err(OauthError::new(OauthFault::InvalidRequest, "client_id is missing"));
        }
    };
    let client = program(service, proof, named)?;
    let (answer, given) = service.login_poll(&client, code).map_err(|error| worded(&error, id))?;
    let (fault, text) = match answer {
        Polled::Unknown => (OauthFault::InvalidGrant, "there is no such login, or it was used"),
        Polled::Pending => (OauthFault::AuthorizationPending, "nobody has decided yet"),
        Polled::SlowDown => (OauthFault::SlowDown, "ask five seconds later than before"),
        Polled::Denied => (OauthFault::LoginDenied, "somebody has said no"),
        Polled::Expired => (OauthFault::ExpiredToken, "nobody has decided in time; begin anew"),
        Polled::Approved(_) => {
            let (code, life) = given
                .ok_or_else(|| OauthError::new(OauthFault::ServerError, "a code went missing"))?;
            return json(&TokenAnswer {
                access_token: &code,
                token_type: "Bearer",
                expires_in: life.as_secs(),
                issued_token_type: None,
            });
        }
    };
    Err(OauthError::new(fault, text))
}
