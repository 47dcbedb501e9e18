//! The CA's keys in an HSM, by the real binary and SoftHSM: made there, put there, taken away in the middle, and a
//! module that lies. And the passphrase as systemd hands it over.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use sealock_testkit::softhsm::SoftHsm;
use sealock_testkit::wait::until;
use serde_json::Value;

use crate::support::{Daemon, Home, PATIENCE, text, tool};

/// An installation whose settings name a token.
pub(crate) struct Scene {
    pub(crate) home: Home,
    pub(crate) token: SoftHsm,
    settings: String,
}

/// What names a token in the settings file, by this module.
pub(crate) fn settings(token: &SoftHsm, module: &str) -> String {
    format!(
        "[hsm]\nmodule = \"{module}\"\ntoken = \"{}\"\npin_file = \"{}\"\ndeadline = \"2s\"\n\
         environment = [\"SOFTHSM2_CONF={}\"]\n",
        SoftHsm::LABEL,
        token.pin_file().display(),
        token.configuration().display(),
    )
}

impl Scene {
    /// `None` where there is no SoftHSM.
    pub(crate) fn new() -> Option<Self> {
        Self::with(|token| token.module().display().to_string(), "")
    }

    fn with(module: impl Fn(&SoftHsm) -> String, more: &str) -> Option<Self> {
        let token = SoftHsm::new()?;
        let home = Home::new();
        let settings = settings(&token, &module(&token)) + more;
        let settings = home.write("sealock.toml", &settings);
        Some(Self { home, token, settings })
    }

    pub(crate) fn all<'a>(&'a self, arguments: &[&'a str]) -> Vec<&'a str> {
        [&["--config", self.settings.as_str()], arguments].concat()
    }

    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        self.home.ok(&self.all(arguments))
    }

    pub(crate) fn fails(&self, arguments: &[&str]) -> String {
        let said = self.home.fails(1, &self.all(arguments));
        assert!(!said.contains(SoftHsm::PIN), "{said}");
        said
    }

    /// Where the keys of active root and intermediate are.
    pub(crate) fn keys(&self) -> [String; 2] {
        let ca: Value = serde_json::from_str(&self.ok(&["--json", "ca", "show"])).unwrap();
        ["roots", "intermediates"].map(|kind| ca[kind][0]["key"].as_str().unwrap().to_owned())
    }

    fn fingerprints(&self) -> [Value; 2] {
        let ca: Value = serde_json::from_str(&self.ok(&["--json", "ca", "show"])).unwrap();
        ["roots", "intermediates"].map(|kind| ca[kind][0]["fingerprint"].clone())
    }

    /// How many private keys the token has.
    pub(crate) fn objects(&self) -> usize {
        let mut command = std::process::Command::new("pkcs11-tool");
        command.arg("--module").arg(self.token.module()).args(["--token-label", SoftHsm::LABEL]);
        let listed = self.token.succeed(command.args(["--login", "--pin", SoftHsm::PIN, "-O"]));
        listed.matches("Private Key Object").count()
    }

    pub(crate) fn issue(&self, name: &str) {
        self.ok(&["cert", "issue", name]);
        self.verify(name);
    }

    fn verify(&self, name: &str) {
        let folder = self.home.path(name);
        let (roots, leaf) = (folder.join("ca.crt"), folder.join("tls.crt"));
        let (roots, leaf) = (roots.to_str().unwrap(), leaf.to_str().unwrap());
        tool("openssl", &["verify", "-CAfile", roots, "-untrusted", leaf, leaf]);
    }

    pub(crate) fn up(&self) -> Daemon {
        self.home.up_with(&["--config", &self.settings])
    }

    pub(crate) fn certificates(&self) -> usize {
        let listed: Value =
            serde_json::from_str(&self.ok(&["--json", "cert", "list", "--all"])).unwrap();
        listed["certificates"].as_array().map_or(0, Vec::len)
    }
}

const INIT: [&str; 7] =
    ["init", "--trust-domain", "test.sealock", "--root-key", "hsm", "--intermediate-key", "hsm"];

