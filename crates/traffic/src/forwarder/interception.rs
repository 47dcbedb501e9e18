//! The authority by which we speak for hosts that the owner has named: one of our own, made at the start.
//!
//! It is limited to those hosts by name constraints (RFC 5280 §4.2.1.10), to servers, and to leaves; its key is in our
//! memory and nowhere else, so whoever trusts it trusts this process for these names. A constraint on a name covers what
//! is below that name too. Where no addresses, or no names, are among the hosts, all of that kind are excluded: a
//! constraint says nothing of kinds that it does not mention.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand;
use data_encoding::HEXLOWER;
use parking_lot::Mutex;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CidrSubnet, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, KeyPair, KeyUsagePurpose, NameConstraints,
};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sealock_core::Timestamp;
use sealock_net::tls::{
    ClientAuth, LiveCertificate, LiveServer, TlsError, server_config, with_http2,
};
use time::OffsetDateTime;

use super::destination::Destination;

/// Of a leaf. Another one is made at two thirds of it.
const LEAF: Duration = Duration::from_secs(24 * 3600);
/// Of the authority. Apps read its certificate when they start, so it is there for longer than most of them run.
const AUTHORITY: Duration = Duration::from_secs(365 * 24 * 3600);
/// Clocks differ.
const BEFORE: Duration = Duration::from_secs(300);

/// A host that we speak for.
pub(super) struct Intercepted {
    /// Whom it means.
    pub(super) service: String,
    pub(super) tls: Arc<LiveServer>,
    leaf: Arc<LiveCertificate>,
    host: Destination,
}

/// All of them, and what they are signed by.
pub(super) struct Interception {
    /// As in the directory.
    list: Vec<(Destination, String)>,
    pub(super) hosts: HashMap<Destination, Arc<Intercepted>>,
    state: Mutex<State>,
}

struct State {
    authority: CertifiedIssuer<'static, KeyPair>,
    authority_until: Renewal,
    leaves_until: Renewal,
}

/// When something is made anew: later, or if the clock was set to before it was made.
#[derive(Clone, Copy)]
struct Renewal {
    from: Timestamp,
    until: Timestamp,
}

impl Renewal {
    fn of(life: Duration, now: Timestamp) -> Self {
        Self { from: now, until: now.plus(life * 2 / 3) }
    }

    fn is_due(self, now: Timestamp) -> bool {
        now >= self.until || now < self.from
    }
}

impl Interception {
    pub(super) fn new(list: Vec<(Destination, String)>, now: Timestamp) -> Result<Self, TlsError> {
        let authority = authority(&list, now)?;
        let mut hosts = HashMap::new();
        for (host, service) in &list {
            let (chain, key) = leaf(host, &authority, now)?;
            let leaf = LiveCertificate::new(chain, key)?;
            let only = Only { host: sni(host), leaf: Arc::clone(&leaf) };
            let tls =
                LiveServer::new(with_http2(server_config(Arc::new(only), &ClientAuth::None)?));
            let (host, service) = (host.clone(), service.clone());
            let here = Intercepted { service, tls, leaf, host: host.clone() };
            hosts.insert(host, Arc::new(here));
        }
        let authority_until = Renewal::of(AUTHORITY, now);
        let leaves_until = Renewal::of(LEAF, now);
        let state = Mutex::new(State { authority, authority_until, leaves_until });
        Ok(Self { list, hosts, state })
    }

    /// Whether it was made for these.
    pub(super) fn is_for(&self, list: &[(Destination, String)]) -> bool {
        self.list == list
    }

    /// The authority's certificate, PEM.
    pub(super) fn certificate(&self) -> String {
        self.state.lock().authority.pem()
    }

    /// Makes anew what is due.
    pub(super) fn renew(&self, now: Timestamp) -> Result<(), TlsError> {
        let mut state = self.state.lock();
        let authority_is_due = state.authority_until.is_due(now);
        if authority_is_due {
            state.authority = authority(&self.list, now)?;
            state.authority_until = Renewal::of(AUTHORITY, now);
        }
        if authority_is_due || state.leaves_until.is_due(now) {
            for here in self.hosts.values() {
                let (chain, key) = leaf(&here.host, &state.authority, now)?;
                here.leaf.replace(chain, key)?;
            }
            state.leaves_until = Renewal::of(LEAF, now);
        }
        Ok(())
    }
}

