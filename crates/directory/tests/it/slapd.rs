//! A real slapd.

use std::error::Error as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use sealock_core::SecretBytes;
use sealock_directory::{
    Bind, BoxedError, Create, Deadlines, DirectoryError, Outcome, Publication, Standing, Target,
    publish,
};
use sealock_testkit::clients::skip_without;
use sealock_testkit::slapd::{MANAGER, PASSWORD, SUFFIX, Slapd};
use tempfile::TempDir;

use crate::pki::Pki;

struct Stage {
    pki: Pki,
    slapd: Slapd,
    _folder: TempDir,
}

/// `None` when slapd is not installed.
fn stage() -> Option<Stage> {
    if skip_without(&["ldapsearch"]) || skip_without_slapd() {
        return None;
    }
    let folder = sealock_testkit::scratch_folder();
    let pki = Pki::new();
    let tls = pki.server(folder.path(), &["127.0.0.1"]);
    let slapd = Slapd::start(folder.path(), &tls);
    Some(Stage { pki, slapd, _folder: folder })
}

/// It is where only root's `PATH` goes.
fn skip_without_slapd() -> bool {
    !std::path::Path::new("/usr/sbin/slapd").exists() && skip_without(&["slapd"])
}

impl Stage {
    fn ldaps(&self) -> Target {
        self.target(&format!("ldaps://127.0.0.1:{}", self.slapd.tls))
    }

    fn target(&self, url: &str) -> Target {
        Target {
            location: url.parse().unwrap(),
            start_tls: false,
            dangerous_plain: false,
            local_allowed: true,
            roots: self.pki.roots(),
            bind: manager(),
            deadlines: Deadlines::default(),
        }
    }
}

fn manager() -> Bind {
    Bind::Simple { dn: MANAGER.parse().unwrap(), password: SecretBytes::new(PASSWORD.into()) }
}

fn device(name: &str) -> String {
    format!("cn={name},ou=devices,{SUFFIX}")
}

fn wanted(dn: &str, certificate: &[u8]) -> Publication {
    let create = Some(Create::Device);
    Publication { dn: dn.parse().unwrap(), wanted: Some(certificate.to_vec()), create }
}

/// Everything in the directory is somebody else's.
fn foreign(_: &[u8]) -> Result<Standing, BoxedError> {
    Ok(Standing::Foreign)
}

fn base64(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    // Through the shell's own tool: the encoding is not what is tested.
    let folder = sealock_testkit::scratch_folder();
    let file = folder.path().join("value");
    std::fs::write(&file, bytes).unwrap();
    let output = std::process::Command::new("base64").arg("-w0").arg(&file).output().unwrap();
    let mut text = String::new();
    write!(text, "{}", String::from_utf8(output.stdout).unwrap().trim()).unwrap();
    text
}

fn added(outcome: &Outcome, certificate: &[u8]) -> bool {
    outcome.added.as_deref() == Some(certificate)
}

#[tokio::test]
async fn an_entry_is_made_and_a_second_run_changes_nothing() {
    let Some(stage) = stage() else { return };
    let leaf = stage.pki.leaf("web", &["web.corp.example"]);
    let publication = wanted(&device("web"), &leaf.der);
    let outcome = publish(&stage.ldaps(), &publication, &foreign).await.unwrap();
    assert!(outcome.created && added(&outcome, &leaf.der), "{outcome:?}");
    assert_eq!(stage.slapd.certificates(&device("web")), [base64(&leaf.der)]);
    let shown = stage.slapd.search(&device("web"), &["objectClass"]).unwrap();
    assert!(shown.contains("objectClass: device\nobjectClass: pkiUser\n"), "{shown}");
    let before = stage.slapd.search(&device("web"), &["+"]).unwrap();
    let outcome = publish(&stage.ldaps(), &publication, &foreign).await.unwrap();
    assert!(outcome.is_unchanged() && outcome.others == 0, "{outcome:?}");
    // Nothing was written: entryCSN and modifyTimestamp are what they were.
    assert_eq!(stage.slapd.search(&device("web"), &["+"]).unwrap(), before);
}

