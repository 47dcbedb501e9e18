//! `cert export`: one file in the format that a program wants. That these programs take each format is tested in
//! `crates/formats/tests`.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Stdio;

use sealock_testkit::clients::skip_without;
use sealock_testkit::wait::until;

use crate::support::{Home, PATIENCE, mode, signal, text, tool};

/// A certificate of `shop`, and a password.
fn home() -> Home {
    let home = Home::initialised();
    home.ok(&["cert", "issue", "shop"]);
    home.write("password", "changeit\n");
    home
}

fn export<'a>(format: &'a str, out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let base = ["cert", "export", "shop", "--format", format, "--out", out];
    [&base[..], more].concat()
}

const UNDER: [&str; 2] = ["--password-file", "password"];

/// All files below a folder.
fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = entries.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn each_format_is_written_once_with_its_permissions_and_left_alone_then() {
    if skip_without(&["openssl"]) {
        return;
    }
    let home = home();
    for (format, under, wanted) in [
        ("pem", false, 0o400),
        ("pem-key-first", false, 0o400),
        ("der", false, 0o444),
        ("p7b", false, 0o444),
        ("pkcs12", true, 0o400),
        ("pkcs12-legacy", true, 0o400),
        ("jks", true, 0o400),
        ("truststore-p12", true, 0o444),
        ("truststore-jks", true, 0o444),
    ] {
        let under = if under { &UNDER[..] } else { &[] };
        let arguments = export(format, format, under);
        let path = home.path(format);
        assert_eq!(home.json(&arguments)["changed"], true, "{format}");
        assert_eq!(mode(&path), wanted, "{format}");
        let first = fs::metadata(&path).unwrap();
        assert_eq!(home.ok(&arguments), format!("{format} unchanged\n"));
        let second = fs::metadata(&path).unwrap();
        assert_eq!((first.ino(), first.mtime_nsec()), (second.ino(), second.mtime_nsec()));
        // Somebody has opened it to all, and somebody has changed it.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        assert_eq!(home.json(&arguments)["changed"], false, "{format}");
        assert_eq!(mode(&path), wanted, "{format}");
        fs::remove_file(&path).unwrap();
        fs::write(&path, "other").unwrap();
        assert_eq!(home.ok(&arguments), format!("{format} written\n"));
        assert_eq!((mode(&path), fs::metadata(&path).unwrap().len()), (wanted, first.len()));
    }
    let key = home.path("pkcs12").display().to_string();
    let open = ["pkcs12", "-nodes", "-passin", "pass:changeit", "-in", &key];
    assert!(tool("openssl", &open).contains("BEGIN PRIVATE KEY"));
    // A successor is another.
    home.ok(&["cert", "renew", "shop"]);
    assert_eq!(home.json(&export("pkcs12", "pkcs12", &UNDER))["changed"], true);
}

#[test]
fn what_is_asked_for_is_in_the_file() {
    let home = home();
    let blocks = |more: &[&str]| {
        let _ = fs::remove_file(home.path("out.pem"));
        home.ok(&export("pem", "out.pem", more));
        let made = fs::read_to_string(home.path("out.pem")).unwrap();
        let begins = made.lines().filter_map(|line| line.strip_prefix("-----BEGIN "));
        let kinds: Vec<String> = begins.map(|kind| kind.replace("-----", "")).collect();
        (kinds.join(", "), made, mode(&home.path("out.pem")))
    };
    assert_eq!(blocks(&[]).0, "CERTIFICATE, CERTIFICATE, PRIVATE KEY");
    let (kinds, chain, mode) = blocks(&["--no-key", "--with-root"]);
    assert_eq!((kinds.as_str(), mode), ("CERTIFICATE, CERTIFICATE, CERTIFICATE", 0o444));
    assert!(chain.starts_with(&fs::read_to_string(home.path("shop/tls.crt")).unwrap()));
    assert!(chain.ends_with(&fs::read_to_string(home.path("shop/ca.crt")).unwrap()));
    let (_, down, _) = blocks(&["--no-key", "--with-root", "--root-first"]);
    assert!(down.starts_with(&fs::read_to_string(home.path("shop/ca.crt")).unwrap()));
    // To stdout goes what was asked for, and nothing else.
    let bundle = home.ok(&export("pem-key-first", "/dev/stdout", &["--with-root"]));
    assert_eq!(bundle, fs::read_to_string(home.path("shop/bundle.pem")).unwrap());
}

