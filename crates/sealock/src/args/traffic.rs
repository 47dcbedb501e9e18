//! Arguments of `client`, `gatekeeper` and `forwarder`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use sealock_control::client::WORKLOAD_SOCKET;
use sealock_control::forward::Exempt;
use sealock_control::guard::{AppPlace, GuardedApp, Staleness};
use sealock_core::span::parse_span;
use sealock_core::{IdentityKind, TrustDomain};

use super::guard::{Listen, TuningArgs, listen};
use super::host::member;

/// `sealock client …`
#[derive(Debug, Subcommand)]
pub(crate) enum ClientCommand {
    /// Give somebody a secret with which to ask for tokens
    Add(ClientAddArgs),
    /// Who may ask for tokens with a secret
    List,
    /// Give a client a new secret (the old one is good for a while longer), or other public keys
    Rotate(ClientRotateArgs),
    /// Make a client's secrets and its tokens worth nothing
    Remove {
        /// Its name
        name: String,
    },
}

/// `sealock client add`
#[derive(Debug, Args)]
#[command(after_help = "\
The secret has 256 random bits and is shown this once: only its digest is kept. A client with a key of its own needs
none: it signs who it is (private_key_jwt, RFC 7523), and the broker has the public half only.

Examples:
  sealock client add shop --secret-out shop.secret
  sealock client add shop --public-key shop.pub.pem
  sealock client add ci --identity human/ci --group callers --secret-out - | sealock secret set prod/ci/secret")]
pub(crate) struct ClientAddArgs {
    /// Its name, which is the client_id
    pub(crate) name: String,
    /// Whose tokens it gets: service/NAME, human/NAME, host/NAME [default: service/ and its name]
    #[arg(long, value_name = "WHO", value_parser = member)]
    pub(crate) identity: Option<(IdentityKind, String)>,
    /// Put that identity into this group of the policy (repeatable)
    #[arg(long, value_name = "GROUP")]
    pub(crate) group: Vec<String>,
    /// Make a secret, and write it to this file (0600; - for stdout)
    #[arg(long, value_name = "FILE", required_unless_present_any = ["jwks", "public_key"])]
    pub(crate) secret_out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) keys: ClientKeysArgs,
}

/// The public keys with which a client signs who it is.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct ClientKeysArgs {
    /// Take the client's public keys from this JWK Set (ES256, EdDSA), for private_key_jwt
    #[arg(long, value_name = "FILE")]
    pub(crate) jwks: Option<PathBuf>,
    /// Take them from PEM blocks of PUBLIC KEY (P-256, Ed25519)
    #[arg(long, value_name = "FILE")]
    pub(crate) public_key: Option<PathBuf>,
}

/// `sealock client rotate`
#[derive(Debug, Args)]
pub(crate) struct ClientRotateArgs {
    /// Its name
    pub(crate) name: String,
    /// For how long the old secret is still good, or `none` [default: 1d]
    #[arg(long, value_name = "SPAN", value_parser = overlap)]
    pub(crate) overlap: Option<Duration>,
    /// Make a new secret, and write it to this file (0600; - for stdout)
    #[arg(long, value_name = "FILE", required_unless_present_any = ["jwks", "public_key"])]
    pub(crate) secret_out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) keys: ClientKeysArgs,
}

/// `sealock gatekeeper`
#[derive(Debug, Args)]
#[command(after_help = "\
A Gatekeeper stands before one service and lets in who has a good token for it and may call, by the policy
(Http::Call). It asks nobody on the way: keys, policy and revocations come to it as they change, and while the broker
is away it goes on by what it knows.

Examples:
  sealock gatekeeper --service orders --listen 0.0.0.0:8443 --upstream http://127.0.0.1:8080 \\
      --identity /run/sealock/certs/orders
  sealock gatekeeper --service orders --listen 0.0.0.0:80 --plain --upstream unix:/run/app.sock
  sealock gatekeeper --service stock --listen 0.0.0.0:8443 --upstream h2c://127.0.0.1:50051 \\
      --identity /run/sealock/certs/stock")]
