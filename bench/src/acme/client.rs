//! The load: one account at an ACME server, and clients that bring its orders to an end.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use crate::http::{Connection, Endpoint};

/// Clients at once, each on a connection that it keeps.
const CLIENTS: u32 = 32;
pub(super) const NAME: &str = "host.bench.example";
/// For an order that is being worked on.
const POLLS: usize = 1000;

/// An account at a server, ready to order.
pub(super) struct Account {
    endpoint: Endpoint,
    /// What URLs begin with.
    base: String,
    new_nonce: String,
    new_order: String,
    key: EcdsaKeyPair,
    kid: String,
    csr: String,
}

/// A key by which somebody vouches for the account.
pub(super) struct Binding<'a> {
    pub(super) kid: &'a str,
    pub(super) key: &'a [u8],
}

/// How many orders.
#[derive(Debug, Clone, Copy)]
pub(super) enum Until {
    /// As many as there is time for.
    Moment(Instant),
    /// So many of each client.
    Each(u32),
}

impl Account {
    /// Makes an account. `base` is what the server takes itself to be called, `directory` a path.
    pub(super) async fn new(
        endpoint: Endpoint,
        base: String,
        directory: &str,
        binding: Option<Binding<'_>>,
    ) -> Result<Self> {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .map_err(|_| anyhow::anyhow!("no key"))?;
        let own = rcgen::KeyPair::generate()?;
        let params = rcgen::CertificateParams::new(vec![NAME.to_owned()])?;
        let csr = BASE64URL_NOPAD.encode(params.serialize_request(&own)?.der());
        let (kid, nothing) = (String::new(), String::new());
        let (new_nonce, new_order) = (nothing.clone(), nothing);
        let mut account = Self { endpoint, base, new_nonce, new_order, key, kid, csr };
        let mut connection = Connection::open(&account.endpoint).await?;
        connection.keep_all();
        let answer = connection.ask(&account.get(directory)).await?;
        let directory: Value = serde_json::from_slice(&answer.body)?;
        account.new_nonce = account.path(&directory, "newNonce")?;
        account.new_order = account.path(&directory, "newOrder")?;
        let new_account = account.path(&directory, "newAccount")?;
        let mut wanted = json!({"termsOfServiceAgreed": true});
        if let Some(binding) = binding {
            let bound = account.bound(&new_account, &binding);
            wanted = json!({"termsOfServiceAgreed": true, "externalAccountBinding": bound});
        }
        let made =
            Client::open(&account).await?.post(&new_account, &wanted.to_string(), 201).await?;
        account.kid = made.location.context("no account")?;
        Ok(account)
    }

    fn bound(&self, new_account: &str, binding: &Binding<'_>) -> Value {
        let url = format!("{}{new_account}", self.base);
        let header = json!({"alg": "HS256", "kid": binding.kid, "url": url}).to_string();
        let protected = BASE64URL_NOPAD.encode(header.as_bytes());
        let payload = BASE64URL_NOPAD.encode(self.jwk().to_string().as_bytes());
        let key = hmac::Key::new(hmac::HMAC_SHA256, binding.key);
        let tag = hmac::sign(&key, format!("{protected}.{payload}").as_bytes());
        let signature = BASE64URL_NOPAD.encode(tag.as_ref());
        json!({"protected": protected, "payload": payload, "signature": signature})
    }

    fn jwk(&self) -> Value {
        let point = self.key.public_key().as_ref();
        let part =
            |from: usize| BASE64URL_NOPAD.encode(point.get(from..from + 32).unwrap_or_default());
        json!({"kty": "EC", "crv": "P-256", "x": part(1), "y": part(33)})
    }

    fn host(&self) -> &str {
        self.base.trim_start_matches("https://")
    }

