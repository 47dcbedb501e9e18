//! `sealock run --as-files -- docker run …`: the program has its secrets, and docker knows nothing of them; and the
//! file that `docker run --env-file` reads.

use std::fs;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use sealock_testkit::clients::{skip_without, skip_without_engine, skip_without_root};
use sealock_testkit::docker::{Image, docker, try_docker};
use sealock_testkit::wait::until;
use sealock_testkit::{LABEL, run_id, unique_name};

use crate::gateway::permit;
use crate::secrets::set;
use crate::support::{Home, PATIENCE, signal, text};
use crate::terminal::Terminal;

const SECRETS: &str = "\
PLAIN: !var app/plain
LINES: !var app/lines
CERT: !var:file app/lines
MODE: production
";
const PLAIN: &str = "Zq7-plain-value-8Kx";
const LINES: &str = "-----BEGIN-----\nZq7 $HOME 'q' \"d\" \\n \\\n\n\ttab=1 #\n-----END-----\n";

/// An installation with secrets, an image, and what its containers are known by.
struct Stage {
    home: Home,
    image: Image,
    name: String,
}

impl Stage {
    fn new() -> Option<Self> {
        if skip_without_engine() || skip_without_root() {
            return None;
        }
        let home = Home::initialised();
        set(&home, "app/plain", PLAIN);
        set(&home, "app/lines", LINES);
        home.write("secrets.yml", SECRETS);
        Some(Self { home, image: Image::busybox(), name: unique_name() })
    }

    /// `sealock run`, its options, docker and its own options, and the rest.
    fn command(&self, options: &[&str], docker: &[&str], rest: &[&str]) -> Command {
        let mut command = self.home.command();
        command
            .env("TMPDIR", self.home.path(""))
            .args(["run"])
            .args(options)
            .args(["--", "docker", "run"]);
        command.args(["--label", &format!("{LABEL}={}", run_id())]);
        command.args(["--label", &format!("stage={}", self.name)]);
        command.args(docker).args(rest);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// With the secrets as files.
    fn as_files(&self, docker: &[&str], program: &[&str]) -> Output {
        let rest = [&[self.image.name()], program].concat();
        self.command(&["--as-files"], docker, &rest).output().unwrap()
    }

    /// What a script prints that has to succeed.
    fn script(&self, docker: &[&str], script: &str) -> String {
        let output = self.as_files(docker, &["sh", "-c", script]);
        let error = text(&output.stderr);
        assert!(output.status.success(), "docker run {docker:?}: {error}");
        text(&output.stdout)
    }

    /// The containers that are there, whether they run or not.
    fn containers(&self) -> Vec<String> {
        let filter = format!("label=stage={}", self.name);
        let list = docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &filter]);
        list.lines().map(str::to_owned).collect()
    }

    fn remove_all(&self) {
        let all = self.containers();
        if !all.is_empty() {
            let mut arguments = vec!["rm", "--force", "--volumes"];
            arguments.extend(all.iter().map(String::as_str));
            let _ = try_docker(&arguments);
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.remove_all();
    }
}

