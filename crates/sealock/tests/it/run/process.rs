//! The program as a process: whose place it takes, what it inherits, what others see of us.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use sealock_testkit::clients::{skip_without, skip_without_root};
use sealock_testkit::wait::until;

use super::{World, one_error};
use crate::summon::signals::has_ended;
use crate::summon::stage::{Running, in_python, outcome};
use crate::support::PATIENCE;

#[test]
fn the_program_takes_our_place_when_nothing_is_left_to_do() {
    let world = World::with(&[("prod/db", "hunter2")]);
    let literal = "A: !var prod/db\n";
    let with_file = "A: !var:file prod/db\n";
    let cases: [(&[&str], &str, bool); 8] = [
        (&[], literal, true),
        (&["--exec", "auto"], literal, true),
        (&["--exec", "always"], literal, true),
        (&["--exec", "always", "--files", "memfd"], with_file, true),
        (&["--files", "memfd"], with_file, true),
        (&["--exec", "never"], literal, false),
        (&[], with_file, false),
        (&["--mask"], literal, false),
    ];
    for (flags, yaml, takes) in cases {
        let running = Running::start(world.sh(flags, yaml, "echo $$ $PPID"));
        let (own, test) = (running.id().to_string(), std::process::id().to_string());
        let said = running.wait();
        let (pid, parent) = said.out.trim().split_once(' ').unwrap();
        let wanted = if takes { (own == pid, parent == test) } else { (own != pid, parent == own) };
        assert_eq!(wanted, (true, true), "{flags:?} {yaml}: {own} {said:?}");
    }
}

#[test]
fn signals_and_streams_are_as_if_nobody_was_in_between() {
    let world = World::new();
    for flags in [&[][..], &["--exec", "never"], &["--mask"]] {
        let status = ["grep", "-E", "^Sig(Blk|Ign):", "/proc/self/status"];
        let said = outcome(world.run(&[flags, &["--yaml", "A: 1", "--"], &status].concat()));
        for line in said.out.lines() {
            let mask = u64::from_str_radix(line.rsplit_once('\t').unwrap().1, 16).unwrap();
            // The C library keeps 32 and 33 for itself.
            assert_eq!(mask & !(0b11 << 31), 0, "{flags:?}: {said:?}");
        }
        let said = Running::with_input(world.sh(flags, "A: 1", "cat"), "typed\n").wait();
        assert_eq!(said.out, "typed\n", "{flags:?}");
        // What was ignored before stays so, here and there: `nohup`.
        let inner = world.sh(flags, "A: 1", "kill -HUP $PPID; kill -HUP $$; echo still there");
        let mut nohup = world.stage.command(Path::new("/bin/sh"));
        nohup
            .args(["-c", "trap '' HUP; \"$@\"", "sh"])
            .arg(inner.get_program())
            .args(inner.get_args());
        let said = outcome(nohup);
        assert_eq!(
            (said.code, said.out.as_str()),
            (Some(0), "still there\n"),
            "{flags:?}: {said:?}"
        );
    }
}

#[test]
fn a_value_that_no_variable_can_hold_is_a_clear_error() {
    let world = World::new();
    let large = "import sys\nif len(sys.argv) < 2:\n    sys.exit(1)\nsys.stdout.write('x' * int(sys.argv[1]))\n";
    world.stage.provider("large", &in_python(large));
    let ask = |size: usize, tag: &str| {
        world.says(&["-p", "large"], &format!("A: {tag} '{size}'\n"), "touch started; echo ${#A}")
    };
    // `A=`, the value and a NUL are what the kernel takes at most.
    assert_eq!(ask(131_072 - 3, "!var").out, "131069\n");
    assert!(world.stage.work("started").exists());
    fs::remove_file(world.stage.work("started")).unwrap();
    for size in [131_072 - 2, 1 << 20] {
        let said = ask(size, "!var");
        let error = one_error(&said);
        assert_eq!(said.code, Some(1));
        assert!(error.contains(&format!("the value of A has {size} bytes")), "{error}");
        assert!(
            error.ends_with("hint: have it written to a file instead: `!var:file`\n"),
            "{error}"
        );
    }
    assert!(!world.stage.work("started").exists());
    let said = world.says(&["-p", "large"], "A: !var:file '1048576'\n", "wc -c < $A");
    assert_eq!(said.out, "1048576\n");
    // All together may be too much as well.
    let yaml: String = (0..60).map(|n| format!("V{n}: !var '{}'\n", 100_000 + n)).collect();
    for flags in [&["-p", "large"][..], &["-p", "large", "--exec", "never"]] {
        let said = world.says(flags, &yaml, "touch started");
        let error = one_error(&said);
        assert_eq!(said.code, Some(126), "{flags:?}: {error}");
        assert!(
            error.contains(
                "hint: arguments and variables together are longer than the kernel takes"
            ),
            "{error}"
        );
    }
    // And a NUL byte.
    let said = world.says(&["-p", "stream"], "A: !var nul\n", "touch started");
    assert_eq!(said.code, Some(1));
    assert!(one_error(&said).contains("A has a NUL byte"), "{said:?}");
    assert!(!world.stage.work("started").exists());
}