#[test]
fn what_cannot_be_exported_says_why_and_writes_nothing() {
    let home = home();
    let before = files(&home.path(""));
    let said = home.fails(64, &export("pkcs12", "out", &[]));
    assert!(said.contains("--password-file"), "{said}");
    home.write("short", "12345");
    let said = home.fails(1, &export("jks", "out", &["--password-file", "short"]));
    assert!(said.contains("6 to 256 characters") && !said.contains("12345"), "{said}");
    fs::remove_file(home.path("short")).unwrap();
    home.fails(64, &export("der", "out", &["--no-key"]));
    // Whoever gives a password is not to believe that a key is under it, which would be in the clear.
    for format in ["pem", "pem-key-first", "der", "p7b"] {
        let said = home.fails(64, &export(format, "out", &UNDER));
        assert!(said.contains("--password-file") && said.contains("pkcs12"), "{said}");
        let said = home.fails(64, &export(format, "out", &["--alias", "x"]));
        assert!(said.contains("--alias"), "{said}");
    }
    home.fails(64, &export("truststore-p12", "out", &["--with-root", UNDER[0], UNDER[1]]));
    let said = home.fails(64, &["cert", "export", "shop", "--out", "out"]);
    assert!(said.contains("--format") && said.contains("--export-with"), "{said}");
    let said = home.fails(1, &["cert", "export", "gone", "--format", "der", "--out", "out"]);
    assert!(said.contains("gone/tls.crt") && said.contains("cert issue"), "{said}");
    assert_eq!(files(&home.path("")), before);

    home.ok(&["cert", "issue", "other"]);
    fs::remove_file(home.path("other/tls.key")).unwrap();
    fs::copy(home.path("shop/tls.key"), home.path("other/tls.key")).unwrap();
    let said = home.fails(1, &["cert", "export", "other", "--format", "pem", "--out", "out"]);
    assert!(said.contains("does not belong"), "{said}");
    // Without a key none is looked at.
    home.ok(&["cert", "export", "other", "--format", "p7b", "--out", "out.p7b"]);
}

#[test]
fn programs_of_others_make_a_database_of_nss() {
    if skip_without(&["certutil", "pk12util"]) {
        return;
    }
    let home = home();
    let commands = [
        "mkdir {out}",
        "certutil -N -d sql:{out} --empty-password",
        "certutil -A -d sql:{out} -n ca -t CT,, -i {ca}",
        "pk12util -i {pkcs12} -w {password-file} -d sql:{out}",
    ];
    let mut arguments = vec!["cert", "export", "shop", "--out", "nss"];
    arguments.extend(UNDER);
    arguments.extend(commands.iter().flat_map(|command| ["--export-with", command]));
    assert_eq!(home.json(&arguments)["changed"], true);
    assert_eq!(mode(&home.path("nss")), 0o700);
    assert_eq!(files(&home.path("nss")), ["cert9.db", "key4.db", "pkcs11.txt"]);
    assert_eq!(mode(&home.path("nss/key4.db")), 0o600);
    let database = format!("sql:{}", home.path("nss").display());
    let verify = ["-V", "-u", "V", "-e", "-n", "shop", "-d", &database];
    assert!(tool("certutil", &verify).contains("certificate is valid"));
    assert!(tool("certutil", &["-K", "-d", &database]).contains("shop"));

    // Again, in its place; and not in the place of what is something else.
    assert_eq!(home.json(&arguments)["changed"], true);
    fs::write(home.path("nss/precious"), "mine").unwrap();
    let said = home.fails(1, &arguments);
    assert!(said.contains("is not what would replace it"), "{said}");
    assert_eq!(fs::read_to_string(home.path("nss/precious")).unwrap(), "mine");
    assert_eq!(files(&home.path("")), ["nss", "password", "shop", "state"]);
}

fn with<'a>(command: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let base = ["cert", "export", "shop", "--out", "out", "--export-with", command];
    [&base[..], more].concat()
}

