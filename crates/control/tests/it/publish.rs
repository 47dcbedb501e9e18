//! Certificates in an LDAP directory, a real slapd: by command, by label, and gone when they are revoked.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sealock_control::command::{
    Alarm, Files, Issue, LdapServer, Names, Publish, PublishReport, SecretText,
};
use sealock_control::config::{Config, Environment, Flags};
use sealock_control::daemon::{Daemon, up};
use sealock_control::service::PolicySource;
use sealock_control::{Client, Command, ErrorCode, Opening, Reply, Service, ServiceError};
use sealock_core::SecretBytes;
use sealock_core::audit::Fact;
use sealock_core::policy::ContainerFacts;
use sealock_delivery::labels::{KeyType, Layout, Usages};
use sealock_delivery::watcher::{
    CertificateSource as _, Publisher as _, WantedCertificate, WantedPublication,
};
use sealock_testkit::clients::skip_without;
use sealock_testkit::slapd::{MANAGER, PASSWORD, SUFFIX, Slapd, SlapdTls};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;

use crate::scratch::{Scratch, call, issued, person, records};

/// A service with an authority, and a slapd whose certificates are its own.
struct Stage {
    slapd: Slapd,
    scratch: Scratch,
}

/// `None` when slapd is not installed.
async fn stage() -> Option<Stage> {
    let absent = !std::path::Path::new("/usr/sbin/slapd").exists() && skip_without(&["slapd"]);
    if absent || skip_without(&["ldapsearch"]) {
        return None;
    }
    let scratch = Scratch::new();
    let service = scratch.initialised().await;
    let files = issue_for(&service, "directory", &["127.0.0.1"]).await;
    let folder = scratch.folder.path().join("slapd");
    fs::create_dir_all(&folder).unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let tls = SlapdTls {
        certificate: file("server.crt", files.tls_crt.as_bytes()),
        key: file("server.key", files.tls_key.as_ref().unwrap().bytes().expose()),
        clients: file("ca.crt", files.ca_crt.as_bytes()),
    };
    drop(service);
    Some(Stage { slapd: Slapd::start(&folder, &tls), scratch })
}

async fn issue_for(service: &Arc<Service>, name: &str, ip: &[&str]) -> Files {
    let ip = ip.iter().map(|ip| (*ip).to_owned()).collect();
    let names = Names { ip, dns: vec![name.to_owned()], ..Names::default() };
    // Names like this one are the daemon's own, which an administrator may have all the same.
    let wanted = Issue { name: name.to_owned(), names, ..Issue::default() };
    match call(service, Command::CertIssue(wanted)).await.unwrap() {
        Reply::Files(files) => *files,
        other => panic!("{other:?}"),
    }
}

fn secret(text: &str) -> SecretText {
    SecretText::new(SecretBytes::new(text.as_bytes().to_vec())).unwrap()
}

fn device(name: &str) -> String {
    format!("cn={name},ou=devices,{SUFFIX}")
}

impl Stage {
    fn server(&self) -> LdapServer {
        LdapServer {
            url: format!("ldaps://127.0.0.1:{}", self.slapd.tls),
            bind_dn: Some(MANAGER.to_owned()),
            password: Some(secret(&format!("{PASSWORD}\n"))),
            create: Some("device".to_owned()),
            ..LdapServer::default()
        }
    }

    fn publish(&self, certificate: &str, dn: &str) -> Command {
        Command::CertPublish(Publish {
            certificate: certificate.to_owned(),
            imported: false,
            directory: None,
            dn: Some(dn.to_owned()),
            server: Some(self.server()),
        })
    }

