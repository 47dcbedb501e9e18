//! Every setting there is. The reference of the settings is made from this list.

use std::time::Duration;

use sealock_core::IssuerName;
use sealock_core::policy::{Mode, Plane};
use sealock_core::span::parse_span;
use sealock_docker::gateway::Limit;
use sealock_traffic::token::Algorithm;

use super::acme;
use super::file::Value;
use super::settings::{self, Settings, Workload};
use super::shape::Shape::{self, Count, List, Most, Span, Text, Truth, Whole, Word};
use super::shape::{ABSOLUTE, ANY, HTTP, HTTPS, LISTEN, SOCKET};
use crate::command::{KeyHome, KeyType};

const KEY_TYPES: &[&str] = &["p256", "p384", "ed25519", "rsa3072"];
const MODES: &[&str] = &["enforce", "audit", "learn"];

/// One setting.
#[derive(Debug)]
pub struct Key {
    /// In the file: `section.name`.
    pub name: &'static str,
    /// The default, as it is shown.
    pub default: &'static str,
    /// What it is for.
    pub help: &'static str,
    pub(super) shape: Shape,
    pub(super) apply: fn(&mut Settings, &Value) -> Result<(), String>,
}

impl Key {
    /// The environment variable that sets it, such as `SEALOCK_API_LISTEN`.
    pub fn variable(&self) -> String {
        // Those that people type most are shorter.
        match self.name {
            "api.listen" => "SEALOCK_API".to_owned(),
            "gateway.listen" => "SEALOCK_GATEWAY".to_owned(),
            "docker.url" => "SEALOCK_DOCKER".to_owned(),
            "revocation.listen" => "SEALOCK_REVOCATION".to_owned(),
            name => format!("SEALOCK_{}", name.replace('.', "_").to_ascii_uppercase()),
        }
    }
}

macro_rules! keys {
    ($($name:literal, $shape:expr, $default:literal, $help:literal, $apply:expr;)*) => {
        /// All settings but the groups (`groups.NAME = ["human/alice"]`), the certificate profiles (`profiles.vpn.usages =
        /// ["client"]`) and those of ACME alone, the limits of some (`limits."service/runner".rate = 20`), the services
        /// (`services.orders.addresses = ["10.0.0.5:8443"]`), the LDAP directories
        /// (`directory.corp.url = "ldaps://ldap.corp.example"`) and the CAs of others that are asked by protocol
        /// (`upstream.corp.url = "https://acme.corp.example/directory"`).
        pub const KEYS: &[Key] = &[
            $(Key { name: $name, default: $default, help: $help, shape: $shape, apply: $apply },)*
        ];
    };
}

