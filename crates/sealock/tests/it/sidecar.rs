//! Gatekeeper and Forwarder by labels alone: `up` makes, owns and heals them, and calls go on without it.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use sealock_testkit::docker::{Container, Image, Network, docker, try_docker};
use sealock_testkit::unique_name;
use sealock_testkit::wait::until;
use serde_json::Value;

use crate::gatekeeper::skip;
use crate::gateway::{home, permit};
use crate::support::{Daemon, Home, PATIENCE, text};

/// Tells what it was sent, as busybox's server passes it on.
const WHO: &[u8] =
    b"#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\nenv | grep -i '^HTTP_\\|^PATH_INFO'\n";

/// An installation with a network, and everything that it makes by itself; removed at the end.
struct World {
    // In this order: who makes them, what they made, what it is made of.
    daemon: Option<Daemon>,
    removed: Removed,
    image: Image,
    network: Network,
    home: Home,
    unique: String,
}

impl World {
    fn new() -> Self {
        Self::with(&[])
    }

    /// With these settings.
    fn with(settings: &[(&'static str, &'static str)]) -> Self {
        let mut home = home();
        home.set(settings);
        let removed = Removed(home.scope_label().trim_start_matches("--label=").to_owned());
        let image =
            Image::with_files(&[("www/cgi-bin/who", WHO, 0o755), ("www/admin", b"-", 0o644)]);
        let network = Network::create(&[]);
        let daemon = Some(home.up());
        Self { daemon, removed, image, network, home, unique: unique_name() }
    }

    /// The name of a container, and so of a service, here.
    fn name(&self, short: &str) -> String {
        format!("{}-{short}", self.unique)
    }

    /// A container of this name with an app, and labels of a guard.
    fn start(&self, name: &str, labels: &[(&str, &str)]) -> Container {
        self.start_on(name, &format!("--network={}", self.network.name()), labels)
    }

    fn start_on(&self, name: &str, network: &str, labels: &[(&str, &str)]) -> Container {
        let labels: Vec<String> = labels
            .iter()
            .map(|(key, text)| {
                let key =
                    key.strip_prefix('!').map_or(format!("sealock.guard.{key}"), str::to_owned);
                format!("--label={key}={text}")
            })
            .collect();
        let (name, scope) = (format!("--name={name}"), self.home.scope_label());
        let mut options = vec![name.as_str(), network, &scope];
        options.extend(labels.iter().map(String::as_str));
        let app = ["busybox", "httpd", "-f", "-p", "127.0.0.1:8080", "-h", "/www"];
        self.image.start_command(&options, &app)
    }

    fn service(&self, name: &str) -> Container {
        self.start(
            name,
            &[("service", name), ("listen", "0.0.0.0:8000"), ("upstream", "http://127.0.0.1:8080")],
        )
    }

    fn down(&mut self) {
        self.daemon.take().unwrap().kill();
    }

    fn up(&mut self) {
        self.daemon = Some(self.home.up());
    }

    /// What status says of the guard of a container.
    fn sidecars(&self, container: &str) -> Vec<Value> {
        let status = self.home.json(&["status"]);
        let containers = status["containers"].as_array().unwrap().clone();
        let found = containers.into_iter().find(|found| found["name"] == container);
        found.and_then(|found| found["sidecars"].as_array().cloned()).unwrap_or_default()
    }

    fn awaits(&self, container: &str, role: &str, state: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        until(&format!("{container}/{role} to be {state}"), PATIENCE * 2, || {
            let all = self.sidecars(container);
            let is = |it: &Value| it["role"] == role && it["state"] == state;
            let found = all.iter().find(|it| is(it)).cloned();
            assert!(
                found.is_some() || Instant::now() < deadline,
                "{container}/{role} is not {state}: {all:?}\n{}\n{}",
                self.home.log(),
                self.logs()
            );
            found
        })
    }

    /// The ids of the sidecars that there are of this installation.
    fn there(&self) -> Vec<String> {
        there(&self.removed.0)
    }

    fn logs(&self) -> String {
        let log = |id: &String| {
            let output = try_docker(&["logs", "--tail", "20", id]);
            format!("{id}:\n{}{}", text(&output.stdout), text(&output.stderr))
        };
        self.there().iter().map(log).collect::<Vec<_>>().join("\n")
    }

