//! A client of any ACME server, that does nothing but orders.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use crate::http::{Answer, Connection, Endpoint};

pub(super) const NAME: &str = "host.bench.example";

/// A server, and an account there.
pub(super) struct Server {
    endpoint: Endpoint,
    /// What URLs begin with.
    base: String,
    /// Of the directory: paths.
    nonce: String,
    account: String,
    order: String,
    key: EcdsaKeyPair,
    kid: String,
    csr: String,
}

impl Server {
    /// With a new account, which a key of an external one (its name, the key) vouches for where there is one.
    pub(super) async fn enter(
        endpoint: Endpoint,
        base: String,
        directory: &str,
        vouched: Option<(&str, &[u8])>,
    ) -> Result<Self> {
        let host = base.trim_start_matches("https://");
        let mut connection = Connection::open(&endpoint).await?;
        connection.keep_all();
        let head = format!("GET {directory} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let found: Value = serde_json::from_slice(&connection.ask(head.as_bytes()).await?.body)?;
        let at = |member: &str| path(&base, found.get(member).and_then(Value::as_str));
        let (nonce, account, order) = (at("newNonce")?, at("newAccount")?, at("newOrder")?);
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .map_err(|_| anyhow::anyhow!("no key"))?;
        let own = rcgen::KeyPair::generate()?;
        let params = rcgen::CertificateParams::new(vec![NAME.to_owned()])?;
        let csr = BASE64URL_NOPAD.encode(params.serialize_request(&own)?.der());
        let kid = String::new();
        let mut server = Self { endpoint, base, nonce, account, order, key, kid, csr };
        let mut wanted = json!({"termsOfServiceAgreed": true});
        if let Some((name, mac)) = vouched {
            let binding = server.binding(name, mac);
            wanted
                .as_object_mut()
                .context("no object")?
                .insert("externalAccountBinding".to_owned(), binding);
        }
        let mut client = Client::open(&server).await?;
        let made = client.post(&server.account, &wanted.to_string(), 201).await?;
        server.kid = made.location.context("no account")?;
        Ok(server)
    }

    fn jwk(&self) -> Value {
        let point = self.key.public_key().as_ref();
        let part =
            |from: usize| BASE64URL_NOPAD.encode(point.get(from..from + 32).unwrap_or_default());
        json!({"kty": "EC", "crv": "P-256", "x": part(1), "y": part(33)})
    }

    /// RFC 8555 §7.3.4.
    fn binding(&self, name: &str, mac: &[u8]) -> Value {
        let url = format!("{}{}", self.base, self.account);
        let header = json!({"alg": "HS256", "kid": name, "url": url}).to_string();
        let protected = BASE64URL_NOPAD.encode(header.as_bytes());
        let payload = BASE64URL_NOPAD.encode(self.jwk().to_string().as_bytes());
        let key = hmac::Key::new(hmac::HMAC_SHA256, mac);
        let tag = hmac::sign(&key, format!("{protected}.{payload}").as_bytes());
        let signature = BASE64URL_NOPAD.encode(tag.as_ref());
        json!({"protected": protected, "payload": payload, "signature": signature})
    }
}

fn path(base: &str, url: Option<&str>) -> Result<String> {
    let path = url.and_then(|url| url.strip_prefix(base)).context("a URL of another server")?;
    Ok(path.to_owned())
}

fn text(answer: &Answer, member: &str) -> Result<String> {
    let document: Value = serde_json::from_slice(&answer.body)?;
    let found = document.get(member).and_then(Value::as_str);
    Ok(found.with_context(|| format!("no {member} in {document}"))?.to_owned())
}

/// On a connection that it keeps.
pub(super) struct Client<'a> {
    server: &'a Server,
    connection: Connection,
    nonce: String,
}