#[tokio::test]
async fn a_person_is_made_by_either_name_and_only_where_asked() {
    let Some(stage) = stage() else { return };
    let leaf = stage.pki.leaf("ann", &["ann.corp.example"]);
    for dn in [format!(r"cn=Lee\, Ann,ou=people,{SUFFIX}"), format!("uid=ann,ou=people,{SUFFIX}")] {
        let mut publication = wanted(&dn, &leaf.der);
        publication.create = None;
        let error = publish(&stage.ldaps(), &publication, &foreign).await.unwrap_err();
        assert!(matches!(error, DirectoryError::NoEntry(_)), "{error}");
        assert!(error.hint().unwrap().contains("--create"));
        publication.create = Some(Create::Person);
        let outcome = publish(&stage.ldaps(), &publication, &foreign).await.unwrap();
        assert!(outcome.created);
        let shown = stage.slapd.search(&dn, &[]).unwrap();
        assert!(shown.contains("objectClass: inetOrgPerson"), "{shown}");
        assert_eq!(stage.slapd.certificates(&dn), [base64(&leaf.der)]);
    }
    let shape = wanted(&format!("ou=x,{SUFFIX}"), &leaf.der);
    let error = publish(&stage.ldaps(), &shape, &foreign).await.unwrap_err();
    assert!(matches!(error, DirectoryError::Shape { .. }), "{error}");
    let orphan = wanted(&format!("cn=x,ou=nowhere,{SUFFIX}"), &leaf.der);
    let error = publish(&stage.ldaps(), &orphan, &foreign).await.unwrap_err();
    assert!(matches!(error, DirectoryError::Refused { code: 32, .. }), "{error}");
    assert_eq!(error.hint(), Some("the parent of the entry must be there"));
}

#[tokio::test]
async fn ours_are_replaced_and_removed_and_others_stay() {
    let Some(stage) = stage() else { return };
    let leaf = |name| stage.pki.leaf(name, &["web.corp.example"]).der.to_vec();
    let (old, new, revoked, theirs) = (leaf("old"), leaf("new"), leaf("revoked"), leaf("theirs"));
    let dn = device("web");
    for value in [&old, &revoked, &theirs] {
        publish(&stage.ldaps(), &wanted(&dn, value), &foreign).await.unwrap();
    }
    let standing = |value: &[u8]| {
        Ok(match value {
            value if value == old => Standing::Outdated,
            value if value == revoked => Standing::Revoked,
            value if value == new => Standing::Kept,
            _ => Standing::Foreign,
        })
    };
    let outcome = publish(&stage.ldaps(), &wanted(&dn, &new), &standing).await.unwrap();
    assert!(added(&outcome, &new) && !outcome.created);
    let mut removed = outcome.removed.clone();
    removed.sort();
    let mut expected = vec![old.clone(), revoked.clone()];
    expected.sort();
    assert_eq!((removed, outcome.others), (expected, 1));
    let mut left = vec![base64(&new), base64(&theirs)];
    left.sort();
    assert_eq!(stage.slapd.certificates(&dn), left);
    // Revoked, with no successor: only removed; nothing else is made for it.
    let gone = |value: &[u8]| Ok(if value == new { Standing::Revoked } else { Standing::Foreign });
    let nothing = Publication { wanted: None, ..wanted(&dn, &new) };
    let outcome = publish(&stage.ldaps(), &nothing, &gone).await.unwrap();
    assert_eq!((outcome.removed, outcome.added), (vec![new.clone()], None));
    assert_eq!(stage.slapd.certificates(&dn), [base64(&theirs)]);
    let elsewhere = Publication { wanted: None, ..wanted(&device("no-such"), &new) };
    assert!(publish(&stage.ldaps(), &elsewhere, &gone).await.unwrap().is_unchanged());
    assert!(stage.slapd.search(&device("no-such"), &[]).is_none());
}

#[tokio::test]
async fn start_tls_the_socket_and_loopback_reach_the_same_entry() {
    let Some(stage) = stage() else { return };
    let leaf = stage.pki.leaf("web", &["web.corp.example"]);
    let mut start_tls = stage.target(&stage.slapd.url());
    start_tls.start_tls = true;
    let outcome = publish(&start_tls, &wanted(&device("a"), &leaf.der), &foreign).await.unwrap();
    assert!(outcome.created);
    // Plain LDAP on this host needs nobody's leave.
    let plain = stage.target(&stage.slapd.url());
    assert!(
        publish(&plain, &wanted(&device("a"), &leaf.der), &foreign).await.unwrap().is_unchanged()
    );
    let mut socket = stage.target(&stage.slapd.socket_url());
    socket.bind = Bind::Peer;
    socket.roots.clear();
    let outcome = publish(&socket, &wanted(&device("b"), &leaf.der), &foreign).await.unwrap();
    assert!(outcome.created);
    socket.start_tls = true;
    let error = publish(&socket, &wanted(&device("b"), &leaf.der), &foreign).await.unwrap_err();
    assert!(matches!(error, DirectoryError::StartTls(_)), "{error}");
}

