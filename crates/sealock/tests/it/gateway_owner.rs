//! Ownership: two runners and an administrator at one engine. What one of them made is not there for the other, on
//! no route and in no list, and neither is what was made at the engine's own socket.

use std::fs;
use std::process::Command;

use sealock_core::policy::Action;
use sealock_docker::route;
use sealock_testkit::docker::{Image, docker};
use sealock_testkit::wait::until;

use crate::gateway::{Client, home, skip};
use crate::support::{Daemon, Home, PATIENCE, text};

/// An installation with the runners' preset, and two of them.
pub(crate) struct Shop {
    home: Home,
    pub(crate) daemon: Daemon,
    pub(crate) ann: Client,
    pub(crate) bob: Client,
    /// Ann's and Bob's.
    pub(crate) identities: [String; 2],
}

impl Shop {
    pub(crate) fn new() -> Self {
        let home = home();
        fs::create_dir_all(home.state().join("policy")).unwrap();
        let preset = concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies/docker/ci-runner.cedar");
        fs::copy(preset, home.state().join("policy/ci-runner.cedar")).unwrap();
        // Owners are identities, and other tests are at the same engine.
        let (ann, bob) = (unique("ann"), unique("bob"));
        let groups = format!("[groups]\ndocker-ci = [\"human/{ann}\", \"human/{bob}\"]\n");
        home.write("settings.toml", &groups);
        let log = fs::File::create(home.path("daemon.log")).unwrap();
        let mut command = home.command();
        command.args(["--config", &home.path("settings.toml").display().to_string(), "up"]);
        command.args(["--api", "off", "--gateway", "127.0.0.1:0"]);
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let daemon = Daemon::of(command.spawn().unwrap());
        until("the daemon to answer", PATIENCE, || {
            let status = home.run(&["--json", "status"]);
            let status: serde_json::Value = serde_json::from_slice(&status.stdout).ok()?;
            status["gateway"].is_string().then_some(())
        });
        let identity = |name: &str| format!("spiffe://test.sealock/human/{name}");
        let identities = [identity(&ann), identity(&bob)];
        let (ann, _) = Client::human(&home, &ann);
        let (bob, _) = Client::human(&home, &bob);
        Self { home, daemon, ann, bob, identities }
    }
}

/// Removes what a runner made, whatever becomes of the test.
pub(crate) struct Made<'a>(&'a Client, Vec<[String; 3]>);

impl<'a> Made<'a> {
    pub(crate) fn by(client: &'a Client) -> Self {
        Self(client, Vec::new())
    }

    /// Something that is removed by `docker KIND rm --force NAME`.
    pub(crate) fn keep(&mut self, kind: &str, name: &str) {
        let option = if kind == "network" { "" } else { "--force" };
        self.1.push([kind.to_owned(), option.to_owned(), name.to_owned()]);
    }
}

impl Drop for Made<'_> {
    fn drop(&mut self) {
        for [kind, option, name] in self.1.iter().rev() {
            let words = [kind.as_str(), "rm", option, name];
            let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
            // By the engine's own socket: the test may have failed because the gateway does.
            let _ = Command::new("docker").args(words).output();
        }
        let _ = self.0;
    }
}

pub(crate) fn unique(what: &str) -> String {
    format!("{}-{what}", sealock_testkit::unique_name())
}