#[test]
fn a_container_has_its_secrets_however_it_is_started() {
    let Some(stage) = Stage::new() else { return };
    let show =
        "id -u; cat $PLAIN_FILE; echo; echo ${PLAIN-unset} $CERT ${MODE_FILE}; cat $MODE_FILE";
    let said = |user: &str, value: &str| {
        format!(
            "{user}\n{PLAIN}\n{value} /run/sealock/secrets/CERT /run/sealock/secrets/MODE\nproduction"
        )
    };
    for (options, user, value) in [
        (&["--rm"][..], "0", "unset"),
        (&["--rm", "-e", "PLAIN"], "0", PLAIN),
        (&["--rm", "-ePLAIN", "-u=app"], "1000", PLAIN),
        (&["--rm=true", "--env=PLAIN", "--user", "1000:1000"], "1000", PLAIN),
        (&["--rm", "-u4321:77", "--read-only", "--cap-drop", "ALL"], "4321", "unset"),
        (&["--rm", "--init", "--network", "none", "-w", "/tmp"], "0", "unset"),
        (&["--rm", "-i", "--env", "PLAIN=other", "--pids-limit", "50"], "0", "other"),
        (
            &["--rm", "--security-opt", "no-new-privileges", "--env-file", "@SEALOCKENVFILE"],
            "0",
            PLAIN,
        ),
    ] {
        assert_eq!(stage.script(options, show), said(user, value), "{options:?}");
    }
    assert_eq!(stage.script(&["--rm"], "cat $LINES_FILE"), LINES, "byte by byte");
    // Where a daemon runs, it gives out the values and decides.
    let daemon = stage.home.up();
    let as_variable = "awk 'BEGIN { printf \"%s\", ENVIRON[\"LINES\"] }'";
    assert_eq!(stage.script(&["--rm", "-e", "LINES"], as_variable), LINES);
    let owner = "stat -Lc '%u %g %a' $PLAIN_FILE; stat -c '%u %a' /run/sealock; grep ' /run/sealock ' /proc/mounts";
    let shown = stage.script(&["--rm", "-u", "app"], owner);
    assert!(shown.starts_with("1000 1000 400\n0 755\n") && shown.contains("tmpfs"), "{shown}");
    assert_eq!(daemon.stop(), Some(0));
    assert!(
        stage.script(&["--rm"], "touch /run/sealock/x; cat /.sealock | head -c 4").contains("ELF")
    );
    assert_eq!(stage.containers(), [""; 0]);
}

#[test]
fn the_program_is_the_images_own_or_the_one_that_is_named() {
    let Some(mut stage) = Stage::new() else { return };
    // An image with a program of its own, as a Dockerfile makes it.
    let tag = format!("{}:latest", unique_name());
    let dockerfile = format!(
        "FROM {}\nLABEL {LABEL}={}\nUSER app\nENTRYPOINT [\"/bin/echo\", \"entry\"]\nCMD [\"usual\"]\n",
        stage.image.name(),
        run_id()
    );
    let context = stage.home.path("context");
    fs::create_dir(&context).unwrap();
    fs::write(context.join("Dockerfile"), dockerfile).unwrap();
    let mut build = Command::new("docker");
    build.args(["build", "--quiet", "--tag", &tag]).arg(&context).env("DOCKER_BUILDKIT", "0");
    assert!(build.output().unwrap().status.success());
    let plain = std::mem::replace(&mut stage.image, Image::busybox());
    let run = |image: &str, options: &[&str], program: &[&str]| {
        let rest = [&[image], program].concat();
        let output = stage.command(&["--as-files"], &[&["--rm"], options].concat(), &rest).output();
        let output = output.unwrap();
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    };
    let outcomes = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        assert_eq!(run(&tag, &[], &[]), (Some(0), "entry usual\n".into()));
        assert_eq!(run(&tag, &[], &["given", "-x"]), (Some(0), "entry given -x\n".into()));
        assert_eq!(run(&tag, &["--entrypoint", "id"], &["-u"]), (Some(0), "1000\n".into()));
        let cat = ["--entrypoint=/bin/cat"];
        assert_eq!(run(&tag, &cat, &["/run/sealock/secrets/PLAIN"]), (Some(0), PLAIN.into()));
        assert_eq!(run(&tag, &["--entrypoint", ""], &["echo", "a"]), (Some(0), "a\n".into()));
        let (code, said) = run(&tag, &["--entrypoint="], &[]);
        assert_eq!(code, Some(64), "{said}");
        assert!(said.contains("neither the image nor the command line names a program"), "{said}");
        let (code, said) = run(plain.name(), &[], &["exit-code-of-nothing"]);
        assert!(code == Some(127) && said.contains("exit-code-of-nothing"), "{said}");
        let (code, said) = run(plain.name(), &[], &["/etc/passwd"]);
        assert!(code == Some(126) && said.contains("/etc/passwd"), "{said}");
        assert_eq!(run(plain.name(), &[], &["sh", "-c", "exit 77"]).0, Some(77));
        // By a signal, as docker tells it.
        assert_eq!(run(plain.name(), &["--init"], &["sh", "-c", "kill -9 $$"]).0, Some(137));
    }));
    let _ = try_docker(&["image", "rm", "--force", &tag]);
    outcomes.unwrap();
    assert_eq!(stage.containers(), [""; 0]);
}

