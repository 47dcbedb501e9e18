//! Services that the settings name: `[services.orders]` with `addresses`, `hosts` and `tls`.

use std::collections::BTreeMap;
use std::error::Error;

use sealock_core::{Identity, IdentityKind, TrustDomain};
use sealock_traffic::forwarder::{Directory, Hop, Service};
use sealock_traffic::registry::Address;

use super::file::Value;
use super::shape::{self, ANY, Field, Shape};

/// Services by their names.
pub type Services = BTreeMap<String, ServiceSettings>;

/// A service that Forwarders are told of. They reach it over TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceSettings {
    /// Where its Gatekeepers are, `HOST:PORT`; with those that have joined the broker.
    pub addresses: Vec<String>,
    /// Other hosts that mean it, `HOST` or `HOST:PORT`.
    pub hosts: Vec<String>,
    /// The host that the certificates at `addresses` are for; otherwise they have the service's identity.
    pub tls: Option<String>,
}

/// What a table has.
pub(super) const FIELDS: &[Field] = &[
    Field::new(
        "addresses",
        Shape::List(0, ANY),
        "its Gatekeepers, HOST:PORT; those that have joined the broker come to them",
    ),
    Field::new("hosts", Shape::List(0, ANY), "other hosts that mean it, HOST or HOST:PORT"),
    Field::new(
        "tls",
        Shape::Text(ANY),
        "`identity`, or the host that the certificates at `addresses` are for; then only these are told",
    ),
];

/// Where an address stands for one that is not known yet.
const SOMEWHERE: &str = "somewhere:1";

/// Sets `NAME.addresses`, `NAME.hosts` or `NAME.tls`.
pub(super) fn set(services: &mut Services, key: &str, value: &Value) -> Result<(), String> {
    let (name, field) = key.rsplit_once('.').unwrap_or_default();
    if name.is_empty() {
        return Err(format!("is no service: it has {}", shape::known(FIELDS)));
    }
    let mut service = services.get(name).cloned().unwrap_or_default();
    match field {
        "addresses" => service.addresses = addresses(value)?,
        "hosts" => service.hosts = value.list()?,
        "tls" => match value.text()? {
            "identity" => service.tls = None,
            "off" | "plain" => {
                return Err(
                    "must be identity or a host: a service over plain HTTP is named where \
                            the Forwarder is, with --plain"
                        .to_owned(),
                );
            }
            host => service.tls = Some(host.to_owned()),
        },
        _ => return Err(format!("ends in `{field}`; there are {}", shape::known(FIELDS))),
    }
    check(&BTreeMap::from([(name.to_owned(), service.clone())]))?;
    services.insert(name.to_owned(), service);
    Ok(())
}

/// As text, each in its one spelling.
fn addresses(value: &Value) -> Result<Vec<String>, String> {
    let read = |text: &String| {
        // A loopback address is told to those only for whom it is this host's.
        Address::read(text, true).map(|at| at.to_string()).map_err(|error| {
            let why = error.source().map(|why| format!(": {why}")).unwrap_or_default();
            format!("has `{text}`: {error}{why}")
        })
    };
    let mut all: Vec<String> = value.list()?.iter().map(read).collect::<Result<_, _>>()?;
    all.sort();
    all.dedup();
    Ok(all)
}

/// Whether a Forwarder could take them all: no host means two of them.
pub(super) fn check(services: &Services) -> Result<(), String> {
    let domain = TrustDomain::for_host("checked");
    let mut all = Vec::new();
    for (name, service) in services {
        let audience = Identity::new(&domain, IdentityKind::Service, name);
        let audience = audience.map_err(|error| format!("is of no service: {error}"))?;
        all.push(Service {
            name: name.clone(),
            audience,
            aliases: service.hosts.clone(),
            instances: vec![SOMEWHERE.to_owned()],
            hop: service.tls.clone().map_or(Hop::Tls, Hop::TlsAs),
        });
    }
    match Directory::new(all, &[], &[]) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("cannot be used: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(items: &[&str]) -> Value {
        Value::List(items.iter().map(|item| (*item).to_owned()).collect())
    }

    fn refused(key: &str, value: &Value) -> String {
        let mut services = Services::new();
        let error = set(&mut services, key, value).unwrap_err();
        assert!(services.is_empty(), "what is refused leaves nothing behind");
        error
    }

    #[test]
    fn a_service_has_addresses_hosts_and_a_certificate() {
        let mut services = Services::new();
        set(&mut services, "orders.addresses", &list(&["Host:8443", "10.0.0.5:8443", "host:8443"]))
            .unwrap();
        set(&mut services, "orders.hosts", &Value::Text("orders.internal, o:8080".into())).unwrap();
        set(&mut services, "orders.tls", &Value::Text("orders.example".into())).unwrap();
        set(&mut services, "build.runner.addresses", &list(&["127.0.0.1:1"])).unwrap();
        let orders = &services["orders"];
        assert_eq!(orders.addresses, ["10.0.0.5:8443", "host:8443"]);
        assert_eq!(orders.hosts, ["orders.internal", "o:8080"]);
        assert_eq!(orders.tls.as_deref(), Some("orders.example"));
        assert_eq!(services["build.runner"].addresses, ["127.0.0.1:1"]);
        set(&mut services, "orders.tls", &Value::Text("identity".into())).unwrap();
        assert_eq!(services["orders"].tls, None);
    }

    #[test]
    fn what_a_forwarder_could_not_use_is_refused() {
        for (key, value, why) in [
            ("orders.addresses", list(&["10.0.0.5"]), "HOST:PORT"),
            ("orders.addresses", list(&["169.254.169.254:80"]), "link-local"),
            ("orders.addresses", list(&["0.0.0.0:80"]), "unspecified"),
            ("orders.addresses", Value::Truth(true), "a list of texts"),
            ("orders.hosts", list(&["or ders"]), "not a host name"),
            ("orders.hosts", list(&["orders"]), "listed twice"),
            ("orders.hosts", list(&["a", "A:80"]), "listed twice"),
            ("orders.tls", Value::Text("off".into()), "--plain"),
            ("orders.tls", Value::Text("a b".into()), "no certificate"),
            ("orders.tls", list(&[]), "must be text"),
            ("orders.address", list(&[]), "there are addresses, hosts and tls"),
            ("Orders.hosts", list(&["x"]), "not a host name"),
            ("or ders.hosts", list(&["x"]), "of no service"),
            ("orders", list(&["x"]), "is no service"),
        ] {
            let error = refused(key, &value);
            assert!(error.contains(why), "{key}: {error}");
        }
    }

    #[test]
    fn no_host_means_two_services() {
        let mut services = Services::new();
        set(&mut services, "orders.hosts", &list(&["api.internal"])).unwrap();
        set(&mut services, "billing.hosts", &list(&["API.internal:80"])).unwrap();
        assert!(check(&services).unwrap_err().contains("listed twice"));
    }
}
