//! What was imported in an LDAP directory, a real slapd: what follows it, and when it goes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use data_encoding::BASE64;
use sealock_core::audit::Fact;
use sealock_core::policy::ContainerFacts;
use sealock_delivery::watcher::WantedPublication;
use sealock_testkit::clients::skip_without;
use sealock_testkit::slapd::{MANAGER, PASSWORD, SUFFIX, Slapd, SlapdTls};
use tokio::task::block_in_place;

use super::{DAY, World};
use crate::command::{
    CertRequest, Command, Files, Issue, LdapServer, Names, Publish, PublishReport, Reply,
    SecretText, Usages,
};
use crate::error::{ErrorCode, ServiceError};

const ENTRY: &str = "cn=web,ou=devices,dc=corp,dc=example";

struct Stage {
    world: World,
    slapd: Slapd,
}

impl Stage {
    /// `None` when slapd is not installed.
    fn new() -> Option<Self> {
        let absent = !Path::new("/usr/sbin/slapd").exists() && skip_without(&["slapd"]);
        if absent || skip_without(&["ldapsearch"]) {
            return None;
        }
        let mut world = World::new();
        world.trust_root();
        let folder = world.path("slapd");
        fs::create_dir_all(&folder).unwrap();
        let names = Names { ip: vec!["127.0.0.1".into()], ..Names::default() };
        let wanted = Issue { name: "directory".into(), names, ..Issue::default() };
        let Reply::Files(files) = world.call(Command::CertIssue(wanted)).unwrap() else { panic!() };
        let slapd = Slapd::start(&folder, &tls(&folder, &files));
        // The world's clock is not slapd's, so TLS would not do.
        fs::write(world.path("password"), PASSWORD).unwrap();
        fs::set_permissions(world.path("password"), fs::Permissions::from_mode(0o600)).unwrap();
        world.settings = format!(
            "[directory.corp]\nurl = \"{}\"\ndn = \"cn={{name}},ou=devices,{SUFFIX}\"\n\
             bind_dn = \"{MANAGER}\"\npassword_file = \"password\"\ncreate = \"device\"\n",
            slapd.url()
        );
        world.reopen();
        Some(Self { world, slapd })
    }

    /// The next one is asked for, signed and imported; as the directory has it.
    fn import(&self, days: u64) -> String {
        let wanted = CertRequest { replace: true, ..World::wanted() };
        let csr = self.world.request(wanted).unwrap().waiting.unwrap().csr;
        let leaf = self.world.sign(&csr, days);
        self.world.import(&[leaf.clone(), self.world.issuing.2.clone()]).unwrap();
        BASE64.encode(&leaf)
    }

    fn publish(&self) -> Result<PublishReport, ServiceError> {
        self.publish_by(Publish { directory: Some("corp".into()), ..imported() })
    }

    fn publish_by(&self, wanted: Publish) -> Result<PublishReport, ServiceError> {
        match block_in_place(|| self.world.call(Command::CertPublish(wanted)))? {
            Reply::Published(done) => Ok(*done),
            other => panic!("{other:?}"),
        }
    }

    /// What the daemon does in a round; how much there was to do.
    fn mend(&self) -> usize {
        let due = self.world.service().imported_to_mend().unwrap();
        for record in &due {
            block_in_place(|| self.world.service().mend_imported(record)).unwrap();
        }
        due.len()
    }

    fn there(&self) -> Vec<String> {
        self.slapd.certificates(ENTRY)
    }

    fn forget(&self) {
        self.world
            .call(Command::CertRequestDrop { name: "web".into(), forget: true, force: false })
            .unwrap();
    }

    fn label(&self) -> Result<(), ServiceError> {
        let wanted = WantedPublication {
            container: ContainerFacts {
                id: "ef".repeat(32),
                name: "shop".into(),
                ..ContainerFacts::default()
            },
            certificate: "tls".parse().unwrap(),
            serial: "01".into(),
            imported: Some("web".parse().unwrap()),
            directory: "corp".parse().unwrap(),
        };
        block_in_place(|| self.world.service().publish_for_label(&wanted))
    }