fn run<'a>(name: &'a str, image: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut words = vec!["run", "--detach", "--name", name];
    words.extend(more);
    words.extend([image, "sleep", "600"]);
    words
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one object of each kind, and everything that can be tried on it"
)]
fn what_one_made_is_not_there_for_another() {
    if skip() {
        return;
    }
    let shop = Shop::new();
    let (ann, bob) = (&shop.ann, &shop.bob);
    let image = Image::busybox();
    let (name, network, volume) = (unique("c"), unique("n"), unique("v"));
    let mut made = Made::by(ann);
    made.keep("network", &network);
    ann.ok(&["network", "create", &network]);
    made.keep("volume", &volume);
    ann.ok(&["volume", "create", &volume]);
    made.keep("container", &name);
    let mount = format!("{volume}:/data");
    let options = ["--network", &network, "--volume", &mount, "--env", "A=shown"];
    let id = ann.ok(&run(&name, image.name(), &options)).trim().to_owned();
    let tag = format!("{name}:built");
    made.keep("image", &tag);
    ann.ok(&["commit", &name, &tag]);

    // For its maker all of it is there.
    assert_eq!(ann.ok(&["ps", "--quiet", "--no-trunc"]).trim(), id);
    assert_eq!(ann.ok(&["ps", "--last", "1", "--quiet", "--no-trunc"]).trim(), id);
    ann.ok(&["exec", &name, "touch", "/data/mark"]);
    assert!(ann.ok(&["network", "ls"]).contains(&network));
    assert_eq!(ann.ok(&["volume", "ls", "--quiet"]).trim(), volume);
    assert!(ann.ok(&["images"]).contains(&name));
    assert!(ann.ok(&["inspect", &name, "--format", "{{.Config.Env}}"]).contains("A=shown"));

    // For the other none of it is, by name, id and prefix.
    assert_eq!(bob.ok(&["ps", "--all", "--quiet"]), "");
    assert!(!bob.ok(&["network", "ls"]).contains(&network));
    assert_eq!(bob.ok(&["volume", "ls", "--quiet"]), "");
    assert!(!bob.ok(&["images"]).contains(&name));
    assert!(bob.ok(&["images"]).contains(image.name().split(':').next().unwrap()));
    let usage = bob.ok(&["system", "df", "--verbose"]);
    assert!(!usage.contains(&name) && !usage.contains(&volume), "{usage}");
    for reference in [&name, &id, &id[..12]] {
        for words in [
            vec!["exec", reference, "id"],
            vec!["logs", reference],
            vec!["rm", reference],
            vec!["cp", &format!("{reference}:/etc/passwd"), "-"],
            vec!["inspect", "--type", "container", reference],
            vec!["commit", reference, "stolen"],
            vec!["network", "disconnect", "bridge", reference],
        ] {
            let said = bob.refused(&words);
            assert!(said.contains(&format!("No such container: {reference}")), "{words:?}: {said}");
        }
    }
    let absent = |words: &[&str], expected: &str| {
        let said = bob.refused(words);
        assert!(said.contains(expected), "{words:?}: {said}");
    };
    absent(&["network", "inspect", &network], "not found");
    absent(&["network", "rm", &network], "not found");
    absent(&["network", "connect", &network, &name], "not found");
    absent(&["volume", "inspect", &volume], "no such volume");
    absent(&["volume", "rm", &volume], "no such volume");
    absent(&["image", "inspect", &tag], "No such image");
    // Only images of one's own may be removed, so this is denied for one that is not there, too.
    absent(&["image", "rm", "--force", &tag], "is denied");
    absent(&["tag", &tag, "mine:1"], "No such image");
    absent(&["history", &tag], "No such image");
    absent(&["save", &tag], "is denied");
    let create = |option: [&str; 2]| {
        let [option, value] = option.map(str::to_owned);
        let words = ["create", "--pull", "never", &option, &value, image.name(), "true"];
        words.map(str::to_owned)
    };
    let absent_there = |option: [&str; 2], expected: &str| {
        absent(&create(option).each_ref().map(String::as_str), expected);
    };
    absent_there(["--volume", &mount], "no such volume");
    absent_there(["--network", &network], "not found");
    absent(&["create", "--pull", "never", &tag, "true"], "No such image");
    // A name is one for all: whose it is is not said.
    let said = bob.refused(&create(["--name", &name]).each_ref().map(String::as_str));
    assert!(said.contains("already in use") && !said.contains(&id), "{said}");
    let said = bob.refused(&["tag", image.name(), &tag]);
    assert!(said.contains("only images of your own"), "{said}");

    // For a volume that is there the engine would say what it is; of networks it would make a second one.
    for words in [
        vec!["volume", "create", &volume],
        vec!["network", "create", &network],
        // The engine would find this name before the id that begins so.
        vec!["create", "--name", &id[..12], image.name()],
    ] {
        let said = bob.refused(&words);
        assert!(said.contains("already in use"), "{words:?}: {said}");
    }
    let bound = format!("since={id}");
    absent(&["ps", "--all", "--filter", &bound], "No such container");
    absent(&["images", "--filter", &format!("before={tag}")], "No such image");
    assert_eq!(ann.ok(&["ps", "--all", "--quiet", "--filter", &bound]), "");

    // The administrator has all of it, and so does the record of who tried.
    let log = shop.home.ok(&["--json", "audit", "tail", "-n", "200"]);
    assert!(log.contains("Docker::SeeOthers") && log.contains("-bob"), "{log}");
    assert_eq!(text(&ann.fed(&["exec", "-i", &name, "cat"], b"still mine").stdout), "still mine");
    assert_eq!(shop.daemon.stop(), Some(0));
}

