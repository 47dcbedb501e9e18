//! Flags, exit codes and streams.

use super::stage::{Stage, outcome};
use super::table::{hold, row};

const SHOW: &str = "echo \"[${A-unset}]\"";

#[test]
#[expect(clippy::too_many_lines, reason = "a table with a row for each flag")]
fn flags() {
    hold([
        row("flags come before the command: what follows is the command's")
            .command(&["printf", "%s|", "-p", "x", "--yaml", "-i"])
            .prints("-p|x|--yaml|-i|"),
        row("two dashes end the flags")
            .flags(&["-e", "", "--"])
            .command(&["printf", "%s|", "-p"])
            .prints("-p|"),
        row("a flag has one dash or two, and its value behind a space or a `=`")
            .yaml("dev: {A: $x$y}\n")
            .flags(&["-environment=dev", "--D", "x=1", "-D=y=2"])
            .sh(SHOW)
            .prints("[12]\n"),
        row("-p names the provider")
            .yaml("A: !var:str x\n")
            .provider("stream")
            .sh(SHOW)
            .prints("[value of x]\n"),
        row("--provider is the same")
            .yaml("A: !var x\n")
            .flags(&["--provider", "stream"])
            .sh(SHOW)
            .prints("[value of x]\n"),
        row("-e names the section, and the child gets SUMMON_ENV")
            .yaml("dev: {A: 1}\n")
            .flags(&["-e", "dev"])
            .sh("echo $A $SUMMON_ENV")
            .prints("1 dev\n"),
        row("--environment is the same")
            .yaml("dev: {A: 1}\n")
            .flags(&["--environment", "dev"])
            .sh("echo $A $SUMMON_ENV")
            .prints("1 dev\n"),
        row("SUMMON_ENV is set over an older one")
            .yaml("dev: {A: 1}\n")
            .set("SUMMON_ENV", "old")
            .flags(&["-e", "dev"])
            .sh("echo $SUMMON_ENV; env | grep -c SUMMON_ENV=")
            .prints("dev\n1\n"),
        row("without -e there is no SUMMON_ENV")
            .sh("echo \"[${SUMMON_ENV-unset}]\"")
            .prints("[unset]\n"),
        row("the file is secrets.yml").yaml("A: 1\n").sh(SHOW).prints("[1]\n"),
        row("-f names another")
            .yaml("A: 1\n")
            .file("other", "A: 2\n")
            .flags(&["-f", "other"])
            .sh(SHOW)
            .prints("[2]\n"),
        row("-f takes a path")
            .file("a/b.yml", "A: 2\n")
            .flags(&["-f", "{work}/a/b.yml"])
            .sh(SHOW)
            .prints("[2]\n"),
        row("--yaml is the file as text").flags(&["--yaml", "A: 3"]).sh(SHOW).prints("[3]\n"),
        row("--yaml beats -f").flags(&["--yaml", "A: 3", "-f", "nothing"]).sh(SHOW).prints("[3]\n"),
        row("an empty --yaml is none")
            .yaml("A: 1\n")
            .flags(&["--yaml", ""])
            .sh(SHOW)
            .prints("[1]\n"),
        row("-D fills in $name; its value may hold a `=`")
            .yaml("A: $a/$b\n")
            .flags(&["-D", "a=x=y", "-D", "b="])
            .sh(SHOW)
            .prints("[x=y/]\n"),
        row("of two -D with one name the last counts")
            .yaml("A: $a\n")
            .flags(&["-D", "a=1", "-D", "a=2"])
            .sh(SHOW)
            .prints("[2]\n"),
        row("-i leaves out a variable that cannot be had, by its name")
            .yaml("A: !var none/a\nB: !var b\n")
            .flags(&["-i", "A"])
            .sh("echo \"[${A-unset}] $B\"")
            .prints("[unset] value of b\n"),
        row("-i is repeatable, and --ignore is the same")
            .yaml("A: !var none/a\nB: !var none/b\n")
            .flags(&["--ignore", "A", "--ignore", "B"])
            .sh("echo \"[${A-unset}${B-unset}]\"")
            .prints("[unsetunset]\n"),
        row("-i does not mean the path")
            .yaml("A: !var none/a\n")
            .flags(&["-i", "none/a"])
            .fails("Error fetching secret: exit status 3: no such secret none/a"),
        row("-i does not hide what is there")
            .yaml("A: !var a\n")
            .flags(&["-i", "A"])
            .sh(SHOW)
            .prints("[value of a]\n"),
        row("-I leaves out all")
            .yaml("A: !var none/a\nB: !var none/b\nC: 1\n")
            .flags(&["-I"])
            .sh("echo \"[${A-unset}${B-unset}]$C\"")
            .prints("[unsetunset]1\n"),
        row("--ignore-all is the same")
            .yaml("A: !var none/a\n")
            .flags(&["--ignore-all"])
            .sh(SHOW)
            .prints("[unset]\n"),
        row("a switch can be turned off")
            .yaml("A: !var none/a\n")
            .flags(&["-I=false"])
            .fails("Error fetching secret: exit status 3: no such secret none/a"),
    ]);
}

