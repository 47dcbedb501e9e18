//! dns-01 (RFC 8555 §8.4): a TXT record below the name has the key authorization's digest.

use data_encoding::BASE64URL_NOPAD;
use tokio::time::Instant;

use super::failure::Failure;
use super::names::Names;
use super::{Question, Subject};

/// Whether one of the records has it. There may be others, of other orders or of somebody else's authority.
pub(super) async fn ask(names: &Names, question: &Question, until: Instant) -> Result<(), Failure> {
    let Subject::Dns(name) = &question.subject else {
        return Err(Failure::Unauthorized("an address has no records in the DNS".to_owned()));
    };
    let place = format!("_acme-challenge.{name}");
    let texts = names.texts(&place, until).await?;
    let wanted = BASE64URL_NOPAD.encode(&question.digest());
    if texts.iter().any(|text| text == wanted.as_bytes()) {
        return Ok(());
    }
    Err(if texts.is_empty() {
        Failure::Dns(format!("the DNS has no TXT record of {place}"))
    } else {
        Failure::Unauthorized(format!(
            "no TXT record of {place} has the key authorization's digest"
        ))
    })
}