pub(crate) struct GatekeeperArgs {
    /// The service that is guarded: its name or SPIFFE ID
    #[arg(long, value_name = "NAME")]
    pub(crate) service: String,
    /// Where calls arrive: ADDRESS:PORT, or systemd for the socket that a .socket unit hands over
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = listen)]
    pub(crate) listen: Listen,
    /// The app: http://HOST:PORT or unix:/PATH; one that speaks HTTP/2, as for gRPC: h2c://HOST:PORT or h2c+unix:/PATH
    #[arg(long, value_name = "URL", value_parser = upstream)]
    pub(crate) upstream: GuardedApp,
    /// The broker: https://HOST:PORT, or unix:/PATH of a socket that the host gives [default: the workload socket]
    #[arg(long, value_name = "URL", default_value_t = Broker::default(), value_parser = broker, hide_default_value = true)]
    pub(crate) broker: Broker,
    /// Folder with tls.crt, tls.key and ca.crt of the service: for TLS, and at a broker over HTTPS
    #[arg(long, value_name = "DIR", required_unless_present = "plain")]
    pub(crate) identity: Option<PathBuf>,
    /// Wait for the files of --identity, where they are delivered after the start
    #[arg(long, requires = "identity")]
    pub(crate) await_identity: bool,
    /// Speak plain HTTP: only where nobody can listen, such as in a network namespace that is shared
    #[arg(long)]
    pub(crate) plain: bool,
    /// Refuse everything when the broker was silent for so long, or go-on
    #[arg(long, value_name = "SPAN", default_value = "10m", value_parser = staleness)]
    pub(crate) stale: Staleness,
    /// Do not write a line of JSON for each call
    #[arg(long)]
    pub(crate) no_access_log: bool,
    #[command(flatten)]
    pub(crate) tuning: TuningArgs,
    /// Where Forwarders are told that it is, or `off` [default: the address of --listen, or the one from which a broker over
    /// HTTPS is reached; no loopback address, and nothing with --plain]
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) advertise: Option<String>,
}

/// `sealock forwarder`
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
A Forwarder takes an app's plain calls and sends them on with a token of ours: to services that are listed, and to
nobody else. Listed is what is named here, and what the broker knows and gives us tokens for
(`sealock service list`). As an HTTP proxy it is told by HTTP_PROXY or `curl -x`; a local port needs nothing of the app; with
--transparent the kernel brings the app's connections here, by rules that are printed or set. Whoever may connect calls
as we do: it serves this host's loopback only. With --config FILE all of it, and several brokers, stand in a file.

Examples:
  sealock forwarder --listen 127.0.0.1:3128 --identity /run/sealock/certs/shop
  sealock forwarder --listen 127.0.0.1:3128 --service orders=orders.internal:8443 --identity /run/sealock/certs/shop
  sealock forwarder --route 127.0.0.1:5000=orders --service orders=10.0.0.5:8443 --service orders=10.0.0.6:8443 \\
      --broker https://broker:8443 --identity ~/.sealock/me
  curl -x http://127.0.0.1:3128 http://orders/v1/orders
  sealock forwarder --transparent --exempt uid:65532 --print-rules | nft -f -
  sealock forwarder --config forwarder.toml")]
