//! What it costs a Gatekeeper to know whether a call is let in: when it has seen token and call before, and when not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hyper::Request;
use hyper::http::request::Parts;
use sealock_core::policy::PolicySet;
use sealock_core::{Clock, Identity, SystemClock};
use sealock_net::proxy::{Address, Upstream, UpstreamSettings};
use sealock_traffic::gatekeeper::{Access, Denied, Gatekeeper, Known, Report, Settings};
use sealock_traffic::token::{Algorithm, Claims, KeySet, Profile, SigningKey, issue};

use super::scene::rules;
use crate::measure::median;
use crate::table::{Figure, Table};

const ISSUER: &str = "https://broker.bench";
const DOMAIN: &str = "bench.sealock";
/// Budgets of the design.
const CACHED: Duration = Duration::from_micros(2);
const MISSED: Duration = Duration::from_micros(80);
/// Rounds over all callers, with what is remembered.
const ROUNDS: u32 = 50;

/// Whoever is told of what happens: nobody, for nothing does.
struct Nobody;

impl Report for Nobody {
    fn denied(&self, _: &Denied) {}
    fn access(&self, _: &Access) {}
}

/// In this process, on one thread.
pub(super) fn run(callers: usize, table: &mut Table) -> Result<()> {
    let key = SigningKey::generate(Algorithm::Es256)?;
    let sources = [("bench.cedar".to_owned(), rules(callers))];
    let policy = Arc::new(PolicySet::load(&sources, 1)?);
    let calls = (0..callers).map(|caller| call(&key, caller)).collect::<Result<Vec<_>>>()?;
    let (mut cached, mut missed) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let gatekeeper = gatekeeper(&key, &policy)?;
        missed.push(all(&gatekeeper, &calls, 1)?);
        cached.push(all(&gatekeeper, &calls, ROUNDS)?);
    }
    let what = format!("a Gatekeeper's check of a call, {callers} callers and rules");
    table.budget(
        format!("{what}, token and call seen before"),
        Figure::short(median(cached)),
        Figure::short(CACHED),
    );
    table.budget(
        format!("{what}, neither seen before"),
        Figure::short(median(missed)),
        Figure::short(MISSED),
    );
    Ok(())
}

/// How long one check takes.
fn all(gatekeeper: &Gatekeeper, calls: &[Parts], rounds: u32) -> Result<Duration> {
    let started = Instant::now();
    for _ in 0..rounds {
        for call in calls {
            if let Err(status) = gatekeeper.judge(call) {
                bail!("a call is refused: {status}");
            }
        }
    }
    let checks = u32::try_from(calls.len())?.saturating_mul(rounds);
    started.elapsed().checked_div(checks).context("no callers")
}

fn gatekeeper(key: &SigningKey, policy: &Arc<PolicySet>) -> Result<Arc<Gatekeeper>> {
    let app = Upstream::new(Address::Tcp("127.0.0.1:1".to_owned()), UpstreamSettings::default());
    let settings = Settings::new(identity("orders")?);
    let gatekeeper = Gatekeeper::new(settings, app, Arc::new(Nobody), Arc::new(SystemClock));
    gatekeeper.know(Known {
        issuer: ISSUER.to_owned(),
        keys: Arc::new(KeySet::from_iter([key.public()])),
        policy: Arc::clone(policy),
        groups: Arc::default(),
        revocations: Arc::default(),
        cas: Arc::default(),
    });
    Ok(gatekeeper)
}

fn call(key: &SigningKey, caller: usize) -> Result<Parts> {
    let now = u64::try_from(SystemClock.now().as_secs())?;
    let claims = Claims {
        issuer: ISSUER.to_owned(),
        subject: identity(&format!("s{caller}"))?,
        audience: identity("orders")?.to_string(),
        issued_at: now,
        not_before: now,
        expires_at: now + 300,
        id: format!("token-{caller}"),
        client: None,
        binding: None,
    };
    let token = issue(key, Profile::AccessToken, &claims)?.to_string();
    let request = Request::get("/v1/hello").header("host", "orders");
    let request = request.header("authorization", format!("Bearer {token}")).body(())?;
    Ok(request.into_parts().0)
}

fn identity(name: &str) -> Result<Identity> {
    Ok(format!("spiffe://{DOMAIN}/service/{name}").parse()?)
}
