//! What it costs to say what is revoked: OCSP over HTTP, beside OpenSSL's responder, lists of a hundred thousand
//! entries, and revoking on top of them.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use sealock_authority::{
    Authority, CreateOptions, KeySource, KeyType, Order, Publication, Reason, Serial, Usages,
};
use sealock_core::audit::Actor;
use sealock_core::{Clock, ManualClock, SubjectName, SystemClock};
use sealock_store::{Journal, Keyring, NewProtection, SqliteStore, Store};
use serde_json::Value;

use crate::Settings;
use crate::http::{Connection, Endpoint};
use crate::measure::{command, median};
use crate::process::{Process, until};
use crate::table::{Figure, Table};

/// Clients at once, each on a connection that it keeps.
const CLIENTS: usize = 32;
/// Certificates that are asked about.
const ASKED: usize = 200;

pub(crate) fn run(settings: &Settings, table: &mut Table) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(answers(settings, table))?;
    lists(settings, table)
}

async fn answers(settings: &Settings, table: &mut Table) -> Result<()> {
    let scene = Scene::start(settings)?;
    let long = Duration::from_millis(if settings.quick { 300 } else { 4000 });
    let mut rates = Vec::new();
    for _ in 0..if settings.quick { 1 } else { 5 } {
        rates.push(rate(&scene.endpoint, &scene.requests, long).await?);
    }
    rates.sort_by(f64::total_cmp);
    let ours = rates.get(rates.len() / 2).copied().unwrap_or(f64::NAN);
    let peer = scene.peer()?;
    let theirs = Figure::PerSecond(one_each(&peer.address, &scene.requests, long).await?);
    let (ours, budget) = (Figure::PerSecond(ours), Figure::PerSecond(20_000.0));
    table.within("OCSP answers, over HTTP", ours, Some(("openssl ocsp -multi 2", theirs)), budget);
    Ok(())
}

/// A daemon with the plain door, and what it is asked there.
struct Scene {
    _daemon: Process,
    folder: tempfile::TempDir,
    endpoint: Endpoint,
    /// Whole HTTP requests.
    requests: Vec<Vec<u8>>,
}

/// OpenSSL's responder for the same authority.
struct Peer {
    _process: Process,
    address: String,
}

impl Scene {
    fn start(settings: &Settings) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let state = folder.path().join("state");
        let mut up = crate::sealock(settings, "up");
        up.arg("--state").arg(&state).args(["--api", "off", "--gateway", "off"]);
        up.args(["--revocation", "127.0.0.1:0"]);
        up.env("SEALOCK_WATCH_ENABLED", "false").env("SEALOCK_WORKLOAD_SOCKET", "off");
        up.arg(format!("--docker=unix://{}", folder.path().join("no-engine").display()));
        let log = fs::File::create(folder.path().join("daemon.log"))?;
        up.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let daemon = Process::new(up.spawn().context("cannot start `sealock up`")?);
        let address = until("the plain door to listen", || {
            let mut status = crate::sealock(settings, "status");
            let output = status.args(["--json", "--state"]).arg(&state).output().ok()?;
            let status: Value = serde_json::from_slice(&output.stdout).ok()?;
            Some(status.get("revocation")?.as_str()?.to_owned())
        })?;
        let mut serials = Vec::new();
        for number in 0..ASKED {
            let out = folder.path().join(format!("c{number}"));
            let mut issue = crate::sealock(settings, "cert");
            issue.args(["issue", &format!("c{number}.bench.example"), "--state"]).arg(&state);
            command(issue.arg("--out").arg(&out).stdout(Stdio::null()))?;
            serials.push(serial(&out.join("tls.crt"))?);
        }
        let chain = fs::read_to_string(folder.path().join("c0/tls.crt"))?;
        let issuer = chain.split_inclusive("-----END CERTIFICATE-----\n").nth(1);
        fs::write(folder.path().join("issuer.pem"), issuer.context("no issuer")?)?;
        let mut requests = Vec::new();
        for serial in &serials {
            requests.push(question(folder.path(), serial, &address)?);
        }
        let endpoint = Endpoint::Tcp(address);
        Ok(Self { _daemon: daemon, folder, endpoint, requests })
    }

    /// Started with an authority of its own, whose index has as many certificates.
    fn peer(&self) -> Result<Peer> {
        let at = |name: &str| self.folder.path().join(name);
        let key =
            ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let mut make = std::process::Command::new("openssl");
        make.args(key).args(["-subj", "/CN=peer", "-days", "30", "-keyout"]).arg(at("peer.key"));
        command(make.arg("-out").arg(at("peer.pem")).stderr(Stdio::null()))?;
        let mut index = String::new();
        for number in 1..=ASKED {
            let _ = writeln!(index, "V\t391231235959Z\t\t{number:04X}\tunknown\t/CN=c{number}");
        }
        fs::write(at("index.txt"), index)?;
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut serve = std::process::Command::new("openssl");
        serve
            .args(["ocsp", "-multi", "2", "-port", &port.to_string(), "-index"])
            .arg(at("index.txt"));
        serve.arg("-CA").arg(at("peer.pem")).arg("-rsigner").arg(at("peer.pem"));
        serve.arg("-rkey").arg(at("peer.key")).args(["-nmin", "60"]);
        serve.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = Process::new(serve.spawn().context("cannot start `openssl ocsp`")?);
        let address = format!("127.0.0.1:{port}");
        until("openssl ocsp to listen", || std::net::TcpStream::connect(&address).ok())?;
        Ok(Peer { _process: process, address })
    }
}