#[test]
fn no_core_file_is_written() {
    let world = World::new();
    for flags in [&[][..], &["--exec", "never"]] {
        let inner = world.sh(flags, "A: 1", "ulimit -S -c; grep '^Max core' /proc/$PPID/limits");
        let mut command = world.stage.command(Path::new("/bin/sh"));
        command.args(["-c", "ulimit -S -c $(ulimit -H -c); exec \"$@\"", "sh"]);
        command.arg(inner.get_program()).args(inner.get_args());
        let said = outcome(command);
        assert!(said.out.starts_with("0\n"), "the program: {said:?}");
        if flags.len() == 2 {
            let own = said.out.lines().nth(1).unwrap();
            assert_eq!(own.split_whitespace().nth(4), Some("0"), "we: {own}");
        }
    }
}

#[test]
fn others_of_the_same_user_cannot_look_into_us() {
    if skip_without_root() || skip_without(&["setpriv"]) {
        return;
    }
    let world = World::new();
    // Somebody who is not root has to reach the binary.
    let binary = world.stage.path("sealock");
    fs::copy(env!("CARGO_BIN_EXE_sealock"), &binary).unwrap();
    for folder in ["", "providers", "work"] {
        fs::set_permissions(world.stage.path(folder), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let nobody = |arguments: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).args(arguments);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("SEALOCK_SECRET_FOR_OTHERS", "x");
        command.current_dir(world.stage.path("work"));
        outcome(command)
    };
    let look = "for one in environ mem maps; do head -c 1 /proc/$PPID/$one > /dev/null && echo \"read $one\"; done; stat -c %u /proc/$PPID/environ";
    // Another program can be looked into.
    let plain = nobody(&["sh", "-c", &format!("sh -c '{look}'; true")]);
    assert!(plain.out.contains("read environ\n") && plain.out.ends_with("65534\n"), "{plain:?}");
    let binary = binary.display().to_string();
    for start in [
        &[&binary, "run", "--exec", "never", "--yaml", "A: 1", "--"][..],
        &[&binary, "run", "--yaml", "A: !file 1", "--"],
    ] {
        let said = nobody(&[start, &["sh", "-c", look]].concat());
        assert_eq!(said.out, "0\n", "{said:?}");
        assert_eq!(said.err.matches("Permission denied").count(), 3, "{said:?}");
    }
    let summon = world.stage.path("summon");
    std::os::unix::fs::symlink(&binary, &summon).unwrap();
    let provider = world.stage.path("providers/legacy").display().to_string();
    let said =
        nobody(&[summon.to_str().unwrap(), "-p", &provider, "--yaml", "A: 1", "sh", "-c", look]);
    assert_eq!(said.out, "0\n", "{said:?}");
}

#[test]
fn a_child_that_goes_on_in_the_background_keeps_nobody_waiting() {
    let world = World::with(&[("prod/db", "hunter2")]);
    let script = "(while [ ! -e end ]; do sleep 0.02; done; cat $F > late 2>&1; echo done > after) & echo $!; echo $F; exit 3";
    let said = world.says(&[], "F: !var:file prod/db\n", script);
    assert_eq!(said.code, Some(3), "{said:?}");
    let mut lines = said.out.lines();
    let (pid, path) = (lines.next().unwrap(), lines.next().unwrap());
    assert!(!has_ended(pid), "it goes on");
    assert!(!Path::new(path).exists(), "without its file");
    world.stage.write("end", "");
    until("its end", PATIENCE, || world.stage.work("after").exists().then_some(()));
    assert!(!world.stage.read("late").contains("hunter2"));
}