#[test]
fn upwards() {
    hold([
        row("--up finds the file in a folder above")
            .yaml("A: 1\n")
            .at("deep/deeper")
            .flags(&["--up"])
            .sh(SHOW)
            .prints("[1]\n"),
        row("the nearest counts")
            .yaml("A: 1\n")
            .file("deep/secrets.yml", "A: 2\n")
            .at("deep/deeper")
            .flags(&["--up"])
            .sh(SHOW)
            .prints("[2]\n"),
        row("it may be named with a folder")
            .file("conf/x.yml", "A: 3\n")
            .at("deep/deeper")
            .flags(&["--up", "-f", "conf/x.yml"])
            .sh(SHOW)
            .prints("[3]\n"),
        row("without --up nobody looks above")
            .at("deep")
            .fails("Unable to parse configuration from secrets.yml: open secrets.yml: no such file or directory"),
        row("an absolute path is an error")
            .flags(&["--up", "-f", "/x/secrets.yml"])
            .fails("file specified (/x/secrets.yml) is an absolute path: will not recurse up"),
        row("so is a file that is nowhere")
            .flags(&["--up", "-f", "no-such-file.yml"])
            .fails("unable to locate file specified (no-such-file.yml): reached root of file system"),
    ]);
}

#[test]
fn information() {
    let versions =
        "Provider versions in {providers}:\nlegacy version 2.0.1\nstream: unknown version\n";
    hold([
        row("-V runs each provider with --version").flags(&["-V"]).command(&[]).prints(versions),
        row("--all-provider-versions is the same")
            .flags(&["--all-provider-versions"])
            .unset("SUMMON_PROVIDER")
            .command(&[])
            .prints(versions),
        row("it runs no command").flags(&["-V"]).sh("echo run").prints(versions),
        row("-v is the version").flags(&["-v"]).command(&[]).prints("summon version 0.11…\n"),
        row("--version is the same").flags(&["--version"]).command(&[]).prints("summon version 0.11…\n"),
        row("-h is the usage").flags(&["-h"]).command(&[]).prints("NAME:\n   summon - …--all-provider-versions, -V…"),
        row("--help is the same").flags(&["--help"]).command(&[]).prints("NAME:\n   summon - …"),
        row("-d tells on standard error what is done")
            .yaml("A: !var a\n")
            .flags(&["-d"])
            .sh("echo \"$A\"")
            .prints("value of a\n")
            .complains(
                "time=… level=DEBUG msg=\"Debug logging enabled\"\n\
                 time=… level=DEBUG msg=\"Loading summon configuration\" filename=secrets.yml\n\
                 time=… level=DEBUG msg=\"Fetching secrets\" count=1 provider={providers}/legacy\n…",
            ),
        row("--debug is the same, and names the variable of an error")
            .flags(&["--debug", "--yaml", "A: !var none/a\n"])
            .code(127)
            .prints("Error fetching secret: exit status 3: no such secret none/a\n")
            .complains(
                "…level=DEBUG msg=\"Loading summon configuration from inline YAML\"\n…\
                 level=DEBUG msg=\"Error fetching secret\" name=A error=\"exit status 3: no such secret none/a\"\n",
            ),
    ]);
    let stage = Stage::new();
    stage.write("secrets.yml", "A: !var a\nB: !var:file b\n");
    let told = outcome(stage.summon(&["-d", "true"])).err;
    assert!(told.contains("count=2") && !told.contains("value of"), "{told}");
}

