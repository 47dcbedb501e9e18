//! The vault and external providers.

use super::{World, one_error};
use crate::summon::signals::has_ended;
use crate::summon::stage::{in_python, outcome};

#[test]
fn several_providers_in_one_file() {
    let world = World::with(&[("prod/db", "hunter2"), ("prod/old", "one")]);
    world.set("prod/old", "two");
    let yaml = "A: !var prod/db\nB: !var:provider=legacy b\nC: !var:provider=stream blanks\nD: !var:provider=sealock prod/db\n\
                E: !var prod/old#1\nF: !var prod/old\nG: literal\n";
    let out = world.prints(&[], yaml, "echo \"$A|$B|$C|$D|$E|$F|$G\"");
    assert_eq!(out, "hunter2|value of b|  a b |hunter2|one|two|literal\n");
    // Another default, and the vault by its name.
    let yaml = "A: !var a\nB: !var:provider=sealock prod/db\n";
    assert_eq!(world.prints(&["-p", "stream"], yaml, "echo \"$A|$B\""), "value of a|hunter2\n");
    // A path is for the flag; a name in the file is none.
    let path = world.stage.program("mine", "#!/bin/sh\n[ $# -eq 1 ] || exit 1\necho \"mine $1\"\n");
    assert_eq!(world.prints(&["-p", &path], "A: !var a\n", "echo $A"), "mine a\n");
    assert_eq!(world.prints(&["-p", "./mine"], "A: !var a\n", "echo $A"), "mine a\n");
}

#[test]
fn all_are_asked_at_the_same_time() {
    // Each answers only when all of all have begun.
    let world = World::new();
    for name in ["one", "two"] {
        let begun = "while [ \"$(ls begun.* | wc -l)\" -lt 6 ]; do sleep 0.01; done";
        let body =
            format!("[ $# -gt 0 ] || exit 1\n: > begun.{name}.$1\n{begun}\necho {name} $1\n");
        world.stage.provider(name, &format!("#!/bin/sh\n{body}"));
    }
    let yaml: String = (0..3)
        .map(|n| format!("A{n}: !var:provider=one {n}\nB{n}: !var:provider=two {n}\n"))
        .collect();
    assert_eq!(world.prints(&[], &yaml, "echo $A0 $B2"), "one 0 two 2\n");
}

#[test]
fn three_hundred_variables_all_arrive() {
    let world = World::with(&[("many/last", "the last")]);
    let daemon = world.home.up();
    let check = |count: usize| {
        format!(
            "for n in $(seq 0 {}); do eval \"echo \\\"\\$V$n\\\"\"; done | sort | uniq | wc -l",
            count - 1
        )
    };
    let yaml =
        |prefix: &str| (0..300).map(|n| format!("V{n}: !var {prefix}/{n}\n")).collect::<String>();
    for provider in ["legacy", "stream"] {
        let out = world.prints(&["-p", provider], &yaml("many"), &check(300));
        assert_eq!(out.trim(), "300", "{provider}");
    }
    for n in 0..300 {
        let mut command = world.home.command();
        command.args(["secret", "set", &format!("many/{n}"), "--generate", "24"]);
        assert_eq!(outcome(command).code, Some(0));
    }
    assert_eq!(world.prints(&[], &yaml("many"), &check(300)).trim(), "300");
    assert_eq!(daemon.stop(), Some(0));
    // And without the daemon.
    assert_eq!(world.prints(&[], &yaml("many"), &check(300)).trim(), "300");
    assert_eq!(world.prints(&[], "A: !var many/last\n", "echo $A"), "the last\n");
}

#[test]
fn at_the_deadline_the_whole_group_ends() {
    let world = World::new();
    let body = "#!/bin/sh\ntrap '' TERM INT HUP\nsleep 1000 & echo $! >> pids\n(sleep 1001 >/dev/null 2>&1 & echo $! >> pids)\n\
                echo $$ >> pids\nwhile :; do sleep 100; done\n";
    world.stage.provider("hangs", body);
    let yaml = "A: !var:provider=hangs a\nB: !var:provider=legacy b\nC: !var:provider=hangs c\n";
    let said = outcome(world.run(&["--timeout", "1s", "--yaml", yaml, "--", "touch", "started"]));
    let error = one_error(&said);
    assert_eq!(said.code, Some(1));
    assert!(
        error.contains("A: no answer within 1 s") && error.contains("C: no answer within 1 s"),
        "{error}"
    );
    assert!(!error.contains("B: "), "{error}");
    let pids = world.stage.read("pids");
    assert!(pids.lines().count() >= 3, "{pids}");
    for pid in pids.lines() {
        assert!(has_ended(pid), "{pid} goes on");
    }
    assert!(!world.stage.work("started").exists());
}

