//! Certificates of the company's CA by protocol: pebble (kind and hostile) and another Sealock by ACME, and a small server
//! of EST.

mod acme;
mod est;
mod hostile;
mod pebble;

use std::fs;

use sealock_testkit::wait::until;
use serde_json::Value;

use crate::corporate::Company;
use crate::support::{Daemon, Home, PATIENCE, tool};

fn leaked(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

/// A home whose settings are in a file.
fn home_with(settings: impl FnOnce(&Home) -> String) -> Home {
    let mut home = Home::initialised();
    let _company = Company::new(&home);
    let text = settings(&home);
    let path = home.write("sealock.toml", &text);
    home.set(&[("SEALOCK_CONFIG", leaked(path))]);
    home
}

/// The daemon, once it answers; no engine is waited for.
fn start(home: &Home) -> Daemon {
    let daemon = home.spawn();
    until("the daemon to answer", PATIENCE, || {
        let status = home.run(&["--json", "status"]);
        let status: Value = serde_json::from_slice(&status.stdout).ok()?;
        (status["daemon"] == true).then_some(())
    });
    daemon
}

/// A certificate of the company for its own servers, in `NAME.pem` and `NAME.key`.
fn server_certificate(home: &Home, name: &str) {
    let path = |file: &str| home.path("corp").join(file).display().to_string();
    let (key, csr, out) =
        (path(&format!("{name}.key")), path(&format!("{name}.csr")), path(&format!("{name}.pem")));
    let extensions = home.write(
        "server.ext",
        "basicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\nsubjectAltName=IP:127.0.0.1,DNS:localhost\n",
    );
    tool("openssl", &["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", &key]);
    tool("openssl", &["req", "-new", "-key", &key, "-subj", "/CN=localhost", "-out", &csr]);
    let (ca, ca_key) = (path("root.pem"), path("root.key"));
    let sign = ["x509", "-req", "-in", &csr, "-CA", &ca, "-CAkey", &ca_key, "-CAcreateserial"];
    let how = ["-days", "30", "-extfile", &extensions, "-out", &out];
    tool("openssl", &[&sign[..], &how[..]].concat());
}

/// How a request stands.
fn request(home: &Home, name: &str) -> Value {
    let all = home.json(&["cert", "requests"]);
    let found = all.as_array().unwrap().iter().find(|one| one["name"] == name);
    found.cloned().unwrap_or_default()
}

/// Waits until a request is as wanted.
fn await_request(home: &Home, name: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    let end = std::time::Instant::now() + PATIENCE;
    loop {
        let found = request(home, name);
        if wanted(&found) {
            return found;
        }
        let log = || fs::read_to_string(home.path("daemon.log")).unwrap_or_default();
        assert!(std::time::Instant::now() < end, "{name} is not {what}: {last}\n{}", log());
        last = found;
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

fn in_use(found: &Value) -> bool {
    found["state"] == "in use"
}

fn failed_with<'a>(text: &'a str) -> impl Fn(&Value) -> bool + 'a {
    move |found| found["enrolment"]["error"].as_str().is_some_and(|error| error.contains(text))
}

/// What is handed out is a chain for the name to a root that is handed out, as OpenSSL sees it.
fn verifies(home: &Home, name: &str, host: &str) {
    let out = home.path(&format!("files-{name}")).display().to_string();
    home.ok(&["cert", "files", name, "--out", &out]);
    let (crt, key, ca) =
        (format!("{out}/tls.crt"), format!("{out}/tls.key"), format!("{out}/ca.crt"));
    let verify = ["verify", "-purpose", "sslserver", "-verify_hostname", host, "-CAfile", &ca];
    tool("openssl", &[&verify[..], &["-untrusted", &crt, &crt]].concat());
    let of_key = tool("openssl", &["pkey", "-in", &key, "-pubout"]);
    assert_eq!(tool("openssl", &["x509", "-in", &crt, "-noout", "-pubkey"]), of_key);
}

/// How many records of the audit log are of this kind.
fn recorded(home: &Home, kind: &str) -> usize {
    home.ok(&["--json", "audit", "export"]).matches(&format!("\"{kind}\"")).count()
}
