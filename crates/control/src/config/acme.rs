//! How the ACME server is set up: `[acme]`, and `[acme.profiles.NAME]`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use sealock_authority::Usages;
use sealock_core::span::parse_span;
use sealock_core::{DnsName, IssuerName, Network};

use super::file::Value;
use super::settings::Listen;

/// A name that can stand in an order and in a settings file.
const LONGEST_NAME: usize = 64;

/// The profile of an order that names none.
pub const USUAL_PROFILE: &str = "server";

/// What certificates of a profile are like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcmeProfile {
    /// How long they live.
    pub life: Duration,
    /// What they are for.
    pub usages: Usages,
    /// Who signs them; the first of `authority.issuers` that policy permits by default.
    pub issuer: Option<IssuerName>,
}

/// The ACME server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcmeSettings {
    /// Whether there is one, at the API.
    pub enabled: bool,
    /// Where it listens besides, alone.
    pub listen: Listen,
    /// Names in the certificate there, besides the host's name and the listener's address.
    pub names: Vec<String>,
    /// Whether accounts need somebody who vouches for them.
    pub external_account_required: bool,
    /// The profiles, by name; the usual one is among them.
    pub profiles: BTreeMap<String, AcmeProfile>,
    /// Where http-01 begins.
    pub http_port: u16,
    /// Where tls-alpn-01 asks.
    pub tls_port: u16,
    /// The DNS resolvers; those of the system when there are none.
    pub resolvers: Vec<SocketAddr>,
    /// The only networks that are asked for a challenge.
    pub networks: Option<Vec<Network>>,
    /// Where loopback addresses may be asked.
    pub allow: Vec<Network>,
    /// By which names CAA records mean this authority; they are not looked at when there are none.
    pub caa: Vec<DnsName>,
}

impl Default for AcmeSettings {
    fn default() -> Self {
        let days = |days: u64| Duration::from_secs(days * 86_400);
        let profile = |life, usages| AcmeProfile { life, usages, issuer: None };
        let profiles = [
            (USUAL_PROFILE, profile(days(90), Usages::SERVER)),
            ("short", profile(days(6), Usages::SERVER)),
            ("mutual", profile(days(90), Usages::BOTH)),
        ];
        Self {
            enabled: true,
            listen: Listen::Off,
            names: Vec::new(),
            external_account_required: false,
            profiles: profiles.map(|(name, profile)| (name.to_owned(), profile)).into(),
            http_port: 80,
            tls_port: 443,
            resolvers: Vec::new(),
            networks: None,
            allow: Vec::new(),
            caa: Vec::new(),
        }
    }
}

/// Sets `NAME.life`, `NAME.usages` or `NAME.issuer` of a profile.
pub(super) fn set_profile(
    profiles: &mut BTreeMap<String, AcmeProfile>,
    key: &str,
    value: &Value,
) -> Result<(), String> {
    let (name, field) = key.rsplit_once('.').unwrap_or_default();
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
    if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(good) {
        return Err(
            "is no profile: its name has a-z, 0-9, `-` and `_`, and it has life and usages, and issuer"
                .to_owned(),
        );
    }
    let life = Duration::from_secs(90 * 86_400);
    let usual = AcmeProfile { life, usages: Usages::SERVER, issuer: None };
    let mut profile = profiles.get(name).cloned().unwrap_or(usual);
    match field {
        "life" => {
            profile.life =
                parse_span(value.text()?).map_err(|error| format!("must be a span: {error}"))?;
            if profile.life < Duration::from_secs(60) {
                return Err("must be a minute or more".to_owned());
            }
        }
        "usages" => {
            let usages = value.list()?;
            let mut usages: Vec<&str> = usages.iter().map(String::as_str).collect();
            usages.sort_unstable();
            profile.usages = match usages.as_slice() {
                ["server"] => Usages::SERVER,
                ["client"] => Usages::CLIENT,
                ["client", "server"] => Usages::BOTH,
                _ => return Err("must be server, client or both".to_owned()),
            };
        }
        "issuer" => {
            let issuer = value.text()?.parse().map_err(|error| format!("is no issuer: {error}"))?;
            profile.issuer = Some(issuer);
        }
        _ => return Err(format!("ends in `{field}`; there are life and usages, and issuer")),
    }
    profiles.insert(name.to_owned(), profile);
    Ok(())
}

/// Where questions go: `ADDRESS[:PORT]` of resolvers.
pub(super) fn resolvers(value: &Value) -> Result<Vec<SocketAddr>, String> {
    let read = |text: &String| {
        crate::acme::resolver(text)
            .ok_or_else(|| format!("has `{text}`, which is not ADDRESS or ADDRESS:PORT"))
    };
    value.list()?.iter().map(read).collect()
}

/// Networks, `ADDRESS/BITS`.
pub(super) fn networks(value: &Value) -> Result<Vec<Network>, String> {
    let read = |text: &String| {
        text.parse().map_err(|_| format!("has `{text}`, which is not ADDRESS/BITS"))
    };
    value.list()?.iter().map(read).collect()
}

/// Domain names by which CAA records mean us.
pub(super) fn issuers(value: &Value) -> Result<Vec<DnsName>, String> {
    let read =
        |text: &String| text.parse().map_err(|_| format!("has `{text}`, which is no DNS name"));
    value.list()?.iter().map(read).collect()
}

/// A port.
pub(super) fn port(value: &Value) -> Result<u16, String> {
    let read = value.to_string().parse::<u16>().ok().filter(|port| *port != 0);
    read.ok_or_else(|| "must be a port".to_owned())
}