    /// With a directory in the settings, and no engine.
    fn opening(&self, url: &str, more: &str) -> Opening {
        let path = self.scratch.folder.path().join("sealock.toml");
        let password = self.scratch.folder.path().join("password");
        fs::write(&password, PASSWORD).unwrap();
        fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
        let text = format!(
            "[directory.corp]\nurl = \"{url}\"\ndn = \"cn={{name}},ou=devices,{SUFFIX}\"\n\
             bind_dn = \"{MANAGER}\"\npassword_file = \"password\"\ncreate = \"device\"\n{more}"
        );
        let engine = format!("unix://{}", self.scratch.folder.path().join("none.sock").display());
        let flags: Flags = vec![
            ("api.listen", "off".to_owned()),
            ("gateway.listen", "off".to_owned()),
            ("docker.url", engine),
            // The tests say themselves what is delivered.
            ("watch.enabled", "false".to_owned()),
        ];
        let environment = Environment::default();
        let config = Config::from_parts(Some(&(path, text)), &environment, &flags).unwrap();
        Opening { config, ..self.scratch.opening() }
    }

    async fn daemon(&self) -> Daemon {
        let url = format!("ldap://127.0.0.1:{}", self.slapd.plain);
        up(self.opening(&url, "start_tls = true\n")).await.unwrap()
    }

    fn rule(&self, text: &str) -> PathBuf {
        let path = self.scratch.rule_file("publish.cedar");
        fs::write(&path, text).unwrap();
        path
    }
}

async fn published(service: &Arc<Service>, command: Command) -> PublishReport {
    match call(service, command).await.unwrap() {
        Reply::Published(done) => *done,
        other => panic!("{other:?}"),
    }
}

fn by_directory(certificate: &str) -> Command {
    Command::CertPublish(Publish {
        certificate: certificate.to_owned(),
        directory: Some("corp".to_owned()),
        ..Publish::default()
    })
}

