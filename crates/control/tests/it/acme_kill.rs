//! SIGKILL in the middle of an ACME order, at every request of it: the client says again what it has said before, and in the end
//! there is one certificate for each order and not two.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::process::{Child, Command as Process, Stdio};
use std::time::{Duration, Instant};

use sealock_control::command::List;
use sealock_control::config::{Config, Environment, Flags};
use sealock_control::daemon::up;
use sealock_control::state::StateFolder;
use sealock_control::{Command, Opening, Reply};
use sealock_core::audit::Fact;
use sealock_testkit::names::Names;

use crate::acme_client::{Answer, Key, Site, csr, found, order, web};
use crate::scratch::{Scratch, call, records};

const STATE: &str = "SEALOCK_ACME_KILL_STATE";
const SETTINGS: &str = "SEALOCK_ACME_KILL_SETTINGS";
const RULE: &str = "permit (principal in Sealock::Group::\"acme\", action == Sealock::Action::\"Cert::Issue\", resource in Sealock::Domain::\"acme.test\");\n";

/// Not a test of its own: the process that is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn helper_daemon() {
    let (Ok(folder), Ok(settings)) = (std::env::var(STATE), std::env::var(SETTINGS)) else {
        return;
    };
    let pairs: Vec<(String, String)> = serde_json::from_str(&settings).unwrap();
    let flags: Flags = pairs
        .into_iter()
        .map(|(name, value)| (&*Box::leak(name.into_boxed_str()), value))
        .collect();
    let environment = Environment::default();
    let config = Config::from_parts(None, &environment, &flags).unwrap();
    let state = StateFolder::locate(Some(folder.as_ref()), &environment).unwrap();
    up(Opening::new(state, config, environment)).await.unwrap().run().await.unwrap();
}

/// A port that was free a moment ago.
fn free() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The daemon that is killed, and started again.
struct Victim {
    folder: String,
    settings: String,
    child: Option<Child>,
}

impl Victim {
    async fn start(&mut self, site: &Site) {
        let child = Process::new(std::env::current_exe().unwrap())
            .args(["--exact", "acme_kill::helper_daemon", "--nocapture"])
            .env(STATE, &self.folder)
            .env(SETTINGS, &self.settings)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
        let began = Instant::now();
        while site.try_nonce().await.is_err() {
            assert!(began.elapsed() < Duration::from_secs(60), "the daemon does not come up");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        self.kill();
    }
}

/// When it dies.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// The request was answered, and nobody hears the answer.
    Unheard,
    /// So many microseconds after the request began to go out.
    After(u64),
}

/// A client that keeps what it was told, as clients keep it in files.
struct Applicant {
    name: String,
    key: Key,
    csr: String,
    kid: Option<String>,
    order: Option<String>,
    /// Requests until the kill.
    left: Option<(usize, Moment)>,
}

impl Applicant {
    fn new(name: String) -> Self {
        let csr = csr(&[&name]);
        Self { name, key: Key::new(), csr, kid: None, order: None, left: None }
    }

    /// One request; nothing, when the daemon was killed at it.
    async fn say(
        &mut self,
        site: &Site,
        victim: &mut Victim,
        url: &str,
        payload: &str,
    ) -> Option<Answer> {
        let moment = match &mut self.left {
            None => None,
            Some((0, moment)) => Some(*moment),
            Some((left, _)) => {
                *left -= 1;
                None
            }
        };
        let asked = site.try_signed(&self.key, self.kid.as_deref(), url, payload);
        let Some(moment) = moment else { return Some(asked.await.unwrap()) };
        self.left = None;
        match moment {
            Moment::Unheard => {
                let _ = asked.await.unwrap();
                victim.kill();
            }
            Moment::After(delay) => {
                let kill = async {
                    tokio::time::sleep(Duration::from_micros(delay)).await;
                    victim.kill();
                };
                let _ = tokio::join!(asked, kill);
            }
        }
        None
    }

    /// As far as it goes: all of the certificate, or nothing when the daemon was killed on the way.
    async fn pursue(&mut self, site: &Site, victim: &mut Victim) -> Option<String> {
        if self.kid.is_none() {
            let made = self.say(site, victim, &site.at("new-account"), "{}").await?;
            assert!([200, 201].contains(&made.status), "{}", made.document());
            self.kid = Some(made.location());
        }
        if self.order.is_none() {
            let wanted = order(&[&self.name]);
            let made = self.say(site, victim, &site.at("new-order"), &wanted).await?;
            assert_eq!(made.status, 201, "{}", made.document());
            self.order = Some(made.location());
        }
        let url = self.order.clone().unwrap();
        let began = Instant::now();
        loop {
            assert!(began.elapsed() < Duration::from_secs(60), "nothing comes of {}", self.name);
            let found = self.say(site, victim, &url, "").await?;
            match found.text("status").as_str() {
                "pending" => self.prove(site, victim, &found).await?,
                "ready" => {
                    let csr = self.csr.clone();
                    let done = self.say(site, victim, &found.text("finalize"), &csr).await?;
                    assert_eq!(done.status, 200, "{}", done.document());
                }
                "valid" => {
                    let pem = self.say(site, victim, &found.text("certificate"), "").await?;
                    assert_eq!(pem.status, 200);
                    return Some(String::from_utf8(pem.body.to_vec()).unwrap());
                }
                other => panic!("{other}: {}", found.document()),
            }
        }
    }

