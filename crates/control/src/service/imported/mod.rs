//! `cert request`, `cert import`, `cert files` and `trust …`: certificates that other authorities sign.

mod enrolment;
mod files;
mod import;
#[cfg(test)]
mod import_tests;
mod report;
mod requests;
#[cfg(test)]
pub(super) mod tests;
mod todo;
mod trust;
mod upstream;
mod upstream_files;
mod upstreams;

use std::collections::BTreeMap;

use sealock_authority::imported::{AnchorError, RequestError};
use sealock_core::policy::Resource;
use sealock_core::{ImportedName, Timestamp};

use super::convert;
use crate::error::{ErrorCode, ServiceError};

pub(crate) use enrolment::{Enrolments, Pending, Tried, share};
pub(crate) use import::Dropped;
pub(crate) use upstream::{AcmeJob, EstJob, Job, Speaks, upstream_error};

/// The last refusals, by what they were for. Kept in memory only: a refusal changes nothing.
pub(super) type Refusals = BTreeMap<ImportedName, Refused>;

/// What was refused.
#[derive(Debug, Clone)]
pub(super) struct Refused {
    at: Timestamp,
    /// Whether a certificate of the chain is missing.
    incomplete: bool,
    text: String,
    hint: Option<String>,
}

pub(super) fn parse_name(name: &str) -> Result<ImportedName, ServiceError> {
    name.parse().map_err(|error| ServiceError::of(ErrorCode::Usage, &error))
}

pub(super) fn resource(name: &ImportedName) -> Resource {
    Resource::ImportedCertificate(name.to_string())
}

/// Bytes that travel as base64.
fn decode(text: &str) -> Result<Vec<u8>, ServiceError> {
    data_encoding::BASE64
        .decode(text.as_bytes())
        .map_err(|_| ServiceError::new(ErrorCode::Usage, "a certificate is not DER in base64"))
}

pub(super) fn request_error(error: &RequestError) -> ServiceError {
    use RequestError as E;
    let code = match error {
        E::NoNames | E::TooManyNames(_) | E::Order(_) | E::Names { .. } | E::NoSubject => {
            ErrorCode::Usage
        }
        E::OtherWishes(_) | E::Changed(_) => ErrorCode::Conflict,
        E::Unknown(_) | E::NotWaiting(_) | E::Waiting(_) => ErrorCode::NotFound,
        E::TooMany => ErrorCode::Busy,
        E::Key(_) | E::Import { .. } => ErrorCode::Failed,
        E::Authority(error) => return convert::authority_error(error),
    };
    ServiceError::of(code, error).maybe_hint(error.hint())
}

fn anchor_error(error: &AnchorError) -> ServiceError {
    use AnchorError as E;
    let code = match error {
        E::Unknown(_) => ErrorCode::NotFound,
        E::NameTaken(_) | E::KnownAs(_) | E::InUse { .. } | E::Above { .. } => ErrorCode::Conflict,
        E::TooMany => ErrorCode::Busy,
        E::Authority(error) => return convert::authority_error(error),
        _ => ErrorCode::Failed,
    };
    ServiceError::of(code, error).maybe_hint(error.hint())
}