    fn rule(&self, action: &str) {
        let rule = format!(
            "permit(principal == Sealock::Service::\"shop\", action == Sealock::Action::\"{action}\", resource)\n\
             when {{ context has directory && context.directory == \"corp\" }};"
        );
        fs::write(self.world.path("s/policy/publish.cedar"), rule).unwrap();
        self.world.call(Command::PolicyReload).unwrap();
    }
}

fn imported() -> Publish {
    Publish { certificate: "web".into(), imported: true, ..Publish::default() }
}

fn tls(folder: &Path, files: &Files) -> SlapdTls {
    let file = |name: &str, bytes: &[u8]| -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    SlapdTls {
        certificate: file("server.crt", files.tls_crt.as_bytes()),
        key: file("server.key", files.tls_key.as_ref().unwrap().bytes().expose()),
        clients: file("ca.crt", files.ca_crt.as_bytes()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_import_takes_the_place_of_the_one_before_and_nobody_elses() {
    let Some(mut stage) = Stage::new() else { return };
    let error = stage.publish().unwrap_err();
    assert_eq!(error.code, ErrorCode::NotFound, "{error:?}");
    stage.world.request(World::wanted()).unwrap();
    let error = stage.publish().unwrap_err();
    assert!(error.message.contains("waits for the signature"), "{error:?}");

    let first = stage.import(90);
    let done = stage.publish().unwrap();
    assert!(
        done.created
            && done.imported
            && done.added == [stage.world.standing().held.unwrap().serial]
    );
    assert_eq!(stage.there(), std::slice::from_ref(&first));
    assert!(stage.publish().unwrap().unchanged);
    assert_eq!(stage.mend(), 0);
    // Somebody else's, signed by the same CA, in the same entry.
    let stranger = World::new();
    let csr = stranger.request(World::wanted()).unwrap().waiting.unwrap().csr;
    let stranger = BASE64.encode(&stage.world.sign(&csr, 90));
    stage.slapd.modify(&format!(
        "dn: {ENTRY}\nchangetype: modify\nadd: userCertificate;binary\nuserCertificate;binary:: {stranger}\n"
    ));

    // By the daemon, also when it was killed in between.
    let second = stage.import(90);
    stage.world.reopen();
    assert_eq!((stage.mend(), stage.mend()), (1, 0));
    let mut wanted = vec![second, stranger.clone()];
    wanted.sort();
    assert_eq!(stage.there(), wanted);
    // By command, before the daemon has seen it.
    let third = stage.import(90);
    let done = stage.publish().unwrap();
    assert_eq!((done.added.len(), done.removed.len(), done.others), (1, 1, 1));
    let mut wanted = vec![third, stranger.clone()];
    wanted.sort();
    assert_eq!((stage.there(), stage.mend()), (wanted, 0));
    let published = |fact: &Fact| matches!(fact, Fact::CertPublished { imported: true, name, .. } if name == "web");
    assert_eq!(stage.world.facts().iter().filter(|fact| published(fact)).count(), 3);

    // Over, and nothing follows it.
    stage.world.clock.advance(Duration::from_secs(91 * DAY));
    assert_eq!((stage.mend(), stage.mend()), (1, 0));
    assert_eq!(stage.there(), [stranger]);
    let done = stage.publish().unwrap();
    assert_eq!((done.serial, done.unchanged), (None, true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_forgotten_goes_and_what_is_called_the_same_later_does_not_follow_it() {
    let Some(mut stage) = Stage::new() else { return };
    stage.import(90);
    stage.publish().unwrap();
    stage.forget();
    assert_eq!((stage.mend(), stage.mend()), (1, 0));
    assert_eq!(stage.there(), [""; 0]);

    // While the directory is away: it goes when that is back, whatever the name stands for by then.
    stage.import(90);
    stage.publish().unwrap();
    stage.slapd.stop();
    stage.forget();
    stage.import(90);
    stage.world.reopen();
    stage.slapd.again();
    assert_eq!((stage.mend(), stage.mend()), (1, 0));
    assert_eq!(stage.there(), [""; 0]);

    // By the command, where no daemon can reach it; the status says so until it is done.
    let server = LdapServer {
        url: stage.slapd.url(),
        bind_dn: Some(MANAGER.to_owned()),
        password: SecretText::new(sealock_core::SecretBytes::new(PASSWORD.as_bytes().to_vec())),
        ..LdapServer::default()
    };
    let by_hand = || Publish { dn: Some(ENTRY.into()), server: Some(server.clone()), ..imported() };
    stage.publish_by(by_hand()).unwrap();
    assert_eq!((stage.there().len(), stage.world.status().todo), (1, vec![]));
    stage.forget();
    let todo = stage.world.status().todo;
    assert_eq!((todo.len(), todo[0].kind.as_str(), todo[0].name.as_str()), (1, "publish", "web"));
    assert!(todo[0].text.contains("forgotten") && todo[0].hint.contains("--imported"), "{todo:?}");
    assert_eq!((stage.mend(), stage.there().len()), (0, 1));
    let done = stage.publish_by(by_hand()).unwrap();
    assert_eq!((done.serial, done.removed.len()), (None, 1));
    assert_eq!((stage.there(), stage.world.status().todo), (vec![], vec![]));
    // And of what nobody has published, nothing is known any more.
    assert_eq!(stage.publish_by(by_hand()).unwrap_err().code, ErrorCode::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_label_publishes_it_by_a_rule_of_its_own_and_what_follows_by_that_rule_again() {
    let Some(stage) = Stage::new() else { return };
    let first = stage.import(90);
    let denied = |error: ServiceError| {
        assert_eq!(error.code, ErrorCode::Denied, "{error:?}");
        assert!(error.hint.unwrap().contains("Directory::PublishImported"));
    };
    denied(stage.label().unwrap_err());
    // Who may publish what we issue may not thereby publish what the company has signed.
    stage.rule("Directory::Publish");
    denied(stage.label().unwrap_err());
    stage.rule("Directory::PublishImported");
    stage.label().unwrap();
    assert_eq!(stage.there(), std::slice::from_ref(&first));

    // The rule is gone: the daemon does not put in by itself what follows.
    stage.rule("Directory::Publish");
    let second = stage.import(90);
    denied(stage.label().unwrap_err());
    assert_eq!((stage.mend(), stage.there()), (0, vec![first]));
    stage.rule("Directory::PublishImported");
    stage.label().unwrap();
    assert_eq!(stage.there(), [second]);
    // Nobody asks for it any more, and it ends.
    stage.world.clock.advance(Duration::from_secs(91 * DAY));
    assert_eq!((stage.mend(), stage.there().len()), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_for_e_mail_is_where_mail_programs_look_for_it() {
    let Some(stage) = Stage::new() else { return };
    let usages = Usages { server: false, client: false, email: true, ..Usages::default() };
    let wanted = super::purposes::mail(usages, &["jo@corp.example"]);
    let csr = stage.world.request(wanted).unwrap().waiting.unwrap().csr;
    let leaf = stage.world.sign(&csr, 90);
    stage.world.import(&[leaf.clone(), stage.world.issuing.2.clone()]).unwrap();
    let done = stage.publish().unwrap();
    assert!(done.created && done.imported, "{done:?}");
    assert_eq!(stage.there(), [BASE64.encode(&leaf)], "in userCertificate;binary");
    assert!(stage.publish().unwrap().unchanged);
    stage.forget();
    assert_eq!((stage.mend(), stage.there()), (1, vec![]));
}
