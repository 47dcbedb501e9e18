//! What is left of a secret: nothing, wherever one looks, however it ends.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use sealock_testkit::clients::{skip_without_engine, skip_without_root};
use sealock_testkit::docker::{Image, docker, try_docker};
use sealock_testkit::unique_name;
use sealock_testkit::wait::until;

use super::World;
use crate::summon::stage::{Running, outcome};
use crate::support::PATIENCE;

/// Larger files are none that we have made.
const LARGEST: u64 = 64 << 20;

/// A value that is nowhere else, and where it may not be found.
struct Search {
    value: String,
    since: SystemTime,
}

impl Search {
    fn new() -> Self {
        let mut bytes = [0; 16];
        let random = fs::File::open("/dev/urandom").unwrap();
        std::io::Read::read_exact(&mut &random, &mut bytes).unwrap();
        let value: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        // Clocks of file systems are coarse.
        Self { value: format!("S{value}"), since: SystemTime::now() - Duration::from_secs(1) }
    }

    fn is_in(&self, bytes: &[u8]) -> bool {
        bytes.windows(self.value.len()).any(|window| window == self.value.as_bytes())
    }

    /// Files of these folders that have been changed since.
    fn files(&self, folders: &[&Path]) -> Vec<String> {
        let mut found = Vec::new();
        let mut open: Vec<PathBuf> = folders.iter().map(|folder| folder.to_path_buf()).collect();
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                // It may go at any moment.
                let Ok(about) = fs::symlink_metadata(&path) else { continue };
                if about.is_dir() {
                    open.push(path);
                } else if about.is_file()
                    && about.len() <= LARGEST
                    && about.modified().is_ok_and(|at| at >= self.since)
                    && fs::read(&path).is_ok_and(|bytes| self.is_in(&bytes))
                {
                    found.push(path.display().to_string());
                }
            }
        }
        found
    }

    /// What any process shows of itself.
    fn processes(&self, what: &str) -> Vec<String> {
        let own = std::process::id().to_string();
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let pids = pids.filter(|pid| *pid != own && pid.bytes().all(|byte| byte.is_ascii_digit()));
        let paths = pids.map(|pid| format!("/proc/{pid}/{what}"));
        paths.filter(|path| fs::read(path).is_ok_and(|bytes| self.is_in(&bytes))).collect()
    }

    /// All places of this machine.
    fn machine(&self, world: &World) -> Vec<String> {
        let home = world.stage.path("");
        let mut found =
            self.files(&[Path::new("/dev/shm"), Path::new("/tmp"), Path::new("/run"), &home]);
        found.extend(self.processes("cmdline"));
        found.extend(self.processes("environ"));
        found
    }

    /// All that the engine tells of a container, and all that it keeps of it.
    fn container(&self, name: &str) -> Vec<String> {
        let mut found = Vec::new();
        let id = docker(&["inspect", "--format", "{{.Id}}", name]);
        for arguments in [
            &["inspect", name][..],
            &["logs", name],
            &["export", name],
            &["diff", name],
            &["top", name],
        ] {
            let output = try_docker(arguments);
            if self.is_in(&output.stdout) || self.is_in(&output.stderr) {
                found.push(format!("docker {}", arguments[0]));
            }
        }
        let root = docker(&["info", "--format", "{{.DockerRootDir}}"]);
        found.extend(self.files(&[&Path::new(&root).join("containers").join(&id)]));
        let upper =
            docker(&["inspect", "--format", "{{index .GraphDriver.Data \"UpperDir\"}}", name]);
        if Path::new(&upper).is_dir() {
            found.extend(self.files(&[Path::new(&upper)]));
        }
        found
    }

    /// What the engine tells of the time since.
    fn events(&self) -> bool {
        let since = self.since.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() + 1;
        let events = docker(&[
            "events",
            "--since",
            &since.to_string(),
            "--until",
            &now.to_string(),
            "--format",
            "{{json .}}",
        ]);
        assert!(!events.is_empty());
        self.is_in(events.as_bytes())
    }

    fn image(&self, name: &str) -> bool {
        let saved = try_docker(&["save", name]);
        let history = try_docker(&["history", "--no-trunc", name]);
        assert!(saved.status.success() && history.status.success());
        self.is_in(&saved.stdout) || self.is_in(&history.stdout)
    }
}

/// How a run ends.
const ENDS: [&str; 4] = ["exit 0", "exit 3", "TERM", "KILL"];

/// How the program is started with the last line of its script.
type Start<'a> = Box<dyn Fn(&str) -> Command + 'a>;

