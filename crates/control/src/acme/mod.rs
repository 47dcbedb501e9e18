//! The ACME server (RFC 8555): what it keeps in memory, and how it finds out who controls a name. What it decides is in
//! `service::acme`, what it remembers in the crate `sealock-acme`, what is at which path in `api::acme`.

mod caa;
mod server;
mod validate;

pub(crate) use server::AcmeServer;
pub(crate) use validate::resolver;
