//! The gateway as a library speaks to it: a connection that is kept.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::gateway::Client;

/// A connection that stays open, as docker's libraries hold them.
pub(crate) struct Connection(StreamOwned<ClientConnection, TcpStream>);

impl Connection {
    pub(crate) fn of(client: &Client) -> Self {
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(config(client), name).unwrap();
        Self(StreamOwned::new(session, TcpStream::connect(&client.address).unwrap()))
    }

    pub(crate) fn into_stream(self) -> StreamOwned<ClientConnection, TcpStream> {
        self.0
    }

    /// A request with a body.
    pub(crate) fn send(&mut self, method: &str, path: &str, kind: &str, body: &[u8]) {
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: d\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
        );
        self.0.write_all(&[head.as_bytes(), body].concat()).unwrap();
    }

    /// Status and body of the answer to a request with a body.
    pub(crate) fn ask(
        &mut self,
        method: &str,
        path: &str,
        kind: &str,
        body: &[u8],
    ) -> (u16, Vec<u8>) {
        self.send(method, path, kind, body);
        let head = self.read_head().unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = Vec::new();
        match length {
            Some(length) => {
                body.resize(length.parse().unwrap(), 0);
                self.0.read_exact(&mut body).unwrap();
            }
            None => self.read_chunks(&mut body),
        }
        (status, body)
    }

    fn read_chunks(&mut self, body: &mut Vec<u8>) {
        loop {
            let line = self.read_until("\r\n").unwrap();
            let size = usize::from_str_radix(line.trim_end(), 16).unwrap();
            let start = body.len();
            body.resize(start + size, 0);
            self.0.read_exact(&mut body[start..]).unwrap();
            self.read_until("\r\n").unwrap();
            if size == 0 {
                return;
            }
        }
    }

    /// The head of an answer, in lower case; none when the connection was ended.
    pub(crate) fn head(&mut self, path: &str) -> Option<String> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: d\r\n\r\n");
        self.0.write_all(request.as_bytes()).ok()?;
        self.read_head()
    }

    fn read_head(&mut self) -> Option<String> {
        self.read_until("\r\n\r\n").map(|head| head.to_lowercase())
    }

    fn read_until(&mut self, end: &str) -> Option<String> {
        let mut text = String::new();
        while !text.ends_with(end) {
            let mut byte = [0];
            self.0.read_exact(&mut byte).ok()?;
            text.push(byte[0].into());
        }
        Some(text)
    }

    /// The status of an answer whose length is known; none when the connection was ended.
    pub(crate) fn get(&mut self, path: &str) -> Option<String> {
        let head = self.head(path)?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.unwrap().parse().unwrap()];
        self.0.read_exact(&mut body).ok()?;
        head.split(' ').nth(1).map(str::to_owned)
    }
}

/// What TLS needs to know to come as this client.
pub(crate) fn config(client: &Client) -> Arc<ClientConfig> {
    let file = |name: &str| std::fs::read(format!("{}/{name}", client.folder)).unwrap();
    let list = |name: &str| {
        let pem = file(name);
        CertificateDer::pem_slice_iter(&pem).map(Result::unwrap).collect::<Vec<_>>()
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(list("ca.pem"));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::from_pem_slice(&file("key.pem")).unwrap();
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(list("cert.pem"), key)
        .unwrap();
    Arc::new(config)
}
