//! Payloads about accounts (RFC 8555 §7.3).

use std::fmt;

use sealock_core::SubjectName;
use sealock_core::json::Value;
use serde::{Deserialize, Serialize};

use super::fault::PayloadFault;
use super::reader::Payload;
use crate::jwk::Jwk;
use crate::jws::Binding;

/// How many contacts an account may have.
pub const MAXIMUM_CONTACTS: usize = 10;

/// The longest contact, in bytes.
pub const MAXIMUM_CONTACT: usize = 320;

/// How the holder of an account can be reached: `mailto:` and one address (RFC 8555 §7.3), the domain in lower case.
/// Nothing proves that it is theirs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Contact(String);

impl Contact {
    /// Reads one.
    ///
    /// # Errors
    /// [`PayloadFault::UnsupportedContact`] and [`PayloadFault::InvalidContact`].
    pub fn read(text: &str) -> Result<Self, PayloadFault> {
        if text.len() > MAXIMUM_CONTACT {
            return Err(PayloadFault::InvalidContact);
        }
        let (scheme, address) = text.split_once(':').ok_or(PayloadFault::InvalidContact)?;
        if !scheme.eq_ignore_ascii_case("mailto") {
            return Err(PayloadFault::UnsupportedContact);
        }
        // In a URL these begin header fields, a fragment, or another spelling (RFC 6068 §2).
        if address.contains(['?', '#', '%']) {
            return Err(PayloadFault::InvalidContact);
        }
        match SubjectName::email(address) {
            Ok(SubjectName::Email(address)) => Ok(Self(format!("mailto:{address}"))),
            _ => Err(PayloadFault::InvalidContact),
        }
    }

    /// The URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn list(value: Value) -> Result<Vec<Self>, PayloadFault> {
        let form = PayloadFault::Form { member: "contact" };
        let Value::List(list) = value else { return Err(form) };
        if list.len() > MAXIMUM_CONTACTS {
            return Err(PayloadFault::ManyContacts);
        }
        let contacts = list.into_iter().map(|value| match value {
            Value::Text(text) => Self::read(&text),
            _ => Err(form),
        });
        contacts.collect()
    }
}

impl fmt::Display for Contact {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl TryFrom<String> for Contact {
    type Error = PayloadFault;

    fn try_from(text: String) -> Result<Self, PayloadFault> {
        Self::read(&text)
    }
}

impl From<Contact> for String {
    fn from(contact: Contact) -> Self {
        contact.0
    }
}

/// newAccount (RFC 8555 §7.3).
#[derive(Debug)]
pub struct NewAccount {
    /// `contact`; empty when it is not there.
    pub contact: Vec<Contact>,
    /// `termsOfServiceAgreed`.
    pub terms_of_service_agreed: bool,
    /// `onlyReturnExisting`.
    pub only_return_existing: bool,
    /// `externalAccountBinding`, of which nothing is verified yet.
    pub external_account_binding: Option<Binding>,
}

impl NewAccount {
    /// Reads a payload.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn read(payload: &[u8]) -> Result<Self, PayloadFault> {
        let mut payload = Payload::read(payload)?;
        let binding = payload.object("externalAccountBinding")?.map(Binding::from_members);
        Ok(Self {
            contact: payload.value("contact").map_or(Ok(Vec::new()), Contact::list)?,
            terms_of_service_agreed: payload.flag("termsOfServiceAgreed")?,
            only_return_existing: payload.flag("onlyReturnExisting")?,
            external_account_binding: binding.transpose().map_err(PayloadFault::Binding)?,
        })
    }
}

/// A change of an account (RFC 8555 §7.3.2, §7.3.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountUpdate {
    /// `contact`, if it is to be another.
    pub contact: Option<Vec<Contact>>,
    /// Whether `status` is `deactivated`.
    pub deactivate: bool,
}

impl AccountUpdate {
    /// Reads a payload. Another status is passed over, as §7.3.2 wants: clients send the account back as they got it.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn read(payload: &[u8]) -> Result<Self, PayloadFault> {
        let mut payload = Payload::read(payload)?;
        Ok(Self {
            contact: payload.value("contact").map(Contact::list).transpose()?,
            deactivate: payload.text("status")?.is_some_and(|status| status == "deactivated"),
        })
    }
}

/// What the new key has signed in a change of keys (RFC 8555 §7.3.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyChangeOrder {
    /// `account`: the URL of the account, to be the one that has signed the outer request.
    pub account: String,
    /// `oldKey`: to be the key of that account.
    pub old_key: Jwk,
}

impl KeyChangeOrder {
    /// Reads the payload of a [`KeyChange`](crate::jws::KeyChange).
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn read(payload: &[u8]) -> Result<Self, PayloadFault> {
        let mut payload = Payload::read(payload)?;
        let missing = |member| PayloadFault::Missing { member };
        let account = payload.text("account")?.ok_or(missing("account"))?;
        let old_key = payload.object("oldKey")?.ok_or(missing("oldKey"))?;
        let old_key = Jwk::from_members(old_key).map_err(PayloadFault::OldKey)?;
        Ok(Self { account, old_key })
    }
}
