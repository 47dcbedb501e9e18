//! `secrets.yml`: tags, sections, substitution, and the file of all variables.

use super::stage::Stage;
use super::table::{hold, row};

const SHOW: &str = "printf '[%s]' \"$A\"";

#[test]
fn literals_are_taken_as_they_stand() {
    let rows: [(&str, &str); 21] = [
        ("text", "text"),
        ("two words", "two words"),
        ("0x10", "0x10"),
        ("010", "010"),
        ("1_000", "1_000"),
        ("yes", "yes"),
        ("null", "null"),
        ("~", "~"),
        ("", ""),
        ("2001-01-01", "2001-01-01"),
        ("'it''s'", "it's"),
        ("\"a\\tb\"", "a\tb"),
        ("|\n  one\n  two\n", "one\ntwo\n"),
        (">-\n  one\n  two\n", "one two"),
        ("!str text", "text"),
        ("!int 0x10", "0x10"),
        ("!bool Yes", "Yes"),
        ("!float 1.50", "1.50"),
        ("!!int 7", "7"),
        ("!unknown text", "text"),
        ("!str ''", ""),
    ];
    hold(rows.map(|(yaml, value)| {
        row("a literal is the raw text")
            .yaml(&format!("A: {yaml}\n"))
            .sh(SHOW)
            .prints(&format!("[{value}]"))
    }));
}

#[test]
fn tags() {
    let path =
        "case $A in /dev/shm/.summon*) cat $A; stat -c ' %a' $A;; *) echo \"no file: $A\";; esac";
    let asked = "[value of x]";
    let rows: [(&str, &str); 8] = [
        ("!var x", asked),
        ("!var:str x", asked),
        ("!str:var x", asked),
        ("!variable x", asked),
        ("!myvars x", asked),
        ("!int:var x", asked),
        ("!var:default='d' x", asked),
        ("!default='d':var x", asked),
    ];
    hold(rows.map(|(yaml, value)| {
        row("tags are joined by `:` in any order, and matched loosely")
            .yaml(&format!("A: {yaml}\n"))
            .sh(SHOW)
            .prints(value)
    }));
    let files: [(&str, &str); 5] = [
        ("!file text", "text 600\n"),
        ("!file:str text", "text 600\n"),
        ("!var:file x", "value of x 600\n"),
        ("!file:var x", "value of x 600\n"),
        ("!var:file:default='d' empty", "d 600\n"),
    ];
    hold(files.map(|(yaml, shown)| {
        row("`file`: a temporary file has the value, and the variable its path")
            .yaml(&format!("A: {yaml}\n"))
            .sh(path)
            .prints(shown)
    }));
}

#[test]
fn temporary_files_are_removed_at_exit() {
    let script = "echo $A; echo $B; cat $A $B >&2; exit 3";
    hold([row("a temporary file is gone at the end, whatever the end")
        .yaml("A: !var:file a\nB: !file b\n")
        .sh(&format!("{{ {script}; }} > paths"))
        .code(3)
        .complains("value of ab")
        .leaves(|stage| {
            let paths = stage.read("paths");
            assert_eq!(paths.lines().count(), 2);
            for path in paths.lines() {
                assert!(!std::path::Path::new(path).exists(), "{path}");
            }
        })]);
}

#[test]
fn defaults() {
    hold([
        row("a default stands in for an empty value")
            .yaml("A: !var:default='d' empty\n")
            .sh(SHOW)
            .prints("[d]"),
        row("in stream mode too")
            .provider("stream")
            .yaml("A: !var:default='d' empty\n")
            .sh(SHOW)
            .prints("[d]"),
        row("a default may have colons")
            .yaml("A: !var:default='a:b' empty\n")
            .sh(SHOW)
            .prints("[a:b]"),
        row("not for an error")
            .yaml("A: !var:default='d' none/a\n")
            .fails("Error fetching secret: exit status 3: no such secret none/a"),
        row("not for a value that is there")
            .yaml("A: !var:default='d' x\n")
            .sh(SHOW)
            .prints("[value of x]"),
        row("for an empty literal where the provider was asked one by one")
            .yaml("A: !str:default='d' ''\nB: !var x\n")
            .sh(SHOW)
            .prints("[d]"),
        row("not for an empty literal where the provider has answered all at once")
            .provider("stream")
            .yaml("A: !str:default='d' ''\nB: !var x\n")
            .sh(SHOW)
            .prints("[]"),
    ]);
}

