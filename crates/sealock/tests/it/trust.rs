//! Roots where programs look for them, in systems that are folders: the real `update-ca-certificates` runs in one, and
//! openssl, curl and keytool look at what it has made; and in a copy of this machine's own, which is never touched itself.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use sealock_testkit::clients::{skip_without, skip_without_root};

use crate::corporate::Company;
use crate::support::{Home, text, tool};

mod running;

const LOCAL: &str = "usr/local/share/ca-certificates";
const BUNDLE: &str = "etc/ssl/certs/ca-certificates.crt";
const JAVAS: &str = "etc/ssl/certs/java/cacerts";

/// What update-ca-certificates runs, with its libraries, and two roots of others.
const DEBIAN: &str = r#"
set -eu
cd "$1"
mkdir -p dev tmp etc/ssl/certs etc/ca-certificates/update.d usr/local/share/ca-certificates usr/share/ca-certificates/mozilla
: > dev/null
put() { cp -L --parents "$1" .; ldd "$1" 2>/dev/null | grep -o '/[^ ]*' | while read -r library; do cp -L --parents "$library" .; done; }
for program in sed mktemp rm ln basename readlink find sort wc openssl chmod mv cat run-parts; do put "$(command -v $program)"; done
put /bin/sh
put /usr/bin/test
cp -L --parents /usr/sbin/update-ca-certificates .
for root in ISRG_Root_X1 GlobalSign_Root_R46; do
  cp "/usr/share/ca-certificates/mozilla/$root.crt" usr/share/ca-certificates/mozilla/
  echo "mozilla/$root.crt" >> etc/ca-certificates.conf
done
cp /usr/share/ca-certificates/mozilla/ISRG_Root_X1.crt usr/local/share/ca-certificates/sealock-mine.crt
printf '#!/bin/sh\ncat >> /tmp/hook\n' > etc/ca-certificates/update.d/hook
chmod 755 etc/ca-certificates/update.d/hook
chroot . /usr/sbin/update-ca-certificates
"#;

/// A system in a folder.
struct System(tempfile::TempDir);

impl System {
    fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self(folder)
    }

    fn debian() -> Self {
        let system = Self::empty();
        tool("sh", &["-c", DEBIAN, "sh", &system.root()]);
        system
    }

    fn root(&self) -> String {
        self.0.path().display().to_string()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn program(&self, name: &str, script: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// All files and links below a folder, with what they hold.
    fn state(&self, below: &str) -> Vec<(PathBuf, Vec<u8>)> {
        let mut all = Vec::new();
        let mut folders = vec![self.path(below)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
                let (path, kind) = (entry.path(), entry.file_type().unwrap());
                if kind.is_dir() {
                    folders.push(path);
                } else if kind.is_symlink() {
                    let target = fs::read_link(&path).unwrap();
                    all.push((path, target.into_os_string().into_encoded_bytes()));
                } else {
                    let bytes = fs::read(&path).unwrap();
                    all.push((path, bytes));
                }
            }
        }
        all.sort();
        all
    }

    /// Whether openssl in this system trusts a certificate by the bundle, and by the folder of links.
    fn trusts(&self, folder: &Path) -> (bool, bool) {
        fs::copy(folder.join("tls.crt"), self.path("tmp/leaf.pem")).unwrap();
        let verify = |by: &[&str]| {
            let mut command = Command::new("chroot");
            command.arg(self.0.path()).args(["/usr/bin/openssl", "verify"]).args(by);
            command.args(["-untrusted", "/tmp/leaf.pem", "/tmp/leaf.pem"]);
            command.output().unwrap().status.success()
        };
        let bundle = format!("/{BUNDLE}");
        (
            verify(&["-no-CApath", "-CAfile", &bundle]),
            verify(&["-no-CAfile", "-CApath", "/etc/ssl/certs"]),
        )
    }
}

fn on<'a>(verb: &'a str, root: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["trust", verb, "--root", root][..], more].concat()
}

/// `openssl s_server` with the certificate of a folder.
struct Server(Child, String);

impl Server {
    fn of(folder: &Path) -> Self {
        let file = |name: &str| folder.join(name).display().to_string();
        let mut child = Command::new("openssl")
            .args(["s_server", "-accept", "127.0.0.1:0", "-www", "-cert", &file("tls.crt")])
            .args(["-cert_chain", &file("tls.crt"), "-key", &file("tls.key")])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let accept = said.lines().map(Result::unwrap).find(|line| line.starts_with("ACCEPT"));
        let port = accept.unwrap().rsplit(':').next().unwrap().trim().to_owned();
        Self(child, port)
    }

