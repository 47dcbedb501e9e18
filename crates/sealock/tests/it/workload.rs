//! The workload socket: containers get their secrets by who they are, with nothing in the image but this program.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use sealock_testkit::clients::{skip_without_engine, skip_without_root};
use sealock_testkit::docker::{Container, Image, docker, try_docker};
use sealock_testkit::wait::until;
use sealock_testkit::{LABEL, run_id, unique_name};
use serde_json::Value;

use crate::gateway::{home, permit};
use crate::gateway_socket::name;
use crate::secrets::set;
use crate::support::{Home, PATIENCE, text};

const FOLDER: &str = "/run/sealock/workload";

fn image() -> Option<Image> {
    (!skip_without_engine() && !skip_without_root()).then(Image::busybox)
}

fn folder(home: &Home) -> String {
    home.state().join("run/workload").display().to_string()
}

/// Options that bring the program and the socket's folder, as the guide says.
fn mounts(home: &Home) -> [String; 2] {
    let program = env!("CARGO_BIN_EXE_sealock");
    [
        format!("--volume={program}:/bin/sealock:ro"),
        format!("--volume={}:{FOLDER}:ro", folder(home)),
    ]
}

fn start(home: &Home, image: &Image, options: &[&str]) -> Container {
    let mounts = mounts(home);
    image.start(&[&[mounts[0].as_str(), &mounts[1]], options].concat())
}

fn sealock(container: &Container, arguments: &[&str]) -> Output {
    container.exec(&[&["sealock"], arguments].concat())
}

fn ok(container: &Container, arguments: &[&str]) -> String {
    container.output(&[&["sealock"], arguments].concat())
}

/// What is said of a refusal.
fn refused(container: &Container, arguments: &[&str]) -> String {
    let output = sealock(container, arguments);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}{}", text(&output.stdout));
    said
}

/// A rule that lets the container of this name read what is below a path.
fn reads(name: &str, path: &str) -> String {
    format!(
        "permit (principal == Sealock::Service::\"{name}\", action == Sealock::Action::\"Secret::Read\", resource in Sealock::Secret::\"{path}\");\n"
    )
}

