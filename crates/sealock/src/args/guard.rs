//! Arguments of `gatekeeper` that are seldom needed.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use sealock_control::guard::{
    Activation, BreakerSettings, HealthSettings, IdentityFolder, IdentityPattern,
    IntrospectOptions, IntrospectSettings, Rate, Retries, StaleRoutes, Staleness, Tuning,
};
use sealock_core::span::parse_span;

use super::traffic::staleness;
use crate::printer::Failure;

/// Where calls arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listen {
    /// There.
    At(SocketAddr),
    /// At the socket that systemd hands over.
    Systemd,
}

pub(super) fn listen(text: &str) -> Result<Listen, String> {
    match text {
        "systemd" => Ok(Listen::Systemd),
        text => {
            text.parse().map(Listen::At).map_err(|_| "must be ADDRESS:PORT, or systemd".to_owned())
        }
    }
}

/// How a Gatekeeper guards, where it is not as usual.
#[derive(Debug, Args)]
pub(crate) struct TuningArgs {
    /// Something else for paths that begin so when the broker is silent (repeatable; the longest beginning counts)
    #[arg(long, value_name = "PATH=SPAN|go-on", value_parser = stale_route)]
    stale_route: Vec<(String, Staleness)>,
    /// Requests and streams of one caller at once
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    concurrent: u32,
    /// Requests of one caller in a second, on average
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: Option<u32>,
    /// How many of them may come at once [default: twice the rate]
    #[arg(long, value_name = "N", requires = "rate", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    burst: Option<u32>,
    /// For the app to begin its answer
    #[arg(long, value_name = "SPAN", default_value = "2m", value_parser = parse_span)]
    answer_timeout: Duration,
    /// Cut an answer, stream or WebSocket in which nothing moved for so long
    #[arg(long, value_name = "SPAN", value_parser = parse_span)]
    idle_timeout: Option<Duration>,
    /// Cut a request that takes longer altogether, streams and WebSockets too
    #[arg(long, value_name = "SPAN", value_parser = parse_span)]
    request_timeout: Option<Duration>,
    /// How often a call that can be repeated is sent again when the app cannot be reached
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=10))]
    retries: u32,
    /// How many calls in a hundred may be sent again
    #[arg(long, value_name = "PERCENT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=100))]
    retry_budget: u32,
    /// Leave the app alone for a while after so many failures in a row (a caller who can make it fail keeps others out)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    breaker: Option<u32>,
    /// Ask the app how it is with a GET of this path, and let nobody through while it is not well
    #[arg(long, value_name = "PATH")]
    health_path: Option<String>,
    /// How often
    #[arg(long, value_name = "SPAN", default_value = "5s", value_parser = parse_span)]
    health_interval: Duration,
    /// For its answer
    #[arg(long, value_name = "SPAN", default_value = "2s", value_parser = parse_span)]
    health_timeout: Duration,
    /// Show figures (/metrics), /live and /ready here; a port alone is one of 127.0.0.1
    #[arg(long, value_name = "[ADDRESS:]PORT", value_parser = loopback)]
    pub(crate) metrics: Option<SocketAddr>,
    /// Take the sockets of the Gatekeeper that waits at this path, then wait there for the next one
    #[arg(long, value_name = "PATH")]
    pub(crate) handover: Option<PathBuf>,
    /// For what is under way at the end
    #[arg(long, value_name = "SPAN", default_value = "10s", value_parser = parse_span)]
    drain: Duration,
    /// Tell the app who calls in a signed form too: X-Sealock-Identity-Token, a JWT
    #[arg(long)]
    pub(crate) sign_identity: bool,
    /// Write the keys by which it is checked to this file (JWKS); they are at /.well-known/jwks.json of --metrics too
    #[arg(long, value_name = "FILE", requires = "sign_identity")]
    pub(crate) identity_jwks_out: Option<PathBuf>,
    /// Ask this server about tokens that are not ours (RFC 7662)
    #[arg(long, value_name = "URL", requires = "introspect_identity", requires = "takes")]
    introspect: Option<String>,
    /// The roots to trust there, as PEM [default: those of --introspect-cert]
    #[arg(long, value_name = "FILE", requires = "introspect")]
    introspect_ca: Option<PathBuf>,
    /// Who we are there
    #[arg(long, value_name = "CLIENT", requires = "introspect_secret_file")]
    introspect_client: Option<String>,
    /// The file with that client's secret
    #[arg(long, value_name = "FILE", requires = "introspect_client")]
    introspect_secret_file: Option<PathBuf>,
    /// Or a folder with tls.crt, tls.key and ca.crt to show there
    #[arg(long, value_name = "DIR", requires = "introspect")]
    introspect_cert: Option<PathBuf>,
    /// Who somebody with such a token is: human/corp-{username}, service/{client_id}, … (repeatable; the first whose name is there)
    #[arg(long, value_name = "KIND/NAME", requires = "introspect")]
    introspect_identity: Vec<IdentityPattern>,
    /// Whom such a token must be for (`aud`)
    #[arg(long, value_name = "AUD", group = "takes", requires = "introspect")]
    introspect_audience: Option<String>,
    /// Take such tokens whomever they are for
    #[arg(long, group = "takes", requires = "introspect")]
    dangerous_introspect_any_audience: bool,
    /// From whom it must be (`iss`)
    #[arg(long, value_name = "ISS", requires = "introspect")]
    introspect_issuer: Option<String>,
    /// For how long an answer is kept at most
    #[arg(long, value_name = "SPAN", default_value = "1m", value_parser = parse_span)]
    introspect_cache: Duration,
    #[arg(long, hide = true, env = "LISTEN_PID", hide_env = true)]
    listen_pid: Option<String>,
    #[arg(long, hide = true, env = "LISTEN_FDS", hide_env = true)]
    listen_fds: Option<String>,
}

