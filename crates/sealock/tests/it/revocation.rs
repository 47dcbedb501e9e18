//! What is revoked, as others see it: `openssl ocsp`, curl with the list, while the keys are locked too.

use std::process::Command;

use sealock_testkit::wait::until;
use serde_json::Value;

use crate::chain::free;
use crate::support::{Daemon, Home, PATIENCE, text, tool};

mod ca;
mod held;
mod nginx;
mod own;
mod settings;

/// A daemon with the plain door, by whose URL its certificates are checked.
struct Scene {
    home: Home,
    url: String,
}

impl Scene {
    fn new() -> Self {
        let mut home = Home::new();
        let address = format!("127.0.0.1:{}", free());
        let url = format!("http://{address}");
        home.set(&[
            ("SEALOCK_REVOCATION", leaked(address)),
            ("SEALOCK_REVOCATION_URL", leaked(url.clone())),
        ]);
        Self { home, url }
    }

    fn issue(&self, more: &[&str]) {
        self.home.ok(&[more, &["cert", "issue", "web", "--dns", "web.test,localhost"]].concat());
        let chain = std::fs::read_to_string(self.home.path("web/tls.crt")).unwrap();
        let issuer = chain.split_inclusive("-----END CERTIFICATE-----\n").nth(1).unwrap();
        self.home.write("issuer.pem", issuer);
    }

    fn file(&self, name: &str) -> String {
        self.home.path(name).display().to_string()
    }

    /// What `openssl ocsp` says of the certificate; with the URL that stands in it.
    fn ocsp(&self, more: &[&str]) -> String {
        let (issuer, leaf, roots) =
            (self.file("issuer.pem"), self.file("web/tls.crt"), self.file("web/ca.crt"));
        let url = tool("openssl", &["x509", "-noout", "-ocsp_uri", "-in", &leaf]);
        assert_eq!(url.trim(), format!("{}/ocsp", self.url));
        let asked = [
            "ocsp",
            "-issuer",
            &issuer,
            "-cert",
            &leaf,
            "-CAfile",
            &roots,
            "-url",
            url.trim(),
            "-verify_other",
            &issuer,
            "-timeout",
            "30",
        ];
        let output = Command::new("openssl").args(asked).args(more).output().unwrap();
        text(&output.stdout) + &text(&output.stderr)
    }

    fn serial(&self) -> String {
        self.home.json(&["cert", "show", "web"])["serial"].as_str().unwrap().to_owned()
    }

    fn get(&self, path: &str, more: &[&str]) -> String {
        let url = format!("{}{path}", self.url);
        let usual = ["--silent", "--show-error", "--noproxy", "*", "--max-time", "30"];
        tool("curl", &[&usual, more, &[url.as_str()]].concat())
    }
}

fn leaked(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

#[test]
fn openssl_and_curl_see_what_is_revoked() {
    let scene = Scene::new();
    let home = &scene.home;
    let _daemon = home.up();
    scene.issue(&[]);
    let said = scene.ocsp(&["-no_nonce"]);
    assert!(said.contains("tls.crt: good") && said.contains("Response verify OK"), "{said}");
    // A nonce is not answered unless it is wanted, and openssl goes on (RFC 6960 §4.4.1).
    assert!(scene.ocsp(&["-nonce"]).contains("tls.crt: good"));

    // A server with the certificate, and curl that looks at the lists of all issuers.
    let port = free();
    let server = Command::new("openssl")
        .args(["s_server", "-quiet", "-www", "-accept", &format!("127.0.0.1:{port}")])
        .args(["-cert", &scene.file("web/tls.crt"), "-cert_chain", &scene.file("issuer.pem")])
        .args(["-key", &scene.file("web/tls.key")])
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let _server = Daemon::of(server);
    let fetch = || {
        let lists = home.write("lists.pem", &home.ok(&["ca", "crl"]));
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "30"])
            .args(["--cacert", &scene.file("web/ca.crt"), "--crlfile", &lists])
            .arg(format!("https://localhost:{port}/"))
            .output()
            .unwrap();
        (output.status.success(), text(&output.stderr))
    };
    until("the server to serve", PATIENCE, || fetch().0.then_some(()));
    home.ok(&["cert", "revoke", &scene.serial(), "--reason", "key-compromise"]);
    let said = scene.ocsp(&["-no_nonce"]);
    assert!(said.contains("tls.crt: revoked") && said.contains("keyCompromise"), "{said}");
    let (fine, said) = fetch();
    assert!(!fine && said.contains("revoked"), "{said}");
}

