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
        let file = |name: &str| std::fs::read(format!("{}/{name}", client.folder)).unwrap();
        let list = |name: &str| {
            let pem = file(name);
            CertificateDer::pem_slice_iter(&pem).map(Result::unwrap).collect::<Vec<_>>()
        };
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(list("ca.pem"));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(
                list("cert.pem"),
                PrivateKeyDer::from_pem_slice(&file("key.pem")).unwrap(),
            )
            .unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(Arc::new(config), name).unwrap();
        Self(StreamOwned::new(session, TcpStream::connect(&client.address).unwrap()))
    }

    /// The head of an answer, in lower case; none when the connection was ended.
    pub(crate) fn head(&mut self, path: &str) -> Option<String> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: d\r\n\r\n");
        self.0.write_all(request.as_bytes()).ok()?;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).ok()?;
            head.push(byte[0].into());
        }
        Some(head.to_lowercase())
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
