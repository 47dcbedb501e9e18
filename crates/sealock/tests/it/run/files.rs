//! Values in files.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use sealock_testkit::clients::skip_without_root;

use super::World;
use crate::summon::stage::outcome;

#[test]
fn a_file_in_memory_for_its_owner_alone_until_the_end() {
    let world = World::with(&[("prod/cert", "a\nb\n")]);
    let script = "echo $F; stat -c '%a %h' $F; cat $F";
    let out = world.prints(&[], "F: !var:file prod/cert\n", script);
    let (path, rest) = out.split_once('\n').unwrap();
    assert!(path.starts_with("/dev/shm/.sealock-"), "{path}");
    assert_eq!(rest, "600 1\na\nb\n");
    assert!(!Path::new(path).exists());
    // Where the program fails, too.
    let said = world.says(&[], "F: !var:file prod/cert\n", "echo $F; kill -SEGV $$");
    assert_eq!(said.code, Some(139));
    assert!(!Path::new(said.out.trim()).exists());
    // And where there is none.
    let before: Vec<_> = ours();
    assert_eq!(
        outcome(world.run(&["--yaml", "F: !var:file prod/cert", "--", "no-such-program"])).code,
        Some(127)
    );
    let left: Vec<_> = ours().into_iter().filter(|name| !before.contains(name)).collect();
    assert!(left.iter().all(|name| !content(name).contains("a\nb\n")), "{left:?}");
}

/// Other tests have files there too.
fn ours() -> Vec<String> {
    let entries = fs::read_dir("/dev/shm").unwrap().flatten();
    entries
        .map(|entry| entry.path().display().to_string())
        .filter(|path| path.contains("/.sealock-"))
        .collect()
}