#[test]
fn each_container_gets_its_own_secrets_and_no_others() {
    let Some(image) = image() else { return };
    let home = home();
    let daemon = home.up();
    let (shop, bank) = (start(&home, &image, &[]), start(&home, &image, &[]));
    set(&home, "shop/key", "of the shop");
    set(&home, "bank/key", "of the bank\n\0\u{1}");
    permit(&home, &(reads(&name(&shop), "shop") + &reads(&name(&bank), "bank")));

    assert_eq!(ok(&shop, &["secret", "get", "shop/key"]), "of the shop");
    assert_eq!(ok(&bank, &["secret", "get", "bank/key"]), "of the bank\n\0\u{1}");
    let command = ["run", "--yaml", "KEY: !var shop/key", "--", "sh", "-c", "echo $KEY"];
    assert_eq!(ok(&shop, &command), "of the shop\n");
    let said = refused(&bank, &command);
    assert!(
        said.contains("KEY cannot be had: Secret::Read on secret shop/key is denied"),
        "{said}"
    );
    for (container, theirs) in [(&shop, "bank"), (&bank, "shop")] {
        let who = name(container);
        // Whether there is such a secret is not told.
        let mut words = ["key", "none"].map(|last| {
            let path = format!("{theirs}/{last}");
            let said = refused(container, &["secret", "get", &path]);
            assert!(said.contains(&format!("Sealock::Service::\"{who}\"")), "{said}");
            let request = said.split("request ").nth(1).unwrap().lines().next().unwrap();
            said.replace(request, "REQUEST").replace(&path, "PATH")
        });
        words.sort();
        assert_eq!(words[0], words[1]);
        // Nor by another name of it, nor by other commands.
        for path in [
            format!("{theirs}/../{theirs}/key"),
            format!("/{theirs}/key"),
            format!("{theirs}//key"),
        ] {
            assert_eq!(sealock(container, &["secret", "get", &path]).status.code(), Some(64));
        }
        assert!(ok(container, &["secret", "list"]).contains("no secret that you may list"));
        for command in ["list", "history", "delete", "undelete"] {
            let said = refused(container, &["secret", command, theirs]);
            assert!(said.contains("is denied"), "{said}");
        }
        let yaml = format!("sealock.files:\n  - path: /tmp/all\n    prefix: {theirs}\n");
        let said = refused(container, &["run", "--yaml", &yaml, "--", "true"]);
        assert!(said.contains("is denied"), "{said}");
    }
    let log = home.ok(&["--json", "audit", "export"]);
    let who = format!("spiffe://test.sealock/service/{}", name(&shop));
    let read = |line: &&str| line.contains("secret-read") && line.contains(&who);
    assert!(log.lines().find(read).is_some_and(|line| line.contains("shop/key")), "{log}");
    assert!(!log.contains("of the"), "{log}");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_container_is_told_who_it_is_and_how_that_was_found_out() {
    let Some(image) = image() else { return };
    let home = home();
    let daemon = home.up();
    let who = start(
        &home,
        &image,
        &["--user", "app", "--pid", "host", "--network", "none", "--cap-drop", "ALL"],
    );
    let identity = format!("spiffe://test.sealock/service/{}", name(&who));
    home.ok(&["group", "add", "shops", &format!("service/{}", name(&who))]);
    let said = ok(&who, &["workload", "whoami"]);
    let line = |heading: &str| {
        let found = said.lines().find(|line| line.starts_with(heading));
        found.unwrap_or_else(|| panic!("{said}")).split_once(' ').unwrap().1.trim().to_owned()
    };
    assert_eq!((line("Identity"), line("Groups")), (identity.clone(), "shops".to_owned()));
    let container = format!("{} ({}), of the image {}", name(&who), &who.id()[..12], image.name());
    assert_eq!((line("Container"), line("Door")), (container, "workload".to_owned()));
    assert!(line("Proof").contains("SO_PEERPIDFD"), "{said}");
    let json: Value = serde_json::from_str(&ok(&who, &["--json", "workload", "whoami"])).unwrap();
    assert_eq!((&json["identity"], &json["via"]), (&identity.into(), &"workload".into()));
    assert_eq!((&json["container"]["id"], &json["groups"][0]), (&who.id().into(), &"shops".into()));
    // On the host it is the administrator, by the admin socket.
    let said = home.ok(&["workload", "whoami"]);
    assert!(said.contains("human/admin") && said.contains("the admin socket"), "{said}");

    // A process of the host at the containers' socket is nobody.
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealock"));
    command.args(["--state", "nothing-there", "workload", "whoami"]).current_dir(home.path(""));
    command.env("SEALOCK_WORKLOAD_SOCKET", format!("{}/workload.sock", folder(&home)));
    let output = command.output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("is in no container of this engine"), "{said}");
    assert!(
        said.contains("hint: this socket is for containers; on the host, use the state folder")
    );
    assert_eq!(daemon.stop(), Some(0));
    let said = home.ok(&["workload", "whoami"]);
    assert!(said.contains("human/admin") && said.contains("process"), "{said}");
}

