//! `admin.sock`: for root and the owner of the state folder, by mode 0600 and by what the kernel says of
//! the peer.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use sealock_net::{Limits, Shutdown, accept_loop, serve_http};
use tokio::net::{UnixListener, UnixStream};

use super::routes::Routes;
use crate::caller::{Caller, Door};
use crate::error::{ErrorCode, ServiceError};
use crate::service::Service;

/// Binds the socket. One that is there already was left by a daemon that is gone: whoever calls this holds
/// the state folder's lock. The folder is 0700, so nobody gets in before the mode is set.
pub fn bind_socket(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Serves until the shutdown signal, then drains.
pub async fn serve_socket(listener: UnixListener, service: Arc<Service>, shutdown: Shutdown) {
    let limits = Limits { connections: 128, ..Limits::default() };
    let routes = Routes {
        service,
        shutdown: shutdown.clone(),
        turns: None,
        acme: None,
        streams: None,
        here: true,
        acme_alone: false,
        takes_secrets: false,
    };
    let end = shutdown.clone();
    accept_loop("admin.sock", listener, limits, shutdown, move |stream: UnixStream, peer| {
        let (routes, end) = (routes.clone(), end.clone());
        let caller = caller(&routes.service, peer.uid());
        async move {
            serve_http(stream, limits, end, |request| routes.answer(request, caller.clone())).await;
        }
    })
    .await;
}

fn caller(service: &Service, uid: u32) -> Result<Caller, ServiceError> {
    let own = rustix::process::geteuid().as_raw();
    if uid != 0 && uid != own {
        tracing::warn!(uid, "another user at admin.sock");
        return Err(ServiceError::new(
            ErrorCode::Unauthenticated,
            format!("uid {uid} may not use this socket"),
        ));
    }
    Caller::local(uid, Door::Socket, &service.trust_domain())
        .ok_or_else(|| ServiceError::new(ErrorCode::Fault, "the administrator has no identity"))
}
