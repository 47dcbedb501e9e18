//! Where Forwarders are told that a Gatekeeper is.

use std::net::SocketAddr;

use sealock_traffic::registry::Address;

use super::{Advertise, GuardOptions};
use crate::error::{ErrorCode, ServiceError};

/// What the broker is told, by what was asked for and where it listens.
pub(super) fn advertised(
    options: &GuardOptions,
    listening: SocketAddr,
) -> Result<Advertise, ServiceError> {
    // A Forwarder that is told of somebody speaks TLS with them.
    let is_plain = options.identity.is_none();
    match &options.advertise {
        Advertise::At(_) if is_plain => {
            let text = "a Gatekeeper over plain HTTP is told to nobody";
            Err(ServiceError::new(ErrorCode::Usage, text)
                .hint("name it at the Forwarder: --plain NAME=ADDRESS:PORT"))
        }
        // Whether loopback is the same for both, the broker knows.
        Advertise::At(at) => match Address::read(at, true) {
            Ok(at) => Ok(Advertise::At(at.to_string())),
            Err(error) => Err(ServiceError::of(ErrorCode::Usage, &error)
                .hint("--advertise HOST:PORT, at which Forwarders reach it, or off")),
        },
        Advertise::Listening(_) if !is_plain => Ok(Advertise::Listening(listening)),
        Advertise::Listening(_) | Advertise::No => Ok(Advertise::No),
    }
}
