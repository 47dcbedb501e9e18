//! The ACME server (RFC 8555).

mod validate;

#[expect(unused_imports, reason = "the endpoints, which use it, are still to come")]
pub(crate) use validate::{
    Failure, Method, Question, Subject, ValidateSettings, Validator, resolver,
};