keys! {
    "trust_domain", Text("^[a-z0-9._-]+$"), "HOSTNAME.sealock", "name under which all identities live, when the CA is made",
    |settings, value| {
        settings.trust_domain = Some(value.text()?.parse().map_err(|_| {
            "must be lower-case letters, digits, `.`, `-` and `_`".to_owned()
        })?);
        Ok(())
    };
    "docker.url", Text(ANY), "DOCKER_HOST, else unix:///var/run/docker.sock", "the Docker engine",
    |settings, value| {
        settings.engine.url = Some(value.text()?.to_owned());
        Ok(())
    };
    "docker.tls", Text(ANY), "DOCKER_CERT_PATH", "folder with ca.pem, cert.pem and key.pem for a tcp:// engine",
    |settings, value| {
        settings.engine.tls = Some(value.text()?.into());
        Ok(())
    };
    "api.listen", Text(LISTEN), "127.0.0.1:8443", "HTTPS address of the API (mutual TLS), or off",
    |settings, value| {
        settings.api.listen = value.text()?.parse()?;
        Ok(())
    };
    "api.names", List(0, ANY), "", "more names in the API's certificate",
    |settings, value| {
        settings.api.names = settings::names(value)?;
        Ok(())
    };
    "api.metrics", Truth, "true", "whether /metrics is served",
    |settings, value| {
        settings.api.metrics = value.truth()?;
        Ok(())
    };
    "gateway.listen", Text(LISTEN), "127.0.0.1:4242", "address of the Docker gateway (mutual TLS), or off",
    |settings, value| {
        settings.gateway.listen = value.text()?.parse()?;
        Ok(())
    };
    "gateway.rate", Most, "500", "requests of one identity in a second, or off",
    |settings, value| limit(settings, Limit::Rate, value);
    "gateway.burst", Count, "1000", "requests of one identity at once, after a pause",
    |settings, value| limit(settings, Limit::Burst, value);
    "gateway.concurrent", Most, "1000", "requests and streams of one identity under way, or off",
    |settings, value| limit(settings, Limit::Concurrent, value);
    "gateway.connections", Most, "2000", "connections of one identity, or off",
    |settings, value| limit(settings, Limit::Connections, value);
    "gateway.names", List(0, ANY), "", "more names in the gateway's certificate",
    |settings, value| {
        settings.gateway.names = settings::names(value)?;
        Ok(())
    };
    "gateway.socket", Text(SOCKET), "RUN/docker/docker.sock", "the gateway's socket for containers, which are attested, or off; the default is there when gateway.listen is",
    |settings, value| {
        settings.gateway.socket = workload(value)?;
        Ok(())
    };
    "workload.socket", Text(SOCKET), "RUN/workload/workload.sock", "the API's socket for containers, which are attested, or off",
    |settings, value| {
        settings.workload = workload(value)?;
        Ok(())
    };
    "policy.folder", Text(ANY), "STATE/policy", "folder of the Cedar rules",
    |settings, value| {
        settings.policy.folder = Some(value.text()?.into());
        Ok(())
    };
    "policy.authority", Word(MODES), "enforce", "mode of the authority: enforce, audit or learn",
    |settings, value| mode(settings, Plane::Authority, value);
    "policy.delivery", Word(MODES), "enforce", "mode of the delivery: enforce, audit or learn",
    |settings, value| mode(settings, Plane::Delivery, value);
    "policy.docker", Word(MODES), "enforce", "mode of the Docker gateway: enforce, audit or learn",
    |settings, value| mode(settings, Plane::Docker, value);
    "policy.secrets", Word(MODES), "enforce", "mode of the vault: enforce, audit or learn",
    |settings, value| mode(settings, Plane::Secrets, value);
    "policy.traffic", Word(MODES), "enforce", "mode of tokens and of calls between services: enforce, audit or learn",
    |settings, value| mode(settings, Plane::Traffic, value);
    "policy.control", Word(MODES), "enforce", "mode of status, audit and policy: enforce, audit or learn",
    |settings, value| mode(settings, Plane::Control, value);
    "authority.crl_url", Text(HTTP), "", "where clients find the CRL; written into every certificate",
    |settings, value| {
        let url = value.text()?;
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err("must be an http:// or https:// URL".to_owned());
        }
        settings.authority.crl_url = Some(url.to_owned());
        Ok(())
    };
    "revocation.listen", Text(LISTEN), "off", "where revocation lists and OCSP are served over HTTP without TLS: ADDRESS:PORT, or off",
    |settings, value| {
        settings.revocation.listen = value.text()?.parse()?;
        Ok(())
    };
    "revocation.url", Text(HTTP), "", "by which URL others reach revocation.listen, such as http://pki.corp.example:8480; written into every certificate",
    |settings, value| settings.revocation.set_url(value.text()?);
    "revocation.ocsp", Truth, "true", "whether OCSP is answered at revocation.listen",
    |settings, value| {
        settings.revocation.ocsp = value.truth()?;
        Ok(())
    };
    "revocation.ocsp_life", Span, "1d", "how long an OCSP answer is good for; 10m to 7d",
    |settings, value| settings.revocation.set_life(span(value)?);
    "revocation.nonce", Truth, "false", "whether OCSP nonces are answered, at the price of a signature for each request that has one",
    |settings, value| {
        settings.revocation.nonce = value.truth()?;
        Ok(())
    };
    "revocation.presigned", Whole(0, u64::MAX), "10000", "for how many certificates in force OCSP answers are made in advance",
    |settings, value| {
        settings.revocation.presigned = value.to_string().parse().map_err(|_| "must be a whole number".to_owned())?;
        Ok(())
    };
    "authority.key_type", Word(KEY_TYPES), "p256", "algorithm of the CA's keys, when it is made",
    |settings, value| {
        settings.authority.key_type = match value.text()? {
            "p256" => KeyType::P256,
            "p384" => KeyType::P384,
            "ed25519" => KeyType::Ed25519,
            "rsa3072" => KeyType::Rsa3072,
            _ => return Err("must be p256, p384, ed25519 or rsa3072".to_owned()),
        };
        Ok(())
    };
    "authority.longest_life", Span, "398d", "longest life of a certificate",
    |settings, value| {
        settings.authority.longest_life = span(value)?;
        Ok(())
    };
    "authority.drop_folder", Text(ABSOLUTE), "", "folder in which `up` looks for what other authorities have signed; absolute, and written to by root or the daemon's user only",
    |settings, value| {
        let folder = std::path::PathBuf::from(value.text()?);
        if !folder.is_absolute() {
            return Err("must be an absolute path".to_owned());
        }
        settings.authority.drop_folder = Some(folder);
        Ok(())
    };
    "authority.issuers", List(1, ANY), "own", "who signs a certificate for which no issuer is named: the first of these that policy permits; `own` is under our own root, the others are those of `sealock ca list`",
    |settings, value| {
        let read = |text: &String| text.parse().map_err(|error| format!("has a name that is none: {error}"));
        let issuers: Vec<IssuerName> = value.list()?.iter().map(read).collect::<Result<_, String>>()?;
        if issuers.is_empty() {
            return Err("must name one at least".to_owned());
        }
        settings.authority.issuers = issuers;
        Ok(())
    };
    "acme.enabled", Truth, "true", "whether the API is an ACME server (RFC 8555), at /acme/directory",
    |settings, value| {
        settings.acme.enabled = value.truth()?;
        Ok(())
    };
    "acme.listen", Text(LISTEN), "off", "address of a listener where there is ACME and nothing else, besides the API; or off",
    |settings, value| {
        settings.acme.listen = value.text()?.parse()?;
        Ok(())
    };
    "acme.names", List(0, ANY), "", "more names in the certificate of acme.listen",
    |settings, value| {
        settings.acme.names = settings::names(value)?;
        Ok(())
    };
    "acme.profiles", List(1, ANY), "server, short, mutual", "which certificate profiles ACME offers; an order that names none has server, or the first of them",
    |settings, value| acme::offered(&mut settings.acme, value);
    "acme.external_account_required", Truth, "false", "whether ACME accounts need somebody who vouches for them (`sealock acme eab add`)",
    |settings, value| {
        settings.acme.external_account_required = value.truth()?;
        Ok(())
    };
    "acme.resolvers", List(0, ANY), "", "DNS resolvers for challenges, ADDRESS or ADDRESS:PORT; without any, those of /etc/resolv.conf",
    |settings, value| {
        settings.acme.resolvers = acme::resolvers(value)?;
        Ok(())
    };
    "acme.networks", List(0, ANY), "", "the only networks (ADDRESS/BITS) that are asked for a challenge; without any, all",
    |settings, value| {
        settings.acme.networks = Some(acme::networks(value)?).filter(|all| !all.is_empty());
        Ok(())
    };
    "acme.allow", List(0, ANY), "", "networks of loopback addresses that are asked for a challenge too",
    |settings, value| {
        settings.acme.allow = acme::networks(value)?;
        Ok(())
    };
    "acme.http_port", Whole(1, 65_535), "80", "port that http-01 asks at; another one than 80 is not RFC 8555",
    |settings, value| {
        settings.acme.http_port = acme::port(value)?;
        Ok(())
    };
    "acme.tls_port", Whole(1, 65_535), "443", "port that tls-alpn-01 asks at; another one than 443 is not RFC 8737",
    |settings, value| {
        settings.acme.tls_port = acme::port(value)?;
        Ok(())
    };
    "acme.caa", List(0, ANY), "", "names by which CAA records mean this authority; without any, CAA is not looked at",
    |settings, value| {
        settings.acme.caa = acme::issuers(value)?;
        Ok(())
    };
    "traffic.issuer", Text(HTTPS), "https://HOSTNAME:PORT of api.listen", "issuer of tokens: the https:// URL under which others find the broker",
    |settings, value| {
        let url = value.text()?;
        let rest = url.strip_prefix("https://").filter(|rest| {
            !rest.is_empty() && !rest.ends_with('/') && rest.bytes().all(|byte| byte.is_ascii_graphic())
                && !rest.contains(['?', '#', '"', '\\', '@'])
        });
        if rest.is_none() {
            return Err("must be an https:// URL without query, fragment and final slash".to_owned());
        }
        settings.traffic.issuer = Some(url.to_owned());
        Ok(())
    };
    "traffic.algorithm", Word(&["ES256", "EdDSA"]), "ES256", "by which new keys sign tokens: ES256 or EdDSA",
    |settings, value| {
        settings.traffic.algorithm = match value.text()? {
            "ES256" => Algorithm::Es256,
            "EdDSA" => Algorithm::EdDsa,
            _ => return Err("must be ES256 or EdDSA".to_owned()),
        };
        Ok(())
    };
    "traffic.longest_life", Span, "5m", "longest life of a token, 5s to 5m; four fifths of it is how long the broker may be away",
    |settings, value| {
        let life = span(value)?;
        if life < Duration::from_secs(5) || life > sealock_traffic::broker::LONGEST {
            return Err("must be 5s to 5m".to_owned());
        }
        settings.traffic.longest_life = life;
        Ok(())
    };
    "watch.enabled", Truth, "true", "whether certificates are delivered by labels",
    |settings, value| {
        settings.watch.enabled = value.truth()?;
        Ok(())
    };
    "watch.grace", Span, "30s", "how long a service has to serve a delivered certificate",
    |settings, value| {
        settings.watch.grace = span(value)?;
        Ok(())
    };
    "watch.scope", Text("^[A-Za-z0-9._-]{1,64}$"), "", "only containers with this value of the label sealock.scope; without, those without it",
    |settings, value| {
        let scope = value.text()?;
        let good = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if scope.is_empty() || scope.len() > 64 || !scope.chars().all(good) {
            return Err("must be 1 to 64 letters, digits, `.`, `_` and `-`".to_owned());
        }
        settings.watch.scope = Some(scope.to_owned());
        Ok(())
    };
    "authority.keys", Word(&["store", "hsm"]), "store", "where the CA's keys are made, when it is made: store or hsm",
    |settings, value| {
        settings.authority.keys = match value.text()? {
            "store" => KeyHome::Store,
            "hsm" => KeyHome::Hsm,
            _ => return Err("must be store or hsm".to_owned()),
        };
        Ok(())
    };
    "hsm.module", Text(ABSOLUTE), "", "PKCS#11 module of the HSM in which keys of the CA are or will be; absolute, and written to by root only",
    |settings, value| settings.hsm.set_module(value);
    "hsm.token", Text(ANY), "", "which of the module's tokens: its label, or a PKCS#11 URI such as pkcs11:token=ca;serial=0123; without it, the only one",
    |settings, value| settings.hsm.set_token(value);
    "hsm.pin_file", Text(ANY), "$CREDENTIALS_DIRECTORY/sealock-hsm-pin", "file with the token's PIN, which nobody else may read",
    |settings, value| {
        settings.hsm.pin_file = Some(value.text()?.into());
        Ok(())
    };
    "hsm.deadline", Span, "5s", "how long a signature of the HSM may take, up to 1m",
    |settings, value| settings.hsm.set_deadline(span(value)?);
    "hsm.environment", List(0, "^[A-Za-z_][A-Za-z0-9_]*="), "", "variables that the module is given, NAME=VALUE, such as SOFTHSM2_CONF=/etc/softhsm/softhsm2.conf; it gets no others",
    |settings, value| settings.hsm.set_environment(value);
    "audit.checkpoint", Span, "1h", "time between two signed checkpoints of the audit log",
    |settings, value| {
        settings.checkpoint = span(value)?;
        Ok(())
    };
}

fn workload(value: &Value) -> Result<Workload, String> {
    match value.text()? {
        "" => Err("must be a path or off".to_owned()),
        "off" => Ok(Workload::Off),
        path => Ok(Workload::At(path.into())),
    }
}

fn limit(settings: &mut Settings, limit: Limit, value: &Value) -> Result<(), String> {
    let most = settings::at_most(limit, value)?;
    settings.gateway.limits.everybody.insert(limit, most);
    Ok(())
}

fn span(value: &Value) -> Result<Duration, String> {
    parse_span(value.text()?).map_err(|error| format!("must be a span: {error}"))
}

fn mode(settings: &mut Settings, plane: Plane, value: &Value) -> Result<(), String> {
    let mode = match value.text()? {
        "enforce" => Mode::Enforce,
        "audit" => Mode::Audit,
        "learn" => Mode::Learn,
        _ => return Err("must be enforce, audit or learn".to_owned()),
    };
    settings.policy.modes = std::mem::take(&mut settings.policy.modes).with(plane, mode);
    Ok(())
}
