//! What labels ask for on the way of calls: `sealock.guard.<setting>`, a Gatekeeper before the container's app and a
//! Forwarder behind it.
//!
//! | setting | value | default |
//! |---|---|---|
//! | `service` | the service that the container is | it must be there |
//! | `listen` | `ADDRESS:PORT` at which its Gatekeeper takes calls | no Gatekeeper |
//! | `upstream` | `http://` or `h2c://ADDRESS:PORT` of the app, on the container's loopback | it must be there with `listen` |
//! | `plain` | `true`: the Gatekeeper speaks HTTP without TLS | `false` |
//! | `proxy` | `ADDRESS:PORT` on loopback where the Forwarder is an HTTP proxy, or `off` | `127.0.0.1:3128` |
//! | `forward` | local ports of the Forwarder, `ADDRESS:PORT=SERVICE`, by commas | none |
//! | `call` | services elsewhere, `SERVICE=HOST:PORT`, by commas | those of this host |
//!
//! As strict as its neighbours: any bad label refuses the whole, because half a guard is none. Everything asked for is
//! a request: which container may be guarded as which service is decided by policy.

mod error;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use sealock_core::{Identity, IdentityKind, TrustDomain};

use super::{MAXIMUM_KEY, MAXIMUM_VALUE, suggest};
pub use error::{GuardError, GuardFault};

/// What the labels begin with.
pub const PREFIX: &str = "sealock.guard.";
/// The settings, as they stand in a label.
const SETTINGS: [&str; 7] = ["service", "listen", "upstream", "plain", "proxy", "forward", "call"];
/// Where the Forwarder is a proxy unless a label says otherwise.
const PROXY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 3128);
/// The most members of a list.
const MEMBERS: usize = 64;

/// A container that asks to be guarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardRequest {
    /// The service that it says it is.
    pub service: String,
    /// The Gatekeeper before its app.
    pub gatekeeper: Option<GatekeeperRequest>,
    /// The Forwarder behind it.
    pub forwarder: Option<ForwarderRequest>,
}

/// A Gatekeeper as labels ask for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatekeeperRequest {
    /// Where calls arrive.
    pub listen: SocketAddr,
    /// Where the app is, on loopback.
    pub upstream: SocketAddr,
    /// Whether it speaks HTTP/2 without TLS, as servers of gRPC do.
    pub http2: bool,
    /// Whether it speaks HTTP without TLS.
    pub plain: bool,
}

/// A Forwarder as labels ask for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwarderRequest {
    /// Where it is an HTTP proxy.
    pub proxy: Option<SocketAddr>,
    /// Local ports, each for a service.
    pub forward: Vec<(SocketAddr, String)>,
    /// Services that are not found on this host, with their `HOST:PORT`.
    pub call: Vec<(String, String)>,
}