    /// `caller` reads `path` of `service` through its Forwarder, as any program with a proxy setting does.
    fn reads(&self, caller: &Container, service: &str, path: &str) -> Result<String, String> {
        let script = format!(
            "http_proxy=http://127.0.0.1:3128 timeout 10 wget -q -O - http://{service}{path}"
        );
        let output = caller.exec(&["sh", "-c", &script]);
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    fn permits(&self, caller: &str, service: &str) {
        permit(
            &self.home,
            &(crate::tokens::gets(caller, service)
                + &format!(
                    "permit (principal == Sealock::Service::\"{caller}\", action == Sealock::Action::\"Http::Call\", resource == Sealock::Service::\"{service}\")\nwhen {{ context.path like \"/cgi-bin/*\" }};\n"
                )),
        );
    }
}

/// What an installation of this scope (`sealock.scope=…`) has made by itself; removed at the end.
pub(crate) struct Removed(pub(crate) String);

impl Drop for Removed {
    fn drop(&mut self) {
        for id in there(&self.0) {
            let _ = try_docker(&["rm", "--force", "--volumes", &id]);
        }
        let label = self.0.replace("sealock.scope=", "label=sealock.sidecar-image=");
        let images = try_docker(&["images", "--all", "--quiet", "--filter", &label]);
        for image in text(&images.stdout).lines() {
            let _ = try_docker(&["image", "rm", "--force", image]);
        }
    }
}

fn there(scope: &str) -> Vec<String> {
    let scope = format!("label={scope}");
    let beside = "label=sealock.sidecar.beside";
    let list = ["ps", "--all", "--quiet", "--no-trunc", "--filter", &scope, "--filter", beside];
    let mut ids: Vec<String> = text(&try_docker(&list).stdout).lines().map(str::to_owned).collect();
    ids.sort();
    ids
}

fn address(container: &Container) -> String {
    container.inspect("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}")
}

/// curl at the Gatekeeper itself, without a token.
fn status_without_token(container: &Container) -> String {
    let url = format!("https://{}:8000/cgi-bin/who", address(container));
    let curl = ["--silent", "--insecure", "--max-time", "10", "--output", "/dev/null"];
    let output =
        Command::new("curl").args(curl).args(["--write-out", "%{http_code}", &url]).output();
    text(&output.unwrap().stdout)
}

#[test]
fn three_labels_guard_a_service_and_calls_go_on_whoever_is_killed() {
    if skip() {
        return;
    }
    let mut world = World::new();
    let (shop_name, orders_name) = (world.name("shop"), world.name("orders"));
    world.permits(&shop_name, &orders_name);
    let orders = world.service(&orders_name);
    let shop = world.start(&shop_name, &[("service", &shop_name)]);
    let gatekeeper = world.awaits(&orders_name, "gatekeeper", "serving");
    let forwarder = world.awaits(&shop_name, "forwarder", "serving");
    world.awaits(&orders_name, "forwarder", "nobody to call");
    let read = |world: &World| world.reads(&shop, &orders_name, "/cgi-bin/who");
    let seen = until("a call", PATIENCE, || read(&world).ok());
    let own = format!("HTTP_X_SEALOCK_IDENTITY=spiffe://test.sealock/service/{shop_name}");
    assert!(seen.contains(&own) && !seen.contains("AUTHORIZATION"), "{seen}");
    let denied = world.reads(&shop, &orders_name, "/admin").unwrap_err();
    assert!(denied.contains("403"), "{denied}");
    assert_eq!(status_without_token(&orders), "401");

    // Confined, and in the network of the app.
    for (name, beside) in [(&gatekeeper["name"], &orders), (&forwarder["name"], &shop)] {
        let format = "{{.HostConfig.NetworkMode}} {{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} \
                      {{.HostConfig.SecurityOpt}} {{.HostConfig.RestartPolicy.Name}} {{.Config.User}} \
                      {{.HostConfig.Memory}} {{.HostConfig.PidsLimit}}";
        let made = docker(&["inspect", "--format", format, name.as_str().unwrap()]);
        let expected = format!(
            "container:{} true [ALL] [no-new-privileges] no 64207:64207 536870912 1024",
            beside.id()
        );
        assert_eq!(made, expected);
    }
    let figures = world.home.json(&["status"]);
    assert!(figures["alarms"].as_array().unwrap().is_empty(), "{figures}");
    let shown = world.home.ok(&["status"]);
    assert!(shown.contains("gatekeeper") && shown.contains("serving"), "{shown}");

    // The app is restarted: another network, so others take their place.
    let before = world.there();
    let _ = docker(&["restart", "--time", "0", orders.id()]);
    until("a call after the restart", PATIENCE, || read(&world).ok());
    world.awaits(&orders_name, "gatekeeper", "serving");
    let after = world.there();
    assert_eq!(after.len(), 2, "{before:?} {after:?}");
    assert_eq!(before.iter().filter(|id| after.contains(id)).count(), 1, "the Forwarder stays");

    // Nobody looks after them: calls go on. Who comes back finds them.
    world.down();
    for _ in 0..20 {
        assert!(read(&world).is_ok(), "{:?}", read(&world));
        std::thread::sleep(Duration::from_millis(100));
    }
    world.up();
    world.awaits(&orders_name, "gatekeeper", "serving");
    world.awaits(&shop_name, "forwarder", "serving");
    assert_eq!(world.there(), after, "taken over, none twice");
    assert!(read(&world).is_ok());
    // And they hear of what changes again.
    permit(&world.home, "");
    until("the caller to be refused", PATIENCE, || {
        read(&world).err().filter(|error| error.contains("403")).map(drop)
    });

    // A service that is gone takes its own along; the rest goes on after an orderly end.
    drop(orders);
    until("the Gatekeeper to be gone", PATIENCE, || (world.there().len() == 1).then_some(()));
    assert_eq!(world.daemon.take().unwrap().stop(), Some(0));
    assert_eq!(world.there().len(), 1);
    let log = world.home.ok(&["--json", "audit", "export"]);
    for event in ["sidecar-made", "sidecar-removed"] {
        assert!(log.contains(event), "{event}");
    }
    assert!(world.home.ok(&["audit", "verify"]).contains("unbroken"));
}

#[test]
fn killed_in_the_middle_of_anything_the_next_up_makes_it_whole() {
    if skip() {
        return;
    }
    let mut world = World::new();
    let (shop_name, orders_name) = (world.name("shop"), world.name("orders"));
    world.permits(&shop_name, &orders_name);
    world.down();
    let _orders = world.service(&orders_name);
    let shop = world.start(&shop_name, &[("service", &shop_name)]);
    // While the image is made, and a container, and it is written down, and started.
    for moment in [300, 900, 1500, 2100, 2700, 3300, 3900, 4500] {
        let daemon = world.home.spawn();
        std::thread::sleep(Duration::from_millis(moment));
        daemon.kill();
    }
    world.up();
    world.awaits(&orders_name, "gatekeeper", "serving");
    world.awaits(&shop_name, "forwarder", "serving");
    until("a call", PATIENCE, || world.reads(&shop, &orders_name, "/cgi-bin/who").ok());
    assert_eq!(world.there().len(), 2, "{}", world.logs());
    let label = world.removed.0.replace("sealock.scope=", "label=sealock.sidecar-image=");
    until("one image to be left", PATIENCE, || {
        let images = docker(&["images", "--all", "--quiet", "--no-trunc", "--filter", &label]);
        let images: std::collections::BTreeSet<&str> = images.lines().collect();
        (images.len() == 1).then_some(())
    });
    assert!(world.home.ok(&["audit", "verify"]).contains("unbroken"));
}

/// In short: a token lives twenty seconds here and five minutes elsewhere, and is fetched anew at the same part of its life.
#[test]
fn the_broker_may_be_killed_for_four_fifths_of_a_tokens_life_and_nothing_stops() {
    if skip() {
        return;
    }
    let mut world = World::with(&[("SEALOCK_TRAFFIC_LONGEST_LIFE", "20s")]);
    let (shop_name, orders_name) = (world.name("shop"), world.name("orders"));
    world.permits(&shop_name, &orders_name);
    let _orders = world.service(&orders_name);
    let shop = world.start(&shop_name, &[("service", &shop_name)]);
    world.awaits(&shop_name, "forwarder", "serving");
    let read = |world: &World| world.reads(&shop, &orders_name, "/cgi-bin/who");
    until("a call", PATIENCE, || read(&world).ok());
    let issued = |world: &World| {
        let log = world.home.ok(&["--json", "audit", "export"]);
        let last = log.lines().rfind(|line| line.contains("\"token-issued\"")).unwrap().to_owned();
        serde_json::from_str::<Value>(&last).unwrap()
    };
    let first = issued(&world)["token"].clone();
    until("the next token", PATIENCE, || {
        let (called, last) = (read(&world), issued(&world));
        assert!(called.is_ok(), "{called:?}");
        (last["token"] != first).then_some(())
    });
    // The worst moment is right before the next one is fetched, at three seconds of twenty.
    std::thread::sleep(Duration::from_secs(2));
    world.down();
    let (away, mut calls) = (Instant::now(), 0);
    while away.elapsed() < Duration::from_secs(16) {
        let called = read(&world);
        assert!(called.is_ok(), "after {:?} and {calls} calls: {called:?}", away.elapsed());
        calls += 1;
    }
    // It was the token that carried them: it ends, and calls with it, and come back with the broker.
    until("the token to end", PATIENCE, || read(&world).err());
    world.up();
    until("calls to go on", PATIENCE, || read(&world).ok());
}

#[test]
fn a_label_is_a_request_and_policy_grants() {
    if skip() {
        return;
    }
    let world = World::new();
    let (orders, thief) = (world.name("orders"), world.name("thief"));
    // A container that says it is another's service.
    let claims = [
        ("service", orders.as_str()),
        ("listen", "0.0.0.0:8000"),
        ("upstream", "http://127.0.0.1:8080"),
    ];
    let container = world.start(&thief, &claims);
    let refused = world.awaits(&thief, "guard", "refused");
    let hint = refused["hint"].as_str().unwrap();
    assert!(hint.contains("Gatekeeper::Serve") && hint.contains(&orders), "{refused}");
    assert!(world.there().is_empty());
    let log = world.home.ok(&["--json", "audit", "export"]);
    let told = |log: &str| {
        log.lines().filter(|line| line.contains("label-refused") && line.contains(&thief)).count()
    };
    assert_eq!(told(&log), 1, "{log}");
    // The rule that the denial names is the one.
    let number = hint.split("policy explain ").nth(1).unwrap().split('`').next().unwrap();
    assert!(world.home.ok(&["policy", "explain", number]).contains("Gatekeeper::Serve"));
    let rule = hint.split_once("would allow it:\n").unwrap().1;
    permit(&world.home, rule);
    world.awaits(&thief, "gatekeeper", "serving");
    assert_eq!(status_without_token(&container), "401");
    // What it serves is the service's certificate; its own calls are its own still.
    let name = world.awaits(&thief, "gatekeeper", "serving")["name"].as_str().unwrap().to_owned();
    let log = world.home.ok(&["--json", "audit", "export"]);
    let acts = format!("\"acts_as\":\"spiffe://test.sealock/service/{orders}\"");
    assert!(log.lines().any(|line| line.contains("sidecar-made") && line.contains(&acts)), "{log}");

    // One that ends is started again, one that is removed is made again.
    let id = docker(&["inspect", "--format", "{{.Id}}", &name]);
    let _ = docker(&["kill", &id]);
    until("it to be started again", PATIENCE, || {
        let output = try_docker(&["inspect", "--format", "{{.State.Running}}", &id]);
        (text(&output.stdout).trim() == "true").then_some(())
    });
    let _ = docker(&["rm", "--force", &id]);
    until("another to be made", PATIENCE, || world.there().into_iter().find(|there| *there != id));
    world.awaits(&thief, "gatekeeper", "serving");

    // The right is taken away.
    permit(&world.home, "");
    world.awaits(&thief, "guard", "refused");
    until("it to be gone", PATIENCE, || world.there().is_empty().then_some(()));
}

#[test]
fn what_cannot_be_read_or_must_not_be_is_named_and_forged_sidecars_are_nobody() {
    if skip() {
        return;
    }
    let world = World::new();
    let (bad, wide, inner, forged) =
        (world.name("bad"), world.name("wide"), world.name("inner"), world.name("forged"));
    let _bad = world.start(&bad, &[("service", &bad), ("lisen", "0.0.0.0:80")]);
    let said = world.awaits(&bad, "guard", "bad label");
    assert!(said["reason"].as_str().unwrap().contains("sealock.guard.lisen"), "{said}");
    assert_eq!(said["hint"], "did you mean `listen`?");
    let _wide = world.start_on(&wide, "--network=host", &[("service", &wide)]);
    let said = world.awaits(&wide, "guard", "refused");
    assert!(said["reason"].as_str().unwrap().contains("the host's"), "{said}");
    let victim = world.image.start(&["--network=none"]);
    let network = format!("--network=container:{}", victim.id());
    let _inner = world.start_on(&inner, &network, &[("service", &inner)]);
    let said = world.awaits(&inner, "guard", "refused");
    assert!(said["reason"].as_str().unwrap().contains("another container's"), "{said}");

    // What looks like the victim's Gatekeeper is nobody but itself at the socket, and is removed where it claims to be
    // this installation's.
    let program = fs::canonicalize(env!("CARGO_BIN_EXE_sealock")).unwrap();
    let socket = world.home.state().join("run/workload");
    let options = [
        format!("--name={forged}"),
        format!("--label=sealock.sidecar.beside={}", victim.id()),
        "--label=sealock.sidecar.role=gatekeeper".to_owned(),
        format!("--volume={}:/bin/sealock:ro", program.display()),
        format!("--volume={}:/run/sealock/workload:ro", socket.display()),
    ];
    let mut options: Vec<&str> = options.iter().map(String::as_str).collect();
    let forgery = world.image.start(&options);
    let who = forgery.output(&["sealock", "--json", "workload", "whoami"]);
    assert!(who.contains(&format!("service/{forged}\"")), "{who}");
    drop(forgery);
    let scope = world.home.scope_label();
    options.push(&scope);
    let forgery = world.image.start(&options);
    until("the forgery to be gone", PATIENCE, || {
        (!try_docker(&["inspect", forgery.id()]).status.success()).then_some(())
    });
    assert!(world.there().is_empty());
}
