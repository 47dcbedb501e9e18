//! Whether an applicant controls a name: their host, or the DNS, is asked for what only they can have put there.
//!
//! ```text
//! question → its turn (64 at once, 4 of one name) → addresses of the name → each looked at, dialled → what is there
//! ```
//!
//! | method | asked | must be there |
//! |---|---|---|
//! | http-01 (RFC 8555 §8.3) | port 80, and where that redirects to | the key authorization |
//! | tls-alpn-01 (RFC 8737, RFC 8738) | port 443, a handshake for `acme-tls/1` | a certificate for the name, with the key authorization's digest |
//! | dns-01 (RFC 8555 §8.4) | TXT of `_acme-challenge.NAME` | that digest |
//!
//! # Invariants
//!
//! - No address is dialled but those that may be ([`dial`]): what the Forwarder never dials
//!   ([`address`](sealock_traffic::forwarder::address)) is not dialled here either, nor loopback and nor what controls us.
//!   That is looked at for the very address that is dialled, for each redirect anew.
//! - Nothing of what a host sends goes to the applicant, who may have pointed us at somebody else's. After a redirect they
//!   are not told its status either.
//! - Each question has a deadline, each answer a bound, and nothing of a question is left when it ends.
//! - Where the DNS is asked and does not answer, nobody is shown to control anything, and no certificate is allowed.
//!
//! **What an attacker controls:** as an applicant: the name, what the DNS says about it, and every byte of who answers
//! there, and how slowly it comes. On the way: all of what goes over HTTP and DNS, which is why large authorities ask from
//! several places; we ask from one.

mod caa;
mod certificate;
mod dial;
mod dns;
mod failure;
mod files;
mod http;
mod names;
mod redirect;
mod settings;
#[cfg(test)]
mod tests;
mod tls;
mod tls_alpn;

use std::fmt;
use std::net::IpAddr;

use aws_lc_rs::digest::{SHA256, digest};
use sealock_core::DnsName;
use sealock_net::tls::TlsError;
use tokio::time::{Instant, timeout_at};

use self::dial::{Dialler, Guard};
use self::names::Names;
use self::tls::Clients;
use crate::turns::Turns;

pub(crate) use self::caa::IsAccount;
pub(crate) use self::failure::Failure;
pub(crate) use self::settings::{ValidateSettings, resolver};

/// Questions at once.
const QUESTIONS: usize = 64;
/// Questions about one name at once.
const QUESTIONS_EACH: usize = 4;

/// How somebody is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// RFC 8555 §8.3.
    Http01,
    /// RFC 8555 §8.4.
    Dns01,
    /// RFC 8737.
    TlsAlpn01,
}

impl Method {
    /// As ACME calls it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::Dns01 => "dns-01",
            Self::TlsAlpn01 => "tls-alpn-01",
        }
    }
}

/// What somebody is to control.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    /// A name; of a wildcard, the one below it.
    Dns(DnsName),
    /// An address (RFC 8738).
    Ip(IpAddr),
}

impl fmt::Display for Subject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => name.fmt(formatter),
            Self::Ip(address) => address.fmt(formatter),
        }
    }
}

/// Whether somebody controls a name.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    /// How they are asked.
    pub(crate) method: Method,
    /// What they are to control.
    pub(crate) subject: Subject,
    /// Of the challenge, in base64url.
    pub(crate) token: String,
    /// What they are to show (RFC 8555 §8.1).
    pub(crate) key_authorization: String,
}

impl Question {
    /// What stands for the key authorization in the DNS and in certificates.
    fn digest(&self) -> [u8; 32] {
        let mut value = [0; 32];
        value.copy_from_slice(digest(&SHA256, self.key_authorization.as_bytes()).as_ref());
        value
    }
}

/// Asks.
#[derive(Debug)]
pub(crate) struct Validator {
    settings: ValidateSettings,
    dialler: Dialler,
    clients: Clients,
    turns: Turns,
}

impl Validator {
    /// One with these settings.
    pub(crate) fn new(settings: ValidateSettings) -> Result<Self, TlsError> {
        let dialler = Dialler { names: Names::new(&settings), guard: Guard::new(&settings) };
        let turns = Turns::new(QUESTIONS_EACH, QUESTIONS);
        Ok(Self { dialler, clients: Clients::new()?, turns, settings })
    }

    /// Whether the question is answered as it should be. The deadline begins with its turn.
    pub(crate) async fn ask(&self, question: &Question) -> Result<(), Failure> {
        let subject = &question.subject;
        if matches!(subject, Subject::Dns(name) if name.is_wildcard()) {
            return Err(Failure::Unauthorized(format!("{subject} is no host that can be asked")));
        }
        let _turn = self.turns.take(&subject.to_string()).await;
        let until = Instant::now() + self.settings.deadline;
        let asked = async {
            match question.method {
                Method::Http01 => http::ask(self, question, until).await,
                Method::TlsAlpn01 => tls_alpn::ask(self, question, until).await,
                Method::Dns01 => dns::ask(&self.dialler.names, question, until).await,
            }
        };
        let answer = timeout_at(until, asked).await.unwrap_or_else(|_| {
            let text = format!("{subject} did not answer in time");
            Err(match question.method {
                Method::Dns01 => Failure::Dns(text),
                Method::Http01 | Method::TlsAlpn01 => Failure::Connection(text),
            })
        });
        match &answer {
            Ok(()) => tracing::debug!(%subject, method = question.method.name(), "validated"),
            Err(error) => {
                tracing::debug!(%subject, method = question.method.name(), %error, "not validated");
            }
        }
        answer
    }

    /// Whether CAA records are asked for.
    pub(crate) fn heeds_caa(&self) -> bool {
        !self.settings.caa_identities.is_empty()
    }

    /// Whether the domain's owner lets us issue for a name (RFC 8659), to this account and by this method (RFC 8657).
    /// `is_wildcard`: the certificate is to be for what is below the name. Where we have no name for such records, nobody
    /// is asked.
    pub(crate) async fn check_caa(
        &self,
        name: &DnsName,
        is_wildcard: bool,
        method: Option<Method>,
        is_account: &IsAccount<'_>,
    ) -> Result<(), Failure> {
        let identities = &self.settings.caa_identities;
        if identities.is_empty() {
            return Ok(());
        }
        let base = name.as_str().strip_prefix("*.").unwrap_or(name.as_str());
        let _turn = self.turns.take(base).await;
        let until = Instant::now() + self.settings.deadline;
        let wanted = caa::Wanted { identities, is_wildcard, method, is_account };
        timeout_at(until, caa::ask(&self.dialler.names, base, &wanted, until)).await.unwrap_or_else(
            |_| Err(Failure::Dns(format!("the CAA records of {name} did not come in time"))),
        )
    }
}