pub(crate) struct ForwarderArgs {
    /// Be an HTTP proxy here
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// A local port for one service (repeatable)
    #[arg(long, value_name = "ADDRESS:PORT=SERVICE", value_parser = route)]
    pub(crate) route: Vec<(SocketAddr, String)>,
    /// A service and where its Gatekeeper is, over TLS (repeatable; several for one name share the load)
    #[arg(long, value_name = "NAME=HOST:PORT", value_parser = named_address)]
    pub(crate) service: Vec<(String, String)>,
    /// The same over plain HTTP, at an address of this host's loopback
    #[arg(long, value_name = "NAME=ADDRESS:PORT", value_parser = named_address)]
    pub(crate) plain: Vec<(String, String)>,
    /// A destination to pass on to without a token, as the app made the request (repeatable). `*`, `*:*` and
    /// `*.DOMAIN[:PORT]` are for what is not listed: hosts with a dot in their name
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(crate) pass: Vec<String>,
    /// A destination to which a tunnel may be opened by CONNECT, without a token (repeatable); also `*:443`,
    /// `*.DOMAIN:PORT`
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) connect: Vec<String>,
    /// A host whose tunnels (CONNECT) end here, and the service that it means (repeatable) [default port: 443]
    #[arg(long, value_name = "HOST[:PORT]=SERVICE", value_parser = named_address, requires = "intercept_ca_out")]
    pub(crate) intercept: Vec<(String, String)>,
    /// Where to write the certificate that apps have to trust for --intercept
    #[arg(long, value_name = "FILE", requires = "intercept")]
    pub(crate) intercept_ca_out: Option<PathBuf>,
    /// Take connections that the kernel brings here by rules [default: 127.0.0.1:15001]
    #[arg(long, value_name = "ADDRESS:PORT", num_args = 0..=1, default_missing_value = "127.0.0.1:15001")]
    pub(crate) transparent: Option<SocketAddr>,
    /// A port whose connections are taken (repeatable) [default: 80]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) redirect_port: Vec<u16>,
    /// How our own connections are told from those of apps: uid:N or mark:N [default: the user that we run as]
    #[arg(long, value_name = "WHICH", value_parser = exempt)]
    pub(crate) exempt: Option<Exempt>,
    /// Addresses that taken connections go on to as they are, without a token (repeatable)
    #[arg(long, value_name = "ADDRESS[/BITS]:PORT")]
    pub(crate) direct: Vec<String>,
    /// Print the rules for nft, and do nothing else
    #[arg(long, conflicts_with = "set_rules")]
    pub(crate) print_rules: bool,
    /// Set the rules in the network namespace that we are in, and remove them at the end (CAP_NET_ADMIN)
    #[arg(long)]
    pub(crate) set_rules: bool,
    /// The broker: https://HOST:PORT, or unix:/PATH of a socket that the host gives [default: the workload socket]
    #[arg(long, value_name = "URL", value_parser = broker)]
    pub(crate) broker: Option<Broker>,
    /// Folder with tls.crt, tls.key and ca.crt of ours: shown to Gatekeepers, and to a broker over HTTPS. That of a login
    /// (`sealock login`) says where the broker is, and is renewed
    #[arg(long, value_name = "DIR")]
    pub(crate) identity: Option<PathBuf>,
    /// Wait for the files of --identity, where they are delivered after the start
    #[arg(long, requires = "identity")]
    pub(crate) await_identity: bool,
    /// Ask for tokens as this client, with its secret
    #[arg(long, value_name = "NAME")]
    pub(crate) client: Option<String>,
    /// The file with the client's secret, such as `sealock run` makes [env: SEALOCK_SECRET_FILE]
    #[arg(long, value_name = "FILE", requires = "client")]
    pub(crate) secret_file: Option<PathBuf>,
    /// The roots to trust, where there is no --identity: `sealock ca bundle --own`
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// The trust domain of the services, with --client
    #[arg(long, value_name = "NAME")]
    pub(crate) trust_domain: Option<TrustDomain>,
    /// Do not write a line of JSON for each call
    #[arg(long)]
    pub(crate) no_access_log: bool,
    /// Show figures (/metrics), /live and /ready here; a port alone is one of 127.0.0.1
    #[arg(long, value_name = "[ADDRESS:]PORT", value_parser = super::guard::loopback)]
    pub(crate) metrics: Option<SocketAddr>,
    /// Call nobody but those that are named here: do not ask brokers which services there are
    #[arg(long)]
    pub(crate) no_directory: bool,
}

