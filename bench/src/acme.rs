//! Whole ACME orders, by an account that need not prove its names: an order, its finalization, the certificate.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use crate::Settings;
use crate::gateway::{anonymous, identity};
use crate::http::{Connection, Endpoint, with_json};
use crate::measure::command;
use crate::process::{Process, until};
use crate::table::{Figure, Table};

/// Clients at once, each on a connection that it keeps.
const CLIENTS: usize = 32;
const NAME: &str = "host.bench.example";
const RULE: &str = "permit (principal == Sealock::Service::\"bench\", \
    action in [Sealock::Action::\"Cert::Issue\", Sealock::Action::\"Cert::Unproved\"], \
    resource in Sealock::Domain::\"bench.example\");\n";

pub(crate) fn run(settings: &Settings, table: &mut Table) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let scene = Scene::start(settings).await?;
        let long = Duration::from_millis(if settings.quick { 300 } else { 4000 });
        let mut rates = Vec::new();
        for _ in 0..if settings.quick { 1 } else { 5 } {
            rates.push(scene.round(long).await?);
        }
        rates.sort_by(f64::total_cmp);
        let rate = rates.get(rates.len() / 2).copied().unwrap_or(f64::NAN);
        let what = "whole ACME orders on one account, over TLS, durable";
        table.budget(what, Figure::PerSecond(rate), Figure::PerSecond(1000.0));
        Ok(())
    })
}

/// A daemon, and an account that somebody vouches for.
struct Scene {
    _daemon: Process,
    _folder: tempfile::TempDir,
    endpoint: Endpoint,
    /// What URLs begin with.
    base: String,
    key: EcdsaKeyPair,
    kid: String,
    csr: String,
}

impl Scene {
    async fn start(settings: &Settings) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let state = folder.path().join("state");
        command(crate::sealock(settings, "init").arg("--state").arg(&state))?;
        fs::write(state.join("policy/bench.cedar"), RULE)?;
        let mut up = crate::sealock(settings, "up");
        up.arg("--state").arg(&state).args(["--api", "127.0.0.1:0", "--gateway", "off"]);
        up.env("SEALOCK_WATCH_ENABLED", "false").env("SEALOCK_WORKLOAD_SOCKET", "off");
        up.arg(format!("--docker=unix://{}", folder.path().join("no-engine").display()));
        let log = fs::File::create(folder.path().join("daemon.log"))?;
        up.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let daemon = Process::new(up.spawn().context("cannot start `sealock up`")?);
        let api = until("the API to listen", || {
            let mut status = crate::sealock(settings, "status");
            let output = status.args(["--json", "--state"]).arg(&state).output().ok()?;
            let status: Value = serde_json::from_slice(&output.stdout).ok()?;
            Some(status.get("api")?.as_str()?.to_owned())
        })?;
        let admin = state.join("identities/admin");
        let bind = r#"{"command":"acme-bind","with":{"name":"bench"}}"#;
        let mut connection =
            Connection::open(&Endpoint::Tls(api.clone(), identity(&admin)?)).await?;
        connection.keep_all();
        let answer = connection.ask(&with_json("POST", "/v1/call", bind)).await?;
        let reply: Value = serde_json::from_slice(&answer.body)?;
        let mac = reply.pointer("/is/key").and_then(Value::as_str);
        let mac = BASE64URL_NOPAD.decode(mac.context("no key")?.as_bytes())?;
        let endpoint = Endpoint::Tls(api.clone(), anonymous(&fs::read(admin.join("ca.crt"))?)?);
        let port = api.rsplit(':').next().unwrap_or_default();
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .map_err(|_| anyhow::anyhow!("no key"))?;
        let own = rcgen::KeyPair::generate()?;
        let params = rcgen::CertificateParams::new(vec![NAME.to_owned()])?;
        let csr = BASE64URL_NOPAD.encode(params.serialize_request(&own)?.der());
        let mut scene = Self {
            _daemon: daemon,
            _folder: folder,
            endpoint,
            base: format!("https://localhost:{port}"),
            key,
            kid: String::new(),
            csr,
        };
        scene.account(&mac).await?;
        Ok(scene)
    }

    fn jwk(&self) -> Value {
        let point = self.key.public_key().as_ref();
        let part =
            |from: usize| BASE64URL_NOPAD.encode(point.get(from..from + 32).unwrap_or_default());
        json!({"kty": "EC", "crv": "P-256", "x": part(1), "y": part(33)})
    }

    async fn account(&mut self, mac: &[u8]) -> Result<()> {
        let url = format!("{}/acme/new-account", self.base);
        let header = json!({"alg": "HS256", "kid": "bench", "url": url}).to_string();
        let protected = BASE64URL_NOPAD.encode(header.as_bytes());
        let payload = BASE64URL_NOPAD.encode(self.jwk().to_string().as_bytes());
        let tag = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA256, mac),
            format!("{protected}.{payload}").as_bytes(),
        );
        let signature = BASE64URL_NOPAD.encode(tag.as_ref());
        let binding = json!({"protected": protected, "payload": payload, "signature": signature});
        let mut client = Client::open(self).await?;
        let wanted = json!({ "externalAccountBinding": binding }).to_string();
        let made = client.post("/acme/new-account", &wanted, 201).await?;
        // The list of its orders is below it.
        let orders = made.get("orders").and_then(Value::as_str).context("no account")?;
        self.kid = orders.trim_end_matches("/orders").to_owned();
        Ok(())
    }

    /// How many orders are brought to an end in a second.
    async fn round(&self, long: Duration) -> Result<f64> {
        let began = Instant::now();
        let end = began + long;
        let clients = (0..CLIENTS).map(|_| async move {
            let mut client = Client::open(self).await?;
            let mut count = 0_u32;
            while Instant::now() < end {
                client.order().await?;
                count += 1;
            }
            Ok::<_, anyhow::Error>(count)
        });
        let counts = futures_util::future::try_join_all(clients).await?;
        Ok(f64::from(counts.into_iter().sum::<u32>()) / began.elapsed().as_secs_f64())
    }
}