#[tokio::test]
async fn whoever_is_not_the_directory_gets_nothing() {
    let Some(stage) = stage() else { return };
    let leaf = stage.pki.leaf("web", &["web.corp.example"]);
    let publication = wanted(&device("web"), &leaf.der);
    let handshake = |error: DirectoryError| {
        assert!(matches!(error, DirectoryError::Handshake { .. }), "{error}");
        assert!(error.hint().unwrap().contains("--ca"));
        error.source().unwrap().to_string()
    };
    for start_tls in [false, true] {
        let url = if start_tls {
            stage.slapd.url()
        } else {
            format!("ldaps://127.0.0.1:{}", stage.slapd.tls)
        };
        let mut target = Target { start_tls, ..stage.target(&url) };
        target.roots = Pki::named("Another CA").roots();
        let why = handshake(publish(&target, &publication, &foreign).await.unwrap_err());
        assert!(why.contains("UnknownIssuer"), "{why}");
        // Another name than the certificate's, at the same address.
        let named = url.replace("127.0.0.1", "localhost");
        let target = Target { start_tls, ..stage.target(&named) };
        let why = handshake(publish(&target, &publication, &foreign).await.unwrap_err());
        assert!(why.contains("localhost"), "{why}");
    }
    assert!(stage.slapd.search(&device("web"), &[]).is_none());
}

#[tokio::test]
async fn a_bind_is_by_password_by_certificate_or_none() {
    let Some(stage) = stage() else { return };
    let leaf = stage.pki.leaf("web", &["web.corp.example"]);
    let publication = wanted(&device("web"), &leaf.der);
    let with = |bind| Target { bind, ..stage.ldaps() };
    let simple = |password: &str| Bind::Simple {
        dn: MANAGER.parse().unwrap(),
        password: SecretBytes::new(password.into()),
    };
    let error = publish(&with(simple("wrong")), &publication, &foreign).await.unwrap_err();
    assert!(matches!(error, DirectoryError::Bind { .. }), "{error}");
    assert!(error.to_string().contains("invalid credentials"), "{error}");
    assert!(!error.to_string().contains("wrong"), "{error}");
    let error = publish(&with(simple("")), &publication, &foreign).await.unwrap_err();
    assert!(matches!(error, DirectoryError::EmptyPassword(_)), "{error}");
    let error = publish(&with(Bind::Anonymous), &publication, &foreign).await.unwrap_err();
    assert!(matches!(error, DirectoryError::Refused { .. }), "{error}");
    assert!(stage.slapd.search(&device("web"), &[]).is_none());
    let publisher = stage.pki.leaf("publisher", &["publisher.corp.example"]);
    let certificate =
        || Bind::Certificate { chain: vec![publisher.der.clone()], key: publisher.key() };
    let outcome = publish(&with(certificate()), &publication, &foreign).await.unwrap();
    assert!(outcome.created);
    // The right of that certificate, and no more.
    let people = wanted(&format!("cn=x,ou=people,{SUFFIX}"), &leaf.der);
    let error = publish(&with(certificate()), &people, &foreign).await.unwrap_err();
    assert!(matches!(error, DirectoryError::Refused { code: 50, .. }), "{error}");
    let plain = Target { bind: certificate(), ..stage.target(&stage.slapd.url()) };
    let error = publish(&plain, &publication, &foreign).await.unwrap_err();
    assert!(matches!(error, DirectoryError::CertificateWithoutTls(_)), "{error}");
}