#[test]
fn keys_are_made_in_the_token_and_everything_else_is_as_before() {
    let Some(scene) = Scene::new() else { return };
    scene.ok(&INIT);
    assert!(scene.keys().iter().all(|key| key.starts_with("hsm ")), "{:?}", scene.keys());
    assert_eq!(scene.objects(), 2);
    scene.issue("one");
    let said = scene.ok(&["ca", "show"]);
    assert!(said.contains("Root key       in the HSM"), "{said}");
    scene.ok(&["ca", "rotate", "intermediate"]);
    scene.issue("two");
    scene.ok(&["ca", "rotate", "root"]);
    scene.issue("three");
    assert!(scene.keys().iter().all(|key| key.starts_with("hsm ")));
    assert_eq!(scene.objects(), 5);
    scene.ok(&["ca", "crl", "--out", scene.home.path("all.pem").to_str().unwrap()]);
    scene.ok(&["audit", "verify"]);
    // A key that was born there does not come out by any door.
    let out = scene.home.path("root.key");
    let said = scene.fails(&["ca", "export-root-key", "--out", out.to_str().unwrap()]);
    assert!(said.contains("in the HSM") && !out.exists(), "{said}");
    let said = scene.fails(&["ca", "migrate-key", "root", "--to", "store"]);
    assert!(said.contains("does not leave the HSM") && said.contains("ca rotate"), "{said}");
    // Made again it says where the keys are.
    let said = scene.fails(&["init", "--root-key", "store"]);
    assert!(said.contains("ca migrate-key root"), "{said}");
    // Nothing of the PIN is in what is kept.
    for file in ["state.db", "state.db-wal"] {
        let bytes = std::fs::read(scene.home.state().join(file)).unwrap_or_default();
        let pin = SoftHsm::PIN.as_bytes();
        assert!(!bytes.windows(pin.len()).any(|part| part == pin), "{file}");
    }
}

#[test]
fn keys_of_every_kind_sign_in_the_token() {
    for kind in ["p384", "ed25519", "rsa3072"] {
        let Some(scene) = Scene::new() else { return };
        scene.ok(&[&INIT[..], &["--key-type", kind]].concat());
        scene.issue("one");
        // And put there.
        drop(scene);
        let Some(scene) = Scene::new() else { return };
        scene.ok(&["init", "--trust-domain", "test.sealock", "--key-type", kind]);
        scene.ok(&["ca", "migrate-key", "intermediate", "--to", "hsm", "--extractable"]);
        scene.issue("two");
        if kind == "ed25519" {
            // SoftHSM takes them in and does not wrap them: nothing has changed.
            let said = scene.fails(&["ca", "migrate-key", "intermediate", "--to", "store"]);
            assert!(said.contains("does not leave the HSM"), "{said}");
            assert_eq!(scene.objects(), 1);
        } else {
            scene.ok(&["ca", "migrate-key", "intermediate", "--to", "store"]);
            assert_eq!(scene.objects(), 0, "{kind}");
        }
        scene.issue("three");
    }
}

#[test]
fn keys_move_in_and_stay_or_come_back_as_was_said() {
    let Some(scene) = Scene::new() else { return };
    scene.ok(&["init", "--trust-domain", "test.sealock"]);
    scene.issue("before");
    let fingerprints = scene.fingerprints();
    let sealed = || std::fs::read(scene.home.state().join("state.db")).unwrap().len();
    assert!(sealed() > 0);
    for _ in 0..2 {
        scene.ok(&["ca", "migrate-key", "intermediate", "--to", "hsm"]);
    }
    scene.ok(&["ca", "migrate-key", "root", "--to", "hsm", "--extractable"]);
    assert_eq!(scene.objects(), 2);
    assert_eq!(scene.fingerprints(), fingerprints, "no certificate has changed");
    scene.issue("after");
    scene.verify("before");
    let said = scene.fails(&["ca", "migrate-key", "intermediate", "--to", "store"]);
    assert!(said.contains("ca rotate"), "{said}");
    scene.ok(&["ca", "migrate-key", "root", "--to", "store"]);
    assert_eq!(scene.keys()[0], "store");
    assert_eq!(scene.objects(), 1);
    scene.ok(&["ca", "rotate", "root"]);
    scene.issue("last");
    scene.ok(&["audit", "verify"]);
    let tail = scene.ok(&["--json", "audit", "tail"]);
    assert_eq!(tail.matches("ca-key-moved").count(), 3, "{tail}");
}

