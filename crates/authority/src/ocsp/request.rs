//! Requests, read strictly.

use data_encoding::BASE64;
use thiserror::Error;
use x509_cert::der::asn1::OctetString;
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::{Decode, Encode};
use x509_ocsp::CertId;
use x509_ocsp::ext::Nonce;

use super::issuers::Naming;
use crate::serial::Serial;

/// The most bytes that a request may have.
pub const LARGEST: usize = 8 * 1024;
/// The most certificates that one request may ask for.
pub const MOST: usize = 10;
/// The longest nonce (RFC 9654 §2.1).
const LONGEST_NONCE: usize = 128;

/// A request that is answered `malformedRequest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum OcspError {
    /// More than [`LARGEST`] bytes.
    #[error("the request is larger than {LARGEST} bytes")]
    TooLarge,
    /// Not base64 in a path.
    #[error("the path is not the base64 of a request")]
    Path,
    /// Not an `OCSPRequest` in DER.
    #[error("the request cannot be read")]
    Malformed,
    /// None, or more than [`MOST`].
    #[error("the request asks for none or for more than {MOST} certificates")]
    Count,
    /// Empty or longer than 128 bytes (RFC 9654), or there twice.
    #[error("the nonce cannot be answered")]
    Nonce,
    /// A critical extension that is not known here.
    #[error("the request has a critical extension that is not known")]
    Extension,
}

/// One certificate that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    /// As it was sent.
    pub(super) id: CertId,
    /// `None`: hashed in a way that is not known here.
    pub(super) hash: Option<Naming>,
    /// `None`: longer than any of ours.
    pub(super) serial: Option<Serial>,
}

/// A request in good form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OcspRequest {
    pub(super) asked: Vec<Asked>,
    /// The extension's content.
    pub(super) nonce: Option<Vec<u8>>,
}

impl OcspRequest {
    /// Reads the DER.
    pub fn read(der: &[u8]) -> Result<Self, OcspError> {
        if der.len() > LARGEST {
            return Err(OcspError::TooLarge);
        }
        let request = x509_ocsp::OcspRequest::from_der(der).map_err(|_| OcspError::Malformed)?;
        let wanted = request.tbs_request;
        if wanted.request_list.is_empty() || wanted.request_list.len() > MOST {
            return Err(OcspError::Count);
        }
        let mut nonce = None;
        for extension in wanted.request_extensions.iter().flatten() {
            if extension.extn_id == Nonce::OID {
                let value = OctetString::from_der(extension.extn_value.as_bytes());
                let value = value.map_err(|_| OcspError::Nonce)?;
                let good = (1..=LONGEST_NONCE).contains(&value.as_bytes().len());
                if !good || nonce.replace(extension.extn_value.as_bytes().to_vec()).is_some() {
                    return Err(OcspError::Nonce);
                }
            } else if extension.critical {
                return Err(OcspError::Extension);
            }
        }
        let mut asked = Vec::with_capacity(wanted.request_list.len());
        for one in wanted.request_list {
            if one.single_request_extensions.iter().flatten().any(|it| it.critical) {
                return Err(OcspError::Extension);
            }
            let id = one.req_cert;
            let hash = Naming::of(&id.hash_algorithm);
            let serial = Serial::from_integer(id.serial_number.as_bytes());
            asked.push(Asked { id, hash, serial });
        }
        Ok(Self { asked, nonce })
    }

    /// The one certificate that is asked for, if it is one.
    pub(super) fn single(&self) -> Option<&Asked> {
        if let [only] = self.asked.as_slice() { Some(only) } else { None }
    }
}

/// The request that a GET has after the responder's own path: base64, with the characters that a path cannot
/// have percent-encoded, or not (RFC 6960 appendix A.1).
pub fn from_path(path: &str) -> Result<Vec<u8>, OcspError> {
    // Three characters for each of base64, at most.
    if path.len() > LARGEST * 4 {
        return Err(OcspError::TooLarge);
    }
    let mut text = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = match (first, after) {
            (b'%', [high, low, after @ ..]) => {
                let pair = [high.to_ascii_uppercase(), low.to_ascii_uppercase()];
                let byte = data_encoding::HEXUPPER.decode(&pair).map_err(|_| OcspError::Path)?;
                text.extend(byte);
                after
            }
            _ => {
                text.push(*first);
                after
            }
        };
    }
    // Some leave the padding out.
    match text.len() % 4 {
        2 => text.extend(b"=="),
        3 => text.push(b'='),
        _ => {}
    }
    BASE64.decode(&text).map_err(|_| OcspError::Path)
}

/// The entry for fuzzing: a request as bytes and as a path; what is read can be written again.
pub fn fuzz(data: &[u8]) {
    if let Ok(request) = OcspRequest::read(data) {
        assert!((1..=MOST).contains(&request.asked.len()), "more than the limit");
        for asked in &request.asked {
            assert!(asked.id.to_der().is_ok(), "what was read cannot be written");
        }
        let path = BASE64.encode(data).replace('+', "%2B").replace('/', "%2f");
        assert_eq!(from_path(&path).as_deref(), Ok(data), "a path is another request");
    }
    if let Ok(path) = std::str::from_utf8(data) {
        let _ = from_path(path).map(|der| OcspRequest::read(&der));
    }
}
