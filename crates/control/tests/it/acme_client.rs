//! A client of the ACME server that does nothing by itself: each request, each header and each signature is the test's.

use std::sync::Arc;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use data_encoding::BASE64URL_NOPAD;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::HeaderMap;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use sealock_net::tls::client_config;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use crate::api::Sender;

pub(crate) const JOSE: &str = "application/jose+json";

/// Status, headers, document.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn document(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// What kind of problem, without its namespace.
    pub(crate) fn problem(&self) -> String {
        let kind = self.document()["type"].as_str().unwrap_or_default().to_owned();
        kind.strip_prefix("urn:ietf:params:acme:error:").unwrap_or(&kind).to_owned()
    }

    /// A member of the document, which is a text.
    pub(crate) fn text(&self, member: &str) -> String {
        let document = self.document();
        document[member].as_str().unwrap_or_else(|| panic!("{member}: {document}")).to_owned()
    }

    /// Where a list goes on.
    pub(crate) fn next(&self) -> Option<String> {
        let mut links = self.headers.get_all("link").iter().filter_map(|link| link.to_str().ok());
        let next = links.find(|link| link.ends_with("rel=\"next\""))?;
        Some(next.split_once('>')?.0.trim_start_matches('<').to_owned())
    }

    pub(crate) fn location(&self) -> String {
        self.headers["location"].to_str().unwrap().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Where the server is, and by which roots it is known.
pub(crate) struct Site {
    pub(crate) address: String,
    pub(crate) roots: String,
    /// What its URLs begin with.
    pub(crate) base: String,
    /// Connections that are open and idle.
    idle: Mutex<Vec<Sender>>,
}

impl Site {
    pub(crate) fn new(address: String, roots: String) -> Self {
        let base = format!("https://localhost:{}/acme", address.rsplit(':').next().unwrap());
        Self { address, roots, base, idle: Mutex::default() }
    }

    async fn connect(&self) -> std::io::Result<Sender> {
        let roots: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(self.roots.as_bytes())
                .collect::<Result<_, _>>()
                .unwrap();
        let config = client_config(&roots, None).unwrap();
        let stream = TcpStream::connect(&self.address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)?;
        tokio::spawn(connection);
        Ok(sender)
    }

    /// A request, which nobody answers where the server is gone.
    pub(crate) async fn try_ask(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> std::io::Result<Answer> {
        let idle = self.idle.lock().pop();
        let mut sender = match idle {
            Some(sender) if !sender.is_closed() => sender,
            _ => self.connect().await?,
        };
        let path = format!("/{}", url.splitn(4, '/').nth(3).unwrap());
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
        sender.ready().await.map_err(std::io::Error::other)?;
        let response = sender.send_request(request).await.map_err(std::io::Error::other)?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.into_body().collect().await.map_err(std::io::Error::other)?;
        self.idle.lock().push(sender);
        Ok(Answer { status, headers, body: body.to_bytes() })
    }

    pub(crate) async fn ask_as(
        &self,
        host: &str,
        method: &str,
        url: &str,
        kind: &str,
        body: &str,
    ) -> Answer {
        let headers = [("host", host), ("content-type", kind)];
        self.try_ask(method, url, &headers, body).await.unwrap()
    }

    pub(crate) fn host(&self) -> &str {
        self.base.strip_prefix("https://").unwrap().split('/').next().unwrap()
    }

    pub(crate) async fn ask(&self, method: &str, url: &str, kind: &str, body: &str) -> Answer {
        self.ask_as(self.host(), method, url, kind, body).await
    }

    pub(crate) async fn try_nonce(&self) -> std::io::Result<String> {
        let headers = [("host", self.host())];
        let answer = self.try_ask("HEAD", &self.at("new-nonce"), &headers, "").await?;
        assert_eq!(answer.status, 200);
        Ok(answer.header("replay-nonce").unwrap().to_owned())
    }

    pub(crate) async fn nonce(&self) -> String {
        self.try_nonce().await.unwrap()
    }

    pub(crate) async fn post(&self, url: &str, body: &str) -> Answer {
        self.ask("POST", url, JOSE, body).await
    }

    /// As a client does it.
    pub(crate) async fn try_signed(
        &self,
        key: &Key,
        kid: Option<&str>,
        url: &str,
        payload: &str,
    ) -> std::io::Result<Answer> {
        let nonce = self.try_nonce().await?;
        let headers = [("host", self.host()), ("content-type", JOSE)];
        self.try_ask("POST", url, &headers, &key.jws(kid, url, &nonce, payload)).await
    }

    pub(crate) async fn signed(
        &self,
        key: &Key,
        kid: Option<&str>,
        url: &str,
        payload: &str,
    ) -> Answer {
        self.try_signed(key, kid, url, payload).await.unwrap()
    }

    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}/{path}", self.base)
    }

    /// An account that nobody vouches for.
    pub(crate) async fn account(&self, key: &Key) -> String {
        let made = self.signed(key, None, &self.at("new-account"), "{}").await;
        assert_eq!(made.status, 201, "{:?}", made.document());
        made.location()
    }
}