struct Client<'a> {
    scene: &'a Scene,
    connection: Connection,
    nonce: String,
}

impl<'a> Client<'a> {
    async fn open(scene: &'a Scene) -> Result<Self> {
        let mut connection = Connection::open(&scene.endpoint).await?;
        connection.keep_all();
        let host = scene.base.trim_start_matches("https://");
        let head = format!("GET /acme/new-nonce HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let nonce = connection.ask(head.as_bytes()).await?.nonce.context("no nonce")?;
        Ok(Self { scene, connection, nonce })
    }

    /// A signed request, and the document that it is answered with; of a certificate none.
    async fn post(&mut self, path: &str, payload: &str, status: u16) -> Result<Value> {
        let scene = self.scene;
        let url = format!("{}{path}", scene.base);
        let mut header = json!({"alg": "ES256", "nonce": self.nonce, "url": url});
        let (name, signer) = match scene.kid.as_str() {
            "" => ("jwk", scene.jwk()),
            kid => ("kid", kid.into()),
        };
        if let Some(header) = header.as_object_mut() {
            header.insert(name.to_owned(), signer);
        }
        let protected = BASE64URL_NOPAD.encode(header.to_string().as_bytes());
        let payload = BASE64URL_NOPAD.encode(payload.as_bytes());
        let signed = format!("{protected}.{payload}");
        let signature = scene
            .key
            .sign(&SystemRandom::new(), signed.as_bytes())
            .map_err(|_| anyhow::anyhow!("cannot sign"))?;
        let signature = BASE64URL_NOPAD.encode(signature.as_ref());
        let body =
            json!({"protected": protected, "payload": payload, "signature": signature}).to_string();
        let host = scene.base.trim_start_matches("https://");
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/jose+json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = self.connection.ask(request.as_bytes()).await?;
        if answer.status != status {
            bail!("{path}: {} {}", answer.status, String::from_utf8_lossy(&answer.body));
        }
        self.nonce = answer.nonce.context("no nonce")?;
        Ok(serde_json::from_slice(&answer.body).unwrap_or(Value::Null))
    }

    async fn order(&mut self) -> Result<()> {
        let wanted = json!({"identifiers": [{"type": "dns", "value": NAME}]}).to_string();
        let made = self.post("/acme/new-order", &wanted, 201).await?;
        let finalize = self.path(&made, "finalize")?;
        let csr = json!({"csr": self.scene.csr}).to_string();
        let done = self.post(&finalize, &csr, 200).await?;
        let certificate = self.path(&done, "certificate")?;
        self.post(&certificate, "", 200).await?;
        Ok(())
    }

    fn path(&self, document: &Value, member: &str) -> Result<String> {
        let url = document.get(member).and_then(Value::as_str);
        let url = url.with_context(|| format!("no {member} in {document}"))?;
        Ok(url
            .strip_prefix(self.scene.base.as_str())
            .context("a URL of another server")?
            .to_owned())
    }
}