fn serial(certificate: &Path) -> Result<String> {
    let mut show = std::process::Command::new("openssl");
    let output = show.args(["x509", "-noout", "-serial", "-in"]).arg(certificate).output()?;
    let text = String::from_utf8(output.stdout)?;
    Ok(text.trim().strip_prefix("serial=").context("no serial")?.to_owned())
}

/// A POST with the question about one certificate.
fn question(folder: &Path, serial: &str, host: &str) -> Result<Vec<u8>> {
    let file = folder.join("request.der");
    let mut ask = std::process::Command::new("openssl");
    ask.args(["ocsp", "-no_nonce", "-issuer"]).arg(folder.join("issuer.pem"));
    command(ask.args(["-serial", &format!("0x{serial}"), "-reqout"]).arg(&file))?;
    let body = fs::read(&file)?;
    let head = format!(
        "POST /ocsp HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/ocsp-request\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    Ok([head.as_bytes(), &body].concat())
}

/// How many are answered in a second, on connections that are kept.
async fn rate(endpoint: &Endpoint, requests: &[Vec<u8>], long: Duration) -> Result<f64> {
    let began = Instant::now();
    let end = began + long;
    let clients = (0..CLIENTS).map(|_| async move {
        let mut connection = Connection::open(endpoint).await?;
        let mut count = 0_u32;
        for request in requests.iter().cycle() {
            if Instant::now() >= end {
                break;
            }
            let answer = connection.ask(request).await?;
            // An error has five bytes.
            if answer.status != 200 || answer.length < 100 {
                bail!("{} with {} bytes", answer.status, answer.length);
            }
            count += 1;
        }
        Ok(count)
    });
    let counts = futures_util::future::try_join_all(clients).await?;
    Ok(f64::from(counts.into_iter().sum::<u32>()) / began.elapsed().as_secs_f64())
}

/// The same with a connection for each, which is what OpenSSL's responder has.
async fn one_each(address: &str, requests: &[Vec<u8>], long: Duration) -> Result<f64> {
    let endpoint = Endpoint::Tcp(address.to_owned());
    let began = Instant::now();
    let mut count = 0_u32;
    for request in requests.iter().cycle() {
        if began.elapsed() >= long {
            break;
        }
        let mut connection = Connection::open(&endpoint).await?;
        let answer = connection.ask(request).await?;
        if answer.status != 200 {
            bail!("openssl ocsp answers {}", answer.status);
        }
        count += 1;
    }
    Ok(f64::from(count) / began.elapsed().as_secs_f64())
}

/// Revoking while few and while many are revoked, and a full list of all of them.
fn lists(settings: &Settings, table: &mut Table) -> Result<()> {
    let many = if settings.quick { 1500 } else { 100_000 };
    let folder = tempfile::tempdir()?;
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let own: Arc<dyn Clock> = clock.clone();
    let database = folder.path().join("state.db");
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&database, Arc::clone(&own))?);
    let journal = Journal::open(store, own)?;
    let keyring = Keyring::create(&folder.path().join("keys"), &NewProtection::File)?;
    let publication = Publication { ocsp: true, ..Publication::default() };
    let options = CreateOptions { publication, ..CreateOptions::new("bench.example".parse()?) };
    let actor = Actor::daemon("bench");
    let authority = Authority::create(journal, Arc::new(keyring), &options, &actor)?;
    let few = revoked(&authority, 100)?;
    for _ in (0..many).step_by(1000) {
        revoked(&authority, 1000)?;
    }
    let full = revoked(&authority, 100)?;
    let what = format!("revoke, {many} revoked before; at first {:.2} ms", few.as_secs_f64() * 1e3);
    table.alone(what, Figure::time(full));
    clock.advance(Duration::from_secs(61));
    let began = Instant::now();
    let list = authority.crl()?;
    let built = began.elapsed();
    if list.entries < many as u64 {
        bail!("the list has {} entries", list.entries);
    }
    let what = format!("revocation list of {many} entries: read, built, signed, stored");
    table.budget(what, Figure::time(built), Figure::Milliseconds(1000.0));
    Ok(())
}

/// Issues so many certificates and revokes them: how long one revocation took.
fn revoked(authority: &Authority, count: usize) -> Result<Duration> {
    let actor = Actor::daemon("bench");
    let mut serials: Vec<Serial> = Vec::new();
    let order = Order {
        name: "host.bench.example".to_owned(),
        identity: None,
        names: vec![SubjectName::dns("host.bench.example")?],
        usages: Usages::BOTH,
        profile: None,
        issuer: None,
        ttl: Duration::from_secs(30 * 86_400),
        key: KeySource::Generate(KeyType::P256),
    };
    for _ in 0..count {
        serials.push(authority.issue(&order, &actor)?.serial);
    }
    let mut times = Vec::new();
    for serial in serials {
        let began = Instant::now();
        authority.revoke(serial, Reason::Superseded, &actor)?;
        times.push(began.elapsed());
    }
    Ok(median(times))
}