#[test]
fn lists_and_maps_are_empty() {
    hold([
        row("a list as a value").yaml("A: [1, 2]\n").sh(SHOW).prints("[]"),
        row("a map as a value").yaml("A: {b: c}\n").sh(SHOW).prints("[]"),
        row("so sections without -e are variables of nothing")
            .yaml("common: {A: 1}\ndev: {B: 2}\n")
            .sh("echo \"[${common-unset}${dev-unset}${A-unset}]\"")
            .prints("[unset]\n"),
    ]);
}

#[test]
fn sections() {
    let both =
        "common: {A: 1, B: 1, C: !var c}\ndefault: {A: 2, D: 2}\ndev: {B: 3}\nprod: {B: 4}\n";
    let show = "echo \"$A $B $C [${D-unset}] $SUMMON_ENV\"";
    let no = "Unable to parse configuration from secrets.yml: No such environment 'x' found in secrets file";
    hold([
        row("-e merges `common`, and the named section wins")
            .yaml(both)
            .flags(&["-e", "dev"])
            .sh(show)
            .prints("1 3 value of c [unset] dev\n"),
        row("`default` where there is no `common`")
            .yaml("default: {A: 2, B: 2, C: 2}\ndev: {B: 3}\n")
            .flags(&["-e", "dev"])
            .sh(show)
            .prints("2 3 2 [unset] dev\n"),
        row("-e common")
            .yaml(both)
            .flags(&["-e", "common"])
            .sh(show)
            .prints("1 1 value of c [unset] common\n"),
        row("nothing of other sections is asked for")
            .yaml("dev: {A: 1, B: 1, C: 1}\nprod: {A: !var none/a}\n")
            .flags(&["-e", "dev"])
            .sh(show)
            .prints("1 1 1 [unset] dev\n"),
        row("-e needs a section of that name").yaml(both).flags(&["-e", "x"]).fails(no),
        row("-e needs every entry at the top to be a map")
            .yaml("A: 1\nx: {B: 2}\n")
            .flags(&["-e", "x"])
            .fails(no),
        row("without -e `common` is not special")
            .yaml("common: text\n")
            .sh("echo $common")
            .prints("text\n"),
        row("undeclared names of other sections do not matter")
            .yaml("dev: {A: 1, B: 1, C: 1}\nprod: {A: $undeclared}\n")
            .flags(&["-e", "dev"])
            .sh(show)
            .prints("1 1 1 [unset] dev\n"),
    ]);
}

#[test]
fn substitution() {
    let undeclared = "Unable to parse configuration from secrets.yml: variable x not declared";
    hold([
        row("$name is filled in in paths")
            .yaml("A: !var $env/db\n")
            .flags(&["-D", "env=prod"])
            .sh(SHOW)
            .prints("[value of prod/db]"),
        row("and in literals")
            .yaml("A: in $env, twice $env$env\n")
            .flags(&["-D", "env=prod"])
            .sh(SHOW)
            .prints("[in prod, twice prodprod]"),
        row("$$ is a $").yaml("A: $$x $$$$\n").sh(SHOW).prints("[$x $$]"),
        row("a $ before something else stays")
            .yaml("A: '$ ${x} $-'\n")
            .sh(SHOW)
            .prints("[$ ${x} $-]"),
        row("a name goes as far as it can")
            .yaml("A: $a_b-$a\n")
            .flags(&["-D", "a_b=1", "-D", "a=2"])
            .sh(SHOW)
            .prints("[1-2]"),
        row("what is filled in is not filled in again")
            .yaml("A: $a\n")
            .flags(&["-D", "a=$b"])
            .sh(SHOW)
            .prints("[$b]"),
        row("not in keys")
            .yaml("K$a: 1\n")
            .flags(&["-D", "a=1"])
            .command(&["env"])
            .prints("…\nK$a=1\n…"),
        row("not in tags")
            .yaml("A: !var:default='$a' empty\n")
            .flags(&["-D", "a=1"])
            .sh(SHOW)
            .prints("[$a]"),
        row("an undeclared name is an error").yaml("A: $x\n").fails(undeclared),
        row("inline too")
            .flags(&["--yaml", "A: $x"])
            .fails("Unable to parse configuration from inline YAML: variable x not declared"),
        row("-D needs a `=`")
            .flags(&["-D", "x"])
            .fails("invalid substitution format: \"x\" (expected key=value)"),
    ]);
}

