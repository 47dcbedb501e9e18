//! By EST: a small server in Python, that signs by openssl, and has moods.

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};

use sealock_testkit::clients::{skip_without, skip_without_engine, skip_without_root};
use sealock_testkit::docker::Image;
use sealock_testkit::wait::until;

use super::{
    await_request, failed_with, home_with, in_use, request, server_certificate, start, verifies,
};
use crate::chain::free;
use crate::support::{Home, PATIENCE};

const PASSWORD: &str = "open sesame";

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn mood(home: &Home, mood: &str) {
    fs::write(home.path("corp/mood"), mood).unwrap();
}

/// A home whose upstream is such a server.
fn scene(first: &str) -> (Home, Server) {
    let port = free();
    let home = home_with(|home| {
        let password = home.write_private("est.password", &format!("{PASSWORD}\n"));
        format!(
            "[upstream.corp]\nkind = \"est\"\nurl = \"https://localhost:{port}\"\nlabel = \"web\"\n\
             user = \"host-1\"\npassword_file = \"{password}\"\n",
        )
    });
    server_certificate(&home, "est");
    mood(&home, first);
    let server = serve(&home, port);
    (home, server)
}

fn serve(home: &Home, port: u16) -> Server {
    let script = home.write("est.py", include_str!("est.py"));
    let log = File::create(home.path("est.log")).unwrap();
    let mut command = Command::new("python3");
    command.args([&script, &port.to_string(), &home.path("corp").display().to_string()]);
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    let server = Server(command.spawn().unwrap());
    until("the server of EST", PATIENCE, || {
        std::net::TcpStream::connect(("127.0.0.1", port)).ok().map(drop)
    });
    server
}

fn ask(home: &Home, more: &[&str]) {
    let wanted = ["cert", "request", "shop", "--dns", "shop.corp.example", "--upstream", "corp"];
    home.ok(&[&wanted[..], more].concat());
}

fn trust(home: &Home) {
    home.ok(&["trust", "add", &home.path("corp/root.pem").display().to_string(), "--name", "corp"]);
}

