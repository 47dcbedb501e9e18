//! A slapd of a test's own: its configuration, its data and its sockets are in a temporary folder, and it ends with the
//! test.

#![expect(clippy::unwrap_used, reason = "only tests call it")]

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::wait;

/// Below this everything is.
pub const SUFFIX: &str = "dc=corp,dc=example";
/// Who may write everything, with [`PASSWORD`].
pub const MANAGER: &str = "cn=manager,dc=corp,dc=example";
/// The manager's.
pub const PASSWORD: &str = "wooden spoon";

/// The files of its TLS.
#[derive(Debug, Clone)]
pub struct SlapdTls {
    /// Leaf first (PEM).
    pub certificate: PathBuf,
    /// The leaf's key (PEM).
    pub key: PathBuf,
    /// Under which clients' certificates must be (PEM).
    pub clients: PathBuf,
}

/// A running slapd.
#[derive(Debug)]
pub struct Slapd {
    child: Child,
    folder: PathBuf,
    /// Of `ldap://`, on 127.0.0.1.
    pub plain: u16,
    /// Of `ldaps://`, on 127.0.0.1.
    pub tls: u16,
}

impl Slapd {
    /// Starts one in this folder, which must be empty. Whoever shows a certificate with the common name NAME is
    /// `cn=NAME,ou=people,dc=corp,dc=example`, who may write below `ou=devices` alone.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(folder: &Path, tls: &SlapdTls) -> Self {
        let (plain, secure) = (free_port(), free_port());
        fs::create_dir_all(folder.join("data")).unwrap();
        let configuration = configuration(folder, tls);
        fs::write(folder.join("slapd.conf"), configuration).unwrap();
        let child = spawn(folder, plain, secure);
        let this = Self { child, folder: folder.to_owned(), plain, tls: secure };
        wait::until("slapd answers", Duration::from_secs(20), || this.search("", &[]));
        this.add(&format!(
            "dn: {SUFFIX}\nobjectClass: top\nobjectClass: dcObject\nobjectClass: organization\no: Corp\ndc: corp\n\n\
             dn: ou=people,{SUFFIX}\nobjectClass: organizationalUnit\nou: people\n\n\
             dn: ou=devices,{SUFFIX}\nobjectClass: organizationalUnit\nou: devices\n"
        ));
        this
    }

    /// Adds entries (LDIF), as the manager.
    ///
    /// # Panics
    /// When that fails.
    pub fn add(&self, ldif: &str) {
        self.change("ldapadd", ldif);
    }

    /// Changes entries (LDIF), as the manager.
    ///
    /// # Panics
    /// When that fails.
    pub fn modify(&self, ldif: &str) {
        self.change("ldapmodify", ldif);
    }

    fn change(&self, program: &str, ldif: &str) {
        let mut child = Command::new(program)
            .args(["-x", "-H", &self.url(), "-D", MANAGER, "-w", PASSWORD])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(ldif.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// What `ldapsearch` prints of an entry (LDIF), or `None` when there is no such entry or no answer.
    ///
    /// # Panics
    /// When `ldapsearch` cannot be run.
    pub fn search(&self, dn: &str, attributes: &[&str]) -> Option<String> {
        let url = self.url();
        let output = Command::new("ldapsearch")
            .args(["-x", "-LLL", "-o", "ldif-wrap=no", "-H", &url, "-D", MANAGER, "-w", PASSWORD])
            .args(["-s", "base", "-b", dn])
            .args(attributes)
            .stderr(Stdio::null())
            .output()
            .unwrap();
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The values of `userCertificate;binary` of an entry, in base64, as `ldapsearch` shows them.
    ///
    /// # Panics
    /// When there is no such entry.
    pub fn certificates(&self, dn: &str) -> Vec<String> {
        let found = self.search(dn, &["userCertificate;binary"]).unwrap();
        let values =
            found.lines().filter_map(|line| line.strip_prefix("userCertificate;binary:: "));
        let mut values: Vec<String> = values.map(str::to_owned).collect();
        values.sort();
        values
    }

    /// `ldap://`, without TLS.
    pub fn url(&self) -> String {
        format!("ldap://127.0.0.1:{}", self.plain)
    }

    /// `ldapi://`, its socket.
    pub fn socket_url(&self) -> String {
        format!("ldapi://{}", self.folder.join("ldapi").display().to_string().replace('/', "%2F"))
    }

    /// Stops it from answering, as a machine that hangs; its sockets still take connections.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().unwrap();
        assert!(sent.success());
    }

    /// Ends it.
    pub fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again, with what it held.
    ///
    /// # Panics
    /// When it does not start.
    pub fn again(&mut self) {
        self.stop();
        self.child = spawn(&self.folder, self.plain, self.tls);
        wait::until("slapd answers", Duration::from_secs(20), || self.search("", &[]));
    }
}

impl Drop for Slapd {
    fn drop(&mut self) {
        self.stop();
    }
}

fn spawn(folder: &Path, plain: u16, tls: u16) -> Child {
    let socket = folder.join("ldapi").display().to_string().replace('/', "%2F");
    let urls = format!("ldap://127.0.0.1:{plain} ldaps://127.0.0.1:{tls} ldapi://{socket}");
    let program = crate::clients::find("slapd").unwrap_or_else(|| "/usr/sbin/slapd".into());
    let log = fs::File::create(folder.join("log")).unwrap();
    Command::new(program)
        // `-d` keeps it in the foreground.
        .args(["-d", "0", "-h", &urls, "-f"])
        .arg(folder.join("slapd.conf"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// Free a moment ago: two tests that get the same one is what the wait for its answer finds out.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn configuration(folder: &Path, tls: &SlapdTls) -> String {
    let (at, certificate) = (folder.display(), tls.certificate.display());
    let (key, clients) = (tls.key.display(), tls.clients.display());
    let schema = |name: &str| format!("include /etc/ldap/schema/{name}.schema\n");
    let schemas: String = ["core", "cosine", "inetorgperson"].map(schema).concat();
    format!(
        "{schemas}
pidfile {at}/pid
modulepath /usr/lib/ldap
moduleload back_mdb
TLSCertificateFile {certificate}
TLSCertificateKeyFile {key}
TLSCACertificateFile {clients}
TLSVerifyClient try
authz-regexp \"^([^,]+)$\" \"$1,ou=people,{SUFFIX}\"
authz-regexp \"^gidNumber=.*,cn=peercred,cn=external,cn=auth$\" \"{MANAGER}\"
database mdb
maxsize 16777216
suffix \"{SUFFIX}\"
rootdn \"{MANAGER}\"
rootpw \"{PASSWORD}\"
directory {at}/data
access to attrs=userPassword by anonymous auth by * none
access to dn.subtree=\"ou=devices,{SUFFIX}\" by users write by * read
access to * by * read
"
    )
}
