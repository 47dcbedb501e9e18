//! A runtime for each processor: a connection, what it leads to, and the memory of both stay on one of them.

use std::io;
use std::sync::Arc;
use std::thread;

use sealock_net::Shutdown;
use sealock_net::proxy::Upstream;
use sealock_net::tls::LiveServer;
use sealock_traffic::gatekeeper::Gatekeeper;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// How many processors there are for us.
pub(super) fn count() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Serves on all processors; each has its own connections to the app. The tasks end when the threads have.
pub(super) fn serve(
    gatekeeper: &Arc<Gatekeeper>,
    app: &dyn Fn() -> Upstream,
    listener: TcpListener,
    tls: Option<&Arc<LiveServer>>,
    shutdown: &Shutdown,
    tasks: &mut JoinSet<()>,
) -> io::Result<()> {
    let listener = listener.into_std()?;
    for core in 0..count() {
        // All listen at one socket: whoever is awake first takes the next connection.
        let (listener, gatekeeper) = (listener.try_clone()?, Arc::clone(gatekeeper));
        let app = app();
        let (tls, shutdown) = (tls.cloned(), shutdown.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (ended, end) = oneshot::channel::<()>();
        let work = move || {
            let served = runtime.block_on(async {
                let listener = TcpListener::from_std(listener)?;
                gatekeeper.serve_before(app, listener, tls, shutdown).await;
                Ok::<_, io::Error>(())
            });
            if let Err(error) = served {
                tracing::error!(%error, "a processor does not serve");
            }
            drop(ended);
        };
        thread::Builder::new().name(format!("gatekeeper-{core}")).spawn(work)?;
        tasks.spawn(async move {
            // An error is the end of the thread, which is what is waited for.
            let _ = end.await;
        });
    }
    Ok(())
}
