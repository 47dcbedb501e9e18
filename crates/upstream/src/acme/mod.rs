//! An ACME client (RFC 8555). Orders, authorizations and challenges are instant-acme's; the account is made here, so
//! that its key is on the disk before a server knows it, and with it what vouches for it, which may be good once only.

mod answers;
mod enrol;
mod hook;
mod http;
mod jws;
mod register;
mod renewal;
mod wire;

pub use answers::{Answering, Responders};
pub use enrol::{Account, Notes, Order, Ways, Written, clean_up, enrol};
pub use hook::{Hook, TxtRecord};
pub use register::{AccountKey, Binding, Registration, directory, register};
pub use renewal::{Renewal, renewal};
pub use wire::{Directory, Problem, is_token};
