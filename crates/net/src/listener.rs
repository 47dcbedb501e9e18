//! The accept loop: it outlives its errors, holds a bound on connections, and drains.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::JoinSet;

use crate::{Limits, Origin, Place, Places, Shutdown};

/// The first pause after the process ran out of something, doubled up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Something that connections come from.
pub trait Accept: Send + Sync + 'static {
    /// A connection.
    type Connection: Send + 'static;
    /// Who is at its other end, as far as the kernel says.
    type Peer: Send + 'static;

    /// The next connection.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Connection, Self::Peer)>> + Send;

    /// Whom it comes from; none where the kernel knows who that is.
    fn origin(_: &Self::Peer) -> Option<Origin> {
        None
    }
}

impl Accept for TcpListener {
    type Connection = TcpStream;
    type Peer = SocketAddr;

    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = TcpListener::accept(self).await?;
        // Small answers must not wait for more.
        let _ = stream.set_nodelay(true);
        Ok((stream, peer))
    }

    fn origin(peer: &SocketAddr) -> Option<Origin> {
        Some(peer.ip().into())
    }
}

impl Accept for UnixListener {
    type Connection = UnixStream;
    type Peer = tokio::net::unix::UCred;

    async fn accept(&self) -> io::Result<(UnixStream, Self::Peer)> {
        let (stream, _) = UnixListener::accept(self).await?;
        let peer = stream.peer_cred()?;
        Ok((stream, peer))
    }
}

/// As [`accept_with`], first come, first served.
pub async fn accept_loop<L, F, S>(
    name: &'static str,
    listener: L,
    limits: Limits,
    shutdown: Shutdown,
    serve: F,
) where
    L: Accept,
    F: Fn(L::Connection, L::Peer) -> S,
    S: Future<Output = ()> + Send + 'static,
{
    let places = Places::first_come(limits.connections);
    let serve = |connection, peer, _| serve(connection, peer);
    accept_with(name, listener, places, limits.drain, shutdown, serve).await;
}

/// Accepts until the shutdown signal, runs `serve` for each connection as long as it keeps its place, then waits for those
/// that are open, at most `drain`. An error of `accept` never ends the loop: when the process has run out of file
/// descriptors it pauses and goes on.
pub async fn accept_with<L, F, S>(
    name: &'static str,
    listener: L,
    places: Places,
    drain: Duration,
    shutdown: Shutdown,
    serve: F,
) where
    L: Accept,
    F: Fn(L::Connection, L::Peer, Place) -> S,
    S: Future<Output = ()> + Send + 'static,
{
    let mut open = JoinSet::new();
    let mut pause = FIRST_PAUSE;
    loop {
        let next = async {
            let (connection, peer) = listener.accept().await?;
            let place = places.take(L::origin(&peer)).await;
            Ok((connection, peer, place))
        };
        let accepted = tokio::select! {
            biased;
            () = shutdown.triggered() => break,
            next = next => next,
        };
        while open.try_join_next().is_some() {}
        match accepted {
            Ok((connection, peer, place)) => {
                pause = FIRST_PAUSE;
                // In a box, or the task would have room for it twice: where it was made and where it is awaited.
                let work = Box::pin(serve(connection, peer, place.clone()));
                open.spawn(async move {
                    tokio::select! {
                        biased;
                        () = work => {}
                        () = place.is_lost() => tracing::debug!(listener = name, "sent away"),
                    }
                });
            }
            Err(error) if is_the_peers_fault(&error) => {}
            Err(error) => {
                tracing::warn!(listener = name, %error, "cannot accept a connection");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
    drop(listener);
    let drained = tokio::time::timeout(drain, async { while open.join_next().await.is_some() {} });
    if drained.await.is_err() {
        tracing::warn!(listener = name, open = open.len(), "connections were cut at the deadline");
    }
}

/// The peer was gone before it was accepted.
fn is_the_peers_fault(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
            | io::ErrorKind::NotConnected
    )
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::Notify;

    use super::*;

    /// Gives these answers, then none.
    struct Scripted(Mutex<VecDeque<io::Result<u32>>>);

    impl Accept for Scripted {
        type Connection = u32;
        type Peer = ();

        async fn accept(&self) -> io::Result<(u32, ())> {
            let next = self.0.lock().unwrap().pop_front();
            match next {
                Some(answer) => answer.map(|number| (number, ())),
                None => std::future::pending().await,
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn running_out_of_file_descriptors_does_not_end_it() {
        const EMFILE: i32 = 24;
        let mut answers: VecDeque<io::Result<u32>> = VecDeque::new();
        answers.extend((0..50).map(|_| Err(io::Error::from_raw_os_error(EMFILE))));
        answers.push_back(Err(io::ErrorKind::ConnectionAborted.into()));
        answers.push_back(Ok(7));
        let shutdown = Shutdown::default();
        let served = Arc::new(AtomicUsize::new(0));
        let (seen, end) = (Arc::clone(&served), shutdown.clone());
        let listener = Scripted(Mutex::new(answers));
        accept_loop("test", listener, Limits::default(), shutdown, move |number, ()| {
            seen.store(number as usize, Ordering::SeqCst);
            let end = end.clone();
            async move { end.trigger() }
        })
        .await;
        assert_eq!(served.load(Ordering::SeqCst), 7);
    }

    #[tokio::test]
    async fn there_are_never_more_connections_than_allowed() {
        let answers: VecDeque<io::Result<u32>> = (0..20).map(Ok).collect();
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (shutdown, done) = (Shutdown::default(), Arc::new(AtomicUsize::new(0)));
        let limits = Limits { connections: 3, ..Limits::default() };
        let (seen, end) = (Arc::clone(&most), shutdown.clone());
        let listener = Scripted(Mutex::new(answers));
        accept_loop("test", listener, limits, shutdown, move |_, ()| {
            let (now, most) = (Arc::clone(&now), Arc::clone(&seen));
            let (done, end) = (Arc::clone(&done), end.clone());
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                now.fetch_sub(1, Ordering::SeqCst);
                if done.fetch_add(1, Ordering::SeqCst) == 19 {
                    end.trigger();
                }
            }
        })
        .await;
        assert!((1..=3).contains(&most.load(Ordering::SeqCst)));
    }

    #[tokio::test]
    async fn what_is_under_way_is_finished() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (shutdown, started) = (Shutdown::default(), Arc::new(Notify::new()));
        let begun = Arc::clone(&started);
        let running = tokio::spawn(accept_loop(
            "test",
            listener,
            Limits::default(),
            shutdown.clone(),
            move |mut stream: TcpStream, _| {
                let begun = Arc::clone(&begun);
                async move {
                    begun.notify_one();
                    let mut byte = [0; 1];
                    stream.read_exact(&mut byte).await.unwrap();
                    stream.write_all(&byte).await.unwrap();
                }
            },
        ));
        let mut client = TcpStream::connect(address).await.unwrap();
        started.notified().await;
        shutdown.trigger();
        client.write_all(b"x").await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"x");
        running.await.unwrap();
        assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
    }
}