#[test]
fn two_hundred_at_once_and_the_helper_killed_among_them() {
    let Some(scene) = Scene::new() else { return };
    scene.ok(&INIT);
    let daemon = scene.up();
    let before = scene.certificates();
    let outcomes: Vec<(String, bool)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..8)
            .map(|worker| {
                let scene = &scene;
                scope.spawn(move || {
                    let one = |number: usize| {
                        let name = format!("c{worker}-{number}");
                        let out = scene.home.run(&scene.all(&["cert", "issue", &name]));
                        let said = text(&out.stderr);
                        let good = out.status.success();
                        assert!(good || said.contains("HSM"), "{said}");
                        (name, good)
                    };
                    (0..25).map(one).collect::<Vec<_>>()
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(300));
        signal_helper(&daemon, "KILL");
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    let good: Vec<_> = outcomes.iter().filter(|(_, good)| *good).collect();
    assert!(good.len() >= 180, "{} of 200", good.len());
    assert_eq!(scene.certificates(), before + good.len(), "what failed is not recorded");
    for (name, _) in good.iter().step_by(20) {
        scene.verify(name);
    }
    scene.ok(&["audit", "verify"]);
    assert_eq!(daemon.stop(), Some(0));
}

/// Sends a signal to the helper of a daemon, once there is one.
fn signal_helper(daemon: &Daemon, name: &str) {
    let helper = until("the helper", PATIENCE, || helper_of(daemon.id()));
    crate::support::signal(helper, name);
}

fn helper_of(parent: u32) -> Option<u32> {
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).find(|id| {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let own = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok());
        let command = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        own == Some(parent) && command.starts_with(b"sealock-hsm-helper")
    })
}

#[test]
fn unplugged_in_the_middle_of_the_work() {
    let Some(scene) = Scene::new() else { return };
    scene.ok(&INIT);
    let daemon = scene.up();
    scene.issue("before");
    let before = scene.certificates();
    let serial = tool(
        "openssl",
        &["x509", "-noout", "-serial", "-in", scene.home.path("before/tls.crt").to_str().unwrap()],
    );
    assert!(serial.starts_with("serial="));
    scene.token.unplug();
    for name in ["a", "b"] {
        let said = scene.fails(&["cert", "issue", name]);
        assert!(said.contains("HSM") && said.contains("hint:"), "{said}");
        assert!(!scene.home.path(name).exists());
    }
    assert_eq!(scene.certificates(), before);
    // Everything else goes on, and it is said.
    let status: Value = serde_json::from_str(&scene.ok(&["--json", "status"])).unwrap();
    let alarms = status["alarms"].as_array().unwrap();
    assert!(alarms.iter().any(|alarm| alarm["alarm"] == "hsm"), "{alarms:?}");
    scene.token.plug();
    until("the HSM", PATIENCE, || {
        scene.home.run(&scene.all(&["cert", "issue", "c"])).status.success().then_some(())
    });
    scene.verify("c");
    let status: Value = serde_json::from_str(&scene.ok(&["--json", "status"])).unwrap();
    assert!(!status["alarms"].to_string().contains("\"hsm\""), "{status}");
    scene.ok(&["audit", "verify"]);

    // Stopped, it is given up at the deadline; the next one works.
    signal_helper(&daemon, "STOP");
    let said = scene.fails(&["cert", "issue", "d"]);
    assert!(said.contains("does not answer within 2s"), "{said}");
    scene.issue("e");
    // Whoever kills us has killed it.
    let helper = helper_of(daemon.id()).unwrap();
    daemon.kill();
    until("its end", PATIENCE, || (!Path::new(&format!("/proc/{helper}")).exists()).then_some(()));
}

