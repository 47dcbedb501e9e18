//! What the gateway adds.

use std::collections::BTreeMap;

use sealock_core::policy::Action;

use super::super::Stamp;
use super::{CREATE, asked, read_with, risks, set};

fn owner() -> BTreeMap<String, String> {
    BTreeMap::from([("sealock.owner".to_owned(), "spiffe://t.sealock/human/jo".to_owned())])
}

fn stamped(stamp: &Stamp, body: &str) -> String {
    let mut asked = asked(CREATE, body);
    asked.stamp(stamp).unwrap();
    String::from_utf8(asked.body()).unwrap()
}

#[test]
fn labels_are_put_on_what_is_made() {
    let stamp = Stamp { labels: owner(), ..Stamp::default() };
    for (action, body) in [
        (CREATE, r#"{"Image":"a"}"#),
        (Action::DockerNetworkCreate, r#"{"Name":"a","Labels":{"b":"c"}}"#),
        (Action::DockerVolumeCreate, ""),
        (Action::DockerServiceCreate, r#"{"Name":"s"}"#),
    ] {
        let mut asked = asked(action, body);
        asked.stamp(&stamp).unwrap();
        let body = String::from_utf8(asked.body()).unwrap();
        assert!(body.contains(r#""sealock.owner":"spiffe://t.sealock/human/jo""#), "{body}");
        assert_eq!(asked.labels.get("sealock.owner"), owner().get("sealock.owner"));
        // It was not the caller who wanted it.
        assert_eq!(risks(&asked), [""; 0]);
        assert!(!set(&asked, "labelKeys").contains(&"sealock.owner".to_owned()));
    }
    let mut exec = asked(Action::DockerContainerExec, r#"{"Cmd":["id"]}"#);
    assert_eq!(exec.stamp(&stamp).unwrap_err().code(), "not-stamped");
}

#[test]
fn a_label_of_the_stamp_cannot_be_set_to_something_else() {
    let stamp = Stamp { labels: owner(), ..Stamp::default() };
    let mut other = asked(CREATE, r#"{"Labels":{"sealock.owner":"me"}}"#);
    let error = other.stamp(&stamp).unwrap_err();
    assert_eq!((error.code(), error.status()), ("label-taken", 403));
    let same = r#"{"Labels":{"sealock.owner":"spiffe://t.sealock/human/jo"}}"#;
    assert_eq!(stamped(&stamp, same), same);
}

#[test]
fn builds_and_commits_carry_labels_in_their_query() {
    let stamp = Stamp { labels: owner(), ..Stamp::default() };
    for (given, expected) in [
        (vec![], r#"{"sealock.owner":"spiffe://t.sealock/human/jo"}"#),
        (vec![("labels", "")], r#"{"sealock.owner":"spiffe://t.sealock/human/jo"}"#),
        (vec![("labels", "null")], r#"{"sealock.owner":"spiffe://t.sealock/human/jo"}"#),
        (
            vec![("labels", r#"{"a":"b"}"#)],
            r#"{"a":"b","sealock.owner":"spiffe://t.sealock/human/jo"}"#,
        ),
    ] {
        let mut build = read_with(Action::DockerImageBuild, &given, "").unwrap();
        build.stamp(&stamp).unwrap();
        assert_eq!(build.query(), [("labels".to_owned(), expected.to_owned())]);
    }
    let taken = [("labels", r#"{"sealock.owner":"me"}"#)];
    let mut build = read_with(Action::DockerImageBuild, &taken, "").unwrap();
    assert_eq!(build.stamp(&stamp).unwrap_err().code(), "label-taken");

    let commit = |change: &str| {
        read_with(Action::DockerImageCommit, &[("container", "c"), ("changes", change)], "")
            .unwrap()
    };
    let mut good = commit("CMD [\"a\"]");
    good.stamp(&stamp).unwrap();
    let last = good.query().last().unwrap();
    assert_eq!(last.1, r#"LABEL sealock.owner="spiffe://t.sealock/human/jo""#);
    for bad in ["LABEL sealock.owner=me", "ENV a \\", "CMD a\nLABEL x=y"] {
        assert_eq!(commit(bad).stamp(&stamp).unwrap_err().code(), "not-stamped", "{bad}");
    }
}

#[test]
fn limits_are_set_where_they_are_missing_or_larger() {
    let stamp = Stamp {
        memory: Some(1000),
        pids_limit: Some(10),
        nano_cpus: Some(500),
        no_new_privileges: true,
        ..Stamp::default()
    };
    let all = r#""Memory":1000,"PidsLimit":10,"NanoCpus":500"#;
    let safe = r#""SecurityOpt":["no-new-privileges"]"#;
    assert_eq!(stamped(&stamp, "{}"), format!(r#"{{"HostConfig":{{{safe},{all}}}}}"#));
    assert_eq!(
        stamped(&stamp, r#"{"HostConfig":{"Memory":2000,"PidsLimit":-1,"NanoCpus":501}}"#),
        format!(r#"{{"HostConfig":{{{all},{safe}}}}}"#)
    );
    let small = format!(r#"{{"HostConfig":{{"Memory":999,"PidsLimit":9,"NanoCpus":499,{safe}}}}}"#);
    assert_eq!(stamped(&stamp, &small), small);
    // The last option counts.
    let off = r#"{"HostConfig":{"SecurityOpt":["no-new-privileges","no-new-privileges=0"]}}"#;
    let on = stamped(&Stamp { no_new_privileges: true, ..Stamp::default() }, off);
    assert!(on.contains(r#""no-new-privileges=0","no-new-privileges"]"#), "{on}");
    // Swap is memory too, and a quota is processor time.
    let memory = Stamp { memory: Some(1000), ..Stamp::default() };
    let swap = stamped(&memory, r#"{"HostConfig":{"Memory":500,"MemorySwap":-1}}"#);
    assert_eq!(swap, r#"{"HostConfig":{"Memory":500,"MemorySwap":2000}}"#);
    let reserved = stamped(&memory, r#"{"HostConfig":{"Memory":0,"MemoryReservation":4000}}"#);
    assert_eq!(reserved, r#"{"HostConfig":{"Memory":1000,"MemoryReservation":1000}}"#);
    let cpus = Stamp { nano_cpus: Some(500_000_000), ..Stamp::default() };
    let quota = stamped(&cpus, r#"{"HostConfig":{"CpuQuota":60000,"CpuPeriod":100000}}"#);
    assert_eq!(quota, r#"{"HostConfig":{"NanoCpus":500000000}}"#);
    let quota = r#"{"HostConfig":{"CpuQuota":50000}}"#;
    assert_eq!(stamped(&cpus, quota), quota);
}

#[test]
fn a_rule_that_wants_limits_sees_those_of_the_stamp() {
    let stamp = Stamp { memory: Some(1000), no_new_privileges: true, ..Stamp::default() };
    let mut asked = asked(CREATE, r#"{"HostConfig":{"PidsLimit":7}}"#);
    asked.stamp(&stamp).unwrap();
    assert_eq!(asked.context.get("memory"), Some(&1000.into()));
    assert_eq!(asked.context.get("pidsLimit"), Some(&7.into()));
    assert_eq!(asked.context.get("noNewPrivileges"), Some(&true.into()));
    assert!(!asked.context.contains_key("nanoCpus"));
}
