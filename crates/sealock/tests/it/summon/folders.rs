//! Where the binary lies, and where temporary files do.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use sealock_testkit::clients::{skip_without, skip_without_root};

use super::stage::{Stage, is_ours, outcome, program};

/// Answers with its own path.
const WHO: &str = "#!/bin/sh\n[ $# -eq 1 ] || exit 1\necho $0\n";

/// Runs the command where `setup` has changed what is mounted, for it alone.
pub(crate) fn in_own_mounts(setup: &str, command: &Command) -> Command {
    let mut own = Command::new("unshare");
    own.args(["--mount", "--propagation", "private", "sh", "-ec"]);
    own.arg(format!("{setup}\nexec \"$@\""))
        .arg("sh")
        .arg(command.get_program())
        .args(command.get_args());
    own.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    own.current_dir(command.get_current_dir().unwrap()).stdin(std::process::Stdio::null());
    own
}

/// Without /dev/shm.
pub(crate) fn no_shared_memory(stage: &Stage) -> String {
    let folder = stage.path("dev").display().to_string();
    format!(
        "mkdir {folder}\nfor one in null zero random urandom tty; do : > {folder}/$one; mount --bind /dev/$one {folder}/$one; done\nmount --rbind {folder} /dev"
    )
}

pub(crate) fn skip_without_mounts() -> bool {
    skip_without(&["unshare", "mount"]) || skip_without_root()
}

#[test]
fn a_link_a_copy_and_a_command_of_sealock_are_the_same() {
    let stage = Stage::new();
    stage.write("secrets.yml", "A: !var a\n");
    let show = ["sh", "-c", "echo $A"];
    let says = |mut command: Command| {
        command.env("SUMMON_PROVIDER", "legacy").args(show);
        let said = outcome(command);
        assert_eq!((said.code, said.out.as_str()), (Some(0), "value of a\n"), "{said:?}");
    };
    says(stage.command(&stage.path("bin/summon")));
    fs::create_dir(stage.path("copies")).unwrap();
    fs::copy(program(), stage.path("copies/summon")).unwrap();
    says(stage.command(&stage.path("copies/summon")));
    symlink("../bin/summon", stage.path("copies/link")).unwrap();
    symlink("link", stage.path("copies/summon2")).unwrap();
    // As a shell finds it.
    let mut shell = stage.command(Path::new("/bin/sh"));
    shell
        .env("PATH", format!("{}:/usr/bin:/bin", stage.path("bin").display()))
        .env("SUMMON_PROVIDER", "legacy");
    shell.args(["-c", "summon sh -c 'echo $A'"]);
    assert_eq!(outcome(shell).out, "value of a\n");
    if is_ours() {
        let mut command = stage.command(&program());
        command.arg("summon");
        says(command);
        let mut command = stage.command(&program());
        command.args(["summon", "--bogus"]);
        assert_eq!(outcome(command).code, Some(255));
        // Under another name it is Sealock.
        let mut command = stage.command(&stage.path("copies/summon2"));
        command.arg("--version");
        assert!(outcome(command).out.starts_with("sealock "));
    }
}

#[test]
fn providers_lie_in_the_system_or_beside_the_binary() {
    if skip_without_mounts() {
        return;
    }
    let stage = Stage::new();
    stage.write("secrets.yml", "A: !var a\n");
    fs::create_dir_all(stage.path("here/bin")).unwrap();
    let binary = stage.path("here/bin/summon");
    fs::copy(program(), &binary).unwrap();
    let put = |folder: &str| {
        fs::create_dir_all(stage.path(folder)).unwrap();
        let path = stage.path(folder).join("who");
        fs::copy(stage.program("who", WHO), &path).unwrap();
        path.display().to_string()
    };
    let ask = |setup: &str| {
        let mut command = stage.command(&binary);
        command.env_remove("SUMMON_PROVIDER_PATH").args(["sh", "-c", "echo $A"]);
        // Whatever is installed here does not count.
        let said = outcome(in_own_mounts(
            &format!("mount -t tmpfs none /usr/local/lib\n{setup}"),
            &command,
        ));
        (said.code, said.out.trim_end().to_owned())
    };
    let (none, text) = ask("");
    assert_eq!(none, Some(127));
    assert!(
        text.starts_with(
            "No provider directory found. Please set the environment variable SUMMON_PROVIDER_PATH"
        ),
        "{text}"
    );
    assert!(text.contains("\n\t/usr/local/lib/summon\n"), "{text}");
    let above = put("here/lib/summon");
    assert_eq!(ask(""), (Some(0), above));
    let beside = put("here/bin/Providers");
    assert_eq!(ask(""), (Some(0), beside));
    let who = stage.work("who").display().to_string();
    let system = format!("mkdir /usr/local/lib/summon\ncp {who} /usr/local/lib/summon");
    assert_eq!(ask(&system), (Some(0), "/usr/local/lib/summon/who".to_owned()));
    // The first that is there counts, whatever is in it.
    assert_eq!(
        ask("mkdir /usr/local/lib/summon"),
        (Some(127), "Could not resolve a provider!".to_owned())
    );
}

#[test]
fn without_shared_memory_files_are_in_the_home_folder_or_that_for_temporary_ones() {
    if skip_without_mounts() {
        return;
    }
    let stage = Stage::new();
    stage.write("secrets.yml", "A: !var:file a\n");
    let script = "echo $A; cat $A; stat -c ' %a' $A $(dirname $A)";
    let ask = |home: &str, folder: &str| {
        let _ = fs::remove_dir_all(stage.path("dev"));
        let mut command = stage.summon(&["sh", "-c", script]);
        command.env("HOME", home).env("TMPDIR", folder);
        let said = outcome(in_own_mounts(&no_shared_memory(&stage), &command));
        assert_eq!(said.code, Some(0), "{said:?}");
        let (path, rest) = said.out.split_once('\n').unwrap();
        (path.to_owned(), rest.to_owned())
    };
    let home = stage.path("home").display().to_string();
    let (path, rest) = ask(&home, "/nonexistent");
    assert!(path.starts_with(&format!("{home}/.tmp")) && path.contains("/.summon"), "{path}");
    assert_eq!(rest, "value of a 600\n 700\n");
    assert_eq!(fs::read_dir(&home).unwrap().count(), 0, "the folder goes too");
    let folder = stage.path("temporary").display().to_string();
    fs::create_dir(&folder).unwrap();
    let (path, rest) = ask("/nonexistent", &folder);
    assert!(path.starts_with(&format!("{folder}/.summon")), "{path}");
    assert!(rest.starts_with("value of a 600\n"), "{rest}");
    if is_ours() {
        // Summon removes the whole folder, if it is empty by then.
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    }
}