fn content(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn memory_without_a_name() {
    let world = World::with(&[("prod/cert", "hunter2")]);
    let flags = ["--files", "memfd"];
    let yaml = "F: !var:file prod/cert\nG: !file other\n";
    // The program itself, what it hands the descriptor to, twice from the beginning.
    let script =
        "echo $F; cat $F; cat $F; cat $G; sh -c 'cat $F'; readlink $F; grep -c memfd /proc/$$/maps";
    let out = world.prints(&flags, yaml, &format!("{script} || true"));
    let (path, rest) = out.split_once('\n').unwrap();
    assert!(path.starts_with("/proc/self/fd/"), "{path}");
    assert_eq!(rest, "hunter2hunter2otherhunter2/memfd:secret (deleted)\n0\n");
    // Nothing has to be done at the end, so the program is the process that was started.
    let mut running = crate::summon::stage::Running::start(world.sh(
        &flags,
        yaml,
        "echo pid $$; cat $F; exec sleep 1000",
    ));
    running.prints("hunter2");
    assert!(
        running.printed().starts_with(&format!("pid {}\n", running.id())),
        "{}",
        running.printed()
    );
    running.signal("KILL");
    assert_eq!(running.wait().signal, Some(9));
}

#[test]
fn files_at_fixed_paths() {
    let world = World::with(&[
        ("prod/db/user", "me"),
        ("prod/db/password", "p w"),
        ("prod/key", "\0\u{1}\n"),
    ]);
    let yaml = "sealock.files:\n  - path: raw/key\n    format: raw\n    secrets: {k: !var prod/key}\n\
                \x20 - path: app.json\n    format: json\n    permissions: 0640\n    secrets: {user: !var prod/db/user, password: !var prod/db/password, host: here}\n\
                \x20 - path: app.conf\n    template: 'key={{ secret \"key\" }}'\n    secrets: {key: !var:file prod/key}\n\
                summon.files:\n  - path: app.env\n    format: dotenv\n    secrets: {USER: !var prod/db/user}\n";
    let script = "od -An -c raw/key; cat app.json; echo; cat app.env; echo; stat -c '%a %n' raw/key app.json app.env raw\n\
                  f=$(cat app.conf); od -An -c ${f#key=}; echo ${f#key=}";
    let out = world.prints(&[], yaml, script);
    let mut lines = out.lines();
    for wanted in [
        "  \\0 001  \\n",
        "{\"host\":\"here\",\"password\":\"p w\",\"user\":\"me\"}",
        "USER=\"me\"",
        "600 raw/key",
        "640 app.json",
        "600 app.env",
        "700 raw",
        "  \\0 001  \\n",
    ] {
        assert_eq!(lines.next(), Some(wanted), "{out}");
    }
    let path = lines.next().unwrap();
    assert!(path.starts_with("/dev/shm/.sealock-") && !Path::new(path).exists(), "{path}");
    assert!(world.stage.listing().is_empty(), "{:?}", world.stage.listing());
}

#[test]
fn a_folder_with_all_secrets_below_a_path() {
    let world = World::with(&[
        ("shop/db/user", "me"),
        ("shop/db/password", "p w"),
        ("shop/key", "k"),
        ("shopping", "x"),
        ("shop/gone", "x"),
    ]);
    world.home.ok(&["secret", "delete", "shop/gone"]);
    let yaml = "sealock.files:\n  - path: secrets\n    prefix: shop\n    permissions: 0440\n";
    let script = "cd secrets; for f in $(find . -type f | sort); do echo \"$f $(cat $f) $(stat -c %a $f)\"; done; stat -c %a . db";
    let out = world.prints(&[], yaml, script);
    assert_eq!(out, "./db/password p w 440\n./db/user me 440\n./key k 440\n750\n750\n");
    assert!(world.stage.listing().is_empty(), "{:?}", world.stage.listing());
    // Substitution, and a provider that cannot list.
    let yaml = "sealock.files:\n  - path: two\n    prefix: shop/$part\n";
    assert_eq!(world.prints(&["-D", "part=db"], yaml, "ls two"), "password\nuser\n");
    let said = world.says(
        &["-p", "legacy"],
        "sealock.files:\n  - path: three\n    prefix: shop\n",
        "true",
    );
    assert_eq!(said.code, Some(1));
    assert!(
        super::one_error(&said).contains("only the vault can give all secrets below a path"),
        "{said:?}"
    );
}

#[test]
fn files_of_another_owner() {
    if skip_without_root() {
        return;
    }
    let world = World::with(&[("shop/key", "k")]);
    let yaml = "sealock.files:\n  - {path: one, owner: '1234', secrets: {A: 1}}\n  - {path: two, owner: '1234:5678', secrets: {A: 1}}\n\
                \x20 - {path: three, owner: '1:2', prefix: shop}\n";
    let out = world.prints(&[], yaml, "stat -c '%u %g %a' one two three/key");
    assert_eq!(out, "1234 0 600\n1234 5678 600\n1 2 600\n");
}

#[test]
fn what_was_there_comes_back_and_nothing_else_is_touched() {
    let world = World::with(&[("prod/db", "hunter2")]);
    let stage = &world.stage;
    stage.write("mine", "mine");
    stage.write("other", "other");
    std::os::unix::fs::symlink("other", stage.work("link")).unwrap();
    let inode = fs::metadata(stage.work("mine")).unwrap().ino();
    let over = |path: &str| {
        format!(
            "sealock.files:\n  - {{path: {path}, overwrite: true, secrets: {{A: !var prod/db}}}}\n"
        )
    };
    assert_eq!(world.prints(&[], &over("mine"), "cat mine"), "\"A\": \"hunter2\"");
    assert_eq!(stage.read("mine"), "mine");
    assert_eq!(fs::metadata(stage.work("mine")).unwrap().ino(), inode, "it is the same file");
    // A link is replaced, not followed.
    assert_eq!(world.prints(&[], &over("link"), "cat link other"), "\"A\": \"hunter2\"other");
    assert_eq!(fs::read_link(stage.work("link")).unwrap(), Path::new("other"));
    // Not without being asked to.
    let said =
        world.says(&[], "sealock.files:\n  - {path: mine, secrets: {A: 1}}\n", "touch started");
    assert_eq!(said.code, Some(1));
    assert!(
        super::one_error(&said).contains("mine already exists\nhint: with `overwrite: true`"),
        "{said:?}"
    );
    // A folder never.
    fs::create_dir(stage.work("folder")).unwrap();
    let said = world.says(&[], &over("folder"), "touch started");
    assert_eq!(said.code, Some(1), "{said:?}");
    assert_eq!(stage.listing().len(), 3, "{:?}", stage.listing());
}
