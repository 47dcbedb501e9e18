//! Who may be called. What is not listed here is refused.

use std::collections::{HashMap, HashSet};

use sealock_core::Identity;
use thiserror::Error;

use super::destination::{Destination, NoDestination};
use super::pattern::Pattern;
use super::range::{NoRange, Range};

/// The port of an alias that has none, as of a URL.
const HTTP: u16 = 80;
/// The port of a tunnel's host that has none.
const HTTPS: u16 = 443;
/// More entries than this are a mistake, or somebody else's doing.
const MOST: usize = 10_000;

/// Why a directory is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DirectoryError {
    /// A name or alias that cannot stand in a URL.
    #[error("service `{service}`: `{host}` is not a host name")]
    Host {
        /// Of which service.
        service: String,
        /// The name.
        host: String,
    },
    /// An instance that is not `HOST:PORT`.
    #[error("service `{service}`: an instance cannot be read")]
    Instance {
        /// Of which service.
        service: String,
        /// Why.
        #[source]
        source: NoDestination,
    },
    /// A service without instances.
    #[error("service `{0}` has no instances")]
    NoInstances(String),
    /// The host that a certificate must be for is none.
    #[error("service `{service}`: no certificate can be for `{host}`")]
    ServerName {
        /// Of which service.
        service: String,
        /// The host.
        host: String,
    },
    /// A token would be sent in clear text to another host.
    #[error("service `{service}`: a token must not go to {instance} in clear text")]
    ClearText {
        /// Of which service.
        service: String,
        /// The instance.
        instance: Destination,
    },
    /// Two entries for one name or host.
    #[error("`{0}` is listed twice")]
    Twice(String),
    /// A destination without a service that cannot be read.
    #[error("a destination cannot be read")]
    Destination(#[from] NoDestination),
    /// A destination with a `*` in it that cannot be read.
    #[error("`{0}` is not `*` or `*.DOMAIN`, with `:PORT` or `:*`")]
    Pattern(String),
    /// An address that cannot be read.
    #[error("an address cannot be read")]
    Range(#[from] NoRange),
    /// A tunnel that would lead to nobody.
    #[error("tunnels to {host} are for the service `{service}`, which is not listed")]
    NoService {
        /// The host.
        host: Destination,
        /// The service.
        service: String,
    },
    /// There are more than 10,000 entries.
    #[error("the directory has more than {MOST} entries")]
    TooMany,
}

/// How the Gatekeeper of a service is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hop {
    /// Over TLS. Its certificate must have the service's identity as its URI.
    Tls,
    /// Over TLS. Its certificate must be for this host, whatever else is in it.
    TlsAs(String),
    /// In clear text, to instances that are addresses of this host's loopback.
    Plain,
    /// In clear text to wherever the instances are. Whoever is on the way gets the tokens, and can use them.
    DangerousPlain,
}

impl Hop {
    pub(super) const fn is_tls(&self) -> bool {
        matches!(self, Self::Tls | Self::TlsAs(_))
    }
}

/// A service as it is written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name, by which it can be called: `http://NAME/`.
    pub name: String,
    /// For whom the tokens are.
    pub audience: Identity,
    /// Other hosts that mean it, `HOST` or `HOST:PORT`. One without a port means port 80 only.
    pub aliases: Vec<String>,
    /// Its Gatekeepers, `HOST:PORT`.
    pub instances: Vec<String>,
    /// How they are spoken to.
    pub hop: Hop,
}

/// A service that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) audience: Identity,
    /// The first is the one it is called by, where nothing else is said.
    pub(super) hosts: Vec<Destination>,
    pub(super) instances: Vec<Destination>,
    pub(super) hop: Hop,
}

/// Who may be called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Directory {
    pub(super) services: Vec<Listed>,
    pub(super) pass: Vec<Destination>,
    pub(super) connect: Vec<Destination>,
    /// The same for those that are not listed one by one.
    pub(super) pass_also: Vec<Pattern>,
    pub(super) connect_also: Vec<Pattern>,
    pub(super) intercept: Vec<(Destination, String)>,
    pub(super) direct: Vec<Range>,
}

