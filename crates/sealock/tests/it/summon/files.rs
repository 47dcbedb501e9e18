//! `summon.files`.

use std::path::Path;

use super::stage::{Outcome, Stage, outcome};
use super::table::{Row, hold, row};
use crate::support::mode;

/// One entry.
fn file(settings: &str, secrets: &str) -> String {
    format!("summon.files:\n  - path: made\n{settings}    secrets: {secrets}\n")
}

#[test]
fn formats() {
    let secrets = "{B: !var b, A: two words, _c: 'a\"b\\c', d.e: '#'}";
    let plain = "{B: !var b, A: two words, _c: 'a\"b\\c'}";
    let rows: [(&str, &str, &str); 6] = [
        (
            "",
            secrets,
            "\"A\": \"two words\"\n\"B\": \"value of b\"\n\"_c\": \"a\\\"b\\\\c\"\n\"d.e\": \"#\"",
        ),
        (
            "yaml",
            secrets,
            "\"A\": \"two words\"\n\"B\": \"value of b\"\n\"_c\": \"a\\\"b\\\\c\"\n\"d.e\": \"#\"",
        ),
        (
            "json",
            secrets,
            "{\"A\":\"two words\",\"B\":\"value of b\",\"_c\":\"a\\\"b\\\\c\",\"d.e\":\"#\"}",
        ),
        ("dotenv", "{B: !var b, A: two words}", "A=\"two words\"\nB=\"value of b\""),
        ("properties", secrets, "A=\"two words\"\nB=\"value of b\"\n_c=\"a\\\"b\\\\c\"\nd.e=\"#\""),
        (
            "bash",
            plain,
            "export A=\"two words\"\nexport B=\"value of b\"\nexport _c=\"a\\\"b\\\\c\"",
        ),
    ];
    hold(rows.map(|(format, secrets, content)| {
        let setting =
            if format.is_empty() { String::new() } else { format!("    format: {format}\n") };
        row("each format, keys sorted; yaml when none is named")
            .yaml(&file(&setting, secrets))
            .command(&["cat", "made"])
            .prints(content)
    }));
    hold([row("a line end is an escape")
        .provider("stream")
        .yaml(&file("    format: json\n", "{A: !var lines}"))
        .command(&["cat", "made"])
        .prints("{\"A\":\"one\\ntwo\\n\"}")]);
}

#[test]
fn templates() {
    let with = |template: &str, secrets: &str| {
        let setting = format!("    template: |-\n      {}\n", template.replace('\n', "\n      "));
        row("a Go template").yaml(&file(&setting, secrets)).command(&["cat", "made"])
    };
    let ab = "{B: !var b, A: '<&>'}";
    hold([
        with("u={{ secret \"B\" }}", ab).prints("u=value of b"),
        with("{{ secret \"A\" | b64enc }} {{ b64dec \"aGk=\" }} {{ secret \"A\" | htmlenc }}", ab)
            .prints("PCY+ hi &lt;&amp;&gt;"),
        with("{{ range .SecretsArray }}{{ .Alias }}={{ .Value }};{{ end }}", ab).prints("A=<&>;B=value of b;"),
        with("{{ (index .SecretsMap \"B\").Value }}", ab).prints("value of b"),
        with("{{- /* no */ -}}{{ with $x := secret \"B\" }}{{ len $x }}{{ end }}{{ if eq (secret \"A\") \"x\" }}y{{ else }}n{{ end }}", ab)
            .prints("10n"),
        with("{{ printf \"%q %05d\" (secret \"A\") 42 }}{{ define \"t\" }}[{{ . }}]{{ end }}{{ template \"t\" \"x\" }}", ab)
            .prints("\"<&>\" 00042[x]"),
        with("{{ secret \"C\" }}", ab).code(127).prints("error writing secret file for path made: …C…\n"),
        with("{{ if }}", ab).code(127).prints("error writing secret file for path made: …\n"),
        row("a template without a format is a template; one beside `format: template` too")
            .yaml(&file("    format: template\n    template: '<{{ secret \"A\" }}>'\n", ab))
            .command(&["cat", "made"])
            .prints("<<&>>"),
        row("`format: template` needs one")
            .yaml(&file("    format: template\n", ab))
            .code(127)
            .prints("…specifies format \"template\" but no template content was provided\n"),
        row("a format that is none")
            .yaml(&file("    format: ini\n", ab))
            .code(127)
            .prints("…unrecognized standard file format, \"ini\"\n"),
    ]);
}

