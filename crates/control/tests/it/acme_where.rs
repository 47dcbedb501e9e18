//! Where a running daemon asks for challenges, by its settings; and whose names are nobody's.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sealock_control::config::{Listen, Settings};
use sealock_core::Network;
use sealock_testkit::clients::{skip, skip_without, skip_without_root};
use sealock_testkit::names::Names;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::{TlsAcceptor, rustls};

use crate::acme::World;
use crate::acme_client::{Key, csr, found, order, web};
use crate::api::end;

const RULE: &str = "permit (principal in Sealock::Group::\"acme\", action == Sealock::Action::\"Cert::Issue\", resource in Sealock::Domain::\"acme.test\");\n";

fn networks(text: &str) -> Vec<Network> {
    vec![text.parse().unwrap()]
}

/// What comes of a challenge of `host.acme.test`, which is at 127.0.0.1, by a daemon with these settings.
async fn challenged(names: &Names, key: &Key, change: impl FnOnce(&mut Settings)) -> Value {
    let resolver = names.address;
    let world = World::with(move |settings| {
        settings.acme.resolvers = vec![resolver];
        settings.acme.allow = networks("127.0.0.0/8");
        change(settings);
    })
    .await;
    world.ruled(RULE).await;
    let kid = world.account(key).await;
    let name = order(&["host.acme.test"]);
    let made = world.signed(key, Some(&kid), &world.at("new-order"), &name).await;
    let ended = world.answered(key, &kid, &made, "http-01").await.document();
    end(world.daemon).await;
    let all = ended["challenges"].as_array().unwrap().clone();
    let challenge = all.into_iter().find(|it| it["type"] == "http-01").unwrap();
    json!([ended["status"], challenge["error"]["type"]])
}

const REFUSED: &str = "urn:ietf:params:acme:error:rejectedIdentifier";

#[tokio::test]
async fn a_daemon_asks_in_the_networks_of_its_settings_only() {
    let scratch = tempfile::tempdir().unwrap();
    let names = Names::start(scratch.path().join("names"));
    let key = Key::new();
    let (hits, thumbprint) = (Arc::new(AtomicUsize::new(0)), key.thumbprint());
    let counted = Arc::clone(&hits);
    let http = web(move |_, token| {
        counted.fetch_add(1, Ordering::SeqCst);
        Some(found(&format!("{token}.{thumbprint}")))
    })
    .await;
    let within = |network: &'static str| {
        let (names, key) = (&names, &key);
        async move {
            challenged(names, key, move |settings| {
                settings.acme.http_port = http;
                settings.acme.networks = Some(networks(network));
            })
            .await
        }
    };
    assert_eq!(within("192.0.2.0/24").await, json!(["invalid", REFUSED]));
    assert_eq!(hits.load(Ordering::SeqCst), 0, "nobody was asked");
    assert_eq!(within("127.0.0.0/8").await, json!(["valid", null]));
    assert_eq!(hits.load(Ordering::SeqCst), 1);
}

/// A port that nobody has now.
fn free() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn a_daemon_asks_at_none_of_its_own_doors() {
    let scratch = tempfile::tempdir().unwrap();
    let names = Names::start(scratch.path().join("names"));
    for door in ["api", "gateway", "acme", "revocation"] {
        let at = free();
        let told = challenged(&names, &Key::new(), move |settings| {
            settings.acme.http_port = at.port();
            let listen = match door {
                "api" => &mut settings.api.listen,
                "gateway" => &mut settings.gateway.listen,
                "acme" => &mut settings.acme.listen,
                _ => &mut settings.revocation.listen,
            };
            *listen = Listen::At(at);
        })
        .await;
        assert_eq!(told, json!(["invalid", REFUSED]), "{door}");
    }
}