#[test]
fn everything_that_a_certificate_names_is_there() {
    let scene = Scene::new();
    let _daemon = scene.home.up();
    scene.issue(&[]);
    let leaf = tool("openssl", &["x509", "-noout", "-text", "-in", &scene.file("web/tls.crt")]);
    let path = |ending: &str| {
        let named = leaf.split_whitespace().find_map(|word| word.strip_prefix("URI:"));
        let all = leaf.split_whitespace().filter_map(|word| word.strip_prefix("URI:"));
        let found = all.into_iter().find(|url| url.ends_with(ending)).or(named).unwrap();
        found.strip_prefix(&scene.url).unwrap().to_owned()
    };
    let (crl, issuer) = (path(".crl"), path(".crt"));
    let fetched = scene.file("fetched");
    scene.get(&issuer, &["--output", &fetched]);
    tool("openssl", &["x509", "-inform", "DER", "-noout", "-in", &fetched]);
    for path in [crl.clone(), crl.replace(".crl", "-delta.crl")] {
        scene.get(&path, &["--output", &fetched]);
        let shown = tool("openssl", &["crl", "-inform", "DER", "-noout", "-text", "-in", &fetched]);
        assert!(shown.contains("No Revoked Certificates"), "{shown}");
    }
    // Kept by others until it is another one.
    let head = scene.get(&crl, &["--head"]).to_ascii_lowercase();
    for wanted in
        ["200 ok", "content-type: application/pkix-crl", "etag: \"", "expires: ", "max-age=300"]
    {
        assert!(head.contains(wanted), "{wanted}: {head}");
    }
    let tag = head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().trim();
    let asked = format!("If-None-Match: {tag}");
    let status = ["--output", "/dev/null", "--write-out", "%{http_code}"];
    assert_eq!(scene.get(&crl, &[&status[..], &["--header", &asked]].concat()), "304");
    scene.home.ok(&["cert", "revoke", &scene.serial()]);
    until("another list", PATIENCE, || {
        (scene.get(&crl, &[&status[..], &["--header", &asked]].concat()) == "200").then_some(())
    });
    // What is not there, and what is not for this door.
    for path in [
        "/",
        "/crl/",
        "/crl/x.crl",
        "/crl/0000000000000000.crl",
        "/ca/x.crt",
        "/ca/0000000000000000.crt",
        "/v1/call",
        "/metrics",
        "/acme/directory",
        "/ca.crt",
        "/ocsp",
        "/crl/../ca.crt",
    ] {
        assert_eq!(scene.get(path, &[&status[..], &["--path-as-is"]].concat()), "404", "{path}");
    }
    assert_eq!(scene.get("/v1/call", &[&status[..], &["--data", "{}"]].concat()), "405");
}

#[test]
fn ocsp_over_http_is_what_the_rfcs_have() {
    let scene = Scene::new();
    let _daemon = scene.home.up();
    scene.issue(&[]);
    let request = scene.file("request.der");
    let (issuer, leaf) = (scene.file("issuer.pem"), scene.file("web/tls.crt"));
    tool(
        "openssl",
        &["ocsp", "-issuer", &issuer, "-cert", &leaf, "-no_nonce", "-reqout", &request],
    );
    let bytes = std::fs::read(&request).unwrap();
    let read = |file: &str| {
        tool("openssl", &["ocsp", "-respin", file, "-noverify", "-resp_text", "-no_nonce"])
    };
    let base64 = data_encoding::BASE64.encode(&bytes);
    let encoded = base64.replace('/', "%2F").replace('+', "%2B").replace('=', "%3D");
    let answer = scene.file("answer.der");
    for path in [base64, encoded] {
        let head =
            scene.get(&format!("/ocsp/{path}"), &["--output", &answer, "--dump-header", "-"]);
        let head = head.to_ascii_lowercase();
        assert!(read(&answer).contains("Cert Status: good"));
        for wanted in [
            "content-type: application/ocsp-response",
            "max-age=300",
            "last-modified: ",
            "expires: ",
        ] {
            assert!(head.contains(wanted), "{wanted}: {head}");
        }
    }
    let post = |file: &str| {
        let data = format!("@{file}");
        let kind = "Content-Type: application/ocsp-request";
        scene.get("/ocsp", &["--data-binary", &data, "--header", kind, "--output", &answer]);
        read_status(&answer)
    };
    assert_eq!(post(&request), 0);
    // Rubbish, too much, nothing: an answer each time, and nobody is any the worse for it.
    for (name, content) in [
        ("rubbish", b"rubbish".to_vec()),
        ("large", vec![0x30; 9_000]),
        ("empty", Vec::new()),
        ("cut", bytes[..bytes.len() - 1].to_vec()),
    ] {
        let file = scene.file(name);
        std::fs::write(&file, content).unwrap();
        assert_eq!(post(&file), 1, "{name} is malformedRequest");
    }
    // A certificate of nobody's.
    tool(
        "openssl",
        &["ocsp", "-issuer", &issuer, "-serial", "0x1234", "-no_nonce", "-reqout", &request],
    );
    assert_eq!(post(&request), 6, "unauthorized");
    assert!(scene.ocsp(&["-no_nonce"]).contains("tls.crt: good"));
}