#[test]
fn a_start_without_the_hsm_serves_what_needs_none() {
    let Some(scene) = Scene::new() else { return };
    scene.ok(&INIT);
    let daemon = scene.up();
    scene.issue("before");
    assert_eq!(daemon.stop(), Some(0));
    scene.token.unplug();
    let daemon = scene.up();
    assert!(scene.home.log().contains("the HSM does not answer"), "{}", scene.home.log());
    assert!(scene.ok(&["ca", "bundle"]).contains("BEGIN CERTIFICATE"));
    scene.ok(&["secret", "list"]);
    scene.fails(&["cert", "issue", "no"]);
    scene.token.plug();
    until("the HSM", PATIENCE, || {
        scene.home.run(&scene.all(&["cert", "issue", "yes"])).status.success().then_some(())
    });
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_module_that_signs_wrongly_gets_nothing_recorded() {
    let Some(scene) = Scene::with(|token| token.proxy().display().to_string(), "") else { return };
    scene.ok(&INIT);
    scene.issue("before");
    let before = scene.certificates();
    for how in ["wrong", "short"] {
        scene.token.tell(how);
        let said = scene.fails(&["cert", "issue", how]);
        assert!(said.contains("signature that is wrong"), "{said}");
        scene.token.untell(how);
    }
    assert_eq!(scene.certificates(), before);
    scene.token.tell("print");
    scene.issue("printed");
    scene.token.untell("print");
    scene.token.tell("crash");
    let said = scene.fails(&["cert", "issue", "crashed"]);
    assert!(said.contains("does not answer"), "{said}");
    scene.token.untell("crash");
    scene.issue("after");
}

#[test]
fn a_wrong_pin_is_tried_once_however_often_it_is_started() {
    let Some(scene) = Scene::with(|token| token.proxy().display().to_string(), "") else { return };
    scene.ok(&INIT);
    let before = scene.token.logins();
    std::fs::write(scene.token.pin_file(), "0000\n").unwrap();
    let up = ["up", "--api", "off", "--gateway", "off"];
    let said = scene.fails(&up);
    assert!(said.contains("refuses the PIN") && said.contains("locks itself"), "{said}");
    for _ in 0..3 {
        let said = scene.fails(&up);
        assert!(said.contains("has refused this PIN; it is not tried again"), "{said}");
        assert!(said.contains("sealock ca retry-pin"), "{said}");
    }
    assert_eq!(scene.token.logins(), before + 1);
    // Whoever says so has it tried once more.
    let said = scene.fails(&["ca", "retry-pin"]);
    assert!(said.contains("refuses the PIN"), "{said}");
    assert_eq!(scene.token.logins(), before + 2);
    std::fs::set_permissions(scene.token.pin_file(), std::fs::Permissions::from_mode(0o644))
        .unwrap();
    let said = scene.fails(&["cert", "issue", "a"]);
    assert!(said.contains("by others"), "{said}");
    assert_eq!(scene.token.logins(), before + 2, "and none from a file that others read");
    // Another PIN is another one.
    std::fs::write(scene.token.pin_file(), SoftHsm::PIN).unwrap();
    std::fs::set_permissions(scene.token.pin_file(), std::fs::Permissions::from_mode(0o600))
        .unwrap();
    scene.issue("b");
    let log = scene.ok(&["--json", "audit", "export"]);
    assert_eq!(log.matches("login to the HSM").count(), 2, "each refusal is recorded");
    assert!(!log.contains("0000\\n") && !log.contains(SoftHsm::PIN));
}

/// As with systemd's `Restart=`: the module ends its process in the middle of each login.
#[test]
fn a_start_that_dies_in_each_login_tries_a_pin_that_nobody_knows_once() {
    let Some(scene) = Scene::with(|token| token.proxy().display().to_string(), "") else { return };
    scene.ok(&INIT);
    scene.issue("before");
    // The daemon's own certificates are there before.
    assert_eq!(scene.up().stop(), Some(0));
    std::fs::write(scene.token.pin_file(), "0000\n").unwrap();
    scene.token.tell("crash-login");
    let before = scene.token.logins();
    scene.fails(&["cert", "issue", "no"]);
    for _ in 0..3 {
        let said = scene.fails(&["cert", "issue", "no"]);
        assert!(said.contains("came to no end") && said.contains("ca retry-pin"), "{said}");
    }
    assert_eq!(scene.token.logins(), before + 1);
    scene.token.untell("crash-login");
    let said = scene.fails(&["cert", "issue", "no"]);
    assert!(said.contains("came to no end"), "{said}");
    let daemon = scene.up();
    let status: Value = serde_json::from_str(&scene.ok(&["--json", "status"])).unwrap();
    let alarms = status["alarms"].as_array().unwrap();
    let alarm = alarms.iter().find(|alarm| alarm["alarm"] == "hsm").expect("an alarm");
    assert!(alarm["hint"].as_str().unwrap().contains("retry-pin"), "{alarm}");
    assert_eq!(scene.token.logins(), before + 1);
    // It is put right while it runs.
    std::fs::write(scene.token.pin_file(), SoftHsm::PIN).unwrap();
    until("the HSM", PATIENCE, || {
        scene.home.run(&scene.all(&["cert", "issue", "after"])).status.success().then_some(())
    });
    assert_eq!(daemon.stop(), Some(0));
    // What the token has taken is tried again, whatever has ended a login; a kill there heals by itself.
    scene.token.tell("crash-login");
    scene.fails(&["cert", "issue", "no"]);
    scene.token.untell("crash-login");
    scene.issue("last");
    // A person says that it may be tried.
    let said = scene.ok(&["ca", "retry-pin"]);
    assert!(said.contains("takes the PIN"), "{said}");
}

#[test]
fn the_pin_as_a_credential() {
    let Some(scene) = Scene::new() else { return };
    let text = std::fs::read_to_string(&scene.settings).unwrap();
    let without: String = text
        .lines()
        .filter(|line| !line.starts_with("pin_file"))
        .map(|line| format!("{line}\n"))
        .collect();
    std::fs::write(&scene.settings, without).unwrap();
    let said = scene.fails(&INIT);
    assert!(said.contains("sealock-hsm-pin"), "{said}");
    let folder = credentials(&scene.home, "sealock-hsm-pin", SoftHsm::PIN, 0o440);
    let with = |arguments: &[&str]| {
        let mut command = scene.home.command();
        command.env("CREDENTIALS_DIRECTORY", &folder).args(scene.all(arguments));
        command.output().unwrap()
    };
    let made = with(&INIT);
    assert!(made.status.success(), "{}", crate::support::text(&made.stderr));
    assert_eq!(scene.objects(), 2);
}

#[test]
fn modules_that_must_not_be_loaded() {
    let Some(scene) = Scene::with(|token| token.place("open.so").display().to_string(), "") else {
        return;
    };
    let module = scene.token.place("open.so");
    let said = scene.fails(&INIT);
    assert!(said.contains("open.so"), "{said}");
    std::fs::copy(scene.token.module(), &module).unwrap();
    std::fs::set_permissions(&module, std::fs::Permissions::from_mode(0o666)).unwrap();
    let said = scene.fails(&INIT);
    assert!(said.contains("others can write to") && said.contains("open.so"), "{said}");
    std::fs::write(&module, "no module").unwrap();
    std::fs::set_permissions(&module, std::fs::Permissions::from_mode(0o644)).unwrap();
    let said = scene.fails(&INIT);
    assert!(said.contains("cannot be loaded"), "{said}");
    // Nothing half made: without the HSM it is an ordinary init.
    scene.ok(&["init", "--trust-domain", "test.sealock"]);
    assert_eq!(scene.keys(), ["store", "store"]);
}

/// A folder as systemd makes it, with one credential.
fn credentials(home: &Home, name: &str, content: &str, mode: u32) -> std::path::PathBuf {
    let folder = home.path("credentials");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(name), content).unwrap();
    std::fs::set_permissions(folder.join(name), std::fs::Permissions::from_mode(mode)).unwrap();
    folder
}

