//! A build and a commit, which say in the query what they want.

use sealock_core::policy::Action;

use super::super::read as read_raw;
use super::{Limits, read_with, risks, set};

const BUILDS: &[(&str, &str, &[&str])] = &[
    ("dockerfile", "Dockerfile.ci", &[]),
    ("networkmode", "default", &[]),
    ("version", "1", &[]),
    ("labels", r#"{"a":"b"}"#, &[]),
    ("buildargs", r#"{"A":"b","C":null}"#, &[]),
    ("extrahosts", "a:192.0.2.1", &[]),
    ("remote", "http://192.0.2.1/x.tar", &["build-remote"]),
    ("networkmode", "host", &["network-mode"]),
    ("networkmode", "container:a", &["network-mode"]),
    ("cgroupparent", "/x", &["cgroup-parent"]),
    ("securityopt", "seccomp=unconfined", &["security-opt"]),
    ("outputs", r#"[{"type":"local"}]"#, &["build-outputs"]),
    ("version", "2", &["buildkit"]),
    ("session", "abc", &["buildkit"]),
    ("ulimits", r#"[{"Name":"nofile","Hard":1,"Soft":1}]"#, &["ulimits"]),
    ("labels", r#"{"sealock.owner":"me"}"#, &["sealock-labels"]),
    ("entitlements", "x", &["unknown-field"]),
    ("Remote", "x", &["unknown-field"]),
];

#[test]
fn each_parameter_of_a_build_is_looked_at() {
    for (name, value, expected) in BUILDS {
        let asked = read_with(Action::DockerImageBuild, &[(name, value)], "").unwrap();
        assert_eq!(&risks(&asked), expected, "{name}={value}");
    }
    let query = [("t", "a:1"), ("t", "b:1"), ("memory", "1048576")];
    let asked = read_with(Action::DockerImageBuild, &query, "").unwrap();
    assert_eq!(asked.tags, ["a:1", "b:1"]);
    assert_eq!(asked.context.get("memory"), Some(&1_048_576.into()));
    assert_eq!(asked.image, None);
}

#[test]
fn a_query_that_could_be_read_in_two_ways_is_refused() {
    let build = Action::DockerImageBuild;
    for (query, code) in [
        ([("networkmode", "none"), ("networkmode", "host")], "query-parameter"),
        ([("labels", r#"{"a":"1","a":"2"}"#), ("q", "1")], "body-duplicate-field"),
        ([("labels", r#"["a"]"#), ("q", "1")], "query-parameter"),
        ([("labels", r#"{"a":{}}"#), ("q", "1")], "query-parameter"),
        ([("outputs", "{}"), ("q", "1")], "query-parameter"),
        ([("buildargs", "x"), ("q", "1")], "body-malformed"),
    ] {
        assert_eq!(read_with(build, &query, "").unwrap_err().code(), code, "{query:?}");
    }
    let asked = read_with(build, &[("labels", r#"{ "a" : "\u0062" }"#)], "").unwrap();
    assert_eq!(asked.query(), [("labels".to_owned(), r#"{"a":"b"}"#.to_owned())]);
    // The body is an archive, and not looked at.
    assert!(read_raw(build, None, &[], b"\x1f\x8b", Limits::default()).is_ok());
}

#[test]
fn changes_of_a_commit_are_plain_or_a_risk() {
    let commit = |change: &str| {
        let query = [("container", "c"), ("repo", "r"), ("tag", "t"), ("changes", change)];
        read_with(Action::DockerImageCommit, &query, "").unwrap()
    };
    for plain in ["CMD [\"a\"]", "env A=b", "USER 1000", ""] {
        assert_eq!(risks(&commit(plain)), [""; 0], "{plain}");
    }
    for change in ["LABEL a=b", "ONBUILD RUN x", "CMD a\nLABEL b=c", "# x", "COPY a b"] {
        assert_eq!(risks(&commit(change)), ["commit-changes"], "{change}");
    }
    for change in ["LABEL sealock.owner=x", "LABEL $A=x", "CMD a \\", "LABEL \"seal\\\nock.a\"=b"] {
        assert_eq!(risks(&commit(change)), ["commit-changes", "sealock-labels"], "{change}");
    }
    assert_eq!(commit("").tags, ["r:t"]);
    let body = r#"{"HostConfig":{"Privileged":true}}"#;
    let asked = read_with(Action::DockerImageCommit, &[("container", "c")], body).unwrap();
    assert_eq!(risks(&asked), ["privileged"]);
    let asked = read_with(Action::DockerImageCommit, &[("evil", "c")], "").unwrap();
    assert_eq!(set(&asked, "unknownFields"), ["query.evil"]);
}