impl Directory {
    /// A directory of `services`. Requests to `pass` (`HOST` or `HOST:PORT`) go on without a token, in clear text, as
    /// the app made them; to `connect` (`HOST:PORT`) a tunnel may be opened, in which we see nothing. In both, `*` and
    /// `*.DOMAIN` mean what is not listed otherwise, to the proxy: hosts with a dot in their name, and addresses other than
    /// this host's.
    pub fn new(
        services: Vec<Service>,
        pass: &[String],
        connect: &[String],
    ) -> Result<Self, DirectoryError> {
        let aliases: usize =
            services.iter().map(|it| 1 + it.aliases.len() + it.instances.len()).sum();
        if aliases + pass.len() + connect.len() > MOST {
            return Err(DirectoryError::TooMany);
        }
        let services: Vec<Listed> = services.into_iter().map(listed).collect::<Result<_, _>>()?;
        let (pass_also, pass) = apart(pass, Some(HTTP))?;
        let (connect_also, connect) = apart(connect, None)?;
        let mut seen = HashMap::new();
        for host in services.iter().flat_map(|service| &service.hosts).chain(&pass) {
            if seen.insert(host, ()).is_some() {
                return Err(DirectoryError::Twice(host.to_string()));
            }
        }
        let mut names = HashMap::new();
        for service in &services {
            if names.insert(service.name.as_str(), ()).is_some() {
                return Err(DirectoryError::Twice(service.name.clone()));
            }
        }
        Ok(Self { services, pass, connect, pass_also, connect_also, ..Self::default() })
    }

    /// Tunnels (CONNECT) to these (`HOST` or `HOST:PORT`; without one, port 443) end here: what is said in them is read,
    /// and goes to the service of that name.
    pub fn intercept(mut self, hosts: &[(String, String)]) -> Result<Self, DirectoryError> {
        for (text, service) in hosts {
            let host = Destination::read(text, Some(HTTPS)).map_or_else(|| text.parse(), Ok)?;
            let service = service.clone();
            if !self.services.iter().any(|known| known.name == service) {
                return Err(DirectoryError::NoService { host, service });
            }
            let is_there = self.intercept.iter().any(|(known, _)| *known == host);
            if is_there || self.connect.contains(&host) {
                return Err(DirectoryError::Twice(host.to_string()));
            }
            self.intercept.push((host, service));
        }
        if self.intercept.len() > MOST { Err(DirectoryError::TooMany) } else { Ok(self) }
    }

    /// In transparent mode, what is on its way to these (`ADDRESS[/BITS]:PORT`) and to no listed host goes on there as it
    /// is, without a token.
    pub fn direct(mut self, ranges: &[String]) -> Result<Self, DirectoryError> {
        for text in ranges {
            self.direct.push(text.parse()?);
        }
        if self.direct.len() > MOST { Err(DirectoryError::TooMany) } else { Ok(self) }
    }

    /// The same with services that were learnt, which are spoken to over TLS. What is listed already wins: a service of the
    /// same name or whose host is taken is left out, and of another the aliases that are. What cannot be used is left out
    /// too; it is told.
    #[must_use]
    pub fn with_learnt(mut self, learnt: Vec<Service>) -> (Self, Vec<DirectoryError>) {
        let mut unusable = Vec::new();
        let mut hosts: HashSet<Destination> = self
            .services
            .iter()
            .flat_map(|service| &service.hosts)
            .chain(&self.pass)
            .cloned()
            .collect();
        let mut entries = hosts.len() + self.connect.len();
        entries += self.services.iter().map(|service| service.instances.len()).sum::<usize>();
        for service in learnt {
            let is_plain = !service.hop.is_tls();
            let mut listed = match listed(service) {
                Ok(listed) => listed,
                Err(error) => {
                    unusable.push(error);
                    continue;
                }
            };
            if let (true, Some(instance)) = (is_plain, listed.instances.first().cloned()) {
                unusable.push(DirectoryError::ClearText { service: listed.name, instance });
                continue;
            }
            // The first is its name.
            if listed.hosts.first().is_none_or(|name| hosts.contains(name)) {
                continue;
            }
            listed.hosts.retain(|host| !hosts.contains(host));
            let mut own = HashSet::new();
            listed.hosts.retain(|host| own.insert(host.clone()));
            entries += listed.hosts.len() + listed.instances.len();
            if entries > MOST {
                unusable.push(DirectoryError::TooMany);
                break;
            }
            hosts.extend(own);
            self.services.push(listed);
        }
        (self, unusable)
    }
}