/// `responseStatus`.
fn read_status(file: &str) -> u8 {
    let der = std::fs::read(file).unwrap();
    let at = der.windows(2).position(|two| two == [0x0a, 1]).unwrap();
    der[at + 2]
}

#[test]
fn a_locked_authority_still_says_what_is_revoked() {
    let scene = Scene::new();
    let home = &scene.home;
    let passphrase = home.write("passphrase", "correct horse battery");
    let with = ["--passphrase-file", passphrase.as_str()];
    home.ok(&[
        &with[..],
        &["init", "--trust-domain", "test.sealock", "--key-protection", "passphrase"],
    ]
    .concat());
    let daemon = home.up_with(&with);
    scene.issue(&with);
    home.ok(&["cert", "revoke", &scene.serial()]);
    assert!(scene.ocsp(&["-no_nonce"]).contains("tls.crt: revoked"));
    daemon.kill();

    // A reboot, and nobody there to type.
    let away = home.path("passphrase.away");
    std::fs::rename(&passphrase, &away).unwrap();
    let mut locked = home.spawn_with(&with);
    let crl = format!("/crl/{}.crl", issuer_of(&scene));
    until("the locked door", PATIENCE, || {
        scene.ocsp(&["-no_nonce"]).contains("tls.crt: revoked").then_some(())
    });
    let fetched = scene.file("fetched");
    scene.get(&crl, &["--output", &fetched]);
    let shown = tool("openssl", &["crl", "-inform", "DER", "-noout", "-text", "-in", &fetched]);
    assert!(shown.contains("Serial Number:"), "{shown}");
    until("it is said", PATIENCE, || home.log().contains("locked").then_some(()));
    assert!(locked.runs(), "{}", home.log());

    // The passphrase comes, and all the rest with it.
    std::fs::rename(&away, &passphrase).unwrap();
    until("the daemon to answer", PATIENCE, || {
        let status = home.run(&["--json", "status"]);
        let status: Value = serde_json::from_slice(&status.stdout).ok()?;
        (status["daemon"] == true).then_some(())
    });
    assert!(scene.ocsp(&["-no_nonce"]).contains("tls.crt: revoked"));
    assert!(!home.log().contains("horse"));
}

#[test]
fn a_start_that_waits_for_its_passphrase_is_ended_by_a_signal() {
    let scene = Scene::new();
    let home = &scene.home;
    let passphrase = home.write("passphrase", "correct horse battery");
    let with = ["--passphrase-file", passphrase.as_str()];
    home.ok(&[&with[..], &["init", "--key-protection", "passphrase"]].concat());
    let away = home.path("passphrase.away");
    std::fs::rename(&passphrase, &away).unwrap();
    for name in ["TERM", "INT"] {
        let locked = home.spawn_with(&with);
        // Each start has a log of its own.
        until("it is said", PATIENCE, || home.log().contains("the keys are locked").then_some(()));
        // By itself, and not by what the system does to those who do not listen.
        assert_eq!(locked.stop_by(name), Some(1), "{}", home.log());
        assert!(home.log().contains("stopped before the keys were unlocked"), "{}", home.log());
    }
    std::fs::rename(&away, &passphrase).unwrap();
    assert_eq!(home.up_with(&with).stop(), Some(0), "nothing of it is left");
}

fn issuer_of(scene: &Scene) -> String {
    let text = tool("openssl", &["x509", "-noout", "-text", "-in", &scene.file("web/tls.crt")]);
    let url = text.split_whitespace().find(|word| word.ends_with(".crl")).unwrap();
    let name = url.rsplit_once('/').unwrap().1;
    name.strip_suffix(".crl").unwrap().to_owned()
}

#[test]
fn a_wrong_passphrase_ends_the_start() {
    let scene = Scene::new();
    let home = &scene.home;
    let right = home.write("right", "correct horse battery");
    home.ok(&["--passphrase-file", &right, "init", "--key-protection", "passphrase"]);
    let wrong = home.write("wrong", "incorrect horse");
    let said =
        home.fails(1, &["--passphrase-file", &wrong, "up", "--api", "off", "--gateway", "off"]);
    assert!(said.contains("passphrase"), "{said}");
}