impl std::fmt::Debug for Interception {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Interception").field(&self.list).finish()
    }
}

impl std::fmt::Debug for Intercepted {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Intercepted").field(&self.host).field(&self.service).finish()
    }
}

/// The leaf, for a client that asks for this host. One that asks for another than the tunnel is for gets none: it would
/// not know whom it speaks with.
#[derive(Debug)]
struct Only {
    /// None for an address: no name is sent with those (RFC 6066 §3).
    host: Option<String>,
    leaf: Arc<LiveCertificate>,
}

impl ResolvesServerCert for Only {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if hello.server_name() == self.host.as_deref() {
            return self.leaf.resolve(hello);
        }
        tracing::warn!(tunnel = ?self.host, asked = ?hello.server_name(), "TLS asks for another host than the tunnel is for");
        None
    }
}

fn sni(host: &Destination) -> Option<String> {
    host.address().is_none().then(|| host.host().to_owned())
}

/// Limited to these hosts.
fn authority(
    list: &[(Destination, String)],
    now: Timestamp,
) -> Result<CertifiedIssuer<'static, KeyPair>, TlsError> {
    let mut params = CertificateParams::default();
    validity(&mut params, AUTHORITY, now)?;
    let mut chance = [0; 4];
    // Two of the same name and with another key would be taken for one another by who has both.
    rand::fill(&mut chance).map_err(unusable)?;
    let name = format!("Sealock Forwarder {}", HEXLOWER.encode(&chance));
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let permitted = list.iter().map(|(host, _)| match host.address() {
        Some(address) => GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(
            address,
            if address.is_ipv4() { 32 } else { 128 },
        )),
        None => GeneralSubtree::DnsName(host.host().to_owned()),
    });
    let mut excluded = Vec::new();
    let addresses: Vec<IpAddr> = list.iter().filter_map(|(host, _)| host.address()).collect();
    if addresses.len() == list.len() {
        excluded.push(GeneralSubtree::DnsName(String::new()));
    }
    for all in [IpAddr::from([0_u8; 4]), IpAddr::from([0_u16; 8])] {
        if !addresses.iter().any(|address| address.is_ipv4() == all.is_ipv4()) {
            excluded.push(GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(all, 0)));
        }
    }
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: permitted.collect(),
        excluded_subtrees: excluded,
    });
    let key = KeyPair::generate().map_err(unusable)?;
    CertifiedIssuer::self_signed(params, key).map_err(unusable)
}

type Leaf = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// With a key of its own.
fn leaf(
    host: &Destination,
    authority: &CertifiedIssuer<'static, KeyPair>,
    now: Timestamp,
) -> Result<Leaf, TlsError> {
    let name = match host.address() {
        Some(address) => address.to_string(),
        None => host.host().to_owned(),
    };
    let mut params = CertificateParams::new([name]).map_err(unusable)?;
    // A name as long as this may be does not fit into a common name; nobody reads it there.
    params.distinguished_name = rcgen::DistinguishedName::new();
    validity(&mut params, LEAF, now)?;
    params.use_authority_key_identifier_extension = true;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate().map_err(unusable)?;
    let leaf = params.signed_by(&key, authority).map_err(unusable)?.der().clone();
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(unusable)?;
    Ok((vec![leaf], key))
}

fn validity(
    params: &mut CertificateParams,
    life: Duration,
    now: Timestamp,
) -> Result<(), TlsError> {
    let now = OffsetDateTime::from_unix_timestamp(now.as_secs()).map_err(unusable)?;
    params.not_before = now - BEFORE;
    params.not_after = now + life;
    Ok(())
}

fn unusable(error: impl std::fmt::Display) -> TlsError {
    TlsError::Certificate(rustls::Error::General(error.to_string()))
}

#[cfg(test)]
mod tests {
    use sealock_core::{Clock, SystemClock};
    use sealock_net::tls::{LiveClient, client_config};
    use tokio::io::duplex;

    use super::*;

    fn list(hosts: &[&str]) -> Vec<(Destination, String)> {
        hosts.iter().map(|host| (host.parse().unwrap(), "orders".to_owned())).collect()
    }

