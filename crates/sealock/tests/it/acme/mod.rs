//! The ACME server with clients that know nothing of us: each gets, renews and revokes a certificate, by the guide's steps.

mod alone;
mod clients;
mod names;
mod upstream;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::chain::free;
use crate::gateway::home;
use crate::support::{Daemon, Home, text};
use crate::tokens::api;
use names::Names;

/// What an account that nobody vouches for may have: names of the zone, server certificates.
const RULE: &str = "permit (principal in Sealock::Group::\"acme\", action == Sealock::Action::\"Cert::Issue\", resource in Sealock::Domain::\"acme.test\");\n";

/// A daemon, and where challenges are asked.
struct Scene {
    home: Home,
    _daemon: Daemon,
    names: Names,
    /// The directory's URL.
    server: String,
    /// The root, as a file.
    root: String,
    http: u16,
    tls: u16,
}

fn leaked(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

impl Scene {
    fn start() -> Self {
        let mut home = home();
        let names = Names::start(home.path("names"));
        let (http, tls) = (free(), free());
        home.set(&[
            ("SEALOCK_ACME_RESOLVERS", leaked(names.address.to_string())),
            ("SEALOCK_ACME_ALLOW", "127.0.0.0/8"),
            ("SEALOCK_ACME_HTTP_PORT", leaked(http.to_string())),
            ("SEALOCK_ACME_TLS_PORT", leaked(tls.to_string())),
        ]);
        let daemon = home.up();
        crate::gateway::permit(&home, RULE);
        let port = api(&home).rsplit_once(':').unwrap().1.to_owned();
        let root = home.write("root.pem", &home.ok(&["ca", "bundle"]));
        let server = format!("https://localhost:{port}/acme/directory");
        Self { home, _daemon: daemon, names, server, root, http, tls }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path(name)
    }

    /// A client by others. Nothing of what it keeps is outside the home.
    fn client(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("HOME", self.path(".")).current_dir(self.path("."));
        for name in ["http_proxy", "https_proxy", "all_proxy"] {
            command.env_remove(name).env_remove(name.to_uppercase());
        }
        command.stdin(Stdio::null());
        command
    }

    /// What the inventory says of the newest certificate of this name.
    fn certificate(&self, name: &str) -> serde_json::Value {
        self.home.json(&["cert", "show", name])
    }

    fn serial(&self, name: &str) -> String {
        self.certificate(name)["serial"].as_str().unwrap().to_owned()
    }

    fn state(&self, serial: &str) -> String {
        self.home.json(&["cert", "show", serial])["state"].as_str().unwrap().to_owned()
    }

    /// That a chain of PEM leads to our root, as OpenSSL sees it, and is for this name.
    fn verifies(&self, chain: &Path, name: &str) {
        let chain = chain.to_str().unwrap();
        let arguments = ["verify", "-CAfile", &self.root, "-untrusted", chain, chain];
        let said = crate::support::tool("openssl", &arguments);
        assert!(said.contains("OK"), "{said}");
        let names = ["x509", "-in", chain, "-noout", "-ext", "subjectAltName"];
        let said = crate::support::tool("openssl", &names);
        assert!(said.contains(&format!("DNS:{name}")), "{said}");
    }
}

/// Its output, if it succeeded.
fn good(output: &Output) -> String {
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}\n{error}");
    out
}

/// An executable file.
fn script(scene: &Scene, name: &str, content: &str) -> String {
    use std::os::unix::fs::PermissionsExt;
    let path = scene.home.write(name, content);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}