#[test]
fn a_file_of_nothing_asks_for_nothing() {
    hold(
        ["", "# a comment\n", "{}\n", "--- {}\n", "\u{feff}{}\n"]
            .map(|text| row("a file of nothing").yaml(text).sh("echo run").prints("run\n")),
    );
}

#[test]
fn the_file_of_all_variables() {
    let yaml = "B: plain$(id)\nA: two words\nA1: '#x=\"y\"'\nC: 'back\\slash'\nD: !var lines\nE: it's\nF: ''\nG: !file x\n";
    let lines = "A1=\"#x=\\\"y\\\"\"\nA=\"two words\"\nB=plain$(id)\nC=\"back\\\\slash\"\nD=\"one\\ntwo\\n\"\n\
                 E=\"it's\"\nF=\nG=/dev/shm/.summon…\n";
    hold([
        row("@SUMMONENVFILE is the path of a file of sorted lines, quoted as Go does")
            .provider("stream")
            .yaml(yaml)
            .command(&["cat", "@SUMMONENVFILE"])
            .prints(lines),
        row("anywhere in an argument, and it is one file")
            .yaml("A: 1\n")
            .command(&[
                "printf",
                "%s\\n",
                "--env-file=@SUMMONENVFILE,@SUMMONENVFILE",
                "@SUMMONENVFILE",
            ])
            .prints("--env-file=/dev/shm/.summon…,/dev/shm/.summon…\n/dev/shm/.summon…\n"),
        row("only its owner may read it")
            .yaml("A: 1\n")
            .command(&["stat", "-c", "%a", "@SUMMONENVFILE"])
            .prints("600\n"),
        row("it has SUMMON_ENV too")
            .yaml("dev: {A: 1}\n")
            .flags(&["-e", "dev"])
            .command(&["cat", "@SUMMONENVFILE"])
            .prints("A=1\nSUMMON_ENV=dev\n"),
        row("and nothing that is left out")
            .yaml("A: !var none/a\nB: 1\n")
            .flags(&["-I"])
            .command(&["cat", "@SUMMONENVFILE"])
            .prints("B=1\n"),
        row("where all is left out it is a line of nothing")
            .yaml("A: !var none/a\n")
            .flags(&["-I"])
            .command(&["cat", "@SUMMONENVFILE"])
            .prints("\n"),
        row("without variables the word stays")
            .command(&["echo", "@SUMMONENVFILE"])
            .prints("@SUMMONENVFILE\n"),
        row("the other word never was one")
            .yaml("A: 1\n")
            .command(&["echo", "@SUMMONDOCKERARGS"])
            .prints("@SUMMONDOCKERARGS\n"),
        row("it is gone at the end").yaml("A: 1\n").sh("echo @SUMMONENVFILE > path").leaves(
            |stage: &Stage| {
                let path = stage.read("path");
                assert!(path.starts_with("/dev/shm/"), "{path}");
                assert!(!std::path::Path::new(path.trim()).exists(), "{path}");
            },
        ),
    ]);
}
