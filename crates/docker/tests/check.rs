//! What `check` says of real daemons in each of their modes, held against what Docker's own client finds.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

#[path = "check/dockerd.rs"]
mod dockerd;
#[path = "../src/daemon/scratch.rs"]
mod scratch;

use std::path::{Path, PathBuf};
use std::time::Duration;

use dockerd::{Dockerd, client, folder, free_port, in_own_namespaces};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use scratch::{Authority, DAY, For, Leaf};
use sealock_core::{Clock, SystemClock};
use sealock_docker::check::{
    ClientIdentity, ClientMode, Endpoint, Mode, Outcome, Probe, Probes, Report, check,
};
use sealock_docker::daemon::files::{ClientFiles, ServerFiles};
use tempfile::TempDir;

/// A daemon at a port, its authority, and the files of a client.
struct Setup {
    daemon: Dockerd,
    port: u16,
    authority: Authority,
    client: TempDir,
}

/// Starts a daemon with these flags; `TLS` stands for the folder of its certificates.
fn start(flags: &[&str]) -> Setup {
    let (folder, settings) = folder();
    let authority = Authority::named("the test's authority");
    let tls = folder.path().join("tls");
    let server = authority.leaf(For::Server, &["localhost", "127.0.0.1"]);
    let files =
        ServerFiles { ca_pem: authority.pem(), cert_pem: server.certificate, key_pem: server.key };
    files.write(&tls).unwrap();
    let port = free_port();
    let mut arguments = vec![
        format!("--host=unix://{}", Dockerd::socket_in(folder.path()).display()),
        format!("--host=tcp://127.0.0.1:{port}"),
    ];
    let tls = tls.display().to_string();
    arguments.extend(flags.iter().map(|flag| flag.replace("TLS", &tls)));
    let client = sealock_testkit::scratch_folder();
    let leaf = authority.leaf(For::Client, &["me.test"]);
    let files =
        ClientFiles { ca_pem: authority.pem(), cert_pem: leaf.certificate, key_pem: leaf.key };
    files.write(&client.path().join("files")).unwrap();
    Setup { daemon: Dockerd::start(folder, &settings, &arguments), port, authority, client }
}

impl Setup {
    fn probes(&self) -> Probes {
        let identity = |leaf: &Leaf| {
            Some(ClientIdentity::from_pem(leaf.certificate.as_bytes(), &leaf.key).unwrap())
        };
        let now = SystemClock.now();
        let pem = self.authority.pem();
        let ca = CertificateDer::pem_slice_iter(pem.as_bytes()).map(Result::unwrap).collect();
        let past = now.minus(DAY * 30);
        Probes {
            ca,
            valid: identity(&self.authority.leaf(For::Client, &["me.test"])),
            expired: identity(&self.authority.leaf_from(For::Client, &["me.test"], past, 10)),
            revoked: identity(&self.authority.leaf(For::Client, &["former.test"])),
            gateway_message: None,
            now,
            deadline: Duration::from_secs(30),
        }
    }

    async fn report(&self) -> Report {
        let endpoint: Endpoint = format!("tcp://127.0.0.1:{}", self.port).parse().unwrap();
        check(&endpoint, &self.probes()).await.unwrap()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.client.path().join("files").join(name)
    }

    /// Whether Docker's own client gets an answer in this mode.
    fn connects(&self, mode: ClientMode) -> bool {
        let flag = |name: &str, file: &str| format!("--{name}={}", self.file(file).display());
        let certificate = [flag("tlscert", "cert.pem"), flag("tlskey", "key.pem")];
        let mut flags = match mode {
            // Without `tlsverify` an authority is of no use to it, but it opens the file by default.
            ClientMode::Tls | ClientMode::TlsWithCertificate => {
                vec!["--tls".to_owned(), "--tlscacert=".to_owned()]
            }
            ClientMode::Tlsverify | ClientMode::TlsverifyWithCertificate => {
                vec!["--tlsverify".to_owned(), flag("tlscacert", "ca.pem")]
            }
        };
        if matches!(mode, ClientMode::TlsWithCertificate | ClientMode::TlsverifyWithCertificate) {
            flags.extend(certificate);
        }
        let config = self.client.path().join("config");
        self.version(&config, &flags)
    }

    fn version(&self, config: &Path, flags: &[String]) -> bool {
        let host = format!("tcp://127.0.0.1:{}", self.port);
        let mut command = client(config);
        command.args(flags).args(["--host", &host, "version", "--format", "{{.Server.Version}}"]);
        command.output().unwrap().status.success()
    }

    /// Whether the table of clients says what the client itself finds.
    fn holds_for_the_real_client(&self, report: &Report) {
        for facts in &report.clients {
            let connects = self.connects(facts.mode);
            assert_eq!(facts.connects, Some(connects), "{}: {report}", facts.mode);
        }
    }
}