impl TuningArgs {
    /// What systemd says that it hands over.
    pub(crate) fn activation(&self) -> Activation {
        let said = |value: &Option<String>| value.clone().unwrap_or_default();
        Activation { pid: said(&self.listen_pid), count: said(&self.listen_fds) }
    }

    /// The server that knows tokens which are not ours.
    pub(crate) fn introspect(&self) -> Option<IntrospectOptions> {
        let client = self.introspect_client.clone();
        Some(IntrospectOptions {
            url: self.introspect.clone()?,
            ca: self.introspect_ca.clone(),
            client: client.zip(self.introspect_secret_file.clone()),
            identity: self.introspect_cert.clone().map(IdentityFolder),
            settings: IntrospectSettings {
                audience: self.introspect_audience.clone(),
                issuer: self.introspect_issuer.clone(),
                identities: self.introspect_identity.clone(),
                keep: self.introspect_cache,
                deadline: IntrospectOptions::DEADLINE,
            },
        })
    }

    /// How it guards.
    pub(crate) fn tuning(&self) -> Result<Tuning, Failure> {
        let mut stale_routes = StaleRoutes::default();
        for (prefix, staleness) in &self.stale_route {
            stale_routes.add(prefix, *staleness).map_err(|error| {
                Failure::usage(error.to_string())
                    .hint("--stale-route PATH=SPAN, or PATH=go-on, as in /health=go-on")
            })?;
        }
        let health = self.health_path.as_deref().map(|path| {
            HealthSettings::new(path, self.health_interval, self.health_timeout).ok_or_else(|| {
                Failure::usage(format!("`{path}` is no path")).hint("--health-path /healthz")
            })
        });
        Ok(Tuning {
            stale_routes,
            concurrent: usize::try_from(self.concurrent).unwrap_or(usize::MAX),
            rate: self.rate.map(|per_second| Rate {
                per_second,
                burst: self.burst.unwrap_or_else(|| per_second.saturating_mul(2)),
            }),
            answer: self.answer_timeout,
            quiet: self.idle_timeout,
            whole: self.request_timeout,
            retries: Retries { most: self.retries, percent: self.retry_budget },
            breaker: self.breaker.map(BreakerSettings::after),
            health: health.transpose()?,
            drain: self.drain,
        })
    }
}

fn stale_route(text: &str) -> Result<(String, Staleness), String> {
    // A path may have a `=`, a span has none.
    let (path, rest) = text.rsplit_once('=').ok_or("must be PATH=SPAN or PATH=go-on")?;
    Ok((path.to_owned(), staleness(rest)?))
}

pub(super) fn loopback(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.parse::<u16>() {
        return Ok((Ipv4Addr::LOCALHOST, port).into());
    }
    text.parse().map_err(|_| "must be a port of 127.0.0.1, or ADDRESS:PORT".to_owned())
}
