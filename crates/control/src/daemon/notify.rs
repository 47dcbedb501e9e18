//! Telling systemd, where it asked to be told (`NOTIFY_SOCKET`, sd_notify(3)).

use std::os::unix::net::{SocketAddr, UnixDatagram};

use crate::service::Service;

/// Sends a message, if there is anybody to send it to. A failure is of no consequence.
pub(super) fn tell(service: &Service, message: &str) {
    use std::os::linux::net::SocketAddrExt;

    let Some(path) = service.opening().environment.get("NOTIFY_SOCKET") else { return };
    let address = match path.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(path),
    };
    let sent = address
        .and_then(|address| UnixDatagram::unbound()?.send_to_addr(message.as_bytes(), &address));
    if let Err(error) = sent {
        tracing::debug!(%error, "systemd was not told");
    }
}
