//! The authority as its users and other people's verifiers see it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test may fail in any way"
)]

mod alternative_names;
mod anchors;
mod common;
mod device;
mod device_issuers;
mod gnutls;
mod issuers;
mod issuers_anew;
mod issuers_named;
mod issuers_purposes;
mod kill;
mod kill_issuers;
mod life;
mod lists;
mod ocsp;
mod openssl;
mod pkilint;
mod profiles;
mod requests;
mod revoke_ca;
mod search;
mod tls;
