//! How members of a payload are read.

use data_encoding::BASE64URL_NOPAD;
use sealock_core::Timestamp;
use sealock_core::json::{self, Members, Value};

use super::fault::PayloadFault;

/// The longest time that is looked at, in bytes: nine digits of a second, and an offset, take 35.
const MAXIMUM_TIME: usize = 40;

/// The members of a payload that were not read yet.
pub(super) struct Payload(Members);

impl Payload {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, PayloadFault> {
        json::read(bytes).map(Self).map_err(PayloadFault::Json)
    }

    pub(super) fn value(&mut self, member: &'static str) -> Option<Value> {
        self.0.take(member)
    }

    pub(super) fn text(&mut self, member: &'static str) -> Result<Option<String>, PayloadFault> {
        match self.0.take(member) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(_) => Err(PayloadFault::Form { member }),
        }
    }

    /// `false` when it is not there.
    pub(super) fn flag(&mut self, member: &'static str) -> Result<bool, PayloadFault> {
        match self.0.take(member) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(_) => Err(PayloadFault::Form { member }),
        }
    }

    pub(super) fn object(&mut self, member: &'static str) -> Result<Option<Members>, PayloadFault> {
        match self.0.take(member) {
            None => Ok(None),
            Some(Value::Object(members)) => Ok(Some(members)),
            Some(_) => Err(PayloadFault::Form { member }),
        }
    }

    /// A time of RFC 3339.
    pub(super) fn time(&mut self, member: &'static str) -> Result<Option<Timestamp>, PayloadFault> {
        let Some(text) = self.text(member)? else { return Ok(None) };
        let time = Some(text).filter(|text| text.len() <= MAXIMUM_TIME);
        let time = time.and_then(|text| Timestamp::from_rfc3339(&text));
        time.map(Some).ok_or(PayloadFault::Form { member })
    }

    /// Bytes that must be there, as base64url.
    pub(super) fn bytes(
        &mut self,
        member: &'static str,
        most: usize,
    ) -> Result<Vec<u8>, PayloadFault> {
        let text = self.text(member)?.ok_or(PayloadFault::Missing { member })?;
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok();
        let bytes = bytes.filter(|bytes| (1..=most).contains(&bytes.len()));
        bytes.ok_or(PayloadFault::Form { member })
    }
}