async fn until(what: &str, mut look: impl FnMut() -> bool) {
    for _ in 0..1500 {
        if look() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("waited in vain for {what}");
}

async fn alarms(service: &Arc<Service>) -> Vec<Alarm> {
    let Reply::Status(status) = call(service, Command::Status).await.unwrap() else {
        panic!("no status")
    };
    status.alarms.into_iter().filter(|alarm| alarm.alarm == "publish-failed").collect()
}

async fn until_alarm(service: &Arc<Service>, wanted: usize) -> Vec<Alarm> {
    for _ in 0..1500 {
        let found = alarms(service).await;
        if found.len() == wanted {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("waited in vain for {wanted} alarms");
}

async fn revoke(
    service: &Arc<Service>,
    serial: &str,
) -> sealock_control::command::CertificateReport {
    let command = Command::CertRevoke { serial: serial.to_owned(), reason: Default::default() };
    match call(service, command).await.unwrap() {
        Reply::Certificate(report) => *report,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_certificate_is_put_in_replaced_and_taken_out_and_the_log_says_so() {
    let Some(stage) = stage().await else { return };
    let service = stage.scratch.service();
    let first = issued(&service, "web").await;
    let dn = device("web");
    let done = published(&service, stage.publish("web", &dn)).await;
    assert!(done.created && !done.unchanged, "{done:?}");
    assert_eq!((&done.added, &done.removed), (&vec![first.serial.clone()], &Vec::new()));
    let last = records(&service).pop().unwrap().event;
    assert_eq!(last.decision.unwrap().action, "Directory::Publish");
    assert!(matches!(last.fact, Fact::CertPublished { created: true, dn: at, .. } if at == dn));

    // A second run changes nothing, and records nothing.
    let before = records(&service).len();
    let done = published(&service, stage.publish("web", &dn)).await;
    assert!(done.unchanged, "{done:?}");
    assert_eq!(records(&service).len(), before);

    // Another CA's stays; a renewal takes the place of what it renews.
    let theirs = rcgen::generate_simple_self_signed(vec!["web".to_owned()]).unwrap();
    let theirs = data_encoding::BASE64.encode(theirs.cert.der());
    stage.slapd.modify(&format!(
        "dn: {dn}\nchangetype: modify\nadd: userCertificate;binary\nuserCertificate;binary:: {theirs}\n"
    ));
    let renew = Command::CertRenew { certificate: "web".into(), ttl: None };
    let Reply::Files(second) = call(&service, renew).await.unwrap() else { panic!("no files") };
    let done = published(&service, stage.publish("web", &dn)).await;
    assert_eq!((done.added, done.removed), (vec![second.serial.clone()], vec![first.serial]));
    assert_eq!(done.others, 1);
    assert_eq!(stage.slapd.certificates(&dn).len(), 2);

    // Revoked: whoever revokes is told where it still is, and the next run takes it out.
    let report = revoke(&service, &second.serial).await;
    let at: Vec<&str> = report.published.iter().map(|at| at.dn.as_str()).collect();
    assert_eq!(at, [dn.as_str()]);
    let done = published(&service, stage.publish("web", &dn)).await;
    assert_eq!((done.serial, done.removed), (None, vec![second.serial.clone()]));
    assert_eq!(stage.slapd.certificates(&dn), [theirs]);
    assert!(revoke(&service, &second.serial).await.published.is_empty());
    let Reply::AuditVerified(report) = call(&service, Command::AuditVerify).await.unwrap() else {
        panic!("no report")
    };
    assert!(report.intact);
    assert!(!format!("{:?}", records(&service)).contains(PASSWORD));
}

#[tokio::test]
async fn policy_decides_on_certificate_url_and_entry() {
    let Some(stage) = stage().await else { return };
    let service = stage.scratch.service();
    issued(&service, "web").await;
    let dn = device("web");
    let rule = |text: &str| {
        stage.rule(&format!(
            "permit(principal == Sealock::Human::\"alice\", action == Sealock::Action::\"Cert::Read\", resource);\n{text}"
        ));
    };
    rule("");
    call(&service, Command::PolicyReload).await.unwrap();
    let error = service.handle(&person("alice"), stage.publish("web", &dn)).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Denied);
    assert!(error.hint.unwrap().contains("Directory::Publish"));
    assert!(stage.slapd.search(&dn, &[]).is_none(), "nothing was asked of the directory");
    let denied = records(&service).pop().unwrap().event;
    let question = denied.decision.unwrap().question.unwrap();
    assert!(format!("{question:?}").contains(&dn), "{question:?}");

    rule(&format!(
        "permit(principal == Sealock::Human::\"alice\", action == Sealock::Action::\"Directory::Publish\", resource)\n\
         when {{ context has dn && context.dn == \"{dn}\" && context has url && context.url like \"ldaps://127.0.0.1:*\" }};"
    ));
    call(&service, Command::PolicyReload).await.unwrap();
    service.handle(&person("alice"), stage.publish("web", &dn)).await.unwrap();
    assert_eq!(stage.slapd.certificates(&dn).len(), 1);
    let other = device("other");
    let error = service.handle(&person("alice"), stage.publish("web", &other)).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Denied);
    // One name, however it is spelt.
    let spelt = format!(r"CN=\77eb,OU=devices,{SUFFIX}");
    service.handle(&person("alice"), stage.publish("web", &spelt)).await.unwrap();
}

#[tokio::test]
async fn binds_and_what_cannot_be() {
    let Some(stage) = stage().await else { return };
    let service = stage.scratch.service();
    issued(&service, "web").await;
    let publisher = issued(&service, "publisher").await;
    let with = |server: LdapServer| {
        Command::CertPublish(Publish {
            certificate: "web".into(),
            imported: false,
            directory: None,
            dn: Some(device("web")),
            server: Some(server),
        })
    };
    let failed = async |server: LdapServer| call(&service, with(server)).await.unwrap_err();
    let server = || stage.server();
    let code = |error: &ServiceError| error.code;

    let wrong = LdapServer { password: Some(secret("wrong")), ..server() };
    let error = failed(wrong).await;
    assert_eq!(code(&error), ErrorCode::Failed, "{error:?}");
    assert!(error.hint.unwrap().contains("bind DN"));
    let empty = LdapServer { password: Some(secret("\n")), ..server() };
    assert_eq!(code(&failed(empty).await), ErrorCode::Usage);
    let plain = LdapServer { url: "ldap://directory.corp.example".into(), ..server() };
    let error = failed(plain).await;
    assert_eq!(code(&error), ErrorCode::Usage);
    assert!(error.message.contains("without TLS"), "{error:?}");
    let other = rcgen::generate_simple_self_signed(vec!["ca".to_owned()]).unwrap();
    let error = failed(LdapServer { ca: Some(other.cert.pem()), ..server() }).await;
    assert_eq!(code(&error), ErrorCode::Failed, "{error:?}");
    assert!(error.message.contains("handshake"), "{error:?}");
    let error = failed(LdapServer { ca: Some("no pem".into()), ..server() }).await;
    assert_eq!(code(&error), ErrorCode::Usage);
    let down = LdapServer { url: "ldaps://127.0.0.1:1".into(), ..server() };
    let error = failed(down).await;
    assert_eq!(code(&error), ErrorCode::Unavailable);
    assert!(error.hint.unwrap().contains("running"));
    assert!(stage.slapd.search(&device("web"), &[]).is_none());

    let (url, create) = (stage.slapd.socket_url(), Some("device".into()));
    let socket = LdapServer { url, create, ..LdapServer::default() };
    assert!(published(&service, with(socket)).await.created);

    // With a certificate of our own; slapd knows it by its common name.
    let external = LdapServer {
        bind_dn: None,
        password: None,
        tls_crt: Some(publisher.tls_crt),
        tls_key: publisher.tls_key,
        ..server()
    };
    assert!(published(&service, with(external)).await.unchanged);
}

/// A slapd that trusts loopback, and whatever else listens there, is for whoever is on this host.
#[tokio::test]
async fn from_elsewhere_no_server_of_this_host_is_asked_and_none_without_tls() {
    let scratch = Scratch::new();
    let service = scratch.initialised().await;
    issued(&service, "web").await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut remote = crate::scratch::admin(&service);
    remote.door = sealock_control::Door::Api;
    let refused = async |server: LdapServer| {
        let command = Command::CertPublish(Publish {
            certificate: "web".into(),
            imported: false,
            directory: None,
            dn: Some(device("web")),
            server: Some(server),
        });
        service.handle(&remote, command).await.unwrap_err()
    };
    let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    for host in [
        "localhost",
        "127.0.0.1",
        "0.0.0.0",
        "169.254.169.254",
        "[::]",
        "[::1]",
        "[::ffff:0.0.0.0]",
    ] {
        for (scheme, dangerous_plain) in [("ldap", true), ("ldaps", false)] {
            let (url, ca) = (format!("{scheme}://{host}:{port}"), Some(own.cert.pem()));
            let error =
                refused(LdapServer { url, ca, dangerous_plain, ..LdapServer::default() }).await;
            assert_eq!(error.code, ErrorCode::Usage, "{host}: {error:?}");
            assert!(error.message.contains("the daemon's own host"), "{error:?}");
            assert!(error.hint.unwrap().contains("settings"));
        }
    }
    let url = "ldapi://%2Frun%2Fldapi".to_owned();
    let error = refused(LdapServer { url, ..LdapServer::default() }).await;
    assert!(error.message.contains("the daemon's own host"), "{error:?}");
    let (url, dangerous_plain) = ("ldap://192.0.2.1".to_owned(), true);
    let error = refused(LdapServer { url, dangerous_plain, ..LdapServer::default() }).await;
    assert_eq!(error.code, ErrorCode::Usage);
    assert!(error.message.contains("without TLS"), "{error:?}");
    let dialled = tokio::time::timeout(Duration::from_millis(200), listener.accept()).await;
    assert!(dialled.is_err(), "somebody dialled it");
}

#[tokio::test]
async fn a_daemon_takes_out_what_is_revoked_also_when_the_directory_was_away() {
    let Some(mut stage) = stage().await else { return };
    let daemon = stage.daemon().await;
    let service = Arc::clone(daemon.service());
    let (web, shop) = (issued(&service, "web").await, issued(&service, "shop").await);
    // Over the socket, as every command.
    let client = Client::new(stage.scratch.opening());
    assert!(client.daemon_runs().await);
    for name in ["web", "shop"] {
        let Reply::Published(done) = client.call(by_directory(name)).await.unwrap() else {
            panic!("not published")
        };
        assert_eq!(
            (done.dn.as_str(), done.directory.as_deref()),
            (device(name).as_str(), Some("corp"))
        );
    }
    let report = revoke(&service, &web.serial).await;
    assert_eq!(report.published[0].directory.as_deref(), Some("corp"));
    until("its end in the directory", || stage.slapd.certificates(&device("web")).is_empty()).await;

    stage.slapd.stop();
    revoke(&service, &shop.serial).await;
    let alarms = until_alarm(&service, 1).await;
    assert_eq!(alarms[0].subject, format!("revoked {} in corp", shop.serial));
    assert!(alarms[0].reason.contains("cannot connect"), "{alarms:?}");
    stage.slapd.again();
    until("its end in the directory", || stage.slapd.certificates(&device("shop")).is_empty())
        .await;
    until_alarm(&service, 0).await;
    let by_daemon = |fact: &Fact| matches!(fact, Fact::CertPublished { removed, .. } if removed == std::slice::from_ref(&shop.serial));
    let all = records(&service);
    let record = all.iter().find(|record| by_daemon(&record.event.fact)).unwrap();
    assert_eq!((record.event.who.as_str(), record.event.request.as_str()), ("sealock", "publish"));
    daemon.shutdown().trigger();
    daemon.run().await.unwrap();
}

/// Before a slapd: holds the message that makes an entry until it is let go. Says when it has one.
async fn holding(slapd: u16) -> (u16, Arc<Notify>, Arc<Notify>) {
    const ADD: u8 = 0x68;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (held, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (told, wait) = (Arc::clone(&held), Arc::clone(&go));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (told, wait) = (Arc::clone(&told), Arc::clone(&wait));
            tokio::spawn(async move {
                let server = tokio::net::TcpStream::connect(("127.0.0.1", slapd)).await.unwrap();
                let ((mut asks, mut hears), (mut answers, mut takes)) =
                    (client.into_split(), server.into_split());
                tokio::spawn(async move { tokio::io::copy(&mut answers, &mut hears).await });
                let mut bytes = [0; 1 << 16];
                while let Ok(length @ 1..) = asks.read(&mut bytes).await {
                    // SEQUENCE, its length of one byte or more, INTEGER of one byte, the operation.
                    let digits = if bytes[1] < 0x80 { 0 } else { usize::from(bytes[1] & 0x7f) };
                    if bytes[2 + digits + 3] == ADD {
                        told.notify_one();
                        wait.notified().await;
                    }
                    takes.write_all(&bytes[..length]).await.unwrap();
                }
            });
        }
    });
    (port, held, go)
}

/// The daemon looks for it while the directory has not got it yet, and finds nothing.
#[tokio::test]
async fn what_is_revoked_while_it_is_put_in_does_not_stay() {
    let Some(stage) = stage().await else { return };
    let plain = stage.slapd.plain;
    let (port, held, go) = holding(plain).await;
    let daemon = up(stage.opening(&format!("ldap://127.0.0.1:{port}"), "")).await.unwrap();
    let service = Arc::clone(daemon.service());
    let web = issued(&service, "web").await;
    let own = Arc::clone(&service);
    let publishing = tokio::spawn(async move { published(&own, by_directory("web")).await });
    held.notified().await;
    assert_eq!(revoke(&service, &web.serial).await.published.len(), 1);
    // Time enough for the daemon to look there, if it did, and to cross it out.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(revoke(&service, &web.serial).await.published.len(), 1, "it may still come");
    go.notify_one();
    let done = publishing.await.unwrap();
    assert_eq!((done.serial, done.added), (None, vec![web.serial.clone()]));
    assert_eq!(done.removed, std::slice::from_ref(&web.serial));
    assert!(stage.slapd.certificates(&device("web")).is_empty());
    assert!(revoke(&service, &web.serial).await.published.is_empty());
    daemon.shutdown().trigger();
    daemon.run().await.unwrap();
}

fn container(name: &str) -> ContainerFacts {
    ContainerFacts {
        id: "ef".repeat(32),
        name: name.into(),
        own_names: BTreeSet::from([name.into()]),
        ..ContainerFacts::default()
    }
}

/// What the watcher tells once this was delivered.
async fn delivered(
    source: &PolicySource,
    name: &str,
    replaces: Option<String>,
) -> WantedPublication {
    let wanted = WantedCertificate {
        container: container(name),
        certificate: "tls".parse().unwrap(),
        names: vec![sealock_core::SubjectName::dns(name).unwrap()],
        usages: Usages { server: true, client: false },
        profile: None,
        ttl: Some(Duration::from_secs(600)),
        key_type: KeyType::P256,
        stores: None,
        replaces,
        request: "label-1".into(),
        imported: None,
        issuer: None,
        layout: Layout::Tls,
    };
    let serial = source.request(wanted).await.unwrap().serial;
    let directory = "corp".parse().unwrap();
    let certificate = "tls".parse().unwrap();
    WantedPublication { container: container(name), certificate, serial, imported: None, directory }
}

#[tokio::test]
async fn labels_publish_where_settings_say_and_policy_permits() {
    let Some(mut stage) = stage().await else { return };
    let daemon = stage.daemon().await;
    let service = Arc::clone(daemon.service());
    let source = PolicySource(Arc::clone(&service));
    let first = delivered(&source, "web", None).await;
    let dn = device("web/tls");

    source.keep(vec![first.clone()]);
    let denied = until_alarm(&service, 1).await;
    assert_eq!(denied[0].subject, "web/tls in corp");
    assert!(denied[0].hint.as_ref().unwrap().contains("Directory::Publish"), "{denied:?}");
    assert!(stage.slapd.search(&dn, &[]).is_none());

    stage.rule(
        "permit(principal == Sealock::Service::\"web\", action == Sealock::Action::\"Directory::Publish\", resource)\n\
         when { context has directory && context.directory == \"corp\" && context has via && context.via == \"label\" };",
    );
    call(&service, Command::PolicyReload).await.unwrap();
    until("the entry", || stage.slapd.search(&dn, &[]).is_some()).await;
    until_alarm(&service, 0).await;
    assert_eq!(stage.slapd.certificates(&dn).len(), 1);

    // Renewed while the directory is away: an alarm, and it comes when the directory does.
    stage.slapd.stop();
    let second = delivered(&source, "web", Some(first.serial.clone())).await;
    source.keep(vec![second.clone()]);
    assert!(until_alarm(&service, 1).await[0].reason.contains("cannot connect"));
    stage.slapd.again();
    let put = |serial: &str| {
        let serial = serial.to_owned();
        records(&service).iter().any(|record| {
            matches!(&record.event.fact, Fact::CertPublished { added, .. } if *added == [serial.clone()])
        })
    };
    until("the second", || put(&second.serial)).await;
    until_alarm(&service, 0).await;
    assert_eq!(stage.slapd.certificates(&dn).len(), 1, "the first was taken out");

    // A directory that no settings name; and no alarm once nobody asks for it any more.
    let nowhere = WantedPublication { directory: "elsewhere".parse().unwrap(), ..second.clone() };
    source.keep(vec![second.clone(), nowhere]);
    let alarms = until_alarm(&service, 1).await;
    assert!(alarms[0].reason.contains("no directory `elsewhere`"), "{alarms:?}");
    source.keep(vec![second]);
    until_alarm(&service, 0).await;
    daemon.shutdown().trigger();
    daemon.run().await.unwrap();
}
