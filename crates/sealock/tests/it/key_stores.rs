//! Key stores and trust stores by label, with a real engine: what stands in a container is what Java and openssl take.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use sealock_testkit::clients::{skip_without, skip_without_engine, skip_without_root};
use sealock_testkit::docker::{Container, Image, docker};
use sealock_testkit::wait::until;
use serde_json::Value;

use crate::corporate::{Company, NAMES, container_name, request, trusting};
use crate::support::{Home, PATIENCE, text, tool};

const FOLDER: &str = "/run/sealock/certs/web";
const SERVE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/clients/Serve.java");

fn missing() -> bool {
    skip_without_engine() || skip_without_root() || skip_without(&["openssl", "keytool", "javac"])
}

/// A container on the host with these labels.
struct Shop {
    container: Container,
    name: String,
}

impl Shop {
    fn start(home: &Home, image: &Image, labels: &[&str]) -> Self {
        let scope = home.scope_label();
        let labels: Vec<String> =
            labels.iter().map(|label| format!("--label=sealock.{label}")).collect();
        let mut options = vec!["--tmpfs", "/run", "--read-only", &scope];
        options.extend(labels.iter().map(String::as_str));
        let container = image.start(&options);
        let name = container_name(&container);
        Self { container, name }
    }

    fn read(&self, file: &str) -> Option<Vec<u8>> {
        let output = self.container.exec(&["cat", &format!("{FOLDER}/{file}")]);
        output.status.success().then_some(output.stdout)
    }

    /// Everything that stands there, in a folder of the host's. All of it is of one delivery: read through the link that
    /// was there before.
    fn taken(&self, home: &Home, to: &str) -> Taken {
        self.taken_unless_replaced(home, to).unwrap()
    }

    /// The same; nothing where another delivery has come meanwhile.
    fn taken_unless_replaced(&self, home: &Home, to: &str) -> Option<Taken> {
        let folder = home.path(to);
        fs::create_dir(&folder).unwrap();
        let version = self.container.output(&["readlink", &format!("{FOLDER}/..data")]);
        let inside = format!("{FOLDER}/{}", version.trim());
        let listed = self.container.exec(&["ls", &inside]);
        if !listed.status.success() {
            return None;
        }
        for name in text(&listed.stdout).lines() {
            let output = self.container.exec(&["cat", &format!("{inside}/{name}")]);
            if !output.status.success() {
                let now = self.container.output(&["readlink", &format!("{FOLDER}/..data")]);
                assert_ne!(now, version, "{name}: {}", text(&output.stderr));
                return None;
            }
            fs::write(folder.join(name), output.stdout).unwrap();
        }
        Some(Taken(folder))
    }

    fn delivered(&self, home: &Home) -> Value {
        let delivered = |found: &Value| found["state"] == "delivered";
        home.await_certificate(&self.name, "web", "delivered", delivered)
    }
}

/// What stood in a container.
struct Taken(PathBuf);

impl Taken {
    fn path(&self, file: &str) -> String {
        self.0.join(file).display().to_string()
    }