/// Names of the doors, and of this host: whoever may have everything may not have those.
#[tokio::test]
async fn names_of_the_doors_are_ordered_by_whom_a_rule_gives_them_only() {
    let world = World::opened(|opening| {
        opening.hostname = "h1.corp.example".to_owned();
        let settings = &mut opening.config.settings;
        settings.api.names = vec!["api.corp.example".to_owned()];
        settings.gateway.names = vec!["docker.corp.example".to_owned()];
    })
    .await;
    let everything = "permit (principal, action in [Sealock::Action::\"Cert::Issue\", Sealock::Action::\"Cert::Unproved\"], resource);\n";
    world.ruled(everything).await;
    let (key, stranger) = (Key::new(), Key::new());
    let accounts = [(&key, world.bound(&key).await), (&stranger, world.account(&stranger).await)];
    let url = world.at("new-order");
    let reserved = [
        "h1.corp.example",
        "api.corp.example",
        "docker.corp.example",
        "*.corp.example",
        "localhost",
    ];
    for (key, kid) in &accounts {
        for name in reserved {
            let refused = world.signed(key, Some(kid), &url, &order(&[name])).await;
            let told = (refused.status, refused.problem());
            assert_eq!(told, (400, "rejectedIdentifier".to_owned()), "{name}");
            let both = world.signed(key, Some(kid), &url, &order(&["a.corp.example", name])).await;
            assert_eq!(both.problem(), "rejectedIdentifier", "{name} among others");
        }
        let made = world.signed(key, Some(kid), &url, &order(&["a.corp.example"])).await;
        assert_eq!(made.text("status"), "ready", "{}", made.document());
    }
    let name = "docker.corp.example";
    let by_rule = format!(
        "{everything}permit (principal == Sealock::Service::\"web\", action == Sealock::Action::\"Cert::Reserved\", resource == Sealock::DnsName::\"{name}\");\n"
    );
    world.ruled(&by_rule).await;
    let [(key, kid), (stranger, other)] = &accounts;
    let made = world.signed(key, Some(kid), &url, &order(&[name])).await;
    assert_eq!(made.text("status"), "ready", "{}", made.document());
    let refused = world.signed(stranger, Some(other), &url, &order(&[name])).await;
    assert_eq!(refused.problem(), "rejectedIdentifier");
    // It is decided again for the certificate.
    world.ruled(everything).await;
    let late = world.signed(key, Some(kid), &made.text("finalize"), &csr(&[name])).await;
    assert_eq!(late.problem(), "rejectedIdentifier", "{}", late.document());
    world.ruled(&by_rule).await;
    let done = world.signed(key, Some(kid), &made.text("finalize"), &csr(&[name])).await;
    assert_eq!(done.status, 200, "{}", done.document());
    end(world.daemon).await;
}

/// The address by which this host goes out, if it does.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

/// The name of an address in the DNS (RFC 8738 §6).
fn reverse(address: IpAddr) -> String {
    let parts: Vec<String> = match address {
        IpAddr::V4(it) => it.octets().iter().rev().map(u8::to_string).collect(),
        IpAddr::V6(it) => {
            let nibbles = it.octets().into_iter().rev().flat_map(|it| [it & 15, it >> 4]);
            nibbles.map(|it| format!("{it:x}")).collect()
        }
    };
    let zone = if address.is_ipv4() { "in-addr.arpa" } else { "ip6.arpa" };
    format!("{}.{zone}", parts.join("."))
}

/// Shows the certificate of tls-alpn-01 for an address, once it is known what has to be in it.
async fn shows(listener: TcpListener, address: IpAddr, wanted: Arc<parking_lot::Mutex<String>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let digest =
            aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, wanted.lock().as_bytes());
        let mut params = CertificateParams::new(vec![address.to_string()]).unwrap();
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest.as_ref())];
        let pair = KeyPair::generate().unwrap();
        let chain = vec![CertificateDer::from(params.self_signed(&pair).unwrap().der().to_vec())];
        let key = PrivateKeyDer::try_from(pair.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        // Not by way of rustls's check of the pair, which knows no certificate with this critical extension.
        let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap();
        let pair =
            rustls::sign::SingleCertAndKey::from(rustls::sign::CertifiedKey::new(chain, key));
        let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::new(pair));
        config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
        if let Ok(mut stream) = TlsAcceptor::from(Arc::new(config)).accept(stream).await {
            assert_eq!(stream.get_ref().1.server_name(), Some(&*reverse(address)));
            let _ = stream.shutdown().await;
        }
    }
}