    fn answers(&self, bundle: &Path) -> bool {
        let url = format!("https://shop.test:{}/", self.1);
        let resolve = format!("shop.test:{}:127.0.0.1", self.1);
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--max-time", "20", "--noproxy", "*", "--resolve", &resolve]);
        curl.arg("--cacert").arg(bundle).arg(&url).output().unwrap().status.success()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn debian_missing() -> bool {
    skip_without_root() || skip_without(&["openssl", "update-ca-certificates", "chroot", "ldd"])
}

#[test]
fn a_debian_system_trusts_what_is_handed_out_until_it_is_taken_out() {
    if debian_missing() || skip_without(&["curl"]) {
        return;
    }
    let (home, system) = (Home::initialised(), System::debian());
    let root = system.root();
    let _company = Company::new(&home);
    home.ok(&["trust", "add", "corp/root.pem", "--name", "corp"]);
    home.ok(&["cert", "issue", "shop", "--dns", "shop.test"]);
    let shop = home.path("shop");
    let corporate = fs::read_to_string(home.path("corp/root.pem")).unwrap();
    let corporate = corporate.lines().nth(1).unwrap().to_owned();
    let before = system.state("");
    assert_eq!(system.trusts(&shop), (false, false));
    let said = home.ok(&on("install", &root, &["--dry-run"]));
    assert!(said.contains("2 to add, 0 to remove; update-ca-certificates would run"), "{said}");
    assert_eq!(system.state(LOCAL).len(), 1);

    let said = home.ok(&on("install", &root, &[]));
    assert!(said.contains("2 added, 0 removed; update-ca-certificates has run"), "{said}");
    assert_eq!(system.trusts(&shop), (true, true));
    let server = Server::of(&shop);
    assert!(server.answers(&system.path(BUNDLE)));
    let bundle = fs::read_to_string(system.path(BUNDLE)).unwrap();
    assert!(bundle.contains(&corporate));
    // The system's hooks have seen it.
    assert!(
        fs::read_to_string(system.path("tmp/hook")).unwrap().contains("+/etc/ssl/certs/sealock-")
    );

    let stat = |name: &str| {
        let stat = fs::metadata(system.path(name)).unwrap();
        (stat.ino(), stat.mtime(), stat.mtime_nsec())
    };
    let (first, folder) = (stat(BUNDLE), stat(LOCAL));
    assert!(home.ok(&on("install", &root, &[])).contains("unchanged"));
    assert_eq!((stat(BUNDLE), stat(LOCAL)), (first, folder));

    home.ok(&["trust", "remove", "corp"]);
    let report = home.json(&on("install", &root, &[]));
    assert_eq!(report[0]["state"], "changed");
    assert_eq!(report[0]["removed"].as_array().unwrap().len(), 1, "{report}");
    assert_eq!(report[0]["added"].as_array().unwrap().len(), 0, "{report}");
    assert!(!fs::read_to_string(system.path(BUNDLE)).unwrap().contains(&corporate));
    assert_eq!(system.trusts(&shop), (true, true));

    let said = home.ok(&on("uninstall", &root, &[]));
    assert!(said.contains("0 added, 1 removed"), "{said}");
    assert_eq!(system.trusts(&shop), (false, false));
    assert!(!server.answers(&system.path(BUNDLE)));
    assert!(home.ok(&on("uninstall", &root, &[])).contains("unchanged"));
    // All others, one that looks much like ours among them, are as they were.
    fs::remove_file(system.path("tmp/hook")).unwrap();
    fs::remove_file(system.path("tmp/leaf.pem")).unwrap();
    let before: Vec<_> =
        before.into_iter().filter(|(path, _)| !path.ends_with("tmp/hook")).collect();
    let names = |state: &[(PathBuf, Vec<u8>)]| {
        state.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>()
    };
    let after = system.state("");
    assert_eq!(names(&after), names(&before));
    assert!(after == before, "some file is another");
}

#[test]
fn a_program_that_fails_or_does_nothing_leaves_the_folder_as_it_was() {
    if debian_missing() {
        return;
    }
    let (home, system) = (Home::initialised(), System::debian());
    let root = system.root();
    let real = fs::read_to_string(system.path("usr/sbin/update-ca-certificates")).unwrap();
    let before = system.state(LOCAL);
    for (script, says) in [
        ("#!/bin/sh\necho out of paper >&2\nexit 3\n", "out of paper"),
        ("#!/bin/sh\nexit 0\n", "has left the root"),
        ("no program", "update-ca-certificates has failed"),
    ] {
        system.program("usr/sbin/update-ca-certificates", script);
        let said = home.fails(1, &on("install", &root, &[]));
        assert!(said.contains(says), "{said}");
        let left = system.state(LOCAL);
        let marks = left.iter().filter(|(path, _)| path.ends_with(".sealock-unfinished")).count();
        assert_eq!(left.len() - marks, before.len(), "{says}: {left:?}");
    }
    // What a run that was killed has left: its mark, and a file that nobody has been told of.
    system.program("usr/sbin/update-ca-certificates", &real);
    home.ok(&on("install", &root, &[]));
    fs::write(system.path(LOCAL).join(".sealock-unfinished"), "").unwrap();
    fs::write(system.path(BUNDLE), "").unwrap();
    let said = home.ok(&on("install", &root, &[]));
    assert!(said.contains("update-ca-certificates has run"), "{said}");
    assert!(fs::metadata(system.path(BUNDLE)).unwrap().len() > 0);
    assert!(home.ok(&on("install", &root, &[])).contains("unchanged"));
}

#[test]
fn who_may_not_write_is_told_so_before_anything_changes() {
    if debian_missing() {
        return;
    }
    let (home, system) = (Home::initialised(), System::debian());
    let root = system.root();
    home.ok(&on("install", &root, &[]));
    let before = system.state("");
    // The program may have been built where only root may go: somebody else runs a copy.
    let program = tempfile::NamedTempFile::new().unwrap().into_temp_path();
    fs::copy(env!("CARGO_BIN_EXE_sealock"), &program).unwrap();
    let mut command = Command::new(&program);
    command.env_clear().env("HOME", "/nonexistent").current_dir("/").uid(65534).gid(65534);
    command.args(["--state", "/nonexistent"]).args(on("uninstall", &root, &[]));
    let output = command.output().unwrap();
    let said = text(&output.stderr);
    assert!(!output.status.success() && said.contains("cannot write"), "{said}");
    assert!(said.contains("hint: run it as root"), "{said}");
    assert!(system.state("") == before);
    let nothing = System::empty();
    let said = home.fails(1, &on("install", &nothing.root(), &[]));
    assert!(said.contains("no trust store"), "{said}");
    for (store, says) in
        [("debian", "ca-certificates"), ("rhel", "update-ca-trust"), ("java", "--java-home")]
    {
        let said = home.fails(1, &on("install", &nothing.root(), &["--store", store]));
        assert!(said.contains(says), "{said}");
    }
}

#[test]
fn a_red_hat_system_gets_its_anchors() {
    if debian_missing() {
        return;
    }
    let (home, system) = (Home::initialised(), System::debian());
    // Its program is not to be had here: this one reads and writes the same files.
    fs::remove_file(system.path("usr/sbin/update-ca-certificates")).unwrap();
    for folder in ["source/anchors", "extracted/pem"] {
        fs::create_dir_all(system.path("etc/pki/ca-trust").join(folder)).unwrap();
    }
    system.program(
        "usr/bin/update-ca-trust",
        "#!/bin/sh -e\n[ \"$*\" = extract ]\ncd /etc/pki/ca-trust\ncat source/anchors/*.crt > extracted/pem/tls-ca-bundle.pem\n",
    );
    let anchors = "etc/pki/ca-trust/source/anchors";
    fs::write(system.path(anchors).join("other.crt"), "other\n").unwrap();
    let root = system.root();
    let said = home.ok(&on("install", &root, &[]));
    assert!(
        said.starts_with("rhel") && said.contains("1 added, 0 removed; update-ca-trust has run"),
        "{said}"
    );
    assert_eq!(system.state(anchors).len(), 2);
    assert!(home.ok(&on("install", &root, &["--store", "rhel"])).contains("unchanged"));
    home.ok(&on("uninstall", &root, &[]));
    let left = system.state("etc/pki/ca-trust");
    let names: Vec<_> = left.iter().filter_map(|(path, _)| path.file_name()).collect();
    assert_eq!(names, ["tls-ca-bundle.pem", "other.crt"]);
}

/// A Java below `/opt` with a store of its own, and one whose store is Debian's.
fn java(home: &Home) -> System {
    let system = System::empty();
    for folder in
        ["opt/java/openjdk/lib/security", "usr/lib/jvm/17/lib/security", "etc/ssl/certs/java"]
    {
        fs::create_dir_all(system.path(folder)).unwrap();
    }
    let _company = Company::new(home);
    let import = |store: &str, more: &[&str]| {
        let store = system.path(store).display().to_string();
        let file = home.path("corp/root.pem").display().to_string();
        let base =
            ["-importcert", "-noprompt", "-alias", "corp", "-file", &file, "-keystore", &store];
        tool("keytool", &[&base[..], &["-storepass", "changeit"], more].concat());
    };
    import(JAVAS, &["-storetype", "JKS"]);
    import(
        "opt/java/openjdk/lib/security/cacerts",
        &[
            "-J-Dkeystore.pkcs12.macAlgorithm=NONE",
            "-J-Dkeystore.pkcs12.certProtectionAlgorithm=NONE",
        ],
    );
    symlink(format!("/{JAVAS}"), system.path("usr/lib/jvm/17/lib/security/cacerts")).unwrap();
    system
}

fn list(system: &System, store: &str) -> String {
    let store = system.path(store).display().to_string();
    tool("keytool", &["-list", "-keystore", &store, "-storepass", "changeit"])
}

#[test]
fn java_trusts_what_is_handed_out_beside_all_that_it_had() {
    if skip_without(&["openssl", "keytool"]) {
        return;
    }
    let home = Home::initialised();
    let system = java(&home);
    let root = system.root();
    let before = system.state("");
    fs::set_permissions(system.path(JAVAS), fs::Permissions::from_mode(0o640)).unwrap();
    let said = home.ok(&on("install", &root, &["--dry-run"]));
    assert_eq!(said.matches("1 to add").count(), 2, "{said}");
    assert!(system.state("") == before);
    let said = home.ok(&on("install", &root, &[]));
    assert_eq!(said.matches("1 added, 0 removed").count(), 2, "{said}");
    let own = "opt/java/openjdk/lib/security/cacerts";
    for store in [JAVAS, own] {
        let list = list(&system, store);
        assert!(list.contains("contains 2 entries") && list.contains("corp, "), "{list}");
        let ours = list.lines().find(|line| line.starts_with("sealock-")).unwrap();
        assert!(ours.contains("trustedCertEntry"), "{list}");
        let backup = fs::read(system.path(&format!("{store}.before-sealock"))).unwrap();
        assert!(before.contains(&(system.path(store), backup)));
    }
    assert_eq!(fs::metadata(system.path(JAVAS)).unwrap().mode() & 0o777, 0o640);
    assert!(
        fs::symlink_metadata(system.path("usr/lib/jvm/17/lib/security/cacerts"))
            .unwrap()
            .is_symlink()
    );
    let installed = system.state("");
    assert_eq!(home.ok(&on("install", &root, &[])).matches("unchanged").count(), 2);
    assert!(system.state("") == installed);
    // A new root of ours takes the place of one that is not handed out any more.
    let other = Home::initialised();
    let said = other.ok(&on("install", &root, &["--store", "java"]));
    assert_eq!(said.matches("1 added, 1 removed").count(), 2, "{said}");
    home.ok(&on("uninstall", &root, &[]));
    assert!(system.state("") == before, "some file is another");
}

#[test]
fn a_store_of_java_that_cannot_be_used_keeps_all_others_from_being_changed() {
    if skip_without(&["openssl", "keytool"]) {
        return;
    }
    let home = Home::initialised();
    let system = java(&home);
    let root = system.root();
    let store = system.path(JAVAS).display().to_string();
    let change = ["-storepasswd", "-keystore", &store, "-storepass", "changeit", "-new", "another"];
    tool("keytool", &change);
    let before = system.state("");
    let said = home.fails(1, &on("install", &root, &[]));
    assert!(said.contains(JAVAS) && said.contains("--java-password-file"), "{said}");
    assert!(system.state("") == before);
    // The store without a password takes any.
    let password = home.write("password", "another\n");
    let said = home.ok(&on("install", &root, &["--java-password-file", &password]));
    assert_eq!(said.matches("1 added").count(), 2, "{said}");
    fs::write(system.path(JAVAS), b"\xfe\xed\xfe\xed and nothing else").unwrap();
    let said = home.fails(1, &on("uninstall", &root, &[]));
    assert!(said.contains("wrong, or the file is damaged"), "{said}");
}
