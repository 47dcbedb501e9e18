//! Containers out of nothing.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use sealock_core::Timestamp;
use sealock_engine::{Container, Network, StartedAt};

/// 64 hex digits that end in a number.
pub(super) fn id(number: u64) -> String {
    format!("{number:064x}")
}

/// A running container with these labels, started at `at`.
pub(super) fn container(
    number: u64,
    name: &str,
    labels: &[(&str, &str)],
    at: Timestamp,
) -> Container {
    Container {
        id: id(number),
        name: name.to_owned(),
        image: "scratch".to_owned(),
        image_id: String::new(),
        running: true,
        paused: false,
        pid: Some(4_000_000),
        started_at: StartedAt::parse(&at.to_rfc3339()),
        labels: labels.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect(),
        hostname: id(number)[..12].to_owned(),
        user: String::new(),
        pid_mode: String::new(),
        network_mode: "bridge".to_owned(),
        userns_mode: String::new(),
        read_only: false,
        privileged: false,
        networks: vec![Network {
            name: "bridge".to_owned(),
            id: String::new(),
            ip: Some(IpAddr::V4(Ipv4Addr::new(172, 17, 0, 2))),
            gateway: None,
            prefix_length: None,
            aliases: Vec::new(),
        }],
        mounts: Vec::new(),
    }
}

/// The labels of a service that reloads and is verified.
pub(super) fn service(ttl: &str) -> BTreeMap<String, String> {
    [
        ("sealock.cert.web.ttl", ttl),
        ("sealock.cert.web.reload", "signal:HUP"),
        ("sealock.cert.web.verify", "tls:8443"),
    ]
    .iter()
    .map(|(key, text)| ((*key).to_owned(), (*text).to_owned()))
    .collect()
}

/// A running container that asks for one secret, `prod/db` of the vault as `db`, and is told by a signal.
pub(super) fn with_secret(number: u64, name: &str, at: Timestamp) -> Container {
    let labels = [("sealock.secret.db.ref", "prod/db"), ("sealock.secret.db.reload", "signal:HUP")];
    container(number, name, &labels, at)
}