/// Answers http-01 with whatever is wanted, where it is asked by this `Host`.
async fn answers(listener: TcpListener, host: String, wanted: Arc<parking_lot::Mutex<String>>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut head = vec![0; 4096];
        let length = stream.read(&mut head).await.unwrap_or_default();
        let head = String::from_utf8_lossy(&head[..length]).to_ascii_lowercase();
        if !head.contains(&format!("\r\nhost: {host}\r\n")) {
            continue;
        }
        let answer = found(&wanted.lock());
        let _ = stream.write_all(answer.as_bytes()).await;
    }
}

/// RFC 8738: an address is proved where it is, and not by the DNS.
#[tokio::test]
async fn an_address_is_proved_by_http_and_by_tls() {
    match own_address() {
        Some(address) => proved(address, 32).await,
        None => _ = skip("this host has no address but loopback"),
    }
}

/// The address of the namespace that the test makes: one of those that nobody has (RFC 4193).
const OWN_V6: &str = "fd5e:a10c::1";

/// The same for IPv6: `Host` is in brackets, and the name of the handshake is its reverse. In a network namespace with an
/// address to be proved, for nobody gets a certificate for loopback.
#[test]
fn an_ipv6_address_is_proved_by_http_and_by_tls() {
    if skip_without(&["unshare", "ip"]) || skip_without_root() {
        return;
    }
    let script = format!(
        "ip link set lo up && ip address add {OWN_V6}/128 dev lo && \
         exec \"$0\" --exact acme_where::within_a_namespace_with_ipv6 --ignored --nocapture"
    );
    let output = std::process::Command::new("unshare")
        .args(["--net", "sh", "-c", &script])
        .arg(std::env::current_exe().unwrap())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("1 passed"), "{said}");
}

#[tokio::test]
#[ignore = "it is the child of an_ipv6_address_is_proved_by_http_and_by_tls"]
async fn within_a_namespace_with_ipv6() {
    proved(OWN_V6.parse().unwrap(), 128).await;
}

async fn proved(address: IpAddr, bits: u8) {
    let wanted = Arc::new(parking_lot::Mutex::new(String::new()));
    let http = TcpListener::bind((address, 0)).await.unwrap();
    let tls = TcpListener::bind((address, 0)).await.unwrap();
    let ports = (http.local_addr().unwrap().port(), tls.local_addr().unwrap().port());
    tokio::spawn(answers(http, SocketAddr::new(address, ports.0).to_string(), Arc::clone(&wanted)));
    tokio::spawn(shows(tls, address, Arc::clone(&wanted)));
    let world = World::with(move |settings| {
        (settings.acme.http_port, settings.acme.tls_port) = ports;
        // No DNS: it is not asked about an address.
        settings.acme.resolvers = vec![free()];
        settings.acme.caa = vec!["ca.example".parse().unwrap()];
    })
    .await;
    let rule = RULE.replace("Domain::\"acme.test\"", &format!("Network::\"{address}/{bits}\""));
    world.ruled(&rule).await;
    for kind in ["http-01", "tls-alpn-01"] {
        // Another account each time: what one has proved counts.
        let key = Key::new();
        let kid = world.account(&key).await;
        let text = address.to_string();
        let payload = json!({"identifiers": [{"type": "ip", "value": text}]}).to_string();
        let made = world.signed(&key, Some(&kid), &world.at("new-order"), &payload).await;
        assert_eq!(made.text("status"), "pending", "{}", made.document());
        let url = made.document()["authorizations"][0].as_str().unwrap().to_owned();
        let document = world.signed(&key, Some(&kid), &url, "").await.document();
        let challenges = document["challenges"].as_array().unwrap();
        assert!(challenges.iter().all(|it| it["type"] != "dns-01"), "{document}");
        let challenge = challenges.iter().find(|it| it["type"] == kind).unwrap();
        let token = challenge["token"].as_str().unwrap();
        *wanted.lock() = format!("{token}.{}", key.thumbprint());
        let ended = world.answered(&key, &kid, &made, kind).await;
        assert_eq!(ended.text("status"), "valid", "{kind}: {}", ended.document());
        let done = world.signed(&key, Some(&kid), &made.text("finalize"), &csr(&[&text])).await;
        assert_eq!(done.status, 200, "{}", done.document());
    }
    end(world.daemon).await;
}