#[test]
fn permissions_and_folders() {
    let modes = [
        ("", "600", "700"),
        ("0600", "600", "700"),
        ("0640", "640", "750"),
        ("0644", "644", "755"),
        ("0660", "660", "750"),
    ];
    let script = "stat -c %a deep/er/made deep/er deep";
    hold(modes.map(|(permissions, file, folder)| {
        let setting = match permissions {
            "" => String::new(),
            permissions => format!("    permissions: {permissions}\n"),
        };
        row("the mode is 0600 or what is said, and folders above get the matching one")
            .yaml(&format!(
                "summon.files:\n  - path: deep/er/made\n{setting}    secrets: {{A: 1}}\n"
            ))
            .sh(script)
            .prints(&format!("{file}\n{folder}\n{folder}\n"))
            .leaves(|stage| assert!(!stage.work("deep/er/made").exists()))
    }));
}

#[test]
fn what_is_there_already() {
    let exists = "error writing secret file for path made: file already exists at \"{work}/made\" and overwrite is not enabled";
    let mine =
        |row: Row| row.file("made", "mine").leaves(|stage| assert_eq!(stage.read("made"), "mine"));
    hold([
        mine(
            row("an existing path is an error")
                .yaml(&file("", "{A: 1}"))
                .sh("touch started")
                .fails(exists),
        )
        .leaves(|stage| assert!(!stage.work("started").exists())),
        mine(
            row("so it is with `overwrite: false`")
                .yaml(&file("    overwrite: false\n", "{A: 1}"))
                .fails(exists),
        ),
        row("with `overwrite: true` it is replaced")
            .file("made", "mine")
            .yaml(&file("    overwrite: true\n", "{A: 1}"))
            .command(&["cat", "made"])
            .prints("\"A\": \"1\""),
        row("two entries with one path")
            .yaml(&(file("", "{A: 1}") + "  - path: ./made\n    secrets: {A: 2}\n"))
            .code(127)
            .prints("…already exists…\n")
            .leaves(|stage| assert!(!stage.work("made").exists())),
    ]);
}

#[test]
fn paths() {
    hold([
        row("an absolute path")
            .yaml("summon.files:\n  - path: '{work}/x/made'\n    secrets: {A: 1}\n")
            .command(&["cat", "x/made"])
            .prints("\"A\": \"1\""),
        row("a relative one counts from where one stands")
            .yaml("summon.files:\n  - path: ../made\n    secrets: {A: 1}\n")
            .at("deep")
            .flags(&["--up"])
            .command(&["cat", "{work}/made"])
            .prints("\"A\": \"1\""),
        row("no path")
            .yaml("summon.files:\n  - secrets: {A: 1}\n")
            .code(127)
            .prints("…file config is missing required 'path' field\n"),
        row("a folder for a path")
            .yaml("summon.files:\n  - path: x/\n    secrets: {A: 1}\n")
            .code(127)
            .prints("…provided filepath \"x/\" must contain a filename\n"),
        row("a name that is too long")
            .yaml(&format!("summon.files:\n  - path: {}\n    secrets: {{A: 1}}\n", "x".repeat(256)))
            .code(127)
            .prints("…must not be longer than 255 characters\n"),
    ]);
}