/// Patterns, and destinations that stand there by themselves. `usual` is the port of those without.
fn apart(
    texts: &[String],
    usual: Option<u16>,
) -> Result<(Vec<Pattern>, Vec<Destination>), DirectoryError> {
    let (patterns, plain): (Vec<&String>, Vec<_>) =
        texts.iter().partition(|text| Pattern::is_meant(text));
    let pattern = |text: &String| {
        let shown = || DirectoryError::Pattern(text.chars().take(300).collect());
        Pattern::read(text, usual).ok_or_else(shown)
    };
    let patterns = patterns.into_iter().map(pattern).collect::<Result<_, _>>()?;
    let plain = plain.into_iter().map(|text| {
        let read = usual.and_then(|usual| Destination::read(text, Some(usual)));
        read.map_or_else(|| text.parse(), Ok)
    });
    Ok((patterns, plain.collect::<Result<_, _>>()?))
}

fn listed(service: Service) -> Result<Listed, DirectoryError> {
    let Service { name, audience, aliases, instances, hop } = service;
    let hosts = std::iter::once(&name).chain(&aliases).map(|host| {
        let read = Destination::read(host, Some(HTTP));
        read.ok_or_else(|| DirectoryError::Host { service: name.clone(), host: host.clone() })
    });
    let hosts = hosts.collect::<Result<Vec<_>, _>>()?;
    // The name stands in settings and log lines: one spelling there too.
    if hosts.first().is_none_or(|host| host.header() != name) {
        return Err(DirectoryError::Host { service: name.clone(), host: name });
    }
    let instances = instances.iter().map(|instance| {
        let failed = |source| DirectoryError::Instance { service: name.clone(), source };
        instance.parse().map_err(failed)
    });
    let instances = instances.collect::<Result<Vec<Destination>, _>>()?;
    if instances.is_empty() {
        return Err(DirectoryError::NoInstances(name));
    }
    if let Hop::TlsAs(host) = &hop
        && sealock_net::tls::server_name(host).is_none()
    {
        return Err(DirectoryError::ServerName { service: name, host: host.clone() });
    }
    if hop == Hop::Plain {
        let is_here = |instance: &Destination| {
            instance.address().is_some_and(|address| address.to_canonical().is_loopback())
        };
        if let Some(instance) = instances.iter().find(|instance| !is_here(instance)) {
            let instance = instance.clone();
            return Err(DirectoryError::ClearText { service: name, instance });
        }
    }
    Ok(Listed { name, audience, hosts, instances, hop })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str, instance: &str, hop: Hop) -> Service {
        Service {
            name: name.to_owned(),
            audience: "spiffe://t.sealock/service/orders".parse().unwrap(),
            aliases: Vec::new(),
            instances: vec![instance.to_owned()],
            hop,
        }
    }

    fn refused(services: Vec<Service>) -> String {
        Directory::new(services, &[], &[]).unwrap_err().to_string()
    }

    #[test]
    fn clear_text_goes_to_this_hosts_loopback_only() {
        for instance in ["127.0.0.1:80", "[::1]:80", "127.9.9.9:1"] {
            let services = vec![service("orders", instance, Hop::Plain)];
            assert!(Directory::new(services, &[], &[]).is_ok(), "{instance}");
        }
        for instance in
            ["10.0.0.1:80", "orders.internal:80", "localhost:80", "127.1:80", "0.0.0.0:80"]
        {
            let error = refused(vec![service("orders", instance, Hop::Plain)]);
            assert!(error.contains("in clear text"), "{error}");
            let meant = vec![service("orders", instance, Hop::DangerousPlain)];
            assert!(Directory::new(meant, &[], &[]).is_ok(), "{instance}");
        }
    }

    #[test]
    fn what_has_two_readings_or_none_is_refused() {
        let ok = || service("orders", "10.0.0.1:8443", Hop::Tls);
        assert_eq!(refused(vec![ok(), ok()]), "`orders:80` is listed twice");
        let alias =
            Service { name: "other".to_owned(), aliases: vec!["ORDERS".to_owned()], ..ok() };
        assert_eq!(refused(vec![ok(), alias]), "`orders:80` is listed twice");
        let passed = Directory::new(vec![ok()], &["orders".to_owned()], &[]);
        assert_eq!(passed, Err(DirectoryError::Twice("orders:80".to_owned())));
        for name in ["", "Orders", "or ders", "orders.", "a/b", "orders:80"] {
            let error = refused(vec![Service { name: name.to_owned(), ..ok() }]);
            assert!(error.ends_with("is not a host name"), "{error}");
        }
        let none = Service { instances: Vec::new(), ..ok() };
        assert_eq!(refused(vec![none]), "service `orders` has no instances");
        let instance = service("orders", "10.0.0.1", Hop::Tls);
        assert_eq!(refused(vec![instance]), "service `orders`: an instance cannot be read");
        let host = service("orders", "10.0.0.1:1", Hop::TlsAs("a b".to_owned()));
        assert_eq!(refused(vec![host]), "service `orders`: no certificate can be for `a b`");
        assert!(Directory::new(vec![ok()], &[], &["example.com".to_owned()]).is_err());
        let pattern = Directory::new(vec![ok()], &[], &["*".to_owned()]).unwrap_err().to_string();
        assert_eq!(pattern, "`*` is not `*` or `*.DOMAIN`, with `:PORT` or `:*`");
        let many = vec!["a:1".to_owned(); MOST];
        assert_eq!(Directory::new(vec![ok()], &[], &many), Err(DirectoryError::TooMany));
    }

    #[test]
    fn what_is_written_down_wins_over_what_is_learnt() {
        let ok = |name: &str| Service {
            name: name.to_owned(),
            instances: vec!["10.0.0.9:1".to_owned()],
            ..service(name, "10.0.0.1:1", Hop::Tls)
        };
        let own = service("orders", "10.0.0.1:8443", Hop::Tls);
        let passed = ["example.com".to_owned()];
        let before = Directory::new(vec![own], &passed, &[]).unwrap();
        let alias = |hosts: &[&str]| hosts.iter().map(|host| (*host).to_owned()).collect();
        let learnt = vec![
            ok("orders"),
            ok("example.com"),
            Service {
                aliases: alias(&["orders", "EXAMPLE.com:80", "b.internal", "b.internal"]),
                ..ok("billing")
            },
            Service { aliases: alias(&["b.internal"]), ..ok("late") },
            ok("Not a host"),
            Service { hop: Hop::Plain, instances: vec!["127.0.0.1:1".to_owned()], ..ok("plain") },
            Service { hop: Hop::DangerousPlain, ..ok("plain2") },
            Service { instances: Vec::new(), ..ok("none") },
        ];
        let (directory, unusable) = before.with_learnt(learnt);
        let found: Vec<(String, Vec<String>)> = directory
            .services
            .iter()
            .map(|it| (it.name.clone(), it.hosts.iter().map(ToString::to_string).collect()))
            .collect();
        let hosts = |name: &str, hosts: &[&str]| (name.to_owned(), alias(hosts));
        assert_eq!(
            found,
            [
                hosts("orders", &["orders:80"]),
                hosts("billing", &["billing:80", "b.internal:80"]),
                hosts("late", &["late:80"]),
            ]
        );
        assert_eq!(directory.services[0].instances[0].to_string(), "10.0.0.1:8443");
        let why: Vec<String> = unusable.iter().map(ToString::to_string).collect();
        assert_eq!(why.len(), 4, "{why:?}");
        assert!(why[1].contains("in clear text") && why[2].contains("in clear text"), "{why:?}");
        let many = (0..MOST).map(|number| ok(&format!("s{number}"))).collect();
        let (directory, unusable) = Directory::default().with_learnt(many);
        assert_eq!(unusable, [DirectoryError::TooMany]);
        assert_eq!(directory.services.len(), MOST / 2);
    }
}
