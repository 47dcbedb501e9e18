//! EST, enrolment over secure transport (RFC 7030, with the corrections of RFC 8951).

mod client;
mod response;

pub use client::{Credentials, Est, Outcome, is_label};
pub use response::{ResponseError, read};
