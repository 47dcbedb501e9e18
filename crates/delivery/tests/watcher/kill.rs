//! SIGKILL at any moment of an issue or a delivery: the next start heals.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use sealock_core::audit::Fact;
use sealock_testkit::clients::{skip_without_engine, skip_without_root};
use sealock_testkit::docker::{Container, Image};
use sealock_testkit::{unique_name, wait};

use super::installation::{Installation, PATIENCE, run_in};

/// Set in the process that is killed: the state folder.
pub(crate) const STATE: &str = "SEALOCK_TEST_STATE";
/// Set in the process that is killed: the scope.
pub(crate) const SCOPE: &str = "SEALOCK_TEST_SCOPE";
const FOLDER: &str = "/run/sealock/certs/web";
const KILLS: u64 = 12;

pub(crate) fn socket(_: &Path) -> PathBuf {
    PathBuf::from("/var/run/docker.sock")
}

/// Delivers as fast as it can until it is killed.
fn deliver_for_ever(state: &str, scope: String) {
    let mut installation = Installation::reopen(Path::new(state), scope, socket);
    installation.start();
    std::fs::write(Path::new(state).join("started"), "").unwrap();
    loop {
        for status in installation.watcher().snapshot() {
            // It may have been stopped a moment ago.
            let _ = installation.watcher().renew_now(&status.container_id, "web");
        }
        thread::sleep(Duration::from_millis(10));
    }
}

pub(crate) fn kill_at(moment: Duration, state: &Path, scope: &str) {
    let started = state.join("started");
    let _ = std::fs::remove_file(&started);
    let name = thread::current().name().unwrap().to_owned();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([&name, "--exact", "--nocapture"])
        .env(STATE, state)
        .env(SCOPE, scope)
        .spawn()
        .unwrap();
    wait::until("the watcher to be killed", PATIENCE, || started.exists().then_some(()));
    thread::sleep(moment);
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success());
}

#[test]
fn a_sigkill_at_any_moment_doubles_nothing_and_leaves_nothing_behind() {
    if let (Ok(state), Ok(scope)) = (std::env::var(STATE), std::env::var(SCOPE)) {
        return deliver_for_ever(&state, scope);
    }
    if skip_without_engine() || skip_without_root() {
        return;
    }
    let (image, scope) = (Image::busybox(), unique_name());
    let folder = sealock_testkit::scratch_folder();
    let options = ["--tmpfs", "/run", "--label", "sealock.cert.web.ttl=1h"];
    let containers: Vec<Container> =
        (0..3).map(|_| run_in(&scope, &image, &options, &[])).collect();
    for number in 0..KILLS {
        kill_at(Duration::from_millis(number * 41 % 300), folder.path(), &scope);
    }

    let mut installation = Installation::reopen(folder.path(), scope, socket);
    installation.start();
    for container in &containers {
        wait::until("the start to heal", PATIENCE, || {
            let status = installation.status_of(container, "web")?;
            let same = status.serial.is_some() && serial_in(container) == status.serial;
            (same && left_over(container).is_empty()).then_some(())
        });
    }
    let mut serials = BTreeSet::new();
    for fact in installation.facts() {
        if let Fact::CertDelivered { serial, .. } = fact {
            assert!(serials.insert(serial.clone()), "{serial} was delivered twice");
        }
    }
    assert_eq!(keys_in(folder.path()), Vec::<PathBuf>::new());
    assert!(serials.len() as u64 >= KILLS, "{} deliveries between the kills", serials.len());
}

/// The text of private keys in whatever the state folder holds.
fn keys_in(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let holds = |path: &PathBuf| {
        let content = std::fs::read(path).unwrap();
        content.windows(11).any(|bytes| bytes == b"PRIVATE KEY")
    };
    files.filter(|path| path.is_file()).filter(holds).collect()
}

/// What is in the container that does not belong to one version of one delivery.
fn left_over(container: &Container) -> Vec<String> {
    let list = |folder: &str| container.output(&["ls", "-A", folder]);
    let (above, here) = (list("/run/sealock/certs"), list(FOLDER));
    let current = container.output(&["readlink", &format!("{FOLDER}/..data")]);
    let expected = ["..data", current.trim(), "bundle.pem", "ca.crt", "tls.crt", "tls.key"];
    let beside = above.lines().filter(|name| *name != "web");
    let inside = here.lines().filter(|name| !expected.contains(name));
    beside.chain(inside).map(str::to_owned).collect()
}

/// The serial in a container, whose key must be there too and fit.
fn serial_in(container: &Container) -> Option<String> {
    let read = |file: &str| {
        let output = container.exec(&["cat", &format!("{FOLDER}/{file}")]);
        output.status.success().then_some(output.stdout)
    };
    let leaf = CertificateDer::from_pem_slice(&read("tls.crt")?).unwrap();
    let key = PrivateKeyDer::from_pem_slice(&read("tls.key")?).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    CertifiedKey::from_der(vec![leaf.clone()], key, &provider).expect("the key fits");
    let (_, parsed) = x509_parser::parse_x509_certificate(&leaf).unwrap();
    Some(data_encoding::HEXLOWER.encode(parsed.tbs_certificate.raw_serial()))
}
