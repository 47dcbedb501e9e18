//! The device authorization request (RFC 8628 §3.1), and the request for a person's certificate.

use std::fmt;

use data_encoding::BASE64;
use serde::Serialize;
use zeroize::Zeroizing;

use super::error::{OauthError, OauthFault};
use super::form::Form;
use super::request::Proof;

/// A name that somebody says they have is not longer.
const LONGEST_HINT: usize = 128;
/// Of a request for a certificate, DER.
const LONGEST_CSR: usize = 8 * 1024;

/// Somebody who wants to be let in.
#[derive(Debug)]
pub struct DeviceRequest {
    /// By what the program proves who it is, if it can.
    pub proof: Option<Proof>,
    /// `client_id`.
    pub client: String,
    /// `login_hint`: who the person says they are. A wish.
    pub wanted: Option<String>,
}

impl DeviceRequest {
    /// Reads a request.
    ///
    /// # Errors
    /// What RFC 6749 §5.2 says.
    pub fn read(authorization: Option<&[u8]>, body: &[u8]) -> Result<Self, OauthError> {
        let form = Form::parse(body)?;
        let proof = Proof::of(authorization, &form)?;
        if form.get("scope").is_some() {
            let text = "there are no scopes here: policy says what somebody may do";
            return Err(OauthError::new(OauthFault::InvalidScope, text));
        }
        let client = match (form.get("client_id"), &proof) {
            (Some(client), _) => client.to_owned(),
            (None, Some(Proof::Secret(shown))) => shown.client.clone(),
            (None, _) => return Err(OauthError::request("client_id is missing")),
        };
        let wanted = form.get("login_hint").map(str::to_owned);
        if wanted.as_ref().is_some_and(|wanted| wanted.len() > LONGEST_HINT) {
            return Err(OauthError::request("login_hint is too long"));
        }
        Ok(Self { proof, client, wanted })
    }
}

/// The answer to it (§3.2).
#[derive(Serialize)]
pub struct DeviceAnswer<'a> {
    /// The program's code.
    pub device_code: &'a str,
    /// What the person reads.
    pub user_code: String,
    /// Where it says what to do with that.
    pub verification_uri: String,
    /// Seconds.
    pub expires_in: u64,
    /// Seconds between two questions.
    pub interval: u64,
}

/// A request for a certificate: the code stands in the Authorization header, or the certificate that is renewed was
/// shown in the handshake.
pub struct EnrolRequest {
    /// The code.
    pub code: Option<Zeroizing<String>>,
    /// A PKCS#10 request, DER.
    pub csr: Vec<u8>,
}

impl fmt::Debug for EnrolRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("EnrolRequest").finish_non_exhaustive()
    }
}

impl EnrolRequest {
    /// Reads a request: `csr` is base64 of the DER.
    ///
    /// # Errors
    /// What RFC 6749 §5.2 says.
    pub fn read(authorization: Option<&[u8]>, body: &[u8]) -> Result<Self, OauthError> {
        let form = Form::parse(body)?;
        let code = authorization.map(bearer).transpose()?;
        let csr = form.get("csr").ok_or_else(|| OauthError::request("csr is missing"))?;
        let csr = BASE64.decode(csr.as_bytes()).ok().filter(|csr| csr.len() <= LONGEST_CSR);
        let csr =
            csr.ok_or_else(|| OauthError::request("csr is to be base64 of a PKCS#10 request"))?;
        Ok(Self { code, csr })
    }
}

/// RFC 6750 §2.1
fn bearer(header: &[u8]) -> Result<Zeroizing<String>, OauthError> {
    let wrong = || OauthError::new(OauthFault::InvalidClient, "the code goes with Bearer");
    let (scheme, rest) = header.split_at_checked(7).ok_or_else(wrong)?;
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
    if !scheme.eq_ignore_ascii_case(b"bearer ") || rest.is_empty() || !rest.iter().all(is_plain) {
        return Err(wrong());
    }
    let text = std::str::from_utf8(rest).map_err(|_| wrong())?;
    Ok(Zeroizing::new(text.to_owned()))
}