#[test]
fn every_route_answers_for_others_objects_as_for_none() {
    if skip() {
        return;
    }
    let shop = Shop::new();
    let image = Image::busybox();
    let (name, network, volume) = (unique("c"), unique("n"), unique("v"));
    let mut made = Made::by(&shop.ann);
    made.keep("network", &network);
    shop.ann.ok(&["network", "create", &network]);
    made.keep("volume", &volume);
    shop.ann.ok(&["volume", "create", &volume]);
    made.keep("container", &name);
    let id = shop.ann.ok(&run(&name, image.name(), &[])).trim().to_owned();
    let tag = format!("{name}:built");
    made.keep("image", &tag);
    shop.ann.ok(&["commit", &name, &tag]);
    let exec = exec_of(&shop.ann, &id);
    let none = "0".repeat(64);

    let mut seen = 0;
    for (method, sample, action) in route::samples() {
        let kinds: &[(&str, &[&str], &str)] = &[
            ("/containers/web", &[&name, &id, &id[..20]], "/containers/"),
            ("container=web", &[&name, &id], "container="),
            ("/networks/backend", &[&network], "/networks/"),
            ("/volumes/data", &[&volume], "/volumes/"),
            (
                "/exec/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
                &[&exec],
                "/exec/",
            ),
            ("/images/nginx:1.27", &[&tag], "/images/"),
            ("/images/nginx", &[&tag], "/images/"),
            ("/images/team/app:1", &[&tag], "/images/"),
            ("/images/team/app", &[&tag], "/images/"),
            ("names=nginx", &[&tag], "names="),
        ];
        let Some((place, theirs, start)) = kinds.iter().find(|(place, ..)| sample.contains(place))
        else {
            continue;
        };
        let fill = |name: &str| {
            let name = if action == Action::DockerImagePush {
                name.split(':').next().unwrap()
            } else {
                name
            };
            sample.replace(place, &format!("{start}{name}"))
        };
        let nobodys = match *start {
            "/exec/" => none.clone(),
            "/images/" | "names=" => "nobody-has:this".to_owned(),
            _ => "nobody-has-this".to_owned(),
        };
        let (absent, said) = ask(&shop.bob, method, &fill(&nobodys), action);
        for theirs in *theirs {
            let target = fill(theirs);
            let (status, text) = ask(&shop.bob, method, &target, action);
            assert_eq!(status, absent, "{method} {target}: {text}");
            let (theirs, nobodys) = match action {
                Action::DockerImagePush => (theirs.split(':').next().unwrap(), "nobody-has"),
                _ => (*theirs, nobodys.as_str()),
            };
            let (short, other) = (text.replace(theirs, "X"), said.replace(nobodys, "X"));
            assert_eq!(without_request(&short), without_request(&other), "{method} {target}");
            assert!(
                ["403", "404"].contains(&status.as_str()),
                "{method} {target}: {status} {text}"
            );
            seen += 1;
        }
    }
    assert!(seen > 60, "{seen} routes");
    assert_eq!(shop.daemon.stop(), Some(0));
}