#[test]
fn who_could_put_another_socket_there_is_refused_and_who_has_none_is_told_what_to_mount() {
    let Some(image) = image() else { return };
    let home = home();
    let daemon = home.up();
    let program = mounts(&home)[0].clone();
    let writable = format!("--volume={}:{FOLDER}", folder(&home));
    let container = image.start(&[&program, &writable]);
    permit(&home, &reads(&name(&container), "shop"));
    let said = refused(&container, &["secret", "get", "shop/key"]);
    assert!(said.contains("may write to the folder of the socket"), "{said}");
    assert!(said.contains("hint: mount the folder of the socket read-only"), "{said}");

    let without = image.start(&[&program]);
    for arguments in [
        &["secret", "get", "shop/key"][..],
        &["workload", "whoami"],
        &["run", "--yaml", "A: !var shop/key", "--", "true"],
    ] {
        let said = refused(&without, arguments);
        assert!(said.contains("mount the host's /run/sealock/workload, read-only"), "{said}");
    }
    let said = without.exec(&["sealock", "run", "--yaml", "A: plain", "--", "sh", "-c", "echo $A"]);
    assert_eq!(text(&said.stdout), "plain\n", "where no secret is wanted, nobody is asked");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn with_another_name_a_container_is_somebody_else() {
    let Some(image) = image() else { return };
    let home = home();
    let daemon = home.up();
    set(&home, "shop/key", "value");
    let (shop, other) = (start(&home, &image, &[]), start(&home, &image, &[]));
    let old = name(&shop);
    permit(&home, &reads(&old, "shop"));
    let get = ["secret", "get", "shop/key"];
    assert_eq!(ok(&shop, &get), "value");
    let _ = docker(&["rename", shop.id(), &unique_name()]);
    assert!(refused(&shop, &get).contains(&format!("\"{}\"", name(&shop))));
    // Who has the name has the right: it is the engine that gives names.
    let _ = docker(&["rename", other.id(), &old]);
    assert_eq!(ok(&other, &get), "value");
    assert!(refused(&shop, &get).contains("is denied"));
    // A new container of the old name too, and the old one's end takes nothing from it.
    drop(other);
    let again = image.start(&[&mounts(&home)[0], &mounts(&home)[1], "--name", &old]);
    assert_eq!(ok(&again, &get), "value");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn what_is_not_for_containers_is_denied_and_recorded() {
    let Some(image) = image() else { return };
    let home = home();
    let daemon = home.up();
    let container = start(&home, &image, &[]);
    let who = name(&container);
    set(&home, "shop/key", "value");
    permit(&home, &reads(&who, "shop"));
    let key = home.path("key").display().to_string();
    crate::support::tool("age-keygen", &["-o", &key]);
    let recipient = crate::support::tool("age-keygen", &["-y", &key]).trim().to_owned();
    let refusals = [
        (&["ca", "export-root-key", "--out", "/tmp/key"][..], "Ca::Manage"),
        (&["ca", "rotate", "root"], "Ca::Manage"),
        (&["cert", "list"], "Cert::Read"),
        (&["cert", "issue", "bank", "--out", "/tmp/bank"], "Cert::Issue"),
        (&["secret", "export", "--to", &recipient, "-o", "/tmp/vault"], "Vault::Manage"),
        (&["secret", "rotate-key"], "Vault::Manage"),
        (&["secret", "set", "shop/key", "--generate"], "Secret::Write"),
        (&["secret", "delete", "shop/key"], "Secret::Delete"),
        (&["secret", "purge", "shop/key", "--yes"], "Secret::Purge"),
        (&["policy", "reload"], "Policy::Reload"),
        (&["policy", "use", "admin", "--for", "service/x"], "Policy::Use"),
        (&["group", "add", "admin", "service/x"], "Policy::Assign"),
        (&["status"], "Status::Read"),
        (&["audit", "tail"], "Audit::Read"),
        (&["audit", "export"], "Audit::Read"),
    ];
    for (arguments, action) in refusals {
        let said = refused(&container, arguments);
        assert!(said.contains(&format!("{action} on ")) && said.contains("is denied"), "{said}");
        let log = home.ok(&["--json", "audit", "tail", "-n", "1"]);
        let record: Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
        assert_eq!(record["who"], format!("spiffe://test.sealock/service/{who}"), "{record}");
        assert!(log.contains("\"denied\"") && log.contains(action), "{arguments:?}: {log}");
    }
    let said = refused(&container, &["init"]);
    assert!(said.contains("is denied"), "no authority of its own by mistake: {said}");
    let written = container.output(&["find", "/tmp", "-type", "f", "-size", "+0"]);
    assert_eq!(written, "", "nothing was written");
    assert_eq!(ok(&container, &["secret", "get", "shop/key"]), "value", "nothing has happened");
    // The preset for nobody: also an administrator in a container exports nothing.
    home.ok(&["group", "add", "admin", &format!("service/{who}")]);
    ok(&container, &["secret", "list"]);
    let said = refused(&container, &["secret", "export", "--to", &recipient, "-o", "/tmp/vault"]);
    assert!(said.contains("vault-stays-here"), "{said}");
    let said = refused(&container, &["ca", "export-root-key", "--out", "/tmp/key"]);
    assert!(said.contains("root-key-stays-here"), "{said}");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_flood_of_denials_does_not_fill_the_log() {
    let Some(image) = image() else { return };
    let home = home();
    let daemon = home.up();
    let (noisy, quiet) = (start(&home, &image, &[]), start(&home, &image, &[]));
    set(&home, "shop/key", "value");
    permit(&home, &reads(&name(&noisy), "shop"));
    let yaml: String = (0..1000).map(|number| format!("V{number}: !var bank/{number}\n")).collect();
    let flood = ["run", "--yaml", &format!("{yaml}KEY: !var shop/key"), "--", "true"];
    for _ in 0..3 {
        let said = refused(&noisy, &flood);
        // All but its own, which is behind the thousand that are asked for at a time.
        assert!(said.contains("1000 secrets cannot be had"), "{}", said.lines().next().unwrap());
    }
    let denials = |who: &Container| {
        let log = home.ok(&["--json", "audit", "export"]);
        let identity = format!("\"spiffe://test.sealock/service/{}\"", name(who));
        log.lines().filter(|line| line.contains("\"denied\"") && line.contains(&identity)).count()
    };
    // A hundred at once, and two more in each second that it takes.
    assert!((100..600).contains(&denials(&noisy)), "{}", denials(&noisy));
    // Others are heard, and what is permitted goes on.
    assert!(refused(&quiet, &["secret", "get", "shop/key"]).contains("policy explain"));
    assert_eq!(denials(&quiet), 1);
    assert_eq!(ok(&noisy, &["secret", "get", "shop/key"]), "value");
    // What is told of the rest.
    until("the next record", PATIENCE, || {
        refused(&noisy, &["secret", "get", "bank/1"]);
        let log = home.ok(&["--json", "audit", "tail", "-n", "20"]);
        log.contains("more denials were not recorded").then_some(())
    });
    assert_eq!(daemon.stop(), Some(0));
}

/// An image with two static programs and nothing else: no shell, no passwd, no folders.
struct Scratch(String);

impl Scratch {
    fn build(home: &Home) -> Self {
        let context = home.path("context");
        fs::create_dir(&context).unwrap();
        let tag = format!("{}:latest", unique_name());
        let dockerfile = format!(
            "FROM scratch\nLABEL {LABEL}={}\nCOPY sealock busybox secrets.yml /\n\
             ENTRYPOINT [\"/sealock\", \"run\", \"--\"]\nCMD [\"/busybox\", \"sh\", \"-c\", \"echo started; exec /busybox sleep 1000\"]\n",
            run_id()
        );
        fs::write(context.join("Dockerfile"), dockerfile).unwrap();
        fs::write(context.join("secrets.yml"), "PASSWORD: !var shop/password\n").unwrap();
        fs::copy(env!("CARGO_BIN_EXE_sealock"), context.join("sealock")).unwrap();
        fs::copy("/bin/busybox", context.join("busybox")).unwrap();
        let mut build = Command::new("docker");
        build.args(["build", "--quiet", "--tag", &tag]).arg(&context).env("DOCKER_BUILDKIT", "0");
        let output = build.output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        Self(tag)
    }

    /// A container of the image; `before` is told its name.
    fn start(&self, options: &[&str], before: impl Fn(&str)) -> Running {
        let (label, name) = (format!("{LABEL}={}", run_id()), unique_name());
        before(&name);
        let own = ["run", "--detach", "--label", &label, "--name", &name];
        let _ = docker(&[&own, options, &[&self.0]].concat());
        Running(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = try_docker(&["image", "rm", "--force", &self.0]);
    }
}

struct Running(String);

impl Running {
    fn log(&self) -> String {
        let output = try_docker(&["logs", &self.0]);
        text(&output.stdout) + &text(&output.stderr)
    }

    fn says(&self, wanted: &str) {
        until(wanted, PATIENCE, || self.log().contains(wanted).then_some(()));
    }

    fn exec(&self, script: &str) -> String {
        docker(&["exec", &self.0, "/busybox", "sh", "-c", script])
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = try_docker(&["rm", "--force", "--volumes", &self.0]);
    }
}

#[test]
fn as_entrypoint_of_an_image_with_nothing_in_it_the_program_is_process_1() {
    if skip_without_engine() || skip_without_root() {
        return;
    }
    let home = home();
    let daemon = home.up();
    set(&home, "shop/password", "Zq7-in-no-image");
    let image = Scratch::build(&home);
    let mount = mounts(&home)[1].clone();
    // Nobody may read it yet: the program is not started.
    let denied = image.start(&[&mount], |_| {});
    assert_eq!(docker(&["wait", &denied.0]), "1");
    assert!(denied.log().contains("PASSWORD cannot be had: ") && !denied.log().contains("started"));

    for user in ["0", "1000:1000", "65534"] {
        let app = image.start(&[&mount, "--user", user, "--read-only"], |name| {
            permit(&home, &reads(name, "shop"));
        });
        app.says("started");
        let own = app.exec(
            "/busybox tr '\\0' '\\n' </proc/1/environ; /busybox tr '\\0' ' ' </proc/1/cmdline",
        );
        assert!(own.contains("PASSWORD=Zq7-in-no-image\n"), "{own}");
        assert!(own.ends_with("/busybox sleep 1000"), "the program itself is process 1: {own}");
        for shown in [docker(&["inspect", &app.0]), docker(&["history", "--no-trunc", &image.0])] {
            assert!(!shown.contains("Zq7"), "{shown}");
        }
        let exported = try_docker(&["export", &app.0]).stdout;
        assert!(!exported.windows(3).any(|window| window == b"Zq7"));
    }
    assert_eq!(daemon.stop(), Some(0));
}

/// Lines of a program in a container that goes on.
struct Follow {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Follow {
    fn start(container: &Container, command: &[&str]) -> Self {
        let mut exec = Command::new("docker");
        exec.args(["exec", container.id()]).args(command).stdin(Stdio::null());
        let mut child = exec.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_new_value_reaches_the_program_also_after_the_daemon_was_away() {
    let Some(image) = image() else { return };
    let home = home();
    let daemon = home.up();
    set(&home, "shop/key", "first");
    let shop = start(&home, &image, &[]);
    permit(&home, &reads(&name(&shop), "shop"));
    let script = "trap 'echo told; exit' TERM; echo has $KEY; while :; do sleep 0.05; done";
    let yaml = ["run", "--watch=1s", "--yaml", "KEY: !var shop/key", "--", "sh", "-c", script];
    let mut watched = Follow::start(&shop, &[&["sealock"], &yaml[..]].concat());
    assert_eq!(watched.line(), "has first");
    set(&home, "shop/key", "second");
    assert_eq!((watched.line(), watched.line()), ("told".into(), "has second".into()));

    // Files are written anew, and the program is told.
    let script = "trap 'cat $KEY; echo' HUP; cat $KEY; echo; while :; do sleep 0.05; done";
    let yaml = ["--yaml", "KEY: !var:file shop/key", "--", "sh", "-c", script];
    let options = ["sealock", "run", "--watch=1s", "--on-change", "signal:HUP"];
    let mut told = Follow::start(&shop, &[&options, &yaml[..]].concat());
    assert_eq!(told.line(), "second");

    assert_eq!(daemon.stop(), Some(0));
    let said = refused(&shop, &["secret", "get", "shop/key"]);
    assert!(said.contains(&format!("cannot reach the daemon at {FOLDER}/workload.sock")), "{said}");
    assert!(said.contains("hint: is `sealock up` running on the host?"), "{said}");
    let said = refused(&shop, &["run", "--yaml", "KEY: !var shop/key", "--", "true"]);
    assert!(said.contains("KEY cannot be had: cannot reach the daemon"), "{said}");
    set(&home, "shop/key", "third");
    let daemon = home.up();
    assert_eq!((watched.line(), watched.line()), ("told".into(), "has third".into()));
    assert_eq!(told.line(), "third");
    assert_eq!(ok(&shop, &["secret", "get", "shop/key"]), "third");
    // What may be read no more stays with who has it, and nobody new gets it.
    permit(&home, "");
    set(&home, "shop/key", "fourth");
    assert!(refused(&shop, &["secret", "get", "shop/key"]).contains("is denied"));
    daemon.kill();
    assert!(refused(&shop, &["secret", "get", "shop/key"]).contains("cannot reach the daemon"));
    let daemon = home.up();
    permit(&home, &reads(&name(&shop), "shop"));
    assert_eq!((watched.line(), watched.line()), ("told".into(), "has fourth".into()));
    assert_eq!(daemon.stop(), Some(0));
    assert!(
        !Path::new(&folder(&home)).join("workload.sock").exists(),
        "the socket is gone with it"
    );
}

#[test]
fn with_files_it_stays_process_1_and_does_what_process_1_has_to() {
    let Some(image) = image() else { return };
    let home = home();
    let daemon = home.up();
    set(&home, "shop/key", "Zq7 in a file");
    let name = unique_name();
    permit(&home, &reads(&name, "shop"));
    // An orphan ends while the program goes on.
    let script = "trap 'echo told; exit 7' TERM; cat $KEY; echo; (sh -c 'sleep 0.2; : >/tmp/ended' & ); echo $KEY; while :; do sleep 0.05; done";
    let yaml = ["sealock", "run", "--yaml", "KEY: !var:file shop/key", "--", "sh", "-c", script];
    let [program, socket] = mounts(&home);
    let container = image.start_command(&[&program, &socket, "--name", &name], &yaml);
    let log = || text(&try_docker(&["logs", container.id()]).stdout);
    let path = until("the file's path", PATIENCE, || {
        log().lines().find(|line| line.starts_with("/dev/shm/")).map(str::to_owned)
    });
    assert!(log().starts_with("Zq7 in a file\n"), "{}", log());
    assert_eq!(container.output(&["cat", &path]), "Zq7 in a file");
    assert_eq!(container.output(&["stat", "-c", "%a", &path]), "600\n");
    until("the orphan to end, and to be taken leave of", PATIENCE, || {
        let ended = container.exec(&["test", "-e", "/tmp/ended"]).status.success();
        let listed = container.output(&["ps", "-o", "pid,stat,comm"]);
        assert!(listed.contains("sealock"), "{listed}");
        (ended && !listed.lines().any(|line| line.contains(" Z "))).then_some(())
    });
    let _ = docker(&["stop", "--time", "30", container.id()]);
    assert_eq!(container.inspect("{{.State.ExitCode}}"), "7", "the program's own");
    assert!(log().ends_with("told\n"), "{}", log());
    assert_eq!(daemon.stop(), Some(0));
}
