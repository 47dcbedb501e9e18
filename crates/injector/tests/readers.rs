//! What is written is read back by the real readers of each format: the same bytes, or an error where the format
//! cannot hold them. Values come in batches, one process for each, so that many can be tried.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails, and what is not tried is said"
)]

#[path = "readers/values.rs"]
mod values;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};
use sealock_core::SecretBytes;
use sealock_injector::Format;
use sealock_injector::format::{Dialect, docker_env_file, render};
use sealock_testkit::clients::{find, skip_without, skip_without_engine};
use sealock_testkit::docker::Image;
use sealock_testkit::scratch_folder;

const PYTHON: &str = "python-with-readers";

type Values = BTreeMap<String, Vec<u8>>;
type Secrets = Vec<(String, SecretBytes)>;

/// Runs `check` with the known values and with batches of others.
fn with_values(check: impl Fn(Secrets)) {
    check(values::named(values::known()));
    let config = ProptestConfig { cases: 4, max_shrink_iters: 40, ..ProptestConfig::default() };
    let batches = vec(values::value(), 300..400);
    let run = TestRunner::new(config).run(&batches, |batch| {
        check(values::named(batch));
        Ok::<(), TestCaseError>(())
    });
    run.unwrap_or_else(|error| panic!("{error}"));
}

/// Writes what the format can hold into a file, and compares what `read` makes of it. What it cannot hold must be an
/// error that names the secret, and nothing else may be one.
fn round_trip(
    format: Format,
    dialect: Dialect,
    holds: impl Fn(&[u8]) -> bool,
    read: impl Fn(&Path) -> Values,
) {
    round_trip_of(|_| true, format, dialect, holds, read);
}

/// As [`round_trip`], for a reader that can be asked only about some values.
fn round_trip_of(
    asked: impl Fn(&[u8]) -> bool,
    format: Format,
    dialect: Dialect,
    holds: impl Fn(&[u8]) -> bool,
    read: impl Fn(&Path) -> Values,
) {
    with_values(|mut secrets| {
        secrets.retain(|(_, value)| asked(value.expose()));
        let (good, bad): (Secrets, Secrets) =
            secrets.into_iter().partition(|(_, value)| holds(value.expose()));
        for (name, value) in bad {
            let error = render(format, None, &[(name.clone(), value)], dialect).unwrap_err();
            assert!(error.to_string().contains(&format!("{name:?}")), "{error}");
        }
        let content = render(format, None, &good, dialect).unwrap();
        let folder = scratch_folder();
        let path = folder.path().join("file");
        std::fs::write(&path, content.expose()).unwrap();
        same(&good, &read(&path));
        assert!(!folder.path().join("x").exists(), "a command in a value was run");
    });
}

fn same(secrets: &Secrets, read: &Values) {
    for (name, value) in secrets {
        let value = value.expose();
        let shown = String::from_utf8_lossy(value);
        let found = read.get(name).unwrap_or_else(|| panic!("{name} ({shown:?}) was not read"));
        assert_eq!(found, value, "{name}: {shown:?} became {:?}", String::from_utf8_lossy(found));
    }
    assert_eq!(read.len(), secrets.len());
}

/// Lines of a name and hexadecimal digits.
fn hex_lines(command: &mut Command) -> Values {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && error.is_empty(), "{command:?}: {error}");
    let decode = |text: &str| data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let pairs = text.lines().map(|line| line.split_once(' ').unwrap());
    pairs.map(|(name, value)| (name.to_owned(), decode(value))).collect()
}

fn python(python: &'static str, reader: &'static str) -> impl Fn(&Path) -> Values {
    move |path| {
        let mut command = Command::new(python);
        // A folder of the tests' own may be called like a library.
        command.args(["-I", "-c", include_str!("readers/read.py"), reader]).arg(path);
        hex_lines(command.current_dir(path.parent().unwrap()))
    }
}

fn is_text(value: &[u8]) -> bool {
    std::str::from_utf8(value).is_ok()
}

#[test]
fn a_json_parser_reads_json() {
    if skip_without(&["python3"]) {
        return;
    }
    for dialect in [Dialect::Summon, Dialect::Strict] {
        round_trip(Format::Json, dialect, is_text, python("python3", "json"));
    }
}

#[test]
fn pyyaml_reads_yaml() {
    if skip_without(&[PYTHON]) {
        return;
    }
    round_trip(Format::Yaml, Dialect::Strict, is_text, python(PYTHON, "yaml"));
}

/// What no reader takes as it is: see the module `dotenv`.
fn dotenv_holds(value: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(value) else { return false };
    let expanded = text.split_once("${").is_some_and(|(_, rest)| rest.contains('}'));
    let follows = |c: char| c.is_alphanumeric() || "_{($".contains(c);
    let dollar = text.split_inclusive('$').skip(1).any(|after| after.starts_with(follows));
    let single = !text.contains(['\'', '\r']) && !text.contains("\\\\") && !text.ends_with('\\');
    !text.contains('\0') && !expanded && (!dollar || single)
}