impl<'a> Client<'a> {
    pub(super) async fn open(server: &'a Server) -> Result<Self> {
        let mut connection = Connection::open(&server.endpoint).await?;
        connection.keep_all();
        let host = server.base.trim_start_matches("https://");
        let head = format!("GET {} HTTP/1.1\r\nHost: {host}\r\n\r\n", server.nonce);
        let nonce = connection.ask(head.as_bytes()).await?.nonce.context("no nonce")?;
        Ok(Self { server, connection, nonce })
    }

    /// A signed request.
    async fn post(&mut self, path: &str, payload: &str, status: u16) -> Result<Answer> {
        let server = self.server;
        let url = format!("{}{path}", server.base);
        let mut header = json!({"alg": "ES256", "nonce": self.nonce, "url": url});
        let (name, signer) = match server.kid.as_str() {
            "" => ("jwk", server.jwk()),
            kid => ("kid", kid.into()),
        };
        if let Some(header) = header.as_object_mut() {
            header.insert(name.to_owned(), signer);
        }
        let protected = BASE64URL_NOPAD.encode(header.to_string().as_bytes());
        let payload = BASE64URL_NOPAD.encode(payload.as_bytes());
        let signed = format!("{protected}.{payload}");
        let signature = server
            .key
            .sign(&SystemRandom::new(), signed.as_bytes())
            .map_err(|_| anyhow::anyhow!("cannot sign"))?;
        let signature = BASE64URL_NOPAD.encode(signature.as_ref());
        let body =
            json!({"protected": protected, "payload": payload, "signature": signature}).to_string();
        let host = server.base.trim_start_matches("https://");
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: sealock-bench\r\n\
             Content-Type: application/jose+json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = self.connection.ask(request.as_bytes()).await?;
        if answer.status != status {
            bail!("{path}: {} {}", answer.status, String::from_utf8_lossy(&answer.body));
        }
        self.nonce = answer.nonce.clone().context("no nonce")?;
        Ok(answer)
    }

    fn path(&self, answer: &Answer, member: &str) -> Result<String> {
        path(&self.server.base, Some(&text(answer, member)?))
    }

    /// An order from its beginning to its certificate.
    pub(super) async fn order(&mut self) -> Result<()> {
        let wanted = json!({"identifiers": [{"type": "dns", "value": NAME}]}).to_string();
        let mut found = self.post(&self.server.order, &wanted, 201).await?;
        let order = path(&self.server.base, found.location.as_deref())?;
        if text(&found, "status")? == "pending" {
            self.answer(&found).await?;
            found = self.until(&order, "ready").await?;
        }
        let finalize = self.path(&found, "finalize")?;
        let csr = json!({"csr": self.server.csr}).to_string();
        let mut done = self.post(&finalize, &csr, 200).await?;
        if text(&done, "status")? != "valid" {
            done = self.until(&order, "valid").await?;
        }
        let certificate = self.path(&done, "certificate")?;
        self.post(&certificate, "", 200).await?;
        Ok(())
    }

    /// Answers the first challenge, of a server that takes any answer.
    async fn answer(&mut self, order: &Answer) -> Result<()> {
        let document: Value = serde_json::from_slice(&order.body)?;
        let url = document.pointer("/authorizations/0").and_then(Value::as_str);
        let found = self.post(&path(&self.server.base, url)?, "", 200).await?;
        let document: Value = serde_json::from_slice(&found.body)?;
        let url = document.pointer("/challenges/0/url").and_then(Value::as_str);
        self.post(&path(&self.server.base, url)?, "{}", 200).await?;
        Ok(())
    }

    /// Asks how an order stands until it stands so.
    async fn until(&mut self, order: &str, wanted: &str) -> Result<Answer> {
        for _ in 0..10_000 {
            let found = self.post(order, "", 200).await?;
            match text(&found, "status")?.as_str() {
                status if status == wanted => return Ok(found),
                "pending" | "processing" | "ready" => {}
                status => bail!("an order is {status}"),
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        bail!("an order is never {wanted}")
    }
}