    /// Whether a client that trusts the authority, and nothing else, takes it for `asked` in a tunnel for `host`.
    async fn shakes(here: &Interception, host: &str, asked: &str) -> bool {
        let root = here.state.lock().authority.der().clone();
        let client = LiveClient::new(client_config(&[root], None).unwrap());
        let (near, far) = duplex(1 << 16);
        let tls = Arc::clone(&here.hosts.get(&host.parse().unwrap()).unwrap().tls);
        let (served, connected) =
            tokio::join!(tls.accept(far, Duration::from_secs(5)), client.connect(asked, near));
        served.is_ok() && connected.is_ok()
    }

    #[tokio::test]
    async fn each_tunnel_is_for_one_host_and_tls_must_ask_for_that() {
        let all = list(&["orders.internal:443", "billing.internal:443", "10.0.0.1:443"]);
        let here = Interception::new(all, SystemClock.now()).unwrap();
        assert!(shakes(&here, "orders.internal:443", "orders.internal:443").await);
        assert!(shakes(&here, "orders.internal:443", "ORDERS.internal:443").await);
        assert!(shakes(&here, "10.0.0.1:443", "10.0.0.1:443").await);
        for (host, asked) in [
            ("orders.internal:443", "billing.internal:443"),
            ("orders.internal:443", "a.orders.internal:443"),
            ("orders.internal:443", "10.0.0.1:443"),
            ("10.0.0.1:443", "orders.internal:443"),
            ("10.0.0.1:443", "10.0.0.2:443"),
        ] {
            assert!(!shakes(&here, host, asked).await, "{host} {asked}");
        }
    }

    /// A leaf for another host, signed by the authority all the same, as by who has stolen its key.
    async fn is_taken(hosts: &[&str], stolen: &str) -> bool {
        let now = SystemClock.now();
        let here = Interception::new(list(hosts), now).unwrap();
        let host: Destination = stolen.parse().unwrap();
        let (chain, key) = leaf(&host, &here.state.lock().authority, now).unwrap();
        let root = here.state.lock().authority.der().clone();
        let certificate = LiveCertificate::new(chain, key).unwrap();
        let server = LiveServer::new(server_config(certificate, &ClientAuth::None).unwrap());
        let client = LiveClient::new(client_config(&[root], None).unwrap());
        let (near, far) = duplex(1 << 16);
        let (_, connected) =
            tokio::join!(server.accept(far, Duration::from_secs(5)), client.connect(stolen, near));
        connected.is_ok()
    }

    #[tokio::test]
    async fn the_authority_is_good_for_the_hosts_that_were_named_and_for_no_other() {
        let (names, addresses) = (&["orders.internal:443"][..], &["10.0.0.1:443"][..]);
        assert!(is_taken(names, "orders.internal:443").await);
        assert!(is_taken(addresses, "10.0.0.1:443").await);
        for stolen in [
            "billing.internal:443",
            "internal:443",
            "xorders.internal:443",
            "10.0.0.1:443",
            "[fd00::1]:443",
        ] {
            assert!(!is_taken(names, stolen).await, "{stolen}");
        }
        for stolen in ["10.0.0.2:443", "orders.internal:443", "[fd00::1]:443"] {
            assert!(!is_taken(addresses, stolen).await, "{stolen}");
        }
    }

    #[tokio::test]
    async fn leaves_are_short_lived_and_made_anew_in_time() {
        let now = SystemClock.now();
        let host = "orders.internal:443";
        let here = Interception::new(list(&[host]), now).unwrap();
        let (first, authority) = (shown(&here), here.certificate());
        here.renew(now.plus(LEAF / 2)).unwrap();
        assert_eq!(shown(&here), first);
        here.renew(now.plus(LEAF * 2 / 3)).unwrap();
        let second = shown(&here);
        assert_ne!(second, first);
        assert_eq!(here.certificate(), authority, "apps have read it");
        here.renew(now.plus(AUTHORITY * 2 / 3)).unwrap();
        assert_ne!((shown(&here), here.certificate()), (second, authority));
        // The clock was set back: what is from the future would not be taken.
        here.renew(now).unwrap();
        assert!(shakes(&here, host, host).await);
    }

    fn shown(here: &Interception) -> Vec<u8> {
        here.hosts.values().next().unwrap().leaf.certificate().first().unwrap().to_vec()
    }
}
