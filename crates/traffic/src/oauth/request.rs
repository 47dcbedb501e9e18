//! Requests of the token, introspection and revocation endpoints.

use std::fmt;

use zeroize::Zeroizing;

use super::basic;
use super::error::{OauthError, OauthFault};
use super::form::Form;

/// RFC 8693 §2.1
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
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

impl Credentials {
    /// Those of a request, from its header or its body; not from both (RFC 6749 §2.3).
    fn of(authorization: Option<&[u8]>, form: &Form) -> Result<Option<Self>, OauthError> {
        if form.get("client_assertion").is_some() || form.get("client_assertion_type").is_some() {
            return Err(OauthError::new(
                OauthFault::InvalidClient,
                "assertions of clients are not taken here",
            ));
        }
        let header = match authorization {
            None => None,
            Some(header) => match basic::read(header)? {
                Some(credentials) => Some(credentials),
                None => {
                    return Err(OauthError::new(
                        OauthFault::InvalidClient,
                        "clients authenticate by Basic, by the body, or by certificate",
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
}

impl fmt::Debug for Grant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::ClientCredentials => "ClientCredentials",
            Self::Exchange { .. } => "Exchange(redacted)",
        })
    }
}

/// A request for a token.
#[derive(Debug)]
pub struct TokenRequest {
    /// By what.
    pub grant: Grant,
    /// For whom, as it was written: a name or a SPIFFE ID.
    pub audience: String,
    /// A client's name and secret; otherwise its certificate says who it is.
    pub credentials: Option<Credentials>,
    /// `client_id` without a secret, which the certificate has to bear out (RFC 8705 §2).
    pub client: Option<String>,
}

impl TokenRequest {
    /// Reads a request.
    ///
    /// # Errors
    /// What RFC 6749 §5.2 says.
    pub fn read(authorization: Option<&[u8]>, body: &[u8]) -> Result<Self, OauthError> {
        let form = Form::parse(body)?;
        let credentials = Credentials::of(authorization, &form)?;
        let grant = match form.get("grant_type") {
            None => return Err(OauthError::request("grant_type is missing")),
            Some("client_credentials") => {
                if form.get("subject_token").is_some() {
                    return Err(OauthError::request("subject_token is of another grant"));
                }
                Grant::ClientCredentials
            }
            Some(EXCHANGE) => exchange(&form)?,
            Some(_) => {
                return Err(OauthError::new(
                    OauthFault::UnsupportedGrantType,
                    "the grants here are client_credentials and token-exchange",
                ));
            }
        };
        if form.get("scope").is_some() {
            let text = "there are no scopes here: policy says what a token is good for";
            return Err(OauthError::new(OauthFault::InvalidScope, text));
        }
        let audience = match (form.get("audience"), form.get("resource")) {
            (Some(audience), None) | (None, Some(audience)) => audience.to_owned(),
            (Some(_), Some(_)) => {
                return Err(OauthError::request("a token has one audience, not two"));
            }
            (None, None) => {
                return Err(OauthError::request("audience is missing: the service to be called"));
            }
        };
        let client = form.get("client_id").map(str::to_owned);
        Ok(Self { grant, audience, credentials, client })
    }
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
    /// Who asks, if by a secret.
    pub credentials: Option<Credentials>,
    /// `client_id` without a secret.
    pub client: Option<String>,
}

impl fmt::Debug for TokenQuestion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TokenQuestion")
            .field("credentials", &self.credentials)
            .finish_non_exhaustive()
    }
}

impl TokenQuestion {
    /// Reads a request (RFC 7662 §2.1, RFC 7009 §2.1). `token_type_hint` is a hint, and not needed.
    ///
    /// # Errors
    /// What RFC 6749 §5.2 says.
    pub fn read(authorization: Option<&[u8]>, body: &[u8]) -> Result<Self, OauthError> {
        let form = Form::parse(body)?;
        let credentials = Credentials::of(authorization, &form)?;
        let token = form.get("token").ok_or_else(|| OauthError::request("token is missing"))?;
        let client = form.get("client_id").map(str::to_owned);
        Ok(Self { token: Zeroizing::new(token.to_owned()), credentials, client })
    }
}