#[test]
fn python_dotenv_reads_dotenv() {
    if skip_without(&[PYTHON]) {
        return;
    }
    round_trip(Format::Dotenv, Dialect::Strict, dotenv_holds, python(PYTHON, "dotenv"));
}

#[test]
fn readers_of_properties_read_properties() {
    if skip_without(&[PYTHON]) {
        return;
    }
    // jproperties drops byte order marks, also escaped ones.
    let asked = |value: &[u8]| !String::from_utf8_lossy(value).contains('\u{feff}');
    let python = python(PYTHON, "properties");
    round_trip_of(asked, Format::Properties, Dialect::Strict, is_text, &python);
    let quoted = |read: Values| -> Values {
        let inner = |value: Vec<u8>| value[1..value.len() - 1].to_vec();
        read.into_iter().map(|(name, value)| (name, inner(value))).collect()
    };
    let unquoted = |path: &Path| quoted(python(path));
    round_trip_of(asked, Format::Properties, Dialect::Summon, is_text, unquoted);
    // Java itself is large, and its imitation is what CI has.
    if find("javac").is_none() {
        eprintln!("java is not installed: properties were read by jproperties alone");
        return;
    }
    let folder = scratch_folder();
    std::fs::write(folder.path().join("Read.java"), include_str!("readers/Read.java")).unwrap();
    let mut compiler = Command::new("javac");
    assert!(compiler.arg("Read.java").current_dir(folder.path()).status().unwrap().success());
    let java = |path: &Path| {
        let mut command = Command::new("java");
        hex_lines(command.arg("-cp").arg(folder.path()).arg("Read").arg(path))
    };
    round_trip(Format::Properties, Dialect::Strict, is_text, java);
    round_trip(Format::Properties, Dialect::Summon, is_text, |path| quoted(java(path)));
}

/// Sources the file, and gives the environment that a program then gets.
fn sourced(shell: &[&str], locale: &str, path: &Path) -> Values {
    let mut command = Command::new(shell[0]);
    command.args(&shell[1..]).args(["-c", ". \"$1\"; exec env -0", "sh"]).arg(path);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", locale);
    let output = command.current_dir(path.parent().unwrap()).stdin(Stdio::null()).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && error.is_empty(), "{command:?}: {error}");
    environment(&output.stdout)
}

/// The variables of ours in an environment as the kernel has it.
fn environment(bytes: &[u8]) -> Values {
    let lines = bytes.split(|byte| *byte == 0).filter(|line| line.starts_with(b"K"));
    let pair = |line: &[u8]| {
        let end = line.iter().position(|byte| *byte == b'=').unwrap();
        (String::from_utf8(line[..end].to_vec()).unwrap(), line[end + 1..].to_vec())
    };
    lines.map(pair).collect()
}

#[test]
fn shells_source_bash() {
    if skip_without(&["bash", "dash", "busybox"]) {
        return;
    }
    let shells: [&[&str]; 4] = [&["bash"], &["bash", "--posix"], &["dash"], &["busybox", "ash"]];
    for (shell, locale) in shells.iter().flat_map(|shell| [(shell, "C"), (shell, "C.UTF-8")]) {
        let holds = |value: &[u8]| !value.contains(&0);
        round_trip(Format::Bash, Dialect::Strict, holds, |path| sourced(shell, locale, path));
    }
}

#[test]
fn docker_reads_its_env_file() {
    if skip_without_engine() {
        return;
    }
    let image = Image::busybox();
    let run = |secrets: &Secrets| {
        let file = docker_env_file(secrets).unwrap();
        let folder = scratch_folder();
        let path = folder.path().join("env");
        std::fs::write(&path, file.content.expose()).unwrap();
        let mut docker = Command::new("docker");
        docker.args(["run", "--rm", "--label"]);
        docker.arg(format!("{}={}", sealock_testkit::LABEL, sealock_testkit::run_id()));
        docker.arg("--env-file").arg(&path).args([image.name(), "cat", "/proc/self/environ"]);
        for (name, value) in secrets {
            if file.from_environment.contains(name) {
                docker.env(name, String::from_utf8(value.expose().to_vec()).unwrap());
            }
        }
        let output = docker.stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        same(secrets, &environment(&output.stdout));
    };
    let good = |value: &[u8]| is_text(value) && !value.contains(&0);
    let known = values::known().into_iter().filter(|value| good(value));
    let pem = b"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2Vw\n-----END PRIVATE KEY-----\n";
    let long = vec![b'x'; 70_000];
    run(&values::named(known.chain([pem.to_vec(), long]).collect()));
    let config = ProptestConfig { cases: 2, max_shrink_iters: 20, ..ProptestConfig::default() };
    let batches = vec(values::value(), 200..300);
    let result = TestRunner::new(config).run(&batches, |batch| {
        run(&values::named(batch.into_iter().filter(|value| good(value)).collect()));
        Ok::<(), TestCaseError>(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}