#[test]
fn secrets_of_files() {
    let parse = "Unable to parse configuration from secrets.yml: failed to process file config: ";
    let sections = "summon.files:\n  - path: made\n    secrets:\n      common: {A: 1, B: 1}\n      dev: {B: !var:default='d' empty, C: $x}\n";
    hold([
        row("sections, merged as those of variables")
            .yaml(sections)
            .flags(&["-e", "dev", "-D", "x=y"])
            .command(&["cat", "made"])
            .prints("\"A\": \"1\"\n\"B\": \"d\"\n\"C\": \"y\""),
        row("sections, and none asked for").yaml(sections).fails(&format!(
            "{parse}environment sections exist in file config but no environment specified"
        )),
        row("sections, and none of that name")
            .yaml(sections)
            .flags(&["-e", "x"])
            .fails(&format!("{parse}No such environment 'x' found in file config")),
        row("without sections -e does not matter")
            .yaml(&file("", "{A: 1}"))
            .flags(&["-e", "dev"])
            .command(&["cat", "made"])
            .prints("\"A\": \"1\""),
        row("files and variables beside each other")
            .yaml(&format!("V: !var v\n{}", file("", "{A: !var a}")))
            .sh("echo $V; cat made")
            .prints("value of v\n\"A\": \"value of a\""),
        row("no secrets at all")
            .yaml("summon.files:\n  - path: made\n")
            .fails(&format!("{parse}no secrets defined")),
        row("no list").yaml("summon.files: {path: made}\n").fails(
            "Unable to parse configuration from secrets.yml: summon.files must be a sequence/array",
        ),
        row("a secret that cannot be had")
            .yaml(&file("", "{A: !var none/a, B: !var b}"))
            .code(127)
            .prints("…Error fetching secret: exit status 3: no such secret none/a\n")
            .leaves(|stage| assert!(!stage.work("made").exists())),
        row("-i leaves out an alias")
            .yaml(&file("", "{A: !var none/a, B: !var b}"))
            .flags(&["-i", "A"])
            .command(&["cat", "made"])
            .prints("\"B\": \"value of b\""),
        row("`!file` in a file: the path of a file with the value")
            .yaml(&file(
                "    template: '{{ secret \"A\" }} {{ secret \"B\" }}'\n",
                "{A: !var:file a, B: !file b}",
            ))
            .sh("cat $(cat made)")
            .prints("value of ab"),
    ]);
}

#[test]
fn names_that_a_format_cannot_hold() {
    let rows = [
        ("bash", "A-B"),
        ("bash", "1A"),
        ("dotenv", "A.B"),
        ("properties", ".a"),
        ("properties", "a b"),
        ("json", "'a\"b'"),
    ];
    hold(rows.map(|(format, alias)| {
        row("a name that the format cannot hold")
            .yaml(&file(&format!("    format: {format}\n"), &format!("{{{alias}: 1}}")))
            .code(127)
            .prints("error writing secret file for path made: …\n")
            .leaves(|stage| assert!(!stage.work("made").exists()))
    }));
}

#[test]
fn files_are_removed_at_exit_and_folders_stay() {
    let stage = Stage::new();
    stage.write(
        "secrets.yml",
        file("", "{A: !var:file a}") + "  - path: d/e\n    secrets: {B: !var b}\n",
    );
    let said = outcome(stage.summon(&["sh", "-c", "cat made; ls d; exit 4"]));
    assert_eq!(said.code, Some(4), "{said:?}");
    let path = said.out.split('"').nth(3).unwrap();
    assert!(path.starts_with("/dev/shm/.summon") && !Path::new(path).exists(), "{said:?}");
    assert_eq!(stage.listing(), [stage.work("secrets.yml").display().to_string()]);
    assert_eq!(mode(&stage.work("d")), 0o700);
}

#[test]
fn a_file_appears_as_a_whole() {
    // Whoever looks for it all the time never sees a part of it.
    let stage = Stage::new();
    let long = "x".repeat(200_000);
    stage.write("secrets.yml", file("", &format!("{{A: {long}}}")));
    stage.write("watch", "");
    let look = stage.python(
        "look",
        "import os\nseen = set()\nprint('looking', flush=True)\nwhile os.path.exists('watch'):\n    try:\n        seen.add(os.path.getsize('made'))\n    except FileNotFoundError:\n        pass\nprint(sorted(seen))\n",
    );
    let mut looking = super::stage::Running::start(stage.command(Path::new(&look)));
    looking.prints("looking");
    for _ in 0..20 {
        // As long as it is there, the one who looks has to have seen it.
        let Outcome { code, out, .. } =
            outcome(stage.summon(&["sh", "-c", "wc -c < made; sleep 0.01"]));
        assert_eq!((code, out.trim()), (Some(0), "200007"));
    }
    std::fs::remove_file(stage.work("watch")).unwrap();
    assert_eq!(looking.wait().out, "looking\n[200007]\n");
}
