//! `sdf.yml` of the original Software-Defined Firewall (nginx beside Conjur), carried over to what is here: settings, rules,
//! command lines, and a note for each thing that has no counterpart.
//!
//! ```text
//! bytes ─(yaml: a tree with limits)→ ─(read)→ Sdf ─(carry)→ Carried
//! global.conjur      where the broker was                 a note: tokens come from our broker
//! gatekeeper         port, service, conjur_resource       `sealock gatekeeper`, rules for three groups
//! forward            a list, or a map by id               `sealock forwarder`, services, the right to tokens
//! ```
//!
//! Conjur's privileges become groups: `read` is GET, HEAD and OPTIONS, `create` is POST, `update` is all else, as the
//! original's Gatekeeper asked for them. Who had them stands in Conjur and not in the file.
//!
//! # Invariants, which the fuzz target and the tests hold
//!
//! Nothing panics; nothing is taken that is not named in the result; names in the output are lower-case letters, digits,
//! `-` and dots, so that no text of the file is a rule, a setting or an option by itself; rules and settings can be loaded.
//!
//! **What an attacker controls:** every byte of the file. A person reads what comes out before using it.

mod carry;
mod error;
mod fuzz;
mod read;
#[cfg(test)]
mod tests;
mod yaml;

pub use carry::Carried;
pub use error::SdfError;
pub use fuzz::fuzz;
pub use read::{App, Forward, Guarded, Remote, Sdf};

/// Bytes of a file.
pub const MAXIMUM_BYTES: usize = 64 * 1024;
/// Keys and values of a file.
const MAXIMUM_NODES: usize = 4000;
/// Lists and maps in each other.
const MAXIMUM_DEPTH: usize = 8;

/// Cut, and with nothing in it that steers a terminal.
fn shown(text: &str) -> String {
    sealock_core::policy::plain(&text.chars().take(80).collect::<String>())
}
