//! Requests of the token, introspection and revocation endpoints.

use std::fmt;

use zeroize::Zeroizing;

use super::basic;
use super::error::{OauthError, OauthFault};
use super::form::Form;

/// RFC 8628 §3.4
const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// RFC 8693 §2.1
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// RFC 7523 §2.2
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// RFC 8693 §3
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// A client's name and secret.
pub struct Credentials {
    /// `client_id`.
    pub client: String,
    /// `client_secret`.
    pub secret: Zeroizing<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Credentials").field("client", &self.client).finish_non_exhaustive()
    }
}

/// By what a client proves who it is. A certificate is not among the parameters.
pub enum Proof {
    /// A shared secret.
    Secret(Credentials),
    /// What it has signed (RFC 7523 §2.2).
    Assertion(Zeroizing<String>),
}

impl fmt::Debug for Proof {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret(credentials) => credentials.fmt(formatter),
            Self::Assertion(_) => formatter.write_str("Assertion(redacted)"),
        }
    }
}

impl Proof {
    /// That of a request: one, or none (RFC 6749 §2.3).
    pub(super) fn of(
        authorization: Option<&[u8]>,
        form: &Form,
    ) -> Result<Option<Self>, OauthError> {
        let assertion = match (form.get("client_assertion_type"), form.get("client_assertion")) {
            (None, None) => return Ok(Credentials::of(authorization, form)?.map(Self::Secret)),
            (Some(ASSERTION), Some(assertion)) => assertion,
            (Some(ASSERTION), None) => {
                return Err(OauthError::request("client_assertion is missing"));
            }
            (Some(_), _) => {
                return Err(OauthError::new(
                    OauthFault::InvalidClient,
                    "such assertions of clients are not taken here",
                ));
            }
            (None, Some(_)) => {
                return Err(OauthError::request("client_assertion_type is missing"));
            }
        };
        if authorization.is_some() || form.get("client_secret").is_some() {
            return Err(OauthError::request("a client authenticates in one way, not in two"));
        }
        Ok(Some(Self::Assertion(Zeroizing::new(assertion.to_owned()))))
    }
}

impl Credentials {
    /// Those of an `Authorization` header, where there is no form. `None`: it is of another scheme.
    ///
    /// # Errors
    /// [`OauthFault::InvalidClient`]: it cannot be read.
    pub fn basic(header: &[u8]) -> Result<Option<Self>, OauthError> {
        basic::read(header)
    }

    /// Those of a request, from its header or its body; not from both (RFC 6749 §2.3).
    fn of(authorization: Option<&[u8]>, form: &Form) -> Result<Option<Self>, OauthError> {
        let header = match authorization {
            None => None,
            Some(header) => match basic::read(header)? {
                Some(credentials) => Some(credentials),
                None => {
                    return Err(OauthError::new(
                        OauthFault::InvalidClient,
                        "clients authenticate by Basic, by the body, by an assertion, or by certificate",
                    ));
                }
            },
        };
        let body = match (form.get("client_id"), form.get("client_secret")) {
            (Some(client), Some(secret)) => {
                Some(Self { client: client.to_owned(), secret: Zeroizing::new(secret.to_owned()) })
            }
            (None, Some(_)) => return Err(OauthError::request("client_id is missing")),
            (_, None) => None,
        };
        match (header, body) {
            (Some(_), Some(_)) => {
                Err(OauthError::request("the client's secret is there in two places"))
            }
            (Some(header), None) => match form.get("client_id") {
                Some(client) if client != header.client => {
                    Err(OauthError::request("two clients are named"))
                }
                _ => Ok(Some(header)),
            },
            (None, body) => Ok(body),
        }
    }
}

/// By what a token is asked for.
pub enum Grant {
    /// By who asks (RFC 6749 §4.4).
    ClientCredentials,
    /// By a token that it has already, which is to be narrowed (RFC 8693).
    Exchange {
        /// That token.
        subject: Zeroizing<String>,
    },
    /// By a code with which somebody waits to be let in (RFC 8628 §3.4). What it gives is for no audience.
    Device {
        /// The program's code.
        code: Zeroizing<String>,
    },
}

impl fmt::Debug for Grant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::ClientCredentials => "ClientCredentials",
            Self::Exchange { .. } => "Exchange(redacted)",
            Self::Device { .. } => "Device(redacted)",
        })
    }
}