    fn bytes(&self, file: &str) -> Vec<u8> {
        fs::read(self.0.join(file)).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// As Java lists it.
    fn listed(&self, store: &str, password: &str) -> String {
        let (store, password) = (self.path(store), self.path(password));
        tool("keytool", &["-list", "-keystore", &store, "-storepass:file", &password])
    }

    /// The serial of the certificate of a PKCS#12 file, as openssl shows it.
    fn serial_in(&self, store: &str, password: &str) -> String {
        let (store, password) = (self.path(store), format!("file:{}", self.path(password)));
        let open =
            ["pkcs12", "-nokeys", "-clcerts", "-legacy", "-passin", &password, "-in", &store];
        let leaf = self.path("leaf.tmp");
        fs::write(&leaf, tool("openssl", &open)).unwrap();
        tool("openssl", &["x509", "-noout", "-serial", "-in", &leaf])
    }

    fn serial(&self) -> String {
        tool("openssl", &["x509", "-noout", "-serial", "-in", &self.path("tls.crt")])
    }

    /// Has Java serve it, and openssl look, as a client of the same certificate.
    fn is_served_by_java(&self, store: &str, roots: &str, password: &str) {
        let java = Java::serving(&self.path(store), &self.path(roots), &self.path(password));
        let (ca, crt, key) = (self.path("ca.crt"), self.path("tls.crt"), self.path("tls.key"));
        let look = ["s_client", "-connect", &java.address, "-verify_return_error", "-CAfile", &ca];
        let shown = ["-cert", &crt, "-cert_chain", &crt, "-key", &key, "-ign_eof", "-showcerts"];
        let seen = tool("openssl", &[&look[..], &shown[..]].concat());
        assert!(seen.contains("Verify return code: 0 (ok)"), "{seen}");
        assert!(seen.contains("hello of Java"), "Java trusts the client: {seen}");
        let leaf = self.path("served.tmp");
        fs::write(&leaf, &seen).unwrap();
        let served = tool("openssl", &["x509", "-noout", "-serial", "-in", &leaf]);
        assert_eq!(served, self.serial());
    }
}

/// A TLS server of Java's; it ends with the test.
struct Java {
    child: Child,
    address: String,
}

impl Java {
    fn serving(store: &str, roots: &str, password: &str) -> Self {
        let mut command = Command::new("java");
        command.args(["-XX:TieredStopAtLevel=1", SERVE, store, roots, password]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        let java = Self { child, address: format!("127.0.0.1:{}", port.trim()) };
        assert!(!port.is_empty(), "Java does not serve {store}");
        java
    }
}

impl Drop for Java {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lets a container read a secret.
fn permit(home: &Home, shop: &Shop, secret: &str) {
    let rule = format!(
        "permit (principal == Sealock::Service::\"{}\", action == Sealock::Action::\"Secret::Read\", \
         resource == Sealock::Secret::\"{secret}\");",
        shop.name
    );
    fs::write(home.state().join("policy/keystore.cedar"), rule).unwrap();
    home.ok(&["policy", "reload"]);
}

fn set(home: &Home, secret: &str, value: &str) {
    let file = home.write("value", value);
    home.ok(&["secret", "set", secret, "--file", &file]);
    fs::remove_file(file).unwrap();
}

#[test]
fn java_serves_what_stands_in_the_container_and_its_successor() {
    if missing() {
        return;
    }
    let home = Home::new();
    let _daemon = home.up();
    let labels = [
        "cert.web.format=pkcs12,pkcs12-legacy,jks,der,p7b",
        "cert.web.ttl=80s",
        "cert.web.mode=0440",
    ];
    let shop = Shop::start(&home, &Image::busybox(), &labels);
    let first = shop.delivered(&home);
    let listing = shop.container.output(&["ls", "-lL", FOLDER]);
    for (file, mode) in [
        ("keystore.p12", "-r--r-----"),
        ("keystore-legacy.p12", "-r--r-----"),
        ("keystore.jks", "-r--r-----"),
        ("keystore.password", "-r--r-----"),
        ("truststore.p12", "-r--r--r--"),
        ("truststore.jks", "-r--r--r--"),
        ("tls.der", "-r--r--r--"),
        ("tls.p7b", "-r--r--r--"),
        ("tls.key", "-r--r-----"),
    ] {
        let is = |line: &str| line.starts_with(mode) && line.ends_with(&format!(" {file}"));
        assert!(listing.lines().any(is), "{file} {listing}");
    }
    let old = shop.taken(&home, "first");
    assert_eq!(old.names().len(), 12, "{:?}", old.names());
    let password = text(&old.bytes("keystore.password"));
    assert_eq!((password.len(), password.trim()), (32, password.as_str()));
    let under = "keystore.password";
    for (store, kind) in [
        ("keystore.p12", "web, "),
        ("keystore-legacy.p12", "web, "),
        ("keystore.jks", "web, "),
        ("truststore.p12", "ca, "),
        ("truststore.jks", "ca, "),
    ] {
        let listed = old.listed(store, under);
        let entry = if kind == "ca, " { "trustedCertEntry" } else { "PrivateKeyEntry" };
        assert!(listed.contains(kind) && listed.contains(entry), "{store}: {listed}");
    }
    for store in ["keystore.p12", "keystore-legacy.p12"] {
        assert_eq!(old.serial_in(store, under), old.serial(), "{store}");
    }
    let der = ["x509", "-inform", "DER", "-noout", "-serial", "-in", &old.path("tls.der")];
    assert_eq!(tool("openssl", &der), old.serial());
    let p7b = tool("openssl", &["pkcs7", "-print_certs", "-in", &old.path("tls.p7b")]);
    assert_eq!(p7b.matches("BEGIN CERTIFICATE").count(), 2);
    old.is_served_by_java("keystore.p12", "truststore.p12", under);
    old.is_served_by_java("keystore.jks", "truststore.jks", under);

    // The successor comes in the same files, under the same password: a program may have read it once.
    home.await_certificate(&shop.name, "web", "renewed", |found| {
        found["state"] == "delivered" && found["serial"] != first["serial"]
    });
    let new = shop.taken(&home, "second");
    assert_ne!(new.serial(), old.serial());
    assert_ne!(new.bytes("keystore.p12"), old.bytes("keystore.p12"));
    assert_eq!(new.bytes("truststore.p12"), old.bytes("truststore.p12"), "the roots are the same");
    assert_eq!(new.bytes(under), old.bytes(under));
    new.is_served_by_java("keystore.p12", "truststore.p12", under);

    // It is nowhere else.
    let told = home.ok(&["--json", "audit", "export"]) + &home.ok(&["--json", "status"]);
    assert!(!told.contains(&password) && !home.log().contains(&password));
    assert!(!text(&fs::read(home.state().join("state.db")).unwrap()).contains(&password));
    // Another container has another.
    let other = Shop::start(&home, &Image::busybox(), &["cert.web.format=jks"]);
    other.delivered(&home);
    assert_ne!(other.read(under).unwrap(), new.bytes(under));
}

#[test]
fn a_store_is_under_a_secret_that_the_container_may_read_and_follows_it() {
    if missing() {
        return;
    }
    let home = Home::new();
    let _daemon = home.up();
    set(&home, "shop/keystore", "First of all\n");
    let labels = [
        "cert.web.format=pkcs12",
        "cert.web.password=shop/keystore",
        "cert.web.reload=exec:touch /run/told",
        "cert.bad.format=jks",
        "cert.bad.layout=docker",
        "cert.typo.format=pkcs21",
        "cert.word.password=shop/keystore",
        "cert.plain.ttl=1h",
    ];
    let shop = Shop::start(&home, &Image::busybox(), &labels);
    let refused = home.await_certificate(&shop.name, "web", "refused", |found| {
        found["state"] == "refused" && found["hint"].is_string()
    });
    let reason = refused["reason"].as_str().unwrap();
    assert!(reason.starts_with("sealock.cert.web.password: "), "{refused}");
    let rule = refused["hint"].as_str().unwrap();
    assert!(rule.contains("Secret::Read") && rule.contains("shop/keystore"), "{rule}");
    // Nobody else's certificate is refused for it, and bad labels name what to write.
    let delivered = |found: &Value| found["state"] == "delivered";
    home.await_certificate(&shop.name, "plain", "delivered", delivered);
    for (name, says, hint) in [
        ("bad", "the layout `docker` has its own files", "leave this label out, or .layout"),
        ("typo", "`pkcs21` is not a format", "did you mean `pkcs12`?"),
        ("word", "there is no key store", "add .format=pkcs12"),
    ] {
        let found = home.certificate(&shop.name, name).unwrap();
        assert_eq!(found["state"], "bad label");
        assert!(found["reason"].as_str().unwrap().contains(says), "{found}");
        assert!(found["hint"].as_str().unwrap().contains(hint), "{found}");
    }
    assert!(shop.read("tls.crt").is_none(), "nothing was issued for it");

    permit(&home, &shop, "shop/keystore");
    let first = shop.delivered(&home);
    let old = shop.taken(&home, "first");
    let stores = ["bundle.pem", "ca.crt", "keystore.p12", "tls.crt", "tls.key", "truststore.p12"];
    assert_eq!(old.names(), stores, "no password beside them");
    fs::write(old.path("pass"), "First of all").unwrap();
    old.is_served_by_java("keystore.p12", "truststore.p12", "pass");
    let told = || shop.container.exec(&["test", "-e", "/run/told"]).status.success();
    assert!(!told(), "nobody had an earlier one");

    set(&home, "shop/keystore", "Second to none");
    home.await_certificate(&shop.name, "web", "made anew", |found| {
        found["state"] == "delivered" && found["serial"] != first["serial"]
    });
    let new = shop.taken(&home, "second");
    fs::write(new.path("pass"), "Second to none").unwrap();
    new.is_served_by_java("keystore.p12", "truststore.p12", "pass");
    let under_old = format!("file:{}", old.path("pass"));
    let open = Command::new("openssl")
        .args(["pkcs12", "-noout", "-passin", &under_old, "-in", &new.path("keystore.p12")])
        .output();
    assert!(!open.unwrap().status.success(), "the old password opens it");
    until("the reload", PATIENCE, || told().then_some(()));

    // No secret that a program could not use, and none that is gone: what is there stays, and a person is told.
    set(&home, "shop/keystore", "short");
    let found = home.await_certificate(&shop.name, "web", "stale", |found| {
        found["state"] == "stale" && found["reason"].is_string()
    });
    assert!(found["reason"].as_str().unwrap().contains("6 to 256 characters"), "{found}");
    home.ok(&["secret", "delete", "shop/keystore"]);
    until("the alarm", PATIENCE, || {
        let status = home.json(&["status"]);
        let alarms = status["alarms"].as_array()?.clone();
        alarms.into_iter().find(|alarm| {
            alarm["alarm"] == "stale" && alarm["subject"] == format!("{}/web", shop.name)
        })
    });
    assert_eq!(shop.read("keystore.p12"), Some(new.bytes("keystore.p12")));
    let told = home.ok(&["--json", "audit", "export"]) + &home.ok(&["--json", "status"]);
    for value in ["First of all", "Second to none"] {
        assert!(!told.contains(value) && !home.log().contains(value), "{value}");
    }
    assert!(home.ok(&["audit", "verify"]).contains("unbroken"));
}

#[test]
fn the_companys_certificate_makes_the_same_store_each_time() {
    if missing() {
        return;
    }
    let home = trusting();
    let company = Company { home: &home };
    let _daemon = home.up();
    set(&home, "shop/keystore", "First of all");
    let leaf = company.sign(&request(&home, "shop", &[]), NAMES);
    home.ok(&["cert", "import", "shop", &leaf, &company.path("issuing.pem")]);
    let labels =
        ["cert.web.imported=shop", "cert.web.format=pkcs12,jks", "cert.web.password=shop/keystore"];
    let shop = Shop::start(&home, &Image::busybox(), &labels);
    let use_it = format!(
        "permit (principal == Sealock::Service::\"{}\", action == Sealock::Action::\"Cert::Use\", \
         resource == Sealock::ImportedCertificate::\"shop\");",
        shop.name
    );
    fs::write(home.state().join("policy/imported.cedar"), use_it).unwrap();
    permit(&home, &shop, "shop/keystore");
    let first = shop.delivered(&home);
    let old = shop.taken(&home, "first");
    fs::write(old.path("pass"), "First of all").unwrap();
    old.is_served_by_java("keystore.p12", "truststore.p12", "pass");
    let listed = old.listed("truststore.jks", "pass");
    assert!(listed.contains("contains 2 entries"), "ours and the company's: {listed}");

    // Its tmpfs is empty after a restart; what comes is byte for byte what was there.
    let _ = docker(&["restart", "--time", "0", shop.container.id()]);
    until("the store to be there again", PATIENCE, || shop.read("keystore.p12"));
    assert_eq!(shop.delivered(&home)["serial"], first["serial"]);
    let new = shop.taken(&home, "second");
    for file in ["keystore.p12", "keystore.jks", "truststore.p12", "truststore.jks"] {
        assert_eq!(new.bytes(file), old.bytes(file), "{file}");
    }
    // Another password: the same certificate in another store.
    set(&home, "shop/keystore", "Second to none");
    let other = until("another store", PATIENCE, || {
        shop.read("keystore.p12").filter(|store| *store != old.bytes("keystore.p12"))
    });
    assert_eq!(shop.read("tls.crt").unwrap(), old.bytes("tls.crt"));
    fs::write(new.path("keystore.p12"), other).unwrap();
    fs::write(new.path("pass"), "Second to none").unwrap();
    assert!(new.listed("keystore.p12", "pass").contains("PrivateKeyEntry"));
}

#[test]
fn java_reads_the_roots_that_a_label_puts_there() {
    if missing() {
        return;
    }
    let home = Home::initialised();
    let company = Company::new(&home);
    let _daemon = home.up();
    set(&home, "shop/trust", "Trust me, do");
    let labels = [
        "trust.known.format=pkcs12",
        "trust.old.format=jks",
        "trust.own.format=pkcs12",
        "trust.own.password=shop/trust",
        "trust.word.password=shop/trust",
    ];
    let shop = Shop::start(&home, &Image::busybox(), &labels);
    let trusts = || -> Vec<Value> {
        let status = home.json(&["status"]);
        let containers = status["containers"].as_array().cloned().unwrap_or_default();
        let found = containers.into_iter().find(|found| found["name"] == shop.name.as_str());
        found.and_then(|found| found["trusts"].as_array().cloned()).unwrap_or_default()
    };
    let is = |name: &str, state: &str| {
        until(&format!("{name} to be {state}"), PATIENCE, || {
            trusts().into_iter().find(|one| one["name"] == name && one["state"] == state)
        })
    };
    is("known", "delivered");
    is("old", "delivered");
    let hint = is("own", "refused")["hint"].as_str().unwrap().to_owned();
    assert!(hint.contains("Secret::Read") && hint.contains("shop/trust"), "{hint}");
    assert!(is("word", "bad label")["reason"].as_str().unwrap().contains("trust.word.password"));
    permit(&home, &shop, "shop/trust");
    is("own", "delivered");
    let read = |name: &str, password: &str, entries: usize| {
        let (path, file) = (format!("/run/sealock/trust/{name}"), home.path("roots"));
        fs::write(&file, shop.container.exec(&["cat", &path]).stdout).unwrap();
        let file = file.display().to_string();
        let listed = Command::new("keytool")
            .args(["-list", "-keystore", &file, "-storepass", password])
            .output()
            .unwrap();
        let listed = text(&listed.stdout);
        listed.matches("trustedCertEntry").count() == entries && listed.contains("ca, ")
    };
    for (name, password) in [("known", "changeit"), ("old", "changeit"), ("own", "Trust me, do")] {
        assert!(read(name, password, 1), "{name}");
    }
    assert!(!read("own", "changeit", 1));
    home.ok(&["trust", "add", &company.path("root.pem"), "--name", "corp"]);
    for (name, password) in [("known", "changeit"), ("old", "changeit"), ("own", "Trust me, do")] {
        until("the company's root", PATIENCE, || read(name, password, 2).then_some(()));
    }
    set(&home, "shop/trust", "Trust nobody");
    until("another password", PATIENCE, || read("own", "Trust nobody", 2).then_some(()));
}

/// A daemon that is killed while passwords change leaves a store that was, and the next one makes what should be.
#[test]
fn killed_at_any_moment_the_next_start_has_the_store_of_now() {
    if missing() {
        return;
    }
    let home = Home::new();
    let daemon = home.up();
    set(&home, "shop/keystore", "Number zero");
    let labels = ["cert.web.format=pkcs12,jks", "cert.web.password=shop/keystore"];
    let image = Image::busybox();
    let shops: Vec<Shop> = (0..3).map(|_| Shop::start(&home, &image, &labels)).collect();
    let rule = "permit (principal is Sealock::Service, action == Sealock::Action::\"Secret::Read\", \
                resource == Sealock::Secret::\"shop/keystore\");";
    fs::write(home.state().join("policy/keystore.cedar"), rule).unwrap();
    home.ok(&["policy", "reload"]);
    for shop in &shops {
        shop.delivered(&home);
    }
    let mut daemon = Some(daemon);
    for number in 1..=6_u64 {
        // Somewhere between the change and the end of its deliveries.
        set(&home, "shop/keystore", &format!("Number {number}"));
        std::thread::sleep(std::time::Duration::from_millis(number * 97 % 400));
        daemon.take().unwrap().kill();
        daemon = Some(home.up());
    }
    let wanted = home.write("pass", "Number 6");
    for (number, shop) in shops.iter().enumerate() {
        let mut tries = 0;
        until("the store of now", PATIENCE, || {
            tries += 1;
            let folder = format!("taken-{number}-{tries}");
            let taken = shop.taken_unless_replaced(&home, &folder)?;
            fs::copy(&wanted, taken.path("pass")).unwrap();
            let password = format!("file:{}", taken.path("pass"));
            let store = taken.path("keystore.p12");
            let open = Command::new("openssl")
                .args(["pkcs12", "-noout", "-passin", &password, "-in", &store])
                .output();
            if !open.unwrap().status.success() {
                return None;
            }
            assert_eq!(taken.serial_in("keystore.p12", "pass"), taken.serial());
            assert!(taken.listed("keystore.jks", "pass").contains("PrivateKeyEntry"));
            // And what is told is what stands there.
            let status = home.certificate(&shop.name, "web")?;
            let serial = status["serial"].as_str().unwrap_or_default().to_uppercase();
            let same = taken.serial().trim() == format!("serial={serial}").replace(':', "");
            (same && status["state"] == "delivered").then_some(())
        });
        let left = shop.container.output(&["ls", "-A", "/run/sealock/certs"]);
        assert_eq!(left.trim(), "web", "nothing is left beside it");
    }
    assert!(home.ok(&["audit", "verify"]).contains("unbroken"));
}
