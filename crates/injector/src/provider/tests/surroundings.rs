//! What a provider finds around it.

use std::os::fd::AsRawFd as _;

use command_fds::CommandFdExt as _;

use super::*;

fn one_value(body: &str, options: &Options<'_>) -> String {
    let scratch = Scratch::new();
    let provider = scratch.sh(&format!("[ $# -gt 0 ] || exit 2\n{body}"));
    let results = fetch(&provider, &paths(&["a"]), options);
    String::from_utf8(results[0].as_ref().unwrap().expose().to_vec()).unwrap()
}

#[test]
fn the_environment_is_ours_or_only_what_is_needed() {
    // Set by whoever runs the tests.
    let names: Vec<&str> = vec!["CARGO_MANIFEST_DIR", "PATH"];
    let body = "env | grep -o '^[^=]*='";
    let seen = |isolation| {
        let all = one_value(body, &Options { isolation, ..Options::default() });
        names.iter().map(|name| all.lines().any(|line| line == format!("{name}="))).collect()
    };
    let inherited: Vec<bool> = seen(Isolation::Inherit);
    assert_eq!(inherited, [true, true]);
    let clean: Vec<bool> = seen(Isolation::Clean { keep: &[] });
    assert_eq!(clean, [false, true]);
    let keep = ["CARGO_*".to_owned()];
    let listed: Vec<bool> = seen(Isolation::Clean { keep: &keep });
    assert_eq!(listed, [true, true]);
}

#[test]
fn a_provider_leads_its_own_group_unless_it_may_ask_at_the_terminal() {
    let body = "echo $$ $(cut -d' ' -f5 /proc/$$/stat)";
    let own = one_value(body, &Options::default());
    let (pid, group) = own.split_once(' ').unwrap();
    assert_eq!(pid, group);
    let shared = one_value(body, &Options { at_terminal: true, ..Options::default() });
    let ours = rustix::process::getpgrp().as_raw_nonzero().to_string();
    assert_eq!(shared.split_once(' ').unwrap().1, ours);
}

#[test]
fn inherited_descriptors_reach_the_command_and_no_provider() {
    let mut file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut file, b"for the command").unwrap();
    // Without the flag that closes it in a child, as if somebody had left it open in us.
    let left_open = rustix::io::dup(&file).unwrap();
    let number = left_open.as_raw_fd();
    let list = "for one in /proc/self/fd/*; do readlink \"$one\" >> \"$HERE/fds\"; done\n";

    let inherited = Inherited::take();
    let scratch = Scratch::new();
    let provider = scratch.sh(&format!("{list}[ $# -gt 0 ] || exit 2\necho value"));
    let results = fetch(&provider, &paths(&["a"]), &Options::default());
    assert!(results[0].is_ok());
    let seen = fs::read_to_string(scratch.path("fds")).unwrap();
    assert!(!seen.contains("(deleted)"), "{seen}");

    // Containers may not be allowed to make a descriptor of a number.
    if inherited.lost().contains(&number) {
        return;
    }
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(format!("cat /proc/self/fd/{number}"));
    let mappings = inherited.for_child().unwrap();
    assert!(mappings.iter().any(|one| one.child_fd == number));
    let output = command.fd_mappings(mappings).unwrap().output().unwrap();
    assert_eq!(output.stdout, b"for the command");
}

#[test]
fn whether_we_are_at_a_terminal_can_be_asked_without_one() {
    // With a terminal or without one, it is an answer and no fault.
    let _ = at_terminal();
}