/// Somebody writes between our reading and our change: all is read again, and what they wrote stands.
#[tokio::test]
async fn an_entry_that_others_change_is_read_again() {
    let Some(stage) = stage() else { return };
    let leaf = |name| stage.pki.leaf(name, &["web.corp.example"]).der.to_vec();
    let (old, new, theirs) = (leaf("old"), leaf("new"), leaf("theirs"));
    let dn = device("web");
    publish(&stage.ldaps(), &wanted(&dn, &old), &foreign).await.unwrap();
    let asked = AtomicU32::new(0);
    let meddling = |value: &[u8]| {
        if asked.fetch_add(1, Ordering::Relaxed) == 0 {
            // The one that we are about to take out goes, and another comes.
            stage.slapd.modify(&format!(
                "dn: {dn}\nchangetype: modify\nreplace: userCertificate;binary\n\
                 userCertificate;binary:: {}\n",
                base64(&theirs)
            ));
        }
        Ok(if value == old { Standing::Outdated } else { Standing::Foreign })
    };
    let outcome = publish(&stage.ldaps(), &wanted(&dn, &new), &meddling).await.unwrap();
    assert!(added(&outcome, &new) && outcome.removed.is_empty() && outcome.others == 1);
    let mut left = vec![base64(&new), base64(&theirs)];
    left.sort();
    assert_eq!(stage.slapd.certificates(&dn), left);
}

/// And somebody who does so always makes it an error, after a few rounds.
#[tokio::test]
async fn an_entry_that_is_never_at_rest_is_given_up() {
    let Some(stage) = stage() else { return };
    let leaf = |name: &str| stage.pki.leaf(name, &["web.corp.example"]).der.to_vec();
    let dn = device("web");
    publish(&stage.ldaps(), &wanted(&dn, &leaf("first")), &foreign).await.unwrap();
    let rounds = AtomicU32::new(0);
    let meddling = |_: &[u8]| {
        let round = rounds.fetch_add(1, Ordering::Relaxed);
        stage.slapd.modify(&format!(
            "dn: {dn}\nchangetype: modify\nreplace: userCertificate;binary\n\
             userCertificate;binary:: {}\n",
            base64(&leaf(&round.to_string()))
        ));
        Ok(Standing::Outdated)
    };
    let error = publish(&stage.ldaps(), &wanted(&dn, &leaf("new")), &meddling).await.unwrap_err();
    assert!(matches!(error, DirectoryError::Contended(_)), "{error}");
    assert_eq!(rounds.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn an_entry_of_the_wrong_class_is_left_alone() {
    let Some(stage) = stage() else { return };
    let leaf = stage.pki.leaf("web", &["web.corp.example"]);
    let dn = format!("ou=people,{SUFFIX}");
    let publication = Publication { create: None, ..wanted(&dn, &leaf.der) };
    let error = publish(&stage.ldaps(), &publication, &foreign).await.unwrap_err();
    assert!(error.hint().unwrap().contains("pkiUser"), "{error}");
    assert!(error.to_string().contains("object class violation"), "{error}");
}

#[tokio::test]
async fn a_directory_that_is_down_or_hangs_is_named() {
    let Some(mut stage) = stage() else { return };
    let leaf = stage.pki.leaf("web", &["web.corp.example"]);
    let publication = wanted(&device("web"), &leaf.der);
    stage.slapd.freeze();
    let short = Duration::from_millis(300);
    let deadlines = Deadlines { connect: short, operation: short, ..Deadlines::default() };
    let began = Instant::now();
    let target = Target { deadlines, ..stage.ldaps() };
    let error = publish(&target, &publication, &foreign).await.unwrap_err();
    assert!(matches!(error, DirectoryError::Handshake { .. }), "{error}");
    let target = Target { deadlines, ..stage.target(&stage.slapd.url()) };
    let error = publish(&target, &publication, &foreign).await.unwrap_err();
    assert!(matches!(error, DirectoryError::Late { .. }), "{error}");
    assert!(error.may_pass() && began.elapsed() < Duration::from_secs(20));
    stage.slapd.thaw();
    stage.slapd.stop();
    let error = publish(&stage.ldaps(), &publication, &foreign).await.unwrap_err();
    assert!(matches!(error, DirectoryError::Connect { .. }), "{error}");
    assert_eq!(error.hint(), Some("is the directory running, and are host and port right?"));
    assert!(error.may_pass());
    stage.slapd.again();
    assert!(publish(&stage.ldaps(), &publication, &foreign).await.unwrap().created);
}