#[test]
fn the_passphrase_as_a_credential() {
    let home = Home::new();
    let right = home.write("right", "correct horse battery\n");
    home.ok(&["--passphrase-file", &right, "init", "--key-protection", "passphrase"]);
    let up = |folder: &Path| {
        let log = std::fs::File::create(home.path("daemon.log")).unwrap();
        let mut command = home.command();
        command.env("CREDENTIALS_DIRECTORY", folder);
        command.args(["up", "--api", "off", "--gateway", "off"]);
        command.stdout(log.try_clone().unwrap()).stderr(log);
        Daemon::of(command.spawn().unwrap())
    };
    let name = "sealock-passphrase";
    // As systemd gives it to a service with a user of its own: root's, with an access list.
    let folder = credentials(&home, name, "correct horse battery\n", 0o440);
    let daemon = up(&folder);
    until("the daemon to answer", PATIENCE, || {
        let status = home.run(&["--json", "status"]);
        let status: Value = serde_json::from_slice(&status.stdout).ok()?;
        (status["daemon"] == true).then_some(())
    });
    assert_eq!(daemon.stop(), Some(0));
    for (content, mode, why) in [
        ("wrong horse\n", 0o400, "passphrase"),
        ("correct horse battery\n", 0o444, "others"),
        ("correct horse battery\n", 0o620, "others"),
        ("", 0o400, "empty"),
    ] {
        std::fs::remove_dir_all(&folder).unwrap();
        let folder = credentials(&home, name, content, mode);
        assert_eq!(up(&folder).ends(), Some(1), "{content:?} {mode:o}");
        let said = home.log();
        assert!(said.contains(why) && !said.contains("horse"), "{said}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(up(&folder).ends(), Some(1));
    assert!(home.log().contains("--passphrase-file"), "{}", home.log());
}
