//! How the ACME server is set up: `[acme]`, and which profiles it offers: `acme.profiles = ["server", "short"]`, of those that
//! there are for all ([`Profiles`]), or `[acme.profiles.NAME]` for its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use sealock_authority::{Profile, Usages};
use sealock_core::span::parse_span;
use sealock_core::{DnsName, IssuerName, Network};

use super::file::Value;
use super::profiles::Profiles;
use super::settings::Listen;
use super::shape::{self, ANY, Field, Shape};

/// A name that can stand in an order and in a settings file.
const LONGEST_NAME: usize = 64;

/// The profile of an order that names none, where it is offered.
const USUAL_PROFILE: &str = "server";
/// What is offered unless something else is said.
const OFFERED: [&str; 3] = [USUAL_PROFILE, "short", "mutual"];
/// How long its certificates live where neither table nor profile says.
const USUAL_LIFE: Duration = Duration::from_secs(90 * 86_400);

/// What certificates of a profile are like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcmeProfile {
    /// How long they live.
    pub life: Duration,
    /// What they are for: servers and clients only.
    pub usages: Usages,
    /// Within which bounds they can be ordered.
    pub bounds: Profile,
    /// Who signs them; the first of `authority.issuers` that policy permits by default.
    pub issuer: Option<IssuerName>,
}

/// A table of a profile as it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct AcmeTable {
    life: Option<Duration>,
    usages: Option<Usages>,
    issuer: Option<IssuerName>,
}

/// What a table has.
pub(super) const FIELDS: &[Field] = &[
    Field::new("life", Shape::Span, "how long certificates live; a span from a minute on"),
    Field::new(
        "usages",
        Shape::Words(&["server", "client"]),
        "what they are for, of `server` and `client`",
    ),
    Field::new("issuer", Shape::Text(ANY), "who signs them, one of `sealock ca list`"),
];

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
    /// The profiles that are offered, by name; the usual one is among them.
    pub profiles: BTreeMap<String, AcmeProfile>,
    /// The profile of an order that names none.
    pub usual: String,
    /// Which are offered.
    pub(super) offered: Vec<String>,
    /// The tables for ACME alone.
    pub(super) tables: BTreeMap<String, AcmeTable>,
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
        let mut usual = Self {
            enabled: true,
            listen: Listen::Off,
            names: Vec::new(),
            external_account_required: false,
            profiles: BTreeMap::new(),
            usual: USUAL_PROFILE.to_owned(),
            offered: OFFERED.map(str::to_owned).into(),
            tables: BTreeMap::new(),
            http_port: 80,
            tls_port: 443,
            resolvers: Vec::new(),
            networks: None,
            allow: Vec::new(),
            caa: Vec::new(),
        };
        // The ones that are built in can be offered.
        let _ = usual.resolve(&Profiles::default());
        usual
    }
}

impl AcmeSettings {
    /// Finds out what is offered, now that all profiles are there.
    pub(super) fn resolve(&mut self, profiles: &Profiles) -> Result<(), String> {
        let mut names = self.offered.clone();
        // Who has said nothing of it has their own tables offered, too, as it was before there were others.
        if names == OFFERED {
            names.extend(self.tables.keys().cloned());
        }
        let usual = names.iter().find(|name| *name == USUAL_PROFILE).or(names.first());
        self.usual = usual.ok_or("must offer one profile or more")?.clone();
        self.profiles = BTreeMap::new();
        for name in names {
            let profile = self.offer(&name, profiles)?;
            self.profiles.insert(name, profile);
        }
        Ok(())
    }

    fn offer(&self, name: &str, profiles: &Profiles) -> Result<AcmeProfile, String> {
        let table = self.tables.get(name).cloned();
        let bounds = match (profiles.get(name), &table) {
            (Some(profile), _) => profile.clone(),
            (None, Some(_)) => Profile::of(Usages::SERVER),
            (None, None) => {
                let meant = profiles.nearest(name);
                let meant = meant.map(|it| format!("; did you mean `{it}`?")).unwrap_or_default();
                return Err(format!("has `{name}`, which there is not{meant}"));
            }
        };
        let AcmeTable { life, usages, issuer } = table.unwrap_or_default();
        let usages = usages.unwrap_or(bounds.usages);
        if usages.beyond_tls() {
            return Err(format!(
                "has `{name}`: who has proved a domain's name has proved nothing about code or e-mail"
            ));
        }
        let life = life.or(bounds.life).unwrap_or(USUAL_LIFE);
        let life = bounds.longest.map_or(life, |longest| life.min(longest));
        Ok(AcmeProfile { life, usages, bounds: Profile { usages, ..bounds }, issuer })
    }
}

/// Sets which profiles are offered.
pub(super) fn offered(settings: &mut AcmeSettings, value: &Value) -> Result<(), String> {
    let names = value.list()?;
    if names.is_empty() {
        return Err("must offer one profile or more; to have no ACME, set acme.enabled".to_owned());
    }
    settings.offered = names;
    Ok(())
}

/// Sets `NAME.life`, `NAME.usages` or `NAME.issuer` of a profile for ACME alone.
pub(super) fn set_profile(
    settings: &mut AcmeSettings,
    key: &str,
    value: &Value,
) -> Result<(), String> {
    let (name, field) = key.rsplit_once('.').unwrap_or_default();
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
    if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(good) {
        return Err(format!(
            "is no profile: its name has a-z, 0-9, `-` and `_`, and it has {}",
            shape::known(FIELDS)
        ));
    }
    let mut table = settings.tables.get(name).cloned().unwrap_or_default();
    match field {
        "life" => {
            let life =
                parse_span(value.text()?).map_err(|error| format!("must be a span: {error}"))?;
            if life < Duration::from_secs(60) {
                return Err("must be a minute or more".to_owned());
            }
            table.life = Some(life);
        }
        "usages" => {
            let usages = value.list()?;
            let mut usages: Vec<&str> = usages.iter().map(String::as_str).collect();
            usages.sort_unstable();
            table.usages = Some(match usages.as_slice() {
                ["server"] => Usages::SERVER,
                ["client"] => Usages::CLIENT,
                ["client", "server"] => Usages::BOTH,
                _ => return Err("must be server, client or both".to_owned()),
            });
        }
        "issuer" => {
            let issuer = value.text()?.parse().map_err(|error| format!("is no issuer: {error}"))?;
            table.issuer = Some(issuer);
        }
        _ => return Err(format!("ends in `{field}`; there are {}", shape::known(FIELDS))),
    }
    settings.tables.insert(name.to_owned(), table);
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