#[test]
fn providers_that_fail_are_told_with_a_hint_and_nothing_is_started() {
    let world = World::new();
    let stage = &world.stage;
    stage.provider("lost", "#!/no/such/interpreter\n");
    stage.provider("noise", "\x7fELF no program");
    stage.provider("killed", "#!/bin/sh\necho half\nkill -KILL $$\n");
    stage.provider("exits", "#!/bin/sh\necho 'half a secret'\necho why >&2\nexit 4\n");
    stage.provider("escapes", "#!/bin/sh\nprintf '\\033[2Jerror: none\\rhi' >&2\nexit 4\n");
    stage.provider("garbage", &in_python("import os, sys\nsys.stdout.buffer.write(os.urandom(3000)) if len(sys.argv) < 2 else sys.exit(7)\n"));
    stage.provider(
        "gigabytes",
        &in_python("import os\nchunk = b'A' * 65536\ntry:\n    while True:\n        os.write(1, chunk)\nexcept BrokenPipeError:\n    pass\n"),
    );
    std::fs::write(stage.path("providers/text"), "no program").unwrap();
    std::fs::create_dir(stage.path("providers/folder")).unwrap();
    for (provider, code, why) in [
        ("none", 64, "stat "),
        ("lost", 1, "hint: the interpreter in its first line"),
        ("noise", 1, "hint: a script needs a first line"),
        ("text", 1, "chmod +x"),
        ("folder", 1, "hint: it is a folder"),
        ("killed", 1, "signal: killed"),
        ("exits", 1, "exit status 4: why"),
        ("escapes", 1, "exit status 4: \\u{1b}[2Jerror: none\\rhi"),
        ("garbage", 1, "exit status 7"),
        ("gigabytes", 1, "printed more than 1048576 bytes to its standard output"),
    ] {
        let said =
            outcome(world.run(&["-p", provider, "--yaml", "A: !var a", "--", "touch", "started"]));
        assert_eq!((said.code, said.out.as_str()), (Some(code), ""), "{provider}: {}", said.err);
        assert!(said.err.contains(why), "{provider}: {}", said.err);
        assert!(
            !said.err.contains("half") && !said.err.contains('\u{1b}'),
            "{provider}: {}",
            said.err
        );
    }
    assert!(!stage.work("started").exists());
}

#[test]
fn a_provider_sees_a_clean_environment_and_three_descriptors() {
    let world = World::new();
    world.stage.python_provider(
        "looks",
        "import os, sys\nif len(sys.argv) < 2:\n    sys.exit(1)\n\
         own = os.open('.', os.O_RDONLY)\nos.close(own)\n\
         descriptors = [int(n) for n in os.listdir('/proc/self/fd') if int(n) != own]\n\
         print(sorted(set(os.environ) - {'LC_CTYPE'}), sorted(descriptors), os.getpgrp() == os.getpid(), os.read(0, 1))\n",
    );
    let mut command = world.run(&[
        "-p",
        "looks",
        "--provider-env",
        "MY_*",
        "--yaml",
        "A: !var a",
        "--",
        "sh",
        "-c",
        "echo $A; ls /proc/$$/fd",
    ]);
    // Left open by the caller, as a jobserver's pipe is.
    let file = tempfile::tempfile().unwrap();
    let open = rustix::io::fcntl_dupfd_cloexec(&file, 40).unwrap();
    rustix::io::fcntl_setfd(&open, rustix::io::FdFlags::empty()).unwrap();
    for (name, value) in [
        ("CONJUR_ACCOUNT", "x"),
        ("MY_TOKEN", "x"),
        ("LD_PRELOAD", ""),
        ("DB_PASSWORD", "x"),
        ("PYTHONPATH", ""),
        ("SEALOCK_RUN_KEEP", ""),
    ] {
        command.env(name, value);
    }
    let said = outcome(command);
    drop(open);
    assert_eq!(said.code, Some(0), "{said:?}");
    let (looked, descriptors) = said.out.split_once('\n').unwrap();
    assert_eq!(
        looked,
        "['CONJUR_ACCOUNT', 'HOME', 'MY_TOKEN', 'PATH', 'SUMMON_PROVIDER_PATH'] [0, 1, 2] True b''"
    );
    assert!(descriptors.lines().any(|line| line == "40"), "the command has it: {descriptors}");
}
