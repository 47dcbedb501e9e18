//! The engine's socket by another name, which can be taken away and given back: an engine that restarts,
//! without disturbing the real one.

use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

pub(crate) struct Proxy {
    path: PathBuf,
    accepting: Option<JoinHandle<()>>,
}

impl Proxy {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { path: folder.join("docker.sock"), accepting: None }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn give(&mut self, runtime: &Handle) {
        let _inside = runtime.enter();
        let listener = UnixListener::bind(&self.path).unwrap();
        self.accepting = Some(runtime.spawn(async move {
            // Connections end with this set, when the proxy is taken away.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                connections.spawn(async move {
                    if let Ok(mut far) = UnixStream::connect("/var/run/docker.sock").await {
                        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                    }
                });
            }
        }));
    }

    pub(crate) fn take(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
        }
        std::fs::remove_file(&self.path).unwrap();
    }
}