#[test]
fn nothing_is_left_on_the_host() {
    let search = Search::new();
    let world = World::with(&[("prod/db", &search.value)]);
    world.stage.provider(
        "vaulted",
        &format!(
            "#!/bin/sh\n[ $# -gt 0 ] || exit 1\nexec '{}' --state '{}' secret get prod/db\n",
            env!("CARGO_BIN_EXE_sealock"),
            world.home.state().display()
        ),
    );
    let files = "F: !var:file prod/db\nsealock.files:\n  - {path: made.json, format: json, secrets: {A: !var prod/db}}\n";
    let through = "A: !var:provider=vaulted x\nF: !var:file:provider=vaulted x\n";
    let script = |end: &str| {
        format!("echo \"begun ${{#A}} $(wc -c < ${{F:-/dev/null}})\"; read -r line < go; {end}")
    };
    let mut runs: Vec<(&str, Start<'_>)> = Vec::new();
    let flags: [(&str, &[&str], &str); 5] = [
        ("variable", &[], "A: !var prod/db\n"),
        ("files", &[], files),
        ("descriptor", &["--files", "memfd"], "F: !var:file prod/db\n"),
        ("masked", &["--mask"], "A: !var prod/db\nF: !var:file prod/db\n"),
        ("provider", &[], through),
    ];
    for (what, flags, yaml) in flags {
        runs.push((what, Box::new(|end| world.sh(flags, yaml, &script(end)))));
    }
    runs.push((
        "summon",
        Box::new(|end| {
            let yaml = "A: !var x\nF: !var:file x\nsummon.files:\n  - {path: made, secrets: {A: !var x}}\n";
            world.stage.summon(&["-p", "vaulted", "--yaml", yaml, "sh", "-c", &script(end)])
        }),
    ));
    // The shell waits by itself: a program that it had started to wait would outlive it, and has its
    // variables.
    assert!(Command::new("mkfifo").arg(world.stage.work("go")).status().unwrap().success());
    for (what, run) in &runs {
        for end in ENDS {
            let mut running =
                Running::start(run(if end.starts_with("exit") { end } else { "sleep 1000" }));
            running.prints("begun");
            // While it runs it is in the program, and nowhere in a command line.
            assert_eq!(search.processes("cmdline"), [""; 0], "{what} {end}");
            match *what {
                "variable" => {
                    let own = format!("/proc/{}/environ", running.id());
                    assert!(search.processes("environ").contains(&own));
                }
                "files" => {
                    assert_eq!(search.processes("environ"), [""; 0]);
                    let places = [Path::new("/dev/shm"), &world.stage.path("")];
                    assert_eq!(search.files(&places).len(), 2);
                }
                "descriptor" => assert_eq!(search.machine(&world), [""; 0]),
                _ => {}
            }
            if end.starts_with("exit") {
                world.stage.write("go", "");
            } else {
                running.signal(end);
            }
            running.wait();
            until(&format!("nothing to be left: {what} {end}"), PATIENCE, || {
                let found = search.machine(&world);
                // The guardian is on its way.
                assert!(end == "KILL" || found.is_empty(), "{what} {end}: {found:?}");
                found.is_empty().then_some(())
            });
        }
    }
}

#[test]
fn errors_leave_nothing_either() {
    let search = Search::new();
    let world = World::with(&[("prod/db", &search.value)]);
    world.stage.write("there", "mine");
    for yaml in [
        "A: !var prod/db\nB: !var prod/none\n",
        "F: !var:file prod/db\nsealock.files:\n  - {path: made, secrets: {A: !var prod/db}}\n  - {path: there, secrets: {A: 1}}\n",
        "F: !var:file prod/db\nsealock.files:\n  - {path: made, secrets: {A: !var prod/db}}\n  - {path: made/below, secrets: {A: 1}}\n",
        "F: !var:file prod/db\nsealock.files:\n  - {path: made, format: bash, secrets: {A-B: !var prod/db}}\n",
        "F: !var:file prod/db\nsealock.files:\n  - {path: made, template: '{{ secret \"X\" }}', secrets: {A: !var prod/db}}\n",
    ] {
        let said = world.says(&[], yaml, "true");
        assert_ne!(said.code, Some(0), "{yaml}");
        assert!(!search.is_in(said.err.as_bytes()) && said.out.is_empty(), "{yaml}: {said:?}");
        assert_eq!(search.machine(&world), [""; 0], "{yaml}");
    }
    let yaml = "F: !var:file prod/db\n";
    let said = outcome(world.run(&["--yaml", yaml, "--", "no-such-program"]));
    assert_eq!(said.code, Some(127));
    assert_eq!(search.machine(&world), [""; 0]);
    assert_eq!(world.stage.listing().len(), 1, "{:?}", world.stage.listing());
}

/// A container of this name, removed whatever happens.
struct Named(String);

impl Named {
    fn new() -> Self {
        Self(unique_name())
    }

    fn option(&self) -> String {
        format!("--name={}", self.0)
    }

    fn remove(&self) {
        let _ = try_docker(&["rm", "--force", "--volumes", &self.0]);
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        self.remove();
    }
}

#[test]
fn the_search_finds_what_docker_run_leaves() {
    if skip_without_engine() || skip_without_root() {
        return;
    }
    let search = Search::new();
    let world = World::with(&[("prod/db", &search.value)]);
    let image = Image::busybox();
    let name = Named::new();
    let start = [
        "--yaml",
        "A: !var prod/db",
        "--",
        "docker",
        "run",
        "--detach",
        &name.option(),
        "-e",
        "A",
        image.name(),
    ];
    let script = ["sh", "-c", "echo \"$A\" > /kept; echo \"$A\"; exec sleep 1000"];
    assert_eq!(outcome(world.run(&[&start[..], &script].concat())).code, Some(0));
    let found = until("the container to have written it", PATIENCE, || {
        let found = search.container(&name.0);
        found.iter().any(|place| place == "docker logs").then_some(found)
    });
    for place in ["docker inspect", "docker logs", "docker export"] {
        assert!(found.iter().any(|found| found == place), "{place} in {found:?}");
    }
    assert!(found.iter().any(|place| place.ends_with("config.v2.json")), "{found:?}");
    assert!(found.iter().any(|place| place.ends_with("/kept")), "the layer on disk: {found:?}");
    assert!(!search.processes("environ").is_empty());
    let by_exec = docker(&["exec", &name.0, "sh", "-c", &format!("true {}", search.value)]);
    assert_eq!(by_exec, "");
    assert!(search.events(), "events have the words of an exec");
    let committed = unique_name();
    let _ = docker(&["commit", &name.0, &committed]);
    let found = search.image(&committed);
    let _ = docker(&["image", "rm", "--force", &committed]);
    assert!(found, "a commit has it");
    // And on the host.
    let file = world.stage.write("leak", &search.value);
    let mut child = world.stage.command(Path::new("/bin/sleep"));
    child.arg("1000").env("LEAK", &search.value);
    let running = Running::start(child);
    let place = format!("/proc/{}/environ", running.id());
    until("the process to have begun", PATIENCE, || {
        search.machine(&world).contains(&place).then_some(())
    });
    assert!(search.machine(&world).contains(&file));
    assert!(fs::metadata(&file).unwrap().size() > 0);
}

#[test]
fn as_files_leaves_nothing_in_the_engine() {
    if skip_without_engine() || skip_without_root() {
        return;
    }
    let search = Search::new();
    let world = World::with(&[("prod/db", &search.value)]);
    let daemon = world.home.up();
    let image = Image::busybox();
    let yaml = "A: !var prod/db\nF: !var:file prod/db\n";
    for end in ENDS {
        let name = Named::new();
        let start =
            ["--as-files", "--yaml", yaml, "--", "docker", "run", &name.option(), image.name()];
        let last = if end.starts_with("exit") { end } else { "sleep 1000" };
        let script = format!(
            "trap 'exit 9' TERM; echo \"begun $(wc -c < $A_FILE) $(wc -c < $F)\"; while [ ! -e /tmp/go ]; do sleep 0.05; done; {last}"
        );
        let mut running = Running::start(world.run(&[&start[..], &["sh", "-c", &script]].concat()));
        running.prints(&format!("begun {0} {0}", search.value.len()));
        let looked = |when: &str| {
            let mut found = search.container(&name.0);
            found.extend(search.machine(&world));
            assert_eq!(found, [""; 0], "{end}, {when}");
            assert!(!search.events(), "{end}, {when}: events");
            assert!(!search.image(image.name()), "{end}, {when}: layers");
        };
        looked("while it runs");
        if end.starts_with("exit") {
            let _ = docker(&["exec", &name.0, "touch", "/tmp/go"]);
        } else {
            running.signal(end);
        }
        let said = running.wait();
        if end.starts_with("exit") {
            assert_eq!(said.code, end.strip_prefix("exit ").unwrap().parse().ok(), "{said:?}");
        }
        looked("at the end");
        // Neither is anything left of it that goes on when the container is no more.
        name.remove();
        let deadline = Instant::now() + PATIENCE;
        while !search.machine(&world).is_empty() {
            assert!(Instant::now() < deadline, "{:?}", search.machine(&world));
        }
    }
    assert_eq!(daemon.stop(), Some(0));
}