pub(crate) struct Key(EcdsaKeyPair);

impl Key {
    pub(crate) fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    /// The same key as one for certificates.
    pub(crate) fn of(pair: &rcgen::KeyPair) -> Self {
        let der = pair.serialize_der();
        Self(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der).unwrap())
    }

    pub(crate) fn jwk(&self) -> Value {
        let (x, y) = self.0.public_key().as_ref()[1..].split_at(32);
        let text = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
        json!({"kty": "EC", "crv": "P-256", "x": text(x), "y": text(y)})
    }

    /// RFC 7638.
    pub(crate) fn thumbprint(&self) -> String {
        let jwk = self.jwk();
        let text = format!(r#"{{"crv":"P-256","kty":"EC","x":{},"y":{}}}"#, jwk["x"], jwk["y"]);
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
        BASE64URL_NOPAD.encode(digest.as_ref())
    }

    pub(crate) fn sign(&self, header: &Value, payload: &str) -> Value {
        let protected = BASE64URL_NOPAD.encode(header.to_string().as_bytes());
        let payload = BASE64URL_NOPAD.encode(payload.as_bytes());
        let signed = format!("{protected}.{payload}");
        let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        let signature = BASE64URL_NOPAD.encode(signature.as_ref());
        json!({"protected": protected, "payload": payload, "signature": signature})
    }

    pub(crate) fn jws(&self, kid: Option<&str>, url: &str, nonce: &str, payload: &str) -> String {
        let mut header = json!({"alg": "ES256", "nonce": nonce, "url": url});
        match kid {
            Some(kid) => header["kid"] = kid.into(),
            None => header["jwk"] = self.jwk(),
        }
        self.sign(&header, payload).to_string()
    }

    pub(crate) fn binding(&self, kid: &str, mac: &[u8], url: &str) -> Value {
        let header = json!({"alg": "HS256", "kid": kid, "url": url}).to_string();
        let protected = BASE64URL_NOPAD.encode(header.as_bytes());
        let payload = BASE64URL_NOPAD.encode(self.jwk().to_string().as_bytes());
        let key = hmac::Key::new(hmac::HMAC_SHA256, mac);
        let signature = hmac::sign(&key, format!("{protected}.{payload}").as_bytes());
        let signature = BASE64URL_NOPAD.encode(signature.as_ref());
        json!({"protected": protected, "payload": payload, "signature": signature})
    }
}

pub(crate) fn order(names: &[&str]) -> String {
    let all: Vec<Value> = names.iter().map(|name| json!({"type": "dns", "value": name})).collect();
    json!({ "identifiers": all }).to_string()
}

/// A CSR for a key that is new.
pub(crate) fn csr(names: &[&str]) -> String {
    csr_of(&rcgen::KeyPair::generate().unwrap(), names)
}

pub(crate) fn csr_of(key: &rcgen::KeyPair, names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let params = rcgen::CertificateParams::new(names).unwrap();
    der_csr(params.serialize_request(key).unwrap().der())
}

pub(crate) fn der_csr(der: &[u8]) -> String {
    json!({"csr": BASE64URL_NOPAD.encode(der)}).to_string()
}

/// A web server: what it answers to whom asks a host for the file of a token. To nothing it hangs up.
pub(crate) async fn web(
    answer: impl Fn(&str, &str) -> Option<String> + Send + Sync + 'static,
) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, answer) = (listener.local_addr().unwrap().port(), Arc::new(answer));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = Arc::clone(&answer);
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                    if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                let token = head.split(' ').nth(1).unwrap_or("").rsplit('/').next().unwrap();
                let small = head.to_ascii_lowercase();
                let host = small.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or("");
                let host = host.split(':').next().unwrap();
                if let Some(text) = answer(host, token) {
                    let _ = stream.write_all(text.as_bytes()).await;
                }
            });
        }
    });
    port
}

/// An answer with this content.
pub(crate) fn found(body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}