fn accepted(report: &Report, probe: Probe) -> bool {
    report.outcome(probe).unwrap().is_accepted()
}

#[tokio::test]
async fn without_tls_anybody_is_let_in_and_the_socket_says_who_may() {
    if !in_own_namespaces("without_tls_anybody_is_let_in_and_the_socket_says_who_may") {
        return;
    }
    let setup = start(&["--tls=false"]);
    let report = setup.report().await;
    assert_eq!(report.mode, Mode::Plain, "{report}");
    assert!(report.stranger_gets_in(), "{report}");
    let Some(Outcome::Accepted { status: 200, api_version: Some(_), server: Some(server) }) =
        report.outcome(Probe::PlainHttp)
    else {
        panic!("{report}");
    };
    assert!(server.starts_with("Docker/"), "{report}");
    setup.holds_for_the_real_client(&report);
    let endpoint = format!("unix://{}", setup.daemon.socket().display()).parse().unwrap();
    let report = check(&endpoint, &setup.probes()).await.unwrap();
    assert_eq!(report.mode, Mode::Unix, "{report}");
    assert!(accepted(&report, Probe::Socket), "{report}");
    let socket = report.socket.as_ref().unwrap();
    assert_eq!((socket.owner.as_str(), socket.mode.as_str()), ("root", "0660"), "{report}");
    assert!(!report.stranger_gets_in(), "{report}");
}

#[tokio::test]
async fn tls_without_verify_asks_nobody_who_they_are() {
    if !in_own_namespaces("tls_without_verify_asks_nobody_who_they_are") {
        return;
    }
    // Since 20.10 `--tls` alone means `--tlsverify`.
    let setup = start(&[
        "--tls",
        "--tlsverify=false",
        "--tlscert=TLS/server-cert.pem",
        "--tlskey=TLS/server-key.pem",
    ]);
    let report = setup.report().await;
    assert_eq!(report.mode, Mode::Tls, "{report}");
    assert!(report.stranger_gets_in(), "{report}");
    assert!(!accepted(&report, Probe::PlainHttp), "{report}");
    assert!(accepted(&report, Probe::TlsWithoutCertificate), "{report}");
    assert!(accepted(&report, Probe::TlsStranger), "{report}");
    let server = report.server.as_ref().unwrap();
    assert_eq!(server.names, ["localhost", "127.0.0.1"], "{report}");
    assert_eq!((server.verified, server.name_matches), (Some(true), true), "{report}");
    assert!(report.clients.iter().all(|client| !client.client_authenticated), "{report}");
    setup.holds_for_the_real_client(&report);
    // The client itself takes a server of an authority that is not the one it was given.
    let other = setup.client.path().join("other.pem");
    std::fs::write(&other, Authority::named("other").pem()).unwrap();
    let config = setup.client.path().join("config");
    let ca = format!("--tlscacert={}", other.display());
    assert!(setup.version(&config, &["--tls".to_owned(), ca.clone()]));
    assert!(!setup.version(&config, &["--tlsverify".to_owned(), ca]));
}

#[tokio::test]
async fn tlsverify_lets_in_its_own_and_a_revoked_one() {
    if !in_own_namespaces("tlsverify_lets_in_its_own_and_a_revoked_one") {
        return;
    }
    let setup = start(&[
        "--tlsverify",
        "--tlscacert=TLS/ca.pem",
        "--tlscert=TLS/server-cert.pem",
        "--tlskey=TLS/server-key.pem",
    ]);
    let report = setup.report().await;
    assert_eq!(report.mode, Mode::Tlsverify, "{report}");
    assert!(!report.stranger_gets_in(), "{report}");
    let status = report.outcome(Probe::PlainHttp).unwrap();
    assert!(matches!(status, Outcome::Status { status: 400, .. }), "{report}");
    for probe in [Probe::TlsWithoutCertificate, Probe::TlsStranger, Probe::TlsExpired] {
        assert!(matches!(report.outcome(probe), Some(Outcome::Refused { .. })), "{report}");
    }
    assert!(accepted(&report, Probe::TlsValid), "{report}");
    // The daemon asks no list of what was revoked.
    assert!(accepted(&report, Probe::TlsRevoked), "{report}");
    assert!(report.former_gets_in(), "{report}");
    setup.holds_for_the_real_client(&report);
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["mode"], "tlsverify");
    assert_eq!(json["stranger_gets_in"], false);
    assert_eq!(json["probes"][0]["outcome"], "status");
    let text = report.to_string();
    assert!(text.contains("a certificate gets in that should no longer"), "{text}");
}