    fn get(&self, path: &str) -> Vec<u8> {
        format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.host()).into_bytes()
    }

    /// The path of a URL that a document names.
    fn path(&self, document: &Value, member: &str) -> Result<String> {
        let url = document.get(member).and_then(Value::as_str);
        self.below(url.with_context(|| format!("no {member} in {document}"))?)
    }

    fn below(&self, url: &str) -> Result<String> {
        Ok(url.strip_prefix(self.base.as_str()).context("a URL of another server")?.to_owned())
    }

    /// Proves the name, where an order of it is not ready at once.
    pub(super) async fn prove(&self) -> Result<()> {
        let mut client = Client::open(self).await?;
        let wanted = json!({"identifiers": [{"type": "dns", "value": NAME}]}).to_string();
        let made = client.post(&self.new_order, &wanted, 201).await?;
        let order = self.below(made.location.as_deref().context("no order")?)?;
        for url in
            made.document.get("authorizations").and_then(Value::as_array).into_iter().flatten()
        {
            let path = self.below(url.as_str().context("no authorization")?)?;
            let authorization = client.post(&path, "", 200).await?.document;
            let challenge = authorization.pointer("/challenges/0").context("no challenge")?;
            client.post(&self.path(challenge, "url")?, "{}", 200).await?;
        }
        for _ in 0..POLLS {
            let shown = client.post(&order, "", 200).await?.document;
            if shown.get("status").and_then(Value::as_str) == Some("ready") {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!("the order does not get ready");
    }

    /// How many orders are brought to an end in a second.
    pub(super) async fn round(&self, until: Until) -> Result<f64> {
        let began = Instant::now();
        let clients = (0..CLIENTS).map(|_| async move {
            let mut client = Client::open(self).await?;
            let mut count = 0_u32;
            loop {
                let over = match until {
                    Until::Moment(end) => Instant::now() >= end,
                    Until::Each(most) => count >= most,
                };
                if over {
                    return Ok::<_, anyhow::Error>(count);
                }
                client.order().await?;
                count += 1;
            }
        });
        let counts = futures_util::future::try_join_all(clients).await?;
        Ok(f64::from(counts.into_iter().sum::<u32>()) / began.elapsed().as_secs_f64())
    }

    /// What each client has to do, so that there are about so many orders.
    pub(super) fn each(orders: u32) -> Until {
        Until::Each(orders.div_ceil(CLIENTS))
    }
}

struct Client<'a> {
    account: &'a Account,
    connection: Connection,
    nonce: String,
}

/// What a request is answered with.
struct Shown {
    /// Of a certificate none.
    document: Value,
    location: Option<String>,
}

impl<'a> Client<'a> {
    async fn open(account: &'a Account) -> Result<Self> {
        let mut connection = Connection::open(&account.endpoint).await?;
        connection.keep_all();
        let nonce = connection.ask(&account.get(&account.new_nonce)).await?.nonce;
        Ok(Self { account, connection, nonce: nonce.context("no nonce")? })
    }

    /// A signed request.
    async fn post(&mut self, path: &str, payload: &str, status: u16) -> Result<Shown> {
        let account = self.account;
        let url = format!("{}{path}", account.base);
        let mut header = json!({"alg": "ES256", "nonce": self.nonce, "url": url});
        let (name, signer) = match account.kid.as_str() {
            "" => ("jwk", account.jwk()),
            kid => ("kid", kid.into()),
        };
        if let Some(header) = header.as_object_mut() {
            header.insert(name.to_owned(), signer);
        }
        let protected = BASE64URL_NOPAD.encode(header.to_string().as_bytes());
        let payload = BASE64URL_NOPAD.encode(payload.as_bytes());
        let signed = format!("{protected}.{payload}");
        let signature = account
            .key
            .sign(&SystemRandom::new(), signed.as_bytes())
            .map_err(|_| anyhow::anyhow!("cannot sign"))?;
        let signature = BASE64URL_NOPAD.encode(signature.as_ref());
        let body =
            json!({"protected": protected, "payload": payload, "signature": signature}).to_string();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/jose+json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            account.host(),
            body.len()
        );
        let answer = self.connection.ask(request.as_bytes()).await?;
        if answer.status != status {
            bail!("{path}: {} {}", answer.status, String::from_utf8_lossy(&answer.body));
        }
        self.nonce = answer.nonce.context("no nonce")?;
        let document = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        Ok(Shown { document, location: answer.location })
    }

    /// A whole order: made, finalized, its certificate fetched.
    async fn order(&mut self) -> Result<()> {
        let account = self.account;
        let wanted = json!({"identifiers": [{"type": "dns", "value": NAME}]}).to_string();
        let made = self.post(&account.new_order, &wanted, 201).await?;
        let order = account.below(made.location.as_deref().context("no order")?)?;
        let finalize = account.path(&made.document, "finalize")?;
        let csr = json!({"csr": account.csr}).to_string();
        let mut done = self.post(&finalize, &csr, 200).await?.document;
        for _ in 0..POLLS {
            if done.get("status").and_then(Value::as_str) != Some("processing") {
                break;
            }
            done = self.post(&order, "", 200).await?.document;
        }
        let certificate = account.path(&done, "certificate")?;
        self.post(&certificate, "", 200).await?;
        Ok(())
    }
}