/// Without what follows the reason of a denial: the number of the request, or that so many denials of this
/// identity are not recorded, which comes sooner the faster a machine is.
fn without_request(text: &str) -> String {
    text.split(" is denied").next().unwrap_or_default().to_owned()
}

/// A command that ann has prepared in her container.
fn exec_of(ann: &Client, id: &str) -> String {
    let target = format!("/containers/{id}/exec");
    let (status, text) = ask(ann, "POST", &target, Action::DockerContainerExec);
    assert_eq!(status, "201", "{text}");
    let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
    answer["Id"].as_str().unwrap().to_owned()
}

/// Status and text of an answer, by curl.
fn ask(client: &Client, method: &str, target: &str, action: Action) -> (String, String) {
    let body = match action {
        Action::DockerContainerExec => r#"{"Cmd":["id"]}"#,
        Action::DockerNetworkConnect | Action::DockerNetworkDisconnect => {
            r#"{"Container":"nobody"}"#
        }
        Action::DockerContainerUpdate | Action::DockerVolumeUpdate | Action::DockerExecStart => {
            "{}"
        }
        _ => "",
    };
    let file = |name: &str| format!("{}/{name}", client.folder);
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--cacert", &file("ca.pem"), "--cert", &file("cert.pem")]);
    curl.args(["--key", &file("key.pem"), "--path-as-is", "--globoff", "--max-time", "20"]);
    curl.args(["--write-out", "\n%{http_code}"]);
    match method {
        "HEAD" => curl.args(["--head", "--output", "/dev/null"]),
        _ => curl.args(["--request", method]),
    };
    if !body.is_empty() {
        curl.args(["--header", "Content-Type: application/json", "--data-binary", body]);
    }
    if action == Action::DockerContainerAttachWebsocket {
        curl.args(["--header", "Connection: Upgrade", "--header", "Upgrade: websocket"]);
    }
    let said = text(
        &curl.arg(format!("https://{}/v1.41{target}", client.address)).output().unwrap().stdout,
    );
    let (body, status) = said.rsplit_once('\n').unwrap_or_default();
    (status.to_owned(), body.trim().to_owned())
}

#[test]
fn what_was_made_at_the_socket_is_not_there_and_an_image_cannot_claim_it() {
    if skip() {
        return;
    }
    let shop = Shop::new();
    let image = Image::busybox();
    let socket = image.start(&["--volume", "/:/host:ro"]);
    let said = shop.ann.refused(&["exec", socket.id(), "cat", "/host/etc/hostname"]);
    assert!(said.contains("No such container"), "{said}");

    // An image of hers that says in its own labels whose its containers are.
    let tag = format!("{}:claim", unique("i"));
    let mut made = Made::by(&shop.ann);
    made.keep("image", &tag);
    let owner = &shop.identities[0];
    let file = format!("FROM {}\nLABEL sealock.owner={owner}\n", image.name());
    let out =
        fs::create_dir_all(shop.home.path("build")).map(|()| shop.home.path("build")).unwrap();
    fs::write(out.join("Dockerfile"), file).unwrap();
    let mut build = Command::new("docker");
    build.env("DOCKER_BUILDKIT", "0").args(["build", "--quiet", "--tag", &tag]);
    assert!(build.arg(out.display().to_string()).output().unwrap().status.success());
    let victim = unique("victim");
    made.keep("container", &victim);
    let _ = docker(&run(&victim, &tag, &[]));
    let said = shop.ann.refused(&["exec", &victim, "id"]);
    assert!(said.contains("No such container"), "{said}");
    assert_eq!(shop.ann.ok(&["ps", "--all", "--quiet"]), "");
    let said = shop.ann.refused(&["container", "prune", "--force"]);
    assert!(said.contains("cannot tell it from yours"), "{said}");
    // Nor can she say so herself, in any way that sets labels.
    for words in [
        vec!["create", "--label", "sealock.owner=spiffe://test.sealock/human/bob", image.name()],
        vec!["create", "--label", "SEALOCK.owner=x", image.name()],
        vec!["volume", "create", "--label", "sealock.owner=x"],
        vec!["network", "create", "--label", "sealock.owner=x", "n"],
    ] {
        let said = shop.ann.refused(&words);
        assert!(said.contains("denied") || said.contains("sealock.owner"), "{words:?}: {said}");
    }
    assert_eq!(shop.daemon.stop(), Some(0));
}

