//! The ACME server with clients that know nothing of us: each gets, renews and revokes a certificate, by the guide's steps.

mod alone;
mod attested;
mod clients;
mod eab;
mod hsm;
mod issuer;
mod killed;
mod upstream;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use sealock_testkit::names::Names;
use sealock_testkit::wait::until;

use crate::chain::free;
use crate::gateway::home;
use crate::support::{Daemon, Home, PATIENCE, text};
use crate::tokens::api;

/// What an account that nobody vouches for may have: names of the zone, server certificates.
const RULE: &str = "permit (principal in Sealock::Group::\"acme\", action == Sealock::Action::\"Cert::Issue\", resource in Sealock::Domain::\"acme.test\");\n";

/// A daemon, and where challenges are asked.
pub(crate) struct Scene {
    pub(crate) home: Home,
    daemon: Daemon,
    /// Its settings file.
    settings: String,
    names: Names,
    /// The directory's URL.
    pub(crate) server: String,
    /// The root, as a file.
    pub(crate) root: String,
    pub(crate) http: u16,
    pub(crate) tls: u16,
}

fn leaked(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

impl Scene {
    pub(crate) fn start() -> Self {
        Self::with("")
    }

    /// With this in the settings file.
    fn with(settings: &str) -> Self {
        let mut home = home();
        let names = Names::start(home.path("names"));
        let (http, tls) = (free(), free());
        home.set(&[
            ("SEALOCK_ACME_RESOLVERS", leaked(names.address.to_string())),
            ("SEALOCK_ACME_ALLOW", "127.0.0.0/8"),
            ("SEALOCK_ACME_HTTP_PORT", leaked(http.to_string())),
            ("SEALOCK_ACME_TLS_PORT", leaked(tls.to_string())),
        ]);
        let settings = home.write("sealock.toml", settings);
        let daemon = home.up_with(&["--config", &settings]);
        crate::gateway::permit(&home, RULE);
        let port = api(&home).rsplit_once(':').unwrap().1.to_owned();
        let root = home.write("root.pem", &home.ok(&["ca", "bundle"]));
        let server = format!("https://localhost:{port}/acme/directory");
        Self { home, daemon, settings, names, server, root, http, tls }
    }

    /// Starts the daemon anew, after its end. Its API is at another port then.
    fn start_again(&mut self) {
        self.daemon = self.home.up_with(&["--config", &self.settings]);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path(name)
    }

    /// The folder `web` as a web server, for clients that write their answers into one.
    pub(crate) fn web(&self) -> Running {
        let root = self.path("web");
        fs::create_dir_all(root.join(".well-known/acme-challenge")).unwrap();
        let mut busybox = Command::new("busybox");
        busybox.args(["httpd", "-f", "-p", &format!("127.0.0.1:{}", self.http), "-h"]).arg(root);
        Running(busybox.stdin(Stdio::null()).spawn().unwrap())
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

    /// Starts a server with these files, and has curl make a handshake with it, which knows our root and nothing else.
    fn serves(&self, chain: &Path, key: &Path, name: &str) {
        let (port, said) = (free(), format!("served as {name}"));
        let folder = self.path(&format!("serve-{port}"));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("index"), &said).unwrap();
        let mut server = Command::new("openssl");
        server.args(["s_server", "-quiet", "-WWW", "-accept", &format!("127.0.0.1:{port}")]);
        server.arg("-cert").arg(chain).arg("-cert_chain").arg(chain).arg("-key").arg(key);
        server.current_dir(&folder).stdin(Stdio::piped()).stdout(Stdio::null());
        let _server = Running(server.stderr(Stdio::null()).spawn().unwrap());
        assert_eq!(self.seen(name, port, "/index"), said);
    }

    /// What curl gets there, once it does.
    fn seen(&self, name: &str, port: u16, path: &str) -> String {
        until("a server with its certificate", PATIENCE, || {
            let mut curl = Command::new("curl");
            curl.args(["--silent", "--noproxy", "*", "--max-time", "5", "--cacert", &self.root]);
            curl.args(["--resolve", &format!("{name}:{port}:127.0.0.1")]);
            let output = curl.arg(format!("https://{name}:{port}{path}")).output().unwrap();
            output.status.success().then(|| text(&output.stdout))
        })
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

/// A process that is killed when the test ends.
pub(crate) struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
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