/// Reads the labels of a container. Labels of others are passed over; `None` when there are no others. The order does not
/// matter.
///
/// # Errors
/// Every label that cannot be read, in the order of their names.
pub fn parse<'a>(
    labels: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<Option<GuardRequest>, Vec<GuardFault>> {
    let ours: BTreeMap<&str, &str> = labels.into_iter().filter(|(key, _)| is_meant(key)).collect();
    if ours.is_empty() {
        return Ok(None);
    }
    let (mut draft, mut faults) = (Draft::default(), Vec::new());
    for (key, text) in ours {
        if let Err(reason) = draft.take(key, text) {
            faults.push(GuardFault::new(key, reason));
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    draft.finish().map(Some).map_err(|fault| vec![fault])
}

/// Whether a label asks for a guard, misspelt prefixes included: they would otherwise be passed over in silence.
fn is_meant(key: &str) -> bool {
    let Some(rest) = key.strip_prefix("sealock.") else { return false };
    let second = rest.split('.').next().unwrap_or_default();
    second == "guard" || (second.len() <= 16 && suggest::distance(second, "guard") <= 2)
}

#[derive(Default)]
struct Draft {
    service: Option<String>,
    listen: Option<SocketAddr>,
    upstream: Option<(SocketAddr, bool)>,
    plain: Option<bool>,
    proxy: Option<Option<SocketAddr>>,
    forward: Option<Vec<(SocketAddr, String)>>,
    call: Option<Vec<(String, String)>>,
}

impl Draft {
    fn take(&mut self, key: &str, text: &str) -> Result<(), GuardError> {
        if key.len() > MAXIMUM_KEY {
            return Err(GuardError::TooLong { limit: MAXIMUM_KEY });
        }
        if text.len() > MAXIMUM_VALUE {
            return Err(GuardError::TooLong { limit: MAXIMUM_VALUE });
        }
        let setting = key.strip_prefix(PREFIX).ok_or(GuardError::Prefix)?;
        match setting {
            "service" => self.service = Some(service(text)?),
            "listen" => self.listen = Some(address(text)?),
            "upstream" => self.upstream = Some(upstream(text)?),
            "plain" => self.plain = Some(truth(text)?),
            "proxy" if text == "off" => self.proxy = Some(None),
            "proxy" => self.proxy = Some(Some(local(text)?)),
            "forward" => self.forward = Some(members(text, forward)?),
            "call" => self.call = Some(members(text, call)?),
            other => return Err(error::unknown_setting(other)),
        }
        Ok(())
    }

    fn finish(self) -> Result<GuardRequest, GuardFault> {
        let fault = |setting: &str, reason| GuardFault::new(&format!("{PREFIX}{setting}"), reason);
        let service = self.service.ok_or_else(|| fault("service", GuardError::NoService))?;
        let gatekeeper = match (self.listen, self.upstream) {
            (None, None) if self.plain.is_some() => {
                return Err(fault("plain", GuardError::Without { missing: "listen" }));
            }
            (None, None) => None,
            (Some(_), None) => {
                return Err(fault("listen", GuardError::Without { missing: "upstream" }));
            }
            (None, Some(_)) => {
                return Err(fault("upstream", GuardError::Without { missing: "listen" }));
            }
            (Some(listen), Some((upstream, http2))) => {
                let plain = self.plain.unwrap_or(false);
                Some(GatekeeperRequest { listen, upstream, http2, plain })
            }
        };
        let proxy = self.proxy.unwrap_or(Some(PROXY));
        let (forward, call) = (self.forward.unwrap_or_default(), self.call.unwrap_or_default());
        let names: Vec<&str> = call.iter().map(|(name, _)| name.as_str()).collect();
        if names.contains(&service.as_str()) {
            return Err(fault("call", GuardError::Itself));
        }
        let wanted = proxy.is_some() || !forward.is_empty();
        if !wanted && !call.is_empty() {
            return Err(fault("call", GuardError::Nowhere));
        }
        let forwarder = wanted.then_some(ForwarderRequest { proxy, forward, call });
        let request = GuardRequest { service, gatekeeper, forwarder };
        match request.port_twice() {
            Some((setting, port)) => Err(fault(setting, GuardError::Twice { port })),
            None => Ok(request),
        }
    }
}

impl GuardRequest {
    /// A port that two would have, with the setting of the second. Addresses are not told apart: that a listener on all
    /// addresses takes each of them is easily forgotten.
    fn port_twice(&self) -> Option<(&'static str, u16)> {
        let mut taken: Vec<u16> = Vec::new();
        if let Some(gatekeeper) = &self.gatekeeper {
            taken.push(gatekeeper.upstream.port());
            if taken.contains(&gatekeeper.listen.port()) {
                return Some(("listen", gatekeeper.listen.port()));
            }
            taken.push(gatekeeper.listen.port());
        }
        let forwarder = self.forwarder.as_ref()?;
        let proxy = forwarder.proxy.iter().map(|at| ("proxy", at.port()));
        for (setting, port) in
            proxy.chain(forwarder.forward.iter().map(|(at, _)| ("forward", at.port())))
        {
            if taken.contains(&port) {
                return Some((setting, port));
            }
            taken.push(port);
        }
        None
    }
}

/// A service's name, which must do as an identity's and as a host's in a URL.
fn service(text: &str) -> Result<String, GuardError> {
    let domain = TrustDomain::for_host("label");
    let in_url = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
    let good = text.chars().all(in_url)
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && !text.ends_with('.')
        && !text.chars().all(|c| c.is_ascii_digit() || c == '.')
        && Identity::new(&domain, IdentityKind::Service, text).is_ok();
    if good { Ok(text.to_owned()) } else { Err(GuardError::service(text)) }
}

fn address(text: &str) -> Result<SocketAddr, GuardError> {
    let read = text.parse::<SocketAddr>().ok().filter(|address| address.port() != 0);
    read.ok_or_else(|| GuardError::address(text))
}

/// An address on loopback. Whoever may connect to a Forwarder calls as its service.
fn local(text: &str) -> Result<SocketAddr, GuardError> {
    let found = address(text)?;
    let is_local = found.ip().to_canonical().is_loopback();
    if is_local { Ok(found) } else { Err(GuardError::not_local(text)) }
}

/// Elsewhere than on loopback the Gatekeeper would be a way to others, and the app open to whoever goes past it. Whether
/// it speaks HTTP/2 is the second.
fn upstream(text: &str) -> Result<(SocketAddr, bool), GuardError> {
    let (rest, http2) = match (text.strip_prefix("http://"), text.strip_prefix("h2c://")) {
        (Some(rest), _) => (rest, false),
        (None, Some(rest)) => (rest, true),
        (None, None) => return Err(GuardError::upstream(text)),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let named = rest.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    let address =
        local(named.as_deref().unwrap_or(rest)).map_err(|_| GuardError::upstream(text))?;
    Ok((address, http2))
}

fn truth(text: &str) -> Result<bool, GuardError> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(GuardError::truth(text)),
    }
}

fn members<T: PartialEq>(
    text: &str,
    read: impl Fn(&str) -> Result<T, GuardError>,
) -> Result<Vec<T>, GuardError> {
    let mut all = Vec::new();
    for part in text.split(',') {
        let member = read(part.trim())?;
        if all.contains(&member) {
            return Err(GuardError::repeated(part));
        }
        all.push(member);
        if all.len() > MEMBERS {
            return Err(GuardError::TooMany { limit: MEMBERS });
        }
    }
    Ok(all)
}

fn forward(text: &str) -> Result<(SocketAddr, String), GuardError> {
    let (at, name) = text.split_once('=').ok_or_else(|| GuardError::forward(text))?;
    Ok((local(at)?, service(name)?))
}

fn call(text: &str) -> Result<(String, String), GuardError> {
    let refused = || GuardError::call(text);
    let (name, at) = text.split_once('=').ok_or_else(refused)?;
    let (host, port) = at.rsplit_once(':').ok_or_else(refused)?;
    let in_host = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let named = !host.is_empty() && host.len() <= 253 && host.chars().all(in_host);
    let six = || host.starts_with('[') && at.parse::<SocketAddr>().is_ok();
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse::<u16>().ok().filter(|port| *port != 0 && digits);
    if port.is_some() && (named || six()) {
        Ok((service(name)?, at.to_owned()))
    } else {
        Err(refused())
    }
}

/// What must hold of every result, for fuzzing.
pub(super) fn fuzz(pairs: &[(&str, &str)]) {
    let parsed = parse(pairs.iter().copied());
    if let Ok(Some(request)) = &parsed {
        if let Some(gatekeeper) = &request.gatekeeper {
            assert!(gatekeeper.upstream.ip().to_canonical().is_loopback(), "an app elsewhere");
            assert!(gatekeeper.listen.port() != gatekeeper.upstream.port(), "a loop");
        }
        if let Some(forwarder) = &request.forwarder {
            let ports = forwarder.forward.iter().map(|(at, _)| at);
            let all = forwarder.proxy.iter().chain(ports);
            let mut seen = std::collections::BTreeSet::new();
            for at in all {
                assert!(at.ip().to_canonical().is_loopback(), "open to others");
                assert!(seen.insert(at.port()), "one port twice");
            }
        }
    }
    let unique = pairs.iter().map(|(key, _)| key).collect::<std::collections::BTreeSet<_>>();
    let again = parse(pairs.iter().rev().copied());
    assert!(unique.len() != pairs.len() || again == parsed, "the order of labels mattered");
}
