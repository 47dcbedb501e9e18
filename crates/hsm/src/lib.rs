//! Keys in a PKCS#11 token: a client of the helper that loads the module.
//!
//! ```text
//! callers → queue → one thread → pipe → sealock-hsm-helper → module → token
//! ```
//!
//! # What an attacker controls
//!
//! The module is somebody else's code. It runs in a process of its own ([`sealock_hsm_image`]), from which nothing
//! comes back but frames of [`sealock_hsm_wire`], read as a stranger's bytes; whoever uses a signature verifies it. It
//! is loaded only when nobody but root (and the user that we run as) can have written it. It gets the PIN, which it
//! needs, by a pipe: never as an argument, nor in the environment.
//!
//! # Invariants
//!
//! - Every question has an end: who does not answer in time is killed. The next question starts another helper, after
//!   a pause that grows with each failure in a row, up to [`LONGEST_PAUSE`].
//! - A PIN that was refused is not tried a second time: tokens lock themselves after a few. Nor is one that was tried
//!   and had no answer, unless the token has taken it before; that outlives us ([`Logins`]). And none is tried where the
//!   token says that one more would lock it.
//! - The helper is started by a thread that lives as long as the [`Device`]: it is to die with us, and the kernel takes
//!   for us the thread that started it.

mod device;
mod error;
mod file;
mod logins;
mod process;
mod uri;
mod worker;

pub use device::{Device, DeviceSettings, PinSource, Trouble};
pub use error::HsmError;
pub use file::{ModuleError, check_module};
pub use logins::Logins;
pub use sealock_hsm_wire::{Kind, Parts, Public, Token, TokenName};
pub use uri::{TokenNameError, token_name};

/// For how long the helper is left alone after failures, at most.
pub const LONGEST_PAUSE: std::time::Duration = std::time::Duration::from_secs(5);

#[cfg(test)]
mod tests;