fn asked(home: &Home) -> Vec<String> {
    let text = fs::read_to_string(home.path("corp/requests")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_certificate_comes_by_est_after_somebody_has_said_yes_and_is_renewed_by_itself() {
    if skip_without(&["python3", "openssl"]) {
        return;
    }
    let (home, _server) = scene("later");
    let _daemon = start(&home);
    let said = home.fails(1, &["upstream", "try", "corp"]);
    assert!(said.contains("no root is known") && said.contains("trust add"), "{said}");
    trust(&home);
    let tried = home.json(&["upstream", "try", "corp"]);
    let known: Vec<bool> = tried[0]["answer"]["authorities"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["known"].as_bool().unwrap())
        .collect();
    assert_eq!(known, [false, true], "the issuing one, and the root: {tried}");
    ask(&home, &[]);
    await_request(&home, "shop", "awaiting approval", |found| {
        found["enrolment"]["awaits_approval"] == true
    });
    assert!(home.ok(&["status"]).contains("somebody at corp has to say yes"));
    until("it to be asked again", PATIENCE, || (asked(&home).len() > 1).then_some(()));
    mood(&home, "yes");
    let first = await_request(&home, "shop", "in use", in_use);
    assert_eq!(first["enrolment"]["tries"], 0, "to wait is not to fail");
    verifies(&home, "shop", "shop.corp.example");
    let log = home.ok(&["--json", "audit", "export"])
        + &fs::read_to_string(home.path("daemon.log")).unwrap();
    assert!(!log.contains(PASSWORD) && !log.contains("aG9zdC0xOm9wZW4gc2VzYW1l"));
    // The next one: the certificate that is there says who we are.
    ask(&home, &["--replace"]);
    await_request(&home, "shop", "renewed", |found| {
        in_use(found) && found["held"]["serial"] != first["held"]["serial"]
    });
    assert_eq!(asked(&home).last().unwrap(), "simplereenroll certificate");
    assert!(asked(&home).iter().any(|one| one == "simpleenroll basic"));
    assert!(home.ok(&["audit", "verify"]).contains("unbroken"));
}

#[test]
fn what_a_bad_server_sends_is_not_taken_and_changes_nothing() {
    if skip_without(&["python3", "openssl"]) {
        return;
    }
    let (home, _server) = scene("yes");
    trust(&home);
    let _daemon = start(&home);
    ask(&home, &[]);
    let held = await_request(&home, "shop", "in use", in_use)["held"].clone();
    for (bad, wanted) in [
        ("no", "status 400: not this"),
        ("page", "text/html in place of application/pkcs7-mime"),
        ("garbage", "what the CA has sent cannot be read"),
        ("huge", "answers with more than"),
        ("elsewhere", "redirects are not followed"),
        ("another", "no certificate is for this key"),
    ] {
        mood(&home, bad);
        ask(&home, &["--replace"]);
        let found = await_request(&home, "shop", bad, failed_with(wanted));
        assert_eq!(found["held"], held, "{bad}");
        assert!(!found.to_string().contains('\u{1b}'));
    }
    // A wrong password, and then the right one.
    let password = home.path("est.password");
    fs::write(&password, "wrong").unwrap();
    home.ok(&["cert", "request", "shop", "--forget"]);
    mood(&home, "yes");
    ask(&home, &[]);
    await_request(&home, "shop", "unknown", failed_with("status 401: who are you?"));
    fs::write(&password, PASSWORD).unwrap();
    ask(&home, &[]);
    await_request(&home, "shop", "in use", in_use);
}

#[test]
fn a_running_container_serves_what_comes_by_est_and_its_successor_without_a_restart() {
    if skip_without_engine() || skip_without_root() || skip_without(&["python3", "openssl"]) {
        return;
    }
    let (home, _server) = scene("yes");
    trust(&home);
    let rule = "permit (principal, action == Sealock::Action::\"Cert::Use\", resource == Sealock::ImportedCertificate::\"shop\");\n";
    fs::write(home.state().join("policy/shop.cedar"), rule).unwrap();
    let _daemon = home.up();
    let program = fs::read(env!("CARGO_BIN_EXE_sealock")).unwrap();
    let image = Image::with_files(&[("sealock", &program, 0o755)]);
    let scope = home.scope_label();
    let certs = "/run/sealock/certs/web";
    let labels = ["imported=shop", "reload=signal:HUP", "verify=tls:8443"];
    let labels = labels.map(|label| format!("--label=sealock.cert.web.{label}"));
    let options =
        [&scope, "--tmpfs", "/run", "--network", "none", &labels[0], &labels[1], &labels[2]];
    let container = image.start_command(&options, &["/sealock", "demo-server", "--certs", certs]);
    let name = container.inspect("{{.Name}}").trim_start_matches('/').to_owned();
    let begun = container.inspect("{{.State.StartedAt}}");
    ask(&home, &[]);
    let first = home.await_certificate(&name, "web", "served", |found| found["state"] == "served");
    assert_eq!(first["serial"], request(&home, "shop")["held"]["serial"]);
    ask(&home, &["--replace"]);
    home.await_certificate(&name, "web", "served anew", |found| {
        found["state"] == "served" && found["serial"] != first["serial"]
    });
    assert_eq!(container.inspect("{{.State.StartedAt}}"), begun, "it was not restarted");
}

#[test]
fn our_own_ca_makes_nobody_the_companys() {
    if skip_without(&["python3", "openssl"]) {
        return;
    }
    let (home, server) = scene("yes");
    drop(server);
    // Whoever may have a certificate of ours for that name stands at its place.
    home.ok(&["cert", "issue", "est", "--dns", "localhost"]);
    for (from, to) in [("tls.crt", "est.pem"), ("tls.key", "est.key")] {
        fs::copy(home.path("est").join(from), home.path("corp").join(to)).unwrap();
    }
    let settings = fs::read_to_string(home.path("sealock.toml")).unwrap();
    let port: u16 =
        settings.split("localhost:").nth(1).unwrap().split('"').next().unwrap().parse().unwrap();
    let _server = serve(&home, port);
    trust(&home);
    let said = home.fails(1, &["upstream", "try", "corp"]);
    assert!(said.contains("the TLS handshake with localhost"), "{said}");
    assert!(asked(&home).is_empty());
}
