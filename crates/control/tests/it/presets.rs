//! Presets: what each of them permits and does not, and how they come into the policy folder.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use sealock_control::command::PolicyUsed;
use sealock_control::rehearsal::{self, Expected, Outcome, Suite};
use sealock_control::{Command, ErrorCode, Reply, Service};
use sealock_core::audit::Fact;
use sealock_core::policy::{PRESETS, Preset};

use crate::scratch::{Scratch, call, records};

fn suite(name: &str) -> Suite {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies/docker/tests");
    let text = fs::read_to_string(folder.join(format!("{name}.toml"))).unwrap();
    Suite::parse(&text, |file| fs::read(folder.join(file))).unwrap()
}

fn sources(preset: &Preset) -> Vec<(String, String)> {
    vec![("p.cedar".to_owned(), preset.text.to_owned())]
}

#[tokio::test]
async fn every_preset_does_what_its_cases_say_and_every_rule_is_needed() {
    for preset in PRESETS {
        let name = preset.name;
        let outcomes = rehearsal::run(&suite(name), &sources(preset)).await.unwrap();
        let failed: Vec<&Outcome> = outcomes.iter().filter(|outcome| !outcome.passed).collect();
        assert!(failed.is_empty(), "{name}: {failed:#?}");
        for kind in [Expected::Allow, Expected::Deny] {
            assert!(outcomes.iter().any(|outcome| outcome.got == kind), "{name}: none is {kind}");
        }
        let allowed = outcomes.iter().filter(|outcome| outcome.got == Expected::Allow);
        let used: BTreeSet<&String> = allowed
            .flat_map(|outcome| &outcome.decided)
            .flat_map(|decided| &decided.rules)
            .collect();
        let rules = preset.text.lines().filter_map(|line| line.strip_prefix("@id(\""));
        for rule in rules.filter_map(|rest| rest.split('"').next()) {
            assert!(used.contains(&format!("p.cedar#{rule}")), "{name}: no case needs {rule}");
        }
    }
}

#[tokio::test]
async fn every_hole_is_tried_on_whoever_may_make_plain_containers_or_none() {
    for name in ["read-only", "traefik", "diun", "dozzle", "ci-runner", "gitlab-runner"] {
        let suite = suite(name);
        assert!(suite.cases().len() > 144 + 20, "{name} has {} cases", suite.cases().len());
    }
    // What lets the holes through is found out.
    let wide = [("w.cedar".to_owned(), "permit (principal, action, resource);".to_owned())];
    let outcomes = rehearsal::run(&suite("read-only"), &wide).await.unwrap();
    let passed = outcomes.iter().filter(|outcome| outcome.passed && outcome.got != Expected::Allow);
    assert!(
        passed.clone().all(|outcome| outcome.got == Expected::Refuse),
        "{:#?}",
        passed.collect::<Vec<_>>()
    );
    assert!(outcomes.iter().filter(|outcome| !outcome.passed).count() > 100);
}

#[tokio::test]
async fn a_case_is_as_expected_only_by_the_rule_that_it_names() {
    let text = "principal = \"human/alice\"\n[[case]]\nname = \"ping\"\nrequest = \"GET /_ping\"\nexpect = \"allow\"\nrule = \"RULE\"\n";
    let rules = "@id(\"one\") permit (principal, action == Sealock::Action::\"Docker::SystemPing\", resource);";
    for (rule, passes) in [("one", true), ("r.cedar#one", true), ("two", false)] {
        let suite = Suite::parse(&text.replace("RULE", rule), |_| unreachable!()).unwrap();
        let sources = [("r.cedar".to_owned(), rules.to_owned())];
        let outcomes = rehearsal::run(&suite, &sources).await.unwrap();
        assert_eq!(outcomes[0].passed, passes, "{rule}");
    }
}

#[test]
fn files_that_make_no_sense_are_refused() {
    let case = "[[case]]\nname = \"a\"\nexpect = \"allow\"\n";
    let reads = |text: &str| Suite::parse(text, |_| Err(std::io::Error::other("none"))).map(drop);
    for bad in [
        "",
        "[[case]]\nname = \"a\"",
        "evil = 1",
        &format!("{case}actoin = \"x\""),
        &format!("{case}body-file = \"x\""),
        "include = [\"x\"]",
        &format!("trust-domain = \"A B\"\n{case}"),
        &format!("{case}[[container]]\nname = \"a\"\nowner = \"robot/x\""),
    ] {
        assert!(reads(bad).is_err(), "{bad}");
    }
    let asks_nothing = Suite::parse(case, |_| unreachable!()).unwrap();
    let outcome = futures(rehearsal::run(&asks_nothing, &[]));
    assert!(outcome.is_err());
}

fn futures<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

async fn put(
    service: &std::sync::Arc<Service>,
    preset: &str,
    grantee: &str,
    force: bool,
) -> Result<PolicyUsed, sealock_control::ServiceError> {
    let grantee = grantee.parse().unwrap();
    match call(service, Command::PolicyUse { preset: preset.into(), grantee, force }).await? {
        Reply::PolicyUsed(used) => Ok(used),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_preset_is_put_into_the_folder_once_and_never_over_what_somebody_wrote() {
    let scratch = Scratch::new();
    let service = scratch.initialised().await;
    let used = put(&service, "traefik", "service/edge", false).await.unwrap();
    assert!(used.changed);
    assert_eq!(used.file, "docker-traefik-for-service-edge.cedar");
    let path = scratch.rule_file(&used.file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains("principal == Sealock::Service::\"edge\""), "{text}");
    assert!(!text.contains("Group::"), "{text}");
    let again = put(&service, "traefik", "service/edge", false).await.unwrap();
    assert_eq!((again.changed, again.policy.epoch), (false, used.policy.epoch));
    let other = put(&service, "traefik", "readers", false).await.unwrap();
    assert_eq!(other.policy.epoch, used.policy.epoch + 1);
    assert_eq!(other.policy.rules, used.policy.rules + 2);

    fs::write(&path, format!("{text}// mine\n")).unwrap();
    let error = put(&service, "traefik", "service/edge", false).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Conflict);
    assert!(fs::read_to_string(&path).unwrap().ends_with("// mine\n"));
    assert!(put(&service, "traefik", "service/edge", true).await.unwrap().changed);
    assert_eq!(fs::read_to_string(&path).unwrap(), text);

    let written = |record: &sealock_core::audit::Record| match &record.event.fact {
        Fact::PolicyWritten { preset, grantee, .. } => Some((preset.clone(), grantee.clone())),
        _ => None,
    };
    let written: Vec<_> = records(&service).iter().filter_map(written).collect();
    let of = |grantee: &str| ("traefik".to_owned(), grantee.to_owned());
    assert_eq!(written, [of("service/edge"), of("readers"), of("service/edge")]);
}

#[tokio::test]
async fn nothing_is_put_beside_what_cannot_be_loaded() {
    let scratch = Scratch::new();
    let service = scratch.initialised().await;
    let before = service.policy().status().epoch;
    fs::write(scratch.rule_file("bad.cedar"), "permit (").unwrap();
    let error = put(&service, "diun", "human/alice", false).await.unwrap_err();
    assert!(error.message.starts_with("bad.cedar:1"), "{error}");
    assert!(!scratch.rule_file("docker-diun-for-human-alice.cedar").exists());
    assert_eq!(service.policy().status().epoch, before);
    let error = put(&service, "no-such", "human/alice", false).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::NotFound);
}