#[test]
fn what_docker_refuses_is_said_by_docker_and_leaves_nothing() {
    let Some(stage) = Stage::new() else { return };
    let taken = stage.image.start(&[]);
    let name = taken.inspect("{{.Name}}").trim_start_matches('/').to_owned();
    for (options, words) in [
        (&["--name", &name][..], "already in use"),
        (&["--network", "sealock-no-such-network"], "not found"),
        (&["--volume", "relative:../x:ro:y"], "invalid"),
        (&["--memory", "1k"], "memory"),
        (&["--no-such-option=1"], "unknown flag"),
        (&["--volume", "/var/empty:/run/sealock"], "duplicate mount point"),
    ] {
        let output = stage.as_files(options, &["true"]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(125), "{options:?}: {said}");
        assert!(said.to_lowercase().contains(&words.to_lowercase()), "{options:?}: {said}");
        assert!(output.stdout.is_empty());
    }
    assert!(taken.output(&["echo", "lives"]) == "lives\n", "it is another's");
    let output =
        stage.command(&["--as-files"], &["--pull=never"], &["sealock-no-image:1"]).output();
    let output = output.unwrap();
    let said = text(&output.stderr);
    assert!(output.status.code() == Some(125) && said.contains("no image sealock-no-image:1"));
    for (options, words) in [
        (&["--restart", "always"][..], "sealock.secret.NAME.ref"),
        (&["-Z"], "`-Z` is no option"),
        (&["--label", "x=@SEALOCKENVFILE"], "--env-file @SEALOCKENVFILE"),
    ] {
        let output = stage.as_files(options, &["true"]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{options:?}: {said}");
        assert!(said.contains(words), "{options:?}: {said}");
    }
    for (yaml, words) in [
        ("A: !var app/none", "there is no secret app/none"),
        ("a/b: !var app/plain", "a/b cannot be the name of a file"),
    ] {
        let options = ["--as-files", "--yaml", yaml];
        let output = stage.command(&options, &[], &[stage.image.name(), "true"]).output().unwrap();
        let said = text(&output.stderr);
        assert!(!output.status.success() && said.contains(words), "{said}");
    }
    assert_eq!(stage.containers(), [""; 0]);
}

#[test]
fn what_policy_denies_is_not_delivered_and_the_container_is_gone() {
    let Some(stage) = Stage::new() else { return };
    let rule = "@id(\"no-files\")\nforbid (principal, action == Sealock::Action::\"Transfer::Send\", resource);";
    permit(&stage.home, rule);
    for options in [&[][..], &["-d"], &["--rm"], &["--rm", "-d"]] {
        let output = stage.as_files(options, &["sh", "-c", "echo ran"]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{options:?}: {said}");
        assert!(said.contains("Transfer::Send") && said.contains("is denied"), "{said}");
        assert!(output.stdout.is_empty(), "nothing ran: {}", text(&output.stdout));
        assert_eq!(stage.containers(), [""; 0], "{options:?}");
    }
    let log = stage.home.ok(&["--json", "audit", "tail", "-n", "1"]);
    assert!(log.contains("no-files") && log.contains("denied"), "{log}");
}

#[test]
fn docker_knows_nothing_of_the_values() {
    let Some(stage) = Stage::new() else { return };
    let since = docker(&["info", "--format", "{{.SystemTime}}"]);
    // What stands under a secret's name in this environment is not handed on either.
    let script = "echo started; cat $CERT >/dev/null; exec sleep 1000";
    let rest = [stage.image.name(), "sh", "-c", script];
    let mut command = stage.command(&["--as-files"], &["-d", "-e", "PLAIN", "-e", "MODE"], &rest);
    let output = command.env("PLAIN", "Zq7-stale").env("MODE", "Zq7-mode").output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let id = text(&output.stdout).trim().to_owned();
    assert_eq!(stage.containers(), [id.as_str()], "it has said which one it is");
    let environment = docker(&["exec", &id, "sh", "-c", "tr '\\0' '\\n' </proc/1/environ"]);
    assert!(environment.contains(&format!("PLAIN={PLAIN}")), "the program itself has it");
    assert!(environment.contains("MODE=production"), "{environment}");
    assert_eq!(docker(&["exec", &id, "cat", "/proc/1/comm"]), "sleep", "it is process 1 itself");

    let events = ["events", "--since", &since, "--until", "0s", "--format", "{{json .}}"];
    let image = format!("{}:committed", unique_name());
    let committed = try_docker(&["commit", &id, &image]);
    let history = try_docker(&["history", "--no-trunc", &image]);
    let saved = try_docker(&["save", &image]);
    let _ = try_docker(&["image", "rm", "--force", &image]);
    let engine = docker(&["info", "--format", "{{.DockerRootDir}}"]);
    let engine = format!("{engine}/containers/{id}");
    assert!(fs::exists(&engine).unwrap(), "{engine}");
    let files = Command::new("grep").args(["-r", "Zq7", &engine]).output().unwrap();
    for (what, output) in [
        ("inspect", try_docker(&["inspect", &id])),
        ("events", try_docker(&events)),
        ("logs", try_docker(&["logs", &id])),
        ("diff", try_docker(&["diff", &id])),
        ("top", try_docker(&["top", &id, "-eo", "pid,args"])),
        ("export", try_docker(&["export", &id])),
        ("commit", committed),
        ("history", history),
        ("save", saved),
    ] {
        assert!(output.status.success() && !output.stdout.is_empty(), "{what}");
        let found = output.stdout.windows(3).any(|window| window == b"Zq7");
        assert!(!found, "{what} shows a value");
    }
    assert_eq!(text(&files.stdout), "", "the engine's own files");
    let log = stage.home.ok(&["--json", "audit", "export"]);
    assert!(log.contains("transfer-done") && !log.contains("Zq7"), "{log}");
    assert!(
        log.contains("\"sha256\":\"withheld\""),
        "a digest would tell a guessable value: {log}"
    );
    let left = fs::read_dir(stage.home.path("")).unwrap();
    let mut left = left.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(!left.any(|name| name.starts_with("sealock-run-")), "the file with the id is gone");
}

#[test]
fn a_person_at_a_terminal_is_in_the_container() {
    let Some(stage) = Stage::new() else { return };
    let rest = [stage.image.name(), "sh"];
    let docker = ["-it", "--rm", "--env", "PS1=READY> ", "-e", "PLAIN"];
    let mut terminal = Terminal::start(stage.command(&["--as-files"], &docker, &rest));
    terminal.shows("READY>");
    terminal.type_in("echo $PLAIN | wc -c; tty\n");
    let shown = terminal.shown_until("/dev/pts/0");
    assert!(shown.contains(&format!("{}\r\n", PLAIN.len() + 1)), "{shown:?}");
    terminal.resize(33, 111);
    until("the size to arrive", PATIENCE, || {
        terminal.type_in("stty size; echo end$((1 + 1))\n");
        terminal.shown_until("end2").contains("33 111").then_some(())
    });
    terminal.type_in("echo sleeps$((1 + 1)); sleep 1000\n");
    terminal.shows("sleeps2");
    terminal.type_in("\u{3}");
    terminal.shows("READY>");
    terminal.type_in("exit 9\n");
    assert_eq!(terminal.ends(), Some(9));
    assert_eq!(stage.containers(), [""; 0]);
}

/// Started, and not waited for.
fn begin(stage: &Stage, options: &[&str], docker: &[&str], script: &str) -> Child {
    let rest = [stage.image.name(), "sh", "-c", script];
    stage.command(options, docker, &rest).stdin(Stdio::piped()).spawn().unwrap()
}

fn running(stage: &Stage) -> String {
    until("the container to run", PATIENCE, || {
        let found = stage.containers();
        let [id] = &found[..] else { return None };
        let output = try_docker(&["inspect", "--format", "{{.State.Running}}", id]);
        (output.stdout == b"true\n").then(|| id.clone())
    })
}

#[test]
fn input_and_signals_pass_through() {
    let Some(stage) = Stage::new() else { return };
    let mut child = begin(&stage, &["--as-files"], &["-i", "--rm"], "cat; exit 3");
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"typed\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((text(&output.stdout).as_str(), output.status.code()), ("typed\n", Some(3)));

    let script = "trap 'echo told; exit 5' TERM; trap 'echo hup' HUP; echo ready; while :; do sleep 0.05; done";
    let child = begin(&stage, &["--as-files"], &[], script);
    let id = running(&stage);
    until("the program to be ready", PATIENCE, || {
        docker(&["logs", &id]).contains("ready").then_some(())
    });
    signal(child.id(), "HUP");
    until("the program to hear", PATIENCE, || docker(&["logs", &id]).contains("hup").then_some(()));
    signal(child.id(), "TERM");
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (text(&output.stdout).as_str(), output.status.code()),
        ("ready\nhup\ntold\n", Some(5))
    );
    assert_eq!(stage.containers(), [id], "as with docker run, without --rm it stays");
    stage.remove_all();

    // At any moment before: nothing is left, or docker has told the program.
    for wait in [0, 50, 150, 200, 250, 300, 600] {
        let mut child = begin(&stage, &["--as-files"], &["--rm"], "sleep 1000");
        std::thread::sleep(Duration::from_millis(wait));
        signal(child.id(), "TERM");
        let ended = until("the end", PATIENCE, || {
            let ended = child.try_wait().unwrap();
            // A program that is process 1 and has no handler is told in vain.
            if ended.is_none() && !stage.containers().is_empty() {
                let _ = try_docker(&["kill", &stage.containers().concat()]);
            }
            ended
        });
        assert!(!ended.success(), "{wait} ms: {ended:?}");
        until("nothing to be left", PATIENCE, || stage.containers().is_empty().then_some(()));
    }
    // Detached: the container is there if and only if it was said to be.
    for wait in [0, 100, 200, 300, 400, 500, 700] {
        let child = begin(&stage, &["--as-files"], &["-d"], "sleep 1000");
        std::thread::sleep(Duration::from_millis(wait));
        let _ = Command::new("kill").arg(child.id().to_string()).stderr(Stdio::null()).status();
        let output = child.wait_with_output().unwrap();
        let said: Vec<String> = text(&output.stdout).lines().map(str::to_owned).collect();
        assert!(!output.status.success() || said.len() == 1, "{wait} ms: {output:?}");
        assert_eq!(stage.containers(), said, "{wait} ms: {output:?}");
        stage.remove_all();
    }
}

#[test]
fn without_who_delivers_the_container_ends_by_itself() {
    let Some(stage) = Stage::new() else { return };
    // Held as soon as there is a container, which docker then starts; and never let go again.
    let mut killed = begin(&stage, &["--as-files", "--timeout=4s"], &[], "echo ran; sleep 1000");
    until("a container", PATIENCE, || stage.containers().pop());
    signal(killed.id(), "STOP");
    let id = running(&stage);
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert_eq!(docker(&["wait", &id]), "1");
    let logs = try_docker(&["logs", &id]);
    let said = text(&logs.stdout) + &text(&logs.stderr);
    assert!(said.contains("there are no secrets in /run/sealock/secrets"), "{said}");
    assert!(!said.contains("ran\n"), "{said}");
    stage.remove_all();

    let rest = [stage.image.name(), "sh", "-c", "echo ran; sleep 1000"];
    let mut command = stage.command(&["--as-files", "--timeout=4s"], &["-d"], &rest);
    let id = text(&command.output().unwrap().stdout).trim().to_owned();
    let _ = docker(&["restart", "--time", "0", &id]);
    assert_eq!(docker(&["wait", &id]), "1");
    let said = text(&try_docker(&["logs", &id]).stderr);
    assert!(said.contains("there are no secrets in /run/sealock/secrets"), "{said}");
    assert!(
        said.contains("hint: ") && said.contains("make it anew with the same command"),
        "{said}"
    );
    let _ = docker(&["start", &id]);
    assert_eq!(docker(&["wait", &id]), "1", "and at once from then on");
}

#[test]
fn docker_reads_all_variables_from_a_file() {
    let Some(stage) = Stage::new() else { return };
    if skip_without(&["docker"]) {
        return;
    }
    let script = "awk 'BEGIN { printf \"%s|%s|%s\", ENVIRON[\"PLAIN\"], ENVIRON[\"LINES\"], ENVIRON[\"MODE\"] }'";
    let expected = format!("{PLAIN}|{LINES}|production");
    let yaml = SECRETS.replace("CERT: !var:file app/lines\n", "");
    stage.home.write("secrets.yml", &yaml);
    for (options, file) in [
        (&[][..], &["--env-file", "@SEALOCKENVFILE"][..]),
        (&[], &["--env-file=@SUMMONENVFILE"]),
        (&["--files", "memfd"], &["--env-file=@SEALOCKENVFILE"]),
        (&["--mask"], &["--env-file=@SEALOCKENVFILE"]),
    ] {
        let docker = [&["--rm"], file].concat();
        let rest = [stage.image.name(), "sh", "-c", script];
        let output = stage.command(options, &docker, &rest).output().unwrap();
        let (said, warned) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{file:?}: {warned}");
        if options.contains(&"--mask") {
            assert_eq!(said, "********|********|production", "masked on the way out");
        } else {
            assert_eq!(said, expected, "{file:?}");
        }
        assert!(warned.contains("`docker inspect` will show"), "{warned}");
    }
    // Any program gets the path; the file is gone at its end.
    let output = stage
        .home
        .command()
        .args(["run", "--", "sh", "-c", "stat -c %a \"$1\"; cat \"$1\"; echo \"$1\"", "sh"])
        .arg("@SEALOCKENVFILE")
        .output()
        .unwrap();
    let said = text(&output.stdout);
    let mut lines = said.lines();
    assert_eq!(lines.next(), Some("600"), "{said}");
    assert_eq!(lines.next(), Some("LINES"), "taken from the environment: {said}");
    assert_eq!(lines.next(), Some("MODE=production"));
    assert_eq!(lines.next(), Some(&*format!("PLAIN={PLAIN}")));
    let path = lines.next().unwrap();
    assert!(path.starts_with("/dev/shm/") && !std::path::Path::new(path).exists(), "{path}");

    set(&stage.home, "app/plain", "nul\0byte");
    let said = stage.home.fails(1, &["run", "--", "true", "@SEALOCKENVFILE"]);
    assert!(said.contains("NUL") && said.contains("PLAIN"), "{said}");
    set(&stage.home, "app/plain", b"\xff\xfe");
    let said = stage.home.fails(1, &["run", "--", "true", "@SEALOCKENVFILE"]);
    assert!(said.contains("not UTF-8") && said.contains("PLAIN"), "{said}");
}