#[test]
fn a_program_of_others_gets_what_it_names_and_nothing_else() {
    let home = home();
    let show = "sh -c 'env > {out}; pwd >> {out}; cat {key} {cert} >> {out}; id >/dev/null'";
    home.ok(&with(show, &[]));
    assert_eq!(mode(&home.path("out")), 0o400);
    let made = fs::read_to_string(home.path("out")).unwrap();
    let key = fs::read_to_string(home.path("shop/tls.key")).unwrap();
    assert!(made.contains(key.trim()) && made.matches("BEGIN CERTIFICATE").count() == 1);
    let environment = made.split("-----BEGIN").next().unwrap().lines();
    let names = environment.filter_map(|line| line.split_once('=')).map(|(name, _)| name);
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names.retain(|name| !["_", "PWD", "SHLVL", "OLDPWD"].contains(name));
    assert_eq!(names, ["HOME", "LC_ALL", "PATH", "TMPDIR"]);

    // The same content again: nothing is moved.
    home.ok(&["cert", "export", "shop", "--out", "copy", "--export-with", "cp {chain} {out}"]);
    let arguments =
        ["cert", "export", "shop", "--out", "copy", "--export-with", "cp {chain} {out}"];
    assert_eq!(home.ok(&arguments), "copy unchanged\n");
    let chain = fs::read_to_string(home.path("shop/tls.crt")).unwrap();
    assert_eq!(fs::read_to_string(home.path("copy")).unwrap(), chain);
}

#[test]
fn a_program_that_fails_or_takes_too_long_changes_nothing_and_leaves_nothing() {
    let home = home();
    home.write("out", "as it was");
    let before = files(&home.path(""));
    let fails = |code: i32, arguments: &[&str], says: &str| {
        let said = home.fails(code, arguments);
        assert!(said.contains(says), "{said}");
        assert_eq!(files(&home.path("")), before, "{arguments:?}");
        assert_eq!(fs::read_to_string(home.path("out")).unwrap(), "as it was");
    };
    fails(1, &with("sh -c 'cat {key} > {out}; exit 3'", &[]), "exit status: 3");
    fails(1, &with("true {out}", &[]), "has not written {out}");
    fails(1, &with("ln -s /etc/passwd {out}", &[]), "no file");
    fails(1, &with("mkfifo {out}", &[]), "no file");
    fails(1, &with("mkdir {out}", &[]), "is not what would replace it");
    fails(1, &with("no-such-program-of-anybody {out}", &[]), "cannot run");
    fails(1, &with("sh -c 'sleep 1000 & sleep 1000; {out}'", &["--deadline", "1s"]), "in time");
    fails(64, &with("cp {key} elsewhere", &[]), "{out}");
    fails(64, &with("cp {keys} {out}", &[]), "{keys} stands for nothing");
    fails(64, &with("cp '{key} {out}", &[]), "quote");
    fails(64, &with("cp {pkcs12} {out}", &[]), "--password-file");
}

#[test]
fn a_signal_ends_the_program_and_takes_its_files_away() {
    let home = home();
    let before = files(&home.path(""));
    for (name, code) in [("TERM", Some(143)), ("INT", Some(130)), ("KILL", None)] {
        // It says where its key is, and waits for ever.
        let waits = "sh -c 'echo {key} > told.tmp; mv told.tmp {out}; exec sleep 1000'";
        let mut command = home.command();
        command.args(with(waits, &[])).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let work = home.path(&format!(".out.{}.export", child.id()));
        let key = until("the program to run", PATIENCE, || {
            fs::read_to_string(work.join("out")).ok().filter(|told| !told.is_empty())
        });
        let key = Path::new(key.trim()).to_owned();
        assert_eq!((mode(&key), mode(&work)), (0o600, 0o700));
        assert!(text(&fs::read(&key).unwrap()).contains("PRIVATE KEY"));
        signal(child.id(), name);
        let ended = until("it to end", PATIENCE, || child.try_wait().unwrap());
        assert_eq!(ended.code(), code, "{name}");
        until("the key to go", PATIENCE, || (!key.exists()).then_some(()));
        if code.is_some() {
            assert_eq!(files(&home.path("")), before, "{name}");
        }
    }
}