/// As `uid:65532`, or `mark:0x5ea1`.
pub(crate) fn exempt(text: &str) -> Result<Exempt, String> {
    let wrong = || "must be uid:N or mark:N".to_owned();
    let (kind, number) = text.split_once(':').ok_or_else(wrong)?;
    let digits = number.strip_prefix("0x").map_or((number, 10), |digits| (digits, 16));
    let number = u32::from_str_radix(digits.0, digits.1).map_err(|_| wrong())?;
    match kind {
        "uid" => Ok(Exempt::Uid(number)),
        "mark" => Ok(Exempt::Mark(number)),
        _ => Err(wrong()),
    }
}

fn named_address(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, at)) if !name.is_empty() && !at.is_empty() => {
            Ok((name.to_owned(), at.to_owned()))
        }
        _ => Err("must be NAME=HOST:PORT".to_owned()),
    }
}

fn route(text: &str) -> Result<(SocketAddr, String), String> {
    let (at, name) = text.split_once('=').ok_or("must be ADDRESS:PORT=SERVICE")?;
    let at = at.parse().map_err(|_| "must be ADDRESS:PORT=SERVICE".to_owned())?;
    Ok((at, name.to_owned()))
}

/// Where the broker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Broker {
    /// A socket.
    Socket(PathBuf),
    /// `host:port`.
    Https(String),
}

impl Default for Broker {
    fn default() -> Self {
        Self::Socket(WORKLOAD_SOCKET.into())
    }
}

impl std::fmt::Display for Broker {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Socket(path) => write!(formatter, "unix:{}", path.display()),
            Self::Https(address) => write!(formatter, "https://{address}"),
        }
    }
}

pub(crate) fn broker(text: &str) -> Result<Broker, String> {
    let wrong = || "must be https://HOST:PORT or unix:/PATH".to_owned();
    if let Some(path) = text.strip_prefix("unix:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        return if path.starts_with('/') { Ok(Broker::Socket(path.into())) } else { Err(wrong()) };
    }
    let address = text.strip_prefix("https://").and_then(address).ok_or_else(wrong)?;
    Ok(Broker::Https(address))
}

fn upstream(text: &str) -> Result<GuardedApp, String> {
    let wrong = || "must be http://HOST:PORT, unix:/PATH, h2c://HOST:PORT or h2c+unix:/PATH";
    let (scheme, rest) = text.split_once(':').ok_or_else(wrong)?;
    let http2 = scheme.starts_with("h2c");
    let place = match scheme {
        "unix" | "h2c+unix" => {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            path.starts_with('/').then(|| AppPlace::Unix(path.into()))
        }
        "http" | "h2c" => rest.strip_prefix("//").and_then(address).map(AppPlace::Tcp),
        _ => None,
    };
    Ok(GuardedApp { place: place.ok_or_else(wrong)?, http2 })
}

/// `host:port`, and nothing after it but a slash.
pub(super) fn address(text: &str) -> Option<String> {
    let text = text.strip_suffix('/').unwrap_or(text);
    let (host, port) = text.rsplit_once(':')?;
    let good = |c: char| c.is_ascii_alphanumeric() || ".-_:[]".contains(c);
    let fits = !host.is_empty()
        && host.chars().all(good)
        && port.parse::<u16>().is_ok_and(|port| port != 0);
    fits.then(|| text.to_owned())
}

pub(super) fn staleness(text: &str) -> Result<Staleness, String> {
    match text {
        "go-on" => Ok(Staleness::GoOn),
        span => parse_span(span).map(Staleness::RefuseAfter).map_err(|error| error.to_string()),
    }
}

fn overlap(text: &str) -> Result<Duration, String> {
    match text {
        "none" => Ok(Duration::ZERO),
        span => parse_span(span).map_err(|error| error.to_string()),
    }
}
