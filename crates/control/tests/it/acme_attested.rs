//! Containers that order by ACME without a challenge, with the real engine: what the engine says counts, and what else is tried
//! does not.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use data_encoding::BASE64URL_NOPAD;
use sealock_control::Command;
use sealock_core::audit::Fact;
use sealock_testkit::clients::{skip_without_engine, skip_without_root};
use sealock_testkit::docker::{Container, Image, docker};
use sealock_testkit::unique_name;
use serde_json::{Value, json};

use crate::acme::World;
use crate::acme_client::{Answer, Key, csr, order};
use crate::api::end;
use crate::scratch::{call, records};

/// Told to the process inside a container.
const ASKS: &str = "SEALOCK_TEST_ASKS_FOR_A_BINDING";
const FOLDER: &str = "/run/sealock/workload";
/// Containers may have what is below this by ACME, whatever they are called.
const RULE: &str = "permit (principal is Sealock::Service, action == Sealock::Action::\"Cert::Issue\", resource in Sealock::Domain::\"corp.example\") when { principal has container && context has via && context.via == \"acme\" };\n";

/// Not a test of its own: what runs inside a container, and asks at the workload socket as the command line does.
#[test]
fn helper_asks() {
    if std::env::var_os(ASKS).is_none() {
        return;
    }
    let mut stream = UnixStream::connect(format!("{FOLDER}/workload.sock")).unwrap();
    let body = r#"{"command":"acme-attest"}"#;
    write!(
        stream,
        "POST /v1/call HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap();
    println!("\nANSWER {status} {}", body.replace('\n', " "));
}

/// A daemon with the real engine, and an image for containers that have this very program.
struct Scene {
    world: World,
    image: Image,
}

/// What a container was given.
struct Given {
    kid: String,
    mac: Vec<u8>,
}

impl Scene {
    async fn start() -> Option<Self> {
        if skip_without_engine() || skip_without_root() {
            return None;
        }
        let image = Image::busybox();
        let world = World::with(|settings| {
            settings.engine.url = Some("unix:///var/run/docker.sock".to_owned());
            // Others' containers are on this engine, too.
            settings.watch.enabled = false;
        })
        .await;
        std::fs::write(world.scratch.rule_file("acme.cedar"), RULE).unwrap();
        call(world.daemon.service(), Command::PolicyReload).await.unwrap();
        Some(Self { world, image })
    }

    fn container(&self, options: &[&str]) -> Container {
        let folder = self.world.scratch.path().join("run/workload");
        let socket = format!("--volume={}:{FOLDER}:ro", folder.display());
        let own = std::env::current_exe().unwrap();
        let program = format!("--volume={}:/bin/it:ro", own.display());
        self.image.start(&[&[socket.as_str(), &program], options].concat())
    }

    fn labelled(&self, names: &str) -> Container {
        self.container(&["--label", &format!("sealock.acme.names={names}")])
    }

    /// What the container is answered, and with which status.
    fn asks(&self, container: &Container) -> (u16, Value) {
        let variable = format!("{ASKS}=1");
        let asks = ["env", &variable, "/bin/it", "--exact", "acme_attested::helper_asks"];
        let said = container.output(&[&asks[..], &["--nocapture"]].concat());
        let line = said.lines().find_map(|line| line.strip_prefix("ANSWER ")).unwrap();
        let (status, body) = line.split_once(' ').unwrap();
        (status.parse().unwrap(), serde_json::from_str(body).unwrap())
    }

    fn given(&self, container: &Container) -> Given {
        let (status, answer) = self.asks(container);
        assert_eq!(status, 200, "{answer}");
        let made = answer.as_object().unwrap().values().find(|it| it.is_object()).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let mac = BASE64URL_NOPAD.decode(text(&made["key"]).as_bytes()).unwrap();
        assert!(text(&made["directory"]).ends_with("/acme/directory"));
        assert!(text(&made["roots"]).contains("BEGIN CERTIFICATE"));
        Given { kid: text(&made["binding"]["name"]), mac }
    }

    async fn account(&self, key: &Key, given: &Given) -> Answer {
        let url = self.world.at("new-account");
        let binding = key.binding(&given.kid, &given.mac, &url);
        let payload = json!({"externalAccountBinding": binding}).to_string();
        self.world.signed(key, None, &url, &payload).await
    }

    /// An account of the container.
    async fn enrolled(&self, container: &Container) -> (Key, String) {
        let key = Key::new();
        let made = self.account(&key, &self.given(container)).await;
        assert_eq!(made.status, 201, "{}", made.document());
        (key, made.location())
    }

    async fn order(&self, key: &Key, kid: &str, names: &[&str]) -> Answer {
        self.world.signed(key, Some(kid), &self.world.at("new-order"), &order(names)).await
    }

    async fn finalize(&self, key: &Key, kid: &str, order: &Answer, names: &[&str]) -> Answer {
        self.world.signed(key, Some(kid), &order.text("finalize"), &csr(names)).await
    }
}

fn is_refused(answer: &Answer, said: &str) {
    let document = answer.document();
    assert_eq!((answer.status, answer.problem().as_str()), (403, "unauthorized"), "{document}");
    assert!(answer.text("detail").contains(said), "{document}");
}

fn name(container: &Container) -> String {
    container.inspect("{{.Name}}").trim().trim_start_matches('/').to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_orders_what_its_label_lists_and_policy_gives_without_a_challenge() {
    let Some(scene) = Scene::start().await else { return };
    let web = scene.labelled("web.corp.example,*.web.corp.example");
    let (key, kid) = scene.enrolled(&web).await;
    let names = ["web.corp.example", "*.web.corp.example"];
    let made = scene.order(&key, &kid, &names).await;
    assert_eq!(
        (made.status, made.text("status").as_str()),
        (201, "ready"),
        "{:?}",
        made.document()
    );
    let authorization = made.document()["authorizations"][0].as_str().unwrap().to_owned();
    let shown = scene.world.signed(&key, Some(&kid), &authorization, "").await;
    assert_eq!(shown.document()["challenges"], json!([]), "nothing is to be shown");
    let done = scene.finalize(&key, &kid, &made, &names).await;
    assert_eq!(
        (done.status, done.text("status").as_str()),
        (200, "valid"),
        "{:?}",
        done.document()
    );

    // What policy gives and the label does not list is proved as by everybody; also names below what is listed, and the
    // container's own name.
    let own = name(&web);
    for other in ["api.corp.example", "a.web.corp.example", own.as_str()] {
        let made = scene.order(&key, &kid, &[other]).await;
        assert_eq!((made.status, made.text("status").as_str()), (201, "pending"), "{other}");
    }
    let mixed = scene.order(&key, &kid, &["web.corp.example", "api.corp.example"]).await;
    assert_eq!(mixed.text("status"), "pending");
    assert_eq!(scene.order(&key, &kid, &["other.example"]).await.problem(), "rejectedIdentifier");

    // The log says who got what.
    let who = format!("spiffe://test.sealock/service/{own}");
    let all = records(scene.world.daemon.service());
    let of = |wanted: fn(&Fact) -> bool| {
        all.iter().filter(|it| it.event.who == who && wanted(&it.event.fact)).count()
    };
    assert_eq!(of(|it| matches!(it, Fact::AcmeBinding { change, .. } if change == "attested")), 1);
    assert_eq!(of(|it| matches!(it, Fact::AcmeAccount { change, .. } if change == "made")), 1);
    assert_eq!(of(|it| matches!(it, Fact::CertIssued { .. })), 1);
    end(scene.world.daemon).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_label_or_one_that_policy_does_not_give_has_no_binding() {
    let Some(scene) = Scene::start().await else { return };
    for (labels, status, said) in [
        (&[][..], 400, "no label sealock.acme.names"),
        (&["--label", "sealock.acme.names="], 400, "neither a DNS name"),
        (&["--label", "sealock.acme.name=web.corp.example"], 400, "the only label"),
        (&["--label", "sealock.acme.names=web.corp.example,evil.example"], 403, "evil.example"),
        (&["--label", "sealock.acme.names=localhost"], 403, "reserved"),
    ] {
        let (code, answer) = scene.asks(&scene.container(labels));
        let text = answer.to_string();
        assert_eq!(code, status, "{labels:?}: {text}");
        assert!(text.contains(said), "{labels:?}: {text}");
    }
    let kept = records(scene.world.daemon.service())
        .iter()
        .filter(|it| matches!(it.event.fact, Fact::AcmeBinding { .. }))
        .count();
    assert_eq!(kept, 0);
    end(scene.world.daemon).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_binding_is_for_one_account_which_has_what_its_own_container_lists() {
    let Some(scene) = Scene::start().await else { return };
    let (web, api) = (scene.labelled("web.corp.example"), scene.labelled("api.corp.example"));
    // Whoever steals it before it is used has this container's names and no others, and the container's client notices.
    let stolen = scene.given(&web);
    let thief = Key::new();
    let made = scene.account(&thief, &stolen).await;
    assert_eq!(made.status, 201);
    let late = scene.account(&Key::new(), &stolen).await;
    assert_eq!((late.status, late.problem().as_str()), (403, "unauthorized"));
    let kid = made.location();
    let others = scene.order(&thief, &kid, &["api.corp.example"]).await;
    assert_eq!(others.text("status"), "pending", "of another container's label");
    // An account goes to no other container by that one's binding.
    let given = scene.given(&api);
    let moved = scene.account(&thief, &given).await;
    assert_eq!((moved.status, moved.problem().as_str()), (403, "unauthorized"));
    let (key, api_kid) = (Key::new(), scene.account(&thief, &stolen).await);
    assert_eq!(
        (api_kid.status, api_kid.location()),
        (200, kid),
        "one that is used changes nothing"
    );
    let own = scene.account(&key, &given).await;
    assert_eq!(own.status, 201, "it was not used up by who was refused");
    let made = scene.order(&key, &own.location(), &["api.corp.example"]).await;
    assert_eq!(made.text("status"), "ready");
    let not = scene.order(&key, &own.location(), &["web.corp.example"]).await;
    assert_eq!(not.text("status"), "pending");
    end(scene.world.daemon).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_that_is_gone_or_another_by_now_orders_nothing() {
    let Some(scene) = Scene::start().await else { return };
    let names = ["web.corp.example"];
    let web = scene.labelled(names[0]);
    let old = name(&web);
    let (key, kid) = scene.enrolled(&web).await;
    let ready = scene.order(&key, &kid, &names).await;
    assert_eq!(ready.text("status"), "ready");

    let _ = docker(&["rename", web.id(), &unique_name()]);
    is_refused(&scene.finalize(&key, &kid, &ready, &names).await, "another name now");
    is_refused(&scene.order(&key, &kid, &names).await, "another name now");
    // Who has the old name is not who made the account.
    let other =
        scene.container(&["--name", &old, "--label", "sealock.acme.names=api.corp.example"]);
    is_refused(&scene.order(&key, &kid, &["api.corp.example"]).await, "another name now");
    drop(other);
    let _ = docker(&["rename", web.id(), &old]);
    assert_eq!(scene.order(&key, &kid, &names).await.text("status"), "ready");

    web.kill();
    is_refused(&scene.finalize(&key, &kid, &ready, &names).await, "does not run");
    let _ = docker(&["start", web.id()]);
    let done = scene.finalize(&key, &kid, &ready, &names).await;
    assert_eq!(done.status, 200, "{}", done.document());
    let second = scene.order(&key, &kid, &names).await;
    drop(web);
    is_refused(&scene.finalize(&key, &kid, &second, &names).await, "does not run");
    is_refused(&scene.order(&key, &kid, &names).await, "does not run");
    // What was issued to it is still its: to be fetched, and to be revoked.
    let pem = scene.world.signed(&key, Some(&kid), &done.text("certificate"), "").await;
    assert_eq!(pem.status, 200);

    // Made anew, with the account's key in a volume, it goes on by a binding of its own; a name that it does not list it
    // has to prove.
    let again =
        scene.container(&["--name", &old, "--label", "sealock.acme.names=api.corp.example"]);
    let moved = scene.account(&key, &scene.given(&again)).await;
    assert_eq!((moved.status, moved.location()), (200, kid.clone()), "{}", moved.document());
    is_refused(&scene.finalize(&key, &kid, &second, &names).await, "has to be now");
    assert_eq!(scene.order(&key, &kid, &["api.corp.example"]).await.text("status"), "ready");
    assert_eq!(scene.order(&key, &kid, &names).await.text("status"), "pending");
    end(scene.world.daemon).await;
}

/// A rule that is taken away is missed by containers, too, and no mode stands in for one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_label_alone_gives_nothing() {
    let Some(scene) = Scene::start().await else { return };
    let names = ["web.corp.example"];
    let web = scene.labelled(names[0]);
    let (key, kid) = scene.enrolled(&web).await;
    let ready = scene.order(&key, &kid, &names).await;
    assert_eq!(ready.text("status"), "ready");
    std::fs::write(scene.world.scratch.rule_file("acme.cedar"), "").unwrap();
    call(scene.world.daemon.service(), Command::PolicyReload).await.unwrap();
    let refused = scene.finalize(&key, &kid, &ready, &names).await;
    assert_eq!(refused.problem(), "rejectedIdentifier", "{}", refused.document());
    assert_eq!(scene.order(&key, &kid, &names).await.problem(), "rejectedIdentifier");
    end(scene.world.daemon).await;
}