#[test]
fn bad_flags_exit_with_255() {
    let usage =
        |error: &str| format!("Incorrect Usage. {error}\n\nNAME:\n   summon - …\n{error}\n");
    let cases: [(&[&str], &str); 8] = [
        (&["--bogus"], "flag provided but not defined: -bogus"),
        // There is a --up, and no short form of it.
        (&["-u"], "flag provided but not defined: -u"),
        (&["--file", "x"], "flag provided but not defined: -file"),
        (&["-p"], "flag needs an argument: -p"),
        (&["-D"], "flag needs an argument: -D"),
        (&["---x"], "bad flag syntax: ---x"),
        (&["-=x"], "bad flag syntax: -=x"),
        (&["--up=maybe"], "invalid boolean value \"maybe\" for -up: parse error"),
    ];
    hold(cases.map(|(flags, error)| {
        row("a bad flag").flags(flags).command(&[]).code(255).prints(&usage(error))
    }));
    let both = "Cannot use two forms of the same flag: provider p";
    hold([row("both forms of a flag")
        .flags(&["-p", "legacy", "--provider", "legacy"])
        .code(255)
        .prints(&format!("{both}\nNAME:\n…\n{both}\n"))]);
}

#[test]
fn nothing_else_has_a_twin() {
    let names = ["ENVIRONMENT", "FILE", "F", "UP", "D", "YAML", "IGNORE", "IGNORE_ALL", "DEBUG"];
    let sections = "dev: {A: 1}\n";
    let row = |name: String| {
        row("a variable that looks like a flag's twin is none")
            .yaml(sections)
            .set(&name, "dev")
            .set("SUMMON_ENV", "dev")
            .sh("echo \"[${dev-unset}${A-unset}]\"")
            .prints("[unset]\n")
    };
    hold(names.map(|name| row(format!("SUMMON_{name}"))));
}

#[test]
fn exit_codes() {
    let codes = [0, 1, 7, 126, 127, 128, 255];
    hold(codes.map(|code| row("the child's code").sh(&format!("exit {code}")).code(code)));
    hold([
        row("127 for want of a command").command(&[]).fails("Enter a subprocess to run!"),
        row("127 for a program that is not there")
            .command(&["no-such-program"])
            .fails("exec: \"no-such-program\": executable file not found in $PATH"),
        row("127 for a path that is not there")
            .command(&["/no/such/program"])
            .fails("exec: \"/no/such/program\": stat /no/such/program: no such file or directory"),
        row("127 for what is no program")
            .command(&["./secrets.yml"])
            .fails("exec: \"./secrets.yml\": permission denied"),
        row("127 for a folder").command(&["{work}"]).fails("exec: \"{work}\": is a directory"),
        row("127 for a file that cannot be read")
            .flags(&["-f", "{work}"])
            .fails("Unable to parse configuration from {work}: read {work}: is a directory"),
        row("127 for a file that is no YAML")
            .yaml("A: [\n")
            .fails("Unable to parse configuration from secrets.yml: …did not find expected node content"),
        row("the same inline")
            .flags(&["--yaml", "- A"])
            .fails("Unable to parse configuration from inline YAML: invalid YAML structure: expected mapping"),
    ]);
}

#[test]
fn a_child_that_is_killed_by_a_signal_is_127_and_named() {
    let signals = [
        ("HUP", "hangup"),
        ("INT", "interrupt"),
        ("KILL", "killed"),
        ("USR1", "user defined signal 1"),
        ("USR2", "user defined signal 2"),
        ("PIPE", "broken pipe"),
        ("ALRM", "alarm clock"),
        ("TERM", "terminated"),
        ("VTALRM", "virtual timer expired"),
        ("PROF", "profiling timer expired"),
        ("IO", "I/O possible"),
        ("PWR", "power failure"),
        ("40", "signal 40"),
    ];
    // Its own `kill`, because not every shell's knows all names.
    let row = |(signal, name): (&str, &str)| {
        row("a child that a signal has ended")
            .command(&["bash", "-c", &format!("kill -{signal} $$")])
            .fails(&format!("signal: {name}"))
    };
    hold(signals.map(row));
}

#[test]
fn streams() {
    hold([
        row("the child has the three streams")
            .input("typed\n")
            .sh("read line; echo \"out $line\"; echo \"err $line\" >&2")
            .prints("out typed\n")
            .complains("err typed\n"),
        row("no provider eats the child's input")
            .yaml("A: !var a\n")
            .input("typed\n")
            .sh("read line; echo \"$line $A\"")
            .prints("typed value of a\n"),
        row("errors of its own are on standard output, and the child is not started")
            .yaml("A: !var none/a\n")
            .sh("touch started")
            .fails("Error fetching secret: exit status 3: no such secret none/a")
            .leaves(|stage| assert!(!stage.work("started").exists())),
        row("the environment is handed on, and variables of the file win")
            .yaml("A: 1\n")
            .set("A", "old")
            .set("B", "kept")
            .sh("echo $A $B; env | grep -c '^A='")
            .prints("1 kept\n1\n"),
    ]);
}
