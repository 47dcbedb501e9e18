//! Guides whose commands are run as written: each `console` block is commands after `$ ` and what they print,
//! where `…` is anything.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use sealock_testkit::clients::{skip_without, skip_without_engine, skip_without_root};
use sealock_testkit::docker::{Image, try_docker};

use crate::support::{Daemon, Home, PATIENCE, text};

/// A command and what it is said to print.
#[derive(Debug, PartialEq)]
struct Step {
    command: String,
    printed: String,
}

fn steps(guide: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let (mut inside, mut end_of_input) = (false, None);
    for line in guide.lines() {
        match (line, steps.last_mut()) {
            ("```console", _) => inside = true,
            ("```", _) => inside = false,
            _ if !inside => {}
            (line, Some(step)) if end_of_input.is_some() => {
                step.command.push_str(&format!("\n{line}"));
                end_of_input = end_of_input.filter(|end| *end != line);
            }
            (line, step) => match (line.strip_prefix("$ "), step) {
                (Some(command), _) => {
                    end_of_input = command.contains("<<'EOF'").then_some("EOF");
                    steps.push(Step { command: command.to_owned(), printed: String::new() });
                }
                (None, Some(step)) => step.printed.push_str(&format!("{line}\n")),
                (None, None) => assert_eq!(line, "", "output before any command"),
            },
        }
    }
    steps
}

/// Whether this was printed, with `…` for anything.
fn is_as_said(said: &str, printed: &str) -> bool {
    let (said, mut rest) = (said.trim(), printed.trim());
    let mut pieces = said.split('…').peekable();
    let Some(first) = pieces.next() else { return rest.is_empty() };
    let Some(after) = rest.strip_prefix(first) else { return false };
    rest = after;
    if pieces.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return rest.ends_with(piece);
        }
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    true
}

#[test]
fn the_list_of_guides_says_which_are_run() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guides");
    let list = fs::read_to_string(folder.join("README.md")).unwrap();
    let mut marked = 0;
    for line in list.lines().filter(|line| line.starts_with("- [")) {
        let name = line.split("](").nth(1).and_then(|rest| rest.split(')').next()).unwrap();
        let is_run = !steps(&fs::read_to_string(folder.join(name)).unwrap()).is_empty();
        assert_eq!(line.ends_with("(**run**)"), is_run, "{name}");
        marked += usize::from(is_run);
    }
    // As many as there are tests below that follow one.
    assert_eq!(marked, 12);
}

#[test]
fn a_guide_is_read_as_it_is_meant() {
    let guide =
        "text\n$ no\n```console\n$ cat <<'EOF'\n$ in\nEOF\n$ two\na…\n…\n```\n```\nb\n```\n";
    let step = |command: &str, printed: &str| Step {
        command: command.to_owned(),
        printed: printed.to_owned(),
    };
    assert_eq!(steps(guide), [step("cat <<'EOF'\n$ in\nEOF", ""), step("two", "a…\n…\n")]);
    for (said, printed, good) in [
        ("a", "a\n", true),
        ("", "", true),
        ("", "a", false),
        ("a", "ab", false),
        ("…", "", true),
        ("a…c", "abbc", true),
        ("a…c", "abcd", false),
        ("a\n…\n  c\n…", "a\nb\n  c\nd\n", true),
        ("a\n…\n  c\n…", "a\nb\nd\n", false),
    ] {
        assert_eq!(is_as_said(said, printed), good, "{said:?} {printed:?}");
    }
}