#[test]
fn events_and_prunes_are_about_ones_own() {
    if skip() {
        return;
    }
    let shop = Shop::new();
    let image = Image::busybox();
    let (hers, his) = (unique("hers"), unique("his"));
    let mut made = Made::by(&shop.ann);
    made.keep("container", &hers);
    made.keep("container", &his);
    let since = docker(&["info", "--format", "{{.SystemTime}}"]);
    let since = format!("{}Z", since.split('.').next().unwrap().trim_end_matches('Z'));
    let stopped = |name| ["run", "--name", name, image.name(), "true"].map(str::to_owned);
    let words =
        |all: &[String]| all.iter().map(String::as_str).map(str::to_owned).collect::<Vec<_>>();
    for (client, name) in [(&shop.ann, &hers), (&shop.bob, &his)] {
        let all = words(&stopped(name.as_str()));
        client.ok(&all.iter().map(String::as_str).collect::<Vec<_>>());
    }
    let socket = image.start_command(&[], &["true"]);
    // With a new volume, which is made by the way and is hers as well.
    let volume = unique("v");
    made.keep("volume", &volume);
    shop.ann.ok(&["run", "--rm", "--volume", &format!("{volume}:/data"), image.name(), "true"]);
    assert_eq!(shop.ann.ok(&["volume", "ls", "--quiet"]).trim(), volume);

    let seen = shop.ann.ok(&["events", "--since", &since, "--until", "-1s"]);
    assert!(seen.contains(&hers), "{seen}");
    assert!(!seen.contains(&his) && !seen.contains(socket.id()), "{seen}");

    let pruned = shop.ann.ok(&["container", "prune", "--force"]);
    assert!(pruned.contains("Deleted Containers"), "{pruned}");
    let left = docker(&["ps", "--all", "--format", "{{.Names}}"]);
    assert!(!left.contains(&hers) && left.contains(&his), "{left}");
    let _ = docker(&["inspect", socket.id()]);
    assert_eq!(shop.bob.ok(&["ps", "--all", "--format", "{{.Names}}"]).trim(), his);
    assert_eq!(shop.daemon.stop(), Some(0));
}

#[test]
fn what_is_made_gets_policys_defaults_and_keeps_them() {
    if skip() {
        return;
    }
    let shop = Shop::new();
    let image = Image::busybox();
    let name = unique("c");
    let mut made = Made::by(&shop.ann);
    made.keep("container", &name);
    let id = shop.ann.ok(&run(&name, image.name(), &["--pids-limit", "-1"])).trim().to_owned();
    let format = "{{.HostConfig.SecurityOpt}} {{.HostConfig.PidsLimit}} {{index .Config.Labels \"sealock.owner\"}}";
    let made_so = docker(&["inspect", "--format", format, &id]);
    assert_eq!(made_so.trim(), format!("[no-new-privileges] 4096 {}", shop.identities[0]));
    let said = shop.ann.refused(&["update", "--pids-limit", "5000", &name]);
    assert!(said.contains("policy's limit of pidsLimit is 4096"), "{said}");
    shop.ann.ok(&["update", "--pids-limit", "100", &name]);
    assert_eq!(shop.daemon.stop(), Some(0));
}