    async fn prove(&mut self, site: &Site, victim: &mut Victim, order: &Answer) -> Option<()> {
        let url = order.document()["authorizations"][0].as_str().unwrap().to_owned();
        let found = self.say(site, victim, &url, "").await?;
        if found.text("status") != "pending" {
            return Some(());
        }
        let document = found.document();
        let challenges = document["challenges"].as_array().unwrap();
        let http = challenges.iter().find(|it| it["type"] == "http-01").unwrap();
        // One that is being looked at is left alone: who looked may be gone, and asking how it stands is enough.
        if http["status"] == "pending" {
            let url = http["url"].as_str().unwrap().to_owned();
            self.say(site, victim, &url, "{}").await?;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        Some(())
    }
}

/// The first ten requests of an order, each cut at two moments, and the later ones, of which the end of the order is one, at more.
fn moments() -> Vec<(usize, Moment)> {
    let mut all: Vec<(usize, Moment)> =
        (0..10).flat_map(|at| [(at, Moment::Unheard), (at, Moment::After(900))]).collect();
    for (number, delay) in [300, 1_500, 2_500, 4_000, 6_000].into_iter().enumerate() {
        all.push((5 + number, Moment::After(delay)));
        all.push((6 + number % 2, Moment::After(delay * 2)));
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_is_killed_anywhere_comes_to_its_end_with_one_certificate() {
    let scratch = Scratch::new();
    let service = scratch.initialised().await;
    std::fs::write(scratch.rule_file("acme.cedar"), RULE).unwrap();
    let Reply::Bundle(roots) = call(&service, Command::CaBundle).await.unwrap() else {
        panic!("no bundle")
    };
    drop(service);
    let names = Names::start(scratch.folder.path().join("names"));
    let mut applicants: Vec<Applicant> = moments()
        .into_iter()
        .enumerate()
        .map(|(number, at)| {
            let mut applicant = Applicant::new(format!("n{number}.acme.test"));
            applicant.left = Some(at);
            applicant
        })
        .collect();
    let keys: BTreeMap<String, String> =
        applicants.iter().map(|it| (it.name.clone(), it.key.thumbprint())).collect();
    let answer =
        move |host: &str, token: &str| Some(found(&format!("{token}.{}", keys.get(host)?)));
    let (http, port) = (web(answer).await, free());
    let settings: Vec<(&str, String)> = vec![
        ("api.listen", format!("127.0.0.1:{port}")),
        ("gateway.listen", "off".to_owned()),
        ("docker.url", "unix:///nonexistent/engine.sock".to_owned()),
        ("trust_domain", "test.sealock".to_owned()),
        ("acme.resolvers", names.address.to_string()),
        ("acme.allow", "127.0.0.0/8".to_owned()),
        ("acme.http_port", http.to_string()),
    ];
    let site = Site::new(format!("127.0.0.1:{port}"), roots);
    let mut victim = Victim {
        folder: scratch.path().display().to_string(),
        settings: serde_json::to_string(&settings).unwrap(),
        child: None,
    };
    victim.start(&site).await;
    let mut killed = 0;
    for applicant in &mut applicants {
        let mut pem = applicant.pursue(&site, &mut victim).await;
        if pem.is_none() {
            killed += 1;
            victim.start(&site).await;
            pem = applicant.pursue(&site, &mut victim).await;
        }
        assert_eq!(pem.unwrap().matches("BEGIN CERTIFICATE").count(), 2, "{}", applicant.name);
        // Who asks once more, after all that, is told of the same one.
        applicant.left = None;
        let done = applicant.pursue(&site, &mut victim).await;
        assert!(done.is_some());
    }
    victim.kill();
    assert!(killed >= 20, "only {killed} of {} were killed in the middle", applicants.len());

    let service = scratch.service();
    let list = List { all: true, limit: Some(10_000), ..List::default() };
    let Reply::Certificates(found) = call(&service, Command::CertList(list)).await.unwrap() else {
        panic!("no list")
    };
    for applicant in &applicants {
        let own = found.certificates.iter().filter(|it| it.name == applicant.name).count();
        assert_eq!(own, 1, "{}", applicant.name);
    }
    let issued = records(&service).into_iter().filter(|record| {
        matches!(&record.event.fact, Fact::CertIssued { name, .. } if name.ends_with(".acme.test"))
    });
    assert_eq!(issued.count(), applicants.len(), "one event for each");
    match call(&service, Command::AuditVerify).await.unwrap() {
        Reply::AuditVerified(report) => assert!(report.intact, "{report:?}"),
        other => panic!("{other:?}"),
    }
}