/// What the guide's containers are called here; removed at the end, whatever happens.
struct Names(Vec<(&'static str, String)>);

impl Names {
    fn of<const N: usize>(names: [&'static str; N]) -> Self {
        let here = |name| (name, format!("{}-{name}", sealock_testkit::unique_name()));
        Self(names.map(here).into())
    }

    /// The guide with these names in it.
    fn placed(&self, guide: String) -> String {
        self.0.iter().fold(guide, |guide, (name, here)| guide.replace(name, here))
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        for (_, name) in &self.0 {
            let _ = try_docker(&["rm", "--force", "--volumes", name]);
        }
    }
}

/// A daemon whose gateway listens at the host's address on Docker's own bridge.
fn up(home: &Home, image: &Image) -> (Daemon, String) {
    let host = image.start(&[]).inspect("{{.NetworkSettings.Gateway}}");
    let log = fs::File::create(home.path("daemon.log")).unwrap();
    let mut command = home.command();
    command.args(["up", "--api", "off", "--gateway", &format!("{host}:0")]);
    let daemon = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
    let daemon = Daemon::of(daemon);
    let address = sealock_testkit::wait::until("the gateway", PATIENCE, || {
        let status = home.run(&["--json", "status"]);
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).ok()?;
        Some(status["gateway"].as_str()?.to_owned())
    });
    (daemon, address)
}

#[test]
fn docker_from_a_container_is_as_the_guide_says() {
    let Some(image) = crate::gateway_socket::image() else { return };
    let home = crate::gateway::home();
    let (daemon, address) = up(&home, &image);
    let names = Names::of(["manager", "stranger", "hello"]);
    let state = home.state().display().to_string();
    let labels = format!(
        "$ docker run -d {} --label=sealock.test={} ",
        home.scope_label(),
        sealock_testkit::run_id()
    );
    let guide = read("docker-from-a-container")
        .replace("$ docker run -d ", &labels)
        .replace("/var/lib/sealock", &state)
        .replace("/run/sealock/docker:", &format!("{state}/run/docker:"))
        .replace("/run/sealock/docker/docker.sock", &format!("{state}/run/docker/docker.sock"))
        .replace("docker:cli", image.name())
        .replace("172.17.0.1:4242", &address);
    follow(&home, &names.placed(guide), &[], 15);
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn certificates_in_a_directory_are_as_the_guide_says() {
    let home = Home::initialised();
    let Some(slapd) = crate::publish::slapd(&home) else { return };
    let here = format!("127.0.0.1:{}", slapd.tls);
    follow(&home, &read("directory").replace("ldap.corp.example", &here), &[], 7);
}

#[test]
fn apps_that_know_nothing_of_tokens_are_as_the_guide_says() {
    let is_unfit = skip_without_engine() || skip_without_root();
    if is_unfit || skip_without(&["docker-compose", "nft", "nsenter"]) {
        return;
    }
    let home = crate::gateway::home();
    let daemon = home.up();
    let image = Image::busybox();
    let project = Project(sealock_testkit::unique_name());
    let unique = sealock_testkit::unique_name();
    let (shop, orders) = (format!("{unique}-shop"), format!("{unique}-orders"));
    let (caller, app) = (format!("{unique}-caller"), format!("{unique}-app"));
    let all = [&shop, &orders, &caller, &app];
    let names = Names(all.map(|name| ("", name.clone())).to_vec());
    let state = home.state().display().to_string();
    let label = format!("{}={}", sealock_testkit::LABEL, sealock_testkit::run_id());
    let guide = read("forwarder")
        .replace("$ docker compose ", "$ docker-compose ")
        .replace(
            "    image: busybox\n",
            &format!("    image: {}\n    labels: [\"{label}\"]\n", image.name()),
        )
        .replace("/var/lib/sealock", &state)
        .replace("/usr/local/bin/sealock:", &format!("{}:", env!("CARGO_BIN_EXE_sealock")))
        .replace("- /run/sealock/workload:", &format!("- {state}/run/workload:"))
        .replace("example.sealock/service/orders", &format!("test.sealock/service/{orders}"))
        .replace("example.sealock/service/shop", &format!("test.sealock/service/{shop}"))
        .replace("container_name: app-of-orders", &format!("container_name: {app}"))
        .replace("container_name: app-of-shop", &format!("container_name: {caller}"))
        .replace("}}' app-of-shop", &format!("}}}}' {caller}"))
        .replace("exec app-of-shop", &format!("exec {caller}"))
        .replace("container_name: orders", &format!("container_name: {orders}"))
        .replace("container_name: shop", &format!("container_name: {shop}"))
        .replace("\"--service\", \"orders\"", &format!("\"--service\", \"{orders}\""))
        .replace("aliases: [\"orders\"]", &format!("aliases: [\"{orders}\"]"))
        .replace("orders=orders:8443", &format!("{orders}={orders}:8443"))
        .replace("http://orders/", &format!("http://{orders}/"))
        .replace("Service::\"orders\"", &format!("Service::\"{orders}\""))
        .replace("Service::\"shop\"", &format!("Service::\"{shop}\""));
    follow(&home, &guide, &[("COMPOSE_PROJECT_NAME", &project.0)], 11);
    drop(names);
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn certificates_in_other_formats_are_as_the_guide_says() {
    if skip_without(&["keytool", "haproxy", "nginx", "certutil", "pk12util"]) {
        return;
    }
    follow(&Home::initialised(), &read("formats"), &[], 11);
}

#[test]
fn key_stores_by_label_are_as_the_guide_says() {
    if skip_without_engine() || skip_without_root() || skip_without(&["keytool"]) {
        return;
    }
    let home = Home::new();
    let daemon = home.up();
    let image = Image::busybox();
    let names = Names::of(["shop"]);
    let labels = format!(
        "$ docker run -d {} --label={}={} ",
        home.scope_label(),
        sealock_testkit::LABEL,
        sealock_testkit::run_id()
    );
    let guide = read("labels").replace("$ docker run -d ", &labels);
    let guide = names.placed(guide.replace("busybox", image.name()));
    follow(&home, &guide, &[], 6);
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn profiles_are_as_the_guide_says() {
    if skip_without(&["openssl", "taplo"]) {
        return;
    }
    let guide = read("profiles").replace("spiffe://corp.example/", "spiffe://test.sealock/");
    follow(&Home::initialised(), &guide, &[], 13);
}

#[test]
fn lists_and_reports_are_as_the_guide_says() {
    if skip_without(&["python3"]) {
        return;
    }
    follow(&Home::initialised(), &read("inventory"), &[], 11);
}

#[test]
fn what_is_revoked_is_told_as_the_guide_says() {
    if skip_without(&["openssl", "python3"]) {
        return;
    }
    let mut home = Home::new();
    let address = format!("127.0.0.1:{}", crate::chain::free());
    let settings = home.write(
        "sealock.toml",
        &read("revocation")
            .split("```")
            .nth(1)
            .unwrap()
            .replace("0.0.0.0:8480", &address)
            .replace("pki.corp.example:8480", &address),
    );
    home.set(&[("SEALOCK_CONFIG", Box::leak(settings.into_boxed_str()))]);
    let daemon = home.up();
    follow(&home, &read("revocation"), &[], 9);
    assert_eq!(daemon.stop(), Some(0));
}

fn read(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guides");
    fs::read_to_string(folder.join(name).with_extension("md")).unwrap()
}

/// Runs every command in the scratch folder, with a `sealock` that is of this installation.
fn follow(home: &Home, guide: &str, variables: &[(&str, &str)], least: usize) {
    let program = home.path("sealock");
    let (state, binary) = (home.state(), env!("CARGO_BIN_EXE_sealock"));
    let script = format!("#!/bin/sh\nexec {binary} --state {} \"$@\"\n", state.display());
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let steps = steps(guide);
    assert!(steps.len() > least, "{steps:?}");
    let path = format!("{}:{}", home.path("").display(), std::env::var("PATH").unwrap());
    for Step { command, printed } in steps {
        let mut shell = Command::new("timeout");
        shell.args(["120", "sh", "-c", &format!("exec 2>&1\n{command}")]);
        shell.env("PATH", &path).envs(variables.iter().copied()).current_dir(home.path(""));
        let output = text(&shell.output().unwrap().stdout);
        assert!(is_as_said(&printed, &output), "$ {command}\n{output}\n--- and not:\n{printed}");
    }
}

/// What compose makes besides containers.
struct Project(String);

impl Drop for Project {
    fn drop(&mut self) {
        let _ = try_docker(&["network", "rm", &format!("{}_default", self.0)]);
    }
}

#[test]
fn secrets_in_containers_are_as_the_guide_says() {
    if skip_without_engine() || skip_without_root() || skip_without(&["docker-compose"]) {
        return;
    }
    let home = crate::gateway::home();
    let daemon = home.up();
    let image = Image::busybox();
    let project = Project(sealock_testkit::unique_name());
    let names = Names::of(["shop", "stranger"]);
    let state = home.state().display().to_string();
    let label = format!("{}={}", sealock_testkit::LABEL, sealock_testkit::run_id());
    let guide = read("secrets-in-containers")
        .replace("$ docker compose ", "$ docker-compose ")
        .replace("$ docker run ", &format!("$ docker run --label={label} "))
        .replace("    volumes:\n", &format!("    labels: [\"{label}\"]\n    volumes:\n"))
        .replace("/var/lib/sealock", &state)
        .replace("/usr/local/bin/sealock:", &format!("{}:", env!("CARGO_BIN_EXE_sealock")))
        .replace("- /run/sealock/workload:", &format!("- {state}/run/workload:"))
        .replace("-v /run/sealock/workload:", &format!("-v {state}/run/workload:"))
        .replace("busybox", image.name());
    let guide = names.placed(guide);
    follow(&home, &guide, &[("COMPOSE_PROJECT_NAME", &project.0)], 15);
    drop(names);
    assert_eq!(daemon.stop(), Some(0));
}

/// An image that the guide makes.
struct Made(String);

impl Drop for Made {
    fn drop(&mut self) {
        let _ = try_docker(&["image", "rm", "--force", &self.0]);
    }
}

#[test]
fn calls_between_services_are_as_the_guide_says() {
    if skip_without_engine() || skip_without_root() || skip_without(&["docker-compose", "curl"]) {
        return;
    }
    let home = crate::gateway::home();
    let scope = home.scope_label().trim_start_matches("--label=").to_owned();
    let _sidecars = crate::sidecar::Removed(scope.clone());
    let daemon = home.up();
    let image = Image::busybox();
    let project = Project(sealock_testkit::unique_name());
    let unique = sealock_testkit::unique_name();
    let helper = Made(format!("{unique}:local"));
    let named = |short: &str| format!("{unique}-{short}");
    let (shop, orders) = (named("shop"), named("orders"));
    let (app_of_shop, app_of_orders) = (named("a-shop"), named("a-orders"));
    let all = [&shop, &orders, &app_of_shop, &app_of_orders];
    let names = Names(all.map(|name| ("", name.clone())).into());
    // Free a moment ago; the guide's own may be taken on this host.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let state = home.state().display().to_string();
    let label = format!("{}={}", sealock_testkit::LABEL, sealock_testkit::run_id());
    let program = Path::new(env!("CARGO_BIN_EXE_sealock"));
    let mut guide = read("calls-between-services");
    for (said, here) in [
        ("$ docker compose ", "$ docker-compose ".to_owned()),
        ("tar -C /usr/local/bin ", format!("tar -C {} ", program.parent().unwrap().display())),
        ("sealock:local", helper.0.clone()),
        ("image: busybox", format!("image: {}", image.name())),
        ("/var/lib/sealock", state.clone()),
        ("- /run/sealock/workload:", format!("- {state}/run/workload:")),
        ("127.0.0.1:8000", format!("127.0.0.1:{port}")),
        ("labels: [", format!("labels: [\"{label}\", \"{scope}\", ")),
        ("container_name: app-of-", format!("labels: [\"{label}\"]\n    container_name: app-of-")),
        ("app-of-shop", app_of_shop.clone()),
        ("app-of-orders", app_of_orders.clone()),
        ("orders=orders:8000", format!("{orders}={orders}:8000")),
        ("[\"orders\"]", format!("[\"{orders}\"]")),
        ("\"--service\", \"orders\"", format!("\"--service\", \"{orders}\"")),
        (".dns=orders", format!(".dns={orders}")),
        ("5000=orders", format!("5000={orders}")),
        ("http://orders/", format!("http://{orders}/")),
        ("https://orders:", format!("https://{orders}:")),
        ("--connect-to orders:", format!("--connect-to {orders}:")),
        ("Host: orders", format!("Host: {orders}")),
        ("--audience orders", format!("--audience {orders}")),
        ("service=orders", format!("service={orders}")),
        ("service=shop", format!("service={shop}")),
        ("identity service/shop", format!("identity service/{shop}")),
        ("container_name: orders", format!("container_name: {orders}")),
        ("container_name: shop", format!("container_name: {shop}")),
        ("exec orders ", format!("exec {orders} ")),
        ("exec shop ", format!("exec {shop} ")),
        ("Service::\"orders\"", format!("Service::\"{orders}\"")),
        ("Service::\"shop\"", format!("Service::\"{shop}\"")),
    ] {
        assert!(guide.contains(said), "{said}");
        guide = guide.replace(said, &here);
    }
    follow(&home, &guide, &[("COMPOSE_PROJECT_NAME", &project.0)], 25);
    drop(names);
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn certificates_of_the_companys_ca_are_as_the_guide_says() {
    if skip_without(&["openssl", "keytool"]) {
        return;
    }
    let home = Home::initialised();
    crate::corporate::Company::new(&home);
    follow(&home, &read("corporate-ca"), &[], 16);
}

/// Each client in turn, because the challenges of all are asked at one port.
#[test]
fn certificates_by_acme_are_as_the_guide_says() {
    let clients = ["certbot", "lego", "dehydrated", "uacme", "caddy", "openssl", "curl", "busybox"];
    if skip_without(&clients) || skip_without(&["unshare"]) || skip_without_root() {
        return;
    }
    let scene = crate::acme::Scene::start();
    let home = &scene.home;
    let (http, tls, here) = (scene.http, scene.tls, home.path("").display().to_string());
    let web = home.path("web");
    fs::create_dir_all(web.join(".well-known/acme-challenge")).unwrap();
    fs::create_dir(home.path("dehydrated")).unwrap();
    // It trusts what the system trusts: in a mount namespace of its own that is our root.
    let trusting = format!(
        "unshare --mount sh -c 'mount --bind {} /etc/ssl/certs/ca-certificates.crt && exec \"$@\"' uacme uacme --confdir",
        scene.root
    );
    let guide = read("acme")
        .replace("https://ca.corp.example:8443/acme/directory", &scene.server)
        .replace("/var/lib/sealock", &home.state().display().to_string())
        .replace("/var/lib/dehydrated", &home.path("dehydrated").display().to_string())
        .replace("/var/www", &web.display().to_string())
        .replace("certbot certonly", "certbot certonly --config-dir cb --work-dir cb --logs-dir cb")
        .replace(
            "--standalone",
            &format!("--standalone --http-01-port {http} --http-01-address 127.0.0.1"),
        )
        .replace("--http --domains", &format!("--http --http.port 127.0.0.1:{http} --domains"))
        .replace("$ uacme --confdir", &format!("$ {trusting}"))
        .replace("{\n acme_ca", &format!("{{\n http_port {http}\n https_port {tls}\n acme_ca"))
        .replace(" respond", " bind 127.0.0.1\n respond")
        .replace(
            "https://www.corp.example/",
            &format!("--noproxy '*' --resolve www.corp.example:{tls}:127.0.0.1 https://www.corp.example:{tls}/"),
        )
        .replace("corp.example", "acme.test");
    let variables = [("HOME", here.as_str())];
    let (alone, rest) = guide.split_once("\ndehydrated, ").unwrap();
    let (files, caddy) = rest.split_once("\nCaddy, ").unwrap();
    follow(home, alone, &variables, 5);
    let server = scene.web();
    follow(home, files, &variables, 7);
    drop(server);
    follow(home, caddy, &variables, 8);
}
