//! Networks, ports and links.

use super::super::error::BodyError;
use super::super::json::Value;
use super::{Risk, Settings, container_of, filled, has_items, has_members};

/// Modes that name no network of somebody's.
const BUILT_IN: [&str; 5] = ["", "default", "bridge", "none", "host"];

/// How many ports the ranges of one request may name. Docker's own client sends each as one binding.
const MAXIMUM_PORTS: usize = 65_536;

/// The networks that a new container is in.
///
/// What only the engine says of an endpoint is left out of what is forwarded: it would take `NetworkID` for the
/// network, whatever the key is.
pub(super) fn attachments(settings: &mut Settings, body: &mut Value) -> Result<(), BodyError> {
    let host = body.get("HostConfig");
    let mode = host.map_or("", |host| host.text("NetworkMode"));
    network_mode(settings, mode);
    if body.flag("NetworkDisabled") && BUILT_IN.contains(&mode) && mode != "host" {
        settings.sets.remove("networks");
        settings.of_container();
    }
    let networking = body.get_mut("NetworkingConfig");
    let endpoints = networking.and_then(|networking| networking.get_mut("EndpointsConfig"));
    let Some(Value::Object(endpoints)) = endpoints else { return Ok(()) };
    for (network, endpoint) in endpoints {
        if network.is_empty() {
            return Err(BodyError::value("NetworkingConfig.EndpointsConfig", "has an empty name"));
        }
        network_reference(settings, network);
        self::endpoint(settings, endpoint);
    }
    Ok(())
}

/// What the engine says of an endpoint, and nobody can ask for.
const SAID: [&str; 9] = [
    "NetworkID",
    "EndpointID",
    "Gateway",
    "IPAddress",
    "IPPrefixLen",
    "IPv6Gateway",
    "GlobalIPv6Address",
    "GlobalIPv6PrefixLen",
    "DNSNames",
];

/// `NetworkMode`, of a container and of a build.
pub(in super::super) fn network_mode(settings: &mut Settings, mode: &str) {
    settings.text("networkMode", if mode.is_empty() { "default" } else { mode });
    if mode == "container" || mode.starts_with("container:") {
        settings.risk(Risk::NetworkMode);
        settings.containers.extend(container_of(mode).map(str::to_owned));
    } else if mode != "none" {
        network_reference(settings, mode);
    }
}

/// A network by name or id.
pub(super) fn network_reference(settings: &mut Settings, network: &str) {
    settings.risk_if(network == "host", Risk::NetworkMode);
    let name = if matches!(network, "" | "default") { "bridge" } else { network };
    settings.add("networks", name);
    if !BUILT_IN.contains(&network) {
        settings.networks.insert(network.to_owned());
    }
}

fn endpoint(settings: &mut Settings, endpoint: &mut Value) {
    for field in SAID {
        endpoint.remove(field);
    }
    settings.risk_if(has_members(endpoint, "DriverOpts"), Risk::EndpointOptions);
    links(settings, endpoint);
}

/// `container[:alias]`
pub(super) fn links(settings: &mut Settings, value: &Value) {
    for link in filled(value, "Links") {
        settings.risk(Risk::Links);
        let reference = link.split(':').next().unwrap_or(link);
        settings.containers.insert(reference.to_owned());
    }
}

/// `PortBindings` and `PublishAllPorts`. A port of the engine's choice is 0.
pub(super) fn published_ports(settings: &mut Settings, host: &Value) -> Result<(), BodyError> {
    if host.flag("PublishAllPorts") {
        settings.port(0);
        settings.add("publishedAddresses", "0.0.0.0");
    }
    let mut left = MAXIMUM_PORTS;
    for (port, bindings) in host.members("PortBindings") {
        let Value::List(bindings) = bindings else {
            continue;
        };
        for binding in bindings {
            let field = format!("HostConfig.PortBindings.{port}");
            let address = binding.text("HostIp");
            let address = if address.is_empty() { "0.0.0.0" } else { address };
            settings.add("publishedAddresses", address);
            port_range(settings, binding.text("HostPort"), &field, &mut left)?;
        }
    }
    Ok(())
}

/// A port, a range `FROM-TO`, or nothing.
fn port_range(
    settings: &mut Settings,
    text: &str,
    field: &str,
    left: &mut usize,
) -> Result<(), BodyError> {
    let bad = || BodyError::value(field, "has a host port that is neither a port nor a range");
    // Go's ParseUint takes no sign, Rust's takes a plus.
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u16>().ok().filter(|_| digits).ok_or_else(bad)
    };
    if text.is_empty() {
        settings.port(0);
        return Ok(());
    }
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let (from, to) = (number(from)?, number(to)?);
    if from > to {
        return Err(bad());
    }
    let many = usize::from(to - from) + 1;
    *left = left
        .checked_sub(many)
        .ok_or_else(|| BodyError::value("HostConfig.PortBindings", "names too many ports"))?;
    for port in from..=to {
        settings.port(port);
    }
    Ok(())
}

/// Options of a bridge that concern this network only.
const BRIDGE_OPTIONS: [&str; 5] = [
    "com.docker.network.bridge.enable_icc",
    "com.docker.network.bridge.enable_ip_masquerade",
    "com.docker.network.container_iface_prefix",
    "com.docker.network.driver.mtu",
    "com.docker.network.enable_ipv6",
];

/// The body of a network's create.
pub(in super::super) fn network_create(settings: &mut Settings, body: &Value) {
    settings.labels_of(body);
    let driver = body.text("Driver");
    settings.text("networkDriver", if driver.is_empty() { "bridge" } else { driver });
    settings.risk_if(!matches!(driver, "" | "bridge"), Risk::NetworkDriver);
    let harmless =
        body.members("Options").iter().all(|(key, _)| BRIDGE_OPTIONS.contains(&key.as_str()));
    settings.risk_if(!harmless, Risk::NetworkOptions);
    let special = body.flag("Ingress")
        || body.flag("ConfigOnly")
        || !matches!(body.text("Scope"), "" | "local")
        || body.get("ConfigFrom").is_some_and(|from| !from.text("Network").is_empty());
    settings.risk_if(special, Risk::NetworkOptions);
    if let Some(from) = body.get("ConfigFrom").map(|from| from.text("Network"))
        && !from.is_empty()
    {
        settings.networks.insert(from.to_owned());
    }
    if let Some(ipam) = body.get("IPAM") {
        let foreign =
            !matches!(ipam.text("Driver"), "" | "default") || has_members(ipam, "Options");
        settings.risk_if(foreign, Risk::NetworkDriver);
        let fixed = ipam.list("Config").iter().any(|config| !config.as_members().is_empty());
        settings.risk_if(has_items(ipam, "Config") && fixed, Risk::NetworkSubnet);
    }
}

/// The body of a network's connect. The network is in the path.
pub(in super::super) fn network_connect(settings: &mut Settings, body: &mut Value) {
    settings.containers.extend(Some(body.text("Container").to_owned()).filter(|c| !c.is_empty()));
    if let Some(endpoint) = body.get_mut("EndpointConfig") {
        self::endpoint(settings, endpoint);
    }
}