/// A request for a token.
#[derive(Debug)]
pub struct TokenRequest {
    /// By what.
    pub grant: Grant,
    /// For whom, as it was written: a name or a SPIFFE ID. Empty with [`Grant::Device`], and only then.
    pub audience: String,
    /// By what the client proves who it is; otherwise its certificate says it.
    pub proof: Option<Proof>,
    /// `client_id`, which has to be that of the proof, or of the certificate (RFC 8705 §2).
    pub client: Option<String>,
}

impl TokenRequest {
    /// Reads a request.
    ///
    /// # Errors
    /// What RFC 6749 §5.2 says.
    pub fn read(authorization: Option<&[u8]>, body: &[u8]) -> Result<Self, OauthError> {
        let form = Form::parse(body)?;
        let proof = Proof::of(authorization, &form)?;
        let grant = match form.get("grant_type") {
            None => return Err(OauthError::request("grant_type is missing")),
            Some("client_credentials") => {
                if form.get("subject_token").is_some() {
                    return Err(OauthError::request("subject_token is of another grant"));
                }
                Grant::ClientCredentials
            }
            Some(EXCHANGE) => exchange(&form)?,
            Some(DEVICE_CODE) => device(&form)?,
            Some(_) => {
                return Err(OauthError::new(
                    OauthFault::UnsupportedGrantType,
                    "the grants here are client_credentials, token-exchange and device_code",
                ));
            }
        };
        if form.get("scope").is_some() {
            let text = "there are no scopes here: policy says what a token is good for";
            return Err(OauthError::new(OauthFault::InvalidScope, text));
        }
        let is_device = matches!(grant, Grant::Device { .. });
        let audience = match (form.get("audience"), form.get("resource")) {
            (None, None) if is_device => String::new(),
            _ if is_device => {
                return Err(OauthError::request("what a device code gives is for no audience"));
            }
            (Some(audience), None) | (None, Some(audience)) => audience.to_owned(),
            (Some(_), Some(_)) => {
                return Err(OauthError::request("a token has one audience, not two"));
            }
            (None, None) => {
                return Err(OauthError::request("audience is missing: the service to be called"));
            }
        };
        let client = form.get("client_id").map(str::to_owned);
        Ok(Self { grant, audience, proof, client })
    }
}

fn device(form: &Form) -> Result<Grant, OauthError> {
    let code =
        form.get("device_code").ok_or_else(|| OauthError::request("device_code is missing"))?;
    if form.get("subject_token").is_some() {
        return Err(OauthError::request("subject_token is of another grant"));
    }
    Ok(Grant::Device { code: Zeroizing::new(code.to_owned()) })
}

fn exchange(form: &Form) -> Result<Grant, OauthError> {
    let subject =
        form.get("subject_token").ok_or_else(|| OauthError::request("subject_token is missing"))?;
    match form.get("subject_token_type") {
        Some(ACCESS_TOKEN | JWT) => {}
        Some(_) => return Err(OauthError::request("such tokens are not exchanged here")),
        None => return Err(OauthError::request("subject_token_type is missing")),
    }
    if !matches!(form.get("requested_token_type"), None | Some(ACCESS_TOKEN | JWT)) {
        return Err(OauthError::request("such tokens are not issued here"));
    }
    if form.get("actor_token").is_some() || form.get("actor_token_type").is_some() {
        return Err(OauthError::request("nobody acts for others here"));
    }
    Ok(Grant::Exchange { subject: Zeroizing::new(subject.to_owned()) })
}

/// A request about a token: to look at it, or to revoke it.
pub struct TokenQuestion {
    /// The token.
    pub token: Zeroizing<String>,
    /// Who asks, if by a secret or an assertion.
    pub proof: Option<Proof>,
    /// `client_id`.
    pub client: Option<String>,
}

impl fmt::Debug for TokenQuestion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("TokenQuestion").field("proof", &self.proof).finish_non_exhaustive()
    }
}

impl TokenQuestion {
    /// Reads a request (RFC 7662 §2.1, RFC 7009 §2.1). `token_type_hint` is a hint, and not needed.
    ///
    /// # Errors
    /// What RFC 6749 §5.2 says.
    pub fn read(authorization: Option<&[u8]>, body: &[u8]) -> Result<Self, OauthError> {
        let form = Form::parse(body)?;
        let proof = Proof::of(authorization, &form)?;
        let token = form.get("token").ok_or_else(|| OauthError::request("token is missing"))?;
        let client = form.get("client_id").map(str::to_owned);
        Ok(Self { token: Zeroizing::new(token.to_owned()), proof, client })
    }
}
